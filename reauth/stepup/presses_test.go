package stepup_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/stepup"
	"github.com/reconsent/reconsent/sqlstore"
)

// Buttons are pressed twice. Who has answered right has not failed, however
// often, whichever factor it was.

// overtaken is a database in which something happens once a failure was taken.
type overtaken struct {
	*sqlstore.Store
	first func()
}

func (m *overtaken) SwapWindow(ctx context.Context, a, b, o, n string, at time.Time, log ...stepup.Audit) (bool, error) {
	ok, err := m.Store.SwapWindow(ctx, a, b, o, n, at, log...)
	if f := m.first; f != nil && strings.HasPrefix(b, stepup.BucketFailures) {
		m.first = nil
		f()
	}
	return ok, err
}

// remaining is how many failures the user has left, as the next wrong answer
// tells.
func (w *world) remaining(c *stepup.Caller) int {
	w.Helper()
	_, err := w.Sudo(ctx(w), c, "guess", "")
	return w.refused(stepup.CodeFactorIncorrect, err).AttemptsLeft + 1
}

func TestAnAnswerThatIsPressedTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	key, _ := w.withPasskey(ada, withPassword)
	app, _ := w.withTOTP(ada, withPassword)
	backup := w.withBackup(ada, withPassword, byTOTP(w, app))
	byBackup := func(string) stepup.Proof {
		code := backup[0]
		backup = backup[1:]
		return stepup.Proof{Strategy: reauth.BackupCode, Code: code}
	}
	for name, tt := range map[string]struct {
		level string
		prove answer
	}{
		"password":    {"medium", withPassword},
		"email_code":  {"medium", w.byCode(ada, reauth.EmailCode)},
		"phone_code":  {"medium", w.byCode(ada, reauth.PhoneCode)},
		"passkey":     {"medium", w.byPasskey(ada, key)},
		"totp":        {"strict", byTOTP(w, app)},
		"backup_code": {"strict", byBackup},
	} {
		w.advance(2 * time.Hour)
		// After the first has been answered.
		v := w.begun(ada, stepup.Ask{Level: tt.level})
		in := tt.prove(v.ID)
		_, err := w.Attempt(ctx(w), ada, v.ID, in)
		require.NoError(t, err, name)
		_, err = w.Attempt(ctx(w), ada, v.ID, in)
		w.refused(stepup.CodeReverificationEnded, err, name)

		// While the first is being answered, by this or another replica.
		w.advance(2 * time.Minute)
		v = w.begun(ada, stepup.Ask{Level: tt.level})
		in = tt.prove(v.ID)
		m := &overtaken{Store: w.store, first: func() {
			_, err := w.Attempt(ctx(w), ada, v.ID, in)
			require.NoError(t, err, name)
		}}
		_, err = w.over(m).Attempt(ctx(w), ada, v.ID, in)
		require.Nil(t, m.first, name)
		require.Error(t, err, name)
		assert.NotEqual(t, stepup.CodeFactorIncorrect, consent.CodeOf(err), name)
		if name == "backup_code" {
			w.refused(stepup.CodeReverificationEnded, err)
		}
		assert.Empty(t, w.trail(stepup.ActionFailed), name)
	}
	assert.Equal(t, 10, w.remaining(ada))
}

// Where there is more to prove the same code again is no failure either; for
// anything else it is one.
func TestABackupCodeThatWasUsed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	app, _ := w.withTOTP(ada, withPassword)
	backup := w.withBackup(ada, withPassword, byTOTP(w, app))
	in := stepup.Proof{Strategy: reauth.BackupCode, Code: backup[0]}

	v := w.paid(ada, payment, func(string) stepup.Proof { return in })
	_, err := w.Attempt(ctx(w), ada, v.ID, in)
	w.refused(stepup.CodeCodeExpired, err)
	require.Empty(t, w.trail(stepup.ActionFailed))
	v, err = w.Attempt(ctx(w), ada, v.ID, withPassword(""))
	require.NoError(t, err)
	require.Equal(t, stepup.Complete, v.Status)
	_, err = w.Attempt(ctx(w), ada, v.ID, in)
	w.refused(stepup.CodeReverificationEnded, err)

	v = w.begun(ada, stepup.Ask{Level: "strict"})
	_, err = w.Attempt(ctx(w), ada, v.ID, in)
	assert.Equal(t, 9, w.refused(stepup.CodeFactorIncorrect, err).AttemptsLeft)
}

// The steps beside reverifications.
func TestAStepThatIsPressedTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	for name, prepare := range map[string]func() func(s *stepup.Service) error{
		"the first use of an app": func() func(s *stepup.Service) error {
			begun, err := w.Enrol(ctx(w), ada, stepup.KindTOTP, "", "", w.strongest(ada, withPassword))
			require.NoError(t, err)
			return func(s *stepup.Service) error {
				_, err := s.VerifyFactor(ctx(w), ada, begun.Factor.ID, stepup.Proof{Code: w.shows(begun.Secret, 0)})
				return err
			}
		},
		"a verification": func() func(s *stepup.Service) error {
			made, err := w.SendVerification(ctx(w), ada, reauth.EmailCode, "ada@example.org")
			require.NoError(t, err)
			return func(s *stepup.Service) error { _, err := s.VerifyCode(ctx(w), made.ID, w.code(), "", ""); return err }
		},
		"a code at the backend": func() func(s *stepup.Service) error {
			_, err := w.SendReauthentication(ctx(w), w.in("s2"), reauth.EmailCode, time.Minute)
			require.NoError(t, err)
			return func(s *stepup.Service) error {
				_, err := s.Use(ctx(w), w.app.ID, stepup.Use{Code: w.code(), UserID: "ada", SessionID: "s2", Operation: "anything", Level: "medium"})
				return err
			}
		},
	} {
		w.advance(2 * time.Hour)
		press := prepare()
		m := &overtaken{Store: w.store, first: func() { require.NoError(t, press(w.Service), name) }}
		require.Error(t, press(w.over(m)), name)
		require.Nil(t, m.first, name)
		require.Error(t, press(w.Service), name)
		assert.Empty(t, w.trail(stepup.ActionFailed), name)
	}
	assert.Equal(t, 10, w.remaining(ada))
}
