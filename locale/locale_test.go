package locale

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		wishes []string
		want   string
	}{
		{nil, "en"},
		{[]string{""}, "en"},
		{[]string{"en"}, "en"},
		{[]string{"en-GB"}, "en-GB"},
		{[]string{"en-US"}, "en-US"},
		{[]string{"en-AU"}, "en-GB"},
		{[]string{"de"}, "de"},
		{[]string{"de-AT"}, "de"},
		{[]string{"de_CH"}, "de"},
		{[]string{"fr-CA"}, "fr"},
		{[]string{"es-MX"}, "es"},
		{[]string{"it-IT"}, "it"},
		{[]string{"nl-BE"}, "nl"},
		{[]string{"pl"}, "pl"},
		{[]string{"PL-pl"}, "pl"},
		{[]string{"ja"}, "en"},
		{[]string{"ja", "it"}, "it"},
		{[]string{"", "nl"}, "nl"},
		{[]string{"no language tag at all", "nl"}, "nl"},
		{[]string{"\x00\xff", "nl"}, "nl"},
		{[]string{"*"}, "en"},
		{[]string{"ja, fr;q=0.7, de;q=0.9"}, "de"},
		{[]string{"fr-CH, fr;q=0.9, en;q=0.8, de;q=0.7, *;q=0.5"}, "fr"},
		{[]string{"es", "de, en;q=0.5"}, "es"},
	} {
		assert.Equal(t, tt.want, Match(tt.wishes...).Tag(), "%q", tt.wishes)
	}
	assert.Equal(t, English, Match("ja"))
}

func FuzzMatch(f *testing.F) {
	f.Add("de-AT", "fr;q=0.5, *")
	f.Fuzz(func(t *testing.T, a, b string) {
		l := Match(a, b)
		require.NotEmpty(t, l.Tag())
		require.NotEmpty(t, l.Say("mail.bank"))
		require.NotNil(t, Zone(a))
	})
}

func TestTheZeroLanguageIsEnglish(t *testing.T) {
	var l Language
	assert.Equal(t, "en", l.Tag())
	assert.Equal(t, "Your bank", l.Say("mail.bank"))
}

func TestDatesAreThoseOfTheLanguageAndTheZone(t *testing.T) {
	night := time.Date(2026, 3, 29, 0, 30, 0, 0, time.UTC) // half an hour before Europe's clocks change
	paris, angeles := Zone("Europe/Paris"), Zone("America/Los_Angeles")
	for tag, want := range map[string][2]string{
		"en":    {"29 March 2026, 01:30 CET", "28 March 2026, 17:30 PDT"},
		"en-GB": {"29 March 2026, 01:30 CET", "28 March 2026, 17:30 PDT"},
		"en-US": {"March 29, 2026, 1:30 am CET", "March 28, 2026, 5:30 pm PDT"},
		"de":    {"29. März 2026, 01:30 Uhr MEZ", "28. März 2026, 17:30 Uhr PDT"},
		"fr":    {"29 mars 2026 à 01:30 (CET)", "28 mars 2026 à 17:30 (PDT)"},
		"es":    {"29 de marzo de 2026, 1:30 h (CET)", "28 de marzo de 2026, 17:30 h (PDT)"},
		"it":    {"29 marzo 2026, ore 01:30 (CET)", "28 marzo 2026, ore 17:30 (PDT)"},
		"nl":    {"29 maart 2026, 01:30 uur (CET)", "28 maart 2026, 17:30 uur (PDT)"},
		"pl":    {"29 marca 2026, godz. 01:30 (CET)", "28 marca 2026, godz. 17:30 (PDT)"},
	} {
		l := Match(tag)
		assert.Equal(t, want[0], l.DateTime(night, paris), tag)
		assert.Equal(t, want[1], l.DateTime(night, angeles), tag)
	}
	assert.Equal(t, "29 March 2026", English.Date(night, paris))
	assert.Equal(t, "28 March 2026", English.Date(night, angeles))
	first := time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)
	assert.Equal(t, "1er mars 2027", Match("fr").Date(first, time.UTC))
	assert.Equal(t, "1º marzo 2027", Match("it").Date(first, time.UTC))
	assert.Equal(t, "11 mars 2027", Match("fr").Date(first.AddDate(0, 0, 10), time.UTC))
	assert.Equal(t, "1. März 2027", Match("de").Date(first, time.UTC))
	assert.Equal(t, "29. März 2026, 03:30 Uhr MESZ", Match("de").DateTime(night.Add(time.Hour), paris), "the hour that was left out")
}

func TestZones(t *testing.T) {
	at := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	for name, want := range map[string]string{
		"Europe/London": "12:00 GMT", "America/Sao_Paulo": "09:00 UTC-3", "Asia/Kathmandu": "17:45 UTC+5:45", "Pacific/Kiritimati": "02:00 UTC+14",
		"": "12:00 UTC", "Local": "12:00 UTC", "UTC": "12:00 UTC", "Mars/Olympus": "12:00 UTC", "../../etc/passwd": "12:00 UTC", "\x00": "12:00 UTC",
	} {
		assert.Contains(t, English.DateTime(at, Zone(name)), want, name)
	}
	assert.Same(t, Zone("Europe/Paris"), Zone("Europe/Paris"), "it is read once")
}

func TestPluralsAreThoseOfTheLanguage(t *testing.T) {
	for tag, want := range map[string]map[int]string{
		"en": {1: "Access to X ends in 1 day", 2: "Access to X ends in 2 days", 30: "Access to X ends in 30 days"},
		"de": {1: "Zugriff auf X endet in 1 Tag", 7: "Zugriff auf X endet in 7 Tagen"},
		"fr": {1: "L’accès à X prend fin dans 1 jour", 7: "L’accès à X prend fin dans 7 jours"},
		"pl": {1: "Dostęp do X wygaśnie za 1 dzień", 2: "Dostęp do X wygaśnie za 2 dni", 5: "Dostęp do X wygaśnie za 5 dni", 22: "Dostęp do X wygaśnie za 22 dni"},
	} {
		for n, sentence := range want {
			assert.Equal(t, sentence, Match(tag).Say("mail.subject_days", "Bank", "X", "Count", n))
		}
	}
	pl := Match("pl")
	assert.Equal(t, "X (i jeszcze 4 połączenia)", pl.Say("mail.and_more", "Subject", "X", "Count", 4))
	assert.Equal(t, "X (i jeszcze 5 połączeń)", pl.Say("mail.and_more", "Subject", "X", "Count", 5))
}

func TestWhatIsMissingIsSaidAnyhow(t *testing.T) {
	assert.Equal(t, "mail.no_such_message", English.Say("mail.no_such_message"))
	assert.Equal(t, "mail.security", English.Say("mail.security"), "a value that was not given")
	assert.Equal(t, "mail.security", English.Say("mail.security", "App"), "a name without a value")
	assert.Equal(t, "mail.bank", English.Say("mail.bank", "Count", "many"), "a number that is none")
}

func TestANameCannotReorderTheSentence(t *testing.T) {
	for name, want := range map[string]string{
		"Mock Bank":            "Mock Bank",
		"Łódź & Söhne 🏦":       "Łódź & Söhne 🏦",
		"株式会社":                 "株式会社",
		"":                     "",
		"בנק לאומי":            "\u2068בנק לאומי\u2069",
		"بنك":                  "\u2068بنك\u2069",
		"safe\u202egpj.exe":    "\u2068safegpj.exe\u2069",
		"out\u2069side":        "\u2068outside\u2069",
		"\u200fleaning\u200f":  "\u2068\u200fleaning\u200f\u2069",
		"\u2067open for ever…": "\u2068open for ever…\u2069",
	} {
		assert.Equal(t, want, Isolate(name), "%q", name)
	}
	assert.Equal(t, "Access to \u2068בנק\u2069 ends today", English.Say("mail.subject_today", "Bank", "בנק"))
}

func TestManyMaySpeakAtOnce(t *testing.T) {
	var group sync.WaitGroup
	for _, l := range All() {
		for range 4 {
			group.Go(func() {
				for n := range 50 {
					assert.NotEmpty(t, l.Say("mail.subject_days", "Bank", "X", "Count", n))
					assert.NotEmpty(t, l.DateTime(time.Unix(int64(n)*1e6, 0), Zone("Europe/Madrid")))
					assert.NotEmpty(t, Match("fr-CA, de;q=0.5").Tag())
				}
			})
		}
	}
	group.Wait()
}

func BenchmarkSay(b *testing.B) {
	l := Match("de")
	b.ReportAllocs()
	for b.Loop() {
		l.Say("mail.subject_days", "Bank", "Mock Bank", "Count", 7)
	}
}

func BenchmarkMatch(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Match("fr-CH, fr;q=0.9, en;q=0.8, de;q=0.7, *;q=0.5")
	}
}
