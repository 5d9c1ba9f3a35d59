package truelayer

import (
	"context"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/reconsent/reconsent/provider"
)

// Exchange redeems a code, or an exchange_code, at /connect/token.
func (c *Client) Exchange(ctx context.Context, req provider.ExchangeRequest) (provider.Grant, error) {
	var opts []oauth2.AuthCodeOption
	if req.Verifier != "" {
		opts = append(opts, oauth2.VerifierOption(req.Verifier))
	}
	cfg := c.oauth(req.RedirectURI)
	return c.token(ctx, opExchange, func(ctx context.Context) (*oauth2.Token, error) { return cfg.Exchange(ctx, req.Code, opts...) })
}

// Refresh renews an access token at /connect/token.
func (c *Client) Refresh(ctx context.Context, refreshToken string) (provider.Grant, error) {
	cfg := c.oauth("")
	g, err := c.token(ctx, opRefresh, func(ctx context.Context) (*oauth2.Token, error) {
		return cfg.TokenSource(ctx, &oauth2.Token{RefreshToken: refreshToken}).Token()
	})
	if g.RefreshToken == refreshToken {
		g.RefreshToken = "" // the library repeats the old one where the answer has none; TrueLayer's may be the same
	}
	return g, err
}

func (c *Client) oauth(redirectURI string) *oauth2.Config {
	return &oauth2.Config{
		ClientID: c.id, ClientSecret: c.secret, RedirectURL: redirectURI,
		Endpoint: oauth2.Endpoint{TokenURL: c.host.auth + "/connect/token", AuthStyle: oauth2.AuthStyleInParams},
	}
}

// token runs a token call and reads its answer by our clock, not the library's.
func (c *Client) token(ctx context.Context, op string, ask func(context.Context) (*oauth2.Token, error)) (provider.Grant, error) {
	asked := c.now()
	t, err := ask(context.WithValue(ctx, oauth2.HTTPClient, c.http))
	if err != nil {
		return provider.Grant{}, c.tokenError(ctx, op, err)
	}
	g := provider.Grant{AccessToken: t.AccessToken, RefreshToken: t.RefreshToken, AccessExpiresAt: asked.Add(lifetime(t.ExpiresIn))}
	if scope, ok := t.Extra("scope").(string); ok {
		g.Scopes = strings.Fields(scope)
	}
	return g, nil
}

// lifetime is an access token's, by the answer's expires_in. TrueLayer's live
// for an hour (providers.md 1.6), which is taken where an answer does not say.
func lifetime(seconds int64) time.Duration {
	if seconds <= 0 || seconds > int64(longestLifetime/time.Second) {
		return time.Hour
	}
	return time.Duration(seconds) * time.Second
}

// longestLifetime bounds what is believed of expires_in.
const longestLifetime = 90 * 24 * time.Hour
