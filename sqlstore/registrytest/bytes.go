package registrytest

import (
	"bytes"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
)

var byteTests = []test{
	{"Bytes/4 KB of any bytes come back byte for byte", func(w *world) {
		raw := make([]byte, 4096)
		for i := range raw {
			raw[i] = byte(i + i/256)
		}
		a := w.begun(nil, func(a *consent.Attempt) {
			a.CallerState, a.StateHash, a.URI, a.Verifier, a.ReuseKey = raw, raw[:32], raw, raw, raw[5:]
		})
		assert.Equal(w, raw, w.lookAt(a).CallerState)
		assert.Equal(w, a, w.lookAt(a))
		c := w.stored(func(c *consent.Consent) { c.Tokens.Refresh, c.Tokens.Access = raw, bytes.Repeat(raw, 16) })
		assert.True(w, bytes.Equal(raw, c.Tokens.Refresh) && bytes.Equal(bytes.Repeat(raw, 16), c.Tokens.Access))
	}},
	{"Bytes/what is returned is the caller's own", func(w *world) {
		c := w.stored()
		clear(c.Tokens.Refresh)
		assert.Equal(w, consent.Sealed("refresh \x00\xff"), w.look(c).Tokens.Refresh)
	}},
	{"Text/of all languages, and what looks like SQL", func(w *world) {
		for _, s := range []string{"Žižkov 銀行 🏦", "'; DROP TABLE consents; --", `":name" :app ? $1 \ %_`, strings.Repeat("x", 4096), "\u200fעברית", "line\nbreak\ttab"} {
			c := w.stored(func(c *consent.Consent) {
				c.UserID, c.BankName, c.CredentialsID, c.RedirectURI = s+c.UserID, s, s+c.CredentialsID, s
			})
			assert.Equal(w, s, c.BankName)
			assert.Equal(w, []string{c.ID}, w.find(consent.Find{UserID: c.UserID, CredentialsID: c.CredentialsID}))
		}
	}},
	{"Text/that no database keeps is refused or kept, never changed", func(w *world) {
		for _, s := range []string{"nul \x00 inside", "bad \xff utf8", "half \xed\xa0\x80 pair"} {
			u := w.user()
			u.Name = s
			_, err := w.r.PutUser(w.Context(), u)
			if err == nil {
				got, err := w.r.User(w.Context(), u.ApplicationID, u.ID)
				require.NoError(w, err)
				assert.Equal(w, s, got.Name)
				continue
			}
			_, err = w.r.User(w.Context(), u.ApplicationID, u.ID)
			require.ErrorIs(w, err, consent.ErrNotFound)
			_, err = w.r.User(w.Context(), w.app.ID, s)
			require.ErrorIs(w, err, consent.ErrNotFound, "asking for what cannot be there is no fault")
			assert.Empty(w, w.find(consent.Find{UserID: s}))
		}
	}},
	{"Text/any of it may stand in an event's data", func(w *world) {
		c := w.stored()
		e := event(consent.EventReconfirmed, map[string]any{"nul \x00": "a\x00b", "bad": "x\xffy", "esc": `\u0000 "quoted" </script>`, "deep": []any{map[string]any{"k": nil}}})
		require.NoError(w, w.r.SetOutlook(w.Context(), outlook(c, e)))
		events, err := w.r.Events(w.Context(), w.app.ID, c.ID, 1, 1)
		require.NoError(w, err)
		require.Len(w, events, 1)
		assert.Equal(w, "a\x00b", events[0].Data["nul \x00"])
		assert.Equal(w, `\u0000 "quoted" </script>`, events[0].Data["esc"])
		assert.True(w, utf8.ValidString(events[0].Data["bad"].(string)))
	}},
	{"Text/lists keep their order and their words", func(w *world) {
		c := w.stored(func(c *consent.Consent) {
			c.Scopes, c.Accounts = []string{"z", "a", "offline_access"}, []string{"AAA", "aaa", "zzz"}
		})
		assert.Equal(w, []string{"z", "a", "offline_access"}, c.Scopes)
		assert.Equal(w, []string{"AAA", "aaa", "zzz"}, c.Accounts)
		assert.True(w, c.ExpiresAt.After(zero.Add(time.Hour)))
	}},
}
