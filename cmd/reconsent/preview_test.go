package main

import (
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPreviewWritesEveryMailInEveryLanguage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "mails")
	out := succeeds(t, "notify", "preview", "--dir", dir)
	index, err := os.ReadFile(filepath.Join(dir, "index.html"))
	require.NoError(t, err)
	for _, lang := range []string{"en", "de", "fr", "es", "it", "nl", "pl"} {
		for _, name := range []string{"before", "less-than-a-day", "today", "stopped", "ended-early", "long-after", "window-closes", "unrenewable", "reconfirm", "several", "unknown-bank"} {
			base := filepath.Join(dir, lang, name)
			assert.Contains(t, out, base)
			assert.Contains(t, string(index), lang+"/"+name+".html")
			for _, ext := range []string{".html", ".txt"} {
				text, err := os.ReadFile(base + ext)
				require.NoError(t, err)
				assert.Contains(t, string(text), "https://consents.example/r/ledger.")
			}
			f, err := os.Open(base + ".eml")
			require.NoError(t, err)
			m, err := mail.ReadMessage(f)
			require.NoError(t, err)
			assert.Equal(t, "auto-generated", m.Header.Get("Auto-Submitted"))
			require.NoError(t, f.Close())
		}
	}
}

func TestPreviewWritesCodesAndSecurityNoticesToo(t *testing.T) {
	dir := t.TempDir()
	out := succeeds(t, "notify", "preview", "--dir", dir, "--name", "Haushaltsbuch", "--reply-to", "hilfe@haushalt.example")
	index, err := os.ReadFile(filepath.Join(dir, "index.html"))
	require.NoError(t, err)
	for _, lang := range []string{"en", "de", "fr", "es", "it", "nl", "pl"} {
		for _, name := range []string{"code", "code-operation", "code-payment", "locked", "backup-code-used", "passkey-added", "authenticator-removed", "phone-changed"} {
			base := filepath.Join(dir, lang, name)
			assert.Contains(t, out, base+".html .txt .eml .sms.txt")
			assert.Contains(t, string(index), lang+"/"+name+".html")
			for _, ext := range []string{".html", ".txt", ".sms.txt"} {
				text, err := os.ReadFile(base + ext)
				require.NoError(t, err)
				assert.Contains(t, string(text), "Haushaltsbuch")
				assert.NotContains(t, string(text), "http")
				assert.Equal(t, strings.HasPrefix(name, "code"), strings.Contains(string(text), "493027"), base+ext)
			}
			f, err := os.Open(base + ".eml")
			require.NoError(t, err)
			m, err := mail.ReadMessage(f)
			require.NoError(t, err)
			assert.Empty(t, m.Header.Get("List-Unsubscribe"))
			assert.Contains(t, m.Header.Get("Reply-To"), "hilfe@haushalt.example")
			require.NoError(t, f.Close())
		}
	}
}

func TestPreviewOfOneLanguageWithBranding(t *testing.T) {
	dir := t.TempDir()
	succeeds(t, "notify", "preview", "--dir", dir, "--language", "de-AT", "--name", "Haushaltsbuch", "--colour", "#ffe000", "--logo-url", "https://haushalt.example/logo.png", "--reply-to", "hilfe@haushalt.example")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	assert.Equal(t, []string{"de", "index.html"}, names)
	text, err := os.ReadFile(filepath.Join(dir, "de", "stopped.html"))
	require.NoError(t, err)
	for _, want := range []string{"Haushaltsbuch", "#ffe000", "https://haushalt.example/logo.png"} {
		assert.Contains(t, string(text), want)
	}
	eml, err := os.ReadFile(filepath.Join(dir, "de", "stopped.eml"))
	require.NoError(t, err)
	assert.Contains(t, string(eml), "hilfe@haushalt.example")
	r := reconsent(t, "notify", "preview")
	assert.Equal(t, exitUsage, r.code)
	assert.True(t, strings.HasPrefix(r.err, "reconsent: --dir: missing"), r.err)
}
