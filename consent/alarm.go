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
)

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
	return a.ClosedAt.IsZero() && a.Kind != AlarmMails && a.ApplicationID == c.ApplicationID && a.Provider == c.Provider &&
		(a.ProviderID == "" || a.ProviderID == c.ProviderID)
}
