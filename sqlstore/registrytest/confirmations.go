package registrytest

import (
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
)

var confirmTests = []test{
	{"ClaimConfirmation/stays pending under the claim", func(w *world) {
		a, c := w.pending()
		cl := claim(a, at(3*time.Minute))
		cl.Code = nil
		got, err := w.r.ClaimConfirmation(w.Context(), cl)
		require.NoError(w, err)
		a.ClaimID, a.ClaimedUntil = cl.ClaimID, cl.Until
		assert.Equal(w, a, got)
		assert.Equal(w, a, w.lookAt(a))
		_, err = w.r.ClaimConfirmation(w.Context(), claim(a, cl.Until.Add(-time.Microsecond)))
		require.ErrorIs(w, err, consent.ErrBusy)
		assert.NotContains(w, w.stale(at(day)), a.ID, "it waits for the application, not for the bank")

		taken, err := w.r.ClaimConfirmation(w.Context(), claim(a, cl.Until))
		require.NoError(w, err)
		w.powerless(a, c)
		require.NoError(w, w.r.KeepGrant(w.Context(), w.app.ID, a.ID, taken.ClaimID, consent.Sealed("refreshed")))
		require.NoError(w, w.r.ReleaseAttempt(w.Context(), w.app.ID, a.ID, taken.ClaimID, at(5*time.Minute)))
		w.powerless(taken, c)
		got, err = w.r.ClaimConfirmation(w.Context(), claim(a, at(5*time.Minute)))
		require.NoError(w, err)
		assert.Equal(w, consent.Sealed("refreshed"), got.Grant)
	}},
	{"ClaimConfirmation/of one that is not pending", func(w *world) {
		c := w.stored()
		started := w.begun(&c)
		_, err := w.r.ClaimConfirmation(w.Context(), claim(started, at(time.Minute)))
		require.ErrorIs(w, err, consent.ErrBusy)
		claimed := w.claimed(started)
		_, err = w.r.ClaimConfirmation(w.Context(), claim(started, at(time.Hour)))
		require.ErrorIs(w, err, consent.ErrBusy)
		done, err := w.r.FinishAttempt(w.Context(), finish(claimed, consent.AttemptDenied))
		require.NoError(w, err)
		got, err := w.r.ClaimConfirmation(w.Context(), claim(started, at(time.Hour)))
		require.NoError(w, err)
		assert.Equal(w, done, got)
	}},
	{"ClaimConfirmation/also past ConfirmBy, to give it back", func(w *world) {
		a, c := w.pending()
		got, err := w.r.ClaimConfirmation(w.Context(), claim(a, a.ConfirmBy.Add(day)))
		require.NoError(w, err)
		assert.Equal(w, consent.AttemptPending, got.Status)
		w.revoked(c)
		f := finish(got, consent.AttemptFailed)
		f.GiveBack = giveBack(w.app.ID)
		done, err := w.r.FinishAttempt(w.Context(), f)
		require.NoError(w, err)
		assert.Empty(w, done.Grant)
		assert.Equal(w, a.ResultHash, done.ResultHash)
	}},
	{"ClaimConfirmation/excludes a refresh of the consent that it is about", func(w *world) {
		c := w.stored()
		a := w.claimed(w.begun(nil))
		require.NoError(w, w.r.HoldAttempt(w.Context(), hold(a, c)))
		_, err := w.r.Lease(w.Context(), w.app.ID, c.ID, "refresh", at(0), at(time.Hour))
		require.NoError(w, err, "waiting holds no lease")
		_, err = w.r.ClaimConfirmation(w.Context(), claim(a, at(3*time.Minute)))
		require.ErrorIs(w, err, consent.ErrBusy)
		assert.Empty(w, w.lookAt(a).ClaimID, "not even half")
		require.NoError(w, w.r.EndLease(w.Context(), w.app.ID, c.ID, "refresh"))
		w.confirming(a)
		_, err = w.r.Lease(w.Context(), w.app.ID, c.ID, "refresh", at(3*time.Minute), at(time.Hour))
		require.ErrorIs(w, err, consent.ErrBusy)
	}},
	{"Activate/makes a pending consent a real one", func(w *world) {
		a, c := w.pending()
		a = w.confirming(a)
		v := activation(a, c)
		got, err := w.r.Activate(w.Context(), v)
		require.NoError(w, err)
		want := v.Consent
		want.Seq = 1
		assert.Equal(w, want, got)
		assert.Equal(w, want, w.look(c))
		assert.Equal(w, []consent.EventType{consent.EventLinked}, w.history(c))
		assert.Equal(w, []string{c.ID}, w.find(consent.Find{TokenHash: v.TokenHash}))
		done := w.lookAt(a)
		assert.Equal(w, consent.AttemptLinked, done.Status)
		assert.Equal(w, v.At, done.FinishedAt)
		assert.Equal(w, a.ResultHash, done.ResultHash, "by which confirming again shows the outcome")
		assert.Empty(w, done.Grant)
		_, err = w.r.Activate(w.Context(), v)
		require.ErrorIs(w, err, consent.ErrClaimLost)
		_, err = w.r.Lease(w.Context(), w.app.ID, c.ID, "next", at(3*time.Minute), at(time.Hour))
		require.NoError(w, err, "the lease ends with the claim")
	}},
	{"Activate/the same login was linked meanwhile", func(w *world) {
		a, c := w.pending()
		same := w.stored(func(s *consent.Consent) { s.UserID, s.CredentialsID = c.UserID, c.CredentialsID })
		a = w.confirming(a)
		_, err := w.r.Activate(w.Context(), activation(a, c))
		require.ErrorIs(w, err, consent.ErrExists)
		assert.Equal(w, c, w.look(c))
		assert.Equal(w, same, w.look(same))
		assert.Equal(w, a, w.lookAt(a), "the claim is still there")
	}},
	{"Activate/revoked or real already", func(w *world) {
		a, c := w.pending()
		a = w.confirming(a)
		w.revoked(c)
		_, err := w.r.Activate(w.Context(), activation(a, c))
		require.ErrorIs(w, err, consent.ErrOvertaken)
		assert.Equal(w, consent.Revoked, func() consent.Status { c = w.look(c); return c.Status(zero) }())

		live := w.stored()
		held := w.claimed(w.begun(nil))
		require.NoError(w, w.r.HoldAttempt(w.Context(), hold(held, live)))
		_, err = w.r.Activate(w.Context(), activation(w.confirming(held), live))
		require.ErrorIs(w, err, consent.ErrOvertaken)
		assert.Equal(w, live, w.look(live))
	}},
}
