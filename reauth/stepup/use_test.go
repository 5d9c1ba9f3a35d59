package stepup_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/stepup"
)

// What is used up by a backend: reauth-wire.md 6.

func TestAProofThatDoesNotFitIsNotUsedUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user(&w.app, "bob")
	ada := w.caller(nil)
	text := w.prove(ada, stepup.Ask{Operation: "transfer"}, withPassword).Proof
	for name, tt := range map[string]struct {
		change func(*stepup.Use)
		code   consent.Code
	}{
		"another operation": {func(in *stepup.Use) { in.Operation = "profile" }, stepup.CodeProofMismatch},
		"another session":   {func(in *stepup.Use) { in.SessionID = "s2" }, stepup.CodeProofMismatch},
		"another user":      {func(in *stepup.Use) { in.UserID = "bob" }, stepup.CodeProofMismatch},
		"details":           {func(in *stepup.Use) { in.Details = payment }, stepup.CodeProofMismatch},
		"details of none":   {func(in *stepup.Use) { in.Details = &reauth.Details{} }, consent.CodeInvalidRequest},
		"a bad signature":   {func(in *stepup.Use) { in.Proof = in.Proof[:len(in.Proof)-6] + "AAAAAA" }, stepup.CodeProofInvalid},
		"a token of a user": {func(in *stepup.Use) { in.Proof = w.token(&w.app, nil) }, stepup.CodeProofInvalid},
		"no operation":      {func(in *stepup.Use) { in.Operation = "" }, consent.CodeInvalidRequest},
		"no user":           {func(in *stepup.Use) { in.UserID = "" }, consent.CodeInvalidRequest},
		"no session":        {func(in *stepup.Use) { in.SessionID = "" }, consent.CodeInvalidRequest},
		"two things":        {func(in *stepup.Use) { in.Code = "123456" }, consent.CodeInvalidRequest},
		"nothing":           {func(in *stepup.Use) { in.Proof = "" }, consent.CodeInvalidRequest},
		"an odd key":        {func(in *stepup.Use) { in.IdempotencyKey = "\x01" }, consent.CodeInvalidRequest},
		"a level that none": {func(in *stepup.Use) { in.Level = "much" }, reauth.CodeLevelInvalid},
	} {
		in := use(text, "transfer")
		tt.change(&in)
		_, err := w.Use(ctx(w), w.app.ID, in)
		w.refused(tt.code, err, name)
	}
	in := use(text, "transfer")
	in.Level = "critical"
	_, err := w.Use(ctx(w), w.app.ID, in)
	w.shortOf(err)

	used := w.good(use(text, "transfer"))
	assert.Equal(t, stepup.Used{Valid: true, Level: "strict", AuthTime: start, AMR: []string{"pwd"}}, used)
	_, err = w.Use(ctx(w), w.app.ID, use(text, "transfer"))
	w.refused(stepup.CodeProofUsed, err)

	// The other way about: a proof is no token of a user.
	_, err = w.Identify(ctx(w), stepup.Request{Authorization: []string{"Bearer " + text}, Applications: []string{"acme"}})
	w.refused(stepup.CodeTokenInvalid, err)
}

func TestTheSameAnswerForAMinute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	sudo, err := w.Sudo(ctx(w), ada, secret, "")
	require.NoError(t, err)
	_, err = w.SendReauthentication(ctx(w), ada, reauth.EmailCode, time.Minute)
	require.NoError(t, err)
	for name, in := range map[string]stepup.Use{
		"a proof": {Proof: w.prove(ada, stepup.Ask{Operation: "transfer"}, withPassword).Proof}, "a sudo token": {SudoToken: sudo.Token}, "a code": {Code: w.code()},
	} {
		in.UserID, in.SessionID, in.Operation, in.IdempotencyKey = "ada", "s1", "transfer", "key of "+name
		used := w.good(in)
		w.advance(time.Minute - time.Second)
		assert.Equal(t, used, w.good(in), name)

		changed := in
		changed.Operation = "profile"
		_, err := w.Use(ctx(w), w.app.ID, changed)
		w.refused(stepup.CodeProofUsed, err, "another request with its key")
		other := in
		other.IdempotencyKey = ""
		_, err = w.Use(ctx(w), w.app.ID, other)
		assert.Contains(t, []consent.Code{stepup.CodeProofUsed, stepup.CodeCodeExpired}, consent.CodeOf(err))

		w.advance(time.Second)
		_, err = w.Use(ctx(w), w.app.ID, in)
		assert.Contains(t, []consent.Code{stepup.CodeProofUsed, stepup.CodeCodeExpired}, consent.CodeOf(err), "after a minute %s is used", name)
	}
}

// Two requests with one key at the same moment: one is done, the other is told
// that the key is taken, and its proof is not used up.
func TestTwoRequestsWithOneKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	first, second := use(w.prove(ada, stepup.Ask{Operation: "transfer"}, withPassword).Proof, "transfer"), use(w.prove(ada, stepup.Ask{Operation: "transfer"}, withPassword).Proof, "transfer")
	first.IdempotencyKey, second.IdempotencyKey = "k", "k"
	m := &meddler{Store: w.store, before: func() { w.good(first) }}
	_, err := w.over(m).Use(ctx(w), w.app.ID, second)
	w.refused(stepup.CodeProofUsed, err)
	second.IdempotencyKey = ""
	w.good(second)
}

func TestTwentyAtOnceAndOneWins(t *testing.T) {
	t.Parallel()
	const many = 20
	lost := []consent.Code{
		stepup.CodeProofUsed, stepup.CodeCodeExpired, stepup.CodeLocked, stepup.CodeReverificationEnded, stepup.CodeFactorIncorrect, stepup.CodeNotPrepared,
		stepup.CodeProofInvalid,
	}
	// contend gives each of twenty their turn, on two replicas.
	contend := func(t *testing.T, prepare func(w *world, ada *stepup.Caller) func(s *stepup.Service) error) *world {
		t.Helper()
		t.Parallel()
		w := newWorld(t)
		do := prepare(w, w.caller(nil))
		replicas := []*stepup.Service{w.Service, w.another()}
		assert.Equal(t, 1, w.atOnce(many, func(i int) error { return do(replicas[i%2]) }, lost...))
		return w
	}
	using := func(w *world, in stepup.Use) func(s *stepup.Service) error {
		return func(s *stepup.Service) error {
			_, err := s.Use(ctx(w), w.app.ID, in)
			return err
		}
	}
	attempting := func(w *world, ada *stepup.Caller, id string, p stepup.Proof) func(s *stepup.Service) error {
		return func(s *stepup.Service) error {
			_, err := s.Attempt(ctx(w), ada, id, p)
			return err
		}
	}

	t.Run("a proof", func(t *testing.T) {
		contend(t, func(w *world, ada *stepup.Caller) func(*stepup.Service) error {
			return using(w, use(w.prove(ada, stepup.Ask{Operation: "transfer"}, withPassword).Proof, "transfer"))
		})
	})
	t.Run("a code", func(t *testing.T) {
		w := contend(t, func(w *world, ada *stepup.Caller) func(*stepup.Service) error {
			_, err := w.SendReauthentication(ctx(w), ada, reauth.EmailCode, time.Minute)
			require.NoError(t, err)
			return using(w, stepup.Use{Code: w.code(), UserID: "ada", SessionID: "s1", Operation: "x"})
		})
		// Who came second with the right code has guessed nothing.
		text, err := w.store.Window(ctx(w), w.app.ID, stepup.BucketFailures+"ada")
		require.NoError(t, err)
		assert.Empty(t, text)
	})
	t.Run("a code of a reverification", func(t *testing.T) {
		contend(t, func(w *world, ada *stepup.Caller) func(*stepup.Service) error {
			v := w.begun(ada, stepup.Ask{Level: "medium"})
			return attempting(w, ada, v.ID, w.byCode(ada, reauth.EmailCode)(v.ID))
		})
	})
	t.Run("a verification", func(t *testing.T) {
		contend(t, func(w *world, ada *stepup.Caller) func(*stepup.Service) error {
			made, err := w.SendVerification(ctx(w), ada, reauth.EmailCode, "ada@example.org")
			require.NoError(t, err)
			code := w.code()
			return func(s *stepup.Service) error {
				_, err := s.VerifyCode(ctx(w), made.ID, code, "", "")
				return err
			}
		})
	})
	t.Run("a verification token", func(t *testing.T) {
		contend(t, func(w *world, ada *stepup.Caller) func(*stepup.Service) error {
			made, err := w.SendVerification(ctx(w), ada, reauth.EmailCode, "ada@example.org")
			require.NoError(t, err)
			v, err := w.VerifyCode(ctx(w), made.ID, w.code(), "", "")
			require.NoError(t, err)
			return func(s *stepup.Service) error {
				_, err := s.Sudo(ctx(w), ada, "", v.Token)
				return err
			}
		})
	})
	t.Run("a sudo token", func(t *testing.T) {
		contend(t, func(w *world, ada *stepup.Caller) func(*stepup.Service) error {
			v, err := w.Sudo(ctx(w), ada, secret, "")
			require.NoError(t, err)
			return using(w, stepup.Use{SudoToken: v.Token, UserID: "ada", SessionID: "s1", Operation: "x"})
		})
	})
	t.Run("a backup code", func(t *testing.T) {
		contend(t, func(w *world, ada *stepup.Caller) func(*stepup.Service) error {
			app, _ := w.withTOTP(ada, withPassword)
			backup := w.withBackup(ada, withPassword, byTOTP(w, app))
			return func(s *stepup.Service) error { // each in a reverification of their own
				v, err := s.Begin(ctx(w), ada, stepup.Begin{Ask: stepup.Ask{Level: "strict"}})
				if err != nil {
					return err
				}
				return attempting(w, ada, v.ID, stepup.Proof{Strategy: reauth.BackupCode, Code: backup[0]})(s)
			}
		})
	})
	t.Run("a step of an app", func(t *testing.T) {
		contend(t, func(w *world, ada *stepup.Caller) func(*stepup.Service) error {
			app, _ := w.withTOTP(ada, withPassword)
			code := w.shows(app, 0)
			return func(s *stepup.Service) error {
				v, err := s.Begin(ctx(w), ada, stepup.Begin{Ask: stepup.Ask{Level: "strict"}})
				if err != nil {
					return err
				}
				return attempting(w, ada, v.ID, stepup.Proof{Strategy: reauth.TOTP, Code: code})(s)
			}
		})
	})
	t.Run("a proof that changes factors", func(t *testing.T) {
		contend(t, func(w *world, ada *stepup.Caller) func(*stepup.Service) error {
			text := w.strongest(ada, withPassword)
			return func(s *stepup.Service) error {
				_, err := s.Enrol(ctx(w), ada, stepup.KindPasskey, "", "", text)
				return err
			}
		})
	})
	t.Run("an idempotency key", func(t *testing.T) {
		t.Parallel()
		for name, prepare := range map[string]func(w *world, ada *stepup.Caller) stepup.Use{
			"of a proof": func(w *world, ada *stepup.Caller) stepup.Use {
				return stepup.Use{Proof: w.prove(ada, stepup.Ask{Operation: "transfer"}, withPassword).Proof}
			},
			"of a code": func(w *world, ada *stepup.Caller) stepup.Use {
				_, err := w.SendReauthentication(ctx(w), ada, reauth.EmailCode, time.Minute)
				require.NoError(w, err)
				return stepup.Use{Code: w.code()}
			},
			"of a sudo token": func(w *world, ada *stepup.Caller) stepup.Use {
				v, err := w.Sudo(ctx(w), ada, secret, "")
				require.NoError(w, err)
				return stepup.Use{SudoToken: v.Token}
			},
		} {
			w := newWorld(t)
			in := prepare(w, w.caller(nil))
			in.UserID, in.SessionID, in.Operation, in.IdempotencyKey = "ada", "s1", "transfer", "the same"
			replicas := []*stepup.Service{w.Service, w.another()}
			// A code's tries run out before all have looked at it.
			won := w.atOnce(many, func(i int) error { return using(w, in)(replicas[i%2]) }, stepup.CodeLocked)
			assert.Positive(t, won, name)
			assert.Len(t, w.trail(stepup.ActionProofUsed), 1, "%s: it is used once, and the others are told so", name)
			w.good(in)
		}
	})
}

func TestACodeThatIsWrongAtTheBackend(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	_, err := w.SendReauthentication(ctx(w), ada, reauth.EmailCode, time.Minute)
	require.NoError(t, err)
	in := stepup.Use{Code: wrongFor(w.code()), UserID: "ada", SessionID: "s1", Operation: "x"}
	for left := 4; left >= 0; left-- {
		_, err := w.Use(ctx(w), w.app.ID, in)
		assert.Equal(t, left, w.refused(stepup.CodeFactorIncorrect, err).AttemptsLeft)
	}
	in.Code = w.code()
	_, err = w.Use(ctx(w), w.app.ID, in)
	e := w.refused(stepup.CodeLocked, err)
	assert.Equal(t, start.Add(5*time.Minute), e.RetryAt)
	denied := w.trail(stepup.ActionDenied)
	require.NotEmpty(t, denied, "that stands in the audit")
	assert.Equal(t, string(stepup.CodeLocked), denied[0].Reason)
}

// A code that is bound only at its use has agreed to nothing, and proves nothing
// that has to be proven for one thing only. It is not used up by asking.
func TestACodeIsNeverEnoughForAPayment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	_, err := w.SendReauthentication(ctx(w), ada, reauth.EmailCode, time.Minute)
	require.NoError(t, err)
	sudo, err := w.Sudo(ctx(w), ada, secret, "")
	require.NoError(t, err)
	for _, operation := range []string{"pay", "close"} {
		for _, in := range []stepup.Use{{Code: w.code()}, {SudoToken: sudo.Token}} {
			in.UserID, in.SessionID, in.Operation, in.Details = "ada", "s1", operation, payment
			_, err := w.Use(ctx(w), w.app.ID, in)
			short := w.shortOf(err, operation)
			assert.NotEmpty(t, short.Challenge.Required.Missing)
		}
	}
	for _, in := range []stepup.Use{{Code: w.code()}, {SudoToken: sudo.Token}} {
		in.UserID, in.SessionID, in.Operation = "ada", "s1", "profile"
		w.good(in)
	}
}

func TestASudoTokenForWhatWantsASecondFactor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	app, _ := w.withTOTP(ada, withPassword)
	w.advance(time.Hour)
	sudo, err := w.Sudo(ctx(w), ada, secret, "")
	require.NoError(t, err)
	in := stepup.Use{SudoToken: sudo.Token, UserID: "ada", SessionID: "s1", Operation: "transfer"}
	_, err = w.Use(ctx(w), w.app.ID, in)
	short := w.shortOf(err)
	assert.Equal(t, []reauth.Lack{reauth.LackSecond}, short.Challenge.Required.Missing)
	w.prove(ada, stepup.Ask{Level: "strict"}, byTOTP(w, app))
	w.good(in)
	_, err = w.Use(ctx(w), w.app.ID, in)
	w.refused(stepup.CodeProofUsed, err)
}
