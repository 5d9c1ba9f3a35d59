package stepup_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/stepup"
	"github.com/reconsent/reconsent/sqlstore"
)

// What whoever holds a stolen token tries, and what a slow network does by
// itself.

// A thief begins one; the user changes their factors and all sessions end.
func TestAFactorThatWasBegunEndsWithAllElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	thief, ada := w.in("thief"), w.caller(nil)
	begun, err := w.Enrol(ctx(w), thief, stepup.KindTOTP, "", "", w.strongest(thief, withPassword))
	require.NoError(t, err)
	w.withPhone(ada, "+442071838750", withPassword)
	require.NoError(t, w.EndSession(ctx(w), w.app.ID, "ada", "", ""))
	w.advance(time.Minute)
	_, err = w.VerifyFactor(ctx(w), w.in("thief2"), begun.Factor.ID, stepup.Proof{Code: w.shows(begun.Secret, 0)})
	assert.Error(t, err)
}

// Where an application names operations, one that it does not may be misspelt.
func TestABrowserDoesNotChooseTheLevelOfAnOperation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	w.withTOTP(ada, withPassword)
	w.advance(time.Hour)
	n := 99998
	v := w.prove(ada, stepup.Ask{Level: "first_factor", AfterMinutes: &n}, withPassword)
	_, err := w.Use(ctx(w), w.app.ID, use(v.Proof, "delete_account"))
	assert.Equal(t, stepup.CodeOperationUnknown, consent.CodeOf(err))
}

// canceller hangs up once a failure was taken.
type canceller struct {
	*sqlstore.Store
	cancel func()
}

func (m *canceller) SwapWindow(ctx context.Context, a, b, o, n string, at time.Time, log ...stepup.Audit) (bool, error) {
	ok, err := m.Store.SwapWindow(ctx, a, b, o, n, at, log...)
	if strings.HasPrefix(b, stepup.BucketFailures) {
		m.cancel()
	}
	return ok, err
}

// The caller is gone as soon as a failure was taken: it is recorded, and the
// user told of the lock.
func TestWhoHangsUpIsJudgedAllTheSame(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	m := &canceller{Store: w.store}
	s := w.over(m)
	v := w.begun(ada, stepup.Ask{Level: "medium"})
	for range 10 {
		c, cancel := context.WithCancel(ctx(w))
		m.cancel = cancel
		_, _ = s.Attempt(c, ada, v.ID, stepup.Proof{Strategy: reauth.Password, Password: "wrong"})
		w.advance(time.Second)
	}
	assert.Len(t, w.trail(stepup.ActionFailed), 10)
	assert.Len(t, w.told(stepup.EventLocked), 1)
}

func TestAnswersThatNothingWaitsForLockNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	v := w.begun(ada, stepup.Ask{Level: "medium"})
	var wg sync.WaitGroup
	var mu sync.Mutex
	locked := 0
	for range 60 {
		wg.Go(func() {
			_, err := w.Attempt(ctx(w), ada, v.ID, stepup.Proof{Strategy: reauth.EmailCode, Code: "1"})
			if consent.CodeOf(err) == stepup.CodeLocked {
				mu.Lock()
				locked++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	assert.Zero(t, locked, "nobody has failed")
}

// A lower level's proof names what was proven for something else before.
func TestAFactorIsChangedByAProofOfBothOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	app, id := w.withTOTP(ada, withPassword)
	w.advance(time.Hour)
	w.good(use(w.prove(ada, stepup.Ask{Operation: "transfer"}, byTOTP(w, app)).Proof, "transfer"))
	v := w.prove(ada, stepup.Ask{Level: "medium"}, withPassword)
	assert.Error(t, w.RemoveFactor(ctx(w), ada, id, v.Proof))
}

func TestWhichNumberIsEnrolledIsToldToNobodyWithoutAProof(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.withPhone(w.caller(nil), "+442071838750", withPassword)
	_, a := w.Enrol(ctx(w), w.in("thief"), stepup.KindPhone, "", "+442071838750", "")
	_, b := w.Enrol(ctx(w), w.in("thief"), stepup.KindPhone, "", "+442071838751", "")
	assert.Equal(t, consent.CodeOf(b), consent.CodeOf(a))
}

func TestTwoAnswersAtOnceCompleteWithAProofOrNotAtAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	app, _ := w.withTOTP(ada, withPassword)
	for range 10 {
		v, err := w.Begin(ctx(w), ada, stepup.Begin{Ask: stepup.Ask{Operation: "pay"}, Details: &reauth.Details{Payee: "x", Amount: "1", Currency: "EUR"}})
		require.NoError(t, err)
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = w.Attempt(ctx(w), ada, v.ID, withPassword("")) })
		wg.Go(func() { _, _ = w.Attempt(ctx(w), ada, v.ID, byTOTP(w, app)("")) })
		wg.Wait()
		got, err := w.Look(ctx(w), ada, v.ID)
		require.NoError(t, err)
		assert.Equal(t, got.Status == stepup.Complete, got.Proof != "", "complete and a proof go together")
		w.advance(time.Minute)
	}
}

func TestACodeToAnAddressThatIsNoLongerTheUsers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v, err := w.SendVerification(ctx(w), w.caller(nil), reauth.EmailCode, "ada@example.org")
	require.NoError(t, err)
	w.change("ada", func(u *consent.User) { u.Email = "new@example.org" })
	_, err = w.VerifyCode(ctx(w), v.ID, w.code(), "", "")
	assert.Error(t, err)
}

func TestBackupCodesStandInForNothingOnceTheSecondFactorIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	app, id := w.withTOTP(ada, withPassword)
	codes := w.withBackup(ada, withPassword, byTOTP(w, app))
	require.NoError(t, w.RemoveFactor(ctx(w), ada, id, w.strongest(ada, withPassword, byTOTP(w, app))))
	w.advance(time.Minute)
	v, err := w.Begin(ctx(w), ada, stepup.Begin{Ask: stepup.Ask{Operation: "pay"}, Details: &reauth.Details{Payee: "x", Amount: "1", Currency: "EUR"}})
	require.NoError(t, err)
	_, err = w.Attempt(ctx(w), ada, v.ID, withPassword(""))
	require.NoError(t, err)
	_, err = w.Attempt(ctx(w), ada, v.ID, stepup.Proof{Strategy: reauth.BackupCode, Code: codes[0]})
	assert.Error(t, err)
}

func TestAClockThatGoesBackKeepsNoOldSettings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_ = w.caller(nil)
	w.advance(-time.Hour)
	other := w.another()
	old := stepup.Request{Authorization: []string{"Bearer " + w.token(&w.app, nil)}, Applications: []string{w.app.ID}}
	s, err := other.ReadSettings(ctx(w), w.app.ID)
	require.NoError(t, err)
	s.Identity.Secret = "another-secret-that-is-long-enough-for-this"
	require.NoError(t, other.PutSettings(ctx(w), s))
	w.advance(time.Minute)
	_, err = w.Identify(ctx(w), old)
	assert.Error(t, err)
}
