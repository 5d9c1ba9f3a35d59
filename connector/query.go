package connector

import (
	"context"

	"github.com/reconsent/reconsent/consent"
)

// Authenticate finds the application of an API key, and nothing for a key that
// is unknown, malformed or revoked.
func (c *Connector) Authenticate(ctx context.Context, key string) (consent.Application, error) {
	slug, hash, ok := parseAPIKey(key)
	if !ok {
		return consent.Application{}, consent.ErrNotFound
	}
	return c.registry.ApplicationByKey(ctx, slug, hash)
}

// Consent returns one consent.
func (c *Connector) Consent(ctx context.Context, app *consent.Application, id string) (consent.Consent, error) {
	con, err := c.registry.Consent(ctx, app.ID, id)
	return con, notFound(err, unknownConsent())
}

// Consents returns one page of an application's consents, oldest first.
func (c *Connector) Consents(ctx context.Context, app *consent.Application, f consent.ListFilter) ([]consent.Consent, error) {
	f.Now = c.now()
	return c.registry.ListConsents(ctx, app.ID, f)
}

// Events returns one page of a consent's history.
func (c *Connector) Events(ctx context.Context, app *consent.Application, consentID string, afterSeq int64, limit int) ([]consent.Event, error) {
	if _, err := c.Consent(ctx, app, consentID); err != nil {
		return nil, err
	}
	return c.registry.Events(ctx, app.ID, consentID, afterSeq, limit)
}

// Attempt returns one attempt.
func (c *Connector) Attempt(ctx context.Context, app *consent.Application, id string) (consent.Attempt, error) {
	a, err := c.registry.Attempt(ctx, app.ID, id)
	return a, notFound(err, unknownAttempt())
}

// StatusNow computes a consent's status by the connector's clock.
func (c *Connector) StatusNow(con *consent.Consent) consent.Status { return con.Status(c.now()) }

// Ping reports whether the registry answers.
func (c *Connector) Ping(ctx context.Context) error { return c.registry.Ping(ctx) }
