package api_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/api"
	"github.com/reconsent/reconsent/reauth/stepup"
)

// TestWhoAsks holds requests to reauth-wire.md 1, each in the form that the
// problem has and in CloudBase's.
func TestWhoAsks(t *testing.T) {
	w := newPeople(t)
	beta, _ := w.application("beta", "https://beta.example")
	good := w.token(&w.acme, nil)
	unnamed := w.token(&w.acme, jwt.MapClaims{"aud": []string{"acme", "beta"}, "iss": "https://id.acme.example"})
	none, err := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims{
		"iss": "https://id.acme.example", "aud": "acme", "sub": "ada", "sid": "s1", "iat": noon.Unix(), "exp": noon.Add(time.Hour).Unix(),
	}).SignedString(jwt.UnsafeAllowNoneSignatureType)
	require.NoError(t, err)
	of := func(claims jwt.MapClaims) http.Header { return w.as(claims) }
	fresh := "/reauthenticate"
	for _, tt := range []struct {
		name   string
		path   string
		header http.Header
		status int
		code   string
		fault  string // CloudBase's error
	}{
		{"a good token", fresh, backend(good), 403, "reverification_required", ""},
		{"bearer in small letters", fresh, with("Authorization", "bearer "+good), 403, "reverification_required", ""},
		{"apikey: anon names none", fresh, with("Authorization", "Bearer "+good, "apikey", "anon"), 403, "reverification_required", ""},
		{"session_id in the place of sid", fresh, of(jwt.MapClaims{"sid": nil, "session_id": "s1"}), 403, "reverification_required", ""},
		{"named by client_id", fresh + "?client_id=acme", backend(unnamed), 403, "reverification_required", ""},
		{"named by its id", fresh + "?client_id=" + w.acme.ID, backend(good), 403, "reverification_required", ""},
		{"named by apikey", fresh, with("Authorization", "Bearer "+good, "apikey", "acme"), 403, "reverification_required", ""},
		{"named by X-Application-Id, and the same by client_id", fresh + "?client_id=acme", with("Authorization", "Bearer "+good, "X-Application-Id", w.acme.ID), 403, "reverification_required", ""},

		{"no token", fresh, http.Header{}, 401, "user_token_missing", "unauthenticated"},
		{"an empty one", fresh, with("Authorization", "Bearer "), 401, "user_token_missing", "unauthenticated"},
		{"another scheme", fresh, with("Authorization", "Basic "+good), 401, "user_token_missing", "unauthenticated"},
		{"two of them", fresh, with("Authorization", "Bearer "+good, "Authorization", "Bearer "+good), 401, "user_token_missing", "unauthenticated"},
		{"a cookie", fresh, with("Cookie", "sb-access-token="+good+"; Authorization=Bearer "+good), 401, "user_token_missing", "unauthenticated"},
		{"a query parameter", fresh + "?access_token=" + good, http.Header{}, 401, "user_token_missing", "unauthenticated"},
		{"the apikey header", fresh, with("apikey", good), 401, "user_token_missing", "unauthenticated"},
		{"two names that disagree", fresh + "?client_id=acme", with("Authorization", "Bearer "+good, "apikey", "beta"), 401, "application_unknown", "invalid_argument"},
		{"a name that disagrees with itself", fresh, with("Authorization", "Bearer "+good, "X-Application-Id", "acme", "X-Application-Id", "beta"), 401, "application_unknown", "invalid_argument"},
		{"a name that nobody has", fresh, with("Authorization", "Bearer "+good, "apikey", "nobody"), 401, "application_unknown", "invalid_argument"},
		{"anon is a name but in apikey", fresh + "?client_id=anon", backend(good), 401, "application_unknown", "invalid_argument"},
		{"an issuer that nobody has", fresh, of(jwt.MapClaims{"iss": "https://id.nobody.example"}), 401, "application_unknown", "invalid_argument"},
		{"no issuer", fresh, of(jwt.MapClaims{"iss": nil}), 401, "application_unknown", "invalid_argument"},
		{"no audience, the application named", fresh + "?client_id=acme", of(jwt.MapClaims{"aud": nil}), 401, "user_token_invalid", "unauthenticated"},
		{"another application's key", fresh + "?client_id=acme", backend(w.token(&beta, nil)), 401, "user_token_invalid", "unauthenticated"},
		{"another application's key, under our names", fresh, backend(w.token(&beta, jwt.MapClaims{"iss": "https://id.acme.example", "aud": "acme"})), 401, "user_token_invalid", "unauthenticated"},
		{"a token that is none", fresh + "?client_id=acme", backend("not.a.token"), 401, "user_token_invalid", "unauthenticated"},
		{"an API key in its place", fresh + "?client_id=acme", backend(w.key), 401, "user_token_invalid", "unauthenticated"},
		{"alg none", fresh, backend(none), 401, "user_token_invalid", "unauthenticated"},
		{"expired", fresh, of(jwt.MapClaims{"exp": noon.Add(-2 * time.Minute).Unix()}), 401, "user_token_invalid", "unauthenticated"},
		{"without an end", fresh, of(jwt.MapClaims{"exp": nil}), 401, "user_token_invalid", "unauthenticated"},
		{"without a subject", fresh, of(jwt.MapClaims{"sub": nil}), 401, "user_token_invalid", "unauthenticated"},
		{"from the future", fresh, of(jwt.MapClaims{"iat": noon.Add(2 * time.Minute).Unix()}), 401, "user_token_invalid", "unauthenticated"},
		{"issued two days ago", fresh, of(jwt.MapClaims{"iat": noon.Add(-48 * time.Hour).Unix()}), 401, "user_token_invalid", "unauthenticated"},
		{"without a session", fresh, of(jwt.MapClaims{"sid": nil}), 401, "session_missing", "unauthenticated"},
		{"a user whom we do not hold", fresh, of(jwt.MapClaims{"sub": "nobody"}), 401, "user_unknown", "not_found"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := w.in(t)
			a := w.do("GET", tt.path, nil, tt.header)
			w.refused(a, tt.status, tt.code)
			assert.Equal(t, "no-store", a.header.Get("Cache-Control"))
			if tt.status != 401 {
				return
			}
			assert.True(t, strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Bearer"), "%q", a.header.Get("WWW-Authenticate"))
			vendors := w.do("POST", strings.Replace(tt.path, fresh, "/auth/v1/user/sudo", 1), `{"password":"x"}`, tt.header)
			w.faulty(vendors, 401, tt.fault, faultCodes[tt.fault])
		})
	}
}

// TestATokenInABodySaysNothing is the one place more where a token could stand.
func TestATokenInABodySaysNothing(t *testing.T) {
	w := newPeople(t)
	good := w.token(&w.acme, nil)
	body := map[string]any{"password": adasWord, "access_token": good, "Authorization": "Bearer " + good}
	w.faulty(w.do("POST", "/auth/v1/user/sudo", body, http.Header{}), 401, "unauthenticated", 16)
}

func TestTheOnlyApplicationNeedsNoName(t *testing.T) {
	w := newPeople(t)
	w.settings(&w.acme, func(s *stepup.Settings) { s.Identity.Audience = "somebody" })
	w.refused(w.do("GET", "/reauthenticate", nil, w.as(jwt.MapClaims{"aud": "somebody"})), 403, "reverification_required")
	w.refused(w.do("GET", "/reauthenticate", nil, w.as(jwt.MapClaims{"aud": "else"})), 401, "user_token_invalid")
}

func TestAUserWhoIsErasedMidWay(t *testing.T) {
	w := newPeople(t)
	header := w.ada()
	id := w.begin(map[string]any{"level": "strict"}, header)
	proof := w.proven(map[string]any{"operation": "transfer"}, header)
	sent := w.do("POST", "/auth/v1/verification", map[string]any{"email": adasMail}, header).json(t)
	require.Equal(t, 204, w.do("DELETE", "/v1/users/ada", nil, backend(w.key)).status)

	w.refused(w.do("GET", "/reauthenticate", nil, header), 401, "user_unknown")
	w.refused(w.do("GET", "/v1/reverifications/"+id, nil, header), 401, "user_unknown")
	w.refused(w.attempt(id, map[string]any{"strategy": "password", "password": adasWord}, header), 401, "user_unknown")
	w.refused(w.do("GET", "/v1/factors", nil, header), 401, "user_unknown")
	w.faulty(w.do("POST", "/auth/v1/user/sudo", map[string]any{"password": adasWord}, header), 401, "not_found", 5)
	w.faulty(w.do("POST", "/auth/v1/verification/verify", map[string]any{"verification_id": sent["verification_id"], "verification_code": w.code()}, http.Header{}),
		422, "invalid_verification_code", 3)
	w.refused(w.use(map[string]any{"proof": proof, "operation": "transfer"}), 404, "user_not_found")
}

// TestTokensThatAreNotTakenAreLimitedByAddress: 300 of them in 5 minutes, and
// nobody else behind the address is shut out by it.
func TestTokensThatAreNotTakenAreLimitedByAddress(t *testing.T) {
	w := newPeople(t, func(c *api.Config) { c.TrustedProxies = []string{"127.0.0.1", "10.0.0.0/8"} })
	from := func(address string) http.Header {
		return with("Authorization", "Bearer x", "X-Forwarded-For", address, "apikey", "acme")
	}
	for i := range 300 {
		require.Equal(t, 401, w.do("GET", "/reauthenticate", nil, from("192.0.2.7")).status, i)
	}
	w.clock.advance(time.Minute)
	a := w.do("GET", "/reauthenticate", nil, from("192.0.2.7"))
	w.refused(a, 429, "rate_limited")
	assert.Equal(t, "240", a.header.Get("Retry-After"))
	a = w.do("POST", "/auth/v1/user/reauthenticate", `{}`, from("192.0.2.7"))
	w.faulty(a, 429, "resource_exhausted", 8)
	assert.Equal(t, "240", a.header.Get("Retry-After"))

	for address, status := range map[string]int{
		"192.0.2.8":             401, // its neighbour
		"192.0.2.7, 192.0.2.9":  401, // what the client wrote itself is not believed
		"192.0.2.9, 192.0.2.7":  429,
		"192.0.2.7, 10.1.2.3":   429, // another proxy of ours
		"192.0.2.7, not a name": 401, // the proxy itself
		"2001:db8::7":           401,
		"":                      401,
	} {
		assert.Equal(t, status, w.do("GET", "/reauthenticate", nil, from(address)).status, address)
	}
	good := w.ada("X-Forwarded-For", "192.0.2.7")
	w.refused(w.do("GET", "/reauthenticate", nil, good), 403, "reverification_required")
	w.faulty(w.do("POST", "/auth/v1/user/reauthenticate", `{"verify_opt":"fax"}`, good), 400, "invalid_argument", 4001)

	w.clock.advance(4 * time.Minute)
	assert.Equal(t, 401, w.do("GET", "/reauthenticate", nil, from("192.0.2.7")).status, "the window is over")
}

// TestNoProxyIsTrustedUnlessConfigured reads the address that the audit keeps.
func TestNoProxyIsTrustedUnlessConfigured(t *testing.T) {
	for list, want := range map[string]string{"none": "127.0.0.0/24", "127.0.0.1": "192.0.2.0/24", "nonsense": "127.0.0.0/24"} {
		t.Run(list, func(t *testing.T) {
			w := newPeople(t, func(c *api.Config) {
				if list != "none" {
					c.TrustedProxies = []string{list}
				}
			})
			w.begin(map[string]any{"level": "strict"}, w.ada("X-Forwarded-For", "192.0.2.7", "X-Real-IP", "198.51.100.1", "X-Device-Id", "phone-1"))
			line := w.do("GET", "/v1/audit", nil, backend(w.key)).json(t)["audit"].([]any)[0].(map[string]any)
			assert.Equal(t, want, line["ip_prefix"])
			assert.Equal(t, "phone-1", line["device_id"])
		})
	}
}

func TestProxiesThatAreNone(t *testing.T) {
	require.NoError(t, api.CheckProxies(nil))
	require.NoError(t, api.CheckProxies([]string{"10.0.0.0/8", "::1", "192.0.2.1"}))
	err := api.CheckProxies([]string{"10.0.0.0/8", "proxy.example", "10.0.0.0/40"})
	require.Error(t, err)
	assert.Equal(t, 2, strings.Count(err.Error(), "is neither"))
}

// TestAThiefGetsNowhere: whoever holds a live token of another session, or of
// another application, can do nothing with what belongs to this one.
func TestAThiefGetsNowhere(t *testing.T) {
	w := newPeople(t)
	beta, betaKey := w.application("beta", "https://beta.example")
	w.person(betaKey, "ada")
	w.person(w.key, "eve")
	ada := w.ada()
	thieves := map[string]http.Header{
		"another session":     w.as(jwt.MapClaims{"sid": "s2"}),
		"another user":        w.as(jwt.MapClaims{"sub": "eve"}),
		"another application": backend(w.token(&beta, nil)),
	}
	id := w.begin(map[string]any{"level": "strict"}, ada)
	proof := w.proven(map[string]any{"operation": "transfer"}, ada)
	verification := w.do("POST", "/auth/v1/verification", map[string]any{"email": adasMail}, ada).json(t)["verification_id"]
	token := w.do("POST", "/auth/v1/verification/verify", map[string]any{"verification_id": verification, "verification_code": w.code()}, http.Header{}).json(t)["verification_token"]
	require.NotEmpty(t, token)
	sudo := w.do("POST", "/auth/v1/user/sudo", map[string]any{"password": adasWord}, ada).json(t)["sudo_token"]
	require.Equal(t, 200, w.do("POST", "/auth/v1/user/reauthenticate", `{"verify_opt":"email_code"}`, ada).status)
	code := w.code()
	for name, thief := range thieves {
		t.Run(name, func(t *testing.T) {
			w := w.in(t)
			w.refused(w.do("GET", "/v1/reverifications/"+id, nil, thief), 404, "reverification_not_found")
			w.refused(w.do("POST", "/v1/reverifications/"+id+"/prepare", map[string]any{"strategy": "email_code"}, thief), 404, "reverification_not_found")
			w.refused(w.attempt(id, map[string]any{"strategy": "password", "password": adasWord}, thief), 404, "reverification_not_found")
			w.faulty(w.do("POST", "/auth/v1/user/sudo", map[string]any{"verification_token": token}, thief), 403, "permission_denied", 7)
			w.refused(w.do("POST", "/v1/factors/totp", nil, with("Authorization", thief.Get("Authorization"), "Reverification-Proof", proof)), 403, "reverification_required")
		})
	}
	for _, use := range []map[string]any{{"proof": proof}, {"sudo_token": sudo}, {"code": code}} {
		use["operation"] = "transfer"
		for name, who := range map[string]map[string]any{"session": {"session_id": "s2"}, "user": {"user_id": "eve"}} {
			a := w.use(merge(use, who))
			assert.Contains(t, []int{403, 422}, a.status, "%s %s", name, a.body)
		}
		a := w.do("POST", "/v1/proofs/verify", merge(map[string]any{"user_id": "ada", "session_id": "s1"}, use), backend(betaKey))
		assert.Contains(t, []int{403, 422}, a.status, "%s", a.body)
	}
	assert.Equal(t, 200, w.use(map[string]any{"proof": proof, "operation": "transfer"}).status, "nothing of it was used up")
	assert.Equal(t, 200, w.use(map[string]any{"code": code, "operation": "else", "level": "medium"}).status)
}

// merge is the second over the first.
func merge(maps ...map[string]any) map[string]any {
	out := map[string]any{}
	for _, m := range maps {
		for name, v := range m {
			out[name] = v
		}
	}
	return out
}

// TestAProofIsNoTokenAndATokenNoProof.
func TestAProofIsNoTokenAndATokenNoProof(t *testing.T) {
	w := newPeople(t)
	proof := w.proven(map[string]any{"operation": "transfer"}, w.ada())
	a := w.do("GET", "/reauthenticate?client_id=acme", nil, backend(proof))
	w.refused(a, 401, "user_token_invalid")
	w.refused(w.use(map[string]any{"proof": w.token(&w.acme, nil), "operation": "transfer"}), 403, "proof_invalid")
}

func TestADeviceThatIsNone(t *testing.T) {
	w := newPeople(t)
	w.refused(w.do("GET", "/reauthenticate", nil, w.ada("X-Device-Id", strings.Repeat("x", 257))), 400, "invalid_request")
	w.refused(w.do("GET", "/reauthenticate", nil, w.ada("X-Device-Id", "a\tb")), 400, "invalid_request")
}

func TestAnswersToUsersWhenTheirIdentityProviderIsAway(t *testing.T) {
	w := newPeople(t)
	w.settings(&w.acme, func(s *stepup.Settings) {
		s.Identity = stepup.Identity{Issuer: "https://id.acme.example", Audience: "acme", Algorithms: []string{"ES256"}, JWKSURL: "http://127.0.0.1:9/keys"}
	})
	token := signedByNobody(t)
	a := w.do("GET", "/reauthenticate", nil, backend(token))
	w.refused(a, 503, "identity_provider_unavailable")
	seconds, err := strconv.Atoi(a.header.Get("Retry-After"))
	require.NoError(t, err)
	assert.Positive(t, seconds)
	w.faulty(w.do("POST", "/auth/v1/user/sudo", `{"password":"x"}`, backend(token)), 503, "unavailable", 14)
}
