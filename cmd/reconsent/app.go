package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/provider"
)

func appCommand(std stdio) *cobra.Command {
	cmd := &cobra.Command{Use: "app", Short: "Create and list applications, and their API keys"}
	cmd.AddCommand(appCreateCommand(std), appListCommand(std), appKeysCommand(std))
	return cmd
}

// appOptions are the flags of app create.
type appOptions struct {
	name, provider, clientID, clientSecret, environment string
	redirectURIs, returnTos, cadence                    []string
	validity, window                                    time.Duration
	direct, noConfirm                                   bool
}

func appCreateCommand(std stdio) *cobra.Command {
	var o appOptions
	cmd := &cobra.Command{
		Use: "create SHORT-NAME", Short: "Create an application and print its API key, once", Args: cobra.ExactArgs(1),
		Long: "Creates an application and prints its API key, once. With --provider its settings there are stored too, sealed. " +
			"What the provider itself says of a consent's expiry always wins over --validity.",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := loadConfig(cmd)
			if err != nil {
				return err
			}
			sys, err := open(cmd.Context(), c, time.Now, c.logger(std), false)
			if err != nil {
				return err
			}
			defer func() { _ = sys.store.Close() }()
			return createApp(cmd, std, sys, args[0], o)
		},
	}
	addSettings(cmd, "database-url", "keys", "base-url")
	f := cmd.Flags()
	f.StringVar(&o.name, "name", "", "name that people see (default: the short name)")
	f.StringArrayVar(&o.redirectURIs, "redirect-uri", nil, "allowed redirect_uri, byte for byte; may be repeated")
	f.StringArrayVar(&o.returnTos, "return-to", nil, "allowed return_to; may be repeated")
	f.StringSliceVar(&o.cadence, "cadence", nil, "stages, for instance before_30d,before_7d,lapse (default: the usual ones)")
	f.BoolVar(&o.noConfirm, "no-confirm-links", false, "let hosted first links count without a confirmation by the application; a link sent to somebody else then brings their accounts")
	f.StringVar(&o.provider, "provider", "", "provider to configure, for instance truelayer")
	f.StringVar(&o.clientID, "client-id", "", "client id at the provider")
	f.StringVar(&o.clientSecret, "client-secret", "", "client secret at the provider")
	f.StringVar(&o.environment, "environment", "live", "live or sandbox, at the provider")
	f.BoolVar(&o.direct, "direct-links", false, "use direct bank links for first links, where the provider allows it")
	f.DurationVar(&o.validity, "validity", 90*24*time.Hour, "how long a consent lives where the provider does not say")
	f.DurationVar(&o.window, "renewal-window", 90*24*time.Hour, "how long after its lapse a consent can be renewed")
	return cmd
}

func createApp(cmd *cobra.Command, std stdio, sys *system, slug string, o appOptions) error {
	cadence, err := consent.ParseCadence(o.cadence)
	if err != nil {
		return usagef("--cadence: %w", err)
	}
	app := consent.Application{
		Slug: slug, Name: o.name, RedirectURIs: o.redirectURIs, ReturnTos: o.returnTos, Cadence: cadence, ConfirmLinks: !o.noConfirm,
	}
	if app.Name == "" {
		app.Name = slug
	}
	if o.provider != "" {
		app.Policies = map[string]consent.Policy{o.provider: {Validity: o.validity, RenewalWindow: o.window, RenewBy: consent.RenewByReauth}}
	}
	ctx := cmd.Context()
	if app, err = sys.connector.CreateApplication(ctx, app); err != nil {
		return usageError{fmt.Errorf("%s", strings.ReplaceAll(err.Error(), "\n", "; "))}
	}
	if o.provider != "" {
		err := sys.connector.SetProvider(ctx, &app, o.provider, provider.Config{
			ClientID: o.clientID, ClientSecret: o.clientSecret, Environment: o.environment, DirectLinks: o.direct,
		})
		if err != nil {
			return usageError{err}
		}
	}
	key, _, err := sys.connector.NewAPIKey(ctx, &app, "first")
	if err != nil {
		return err
	}
	return json.NewEncoder(std.out).Encode(map[string]string{"application_id": app.ID, "short_name": app.Slug, "api_key": key})
}

func appListCommand(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List applications",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := loadConfig(cmd)
			if err != nil {
				return err
			}
			sys, err := open(cmd.Context(), c, time.Now, c.logger(std), false)
			if err != nil {
				return err
			}
			defer func() { _ = sys.store.Close() }()
			apps, err := sys.store.ListApplications(cmd.Context())
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(std.out, 0, 4, 2, ' ', 0)
			_, _ = fmt.Fprintln(w, "SHORT NAME\tID\tNAME\tPROVIDERS\tCREATED")
			for _, a := range apps {
				_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", a.Slug, a.ID, a.Name, strings.Join(a.ProviderNames, ","), a.CreatedAt.Format(time.RFC3339))
			}
			return w.Flush()
		},
	}
	addSettings(cmd, "database-url", "keys")
	return cmd
}
