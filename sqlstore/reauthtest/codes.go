package reauthtest

import (
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth/stepup"
)

var codeTests = []test{
	{"Code/comes back as it was stored", func(w *world) {
		for _, hollow := range []bool{false, true} {
			c := w.begun(elsewhere(w.who), func(c *stepup.Code) { c.Hollow = hollow })
			got, err := w.s.LiveCode(w.Context(), c.Who, c.Purpose, at(0))
			require.NoError(w, err)
			assert.Equal(w, c, got)
			got, err = w.s.TryCode(w.Context(), c.ApplicationID, c.ID, at(0))
			require.NoError(w, err)
			c.Tries = 1
			assert.Equal(w, c, got)
		}
	}},
	{"Code/the next one takes its place, unless it is too soon", func(w *world) {
		l := line(w.who)
		first := code(w.who)
		_, err := w.s.BeginCode(w.Context(), first, at(-time.Minute), l)
		require.NoError(w, err)
		next := code(w.who)
		next.CreatedAt = at(29 * time.Second)
		earlier, err := w.s.BeginCode(w.Context(), next, next.CreatedAt.Add(-30*time.Second), line(w.who))
		require.ErrorIs(w, err, consent.ErrBusy)
		assert.Equal(w, first.CreatedAt, earlier)
		assert.True(w, w.isLive(first))
		assert.Equal(w, []stepup.Audit{l}, w.audit(w.who.ApplicationID), "nothing was sent, so nothing is told")

		next.CreatedAt = at(30 * time.Second)
		_, err = w.s.BeginCode(w.Context(), next, next.CreatedAt.Add(-30*time.Second))
		require.NoError(w, err)
		assert.True(w, w.isLive(next))
		_, err = w.s.TryCode(w.Context(), first.ApplicationID, first.ID, at(31*time.Second))
		require.ErrorIs(w, err, consent.ErrNotFound, "two are never live")
	}},
	{"Code/each purpose, session and user has its own", func(w *world) {
		list := []stepup.Code{
			w.begun(w.who), w.begun(w.who, func(c *stepup.Code) { c.Purpose = stepup.PurposeReauthenticate }),
			w.begun(elsewhere(w.who)), w.begun(w.user(w.who.ApplicationID)),
		}
		for _, c := range list {
			assert.True(w, w.isLive(c))
		}
	}},
	{"Code/one that has expired stands in nobody's way", func(w *world) {
		w.begun(w.who)
		_, err := w.s.LiveCode(w.Context(), w.who, stepup.PurposeReverification, at(5*time.Minute))
		require.ErrorIs(w, err, consent.ErrNotFound)
		next := w.begun(w.who, func(c *stepup.Code) { c.CreatedAt, c.ExpiresAt = at(6*time.Minute), at(11*time.Minute) })
		assert.True(w, w.isLive(next))
	}},
	{"Code/five tries, each taken before anything is compared", func(w *world) {
		c := w.begun(w.who)
		for i := range stepup.MaxTries {
			got, err := w.s.TryCode(w.Context(), c.ApplicationID, c.ID, at(0))
			require.NoError(w, err)
			assert.Equal(w, i+1, got.Tries)
		}
		got, err := w.s.TryCode(w.Context(), c.ApplicationID, c.ID, at(0))
		require.ErrorIs(w, err, consent.ErrClaimLost)
		c.Tries = stepup.MaxTries
		assert.Equal(w, c, got)
		_, err = w.s.TryCode(w.Context(), c.ApplicationID, c.ID, c.ExpiresAt)
		require.ErrorIs(w, err, consent.ErrNotFound)
	}},
	{"Code/dead ones take no try", func(w *world) {
		used, ended, old := w.begun(w.who), w.begun(elsewhere(w.who)), w.begun(elsewhere(w.who))
		require.NoError(w, w.s.Succeed(w.Context(), stepup.Success{Who: used.Who, At: at(time.Second), CodeID: used.ID}))
		l := line(w.who)
		require.NoError(w, w.s.EndCode(w.Context(), ended.ApplicationID, ended.ID, at(time.Second), l))
		require.NoError(w, w.s.EndCode(w.Context(), ended.ApplicationID, ended.ID, at(time.Minute)), "ending it twice is no fault")
		assert.Equal(w, []stepup.Audit{l}, w.audit(w.who.ApplicationID))
		for _, c := range []stepup.Code{used, ended} {
			assert.False(w, w.isLive(c))
			_, err := w.s.TryCode(w.Context(), c.ApplicationID, c.ID, at(2*time.Second))
			require.ErrorIs(w, err, consent.ErrNotFound)
		}
		_, err := w.s.TryCode(w.Context(), old.ApplicationID, old.ID, old.ExpiresAt)
		require.ErrorIs(w, err, consent.ErrNotFound, "the end is not part of its life")
		_, err = w.s.TryCode(w.Context(), old.ApplicationID, "nothing", at(0))
		require.ErrorIs(w, err, consent.ErrNotFound)
		require.ErrorIs(w, w.s.EndCode(w.Context(), old.ApplicationID, "nothing", at(0), line(w.who)), consent.ErrNotFound)
	}},
	{"Code/needs a user", func(w *world) {
		who := w.who
		who.UserID = "nobody"
		_, err := w.s.BeginCode(w.Context(), code(who), at(0), line(who))
		require.ErrorIs(w, err, consent.ErrNotFound)
		assert.Empty(w, w.audit(who.ApplicationID))
	}},
	{"Code/an id is used once", func(w *world) {
		c := w.begun(w.who)
		again := code(elsewhere(w.who))
		again.ID = c.ID
		_, err := w.s.BeginCode(w.Context(), again, at(0))
		require.ErrorIs(w, err, consent.ErrExists)
	}},
}
