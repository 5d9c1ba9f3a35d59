package api_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/api"
	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/internal/outbound"
	"github.com/reconsent/reconsent/internal/pgtest"
	"github.com/reconsent/reconsent/reauth/stepup"
	"github.com/reconsent/reconsent/reauth/usertoken"
	"github.com/reconsent/reconsent/seal"
	"github.com/reconsent/reconsent/sqlstore"
)

// BenchmarkReauthenticate drives GET /reauthenticate over loopback HTTP on a
// PostgreSQL: a token is verified, the user is read, and the call is counted
// against the limit that replicas share. Beside it, round by round in the same
// run, stands a gin handler that does one read and one write by primary key with
// prepared statements of lib/pq, and knows neither tokens nor limits. What is
// left of its throughput is the ratio.
func BenchmarkReauthenticate(b *testing.B) {
	b.Run("durable", func(b *testing.B) { benchmarkReauthenticate(b, pgtest.Durable) })
	b.Run("volatile", func(b *testing.B) { benchmarkReauthenticate(b) })
}

func benchmarkReauthenticate(b *testing.B, opts ...pgtest.Option) {
	b.Helper()
	w := newReauthBench(b, opts...)
	var ours, bare time.Duration
	for b.Loop() {
		w.at.Add(int64(stepup.CallsPer)) // or a user's calls would be used up
		ours += parallel(b, func(i int) error { return w.get(b, w.ours, i) })
		bare += parallel(b, func(i int) error { return w.get(b, w.bare, i) })
	}
	b.ReportMetric(float64(b.N)*inRound/ours.Seconds(), "reauthenticate/s")
	b.ReportMetric(float64(b.N)*inRound/bare.Seconds(), "bare/s")
	b.ReportMetric(bare.Seconds()/ours.Seconds(), "ratio")
}

type reauthBench struct {
	at         atomic.Int64 // nanoseconds that the clock is ahead
	client     *http.Client
	tokens     []string
	ours, bare string
}

func (w *reauthBench) now() time.Time { return time.Now().Add(time.Duration(w.at.Load())) }

func newReauthBench(b *testing.B, opts ...pgtest.Option) *reauthBench {
	b.Helper()
	gin.SetMode(gin.ReleaseMode)
	ctx, log := b.Context(), slog.New(slog.DiscardHandler)
	w := &reauthBench{client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers}}}
	b.Cleanup(w.client.CloseIdleConnections)
	store, err := sqlstore.Open(ctx, pgtest.DSN(b, opts...))
	require.NoError(b, err)
	b.Cleanup(func() { _ = store.Close() })
	require.NoError(b, store.Migrate(ctx))
	keys, err := seal.Generate()
	require.NoError(b, err)
	targets := outbound.NewTargets(true)
	tokens := usertoken.New(usertoken.Config{Targets: targets, Now: w.now, Log: log})
	b.Cleanup(tokens.Close)
	service := stepup.New(stepup.Config{
		Store: store, Applications: store, Keys: keys, Tokens: tokens, Messenger: nobody{}, Now: w.now, Log: log, Targets: targets, NamesOptional: true,
		NewID: func() string { return fmt.Sprintf("%016d", serial.Add(1)) }, BaseURL: "https://c.example",
	})
	require.NoError(b, store.CreateApplication(ctx, consent.Application{ID: "app_1", Slug: "acme", Name: "Acme", CreatedAt: time.Now()}))
	secret := []byte("a secret that the application shares with us")
	require.NoError(b, service.PutSettings(ctx, stepup.Settings{ApplicationID: "app_1", Identity: stepup.Identity{
		Algorithms: []string{"HS256"}, Secret: string(secret), TrustAuthTime: true, MaxTokenAge: 24 * 365 * time.Hour,
	}}))
	year := time.Now().Add(365 * 24 * time.Hour).Unix()
	for i := range inRound {
		id := fmt.Sprintf("u%d", i)
		_, err := store.PutUser(ctx, consent.User{ApplicationID: "app_1", ID: id, Email: id + "@example.org", CreatedAt: time.Now(), UpdatedAt: time.Now()})
		require.NoError(b, err)
		token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
			"sub": id, "sid": "s", "iat": time.Now().Unix(), "exp": year, "auth_time": time.Now().Unix(),
		}).SignedString(secret)
		require.NoError(b, err)
		w.tokens = append(w.tokens, token)
	}
	w.ours = serve(b, api.New(api.Config{Reauth: service, Now: w.now, Log: log, Version: "bench"}).Handler()) + "/reauthenticate?level=session"
	w.bare = serve(b, bareReadAndWrite(b, store)) + "/reauthenticate"
	return w
}

// bareReadAndWrite reads a row and writes another.
func bareReadAndWrite(b *testing.B, store *sqlstore.Store) http.Handler {
	b.Helper()
	db := store.DB()
	_, err := db.ExecContext(b.Context(), `CREATE TABLE calls (application_id TEXT, id TEXT, at BIGINT, PRIMARY KEY (application_id, id))`)
	require.NoError(b, err)
	read, err := db.PrepareContext(b.Context(), `SELECT email, phone FROM users WHERE application_id = $1 AND id = $2`)
	require.NoError(b, err)
	b.Cleanup(func() { _ = read.Close() })
	write, err := db.PrepareContext(b.Context(), `INSERT INTO calls VALUES ($1, $2, $3) ON CONFLICT (application_id, id) DO UPDATE SET at = excluded.at`)
	require.NoError(b, err)
	b.Cleanup(func() { _ = write.Close() })
	engine := gin.New()
	engine.GET("/reauthenticate", func(c *gin.Context) {
		ctx, id := c.Request.Context(), c.GetHeader("X-User")
		var email, phone string
		err := read.QueryRowContext(ctx, "app_1", id).Scan(&email, &phone)
		if err == nil {
			_, err = write.ExecContext(ctx, "app_1", id, time.Now().UnixMicro())
		}
		if err != nil {
			c.AbortWithStatus(http.StatusInternalServerError)
			return
		}
		c.JSON(http.StatusOK, gin.H{"message": "Reauthentication successful", "timestamp": time.Now(), "valid_until": time.Now()})
	})
	return engine
}

func (w *reauthBench) get(b *testing.B, url string, i int) error {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+w.tokens[i])
	req.Header.Set("X-User", fmt.Sprintf("u%d", i))
	resp, err := w.client.Do(req)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%d: %s", resp.StatusCode, body)
	}
	return err
}

// nobody reaches anybody: nothing is sent here.
type nobody struct{}

func (nobody) SendCode(stepup.CodeMessage) error { return nil }
func (nobody) Tell(stepup.Notice)                {}
func (nobody) Reaches(consent.Channel) bool      { return false }
