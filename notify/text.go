package notify

import (
	"unicode/utf16"
	"unicode/utf8"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/locale"
)

// composeText writes the SMS in the user's language: one sentence about the
// nearest lapse, and its link.
func (n *Notifier) composeText(app *consent.Application, user *consent.User, d consent.Digest, about []told) (Message, error) {
	con := &about[0].consent
	lang := locale.Match(user.Locale)
	s := short{
		lang:   lang,
		status: con.Status(n.now()), early: con.EndedEarly(), more: len(about) - 1,
		application: oneLine(app.Name), bank: oneLine(con.BankName), link: about[0].link,
		at: lang.DateTime(con.LapsesAt, zoneOf(user)),
	}
	return Message{ID: d.ID, To: user.Phone, Text: s.fitted()}, nil
}

// short is what an SMS says.
type short struct {
	lang                        locale.Language
	status                      consent.Status
	early                       bool
	more                        int // how many other consents fall due with this one
	application, bank, link, at string
}

// segmentsAllowed is how many segments an SMS may cost: each is paid for, and
// some networks deliver those after the second out of order.
const segmentsAllowed = 2

// maxShortName is how much of a name stands in a text that has to be cut, in
// UTF-16 units.
const maxShortName = 20

// fitted is the text, in the plainest alphabet that it can be written in and,
// where it would cost more than it may, with names cut and then the bank's left
// out. The link and who is speaking are never left out.
func (s *short) fitted() string {
	tries := []short{*s, *s, *s}
	tries[1].application, tries[1].bank = cut(s.application, maxShortName), cut(s.bank, maxShortName)
	tries[2].application, tries[2].bank = cut(s.application, maxShortName), ""
	text := ""
	for i := range tries {
		if text = gsm(tries[i].said()); segments(text) <= segmentsAllowed {
			break
		}
	}
	return text
}

// cut leaves as much of a name as fits into so many UTF-16 units, which is what
// a text is measured in at worst.
func cut(name string, units int) string {
	if len(utf16.Encode([]rune(name))) <= units {
		return name
	}
	kept, room := 0, units-1
	for _, r := range name {
		if room -= utf16.RuneLen(r); room < 0 {
			break
		}
		kept += utf8.RuneLen(r)
	}
	return name[:kept] + "."
}

// said are the words. Each name is isolated there, so that it turns no others.
func (s *short) said() string {
	more := locale.Sentence("")
	if s.more > 0 {
		more = locale.Sentence(s.lang.Say("sms.more", "Count", s.more))
	}
	switch {
	case s.status == consent.Unrenewable:
		return s.lang.Say("sms.unrenewable", "App", s.application, "Bank", s.bank, "More", more, "When", s.at, "Link", s.link)
	case s.status == consent.Lapsed && s.early:
		return s.lang.Say("sms.early", "App", s.application, "Bank", s.bank, "More", more, "When", s.at, "Link", s.link)
	case s.status == consent.Lapsed:
		return s.lang.Say("sms.stopped", "App", s.application, "Bank", s.bank, "More", more, "When", s.at, "Link", s.link)
	default:
		return s.lang.Say("sms.ends", "App", s.application, "Bank", s.bank, "More", more, "When", s.at, "Link", s.link)
	}
}
