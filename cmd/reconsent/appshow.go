package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/reconsent/reconsent/consent"
)

func appShowCommand(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use: "show SHORT-NAME", Short: "Show an application's settings", Args: cobra.ExactArgs(1),
		RunE: onSystem(std, func(cmd *cobra.Command, args []string, sys *system) error {
			app, err := sys.applicationNamed(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(std.out, 0, 4, 2, ' ', 0)
			for _, line := range settingsOf(&app) {
				_, _ = fmt.Fprintf(w, "%s\t%s\n", line[0], cmp.Or(line[1], "-"))
			}
			return w.Flush()
		}),
	}
	addSettings(cmd, "database-url", "keys", "base-url")
	return cmd
}

// settingsOf names what can be set, as the flags of app create and app set do.
func settingsOf(app *consent.Application) [][2]string {
	lines := [][2]string{
		{"id", app.ID},
		{"name", app.Name},
		{"redirect-uri", strings.Join(app.RedirectURIs, " ")},
		{"return-to", strings.Join(app.ReturnTos, " ")},
		{"no-confirm-links", fmt.Sprint(!app.ConfirmLinks)},
		{"cadence", strings.Join(app.Cadence.Names(), ",")},
		{"sms-stages", strings.Join(app.SMSStages, ",")},
		{"quiet-hours", app.QuietHours.String()},
		{"mails-per-day", fmt.Sprint(app.MailsPerDay)},
		{"no-mail", fmt.Sprint(app.NoMail)},
		{"paused", fmt.Sprint(app.Paused)},
		{"link-validity", inDays(cmp.Or(app.LinkValidity, consent.DefaultLinkValidity))},
		{"colour", app.Branding.Colour},
		{"logo-url", app.Branding.LogoURL},
		{"reply-to", app.Branding.ReplyTo},
		{"providers", strings.Join(app.ProviderNames, " ")},
	}
	for _, name := range slices.Sorted(maps.Keys(app.Policies)) {
		p := app.Policies[name]
		lines = append(lines, [2]string{"policy of " + name,
			fmt.Sprintf("validity %s, renewal-window %s, renew-by %s", inDays(p.Validity), inDays(p.RenewalWindow), cmp.Or(string(p.RenewBy), string(consent.RenewByReauth)))})
	}
	return lines
}
