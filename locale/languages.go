package locale

import (
	"github.com/go-playground/locales"
	"github.com/go-playground/locales/de"
	"github.com/go-playground/locales/en"
	"github.com/go-playground/locales/en_GB"
	"github.com/go-playground/locales/es"
	"github.com/go-playground/locales/fr"
	"github.com/go-playground/locales/it"
	"github.com/go-playground/locales/nl"
	"github.com/go-playground/locales/pl"
	"golang.org/x/text/language"
)

// spoken is one row of the languages.
type spoken struct {
	tag      string
	messages string             // tag of its message files
	dates    locales.Translator // months and the order of a date, from CLDR
	first    string             // what the first day of a month is called; empty: 1
	zones    map[string]string  // zone abbreviations that differ from the tz database's
}

// spokenLanguages begins with the one for whoever reads none of them. English
// without a country has its dates in British order: 4 March 2026 is read alike
// everywhere.
var spokenLanguages = []spoken{
	{tag: "en", messages: "en", dates: en_GB.New()},
	{tag: "en-GB", messages: "en", dates: en_GB.New()},
	{tag: "en-US", messages: "en", dates: en.New()},
	{tag: "de", messages: "de", dates: de.New(), zones: map[string]string{"CET": "MEZ", "CEST": "MESZ"}},
	{tag: "fr", messages: "fr", dates: fr.New(), first: "1er"},
	{tag: "es", messages: "es", dates: es.New()},
	{tag: "it", messages: "it", dates: it.New(), first: "1º"},
	{tag: "nl", messages: "nl", dates: nl.New()},
	{tag: "pl", messages: "pl", dates: pl.New()},
}

var matcher = language.NewMatcher(tags())

func tags() []language.Tag {
	list := make([]language.Tag, len(spokenLanguages))
	for i, s := range spokenLanguages {
		list[i] = language.MustParse(s.tag)
	}
	return list
}

// Language is one that we can speak. The zero value is English. Languages can
// be compared, and used by many goroutines.
type Language struct{ row int }

// English is for whoever reads none of the languages that there are.
var English Language

// All returns the languages, one for each set of messages.
func All() []Language {
	var list []Language
	for i, s := range spokenLanguages {
		if s.tag == s.messages {
			list = append(list, Language{i})
		}
	}
	return list
}

// Match returns the language that fits best. Each wish is a BCP 47 tag ("de-AT")
// or an Accept-Language header (RFC 9110, 12.5.4), the one that counts most
// first; what is empty, malformed or not spoken here is passed over. It never
// fails: English is left.
func Match(wishes ...string) Language {
	for _, wish := range wishes {
		if wish == "" {
			continue
		}
		wanted, _, err := language.ParseAcceptLanguage(wish)
		if err != nil || len(wanted) == 0 {
			continue
		}
		if _, row, confidence := matcher.Match(wanted...); confidence > language.No {
			return Language{row}
		}
	}
	return English
}

// Tag returns the language's BCP 47 tag, for a lang attribute or a header.
func (l Language) Tag() string { return spokenLanguages[l.row].tag }
