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
	"github.com/reconsent/reconsent/locale"
	"github.com/reconsent/reconsent/provider/sandbox/bankbrowser"
)

// extending has people reconfirm with us.
func extending(a *consent.Application) {
	p := a.Policies["truelayer"]
	p.RenewBy = consent.RenewByExtend
	a.Policies["truelayer"] = p
}

// reading is a browse in a language.
func (w *world) reading(path, language string) answer {
	w.Helper()
	return w.send("GET", path, http.Header{"Accept": {"text/html"}, "Accept-Language": {language}}, nil)
}

// hidden reads the fields of a page's form.
func hidden(a answer) url.Values {
	v := url.Values{}
	for _, m := range regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`).FindAllSubmatch(a.body, -1) {
		v.Set(string(m[1]), html.UnescapeString(string(m[2])))
	}
	return v
}

// submit is what a browser does with a page's one form.
func (w *world) submit(shown answer) answer {
	w.Helper()
	m := regexp.MustCompile(`<form method="post" action="([^"]*)">`).FindAllSubmatch(shown.body, -1)
	require.Len(w, m, 1, "%s", shown.body)
	return w.send("POST", html.UnescapeString(string(m[0][1])), form, []byte(hidden(shown).Encode()))
}

// person has contact details and a consent of their own.
func (w *world) person(user string, details map[string]any) (id string) {
	w.Helper()
	contact := map[string]any{"email": user + "@mail.example", "name": "Ada Lovelace"}
	for name, value := range details {
		contact[name] = value
	}
	require.Equal(w, 200, w.call("PUT", "/v1/users/"+user, contact).status)
	w.browse(w.hosted(user, bankbrowser.John(), map[string]any{"return_to": appReturn}))
	return w.only(user)
}

// ownLink makes a link without an address of the application's to go on to.
func (w *world) ownLink(id string) string {
	w.Helper()
	a := w.call("POST", "/v1/consents/"+id+"/reconnect-links", map[string]any{})
	require.Equal(w, 201, a.status, "%s", a.body)
	u, err := url.Parse(a.json(w.T)["url"].(string))
	require.NoError(w, err)
	return u.Path
}

// mailedLink is the link that a message to an address carries.
func (w *world) mailedLink(id, address string) string {
	w.Helper()
	con, err := w.conn.Consent(w.Context(), &w.app, id)
	require.NoError(w, err)
	links, err := w.conn.MessageLinks(w.Context(), &w.app, []consent.MessageLink{{MessageID: "dgt_test", Consent: &con, Address: address}})
	require.NoError(w, err)
	return strings.TrimPrefix(links[0], w.url)
}

// Each page in each language: nothing is left out, and nothing stays English.
func TestEveryPageInEveryLanguage(t *testing.T) {
	w := newWorld(t, func(a *consent.Application) { a.Name = "Acme Budget" })
	id := w.person("u1", nil)
	link := w.ownLink(id)
	denied := bankbrowser.John()
	denied.Deny = true
	refused := w.back(denied, location(t, w.submit(w.reading(link, "en"))).String())
	other := w.back(bankbrowser.Numbered(2), location(t, w.submit(w.reading(link, "en"))).String())
	stop := w.unsubscribeLink(&w.app, "u1")
	moved := w.mailedLink(id, "former@mail.example")
	english := map[string]string{}
	shows := func(name string, status int, look func(language string) answer, says ...string) {
		t.Helper()
		for _, lang := range locale.All() {
			a := look(lang.Tag())
			title := w.page(a)
			text := regexp.MustCompile(`(?s)<style>.*?</style>`).ReplaceAllString(string(a.body), "")
			assert.Equal(t, status, a.status, "%s %s", name, lang.Tag())
			assert.Contains(t, text, `<html lang="`+lang.Tag()+`"`, name)
			assert.NotContains(t, text, "pages.", "%s %s: a message that is missing", name, lang.Tag())
			assert.NotContains(t, text, "no value", "%s %s", name, lang.Tag())
			assert.Less(t, len(a.body), 30<<10)
			for _, s := range says {
				assert.Contains(t, text, s, "%s %s", name, lang.Tag())
			}
			if lang == locale.English {
				english[name] = title
			} else {
				assert.NotEqual(t, english[name], title, "%s %s", name, lang.Tag())
			}
		}
	}
	check := func(name, path string, status int, says ...string) {
		t.Helper()
		shows(name, status, func(language string) answer { return w.reading(path, language) }, says...)
	}
	check("ready", link, 200, "Mock Bank", "••", "UTC", "Acme Budget")
	check("stop", stop, 200, "Acme Budget")
	check("moved", moved, 410, "Acme Budget")
	check("unknown link", "/r/x", 404)
	check("cut off", "/r/", 404)
	check("nothing", "/nothing", 404)
	check("incomplete", "/callback", 400)
	check("unknown state", "/callback?code=x&state=acme.x", 400)
	check("denied", refused.RequestURI(), 200, "Acme Budget")
	check("other login", other.RequestURI(), 409, "Acme Budget", "••")
	broken := w.returnOf(link, url.Values{"error": {"server_error"}})
	check("trouble", broken, 200, "Acme Budget")
	forged := w.returnOf(link, url.Values{"code": {"forged"}})
	check("refused", forged, 200, "Acme Budget")
	check("first link denied", w.hosted("u7", denied, nil).RequestURI(), 200, "Acme Budget")
	waiting, pressed := w.returnOf(link, url.Values{"code": {"c"}}), w.reading(link, "en")
	require.NoError(t, w.bank.SetFault("internal_error", 500))
	check("away on the way back", waiting, 503, "href=\"\"")
	shows("away", 503, func(language string) answer { return w.submitting(pressed, language) }, "<form")
	require.NoError(t, w.bank.SetFault("internal_error", 0))

	two := w.person("u2", nil)
	w.exec(`UPDATE consents SET accounts = 'elsewhere' WHERE id = ?`, two)
	accounts := w.back(bankbrowser.John(), location(t, w.submit(w.reading(w.ownLink(two), "en"))).String())
	check("other accounts", accounts.RequestURI(), 409, "••")
	three := w.person("u3", nil)
	renewed := w.ownLink(three)
	connected := w.back(bankbrowser.John(), location(t, w.submit(w.reading(renewed, "en"))).String())
	check("connected", connected.RequestURI(), 200, "Mock Bank", "••")
	check("renewed", renewed, 200, "Mock Bank")
	require.Equal(t, 200, w.send("POST", stop, form, []byte("List-Unsubscribe=One-Click")).status)
	check("stopped reminders", stop, 200, "Acme Budget", "<form")
	app := w.app
	app.ConfirmLinks = true
	require.NoError(t, w.conn.UpdateApplication(t.Context(), app))
	check("pending", w.hosted("u8", bankbrowser.Numbered(8), nil).RequestURI(), 200, "Acme Budget")
	app.ConfirmLinks = false
	require.NoError(t, w.conn.UpdateApplication(t.Context(), app))
	late := w.returnOf(link, url.Values{"code": {"c"}})
	require.NoError(t, w.bank.Clock().Advance(2*time.Hour))
	check("late", late, 410, "Acme Budget", "<form")

	require.NoError(t, w.bank.Clock().Advance(31*day))
	check("expired", link, 410, "Mock Bank", "••", "<form")
	expired := w.reading(link, "en")
	shows("sent", 200, func(language string) answer {
		require.NoError(t, w.bank.Clock().Advance(day))
		return w.submitting(expired, language)
	}, "Acme Budget")
	for range 3 {
		w.submit(expired)
	}
	shows("often", 429, func(language string) answer { return w.submitting(expired, language) })
	require.NoError(t, w.bank.Clock().Advance(60*day))
	check("stopped", w.ownLink(id), 200, "Mock Bank")
	check("connected, and lapsed", connected.RequestURI(), 410, "Mock Bank")
	extending(&app)
	require.NoError(t, w.conn.UpdateApplication(t.Context(), app))
	check("statement", w.ownLink(two), 200, "<blockquote>", "••", "Mock Bank", "Acme Budget")
	require.NoError(t, w.bank.Clock().Advance(90*day))
	replaced := w.ownLink(id)
	w.browse(w.back(bankbrowser.Numbered(5), location(t, w.submit(w.reading(replaced, "en"))).String()))
	check("replaced", replaced, 200, "Mock Bank")
	require.NoError(t, w.bank.Clock().Advance(100*day))
	check("replaced, and lapsed", replaced, 410, "Mock Bank")
	require.Equal(t, 200, w.call("DELETE", "/v1/consents/"+id, nil).status)
	check("ended", link, 410, "Acme Budget")
	require.NoError(t, w.store.Close())
	check("broken", link, 500, "href=\"\"")
}

// returnOf presses a link, and is where the bank then leads back to with that.
func (w *world) returnOf(link string, with url.Values) string {
	w.Helper()
	back := w.back(bankbrowser.John(), location(w.T, w.submit(w.reading(link, "en"))).String())
	with.Set("state", back.Query().Get("state"))
	return "/callback?" + with.Encode()
}

// submitting is a submit in a language.
func (w *world) submitting(shown answer, language string) answer {
	w.Helper()
	header := form.Clone()
	header.Set("Accept-Language", language)
	action := regexp.MustCompile(`<form method="post" action="([^"]*)">`).FindSubmatch(shown.body)
	require.NotNil(w, action, "%s", shown.body)
	return w.send("POST", html.UnescapeString(string(action[1])), header, []byte(hidden(shown).Encode()))
}

func TestAPageSpeaksTheUsersLanguageAndTime(t *testing.T) {
	w := newWorld(t)
	link := w.ownLink(w.person("u1", map[string]any{"locale": "pl-PL", "time_zone": "Europe/Warsaw"}))
	a := w.reading(link, "de")
	assert.Equal(t, "Zachowaj połączenie: Mock Bank", w.page(a))
	assert.Contains(t, string(a.body), `lang="pl"`)
	assert.Regexp(t, `godz\. \d\d:\d\d \(CES?T\)`, string(a.body))

	plain := w.ownLink(w.person("u2", nil))
	assert.Equal(t, "Mock Bank verbunden halten", w.page(w.reading(plain, "ja, de-AT;q=0.8")), "the browser's, where the user's is not known")
	assert.Equal(t, "Keep Mock Bank connected", w.page(w.reading(plain, "ja")))
}

func TestTheStatementRecordedIsTheOneShown(t *testing.T) {
	w := newWorld(t, extending)
	for _, language := range []string{"en", "fr"} {
		id := w.person("u-"+language, nil)
		link := w.ownLink(id)
		shown := w.reading(link, language)
		words := hidden(shown).Get("statement")
		require.NotEmpty(t, words, "%s", shown.body)
		assert.Contains(t, string(shown.body), "<blockquote>"+html.EscapeString(words)+"</blockquote>", "what is posted is what is shown")
		for _, part := range []string{"Acme <b>&", "Mock Bank", "••", "90"} {
			assert.Contains(t, words, part)
		}
		assert.Equal(t, words, hidden(w.reading(link, language)).Get("statement"), "the same words for the same link")

		fields := hidden(shown)
		fields.Set("statement", words+" And more.")
		a := w.send("POST", link, form, []byte(fields.Encode()))
		assert.Equal(t, 200, a.status)
		assert.Contains(t, string(a.body), "<blockquote>", "other words are not recorded: the page is shown again")
		assert.Empty(t, w.call("GET", "/v1/consents/"+id+"/confirmations", nil).json(t)["confirmations"])

		done := w.submit(shown)
		require.Equal(t, http.StatusSeeOther, done.status, "%s", done.body)
		if to := done.header.Get("Location"); strings.HasPrefix(to, "/r/") {
			assert.Equal(t, link, to)
			after := w.browse(&url.URL{Path: to})
			assert.Equal(t, "Mock Bank is connected", w.page(after))
		} else {
			assert.True(t, strings.HasPrefix(to, w.bankURL), to)
		}
		acts := w.call("GET", "/v1/consents/"+id+"/confirmations", nil).json(t)["confirmations"].([]any)
		require.Len(t, acts, 1)
		assert.Equal(t, words, acts[0].(map[string]any)["statement"])
	}
}

func TestAConfirmationWithoutAVisitGoesOnToTheApplication(t *testing.T) {
	w := newWorld(t, extending)
	require.Equal(t, 200, w.call("PUT", "/v1/users/u1", map[string]any{"email": "u1@mail.example", "name": "Ada"}).status)
	p := bankbrowser.John()
	p.Password = "eternal"
	w.browse(w.hosted("u1", p, map[string]any{"return_to": appReturn}))
	id := w.only("u1")
	link := w.reconnectLink(id)
	q := location(t, w.submit(w.browse(link))).Query()
	assert.Equal(t, "renewed", q.Get("status"))
	assert.Equal(t, "mail", q.Get("state"))
	assert.Equal(t, id, q.Get("consent_id"))
	assert.NotEmpty(t, q.Get("credentials_id"))
}

func TestAnExpiredLinkIsSentAnew(t *testing.T) {
	w := newWorld(t)
	id := w.person("u1", nil)
	link := w.ownLink(id)
	require.NoError(t, w.bank.Clock().Advance(31*day))
	shown := w.browse(&url.URL{Path: link})
	assert.Equal(t, "This link has expired", w.page(shown))
	for range 3 {
		a := w.submit(shown)
		assert.Equal(t, 200, a.status)
		assert.Equal(t, "Please look at your email", w.page(a))
		assert.NotContains(t, string(a.body), "mail.example", "no address is shown")
	}
	a := w.submit(shown)
	assert.Equal(t, http.StatusTooManyRequests, a.status)
	assert.Equal(t, "You have asked several times", w.page(a))
	assert.NotEmpty(t, a.header.Get("Retry-After"))
	assert.Equal(t, http.StatusGone, w.send("POST", link, form, []byte("do=resend")).status, "not without the page's own value")
	require.NoError(t, w.bank.Clock().Advance(time.Hour))
	assert.Equal(t, 200, w.submit(shown).status, "another hour")
	assert.Equal(t, "This link has expired", w.page(w.browse(&url.URL{Path: link})), "the old one stays dead")
}

func TestNewLinksAreMailedTenTimesADay(t *testing.T) {
	w := newWorld(t)
	link := w.ownLink(w.person("u1", nil))
	require.NoError(t, w.bank.Clock().Set(w.bank.Clock().Now().Add(31*day).Truncate(day)))
	shown := w.browse(&url.URL{Path: link})
	for sent := range 10 {
		if sent > 0 && sent%3 == 0 {
			require.NoError(t, w.bank.Clock().Advance(time.Hour))
		}
		require.Equal(t, 200, w.submit(shown).status, sent)
	}
	require.NoError(t, w.bank.Clock().Advance(time.Hour))
	a := w.submit(shown)
	assert.Equal(t, http.StatusTooManyRequests, a.status)
	assert.Contains(t, string(a.body), "ask again tomorrow")
	require.NoError(t, w.bank.Clock().Advance(day))
	assert.Equal(t, 200, w.submit(shown).status)
}

// Where no mail can go no page promises one.
func TestNothingIsOfferedThatCannotBeMailed(t *testing.T) {
	for name, tt := range map[string]struct {
		setting func(*consent.Application)
		contact map[string]any
		mark    string // of the user, in SQL
	}{
		"an application that mails nothing": {setting: func(a *consent.Application) { a.NoMail = true }},
		"a paused one":                      {setting: func(a *consent.Application) { a.Paused = true }},
		"a phone only":                      {contact: map[string]any{"email": "", "phone": "+442071838750"}},
		"an address that was refused":       {mark: `UPDATE users SET email_refused_at = 1`},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(a *consent.Application) {
				if tt.setting != nil {
					tt.setting(a)
				}
			})
			link := w.ownLink(w.person("u1", tt.contact))
			require.NoError(t, w.bank.Clock().Advance(31*day))
			if tt.mark != "" {
				_, err := w.store.DB().ExecContext(t.Context(), tt.mark)
				require.NoError(t, err)
			}
			shown := w.browse(&url.URL{Path: link})
			assert.Equal(t, "This link has expired", w.page(shown))
			assert.NotContains(t, string(shown.body), "<form")
			assert.Contains(t, string(shown.body), "Please start from Acme")
			fields := url.Values{"proceed": {w.conn.ReconnectProofFor(link[len("/r/"):])}, "do": {"resend"}}
			posted := w.send("POST", link, form, []byte(fields.Encode()))
			assert.Equal(t, "This link has expired", w.page(posted), "nor by a form that was shown before")
		})
	}
}

func TestALinkToAFormerAddressSaysNothingOfTheAccount(t *testing.T) {
	w := newWorld(t)
	id := w.person("u1", nil)
	link := w.mailedLink(id, "u1@mail.example")
	shown := w.browse(&url.URL{Path: link})
	assert.Equal(t, "Keep Mock Bank connected", w.page(shown))
	require.Equal(t, 200, w.call("PUT", "/v1/users/u1", map[string]any{"email": "new@mail.example", "name": "Ada"}).status)
	for _, a := range []answer{w.browse(&url.URL{Path: link}), w.submit(shown)} {
		assert.Equal(t, http.StatusGone, a.status)
		assert.Equal(t, "This link is no longer valid", w.page(a))
		for _, secret := range []string{"••", "mail.example", "Ada", "Mock Bank"} {
			assert.NotContains(t, string(a.body), secret)
		}
	}
}

func TestALinkOfAnErasedPersonSaysNothingOfThem(t *testing.T) {
	w := newWorld(t)
	id := w.person("u1", nil)
	link := w.ownLink(id)
	shown := w.browse(&url.URL{Path: link})
	require.Equal(t, 204, w.call("DELETE", "/v1/users/u1", nil).status)
	for _, a := range []answer{w.browse(&url.URL{Path: link}), w.submit(shown)} {
		assert.Equal(t, http.StatusGone, a.status)
		assert.Equal(t, "This connection has ended", w.page(a))
		for _, secret := range []string{"••", "mail.example", "Ada", "u1", "Mock Bank"} {
			assert.NotContains(t, strings.ReplaceAll(string(a.body), link, ""), secret)
		}
	}
}

func TestAResultThatIsNoneLeadsOn(t *testing.T) {
	w := newWorld(t)
	id := w.person("u1", nil)
	link := w.ownLink(id)
	denied := bankbrowser.John()
	denied.Deny = true
	back := w.back(denied, location(t, w.submit(w.browse(&url.URL{Path: link}))).String())
	result := w.browse(back)
	assert.Equal(t, "You did not give permission", w.page(result))

	bare := hidden(result)
	bare.Set("proceed", "guessed")
	assert.Equal(t, 400, w.send("POST", "/callback/again", form, []byte(bare.Encode())).status, "not without the page's own value")
	for _, body := range []string{"", "state=acme.x&proceed=x", "state=%00"} {
		assert.Equal(t, 400, w.send("POST", "/callback/again", form, []byte(body)).status, body)
	}

	require.NoError(t, w.bank.SetFault("internal_error", 50))
	away := w.submit(result)
	assert.Equal(t, http.StatusServiceUnavailable, away.status)
	assert.Equal(t, "Your bank does not answer right now", w.page(away))
	assert.NotEmpty(t, away.header.Get("Retry-After"))
	assert.Contains(t, string(away.body), "Acme &lt;b&gt;&amp;")
	require.NoError(t, w.bank.SetFault("internal_error", 0))

	again := w.submit(away)
	renewed := w.browse(w.back(bankbrowser.John(), location(t, again).String()))
	assert.Equal(t, "Mock Bank is connected", w.page(renewed))
	assert.Contains(t, string(renewed.body), "••")
	assert.EqualValues(t, 2, w.call("GET", "/v1/consents/"+id, nil).json(t)["cycle"])
	assert.Equal(t, "You did not give permission", w.page(w.submit(result)), "what was renewed since begins no other trip")
	assert.NotContains(t, string(w.browse(back).body), "<form")
}

func TestAMachineThatRefusesAndPressesOnComesToAnEnd(t *testing.T) {
	w := newWorld(t)
	link := &url.URL{Path: w.ownLink(w.person("u1", nil))}
	denied := bankbrowser.John()
	denied.Deny = true
	next := w.submit(w.browse(link))
	for range 5 {
		next = w.submit(w.browse(w.back(denied, location(t, next).String())))
	}
	next = w.submit(w.browse(w.back(denied, location(t, next).String())))
	assert.Equal(t, http.StatusTooManyRequests, next.status)
	assert.Equal(t, "This could not be completed", w.page(next))
	assert.NotEmpty(t, next.header.Get("Retry-After"))
	assert.NotContains(t, string(next.body), "<form")
	assert.Equal(t, http.StatusSeeOther, w.submit(w.browse(link)).status, "the person's own link is as good as it was")
}

func TestAResultLeadsOnForADay(t *testing.T) {
	w := newWorld(t)
	link := w.ownLink(w.person("u1", nil))
	late := w.back(bankbrowser.John(), location(t, w.submit(w.browse(&url.URL{Path: link}))).String())
	require.NoError(t, w.bank.Clock().Advance(2*time.Hour))
	a := w.browse(late)
	assert.Equal(t, "That took too long", w.page(a))
	assert.Equal(t, http.StatusSeeOther, w.submit(a).status)
	require.NoError(t, w.bank.Clock().Advance(day))
	for _, after := range []answer{w.browse(late), w.submit(a)} {
		assert.Equal(t, http.StatusGone, after.status)
		assert.Equal(t, "That took too long", w.page(after))
		assert.NotContains(t, string(after.body), "<form")
		assert.Contains(t, string(after.body), "Please start again from Acme")
	}
}

func TestAPressThatFailsCanBeRepeated(t *testing.T) {
	w := newWorld(t)
	link := &url.URL{Path: w.ownLink(w.person("u1", nil))}
	require.NoError(t, w.bank.SetFault("internal_error", 50))
	a := w.submit(w.browse(link))
	assert.Equal(t, http.StatusServiceUnavailable, a.status)
	assert.Equal(t, "Your bank does not answer right now", w.page(a))
	assert.NotEmpty(t, a.header.Get("Retry-After"))
	assert.Contains(t, string(a.body), "Acme &lt;b&gt;&amp;")
	require.NoError(t, w.bank.SetFault("internal_error", 0))
	assert.Equal(t, http.StatusSeeOther, w.submit(a).status)
}

func TestNamesAreTextThatTurnsNothing(t *testing.T) {
	w := newWorld(t, func(a *consent.Application) {
		a.Name = "Acme \u202e\u2066</style><script>alert(1)</script>\" onload=x"
		a.Branding.Colour = "#ffee00"
	})
	link := w.ownLink(w.person("u1", nil))
	a := w.browse(&url.URL{Path: link})
	w.page(a)
	body := string(a.body)
	assert.Contains(t, body, "<bdi>Acme &lt;/style&gt;&lt;script&gt;alert(1)&lt;/script&gt;&#34; onload=x</bdi>")
	assert.NotContains(t, body, "\u202e")
	assert.Equal(t, 1, strings.Count(body, "</style>"))
	assert.Contains(t, body, ":root{--accent:#ffee00;--on-accent:#000000}", "the application's colour, and what can be read on it")
}

func TestUnknownAddressesAnswerWhoeverAsks(t *testing.T) {
	w := newWorld(t)
	for accept, page := range map[string]bool{
		"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": true, "": false, "*/*": false, "application/json": false,
		"application/json, text/html;q=0.5": false, "text/html;q=0": false, "text/html;q=0.9, application/json;q=0.1": true, "//;;": false,
	} {
		for _, path := range []string{"/r/", "/r", "/u/", "/u", "/nothing-here", "/v1/nothing"} {
			a := w.send("GET", path, http.Header{"Accept": {accept}}, nil)
			assert.Equal(t, 404, a.status)
			if page {
				assert.NotEmpty(t, w.page(a))
			} else {
				assert.Equal(t, "application/problem+json", a.header.Get("Content-Type"), "%q %s", accept, path)
			}
		}
	}
}
