package registrytest

import (
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
)

func ids(cs []consent.Consent) []string {
	out := make([]string, len(cs))
	for i := range cs {
		out[i] = cs[i].ID
	}
	return out
}

func (w *world) find(f consent.Find) []string {
	w.Helper()
	found, err := w.r.FindConsents(w.Context(), w.app.ID, f)
	require.NoError(w, err)
	return ids(found)
}

var consentTests = []test{
	{"Register/reads back as written", func(w *world) {
		c := w.consent()
		reg := w.registration(c)
		reg.Events = []consent.Event{
			{ID: name("evt"), Type: consent.EventLinked, At: at(time.Second), Data: map[string]any{"n": 1.5, "s": "ü", "nested": map[string]any{"list": []any{"a", nil, true}}}},
			{ID: name("evt"), Type: consent.EventLapsing, At: at(time.Minute), Stage: "before_30d", Data: map[string]any{"skipped": true}},
		}
		added, err := w.r.Register(w.Context(), w.app.ID, []consent.Registration{reg})
		require.NoError(w, err)
		require.Equal(w, []bool{true}, added)
		c.Seq = 2
		assert.Equal(w, c, w.look(c))
		events, err := w.r.Events(w.Context(), w.app.ID, c.ID, 0, 100)
		require.NoError(w, err)
		for i := range reg.Events {
			reg.Events[i].ApplicationID, reg.Events[i].ConsentID, reg.Events[i].Seq, reg.Events[i].Cycle = w.app.ID, c.ID, int64(i)+1, 1
		}
		assert.Equal(w, reg.Events, events)
	}},
	{"Register/reads back as written, all empty", func(w *world) {
		c := consent.Consent{
			ApplicationID: w.app.ID, ID: name("con"), UserID: "u", Provider: "p", CredentialsID: "c", Cycle: 1,
			Custody: consent.CustodyBackend, CreatedAt: at(0), ConsentedAt: at(0), ExpirySource: consent.FromNobody,
		}
		_, err := w.r.Register(w.Context(), w.app.ID, []consent.Registration{{Consent: c, Contact: consent.User{ApplicationID: w.app.ID, ID: "u", CreatedAt: zero, UpdatedAt: zero}}})
		require.NoError(w, err)
		got := w.look(c)
		assert.Empty(w, got.Scopes)
		assert.Empty(w, got.Accounts)
		got.Scopes, got.Accounts = nil, nil
		assert.Equal(w, c, got)
		assert.Empty(w, w.history(c))
	}},
	{"Register/nothing at all", func(w *world) {
		added, err := w.r.Register(w.Context(), w.app.ID, nil)
		require.NoError(w, err)
		assert.Empty(w, added)
	}},
	{"Register/twice changes nothing", func(w *world) {
		var regs, again []consent.Registration
		for range 3 {
			c := w.consent()
			regs = append(regs, w.registration(c))
			c.ID = name("con") // an import makes new ids each time
			c.BankName, c.Tokens.Refresh = "Changed", consent.Sealed("changed")
			other := w.registration(c)
			other.Contact.Email = "changed@example.org"
			again = append(again, other)
		}
		fresh := w.registration(w.consent())
		again = append(again, fresh)
		added, err := w.r.Register(w.Context(), w.app.ID, regs)
		require.NoError(w, err)
		require.Equal(w, []bool{true, true, true}, added)
		var before []consent.Consent
		for _, r := range regs {
			before = append(before, w.look(r.Consent))
		}
		added, err = w.r.Register(w.Context(), w.app.ID, again)
		require.NoError(w, err)
		require.Equal(w, []bool{false, false, false, true}, added)
		for i, r := range regs {
			assert.Equal(w, before[i], w.look(r.Consent))
			assert.Len(w, w.history(r.Consent), 1)
			_, err := w.r.Consent(w.Context(), w.app.ID, again[i].Consent.ID)
			require.ErrorIs(w, err, consent.ErrNotFound)
			assert.Equal(w, []string{r.Consent.ID}, w.find(consent.Find{TokenHash: r.TokenHash}))
			assert.Empty(w, w.find(consent.Find{TokenHash: again[i].TokenHash}))
			u, err := w.r.User(w.Context(), w.app.ID, r.Consent.UserID)
			require.NoError(w, err)
			assert.Empty(w, u.Email)
		}
	}},
	{"Register/the same login twice in one import", func(w *world) {
		c := w.consent()
		first, second := w.registration(c), w.registration(c)
		second.Consent.ID = name("con")
		added, err := w.r.Register(w.Context(), w.app.ID, []consent.Registration{first, second})
		require.NoError(w, err)
		assert.Equal(w, []bool{true, false}, added)
	}},
	{"Register/thousands in one step", func(w *world) {
		regs := make([]consent.Registration, 2600)
		for i := range regs {
			regs[i] = w.registration(w.consent())
		}
		added, err := w.r.Register(w.Context(), w.app.ID, regs)
		require.NoError(w, err)
		assert.Len(w, added, len(regs))
		assert.NotContains(w, added, false)
		last := regs[len(regs)-1]
		assert.Len(w, w.history(last.Consent), 1)
		assert.Equal(w, []string{last.Consent.ID}, w.find(consent.Find{TokenHash: last.TokenHash}))
	}},
	{"Register/all or nothing", func(w *world) {
		taken := w.stored()
		good, bad := w.registration(w.consent()), w.registration(w.consent())
		bad.Consent.ID, bad.Events[0].ID = taken.ID, "never stored" // another login under an id that is in use
		added, err := w.r.Register(w.Context(), w.app.ID, []consent.Registration{good, bad})
		if err == nil {
			assert.Equal(w, []bool{true, false}, added)
		} else {
			_, err = w.r.Consent(w.Context(), w.app.ID, good.Consent.ID)
			require.ErrorIs(w, err, consent.ErrNotFound)
		}
		assert.Equal(w, taken, w.look(taken))
		assert.Len(w, w.history(taken), 1)
	}},
	{"Register/a revoked consent is no obstacle, a pending one neither", func(w *world) {
		old := w.revoked(w.stored())
		again := w.consent()
		again.UserID, again.CredentialsID = old.UserID, old.CredentialsID
		_, pending := w.pending()
		live := w.consent()
		live.UserID, live.CredentialsID = pending.UserID, pending.CredentialsID
		added, err := w.r.Register(w.Context(), w.app.ID, []consent.Registration{w.registration(again), w.registration(live)})
		require.NoError(w, err)
		assert.Equal(w, []bool{true, true}, added)
	}},
	{"Consent/unknown", func(w *world) {
		_, err := w.r.Consent(w.Context(), w.app.ID, "nobody")
		require.ErrorIs(w, err, consent.ErrNotFound)
		events, err := w.r.Events(w.Context(), w.app.ID, "nobody", 0, 10)
		require.NoError(w, err)
		assert.Empty(w, events)
	}},
	{"Find/every field that is set must match", func(w *world) {
		a := w.stored()
		b := w.stored(func(c *consent.Consent) { c.UserID, c.Provider, c.CreatedAt = a.UserID, "yapily", at(time.Second) })
		c := w.stored(func(c *consent.Consent) { c.CredentialsID, c.CreatedAt = a.CredentialsID, at(2*time.Second) })
		hash := func(c consent.Consent) []byte { return []byte("hash of " + c.ID) }
		for _, tt := range []struct {
			name string
			find consent.Find
			want []string
		}{
			{"user", consent.Find{UserID: a.UserID}, []string{a.ID, b.ID}},
			{"user and provider", consent.Find{UserID: a.UserID, Provider: "yapily"}, []string{b.ID}},
			{"credentials", consent.Find{CredentialsID: a.CredentialsID}, []string{a.ID, c.ID}},
			{"credentials and user", consent.Find{CredentialsID: a.CredentialsID, UserID: c.UserID}, []string{c.ID}},
			{"credentials and provider", consent.Find{CredentialsID: a.CredentialsID, Provider: "yapily"}, []string{}},
			{"token", consent.Find{TokenHash: hash(b)}, []string{b.ID}},
			{"token and another's credentials", consent.Find{TokenHash: hash(b), CredentialsID: a.CredentialsID}, []string{}},
			{"token and another user", consent.Find{TokenHash: hash(a), UserID: c.UserID}, []string{}},
			{"an unknown token", consent.Find{TokenHash: []byte("none")}, []string{}},
			{"an unknown user", consent.Find{UserID: "nobody"}, []string{}},
			{"nothing asked", consent.Find{}, []string{}},
		} {
			assert.Equal(w, tt.want, w.find(tt.find), tt.name)
		}
	}},
	{"Find/by a token that was rotated away", func(w *world) {
		c := w.stored()
		w.renewed(c)
		for _, hash := range []string{"hash of " + c.ID, "next hash of " + c.ID} {
			assert.Equal(w, []string{c.ID}, w.find(consent.Find{TokenHash: []byte(hash)}), hash)
		}
	}},
	{"ForgetAccess/of everybody else with the login", func(w *world) {
		c := w.stored()
		same := func(o *consent.Consent) { o.CredentialsID = c.CredentialsID }
		other, bystander := w.stored(same), w.stored()
		elsewhere := w.stored(same, func(o *consent.Consent) { o.Provider = "yapily" })
		require.NoError(w, w.r.ForgetAccess(w.Context(), w.app.ID, c.Provider, c.CredentialsID, c.ID))
		assert.Equal(w, c, w.look(c))
		assert.Equal(w, bystander, w.look(bystander))
		assert.Equal(w, elsewhere, w.look(elsewhere))
		other.Tokens.Access, other.Tokens.AccessExpiresAt = nil, time.Time{}
		assert.Equal(w, other, w.look(other))
		require.NoError(w, w.r.ForgetAccess(w.Context(), newWorld(w.T, w.r).app.ID, c.Provider, c.CredentialsID, ""))
		assert.Equal(w, c, w.look(c), "another application's")
	}},
	{"CredentialsInUse", func(w *world) {
		c := w.stored()
		inUse := func(provider, credentials, except string) bool {
			yes, err := w.r.CredentialsInUse(w.Context(), w.app.ID, provider, credentials, except)
			require.NoError(w, err)
			return yes
		}
		assert.True(w, inUse(c.Provider, c.CredentialsID, ""))
		assert.True(w, inUse(c.Provider, c.CredentialsID, "con_other"))
		assert.False(w, inUse(c.Provider, c.CredentialsID, c.ID), "only the named one has them")
		assert.False(w, inUse("yapily", c.CredentialsID, ""))
		assert.False(w, inUse(c.Provider, "other", ""))
		w.revoked(c)
		assert.False(w, inUse(c.Provider, c.CredentialsID, ""))
		_, pending := w.pending()
		assert.True(w, inUse(pending.Provider, pending.CredentialsID, ""), "it may be confirmed yet")
	}},
	{"Events/pages", func(w *world) {
		c := w.stored()
		for range 4 {
			require.NoError(w, w.r.SetOutlook(w.Context(), outlook(c, event(consent.EventReconfirmed, nil))))
		}
		page, err := w.r.Events(w.Context(), w.app.ID, c.ID, 1, 2)
		require.NoError(w, err)
		require.Len(w, page, 2)
		assert.EqualValues(w, 2, page[0].Seq)
		assert.EqualValues(w, 3, page[1].Seq)
		page, err = w.r.Events(w.Context(), w.app.ID, c.ID, 5, 2)
		require.NoError(w, err)
		assert.Empty(w, page)
	}},
}
