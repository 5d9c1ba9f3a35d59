package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/reconsent/reconsent/provider/sandbox"
)

func sandboxCommand(std stdio) *cobra.Command {
	var addr, path, id, secret string
	cmd := &cobra.Command{
		Use: "sandbox", Short: "Serve the sandbox bank alone",
		Long: "Serves a bank that speaks TrueLayer's protocol, with a clock to move and faults to switch on, for tests of any client. Not for production.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serveSandbox(cmd.Context(), std, addr, sandbox.Options{ClientID: id, ClientSecret: secret, Path: path})
		},
	}
	cmd.Flags().StringVar(&addr, "addr", "127.0.0.1:8081", "address to listen on")
	cmd.Flags().StringVar(&path, "data", "", "file to keep the bank's memory in; left out, nothing is kept")
	cmd.Flags().StringVar(&id, "client-id", "sandbox-demo", "client id to accept")
	cmd.Flags().StringVar(&secret, "client-secret", "sandbox-secret", "its secret")
	return cmd
}

func serveSandbox(ctx context.Context, std stdio, addr string, opt sandbox.Options) error {
	opt.Log = config{}.logger(std)
	bank, err := sandbox.New(ctx, opt)
	if err != nil {
		return err
	}
	defer func() { _ = bank.Close() }()
	l, err := listen(ctx, addr)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(std.out, "Sandbox bank on http://%s (client %s). Clock: GET and POST /_control/clock. Faults: GET /_control/faults.\n", l.Addr(), opt.ClientID); err != nil {
		return errors.Join(err, l.Close())
	}
	group, ctx := newServing(ctx)
	group.serve(ctx, l, bank.Handler())
	return group.Wait()
}
