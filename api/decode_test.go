package api_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestANameThatIsGivenTwiceIsRefused: the reader that checks takes the first of
// them, the one that acts the last.
func TestANameThatIsGivenTwiceIsRefused(t *testing.T) {
	w := newPeople(t)
	id := w.begin(map[string]any{"level": "strict"}, w.ada())
	for _, tt := range []struct{ name, path, body, field string }{
		{"the same", "/v1/reverifications", `{"level":"low","level":"strict"}`, "level"},
		{"the same value", "/v1/reverifications", `{"level":"strict","level":"strict"}`, "level"},
		{"in another case", "/v1/reverifications", `{"level":"low","Level":"strict"}`, "Level"},
		{"in an escape", "/v1/reverifications", `{"level":"low","\u006cevel":"strict"}`, "level"},
		{"further in", "/v1/reverifications", `{"level":"sca","details":{"payee":"a","amount":"1.00","amount":"100.00","currency":"EUR"}}`, "details.amount"},
		{"an object", "/v1/reverifications", `{"details":{"payee":"a"},"details":null,"level":"sca"}`, "details"},
		{"in what is opaque", "/v1/reverifications/" + id + "/attempt", `{"strategy":"passkey","credential":{"x":[{"id":"a","id":"b"}]}}`, "credential.x.id"},
		{"of an attempt", "/v1/reverifications/" + id + "/attempt", `{"strategy":"password","password":"x","password":"` + adasWord + `"}`, "password"},
		{"of a factor", "/v1/factors/totp", `{"label":"a","label":"b"}`, "label"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := w.in(t)
			p := w.refused(w.do("POST", tt.path, tt.body, w.ada()), 400, "invalid_request")
			assert.Equal(t, tt.field, p["field"])
			assert.Equal(t, `"`+tt.field+`" is given twice.`, p["detail"])
		})
	}
	for path, body := range map[string]string{
		"/v1/proofs/verify": `{"proof":"x","user_id":"eve","user_id":"ada","session_id":"s1","operation":"transfer"}`,
		"/v1/sessions/end":  `{"user_id":"eve","user_id":"ada"}`,
		"/v1/authuri":       `{"user_id":"eve","user_id":"ada"}`,
	} {
		p := w.refused(w.do("POST", path, body, backend(w.key)), 400, "invalid_request")
		assert.Equal(t, "user_id", p["field"], path)
	}
	for path, body := range map[string]string{
		"/auth/v1/user/sudo":            `{"password":"x","password":"y"}`,
		"/auth/v1/verification":         `{"email":"eve@example.org","email":"ada@example.org"}`,
		"/auth/v1/verification/verify":  `{"verification_id":"a","verification_id":"b","verification_code":"123456"}`,
		"/auth/v1/user/reauthenticate?": `{"verify_opt":"email_code","captcha":1,"captcha":2}`,
	} {
		w.faulty(w.do("POST", path, body, w.vendors()), 400, "invalid_argument", 3)
	}
	w.faulty(w.do("POST", "/auth/v1/user/reauthenticate", `{"verify_opt":"email_code","verify_opt":"phone_code"}`, w.vendors()), 400, "invalid_argument", 4001)
	assert.Zero(t, w.post.sent())

	same := `{"level":"sca","details":{"payee":"level","amount":"1.00","currency":"EUR"}}`
	assert.Equal(t, 201, w.do("POST", "/v1/reverifications", same, w.ada()).status, "a value is no name, and each object has its own")
}

func TestWhatIsSentIsNamed(t *testing.T) {
	w := newPeople(t)
	for body, detail := range map[string]string{
		`{"level":{}}`:    "level is an object, not a string.",
		`{"level":[]}`:    "level is an array, not a string.",
		`{"level":true}`:  "level is a boolean, not a string.",
		`{"level":1}`:     "level is a number, not a string.",
		`{"details":"x"}`: "details is a string, not an object.",
		`{"level":"first_factor","after_minutes":"5"}`:                  "after_minutes is a string, not a whole number.",
		`{"level":"first_factor","after_minutes":1.5}`:                  "after_minutes is a number of another kind or size, not a whole number.",
		`{"level":"first_factor","after_minutes":99999999999999999999}`: "after_minutes is a number of another kind or size, not a whole number.",
	} {
		p := w.refused(w.do("POST", "/v1/reverifications", body, w.ada()), 400, "invalid_request")
		assert.Equal(t, detail, p["detail"], body)
	}
}

// TestWhatIsMissingIsNamed, before anything is looked up or counted.
func TestWhatIsMissingIsNamed(t *testing.T) {
	w := newPeople(t)
	id := "/v1/reverifications/" + w.begin(map[string]any{"level": "strict"}, w.ada())
	for _, tt := range []struct{ path, body, field string }{
		{id + "/prepare", `{}`, "strategy"},
		{id + "/prepare", `{"strategy":""}`, "strategy"},
		{id + "/attempt", `{}`, "strategy"},
		{id + "/attempt", `{"code":"123456"}`, "strategy"},
		{id + "/attempt", `{"strategy":"password"}`, "password"},
		{id + "/attempt", `{"strategy":"password","code":"123456"}`, "password"},
		{id + "/attempt", `{"strategy":"password","password":null}`, "password"},
		{id + "/attempt", `{"strategy":"email_code"}`, "code"},
		{id + "/attempt", `{"strategy":"phone_code","password":"x"}`, "code"},
		{id + "/attempt", `{"strategy":"totp"}`, "code"},
		{id + "/attempt", `{"strategy":"backup_code"}`, "code"},
		{id + "/attempt", `{"strategy":"passkey"}`, "credential"},
		{"/v1/factors/fac_1/verify", `{}`, "strategy"},
		{"/v1/factors/fac_1/verify", `{"strategy":"totp"}`, "code"},
	} {
		p := w.refused(w.do("POST", tt.path, tt.body, w.ada()), 400, "invalid_request")
		assert.Equal(t, tt.field, p["field"], "%s %s", tt.path, tt.body)
		assert.Contains(t, p["detail"], tt.field+" is missing")
	}
	for body, field := range map[string]string{
		`{"proof":"x","session_id":"s1","operation":"x"}`: "user_id",
		`{"proof":"x","user_id":"ada","operation":"x"}`:   "session_id",
		`{"proof":"x","user_id":"ada","session_id":"s1"}`: "operation",
	} {
		p := w.refused(w.do("POST", "/v1/proofs/verify", body, backend(w.key)), 400, "invalid_request")
		assert.Equal(t, field, p["field"], body)
	}
	for body, field := range map[string]string{`{}`: "verification_id", `{"verification_code":"123456"}`: "verification_id", `{"verification_id":"acme.x"}`: "verification_code"} {
		a := w.do("POST", "/auth/v1/verification/verify", body, w.vendors())
		w.faulty(a, 400, "invalid_argument", 3)
		assert.Contains(t, a.json(t)["error_description"], field+" is missing")
	}
	wrong := w.do("POST", id+"/attempt", `{"strategy":"password","password":"x"}`, w.ada())
	assert.EqualValues(t, 9, w.refused(wrong, 422, "factor_incorrect")["attempts_left"], "none of that was an answer")
}
