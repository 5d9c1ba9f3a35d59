package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/reconsent/reconsent/consent"
)

func appKeysCommand(std stdio) *cobra.Command {
	cmd := &cobra.Command{Use: "keys", Short: "List, make and revoke an application's API keys"}
	cmd.AddCommand(listAPIKeysCommand(std), newAPIKeyCommand(std), revokeAPIKeyCommand(std))
	return cmd
}

func listAPIKeysCommand(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List API keys; the keys themselves are not kept",
		RunE: onApplication(std, func(cmd *cobra.Command, _ []string, sys *system, app *consent.Application) error {
			keys, err := sys.store.ListAPIKeys(cmd.Context(), app.ID)
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(std.out, 0, 4, 2, ' ', 0)
			_, _ = fmt.Fprintln(w, "ID\tNAME\tCREATED\tREVOKED")
			for _, k := range keys {
				revoked := "no"
				if !k.RevokedAt.IsZero() {
					revoked = k.RevokedAt.Format(time.RFC3339)
				}
				_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", k.ID, k.Name, k.CreatedAt.Format(time.RFC3339), revoked)
			}
			return w.Flush()
		}),
	}
	addApplication(cmd)
	return cmd
}

func newAPIKeyCommand(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use: "new NAME", Short: "Make an API key and print it, once", Args: cobra.ExactArgs(1),
		RunE: onApplication(std, func(cmd *cobra.Command, args []string, sys *system, app *consent.Application) error {
			key, stored, err := sys.connector.NewAPIKey(cmd.Context(), app, args[0])
			if err != nil {
				return err
			}
			return json.NewEncoder(std.out).Encode(map[string]string{"id": stored.ID, "name": stored.Name, "api_key": key})
		}),
	}
	addApplication(cmd)
	return cmd
}

func revokeAPIKeyCommand(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use: "revoke ID", Short: "Revoke an API key; it stops working at once", Args: cobra.ExactArgs(1),
		RunE: onApplication(std, func(cmd *cobra.Command, args []string, sys *system, app *consent.Application) error {
			err := sys.connector.RevokeAPIKey(cmd.Context(), app, args[0])
			if isNotFound(err) {
				return usagef("application %q has no API key %q; 'reconsent app keys list' names them", app.Slug, args[0])
			}
			return err
		}),
	}
	addApplication(cmd)
	return cmd
}
