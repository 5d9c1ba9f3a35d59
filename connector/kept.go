package connector

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/provider"
)

// keptGrant is a grant that is no consent's yet, or must not become one: an
// attempt keeps it, or the queue of those to be given back, sealed under the
// id of either.
type keptGrant struct {
	AccessToken     string    `json:"access_token"`
	RefreshToken    string    `json:"refresh_token,omitempty"`
	AccessExpiresAt time.Time `json:"access_expires_at"`
	Scopes          []string  `json:"scopes,omitempty"`
	ResultHash      []byte    `json:"result_hash,omitempty"`
}

func keptOf(g provider.Grant) keptGrant {
	return keptGrant{AccessToken: g.AccessToken, RefreshToken: g.RefreshToken, AccessExpiresAt: g.AccessExpiresAt, Scopes: g.Scopes}
}

func (k keptGrant) grant() provider.Grant {
	return provider.Grant{AccessToken: k.AccessToken, RefreshToken: k.RefreshToken, AccessExpiresAt: k.AccessExpiresAt, Scopes: k.Scopes}
}

// String keeps the tokens out of logs and errors.
func (keptGrant) String() string { return "grant [redacted]" }

// GoString keeps the tokens out of %#v.
func (keptGrant) GoString() string { return "grant [redacted]" }

func (c *Connector) sealKept(k keptGrant, row string) (consent.Sealed, error) {
	plain, err := json.Marshal(k)
	if err != nil {
		return nil, errors.New("a grant cannot be written") // the cause may quote it
	}
	return c.keys.Seal(plain, row)
}

func (c *Connector) openKept(sealed consent.Sealed, row string) (keptGrant, error) {
	var k keptGrant
	plain, err := c.keys.Open(sealed, row)
	if err != nil {
		return k, err
	}
	if err := json.Unmarshal(plain, &k); err != nil {
		return k, errors.New("a kept grant does not parse") // the cause may quote it
	}
	return k, nil
}

// keep stores a grant with its attempt. The code or the old token is spent:
// neither a caller who hangs up now nor a database that is away for a moment
// must cost the grant.
func (c *Connector) keep(ctx context.Context, a consent.Attempt, k keptGrant) error {
	sealed, err := c.sealKept(k, a.ID)
	if err != nil {
		return err
	}
	return insist(ctx, func(ctx context.Context) error {
		return c.registry.KeepGrant(ctx, a.ApplicationID, a.ID, a.ClaimID, sealed)
	})
}

// leftOf returns what an attempt that is to be given up has kept; nil for
// nothing. A grant that does not open is dropped: it must not stand in the way
// for ever.
func (c *Connector) leftOf(a consent.Attempt) *keptGrant {
	if len(a.Grant) == 0 {
		return nil
	}
	k, err := c.openKept(a.Grant, a.ID)
	if err != nil {
		c.log.Error("the grant of an attempt does not open; it is dropped", "attempt", a.ID, "error", err)
		return nil
	}
	return &k
}
