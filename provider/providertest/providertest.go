package providertest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/provider"
)

// Bank is an adapter, and the bank behind it. What is optional is nil where the
// bank cannot be made to do it.
type Bank struct {
	Provider    provider.Provider
	ProviderID  string   // a bank that can be linked and renewed
	RedirectURI string   // allowed at the provider; the odder it is written, the better
	Secrets     []string // what the adapter was opened with and must not print
	// Visit signs a person in at the bank and returns where the browser is sent
	// back to. Two names are two bank logins.
	Visit func(t *testing.T, link, person string) *url.URL
	// Refuse follows a link, says no, and returns the same. Optional.
	Refuse func(t *testing.T, link string) *url.URL
	// Rotate makes the next refresh hand out a new refresh token and end the
	// one before; Omit makes it hand out none. Optional.
	Rotate, Omit func(t *testing.T)
	// Webhook makes a request as the provider sends it; see RunWebhooks. An
	// adapter that is a WebhookReceiver must have it.
	Webhook func(t *testing.T, w provider.Webhook) provider.WebhookRequest
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
		{"the browser comes back to the redirect URI byte for byte", redirects},
		{"a person who says no brings no code", denial},
		{"a code is good for one exchange", singleUse},
		{"of many who redeem a code at once one gets a grant", manyRedeem},
		{"a code needs its verifier", verifier},
		{"a code needs its redirect URI", codeElsewhere},
		{"a code that is none", noCode},
		{"a renewal is of the same identity and accounts", renewal},
		{"a renewal that is only begun changes nothing", renewalBegun},
		{"another login has another identity", otherLogin},
		{"a renewal of an unknown token", unknownToken},
		{"a renewal with another redirect URI", otherRedirect},
		{"a refresh keeps the identity", refresh},
		{"a refresh token that is rotated", rotation},
		{"a refresh token that is omitted", omission},
		{"a refresh of an unknown token", refreshUnknown},
		{"an access token that is not the newest", superseded},
		{"an access token that is none", noAccess},
		{"a grant that is given back is gone", revoke},
		{"an extension", extend},
		{"inputs are asked for by few banks", inputs},
		{"a webhook is the provider's own", webhooks},
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
	back := b.Visit(t, uri, person).Query()
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
	closed(t, e, secrets...)
}

// closed asserts what holds for every error, whatever its kind.
func closed(t *testing.T, e *provider.Error, secrets ...string) {
	t.Helper()
	assert.GreaterOrEqual(t, e.Kind, provider.Temporary)
	assert.LessOrEqual(t, e.Kind, provider.Unverified)
	assert.NotEmpty(t, e.Op)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("refused", "error", e, "cause", e.Err)
	for _, s := range secrets {
		for _, text := range []string{e.Error(), fmt.Sprintf("%v %+v %#v %+v", e, *e, e, e.Err), log.String()} {
			assert.NotContains(t, text, s)
		}
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

// redirects: what comes back stands behind the address, which nobody touched.
func redirects(t *testing.T, b Bank) {
	ask := provider.LinkRequest{ProviderID: b.ProviderID, RedirectURI: b.RedirectURI, State: plain}
	uri, err := b.Provider.AuthURL(t.Context(), ask)
	require.NoError(t, err)
	again, err := b.Provider.AuthURL(t.Context(), ask)
	require.NoError(t, err)
	assert.NotEqual(t, uri, again, "a link is for one trip")
	back := b.Visit(t, uri, ada)
	assert.True(t, strings.HasPrefix(back.String(), b.RedirectURI), "%s is not at %s", back, b.RedirectURI)
	g := b.grant(t, provider.ExchangeRequest{Code: back.Query().Get("code"), RedirectURI: b.RedirectURI})
	uri, err = b.Provider.ReauthURL(t.Context(), provider.ReauthRequest{ProviderID: b.ProviderID, RefreshToken: g.RefreshToken, RedirectURI: b.RedirectURI})
	require.NoError(t, err)
	back = b.Visit(t, uri, ada)
	assert.True(t, strings.HasPrefix(back.String(), b.RedirectURI), "%s is not at %s", back, b.RedirectURI)
	assert.False(t, back.Query().Has("state"), "where none was sent, none comes back")
}

func denial(t *testing.T, b Bank) {
	if b.Refuse == nil {
		t.Log("nobody says no at this bank")
		return
	}
	g := b.linked(t)
	first, err := b.Provider.AuthURL(t.Context(), provider.LinkRequest{ProviderID: b.ProviderID, RedirectURI: b.RedirectURI, State: plain})
	require.NoError(t, err)
	renewal, err := b.Provider.ReauthURL(t.Context(), provider.ReauthRequest{ProviderID: b.ProviderID, RefreshToken: g.RefreshToken, RedirectURI: b.RedirectURI, State: plain})
	require.NoError(t, err)
	for _, link := range []string{first, renewal} {
		back := b.Refuse(t, link)
		assert.True(t, strings.HasPrefix(back.String(), b.RedirectURI), "%s", back)
		assert.Equal(t, plain, back.Query().Get("state"))
		assert.NotEmpty(t, back.Query().Get("error"))
		assert.Empty(t, back.Query().Get("code"))
	}
	b.inspect(t, g) // which is as it was
}

func singleUse(t *testing.T, b Bank) {
	req, _ := b.link(t, plain)
	b.grant(t, req)
	_, err := b.Provider.Exchange(t.Context(), req)
	refused(t, err, provider.ReauthRequired, req.Code)
}

func manyRedeem(t *testing.T, b Bank) {
	req, _ := b.link(t, plain)
	var group sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		group.Go(func() { _, errs[i] = b.Provider.Exchange(t.Context(), req) })
	}
	group.Wait()
	granted := 0
	for _, err := range errs {
		if err == nil {
			granted++
			continue
		}
		refused(t, err, provider.ReauthRequired, req.Code, req.Verifier)
	}
	assert.Equal(t, 1, granted)
}

func verifier(t *testing.T, b Bank) {
	req, _ := b.link(t, plain)
	req.Verifier = "another-verifier-of-at-least-forty-three-characters"
	_, err := b.Provider.Exchange(t.Context(), req)
	refused(t, err, provider.ReauthRequired, req.Code, req.Verifier)
}

func codeElsewhere(t *testing.T, b Bank) {
	req, _ := b.link(t, plain)
	req.RedirectURI += "&elsewhere=1"
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

// renewalBegun: a link is asked for, and followed; what was there goes on.
func renewalBegun(t *testing.T, b Bank) {
	g := b.linked(t)
	for range 2 {
		_, err := b.Provider.ReauthURL(t.Context(), provider.ReauthRequest{ProviderID: b.ProviderID, RefreshToken: g.RefreshToken, RedirectURI: b.RedirectURI})
		require.NoError(t, err)
	}
	b.inspect(t, g)
	b.renew(t, g.RefreshToken, ada, plain) // and its code is never redeemed
	if p, ok := able[provider.Refresher](t, b); ok {
		_, err := p.Refresh(t.Context(), g.RefreshToken)
		require.NoError(t, err)
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
	b.inspect(t, g)
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

func rotation(t *testing.T, b Bank) {
	p, ok := able[provider.Refresher](t, b)
	if !ok || b.Rotate == nil {
		return
	}
	g := b.linked(t)
	before := b.inspect(t, g)
	b.Rotate(t)
	fresh, err := p.Refresh(t.Context(), g.RefreshToken)
	require.NoError(t, err)
	require.NotEmpty(t, fresh.RefreshToken, "a new one has to be handed on: the old one is dead")
	assert.NotEqual(t, g.RefreshToken, fresh.RefreshToken)
	assert.Equal(t, before.CredentialsID, b.inspect(t, fresh).CredentialsID)
	_, err = p.Refresh(t.Context(), g.RefreshToken)
	refused(t, err, provider.ReauthRequired, g.RefreshToken, fresh.RefreshToken)
	_, err = p.Refresh(t.Context(), fresh.RefreshToken)
	require.NoError(t, err)
}

func omission(t *testing.T, b Bank) {
	p, ok := able[provider.Refresher](t, b)
	if !ok || b.Omit == nil {
		return
	}
	g := b.linked(t)
	b.Omit(t)
	fresh, err := p.Refresh(t.Context(), g.RefreshToken)
	require.NoError(t, err)
	assert.Empty(t, fresh.RefreshToken, "nothing is invented: the old one stays in force")
	_, err = p.Refresh(t.Context(), g.RefreshToken)
	require.NoError(t, err)
}

// superseded: with some providers the one before goes on, with others it is
// refused; neither is a word on the consent.
func superseded(t *testing.T, b Bank) {
	p, ok := able[provider.Refresher](t, b)
	if !ok {
		return
	}
	in, ok := able[provider.Inspector](t, b)
	if !ok {
		return
	}
	g := b.linked(t)
	fresh, err := p.Refresh(t.Context(), g.RefreshToken)
	require.NoError(t, err)
	if _, err = in.Inspect(t.Context(), g.AccessToken); err != nil {
		refused(t, err, provider.Temporary, g.AccessToken)
	}
	b.inspect(t, fresh)
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
		back := b.Visit(t, ext.URL, ada).Query()
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

// cancelled: who has gone away gets no answer, and no word on the consent; what
// was there goes on.
func cancelled(t *testing.T, b Bank) {
	g := b.linked(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	gone := func(err error) {
		t.Helper()
		refused(t, err, provider.Temporary, g.AccessToken, g.RefreshToken)
	}
	_, err := b.Provider.ReauthURL(ctx, provider.ReauthRequest{ProviderID: b.ProviderID, RefreshToken: g.RefreshToken, RedirectURI: b.RedirectURI})
	gone(err)
	_, err = b.Provider.Exchange(ctx, provider.ExchangeRequest{Code: "code", RedirectURI: b.RedirectURI})
	gone(err)
	// A link that is made without a call needs nobody to wait for it.
	if _, err = b.Provider.AuthURL(ctx, provider.LinkRequest{ProviderID: b.ProviderID, RedirectURI: b.RedirectURI}); err != nil {
		gone(err)
	}
	if p, ok := able[provider.Refresher](t, b); ok {
		_, err = p.Refresh(ctx, g.RefreshToken)
		gone(err)
	}
	if p, ok := able[provider.Inspector](t, b); ok {
		_, err = p.Inspect(ctx, g.AccessToken)
		gone(err)
	}
	if p, ok := able[provider.AccountLister](t, b); ok {
		_, err = p.Accounts(ctx, g.AccessToken)
		gone(err)
	}
	if p, ok := able[provider.Extender](t, b); ok {
		_, err = p.Extend(ctx, provider.ExtendRequest{RefreshToken: g.RefreshToken, RedirectURI: b.RedirectURI, User: provider.Person{ID: "u1"}})
		gone(err)
	}
	if p, ok := able[provider.Revoker](t, b); ok {
		gone(p.Revoke(ctx, g.AccessToken))
	}
	b.inspect(t, g)
}

func redacted(t *testing.T, b Bank) {
	g := b.linked(t)
	var log bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(h).Info("granted", "grant", g, "extension", provider.Extension{Grant: g}, "adapter", b.Provider)
	}
	for _, text := range []string{fmt.Sprintf("%v", g), fmt.Sprintf("%+v", g), fmt.Sprintf("%#v", g), log.String()} {
		assert.NotContains(t, text, g.AccessToken)
		assert.NotContains(t, text, g.RefreshToken)
	}
	for _, secret := range b.Secrets {
		for _, text := range []string{fmt.Sprintf("%v", b.Provider), fmt.Sprintf("%+v", b.Provider), fmt.Sprintf("%#v", b.Provider), log.String()} {
			assert.NotContains(t, text, secret, "the adapter prints its own secret")
		}
	}
}
