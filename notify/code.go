package notify

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/locale"
)

// Codes is all that a message with a one-time code is made of. It is read in
// the background when it was handed to Security: who made it changes what it
// points to no more.
//
// Such a message was asked for just now, and is of no use later. So it is no
// reminder: it has no List-Unsubscribe, and waits for no quiet hours, no digest
// and no daily ceiling; neither unsubscribing nor an application's NoMail or
// Paused holds it.
type Codes struct {
	Application *consent.Application
	User        *consent.User
	Channel     consent.Channel
	To          string   // an address, or a number in E.164 form; bound to the user
	Code        string   // six digits
	Operation   string   // what is to be confirmed, as people call it; plain text, empty where it is nothing in particular
	Details     *Details // of a payment; nil where there is none
	// Domain is the site that the code is typed into: browsers offer an SMS's code
	// there and nowhere else (WebOTP, https://wicg.github.io/sms-one-time-codes/).
	// Empty where none is known.
	Domain         string
	ExpiresAt, Now time.Time
	About          any // comes back in Sent
}

// Details are the payment that a code is bound to. The payer sees them beside
// it (dynamic linking: Regulation (EU) 2018/389, article 5).
type Details struct {
	Payee    string
	Amount   string // as people read it: digits, with . , ' or spaces between
	Currency string // ISO 4217
}

// ErrUnclear says of payment details that they cannot be shown as what they
// are. What cannot be shown is not confirmed.
var ErrUnclear = errors.New("payment details that cannot be shown clearly")

// ErrNoCode says that a code is not six digits. It does not say what it is.
var ErrNoCode = errors.New("a code is six digits")

var (
	codeForm     = regexp.MustCompile(`^[0-9]{6}$`)
	amountForm   = regexp.MustCompile(`^[0-9](?:[0-9.,' ]{0,22}[0-9])?$`)
	currencyForm = regexp.MustCompile(`^[A-Z]{3}$`)
	domainForm   = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+$`)
)

// Check reports, as ErrUnclear, whether the details cannot be shown. An amount
// is never cut, a payee's name may be.
func (d *Details) Check() error {
	switch {
	case !amountForm.MatchString(d.Amount):
		return fmt.Errorf("%w: the amount", ErrUnclear)
	case !currencyForm.MatchString(d.Currency):
		return fmt.Errorf("%w: the currency", ErrUnclear)
	case !strings.ContainsFunc(label(d.Payee), func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) }):
		return fmt.Errorf("%w: the payee", ErrUnclear)
	}
	return nil
}

// money is the amount with its currency, which no line break parts.
func (d *Details) money() string { return d.Amount + "\u00a0" + d.Currency }

func (c *Codes) check() error {
	if !codeForm.MatchString(c.Code) {
		return ErrNoCode
	}
	if c.Details != nil {
		return c.Details.Check()
	}
	return nil
}

const noCodes = "code [redacted]"

// String keeps the code out of logs and errors.
func (Codes) String() string { return noCodes }

// GoString keeps the code out of %#v.
func (Codes) GoString() string { return noCodes }

// LogValue implements slog.LogValuer.
func (Codes) LogValue() slog.Value { return slog.StringValue(noCodes) }

// MarshalJSON implements json.Marshaler, for slog's JSON and all it nests in.
func (Codes) MarshalJSON() ([]byte, error) { return json.Marshal(noCodes) }

// RenderCode writes the message in the user's language, with the end of its
// validity in the user's time zone. id becomes its Message-ID. Of a payment it
// shows payee and amount, or fails with ErrUnclear.
//
// The subject holds neither the code nor a payment: servers on the way write
// subjects down.
func RenderCode(id string, c *Codes) (Message, error) {
	if err := c.check(); err != nil {
		return Message{}, err
	}
	lang := locale.Match(c.User.Locale)
	if c.Channel == consent.ChannelSMS {
		return Message{ID: id, To: c.To, Text: fittedCode(lang, c)}, nil
	}
	app := oneLine(c.Application.Name)
	p := securityPage{Frame: frameOf(lang, c.Application, c.User), Code: c.Code, CodeLabel: lang.Say("security.code")}
	p.Frame.Headline, p.Frame.Reason = lang.Say("security.subject_code", "App", app), lang.Say("security.reason", "App", app)
	p.Lead = saidOfCode(lang, c, label(c.Operation), app, c.payee())
	p.Notes = []string{
		lang.Say("security.code_valid", "Count", c.minutes(), "Until", lang.DateTime(c.ExpiresAt, zoneOf(c.User))),
		lang.Say("security.code_guard"),
	}
	if c.Details != nil {
		p.Frame.Headline = lang.Say("security.subject_payment", "App", app)
		p.row(lang.Say("security.payee"), c.payee())
		p.row(lang.Say("security.amount"), c.Details.money())
		p.row(lang.Say("security.operation"), label(c.Operation))
		p.Notes = append(p.Notes, lang.Say("security.code_wrong", "App", app))
	}
	p.Notes = append(p.Notes, lang.Say("security.code_not_you", "App", app))
	return p.message(id, c.Application, c.User, c.To)
}

func (c *Codes) payee() string {
	if c.Details == nil {
		return ""
	}
	return label(c.Details.Payee)
}

// justMade is how long ago a code was made that is called new.
const justMade = 5 * time.Second

// minutes is how long the code is still good for, in whole minutes.
func (c *Codes) minutes() int { return max(int((c.ExpiresAt.Sub(c.Now)+justMade)/time.Minute), 1) }

// saidOfCode is the sentence that says what the code is for, with names as they
// are given.
func saidOfCode(lang locale.Language, c *Codes, operation, app, payee string) string {
	switch {
	case c.Details != nil:
		return lang.Say("security.code_payment", "Code", c.Code, "Amount", c.Details.money(), "Payee", payee, "App", app)
	case operation != "":
		return lang.Say("security.code_operation", "Code", c.Code, "Operation", operation, "App", app)
	default:
		return lang.Say("security.code_identity", "Code", c.Code, "App", app)
	}
}

// label makes of a text that somebody outside chose what can be shown in a
// message that people trust: one line, not too long, and nothing that a mail
// reader or a phone would make a link of.
func label(s string) string { return oneLine(unlinked(strings.ToValidUTF8(s, ""))) }

// unlinked parts what looks like an address behind its dots and colons:
// "evil. example", "https: //evil. example". Numbers and times stay whole.
func unlinked(s string) string {
	var b strings.Builder
	joint := false
	for _, r := range s {
		if joint && !unicode.IsSpace(r) && !unicode.IsDigit(r) && !strings.ContainsRune(",;.!?)\"'", r) {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
		joint = strings.ContainsRune(".:\u3002\uff0e\uff61", r)
	}
	return b.String()
}
