package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestUsersBadInput is the table of what users' pages and backends send wrong,
// and the exact answer. None is a 5xx, and none proves anything.
func TestUsersBadInput(t *testing.T) {
	w := newPeople(t)
	rv := w.begin(map[string]any{"level": "strict"}, w.ada())
	begin, attempt, prepare := "/v1/reverifications", "/v1/reverifications/"+rv+"/attempt", "/v1/reverifications/"+rv+"/prepare"
	huge := strings.Repeat("x", 10_000)
	pay := func(details any) map[string]any { return map[string]any{"level": "sca", "details": details} }
	use := func(fields map[string]any) map[string]any {
		return merge(map[string]any{"user_id": "ada", "session_id": "s1", "operation": "transfer", "proof": "x.y.z"}, fields)
	}
	type row struct {
		name, method, path string
		body               any
		status             int
		code               string
	}
	users := []row{
		{"level that is none", "GET", "/reauthenticate?level=extreme", nil, 400, "level_invalid"},
		{"level in capitals", "GET", "/reauthenticate?level=STRICT", nil, 400, "level_invalid"},
		{"level of 5 KB", "GET", "/reauthenticate?level=" + huge[:5000], nil, 400, "invalid_request"},
		{"level with a NUL", "GET", "/reauthenticate?level=%00", nil, 400, "invalid_request"},
		{"level in no UTF-8", "GET", "/reauthenticate?level=%ff", nil, 400, "invalid_request"},
		{"level twice", "GET", "/reauthenticate?level=strict&level=lax", nil, 400, "invalid_request"},
		{"unknown parameter", "GET", "/reauthenticate?lvl=strict", nil, 400, "invalid_request"},
		{"minutes without factors", "GET", "/reauthenticate?after_minutes=5", nil, 400, "level_invalid"},
		{"minutes with a preset", "GET", "/reauthenticate?level=strict&after_minutes=5", nil, 400, "level_invalid"},
		{"factors without minutes", "GET", "/reauthenticate?level=second_factor", nil, 400, "level_invalid"},
		{"minutes of 0", "GET", "/reauthenticate?level=second_factor&after_minutes=0", nil, 400, "level_invalid"},
		{"minutes of 99999", "GET", "/reauthenticate?level=second_factor&after_minutes=99999", nil, 400, "level_invalid"},
		{"minutes of -1", "GET", "/reauthenticate?level=second_factor&after_minutes=-1", nil, 400, "level_invalid"},
		{"minutes of letters", "GET", "/reauthenticate?level=second_factor&after_minutes=ten", nil, 400, "level_invalid"},
		{"minutes and a half", "GET", "/reauthenticate?level=second_factor&after_minutes=1.5", nil, 400, "level_invalid"},
		{"minutes of 30 digits", "GET", "/reauthenticate?level=second_factor&after_minutes=" + strings.Repeat("9", 30), nil, 400, "level_invalid"},
		{"no minutes", "GET", "/reauthenticate?level=second_factor&after_minutes=", nil, 400, "level_invalid"},
		{"operation without a level", "GET", "/reauthenticate?operation=unheard", nil, 400, "operation_unknown"},
		{"operation of 101 bytes", "GET", "/reauthenticate?level=strict&operation=" + huge[:101], nil, 400, "invalid_request"},
		{"operation with a line in it", "GET", "/reauthenticate?level=strict&operation=a%0Ab", nil, 400, "invalid_request"},
		{"another method", "POST", "/reauthenticate", `{}`, 405, "method_not_allowed"},
		{"another method of the long address", "PUT", "/auth/v1/reauthenticate", `{}`, 405, "method_not_allowed"},
		{"a slash too many", "GET", "/reauthenticate/", nil, 404, "not_found"},

		{"begin without a body", "POST", begin, nil, 415, "unsupported_media_type"},
		{"begin with nothing", "POST", begin, `{}`, 400, "level_invalid"},
		{"begin with null", "POST", begin, `null`, 400, "level_invalid"},
		{"begin with a list", "POST", begin, `[]`, 400, "invalid_request"},
		{"begin with half a body", "POST", begin, `{"level": "str`, 400, "invalid_request"},
		{"begin with two bodies", "POST", begin, `{"level":"strict"} {}`, 400, "invalid_request"},
		{"begin with bad UTF-8", "POST", begin, "{\"operation\": \"\xff\"}", 400, "invalid_request"},
		{"begin with half a character", "POST", begin, `{"operation": "\udc00"}`, 400, "invalid_request"},
		{"begin with 100 KB", "POST", begin, `{"level": "` + strings.Repeat("x", 100_000) + `"}`, 413, "payload_too_large"},
		{"begin with an unknown field", "POST", begin, `{"level":"strict","lvl":"x"}`, 400, "invalid_request"},
		{"begin with a level that is none", "POST", begin, `{"level":"extreme"}`, 400, "level_invalid"},
		{"begin with a level that is a number", "POST", begin, `{"level":3}`, 400, "invalid_request"},
		{"begin with a level that is an object", "POST", begin, `{"level":{"level":"strict"}}`, 400, "invalid_request"},
		{"begin with minutes of text", "POST", begin, `{"level":"first_factor","after_minutes":"5"}`, 400, "invalid_request"},
		{"begin with minutes and a half", "POST", begin, `{"level":"first_factor","after_minutes":1.5}`, 400, "invalid_request"},
		{"begin with minutes of 0", "POST", begin, `{"level":"first_factor","after_minutes":0}`, 400, "level_invalid"},
		{"begin with minutes of 99999", "POST", begin, `{"level":"first_factor","after_minutes":99999}`, 400, "level_invalid"},
		{"begin with minutes of 1e30", "POST", begin, `{"level":"first_factor","after_minutes":1e30}`, 400, "invalid_request"},
		{"begin with minutes alone", "POST", begin, `{"after_minutes":5}`, 400, "level_invalid"},
		{"begin with an operation alone", "POST", begin, `{"operation":"unheard"}`, 400, "operation_unknown"},
		{"begin with an operation of 10 KB", "POST", begin, `{"level":"strict","operation":"` + huge + `"}`, 400, "invalid_request"},
		{"begin with an operation with a NUL", "POST", begin, `{"level":"strict","operation":"a\u0000"}`, 400, "invalid_request"},
		{"begin for somebody else", "POST", begin, `{"level":"strict","user_id":"eve"}`, 400, "invalid_request"},
		{"begin in another session", "POST", begin, `{"level":"strict","session_id":"s2"}`, 400, "invalid_request"},
		{"a payment without details", "POST", begin, `{"level":"sca"}`, 400, "invalid_request"},
		{"details that are text", "POST", begin, pay("12.50"), 400, "invalid_request"},
		{"details that are empty", "POST", begin, pay(map[string]any{}), 400, "invalid_request"},
		{"details without a payee", "POST", begin, pay(merge(payment, map[string]any{"payee": ""})), 400, "invalid_request"},
		{"details with an amount that is a number", "POST", begin, pay(merge(payment, map[string]any{"amount": 12.5})), 400, "invalid_request"},
		{"details with an amount that is none", "POST", begin, pay(merge(payment, map[string]any{"amount": "much"})), 400, "invalid_request"},
		{"details with an amount below nothing", "POST", begin, pay(merge(payment, map[string]any{"amount": "-1.00"})), 400, "invalid_request"},
		{"details with a currency that is none", "POST", begin, pay(merge(payment, map[string]any{"currency": "euro"})), 400, "invalid_request"},
		{"details with a payee of 10 KB", "POST", begin, pay(merge(payment, map[string]any{"payee": huge})), 400, "invalid_request"},
		{"details with a line in the payee", "POST", begin, pay(merge(payment, map[string]any{"payee": "a\nb"})), 400, "invalid_request"},
		{"details with an unknown field", "POST", begin, pay(merge(payment, map[string]any{"memo": "x"})), 400, "invalid_request"},
		{"reverifications listed", "GET", begin, nil, 405, "method_not_allowed"},
		{"unknown reverification", "GET", begin + "/rev_nobody", nil, 404, "reverification_not_found"},
		{"reverification with a NUL", "GET", begin + "/rev%00", nil, 400, "invalid_request"},
		{"reverification in no UTF-8", "GET", begin + "/%ff", nil, 400, "invalid_request"},
		{"reverification of 10 KB", "GET", begin + "/" + huge, nil, 400, "invalid_request"},
		{"reverification deleted", "DELETE", begin + "/" + rv, nil, 405, "method_not_allowed"},

		{"prepare nothing", "POST", prepare, `{}`, 400, "invalid_request"},
		{"prepare what there is not", "POST", prepare, `{"strategy":"pigeon"}`, 422, "strategy_unavailable"},
		{"prepare what the user has not", "POST", prepare, `{"strategy":"totp"}`, 422, "strategy_unavailable"},
		{"prepare what the application has not", "POST", prepare, `{"strategy":"idp"}`, 422, "strategy_unavailable"},
		{"prepare a number", "POST", prepare, `{"strategy":1}`, 400, "invalid_request"},
		{"prepare an unknown reverification", "POST", begin + "/rev_nobody/prepare", `{"strategy":"email_code"}`, 404, "reverification_not_found"},
		{"prepare with an unknown field", "POST", prepare, `{"strategy":"email_code","phone_number_id":"x"}`, 400, "invalid_request"},
		{"prepare with a page of 10 KB", "POST", prepare, `{"strategy":"email_code","return_to":"` + huge + `"}`, 400, "invalid_request"},

		{"attempt nothing", "POST", attempt, `{}`, 400, "invalid_request"},
		{"attempt without a body", "POST", attempt, nil, 415, "unsupported_media_type"},
		{"attempt what was not prepared", "POST", attempt, `{"strategy":"email_code","code":"123456"}`, 422, "not_prepared"},
		{"attempt what the user has not", "POST", attempt, `{"strategy":"passkey","credential":{}}`, 422, "strategy_unavailable"},
		{"attempt with a number as code", "POST", attempt, `{"strategy":"email_code","code":123456}`, 400, "invalid_request"},
		{"attempt with a password that is an object", "POST", attempt, `{"strategy":"password","password":{"$ne":""}}`, 400, "invalid_request"},
		{"attempt with an unknown field", "POST", attempt, `{"strategy":"password","pass":"x"}`, 400, "invalid_request"},
		{"attempt without a password", "POST", attempt, `{"strategy":"password"}`, 400, "invalid_request"},
		{"attempt with an empty password", "POST", attempt, `{"strategy":"password","password":""}`, 422, "factor_incorrect"},
		{"attempt with a password of 10 KB", "POST", attempt, `{"strategy":"password","password":"` + huge + `"}`, 422, "factor_incorrect"},
		{"attempt with a password with a NUL", "POST", attempt, `{"strategy":"password","password":"a\u0000"}`, 422, "factor_incorrect"},
		{"attempt with a password and more after it", "POST", attempt, `{"strategy":"password","password":"` + adasWord + ` "}`, 422, "factor_incorrect"},

		{"enrol what there is not", "POST", "/v1/factors/pigeon", nil, 400, "invalid_request"},
		{"enrol without a proof", "POST", "/v1/factors/totp", nil, 403, "reverification_required"},
		{"enrol backup codes alone", "POST", "/v1/factors/backup_codes", nil, 403, "reverification_required"},
		{"enrol a number that is none", "POST", "/v1/factors/phone", `{"phone":"020 7183 8750"}`, 400, "invalid_request"},
		{"enrol a number that is a number", "POST", "/v1/factors/phone", `{"phone":447911123456}`, 400, "invalid_request"},
		{"enrol with a label of 10 KB", "POST", "/v1/factors/totp", `{"label":"` + huge + `"}`, 400, "invalid_request"},
		{"enrol with a NUL in the label", "POST", "/v1/factors/totp", `{"label":"\u0000"}`, 400, "invalid_request"},
		{"enrol with an unknown field", "POST", "/v1/factors/totp", `{"secret":"JBSWY3DPEHPK3PXP"}`, 400, "invalid_request"},
		{"unknown factor removed", "DELETE", "/v1/factors/fac_nobody", nil, 404, "factor_not_found"},
		{"unknown factor verified", "POST", "/v1/factors/fac_nobody/verify", `{"strategy":"totp","code":"123456"}`, 404, "factor_not_found"},
		{"factor with a NUL", "DELETE", "/v1/factors/%00", nil, 400, "invalid_request"},
		{"factor changed", "PATCH", "/v1/factors/fac_1", `{}`, 405, "method_not_allowed"},
	}
	backends := []row{
		{"use without a body", "POST", "/v1/proofs/verify", nil, 415, "unsupported_media_type"},
		{"use nothing", "POST", "/v1/proofs/verify", use(map[string]any{"proof": ""}), 400, "invalid_request"},
		{"use two things", "POST", "/v1/proofs/verify", use(map[string]any{"code": "123456"}), 400, "invalid_request"},
		{"use for nobody", "POST", "/v1/proofs/verify", use(map[string]any{"user_id": ""}), 400, "invalid_request"},
		{"use in no session", "POST", "/v1/proofs/verify", use(map[string]any{"session_id": ""}), 400, "invalid_request"},
		{"use for nothing", "POST", "/v1/proofs/verify", use(map[string]any{"operation": ""}), 400, "invalid_request"},
		{"use for a user of 10 KB", "POST", "/v1/proofs/verify", use(map[string]any{"user_id": huge}), 400, "invalid_request"},
		{"use for a user with a NUL", "POST", "/v1/proofs/verify", use(map[string]any{"user_id": "a\x00"}), 400, "invalid_request"},
		{"use a proof that is none", "POST", "/v1/proofs/verify", use(nil), 403, "proof_invalid"},
		{"use a proof of 10 KB", "POST", "/v1/proofs/verify", use(map[string]any{"proof": huge}), 403, "proof_invalid"},
		{"use a proof that is a number", "POST", "/v1/proofs/verify", use(map[string]any{"proof": 1}), 400, "invalid_request"},
		{"use a sudo token that is none", "POST", "/v1/proofs/verify", use(map[string]any{"proof": "", "sudo_token": "x"}), 403, "proof_invalid"},
		{"use a sudo token of 10 KB", "POST", "/v1/proofs/verify", use(map[string]any{"proof": "", "sudo_token": huge}), 403, "proof_invalid"},
		{"use a code that was never sent", "POST", "/v1/proofs/verify", use(map[string]any{"proof": "", "code": "123456"}), 422, "code_expired"},
		{"use for somebody unknown", "POST", "/v1/proofs/verify", use(map[string]any{"user_id": "nobody"}), 404, "user_not_found"},
		{"use with a key of 257 bytes", "POST", "/v1/proofs/verify", use(map[string]any{"idempotency_key": huge[:257]}), 400, "invalid_request"},
		{"use with a NUL in the key", "POST", "/v1/proofs/verify", use(map[string]any{"idempotency_key": "\x00"}), 400, "invalid_request"},
		{"use with odd details", "POST", "/v1/proofs/verify", use(map[string]any{"details": map[string]any{"amount": "x"}}), 400, "invalid_request"},
		{"use with an unknown field", "POST", "/v1/proofs/verify", use(map[string]any{"token": "x"}), 400, "invalid_request"},
		{"use by another method", "GET", "/v1/proofs/verify", nil, 405, "method_not_allowed"},

		{"end nobody's session", "POST", "/v1/sessions/end", `{}`, 400, "invalid_request"},
		{"end a session of a user of numbers", "POST", "/v1/sessions/end", `{"user_id":7}`, 400, "invalid_request"},
		{"end a session with a NUL", "POST", "/v1/sessions/end", `{"user_id":"ada","session_id":"\u0000"}`, 400, "invalid_request"},
		{"end a session of 10 KB", "POST", "/v1/sessions/end", `{"user_id":"ada","session_id":"` + huge + `"}`, 400, "invalid_request"},
		{"end with an unknown field", "POST", "/v1/sessions/end", `{"user_id":"ada","sid":"s1"}`, 400, "invalid_request"},

		{"begin for nobody", "POST", begin, `{"level":"strict"}`, 400, "invalid_request"},
		{"begin for a user in no session", "POST", begin, `{"level":"strict","user_id":"ada"}`, 400, "invalid_request"},
		{"begin for somebody unknown", "POST", begin, `{"level":"strict","user_id":"nobody","session_id":"s1"}`, 404, "user_not_found"},
		{"look with an API key", "GET", begin + "/" + rv, nil, 401, "user_token_invalid"},

		{"audit of 0", "GET", "/v1/audit?limit=0", nil, 400, "invalid_request"},
		{"audit of 201", "GET", "/v1/audit?limit=201", nil, 400, "invalid_request"},
		{"audit since yesterday, in words", "GET", "/v1/audit?since=yesterday", nil, 400, "invalid_request"},
		{"audit until a day", "GET", "/v1/audit?until=2026-03-02", nil, 400, "invalid_request"},
		{"audit of an action that is none", "GET", "/v1/audit?action=%00", nil, 400, "invalid_request"},
		{"audit with an unknown parameter", "GET", "/v1/audit?session=s1", nil, 400, "invalid_request"},
		{"audit with two users", "GET", "/v1/audit?user_id=a&user_id=b", nil, 400, "invalid_request"},
		{"audit of the year 9999", "GET", "/v1/audit?since=9999-12-31T23:59:59-23:00", nil, 200, ""},
		{"audit of the year 0", "GET", "/v1/audit?since=0000-01-01T00:00:00%2B23:59", nil, 200, ""},
		{"audit of an action that is misspelt", "GET", "/v1/audit?action=proof.use", nil, 400, "invalid_request"},
		{"audit of an action in capitals", "GET", "/v1/audit?action=PROOF.USED", nil, 400, "invalid_request"},
		{"audit of no action", "GET", "/v1/audit?action=", nil, 400, "invalid_request"},
		{"audit from a cursor that was made up", "GET", "/v1/audit?cursor=%F4%8F%BF%BFx", nil, 400, "invalid_request"},
		{"audit from a cursor of nothing", "GET", "/v1/audit?cursor=", nil, 400, "invalid_request"},
		{"audit from a cursor of 10 KB", "GET", "/v1/audit?cursor=" + huge, nil, 400, "invalid_request"},
		{"audit from a cursor that looks like one", "GET", "/v1/audit?cursor=000000000000", nil, 400, "invalid_request"},
	}
	run := func(rows []row, header http.Header) {
		for _, tt := range rows {
			t.Run(tt.name, func(t *testing.T) {
				w := w.in(t)
				a := w.do(tt.method, tt.path, tt.body, header)
				if tt.status == 200 {
					require.Equal(t, 200, a.status, "%s", a.body)
					return
				}
				w.refused(a, tt.status, tt.code)
			})
		}
	}
	run(users, w.ada())
	run(backends, backend(w.key))
	seen := w.do("GET", "/v1/reverifications/"+rv, nil, w.ada()).json(t)
	require.Equal(t, "needs_first_factor", seen["status"], "none of it proved anything")
}
