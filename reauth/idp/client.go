package idp

import (
	"context"
	"net/http"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Config is what a Client needs. HTTP and Now have to be given.
type Config struct {
	// HTTP dials only where it may: never a private address. It need not stop
	// at redirects, or bound an answer; that is done here.
	HTTP *http.Client
	Now  func() time.Time
	// Loopback takes http on this machine, for development.
	Loopback bool
}

// Client asks OpenID providers. It is safe for concurrent use.
type Client struct {
	http      *http.Client
	now       func() time.Time
	loopback  bool
	providers *directory
}

// New returns a Client.
func New(cfg Config) *Client {
	client := guarded(cfg.HTTP)
	return &Client{http: client, now: cfg.Now, loopback: cfg.Loopback, providers: newDirectory(client, cfg.Now, cfg.Loopback)}
}

// Close lets go of connections that nobody uses.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Start makes a trip: an address at the provider where the user has to sign in,
// even if they just did. Its only error is ErrUnavailable. statePrefix is put
// before the state, as it is: what a browser brings back names its application,
// so that the trip is looked for in one only.
//
// The address has no login_hint (OpenID Connect Core 1.0, 3.1.2.1): it stands in
// the browser's history and in logs, and whoever may begin a trip would read the
// user's e-mail address off it. Who signed in is judged by what comes back.
func (c *Client) Start(ctx context.Context, p *Provider, statePrefix string) (Trip, error) {
	if p.Validate(c.loopback) != nil {
		return Trip{}, because(ErrUnavailable, "the provider's settings are not valid")
	}
	m, err := c.providers.of(ctx, p.Issuer)
	if err != nil {
		return Trip{}, err
	}
	t := Trip{State: statePrefix + oauth2.GenerateVerifier(), Nonce: oauth2.GenerateVerifier(), Verifier: oauth2.GenerateVerifier()}
	options := []oauth2.AuthCodeOption{
		oidc.Nonce(t.Nonce),
		oauth2.S256ChallengeOption(t.Verifier),
		oauth2.SetAuthURLParam("prompt", "login"),
		oauth2.SetAuthURLParam("max_age", "0"), // it also makes auth_time a must (OpenID Connect Core 1.0, 2)
	}
	t.URL = oauthConfig(p, m).AuthCodeURL(t.State, options...)
	return t, nil
}

func oauthConfig(p *Provider, m *metadata) *oauth2.Config {
	return &oauth2.Config{
		ClientID: p.ClientID, ClientSecret: p.ClientSecret, Endpoint: m.endpoint, RedirectURL: p.RedirectURI, Scopes: p.scopes(),
	}
}
