package idp_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/reauth/idp"
)

func valid() *idp.Provider {
	return &idp.Provider{
		Issuer: "https://login.acme.example/realms/acme", ClientID: clientID, ClientSecret: clientSecret, RedirectURI: redirectURI,
		Scopes: []string{"openid", "profile", "urn:acme:x"}, Algorithms: []string{"EdDSA", "PS512"},
	}
}

func TestSettingsAreChecked(t *testing.T) {
	t.Parallel()
	require.NoError(t, valid().Validate(false))
	require.NoError(t, valid().Validate(true))
	for name, row := range map[string]struct {
		bend func(*idp.Provider)
		says string
	}{
		"no issuer":                 {func(p *idp.Provider) { p.Issuer = "" }, "issuer is missing"},
		"an issuer without TLS":     {func(p *idp.Provider) { p.Issuer = "http://login.acme.example" }, "issuer is not an https address"},
		"an issuer on this machine": {func(p *idp.Provider) { p.Issuer = "http://127.0.0.1:9000" }, "issuer is not an https address"},
		"an issuer with a query":    {func(p *idp.Provider) { p.Issuer += "?a" }, "issuer holds a query"},
		"an issuer with a fragment": {func(p *idp.Provider) { p.Issuer += "#" }, "issuer holds a fragment"},
		"an issuer with a password": {func(p *idp.Provider) { p.Issuer = "https://a:b@login.acme.example" }, "issuer holds a user name"},
		"an issuer without a host":  {func(p *idp.Provider) { p.Issuer = "https:///realms" }, "issuer is not an address"},
		"an issuer of another kind": {func(p *idp.Provider) { p.Issuer = "ldap://login.acme.example" }, "issuer is not an https address"},
		"no client":                 {func(p *idp.Provider) { p.ClientID = "" }, "client_id is missing"},
		"no secret":                 {func(p *idp.Provider) { p.ClientSecret = "" }, "client_secret is missing"},
		"no redirect":               {func(p *idp.Provider) { p.RedirectURI = "" }, "redirect_uri is missing"},
		"a relative redirect":       {func(p *idp.Provider) { p.RedirectURI = "/callback" }, "redirect_uri is not an address"},
		"a redirect without TLS":    {func(p *idp.Provider) { p.RedirectURI = "http://acme.example" }, "redirect_uri is not an https address"},
		"a scope that is two":       {func(p *idp.Provider) { p.Scopes = []string{"a b"} }, "is none"},
		"an empty scope":            {func(p *idp.Provider) { p.Scopes = []string{""} }, "is none"},
		"a scope that stays":        {func(p *idp.Provider) { p.Scopes = []string{"offline_access"} }, "no token is kept"},
		"too many scopes":           {func(p *idp.Provider) { p.Scopes = strings.Split(strings.Repeat("a ", 21), " ")[:21] }, "more than 20"},
		"no signature":              {func(p *idp.Provider) { p.Algorithms = []string{"none"} }, `algorithm "none"`},
		"a shared secret":           {func(p *idp.Provider) { p.Algorithms = []string{"ES256", "HS256"} }, `algorithm "HS256"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := valid()
			row.bend(p)
			err := p.Validate(false)
			require.ErrorContains(t, err, row.says)
			assert.NotContains(t, err.Error(), clientSecret)
			trip, err := newClient(t, nil).Start(t.Context(), p, "")
			if p.Issuer != "http://127.0.0.1:9000" { // development takes it
				require.ErrorIs(t, err, idp.ErrUnavailable)
			}
			assert.Zero(t, trip.URL)
		})
	}
	for _, local := range []string{"http://localhost:1", "http://127.0.0.1", "http://[::1]:80/x", "http://op.localhost"} {
		p := valid()
		p.Issuer, p.RedirectURI = local, local
		require.NoError(t, p.Validate(true), local)
		require.Error(t, p.Validate(false), local)
	}
	all := (&idp.Provider{}).Validate(false)
	for _, name := range []string{"issuer", "client_id", "client_secret", "redirect_uri"} {
		require.ErrorContains(t, all, name, "all faults at once")
	}
}

// TestSecretsPrintAsPlaceholders, however they are printed.
func TestSecretsPrintAsPlaceholders(t *testing.T) {
	t.Parallel()
	p, trip := valid(), idp.Trip{URL: "https://op.example/?nonce=NONCE", State: "STATE", Nonce: "NONCE", Verifier: "VERIFIER"}
	for _, v := range []any{p, *p, trip, &trip, []any{*p, trip}, map[string]any{"a": trip, "b": p}} {
		encoded, err := json.Marshal(v)
		require.NoError(t, err)
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "v", v)
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", v)
		printed := string(encoded) + log.String() + fmt.Sprintf("%v %+v %#v %s", v, v, v, v)
		for _, secret := range []string{clientSecret, "STATE", "NONCE", "VERIFIER"} {
			assert.NotContains(t, printed, secret)
		}
	}
}

func TestABrowserIsBound(t *testing.T) {
	t.Parallel()
	cookie, hash := idp.NewBinding()
	other, otherHash := idp.NewBinding()
	assert.Len(t, cookie, 43)
	assert.Len(t, hash, 32)
	assert.NotContains(t, string(hash), cookie)
	assert.True(t, idp.CheckBinding(cookie, hash))
	assert.True(t, idp.CheckBinding(other, otherHash))
	for _, row := range []struct {
		cookie string
		hash   []byte
	}{{other, hash}, {cookie, otherHash}, {"", hash}, {cookie, nil}, {"", nil}, {cookie[:42], hash}, {cookie + "=", hash}, {cookie, hash[:31]}, {string(hash), hash}} {
		assert.False(t, idp.CheckBinding(row.cookie, row.hash))
	}
	ofNothing := sha256.Sum256(nil)
	assert.False(t, idp.CheckBinding("", ofNothing[:]))
}
