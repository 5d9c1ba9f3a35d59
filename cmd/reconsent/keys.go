package main

import (
	"context"
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/reconsent/reconsent/reauth/proof"
	"github.com/reconsent/reconsent/reauth/stepup"
	"github.com/reconsent/reconsent/seal"
)

func keysCommand(std stdio) *cobra.Command {
	cmd := &cobra.Command{Use: "keys", Short: "Make, list and rotate sealing keys and the keys that sign proofs"}
	cmd.AddCommand(newKeysCommand(std), rotateKeysCommand(std), listKeysCommand(std))
	return cmd
}

func newKeysCommand(std stdio) *cobra.Command {
	return &cobra.Command{
		Use: "new", Short: "Print new sealing keys",
		Long: "Prints new sealing keys. Keep them in a file that only the service can read, and keep a copy: without them nothing that is sealed can be opened.",
		RunE: func(*cobra.Command, []string) error {
			k, err := seal.Generate()
			if err != nil {
				return err
			}
			return printKeys(std, k)
		},
	}
}

func rotateKeysCommand(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use: "rotate", Short: "Print the present sealing keys with a new one added",
		Long: `Prints the present sealing keys with a new one added. The new key seals from now
on; the old ones still open what they sealed. Put the output in the place of the
old file and restart every replica:

  RECONSENT_KEYS_FILE=keys.json reconsent keys rotate >keys.new && mv keys.new keys.json

The key behind fingerprints stays: by it consents are found.

The keys that sign proofs are others: they stand in the registry and follow one
another by themselves. 'reconsent keys rotate proofs' brings the next one now.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := loadConfig(cmd)
			if err != nil {
				return err
			}
			k, err := seal.Parse([]byte(c.keys))
			if err != nil {
				return err
			}
			if k, err = k.Rotate(); err != nil {
				return err
			}
			return printKeys(std, k)
		},
	}
	addSettings(cmd, "keys")
	cmd.AddCommand(rotateProofKeysCommand(std))
	return cmd
}

func rotateProofKeysCommand(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use: "proofs", Short: "Add the next key that signs proofs",
		Long: fmt.Sprintf("Adds the next key that signs proofs. It is published at once at /.well-known/jwks.json, and signs once every verifier can know it, %s later; "+
			"proofs of the key before it stay good. Without this it happens by itself every %d days.", inHours(proof.Lead), int(stepup.RotateEvery.Hours())/24),
		RunE: onSystem(std, func(cmd *cobra.Command, _ []string, sys *system) error {
			before, err := sys.store.ListProofKeys(cmd.Context())
			if err != nil {
				return err
			}
			if n := len(before); n > 0 && before[n-1].ActiveAt.After(sys.now()) {
				return fmt.Errorf("the next key is there already: %s signs from %s", before[n-1].ID, before[n-1].ActiveAt.Format(time.RFC3339))
			}
			if err := sys.reauth.RotateKeys(cmd.Context()); err != nil {
				return err
			}
			return printProofKeys(cmd.Context(), std, sys)
		}),
	}
	addSettings(cmd, "database-url", "keys", "base-url")
	return cmd
}

func listKeysCommand(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List the keys that sign proofs, newest first",
		Long: "Lists the keys that sign proofs, newest first, with from when and until when each signs. It checks that the sealing keys open them.",
		RunE: onSystem(std, func(cmd *cobra.Command, _ []string, sys *system) error {
			return printProofKeys(cmd.Context(), std, sys)
		}),
	}
	addSettings(cmd, "database-url", "keys", "base-url")
	return cmd
}

func printProofKeys(ctx context.Context, std stdio, sys *system) error {
	keys, err := sys.store.ListProofKeys(ctx)
	if err != nil {
		return err
	}
	if len(keys) == 0 {
		_, err = fmt.Fprintln(std.out, "No key signs proofs yet; the first one is made when it is needed.")
		return err
	}
	w := tabwriter.NewWriter(std.out, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "ID\tALGORITHM\tCREATED\tSIGNS FROM\tUNTIL\tNOW")
	now := sys.now()
	for _, k := range slices.Backward(keys) {
		until, state := "-", "signs"
		if !k.RetiredAt.IsZero() {
			until = k.RetiredAt.Format(time.RFC3339)
		}
		switch {
		case k.ActiveAt.After(now):
			state = "is published, does not sign yet"
		case !k.RetiredAt.IsZero() && !k.RetiredAt.After(now):
			state = "verifies only"
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Algorithm, k.CreatedAt.Format(time.RFC3339), k.ActiveAt.Format(time.RFC3339), until, state)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return sys.reauth.CheckKeys(ctx)
}

func printKeys(std stdio, k *seal.Keys) error {
	b, err := k.Marshal()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(std.out, string(b))
	return err
}
