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

// Strong customer authentication, bound to a payment: reauth-wire.md 2, 5 and 6.

var payment = &reauth.Details{Payee: "Grace Hopper", Amount: "10.50", Currency: "EUR"}

// paid takes a caller through sca for a payment.
func (w *world) paid(c *stepup.Caller, d *reauth.Details, answers ...answer) stepup.View {
	w.Helper()
	v, err := w.Begin(ctx(w), c, stepup.Begin{Ask: stepup.Ask{Operation: "pay"}, Details: d})
	require.NoError(w, err)
	for _, a := range answers {
		v, err = w.Attempt(ctx(w), c, v.ID, a(v.ID))
		require.NoError(w, err)
	}
	return v
}

func TestAPaymentWantsTwoCategories(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	mail, sms := w.byCode(ada, reauth.EmailCode), w.byCode(ada, reauth.PhoneCode)
	pays := func(want stepup.Status, answers ...answer) {
		t.Helper()
		v := w.paid(ada, payment, answers...)
		assert.Equal(t, want, v.Status)
		assert.Equal(t, want == stepup.Complete, v.Proof != "")
		w.advance(time.Hour)
	}
	pays(stepup.NeedsFirst)
	pays(stepup.NeedsSecond, withPassword)
	pays(stepup.NeedsSecond, mail, sms)
	pays(stepup.Complete, mail, sms, withPassword)
	pays(stepup.Complete, withPassword, mail)
	pays(stepup.Complete, mail, withPassword)

	key, _ := w.withPasskey(ada, withPassword)
	pays(stepup.Complete, w.byPasskey(ada, key))
	app, _ := w.withTOTP(ada, withPassword)
	pays(stepup.NeedsSecond, sms, byTOTP(w, app))
	pays(stepup.Complete, withPassword, byTOTP(w, app))
	pays(stepup.Complete, byTOTP(w, app), withPassword)

	// What the session has proven before is in it for nothing.
	w.prove(ada, stepup.Ask{Level: "strict_mfa"}, withPassword, byTOTP(w, app))
	pays(stepup.NeedsFirst)
}

// A key that does not verify its user is possession, and no more.
func TestAPasskeyWithoutVerificationIsOneCategory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	key := w.withPossession(ada, withPassword)

	v := w.prove(ada, stepup.Ask{Level: "medium"}, w.byPasskey(ada, key))
	require.Equal(t, stepup.Complete, v.Status, "it is a first factor")
	assert.Contains(t, w.claims(v.Proof).AMR, "hwk")
	assert.NotContains(t, w.claims(v.Proof).AMR, "user")

	pay := w.paid(ada, payment)
	_, _, err := w.Prepare(ctx(w), ada, pay.ID, reauth.Passkey, "")
	w.refused(stepup.CodeStrategyUnavailable, err, "sca asks for verification")
}

// A challenge lists what a reverification that begins by it takes.
func TestAChallengeListsWhatHelps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settle(func(s *stepup.Settings) {
		s.OpenID = stepup.OpenID{Issuer: "http://127.0.0.1:9", ClientID: "reconsent", ClientSecret: "of-the-provider"}
	})
	ada := w.caller(nil)
	w.withPossession(ada, withPassword)
	w.withTOTP(ada, withPassword)
	w.advance(time.Hour)
	strategies := func(list []reauth.Usable) (names []reauth.Factor) {
		for _, u := range list {
			names = append(names, u.Strategy)
		}
		return names
	}
	all := []reauth.Factor{reauth.Password, reauth.EmailCode, reauth.PhoneCode, reauth.Passkey, reauth.IDP, reauth.TOTP}
	categories := []reauth.Factor{reauth.Password, reauth.EmailCode, reauth.PhoneCode, reauth.TOTP}
	for ask, want := range map[stepup.Ask][]reauth.Factor{
		{Level: "sca"}: categories, {Operation: "pay"}: categories, {Level: "sca", Operation: "transfer"}: categories,
		{Level: "strict_mfa"}: all, {Level: "medium"}: all, {Level: "critical"}: all,
	} {
		out, err := w.Check(ctx(w), ada, ask)
		require.NoError(t, err)
		require.NotNil(t, out.Challenge, ask)
		assert.Equal(t, want, strategies(out.Challenge.Factors), ask)
		v, err := w.Begin(ctx(w), ada, stepup.Begin{Ask: ask, Details: payment})
		require.NoError(t, err)
		assert.Equal(t, v.Usable, out.Challenge.Factors, ask)
	}
	// So does that which a backend is given for it.
	other := use(w.prove(ada, stepup.Ask{Level: "medium"}, withPassword).Proof, "anything")
	other.Level = "critical"
	_, err := w.Use(ctx(w), w.app.ID, other)
	assert.Equal(t, all, strategies(w.shortOf(err).Challenge.Factors))
	sudo, err := w.Sudo(ctx(w), ada, secret, "")
	require.NoError(t, err)
	_, err = w.Use(ctx(w), w.app.ID, stepup.Use{SudoToken: sudo.Token, UserID: "ada", SessionID: "s1", Operation: "pay", Details: payment})
	assert.NotContains(t, strategies(w.shortOf(err).Challenge.Factors), reauth.IDP)
}

// There is no downgrade: who cannot prove two categories is told so.
func TestAPaymentOfSomebodyWithOneCategory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.change("ada", func(u *consent.User) { u.PasswordHash = nil })
	_, err := w.Begin(ctx(w), w.caller(nil), stepup.Begin{Ask: stepup.Ask{Level: "sca"}, Details: payment})
	w.refused(stepup.CodeNoFactorAvailable, err)
}

func TestAProofOfAPaymentIsBoundToIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	_, err := w.Begin(ctx(w), ada, stepup.Begin{Ask: stepup.Ask{Operation: "pay"}})
	assert.Equal(t, "details", w.refused(consent.CodeInvalidRequest, err).Field)
	_, err = w.Begin(ctx(w), ada, stepup.Begin{Ask: stepup.Ask{Operation: "pay"}, Details: &reauth.Details{Payee: "G", Amount: "1e3", Currency: "EUR"}})
	w.refused(consent.CodeInvalidRequest, err)

	v := w.paid(ada, payment, withPassword, w.byCode(ada, reauth.EmailCode))
	assert.Equal(t, payment, v.Details)
	shown := w.post.codes[len(w.post.codes)-1]
	assert.Equal(t, payment, shown.Details, "the payer sees payee and amount")
	digest, err := payment.Digest()
	require.NoError(t, err)
	said := w.claims(v.Proof)
	require.NotNil(t, said.Operation)
	assert.Equal(t, "pay", said.Operation.Name)
	assert.Equal(t, digest, said.Operation.Digest)
	assert.Equal(t, "sca", said.Level)

	in := use(v.Proof, "pay")
	for name, d := range map[string]*reauth.Details{
		"none":             nil,
		"another payee":    {Payee: "Mallory", Amount: "10.50", Currency: "EUR"},
		"another amount":   {Payee: "Grace Hopper", Amount: "1050", Currency: "EUR"},
		"another way":      {Payee: "Grace Hopper", Amount: "10.5", Currency: "EUR"},
		"another currency": {Payee: "Grace Hopper", Amount: "10.50", Currency: "USD"},
	} {
		in.Details = d
		_, err := w.Use(ctx(w), w.app.ID, in)
		w.refused(stepup.CodeProofMismatch, err, name)
	}
	in.Details = payment
	used := w.good(in)
	assert.Equal(t, "sca", used.Level)
	_, err = w.Use(ctx(w), w.app.ID, in)
	w.refused(stepup.CodeProofUsed, err)
}

// Whoever goes by the lists alone comes to an end: what is listed brings a
// category that is not there yet.
func TestThePaymentsListsLeadToTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	lists := func(v stepup.View, first, second []reauth.Factor) {
		t.Helper()
		looked, err := w.Look(ctx(w), ada, v.ID)
		require.NoError(t, err)
		for _, v := range []stepup.View{v, looked} {
			assert.Equal(t, first, strategies(v, reauth.First))
			assert.Equal(t, second, strategies(v, reauth.Second))
		}
	}
	key, _ := w.withPasskey(ada, withPassword)
	app, _ := w.withTOTP(ada, withPassword)
	w.withPhone(ada, "+447911123456", withPassword, byTOTP(w, app))
	mail := w.byCode(ada, reauth.EmailCode)

	v := w.paid(ada, payment)
	lists(v, []reauth.Factor{reauth.Password, reauth.EmailCode, reauth.Passkey}, []reauth.Factor{reauth.PhoneCode, reauth.TOTP})
	v = w.paid(ada, payment, mail)
	require.Equal(t, stepup.NeedsSecond, v.Status)
	lists(v, []reauth.Factor{reauth.Password, reauth.Passkey}, nil)
	v, err := w.Attempt(ctx(w), ada, v.ID, w.byPasskey(ada, key)(v.ID))
	require.NoError(t, err)
	require.Equal(t, stepup.Complete, v.Status)
	w.advance(time.Hour)

	v = w.paid(ada, payment, withPassword)
	lists(v, []reauth.Factor{reauth.EmailCode, reauth.Passkey}, []reauth.Factor{reauth.PhoneCode, reauth.TOTP})
	// What is not listed is judged all the same.
	v, err = w.Attempt(ctx(w), ada, v.ID, withPassword(""))
	require.NoError(t, err)
	assert.Equal(t, stepup.NeedsSecond, v.Status)
	w.advance(6 * time.Minute)
	v, err = w.Look(ctx(w), ada, v.ID)
	require.NoError(t, err)
	assert.Contains(t, strategies(v, reauth.First), reauth.Password, "it is too long ago, and counts anew")

	// Of other levels nothing is left out.
	v = w.prove(ada, stepup.Ask{Level: "strict_mfa"}, mail)
	assert.Contains(t, strategies(v, reauth.Second), reauth.TOTP)
}

// A key that cannot verify its user is no way to a payment, and is not listed;
// who has nothing beside it but mail and SMS cannot begin.
func TestAKeyWithoutVerificationIsNotListed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	w.withPossession(ada, withPassword)

	assert.NotContains(t, strategies(w.paid(ada, payment), reauth.First), reauth.Passkey)
	assert.Contains(t, strategies(w.begun(ada, stepup.Ask{Level: "medium"}), reauth.First), reauth.Passkey)
	w.change("ada", func(u *consent.User) { u.PasswordHash = nil })
	_, err := w.Begin(ctx(w), ada, stepup.Begin{Ask: stepup.Ask{Operation: "pay"}, Details: payment})
	w.refused(stepup.CodeNoFactorAvailable, err)
}
