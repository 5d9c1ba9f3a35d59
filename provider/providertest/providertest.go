package providertest

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/provider"
)

// Bank is an adapter, and the bank behind it.
type Bank struct {
	Provider    provider.Provider
	ProviderID  string // a bank that can be linked and renewed
	RedirectURI string // allowed at the provider
	// Visit signs a person in at the bank and returns what the browser brings
	// back. Two names are two bank logins.
	Visit func(t *testing.T, link, person string) url.Values
}

// Run holds an adapter to the contract.
func Run(t *testing.T, open func(t *testing.T) Bank) {
	t.Helper()
	for _, tt := range []struct {
		name string
		run  func(t *testing.T, b Bank)
	}{
		{"a first link leads to a grant with an identity", firstLink},
		{"state comes back byte for byte", states},
		{"a code is good for one exchange", singleUse},
		{"a code needs its verifier", verifier},
		{"a code that is none", noCode},
		{"a renewal is of the same identity and accounts", renewal},
		{"another login has another identity", otherLogin},
		{"a renewal of an unknown token", unknownToken},
		{"a renewal with another redirect URI", otherRedirect},
		{"a refresh keeps the identity", refresh},
		{"a refresh of an unknown token", refreshUnknown},
		{"an access token that is none", noAccess},
		{"a grant that is given back is gone", revoke},
		{"an extension", extend},
		{"inputs are asked for by few banks", inputs},
		{"a caller who has gone away", cancelled},
		{"a grant prints as a placeholder", redacted},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, open(t)) })
	}
}

const (
	ada   = "ada"
	grace = "grace"
	plain = "state-1"
)

// pkceVerifier is a PKCE verifier, and challenge what a link carries of it.
const pkceVerifier = "a-verifier-of-at-least-forty-three-characters-long"

func challenge() string {
	sum := sha256.Sum256([]byte(pkceVerifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func (b Bank) link(t *testing.T, state string) (provider.ExchangeRequest, url.Values) {
	t.Helper()
	uri, err := b.Provider.AuthURL(t.Context(), provider.LinkRequest{
		ProviderID: b.ProviderID, RedirectURI: b.RedirectURI, State: state, CodeChallenge: challenge(),
	})
	require.NoError(t, err)
	return b.comeBack(t, uri, ada)
}

func (b Bank) renew(t *testing.T, token, person, state string) (provider.ExchangeRequest, url.Values) {
	t.Helper()
	uri, err := b.Provider.ReauthURL(t.Context(), provider.ReauthRequest{
		ProviderID: b.ProviderID, RefreshToken: token, RedirectURI: b.RedirectURI, State: state, CodeChallenge: challenge(),
	})
	require.NoError(t, err)
	return b.comeBack(t, uri, person)
}

func (b Bank) comeBack(t *testing.T, uri, person string) (provider.ExchangeRequest, url.Values) {
	t.Helper()
	back := b.Visit(t, uri, person)
	require.NotEmpty(t, back.Get("code"), "%v", back)
	return provider.ExchangeRequest{Code: back.Get("code"), RedirectURI: b.RedirectURI, Verifier: pkceVerifier}, back
}

func (b Bank) grant(t *testing.T, req provider.ExchangeRequest) provider.Grant {
	t.Helper()
	g, err := b.Provider.Exchange(t.Context(), req)
	require.NoError(t, err)
	require.NotEmpty(t, g.AccessToken)
	require.False(t, g.AccessExpiresAt.IsZero())
	return g
}

// linked is a grant of ada's first link.
func (b Bank) linked(t *testing.T) provider.Grant {
	t.Helper()
	req, _ := b.link(t, plain)
	g := b.grant(t, req)
	require.NotEmpty(t, g.RefreshToken, "without one nothing can be renewed")
	return g
}

// able returns an optional ability. An adapter that lacks it has nothing to be
// held to, and says so.
func able[T any](t *testing.T, b Bank) (T, bool) {
	t.Helper()
	p, ok := b.Provider.(T)
	if !ok {
		t.Logf("the adapter is no %T", *new(T))
	}
	return p, ok
}

func (b Bank) inspect(t *testing.T, g provider.Grant) provider.Inspection {
	t.Helper()
	p, ok := able[provider.Inspector](t, b)
	if !ok {
		return provider.Inspection{}
	}
	ins, err := p.Inspect(t.Context(), g.AccessToken)
	require.NoError(t, err)
	require.NotEmpty(t, ins.CredentialsID, "whose grant is it?")
	return ins
}

// refused asserts that an error is of the closed set and of a kind, and quotes
// none of the secrets.
func refused(t *testing.T, err error, want provider.Kind, secrets ...string) {
	t.Helper()
	require.Error(t, err)
	e, ok := errors.AsType[*provider.Error](err)
	require.True(t, ok, "%T is not of the closed set: %v", err, err)
	assert.Equal(t, want.String(), e.Kind.String(), "%v", err)
	assert.NotEmpty(t, e.Op)
	for _, s := range secrets {
		assert.NotContains(t, err.Error(), s)
	}
}

func firstLink(t *testing.T, b Bank) {
	g := b.linked(t)
	ins := b.inspect(t, g)
	if !ins.ExpiresAt.IsZero() {
		assert.True(t, ins.ExpiresAt.After(ins.ConsentedAt))
	}
}

func states(t *testing.T, b Bank) {
	for _, state := range []string{plain, "é &=+%2F/?#\"<>", "a b\u2028🏦", `\u0000\\"`} {
		_, back := b.link(t, state)
		assert.Equal(t, state, back.Get("state"))
	}
	g := b.linked(t)
	const odd = "é &=+%2F🏦"
	_, back := b.renew(t, g.RefreshToken, ada, odd)
	assert.Equal(t, odd, back.Get("state"))
}

func singleUse(t *testing.T, b Bank) {
	req, _ := b.link(t, plain)
	b.grant(t, req)
	_, err := b.Provider.Exchange(t.Context(), req)
	refused(t, err, provider.ReauthRequired, req.Code)
}

func verifier(t *testing.T, b Bank) {
	req, _ := b.link(t, plain)
	req.Verifier = "another-verifier-of-at-least-forty-three-characters"
	_, err := b.Provider.Exchange(t.Context(), req)
	refused(t, err, provider.ReauthRequired, req.Code, req.Verifier)
}

func noCode(t *testing.T, b Bank) {
	_, err := b.Provider.Exchange(t.Context(), provider.ExchangeRequest{Code: "no-such-code", RedirectURI: b.RedirectURI})
	refused(t, err, provider.ReauthRequired, "no-such-code")
}

func (b Bank) accounts(t *testing.T, g provider.Grant) []provider.Account {
	t.Helper()
	p, ok := able[provider.AccountLister](t, b)
	if !ok {
		return nil
	}
	list, err := p.Accounts(t.Context(), g.AccessToken)
	require.NoError(t, err)
	require.NotEmpty(t, list)
	for _, a := range list {
		assert.NotEmpty(t, a.ID)
	}
	return list
}

func renewal(t *testing.T, b Bank) {
	first := b.linked(t)
	before, accounts := b.inspect(t, first), b.accounts(t, first)
	req, _ := b.renew(t, first.RefreshToken, ada, plain)
	second := b.grant(t, req)
	after := b.inspect(t, second)
	assert.Equal(t, before.CredentialsID, after.CredentialsID)
	assert.False(t, after.ExpiresAt.Before(before.ExpiresAt))
	again := b.accounts(t, second)
	require.Len(t, again, len(accounts))
	for i := range accounts {
		assert.Equal(t, accounts[i].Identifiers, again[i].Identifiers)
	}
}

func otherLogin(t *testing.T, b Bank) {
	g := b.linked(t)
	req, _ := b.renew(t, g.RefreshToken, grace, plain)
	assert.NotEqual(t, b.inspect(t, g).CredentialsID, b.inspect(t, b.grant(t, req)).CredentialsID)
}

func unknownToken(t *testing.T, b Bank) {
	_, err := b.Provider.ReauthURL(t.Context(), provider.ReauthRequest{ProviderID: b.ProviderID, RefreshToken: "no-such-token", RedirectURI: b.RedirectURI})
	refused(t, err, provider.Unrenewable, "no-such-token")
}

func otherRedirect(t *testing.T, b Bank) {
	g := b.linked(t)
	_, err := b.Provider.ReauthURL(t.Context(), provider.ReauthRequest{ProviderID: b.ProviderID, RefreshToken: g.RefreshToken, RedirectURI: b.RedirectURI + "/other"})
	refused(t, err, provider.KindOf(err), g.RefreshToken)
	assert.NotEqual(t, provider.Revoked, provider.KindOf(err), "nothing was said of the consent")
}

func refresh(t *testing.T, b Bank) {
	p, ok := able[provider.Refresher](t, b)
	if !ok {
		return
	}
	g := b.linked(t)
	before := b.inspect(t, g)
	fresh, err := p.Refresh(t.Context(), g.RefreshToken)
	require.NoError(t, err)
	assert.NotEqual(t, g.AccessToken, fresh.AccessToken)
	assert.NotEqual(t, g.RefreshToken, fresh.RefreshToken, "the same one is none: the old one stays in force")
	assert.Equal(t, before.CredentialsID, b.inspect(t, fresh).CredentialsID)
}

func refreshUnknown(t *testing.T, b Bank) {
	if p, ok := able[provider.Refresher](t, b); ok {
		_, err := p.Refresh(t.Context(), "no-such-token")
		refused(t, err, provider.ReauthRequired, "no-such-token")
	}
}

// noAccess: a data call's refusal of an access token says nothing of the
// consent: a newer token may be around.
func noAccess(t *testing.T, b Bank) {
	if p, ok := able[provider.Inspector](t, b); ok {
		_, err := p.Inspect(t.Context(), "no-such-token")
		refused(t, err, provider.Temporary, "no-such-token")
	}
	if p, ok := able[provider.AccountLister](t, b); ok {
		_, err := p.Accounts(t.Context(), "no-such-token")
		refused(t, err, provider.Temporary, "no-such-token")
	}
}

func revoke(t *testing.T, b Bank) {
	p, ok := able[provider.Revoker](t, b)
	if !ok {
		return
	}
	g := b.linked(t)
	require.NoError(t, p.Revoke(t.Context(), g.AccessToken))
	require.NoError(t, p.Revoke(t.Context(), g.AccessToken), "what is gone is given back")
	if r, ok := able[provider.Refresher](t, b); ok {
		_, err := r.Refresh(t.Context(), g.RefreshToken)
		refused(t, err, provider.ReauthRequired, g.RefreshToken)
	}
	_, err := b.Provider.ReauthURL(t.Context(), provider.ReauthRequest{ProviderID: b.ProviderID, RefreshToken: g.RefreshToken, RedirectURI: b.RedirectURI})
	refused(t, err, provider.Unrenewable, g.RefreshToken)
}

func extend(t *testing.T, b Bank) {
	p, ok := able[provider.Extender](t, b)
	if !ok {
		return
	}
	g := b.linked(t)
	before := b.inspect(t, g)
	ext, err := p.Extend(t.Context(), provider.ExtendRequest{
		RefreshToken: g.RefreshToken, RedirectURI: b.RedirectURI, State: plain, User: provider.Person{ID: "u1", Name: "Ada Lovelace", Email: "ada@example.org"},
	})
	require.NoError(t, err)
	next := ext.Grant
	if ext.NeedsBank() {
		back := b.Visit(t, ext.URL, ada)
		assert.Equal(t, plain, back.Get("state"))
		code := back.Get("exchange_code")
		if code == "" {
			code = back.Get("code")
		}
		next = b.grant(t, provider.ExchangeRequest{Code: code, RedirectURI: b.RedirectURI})
	}
	assert.Equal(t, before.CredentialsID, b.inspect(t, next).CredentialsID)
	_, err = p.Extend(t.Context(), provider.ExtendRequest{RefreshToken: "no-such-token", RedirectURI: b.RedirectURI, User: provider.Person{ID: "u1", Name: "A", Email: "a@example.org"}})
	refused(t, err, provider.ReauthRequired, "no-such-token")
}

func inputs(t *testing.T, b Bank) {
	p, ok := able[provider.InputAsker](t, b)
	if !ok {
		return
	}
	assert.Empty(t, p.Inputs(""), "of a bank that is not named nothing is known")
	for _, in := range p.Inputs(b.ProviderID) {
		assert.NotEmpty(t, in.Name)
		assert.NotEmpty(t, in.Label)
		assert.NotEmpty(t, in.Source, "a fact has its source")
	}
}

func cancelled(t *testing.T, b Bank) {
	g := b.linked(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := b.Provider.ReauthURL(ctx, provider.ReauthRequest{ProviderID: b.ProviderID, RefreshToken: g.RefreshToken, RedirectURI: b.RedirectURI})
	refused(t, err, provider.Temporary, g.RefreshToken)
	_, err = b.Provider.Exchange(ctx, provider.ExchangeRequest{Code: "code", RedirectURI: b.RedirectURI})
	refused(t, err, provider.Temporary)
	if p, ok := able[provider.Refresher](t, b); ok {
		_, err = p.Refresh(ctx, g.RefreshToken)
		refused(t, err, provider.Temporary, g.RefreshToken)
	}
	if p, ok := able[provider.Inspector](t, b); ok {
		_, err = p.Inspect(ctx, g.AccessToken)
		refused(t, err, provider.Temporary, g.AccessToken)
	}
}

func redacted(t *testing.T, b Bank) {
	g := b.linked(t)
	for _, text := range []string{fmt.Sprintf("%v", g), fmt.Sprintf("%+v", g), fmt.Sprintf("%#v", g), g.LogValue().String()} {
		assert.NotContains(t, text, g.AccessToken)
		assert.NotContains(t, text, g.RefreshToken)
	}
}
