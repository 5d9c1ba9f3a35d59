package connector

import (
	"context"
	"errors"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/provider"
)

const (
	giveBackLease    = 2 * time.Minute
	giveBackBatch    = 50
	giveBackMaxTries = 40 // with the pauses below about a week; a grant dies by itself in the end
)

// giveBack prepares a grant that we must not keep for being given back.
func (c *Connector) giveBack(applicationID, consentID, providerName, credentialsID, reason string, g provider.Grant) (*consent.GiveBack, error) {
	now := c.now()
	back := &consent.GiveBack{
		ApplicationID: applicationID, ID: "gbk_" + c.newID(), ConsentID: consentID,
		Provider: providerName, CredentialsID: credentialsID, Reason: reason, CreatedAt: now, NextTryAt: now,
	}
	var err error
	back.Grant, err = c.sealKept(keptOf(g), back.ID)
	return back, err
}

// returnGrantNow tries at once what Upkeep would do later.
func (c *Connector) returnGrantNow(ctx context.Context, back consent.GiveBack) {
	now := c.now()
	claimed, err := c.registry.ClaimGiveBack(ctx, back.ApplicationID, back.ID, now, now.Add(giveBackLease))
	if err != nil {
		return // Upkeep has it, or will
	}
	if err := c.returnGrant(ctx, claimed); err != nil {
		c.log.Warn("grant not given back yet; it will be tried again", "give_back", back.ID, "provider", back.Provider, "error", err)
	}
}

// returnGrant gives a grant back at the provider, or tries again later, or
// gives up: then its tokens are dropped, and it ends by itself.
func (c *Connector) returnGrant(ctx context.Context, back consent.GiveBack) error {
	err := c.tryReturn(context.WithoutCancel(ctx), back)
	if err != nil && back.Tries < giveBackMaxTries && (retryable(err) || provider.KindOf(err) == provider.Misconfigured) {
		next := c.now().Add(min(time.Minute<<min(back.Tries, 9), 6*time.Hour))
		return errors.Join(err, c.registry.RetryGiveBack(ctx, back.ApplicationID, back.ID, next))
	}
	if err != nil {
		c.log.Error("grant cannot be given back; its tokens are dropped", "give_back", back.ID, "provider", back.Provider, "error", err)
	}
	return c.registry.EndGiveBack(ctx, back.ApplicationID, back.ID)
}

// tryReturn returns nil where the grant is gone, or must not be taken back:
// where its credentials belong to a consent that somebody relies on, a provider
// would end that one with it (law 1).
func (c *Connector) tryReturn(ctx context.Context, back consent.GiveBack) error {
	p, kept, err := c.openGiveBack(ctx, back)
	if err != nil {
		return err
	}
	revoker, ok := p.(provider.Revoker)
	if !ok {
		return nil // the provider has no way to take one back
	}
	owner := back.CredentialsID
	if owner == "" {
		if owner, err = c.ownerOf(ctx, p, kept); err != nil {
			return err
		}
	}
	inUse, err := c.registry.CredentialsInUse(ctx, back.ApplicationID, back.Provider, owner, back.ConsentID)
	if err != nil || inUse {
		return err
	}
	return revokeAtProvider(ctx, p, revoker, kept)
}

func (c *Connector) openGiveBack(ctx context.Context, back consent.GiveBack) (provider.Provider, keptGrant, error) {
	var kept keptGrant
	app, err := c.registry.Application(ctx, back.ApplicationID)
	if err != nil {
		return nil, kept, err
	}
	p, err := c.open(ctx, &app, back.Provider)
	if err != nil {
		return nil, kept, &provider.Error{Kind: provider.Misconfigured, Op: "revoke", Err: err}
	}
	if kept, err = c.openKept(back.Grant, back.ID); err != nil {
		return nil, kept, &provider.Error{Kind: provider.Unsupported, Op: "revoke", Err: err}
	}
	return p, kept, nil
}

// ownerOf asks whose grant it is that was never identified. Where nobody can
// say it any more it is not given back: it may be a good consent's.
func (c *Connector) ownerOf(ctx context.Context, p provider.Provider, kept keptGrant) (string, error) {
	inspector, ok := p.(provider.Inspector)
	if !ok || !c.now().Before(kept.AccessExpiresAt) {
		return "", &provider.Error{Kind: provider.Unsupported, Op: "inspect", Code: reasonUnidentified}
	}
	ins, err := inspector.Inspect(ctx, kept.AccessToken)
	if err == nil && ins.CredentialsID == "" {
		err = &provider.Error{Kind: provider.Unsupported, Op: "inspect", Code: reasonUnidentified}
	}
	return ins.CredentialsID, err
}

// revokeAtProvider returns nil where the grant is gone. A refreshed token is
// asked for in any case: the kept one may have been superseded, and a provider
// calls a superseded token gone.
func revokeAtProvider(ctx context.Context, p provider.Provider, revoker provider.Revoker, kept keptGrant) error {
	if refresher, ok := p.(provider.Refresher); ok && kept.RefreshToken != "" {
		g, err := refresher.Refresh(ctx, kept.RefreshToken)
		if isOver(err) {
			return nil
		}
		if err != nil {
			return err
		}
		kept.AccessToken = g.AccessToken
	}
	if kept.AccessToken == "" {
		return nil
	}
	return revoker.Revoke(ctx, kept.AccessToken)
}

// isOver reports whether the provider says that a grant has ended.
func isOver(err error) bool {
	if err == nil {
		return false
	}
	switch provider.KindOf(err) {
	case provider.ReauthRequired, provider.Revoked, provider.Unrenewable:
		return true
	default:
		return false
	}
}
