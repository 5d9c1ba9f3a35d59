package provider

import (
	"context"
	"log/slog"
	"net/http"
	"time"
)

// Provider sends people to their bank and exchanges what they bring back.
// Every method returns *Error on failure.
type Provider interface {
	// AuthURL returns the link of a first authorization.
	AuthURL(ctx context.Context, req LinkRequest) (string, error)

	// ReauthURL returns a direct link to the bank that renews an existing
	// consent. Unrenewable means that only a first link helps; Unsupported
	// that this provider cannot renew this bank at all.
	ReauthURL(ctx context.Context, req ReauthRequest) (string, error)

	// Exchange turns the code of one trip to the bank into tokens. A code is
	// single use: ReauthRequired means that it was refused, and that the
	// person has to make the trip again.
	Exchange(ctx context.Context, req ExchangeRequest) (Grant, error)
}

// Refresher renews an access token without the person. ReauthRequired is the
// provider's refusal; one refusal alone does not prove that a consent is over.
type Refresher interface {
	Refresh(ctx context.Context, refreshToken string) (Grant, error)
}

// Inspector asks the provider what it says of a consent now. Revoked is its
// definite word that access has ended.
type Inspector interface {
	Inspect(ctx context.Context, accessToken string) (Inspection, error)
}

// AccountLister lists the accounts that a grant shows.
type AccountLister interface {
	Accounts(ctx context.Context, accessToken string) ([]Account, error)
}

// Revoker gives a grant back. A grant that is gone already counts as given
// back: Revoke returns nil then.
type Revoker interface {
	Revoke(ctx context.Context, accessToken string) error
}

// Extender reconfirms a consent without a visit to the bank (UK, 90 days).
// It may be called only on the recorded act of the person it names.
type Extender interface {
	Extend(ctx context.Context, req ExtendRequest) (Extension, error)
}

// InputAsker knows the banks that need more from the person than a login
// before a link can be made, for instance an IBAN or a branch.
type InputAsker interface {
	// Inputs lists what the bank needs; none for most banks.
	Inputs(providerID string) []Input
}

// WebhookReceiver reads what the provider sends by webhook.
type WebhookReceiver interface {
	// ReceiveWebhook verifies a raw request as the provider prescribes, its age
	// too where that is part of it. Unverified means that it is not the
	// provider's, or no longer fresh; Unsupported that it is, but cannot be read;
	// Temporary that it cannot be told now, for instance because a key is to be
	// fetched.
	ReceiveWebhook(ctx context.Context, req WebhookRequest) (Webhook, error)
}

// WebhookRequest is a request as it came in.
type WebhookRequest struct {
	Method string
	Path   string // escaped, as it was sent
	Header http.Header
	Body   []byte
}

// Webhook is the provider's verified word. It ends nothing by itself: the
// provider is asked about the consent.
type Webhook struct {
	ID            string // of the event; the same for every time that it is sent
	Kind          WebhookKind
	CredentialsID string
	At            time.Time // when it happened
}

// WebhookKind is what a webhook says of a consent.
type WebhookKind string

// The kinds.
const (
	WebhookExpiring WebhookKind = "expiring" // about to expire
	WebhookEnded    WebhookKind = "ended"
	WebhookRevoked  WebhookKind = "revoked"
	WebhookRenewed  WebhookKind = "renewed"
	WebhookOther    WebhookKind = "other" // nothing that concerns a consent's life
)

// LinkRequest asks for a first link.
type LinkRequest struct {
	ProviderID    string            // bank behind the provider; empty lets the person choose in the provider's dialog
	RedirectURI   string            // sent byte for byte
	State         string            // returned by the provider byte for byte
	Scopes        []string          // empty takes the adapter's default
	CodeChallenge string            // PKCE S256 (RFC 7636); empty for none
	Inputs        map[string]string // see InputAsker
	// Dialog asks for the provider's own dialog even where a direct link
	// could be had: it is the way out for banks whose extra inputs the direct
	// link cannot carry.
	Dialog bool
}

// ReauthRequest asks for a direct link that renews a consent.
type ReauthRequest struct {
	ProviderID    string
	RefreshToken  string
	RedirectURI   string // the one of the original link
	State         string
	CodeChallenge string
	Inputs        map[string]string
}

// ExchangeRequest redeems one code. An exchange_code, which some providers
// return after Extend, is redeemed in the same way.
type ExchangeRequest struct {
	Code        string
	RedirectURI string // the one of the link that led to the code
	Verifier    string // PKCE verifier; empty for none
}

// Grant is what the provider hands out for a code or a refresh token. It
// prints as a placeholder, so that it can not leak through a log or an error.
type Grant struct {
	AccessToken     string
	RefreshToken    string    // empty: the provider sent none, the old one stays in force
	AccessExpiresAt time.Time // by the connector's clock
	Scopes          []string  // empty: the provider did not say
}

// Inspection is the provider's own word on a consent. Zero values mean that
// the provider did not say.
type Inspection struct {
	CredentialsID string
	ProviderID    string
	ProviderName  string
	ConsentedAt   time.Time
	ExpiresAt     time.Time
	Scopes        []string
}

// Account is one account that a grant shows.
type Account struct {
	ID          string // the provider's id; some providers change it on renewal
	Name        string
	Currency    string   // ISO 4217
	Identifiers []string // what the bank itself calls it: IBAN, or "sort-code/number"; stable over renewals
}

// ExtendRequest reconfirms a consent.
type ExtendRequest struct {
	RefreshToken string
	RedirectURI  string
	State        string
	User         Person
}

// Person is the end user as the provider wants to see them named.
type Person struct {
	ID    string
	Name  string
	Email string
}

// Extension is the answer to Extend: either the consent was extended and Grant
// holds the new tokens, or the person still has to visit the bank at URL.
type Extension struct {
	Grant Grant
	URL   string
}

// NeedsBank reports whether the person has to visit the bank.
func (e Extension) NeedsBank() bool { return e.URL != "" }

// Input is one extra field that a bank needs.
type Input struct {
	Name   string `json:"name"`   // key in Inputs, snake_case
	Label  string `json:"label"`  // for a person, English
	Source string `json:"source"` // where this fact was published
}

// Config is what one application holds at one provider. ClientSecret is held
// only in memory; it is sealed at rest.
type Config struct {
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
	// Environment is "live" or "sandbox": the provider's own hosts.
	Environment string `json:"environment,omitempty"`
	// AuthURL and DataURL replace the hosts of the environment, for a
	// simulator.
	AuthURL string `json:"auth_url,omitempty"`
	DataURL string `json:"data_url,omitempty"`
	// Banks are the sets of banks that the provider's own dialog offers where
	// none is preselected, by the provider's names; empty takes the adapter's
	// choice.
	Banks []string `json:"banks,omitempty"`
	// DirectLinks asks for direct bank links on first authorizations; at
	// TrueLayer that needs a licence (providers.md 1.3).
	DirectLinks bool `json:"direct_links,omitempty"`
}

// String implements fmt.Stringer without the secret.
func (c Config) String() string { return "provider client " + c.ClientID }

// GoString implements fmt.GoStringer, for %#v.
func (c Config) GoString() string { return c.String() }

// LogValue implements slog.LogValuer.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Deps are what an adapter is built with.
type Deps struct {
	HTTP *http.Client // its Timeout bounds every call
	Now  func() time.Time
	Log  *slog.Logger
}

// Opener builds a provider for one application's Config. It reports every
// fault of the Config at once, and makes no call.
type Opener func(Config, Deps) (Provider, error)

// Adapter is one kind of provider.
type Adapter struct {
	Open Opener
	// IdleLimit is after which time the provider forgets a refresh token that
	// nobody has used; 0 where it never does.
	IdleLimit time.Duration
	// CallsPerMinute is what checks of ours may ask for one application, by all
	// replicas together. What people and backends wait for is not counted.
	CallsPerMinute int
}

// Catalog names the providers that this build knows.
type Catalog map[string]Adapter
