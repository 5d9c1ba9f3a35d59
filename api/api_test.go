package api_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/api"
	"github.com/reconsent/reconsent/provider/sandbox/bankbrowser"
)

func (w *world) visit(p bankbrowser.Person, link string) url.Values {
	w.Helper()
	v, err := p.Go(w.Context(), link)
	require.NoError(w, err)
	require.NotNil(w, v.Return, "the bank kept the browser: %v", v.Pages)
	return v.Return.Query()
}

// TestBadInput is the table of what callers send wrong, and the exact answer.
// No row changes the consent, and none is a 5xx.
func TestBadInput(t *testing.T) {
	w := newWorld(t)
	john := w.linked("u1", bankbrowser.John())
	gone := w.linked("u2", bankbrowser.Numbered(2))
	expired := w.call("POST", "/reauthuri", map[string]any{"consent_id": john, "state": "expired"}).json(t)["attempt_id"]
	require.NoError(t, w.bank.Clock().Advance(2*time.Hour))
	unrenewable := w.registered("u3", 200*day)
	foreign, foreignAttempt := w.foreign("theirs")
	require.Equal(t, 200, w.call("DELETE", "/v1/consents/"+gone, nil).status)
	before := w.call("GET", "/v1/consents/"+john, nil).body

	reauth := func(fields map[string]any) map[string]any { fields["consent_id"] = john; return fields }
	link := func(fields map[string]any) map[string]any {
		for name, v := range map[string]any{"provider": "truelayer", "provider_id": "mock", "user_id": "u9"} {
			if _, given := fields[name]; !given {
				fields[name] = v
			}
		}
		return fields
	}
	for _, tt := range []struct {
		name, method, path string
		body               any
		status             int
		code               string
	}{
		{"unknown consent", "POST", "/reauthuri", map[string]any{"consent_id": "con_nobody"}, 404, "consent_not_found"},
		{"revoked consent", "POST", "/reauthuri", map[string]any{"consent_id": gone}, 409, "consent_revoked"},
		{"another application's consent", "POST", "/reauthuri", map[string]any{"consent_id": foreign}, 404, "consent_not_found"},
		{"another application's consent, looked at", "GET", "/v1/consents/" + foreign, nil, 404, "consent_not_found"},
		{"another application's consent, revoked", "DELETE", "/v1/consents/" + foreign, nil, 404, "consent_not_found"},
		{"another application's token", "POST", "/v1/consents/" + foreign + "/token", nil, 404, "consent_not_found"},
		{"unrenewable consent", "POST", "/reauthuri", map[string]any{"consent_id": unrenewable}, 410, "consent_unrenewable"},
		{"another user's consent", "POST", "/reauthuri", reauth(map[string]any{"user_id": "u2"}), 404, "consent_not_found"},
		{"no consent named", "POST", "/reauthuri", map[string]any{}, 400, "invalid_request"},
		{"unknown credentials", "POST", "/reauthuri", map[string]any{"credentials_id": "x"}, 404, "consent_not_found"},
		{"unknown token", "POST", "/reauthuri", map[string]any{"refresh_token": "x"}, 404, "consent_not_found"},
		{"TrueLayer's body, wrong response_type", "POST", "/reauthuri", map[string]any{"response_type": "token", "refresh_token": "x"}, 400, "invalid_request"},
		{"id with a NUL", "POST", "/reauthuri", map[string]any{"consent_id": "con\x00"}, 400, "invalid_request"},
		{"id of 10 KB", "POST", "/reauthuri", map[string]any{"consent_id": strings.Repeat("x", 10_000)}, 400, "invalid_request"},

		{"redirect_uri in another case", "POST", "/reauthuri", reauth(map[string]any{"redirect_uri": "https://APP.example/callback"}), 400, "redirect_uri_mismatch"},
		{"redirect_uri with a slash", "POST", "/reauthuri", reauth(map[string]any{"redirect_uri": appCallback + "/"}), 400, "redirect_uri_mismatch"},
		{"redirect_uri with a query", "POST", "/reauthuri", reauth(map[string]any{"redirect_uri": appCallback + "?a=b"}), 400, "redirect_uri_mismatch"},
		{"redirect_uri encoded", "POST", "/reauthuri", reauth(map[string]any{"redirect_uri": "https://app.example/%63allback"}), 400, "redirect_uri_mismatch"},
		{"redirect_uri on another host", "POST", "/reauthuri", reauth(map[string]any{"redirect_uri": "https://evil.example/callback"}), 400, "redirect_uri_mismatch"},
		{"redirect_uri not on the list", "POST", "/v1/authuri", link(map[string]any{"redirect_uri": "https://evil.example/"}), 400, "redirect_uri_not_allowed"},

		{"return_to on another host", "POST", "/v1/authuri", link(map[string]any{"return_to": "https://evil.example/done"}), 400, "return_to_not_allowed"},
		{"return_to without a scheme", "POST", "/v1/authuri", link(map[string]any{"return_to": "//app.example/done"}), 400, "return_to_not_allowed"},
		{"return_to with a backslash", "POST", "/v1/authuri", link(map[string]any{"return_to": `https://app.example\@evil.example/done`}), 400, "return_to_not_allowed"},
		{"return_to with user info", "POST", "/v1/authuri", link(map[string]any{"return_to": "https://app.example@evil.example/done"}), 400, "return_to_not_allowed"},
		{"return_to as a script", "POST", "/v1/authuri", link(map[string]any{"return_to": "javascript:alert(1)"}), 400, "return_to_not_allowed"},
		{"return_to with a fragment", "POST", "/v1/authuri", link(map[string]any{"return_to": appReturn + "#x"}), 400, "return_to_not_allowed"},
		{"return_to of a renewal", "POST", "/reauthuri", reauth(map[string]any{"return_to": "https://evil.example/"}), 400, "return_to_not_allowed"},

		{"state of 5 KB", "POST", "/reauthuri", reauth(map[string]any{"state": strings.Repeat("s", 5000)}), 400, "invalid_request"},
		{"state as a number", "POST", "/reauthuri", reauth(map[string]any{"state": 5}), 400, "invalid_request"},
		{"state of half a character", "POST", "/reauthuri", `{"consent_id": "` + john + `", "state": "\ud800"}`, 400, "invalid_request"},
		{"expired state", "POST", "/v1/callback", map[string]any{"state": "expired", "code": "x"}, 410, "attempt_expired"},
		{"expired attempt", "POST", "/v1/callback", map[string]any{"attempt_id": expired, "code": "x"}, 410, "attempt_expired"},
		{"another application's state", "POST", "/v1/callback", map[string]any{"state": "theirs", "code": "x"}, 400, "state_unknown"},
		{"another application's attempt", "POST", "/v1/callback", map[string]any{"attempt_id": foreignAttempt, "code": "x"}, 404, "attempt_not_found"},
		{"state of another attempt", "POST", "/v1/callback", map[string]any{"attempt_id": expired, "state": "s-u1", "code": "x"}, 400, "state_unknown"},
		{"reused state shows the first outcome", "POST", "/v1/callback", map[string]any{"state": "s-u1", "code": "forged"}, 200, ""},
		{"unknown state", "POST", "/v1/callback", map[string]any{"state": "forged", "code": "x"}, 400, "state_unknown"},
		{"code without state", "POST", "/v1/callback", map[string]any{"code": "x"}, 400, "invalid_request"},
		{"state without code", "POST", "/v1/callback", map[string]any{"state": "s-u1"}, 400, "invalid_request"},
		{"both codes", "POST", "/v1/callback", map[string]any{"state": "x", "code": "x", "exchange_code": "y"}, 400, "invalid_request"},
		{"unknown attempt", "POST", "/v1/callback", map[string]any{"attempt_id": "att_nobody", "code": "x"}, 404, "attempt_not_found"},
		{"confirm an unknown attempt", "POST", "/v1/attempts/att_nobody/confirm", map[string]any{"result": "x"}, 404, "attempt_not_found"},
		{"confirm without result", "POST", "/v1/attempts/att_nobody/confirm", map[string]any{}, 400, "invalid_request"},

		{"wrong type", "POST", "/v1/authuri", `{"provider": 7}`, 400, "invalid_request"},
		{"a list", "POST", "/v1/authuri", `[]`, 400, "invalid_request"},
		{"null", "POST", "/v1/authuri", `null`, 400, "invalid_request"},
		{"unknown field", "POST", "/v1/authuri", link(map[string]any{"provder": "x"}), 400, "invalid_request"},
		{"half a body", "POST", "/v1/authuri", `{"provider": "true`, 400, "invalid_request"},
		{"two bodies", "POST", "/v1/authuri", `{} {}`, 400, "invalid_request"},
		{"no body", "POST", "/v1/authuri", nil, 400, "invalid_request"},
		{"bad UTF-8", "POST", "/v1/authuri", "{\"provider\": \"\xff\"}", 400, "invalid_request"},
		{"10 MB", "POST", "/v1/authuri", `{"provider": "` + strings.Repeat("x", 10<<20) + `"}`, 413, "payload_too_large"},
		{"no provider", "POST", "/v1/authuri", map[string]any{"user_id": "u"}, 400, "invalid_request"},
		{"unknown provider", "POST", "/v1/authuri", link(map[string]any{"provider": "nobody"}), 400, "provider_unknown"},
		{"no user", "POST", "/v1/authuri", link(map[string]any{"user_id": ""}), 400, "invalid_request"},
		{"user with a NUL", "POST", "/v1/authuri", link(map[string]any{"user_id": "a\x00b"}), 400, "invalid_request"},
		{"inputs that are no text", "POST", "/v1/authuri", link(map[string]any{"auth_inputs": map[string]any{"branch": 1}}), 400, "invalid_request"},

		{"status that is none", "GET", "/v1/consents?status=dead", nil, 400, "invalid_request"},
		{"limit 0", "GET", "/v1/consents?limit=0", nil, 400, "invalid_request"},
		{"limit 201", "GET", "/v1/consents?limit=201", nil, 400, "invalid_request"},
		{"limit of letters", "GET", "/v1/consents?limit=ten", nil, 400, "invalid_request"},
		{"date that is none", "GET", "/v1/consents?expires_before=tomorrow", nil, 400, "invalid_request"},
		{"forged cursor", "GET", "/v1/consents?cursor=abc", nil, 400, "invalid_request"},
		{"unknown parameter", "GET", "/v1/consents?user=u1", nil, 400, "invalid_request"},
		{"forged cursor of events", "GET", "/v1/consents/" + john + "/events?cursor=-1", nil, 400, "invalid_request"},
		{"unknown consent's events", "GET", "/v1/consents/con_nobody/events", nil, 404, "consent_not_found"},
		{"token of a revoked consent", "POST", "/v1/consents/" + gone + "/token", nil, 409, "consent_revoked"},
		{"token handed in where it is ours", "PUT", "/v1/consents/" + john + "/token", map[string]any{"refresh_token": "x"}, 409, "custody_ours"},
		{"link for a revoked consent", "POST", "/v1/consents/" + gone + "/reconnect-links", nil, 409, "consent_revoked"},

		{"reconfirm without a body", "POST", "/v1/consents/" + john + "/reconfirm", nil, 400, "invalid_request"},
		{"reconfirm without a statement", "POST", "/v1/consents/" + john + "/reconfirm", map[string]any{"confirmed_by": "u1"}, 400, "invalid_request"},
		{"reconfirm with a statement of 5 KB", "POST", "/v1/consents/" + john + "/reconfirm", map[string]any{"statement": strings.Repeat("x", 5000)}, 400, "invalid_request"},
		{"reconfirm for somebody without a name", "POST", "/v1/consents/" + john + "/reconfirm", map[string]any{"statement": "I do"}, 422, "user_details_required"},
		{"reconfirm in the future", "POST", "/v1/consents/" + john + "/reconfirm", map[string]any{"statement": "I do", "confirmed_at": "2199-01-01T00:00:00Z", "user": map[string]any{"name": "A", "email": "a@example.org"}}, 400, "invalid_request"},
		{"reconfirm with another redirect_uri", "POST", "/v1/consents/" + john + "/reconfirm", map[string]any{"statement": "I do", "redirect_uri": appCallback + "/", "user": map[string]any{"name": "A", "email": "a@example.org"}}, 400, "redirect_uri_mismatch"},
		{"reconfirm a revoked consent", "POST", "/v1/consents/" + gone + "/reconfirm", map[string]any{"statement": "I do"}, 409, "consent_revoked"},
		{"reconfirm an unknown consent", "POST", "/v1/consents/con_nobody/reconfirm", map[string]any{"statement": "I do"}, 404, "consent_not_found"},
		{"confirmations of an unknown consent", "GET", "/v1/consents/con_nobody/confirmations", nil, 404, "consent_not_found"},
		{"alarms of all kinds of truth", "GET", "/v1/alarms?all=yes", nil, 400, "invalid_request"},

		{"register without a date", "POST", "/v1/consents", map[string]any{"credentials_id": "c", "provider": "truelayer", "user_id": "u"}, 400, "invalid_request"},
		{"register with an end before its start", "POST", "/v1/consents", map[string]any{"credentials_id": "c", "provider": "truelayer", "user_id": "u", "consented_at": "2026-01-01T00:00:00Z", "expires_at": "2025-01-01T00:00:00Z"}, 400, "invalid_request"},
		{"register in the year 9999", "POST", "/v1/consents", map[string]any{"credentials_id": "c", "provider": "truelayer", "user_id": "u", "consented_at": "2026-01-01T00:00:00Z", "expires_at": "9999-12-31T23:59:59-23:00"}, 400, "invalid_request"},
		{"register in the year 0", "POST", "/v1/consents", map[string]any{"credentials_id": "c", "provider": "truelayer", "user_id": "u", "consented_at": "0000-01-01T00:00:00+23:59"}, 400, "invalid_request"},
		{"register yesterday, in words", "POST", "/v1/consents", map[string]any{"credentials_id": "c", "provider": "truelayer", "user_id": "u", "consented_at": "yesterday"}, 400, "invalid_request"},
		{"register at an unknown provider", "POST", "/v1/consents", map[string]any{"credentials_id": "c", "provider": "nobody", "user_id": "u", "consented_at": "2026-01-01T00:00:00Z"}, 400, "provider_unknown"},
		{"register in nobody's custody", "POST", "/v1/consents", map[string]any{"credentials_id": "c", "provider": "truelayer", "user_id": "u", "consented_at": "2026-01-01T00:00:00Z", "custody": "theirs"}, 400, "invalid_request"},

		{"e-mail with a header in it", "PUT", "/v1/users/u1", map[string]any{"email": "a@example.org\r\nBcc: b@example.org"}, 400, "invalid_request"},
		{"e-mail of 300 characters", "PUT", "/v1/users/u1", map[string]any{"email": strings.Repeat("a", 288) + "@example.org"}, 400, "invalid_request"},
		{"phone that is none", "PUT", "/v1/users/u1", map[string]any{"phone": "020 7183 8750"}, 400, "invalid_request"},
		{"locale that is none", "PUT", "/v1/users/u1", map[string]any{"locale": "klingon-empire-x"}, 400, "invalid_request"},
		{"time zone that is none", "PUT", "/v1/users/u1", map[string]any{"time_zone": "Moon/Crater"}, 400, "invalid_request"},
		{"password in the place of its hash", "PUT", "/v1/users/u1", map[string]any{"password_hash": "hunter2"}, 400, "invalid_request"},
		{"password hash of 128 MiB", "PUT", "/v1/users/u1", map[string]any{"password_hash": "$argon2id$v=19$m=131072,t=3,p=4$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"}, 400, "invalid_request"},
		{"bcrypt hash of cost 31", "PUT", "/v1/users/u1", map[string]any{"password_hash": "$2b$31$abcdefghijklmnopqrstuuzzfwLY11Q0O66TF2XZ7FUib2Ngtn1va"}, 400, "invalid_request"},
		{"password hash of 5 KB", "PUT", "/v1/users/u1", map[string]any{"password_hash": strings.Repeat("x", 5000)}, 400, "invalid_request"},
		{"unknown user", "GET", "/v1/users/nobody", nil, 404, "user_not_found"},
		{"unknown user whose refusals are cleared", "DELETE", "/v1/users/nobody/refusals", nil, 404, "user_not_found"},
		{"unknown user erased", "DELETE", "/v1/users/nobody", nil, 404, "user_not_found"},

		{"no such address", "GET", "/v1/nothing", nil, 404, "not_found"},
		{"no such method", "PATCH", "/v1/consents", nil, 405, "method_not_allowed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := w.call(tt.method, tt.path, tt.body)
			require.Equal(t, tt.status, a.status, "%s", a.body)
			if tt.status == 200 {
				return
			}
			assert.Equal(t, "application/problem+json", a.header.Get("Content-Type"))
			p := a.json(t)
			assert.Equal(t, tt.code, p["code"])
			assert.NotEmpty(t, p["detail"])
			assert.EqualValues(t, tt.status, p["status"])
			assert.JSONEq(t, string(before), string(w.call("GET", "/v1/consents/"+john, nil).body), "the consent changed")
		})
	}
}

// registered registers a consent whose person was at the bank so long ago.
func (w *world) registered(user string, ago time.Duration) string {
	w.Helper()
	at := w.bank.Clock().Now().Add(-ago)
	login, err := w.bank.Authorise(w.Context(), "client", "mock", "john8", appCallback, []string{"info", "accounts", "offline_access"}, at)
	require.NoError(w, err)
	a := w.call("POST", "/v1/consents", map[string]any{
		"credentials_id": login.CredentialsID, "refresh_token": login.RefreshToken, "provider": "truelayer", "provider_id": "mock",
		"user_id": user, "redirect_uri": appCallback, "consented_at": at.Format(time.RFC3339),
	})
	require.Equal(w, 201, a.status, "%s", a.body)
	return a.json(w.T)["id"].(string)
}

// foreign makes another application, with a consent and a live attempt.
func (w *world) foreign(state string) (consentID, attemptID string) {
	w.Helper()
	ours, key := w.app, w.key
	defer func() { w.app, w.key = ours, key }()
	w.app, w.key = w.application(w.store, "other", w.bankURL)
	consentID = w.linked("u1", bankbrowser.Numbered(6))
	return consentID, w.call("POST", "/reauthuri", map[string]any{"consent_id": consentID, "state": state}).json(w.T)["attempt_id"].(string)
}

func TestStatesOf4KBOfAnyCharactersComeBackAsTheyWere(t *testing.T) {
	w := newWorld(t)
	id := w.linked("u1", bankbrowser.John())
	state := strings.Repeat("\x00\x1f\u2028 %2F+&=<>\"\\\U0001F3E6é", 4096/28)
	require.LessOrEqual(t, len(state), 4096)
	a := w.call("POST", "/reauthuri", map[string]any{"consent_id": id, "state": state})
	require.Equal(t, 200, a.status, "%s", a.body)
	q := w.visit(bankbrowser.John(), a.json(t)["result"].(string))
	assert.Equal(t, state, q.Get("state"))
	assert.Equal(t, 200, w.call("POST", "/v1/callback", map[string]any{"state": q.Get("state"), "code": q.Get("code")}).status)
}

func TestKeys(t *testing.T) {
	w := newWorld(t)
	john := w.linked("u1", bankbrowser.John())
	for name, header := range map[string]http.Header{
		"none":          {},
		"empty":         {"Authorization": {""}},
		"another form":  {"Authorization": {"Basic " + w.key}},
		"wrong secret":  {"Authorization": {"Bearer " + w.key + "x"}},
		"no prefix":     {"Authorization": {"Bearer acme.x"}},
		"unknown app":   {"Authorization": {"Bearer rck_other." + strings.SplitN(w.key, ".", 2)[1]}},
		"two of them":   {"Authorization": {"Bearer " + w.key, "Bearer " + w.key}},
		"NUL in it":     {"Authorization": {"Bearer rck_acme.%00"}},
		"only a prefix": {"Authorization": {"Bearer rck_"}},
	} {
		a := w.send("GET", "/v1/consents/"+john, header, nil)
		assert.Equal(t, 401, a.status, name)
		assert.Equal(t, "unauthorized", a.json(t)["code"], name)
		assert.NotEmpty(t, a.header.Get("WWW-Authenticate"), name)
	}
	key, stored, err := w.conn.NewAPIKey(t.Context(), &w.app, "second")
	require.NoError(t, err)
	second := http.Header{"Authorization": {"bearer " + key}}
	assert.Equal(t, 200, w.send("GET", "/v1/consents/"+john, second, nil).status)
	require.NoError(t, w.conn.RevokeAPIKey(t.Context(), &w.app, stored.ID))
	assert.Equal(t, 401, w.send("GET", "/v1/consents/"+john, second, nil).status)
}

func TestABodyThatIsNotDeclaredAsJSON(t *testing.T) {
	w := newWorld(t)
	for _, ct := range []string{"", "text/plain", "application/x-www-form-urlencoded"} {
		a := w.send("POST", "/v1/authuri", http.Header{"Authorization": {"Bearer " + w.key}, "Content-Type": {ct}}, []byte(`{}`))
		assert.Equal(t, 415, a.status, ct)
	}
	a := w.send("POST", "/reauthuri", http.Header{"Authorization": {"Bearer " + w.key}, "Content-Type": {"application/json; charset=utf-8"}}, []byte(`{"consent_id":"x"}`))
	assert.Equal(t, 404, a.status)
}

// TestTheStory is the newcomer's: link, lapse, a direct link to the bank, and
// back with another 90 days.
func TestTheStory(t *testing.T) {
	w := newWorld(t)
	id := w.linked("u1", bankbrowser.John())
	first := w.call("GET", "/v1/consents/"+id, nil).json(t)
	assert.Equal(t, "active", first["status"])
	require.NoError(t, w.bank.Clock().Advance(91*24*time.Hour))
	assert.Equal(t, "lapsed", w.call("GET", "/v1/consents/"+id, nil).json(t)["status"])
	assert.Len(t, w.call("GET", "/v1/consents?status=lapsed&user_id=u1", nil).json(t)["consents"], 1)

	state := "é &=+%\u2028\"<>"
	started := w.call("POST", "/reauthuri", map[string]any{"credentials_id": first["credentials_id"], "state": state}).json(t)
	assert.Equal(t, true, started["success"])
	q := w.visit(bankbrowser.John(), started["result"].(string))
	assert.Equal(t, state, q.Get("state"))
	done := w.call("POST", "/v1/callback", map[string]any{"state": q.Get("state"), "code": q.Get("code")})
	require.Equal(t, 200, done.status, "%s", done.body)
	assert.Equal(t, "renewed", done.json(t)["status"])

	second := done.json(t)["consent"].(map[string]any)
	assert.Equal(t, first["id"], second["id"])
	assert.Equal(t, first["credentials_id"], second["credentials_id"])
	assert.EqualValues(t, 2, second["cycle"])
	expires, err := time.Parse(time.RFC3339, second["expires_at"].(string))
	require.NoError(t, err)
	assert.WithinDuration(t, w.bank.Clock().Now().Add(90*24*time.Hour), expires, time.Minute)
	events := w.call("GET", "/v1/consents/"+id+"/events", nil).json(t)["events"].([]any)
	var types []string
	for i, e := range events {
		assert.EqualValues(t, i+1, e.(map[string]any)["seq"])
		types = append(types, e.(map[string]any)["type"].(string))
	}
	assert.Equal(t, []string{"consent.linked", "attempt.started", "consent.renewed"}, types)
	assert.Equal(t, 200, w.call("POST", "/v1/consents/"+id+"/token", nil).status)
}

func TestReconfirmingOverTheWire(t *testing.T) {
	w := newWorld(t)
	id := w.linked("u1", bankbrowser.John())
	w.call("PUT", "/v1/users/u1", map[string]any{"name": "Ada Lovelace", "email": "ada@example.org"})
	require.NoError(t, w.bank.Clock().Advance(80*24*time.Hour))
	a := w.call("POST", "/v1/consents/"+id+"/reconfirm", map[string]any{"statement": "I do", "confirmed_by": "ada", "state": "s1"})
	require.Equal(t, 200, a.status, "%s", a.body)
	got := a.json(t)
	assert.Equal(t, "authentication_needed", got["status"])
	assert.EqualValues(t, 1, got["consent"].(map[string]any)["cycle"])
	q := w.visit(bankbrowser.John(), got["uri"].(string))
	assert.Equal(t, "s1", q.Get("state"))
	require.NotEmpty(t, q.Get("exchange_code"))
	done := w.call("POST", "/v1/callback", map[string]any{"attempt_id": got["attempt_id"], "exchange_code": q.Get("exchange_code")})
	require.Equal(t, 200, done.status, "%s", done.body)
	assert.Equal(t, "renewed", done.json(t)["status"])

	acts := w.call("GET", "/v1/consents/"+id+"/confirmations", nil).json(t)["confirmations"].([]any)
	require.Len(t, acts, 1)
	assert.Equal(t, got["confirmation_id"], acts[0].(map[string]any)["id"])
	assert.Equal(t, "ada", acts[0].(map[string]any)["confirmed_by"])
	assert.Equal(t, "I do", acts[0].(map[string]any)["statement"])
	assert.Empty(t, w.call("GET", "/v1/alarms", nil).json(t)["alarms"])
}

func TestTrueLayersOwnBodyWorks(t *testing.T) {
	w := newWorld(t)
	login, err := w.bank.Authorise(t.Context(), "client", "mock", "john4", appCallback, []string{"info", "accounts", "offline_access"}, w.bank.Clock().Now())
	require.NoError(t, err)
	registered := w.call("POST", "/v1/consents", map[string]any{
		"credentials_id": login.CredentialsID, "refresh_token": login.RefreshToken, "provider": "truelayer", "provider_id": "mock",
		"user_id": "u4", "redirect_uri": appCallback, "consented_at": w.bank.Clock().Now().Format(time.RFC3339),
	})
	require.Equal(t, 201, registered.status, "%s", registered.body)
	a := w.call("POST", "/reauthuri", map[string]any{
		"response_type": "code", "refresh_token": login.RefreshToken, "redirect_uri": appCallback, "state": "xyz",
	})
	require.Equal(t, 200, a.status, "%s", a.body)
	m := a.json(t)
	assert.Equal(t, true, m["success"])
	q := w.visit(bankbrowser.Numbered(4), m["result"].(string))
	assert.Equal(t, "xyz", q.Get("state"))
}

func TestMismatchAndDenialOverTheWire(t *testing.T) {
	w := newWorld(t)
	id := w.linked("u1", bankbrowser.John())
	started := w.call("POST", "/reauthuri", map[string]any{"consent_id": id}).json(t)
	q := w.visit(bankbrowser.Numbered(5), started["result"].(string))
	for range 2 { // the second hit shows the first's outcome
		a := w.call("POST", "/v1/callback", map[string]any{"attempt_id": started["attempt_id"], "code": q.Get("code")})
		assert.Equal(t, 409, a.status)
		assert.Equal(t, "credentials_mismatch", a.json(t)["code"])
	}
	started = w.call("POST", "/reauthuri", map[string]any{"consent_id": id, "state": "b"}).json(t)
	a := w.call("POST", "/v1/callback", map[string]any{"attempt_id": started["attempt_id"], "error": "access_denied"})
	assert.Equal(t, 200, a.status)
	assert.Equal(t, "denied", a.json(t)["status"])
}

func TestListingPages(t *testing.T) {
	w := newWorld(t)
	var want []string
	for n := 1; n <= 5; n++ {
		want = append(want, w.linked("u", bankbrowser.Numbered(n)))
	}
	var got []string
	path := "/v1/consents?limit=2"
	for range 3 {
		page := w.call("GET", path, nil).json(t)
		for _, c := range page["consents"].([]any) {
			got = append(got, c.(map[string]any)["id"].(string))
		}
		if page["next_cursor"] == nil {
			break
		}
		path = "/v1/consents?limit=2&cursor=" + url.QueryEscape(page["next_cursor"].(string))
	}
	assert.Equal(t, want, got)
}

func TestEveryCodeThatIsDocumentedHasAnAnswer(t *testing.T) {
	raw, err := api.Document("test")
	require.NoError(t, err)
	var doc struct {
		Paths map[string]map[string]struct {
			Responses map[string]struct {
				Description string `json:"description"`
			} `json:"responses"`
		} `json:"paths"`
	}
	require.NoError(t, json.Unmarshal(raw, &doc))
	for path, methods := range doc.Paths {
		for method, op := range methods {
			_, refuses := op.Responses["401"]
			assert.Equal(t, path != "/.well-known/jwks.json", refuses, "%s %s", method, path)
			for status, r := range op.Responses {
				assert.NotEmpty(t, r.Description, "%s %s %s", method, path, status)
				assert.False(t, status == "0", "%s %s has a code without a status", method, path)
			}
		}
	}
	assert.True(t, slices.ContainsFunc([]string{"/reauthuri"}, func(p string) bool { _, ok := doc.Paths[p]; return ok }))
}

func TestAPasswordHashIsTakenOrSaidWhyNot(t *testing.T) {
	w := newWorld(t)
	for _, hash := range []string{
		"$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
		"$2b$12$abcdefghijklmnopqrstuuzzfwLY11Q0O66TF2XZ7FUib2Ngtn1va",
	} {
		a := w.call("PUT", "/v1/users/ada", map[string]any{"password_hash": hash})
		require.Equal(t, http.StatusOK, a.status, "%s", a.body)
		assert.Equal(t, true, a.json(t)["has_password"])
		assert.NotContains(t, string(a.body), hash)
	}

	const sum = "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
	a := w.call("PUT", "/v1/users/ada", map[string]any{"password_hash": "$argon2id$v=19$m=65537,t=3,p=4$c29tZXNhbHQ$" + sum})
	require.Equal(t, http.StatusBadRequest, a.status)
	p := a.json(t)
	assert.Equal(t, "password_hash holds an unusable password hash: argon2id's m must lie between 32 and 65536.", p["detail"])
	assert.NotContains(t, string(a.body), sum)
	assert.Equal(t, true, w.call("GET", "/v1/users/ada", nil).json(t)["has_password"], "the old one stays")

	a = w.call("PUT", "/v1/users/ada", map[string]any{"name": "Ada"})
	require.Equal(t, http.StatusOK, a.status)
	assert.Equal(t, false, a.json(t)["has_password"], "what is left out is emptied")
}
