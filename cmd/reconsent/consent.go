package main

import "github.com/spf13/cobra"

func consentCommand(std stdio) *cobra.Command {
	return &cobra.Command{Use: "consent", Short: "Import, export and look at consents"}
}
