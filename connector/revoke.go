package connector

import (
	"context"
	"encoding/hex"
	"errors"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/provider"
)

// Who may have revoked a consent.
const (
	ByBackend = "backend"
	ByUser    = "user"
)

// Revoke ends a consent for good: its tokens are dropped here at once, and
// given back at the provider now or as soon as it answers. Revoking again
// changes nothing.
func (c *Connector) Revoke(ctx context.Context, app *consent.Application, consentID, by string) (consent.Consent, error) {
	con, err := c.registry.Consent(ctx, app.ID, consentID)
	if err != nil {
		return con, notFound(err, unknownConsent())
	}
	if !con.RevokedAt.IsZero() {
		return con, nil
	}
	// Wait for a refresh that is under way: what it brings is what has to be
	// given back. One that hangs must not keep the consent alive, though.
	leaseID := c.newID()
	leased, err := c.lease(ctx, app, con.ID, leaseID)
	switch {
	case err == nil:
		con = leased
		defer c.endLease(ctx, app, con.ID, leaseID)
	case consent.CodeOf(err) != consent.CodeAttemptInProgress:
		return con, err
	}
	now := c.now()
	r := consent.Revocation{
		ApplicationID: app.ID, ConsentID: con.ID, By: by, At: now,
		Event: c.event(consent.EventRevoked, now, map[string]any{"by": by}),
	}
	if r.GiveBack, err = c.giveBackOf(&con); err != nil {
		return con, err
	}
	con, err = c.registry.Revoke(ctx, r)
	if err != nil {
		return con, notFound(err, unknownConsent())
	}
	if r.GiveBack != nil {
		c.returnGrantNow(context.WithoutCancel(ctx), *r.GiveBack)
	}
	return con, nil
}

// giveBackOf prepares a consent's tokens for being given back; nil where there
// are none.
func (c *Connector) giveBackOf(con *consent.Consent) (*consent.GiveBack, error) {
	refresh, err := c.unseal(con.Tokens.Refresh, con.ID)
	if err != nil {
		return nil, err
	}
	access, err := c.unseal(con.Tokens.Access, con.ID)
	if err != nil {
		return nil, err
	}
	if refresh == "" && access == "" {
		return nil, nil
	}
	return c.giveBack(con.ApplicationID, con.ID, con.Provider, con.CredentialsID, "revoked", provider.Grant{
		AccessToken: access, RefreshToken: refresh, AccessExpiresAt: con.Tokens.AccessExpiresAt,
	})
}

// EraseUser ends all of a person's consents and trips to the bank, and forgets
// the person. What remains of the history carries a pseudonym that cannot be
// turned back.
func (c *Connector) EraseUser(ctx context.Context, app *consent.Application, userID string) error {
	sum, err := c.keys.Fingerprint(purposePseudonym, []byte(app.ID+"\x00"+userID))
	if err != nil {
		return err
	}
	known := false
	for pause := range patience {
		had, err := c.endAllOf(ctx, app, userID)
		if err != nil {
			return err
		}
		known = known || had
		err = c.registry.EraseUser(ctx, app.ID, userID, "erased_"+hex.EncodeToString(sum[:12]))
		switch {
		case errors.Is(err, consent.ErrNotFound) && known: // by another call, in this moment
			return nil
		case !errors.Is(err, consent.ErrBusy):
			return notFound(err, unknownUser())
		}
		if err := wait(ctx, pause); err != nil {
			return err
		}
	}
	return &consent.Error{Code: consent.CodeAttemptInProgress, RetryAt: c.now().Add(5 * time.Second),
		Detail: "A trip to the bank of this person is being completed right now; ask again in a moment."}
}

// endAllOf ends what a person has open, and reports whether there is such a
// person. An attempt that is being completed is left to whoever completes it.
func (c *Connector) endAllOf(ctx context.Context, app *consent.Application, userID string) (known bool, err error) {
	_, err = c.registry.User(ctx, app.ID, userID)
	if err != nil && !errors.Is(err, consent.ErrNotFound) {
		return false, err
	}
	known = err == nil
	open, err := c.registry.OpenAttempts(ctx, app.ID, userID)
	if err != nil {
		return known, err
	}
	for _, a := range open {
		if err := c.endErased(ctx, a); err != nil && !errors.Is(err, consent.ErrBusy) && !errors.Is(err, consent.ErrClaimLost) {
			return known, err
		}
	}
	consents, err := c.registry.FindConsents(ctx, app.ID, consent.Find{UserID: userID})
	if err != nil {
		return known, err
	}
	for _, con := range consents {
		if _, err := c.Revoke(ctx, app, con.ID, ByUser); err != nil {
			return known, err
		}
	}
	return known || len(open) > 0 || len(consents) > 0, nil
}

// endErased ends one attempt of a person who is to be forgotten.
func (c *Connector) endErased(ctx context.Context, a consent.Attempt) error {
	switch a.Status {
	case consent.AttemptStarted:
		_, err := c.fail(ctx, a, consent.AttemptFailed, reasonErased, nil)
		return err
	case consent.AttemptClaimed: // and left, or ErrBusy says that somebody is at it
		a, err := c.registry.ClaimAttempt(ctx, c.claim(a))
		if err != nil || a.Status.Finished() {
			return err
		}
		_, err = c.fail(ctx, a, consent.AttemptFailed, reasonErased, c.leftOf(a))
		return err
	case consent.AttemptPending:
		a, err := c.registry.ClaimConfirmation(ctx, c.claim(a))
		if err != nil || a.Status != consent.AttemptPending {
			return err
		}
		_, err = c.abandon(ctx, a, reasonErased, c.leftOf(a))
		return err
	default:
		return consent.ErrBusy
	}
}

func unknownUser() *consent.Error {
	return &consent.Error{Code: consent.CodeUserNotFound, Detail: "There is no such user in this application."}
}
