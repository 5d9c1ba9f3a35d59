package api_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/provider/sandbox/bankbrowser"
)

const day = 24 * time.Hour

// hosted starts a hosted first link and comes back from the bank.
func (w *world) hosted(user string, p bankbrowser.Person, extra map[string]any) (back *url.URL) {
	w.Helper()
	body := map[string]any{"provider": "truelayer", "provider_id": "mock", "user_id": user}
	for name, value := range extra {
		body[name] = value
	}
	a := w.call("POST", "/v1/authuri", body)
	require.Equal(w, 201, a.status, "%s", a.body)
	return w.back(p, a.json(w.T)["uri"].(string))
}

// back walks to the bank and returns the address of ours that it leads to.
func (w *world) back(p bankbrowser.Person, link string) *url.URL {
	w.Helper()
	v, err := p.Go(w.Context(), link)
	require.NoError(w, err)
	require.NotNil(w, v.Return, "%v", v.Pages)
	require.Equal(w, "/callback", v.Return.Path)
	return v.Return
}

// browse is what a browser does with an address of ours.
func (w *world) browse(u *url.URL) answer {
	w.Helper()
	return w.send("GET", u.RequestURI(), http.Header{"Accept": {"text/html"}}, nil)
}

// location reads where an answer sends the browser.
func location(t *testing.T, a answer) *url.URL {
	t.Helper()
	require.Equal(t, http.StatusSeeOther, a.status, "%s", a.body)
	u, err := url.Parse(a.header.Get("Location"))
	require.NoError(t, err)
	return u
}

// page asserts what every page has, and returns its heading.
func (w *world) page(a answer) string {
	w.Helper()
	assert.Equal(w, "text/html; charset=utf-8", a.header.Get("Content-Type"))
	csp := a.header.Get("Content-Security-Policy")
	assert.Contains(w, csp, "default-src 'none'")
	assert.Contains(w, csp, "frame-ancestors 'none'")
	assert.NotContains(w, csp, "unsafe")
	assert.Equal(w, "no-referrer", a.header.Get("Referrer-Policy"), "a state or token must not travel on in a referrer")
	assert.Equal(w, "nosniff", a.header.Get("X-Content-Type-Options"))
	assert.Equal(w, "no-store", a.header.Get("Cache-Control"))
	assert.Empty(w, a.header.Values("Set-Cookie"))
	assert.NotContains(w, string(a.body), "<script")
	assert.NotContains(w, string(a.body), "<b>&", "a name is text, not markup")
	h := regexp.MustCompile(`<h1>([^<]*)</h1>`).FindSubmatch(a.body)
	require.NotNil(w, h, "%s", a.body)
	return html.UnescapeString(string(h[1]))
}

func TestAHostedLinkIsPendingUntilItsResultIsConfirmed(t *testing.T) {
	w := newWorld(t, func(a *consent.Application) { a.ConfirmLinks = true })
	at := location(t, w.browse(w.hosted("u1", bankbrowser.John(), map[string]any{"return_to": appReturn + "?a=b%20c", "state": "x&y=\"é\""})))
	assert.Equal(t, appReturn, at.Scheme+"://"+at.Host+at.Path)
	q := at.Query()
	assert.Equal(t, "b c", q.Get("a"), "the application's own query stays")
	assert.Equal(t, "x&y=\"é\"", q.Get("state"))
	assert.Equal(t, "linked", q.Get("status"))
	id := q.Get("consent_id")
	assert.Equal(t, "pending", w.call("GET", "/v1/consents/"+id, nil).json(t)["status"])
	a := w.call("POST", "/v1/consents/"+id+"/token", nil)
	assert.Equal(t, 409, a.status)
	assert.Equal(t, "consent_pending", a.json(t)["code"])

	confirm := "/v1/attempts/" + q.Get("attempt_id") + "/confirm"
	assert.Equal(t, 403, w.call("POST", confirm, map[string]any{"result": "a guess"}).status)
	done := w.call("POST", confirm, map[string]any{"result": q.Get("result")})
	assert.Equal(t, 200, done.status, "%s", done.body)
	assert.Equal(t, "linked", done.json(t)["status"])
	assert.Equal(t, "active", w.call("GET", "/v1/consents/"+id, nil).json(t)["status"])
}

func TestAReturnToldTwiceShowsTheFirstOutcome(t *testing.T) {
	w := newWorld(t)
	back := w.hosted("u1", bankbrowser.John(), map[string]any{"return_to": appReturn})
	first := location(t, w.browse(back))
	assert.Equal(t, first.String(), location(t, w.browse(back)).String())
	assert.Equal(t, 1, w.bank.Calls("token:authorization_code"))
	other := *back
	other.RawQuery = url.Values{"state": {back.Query().Get("state")}, "code": {"forged"}}.Encode()
	assert.Empty(t, location(t, w.browse(&other)).Query().Get("result"), "who knows only the state learns no result")
}

func TestAPrefetchSpendsNothing(t *testing.T) {
	w := newWorld(t)
	back := w.hosted("u1", bankbrowser.John(), nil)
	for _, header := range []http.Header{
		{"Sec-Purpose": {"prefetch;prerender"}}, {"Purpose": {"prefetch"}}, {"X-Purpose": {"preview"}}, {"X-Moz": {"prefetch"}},
	} {
		assert.Equal(t, http.StatusNoContent, w.send("GET", back.RequestURI(), header, nil).status)
	}
	assert.Equal(t, http.StatusMethodNotAllowed, w.send("HEAD", back.RequestURI(), nil, nil).status, "HEAD is no visit")
	assert.Zero(t, w.bank.Calls("token:authorization_code"))
	assert.Equal(t, "Mock Bank is connected", w.page(w.browse(back)))
}

func TestCallbackPages(t *testing.T) {
	w := newWorld(t)
	id := w.linked("u0", bankbrowser.Numbered(9))
	reauth := func(p bankbrowser.Person) *url.URL {
		// The original redirect_uri was the application's; take a consent of ours.
		a := w.call("POST", "/reauthuri", map[string]any{"consent_id": id, "state": t.Name()})
		require.Equal(t, 200, a.status, "%s", a.body)
		v, err := p.Go(t.Context(), a.json(t)["result"].(string))
		require.NoError(t, err)
		return v.Return
	}
	assert.Equal(t, "app.example", reauth(bankbrowser.Numbered(9)).Host, "a forwarded callback never comes to us")

	denied := bankbrowser.John()
	denied.Deny = true
	for _, tt := range []struct {
		name, want string
		status     int
		at         *url.URL
	}{
		{"denied", "You did not give permission", 200, w.hosted("u1", denied, nil)},
		{"nothing in it", "This link is not complete", 400, &url.URL{Path: "/callback"}},
		{"no code", "This link is not complete", 400, &url.URL{Path: "/callback", RawQuery: "state=acme.x"}},
		{"a state that is none", "We do not know this link", 400, &url.URL{Path: "/callback", RawQuery: "code=x&state=" + url.QueryEscape("<script>alert(1)</script>")}},
		{"another application's", "We do not know this link", 400, &url.URL{Path: "/callback", RawQuery: "code=x&state=nobody.abc"}},
		{"bytes that are no text", "This link is not complete", 400, &url.URL{Path: "/callback", RawQuery: "code=x&state=%ff%00"}},
		{"an endless state", "This link is not complete", 400, &url.URL{Path: "/callback", RawQuery: "code=x&state=" + strings.Repeat("s", 20_000)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := w.browse(tt.at)
			assert.Equal(t, tt.status, a.status)
			assert.Equal(t, tt.want, w.page(a))
		})
	}

	late := w.hosted("u2", bankbrowser.Numbered(2), nil)
	require.NoError(t, w.bank.Clock().Advance(2*time.Hour))
	a := w.browse(late)
	assert.Equal(t, http.StatusGone, a.status)
	assert.Equal(t, "That took too long", w.page(a))

	busy := w.hosted("u3", bankbrowser.Numbered(3), nil)
	require.NoError(t, w.bank.SetFault("internal_error", 50))
	a = w.browse(busy)
	assert.Equal(t, http.StatusServiceUnavailable, a.status)
	assert.Equal(t, "Your bank does not answer right now", w.page(a))
	assert.NotEmpty(t, a.header.Get("Retry-After"))
}

// reconnectLink makes a link as it would be mailed.
func (w *world) reconnectLink(id string) *url.URL {
	w.Helper()
	a := w.call("POST", "/v1/consents/"+id+"/reconnect-links", map[string]any{"return_to": appReturn, "state": "mail"})
	require.Equal(w, 201, a.status, "%s", a.body)
	u, err := url.Parse(a.json(w.T)["url"].(string))
	require.NoError(w, err)
	return u
}

var proceed = regexp.MustCompile(`name="proceed" value="([^"]*)"`)

// press is what a browser does with the page's one button.
func (w *world) press(link *url.URL, shown answer) answer {
	w.Helper()
	m := proceed.FindSubmatch(shown.body)
	require.NotNil(w, m, "%s", shown.body)
	form := url.Values{"proceed": {html.UnescapeString(string(m[1]))}}
	return w.send("POST", link.Path, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, []byte(form.Encode()))
}

func TestAMailedLinkLeadsToTheBankAndBack(t *testing.T) {
	w := newWorld(t)
	w.browse(w.hosted("u1", bankbrowser.John(), map[string]any{"return_to": appReturn}))
	id := w.only("u1")
	require.NoError(t, w.bank.Clock().Advance(91*day))
	link := w.reconnectLink(id)

	shown := w.browse(link)
	assert.Equal(t, "Reconnect Mock Bank", w.page(shown))
	assert.Contains(t, string(shown.body), "Acme &lt;b&gt;&amp;")
	at := location(t, w.press(link, shown))
	v, err := bankbrowser.John().Go(t.Context(), at.String())
	require.NoError(t, err)
	assert.Contains(t, v.Pages[0], "Sign in", "one press, then the bank's login")
	q := location(t, w.browse(v.Return)).Query()
	assert.Equal(t, "renewed", q.Get("status"))
	assert.Equal(t, "mail", q.Get("state"))
	assert.Equal(t, id, q.Get("consent_id"))

	assert.Equal(t, "Mock Bank is connected", w.page(w.browse(link)), "the link of a cycle ends with it")
	assert.Equal(t, "Mock Bank is connected", w.page(w.press(link, shown)))
}

// Mail scanners open every link, some also press buttons blindly.
func TestAScannerSpendsNothing(t *testing.T) {
	w := newWorld(t)
	w.browse(w.hosted("u1", bankbrowser.John(), map[string]any{"return_to": appReturn}))
	id := w.only("u1")
	link := w.reconnectLink(id)
	before := w.call("GET", "/v1/consents/"+id+"/events", nil).json(t)
	for range 20 {
		assert.Equal(t, "Keep Mock Bank connected", w.page(w.browse(link)))
		assert.Equal(t, 200, w.send("HEAD", link.Path, nil, nil).status)
	}
	for _, body := range []string{"", "proceed=", "proceed=1", "proceed=%ff"} {
		a := w.send("POST", link.Path, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, []byte(body))
		assert.Equal(t, 200, a.status, "a press that did not read the page sees the page")
		assert.Equal(t, "Keep Mock Bank connected", w.page(a))
	}
	assert.Equal(t, before, w.call("GET", "/v1/consents/"+id+"/events", nil).json(t))
	assert.Zero(t, w.bank.Calls("reauthuri"))
}

func TestReconnectLinksThatLeadNowhere(t *testing.T) {
	w := newWorld(t)
	w.browse(w.hosted("u1", bankbrowser.John(), map[string]any{"return_to": appReturn}))
	id := w.only("u1")
	link := w.reconnectLink(id)
	for _, token := range []string{"x", "acme.x", "nobody.x", "..", "%00", "%3Cscript%3E", strings.Repeat("a", 9000), link.Path[len("/r/"):] + "x"} {
		a := w.send("GET", "/r/"+token, nil, nil)
		assert.Equal(t, 404, a.status, token)
		if len(a.body) > 0 && strings.HasPrefix(a.header.Get("Content-Type"), "text/html") {
			assert.Equal(t, "We do not know this link", w.page(a))
		}
	}
	shown := w.browse(link)
	require.Equal(t, 200, w.call("DELETE", "/v1/consents/"+id, nil).status)
	a := w.press(link, shown)
	assert.Equal(t, http.StatusGone, a.status)
	assert.Equal(t, "This connection has ended", w.page(a))

	w.browse(w.hosted("u2", bankbrowser.Numbered(2), map[string]any{"return_to": appReturn}))
	link = w.reconnectLink(w.only("u2"))
	require.NoError(t, w.bank.Clock().Advance(31*day))
	a = w.browse(link)
	assert.Equal(t, http.StatusGone, a.status)
	assert.Equal(t, "This link has expired", w.page(a))
}

// only returns the id of a user's one consent.
func (w *world) only(user string) string {
	w.Helper()
	list := w.call("GET", "/v1/consents?user_id="+user, nil).json(w.T)["consents"].([]any)
	require.Len(w, list, 1)
	return list[0].(map[string]any)["id"].(string)
}

func TestTheDocumentationPage(t *testing.T) {
	w := newWorld(t)
	a := w.send("GET", "/docs", nil, nil)
	assert.Equal(t, 200, a.status)
	assert.NotEmpty(t, w.page(a))
	for _, want := range []string{"POST /reauthuri", "GET /v1/consents", "credentials_mismatch", "/openapi.json"} {
		assert.Contains(t, string(a.body), want)
	}
	assert.Equal(t, "/docs", w.send("GET", "/", nil, nil).header.Get("Location"))
}

func TestHealth(t *testing.T) {
	w := newWorld(t)
	assert.Equal(t, 200, w.send("GET", "/healthz", nil, nil).status)
	assert.Equal(t, 200, w.send("GET", "/readyz", nil, nil).status)
	require.NoError(t, w.store.Close())
	assert.Equal(t, 200, w.send("GET", "/healthz", nil, nil).status, "it lives, and cannot serve")
	assert.Equal(t, 503, w.send("GET", "/readyz", nil, nil).status)
}

func TestAFaultOnTheWayBackIsNoFailureYet(t *testing.T) {
	w := newWorld(t)
	back := w.hosted("u1", bankbrowser.John(), map[string]any{"return_to": appReturn})
	require.NoError(t, w.bank.SetFault("internal_error", 1))
	a := w.browse(back)
	assert.Equal(t, http.StatusServiceUnavailable, a.status)
	assert.Equal(t, "Your bank does not answer right now", w.page(a), "the application is told once it is over")
	assert.Equal(t, "linked", location(t, w.browse(back)).Query().Get("status"), "the reload goes on")
}
