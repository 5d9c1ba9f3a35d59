package connector

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/reconsent/reconsent/consent"
)

// Unsubscribing is what the page behind a mail's unsubscribe link shows.
type Unsubscribing struct {
	Application consent.Application
	User        consent.User
	Since       time.Time // when reminders were ended; zero while they go on
	userID      string
}

// UnsubscribeLink makes the link by which a user ends an application's
// reminders (RFC 8058). It names the user, sealed, and works for ever: nothing
// is stored for it.
func (c *Connector) UnsubscribeLink(app *consent.Application, userID string) (string, error) {
	sealed, err := c.keys.Seal([]byte(userID), unsubscribeRow(app))
	if err != nil {
		return "", err
	}
	return c.base + "/u/" + scoped(app, base64.RawURLEncoding.EncodeToString(sealed)), nil
}

// unsubscribeRow is what the links of one application are sealed for.
func unsubscribeRow(app *consent.Application) string { return app.ID + "/unsubscribe" }

// OpenUnsubscribeLink looks a link up, and changes nothing.
func (c *Connector) OpenUnsubscribeLink(ctx context.Context, token string) (Unsubscribing, error) {
	app, err := c.registry.ApplicationBySlug(ctx, slugOf(token))
	if err != nil {
		return Unsubscribing{}, notFound(err, unknownLink())
	}
	_, secret, _ := strings.Cut(token, ".")
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(secret)
	if err != nil {
		return Unsubscribing{}, unknownLink()
	}
	userID, err := c.keys.Open(sealed, unsubscribeRow(&app))
	if err != nil {
		return Unsubscribing{}, unknownLink()
	}
	u := Unsubscribing{Application: app, userID: string(userID)}
	user, err := c.registry.User(ctx, app.ID, u.userID)
	if errors.Is(err, consent.ErrNotFound) {
		return Unsubscribing{}, unknownLink() // erased since: nobody is written to
	}
	u.User, u.Since = user, user.UnsubscribedAt
	return u, err
}

// Unsubscribe ends the reminders to whom a link was mailed, or takes that back.
func (c *Connector) Unsubscribe(ctx context.Context, token string, end bool) (Unsubscribing, error) {
	u, err := c.OpenUnsubscribeLink(ctx, token)
	if err != nil || end != u.Since.IsZero() {
		return u, err
	}
	u.Since = time.Time{}
	if end {
		u.Since = c.now()
	}
	err = c.registry.SetUnsubscribed(ctx, u.Application.ID, u.userID, u.Since)
	return u, notFound(err, unknownLink())
}
