package stepup_test

import (
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/stepup"
)

// Who asks: reauth-wire.md 1.

// pair gives an application an issuer and an audience.
func (w *world) pair(a *consent.Application, issuer, audience string) {
	w.Helper()
	s, err := w.ReadSettings(ctx(w), a.ID)
	require.NoError(w, err)
	s.Identity.Issuer, s.Identity.Audience = issuer, audience
	require.NoError(w, w.PutSettings(ctx(w), s))
}

func TestTheApplicationIsTheOneThatIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.application("other")
	w.user(&other, "ada")
	twin, same := w.application("twin"), w.application("same")
	w.pair(&other, "https://id.example", "other")
	w.pair(&twin, "https://id.example", "shared")
	w.pair(&same, "https://id.example", "shared")
	paired := jwt.MapClaims{"iss": "https://id.example", "aud": "other"}

	for name, tt := range map[string]struct {
		of     *consent.Application
		claims jwt.MapClaims
		named  []string
		want   string
		code   consent.Code
	}{
		"by id":                        {of: &w.app, named: []string{w.app.ID}, want: w.app.ID},
		"by slug":                      {of: &w.app, named: []string{"acme"}, want: w.app.ID},
		"by both, which agree":         {of: &w.app, named: []string{"acme", w.app.ID}, want: w.app.ID},
		"by its pair":                  {of: &other, claims: paired, want: other.ID},
		"by its pair in a list":        {of: &other, claims: jwt.MapClaims{"iss": "https://id.example", "aud": []string{"x", "other"}}, want: other.ID},
		"two names that disagree":      {of: &w.app, named: []string{"acme", "other"}, code: stepup.CodeApplicationUnknown},
		"a name that nobody has":       {of: &w.app, named: []string{"nobody"}, code: stepup.CodeApplicationUnknown},
		"one name that nobody has":     {of: &w.app, named: []string{"acme", "nobody"}, code: stepup.CodeApplicationUnknown},
		"none, of several":             {of: &w.app, code: stepup.CodeApplicationUnknown},
		"a pair that two have":         {of: &twin, claims: jwt.MapClaims{"iss": "https://id.example", "aud": "shared"}, code: stepup.CodeApplicationUnknown},
		"a pair that nobody has":       {of: &other, claims: jwt.MapClaims{"iss": "https://id.example", "aud": "nobody"}, code: stepup.CodeApplicationUnknown},
		"two audiences of two":         {of: &other, claims: jwt.MapClaims{"iss": "https://id.example", "aud": []string{"other", "shared"}}, code: stepup.CodeApplicationUnknown},
		"another's key, by name":       {of: &w.app, claims: paired, named: []string{"other"}, code: stepup.CodeTokenInvalid},
		"another's key, by pair":       {of: &w.app, claims: paired, code: stepup.CodeTokenInvalid},
		"the name beats the pair":      {of: &other, claims: paired, named: []string{"acme"}, code: stepup.CodeTokenInvalid},
		"another audience, named":      {of: &other, claims: jwt.MapClaims{"iss": "https://id.example", "aud": "acme"}, named: []string{"other"}, code: stepup.CodeTokenInvalid},
		"an application without rules": {of: &w.app, named: []string{"bare"}, code: stepup.CodeTokenInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.named != nil && tt.named[0] == "bare" {
				require.NoError(t, w.store.CreateApplication(ctx(w), consent.Application{ID: "app_bare", Slug: "bare", Name: "Bare", CreatedAt: start}))
				w.advance(time.Minute) // what is known of the applications is read anew
			}
			c, err := w.Identify(ctx(w), stepup.Request{Authorization: []string{"Bearer " + w.token(tt.of, tt.claims)}, Applications: tt.named})
			if tt.code != "" {
				assert.Equal(t, tt.code, consent.CodeOf(err))
				return
			}
			require.NoError(t, err)
			assert.Equal(t, stepup.Who{ApplicationID: tt.want, UserID: "ada", SessionID: "s1"}, c.Who)
		})
	}
}

func TestTheOnlyApplicationNeedsNoName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, err := w.Identify(ctx(w), stepup.Request{Authorization: []string{"Bearer " + w.token(&w.app, nil)}})
	require.NoError(t, err)
	assert.Equal(t, w.app.ID, c.ApplicationID)
}

func TestTokensThatAreNotTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := w.token(&w.app, nil)
	unsigned, err := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims{"sub": "ada", "sid": "s1", "exp": start.Add(time.Hour).Unix(), "iat": start.Unix()}).
		SignedString(jwt.UnsafeAllowNoneSignatureType)
	require.NoError(t, err)
	one := func(claims jwt.MapClaims) []string { return []string{"Bearer " + w.token(&w.app, claims)} }
	at := func(d time.Duration) int64 { return start.Add(d).Unix() }

	for name, tt := range map[string]struct {
		authorization []string
		device        string
		code          consent.Code
	}{
		"none":                    {nil, "", stepup.CodeTokenMissing},
		"two":                     {[]string{"Bearer " + good, "Bearer " + good}, "", stepup.CodeTokenMissing},
		"another scheme":          {[]string{"Basic " + good}, "", stepup.CodeTokenMissing},
		"the scheme alone":        {[]string{"Bearer "}, "", stepup.CodeTokenMissing},
		"no token at all":         {[]string{"Bearer nonsense"}, "", stepup.CodeTokenInvalid},
		"without a signature":     {[]string{"Bearer " + unsigned}, "", stepup.CodeTokenInvalid},
		"a signature cut short":   {[]string{"Bearer " + good[:len(good)-4]}, "", stepup.CodeTokenInvalid},
		"expired in this moment":  {one(jwt.MapClaims{"exp": at(0)}), "", stepup.CodeTokenInvalid},
		"without exp":             {one(jwt.MapClaims{"exp": nil}), "", stepup.CodeTokenInvalid},
		"iat of another kind":     {one(jwt.MapClaims{"iat": "now"}), "", stepup.CodeTokenInvalid},
		"from the future":         {one(jwt.MapClaims{"iat": at(61 * time.Second)}), "", stepup.CodeTokenInvalid},
		"issued a day ago":        {one(jwt.MapClaims{"iat": at(-24 * time.Hour)}), "", stepup.CodeTokenInvalid},
		"without sub":             {one(jwt.MapClaims{"sub": nil}), "", stepup.CodeTokenInvalid},
		"sub of another kind":     {one(jwt.MapClaims{"sub": 7}), "", stepup.CodeTokenInvalid},
		"sub too long":            {one(jwt.MapClaims{"sub": strings.Repeat("a", 257)}), "", stepup.CodeTokenInvalid},
		"without a session":       {one(jwt.MapClaims{"sid": nil}), "", stepup.CodeSessionMissing},
		"sid of another kind":     {one(jwt.MapClaims{"sid": 1}), "", stepup.CodeTokenInvalid},
		"a device that is a book": {one(nil), strings.Repeat("d", 257), consent.CodeInvalidRequest},
		"a device with a NUL":     {one(nil), "a\x00b", consent.CodeInvalidRequest},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.Identify(ctx(w), stepup.Request{Authorization: tt.authorization, Applications: []string{"acme"}, DeviceID: tt.device})
			require.Error(t, err)
			assert.Equal(t, tt.code, consent.CodeOf(err))
			for _, a := range tt.authorization {
				if _, token, _ := strings.Cut(a, " "); len(token) > 20 {
					assert.NotContains(t, err.Error(), token)
				}
			}
		})
	}
	c := w.caller(jwt.MapClaims{"sid": nil, "session_id": "s9", "iat": at(60 * time.Second)})
	assert.Equal(t, "s9", c.SessionID)
}

// everyUse is each use case that a caller can ask for, by name.
func everyUse(w *world, c *stepup.Caller, rev string) map[string]func() error {
	return map[string]func() error{
		"check":          func() error { _, err := w.Check(ctx(w), c, stepup.Ask{}); return err },
		"reauthenticate": func() error { _, err := w.SendReauthentication(ctx(w), c, "", time.Minute); return err },
		"verification": func() error {
			_, err := w.SendVerification(ctx(w), c, reauth.EmailCode, "ada@example.org")
			return err
		},
		"sudo":    func() error { _, err := w.Sudo(ctx(w), c, secret, ""); return err },
		"sudo by": func() error { _, err := w.Sudo(ctx(w), c, "", "token"); return err },
		"begin":   func() error { _, err := w.Begin(ctx(w), c, stepup.Begin{Ask: stepup.Ask{Level: "strict"}}); return err },
		"look":    func() error { _, err := w.Look(ctx(w), c, rev); return err },
		"prepare": func() error { _, _, err := w.Prepare(ctx(w), c, rev, reauth.EmailCode, ""); return err },
		"attempt": func() error { _, err := w.Attempt(ctx(w), c, rev, withPassword("")); return err },
		"factors": func() error { _, err := w.ListFactors(ctx(w), c); return err },
		"enrol":   func() error { _, err := w.Enrol(ctx(w), c, stepup.KindTOTP, "", "", "proof"); return err },
		"verify":  func() error { _, err := w.VerifyFactor(ctx(w), c, "fac_1", stepup.Proof{}); return err },
		"remove":  func() error { return w.RemoveFactor(ctx(w), c, "fac_1", "proof") },
		"use": func() error {
			_, err := w.Use(ctx(w), w.app.ID, stepup.Use{Code: "123456", UserID: c.UserID, SessionID: c.SessionID, Operation: "x"})
			return err
		},
	}
}

func TestAUserWhomWeDoNotHoldIsUnknownEverywhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user(&w.app, "gone")
	gone, stranger := w.caller(jwt.MapClaims{"sub": "gone"}), w.caller(jwt.MapClaims{"sub": "nobody"})
	rev := w.begun(gone, stepup.Ask{Level: "strict"}).ID
	w.erase("gone")
	for who, c := range map[string]*stepup.Caller{"erased": gone, "never seen": stranger} {
		for name, do := range everyUse(w, c, rev) {
			assert.Contains(t, []consent.Code{stepup.CodeUserUnknown, consent.CodeUserNotFound}, consent.CodeOf(do()), who, name)
		}
	}
}

// A person may be erased between any two steps, or in the middle of one.
func TestAUserWhoIsErasedMidWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)

	t.Run("between the steps", func(t *testing.T) {
		w.user(&w.app, "eve")
		eve := w.caller(jwt.MapClaims{"sub": "eve"})
		rev := w.begun(eve, stepup.Ask{Level: "strict"})
		_, _, err := w.Prepare(ctx(w), eve, rev.ID, reauth.EmailCode, "")
		require.NoError(t, err)
		typed := w.code()
		made, err := w.SendVerification(ctx(w), eve, reauth.EmailCode, "eve@example.org")
		require.NoError(t, err)
		chain := w.code()
		done := w.prove(eve, stepup.Ask{Operation: "transfer"}, withPassword)
		sudo, err := w.Sudo(ctx(w), eve, secret, "")
		require.NoError(t, err)
		w.erase("eve")

		_, err = w.Attempt(ctx(w), eve, rev.ID, stepup.Proof{Strategy: reauth.EmailCode, Code: typed})
		w.refused(stepup.CodeUserUnknown, err)
		_, err = w.VerifyCode(ctx(w), made.ID, chain, "", "")
		w.refused(stepup.CodeCodeExpired, err)
		for _, in := range []stepup.Use{{Proof: done.Proof}, {SudoToken: sudo.Token}} {
			in.UserID, in.SessionID, in.Operation = "eve", "s1", "transfer"
			_, err = w.Use(ctx(w), w.app.ID, in)
			w.refused(consent.CodeUserNotFound, err)
		}

		// Who comes back under the name finds nothing of it.
		w.user(&w.app, "eve")
		_, err = w.Look(ctx(w), eve, rev.ID)
		w.refused(stepup.CodeReverificationNotFound, err)
		_, err = w.Use(ctx(w), w.app.ID, stepup.Use{Proof: done.Proof, UserID: "eve", SessionID: "s1", Operation: "transfer"})
		w.refused(stepup.CodeProofInvalid, err)
		assert.False(t, w.fresh(eve, "medium"))
	})

	t.Run("within a step", func(t *testing.T) {
		for name, do := range map[string]func(s *stepup.Service, c *stepup.Caller, rev string) error{
			"begin": func(s *stepup.Service, c *stepup.Caller, _ string) error {
				_, err := s.Begin(ctx(w), c, stepup.Begin{Ask: stepup.Ask{Level: "strict"}})
				return err
			},
			"send": func(s *stepup.Service, c *stepup.Caller, _ string) error {
				_, err := s.SendReauthentication(ctx(w), c, "", time.Minute)
				return err
			},
			"attempt": func(s *stepup.Service, c *stepup.Caller, rev string) error {
				_, err := s.Attempt(ctx(w), c, rev, withPassword(""))
				return err
			},
			"sudo": func(s *stepup.Service, c *stepup.Caller, _ string) error {
				_, err := s.Sudo(ctx(w), c, secret, "")
				return err
			},
			"prepare a passkey": func(s *stepup.Service, c *stepup.Caller, rev string) error {
				_, _, err := s.Prepare(ctx(w), c, rev, reauth.Passkey, "")
				return err
			},
		} {
			w.user(&w.app, "zoe")
			zoe := w.caller(jwt.MapClaims{"sub": "zoe"})
			if name == "prepare a passkey" {
				w.withPasskey(zoe, withPassword)
			}
			rev := w.begun(zoe, stepup.Ask{Level: "strict"}).ID
			m := &meddler{Store: w.store, before: func() { w.erase("zoe") }}
			err := do(w.over(m), zoe, rev)
			require.Error(t, err, name)
			assert.Contains(t, []consent.Code{stepup.CodeUserUnknown, stepup.CodeReverificationEnded}, consent.CodeOf(err), "%s: %v", name, err)
			w.advance(time.Minute)
		}
	})
}
