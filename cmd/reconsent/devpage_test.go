package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fetched reads an address as a browser does.
func fetched(t *testing.T, url string) (status int, h http.Header, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode, resp.Header, string(body)
}

// tokenOf has dev sign a token.
func tokenOf(t *testing.T, r ready, user string) string {
	t.Helper()
	var signed struct{ Token string }
	ask(t, http.MethodPost, r.API+"/dev/token", "", `{"user":"`+user+`","session":"test"}`, http.StatusOK, &signed)
	return signed.Token
}

func TestThePageOfFactorsRunsItsOwnScriptOnly(t *testing.T) {
	_, r := startDev(t, t.TempDir())
	for _, at := range []string{r.API, strings.Replace(r.API, "127.0.0.1", "localhost", 1)} {
		status, h, body := fetched(t, at+factorsAt)
		require.Equal(t, http.StatusOK, status)
		policy := h.Get("Content-Security-Policy")
		for _, tag := range []string{"style", "script"} {
			inline := regexp.MustCompile(`(?s)<`+tag+`>(.*?)</`+tag+`>`).FindAllStringSubmatch(body, -1)
			require.Len(t, inline, 1, tag)
			sum := sha256.Sum256([]byte(inline[0][1]))
			assert.Contains(t, policy, tag+"-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
		}
		assert.Contains(t, policy, "default-src 'none'")
		assert.NotContains(t, policy, "unsafe")
		assert.NotRegexp(t, `(?:src|href)="(?:https?:)?//[^"]*\.(?:js|css|png|svg)`, body, "nothing comes from elsewhere")
		assert.Contains(t, body, demoPassword)
		assert.NotContains(t, body, r.UserJWTSecret)
		assert.NotContains(t, body, r.APIKey)
	}
}

func TestOnlyDevServesThePage(t *testing.T) {
	in := install(t, sqliteFile(t))
	p := start(t, in.with("serve", "--addr", "127.0.0.1:0")...)
	var said struct {
		Addr string `json:"addr"`
	}
	require.Eventually(t, func() bool { return json.Unmarshal([]byte(p.errs.String()), &said) == nil && said.Addr != "" }, waitLong, waitStep)
	for _, path := range []string{factorsAt, "/dev/messages"} {
		status, _, _ := fetched(t, "http://"+said.Addr+path)
		assert.Equal(t, http.StatusNotFound, status, path)
	}
	ask(t, http.MethodPost, "http://"+said.Addr+"/dev/token", "", `{"user":"ada","session":"x"}`, http.StatusNotFound, nil)
}

// TestExampleUsersCanProveThemselves walks the page's way: a payment that a
// person agrees to under no operation's name.
func TestExampleUsersCanProveThemselves(t *testing.T) {
	_, r := startDev(t, t.TempDir())
	token := tokenOf(t, r, "ada")
	ask(t, http.MethodGet, r.API+"/reauthenticate", token, "", http.StatusForbidden, nil)
	var rv struct {
		ID, Status, Proof string
	}
	ask(t, http.MethodPost, r.API+"/v1/reverifications", token, `{"level":"strict","details":{"payee":"Acme Ltd","amount":"10.50","currency":"EUR"}}`, http.StatusCreated, &rv)
	steps := r.API + "/v1/reverifications/" + rv.ID
	for _, channel := range []string{"email", "phone"} {
		ask(t, http.MethodPost, steps+"/prepare", token, `{"strategy":"`+channel+`_code"}`, http.StatusOK, nil)
		ask(t, http.MethodPost, r.Sandbox+"/_control/clock", "", `{"advance":"31s"}`, http.StatusOK, nil) // until the next code
	}
	var sent struct {
		Messages []struct{ Channel, To, Text string }
	}
	ask(t, http.MethodGet, r.API+"/dev/messages?user=ada", "", "", http.StatusOK, &sent)
	var channels []string
	for _, m := range sent.Messages {
		channels = append(channels, m.Channel)
		assert.Contains(t, m.Text, "Acme Ltd")
	}
	assert.ElementsMatch(t, []string{"email", "sms"}, channels)

	ask(t, http.MethodPost, steps+"/attempt", token, `{"strategy":"password","password":"`+demoPassword+`"}`, http.StatusOK, &rv)
	assert.Equal(t, "complete", rv.Status)
	assert.NotEmpty(t, rv.Proof)
	ask(t, http.MethodGet, r.API+"/reauthenticate", token, "", http.StatusOK, nil)
	body := `{"proof":"` + rv.Proof + `","user_id":"ada","session_id":"test","operation":"transfer","details":{"payee":"Acme Ltd","amount":"10.50","currency":"EUR"}}`
	ask(t, http.MethodPost, r.API+"/v1/proofs/verify", r.APIKey, body, http.StatusOK, nil)
}

func TestDevSignsForJSONOnly(t *testing.T) {
	_, r := startDev(t, t.TempDir())
	for _, body := range []string{`{}`, `{"user":"ada"}`, `[`, `{"user":"` + strings.Repeat("a", 5000) + `","session":"x"}`} {
		ask(t, http.MethodPost, r.API+"/dev/token", "", body, http.StatusBadRequest, nil)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.API+"/dev/token", strings.NewReader(`{"user":"ada","session":"x"}`))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "text/plain") // as a form of another site could
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, http.StatusBadRequest, resp.StatusCode)

	var sent struct{ Messages []any }
	ask(t, http.MethodGet, r.API+"/dev/messages?user=nobody", "", "", http.StatusOK, &sent)
	assert.Empty(t, sent.Messages)
}

// TestWhatDevPrintsWorks pastes the command that dev prints.
func TestWhatDevPrintsWorks(t *testing.T) {
	p := start(t, "dev", "--addr", "127.0.0.1:0", "--sandbox-addr", "127.0.0.1:0", "--data-dir", t.TempDir())
	text := ""
	for !strings.Contains(text, "Stop with Ctrl-C") {
		line, err := p.out.ReadString('\n')
		require.NoError(t, err)
		text += line
	}
	call := regexp.MustCompile(`curl -s '(http://\S+/reauthenticate\?level=strict)' -H 'Authorization: Bearer (\S+)'`).FindStringSubmatch(text)
	require.Len(t, call, 3, text)
	var challenge struct{ Code string }
	ask(t, http.MethodGet, call[1], call[2], "", http.StatusForbidden, &challenge)
	assert.Equal(t, "reverification_required", challenge.Code)
	assert.Contains(t, text, demoPassword)
	page := regexp.MustCompile(`open (http://localhost:\d+/dev/factors)`).FindStringSubmatch(text)
	require.Len(t, page, 2, text)
	status, _, _ := fetched(t, page[1])
	assert.Equal(t, http.StatusOK, status)
}

// TestDevRedirectsNoCall: what it serves beside the API must not change how the
// API answers.
func TestDevRedirectsNoCall(t *testing.T) {
	_, r := startDev(t, t.TempDir())
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for path, want := range map[string]string{
		"/auth/v1//user/reauthenticate": "error_code", "/auth/v1/./user/reauthenticate": "error_code", "//v1/reverifications": "not_found", "/dev/nothing": "not_found",
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.API, strings.NewReader(`{}`))
		require.NoError(t, err)
		req.URL.Path = path
		req.Header.Set("Authorization", "Bearer x")
		resp, err := client.Do(req)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		assert.Equal(t, http.StatusNotFound, resp.StatusCode, path)
		assert.Contains(t, string(body), want, path)
	}
}
