package api_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzCloudBaseBody sends any body to each of that client's calls: whatever it
// is, the answer is in that client's form, and never our fault.
func FuzzCloudBaseBody(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `null`, `[]`, `{"verify_opt":"email_code"}`, `{"verify_opt":7}`, `{"email":"ada@example.org"}`, `{"phone_number":"+44 7911123456","target":"ANY"}`,
		`{"verification_id":"acme.x","verification_code":"123456"}`, `{"password":"x"}`, `{"verification_token":"x"}`, "{\"password\":\"\xff\"}", `{"password":"\ud800"}`,
		`{"email":"a\u0000"}`, `{"a":{"a":{"a":[[[[]]]]}}}`,
	} {
		f.Add(seed)
	}
	w := newPeople(f)
	f.Fuzz(func(t *testing.T, body string) {
		w := w.in(t)
		for _, path := range []string{"/auth/v1/user/reauthenticate", "/auth/v1/verification", "/auth/v1/verification/verify", "/auth/v1/user/sudo"} {
			a := w.do("POST", path, body, w.vendors())
			require.Less(t, a.status, 500, "%s %s", path, a.body)
			m := a.json(t)
			if a.status == 200 {
				require.NotContains(t, m, "error")
				require.NotContains(t, m, "code")
				continue
			}
			require.Len(t, m, 3)
			require.NotEmpty(t, m["error"])
		}
	})
}

// FuzzReverificationBody sends any body to the calls of a reverification, and to
// what uses its proof up.
func FuzzReverificationBody(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `null`, `[]`, `{"level":"strict"}`, `{"level":"first_factor","after_minutes":5}`, `{"level":"sca","details":{"payee":"a","amount":"1.00","currency":"EUR"}}`,
		`{"strategy":"email_code"}`, `{"strategy":"password","password":"x"}`, `{"strategy":"passkey","credential":{"id":"AA"}}`, `{"operation":"\u0000"}`,
		`{"proof":"x.y.z","user_id":"ada","session_id":"s1","operation":"x"}`, `{"code":"1","user_id":"ada","session_id":"s1","operation":"x","idempotency_key":"k"}`,
	} {
		f.Add(seed)
	}
	w := newPeople(f)
	f.Fuzz(func(t *testing.T, body string) {
		w := w.in(t)
		w.clock.advance(1e12) // so that no limit stands before the body
		id := w.begin(map[string]any{"level": "strict"}, w.ada())
		for path, header := range map[string]bool{
			"/v1/reverifications": true, "/v1/reverifications/" + id + "/prepare": true, "/v1/reverifications/" + id + "/attempt": true,
			"/v1/factors/totp": true, "/v1/factors/phone": true, "/v1/proofs/verify": false, "/v1/sessions/end": false,
		} {
			h := w.ada("Content-Type", "application/json")
			if !header {
				h = with("Content-Type", "application/json", "Authorization", "Bearer "+w.key)
			}
			a := w.do("POST", path, body, h)
			require.Less(t, a.status, 500, "%s %s", path, a.body)
			require.NotEmpty(t, a.json(t))
		}
	})
}
