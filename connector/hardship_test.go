package connector_test

import (
	"context"
	"io"
	"net/http"
	"strings"
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

// What goes wrong between us and a bank, in an order that nobody planned. The
// consent has to live through all of it.

// wire stands between the adapter and the bank.
type wire func(r *http.Request) (*http.Response, error)

func (f wire) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func through(f wire) option {
	return withProvider(func(cfg provider.Config, d provider.Deps) (provider.Provider, error) {
		d.HTTP = &http.Client{Transport: f}
		return truelayer.Open(cfg, d)
	})
}

// hangUp is a caller who goes away while the provider's answer to a token call
// is on its way.
type hangUp struct {
	cancel atomic.Pointer[context.CancelFunc]
}

func (h *hangUp) wire(r *http.Request) (*http.Response, error) {
	cancel := h.cancel.Load()
	if cancel == nil || !strings.HasSuffix(r.URL.Path, "/connect/token") {
		return http.DefaultTransport.RoundTrip(r)
	}
	resp, err := http.DefaultTransport.RoundTrip(r.WithContext(context.WithoutCancel(r.Context())))
	(*cancel)()
	if r.Context().Err() != nil {
		return nil, r.Context().Err()
	}
	return resp, err
}

// during returns a context that is over once the bank has answered.
func (h *hangUp) during(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	h.cancel.Store(&cancel)
	t.Cleanup(cancel)
	return ctx
}

func TestACallerWhoHangsUpCostsNeitherCodeNorToken(t *testing.T) {
	var h hangUp
	w := newWorld(t, through(h.wire))
	con := w.linked("u", bankbrowser.John())
	s := w.reauth(con)
	_, ret := w.visit(bankbrowser.John(), s.URI)
	_, err := w.CompleteForwarded(h.during(t), w.app, connector.Forwarded{AttemptID: s.Attempt.ID}, ret)
	require.Error(t, err)
	h.cancel.Store(nil)
	out := w.forward(s, ret)
	assert.Equal(t, consent.AttemptRenewed, out.Attempt.Status, out.Attempt.Reason)

	w.fault("refresh_token_rotates")
	before := w.refreshToken(con)
	_, _ = w.Token(h.during(t), w.app, con.ID, true)
	h.cancel.Store(nil)
	assert.NotEqual(t, before, w.refreshToken(con), "what was rotated is kept")
	w.works(con)
}

func TestAGrantOfUnknownOwnerIsNotGivenBackOverAGoodConsent(t *testing.T) {
	w := newWorld(t)
	con := w.linked("u", bankbrowser.John())
	s1, s2 := w.reauth(con), w.reauth(con)
	_, r1 := w.visit(bankbrowser.John(), s1.URI)
	_, r2 := w.visit(bankbrowser.John(), s2.URI)
	ctx, cancel := context.WithCancel(t.Context())
	w.reg.onKeepGrant = func() error { cancel(); return nil }
	_, err := w.CompleteForwarded(ctx, w.app, connector.Forwarded{AttemptID: s1.Attempt.ID}, r1)
	require.Error(t, err, "cut off before anybody was asked whose grant it is")
	w.reg.onKeepGrant = nil
	assert.Equal(t, consent.AttemptRenewed, w.forward(s2, r2).Attempt.Status)
	once := w.get(con.ID)
	w.advance(3 * time.Minute)
	require.NoError(t, w.Upkeep(t.Context()))
	w.same(once)
	a, err := w.Attempt(t.Context(), w.app, s1.Attempt.ID)
	require.NoError(t, err)
	assert.Equal(t, consent.AttemptRenewed, a.Status, "the first to return has won; this one shows its outcome")
	assert.Equal(t, 2, w.get(con.ID).Cycle)
	for range 2 {
		require.NoError(t, w.Upkeep(t.Context()))
		w.advance(3 * time.Hour)
	}
	require.NoError(t, w.Upkeep(t.Context()))
	assert.Zero(t, w.bank.Calls("delete"))
	w.works(con)
}

func TestARefusalToSayWhoseGrantItIsKillsNothing(t *testing.T) {
	var denied atomic.Bool
	w := newWorld(t, through(func(r *http.Request) (*http.Response, error) {
		if denied.Load() && strings.HasSuffix(r.URL.Path, "/me") {
			return answer(http.StatusForbidden, `{"error":"access_denied","error_description":"no"}`), nil
		}
		return http.DefaultTransport.RoundTrip(r)
	}))
	con := w.linked("u", bankbrowser.John())
	s := w.reauth(con)
	_, ret := w.visit(bankbrowser.John(), s.URI)
	denied.Store(true)
	out := w.forward(s, ret)
	denied.Store(false)
	assert.Equal(t, consent.AttemptFailed, out.Attempt.Status)
	require.Error(t, out.Err(), "the failure is ours to report")
	require.NoError(t, w.Upkeep(t.Context()))
	token, err := w.Token(t.Context(), w.app, con.ID, false)
	require.NoError(t, err)
	assert.Equal(t, http.StatusOK, w.read(token.Token), "the exchange has superseded the cached access token")
	w.same(con)
	w.works(con)
}

// read is what the bank answers to an access token.
func (w *world) read(access string) int {
	w.Helper()
	req, err := http.NewRequestWithContext(w.Context(), http.MethodGet, w.bankAt+"/data/v1/me", nil)
	require.NoError(w, err)
	req.Header.Set("Authorization", "Bearer "+access)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(w, err)
	require.NoError(w, resp.Body.Close())
	return resp.StatusCode
}

func answer(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body))}
}

func TestABankThatShowsNoAccountsIsRenewedByItsIdentity(t *testing.T) {
	var cards atomic.Bool
	w := newWorld(t, through(func(r *http.Request) (*http.Response, error) {
		if cards.Load() && strings.HasSuffix(r.URL.Path, "/accounts") {
			return answer(http.StatusNotImplemented, `{"error":"endpoint_not_supported","error_description":"cards only"}`), nil
		}
		return http.DefaultTransport.RoundTrip(r)
	}))
	cards.Store(true)
	con := w.linked("u", bankbrowser.John())
	assert.Empty(t, con.Accounts)
	s := w.reauth(con)
	_, ret := w.visit(bankbrowser.John(), s.URI)
	assert.Equal(t, consent.AttemptRenewed, w.forward(s, ret).Attempt.Status)
	s = w.reauth(con)
	_, ret = w.visit(bankbrowser.Numbered(3), s.URI)
	assert.Equal(t, consent.AttemptMismatched, w.forward(s, ret).Attempt.Status)
	w.works(con)
}

func TestSeveralTabsOfOneFirstLinkMakeOneConsentThatLives(t *testing.T) {
	w := newWorld(t)
	type tab struct {
		s   connector.Started
		ret connector.Return
	}
	tabs := make([]tab, 4)
	for i := range tabs {
		s, err := w.StartLink(t.Context(), w.app, connector.LinkRequest{Provider: "truelayer", ProviderID: "mock", UserID: "u", RedirectURI: appCallback})
		require.NoError(t, err)
		tabs[i].s = s
		_, tabs[i].ret = w.visit(bankbrowser.John(), s.URI)
	}
	var group sync.WaitGroup
	for _, tab := range tabs {
		group.Go(func() {
			_, _ = w.CompleteForwarded(t.Context(), w.app, connector.Forwarded{AttemptID: tab.s.Attempt.ID}, tab.ret)
		})
	}
	group.Wait()
	for range 3 {
		require.NoError(t, w.Upkeep(t.Context()))
		w.advance(90 * time.Minute)
	}
	all, err := w.Consents(t.Context(), w.app, consent.ListFilter{UserID: "u", Limit: 10})
	require.NoError(t, err)
	require.Len(t, all, 1)
	assert.Zero(t, w.bank.Calls("delete"))
	w.works(all[0])
}

func TestNobodysRenewalIsMadeOfAForgedCode(t *testing.T) {
	w := newWorld(t)
	now := w.bank.Clock().Now()
	login, err := w.bank.Authorise(t.Context(), "client", "mock", "john2", appCallback, []string{"info", "accounts", "offline_access"}, now)
	require.NoError(t, err)
	con, err := w.Register(t.Context(), w.app, connector.NewConsent{
		CredentialsID: login.CredentialsID, RefreshToken: login.RefreshToken, Provider: "truelayer", ProviderID: "mock",
		UserID: "v", RedirectURI: appCallback, ConsentedAt: now, ExpiresAt: now.Add(89 * day), // a day before the bank's own
	})
	require.NoError(t, err)
	s := w.reauth(con)
	w.fault("internal_error")
	_, err = w.CompleteForwarded(t.Context(), w.app, connector.Forwarded{AttemptID: s.Attempt.ID}, connector.Return{Code: "forged"})
	require.Error(t, err)
	w.advance(5 * time.Minute)
	require.NoError(t, w.Upkeep(t.Context()))
	a, err := w.Attempt(t.Context(), w.app, s.Attempt.ID)
	require.NoError(t, err)
	assert.Equal(t, consent.AttemptInterrupted, a.Status)
	assert.Equal(t, 1, w.get(con.ID).Cycle)
	w.works(con)
}

func TestAForgedCodeDoesNotDisplaceAGoodOne(t *testing.T) {
	for _, order := range []string{"good first", "forged first"} {
		t.Run(order, func(t *testing.T) {
			w := newWorld(t)
			con := w.linked("u", bankbrowser.John())
			s := w.reauth(con)
			_, good := w.visit(bankbrowser.John(), s.URI)
			first, second := good, connector.Return{Code: "forged"}
			if order == "forged first" {
				first, second = second, first
			}
			w.fault("internal_error")
			_, err := w.CompleteForwarded(t.Context(), w.app, connector.Forwarded{AttemptID: s.Attempt.ID}, first)
			require.Error(t, err)
			assert.Equal(t, consent.AttemptRenewed, w.forward(s, second).Attempt.Status)
			w.works(con)
		})
	}
}

func TestAReloadAfterACrashIsNotBlamedOnThePerson(t *testing.T) {
	w := newWorld(t)
	con := w.linked("u", bankbrowser.John())
	w.advance(60 * day)
	s := w.reauth(con)
	_, ret := w.visit(bankbrowser.John(), s.URI)
	w.reg.onKeepGrant = func() error { return consent.ErrNotFound }
	_, err := w.CompleteForwarded(t.Context(), w.app, connector.Forwarded{AttemptID: s.Attempt.ID}, ret)
	require.Error(t, err, "gone between exchange and commit")
	w.reg.onKeepGrant = nil
	w.advance(2 * time.Minute)
	assert.Equal(t, consent.AttemptRenewed, w.forward(s, ret).Attempt.Status, "the bank says that the person was there")
	assert.Equal(t, 2, w.get(con.ID).Cycle)
	w.works(con)
}

// meanwhile runs something between the look for a login's consents and what is
// done about them.
type meanwhile struct {
	consent.Registry
	once func()
}

func (m *meanwhile) FindConsents(ctx context.Context, app string, f consent.Find) ([]consent.Consent, error) {
	found, err := m.Registry.FindConsents(ctx, app, f)
	if once := m.once; once != nil {
		m.once = nil
		once()
	}
	return found, err
}

func TestAFirstLinkThatIsOvertakenShowsTheConsentAndFreesIt(t *testing.T) {
	w := newWorld(t)
	con := w.linked("u", bankbrowser.John())
	between := &meanwhile{Registry: w.store}
	w.reg.Registry = between
	s, err := w.StartLink(t.Context(), w.app, connector.LinkRequest{Provider: "truelayer", ProviderID: "mock", UserID: "u"})
	require.NoError(t, err)
	state, ret := w.visit(bankbrowser.John(), s.URI)
	between.once = func() {
		other := w.reauth(con)
		_, back := w.visit(bankbrowser.John(), other.URI)
		assert.Equal(t, consent.AttemptRenewed, w.forward(other, back).Attempt.Status)
	}
	_, out, err := w.CompleteHosted(t.Context(), state, ret)
	require.NoError(t, err)
	assert.Equal(t, consent.AttemptRenewed, out.Attempt.Status)
	require.NotNil(t, out.Consent)
	assert.Equal(t, con.ID, out.Consent.ID)
	now := w.bank.Clock().Now()
	_, err = w.store.Lease(t.Context(), w.app.ID, con.ID, "another", now, now.Add(time.Second))
	require.NoError(t, err, "nothing holds the consent")
}

func TestTheErasedComeBackToNothing(t *testing.T) {
	w := newWorld(t)
	s, err := w.StartLink(t.Context(), w.app, connector.LinkRequest{Provider: "truelayer", ProviderID: "mock", UserID: "gone", RedirectURI: appCallback})
	require.NoError(t, err)
	_, ret := w.visit(bankbrowser.John(), s.URI)
	require.NoError(t, w.EraseUser(t.Context(), w.app, "gone"))
	out := w.forward(s, ret)
	assert.Equal(t, consent.AttemptFailed, out.Attempt.Status)
	assert.Nil(t, out.Consent)
	assert.Zero(t, w.bank.Calls("token:authorization_code"))

	w = newWorld(t, confirming)
	pending, _ := w.hosted("gone", bankbrowser.John())
	require.NotNil(t, pending.Consent)
	require.NoError(t, w.EraseUser(t.Context(), w.app, "gone"))
	assert.Equal(t, 1, w.bank.Calls("delete"), "what was not confirmed is given back")
	assert.ErrorContains(t, w.EraseUser(t.Context(), w.app, "gone"), "no such user")
}

func TestErasingAtOnceIsErasingOnce(t *testing.T) {
	w := newWorld(t)
	w.linked("u", bankbrowser.John())
	_, err := w.PutUser(t.Context(), w.app, "u", connector.Contact{Email: "u@example.org"})
	require.NoError(t, err)
	var group sync.WaitGroup
	var done atomic.Int32
	for range 8 {
		group.Go(func() {
			err := w.EraseUser(t.Context(), w.app, "u")
			if err == nil {
				done.Add(1)
			} else {
				assert.Equal(t, consent.CodeUserNotFound, consent.CodeOf(err), "%v", err)
			}
		})
	}
	group.Wait()
	assert.Positive(t, done.Load())
}

func TestARenewalDecidesWhereTheOriginalLinkIsUnknown(t *testing.T) {
	w := newWorld(t)
	login, err := w.bank.Authorise(t.Context(), "client", "mock", "john2", appCallback, []string{"info", "accounts", "offline_access"}, w.bank.Clock().Now())
	require.NoError(t, err)
	con, err := w.Register(t.Context(), w.app, connector.NewConsent{
		CredentialsID: login.CredentialsID, RefreshToken: login.RefreshToken, Provider: "truelayer", ProviderID: "mock", UserID: "v", ConsentedAt: w.bank.Clock().Now(),
	})
	require.NoError(t, err)
	s, err := w.Reauthorize(t.Context(), w.app, connector.ReauthRequest{ConsentID: con.ID, RedirectURI: appCallback})
	require.NoError(t, err)
	_, ret := w.visit(bankbrowser.Numbered(2), s.URI)
	assert.Equal(t, consent.AttemptRenewed, w.forward(s, ret).Attempt.Status)
	assert.Equal(t, appCallback, w.get(con.ID).RedirectURI)
}

func TestAStrangersUnconfirmedLinkIsInNobodysWay(t *testing.T) {
	w := newWorld(t, confirming)
	con := w.linked("owner", bankbrowser.John())
	s, err := w.StartLink(t.Context(), w.app, connector.LinkRequest{Provider: "truelayer", ProviderID: "mock", UserID: "stranger", ReturnTo: appReturn})
	require.NoError(t, err)
	state, ret := w.visit(bankbrowser.John(), s.URI)
	_, out, err := w.CompleteHosted(t.Context(), state, ret)
	require.NoError(t, err)
	require.Equal(t, consent.AttemptPending, out.Attempt.Status)
	started, err := w.Reauthorize(t.Context(), w.app, connector.ReauthRequest{CredentialsID: con.CredentialsID})
	require.NoError(t, err)
	assert.Equal(t, con.ID, started.Consent.ID)
	_, err = w.Reauthorize(t.Context(), w.app, connector.ReauthRequest{ConsentID: con.ID, UserID: "stranger"})
	assert.Equal(t, consent.CodeConsentNotFound, consent.CodeOf(err), "what is given must agree")
}

func TestTheCallbackCallIsItselfAConfirmation(t *testing.T) {
	w := newWorld(t, confirming)
	s, err := w.StartLink(t.Context(), w.app, connector.LinkRequest{Provider: "truelayer", ProviderID: "mock", UserID: "u", ReturnTo: appReturn})
	require.NoError(t, err)
	state, ret := w.visit(bankbrowser.John(), s.URI)
	_, _, err = w.CompleteHosted(t.Context(), state, ret)
	require.NoError(t, err)
	_, err = w.CompleteForwarded(t.Context(), w.app, connector.Forwarded{AttemptID: s.Attempt.ID}, connector.Return{Code: "a guess"})
	assert.Equal(t, consent.CodeConsentPending, consent.CodeOf(err))
	out := w.forward(s, ret)
	assert.Equal(t, consent.AttemptLinked, out.Attempt.Status)
	assert.Equal(t, consent.Active, w.StatusNow(out.Consent))
}

func TestWhatABrowserSaysIsNotTakenForAReasonOfOurs(t *testing.T) {
	w := newWorld(t)
	con := w.linked("u", bankbrowser.John())
	for _, said := range []string{"consent_revoked", "unconfirmed", "provider_misconfigured", "server_error", "<script>"} {
		s := w.reauth(con)
		out := w.forward(s, connector.Return{Error: said})
		assert.Equal(t, consent.AttemptFailed, out.Attempt.Status)
		require.NoError(t, out.Err(), said)
		assert.True(t, strings.HasPrefix(out.Attempt.Reason, "bank:"), out.Attempt.Reason)
	}
	w.same(con)
}

func TestTwoRefusalsAnHourApartEndAConsentEarly(t *testing.T) {
	w := newWorld(t)
	con := w.linked("u", bankbrowser.John())
	refuse := func() {
		t.Helper()
		w.fault("invalid_grant_early")
		_, err := w.Token(t.Context(), w.app, con.ID, true)
		require.Equal(t, consent.CodeReauthRequired, consent.CodeOf(err), "%v", err)
	}
	refuse()
	w.advance(30 * time.Minute)
	refuse()
	assert.Equal(t, consent.Active, w.StatusNow(ptr(w.get(con.ID))), "within the hour it may be a fault of the network")
	w.works(con) // and a success wipes the slate clean
	w.advance(2 * time.Hour)
	refuse()
	assert.Equal(t, consent.Active, w.StatusNow(ptr(w.get(con.ID))))
	w.advance(61 * time.Minute)
	refuse()
	got := w.get(con.ID)
	assert.Equal(t, consent.Lapsed, w.StatusNow(&got))
	assert.True(t, got.EndedEarly())
	assert.Equal(t, con.ExpiresAt, got.ExpiresAt, "the forecast stays on record")
	assert.Equal(t, got.EndedAt.Add(90*day), got.RenewableUntil, "renewable for the usual window from that moment")
	assert.Equal(t, got.EndedAt, got.NextStageAt, "its lapse is due to be announced")
	assert.Equal(t, consent.EventEndedEarly, w.types(con)[len(w.types(con))-1])

	s := w.reauth(con)
	_, ret := w.visit(bankbrowser.John(), s.URI)
	assert.Equal(t, consent.AttemptRenewed, w.forward(s, ret).Attempt.Status)
	w.works(con)
}

func TestNoFaultOfTheProviderEndsAConsent(t *testing.T) {
	w := newWorld(t)
	con := w.linked("u", bankbrowser.John())
	for _, fault := range []string{"internal_error", "rate_limited", "internal_error"} {
		w.fault(fault)
		_, err := w.Token(t.Context(), w.app, con.ID, true)
		require.Error(t, err)
		w.advance(2 * time.Hour)
	}
	w.works(con)
	w.same(con)
}

func TestALinkPressedTwiceNeedsNoAttemptToBeNamed(t *testing.T) {
	w := newWorld(t)
	con := w.linked("u", bankbrowser.John())
	link, err := w.NewReconnectLink(t.Context(), w.app, con.ID, connector.ReconnectRequest{State: []byte("mail")})
	require.NoError(t, err)
	token := link.URL[strings.LastIndex(link.URL, "/")+1:]
	presses := make([]connector.Started, 3) // a scanner's may come before the person's, or after
	for i := range presses {
		_, presses[i], err = w.PressReconnectLink(t.Context(), token)
		require.NoError(t, err)
	}
	state, ret := w.visit(bankbrowser.John(), presses[1].URI)
	assert.Equal(t, "mail", state)
	for range 2 {
		out, err := w.CompleteForwarded(t.Context(), w.app, connector.Forwarded{State: []byte(state)}, ret)
		require.NoError(t, err)
		require.NoError(t, out.Err())
		assert.Equal(t, consent.AttemptRenewed, out.Attempt.Status)
	}
	assert.Equal(t, 2, w.get(con.ID).Cycle)
}

func TestAnUnconfirmedLinkIsNotGivenBackOverAnotherThatWaits(t *testing.T) {
	w := newWorld(t, confirming)
	link := func(user string) (connector.Started, connector.Outcome) {
		s, err := w.StartLink(t.Context(), w.app, connector.LinkRequest{Provider: "truelayer", ProviderID: "mock", UserID: user, ReturnTo: appReturn})
		require.NoError(t, err)
		state, ret := w.visit(bankbrowser.John(), s.URI)
		_, out, err := w.CompleteHosted(t.Context(), state, ret)
		require.NoError(t, err)
		require.Equal(t, consent.AttemptPending, out.Attempt.Status)
		return s, out
	}
	link("stranger")
	w.advance(50 * time.Minute)
	s, out := link("owner")
	w.advance(11 * time.Minute)
	require.NoError(t, w.Upkeep(t.Context())) // the stranger's hour is over
	done, err := w.Confirm(t.Context(), w.app, s.Attempt.ID, out.Result)
	require.NoError(t, err)
	assert.Equal(t, consent.AttemptLinked, done.Attempt.Status)
	w.works(*done.Consent)
}

func TestErasingDoesNotWaitForAProviderThatIsDown(t *testing.T) {
	w := newWorld(t)
	con := w.linked("u", bankbrowser.John())
	s := w.reauth(con)
	_, ret := w.visit(bankbrowser.John(), s.URI)
	w.fault("internal_error")
	_, err := w.CompleteForwarded(t.Context(), w.app, connector.Forwarded{AttemptID: s.Attempt.ID}, ret)
	require.Error(t, err)
	require.NoError(t, w.EraseUser(t.Context(), w.app, "u"))
	got := w.get(con.ID)
	assert.Equal(t, consent.Revoked, w.StatusNow(&got))
	assert.Equal(t, consent.AttemptFailed, w.forward(s, ret).Attempt.Status)
}

func ptr[T any](v T) *T { return &v }

func TestAnAttemptThatWaitsForTheProviderLeavesNoDeadAccessToken(t *testing.T) {
	var down atomic.Bool
	w := newWorld(t, through(func(r *http.Request) (*http.Response, error) {
		if down.Load() && strings.HasSuffix(r.URL.Path, "/me") {
			return answer(http.StatusBadGateway, `{"error":"provider_error"}`), nil
		}
		return http.DefaultTransport.RoundTrip(r)
	}))
	con := w.linked("u", bankbrowser.John())
	s := w.reauth(con)
	_, ret := w.visit(bankbrowser.John(), s.URI)
	down.Store(true)
	_, err := w.CompleteForwarded(t.Context(), w.app, connector.Forwarded{AttemptID: s.Attempt.ID}, ret)
	require.Equal(t, consent.CodeProviderUnavailable, consent.CodeOf(err), "%v", err)
	down.Store(false)
	token, err := w.Token(t.Context(), w.app, con.ID, false)
	require.NoError(t, err)
	assert.Equal(t, http.StatusOK, w.read(token.Token))
	assert.Equal(t, consent.AttemptRenewed, w.forward(s, ret).Attempt.Status)
	w.works(con)
}

func TestTwoUsersWithOneBankLoginServeNoDeadAccessToken(t *testing.T) {
	w := newWorld(t)
	reads := func(con consent.Consent) {
		t.Helper()
		token, err := w.Token(t.Context(), w.app, con.ID, false)
		require.NoError(t, err)
		assert.Equal(t, http.StatusOK, w.read(token.Token))
	}
	ada := w.linked("ada", bankbrowser.John())
	grace := w.linked("grace", bankbrowser.John()) // at the bank they are one
	reads(ada)
	reads(grace)
	reads(ada)
	s := w.reauth(grace)
	_, ret := w.visit(bankbrowser.John(), s.URI)
	assert.Equal(t, consent.AttemptRenewed, w.forward(s, ret).Attempt.Status)
	reads(ada)
}
