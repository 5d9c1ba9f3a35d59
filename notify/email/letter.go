package email

import (
	"errors"
	"fmt"
	"net/mail"
	"strings"
	"unicode"

	gomail "github.com/wneessen/go-mail"

	"github.com/reconsent/reconsent/notify"
)

// letter makes a mail of a message. Only an address that nothing can be sent to
// is refused for good.
func (m *Mailer) letter(msg notify.Message) (*gomail.Msg, error) {
	l := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	if err := setAddress(l, gomail.HeaderFrom, msg.FromName, m.from.Address); err != nil {
		return nil, fmt.Errorf("smtp: the sender: %w", err)
	}
	if err := setAddress(l, gomail.HeaderTo, msg.ToName, msg.To); err != nil {
		return nil, fmt.Errorf("%w: the recipient is %w", notify.ErrRefused, notify.ErrNoAddress) // the cause quotes it
	}
	if msg.ReplyTo != "" {
		if err := setAddress(l, gomail.HeaderReplyTo, msg.FromName, msg.ReplyTo); err != nil {
			return nil, errors.New("smtp: the reply address is none")
		}
	}
	l.SetMessageIDWithValue(msg.ID + "@" + m.domain)
	l.SetDate()
	l.Subject(headerText(msg.Subject))
	// Who answers by machine is not to answer this (RFC 3834, and Exchange).
	l.SetGenHeaderPreformatted("Auto-Submitted", "auto-generated")
	l.SetGenHeaderPreformatted(gomail.HeaderXAutoResponseSuppress, "All")
	if msg.Language != "" {
		l.SetGenHeaderPreformatted(gomail.HeaderContentLang, headerText(msg.Language))
	}
	if url := msg.ListUnsubscribe; url != "" && !strings.ContainsFunc(url, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '<' || r == '>' }) {
		l.SetGenHeaderPreformatted(gomail.HeaderListUnsubscribe, "<"+url+">")
		if strings.HasPrefix(url, "https://") { // RFC 8058 2: by nothing else
			l.SetGenHeaderPreformatted(gomail.HeaderListUnsubscribePost, "List-Unsubscribe=One-Click")
		}
	}
	l.SetBodyString(gomail.TypeTextPlain, msg.Text)
	l.AddAlternativeString(gomail.TypeTextHTML, msg.HTML)
	return l, nil
}

// setAddress quotes and encodes the name as RFC 5322 and RFC 2047 have it.
func setAddress(l *gomail.Msg, header gomail.AddrHeader, name, address string) error {
	if !plainAddress(address) {
		return errors.New("not a plain ASCII address")
	}
	return l.SetAddrHeader(header, (&mail.Address{Name: headerText(name), Address: address}).String())
}

// plainAddress reports whether an address is of visible ASCII characters.
func plainAddress(address string) bool {
	return !strings.ContainsFunc(address, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

// longestHeader is how much text a header takes, in characters.
const longestHeader = 200

// headerText makes one line of a text: what breaks lines would begin a header
// of its own.
func headerText(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	if runes := []rune(s); len(runes) > longestHeader {
		s = string(runes[:longestHeader-1]) + "…"
	}
	return strings.TrimSpace(s)
}
