package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/internal/pgtest"
	"github.com/reconsent/reconsent/provider/sandbox/bankbrowser"
)

type consentJSON struct {
	ID            string    `json:"id"`
	CredentialsID string    `json:"credentials_id"`
	Status        string    `json:"status"`
	Cycle         int       `json:"cycle"`
	ExpiresAt     time.Time `json:"expires_at"`
}

// consents lists a user's consents over the API.
func consents(t *testing.T, r ready, user string) []consentJSON {
	t.Helper()
	var list struct {
		Consents []consentJSON `json:"consents"`
	}
	ask(t, http.MethodGet, r.API+"/v1/consents?limit=200&user_id="+user, r.APIKey, "", http.StatusOK, &list)
	return list.Consents
}

// bankTime is the time that dev lives in.
func bankTime(t *testing.T, r ready) time.Time {
	t.Helper()
	var clock struct {
		Now time.Time `json:"now"`
	}
	ask(t, http.MethodGet, r.Sandbox+"/_control/clock", "", "", http.StatusOK, &clock)
	return clock.Now
}

// TestTheNewcomersStory is the README's: link, let 91 days pass, renew at the
// bank's own login, and have the same connection for another 90.
func TestTheNewcomersStory(t *testing.T) {
	_, r := startDev(t, t.TempDir())
	story(t, r)
}

func TestTheNewcomersStoryOnPostgreSQL(t *testing.T) {
	_, r := startDev(t, t.TempDir(), "--database-url", pgtest.DSN(t))
	story(t, r)
}

func story(t *testing.T, r ready) {
	const done = "http://localhost:1/done"
	var link struct {
		URI string `json:"uri"`
	}
	ask(t, http.MethodPost, r.API+"/v1/authuri", r.APIKey,
		`{"provider":"sandbox","provider_id":"mock","user_id":"me","return_to":"`+done+`","state":"hello"}`, http.StatusCreated, &link)
	v, err := bankbrowser.John().Go(t.Context(), link.URI)
	require.NoError(t, err)
	assert.Equal(t, "linked", returned(t, v).Get("status"))
	before := consents(t, r, "me")
	require.Len(t, before, 1)
	assert.Equal(t, "active", before[0].Status)

	ask(t, http.MethodPost, r.Sandbox+"/_control/clock", "", `{"advance":"2184h"}`, http.StatusOK, nil)
	assert.Equal(t, "lapsed", consents(t, r, "me")[0].Status)

	state := "st&te=%2F \"é\" +"
	body, err := json.Marshal(map[string]string{"consent_id": before[0].ID, "return_to": done, "state": state})
	require.NoError(t, err)
	var reauth struct {
		Success bool   `json:"success"`
		Result  string `json:"result"`
	}
	ask(t, http.MethodPost, r.API+"/reauthuri", r.APIKey, string(body), http.StatusOK, &reauth)
	require.True(t, reauth.Success)
	v, err = bankbrowser.John().Go(t.Context(), reauth.Result)
	require.NoError(t, err)
	assert.Contains(t, v.Pages[0], "Sign in", "directly at the bank's login")
	q := returned(t, v)
	assert.Equal(t, "renewed", q.Get("status"))
	assert.Equal(t, state, q.Get("state"))
	assert.Equal(t, before[0].CredentialsID, q.Get("credentials_id"))

	after := consents(t, r, "me")
	require.Len(t, after, 1)
	assert.Equal(t, "active", after[0].Status)
	assert.Equal(t, before[0].ID, after[0].ID)
	assert.Equal(t, before[0].CredentialsID, after[0].CredentialsID)
	assert.Equal(t, 2, after[0].Cycle)
	assert.WithinDuration(t, bankTime(t, r).Add(90*aDay), after[0].ExpiresAt, time.Minute)
}

func TestDevHasExamplesInEveryState(t *testing.T) {
	_, r := startDev(t, t.TempDir())
	seen := map[string]int{}
	for _, c := range consents(t, r, "") {
		seen[c.Status]++
	}
	for _, status := range []string{"active", "lapsing", "lapsed", "unrenewable", "revoked"} {
		assert.Positive(t, seen[status], status)
	}
}

func TestARestartServesTheSame(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "by dev")
	p, first := startDev(t, dir)
	ask(t, http.MethodPost, first.Sandbox+"/_control/clock", "", `{"advance":"1000h"}`, http.StatusOK, nil)
	moved, held := bankTime(t, first), consents(t, first, "")
	p.stop()

	_, second := startDev(t, dir)
	assert.Equal(t, first.ApplicationID, second.ApplicationID)
	assert.Equal(t, first.APIKey, second.APIKey)
	assert.Equal(t, first.UserJWTSecret, second.UserJWTSecret)
	assert.Equal(t, first.SandboxClientID, second.SandboxClientID)
	assert.WithinDuration(t, moved, bankTime(t, second), time.Minute, "the clock is kept")
	assert.Equal(t, held, consents(t, second, ""))

	var token struct {
		AccessToken string `json:"access_token"`
	}
	ask(t, http.MethodPost, second.API+"/v1/consents/"+active(t, second).ID+"/token", second.APIKey, "", http.StatusOK, &token)
	assert.NotEmpty(t, token.AccessToken, "the bank knows its tokens still, at whatever port")
}

func active(t *testing.T, r ready) consentJSON {
	t.Helper()
	for _, c := range consents(t, r, "ada") {
		return c
	}
	t.Fatal("no consent")
	return consentJSON{}
}

func TestDevPrintsWhatToOpen(t *testing.T) {
	p := start(t, "dev", "--addr", "127.0.0.1:0", "--sandbox-addr", "127.0.0.1:0", "--data-dir", t.TempDir())
	text := ""
	for !strings.Contains(text, "Stop with Ctrl-C") {
		line, err := p.out.ReadString('\n')
		require.NoError(t, err)
		text += line
	}
	for _, want := range []string{"reconsent is up.", "API ", "Sandbox bank", "API key", "/v1/authuri", "/_control/clock", "/reauthuri"} {
		assert.Contains(t, text, want)
	}
	assert.Empty(t, p.errs.String(), "nothing else is said")
}

func TestDevOnDirtyGround(t *testing.T) {
	t.Run("a memo that is damaged", func(t *testing.T) {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "dev.json"), []byte("{"), 0o600))
		r := reconsent(t, "dev", "--data-dir", dir, "--addr", "127.0.0.1:0", "--sandbox-addr", "127.0.0.1:0")
		assert.Equal(t, exitFailed, r.code)
		assert.Contains(t, r.err, "remove the data directory")
	})
	t.Run("an address that is taken", func(t *testing.T) {
		_, other := startDev(t, t.TempDir())
		r := reconsent(t, "dev", "--data-dir", t.TempDir(), "--addr", strings.TrimPrefix(other.API, "http://"), "--sandbox-addr", "127.0.0.1:0")
		assert.Equal(t, exitFailed, r.code)
		assert.Contains(t, r.err, "listen on "+strings.TrimPrefix(other.API, "http://"))
	})
	t.Run("a data directory that is a file", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		require.NoError(t, os.WriteFile(file, nil, 0o600))
		r := reconsent(t, "dev", "--data-dir", file)
		assert.Equal(t, exitFailed, r.code)
		assert.Contains(t, r.err, "data directory")
	})
	t.Run("the memo of nobody else's eyes", func(t *testing.T) {
		dir := t.TempDir()
		startDev(t, dir)
		info, err := os.Stat(filepath.Join(dir, "dev.json"))
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	})
}

func TestTheSandboxAlone(t *testing.T) {
	p := start(t, "sandbox", "--addr", "127.0.0.1:0")
	line, err := p.out.ReadString('\n')
	require.NoError(t, err)
	at := strings.TrimSuffix(strings.Fields(line)[3], "/")
	var clock struct {
		Now time.Time `json:"now"`
	}
	ask(t, http.MethodGet, at+"/_control/clock", "", "", http.StatusOK, &clock)
	assert.WithinDuration(t, time.Now(), clock.Now, time.Minute)
	body := fmt.Sprintf(`{"grant_type":"client_credentials","client_id":%q,"client_secret":%q}`, "sandbox-demo", "sandbox-secret")
	ask(t, http.MethodPost, at+"/connect/token", "", body, http.StatusOK, nil)
}

// returned follows a browser over our callback to where the application asked
// for it to be sent, and reads what came with it.
func returned(t *testing.T, v bankbrowser.Visit) url.Values {
	t.Helper()
	require.NotNil(t, v.Return, "%v", v.Pages)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, v.Return.String(), nil)
	require.NoError(t, err)
	resp, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	to, err := resp.Location()
	require.NoError(t, err, "status %d", resp.StatusCode)
	require.Equal(t, "localhost:1", to.Host)
	return to.Query()
}

// BenchmarkDev measures what a newcomer waits for, and what an idle dev takes.
// It starts the program itself; the figures stand in docs/performance.md.
func BenchmarkDev(b *testing.B) {
	bin := filepath.Join(b.TempDir(), "reconsent")
	out, err := exec.CommandContext(b.Context(), "go", "build", "-o", bin, ".").CombinedOutput()
	require.NoError(b, err, "%s", out)
	var resident int
	for b.Loop() {
		cmd := exec.CommandContext(b.Context(), bin, "dev", "--json", "--addr", "127.0.0.1:0", "--sandbox-addr", "127.0.0.1:0", "--data-dir", b.TempDir())
		stdout, err := cmd.StdoutPipe()
		require.NoError(b, err)
		require.NoError(b, cmd.Start())
		_, err = bufio.NewReader(stdout).ReadString('\n') // ready
		require.NoError(b, err)
		b.StopTimer()
		resident = max(resident, residentKB(b, cmd.Process.Pid))
		require.NoError(b, cmd.Process.Signal(os.Interrupt))
		require.NoError(b, cmd.Wait())
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/start")
	b.ReportMetric(float64(resident)/1024, "MiB-idle")
}

// residentKB reads a process's resident memory, where the system tells it.
func residentKB(b *testing.B, pid int) int {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Logf("resident memory is not known here: %v", err)
		return 0
	}
	var kb int
	for line := range strings.SplitSeq(string(status), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			_, err := fmt.Sscanf(rest, "%d", &kb)
			require.NoError(b, err)
		}
	}
	return kb
}
