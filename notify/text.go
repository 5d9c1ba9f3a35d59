package notify

import (
	"fmt"

	"github.com/reconsent/reconsent/consent"
)

// composeText writes the SMS: one sentence about the nearest lapse, and its
// link.
func (n *Notifier) composeText(app *consent.Application, user *consent.User, d consent.Digest, about []told) (Message, error) {
	con := &about[0].consent
	s := short{
		status: con.Status(n.now()), early: con.EndedEarly(), more: len(about) - 1,
		application: app.Name, bank: con.BankName, link: about[0].link,
		// Without a year, which nobody doubts of something that is near.
		at: con.LapsesAt.In(zoneOf(user)).Format("2 January, 15:04 MST"),
	}
	return Message{ID: d.ID, To: user.Phone, Text: s.fitted()}, nil
}

// short is what an SMS says.
type short struct {
	status                      consent.Status
	early                       bool
	more                        int // how many other consents fall due with this one
	application, bank, link, at string
}

// segmentsAllowed is how many segments an SMS may cost: each is paid for, and
// some networks deliver those after the second out of order.
const segmentsAllowed = 2

// maxShortName is how much of a name stands in a text that has to be cut.
const maxShortName = 20

// fitted is the text, in the plainest alphabet that it can be written in and,
// where it would cost more than it may, with names cut and then the bank's left
// out. The link and who is speaking are never left out.
func (s *short) fitted() string {
	tries := []short{*s, *s, *s}
	tries[1].application, tries[1].bank = cut(s.application), cut(s.bank)
	tries[2].application, tries[2].bank = cut(s.application), ""
	text := ""
	for i := range tries {
		if text = gsm(tries[i].english()); segments(text) <= segmentsAllowed {
			break
		}
	}
	return text
}

func cut(name string) string {
	if r := []rune(name); len(r) > maxShortName {
		return string(r[:maxShortName-1]) + "."
	}
	return name
}

// english are the words. Another language is another function like this one.
func (s *short) english() string {
	bank := s.bank
	if bank == "" {
		bank = "your bank"
	}
	more := ""
	if s.more > 0 {
		more = fmt.Sprintf(" (and %d more)", s.more)
	}
	switch {
	case s.status == consent.Unrenewable:
		return fmt.Sprintf("%s: access to %s%s stopped on %s. Link it again: %s", s.application, bank, more, s.at, s.link)
	case s.status == consent.Lapsed && s.early:
		return fmt.Sprintf("%s: access to %s%s was ended early, on %s. Reconnect: %s", s.application, bank, more, s.at, s.link)
	case s.status == consent.Lapsed:
		return fmt.Sprintf("%s: access to %s%s stopped on %s. Reconnect: %s", s.application, bank, more, s.at, s.link)
	default:
		return fmt.Sprintf("%s: access to %s%s ends on %s. Keep it: %s", s.application, bank, more, s.at, s.link)
	}
}
