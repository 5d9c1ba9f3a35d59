package connector

import (
	"context"
	"errors"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/provider"
)

// AccessToken is what a backend reads bank data with.
type AccessToken struct {
	Token     string
	ExpiresAt time.Time
}

// String keeps the token out of logs and errors.
func (AccessToken) String() string { return "access token [redacted]" }

// GoString keeps the token out of %#v.
func (AccessToken) GoString() string { return "access token [redacted]" }

// Token returns the cached access token until a minute before its end, else a
// fresh one. Only one refresh runs per consent, on whichever replica: some
// providers honour none but the newest access token, and kill a refresh token
// that is used twice. With force it refreshes in any case.
func (c *Connector) Token(ctx context.Context, app *consent.Application, consentID string, force bool) (AccessToken, error) {
	con, err := c.usable(ctx, app, consentID)
	if err != nil {
		return AccessToken{}, err
	}
	if t, err := c.cached(&con); err != nil || (t.Token != "" && !force) {
		return t, err
	}
	leaseID := c.newID()
	con, err = c.lease(ctx, app, consentID, leaseID)
	if err != nil {
		return AccessToken{}, err
	}
	defer c.endLease(ctx, app, consentID, leaseID)
	// Look again: somebody may have refreshed, or revoked, while we waited.
	if err := checkUsable(&con); err != nil {
		return AccessToken{}, err
	}
	if t, err := c.cached(&con); err != nil || (t.Token != "" && !force) {
		return t, err
	}
	return c.refresh(ctx, app, &con, leaseID)
}

func (c *Connector) endLease(ctx context.Context, app *consent.Application, consentID, leaseID string) {
	if err := c.registry.EndLease(context.WithoutCancel(ctx), app.ID, consentID, leaseID); err != nil {
		c.log.Warn("lease not ended; it runs out by itself", "consent", consentID, "error", err)
	}
}

// usable returns a consent whose tokens may be used.
func (c *Connector) usable(ctx context.Context, app *consent.Application, id string) (consent.Consent, error) {
	con, err := c.registry.Consent(ctx, app.ID, id)
	if err != nil {
		return con, notFound(err, unknownConsent())
	}
	return con, checkUsable(&con)
}

func checkUsable(con *consent.Consent) error {
	switch {
	case !con.RevokedAt.IsZero():
		return &consent.Error{Code: consent.CodeConsentRevoked, ConsentID: con.ID, Detail: "This consent was revoked; there is no token for it."}
	case con.Pending:
		return &consent.Error{Code: consent.CodeConsentPending, ConsentID: con.ID, Detail: "This consent's first link has not been confirmed yet; there is no token for it."}
	default:
		return nil
	}
}

// cached returns the cached access token while it is good for another minute.
func (c *Connector) cached(con *consent.Consent) (AccessToken, error) {
	// One that lives shortly is handed out for half its life.
	margin := min(accessMargin, con.Tokens.AccessExpiresAt.Sub(con.Tokens.RefreshedAt)/2)
	if !c.now().Add(margin).Before(con.Tokens.AccessExpiresAt) {
		return AccessToken{}, nil
	}
	token, err := c.unseal(con.Tokens.Access, con.ID)
	return AccessToken{Token: token, ExpiresAt: con.Tokens.AccessExpiresAt}, err
}

// refresh asks the provider, under the caller's lease. The stored expiry is
// only a forecast, so a consent past it is asked for like any other.
func (c *Connector) refresh(ctx context.Context, app *consent.Application, con *consent.Consent, leaseID string) (AccessToken, error) {
	_, g, said, err := c.spend(ctx, app, con, leaseID)
	if err != nil {
		return AccessToken{}, err
	}
	noted := c.noteCheck(ctx, con, said)
	if said != nil {
		return AccessToken{}, errors.Join(fromProvider(said, con), noted, c.noteRefusal(ctx, app, con, said))
	}
	if noted != nil { // it is stored, and good
		c.log.Warn("a refresh was not counted", "consent", con.ID, "error", noted)
	}
	return AccessToken{Token: g.AccessToken, ExpiresAt: g.AccessExpiresAt}, nil
}

// spend refreshes with the consent's token, under the caller's lease, and makes
// what it brings durable before anybody gets to see it. said is the provider's
// fault; err is ours, or the caller's.
func (c *Connector) spend(ctx context.Context, app *consent.Application, con *consent.Consent, leaseID string) (p provider.Provider, g provider.Grant, said, err error) {
	if c.isUnsaved(con.ApplicationID, con.ID) {
		return nil, g, nil, &consent.Error{Code: consent.CodeProviderUnavailable, ConsentID: con.ID, RetryAt: c.now().Add(saveAgain),
			Detail: "This consent has been refreshed, and the new token is being stored; ask again in a moment."}
	}
	if p, err = c.open(ctx, app, con.Provider); err != nil {
		return nil, g, nil, err
	}
	token, err := c.unseal(con.Tokens.Refresh, con.ID)
	if err != nil {
		return nil, g, nil, err
	}
	if token == "" {
		return nil, g, nil, &consent.Error{Code: consent.CodeTokenMissing, ConsentID: con.ID,
			Detail: "No refresh token is held for this consent; hand one in with PUT, or have the person authorise it again."}
	}
	refresher, ok := p.(provider.Refresher)
	if !ok {
		return p, g, &provider.Error{Kind: provider.Unsupported, Op: "refresh"}, nil
	}
	// Carried to its end though the caller hangs up: what it rotates must be kept.
	if g, said = refresher.Refresh(context.WithoutCancel(ctx), token); said != nil {
		return p, g, said, nil
	}
	return p, g, nil, c.store(ctx, con, leaseID, g)
}

// noteRefusal ends a consent early where the provider's refusal is definite: its
// word that access has ended, or two refusals of the refresh token, an hour or
// more apart. Of a token that the application also refreshes, a refusal proves
// nothing: it may hold a newer one.
func (c *Connector) noteRefusal(ctx context.Context, app *consent.Application, con *consent.Consent, err error) error {
	now := c.now()
	var definite bool
	switch kind := provider.KindOf(err); {
	case con.Custody != consent.CustodyOurs || con.EndedEarly():
		return nil
	case kind == provider.Revoked:
		definite = true
	case kind == provider.ReauthRequired:
		first := con.RefusedAt
		if definite = con.Refused(now); !definite && !first.IsZero() {
			return nil // known already, and too soon for a second
		}
		doubtful, fault := c.doubtful(ctx, con, con.RefusedAt)
		if fault != nil {
			return fault
		}
		if doubtful { // asked about again when the others are
			return c.registry.PostponeCheck(context.WithoutCancel(ctx), con.ApplicationID, con.ID, con.Cycle, now.Add(checkPause+con.Spread(checkPause)))
		}
	default:
		return nil
	}
	var events []consent.Event
	if definite && con.End(now, provider.KindOf(err).String()) {
		con.Reschedule(app.Cadence, app.Policy(con.Provider), now.Add(-time.Microsecond)) // the lapse itself is due now
		events = []consent.Event{c.event(consent.EventEndedEarly, now, map[string]any{"reason": con.EndedReason, "expected_until": rfc3339(con.ExpiresAt)})}
	}
	c.recheck(con, con.Tokens.RefreshedAt)
	err = c.registry.SetOutlook(context.WithoutCancel(ctx), outlookOf(con, events...))
	if errors.Is(err, consent.ErrOvertaken) {
		return nil // renewed or revoked meanwhile
	}
	return err
}

// store makes durable what a refresh returned, before anybody gets to see it:
// a rotated token that is lost kills the consent.
func (c *Connector) store(ctx context.Context, con *consent.Consent, leaseID string, g provider.Grant) error {
	next := *con
	now := c.now()
	if err := c.takeTokens(&next, g, now); err != nil {
		return err
	}
	next.RefusedAt = time.Time{}
	c.recheck(&next, now)
	hash, err := c.tokenHash(g.RefreshToken)
	if err != nil {
		return err
	}
	u := consent.TokenUpdate{
		ApplicationID: con.ApplicationID, ConsentID: con.ID, LeaseID: leaseID,
		Tokens: next.Tokens, TokenHash: hash, Custody: con.Custody, NextCheckAt: next.NextCheckAt,
	}
	err = insist(ctx, func(ctx context.Context) error { return c.registry.StoreTokens(ctx, u) })
	if err != nil && !isSettled(err) {
		c.saveLater(ctx, u) // the old token is spent
	}
	if err != nil || g.AccessToken == "" {
		return err
	}
	c.forgetSuperseded(ctx, con.ApplicationID, con.Provider, con.CredentialsID, con.ID)
	return nil
}

// forgetSuperseded drops the access tokens that a new one for the same bank
// login has superseded: those of all consents but the named one. Where that
// fails they run out by themselves.
func (c *Connector) forgetSuperseded(ctx context.Context, applicationID, providerName, credentialsID, exceptConsentID string) {
	err := c.registry.ForgetAccess(context.WithoutCancel(ctx), applicationID, providerName, credentialsID, exceptConsentID)
	if err != nil {
		c.log.Warn("superseded access tokens not forgotten", "credentials", credentialsID, "error", err)
	}
}

// HandIn takes the newest refresh token of a consent that the application
// refreshes itself. The cached access token is forgotten: the application's
// refresh has superseded it.
func (c *Connector) HandIn(ctx context.Context, app *consent.Application, consentID, refreshToken string) (consent.Consent, error) {
	if refreshToken == "" {
		return consent.Consent{}, invalid("refresh_token", "Hand in the refresh token that is in force.")
	}
	con, err := c.usable(ctx, app, consentID)
	if err != nil {
		return con, err
	}
	if con.Custody != consent.CustodyBackend {
		return con, &consent.Error{Code: consent.CodeCustodyOurs, ConsentID: con.ID,
			Detail: "This service holds and refreshes this consent's token; handing one in would put an older one in its place."}
	}
	leaseID := c.newID()
	if con, err = c.lease(ctx, app, consentID, leaseID); err != nil {
		return con, err
	}
	defer c.endLease(ctx, app, consentID, leaseID)
	if err := checkUsable(&con); err != nil {
		return con, err
	}
	if err := c.store(ctx, &con, leaseID, provider.Grant{RefreshToken: refreshToken}); err != nil {
		if errors.Is(err, consent.ErrClaimLost) {
			return con, &consent.Error{Code: consent.CodeAttemptInProgress, ConsentID: con.ID, Detail: "This consent was renewed at the same moment; look at it and hand in again."}
		}
		return con, err
	}
	return c.registry.Consent(ctx, app.ID, consentID)
}
