package sqlstore

import (
	"context"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth/stepup"
)

var (
	putReauthSettings = both(`INSERT INTO reauth_settings (application_id, config, updated_at) VALUES (:application_id, :config, :updated_at)
		ON CONFLICT (application_id) DO UPDATE SET config = excluded.config, updated_at = excluded.updated_at`)
	reauthSettings    = both(`SELECT application_id, config, updated_at FROM reauth_settings WHERE application_id = :app`)
	allReauthSettings = both(`SELECT application_id, config, updated_at FROM reauth_settings ORDER BY application_id`)
)

type reauthSettingsRow struct {
	App       string `db:"application_id"`
	Config    blob   `db:"config"`
	UpdatedAt stamp  `db:"updated_at"`
}

func (r *reauthSettingsRow) settings() stepup.SealedSettings {
	return stepup.SealedSettings{ApplicationID: r.App, Config: consent.Sealed(r.Config), UpdatedAt: r.UpdatedAt.Time}
}

// AllReauthSettings implements stepup.SettingsStore.
func (s *Store) AllReauthSettings(ctx context.Context) ([]stepup.SealedSettings, error) {
	var rows []reauthSettingsRow
	err := s.query().list(ctx, allReauthSettings, &rows, args{})
	out := make([]stepup.SealedSettings, len(rows))
	for i := range rows {
		out[i] = rows[i].settings()
	}
	return out, err
}

// ReauthSettings implements stepup.SettingsStore.
func (s *Store) ReauthSettings(ctx context.Context, applicationID string) (stepup.SealedSettings, error) {
	var row reauthSettingsRow
	err := s.query().get(ctx, reauthSettings, &row, args{"app": applicationID})
	return row.settings(), err
}

// PutReauthSettings implements stepup.SettingsStore.
func (s *Store) PutReauthSettings(ctx context.Context, r stepup.SealedSettings) error {
	_, err := s.query().exec(ctx, putReauthSettings, reauthSettingsRow{r.ApplicationID, blob(r.Config), stamp{r.UpdatedAt}})
	return err
}
