package reauthtest

import (
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/stepup"
)

// Law 8. Both applications have a user and a session of the same names.
var isolationTests = []test{
	{"Isolation/foreign ids are not found", func(w *world) {
		l, f := w.full(w.who)
		require.NoError(w, w.s.PutReauthSettings(w.Context(), stepup.SealedSettings{ApplicationID: w.who.ApplicationID, Config: consent.Sealed("x"), UpdatedAt: zero}))
		require.NoError(w, w.s.Prepare(w.Context(), w.who, l.rev.ID, consent.Sealed("p")))
		spare := w.minted(w.who)
		a := stepup.Answer{ApplicationID: w.who.ApplicationID, Key: "key", Text: "x", At: at(time.Minute)}
		require.NoError(w, w.s.UseProof(w.Context(), spare.ApplicationID, spare.ID, at(time.Minute), a))
		foreign := w.who
		foreign.ApplicationID = name("app")
		w.put(foreign)
		app, user, ctx := foreign.ApplicationID, foreign.UserID, w.Context()

		own, lines := w.standing(w.who), w.audit(w.who.ApplicationID)
		assert.Equal(w, stepup.Standing{User: w.put(foreign)}, w.standing(foreign))
		for method, call := range map[string]func() error{
			"ReauthSettings":     func() error { _, err := w.s.ReauthSettings(ctx, app); return err },
			"LiveCode":           func() error { _, err := w.s.LiveCode(ctx, foreign, l.code.Purpose, at(0)); return err },
			"TryCode":            func() error { _, err := w.s.TryCode(ctx, app, l.code.ID, at(0)); return err },
			"EndCode":            func() error { return w.s.EndCode(ctx, app, l.code.ID, at(0)) },
			"Reverification":     func() error { _, err := w.s.Reverification(ctx, foreign, l.rev.ID); return err },
			"ReverificationByID": func() error { _, err := w.s.ReverificationByID(ctx, app, l.rev.ID); return err },
			"Prepare":            func() error { return w.s.Prepare(ctx, foreign, l.rev.ID, consent.Sealed("x")) },
			"TakePrepared":       func() error { _, err := w.s.TakePrepared(ctx, foreign, l.rev.ID); return err },
			"Factor":             func() error { _, err := w.s.Factor(ctx, app, user, f.ID); return err },
			"Proof":              func() error { _, err := w.s.Proof(ctx, app, l.proof.ID); return err },
			"UseProof":           func() error { return w.s.UseProof(ctx, app, l.proof.ID, at(time.Minute), stepup.Answer{}) },
			"StepToken":          func() error { _, err := w.s.StepToken(ctx, app, l.token.Kind, l.token.Hash); return err },
			"Answered":           func() error { _, err := w.s.Answered(ctx, app, "key", at(0)); return err },
		} {
			assert.ErrorIs(w, call(), consent.ErrNotFound, method)
		}
		for part, s := range map[string]stepup.Success{
			"code": {CodeID: l.code.ID}, "step": {Step: &stepup.FactorStep{FactorID: f.ID}}, "backup code": {BackupCode: &stepup.BackupUse{FactorID: f.ID, Hash: []byte("a")}},
			"token": {Token: l.token.Hash}, "reverification": {ReverificationID: l.rev.ID},
		} {
			s.Who, s.At = foreign, at(time.Minute)
			assert.ErrorIs(w, w.s.Succeed(ctx, s), consent.ErrClaimLost, part)
		}
		require.ErrorIs(w, w.s.ChangeFactors(ctx, stepup.FactorChange{Who: foreign, At: at(time.Minute), Verify: f.ID}), consent.ErrClaimLost)
		require.ErrorIs(w, w.s.ChangeFactors(ctx, stepup.FactorChange{Who: foreign, At: at(time.Minute), Remove: []string{f.ID}}), consent.ErrClaimLost)
		records, err := w.s.FactorRecords(ctx, app, user, f.Kind)
		require.NoError(w, err)
		assert.Empty(w, records)
		assert.Empty(w, w.unused(foreign))
		assert.Empty(w, w.audit(app))
		for _, bucket := range []string{stepup.BucketCalls, stepup.BucketSends} {
			text, err := w.s.Window(ctx, app, bucket+user)
			require.NoError(w, err)
			assert.Empty(w, text)
			ok, err := w.s.SwapWindow(ctx, app, bucket+user, "1", "2", at(0))
			require.NoError(w, err)
			assert.False(w, ok)
		}
		ok, err := w.s.Take(ctx, app, stepup.BucketLocked+user, zero, 1, 1)
		require.NoError(w, err)
		assert.True(w, ok, "a budget of its own")
		require.NoError(w, w.s.ChangeFactors(ctx, stepup.FactorChange{Who: foreign, At: at(time.Minute), EndsOthers: true}))
		all := foreign
		all.SessionID = ""
		require.NoError(w, w.s.Clear(ctx, all, at(day), line(foreign)))
		require.NoError(w, w.s.Clear(ctx, foreign, at(day), line(foreign)))
		require.NoError(w, w.s.EraseUser(ctx, app, user, "erased"))

		assert.Equal(w, own, w.standing(w.who), "and nothing of it has changed")
		assert.Equal(w, lines, w.audit(w.who.ApplicationID))
		assert.Zero(w, w.endedAt(l))
		assert.Equal(w, f, w.lookFactor(f))
		challenge, err := w.s.TakePrepared(ctx, w.who, l.rev.ID)
		require.NoError(w, err)
		assert.Equal(w, consent.Sealed("p"), challenge)
		got, err := w.s.TryCode(ctx, w.who.ApplicationID, l.code.ID, at(0))
		require.NoError(w, err)
		assert.Equal(w, 1, got.Tries)
	}},
	{"Isolation/the same ids in two applications", func(w *world) {
		twin := w.who
		twin.ApplicationID = name("app")
		w.put(twin)
		for _, who := range []stepup.Who{w.who, twin} {
			f := factor(who, stepup.KindBackupCodes)
			f.ID = "fac"
			require.NoError(w, w.s.ChangeFactors(w.Context(), stepup.FactorChange{Who: who, At: at(0), Add: &f, BackupCodes: [][]byte{[]byte("a")}}))
			w.begun(who, func(c *stepup.Code) { c.ID = "cod" })
			require.NoError(w, w.s.CreateReverification(w.Context(), stepup.Reverification{Who: who, ID: "rev", CreatedAt: at(0), ExpiresAt: at(day)}))
			t, p, l := token(who), proof(who), line(who)
			t.Hash, p.ID, l.ID = []byte("hash"), "jti", "aud"
			a := stepup.Answer{ApplicationID: who.ApplicationID, Key: "key", Text: "x", At: at(time.Minute)}
			require.NoError(w, w.s.Succeed(w.Context(), stepup.Success{Who: who, At: at(time.Minute), Issue: &t, Proof: &p, Answer: &a, Log: []stepup.Audit{l}}))
		}
		before := w.standing(twin)
		require.NoError(w, w.s.Succeed(w.Context(), stepup.Success{
			Who: w.who, At: at(2 * time.Minute), Proven: prove(reauth.BackupCode, reauth.Second, "fac", at(2*time.Minute)), CodeID: "cod",
			BackupCode: &stepup.BackupUse{FactorID: "fac", Hash: []byte("a")}, Token: []byte("hash"), ReverificationID: "rev", Complete: true,
		}))
		require.NoError(w, w.s.UseProof(w.Context(), w.who.ApplicationID, "jti", at(2*time.Minute), stepup.Answer{}))
		require.NoError(w, w.s.EraseUser(w.Context(), w.who.ApplicationID, w.who.UserID, "erased"))
		assert.Equal(w, before, w.standing(twin))
		require.NoError(w, w.s.Succeed(w.Context(), stepup.Success{
			Who: twin, At: at(2 * time.Minute), CodeID: "cod", BackupCode: &stepup.BackupUse{FactorID: "fac", Hash: []byte("a")},
			Token: []byte("hash"), ReverificationID: "rev", Complete: true,
		}))
		require.NoError(w, w.s.UseProof(w.Context(), twin.ApplicationID, "jti", at(2*time.Minute), stepup.Answer{}))
		assert.Equal(w, twin.UserID, w.audit(twin.ApplicationID)[0].UserID)
	}},
}
