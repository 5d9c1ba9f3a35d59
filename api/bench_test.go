package api_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/api"
	"github.com/reconsent/reconsent/connector"
	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/internal/pgtest"
	"github.com/reconsent/reconsent/provider"
	"github.com/reconsent/reconsent/seal"
	"github.com/reconsent/reconsent/sqlstore"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// How many renewals are under way in a round, and how many callers there are.
const (
	inRound = 256
	callers = 16
)

// BenchmarkRenewal drives /reauthuri and /v1/callback over loopback HTTP on a
// PostgreSQL, once on one that waits for its disk at each commit, as in
// production, and once on one that does not, where our own share weighs most.
// Beside it, round by round in the same
// run, stands a bare gin handler that runs the same statements on the same server
// and does nothing else: no sealing, no checks, no provider. The bank costs nothing
// in either. What is left of the bare handler's throughput is the ratio; what
// the statements alone reach, called without HTTP, is the store's share.
func BenchmarkRenewal(b *testing.B) {
	b.Run("durable", func(b *testing.B) { benchmarkRenewal(b, pgtest.Durable) })
	b.Run("volatile", func(b *testing.B) { benchmarkRenewal(b) })
}

func benchmarkRenewal(b *testing.B, opts ...pgtest.Option) {
	b.Helper()
	w := newBench(b, opts...)
	var ours, bare, alone phases
	for b.Loop() {
		ours.round(b, w.reconsent)
		bare.round(b, w.bare)
		alone.round(b, w.alone)
	}
	per := func(d time.Duration) float64 { return float64(b.N) * inRound / d.Seconds() }
	b.ReportMetric(per(ours.reauth), "reauthuri/s")
	b.ReportMetric(per(ours.callback), "callback/s")
	b.ReportMetric(bare.reauth.Seconds()/ours.reauth.Seconds(), "reauthuri-ratio")
	b.ReportMetric(bare.callback.Seconds()/ours.callback.Seconds(), "callback-ratio")
	b.ReportMetric(alone.reauth.Seconds()/ours.reauth.Seconds(), "reauthuri-store-share")
	b.ReportMetric(alone.callback.Seconds()/ours.callback.Seconds(), "callback-store-share")
}

// contender begins and completes one renewal of the consent with a number.
type contender struct {
	reauth   func(i int) (attempt string, err error)
	callback func(i int, attempt string) error
}

// phases are the times that a contender has taken.
type phases struct{ reauth, callback time.Duration }

func (p *phases) round(b *testing.B, c contender) {
	b.Helper()
	attempts := make([]string, inRound)
	p.reauth += parallel(b, func(i int) (err error) {
		attempts[i], err = c.reauth(i)
		return err
	})
	p.callback += parallel(b, func(i int) error { return c.callback(i, attempts[i]) })
}

// parallel runs f for every consent, by several callers at once.
func parallel(b *testing.B, f func(i int) error) time.Duration {
	b.Helper()
	work := make(chan int, inRound)
	for i := range inRound {
		work <- i
	}
	close(work)
	var group sync.WaitGroup
	errs := make(chan error, inRound)
	start := time.Now()
	for range callers {
		group.Go(func() {
			for i := range work {
				if err := f(i); err != nil {
					errs <- err
				}
			}
		})
	}
	group.Wait()
	took := time.Since(start)
	close(errs)
	require.NoError(b, <-errs)
	return took
}

// bench is one registry, with consents for each contender.
type bench struct {
	store *sqlstore.Store
	app   consent.Application
	key   string
	slug  string
	hash  []byte

	reconsent, bare, alone contender
}

func newBench(b *testing.B, opts ...pgtest.Option) *bench {
	b.Helper()
	gin.SetMode(gin.ReleaseMode)
	ctx := b.Context()
	store, err := sqlstore.Open(ctx, pgtest.DSN(b, opts...))
	require.NoError(b, err)
	b.Cleanup(func() { _ = store.Close() })
	require.NoError(b, store.Migrate(ctx))
	keys, err := seal.Generate()
	require.NoError(b, err)
	log := slog.New(slog.DiscardHandler)
	conn := connector.New(connector.Config{
		Registry: store, Keys: keys, Catalog: provider.Catalog{"free": {Open: openFree}}, Now: time.Now, Log: log, BaseURL: "https://c.example",
		NewID: func() string { return fmt.Sprintf("%016d", serial.Add(1)) },
	})
	w := &bench{store: store, slug: "acme", hash: []byte("hash of the bare handler's key")}
	app, err := conn.CreateApplication(ctx, consent.Application{Slug: w.slug, Name: "Acme", RedirectURIs: []string{appCallback}})
	require.NoError(b, err)
	require.NoError(b, conn.SetProvider(ctx, &app, "free", provider.Config{}))
	w.app, err = store.Application(ctx, app.ID)
	require.NoError(b, err)
	w.key, _, err = conn.NewAPIKey(ctx, &w.app, "bench")
	require.NoError(b, err)
	require.NoError(b, store.CreateAPIKey(ctx, consent.APIKey{ApplicationID: app.ID, ID: "key_bare", Hash: w.hash, Name: "bare", CreatedAt: time.Now()}))

	w.reconsent = w.ours(b, serve(b, api.New(api.Config{Connector: conn, Now: time.Now, Log: log, Version: "bench"}).Handler()), w.consents(b, conn))
	engine := gin.New()
	engine.POST("/reauthuri", w.bareReauth)
	engine.POST("/v1/callback", w.bareCallback)
	w.bare = w.ours(b, serve(b, engine), w.consents(b, conn))
	own := w.consents(b, conn)
	w.alone = contender{
		reauth:   func(i int) (string, error) { return w.storeReauth(ctx, own[i], "s") },
		callback: func(_ int, attempt string) error { return w.storeCallback(ctx, attempt) },
	}
	return w
}

func serve(b *testing.B, h http.Handler) string {
	b.Helper()
	s := httptest.NewServer(h)
	b.Cleanup(s.Close)
	return s.URL
}

// consents registers as many as a round renews.
func (w *bench) consents(b *testing.B, conn *connector.Connector) []string {
	b.Helper()
	in := make([]connector.NewConsent, inRound)
	for i := range in {
		in[i] = connector.NewConsent{
			CredentialsID: fmt.Sprintf("cred-%d", serial.Add(1)), RefreshToken: "token", Provider: "free", ProviderID: "mock", UserID: fmt.Sprintf("u%d", i),
			RedirectURI: appCallback, Scopes: []string{"info"}, ConsentedAt: time.Now(), ExpiresAt: time.Now().Add(90 * day),
		}
		in[i].RefreshToken = in[i].CredentialsID // by which the free bank knows whom it renews
	}
	done, err := conn.RegisterAll(b.Context(), &w.app, in, false)
	require.NoError(b, err)
	ids := make([]string, inRound)
	for i := range done {
		require.True(b, done[i].Added)
		ids[i] = done[i].Consent.ID
	}
	return ids
}

// ours drives a server as a backend does.
func (w *bench) ours(b *testing.B, url string, consents []string) contender {
	b.Helper()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers}}
	b.Cleanup(client.CloseIdleConnections)
	post := func(path string, body, into any) error {
		raw, err := json.Marshal(body)
		if err != nil {
			return err
		}
		req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, url+path, bytes.NewReader(raw))
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+w.key)
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %d %s %w", path, resp.StatusCode, text, err)
		}
		return json.Unmarshal(text, into)
	}
	return contender{
		reauth: func(i int) (string, error) {
			var out struct {
				AttemptID string `json:"attempt_id"`
			}
			err := post("/reauthuri", map[string]string{"consent_id": consents[i], "state": "s"}, &out)
			return out.AttemptID, err
		},
		callback: func(i int, attempt string) error {
			return post("/v1/callback", map[string]string{"attempt_id": attempt, "code": consents[i]}, &struct{}{})
		},
	}
}

// The bare handler: the statements of the real one, and JSON in and out.

type bareRequest struct {
	ConsentID string `json:"consent_id"`
	State     string `json:"state"`
	AttemptID string `json:"attempt_id"`
	Code      string `json:"code"`
}

func (w *bench) bareReauth(c *gin.Context) {
	var req bareRequest
	if err := c.BindJSON(&req); err != nil {
		return
	}
	id, err := w.storeReauth(c.Request.Context(), req.ConsentID, req.State)
	if err != nil {
		_ = c.AbortWithError(http.StatusInternalServerError, err)
		return
	}
	c.JSON(http.StatusOK, gin.H{"success": true, "result": "https://bank.example/", "attempt_id": id, "consent_id": req.ConsentID})
}

func (w *bench) bareCallback(c *gin.Context) {
	var req bareRequest
	if err := c.BindJSON(&req); err != nil {
		return
	}
	if err := w.storeCallback(c.Request.Context(), req.AttemptID); err != nil {
		_ = c.AbortWithError(http.StatusInternalServerError, err)
		return
	}
	c.JSON(http.StatusOK, gin.H{"status": "renewed"})
}

// sealedSize is what a sealed token or link of some 60 bytes takes.
var sealed = bytes.Repeat([]byte{7}, 100)

// storeReauth is what /reauthuri asks of the registry.
func (w *bench) storeReauth(ctx context.Context, id, state string) (string, error) {
	app, err := w.store.ApplicationByKey(ctx, w.slug, w.hash)
	if err != nil {
		return "", err
	}
	con, err := w.store.Consent(ctx, app.ID, id)
	if err != nil {
		return "", err
	}
	if _, err := w.store.ProviderSettings(ctx, app.ID, con.Provider); err != nil {
		return "", err
	}
	now, reuse := time.Now(), fmt.Appendf(nil, "%s %d", con.ID, con.Cycle)
	_, _ = w.store.ReusableAttempt(ctx, app.ID, con.ID, reuse, now.Add(-time.Minute), now)
	a := consent.Attempt{
		ApplicationID: app.ID, ID: fmt.Sprintf("att_%016d", serial.Add(1)), Kind: consent.KindReauthorize, Origin: consent.OriginAPI,
		ConsentID: con.ID, Cycle: con.Cycle, UserID: con.UserID, Provider: con.Provider, ProviderID: con.ProviderID, Scopes: con.Scopes,
		RedirectURI: con.RedirectURI, CallerState: []byte(state), StateHash: []byte(state), URI: sealed, Verifier: sealed, ReuseKey: reuse,
		CreatedAt: now, ExpiresAt: now.Add(time.Hour), Status: consent.AttemptStarted,
	}
	event := consent.Event{ID: "evt_" + a.ID, Type: consent.EventAttemptStarted, At: now, Data: map[string]any{"attempt_id": a.ID, "kind": "reauthorize", "origin": "api"}}
	return a.ID, w.store.BeginAttempt(ctx, a, &event)
}

// storeCallback is what a renewal's callback asks of the registry.
func (w *bench) storeCallback(ctx context.Context, attempt string) error {
	app, err := w.store.ApplicationByKey(ctx, w.slug, w.hash)
	if err != nil {
		return err
	}
	if _, err = w.store.Attempt(ctx, app.ID, attempt); err != nil {
		return err
	}
	now := time.Now()
	a, err := w.store.ClaimAttempt(ctx, consent.Claim{
		ApplicationID: app.ID, AttemptID: attempt, ClaimID: fmt.Sprint(serial.Add(1)), Now: now, Until: now.Add(time.Minute), Code: sealed,
	})
	if err != nil {
		return err
	}
	if _, err := w.store.ProviderSettings(ctx, app.ID, a.Provider); err != nil {
		return err
	}
	if err := w.store.KeepGrant(ctx, app.ID, a.ID, a.ClaimID, sealed); err != nil {
		return err
	}
	con, err := w.store.Consent(ctx, app.ID, a.ConsentID)
	if err != nil {
		return err
	}
	con.NextCycle(now)
	con.ExpiresAt = now.Add(90 * day)
	con.Reschedule(app.Cadence, consent.Policy{RenewalWindow: 90 * day}, now)
	con.Tokens = consent.Tokens{Refresh: sealed, Access: sealed, AccessExpiresAt: now.Add(time.Hour), RefreshedAt: now}
	_, err = w.store.Renew(ctx, consent.Renewal{
		ApplicationID: app.ID, AttemptID: a.ID, ClaimID: a.ClaimID, At: now, Consent: con, TokenHash: []byte(con.ID),
		Event: consent.Event{ID: "evt_r" + a.ID, Type: consent.EventRenewed, At: now, Data: map[string]any{"attempt_id": a.ID, "credentials_id": con.CredentialsID}},
	})
	if err != nil {
		return err
	}
	if err := w.store.ForgetAccess(ctx, app.ID, con.Provider, con.CredentialsID, con.ID); err != nil {
		return err
	}
	if _, err = w.store.Attempt(ctx, app.ID, attempt); err != nil {
		return err
	}
	_, err = w.store.Consent(ctx, app.ID, con.ID)
	return err
}

// free is a provider and a bank that cost nothing. A consent's refresh token is
// its credentials id, and so is the access token that a link to renew it leads
// to.
type free struct {
	links sync.Map // state of PKCE to credentials id
}

func openFree(provider.Config, provider.Deps) (provider.Provider, error) { return &free{}, nil }

func (f *free) AuthURL(context.Context, provider.LinkRequest) (string, error) {
	return "https://bank.example/login", nil
}

func (f *free) ReauthURL(_ context.Context, req provider.ReauthRequest) (string, error) {
	f.links.Store(req.CodeChallenge, req.RefreshToken)
	return "https://bank.example/login?challenge=" + req.CodeChallenge, nil
}

func (f *free) Exchange(_ context.Context, req provider.ExchangeRequest) (provider.Grant, error) {
	id, ok := f.links.LoadAndDelete(challengeOf(req.Verifier))
	if !ok {
		return provider.Grant{}, &provider.Error{Kind: provider.ReauthRequired, Op: "exchange"}
	}
	return provider.Grant{AccessToken: id.(string), RefreshToken: id.(string), AccessExpiresAt: time.Now().Add(time.Hour)}, nil
}

func (f *free) Inspect(_ context.Context, token string) (provider.Inspection, error) {
	return provider.Inspection{CredentialsID: token, ConsentedAt: time.Now(), ExpiresAt: time.Now().Add(90 * day)}, nil
}

func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
