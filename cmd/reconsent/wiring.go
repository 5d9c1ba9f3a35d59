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
	"github.com/reconsent/reconsent/provider"
	"github.com/reconsent/reconsent/provider/truelayer"
	"github.com/reconsent/reconsent/scheduler"
	"github.com/reconsent/reconsent/seal"
	"github.com/reconsent/reconsent/sqlstore"
)

// providerTimeout bounds one call to a provider. An exchange takes up to three
// of them, which must fit well into the connector's claim.
const providerTimeout = 15 * time.Second

// catalog names the providers of this build. In development "sandbox" is the
// TrueLayer adapter, pointed at the sandbox bank.
var catalog = provider.Catalog{"truelayer": truelayer.Open, "sandbox": truelayer.Open}

// newID returns an id that sorts by time.
func newID() string { return strings.ReplaceAll(uuid.Must(uuid.NewV7()).String(), "-", "") }

// system is everything that a command works with.
type system struct {
	store     *sqlstore.Store
	connector *connector.Connector
	now       func() time.Time
	log       *slog.Logger
}

// open connects to the registry and builds the use cases on it.
func open(ctx context.Context, c config, now func() time.Time, log *slog.Logger, migrate bool) (*system, error) {
	keys, err := seal.Parse([]byte(c.keys))
	if err != nil {
		return nil, err
	}
	store, err := sqlstore.Open(ctx, c.databaseURL)
	if err != nil {
		return nil, err
	}
	prepare := store.Prepare
	if migrate {
		prepare = store.Migrate
	}
	if err := prepare(ctx); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return &system{store: store, now: now, log: log, connector: connector.New(connector.Config{
		Registry: store, Keys: keys, Catalog: catalog, Now: now, NewID: newID, Log: log, BaseURL: c.baseURL,
		Provider: provider.Deps{HTTP: &http.Client{Timeout: providerTimeout}, Now: now, Log: log},
	})}, nil
}

// upkeepPeriod is how often what was left half done is looked for.
const upkeepPeriod = 30 * time.Second

// serve runs the HTTP surface and the upkeep.
func (s *system) serve(ctx context.Context, g serving, l net.Listener) {
	g.Go(func() error {
		scheduler.Every(ctx, upkeepPeriod, s.log, "upkeep", s.connector.Upkeep)
		return nil
	})
	g.serve(ctx, l, api.New(api.Config{Connector: s.connector, Now: s.now, Log: s.log, Version: version}).Handler())
}

// applicationNamed finds an application by its short name.
func (s *system) applicationNamed(ctx context.Context, slug string) (consent.Application, error) {
	app, err := s.store.ApplicationBySlug(ctx, slug)
	if errors.Is(err, consent.ErrNotFound) {
		return app, usagef("no application %q; 'reconsent app list' names them", slug)
	}
	return app, err
}

// drainTime is how long requests under way are waited for at the end.
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
