package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"github.com/reconsent/reconsent/api"
	"github.com/reconsent/reconsent/connector"
	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/internal/outbound"
	"github.com/reconsent/reconsent/provider"
	"github.com/reconsent/reconsent/reauth/idp"
	"github.com/reconsent/reconsent/reauth/password"
	"github.com/reconsent/reconsent/reauth/stepup"
	"github.com/reconsent/reconsent/reauth/usertoken"
	"github.com/reconsent/reconsent/seal"
	"github.com/reconsent/reconsent/sqlstore"
)

const (
	jwtKey    = "a-secret-of-the-application-that-is-long-enough-"
	adasWord  = "correct horse battery staple"
	adasMail  = "ada@example.org"
	adasPhone = "+447911123456"
)

// noon is when the clock of people's tests stands at first.
var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// people is the API on a real database, for users who prove themselves again:
// with a clock to move and messages that are caught. Every JSON answer is held
// to the OpenAPI document.
type people struct {
	testing.TB
	url   string // of the first replica
	store *sqlstore.Store
	keys  *seal.Keys
	clock *clock
	post  *post
	conn  *connector.Connector
	users *stepup.Service
	acme  consent.Application
	key   string // acme's API key
	// dev has the service as it is in development: identity providers may be on
	// this machine.
	dev bool
}

type clock struct{ at atomic.Int64 }

func (c *clock) Now() time.Time          { return time.UnixMicro(c.at.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.at.Add(d.Microseconds()) }

// post catches what would be sent.
type post struct {
	mu      sync.Mutex
	codes   []stepup.CodeMessage
	notices []stepup.Notice
	panics  bool
}

func (p *post) SendCode(m stepup.CodeMessage) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.panics {
		panic("the mail room is on fire")
	}
	p.codes = append(p.codes, m)
	return nil
}

func (p *post) Tell(n stepup.Notice) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.notices = append(p.notices, n)
}

func (p *post) Reaches(consent.Channel) bool { return true }

// sent is how many codes were sent.
func (p *post) sent() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.codes)
}

// message is the newest that was sent.
func (w *people) message() stepup.CodeMessage {
	w.Helper()
	w.post.mu.Lock()
	defer w.post.mu.Unlock()
	require.NotEmpty(w, w.post.codes, "no code was sent")
	return w.post.codes[len(w.post.codes)-1]
}

func (w *people) code() string { return w.message().Code }

// wrong is a code that was not sent.
func wrong(code string) string {
	if code == "000000" {
		return "000001"
	}
	return "000000"
}

// reauthOn is the use cases of users on a database.
func reauthOn(t testing.TB, store *sqlstore.Store, keys *seal.Keys, now func() time.Time, base string, p *post, dev bool) *stepup.Service {
	t.Helper()
	targets, log := outbound.NewTargets(true), slog.New(slog.DiscardHandler)
	tokens := usertoken.New(usertoken.Config{Targets: targets, Now: now, Log: log})
	t.Cleanup(tokens.Close)
	return stepup.New(stepup.Config{
		Store: store, Applications: store, Keys: keys, Tokens: tokens, Passwords: password.New(2), Messenger: p,
		Identity: idp.New(idp.Config{HTTP: &http.Client{Timeout: 5 * time.Second}, Now: now, Loopback: true}),
		Now:      now, NewID: newID, Log: log, BaseURL: base, Targets: targets, NamesOptional: dev,
	})
}

func newID() string { return fmt.Sprintf("%012d", serial.Add(1)) }

func newPeople(t testing.TB, options ...func(*api.Config)) *people {
	t.Helper()
	return build(&people{TB: t, clock: &clock{}, post: &post{}}, options...)
}

func newDevelopers(t testing.TB) *people {
	t.Helper()
	return build(&people{TB: t, clock: &clock{}, post: &post{}, dev: true})
}

func build(w *people, options ...func(*api.Config)) *people {
	t := w.TB
	t.Helper()
	w.clock.at.Store(noon.UnixMicro())
	var err error
	w.keys, err = seal.Generate()
	require.NoError(t, err)
	w.store = newStore(t)
	w.url, w.users = w.replica(options...)
	w.acme, w.key = w.application("acme", "https://acme.example")
	w.person(w.key, "ada")
	return w
}

// migrated is a SQLite file with all tables: migrating one for each test takes
// longer than most tests.
var migrated = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "api-test")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "db")
	store, err := sqlstore.Open(context.Background(), "sqlite:"+path)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(store.Migrate(context.Background()), store.Close()); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// newStore is an empty registry.
func newStore(t testing.TB) *sqlstore.Store {
	t.Helper()
	file, err := migrated()
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "db")
	require.NoError(t, os.WriteFile(path, file, 0o600))
	store, err := sqlstore.Open(t.Context(), "sqlite:"+path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = store.Close() })
	require.NoError(t, store.PrepareStatements(t.Context()))
	store.UseQueue(noQueue{})
	return store
}

// in is the same people, for a part of a test.
func (w *people) in(t testing.TB) *people {
	part := *w
	part.TB = t
	return &part
}

// replica is one more server on the same database.
func (w *people) replica(options ...func(*api.Config)) (string, *stepup.Service) {
	w.Helper()
	var handler http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { handler.ServeHTTP(rw, r) }))
	w.Cleanup(server.Close)
	base := w.url // all replicas have one address
	if base == "" {
		base = server.URL
	}
	log := slog.New(slog.DiscardHandler)
	users := reauthOn(w, w.store, w.keys, w.clock.Now, base, w.post, w.dev)
	w.conn = connector.New(connector.Config{
		Registry: w.store, Keys: w.keys, Catalog: provider.Catalog{}, Now: w.clock.Now, Log: log, BaseURL: base, NewID: newID, Targets: outbound.NewTargets(true),
	})
	cfg := api.Config{Connector: w.conn, Reauth: users, Now: w.clock.Now, Log: log, Version: "test"}
	for _, o := range options {
		o(&cfg)
	}
	handler = api.New(cfg).Handler()
	return server.URL, users
}

// application makes one whose users' tokens are signed with jwtKey and its name,
// and whose pages have an origin.
func (w *people) application(slug, origin string) (consent.Application, string) {
	w.Helper()
	app, err := w.conn.CreateApplication(w.Context(), consent.Application{Slug: slug, Name: "Acme", ReturnTos: []string{appReturn}})
	require.NoError(w, err)
	w.settings(&app, func(s *stepup.Settings) { s.Origins = []string{origin} })
	key, _, err := w.conn.NewAPIKey(w.Context(), &app, "test")
	require.NoError(w, err)
	return app, key
}

func (w *people) settings(app *consent.Application, change func(*stepup.Settings)) {
	w.Helper()
	set := stepup.Settings{
		ApplicationID: app.ID,
		Identity:      stepup.Identity{Issuer: "https://id." + app.Slug + ".example", Audience: app.Slug, Algorithms: []string{"HS256"}, Secret: jwtKey + app.Slug},
		Operations:    map[string]string{"transfer": "strict", "profile": "medium", "pay": "sca"},
		Passkeys:      stepup.Passkeys{RPID: "acme.example", Origins: []string{"https://acme.example"}},
	}
	change(&set)
	require.NoError(w, w.users.PutSettings(w.Context(), set))
}

// person registers one with an address, a number and a password, by the API.
func (w *people) person(key, id string) {
	w.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(adasWord), bcrypt.MinCost)
	require.NoError(w, err)
	a := w.do("PUT", "/v1/users/"+id, map[string]any{"email": id + "@example.org", "phone": adasPhone, "password_hash": string(hash)}, backend(key))
	require.Equal(w, 200, a.status, "%s", a.body)
}

// token is ada's in session s1, unless claims say otherwise. A nil claim is left
// out.
func (w *people) token(app *consent.Application, claims jwt.MapClaims) string {
	w.Helper()
	now := w.clock.Now()
	all := jwt.MapClaims{
		"iss": "https://id." + app.Slug + ".example", "aud": app.Slug, "sub": "ada", "sid": "s1",
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	for name, v := range claims {
		if all[name] = v; v == nil {
			delete(all, name)
		}
	}
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, all).SignedString([]byte(jwtKey + app.Slug))
	require.NoError(w, err)
	return text
}

// with is a header with these names and values.
func with(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

func backend(key string) http.Header { return with("Authorization", "Bearer "+key) }

// ada is the header of her requests, in session s1.
func (w *people) ada(pairs ...string) http.Header {
	w.Helper()
	h := with(pairs...)
	h.Set("Authorization", "Bearer "+w.token(&w.acme, nil))
	return h
}

// as is the header of requests with other claims.
func (w *people) as(claims jwt.MapClaims) http.Header {
	w.Helper()
	return backend(w.token(&w.acme, claims))
}

// do makes one request. Text is sent as it is; anything else as JSON.
func (w *people) do(method, path string, body any, header http.Header) answer {
	w.Helper()
	return w.at(w.url, method, path, body, header)
}

// at is do, at one of the replicas.
func (w *people) at(base, method, path string, body any, header http.Header) answer {
	w.Helper()
	raw, ok := body.(string)
	if !ok && body != nil {
		text, err := json.Marshal(body)
		require.NoError(w, err)
		raw = string(text)
	}
	// Not the test's context: some requests are made from goroutines.
	req, err := http.NewRequestWithContext(context.Background(), method, base+path, bytes.NewReader([]byte(raw)))
	require.NoError(w, err)
	req.Header = header.Clone()
	if _, set := header["Content-Type"]; body != nil && !set {
		req.Header.Set("Content-Type", "application/json")
	}
	if h := req.Header.Get("Host"); h != "" {
		req.Host = h
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	require.NoError(w, err)
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(resp.Body)
	require.NoError(w, err)
	a := answer{resp.StatusCode, resp.Header, got}
	require.Less(w, a.status, 600)
	conforms(w, router(w), req, a)
	return a
}

// begin begins a reverification and returns its id.
func (w *people) begin(ask map[string]any, header http.Header) string {
	w.Helper()
	a := w.do("POST", "/v1/reverifications", ask, header)
	require.Equal(w, 201, a.status, "%s", a.body)
	return a.json(w)["id"].(string)
}

// attempt answers a reverification.
func (w *people) attempt(id string, answer map[string]any, header http.Header) answer {
	w.Helper()
	return w.do("POST", "/v1/reverifications/"+id+"/attempt", answer, header)
}

// proven takes ada through a level by her password, and returns the proof.
func (w *people) proven(ask map[string]any, header http.Header) string {
	w.Helper()
	a := w.attempt(w.begin(ask, header), map[string]any{"strategy": "password", "password": adasWord}, header)
	require.Equal(w, 200, a.status, "%s", a.body)
	require.Equal(w, "complete", a.json(w)["status"])
	return a.json(w)["proof"].(string)
}

// refused asserts a problem document of a user's call, or of a backend's.
func (w *people) refused(a answer, status int, code string) map[string]any {
	w.Helper()
	require.Equal(w, status, a.status, "%s", a.body)
	require.Equal(w, "application/problem+json", a.header.Get("Content-Type"))
	p := a.json(w)
	require.Equal(w, code, p["code"], "%s", a.body)
	require.EqualValues(w, status, p["status"])
	require.NotEmpty(w, p["detail"])
	return p
}
