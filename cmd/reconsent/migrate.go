package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/reconsent/reconsent/scheduler"
	"github.com/reconsent/reconsent/sqlstore"
)

func migrateCommand(std stdio) *cobra.Command {
	cmd := &cobra.Command{Use: "migrate", Short: "Bring the schema up to date, or look at it"}
	up := &cobra.Command{
		Use: "up", Short: "Apply what is missing",
		RunE: withStore(func(cmd *cobra.Command, s *sqlstore.Store) error {
			if err := migrateUp(cmd.Context(), s); err != nil {
				return err
			}
			return migrationStatus(cmd, s, std)
		}),
	}
	status := &cobra.Command{
		Use: "status", Short: "List what is applied and what is missing",
		RunE: withStore(func(cmd *cobra.Command, s *sqlstore.Store) error { return migrationStatus(cmd, s, std) }),
	}
	addSettings(up, "database-url")
	addSettings(status, "database-url")
	cmd.AddCommand(up, status)
	return cmd
}

func withStore(f func(*cobra.Command, *sqlstore.Store) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		c, err := loadConfig(cmd)
		if err != nil {
			return err
		}
		s, err := sqlstore.Open(cmd.Context(), c.databaseURL)
		if err != nil {
			return err
		}
		return errors.Join(f(cmd, s), s.Close())
	}
}

func migrationStatus(cmd *cobra.Command, s *sqlstore.Store, std stdio) error {
	list, err := s.MigrationStatus(cmd.Context())
	if err != nil {
		return err
	}
	for _, m := range list {
		state := "missing"
		if m.Applied {
			state = "applied"
		}
		if _, err := fmt.Fprintf(std.out, "%-8s %s\n", state, m.File); err != nil {
			return err
		}
	}
	state := "applied"
	if err := checkJobs(cmd.Context(), s); errors.Is(err, scheduler.ErrOutdated) {
		state = "missing"
	} else if err != nil {
		return err
	}
	_, err = fmt.Fprintf(std.out, "%-8s %s\n", state, "the job tables (River)")
	return err
}
