package guard_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/guard"
	"github.com/reconsent/reconsent/guard/guardtest"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/proof"
	"github.com/reconsent/reconsent/reauth/usertoken"
)

var start = time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)

// clock is moved by tests.
type clock struct{ at atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.at.Store(start.UnixNano())
	return c
}

func (c *clock) Now() time.Time      { return time.Unix(0, c.at.Load()).UTC() }
func (c *clock) Add(d time.Duration) { c.at.Add(int64(d)) }

func ignore(*proof.Claims) {}

func claims(c ...change) []change { return c }

func op(name, digest string) change {
	return func(c *proof.Claims) { c.Operation = &proof.Operation{Name: name, Digest: digest} }
}

type change = func(*proof.Claims)

// spec is the level that a proof was minted for, and what is odd about it.
type spec struct {
	level   string
	changes []change
}

// world is an installation, a guard that trusts it, and a backend's handler that
// counts what gets through.
type world struct {
	*guardtest.Installation
	clock  *clock
	guard  *guard.Guard
	log    *bytes.Buffer
	passed atomic.Int64
}

func newWorld(t testing.TB, changes ...func(*guard.Config)) *world {
	t.Helper()
	w := &world{clock: newClock(), log: &bytes.Buffer{}}
	w.Installation = guardtest.New(w.clock.Now)
	t.Cleanup(w.Installation.Close)
	cfg := w.Config()
	cfg.Log = slog.New(slog.NewTextHandler(w.log, nil))
	for _, change := range changes {
		change(&cfg)
	}
	g, err := guard.New(cfg)
	require.NoError(t, err)
	t.Cleanup(g.Close)
	w.guard = g
	return w
}

func request(user, token string) *http.Request {
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/transfer", strings.NewReader(`{"payee":"Acme Ltd","amount":"10.50","currency":"EUR"}`))
	if user != "" {
		r.Header.Set("Authorization", "Bearer "+user)
	}
	if token != "" {
		r.Header.Set(guard.ProofHeader, token)
	}
	return r
}

func (w *world) do(r *http.Request, level string, opts ...guard.Option) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	w.guard.RequireReverification(level, opts...)(http.HandlerFunc(func(_ http.ResponseWriter, _ *http.Request) {
		w.passed.Add(1)
	})).ServeHTTP(rec, r)
	return rec
}

func code(t testing.TB, rec *httptest.ResponseRecorder) string {
	t.Helper()
	if rec.Code == http.StatusOK {
		return ""
	}
	var p struct {
		Code   string `json:"code"`
		Status int    `json:"status"`
		Type   string `json:"type"`
		Detail string `json:"detail"`
	}
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &p), rec.Body)
	assert.Equal(t, rec.Code, p.Status)
	assert.Equal(t, "application/problem+json", rec.Header().Get("Content-Type"))
	assert.Equal(t, "no-store", rec.Header().Get("Cache-Control"))
	assert.True(t, strings.HasSuffix(p.Type, "/docs#"+p.Code), p.Type)
	assert.NotEmpty(t, p.Detail)
	return p.Code
}

var details = reauth.Details{Payee: "Acme Ltd", Amount: "10.50", Currency: "EUR"}

func digest(t testing.TB) string {
	t.Helper()
	d, err := details.Digest()
	require.NoError(t, err)
	return d
}

// factors replaces what was proven.
func factors(list ...proof.Factor) change {
	return func(c *proof.Claims) { c.Factors = list }
}

func ago(role proof.Role, method string, d time.Duration) proof.Factor {
	return proof.Factor{Method: method, Role: role, At: start.Add(-d)}
}

func notEnrolled(c *proof.Claims) { c.SecondFactorEnrolled = false }

// deletes is the operation of what counts once, which delete names in a proof.
var (
	deletes = guard.Operation("delete")
	deleted = op("delete", "")
)

func TestLevels(t *testing.T) {
	const m = time.Minute
	password, totp := ago(proof.First, "password", 0), ago(proof.Second, "totp", 0)
	for _, c := range []struct {
		what, level string
		pass        bool
		proof       spec
	}{
		{"fresh", "strict", true, spec{"strict", nil}},
		{"a level is judged by its factors", "strict_mfa", true, spec{"strict", nil}},
		{"just in time", "strict", true, spec{"strict", claims(factors(password, ago(proof.Second, "totp", 10*m-time.Second)))}},
		{"stale by not a minute", "strict", false, spec{"strict", claims(factors(password, ago(proof.Second, "totp", 10*m)))}},
		{"no second, enrolled", "strict", false, spec{"strict", claims(factors(password))}},
		{"no second, none enrolled", "strict", true, spec{"strict", claims(factors(password), notEnrolled)}},
		{"no first", "strict_mfa", false, spec{"strict_mfa", claims(factors(totp))}},
		{"first stale", "strict_mfa", false, spec{"strict_mfa", claims(factors(ago(proof.First, "password", 10*m), totp))}},
		{"medium", "medium", true, spec{"medium", claims(factors(ago(proof.First, "password", 15*m-time.Second)))}},
		{"medium, stale", "medium", false, spec{"medium", claims(factors(ago(proof.First, "password", 15*m)))}},
		{"high", "high", true, spec{"high", nil}},
		{"session", "session", true, spec{"session", claims(factors(ago(proof.First, "password", 48*time.Hour)))}},
		{"custom", "first_factor:2", true, spec{"first_factor:2", nil}},
		{"custom, stale", "first_factor:2", false, spec{"first_factor:2", claims(factors(ago(proof.First, "password", 2*m)))}},
		{"one number twice", "strict_mfa", false, spec{"strict_mfa", claims(factors(
			proof.Factor{Method: "phone_code", Role: proof.First, At: start, Ref: "a"}, proof.Factor{Method: "phone_code", Role: proof.Second, At: start, Ref: "a"}))}},
		{"an unknown factor", "strict", false, spec{"strict", claims(factors(password, totp, ago(proof.First, "magic", 0)))}},
		{"a level that is none", "strict", false, spec{"stricter", nil}},
		{"critical", "critical", true, spec{"critical", nil}},
		{"critical, of another level", "critical", false, spec{"strict_mfa", nil}},
		{"critical, of sca", "critical", false, spec{"sca", nil}},
		{"critical, stale", "critical", false, spec{"critical", claims(factors(password, ago(proof.Second, "totp", 10*m)))}},
	} {
		w := newWorld(t)
		token := w.Proof("u", "s", c.proof.level, append([]change{deleted}, c.proof.changes...)...)
		rec := w.do(request(w.UserToken("u", "s"), token), c.level, deletes)
		if c.pass {
			assert.Equal(t, http.StatusOK, rec.Code, "%s: %s", c.what, rec.Body)
		} else {
			assert.Equal(t, http.StatusForbidden, rec.Code, c.what)
			assert.Equal(t, "reverification_required", code(t, rec), c.what)
		}
		assert.Equal(t, c.pass, w.passed.Load() == 1, c.what)
	}
}

func TestWhoAsks(t *testing.T) {
	w := newWorld(t)
	user, good := w.UserToken("u", "s"), w.Proof("u", "s", "strict")
	signed := func(method jwt.SigningMethod, key any, changes jwt.MapClaims) string {
		c := jwt.MapClaims{"iss": guardtest.UserIssuer, "aud": guardtest.Application, "sub": "u", "sid": "s", "iat": start.Unix(), "exp": start.Add(time.Hour).Unix()}
		for k, v := range changes {
			if c[k] = v; v == nil {
				delete(c, k)
			}
		}
		s, err := jwt.NewWithClaims(method, c).SignedString(key)
		require.NoError(t, err)
		return s
	}
	hs := func(changes jwt.MapClaims) string {
		return signed(jwt.SigningMethodHS256, []byte(guardtest.Secret), changes)
	}
	for _, c := range []struct {
		what   string
		change func(http.Header)
		status int
		code   string
		auth   string
	}{
		{"all is well", func(http.Header) {}, 200, "", ""},
		{"lower case", func(h http.Header) { h.Set("Authorization", "bearer "+user) }, 200, "", ""},
		{"no token", func(h http.Header) { h.Del("Authorization") }, 401, "unauthorized", `Bearer`},
		{"no token, a proof as cookie", func(h http.Header) { h.Del("Authorization"); h.Set("Cookie", "token="+user) }, 401, "unauthorized", `Bearer`},
		{"two tokens", func(h http.Header) { h.Add("Authorization", "Bearer "+user) }, 401, "unauthorized", `Bearer`},
		{"Basic", func(h http.Header) { h.Set("Authorization", "Basic dTpw") }, 401, "unauthorized", `Bearer`},
		{"nothing after Bearer", func(h http.Header) { h.Set("Authorization", "Bearer ") }, 401, "unauthorized", `Bearer`},
		{"rubbish", func(h http.Header) { h.Set("Authorization", "Bearer a.b.c") }, 401, "unauthorized", `Bearer error="invalid_token"`},
		{"huge", func(h http.Header) { h.Set("Authorization", "Bearer "+strings.Repeat("a", 1<<20)) }, 401, "unauthorized", `Bearer error="invalid_token"`},
		{"a proof as token", func(h http.Header) { h.Set("Authorization", "Bearer "+good) }, 401, "unauthorized", `Bearer error="invalid_token"`},
		{"expired", func(h http.Header) { h.Set("Authorization", "Bearer "+hs(jwt.MapClaims{"exp": start.Unix()})) }, 401, "unauthorized", `Bearer error="invalid_token"`},
		{"another audience", func(h http.Header) { h.Set("Authorization", "Bearer "+hs(jwt.MapClaims{"aud": "app_b"})) }, 401, "unauthorized", `Bearer error="invalid_token"`},
		{"another issuer", func(h http.Header) { h.Set("Authorization", "Bearer "+hs(jwt.MapClaims{"iss": "https://b.example"})) }, 401, "unauthorized", `Bearer error="invalid_token"`},
		{"no subject", func(h http.Header) { h.Set("Authorization", "Bearer "+hs(jwt.MapClaims{"sub": nil})) }, 401, "unauthorized", `Bearer error="invalid_token"`},
		{"no session", func(h http.Header) { h.Set("Authorization", "Bearer "+hs(jwt.MapClaims{"sid": nil})) }, 401, "session_missing", `Bearer error="invalid_token"`},
		{"another secret", func(h http.Header) {
			h.Set("Authorization", "Bearer "+signed(jwt.SigningMethodHS256, []byte(strings.Repeat("x", 32)), nil))
		}, 401, "unauthorized", `Bearer error="invalid_token"`},
		{"another algorithm", func(h http.Header) {
			h.Set("Authorization", "Bearer "+signed(jwt.SigningMethodHS384, []byte(guardtest.Secret), nil))
		}, 401, "unauthorized", `Bearer error="invalid_token"`},
		{"alg none", func(h http.Header) {
			h.Set("Authorization", "Bearer "+signed(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil))
		}, 401, "unauthorized", `Bearer error="invalid_token"`},
	} {
		before := w.passed.Load()
		r := request(user, good)
		c.change(r.Header)
		rec := w.do(r, "strict")
		assert.Equal(t, c.status, rec.Code, c.what)
		assert.Equal(t, c.code, code(t, rec), c.what)
		assert.Equal(t, c.auth, rec.Header().Get("WWW-Authenticate"), c.what)
		assert.Equal(t, c.status == http.StatusOK, w.passed.Load() > before, c.what)
		// Level low asks for nothing but a user.
		r.Header.Del(guard.ProofHeader)
		assert.Equal(t, c.status, w.do(r, "low").Code, c.what)
	}
}

func TestProofs(t *testing.T) {
	w := newWorld(t)
	elsewhere := guardtest.New(w.clock.Now)
	t.Cleanup(elsewhere.Close)
	user := w.UserToken("u", "s")
	good := w.Proof("u", "s", "strict")
	for what, tokens := range map[string][]string{
		"none":                        nil,
		"empty":                       {""},
		"rubbish":                     {"a.b.c"},
		"two":                         {good, good},
		"a user's token":              {user},
		"another user's":              {w.Proof("v", "s", "strict")},
		"of another session":          {w.Proof("u", "t", "strict")},
		"for another application":     {w.Proof("u", "s", "strict", func(c *proof.Claims) { c.Audience = "app_b" })},
		"of another installation":     {elsewhere.Proof("u", "s", "strict")},
		"of another, with our issuer": {elsewhere.Proof("u", "s", "strict", func(c *proof.Claims) { c.Issuer = w.URL })},
		"from the future": {w.Proof("u", "s", "strict", func(c *proof.Claims) {
			c.IssuedAt, c.ExpiresAt = start.Add(2*time.Minute), start.Add(3*time.Minute)
		})},
		"expired": {w.Proof("u", "s", "strict", func(c *proof.Claims) {
			c.IssuedAt, c.ExpiresAt, c.AuthTime = start.Add(-time.Minute), start, start.Add(-time.Minute)
			c.Factors = []proof.Factor{ago(proof.First, "password", time.Minute), ago(proof.Second, "totp", time.Minute)}
		})},
		"for an operation":       {w.Proof("u", "s", "strict", op("transfer", ""))},
		"tampered":               {good[:len(good)-4] + "AAAA"},
		"signed by another hand": {good[:strings.LastIndex(good, ".")+1] + elsewhere.Proof("u", "s", "strict")[strings.LastIndex(good, ".")+1:]},
	} {
		r := request(user, "")
		for _, s := range tokens {
			r.Header.Add(guard.ProofHeader, s)
		}
		rec := w.do(r, "strict")
		assert.Equal(t, http.StatusForbidden, rec.Code, what)
		assert.Equal(t, "reverification_required", code(t, rec), what)
		assert.NotContains(t, rec.Body.String(), `"missing":[]`, what)
	}
	assert.Zero(t, w.passed.Load())
	assert.Empty(t, w.Uses(), "nothing was used up")
	assert.Equal(t, http.StatusOK, w.do(request(user, good), "strict").Code)
	assert.NotContains(t, w.log.String(), good[:20])
}

func TestChallengeOfTheGuard(t *testing.T) {
	w := newWorld(t)
	rec := w.do(request(w.UserToken("u", "s"), w.Proof("u", "s", "strict", factors(ago(proof.First, "password", 0)))), "strict")
	assert.Equal(t, http.StatusForbidden, rec.Code)
	assert.Equal(t, `Bearer error="insufficient_user_authentication", error_description="Prove again who you are, with a second factor, or a first one where no second is enrolled, within the last 10 minutes.", max_age="600"`,
		rec.Header().Get("WWW-Authenticate"))
	var c reauth.Challenge
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &c))
	assert.Equal(t, "strict", c.ClerkError.Metadata.Reverification)
	assert.Equal(t, []reauth.Lack{reauth.LackSecond}, c.Required.Missing)
	require.NotNil(t, c.Required.SecondEnrolled)
	assert.True(t, *c.Required.SecondEnrolled)
	assert.Equal(t, w.URL+"/v1/reverifications", c.Start)

	// Without a proof nothing is known of the user.
	rec = httptest.NewRecorder()
	w.guard.WriteReverificationRequired(rec, "medium")
	assert.Equal(t, "reverification_required", code(t, rec))
	assert.Contains(t, rec.Body.String(), `"metadata":{"reverification":{"level":"first_factor","afterMinutes":15}}`)
	assert.Contains(t, rec.Body.String(), `"required":{"level":"medium","missing":["first_factor"],"second_enrolled":null}`)

	rec = httptest.NewRecorder()
	w.guard.WriteReverificationRequired(rec, "no such level")
	assert.Equal(t, http.StatusForbidden, rec.Code)
	assert.Contains(t, rec.Body.String(), `"metadata":{}`)
}

func TestInsideAHandler(t *testing.T) {
	w := newWorld(t)
	good := request(w.UserToken("u", "s"), w.Proof("u", "s", "strict"))
	assert.False(t, w.guard.NeedsReverification(good, "strict"))
	assert.False(t, w.guard.NeedsReverification(good, "strict"), "offline proofs count as long as they live")
	assert.True(t, w.guard.NeedsReverification(request(w.UserToken("u", "s"), ""), "strict"))
	assert.True(t, w.guard.NeedsReverification(request("", w.Proof("u", "s", "strict")), "strict"))
	assert.True(t, w.guard.NeedsReverification(good, "no such level"))
	assert.True(t, w.guard.NeedsReverification(good, ""))
	assert.True(t, w.guard.NeedsReverification(good, "strict", guard.Operation("transfer")))

	once := request(w.UserToken("u", "s"), w.Proof("u", "s", "critical", deleted))
	assert.False(t, w.guard.NeedsReverification(once, "critical", deletes))
	assert.True(t, w.guard.NeedsReverification(once, "critical", deletes))
	assert.True(t, w.guard.NeedsReverification(once, "critical"), "it cannot be guarded so")
}

func TestVerified(t *testing.T) {
	w := newWorld(t)
	var got guard.Verified
	h := w.guard.RequireReverification("strict")(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got, _ = guard.FromContext(r.Context())
	}))
	h.ServeHTTP(httptest.NewRecorder(), request(w.UserToken("u", "s"), w.Proof("u", "s", "strict_mfa")))
	assert.Equal(t, guard.Verified{User: "u", Session: "s", Level: "strict_mfa", ProvenAt: start, AMR: []string{"pwd", "otp", "mfa"}}, got)
	_, ok := guard.FromContext(t.Context())
	assert.False(t, ok)
}

func TestOperations(t *testing.T) {
	w := newWorld(t)
	user := w.UserToken("u", "s")
	for _, c := range []struct {
		bound string
		want  string
		pass  bool
	}{{"transfer", "transfer", true}, {"transfer", "delete", false}, {"transfer", "", false}, {"", "transfer", false}, {"", "", true}} {
		change := ignore
		if c.bound != "" {
			change = op(c.bound, "")
		}
		rec := w.do(request(user, w.Proof("u", "s", "strict", change)), "strict", guard.Operation(c.want))
		assert.Equal(t, c.pass, rec.Code == http.StatusOK, "%q at %q", c.bound, c.want)
	}
	// Details count offline too.
	pay := claims(op("transfer", digest(t)))
	other := guard.Details(reauth.Details{Payee: "Acme Ltd", Amount: "10.51", Currency: "EUR"})
	assert.Equal(t, http.StatusOK, w.do(request(user, w.Proof("u", "s", "strict", pay...)), "strict", guard.Operation("transfer"), guard.Details(details)).Code)
	assert.Equal(t, http.StatusForbidden, w.do(request(user, w.Proof("u", "s", "strict", pay...)), "strict", guard.Operation("transfer"), other).Code)
	assert.Equal(t, http.StatusForbidden, w.do(request(user, w.Proof("u", "s", "strict", pay...)), "strict", guard.Operation("transfer")).Code)
	assert.Equal(t, http.StatusForbidden, w.do(request(user, w.Proof("u", "s", "strict", op("transfer", ""))), "strict", guard.Operation("transfer"), guard.Details(details)).Code)
}

func readDetails(r *http.Request) (d reauth.Details, err error) {
	err = json.NewDecoder(r.Body).Decode(&d)
	return d, err
}

func TestSCA(t *testing.T) {
	w := newWorld(t)
	user := w.UserToken("u", "s")
	var body []byte
	h := w.guard.RequireReverification("sca", guard.Operation("transfer"), guard.DetailsFrom(readDetails))(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		w.passed.Add(1)
		body, _ = io.ReadAll(r.Body)
	}))
	try := func(token, text string) *httptest.ResponseRecorder {
		rec := httptest.NewRecorder()
		r := request(user, token)
		r.Body = io.NopCloser(strings.NewReader(text))
		h.ServeHTTP(rec, r)
		return rec
	}
	const payment = `{"payee":"Acme Ltd","amount":"10.50","currency":"EUR","note":"hello"}`
	bound := op("transfer", digest(t))
	token := w.Proof("u", "s", "sca", bound)

	assert.Equal(t, http.StatusForbidden, try(token, strings.Replace(payment, "10.50", "99.50", 1)).Code)
	assert.Equal(t, http.StatusForbidden, try(token, strings.Replace(payment, "Acme", "Acne", 1)).Code)
	assert.Empty(t, w.Uses(), "another payment does not use it up")
	require.Equal(t, http.StatusOK, try(token, payment).Code)
	assert.Equal(t, payment, string(body), "the handler reads the same bytes")
	require.Len(t, w.Uses(), 1)
	assert.Equal(t, &details, w.Uses()[0].Details)
	assert.Equal(t, http.StatusForbidden, try(token, payment).Code, "used")

	for what, c := range map[string]struct {
		level  string
		change change
	}{
		"of another level":                {"strict_mfa", bound},
		"critical":                        {"critical", bound},
		"of one category":                 {"sca", both(bound, factors(ago(proof.First, "email_code", 0), ago(proof.Second, "totp", 0)))},
		"passkey without verification":    {"sca", both(bound, factors(ago(proof.First, "passkey", 0)))},
		"stale":                           {"sca", both(bound, factors(ago(proof.First, "password", 5*time.Minute), ago(proof.Second, "totp", 0)))},
		"no downgrade":                    {"sca", both(bound, both(notEnrolled, factors(ago(proof.First, "password", 0))))},
		"not bound":                       {"sca", ignore},
		"bound to the operation only":     {"sca", op("transfer", "")},
		"bound to another operation":      {"sca", op("delete", digest(t))},
		"an identity provider's word too": {"sca", both(bound, factors(ago(proof.First, "idp", 0), ago(proof.Second, "totp", 0)))},
	} {
		assert.Equal(t, http.StatusForbidden, try(w.Proof("u", "s", c.level, c.change), payment).Code, what)
	}
	assert.Equal(t, http.StatusOK, try(w.Proof("u", "s", "sca", both(bound, factors(proof.Factor{Method: "passkey", Role: proof.First, At: start, UserVerified: true}))), payment).Code)
	assert.Len(t, w.Uses(), 3, "two that passed, and one that was used already")

	for text, want := range map[string]struct {
		status int
		code   string
	}{
		"":                                 {400, "invalid_request"},
		"{":                                {400, "invalid_request"},
		`{"payee":"","amount":"1"}`:        {400, "invalid_request"},
		strings.Repeat(" ", 64<<10) + "{}": {413, "payload_too_large"},
	} {
		rec := try(w.Proof("u", "s", "sca", bound), text)
		assert.Equal(t, want.status, rec.Code)
		assert.Equal(t, want.code, code(t, rec))
	}
	rec := try(w.Proof("u", "s", "sca", bound), `{"payee":"Acme","amount":"1e3","currency":"EUR"}`)
	assert.Contains(t, rec.Body.String(), `"field":"details.amount"`)
	assert.Equal(t, int64(2), w.passed.Load())
}

func both(a, b change) change {
	return func(c *proof.Claims) { a(c); b(c) }
}

func TestProofsThatCountOnce(t *testing.T) {
	w := newWorld(t)
	user, once := w.UserToken("u", "s"), w.Proof("u", "s", "critical", deleted)
	assert.Equal(t, http.StatusOK, w.do(request(user, once), "critical", deletes).Code)
	assert.Equal(t, http.StatusForbidden, w.do(request(user, once), "critical", deletes).Code)
	assert.Equal(t, http.StatusForbidden, w.do(request(user, once), "strict", deletes).Code, "at a lesser level too")

	lesser := w.Proof("u", "s", "critical", deleted)
	assert.Equal(t, http.StatusOK, w.do(request(user, lesser), "strict", deletes).Code)
	assert.Equal(t, http.StatusForbidden, w.do(request(user, lesser), "critical", deletes).Code, "it was used up there")

	// A level that asks for nothing does not use it up.
	kept := w.Proof("u", "s", "critical", deleted)
	assert.Equal(t, http.StatusOK, w.do(request(user, kept), "low", deletes).Code)
	assert.Equal(t, http.StatusOK, w.do(request(user, kept), "critical", deletes).Code)

	keys := map[string]bool{}
	for _, u := range w.Uses() {
		assert.Equal(t, "u", u.UserID)
		assert.Equal(t, "s", u.SessionID)
		assert.NotEmpty(t, u.IdempotencyKey)
		keys[u.IdempotencyKey] = true
	}
	assert.Len(t, keys, len(w.Uses()), "no two requests are one")
}

// A use says what the route asks for: the application need not have named the
// operation.
func TestAUseSaysItsLevel(t *testing.T) {
	w := newWorld(t)
	user := w.UserToken("u", "s")
	for asked, want := range map[string]guardtest.Use{
		"critical":               {Level: "critical"},
		"strict":                 {Level: "strict"},
		"session":                {Level: "session"},
		"second_factor:30":       {Level: "second_factor", AfterMinutes: 30},
		"multi_factor:5+fresh":   {Level: "multi_factor", AfterMinutes: 5},
		"first_factor:any+fresh": {Level: "first_factor", AfterMinutes: reauth.MaxAfterMinutes},
	} {
		require.Equal(t, http.StatusOK, w.do(request(user, w.Proof("u", "s", "critical", deleted)), asked, deletes).Code, asked)
		uses := w.Uses()
		got := uses[len(uses)-1]
		assert.Equal(t, "delete", got.Operation, asked)
		assert.Equal(t, want, guardtest.Use{Level: got.Level, AfterMinutes: got.AfterMinutes}, asked)
	}
	bound := op("transfer", digest(t))
	for _, asked := range []string{"sca", "none:5+sca"} {
		rec := w.do(request(user, w.Proof("u", "s", "sca", bound)), asked, guard.Operation("transfer"), guard.Details(details))
		require.Equal(t, http.StatusOK, rec.Code, asked)
		uses := w.Uses()
		assert.Equal(t, "sca", uses[len(uses)-1].Level, asked)
	}
}

// TestRequestDoesNotChooseItsIdempotencyKey: it would be answered again.
func TestRequestDoesNotChooseItsIdempotencyKey(t *testing.T) {
	w := newWorld(t)
	r := request(w.UserToken("u", "s"), w.Proof("u", "s", "critical", deleted))
	r.Header.Set("Idempotency-Key", "mine")
	assert.Equal(t, http.StatusOK, w.do(r, "critical", deletes).Code)
	assert.Equal(t, http.StatusForbidden, w.do(r, "critical", deletes).Code)
}

func TestTwentyAtOnce(t *testing.T) {
	w := newWorld(t)
	user, once := w.UserToken("u", "s"), w.Proof("u", "s", "critical", deleted)
	var all sync.WaitGroup
	var denied atomic.Int64
	for range 20 {
		all.Go(func() {
			if w.do(request(user, once), "critical", deletes).Code == http.StatusForbidden {
				denied.Add(1)
			}
		})
	}
	all.Wait()
	assert.Equal(t, int64(1), w.passed.Load())
	assert.Equal(t, int64(19), denied.Load())
}

func TestNothingPassesWhileItCannotBeJudged(t *testing.T) {
	w := newWorld(t)
	user := w.UserToken("u", "s")
	stolen := make(chan string, 1)
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { stolen <- r.Header.Get("Authorization") }))
	t.Cleanup(thief.Close)
	says := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	for what, c := range map[string]struct {
		answer http.HandlerFunc
		status int
		retry  string
	}{
		"500":                {says(500, ""), 503, "5"},
		"502 with a body":    {says(502, `{"valid":true,"level":"critical"}`), 503, "5"},
		"wrong API key":      {says(401, `{}`), 503, "5"},
		"not found":          {says(404, `{}`), 503, "5"},
		"refused as odd":     {says(400, `{}`), 503, "5"},
		"created":            {says(201, `{"valid":true,"level":"critical"}`), 503, "5"},
		"no content":         {says(204, ""), 503, "5"},
		"empty":              {says(200, ""), 503, "5"},
		"not JSON":           {says(200, "ok"), 503, "5"},
		"huge":               {says(200, `{"valid":true,"level":"critical","x":"`+strings.Repeat("a", 64<<10)+`"}`), 503, "5"},
		"not valid":          {says(200, `{"valid":false,"level":"critical"}`), 403, ""},
		"valid, says nobody": {says(200, `{}`), 403, ""},
		"another level":      {says(200, `{"valid":true,"level":"low"}`), 403, ""},
		"another operation":  {says(403, `{}`), 403, ""},
		"used":               {says(409, `{}`), 403, ""},
		"wrong":              {says(422, `{}`), 403, ""},
		"limited": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "77")
			w.WriteHeader(http.StatusTooManyRequests)
		}, 503, "77"},
		"limited for ever": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "99999999")
			w.WriteHeader(http.StatusTooManyRequests)
		}, 503, "3600"},
		"sent elsewhere": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, thief.URL, http.StatusTemporaryRedirect)
		}, 503, "5"},
		"hung up": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 503, "5"},
	} {
		w.Answer(c.answer)
		once := w.Proof("u", "s", "critical", deleted)
		rec := w.do(request(user, once), "critical", deletes)
		assert.Equal(t, c.status, rec.Code, what)
		assert.Equal(t, c.retry, rec.Header().Get("Retry-After"), what)
		if c.status == http.StatusServiceUnavailable {
			assert.Equal(t, "verification_unavailable", code(t, rec), what)
		}
		assert.NotContains(t, w.log.String(), once, what)
	}
	assert.NotContains(t, w.log.String(), guardtest.APIKey)
	assert.Empty(t, stolen, "the key does not follow a redirect")

	w.Installation.Close()
	rec := w.do(request(user, w.Proof("u", "s", "critical", deleted)), "critical", deletes)
	assert.Equal(t, http.StatusServiceUnavailable, rec.Code)
	assert.Zero(t, w.passed.Load())
}

// TestAnswerThatIsLost is asked for again, as the same use.
func TestAnswerThatIsLost(t *testing.T) {
	w := newWorld(t)
	var calls atomic.Int64
	w.Answer(func(rw http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) == 1 {
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(rw, `{"valid":true,"level":"critical"}`)
	})
	assert.Equal(t, http.StatusOK, w.do(request(w.UserToken("u", "s"), w.Proof("u", "s", "critical", deleted)), "critical", deletes).Code)
	require.Len(t, w.Uses(), 2)
	assert.Equal(t, w.Uses()[0], w.Uses()[1])
}

func TestPublishedKeys(t *testing.T) {
	w := newWorld(t)
	user := w.UserToken("u", "s")
	for range 3 {
		assert.Equal(t, http.StatusOK, w.do(request(user, w.Proof("u", "s", "strict")), "strict").Code)
	}
	assert.Equal(t, 1, w.Fetches(), "keys are kept")

	w.Rotate(proof.ES256)
	rotated := w.Proof("u", "s", "strict")
	assert.Equal(t, http.StatusForbidden, w.do(request(user, rotated), "strict").Code, "fetches are limited")
	assert.Equal(t, 1, w.Fetches())
	w.clock.Add(time.Minute)
	assert.Equal(t, http.StatusOK, w.do(request(user, rotated), "strict").Code, "an unknown key is looked for")
	assert.Equal(t, 2, w.Fetches())

	elsewhere := guardtest.New(w.clock.Now)
	t.Cleanup(elsewhere.Close)
	for range 20 {
		elsewhere.Rotate(proof.EdDSA)
		assert.Equal(t, http.StatusForbidden, w.do(request(user, elsewhere.Proof("u", "s", "strict")), "strict").Code)
	}
	assert.LessOrEqual(t, w.Fetches(), 3, "made-up keys cost the installation nothing")
}

func TestKeysThatCannotBeHad(t *testing.T) {
	w := newWorld(t)
	token := w.Proof("u", "s", "strict")
	w.Installation.Close()
	rec := w.do(request(w.UserToken("u", "s"), token), "strict")
	assert.Equal(t, http.StatusServiceUnavailable, rec.Code)
	assert.Equal(t, "verification_unavailable", code(t, rec))
	assert.Equal(t, "5", rec.Header().Get("Retry-After"))

	provider := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(provider.Close)
	w = newWorld(t, func(c *guard.Config) {
		c.User.Secret, c.User.JWKSURL, c.User.Algorithms = nil, provider.URL, []string{"RS256"}
	})
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	rec = w.do(request(userJWT(t, jwt.SigningMethodRS256, key), w.Proof("u", "s", "strict")), "strict")
	assert.Equal(t, http.StatusServiceUnavailable, rec.Code, "nobody is signed out for it")
}

func userJWT(t testing.TB, m jwt.SigningMethod, key any) string {
	t.Helper()
	tok := jwt.NewWithClaims(m, jwt.MapClaims{
		"iss": guardtest.UserIssuer, "aud": guardtest.Application, "sub": "u", "sid": "s", "iat": start.Unix(), "exp": start.Add(time.Hour).Unix(),
	})
	tok.Header["kid"] = "k"
	s, err := tok.SignedString(key)
	require.NoError(t, err)
	return s
}

func TestIdentityProvidersKeys(t *testing.T) {
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	_, o, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	for _, c := range []struct {
		method  jwt.SigningMethod
		key, is any
	}{{jwt.SigningMethodRS256, r, &r.PublicKey}, {jwt.SigningMethodES256, e, &e.PublicKey}, {jwt.SigningMethodEdDSA, o, o.Public()}} {
		j, err := jwkset.NewJWKFromKey(c.is, jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: "k", ALG: jwkset.ALG(c.method.Alg()), USE: jwkset.UseSig}})
		require.NoError(t, err)
		provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_ = json.NewEncoder(w).Encode(map[string]any{"keys": []any{j.Marshal()}})
		}))
		t.Cleanup(provider.Close)
		w := newWorld(t, func(cfg *guard.Config) {
			cfg.User.Secret, cfg.User.JWKSURL, cfg.User.Algorithms = nil, provider.URL, []string{c.method.Alg()}
		})
		rec := w.do(request(userJWT(t, c.method, c.key), w.Proof("u", "s", "strict")), "strict")
		assert.Equal(t, http.StatusOK, rec.Code, c.method.Alg())
		assert.Equal(t, http.StatusUnauthorized, w.do(request(w.UserToken("u", "s"), w.Proof("u", "s", "strict")), "strict").Code, "a secret is no key")
	}
}

func TestPolicyThatCannotBeGuarded(t *testing.T) {
	w := newWorld(t)
	offline := newWorld(t, func(c *guard.Config) { c.APIKey = "" })
	for _, c := range []struct {
		w     *world
		level string
		opts  []guard.Option
	}{
		{w, "", nil}, {w, "stricter", nil}, {w, "first_factor", nil},
		{w, "sca", nil}, {w, "sca", []guard.Option{guard.Operation("transfer")}}, {w, "sca", []guard.Option{guard.Details(details)}},
		{w, "strict", []guard.Option{guard.Details(details)}},
		{w, "critical", nil}, {w, "second_factor:30+fresh", nil},
		{offline, "critical", []guard.Option{deletes}}, {offline, "sca", []guard.Option{guard.Operation("transfer"), guard.Details(details)}},
	} {
		p, err := c.w.guard.Policy(c.level, c.opts...)
		require.Error(t, err, c.level)
		assert.Nil(t, p)
		assert.Panics(t, func() { c.w.guard.RequireReverification(c.level, c.opts...) })
	}
	// A proof that counts once cannot be used up without a key, or for no operation,
	// so it counts not at all.
	assert.Equal(t, http.StatusForbidden, offline.do(request(offline.UserToken("u", "s"), offline.Proof("u", "s", "critical", deleted)), "strict", deletes).Code)
	assert.Equal(t, http.StatusForbidden, w.do(request(w.UserToken("u", "s"), w.Proof("u", "s", "critical")), "strict").Code)
	assert.Empty(t, w.Uses())
	assert.Equal(t, http.StatusOK, offline.do(request(offline.UserToken("u", "s"), offline.Proof("u", "s", "strict")), "strict").Code)
}

func TestConfig(t *testing.T) {
	w := newWorld(t)
	for what, change := range map[string]func(*guard.Config){
		"no base URL":            func(c *guard.Config) { c.BaseURL = "" },
		"no scheme":              func(c *guard.Config) { c.BaseURL = "reconsent.example" },
		"a query":                func(c *guard.Config) { c.BaseURL += "?a=b" },
		"a password":             func(c *guard.Config) { c.BaseURL = "https://a:b@reconsent.example" },
		"http":                   func(c *guard.Config) { c.BaseURL = "http://reconsent.example" },
		"http, not in dev":       func(c *guard.Config) { c.Dev = false },
		"no application":         func(c *guard.Config) { c.ApplicationID = "" },
		"no clock":               func(c *guard.Config) { c.Now = nil },
		"no rules":               func(c *guard.Config) { c.User = usertoken.Rules{} },
		"a short secret":         func(c *guard.Config) { c.User.Secret = []byte("short") },
		"no issuer, not in dev":  func(c *guard.Config) { c.Dev, c.BaseURL, c.User.Issuer = false, "https://reconsent.example", "" },
		"a secret with a public": func(c *guard.Config) { c.User.Algorithms = []string{"RS256"} },
	} {
		cfg := w.Config()
		change(&cfg)
		g, err := guard.New(cfg)
		require.Error(t, err, what)
		assert.Nil(t, g)
		assert.NotContains(t, err.Error(), guardtest.Secret)
		assert.NotContains(t, err.Error(), guardtest.APIKey)
	}
	cfg := w.Config()
	for _, s := range []string{fmt.Sprint(cfg), fmt.Sprintf("%+v", cfg), fmt.Sprintf("%#v", cfg)} {
		assert.NotContains(t, s, guardtest.Secret)
		assert.NotContains(t, s, guardtest.APIKey)
	}
	cfg.BaseURL, cfg.Dev = "https://reconsent.example/base/", false
	g, err := guard.New(cfg)
	require.NoError(t, err)
	t.Cleanup(g.Close)
	rec := httptest.NewRecorder()
	g.WriteReverificationRequired(rec, "strict")
	assert.Contains(t, rec.Body.String(), `"start":"https://reconsent.example/base/v1/reverifications"`)
}

func TestErrorThatIsNotOurs(t *testing.T) {
	w := newWorld(t)
	for _, err := range []error{errors.New("boom"), &guard.Denied{}, &guard.Denied{Reason: "odd"}} {
		rec := httptest.NewRecorder()
		w.guard.WriteError(rec, err)
		assert.Equal(t, http.StatusServiceUnavailable, rec.Code)
		assert.Equal(t, "verification_unavailable", code(t, rec))
	}
	assert.Equal(t, "guard: unauthorized", (&guard.Denied{Reason: guard.Unauthenticated}).Error())
}
