package notify

import (
	"bytes"
	"embed"
	"html/template"
	"strings"
	texttemplate "text/template"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/locale"
)

//go:embed templates
var files embed.FS

// form is what one kind of mail is written by: the layout that all have, and
// its own content.
type form struct {
	html *template.Template
	text *texttemplate.Template
}

func formOf(name string) form {
	return form{
		html: template.Must(template.ParseFS(files, "templates/layout.html", "templates/"+name+".html")),
		text: texttemplate.Must(texttemplate.ParseFS(files, "templates/layout.txt", "templates/"+name+".txt")),
	}
}

// What a mail comes to, in bytes: more than most, so that its buffer need not grow.
const (
	usualHTML = 6 << 10
	usualText = 1 << 10
)

// write fills a message's texts.
func (f form) write(m *Message, page any) error {
	var html, text bytes.Buffer
	html.Grow(usualHTML)
	text.Grow(usualText)
	if err := f.html.Execute(&html, page); err != nil {
		return err
	}
	if err := f.text.Execute(&text, page); err != nil {
		return err
	}
	m.HTML, m.Text = html.String(), wrap(text.String())
	return nil
}

var reminder = formOf("mail")

// Letter is all that a reminder mail is made of.
type Letter struct {
	Application *consent.Application
	User        *consent.User
	About       []About // the nearest lapse first; at least one
	Unsubscribe string  // the link that ends reminders; empty where there is none
	Now         time.Time
}

// About is one consent that a letter tells of.
type About struct {
	Consent *consent.Consent
	Link    string // leads to the bank
}

// frame is what the layout is given. Everything is said already; the HTML
// template escapes. It is a field of its own, and not embedded: reflection finds
// an embedded struct's fields ten times as slowly.
type frame struct {
	Language    string
	Application string
	Logo        string
	Ground, Ink string // colours of the button and its text
	Headline    string
	Preheader   string // what mail readers show beside the subject
	Greeting    string
	Reason      string
	Unsubscribe string // link; empty where there is none
	Stop        string // what it is called
}

func frameOf(lang locale.Language, app *consent.Application, user *consent.User) frame {
	return frame{
		Language: lang.Tag(), Application: locale.Isolate(oneLine(app.Name)), Logo: app.Branding.LogoURL,
		Ground: app.Branding.Ground(), Ink: app.Branding.Ink(), Greeting: lang.Say("mail.greeting", "Name", oneLine(user.Name)),
	}
}

// page is a reminder.
type page struct {
	Frame frame

	Items    []item
	Security string
}

// item is one consent of a letter.
type item struct {
	Bank     string
	Account  string
	Sentence string // what is, or will be, with it
	Link     string
	Button   string
}

// Render writes the mail in the user's language, with dates in the user's time
// zone: English and UTC where those are unknown. id becomes its Message-ID.
func Render(id string, l *Letter) (Message, error) {
	lang, zone := locale.Match(l.User.Locale), locale.Zone(l.User.TimeZone)
	app := oneLine(l.Application.Name)
	p := page{Frame: frameOf(lang, l.Application, l.User), Security: lang.Say("mail.security", "App", app)}
	p.Frame.Headline, p.Frame.Reason = headline(lang, l.About, l.Now, zone), lang.Say("mail.reason", "App", app)
	p.Frame.Unsubscribe, p.Frame.Stop = l.Unsubscribe, lang.Say("mail.unsubscribe")
	for _, a := range l.About {
		p.Items = append(p.Items, itemFor(lang, l.Application, a, l.Now, zone))
	}
	p.Frame.Preheader = p.Items[0].Sentence
	m := Message{
		ID: id, To: l.User.Email, ToName: locale.Isolate(oneLine(l.User.Name)), FromName: p.Frame.Application,
		ReplyTo: l.Application.Branding.ReplyTo, ListUnsubscribe: l.Unsubscribe, Language: p.Frame.Language, Subject: p.Frame.Headline,
	}
	if err := reminder.write(&m, p); err != nil {
		return Message{}, err
	}
	return m, nil
}

// headline is the subject too: what is, and with which bank, of the nearest.
func headline(lang locale.Language, about []About, now time.Time, zone *time.Location) string {
	con := about[0].Consent
	bank := oneLine(con.BankName)
	s, days := situationOf(con, now, zone)
	var said string
	switch s {
	case endsInDays:
		said = lang.Say("mail.subject_days", "Bank", bank, "Count", days)
	case endsInHours:
		said = lang.Say("mail.subject_hours", "Bank", bank)
	case endsToday:
		said = lang.Say("mail.subject_today", "Bank", bank)
	case endUnknown:
		said = lang.Say("mail.subject_open", "Bank", bank)
	case hasStopped:
		said = lang.Say("mail.subject_stopped", "Bank", bank)
	case endedEarly:
		said = lang.Say("mail.subject_early", "Bank", bank)
	case stillStopped:
		said = lang.Say("mail.subject_long", "Bank", bank)
	case windowCloses:
		if said = lang.Say("mail.subject_window_hours", "Bank", bank); days > 0 {
			said = lang.Say("mail.subject_window", "Bank", bank, "Count", days)
		}
	case cannotRenew:
		said = lang.Say("mail.subject_unrenewable", "Bank", bank)
	}
	if more := len(about) - 1; more > 0 {
		said = lang.Say("mail.and_more", "Subject", locale.Sentence(said), "Count", more)
	}
	return said
}

func itemFor(lang locale.Language, app *consent.Application, a About, now time.Time, zone *time.Location) item {
	con := a.Consent
	it := item{Bank: locale.Isolate(oneLine(con.BankName)), Account: locale.Isolate(oneLine(con.AccountLabel)), Link: a.Link}
	if it.Bank == "" {
		it.Bank = lang.Say("mail.bank")
	}
	when, name := lang.DateTime(con.LapsesAt, zone), oneLine(app.Name)
	until := ""
	if !con.RenewableUntil.IsZero() {
		until = lang.DateTime(con.RenewableUntil, zone)
	}
	it.Button = lang.Say("mail.button_reconnect")
	switch s, _ := situationOf(con, now, zone); s {
	case endsInDays, endsInHours, endsToday:
		it.Button = lang.Say("mail.button_keep")
		if it.Sentence = lang.Say("mail.ends", "When", when); app.Policy(con.Provider).RenewBy == consent.RenewByExtend {
			it.Sentence = lang.Say("mail.ends_extend", "When", when)
		}
	case endUnknown:
		it.Button, it.Sentence = lang.Say("mail.button_keep"), lang.Say("mail.open", "App", name)
	case hasStopped:
		it.Sentence = lang.Say("mail.stopped", "When", when, "App", name)
	case endedEarly:
		it.Sentence = lang.Say("mail.early", "When", when, "App", name)
	case stillStopped:
		it.Sentence = lang.Say("mail.long", "When", when, "App", name, "Until", until)
	case windowCloses:
		it.Sentence = lang.Say("mail.window", "When", when, "Until", until)
	case cannotRenew:
		it.Sentence = lang.Say("mail.unrenewable", "When", when)
		it.Button = lang.Say("mail.button_link")
	}
	return it
}

func oneLine(s string) string { return consent.OneLine(s) }

// longestLine is that of plain text (RFC 5322 2.1.1).
const longestLine = 77

// wrap breaks long lines between words. A word that is longer, a link, stays
// whole.
func wrap(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		width := 0
		for i, word := range strings.Split(strings.TrimSuffix(line, "\n"), " ") {
			n := len([]rune(word))
			switch {
			case i == 0:
			case width+1+n > longestLine:
				b.WriteByte('\n')
				width = 0
			default:
				b.WriteByte(' ')
				width++
			}
			b.WriteString(word)
			width += n
		}
		b.WriteByte('\n')
	}
	return b.String()
}
