package stepup_test

import (
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/stepup"
)

// The end of a session: reauth-wire.md 1.

// live is all that a session can have that can still be used up.
type live struct {
	*world
	c               *stepup.Caller
	rev, open       string // a reverification with a code, and one that waits
	typed           string // the code of rev
	chain, chainTry string // a verification and its code
	token, sudo     string // step tokens
	code, proof     string // for /v1/proofs/verify
}

// lives makes all of it, in a session of ada's.
func (w *world) lives(session string) *live {
	w.Helper()
	return w.livesWith(session, "")
}

// livesWith is for who has an authenticator app.
func (w *world) livesWith(session, app string) *live {
	w.Helper()
	l := &live{world: w, c: w.in(session)}
	v, err := w.SendVerification(ctx(w), l.c, reauth.EmailCode, "ada@example.org")
	require.NoError(w, err)
	verified, err := w.VerifyCode(ctx(w), v.ID, w.code(), "", "")
	require.NoError(w, err)
	l.token = verified.Token
	sudo, err := w.Sudo(ctx(w), l.c, secret, "")
	require.NoError(w, err)
	l.sudo = sudo.Token
	v, err = w.SendVerification(ctx(w), l.c, reauth.EmailCode, "ada@example.org")
	require.NoError(w, err)
	l.chain, l.chainTry = v.ID, w.code()
	_, err = w.SendReauthentication(ctx(w), l.c, reauth.PhoneCode, time.Minute)
	require.NoError(w, err)
	l.code = w.code()
	prove := withPassword
	if app != "" {
		w.advance(time.Minute)
		prove = byTOTP(w, app)
	}
	l.proof = w.prove(l.c, stepup.Ask{Operation: "transfer"}, prove).Proof
	l.rev = w.begun(l.c, stepup.Ask{Level: "medium"}).ID
	_, _, err = w.Prepare(ctx(w), l.c, l.rev, reauth.PhoneCode, "")
	require.NoError(w, err)
	l.typed, l.open = w.code(), w.begun(l.c, stepup.Ask{Level: "medium"}).ID
	return l
}

// tries is every way to go on, with the code that is the answer when it is over.
func (l *live) tries() map[string]struct {
	do   func() error
	over consent.Code
} {
	who := stepup.Use{UserID: "ada", SessionID: l.c.SessionID, Operation: "transfer"}
	using := func(change func(*stepup.Use)) func() error {
		return func() error {
			in := who
			change(&in)
			_, err := l.Use(ctx(l.world), l.app.ID, in)
			return err
		}
	}
	return map[string]struct {
		do   func() error
		over consent.Code
	}{
		"the code of a reverification": {func() error {
			_, err := l.Attempt(ctx(l.world), l.c, l.rev, stepup.Proof{Strategy: reauth.PhoneCode, Code: l.typed})
			return err
		}, stepup.CodeReverificationEnded},
		"a reverification": {func() error {
			_, err := l.Attempt(ctx(l.world), l.c, l.open, withPassword(""))
			return err
		}, stepup.CodeReverificationEnded},
		"a verification": {func() error {
			_, err := l.VerifyCode(ctx(l.world), l.chain, l.chainTry, "", "")
			return err
		}, stepup.CodeCodeExpired},
		"a verification token": {func() error {
			_, err := l.Sudo(ctx(l.world), l.c, "", l.token)
			return err
		}, stepup.CodeProofInvalid},
		"a sudo token": {using(func(in *stepup.Use) { in.SudoToken = l.sudo }), stepup.CodeProofInvalid},
		"a code":       {using(func(in *stepup.Use) { in.Code = l.code }), stepup.CodeCodeExpired},
		"a proof":      {using(func(in *stepup.Use) { in.Proof = l.proof }), stepup.CodeProofInvalid},
	}
}

func TestTheEndOfASessionEndsAllThatIsLive(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, session string
		others        bool // end as well
	}{{"one session", "s1", false}, {"every session", "", true}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			ended := w.lives("s1")
			w.advance(2 * time.Second)
			other := w.in("s2")
			w.prove(other, stepup.Ask{Level: "strict"}, withPassword)
			proven := w.prove(other, stepup.Ask{Operation: "transfer"}, withPassword).Proof
			w.advance(time.Second)
			require.True(t, w.fresh(ended.c, "strict"))

			require.NoError(t, w.EndSession(ctx(w), w.app.ID, "ada", tt.session, "192.0.2.0/24"))
			w.advance(time.Second)

			for name, try := range ended.tries() {
				w.refused(try.over, try.do(), name)
			}
			assert.False(t, w.fresh(ended.c, "session"), "what was proven still counts")
			assert.Equal(t, !tt.others, w.fresh(other, "session"))
			in := use(proven, "transfer")
			in.SessionID = "s2"
			_, err := w.Use(ctx(w), w.app.ID, in)
			if tt.others {
				w.refused(stepup.CodeProofInvalid, err)
			} else {
				require.NoError(t, err)
			}

			// The session may begin anew.
			w.prove(ended.c, stepup.Ask{Level: "strict"}, withPassword)
			assert.True(t, w.fresh(ended.c, "strict"))
			line := w.trail(stepup.ActionCleared)[0]
			assert.Equal(t, tt.session, line.SessionID)
			assert.Equal(t, "192.0.2.0/24", line.IPPrefix)
		})
	}
}

// Without it the test above would pass on a world in which nothing works.
func TestWhatIsLiveWorks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.lives("s1")
	w.advance(time.Second)
	for name, try := range l.tries() {
		require.NoError(t, try.do(), name)
	}
}

func TestTheEndOfASessionOfNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.NoError(t, w.EndSession(ctx(w), w.app.ID, "nobody", "", ""))
	w.refused(consent.CodeInvalidRequest, w.EndSession(ctx(w), w.app.ID, "", "s1", ""))
	w.refused(consent.CodeInvalidRequest, w.EndSession(ctx(w), w.app.ID, "ada", "s\x00", ""))
}

// What a token says of itself counts only where the application trusts it, and
// only for what came after the end of its session.
func TestWhatATokenSaysOfItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	now := start.Unix()
	claims := jwt.MapClaims{"auth_time": now - 60, "amr": []string{"mfa"}, "fva": []int{1, 1}}
	assert.False(t, w.fresh(w.caller(claims), "session"), "nobody said that these are to be trusted")

	for name, tt := range map[string]struct {
		trust  func(*stepup.Identity)
		claims jwt.MapClaims
		meets  map[string]bool
	}{
		"auth_time":               {func(i *stepup.Identity) { i.TrustAuthTime = true }, claims, map[string]bool{"medium": true, "critical": false, "sca": false}},
		"amr alone":               {func(i *stepup.Identity) { i.TrustAMR = true }, claims, map[string]bool{"session": false}},
		"fva":                     {func(i *stepup.Identity) { i.TrustFVA = true }, claims, map[string]bool{"strict_mfa": true, "critical": false, "sca": false}},
		"fva of one":              {func(i *stepup.Identity) { i.TrustFVA = true }, jwt.MapClaims{"fva": []int{-1, 1}}, map[string]bool{"medium": false, "strict": true, "strict_mfa": false}},
		"an odd fva":              {func(i *stepup.Identity) { i.TrustFVA = true }, jwt.MapClaims{"fva": []int{0}}, map[string]bool{"session": false}},
		"an auth_time to come":    {func(i *stepup.Identity) { i.TrustAuthTime = true }, jwt.MapClaims{"auth_time": now + 3600}, map[string]bool{"session": false}},
		"auth_time, 15 minutes":   {func(i *stepup.Identity) { i.TrustAuthTime = true }, jwt.MapClaims{"auth_time": now - 900}, map[string]bool{"medium": false, "session": true}},
		"auth_time a second less": {func(i *stepup.Identity) { i.TrustAuthTime = true }, jwt.MapClaims{"auth_time": now - 899}, map[string]bool{"medium": true}},
	} {
		t.Run(name, func(t *testing.T) {
			w.settle(func(s *stepup.Settings) {
				s.Identity.TrustAuthTime, s.Identity.TrustAMR, s.Identity.TrustFVA = false, false, false
				tt.trust(&s.Identity)
			})
			session := jwt.MapClaims{"sid": name}
			for k, v := range tt.claims {
				session[k] = v
			}
			for level, want := range tt.meets {
				session["sub"] = "user " + name // each has their own limit
				w.user(&w.app, "user "+name)
				assert.Equal(t, want, w.fresh(w.caller(session), level), level)
			}
		})
	}

	w.settle(func(s *stepup.Settings) {
		s.Identity.TrustAuthTime, s.Identity.TrustAMR, s.Identity.TrustFVA = true, true, true
	})
	w.advance(time.Minute)
	require.NoError(t, w.EndSession(ctx(w), w.app.ID, "ada", "s1", ""))
	w.advance(10 * time.Second)
	assert.False(t, w.fresh(w.caller(claims), "session"), "a token that is older than the end")
	assert.False(t, w.fresh(w.caller(jwt.MapClaims{"auth_time": now, "fva": []int{2, 1}}), "session"), "a new token about what is older")
	assert.True(t, w.fresh(w.in("s2"), "low"))
	w.advance(2 * time.Minute)
	since := w.clock.Now().Unix()
	assert.True(t, w.fresh(w.caller(jwt.MapClaims{"auth_time": since}), "medium"))
	assert.True(t, w.fresh(w.caller(jwt.MapClaims{"fva": []int{0, -1}}), "medium"))
	assert.True(t, w.fresh(w.caller(jwt.MapClaims{"fva": []int{9, 0}}), "strict"))
	assert.False(t, w.fresh(w.caller(jwt.MapClaims{"fva": []int{9, 0}}), "medium"), "its first factor is older than the end")
}
