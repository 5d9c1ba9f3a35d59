package connector

import (
	"context"
	"errors"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/provider"
)

// ReconfirmRequest is a person's act: they were shown Statement, word for word,
// and confirmed it.
type ReconfirmRequest struct {
	Statement   string
	ConfirmedBy string    // who confirmed, as the application names them; empty takes the user's id
	ConfirmedAt time.Time // zero takes now
	Name, Email string    // as the provider wants to see the person named; empty takes the user's

	RedirectURI string // empty takes the original one; anything else must equal it
	ReturnTo    string
	State       []byte // nil for none
}

// Reconfirmed is how a reconfirmation led on: either the consent was renewed by
// it, or the person still has to visit the bank.
type Reconfirmed struct {
	ConfirmationID string
	Consent        consent.Consent
	Bank           *Started // nil where the consent was renewed
}

// confirmedWithin is how old a person's act may be when it is handed in.
const confirmedWithin = 24 * time.Hour

// errExtended says that a link was asked for and the consent extended instead.
var errExtended = errors.New("extended without a visit to the bank")

// Reconfirm records that a person confirmed a consent anew, and then has the
// provider extend it (UK, 90 days). Nothing reconfirms by itself: without the
// recorded act the provider is not called.
func (c *Connector) Reconfirm(ctx context.Context, app *consent.Application, consentID string, req ReconfirmRequest) (Reconfirmed, error) {
	con, err := c.usable(ctx, app, consentID)
	if err != nil {
		return Reconfirmed{}, err
	}
	now := c.now()
	if req.ConfirmedAt.IsZero() {
		req.ConfirmedAt = now
	}
	if req.ConfirmedBy == "" {
		req.ConfirmedBy = con.UserID
	}
	person, err := c.checkReconfirm(ctx, app, &con, &req, now)
	if err != nil {
		return Reconfirmed{}, err
	}
	redirectURI, hosted, err := c.originalRedirectURI(app, &con, req.RedirectURI)
	if err != nil {
		return Reconfirmed{}, err
	}
	if err := checkReturnTo(app, req.ReturnTo); err != nil {
		return Reconfirmed{}, err
	}
	p, err := c.open(ctx, app, con.Provider)
	if err != nil {
		return Reconfirmed{}, err
	}
	extender, ok := p.(provider.Extender)
	if !ok {
		return Reconfirmed{}, &consent.Error{Code: consent.CodeProviderUnsupported, ConsentID: con.ID,
			Detail: "This provider's consents cannot be reconfirmed; renew by a visit to the bank, with /reauthuri."}
	}
	leaseID := c.newID()
	if con, err = c.lease(ctx, app, con.ID, leaseID); err != nil {
		return Reconfirmed{}, err
	}
	defer c.endLease(ctx, app, con.ID, leaseID)
	if err := checkUsable(&con); err != nil {
		return Reconfirmed{}, err
	}
	token, err := c.unseal(con.Tokens.Refresh, con.ID)
	if err != nil {
		return Reconfirmed{}, err
	}
	if token == "" {
		return Reconfirmed{}, &consent.Error{Code: consent.CodeTokenMissing, ConsentID: con.ID,
			Detail: "No refresh token is held for this consent, so that it cannot be extended; have the person authorise it again, with /reauthuri."}
	}
	out := Reconfirmed{Consent: con, ConfirmationID: "cnf_" + c.newID()}
	err = c.registry.RecordConfirmation(ctx, consent.Confirmation{
		ApplicationID: app.ID, ID: out.ConfirmationID, ConsentID: con.ID, Cycle: con.Cycle,
		ConfirmedAt: req.ConfirmedAt, ConfirmedBy: req.ConfirmedBy, Statement: req.Statement,
	}, c.event(consent.EventReconfirmed, now, map[string]any{
		"confirmation_id": out.ConfirmationID, "confirmed_at": rfc3339(req.ConfirmedAt), "statement": req.Statement,
	}))
	if err != nil {
		return Reconfirmed{}, err
	}
	var grant provider.Grant
	t := trip{
		kind: consent.KindReauthorize, origin: consent.OriginAPI, con: &con, noPKCE: true,
		userID: con.UserID, provider: con.Provider, providerID: con.ProviderID, scopes: con.Scopes,
		redirectURI: redirectURI, hosted: hosted, returnTo: req.ReturnTo, state: req.State,
		link: func(ctx context.Context, state, _ string) (string, error) {
			ext, err := extender.Extend(context.WithoutCancel(ctx), provider.ExtendRequest{
				RefreshToken: token, RedirectURI: redirectURI, State: state, User: person,
			})
			if err == nil && !ext.NeedsBank() {
				grant, err = ext.Grant, errExtended
			}
			return ext.URL, err
		},
	}
	started, err := c.begin(ctx, app, t)
	switch {
	case err == nil:
		out.Bank = &started
		return out, nil
	case !errors.Is(err, errExtended):
		return Reconfirmed{}, fromProvider(err, &con)
	}
	// What an extension returns has replaced the old tokens: it is stored at once.
	if err := c.store(ctx, &con, leaseID, grant); err != nil {
		return Reconfirmed{}, err
	}
	c.endLease(ctx, app, con.ID, leaseID)
	out.Consent, err = c.carryExtension(ctx, app, con, grant)
	return out, err
}

// checkReconfirm finds what is wrong with a reconfirmation, and names the person
// as the provider wants to see them.
func (c *Connector) checkReconfirm(ctx context.Context, app *consent.Application, con *consent.Consent, req *ReconfirmRequest, now time.Time) (provider.Person, error) {
	person := provider.Person{ID: con.UserID, Name: req.Name, Email: req.Email}
	switch {
	case req.Statement == "":
		return person, invalid("statement", "Hand in the exact statement that the person was shown and confirmed.")
	case req.ConfirmedAt.After(now.Add(time.Minute)):
		return person, invalid("confirmed_at", "confirmed_at lies in the future.")
	case req.ConfirmedAt.Before(now.Add(-confirmedWithin)):
		return person, invalid("confirmed_at", "confirmed_at is more than a day ago; ask the person anew.")
	case !con.Renewable(now):
		return person, &consent.Error{Code: consent.CodeConsentUnrenewable, ConsentID: con.ID,
			Detail: "This consent can no longer be extended; ask /reauthuri for a first link that replaces it."}
	}
	if person.Name != "" && person.Email != "" {
		return person, nil
	}
	user, err := c.registry.User(ctx, app.ID, con.UserID)
	if err != nil && !errors.Is(err, consent.ErrNotFound) {
		return person, err
	}
	if person.Name == "" {
		person.Name = user.Name
	}
	if person.Email == "" {
		person.Email = user.Email
	}
	if person.Name == "" || person.Email == "" {
		return person, &consent.Error{Code: consent.CodeUserDetailsRequired, ConsentID: con.ID, Field: "user",
			Detail: "The provider wants the person's own name and e-mail address with a reconfirmation; put them to /v1/users, or hand them in as user."}
	}
	return person, nil
}

// carryExtension starts the consent's next cycle with what an extension
// returned: as an attempt like any other, so that identity and expiry are proven
// alike, and whatever is left half done is taken up.
func (c *Connector) carryExtension(ctx context.Context, app *consent.Application, con consent.Consent, g provider.Grant) (consent.Consent, error) {
	ctx = context.WithoutCancel(ctx)
	now := c.now()
	a := consent.Attempt{
		ApplicationID: app.ID, ID: "att_" + c.newID(), Kind: consent.KindReauthorize, Origin: consent.OriginAPI,
		ConsentID: con.ID, Cycle: con.Cycle, UserID: con.UserID, Provider: con.Provider, ProviderID: con.ProviderID, Scopes: con.Scopes,
		RedirectURI: con.RedirectURI, Hosted: con.Hosted, CreatedAt: now, ExpiresAt: now.Add(attemptValidity), Status: consent.AttemptStarted,
	}
	started := c.event(consent.EventAttemptStarted, now, map[string]any{"attempt_id": a.ID, "kind": string(a.Kind), "origin": string(a.Origin)})
	if err := c.registry.BeginAttempt(ctx, a, &started); err != nil {
		return con, err
	}
	claimed, err := c.registry.ClaimAttempt(ctx, c.claim(a))
	if err != nil {
		return con, err
	}
	if g.RefreshToken == "" {
		if g.RefreshToken, err = c.unseal(con.Tokens.Refresh, con.ID); err != nil {
			return con, c.release(ctx, claimed, err)
		}
	}
	kept := keptOf(g)
	if err := c.keep(ctx, claimed, kept); err != nil {
		return con, c.release(ctx, claimed, err)
	}
	p, err := c.open(ctx, app, con.Provider)
	if err != nil {
		return con, c.release(ctx, claimed, err)
	}
	if a, err = c.settle(ctx, app, p, claimed, kept, true); err != nil {
		return con, err
	}
	if _, err := c.outcome(ctx, app, a, ""); err != nil {
		return con, err
	}
	return c.registry.Consent(ctx, app.ID, con.ID)
}

// Confirmations lists what people confirmed of a consent, oldest first.
func (c *Connector) Confirmations(ctx context.Context, app *consent.Application, consentID string) ([]consent.Confirmation, error) {
	if _, err := c.Consent(ctx, app, consentID); err != nil {
		return nil, err
	}
	return c.registry.Confirmations(ctx, app.ID, consentID)
}
