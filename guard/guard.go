package guard

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/reconsent/reconsent/internal/outbound"
	"github.com/reconsent/reconsent/reauth/proof"
	"github.com/reconsent/reconsent/reauth/usertoken"
)

// ProofHeader is the header that a proof travels in.
const ProofHeader = "Reverification-Proof"

// callTimeout bounds one call of the installation.
const callTimeout = 5 * time.Second

// Config is what a Guard is made of. BaseURL, ApplicationID, User and Now are
// required.
type Config struct {
	// BaseURL is where the installation of reconsent answers: https, and a path
	// where it has one.
	BaseURL string
	// Issuer is the iss of its proofs; "" takes BaseURL.
	Issuer string
	// ApplicationID is the aud of the proofs that count here.
	ApplicationID string
	// APIKey is the application's key, with which proofs are used up. Without it
	// levels that count once cannot be guarded.
	APIKey string
	// User are the rules of the identity provider's JWTs. Its issuer and audience
	// are demanded, except in Dev.
	User usertoken.Rules
	// Dev is for development: user JWTs may lack iss and aud, and published keys
	// and the installation may be on this machine, by http.
	Dev bool
	// Now is the clock; time.Now, but in tests.
	Now func() time.Time
	// HTTP calls the installation; nil takes a client that follows no redirect.
	// The identity provider's keys are fetched by another, which reaches public
	// addresses only.
	HTTP *http.Client
	// Log takes what an operator has to mend; nil logs nothing.
	Log *slog.Logger
}

// String keeps the API key and the secret out of what is printed.
func (c Config) String() string { return "guard of application " + c.ApplicationID }

// GoString does so for %#v.
func (c Config) GoString() string { return c.String() }

// LogValue does so for slog.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Guard judges requests. It is safe for concurrent use.
type Guard struct {
	base   string
	want   proof.Want // without Now
	apiKey string
	rules  usertoken.Rules
	now    func() time.Time
	log    *slog.Logger
	http   *http.Client
	users  *usertoken.Verifier
	keys   *proof.RemoteKeys
}

// New makes a Guard; nothing is fetched before the first request. The error
// names every fault of the configuration at once, and no secret. Close it when
// it is no longer needed.
func New(cfg Config) (*Guard, error) {
	cfg.BaseURL = strings.TrimRight(cfg.BaseURL, "/")
	if cfg.Issuer == "" {
		cfg.Issuer = cfg.BaseURL
	}
	cfg.User.NamesRequired = !cfg.Dev
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.HTTP == nil {
		cfg.HTTP = &http.Client{
			Timeout:       callTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	targets := outbound.NewTargets(cfg.Dev)
	if err := cfg.validate(targets); err != nil {
		return nil, fmt.Errorf("guard: %w", err)
	}
	keys, err := proof.NewRemoteKeys(proof.RemoteConfig{
		URL: cfg.BaseURL + "/.well-known/jwks.json", Targets: targets, Now: cfg.Now, Log: cfg.Log, HTTP: cfg.HTTP,
	})
	if err != nil {
		return nil, fmt.Errorf("guard: %w", err)
	}
	return &Guard{
		base:   cfg.BaseURL,
		want:   proof.Want{Issuer: cfg.Issuer, Audience: cfg.ApplicationID},
		apiKey: cfg.APIKey,
		rules:  cfg.User,
		now:    cfg.Now,
		log:    cfg.Log,
		http:   cfg.HTTP,
		users:  usertoken.New(usertoken.Config{Targets: targets, Now: cfg.Now, Log: cfg.Log}),
		keys:   keys,
	}, nil
}

// Close ends fetches of keys that are under way.
func (g *Guard) Close() {
	g.users.Close()
	g.keys.Close()
}

func (c *Config) validate(targets *outbound.Targets) error {
	var faults []error
	if c.ApplicationID == "" {
		faults = append(faults, errors.New("the application's id is missing"))
	}
	if c.Now == nil {
		faults = append(faults, errors.New("the clock is missing: set Now to time.Now"))
	}
	if err := c.validBase(); err != nil {
		faults = append(faults, fmt.Errorf("the base URL: %w", err))
	}
	if err := c.User.Validate(targets); err != nil {
		faults = append(faults, fmt.Errorf("the rules for the user's JWT: %w", err))
	}
	return errors.Join(faults...)
}

func (c *Config) validBase() error {
	u, err := url.Parse(c.BaseURL)
	if err != nil {
		return errors.New("it is no URL")
	}
	local := u.Hostname() == "localhost"
	if a, err := netip.ParseAddr(u.Hostname()); err == nil {
		local = a.IsLoopback()
	}
	switch {
	case u.Scheme != "https" && (u.Scheme != "http" || !c.Dev || !local):
		return errors.New("it is not https")
	case u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return errors.New("it is more, or less, than scheme, host and path")
	default:
		return nil
	}
}
