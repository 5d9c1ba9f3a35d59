package connector_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
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

func (w *world) reconcile() {
	w.Helper()
	require.NoError(w, w.Reconcile(w.Context()))
}

// crowd registers so many consents of one bank that are good there.
func (w *world) crowd(bank string, from, n int, custody consent.Custody) []consent.Consent {
	w.Helper()
	now := w.bank.Clock().Now()
	in := make([]connector.NewConsent, n)
	for i := range in {
		login, err := w.bank.Authorise(w.Context(), "client", bank, fmt.Sprintf("john%d", from+i), appCallback, []string{"info", "accounts", "offline_access"}, now)
		require.NoError(w, err)
		in[i] = connector.NewConsent{
			CredentialsID: login.CredentialsID, RefreshToken: login.RefreshToken, Provider: "truelayer", ProviderID: bank,
			UserID: fmt.Sprintf("user%d", from+i), Email: fmt.Sprintf("user%d@example.org", from+i), RedirectURI: appCallback, ConsentedAt: now, Custody: custody,
		}
	}
	results, err := w.RegisterAll(w.Context(), w.app, in, false)
	require.NoError(w, err)
	cons := make([]consent.Consent, n)
	for i, r := range results {
		require.NoError(w, r.Err)
		require.True(w, r.Added)
		cons[i] = r.Consent
	}
	return cons
}

// checkDue is when every consent has come half way to the idle limit.
const checkDue = 20 * day

func (w *world) faults(name string, times int) {
	w.Helper()
	require.NoError(w, w.bank.SetFault(name, times))
}

func (w *world) refreshes() int { return w.bank.Calls("token:refresh_token") }

// live fails the test unless no consent has ended.
func (w *world) live(cons ...consent.Consent) {
	w.Helper()
	for _, con := range cons {
		got := w.get(con.ID)
		require.Equal(w, consent.Active, w.StatusNow(&got), con.ID)
		require.True(w, got.EndedAt.IsZero())
	}
}

// alarms lists kinds and banks, also of those that are over.
func (w *world) alarms() (open, all []string) {
	w.Helper()
	list, err := w.Alarms(w.Context(), w.app, true)
	require.NoError(w, err)
	for _, a := range list {
		line := strings.TrimSpace(string(a.Kind) + " " + a.ProviderID)
		all = append(all, line)
		if a.ClosedAt.IsZero() {
			open = append(open, line)
		}
	}
	return open, all
}

func (w *world) hold(about ...consent.Consent) string {
	w.Helper()
	held, until, err := w.Held(w.Context(), w.app, about)
	require.NoError(w, err)
	why := strings.Join(held, "")
	require.Equal(w, why == "", until.IsZero())
	if why != "" {
		require.True(w, until.After(w.bank.Clock().Now()))
	}
	return why
}

func TestAnIdleConsentIsRefreshedBeforeItsTokenIsForgotten(t *testing.T) {
	w := newWorld(t)
	w.fault("idle_limit")
	con := w.linked("u", bankbrowser.John())
	for step := 1; step <= 4; step++ {
		w.advance(20 * day)
		w.reconcile()
		assert.Equal(t, step, w.refreshes())
		w.reconcile()
		assert.Equal(t, step, w.refreshes(), "once is enough")
	}
	w.works(con)

	forgotten := newWorld(t)
	forgotten.fault("idle_limit")
	con = forgotten.linked("u", bankbrowser.John())
	forgotten.advance(31 * day)
	_, err := forgotten.Token(t.Context(), forgotten.app, con.ID, true)
	assert.Equal(t, consent.CodeReauthRequired, consent.CodeOf(err), "so it goes where nobody refreshes")
}

func TestConsentsThatTheBackendRefreshesAreNeverAskedAbout(t *testing.T) {
	w := newWorld(t)
	cons := w.crowd("mock", 1, 3, consent.CustodyBackend)
	for range 12 {
		w.advance(7 * day)
		w.reconcile()
		w.sweep(w.Connector)
	}
	assert.Zero(t, w.refreshes())
	assert.Zero(t, w.bank.Calls("me"))
	for _, con := range cons {
		assert.True(t, ptr(w.get(con.ID)).NextCheckAt.IsZero())
	}
}

func TestALapsedConsentIsNotAskedAbout(t *testing.T) {
	w := newWorld(t)
	con := w.linked("u", bankbrowser.John())
	w.advance(91 * day)
	w.reconcile()
	assert.Zero(t, w.refreshes())
	got := w.get(con.ID)
	assert.True(t, got.NextCheckAt.IsZero())
	assert.True(t, got.EndedAt.IsZero(), "it lapsed as foretold")
}

func TestTwoRefusedChecksAnHourApartEndAConsent(t *testing.T) {
	w := newWorld(t)
	_, err := w.PutUser(t.Context(), w.app, "u", connector.Contact{Email: "u@example.org"})
	require.NoError(t, err)
	con := w.linked("u", bankbrowser.John())
	w.advance(checkDue)

	w.fault("invalid_grant_early")
	w.reconcile()
	w.live(con)
	assert.False(t, ptr(w.get(con.ID)).RefusedAt.IsZero())
	assert.Zero(t, ptr(w.sweep(w.Connector)).Total(), "one refusal may be a fault of the network")

	w.advance(62 * time.Minute)
	w.reconcile() // and it was one
	assert.Equal(t, 2, w.refreshes())
	w.live(con)
	assert.True(t, ptr(w.get(con.ID)).RefusedAt.IsZero(), "a success wipes the slate clean")

	w.advance(checkDue)
	w.fault("invalid_grant_early")
	w.reconcile()
	w.live(con)
	w.advance(62 * time.Minute)
	w.fault("invalid_grant_early")
	w.reconcile()
	got := w.get(con.ID)
	assert.True(t, got.EndedEarly())
	assert.Equal(t, provider.ReauthRequired.String(), got.EndedReason)
	assert.Equal(t, con.ExpiresAt, got.ExpiresAt)
	asked := w.refreshes()
	w.advance(11 * time.Minute)
	w.reconcile()
	assert.Equal(t, asked, w.refreshes(), "what has ended is not asked about")
	assert.True(t, ptr(w.get(con.ID)).NextCheckAt.IsZero())
	assert.Equal(t, map[string]int{"lapse": 1}, w.sweep(w.Connector).Announced)
	require.Len(t, w.notices(con.ID), 1)
	types := w.types(con)
	assert.Equal(t, []consent.EventType{consent.EventEndedEarly, consent.EventLapsed}, types[len(types)-2:])
	open, _ := w.alarms()
	assert.Empty(t, open, "one consent is no outage")
}

func TestARefusalThatWasWipedOutDoesNotCount(t *testing.T) {
	var at moved
	w := newWorld(t, through(at.wire))
	con := w.linked("u", bankbrowser.John())
	w.advance(checkDue)
	w.fault("invalid_grant_early")
	w.reconcile()
	require.False(t, ptr(w.get(con.ID)).RefusedAt.IsZero())

	// The next check goes well, and brings another expiry.
	w.advance(62 * time.Minute)
	at.set(con.ExpiresAt.Add(5 * day))
	w.reconcile()
	got := w.get(con.ID)
	require.Equal(t, con.ExpiresAt.Add(5*day), got.ExpiresAt)
	assert.True(t, got.RefusedAt.IsZero(), "the provider took the token since")

	w.advance(checkDue)
	w.fault("invalid_grant_early")
	_, err := w.Token(t.Context(), w.app, con.ID, true)
	require.Equal(t, consent.CodeReauthRequired, consent.CodeOf(err))
	w.live(con)
}

func TestARefusedConsentIsCheckedAgainAfterAnHourAndNotBefore(t *testing.T) {
	w := newWorld(t)
	w.linked("u", bankbrowser.John())
	w.advance(checkDue)
	w.faults("invalid_grant_early", 100)
	w.reconcile()
	require.Equal(t, 1, w.refreshes())
	for range 5 {
		w.advance(11 * time.Minute)
		w.reconcile()
	}
	assert.Equal(t, 1, w.refreshes(), "a second refusal within the hour would prove nothing")
	w.advance(7 * time.Minute)
	w.reconcile()
	assert.Equal(t, 2, w.refreshes())
}

func TestThePlainWordThatAccessHasEndedEndsAConsentAtOnce(t *testing.T) {
	var denied atomic.Bool
	w := newWorld(t, through(func(r *http.Request) (*http.Response, error) {
		if denied.Load() && strings.HasSuffix(r.URL.Path, "/me") {
			return answer(http.StatusForbidden, `{"error":"access_denied","error_description":"no"}`), nil
		}
		return http.DefaultTransport.RoundTrip(r)
	}))
	con := w.linked("u", bankbrowser.John())
	w.advance(checkDue)
	denied.Store(true)
	w.reconcile()
	got := w.get(con.ID)
	assert.True(t, got.EndedEarly())
	assert.Equal(t, provider.Revoked.String(), got.EndedReason)
	assert.Equal(t, consent.Lapsed, w.StatusNow(&got))
	assert.Equal(t, got.EndedAt.Add(90*day), got.RenewableUntil)
	assert.Equal(t, map[string]int{"lapse": 1}, w.sweep(w.Connector).Announced)

	denied.Store(false)
	s := w.reauth(con)
	_, ret := w.visit(bankbrowser.John(), s.URI)
	assert.Equal(t, consent.AttemptRenewed, w.forward(s, ret).Attempt.Status)
	w.works(con)
}

func TestWhatTellsNothingOfAConsentEndsNothing(t *testing.T) {
	status := func(code int, body string) wire {
		return func(*http.Request) (*http.Response, error) { return answer(code, body), nil }
	}
	answers := map[string]wire{
		"401":           status(http.StatusUnauthorized, `{"error":"unauthorized"}`),
		"401 bare":      status(http.StatusUnauthorized, ``),
		"403 of a wall": status(http.StatusForbidden, `<html>blocked</html>`),
		"404":           status(http.StatusNotFound, `{"error":"no_such_thing"}`),
		"429": func(*http.Request) (*http.Response, error) {
			resp := answer(http.StatusTooManyRequests, `{"error":"provider_too_many_requests"}`)
			resp.Header = http.Header{"Retry-After": {"5400"}}
			return resp, nil
		},
		"500":                  status(http.StatusInternalServerError, `{"error":"internal_server_error"}`),
		"500 access_denied":    status(http.StatusInternalServerError, `{"error":"access_denied"}`),
		"503 invalid_grant":    status(http.StatusServiceUnavailable, `{"error":"invalid_grant"}`),
		"a timeout":            func(*http.Request) (*http.Response, error) { return nil, context.DeadlineExceeded },
		"a cut line":           func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF },
		"an empty answer":      status(http.StatusOK, ``),
		"half an answer":       status(http.StatusOK, `{"access_token":`),
		"a page":               status(http.StatusOK, `<html>maintenance</html>`),
		"nothing in an answer": status(http.StatusOK, `{}`),
		"null":                 status(http.StatusOK, `null`),
	}
	for _, at := range []string{"/connect/token", "/me"} {
		t.Run(at, func(t *testing.T) {
			var says atomic.Pointer[wire]
			var asked atomic.Int32
			w := newWorld(t, through(func(r *http.Request) (*http.Response, error) {
				if f := says.Load(); f != nil && strings.HasSuffix(r.URL.Path, at) {
					asked.Add(1)
					return (*f)(r)
				}
				return http.DefaultTransport.RoundTrip(r)
			}))
			con := w.linked("u", bankbrowser.John())
			w.advance(checkDue)
			for name, f := range answers {
				asked.Store(0)
				says.Store(&f)
				require.NoError(t, w.store.PostponeCheck(t.Context(), w.app.ID, con.ID, 1, w.bank.Clock().Now()))
				for range 3 { // more than an hour apart
					_ = w.Reconcile(t.Context()) // may say what went wrong
					w.live(con)
					w.advance(100 * time.Minute)
				}
				require.GreaterOrEqual(t, asked.Load(), int32(3), "%s: it is asked about again", name)
				require.Zero(t, ptr(w.sweep(w.Connector)).Total(), name)
				says.Store(nil)
				w.reconcile()
				got := w.get(con.ID)
				require.Equal(t, con.ExpiresAt, got.ExpiresAt, name)
				require.True(t, got.RefusedAt.IsZero(), name)
				require.True(t, got.NextCheckAt.After(w.bank.Clock().Now().Add(day)), "%s: all is well again: %s", name, got.NextCheckAt)
				w.works(con)
			}
			_, all := w.alarms()
			assert.Empty(t, all)
		})
	}
}

func TestAProviderIsNotAskedBeforeItAllowsIt(t *testing.T) {
	var on atomic.Bool
	var asked atomic.Int32
	w := newWorld(t, through(func(r *http.Request) (*http.Response, error) {
		if on.Load() && strings.HasSuffix(r.URL.Path, "/connect/token") {
			asked.Add(1)
			resp := answer(http.StatusTooManyRequests, `{"error":"provider_too_many_requests"}`)
			resp.Header = http.Header{"Retry-After": {"7200"}}
			return resp, nil
		}
		return http.DefaultTransport.RoundTrip(r)
	}))
	con := w.linked("u", bankbrowser.John())
	w.advance(checkDue)
	on.Store(true)
	before := w.bank.Clock().Now()
	w.reconcile()
	assert.False(t, ptr(w.get(con.ID)).NextCheckAt.Before(before.Add(2*time.Hour)))
	w.advance(119 * time.Minute)
	w.reconcile()
	assert.Equal(t, int32(1), asked.Load())
	w.advance(2 * time.Minute)
	w.reconcile()
	assert.Equal(t, int32(2), asked.Load())
}

func TestWhereEveryRefreshIsRefusedNothingEndsAndOneAlarmRings(t *testing.T) {
	w := newWorld(t)
	cons := w.crowd("mock", 1, 20, consent.CustodyOurs)
	w.advance(checkDue)
	w.faults("invalid_grant_early", 10_000)
	w.reconcile()
	assert.Equal(t, 20, w.refreshes())
	w.live(cons...)
	open, all := w.alarms()
	assert.Equal(t, []string{"provider_misconfigured"}, open)
	assert.Equal(t, open, all)
	assert.Equal(t, "provider_misconfigured", w.hold(cons[0]))
	assert.Equal(t, 1, strings.Count(w.logs.String(), "msg=alarm"))

	for range 12 { // two hours more of it
		w.advance(11 * time.Minute)
		before := w.refreshes()
		w.reconcile()
		assert.LessOrEqual(t, w.refreshes()-before, 1, "only one tries whether it is over")
		assert.Zero(t, ptr(w.sweep(w.Connector)).Total(), "nobody is told anything")
	}
	assert.Greater(t, w.refreshes(), 20, "but one does")
	w.live(cons...)
	open, all = w.alarms()
	assert.Equal(t, []string{"provider_misconfigured"}, open)
	assert.Equal(t, open, all)
	assert.Equal(t, 1, strings.Count(w.logs.String(), "msg=alarm"), "it rings once")
	assert.Equal(t, "provider_misconfigured", w.hold(cons[19]))

	w.faults("invalid_grant_early", 0)
	w.advance(21 * time.Minute)
	w.reconcile()
	open, all = w.alarms()
	assert.Empty(t, open)
	assert.Equal(t, []string{"provider_misconfigured"}, all)
	assert.Empty(t, w.hold(cons[0]))
	w.advance(21 * time.Minute)
	w.reconcile()
	for _, con := range cons {
		got := w.get(con.ID)
		assert.True(t, got.RefusedAt.IsZero())
		assert.True(t, got.Tokens.RefreshedAt.After(got.CreatedAt.Add(day)), "every one has been asked about since")
	}
	w.live(cons...)
	w.works(cons[7])
}

func TestBackendsThatAreAllRefusedEndNothing(t *testing.T) {
	w := newWorld(t)
	cons := w.crowd("mock", 1, 20, consent.CustodyOurs)
	w.advance(day)
	w.faults("invalid_grant_early", 10_000)
	for range 4 {
		for _, con := range cons {
			_, err := w.Token(t.Context(), w.app, con.ID, true)
			require.Equal(t, consent.CodeReauthRequired, consent.CodeOf(err), "%v", err)
		}
		w.reconcile()
		w.live(cons...)
		w.advance(70 * time.Minute)
	}
	_, all := w.alarms()
	assert.Equal(t, []string{"provider_misconfigured"}, all)
	w.faults("invalid_grant_early", 0)
	for _, con := range cons {
		w.works(con)
	}
}

func TestAWrongSecretEndsNothingAndRings(t *testing.T) {
	var wrong atomic.Bool
	w := newWorld(t, through(func(r *http.Request) (*http.Response, error) {
		if wrong.Load() && strings.HasSuffix(r.URL.Path, "/connect/token") {
			return answer(http.StatusUnauthorized, `{"error":"invalid_client"}`), nil
		}
		return http.DefaultTransport.RoundTrip(r)
	}))
	cons := w.crowd("mock", 1, 6, consent.CustodyOurs)
	w.advance(checkDue)
	wrong.Store(true)
	w.reconcile()
	w.advance(70 * time.Minute)
	w.reconcile()
	w.live(cons...)
	open, _ := w.alarms()
	assert.Equal(t, []string{"provider_misconfigured"}, open)
	wrong.Store(false)
	w.advance(21 * time.Minute)
	w.reconcile()
	open, _ = w.alarms()
	assert.Empty(t, open)
	w.live(cons...)
}

// refusing answers the refreshes of some tokens as it is told.
type refusing struct {
	mu     sync.Mutex
	tokens map[string]func() *http.Response
}

func (f *refusing) set(says func() *http.Response, tokens ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tokens = map[string]func() *http.Response{}
	for _, token := range tokens {
		f.tokens[token] = says
	}
}

func (f *refusing) wire(r *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(r.URL.Path, "/connect/token") {
		return http.DefaultTransport.RoundTrip(r)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	again := r.Clone(r.Context())
	again.Body, again.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	token := ""
	if form, err := url.ParseQuery(string(body)); err == nil {
		token = form.Get("refresh_token")
	}
	fields := map[string]any{}
	if json.Unmarshal(body, &fields) == nil {
		token, _ = fields["refresh_token"].(string)
	}
	f.mu.Lock()
	says := f.tokens[token]
	f.mu.Unlock()
	if says != nil {
		return says(), nil
	}
	return http.DefaultTransport.RoundTrip(again)
}

func (w *world) tokensOf(cons []consent.Consent) []string {
	w.Helper()
	tokens := make([]string, len(cons))
	for i, con := range cons {
		tokens[i] = w.refreshToken(con)
	}
	return tokens
}

func TestABankThatIsOutRingsOnceAndHoldsItsOwnMailsOnly(t *testing.T) {
	var f refusing
	w := newWorld(t, through(f.wire))
	out, well := w.crowd("mock", 1, 12, consent.CustodyOurs), w.crowd("mock-de", 50, 8, consent.CustodyOurs)
	w.advance(checkDue)
	f.set(func() *http.Response { return answer(http.StatusServiceUnavailable, `{"error":"provider_error"}`) }, w.tokensOf(out)...)
	w.reconcile()
	open, all := w.alarms()
	assert.Equal(t, []string{"bank_outage mock"}, open)
	assert.Equal(t, open, all)
	assert.Equal(t, "bank_outage", w.hold(out[3]))
	assert.Equal(t, "bank_outage", w.hold(well[3], out[3]), "one message about both")
	assert.Empty(t, w.hold(well[3]))
	for range 10 {
		w.advance(11 * time.Minute)
		w.reconcile()
	}
	w.live(out...)
	w.live(well...)
	open, all = w.alarms()
	assert.Equal(t, []string{"bank_outage mock"}, open)
	assert.Equal(t, open, all)
	assert.Equal(t, 1, strings.Count(w.logs.String(), "msg=alarm"))

	f.set(nil)
	w.advance(21 * time.Minute)
	w.reconcile()
	open, all = w.alarms()
	assert.Empty(t, open)
	assert.Len(t, all, 1)
	assert.Empty(t, w.hold(out[3]))
	w.advance(21 * time.Minute)
	w.reconcile()
	for _, con := range out {
		assert.True(t, ptr(w.get(con.ID)).Tokens.RefreshedAt.After(con.CreatedAt.Add(day)))
	}
}

func TestSomeDeadConsentsAmongManyEndAndRingNothing(t *testing.T) {
	for _, dead := range []int{3, 6} {
		t.Run(fmt.Sprintf("%d of 20", dead), func(t *testing.T) {
			var f refusing
			w := newWorld(t, through(f.wire))
			cons := w.crowd("mock", 1, 20, consent.CustodyOurs)
			w.advance(checkDue)
			f.set(func() *http.Response { return answer(http.StatusBadRequest, `{"error":"invalid_grant"}`) }, w.tokensOf(cons[:dead])...)
			w.reconcile()
			w.live(cons...)
			w.advance(62 * time.Minute)
			w.reconcile()
			open, _ := w.alarms()
			assert.Empty(t, open, "an hour ago the provider took the tokens of all the others")
			for _, con := range cons[:dead] {
				assert.True(t, ptr(w.get(con.ID)).EndedEarly())
			}
			w.live(cons[dead:]...)
			assert.Equal(t, dead, w.sweep(w.Connector).Announced["lapse"])
		})
	}
}

// moved is a provider that says whatever expiry it is told to say.
type moved struct{ at atomic.Pointer[string] }

func (m *moved) set(at time.Time) { m.at.Store(ptr(at.UTC().Format(time.RFC3339Nano))) }

func (m *moved) wire(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	at := m.at.Load()
	if err != nil || at == nil || !strings.HasSuffix(r.URL.Path, "/me") || resp.StatusCode != http.StatusOK {
		return resp, err
	}
	defer func() { _ = resp.Body.Close() }()
	var said struct {
		Results []map[string]any `json:"results"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&said); err != nil {
		return nil, err
	}
	said.Results[0]["consent_expires_at"] = *at
	body, err := json.Marshal(said)
	if err != nil {
		return nil, err
	}
	return answer(http.StatusOK, string(body)), nil
}

func TestAnExpiryThatMovesWithEveryWordAnnouncesNoStageTwice(t *testing.T) {
	var m moved
	w := newWorld(t, through(m.wire))
	_, err := w.PutUser(t.Context(), w.app, "u", connector.Contact{Email: "u@example.org"})
	require.NoError(t, err)
	con := w.linked("u", bankbrowser.John())
	moves := []int{0, 40, -20, 5, 6, -30, 30, 1, 3, -10, 90, 0, 8, 7, 2, 29}
	for step := range 85 {
		w.advance(day)
		now := w.bank.Clock().Now()
		require.NoError(t, w.store.PostponeCheck(t.Context(), w.app.ID, con.ID, 1, now)) // as if it were due
		to := con.ExpiresAt.Add(time.Duration(moves[step%len(moves)]) * day)
		if to.Before(now) {
			to = now.Add(36 * time.Hour) // one that has lapsed is not asked about
		}
		to = micro(to)
		m.set(to)
		w.reconcile()
		got := w.get(con.ID)
		require.WithinDuration(t, to, got.ExpiresAt, 0, "the provider's word wins")
		require.Equal(t, consent.FromProvider, got.ExpirySource)
		w.sweep(w.Connector)
		require.Zero(t, ptr(w.sweep(w.Connector)).Total())
	}
	seen := map[string]int{}
	for _, line := range w.stages(con.ID) {
		seen[strings.TrimSuffix(line, " skipped")]++
	}
	assert.NotEmpty(t, seen)
	for stage, n := range seen {
		assert.Equal(t, 1, n, stage)
	}
	for _, n := range w.notices(con.ID) {
		assert.Equal(t, 1, seen[fmt.Sprintf("%d %s", n.Cycle, n.Stage)])
	}
}

func TestAnExpiryInTheYear9999IsTakenAsItIs(t *testing.T) {
	var m moved
	w := newWorld(t, through(m.wire))
	con := w.linked("u", bankbrowser.John())
	w.advance(checkDue)
	far := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	m.set(far)
	w.reconcile()
	got := w.get(con.ID)
	assert.Equal(t, far, got.ExpiresAt)
	assert.Equal(t, far.Add(-30*day), got.NextStageAt)
	w.live(con)
	assert.Zero(t, ptr(w.sweep(w.Connector)).Total())
	w.advance(checkDue)
	w.reconcile()
	assert.Equal(t, far, ptr(w.get(con.ID)).ExpiresAt)
	assert.Equal(t, 2, w.refreshes(), "and it is kept alive like any other")
}

func TestAWordAboutAnotherLoginChangesNothing(t *testing.T) {
	var other atomic.Bool
	w := newWorld(t, through(func(r *http.Request) (*http.Response, error) {
		if other.Load() && strings.HasSuffix(r.URL.Path, "/me") {
			return answer(http.StatusOK, `{"results":[{"client_id":"client","credentials_id":"somebody-else","consent_expires_at":"2099-01-01T00:00:00Z"}],"status":"Succeeded"}`), nil
		}
		return http.DefaultTransport.RoundTrip(r)
	}))
	con := w.linked("u", bankbrowser.John())
	w.advance(checkDue)
	other.Store(true)
	w.reconcile()
	assert.Equal(t, 1, w.refreshes())
	w.same(con)
}

func TestTheRateLimitIsOneForAllReplicas(t *testing.T) {
	w := newWorld(t)
	cons := w.crowd("mock", 1, 20, consent.CustodyOurs)
	w.advance(checkDue)
	minute := w.bank.Clock().Now().Truncate(time.Minute).Add(time.Minute)
	require.NoError(t, w.bank.Clock().Set(minute))
	ok, err := w.store.Take(t.Context(), w.app.ID, "calls to truelayer", minute, 590, 600)
	require.NoError(t, err)
	require.True(t, ok)
	replicas := []*connector.Connector{w.Connector, w.another(provider.Catalog{"truelayer": truelayer.Adapter})}
	both := func() {
		var group sync.WaitGroup
		for _, replica := range replicas {
			group.Go(func() { assert.NoError(t, replica.Reconcile(t.Context())) })
		}
		group.Wait()
	}
	both()
	assert.Equal(t, 5, w.refreshes(), "ten calls were left, and a check is two")
	both()
	assert.Equal(t, 5, w.refreshes())
	w.advance(time.Minute)
	both()
	assert.Equal(t, 20, w.refreshes(), "the next minute has calls of its own")
	w.live(cons...)
}

func TestTwoReplicasAskAboutEachConsentOnce(t *testing.T) {
	w := newWorld(t)
	w.crowd("mock", 1, 30, consent.CustodyOurs)
	w.advance(checkDue)
	replicas := []*connector.Connector{w.Connector, w.another(provider.Catalog{"truelayer": truelayer.Adapter})}
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() { assert.NoError(t, replicas[i%2].Reconcile(t.Context())) })
	}
	group.Wait()
	assert.Equal(t, 30, w.refreshes())
}

// At a provider that rotates, a token that is used twice is the end of it.
func TestChecksAndCallersShareOneRotatingToken(t *testing.T) {
	w := newWorld(t)
	con := w.linked("u", bankbrowser.John())
	w.faults("refresh_token_rotates", 10_000)
	replicas := []*connector.Connector{w.Connector, w.another(provider.Catalog{"truelayer": truelayer.Adapter})}
	for range 3 {
		w.advance(checkDue)
		before := w.refreshes()
		var group sync.WaitGroup
		for i := range 22 {
			group.Go(func() {
				if i >= 20 {
					assert.NoError(t, replicas[i%2].Reconcile(t.Context()))
					return
				}
				_, err := replicas[i%2].Token(t.Context(), w.app, con.ID, false)
				assert.NoError(t, err)
			})
		}
		group.Wait()
		assert.LessOrEqual(t, w.refreshes()-before, 2, "one for the callers, one for the check")
		assert.True(t, ptr(w.get(con.ID)).RefusedAt.IsZero())
		w.works(con)
	}
}

func TestAnApplicationThatCannotBeReadForAWhileLosesNoChecks(t *testing.T) {
	for name, unread := range map[string]func(w *world) (mend func()){
		"the database is away for a moment": func(w *world) func() {
			w.reg.Registry = &unlisted{Registry: w.store, times: 1}
			return func() {}
		},
		"its settings do not parse until somebody mends them": func(w *world) func() {
			broken := *w.app
			broken.Cadence = consent.Cadence{{Name: "whenever"}}
			require.NoError(w, w.store.UpdateApplication(w.Context(), broken))
			return func() { require.NoError(w, w.store.UpdateApplication(w.Context(), *w.app)) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.fault("idle_limit")
			con := w.linked("u", bankbrowser.John())
			w.advance(checkDue)
			mend := unread(w)
			_ = w.Reconcile(t.Context()) // may say what went wrong
			mend()
			for range 9 {
				w.advance(day)
				w.reconcile()
			}
			w.advance(2 * day)
			assert.Positive(t, w.refreshes(), "it is still to be asked about")
			w.works(con)
		})
	}
}

func TestMailsOfADayHaveACeiling(t *testing.T) {
	w := newWorld(t)
	w.app.MailsPerDay = 2
	require.NoError(t, w.store.UpdateApplication(t.Context(), *w.app))
	noon := w.bank.Clock().Now().Truncate(day).Add(36 * time.Hour)
	require.NoError(t, w.bank.Clock().Set(noon))
	admit := func() time.Time {
		until, err := w.Admit(t.Context(), w.app)
		require.NoError(t, err)
		return until
	}
	assert.Zero(t, admit())
	assert.Zero(t, admit())
	for range 3 {
		assert.Equal(t, noon.Add(12*time.Hour), admit(), "tomorrow")
	}
	open, all := w.alarms()
	assert.Equal(t, []string{"mail_ceiling"}, open)
	assert.Equal(t, open, all)
	w.advance(12 * time.Hour)
	assert.Zero(t, admit())
	open, _ = w.alarms()
	assert.Empty(t, open)
	w.app.MailsPerDay = 0
	for range 5 {
		assert.Zero(t, admit(), "without a ceiling there is none")
	}
}

func TestAProbeThatSucceedsEndsTheAlarmForGood(t *testing.T) {
	var f refusing
	w := newWorld(t, through(f.wire))
	cons := w.crowd("mock", 1, 12, consent.CustodyOurs)
	w.advance(checkDue)
	f.set(func() *http.Response { return answer(http.StatusServiceUnavailable, `{"error":"provider_error"}`) }, w.tokensOf(cons)...)
	for range 20 {
		for _, c := range cons[:9] { // backends read data all the time
			_, _ = w.Token(t.Context(), w.app, c.ID, true)
		}
		w.reconcile()
		w.advance(time.Minute)
	}
	f.set(nil)
	for range 40 {
		w.reconcile()
		w.advance(time.Minute)
	}
	open, all := w.alarms()
	assert.Empty(t, open)
	assert.Len(t, all, 1)
	assert.Equal(t, 1, strings.Count(w.logs.String(), "msg=alarm kind"), "what rang it does not ring it again")
}

func TestABankThatRefusesAllOfItsConsentsEndsNone(t *testing.T) {
	var f refusing
	w := newWorld(t, through(f.wire))
	out := w.crowd("mock", 1, 20, consent.CustodyOurs)
	w.crowd("mock-de", 1, 60, consent.CustodyOurs)
	w.advance(checkDue)
	f.set(func() *http.Response { return answer(http.StatusBadRequest, `{"error":"invalid_grant"}`) }, w.tokensOf(out)...)
	for range 10 {
		w.reconcile()
		w.advance(11 * time.Minute)
	}
	for _, c := range out {
		assert.Zero(t, w.get(c.ID).EndedAt)
	}
}

func TestStaleTokensOfBackendsRingNothing(t *testing.T) {
	var f refusing
	w := newWorld(t, through(f.wire))
	theirs := w.crowd("mock", 1, 6, consent.CustodyBackend)
	ours := w.crowd("mock", 50, 30, consent.CustodyOurs)
	w.advance(day)
	f.set(func() *http.Response { return answer(http.StatusBadRequest, `{"error":"invalid_grant"}`) }, w.tokensOf(theirs)...)
	for _, c := range theirs {
		_, err := w.Token(t.Context(), w.app, c.ID, true)
		require.Error(t, err)
	}
	w.reconcile()
	open, _ := w.alarms()
	assert.Empty(t, open)
	assert.Empty(t, w.hold(ours[3]))
}

func TestALimitOnCallsIsNoOutage(t *testing.T) {
	var f refusing
	w := newWorld(t, through(f.wire))
	cons := w.crowd("mock", 1, 12, consent.CustodyOurs)
	w.advance(checkDue)
	f.set(func() *http.Response {
		return answer(http.StatusTooManyRequests, `{"error":"provider_too_many_requests"}`)
	}, w.tokensOf(cons)...)
	w.reconcile()
	open, _ := w.alarms()
	assert.Empty(t, open)
}
