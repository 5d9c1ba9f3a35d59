package main

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/reconsent/reconsent/consent"
)

func appSetCommand(std stdio) *cobra.Command {
	var cadence, renewBy, smsStages []string
	var name, quietHours string
	var paused, noMail bool
	var mailsPerDay int
	var branding consent.Branding
	var linkValidity time.Duration
	cmd := &cobra.Command{
		Use: "set SHORT-NAME", Short: "Change an application's settings", Args: cobra.ExactArgs(1),
		Long: "Changes what is named and leaves the rest. A new cadence puts the stages to come on the calendar anew; what has been announced is not announced again.",
		RunE: onSystem(std, func(cmd *cobra.Command, args []string, sys *system) error {
			app, err := sys.applicationNamed(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if !changesAny(cmd) {
				return usagef("name at least one setting to change; see 'reconsent app set --help'")
			}
			given := cmd.Flags().Changed
			if given("name") {
				app.Name = name
			}
			if given("cadence") {
				if app.Cadence, err = consent.ParseCadence(cadence); err != nil {
					return usagef("--cadence: %w", err)
				}
			}
			if app.Policies, err = renewalPolicies(app.Policies, renewBy); err != nil {
				return err
			}
			if given("paused") {
				app.Paused = paused
			}
			if given("no-mail") {
				app.NoMail = noMail
			}
			if given("mails-per-day") {
				app.MailsPerDay = mailsPerDay
			}
			if given("link-validity") {
				if linkValidity < 0 {
					return usagef("--link-validity %s: a link cannot end before it is made", linkValidity)
				}
				app.LinkValidity = linkValidity
			}
			if given("colour") {
				app.Branding.Colour = branding.Colour
			}
			if given("logo-url") {
				app.Branding.LogoURL = branding.LogoURL
			}
			if given("reply-to") {
				app.Branding.ReplyTo = branding.ReplyTo
			}
			if given("sms-stages") {
				app.SMSStages = smsStages
			}
			if given("quiet-hours") {
				if app.QuietHours, err = consent.ParseQuietHours(quietHours); err != nil {
					return usagef("--quiet-hours: %w", err)
				}
			}
			if err := sys.connector.UpdateApplication(cmd.Context(), app); err != nil {
				return oneLine(err)
			}
			if _, err := fmt.Fprintf(std.out, "%s: settings stored\n", app.Slug); err != nil || !given("cadence") {
				return err
			}
			if gap, a, b := app.Cadence.ShortestGap(); gap > 0 {
				_, err = fmt.Fprintf(std.out, "%s and %s are %s apart: 'serve' refuses a sweep-schedule that comes less often\n", a, b, inDays(gap))
			}
			return err
		}),
	}
	addSettings(cmd, "database-url", "keys", "base-url")
	f := cmd.Flags()
	f.StringVar(&name, "name", "", "name that people see")
	f.StringSliceVar(&cadence, "cadence", nil, cadenceHelp)
	f.StringArrayVar(&renewBy, "renew-by", nil, "what the reconnect page asks of people: PROVIDER=extend, to reconfirm in place (UK), or PROVIDER=reauth, to visit their bank; may be repeated")
	f.BoolVar(&paused, "paused", false, "write to nobody for now; =false goes on, with what then still holds")
	f.BoolVar(&noMail, "no-mail", false, "never write to users: the application tells them itself; =false ends it")
	f.IntVar(&mailsPerDay, "mails-per-day", 0, "at most so many mails a UTC day, the rest waits for the next; 0 for no limit")
	f.DurationVar(&linkValidity, "link-validity", 0, "how long a reconnect link works; 0 for 30 days")
	addBranding(cmd, &branding)
	f.StringSliceVar(&smsStages, "sms-stages", nil, "stages of the cadence that users with a phone are told of by SMS too, for instance before_1d,lapse; \"\" for none")
	f.StringVar(&quietHours, "quiet-hours", "", "when nobody is written to, by the user's clock (UTC where unknown), for instance 22:00-07:00; \"\" ends it")
	return cmd
}

// changesAny reports whether a flag is given besides those that say where the
// registry is.
func changesAny(cmd *cobra.Command) bool {
	changes := false
	cmd.Flags().Visit(func(f *pflag.Flag) {
		changes = changes || (f.Name != "config" && f.Name != devFlag && !isSetting(f.Name))
	})
	return changes
}

// renewalPolicies changes how consents of the named providers are renewed.
func renewalPolicies(policies map[string]consent.Policy, renewBy []string) (map[string]consent.Policy, error) {
	out := maps.Clone(policies)
	if out == nil {
		out = map[string]consent.Policy{}
	}
	for _, r := range renewBy {
		name, by, found := strings.Cut(r, "=")
		if !found || (by != string(consent.RenewByExtend) && by != string(consent.RenewByReauth)) {
			return nil, usagef("--renew-by %q: want PROVIDER=extend or PROVIDER=reauth", r)
		}
		p := out[name]
		p.RenewBy = consent.RenewBy(by)
		out[name] = p
	}
	return out, nil
}
