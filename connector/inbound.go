package connector

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/provider"
)

const (
	inboundBatch = 100
	// webhooksKept is how long deliveries are kept after they are over, and what
	// providers sent after it came.
	webhooksKept = 30 * 24 * time.Hour
	// linksKept is how long after its end a reconnect link's page still says what
	// became of it.
	linksKept   = 180 * 24 * time.Hour
	purgeBatch  = 5000
	purgeRounds = 20 // of a batch each; what is left is for the next time
)

// ReceiveWebhook takes what a provider sent for an application, named by its id
// or its short name, once it is proven to be the provider's. It is stored before
// anything is done about it; the same event again is the one that is there.
func (c *Connector) ReceiveWebhook(ctx context.Context, providerName, application string, req provider.WebhookRequest) error {
	nowhere := &consent.Error{Code: consent.CodeWebhookUnknown, Detail: "Nobody receives webhooks at this address."}
	app, err := c.applicationNamed(ctx, application)
	if err != nil {
		return notFound(err, nowhere)
	}
	p, err := c.open(ctx, &app, providerName)
	if err != nil {
		if consent.CodeOf(err) == consent.CodeProviderUnknown {
			return nowhere
		}
		return err
	}
	receiver, ok := p.(provider.WebhookReceiver)
	if !ok {
		return nowhere
	}
	said, err := receiver.ReceiveWebhook(ctx, req)
	switch {
	case err == nil:
	case provider.IsKind(err, provider.Unverified):
		return &consent.Error{Code: consent.CodeWebhookUnverified, Detail: "This request is not proven to be the provider's.", Err: err}
	case provider.IsKind(err, provider.Unsupported):
		return &consent.Error{Code: consent.CodeInvalidRequest, Detail: "This webhook cannot be read.", Err: err}
	default:
		return fromProvider(err, nil)
	}
	if said.ID == "" || len(said.ID) > maxField || len(said.CredentialsID) > maxField || !consent.PlainText(said.ID) || !consent.PlainText(said.CredentialsID) {
		return invalid("", "This webhook names no event, or none that can be kept.")
	}
	now := c.now()
	at := said.At.UTC().Truncate(time.Microsecond)
	if at.IsZero() || at.After(now) { // one from the future would make all that follow it look old
		at = now
	}
	_, err = c.registry.ReceiveInbound(ctx, consent.InboundEvent{
		ApplicationID: app.ID, Provider: providerName, ID: said.ID, Kind: consent.InboundKind(said.Kind), CredentialsID: said.CredentialsID,
		At: at, ReceivedAt: now,
	})
	return err
}

// applicationNamed finds an application by id or short name. No short name holds
// an underscore, and every id does.
func (c *Connector) applicationNamed(ctx context.Context, name string) (consent.Application, error) {
	if strings.HasPrefix(name, "app_") {
		return c.registry.Application(ctx, name)
	}
	return c.registry.ApplicationBySlug(ctx, name)
}

// ApplyInbound has the providers asked about the consents that they sent
// something about: their webhooks alone end nothing.
func (c *Connector) ApplyInbound(ctx context.Context) error {
	total := 0
	for {
		n, err := c.registry.ApplyInbound(ctx, c.now(), inboundBatch)
		if err != nil {
			return err
		}
		if total += n; n < inboundBatch {
			break
		}
	}
	if total == 0 {
		return nil
	}
	return c.Reconcile(ctx)
}

// purge deletes what is kept for a time only.
func (c *Connector) purge(ctx context.Context) error {
	now := c.now()
	var faults []error
	for _, p := range []struct {
		purge func(context.Context, time.Time, int) (int, error)
		kept  time.Duration
	}{{c.registry.PurgeDeliveries, webhooksKept}, {c.registry.PurgeInbound, webhooksKept}, {c.registry.PurgeReconnectLinks, linksKept}} {
		for range purgeRounds {
			n, err := p.purge(ctx, now.Add(-p.kept), purgeBatch)
			if err != nil {
				faults = append(faults, err)
			}
			if n < purgeBatch {
				break
			}
		}
	}
	return errors.Join(faults...)
}
