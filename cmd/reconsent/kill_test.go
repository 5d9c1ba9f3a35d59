package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/internal/pgtest"
	"github.com/reconsent/reconsent/provider/sandbox"
	"github.com/reconsent/reconsent/provider/sandbox/bankbrowser"
)

// How many people renew, and how often somebody is killed at it.
const (
	peopleWhoRenew = 60
	kills          = 12
)

// TestKilledAtTheBanksDoor runs two replicas of serve on one PostgreSQL and
// kills them, with SIGKILL, while the bank has a call of theirs in hand: just
// before it answers, or just after. Whatever that interrupts, every consent
// works in the end, and belongs to whom it belonged.
func TestKilledAtTheBanksDoor(t *testing.T) {
	dsn := pgtest.DSN(t)
	in := install(t, dsn)
	d := &door{T: t, in: in}
	bank, err := sandbox.New(t.Context(), sandbox.Options{ClientID: "acme", ClientSecret: "secret"})
	require.NoError(t, err)
	server := httptest.NewServer(d.standBefore(bank))
	t.Cleanup(server.Close)
	succeeds(t, in.with("app", "provider", "truelayer", "--app", "acme", "--environment", "sandbox", "--client-id", "acme", "--client-secret", "secret", "--auth-url", server.URL)...)
	d.replicas = []*replica{d.startReplica(), d.startReplica()}
	t.Cleanup(d.stopAll)

	ids := make([]string, peopleWhoRenew)
	for i := range ids {
		ids[i] = d.register(bank, i+1)
	}
	d.arm(kills)
	var group sync.WaitGroup
	for i, id := range ids {
		group.Go(func() { d.renew(id, bankbrowser.Numbered(i+1)) })
	}
	group.Wait()
	left := d.disarm()
	assert.Less(t, left, kills, "nobody was killed")
	t.Logf("%d replicas were killed", kills-left)
	d.stopAll()

	// Later, a replica takes up what was left.
	c := config{databaseURL: dsn, keys: in.keys(t), baseURL: "http://127.0.0.1:8080"}
	later := func() time.Time { return time.Now().Add(5 * time.Minute) }
	sys, err := open(t.Context(), c, parts{now: later, log: config{}.logger(stdio{err: io.Discard})})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sys.store.Close()) })
	app, err := sys.applicationNamed(t.Context(), "acme")
	require.NoError(t, err)
	require.NoError(t, sys.connector.Upkeep(t.Context()))
	renewed := 0
	for i, id := range ids {
		con, err := sys.connector.Consent(t.Context(), &app, id)
		require.NoError(t, err)
		assert.Equal(t, consent.Active, con.Status(time.Now()))
		renewed += con.Cycle - 1
		token, err := sys.connector.Token(t.Context(), &app, id, true)
		require.NoError(t, err, "%s: cycle %d", id, con.Cycle)
		assert.NotEmpty(t, token.Token)
		there, ok := bank.Connection(con.CredentialsID)
		require.True(t, ok, "the bank knows it no more")
		assert.Equal(t, fmt.Sprintf("john%d", i+1), there.Login)
		open, err := sys.store.OpenAttempts(t.Context(), app.ID, con.UserID)
		require.NoError(t, err)
		for _, a := range open {
			assert.Equal(t, consent.AttemptStarted, a.Status, "nothing is left half way")
		}
	}
	assert.Zero(t, bank.Calls("delete"), "nothing of anybody's was given back")
	assert.Positive(t, renewed)
	t.Logf("%d of %d renewals got through", renewed, peopleWhoRenew)
}

// keys reads an installation's sealing keys.
func (in installation) keys(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile(in.config)
	require.NoError(t, err)
	var settings map[string]string
	require.NoError(t, json.Unmarshal(b, &settings))
	return settings["keys"]
}

// door stands between the replicas and the bank, and kills.
type door struct {
	*testing.T
	in installation

	mu       sync.Mutex
	replicas []*replica
	left     int // how many more are to be killed
	until    int // calls until the next one is
}

type replica struct {
	cmd *exec.Cmd
	url string
}

func (d *door) startReplica() *replica {
	//nolint:noctx // it is killed, not cancelled
	cmd := exec.Command(os.Args[0], d.in.with("serve", "--addr", "127.0.0.1:0")...)
	cmd.Env = append(os.Environ(), actAsCommand+"=1")
	stderr, err := cmd.StderrPipe()
	assert.NoError(d, err)
	assert.NoError(d, cmd.Start())
	log := bufio.NewReader(stderr)
	var said struct {
		Msg  string `json:"msg"`
		Addr string `json:"addr"`
	}
	for said.Msg != "serving" {
		line, err := log.ReadBytes('\n')
		if !assert.NoError(d, err, "serve did not come up: %s", line) {
			break
		}
		_ = json.Unmarshal(line, &said)
	}
	go func() { _, _ = io.Copy(io.Discard, log) }()
	return &replica{cmd: cmd, url: "http://" + said.Addr}
}

func (r *replica) kill() {
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
}

func (d *door) stopAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.replicas {
		r.kill()
	}
	d.replicas = nil
}

func (d *door) arm(kills int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left, d.until = kills, 5
}

func (d *door) disarm() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	left := d.left
	d.left = 0
	return left
}

// standBefore lets calls of replicas through, and now and then kills one of
// the two before or after.
func (d *door) standBefore(bank http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/connect/token") && !strings.HasPrefix(r.URL.Path, "/data/") && !strings.HasPrefix(r.URL.Path, "/v1/") {
			bank.ServeHTTP(w, r)
			return
		}
		switch rand.IntN(2) {
		case 0:
			d.perhapsKill()
			bank.ServeHTTP(w, r)
		default:
			bank.ServeHTTP(w, r)
			d.perhapsKill()
		}
	})
}

func (d *door) perhapsKill() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.left == 0 {
		return
	}
	if d.until--; d.until > 0 {
		return
	}
	d.left, d.until = d.left-1, 6+rand.IntN(20)
	i := rand.IntN(len(d.replicas))
	d.replicas[i].kill()
	d.replicas[i] = d.startReplica()
}

// somebody is a replica that lives, as a load balancer would choose.
func (d *door) somebody() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.replicas[rand.IntN(len(d.replicas))].url
}

// post asks any replica, and another one where that one is killed meanwhile.
func (d *door) post(path string, body, into any) (int, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return 0, err
	}
	var resp *http.Response
	for range 5 {
		var req *http.Request
		req, err = http.NewRequestWithContext(d.Context(), http.MethodPost, d.somebody()+path, bytes.NewReader(raw))
		if err != nil {
			return 0, err
		}
		req.Header.Set("Authorization", "Bearer "+d.in.key)
		req.Header.Set("Content-Type", "application/json")
		if resp, err = http.DefaultClient.Do(req); err == nil {
			break
		}
	}
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, json.Unmarshal(text, into)
}

// register makes a consent of john<n>'s.
func (d *door) register(bank *sandbox.Server, n int) string {
	d.Helper()
	at := bank.Clock().Now()
	login, err := bank.Authorise(context.WithoutCancel(d.Context()), "acme", "mock", fmt.Sprintf("john%d", n), "https://app.example/callback", []string{"info", "accounts", "offline_access"}, at)
	require.NoError(d, err)
	var con struct {
		ID string `json:"id"`
	}
	status, err := d.post("/v1/consents", map[string]string{
		"credentials_id": login.CredentialsID, "refresh_token": login.RefreshToken, "provider": "truelayer", "provider_id": "mock",
		"user_id": fmt.Sprintf("u%d", n), "redirect_uri": "https://app.example/callback", "consented_at": at.Format(time.RFC3339), "custody": "ours",
	}, &con)
	require.NoError(d, err)
	require.Equal(d, http.StatusCreated, status)
	return con.ID
}

// renew is one person's trip to the bank. They may fail at it, and give up.
func (d *door) renew(id string, who bankbrowser.Person) {
	var link struct {
		Result    string `json:"result"`
		AttemptID string `json:"attempt_id"`
	}
	if status, err := d.post("/reauthuri", map[string]string{"consent_id": id}, &link); err != nil || status != http.StatusOK {
		return
	}
	v, err := who.Go(d.Context(), link.Result)
	if err != nil || v.Return == nil {
		return
	}
	var done map[string]any
	_, _ = d.post("/v1/callback", map[string]string{"attempt_id": link.AttemptID, "code": v.Return.Query().Get("code")}, &done)
}
