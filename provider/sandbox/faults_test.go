package sandbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/provider/sandbox/bankbrowser"
)

// patient is a world with one connection, on which the faults are tried.
type patient struct {
	*world
	own   grant
	ibans []string
	hits  atomic.Int32
	app   *httptest.Server
}

func newPatient(t *testing.T) *patient {
	t.Helper()
	p := &patient{world: newWorld(t)}
	p.own = p.linked(bankbrowser.John())
	p.ibans = p.shown(p.own.access)
	p.app = httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { p.hits.Add(1) }))
	t.Cleanup(p.app.Close)
	return p
}

// shown are the accounts that an access token shows.
func (p *patient) shown(access string) []string {
	p.Helper()
	a := p.get("/data/v1/accounts", access)
	require.Equal(p, 200, a.Status, a.Body)
	var out struct {
		Results []struct {
			Number struct {
				IBAN string `json:"iban"`
			} `json:"account_number"`
		} `json:"results"`
	}
	require.NoError(p, json.Unmarshal([]byte(a.Body), &out))
	var list []string
	for _, r := range out.Results {
		list = append(list, r.Number.IBAN)
	}
	return list
}

// trip renews, and says what came of it.
func (p *patient) trip() string {
	p.Helper()
	a := p.reauth(p.own.refresh)
	require.Equal(p, 200, a.Status, a.Body)
	back := p.visit(bankbrowser.John(), a.text("result"))
	if no := back.Get("error"); no != "" {
		assert.Empty(p, back.Get("code"))
		assert.Equal(p, "again", back.Get("state"))
		return no
	}
	a = p.exchange(back.Get("code"))
	if a.Status != 200 {
		return a.code()
	}
	access := a.text("access_token")
	said := "the same person"
	if p.me(access)["credentials_id"] != p.own.credentials {
		said = "somebody else"
	}
	if fmt.Sprint(p.shown(access)) != fmt.Sprint(p.ibans) {
		said += " with other accounts"
	}
	return said
}

// renewed refreshes, and says what came of it.
func (p *patient) renewed() string {
	p.Helper()
	a := p.refresh(p.own.refresh)
	if a.Status != 200 {
		return a.code()
	}
	p.own.access = a.text("access_token")
	switch token := a.text("refresh_token"); token {
	case "":
		return "no refresh token"
	case p.own.refresh:
		return "the same refresh token"
	default:
		p.own.refresh = token
		return "a new refresh token"
	}
}

// left is for how many more calls a fault is on.
func (w *world) left(name string) float64 {
	w.Helper()
	for _, f := range w.get("/_control/faults", "").JSON["faults"].([]any) {
		if f := f.(map[string]any); f["name"] == name {
			return f["times"].(float64)
		}
	}
	require.Fail(w, "no such fault", name)
	return 0
}

// read reads data by the newest access token, and says what came of it. A call
// that hangs is given up once the sandbox has it in hand.
func (p *patient) read() string {
	p.Helper()
	ctx, cancel := context.WithCancel(p.Context())
	defer cancel()
	hangs := p.left("hang")
	var a answer
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		a, err = p.try(ctx, "GET", "/data/v1/accounts", "", "", p.own.access)
	}()
	if hangs > 0 {
		for p.left("hang") == hangs {
			runtime.Gosched()
		}
		cancel()
	}
	<-done
	if err != nil {
		require.ErrorIs(p, err, context.Canceled)
		return "nothing"
	}
	if a.Status == 200 {
		return "the accounts"
	}
	return a.code()
}

// returns links with an app that listens, and says how often the browser's way
// back was tried before the browser itself.
func (p *patient) returns() string {
	p.Helper()
	p.hits.Store(0)
	p.visit(bankbrowser.John(), p.dialog("redirect_uri", p.app.URL+"/callback"))
	return fmt.Sprintf("%d times", p.hits.Load())
}

// TestEveryFaultDoesWhatItsNameSaysAndThenStops: for as many calls as were
// asked for, and not for one more. A fault without a row fails.
func TestEveryFaultDoesWhatItsNameSaysAndThenStops(t *testing.T) {
	faults := map[string]struct {
		do         func(*patient) string
		sick, well string
	}{
		"user_denies":            {(*patient).trip, "access_denied", "the same person"},
		"server_error":           {(*patient).trip, "server_error", "the same person"},
		"other_bank_login":       {(*patient).trip, "somebody else with other accounts", "the same person"},
		"same_id_other_accounts": {(*patient).trip, "the same person with other accounts", "the same person"},
		"code_already_used":      {(*patient).trip, "400 invalid_authorization_code", "the same person"},
		"browser_returns_twice":  {(*patient).returns, "1 times", "0 times"},
		"refresh_token_rotates":  {(*patient).renewed, "a new refresh token", "the same refresh token"},
		"refresh_token_omitted":  {(*patient).renewed, "no refresh token", "the same refresh token"},
		"invalid_grant_early":    {(*patient).renewed, "400 invalid_grant", "the same refresh token"},
		"access_denied":          {(*patient).read, "403 access_denied", "the accounts"},
		"rate_limited":           {(*patient).read, "429 provider_too_many_requests", "the accounts"},
		"internal_error":         {(*patient).read, "500 internal_server_error", "the accounts"},
		"hang":                   {(*patient).read, "nothing", "the accounts"},
		"idle_limit":             {}, // stays on; see TestTheIdleLimit
	}
	for _, f := range newWorld(t).get("/_control/faults", "").JSON["faults"].([]any) {
		name := f.(map[string]any)["name"].(string)
		assert.NotEmpty(t, f.(map[string]any)["about"], name)
		tt, ok := faults[name]
		require.True(t, ok, "%s is not tried", name)
		if tt.do == nil {
			continue
		}
		for _, times := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s %d", name, times), func(t *testing.T) {
				p := newPatient(t)
				assert.Equal(t, tt.well, tt.do(p), "before it")
				p.fault(name, times)
				for range times {
					assert.Equal(t, tt.sick, tt.do(p))
				}
				for range 2 {
					assert.Equal(t, tt.well, tt.do(p), "after it")
				}
				p.fault(name, 3)
				p.fault(name, 0)
				assert.Equal(t, tt.well, tt.do(p), "switched off")
			})
		}
	}
}

// A fault of the transport hits whatever API call comes next, and that call
// does nothing; pages and controls are never hit.
func TestFaultsOfTheTransportHitEveryAPICall(t *testing.T) {
	for name, want := range map[string]string{"rate_limited": "429 provider_too_many_requests", "internal_error": "500 internal_server_error"} {
		w := newWorld(t)
		g := w.linked(bankbrowser.John())
		link := w.reauth(g.refresh).text("result")
		page, err := url.Parse(link)
		require.NoError(t, err)
		code := w.visit(bankbrowser.John(), w.dialog()).Get("code")
		for call, do := range map[string]func() answer{
			"authuri": func() answer {
				return w.post("/v1/authuri", map[string]string{"response_type": "code", "client_id": client, "redirect_uri": callback, "provider_id": "mock"})
			},
			"reauthuri":    func() answer { return w.reauth(g.refresh) },
			"exchange":     func() answer { return w.exchange(code) },
			"refresh":      func() answer { return w.refresh(g.refresh) },
			"me":           func() answer { return w.get("/data/v1/me", g.access) },
			"info":         func() answer { return w.get("/data/v1/info", g.access) },
			"accounts":     func() answer { return w.get("/data/v1/accounts", g.access) },
			"one account":  func() answer { return w.get("/data/v1/accounts/x", g.access) },
			"balance":      func() answer { return w.get("/data/v1/accounts/x/balance", g.access) },
			"transactions": func() answer { return w.get("/data/v1/accounts/x/transactions", g.access) },
			"extend":       func() answer { return w.post("/data/v1/connections/extend", map[string]any{}) },
			"delete":       func() answer { return w.send("DELETE", "/api/delete", "", "", g.access) },
			"providers":    func() answer { return w.get("/api/providers", "") },
		} {
			w.fault(name, 1)
			assert.Equal(t, 200, w.get(page.Path, "").Status)
			assert.Equal(t, 200, w.get("/_control/clock", "").Status)
			assert.Equal(t, 200, w.get("/", "").Status)
			a := do()
			assert.Equal(t, want, a.code(), call)
			assert.NotEmpty(t, a.text("error_description"), call)
			assert.NotEmpty(t, a.Header.Get("X-TL-Correlation-Id"), call)
			assert.Equal(t, name == "rate_limited", a.Header.Get("Retry-After") != "", call)
		}
		assert.Zero(t, w.bank.Calls("me")-1, "the one of linked")
		assert.Zero(t, w.bank.Calls("token:refresh_token"))
		w.me(g.access)
		assert.Equal(t, 200, w.exchange(code).Status, "what was swallowed did nothing")
	}
}

// Faults for the token endpoint are used up by its calls alone.
func TestAFaultOfTheTokenEndpointIsNotUsedUpElsewhere(t *testing.T) {
	w := newWorld(t)
	g := w.linked(bankbrowser.Person{User: "john", Password: "eternal"})
	w.fault("refresh_token_omitted", 1)
	a := w.post("/data/v1/connections/extend", map[string]any{
		"user_has_reconfirmed_consent": true, "client_id": client, "client_secret": secret, "refresh_token": g.refresh, "redirect_uri": callback,
		"user": map[string]string{"name": "Ada", "email": "a@example.org"},
	})
	require.Equal(t, "no_action_needed", a.text("action_needed"), a.Body)
	require.NotEmpty(t, a.text("refresh_token"), "without it the connection would be lost: the one before is dead")
	assert.NotContains(t, w.refresh(a.text("refresh_token")).JSON, "refresh_token")

	w.fault("invalid_grant_early", 1)
	assert.Equal(t, "400 invalid_grant", w.refresh("no-such-token").code())
	w.fault("code_already_used", 1)
	assert.Equal(t, "400 invalid_authorization_code", w.exchange("no-such-code").code())
	for _, name := range []string{"invalid_grant_early", "code_already_used"} {
		assert.EqualValues(t, 1, w.left(name), "%s is kept for a token or code that would have been good", name)
	}
}

// A form_post comes back twice as a form.
func TestAFormComesBackTwiceToo(t *testing.T) {
	w := newWorld(t)
	forms := make(chan url.Values, 1)
	app := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if assert.NoError(t, r.ParseForm()) {
			forms <- r.PostForm
		}
	}))
	t.Cleanup(app.Close)
	w.fault("browser_returns_twice", 1)
	v, err := bankbrowser.John().Go(t.Context(), w.dialog("redirect_uri", app.URL+"/callback", "response_mode", "form_post"))
	require.NoError(t, err)
	require.Len(t, forms, 1, "%v", v.Pages)
	assert.Equal(t, v.Form, <-forms)
	assert.NotEmpty(t, v.Form.Get("code"))
	assert.Equal(t, "st", v.Form.Get("state"))
}

// Only an app on this machine is called by the sandbox itself.
func TestNobodyElsewhereIsCalled(t *testing.T) {
	w := newWorld(t)
	w.fault("browser_returns_twice", 1)
	w.visit(bankbrowser.John(), w.dialog("redirect_uri", "https://app.example/callback"))
	assert.EqualValues(t, 1, w.left("browser_returns_twice"))
}

// An app that is not there is the app's trouble, not the person's.
func TestAFirstReturnThatFails(t *testing.T) {
	w := newWorld(t)
	app := httptest.NewServer(http.NotFoundHandler())
	app.Close()
	w.fault("browser_returns_twice", 1)
	assert.NotEmpty(t, w.visit(bankbrowser.John(), w.dialog("redirect_uri", app.URL+"/callback")).Get("code"))
}
