package stepup_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/stepup"
)

// queued compares passwords after a while, in which something happens.
type queued struct {
	stepup.Passwords
	then func()
}

func (q *queued) Verify(ctx context.Context, hash, password string) (bool, error) {
	right, err := q.Passwords.Verify(ctx, hash, password)
	if f := q.then; f != nil {
		q.then = nil
		f()
	}
	return right, err
}

// A password that is right when it is compared counts for nothing that ended, or
// changed, before that is recorded. The failure is given back.
func TestAPasswordThatIsOvertaken(t *testing.T) {
	t.Parallel()
	for name, happen := range map[string]func(w *world) func(){
		"by the end of the session": func(w *world) func() {
			return func() {
				require.NoError(w, w.EndSession(ctx(w), w.app.ID, "ada", "s1", ""))
				w.advance(time.Millisecond)
			}
		},
		"by the end of all sessions": func(w *world) func() {
			return func() {
				require.NoError(w, w.EndSession(ctx(w), w.app.ID, "ada", "", ""))
				w.advance(time.Millisecond)
			}
		},
		"by another password": func(w *world) func() {
			return func() {
				w.advance(time.Millisecond)
				w.change("ada", func(u *consent.User) {
					var err error
					u.PasswordHash, err = w.keys.Seal([]byte("another hash"), w.app.ID+"/ada")
					require.NoError(w, err)
				})
				w.advance(time.Millisecond)
			}
		},
		"by another address": func(w *world) func() {
			return func() { w.change("ada", func(u *consent.User) { u.Email = "new@example.org" }) }
		},
		"by a factor that counts": func(w *world) func() {
			other := w.in("s2")
			begun, err := w.Enrol(ctx(w), other, stepup.KindTOTP, "", "", w.strongest(other, withPassword))
			require.NoError(w, err)
			return func() {
				w.advance(time.Millisecond)
				_, err := w.VerifyFactor(ctx(w), other, begun.Factor.ID, stepup.Proof{Strategy: reauth.TOTP, Code: w.shows(begun.Secret, 0)})
				require.NoError(w, err)
				w.advance(time.Millisecond)
			}
		},
		"by a factor that is gone": func(w *world) func() {
			other := w.in("s2")
			key, id := w.withPasskey(other, withPassword)
			token := w.strongest(other, w.byPasskey(other, key))
			return func() { require.NoError(w, w.RemoveFactor(ctx(w), other, id, token)) }
		},
	} {
		for way, try := range map[string]func(w *world, s *stepup.Service) func() error{
			"sudo": func(w *world, s *stepup.Service) func() error {
				return func() error {
					v, err := s.Sudo(ctx(w), w.caller(nil), secret, "")
					assert.True(w, err != nil || v.Token == "", "a sudo token")
					return err
				}
			},
			"a reverification": func(w *world, s *stepup.Service) func() error {
				v := w.begun(w.caller(nil), stepup.Ask{Level: "medium"})
				return func() error {
					_, err := s.Attempt(ctx(w), w.caller(nil), v.ID, withPassword(""))
					return err
				}
			},
		} {
			t.Run(way+" "+name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				q := &queued{}
				s := w.with(func(cfg *stepup.Config) { q.Passwords, cfg.Passwords = cfg.Passwords, q })
				then := happen(w)
				press := try(w, s)
				q.then = then
				w.refused(stepup.CodeProofUsed, press())
				require.Nil(t, q.then)
				st, err := w.store.Standing(ctx(w), w.caller(nil).Who)
				require.NoError(t, err)
				assert.Empty(t, st.Proven)
				assert.Empty(t, w.trail(stepup.ActionFailed))
				assert.Empty(t, w.trail(stepup.ActionTokenIssued))
				assert.Empty(t, st.Failures, "the failure is given back")
			})
		}
	}
}

// What changes nothing of what is proven is in nobody's way.
func TestAPasswordThatIsNotOvertaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	q := &queued{then: func() {
		w.change("ada", func(u *consent.User) { u.Name = "Ada" })
		require.NoError(w, w.EndSession(ctx(w), w.app.ID, "ada", "s2", ""))
		w.prove(w.caller(nil), stepup.Ask{Level: "medium"}, w.byCode(w.caller(nil), reauth.EmailCode))
	}}
	s := w.with(func(cfg *stepup.Config) { q.Passwords, cfg.Passwords = cfg.Passwords, q })
	v, err := s.Sudo(ctx(w), w.caller(nil), secret, "")
	require.NoError(t, err)
	require.Nil(t, q.then)
	w.good(stepup.Use{SudoToken: v.Token, UserID: "ada", SessionID: "s1", Operation: "profile"})
}
