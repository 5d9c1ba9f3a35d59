package registrytest

import (
	"slices"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
)

var attemptTests = []test{
	{"BeginAttempt/reads back as written, with its line of history", func(w *world) {
		c := w.stored()
		a := w.attempt(&c)
		e := event(consent.EventAttemptStarted, map[string]any{"attempt_id": a.ID})
		e.Stage = "lapse"
		require.NoError(w, w.r.BeginAttempt(w.Context(), a, &e))
		assert.Equal(w, a, w.lookAt(a))
		c.Seq++
		assert.Equal(w, c, w.look(c), "nothing else about the consent changes")
		events, err := w.r.Events(w.Context(), w.app.ID, c.ID, 1, 10)
		require.NoError(w, err)
		e.ApplicationID, e.ConsentID, e.Seq, e.Cycle = w.app.ID, c.ID, 2, 1
		assert.Equal(w, []consent.Event{e}, events)
	}},
	{"BeginAttempt/reads back as written, all empty", func(w *world) {
		a := consent.Attempt{
			ApplicationID: w.app.ID, ID: name("att"), Kind: consent.KindLink, Origin: consent.OriginPage, UserID: "u", Provider: "p",
			CreatedAt: at(0), ExpiresAt: at(time.Hour), Status: consent.AttemptStarted,
		}
		require.NoError(w, w.r.BeginAttempt(w.Context(), a, nil))
		got := w.lookAt(a)
		assert.Empty(w, got.Scopes)
		got.Scopes = nil
		assert.Equal(w, a, got)
	}},
	{"BeginAttempt/a state that is empty is not none", func(w *world) {
		a := w.begun(nil, func(a *consent.Attempt) { a.CallerState = []byte{} })
		got := w.lookAt(a)
		assert.NotNil(w, got.CallerState)
		assert.Empty(w, got.CallerState)
	}},
	{"BeginAttempt/an id is taken once", func(w *world) {
		c := w.stored()
		a := w.begun(&c)
		e := event(consent.EventAttemptStarted, nil)
		again := a
		again.CallerState = []byte("changed")
		require.ErrorIs(w, w.r.BeginAttempt(w.Context(), again, &e), consent.ErrExists)
		assert.Equal(w, a, w.lookAt(a))
		assert.Len(w, w.history(c), 1, "the line goes with the attempt")
	}},
	{"BeginAttempt/of no consent", func(w *world) {
		a := w.attempt(&consent.Consent{ID: "nobody", Cycle: 1})
		e := event(consent.EventAttemptStarted, nil)
		require.ErrorIs(w, w.r.BeginAttempt(w.Context(), a, &e), consent.ErrNotFound)
		_, err := w.r.Attempt(w.Context(), w.app.ID, a.ID)
		require.ErrorIs(w, err, consent.ErrNotFound)
	}},
	{"ReusableAttempt", func(w *world) {
		c := w.stored()
		key := []byte("reuse")
		with := func(created time.Time) func(*consent.Attempt) {
			return func(a *consent.Attempt) { a.ReuseKey, a.CreatedAt = key, created }
		}
		w.begun(&c, with(at(0)))
		newest := w.begun(&c, with(at(time.Second)))
		w.begun(&c, func(a *consent.Attempt) { a.ReuseKey = []byte("another") })
		none := w.begun(&c, func(a *consent.Attempt) { a.ReuseKey = nil })
		reuse := func(consentID string, key []byte, since, now time.Time) (string, error) {
			a, err := w.r.ReusableAttempt(w.Context(), w.app.ID, consentID, key, since, now)
			return a.ID, err
		}
		got, err := reuse(c.ID, key, at(-time.Minute), at(time.Minute))
		require.NoError(w, err)
		assert.Equal(w, newest.ID, got)
		for _, tt := range []struct {
			name       string
			consentID  string
			key        []byte
			since, now time.Time
		}{
			{"another consent", w.stored().ID, key, at(-time.Minute), at(0)},
			{"another key", c.ID, []byte("third"), at(-time.Minute), at(0)},
			{"no key", c.ID, nil, at(-time.Minute), at(0)},
			{"not after since", c.ID, key, at(time.Second), at(2 * time.Second)},
			{"expired", c.ID, key, at(-time.Minute), at(time.Hour)},
		} {
			got, err := reuse(tt.consentID, tt.key, tt.since, tt.now)
			require.ErrorIs(w, err, consent.ErrNotFound, "%s: %s", tt.name, got)
		}
		assert.Nil(w, w.lookAt(none).ReuseKey)
		w.claimed(newest)
		got, err = reuse(c.ID, key, at(0), at(time.Minute))
		require.ErrorIs(w, err, consent.ErrNotFound, "%s has been returned from", got)
	}},
	{"AttemptsByState/newest first, at most ten", func(w *world) {
		var want []string
		for i := range 12 {
			a := w.begun(nil, func(a *consent.Attempt) {
				a.StateHash, a.CreatedAt = []byte{1}, at(time.Duration(i)*time.Second)
			})
			want = append([]string{a.ID}, want...)
		}
		w.begun(nil, func(a *consent.Attempt) { a.StateHash = nil })
		byState := func(hash []byte) []string {
			found, err := w.r.AttemptsByState(w.Context(), w.app.ID, hash)
			require.NoError(w, err)
			out := []string{}
			for _, a := range found {
				out = append(out, a.ID)
			}
			return out
		}
		assert.Equal(w, want[:10], byState([]byte{1}))
		assert.Empty(w, byState([]byte("none")))
		assert.Empty(w, byState(nil), "no state is no fingerprint")
	}},
	{"FinishAttempt/of a grant whose owner nobody knows", func(w *world) {
		c, other := w.stored(), w.stored()
		a := w.claimed(w.begun(&c))
		f := finish(a, consent.AttemptInterrupted)
		f.CredentialsID, f.ForgetAccess = "", true
		_, err := w.r.FinishAttempt(w.Context(), f)
		require.NoError(w, err)
		c.Tokens.Access, c.Tokens.AccessExpiresAt = nil, time.Time{}
		assert.Equal(w, c, w.look(c), "it may have superseded the consent's own access token")
		assert.Equal(w, other, w.look(other))
	}},
	{"FinishAttempt/by its claim", func(w *world) {
		c := w.stored()
		other := w.stored(func(o *consent.Consent) { o.CredentialsID = "cred_came_back" })
		elsewhere := w.stored(func(o *consent.Consent) { o.CredentialsID, o.Provider = "cred_came_back", "yapily" })
		a := w.claimed(w.begun(&c))
		require.NoError(w, w.r.KeepGrant(w.Context(), w.app.ID, a.ID, a.ClaimID, consent.Sealed("grant")))
		f := finish(a, consent.AttemptMismatched)
		e := event(consent.EventMismatched, map[string]any{"reason": "other_login"})
		f.Event, f.GiveBack, f.ForgetAccess = &e, giveBack(w.app.ID), true
		got, err := w.r.FinishAttempt(w.Context(), f)
		require.NoError(w, err)
		assert.Equal(w, w.lookAt(a), got)
		assert.Equal(w, consent.AttemptMismatched, got.Status)
		assert.Equal(w, "because", got.Reason)
		assert.Equal(w, "cred_came_back", got.CredentialsID)
		assert.Equal(w, f.At, got.FinishedAt)
		assert.Empty(w, got.Code, "secrets go with the outcome")
		assert.Empty(w, got.Grant)
		assert.Equal(w, []consent.EventType{consent.EventLinked, consent.EventMismatched}, w.history(c))
		c.Seq++
		assert.Equal(w, c, w.look(c), "the consent is as it was (law 5)")
		other.Tokens.Access, other.Tokens.AccessExpiresAt = nil, time.Time{}
		assert.Equal(w, other, w.look(other), "its cached access token was superseded")
		assert.Equal(w, elsewhere, w.look(elsewhere), "same id at another provider")
		_, err = w.r.ClaimGiveBack(w.Context(), w.app.ID, f.GiveBack.ID, at(time.Minute), at(time.Hour))
		require.NoError(w, err)
		_, err = w.r.Lease(w.Context(), w.app.ID, c.ID, "next", at(time.Minute), at(time.Hour))
		require.NoError(w, err, "the lease ends with the claim")

		_, err = w.r.FinishAttempt(w.Context(), f)
		require.ErrorIs(w, err, consent.ErrClaimLost, "once")
		assert.Len(w, w.history(c), 2)
	}},
	{"FinishAttempt/without a claim", func(w *world) {
		c := w.stored()
		a := w.begun(&c)
		got, err := w.r.FinishAttempt(w.Context(), finish(a, consent.AttemptDenied))
		require.NoError(w, err)
		assert.Equal(w, consent.AttemptDenied, got.Status)
		assert.Len(w, w.history(c), 1)

		taken := w.claimed(w.begun(&c))
		taken.ClaimID = ""
		_, err = w.r.FinishAttempt(w.Context(), finish(taken, consent.AttemptDenied))
		require.ErrorIs(w, err, consent.ErrClaimLost)
		assert.Equal(w, consent.AttemptClaimed, w.lookAt(taken).Status)
		_, err = w.r.FinishAttempt(w.Context(), finish(a, consent.AttemptFailed))
		require.ErrorIs(w, err, consent.ErrClaimLost, "it has its outcome")
	}},
	{"Attempt/unknown", func(w *world) {
		a := consent.Attempt{ApplicationID: w.app.ID, ID: "nobody", ClaimID: "x"}
		_, err := w.r.Attempt(w.Context(), w.app.ID, "nobody")
		errs := []error{err}
		_, err = w.r.ClaimAttempt(w.Context(), claim(a, at(0)))
		errs = append(errs, err)
		_, err = w.r.ClaimConfirmation(w.Context(), claim(a, at(0)))
		errs = append(errs, err)
		_, err = w.r.FinishAttempt(w.Context(), finish(a, consent.AttemptFailed))
		errs = append(errs, err)
		_, err = w.r.Renew(w.Context(), renewal(a, w.stored()))
		errs = append(errs, err)
		_, err = w.r.Link(w.Context(), w.linkage(a, w.consent()))
		errs = append(errs, err)
		_, err = w.r.Activate(w.Context(), activation(a, w.stored()))
		errs = append(errs, err,
			w.r.KeepGrant(w.Context(), w.app.ID, "nobody", "x", consent.Sealed("g")),
			w.r.ReleaseAttempt(w.Context(), w.app.ID, "nobody", "x", at(0)),
			w.r.HoldAttempt(w.Context(), hold(a, w.stored())))
		assert.False(w, slices.ContainsFunc(errs, func(err error) bool { return !isNotFound(err) }), "%v", errs)
	}},
}
