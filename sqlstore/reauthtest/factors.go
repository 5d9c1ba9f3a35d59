package reauthtest

import (
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/stepup"
)

// live is one of each that a change of factors ends.
type live struct {
	code  stepup.Code
	rev   stepup.Reverification
	token stepup.StepToken
	proof stepup.ProofRecord
}

func (w *world) live(who stepup.Who) live {
	w.Helper()
	return live{w.begun(who), w.started(who), w.issued(who), w.minted(who)}
}

// endedAt returns when each ended, and holds them to one moment.
func (w *world) endedAt(l live) time.Time {
	w.Helper()
	then := w.lookReverification(l.rev).EndedAt
	assert.Equal(w, then, w.lookToken(l.token).EndedAt)
	assert.Equal(w, then, w.lookProof(l.proof).EndedAt)
	assert.Equal(w, then.IsZero(), w.isLive(l.code))
	return then
}

func (w *world) change(c stepup.FactorChange) error {
	w.Helper()
	return w.s.ChangeFactors(w.Context(), c)
}

var factorTests = []test{
	{"Factor/comes back as it was stored", func(w *world) {
		f := factor(w.who, stepup.KindTOTP)
		l := line(w.who)
		require.NoError(w, w.change(stepup.FactorChange{Who: w.who, At: at(0), Add: &f, Log: []stepup.Audit{l}}))
		f.VerifiedAt = at(0) // to the microsecond
		assert.Equal(w, f, w.lookFactor(f))
		assert.Equal(w, []stepup.Audit{l}, w.audit(w.who.ApplicationID))
		require.ErrorIs(w, w.change(stepup.FactorChange{Who: w.who, At: at(0), Add: &f}), consent.ErrExists)
		other := w.user(w.who.ApplicationID)
		_, err := w.s.Factor(w.Context(), other.ApplicationID, other.UserID, f.ID)
		require.ErrorIs(w, err, consent.ErrNotFound)
		bare := stepup.FactorRecord{EnrolledFactor: stepup.EnrolledFactor{ID: name("fac"), Kind: stepup.KindPhone, CreatedAt: at(0)}, ApplicationID: w.who.ApplicationID, UserID: w.who.UserID}
		require.NoError(w, w.change(stepup.FactorChange{Who: w.who, At: at(0), Add: &bare}))
		assert.Equal(w, bare, w.lookFactor(bare))
	}},
	{"Factor/of a kind, oldest first", func(w *world) {
		w.enrolled(w.who, stepup.KindTOTP)
		var want []stepup.FactorRecord
		for i := range 3 {
			f := factor(w.who, stepup.KindPasskey)
			f.CreatedAt, f.VerifiedAt = at(time.Duration(-i)*time.Minute), at(0)
			require.NoError(w, w.change(stepup.FactorChange{Who: w.who, At: at(0), Add: &f}))
			want = append([]stepup.FactorRecord{f}, want...)
		}
		got, err := w.s.FactorRecords(w.Context(), w.who.ApplicationID, w.who.UserID, stepup.KindPasskey)
		require.NoError(w, err)
		assert.Equal(w, want, got)
		got, err = w.s.FactorRecords(w.Context(), w.who.ApplicationID, w.who.UserID, stepup.KindPhone)
		require.NoError(w, err)
		assert.Empty(w, got)
	}},
	{"Factor/what does not count yet ends nothing", func(w *world) {
		l := w.live(w.who)
		f := factor(w.who, stepup.KindTOTP)
		f.VerifiedAt = time.Time{}
		require.NoError(w, w.change(stepup.FactorChange{Who: w.who, At: at(time.Second), Add: &f}))
		assert.Zero(w, w.endedAt(l))
		g := factor(w.who, stepup.KindTOTP)
		g.VerifiedAt = time.Time{}
		require.NoError(w, w.change(stepup.FactorChange{Who: w.who, At: at(time.Second), Add: &g, Remove: []string{f.ID}}))
		assert.Zero(w, w.endedAt(l), "it gives way to the next")
		g.ID = name("fac")
		require.NoError(w, w.change(stepup.FactorChange{Who: w.who, At: at(time.Second), Add: &g, EndsOthers: true}))
		assert.Equal(w, at(time.Second), w.endedAt(l), "unless it is asked for")
	}},
	{"Factor/what counts ends all that is live, in all sessions", func(w *world) {
		phone := w.enrolled(w.who, stepup.KindPhone)
		begun, pending := factor(w.who, stepup.KindTOTP), factor(w.who, stepup.KindTOTP)
		begun.VerifiedAt, pending.VerifiedAt = time.Time{}, time.Time{}
		require.NoError(w, w.change(stepup.FactorChange{Who: w.who, At: at(0), Add: &begun}))
		require.NoError(w, w.change(stepup.FactorChange{Who: w.who, At: at(0), Add: &pending}))
		added := factor(w.who, stepup.KindBackupCodes)
		other := w.live(w.user(w.who.ApplicationID))
		for _, c := range []stepup.FactorChange{{Verify: pending.ID}, {Remove: []string{phone.ID}}, {Add: &added}, {ForgetRefs: []string{"x"}}} {
			here, there := w.live(w.who), w.live(elsewhere(w.who))
			c.Who, c.At = w.who, at(2*time.Second)
			require.NoError(w, w.change(c))
			assert.Equal(w, c.At, w.endedAt(here))
			assert.Equal(w, c.At, w.endedAt(there))
		}
		assert.Zero(w, w.endedAt(other))
		_, err := w.s.Factor(w.Context(), w.who.ApplicationID, w.who.UserID, begun.ID)
		require.ErrorIs(w, err, consent.ErrNotFound, "what was only begun ended too")
	}},
	{"Factor/counts from its first verified use", func(w *world) {
		f := factor(w.who, stepup.KindPhone)
		f.VerifiedAt, f.LastStep = time.Time{}, 7
		require.NoError(w, w.change(stepup.FactorChange{Who: w.who, At: at(0), Add: &f}))
		c := w.begun(w.who, func(c *stepup.Code) { c.Purpose = stepup.PurposeEnrol })
		verify := stepup.FactorChange{Who: w.who, At: at(time.Minute), Verify: f.ID, Secret: consent.Sealed("done"), LastStep: 9, CodeID: c.ID}
		require.NoError(w, w.change(verify))
		f.VerifiedAt, f.UsedAt, f.Secret, f.LastStep = at(time.Minute), at(time.Minute), consent.Sealed("done"), 9
		assert.Equal(w, f, w.lookFactor(f))
		require.ErrorIs(w, w.change(verify), consent.ErrClaimLost, "the code is used up")
		verify.CodeID = ""
		require.ErrorIs(w, w.change(verify), consent.ErrClaimLost, "it counts already")
		verify.Verify = "nothing"
		require.ErrorIs(w, w.change(verify), consent.ErrClaimLost)

		g := factor(w.who, stepup.KindTOTP)
		g.VerifiedAt = time.Time{}
		require.NoError(w, w.change(stepup.FactorChange{Who: w.who, At: at(0), Add: &g}))
		require.NoError(w, w.change(stepup.FactorChange{Who: w.who, At: at(time.Minute), Verify: g.ID}))
		g.VerifiedAt, g.UsedAt = at(time.Minute), at(time.Minute)
		assert.Equal(w, g, w.lookFactor(g), "its secret and step are left where none is given")
	}},
	{"Factor/a code proves only its own user's and session's", func(w *world) {
		f := factor(w.who, stepup.KindPhone)
		f.VerifiedAt = time.Time{}
		require.NoError(w, w.change(stepup.FactorChange{Who: w.who, At: at(0), Add: &f}))
		for _, who := range []stepup.Who{elsewhere(w.who), w.user(w.who.ApplicationID)} {
			c := w.begun(who)
			require.ErrorIs(w, w.change(stepup.FactorChange{Who: w.who, At: at(time.Minute), Verify: f.ID, CodeID: c.ID}), consent.ErrClaimLost)
			assert.True(w, w.isLive(c))
		}
		assert.Equal(w, f, w.lookFactor(f))
	}},
	{"Factor/is removed with its backup codes, or nothing is", func(w *world) {
		one, two := w.enrolled(w.who, stepup.KindBackupCodes, "a", "b"), w.enrolled(w.who, stepup.KindTOTP)
		others := w.enrolled(w.user(w.who.ApplicationID), stepup.KindBackupCodes, "a")
		l := w.live(w.who)
		for _, gone := range []string{"nothing", others.ID} {
			require.ErrorIs(w, w.change(stepup.FactorChange{Who: w.who, At: at(time.Second), Remove: []string{one.ID, two.ID, gone}, Log: []stepup.Audit{line(w.who)}}), consent.ErrClaimLost)
		}
		assert.Equal(w, one, w.lookFactor(one))
		assert.Equal(w, two, w.lookFactor(two))
		assert.Zero(w, w.endedAt(l))
		assert.Empty(w, w.audit(w.who.ApplicationID))
		require.NoError(w, w.change(stepup.FactorChange{Who: w.who, At: at(time.Second), Remove: []string{one.ID, two.ID}}))
		assert.Empty(w, w.standing(w.who).Factors)
		assert.Empty(w, w.unused(w.who))
		assert.Equal(w, others, w.lookFactor(others))
	}},
	{"Factor/new backup codes void the old", func(w *world) {
		old := w.enrolled(w.who, stepup.KindBackupCodes, "a", "b")
		next := factor(w.who, stepup.KindBackupCodes)
		require.NoError(w, w.change(stepup.FactorChange{Who: w.who, At: at(time.Second), Add: &next, BackupCodes: [][]byte{[]byte("b"), []byte("c\x00\xff")}, Remove: []string{old.ID}}))
		assert.ElementsMatch(w, []string{"b", "c\x00\xff"}, w.unused(w.who))
		use := func(id, hash string) error {
			return w.s.Succeed(w.Context(), stepup.Success{Who: w.who, At: at(time.Minute), BackupCode: &stepup.BackupUse{FactorID: id, Hash: []byte(hash)}})
		}
		require.ErrorIs(w, use(old.ID, "a"), consent.ErrClaimLost)
		require.NoError(w, use(next.ID, "c\x00\xff"))
		require.ErrorIs(w, use(next.ID, "c\x00\xff"), consent.ErrClaimLost)
		assert.Equal(w, []string{"b"}, w.unused(w.who))
		all, err := w.s.BackupCodes(w.Context(), w.who.ApplicationID, w.who.UserID)
		require.NoError(w, err)
		assert.Equal(w, []stepup.BackupUse{{FactorID: next.ID, Hash: []byte("b")}, {FactorID: next.ID, Hash: []byte("c\x00\xff"), UsedAt: at(time.Minute)}}, all)
	}},
	{"Factor/what was proven by one that is gone counts nowhere", func(w *world) {
		there, other := elsewhere(w.who), w.user(w.who.ApplicationID)
		for _, who := range []stepup.Who{w.who, there, other} {
			w.proved(who, prove(reauth.PhoneCode, reauth.Second, "number", at(time.Minute)))
			w.proved(who, prove(reauth.Password, reauth.First, "", at(time.Minute)))
		}
		require.NoError(w, w.change(stepup.FactorChange{Who: w.who, At: at(2 * time.Minute), ForgetRefs: []string{"number"}}))
		left := []reauth.Proven{*prove(reauth.Password, reauth.First, "", at(time.Minute))}
		assert.Equal(w, left, w.standing(w.who).Proven)
		assert.Equal(w, left, w.standing(there).Proven)
		assert.Len(w, w.standing(other).Proven, 2)
	}},
	{"Factor/needs a user", func(w *world) {
		who := w.who
		who.UserID = "nobody"
		f := factor(who, stepup.KindTOTP)
		require.ErrorIs(w, w.change(stepup.FactorChange{Who: who, At: at(0), Add: &f, Log: []stepup.Audit{line(who)}}), consent.ErrNotFound)
		assert.Empty(w, w.audit(who.ApplicationID))
	}},
}
