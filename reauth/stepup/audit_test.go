package stepup_test

import (
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/stepup"
)

// TestEverythingStandsInTheAudit drives each kind of thing once, from one device
// and network, and looks for its line.
func TestEverythingStandsInTheAudit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	ada.DeviceID, ada.IPPrefix = "phone", "192.0.2.0/24"

	_, err := w.Check(ctx(w), ada, stepup.Ask{Operation: "transfer"})
	require.NoError(t, err)
	v := w.begun(ada, stepup.Ask{Operation: "transfer"})
	_, _, err = w.Prepare(ctx(w), ada, v.ID, reauth.EmailCode, "")
	require.NoError(t, err)
	require.NoError(t, w.CodeSent(ctx(w), w.post.codes[0].Audit, ""))
	require.NoError(t, w.CodeSent(ctx(w), w.post.codes[0].Audit, "refused"))
	_, _, err = w.Prepare(ctx(w), ada, v.ID, reauth.EmailCode, "")
	require.Error(t, err)
	_, err = w.Attempt(ctx(w), ada, v.ID, stepup.Proof{Strategy: reauth.EmailCode, Code: wrongFor(w.code())})
	require.Error(t, err)
	v, err = w.Attempt(ctx(w), ada, v.ID, stepup.Proof{Strategy: reauth.EmailCode, Code: w.code()})
	require.NoError(t, err)
	wrongUse := use(v.Proof, "profile")
	wrongUse.IPPrefix = "198.51.100.0/24"
	_, err = w.Use(ctx(w), w.app.ID, wrongUse)
	require.Error(t, err)
	w.good(use(v.Proof, "transfer"))
	sudo, err := w.Sudo(ctx(w), ada, secret, "")
	require.NoError(t, err)
	require.NotEmpty(t, sudo)
	_, err = w.SendVerification(ctx(w), ada, reauth.EmailCode, "bob@example.org")
	require.NoError(t, err)
	_, id := w.withTOTP(ada, withPassword)
	require.NoError(t, w.EndSession(ctx(w), w.app.ID, "ada", "s1", "203.0.113.0/24"))

	lines := w.trail()
	find := func(a stepup.Action, reason string) stepup.Audit {
		t.Helper()
		i := slices.IndexFunc(lines, func(l stepup.Audit) bool { return l.Action == a && l.Reason == reason })
		require.GreaterOrEqual(t, i, 0, "%s %s", a, reason)
		return lines[i]
	}
	about := func(a stepup.Action, subject string) stepup.Audit {
		t.Helper()
		i := slices.IndexFunc(lines, func(l stepup.Audit) bool { return l.Action == a && l.Subject == subject })
		require.GreaterOrEqual(t, i, 0, "%s %s", a, subject)
		return lines[i]
	}
	assert.Equal(t, "transfer", find(stepup.ActionChallenged, "").Operation)
	assert.Equal(t, "transfer", about(stepup.ActionStarted, v.ID).Operation)
	asked := find(stepup.ActionCodeAsked, "")
	assert.Equal(t, reauth.EmailCode, asked.Factor)
	assert.Equal(t, asked.Subject, find(stepup.ActionCodeSent, "").Subject)
	find(stepup.ActionCodeUnsent, "refused")
	find(stepup.ActionLimited, "resend")
	failed := find(stepup.ActionFailed, "wrong_code")
	assert.Equal(t, v.ID, failed.Subject)
	assert.Equal(t, "strict", failed.Level)
	assert.Equal(t, reauth.EmailCode, about(stepup.ActionSucceeded, v.ID).Factor)
	assert.Equal(t, "transfer", about(stepup.ActionCompleted, v.ID).Operation)
	assert.Equal(t, "198.51.100.0/24", find(stepup.ActionDenied, "other_operation").IPPrefix)
	assert.Equal(t, "transfer", about(stepup.ActionProofUsed, v.ID).Operation)
	find(stepup.ActionTokenIssued, string(stepup.StepSudo))
	find(stepup.ActionCodeAsked, "address_not_bound")
	assert.Equal(t, id, find(stepup.ActionFactorAdded, "totp").Subject)
	assert.Equal(t, id, find(stepup.ActionFactorCounts, "totp").Subject)
	assert.Equal(t, "203.0.113.0/24", find(stepup.ActionCleared, "").IPPrefix)
	for _, l := range lines {
		assert.Equal(t, "s1", l.SessionID, l.Action)
		assert.False(t, l.At.IsZero())
		if l.Action != stepup.ActionCleared && l.Action != stepup.ActionProofUsed && l.Reason != "other_operation" {
			assert.Equal(t, "phone", l.DeviceID, l.Action)
			assert.Equal(t, "192.0.2.0/24", l.IPPrefix, l.Action)
		}
	}
	assert.True(t, slices.IsSortedFunc(lines, func(a, b stepup.Audit) int { return strings.Compare(b.ID, a.ID) }), "the newest first")
}

// What turns out after the user was erased names nobody.
func TestWhatTurnsOutAfterTheErasure(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.SendReauthentication(ctx(w), w.caller(nil), reauth.EmailCode, time.Minute)
	require.NoError(t, err)
	require.NoError(t, w.NoticeUnsent(ctx(w), w.app.ID, "ada", stepup.EventLocked))
	line := w.trail(stepup.ActionNoticeUnsent)[0]
	assert.Equal(t, "locked", line.Reason)
	assert.Equal(t, w.clock.Now(), line.At)
	w.erase("ada")
	require.NoError(t, w.CodeSent(ctx(w), w.post.codes[0].Audit, ""))
	require.NoError(t, w.CodeSent(ctx(w), w.post.codes[0].Audit, "given_up"))
	require.NoError(t, w.NoticeUnsent(ctx(w), w.app.ID, "ada", stepup.EventLocked))
	assert.Empty(t, w.trail())
}

// TestLaw6NoSecretInTheClear takes every secret that passes, through what goes
// well and what does not, and looks for it in the database, in logs and in
// errors.
func TestLaw6NoSecretInTheClear(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	secrets, said := []string{secret, jwtKey}, ""
	wrong := func(_ any, err error) {
		require.Error(t, err)
		said += err.Error() + "\n"
	}
	app, _ := w.withTOTP(ada, withPassword)
	backup := w.withBackup(ada, withPassword, byTOTP(w, app))
	secrets = append(append(secrets, app), backup...)

	sudo, err := w.Sudo(ctx(w), ada, secret, "")
	require.NoError(t, err)
	made, err := w.SendVerification(ctx(w), ada, reauth.EmailCode, "ada@example.org")
	require.NoError(t, err)
	wrong(w.VerifyCode(ctx(w), made.ID, "not the code", "", ""))
	verified, err := w.VerifyCode(ctx(w), made.ID, w.code(), "", "")
	require.NoError(t, err)
	chained, err := w.Sudo(ctx(w), ada, "", verified.Token)
	require.NoError(t, err)
	secrets = append(secrets, sudo.Token, verified.Token, chained.Token)
	wrong(w.Sudo(ctx(w), ada, "the password that was guessed", ""))
	wrong(w.Sudo(ctx(w), ada, "", verified.Token))
	secrets = append(secrets, "the password that was guessed")
	v := w.prove(ada, stepup.Ask{Level: "strict_mfa"}, withPassword, func(string) stepup.Proof { return stepup.Proof{Strategy: reauth.BackupCode, Code: backup[0]} })
	secrets = append(secrets, v.Proof)
	w.good(use(v.Proof, "transfer"))
	wrong(w.Use(ctx(w), w.app.ID, use(v.Proof, "transfer")))
	wrong(w.Use(ctx(w), w.app.ID, stepup.Use{SudoToken: verified.Token, UserID: "ada", SessionID: "s1", Operation: "transfer"}))
	token := w.token(&w.app, nil)
	_, err = w.Identify(ctx(w), stepup.Request{Authorization: []string{"Bearer " + token + "x"}, Applications: []string{"acme"}})
	wrong(nil, err)
	secrets = append(secrets, token)
	paid := w.paid(ada, payment, withPassword, byTOTP(w, app))
	require.NotEmpty(t, paid.Proof)
	secrets = append(secrets, payment.Payee)
	_, err = w.SendReauthentication(ctx(w), ada, reauth.PhoneCode, time.Minute)
	require.NoError(t, err)
	w.post.full = true
	w.advance(2 * time.Minute)
	_, err = w.SendReauthentication(ctx(w), ada, reauth.PhoneCode, time.Minute)
	wrong(nil, err)

	written, dump := w.logs.String()+said, w.databaseBytes()
	require.Greater(t, len(dump), 10_000)
	require.NotEmpty(t, w.logs.String())
	for _, s := range secrets {
		require.Greater(t, len(s), 10)
		assert.NotContains(t, written, s, "in a log or an error")
		for _, form := range []string{s, strings.ReplaceAll(s, "-", ""), hex.EncodeToString([]byte(s)), base64.StdEncoding.EncodeToString([]byte(s))} {
			assert.False(t, strings.Contains(dump, form), "in the database: %.6s...", s)
		}
	}
	// Six digits are found anywhere; as a value of their own they are not.
	w.post.mu.Lock()
	defer w.post.mu.Unlock()
	require.NotEmpty(t, w.post.codes)
	for _, m := range w.post.codes {
		for _, form := range []string{"\t" + m.Code + "\t", "'" + m.Code + "'", `"` + m.Code + `"`} {
			assert.NotContains(t, dump, form)
			assert.NotContains(t, written, form)
		}
		assert.NotContains(t, written, m.To, "an address in a log or an error")
	}
}
