package sandbox_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
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

// No page of another site presses a control in somebody's browser, whether the
// browser says where a request comes from or only whose it is.
func TestNoOtherSiteMovesTheClock(t *testing.T) {
	w := newWorld(t)
	start := w.bank.Clock().Offset()
	for _, path := range []string{"/_control/clock", "/_control/faults", "/_control/reset"} {
		for name, tt := range map[string]struct {
			header map[string]string
			want   bool // let through
		}{
			"another site":                   {map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, false},
			"a neighbour":                    {map[string]string{"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:1"}, false},
			"another site, an older browser": {map[string]string{"Origin": "https://evil.example"}, false},
			"another port, an older browser": {map[string]string{"Origin": "http://127.0.0.1:1"}, false},
			"nobody's page":                  {map[string]string{"Origin": "null"}, false},
			"itself":                         {map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": w.at}, true},
			"a person who types it":          {map[string]string{"Sec-Fetch-Site": "none"}, true},
			"a program":                      {nil, true},
		} {
			// What is no JSON is refused by the control itself.
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.at+path, strings.NewReader("?"))
			require.NoError(t, err)
			for k, v := range tt.header {
				req.Header.Set(k, v)
			}
			resp, err := http.DefaultClient.Do(req)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			assert.Equal(t, tt.want, resp.StatusCode != http.StatusForbidden, "%s by %s: %d", path, name, resp.StatusCode)
			assert.Empty(t, resp.Header.Get("Access-Control-Allow-Origin"), "nor does it read what is answered")
		}
	}
	assert.Equal(t, start, w.bank.Clock().Offset())
}

func TestResetForgetsAllButTheTime(t *testing.T) {
	w := newWorld(t)
	g := w.linked(bankbrowser.John())
	link, code := w.reauth(g.refresh).text("result"), w.visit(bankbrowser.John(), w.dialog()).Get("code")
	defer func() {
		assert.Equal(t, "400 invalid_authorization_code", w.exchange(code).code())
		assert.Equal(t, 404, w.sit(link).page.Status)
		assert.Equal(t, "401 invalid_token", w.get("/data/v1/me", g.access).code())
		assert.Equal(t, g.credentials, w.linked(bankbrowser.John()).credentials, "and the client is still one")
	}()
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
		o.SMS = func() []sandbox.Message {
			return []sandbox.Message{{To: "+441234567890", Text: "older", SentAt: at}, {To: "+441234567890", Text: "newer", SentAt: at.Add(time.Hour)}}
		}
	})
	sms := w.get("/_control/sms", "").Body
	assert.Less(t, strings.Index(sms, "older"), strings.Index(sms, "newer"), "newest last")
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
	for _, body := range []string{"", "null", "[]", `{"name":"hang"`, `{"name":"hang"} {"name":"hang"}`, `{"name":"hang","times":"1"}`, `{"name":"hang","times":1.5}`} {
		a := w.send("POST", "/_control/faults", "application/json", body, "")
		assert.Equal(t, 400, a.Status, "%q", body)
		assert.NotEmpty(t, a.text("error"))
	}
	a := w.post("/_control/faults", map[string]any{"name": " Rate-Limited "})
	assert.Equal(t, "rate_limited", a.text("name"))
	assert.EqualValues(t, 1, a.JSON["times"], "for one call, where nothing else is said")
	assert.EqualError(t, w.bank.SetFault("gremlins", 1), `no fault "gremlins"; there are access_denied, browser_returns_twice, code_already_used, hang, idle_limit, internal_error, `+
		`invalid_grant_early, other_bank_login, rate_limited, refresh_token_omitted, refresh_token_rotates, same_id_other_accounts, server_error, user_denies`)
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
