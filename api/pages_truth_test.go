package api_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/provider/sandbox/bankbrowser"
)

// words is what a page says, without its style.
func words(a answer) string {
	return html.UnescapeString(regexp.MustCompile(`(?s)^.*<body>`).ReplaceAllString(string(a.body), ""))
}

// eternal has a consent that is extended without a visit, with an address.
func (w *world) eternal(user string) (id string) {
	w.Helper()
	require.Equal(w, 200, w.call("PUT", "/v1/users/"+user, map[string]any{"email": user + "@mail.example", "name": "Ada"}).status)
	p := bankbrowser.John()
	p.Password = "eternal"
	w.browse(w.hosted(user, p, nil))
	return w.only(user)
}

func (w *world) exec(query string, args ...any) {
	w.Helper()
	_, err := w.store.DB().ExecContext(w.Context(), query, args...)
	require.NoError(w, err)
}

// The result of a trip stays in a browser's history, and is looked at again.
func TestAResultIsJudgedByHowThingsStandNow(t *testing.T) {
	w := newWorld(t)
	id := w.person("u1", nil)
	link := &url.URL{Path: w.ownLink(id)}
	back := w.back(bankbrowser.John(), location(t, w.submit(w.browse(link))).String())
	a := w.browse(back)
	assert.Equal(t, "Mock Bank is connected", w.page(a))
	assert.Contains(t, words(a), "••")
	require.NoError(t, w.bank.Clock().Advance(day+time.Minute))
	a = w.browse(back)
	assert.Equal(t, "Mock Bank is connected", w.page(a))
	assert.NotContains(t, words(a), "••", "a day later it may be somebody else who looks")
	require.NoError(t, w.bank.Clock().Advance(100*day))
	a = w.browse(back)
	assert.Equal(t, http.StatusGone, a.status)
	assert.Equal(t, "Access to Mock Bank has stopped", w.page(a))
	assert.NotContains(t, words(a), "••")
	require.Equal(t, 200, w.call("DELETE", "/v1/consents/"+id, nil).status)
	a = w.browse(back)
	assert.Equal(t, http.StatusGone, a.status)
	assert.Equal(t, "This connection has ended", w.page(a))
}

func TestALateTripOfARevokedConsentLeadsNowhere(t *testing.T) {
	w := newWorld(t)
	id := w.person("u1", nil)
	late := w.back(bankbrowser.John(), location(t, w.submit(w.browse(&url.URL{Path: w.ownLink(id)}))).String())
	require.NoError(t, w.bank.Clock().Advance(2*time.Hour))
	require.Equal(t, 200, w.call("DELETE", "/v1/consents/"+id, nil).status)
	a := w.browse(late)
	assert.Equal(t, "This connection has ended", w.page(a))
	assert.NotContains(t, string(a.body), "<form")
}

func TestALinkInWhosePlaceAnotherConsentStands(t *testing.T) {
	w := newWorld(t)
	id := w.person("u1", nil)
	require.NoError(t, w.bank.Clock().Advance(181*day))
	link := &url.URL{Path: w.ownLink(id)}
	w.browse(w.back(bankbrowser.Numbered(5), location(t, w.submit(w.browse(link))).String()))
	a := w.browse(link)
	assert.Equal(t, "Mock Bank is connected", w.page(a))
	assert.Contains(t, words(a), "linked again")
	require.NoError(t, w.bank.Clock().Advance(100*day))
	a = w.browse(link)
	assert.Equal(t, http.StatusGone, a.status)
	assert.Equal(t, "Access to Mock Bank has stopped", w.page(a))
	assert.NotContains(t, string(a.body), "<form")
}

func TestAFirstLinkThatCameToNothingSpeaksOfNoConnection(t *testing.T) {
	w := newWorld(t)
	denied := bankbrowser.John()
	denied.Deny = true
	pages := map[string]answer{"denied": w.browse(w.hosted("u1", denied, nil))}
	failed := w.hosted("u2", denied, nil)
	failed.RawQuery = url.Values{"state": {failed.Query().Get("state")}, "error": {"server_error"}}.Encode()
	pages["trouble"] = w.browse(failed)
	refused := w.hosted("u3", bankbrowser.Numbered(3), nil)
	refused.RawQuery = url.Values{"state": {refused.Query().Get("state")}, "code": {"forged"}}.Encode()
	pages["refused"] = w.browse(refused)
	late := w.hosted("u4", bankbrowser.Numbered(4), nil)
	require.NoError(t, w.bank.Clock().Advance(2*time.Hour))
	pages["late"] = w.browse(late)
	titles := map[string]string{"denied": "You did not give permission", "trouble": "Your bank had a problem", "refused": "Your bank’s answer came too late", "late": "That took too long"}
	for name, a := range pages {
		assert.Equal(t, titles[name], w.page(a))
		assert.Contains(t, words(a), "No connection has been made.", name)
		assert.NotContains(t, words(a), "as it was", name)
	}
}

func TestTheLinksPageSaysWhatIsTrueOfTheTime(t *testing.T) {
	w := newWorld(t)
	id := w.person("u1", nil)
	assert.Contains(t, words(w.browse(&url.URL{Path: w.ownLink(id)})), "You can already renew")
	require.NoError(t, w.bank.Clock().Advance(70*day))
	assert.Contains(t, words(w.browse(&url.URL{Path: w.ownLink(id)})), "is running out")
	w.exec(`UPDATE consents SET expires_at = NULL, lapses_at = NULL, lapsing_at = NULL, renewable_until = NULL, next_stage_at = NULL, expiry_source = 'unknown'`)
	a := w.browse(&url.URL{Path: w.ownLink(id)})
	assert.NotContains(t, words(a), "running out")
	assert.NotContains(t, words(a), "Access until")
}

func TestTheStatementIsTrue(t *testing.T) {
	halfYear := func(a *consent.Application) {
		p := a.Policies["truelayer"]
		p.Validity = 180 * day
		a.Policies["truelayer"] = p
	}
	w := newWorld(t, extending, halfYear)
	id := w.eternal("u1")
	said := func() string { return hidden(w.browse(&url.URL{Path: w.ownLink(id)})).Get("statement") }
	assert.Regexp(t, `^I agree that Acme <b>& may go on reading my account “Current account ••\d{4}” and 1 more account at Mock Bank for another 90 days\.$`, said(),
		"the provider's days, and all the accounts")
	w.exec(`UPDATE consents SET expiry_source = 'policy', account_count = 1`)
	assert.Regexp(t, `••\d{4}” at Mock Bank for another 180 days\.$`, said())
	w.exec(`UPDATE consents SET expiry_source = 'backend'`)
	app := w.app
	app.Policies = map[string]consent.Policy{"truelayer": {RenewBy: consent.RenewByExtend, RenewalWindow: 90 * day}}
	require.NoError(t, w.conn.UpdateApplication(t.Context(), app))
	assert.Regexp(t, `for as long as the bank allows it\.$`, said())

	require.NoError(t, w.bank.Clock().Advance(100*day))
	a := w.browse(&url.URL{Path: w.ownLink(id)})
	assert.Regexp(t, `may again read my account .* for as long as the bank allows it\.$`, hidden(a).Get("statement"))
	assert.Contains(t, words(a), "The access works again.")
	assert.NotContains(t, words(a), "goes on")
	w.exec(`UPDATE consents SET expiry_source = 'provider'`)
	assert.Regexp(t, `may again read my account .* for 90 days\.$`, said())
}

func TestAConfirmationTellsTheApplicationItsAttempt(t *testing.T) {
	w := newWorld(t, extending)
	id := w.eternal("u1")
	shown := w.browse(w.reconnectLink(id))
	q := location(t, w.submit(shown)).Query()
	assert.Equal(t, "renewed", q.Get("status"))
	events := w.call("GET", "/v1/consents/"+id+"/events", nil).json(t)["events"].([]any)
	last := events[len(events)-1].(map[string]any)
	assert.Equal(t, last["data"].(map[string]any)["attempt_id"], q.Get("attempt_id"))
}

func TestAnAddressThatWasTakenOffTheListIsNotGoneTo(t *testing.T) {
	w := newWorld(t)
	link := w.reconnectLink(w.person("u1", nil))
	app := w.app
	app.ReturnTos = nil
	require.NoError(t, w.conn.UpdateApplication(t.Context(), app))
	back := w.back(bankbrowser.John(), location(t, w.submit(w.browse(link))).String())
	assert.Equal(t, "Mock Bank is connected", w.page(w.browse(back)))
}

func TestALinkKnowsItsAddressInCapitalsToo(t *testing.T) {
	w := newWorld(t)
	id := w.person("u1", nil)
	link, stop := &url.URL{Path: w.mailedLink(id, "u1@mail.example")}, w.unsubscribeLink(&w.app, "u1")
	put := func(address string) {
		require.Equal(t, 200, w.call("PUT", "/v1/users/u1", map[string]any{"email": address, "name": "Ada"}).status)
	}
	put("U1@Mail.example")
	assert.Equal(t, "Keep Mock Bank connected", w.page(w.browse(link)))
	assert.Equal(t, "Stop these reminders?", w.page(w.reading(stop, "en")))
	w.browse(w.back(bankbrowser.John(), location(t, w.submit(w.browse(link))).String()))
	assert.Equal(t, "Mock Bank is connected", w.page(w.browse(link)))
	put("new@mail.example")
	a := w.browse(link)
	assert.Equal(t, "This link is no longer valid", w.page(a), "whoever has the former address learns no more of the renewal")
	assert.NotContains(t, words(a), "Mock Bank")
}

func TestPeopleWhoComeByTheWrongMethodGetAPage(t *testing.T) {
	w := newWorld(t)
	link := w.ownLink(w.person("u1", nil))
	for _, r := range [][2]string{{"GET", "/callback/again"}, {"POST", "/callback"}, {"PUT", link}} {
		a := w.send(r[0], r[1], http.Header{"Accept": {"text/html"}}, nil)
		assert.Equal(t, http.StatusMethodNotAllowed, a.status)
		assert.Equal(t, "There is nothing at this address", w.page(a))
		a = w.send(r[0], r[1], http.Header{"Accept": {"application/json"}}, nil)
		assert.Equal(t, "application/problem+json", a.header.Get("Content-Type"))
	}
}

// What is our own fault is no reason to begin anew: the trip goes on when the
// database does.
func TestAFaultOfOursThrowsNoTripAway(t *testing.T) {
	w := newWorld(t)
	link := w.ownLink(w.person("u1", nil))
	shown := w.browse(&url.URL{Path: link})
	back := w.back(bankbrowser.John(), location(t, w.submit(shown)).String())
	denied := bankbrowser.John()
	denied.Deny = true
	refused := w.browse(w.back(denied, location(t, w.submit(shown)).String()))
	require.NoError(t, w.store.Close())
	for name, a := range map[string]answer{"callback": w.browse(back), "link": w.browse(&url.URL{Path: link}), "press": w.submit(shown), "again": w.submit(refused)} {
		assert.Equal(t, http.StatusInternalServerError, a.status, name)
		assert.Equal(t, "Something went wrong on our side", w.page(a), name)
		assert.Contains(t, words(a), "Try again", name)
		assert.NotContains(t, words(a), "start again", name)
	}
	assert.Contains(t, string(w.submit(refused).body), `action="/callback/again"`)
}
