package connector

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/reconsent/reconsent/consent"
)

// keyPrefix marks an API key, so that scanners of leaked secrets know it.
const keyPrefix = "rck_"

// parseAPIKey splits rck_<slug>.<secret>. The secret has 256 random bits, so a
// plain hash of it is as good as a slow one.
func parseAPIKey(key string) (slug string, hash []byte, ok bool) {
	rest, ok := strings.CutPrefix(key, keyPrefix)
	slug, secret, found := strings.Cut(rest, ".")
	if !ok || !found || secret == "" || !slugForm.MatchString(slug) {
		return "", nil, false
	}
	sum := sha256.Sum256([]byte(secret))
	return slug, sum[:], true
}

// NewAPIKey makes a key for an application. The key is returned once; only a
// hash of it is kept.
func (c *Connector) NewAPIKey(ctx context.Context, app *consent.Application, name string) (key string, stored consent.APIKey, err error) {
	key = keyPrefix + scoped(app, randomToken())
	_, hash, _ := parseAPIKey(key)
	stored = consent.APIKey{ApplicationID: app.ID, ID: "key_" + c.newID(), Hash: hash, Name: name, CreatedAt: c.now()}
	return key, stored, c.registry.CreateAPIKey(ctx, stored)
}

// RevokeAPIKey ends a key. It stops working at once, on every replica.
func (c *Connector) RevokeAPIKey(ctx context.Context, app *consent.Application, keyID string) error {
	return c.registry.RevokeAPIKey(ctx, app.ID, keyID, c.now())
}

var slugForm = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$`)

// checkApplication reports every fault at once.
func (c *Connector) checkApplication(app *consent.Application) error {
	var faults []error
	if !slugForm.MatchString(app.Slug) {
		faults = append(faults, fmt.Errorf("short name %q: want 1 to 32 of a-z, 0-9 and -, not at either end", app.Slug))
	}
	if app.Name == "" || len(app.Name) > maxName || !consent.PlainText(app.Name) {
		faults = append(faults, errors.New("name: want 1 to 200 bytes of text; people see it on pages and in mails"))
	}
	for _, uri := range app.RedirectURIs {
		if !consent.ListableURI(uri) {
			faults = append(faults, fmt.Errorf("redirect URI %q: want an absolute http or https address without fragment, user info or backslash", uri))
		}
	}
	for _, uri := range app.ReturnTos {
		if !consent.ListableURI(uri) {
			faults = append(faults, fmt.Errorf("return_to %q: want an absolute http or https address without fragment, user info or backslash", uri))
		}
	}
	for name := range app.Policies {
		if _, known := c.catalog[name]; !known {
			faults = append(faults, fmt.Errorf("policy for provider %q: no such provider in this build", name))
		}
	}
	cadence := app.Cadence
	if len(cadence) == 0 {
		cadence = consent.DefaultCadence()
	}
	for i, stage := range app.SMSStages {
		switch {
		case !slices.Contains(cadence.Names(), stage):
			faults = append(faults, fmt.Errorf("SMS stage %q: not in the application's cadence, which has %s", stage, strings.Join(cadence.Names(), ", ")))
		case slices.Contains(app.SMSStages[:i], stage):
			faults = append(faults, fmt.Errorf("SMS stage %q: named twice", stage))
		}
	}
	if app.MailsPerDay < 0 {
		faults = append(faults, fmt.Errorf("mails per day %d: want 0, for no ceiling, or more", app.MailsPerDay))
	}
	return errors.Join(append(faults, brandingFaults(app.Branding)...)...)
}

// CreateApplication registers a tenant. Every fault is reported at once.
func (c *Connector) CreateApplication(ctx context.Context, app consent.Application) (consent.Application, error) {
	if err := c.checkApplication(&app); err != nil {
		return app, err
	}
	app.ID, app.CreatedAt = "app_"+c.newID(), c.now()
	if len(app.Cadence) == 0 {
		app.Cadence = consent.DefaultCadence()
	}
	return app, c.registry.CreateApplication(ctx, app)
}

// UpdateApplication changes a tenant's settings. Where its cadence changed, the
// stages to come are put on the calendar anew; those that have had their event
// have no other, and those that the new cadence has in the past are not caught
// up with. What was due when it changed is still announced.
func (c *Connector) UpdateApplication(ctx context.Context, app consent.Application) error {
	if err := c.checkApplication(&app); err != nil {
		return err
	}
	if len(app.Cadence) == 0 {
		app.Cadence = consent.DefaultCadence()
	}
	before, err := c.registry.Application(ctx, app.ID)
	if err != nil {
		return err
	}
	app.RearmAt = before.RearmAt
	if !slices.Equal(before.Cadence.Names(), app.Cadence.Names()) {
		app.RearmAt = c.now()
	}
	if err := c.registry.UpdateApplication(ctx, app); err != nil {
		return err
	}
	return c.rearm(ctx, &app)
}

// rearmBatch is how many consents are put on the calendar in one step.
const rearmBatch = 1000

// rearm puts the stages to come on the calendar by the application's cadence,
// where that was changed. It can be done again from the start: Upkeep does,
// where it was cut short.
func (c *Connector) rearm(ctx context.Context, app *consent.Application) error {
	if app.RearmAt.IsZero() {
		return nil
	}
	f := consent.ListFilter{Limit: rearmBatch}
	for {
		f.Now = c.now()
		page, err := c.registry.ListConsents(ctx, app.ID, f)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return c.registry.EndRearm(ctx, app.ID, app.RearmAt)
		}
		last := page[len(page)-1]
		if err := c.rearmPage(ctx, app, page, f); err != nil {
			return err
		}
		f.AfterCreated, f.AfterID = last.CreatedAt, last.ID
	}
}

// rearmTries is how often a page is read again, where one of its consents was
// renewed or ended between reading and writing it.
const rearmTries = 5

func (c *Connector) rearmPage(ctx context.Context, app *consent.Application, page []consent.Consent, f consent.ListFilter) error {
	for range rearmTries {
		page = slices.DeleteFunc(page, func(con consent.Consent) bool { return !con.RevokedAt.IsZero() || con.Pending })
		for i := range page {
			page[i].Reschedule(app.Cadence, app.Policy(page[i].Provider), f.Now)
		}
		n, err := c.registry.Rearm(ctx, app.ID, page, f.Now)
		if err != nil || n == len(page) {
			return err
		}
		if page, err = c.registry.ListConsents(ctx, app.ID, f); err != nil {
			return err
		}
	}
	return nil // the rest was put on the calendar by whoever changed it
}

// LooksLikeAPIKey tells a key from other bearer tokens by its first letters.
func LooksLikeAPIKey(text string) bool { return strings.HasPrefix(text, keyPrefix) }
