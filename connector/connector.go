package connector

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/provider"
)

// Keys seals secrets for the row that they stand in, and makes fingerprints by
// which they can be found again. See package seal.
type Keys interface {
	Seal(plaintext []byte, row string) ([]byte, error)
	Open(sealed []byte, row string) ([]byte, error)
	Fingerprint(purpose string, value []byte) ([]byte, error)
	// Current reports whether something was sealed with the key that seals now.
	Current(sealed []byte) bool
}

// Purposes of fingerprints. Changing one makes everything stored under it
// impossible to find.
const (
	purposeToken     = "refresh-token"
	purposeState     = "state"
	purposeAccount   = "account"
	purposeReuse     = "attempt-reuse"
	purposeVerifier  = "pkce-verifier"
	purposeResult    = "link-result"
	purposeReconnect = "reconnect-link"
	purposePseudonym = "erased-user"
	purposePress     = "reconnect-press"
	purposeMessage   = "message-link"
	purposeAddress   = "link-address"
)

// Durations that hold for every application.
const (
	attemptValidity = time.Hour        // between the link and the return from the bank
	reuseWindow     = time.Minute      // in which asking twice gives the same link
	claimLease      = 90 * time.Second // longer than a provider's slowest exchange
	confirmWindow   = time.Hour        // for the application to confirm a first link
	accessMargin    = time.Minute      // a cached access token is handed out until so long before its end
)

// Config is what a Connector is made of. All fields but NoMail are required.
type Config struct {
	Registry consent.Registry
	Keys     Keys
	Catalog  provider.Catalog
	Provider provider.Deps
	Now      func() time.Time
	NewID    func() string // unique, sortable by time, [0-9a-z]
	Log      *slog.Logger
	BaseURL  string // of this service, as browsers reach it, without a trailing slash
	Targets  WebhookTargets
	NoMail   bool // no mail server is configured: no page offers to mail anything
}

// Connector runs the use cases. It is safe for concurrent use.
type Connector struct {
	registry consent.Registry
	keys     Keys
	catalog  provider.Catalog
	deps     provider.Deps
	clock    func() time.Time
	newID    func() string
	log      *slog.Logger
	base     string
	targets  WebhookTargets
	noMail   bool

	mu      sync.Mutex
	opened  map[string]openedProvider // by application and provider
	unsaved map[string]bool           // consents, by application, whose new token is not stored yet
	saving  sync.WaitGroup
}

type openedProvider struct {
	settings time.Time // UpdatedAt of the settings that it was opened with
	provider provider.Provider
}

// New returns a Connector.
func New(cfg Config) *Connector {
	return &Connector{
		registry: cfg.Registry,
		keys:     cfg.Keys,
		catalog:  cfg.Catalog,
		deps:     cfg.Provider,
		clock:    cfg.Now,
		newID:    cfg.NewID,
		log:      cfg.Log,
		base:     strings.TrimSuffix(cfg.BaseURL, "/"),
		targets:  cfg.Targets,
		noMail:   cfg.NoMail,
		opened:   map[string]openedProvider{},
		unsaved:  map[string]bool{},
	}
}

// CallbackURL is the redirect URI of hosted callbacks.
func (c *Connector) CallbackURL() string { return c.base + "/callback" }

// now is the present in the precision that the registry keeps.
func (c *Connector) now() time.Time { return c.clock().UTC().Truncate(time.Microsecond) }

// CheckProvider reports whether an application's settings at a provider can be
// opened and used. It calls nobody.
func (c *Connector) CheckProvider(ctx context.Context, app *consent.Application, name string) error {
	_, err := c.open(ctx, app, name)
	return err
}

// open returns the application's provider. It is opened again when its
// settings changed, on whichever replica.
func (c *Connector) open(ctx context.Context, app *consent.Application, name string) (provider.Provider, error) {
	adapter, known := c.catalog[name]
	if !known {
		return nil, unknownProvider(name)
	}
	settings, err := c.registry.ProviderSettings(ctx, app.ID, name)
	if err != nil {
		return nil, notFound(err, unknownProvider(name))
	}
	key := app.ID + "/" + name
	c.mu.Lock()
	defer c.mu.Unlock()
	if o, ok := c.opened[key]; ok && o.settings.Equal(settings.UpdatedAt) {
		return o.provider, nil
	}
	plain, err := c.keys.Open(settings.Config, key)
	if err != nil {
		return nil, fmt.Errorf("settings of provider %s: %w", name, err)
	}
	var cfg provider.Config
	if err := json.Unmarshal(plain, &cfg); err != nil {
		return nil, fmt.Errorf("settings of provider %s do not parse", name)
	}
	p, err := adapter.Open(cfg, c.deps)
	if err != nil {
		return nil, &consent.Error{Code: consent.CodeProviderMisconfig, Err: err,
			Detail: fmt.Sprintf("The settings of provider %q are not usable; set them again.", name)}
	}
	c.opened[key] = openedProvider{settings: settings.UpdatedAt, provider: p}
	return p, nil
}

// CheckSettings reports whether the adapter finds settings usable. It calls
// nobody.
func (c *Connector) CheckSettings(name string, cfg provider.Config) error {
	adapter, known := c.catalog[name]
	if !known {
		return unknownProvider(name)
	}
	if _, err := adapter.Open(cfg, c.deps); err != nil {
		return &consent.Error{Code: consent.CodeProviderMisconfig, Detail: err.Error()}
	}
	return nil
}

// SetProvider stores an application's settings at a provider, sealed, after
// the adapter has found them usable.
func (c *Connector) SetProvider(ctx context.Context, app *consent.Application, name string, cfg provider.Config) error {
	if err := c.CheckSettings(name, cfg); err != nil {
		return err
	}
	plain, err := json.Marshal(cfg)
	if err != nil {
		return fmt.Errorf("settings of provider %s: %w", name, err)
	}
	sealed, err := c.keys.Seal(plain, app.ID+"/"+name)
	if err != nil {
		return err
	}
	return c.registry.PutProviderSettings(ctx, consent.ProviderSettings{
		ApplicationID: app.ID, Provider: name, Config: sealed, UpdatedAt: c.now(),
	})
}

// randomToken returns 256 random bits, base64url.
func randomToken() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // crypto/rand.Read never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// scoped joins an application's short name and a secret, for what a browser
// brings back: by the name it is found in one application only.
func scoped(app *consent.Application, secret string) string { return app.Slug + "." + secret }

// slugOf returns the short name in a scoped secret, or "".
func slugOf(s string) string {
	slug, _, found := strings.Cut(s, ".")
	if !found {
		return ""
	}
	return slug
}

// seal seals a secret; nothing stays nothing.
func (c *Connector) seal(secret, row string) (consent.Sealed, error) {
	if secret == "" {
		return nil, nil
	}
	return c.keys.Seal([]byte(secret), row)
}

// unseal opens a secret; nothing stays nothing.
func (c *Connector) unseal(sealed consent.Sealed, row string) (string, error) {
	if len(sealed) == 0 {
		return "", nil
	}
	plain, err := c.keys.Open(sealed, row)
	return string(plain), err
}

// wait pauses between two looks at what somebody else is doing.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// patience is how often, and with which pauses, to look again at what somebody
// else has claimed: some 20 seconds in all, within which nearly every exchange
// is over.
func patience(yield func(time.Duration) bool) {
	pause := 20 * time.Millisecond
	for total := time.Duration(0); total < 20*time.Second; total += pause {
		if !yield(pause) {
			return
		}
		pause = min(2*pause, 250*time.Millisecond)
	}
}

// insist writes what must not be lost, though the caller hangs up or the
// database is away for a moment. It gives up at once where the write can no
// longer count.
func insist(ctx context.Context, write func(context.Context) error) error {
	ctx = context.WithoutCancel(ctx)
	var err error
	for pause := range patience {
		err = write(ctx)
		if err == nil || isSettled(err) {
			return err
		}
		if err := wait(ctx, pause); err != nil {
			return err
		}
	}
	return err
}

// isSettled reports whether a write that failed can no longer count.
func isSettled(err error) bool {
	return errors.Is(err, consent.ErrClaimLost) || errors.Is(err, consent.ErrNotFound) || errors.Is(err, consent.ErrOvertaken)
}

// lease takes the consent's lease, waiting for whoever holds it.
func (c *Connector) lease(ctx context.Context, app *consent.Application, consentID, leaseID string) (consent.Consent, error) {
	for pause := range patience {
		now := c.now()
		con, err := c.registry.Lease(ctx, app.ID, consentID, leaseID, now, now.Add(claimLease))
		if !errors.Is(err, consent.ErrBusy) {
			return con, notFound(err, unknownConsent())
		}
		if err := wait(ctx, pause); err != nil {
			return con, err
		}
	}
	return consent.Consent{}, &consent.Error{Code: consent.CodeAttemptInProgress, ConsentID: consentID, RetryAt: c.now().Add(5 * time.Second),
		Detail: "This consent is being renewed or refreshed right now; ask again in a moment."}
}
