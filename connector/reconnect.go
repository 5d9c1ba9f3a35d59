package connector

import (
	"context"
	"encoding/base64"
	"errors"
	"time"

	"github.com/reconsent/reconsent/consent"
)

// ReconnectRequest asks for a link that can be mailed to a person.
type ReconnectRequest struct {
	ReturnTo string
	State    []byte // nil for none
}

// Reconnect is a link that leads a person to their bank by one click.
type Reconnect struct {
	URL       string
	ExpiresAt time.Time
}

// NewReconnectLink makes a link for a consent. It works until the consent is
// renewed or revoked, or it expires; only a fingerprint of it is kept.
func (c *Connector) NewReconnectLink(ctx context.Context, app *consent.Application, consentID string, req ReconnectRequest) (Reconnect, error) {
	con, err := c.usable(ctx, app, consentID)
	if err != nil {
		return Reconnect{}, err
	}
	if err := checkReturnTo(app, req.ReturnTo); err != nil {
		return Reconnect{}, err
	}
	token := scoped(app, randomToken())
	hash, err := c.keys.Fingerprint(purposeReconnect, []byte(token))
	if err != nil {
		return Reconnect{}, err
	}
	now := c.now()
	validity := app.LinkValidity
	if validity <= 0 {
		validity = consent.DefaultLinkValidity
	}
	link := consent.ReconnectLink{
		ApplicationID: app.ID, TokenHash: hash, ConsentID: con.ID, UserID: con.UserID, Cycle: con.Cycle,
		ReturnTo: req.ReturnTo, State: req.State, CreatedAt: now, ExpiresAt: now.Add(validity),
	}
	if err := c.registry.CreateReconnectLink(ctx, link); err != nil {
		return Reconnect{}, err
	}
	return Reconnect{URL: c.base + "/r/" + token, ExpiresAt: link.ExpiresAt}, nil
}

// LinkState is what a reconnect link is good for now.
type LinkState string

// The states of a link.
const (
	LinkReady   LinkState = "ready"   // a press leads to the bank
	LinkRenewed LinkState = "renewed" // nothing to do: the consent was renewed since
	LinkExpired LinkState = "expired"
	LinkEnded   LinkState = "ended" // the consent was revoked
)

// LinkView is what a reconnect page shows.
type LinkView struct {
	State       LinkState
	Application consent.Application
	Consent     consent.Consent
	Status      consent.Status
	link        consent.ReconnectLink
}

// OpenReconnectLink looks a link up. It changes nothing and calls no provider:
// machines open the links in mails before people do.
func (c *Connector) OpenReconnectLink(ctx context.Context, token string) (LinkView, error) {
	var v LinkView
	app, err := c.registry.ApplicationBySlug(ctx, slugOf(token))
	if err != nil {
		return v, notFound(err, unknownLink())
	}
	hash, err := c.keys.Fingerprint(purposeReconnect, []byte(token))
	if err != nil {
		return v, err
	}
	v.Application = app
	if v.link, err = c.registry.ReconnectLink(ctx, app.ID, hash); err != nil {
		return v, notFound(err, unknownLink())
	}
	if v.Consent, err = c.registry.Consent(ctx, app.ID, v.link.ConsentID); err != nil {
		return v, notFound(err, unknownLink())
	}
	now := c.now()
	v.Status = v.Consent.Status(now)
	switch {
	case v.Status == consent.Revoked:
		v.State = LinkEnded
	case v.Consent.Cycle != v.link.Cycle:
		v.State = LinkRenewed
	case !now.Before(v.link.ExpiresAt):
		v.State = LinkExpired
	default:
		v.State = LinkReady
	}
	return v, nil
}

// PressReconnectLink begins an attempt for whoever pressed the button. A press
// burns nothing: a machine's press makes an attempt that nobody returns from,
// and the person's press makes the next.
func (c *Connector) PressReconnectLink(ctx context.Context, token string) (LinkView, Started, error) {
	v, err := c.OpenReconnectLink(ctx, token)
	if err != nil || v.State != LinkReady {
		return v, Started{}, err
	}
	req := ReauthRequest{ConsentID: v.Consent.ID, ReturnTo: v.link.ReturnTo, State: v.link.State}
	s, err := c.renewal(ctx, &v.Application, &v.Consent, req, consent.OriginPage)
	if consent.CodeOf(err) != consent.CodeConsentUnrenewable {
		return v, s, err
	}
	s, err = c.relinkFromPage(ctx, &v.Application, &v.Consent, req)
	return v, s, err
}

// relinkFromPage leads a person whose consent cannot be renewed to a first
// link in its place.
func (c *Connector) relinkFromPage(ctx context.Context, app *consent.Application, con *consent.Consent, req ReauthRequest) (Started, error) {
	redirectURI, hosted, err := c.originalRedirectURI(app, con, "")
	if err != nil {
		return Started{}, err
	}
	p, err := c.open(ctx, app, con.Provider)
	if err != nil {
		return Started{}, err
	}
	return c.relink(ctx, app, p, trip{
		origin: consent.OriginPage, con: con,
		userID: con.UserID, provider: con.Provider, providerID: con.ProviderID, scopes: con.Scopes,
		redirectURI: redirectURI, hosted: hosted, returnTo: req.ReturnTo, state: req.State,
	}, false)
}

func unknownLink() *consent.Error {
	return &consent.Error{Code: consent.CodeLinkUnknown, Detail: "This link is not one of ours, or is not complete."}
}

// IsUnknownLink reports whether a link was altered, truncated, or never ours.
func IsUnknownLink(err error) bool {
	e, ok := errors.AsType[*consent.Error](err)
	return ok && e.Code == consent.CodeLinkUnknown
}

// ReconnectProofFor is a value that only the reconnect page holds. It stops
// machines that post to a link without having read the page; one that reads it
// gets through, and burns nothing.
func (c *Connector) ReconnectProofFor(token string) string {
	sum, err := c.keys.Fingerprint(purposePress, []byte(token))
	if err != nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// ReconnectProof reports whether proof is the link's.
func (c *Connector) ReconnectProof(token, proof string) bool {
	want := c.ReconnectProofFor(token)
	return want != "" && equal([]byte(want), []byte(proof))
}

// ReconnectLink makes a link as mails carry it.
func (c *Connector) ReconnectLink(ctx context.Context, app *consent.Application, consentID string) (string, error) {
	r, err := c.NewReconnectLink(ctx, app, consentID, ReconnectRequest{})
	return r.URL, err
}
