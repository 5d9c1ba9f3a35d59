package sandbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/provider/sandbox"
	"github.com/reconsent/reconsent/provider/sandbox/bankbrowser"
)

const (
	callback = "https://app.example/callback"
	client   = "acme"
	secret   = "client-secret"
	day      = 24 * time.Hour
)

// world is a sandbox and somebody who knows TrueLayer's protocol from its
// documentation only.
type world struct {
	*testing.T
	bank *sandbox.Server
	at   string
}

func newWorld(t *testing.T, change ...func(*sandbox.Options)) *world {
	t.Helper()
	opt := sandbox.Options{ClientID: client, ClientSecret: secret, ClientName: "Acme <i>Budget</i>"}
	for _, f := range change {
		f(&opt)
	}
	bank, err := sandbox.New(t.Context(), opt)
	require.NoError(t, err)
	server := httptest.NewServer(bank)
	t.Cleanup(func() {
		server.Close()
		require.NoError(t, bank.Close())
	})
	return &world{T: t, bank: bank, at: server.URL}
}

// answer is one HTTP answer.
type answer struct {
	Status int
	Header http.Header
	Body   string
	JSON   map[string]any // nil where the body is none
}

func (a answer) text(name string) string {
	s, _ := a.JSON[name].(string)
	return s
}

func (w *world) send(method, path, contentType, body, bearer string) answer {
	w.Helper()
	a, err := w.try(w.Context(), method, path, contentType, body, bearer)
	require.NoError(w, err)
	return a
}

func (w *world) try(ctx context.Context, method, path, contentType, body, bearer string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, w.at+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	a := answer{Status: resp.StatusCode, Header: resp.Header, Body: string(b)}
	_ = json.Unmarshal(b, &a.JSON)
	return a, err
}

func (w *world) post(path string, body any) answer {
	w.Helper()
	raw, err := json.Marshal(body)
	require.NoError(w, err)
	return w.send("POST", path, "application/json", string(raw), "")
}

func (w *world) form(path string, v url.Values) answer {
	w.Helper()
	return w.send("POST", path, "application/x-www-form-urlencoded", v.Encode(), "")
}

func (w *world) get(path, bearer string) answer {
	w.Helper()
	return w.send("GET", path, "", "", bearer)
}

// dialog is a link as TrueLayer's own clients build it.
func (w *world) dialog(extra ...string) string {
	q := url.Values{
		"response_type": {"code"}, "client_id": {client}, "redirect_uri": {callback}, "scope": {"info accounts balance transactions offline_access"},
		"nonce": {"n"}, "provider_id": {"mock"}, "providers": {"mock"}, "state": {"st"},
	}
	for i := 0; i < len(extra); i += 2 {
		q.Set(extra[i], extra[i+1])
	}
	return w.at + "/?" + q.Encode()
}

// visit sends somebody along a link, and returns what the browser brings back.
func (w *world) visit(p bankbrowser.Person, link string) url.Values {
	w.Helper()
	v, err := p.Go(w.Context(), link)
	require.NoError(w, err)
	require.NotNil(w, v.Return, "%v", v.Pages)
	return v.Return.Query()
}

func (w *world) exchange(code string, extra ...string) answer {
	w.Helper()
	v := url.Values{"grant_type": {"authorization_code"}, "client_id": {client}, "client_secret": {secret}, "redirect_uri": {callback}, "code": {code}}
	for i := 0; i < len(extra); i += 2 {
		v.Set(extra[i], extra[i+1])
	}
	return w.form("/connect/token", v)
}

func (w *world) refresh(token string) answer {
	w.Helper()
	return w.form("/connect/token", url.Values{"grant_type": {"refresh_token"}, "client_id": {client}, "client_secret": {secret}, "refresh_token": {token}})
}

func (w *world) reauth(token string) answer {
	w.Helper()
	return w.post("/v1/reauthuri", map[string]string{"response_type": "code", "refresh_token": token, "redirect_uri": callback, "state": "again"})
}

// grant is what a first link brought.
type grant struct{ access, refresh, credentials string }

func (w *world) linked(p bankbrowser.Person) grant {
	w.Helper()
	a := w.exchange(w.visit(p, w.dialog()).Get("code"))
	require.Equal(w, 200, a.Status, a.Body)
	g := grant{access: a.text("access_token"), refresh: a.text("refresh_token")}
	g.credentials = w.me(g.access)["credentials_id"].(string)
	return g
}

// me reads /me, which must answer.
func (w *world) me(access string) map[string]any {
	w.Helper()
	a := w.get("/data/v1/me", access)
	require.Equal(w, 200, a.Status, a.Body)
	return a.JSON["results"].([]any)[0].(map[string]any)
}

func (w *world) fault(name string, times int) {
	w.Helper()
	a := w.post("/_control/faults", map[string]any{"name": name, "times": times})
	require.Equal(w, 200, a.Status, a.Body)
}

func (w *world) advance(d time.Duration) {
	w.Helper()
	a := w.post("/_control/clock", map[string]string{"advance": d.String()})
	require.Equal(w, 200, a.Status, a.Body)
}

// code is the error of an answer in TrueLayer's shape.
func (a answer) code() string {
	if a.JSON == nil {
		return ""
	}
	return fmt.Sprintf("%d %v", a.Status, a.JSON["error"])
}
