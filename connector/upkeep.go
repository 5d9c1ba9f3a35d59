package connector

import (
	"context"
	"errors"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/provider"
)

const (
	upkeepBatch = 100
	// recoverWithin is how long after its expiry an attempt that was left half
	// way is still taken up. After that no provider remembers the code.
	recoverWithin = time.Hour
)

// Upkeep takes up what was left half done: attempts stuck between the bank's
// answer and their outcome, first links that nobody confirmed, grants that are
// to be given back, changes of a cadence, providers' webhooks whose job was
// lost. It deletes what is kept for a time only. It is safe on many replicas at
// once, and reports the first fault only after it has tried everything.
func (c *Connector) Upkeep(ctx context.Context) error {
	return errors.Join(c.recoverStale(ctx), c.endUnconfirmed(ctx), c.returnGrants(ctx), c.endRearms(ctx), c.ApplyInbound(ctx), c.purge(ctx))
}

func (c *Connector) endRearms(ctx context.Context) error {
	apps, err := c.readableApplications(ctx)
	faults := []error{err}
	for _, app := range apps {
		faults = append(faults, c.rearm(ctx, app))
	}
	return errors.Join(faults...)
}

func (c *Connector) recoverStale(ctx context.Context) error {
	stale, err := c.registry.StaleAttempts(ctx, c.now(), upkeepBatch)
	if err != nil {
		return err
	}
	var faults []error
	for _, a := range stale {
		if err := c.recover(ctx, a); err != nil && consent.CodeOf(err) == "" {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

// recover goes on where an attempt was left. What the provider can still tell
// is recovered; otherwise the attempt ends interrupted and the consent is as
// it was.
func (c *Connector) recover(ctx context.Context, a consent.Attempt) error {
	app, err := c.registry.Application(ctx, a.ApplicationID)
	if err != nil {
		return err
	}
	a, err = c.registry.ClaimAttempt(ctx, c.claim(a))
	if errors.Is(err, consent.ErrBusy) {
		return nil
	}
	if err != nil || a.Status.Finished() {
		return err
	}
	if c.now().After(a.ExpiresAt.Add(recoverWithin)) {
		_, err = c.interrupt(ctx, a)
		return err
	}
	_, err = c.carry(ctx, &app, a, comeback{vouched: c.vouchedFor(&app, a)})
	return err
}

// vouchedFor reports whether the application stands for the attempt: what was
// forwarded came from its own backend, the rest has yet to be confirmed.
func (c *Connector) vouchedFor(app *consent.Application, a consent.Attempt) bool {
	return !app.ConfirmLinks || !a.Hosted
}

// recoverFromConsent asks with the consent's own token whether the lost trip
// has renewed it: at some providers the token stays the same, and what they say
// of the consent tells.
func (c *Connector) recoverFromConsent(ctx context.Context, app *consent.Application, p provider.Provider, a consent.Attempt) (consent.Attempt, error) {
	refresher, ok := p.(provider.Refresher)
	if a.Kind != consent.KindReauthorize || !ok {
		return c.interrupt(ctx, a)
	}
	con, err := c.registry.Consent(ctx, app.ID, a.ConsentID)
	if err != nil {
		return a, c.release(ctx, a, err)
	}
	token, err := c.unseal(con.Tokens.Refresh, con.ID)
	if err != nil {
		return a, c.release(ctx, a, err)
	}
	if con.Custody != consent.CustodyOurs || token == "" {
		return c.interrupt(ctx, a) // never refreshed by us unasked
	}
	g, err := refresher.Refresh(context.WithoutCancel(ctx), token)
	if err != nil {
		if retryable(err) {
			return a, c.release(ctx, a, fromProvider(err, &con))
		}
		return c.interrupt(ctx, a)
	}
	if err := c.store(ctx, &con, a.ClaimID, g); err != nil {
		return a, c.release(ctx, a, err)
	}
	id, err := c.identify(ctx, p, g, con.Scopes)
	if err != nil {
		if retryable(err) {
			return a, c.release(ctx, a, fromProvider(err, &con))
		}
		return c.interrupt(ctx, a)
	}
	// Only the bank's own word that the person was there after the attempt
	// began proves it. A later expiry does not: ours may have been a guess.
	if differs(&con, id) != "" || !id.ConsentedAt.After(a.CreatedAt) {
		return c.interrupt(ctx, a)
	}
	return c.renew(ctx, app, a, con, id, keptOf(g))
}

// interrupt ends an attempt that was lost half way. A grant that it kept is
// given back.
func (c *Connector) interrupt(ctx context.Context, a consent.Attempt) (consent.Attempt, error) {
	return c.fail(ctx, a, consent.AttemptInterrupted, reasonLost, c.leftOf(a))
}

// endUnconfirmed gives back the first links that the application never
// confirmed: they may have been opened by somebody else than the one who asked.
func (c *Connector) endUnconfirmed(ctx context.Context) error {
	pending, err := c.registry.UnconfirmedAttempts(ctx, c.now(), upkeepBatch)
	if err != nil {
		return err
	}
	var faults []error
	for _, a := range pending {
		a, err := c.registry.ClaimConfirmation(ctx, c.claim(a))
		if errors.Is(err, consent.ErrBusy) {
			continue
		}
		if err == nil && a.Status == consent.AttemptPending {
			_, err = c.abandon(ctx, a, reasonUnconfirmed, c.leftOf(a))
		}
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

func (c *Connector) returnGrants(ctx context.Context) error {
	now := c.now()
	due, err := c.registry.ClaimGiveBacks(ctx, now, now.Add(giveBackLease), giveBackBatch)
	if err != nil {
		return err
	}
	for _, back := range due {
		if err := c.returnGrant(ctx, back); err != nil {
			c.log.Warn("grant not given back yet; it will be tried again", "give_back", back.ID, "provider", back.Provider, "error", err)
		}
	}
	return nil
}
