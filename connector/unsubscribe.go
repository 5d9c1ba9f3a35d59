package connector

import (
	"context"
	"encoding/base64"
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
// reminders (RFC 8058). It names user and address, sealed, and works for as long
// as that is the user's: nothing is stored for it.
func (c *Connector) UnsubscribeLink(app *consent.Application, user *consent.User) (string, error) {
	address, err := c.addressHash(user.Email)
	if err != nil {
		return "", err
	}
	sealed, err := c.keys.Seal(append(address, user.ID...), unsubscribeRow(app))
	if err != nil {
		return "", err
	}
	return c.base + "/u/" + scoped(app, base64.RawURLEncoding.EncodeToString(sealed)), nil
}

// addressLen is the length of an address's fingerprint.
const addressLen = 32

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
	opened, err := c.keys.Open(sealed, unsubscribeRow(&app))
	if err != nil || len(opened) < addressLen {
		return Unsubscribing{}, unknownLink()
	}
	address, userID := opened[:addressLen], opened[addressLen:]
	u := Unsubscribing{Application: app, userID: string(userID)}
	user, err := c.registry.User(ctx, app.ID, u.userID)
	if err != nil {
		return Unsubscribing{}, notFound(err, unknownLink()) // erased since: nobody is written to
	}
	own, err := c.addressHash(user.Email)
	if err != nil {
		return Unsubscribing{}, err
	}
	if !equal(own, address) {
		return Unsubscribing{}, unknownLink() // whoever has the address now gets links of their own
	}
	u.User, u.Since = user, user.UnsubscribedAt
	return u, nil
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
