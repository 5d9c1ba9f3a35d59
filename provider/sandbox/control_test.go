package sandbox_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/provider/sandbox"
	"github.com/reconsent/reconsent/provider/sandbox/bankbrowser"
)

func TestTheClockMovesForwardOnly(t *testing.T) {
	var moves atomic.Int32
	w := newWorld(t, func(o *sandbox.Options) {
		o.OnMove = func(context.Context) error { moves.Add(1); return nil }
	})
	start := w.bank.Clock().Now()
	assert.WithinDuration(t, time.Now(), start, time.Minute, "it starts at wall time")
	w.advance(2136 * time.Hour)
	assert.WithinDuration(t, start.Add(2136*time.Hour), w.bank.Clock().Now(), time.Minute)
	assert.EqualValues(t, 1, moves.Load(), "one move is one sweep")
	now := w.get("/_control/clock", "")
	require.Equal(t, 200, now.Status)
	at, err := time.Parse(time.RFC3339, now.text("now"))
	require.NoError(t, err)
	to := at.Add(time.Hour).Truncate(time.Second)
	assert.Equal(t, 200, w.post("/_control/clock", map[string]string{"now": to.Format(time.RFC3339)}).Status)
	for name, tt := range map[string]struct {
		body any
		want int
	}{
		"back in time":  {map[string]string{"now": start.Format(time.RFC3339)}, 409},
		"back by a bit": {map[string]string{"advance": "-1s"}, 409},
		"beyond 2200":   {map[string]string{"now": "2300-01-01T00:00:00Z"}, 400},
		"both":          {map[string]string{"advance": "1h", "now": "2199-01-01T00:00:00Z"}, 400},
		"neither":       {map[string]string{}, 400},
		"days":          {map[string]string{"advance": "90d"}, 400},
		"no time":       {map[string]string{"now": "tomorrow"}, 400},
		"a number":      {map[string]any{"advance": 90}, 400},
		"another field": {map[string]string{"advance": "1h", "by": "me"}, 400},
		"a list":        {[]string{"1h"}, 400},
	} {
		a := w.post("/_control/clock", tt.body)
		assert.Equal(t, tt.want, a.Status, name)
		assert.NotEmpty(t, a.text("error"), name)
	}
	assert.EqualValues(t, 2, moves.Load(), "what is refused moves nothing")
}

func TestAMoveSaysWhatWasNotDone(t *testing.T) {
	w := newWorld(t, func(o *sandbox.Options) {
		o.OnMove = func(context.Context) error { return errors.New("the database is away") }
	})
	a := w.post("/_control/clock", map[string]string{"advance": "1h"})
	assert.Equal(t, 500, a.Status)
	assert.Contains(t, a.text("error"), "was moved")
}

func TestNoOtherSiteMovesTheClock(t *testing.T) {
	w := newWorld(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.at+"/_control/reset", http.NoBody)
	require.NoError(t, err)
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	req.Header.Set("Origin", "https://evil.example")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, http.StatusForbidden, resp.StatusCode)
}

func TestResetForgetsAllButTheTime(t *testing.T) {
	w := newWorld(t)
	g := w.linked(bankbrowser.John())
	w.advance(day)
	w.fault("internal_error", 5)
	assert.Equal(t, 200, w.post("/_control/reset", map[string]any{}).Status)
	assert.Equal(t, "400 invalid_grant", w.refresh(g.refresh).code())
	assert.True(t, w.bank.Clock().Now().After(time.Now().Add(23*time.Hour)))
	assert.Empty(t, w.bank.Connections())
}

func TestMailAndSMSAreListed(t *testing.T) {
	w := newWorld(t)
	assert.JSONEq(t, `{"messages":[]}`, w.get("/_control/mail", "").Body)
	assert.JSONEq(t, `{"messages":[]}`, w.get("/_control/sms", "").Body)
	at := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	w = newWorld(t, func(o *sandbox.Options) {
		o.Mail = func() []sandbox.Message {
			return []sandbox.Message{{To: "a@example.org", Subject: "s", HTML: "<p>h", Text: "t", SentAt: at}}
		}
	})
	assert.JSONEq(t, `{"messages":[{"to":"a@example.org","subject":"s","html":"<p>h","text":"t","sent_at":"2027-01-01T00:00:00Z"}]}`, w.get("/_control/mail", "").Body)
}

func TestFaultsAreListedAndRefusedByName(t *testing.T) {
	w := newWorld(t)
	list := w.get("/_control/faults", "")
	for _, name := range []string{
		"user_denies", "other_bank_login", "refresh_token_rotates", "refresh_token_omitted", "code_already_used", "invalid_grant_early",
		"rate_limited", "internal_error", "hang", "browser_returns_twice", "server_error", "idle_limit", "same_id_other_accounts",
	} {
		assert.Contains(t, list.Body, `"`+name+`"`)
	}
	for _, bad := range []map[string]any{{"name": "gremlins"}, {"name": "hang", "times": -1}, {"name": 5}, {"names": "hang"}, {}} {
		a := w.post("/_control/faults", bad)
		assert.Equal(t, 400, a.Status, "%v", bad)
		assert.NotEmpty(t, a.text("error"))
	}
	assert.Equal(t, "rate_limited", w.post("/_control/faults", map[string]any{"name": "Rate-Limited"}).text("name"))
}

// Each fault does what its name says for as many calls as were asked for, and
// then no longer.
func TestFaultsOfTheTransport(t *testing.T) {
	w := newWorld(t)
	g := w.linked(bankbrowser.John())
	for name, want := range map[string]string{"rate_limited": "429 provider_too_many_requests", "internal_error": "500 internal_server_error"} {
		w.fault(name, 2)
		assert.Equal(t, want, w.get("/data/v1/me", g.access).code())
		a := w.refresh(g.refresh)
		assert.Equal(t, want, a.code())
		if name == "rate_limited" {
			assert.Equal(t, "60", a.Header.Get("Retry-After"))
		}
		w.me(g.access)
	}
	w.fault("hang", 1)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := w.try(ctx, "GET", "/data/v1/me", "", "", g.access)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	w.me(g.access)
	w.fault("internal_error", 3)
	w.fault("internal_error", 0)
	w.me(g.access)
}

func TestFaultsOfTheTokenEndpoint(t *testing.T) {
	w := newWorld(t)
	g := w.linked(bankbrowser.John())
	renew := func() answer {
		return w.exchange(w.visit(bankbrowser.John(), w.reauth(g.refresh).text("result")).Get("code"))
	}

	w.fault("refresh_token_rotates", 1)
	a := w.refresh(g.refresh)
	require.Equal(t, 200, a.Status)
	assert.NotEqual(t, g.refresh, a.text("refresh_token"))
	assert.Equal(t, "400 invalid_grant", w.refresh(g.refresh).code(), "the one before is dead")
	g.refresh = a.text("refresh_token")
	assert.Equal(t, g.refresh, w.refresh(g.refresh).text("refresh_token"))

	w.fault("refresh_token_omitted", 1)
	assert.NotContains(t, w.refresh(g.refresh).JSON, "refresh_token")
	assert.Contains(t, w.refresh(g.refresh).JSON, "refresh_token")

	w.fault("invalid_grant_early", 1)
	assert.Equal(t, "400 invalid_grant", w.refresh(g.refresh).code())
	assert.Equal(t, 200, w.refresh(g.refresh).Status)

	w.fault("code_already_used", 1)
	code := w.visit(bankbrowser.John(), w.reauth(g.refresh).text("result")).Get("code")
	assert.Equal(t, "400 invalid_authorization_code", w.exchange(code).code())
	assert.Equal(t, "400 invalid_authorization_code", w.exchange(code).code(), "and used it is")
	assert.Equal(t, 200, renew().Status)
}

func TestTheIdleLimit(t *testing.T) {
	w := newWorld(t)
	g := w.linked(bankbrowser.John())
	w.advance(31 * day)
	assert.Equal(t, 200, w.refresh(g.refresh).Status, "off, it is not enforced")
	w.fault("idle_limit", 1)
	w.advance(20 * day)
	assert.Equal(t, 200, w.refresh(g.refresh).Status)
	w.advance(30 * day)
	for range 3 {
		assert.Equal(t, "400 invalid_grant", w.refresh(g.refresh).code(), "on, it stays on")
	}
	assert.Equal(t, 200, w.reauth(g.refresh).Status, "on the refresh grant only")
	w.fault("idle_limit", 0)
	assert.Equal(t, 200, w.refresh(g.refresh).Status)
}

func TestFaultsAtTheBank(t *testing.T) {
	w := newWorld(t)
	g := w.linked(bankbrowser.John())
	link := func() string { return w.reauth(g.refresh).text("result") }
	renewed := func() map[string]any {
		a := w.exchange(w.visit(bankbrowser.John(), link()).Get("code"))
		require.Equal(t, 200, a.Status, a.Body)
		return w.me(a.text("access_token"))
	}
	accounts := func() []string {
		return regexp.MustCompile(`"iban":"[^"]*"`).FindAllString(w.get("/data/v1/accounts", w.refresh(g.refresh).text("access_token")).Body, -1)
	}

	w.fault("user_denies", 1)
	assert.Equal(t, "access_denied", w.visit(bankbrowser.John(), link()).Get("error"))
	w.fault("server_error", 1)
	assert.Equal(t, "server_error", w.visit(bankbrowser.John(), link()).Get("error"))
	w.fault("other_bank_login", 1)
	assert.NotEqual(t, g.credentials, renewed()["credentials_id"])
	assert.Equal(t, g.credentials, renewed()["credentials_id"])

	before := accounts()
	require.Len(t, before, 2)
	w.fault("same_id_other_accounts", 1)
	assert.Equal(t, g.credentials, renewed()["credentials_id"])
	assert.NotContains(t, accounts(), before[0])
	renewed()
	assert.Equal(t, before, accounts())

	w.fault("access_denied", 1)
	assert.Equal(t, "403 access_denied", w.get("/data/v1/me", w.refresh(g.refresh).text("access_token")).code())
}

func TestTheBrowserReturnsTwice(t *testing.T) {
	w := newWorld(t)
	var hits atomic.Int32
	app := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	t.Cleanup(app.Close)
	w.fault("browser_returns_twice", 1)
	v, err := bankbrowser.John().Go(t.Context(), w.dialog("redirect_uri", app.URL+"/callback"))
	require.NoError(t, err)
	require.NotNil(t, v.Return)
	assert.EqualValues(t, 1, hits.Load(), "once before the browser itself")
}
