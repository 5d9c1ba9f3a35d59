package connector_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
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

func TestLapsedFor89DaysIsRenewedFor91IsNot(t *testing.T) {
	w := newWorld(t)
	john := w.linked("u1", bankbrowser.John())
	w.advance(179 * day)
	require.Equal(t, consent.Lapsed, w.StatusNow(&john))
	s := w.reauth(john)
	_, ret := w.visit(bankbrowser.John(), s.URI)
	out := w.forward(s, ret)
	assert.Equal(t, consent.AttemptRenewed, out.Attempt.Status)
	assert.Equal(t, john.CredentialsID, out.Consent.CredentialsID)
	assert.WithinDuration(t, w.bank.Clock().Now().Add(90*day), out.Consent.ExpiresAt, time.Minute)
	w.works(john)

	w.advance(181 * day)
	e := w.unrenewable(john)
	assert.Equal(t, john.ID, e.ConsentID)
	assert.NotEmpty(t, e.AttemptID)
}

func TestARenewalGoesDirectlyToTheBanksLogin(t *testing.T) {
	w := newWorld(t)
	john := w.linked("u1", bankbrowser.John())
	v, err := bankbrowser.John().Go(t.Context(), w.reauth(john).URI)
	require.NoError(t, err)
	assert.Equal(t, []string{"Sign in to Mock Bank", "Allow access?"}, v.Pages)
}

func TestStateTravelsByteForByte(t *testing.T) {
	w := newWorld(t)
	john := w.linked("u1", bankbrowser.John())
	state := []byte("é &=+%2F/?#\x00\x01\n\u2028🏦\"<>")
	s, err := w.Reauthorize(t.Context(), w.app, connector.ReauthRequest{ConsentID: john.ID, State: state})
	require.NoError(t, err)
	back, ret := w.visit(bankbrowser.John(), s.URI)
	assert.Equal(t, string(state), back)
	out, err := w.CompleteForwarded(t.Context(), w.app, connector.Forwarded{State: []byte(back)}, ret)
	require.NoError(t, err)
	assert.Equal(t, consent.AttemptRenewed, out.Attempt.Status)
	assert.Equal(t, state, out.Attempt.CallerState)
}

func TestAStateThatSeveralLiveAttemptsHaveIsAmbiguous(t *testing.T) {
	w := newWorld(t)
	john, jane := w.linked("u1", bankbrowser.John()), w.linked("u2", bankbrowser.Numbered(2))
	for _, c := range []consent.Consent{john, jane} {
		_, err := w.Reauthorize(t.Context(), w.app, connector.ReauthRequest{ConsentID: c.ID, State: []byte("same")})
		require.NoError(t, err)
	}
	_, err := w.CompleteForwarded(t.Context(), w.app, connector.Forwarded{State: []byte("same")}, connector.Return{Code: "x"})
	assert.Equal(t, consent.CodeStateAmbiguous, consent.CodeOf(err))
}

func TestALiveAttemptIsReusedOnlyWhereNothingDiffers(t *testing.T) {
	w := newWorld(t)
	john := w.linked("u1", bankbrowser.John())
	base := connector.ReauthRequest{ConsentID: john.ID, State: []byte("a")}
	first, err := w.Reauthorize(t.Context(), w.app, base)
	require.NoError(t, err)
	ask := func(change func(*connector.ReauthRequest)) string {
		req := base
		change(&req)
		s, err := w.Reauthorize(t.Context(), w.app, req)
		require.NoError(t, err)
		return s.Attempt.ID
	}
	same := func(*connector.ReauthRequest) {}
	assert.Equal(t, first.Attempt.ID, ask(same))
	assert.NotEqual(t, first.Attempt.ID, ask(func(r *connector.ReauthRequest) { r.State = []byte("b") }))
	assert.NotEqual(t, first.Attempt.ID, ask(func(r *connector.ReauthRequest) { r.State = nil }))
	assert.NotEqual(t, first.Attempt.ID, ask(func(r *connector.ReauthRequest) { r.ReturnTo = appReturn }))
	assert.NotEqual(t, first.Attempt.ID, ask(func(r *connector.ReauthRequest) { r.Inputs = map[string]string{"x": "y"} }))
	link, err := w.NewReconnectLink(t.Context(), w.app, john.ID, connector.ReconnectRequest{State: []byte("a")})
	require.NoError(t, err)
	_, pressed, err := w.PressReconnectLink(t.Context(), link.URL[len(ourBase+"/r/"):])
	require.NoError(t, err)
	assert.NotEqual(t, first.Attempt.ID, pressed.Attempt.ID, "a page's attempt is a new one")
	w.advance(61 * time.Second)
	assert.NotEqual(t, first.Attempt.ID, ask(same), "after a minute it is a new one")

	_, ret := w.visit(bankbrowser.John(), first.URI)
	assert.Equal(t, consent.AttemptRenewed, w.forward(first, ret).Attempt.Status, "the old one stays completable")
}

func TestAConsentIsFoundByAnyTokenThatItEverHad(t *testing.T) {
	w := newWorld(t)
	john := w.linked("u1", bankbrowser.John())
	old := w.refreshToken(john)
	w.fault("refresh_token_rotates")
	w.works(john)
	newest := w.refreshToken(john)
	require.NotEqual(t, old, newest)
	for _, token := range []string{old, newest} {
		s, err := w.Reauthorize(t.Context(), w.app, connector.ReauthRequest{RefreshToken: token})
		require.NoError(t, err)
		assert.Equal(t, john.ID, s.Consent.ID)
	}
	_, err := w.Reauthorize(t.Context(), w.app, connector.ReauthRequest{RefreshToken: newest, ConsentID: w.linked("u2", bankbrowser.Numbered(4)).ID})
	assert.Equal(t, consent.CodeConsentNotFound, consent.CodeOf(err), "identifiers that do not agree")
}

// crash stands in for a process that dies: nothing after it runs.
func crash() error { panic(crashed) }

const crashed = "the machine went away"

func TestACrashBetweenExchangeAndCommitIsRecovered(t *testing.T) {
	for _, tt := range []struct {
		name   string
		breaks func(*faultyRegistry)
		mend   func(*faultyRegistry)
		fault  string
	}{
		{"after the grant was kept", func(r *faultyRegistry) { r.onRenew = crash }, func(r *faultyRegistry) { r.onRenew = nil }, ""},
		{"before the grant was kept, the token stays the same", func(r *faultyRegistry) { r.onKeepGrant = crash }, func(r *faultyRegistry) { r.onKeepGrant = nil }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			john := w.linked("u1", bankbrowser.John())
			w.advance(60 * day)
			s := w.reauth(john)
			_, ret := w.visit(bankbrowser.John(), s.URI)
			tt.breaks(w.reg)
			assert.PanicsWithValue(t, crashed, func() { w.forward(s, ret) })
			w.same(john)
			tt.mend(w.reg)
			w.advance(3 * time.Minute) // the claim goes stale

			require.NoError(t, w.Upkeep(t.Context()))

			renewed := w.get(john.ID)
			assert.Equal(t, 2, renewed.Cycle)
			assert.True(t, renewed.ExpiresAt.After(john.ExpiresAt.Add(50*day)))
			a, err := w.Attempt(t.Context(), w.app, s.Attempt.ID)
			require.NoError(t, err)
			assert.Equal(t, consent.AttemptRenewed, a.Status)
			w.works(john)
		})
	}
}

func TestACrashThatTheProviderCannotTellOfEndsInterrupted(t *testing.T) {
	w := newWorld(t)
	john := w.linked("u1", bankbrowser.John())
	w.advance(60 * day)
	s := w.reauth(john)
	_, ret := w.visit(bankbrowser.Numbered(6), s.URI) // renews nothing of john's
	w.reg.onKeepGrant = crash
	assert.PanicsWithValue(t, crashed, func() { w.forward(s, ret) })
	w.reg.onKeepGrant = nil
	w.advance(3 * time.Minute)

	require.NoError(t, w.Upkeep(t.Context()))

	a, err := w.Attempt(t.Context(), w.app, s.Attempt.ID)
	require.NoError(t, err)
	assert.Equal(t, consent.AttemptInterrupted, a.Status)
	w.same(john)
	w.works(john)
	assert.Contains(t, w.types(john), consent.EventAttemptInterrupted)
}

func TestBanksThatNeedInputs(t *testing.T) {
	w := newWorld(t)
	person := bankbrowser.Person{User: "john", Password: "doe", Fields: map[string]string{"branch": "Lyon", "iban": "DE02120300000000202051", "branch_code": "12030000"}}
	for bank, names := range map[string][]string{"mock-fr": {"branch"}, "mock-de": {"iban", "branch_code"}} {
		t.Run(bank, func(t *testing.T) {
			c := w.linkedAt("u-"+bank, person, bank)

			_, err := w.Reauthorize(t.Context(), w.app, connector.ReauthRequest{ConsentID: c.ID})
			e, ok := errors.AsType[*consent.Error](err)
			require.True(t, ok)
			assert.Equal(t, consent.CodeAuthInputsRequired, e.Code)
			var got []string
			for _, in := range e.Inputs {
				got = append(got, in.Name)
				assert.NotEmpty(t, in.Source)
			}
			assert.Equal(t, names, got)
			assert.NotEmpty(t, e.AuthURI)

			given := map[string]string{}
			for _, n := range names {
				given[n] = "x"
			}
			s, err := w.Reauthorize(t.Context(), w.app, connector.ReauthRequest{ConsentID: c.ID, Inputs: given})
			require.NoError(t, err)
			assert.Equal(t, consent.KindRelink, s.Attempt.Kind, "TrueLayer takes no inputs: its dialog does")
			assert.Contains(t, s.URI, "provider_id="+bank)
			_, ret := w.visit(person, s.URI)
			out := w.forward(s, ret)
			assert.Equal(t, consent.AttemptRenewed, out.Attempt.Status)
			assert.Equal(t, c.ID, out.Consent.ID)
		})
	}
}

// inputTaker is a provider that can carry what a bank needs.
type inputTaker struct {
	*truelayer.Client
	took *map[string]string
}

func (p inputTaker) Inputs(string) []provider.Input {
	return []provider.Input{{Name: "branch", Label: "Branch", Source: "a test"}}
}

func (p inputTaker) ReauthURL(ctx context.Context, req provider.ReauthRequest) (string, error) {
	*p.took = req.Inputs
	return p.Client.ReauthURL(ctx, req)
}

func TestInputsArePassedOnToAProviderThatTakesThem(t *testing.T) {
	var took map[string]string
	w := newWorld(t, withProvider(func(cfg provider.Config, deps provider.Deps) (provider.Provider, error) {
		p, err := truelayer.Open(cfg, deps)
		return inputTaker{p.(*truelayer.Client), &took}, err
	}))
	john := w.linked("u1", bankbrowser.John())
	_, err := w.Reauthorize(t.Context(), w.app, connector.ReauthRequest{ConsentID: john.ID})
	assert.Equal(t, consent.CodeAuthInputsRequired, consent.CodeOf(err))
	s, err := w.Reauthorize(t.Context(), w.app, connector.ReauthRequest{ConsentID: john.ID, Inputs: map[string]string{"branch": "Lyon"}})
	require.NoError(t, err)
	assert.Equal(t, consent.KindReauthorize, s.Attempt.Kind)
	assert.Equal(t, map[string]string{"branch": "Lyon"}, took)
}

func TestCustodyBackendIsNeverRefreshedUnasked(t *testing.T) {
	w := newWorld(t)
	login, err := w.bank.Authorise(t.Context(), "client", "mock", "john3", appCallback, []string{"info", "accounts", "offline_access"}, w.bank.Clock().Now())
	require.NoError(t, err)
	con, err := w.Register(t.Context(), w.app, connector.NewConsent{
		CredentialsID: login.CredentialsID, RefreshToken: "older-than-the-one-in-force", Provider: "truelayer", ProviderID: "mock",
		UserID: "u1", RedirectURI: appCallback, ConsentedAt: w.bank.Clock().Now(), Custody: consent.CustodyBackend,
	})
	require.NoError(t, err)
	w.advance(85 * day)
	require.NoError(t, w.Upkeep(t.Context()))
	s := w.reauthFails(con) // its token is not the newest
	assert.Zero(t, w.bank.Calls("token:refresh_token"))
	_ = s

	_, err = w.HandIn(t.Context(), w.app, con.ID, login.RefreshToken)
	require.NoError(t, err)
	s2 := w.reauth(con)
	_, ret := w.visit(bankbrowser.Numbered(3), s2.URI)
	assert.Equal(t, consent.AttemptRenewed, w.forward(s2, ret).Attempt.Status)
	assert.Zero(t, w.bank.Calls("token:refresh_token"))
	w.works(con) // asked

	john := w.linked("u2", bankbrowser.John())
	_, err = w.HandIn(t.Context(), w.app, john.ID, "x")
	assert.Equal(t, consent.CodeCustodyOurs, consent.CodeOf(err))
}

func (w *world) reauthFails(c consent.Consent) *consent.Error {
	w.Helper()
	_, err := w.Reauthorize(w.Context(), w.app, connector.ReauthRequest{ConsentID: c.ID})
	e, ok := errors.AsType[*consent.Error](err)
	require.True(w, ok, "%v", err)
	return e
}

func TestFiftyCallersMakeOneRefresh(t *testing.T) {
	w := newWorld(t)
	john := w.linked("u1", bankbrowser.John())
	w.advance(2 * time.Hour)
	w.fault("refresh_token_rotates")
	before := w.bank.Calls("token:refresh_token")
	replicas := []*connector.Connector{w.Connector, w.another(provider.Catalog{"truelayer": truelayer.Adapter})}
	tokens := make([]string, 50)
	var group sync.WaitGroup
	for i := range tokens {
		group.Go(func() {
			got, err := replicas[i%2].Token(t.Context(), w.app, john.ID, false)
			assert.NoError(t, err)
			tokens[i] = got.Token
		})
	}
	group.Wait()
	assert.Equal(t, before+1, w.bank.Calls("token:refresh_token"))
	for _, token := range tokens {
		assert.Equal(t, tokens[0], token)
	}
	w.works(john)
}

func TestARotatedTokenSurvivesADatabaseThatIsAway(t *testing.T) {
	w := newWorld(t)
	john := w.linked("u1", bankbrowser.John())
	w.fault("refresh_token_rotates")
	failures := 3
	w.reg.onStoreTokens = func() error {
		if failures == 0 {
			return nil
		}
		failures--
		return errors.New("the database is away")
	}
	w.works(john)
	assert.Zero(t, failures)
	w.works(john) // with the rotated token: the old one is dead
}

func TestRevokingGivesTheGrantBack(t *testing.T) {
	w := newWorld(t)
	john := w.linked("u1", bankbrowser.John())
	w.fault("internal_error") // the provider is away at first
	c, err := w.Revoke(t.Context(), w.app, john.ID, connector.ByUser)
	require.NoError(t, err)
	assert.Equal(t, consent.Revoked, w.StatusNow(&c))
	assert.Empty(t, c.Tokens.Refresh)
	assert.Zero(t, w.bank.Calls("delete"))
	_, err = w.Token(t.Context(), w.app, john.ID, false)
	assert.Equal(t, consent.CodeConsentRevoked, consent.CodeOf(err))

	w.advance(2 * time.Minute)
	require.NoError(t, w.Upkeep(t.Context()))
	assert.Equal(t, 1, w.bank.Calls("delete"))

	again, err := w.Revoke(t.Context(), w.app, john.ID, connector.ByBackend)
	require.NoError(t, err)
	assert.Equal(t, connector.ByUser, again.RevokedBy)
	require.NoError(t, w.Upkeep(t.Context()))
	assert.Equal(t, 1, w.bank.Calls("delete"))
}

func TestErasingAPersonEndsEverythingOfTheirs(t *testing.T) {
	w := newWorld(t)
	_, err := w.PutUser(t.Context(), w.app, "u1", connector.Contact{Email: "ada.lovelace@example.org", Name: "Ada"})
	require.NoError(t, err)
	one, two := w.linked("u1", bankbrowser.John()), w.linked("u1", bankbrowser.Numbered(8))
	link, err := w.NewReconnectLink(t.Context(), w.app, one.ID, connector.ReconnectRequest{})
	require.NoError(t, err)

	require.NoError(t, w.EraseUser(t.Context(), w.app, "u1"))

	assert.Equal(t, 2, w.bank.Calls("delete"))
	_, err = w.User(t.Context(), w.app, "u1")
	assert.Equal(t, consent.CodeUserNotFound, consent.CodeOf(err))
	for _, c := range []consent.Consent{w.get(one.ID), w.get(two.ID)} {
		assert.Equal(t, consent.Revoked, w.StatusNow(&c))
		assert.NotContains(t, c.UserID, "u1")
		assert.Empty(t, c.Accounts)
	}
	v, err := w.OpenReconnectLink(t.Context(), link.URL[len(ourBase+"/r/"):])
	require.NoError(t, err)
	assert.Equal(t, connector.LinkEnded, v.State)
	assert.Empty(t, v.User)
	assert.Empty(t, v.Consent.AccountLabel)
	assert.Equal(t, consent.CodeUserNotFound, consent.CodeOf(w.EraseUser(t.Context(), w.app, "u1")))
}

func TestAReconnectLinkLivesUntilTheRenewal(t *testing.T) {
	w := newWorld(t)
	john := w.linked("u1", bankbrowser.John())
	made, err := w.NewReconnectLink(t.Context(), w.app, john.ID, connector.ReconnectRequest{})
	require.NoError(t, err)
	token := made.URL[len(ourBase+"/r/"):]
	calls := w.bank.Calls("reauthuri")
	for range 3 {
		v, err := w.OpenReconnectLink(t.Context(), token)
		require.NoError(t, err)
		assert.Equal(t, connector.LinkReady, v.State)
	}
	assert.Equal(t, calls, w.bank.Calls("reauthuri"), "opening called the provider")
	w.same(john)

	_, robot, err := w.PressReconnectLink(t.Context(), token)
	require.NoError(t, err)
	_, human, err := w.PressReconnectLink(t.Context(), token)
	require.NoError(t, err)
	assert.NotEqual(t, robot.Attempt.ID, human.Attempt.ID)
	state, ret := w.visit(bankbrowser.John(), human.URI)
	out, err := w.CompleteForwarded(t.Context(), w.app, connector.Forwarded{State: []byte(state)}, ret)
	require.NoError(t, err)
	assert.Equal(t, consent.AttemptRenewed, out.Attempt.Status)

	v, _, err := w.PressReconnectLink(t.Context(), token)
	require.NoError(t, err)
	assert.Equal(t, connector.LinkRenewed, v.State)
	for _, bad := range []string{"", "acme", token[:len(token)-1], token + "x", "other." + token[5:], "acme."} {
		_, err := w.OpenReconnectLink(t.Context(), bad)
		assert.True(t, connector.IsUnknownLink(err), bad)
	}
}

func TestARotatedTokenSurvivesADatabaseThatIsAwayForLongerThanItsCallerWaits(t *testing.T) {
	t.Parallel() // it takes as long as a caller waits
	w := newWorld(t)
	john := w.linked("u1", bankbrowser.John())
	w.fault("refresh_token_rotates")
	var away atomic.Bool
	away.Store(true)
	w.reg.onStoreTokens = func() error {
		if away.Load() {
			return errors.New("the database is away")
		}
		return nil
	}
	_, err := w.Token(t.Context(), w.app, john.ID, true)
	require.Error(t, err)
	before := w.bank.Calls("token:refresh_token")
	_, err = w.Token(t.Context(), w.app, john.ID, true)
	assert.Equal(t, consent.CodeProviderUnavailable, consent.CodeOf(err))
	assert.Equal(t, before, w.bank.Calls("token:refresh_token"), "the old token is not sent again")
	away.Store(false)
	require.NoError(t, w.Drain(t.Context()))
	w.works(john)
}
