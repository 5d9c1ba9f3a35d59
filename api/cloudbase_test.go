package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/stepup"
)

// faultCodes are the numbers of CloudBase's errors.
var faultCodes = map[string]int{"not_found": 5, "unauthenticated": 16, "invalid_argument": 3, "permission_denied": 7, "unavailable": 14}

// faulty asserts an error in CloudBase's envelope, and nothing beside it.
func (w *people) faulty(a answer, status int, name string, code int) {
	w.Helper()
	require.Equal(w, status, a.status, "%s", a.body)
	require.Equal(w, "application/json; charset=utf-8", a.header.Get("Content-Type"))
	require.Equal(w, "no-store", a.header.Get("Cache-Control"))
	f := a.json(w)
	require.Len(w, f, 3, "%s", a.body)
	require.Equal(w, name, f["error"], "%s", a.body)
	require.EqualValues(w, code, f["error_code"], "%s", a.body)
	require.NotEmpty(w, f["error_description"])
}

// vendors is a header as that vendor's client sends it.
func (w *people) vendors() http.Header {
	w.Helper()
	return w.ada("Content-Type", "text/plain;charset=UTF-8", "X-Device-Id", "device-1", "X-Request-Id", "r1", "X-Sdk-Version", "3.3.3")
}

// granted asserts a success that the client takes for one.
func (w *people) granted(a answer) map[string]any {
	w.Helper()
	require.Equal(w, 200, a.status, "%s", a.body)
	require.Equal(w, "application/json; charset=utf-8", a.header.Get("Content-Type"))
	m := a.json(w)
	require.NotContains(w, m, "code")
	require.NotContains(w, m, "error")
	return m
}

// TestCloudBasesChain walks all of it in the shapes of that client.
func TestCloudBasesChain(t *testing.T) {
	w := newPeople(t)
	h := w.vendors()
	sent := w.granted(w.do("POST", "/auth/v1/verification?client_id=acme", `{"email":"ada@example.org","target":"CUR_USER","usage":"reauthentication"}`, h))
	assert.Len(t, sent, 2)
	assert.EqualValues(t, 300, sent["expires_in"])
	id := sent["verification_id"].(string)
	assert.GreaterOrEqual(t, len(strings.TrimPrefix(id, "acme.")), 22, "128 bits")
	assert.Regexp(t, `^[0-9]{6}$`, w.code())

	unsigned := h.Clone()
	unsigned.Del("Authorization")
	passed := w.granted(w.do("POST", "/auth/v1/verification/verify?client_id=acme", `{"verification_id":"`+id+`","verification_code":"`+w.code()+`"}`, unsigned))
	assert.Len(t, passed, 2)
	assert.EqualValues(t, 600, passed["expires_in"])

	sudo := w.granted(w.do("POST", "/auth/v1/user/sudo", map[string]any{"verification_token": passed["verification_token"]}, h))
	assert.Len(t, sudo, 2)
	assert.EqualValues(t, 900, sudo["expires_in"])
	w.faulty(w.do("POST", "/auth/v1/user/sudo", map[string]any{"verification_token": passed["verification_token"]}, h), 403, "permission_denied", 7)

	use := map[string]any{"sudo_token": sudo["sudo_token"], "operation": "delete_account"}
	a := w.use(use)
	require.Equal(t, 200, a.status, "%s", a.body)
	assert.Equal(t, true, a.json(t)["valid"])
	assert.Equal(t, "medium", a.json(t)["level"])
	assert.Equal(t, []any{"otp"}, a.json(t)["amr"])
	w.refused(w.use(use), 409, "proof_used")

	byPassword := w.granted(w.do("POST", "/auth/v1/user/sudo", `{"password":"`+adasWord+`"}`, h))
	assert.EqualValues(t, 900, byPassword["expires_in"])
	w.clock.advance(15 * time.Minute)
	w.refused(w.use(map[string]any{"sudo_token": byPassword["sudo_token"], "operation": "delete_account"}), 403, "proof_invalid")
}

// TestABackendHoldsACodeToItsDevice, where it says which device it is.
func TestABackendHoldsACodeToItsDevice(t *testing.T) {
	w := newPeople(t)
	send := func(header http.Header) map[string]any {
		require.Equal(t, 200, w.do("POST", "/auth/v1/user/reauthenticate", `{"verify_opt":"email_code"}`, header).status)
		code := w.code()
		w.clock.advance(time.Minute)
		return map[string]any{"code": code, "operation": "change_password"}
	}
	sudo := func(header http.Header) map[string]any {
		m := w.granted(w.do("POST", "/auth/v1/user/sudo", `{"password":"`+adasWord+`"}`, header))
		return map[string]any{"sudo_token": m["sudo_token"], "operation": "change_password"}
	}
	on := func(use map[string]any, device any) answer {
		return w.use(merge(use, map[string]any{"device_id": device}))
	}
	for name, make := range map[string]func(http.Header) map[string]any{"code": send, "sudo token": sudo} {
		t.Run(name, func(t *testing.T) {
			w := w.in(t)
			use := make(w.vendors()) // on device-1
			for range 6 {
				w.refused(on(use, "device-2"), 403, "proof_mismatch")
			}
			passed := backend(w.key)
			passed.Set("X-Device-Id", "device-2")
			w.refused(w.do("POST", "/v1/proofs/verify", merge(use, map[string]any{"user_id": "ada", "session_id": "s1"}), passed), 403, "proof_mismatch")
			assert.Equal(t, 200, on(use, "device-1").status, "none of that used it up, or took a try")
			use = make(w.vendors())
			assert.Equal(t, 200, w.use(use).status, "a backend that does not know is not asked")
			use = make(w.ada())
			assert.Equal(t, 200, on(use, "device-2").status, "bound to none")
		})
	}
	proof := map[string]any{"proof": w.proven(map[string]any{"operation": "transfer"}, w.ada("X-Device-Id", "device-1")), "operation": "transfer"}
	for _, bad := range []string{strings.Repeat("x", 257), "a\x00"} {
		assert.Equal(t, "device_id", w.refused(on(proof, bad), 400, "invalid_request")["field"])
	}
	assert.Equal(t, 200, on(proof, "device-2").status, "a proof is bound to none")
	lines := w.do("GET", "/v1/audit?action=denied&limit=1", nil, backend(w.key)).json(t)["audit"].([]any)
	line := lines[0].(map[string]any)
	assert.Equal(t, "other_device", line["reason"])
	assert.Equal(t, "device-2", line["device_id"])
}

func TestCloudBasesCode(t *testing.T) {
	w := newPeople(t)
	for _, by := range [][2]string{{"email_code", adasMail}, {"phone_code", adasPhone}} {
		opt, to := by[0], by[1]
		a := w.do("POST", "/auth/v1/user/reauthenticate?client_id=acme", `{"verify_opt":"`+opt+`"}`, w.vendors())
		require.Equal(t, 200, a.status, "%s", a.body)
		assert.Equal(t, "{}", string(a.body))
		assert.Equal(t, to, w.message().To)
		assert.Equal(t, w.clock.Now().Add(5*time.Minute), w.message().ExpiresAt)

		again := w.do("POST", "/auth/v1/user/reauthenticate", `{"verify_opt":"`+opt+`"}`, w.vendors())
		w.faulty(again, 429, "resource_exhausted", 8)
		assert.Equal(t, "60", again.header.Get("Retry-After"))
		w.clock.advance(59 * time.Second)
		w.faulty(w.do("POST", "/auth/v1/user/reauthenticate", `{"verify_opt":"`+opt+`"}`, w.vendors()), 429, "resource_exhausted", 8)
		w.clock.advance(time.Second)
	}
	code := w.code()
	w.clock.advance(3 * time.Minute)
	a := w.use(map[string]any{"code": " " + code[:3] + " " + code[3:], "operation": "change_password"})
	require.Equal(t, 200, a.status, "%s", a.body)
	assert.Equal(t, []any{"sms", "otp"}, a.json(t)["amr"])

	w.clock.advance(time.Hour)
	require.Equal(t, 200, w.do("POST", "/auth/v1/user/reauthenticate", `{"verify_opt":"email_code"}`, w.vendors()).status)
	w.clock.advance(5 * time.Minute)
	w.refused(w.use(map[string]any{"code": w.code(), "operation": "change_password"}), 422, "code_expired")
}

// TestABadWayIsJudgedBeforeAnyLimit: 4001 comes also where nothing could be
// sent, and nothing at all may be sent any more.
func TestABadWayIsJudgedBeforeAnyLimit(t *testing.T) {
	w := newPeople(t)
	bad := []any{`{"verify_opt":"fax"}`, `{"verify_opt":""}`, `{"verify_opt":7}`, `{"verify_opt":null}`, `{}`, ``, `{"verify_opt":"EMAIL_CODE"}`, `{"verify_opt":"password"}`}
	all := func() {
		t.Helper()
		for _, body := range bad {
			w.faulty(w.do("POST", "/auth/v1/user/reauthenticate", body, w.vendors()), 400, "invalid_argument", 4001)
		}
	}
	all()
	for range 5 {
		require.Equal(t, 200, w.do("POST", "/auth/v1/user/reauthenticate", `{"verify_opt":"email_code"}`, w.vendors()).status)
		w.clock.advance(time.Minute)
	}
	w.faulty(w.do("POST", "/auth/v1/user/reauthenticate", `{"verify_opt":"email_code"}`, w.vendors()), 429, "resource_exhausted", 8)
	all()
	for range 10 {
		w.do("POST", "/auth/v1/user/sudo", `{"password":"wrong"}`, w.vendors())
	}
	all()
	w.faulty(w.do("POST", "/auth/v1/user/reauthenticate", `{"verify_opt":"fax"}`, http.Header{}), 401, "unauthenticated", 16)
}

func TestCloudBasesWrongAnswers(t *testing.T) {
	w := newPeople(t)
	h := w.vendors()
	w.faulty(w.do("POST", "/auth/v1/user/sudo", `{"password":"wrong"}`, h), 422, "invalid_password", 4001)
	w.faulty(w.do("POST", "/auth/v1/user/sudo", `{"verification_token":"made up"}`, h), 403, "permission_denied", 7)
	for _, body := range []string{`{}`, `{"password":""}`, `{"password":"a","verification_token":"b"}`, `{"password":7}`, `[]`, `null`, `{"password":"`} {
		w.faulty(w.do("POST", "/auth/v1/user/sudo", body, h), 400, "invalid_argument", 3)
	}

	id := w.granted(w.do("POST", "/auth/v1/verification", map[string]any{"email": adasMail}, h))["verification_id"]
	code := w.code()
	answer := func(typed string) answer {
		return w.do("POST", "/auth/v1/verification/verify", map[string]any{"verification_id": id, "verification_code": typed}, with("X-Device-Id", "device-1"))
	}
	for range 4 {
		w.faulty(answer(wrong(code)), 422, "invalid_verification_code", 3)
	}
	w.faulty(w.do("POST", "/auth/v1/verification/verify", map[string]any{"verification_id": id, "verification_code": code}, with("X-Device-Id", "device-2")), 403, "permission_denied", 7)
	sixth := answer(code)
	w.faulty(sixth, 429, "resource_exhausted", 8)
	assert.Equal(t, "300", sixth.header.Get("Retry-After"), "five tries are taken, right or wrong")

	for _, made := range []string{"acme.none", "none", "", "nobody.x", strings.Repeat("x", 200)} {
		a := w.do("POST", "/auth/v1/verification/verify", map[string]any{"verification_id": made, "verification_code": code}, http.Header{})
		w.faulty(a, 422, "invalid_verification_code", 3)
	}
}

// TestAnAddressThatIsNotTheCallersGetsTheSameAnswer: in status, headers, shape,
// and in what later answers look like.
func TestAnAddressThatIsNotTheCallersGetsTheSameAnswer(t *testing.T) {
	w := newPeople(t)
	send := func(body map[string]any) answer {
		t.Helper()
		a := w.do("POST", "/auth/v1/verification", body, w.vendors())
		w.clock.advance(time.Minute)
		return a
	}
	bound, other := send(map[string]any{"email": adasMail}), send(map[string]any{"email": "eve@example.org"})
	phone := send(map[string]any{"phone_number": "+86 13800000000"})
	assert.Equal(t, 1, w.post.sent())
	sent := w.granted(bound)
	for _, a := range []answer{other, phone} {
		hollow := w.granted(a)
		assert.Equal(t, sent["expires_in"], hollow["expires_in"])
		assert.Len(t, hollow, len(sent))
		assert.Len(t, hollow["verification_id"], len(sent["verification_id"].(string)))
		assert.Len(t, a.header, len(bound.header))
		w.faulty(w.do("POST", "/auth/v1/verification/verify", map[string]any{"verification_id": hollow["verification_id"], "verification_code": "123456"}, with("X-Device-Id", "device-1")),
			422, "invalid_verification_code", 3)
	}
	soon := w.do("POST", "/auth/v1/verification", map[string]any{"email": "eve@example.org"}, w.vendors())
	require.Equal(t, 200, soon.status)
	w.faulty(w.do("POST", "/auth/v1/verification", map[string]any{"email": "eve@example.org"}, w.vendors()), 429, "resource_exhausted", 8)
}

func TestAPhoneNumberAsThatClientWritesIt(t *testing.T) {
	w := newPeople(t)
	require.Equal(t, 200, w.do("PUT", "/v1/users/ada", map[string]any{"phone": "+8613800138000"}, backend(w.key)).status)
	w.granted(w.do("POST", "/auth/v1/verification", map[string]any{"phone_number": "+86 13800138000"}, w.vendors()))
	assert.Equal(t, "+8613800138000", w.message().To)
	w.clock.advance(time.Minute)
	w.granted(w.do("POST", "/auth/v1/verification", map[string]any{"phone_number": "+8613800138000"}, w.vendors()))
	assert.Equal(t, 2, w.post.sent())
}

func TestWithNothingBoundThereIsNothingToSend(t *testing.T) {
	w := newPeople(t)
	require.Equal(t, 200, w.do("PUT", "/v1/users/ada", map[string]any{"name": "Ada"}, backend(w.key)).status)
	none := w.do("POST", "/auth/v1/user/reauthenticate", `{"verify_opt":"phone_code"}`, w.vendors())
	w.faulty(none, 422, "failed_precondition", 9)
	assert.Contains(t, none.json(t)["error_description"], "No address is known")
	w.granted(w.do("POST", "/auth/v1/verification", map[string]any{"email": adasMail}, w.vendors()))
	assert.Zero(t, w.post.sent())

	w.person(w.key, "ada")
	w.settings(&w.acme, func(s *stepup.Settings) { s.CodesOff = []reauth.Factor{reauth.EmailCode} })
	off := w.do("POST", "/auth/v1/user/reauthenticate", `{"verify_opt":"email_code"}`, w.vendors())
	w.faulty(off, 422, "failed_precondition", 9)
	assert.Equal(t, "The application has codes by email_code turned off.", off.json(t)["error_description"], "there is an address")
}

// TestEveryErrorBelowTheirPathIsInTheirForm, from wherever it comes.
func TestEveryErrorBelowTheirPathIsInTheirForm(t *testing.T) {
	w := newPeople(t)
	h := w.vendors()
	big := `{"password":"` + strings.Repeat("x", 64<<10) + `"}`
	for _, tt := range []struct {
		name, method, path string
		body               any
		header             http.Header
		status             int
		fault              string
		code               int
	}{
		{"no such address", "POST", "/auth/v1/signin", `{}`, h, 404, "not_found", 5},
		{"no such address, to a person", "GET", "/auth/v1/nothing", nil, with("Accept", "text/html"), 404, "not_found", 5},
		{"the path itself", "GET", "/auth/v1", nil, h, 404, "not_found", 5},
		{"the path itself, with its slash", "GET", "/auth/v1/", nil, h, 404, "not_found", 5},
		{"two slashes", "POST", "/auth/v1//user/sudo", `{}`, h, 404, "not_found", 5},
		{"a slash behind", "POST", "/auth/v1/user/sudo/", `{}`, h, 404, "not_found", 5},
		{"a way around", "POST", "/auth/v1/user/../user/sudo", `{}`, h, 404, "not_found", 5},
		{"in capitals", "POST", "/auth/v1/User/Sudo", `{}`, h, 404, "not_found", 5},
		{"another method", "GET", "/auth/v1/user/sudo", nil, h, 405, "unimplemented", 12},
		{"another method of the other", "DELETE", "/auth/v1/verification", nil, h, 405, "unimplemented", 12},
		{"no token", "POST", "/auth/v1/verification", `{}`, http.Header{}, 401, "unauthenticated", 16},
		{"a body of more than 64 KiB", "POST", "/auth/v1/user/sudo", big, h, 413, "invalid_argument", 3},
		{"the same without a token", "POST", "/auth/v1/verification/verify", big, with("Content-Type", "text/plain"), 413, "invalid_argument", 3},
		{"a form", "POST", "/auth/v1/user/sudo", `password=x`, w.ada("Content-Type", "application/x-www-form-urlencoded"), 415, "invalid_argument", 3},
		{"a media type that is none", "POST", "/auth/v1/user/sudo", `{}`, w.ada("Content-Type", "json;;"), 415, "invalid_argument", 3},
		{"bad UTF-8", "POST", "/auth/v1/user/sudo", "{\"password\":\"\xff\"}", h, 400, "invalid_argument", 3},
		{"half a character", "POST", "/auth/v1/user/sudo", `{"password":"\ud800"}`, h, 400, "invalid_argument", 3},
		{"two bodies", "POST", "/auth/v1/user/sudo", `{"password":"a"} {}`, h, 400, "invalid_argument", 3},
		{"no JSON", "POST", "/auth/v1/user/sudo", `password=x`, h, 400, "invalid_argument", 3},
		{"no address", "POST", "/auth/v1/verification", `{}`, h, 400, "invalid_argument", 3},
		{"two addresses", "POST", "/auth/v1/verification", `{"email":"a@b.example","phone_number":"+447911123456"}`, h, 400, "invalid_argument", 3},
		{"an address of 1 KB", "POST", "/auth/v1/verification", `{"email":"` + strings.Repeat("a", 1000) + `@b.example"}`, h, 400, "invalid_argument", 3},
		{"an address with a NUL", "POST", "/auth/v1/verification", `{"email":"a\u0000@b.example"}`, h, 400, "invalid_argument", 3},
		{"an address of numbers", "POST", "/auth/v1/verification", `{"email":1}`, h, 400, "invalid_argument", 3},
		{"an id of numbers", "POST", "/auth/v1/verification/verify", `{"verification_id":1}`, with("Content-Type", "text/plain"), 400, "invalid_argument", 3},
		{"an id with a NUL", "POST", "/auth/v1/verification/verify", `{"verification_id":"acme.\u0000"}`, with("Content-Type", "text/plain"), 400, "invalid_argument", 3},
		{"a device that is none", "POST", "/auth/v1/user/sudo", `{"password":"x"}`, w.ada("X-Device-Id", strings.Repeat("x", 300)), 400, "invalid_argument", 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := w.in(t)
			w.faulty(w.do(tt.method, tt.path, tt.body, tt.header), tt.status, tt.fault, tt.code)
		})
	}
	w.post.panics = true
	w.faulty(w.do("POST", "/auth/v1/user/reauthenticate", `{"verify_opt":"email_code"}`, h), 500, "internal", 13)
}

// TestPlainTextIsJSONBelowTheirPathOnly.
func TestPlainTextIsJSONBelowTheirPathOnly(t *testing.T) {
	w := newPeople(t)
	for _, ct := range []string{"text/plain;charset=UTF-8", "text/plain", "Text/Plain; charset=utf-8", "application/json", "application/json;charset=UTF-8", ""} {
		a := w.do("POST", "/auth/v1/user/sudo", `{"password":"`+adasWord+`","captcha_token":"of the vendor's own"}`, w.ada("Content-Type", ct))
		assert.Equal(t, 200, a.status, "%q %s", ct, a.body)
	}
	for _, path := range []string{"/v1/reverifications", "/v1/reverifications/rev_1/attempt", "/v1/reverifications/rev_1/prepare", "/v1/factors/totp", "/v1/factors/fac_1/verify"} {
		w.refused(w.do("POST", path, `{"level":"strict"}`, w.ada("Content-Type", "text/plain")), 415, "unsupported_media_type")
	}
	for _, path := range []string{"/v1/proofs/verify", "/v1/sessions/end"} {
		w.refused(w.do("POST", path, `{}`, with("Authorization", "Bearer "+w.key, "Content-Type", "text/plain")), 415, "unsupported_media_type")
	}
}

// TestAVerificationEndsWithItsSession: what it becomes is good for the session
// that asked, and for no other.
func TestAVerificationEndsWithItsSession(t *testing.T) {
	w := newPeople(t)
	id := w.granted(w.do("POST", "/auth/v1/verification", map[string]any{"email": adasMail}, w.ada()))["verification_id"]
	code := w.code()
	require.Equal(t, 200, w.do("POST", "/v1/sessions/end", map[string]any{"user_id": "ada", "session_id": "s1"}, backend(w.key)).status)
	w.faulty(w.do("POST", "/auth/v1/verification/verify", map[string]any{"verification_id": id, "verification_code": code}, http.Header{}), 422, "invalid_verification_code", 3)

	sudo := w.granted(w.do("POST", "/auth/v1/user/sudo", map[string]any{"password": adasWord}, w.as(jwt.MapClaims{"sid": "s2"})))["sudo_token"]
	w.refused(w.use(map[string]any{"sudo_token": sudo, "operation": "x"}), 403, "proof_invalid")
}
