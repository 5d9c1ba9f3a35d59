package sqlstore

import (
	"context"
	"strings"
	"time"

	"github.com/reconsent/reconsent/consent"
)

var (
	checkColumns = strings.Fields(`application_id consent_id provider provider_id at outcome`)
	alarmColumns = strings.Fields(`application_id kind provider provider_id opened_at closed_at probe_at detail`)

	// Each consent that is claimed moves, whatever comes of it.
	claimChecks = sideBySide(`UPDATE consents SET next_check_at = :until WHERE (application_id, id) IN (
			SELECT application_id, id FROM consents WHERE next_check_at <= :now AND revoked_at IS NULL AND NOT pending
			ORDER BY next_check_at, application_id, provider, id LIMIT :limit FOR UPDATE SKIP LOCKED
		) RETURNING `+columns(consentColumns),
		`UPDATE consents SET next_check_at = :until WHERE (application_id, id) IN (
			SELECT application_id, id FROM consents WHERE next_check_at <= :now AND revoked_at IS NULL AND NOT pending
			ORDER BY next_check_at, application_id, provider, id LIMIT :limit
		) RETURNING `+columns(consentColumns))
	postponeCheck = both(`UPDATE consents SET next_check_at = :at WHERE application_id = :app AND id = :id AND cycle = :cycle
		AND revoked_at IS NULL AND NOT pending`)

	putCheck = both(insert("checks", checkColumns) + ` ON CONFLICT (application_id, consent_id) DO UPDATE SET
		provider = excluded.provider, provider_id = excluded.provider_id, at = excluded.at, outcome = excluded.outcome`)
	health = both(`SELECT provider_id, count(*) AS total, COALESCE(sum(CASE outcome WHEN 'refused' THEN 1 ELSE 0 END), 0) AS refused,
			COALESCE(sum(CASE outcome WHEN 'failed' THEN 1 ELSE 0 END), 0) AS failed,
			COALESCE(sum(CASE outcome WHEN 'misconfigured' THEN 1 ELSE 0 END), 0) AS misconfigured
		FROM checks WHERE application_id = :app AND provider = :provider AND at >= :since AND consent_id <> :except GROUP BY provider_id`)
	failing = both(`SELECT DISTINCT application_id, provider FROM checks WHERE at >= :since AND outcome <> 'ok'`)

	openAlarm = both(insert("alarms", alarmColumns) + ` ON CONFLICT (application_id, kind, provider, provider_id) DO UPDATE SET
		opened_at = excluded.opened_at, closed_at = NULL, probe_at = excluded.probe_at, detail = excluded.detail
		WHERE alarms.closed_at IS NOT NULL`)
	closeAlarm = both(`UPDATE alarms SET closed_at = :at, probe_at = NULL WHERE application_id = :app AND kind = :kind
		AND provider = :provider AND provider_id = :bank AND closed_at IS NULL`)
	probeAlarm = both(`UPDATE alarms SET probe_at = :next WHERE application_id = :app AND kind = :kind
		AND provider = :provider AND provider_id = :bank AND closed_at IS NULL AND probe_at <= :now`)
	listAlarms = both(`SELECT ` + columns(alarmColumns) + ` FROM alarms WHERE (:app = '' OR application_id = :app) AND (CAST(:all AS BOOLEAN) OR closed_at IS NULL)
		ORDER BY opened_at DESC, application_id, kind, provider, provider_id`)

	// A replica whose clock is behind counts in the window that others are in.
	takeAllowance = both(`INSERT INTO allowances (application_id, name, window_at, used) VALUES (:app, :name, :window, :n)
		ON CONFLICT (application_id, name) DO UPDATE SET
			used = CASE WHEN allowances.window_at < excluded.window_at THEN excluded.used ELSE allowances.used + excluded.used END,
			window_at = CASE WHEN allowances.window_at < excluded.window_at THEN excluded.window_at ELSE allowances.window_at END
		WHERE allowances.window_at < excluded.window_at OR allowances.used + excluded.used <= :limit`)
)

type checkRow struct {
	App        string `db:"application_id"`
	ConsentID  string `db:"consent_id"`
	Provider   string `db:"provider"`
	ProviderID string `db:"provider_id"`
	At         stamp  `db:"at"`
	Outcome    string `db:"outcome"`
}

type healthRow struct {
	ProviderID    string `db:"provider_id"`
	Total         int    `db:"total"`
	Refused       int    `db:"refused"`
	Failed        int    `db:"failed"`
	Misconfigured int    `db:"misconfigured"`
}

type alarmRow struct {
	App        string `db:"application_id"`
	Kind       string `db:"kind"`
	Provider   string `db:"provider"`
	ProviderID string `db:"provider_id"`
	OpenedAt   stamp  `db:"opened_at"`
	ClosedAt   stamp  `db:"closed_at"`
	ProbeAt    stamp  `db:"probe_at"`
	Detail     string `db:"detail"`
}

// ClaimChecks implements consent.Health.
func (s *Store) ClaimChecks(ctx context.Context, now, until time.Time, limit int) ([]consent.Consent, error) {
	var rows []consentRow
	err := again(func() error {
		return s.query().list(ctx, claimChecks, &rows, args{"now": stamp{now}, "until": stamp{until}, "limit": limit})
	})
	return consentsOf(rows), err
}

// PostponeCheck implements consent.Health.
func (s *Store) PostponeCheck(ctx context.Context, applicationID, consentID string, cycle int, at time.Time) error {
	_, err := s.query().exec(ctx, postponeCheck, args{"app": applicationID, "id": consentID, "cycle": cycle, "at": stamp{at}})
	return err
}

// PutCheck implements consent.Health.
func (s *Store) PutCheck(ctx context.Context, c consent.Check) error {
	_, err := s.query().exec(ctx, putCheck, checkRow{c.ApplicationID, c.ConsentID, c.Provider, c.ProviderID, stamp{c.At}, string(c.Outcome)})
	return err
}

// BankHealths implements consent.Health.
func (s *Store) BankHealths(ctx context.Context, applicationID, provider string, since time.Time, exceptConsentID string) ([]consent.BankHealth, error) {
	var rows []healthRow
	err := s.query().list(ctx, health, &rows, args{"app": applicationID, "provider": provider, "since": stamp{since}, "except": exceptConsentID})
	out := make([]consent.BankHealth, len(rows))
	for i, r := range rows {
		out[i] = consent.BankHealth(r)
	}
	return out, err
}

// Failing implements consent.Health.
func (s *Store) Failing(ctx context.Context, since time.Time) ([]consent.Check, error) {
	var rows []checkRow
	err := s.query().list(ctx, failing, &rows, args{"since": stamp{since}})
	out := make([]consent.Check, len(rows))
	for i, r := range rows {
		out[i] = consent.Check{ApplicationID: r.App, Provider: r.Provider}
	}
	return out, err
}

// OpenAlarm implements consent.Health.
func (s *Store) OpenAlarm(ctx context.Context, a consent.Alarm) (bool, error) {
	n, err := s.query().exec(ctx, openAlarm, alarmRow{App: a.ApplicationID, Kind: string(a.Kind), Provider: a.Provider, ProviderID: a.ProviderID,
		OpenedAt: stamp{a.OpenedAt}, ProbeAt: stamp{a.ProbeAt}, Detail: a.Detail})
	return n > 0, err
}

func alarmArgs(a *consent.Alarm) args {
	return args{"app": a.ApplicationID, "kind": string(a.Kind), "provider": a.Provider, "bank": a.ProviderID}
}

// CloseAlarm implements consent.Health.
func (s *Store) CloseAlarm(ctx context.Context, a consent.Alarm, at time.Time) (bool, error) {
	arg := alarmArgs(&a)
	arg["at"] = stamp{at}
	n, err := s.query().exec(ctx, closeAlarm, arg)
	return n > 0, err
}

// ProbeAlarm implements consent.Health.
func (s *Store) ProbeAlarm(ctx context.Context, a consent.Alarm, now, next time.Time) (bool, error) {
	arg := alarmArgs(&a)
	arg["now"], arg["next"] = stamp{now}, stamp{next}
	n, err := s.query().exec(ctx, probeAlarm, arg)
	return n > 0, err
}

// Alarms implements consent.Health.
func (s *Store) Alarms(ctx context.Context, applicationID string, closedToo bool) ([]consent.Alarm, error) {
	var rows []alarmRow
	err := s.query().list(ctx, listAlarms, &rows, args{"app": applicationID, "all": closedToo})
	out := make([]consent.Alarm, len(rows))
	for i, r := range rows {
		out[i] = consent.Alarm{ApplicationID: r.App, Kind: consent.AlarmKind(r.Kind), Provider: r.Provider, ProviderID: r.ProviderID,
			OpenedAt: r.OpenedAt.Time, ClosedAt: r.ClosedAt.Time, ProbeAt: r.ProbeAt.Time, Detail: r.Detail}
	}
	return out, err
}

// Take implements consent.Health.
func (s *Store) Take(ctx context.Context, applicationID, name string, window time.Time, n, limit int) (bool, error) {
	if n > limit {
		return false, nil
	}
	taken, err := s.query().exec(ctx, takeAllowance, args{"app": applicationID, "name": name, "window": stamp{window}, "n": n, "limit": limit})
	return taken > 0, err
}
