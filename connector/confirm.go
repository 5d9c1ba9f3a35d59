package connector

import (
	"context"
	"errors"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/provider"
)

// Confirm makes a first link count: the application vouches, by the one-time
// value that its return_to received, that the person who was at the bank is
// the one who asked for the link (law 9). Confirming again shows the outcome.
func (c *Connector) Confirm(ctx context.Context, app *consent.Application, attemptID, result string) (Outcome, error) {
	hash, err := c.resultHash(attemptID, result)
	if err != nil {
		return Outcome{}, err
	}
	for pause := range patience {
		a, err := c.registry.Attempt(ctx, app.ID, attemptID)
		if err != nil {
			return Outcome{}, notFound(err, unknownAttempt())
		}
		if len(a.ResultHash) == 0 || !equal(hash, a.ResultHash) {
			return Outcome{}, &consent.Error{Code: consent.CodeResultInvalid, Field: "result", AttemptID: attemptID,
				Detail: "This is not the value that return_to received for this attempt."}
		}
		now := c.now()
		if a.Status != consent.AttemptPending {
			return c.outcome(ctx, app, a, "")
		}
		if !now.Before(a.ConfirmBy) {
			return Outcome{}, &consent.Error{Code: consent.CodeAttemptExpired, AttemptID: attemptID,
				Detail: "The time to confirm this link has passed; its grant is given back. Start again."}
		}
		a, err = c.registry.ClaimConfirmation(ctx, c.claim(a))
		if errors.Is(err, consent.ErrBusy) {
			if err := wait(ctx, pause); err != nil {
				return Outcome{}, err
			}
			continue
		}
		if err != nil {
			return Outcome{}, err
		}
		if a.Status != consent.AttemptPending {
			return c.outcome(ctx, app, a, "")
		}
		finished, err := c.activate(ctx, app, a)
		if err != nil {
			return Outcome{}, err
		}
		return c.outcome(ctx, app, finished, "")
	}
	return Outcome{}, &consent.Error{Code: consent.CodeAttemptInProgress, AttemptID: attemptID,
		Detail: "This link is being confirmed by another call; ask again in a moment."}
}

// activate turns a claimed pending attempt into a consent, asking the provider
// once more whose grant it is: an hour may have passed.
func (c *Connector) activate(ctx context.Context, app *consent.Application, a consent.Attempt) (consent.Attempt, error) {
	kept, err := c.openKept(a.Grant, a.ID)
	if err != nil {
		return a, c.release(ctx, a, err)
	}
	p, err := c.open(ctx, app, a.Provider)
	if err != nil {
		return a, c.release(ctx, a, err)
	}
	id, kept, err := c.identifyAgain(ctx, p, a, kept)
	if err != nil {
		if retryable(err) {
			return a, c.release(ctx, a, fromProvider(err, nil))
		}
		return c.abandon(ctx, a, identityReason(err), &kept)
	}
	con, err := c.registry.Consent(ctx, app.ID, a.ConsentID)
	if err != nil {
		return a, c.release(ctx, a, err)
	}
	if id.CredentialsID != a.CredentialsID {
		return c.abandon(ctx, a, reasonLogin, &kept)
	}
	if !con.RevokedAt.IsZero() {
		return c.abandon(ctx, a, reasonRevoked, &kept)
	}
	if !con.Pending { // the login of a consent that existed already
		if differs(&con, id) != "" {
			return c.abandon(ctx, a, reasonAccounts, &kept)
		}
		return c.renew(ctx, app, a, con, id, kept)
	}
	now := c.now()
	con.Pending, con.ConsentedAt, con.Accounts = false, now, id.accounts
	if err := c.fill(app, &con, id, kept.grant(), now); err != nil {
		return a, c.release(ctx, a, err)
	}
	hash, err := c.tokenHash(kept.RefreshToken)
	if err != nil {
		return a, c.release(ctx, a, err)
	}
	_, err = c.registry.Activate(context.WithoutCancel(ctx), consent.Activation{
		ApplicationID: app.ID, AttemptID: a.ID, ClaimID: a.ClaimID, At: now,
		Consent: con, TokenHash: hash, Event: c.linkedEvent(a, &con, now),
	})
	switch {
	case errors.Is(err, consent.ErrExists), errors.Is(err, consent.ErrOvertaken):
		// The same login was linked, or this one revoked, while we asked.
		return c.abandon(ctx, a, reasonRevoked, &kept)
	case err != nil:
		return a, err
	}
	c.forgetSuperseded(ctx, con.ApplicationID, con.Provider, con.CredentialsID, con.ID)
	return c.registry.Attempt(ctx, app.ID, a.ID)
}

// confirmByCode confirms a link whose code the application itself brings: that
// is as good as the value that return_to received, which is made of it.
func (c *Connector) confirmByCode(ctx context.Context, app *consent.Application, a consent.Attempt, code string) (Outcome, error) {
	out, err := c.Confirm(ctx, app, a.ID, c.resultFor(a.ID, code))
	if consent.CodeOf(err) == consent.CodeResultInvalid {
		err = &consent.Error{Code: consent.CodeConsentPending, AttemptID: a.ID, ConsentID: a.ConsentID,
			Detail: "The browser came back to this service, and this is not the code that it brought. Confirm the link with the result that return_to received."}
	}
	return out, err
}

// identifyFresh asks whose grant it is that has just been exchanged.
func (c *Connector) identifyFresh(ctx context.Context, p provider.Provider, a consent.Attempt, kept keptGrant) (identity, keptGrant, error) {
	id, err := c.identify(ctx, p, kept.grant(), a.Scopes)
	return id, kept, err
}

// identifyAgain asks whose grant it is, with a fresh access token where the
// kept one has run out or was superseded.
func (c *Connector) identifyAgain(ctx context.Context, p provider.Provider, a consent.Attempt, kept keptGrant) (identity, keptGrant, error) {
	if c.now().Add(accessMargin).Before(kept.AccessExpiresAt) {
		id, kept, err := c.identifyFresh(ctx, p, a, kept)
		if err == nil || provider.KindOf(err) != provider.Temporary {
			return id, kept, err
		}
	}
	refresher, ok := p.(provider.Refresher)
	if !ok || kept.RefreshToken == "" {
		return c.identifyFresh(ctx, p, a, kept)
	}
	g, err := refresher.Refresh(context.WithoutCancel(ctx), kept.RefreshToken)
	if err != nil {
		return identity{}, kept, err
	}
	kept.AccessToken, kept.AccessExpiresAt = g.AccessToken, g.AccessExpiresAt
	if g.RefreshToken != "" {
		kept.RefreshToken = g.RefreshToken
	}
	if err := c.keep(ctx, a, kept); err != nil { // what a refresh returns is stored at once
		return identity{}, kept, err
	}
	return c.identifyFresh(ctx, p, a, kept)
}

// abandon ends a pending attempt without success, and its pending consent with it.
func (c *Connector) abandon(ctx context.Context, a consent.Attempt, reason string, kept *keptGrant) (consent.Attempt, error) {
	con, err := c.registry.Consent(ctx, a.ApplicationID, a.ConsentID)
	if err != nil && !errors.Is(err, consent.ErrNotFound) {
		return a, c.release(ctx, a, err)
	}
	if err == nil && con.Pending {
		now := c.now()
		_, err := c.registry.Revoke(ctx, consent.Revocation{
			ApplicationID: a.ApplicationID, ConsentID: con.ID, By: reason, At: now,
			Event: c.event(consent.EventRevoked, now, map[string]any{"by": reason, "attempt_id": a.ID, "pending": true}),
		})
		if err != nil {
			return a, c.release(ctx, a, err)
		}
	}
	return c.fail(ctx, a, consent.AttemptFailed, reason, kept)
}
