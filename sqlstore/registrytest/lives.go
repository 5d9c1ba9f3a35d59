package registrytest

import (
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
)

// outlook leaves a consent's future as it is.
func outlook(c consent.Consent, events ...consent.Event) consent.Outlook {
	return consent.Outlook{
		ApplicationID: c.ApplicationID, ConsentID: c.ID, Cycle: c.Cycle,
		ExpiresAt: c.ExpiresAt, ExpirySource: c.ExpirySource, EndedAt: c.EndedAt, EndedReason: c.EndedReason, RefusedAt: c.RefusedAt,
		LapsingAt: c.LapsingAt, LapsesAt: c.LapsesAt, RenewableUntil: c.RenewableUntil, NextStageAt: c.NextStageAt, NextCheckAt: c.NextCheckAt, Events: events,
	}
}

func newTokens(c consent.Consent, leaseID string) consent.TokenUpdate {
	return consent.TokenUpdate{
		ApplicationID: c.ApplicationID, ConsentID: c.ID, LeaseID: leaseID, Custody: c.Custody, TokenHash: []byte("rotated " + c.ID),
		Tokens:      consent.Tokens{Refresh: consent.Sealed("rotated"), Access: consent.Sealed("fresh"), AccessExpiresAt: at(2 * time.Hour), RefreshedAt: at(time.Hour)},
		NextCheckAt: at(16 * day),
	}
}

var lifeTests = []test{
	{"SetOutlook/writes the future and nothing else", func(w *world) {
		c := w.stored()
		o := consent.Outlook{
			ApplicationID: w.app.ID, ConsentID: c.ID, Cycle: 1, ExpiresAt: at(80 * day), ExpirySource: consent.FromPolicy,
			EndedAt: at(day), EndedReason: "access_denied", RefusedAt: at(time.Hour),
			LapsingAt: at(day), LapsesAt: at(day), RenewableUntil: at(91 * day), NextStageAt: at(2 * day), NextCheckAt: at(3 * day),
			Events: []consent.Event{event(consent.EventEndedEarly, map[string]any{"reason": "access_denied"}), event(consent.EventLapsed, nil)},
		}
		require.NoError(w, w.r.SetOutlook(w.Context(), o))
		c.ExpiresAt, c.ExpirySource, c.EndedAt, c.EndedReason, c.RefusedAt = o.ExpiresAt, o.ExpirySource, o.EndedAt, o.EndedReason, o.RefusedAt
		c.LapsingAt, c.LapsesAt, c.RenewableUntil, c.NextStageAt, c.NextCheckAt, c.Seq = o.LapsingAt, o.LapsesAt, o.RenewableUntil, o.NextStageAt, o.NextCheckAt, 3
		assert.Equal(w, c, w.look(c))
		assert.Equal(w, []consent.EventType{consent.EventLinked, consent.EventEndedEarly, consent.EventLapsed}, w.history(c))

		require.NoError(w, w.r.SetOutlook(w.Context(), consent.Outlook{ApplicationID: w.app.ID, ConsentID: c.ID, Cycle: 1, ExpirySource: consent.FromNobody}))
		got := w.look(c)
		assert.True(w, got.ExpiresAt.IsZero() && got.EndedAt.IsZero() && got.RefusedAt.IsZero() && got.NextStageAt.IsZero(), "unknown again")
	}},
	{"SetOutlook/overtaken", func(w *world) {
		c := w.stored()
		next := w.renewed(c)
		require.ErrorIs(w, w.r.SetOutlook(w.Context(), outlook(c, event(consent.EventEndedEarly, nil))), consent.ErrOvertaken)
		assert.Equal(w, next, w.look(c))
		revoked := w.revoked(w.stored())
		require.ErrorIs(w, w.r.SetOutlook(w.Context(), outlook(revoked, event(consent.EventEndedEarly, nil))), consent.ErrOvertaken)
		assert.Equal(w, revoked, w.look(revoked))
		c.ID = "nobody"
		require.ErrorIs(w, w.r.SetOutlook(w.Context(), outlook(c)), consent.ErrNotFound)
	}},
	{"Revoke/drops tokens, queues the grant, writes one line", func(w *world) {
		c := w.stored()
		back := giveBack(w.app.ID)
		r := consent.Revocation{ApplicationID: w.app.ID, ConsentID: c.ID, By: "bank", At: at(time.Hour), GiveBack: back, Event: event(consent.EventRevoked, map[string]any{"by": "bank"})}
		got, err := w.r.Revoke(w.Context(), r)
		require.NoError(w, err)
		assert.Equal(w, got, w.look(c))
		assert.Equal(w, at(time.Hour), got.RevokedAt)
		assert.Equal(w, "bank", got.RevokedBy)
		assert.Empty(w, got.Tokens.Refresh)
		assert.Empty(w, got.Tokens.Access)
		assert.True(w, got.Tokens.AccessExpiresAt.IsZero())
		assert.True(w, got.NextStageAt.IsZero(), "nothing is announced of it any more")
		assert.Equal(w, []consent.EventType{consent.EventLinked, consent.EventRevoked}, w.history(c))
		queued, err := w.r.ClaimGiveBack(w.Context(), w.app.ID, back.ID, at(time.Hour), at(2*time.Hour))
		require.NoError(w, err)
		assert.Equal(w, back.Grant, queued.Grant)

		r.By, r.At, r.GiveBack, r.Event = "user", at(2*time.Hour), giveBack(w.app.ID), event(consent.EventRevoked, nil)
		again, err := w.r.Revoke(w.Context(), r)
		require.NoError(w, err)
		assert.Equal(w, got, again, "again changes nothing")
		assert.Equal(w, got, w.look(c))
		assert.Len(w, w.history(c), 2)
		_, err = w.r.ClaimGiveBack(w.Context(), w.app.ID, r.GiveBack.ID, at(time.Hour), at(2*time.Hour))
		require.ErrorIs(w, err, consent.ErrNotFound)

		r.ConsentID = "nobody"
		_, err = w.r.Revoke(w.Context(), r)
		require.ErrorIs(w, err, consent.ErrNotFound)
		_, err = w.r.ClaimGiveBack(w.Context(), w.app.ID, r.GiveBack.ID, at(time.Hour), at(2*time.Hour))
		require.ErrorIs(w, err, consent.ErrNotFound)
	}},
	{"StoreTokens/under the lease", func(w *world) {
		c := w.stored()
		leaseID := name("lease")
		_, err := w.r.Lease(w.Context(), w.app.ID, c.ID, leaseID, at(0), at(time.Minute))
		require.NoError(w, err)
		u := newTokens(c, leaseID)
		u.Custody = consent.CustodyBackend
		require.NoError(w, w.r.StoreTokens(w.Context(), u))
		c.Tokens, c.Custody, c.NextCheckAt = u.Tokens, consent.CustodyBackend, u.NextCheckAt
		assert.Equal(w, c, w.look(c))
		assert.Equal(w, []string{c.ID}, w.find(consent.Find{TokenHash: u.TokenHash}))
		assert.Equal(w, []string{c.ID}, w.find(consent.Find{TokenHash: []byte("hash of " + c.ID)}), "the old one still finds it")

		u.Tokens = consent.Tokens{RefreshedAt: at(time.Hour)} // the provider sent no refresh token
		u.TokenHash = nil
		require.NoError(w, w.r.StoreTokens(w.Context(), u))
		got := w.look(c)
		assert.Equal(w, consent.Sealed("rotated"), got.Tokens.Refresh, "the old one stays")
		assert.Empty(w, got.Tokens.Access)
		assert.True(w, got.Tokens.AccessExpiresAt.IsZero())
	}},
	{"StoreTokens/without the lease", func(w *world) {
		c := w.stored()
		require.ErrorIs(w, w.r.StoreTokens(w.Context(), newTokens(c, "never held")), consent.ErrClaimLost)
		require.ErrorIs(w, w.r.StoreTokens(w.Context(), newTokens(c, "")), consent.ErrClaimLost, "an empty id is no lease")
		_, err := w.r.Lease(w.Context(), w.app.ID, c.ID, "old "+c.ID, at(0), at(time.Minute))
		require.NoError(w, err)
		_, err = w.r.Lease(w.Context(), w.app.ID, c.ID, "new "+c.ID, at(time.Minute), at(time.Hour))
		require.NoError(w, err)
		require.ErrorIs(w, w.r.StoreTokens(w.Context(), newTokens(c, "old "+c.ID)), consent.ErrClaimLost, "taken over")
		assert.Equal(w, c, w.look(c))
		assert.Empty(w, w.find(consent.Find{TokenHash: []byte("rotated " + c.ID)}))

		revoked := w.revoked(c)
		require.ErrorIs(w, w.r.StoreTokens(w.Context(), newTokens(c, "new "+c.ID)), consent.ErrClaimLost, "no token comes back into a revoked one")
		assert.Equal(w, revoked, w.look(c))
		c.ID = "nobody"
		require.ErrorIs(w, w.r.StoreTokens(w.Context(), newTokens(c, "x")), consent.ErrNotFound)
	}},
}

var leaseTests = []test{
	{"Lease/one holder", func(w *world) {
		c := w.stored()
		got, err := w.r.Lease(w.Context(), w.app.ID, c.ID, "a", at(0), at(time.Minute))
		require.NoError(w, err)
		assert.Equal(w, c, got)
		_, err = w.r.Lease(w.Context(), w.app.ID, c.ID, "b", at(time.Minute-time.Microsecond), at(time.Hour))
		require.ErrorIs(w, err, consent.ErrBusy)
		_, err = w.r.Lease(w.Context(), w.app.ID, c.ID, "a", at(time.Second), at(2*time.Minute))
		require.NoError(w, err, "its holder may have it for longer")
		_, err = w.r.Lease(w.Context(), w.app.ID, c.ID, "b", at(time.Minute), at(time.Hour))
		require.ErrorIs(w, err, consent.ErrBusy)
		_, err = w.r.Lease(w.Context(), w.app.ID, c.ID, "b", at(2*time.Minute), at(time.Hour))
		require.NoError(w, err, "run out")
	}},
	{"Lease/ends by its holder only", func(w *world) {
		c := w.stored()
		_, err := w.r.Lease(w.Context(), w.app.ID, c.ID, "a", at(0), at(time.Minute))
		require.NoError(w, err)
		require.NoError(w, w.r.EndLease(w.Context(), w.app.ID, c.ID, "b"))
		_, err = w.r.Lease(w.Context(), w.app.ID, c.ID, "b", at(0), at(time.Minute))
		require.ErrorIs(w, err, consent.ErrBusy)
		require.NoError(w, w.r.EndLease(w.Context(), w.app.ID, c.ID, "a"))
		_, err = w.r.Lease(w.Context(), w.app.ID, c.ID, "b", at(0), at(time.Minute))
		require.NoError(w, err)
	}},
	{"Lease/and claims exclude each other", func(w *world) {
		c := w.stored()
		a := w.claimed(w.begun(&c))
		_, err := w.r.Lease(w.Context(), w.app.ID, c.ID, "refresh", at(time.Minute), at(time.Hour))
		require.ErrorIs(w, err, consent.ErrBusy)
		require.NoError(w, w.r.ReleaseAttempt(w.Context(), w.app.ID, a.ID, a.ClaimID, at(time.Minute)))
		_, err = w.r.Lease(w.Context(), w.app.ID, c.ID, "refresh", at(time.Minute), at(time.Hour))
		require.NoError(w, err)
		_, err = w.r.ClaimAttempt(w.Context(), claim(a, at(2*time.Minute)))
		require.ErrorIs(w, err, consent.ErrBusy)
		require.NoError(w, w.r.EndLease(w.Context(), w.app.ID, c.ID, "refresh"))
		_, err = w.r.ClaimAttempt(w.Context(), claim(a, at(2*time.Minute)))
		require.NoError(w, err)
	}},
	{"Lease/unknown", func(w *world) {
		_, err := w.r.Lease(w.Context(), w.app.ID, "nobody", "a", at(0), at(time.Minute))
		require.ErrorIs(w, err, consent.ErrNotFound)
	}},
}
