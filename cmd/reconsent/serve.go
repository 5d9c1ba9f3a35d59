package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/reconsent/reconsent/notify/email"
	"github.com/reconsent/reconsent/notify/sms"
	"github.com/reconsent/reconsent/scheduler"
)

func serveCommand(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use: "serve", Short: "Serve the API and the pages, and run the jobs",
		Long: "Serves the API and the pages, and runs sweeps, checks and messages, once among all replicas on one PostgreSQL. The schema must be up to date: run 'reconsent migrate up' before.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := loadConfig(cmd)
			if err != nil {
				return err
			}
			return serve(cmd.Context(), c, std)
		},
	}
	addSettings(cmd, "database-url", "keys", "addr", "base-url", "trusted-proxies", "log-level", "sweep-schedule", "smtp-url", "mail-from", "sms-url", "sms-body", "sms-header")
	return cmd
}

func serve(ctx context.Context, c config, std stdio) (err error) {
	log := c.logger(std)
	sweep, err := scheduler.ParseSchedule(c.sweepSchedule)
	if err != nil {
		return err
	}
	p := parts{now: time.Now, log: log, sweep: sweep, proxies: c.trustedProxies()}
	if c.smtpURL != "" {
		mailer, err := email.New(c.smtpURL, c.mailFrom)
		if err != nil {
			return err
		}
		defer mailer.Close()
		p.mailer = mailer
		codes, err := email.New(c.smtpURL, c.mailFrom)
		if err != nil {
			return err
		}
		defer codes.Close()
		p.codes = codes
	}
	if c.smsURL != "" {
		if p.sms, err = sms.New(c.smsURL, sms.Options{Body: c.smsBody, Header: c.smsHeader}); err != nil {
			return err
		}
	}
	sys, err := open(ctx, c, p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sys.close()) }() //nolint:contextcheck // ctx is over by then
	if err := sys.checkCadences(ctx, sweep); err != nil {
		return err
	}
	l, err := listen(ctx, c.addr)
	if err != nil {
		return err
	}
	group, ctx := newServing(ctx)
	sys.serve(ctx, group, l, sys.handler())
	log.Info("serving", "addr", l.Addr().String(), "base_url", c.baseURL, "version", version, "mail", p.mailer != nil, "sms", p.sms != nil)
	return group.Wait()
}
