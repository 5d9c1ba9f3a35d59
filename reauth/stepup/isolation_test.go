package stepup_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth/stepup"
)

// Law 8: nothing crosses applications. Both have a user ada, in a session s1.

func TestLaw8KeysAndTokensOfOneApplicationAreNothingToAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.application("other")
	w.user(&other, "ada")
	l := w.lives("s1")
	theirs := w.of(&other, nil)
	w.advance(time.Second)

	_, err := w.Identify(ctx(w), stepup.Request{Authorization: []string{"Bearer " + w.token(&w.app, nil)}, Applications: []string{"other"}})
	w.refused(stepup.CodeTokenInvalid, err)
	_, err = w.Identify(ctx(w), stepup.Request{Authorization: []string{"Bearer " + w.token(&w.app, nil)}})
	w.refused(stepup.CodeApplicationUnknown, err, "keys are not tried")

	using := func(in stepup.Use) func() error {
		in.UserID, in.SessionID, in.Operation = "ada", "s1", "transfer"
		return func() error { _, err := w.Use(ctx(w), other.ID, in); return err }
	}
	for name, tt := range map[string]struct {
		do   func() error
		code consent.Code
	}{
		"a proof":              {using(stepup.Use{Proof: l.proof}), stepup.CodeProofInvalid},
		"a code":               {using(stepup.Use{Code: l.code}), stepup.CodeCodeExpired},
		"a sudo token":         {using(stepup.Use{SudoToken: l.sudo}), stepup.CodeProofInvalid},
		"a verification token": {func() error { _, err := w.Sudo(ctx(w), theirs, "", l.token); return err }, stepup.CodeProofInvalid},
		"a reverification":     {func() error { _, err := w.Look(ctx(w), theirs, l.open); return err }, stepup.CodeReverificationNotFound},
		"an answer to it":      {func() error { _, err := w.Attempt(ctx(w), theirs, l.open, withPassword("")); return err }, stepup.CodeReverificationNotFound},
		"a verification renamed": {func() error {
			_, err := w.VerifyCode(ctx(w), "other"+l.chain[len("acme"):], l.chainTry, "", "")
			return err
		}, stepup.CodeCodeExpired},
	} {
		w.refused(tt.code, tt.do(), name)
	}
	_, err = w.Enrol(ctx(w), theirs, stepup.KindTOTP, "", "", w.strongest(l.c, withPassword))
	w.shortOf(err, "a proof that changes factors")
	require.NoError(t, w.EndSession(ctx(w), other.ID, "ada", "", ""))
	w.advance(time.Second)
	assert.False(t, w.fresh(theirs, "session"))
	assert.True(t, w.fresh(l.c, "session"))

	// Failures, calls and sends are counted apart.
	for range 10 {
		_, _ = w.Sudo(ctx(w), theirs, "guess", "")
		_, _ = w.Check(ctx(w), theirs, stepup.Ask{})
	}
	_, err = w.Sudo(ctx(w), theirs, secret, "")
	w.refused(stepup.CodeLocked, err)
	for name, try := range l.tries() {
		require.NoError(t, try.do(), name)
	}
	assert.True(t, w.fresh(l.c, "medium"))
	lines, err := w.AuditTrail(ctx(w), other.ID, stepup.AuditFilter{Limit: 500})
	require.NoError(t, err)
	require.NotEmpty(t, lines)
	for _, line := range lines {
		assert.Equal(t, other.ID, line.ApplicationID)
		assert.NotEqual(t, stepup.ActionCompleted, line.Action, "that was at the first application")
	}
}

// The same idempotency key at two applications is two keys.
func TestLaw8AnIdempotencyKeyIsAnApplicationsOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.application("other")
	w.user(&other, "ada")
	in := use(w.prove(w.caller(nil), stepup.Ask{Operation: "transfer"}, withPassword).Proof, "transfer")
	in.IdempotencyKey = "k"
	w.good(in)
	_, err := w.Use(ctx(w), other.ID, in)
	w.refused(stepup.CodeProofInvalid, err)
}
