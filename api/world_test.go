package api_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/api"
	"github.com/reconsent/reconsent/connector"
	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/internal/outbound"
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
)

// world is the API on a real database against the sandbox bank. Every JSON
// answer that it gets is held to the OpenAPI document.
type world struct {
	*testing.T
	url     string
	bank    *sandbox.Server
	bankURL string
	store   *sqlstore.Store
	conn    *connector.Connector
	app     consent.Application
	key     string
	router  routers.Router
}

var serial atomic.Int64

func newWorld(t *testing.T, options ...func(*consent.Application)) *world {
	t.Helper()
	ctx := t.Context()
	w := &world{T: t}
	var err error
	w.bank, err = sandbox.New(ctx, sandbox.Options{ClientID: "client", ClientSecret: "secret"})
	require.NoError(t, err)
	bank := httptest.NewServer(w.bank.Handler())
	t.Cleanup(bank.Close)
	w.bankURL = bank.URL
	store := newStore(t)
	w.store = store
	keys, err := seal.Generate()
	require.NoError(t, err)

	var handler http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { handler.ServeHTTP(rw, r) }))
	t.Cleanup(server.Close)
	w.url = server.URL
	log := slog.New(slog.DiscardHandler)
	w.conn = connector.New(connector.Config{
		Registry: store, Keys: keys, Catalog: provider.Catalog{"truelayer": truelayer.Adapter}, Now: w.bank.Clock().Now, Log: log, BaseURL: w.url,
		NewID:    newID,
		Provider: provider.Deps{HTTP: &http.Client{Timeout: 5 * time.Second}, Now: w.bank.Clock().Now, Log: log},
		Targets:  outbound.NewTargets(false),
	})
	users := reauthOn(t, store, keys, w.bank.Clock().Now, w.url, &post{}, false)
	handler = api.New(api.Config{Connector: w.conn, Reauth: users, Now: w.bank.Clock().Now, Log: log, Version: "test"}).Handler()
	w.app, w.key = w.application(store, "acme", bank.URL, options...)
	w.router = router(t)
	return w
}

func (w *world) application(store *sqlstore.Store, slug, bankURL string, options ...func(*consent.Application)) (consent.Application, string) {
	w.Helper()
	ctx := w.Context()
	app := consent.Application{
		Slug: slug, Name: "Acme <b>&", RedirectURIs: []string{appCallback}, ReturnTos: []string{appReturn},
		Policies: map[string]consent.Policy{"truelayer": {Validity: 90 * 24 * time.Hour, RenewalWindow: 90 * 24 * time.Hour}},
	}
	for _, o := range options {
		o(&app)
	}
	app, err := w.conn.CreateApplication(ctx, app)
	require.NoError(w, err)
	require.NoError(w, w.conn.SetProvider(ctx, &app, "truelayer", provider.Config{ClientID: "client", ClientSecret: "secret", AuthURL: bankURL, DirectLinks: true}))
	app, err = store.Application(ctx, app.ID)
	require.NoError(w, err)
	key, _, err := w.conn.NewAPIKey(ctx, &app, "test")
	require.NoError(w, err)
	return app, key
}

// noQueue takes jobs that nobody carries out.
type noQueue struct{}

func (noQueue) Enqueue(context.Context, *sql.Tx, string, []string) error { return nil }
func (noQueue) Waiting(context.Context, *sql.Tx, string) (int, error)    { return 0, nil }

func router(t testing.TB) routers.Router {
	t.Helper()
	r, err := document()
	require.NoError(t, err)
	return r
}

// document reads the OpenAPI document, once for all worlds.
var document = sync.OnceValues(func() (routers.Router, error) {
	raw, err := api.Document("test")
	if err != nil {
		return nil, err
	}
	doc, err := openapi3.NewLoader().LoadFromData(raw)
	if err != nil {
		return nil, err
	}
	if err := doc.Validate(context.Background()); err != nil {
		return nil, err
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1") {
		return nil, fmt.Errorf("the document is in OpenAPI %s", doc.OpenAPI)
	}
	return gorillamux.NewRouter(doc)
})

// answer is one HTTP answer.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) json(t testing.TB) map[string]any {
	t.Helper()
	var m map[string]any
	require.NoError(t, json.Unmarshal(a.body, &m), "%s", a.body)
	return m
}

// send makes one request; raw bodies are sent as they are.
func (w *world) send(method, path string, header http.Header, body []byte) answer {
	w.Helper()
	req, err := http.NewRequestWithContext(w.Context(), method, w.url+path, bytes.NewReader(body))
	require.NoError(w, err)
	req.Header = header
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	require.NoError(w, err)
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(resp.Body)
	require.NoError(w, err)
	a := answer{resp.StatusCode, resp.Header, got}
	conforms(w, w.router, req, a)
	return a
}

// call is send with the application's key and a JSON body.
func (w *world) call(method, path string, body any) answer {
	w.Helper()
	raw := []byte(nil)
	switch b := body.(type) {
	case nil:
	case string:
		raw = []byte(b)
	default:
		var err error
		raw, err = json.Marshal(b)
		require.NoError(w, err)
	}
	return w.send(method, path, http.Header{"Authorization": {"Bearer " + w.key}, "Content-Type": {"application/json"}}, raw)
}

// conforms holds an answer to the OpenAPI document, where it has the call.
func conforms(t testing.TB, router routers.Router, req *http.Request, a answer) {
	t.Helper()
	route, params, err := router.FindRoute(req)
	if err != nil {
		return // a page, or a call that does not exist
	}
	in := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route},
		Status:                 a.status, Header: a.header,
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	}
	in.SetBodyBytes(a.body)
	require.NoError(t, openapi3filter.ValidateResponse(context.Background(), in), "%s %s %d %s", req.Method, req.URL.Path, a.status, a.body)
}

// linked makes a consent through the API, as a backend does.
func (w *world) linked(user string, p bankbrowser.Person) string {
	w.Helper()
	started := w.call("POST", "/v1/authuri", map[string]any{"provider": "truelayer", "provider_id": "mock", "user_id": user, "redirect_uri": appCallback, "state": "s-" + user})
	require.Equal(w, 201, started.status, "%s", started.body)
	m := started.json(w.T)
	q := w.visit(p, m["uri"].(string))
	done := w.call("POST", "/v1/callback", map[string]any{"attempt_id": m["attempt_id"], "code": q.Get("code"), "state": q.Get("state")})
	require.Equal(w, 200, done.status, "%s", done.body)
	return done.json(w.T)["consent"].(map[string]any)["id"].(string)
}
