package connector

import (
	"context"
	"errors"
	"time"

	"github.com/reconsent/reconsent/consent"
)

const (
	// saveAgain is the pause between two tries to store a token that a database
	// which is away has not taken.
	saveAgain = time.Second
	// saveFor is how long they go on: longer than a database takes to come back.
	saveFor = time.Hour
)

// saveLater goes on storing what a refresh brought, after its caller has been
// told that it failed: the old token is spent, so that what is lost here ends
// the consent. Until then this process refreshes the consent no more; the others
// have the same database, which is away.
func (c *Connector) saveLater(ctx context.Context, u consent.TokenUpdate) {
	ctx = context.WithoutCancel(ctx)
	key := u.ApplicationID + "/" + u.ConsentID
	c.mu.Lock()
	c.unsaved[key] = true
	c.mu.Unlock()
	c.log.Error("a refreshed token cannot be stored; it is tried again until it is", "consent", u.ConsentID)
	c.saving.Go(func() {
		err := c.save(ctx, u)
		c.mu.Lock()
		delete(c.unsaved, key)
		c.mu.Unlock()
		if err != nil {
			c.log.Error("a refreshed token is lost; the person will have to authorise the consent again", "consent", u.ConsentID, "error", err)
			return
		}
		c.log.Warn("a refreshed token is stored at last", "consent", u.ConsentID)
	})
}

func (c *Connector) save(ctx context.Context, u consent.TokenUpdate) error {
	var err error
	for tried := time.Duration(0); tried < saveFor; tried += saveAgain {
		if err = wait(ctx, saveAgain); err != nil {
			return err
		}
		err = c.registry.StoreTokens(ctx, u)
		if errors.Is(err, consent.ErrClaimLost) { // the lease has run out meanwhile
			err = c.saveUnderNewLease(ctx, u)
		}
		if err == nil || isSettled(err) {
			return err
		}
	}
	return err
}

// saveUnderNewLease stores the tokens unless somebody has stored newer ones.
func (c *Connector) saveUnderNewLease(ctx context.Context, u consent.TokenUpdate) error {
	now := c.now()
	u.LeaseID = c.newID()
	con, err := c.registry.Lease(ctx, u.ApplicationID, u.ConsentID, u.LeaseID, now, now.Add(claimLease))
	if err != nil {
		return err
	}
	if con.Tokens.RefreshedAt.Before(u.Tokens.RefreshedAt) {
		err = c.registry.StoreTokens(ctx, u)
	}
	return errors.Join(err, c.registry.EndLease(ctx, u.ApplicationID, u.ConsentID, u.LeaseID))
}

func (c *Connector) isUnsaved(applicationID, consentID string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.unsaved[applicationID+"/"+consentID]
}

// Drain waits, until ctx is over, for tokens that are still to be stored.
func (c *Connector) Drain(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		c.saving.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
