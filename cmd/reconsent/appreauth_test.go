package main

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const sharedSecret = "a secret of the identity provider's, and ours"

// written makes a file and returns its path.
func written(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestAppReauthShowsWhatWasSet(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		in, dir := install(t, url), t.TempDir()
		secret := written(t, dir, "secret", sharedSecret+"\n")
		assert.Contains(t, succeeds(t, in.with("app", "reauth", "acme")...), "acme has no settings of re-authentication")

		succeeds(t, in.with("app", "reauth", "acme", "--issuer", "https://id.example", "--audience", "app", "--algorithms", "HS256", "--secret-file", secret,
			"--operation", "transfer=strict", "--operation", "pay=sca", "--origin", "https://app.example.org", "--origin", "https://b.example.org",
			"--rp-id", "example.org", "--passkey-origin", "https://app.example.org", "--codes-off", "phone_code", "--trust", "auth_time,fva",
			"--max-token-age", "90m", "--sms-per-day", "20")...)
		shown(t, in, `identity.issuer +https://id.example`, `identity.jwks_url +-`, `identity.secret +set`, `identity.trust_auth_time +true`, `identity.trust_amr +false`,
			`identity.trust_fva +true`, `identity.max_token_age +1h30m`, `operations +pay=sca transfer=strict`, `codes_off +phone_code`,
			`origins +https://app.example.org https://b.example.org`, `passkeys.rp_id +example.org`, `openid.client_secret +not set`, `sms_per_day +20`)

		out := succeeds(t, in.with("app", "reauth", "acme", "--operation", "transfer=", "--operation", "delete=high", "--origin", "", "--trust", "", "--codes-off", "",
			"--jwks-url", "https://id.example/keys", "--algorithms", "RS256,ES256", "--openid-issuer", "https://id.example", "--openid-client-id", "us",
			"--openid-client-secret-file", secret)...)
		assert.Contains(t, out, "register this redirect_uri at https://id.example: http://127.0.0.1:8080/reauth/return")
		shown(t, in, `identity.audience +app`, `identity.jwks_url +https://id.example/keys`, `identity.secret +not set`, `identity.algorithms +RS256 ES256`,
			`operations +delete=high pay=sca`, `origins +-`, `codes_off +-`, `identity.trust_auth_time +false`, `openid.client_secret +set`)
	})
}

// shown says what 'app reauth' says, line by line, and no secret.
func shown(t *testing.T, in installation, lines ...string) {
	t.Helper()
	out := succeeds(t, in.with("app", "reauth", "acme")...)
	for _, line := range lines {
		assert.Regexp(t, regexp.MustCompile(`(?m)^`+line+`$`), out)
	}
	assert.NotContains(t, out, sharedSecret)
}

func TestAppReauthTakesADocument(t *testing.T) {
	in, dir := install(t, sqliteFile(t)), t.TempDir()
	written(t, dir, "secret", sharedSecret)
	yaml := written(t, dir, "reauth.yaml", `
identity:
  issuer: https://id.example
  audience: app
  algorithms: [HS256]
  secret_file: secret
  trust_amr: true
  max_token_age: 12h
operations: {transfer: strict, export.all: "second_factor:30"}
codes_off: [email_code]
sms_per_day: 7
`)
	succeeds(t, in.with("app", "reauth", "acme", "--file", yaml, "--audience", "other")...)
	shown(t, in, `identity.audience +other`, `identity.secret +set`, `identity.trust_amr +true`, `identity.max_token_age +12h`, `sms_per_day +7`,
		`operations +export.all=second_factor:30 transfer=strict`, `codes_off +email_code`)

	json := written(t, dir, "reauth.json", `{"identity": {"issuer": "https://id.example", "audience": "app", "algorithms": ["ES256"], "jwks_url": "https://id.example/keys"}}`)
	succeeds(t, in.with("app", "reauth", "acme", "--file", json)...)
	shown(t, in, `identity.secret +not set`, `operations +-`, `sms_per_day +1000 \(default\)`, `identity.max_token_age +24h \(default\)`)
}

func TestAppReauthNamesEveryFaultAtOnce(t *testing.T) {
	in, dir := install(t, sqliteFile(t)), t.TempDir()
	written(t, dir, "secret", sharedSecret)
	bad := written(t, dir, "bad.yaml", `
identity:
  issuer: 5
  audiance: app
  secret: `+sharedSecret+`
  secret_file: secret
  max_token_age: 5
operations: {a: 7}
codes_off: email_code
origins: [1]
passkeys: {rp_id: com, origins: [https://app.example.org]}
openid: {client_id: us, client_secret_file: nowhere}
sms_per_day: many
foo: {bar: 1}
`)
	for _, tt := range []struct {
		name string
		args []string
		want []string
	}{
		{"a document", []string{"--file", bad}, []string{
			"identity.issuer: want text", "identity.audiance: no such setting", "identity.secret and identity.secret_file exclude each other",
			`identity.max_token_age: want a duration, like "24h"`, "operations: a: want the name of a level", "codes_off: want a list", "origins: want a list of texts",
			`passkeys: rp_id "com"`, "openid.client_secret_file: open ", "openid: issuer is missing", "sms_per_day: want a whole number", "foo.bar: no such setting",
			"identity: an audience is required", "identity: an algorithm is required",
		}},
		{"flags", []string{
			"--issuer", "https://id.example", "--secret-file", written(t, dir, "short", "short"), "--algorithms", "RS256", "--origin", "http://app.example",
			"--operation", "transfer", "--trust", "iat", "--max-token-age", "-1h", "--sms-per-day", "-1", "--codes-off", "totp",
		}, []string{
			`--operation: "transfer": want NAME=LEVEL`, `--trust: "iat" is none of auth_time, amr, fva`, "--max-token-age: want a duration", "sms_per_day is negative",
			"identity: the secret is shorter than 32 bytes", `identity: the algorithm "RS256" is none that goes with a secret`, "is not https", `codes_off: "totp"`,
			"identity: an audience is required",
		}},
		{"a level", []string{"--operation", "transfer=stric"}, []string{`operations: transfer: "stric" is no level; use one of lax, moderate`}},
		{"a private address of keys", []string{"--jwks-url", "https://10.0.0.1/keys"}, []string{"identity: the JWKS URL may not be called"}},
		{"a document that is not there", []string{"--file", filepath.Join(dir, "none")}, []string{"no such file"}},
		{"a document that is none", []string{"--file", written(t, dir, "odd", "a: [")}, []string{"neither YAML nor JSON"}},
		{"an empty secret", []string{"--secret-file", written(t, dir, "empty", "\n")}, []string{"is empty"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := reconsent(t, in.with(append([]string{"app", "reauth", "acme"}, tt.args...)...)...)
			assert.Equal(t, exitUsage, r.code)
			for _, want := range tt.want {
				assert.Contains(t, r.err, want)
			}
			assert.Equal(t, 1, strings.Count(r.err, "\n"), r.err)
			assert.NotContains(t, r.err, sharedSecret)
		})
	}
	assert.Contains(t, succeeds(t, in.with("app", "reauth", "acme")...), "has no settings", "nothing was stored by halves")
}

// TestEverySettingOfReauthHasARow holds the table to its help: what can be shown
// can be set, by a flag or in a document.
func TestEverySettingOfReauthHasARow(t *testing.T) {
	seen := map[string]bool{}
	for _, row := range reauthSettings {
		assert.True(t, row.path != "" || row.flag != "")
		assert.Equal(t, row.flag != "", row.about != "", row.path)
		for _, name := range []string{row.path, "--" + row.flag} {
			assert.False(t, seen[name] && name != "" && name != "--", name)
			seen[name] = true
		}
	}
}

func TestSettingsOfReauthSurviveARotationOfSealingKeys(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		in, dir := install(t, url), t.TempDir()
		succeeds(t, in.with("app", "reauth", "acme", "--issuer", "https://id.example", "--audience", "app", "--algorithms", "HS256",
			"--secret-file", written(t, dir, "secret", sharedSecret))...)
		assert.Contains(t, succeeds(t, in.with("keys", "list")...), "No key signs proofs yet")
		assert.Regexp(t, `EdDSA .* - +signs\n$`, succeeds(t, in.with("keys", "rotate", "proofs")...))
		two := succeeds(t, in.with("keys", "rotate", "proofs")...)
		assert.Regexp(t, `(?s) is published, does not sign yet\n.* signs\n$`, two)
		r := reconsent(t, in.with("keys", "rotate", "proofs")...)
		assert.Equal(t, exitFailed, r.code)
		assert.Contains(t, r.err, "the next key is there already")

		rotated := succeeds(t, in.with("keys", "rotate")...)
		assert.Equal(t, two, succeeds(t, in.with("keys", "list", "--keys", rotated)...), "the keys of proofs can still be opened")
		out := succeeds(t, in.with("doctor", "--keys", rotated)...)
		assert.Contains(t, out, "ok    application acme, re-authentication: tokens of https://id.example, signed with a shared secret")
		assert.Contains(t, out, "ok    keys that sign proofs: 2, the newest signs from ")

		others := succeeds(t, "keys", "new")
		r = reconsent(t, in.with("keys", "list", "--keys", others)...)
		assert.Equal(t, exitFailed, r.code)
		assert.Contains(t, r.err, "open the key of proofs")
		r = reconsent(t, in.with("doctor", "--keys", others)...)
		assert.Contains(t, r.out, "FAIL  application acme, re-authentication: settings cannot be opened")
	})
}

// TestAppReauthOnWhatDevKeeps: the demo's own settings are none that a
// deployment takes.
func TestAppReauthOnWhatDevKeeps(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		dir := t.TempDir()
		_, r := startDev(t, dir, "--database-url", url)
		at := []string{"--dev", dir, "--database-url", url}
		with := func(args ...string) []string { return append(args, at...) }
		out := succeeds(t, with("app", "reauth", "demo")...)
		assert.Regexp(t, `(?m)^origins +http://localhost:\* http://127\.0\.0\.1:\*$`, out)
		assert.NotContains(t, out, r.UserJWTSecret)

		succeeds(t, with("app", "reauth", "demo", "--operation", "transfer=session", "--origin", "http://localhost:3000")...)
		out = succeeds(t, with("app", "reauth", "demo")...)
		assert.Regexp(t, `(?m)^operations +transfer=session$`, out)
		assert.Regexp(t, `(?m)^origins +http://localhost:3000$`, out)
		assert.Regexp(t, `(?m)^identity.secret +set$`, out)

		ask(t, http.MethodPost, r.Sandbox+"/_control/clock", "", `{"advance":"1m"}`, http.StatusOK, nil) // settings are kept for seconds
		var challenge struct{ Required struct{ Level string } }
		ask(t, http.MethodGet, r.API+"/reauthenticate?operation=transfer", tokenOf(t, r, "ada"), "", http.StatusForbidden, &challenge)
		assert.Equal(t, "session", challenge.Required.Level, "dev follows")

		doctor := reconsent(t, with("doctor")...)
		assert.NotContains(t, doctor.out, "FAIL  application demo, re-authentication", doctor.out)
		assert.Contains(t, doctor.out, "ok    application demo, re-authentication: tokens of any issuer, signed with a shared secret")

		bad := reconsent(t, with("app", "reauth", "demo", "--origin", "ftp://localhost")...)
		assert.Equal(t, exitUsage, bad.code, "what is wrong there too stays wrong")

		// Nothing but the flag loosens anything, whosever registry it is.
		memo, err := loadMemo(filepath.Join(dir, memoFile))
		require.NoError(t, err)
		keys := written(t, dir, "keys", string(memo.Keys))
		t.Setenv("RECONSENT_KEYS_FILE", keys)
		strict := reconsent(t, "app", "reauth", "demo", "--database-url", url, "--operation", "transfer=strict")
		assert.NotEqual(t, exitOK, strict.code)
		assert.Contains(t, strict.err, "identity: an audience is required")
		assert.Contains(t, reconsent(t, "doctor", "--database-url", url).out, "FAIL  application demo, re-authentication")
	})
}

func TestDevIsADirectoryOfDev(t *testing.T) {
	in := install(t, sqliteFile(t))
	dir := t.TempDir()
	for _, command := range [][]string{{"app", "reauth", "acme"}, {"doctor"}} {
		r := reconsent(t, in.with(append(command, "--dev", dir)...)...)
		assert.Equal(t, exitUsage, r.code)
		assert.Contains(t, r.err, "is no data directory of 'reconsent dev'")
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left, "none is made by looking")
}

// TestDevTakesNoOtherRegistry: what was sealed there under other keys would be
// lost.
func TestDevTakesNoOtherRegistry(t *testing.T) {
	url := sqliteFile(t)
	in, dir := install(t, url), t.TempDir()
	succeeds(t, in.with("keys", "rotate", "proofs")...)
	startDev(t, dir)
	document := written(t, dir, "loose.yaml", "identity: {algorithms: [HS256], secret: "+strings.Repeat("x", 32)+"}\n")
	for _, tt := range []struct {
		args []string
		code int
		said string
	}{
		{[]string{"--dev", dir, "--database-url", url}, exitFailed, "--dev: this registry is not what that dev keeps"},
		{[]string{"--dev", dir, "--keys", "{}"}, exitUsage, "--dev brings its own keys: leave --keys out"},
		{[]string{"--dev", ""}, exitUsage, "--dev is empty"},
	} {
		r := reconsent(t, in.with(append([]string{"app", "reauth", "acme", "--file", document}, tt.args...)...)...)
		assert.Equal(t, tt.code, r.code, r.err)
		assert.Contains(t, r.err, tt.said)
	}
	assert.Contains(t, succeeds(t, in.with("app", "reauth", "acme")...), "acme has no settings of re-authentication", "nothing was stored")
}
