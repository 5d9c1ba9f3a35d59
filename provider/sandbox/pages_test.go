package sandbox_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/provider/sandbox"
	"github.com/reconsent/reconsent/provider/sandbox/bankbrowser"
)

// seat is somebody at a browser, page by page.
type seat struct {
	*world
	page answer
	path string
}

// sit opens a link.
func (w *world) sit(link string) *seat {
	w.Helper()
	u, err := url.Parse(link)
	require.NoError(w, err)
	s := &seat{world: w, path: u.RequestURI()}
	s.land(w.get(u.RequestURI(), ""))
	return s
}

// land follows the sandbox's own redirects.
func (s *seat) land(a answer) {
	s.Helper()
	for a.Status == http.StatusSeeOther {
		s.path = a.Header.Get("Location")
		a = s.get(s.path, "")
	}
	s.page = a
}

// press presses the page's main button, with what was typed.
func (s *seat) press(typed ...string) *seat {
	s.Helper()
	form := url.Values{"step": {s.step()}}
	for i := 0; i < len(typed); i += 2 {
		form.Set(typed[i], typed[i+1])
	}
	s.land(s.form(s.path, form))
	return s
}

var stepField = regexp.MustCompile(`name="step" value="([a-z]*)"`)

func (s *seat) step() string {
	if m := stepField.FindStringSubmatch(s.page.Body); m != nil {
		return m[1]
	}
	return ""
}

// back is where the last page sent the browser.
func (s *seat) back() *url.URL {
	s.Helper()
	require.Equal(s, http.StatusFound, s.page.Status, s.page.Body)
	u, err := url.Parse(s.page.Header.Get("Location"))
	require.NoError(s, err)
	return u
}

var (
	button = regexp.MustCompile(`<button[^>]*>`)
	tag    = regexp.MustCompile(`<[^>]*>`)
	quoted = regexp.MustCompile(`"[^"]*"`)
)

// holdPage asserts what the contract says of every page: no script, nothing
// from elsewhere, and where there is a form, one, whose main button is first.
func holdPage(t *testing.T, a answer, refusable bool) {
	t.Helper()
	body := strings.ToLower(a.Body)
	assert.Equal(t, "text/html; charset=utf-8", a.Header.Get("Content-Type"))
	assert.Equal(t, "nosniff", a.Header.Get("X-Content-Type-Options"))
	assert.Equal(t, "no-referrer", a.Header.Get("Referrer-Policy"))
	assert.Equal(t, "no-store", a.Header.Get("Cache-Control"))
	csp := a.Header.Get("Content-Security-Policy")
	assert.Contains(t, csp, "default-src 'none'")
	assert.Contains(t, csp, "frame-ancestors 'none'")
	assert.NotContains(t, csp, "unsafe")
	assert.NotContains(t, body, "<script")
	for _, m := range tag.FindAllString(body, -1) {
		assert.NotRegexp(t, ` on[a-z]+=`, quoted.ReplaceAllString(m, ""))
		assert.NotContains(t, m, "javascript:")
	}
	assert.NotRegexp(t, `<(img|iframe|link|object)\b`, body)
	assert.NotContains(t, a.Body, "<i>Budget</i>")
	assert.Equal(t, 1, strings.Count(body, "<h1>"))
	buttons := button.FindAllString(body, -1)
	if !refusable {
		assert.LessOrEqual(t, strings.Count(body, "<form"), 1)
		return
	}
	assert.Equal(t, 1, strings.Count(body, `<form method="post"`))
	assert.Equal(t, 1, strings.Count(body, "<form"))
	require.Len(t, buttons, 2, "the main one, and one that refuses")
	assert.NotContains(t, buttons[0], "deny")
	assert.Contains(t, buttons[1], `name="deny"`)
}

func TestAPersonWalksThroughEveryPage(t *testing.T) {
	w := newWorld(t)
	s := w.sit(w.dialog("provider_id", "", "providers", "uk-ob-all"))
	for _, page := range []struct {
		step  string
		shows []string
		typed []string
	}{
		{"bank", []string{"Choose your bank", "Mock Bank", "Mock Banque", "Mock Sparkasse", "Acme &lt;i&gt;Budget&lt;/i&gt;"}, []string{"provider_id", "mock-de"}},
		{"inputs", []string{"Mock Sparkasse needs a little more", `name="iban"`, `name="branch_code"`}, []string{"iban", "DE02120300000000202051", "branch_code", "12030000"}},
		{"consent", []string{"Share your data from Mock Sparkasse", "Your accounts and their numbers"}, nil},
		{"login", []string{"Sign in to Mock Sparkasse", `type="password"`}, []string{"username", "john7", "password", "doe7"}},
		{"approve", []string{"Allow access?", w.bank.Clock().Now().Add(90 * day).Format("2 January 2006")}, nil},
	} {
		require.Equal(t, 200, s.page.Status, s.page.Body)
		require.Equal(t, page.step, s.step())
		holdPage(t, s.page, true)
		for _, text := range page.shows {
			assert.Contains(t, s.page.Body, text)
		}
		s.press(page.typed...)
	}
	back := s.back().Query()
	assert.Equal(t, "st", back.Get("state"))
	assert.Equal(t, 200, w.exchange(back.Get("code")).Status)
}

func TestWhatIsTypedWrongIsAskedForAgain(t *testing.T) {
	w := newWorld(t)
	s := w.sit(w.dialog("provider_id", "", "providers", "mock-de mock-fr"))
	again := func(status int, step, text string) {
		t.Helper()
		assert.Equal(t, status, s.page.Status)
		assert.Equal(t, step, s.step(), "nobody gets on")
		assert.Contains(t, s.page.Body, text)
		assert.Contains(t, s.page.Body, `role="alert"`)
		holdPage(t, s.page, true)
	}
	assert.NotContains(t, s.page.Body, `value="mock"`, "only what the link offers")
	for _, chosen := range []string{"", "mock", "nothing", "<script>"} {
		s.press("provider_id", chosen)
		again(422, "bank", "Please choose a bank.")
	}
	s.press("provider_id", "mock-de")
	s.press("iban", "  ", "branch_code", "1")
	again(422, "inputs", "Please fill in: IBAN.")
	s.press("iban", "DE02", "branch_code", "")
	again(422, "inputs", "Please fill in: Branch code")
	s.press("iban", "DE02", "branch_code", "1").press()
	for _, wrong := range [][2]string{{"john", "wrong"}, {"", ""}, {"john101", "doe101"}, {`"><script>alert(1)</script>`, "doe"}, {"' OR 1=1 --", "x"}} {
		s.press("username", wrong[0], "password", wrong[1])
		again(401, "login", "User name and password do not match")
		assert.NotContains(t, s.page.Body, "alert(1)", "what was typed is not shown")
		assert.NotContains(t, s.page.Body, "wrong")
	}
	assert.Empty(t, w.bank.Connections(), "a failed login links nothing")
	s.press("username", "john", "password", "doe").press()
	assert.NotEmpty(t, s.back().Query().Get("code"))
}

func TestTheBackButtonGoesOnWhereTheJourneyIs(t *testing.T) {
	w := newWorld(t)
	s := w.sit(w.dialog())
	first := s.step()
	s.press()
	require.Equal(t, "login", s.step())
	s.press("step", first)
	assert.Equal(t, 200, s.page.Status)
	assert.Equal(t, "login", s.step(), "an old page's button takes no step")
	s.press("username", "john", "password", "doe")
	s.press("step", "login", "username", "john2", "password", "doe2")
	require.Equal(t, "approve", s.step())
	s.press()
	a := w.exchange(s.back().Query().Get("code"))
	assert.Equal(t, "john", w.bank.Connections()[0].Login)
	assert.Equal(t, 200, a.Status)
}

// No is an answer on every page, and it leaves everything as it was.
func TestSomebodySaysNoOnEachPage(t *testing.T) {
	w := newWorld(t)
	way := [][]string{{"provider_id", "mock"}, {}, {"username", "john", "password", "doe"}, {}}
	for stop := range way {
		s := w.sit(w.dialog("provider_id", "", "providers", "mock"))
		for _, typed := range way[:stop] {
			s.press(typed...)
		}
		s.press("deny", "deny")
		q := s.back().Query()
		assert.Equal(t, url.Values{"error": {"access_denied"}, "state": {"st"}}, q)
		assert.Empty(t, w.bank.Connections())
		assert.Equal(t, http.StatusGone, w.get(s.path, "").Status, "the link is used")
	}
	g := w.linked(bankbrowser.John())
	before := w.bank.Connections()
	for _, typed := range [][]string{nil, {"username", "john", "password", "doe"}} {
		s := w.sit(w.reauth(g.refresh).text("result"))
		if typed != nil {
			s.press(typed...)
		}
		s.press("deny", "deny")
		assert.Equal(t, "access_denied", s.back().Query().Get("error"))
	}
	assert.Equal(t, before, w.bank.Connections(), "a working consent stays as it is")
	w.me(g.access)
}

// A page that is only looked at, by whatever follows links, changes nothing.
func TestALookChangesNothing(t *testing.T) {
	w := newWorld(t)
	g := w.linked(bankbrowser.John())
	link := w.reauth(g.refresh).text("result")
	path := strings.TrimPrefix(link, w.at)
	for range 3 {
		assert.Equal(t, 200, w.get(path, "").Status)
		assert.Equal(t, 200, w.send("HEAD", path, "", "", "").Status)
	}
	assert.Equal(t, "again", w.visit(bankbrowser.John(), link).Get("state"))
}

func TestALinkDiesOfAge(t *testing.T) {
	w := newWorld(t)
	g := w.linked(bankbrowser.John())
	link := w.reauth(g.refresh).text("result")
	w.advance(23 * time.Hour)
	assert.Equal(t, 200, w.sit(link).page.Status)
	w.advance(time.Hour)
	s := w.sit(link)
	assert.Equal(t, http.StatusGone, s.page.Status)
	holdPage(t, s.page, false)
	w.advance(2 * day)
	s = w.sit(link)
	assert.Equal(t, http.StatusNotFound, s.page.Status, "and is forgotten")
	holdPage(t, s.page, false)
}

const hostile = `"'><script>alert(1)</script><img src=x onerror=alert(2)>`

// Whatever a link carries, a page shows it as text or not at all, and what
// goes back goes back byte for byte.
func TestNothingFromALinkRunsOnAPage(t *testing.T) {
	w := newWorld(t, func(o *sandbox.Options) { o.ClientName = hostile })
	for name, link := range map[string]string{
		"state":           w.dialog("state", hostile),
		"client":          w.dialog("client_id", hostile),
		"bank":            w.dialog("provider_id", hostile),
		"banks":           w.dialog("provider_id", "", "providers", hostile),
		"scope":           w.dialog("scope", hostile),
		"redirect":        w.dialog("redirect_uri", `https://app.example/cb?x="><script>alert(1)</script>`),
		"no redirect":     w.dialog("redirect_uri", hostile),
		"response type":   w.dialog("response_type", hostile),
		"challenge":       w.dialog("code_challenge", hostile, "code_challenge_method", hostile),
		"another's path":  w.at + "/bank/" + url.PathEscape(hostile),
		"nothing":         w.at + "/?" + url.QueryEscape(hostile),
		"a bad escape":    w.dialog() + "&x=%zz;<script>",
		"nowhere to go":   w.at + "/",
		"an unknown page": w.at + "/connect/x",
	} {
		s := w.sit(link)
		holdPage(t, s.page, s.step() != "")
		assert.NotContains(t, s.page.Body, "<script>", name)
		assert.NotContains(t, s.page.Body, "<img", name)
	}

	const odd = `https://app.example/c%20b/?x="><script>alert(1)</script>&y=a+b%2F&z='`
	v, err := bankbrowser.John().Go(t.Context(), w.dialog("redirect_uri", odd, "state", hostile))
	require.NoError(t, err)
	require.NotNil(t, v.Return)
	assert.Equal(t, hostile, v.Return.Query().Get("state"))
	s := w.sit(w.dialog("redirect_uri", odd, "state", hostile)).press().press("username", "john", "password", "doe").press()
	assert.True(t, strings.HasPrefix(s.page.Header.Get("Location"), odd+"&"), s.page.Header.Get("Location"))

	s = w.sit(w.dialog("redirect_uri", odd, "state", hostile, "response_mode", "form_post")).press().press("username", "john", "password", "doe").press()
	require.Equal(t, 200, s.page.Status)
	holdPage(t, s.page, false)
	assert.Contains(t, s.page.Body, `name="code"`)
	assert.Contains(t, s.page.Body, `name="state"`)
	v, err = bankbrowser.John().Go(t.Context(), w.dialog("redirect_uri", odd, "state", hostile, "response_mode", "form_post"))
	require.NoError(t, err)
	require.NotNil(t, v.Return)
	assert.Equal(t, hostile, v.Form.Get("state"))
	assert.Equal(t, 200, w.exchange(v.Form.Get("code"), "redirect_uri", odd).Status)
}

// A state is bytes; none comes back where none was sent.
func TestStatesComeBackByteForByte(t *testing.T) {
	w := newWorld(t)
	for _, state := range []string{"", "a b+c%2F", "\xff\x00\r\n", "é🏦\u2028", strings.Repeat("long", 2000), `{"a":"\u0000"}`} {
		q := w.visit(bankbrowser.John(), w.dialog("state", state))
		assert.Equal(t, state, q.Get("state"))
		assert.True(t, q.Has("state"))
	}
	link, err := url.Parse(w.dialog())
	require.NoError(t, err)
	q := link.Query()
	q.Del("state")
	link.RawQuery = q.Encode()
	assert.False(t, w.visit(bankbrowser.John(), link.String()).Has("state"))
}

func TestAPageThatIsSentRubbish(t *testing.T) {
	w := newWorld(t)
	s := w.sit(w.dialog())
	for name, a := range map[string]answer{
		"a bad escape": w.send("POST", s.path, "application/x-www-form-urlencoded", "step=%zz", ""),
		"a big body":   w.send("POST", s.path, "application/x-www-form-urlencoded", "step="+strings.Repeat("x", 2<<20), ""),
	} {
		assert.Equal(t, 400, a.Status, name)
		holdPage(t, a, false)
	}
	assert.Equal(t, "consent", w.sit(w.at+s.path).step())
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.at+"/nowhere", http.NoBody)
	require.NoError(t, err)
	req.Header.Set("Accept", "text/html")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, 404, resp.StatusCode)
	assert.Contains(t, resp.Header.Get("Content-Type"), "text/html")
}
