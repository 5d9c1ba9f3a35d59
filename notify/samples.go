package notify

import (
	"strconv"
	"time"

	"github.com/reconsent/reconsent/consent"
)

// Sample is a letter with made-up people and banks, to look at.
type Sample struct {
	Name   string // of the stage; fits a file's name
	Letter Letter
}

// Samples returns a letter for each thing that a mail may say, to a user with
// the given language.
func Samples(language string) []Sample {
	now := time.Date(2027, time.March, 1, 9, 0, 0, 0, time.UTC)
	app := &consent.Application{
		Name: "Ledger & Co", Branding: consent.Branding{Colour: "#0b6e4f"},
		Policies: map[string]consent.Policy{"uk": {RenewBy: consent.RenewByExtend}},
	}
	user := &consent.User{Name: "Ada Lovelace", Locale: language, TimeZone: "Europe/Paris"}
	bank := func(name, account string, lapse time.Duration) *consent.Consent {
		at := now.Add(lapse)
		return &consent.Consent{
			Provider: "truelayer", BankName: name, AccountLabel: account, ConsentedAt: at.Add(-90 * day), ExpiresAt: at, LapsesAt: at,
			LapsingAt: at.Add(-30 * day), RenewableUntil: at.Add(90 * day),
		}
	}
	letter := func(cons ...*consent.Consent) Letter {
		l := Letter{Application: app, User: user, Now: now, Unsubscribe: "https://consents.example/u/ledger.dGhpcyBpcyBhIHNhbXBsZQ"}
		for i, con := range cons {
			l.About = append(l.About, About{Consent: con, Link: "https://consents.example/r/ledger.QmFua3MgYXJlIG9wZW4sIGNvbnNlbnRzIGxhcHNl" + strconv.Itoa(i+1)})
		}
		return l
	}
	mock := func(lapse time.Duration) *consent.Consent {
		return bank("Banque Lumière", "FR76 •••• 4321", lapse)
	}
	early := mock(-2 * time.Hour)
	early.EndedAt, early.ExpiresAt, early.EndedReason = early.LapsesAt, now.Add(40*day), "access_denied"
	gone := mock(-100 * day)
	uk := bank("Example Bank UK", "", 12*day)
	uk.Provider = "uk"
	plain := letter(bank("", "", 3*day))
	plain.Application, plain.User = &consent.Application{Name: "Ledger & Co"}, &consent.User{Locale: language}
	plain.Unsubscribe = ""
	return []Sample{
		{"before", letter(mock(7*day + 5*time.Hour))},
		{"less-than-a-day", letter(mock(23*time.Hour + 59*time.Minute))},
		{"today", letter(mock(5 * time.Hour))},
		{"stopped", letter(mock(-3 * time.Hour))},
		{"ended-early", letter(early)},
		{"long-after", letter(mock(-30 * day))},
		{"window-closes", letter(mock(-83 * day))},
		{"window-last-day", letter(mock(-90*day + 6*time.Hour))},
		{"unrenewable", letter(gone)},
		{"reconfirm", letter(uk)},
		{"several", letter(mock(day+2*time.Hour), bank("Sparbank", "DE•• •••• 0815", -2*day), uk)},
		{"unknown-bank", plain},
	}
}
