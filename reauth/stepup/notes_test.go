package stepup_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/stepup"
)

// What costs nothing to repeat leaves only so many lines: the audit is never
// deleted.

// noted has n lines of ada's stand in the audit for a reason.
func (w *world) noted(reason string, n int) {
	w.Helper()
	ok, err := w.store.Take(ctx(w), w.app.ID, stepup.BucketNoted+reason+":ada", w.clock.Now().Truncate(10*time.Minute), n, n)
	require.NoError(w, err)
	require.True(w, ok)
}

func TestNobodyFillsTheAudit(t *testing.T) {
	t.Parallel()
	backend := func(change func(*stepup.Use)) func(w *world) func() error {
		return func(w *world) func() error {
			in := stepup.Use{UserID: "ada", SessionID: "s1", Operation: "transfer"}
			change(&in)
			return func() error { _, err := w.Use(ctx(w), w.app.ID, in); return err }
		}
	}
	for reason, prepare := range map[string]func(w *world) func() error{
		"verification_token": func(w *world) func() error {
			return func() error { _, err := w.Sudo(ctx(w), w.caller(nil), "", "junk"); return err }
		},
		"no_proof": func(w *world) func() error {
			return func() error {
				_, err := w.Enrol(ctx(w), w.caller(nil), stepup.KindTOTP, "", "", "")
				return err
			}
		},
		"proof_invalid": func(w *world) func() error {
			return func() error {
				_, err := w.Enrol(ctx(w), w.caller(nil), stepup.KindTOTP, "", "", "junk")
				return err
			}
		},
		"nothing_bound": func(w *world) func() error {
			w.change("ada", func(u *consent.User) { u.Email = "" })
			return func() error {
				_, err := w.SendReauthentication(ctx(w), w.caller(nil), reauth.EmailCode, time.Minute)
				return err
			}
		},
		"locked": func(w *world) func() error { // whoever has the id needs no token
			made, err := w.SendVerification(ctx(w), w.caller(nil), reauth.EmailCode, "ada@example.org")
			require.NoError(w, err)
			try := func() error { _, err := w.VerifyCode(ctx(w), made.ID, wrongFor(w.code()), "", ""); return err }
			for range stepup.MaxTries {
				w.refused(stepup.CodeFactorIncorrect, try())
			}
			return try
		},
		"code_expired": func(w *world) func() error {
			ada := w.caller(nil)
			begun, err := w.Enrol(ctx(w), ada, stepup.KindPhone, "", "+442071838750", w.strongest(ada, withPassword))
			require.NoError(w, err)
			w.advance(6 * time.Minute)
			return func() error {
				_, err := w.VerifyFactor(ctx(w), ada, begun.Factor.ID, stepup.Proof{Strategy: reauth.PhoneCode, Code: "123456"})
				return err
			}
		},
		string(consent.CodeInvalidRequest): func(w *world) func() error {
			ada := w.caller(nil)
			begun, err := w.Enrol(ctx(w), ada, stepup.KindPasskey, "", "", w.strongest(ada, withPassword))
			require.NoError(w, err)
			return func() error {
				_, err := w.VerifyFactor(ctx(w), ada, begun.Factor.ID, stepup.Proof{Strategy: reauth.Passkey, Credential: json.RawMessage(`{}`)})
				return err
			}
		},
		"proof_invalid ": backend(func(in *stepup.Use) { in.Proof = "junk" }),
		"sudo_invalid":   backend(func(in *stepup.Use) { in.SudoToken = "junk" }),
		"no_code":        backend(func(in *stepup.Use) { in.Code = "123456" }),
		"other_operation": func(w *world) func() error {
			in := use(w.prove(w.caller(nil), stepup.Ask{Operation: "profile"}, withPassword).Proof, "transfer")
			return func() error { _, err := w.Use(ctx(w), w.app.ID, in); return err }
		},
	} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			again := prepare(w)
			w.noted(strings.TrimSpace(reason), 98)
			for range 4 {
				require.Error(t, again())
			}
			var lines []stepup.Audit
			for _, l := range w.trail(stepup.ActionDenied) {
				if l.Reason == strings.TrimSpace(reason) {
					lines = append(lines, l)
				}
			}
			assert.Len(t, lines, 2)
			limited := w.trail(stepup.ActionLimited)
			require.Len(t, limited, 1, "the audit says that lines are missing")
			assert.Equal(t, "notes", limited[0].Reason)
			w.erase("ada")
		})
	}
}

// Noise hides nobody who probes: what is refused for one reason leaves the lines
// of another.
func TestNoiseHidesNoProbing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	foreign := w.begun(w.in("s2"), stepup.Ask{Level: "medium"})
	w.noted(string(consent.CodeInvalidRequest), 99)
	_, err := w.Enrol(ctx(w), ada, "nonsense", "", "", "")
	w.refused(consent.CodeInvalidRequest, err)
	require.Empty(t, w.trail(stepup.ActionLimited), "nothing is missing yet")
	for range 3 {
		_, err := w.Enrol(ctx(w), ada, "nonsense", "", "", "")
		w.refused(consent.CodeInvalidRequest, err)
	}
	_, err = w.Look(ctx(w), ada, foreign.ID)
	w.refused(stepup.CodeReverificationNotFound, err)
	line, said := w.denied("not_theirs")
	require.True(t, said)
	assert.Equal(t, foreign.ID, line.Subject)
	assert.Len(t, w.trail(stepup.ActionLimited), 1, "one line of those that are missing")
	w.advance(10 * time.Minute)
	_, err = w.Enrol(ctx(w), ada, "nonsense", "", "", "")
	w.refused(consent.CodeInvalidRequest, err)
	assert.Len(t, w.trail(stepup.ActionDenied), 3)
}
