package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/consentfile"
)

func consentCommand(std stdio) *cobra.Command {
	cmd := &cobra.Command{Use: "consent", Short: "Import, export and look at consents"}
	cmd.AddCommand(importCommand(std), exportCommand(std), listCommand(std), showCommand(std))
	return cmd
}

// onSystem runs f on the configured registry.
func onSystem(std stdio, f func(cmd *cobra.Command, args []string, sys *system) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		dev, err := ofDev(cmd)
		if err != nil {
			return err
		}
		c, err := loadConfig(cmd)
		if err != nil {
			return err
		}
		sys, err := open(cmd.Context(), c, parts{now: time.Now, log: c.logger(std), loopback: dev})
		if err != nil {
			return err
		}
		if dev { // another registry beside dev's keys: what was sealed under its own would be lost
			if err := sys.reauth.CheckKeys(cmd.Context()); err != nil {
				return errors.Join(fmt.Errorf("--%s: this registry is not what that dev keeps: %w", devFlag, err), sys.close())
			}
		}
		return errors.Join(f(cmd, args, sys), sys.close())
	}
}

// onApplication runs f on the application that --app names.
func onApplication(std stdio, f func(cmd *cobra.Command, args []string, sys *system, app *consent.Application) error) func(*cobra.Command, []string) error {
	return onSystem(std, func(cmd *cobra.Command, args []string, sys *system) error {
		slug, _ := cmd.Flags().GetString("app")
		if slug == "" {
			return usagef("--app is missing: say which application, by its short name")
		}
		app, err := sys.applicationNamed(cmd.Context(), slug)
		if err != nil {
			return err
		}
		return f(cmd, args, sys, &app)
	})
}

func addApplication(cmd *cobra.Command) {
	addSettings(cmd, "database-url", "keys", "base-url", "log-level")
	cmd.Flags().String("app", "", "short name of the application")
}

func exportCommand(std stdio) *cobra.Command {
	var format string
	var withTokens bool
	cmd := &cobra.Command{
		Use: "export", Short: "Write consents to standard output, in the form that import reads",
		Long: "Writes every consent that is not revoked or pending to standard output. Refresh tokens are left out unless --with-tokens is given; the file is then a secret.",
		RunE: onApplication(std, func(cmd *cobra.Command, _ []string, sys *system, app *consent.Application) error {
			f := consentfile.Format(format)
			if f != consentfile.CSV && f != consentfile.JSONLines {
				return usagef("--format: want csv or jsonl")
			}
			w, err := consentfile.NewWriter(std.out, f)
			if err != nil {
				return err
			}
			err = sys.connector.Export(cmd.Context(), app, withTokens, func(c consent.Consent, email, token string) error {
				return w.Write(consentfile.Exported{Consent: c, Email: email, RefreshToken: token})
			})
			return errors.Join(err, w.Close())
		}),
	}
	addApplication(cmd)
	cmd.Flags().StringVar(&format, "format", "csv", "csv or jsonl")
	cmd.Flags().BoolVar(&withTokens, "with-tokens", false, "write refresh tokens in the clear")
	return cmd
}

func listCommand(std stdio) *cobra.Command {
	var status, user string
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "List consents, oldest first",
		RunE: onApplication(std, func(cmd *cobra.Command, _ []string, sys *system, app *consent.Application) error {
			if limit < 1 {
				return usagef("--limit: want at least 1")
			}
			if status != "" && !slices.Contains(consent.Statuses(), consent.Status(status)) {
				return usagef("--status: want pending, active, lapsing, lapsed, unrenewable or revoked")
			}
			found, err := sys.connector.Consents(cmd.Context(), app, consent.ListFilter{Status: consent.Status(status), UserID: user, Limit: limit})
			if err != nil {
				return err
			}
			return printConsents(std.out, sys, found)
		}),
	}
	addApplication(cmd)
	cmd.Flags().StringVar(&status, "status", "", "only these: pending, active, lapsing, lapsed, unrenewable or revoked")
	cmd.Flags().StringVar(&user, "user", "", "only this user's")
	cmd.Flags().IntVar(&limit, "limit", 100, "how many at most")
	return cmd
}

func printConsents(out io.Writer, sys *system, list []consent.Consent) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "ID\tUSER\tPROVIDER\tBANK\tSTATUS\tCYCLE\tEXPIRES")
	for i := range list {
		c := &list[i]
		expires := "unknown"
		if !c.ExpiresAt.IsZero() {
			expires = c.ExpiresAt.Format(time.RFC3339)
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\n", c.ID, c.UserID, c.Provider, c.ProviderID, sys.connector.StatusNow(c), c.Cycle, expires)
	}
	return w.Flush()
}

func showCommand(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use: "show ID", Short: "Show one consent and its history", Args: cobra.ExactArgs(1),
		RunE: onApplication(std, func(cmd *cobra.Command, args []string, sys *system, app *consent.Application) error {
			con, err := sys.connector.Consent(cmd.Context(), app, args[0])
			if err != nil {
				return usageError{err}
			}
			events, err := sys.connector.Events(cmd.Context(), app, con.ID, 0, 1000)
			if err != nil {
				return err
			}
			if err := printConsents(std.out, sys, []consent.Consent{con}); err != nil {
				return err
			}
			_, _ = fmt.Fprintf(std.out, "\ncredentials_id  %s\nredirect_uri    %s\ncustody         %s\nconsented_at    %s\nexpiry from     %s\n\n",
				con.CredentialsID, con.RedirectURI, con.Custody, con.ConsentedAt.Format(time.RFC3339), con.ExpirySource)
			for _, e := range events {
				data, err := json.Marshal(e.Data)
				if err != nil {
					return err
				}
				_, _ = fmt.Fprintf(std.out, "%4d  %s  %-22s %s %s\n", e.Seq, e.At.Format(time.RFC3339), e.Type, e.Stage, data)
			}
			return nil
		}),
	}
	addApplication(cmd)
	return cmd
}

// input opens a file, or standard input for "-".
func input(std stdio, name string) (io.Reader, int64, func(), error) {
	if name == "-" {
		return std.in, 0, func() {}, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, nil, usageError{err}
	}
	size := int64(0)
	if info, err := f.Stat(); err == nil {
		size = info.Size()
	}
	return f, size, func() { _ = f.Close() }, nil
}
