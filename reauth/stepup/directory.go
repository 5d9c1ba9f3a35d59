package stepup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth/usertoken"
)

// Tenant is an application with its word on re-authentication.
type Tenant struct {
	consent.Application
	Settings
	rules usertoken.Rules
}

// settingsAge is for how long settings are taken as they were read: every call
// of a user needs them, and they hardly ever change.
const settingsAge = 5 * time.Second

// directory knows the tenants, and finds the one that a request is about.
type directory struct {
	mu     sync.Mutex
	readAt time.Time
	byName map[string]*Tenant // by id and by slug
	pairs  map[[2]string][]*Tenant
	only   *Tenant // where there is one application
	// origins are those of all tenants; loopback are those tenants of development
	// that take any port of this machine.
	origins  map[string]bool
	loopback []*Tenant
}

// look returns the directory as it is now. Callers that come while it is read
// anew wait for that: there are few moments of it.
func (s *Service) look(ctx context.Context) (*directory, error) {
	d, now := &s.directory, s.now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if age := now.Sub(d.readAt); d.byName != nil && age >= 0 && age < settingsAge {
		return d.copy(), nil
	}
	apps, _, err := s.Applications.ListApplications(ctx)
	if err != nil {
		return nil, err
	}
	sealed, err := s.Store.AllReauthSettings(ctx)
	if err != nil {
		return nil, err
	}
	found := make(map[string]SealedSettings, len(sealed))
	for _, x := range sealed {
		found[x.ApplicationID] = x
	}
	d.byName, d.pairs, d.only = make(map[string]*Tenant, 2*len(apps)), make(map[[2]string][]*Tenant), nil
	d.origins, d.loopback = make(map[string]bool), nil
	for i := range apps {
		t := &Tenant{Application: apps[i]}
		x, ok := found[apps[i].ID]
		if ok {
			if t.Settings, err = s.open(x); err != nil {
				// One application's unreadable settings must not shut the others out.
				s.Log.Error("settings of re-authentication cannot be read", "application", apps[i].ID, "error", err)
				continue
			}
			t.rules = s.rules(t)
			pair := [2]string{t.Identity.Issuer, t.Identity.Audience}
			if pair[0] != "" && pair[1] != "" {
				d.pairs[pair] = append(d.pairs[pair], t)
			}
			for _, o := range t.Origins {
				if d.origins[o] = true; strings.HasSuffix(o, anyPort) {
					d.loopback = append(d.loopback, t)
				}
			}
		}
		d.byName[t.ID], d.byName[t.Slug] = t, t
		if len(apps) == 1 {
			d.only = t
		}
	}
	d.readAt = now
	return d.copy(), nil
}

// copy is safe to read without the lock: maps are replaced, never changed.
func (d *directory) copy() *directory {
	return &directory{byName: d.byName, pairs: d.pairs, only: d.only, origins: d.origins, loopback: d.loopback}
}

func (s *Service) rules(t *Tenant) usertoken.Rules {
	id := &t.Identity
	return usertoken.Rules{
		Issuer: id.Issuer, Audience: id.Audience, Algorithms: id.Algorithms, JWKSURL: id.JWKSURL, Secret: []byte(id.Secret),
		NamesRequired: !s.NamesOptional, TrustAuthTime: id.TrustAuthTime, TrustAMR: id.TrustAMR, TrustFVA: id.TrustFVA, MaxTokenAge: id.MaxTokenAge,
	}
}

// tenant finds the application that a request is about (reauth-wire.md 1): the
// one that it names, else the one whose issuer and audience the token bears,
// else the only one. Keys are never tried.
func (s *Service) tenant(ctx context.Context, token string, named []string) (*Tenant, error) {
	d, err := s.look(ctx)
	if err != nil {
		return nil, err
	}
	unknown := refuse(CodeApplicationUnknown, "It is not clear which application this token belongs to. Name one with ?client_id=, the header apikey or X-Application-Id, always the same one.")
	var t *Tenant
	for _, name := range named {
		x, ok := d.byName[name]
		if !ok || t != nil && x != t {
			return nil, unknown
		}
		t = x
	}
	switch {
	case t != nil:
		return t, nil
	case d.only != nil: // whatever the token says of itself
		return d.only, nil
	}
	names, err := usertoken.Peek(token)
	if err != nil {
		return nil, tokenRefused(err)
	}
	for _, audience := range names.Audiences {
		for _, x := range d.pairs[[2]string{names.Issuer, audience}] {
			if t != nil && x != t {
				return nil, unknown
			}
			t = x
		}
	}
	if t == nil {
		return nil, unknown
	}
	return t, nil
}

// byID finds the tenant of a backend, or of an id that we gave out.
func (s *Service) byID(ctx context.Context, id string) (*Tenant, error) {
	d, err := s.look(ctx)
	if err != nil {
		return nil, err
	}
	t, ok := d.byName[id]
	if !ok {
		return nil, consent.ErrNotFound
	}
	return t, nil
}

// TenantOfVerification is the application whose verification has this id, as
// POST /auth/v1/verification gave it out.
func (s *Service) TenantOfVerification(ctx context.Context, id string) (*Tenant, bool) {
	slug, _, _ := strings.Cut(id, ".")
	t, err := s.byID(ctx, slug)
	return t, err == nil
}

func settingsRow(applicationID string) string { return applicationID + "/reauth" }

func (s *Service) open(x SealedSettings) (Settings, error) {
	set := Settings{ApplicationID: x.ApplicationID, UpdatedAt: x.UpdatedAt}
	text, err := s.Keys.Open(x.Config, settingsRow(x.ApplicationID))
	if err != nil {
		return set, err
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return set, fmt.Errorf("not JSON of settings: %w", err)
	}
	return set, nil
}

// CheckSettings reports every fault of settings at once, a line each, with the
// part that it lies in.
func (s *Service) CheckSettings(set Settings) error {
	t := &Tenant{Settings: set}
	rules := s.rules(t)
	err := errors.Join(within("identity", rules.Validate(s.Targets)), set.Validate(s.NamesOptional))
	if o := &set.OpenID; o.Issuer+o.ClientID+o.ClientSecret != "" || len(o.Scopes) > 0 {
		p := s.provider(t)
		p.RedirectURI = "https://localhost" + PathReturn // the installation's, not the application's to mend
		err = errors.Join(err, within("openid", p.Validate(s.NamesOptional)))
	}
	return err
}

// within names the part that faults lie in.
func within(part string, err error) error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	var faults []error
	for _, f := range joined.Unwrap() {
		faults = append(faults, fmt.Errorf("%s: %w", part, f))
	}
	return errors.Join(faults...)
}

// PutSettings validates and stores an application's settings. Other replicas
// follow within seconds.
func (s *Service) PutSettings(ctx context.Context, set Settings) error {
	if err := s.CheckSettings(set); err != nil {
		return err
	}
	text, err := json.Marshal(set)
	if err != nil {
		return err
	}
	sealed, err := s.Keys.Seal(text, settingsRow(set.ApplicationID))
	if err != nil {
		return err
	}
	if err := s.Store.PutReauthSettings(ctx, SealedSettings{ApplicationID: set.ApplicationID, Config: sealed, UpdatedAt: s.now()}); err != nil {
		return err
	}
	s.directory.mu.Lock()
	s.directory.byName = nil
	s.directory.mu.Unlock()
	return nil
}

// ReadSettings returns an application's settings, empty where it has none.
func (s *Service) ReadSettings(ctx context.Context, applicationID string) (Settings, error) {
	x, err := s.Store.ReauthSettings(ctx, applicationID)
	if err != nil {
		return Settings{ApplicationID: applicationID}, err
	}
	return s.open(x)
}

// AllowsOrigin reports whether pages of an origin may call for this
// application.
func (t *Tenant) AllowsOrigin(origin string) bool {
	for _, entry := range t.Origins {
		if prefix, ports := strings.CutSuffix(entry, anyPort); entry == origin || ports && strings.HasPrefix(origin, prefix+":") {
			return true
		}
	}
	return false
}

// AllowsOrigin reports whether pages of an origin may call for any application.
func (s *Service) AllowsOrigin(ctx context.Context, origin string) bool {
	d, err := s.look(ctx)
	if err != nil {
		return false
	}
	return d.origins[origin] || slices.ContainsFunc(d.loopback, func(t *Tenant) bool { return t.AllowsOrigin(origin) })
}
