package idp

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

const (
	// startLeeway is by how much the provider's clock may be behind ours
	// (reauth-wire section 5).
	startLeeway = 5 * time.Second
	// futureLeeway is by how much it may be ahead.
	futureLeeway = time.Minute
)

// What is taken over of amr and acr, which end up in a proof and in the audit.
const (
	maxAMR      = 16
	maxAMRValue = 64
	maxACR      = 256
)

// idToken is a verified ID token with the claims that go-oidc leaves to us.
type idToken struct {
	subject string
	claims  extraClaims
}

// extraClaims are read one by one: an amr that cannot be read takes nothing
// from auth_time.
type extraClaims struct {
	AuthorizedParty json.RawMessage `json:"azp"`
	AuthTime        json.RawMessage `json:"auth_time"`
	AMR             json.RawMessage `json:"amr"`
	ACR             json.RawMessage `json:"acr"`
}

// verify does what OpenID Connect Core 1.0, 3.1.3.7 and 3.1.3.8, asks for: the
// issuer, the audience, the signature, exp and nbf by go-oidc, the rest here.
func (c *Client) verify(ctx context.Context, p *Provider, m *metadata, token *oauth2.Token, nonce string) (idToken, error) {
	raw, ok := token.Extra("id_token").(string)
	if !ok || raw == "" {
		return idToken{}, because(ErrRefused, "there is no ID token")
	}
	now := c.now()
	keys := &watchedKeys{KeySet: m.keys}
	verifier := oidc.NewVerifier(p.Issuer, keys, &oidc.Config{
		ClientID: p.ClientID, SupportedSigningAlgs: p.algorithms(), Now: func() time.Time { return now },
	})
	t, err := verifier.Verify(ctx, raw)
	if keys.lost != nil {
		return idToken{}, unavailable("keys", keys.lost)
	}
	if err != nil {
		return idToken{}, because(ErrRefused, "the ID token is not for us, not signed as agreed, or expired")
	}
	out := idToken{subject: t.Subject}
	if err := t.Claims(&out.claims); err != nil {
		return idToken{}, because(ErrRefused, "the ID token's claims cannot be read")
	}
	switch azp, ok := text(out.claims.AuthorizedParty); {
	case !t.Expiry.After(now):
		return idToken{}, because(ErrRefused, "the ID token expires now")
	case t.IssuedAt.IsZero() || t.IssuedAt.After(now.Add(futureLeeway)):
		return idToken{}, because(ErrRefused, "iat is missing, or in the future")
	case !same(t.Nonce, nonce):
		return idToken{}, because(ErrRefused, "another nonce")
	case !ok, azp != "" && azp != p.ClientID, azp == "" && len(t.Audience) > 1:
		return idToken{}, because(ErrRefused, "azp is another, or missing where there are several audiences")
	case t.AccessTokenHash != "" && t.VerifyAccessToken(token.AccessToken) != nil:
		return idToken{}, because(ErrRefused, "at_hash is another")
	}
	return out, nil
}

// judge says whether the right user signed in, and late enough.
func judge(id idToken, want Want, now time.Time) (Result, error) {
	if id.subject != want.Subject {
		return Result{}, ErrIdentityMismatch
	}
	at, ok := seconds(id.claims.AuthTime)
	switch {
	case !ok:
		return Result{}, because(ErrNotFresh, "auth_time is missing")
	case at.Before(want.NotBefore.Add(-startLeeway)):
		return Result{}, because(ErrNotFresh, "auth_time lies before the start")
	case at.After(now.Add(futureLeeway)):
		return Result{}, because(ErrNotFresh, "auth_time lies in the future")
	}
	r := Result{Subject: id.subject, AuthTime: at, AMR: methods(id.claims.AMR)}
	if acr, ok := text(id.claims.ACR); ok && len(acr) <= maxACR {
		r.ACR = acr
	}
	return r, nil
}

// text reads a claim that is a string, or not there.
func text(raw json.RawMessage) (s string, ok bool) {
	return s, raw == nil || json.Unmarshal(raw, &s) == nil
}

// latest is a time that no clock will reach, and no conversion overflows.
const latest = 1 << 40

// seconds reads a NumericDate (RFC 7519 2). A fraction is cut off: the earlier
// second is the stricter one.
func seconds(raw json.RawMessage) (time.Time, bool) {
	var n *float64
	if json.Unmarshal(raw, &n) != nil || n == nil || *n < 1 || *n > latest {
		return time.Time{}, false
	}
	return time.Unix(int64(*n), 0).UTC(), true
}

// methods reads amr. One that cannot be read says nothing.
func methods(raw json.RawMessage) []string {
	var list []string
	if json.Unmarshal(raw, &list) != nil || len(list) == 0 || len(list) > maxAMR {
		return nil
	}
	for _, m := range list {
		if m == "" || len(m) > maxAMRValue {
			return nil
		}
	}
	return list
}

// watchedKeys tells keys that could not be fetched from a signature that is
// wrong, which go-oidc makes one text of. It lives for one ID token.
type watchedKeys struct {
	oidc.KeySet
	lost error
}

// VerifySignature implements oidc.KeySet.
func (k *watchedKeys) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	payload, err := k.KeySet.VerifySignature(ctx, jwt)
	_, noAnswer := errors.AsType[*url.Error](err)
	if noAnswer || err != nil && ctx.Err() != nil {
		k.lost = err
	}
	return payload, err
}
