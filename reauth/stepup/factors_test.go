package stepup_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/stepup"
)

// Factors, and what changing them takes: reauth-wire.md 5.

func TestAFactorCountsFromItsFirstVerifiedUse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	for _, kind := range []stepup.FactorKind{stepup.KindTOTP, stepup.KindPasskey, stepup.KindPhone} {
		begun, err := w.Enrol(ctx(w), ada, kind, "my "+string(kind), "+442071838750", w.strongest(ada, withPassword))
		require.NoError(t, err, kind)
		v := w.begun(ada, stepup.Ask{Level: "strict"})
		assert.Equal(t, stepup.NeedsFirst, v.Status, "%s does not count yet", kind)
		assert.NotContains(t, strategies(v, reauth.First), reauth.Passkey)
		assert.Empty(t, strategies(v, reauth.Second))
		list, err := w.ListFactors(ctx(w), ada)
		require.NoError(t, err)
		i := len(list) - 1
		assert.Equal(t, begun.Factor.ID, list[i].ID)
		assert.True(t, list[i].VerifiedAt.IsZero())
		assert.Equal(t, "my "+string(kind), list[i].Label)
	}
	_, err := w.Enrol(ctx(w), ada, stepup.KindBackupCodes, "", "", w.strongest(ada, withPassword))
	w.refused(stepup.CodeStrategyUnavailable, err, "what waits is no second factor for backup codes to stand in for")
	assert.Empty(t, w.told(stepup.EventFactorAdded))

	list, err := w.ListFactors(ctx(w), ada)
	require.NoError(t, err)
	for _, f := range list {
		_, err := w.VerifyFactor(ctx(w), ada, f.ID, stepup.Proof{Code: "000000", Credential: []byte(`{}`)})
		require.Error(t, err)
		assert.Contains(t, []consent.Code{stepup.CodeFactorIncorrect, consent.CodeInvalidRequest}, consent.CodeOf(err), f.Kind)
	}
	w.advance(15 * time.Minute)
	for _, f := range list {
		_, err := w.VerifyFactor(ctx(w), ada, f.ID, stepup.Proof{Code: w.code()})
		w.refused(stepup.CodeReverificationEnded, err, "it waited for too long")
	}
	_, err = w.VerifyFactor(ctx(w), ada, "fac_0", stepup.Proof{Code: "000000"})
	w.refused(stepup.CodeFactorNotFound, err)
}

func TestChangingAFactorTakesTheStrongestProof(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	early := w.strongest(ada, withPassword)
	other := w.strongest(w.in("s2"), withPassword)
	app, id := w.withTOTP(ada, withPassword)
	w.advance(time.Hour)

	enrol := func(text string) error {
		_, err := w.Enrol(ctx(w), ada, stepup.KindPasskey, "", "", text)
		return err
	}
	remove := func(text string) error { return w.RemoveFactor(ctx(w), ada, id, text) }
	first := w.prove(ada, stepup.Ask{Level: "medium", Operation: stepup.OperationFactors}, withPassword).Proof
	elsewhere := w.strongest(w.in("s2"), withPassword, byTOTP(w, app))
	w.advance(time.Minute)
	operation := w.prove(ada, stepup.Ask{Level: "strict_mfa", Operation: "transfer"}, withPassword, byTOTP(w, app)).Proof
	for name, tt := range map[string]struct{ text, reason string }{
		"none":                        {"", "no_proof"},
		"no proof at all":             {"proof", "proof_invalid"},
		"a token of the user":         {w.token(&w.app, nil), "proof_invalid"},
		"one from before the factor":  {early, "proof_invalid"}, // it has expired
		"another session's":           {elsewhere, "proof_invalid"},
		"another session's, outdated": {other, "proof_invalid"},
		"of the first factor alone":   {first, "level"},
		"for another operation":       {operation, "other_operation"},
	} {
		for _, do := range []func(string) error{enrol, remove} {
			short := w.shortOf(do(tt.text), name)
			assert.Equal(t, "strict_mfa", short.Challenge.Required.Level)
			assert.Equal(t, tt.reason, w.trail(stepup.ActionDenied)[0].Reason, name)
		}
	}
	w.advance(time.Minute)
	good := w.strongest(ada, withPassword, byTOTP(w, app))
	w.advance(10*time.Minute - time.Second)
	require.NoError(t, enrol(good), "within ten minutes")
	w.refused(stepup.CodeProofUsed, enrol(good), "once")
	w.advance(time.Minute)
	late := w.strongest(ada, withPassword, byTOTP(w, app))
	w.advance(10 * time.Minute)
	w.shortOf(remove(late), "later")
	require.NoError(t, remove(w.strongest(ada, withPassword, byTOTP(w, app))))
	list, err := w.ListFactors(ctx(w), ada)
	require.NoError(t, err)
	for _, f := range list {
		assert.NotEqual(t, id, f.ID)
	}
}

func TestAChangeOfFactorsEndsWhatIsLiveAndIsTold(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"totp", "passkey", "phone", "backup_codes", "removal"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			setup := w.in("setup")
			app, id, key := "", "", newAuthenticator(t)
			answers := []answer{withPassword}
			if kind == "backup_codes" || kind == "removal" {
				app, id = w.withTOTP(setup, withPassword)
				answers = append(answers, byTOTP(w, app))
			}
			// What is live is made with a proof in hand: what the change needs comes first.
			text := w.strongest(setup, answers...)
			var begun stepup.Enrollment
			if kind != "backup_codes" && kind != "removal" {
				var err error
				begun, err = w.Enrol(ctx(w), setup, stepup.FactorKind(kind), "", "+442071838750", text)
				require.NoError(t, err)
			}
			typed := ""
			if kind == "phone" {
				typed = w.code()
			}
			if app != "" {
				w.change("ada", func(u *consent.User) { u.Locale = "en" }) // nothing that counts
			}
			l := w.livesWith("s1", app)
			told := len(w.post.notices)

			var err error
			switch kind {
			case "totp":
				_, err = w.VerifyFactor(ctx(w), setup, begun.Factor.ID, stepup.Proof{Code: w.shows(begun.Secret, 0)})
			case "passkey":
				_, err = w.VerifyFactor(ctx(w), setup, begun.Factor.ID, stepup.Proof{Credential: key.Create(begun.Options)})
			case "phone":
				_, err = w.VerifyFactor(ctx(w), setup, begun.Factor.ID, stepup.Proof{Code: typed})
			case "backup_codes":
				_, err = w.Enrol(ctx(w), setup, stepup.KindBackupCodes, "", "", text)
			case "removal":
				err = w.RemoveFactor(ctx(w), setup, id, text)
			}
			require.NoError(t, err)
			w.advance(time.Second)

			for name, try := range l.tries() {
				w.refused(try.over, try.do(), name)
			}
			require.Len(t, w.post.notices, told+1)
			n := w.post.notices[told]
			assert.Equal(t, "ada@example.org", n.User.Email)
			if kind == "removal" {
				assert.Equal(t, stepup.EventFactorRemoved, n.Event)
			} else {
				assert.Equal(t, stepup.EventFactorAdded, n.Event)
				assert.Equal(t, stepup.FactorKind(kind), n.Factor)
			}
		})
	}
}

// Who enrols a number in the place of another is told at the old one too.
func TestANewNumberIsToldToTheOld(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	old := w.withPhone(ada, "+442071838750", withPassword)
	w.withPhone(ada, "+447911123457", withPassword, w.byCode(ada, reauth.PhoneCode))
	n := w.post.notices[len(w.post.notices)-1]
	assert.Equal(t, []string{"+442071838750"}, n.Phones)
	assert.Equal(t, "+447911123457", n.Address)
	list, err := w.ListFactors(ctx(w), ada)
	require.NoError(t, err)
	require.Len(t, list, 1)
	assert.NotEqual(t, old, list[0].ID)
	assert.False(t, w.fresh(ada, "strict"), "what the old number proved counts no more")
}

func TestNewBackupCodesVoidTheOld(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	app, _ := w.withTOTP(ada, withPassword)
	old := w.withBackup(ada, withPassword, byTOTP(w, app))
	w.advance(time.Hour)
	fresh := w.withBackup(ada, withPassword, byTOTP(w, app))
	require.NotEqual(t, old, fresh)
	typed := func(code string) error {
		_, err := w.Attempt(ctx(w), ada, w.begun(ada, stepup.Ask{Level: "strict"}).ID, stepup.Proof{Strategy: reauth.BackupCode, Code: code})
		return err
	}
	for _, code := range old[:3] {
		w.refused(stepup.CodeFactorIncorrect, typed(code))
	}
	require.NoError(t, typed(fresh[0]))
	w.refused(stepup.CodeFactorIncorrect, typed(fresh[0]), "it was used")
	used := w.told(stepup.EventBackupUsed)
	require.Len(t, used, 1)
	assert.Equal(t, len(fresh)-1, used[0].Left)
}

func TestFactorsThatCannotBe(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	w.withPhone(ada, "+447911123456", withPassword)
	for name, tt := range map[string]struct {
		kind          stepup.FactorKind
		label, number string
		code          consent.Code
	}{
		"no kind":             {"hair", "", "", consent.CodeInvalidRequest},
		"no number":           {stepup.KindPhone, "", "12345", consent.CodeInvalidRequest},
		"a label of controls": {stepup.KindTOTP, "a\x07", "", consent.CodeInvalidRequest},
	} {
		_, err := w.Enrol(ctx(w), ada, tt.kind, tt.label, tt.number, "")
		w.refused(tt.code, err, name)
	}
	w.refused(stepup.CodeFactorNotFound, w.RemoveFactor(ctx(w), ada, "fac_0", ""))
}

// TestAThiefWithATokenOfAnotherSession has a valid token of ada's, from a
// session that never proved a thing, and each secret that passed over the wire
// in hers. It gets them nothing.
func TestAThiefWithATokenOfAnotherSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.in("setup")
	key, passkeyID := w.withPasskey(ada, withPassword)
	app, appID := w.withTOTP(ada, withPassword)
	begun, err := w.Enrol(ctx(w), ada, stepup.KindPhone, "", "+442071838750", w.strongest(ada, withPassword, byTOTP(w, app)))
	require.NoError(t, err)
	number := w.code()
	w.advance(time.Minute)
	l := w.livesWith("s1", app)
	w.advance(time.Minute)
	factors := w.strongest(l.c, withPassword, byTOTP(w, app))
	pass := w.begun(l.c, stepup.Ask{Level: "medium"})
	signed := w.byPasskey(l.c, key)(pass.ID)
	thief := w.in("stolen")
	w.advance(time.Second)

	using := func(session string, in stepup.Use) func() error {
		in.UserID, in.SessionID, in.Operation = "ada", session, "profile"
		return func() error { _, err := w.Use(ctx(w), w.app.ID, in); return err }
	}
	for name, step := range map[string]func() error{
		"the code at the backend":        using("stolen", stepup.Use{Code: l.code}),
		"the sudo token":                 using("stolen", stepup.Use{SudoToken: l.sudo}),
		"the proof":                      using("stolen", stepup.Use{Proof: l.proof}),
		"the token as a proof":           using("stolen", stepup.Use{Proof: w.token(&w.app, nil)}),
		"the verification token":         func() error { _, err := w.Sudo(ctx(w), thief, "", l.token); return err },
		"a verification token as a sudo": using("s1", stepup.Use{SudoToken: l.token}),
		"a sudo token as a verification": func() error { _, err := w.Sudo(ctx(w), thief, "", l.sudo); return err },
		"a guessed password":             func() error { _, err := w.Sudo(ctx(w), thief, "guess", ""); return err },
		"her reverification":             func() error { _, err := w.Look(ctx(w), thief, l.rev); return err },
		"a code to her reverification":   func() error { _, _, err := w.Prepare(ctx(w), thief, l.open, reauth.EmailCode, ""); return err },
		"its code": func() error {
			_, err := w.Attempt(ctx(w), thief, l.rev, stepup.Proof{Strategy: reauth.PhoneCode, Code: l.typed})
			return err
		},
		"its code in one of their own": func() error {
			v, err := w.Begin(ctx(w), thief, stepup.Begin{Ask: stepup.Ask{Level: "medium"}})
			require.NoError(t, err)
			_, err = w.Attempt(ctx(w), thief, v.ID, stepup.Proof{Strategy: reauth.PhoneCode, Code: l.typed})
			return err
		},
		"her passkey's answer": func() error { _, err := w.Attempt(ctx(w), thief, pass.ID, signed); return err },
		"her passkey's answer in one of their own": func() error {
			v, err := w.Begin(ctx(w), thief, stepup.Begin{Ask: stepup.Ask{Level: "medium"}})
			require.NoError(t, err)
			_, _, err = w.Prepare(ctx(w), thief, v.ID, reauth.Passkey, "")
			require.NoError(t, err)
			_, err = w.Attempt(ctx(w), thief, v.ID, signed)
			return err
		},
		"a factor of their own":    func() error { _, err := w.Enrol(ctx(w), thief, stepup.KindTOTP, "", "", factors); return err },
		"a factor without a proof": func() error { _, err := w.Enrol(ctx(w), thief, stepup.KindPasskey, "", "", ""); return err },
		"new backup codes":         func() error { _, err := w.Enrol(ctx(w), thief, stepup.KindBackupCodes, "", "", factors); return err },
		"her app away":             func() error { return w.RemoveFactor(ctx(w), thief, appID, factors) },
		"her passkey away":         func() error { return w.RemoveFactor(ctx(w), thief, passkeyID, "") },
		"the number that she enrols": func() error {
			_, err := w.VerifyFactor(ctx(w), thief, begun.Factor.ID, stepup.Proof{Code: number})
			return err
		},
		"a way out of what she proved": func() error { _, err := w.Look(ctx(w), thief, ""); return err },
	} {
		require.Error(t, step(), name)
	}
	for _, level := range []string{"session", "medium", "strict", "strict_mfa", "critical", "sca"} {
		assert.False(t, w.fresh(thief, level), level)
	}
	// Nor has it cost her anything.
	_, err = w.Attempt(ctx(w), l.c, l.rev, stepup.Proof{Strategy: reauth.PhoneCode, Code: l.typed})
	require.NoError(t, err)
	_, err = w.Sudo(ctx(w), l.c, "", l.token)
	require.NoError(t, err)
	require.NoError(t, using("s1", stepup.Use{SudoToken: l.sudo})())
	_, err = w.Attempt(ctx(w), l.c, pass.ID, signed)
	require.NoError(t, err)
	_, err = w.Enrol(ctx(w), l.c, stepup.KindPasskey, "", "", factors)
	require.NoError(t, err)
}

// A strategy that is not the factor's is no guess at it.
func TestAFactorIsVerifiedByItsOwnStrategy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	for kind, own := range map[stepup.FactorKind]reauth.Factor{
		stepup.KindTOTP: reauth.TOTP, stepup.KindPhone: reauth.PhoneCode, stepup.KindPasskey: reauth.Passkey,
	} {
		begun, err := w.Enrol(ctx(w), ada, kind, "", "+442071838750", w.strongest(ada, withPassword))
		require.NoError(t, err)
		right := stepup.Proof{}
		switch kind {
		case stepup.KindTOTP:
			right.Code = w.shows(begun.Secret, 0)
		case stepup.KindPhone:
			right.Code = w.code()
		case stepup.KindPasskey:
			right.Credential = newAuthenticator(t).Create(begun.Options)
		}
		for _, other := range []reauth.Factor{reauth.Password, reauth.EmailCode, reauth.BackupCode, reauth.IDP, "another"} {
			right.Strategy = other
			_, err := w.VerifyFactor(ctx(w), ada, begun.Factor.ID, right)
			e := w.refused(consent.CodeInvalidRequest, err, kind)
			assert.Equal(t, "strategy", e.Field)
			assert.Contains(t, e.Detail, string(own))
		}
		st, err := w.store.Standing(ctx(w), ada.Who)
		require.NoError(t, err)
		assert.Empty(t, st.Failures, kind)
		right.Strategy = own
		_, err = w.VerifyFactor(ctx(w), ada, begun.Factor.ID, right)
		require.NoError(t, err, kind)
		require.NoError(t, w.store.ChangeFactors(ctx(w), stepup.FactorChange{Who: ada.Who, At: w.clock.Now(), Remove: []string{begun.Factor.ID}}))
		w.advance(time.Minute)
	}
}
