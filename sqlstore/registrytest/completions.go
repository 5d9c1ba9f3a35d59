package registrytest

import (
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
)

// linkage makes c of a claimed attempt.
func (w *world) linkage(a consent.Attempt, c consent.Consent) consent.Linkage {
	reg := w.registration(c)
	reg.Contact.Email = "ada@example.org"
	return consent.Linkage{
		ApplicationID: a.ApplicationID, AttemptID: a.ID, ClaimID: a.ClaimID, At: at(2 * time.Minute),
		Registration: reg, ResultHash: []byte("result " + a.ID), ConfirmBy: at(time.Hour),
	}
}

// unconfirmed returns the linkage of a pending consent.
func (w *world) unconfirmed(a consent.Attempt) consent.Linkage {
	c := w.consent()
	c.Pending, c.Tokens, c.Accounts = true, consent.Tokens{}, nil
	c.LapsingAt, c.LapsesAt, c.RenewableUntil, c.NextStageAt = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	l := w.linkage(a, c)
	l.Registration.TokenHash, l.Registration.Events = nil, nil
	return l
}

// pending links a consent that waits for confirmation.
func (w *world) pending() (consent.Attempt, consent.Consent) {
	w.Helper()
	a := w.claimed(w.begun(nil))
	require.NoError(w, w.r.KeepGrant(w.Context(), w.app.ID, a.ID, a.ClaimID, consent.Sealed("grant")))
	c, err := w.r.Link(w.Context(), w.unconfirmed(a))
	require.NoError(w, err)
	return w.lookAt(a), c
}

func hold(a consent.Attempt, c consent.Consent) consent.Hold {
	return consent.Hold{
		ApplicationID: a.ApplicationID, AttemptID: a.ID, ClaimID: a.ClaimID, At: at(2 * time.Minute),
		ConsentID: c.ID, CredentialsID: c.CredentialsID, ResultHash: []byte("result " + a.ID), ConfirmBy: at(time.Hour),
	}
}

func activation(a consent.Attempt, c consent.Consent) consent.Activation {
	c.Pending, c.ConsentedAt, c.Accounts = false, at(4*time.Minute), []string{"acc1"}
	c.ExpiresAt, c.LapsesAt, c.LapsingAt, c.RenewableUntil, c.NextStageAt = at(90*day), at(90*day), at(60*day), at(180*day), at(60*day)
	c.Tokens = consent.Tokens{Refresh: consent.Sealed("first"), Access: consent.Sealed("first access"), AccessExpiresAt: at(time.Hour), RefreshedAt: at(4 * time.Minute)}
	return consent.Activation{
		ApplicationID: a.ApplicationID, AttemptID: a.ID, ClaimID: a.ClaimID, At: at(4 * time.Minute),
		Consent: c, TokenHash: []byte("hash of " + c.ID), Event: event(consent.EventLinked, nil),
	}
}

// confirming claims a pending attempt for confirmation.
func (w *world) confirming(a consent.Attempt) consent.Attempt {
	w.Helper()
	a, err := w.r.ClaimConfirmation(w.Context(), claim(a, at(3*time.Minute)))
	require.NoError(w, err)
	require.Equal(w, consent.AttemptPending, a.Status)
	return a
}

var renewTests = []test{
	{"Renew/starts the next cycle", func(w *world) {
		c := w.stored()
		require.NoError(w, w.r.SetOutlook(w.Context(), func() consent.Outlook {
			o := outlook(c)
			o.EndedAt, o.EndedReason, o.RefusedAt = at(time.Second), "access_denied", at(time.Second)
			return o
		}()))
		a := w.claimed(w.begun(&c))
		require.NoError(w, w.r.KeepGrant(w.Context(), w.app.ID, a.ID, a.ClaimID, consent.Sealed("grant")))
		r := renewal(a, w.look(c))
		r.Consent.EndedAt, r.Consent.EndedReason, r.Consent.RefusedAt = time.Time{}, "", time.Time{}
		r.Consent.CredentialsID, r.Consent.ProviderID, r.Consent.BankName, r.Consent.AccountLabel = "cred_new_"+c.ID, "mock-fr", "Banque", "Compte"
		r.Consent.Scopes, r.Consent.Accounts = []string{"accounts"}, []string{"acc2", "acc3"}
		r.Consent.RedirectURI, r.Consent.Hosted = "https://app.example/first", false
		want := r.Consent
		// These are not a renewal's to write.
		r.Consent.UserID, r.Consent.Provider, r.Consent.Custody, r.Consent.Replaces, r.Consent.CreatedAt = "u", "p", consent.CustodyBackend, "r", at(day)
		got, err := w.r.Renew(w.Context(), r)
		require.NoError(w, err)
		want.Seq = 2
		assert.Equal(w, want, got)
		assert.Equal(w, want, w.look(c))

		events, err := w.r.Events(w.Context(), w.app.ID, c.ID, 1, 10)
		require.NoError(w, err)
		require.Len(w, events, 1)
		assert.Equal(w, 2, events[0].Cycle, "the cycle after the step")
		assert.Equal(w, consent.EventRenewed, events[0].Type)
		done := w.lookAt(a)
		assert.Equal(w, consent.AttemptRenewed, done.Status)
		assert.Equal(w, r.At, done.FinishedAt)
		assert.Equal(w, c.ID, done.ConsentID)
		assert.Equal(w, "cred_new_"+c.ID, done.CredentialsID)
		assert.Empty(w, done.Grant)
		assert.Empty(w, done.Code)
		_, err = w.r.Lease(w.Context(), w.app.ID, c.ID, "next", at(time.Minute), at(time.Hour))
		require.NoError(w, err, "the lease ends with the claim")
	}},
	{"Renew/without a refresh token keeps the old one", func(w *world) {
		c := w.stored()
		r := renewal(w.claimed(w.begun(&c)), c)
		r.Consent.Tokens.Refresh, r.TokenHash = nil, nil
		got, err := w.r.Renew(w.Context(), r)
		require.NoError(w, err)
		assert.Equal(w, c.Tokens.Refresh, got.Tokens.Refresh)
		assert.Equal(w, r.Consent.Tokens.Access, got.Tokens.Access)
	}},
	{"Renew/once", func(w *world) {
		c := w.stored()
		a := w.claimed(w.begun(&c))
		next, err := w.r.Renew(w.Context(), renewal(a, c))
		require.NoError(w, err)
		_, err = w.r.Renew(w.Context(), renewal(a, next))
		require.ErrorIs(w, err, consent.ErrClaimLost)
		assert.Equal(w, next, w.look(c))
	}},
	{"Renew/overtaken", func(w *world) {
		c := w.stored()
		a := w.claimed(w.begun(&c))
		wrong := renewal(a, c)
		wrong.Consent.Cycle = 3
		_, err := w.r.Renew(w.Context(), wrong)
		require.ErrorIs(w, err, consent.ErrOvertaken)
		assert.Equal(w, c, w.look(c))
		revoked := w.revoked(c)
		_, err = w.r.Renew(w.Context(), renewal(a, c))
		require.ErrorIs(w, err, consent.ErrOvertaken)
		assert.Equal(w, revoked, w.look(c))
		_, err = w.r.FinishAttempt(w.Context(), finish(a, consent.AttemptFailed))
		require.NoError(w, err, "the claim is still there to end it by")
	}},
	{"Renew/into a login that is another live consent's", func(w *world) {
		c := w.stored()
		other := w.stored(func(o *consent.Consent) { o.UserID = c.UserID })
		r := renewal(w.claimed(w.begun(&c)), c)
		r.Consent.CredentialsID = other.CredentialsID
		_, err := w.r.Renew(w.Context(), r)
		require.ErrorIs(w, err, consent.ErrExists)
		assert.Equal(w, c, w.look(c))
		assert.Len(w, w.history(c), 1)
	}},
	{"Renew/by a first link that turned out to be a consent's", func(w *world) {
		c := w.stored()
		a := w.claimed(w.begun(nil))
		_, err := w.r.Lease(w.Context(), w.app.ID, c.ID, a.ClaimID, at(time.Minute), at(2*time.Minute))
		require.NoError(w, err)
		_, err = w.r.Renew(w.Context(), renewal(a, c))
		require.NoError(w, err)
		assert.Equal(w, c.ID, w.lookAt(a).ConsentID)
		_, err = w.r.Lease(w.Context(), w.app.ID, c.ID, "next", at(time.Minute), at(time.Hour))
		require.NoError(w, err)
	}},
	{"Renew/unknown", func(w *world) {
		c := w.stored()
		a := w.claimed(w.begun(nil))
		c.ID = "nobody"
		_, err := w.r.Renew(w.Context(), renewal(a, c))
		require.ErrorIs(w, err, consent.ErrNotFound)
		assert.Equal(w, consent.AttemptClaimed, w.lookAt(a).Status)
	}},
}

var linkTests = []test{
	{"Link/makes a consent", func(w *world) {
		a := w.claimed(w.begun(nil))
		require.NoError(w, w.r.KeepGrant(w.Context(), w.app.ID, a.ID, a.ClaimID, consent.Sealed("grant")))
		c := w.consent()
		l := w.linkage(a, c)
		got, err := w.r.Link(w.Context(), l)
		require.NoError(w, err)
		c.Seq = 1
		assert.Equal(w, c, got)
		assert.Equal(w, c, w.look(c))
		assert.Equal(w, []consent.EventType{consent.EventLinked}, w.history(c))
		assert.Equal(w, []string{c.ID}, w.find(consent.Find{TokenHash: l.Registration.TokenHash}))
		u, err := w.r.User(w.Context(), w.app.ID, c.UserID)
		require.NoError(w, err)
		assert.Equal(w, "ada@example.org", u.Email)
		done := w.lookAt(a)
		assert.Equal(w, consent.AttemptLinked, done.Status)
		assert.Equal(w, c.ID, done.ConsentID)
		assert.Equal(w, c.CredentialsID, done.CredentialsID)
		assert.Equal(w, l.ResultHash, done.ResultHash)
		assert.Equal(w, l.At, done.FinishedAt)
		assert.Empty(w, done.Grant)
	}},
	{"Link/a login that is registered already", func(w *world) {
		c := w.stored()
		a := w.claimed(w.begun(nil))
		same := w.consent()
		same.UserID, same.CredentialsID = c.UserID, c.CredentialsID
		_, err := w.r.Link(w.Context(), w.linkage(a, same))
		require.ErrorIs(w, err, consent.ErrExists)
		_, err = w.r.Consent(w.Context(), w.app.ID, same.ID)
		require.ErrorIs(w, err, consent.ErrNotFound)
		assert.Equal(w, a, w.lookAt(a), "the claim is still there")
	}},
	{"Link/another user with the same login", func(w *world) {
		c := w.stored()
		same := w.consent()
		same.CredentialsID = c.CredentialsID
		_, err := w.r.Link(w.Context(), w.linkage(w.claimed(w.begun(nil)), same))
		require.NoError(w, err)
	}},
	{"Link/a relink frees the consent that it replaces", func(w *world) {
		c := w.stored()
		a := w.claimed(w.begun(&c, func(a *consent.Attempt) { a.Kind = consent.KindRelink }))
		got, err := w.r.Link(w.Context(), w.linkage(a, w.consent()))
		require.NoError(w, err)
		assert.Equal(w, got.ID, w.lookAt(a).ConsentID)
		assert.Equal(w, c, w.look(c), "the old one is untouched")
		_, err = w.r.Lease(w.Context(), w.app.ID, c.ID, "next", at(time.Minute), at(time.Hour))
		require.NoError(w, err)
	}},
	{"Link/pending has neither token nor history, and the attempt keeps the grant", func(w *world) {
		a, c := w.pending()
		assert.True(w, c.Pending)
		assert.Empty(w, c.Tokens)
		assert.Empty(w, w.history(c))
		assert.Equal(w, consent.AttemptPending, a.Status)
		assert.Equal(w, c.ID, a.ConsentID)
		assert.Equal(w, c.CredentialsID, a.CredentialsID)
		assert.Equal(w, []byte("result "+a.ID), a.ResultHash)
		assert.Equal(w, at(time.Hour), a.ConfirmBy)
		assert.Equal(w, consent.Sealed("grant"), a.Grant)
		assert.Empty(w, a.Code)
		assert.Empty(w, a.ClaimID)
		got, err := w.r.ClaimAttempt(w.Context(), claim(a, at(time.Minute)))
		require.NoError(w, err)
		assert.Equal(w, a, got, "a second hit is shown that it waits")
	}},
	{"Link/pending holds no token, whatever was handed over", func(w *world) {
		l := w.unconfirmed(w.claimed(w.begun(nil)))
		l.Registration.Consent.Tokens = consent.Tokens{Refresh: consent.Sealed("r"), Access: consent.Sealed("a"), AccessExpiresAt: at(time.Hour)}
		l.Registration.TokenHash = []byte("early " + l.AttemptID)
		l.Registration.Events = []consent.Event{event(consent.EventLinked, nil)}
		c, err := w.r.Link(w.Context(), l)
		require.NoError(w, err)
		assert.Empty(w, c.Tokens.Refresh)
		assert.Empty(w, c.Tokens.Access)
		assert.Empty(w, w.history(c))
		assert.Empty(w, w.find(consent.Find{TokenHash: l.Registration.TokenHash}))
	}},
	{"Link/pending binds nobody", func(w *world) {
		_, c := w.pending()
		for range 2 { // somebody else's click must not keep the person's own link out
			same := w.unconfirmed(w.claimed(w.begun(nil)))
			same.Registration.Consent.UserID, same.Registration.Consent.CredentialsID = c.UserID, c.CredentialsID
			_, err := w.r.Link(w.Context(), same)
			require.NoError(w, err)
		}
		own := w.consent()
		own.UserID, own.CredentialsID = c.UserID, c.CredentialsID
		_, err := w.r.Link(w.Context(), w.linkage(w.claimed(w.begun(nil)), own))
		require.NoError(w, err)
	}},
	{"HoldAttempt/waits for confirmation over a consent that stays as it was", func(w *world) {
		c := w.stored()
		a := w.claimed(w.begun(nil))
		require.NoError(w, w.r.KeepGrant(w.Context(), w.app.ID, a.ID, a.ClaimID, consent.Sealed("grant")))
		h := hold(a, c)
		require.NoError(w, w.r.HoldAttempt(w.Context(), h))
		got := w.lookAt(a)
		assert.Equal(w, consent.AttemptPending, got.Status)
		assert.Equal(w, c.ID, got.ConsentID)
		assert.Equal(w, c.CredentialsID, got.CredentialsID)
		assert.Equal(w, h.ResultHash, got.ResultHash)
		assert.Equal(w, h.ConfirmBy, got.ConfirmBy)
		assert.Equal(w, consent.Sealed("grant"), got.Grant)
		assert.Equal(w, c, w.look(c))
		require.ErrorIs(w, w.r.HoldAttempt(w.Context(), h), consent.ErrClaimLost)

		next, err := w.r.Renew(w.Context(), renewal(w.confirming(got), c))
		require.NoError(w, err)
		assert.Equal(w, 2, next.Cycle)
		assert.Equal(w, consent.AttemptRenewed, w.lookAt(a).Status)
		assert.Equal(w, h.ResultHash, w.lookAt(a).ResultHash, "by which confirming again shows the outcome")
	}},
}
