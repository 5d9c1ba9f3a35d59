package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"
)

func serveCommand(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use: "serve", Short: "Serve the API and the pages",
		Long: "Serves the API and the pages. The schema must be up to date: run 'reconsent migrate up' before.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := loadConfig(cmd)
			if err != nil {
				return err
			}
			return serve(cmd.Context(), c, std)
		},
	}
	addSettings(cmd, "database-url", "keys", "addr", "base-url", "log-level")
	return cmd
}

func serve(ctx context.Context, c config, std stdio) error {
	log := c.logger(std)
	sys, err := open(ctx, c, time.Now, log, false)
	if err != nil {
		return err
	}
	defer func() { _ = sys.store.Close() }()
	l, err := listen(ctx, c.addr)
	if err != nil {
		return err
	}
	group, ctx := newServing(ctx)
	sys.serve(ctx, group, l)
	log.Info("serving", "addr", l.Addr().String(), "base_url", c.baseURL, "version", version)
	return group.Wait()
}
