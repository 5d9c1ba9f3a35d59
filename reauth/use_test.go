package reauth_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
)

// What is used up by a backend: reauth-wire.md 6.

func TestAProofThatDoesNotFitIsNotUsedUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user(&w.app, "bob")
	ada := w.caller(nil)
	text := w.prove(ada, reauth.Ask{Operation: "transfer"}, withPassword).Proof
	for name, tt := range map[string]struct {
		change func(*reauth.Use)
		code   consent.Code
	}{
		"another operation": {func(in *reauth.Use) { in.Operation = "profile" }, reauth.CodeProofMismatch},
		"another session":   {func(in *reauth.Use) { in.SessionID = "s2" }, reauth.CodeProofMismatch},
		"another user":      {func(in *reauth.Use) { in.UserID = "bob" }, reauth.CodeProofMismatch},
		"details":           {func(in *reauth.Use) { in.Details = payment }, reauth.CodeProofMismatch},
		"details of none":   {func(in *reauth.Use) { in.Details = &reauth.Details{} }, consent.CodeInvalidRequest},
		"a bad signature":   {func(in *reauth.Use) { in.Proof = in.Proof[:len(in.Proof)-6] + "AAAAAA" }, reauth.CodeProofInvalid},
		"a token of a user": {func(in *reauth.Use) { in.Proof = w.token(&w.app, nil) }, reauth.CodeProofInvalid},
		"no operation":      {func(in *reauth.Use) { in.Operation = "" }, consent.CodeInvalidRequest},
		"no user":           {func(in *reauth.Use) { in.UserID = "" }, consent.CodeInvalidRequest},
		"no session":        {func(in *reauth.Use) { in.SessionID = "" }, consent.CodeInvalidRequest},
		"two things":        {func(in *reauth.Use) { in.Code = "123456" }, consent.CodeInvalidRequest},
		"nothing":           {func(in *reauth.Use) { in.Proof = "" }, consent.CodeInvalidRequest},
		"an odd key":        {func(in *reauth.Use) { in.IdempotencyKey = "\x01" }, consent.CodeInvalidRequest},
		"a level that none": {func(in *reauth.Use) { in.Level = "much" }, reauth.CodeLevelInvalid},
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
	assert.Equal(t, reauth.Used{Valid: true, Level: "strict", AuthTime: start, AMR: []string{"pwd"}}, used)
	_, err = w.Use(ctx(w), w.app.ID, use(text, "transfer"))
	w.refused(reauth.CodeProofUsed, err)

	// The other way about: a proof is no token of a user.
	_, err = w.Identify(ctx(w), reauth.Request{Authorization: []string{"Bearer " + text}, Applications: []string{"acme"}})
	w.refused(reauth.CodeTokenInvalid, err)
}

func TestTheSameAnswerForAMinute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	sudo, err := w.Sudo(ctx(w), ada, secret, "")
	require.NoError(t, err)
	_, err = w.SendReauthentication(ctx(w), ada, reauth.EmailCode, time.Minute)
	require.NoError(t, err)
	for name, in := range map[string]reauth.Use{
		"a proof": {Proof: w.prove(ada, reauth.Ask{Operation: "transfer"}, withPassword).Proof}, "a sudo token": {SudoToken: sudo.Token}, "a code": {Code: w.code()},
	} {
		in.UserID, in.SessionID, in.Operation, in.IdempotencyKey = "ada", "s1", "transfer", "key of "+name
		used := w.good(in)
		w.advance(time.Minute - time.Second)
		assert.Equal(t, used, w.good(in), name)

		changed := in
		changed.Operation = "profile"
		_, err := w.Use(ctx(w), w.app.ID, changed)
		w.refused(reauth.CodeProofUsed, err, "another request with its key")
		other := in
		other.IdempotencyKey = ""
		_, err = w.Use(ctx(w), w.app.ID, other)
		assert.Contains(t, []consent.Code{reauth.CodeProofUsed, reauth.CodeCodeExpired}, consent.CodeOf(err))

		w.advance(time.Second)
		_, err = w.Use(ctx(w), w.app.ID, in)
		assert.Contains(t, []consent.Code{reauth.CodeProofUsed, reauth.CodeCodeExpired}, consent.CodeOf(err), "after a minute %s is used", name)
	}
}

// Two requests with one key at the same moment: one is done, the other is told
// that the key is taken, and its proof is not used up.
func TestTwoRequestsWithOneKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	first, second := use(w.prove(ada, reauth.Ask{Operation: "transfer"}, withPassword).Proof, "transfer"), use(w.prove(ada, reauth.Ask{Operation: "transfer"}, withPassword).Proof, "transfer")
	first.IdempotencyKey, second.IdempotencyKey = "k", "k"
	m := &meddler{Store: w.store, before: func() { w.good(first) }}
	_, err := w.over(m).Use(ctx(w), w.app.ID, second)
	w.refused(reauth.CodeProofUsed, err)
	second.IdempotencyKey = ""
	w.good(second)
}

func TestTwentyAtOnceAndOneWins(t *testing.T) {
	t.Parallel()
	const many = 20
	lost := []consent.Code{
		reauth.CodeProofUsed, reauth.CodeCodeExpired, reauth.CodeLocked, reauth.CodeReverificationEnded, reauth.CodeFactorIncorrect, reauth.CodeNotPrepared,
		reauth.CodeProofInvalid,
	}
	// contend gives each of twenty their turn, on two replicas.
	contend := func(t *testing.T, prepare func(w *world, ada *reauth.Caller) func(s *reauth.Service) error) *world {
		t.Helper()
		t.Parallel()
		w := newWorld(t)
		do := prepare(w, w.caller(nil))
		replicas := []*reauth.Service{w.Service, w.another()}
		assert.Equal(t, 1, w.atOnce(many, func(i int) error { return do(replicas[i%2]) }, lost...))
		return w
	}
	using := func(w *world, in reauth.Use) func(s *reauth.Service) error {
		return func(s *reauth.Service) error {
			_, err := s.Use(ctx(w), w.app.ID, in)
			return err
		}
	}
	attempting := func(w *world, ada *reauth.Caller, id string, p reauth.Proof) func(s *reauth.Service) error {
		return func(s *reauth.Service) error {
			_, err := s.Attempt(ctx(w), ada, id, p)
			return err
		}
	}

	t.Run("a proof", func(t *testing.T) {
		contend(t, func(w *world, ada *reauth.Caller) func(*reauth.Service) error {
			return using(w, use(w.prove(ada, reauth.Ask{Operation: "transfer"}, withPassword).Proof, "transfer"))
		})
	})
	t.Run("a code", func(t *testing.T) {
		w := contend(t, func(w *world, ada *reauth.Caller) func(*reauth.Service) error {
			_, err := w.SendReauthentication(ctx(w), ada, reauth.EmailCode, time.Minute)
			require.NoError(t, err)
			return using(w, reauth.Use{Code: w.code(), UserID: "ada", SessionID: "s1", Operation: "x"})
		})
		// Who came second with the right code has guessed nothing.
		text, err := w.store.Window(ctx(w), w.app.ID, reauth.BucketFailures+"ada")
		require.NoError(t, err)
		assert.Empty(t, text)
	})
	t.Run("a code of a reverification", func(t *testing.T) {
		contend(t, func(w *world, ada *reauth.Caller) func(*reauth.Service) error {
			v := w.begun(ada, reauth.Ask{Level: "medium"})
			return attempting(w, ada, v.ID, w.byCode(ada, reauth.EmailCode)(v.ID))
		})
	})
	t.Run("a verification", func(t *testing.T) {
		contend(t, func(w *world, ada *reauth.Caller) func(*reauth.Service) error {
			made, err := w.SendVerification(ctx(w), ada, reauth.EmailCode, "ada@example.org")
			require.NoError(t, err)
			code := w.code()
			return func(s *reauth.Service) error {
				_, err := s.VerifyCode(ctx(w), made.ID, code, "", "")
				return err
			}
		})
	})
	t.Run("a verification token", func(t *testing.T) {
		contend(t, func(w *world, ada *reauth.Caller) func(*reauth.Service) error {
			made, err := w.SendVerification(ctx(w), ada, reauth.EmailCode, "ada@example.org")
			require.NoError(t, err)
			v, err := w.VerifyCode(ctx(w), made.ID, w.code(), "", "")
			require.NoError(t, err)
			return func(s *reauth.Service) error {
				_, err := s.Sudo(ctx(w), ada, "", v.Token)
				return err
			}
		})
	})
	t.Run("a sudo token", func(t *testing.T) {
		contend(t, func(w *world, ada *reauth.Caller) func(*reauth.Service) error {
			v, err := w.Sudo(ctx(w), ada, secret, "")
			require.NoError(t, err)
			return using(w, reauth.Use{SudoToken: v.Token, UserID: "ada", SessionID: "s1", Operation: "x"})
		})
	})
	t.Run("a backup code", func(t *testing.T) {
		contend(t, func(w *world, ada *reauth.Caller) func(*reauth.Service) error {
			app, _ := w.withTOTP(ada, withPassword)
			backup := w.withBackup(ada, withPassword, byTOTP(w, app))
			return func(s *reauth.Service) error { // each in a reverification of their own
				v, err := s.Begin(ctx(w), ada, reauth.Begin{Ask: reauth.Ask{Level: "strict"}})
				if err != nil {
					return err
				}
				return attempting(w, ada, v.ID, reauth.Proof{Strategy: reauth.BackupCode, Code: backup[0]})(s)
			}
		})
	})
	t.Run("a step of an app", func(t *testing.T) {
		contend(t, func(w *world, ada *reauth.Caller) func(*reauth.Service) error {
			app, _ := w.withTOTP(ada, withPassword)
			code := w.shows(app, 0)
			return func(s *reauth.Service) error {
				v, err := s.Begin(ctx(w), ada, reauth.Begin{Ask: reauth.Ask{Level: "strict"}})
				if err != nil {
					return err
				}
				return attempting(w, ada, v.ID, reauth.Proof{Strategy: reauth.TOTP, Code: code})(s)
			}
		})
	})
	t.Run("a proof that changes factors", func(t *testing.T) {
		contend(t, func(w *world, ada *reauth.Caller) func(*reauth.Service) error {
			text := w.strongest(ada, withPassword)
			return func(s *reauth.Service) error {
				_, err := s.Enrol(ctx(w), ada, reauth.KindPasskey, "", "", text)
				return err
			}
		})
	})
	t.Run("an idempotency key", func(t *testing.T) {
		t.Parallel()
		for name, prepare := range map[string]func(w *world, ada *reauth.Caller) reauth.Use{
			"of a proof": func(w *world, ada *reauth.Caller) reauth.Use {
				return reauth.Use{Proof: w.prove(ada, reauth.Ask{Operation: "transfer"}, withPassword).Proof}
			},
			"of a code": func(w *world, ada *reauth.Caller) reauth.Use {
				_, err := w.SendReauthentication(ctx(w), ada, reauth.EmailCode, time.Minute)
				require.NoError(w, err)
				return reauth.Use{Code: w.code()}
			},
			"of a sudo token": func(w *world, ada *reauth.Caller) reauth.Use {
				v, err := w.Sudo(ctx(w), ada, secret, "")
				require.NoError(w, err)
				return reauth.Use{SudoToken: v.Token}
			},
		} {
			w := newWorld(t)
			in := prepare(w, w.caller(nil))
			in.UserID, in.SessionID, in.Operation, in.IdempotencyKey = "ada", "s1", "transfer", "the same"
			replicas := []*reauth.Service{w.Service, w.another()}
			// A code's tries run out before all have looked at it.
			won := w.atOnce(many, func(i int) error { return using(w, in)(replicas[i%2]) }, reauth.CodeLocked)
			assert.Positive(t, won, name)
			assert.Len(t, w.trail(reauth.ActionProofUsed), 1, "%s: it is used once, and the others are told so", name)
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
	in := reauth.Use{Code: wrongFor(w.code()), UserID: "ada", SessionID: "s1", Operation: "x"}
	for left := 4; left >= 0; left-- {
		_, err := w.Use(ctx(w), w.app.ID, in)
		assert.Equal(t, left, w.refused(reauth.CodeFactorIncorrect, err).AttemptsLeft)
	}
	in.Code = w.code()
	_, err = w.Use(ctx(w), w.app.ID, in)
	e := w.refused(reauth.CodeLocked, err)
	assert.Equal(t, start.Add(5*time.Minute), e.RetryAt)
	denied := w.trail(reauth.ActionDenied)
	require.NotEmpty(t, denied, "that stands in the audit")
	assert.Equal(t, string(reauth.CodeLocked), denied[0].Reason)
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
		for _, in := range []reauth.Use{{Code: w.code()}, {SudoToken: sudo.Token}} {
			in.UserID, in.SessionID, in.Operation, in.Details = "ada", "s1", operation, payment
			_, err := w.Use(ctx(w), w.app.ID, in)
			short := w.shortOf(err, operation)
			assert.NotEmpty(t, short.Challenge.Required.Missing)
		}
	}
	for _, in := range []reauth.Use{{Code: w.code()}, {SudoToken: sudo.Token}} {
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
	in := reauth.Use{SudoToken: sudo.Token, UserID: "ada", SessionID: "s1", Operation: "transfer"}
	_, err = w.Use(ctx(w), w.app.ID, in)
	short := w.shortOf(err)
	assert.Equal(t, []reauth.Lack{reauth.LackSecond}, short.Challenge.Required.Missing)
	w.prove(ada, reauth.Ask{Level: "strict"}, byTOTP(w, app))
	w.good(in)
	_, err = w.Use(ctx(w), w.app.ID, in)
	w.refused(reauth.CodeProofUsed, err)
}
