package api_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// use is a backend that uses something up, for ada in session s1 unless fields
// say otherwise.
func (w *people) use(fields map[string]any) answer {
	w.Helper()
	return w.do("POST", "/v1/proofs/verify", merge(map[string]any{"user_id": "ada", "session_id": "s1"}, fields), backend(w.key))
}

// signedByNobody is a token of ada's that no key of ours verifies.
func signedByNobody(t testing.TB) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	token, err := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"iss": "https://id.acme.example", "aud": "acme", "sub": "ada", "sid": "s1", "iat": noon.Unix(), "exp": noon.Add(time.Hour).Unix(),
	}).SignedString(key)
	require.NoError(t, err)
	return token
}

var payment = map[string]any{"payee": "DE89370400440532013000", "amount": "12.50", "currency": "EUR"}

func TestAProofIsUsedUpOnce(t *testing.T) {
	w := newPeople(t)
	proof := w.proven(map[string]any{"operation": "transfer"}, w.ada())
	a := w.use(map[string]any{"proof": proof, "operation": "transfer"})
	require.Equal(t, 200, a.status, "%s", a.body)
	assert.JSONEq(t, `{"valid":true,"level":"strict","auth_time":"2026-03-02T12:00:00Z","amr":["pwd"]}`, string(a.body))
	w.refused(w.use(map[string]any{"proof": proof, "operation": "transfer"}), 409, "proof_used")
	w.refused(w.use(map[string]any{"proof": proof, "operation": "transfer", "idempotency_key": "k"}), 409, "proof_used")
}

func TestTheSameKeyGetsTheSameAnswer(t *testing.T) {
	w := newPeople(t)
	proof := w.proven(map[string]any{"operation": "transfer"}, w.ada())
	use := map[string]any{"proof": proof, "operation": "transfer", "idempotency_key": "order-1"}
	first := w.use(use)
	require.Equal(t, 200, first.status, "%s", first.body)
	w.clock.advance(59 * time.Second)
	again := w.use(use)
	assert.Equal(t, 200, again.status)
	assert.Equal(t, string(first.body), string(again.body))
	w.refused(w.use(merge(use, map[string]any{"session_id": "s2"})), 409, "proof_used")
	w.clock.advance(2 * time.Second)
	w.refused(w.use(use), 409, "proof_used")
}

// TestWhatDoesNotFitIsNotUsedUp, and says so by 403.
func TestWhatDoesNotFitIsNotUsedUp(t *testing.T) {
	w := newPeople(t)
	w.person(w.key, "eve")
	bound := w.proven(map[string]any{"operation": "transfer", "details": payment}, w.ada())
	other := merge(payment, map[string]any{"amount": "12.51"})
	good := map[string]any{"proof": bound, "operation": "transfer", "details": payment}
	for name, change := range map[string]map[string]any{
		"another operation": {"operation": "else", "level": "strict"},
		"another session":   {"session_id": "s2"},
		"another user":      {"user_id": "eve"},
		"another amount":    {"details": other},
		"no details":        {"details": nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := w.in(t)
			w.refused(w.use(merge(good, change)), 403, "proof_mismatch")
		})
	}
	short := w.use(merge(good, map[string]any{"level": "critical"}))
	w.refused(short, 403, "reverification_required")
	assert.Contains(t, short.header.Get("WWW-Authenticate"), "insufficient_user_authentication")
	assert.Equal(t, 200, w.use(good).status, "none of it used it up")
}

func TestOfTwentyAtOnceOneSucceeds(t *testing.T) {
	w := newPeople(t)
	second, _ := w.replica()
	header := w.ada()
	for name, make := range map[string]func() map[string]any{
		"proof": func() map[string]any {
			return map[string]any{"proof": w.proven(map[string]any{"operation": "transfer"}, header)}
		},
		"sudo token": func() map[string]any {
			return map[string]any{"sudo_token": w.do("POST", "/auth/v1/user/sudo", map[string]any{"password": adasWord}, header).json(t)["sudo_token"]}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := w.in(t)
			body := merge(make(), map[string]any{"operation": "transfer", "user_id": "ada", "session_id": "s1"})
			counts := map[int]int{}
			var mu sync.Mutex
			var group sync.WaitGroup
			for i := range 20 {
				group.Go(func() {
					a := w.at([]string{w.url, second}[i%2], "POST", "/v1/proofs/verify", body, backend(w.key))
					mu.Lock()
					defer mu.Unlock()
					counts[a.status]++
				})
			}
			group.Wait()
			assert.Equal(t, map[int]int{200: 1, 409: 19}, counts)
		})
	}
}

// TestTwentyAtOnceHaveOneCode: at most five of them are even looked at.
func TestTwentyAtOnceHaveOneCode(t *testing.T) {
	w := newPeople(t)
	second, _ := w.replica()
	require.Equal(t, 200, w.do("POST", "/auth/v1/user/reauthenticate", `{"verify_opt":"email_code"}`, w.ada()).status)
	body := map[string]any{"code": w.code(), "operation": "x", "user_id": "ada", "session_id": "s1"}
	counts := map[int]int{}
	var mu sync.Mutex
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			a := w.at([]string{w.url, second}[i%2], "POST", "/v1/proofs/verify", body, backend(w.key))
			mu.Lock()
			defer mu.Unlock()
			counts[a.status]++
		})
	}
	group.Wait()
	assert.Equal(t, 1, counts[200], "%v", counts)
	assert.Equal(t, 20, counts[200]+counts[409]+counts[422]+counts[429], "%v", counts)
}

func TestTheSixthWrongCode(t *testing.T) {
	w := newPeople(t)
	require.Equal(t, 200, w.do("POST", "/auth/v1/user/reauthenticate", `{"verify_opt":"email_code"}`, w.ada()).status)
	code := w.code()
	for i := range 5 {
		p := w.refused(w.use(map[string]any{"code": wrong(code), "operation": "x"}), 422, "factor_incorrect")
		assert.EqualValues(t, 4-i, p["attempts_left"])
	}
	w.clock.advance(time.Minute)
	a := w.use(map[string]any{"code": wrong(code), "operation": "x"})
	w.refused(a, 429, "locked")
	assert.Equal(t, "240", a.header.Get("Retry-After"))
}

func TestEndingASession(t *testing.T) {
	w := newPeople(t)
	header := w.ada()
	proof := w.proven(map[string]any{"operation": "transfer"}, header)
	sudo := w.do("POST", "/auth/v1/user/sudo", map[string]any{"password": adasWord}, header).json(t)["sudo_token"]
	id := w.begin(map[string]any{"level": "strict"}, header)
	require.Equal(t, 200, w.do("POST", "/auth/v1/user/reauthenticate", `{"verify_opt":"email_code"}`, header).status)
	other := w.proven(map[string]any{"operation": "transfer"}, w.as(jwt.MapClaims{"sid": "s2"}))

	a := w.do("POST", "/v1/sessions/end", map[string]any{"user_id": "ada", "session_id": "s1"}, backend(w.key))
	require.Equal(t, 200, a.status)
	assert.JSONEq(t, `{"ended":true}`, string(a.body))
	w.refused(w.use(map[string]any{"proof": proof, "operation": "transfer"}), 403, "proof_invalid")
	w.refused(w.use(map[string]any{"sudo_token": sudo, "operation": "transfer"}), 403, "proof_invalid")
	w.refused(w.use(map[string]any{"code": w.code(), "operation": "x"}), 422, "code_expired")
	w.refused(w.do("GET", "/v1/reverifications/"+id, nil, header), 410, "reverification_ended")
	w.refused(w.do("GET", "/reauthenticate", nil, header), 403, "reverification_required")
	require.Equal(t, 200, w.do("GET", "/reauthenticate", nil, w.as(jwt.MapClaims{"sid": "s2"})).status, "the other session stays")

	require.Equal(t, 200, w.do("POST", "/v1/sessions/end", map[string]any{"user_id": "ada"}, backend(w.key)).status)
	w.refused(w.use(map[string]any{"proof": other, "operation": "transfer", "session_id": "s2"}), 403, "proof_invalid")
	require.Equal(t, 200, w.do("POST", "/v1/sessions/end", map[string]any{"user_id": "nobody"}, backend(w.key)).status, "there was nothing to end")
}

func TestTheKeysArePublished(t *testing.T) {
	w := newPeople(t)
	proof := w.proven(map[string]any{"operation": "transfer"}, w.ada())
	a := w.do("GET", "/.well-known/jwks.json", nil, http.Header{})
	require.Equal(t, 200, a.status)
	assert.Equal(t, "application/jwk-set+json", a.header.Get("Content-Type"))
	assert.Regexp(t, `^public, max-age=[0-9]+$`, a.header.Get("Cache-Control"), "the one answer that may be kept")
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	require.NoError(t, json.Unmarshal(a.body, &set))
	require.NotEmpty(t, set.Keys)
	token, _, err := jwt.NewParser().ParseUnverified(proof, jwt.MapClaims{})
	require.NoError(t, err)
	assert.Equal(t, "reverification+jwt", token.Header["typ"])
	var kids []any
	for _, k := range set.Keys {
		kids = append(kids, k["kid"])
		assert.NotContains(t, k, "d", "no private key")
	}
	assert.Contains(t, kids, token.Header["kid"])
	claims := token.Claims.(jwt.MapClaims)
	assert.Equal(t, w.url, claims["iss"])
	assert.Equal(t, "ada", claims["sub"])
	assert.Equal(t, "s1", claims["sid"])
	aud, err := claims.GetAudience()
	require.NoError(t, err)
	assert.Equal(t, []string{w.acme.ID}, []string(aud))
	for _, name := range []string{"jti", "iat", "exp", "auth_time", "amr", "acr", "fva", "second_factor_enrolled", "op"} {
		assert.Contains(t, claims, name)
	}
	assert.LessOrEqual(t, claims["exp"].(float64)-claims["iat"].(float64), 600.0)
}

func TestTheAudit(t *testing.T) {
	w := newPeople(t)
	_, betaKey := w.application("beta", "https://beta.example")
	w.person(w.key, "eve")
	proof := w.proven(map[string]any{"operation": "transfer"}, w.ada("X-Device-Id", "phone-1"))
	w.clock.advance(time.Minute)
	require.Equal(t, 200, w.use(map[string]any{"proof": proof, "operation": "transfer"}).status)
	w.proven(map[string]any{"level": "medium"}, w.as(jwt.MapClaims{"sub": "eve", "sid": "e1"}))

	read := func(query string) (lines []map[string]any, next any) {
		t.Helper()
		a := w.do("GET", "/v1/audit"+query, nil, backend(w.key))
		require.Equal(t, 200, a.status, "%s", a.body)
		for _, x := range a.json(t)["audit"].([]any) {
			lines = append(lines, x.(map[string]any))
		}
		return lines, a.json(t)["next_cursor"]
	}
	all, next := read("")
	require.Len(t, all, 7)
	assert.Nil(t, next)
	newest := all[0]
	assert.Equal(t, "eve", newest["user_id"])
	adas, _ := read("?user_id=ada")
	require.Len(t, adas, 4)
	assert.Equal(t, "proof.used", adas[0]["action"])
	assert.Equal(t, "transfer", adas[0]["operation"])
	assert.Equal(t, "strict", adas[0]["level"])
	last := adas[3]
	assert.Equal(t, "reverification.started", last["action"])
	assert.Equal(t, "s1", last["session_id"])
	assert.Equal(t, "phone-1", last["device_id"])
	assert.Equal(t, "127.0.0.0/24", last["ip_prefix"])
	assert.Equal(t, "2026-03-02T12:00:00Z", last["at"])

	byAction, _ := read("?action=proof.used")
	assert.Len(t, byAction, 1)
	since, _ := read("?since=" + url.QueryEscape("2026-03-02T12:00:30Z"))
	assert.Len(t, since, 4)
	until, _ := read("?until=" + url.QueryEscape("2026-03-02T13:00:30+01:00"))
	assert.Len(t, until, 3)
	var paged []map[string]any
	for query := "?limit=3"; ; {
		lines, next := read(query)
		paged = append(paged, lines...)
		if next == nil {
			break
		}
		query = "?limit=3&cursor=" + url.QueryEscape(next.(string))
	}
	assert.Equal(t, all, paged)

	p := w.refused(w.do("GET", "/v1/audit?action=proof.use", nil, backend(w.key)), 400, "invalid_request")
	assert.Equal(t, "action", p["field"])
	assert.Contains(t, p["detail"], "code.sent, code.unsent")
	_, cursor := read("?limit=3")
	adasOnly, _ := read("?user_id=ada&cursor=" + url.QueryEscape(cursor.(string)))
	assert.Equal(t, adas, adasOnly, "a page begins after a line that a filter leaves out")
	p = w.refused(w.do("GET", "/v1/audit?cursor="+url.QueryEscape(cursor.(string)), nil, backend(betaKey)), 400, "invalid_request")
	assert.Equal(t, "cursor", p["field"], "another application's")

	theirs := w.do("GET", "/v1/audit", nil, backend(betaKey)).json(t)
	assert.Empty(t, theirs["audit"], "nothing crosses applications")
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
		w.refused(w.do(method, "/v1/audit", nil, backend(w.key)), 405, "method_not_allowed")
	}

	require.Equal(t, 204, w.do("DELETE", "/v1/users/ada", nil, backend(w.key)).status)
	erased, _ := read("")
	assert.Len(t, erased, 7, "lines stay, under a pseudonym")
	for _, line := range erased {
		assert.NotEqual(t, "ada", line["user_id"])
		assert.NotEqual(t, "phone-1", line["device_id"])
	}
	text, err := json.Marshal(erased)
	require.NoError(t, err)
	assert.False(t, strings.Contains(string(text), adasWord))
}
