package sandbox_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/provider/sandbox/bankbrowser"
)

// moveTo moves the clock to a moment.
func (w *world) moveTo(t time.Time) {
	w.Helper()
	a := w.post("/_control/clock", map[string]string{"now": t.Format(time.RFC3339Nano)})
	require.Equal(w, 200, a.Status, a.Body)
}

func (w *world) extend(token string) answer {
	w.Helper()
	return w.post("/data/v1/connections/extend", map[string]any{
		"user_has_reconfirmed_consent": true, "client_id": client, "client_secret": secret, "refresh_token": token, "redirect_uri": callback,
		"state": "ex", "user": map[string]string{"id": "u", "name": "Ada", "email": "a@example.org"},
	})
}

// TestTheLifeOfAConsent: 90 days of data, and 90 more in which only a visit to
// the bank helps, both to the moment.
func TestTheLifeOfAConsent(t *testing.T) {
	w := newWorld(t)
	g := w.linked(bankbrowser.John())
	con := w.bank.Connections()[0]
	const bit = time.Minute // the clock ticks meanwhile
	type word struct{ refresh, data, reauth, extend string }
	for _, tt := range []struct {
		name string
		at   time.Time
		want word
	}{
		{"just before the lapse", con.AuthorisedAt.Add(90*day - bit), word{"200 <nil>", "200 <nil>", "200 <nil>", "200 <nil>"}},
		{"at the lapse", con.AuthorisedAt.Add(90 * day), word{"400 invalid_grant", "403 access_denied", "200 <nil>", "200 <nil>"}},
		{"just before the end of the window", con.AuthorisedAt.Add(180*day - bit), word{"400 invalid_grant", "403 access_denied", "200 <nil>", "200 <nil>"}},
		{"at the end of the window", con.AuthorisedAt.Add(180 * day), word{"400 invalid_grant", "403 access_denied", "400 invalid_grant", "400 invalid_grant"}},
	} {
		w.moveTo(tt.at)
		got := word{refresh: "", reauth: w.reauth(g.refresh).code(), extend: w.extend(g.refresh).code()}
		fresh := w.refresh(g.refresh)
		if got.refresh = fresh.code(); fresh.Status == 200 {
			g.access = fresh.text("access_token")
		}
		got.data = w.get("/data/v1/me", g.access).code()
		assert.Equal(t, tt.want, got, tt.name)
		assert.Equal(t, con.ExpiresAt, w.bank.Connections()[0].ExpiresAt, "asking for a link changes nothing")
	}
	again := w.linked(bankbrowser.John())
	assert.Equal(t, g.credentials, again.credentials, "a first link is always possible, and is the same login's")
	assert.NotEqual(t, g.refresh, again.refresh)
}

// A renewal's 90 days count from the visit, not from the old end.
func TestARenewalCountsFromTheVisit(t *testing.T) {
	for name, after := range map[string]time.Duration{"early": 30 * day, "late": 170 * day} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			g := w.linked(bankbrowser.John())
			w.advance(after)
			visit := w.bank.Clock().Now()
			a := w.exchange(w.visit(bankbrowser.John(), w.reauth(g.refresh).text("result")).Get("code"))
			require.Equal(t, 200, a.Status, a.Body)
			me := w.me(a.text("access_token"))
			for field, want := range map[string]time.Time{
				"consent_created_at": visit.Add(-after), "consent_status_updated_at": visit, "consent_expires_at": visit.Add(90 * day),
			} {
				got, err := time.Parse("2006-01-02T15:04:05.000Z", me[field].(string))
				require.NoError(t, err)
				assert.WithinDuration(t, want, got, time.Minute, field)
			}
			con, ok := w.bank.Connection(g.credentials)
			require.True(t, ok)
			assert.Equal(t, 90*day, con.RenewableUntil.Sub(con.ExpiresAt))
			assert.Equal(t, 1, con.RefreshTokens, "identical to the original")
		})
	}
}

// An access token of an hour ago is good for nothing, deleting included.
func TestAnAccessTokenLivesForAnHour(t *testing.T) {
	w := newWorld(t)
	g := w.linked(bankbrowser.John())
	w.advance(59 * time.Minute)
	w.me(g.access)
	w.advance(time.Minute)
	assert.Equal(t, "401 invalid_token", w.get("/data/v1/me", g.access).code())
	assert.Equal(t, "401 invalid_token", w.send("DELETE", "/api/delete", "", "", g.access).code())
	assert.Len(t, w.bank.Connections(), 1)
	fresh := w.refresh(g.refresh).text("access_token")
	assert.Equal(t, 200, w.send("DELETE", "/api/delete", "", "", fresh).Status)
}

func TestACodeLivesForFiveMinutes(t *testing.T) {
	w := newWorld(t)
	code := func() string { return w.visit(bankbrowser.John(), w.dialog()).Get("code") }
	early, late := code(), code()
	w.advance(4*time.Minute + 50*time.Second)
	assert.Equal(t, 200, w.exchange(early).Status)
	w.advance(10 * time.Second)
	assert.Equal(t, "400 invalid_authorization_code", w.exchange(late).code())
}

// A code that was refused for what came with it is not used up, and one whose
// connection was deleted brings nothing back.
func TestWhatBecomesOfACode(t *testing.T) {
	w := newWorld(t)
	code := w.visit(bankbrowser.John(), w.dialog()).Get("code")
	assert.Equal(t, "400 invalid_grant", w.exchange(code, "redirect_uri", callback+"/").code())
	assert.Equal(t, "400 invalid_client", w.exchange(code, "client_secret", "x").code())
	assert.Equal(t, 200, w.exchange("", "exchange_code", code).Status, "by the other name too")

	code = w.visit(bankbrowser.John(), w.dialog()).Get("code")
	g := w.linked(bankbrowser.John())
	require.Equal(t, 200, w.send("DELETE", "/api/delete", "", "", g.access).Status)
	assert.Equal(t, "400 invalid_grant", w.exchange(code).code())
	assert.Empty(t, w.bank.Connections())
}

// Whoever comes back as somebody else has somebody else's connection, and the
// one that was to be renewed is as it was.
func TestAnotherLoginRenewsNothing(t *testing.T) {
	w := newWorld(t)
	g := w.linked(bankbrowser.John())
	other := w.linked(bankbrowser.Numbered(2))
	before, _ := w.bank.Connection(g.credentials)
	w.advance(10 * day)
	a := w.exchange(w.visit(bankbrowser.Numbered(2), w.reauth(g.refresh).text("result")).Get("code"))
	require.Equal(t, 200, a.Status)
	assert.NotEqual(t, g.refresh, a.text("refresh_token"))
	assert.Equal(t, other.credentials, w.me(a.text("access_token"))["credentials_id"])
	after, _ := w.bank.Connection(g.credentials)
	assert.Equal(t, before, after)
	assert.Equal(t, 200, w.refresh(g.refresh).Status)
	assert.Equal(t, 200, w.refresh(other.refresh).Status, "an older link's token goes on")

	narrow := w.exchange(w.visit(bankbrowser.Numbered(3), w.dialog("scope", "info offline_access")).Get("code"))
	a = w.exchange(w.visit(bankbrowser.Numbered(3), w.reauth(g.refresh).text("result")).Get("code"))
	assert.Equal(t, narrow.text("scope"), a.text("scope"), "nor does a renewal ask for more than there was")
}
