package notify

import (
	"bytes"
	"context"
	"embed"
	"html/template"
	texttemplate "text/template"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/reconsent/reconsent/consent"
)

//go:embed templates/mail.html templates/mail.txt
var files embed.FS

var (
	htmlMail = template.Must(template.ParseFS(files, "templates/mail.html"))
	textMail = texttemplate.Must(texttemplate.ParseFS(files, "templates/mail.txt"))
)

// letter is what the templates are given.
type letter struct {
	Application string
	Name        string
	Headline    string
	Items       []item
}

// item is one consent of a letter.
type item struct {
	Bank     string
	Account  string
	Sentence string // what is, or will be, with it
	Link     string // empty where no renewal helps
	Button   string
}

// compose writes the message, headed by the nearest lapse.
func (n *Notifier) compose(ctx context.Context, app *consent.Application, user *consent.User, d consent.Digest, about []told) (Message, error) {
	zone := time.UTC
	if loc, err := time.LoadLocation(user.TimeZone); err == nil && user.TimeZone != "" {
		zone = loc
	}
	l := letter{Application: app.Name, Name: user.Name}
	now := n.now()
	for i := range about {
		con := &about[i].consent
		link, err := n.Links.ReconnectLink(ctx, app, con.ID)
		if err != nil {
			return Message{}, err
		}
		l.Items = append(l.Items, itemFor(con, con.Status(now), link, zone))
	}
	l.Headline = headline(&about[0].consent, now, len(about))
	var html, text bytes.Buffer
	if err := htmlMail.Execute(&html, l); err != nil {
		return Message{}, err
	}
	if err := textMail.Execute(&text, l); err != nil {
		return Message{}, err
	}
	return Message{
		ID: d.ID, To: user.Email, ToName: user.Name, FromName: app.Name,
		Subject: l.Headline, Text: text.String(), HTML: html.String(),
	}, nil
}

func bankOf(con *consent.Consent) string {
	if con.BankName != "" {
		return con.BankName
	}
	return "your bank"
}

func headline(con *consent.Consent, now time.Time, count int) string {
	var s string
	switch status := con.Status(now); {
	case con.EndedEarly() && status == consent.Lapsed:
		s = bankOf(con) + " ended access early"
	case status == consent.Lapsed:
		s = "Access to " + bankOf(con) + " has stopped"
	case status == consent.Unrenewable:
		s = "Link " + bankOf(con) + " again to restore access"
	default:
		s = "Access to " + bankOf(con) + " ends soon"
	}
	if count > 1 {
		s += ", and more"
	}
	return capital(s)
}

// capital begins a sentence; bank names begin with a letter of any script.
func capital(s string) string {
	r, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(r)) + s[size:]
}

func itemFor(con *consent.Consent, status consent.Status, link string, zone *time.Location) item {
	at := con.LapsesAt.In(zone).Format("2 January 2006, 15:04 MST")
	it := item{Bank: capital(bankOf(con)), Account: con.AccountLabel, Link: link, Button: "Reconnect"}
	switch {
	case con.EndedEarly() && status == consent.Lapsed:
		it.Sentence = "The bank ended access early, on " + at + ". It has stopped until you reconnect."
	case status == consent.Lapsed:
		it.Sentence = "Access stopped on " + at + ". Reconnect to restore it."
	case status == consent.Unrenewable:
		it.Sentence = "Access stopped on " + at + " and can no longer be renewed. Link the account again to restore it."
		it.Button = "Link again"
	default:
		it.Sentence = "Access ends on " + at + ". Confirm at your bank to keep it."
	}
	return it
}
