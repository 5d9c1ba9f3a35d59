package registrytest

import (
	"errors"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
)

func isNotFound(err error) bool { return errors.Is(err, consent.ErrNotFound) }

// powerless asserts that a claim that is no longer in force can do nothing.
func (w *world) powerless(a consent.Attempt, c consent.Consent) {
	w.Helper()
	before, history := w.lookAt(a), w.history(c)
	_, finished := w.r.FinishAttempt(w.Context(), finish(a, consent.AttemptFailed))
	_, renewed := w.r.Renew(w.Context(), renewal(a, w.look(c)))
	_, linked := w.r.Link(w.Context(), w.linkage(a, w.consent()))
	_, activated := w.r.Activate(w.Context(), activation(a, w.look(c)))
	for step, err := range map[string]error{
		"KeepGrant":      w.r.KeepGrant(w.Context(), a.ApplicationID, a.ID, a.ClaimID, consent.Sealed("stolen")),
		"ReleaseAttempt": w.r.ReleaseAttempt(w.Context(), a.ApplicationID, a.ID, a.ClaimID, at(2*time.Minute)),
		"HoldAttempt":    w.r.HoldAttempt(w.Context(), hold(a, c)),
		"FinishAttempt":  finished,
		"Renew":          renewed,
		"Link":           linked,
		"Activate":       activated,
		"StoreTokens":    w.r.StoreTokens(w.Context(), newTokens(c, a.ClaimID)),
	} {
		assert.ErrorIs(w, err, consent.ErrClaimLost, step)
	}
	assert.Equal(w, before, w.lookAt(a))
	assert.Equal(w, history, w.history(c))
}

var claimTests = []test{
	{"ClaimAttempt/takes a started one", func(w *world) {
		c := w.stored()
		a := w.begun(&c)
		cl := claim(a, at(time.Minute))
		got, err := w.r.ClaimAttempt(w.Context(), cl)
		require.NoError(w, err)
		a.Status, a.ClaimID, a.ClaimedUntil, a.Code = consent.AttemptClaimed, cl.ClaimID, cl.Until, cl.Code
		assert.Equal(w, a, got)
		assert.Equal(w, a, w.lookAt(a))
		assert.Equal(w, c, w.look(c))
	}},
	{"ClaimAttempt/is busy until it is stale", func(w *world) {
		c := w.stored()
		first := w.claimed(w.begun(&c))
		_, err := w.r.ClaimAttempt(w.Context(), claim(first, first.ClaimedUntil.Add(-time.Microsecond)))
		require.ErrorIs(w, err, consent.ErrBusy)
		cl := claim(first, first.ClaimedUntil)
		cl.Code = nil
		second, err := w.r.ClaimAttempt(w.Context(), cl)
		require.NoError(w, err)
		assert.Equal(w, cl.ClaimID, second.ClaimID)
		assert.Equal(w, first.Code, second.Code, "the code that the crashed one had")
		w.powerless(first, c)
		_, err = w.r.FinishAttempt(w.Context(), finish(second, consent.AttemptInterrupted))
		require.NoError(w, err)
	}},
	{"ClaimAttempt/too late", func(w *world) {
		a := w.begun(nil)
		got, err := w.r.ClaimAttempt(w.Context(), claim(a, a.ExpiresAt.Add(-time.Microsecond)))
		require.NoError(w, err)
		assert.Equal(w, consent.AttemptClaimed, got.Status)

		c := w.stored()
		late := w.begun(&c)
		got, err = w.r.ClaimAttempt(w.Context(), claim(late, late.ExpiresAt))
		require.NoError(w, err)
		assert.Equal(w, consent.AttemptExpired, got.Status)
		assert.Equal(w, w.lookAt(late), got)
		assert.Equal(w, c, w.look(c))
		again, err := w.r.ClaimAttempt(w.Context(), claim(late, late.ExpiresAt.Add(time.Hour)))
		require.NoError(w, err)
		assert.Equal(w, got, again)
	}},
	{"ClaimAttempt/one that was claimed in time can be taken over late", func(w *world) {
		c := w.stored()
		a := w.claimed(w.begun(&c))
		require.NoError(w, w.r.KeepGrant(w.Context(), w.app.ID, a.ID, a.ClaimID, consent.Sealed("grant")))
		got, err := w.r.ClaimAttempt(w.Context(), claim(a, a.ExpiresAt.Add(time.Minute)))
		require.NoError(w, err)
		assert.Equal(w, consent.AttemptClaimed, got.Status)
		assert.Equal(w, consent.Sealed("grant"), got.Grant)
	}},
	{"ClaimAttempt/a finished one shows its outcome", func(w *world) {
		c := w.stored()
		a := w.claimed(w.begun(&c))
		done, err := w.r.FinishAttempt(w.Context(), finish(a, consent.AttemptDenied))
		require.NoError(w, err)
		got, err := w.r.ClaimAttempt(w.Context(), claim(a, at(3*time.Minute)))
		require.NoError(w, err)
		assert.Equal(w, done, got)
		assert.Equal(w, done, w.lookAt(a))
		_, err = w.r.Lease(w.Context(), w.app.ID, c.ID, "free", at(time.Minute), at(time.Hour))
		require.NoError(w, err, "looking takes no lease")
	}},
	{"ClaimAttempt/overtaken by a renewal", func(w *world) {
		c := w.stored()
		slow := w.begun(&c)
		next := w.renewed(c)
		got, err := w.r.ClaimAttempt(w.Context(), claim(slow, at(3*time.Minute)))
		require.NoError(w, err)
		assert.Equal(w, consent.AttemptRenewed, got.Status)
		assert.Equal(w, "overtaken", got.Reason)
		assert.Equal(w, at(3*time.Minute), got.FinishedAt)
		assert.Equal(w, w.lookAt(slow), got)
		assert.Equal(w, next, w.look(c))
	}},
	{"ClaimAttempt/overtaken by a revocation", func(w *world) {
		c := w.stored()
		slow := w.begun(&c)
		c = w.revoked(c)
		got, err := w.r.ClaimAttempt(w.Context(), claim(slow, at(3*time.Minute)))
		require.NoError(w, err)
		assert.Equal(w, consent.AttemptFailed, got.Status)
		assert.Equal(w, "consent_revoked", got.Reason)
		assert.Equal(w, c, w.look(c))
	}},
	{"ClaimAttempt/what has brought a grant is carried to its end", func(w *world) {
		c := w.stored()
		slow := w.claimed(w.begun(&c))
		require.NoError(w, w.r.KeepGrant(w.Context(), w.app.ID, slow.ID, slow.ClaimID, consent.Sealed("grant")))
		w.revoked(c)
		got, err := w.r.ClaimAttempt(w.Context(), claim(slow, at(time.Hour)))
		require.NoError(w, err)
		assert.Equal(w, consent.AttemptClaimed, got.Status, "else nobody would give the grant back")
		assert.Equal(w, consent.Sealed("grant"), got.Grant)
		_, err = w.r.Renew(w.Context(), renewal(got, w.look(c)))
		require.ErrorIs(w, err, consent.ErrOvertaken)
	}},
	{"ClaimAttempt/two attempts of one consent, one at a time", func(w *world) {
		c := w.stored()
		one, two := w.begun(&c), w.begun(&c)
		one = w.claimed(one)
		_, err := w.r.ClaimAttempt(w.Context(), claim(two, at(time.Minute)))
		require.ErrorIs(w, err, consent.ErrBusy)
		assert.Equal(w, consent.AttemptStarted, w.lookAt(two).Status, "not even half")
		_, err = w.r.Renew(w.Context(), renewal(one, c))
		require.NoError(w, err)
		got, err := w.r.ClaimAttempt(w.Context(), claim(two, at(time.Minute)))
		require.NoError(w, err)
		assert.Equal(w, consent.AttemptRenewed, got.Status)
	}},
	{"KeepGrant", func(w *world) {
		c := w.stored()
		a := w.claimed(w.begun(&c))
		require.NoError(w, w.r.KeepGrant(w.Context(), w.app.ID, a.ID, a.ClaimID, consent.Sealed("grant")))
		got := w.lookAt(a)
		assert.Equal(w, consent.Sealed("grant"), got.Grant)
		assert.Empty(w, got.Code, "spent")
		require.NoError(w, w.r.KeepGrant(w.Context(), w.app.ID, a.ID, a.ClaimID, consent.Sealed("refreshed")))
		assert.Equal(w, consent.Sealed("refreshed"), w.lookAt(a).Grant)
		require.ErrorIs(w, w.r.KeepGrant(w.Context(), w.app.ID, a.ID, "another", consent.Sealed("x")), consent.ErrClaimLost)
		started := w.begun(&c)
		require.ErrorIs(w, w.r.KeepGrant(w.Context(), w.app.ID, started.ID, "", consent.Sealed("x")), consent.ErrClaimLost, "an empty id is no claim")
	}},
	{"ReleaseAttempt/can be claimed at once, with all that was kept", func(w *world) {
		c := w.stored()
		a := w.claimed(w.begun(&c))
		require.NoError(w, w.r.KeepGrant(w.Context(), w.app.ID, a.ID, a.ClaimID, consent.Sealed("grant")))
		require.NoError(w, w.r.ReleaseAttempt(w.Context(), w.app.ID, a.ID, a.ClaimID, at(time.Minute)))
		w.powerless(a, c)
		cl := claim(a, at(time.Minute))
		cl.Code = nil
		got, err := w.r.ClaimAttempt(w.Context(), cl)
		require.NoError(w, err)
		assert.Equal(w, consent.AttemptClaimed, got.Status)
		assert.Equal(w, consent.Sealed("grant"), got.Grant)
		require.NoError(w, w.r.ReleaseAttempt(w.Context(), w.app.ID, a.ID, got.ClaimID, at(time.Minute)))

		codeOnly := w.claimed(w.begun(&c))
		require.NoError(w, w.r.ReleaseAttempt(w.Context(), w.app.ID, codeOnly.ID, codeOnly.ClaimID, at(time.Minute)))
		cl = claim(codeOnly, at(time.Minute))
		cl.Code = nil
		got, err = w.r.ClaimAttempt(w.Context(), cl)
		require.NoError(w, err)
		assert.Equal(w, consent.Sealed("code"), got.Code)
	}},
	{"Crash/between any two steps is found and carried on", func(w *world) {
		c := w.stored()
		a := w.claimed(w.begun(&c))
		assert.NotContains(w, w.stale(a.ClaimedUntil.Add(-time.Microsecond)), a.ID, "not stale yet")
		found := w.stale(a.ClaimedUntil)[a.ID]
		assert.Equal(w, consent.Sealed("code"), found.Code, "crashed before the exchange: the code is there")

		require.NoError(w, w.r.KeepGrant(w.Context(), w.app.ID, a.ID, a.ClaimID, consent.Sealed("grant")))
		found = w.stale(a.ClaimedUntil)[a.ID]
		assert.Equal(w, consent.Sealed("grant"), found.Grant, "crashed after it: the grant is there")

		cl := claim(found, at(10*time.Minute))
		cl.Code = nil
		taken, err := w.r.ClaimAttempt(w.Context(), cl)
		require.NoError(w, err)
		assert.NotContains(w, w.stale(at(10*time.Minute)), a.ID)
		next, err := w.r.Renew(w.Context(), renewal(taken, c))
		require.NoError(w, err)
		assert.Equal(w, 2, next.Cycle)
		assert.NotContains(w, w.stale(at(day)), a.ID)
		w.powerless(a, next)
	}},
}

// stale returns what Upkeep finds of this application.
func (w *world) stale(now time.Time) map[string]consent.Attempt {
	w.Helper()
	all, err := w.r.StaleAttempts(w.Context(), now, 10_000)
	require.NoError(w, err)
	mine := map[string]consent.Attempt{}
	for _, a := range all {
		if a.ApplicationID == w.app.ID {
			mine[a.ID] = a
		}
	}
	return mine
}
