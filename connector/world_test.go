package connector_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/connector"
	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/internal/pgtest"
	"github.com/reconsent/reconsent/provider"
	"github.com/reconsent/reconsent/provider/sandbox"
	"github.com/reconsent/reconsent/provider/sandbox/bankbrowser"
	"github.com/reconsent/reconsent/provider/truelayer"
	"github.com/reconsent/reconsent/seal"
	"github.com/reconsent/reconsent/sqlstore"
)

const (
	appCallback = "https://app.example/callback"
	appReturn   = "https://app.example/done"
	ourBase     = "https://consents.example"
	day         = 24 * time.Hour
)

// world is a connector on a real database, against the sandbox bank through
// the TrueLayer adapter, with everything that it logs.
type world struct {
	*testing.T
	*connector.Connector
	bank   *sandbox.Server
	bankAt string
	store  *sqlstore.Store
	reg    *faultyRegistry
	keys   *seal.Keys
	app    *consent.Application
	logs   *lockedBuffer
	url    string // of the database
	path   string // of its file; empty on PostgreSQL
}

// onPostgres says where the worlds keep their registry: every test of the
// package runs on SQLite, and once more on PostgreSQL.
var onPostgres bool

func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		onPostgres = true
		code = pgtest.Main(m)
	}
	os.Exit(code)
}

type option func(*setup)

type setup struct {
	catalog provider.Catalog
	confirm bool
	policy  consent.Policy
}

func confirming(s *setup) { s.confirm = true }

func withProvider(open provider.Opener) option {
	return func(s *setup) {
		s.catalog["truelayer"] = provider.Adapter{Open: open, IdleLimit: truelayer.IdleLimit, CallsPerMinute: truelayer.Adapter.CallsPerMinute}
	}
}

func newWorld(t *testing.T, opts ...option) *world {
	t.Helper()
	s := setup{
		catalog: provider.Catalog{"truelayer": truelayer.Adapter},
		policy:  consent.Policy{Validity: 90 * day, RenewalWindow: 90 * day},
	}
	for _, o := range opts {
		o(&s)
	}
	w := &world{T: t, logs: &lockedBuffer{}}
	var err error
	w.bank, err = sandbox.New(t.Context(), sandbox.Options{ClientID: "client", ClientSecret: "client-secret-0123456789"})
	require.NoError(t, err)
	server := httptest.NewServer(w.bank.Handler())
	t.Cleanup(server.Close)
	w.bankAt = server.URL
	w.keys, err = seal.Generate()
	require.NoError(t, err)
	if onPostgres {
		w.url = pgtest.DSN(t)
	} else {
		w.path = filepath.Join(t.TempDir(), "reconsent.db")
		w.url = "sqlite:" + w.path
	}
	w.store, err = sqlstore.Open(t.Context(), w.url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = w.store.Close() })
	require.NoError(t, w.store.Migrate(t.Context()))
	w.reg = &faultyRegistry{Registry: w.store}
	w.Connector = w.another(s.catalog)

	app, err := w.CreateApplication(t.Context(), consent.Application{
		Slug: "acme", Name: "Acme", RedirectURIs: []string{appCallback}, ReturnTos: []string{appReturn}, ConfirmLinks: s.confirm,
		Policies: map[string]consent.Policy{"truelayer": s.policy},
	})
	require.NoError(t, err)
	for name := range s.catalog {
		require.NoError(t, w.SetProvider(t.Context(), &app, name, provider.Config{
			ClientID: "client", ClientSecret: "client-secret-0123456789", AuthURL: w.bankAt, DirectLinks: true,
		}))
	}
	app, err = w.store.Application(t.Context(), app.ID)
	require.NoError(t, err)
	w.app = &app
	return w
}

var serial atomic.Int64

// another is one more replica on the same database.
func (w *world) another(catalog provider.Catalog) *connector.Connector {
	w.Helper()
	return connector.New(connector.Config{
		Registry: w.reg, Keys: w.keys, Catalog: catalog, Now: w.bank.Clock().Now, BaseURL: ourBase,
		NewID: func() string { return fmt.Sprintf("%012d", serial.Add(1)) },
		Log:   slog.New(slog.NewTextHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Provider: provider.Deps{
			HTTP: &http.Client{Timeout: 5 * time.Second}, Now: w.bank.Clock().Now, Log: slog.New(slog.NewTextHandler(w.logs, nil)),
		},
	})
}

// visit sends somebody to the bank and returns what the browser brings back.
func (w *world) visit(p bankbrowser.Person, link string) (state string, ret connector.Return) {
	w.Helper()
	v, err := p.Go(w.Context(), link)
	require.NoError(w, err)
	require.NotNil(w, v.Return, "the bank kept the browser: %v", v.Pages)
	q := v.Return.Query()
	return q.Get("state"), connector.Return{Code: q.Get("code") + q.Get("exchange_code"), Error: q.Get("error")}
}

// linked makes a consent by a forwarded first link.
func (w *world) linked(user string, p bankbrowser.Person) consent.Consent {
	w.Helper()
	return w.linkedAt(user, p, "mock")
}

func (w *world) linkedAt(user string, p bankbrowser.Person, bank string) consent.Consent {
	w.Helper()
	s, err := w.StartLink(w.Context(), w.app, connector.LinkRequest{Provider: "truelayer", ProviderID: bank, UserID: user, RedirectURI: appCallback})
	require.NoError(w, err)
	_, ret := w.visit(p, s.URI)
	out, err := w.CompleteForwarded(w.Context(), w.app, connector.Forwarded{AttemptID: s.Attempt.ID}, ret)
	require.NoError(w, err)
	require.NoError(w, out.Err())
	require.NotNil(w, out.Consent)
	return *out.Consent
}

// reauth begins a renewal.
func (w *world) reauth(c consent.Consent) connector.Started {
	w.Helper()
	s, err := w.Reauthorize(w.Context(), w.app, connector.ReauthRequest{ConsentID: c.ID, State: []byte(fmt.Sprint("s", serial.Add(1)))})
	require.NoError(w, err)
	return s
}

// forward posts what came back for an attempt.
func (w *world) forward(s connector.Started, ret connector.Return) connector.Outcome {
	w.Helper()
	out, err := w.CompleteForwarded(w.Context(), w.app, connector.Forwarded{AttemptID: s.Attempt.ID}, ret)
	require.NoError(w, err)
	return out
}

func (w *world) get(id string) consent.Consent {
	w.Helper()
	c, err := w.Consent(w.Context(), w.app, id)
	require.NoError(w, err)
	return c
}

// works fails the test unless a fresh access token reads data at the bank.
func (w *world) works(c consent.Consent) {
	w.Helper()
	t, err := w.Token(w.Context(), w.app, c.ID, true)
	require.NoError(w, err)
	require.Equal(w, http.StatusOK, w.read(t.Token))
}

func (w *world) fault(name string) {
	w.Helper()
	require.NoError(w, w.bank.SetFault(name, 1))
}

func (w *world) advance(d time.Duration) {
	w.Helper()
	require.NoError(w, w.bank.Clock().Advance(d))
}

// types lists a consent's history.
func (w *world) types(c consent.Consent) []consent.EventType {
	w.Helper()
	events, err := w.Events(w.Context(), w.app, c.ID, 0, 100)
	require.NoError(w, err)
	types := make([]consent.EventType, len(events))
	for i, e := range events {
		require.Equal(w, int64(i+1), e.Seq)
		types[i] = e.Type
	}
	return types
}

// same fails the test unless nothing but history and lease changed.
func (w *world) same(before consent.Consent) {
	w.Helper()
	after := w.get(before.ID)
	after.Seq = before.Seq
	after.NextCheckAt = before.NextCheckAt // moves with every refresh
	after.Tokens.Access, after.Tokens.AccessExpiresAt, after.Tokens.RefreshedAt = before.Tokens.Access, before.Tokens.AccessExpiresAt, before.Tokens.RefreshedAt
	require.Equal(w, before, after)
}

// faultyRegistry fails when told to, to stand in for a crash or a database
// that is away.
type faultyRegistry struct {
	consent.Registry
	onKeepGrant   func() error
	onRenew       func() error
	onLink        func() error
	onStoreTokens func() error
}

func (r *faultyRegistry) KeepGrant(ctx context.Context, app, id, claim string, g consent.Sealed) error {
	if r.onKeepGrant != nil {
		if err := r.onKeepGrant(); err != nil {
			return err
		}
	}
	return r.Registry.KeepGrant(ctx, app, id, claim, g)
}

func (r *faultyRegistry) Renew(ctx context.Context, v consent.Renewal) (consent.Consent, error) {
	if r.onRenew != nil {
		if err := r.onRenew(); err != nil {
			return consent.Consent{}, err
		}
	}
	return r.Registry.Renew(ctx, v)
}

func (r *faultyRegistry) Link(ctx context.Context, l consent.Linkage) (consent.Consent, error) {
	if r.onLink != nil {
		if err := r.onLink(); err != nil {
			return consent.Consent{}, err
		}
	}
	return r.Registry.Link(ctx, l)
}

func (r *faultyRegistry) StoreTokens(ctx context.Context, u consent.TokenUpdate) error {
	if r.onStoreTokens != nil {
		if err := r.onStoreTokens(); err != nil {
			return err
		}
	}
	return r.Registry.StoreTokens(ctx, u)
}

// lockedBuffer collects what several goroutines log.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
