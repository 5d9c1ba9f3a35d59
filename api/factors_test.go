package api_test

import (
	"bytes"
	"encoding/base64"
	"image/png"
	"net/http"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/reauth/stepup"
)

// strong is ada's header with a proof that lets her change factors.
func (w *people) strong(answers ...map[string]any) http.Header {
	w.Helper()
	id := w.begin(map[string]any{"level": "strict_mfa"}, w.ada())
	var last answer
	for _, a := range append([]map[string]any{{"strategy": "password", "password": adasWord}}, answers...) {
		last = w.attempt(id, a, w.ada())
		require.Equal(w, 200, last.status, "%s", last.body)
	}
	return w.ada("Reverification-Proof", last.json(w)["proof"].(string))
}

// now is what an authenticator app shows.
func (w *people) now(secret string) string {
	w.Helper()
	code, err := totp.GenerateCode(secret, w.clock.Now())
	require.NoError(w, err)
	return code
}

// authenticator enrols an app and returns its id and secret.
func (w *people) authenticator() (id, secret string) {
	w.Helper()
	a := w.do("POST", "/v1/factors/totp", map[string]any{"label": "My phone"}, w.strong())
	require.Equal(w, 201, a.status, "%s", a.body)
	id, secret = a.json(w)["id"].(string), a.json(w)["secret"].(string)
	v := w.do("POST", "/v1/factors/"+id+"/verify", map[string]any{"strategy": "totp", "code": w.now(secret)}, w.ada())
	require.Equal(w, 200, v.status, "%s", v.body)
	assert.Equal(w, "verified", v.json(w)["status"])
	w.clock.advance(30 * time.Second) // a step counts once
	return id, secret
}

func TestAnAuthenticatorAppIsEnrolled(t *testing.T) {
	w := newPeople(t)
	empty := w.do("GET", "/v1/factors", nil, w.ada())
	require.Equal(t, 200, empty.status)
	assert.JSONEq(t, `{"factors":[]}`, string(empty.body))

	challenge := w.do("POST", "/v1/factors/totp", nil, w.ada())
	p := w.refused(challenge, 403, "reverification_required")
	assert.Equal(t, "strict_mfa", p["clerk_error"].(map[string]any)["metadata"].(map[string]any)["reverification"])

	header := w.strong()
	a := w.do("POST", "/v1/factors/totp", map[string]any{"label": "My phone"}, header)
	require.Equal(t, 201, a.status, "%s", a.body)
	m := a.json(t)
	assert.Equal(t, "unverified", m["status"])
	assert.Contains(t, m["uri"], "otpauth://totp/")
	assert.Contains(t, m["qr_svg"], "<svg")
	raw, err := base64.StdEncoding.DecodeString(m["qr_png"].(string))
	require.NoError(t, err)
	_, err = png.Decode(bytes.NewReader(raw))
	require.NoError(t, err)
	w.refused(w.do("POST", "/v1/factors/totp", nil, header), 409, "proof_used")

	id := m["id"].(string)
	bad := w.refused(w.do("POST", "/v1/factors/"+id+"/verify", map[string]any{"strategy": "totp", "code": "000000"}, w.ada()), 422, "factor_incorrect")
	assert.EqualValues(t, 9, bad["attempts_left"])
	began := w.do("POST", "/v1/reverifications", map[string]any{"level": "strict"}, w.ada()).json(t)
	assert.Equal(t, "needs_first_factor", began["status"], "it counts from its first verified use")

	v := w.do("POST", "/v1/factors/"+id+"/verify", map[string]any{"strategy": "totp", "code": w.now(m["secret"].(string))}, w.ada())
	require.Equal(t, 200, v.status, "%s", v.body)
	w.refused(w.do("POST", "/v1/factors/"+id+"/verify", map[string]any{"strategy": "totp", "code": "000000"}, w.ada()), 409, "factor_limit")
	w.refused(w.do("GET", "/v1/reverifications/"+began["id"].(string), nil, w.ada()), 410, "reverification_ended")
	listed := w.do("GET", "/v1/factors", nil, w.ada()).json(t)["factors"].([]any)
	require.Len(t, listed, 1)
	assert.Equal(t, "My phone", listed[0].(map[string]any)["label"])
	assert.NotContains(t, listed[0], "secret")
	require.Len(t, w.post.notices, 1)
	assert.Equal(t, stepup.EventFactorAdded, w.post.notices[0].Event)
}

// TestWithASecondFactorThereIsNoWayAroundIt, by any level that asks for it.
func TestWithASecondFactorThereIsNoWayAroundIt(t *testing.T) {
	w := newPeople(t)
	id, secret := w.authenticator()
	began := w.do("POST", "/v1/reverifications", map[string]any{"level": "strict"}, w.ada()).json(t)
	assert.Equal(t, "needs_second_factor", began["status"])
	assert.Equal(t, []string{"totp"}, strategies(began["second_factors"]))
	rv := began["id"].(string)
	w.refused(w.attempt(rv, map[string]any{"strategy": "password", "password": adasWord}, w.ada()), 422, "strategy_unavailable")
	w.refused(w.attempt(rv, map[string]any{"strategy": "totp", "code": "000000"}, w.ada()), 422, "factor_incorrect")
	code := w.now(secret)
	done := w.attempt(rv, map[string]any{"strategy": "totp", "code": code[:3] + " " + code[3:]}, w.ada())
	require.Equal(t, 200, done.status, "%s", done.body)
	assert.Equal(t, "complete", done.json(t)["status"])

	twice := w.begin(map[string]any{"level": "strict"}, w.ada())
	w.refused(w.attempt(twice, map[string]any{"strategy": "totp", "code": code}, w.ada()), 422, "code_expired")

	both := w.do("POST", "/v1/reverifications", map[string]any{"level": "strict_mfa"}, w.ada()).json(t)
	assert.Equal(t, "needs_first_factor", both["status"])
	half := w.attempt(both["id"].(string), map[string]any{"strategy": "password", "password": adasWord}, w.ada()).json(t)
	assert.Equal(t, "needs_second_factor", half["status"])
	assert.NotContains(t, half, "proof")

	w.clock.advance(5 * time.Minute) // a clock of five minutes off
	late := w.begin(map[string]any{"level": "strict"}, w.ada())
	stale, err := totp.GenerateCode(secret, w.clock.Now().Add(-5*time.Minute))
	require.NoError(t, err)
	w.refused(w.attempt(late, map[string]any{"strategy": "totp", "code": stale}, w.ada()), 422, "factor_incorrect")

	header := w.ada("Reverification-Proof", w.strong(map[string]any{"strategy": "totp", "code": w.now(secret)}).Get("Reverification-Proof"))
	a := w.do("DELETE", "/v1/factors/"+id, nil, header)
	require.Equal(t, 200, a.status, "%s", a.body)
	assert.JSONEq(t, `{"id":"`+id+`","removed":true}`, string(a.body))
	w.refused(w.do("DELETE", "/v1/factors/"+id, nil, header), 404, "factor_not_found")
}

func TestBackupCodes(t *testing.T) {
	w := newPeople(t)
	w.refused(w.do("POST", "/v1/factors/backup_codes", nil, w.ada()), 403, "reverification_required")
	_, secret := w.authenticator()
	a := w.do("POST", "/v1/factors/backup_codes", nil, w.strong(map[string]any{"strategy": "totp", "code": w.now(secret)}))
	require.Equal(t, 201, a.status, "%s", a.body)
	codes := a.json(t)["codes"].([]any)
	require.NotEmpty(t, codes)
	assert.EqualValues(t, len(codes), a.json(t)["left"])

	id := w.begin(map[string]any{"level": "strict"}, w.ada())
	require.Equal(t, 200, w.attempt(id, map[string]any{"strategy": "backup_code", "code": codes[0]}, w.ada()).status)
	id = w.begin(map[string]any{"level": "strict"}, w.ada())
	w.refused(w.attempt(id, map[string]any{"strategy": "backup_code", "code": codes[0]}, w.ada()), 422, "factor_incorrect")
	for _, f := range w.do("GET", "/v1/factors", nil, w.ada()).json(t)["factors"].([]any) {
		if f.(map[string]any)["type"] == "backup_codes" {
			assert.EqualValues(t, len(codes)-1, f.(map[string]any)["left"])
		}
	}

	w.clock.advance(30 * time.Second)
	again := w.do("POST", "/v1/factors/backup_codes", nil, w.strong(map[string]any{"strategy": "totp", "code": w.now(secret)}))
	require.Equal(t, 201, again.status, "%s", again.body)
	id = w.begin(map[string]any{"level": "strict"}, w.ada())
	w.refused(w.attempt(id, map[string]any{"strategy": "backup_code", "code": codes[1]}, w.ada()), 422, "factor_incorrect")
	require.Equal(t, 200, w.attempt(id, map[string]any{"strategy": "backup_code", "code": again.json(t)["codes"].([]any)[0]}, w.ada()).status)
}

// TestANumberIsEnrolled: from then on it is a second factor, and no first.
func TestANumberIsEnrolled(t *testing.T) {
	w := newPeople(t)
	a := w.do("POST", "/v1/factors/phone", nil, w.strong())
	require.Equal(t, 201, a.status, "%s", a.body)
	assert.NotContains(t, string(a.body), adasPhone)
	assert.Equal(t, adasPhone, w.message().To)
	id := a.json(t)["id"].(string)
	w.refused(w.do("POST", "/v1/factors/"+id+"/verify", map[string]any{"strategy": "phone_code", "code": wrong(w.code())}, w.ada()), 422, "factor_incorrect")
	require.Equal(t, 200, w.do("POST", "/v1/factors/"+id+"/verify", map[string]any{"strategy": "phone_code", "code": w.code()}, w.ada()).status)
	began := w.do("POST", "/v1/reverifications", map[string]any{"level": "strict_mfa"}, w.ada()).json(t)
	assert.Equal(t, []string{"password", "email_code"}, strategies(began["first_factors"]))
	assert.Equal(t, []string{"phone_code"}, strategies(began["second_factors"]))
}

func TestAPasskeyIsOffered(t *testing.T) {
	w := newPeople(t)
	a := w.do("POST", "/v1/factors/passkey", map[string]any{"label": "Laptop"}, w.strong())
	require.Equal(t, 201, a.status, "%s", a.body)
	options := a.json(t)["options"].(map[string]any)
	if inner, ok := options["publicKey"].(map[string]any); ok {
		options = inner
	}
	assert.Equal(t, "acme.example", options["rp"].(map[string]any)["id"])
	assert.NotEmpty(t, options["challenge"])
	id := a.json(t)["id"].(string)
	for _, credential := range []any{nil, map[string]any{}, "x", map[string]any{"id": "AA", "response": map[string]any{"clientDataJSON": "AA", "attestationObject": "AA"}}} {
		bad := w.do("POST", "/v1/factors/"+id+"/verify", map[string]any{"strategy": "passkey", "credential": credential}, w.ada())
		assert.Contains(t, []int{400, 422}, bad.status, "%s", bad.body)
	}
}

// TestOfTwoProofsNeitherCounts, be they the same or not.
func TestOfTwoProofsNeitherCounts(t *testing.T) {
	w := newPeople(t)
	good := w.strong()
	for _, other := range []string{good.Get("Reverification-Proof"), "x.y.z", ""} {
		two := good.Clone()
		two.Add("Reverification-Proof", other)
		w.refused(w.do("POST", "/v1/factors/totp", nil, two), 403, "reverification_required")
	}
	a := w.do("POST", "/v1/factors/totp", nil, good)
	assert.Equal(t, 201, a.status, "none of that used it up: %s", a.body)
}

// TestAProofForSomethingElseChangesNoFactor.
func TestAProofForSomethingElseChangesNoFactor(t *testing.T) {
	w := newPeople(t)
	_, secret := w.authenticator()
	w.refused(w.do("POST", "/v1/factors/passkey", nil, w.ada("Reverification-Proof", "x.y.z")), 403, "reverification_required")
	id := w.begin(map[string]any{"level": "strict_mfa", "operation": "transfer"}, w.ada())
	require.Equal(t, 200, w.attempt(id, map[string]any{"strategy": "password", "password": adasWord}, w.ada()).status)
	done := w.attempt(id, map[string]any{"strategy": "totp", "code": w.now(secret)}, w.ada())
	proof := done.json(t)["proof"].(string)
	w.refused(w.do("POST", "/v1/factors/passkey", nil, w.ada("Reverification-Proof", proof)), 403, "reverification_required")
	assert.Equal(t, 200, w.use(map[string]any{"proof": proof, "operation": "transfer"}).status, "it was not used up")
}
