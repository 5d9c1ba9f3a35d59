package api

import (
	"time"

	"github.com/reconsent/reconsent/consent"
)

// Consent is a bank consent as the API shows it.
type Consent struct {
	ID             string     `json:"id" required:"true" description:"Stays the same over every renewal"`
	Provider       string     `json:"provider" required:"true" description:"The adapter, for instance truelayer"`
	ProviderID     string     `json:"provider_id" required:"true" description:"The bank behind it; empty where not known yet"`
	CredentialsID  string     `json:"credentials_id" required:"true" description:"The provider's id of the bank login; opaque, may hold + / ="`
	UserID         string     `json:"user_id" required:"true" description:"The application's own id of its user"`
	Status         string     `json:"status" required:"true" enum:"pending,active,lapsing,lapsed,unrenewable,revoked" description:"Computed at this moment"`
	Cycle          int        `json:"cycle" required:"true" description:"1, 2, 3 ...; a renewal starts the next"`
	Custody        string     `json:"custody" required:"true" enum:"ours,backend" description:"Who holds the refresh token in use"`
	Scopes         []string   `json:"scopes" required:"true"`
	RedirectURI    string     `json:"redirect_uri" required:"true" description:"Of the original link, byte for byte; every renewal uses it"`
	CreatedAt      time.Time  `json:"created_at" required:"true"`
	ConsentedAt    time.Time  `json:"consented_at" required:"true" description:"The last trip to the bank that counted"`
	ExpiresAt      *time.Time `json:"expires_at" required:"true" nullable:"true" description:"A forecast; null where nobody has said"`
	ExpirySource   string     `json:"expiry_source" required:"true" enum:"provider,policy,backend,unknown" description:"Whose word expires_at is"`
	RenewableUntil *time.Time `json:"renewable_until" required:"true" nullable:"true" description:"After that only a new first link helps; null where not known"`
	NextStageAt    *time.Time `json:"next_stage_at" required:"true" nullable:"true" description:"When something is announced next"`
	Replaces       string     `json:"replaces,omitempty" description:"The unrenewable consent that this one was linked in the place of"`
	ParkedReason   string     `json:"parked_reason,omitempty" description:"Why no sweep can judge it; nothing is announced of it until that is mended"`
	EndedAt        *time.Time `json:"ended_at,omitempty" description:"The provider definitely ended access early, then"`
	EndedReason    string     `json:"ended_reason,omitempty"`
	RevokedAt      *time.Time `json:"revoked_at,omitempty"`
	RevokedBy      string     `json:"revoked_by,omitempty" description:"user, bank, backend, or why it was given back"`
	BankName       string     `json:"bank_name,omitempty" description:"For people"`
	AccountLabel   string     `json:"account_label,omitempty" description:"Masked, for people"`
}

func (s *Server) consent(c *consent.Consent) *Consent { return consentAt(c, s.now()) }

func consentAt(c *consent.Consent, now time.Time) *Consent {
	out := &Consent{
		ID: c.ID, Provider: c.Provider, ProviderID: c.ProviderID, CredentialsID: c.CredentialsID, UserID: c.UserID,
		Status: string(c.Status(now)), Cycle: c.Cycle, Custody: string(c.Custody), Scopes: c.Scopes,
		RedirectURI: c.RedirectURI, CreatedAt: c.CreatedAt.UTC(), ConsentedAt: c.ConsentedAt.UTC(),
		ExpiresAt: timestamp(c.ExpiresAt), ExpirySource: string(c.ExpirySource),
		RenewableUntil: timestamp(c.RenewableUntil), NextStageAt: timestamp(c.NextStageAt), Replaces: c.Replaces,
		ParkedReason: c.ParkedReason, EndedAt: timestamp(c.EndedAt), EndedReason: c.EndedReason, RevokedAt: timestamp(c.RevokedAt), RevokedBy: c.RevokedBy,
		BankName: c.BankName, AccountLabel: c.AccountLabel,
	}
	if out.Scopes == nil {
		out.Scopes = []string{}
	}
	if out.ExpirySource == "" {
		out.ExpirySource = string(consent.FromNobody)
	}
	return out
}

// ConsentList is one page of consents, oldest first.
type ConsentList struct {
	Consents   []*Consent `json:"consents" required:"true"`
	NextCursor *string    `json:"next_cursor" required:"true" nullable:"true" description:"Pass it as cursor for the next page; null on the last"`
}

// Event is one line of a consent's history.
type Event struct {
	ID    string         `json:"id" required:"true"`
	Seq   int64          `json:"seq" required:"true" description:"1, 2, 3 ... per consent, without gaps"`
	Type  string         `json:"type" required:"true" description:"For instance consent.renewed"`
	At    time.Time      `json:"at" required:"true"`
	Cycle int            `json:"cycle" required:"true"`
	Stage string         `json:"stage" required:"true" description:"The stage that it announces; empty for none"`
	Data  map[string]any `json:"data" required:"true"`
}

// EventList is one page of a consent's history.
type EventList struct {
	Events     []Event `json:"events" required:"true"`
	NextCursor *string `json:"next_cursor" required:"true" nullable:"true"`
}

func eventOf(e consent.Event) Event {
	out := Event{ID: e.ID, Seq: e.Seq, Type: string(e.Type), At: e.At.UTC(), Cycle: e.Cycle, Stage: e.Stage, Data: e.Data}
	if out.Data == nil {
		out.Data = map[string]any{}
	}
	return out
}

// User is an application's end user.
type User struct {
	ID          string    `json:"id" required:"true"`
	Email       string    `json:"email" required:"true"`
	Phone       string    `json:"phone" required:"true" description:"E.164"`
	Name        string    `json:"name" required:"true"`
	Locale      string    `json:"locale" required:"true" description:"BCP 47"`
	TimeZone    string    `json:"time_zone" required:"true" description:"IANA"`
	HasPassword bool      `json:"has_password" required:"true" description:"A password hash was imported"`
	CreatedAt   time.Time `json:"created_at" required:"true"`
	UpdatedAt   time.Time `json:"updated_at" required:"true"`

	UnsubscribedAt *time.Time `json:"unsubscribed_at,omitempty" description:"Since when the person wants no reminders; only that access has stopped is still told"`
	EmailRefusedAt *time.Time `json:"email_refused_at,omitempty" description:"When a mail server refused the address for good. It is tried again once in each cycle; another address or DELETE /v1/users/{id}/refusals ends it"`
	PhoneRefusedAt *time.Time `json:"phone_refused_at,omitempty" description:"Likewise of the phone"`
}

func userOf(u consent.User) User {
	return User{
		ID: u.ID, Email: u.Email, Phone: u.Phone, Name: u.Name, Locale: u.Locale, TimeZone: u.TimeZone,
		HasPassword: len(u.PasswordHash) > 0, CreatedAt: u.CreatedAt.UTC(), UpdatedAt: u.UpdatedAt.UTC(),
		UnsubscribedAt: timestamp(u.UnsubscribedAt), EmailRefusedAt: timestamp(u.EmailRefusedAt), PhoneRefusedAt: timestamp(u.PhoneRefusedAt),
	}
}

// Attempt is one trip to the bank.
type Attempt struct {
	ID         string    `json:"id" required:"true"`
	Kind       string    `json:"kind" required:"true" enum:"link,reauthorize,relink"`
	Status     string    `json:"status" required:"true" enum:"started,claimed,pending,linked,renewed,denied,mismatched,failed,interrupted,expired"`
	Reason     string    `json:"reason,omitempty" description:"Why it ended as it did"`
	ConsentID  string    `json:"consent_id,omitempty"`
	UserID     string    `json:"user_id" required:"true"`
	Provider   string    `json:"provider" required:"true"`
	ProviderID string    `json:"provider_id" required:"true"`
	CreatedAt  time.Time `json:"created_at" required:"true"`
	ExpiresAt  time.Time `json:"expires_at" required:"true"`
}

func (s *Server) attempt(a consent.Attempt) Attempt {
	return Attempt{
		ID: a.ID, Kind: string(a.Kind), Status: string(a.StatusAt(s.now())), Reason: a.Reason, ConsentID: a.ConsentID,
		UserID: a.UserID, Provider: a.Provider, ProviderID: a.ProviderID, CreatedAt: a.CreatedAt.UTC(), ExpiresAt: a.ExpiresAt.UTC(),
	}
}
