package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth/stepup"
)

func appReauthCommand(std stdio) *cobra.Command {
	var file string
	given := map[string][]string{} // by flag
	cmd := &cobra.Command{
		Use: "reauth SHORT-NAME", Short: "Show or change how an application's users prove themselves again", Args: cobra.ExactArgs(1),
		Long: `Shows how an application's users prove themselves again: whose tokens they
bring, what its operations take, which factors they have. Secrets are never shown.

With flags it changes what is named and leaves the rest; a list is replaced as a
whole. --file puts a document, YAML or JSON, in the place of all settings; flags
beside it win over it. The document has the names that are shown:

  identity:
    issuer: https://id.example.org
    audience: my-app
    algorithms: [RS256]
    jwks_url: https://id.example.org/.well-known/jwks.json
  operations: {transfer: strict, pay: sca}
  origins: [https://app.example.org]

A secret may stand in a file of its own: identity.secret_file and
openid.client_secret_file name one, beside the document.

What 'reconsent dev' keeps is read and changed with --dev and its data directory,
for instance --dev .reconsent. dev itself begins with its own settings each time,
or with those of 'dev --reauth'.
See docs/reauthentication.md.`,
		RunE: onSystem(std, func(cmd *cobra.Command, args []string, sys *system) error {
			app, err := sys.applicationNamed(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if !changesAny(cmd) {
				return showReauth(cmd.Context(), std, sys, &app)
			}
			return changeReauth(cmd.Context(), std, sys, &app, file, given)
		}),
	}
	addSettings(cmd, "database-url", "keys", "base-url")
	addDev(cmd)
	cmd.Flags().StringVar(&file, "file", "", "YAML or JSON document that takes the place of all settings")
	for _, row := range reauthSettings {
		if row.flag != "" {
			cmd.Flags().Func(row.flag, row.about, func(text string) error {
				given[row.flag] = append(given[row.flag], text)
				return nil
			})
		}
	}
	return cmd
}

func showReauth(ctx context.Context, std stdio, sys *system, app *consent.Application) error {
	set, err := sys.reauth.ReadSettings(ctx, app.ID)
	if errors.Is(err, consent.ErrNotFound) {
		_, err = fmt.Fprintf(std.out, "%s has no settings of re-authentication: its users cannot prove themselves here.\n"+
			"Begin with --issuer, --audience, --algorithms, and --jwks-url or --secret-file; see 'reconsent app reauth --help'.\n", app.Slug)
		return err
	}
	if err != nil {
		return fmt.Errorf("settings of re-authentication: %w", err)
	}
	w := tabwriter.NewWriter(std.out, 0, 4, 2, ' ', 0)
	for _, row := range reauthSettings {
		if row.path != "" {
			_, _ = fmt.Fprintf(w, "%s\t%s\n", row.path, cmp.Or(row.in(&set).show(), "-"))
		}
	}
	if set.OpenID.Issuer != "" {
		_, _ = fmt.Fprintf(w, "redirect_uri to register there\t%s\n", sys.reauth.BaseURL+stepup.PathReturn)
	}
	_, _ = fmt.Fprintf(w, "updated_at\t%s\n", set.UpdatedAt.Format(time.RFC3339))
	return w.Flush()
}

// changeReauth stores nothing unless all of it is right.
func changeReauth(ctx context.Context, std stdio, sys *system, app *consent.Application, file string, given map[string][]string) error {
	var set stepup.Settings
	var faults []error
	var err error
	if file != "" {
		if set, err = readReauthSettings(file, stepup.Settings{}); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", file, err))
		}
	} else if set, err = sys.reauth.ReadSettings(ctx, app.ID); err != nil && !errors.Is(err, consent.ErrNotFound) {
		return fmt.Errorf("the present settings of re-authentication cannot be read (%w); --file puts others in their place", err)
	}
	set.ApplicationID = app.ID
	for _, row := range reauthSettings {
		if texts, ok := given[row.flag]; ok && row.flag != "" {
			if err := row.in(&set).typed(texts); err != nil {
				faults = append(faults, fmt.Errorf("--%s: %w", row.flag, err))
			}
		}
	}
	// One source of keys takes the place of the other.
	_, published := given["jwks-url"]
	_, shared := given["secret-file"]
	switch {
	case published && !shared && set.Identity.JWKSURL != "":
		set.Identity.Secret = ""
	case shared && !published && set.Identity.Secret != "":
		set.Identity.JWKSURL = ""
	}
	if err := errors.Join(append(faults, sys.reauth.CheckSettings(set))...); err != nil {
		return oneLine(err)
	}
	if err := sys.reauth.PutSettings(ctx, set); err != nil {
		return err
	}
	_, err = fmt.Fprintf(std.out, "%s: settings of re-authentication stored; every replica follows within seconds\n", app.Slug)
	if err == nil && set.OpenID.Issuer != "" && (file != "" || given["openid-issuer"] != nil) {
		_, err = fmt.Fprintf(std.out, "register this redirect_uri at %s: %s\n", set.OpenID.Issuer, sys.reauth.BaseURL+stepup.PathReturn)
	}
	return err
}
