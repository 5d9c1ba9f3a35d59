package api_test

import (
	"runtime"
	"strings"
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
		{"beside a name that is empty", "/v1/reverifications/" + id + "/attempt", `{"strategy":"passkey","credential":[{"":"x","id":"a","id":"b"}]}`, "credential.id"},
		{"an empty name", "/v1/reverifications/" + id + "/attempt", `{"strategy":"passkey","credential":{"":"a","x":{"":"b","":"c"}}}`, "credential.x."},
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
	w.faulty(w.do("POST", "/auth/v1/user/reauthenticate", `{"":"x","verify_opt":"phone_code","verify_opt":"email_code"}`, w.vendors()), 400, "invalid_argument", 4001)
	assert.Zero(t, w.post.sent())

	assert.Equal(t, 200, w.do("POST", "/auth/v1/user/reauthenticate", `{"":"a","b":"a","c":"a","verify_opt":"email_code"}`, w.vendors()).status, "a value is no name")
	same := `{"level":"sca","details":{"payee":"level","amount":"1.00","currency":"EUR"}}`
	assert.Equal(t, 201, w.do("POST", "/v1/reverifications", same, w.ada()).status, "a value is no name, and each object has its own")
}

// TestAFloodOfNamesTakesLittleMemory: whoever sends it needs no token.
func TestAFloodOfNamesTakesLittleMemory(t *testing.T) {
	w := newPeople(t)
	for name, body := range map[string]string{
		"deep objects":     strings.Repeat(`{"a":`, 13_000),
		"deep arrays":      strings.Repeat(`[`, 65_000),
		"deep long names":  strings.Repeat(`{"`+strings.Repeat("n", 1000)+`":`, 64),
		"a name of 60 KiB": `{"` + strings.Repeat("é", 15_000) + `":1,"` + strings.Repeat("é", 15_000) + `":2}`,
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		a := w.do("POST", "/auth/v1/verification/verify", body, w.vendors())
		runtime.ReadMemStats(&after)
		w.faulty(a, 400, "invalid_argument", 3)
		assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8<<20), name)
		assert.Less(t, len(a.body), 1000, name)
	}
	deep := `{"verify_opt":"email_code","x":` + strings.Repeat("[", 62) + strings.Repeat("]", 62) + "}"
	assert.Equal(t, 200, w.do("POST", "/auth/v1/user/reauthenticate", deep, w.vendors()).status, "as deep as may be")
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
		{id + "/attempt", `{"strategy":"passkey","credential":null}`, "credential"},
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
