package api_test

import (
	"bytes"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/provider/sandbox/bankbrowser"
)

var form = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}

// addressed stores a user, and returns the path of an unsubscribe link.
func (w *world) addressed(id string) string {
	w.Helper()
	require.Equal(w, 200, w.call("PUT", "/v1/users/"+url.PathEscape(id), map[string]any{"email": "ada@example.org", "name": "Ada"}).status)
	return w.unsubscribeLink(&w.app, id)
}

func (w *world) unsubscribeLink(app *consent.Application, user string) string {
	w.Helper()
	u, err := w.conn.User(w.Context(), app, user)
	if err != nil {
		u = consent.User{ID: user, Email: "ada@example.org"} // nobody
	}
	link, err := w.conn.UnsubscribeLink(app, &u)
	require.NoError(w, err)
	path, ours := strings.CutPrefix(link, w.url)
	require.True(w, ours, link)
	return path
}

// unsubscribed is what GET says of a user.
func (w *world) unsubscribed(id string) any {
	w.Helper()
	return w.call("GET", "/v1/users/"+id, nil).json(w.T)["unsubscribed_at"]
}

func TestOneClickEndsTheReminders(t *testing.T) {
	var body bytes.Buffer
	m := multipart.NewWriter(&body)
	require.NoError(t, m.WriteField("List-Unsubscribe", "One-Click"))
	require.NoError(t, m.Close())
	for name, post := range map[string]struct {
		header http.Header
		body   string
	}{ // both forms of RFC 8058, 3.2
		"urlencoded": {form, "List-Unsubscribe=One-Click"},
		"multipart":  {http.Header{"Content-Type": {m.FormDataContentType()}}, body.String()},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			link := w.addressed("ada")
			w.addressed("bob")
			a := w.send("POST", link, post.header, []byte(post.body))
			assert.Equal(t, "You get no more reminders", w.page(a))
			assert.Empty(t, a.header.Values("Set-Cookie"))
			since := w.unsubscribed("ada")
			require.NotNil(t, since)
			require.Equal(t, 200, w.send("POST", link, post.header, []byte(post.body)).status, "twice is once")
			assert.Equal(t, since, w.unsubscribed("ada"))
			assert.Nil(t, w.unsubscribed("bob"))

			put := w.call("PUT", "/v1/users/ada", map[string]any{"email": "other@example.org"})
			assert.Equal(t, since, put.json(t)["unsubscribed_at"], "an application's PUT does not take it back")
			assert.Equal(t, 400, w.call("PUT", "/v1/users/ada", map[string]any{"unsubscribed_at": nil}).status, "nor can it ask for that")
		})
	}
}

func TestLookingAtAnUnsubscribeLinkChangesNothing(t *testing.T) {
	w := newWorld(t)
	link := w.addressed("ada")
	for range 3 {
		assert.Equal(t, "Stop these reminders?", w.page(w.send("GET", link, nil, nil)))
		assert.Equal(t, 200, w.send("HEAD", link, nil, nil).status)
	}
	for _, body := range []string{"", "List-Unsubscribe=", "list-unsubscribe=One-Click", "do=", "do=else", "proceed=1", "do=unsubscribe", "do=unsubscribe&proceed=guessed"} {
		assert.Equal(t, "Stop these reminders?", w.page(w.send("POST", link, form, []byte(body))), body)
	}
	w.send("POST", link, http.Header{"Content-Type": {"application/json"}}, []byte(`{"List-Unsubscribe":"One-Click"}`))
	w.send("POST", link, form, []byte("x="+strings.Repeat("a", 1<<17)+"&do=unsubscribe"))
	w.send("POST", link+"?do=unsubscribe&List-Unsubscribe=One-Click", form, nil)
	assert.Nil(t, w.unsubscribed("ada"))
}

func TestThePageEndsTheRemindersAndTakesItBack(t *testing.T) {
	w := newWorld(t)
	link := w.addressed("ada")
	for range 2 {
		for _, step := range []struct{ shows, does string }{{"Stop these reminders?", "unsubscribe"}, {"You get no more reminders", "resubscribe"}} {
			a := w.send("GET", link, nil, nil)
			assert.Equal(t, step.shows, w.page(a))
			assert.Contains(t, string(a.body), `action="`+link+`"`)
			assert.Contains(t, string(a.body), `name="do" value="`+step.does+`"`)
			assert.Contains(t, string(a.body), "Acme &lt;b&gt;&amp;")
			assert.NotContains(t, string(a.body), "ada@example.org", "whoever holds the link does not learn the address")
			assert.Equal(t, 200, w.submit(a).status)
			assert.Equal(t, step.does == "unsubscribe", w.unsubscribed("ada") != nil)
		}
	}
}

func TestUnsubscribeLinksThatAreNotOurs(t *testing.T) {
	w := newWorld(t)
	link := w.addressed("ada")
	other, _ := w.application(w.store, "other", w.bankURL)
	_, token, _ := strings.Cut(link, "/u/acme.")
	reconnect := w.call("POST", "/v1/consents/"+w.linked("ada", bankbrowser.John())+"/reconnect-links", map[string]any{}).json(t)["url"].(string)
	_, theirs, _ := strings.Cut(w.unsubscribeLink(&other, "ada"), "/u/other.")
	for _, path := range []string{
		"/u/acme.", "/u/acme." + token[:len(token)-1], "/u/acme." + token[1:], "/u/acme." + token + "A", "/u/acme." + token[:20] + string('A'+(token[20]+1)%26) + token[21:],
		"/u/other." + token, "/u/acme." + theirs, "/u/nobody." + token, "/u/" + token, "/u/.", "/u/acme.%00", "/u/acme." + strings.Repeat("A", 5000),
		"/u/" + reconnect[strings.LastIndex(reconnect, "/")+1:], w.unsubscribeLink(&w.app, "nobody"), w.unsubscribeLink(&w.app, ""),
	} {
		for _, method := range []string{"GET", "POST"} {
			a := w.send(method, path, form, []byte("List-Unsubscribe=One-Click"))
			assert.Equal(t, 404, a.status, "%s %s", method, path)
			assert.Equal(t, "We do not know this link", w.page(a))
		}
	}
	assert.Nil(t, w.unsubscribed("ada"))
}

func TestAnUnsubscribeLinkWorksForYearsAndNeverAfterAnErasure(t *testing.T) {
	w := newWorld(t)
	const name = "Zoë 銀行 🏦"
	link := w.addressed(name)
	require.NoError(t, w.bank.Clock().Advance(5*365*24*time.Hour))
	assert.Equal(t, 200, w.send("POST", link, form, []byte("List-Unsubscribe=One-Click")).status)
	id := url.PathEscape(name)
	assert.NotNil(t, w.unsubscribed(id))
	require.Equal(t, 204, w.call("DELETE", "/v1/users/"+id, nil).status)
	assert.Equal(t, 404, w.send("GET", link, nil, nil).status)
}

func TestAnUnsubscribeLinkGoesWithItsAddress(t *testing.T) {
	w := newWorld(t)
	link := w.addressed("ada")
	require.Equal(t, 200, w.call("PUT", "/v1/users/ada", map[string]any{"email": "ada@elsewhere.example", "name": "Ada"}).status)
	for _, method := range []string{"GET", "POST"} {
		assert.Equal(t, 404, w.send(method, link, form, []byte("List-Unsubscribe=One-Click")).status)
	}
	assert.Nil(t, w.unsubscribed("ada"), "a mail to a former address says nothing about the new one")
}

func TestAddressesThatCannotBeWrittenToAreNotStored(t *testing.T) {
	w := newWorld(t)
	local := func(n int) string { return strings.Repeat("a", n-len("@example.org")) + "@example.org" }
	for _, tt := range []struct{ field, value, says string }{
		{"email", "ada", "single address"}, {"email", "ada@", "single address"}, {"email", "@example.org", "single address"},
		{"email", "a@example.org, b@example.org", "single address"}, {"email", "Ada <ada@example.org>", "single address"}, {"email", "ada@exam ple.org", "single address"},
		{"email", local(255), "254"}, {"email", local(300), "254"}, {"email", "ada@example.org\r\nBcc: b@example.org", "single address"}, {"email", "a\x00da@example.org", "single address"},
		{"email", "\"a\tb\"@example.org", "single address"}, {"email", "ada@example.org\n", "single address"}, {"email", "zoë@example.org", "ASCII"},
		{"phone", "020 7183 8750", "E.164"}, {"phone", "+44 20 7183 8750", "+442071838750"}, {"phone", "00442071838750", "E.164"}, {"phone", "+", "E.164"},
		{"phone", "+4420718387", "digit"}, {"phone", "+44207183875000", "digit"}, {"phone", "+999123456789", "E.164"}, {"phone", "+442071838750\n", "E.164"},
		{"phone", "+442071838750;ext=1", "E.164"}, {"phone", "tel:+442071838750", "E.164"}, {"phone", "+" + strings.Repeat("4", 300), "E.164"},
	} {
		a := w.call("PUT", "/v1/users/ada", map[string]any{tt.field: tt.value})
		assert.Equal(t, 400, a.status, "%q", tt.value)
		p := a.json(t)
		assert.Equal(t, "invalid_request", p["code"])
		assert.Contains(t, p["detail"], tt.says, "%q", tt.value)
		assert.Equal(t, 404, w.call("GET", "/v1/users/ada", nil).status, "%q", tt.value)
	}
	for _, good := range []map[string]any{
		{"email": "a@example.org", "phone": "+442071838750"}, {"phone": "+4915123456789"}, {"phone": "+33612345678"}, {"phone": "+12025550123"},
	} {
		assert.Equal(t, 200, w.call("PUT", "/v1/users/ada", good).status, "%v", good)
	}
}

func TestARefusedAddressIsClearedByTheApplication(t *testing.T) {
	w := newWorld(t)
	require.Equal(t, 200, w.call("PUT", "/v1/users/ada", map[string]any{"email": "ada@example.org", "phone": "+442071838750"}).status)
	_, err := w.store.DB().ExecContext(t.Context(), `UPDATE users SET email_refused_at = 1, phone_refused_at = 1`)
	require.NoError(t, err)
	user := w.call("GET", "/v1/users/ada", nil).json(t)
	require.Contains(t, user, "email_refused_at")
	require.Contains(t, user, "phone_refused_at")
	require.Equal(t, 204, w.call("DELETE", "/v1/users/ada/refusals", nil).status)
	user = w.call("GET", "/v1/users/ada", nil).json(t)
	assert.NotContains(t, user, "email_refused_at")
	assert.NotContains(t, user, "phone_refused_at")
	assert.Equal(t, 204, w.call("DELETE", "/v1/users/ada/refusals", nil).status, "as often as it is said")
}
