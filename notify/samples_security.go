package notify

import (
	"time"

	"github.com/reconsent/reconsent/consent"
)

// SecuritySample is a code or a notice with made-up people, to look at. One of
// Code and Notice is there.
type SecuritySample struct {
	Name   string // fits a file's name
	Code   *Codes
	Notice *Notice
}

// Render writes the sample as a mail, or as an SMS.
func (s *SecuritySample) Render(channel consent.Channel) (Message, error) {
	to := "ada@example.org"
	if channel == consent.ChannelSMS {
		to = "+442071838750"
	}
	if s.Code != nil {
		c := *s.Code
		c.Channel, c.To = channel, to
		return RenderCode("cod_"+s.Name, &c)
	}
	n := *s.Notice
	n.Channel, n.To = channel, to
	return RenderSecurity("sec_"+s.Name, &n)
}

// In puts the sample into another application.
func (s *SecuritySample) In(app *consent.Application) {
	if s.Code != nil {
		s.Code.Application = app
	} else {
		s.Notice.Application = app
	}
}

// Application is the sample's.
func (s *SecuritySample) Application() *consent.Application {
	if s.Code != nil {
		return s.Code.Application
	}
	return s.Notice.Application
}

// SecuritySamples returns each kind of code and notice, to a user with the given
// language.
func SecuritySamples(language string) []SecuritySample {
	now := time.Date(2027, time.March, 1, 9, 0, 0, 0, time.UTC)
	app := &consent.Application{Name: "Ledger & Co", Branding: consent.Branding{Colour: "#0b6e4f"}}
	user := &consent.User{Name: "Ada Lovelace", Locale: language, TimeZone: "Europe/Paris"}
	code := func(operation string, details *Details) *Codes {
		return &Codes{Application: app, User: user, Code: "493027", Operation: operation, Details: details, Now: now, ExpiresAt: now.Add(5 * time.Minute)}
	}
	notice := func(kind NoticeKind, factor Factor) *Notice {
		return &Notice{Application: app, User: user, Kind: kind, Factor: factor, Number: "+44 20 7183 8712", At: now, Until: now.Add(time.Hour), Left: 7}
	}
	filled := code("", nil)
	filled.Domain = "ledger.example"
	none := notice(NoticeBackupUsed, "")
	none.Left = 0
	return []SecuritySample{
		{Name: "code", Code: filled},
		{Name: "code-operation", Code: code("Export all statements", nil)},
		{Name: "code-payment", Code: code("", &Details{Payee: "Miller GmbH", Amount: "49.90", Currency: "EUR"})},
		{Name: "code-payment-operation", Code: code("Standing order", &Details{Payee: "Żółta Łódź i Synowie Spółka z ograniczoną odpowiedzialnością", Amount: "1.234.567,89", Currency: "PLN"})},
		{Name: "locked", Notice: notice(NoticeLocked, "")},
		{Name: "backup-code-used", Notice: notice(NoticeBackupUsed, "")},
		{Name: "backup-code-last", Notice: none},
		{Name: "authenticator-added", Notice: notice(NoticeFactorAdded, FactorTOTP)},
		{Name: "authenticator-removed", Notice: notice(NoticeFactorRemoved, FactorTOTP)},
		{Name: "authenticator-changed", Notice: notice(NoticeFactorChanged, FactorTOTP)},
		{Name: "passkey-added", Notice: notice(NoticeFactorAdded, FactorPasskey)},
		{Name: "passkey-removed", Notice: notice(NoticeFactorRemoved, FactorPasskey)},
		{Name: "passkey-changed", Notice: notice(NoticeFactorChanged, FactorPasskey)},
		{Name: "phone-added", Notice: notice(NoticeFactorAdded, FactorPhone)},
		{Name: "phone-removed", Notice: notice(NoticeFactorRemoved, FactorPhone)},
		{Name: "phone-changed", Notice: notice(NoticeFactorChanged, FactorPhone)},
		{Name: "backup-codes-added", Notice: notice(NoticeFactorAdded, FactorBackupCodes)},
		{Name: "backup-codes-removed", Notice: notice(NoticeFactorRemoved, FactorBackupCodes)},
		{Name: "backup-codes-changed", Notice: notice(NoticeFactorChanged, FactorBackupCodes)},
	}
}
