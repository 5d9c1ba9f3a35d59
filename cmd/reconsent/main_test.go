package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/internal/pgtest"
)

// actAsCommand makes the test binary the program itself, for tests that have
// to kill it.
const actAsCommand = "RECONSENT_TEST_ACT_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(actAsCommand) != "" {
		main()
	}
	os.Exit(pgtest.Main(m))
}

// result is what somebody at a terminal sees of a command.
type result struct {
	code     int
	out, err string
}

// reconsent runs a command to its end.
func reconsent(t testing.TB, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(t.Context(), args, stdio{strings.NewReader(""), &out, &errs})
	return result{code, out.String(), errs.String()}
}

// succeeds is reconsent that must not fail.
func succeeds(t testing.TB, args ...string) string {
	t.Helper()
	r := reconsent(t, args...)
	require.Zero(t, r.code, "%v: %s%s", args, r.out, r.err)
	return r.out
}

// running is a command that serves.
type running struct {
	*testing.T
	out  *bufio.Reader
	errs *safeBuffer
	stop func()
}

// start runs a command that serves, until the test ends or stop is called.
func start(t *testing.T, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	read, write := io.Pipe()
	p := &running{T: t, out: bufio.NewReader(read), errs: &safeBuffer{}}
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, args, stdio{strings.NewReader(""), write, p.errs})
		_ = write.Close()
	}()
	p.stop = sync.OnceFunc(func() {
		cancel()
		_, _ = io.Copy(io.Discard, p.out)
		assert.Zero(t, <-code, "%v: %s", args, p.errs)
	})
	t.Cleanup(p.stop)
	return p
}

// startDev starts everything on a data directory and waits until it is ready.
func startDev(t *testing.T, dir string, args ...string) (*running, ready) {
	t.Helper()
	p := start(t, append([]string{"dev", "--json", "--addr", "127.0.0.1:0", "--sandbox-addr", "127.0.0.1:0", "--data-dir", dir}, args...)...)
	line, err := p.out.ReadString('\n')
	require.NoError(t, err, "%s", p.errs)
	var r ready
	require.NoError(t, json.Unmarshal([]byte(line), &r))
	return p, r
}

// safeBuffer is written by one goroutine and read by another.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// ask calls the API, or a control of the bank, and reads the JSON answer.
func ask(t *testing.T, method, url, key, body string, want int, into any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, want, resp.StatusCode, "%s %s: %s", method, url, text)
	if into != nil {
		require.NoError(t, json.Unmarshal(text, into), "%s", text)
	}
}

// installation is a registry with one application, made as an operator does.
type installation struct {
	config string // path of its configuration file
	key    string // of the application
}

func install(t testing.TB, databaseURL string) installation {
	t.Helper()
	in := installation{config: filepath.Join(t.TempDir(), "reconsent.yaml")}
	settings, err := json.Marshal(map[string]string{"database-url": databaseURL, "keys": succeeds(t, "keys", "new")}) // JSON is YAML
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(in.config, settings, 0o600))
	succeeds(t, in.with("migrate", "up")...)
	var made struct {
		APIKey string `json:"api_key"`
	}
	require.NoError(t, json.Unmarshal([]byte(succeeds(t, in.with("app", "create", "acme", "--name", "Acme Budget",
		"--redirect-uri", "https://app.example/callback", "--return-to", "https://app.example/done",
		"--provider", "truelayer", "--client-id", "acme-1", "--client-secret", "secret-1")...)), &made))
	in.key = made.APIKey
	return in
}

// with adds the configuration to a command.
func (in installation) with(args ...string) []string { return append(args, "--config", in.config) }

// databases makes an empty one of each kind.
var databases = []struct {
	name string
	url  func(t testing.TB) string
}{
	{"SQLite", sqliteFile},
	{"PostgreSQL", func(t testing.TB) string { return pgtest.DSN(t) }},
}

func sqliteFile(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "registry.db") }

// onEach runs a test on both databases.
func onEach(t *testing.T, test func(t *testing.T, databaseURL string)) {
	for _, db := range databases {
		t.Run(db.name, func(t *testing.T) { test(t, db.url(t)) })
	}
}

// waitLong is how long to wait for what a command prints once it serves.
const (
	waitLong = 20 * time.Second
	waitStep = 5 * time.Millisecond
)
