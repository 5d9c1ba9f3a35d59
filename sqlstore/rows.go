package sqlstore

import (
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/reconsent/reconsent/consent"
)

// stamp is a moment as both dialects keep it: microseconds since 1970 UTC;
// the zero time is NULL.
type stamp struct{ time.Time }

// moment returns t as it will read back.
func moment(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return time.UnixMicro(t.UnixMicro()).UTC()
}

// Value implements driver.Valuer.
func (s stamp) Value() (driver.Value, error) {
	if s.IsZero() {
		return nil, nil
	}
	return s.UnixMicro(), nil
}

// Scan implements sql.Scanner.
func (s *stamp) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		s.Time = time.Time{}
	case int64:
		s.Time = time.UnixMicro(v).UTC()
	default:
		return fmt.Errorf("a moment came back as %T", v)
	}
	return nil
}

// words is a list kept as text, separated by spaces.
type words []string

// Value implements driver.Valuer.
func (w words) Value() (driver.Value, error) { return strings.Join(w, " "), nil }

// Scan implements sql.Scanner.
func (w *words) Scan(v any) error {
	s, err := text(v)
	if *w = nil; s != "" {
		*w = strings.Fields(s)
	}
	return err
}

// document is JSON kept as text.
type document map[string]any

// Value implements driver.Valuer.
func (d document) Value() (driver.Value, error) { return d.text() }

func (d document) text() (string, error) {
	if d == nil {
		return "{}", nil
	}
	b, err := json.Marshal(d)
	return string(b), err
}

// Scan implements sql.Scanner.
func (d *document) Scan(v any) error {
	s, err := text(v)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(s), d)
}

// blob is bytes; nil is NULL, and an empty one is not.
type blob []byte

// Value implements driver.Valuer.
func (b blob) Value() (driver.Value, error) {
	if b == nil {
		return nil, nil
	}
	return []byte(b), nil
}

// Scan implements sql.Scanner.
func (b *blob) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		*b = nil
	case []byte:
		*b = append(make([]byte, 0, len(v)), v...)
	default:
		return fmt.Errorf("bytes came back as %T", v)
	}
	return nil
}

func text(v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case []byte:
		return string(v), nil
	default:
		return "", fmt.Errorf("text came back as %T", v)
	}
}

// consentRow is a row of consents.
type consentRow struct {
	App             string `db:"application_id"`
	ID              string `db:"id"`
	UserID          string `db:"user_id"`
	Provider        string `db:"provider"`
	ProviderID      string `db:"provider_id"`
	BankName        string `db:"bank_name"`
	AccountLabel    string `db:"account_label"`
	AccountCount    int    `db:"account_count"`
	CredentialsID   string `db:"credentials_id"`
	Cycle           int    `db:"cycle"`
	Custody         string `db:"custody"`
	Scopes          words  `db:"scopes"`
	RedirectURI     string `db:"redirect_uri"`
	Hosted          bool   `db:"hosted"`
	Replaces        string `db:"replaces"`
	CreatedAt       stamp  `db:"created_at"`
	ConsentedAt     stamp  `db:"consented_at"`
	ExpiresAt       stamp  `db:"expires_at"`
	ExpirySource    string `db:"expiry_source"`
	EndedAt         stamp  `db:"ended_at"`
	EndedReason     string `db:"ended_reason"`
	RefusedAt       stamp  `db:"refused_at"`
	RevokedAt       stamp  `db:"revoked_at"`
	RevokedBy       string `db:"revoked_by"`
	Pending         bool   `db:"pending"`
	LapsingAt       stamp  `db:"lapsing_at"`
	LapsesAt        stamp  `db:"lapses_at"`
	RenewableUntil  stamp  `db:"renewable_until"`
	NextStageAt     stamp  `db:"next_stage_at"`
	Accounts        words  `db:"accounts"`
	RefreshToken    blob   `db:"refresh_token"`
	AccessToken     blob   `db:"access_token"`
	AccessExpiresAt stamp  `db:"access_expires_at"`
	RefreshedAt     stamp  `db:"refreshed_at"`
	Seq             int64  `db:"seq"`
	LeaseID         string `db:"lease_id"`
	LeaseUntil      stamp  `db:"lease_until"`
	Announced       words  `db:"announced"`
	ParkedAt        stamp  `db:"parked_at"`
	ParkedReason    string `db:"parked_reason"`
	NextCheckAt     stamp  `db:"next_check_at"`
}

func (r *consentRow) consent() consent.Consent {
	return consent.Consent{
		ApplicationID: r.App, ID: r.ID, UserID: r.UserID, Provider: r.Provider, ProviderID: r.ProviderID,
		BankName: r.BankName, AccountLabel: r.AccountLabel, AccountCount: r.AccountCount, CredentialsID: r.CredentialsID,
		Cycle: r.Cycle, Custody: consent.Custody(r.Custody), Scopes: r.Scopes, RedirectURI: r.RedirectURI, Hosted: r.Hosted, Replaces: r.Replaces,
		CreatedAt: r.CreatedAt.Time, ConsentedAt: r.ConsentedAt.Time, ExpiresAt: r.ExpiresAt.Time, ExpirySource: consent.ExpirySource(r.ExpirySource),
		EndedAt: r.EndedAt.Time, EndedReason: r.EndedReason, RefusedAt: r.RefusedAt.Time,
		RevokedAt: r.RevokedAt.Time, RevokedBy: r.RevokedBy, Pending: r.Pending,
		LapsingAt: r.LapsingAt.Time, LapsesAt: r.LapsesAt.Time, RenewableUntil: r.RenewableUntil.Time, NextStageAt: r.NextStageAt.Time,
		Announced: r.Announced, ParkedAt: r.ParkedAt.Time, ParkedReason: r.ParkedReason, NextCheckAt: r.NextCheckAt.Time,
		Accounts: r.Accounts, Seq: r.Seq,
		Tokens: consent.Tokens{
			Refresh: consent.Sealed(r.RefreshToken), Access: consent.Sealed(r.AccessToken),
			AccessExpiresAt: r.AccessExpiresAt.Time, RefreshedAt: r.RefreshedAt.Time,
		},
	}
}

func rowOf(c *consent.Consent) consentRow {
	return consentRow{
		App: c.ApplicationID, ID: c.ID, UserID: c.UserID, Provider: c.Provider, ProviderID: c.ProviderID,
		BankName: c.BankName, AccountLabel: c.AccountLabel, AccountCount: c.AccountCount, CredentialsID: c.CredentialsID,
		Cycle: c.Cycle, Custody: string(c.Custody), Scopes: c.Scopes, RedirectURI: c.RedirectURI, Hosted: c.Hosted, Replaces: c.Replaces,
		CreatedAt: stamp{c.CreatedAt}, ConsentedAt: stamp{c.ConsentedAt}, ExpiresAt: stamp{c.ExpiresAt}, ExpirySource: string(c.ExpirySource),
		EndedAt: stamp{c.EndedAt}, EndedReason: c.EndedReason, RefusedAt: stamp{c.RefusedAt},
		RevokedAt: stamp{c.RevokedAt}, RevokedBy: c.RevokedBy, Pending: c.Pending,
		LapsingAt: stamp{c.LapsingAt}, LapsesAt: stamp{c.LapsesAt}, RenewableUntil: stamp{c.RenewableUntil}, NextStageAt: stamp{c.NextStageAt},
		Announced: c.Announced, ParkedAt: stamp{c.ParkedAt}, ParkedReason: c.ParkedReason, NextCheckAt: stamp{c.NextCheckAt},
		Accounts: c.Accounts, Seq: c.Seq,
		RefreshToken: blob(c.Tokens.Refresh), AccessToken: blob(c.Tokens.Access),
		AccessExpiresAt: stamp{c.Tokens.AccessExpiresAt}, RefreshedAt: stamp{c.Tokens.RefreshedAt},
	}
}

func consentsOf(rows []consentRow) []consent.Consent {
	out := make([]consent.Consent, len(rows))
	for i := range rows {
		out[i] = rows[i].consent()
	}
	return out
}

// attemptRow is a row of attempts.
type attemptRow struct {
	App           string `db:"application_id"`
	ID            string `db:"id"`
	Kind          string `db:"kind"`
	Origin        string `db:"origin"`
	ConsentID     string `db:"consent_id"`
	Cycle         int    `db:"cycle"`
	UserID        string `db:"user_id"`
	Provider      string `db:"provider"`
	ProviderID    string `db:"provider_id"`
	Scopes        words  `db:"scopes"`
	RedirectURI   string `db:"redirect_uri"`
	Hosted        bool   `db:"hosted"`
	ReturnTo      string `db:"return_to"`
	CallerState   blob   `db:"caller_state"`
	StateHash     blob   `db:"state_hash"`
	URI           blob   `db:"uri"`
	Verifier      blob   `db:"verifier"`
	ReuseKey      blob   `db:"reuse_key"`
	CreatedAt     stamp  `db:"created_at"`
	ExpiresAt     stamp  `db:"expires_at"`
	Status        string `db:"status"`
	ClaimID       string `db:"claim_id"`
	ClaimedUntil  stamp  `db:"claimed_until"`
	Code          blob   `db:"code"`
	Grant         blob   `db:"kept_grant"`
	FinishedAt    stamp  `db:"finished_at"`
	Reason        string `db:"reason"`
	CredentialsID string `db:"credentials_id"`
	ResultHash    blob   `db:"result_hash"`
	ConfirmBy     stamp  `db:"confirm_by"`
}

func (r *attemptRow) attempt() consent.Attempt {
	return consent.Attempt{
		ApplicationID: r.App, ID: r.ID, Kind: consent.AttemptKind(r.Kind), Origin: consent.Origin(r.Origin),
		ConsentID: r.ConsentID, Cycle: r.Cycle, UserID: r.UserID, Provider: r.Provider, ProviderID: r.ProviderID, Scopes: r.Scopes,
		RedirectURI: r.RedirectURI, Hosted: r.Hosted, ReturnTo: r.ReturnTo, CallerState: r.CallerState, StateHash: r.StateHash,
		URI: consent.Sealed(r.URI), Verifier: consent.Sealed(r.Verifier), ReuseKey: r.ReuseKey,
		CreatedAt: r.CreatedAt.Time, ExpiresAt: r.ExpiresAt.Time, Status: consent.AttemptStatus(r.Status),
		ClaimID: r.ClaimID, ClaimedUntil: r.ClaimedUntil.Time, Code: consent.Sealed(r.Code), Grant: consent.Sealed(r.Grant),
		FinishedAt: r.FinishedAt.Time, Reason: r.Reason, CredentialsID: r.CredentialsID, ResultHash: r.ResultHash, ConfirmBy: r.ConfirmBy.Time,
	}
}

func attemptRowOf(a *consent.Attempt) attemptRow {
	return attemptRow{
		App: a.ApplicationID, ID: a.ID, Kind: string(a.Kind), Origin: string(a.Origin),
		ConsentID: a.ConsentID, Cycle: a.Cycle, UserID: a.UserID, Provider: a.Provider, ProviderID: a.ProviderID, Scopes: a.Scopes,
		RedirectURI: a.RedirectURI, Hosted: a.Hosted, ReturnTo: a.ReturnTo, CallerState: a.CallerState, StateHash: a.StateHash,
		URI: blob(a.URI), Verifier: blob(a.Verifier), ReuseKey: a.ReuseKey,
		CreatedAt: stamp{a.CreatedAt}, ExpiresAt: stamp{a.ExpiresAt}, Status: string(a.Status),
		ClaimID: a.ClaimID, ClaimedUntil: stamp{a.ClaimedUntil}, Code: blob(a.Code), Grant: blob(a.Grant),
		FinishedAt: stamp{a.FinishedAt}, Reason: a.Reason, CredentialsID: a.CredentialsID, ResultHash: a.ResultHash, ConfirmBy: stamp{a.ConfirmBy},
	}
}

func attemptsOf(rows []attemptRow) []consent.Attempt {
	out := make([]consent.Attempt, len(rows))
	for i := range rows {
		out[i] = rows[i].attempt()
	}
	return out
}

// eventRow is a row of events.
type eventRow struct {
	App       string   `db:"application_id"`
	ConsentID string   `db:"consent_id"`
	Seq       int64    `db:"seq"`
	ID        string   `db:"id"`
	Type      string   `db:"type"`
	At        stamp    `db:"at"`
	Cycle     int      `db:"cycle"`
	Stage     string   `db:"stage"`
	Data      document `db:"data"`
}

func eventRowOf(app, consentID string, cycle int, seq int64, e *consent.Event) eventRow {
	return eventRow{
		App: app, ConsentID: consentID, Seq: seq, ID: e.ID, Type: string(e.Type), At: stamp{e.At},
		Cycle: cycle, Stage: e.Stage, Data: e.Data,
	}
}

func (r *eventRow) event() consent.Event {
	return consent.Event{
		ApplicationID: r.App, ConsentID: r.ConsentID, Seq: r.Seq, ID: r.ID, Type: consent.EventType(r.Type), At: r.At.Time,
		Cycle: r.Cycle, Stage: r.Stage, Data: r.Data,
	}
}

// line is an event among the arguments of a statement that does more.
type line struct {
	EventID    string   `db:"event_id"`
	EventType  string   `db:"event_type"`
	EventAt    stamp    `db:"event_at"`
	EventStage string   `db:"event_stage"`
	EventData  document `db:"event_data"`
}

func lineOf(e *consent.Event) line {
	return line{EventID: e.ID, EventType: string(e.Type), EventAt: stamp{e.At}, EventStage: e.Stage, EventData: e.Data}
}
