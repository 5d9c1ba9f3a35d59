package reauthtest

import (
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/stepup"
)

// trial is a right answer with every part there is, and what each part is of.
type trial struct {
	*world
	code    stepup.Code
	rev     stepup.Reverification
	totp    stepup.FactorRecord
	backup  stepup.FactorRecord
	brought stepup.StepToken
	given   stepup.StepToken
	proof   stepup.ProofRecord
	answer  stepup.Answer
	log     stepup.Audit
	bucket  string
	success stepup.Success
}

func newTrial(w *world) *trial {
	w.Helper()
	t := &trial{world: w, bucket: stepup.BucketFailures + w.who.UserID}
	t.totp = w.enrolled(w.who, stepup.KindTOTP)
	t.backup = w.enrolled(w.who, stepup.KindBackupCodes, "a\x00", "b\xff")
	t.code, t.rev, t.brought = w.begun(w.who), w.started(w.who), w.issued(w.who)
	stamps, _ := reauth.Window{}.Take(at(0), 10, time.Hour)
	stamps, _ = stamps.Take(at(time.Second), 10, time.Hour)
	require.True(w, w.swap(t.bucket, "", stamps.String()))
	t.given, t.proof, t.log = token(w.who), proof(w.who), line(w.who)
	t.given.Kind = stepup.StepVerification
	judged := w.standing(w.who)
	t.answer = stepup.Answer{ApplicationID: w.who.ApplicationID, Key: name("key"), Request: []byte("req\x00"), Text: `{"valid":true}`, At: at(time.Minute)}
	t.success = stepup.Success{
		Who: w.who, At: at(time.Minute), Judged: &judged, Proven: prove(reauth.TOTP, reauth.Second, t.totp.ID, at(time.Minute)),
		CodeID: t.code.ID, Step: &stepup.FactorStep{FactorID: t.totp.ID, LastStep: 101},
		BackupCode: &stepup.BackupUse{FactorID: t.backup.ID, Hash: []byte("a\x00")}, Token: t.brought.Hash,
		ReverificationID: t.rev.ID, Complete: true, Proof: &t.proof, Issue: &t.given, Answer: &t.answer,
		RefundFrom: t.bucket, Refund: at(time.Second), Log: []stepup.Audit{t.log},
	}
	return t
}

// byJudgement leaves of the answer what nothing but the judgement holds to the
// user.
func (t *trial) byJudgement(at time.Time) {
	t.success = stepup.Success{Who: t.who, At: at, Judged: t.success.Judged, Proven: t.success.Proven, Issue: &t.given}
}

// contact changes what the application tells of the user.
func (t *trial) contact(change func(*consent.User)) {
	t.Helper()
	u := t.standing(t.who).User
	change(&u)
	_, err := t.s.PutUser(t.Context(), u)
	require.NoError(t, err)
}

// state is all that a trial can change.
func (t *trial) state() []any {
	t.Helper()
	live, err := t.s.LiveCode(t.Context(), t.who, t.code.Purpose, at(2*time.Second))
	if err != nil {
		require.ErrorIs(t, err, consent.ErrNotFound)
	}
	_, noProof := t.s.Proof(t.Context(), t.proof.ApplicationID, t.proof.ID)
	_, noToken := t.s.StepToken(t.Context(), t.given.ApplicationID, t.given.Kind, t.given.Hash)
	answer, _ := t.s.Answered(t.Context(), t.answer.ApplicationID, t.answer.Key, at(-day))
	return []any{
		t.standing(t.who), live, t.lookReverification(t.rev), t.lookFactor(t.totp), t.lookFactor(t.backup), t.unused(t.who),
		t.lookToken(t.brought), noProof, noToken, answer, t.window(t.bucket), t.audit(t.who.ApplicationID),
	}
}

var successTests = []test{
	{"Success/all parts in one step", func(w *world) {
		t := newTrial(w)
		require.NoError(w, w.s.Succeed(w.Context(), t.success))
		then := t.success.At
		assert.Equal(w, []reauth.Proven{*t.success.Proven}, w.standing(w.who).Proven)
		assert.False(w, w.isLive(t.code))
		t.rev.Proven, t.rev.CompletedAt = []reauth.Proven{*t.success.Proven}, then
		assert.Equal(w, t.rev, w.lookReverification(t.rev))
		t.totp.LastStep, t.totp.UsedAt = 101, then
		assert.Equal(w, t.totp, w.lookFactor(t.totp))
		t.backup.UsedAt, t.backup.Left = then, 1
		assert.Equal(w, t.backup, w.lookFactor(t.backup))
		assert.Equal(w, []string{"b\xff"}, w.unused(w.who))
		t.brought.UsedAt = then
		assert.Equal(w, t.brought, w.lookToken(t.brought))
		assert.Equal(w, t.given, w.lookToken(t.given))
		assert.Equal(w, t.proof, w.lookProof(t.proof))
		got, err := w.s.Answered(w.Context(), t.answer.ApplicationID, t.answer.Key, at(0))
		require.NoError(w, err)
		assert.Equal(w, t.answer, got)
		left, err := reauth.ParseWindow(w.window(t.bucket))
		require.NoError(w, err)
		assert.Equal(w, 9, left.Peek(at(time.Minute), 10, time.Hour).Remaining, "one of two stamps is back")
		assert.Equal(w, []stepup.Audit{t.log}, w.audit(w.who.ApplicationID))
	}},
	{"Success/a part that is lost loses all", func(w *world) {
		after := at(30 * time.Second)
		for what, spoil := range map[string]func(t *trial){
			"code used": func(t *trial) {
				require.NoError(t, t.s.Succeed(t.Context(), stepup.Success{Who: t.who, At: after, CodeID: t.code.ID}))
			},
			"code ended":              func(t *trial) { require.NoError(t, t.s.EndCode(t.Context(), t.who.ApplicationID, t.code.ID, after)) },
			"code unknown":            func(t *trial) { t.success.CodeID = "nothing" },
			"code of another user":    func(t *trial) { t.success.CodeID = t.begun(t.user(t.who.ApplicationID)).ID },
			"code of another session": func(t *trial) { t.success.CodeID = t.begun(elsewhere(t.who)).ID },
			"code expired": func(t *trial) {
				t.success.CodeID = t.begun(t.who, func(c *stepup.Code) { c.Purpose, c.ExpiresAt = stepup.PurposeEnrol, t.success.At }).ID
			},
			"code hollow": func(t *trial) {
				t.success.CodeID = t.begun(t.who, func(c *stepup.Code) { c.Purpose, c.Hollow = stepup.PurposeEnrol, true }).ID
			},
			"step taken":             func(t *trial) { t.success.Step.LastStep = 100 },
			"step earlier":           func(t *trial) { t.success.Step.LastStep = 99 },
			"factor unknown":         func(t *trial) { t.success.Step.FactorID = "nothing" },
			"factor of another user": func(t *trial) { t.success.Step.FactorID = t.enrolled(t.user(t.who.ApplicationID), stepup.KindTOTP).ID },
			"factor does not count": func(t *trial) {
				f := factor(t.who, stepup.KindTOTP)
				f.VerifiedAt = time.Time{}
				require.NoError(t, t.s.ChangeFactors(t.Context(), stepup.FactorChange{Who: t.who, At: after, Add: &f}))
				t.success.Step.FactorID = f.ID
			},
			"credential moved on": func(t *trial) {
				t.success.Step = &stepup.FactorStep{FactorID: t.totp.ID, Secret: consent.Sealed("new"), Was: consent.Sealed("older")}
			},
			"credential of nothing": func(t *trial) {
				t.success.Step = &stepup.FactorStep{FactorID: t.totp.ID, Secret: consent.Sealed("new")}
			},
			"backup code used": func(t *trial) {
				require.NoError(t, t.s.Succeed(t.Context(), stepup.Success{Who: t.who, At: after, BackupCode: t.success.BackupCode}))
			},
			"backup code unknown": func(t *trial) { t.success.BackupCode.Hash = []byte("z") },
			"backup code of another user": func(t *trial) {
				t.success.BackupCode.FactorID = t.enrolled(t.user(t.who.ApplicationID), stepup.KindBackupCodes, "a\x00").ID
			},
			"token used": func(t *trial) {
				require.NoError(t, t.s.Succeed(t.Context(), stepup.Success{Who: t.who, At: after, Token: t.brought.Hash}))
			},
			"token unknown":            func(t *trial) { t.success.Token = []byte("nothing") },
			"token of another session": func(t *trial) { t.success.Token = t.issued(elsewhere(t.who)).Hash },
			"token of another user":    func(t *trial) { t.success.Token = t.issued(t.user(t.who.ApplicationID)).Hash },
			"token expired": func(t *trial) {
				old := token(t.who)
				old.ExpiresAt = t.success.At
				require.NoError(t, t.s.Succeed(t.Context(), stepup.Success{Who: t.who, At: after, Issue: &old}))
				t.success.Token = old.Hash
			},
			"reverification complete": func(t *trial) {
				require.NoError(t, t.s.Succeed(t.Context(), stepup.Success{Who: t.who, At: after, ReverificationID: t.rev.ID, Complete: true}))
			},
			"reverification expired": func(t *trial) {
				t.success.At = t.rev.ExpiresAt
				t.success.CodeID, t.success.Token = "", nil // which end earlier
			},
			"reverification of another session": func(t *trial) { t.success.ReverificationID = t.started(elsewhere(t.who)).ID },
			"key taken": func(t *trial) {
				taken := t.answer
				taken.At = t.answer.At.Add(-59 * time.Second)
				require.NoError(t, t.s.Succeed(t.Context(), stepup.Success{Who: t.who, At: after, Answer: &taken}))
			},
			"session ended": func(t *trial) { require.NoError(t, t.s.Clear(t.Context(), t.who, after, line(t.who))) },
			"all sessions ended": func(t *trial) {
				who := t.who
				who.SessionID = ""
				require.NoError(t, t.s.Clear(t.Context(), who, after, line(t.who)))
			},
			"factors changed": func(t *trial) { t.enrolled(t.who, stepup.KindPhone) },
			"another password": func(t *trial) {
				t.byJudgement(after)
				t.contact(func(u *consent.User) { u.PasswordHash = consent.Sealed("\x00new") })
			},
			"another address": func(t *trial) {
				t.byJudgement(after)
				t.contact(func(u *consent.User) { u.Email = "new@example.org" })
			},
			"another number": func(t *trial) {
				t.byJudgement(after)
				t.contact(func(u *consent.User) { u.Phone = "" })
			},
			"a factor more": func(t *trial) {
				t.byJudgement(after)
				t.enrolled(t.who, stepup.KindPasskey)
			},
			"a factor less": func(t *trial) {
				key := t.enrolled(t.who, stepup.KindPasskey)
				judged := t.standing(t.who)
				t.success.Judged = &judged
				t.byJudgement(after)
				require.NoError(t, t.change(stepup.FactorChange{Who: t.who, At: at(1), Remove: []string{key.ID}}))
			},
			"ended in the moment": func(t *trial) {
				t.success = stepup.Success{Who: t.who, At: after, Proven: t.success.Proven}
				require.NoError(t, t.s.Clear(t.Context(), t.who, after, line(t.who)))
			},
		} {
			t := newTrial(newWorld(w.T, w.s))
			spoil(t)
			before := t.state()
			require.ErrorIs(w, w.s.Succeed(w.Context(), t.success), consent.ErrClaimLost, what)
			assert.Equal(w, before, t.state(), what)
		}
	}},
	{"Success/what was judged may go on in what does not count", func(w *world) {
		t := newTrial(w)
		t.contact(func(u *consent.User) { u.Name, u.Locale = "", "" })
		waits := factor(t.who, stepup.KindPasskey)
		waits.VerifiedAt = time.Time{}
		require.NoError(w, t.change(stepup.FactorChange{Who: t.who, At: at(1), Add: &waits}))
		t.proved(t.who, prove(reauth.Password, reauth.First, "", at(time.Second)))
		require.NoError(w, w.s.Succeed(w.Context(), t.success))
	}},
	{"Success/needs a user", func(w *world) {
		t := newTrial(w)
		t.success.UserID = "nobody"
		require.ErrorIs(w, w.s.Succeed(w.Context(), t.success), consent.ErrNotFound)
	}},
	{"Success/a line that cannot be written loses all", func(w *world) {
		t := newTrial(w)
		require.NoError(w, w.s.Record(w.Context(), t.log))
		before := t.state()
		require.ErrorIs(w, w.s.Succeed(w.Context(), t.success), consent.ErrExists)
		assert.Equal(w, before, t.state())
	}},
	{"Success/a passkey's credential moves on", func(w *world) {
		f := w.enrolled(w.who, stepup.KindPasskey)
		step := func(was, next string) error {
			return w.s.Succeed(w.Context(), stepup.Success{
				Who: w.who, At: at(time.Minute), Step: &stepup.FactorStep{FactorID: f.ID, Secret: consent.Sealed(next), Was: consent.Sealed(was)},
			})
		}
		require.NoError(w, step("secret\x00\xff", "counter 2"))
		require.ErrorIs(w, step("secret\x00\xff", "counter 2"), consent.ErrClaimLost)
		f.Secret, f.UsedAt = consent.Sealed("counter 2"), at(time.Minute)
		assert.Equal(w, f, w.lookFactor(f), "the step is left")
		require.NoError(w, w.s.Succeed(w.Context(), stepup.Success{Who: w.who, At: at(2 * time.Minute), Step: &stepup.FactorStep{FactorID: f.ID}}))
		f.UsedAt = at(2 * time.Minute)
		assert.Equal(w, f, w.lookFactor(f), "and so may both be")
	}},
	{"Success/two factors on the way to a level", func(w *world) {
		r := w.started(w.who)
		first, second := prove(reauth.Password, reauth.First, "", at(time.Minute)), prove(reauth.TOTP, reauth.Second, "f", at(2*time.Minute))
		require.NoError(w, w.s.Succeed(w.Context(), stepup.Success{Who: w.who, At: first.At, Proven: first, ReverificationID: r.ID}))
		r.Proven = []reauth.Proven{*first}
		assert.Equal(w, r, w.lookReverification(r))
		require.NoError(w, w.s.Succeed(w.Context(), stepup.Success{Who: w.who, At: second.At, Proven: second, ReverificationID: r.ID, Seen: 1, Complete: true}))
		r.Proven, r.CompletedAt = []reauth.Proven{*first, *second}, second.At
		assert.Equal(w, r, w.lookReverification(r))
		assert.Equal(w, r.Proven, w.standing(w.who).Proven)
	}},
	{"Success/a refund that finds nothing changes nothing", func(w *world) {
		refund := func(bucket string) {
			require.NoError(w, w.s.Succeed(w.Context(), stepup.Success{Who: w.who, At: at(time.Minute), RefundFrom: bucket, Refund: at(0)}))
		}
		refund("none")
		assert.Empty(w, w.window("none"))
		require.True(w, w.swap("odd", "", "not a window"))
		refund("odd")
		assert.Equal(w, "not a window", w.window("odd"), "what cannot be read denies, and stays")
		stamps, _ := reauth.Window{}.Take(at(0), 10, time.Hour)
		require.True(w, w.swap("one", "", stamps.String()))
		refund("one")
		assert.Empty(w, w.window("one"))
		assert.True(w, w.swap("one", "", "1"))
	}},
}
