package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/reconsent/reconsent/seal"
)

func keysCommand(std stdio) *cobra.Command {
	cmd := &cobra.Command{Use: "keys", Short: "Make and rotate sealing keys"}
	cmd.AddCommand(newKeysCommand(std), rotateKeysCommand(std))
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

The key behind fingerprints stays: by it consents are found.`,
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
	return cmd
}

func printKeys(std stdio, k *seal.Keys) error {
	b, err := k.Marshal()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(std.out, string(b))
	return err
}
