package connector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/reconsent/reconsent/consent"
)

// raiseAlarms looks where a large share of checks has failed of late.
func (c *Connector) raiseAlarms(ctx context.Context) error {
	since := c.now().Add(-consent.HealthWindow)
	failing, err := c.registry.Failing(ctx, since)
	if err != nil {
		return err
	}
	for _, f := range failing {
		banks, err := c.bankHealths(ctx, f, since)
		if err != nil {
			return err
		}
		if consent.ProviderOut(banks) {
			err = c.raiseOver(ctx, consent.AlarmProvider, f, "", "A large share of the refreshes at this provider fails: look at the application's settings there. Nothing ends and nobody is mailed meanwhile.")
		} else {
			for _, b := range banks {
				if b.BankOut() {
					err = errors.Join(err, c.raiseOver(ctx, consent.AlarmBank, f, b.ProviderID,
						fmt.Sprintf("Of %d consents at this bank %d cannot be asked about or are refused: the bank seems to be out. Nothing ends and nobody is mailed meanwhile.", b.Total, b.Failed+b.Refused)))
				}
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// bankHealths counts what has come of checks since, or since an alarm about the
// same provider was over: what rang it must not ring it again.
func (c *Connector) bankHealths(ctx context.Context, f consent.Check, since time.Time) ([]consent.BankHealth, error) {
	alarms, err := c.registry.Alarms(ctx, f.ApplicationID, true)
	if err != nil {
		return nil, err
	}
	for _, a := range alarms {
		if a.Provider == f.Provider {
			since = laterOf(since, a.ClosedAt)
		}
	}
	return c.registry.BankHealths(ctx, f.ApplicationID, f.Provider, since, "")
}

// endQuietAlarms closes the alarms of which nothing has been seen for an hour:
// where nothing is left to probe with, nobody could say that it is over.
func (c *Connector) endQuietAlarms(ctx context.Context) error {
	alarms, err := c.registry.Alarms(ctx, "", false)
	if err != nil {
		return err
	}
	since := c.now().Add(-quietAfter)
	for _, a := range alarms {
		if !a.Kind.AboutBanks() || a.OpenedAt.After(since) {
			continue
		}
		banks, err := c.registry.BankHealths(ctx, a.ApplicationID, a.Provider, since, "")
		if err != nil {
			return err
		}
		seen := slices.ContainsFunc(banks, func(b consent.BankHealth) bool {
			return (a.ProviderID == "" || a.ProviderID == b.ProviderID) && b.Refused+b.Failed+b.Misconfigured > 0
		})
		if !seen {
			if err := c.closeAlarm(ctx, a); err != nil {
				return err
			}
		}
	}
	return nil
}

// raiseOver raises an alarm about a provider, or a bank behind it.
func (c *Connector) raiseOver(ctx context.Context, kind consent.AlarmKind, about consent.Check, bank, detail string) error {
	return c.raise(ctx, consent.Alarm{
		ApplicationID: about.ApplicationID, Kind: kind, Provider: about.Provider, ProviderID: bank, ProbeAt: c.now().Add(checkPause), Detail: detail,
	})
}

// raise opens an alarm, and says so where it was not open already.
func (c *Connector) raise(ctx context.Context, a consent.Alarm) error {
	a.OpenedAt = c.now()
	opened, err := c.registry.OpenAlarm(ctx, a)
	if opened {
		c.log.Error("alarm", "kind", string(a.Kind), "application", a.ApplicationID, "provider", a.Provider, "bank", a.ProviderID, "detail", a.Detail)
	}
	return err
}

func (c *Connector) closeAlarm(ctx context.Context, a consent.Alarm) error {
	closed, err := c.registry.CloseAlarm(ctx, a, c.now())
	if closed {
		c.log.Warn("alarm over", "kind", string(a.Kind), "application", a.ApplicationID, "provider", a.Provider, "bank", a.ProviderID)
	}
	return err
}

// Alarms lists what an operator has to know of, the newest first: of one
// application, or of all where app is nil.
func (c *Connector) Alarms(ctx context.Context, app *consent.Application, closedToo bool) ([]consent.Alarm, error) {
	id := ""
	if app != nil {
		id = app.ID
	}
	return c.registry.Alarms(ctx, id, closedToo)
}

// doubtful reports whether a refusal may be everybody's: then it ends nothing.
// since is when the consent was refused first.
func (c *Connector) doubtful(ctx context.Context, con *consent.Consent, since time.Time) (bool, error) {
	alarms, err := c.registry.Alarms(ctx, con.ApplicationID, false)
	if err != nil || slices.ContainsFunc(alarms, func(a consent.Alarm) bool { return a.Covers(con) }) {
		return true, err
	}
	banks, err := c.registry.BankHealths(ctx, con.ApplicationID, con.Provider, since.Add(-consent.HealthWindow), con.ID)
	own := slices.ContainsFunc(banks, func(b consent.BankHealth) bool { return b.ProviderID == con.ProviderID && b.BankOut() })
	return own || consent.ProviderOut(banks), err
}

// Held says why no message may be about each of these consents now, empty where
// one may, and until when: while their bank or provider is out, the button in it
// would lead nowhere.
func (c *Connector) Held(ctx context.Context, app *consent.Application, about []consent.Consent) (why []string, until time.Time, err error) {
	alarms, err := c.registry.Alarms(ctx, app.ID, false)
	if err != nil {
		return nil, time.Time{}, err
	}
	why = make([]string, len(about))
	for i := range about {
		for n := range alarms {
			if alarms[n].Covers(&about[i]) {
				why[i], until = string(alarms[n].Kind), c.now().Add(checkPause)
			}
		}
	}
	return why, until, nil
}

// Admit counts a mail against the application's ceiling of a day, and says until
// when it has to wait where that is reached.
func (c *Connector) Admit(ctx context.Context, app *consent.Application) (until time.Time, err error) {
	if app.MailsPerDay <= 0 {
		return time.Time{}, nil
	}
	today := c.now().Truncate(24 * time.Hour)
	ok, err := c.registry.Take(ctx, app.ID, "mails", today, 1, app.MailsPerDay)
	ceiling := consent.Alarm{ApplicationID: app.ID, Kind: consent.AlarmMails,
		Detail: fmt.Sprintf("The application's ceiling of %d mails a day is reached; the rest waits for tomorrow.", app.MailsPerDay)}
	switch {
	case err != nil:
		return time.Time{}, err
	case ok:
		return time.Time{}, c.closeAlarm(ctx, ceiling)
	default:
		return today.Add(24 * time.Hour), c.raise(ctx, ceiling)
	}
}

// Serving says how whoever takes the application's messages by a channel does:
// trouble is for an operator, and empty where messages are taken.
func (c *Connector) Serving(ctx context.Context, app *consent.Application, channel consent.Channel, trouble string) error {
	a := consent.Alarm{ApplicationID: app.ID, Kind: consent.AlarmMailServer, Detail: "The mail server takes no messages, which wait for it. " + trouble}
	if channel == consent.ChannelSMS {
		a.Kind, a.Detail = consent.AlarmSMSGateway, "The SMS gateway takes no messages, which wait for it. "+trouble
	}
	if trouble == "" {
		return c.closeAlarm(ctx, a)
	}
	return c.raise(ctx, a)
}
