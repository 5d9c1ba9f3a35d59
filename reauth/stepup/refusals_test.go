package stepup_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/stepup"
)

// What is refused, and what is only asked for, stands in the audit too.

// denied is the newest line of a refusal for a reason, or none.
func (w *world) denied(reason string) (stepup.Audit, bool) {
	w.Helper()
	lines := w.trail(stepup.ActionDenied)
	i := slices.IndexFunc(lines, func(l stepup.Audit) bool { return l.Reason == reason })
	if i < 0 {
		return stepup.Audit{}, false
	}
	return lines[i], true
}

func TestAReverificationOfOthersLeavesALine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user(&w.app, "bob")
	bobs := w.begun(w.of(&w.app, map[string]any{"sub": "bob"}), stepup.Ask{Level: "medium"})
	mine := w.begun(w.in("s2"), stepup.Ask{Level: "medium"})
	ada := w.caller(nil)
	ada.DeviceID, ada.IPPrefix = "phone", "192.0.2.0/24"
	_, none := w.Look(ctx(w), ada, "rev_unknown")
	_, said := w.denied("not_theirs")
	assert.False(t, said, "there is none")
	for name, do := range map[string]func(id string) error{
		"look": func(id string) error { _, err := w.Look(ctx(w), ada, id); return err },
		"prepare": func(id string) error {
			_, _, err := w.Prepare(ctx(w), ada, id, reauth.EmailCode, "")
			return err
		},
		"attempt": func(id string) error { _, err := w.Attempt(ctx(w), ada, id, withPassword("")); return err },
	} {
		for _, id := range []string{bobs.ID, mine.ID} {
			assert.Equal(t, none, do(id), "the answer is that of one that is not there: %s", name)
			line, said := w.denied("not_theirs")
			require.True(t, said, name)
			assert.Equal(t, stepup.Audit{
				ApplicationID: w.app.ID, ID: line.ID, At: start, UserID: "ada", SessionID: "s1", DeviceID: "phone", IPPrefix: "192.0.2.0/24",
				Action: stepup.ActionDenied, Reason: "not_theirs", Subject: id,
			}, line, name)
		}
	}
	// In another application it is not there.
	other := w.application("other")
	w.user(&other, "ada")
	_, err := w.Look(ctx(w), w.of(&other, nil), bobs.ID)
	assert.Equal(t, none, err)
	lines, err := w.AuditTrail(ctx(w), other.ID, stepup.AuditFilter{Limit: 10})
	require.NoError(t, err)
	assert.Empty(t, lines)
}

func TestAStrategyThatDoesNotHelpLeavesALine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	v := w.begun(ada, stepup.Ask{Operation: "transfer"})
	_, err := w.Attempt(ctx(w), ada, v.ID, stepup.Proof{Strategy: reauth.TOTP, Code: "123456"})
	w.refused(stepup.CodeStrategyUnavailable, err)
	line, said := w.denied("strategy_unavailable")
	require.True(t, said)
	assert.Equal(t, []string{"totp", "strict", "transfer", v.ID}, []string{string(line.Factor), line.Level, line.Operation, line.Subject})
	_, _, err = w.Prepare(ctx(w), ada, v.ID, "a word of somebody's", "")
	w.refused(stepup.CodeStrategyUnavailable, err)
	line, _ = w.denied("strategy_unavailable")
	assert.Empty(t, line.Factor)
}

func TestAChallengeThatIsMadeLeavesALine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settle(func(s *stepup.Settings) {
		s.OpenID = stepup.OpenID{Issuer: "http://127.0.0.1:9", ClientID: "reconsent", ClientSecret: "of-the-provider"}
	})
	ada := w.caller(nil)
	w.withPasskey(ada, withPassword)
	v := w.begun(ada, stepup.Ask{Operation: "transfer"})
	for _, f := range []reauth.Factor{reauth.Passkey, reauth.IDP} {
		_, _, err := w.Prepare(ctx(w), ada, v.ID, f, "")
		require.NoError(t, err)
		line := w.trail(stepup.ActionChallenged)[0]
		assert.Equal(t, []string{string(f), "strict", "transfer", v.ID}, []string{string(line.Factor), line.Level, line.Operation, line.Subject})
	}
}

func TestAnEnrolmentThatIsRefusedLeavesALine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settle(func(s *stepup.Settings) { s.CodesOff = []reauth.Factor{reauth.PhoneCode} })
	ada := w.caller(nil)
	for _, tt := range []struct {
		kind  stepup.FactorKind
		token string
		code  consent.Code
	}{
		{stepup.KindPhone, "", stepup.CodeStrategyUnavailable},
		{"another", "", consent.CodeInvalidRequest},
		{stepup.KindBackupCodes, w.strongest(ada, withPassword), stepup.CodeStrategyUnavailable},
	} {
		before := len(w.trail(stepup.ActionDenied))
		_, err := w.Enrol(ctx(w), ada, tt.kind, "", "", tt.token)
		w.refused(tt.code, err)
		lines := w.trail(stepup.ActionDenied)
		require.Len(t, lines, before+1, tt.kind)
		assert.Equal(t, string(tt.code), lines[0].Reason)
		assert.Equal(t, stepup.OperationFactors, lines[0].Operation)
	}
}

// Whoever goes on leaves no line without end, and is answered the same.
func TestRefusalsDoNotFillTheAudit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	v := w.begun(ada, stepup.Ask{Level: "medium"})
	foreign := w.begun(w.in("s2"), stepup.Ask{Level: "medium"})
	for range 103 {
		_, err := w.Attempt(ctx(w), ada, v.ID, stepup.Proof{Strategy: reauth.TOTP, Code: "123456"})
		w.refused(stepup.CodeStrategyUnavailable, err)
	}
	assert.Len(t, w.trail(stepup.ActionDenied), 100)
	w.advance(10 * time.Minute)
	_, err := w.Look(ctx(w), ada, foreign.ID)
	w.refused(stepup.CodeReverificationNotFound, err)
	assert.Len(t, w.trail(stepup.ActionDenied), 101)
	w.erase("ada")
}
