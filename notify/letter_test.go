package notify

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"
	"pgregory.net/rapid"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/locale"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", "golden", name)
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o750))
		require.NoError(t, os.WriteFile(file, []byte(got), 0o600))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, string(want), got, "%s; go test ./notify -run Golden -update, and look at it", name)
}

func render(t require.TestingT, l Letter) Message {
	m, err := Render("dgt_1", &l)
	require.NoError(t, err)
	return m
}

// TestGolden holds the words of every mail in every language, and the HTML of
// every mail in English and of one in every language.
func TestGolden(t *testing.T) {
	for _, lang := range locale.All() {
		for _, s := range Samples(lang.Tag()) {
			m := render(t, s.Letter)
			golden(t, filepath.Join(lang.Tag(), s.Name+".txt"), "Subject: "+m.Subject+"\n\n"+m.Text)
			if lang == locale.English || s.Name == "before" {
				golden(t, filepath.Join(lang.Tag(), s.Name+".html"), m.HTML)
			}
		}
	}
}

func TestEveryMailInEveryLanguageIsWhole(t *testing.T) {
	for _, lang := range locale.All() {
		subjects := map[string]string{}
		for _, s := range Samples(lang.Tag()) {
			where := lang.Tag() + " " + s.Name
			m := render(t, s.Letter)
			assert.Equal(t, lang.Tag(), m.Language, where)
			assert.Contains(t, m.HTML, `<html lang="`+lang.Tag()+`"`, where)
			for _, body := range []string{m.Subject, m.Text, m.HTML} {
				assert.NotContains(t, body, "<no value>", where)
				assert.NotContains(t, body, "mail.", where)
				assert.NotContains(t, body, "{{", where)
				assert.NotContains(t, body, "!\n", where)
			}
			assert.NotContains(t, m.HTML, "ZgotmplZ", where)
			assert.NotContains(t, m.HTML, "<script", where)
			assert.NotContains(t, subjects, m.Subject, "%s and %s say the same", where, subjects[m.Subject])
			subjects[m.Subject] = s.Name
			for i, a := range s.Letter.About {
				assert.Contains(t, m.Text, a.Link, where)
				assert.Contains(t, m.HTML, `href="`+a.Link+`"`, where)
				if i == 0 && a.Consent.BankName != "" {
					assert.Contains(t, m.Subject, a.Consent.BankName, where)
				}
			}
			for line := range strings.Lines(m.Text) {
				assert.True(t, utf8.RuneCountInString(line) <= longestLine+1 || strings.HasPrefix(line, "https://"), "%s: %q", where, line)
			}
			for _, s := range sentences(m.HTML) {
				assert.Contains(t, strings.Join(strings.Fields(m.Text), " "), s, "%s: the plain text says as much as the HTML", where)
			}
		}
	}
}

// sentences are what a person reads of an HTML mail.
func sentences(text string) []string {
	var all []string
	z := html.NewTokenizer(strings.NewReader(text))
	inside := ""
	for {
		switch z.Next() {
		case html.ErrorToken:
			return all
		case html.StartTagToken:
			name, _ := z.TagName()
			inside = string(name)
		case html.TextToken:
			s := strings.Join(strings.Fields(string(z.Text())), " ")
			if inside != "style" && s != "" && s != "\u00a0" {
				all = append(all, html.UnescapeString(s))
			}
		default:
		}
	}
}

func TestAfterItsEndNoMailSaysThatAccessEnds(t *testing.T) {
	for _, s := range Samples("en") {
		m := render(t, s.Letter)
		lapsed := !s.Letter.About[0].Consent.LapsesAt.After(s.Letter.Now)
		if s.Name == "several" {
			continue
		}
		assert.Equal(t, lapsed, !strings.Contains(m.Text, "Access ends on"), s.Name)
		if lapsed {
			assert.NotContains(t, strings.ToLower(m.Text), "will end", s.Name)
			assert.NotContains(t, strings.ToLower(m.Text), "expire", s.Name)
			assert.Regexp(t, `(Access stopped on|The bank ended access early)`, m.Text, s.Name)
		}
	}
}

func TestDaysAreThoseOfTheUsersCalendar(t *testing.T) {
	paris, angeles, kiritimati := locale.Zone("Europe/Paris"), locale.Zone("America/Los_Angeles"), locale.Zone("Pacific/Kiritimati")
	at := func(s string) time.Time {
		parsed, err := time.Parse(time.RFC3339, s)
		require.NoError(t, err)
		return parsed
	}
	for _, tt := range []struct {
		name       string
		now, lapse string
		zone       *time.Location
		want       situation
		days       int
	}{
		{"a week", "2026-03-22T00:30:00Z", "2026-03-29T00:30:00Z", paris, endsInDays, 7},
		{"over the night in which clocks change", "2026-03-28T09:00:00Z", "2026-03-29T10:00:00Z", paris, endsInDays, 1},
		{"a day and a bit can be two nights", "2026-03-02T22:30:00Z", "2026-03-03T23:30:00Z", paris, endsInDays, 2},
		{"and one elsewhere", "2026-03-02T22:30:00Z", "2026-03-03T23:30:00Z", angeles, endsInDays, 1},
		{"a day of 25 hours", "2026-10-24T22:10:00Z", "2026-10-25T22:10:00Z", paris, endsInDays, 1},
		{"exactly a day", "2026-03-28T00:30:00Z", "2026-03-29T00:30:00Z", paris, endsInDays, 1},
		{"less than a day", "2026-03-28T00:31:00Z", "2026-03-29T00:30:00Z", paris, endsInHours, 0},
		{"23 h 59 min", "2026-03-28T00:30:01Z", "2026-03-29T00:30:00Z", kiritimati, endsInHours, 0},
		{"an hour, over midnight", "2026-03-28T22:30:00Z", "2026-03-28T23:30:00Z", paris, endsInHours, 0},
		{"an hour, today", "2026-03-28T22:30:00Z", "2026-03-28T23:30:00Z", angeles, endsToday, 0},
		{"a minute", "2026-03-29T00:29:00Z", "2026-03-29T00:30:00Z", paris, endsToday, 0},
		{"exactly then", "2026-03-29T00:30:00Z", "2026-03-29T00:30:00Z", paris, hasStopped, 0},
		{"six days after", "2026-04-04T00:30:00Z", "2026-03-29T00:30:00Z", paris, hasStopped, 0},
		{"a week after", "2026-04-05T00:30:00Z", "2026-03-29T00:30:00Z", paris, stillStopped, 0},
		{"a week before the window closes", "2026-06-20T00:30:00Z", "2026-03-29T00:30:00Z", paris, windowCloses, 7},
		{"the last day of the window", "2026-06-26T12:30:00Z", "2026-03-29T00:30:00Z", paris, windowCloses, 0},
		{"the window is closed", "2026-06-27T00:30:00Z", "2026-03-29T00:30:00Z", paris, cannotRenew, 0},
	} {
		con := &consent.Consent{LapsesAt: at(tt.lapse), LapsingAt: at(tt.lapse).Add(-30 * day), RenewableUntil: at(tt.lapse).Add(90 * day)}
		got, days := situationOf(con, at(tt.now), tt.zone)
		assert.Equal(t, tt.want, got, tt.name)
		assert.Equal(t, tt.days, days, tt.name)
	}
}

func TestDaysAreNeverNone(t *testing.T) {
	zones := []string{"UTC", "Europe/Paris", "America/Los_Angeles", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu"}
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		zone := locale.Zone(rapid.SampledFrom(zones).Draw(t, "zone"))
		now := begin.Add(time.Duration(rapid.IntRange(0, 3*365*24*60).Draw(t, "minute")) * time.Minute)
		left := time.Duration(rapid.IntRange(-200*24*60, 40*24*60).Draw(t, "minutes left")) * time.Minute
		con := &consent.Consent{LapsesAt: now.Add(left), RenewableUntil: now.Add(left).Add(90 * day)}
		s, days := situationOf(con, now, zone)
		switch {
		case s == endsInDays:
			require.GreaterOrEqual(t, days, 1)
			require.InDelta(t, left.Hours()/24, days, 1.05)
		case s == windowCloses && days > 0:
			require.InDelta(t, (left+90*day).Hours()/24, days, 1.05)
		default:
			require.Zero(t, days)
		}
		require.Equal(t, left > 0, s == endsInDays || s == endsInHours || s == endsToday)
	})
}

func TestTimesAreThoseOfTheUsersZoneAndLanguage(t *testing.T) {
	lapse := time.Date(2026, 3, 29, 0, 30, 0, 0, time.UTC)
	for _, tt := range [][3]string{
		{"", "Europe/Paris", "29 March 2026, 01:30 CET"},
		{"en", "America/Los_Angeles", "28 March 2026, 17:30 PDT"},
		{"en-US", "America/Los_Angeles", "March 28, 2026, 5:30 pm PDT"},
		{"de-AT", "Europe/Vienna", "29. März 2026, 01:30 Uhr MEZ"},
		{"xx-unknown", "Mars/Olympus", "29 March 2026, 00:30 UTC"},
	} {
		l := Samples(tt[0])[0].Letter
		l.User = &consent.User{Locale: tt[0], TimeZone: tt[1]}
		l.About[0].Consent.LapsesAt, l.Now = lapse, lapse.Add(-10*day)
		m := render(t, l)
		assert.Contains(t, m.Text, tt[2])
		assert.Contains(t, m.HTML, tt[2])
	}
}

var nasty = []string{
	`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, "Ada\r\nBcc: everybody@example.org", "Ada\nX: y", "Zoë 🏦 & Söhne", "בנק לאומי", "bad\u202egpj.exe",
	"\u2069\u2066out", strings.Repeat("ä", 300), strings.Repeat("🏦", 300), "{{.Link}}", "\xff\xfe", "line\u2028separator", `back\slash "quoted"`, "",
}

func TestNamesAreOnlyNames(t *testing.T) {
	for _, lang := range locale.All() {
		for _, name := range nasty {
			for _, s := range Samples(lang.Tag()) {
				l := s.Letter
				app, user := *l.Application, *l.User
				app.Name, user.Name = name, name
				l.Application, l.User = &app, &user
				for _, a := range l.About {
					a.Consent.BankName, a.Consent.AccountLabel = name, name
				}
				m := render(t, l)
				for header, value := range map[string]string{"subject": m.Subject, "to": m.ToName, "from": m.FromName} {
					assert.False(t, strings.ContainsAny(value, "\r\n\u2028\u2029"), "%s: %q", header, value)
					assert.True(t, utf8.ValidString(value), "%s: %q", header, value)
					assert.LessOrEqual(t, utf8.RuneCountInString(value), 200, header)
					assert.Equal(t, strings.Count(value, "\u2068"), strings.Count(value, "\u2069"), "%s: %q", header, value)
					assert.NotContains(t, value, "\u202e", header)
				}
				assert.NotContains(t, m.HTML, "<script", name)
				assert.NotContains(t, m.HTML, "<img src=x", name)
				assert.Equal(t, len(tags(t, render(t, s.Letter).HTML)), len(tags(t, m.HTML)), "%q adds no element and takes none away", name)
			}
		}
	}
}

// tags are the elements of a mail.
func tags(t *testing.T, text string) []string {
	t.Helper()
	var all []string
	for z := html.NewTokenizer(strings.NewReader(text)); ; {
		switch z.Next() {
		case html.ErrorToken:
			return all
		case html.StartTagToken, html.SelfClosingTagToken:
			name, _ := z.TagName()
			all = append(all, string(name))
		default:
		}
	}
}

func TestBrandingIsShown(t *testing.T) {
	l := Samples("en")[0].Letter
	l.Application = &consent.Application{Name: "Ledger", Branding: consent.Branding{Colour: "#ffe000", LogoURL: "https://ledger.example/logo.png?a=1&b=2", ReplyTo: "help@ledger.example"}}
	m := render(t, l)
	assert.Contains(t, m.HTML, "background-color:#ffe000;color:#000000", "dark text on a light colour")
	assert.Contains(t, m.HTML, `<img src="https://ledger.example/logo.png?a=1&amp;b=2" alt="Ledger" height="32"`)
	assert.Equal(t, "help@ledger.example", m.ReplyTo)
	l.Application = &consent.Application{Name: "Ledger"}
	m = render(t, l)
	assert.NotContains(t, m.HTML, "<img")
	assert.Contains(t, m.HTML, "background-color:"+consent.DefaultColour+";color:#ffffff")
	assert.Empty(t, m.ReplyTo)
}

func TestNothingIsFetchedButTheLogo(t *testing.T) {
	l := Samples("en")[0].Letter
	l.Application.Branding.LogoURL = "https://ledger.example/logo.png"
	m := render(t, l)
	fetched := regexp.MustCompile(`(?:src|background|url\()=?["']?([^"' >)]+)`).FindAllStringSubmatch(m.HTML, -1)
	for _, f := range fetched {
		if strings.Contains(f[1], "://") {
			assert.Equal(t, "https://ledger.example/logo.png", f[1])
		}
	}
	assert.Contains(t, fmt.Sprint(fetched), "logo.png")
}

func TestTheUnsubscribeLinkIsInTheMailAndInItsHeader(t *testing.T) {
	d := newDesk(t)
	d.lapsing("ada", "Mock Bank", d.at.Add(7*day))
	d.Links = unsubscribing{links{}}
	d.send(d.sweep()["ada"])
	require.Len(t, d.post.sent, 1)
	m := d.post.sent[0]
	assert.Equal(t, "https://consents.example/u/acme.ada", m.ListUnsubscribe)
	assert.Contains(t, m.Text, "Stop these reminders\nhttps://consents.example/u/acme.ada\n")
	assert.Contains(t, m.HTML, `href="https://consents.example/u/acme.ada"`)
}

type unsubscribing struct{ links }

func (unsubscribing) UnsubscribeLink(app *consent.Application, user *consent.User) (string, error) {
	return "https://consents.example/u/" + app.Slug + "." + user.ID, nil
}

func TestLongLinesAreBrokenBetweenWords(t *testing.T) {
	link := "https://consents.example/" + strings.Repeat("x", 100)
	got := wrap(strings.Repeat("word ", 40) + "\n\n" + link + "\nshort\n")
	assert.Equal(t, 1, strings.Count(got, link))
	for line := range strings.Lines(got) {
		assert.True(t, len(line) <= longestLine+1 || strings.Contains(line, link), line)
	}
	assert.Contains(t, got, "\n\n"+link+"\nshort\n")
}

func BenchmarkRender(b *testing.B) {
	l := Samples("de")[0].Letter
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Render("dgt_1", &l); err != nil {
			b.Fatal(err)
		}
	}
}

// Whose end nobody knows is told of no day: least of all of the first of year one.
func TestALinkThatWasAskedForWhereTheEndIsUnknown(t *testing.T) {
	for _, lang := range locale.All() {
		l := Samples(lang.Tag())[0].Letter
		con := *l.About[0].Consent
		con.ExpiresAt, con.LapsesAt, con.LapsingAt, con.RenewableUntil = time.Time{}, time.Time{}, time.Time{}, time.Time{}
		l.About = []About{{Consent: &con, Link: l.About[0].Link}}
		m := render(t, l)
		assert.Contains(t, m.Subject, con.BankName)
		assert.Contains(t, m.Text, l.About[0].Link)
		assert.Contains(t, m.Text, "Ledger & Co")
		assert.NotRegexp(t, `\d{1,2}[:.]\d\d|mail\.`, regexp.MustCompile(`https?://\S+`).ReplaceAllString(m.Subject+m.Text, ""), lang.Tag())
	}
}
