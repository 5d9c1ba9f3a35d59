package stepup_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/stepup"
)

// Guessing: reauth-wire.md 7.

// TestTenFailuresInAnHour are over all factors, endpoints and sessions, and
// through a restart.
func TestTenFailuresInAnHour(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	app, _ := w.withTOTP(ada, withPassword)
	w.advance(time.Hour)
	first := w.clock.Now()
	s, other := w.another(), w.in("s2")

	bad := stepup.Proof{Strategy: reauth.Password, Password: "guess"}
	begun := func(level string) string { return w.begun(other, stepup.Ask{Level: level}).ID }
	wrong := []func() error{
		func() error { _, err := s.Sudo(ctx(w), ada, "guess", ""); return err },
		func() error { _, err := s.Attempt(ctx(w), other, begun("medium"), bad); return err },
		func() error {
			_, err := s.Attempt(ctx(w), other, begun("strict"), stepup.Proof{Strategy: reauth.TOTP, Code: wrongFor(w.shows(app, 0))})
			return err
		},
		func() error {
			_, err := s.SendReauthentication(ctx(w), ada, reauth.EmailCode, time.Minute)
			require.NoError(t, err)
			_, err = s.Use(ctx(w), w.app.ID, stepup.Use{Code: wrongFor(w.code()), UserID: "ada", SessionID: "s1", Operation: "profile"})
			return err
		},
		func() error {
			made, err := s.SendVerification(ctx(w), other, reauth.EmailCode, "ada@example.org")
			require.NoError(t, err)
			_, err = s.VerifyCode(ctx(w), made.ID, wrongFor(w.code()), "", "")
			return err
		},
	}
	for i, do := range wrong {
		w.refused(stepup.CodeFactorIncorrect, do(), i)
		w.advance(time.Second)
	}
	// A right answer in between costs nothing.
	w.prove(other, stepup.Ask{Level: "medium"}, withPassword)
	_, err := w.Sudo(ctx(w), ada, secret, "")
	require.NoError(t, err)
	for i := range 5 {
		require.Empty(t, w.told(stepup.EventLocked))
		e := w.refused(stepup.CodeFactorIncorrect, wrong[i%2]())
		assert.Equal(t, 4-i, e.AttemptsLeft)
	}

	s = w.another() // a restart forgets nothing
	rev := begun("medium")
	for name, do := range map[string]func() error{
		"a password": func() error { _, err := s.Sudo(ctx(w), ada, secret, ""); return err },
		"a factor":   func() error { _, err := s.Attempt(ctx(w), other, rev, withPassword("")); return err },
	} {
		e := w.refused(stepup.CodeLocked, do(), name)
		assert.Equal(t, first.Add(time.Hour), e.RetryAt, name)
	}
	told := w.told(stepup.EventLocked)
	require.Len(t, told, 1, "the user is told once")
	assert.Equal(t, "ada", told[0].User.ID)
	assert.Equal(t, first.Add(time.Hour), told[0].Until)
	assert.Len(t, w.trail(stepup.ActionLocked), 1)
	assert.Len(t, w.trail(stepup.ActionFailed), 10)
	assert.Len(t, w.trail(stepup.ActionLimited), 1, "who goes on does not fill the audit")

	w.advance(first.Add(time.Hour).Sub(w.clock.Now()) - time.Microsecond)
	_, err = w.Sudo(ctx(w), ada, secret, "")
	w.refused(stepup.CodeLocked, err)
	w.advance(time.Microsecond)
	_, err = w.Sudo(ctx(w), ada, secret, "")
	require.NoError(t, err, "it opens by itself")

	// Others are not locked by it.
	w.user(&w.app, "bob")
	_, err = w.Sudo(ctx(w), w.of(&w.app, map[string]any{"sub": "bob"}), secret, "")
	require.NoError(t, err)
}

func TestGuessesAtOnceAreCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	replicas := []*stepup.Service{w.Service, w.another()}
	w.atOnce(30, func(i int) error {
		_, err := replicas[i%2].Sudo(ctx(w), ada, "guess", "")
		return err
	}, stepup.CodeFactorIncorrect, stepup.CodeLocked)
	assert.Len(t, w.trail(stepup.ActionFailed), 10)
	assert.Len(t, w.told(stepup.EventLocked), 1)
}

func TestFiveCodesAnHour(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	send := func(c *stepup.Caller, f reauth.Factor) error {
		_, err := w.SendReauthentication(ctx(w), c, f, 0)
		return err
	}
	for i := range 5 {
		require.NoError(t, send(w.in(string(rune('a'+i))), []reauth.Factor{reauth.EmailCode, reauth.PhoneCode}[i%2]))
		w.advance(time.Minute)
	}
	assert.Equal(t, start.Add(time.Hour), w.refused(stepup.CodeSendLimited, send(ada, reauth.EmailCode)).RetryAt)
	_, err := w.SendVerification(ctx(w), ada, reauth.EmailCode, "ada@example.org")
	w.refused(stepup.CodeSendLimited, err, "of every kind")
	assert.Equal(t, 5, w.sent())
	w.advance(55 * time.Minute)
	require.NoError(t, send(ada, reauth.EmailCode))

	// The address counts too: it may be several users'. What it denies costs the
	// user nothing.
	w.advance(time.Hour)
	for i := range 5 {
		id := string(rune('p' + i))
		w.user(&w.app, id)
		w.change(id, func(u *consent.User) { u.Email = "family@example.org" })
		require.NoError(t, send(w.of(&w.app, map[string]any{"sub": id}), reauth.EmailCode))
	}
	w.user(&w.app, "last")
	w.change("last", func(u *consent.User) { u.Email, u.Phone = "family@example.org", "+442071838750" })
	last := w.of(&w.app, map[string]any{"sub": "last"})
	for range 5 {
		w.refused(stepup.CodeSendLimited, send(last, reauth.EmailCode))
	}
	require.NoError(t, send(last, reauth.PhoneCode))
	assert.Equal(t, "sends", w.trail(stepup.ActionLimited)[0].Reason)
}

func TestTheBudgetOfSMS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settle(func(s *stepup.Settings) { s.SMSPerDay = 2 })
	ada := w.caller(nil)
	for i := range 2 {
		_, err := w.SendReauthentication(ctx(w), w.in(string(rune('a'+i))), reauth.PhoneCode, 0)
		require.NoError(t, err)
	}
	_, err := w.SendReauthentication(ctx(w), ada, reauth.PhoneCode, 0)
	assert.Equal(t, time.Date(2026, 3, 3, 0, 0, 0, 0, time.UTC), w.refused(stepup.CodeSendLimited, err).RetryAt)
	_, err = w.SendReauthentication(ctx(w), ada, reauth.EmailCode, 0)
	require.NoError(t, err, "mail costs nothing")
	w.advance(14 * time.Hour)
	_, err = w.SendReauthentication(ctx(w), w.in("c"), reauth.PhoneCode, 0)
	require.NoError(t, err)
}

// What is not sent costs nothing, and is answered as if it were.
func TestAHollowSMSLeavesTheBudget(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settle(func(s *stepup.Settings) { s.SMSPerDay = 2 })
	eve := func(i int) error {
		id := "eve" + string(rune('a'+i))
		w.user(&w.app, id)
		_, err := w.SendVerification(ctx(w), w.of(&w.app, map[string]any{"sub": id}), reauth.PhoneCode, "+442071838750")
		return err
	}
	for i := range 5 {
		require.NoError(t, eve(i))
	}
	for i := range 2 {
		_, err := w.SendReauthentication(ctx(w), w.in(string(rune('a'+i))), reauth.PhoneCode, 0)
		require.NoError(t, err)
	}
	require.Equal(t, 2, w.sent())
	assert.Equal(t, time.Date(2026, 3, 3, 0, 0, 0, 0, time.UTC), w.refused(stepup.CodeSendLimited, eve(5)).RetryAt)
}

func TestTheChainWaitsAMinute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	for name, send := range map[string]func() error{
		"reauthenticate": func() error {
			_, err := w.SendReauthentication(ctx(w), ada, reauth.EmailCode, stepup.ChainResendAfter)
			return err
		},
		"verification": func() error {
			_, err := w.SendVerification(ctx(w), ada, reauth.EmailCode, "ada@example.org")
			return err
		},
		"hollow": func() error {
			_, err := w.SendVerification(ctx(w), w.in("hollow"), reauth.EmailCode, "eve@example.org")
			return err
		},
	} {
		at := w.clock.Now()
		require.NoError(t, send(), name)
		w.advance(time.Minute - time.Microsecond)
		assert.Equal(t, at.Add(time.Minute), w.refused(stepup.CodeSendLimited, send(), name).RetryAt)
		w.advance(time.Microsecond)
		require.NoError(t, send(), name)
		w.advance(time.Hour)
	}
}

// A code to an address that is not the caller's goes to nobody, and nothing in
// the answers tells.
func TestAVerificationOfAnothersAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	bound, err := w.SendVerification(ctx(w), ada, reauth.EmailCode, "ADA@Example.org")
	require.NoError(t, err)
	require.Equal(t, 1, w.sent())
	assert.Equal(t, "ada@example.org", w.post.codes[0].To, "the address as it is known")
	hollow, err := w.SendVerification(ctx(w), w.in("s2"), reauth.EmailCode, "bob@example.org")
	require.NoError(t, err)
	_, err = w.SendVerification(ctx(w), w.in("s3"), reauth.PhoneCode, "+44 20 7183 8750")
	require.NoError(t, err)
	require.Equal(t, 1, w.sent())
	assert.Len(t, hollow.ID, len(bound.ID))
	assert.Equal(t, bound.ExpiresAt, hollow.ExpiresAt)

	for _, id := range []string{bound.ID, hollow.ID} {
		for left := 4; left >= 0; left-- {
			_, err := w.VerifyCode(ctx(w), id, wrongFor(w.code()), "", "")
			assert.Equal(t, left, w.refused(stepup.CodeFactorIncorrect, err).AttemptsLeft)
			w.advance(20 * time.Second)
		}
		_, err := w.VerifyCode(ctx(w), id, wrongFor(w.code()), "", "")
		w.refused(stepup.CodeLocked, err)
		w.advance(-100 * time.Second)
	}
	w.advance(2 * time.Hour)

	// Whoever asks for another's address uses up none of their codes, and does not
	// learn how many they had.
	w.user(&w.app, "bob")
	bob := w.of(&w.app, map[string]any{"sub": "bob"})
	for i := range 5 {
		_, err := w.SendVerification(ctx(w), w.in("x"+string(rune('a'+i))), reauth.EmailCode, "bob@example.org")
		require.NoError(t, err)
	}
	for i := range 5 {
		_, err := w.SendReauthentication(ctx(w), w.of(&w.app, map[string]any{"sub": "bob", "sid": string(rune('a' + i))}), reauth.EmailCode, 0)
		require.NoError(t, err)
	}
	_, err = w.SendReauthentication(ctx(w), bob, reauth.EmailCode, 0)
	w.refused(stepup.CodeSendLimited, err)
}

// Not even the six digits that were drawn for it open a hollow verification.
func TestAHollowCodeOpensNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := &stolen{meddler: meddler{Store: w.store}}
	s := w.over(m)
	ada := w.caller(nil)
	_, err := s.SendVerification(ctx(w), ada, reauth.EmailCode, "bob@example.org")
	require.NoError(t, err)
	require.True(t, m.code.Hollow)
	require.Zero(t, w.sent())
	bound, err := s.SendVerification(ctx(w), w.in("s2"), reauth.EmailCode, "ada@example.org")
	require.NoError(t, err)
	require.False(t, m.code.Hollow)
	_, err = s.VerifyCode(ctx(w), bound.ID, w.code(), "", "")
	require.NoError(t, err)
	err = w.store.Succeed(ctx(w), stepup.Success{Who: ada.Who, At: w.clock.Now(), CodeID: m.hollow.ID})
	require.ErrorIs(t, err, consent.ErrClaimLost)
}

func TestADeviceFinishesWhatItBegan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mine, theirs := w.caller(nil), w.caller(nil)
	mine.DeviceID, theirs.DeviceID = "phone", "laptop"
	made, err := w.SendVerification(ctx(w), mine, reauth.EmailCode, "ada@example.org")
	require.NoError(t, err)
	for _, device := range []string{"laptop", ""} {
		_, err = w.VerifyCode(ctx(w), made.ID, w.code(), device, "")
		w.refused(stepup.CodeProofMismatch, err, device)
	}
	v, err := w.VerifyCode(ctx(w), made.ID, w.code(), "phone", "")
	require.NoError(t, err)
	_, err = w.Sudo(ctx(w), theirs, "", v.Token)
	w.refused(stepup.CodeProofInvalid, err)
	_, err = w.Sudo(ctx(w), mine, "", v.Token)
	require.NoError(t, err)

	// What was begun without one is bound to none.
	made, err = w.SendVerification(ctx(w), w.in("s2"), reauth.EmailCode, "ada@example.org")
	require.NoError(t, err)
	_, err = w.VerifyCode(ctx(w), made.ID, w.code(), "laptop", "")
	require.NoError(t, err)
}

// Where there is no room for messages nobody waits for one that never comes.
func TestACodeForWhichThereIsNoRoom(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.post.full = true
	_, err := w.SendReauthentication(ctx(w), w.caller(nil), reauth.EmailCode, time.Minute)
	e := w.refused(stepup.CodeSendLimited, err)
	assert.True(t, e.RetryAt.After(w.clock.Now()))
	_, err = w.SendVerification(ctx(w), w.caller(nil), reauth.EmailCode, "ada@example.org")
	require.NoError(t, err, "this answer must not tell whether anything is sent")
	assert.Len(t, w.trail(stepup.ActionCodeUnsent), 2)
	w.post.full = false
	_, err = w.SendReauthentication(ctx(w), w.caller(nil), reauth.EmailCode, time.Minute)
	require.NoError(t, err, "the one that was not sent is in nobody's way")
}

// Nothing that comes to nothing counts: neither for the user, nor for the budget.
func TestACodeThatIsNotMadeIsNotCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settle(func(s *stepup.Settings) { s.SMSPerDay = 2 })
	ada := w.caller(nil)
	send := func(s *stepup.Service) error {
		_, err := s.SendReauthentication(ctx(w), ada, reauth.PhoneCode, time.Minute)
		return err
	}
	w.post.full = true
	for range 7 {
		e := w.refused(stepup.CodeSendLimited, send(w.Service))
		require.Equal(t, w.clock.Now().Add(30*time.Second), e.RetryAt)
	}
	w.post.full = false
	// Another replica is quicker, once.
	m := &meddler{Store: w.store}
	m.before = func() { require.NoError(t, send(w.Service)) }
	e := w.refused(stepup.CodeSendLimited, send(w.over(m)))
	assert.Equal(t, w.clock.Now().Add(time.Minute), e.RetryAt)
	w.advance(time.Minute)
	require.NoError(t, send(w.Service), "the second SMS of the day")
	for range 3 {
		w.advance(time.Minute)
		_, err := w.SendReauthentication(ctx(w), ada, reauth.EmailCode, time.Minute)
		require.NoError(t, err, "up to the fifth code of the hour")
	}
	w.advance(time.Minute)
	w.refused(stepup.CodeSendLimited, send(w.Service))
}

// Where the answer must not tell whether there is a message, what counts must not
// either.
func TestAVerificationWithoutRoomCountsAsAHollowOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.post.full = true
	for _, address := range []string{"ada@example.org", "bob@example.org"} {
		w.advance(time.Hour)
		for range 5 {
			_, err := w.SendVerification(ctx(w), w.caller(nil), reauth.EmailCode, address)
			require.NoError(t, err, address)
			w.advance(time.Minute)
		}
		_, err := w.SendVerification(ctx(w), w.caller(nil), reauth.EmailCode, address)
		w.refused(stepup.CodeSendLimited, err, address)
	}
}

func TestWhoGoesOnDoesNotFillTheAudit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 20 {
		_, _ = w.SendReauthentication(ctx(w), w.caller(nil), reauth.EmailCode, time.Minute)
	}
	for i := range 20 {
		_, _ = w.SendReauthentication(ctx(w), w.in("s"+string(rune('a'+i))), reauth.EmailCode, time.Minute)
	}
	for range 30 {
		_, err := w.Sudo(ctx(w), w.caller(nil), "guess", "")
		require.Error(t, err)
	}
	said := map[string]int{}
	for _, l := range w.trail(stepup.ActionLimited) {
		said[l.Reason]++
	}
	assert.Equal(t, map[string]int{"resend": 1, "sends": 1, "locked": 1}, said)
}

// A reverification leaves a line for good, so that they are not begun without end.
func TestHowManyReverificationsBegin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	begin := func(c *stepup.Caller) error {
		_, err := w.Begin(ctx(w), c, stepup.Begin{Ask: stepup.Ask{Level: "medium"}})
		return err
	}
	for range 100 {
		require.NoError(t, begin(w.caller(nil)))
	}
	for range 5 {
		assert.Equal(t, start.Add(10*time.Minute), w.refused(consent.CodeRateLimited, begin(w.in("s2"))).RetryAt)
	}
	assert.Len(t, w.trail(stepup.ActionLimited), 1)
	w.user(&w.app, "bob")
	require.NoError(t, begin(w.of(&w.app, map[string]any{"sub": "bob"})))
	w.advance(10 * time.Minute)
	require.NoError(t, begin(w.caller(nil)))
}

// broken are keys by which nothing is found again.
type broken struct {
	stepup.Keys
	purpose string
}

func (b *broken) Fingerprint(purpose string, value []byte) ([]byte, error) {
	if purpose == b.purpose {
		return nil, errors.New("no such key")
	}
	return b.Keys.Fingerprint(purpose, value)
}

// A fault of ours after a right answer is nobody's failure.
func TestAFaultGivesTheFailureBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	s := w.with(func(cfg *stepup.Config) { cfg.Keys = &broken{Keys: w.keys, purpose: "reauth-step-token"} })
	v, err := s.Sudo(ctx(w), ada, secret, "")
	require.ErrorContains(t, err, "no such key")
	assert.Empty(t, v)
	made, err := w.SendVerification(ctx(w), ada, reauth.EmailCode, "ada@example.org")
	require.NoError(t, err)
	v, err = s.VerifyCode(ctx(w), made.ID, w.code(), "", "")
	require.ErrorContains(t, err, "no such key")
	assert.Empty(t, v)
	st, err := w.store.Standing(ctx(w), ada.Who)
	require.NoError(t, err)
	assert.Empty(t, st.Failures)
}
