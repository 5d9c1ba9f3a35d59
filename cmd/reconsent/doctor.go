package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/scheduler"
	"github.com/reconsent/reconsent/sqlstore"
)

func doctorCommand(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use: "doctor", Short: "Look for what is wrong or risky in an installation",
		Long: "Looks at configuration, database and applications, changes nothing, and prints a line for each finding. Exits 1 where something does not work.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			dev, err := ofDev(cmd)
			if err != nil {
				return err
			}
			c, err := loadConfig(cmd)
			if err != nil {
				return err
			}
			d := doctor{std: std, dev: dev}
			d.examine(cmd.Context(), c)
			if d.failed > 0 {
				return fmt.Errorf("found what does not work: %d, marked FAIL above", d.failed)
			}
			return nil
		},
	}
	addSettings(cmd, "database-url", "keys", "base-url", "log-level", "sweep-schedule", "smtp-url", "sms-url")
	addDev(cmd)
	return cmd
}

// doctor prints what it finds, most basic first.
type doctor struct {
	std    stdio
	dev    bool // the installation is dev's
	failed int
}

func (d *doctor) ok(format string, args ...any)   { d.say("ok  ", format, args...) }
func (d *doctor) warn(format string, args ...any) { d.say("WARN", format, args...) }
func (d *doctor) fail(format string, args ...any) {
	d.failed++
	d.say("FAIL", format, args...)
}

func (d *doctor) say(level, format string, args ...any) {
	_, _ = fmt.Fprintf(d.std.out, "%s  %s\n", level, fmt.Sprintf(format, args...))
}

func (d *doctor) examine(ctx context.Context, c config) {
	d.baseURL(c.baseURL)
	if strings.HasPrefix(c.databaseURL, "sqlite:") {
		d.warn("database: SQLite serves one process; for several replicas take PostgreSQL")
	}
	if !d.schema(ctx, c) {
		return
	}
	sys, err := open(ctx, c, parts{now: time.Now, log: c.logger(d.std), loopback: d.dev})
	if err != nil {
		d.fail("registry: %v", err)
		return
	}
	defer func() { _ = sys.store.Close() }()
	apps, unreadable, err := sys.store.ListApplications(ctx)
	if err != nil {
		d.fail("applications: %v", err)
		return
	}
	if len(apps)+len(unreadable) == 0 {
		d.warn("no application yet; make one with 'reconsent app create'")
	}
	for _, u := range unreadable {
		d.fail("application %s: %v; its consents are parked until that is mended", u.Slug, u.Fault)
	}
	for i := range apps {
		d.application(ctx, sys, &apps[i])
		if len(apps[i].SMSStages) > 0 && c.smsURL == "" {
			d.warn("application %s: tells of %s by SMS, but there is no sms-url", apps[i].Slug, strings.Join(apps[i].SMSStages, ", "))
		}
	}
	d.reauth(ctx, sys, c, apps)
	d.work(ctx, sys, c)
}

// work looks at what sweeps and checks have left for people to look at.
func (d *doctor) work(ctx context.Context, sys *system, c config) {
	if sweep, err := scheduler.ParseSchedule(c.sweepSchedule); err != nil {
		d.fail("sweep-schedule: %v", err)
	} else if err := sys.checkCadences(ctx, sweep); err != nil {
		d.fail("%v", err)
	}
	if c.smtpURL == "" {
		d.warn("smtp-url: none; no mail reaches people: applications find what is announced in a consent's history only")
	}
	slugs, err := sys.shortNames(ctx)
	if err != nil {
		d.fail("applications: %v", err)
		return
	}
	count, first, err := sys.connector.Parked(ctx, parkedShown)
	if err != nil {
		d.fail("parked consents: %v", err)
	}
	if count > 0 {
		d.warn("parked consents: %d; their data cannot be judged, so nothing is announced about them:", count)
	}
	for i := range first {
		c := &first[i]
		d.warn("  %s of %s, %s since %s", c.ID, slugs[c.ApplicationID], c.ParkedReason, c.ParkedAt.Format(time.RFC3339))
	}
	alarms, err := sys.connector.Alarms(ctx, nil, false)
	if err != nil {
		d.fail("alarms: %v", err)
	}
	for _, a := range alarms {
		about := strings.Join(slices.DeleteFunc([]string{slugs[a.ApplicationID], a.Provider, a.ProviderID}, func(s string) bool { return s == "" }), ", ")
		d.warn("alarm %s (%s) since %s: %s", a.Kind, about, a.OpenedAt.Format(time.RFC3339), a.Detail)
	}
}

func (d *doctor) baseURL(base string) {
	u, err := url.Parse(base)
	switch {
	case err != nil:
		d.fail("base URL: %v", err)
	case u.Scheme != "https" && u.Hostname() != "localhost" && u.Hostname() != "127.0.0.1":
		d.warn("base URL %s: not https; people follow mailed links to it, and codes come back to it", base)
	default:
		d.ok("base URL %s", base)
	}
}

// schema reports whether it is worth going on.
func (d *doctor) schema(ctx context.Context, c config) bool {
	store, err := sqlstore.Open(ctx, c.databaseURL)
	if err != nil {
		d.fail("database: %v", err)
		return false
	}
	list, err := store.MigrationStatus(ctx)
	jobs := checkJobs(ctx, store)
	if err = errors.Join(err, store.Close()); err != nil {
		d.fail("database: %v", err)
		return false
	}
	missing := 0
	for _, m := range list {
		if !m.Applied {
			missing++
		}
	}
	if missing > 0 {
		d.fail("schema: %d of %d migrations are missing; run 'reconsent migrate up'", missing, len(list))
		return false
	}
	if jobs != nil {
		d.fail("schema: %v", jobs)
		return false
	}
	d.ok("database answers, schema is up to date")
	return true
}

func (d *doctor) application(ctx context.Context, sys *system, app *consent.Application) {
	if !app.ConfirmLinks {
		d.warn("application %s: confirm_links is off; a hosted link sent to somebody else brings their accounts", app.Slug)
	}
	if len(app.RedirectURIs) == 0 && len(app.ReturnTos) == 0 {
		d.warn("application %s: allows no redirect_uri and no return_to; people can only end on our own page", app.Slug)
	}
	if len(app.ProviderNames) == 0 {
		d.warn("application %s: no provider is configured", app.Slug)
	}
	keys, err := sys.store.ListAPIKeys(ctx, app.ID)
	if err != nil {
		d.fail("application %s: %v", app.Slug, err)
		return
	}
	inForce := 0
	for _, k := range keys {
		if k.RevokedAt.IsZero() {
			inForce++
		}
	}
	if inForce == 0 {
		d.warn("application %s: every API key is revoked", app.Slug)
	}
	for _, name := range app.ProviderNames {
		if err := sys.connector.CheckProvider(ctx, app, name); err != nil {
			d.fail("application %s, provider %s: %v (sealed under other keys, or set by another version?)", app.Slug, name, err)
			continue
		}
		d.ok("application %s, provider %s: settings can be opened", app.Slug, name)
	}
}
