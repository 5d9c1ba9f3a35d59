package connector_test

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/connector"
	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/provider"
	"github.com/reconsent/reconsent/provider/sandbox/bankbrowser"
	"github.com/reconsent/reconsent/provider/truelayer"
)

// The laws of the design, by number. Each test fails when its law is broken.

func TestLaw1AnotherLoginReplacesNothingAndIsGivenBack(t *testing.T) {
	w := newWorld(t)
	john := w.linked("u1", bankbrowser.John())
	s := w.reauth(john)
	_, ret := w.visit(bankbrowser.Numbered(7), s.URI)

	out := w.forward(s, ret)

	assert.Equal(t, consent.AttemptMismatched, out.Attempt.Status)
	assert.Equal(t, consent.CodeCredentialsMismatch, consent.CodeOf(out.Err()))
	w.same(john)
	w.works(john)
	assert.Equal(t, 1, w.bank.Calls("delete"), "the new grant was not given back")
	assert.Equal(t, []consent.EventType{consent.EventLinked, consent.EventAttemptStarted, consent.EventMismatched}, w.types(john))
}

func TestLaw1AnotherLoginThatIsALiveConsentIsOnlyDropped(t *testing.T) {
	w := newWorld(t)
	john, jane := w.linked("u1", bankbrowser.John()), w.linked("u2", bankbrowser.Numbered(7))
	s := w.reauth(john)
	_, ret := w.visit(bankbrowser.Numbered(7), s.URI)

	out := w.forward(s, ret)

	assert.Equal(t, consent.AttemptMismatched, out.Attempt.Status)
	assert.Zero(t, w.bank.Calls("delete"), "giving it back would have killed the other consent")
	w.same(john)
	w.same(jane)
	w.works(john)
	w.works(jane)
}

func TestLaw1SameIdWithoutACommonAccountIsAMismatch(t *testing.T) {
	w := newWorld(t)
	john := w.linked("u1", bankbrowser.John())
	s := w.reauth(john)
	w.fault("same_id_other_accounts")
	_, ret := w.visit(bankbrowser.John(), s.URI)

	out := w.forward(s, ret)

	assert.Equal(t, consent.AttemptMismatched, out.Attempt.Status)
	assert.Equal(t, consent.CodeCredentialsMismatch, consent.CodeOf(out.Err()))
	assert.Zero(t, w.bank.Calls("delete"), "giving it back would have ended the consent itself")
	w.same(john)
	w.works(john)
}

func TestLaw1ARefreshTokenIsReplacedOnlyAfterTheIdMatched(t *testing.T) {
	for _, tt := range []struct {
		name, fault string
		person      bankbrowser.Person
		replaced    bool
	}{
		{"none came back", "refresh_token_omitted", bankbrowser.John(), false},
		{"a new one, same login", "refresh_token_rotates", bankbrowser.John(), true},
		{"a new one, other login", "refresh_token_rotates", bankbrowser.Numbered(3), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			john := w.linked("u1", bankbrowser.John())
			before := w.refreshToken(john)
			s := w.reauth(john)
			_, ret := w.visit(tt.person, s.URI)
			w.fault(tt.fault)
			w.forward(s, ret)
			assert.Equal(t, tt.replaced, w.refreshToken(john) != before)
			w.works(john)
		})
	}
}

func TestLaw1ARelinkOfTheSameLoginRevivesTheConsent(t *testing.T) {
	w := newWorld(t)
	john := w.linked("u1", bankbrowser.John())
	w.advance(181 * day)

	authuri := w.unrenewable(john)
	_, ret := w.visit(bankbrowser.John(), authuri.AuthURI)
	out, err := w.CompleteForwarded(t.Context(), w.app, connector.Forwarded{AttemptID: authuri.AttemptID}, ret)

	require.NoError(t, err)
	assert.Equal(t, consent.AttemptRenewed, out.Attempt.Status)
	assert.Equal(t, john.ID, out.Consent.ID)
	assert.Equal(t, 2, out.Consent.Cycle)
	assert.Equal(t, consent.Active, w.StatusNow(out.Consent))
}

func TestLaw1ARelinkOfOtherAccountsMakesANewConsent(t *testing.T) {
	w := newWorld(t)
	john := w.linked("u1", bankbrowser.John())
	w.advance(181 * day)

	authuri := w.unrenewable(john)
	_, ret := w.visit(bankbrowser.Numbered(9), authuri.AuthURI)
	out, err := w.CompleteForwarded(t.Context(), w.app, connector.Forwarded{AttemptID: authuri.AttemptID}, ret)

	require.NoError(t, err)
	assert.Equal(t, consent.AttemptLinked, out.Attempt.Status)
	assert.NotEqual(t, john.ID, out.Consent.ID)
	assert.Equal(t, john.ID, out.Consent.Replaces)
	w.same(john)
}

func TestLaw2TheProvidersWordOnExpiryWins(t *testing.T) {
	w := newWorld(t, func(s *setup) { s.policy = consent.Policy{Validity: 10 * day, RenewalWindow: 20 * day} })
	john := w.linked("u1", bankbrowser.John())
	assert.Equal(t, consent.FromProvider, john.ExpirySource)
	assert.WithinDuration(t, w.bank.Clock().Now().Add(90*day), john.ExpiresAt, time.Minute)
	assert.Equal(t, john.ExpiresAt.Add(20*day), john.RenewableUntil)
}

func TestLaw2WhereNobodySaysNothingIsInvented(t *testing.T) {
	silent := func(cfg provider.Config, deps provider.Deps) (provider.Provider, error) {
		p, err := truelayer.Open(cfg, deps)
		return silentOnExpiry{p.(*truelayer.Client)}, err
	}
	w := newWorld(t, withProvider(silent))
	john := w.linked("u1", bankbrowser.John())
	assert.Equal(t, consent.FromPolicy, john.ExpirySource)
	assert.Equal(t, john.ConsentedAt.Add(90*day), john.ExpiresAt)

	w = newWorld(t, withProvider(silent), func(s *setup) { s.policy = consent.Policy{} })
	john = w.linked("u1", bankbrowser.John())
	assert.Equal(t, consent.FromNobody, john.ExpirySource)
	assert.True(t, john.ExpiresAt.IsZero())
	w.advance(3650 * day)
	assert.Equal(t, consent.Active, w.StatusNow(&john))
}

func TestLaw4TwentyAtOnceMakeOneExchange(t *testing.T) {
	w := newWorld(t)
	john := w.linked("u1", bankbrowser.John())
	s := w.reauth(john)
	_, ret := w.visit(bankbrowser.John(), s.URI)
	before := w.bank.Calls("token:authorization_code")
	replicas := []*connector.Connector{w.Connector, w.another(provider.Catalog{"truelayer": truelayer.Adapter})}

	outcomes := make([]connector.Outcome, 20)
	var group sync.WaitGroup
	for i := range outcomes {
		group.Go(func() {
			out, err := replicas[i%2].CompleteForwarded(t.Context(), w.app, connector.Forwarded{AttemptID: s.Attempt.ID}, ret)
			assert.NoError(t, err)
			outcomes[i] = out
		})
	}
	group.Wait()

	assert.Equal(t, before+1, w.bank.Calls("token:authorization_code"))
	for _, out := range outcomes {
		assert.Equal(t, outcomes[0].Attempt, out.Attempt)
		require.NotNil(t, out.Consent)
		assert.Equal(t, 2, out.Consent.Cycle)
	}
}

func TestLaw4TheSecondHitShowsTheOutcomeOfTheFirst(t *testing.T) {
	w := newWorld(t)
	john := w.linked("u1", bankbrowser.John())
	s := w.reauth(john)
	w.fault("user_denies")
	_, ret := w.visit(bankbrowser.John(), s.URI)
	require.Equal(t, "access_denied", ret.Error)
	first := w.forward(s, ret)
	assert.Equal(t, consent.AttemptDenied, first.Attempt.Status)

	late := w.forward(s, connector.Return{Code: "a-code-that-comes-after-the-cancellation"})

	assert.Equal(t, first.Attempt, late.Attempt)
	w.same(john)
}

func TestLaw4AnAttemptExpires(t *testing.T) {
	w := newWorld(t)
	john := w.linked("u1", bankbrowser.John())
	s := w.reauth(john)
	_, ret := w.visit(bankbrowser.John(), s.URI)
	w.advance(2 * time.Hour)

	_, err := w.CompleteForwarded(t.Context(), w.app, connector.Forwarded{AttemptID: s.Attempt.ID}, ret)

	assert.Equal(t, consent.CodeAttemptExpired, consent.CodeOf(err))
	w.same(john)
}

func TestLaw4OfSeveralLiveAttemptsTheFirstToReturnWins(t *testing.T) {
	w := newWorld(t)
	john := w.linked("u1", bankbrowser.John())
	one, two := w.reauth(john), w.reauth(john)
	require.NotEqual(t, one.Attempt.ID, two.Attempt.ID)
	_, ret1 := w.visit(bankbrowser.John(), one.URI)
	_, ret2 := w.visit(bankbrowser.John(), two.URI)

	second := w.forward(two, ret2)
	exchanges := w.bank.Calls("token:authorization_code")
	first := w.forward(one, ret1)

	assert.Equal(t, consent.AttemptRenewed, second.Attempt.Status)
	assert.Equal(t, consent.AttemptRenewed, first.Attempt.Status)
	assert.Equal(t, "overtaken", first.Attempt.Reason)
	assert.Equal(t, second.Consent.ID, first.Consent.ID)
	assert.Equal(t, 2, first.Consent.Cycle)
	assert.Equal(t, exchanges, w.bank.Calls("token:authorization_code"))
	w.works(john)
}

func TestLaw5StartingCancellingAndFailingLeaveTheConsentAsItWas(t *testing.T) {
	w := newWorld(t)
	john := w.linked("u1", bankbrowser.John())
	w.advance(84 * day)
	for _, tt := range []struct {
		name, before, after string
		person              bankbrowser.Person
	}{
		{"the person cancels", "", "", bankbrowser.Person{User: "john", Password: "doe", Deny: true}},
		{"the bank says no", "user_denies", "", bankbrowser.John()},
		{"the bank breaks", "server_error", "", bankbrowser.John()},
		{"another login", "other_bank_login", "", bankbrowser.John()},
		{"the code was used", "", "code_already_used", bankbrowser.John()},
		{"the exchange breaks", "", "internal_error", bankbrowser.John()},
		{"the exchange is limited", "", "rate_limited", bankbrowser.John()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := w.reauth(john)
			w.same(john)
			if tt.before != "" {
				w.fault(tt.before)
			}
			_, ret := w.visit(tt.person, s.URI)
			if tt.after != "" {
				w.fault(tt.after)
			}
			out, err := w.CompleteForwarded(t.Context(), w.app, connector.Forwarded{AttemptID: s.Attempt.ID}, ret)
			assert.NotEqual(t, consent.AttemptRenewed, out.Attempt.Status)
			if tt.after == "internal_error" || tt.after == "rate_limited" {
				assert.Equal(t, consent.CodeProviderUnavailable, consent.CodeOf(err))
			}
			w.same(john)
			w.works(john)
		})
	}
	s := w.reauth(john) // a person who never returns
	w.advance(2 * time.Hour)
	require.NoError(t, w.Upkeep(t.Context()))
	_ = s
}

func TestLaw6NothingSecretIsAtRestOrInALogInTheClear(t *testing.T) {
	w := newWorld(t, confirming)
	var secrets []string
	note := func(link string, ret connector.Return) {
		if ret.Code != "" {
			secrets = append(secrets, ret.Code)
		}
		u, err := url.Parse(link)
		require.NoError(t, err)
		secrets = append(secrets, u.Path[strings.LastIndex(u.Path, "/")+1:])
	}
	john := w.linked("u1", bankbrowser.John())
	secrets = append(secrets, w.refreshToken(john), "client-secret-0123456789")
	for _, fault := range []string{"", "refresh_token_rotates", "internal_error", "code_already_used", "other_bank_login"} {
		s := w.reauth(john)
		secrets = append(secrets, w.verifier(s.Attempt))
		if fault == "other_bank_login" {
			w.fault(fault)
		}
		_, ret := w.visit(bankbrowser.John(), s.URI)
		note(s.URI, ret)
		if fault != "" && fault != "other_bank_login" {
			w.fault(fault)
		}
		_, err := w.CompleteForwarded(t.Context(), w.app, connector.Forwarded{AttemptID: s.Attempt.ID}, ret)
		if err != nil {
			_, _ = w.logs.Write([]byte(err.Error()))
		}
		secrets = append(secrets, w.refreshToken(john))
	}
	token, err := w.Token(t.Context(), w.app, john.ID, true)
	require.NoError(t, err)
	secrets = append(secrets, token.Token)
	pending, _ := w.hosted("u3", bankbrowser.Numbered(5))
	require.NotNil(t, pending.Consent)

	written := w.logs.String()
	dump := w.databaseBytes()
	for _, s := range secrets {
		require.Greater(t, len(s), 10)
		assert.NotContains(t, written, s, "in a log or an error")
		// A dump writes bytes in hexadecimal.
		for _, form := range []string{s, hex.EncodeToString([]byte(s)), base64.StdEncoding.EncodeToString([]byte(s))} {
			assert.False(t, strings.Contains(dump, form), "in the database: %.12s...", s)
		}
	}
	assert.Greater(t, len(dump), 10_000)
}

func TestLaw8NothingCrossesApplications(t *testing.T) {
	w := newWorld(t)
	john := w.linked("u1", bankbrowser.John())
	s := w.reauth(john)
	_, ret := w.visit(bankbrowser.John(), s.URI)
	token := w.refreshToken(john)
	other, err := w.CreateApplication(t.Context(), consent.Application{Slug: "other", Name: "Other", RedirectURIs: []string{appCallback}})
	require.NoError(t, err)
	calls := w.bank.Calls("reauthuri")

	for name, try := range map[string]func() error{
		"get":    func() error { _, err := w.Consent(t.Context(), &other, john.ID); return err },
		"events": func() error { _, err := w.Events(t.Context(), &other, john.ID, 0, 10); return err },
		"revoke": func() error { _, err := w.Revoke(t.Context(), &other, john.ID, "backend"); return err },
		"token":  func() error { _, err := w.Token(t.Context(), &other, john.ID, true); return err },
		"by id": func() error {
			_, err := w.Reauthorize(t.Context(), &other, connector.ReauthRequest{ConsentID: john.ID})
			return err
		},
		"by creds": func() error {
			_, err := w.Reauthorize(t.Context(), &other, connector.ReauthRequest{CredentialsID: john.CredentialsID})
			return err
		},
		"by token": func() error {
			_, err := w.Reauthorize(t.Context(), &other, connector.ReauthRequest{RefreshToken: token})
			return err
		},
		"attempt": func() error {
			_, err := w.CompleteForwarded(t.Context(), &other, connector.Forwarded{AttemptID: s.Attempt.ID}, ret)
			return err
		},
		"state": func() error {
			_, err := w.CompleteForwarded(t.Context(), &other, connector.Forwarded{State: s.Attempt.CallerState}, ret)
			return err
		},
		"link": func() error {
			_, err := w.NewReconnectLink(t.Context(), &other, john.ID, connector.ReconnectRequest{})
			return err
		},
		"erase":       func() error { return w.EraseUser(t.Context(), &other, "u1") },
		"confirm":     func() error { _, err := w.Confirm(t.Context(), &other, s.Attempt.ID, "x"); return err },
		"get attempt": func() error { _, err := w.Attempt(t.Context(), &other, s.Attempt.ID); return err },
	} {
		code := consent.CodeOf(try())
		assert.Contains(t, []consent.Code{consent.CodeConsentNotFound, consent.CodeAttemptNotFound, consent.CodeStateUnknown, consent.CodeUserNotFound}, code, name)
	}
	assert.Equal(t, calls, w.bank.Calls("reauthuri"))
	w.same(john)
}

func TestLaw9AFirstLinkCountsOnlyWhenConfirmed(t *testing.T) {
	w := newWorld(t, confirming)
	out, ret := w.hosted("u1", bankbrowser.John())

	assert.Equal(t, consent.AttemptPending, out.Attempt.Status)
	require.NotNil(t, out.Consent)
	assert.Equal(t, consent.Pending, w.StatusNow(out.Consent))
	assert.Empty(t, out.Consent.Tokens.Refresh)
	assert.Empty(t, out.Consent.Accounts)
	_, err := w.Token(t.Context(), w.app, out.Consent.ID, false)
	assert.Equal(t, consent.CodeConsentPending, consent.CodeOf(err))

	_, err = w.Confirm(t.Context(), w.app, out.Attempt.ID, out.Result+"x")
	assert.Equal(t, consent.CodeResultInvalid, consent.CodeOf(err))
	done, err := w.Confirm(t.Context(), w.app, out.Attempt.ID, out.Result)
	require.NoError(t, err)
	assert.Equal(t, consent.AttemptLinked, done.Attempt.Status)
	assert.Equal(t, consent.Active, w.StatusNow(done.Consent))
	w.works(*done.Consent)
	again, err := w.Confirm(t.Context(), w.app, out.Attempt.ID, out.Result)
	require.NoError(t, err)
	assert.Equal(t, done.Consent.ID, again.Consent.ID)
	_ = ret
}

func TestLaw9WhoKnowsOnlyTheStateLearnsNoResult(t *testing.T) {
	w := newWorld(t, confirming)
	s, err := w.StartLink(t.Context(), w.app, connector.LinkRequest{Provider: "truelayer", ProviderID: "mock", UserID: "thief", ReturnTo: appReturn})
	require.NoError(t, err)
	state, ret := w.visit(bankbrowser.John(), s.URI) // somebody else opens the link
	_, victim, err := w.CompleteHosted(t.Context(), state, ret)
	require.NoError(t, err)
	require.NotEmpty(t, victim.Result)

	_, thief, err := w.CompleteHosted(t.Context(), state, connector.Return{Code: "guess"})

	require.NoError(t, err)
	assert.Empty(t, thief.Result)
}

func TestLaw9WhatIsNeverConfirmedIsGivenBack(t *testing.T) {
	w := newWorld(t, confirming)
	out, _ := w.hosted("u1", bankbrowser.John())
	w.advance(2 * time.Hour)

	require.NoError(t, w.Upkeep(t.Context()))

	assert.Equal(t, 1, w.bank.Calls("delete"))
	c := w.get(out.Consent.ID)
	assert.Equal(t, consent.Revoked, w.StatusNow(&c))
	_, err := w.Confirm(t.Context(), w.app, out.Attempt.ID, out.Result)
	assert.NoError(t, err) // shows the outcome
	a, err := w.Attempt(t.Context(), w.app, out.Attempt.ID)
	require.NoError(t, err)
	assert.Equal(t, consent.AttemptFailed, a.Status)
	assert.Equal(t, "unconfirmed", a.Reason)
}

func TestLaw9AnExistingConsentIsHeldBackUntilConfirmed(t *testing.T) {
	w := newWorld(t, confirming)
	john := w.linked("u1", bankbrowser.John())
	w.advance(30 * day)
	out, _ := w.hosted("u1", bankbrowser.John())
	assert.Equal(t, consent.AttemptPending, out.Attempt.Status)
	assert.Equal(t, john.ID, out.Consent.ID)
	w.same(john)

	done, err := w.Confirm(t.Context(), w.app, out.Attempt.ID, out.Result)

	require.NoError(t, err)
	assert.Equal(t, consent.AttemptRenewed, done.Attempt.Status)
	assert.Equal(t, 2, done.Consent.Cycle)
	w.works(john)
}

// unrenewable asks for a renewal that comes too late.
func (w *world) unrenewable(c consent.Consent) *consent.Error {
	w.Helper()
	_, err := w.Reauthorize(w.Context(), w.app, connector.ReauthRequest{ConsentID: c.ID})
	e, ok := errors.AsType[*consent.Error](err)
	require.True(w, ok, "%v", err)
	require.Equal(w, consent.CodeConsentUnrenewable, e.Code)
	require.NotEmpty(w, e.AuthURI)
	return e
}

// hosted makes a first link whose browser returns to us.
func (w *world) hosted(user string, p bankbrowser.Person) (connector.Outcome, connector.Return) {
	w.Helper()
	s, err := w.StartLink(w.Context(), w.app, connector.LinkRequest{Provider: "truelayer", ProviderID: "mock", UserID: user, ReturnTo: appReturn})
	require.NoError(w, err)
	state, ret := w.visit(p, s.URI)
	_, out, err := w.CompleteHosted(w.Context(), state, ret)
	require.NoError(w, err)
	return out, ret
}
