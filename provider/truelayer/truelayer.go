package truelayer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/oauth2"

	"github.com/reconsent/reconsent/provider"
)

var (
	_ provider.Provider      = (*Client)(nil)
	_ provider.Refresher     = (*Client)(nil)
	_ provider.Inspector     = (*Client)(nil)
	_ provider.AccountLister = (*Client)(nil)
	_ provider.Revoker       = (*Client)(nil)
	_ provider.Extender      = (*Client)(nil)
	_ provider.InputAsker    = (*Client)(nil)
)

// hosts are TrueLayer's, by environment (providers.md 1.1).
var hosts = map[string]struct{ auth, data string }{
	"live":    {"https://auth.truelayer.com", "https://api.truelayer.com/data/v1"},
	"sandbox": {"https://auth.truelayer-sandbox.com", "https://api.truelayer-sandbox.com/data/v1"},
}

// defaultScopes keep a consent renewable and its accounts recognisable.
var defaultScopes = []string{"info", "accounts", "balance", "cards", "transactions", "offline_access"}

// Client is one application at TrueLayer. It is safe for concurrent use.
type Client struct {
	id, secret string
	auth, data string
	direct     bool
	http       *http.Client
	now        func() time.Time
	log        *slog.Logger
}

// Open is a provider.Opener.
func Open(cfg provider.Config, deps provider.Deps) (provider.Provider, error) {
	var faults []error
	if cfg.ClientID == "" {
		faults = append(faults, errors.New("client_id is missing"))
	}
	if cfg.ClientSecret == "" {
		faults = append(faults, errors.New("client_secret is missing"))
	}
	env := cfg.Environment
	if env == "" {
		env = "live"
	}
	host, known := hosts[env]
	if !known {
		faults = append(faults, fmt.Errorf("environment %q is neither live nor sandbox", env))
	}
	if cfg.AuthURL != "" {
		host.auth = strings.TrimSuffix(cfg.AuthURL, "/")
		host.data = host.auth + "/data/v1"
	}
	if cfg.DataURL != "" {
		host.data = strings.TrimSuffix(cfg.DataURL, "/")
	}
	for name, raw := range map[string]string{"auth_url": host.auth, "data_url": host.data} {
		if u, err := url.Parse(raw); known && (err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http")) {
			faults = append(faults, fmt.Errorf("%s is no absolute http or https address", name))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	hc := *deps.HTTP
	hc.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{
		id: cfg.ClientID, secret: cfg.ClientSecret, auth: host.auth, data: host.data, direct: cfg.DirectLinks,
		http: &hc, now: deps.Now, log: deps.Log,
	}, nil
}

// linkAnswer is what authuri and reauthuri return (providers.md 1.3, 1.4).
type linkAnswer struct {
	Result  string `json:"result"`
	Success *bool  `json:"success"`
}

// AuthURL returns TrueLayer's dialog with the bank preselected, or a direct
// bank link where the application may use those.
func (c *Client) AuthURL(ctx context.Context, req provider.LinkRequest) (string, error) {
	scopes := req.Scopes
	if len(scopes) == 0 {
		scopes = defaultScopes
	}
	if c.direct && req.ProviderID != "" && !req.Dialog && len(c.Inputs(req.ProviderID)) == 0 && utf8.ValidString(req.State) {
		body := map[string]string{
			"response_type": "code", "client_id": c.id, "client_secret": c.secret, "redirect_uri": req.RedirectURI,
			"scope": strings.Join(scopes, " "), "provider_id": req.ProviderID,
		}
		return c.link(ctx, opAuthURI, "/v1/authuri", body, req.State, req.CodeChallenge)
	}
	q := url.Values{
		"response_type": {"code"}, "client_id": {c.id}, "redirect_uri": {req.RedirectURI}, "scope": {strings.Join(scopes, " ")},
		"nonce": {oauth2.GenerateVerifier()},
	}
	if req.State != "" {
		q.Set("state", req.State)
	}
	if req.ProviderID != "" {
		q.Set("provider_id", req.ProviderID)
		q.Set("providers", req.ProviderID)
	}
	if req.CodeChallenge != "" {
		q.Set("code_challenge", req.CodeChallenge)
		q.Set("code_challenge_method", "S256")
	}
	// Spaces as %20: the plus sign is a form's, and not every reader of a link takes it.
	return c.auth + "/?" + strings.ReplaceAll(q.Encode(), "+", "%20"), nil
}

// ReauthURL returns a direct link to the bank. TrueLayer offers none for banks
// that need extra inputs.
func (c *Client) ReauthURL(ctx context.Context, req provider.ReauthRequest) (string, error) {
	if len(c.Inputs(req.ProviderID)) > 0 {
		return "", &provider.Error{Kind: provider.Unsupported, Op: opReauthURI, Code: "auth_inputs"}
	}
	if !utf8.ValidString(req.State) {
		return "", &provider.Error{Kind: provider.Unsupported, Op: opReauthURI, Code: "state_not_utf8"}
	}
	body := map[string]string{"response_type": "code", "refresh_token": req.RefreshToken, "redirect_uri": req.RedirectURI}
	return c.link(ctx, opReauthURI, "/v1/reauthuri", body, req.State, req.CodeChallenge)
}

func (c *Client) link(ctx context.Context, op, path string, body map[string]string, state, challenge string) (string, error) {
	if state != "" {
		body["state"] = state
	}
	if challenge != "" {
		body["code_challenge"], body["code_challenge_method"] = challenge, "S256"
	}
	var out linkAnswer
	if err := c.call(ctx, op, http.MethodPost, c.auth+path, "", body, &out); err != nil {
		return "", err
	}
	u, err := url.Parse(out.Result)
	if (out.Success != nil && !*out.Success) || err != nil || u.Host == "" {
		return "", unreadable(op, http.StatusOK)
	}
	return out.Result, nil
}

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
		Endpoint: oauth2.Endpoint{TokenURL: c.auth + "/connect/token", AuthStyle: oauth2.AuthStyleInParams},
	}
}

// token runs a token call and reads its answer by our clock, not the library's.
func (c *Client) token(ctx context.Context, op string, ask func(context.Context) (*oauth2.Token, error)) (provider.Grant, error) {
	t, err := ask(context.WithValue(ctx, oauth2.HTTPClient, c.bounded()))
	if err != nil {
		return provider.Grant{}, c.tokenError(ctx, op, err)
	}
	g := provider.Grant{AccessToken: t.AccessToken, RefreshToken: t.RefreshToken, AccessExpiresAt: c.now().Add(lifetime(t))}
	if scope, ok := t.Extra("scope").(string); ok {
		g.Scopes = strings.Fields(scope)
	}
	return g, nil
}

// defaultLifetime is an access token's (providers.md 1.6), for answers that do
// not say.
const defaultLifetime = time.Hour

func lifetime(t *oauth2.Token) time.Duration {
	if t.ExpiresIn > 0 {
		return time.Duration(t.ExpiresIn) * time.Second
	}
	return defaultLifetime
}

// meAnswer is /me (providers.md 1.8). Older answers have no consent fields.
type meAnswer struct {
	Results []struct {
		CredentialsID    string    `json:"credentials_id"`
		ConsentUpdatedAt time.Time `json:"consent_status_updated_at"`
		ConsentCreatedAt time.Time `json:"consent_created_at"`
		ConsentExpiresAt time.Time `json:"consent_expires_at"`
		Provider         struct {
			DisplayName string `json:"display_name"`
			ProviderID  string `json:"provider_id"`
		} `json:"provider"`
		Scopes []string `json:"scopes"`
	} `json:"results"`
}

// Inspect reads /me.
func (c *Client) Inspect(ctx context.Context, accessToken string) (provider.Inspection, error) {
	var out meAnswer
	if err := c.call(ctx, opInspect, http.MethodGet, c.data+"/me", accessToken, nil, &out); err != nil {
		return provider.Inspection{}, err
	}
	if len(out.Results) == 0 || out.Results[0].CredentialsID == "" {
		return provider.Inspection{}, unreadable(opInspect, http.StatusOK)
	}
	r := out.Results[0]
	ins := provider.Inspection{
		CredentialsID: r.CredentialsID, ProviderID: r.Provider.ProviderID, ProviderName: r.Provider.DisplayName,
		ConsentedAt: r.ConsentUpdatedAt, ExpiresAt: r.ConsentExpiresAt, Scopes: r.Scopes,
	}
	if ins.ConsentedAt.IsZero() {
		ins.ConsentedAt = r.ConsentCreatedAt
	}
	return ins, nil
}

type accountsAnswer struct {
	Results []struct {
		AccountID     string `json:"account_id"`
		DisplayName   string `json:"display_name"`
		Currency      string `json:"currency"`
		AccountNumber struct {
			IBAN     string `json:"iban"`
			Number   string `json:"number"`
			SortCode string `json:"sort_code"`
		} `json:"account_number"`
	} `json:"results"`
}

// Accounts reads /accounts. Account ids may change on renewal at some banks,
// so accounts are recognised by what the bank itself calls them.
func (c *Client) Accounts(ctx context.Context, accessToken string) ([]provider.Account, error) {
	var out accountsAnswer
	if err := c.call(ctx, opAccounts, http.MethodGet, c.data+"/accounts", accessToken, nil, &out); err != nil {
		return nil, err
	}
	accounts := make([]provider.Account, 0, len(out.Results))
	for _, r := range out.Results {
		a := provider.Account{ID: r.AccountID, Name: r.DisplayName, Currency: r.Currency}
		if n := r.AccountNumber; n.IBAN != "" {
			a.Identifiers = append(a.Identifiers, strings.ReplaceAll(n.IBAN, " ", ""))
		} else if n.Number != "" {
			a.Identifiers = append(a.Identifiers, n.SortCode+"/"+n.Number)
		}
		accounts = append(accounts, a)
	}
	return accounts, nil
}

// Revoke deletes the connection. TrueLayer answers 401 for one that is gone.
func (c *Client) Revoke(ctx context.Context, accessToken string) error {
	err := c.call(ctx, opRevoke, http.MethodDelete, c.auth+"/api/delete", accessToken, nil, nil)
	if e, ok := errors.AsType[*provider.Error](err); ok && e.Status == http.StatusUnauthorized {
		return nil
	}
	return err
}

type extendBody struct {
	Reconfirmed  bool       `json:"user_has_reconfirmed_consent"`
	ClientID     string     `json:"client_id"`
	ClientSecret string     `json:"client_secret"`
	RefreshToken string     `json:"refresh_token"`
	RedirectURI  string     `json:"redirect_uri,omitempty"`
	State        string     `json:"state,omitempty"`
	User         extendUser `json:"user"`
}

type extendUser struct {
	ID    string `json:"id,omitempty"`
	Name  string `json:"name,omitempty"`
	Email string `json:"email,omitempty"`
}

// extendAnswer: the field has two names in TrueLayer's pages (providers.md 1.5).
type extendAnswer struct {
	ActionNeeded  string `json:"action_needed"`
	ActionType    string `json:"action_type"`
	UserInputLink string `json:"user_input_link"`
	AccessToken   string `json:"access_token"`
	RefreshToken  string `json:"refresh_token"`
	ExpiresIn     int64  `json:"expires_in"`
}

// Extend reconfirms a consent (UK, 90 days).
func (c *Client) Extend(ctx context.Context, req provider.ExtendRequest) (provider.Extension, error) {
	body := extendBody{
		Reconfirmed: true, ClientID: c.id, ClientSecret: c.secret, RefreshToken: req.RefreshToken,
		RedirectURI: req.RedirectURI, State: req.State, User: extendUser(req.User),
	}
	var out extendAnswer
	if err := c.call(ctx, opExtend, http.MethodPost, c.data+"/connections/extend", "", body, &out); err != nil {
		return provider.Extension{}, err
	}
	action := out.ActionNeeded
	if action == "" {
		action = out.ActionType
	}
	switch {
	case action == "no_action_needed" && out.AccessToken != "":
		life := defaultLifetime
		if out.ExpiresIn > 0 {
			life = time.Duration(out.ExpiresIn) * time.Second
		}
		return provider.Extension{Grant: provider.Grant{
			AccessToken: out.AccessToken, RefreshToken: out.RefreshToken, AccessExpiresAt: c.now().Add(life),
		}}, nil
	case action == "authentication_needed" && out.UserInputLink != "":
		return provider.Extension{URL: out.UserInputLink}, nil
	case action == "reconfirmation_of_consent_needed":
		return provider.Extension{}, &provider.Error{Kind: provider.Unsupported, Op: opExtend, Status: http.StatusOK, Code: action}
	default:
		return provider.Extension{}, unreadable(opExtend, http.StatusOK)
	}
}
