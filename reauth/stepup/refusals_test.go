package stepup_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/stepup"
	"github.com/reconsent/reconsent/sqlstore"
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

// Every attempt leaves a line, whatever it came to.
func TestEveryAttemptLeavesALine(t *testing.T) {
	t.Parallel()
	password := withPassword("")
	for name, tt := range map[string]struct {
		prepare func(w *world, ada *stepup.Caller) (subject string, do func() error)
		want    stepup.Audit // without what every line has
	}{
		"nothing was prepared": {func(w *world, ada *stepup.Caller) (string, func() error) {
			v := w.begun(ada, stepup.Ask{Operation: "transfer"})
			return v.ID, func() error {
				_, err := w.Attempt(ctx(w), ada, v.ID, stepup.Proof{Strategy: reauth.EmailCode, Code: "123456"})
				return err
			}
		}, stepup.Audit{Reason: string(stepup.CodeNotPrepared), Factor: reauth.EmailCode, Level: "strict", Operation: "transfer"}},
		"no answer": {func(w *world, ada *stepup.Caller) (string, func() error) {
			w.withPasskey(ada, withPassword)
			v := w.begun(ada, stepup.Ask{Operation: "transfer"})
			_, _, err := w.Prepare(ctx(w), ada, v.ID, reauth.Passkey, "")
			require.NoError(t, err)
			return v.ID, func() error {
				_, err := w.Attempt(ctx(w), ada, v.ID, stepup.Proof{Strategy: reauth.Passkey})
				return err
			}
		}, stepup.Audit{Reason: string(consent.CodeInvalidRequest), Factor: reauth.Passkey, Level: "strict", Operation: "transfer"}},
		"it is complete": {func(w *world, ada *stepup.Caller) (string, func() error) {
			v := w.prove(ada, stepup.Ask{Operation: "transfer"}, withPassword)
			return v.ID, func() error { _, err := w.Attempt(ctx(w), ada, v.ID, password); return err }
		}, stepup.Audit{Reason: string(stepup.CodeReverificationEnded), Factor: reauth.Password, Level: "strict", Operation: "transfer"}},
		"it has expired": {func(w *world, ada *stepup.Caller) (string, func() error) {
			v := w.begun(ada, stepup.Ask{Operation: "transfer"})
			w.advance(11 * time.Minute)
			return v.ID, func() error { _, err := w.Attempt(ctx(w), ada, v.ID, password); return err }
		}, stepup.Audit{Reason: string(stepup.CodeReverificationEnded), Factor: reauth.Password, Level: "strict", Operation: "transfer"}},
		"somebody else was quicker": {func(w *world, ada *stepup.Caller) (string, func() error) {
			v := w.begun(ada, stepup.Ask{Operation: "transfer"})
			m := &overtaken{Store: w.store, first: func() {
				_, err := w.Attempt(ctx(w), ada, v.ID, password)
				require.NoError(t, err)
			}}
			return v.ID, func() error { _, err := w.over(m).Attempt(ctx(w), ada, v.ID, password); return err }
		}, stepup.Audit{Reason: string(stepup.CodeProofUsed), Factor: reauth.Password, Level: "strict", Operation: "transfer"}},
		"the factors have changed": {func(w *world, ada *stepup.Caller) (string, func() error) {
			v := w.begun(ada, stepup.Ask{Operation: "transfer"})
			// As it would be read just before the change ends it.
			m := &stale{Store: w.store, read: func(r *stepup.Reverification) { r.SecondEnrolled = true }}
			return v.ID, func() error { _, err := w.over(m).Attempt(ctx(w), ada, v.ID, password); return err }
		}, stepup.Audit{Reason: string(stepup.CodeReverificationEnded), Factor: reauth.Password, Level: "strict", Operation: "transfer"}},
		"a factor that is none": {func(w *world, ada *stepup.Caller) (string, func() error) {
			return "", func() error {
				_, err := w.VerifyFactor(ctx(w), ada, "fac_of_nobody", stepup.Proof{Code: "123456"})
				return err
			}
		}, stepup.Audit{Reason: string(stepup.CodeFactorNotFound), Operation: stepup.OperationFactors}},
		"a factor that is none to remove": {func(w *world, ada *stepup.Caller) (string, func() error) {
			return "", func() error { return w.RemoveFactor(ctx(w), ada, "fac_of_nobody", "") }
		}, stepup.Audit{Reason: string(stepup.CodeFactorNotFound), Operation: stepup.OperationFactors}},
		"a factor that waited for too long": {func(w *world, ada *stepup.Caller) (string, func() error) {
			begun, err := w.Enrol(ctx(w), ada, stepup.KindTOTP, "", "", w.strongest(ada, withPassword))
			require.NoError(t, err)
			w.advance(16 * time.Minute)
			return begun.Factor.ID, func() error {
				_, err := w.VerifyFactor(ctx(w), ada, begun.Factor.ID, stepup.Proof{Code: w.shows(begun.Secret, 0)})
				return err
			}
		}, stepup.Audit{Reason: string(stepup.CodeReverificationEnded), Operation: stepup.OperationFactors}},
		"a factor that counts already": {func(w *world, ada *stepup.Caller) (string, func() error) {
			app, id := w.withTOTP(ada, withPassword)
			return id, func() error {
				_, err := w.VerifyFactor(ctx(w), ada, id, stepup.Proof{Code: w.shows(app, 0)})
				return err
			}
		}, stepup.Audit{Reason: string(stepup.CodeFactorLimit), Operation: stepup.OperationFactors}},
		"a factor by another's strategy": {func(w *world, ada *stepup.Caller) (string, func() error) {
			begun, err := w.Enrol(ctx(w), ada, stepup.KindTOTP, "", "", w.strongest(ada, withPassword))
			require.NoError(t, err)
			return begun.Factor.ID, func() error { _, err := w.VerifyFactor(ctx(w), ada, begun.Factor.ID, password); return err }
		}, stepup.Audit{Reason: string(consent.CodeInvalidRequest), Operation: stepup.OperationFactors}},
		"a change by a proof that was used": {func(w *world, ada *stepup.Caller) (string, func() error) {
			token := w.strongest(ada, withPassword)
			_, err := w.Enrol(ctx(w), ada, stepup.KindTOTP, "", "", token)
			require.NoError(t, err)
			return w.claims(token).ID, func() error {
				_, err := w.Enrol(ctx(w), ada, stepup.KindTOTP, "", "", token)
				return err
			}
		}, stepup.Audit{Reason: string(stepup.CodeProofUsed), Operation: stepup.OperationFactors}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			ada := w.caller(nil)
			ada.DeviceID, ada.IPPrefix = "phone", "192.0.2.0/24"
			subject, do := tt.prepare(w, ada)
			before := len(w.trail(stepup.ActionDenied))
			require.Error(t, do())
			lines := w.trail(stepup.ActionDenied)
			require.Len(t, lines, before+1)
			want := tt.want
			want.ApplicationID, want.ID, want.At, want.UserID, want.SessionID = w.app.ID, lines[0].ID, w.clock.Now(), "ada", "s1"
			want.DeviceID, want.IPPrefix, want.Action, want.Subject = "phone", "192.0.2.0/24", stepup.ActionDenied, subject
			assert.Equal(t, want, lines[0])
		})
	}
}

// stale is a database whose reverifications are read as they no longer are.
type stale struct {
	*sqlstore.Store
	read func(*stepup.Reverification)
}

func (s *stale) Reverification(ctx context.Context, who stepup.Who, id string) (stepup.Reverification, error) {
	r, err := s.Store.Reverification(ctx, who, id)
	s.read(&r)
	return r, err
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
