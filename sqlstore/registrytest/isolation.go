package registrytest

import (
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
)

// Law 8: every method is called with one application's id and another's
// things. Both applications hold rows of the same ids, so that a forgotten
// condition changes the wrong one and is seen.
var isolationTests = []test{
	{"Isolation/foreign ids are not found", func(w *world) {
		c := w.stored()
		a := w.claimed(w.begun(&c))
		pendingAttempt, pending := w.pending()
		pendingAttempt = w.confirming(pendingAttempt)
		back := w.queued()
		l := link(c)
		require.NoError(w, w.r.CreateReconnectLink(w.Context(), l))
		key := consent.APIKey{ApplicationID: w.app.ID, ID: name("key"), Hash: []byte(name("hash")), CreatedAt: at(0)}
		require.NoError(w, w.r.CreateAPIKey(w.Context(), key))
		require.NoError(w, w.r.PutProviderSettings(w.Context(), consent.ProviderSettings{ApplicationID: w.app.ID, Provider: "truelayer", Config: consent.Sealed("x"), UpdatedAt: zero}))

		foreign := w.application()
		ctx, id := w.Context(), foreign.ID
		stranger := func(a consent.Attempt) consent.Attempt { a.ApplicationID = id; return a }
		moved := c
		moved.ApplicationID = id
		calls := map[string]func() error{
			"ProviderSettings": func() error { _, err := w.r.ProviderSettings(ctx, id, "truelayer"); return err },
			"ApplicationByKey": func() error { _, err := w.r.ApplicationByKey(ctx, foreign.Slug, key.Hash); return err },
			"RevokeAPIKey":     func() error { return w.r.RevokeAPIKey(ctx, id, key.ID, at(0)) },
			"User":             func() error { _, err := w.r.User(ctx, id, c.UserID); return err },
			"EraseUser":        func() error { return w.r.EraseUser(ctx, id, c.UserID, "erased") },
			"Consent":          func() error { _, err := w.r.Consent(ctx, id, c.ID); return err },
			"Lease":            func() error { _, err := w.r.Lease(ctx, id, c.ID, "x", at(day), at(2*day)); return err },
			"StoreTokens":      func() error { return w.r.StoreTokens(ctx, newTokens(moved, a.ClaimID)) },
			"SetOutlook":       func() error { return w.r.SetOutlook(ctx, outlook(moved, event(consent.EventLapsed, nil))) },
			"Revoke": func() error {
				_, err := w.r.Revoke(ctx, consent.Revocation{ApplicationID: id, ConsentID: c.ID, At: at(0), Event: event(consent.EventRevoked, nil)})
				return err
			},
			"BeginAttempt": func() error {
				e := event(consent.EventAttemptStarted, nil)
				b := w.attempt(&c)
				b.ApplicationID = id
				return w.r.BeginAttempt(ctx, b, &e)
			},
			"Attempt": func() error { _, err := w.r.Attempt(ctx, id, a.ID); return err },
			"ReusableAttempt": func() error {
				b := w.begun(&c)
				_, err := w.r.ReusableAttempt(ctx, id, c.ID, b.ReuseKey, at(-day), at(0))
				return err
			},
			"ClaimAttempt": func() error { _, err := w.r.ClaimAttempt(ctx, claim(stranger(a), at(day))); return err },
			"ClaimConfirmation": func() error {
				_, err := w.r.ClaimConfirmation(ctx, claim(stranger(pendingAttempt), at(day)))
				return err
			},
			"KeepGrant":      func() error { return w.r.KeepGrant(ctx, id, a.ID, a.ClaimID, consent.Sealed("x")) },
			"ReleaseAttempt": func() error { return w.r.ReleaseAttempt(ctx, id, a.ID, a.ClaimID, at(0)) },
			"FinishAttempt":  func() error { _, err := w.r.FinishAttempt(ctx, finish(stranger(a), consent.AttemptFailed)); return err },
			"Renew":          func() error { _, err := w.r.Renew(ctx, renewal(stranger(a), moved)); return err },
			"Link": func() error {
				n := w.consent()
				n.ApplicationID = id
				_, err := w.r.Link(ctx, w.linkage(stranger(a), n))
				return err
			},
			"HoldAttempt": func() error { return w.r.HoldAttempt(ctx, hold(stranger(a), moved)) },
			"Activate": func() error {
				p := pending
				p.ApplicationID = id
				_, err := w.r.Activate(ctx, activation(stranger(pendingAttempt), p))
				return err
			},
			"ReconnectLink": func() error { _, err := w.r.ReconnectLink(ctx, id, l.TokenHash); return err },
			"ClaimGiveBack": func() error { _, err := w.r.ClaimGiveBack(ctx, id, back.ID, at(0), at(day)); return err },
			"RetryGiveBack": func() error { return w.r.RetryGiveBack(ctx, id, back.ID, at(day)) },
			"EndGiveBack":   func() error { return w.r.EndGiveBack(ctx, id, back.ID) },
		}
		history := w.history(c)
		for method, call := range calls {
			assert.ErrorIs(w, call(), consent.ErrNotFound, method)
		}
		require.NoError(w, w.r.EndLease(ctx, id, c.ID, a.ClaimID))
		_, err := w.r.Lease(ctx, w.app.ID, c.ID, "x", at(time.Minute), at(day))
		require.ErrorIs(w, err, consent.ErrBusy, "EndLease ended nothing")

		keys, err := w.r.ListAPIKeys(ctx, id)
		require.NoError(w, err)
		assert.Empty(w, keys)
		list, err := w.r.ListConsents(ctx, id, consent.ListFilter{Now: zero, Limit: 10})
		require.NoError(w, err)
		assert.Empty(w, list)
		for _, f := range []consent.Find{{UserID: c.UserID}, {CredentialsID: c.CredentialsID}, {TokenHash: []byte("hash of " + c.ID)}} {
			found, err := w.r.FindConsents(ctx, id, f)
			require.NoError(w, err)
			assert.Empty(w, found)
		}
		inUse, err := w.r.CredentialsInUse(ctx, id, c.Provider, c.CredentialsID, "")
		require.NoError(w, err)
		assert.False(w, inUse)
		events, err := w.r.Events(ctx, id, c.ID, 0, 10)
		require.NoError(w, err)
		assert.Empty(w, events)
		attempts, err := w.r.AttemptsByState(ctx, id, a.StateHash)
		require.NoError(w, err)
		assert.Empty(w, attempts)

		assert.Equal(w, c, w.look(c), "and nothing of it has changed")
		assert.Equal(w, history, w.history(c))
		assert.Equal(w, a, w.lookAt(a))
		assert.Equal(w, pending, w.look(pending))
		assert.Equal(w, pendingAttempt, w.lookAt(pendingAttempt))
	}},
	{"Isolation/the same ids in two applications", func(w *world) {
		other := &world{T: w.T, r: w.r, app: w.application()}
		c := w.stored()
		twin := other.stored(func(t *consent.Consent) {
			own := t.ApplicationID
			*t = c
			t.ApplicationID = own
		})
		a := w.begun(&c)
		b := a
		b.ApplicationID = other.app.ID
		require.NoError(w, w.r.BeginAttempt(w.Context(), b, nil))
		for _, owner := range []string{w.app.ID, other.app.ID} {
			_, err := w.r.PutUser(w.Context(), consent.User{ApplicationID: owner, ID: c.UserID, Name: owner, CreatedAt: zero, UpdatedAt: zero})
			require.NoError(w, err)
			l := link(c)
			l.ApplicationID, l.TokenHash, l.ReturnTo = owner, []byte("twin "+c.ID), owner
			require.NoError(w, w.r.CreateReconnectLink(w.Context(), l))
		}

		next, err := w.r.Renew(w.Context(), renewal(w.claimed(a), c))
		require.NoError(w, err)
		assert.Equal(w, twin, other.look(twin))
		assert.Equal(w, b, other.lookAt(b))
		w.revoked(next)
		require.NoError(w, w.r.EraseUser(w.Context(), w.app.ID, c.UserID, "erased"))
		assert.Equal(w, twin, other.look(twin))
		assert.Equal(w, b, other.lookAt(b))
		assert.Len(w, other.history(twin), 1)
		u, err := w.r.User(w.Context(), other.app.ID, c.UserID)
		require.NoError(w, err)
		assert.Equal(w, other.app.ID, u.Name)
		l, err := w.r.ReconnectLink(w.Context(), other.app.ID, []byte("twin "+c.ID))
		require.NoError(w, err)
		assert.Equal(w, other.app.ID, l.ReturnTo)
	}},
}
