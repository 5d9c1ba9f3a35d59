package notify

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/locale"
)

// NoticeKind is what a security notice tells of. The set is closed.
type NoticeKind string

// The kinds of notices.
const (
	NoticeLocked        NoticeKind = "locked"         // too many wrong codes: nothing can be confirmed until Notice.Until
	NoticeFactorAdded   NoticeKind = "factor_added"   // Notice.Factor was enrolled
	NoticeFactorRemoved NoticeKind = "factor_removed" // Notice.Factor was taken away
	NoticeFactorChanged NoticeKind = "factor_changed" // Notice.Factor was replaced
	NoticeBackupUsed    NoticeKind = "backup_code_used"
)

// Factor is what a user confirms with. The set is closed.
type Factor string

// The factors that can be added, removed and changed.
const (
	FactorTOTP        Factor = "totp"
	FactorPasskey     Factor = "passkey"
	FactorPhone       Factor = "phone"
	FactorBackupCodes Factor = "backup_codes"
)

// Notice is all that a security notice is made of. Like Codes it is no
// reminder: it has no List-Unsubscribe, waits for no quiet hours, no digest and
// no daily ceiling, and nobody unsubscribes from it. Like Codes it is read in
// the background.
type Notice struct {
	Application *consent.Application
	User        *consent.User // as before the change: the language, the zone and the name are taken
	Channel     consent.Channel
	To          string // an address, or a number in E.164 form
	Kind        NoticeKind
	Factor      Factor    // of a change
	Number      string    // the number of FactorPhone; only its end is shown
	Left        int       // how many backup codes are left, of NoticeBackupUsed
	At          time.Time // when it happened
	Until       time.Time // the end of a lock
}

// ErrNoNotice says that there is no notice of such a kind and factor.
var ErrNoNotice = errors.New("no such security notice")

// changes are the messages of changes.
var changes = map[NoticeKind]map[Factor]string{
	NoticeFactorAdded: {
		FactorTOTP: "security.totp_added", FactorPasskey: "security.passkey_added", FactorPhone: "security.phone_added", FactorBackupCodes: "security.backup_added",
	},
	NoticeFactorRemoved: {
		FactorTOTP: "security.totp_removed", FactorPasskey: "security.passkey_removed", FactorPhone: "security.phone_removed", FactorBackupCodes: "security.backup_removed",
	},
	NoticeFactorChanged: {
		FactorTOTP: "security.totp_changed", FactorPasskey: "security.passkey_changed", FactorPhone: "security.phone_changed", FactorBackupCodes: "security.backup_changed",
	},
}

func (n *Notice) check() error {
	if n.Kind == NoticeLocked || n.Kind == NoticeBackupUsed || changes[n.Kind][n.Factor] != "" {
		return nil
	}
	return fmt.Errorf("%w: %q of %q", ErrNoNotice, string(n.Kind), string(n.Factor))
}

// RenderSecurity writes the notice in the user's language, with times in the
// user's time zone. id becomes its Message-ID. It fails with ErrNoNotice.
func RenderSecurity(id string, n *Notice) (Message, error) {
	if err := n.check(); err != nil {
		return Message{}, err
	}
	lang := locale.Match(n.User.Locale)
	if n.Channel == consent.ChannelSMS {
		return Message{ID: id, To: n.To, Text: fittedNotice(lang, n)}, nil
	}
	app := oneLine(n.Application.Name)
	when := lang.DateTime(n.At, zoneOf(n.User))
	p := securityPage{Frame: frameOf(lang, n.Application, n.User)}
	p.Frame.Headline, p.Frame.Reason = what(lang, n), lang.Say("security.reason", "App", app)
	switch n.Kind {
	case NoticeLocked:
		p.Lead = lang.Say("security.locked", "App", app, "Until", lang.DateTime(n.Until, zoneOf(n.User)))
	case NoticeBackupUsed:
		p.Lead = lang.Say("security.used", "App", app, "When", when)
		p.Notes = append(p.Notes, codesLeft(lang, n.Left))
	default:
		p.Lead = lang.Say("security.changed", "App", app, "When", when)
	}
	p.Notes = append(p.Notes, lang.Say("security.not_you", "App", app))
	return p.message(id, n.Application, n.User, n.To)
}

// what is the notice in a few words.
func what(lang locale.Language, n *Notice) string {
	switch {
	case n.Kind == NoticeLocked:
		return lang.Say("security.locked_subject")
	case n.Kind == NoticeBackupUsed:
		return lang.Say("security.used_subject")
	case n.Factor == FactorPhone:
		return lang.Say(changes[n.Kind][n.Factor], "Ending", ending(n.Number))
	default:
		return lang.Say(changes[n.Kind][n.Factor])
	}
}

func codesLeft(lang locale.Language, codes int) string {
	if codes <= 0 {
		return lang.Say("security.used_none")
	}
	return lang.Say("security.used_left", "Count", codes)
}

// ending is as much of a number as tells its owner which one it is, and nobody
// else.
func ending(number string) string {
	digits := strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, number)
	return "**" + digits[max(len(digits)-2, 0):]
}

// securityPage is a code or a security notice.
type securityPage struct {
	Frame frame

	Lead      string
	Rows      []row // what the code is bound to
	Code      string
	CodeLabel string
	Notes     []string
}

// row is one thing that the code is bound to.
type row struct{ Label, Value string }

// row shows a value where there is one.
func (p *securityPage) row(label, value string) {
	if value != "" {
		p.Rows = append(p.Rows, row{label, locale.Isolate(value)})
	}
}

var security = formOf("security")

func (p *securityPage) message(id string, app *consent.Application, user *consent.User, to string) (Message, error) {
	p.Frame.Preheader = p.Lead
	m := Message{
		ID: id, To: to, ToName: locale.Isolate(oneLine(user.Name)), FromName: p.Frame.Application,
		ReplyTo: app.Branding.ReplyTo, Language: p.Frame.Language, Subject: p.Frame.Headline,
	}
	if err := security.write(&m, p); err != nil {
		return Message{}, err
	}
	return m, nil
}
