package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/reconsent/reconsent/seal"
)

func keysCommand(std stdio) *cobra.Command {
	cmd := &cobra.Command{Use: "keys", Short: "Make sealing keys"}
	cmd.AddCommand(&cobra.Command{
		Use: "new", Short: "Print new sealing keys",
		Long: "Prints new sealing keys. Keep them in a file that only the service can read, and keep a copy: without them nothing that is sealed can be opened.",
		RunE: func(*cobra.Command, []string) error {
			k, err := seal.Generate()
			if err != nil {
				return err
			}
			b, err := k.Marshal()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(std.out, string(b))
			return err
		},
	})
	return cmd
}
