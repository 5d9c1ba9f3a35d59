package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// stdio is what a command reads and writes, so that a test can hold it.
type stdio struct {
	in  io.Reader
	out io.Writer
	err io.Writer
}

// usageError is a fault of the command line or the configuration.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func newRoot(std stdio) *cobra.Command {
	root := &cobra.Command{
		Use:           "reconsent",
		Short:         "Keeps bank connections alive",
		Long:          "reconsent keeps a registry of bank consents, tells people before one lapses, leads them to their bank by one press, and proves that the same bank login came back.",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(std.in)
	root.SetOut(std.out)
	root.SetErr(std.err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(devCommand(std), serveCommand(std), sandboxCommand(std), migrateCommand(std), appCommand(std), notifyCommand(std),
		consentCommand(std), keysCommand(std), auditCommand(std), sweepCommand(std), doctorCommand(std), versionCommand(std))
	strictArgs(root)
	return root
}

// strictArgs makes wrong arguments a fault of usage on every command.
func strictArgs(cmd *cobra.Command) {
	check := cmd.Args
	if check == nil {
		check = cobra.NoArgs
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{err}
		}
		return nil
	}
	if cmd.RunE == nil && cmd.HasSubCommands() {
		cmd.RunE = func(cmd *cobra.Command, _ []string) error {
			return usagef("%s needs one of its commands; see %s --help", cmd.CommandPath(), cmd.CommandPath())
		}
	}
	for _, sub := range cmd.Commands() {
		strictArgs(sub)
	}
}

func versionCommand(std stdio) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version",
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(std.out, version)
			return err
		},
	}
}
