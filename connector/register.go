package connector

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/provider"
)

// NewConsent is a consent that exists at the provider already, as a backend
// that has kept it until now knows it.
type NewConsent struct {
	CredentialsID string
	RefreshToken  string // may be empty: it can then only be relinked
	Provider      string
	ProviderID    string
	UserID        string
	Email         string // of the user; taken where none is known
	RedirectURI   string // of the original link
	Scopes        []string
	ConsentedAt   time.Time
	ExpiresAt     time.Time // zero: the application's policy says
	Custody       consent.Custody
}

// Registered tells what became of one NewConsent.
type Registered struct {
	Consent consent.Consent
	Added   bool  // false where it is registered already, and where Err is set
	Err     error // *consent.Error: why this one cannot be registered
}

// Register takes in one consent that exists already.
func (c *Connector) Register(ctx context.Context, app *consent.Application, in NewConsent) (consent.Consent, error) {
	results, err := c.RegisterAll(ctx, app, []NewConsent{in}, false)
	if err != nil {
		return consent.Consent{}, err
	}
	r := results[0]
	if r.Err != nil || r.Added {
		return r.Consent, r.Err
	}
	return c.existing(ctx, app, in)
}

func (c *Connector) existing(ctx context.Context, app *consent.Application, in NewConsent) (consent.Consent, error) {
	same, err := c.registry.FindConsents(ctx, app.ID, consent.Find{UserID: in.UserID, Provider: in.Provider, CredentialsID: in.CredentialsID})
	if err != nil {
		return consent.Consent{}, err
	}
	e := &consent.Error{Code: consent.CodeConsentExists, Field: "credentials_id", Detail: "This consent is registered already; nothing was changed."}
	if live := unrevoked(same); len(live) > 0 {
		e.ConsentID = live[0].ID
	}
	return consent.Consent{}, e
}

// RegisterAll takes in many consents in one step, and names what is wrong with
// those that it leaves out. Stages that are past already are recorded as
// skipped, and nobody is told of them; with announce the most urgent one is
// left to the next sweep.
func (c *Connector) RegisterAll(ctx context.Context, app *consent.Application, in []NewConsent, announce bool) ([]Registered, error) {
	results := make([]Registered, len(in))
	regs := make([]consent.Registration, 0, len(in))
	rows := make([]int, 0, len(in))
	now := c.now()
	for i := range in {
		reg, err := c.registration(app, &in[i], now, announce)
		if err != nil && asAnswer(err) == nil {
			return nil, err
		}
		if err != nil {
			results[i].Err = err
			continue
		}
		results[i].Consent = reg.Consent
		regs, rows = append(regs, reg), append(rows, i)
	}
	added, err := c.registry.Register(ctx, app.ID, regs)
	if err != nil {
		return nil, err
	}
	for j, i := range rows {
		results[i].Added = added[j]
	}
	return results, nil
}

// CheckRegistration says what RegisterAll would find wrong, and stores nothing.
func (c *Connector) CheckRegistration(app *consent.Application, in NewConsent) error {
	return c.checkNew(app, &in, c.now())
}

func (c *Connector) registration(app *consent.Application, in *NewConsent, now time.Time, announce bool) (consent.Registration, error) {
	var reg consent.Registration
	if err := c.checkNew(app, in, now); err != nil {
		return reg, err
	}
	con := consent.Consent{
		ApplicationID: app.ID, ID: "con_" + c.newID(), UserID: in.UserID,
		Provider: in.Provider, ProviderID: in.ProviderID, CredentialsID: in.CredentialsID,
		Cycle: 1, Custody: in.Custody, Scopes: in.Scopes,
		RedirectURI: in.RedirectURI, Hosted: in.RedirectURI == c.CallbackURL(),
		CreatedAt: now, ConsentedAt: in.ConsentedAt.UTC().Truncate(time.Microsecond),
	}
	if con.Custody == "" {
		con.Custody = consent.CustodyOurs
	}
	policy := app.Policy(in.Provider)
	con.ExpiresAt, con.ExpirySource = policy.Forecast(time.Time{}, con.ConsentedAt)
	if !in.ExpiresAt.IsZero() {
		con.ExpiresAt, con.ExpirySource = in.ExpiresAt.UTC().Truncate(time.Microsecond), consent.FromBackend
	}
	con.Reschedule(app.Cadence, policy, now)
	c.recheck(&con, con.ConsentedAt) // nobody knows of a later use
	reg.Events = []consent.Event{c.event(consent.EventLinked, now, map[string]any{
		"registered": true, "credentials_id": con.CredentialsID,
		"expires_at": rfc3339(con.ExpiresAt), "expiry_source": string(con.ExpirySource),
	})}
	reg.Events = append(reg.Events, c.pastStages(app, &con, now, announce)...)
	if in.RefreshToken != "" {
		if err := c.takeTokens(&con, provider.Grant{RefreshToken: in.RefreshToken}, now); err != nil {
			return reg, err
		}
		var err error
		if reg.TokenHash, err = c.tokenHash(in.RefreshToken); err != nil {
			return reg, err
		}
	}
	reg.Consent = con
	reg.Contact = consent.User{ApplicationID: app.ID, ID: in.UserID, Email: in.Email, CreatedAt: now, UpdatedAt: now}
	return reg, nil
}

// pastStages records the stages that came before the consent was registered.
// With announce the latest of them stays due.
func (c *Connector) pastStages(app *consent.Application, con *consent.Consent, now time.Time, announce bool) []consent.Event {
	var past []consent.StageTime
	for _, s := range app.Cadence.Times(con) {
		if !s.At.After(now) {
			past = append(past, s)
		}
	}
	if announce && len(past) > 0 {
		con.NextStageAt = past[len(past)-1].At
		past = past[:len(past)-1]
	}
	events := make([]consent.Event, 0, len(past))
	for _, s := range past {
		e := c.event(s.Event(), now, map[string]any{"skipped": true, "reason": "past_when_registered", "due_at": rfc3339(s.At)})
		e.Stage = s.Name
		events = append(events, e)
		con.Announced = append(con.Announced, s.Name)
	}
	return events
}

const (
	maxID       = 256  // bytes in anybody's id
	maxField    = 4096 // bytes in any single field
	longestLife = 10   // years; the law knows 90 and 180 days, some contracts a year or two
)

// earliest is before any consent that could be registered.
var earliest = time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)

// checkNew finds the first thing wrong with a consent that is to be registered.
func (c *Connector) checkNew(app *consent.Application, in *NewConsent, now time.Time) error {
	for _, f := range []struct {
		name, value string
		limit       int
		required    bool
	}{
		{"credentials_id", in.CredentialsID, maxID, true},
		{"provider", in.Provider, maxID, true},
		{"user_id", in.UserID, maxID, true},
		{"provider_id", in.ProviderID, maxID, false},
		{"refresh_token", in.RefreshToken, maxField, false},
		{"redirect_uri", in.RedirectURI, maxField, false},
		{"email", in.Email, maxEmail, false},
		{"scope", strings.Join(in.Scopes, " "), maxField, false},
	} {
		switch {
		case f.required && f.value == "":
			return invalid(f.name, f.name+" is missing.")
		case len(f.value) > f.limit:
			return invalid(f.name, fmt.Sprintf("%s is longer than %d bytes.", f.name, f.limit))
		case !utf8.ValidString(f.value) || strings.ContainsRune(f.value, 0):
			return invalid(f.name, f.name+" is not valid UTF-8 text.")
		}
	}
	switch {
	case !contains(app.ProviderNames, in.Provider):
		return unknownProvider(in.Provider)
	case in.RedirectURI != "" && in.RedirectURI != c.CallbackURL() && !app.AllowsRedirectURI(in.RedirectURI):
		return &consent.Error{Code: consent.CodeRedirectURINotAllow, Field: "redirect_uri",
			Detail: "redirect_uri is not on the application's list; add it there, since every renewal has to use it."}
	case in.Custody != "" && in.Custody != consent.CustodyOurs && in.Custody != consent.CustodyBackend:
		return invalid("custody", `custody is neither "ours" nor "backend".`)
	case in.ConsentedAt.IsZero():
		return invalid("consented_at", "consented_at is missing: when did the person last authorise at the bank?")
	case in.ConsentedAt.Before(earliest):
		return invalid("consented_at", "consented_at lies before the year 2000; no consent of a bank is that old.")
	case in.ConsentedAt.After(now.Add(time.Hour)):
		return invalid("consented_at", "consented_at lies in the future.")
	case !in.ExpiresAt.IsZero() && !in.ExpiresAt.After(in.ConsentedAt):
		return invalid("expires_at", "expires_at is not later than consented_at.")
	case in.ExpiresAt.After(in.ConsentedAt.AddDate(longestLife, 0, 0)):
		return invalid("expires_at", fmt.Sprintf("expires_at lies more than %d years after consented_at; no consent of a bank lives that long.", longestLife))
	case in.ExpiresAt.IsZero() && app.Policy(in.Provider).Validity <= 0:
		return invalid("expires_at", fmt.Sprintf("expires_at is missing, and the application has no policy for provider %q to compute it by.", in.Provider))
	}
	if in.Email != "" {
		return checkEmail(in.Email)
	}
	return nil
}
