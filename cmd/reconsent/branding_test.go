package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/sqlstore"
)

func TestBrandingIsSetChangedAndTakenBack(t *testing.T) {
	database := sqliteFile(t)
	in := install(t, database)
	stored := func() consent.Branding {
		s, err := sqlstore.Open(t.Context(), database)
		require.NoError(t, err)
		app, err := s.ApplicationBySlug(t.Context(), "ledger")
		require.NoError(t, err)
		require.NoError(t, s.Close())
		return app.Branding
	}
	succeeds(t, in.with("app", "create", "ledger", "--colour", "#0b6e4f", "--logo-url", "https://ledger.example/logo.png?v=2", "--reply-to", "help@ledger.example")...)
	assert.Equal(t, consent.Branding{Colour: "#0b6e4f", LogoURL: "https://ledger.example/logo.png?v=2", ReplyTo: "help@ledger.example"}, stored())
	succeeds(t, in.with("app", "set", "ledger", "--colour", "#FFE000")...)
	assert.Equal(t, consent.Branding{Colour: "#FFE000", LogoURL: "https://ledger.example/logo.png?v=2", ReplyTo: "help@ledger.example"}, stored(), "the rest is left")
	succeeds(t, in.with("app", "set", "ledger", "--logo-url", "", "--reply-to", "")...)
	assert.Equal(t, consent.Branding{Colour: "#FFE000"}, stored())
	for flag, bad := range map[string][]string{
		"--colour":   {"red", "#fff", "0b6e4f", "#0b6e4f;", "#0b6e4f\n"},
		"--logo-url": {"http://ledger.example/logo.png", "//ledger.example/logo.png", "javascript:alert(1)", "data:image/png;base64,AAAA", "https://", "https://a@ledger.example/x", "https://ledger.example/\r\nx", "https://ledger.example/" + strings.Repeat("x", 2000)},
		"--reply-to": {"nobody", "Ada <ada@example.org>", "zoë@example.org", "a@example.org, b@example.org", "a@example.org\r\nBcc: b@example.org", strings.Repeat("x", 300) + "@example.org"},
	} {
		for _, value := range bad {
			for _, command := range [][]string{{"app", "set", "ledger"}, {"app", "create", "another"}} {
				r := reconsent(t, in.with(append(command, flag, value)...)...)
				assert.Equal(t, exitUsage, r.code, "%s %q", flag, value)
				assert.Contains(t, r.err, map[string]string{"--colour": "want #rrggbb", "--logo-url": "want an https address", "--reply-to": "want a single address"}[flag], "%q", value)
				assert.Equal(t, 1, strings.Count(r.err, "\n"), r.err)
			}
		}
	}
	assert.Equal(t, consent.Branding{Colour: "#FFE000"}, stored())
}
