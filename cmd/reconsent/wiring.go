package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/reconsent/reconsent/api"
	"github.com/reconsent/reconsent/connector"
	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/internal/outbound"
	"github.com/reconsent/reconsent/notify"
	"github.com/reconsent/reconsent/notify/webhook"
	"github.com/reconsent/reconsent/provider"
	"github.com/reconsent/reconsent/provider/truelayer"
	"github.com/reconsent/reconsent/reauth/idp"
	"github.com/reconsent/reconsent/reauth/password"
	"github.com/reconsent/reconsent/reauth/stepup"
	"github.com/reconsent/reconsent/reauth/usertoken"
	"github.com/reconsent/reconsent/scheduler"
	"github.com/reconsent/reconsent/seal"
	"github.com/reconsent/reconsent/sqlstore"
)

// providerTimeout bounds one call to a provider. An exchange takes up to three
// of them, which must fit well into the connector's claim.
const providerTimeout = 15 * time.Second

// catalog names the providers of this build. In development "sandbox" is the
// TrueLayer adapter, pointed at the sandbox bank.
var catalog = provider.Catalog{"truelayer": truelayer.Adapter, "sandbox": truelayer.Adapter}

// newID returns an id that sorts by time.
func newID() string { return strings.ReplaceAll(uuid.Must(uuid.NewV7()).String(), "-", "") }

// system is everything that a command works with.
type system struct {
	store     *sqlstore.Store
	connector *connector.Connector
	reauth    *stepup.Service
	messenger *messenger
	tokens    *usertoken.Verifier
	scheduler *scheduler.Scheduler
	webhooks  *notify.Webhooks
	proxies   []string
	now       func() time.Time
	log       *slog.Logger
}

// kinds of jobs, as they stand in the database.
const (
	jobSweep     = "sweep"
	jobDispatch  = "dispatch"
	jobReconcile = "reconcile"
	jobUpkeep    = "upkeep"
)

// parts are what differs between a deployment and development.
type parts struct {
	now     func() time.Time
	log     *slog.Logger
	mailer  notify.Mailer // nil: no mail server is configured
	sms     notify.Mailer // nil: no SMS gateway is configured
	codes   notify.Mailer // for codes, which no reminder is to hold up; nil takes mailer
	sweep   scheduler.Schedule
	poll    time.Duration // for jobs; 0 takes the default
	migrate bool          // bring the schema up to date first
	// loopback lets webhooks go to this machine, and by http.
	loopback bool
	proxies  []string // whose word on a caller's address is taken
}

// open connects to the registry and builds the use cases on it.
func open(ctx context.Context, c config, p parts) (*system, error) {
	keys, err := seal.Parse([]byte(c.keys))
	if err != nil {
		return nil, err
	}
	store, err := sqlstore.Open(ctx, c.databaseURL)
	if err != nil {
		return nil, err
	}
	if err := prepare(ctx, store, p.migrate); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	targets := outbound.NewTargets(p.loopback)
	s := &system{store: store, proxies: p.proxies, now: p.now, log: p.log, connector: connector.New(connector.Config{
		NoMail:  p.mailer == nil,
		Targets: targets, Registry: store, Keys: keys, Catalog: catalog, Now: p.now, NewID: newID, Log: p.log, BaseURL: c.baseURL,
		Provider: provider.Deps{HTTP: &http.Client{Timeout: providerTimeout}, Now: p.now, Log: p.log},
	})}
	s.webhooks = notify.NewWebhooks(notify.WebhooksConfig{
		Registry: store, Poster: webhook.New(webhook.Config{Targets: targets, Now: time.Now, Version: version}), Keys: keys, Body: api.WebhookBody, Paused: s.connector.WebhookPaused, Now: p.now, NewID: newID, Log: p.log,
	})
	s.openReauth(c, p, keys, targets)
	if s.scheduler, err = s.newScheduler(p); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	store.UseQueue(s.scheduler)
	return s, nil
}

// openReauth builds the use cases of users who prove themselves again.
func (s *system) openReauth(c config, p parts, keys *seal.Keys, targets *outbound.Targets) {
	s.messenger = newMessenger(p)
	s.tokens = usertoken.New(usertoken.Config{Targets: targets, Now: p.now, Log: p.log})
	s.reauth = stepup.New(stepup.Config{
		Store: s.store, Applications: s.store, Keys: keys, Tokens: s.tokens, Passwords: password.New(passwordWorkers), Messenger: s.messenger,
		Identity: idp.New(idp.Config{HTTP: &http.Client{Timeout: providerTimeout, Transport: targets.Transport(outbound.Config{Timeout: providerTimeout})}, Now: p.now, Loopback: p.loopback}),
		Now:      p.now, NewID: newID, Log: p.log, BaseURL: c.baseURL, Targets: targets, NamesOptional: p.loopback,
	})
	s.messenger.sent, s.messenger.unsent = s.reauth.CodeSent, s.reauth.NoticeUnsent
}

// passwordWorkers is how many passwords are hashed at a time: each takes up to
// 64 MiB.
const passwordWorkers = 4

// upkeep keeps both halves in order.
func (s *system) upkeep(ctx context.Context, _ string) error {
	return errors.Join(s.connector.Upkeep(ctx), s.reauth.Upkeep(ctx))
}

// prepare makes the database ready for use, or fails where it is not.
func prepare(ctx context.Context, store *sqlstore.Store, migrate bool) error {
	if migrate {
		return migrateUp(ctx, store)
	}
	if err := store.PrepareStatements(ctx); err != nil {
		return err
	}
	return checkJobs(ctx, store)
}

// checkJobs fails where the jobs' tables are not up to date.
func checkJobs(ctx context.Context, store *sqlstore.Store) error {
	err := scheduler.Check(ctx, store.DB(), store.IsSQLite())
	if errors.Is(err, scheduler.ErrOutdated) {
		err = fmt.Errorf("%w: run 'reconsent migrate up'", err)
	}
	return err
}

// migrateUp brings the registry's tables and the jobs' up to date.
func migrateUp(ctx context.Context, store *sqlstore.Store) error {
	if err := store.Migrate(ctx); err != nil {
		return err
	}
	return scheduler.Migrate(ctx, store.DB(), store.IsSQLite())
}

// mailWorkers are a few more than there are connections to a mail server, which
// are idle while one reads and records: each sends a batch.
const mailWorkers = 10

// smsWorkers are few: gateways bound how many messages a second they take.
const smsWorkers = 5

// Limits of one run of a scheduled job; what is left is for the next.
const (
	sweepTimeout     = 15 * time.Minute
	reconcileTimeout = 5 * time.Minute
)

func (s *system) newScheduler(p parts) (*scheduler.Scheduler, error) {
	halfMinute, err := scheduler.ParseSchedule("@every 30s")
	if err != nil {
		return nil, err
	}
	minute, err := scheduler.ParseSchedule("@every 1m")
	if err != nil {
		return nil, err
	}
	seconds, err := scheduler.ParseSchedule("@every 2s")
	if err != nil {
		return nil, err
	}
	sweep := p.sweep
	if sweep.Schedule == nil {
		sweep = minute
	}
	n := notify.New(notify.Config{Registry: s.store, Links: s.connector, Gate: s.connector, Mailer: p.mailer, SMS: p.sms, Now: p.now, NewID: newID, Log: p.log})
	jobs := []scheduler.Job{
		// A dead mail server holds up no SMS, nor a dead gateway a mail.
		{Kind: consent.JobDigest, Do: n.Do, Timeout: notify.BatchTimeout, Queue: "mail", Workers: mailWorkers},
		{Kind: consent.JobDigestAsked, Do: n.Do, Timeout: notify.BatchTimeout, Queue: "mail", Workers: mailWorkers, Urgent: true},
		{Kind: consent.JobDigestSMS, Do: n.Do, Timeout: notify.BatchTimeout, Queue: "sms", Workers: smsWorkers},
		{Kind: jobSweep, Do: s.sweep, Every: &sweep, Timeout: sweepTimeout},
		{Kind: jobDispatch, Do: s.dispatch, Every: &seconds},
		{Kind: jobReconcile, Do: func(ctx context.Context, _ string) error { return s.connector.Reconcile(ctx) }, Every: &minute, Timeout: reconcileTimeout},
		{Kind: jobUpkeep, Do: s.upkeep, Every: &halfMinute, Timeout: reconcileTimeout},
		{Kind: consent.JobInbound, Do: func(ctx context.Context, _ string) error { return s.connector.ApplyInbound(ctx) }, Timeout: reconcileTimeout},
		{Kind: consent.JobWebhooks, Do: s.webhooks.Do, Timeout: notify.JobTimeout, Queue: "webhooks", Workers: webhookWorkers},
	}
	return scheduler.New(scheduler.Config{DB: s.store.DB(), SQLite: s.store.IsSQLite(), Log: p.log, Now: time.Now, Jobs: jobs, Poll: p.poll})
}

// webhookWorkers is how many endpoints one process sends to at a time. Each has
// one worker, so that a slow one slows no other.
const webhookWorkers = 32

// sweep is a sweep as a job.
func (s *system) sweep(ctx context.Context, _ string) error {
	swept, queued, err := s.announce(ctx)
	if total := swept.Total(); total+queued > 0 {
		s.log.Info("swept", "announced", total, "skipped", swept.Skipped, "parked", swept.Parked, "messages", queued)
	}
	return err
}

// dispatch makes jobs of webhooks that are due, and of messages that are due
// since the last sweep: retries, and what waited for its hour.
func (s *system) dispatch(ctx context.Context, _ string) error {
	_, err := s.connector.Dispatch(ctx)
	_, fault := s.webhooks.Dispatch(ctx)
	return errors.Join(err, fault)
}

// announce sweeps, and sends off the messages that are due: those of the sweep
// after it is through, and others whatever became of it.
func (s *system) announce(ctx context.Context) (connector.Swept, int, error) {
	swept, err := s.connector.Sweep(ctx)
	queued, fault := s.connector.Dispatch(ctx)
	return swept, queued, errors.Join(err, fault)
}

// serve runs the HTTP surface and the jobs.
func (s *system) serve(ctx context.Context, g serving, l net.Listener, h http.Handler) {
	g.Go(func() error { return s.scheduler.Run(ctx, drainTime) })
	g.serve(ctx, l, h)
}

// handler is the API and the pages.
func (s *system) handler() http.Handler {
	return api.New(api.Config{Connector: s.connector, Reauth: s.reauth, TrustedProxies: s.proxies, Now: s.now, Log: s.log, Version: version}).Handler()
}

// close gives everything back, once what must not be lost is stored: also where
// the context that it ran with is over.
func (s *system) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	drained := errors.Join(s.connector.Drain(ctx), s.messenger.Drain(ctx))
	s.tokens.Close()
	return errors.Join(drained, s.store.Close())
}

// applicationNamed finds an application by its short name.
func (s *system) applicationNamed(ctx context.Context, slug string) (consent.Application, error) {
	app, err := s.store.ApplicationBySlug(ctx, slug)
	if errors.Is(err, consent.ErrNotFound) {
		return app, usagef("no application %q; 'reconsent app list' names them", slug)
	}
	return app, err
}

// shortNames names applications by id, as people know them.
func (s *system) shortNames(ctx context.Context) (map[string]string, error) {
	apps, unreadable, err := s.store.ListApplications(ctx)
	names := make(map[string]string, len(apps)+len(unreadable))
	for i := range apps {
		names[apps[i].ID] = apps[i].Slug
	}
	for _, u := range unreadable {
		names[u.ID] = u.Slug
	}
	return names, err
}

// drainTime is how long requests and jobs under way are waited for at the end:
// less than the 30 seconds after which Kubernetes kills.
const drainTime = 20 * time.Second

// serving is what runs until one part of it fails or the command is stopped;
// then all of it drains and ends. Build it with newServing.
type serving struct{ *errgroup.Group }

// newServing returns the group, and the context that its parts end with.
func newServing(ctx context.Context) (serving, context.Context) {
	g, ctx := errgroup.WithContext(ctx)
	return serving{g}, ctx
}

// serve answers on a listener, which it closes in the end.
func (g serving) serve(ctx context.Context, l net.Listener, h http.Handler) {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute}
	g.Go(func() error {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
		defer cancel()
		return srv.Shutdown(drain)
	})
}

func listen(ctx context.Context, addr string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	return l, nil
}
