package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDoctorLooksAtReauthentication(t *testing.T) {
	in, dir := install(t, sqliteFile(t)), t.TempDir()
	secret := written(t, dir, "secret", sharedSecret)
	assert.Contains(t, succeeds(t, in.with("doctor")...), "ok    application acme: no re-authentication; 'reconsent app reauth acme' sets it up")

	set := func(app string, args ...string) {
		succeeds(t, in.with(append([]string{"app", "reauth", app, "--issuer", "https://id.example", "--audience", "app"}, args...)...)...)
	}
	set("acme", "--algorithms", "HS256", "--secret-file", secret, "--rp-id", "example.org", "--passkey-origin", "https://app.example.org")
	succeeds(t, in.with("app", "create", "twin")...)
	set("twin", "--algorithms", "HS256", "--secret-file", secret, "--codes-off", "email_code")
	out := succeeds(t, in.with("doctor")...)
	for _, want := range []string{
		"ok    application acme, re-authentication: tokens of https://id.example, signed with a shared secret",
		"WARN  application acme, re-authentication: passkeys are asked for at https://app.example.org, which is not among origins",
		"WARN  application acme, re-authentication: codes by mail are on, but there is no smtp-url",
		"have the same issuer and audience: their users' calls have to name the application",
		"ok    keys that sign proofs: none yet",
	} {
		assert.Contains(t, out, want)
	}
	assert.NotContains(t, out, "application twin, re-authentication: codes by mail")
	assert.NotContains(t, out, sharedSecret)
	assert.NotContains(t, succeeds(t, in.with("doctor", "--smtp-url", "smtp://localhost?tls=none")...), "codes by mail")

	set("acme", "--openid-issuer", "https://id.invalid", "--openid-client-id", "us", "--openid-client-secret-file", secret)
	set("twin", "--algorithms", "RS256", "--jwks-url", "https://id.invalid/keys")
	r := reconsent(t, in.with("doctor")...)
	assert.Equal(t, exitFailed, r.code)
	assert.Contains(t, r.out, "FAIL  application acme, re-authentication, OpenID: redirect_uri is not an https address")
	assert.Contains(t, r.out, "FAIL  application twin, re-authentication: the keys at https://id.invalid/keys cannot be had")
	r = reconsent(t, in.with("doctor", "--base-url", "https://consents.example")...)
	assert.Contains(t, r.out, "FAIL  application acme, re-authentication, OpenID: https://id.invalid cannot be asked")
}

func TestPublishedKeysAreLookedAt(t *testing.T) {
	for _, tt := range []struct {
		name, body, fault string
		status            int
	}{
		{"keys", `{"keys": [{"kty": "OKP"}, {"kty": "EC"}]}`, "", http.StatusOK},
		{"an error", `{"keys": [{"kty": "OKP"}]}`, "answered 404", http.StatusNotFound},
		{"no key", `{"keys": []}`, "no JWK Set", http.StatusOK},
		{"a page", `<html>`, "no JWK Set", http.StatusOK},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tt.status)
				_, _ = bytes.NewBufferString(tt.body).WriteTo(w)
			}))
			defer srv.Close()
			n, err := fetchKeys(t.Context(), srv.Client(), srv.URL)
			if tt.fault != "" {
				assert.ErrorContains(t, err, tt.fault)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, 2, n)
		})
	}
}
