package api_test

import (
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/stepup"
)

func (w *people) prepare(id, strategy string) answer {
	w.Helper()
	return w.do("POST", "/v1/reverifications/"+id+"/prepare", map[string]any{"strategy": strategy}, w.ada())
}

func strategies(list any) (names []string) {
	for _, x := range list.([]any) {
		names = append(names, x.(map[string]any)["strategy"].(string))
	}
	return names
}

// TestAReverificationByCode is the whole way, with what each answer carries.
func TestAReverificationByCode(t *testing.T) {
	w := newPeople(t)
	a := w.do("POST", "/v1/reverifications", map[string]any{"operation": "transfer"}, w.ada())
	require.Equal(t, 201, a.status, "%s", a.body)
	m := a.json(t)
	id := m["id"].(string)
	assert.Equal(t, "/v1/reverifications/"+id, a.header.Get("Location"))
	assert.Equal(t, "needs_first_factor", m["status"], "downgraded: no second factor is enrolled")
	assert.Equal(t, "strict", m["level"])
	assert.Equal(t, "transfer", m["operation"])
	assert.Equal(t, "2026-03-02T12:10:00Z", m["expires_at"])
	assert.Equal(t, []string{"password", "email_code", "phone_code"}, strategies(m["first_factors"]))
	assert.Equal(t, []any{}, m["second_factors"])
	assert.NotContains(t, m, "proof")

	p := w.prepare(id, "email_code")
	require.Equal(t, 200, p.status, "%s", p.body)
	assert.Equal(t, "2026-03-02T12:05:00Z", p.json(t)["code_expires_at"])
	assert.NotContains(t, string(p.body), adasMail)
	assert.NotEmpty(t, p.json(t)["sent_to"])
	soon := w.prepare(id, "email_code")
	w.refused(soon, 429, "send_limited")
	assert.Equal(t, "30", soon.header.Get("Retry-After"))

	bad := w.refused(w.attempt(id, map[string]any{"strategy": "email_code", "code": wrong(w.code())}, w.ada()), 422, "factor_incorrect")
	assert.EqualValues(t, 4, bad["attempts_left"])
	w.refused(w.attempt(id, map[string]any{"strategy": "phone_code", "code": w.code()}, w.ada()), 422, "not_prepared")
	assert.Equal(t, "needs_first_factor", w.do("GET", "/v1/reverifications/"+id, nil, w.ada()).json(t)["status"])

	w.clock.advance(time.Minute)
	done := w.attempt(id, map[string]any{"strategy": "email_code", "code": fullWidth(w.code())}, w.ada())
	require.Equal(t, 200, done.status, "%s", done.body)
	assert.Equal(t, "complete", done.json(t)["status"])
	proof := done.json(t)["proof"]
	require.NotEmpty(t, proof)
	again := w.do("GET", "/v1/reverifications/"+id, nil, w.ada())
	assert.Equal(t, "complete", again.json(t)["status"])
	assert.NotEmpty(t, again.json(t)["proof"])
	w.refused(w.attempt(id, map[string]any{"strategy": "email_code", "code": w.code()}, w.ada()), 410, "reverification_ended")

	w.refused(w.do("GET", "/reauthenticate?level=moderate", nil, w.as(jwt.MapClaims{"sid": "s2"})), 403, "reverification_required")
	fresh := w.do("GET", "/reauthenticate?level=moderate", nil, w.ada())
	require.Equal(t, 200, fresh.status, "%s", fresh.body)
	assert.Equal(t, "2026-03-02T13:01:00Z", fresh.json(t)["valid_until"])
	require.Equal(t, 200, w.use(map[string]any{"proof": proof, "operation": "transfer"}).status)
	assert.NotContains(t, w.do("GET", "/v1/reverifications/"+id, nil, w.ada()).json(t), "proof", "it is used up")
}

func fullWidth(code string) (out string) {
	for _, d := range code {
		out += string(d - '0' + '０')
	}
	return out
}

func TestFiveWrongCodesAndTheSixth(t *testing.T) {
	w := newPeople(t)
	id := w.begin(map[string]any{"level": "strict"}, w.ada())
	require.Equal(t, 200, w.prepare(id, "phone_code").status)
	for i := range 5 {
		p := w.refused(w.attempt(id, map[string]any{"strategy": "phone_code", "code": wrong(w.code())}, w.ada()), 422, "factor_incorrect")
		assert.EqualValues(t, 4-i, p["attempts_left"])
	}
	a := w.attempt(id, map[string]any{"strategy": "phone_code", "code": w.code()}, w.ada())
	w.refused(a, 429, "locked")
	assert.Equal(t, "300", a.header.Get("Retry-After"))
}

// TestTenFailuresLockTheUser over all factors, endpoints and sessions.
func TestTenFailuresLockTheUser(t *testing.T) {
	w := newPeople(t)
	header := w.ada()
	id := w.begin(map[string]any{"level": "strict"}, header)
	for i := range 10 {
		if i%2 == 0 {
			w.faulty(w.do("POST", "/auth/v1/user/sudo", `{"password":"no"}`, w.as(jwt.MapClaims{"sid": "s2"})), 422, "invalid_password", 4001)
			continue
		}
		p := w.refused(w.attempt(id, map[string]any{"strategy": "password", "password": "no"}, header), 422, "factor_incorrect")
		assert.EqualValues(t, 9-i, p["attempts_left"])
	}
	w.clock.advance(5 * time.Minute)
	a := w.attempt(id, map[string]any{"strategy": "password", "password": adasWord}, header)
	p := w.refused(a, 429, "locked")
	assert.Equal(t, "3300", a.header.Get("Retry-After"))
	assert.Equal(t, "locked", p["error_code"])
	sudo := w.do("POST", "/auth/v1/user/sudo", map[string]any{"password": adasWord}, header)
	w.faulty(sudo, 429, "resource_exhausted", 8)
	assert.Equal(t, "3300", sudo.header.Get("Retry-After"))
	require.Len(t, w.post.notices, 1)
	assert.Equal(t, stepup.EventLocked, w.post.notices[0].Event)
	locked := w.do("GET", "/v1/audit?action=locked", nil, backend(w.key)).json(t)["audit"]
	assert.Len(t, locked, 1)
	w.clock.advance(55 * time.Minute)
	w.faulty(w.do("POST", "/auth/v1/user/sudo", `{"password":"no"}`, w.ada()), 422, "invalid_password", 4001)
}

func TestAReverificationThatIsTooOld(t *testing.T) {
	w := newPeople(t)
	id := w.begin(map[string]any{"level": "strict"}, w.ada())
	w.clock.advance(10 * time.Minute)
	w.refused(w.do("GET", "/v1/reverifications/"+id, nil, w.ada()), 410, "reverification_ended")
	w.refused(w.prepare(id, "email_code"), 410, "reverification_ended")
	w.refused(w.attempt(id, map[string]any{"strategy": "password", "password": adasWord}, w.ada()), 410, "reverification_ended")
}

func TestNoFactorAvailable(t *testing.T) {
	w := newPeople(t)
	require.Equal(t, 200, w.do("PUT", "/v1/users/ada", map[string]any{"name": "Ada"}, backend(w.key)).status)
	p := w.refused(w.do("POST", "/v1/reverifications", map[string]any{"level": "strict"}, w.ada()), 422, "no_factor_available")
	assert.Contains(t, p["detail"], "POST /v1/factors", "it says what to do")
	low := w.do("POST", "/v1/reverifications", map[string]any{"level": "low"}, w.ada())
	require.Equal(t, 201, low.status, "%s", low.body)
	assert.Equal(t, "complete", low.json(t)["status"])
}

func TestCodesThatAnApplicationHasSwitchedOff(t *testing.T) {
	w := newPeople(t)
	w.settings(&w.acme, func(s *stepup.Settings) { s.CodesOff = []reauth.Factor{reauth.PhoneCode} })
	a := w.do("POST", "/v1/reverifications", map[string]any{"level": "strict"}, w.ada())
	assert.Equal(t, []string{"password", "email_code"}, strategies(a.json(t)["first_factors"]))
	w.refused(w.prepare(a.json(t)["id"].(string), "phone_code"), 422, "strategy_unavailable")
}

// TestABackendBeginsAPayment: it says what is paid, the person proves it, and
// the proof is good for that and nothing else.
func TestABackendBeginsAPayment(t *testing.T) {
	w := newPeople(t)
	a := w.do("POST", "/v1/reverifications", map[string]any{"operation": "pay", "details": payment, "user_id": "ada", "session_id": "s1"}, backend(w.key))
	require.Equal(t, 201, a.status, "%s", a.body)
	m := a.json(t)
	id := m["id"].(string)
	assert.Equal(t, "sca", m["level"])
	assert.Equal(t, payment["amount"], m["details"].(map[string]any)["amount"])
	seen := w.do("GET", "/v1/reverifications/"+id, nil, w.ada()).json(t)
	assert.Equal(t, payment["payee"], seen["details"].(map[string]any)["payee"], "the person sees what is paid")
	w.refused(w.do("GET", "/v1/reverifications/"+id, nil, w.as(jwt.MapClaims{"sid": "s2"})), 404, "reverification_not_found")

	require.Equal(t, 200, w.attempt(id, map[string]any{"strategy": "password", "password": adasWord}, w.ada()).status)
	prepared := w.prepare(id, "phone_code")
	require.Equal(t, 200, prepared.status, "%s", prepared.body)
	require.NotNil(t, w.message().Details)
	assert.Equal(t, "12.50", w.message().Details.Amount, "the message names it too")
	done := w.attempt(id, map[string]any{"strategy": "phone_code", "code": w.code()}, w.ada())
	require.Equal(t, 200, done.status, "%s", done.body)
	require.Equal(t, "complete", done.json(t)["status"])
	use := map[string]any{"proof": done.json(t)["proof"], "operation": "pay", "details": payment}
	w.refused(w.use(merge(use, map[string]any{"details": merge(payment, map[string]any{"payee": "DE02120300000000202051"})})), 403, "proof_mismatch")
	used := w.use(use)
	require.Equal(t, 200, used.status, "%s", used.body)
	assert.Equal(t, "sca", used.json(t)["level"])
}

// TestACodeThatIsBoundAtItsUseOnly never satisfies sca.
func TestACodeThatIsBoundAtItsUseOnly(t *testing.T) {
	w := newPeople(t)
	require.Equal(t, 200, w.do("POST", "/auth/v1/user/reauthenticate", `{"verify_opt":"phone_code"}`, w.ada()).status)
	code := w.code()
	w.refused(w.use(map[string]any{"code": code, "operation": "pay", "details": payment}), 403, "reverification_required")
	sudo := w.do("POST", "/auth/v1/user/sudo", map[string]any{"password": adasWord}, w.ada()).json(t)["sudo_token"]
	w.refused(w.use(map[string]any{"sudo_token": sudo, "operation": "pay", "details": payment}), 403, "reverification_required")
	assert.Equal(t, 200, w.use(map[string]any{"code": code, "operation": "x"}).status, "it was not used up by that")
}

// TestTwoReplicasKnowTheSameReverification, and sign with the same keys.
func TestTwoReplicasKnowTheSameReverification(t *testing.T) {
	w := newPeople(t)
	second, _ := w.replica()
	id := w.begin(map[string]any{"operation": "transfer"}, w.ada())
	require.Equal(t, 200, w.at(second, "POST", "/v1/reverifications/"+id+"/prepare", map[string]any{"strategy": "email_code"}, w.ada()).status)
	w.refused(w.prepare(id, "email_code"), 429, "send_limited")
	done := w.attempt(id, map[string]any{"strategy": "email_code", "code": w.code()}, w.ada())
	require.Equal(t, 200, done.status, "%s", done.body)
	body := map[string]any{"proof": done.json(t)["proof"], "operation": "transfer", "user_id": "ada", "session_id": "s1"}
	require.Equal(t, 200, w.at(second, "POST", "/v1/proofs/verify", body, backend(w.key)).status, "signed by one, used at the other")
	w.refused(w.use(body), 409, "proof_used")
}

// A backend's change of an address or a password is a change of factors.
func TestAnotherPasswordEndsWhatIsLive(t *testing.T) {
	w := newPeople(t)
	hash := func(word string) string {
		h, err := bcrypt.GenerateFromPassword([]byte(word), bcrypt.MinCost)
		require.NoError(t, err)
		return string(h)
	}
	same := map[string]any{"email": "new@example.org", "phone": adasPhone, "password_hash": hash(adasWord)}
	put := func() {
		t.Helper()
		require.Equal(t, 200, w.do("PUT", "/v1/users/ada", same, backend(w.key)).status)
	}
	put()
	id := w.begin(map[string]any{"level": "medium"}, w.ada())
	done := w.attempt(id, map[string]any{"strategy": "password", "password": adasWord}, w.ada())
	proof := done.json(t)["proof"]
	require.NotEmpty(t, proof)
	open := w.begin(map[string]any{"level": "medium"}, w.ada())
	fresh := func() int { return w.do("GET", "/reauthenticate", nil, w.ada()).status }

	same["name"] = "Ada"
	put()
	require.Equal(t, 200, w.do("GET", "/v1/reverifications/"+open, nil, w.ada()).status, "nothing of the kind has changed")
	require.Equal(t, 200, fresh())

	same["password_hash"] = hash("another one")
	put()
	w.refused(w.do("GET", "/v1/reverifications/"+open, nil, w.ada()), 410, "reverification_ended")
	assert.Equal(t, 403, w.use(map[string]any{"proof": proof, "operation": "profile"}).status)
	assert.Equal(t, 403, fresh())
}
