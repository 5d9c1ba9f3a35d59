package consent

import "time"

// AlarmKind names what an operator has to know of.
type AlarmKind string

// The kinds.
const (
	// AlarmProvider: a large share of an application's refreshes fails: its
	// settings at the provider, or the provider. Nothing ends, nobody is mailed.
	AlarmProvider AlarmKind = "provider_misconfigured"
	// AlarmBank: a large share of the calls about one bank fails.
	AlarmBank AlarmKind = "bank_outage"
	// AlarmMails: the application's mails of a day are used up.
	AlarmMails AlarmKind = "mail_ceiling"
	// AlarmWebhook: nothing could be delivered to a webhook endpoint for a day, so
	// that it was paused. ProviderID is the endpoint's id.
	AlarmWebhook AlarmKind = "webhook_paused"
	// AlarmMailServer: the mail server does not answer, does not let us in, or
	// refuses whoever is written to. Messages wait, for up to three days.
	AlarmMailServer AlarmKind = "mail_server"
	// AlarmSMSGateway: likewise of who sends SMS.
	AlarmSMSGateway AlarmKind = "sms_gateway"
)

// AboutBanks reports whether alarms of the kind are about who gives access, so
// that messages that lead there wait.
func (k AlarmKind) AboutBanks() bool { return k == AlarmProvider || k == AlarmBank }

// Alarm is something that an operator has to know of. It is opened once and
// closed when it is over.
type Alarm struct {
	ApplicationID string
	Kind          AlarmKind
	Provider      string
	ProviderID    string // the bank; empty where it is about the whole provider; of AlarmWebhook the endpoint
	OpenedAt      time.Time
	ClosedAt      time.Time // zero while it is open
	ProbeAt       time.Time // when one check is let through, to see whether it is over
	Detail        string
}

// Covers reports whether an open alarm is about the consent.
func (a *Alarm) Covers(c *Consent) bool {
	return a.ClosedAt.IsZero() && a.Kind.AboutBanks() && a.ApplicationID == c.ApplicationID && a.Provider == c.Provider &&
		(a.ProviderID == "" || a.ProviderID == c.ProviderID)
}
