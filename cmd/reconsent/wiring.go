package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

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

// handler returns the HTTP surface.
func (s *system) handler() http.Handler {
	return api.New(api.Config{Connector: s.connector, Now: s.now, Log: s.log, Version: version}).Handler()
}

// upkeepPeriod is how often what was left half done is looked for.
const upkeepPeriod = 30 * time.Second

// upkeep runs until ctx ends.
func (s *system) upkeep(ctx context.Context) {
	scheduler.Every(ctx, upkeepPeriod, s.log, "upkeep", s.connector.Upkeep)
}

// applicationNamed finds an application by its short name.
func (s *system) applicationNamed(ctx context.Context, slug string) (consent.Application, error) {
	app, err := s.store.ApplicationBySlug(ctx, slug)
	if errors.Is(err, consent.ErrNotFound) {
		return app, usagef("no application %q; 'reconsent app list' names them", slug)
	}
	return app, err
}

// serving is a group of listeners that stop together.
type serving struct {
	log     *slog.Logger
	servers []*http.Server
	group   sync.WaitGroup
	failed  chan error
}

func (g *serving) serve(l net.Listener, h http.Handler) {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	g.servers = append(g.servers, srv)
	g.group.Go(func() {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			select {
			case g.failed <- err:
			default:
			}
		}
	})
}

// drainTime is how long requests under way are waited for at the end.
const drainTime = 20 * time.Second

// wait serves until ctx ends or a listener fails, then drains.
func (g *serving) wait(ctx context.Context) error {
	var err error
	select {
	case <-ctx.Done():
	case err = <-g.failed:
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	for _, srv := range g.servers {
		err = errors.Join(err, srv.Shutdown(drain))
	}
	g.group.Wait()
	return err
}

func newServing(log *slog.Logger) *serving { return &serving{log: log, failed: make(chan error, 1)} }

func listen(ctx context.Context, addr string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	return l, nil
}
