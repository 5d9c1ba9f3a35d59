package connector

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/reconsent/reconsent/consent"
)

const (
	// maxEndpoints is how many webhook endpoints one application may have.
	maxEndpoints = 20
	maxURL       = 2048 // bytes; longer ones are lost on the way
	// oldSecretFor is how long a secret that was replaced still signs.
	oldSecretFor = 24 * time.Hour
	replayBatch  = 5000
)

// WebhookTargets says which addresses webhooks may go to. See internal/outbound.
type WebhookTargets interface {
	// Check returns what is wrong with an address, as a sentence for its owner.
	// Whether its name leads where nothing may be sent shows when it is sent to.
	Check(u *url.URL) error
}

// EndpointChange is what to change about a webhook endpoint; nil leaves it.
type EndpointChange struct {
	URL    *string
	Events *[]string
	Status *string
}

// CreateWebhookEndpoint makes an endpoint. Its secret is returned once. No events
// stands for all that go out.
func (c *Connector) CreateWebhookEndpoint(ctx context.Context, app *consent.Application, uri string, events []string) (consent.WebhookEndpoint, string, error) {
	types, err := c.checkEndpoint(uri, events)
	if err != nil {
		return consent.WebhookEndpoint{}, "", err
	}
	e := consent.WebhookEndpoint{
		ApplicationID: app.ID, ID: "whe_" + c.newID(), URL: uri, Events: types, Status: consent.EndpointActive, CreatedAt: c.now(),
	}
	secret := newWebhookSecret()
	if e.Secret, err = c.seal(secret, e.ID); err != nil {
		return e, "", err
	}
	created, err := c.registry.CreateWebhookEndpoint(ctx, e, maxEndpoints)
	if err == nil && !created {
		err = &consent.Error{Code: consent.CodeWebhookLimit, Detail: fmt.Sprintf("An application has at most %d webhook endpoints; delete one.", maxEndpoints)}
	}
	return e, secret, err
}

// newWebhookSecret makes a secret as Standard Webhooks writes it: 192 bits or
// more, base64, after "whsec_".
func newWebhookSecret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // crypto/rand.Read never fails
	return "whsec_" + base64.StdEncoding.EncodeToString(b)
}

func (c *Connector) checkEndpoint(uri string, events []string) ([]consent.EventType, error) {
	if err := c.checkTarget(uri); err != nil {
		return nil, err
	}
	return eventTypes(events)
}

func (c *Connector) checkTarget(uri string) error {
	if uri == "" || len(uri) > maxURL || !consent.PlainText(uri) {
		return invalid("url", fmt.Sprintf("url is empty, longer than %d bytes, or holds control characters.", maxURL))
	}
	u, err := url.Parse(uri)
	if err != nil {
		return invalid("url", "url is not an address.")
	}
	if err := c.targets.Check(u); err != nil {
		return invalid("url", err.Error())
	}
	return nil
}

func eventTypes(names []string) ([]consent.EventType, error) {
	types := make([]consent.EventType, 0, len(names))
	for _, name := range names {
		typ := consent.EventType(name)
		if !slices.Contains(consent.WebhookEvents(), typ) {
			all := make([]string, 0, len(consent.WebhookEvents()))
			for _, known := range consent.WebhookEvents() {
				all = append(all, string(known))
			}
			return nil, invalid("events", "events holds something that is not sent; sent are "+strings.Join(all, ", ")+".")
		}
		if !slices.Contains(types, typ) {
			types = append(types, typ)
		}
	}
	return types, nil
}

// WebhookEndpoints lists an application's endpoints, oldest first.
func (c *Connector) WebhookEndpoints(ctx context.Context, app *consent.Application) ([]consent.WebhookEndpoint, error) {
	return c.registry.WebhookEndpoints(ctx, app.ID)
}

// WebhookEndpoint returns one endpoint.
func (c *Connector) WebhookEndpoint(ctx context.Context, app *consent.Application, id string) (consent.WebhookEndpoint, error) {
	e, err := c.registry.WebhookEndpoint(ctx, app.ID, id)
	return e, notFound(err, unknownEndpoint())
}

// ChangeWebhookEndpoint changes where an endpoint is, what it is told of, and
// whether it is told anything. Set active, it gets what waited for it at once.
func (c *Connector) ChangeWebhookEndpoint(ctx context.Context, app *consent.Application, id string, change EndpointChange) (consent.WebhookEndpoint, error) {
	var types []consent.EventType
	var err error
	if change.URL != nil {
		err = c.checkTarget(*change.URL)
	}
	if err == nil && change.Events != nil {
		types, err = eventTypes(*change.Events)
	}
	status := consent.EndpointStatus("")
	if change.Status != nil {
		status = consent.EndpointStatus(*change.Status)
		if err == nil && status != consent.EndpointActive && status != consent.EndpointPaused {
			err = invalid("status", `status is neither "active" nor "paused".`)
		}
	}
	if err != nil {
		return consent.WebhookEndpoint{}, err
	}
	e, err := c.registry.ChangeWebhookEndpoint(ctx, app.ID, id, c.now(), func(e *consent.WebhookEndpoint) {
		if change.URL != nil {
			e.URL = *change.URL
		}
		if change.Events != nil {
			e.Events = types
		}
		switch status {
		case consent.EndpointActive:
			e.Activate()
		case consent.EndpointPaused:
			e.Status, e.Reason = consent.EndpointPaused, ""
		case consent.EndpointGone:
		}
	})
	if err != nil {
		return e, notFound(err, unknownEndpoint())
	}
	if status == "" {
		return e, nil
	}
	return e, c.closeAlarm(ctx, webhookAlarm(&e)) // somebody has looked
}

// RotateWebhookSecret gives an endpoint a new secret, which is returned once. The
// old one signs beside it for a day. Where it is rotated again within that day,
// because the answer was lost, the one that signs beside it stays the same.
func (c *Connector) RotateWebhookSecret(ctx context.Context, app *consent.Application, id string) (consent.WebhookEndpoint, string, error) {
	secret := newWebhookSecret()
	sealed, err := c.seal(secret, id)
	if err != nil {
		return consent.WebhookEndpoint{}, "", err
	}
	now := c.now()
	e, err := c.registry.ChangeWebhookEndpoint(ctx, app.ID, id, now, func(e *consent.WebhookEndpoint) {
		if !e.OldSecretUntil.After(now) {
			e.OldSecret = e.Secret
		}
		e.OldSecretUntil, e.Secret = now.Add(oldSecretFor), sealed
	})
	return e, secret, notFound(err, unknownEndpoint())
}

// DeleteWebhookEndpoint forgets an endpoint and what was sent to it.
func (c *Connector) DeleteWebhookEndpoint(ctx context.Context, app *consent.Application, id string) error {
	if err := c.registry.DeleteWebhookEndpoint(ctx, app.ID, id); err != nil {
		return notFound(err, unknownEndpoint())
	}
	return c.closeAlarm(ctx, webhookAlarm(&consent.WebhookEndpoint{ApplicationID: app.ID, ID: id}))
}

// Deliveries lists what was, or is to be, sent to an endpoint.
func (c *Connector) Deliveries(ctx context.Context, app *consent.Application, f consent.DeliveryFilter) ([]consent.Delivery, error) {
	if _, err := c.WebhookEndpoint(ctx, app, f.EndpointID); err != nil {
		return nil, err
	}
	return c.registry.Deliveries(ctx, app.ID, f)
}

// ReplayRequest says what to send again: one event, one delivery, or what
// happened from From until before To.
type ReplayRequest struct {
	EventID    string
	DeliveryID string
	From, To   time.Time
}

// Replay sends deliveries again, under the webhook-id that they had. It returns
// how many. They may be as old as deliveries are kept.
func (c *Connector) Replay(ctx context.Context, app *consent.Application, endpointID string, in ReplayRequest) (int, error) {
	ranged := !in.From.IsZero() || !in.To.IsZero()
	given := 0
	for _, is := range []bool{in.EventID != "", in.DeliveryID != "", ranged} {
		if is {
			given++
		}
	}
	switch {
	case given != 1:
		return 0, invalid("", "Say what to send again: event_id, or delivery_id, or from and to.")
	case ranged && (in.From.IsZero() || in.To.IsZero()):
		return 0, invalid("to", "Give both from and to.")
	case ranged && !in.From.Before(in.To):
		return 0, invalid("to", "to is not later than from.")
	}
	if _, err := c.WebhookEndpoint(ctx, app, endpointID); err != nil {
		return 0, err
	}
	unknown := &consent.Error{Code: consent.CodeDeliveryNotFound, Detail: "There is no such delivery to this endpoint; those of the last 30 days are kept."}
	r := consent.Replay{
		ApplicationID: app.ID, EndpointID: endpointID, EventID: in.EventID, From: in.From.UTC(), To: in.To.UTC(), Now: c.now(), Limit: replayBatch,
	}
	if in.DeliveryID != "" {
		event, ok := consent.EventOfDelivery(endpointID, in.DeliveryID)
		if !ok {
			return 0, unknown
		}
		r.EventID = event
	}
	if !ranged {
		n, err := c.registry.ReplayDeliveries(ctx, r)
		if err == nil && n == 0 {
			err = unknown
		}
		return n, err
	}
	total := 0
	for {
		n, err := c.registry.ReplayDeliveries(ctx, r)
		total += n
		if err != nil || n < replayBatch {
			return total, err
		}
	}
}

func webhookAlarm(e *consent.WebhookEndpoint) consent.Alarm {
	return consent.Alarm{ApplicationID: e.ApplicationID, Kind: consent.AlarmWebhook, ProviderID: e.ID}
}

// WebhookPaused tells whoever looks after the installation that an endpoint was
// paused because nothing could be delivered to it, or ended because it said so.
func (c *Connector) WebhookPaused(ctx context.Context, e consent.WebhookEndpoint) error {
	a := webhookAlarm(&e)
	if e.Status == consent.EndpointGone {
		a.Detail = fmt.Sprintf("Webhook endpoint %s answered 410, so nothing is sent to it any more. Delete it; or make a new one, if the receiver did not mean it.", e.ID)
		return c.raise(ctx, a)
	}
	a.Detail = fmt.Sprintf("Nothing has been delivered to webhook endpoint %s since %s, so it is paused. What happens waits; set it active again when it answers.",
		e.ID, e.FailingSince.Format(time.RFC3339))
	return c.raise(ctx, a)
}

func unknownEndpoint() *consent.Error {
	return &consent.Error{Code: consent.CodeWebhookNotFound, Detail: "There is no such webhook endpoint in this application."}
}
