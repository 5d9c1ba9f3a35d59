package provider_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/provider"
)

const hidden = "a-secret-that-is-in-no-log"

// Whatever carries a token, a code or a verifier says nothing, alone or inside
// something else, to fmt, to both of slog's handlers, and to JSON.
func TestWhatCarriesASecretPrintsAsAPlaceholder(t *testing.T) {
	grant := provider.Grant{AccessToken: hidden, RefreshToken: hidden}
	for _, v := range []any{
		grant, &grant, provider.Extension{Grant: grant}, []provider.Grant{grant}, map[string]provider.Grant{"g": grant},
		provider.ExchangeRequest{Code: hidden, Verifier: hidden}, &provider.ExchangeRequest{Code: hidden, Verifier: hidden},
		provider.ReauthRequest{RefreshToken: hidden}, provider.ExtendRequest{RefreshToken: hidden},
		provider.ReauthRequest{Inputs: map[string]string{"iban": hidden}}, provider.LinkRequest{Inputs: map[string]string{"iban": hidden}},
		struct{ Req any }{provider.ExtendRequest{RefreshToken: hidden, User: provider.Person{Email: hidden}}},
	} {
		var log bytes.Buffer
		for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
			slog.New(h).Info("said", "value", v, slog.Group("in", "value", v))
		}
		b, err := json.Marshal(v)
		require.NoError(t, err)
		for _, text := range []string{fmt.Sprint(v), fmt.Sprintf("%+v", v), fmt.Sprintf("%#v", v), fmt.Sprintf("%s %q", v, v), log.String(), string(b)} {
			assert.NotContains(t, text, hidden, "%T", v)
		}
	}
	assert.Equal(t, "grant [redacted]", fmt.Sprint(grant))
	assert.Equal(t, "grant [redacted]", grant.LogValue().String())
}

// A Config is written down sealed, so JSON has its secret; nothing else has.
func TestAConfigPrintsWithoutItsSecret(t *testing.T) {
	cfg := provider.Config{ClientID: "acme", ClientSecret: hidden, Environment: "live"}
	var log bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(h).Info("said", "config", cfg)
	}
	for _, text := range []string{fmt.Sprint(cfg), fmt.Sprintf("%+v", cfg), fmt.Sprintf("%#v", cfg), fmt.Sprintf("%v", struct{ C any }{cfg}), log.String()} {
		assert.NotContains(t, text, hidden)
		assert.Contains(t, text, "acme")
	}
	b, err := json.Marshal(cfg)
	require.NoError(t, err)
	var back provider.Config
	require.NoError(t, json.Unmarshal(b, &back))
	assert.Equal(t, cfg, back)
}

func TestAnExtensionSaysWhetherTheBankIsNeeded(t *testing.T) {
	assert.True(t, provider.Extension{URL: "https://bank.example/"}.NeedsBank())
	assert.False(t, provider.Extension{Grant: provider.Grant{AccessToken: hidden}}.NeedsBank())
}
