package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/reauth/stepup"
)

// userRoutes are the calls that users' pages make.
var userRoutes = map[string]string{
	"/reauthenticate": "GET", "/auth/v1/reauthenticate": "GET", "/auth/v1/user/reauthenticate": "POST", "/auth/v1/verification": "POST",
	"/auth/v1/verification/verify": "POST", "/auth/v1/user/sudo": "POST", "/v1/reverifications": "POST", "/v1/reverifications/rev_1": "GET",
	"/v1/reverifications/rev_1/prepare": "POST", "/v1/reverifications/rev_1/attempt": "POST", "/v1/factors": "GET", "/v1/factors/totp": "POST",
	"/v1/factors/fac_1": "DELETE", "/v1/factors/fac_1/verify": "POST",
}

const allowed = "authorization, apikey, x-device-id, x-request-id, x-sdk-version, x-supabase-api-version, x-client-info, reverification-proof"

func preflight(origin, method string) http.Header {
	return with("Origin", origin, "Access-Control-Request-Method", method, "Access-Control-Request-Headers", strings.ReplaceAll(allowed, " ", ""))
}

// list reads a header of names, in small letters.
func list(h http.Header, name string) (out []string) {
	for part := range strings.SplitSeq(h.Get(name), ",") {
		out = append(out, strings.ToLower(strings.TrimSpace(part)))
	}
	return out
}

func TestBrowsersAskFirst(t *testing.T) {
	w := newPeople(t)
	for path, method := range userRoutes {
		a := w.do("OPTIONS", path, nil, preflight("https://acme.example", method))
		assert.Equal(t, 204, a.status, path)
		assert.Equal(t, "https://acme.example", a.header.Get("Access-Control-Allow-Origin"), path)
		assert.Contains(t, list(a.header, "Access-Control-Allow-Methods"), strings.ToLower(method), path)
		assert.Subset(t, list(a.header, "Access-Control-Allow-Headers"), strings.Split(allowed+", content-type", ", "), path)
		assert.Equal(t, "no-store", a.header.Get("Cache-Control"), path)
		assert.Contains(t, a.header.Values("Vary"), "Origin", path)
		assert.Empty(t, a.header.Get("Access-Control-Allow-Credentials"), path)

		for _, origin := range []string{"https://evil.example", "http://acme.example", "https://acme.example.evil.example", "https://ACME.example", "https://acme.example:8443", "null", "https://acme.example/"} {
			b := w.do("OPTIONS", path, nil, preflight(origin, method))
			assert.Empty(t, b.header.Get("Access-Control-Allow-Origin"), "%s from %s", path, origin)
			assert.Contains(t, b.header.Values("Vary"), "Origin", path)
		}
	}
	for _, path := range []string{"/v1/proofs/verify", "/v1/sessions/end", "/v1/audit", "/v1/consents", "/v1/users/ada"} {
		a := w.do("OPTIONS", path, nil, preflight("https://acme.example", "POST"))
		assert.Equal(t, 405, a.status, path)
		assert.Empty(t, a.header.Get("Access-Control-Allow-Origin"), "%s is for backends", path)
	}
}

func TestBrowsersReadOnlyWhatIsTheirApplications(t *testing.T) {
	w := newPeople(t)
	beta, betaKey := w.application("beta", "https://beta.example")
	w.person(betaKey, "ada")
	theirs := w.token(&beta, nil)
	readable := func(a answer) bool {
		t.Helper()
		assert.Contains(t, a.header.Values("Vary"), "Origin")
		assert.Empty(t, a.header.Get("Access-Control-Allow-Credentials"))
		assert.Equal(t, "no-store", a.header.Get("Cache-Control"))
		return a.header.Get("Access-Control-Allow-Origin") != ""
	}
	for path, method := range userRoutes {
		if strings.HasSuffix(path, "/verification/verify") {
			continue // below: it has no token
		}
		a := w.do(method, path, nil, w.ada("Origin", "https://acme.example"))
		assert.True(t, readable(a), path)
		assert.Equal(t, "https://acme.example", a.header.Get("Access-Control-Allow-Origin"))
		assert.Subset(t, list(a.header, "Access-Control-Expose-Headers"), []string{
			"ratelimit", "ratelimit-policy", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "retry-after", "www-authenticate", "x-supabase-api-version",
		})
		b := w.do(method, path, nil, with("Authorization", "Bearer "+theirs, "Origin", "https://acme.example"))
		assert.False(t, readable(b), "%s: acme's page with beta's token", path)
		assert.Empty(t, b.header.Get("Access-Control-Expose-Headers"))
		assert.False(t, readable(w.do(method, path, nil, w.ada("Origin", "https://evil.example"))), path)
		unsigned := w.do(method, path, nil, with("Origin", "https://acme.example"))
		assert.Equal(t, 401, unsigned.status, path)
		assert.True(t, readable(unsigned), "%s: a page is to learn why its token is not taken", path)
	}
	id := w.do("POST", "/auth/v1/verification", map[string]any{"email": adasMail}, w.ada()).json(t)["verification_id"]
	answer := map[string]any{"verification_id": id, "verification_code": wrong(w.code())}
	assert.True(t, readable(w.do("POST", "/auth/v1/verification/verify", answer, with("Origin", "https://acme.example"))))
	assert.False(t, readable(w.do("POST", "/auth/v1/verification/verify", answer, with("Origin", "https://beta.example"))))
	assert.False(t, readable(w.do("POST", "/v1/reverifications", map[string]any{"level": "strict", "user_id": "ada", "session_id": "s1"}, with("Authorization", "Bearer "+w.key, "Origin", "https://acme.example"))),
		"an API key has no place in a browser")
	assert.True(t, readable(w.do("GET", "/auth/v1/nothing", nil, with("Origin", "https://acme.example"))))
	assert.False(t, readable(w.do("GET", "/auth/v1/nothing", nil, http.Header{})))
}

func TestOnceAnApplicationHasNoOriginsNobodyMayCall(t *testing.T) {
	w := newPeople(t)
	w.settings(&w.acme, func(s *stepup.Settings) {})
	assert.Empty(t, w.do("OPTIONS", "/reauthenticate", nil, preflight("https://acme.example", "GET")).header.Get("Access-Control-Allow-Origin"))
}

// TestNothingIsKept walks every kind of answer.
func TestNothingIsKept(t *testing.T) {
	w := newPeople(t)
	proof := w.proven(map[string]any{"operation": "transfer"}, w.ada())
	for _, a := range []answer{
		w.do("GET", "/reauthenticate", nil, w.ada()),
		w.do("GET", "/reauthenticate?level=critical", nil, w.ada()),
		w.do("GET", "/reauthenticate?level=x", nil, w.ada()),
		w.do("GET", "/v1/factors", nil, w.as(jwt.MapClaims{"exp": 1})),
		w.do("POST", "/v1/reverifications", map[string]any{"level": "strict"}, w.ada()),
		w.use(map[string]any{"proof": proof, "operation": "transfer"}),
		w.do("GET", "/v1/audit", nil, backend(w.key)),
		w.do("GET", "/reauth/start/acme.x.y", nil, http.Header{}),
		w.do("GET", "/reauth/return?state=x", nil, http.Header{}),
		w.do("GET", "/v1/nothing", nil, http.Header{}),
		w.do("DELETE", "/v1/users/ada", nil, backend(w.key)),
	} {
		assert.Equal(t, "no-store", a.header.Get("Cache-Control"), "%s", a.body)
		assert.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"))
	}
	require.NotEmpty(t, proof)
}
