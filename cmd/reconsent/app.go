package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/provider"
)

// cadenceHelp is the grammar of consent.ParseCadence.
const cadenceHelp = "stages to announce, of before_<n>d, lapse, after_<n>d, window_<n>d and window_end, with h for hours"

func appCommand(std stdio) *cobra.Command {
	cmd := &cobra.Command{Use: "app", Short: "Create, change and list applications, their providers and API keys"}
	cmd.AddCommand(appCreateCommand(std), appSetCommand(std), appShowCommand(std), appReauthCommand(std), appListCommand(std), appProviderCommand(std), appKeysCommand(std))
	return cmd
}

// appOptions are the flags of app create.
type appOptions struct {
	name                             string
	redirectURIs, returnTos, cadence []string
	validity, window                 time.Duration
	noConfirm                        bool
	branding                         consent.Branding
	provider                         providerOptions
}

func appCreateCommand(std stdio) *cobra.Command {
	var o appOptions
	cmd := &cobra.Command{
		Use: "create SHORT-NAME", Short: "Create an application and print its API key, once", Args: cobra.ExactArgs(1),
		Long: "Creates an application and prints its API key, once. With --provider its settings there are stored too, sealed. " +
			"What the provider itself says of a consent's expiry always wins over --validity.",
		RunE: onSystem(std, func(cmd *cobra.Command, args []string, sys *system) error {
			return createApp(cmd, std, sys, args[0], o)
		}),
	}
	addSettings(cmd, "database-url", "keys", "base-url")
	f := cmd.Flags()
	f.StringVar(&o.name, "name", "", "name that people see (default: the short name)")
	f.StringArrayVar(&o.redirectURIs, "redirect-uri", nil, "allowed redirect_uri, byte for byte; may be repeated")
	f.StringArrayVar(&o.returnTos, "return-to", nil, "allowed return_to; may be repeated")
	f.StringSliceVar(&o.cadence, "cadence", nil, cadenceHelp+" (default: "+strings.Join(consent.DefaultCadence().Names(), ",")+")")
	f.BoolVar(&o.noConfirm, "no-confirm-links", false, "let hosted first links count without a confirmation by the application; a link sent to somebody else then brings their accounts")
	addBranding(cmd, &o.branding)
	f.StringVar(&o.provider.name, "provider", "", "provider to configure, for instance truelayer; 'app provider' does it later")
	f.DurationVar(&o.validity, "validity", 90*24*time.Hour, "how long a consent lives where the provider does not say")
	f.DurationVar(&o.window, "renewal-window", 90*24*time.Hour, "how long after its lapse a consent can be renewed")
	o.provider.flags(cmd)
	return cmd
}

// addBranding adds the flags of how mails and pages look.
func addBranding(cmd *cobra.Command, b *consent.Branding) {
	f := cmd.Flags()
	f.StringVar(&b.Colour, "colour", "", "colour of buttons in mails and on pages, #rrggbb; text on it is black or white, whichever can be read")
	f.StringVar(&b.LogoURL, "logo-url", "", "https address of the logo in mails, which show it 32 pixels high")
	f.StringVar(&b.ReplyTo, "reply-to", "", "address that answers to mails go to")
}

// createApp checks everything before it stores anything.
func createApp(cmd *cobra.Command, std stdio, sys *system, slug string, o appOptions) error {
	cadence, err := consent.ParseCadence(o.cadence)
	if err != nil {
		return usagef("--cadence: %w", err)
	}
	app := consent.Application{
		Slug: slug, Name: cmp.Or(o.name, slug), RedirectURIs: o.redirectURIs, ReturnTos: o.returnTos, Cadence: cadence, ConfirmLinks: !o.noConfirm, Branding: o.branding,
	}
	if o.provider.name != "" {
		if err := sys.connector.CheckSettings(o.provider.name, o.provider.config()); err != nil {
			return oneLine(err)
		}
		app.Policies = map[string]consent.Policy{o.provider.name: {Validity: o.validity, RenewalWindow: o.window, RenewBy: consent.RenewByReauth}}
	}
	ctx := cmd.Context()
	if app, err = sys.connector.CreateApplication(ctx, app); err != nil {
		return oneLine(err)
	}
	if o.provider.name != "" {
		if err := sys.connector.SetProvider(ctx, &app, o.provider.name, o.provider.config()); err != nil {
			return err
		}
	}
	key, _, err := sys.connector.NewAPIKey(ctx, &app, "first")
	if err != nil {
		return err
	}
	return json.NewEncoder(std.out).Encode(map[string]string{"application_id": app.ID, "short_name": app.Slug, "api_key": key})
}

// oneLine makes a fault of usage of one that may have several lines.
func oneLine(err error) error {
	return usageError{errors.New(strings.ReplaceAll(err.Error(), "\n", "; "))}
}

// providerOptions are an application's settings at one provider, as flags.
type providerOptions struct {
	name, clientID, clientSecret, environment string
	authURL, dataURL                          string
	direct                                    bool
}

func (o *providerOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.clientID, "client-id", "", "client id at the provider")
	f.StringVar(&o.clientSecret, "client-secret", "", "client secret at the provider")
	f.StringVar(&o.environment, "environment", "live", "live or sandbox, at the provider")
	f.StringVar(&o.authURL, "auth-url", "", "address of a simulator in the place of the provider's own, for instance of 'reconsent sandbox'")
	f.StringVar(&o.dataURL, "data-url", "", "the same for data calls (default: below --auth-url)")
	f.BoolVar(&o.direct, "direct-links", false, "use direct bank links for first links, where the provider allows it")
}

func (o *providerOptions) config() provider.Config {
	return provider.Config{ClientID: o.clientID, ClientSecret: o.clientSecret, Environment: o.environment, AuthURL: o.authURL, DataURL: o.dataURL, DirectLinks: o.direct}
}

func appProviderCommand(std stdio) *cobra.Command {
	var o providerOptions
	cmd := &cobra.Command{
		Use: "provider NAME", Short: "Set an application's settings at a provider, for instance truelayer", Args: cobra.ExactArgs(1),
		Long: "Stores an application's settings at a provider, sealed, in the place of those it had. Every replica takes them up at once.",
		RunE: onApplication(std, func(cmd *cobra.Command, args []string, sys *system, app *consent.Application) error {
			if err := sys.connector.SetProvider(cmd.Context(), app, args[0], o.config()); err != nil {
				return oneLine(err)
			}
			_, err := fmt.Fprintf(std.out, "%s: settings at %s stored\n", app.Slug, args[0])
			return err
		}),
	}
	addApplication(cmd)
	o.flags(cmd)
	return cmd
}

func appListCommand(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List applications",
		RunE: onSystem(std, func(cmd *cobra.Command, _ []string, sys *system) error {
			apps, unreadable, err := sys.store.ListApplications(cmd.Context())
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(std.out, 0, 4, 2, ' ', 0)
			_, _ = fmt.Fprintln(w, "SHORT NAME\tID\tNAME\tPROVIDERS\tCREATED")
			for _, a := range apps {
				_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", a.Slug, a.ID, a.Name, strings.Join(a.ProviderNames, ","), a.CreatedAt.Format(time.RFC3339))
			}
			err = w.Flush()
			for _, u := range unreadable {
				err = errors.Join(err, fmt.Errorf("application %s: %w", u.Slug, u.Fault))
			}
			return err
		}),
	}
	addSettings(cmd, "database-url", "keys")
	return cmd
}
