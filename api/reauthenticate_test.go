package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/reauth/stepup"
)

// reauthenticates are the two addresses of the same call.
var reauthenticates = []string{"/reauthenticate", "/auth/v1/reauthenticate"}

func TestFreshEnough(t *testing.T) {
	w := newPeople(t)
	w.proven(map[string]any{"level": "medium"}, w.ada())
	w.clock.advance(4*time.Minute + 500*time.Millisecond)
	for _, path := range reauthenticates {
		a := w.do("GET", path, nil, w.ada("Content-Type", "application/json"))
		require.Equal(t, 200, a.status, "%s", a.body)
		assert.Equal(t, "application/json; charset=utf-8", a.header.Get("Content-Type"))
		assert.JSONEq(t, `{"message":"Reauthentication successful","timestamp":"2026-03-02T12:04:00Z","valid_until":"2026-03-02T12:15:00Z"}`, string(a.body))
		assert.Equal(t, "no-store", a.header.Get("Cache-Control"))
		assert.Empty(t, a.header.Get("WWW-Authenticate"))
	}
	w.clock.advance(11*time.Minute - 500*time.Millisecond)
	w.refused(w.do("GET", "/reauthenticate", nil, w.ada()), 403, "reverification_required")
}

// TestTheChallenge is read as each of its readers does.
func TestTheChallenge(t *testing.T) {
	w := newPeople(t)
	for i, tt := range []struct{ query, clerk, level, maxAge string }{
		{"", `{"level":"first_factor","afterMinutes":15}`, "medium", `, max_age="900"`},
		{"?level=medium", `{"level":"first_factor","afterMinutes":15}`, "medium", `, max_age="900"`},
		{"?level=strict", `"strict"`, "strict", `, max_age="600"`},
		{"?level=strict_mfa", `"strict_mfa"`, "strict_mfa", `, max_age="600"`},
		{"?level=moderate", `"moderate"`, "moderate", `, max_age="3600"`},
		{"?level=lax", `"lax"`, "lax", `, max_age="86400"`},
		{"?level=high", `{"level":"second_factor","afterMinutes":5}`, "high", `, max_age="300"`},
		{"?level=critical", `{"level":"second_factor","afterMinutes":1}`, "critical", `, max_age="0"`},
		{"?level=first_factor&after_minutes=7", `{"level":"first_factor","afterMinutes":7}`, "first_factor", `, max_age="420"`},
		{"?operation=transfer", `"strict"`, "strict", `, max_age="600"`},
		{"?operation=transfer&level=lax", `"strict"`, "strict", `, max_age="600"`},
		{"?operation=profile&level=strict", `{"level":"multi_factor","afterMinutes":10}`, "multi_factor", `, max_age="600"`}, // neither is stricter: both
		{"?operation=a+label&level=strict", `"strict"`, "strict", `, max_age="600"`},
		{"?level=session", `{"level":"first_factor","afterMinutes":1440}`, "session", ""},
	} {
		t.Run(tt.query, func(t *testing.T) {
			w := w.in(t)
			header := w.as(jwt.MapClaims{"sid": fmt.Sprint("s", i)})
			if i%9 == 8 {
				w.clock.advance(5 * time.Minute) // the limit is by user
			}
			a := w.do("GET", "/reauthenticate"+tt.query, nil, header)
			p := w.refused(a, 403, "reverification_required")
			assert.Equal(t, "/docs#reverification_required", p["type"])
			assert.NotEmpty(t, p["title"])
			assert.Equal(t, p["detail"], p["message"])
			assert.Equal(t, "reverification_required", p["error_code"])
			clerk := p["clerk_error"].(map[string]any)
			assert.Equal(t, "forbidden", clerk["type"])
			assert.Equal(t, "reverification-error", clerk["reason"])
			hint, err := json.Marshal(clerk["metadata"])
			require.NoError(t, err)
			assert.JSONEq(t, `{"reverification":`+tt.clerk+`}`, string(hint))
			required := p["required"].(map[string]any)
			assert.Equal(t, tt.level, required["level"])
			assert.Equal(t, false, required["second_enrolled"])
			assert.NotEmpty(t, required["missing"])
			assert.Equal(t, w.url+"/v1/reverifications", p["start"])
			var strategies []any
			for _, f := range p["factors"].([]any) {
				strategies = append(strategies, f.(map[string]any)["strategy"])
			}
			assert.Equal(t, []any{"password", "email_code", "phone_code"}, strategies)
			assert.NotContains(t, string(a.body), adasMail, "addresses are masked")
			assert.NotContains(t, string(a.body), adasPhone)
			assert.Equal(t, fmt.Sprintf(`Bearer error="insufficient_user_authentication", error_description=%q%s`, p["detail"], tt.maxAge), a.header.Get("WWW-Authenticate"))
			assert.Equal(t, "no-store", a.header.Get("Cache-Control"))
		})
	}
}

// TestWhoCanProveNothingIsToldSo: no factors are none, not unknown ones.
func TestWhoCanProveNothingIsToldSo(t *testing.T) {
	w := newPeople(t)
	require.Equal(t, 200, w.do("PUT", "/v1/users/eve", map[string]any{"name": "Eve"}, backend(w.key)).status)
	p := w.refused(w.do("GET", "/reauthenticate", nil, w.as(jwt.MapClaims{"sub": "eve"})), 403, "reverification_required")
	assert.Equal(t, []any{}, p["factors"])
	assert.Equal(t, w.url+"/v1/reverifications", p["start"])
}

func TestNothingIsProvenByAsking(t *testing.T) {
	w := newPeople(t)
	for range 3 {
		w.refused(w.do("GET", "/reauthenticate?level=session", nil, w.ada()), 403, "reverification_required")
	}
	low := w.do("GET", "/reauthenticate?level=low", nil, w.ada())
	require.Equal(t, 200, low.status, "%s", low.body)
	w.refused(w.do("GET", "/reauthenticate", nil, w.ada()), 403, "reverification_required")
	w.proven(map[string]any{"level": "strict_mfa"}, w.ada())
	w.refused(w.do("GET", "/reauthenticate?level=critical", nil, w.ada()), 403, "reverification_required")
	assert.Zero(t, w.post.sent())
}

// TestTheLimitOfTheCall is ten calls in any five minutes, told on each answer.
func TestTheLimitOfTheCall(t *testing.T) {
	w := newPeople(t)
	w.proven(map[string]any{"level": "medium"}, w.ada())
	stale := w.as(jwt.MapClaims{"sid": "s2"})
	headers := func(a answer, remaining, reset int) {
		t.Helper()
		assert.Equal(t, `"reauthenticate";q=10;w=300`, a.header.Get("RateLimit-Policy"))
		assert.Equal(t, fmt.Sprintf(`"reauthenticate";r=%d;t=%d`, remaining, reset), a.header.Get("RateLimit"))
		assert.Equal(t, "10", a.header.Get("X-RateLimit-Limit"))
		assert.Equal(t, strconv.Itoa(remaining), a.header.Get("X-RateLimit-Remaining"))
		assert.Equal(t, strconv.Itoa(reset), a.header.Get("X-RateLimit-Reset"))
	}
	for i := range 10 {
		header, want := w.ada(), 200
		if i%2 == 1 {
			header, want = stale, 403 // the limit is by user, over all sessions
		}
		a := w.do("GET", reauthenticates[i%2], nil, header)
		require.Equal(t, want, a.status, "%s", a.body)
		headers(a, 9-i, 300-10*i)
		assert.Empty(t, a.header.Get("Retry-After"))
		w.clock.advance(10 * time.Second)
	}
	w.clock.advance(-500 * time.Millisecond)
	for range 3 { // denied calls do not count
		a := w.do("GET", "/reauthenticate", nil, w.ada())
		p := w.refused(a, 429, "rate_limited")
		assert.Equal(t, "rate_limited", p["error_code"])
		headers(a, 0, 201)
		assert.Equal(t, "201", a.header.Get("Retry-After"), "whole seconds, and not before the window opens")
	}
	w.clock.advance(200 * time.Second)
	assert.Equal(t, 429, w.do("GET", "/reauthenticate", nil, w.ada()).status)
	w.clock.advance(500 * time.Millisecond)
	headers(w.do("GET", "/reauthenticate", nil, w.ada()), 0, 10)

	w.person(w.key, "eve")
	assert.Equal(t, 403, w.do("GET", "/reauthenticate", nil, w.as(jwt.MapClaims{"sub": "eve"})).status, "another user has a limit of their own")
}

// TestReplicasShareTheLimit sends twenty calls at once to two of them.
func TestReplicasShareTheLimit(t *testing.T) {
	w := newPeople(t)
	second, _ := w.replica()
	header := w.ada()
	var allowed, denied atomic.Int32
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			switch a := w.at([]string{w.url, second}[i%2], "GET", "/reauthenticate", nil, header); a.status {
			case 403:
				allowed.Add(1)
			case 429:
				denied.Add(1)
			default:
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
	group.Wait()
	assert.EqualValues(t, 10, allowed.Load())
	assert.EqualValues(t, 10, denied.Load())
}

const supabases = "2024-01-01"

// TestSupabasesClientIsServed reads as @supabase/auth-js does: the code of a
// problem only where the version is echoed.
func TestSupabasesClientIsServed(t *testing.T) {
	w := newPeople(t)
	header := func() http.Header { return w.ada("X-Supabase-Api-Version", supabases, "apikey", "anon") }
	echoed := func(a answer) answer {
		t.Helper()
		assert.Equal(t, supabases, a.header.Get("X-Supabase-Api-Version"))
		assert.Contains(t, a.header.Get("Content-Type"), "json")
		assert.NotEmpty(t, a.body)
		return a
	}
	a := echoed(w.do("GET", "/reauthenticate", nil, header()))
	require.Equal(t, 200, a.status, "%s", a.body)
	assert.JSONEq(t, `{}`, string(a.body))
	assert.Equal(t, "9", a.header.Get("X-RateLimit-Remaining"))
	sent := w.message()
	assert.Equal(t, adasMail, sent.To)
	assert.Len(t, sent.Code, 6)

	again := echoed(w.do("GET", "/reauthenticate", nil, header()))
	p := w.refused(again, 429, "send_limited")
	assert.Equal(t, "30", again.header.Get("Retry-After"))
	assert.NotEmpty(t, p["message"])

	used := w.use(map[string]any{"code": sent.Code, "operation": "change_password", "level": "medium"})
	require.Equal(t, 200, used.status, "%s", used.body)
	w.clock.advance(time.Minute)
	a = echoed(w.do("GET", "/reauthenticate", nil, header()))
	require.Equal(t, 200, a.status)
	assert.NotNil(t, a.json(t)["valid_until"], "a caller who is fresh is sent nothing")

	for _, tt := range []struct {
		method, path string
		header       http.Header
		status       int
		code         string
	}{
		{"GET", "/reauthenticate", with("X-Supabase-Api-Version", supabases), 401, "user_token_missing"},
		{"GET", "/reauthenticate?level=none", header(), 400, "level_invalid"},
		{"POST", "/reauthenticate", header(), 405, "method_not_allowed"},
		{"GET", "/reauthenticate/more", header(), 404, "not_found"},
		{"GET", "/v1/reverifications/rev_none", header(), 404, "reverification_not_found"},
	} {
		p := w.refused(echoed(w.do(tt.method, tt.path, nil, tt.header)), tt.status, tt.code)
		assert.NotEmpty(t, p["message"])
	}
	assert.Empty(t, w.do("GET", "/v1/audit", nil, with("Authorization", "Bearer "+w.key, "X-Supabase-Api-Version", supabases)).header.Get("X-Supabase-Api-Version"))
	assert.Empty(t, w.do("GET", "/reauthenticate", nil, w.ada()).header.Get("X-Supabase-Api-Version"))
}

func TestSupabasesCodeGoesBySMSWhereThereIsNoAddress(t *testing.T) {
	w := newPeople(t)
	require.Equal(t, 200, w.do("PUT", "/v1/users/ada", map[string]any{"phone": adasPhone}, backend(w.key)).status)
	a := w.do("GET", "/reauthenticate", nil, w.ada("X-Supabase-Api-Version", supabases))
	require.Equal(t, 200, a.status, "%s", a.body)
	assert.NotEmpty(t, a.json(t)["message_id"])
	assert.Len(t, a.json(t), 1)
	assert.Equal(t, adasPhone, w.message().To)

	require.Equal(t, 200, w.do("PUT", "/v1/users/ada", map[string]any{"name": "Ada"}, backend(w.key)).status)
	w.clock.advance(time.Minute)
	w.refused(w.do("GET", "/reauthenticate", nil, w.ada("X-Supabase-Api-Version", supabases)), 422, "address_missing")
}

// TestWhatTokensSayOfThemselves counts only where the application trusts it.
func TestWhatTokensSayOfThemselves(t *testing.T) {
	w := newPeople(t)
	says := jwt.MapClaims{"auth_time": noon.Add(-time.Minute).Unix(), "fva": []int{1, 1}, "amr": []string{"mfa"}}
	w.refused(w.do("GET", "/reauthenticate?level=strict_mfa", nil, w.as(says)), 403, "reverification_required")
	w.settings(&w.acme, func(s *stepup.Settings) { s.Identity.TrustAuthTime = true })
	a := w.do("GET", "/reauthenticate", nil, w.as(says))
	require.Equal(t, 200, a.status, "%s", a.body)
	assert.Equal(t, "2026-03-02T12:14:00Z", a.json(t)["valid_until"])
	w.settings(&w.acme, func(s *stepup.Settings) { s.Identity.TrustFVA = true })
	assert.Equal(t, 200, w.do("GET", "/reauthenticate?level=strict", nil, w.as(says)).status)
}
