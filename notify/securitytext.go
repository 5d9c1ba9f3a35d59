package notify

import (
	"strings"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/locale"
)

// measure is how much of a code's SMS is said: of names so many UTF-16 units,
// none of an operation where it is 0.
type measure struct {
	payee, app, operation int
	warned                warned
	domain                bool // with the line for the browser
}

// warned is how much of the warnings is said.
type warned int

const (
	inFull  warned = iota // and how long the code is good for
	briefly               // never to pass it on, and what to do
	least                 // never to pass it on
)

// measures go from all that there is to say to what has to be said. Who asks,
// payee, amount and "do not pass it on" are never left out. What takes the
// fewest is another script: 134 units are all there is.
var measures = []measure{
	{payee: consent.LongestName, app: consent.LongestName, operation: consent.LongestName, domain: true},
	{payee: 40, app: 20, operation: 40, domain: true},
	{payee: 40, app: 20, operation: 40, warned: briefly, domain: true},
	{payee: 20, app: 20, warned: briefly, domain: true},
	{payee: 20, app: 20, warned: briefly},
	{payee: 20, app: 10, warned: least},
	{payee: 10, app: 10, warned: least},
}

// fittedCode is a code's SMS, with the code at its beginning, in as few words
// as it takes to fit.
func fittedCode(lang locale.Language, c *Codes) string {
	app, operation, payee := oneLine(c.Application.Name), label(c.Operation), c.payee()
	text := ""
	for _, m := range measures {
		about := ""
		if m.operation > 0 {
			about = cut(operation, m.operation)
		}
		said := []string{saidOfCode(lang, c, about, cut(app, m.app), cut(payee, m.payee))}
		switch m.warned {
		case inFull:
			said = append(said, lang.Say("security.sms_guard"), lang.Say("security.sms_not_you"), lang.Say("security.sms_valid", "Minutes", c.minutes()))
		case briefly:
			said = append(said, lang.Say("security.sms_least"), lang.Say("security.sms_not_you"))
		case least:
			said = append(said, lang.Say("security.sms_least"))
		}
		text = gsm(strings.Join(said, " "))
		if m.domain && domainForm.MatchString(c.Domain) {
			text += "\n@" + c.Domain + " #" + c.Code
		}
		if segments(text) <= segmentsAllowed {
			break
		}
	}
	return text
}

// fittedNotice is a notice's SMS: the application's name is cut, and then the
// time left out, where it would be too long.
func fittedNotice(lang locale.Language, n *Notice) string {
	at := n.At
	if n.Kind == NoticeLocked {
		at = n.Until
	}
	app, when := oneLine(n.Application.Name), lang.DateTime(at, zoneOf(n.User))
	text := ""
	for _, try := range []struct {
		app  int
		when string
	}{{consent.LongestName, when}, {maxShortName, when}, {maxShortName, ""}, {maxShortName / 2, ""}} {
		text = gsm(saidOfNotice(lang, n, cut(app, try.app), try.when))
		if segments(text) <= segmentsAllowed {
			break
		}
	}
	return text
}

func saidOfNotice(lang locale.Language, n *Notice, app, when string) string {
	if n.Kind == NoticeLocked {
		return lang.Say("security.sms_locked", "App", app, "Until", when)
	}
	rest := locale.Sentence("")
	if n.Kind == NoticeBackupUsed {
		rest = locale.Sentence(lang.Say("security.used_left", "Count", max(n.Left, 0)))
	}
	return lang.Say("security.sms_notice", "App", app, "What", locale.Sentence(what(lang, n)), "When", when, "Left", rest)
}
