package stepup_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/internal/outbound"
	"github.com/reconsent/reconsent/internal/pgtest"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/idp"
	"github.com/reconsent/reconsent/reauth/password"
	"github.com/reconsent/reconsent/reauth/stepup"
	"github.com/reconsent/reconsent/reauth/usertoken"
	"github.com/reconsent/reconsent/seal"
	"github.com/reconsent/reconsent/sqlstore"
)

const (
	ourBase = "https://consents.example"
	jwtKey  = "a-secret-of-the-application-that-is-long-enough"
	secret  = "correct horse battery staple"
)

var start = time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)

// onPostgres says where the worlds keep their state: every test of the package
// runs on SQLite, and once more on PostgreSQL.
var onPostgres bool

func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		onPostgres = true
		code = pgtest.Main(m)
	}
	os.Exit(code)
}

// world is the use cases on a real database, with a clock to move and messages
// that are caught.
type world struct {
	*testing.T
	*stepup.Service
	store *sqlstore.Store
	keys  *seal.Keys
	app   consent.Application
	clock *clock
	post  *post
	logs  *logs
	url   string
}

// logs is what the replicas of a world write about themselves.
type logs struct {
	mu  sync.Mutex
	all strings.Builder
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

type clock struct{ at atomic.Int64 }

func (c *clock) Now() time.Time          { return time.UnixMicro(c.at.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.at.Add(d.Microseconds()) }
func (w *world) advance(d time.Duration) { w.clock.advance(d) }

// post catches what would be sent.
type post struct {
	mu      sync.Mutex
	codes   []stepup.CodeMessage
	notices []stepup.Notice
	full    bool
}

func (p *post) SendCode(m stepup.CodeMessage) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.full {
		return errors.New("too many messages are under way")
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

// code is the newest that was sent.
func (w *world) code() string {
	w.Helper()
	w.post.mu.Lock()
	defer w.post.mu.Unlock()
	require.NotEmpty(w, w.post.codes, "no code was sent")
	return w.post.codes[len(w.post.codes)-1].Code
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, clock: &clock{}, post: &post{}, logs: &logs{}}
	w.clock.at.Store(start.UnixMicro())
	var err error
	w.keys, err = seal.Generate()
	require.NoError(t, err)
	w.url = "sqlite:" + filepath.Join(t.TempDir(), "reconsent.db")
	if onPostgres {
		w.url = pgtest.DSN(t)
	}
	w.store, err = sqlstore.Open(t.Context(), w.url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = w.store.Close() })
	require.NoError(t, w.store.Migrate(t.Context()))
	w.Service = w.another()
	w.app = w.application("acme")
	w.user(&w.app, "ada")
	return w
}

var serial atomic.Int64

func newID() string { return fmt.Sprintf("%012d", serial.Add(1)) }

// another is one more replica on the same database.
func (w *world) another() *stepup.Service {
	w.Helper()
	return w.over(w.store)
}

// over is a replica that reaches the database through store.
func (w *world) over(store stepup.Store) *stepup.Service {
	w.Helper()
	return w.with(func(cfg *stepup.Config) { cfg.Store = store })
}

// with is a replica that is made of something else than the others.
func (w *world) with(change func(*stepup.Config)) *stepup.Service {
	w.Helper()
	log := slog.New(slog.NewTextHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	targets := outbound.NewTargets(true)
	tokens := usertoken.New(usertoken.Config{Targets: targets, Now: w.clock.Now, Log: log})
	w.Cleanup(tokens.Close)
	cfg := stepup.Config{
		Store: w.store, Applications: w.store, Keys: w.keys, Tokens: tokens, Passwords: password.New(2),
		Identity:  idp.New(idp.Config{HTTP: http.DefaultClient, Now: w.clock.Now, Loopback: true}),
		Messenger: w.post, Now: w.clock.Now, NewID: newID, Log: log, BaseURL: ourBase, Targets: targets, NamesOptional: true,
	}
	change(&cfg)
	return stepup.New(cfg)
}

// application makes one whose users' tokens are signed with jwtKey and its name.
func (w *world) application(slug string) consent.Application {
	w.Helper()
	a := consent.Application{ID: "app_" + slug, Slug: slug, Name: "Acme", ReturnTos: []string{"https://app.example/done"}, CreatedAt: start}
	require.NoError(w, w.store.CreateApplication(w.Context(), a))
	require.NoError(w, w.PutSettings(w.Context(), stepup.Settings{
		ApplicationID: a.ID,
		Identity:      stepup.Identity{Algorithms: []string{"HS256"}, Secret: jwtKey + slug},
		Operations:    map[string]string{"transfer": "strict", "profile": "medium", "pay": "sca", "close": "critical"},
		Passkeys:      stepup.Passkeys{RPID: "app.example", Origins: []string{"https://app.example"}},
	}))
	return a
}

// user registers one with an address, a number and a password.
func (w *world) user(a *consent.Application, id string) {
	w.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(secret), bcrypt.MinCost)
	require.NoError(w, err)
	sealed, err := w.keys.Seal(hash, a.ID+"/"+id)
	require.NoError(w, err)
	_, err = w.store.PutUser(w.Context(), consent.User{
		ApplicationID: a.ID, ID: id, Email: id + "@example.org", Phone: "+447911123456", PasswordHash: sealed, CreatedAt: start, UpdatedAt: start,
	})
	require.NoError(w, err)
}

// token signs claims with an application's key.
func (w *world) token(a *consent.Application, claims jwt.MapClaims) string {
	w.Helper()
	all := jwt.MapClaims{"sub": "ada", "sid": "s1", "iat": w.clock.Now().Unix(), "exp": w.clock.Now().Add(time.Hour).Unix()}
	for k, v := range claims {
		if all[k] = v; v == nil {
			delete(all, k)
		}
	}
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, all).SignedString([]byte(jwtKey + a.Slug))
	require.NoError(w, err)
	return text
}

// caller is ada, in session s1 unless claims say otherwise.
func (w *world) caller(claims jwt.MapClaims) *stepup.Caller {
	w.Helper()
	c, err := w.Identify(w.Context(), stepup.Request{Authorization: []string{"Bearer " + w.token(&w.app, claims)}, Applications: []string{w.app.ID}})
	require.NoError(w, err)
	return c
}

// prove takes a caller through a level, by the first strategies given.
func (w *world) prove(c *stepup.Caller, ask stepup.Ask, answers ...func(id string) stepup.Proof) stepup.View {
	w.Helper()
	v, err := w.Begin(w.Context(), c, stepup.Begin{Ask: ask})
	require.NoError(w, err)
	for _, answer := range answers {
		v, err = w.Attempt(w.Context(), c, v.ID, answer(v.ID))
		require.NoError(w, err)
	}
	return v
}

func withPassword(string) stepup.Proof {
	return stepup.Proof{Strategy: reauth.Password, Password: secret}
}

func ctx(w *world) context.Context { return w.Context() }
