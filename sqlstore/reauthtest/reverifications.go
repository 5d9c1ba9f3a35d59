package reauthtest

import (
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/stepup"
)

var reverificationTests = []test{
	{"Reverification/comes back as it was stored", func(w *world) {
		l := line(w.who)
		r := stepup.Reverification{
			Who: w.who, ID: name("rev"), Level: "sca", Operation: "pay", Details: consent.Sealed("\x00d"), Digest: "dig", SecondEnrolled: true,
			Proven: []reauth.Proven{*prove(reauth.Password, reauth.First, "", at(0))}, Prepared: consent.Sealed("p"), CreatedAt: at(0), ExpiresAt: at(time.Minute),
		}
		require.NoError(w, w.s.CreateReverification(w.Context(), r, l))
		assert.Equal(w, r, w.lookReverification(r))
		got, err := w.s.ReverificationByID(w.Context(), r.ApplicationID, r.ID)
		require.NoError(w, err)
		assert.Equal(w, r, got)
		assert.Equal(w, []stepup.Audit{l}, w.audit(w.who.ApplicationID))
		require.ErrorIs(w, w.s.CreateReverification(w.Context(), r, line(w.who)), consent.ErrExists)
		assert.Len(w, w.audit(w.who.ApplicationID), 1)

		bare := stepup.Reverification{Who: w.who, ID: name("rev"), Level: "low", CreatedAt: at(0), ExpiresAt: at(time.Minute)}
		require.NoError(w, w.s.CreateReverification(w.Context(), bare))
		assert.Equal(w, bare, w.lookReverification(bare))
	}},
	{"Reverification/of another session or user, or of none", func(w *world) {
		r := w.started(w.who)
		for _, who := range []stepup.Who{elsewhere(w.who), w.user(w.who.ApplicationID), {ApplicationID: w.who.ApplicationID, UserID: w.who.UserID}} {
			_, err := w.s.Reverification(w.Context(), who, r.ID)
			require.ErrorIs(w, err, consent.ErrNotFound)
			require.ErrorIs(w, w.s.Prepare(w.Context(), who, r.ID, consent.Sealed("x"), line(who)), consent.ErrNotFound)
			_, err = w.s.TakePrepared(w.Context(), who, r.ID)
			require.ErrorIs(w, err, consent.ErrNotFound)
		}
		_, err := w.s.Reverification(w.Context(), w.who, "nothing")
		require.ErrorIs(w, err, consent.ErrNotFound)
		_, err = w.s.ReverificationByID(w.Context(), w.who.ApplicationID, "nothing")
		require.ErrorIs(w, err, consent.ErrNotFound)
		who := w.who
		who.UserID = "nobody"
		require.ErrorIs(w, w.s.CreateReverification(w.Context(), stepup.Reverification{Who: who, ID: name("rev"), CreatedAt: at(0), ExpiresAt: at(1)}), consent.ErrNotFound)
		assert.Equal(w, r, w.lookReverification(r))
		assert.Empty(w, w.audit(w.who.ApplicationID))
	}},
	{"Reverification/a challenge is good for one answer", func(w *world) {
		r := w.started(w.who)
		_, err := w.s.TakePrepared(w.Context(), w.who, r.ID)
		require.ErrorIs(w, err, consent.ErrNotFound, "there is none yet")
		l := line(w.who)
		require.NoError(w, w.s.Prepare(w.Context(), w.who, r.ID, consent.Sealed("first")))
		require.NoError(w, w.s.Prepare(w.Context(), w.who, r.ID, consent.Sealed("second\x00"), l))
		got, err := w.s.TakePrepared(w.Context(), w.who, r.ID)
		require.NoError(w, err)
		assert.Equal(w, consent.Sealed("second\x00"), got)
		_, err = w.s.TakePrepared(w.Context(), w.who, r.ID)
		require.ErrorIs(w, err, consent.ErrNotFound)
		assert.Equal(w, r, w.lookReverification(r))
		assert.Equal(w, []stepup.Audit{l}, w.audit(w.who.ApplicationID))
	}},
	{"Reverification/one that is over takes no challenge", func(w *world) {
		complete, ended := w.started(w.who), w.started(elsewhere(w.who))
		require.NoError(w, w.s.Prepare(w.Context(), ended.Who, ended.ID, consent.Sealed("x")))
		require.NoError(w, w.s.Succeed(w.Context(), stepup.Success{Who: w.who, At: at(time.Second), ReverificationID: complete.ID, Complete: true}))
		require.NoError(w, w.s.Clear(w.Context(), ended.Who, at(time.Second), line(w.who)))
		for _, r := range []stepup.Reverification{complete, ended} {
			require.ErrorIs(w, w.s.Prepare(w.Context(), r.Who, r.ID, consent.Sealed("x")), consent.ErrNotFound)
			_, err := w.s.TakePrepared(w.Context(), r.Who, r.ID)
			require.ErrorIs(w, err, consent.ErrNotFound)
		}
		complete.CompletedAt, ended.EndedAt, ended.Prepared = at(time.Second), at(time.Second), consent.Sealed("x")
		assert.Equal(w, complete, w.lookReverification(complete))
		assert.Equal(w, ended, w.lookReverification(ended))
	}},
}
