package stepup_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/proof"
	"github.com/reconsent/reconsent/reauth/stepup"
)

// Reverifications: reauth-wire.md 5.

func strategies(v stepup.View, r reauth.Role) (list []reauth.Factor) {
	for _, u := range v.Usable {
		if u.Role == r {
			list = append(list, u.Strategy)
		}
	}
	return list
}

func TestTheWayThroughALevel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)

	// Without a second factor every level asks for the first.
	for _, level := range []string{"strict", "strict_mfa", "medium", "critical"} {
		v := w.begun(ada, stepup.Ask{Level: level})
		assert.Equal(t, stepup.NeedsFirst, v.Status, level)
		assert.Equal(t, []reauth.Factor{reauth.Password, reauth.EmailCode, reauth.PhoneCode}, strategies(v, reauth.First))
		assert.Empty(t, strategies(v, reauth.Second))
		assert.Equal(t, w.clock.Now().Add(10*time.Minute), v.ExpiresAt)
		v, err := w.Attempt(ctx(w), ada, v.ID, withPassword(""))
		require.NoError(t, err)
		assert.Equal(t, stepup.Complete, v.Status, level)
	}
	low := w.begun(ada, stepup.Ask{Level: "low"})
	assert.Equal(t, stepup.Complete, low.Status)
	assert.Empty(t, low.Proof, "nothing was proven")

	app, _ := w.withTOTP(ada, withPassword)
	v := w.begun(ada, stepup.Ask{Level: "strict"})
	assert.Equal(t, stepup.NeedsSecond, v.Status)
	assert.Equal(t, []reauth.Factor{reauth.TOTP}, strategies(v, reauth.Second))
	_, err := w.Attempt(ctx(w), ada, v.ID, withPassword(""))
	w.refused(stepup.CodeStrategyUnavailable, err, "a first factor does not stand in for the second")
	v, err = w.Attempt(ctx(w), ada, v.ID, byTOTP(w, app)(""))
	require.NoError(t, err)
	assert.Equal(t, stepup.Complete, v.Status)
	w.advance(time.Minute)

	v = w.begun(ada, stepup.Ask{Level: "strict_mfa"})
	assert.Equal(t, stepup.NeedsFirst, v.Status)
	_, err = w.Attempt(ctx(w), ada, v.ID, byTOTP(w, app)(""))
	w.refused(stepup.CodeStrategyUnavailable, err)
	v, err = w.Attempt(ctx(w), ada, v.ID, withPassword(""))
	require.NoError(t, err)
	assert.Equal(t, stepup.NeedsSecond, v.Status)
	assert.Empty(t, v.Proof)
	v, err = w.Attempt(ctx(w), ada, v.ID, byTOTP(w, app)(""))
	require.NoError(t, err)
	assert.Equal(t, stepup.Complete, v.Status)
	_, err = w.Attempt(ctx(w), ada, v.ID, byTOTP(w, app)(""))
	w.refused(stepup.CodeReverificationEnded, err, "it is complete")
}

func TestEachStrategyRightAndWrong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	key, _ := w.withPasskey(ada, withPassword)
	app, _ := w.withTOTP(ada, withPassword)
	backup := w.withBackup(ada, withPassword, byTOTP(w, app))
	stranger := newAuthenticator(t)
	stranger.ID, stranger.Handle = key.ID, key.Handle

	for _, tt := range []struct {
		f            reauth.Factor
		level        string
		right, wrong answer
	}{
		{reauth.Password, "medium", withPassword, func(string) stepup.Proof { return stepup.Proof{Strategy: reauth.Password, Password: "guess"} }},
		{reauth.Password, "medium", withPassword, func(string) stepup.Proof { return stepup.Proof{Strategy: reauth.Password} }},
		{reauth.EmailCode, "medium", w.byCode(ada, reauth.EmailCode), func(id string) stepup.Proof {
			p := w.byCode(ada, reauth.EmailCode)(id)
			p.Code = wrongFor(p.Code)
			return p
		}},
		{reauth.PhoneCode, "medium", w.byCode(ada, reauth.PhoneCode), func(id string) stepup.Proof {
			p := w.byCode(ada, reauth.PhoneCode)(id)
			p.Code = "not six digits"
			return p
		}},
		{reauth.Passkey, "medium", w.byPasskey(ada, key), w.byPasskey(ada, stranger)},
		{reauth.TOTP, "strict", byTOTP(w, app), func(string) stepup.Proof {
			return stepup.Proof{Strategy: reauth.TOTP, Code: wrongFor(w.shows(app, 0))}
		}},
		{reauth.BackupCode, "strict", func(string) stepup.Proof { return stepup.Proof{Strategy: reauth.BackupCode, Code: backup[0]} },
			func(string) stepup.Proof {
				return stepup.Proof{Strategy: reauth.BackupCode, Code: strings.Repeat("A", len(backup[0]))}
			}},
	} {
		v := w.begun(ada, stepup.Ask{Level: tt.level})
		_, err := w.Attempt(ctx(w), ada, v.ID, tt.wrong(v.ID))
		e := w.refused(stepup.CodeFactorIncorrect, err, tt.f)
		assert.Positive(t, e.AttemptsLeft, tt.f)
		v, err = w.Look(ctx(w), ada, v.ID)
		require.NoError(t, err)
		assert.NotEqual(t, stepup.Complete, v.Status, "a wrong answer moves nothing")
		w.advance(time.Minute)
		v, err = w.Attempt(ctx(w), ada, v.ID, tt.right(v.ID))
		require.NoError(t, err, tt.f)
		assert.Equal(t, stepup.Complete, v.Status, tt.f)
		w.advance(15 * time.Minute)
	}
}

func TestAReverificationIsItsSessionsOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user(&w.app, "bob")
	ada := w.caller(nil)
	v := w.begun(ada, stepup.Ask{Level: "medium"})
	done := w.prove(ada, stepup.Ask{Level: "medium"}, withPassword)
	for name, c := range map[string]*stepup.Caller{"another session": w.in("s2"), "another user": w.of(&w.app, map[string]any{"sub": "bob"})} {
		for _, id := range []string{v.ID, done.ID, "rev_0", "", "\x00"} {
			_, err := w.Look(ctx(w), c, id)
			w.refused(stepup.CodeReverificationNotFound, err, name)
			_, _, err = w.Prepare(ctx(w), c, id, reauth.EmailCode, "")
			w.refused(stepup.CodeReverificationNotFound, err, name)
			_, err = w.Attempt(ctx(w), c, id, withPassword(""))
			w.refused(stepup.CodeReverificationNotFound, err, name)
		}
	}
	w.advance(10 * time.Minute)
	_, err := w.Attempt(ctx(w), ada, v.ID, withPassword(""))
	w.refused(stepup.CodeReverificationEnded, err, "it has expired")
	_, _, err = w.Prepare(ctx(w), ada, v.ID, reauth.EmailCode, "")
	w.refused(stepup.CodeReverificationEnded, err)
	_, err = w.Look(ctx(w), ada, v.ID)
	w.refused(stepup.CodeReverificationEnded, err)
}

func TestWhoHasNothingToProve(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settle(func(s *stepup.Settings) { s.CodesOff = []reauth.Factor{reauth.PhoneCode} })
	ada := w.caller(nil)
	assert.Equal(t, []reauth.Factor{reauth.Password, reauth.EmailCode}, strategies(w.begun(ada, stepup.Ask{Level: "strict"}), reauth.First))
	v := w.begun(ada, stepup.Ask{Level: "strict"})
	_, _, err := w.Prepare(ctx(w), ada, v.ID, reauth.PhoneCode, "")
	w.refused(stepup.CodeStrategyUnavailable, err)
	_, err = w.Enrol(ctx(w), ada, stepup.KindPhone, "", "+447911123456", "")
	w.refused(stepup.CodeStrategyUnavailable, err)

	w.settle(func(s *stepup.Settings) { s.CodesOff = []reauth.Factor{reauth.PhoneCode, reauth.EmailCode} })
	w.change("ada", func(u *consent.User) { u.PasswordHash = nil })
	ada = w.caller(nil)
	_, err = w.Begin(ctx(w), ada, stepup.Begin{Ask: stepup.Ask{Level: "strict"}})
	e := w.refused(stepup.CodeNoFactorAvailable, err)
	assert.Contains(t, e.Detail, "PUT /v1/users/{id}")
	_, err = w.SendReauthentication(ctx(w), ada, "", time.Minute)
	w.refused(stepup.CodeAddressMissing, err)
	assert.Zero(t, w.sent())
	assert.Equal(t, string(stepup.CodeNoFactorAvailable), w.trail(stepup.ActionDenied)[1].Reason)
}

// A number that was enrolled as a second factor is no first one any more, also
// where it was proven as one a moment before.
func TestAPhoneNeverCountsTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	w.prove(ada, stepup.Ask{Level: "medium"}, w.byCode(ada, reauth.PhoneCode))
	require.True(t, w.fresh(ada, "medium"))
	enrol := w.in("setup")
	w.advance(time.Second)
	w.withPhone(enrol, "+447911123456", withPassword)
	assert.False(t, w.fresh(ada, "medium"), "its first proof counts no more")

	v := w.begun(ada, stepup.Ask{Level: "strict_mfa"})
	assert.Equal(t, []reauth.Factor{reauth.Password, reauth.EmailCode}, strategies(v, reauth.First))
	assert.Equal(t, []reauth.Factor{reauth.PhoneCode}, strategies(v, reauth.Second))
	_, _, err := w.Prepare(ctx(w), ada, v.ID, reauth.PhoneCode, "")
	w.refused(stepup.CodeStrategyUnavailable, err, "the first factor comes first")
	w.prove(ada, stepup.Ask{Level: "strict"}, w.byCode(ada, reauth.PhoneCode))
	assert.True(t, w.fresh(ada, "strict"))
	assert.False(t, w.fresh(ada, "strict_mfa"))
	assert.False(t, w.fresh(ada, "medium"))

	// The chain counts it as a second factor as well.
	chain := w.in("chain")
	made, err := w.SendVerification(ctx(w), chain, reauth.PhoneCode, "+447911123456")
	require.NoError(t, err)
	_, err = w.VerifyCode(ctx(w), made.ID, w.code(), "", "")
	require.NoError(t, err)
	assert.True(t, w.fresh(chain, "strict"))
	assert.False(t, w.fresh(chain, "medium"))
}

func TestACodeIsAskedForAgainAfterHalfAMinute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	v := w.begun(ada, stepup.Ask{Level: "medium"})
	_, p, err := w.Prepare(ctx(w), ada, v.ID, reauth.EmailCode, "")
	require.NoError(t, err)
	assert.Equal(t, "a***@example.org", p.SentTo)
	assert.Equal(t, start.Add(5*time.Minute), p.ExpiresAt)
	first := w.code()
	w.advance(30*time.Second - time.Microsecond)
	_, _, err = w.Prepare(ctx(w), ada, v.ID, reauth.EmailCode, "")
	e := w.refused(stepup.CodeSendLimited, err)
	assert.Equal(t, start.Add(30*time.Second), e.RetryAt)
	require.Equal(t, 1, w.sent())
	w.advance(time.Microsecond)
	_, _, err = w.Prepare(ctx(w), ada, v.ID, reauth.EmailCode, "")
	require.NoError(t, err)
	require.NotEqual(t, first, w.code())
	_, err = w.Attempt(ctx(w), ada, v.ID, stepup.Proof{Strategy: reauth.EmailCode, Code: first})
	w.refused(stepup.CodeFactorIncorrect, err, "one code is live")
	_, err = w.Attempt(ctx(w), ada, v.ID, stepup.Proof{Strategy: reauth.EmailCode, Code: w.code()})
	require.NoError(t, err)
}

func TestACodeThatIsGuessedLateOrElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	typed := func(id, code string) error {
		_, err := w.Attempt(ctx(w), ada, id, stepup.Proof{Strategy: reauth.EmailCode, Code: code})
		return err
	}

	t.Run("wrong five times, then right", func(t *testing.T) {
		v := w.begun(ada, stepup.Ask{Level: "medium"})
		code := w.byCode(ada, reauth.EmailCode)(v.ID).Code
		made := w.clock.Now()
		for left := 4; left >= 0; left-- {
			assert.Equal(t, left, w.refused(stepup.CodeFactorIncorrect, typed(v.ID, wrongFor(code))).AttemptsLeft)
		}
		assert.Equal(t, made.Add(5*time.Minute), w.refused(stepup.CodeLocked, typed(v.ID, code)).RetryAt)
		w.advance(5 * time.Minute)
		w.refused(stepup.CodeNotPrepared, typed(v.ID, code))
	})
	t.Run("late", func(t *testing.T) {
		v := w.begun(ada, stepup.Ask{Level: "medium"})
		code := w.byCode(ada, reauth.EmailCode)(v.ID).Code
		w.advance(5 * time.Minute)
		w.refused(stepup.CodeNotPrepared, typed(v.ID, code))
	})
	t.Run("in the last moment, with spaces and full width", func(t *testing.T) {
		v := w.begun(ada, stepup.Ask{Level: "medium"})
		code := w.byCode(ada, reauth.EmailCode)(v.ID).Code
		w.advance(5*time.Minute - time.Microsecond)
		wide := strings.Map(func(r rune) rune { return r - 0x30 + 0xff10 }, code)
		require.NoError(t, typed(v.ID, " "+wide[:9]+"\u00a0"+wide[9:]+" "))
	})
	t.Run("for another reverification", func(t *testing.T) {
		v, other := w.begun(ada, stepup.Ask{Level: "medium"}), w.begun(ada, stepup.Ask{Level: "medium"})
		code := w.byCode(ada, reauth.EmailCode)(v.ID).Code
		w.refused(stepup.CodeNotPrepared, typed(other.ID, code))
		_, err := w.Use(ctx(w), w.app.ID, stepup.Use{Code: code, UserID: "ada", SessionID: "s1", Operation: "x"})
		w.refused(stepup.CodeCodeExpired, err, "nor for another purpose")
		_, err = w.Attempt(ctx(w), ada, v.ID, stepup.Proof{Strategy: reauth.PhoneCode, Code: code})
		w.refused(stepup.CodeNotPrepared, err, "nor as another factor")
		require.NoError(t, typed(v.ID, code))
		w.refused(stepup.CodeNotPrepared, typed(other.ID, code), "it was used")
	})
	t.Run("never asked for", func(t *testing.T) {
		w.advance(time.Hour)
		w.refused(stepup.CodeNotPrepared, typed(w.begun(ada, stepup.Ask{Level: "medium"}).ID, "123456"))
		v := w.begun(ada, stepup.Ask{Level: "medium"})
		_, err := w.Attempt(ctx(w), ada, v.ID, stepup.Proof{Strategy: "carrier_pigeon", Code: "1"})
		w.refused(stepup.CodeStrategyUnavailable, err)
	})
}

func TestAnAuthenticatorAppWithAClockThatIsOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	app, _ := w.withTOTP(ada, withPassword)
	for _, tt := range []struct {
		off  time.Duration
		good bool
	}{{-30 * time.Second, true}, {30 * time.Second, true}, {-5 * time.Minute, false}, {5 * time.Minute, false}, {-60 * time.Second, false}, {60 * time.Second, false}} {
		w.advance(5 * time.Minute)
		v := w.begun(ada, stepup.Ask{Level: "strict"})
		code := w.shows(app, tt.off)
		_, err := w.Attempt(ctx(w), ada, v.ID, stepup.Proof{Strategy: reauth.TOTP, Code: code})
		if !tt.good {
			w.refused(stepup.CodeFactorIncorrect, err, tt.off)
			continue
		}
		require.NoError(t, err, tt.off)
		v = w.begun(ada, stepup.Ask{Level: "strict"})
		_, err = w.Attempt(ctx(w), ada, v.ID, stepup.Proof{Strategy: reauth.TOTP, Code: code})
		w.refused(stepup.CodeCodeExpired, err, "a step is good once")
	}
}

func TestAPasskeyAnswersItsOwnChallengeOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	key, _ := w.withPasskey(ada, withPassword)
	attempt := func(id string, answer []byte) error {
		_, err := w.Attempt(ctx(w), ada, id, stepup.Proof{Strategy: reauth.Passkey, Credential: answer})
		return err
	}
	prepare := func(id string) json.RawMessage {
		_, p, err := w.Prepare(ctx(w), ada, id, reauth.Passkey, "")
		require.NoError(t, err)
		key.Count++
		return p.Options
	}
	v, other := w.begun(ada, stepup.Ask{Level: "medium"}), w.begun(ada, stepup.Ask{Level: "medium"})
	w.refused(stepup.CodeNotPrepared, attempt(v.ID, key.Get(json.RawMessage(`{"challenge":"AAAA"}`))), "nothing was prepared")
	first := prepare(v.ID)
	second := prepare(v.ID)
	w.refused(stepup.CodeFactorIncorrect, attempt(v.ID, key.Get(first)), "another challenge came in its place")
	w.refused(stepup.CodeNotPrepared, attempt(v.ID, key.Get(second)), "a challenge is good for one answer")
	prepare(other.ID)
	w.refused(stepup.CodeFactorIncorrect, attempt(other.ID, key.Get(prepare(v.ID))), "another reverification's")
	late := prepare(v.ID)
	w.advance(5 * time.Minute)
	w.refused(stepup.CodeFactorIncorrect, attempt(v.ID, key.Get(late)))
	prepare(v.ID)
	w.refused(consent.CodeInvalidRequest, attempt(v.ID, []byte(`{"id":1}`)))
	good := key.Get(prepare(v.ID))
	require.NoError(t, attempt(v.ID, good))
	again := prepare(other.ID)
	key.Count = 1
	w.refused(stepup.CodeFactorIncorrect, attempt(other.ID, key.Get(again)), "its counter went back")
	assert.Equal(t, "passkey_cloned", w.trail(stepup.ActionFailed)[0].Reason)
}

// What a proof says, to the last claim, as any backend reads it.
func TestTheClaimsOfAProof(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	app, id := w.withTOTP(ada, withPassword)
	w.advance(time.Hour)
	w.advance(300 * time.Millisecond)

	v := w.begun(ada, stepup.Ask{Level: "strict_mfa", Operation: "invite"})
	_, err := w.Attempt(ctx(w), ada, v.ID, withPassword(""))
	require.NoError(t, err)
	at := w.clock.Now().Truncate(time.Second)
	w.advance(3 * time.Minute)
	v, err = w.Attempt(ctx(w), ada, v.ID, byTOTP(w, app)(""))
	require.NoError(t, err)
	now := w.clock.Now().Truncate(time.Second)

	want := proof.Claims{
		Issuer: ourBase, Audience: w.app.ID, Subject: "ada", Session: "s1", ID: v.ID, IssuedAt: now,
		ExpiresAt: at.Add(10 * time.Minute), AuthTime: now, AMR: []string{"pwd", "otp", "mfa"}, Level: "strict_mfa", FVA: [2]int{3, 0},
		Factors:              []proof.Factor{{Method: "password", Role: proof.First, At: at}, {Method: "totp", Role: proof.Second, At: now, Ref: id}},
		SecondFactorEnrolled: true, Operation: &proof.Operation{Name: "invite"},
	}
	assert.Equal(t, want, w.claims(v.Proof))

	again, err := w.Look(ctx(w), ada, v.ID)
	require.NoError(t, err)
	assert.Equal(t, v.Proof, again.Proof, "the same proof, however often it is asked for")
	w.advance(7*time.Minute - time.Second)
	again, err = w.Look(ctx(w), ada, v.ID)
	require.NoError(t, err)
	assert.Equal(t, want, w.claims(again.Proof))
	w.advance(time.Second)
	again, err = w.Look(ctx(w), ada, v.ID)
	require.NoError(t, err)
	assert.Equal(t, stepup.Complete, again.Status)
	assert.Empty(t, again.Proof, "it has expired")
	_, err = w.Use(ctx(w), w.app.ID, use(v.Proof, "invite"))
	w.refused(stepup.CodeProofInvalid, err)
}

// TestSeveralFactorsAreToldInAMR: both roles, or two categories, of those that
// this was proven with, and nothing that only looks like it.
func TestSeveralFactorsAreToldInAMR(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := 0
	amr := func(level string, answers ...func(c *stepup.Caller) answer) []string {
		t.Helper()
		n++
		c := w.in(fmt.Sprint("amr", n))
		var v stepup.View
		for _, a := range answers {
			if v.Status != stepup.NeedsSecond {
				v = w.begun(c, stepup.Ask{Level: level})
			}
			var err error
			v, err = w.Attempt(ctx(w), c, v.ID, a(c)(v.ID))
			require.NoError(t, err)
			w.advance(time.Minute)
		}
		require.NotEmpty(t, v.Proof)
		return w.claims(v.Proof).AMR
	}
	password := func(*stepup.Caller) answer { return withPassword }
	code := func(f reauth.Factor) func(c *stepup.Caller) answer {
		return func(c *stepup.Caller) answer { return w.byCode(c, f) }
	}
	assert.Equal(t, []string{"pwd"}, amr("medium", password))
	assert.Equal(t, []string{"otp"}, amr("medium", code(reauth.EmailCode)))
	assert.Equal(t, []string{"pwd"}, amr("medium", password, password), "the same twice")
	assert.Equal(t, []string{"sms", "otp"}, amr("medium", code(reauth.EmailCode), code(reauth.PhoneCode)), "what was proven for something else before is not how")
	assert.Equal(t, []string{"pwd"}, amr("medium", code(reauth.EmailCode), password))
	paid := w.in("two categories")
	assert.Equal(t, []string{"pwd", "otp", "mfa"}, w.claims(w.paid(paid, payment, withPassword, w.byCode(paid, reauth.EmailCode)).Proof).AMR, "two categories")

	key, _ := w.withPasskey(w.in("key"), withPassword)
	w.advance(time.Hour)
	assert.Equal(t, []string{"hwk", "user", "mfa"}, amr("medium", func(c *stepup.Caller) answer { return w.byPasskey(c, key) }), "it verified the person")
	app, _ := w.withTOTP(w.in("app"), withPassword)
	w.advance(time.Hour)
	assert.Equal(t, []string{"otp"}, amr("strict", func(*stepup.Caller) answer { return byTOTP(w, app) }))
	assert.Equal(t, []string{"pwd", "otp", "mfa"}, amr("strict_mfa", password, func(*stepup.Caller) answer { return byTOTP(w, app) }))
	assert.Equal(t, []string{"otp", "mfa"}, amr("strict_mfa", code(reauth.EmailCode), func(*stepup.Caller) answer { return byTOTP(w, app) }), "both roles")
}

// What was proven long ago stands in a proof with its time, and is no part of how
// or when the user has proven this: amr beside auth_time would say that it was
// proven just now.
func TestAMRIsOfThisProof(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	app, id := w.withTOTP(ada, withPassword)
	w.advance(time.Minute)
	w.prove(ada, stepup.Ask{Level: "strict"}, byTOTP(w, app))
	then := w.clock.Now()
	w.advance(60 * 24 * time.Hour)
	for _, level := range []string{"medium", "session"} {
		w.advance(time.Hour)
		ada = w.caller(nil)
		said := w.claims(w.prove(ada, stepup.Ask{Level: level}, withPassword).Proof)
		now := w.clock.Now()
		assert.Equal(t, []string{"pwd"}, said.AMR, level)
		assert.Equal(t, now, said.AuthTime, level)
		assert.Equal(t, [2]int{0, int(now.Sub(then) / time.Minute)}, said.FVA, level)
		assert.Equal(t, []proof.Factor{{Method: "password", Role: proof.First, At: now}, {Method: "totp", Role: proof.Second, At: then, Ref: id}}, said.Factors, level)
	}
}

func TestAProofEndsWithTheWindowOfItsLevel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	one := 1
	for _, tt := range []struct {
		ask  stepup.Ask
		life time.Duration
	}{
		{stepup.Ask{Level: "high"}, 5 * time.Minute}, {stepup.Ask{Level: "strict"}, 10 * time.Minute}, {stepup.Ask{Level: "lax"}, 10 * time.Minute},
		{stepup.Ask{Level: "session"}, 10 * time.Minute}, {stepup.Ask{Level: "critical"}, 10 * time.Minute},
		{stepup.Ask{Level: "first_factor", AfterMinutes: &one}, time.Minute},
	} {
		said := w.claims(w.prove(ada, tt.ask, withPassword).Proof)
		assert.Equal(t, tt.life, said.ExpiresAt.Sub(said.IssuedAt), tt.ask.Level)
	}
}

// Asking again for a proof makes it neither younger nor longer, whatever was
// proven since; and all copies are used up by one use.
func TestAProofThatIsAskedForAgainIsTheSame(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	app, _ := w.withTOTP(ada, withPassword)
	w.advance(time.Hour)
	for _, level := range []string{"strict", "critical"} {
		w.advance(time.Hour)
		v := w.prove(ada, stepup.Ask{Level: level, Operation: "transfer"}, byTOTP(w, app))
		require.Equal(t, stepup.Complete, v.Status)
		first := w.claims(v.Proof)
		var again stepup.View
		for range 9 {
			w.advance(time.Minute)
			w.prove(ada, stepup.Ask{Level: "strict_mfa"}, withPassword, byTOTP(w, app))
			var err error
			again, err = w.another().Look(ctx(w), ada, v.ID)
			require.NoError(t, err)
			said := w.claims(again.Proof)
			for _, f := range said.Factors {
				assert.Contains(t, first.Factors, f, "nothing that came later")
			}
			// What the session has proven anew is left out: that is less, not more.
			said.Factors, said.AMR, said.FVA = first.Factors, first.AMR, first.FVA
			assert.Equal(t, first, said, level)
		}
		w.good(use(again.Proof, "transfer"))
		_, err := w.Use(ctx(w), w.app.ID, use(v.Proof, "transfer"))
		w.refused(stepup.CodeProofUsed, err)
		again, err = w.Look(ctx(w), ada, v.ID)
		require.NoError(t, err)
		assert.Empty(t, again.Proof)
	}
}
