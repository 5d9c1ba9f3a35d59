package stepup_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/stepup"
)

// Levels, and who is fresh enough: reauth-wire.md 2 and 3.

// minutes are those of a level's window; 0 has none.
var minutes = map[string]int{"lax": 1440, "moderate": 60, "strict": 10, "strict_mfa": 10, "medium": 15, "high": 5, "session": 0}

func windowOf(level string) time.Duration { return time.Duration(minutes[level]) * time.Minute }

func TestEachLevelWithEachFactor(t *testing.T) {
	t.Parallel()
	// What a session has proven after one first factor, or one second, with a
	// second factor enrolled or without.
	const alone, first, second, both = "a first factor, no second enrolled", "a first factor", "a second factor", "both factors"
	meets := map[string]map[string]bool{
		alone:  {"low": true, "lax": true, "moderate": true, "strict": true, "strict_mfa": true, "medium": true, "high": true, "session": true},
		first:  {"low": true, "medium": true, "session": true},
		second: {"low": true, "lax": true, "moderate": true, "strict": true, "high": true},
		both:   {"low": true, "lax": true, "moderate": true, "strict": true, "strict_mfa": true, "medium": true, "high": true, "session": true},
	}
	firsts := []reauth.Factor{reauth.Password, reauth.EmailCode, reauth.PhoneCode, reauth.Passkey}
	seconds := []reauth.Factor{reauth.TOTP, reauth.PhoneCode, reauth.BackupCode}

	// holds checks every level against one session. Levels are asked in turns of
	// ten, which is the limit.
	holds := func(t *testing.T, w *world, c *stepup.Caller, kind string) {
		t.Helper()
		proven := w.clock.Now()
		for _, level := range reauth.LevelNames() {
			out, err := w.Check(ctx(w), c, stepup.Ask{Level: level})
			require.NoError(t, err, level)
			met := out.Challenge == nil
			assert.Equal(t, meets[kind][level], met, "%s: %s", kind, level)
			if met && minutes[level] > 0 {
				assert.Equal(t, proven.Add(windowOf(level)), out.ValidUntil, level)
			}
			if !met {
				assert.Equal(t, level, out.Challenge.Required.Level)
				assert.NotEmpty(t, out.Challenge.Required.Missing)
				assert.Equal(t, ourBase+"/v1/reverifications", out.Challenge.Start)
				assert.Equal(t, kind != alone, *out.Challenge.Required.SecondEnrolled)
			}
		}
	}

	t.Run("without a second factor", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		key, _ := w.withPasskey(w.in("setup"), withPassword)
		for _, f := range firsts {
			w.advance(time.Hour)
			c := w.in(string(f))
			prove := map[reauth.Factor]answer{reauth.Password: withPassword, reauth.Passkey: w.byPasskey(c, key)}[f]
			if prove == nil {
				prove = w.byCode(c, f)
			}
			require.Equal(t, stepup.Complete, w.prove(c, stepup.Ask{Level: "medium"}, prove).Status, f)
			holds(t, w, c, alone)
		}
	})

	t.Run("with a second factor", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		ada := w.in("setup")
		key, _ := w.withPasskey(ada, withPassword)
		app, _ := w.withTOTP(ada, withPassword)
		backup := w.withBackup(ada, withPassword, byTOTP(w, app))
		for _, f := range firsts { // the phone is still a contact only
			w.advance(time.Hour)
			c := w.in("first " + string(f))
			prove := map[reauth.Factor]answer{reauth.Password: withPassword, reauth.Passkey: w.byPasskey(c, key)}[f]
			if prove == nil {
				prove = w.byCode(c, f)
			}
			w.prove(c, stepup.Ask{Level: "medium"}, prove)
			holds(t, w, c, first)
		}
		w.withPhone(ada, "+447911123456", withPassword, byTOTP(w, app))
		for i, f := range seconds {
			w.advance(time.Hour)
			prove := func(c *stepup.Caller) answer {
				switch f {
				case reauth.TOTP:
					return byTOTP(w, app)
				case reauth.PhoneCode:
					return w.byCode(c, f)
				default:
					return func(string) stepup.Proof {
						code := backup[0]
						backup = backup[1:]
						return stepup.Proof{Strategy: f, Code: code}
					}
				}
			}
			c := w.in("second " + string(f))
			require.Equal(t, stepup.Complete, w.prove(c, stepup.Ask{Level: "strict"}, prove(c)).Status, f)
			holds(t, w, c, second)
			w.advance(time.Hour)
			c = w.in("both " + string(f))
			w.prove(c, stepup.Ask{Level: "strict_mfa"}, []answer{withPassword, w.byCode(c, reauth.EmailCode)}[i%2], prove(c))
			holds(t, w, c, both)
		}
	})
}

func TestAnAgeEqualToTheLimitIsStale(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	w.advance(700 * time.Millisecond)
	w.prove(ada, stepup.Ask{Level: "medium"}, withPassword)
	ada.Token.ExpiresAt = start.Add(300 * time.Hour)
	last := time.Duration(0)
	for _, level := range []string{"high", "strict", "medium", "moderate", "lax"} {
		w.advance(windowOf(level) - last - time.Second)
		out, err := w.Check(ctx(w), ada, stepup.Ask{Level: level})
		require.NoError(t, err)
		require.Nil(t, out.Challenge, level)
		assert.Equal(t, start.Add(windowOf(level)), out.ValidUntil, "the time of the proof and the window, to the second")
		w.advance(time.Second)
		assert.False(t, w.fresh(ada, level), level)
		last = windowOf(level)
	}
	out, err := w.Check(ctx(w), ada, stepup.Ask{Level: "session"})
	require.NoError(t, err)
	assert.Nil(t, out.Challenge)
	assert.Equal(t, ada.Token.ExpiresAt, out.ValidUntil, "as long as the session's token")
}

func TestWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	n := func(i int) *int { return &i }
	for name, tt := range map[string]struct {
		ask    stepup.Ask
		level  string
		within int
		code   consent.Code
	}{
		"nothing":                             {ask: stepup.Ask{}, level: "medium"},
		"a level":                             {ask: stepup.Ask{Level: "moderate"}, level: "moderate"},
		"an operation":                        {ask: stepup.Ask{Operation: "transfer"}, level: "strict"},
		"an operation that is more":           {ask: stepup.Ask{Operation: "transfer", Level: "lax"}, level: "strict"},
		"a level that is more":                {ask: stepup.Ask{Operation: "transfer", Level: "high"}, level: "high"},
		"both at once":                        {ask: stepup.Ask{Operation: "profile", Level: "critical"}, level: "multi_factor:15+fresh"},
		"sca by its operation":                {ask: stepup.Ask{Operation: "pay"}, level: "sca"},
		"a label beside a level":              {ask: stepup.Ask{Operation: "anything", Level: "high"}, level: "high"},
		"a custom level":                      {ask: stepup.Ask{Level: "first_factor", AfterMinutes: n(1)}, level: "first_factor", within: 1},
		"the longest":                         {ask: stepup.Ask{Level: "multi_factor", AfterMinutes: n(99998)}, level: "multi_factor", within: 99998},
		"a label alone":                       {ask: stepup.Ask{Operation: "anything"}, code: stepup.CodeOperationUnknown},
		"a level that is none":                {ask: stepup.Ask{Level: "Strict"}, code: reauth.CodeLevelInvalid},
		"a custom level without minutes":      {ask: stepup.Ask{Level: "first_factor"}, code: reauth.CodeLevelInvalid},
		"minutes beside a named level":        {ask: stepup.Ask{Level: "strict", AfterMinutes: n(5)}, code: reauth.CodeLevelInvalid},
		"minutes beside an operation":         {ask: stepup.Ask{Operation: "transfer", AfterMinutes: n(5)}, code: reauth.CodeLevelInvalid},
		"no minutes":                          {ask: stepup.Ask{Level: "first_factor", AfterMinutes: n(0)}, code: reauth.CodeLevelInvalid},
		"too many":                            {ask: stepup.Ask{Level: "first_factor", AfterMinutes: n(99999)}, code: reauth.CodeLevelInvalid},
		"an operation that is a book":         {ask: stepup.Ask{Operation: strings.Repeat("a", 101), Level: "strict"}, code: consent.CodeInvalidRequest},
		"an operation with a control":         {ask: stepup.Ask{Operation: "a\nb", Level: "strict"}, code: consent.CodeInvalidRequest},
		"the stored form of a level":          {ask: stepup.Ask{Level: "second_factor:30"}, code: reauth.CodeLevelInvalid},
		"minutes alone":                       {ask: stepup.Ask{AfterMinutes: n(5)}, code: reauth.CodeLevelInvalid},
		"minutes of a level with a bad label": {ask: stepup.Ask{Operation: "x\x00", Level: "first_factor", AfterMinutes: n(5)}, code: consent.CodeInvalidRequest},
	} {
		t.Run(name, func(t *testing.T) {
			w.advance(time.Minute)
			out, err := w.Check(ctx(w), ada, tt.ask)
			if tt.code != "" {
				assert.Equal(t, tt.code, consent.CodeOf(err))
				return
			}
			require.NoError(t, err)
			require.NotNil(t, out.Challenge)
			assert.Equal(t, tt.level, out.Challenge.Required.Level)
			assert.Equal(t, tt.within, out.Challenge.Required.AfterMinutes)
		})
	}
}

// Neither level is passed by a GET, whatever was proven a moment ago.
func TestALevelThatCountsOnceIsNeverPassedByAsking(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	w.prove(ada, stepup.Ask{Level: "critical"}, withPassword)
	require.Equal(t, stepup.Complete, w.paid(ada, payment, withPassword, w.byCode(ada, reauth.EmailCode)).Status)
	for _, level := range []string{"critical", "sca"} {
		assert.False(t, w.fresh(ada, level), level)
	}
	assert.True(t, w.fresh(ada, "strict"))
}

func TestTenCallsInAnyFiveMinutes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	replicas := []*stepup.Service{w.Service, w.another()}
	ada := w.caller(nil)
	ask := func(i int) (stepup.Checked, error) { return replicas[i%2].Check(ctx(w), ada, stepup.Ask{Level: "low"}) }

	for i := range 10 { // one each 20 seconds
		out, err := ask(i)
		require.NoError(t, err)
		assert.Equal(t, 9-i, out.Calls.Remaining)
		w.advance(20 * time.Second)
	}
	for range 3 { // denied, and not counted
		out, err := ask(1)
		e := w.refused(consent.CodeRateLimited, err)
		assert.Equal(t, start.Add(5*time.Minute), e.RetryAt, "when the first call leaves the window")
		assert.Equal(t, e.RetryAt, out.Calls.RetryAt)
		assert.Zero(t, out.Calls.Remaining)
	}
	w.advance(start.Add(5*time.Minute).Sub(w.clock.Now()) - time.Microsecond)
	_, err := ask(0)
	w.refused(consent.CodeRateLimited, err)
	w.advance(time.Microsecond)
	_, err = ask(0)
	require.NoError(t, err)
	_, err = ask(1)
	w.refused(consent.CodeRateLimited, err, "the second call is still in the window")

	// It belongs to the application and the user.
	w.user(&w.app, "bob")
	_, err = w.Check(ctx(w), w.of(&w.app, map[string]any{"sub": "bob"}), stepup.Ask{})
	require.NoError(t, err)
	_, err = w.Check(ctx(w), w.in("s2"), stepup.Ask{})
	w.refused(consent.CodeRateLimited, err, "another session of the same user")

	lines := w.trail(stepup.ActionLimited)
	assert.NotEmpty(t, lines)
	assert.Less(t, len(lines), 4, "who calls on does not fill the audit")
}

func TestTheLimitHoldsForCallsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	replicas := []*stepup.Service{w.Service, w.another()}
	ada := w.caller(nil)
	won := w.atOnce(30, func(i int) error {
		_, err := replicas[i%2].Check(ctx(w), ada, stepup.Ask{})
		return err
	}, consent.CodeRateLimited)
	assert.Equal(t, 10, won)
}
