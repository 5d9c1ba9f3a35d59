package reauthtest

import (
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/stepup"
)

var clearTests = []test{
	{"Clear/one session", func(w *world) {
		there := elsewhere(w.who)
		here, other := w.live(w.who), w.live(there)
		w.proved(w.who, prove(reauth.Password, reauth.First, "", at(time.Minute)))
		w.proved(there, prove(reauth.Password, reauth.First, "", at(time.Minute)))
		l := line(w.who)
		require.NoError(w, w.s.Clear(w.Context(), w.who, at(2*time.Minute), l))
		assert.Equal(w, at(2*time.Minute), w.endedAt(here))
		assert.Zero(w, w.endedAt(other))
		st := w.standing(w.who)
		assert.Empty(w, st.Proven)
		assert.Equal(w, at(2*time.Minute), st.ClearedAt)
		st = w.standing(there)
		assert.Len(w, st.Proven, 1)
		assert.Zero(w, st.ClearedAt)
		assert.Equal(w, []stepup.Audit{l}, w.audit(w.who.ApplicationID))
	}},
	{"Clear/all sessions, also those not seen yet", func(w *world) {
		there, other := elsewhere(w.who), w.user(w.who.ApplicationID)
		lives := []live{w.live(w.who), w.live(there)}
		bystander := w.live(other)
		for _, who := range []stepup.Who{w.who, there, other} {
			w.proved(who, prove(reauth.Password, reauth.First, "", at(time.Minute)))
		}
		all := w.who
		all.SessionID = ""
		require.NoError(w, w.s.Clear(w.Context(), all, at(2*time.Minute), line(w.who)))
		for _, l := range lives {
			assert.Equal(w, at(2*time.Minute), w.endedAt(l))
		}
		for _, who := range []stepup.Who{w.who, there, elsewhere(w.who), all} {
			st := w.standing(who)
			assert.Empty(w, st.Proven)
			assert.Equal(w, at(2*time.Minute), st.ClearedAt)
		}
		assert.Zero(w, w.endedAt(bystander))
		assert.Len(w, w.standing(other).Proven, 1)
		assert.Zero(w, w.standing(other).ClearedAt)
	}},
	{"Clear/only what is later counts", func(w *world) {
		all := w.who
		all.SessionID = ""
		require.NoError(w, w.s.Clear(w.Context(), w.who, at(2*time.Minute), line(w.who)))
		require.NoError(w, w.s.Clear(w.Context(), all, at(time.Minute), line(w.who)))
		require.NoError(w, w.s.Clear(w.Context(), w.who, at(time.Minute), line(w.who)))
		assert.Equal(w, at(2*time.Minute), w.standing(w.who).ClearedAt, "it never goes back")
		for _, then := range []time.Time{at(0), at(2 * time.Minute)} {
			require.ErrorIs(w, w.s.Succeed(w.Context(), stepup.Success{Who: w.who, At: then, Proven: prove(reauth.Password, reauth.First, "", then)}), consent.ErrClaimLost)
		}
		early := prove(reauth.TOTP, reauth.Second, "", at(time.Minute))
		require.NoError(w, w.s.Succeed(w.Context(), stepup.Success{Who: w.who, At: at(3 * time.Minute), Proven: early}))
		assert.Empty(w, w.standing(w.who).Proven, "proven before, told after")
		w.proved(w.who, prove(reauth.Password, reauth.First, "", at(2*time.Minute+time.Microsecond)))
		assert.Len(w, w.standing(w.who).Proven, 1)
		require.NoError(w, w.s.Clear(w.Context(), all, at(4*time.Minute), line(w.who)))
		w.proved(w.who, prove(reauth.TOTP, reauth.Second, "", at(5*time.Minute)))
		assert.Equal(w, []reauth.Proven{*prove(reauth.TOTP, reauth.Second, "", at(5*time.Minute))}, w.standing(w.who).Proven)
	}},
	{"Clear/needs a user", func(w *world) {
		who := w.who
		who.UserID = "nobody"
		require.ErrorIs(w, w.s.Clear(w.Context(), who, at(0), line(who)), consent.ErrNotFound)
		assert.Empty(w, w.audit(who.ApplicationID))
	}},
}

// full gives a user one of everything.
func (w *world) full(who stepup.Who) (live, stepup.FactorRecord) {
	w.Helper()
	f := w.enrolled(who, stepup.KindBackupCodes, "a", "b")
	l := w.live(who)
	w.proved(who, prove(reauth.Password, reauth.First, "", at(time.Minute)))
	for _, bucket := range stepup.WindowsOf(who.UserID) {
		ok, err := w.s.SwapWindow(w.Context(), who.ApplicationID, bucket, "", "1", at(0), line(who))
		require.NoError(w, err)
		require.True(w, ok)
	}
	for _, name := range stepup.AllowancesOf(who.UserID) {
		ok, err := w.s.Take(w.Context(), who.ApplicationID, name, zero, 1, 1)
		require.NoError(w, err)
		require.True(w, ok)
	}
	return l, f
}

var eraseTests = []test{
	{"Erase/a user put again starts with nothing", func(w *world) {
		app, other := w.who.ApplicationID, w.user(w.who.ApplicationID)
		w.full(other)
		bystander, lines := w.standing(other), len(w.audit(app))
		l, f := w.full(w.who)
		all := w.who
		all.SessionID = ""
		require.NoError(w, w.s.Clear(w.Context(), all, at(-time.Hour), line(w.who)))
		require.NoError(w, w.s.EraseUser(w.Context(), app, w.who.UserID, "erased_1"))

		_, err := w.s.Standing(w.Context(), w.who)
		require.ErrorIs(w, err, consent.ErrNotFound)
		u := w.put(w.who)
		assert.Equal(w, stepup.Standing{User: u}, w.standing(w.who))
		assert.Empty(w, w.unused(w.who))
		for _, bucket := range stepup.WindowsOf(w.who.UserID) {
			assert.Empty(w, w.window(bucket), bucket)
			assert.NotEmpty(w, w.window(strings.TrimSuffix(bucket, w.who.UserID)+other.UserID), bucket)
		}
		for _, name := range stepup.AllowancesOf(w.who.UserID) {
			ok, err := w.s.Take(w.Context(), app, name, zero, 1, 1)
			require.NoError(w, err)
			assert.True(w, ok, name)
		}
		for what, look := range map[string]func() error{
			"factor":         func() error { _, err := w.s.Factor(w.Context(), app, w.who.UserID, f.ID); return err },
			"code":           func() error { _, err := w.s.TryCode(w.Context(), app, l.code.ID, at(0)); return err },
			"live code":      func() error { _, err := w.s.LiveCode(w.Context(), w.who, l.code.Purpose, at(0)); return err },
			"reverification": func() error { _, err := w.s.ReverificationByID(w.Context(), app, l.rev.ID); return err },
			"token":          func() error { _, err := w.s.StepToken(w.Context(), app, l.token.Kind, l.token.Hash); return err },
			"proof":          func() error { _, err := w.s.Proof(w.Context(), app, l.proof.ID); return err },
			"use":            func() error { return w.s.UseProof(w.Context(), app, l.proof.ID, at(time.Minute), stepup.Answer{}) },
		} {
			assert.ErrorIs(w, look(), consent.ErrNotFound, what)
		}
		b := &stepup.BackupUse{FactorID: f.ID, Hash: []byte("a")}
		require.ErrorIs(w, w.s.Succeed(w.Context(), stepup.Success{Who: w.who, At: at(day), BackupCode: b}), consent.ErrClaimLost)

		pseudonyms := 0
		for _, l := range w.audit(app) {
			assert.NotEqual(w, w.who.UserID, l.UserID)
			if l.UserID == "erased_1" {
				pseudonyms++
				assert.Empty(w, l.SessionID+l.DeviceID+l.IPPrefix)
				assert.Equal(w, "because", l.Reason)
				assert.Equal(w, "rev_1", l.Subject)
			}
		}
		assert.Equal(w, len(stepup.WindowsOf(""))+1, pseudonyms, "a line for each window, and one of the end of the sessions")
		assert.Len(w, w.audit(app), lines+pseudonyms)
		assert.Equal(w, bystander, w.standing(other))
		require.NoError(w, w.s.EraseUser(w.Context(), app, w.who.UserID, "erased_1"))
		require.ErrorIs(w, w.s.EraseUser(w.Context(), app, w.who.UserID, "erased_1"), consent.ErrNotFound)
	}},
}

var tidyTests = []test{
	{"Tidy/what nobody can ask for any more, so many at a time", func(w *world) {
		// Long before all other tests, whose rows are too young to go.
		then := zero.AddDate(-10, 0, 0)
		app := w.who.ApplicationID
		var sessions []stepup.Who
		for i := range 3 {
			who := elsewhere(w.who)
			sessions = append(sessions, who)
			p, t, a := proof(who), token(who), stepup.Answer{ApplicationID: app, Key: name("key"), Text: "x", At: then}
			p.CreatedAt, p.ExpiresAt, t.CreatedAt, t.ExpiresAt = then, then, then, then
			require.NoError(w, w.s.Succeed(w.Context(), stepup.Success{
				Who: who, At: then, Proven: prove(reauth.Password, reauth.First, "", then), Proof: &p, Issue: &t, Answer: &a,
			}))
			w.begun(who, func(c *stepup.Code) { c.CreatedAt, c.ExpiresAt = then, then })
			require.NoError(w, w.s.CreateReverification(w.Context(), stepup.Reverification{Who: who, ID: name("rev"), CreatedAt: then, ExpiresAt: then}))
			ok, err := w.s.SwapWindow(w.Context(), app, who.SessionID, "", "1", then.Add(time.Duration(i)*time.Second))
			require.NoError(w, err)
			require.True(w, ok)
		}
		tidy := func(now time.Time, limit int) int {
			n, err := w.s.TidyReauth(w.Context(), now, limit)
			require.NoError(w, err)
			return n
		}
		assert.Zero(w, tidy(then.Add(day-time.Microsecond), 100), "somebody may still ask")
		assert.Equal(w, 5*2, tidy(then.Add(day), 2), "of five kinds")
		assert.Equal(w, 5, tidy(then.Add(day), 2))
		assert.Zero(w, tidy(then.Add(day), 2))
		assert.Equal(w, 3, tidy(then.Add(3*day), 100), "windows")
		assert.Len(w, w.standing(sessions[0]).Proven, 1, "a level may look back 69 days")
		assert.Zero(w, tidy(then.Add(100*day), 100))
		assert.Equal(w, 3, tidy(then.Add(102*day), 100), "sessions")
		assert.Empty(w, w.standing(sessions[0]).Proven)
	}},
	{"Tidy/what is in use stays", func(w *world) {
		l, _ := w.full(w.who)
		_, err := w.s.TidyReauth(w.Context(), at(day), 1000)
		require.NoError(w, err)
		assert.Zero(w, w.endedAt(l))
		assert.Len(w, w.standing(w.who).Proven, 1)
		assert.Len(w, w.standing(w.who).Factors, 1)
		assert.Len(w, w.audit(w.who.ApplicationID), 4)
	}},
	{"Tidy/use keeps a window and a session", func(w *world) {
		bucket := name("bucket")
		require.True(w, w.swap(bucket, "", "1"))
		ok, err := w.s.SwapWindow(w.Context(), w.who.ApplicationID, bucket, "1", "2", at(5*day))
		require.NoError(w, err)
		require.True(w, ok)
		w.proved(w.who, prove(reauth.Password, reauth.First, "", at(0)))
		w.proved(w.who, prove(reauth.TOTP, reauth.Second, "", at(50*day)))
		_, err = w.s.TidyReauth(w.Context(), at(6*day), 1000)
		require.NoError(w, err)
		assert.Equal(w, "2", w.window(bucket))
		_, err = w.s.TidyReauth(w.Context(), at(149*day), 1000)
		require.NoError(w, err)
		assert.Empty(w, w.window(bucket))
		assert.Len(w, w.standing(w.who).Proven, 2)
	}},
}
