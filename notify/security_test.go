package notify

import (
	"fmt"
	"html"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/locale"
)

func byMail(t require.TestingT, s SecuritySample) Message {
	m, err := s.Render(consent.ChannelEmail)
	require.NoError(t, err)
	return m
}

func bySMS(t require.TestingT, s SecuritySample) Message {
	m, err := s.Render(consent.ChannelSMS)
	require.NoError(t, err)
	return m
}

// TestGoldenSecurity holds the words of every code and notice in every language,
// and the HTML of each in English and of one in every language.
func TestGoldenSecurity(t *testing.T) {
	for _, lang := range locale.All() {
		for _, s := range SecuritySamples(lang.Tag()) {
			m := byMail(t, s)
			base := filepath.Join(lang.Tag(), "security", s.Name)
			golden(t, base+".txt", "Subject: "+m.Subject+"\n\n"+m.Text+"\n\nSMS:\n"+bySMS(t, s).Text+"\n")
			if lang == locale.English || s.Name == "code-payment" {
				golden(t, base+".html", m.HTML)
			}
		}
	}
}

func TestEveryCodeAndNoticeInEveryLanguageIsWhole(t *testing.T) {
	for _, lang := range locale.All() {
		subjects, texts := map[string]string{}, map[string]string{}
		for _, s := range SecuritySamples(lang.Tag()) {
			where := lang.Tag() + " " + s.Name
			m, sms := byMail(t, s), bySMS(t, s)
			assert.Equal(t, lang.Tag(), m.Language, where)
			assert.Empty(t, m.ListUnsubscribe, where)
			assert.Equal(t, "Ledger & Co", m.FromName, where)
			for _, said := range []string{m.Subject, m.Text, m.HTML, sms.Text} {
				for _, never := range []string{"<no value>", "security.", "mail.", "{{", "ZgotmplZ", "<script", "<a ", "href", "http", "www."} {
					assert.NotContains(t, said, never, where)
				}
			}
			assert.NotContains(t, m.Text, "\n\n\n", where)
			assert.LessOrEqual(t, segments(sms.Text), segmentsAllowed, where)
			assert.Equal(t, sms.Text, gsm(sms.Text), where)
			assert.Empty(t, strings.Trim(sms.Text, gsmBasic+gsmExtended), "%s: in SMS's own alphabet", where)
			assert.NotContains(t, texts, sms.Text, where)
			texts[sms.Text] = s.Name
			for line := range strings.Lines(m.Text) {
				assert.LessOrEqual(t, utf8.RuneCountInString(line), longestLine+1, "%s: %q", where, line)
			}
			for _, sentence := range sentences(m.HTML) {
				assert.Contains(t, strings.Join(strings.Fields(m.Text), " "), sentence, "%s: the plain text says as much as the HTML", where)
			}
			if s.Notice != nil {
				if s.Name != "backup-code-last" {
					assert.NotContains(t, subjects, m.Subject, where)
				}
				subjects[m.Subject] = s.Name
				assert.NotContains(t, m.Text+m.HTML+sms.Text, "8712", "%s: only the end of a number", where)
				if s.Notice.Factor == FactorPhone {
					assert.Contains(t, m.Subject, "**12", where)
				}
				continue
			}
			assert.Contains(t, strings.Join(strings.Fields(m.Text), " "), "493027", where)
			assert.Contains(t, m.HTML, ">493027</p>", "%s: in one piece, to be copied", where)
			assert.NotContains(t, m.Subject, "493027", "%s: servers write subjects down", where)
			assert.Less(t, strings.Index(sms.Text, "493027"), 12, "%s: the code is at the beginning", where)
			assert.Contains(t, m.Text, lang.Say("security.code_guard")[:20], where)
			if d := s.Code.Details; d != nil {
				for _, said := range []string{html.UnescapeString(m.HTML), m.Text} {
					said = strings.Join(strings.Fields(said), " ")
					assert.Contains(t, said, d.Payee, where)
					assert.Contains(t, said, d.Amount+" "+d.Currency, where)
				}
				assert.Contains(t, sms.Text, d.Amount+" "+d.Currency, where)
				assert.NotContains(t, m.Subject, d.Amount, where)
			}
		}
	}
}

func TestACodeForAPaymentSaysWhoIsPaidAndHowMuch(t *testing.T) {
	s := SecuritySamples("en")[2]
	assert.True(t, strings.HasPrefix(bySMS(t, s).Text, "Code 493027 to pay 49.90 EUR to Miller GmbH, asked for by Ledger & Co."))
	m := byMail(t, s)
	assert.Contains(t, m.Text, "Code 493027 to pay 49.90\u00a0EUR to Miller GmbH, asked for by Ledger & Co.")
	assert.Contains(t, m.Text, "Payee\n  Miller GmbH\nAmount\n  49.90\u00a0EUR\nCode\n  493027\n")
	assert.Equal(t, "Your code for a payment with Ledger & Co", m.Subject)
}

func TestTimesOfSecurityMessagesAreTheUsers(t *testing.T) {
	for _, tt := range [][3]string{
		{"en-US", "America/Los_Angeles", "March 1, 2027, 1:05 am PST"},
		{"de-AT", "Europe/Vienna", "1. März 2027, 10:05 Uhr MEZ"},
		{"", "", "1 March 2027, 09:05 UTC"},
	} {
		for _, s := range SecuritySamples(tt[0]) {
			user := &consent.User{Locale: tt[0], TimeZone: tt[1]}
			if s.Code != nil {
				s.Code.User = user
			} else {
				s.Notice.User = user
				s.Notice.At = s.Notice.At.Add(5 * time.Minute)
				s.Notice.Until = s.Notice.At
				assert.Contains(t, bySMS(t, s).Text, gsm(tt[2]))
			}
			assert.Contains(t, strings.Join(strings.Fields(byMail(t, s).Text), " "), tt[2], s.Name)
		}
	}
}

func TestTheMinutesAreThoseThatAreLeft(t *testing.T) {
	for left, want := range map[time.Duration]string{
		5 * time.Minute: "5 minutes,", 4*time.Minute + 59*time.Second: "5 minutes,", 4*time.Minute + 54*time.Second: "4 minutes,", time.Minute: "1 minute,", time.Second: "1 minute,", -time.Hour: "1 minute,",
	} {
		s := SecuritySamples("en")[0]
		s.Code.Now = s.Code.ExpiresAt.Add(-left)
		assert.Contains(t, byMail(t, s).Text, "valid for "+want, left)
	}
}

func TestTheLineForTheBrowser(t *testing.T) {
	for domain, want := range map[string]bool{
		"ledger.example": true, "app.ledger-2.example": true, "xn--bcher-kva.example": true,
		"": false, "localhost": false, "ledger.example/x": false, "a b.example": false, "evil.example\nx": false, "Ledger.Example": false, "-a.example": false, "ledger.example #1": false,
	} {
		s := SecuritySamples("en")[0]
		s.Code.Domain = domain
		text := bySMS(t, s).Text
		_, last, found := strings.Cut(text, "\n")
		assert.Equal(t, want, found, "%q: %s", domain, text)
		if want {
			assert.Equal(t, "@"+domain+" #493027", last)
		}
	}
	s := SecuritySamples("en")[0]
	s.Code.Domain = strings.Repeat("long-", 60) + "name.example"
	assert.NotContains(t, bySMS(t, s).Text, "@", "it is left out where there is no room")
}

func TestBrandingOfSecurityMails(t *testing.T) {
	for _, s := range SecuritySamples("en") {
		s.In(&consent.Application{Name: "Ledger", Branding: consent.Branding{Colour: "#ffe000", LogoURL: "https://ledger.example/logo.png", ReplyTo: "help@ledger.example"}})
		m := byMail(t, s)
		assert.Contains(t, m.HTML, "background-color:#ffe000")
		assert.Contains(t, m.HTML, `<img src="https://ledger.example/logo.png" alt="Ledger" height="32"`)
		assert.Equal(t, "help@ledger.example", m.ReplyTo)
		assert.Equal(t, "ada@example.org", m.To)
	}
}

// hostile are names beside the nasty ones that try to be more than that here.
var hostile = append([]string{
	"https://evil.example/login", "Call +49 170 1234567, or www.evil.example", "evil.example", "a@evil.example", "x.\u202eevil.example", "evil.\xffexample", "evil\u3002example",
	"\n@evil.example #000000", "Code 000000 to pay 1.00 EUR to Bob.\r\n\r\nCode", strings.Repeat("{}[]", 75), strings.Repeat("Ж", 300), strings.Repeat("👩‍👩‍👧‍👦", 60), strings.Repeat("ש", 300),
	strings.Repeat("www.evil.example ", 20),
}, nasty...)

// linked is what mail readers and phones make links of.
var linked = regexp.MustCompile(`(?i)://|www\.[^\s.]|[\p{L}\p{N}][.\x{3002}\x{ff0e}\x{ff61}][^\p{L}\p{N}\s]?\p{L}{2}`)

func TestHostileNamesAreOnlyNames(t *testing.T) {
	elements := map[string]int{} // of a mail with names like anybody's
	for _, lang := range locale.All() {
		for _, name := range hostile {
			for _, s := range SecuritySamples(lang.Tag())[:7] { // each form that there is; the others differ in a word
				where := fmt.Sprintf("%s %s %.40q", lang.Tag(), s.Name, name)
				if elements[s.Name] == 0 {
					elements[s.Name] = len(tags(t, byMail(t, s).HTML))
				}
				if s.Code != nil {
					c := *s.Code
					s.Code = &c
					c.Operation = name
					if c.Details != nil {
						d := *c.Details
						c.Details, d.Payee = &d, "Zoë & "+name
						c.Operation = ""
						if strings.Contains(s.Name, "operation") {
							c.Operation = "x" + name
						}
					}
					m, sms := byMail(t, s), bySMS(t, s)
					assert.NotRegexp(t, linked, m.Text, where)
					assert.NotRegexp(t, linked, strings.TrimSuffix(sms.Text, "@ledger.example #493027"), where)
					assert.False(t, strings.Contains(sms.Text, "\n") && !strings.HasSuffix(sms.Text, "\n@ledger.example #493027"), where)
				}
				app := *s.Application()
				app.Name = name
				s.In(&app)
				if s.Code != nil {
					s.Code.User = &consent.User{Name: name, Locale: lang.Tag()}
				} else {
					s.Notice.User = &consent.User{Name: name, Locale: lang.Tag()}
				}
				m, sms := byMail(t, s), bySMS(t, s)
				for header, value := range map[string]string{"subject": m.Subject, "to": m.ToName, "from": m.FromName} {
					assert.False(t, strings.ContainsAny(value, "\r\n\u2028\u2029"), "%s: %s: %q", where, header, value)
					assert.True(t, utf8.ValidString(value), where)
					assert.LessOrEqual(t, utf8.RuneCountInString(value), 200, where)
					assert.Equal(t, strings.Count(value, "\u2068"), strings.Count(value, "\u2069"), where)
					assert.NotContains(t, value, "\u202e", where)
				}
				assert.LessOrEqual(t, segments(sms.Text), segmentsAllowed, "%s: %s", where, sms.Text)
				assert.True(t, utf8.ValidString(sms.Text), where)
				assert.NotContains(t, m.HTML, "<script", where)
				assert.NotContains(t, m.HTML, "<img", where)
				assert.Len(t, tags(t, m.HTML), elements[s.Name], "%s: it adds no element and takes none away", where)
			}
		}
	}
}

// TestTextsOfCodesFitWhateverTheyName is about any names in any language: two
// segments, the code first, the amount whole, the payee and the warning there.
func TestTextsOfCodesFitWhateverTheyName(t *testing.T) {
	runes := rapid.OneOf(rapid.Rune(), rapid.SampledFrom([]rune("abcXYZ äöß€{}[]Жש字🏦\u202e\u200d.:/\n")))
	names := rapid.Custom(func(t *rapid.T) string {
		return strings.Repeat(rapid.StringOfN(runes, 0, 60, -1).Draw(t, "part"), rapid.IntRange(1, 6).Draw(t, "times"))
	})
	rapid.Check(t, func(t *rapid.T) {
		lang := rapid.SampledFrom(locale.All()).Draw(t, "language")
		now := time.Date(2027, 9, 30, 9, 0, 0, 0, time.UTC)
		c := &Codes{
			Application: &consent.Application{Name: names.Draw(t, "application")}, User: &consent.User{Locale: lang.Tag()}, Channel: consent.ChannelSMS, To: "+442071838750",
			Code: rapid.StringMatching(`[0-9]{6}`).Draw(t, "code"), Operation: names.Draw(t, "operation"), Now: now, ExpiresAt: now.Add(5 * time.Minute),
			Domain: rapid.SampledFrom([]string{"", "ledger.example", strings.Repeat("a-long-", 9) + "name.example"}).Draw(t, "domain"),
		}
		if rapid.Bool().Draw(t, "payment") {
			c.Details = &Details{Payee: "P" + names.Draw(t, "payee"), Amount: rapid.StringMatching(`[0-9][0-9.,' ]{0,22}[0-9]`).Draw(t, "amount"), Currency: "EUR"}
		}
		m, err := RenderCode("cod_1", c)
		require.NoError(t, err)
		require.LessOrEqual(t, segments(m.Text), segmentsAllowed, m.Text)
		require.Less(t, strings.Index(m.Text, c.Code), 12)
		guard, least := lang.Say("security.sms_guard"), lang.Say("security.sms_least")
		require.True(t, containsAny(m.Text, guard, gsm(guard), least, gsm(least)), m.Text)
		if c.Details != nil {
			require.Contains(t, strings.ReplaceAll(m.Text, "\u00a0", " "), c.Details.Amount+" EUR")
			payee := strings.TrimSuffix(cut(label(c.Details.Payee), 10), ".")
			require.True(t, containsAny(m.Text, payee, gsm(payee), strings.TrimSuffix(locale.Isolate(payee), "\u2069")), "%q: %q", payee, m.Text)
		}
		n := &Notice{Application: c.Application, User: c.User, Channel: consent.ChannelSMS, At: now, Until: now.Add(time.Hour), Number: "+442071838712", Left: rapid.IntRange(0, 20).Draw(t, "left")}
		n.Kind = rapid.SampledFrom([]NoticeKind{NoticeLocked, NoticeBackupUsed, NoticeFactorAdded, NoticeFactorRemoved, NoticeFactorChanged}).Draw(t, "kind")
		n.Factor = rapid.SampledFrom([]Factor{FactorTOTP, FactorPasskey, FactorPhone, FactorBackupCodes}).Draw(t, "factor")
		m, err = RenderSecurity("sec_1", n)
		require.NoError(t, err)
		require.LessOrEqual(t, segments(m.Text), segmentsAllowed, m.Text)
		require.NotContains(t, m.Text, "\n")
	})
}

func containsAny(text string, parts ...string) bool {
	return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(text, part) })
}

func TestWhatCannotBeShownClearlyIsNotConfirmed(t *testing.T) {
	good := Details{Payee: "Miller GmbH", Amount: "49.90", Currency: "EUR"}
	require.NoError(t, good.Check())
	for _, amount := range []string{"", " ", "-1", "1e9", "49.90 EUR", "٤٩", "４９", "1\n2", "1\u202e2", "0x10", "1.", ".5", strings.Repeat("1", 25), "<b>1</b>", "1\u00a02"} {
		d := good
		d.Amount = amount
		require.ErrorIs(t, d.Check(), ErrUnclear, "%q", amount)
	}
	for _, amount := range []string{"0", "5", "49.90", "1.234.567,89", "1'000.00", "1 000", strings.Repeat("1", 24)} {
		d := good
		d.Amount = amount
		require.NoError(t, d.Check(), "%q", amount)
	}
	for _, currency := range []string{"", "eur", "EURO", "E1R", "€", "EUR\n", "ЕUR"} {
		d := good
		d.Currency = currency
		require.ErrorIs(t, d.Check(), ErrUnclear, "%q", currency)
	}
	for _, payee := range []string{"", " \n", "\u202e", "...", "\xff", "\u200b", strings.Repeat(".", 300)} {
		d := good
		d.Payee = payee
		require.ErrorIs(t, d.Check(), ErrUnclear, "%q", payee)
		for _, channel := range []consent.Channel{consent.ChannelEmail, consent.ChannelSMS} {
			s := SecuritySamples("en")[2]
			s.Code.Details = &d
			m, err := s.Render(channel)
			require.ErrorIs(t, err, ErrUnclear)
			require.Zero(t, m)
		}
	}
}

func TestACodeIsSixDigits(t *testing.T) {
	for _, code := range []string{"", "12345", "1234567", "12345a", "１２３４５６", "123 456", "123456\n", "<b>123"} {
		s := SecuritySamples("en")[0]
		s.Code.Code = code
		_, err := s.Render(consent.ChannelEmail)
		require.ErrorIs(t, err, ErrNoCode, "%q", code)
		if code != "" {
			require.NotContains(t, err.Error(), code)
		}
	}
}

func TestNoticesAreAClosedSet(t *testing.T) {
	for _, n := range []Notice{{}, {Kind: "locked "}, {Kind: NoticeFactorAdded}, {Kind: NoticeFactorChanged, Factor: "password"}, {Kind: "factor", Factor: FactorTOTP}} {
		n.Application, n.User = &consent.Application{}, &consent.User{}
		m, err := RenderSecurity("sec_1", &n)
		require.ErrorIs(t, err, ErrNoNotice)
		require.Zero(t, m)
	}
}

func TestEndings(t *testing.T) {
	for number, want := range map[string]string{"+442071838712": "**12", "+44 20 7183 87 1-2": "**12", "7": "**7", "": "**", "no number": "**", "+٤٤": "**"} {
		assert.Equal(t, want, ending(number), number)
	}
}

func TestLabelsMakeNoLinks(t *testing.T) {
	for given, want := range map[string]string{
		"Miller GmbH": "Miller GmbH", "Change e-mail": "Change e-mail", "at 12:30 for 1.50": "at 12:30 for 1.50", "No. 5, please.": "No. 5, please.", "Re: x": "Re: x",
		"Booking.com B.V.": "Booking. com B. V.", "https://evil.example/x": "https: //evil. example/x", "evil.\u202eexample": "evil. \u202eexample", "a:b": "a: b",
	} {
		assert.Equal(t, want, label(given))
	}
}

func TestNamesAreCutByWhatTheyCost(t *testing.T) {
	for _, tt := range []struct {
		name  string
		units int
		want  string
	}{{"", 5, ""}, {"abcde", 5, "abcde"}, {"abcdef", 5, "abcd."}, {"🏦🏦🏦", 5, "🏦🏦."}, {"🏦🏦🏦", 4, "🏦."}, {"żółwik", 5, "żółw."}} {
		assert.Equal(t, tt.want, cut(tt.name, tt.units))
	}
	rapid.Check(t, func(t *rapid.T) {
		name, units := rapid.String().Draw(t, "name"), rapid.IntRange(1, 80).Draw(t, "units")
		got := cut(name, units)
		require.LessOrEqual(t, len(utf16.Encode([]rune(got))), units)
		require.True(t, strings.HasPrefix(name, strings.TrimSuffix(got, ".")) || got == name)
	})
}

func TestCodesAndMessagesPrintAsPlaceholders(t *testing.T) {
	s := SecuritySamples("en")[0]
	m := bySMS(t, s)
	for _, printed := range []string{
		fmt.Sprint(*s.Code, s.Code, m), fmt.Sprintf("%v %+v %#v %s", *s.Code, *s.Code, *s.Code, s.Code), fmt.Sprintf("%v %+v %#v %s", m, m, m, &m),
		fmt.Sprint([]any{*s.Code, m}), s.Code.LogValue().String(), m.LogValue().String(),
	} {
		assert.NotContains(t, printed, "493027")
		assert.NotContains(t, printed, "442071838750")
	}
	assert.Equal(t, "message cod_code", m.String())
}

func BenchmarkRenderCode(b *testing.B) {
	s := SecuritySamples("de")[2]
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Render(consent.ChannelEmail); err != nil {
			b.Fatal(err)
		}
	}
}
