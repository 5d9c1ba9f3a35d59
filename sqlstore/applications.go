package sqlstore

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/reconsent/reconsent/consent"
)

const applicationColumns = `a.id, a.slug, a.name, a.settings, a.created_at, a.rearm_at`

// withProviders adds the names of the configured providers.
func withProviders(rest string) *statement {
	return sideBySide(
		`SELECT `+applicationColumns+`, (SELECT string_agg(p.provider, ' ') FROM provider_settings p WHERE p.application_id = a.id) AS providers `+rest,
		`SELECT `+applicationColumns+`, (SELECT group_concat(p.provider, ' ') FROM provider_settings p WHERE p.application_id = a.id) AS providers `+rest,
	)
}

var (
	insertApplication = both(`INSERT INTO applications (id, slug, name, settings, created_at) VALUES (:id, :slug, :name, :settings, :created_at)`)
	updateApplication = both(`UPDATE applications SET name = :name, settings = :settings, rearm_at = :rearm_at WHERE id = :id`)
	endRearm          = both(`UPDATE applications SET rearm_at = NULL WHERE id = :app AND rearm_at = :asked`)
	applicationByID   = withProviders(`FROM applications a WHERE a.id = :id`)
	applicationBySlug = withProviders(`FROM applications a WHERE a.slug = :slug`)
	applicationByKey  = withProviders(`FROM applications a JOIN api_keys k ON k.application_id = a.id
		WHERE a.slug = :slug AND k.hash = :hash AND k.revoked_at IS NULL`)
	allApplications = withProviders(`FROM applications a ORDER BY a.created_at, a.id`)

	putSettings = both(`INSERT INTO provider_settings (application_id, provider, config, updated_at)
		VALUES (:application_id, :provider, :config, :updated_at)
		ON CONFLICT (application_id, provider) DO UPDATE SET config = excluded.config, updated_at = excluded.updated_at`)
	getSettings = both(`SELECT application_id, provider, config, updated_at FROM provider_settings WHERE application_id = :app AND provider = :provider`)

	insertKey = both(`INSERT INTO api_keys (application_id, id, hash, name, created_at) VALUES (:application_id, :id, :hash, :name, :created_at)`)
	listKeys  = both(`SELECT application_id, id, hash, name, created_at, revoked_at FROM api_keys WHERE application_id = :app ORDER BY created_at, id`)
	revokeKey = both(`UPDATE api_keys SET revoked_at = COALESCE(revoked_at, :at) WHERE application_id = :app AND id = :id`)
)

type applicationRow struct {
	ID        string `db:"id"`
	Slug      string `db:"slug"`
	Name      string `db:"name"`
	Settings  string `db:"settings"`
	CreatedAt stamp  `db:"created_at"`
	RearmAt   stamp  `db:"rearm_at"`
	Providers words  `db:"providers"`
}

// settings is the JSON form of what an application may set. Durations are in
// nanoseconds, as time.Duration is.
type settings struct {
	RedirectURIs []string                  `json:"redirect_uris,omitempty"`
	ReturnTos    []string                  `json:"return_tos,omitempty"`
	ConfirmLinks bool                      `json:"confirm_links"`
	Cadence      []string                  `json:"cadence"`
	Policies     map[string]consent.Policy `json:"policies,omitempty"`
	LinkValidity time.Duration             `json:"link_validity,omitempty"`
	NoMail       bool                      `json:"no_mail,omitempty"`
	Paused       bool                      `json:"paused,omitempty"`
	MailsPerDay  int                       `json:"mails_per_day,omitempty"`
	Branding     consent.Branding          `json:"branding,omitzero"`
	SMSStages    []string                  `json:"sms_stages,omitempty"`
	QuietHours   string                    `json:"quiet_hours,omitempty"`
}

func (r *applicationRow) application() (consent.Application, error) {
	var set settings
	if err := json.Unmarshal([]byte(r.Settings), &set); err != nil {
		return consent.Application{}, fmt.Errorf("settings of application %s do not parse: %w", r.ID, err)
	}
	cadence, err := consent.ParseCadence(set.Cadence)
	if err != nil {
		return consent.Application{}, fmt.Errorf("cadence of application %s: %w", r.ID, err)
	}
	quiet, err := consent.ParseQuietHours(set.QuietHours)
	if err != nil {
		return consent.Application{}, fmt.Errorf("application %s: %w", r.ID, err)
	}
	slices.Sort(r.Providers)
	return consent.Application{
		ID: r.ID, Slug: r.Slug, Name: r.Name, CreatedAt: r.CreatedAt.Time, RearmAt: r.RearmAt.Time, ProviderNames: r.Providers,
		RedirectURIs: set.RedirectURIs, ReturnTos: set.ReturnTos, ConfirmLinks: set.ConfirmLinks,
		Cadence: cadence, Policies: set.Policies, LinkValidity: set.LinkValidity,
		NoMail: set.NoMail, Paused: set.Paused, MailsPerDay: set.MailsPerDay, Branding: set.Branding, SMSStages: set.SMSStages, QuietHours: quiet,
	}, nil
}

func applicationRowOf(a *consent.Application) (applicationRow, error) {
	set, err := json.Marshal(settings{
		RedirectURIs: a.RedirectURIs, ReturnTos: a.ReturnTos, ConfirmLinks: a.ConfirmLinks,
		Cadence: a.Cadence.Names(), Policies: a.Policies, LinkValidity: a.LinkValidity,
		NoMail: a.NoMail, Paused: a.Paused, MailsPerDay: a.MailsPerDay, Branding: a.Branding, SMSStages: a.SMSStages, QuietHours: a.QuietHours.String(),
	})
	return applicationRow{ID: a.ID, Slug: a.Slug, Name: a.Name, Settings: string(set), CreatedAt: stamp{a.CreatedAt}, RearmAt: stamp{a.RearmAt}}, err
}

// CreateApplication implements consent.Applications.
func (s *Store) CreateApplication(ctx context.Context, a consent.Application) error {
	row, err := applicationRowOf(&a)
	if err != nil {
		return err
	}
	_, err = s.query().exec(ctx, insertApplication, row)
	return err
}

// UpdateApplication implements consent.Applications.
func (s *Store) UpdateApplication(ctx context.Context, a consent.Application) error {
	row, err := applicationRowOf(&a)
	if err != nil {
		return err
	}
	return s.query().one(ctx, updateApplication, row)
}

// EndRearm implements consent.Applications.
func (s *Store) EndRearm(ctx context.Context, applicationID string, asked time.Time) error {
	_, err := s.query().exec(ctx, endRearm, args{"app": applicationID, "asked": stamp{asked}})
	return err
}

func (s *Store) application(ctx context.Context, st *statement, arg any) (consent.Application, error) {
	var row applicationRow
	if err := s.query().get(ctx, st, &row, arg); err != nil {
		return consent.Application{}, err
	}
	return row.application()
}

// Application implements consent.Applications.
func (s *Store) Application(ctx context.Context, id string) (consent.Application, error) {
	return s.application(ctx, applicationByID, args{"id": id})
}

// ApplicationBySlug implements consent.Applications.
func (s *Store) ApplicationBySlug(ctx context.Context, slug string) (consent.Application, error) {
	return s.application(ctx, applicationBySlug, args{"slug": slug})
}

// ApplicationByKey implements consent.Applications.
func (s *Store) ApplicationByKey(ctx context.Context, slug string, hash []byte) (consent.Application, error) {
	return s.application(ctx, applicationByKey, args{"slug": slug, "hash": blob(hash)})
}

// ListApplications implements consent.Applications.
func (s *Store) ListApplications(ctx context.Context) (readable []consent.Application, unreadable []consent.UnreadableApplication, err error) {
	var rows []applicationRow
	if err := s.query().list(ctx, allApplications, &rows, args{}); err != nil {
		return nil, nil, err
	}
	for i := range rows {
		app, err := rows[i].application()
		if err != nil {
			unreadable = append(unreadable, consent.UnreadableApplication{ID: rows[i].ID, Slug: rows[i].Slug, Fault: err})
			continue
		}
		readable = append(readable, app)
	}
	return readable, unreadable, nil
}

type settingsRow struct {
	App       string `db:"application_id"`
	Provider  string `db:"provider"`
	Config    blob   `db:"config"`
	UpdatedAt stamp  `db:"updated_at"`
}

// PutProviderSettings implements consent.Applications.
func (s *Store) PutProviderSettings(ctx context.Context, p consent.ProviderSettings) error {
	_, err := s.query().exec(ctx, putSettings, settingsRow{p.ApplicationID, p.Provider, blob(p.Config), stamp{p.UpdatedAt}})
	return err
}

// ProviderSettings implements consent.Applications.
func (s *Store) ProviderSettings(ctx context.Context, applicationID, provider string) (consent.ProviderSettings, error) {
	var row settingsRow
	err := s.query().get(ctx, getSettings, &row, args{"app": applicationID, "provider": provider})
	return consent.ProviderSettings{ApplicationID: row.App, Provider: row.Provider, Config: consent.Sealed(row.Config), UpdatedAt: row.UpdatedAt.Time}, err
}

type keyRow struct {
	App       string `db:"application_id"`
	ID        string `db:"id"`
	Hash      blob   `db:"hash"`
	Name      string `db:"name"`
	CreatedAt stamp  `db:"created_at"`
	RevokedAt stamp  `db:"revoked_at"`
}

// CreateAPIKey implements consent.Applications.
func (s *Store) CreateAPIKey(ctx context.Context, k consent.APIKey) error {
	_, err := s.query().exec(ctx, insertKey, keyRow{App: k.ApplicationID, ID: k.ID, Hash: k.Hash, Name: k.Name, CreatedAt: stamp{k.CreatedAt}})
	return err
}

// ListAPIKeys implements consent.Applications.
func (s *Store) ListAPIKeys(ctx context.Context, applicationID string) ([]consent.APIKey, error) {
	var rows []keyRow
	err := s.query().list(ctx, listKeys, &rows, args{"app": applicationID})
	out := make([]consent.APIKey, len(rows))
	for i, r := range rows {
		out[i] = consent.APIKey{ApplicationID: r.App, ID: r.ID, Hash: r.Hash, Name: r.Name, CreatedAt: r.CreatedAt.Time, RevokedAt: r.RevokedAt.Time}
	}
	return out, err
}

// RevokeAPIKey implements consent.Applications.
func (s *Store) RevokeAPIKey(ctx context.Context, applicationID, keyID string, at time.Time) error {
	return s.query().one(ctx, revokeKey, args{"app": applicationID, "id": keyID, "at": stamp{at}})
}
