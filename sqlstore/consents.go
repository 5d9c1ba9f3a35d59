package sqlstore

import (
	"context"
	"errors"
	"time"

	"github.com/reconsent/reconsent/consent"
)

// args are the named parameters of a statement.
type args map[string]any

// replacing sorts out the consents o that stand in the place of another. Revoked
// or not is asked in words that no partial index is made of: of the unique one a
// planner without statistics would read all of the application's.
const replacing = `o.replaces <> '' AND COALESCE(o.revoked_at, 0) = 0 AND NOT o.pending`

var (
	selectConsent = `SELECT ` + columns(consentColumns) + ` FROM consents `
	replacement   = both(selectConsent + `o WHERE o.application_id = :app AND o.replaces = :id AND ` + replacing + ` ORDER BY created_at DESC, id DESC LIMIT 1`)
	consentByID   = both(selectConsent + `WHERE application_id = :app AND id = :id`)
	lockConsent   = locking(selectConsent + `WHERE application_id = :app AND id = :id`)
	insertConsent = both(insert("consents", consentColumns))

	findByCredentials = both(selectConsent + `WHERE application_id = :app AND credentials_id = :credentials
		AND (:user = '' OR user_id = :user) AND (:provider = '' OR provider = :provider) ORDER BY created_at, id`)
	findByUser = both(selectConsent + `WHERE application_id = :app AND user_id = :user
		AND (:provider = '' OR provider = :provider) ORDER BY created_at, id`)
	findByToken = both(selectConsent + `WHERE application_id = :app
		AND id IN (SELECT consent_id FROM token_hashes WHERE application_id = :app AND hash = :hash)
		AND (:credentials = '' OR credentials_id = :credentials)
		AND (:user = '' OR user_id = :user) AND (:provider = '' OR provider = :provider) ORDER BY created_at, id`)
	credentialsInUse = both(`SELECT count(*) FROM consents WHERE application_id = :app AND credentials_id = :credentials
		AND provider = :provider AND id <> :except AND revoked_at IS NULL`)

	selectEvents = both(`SELECT ` + columns(eventColumns) + ` FROM events
		WHERE application_id = :app AND consent_id = :id AND seq > :after ORDER BY seq LIMIT :limit`)
	insertEvent = both(insert("events", eventColumns))
	bumpSeq     = both(`UPDATE consents SET seq = seq + :n WHERE application_id = :app AND id = :id RETURNING seq, cycle`)

	insertHash = both(`INSERT INTO token_hashes (application_id, hash, consent_id) VALUES (:app, :hash, :id) ON CONFLICT DO NOTHING`)

	takeLease = both(`UPDATE consents SET lease_id = :lease, lease_until = :until
		WHERE application_id = :app AND id = :id AND (lease_id = '' OR lease_id = :lease OR lease_until <= :now)
		RETURNING ` + columns(consentColumns))
	freeLease = both(`UPDATE consents SET lease_id = '', lease_until = NULL WHERE application_id = :app AND id = :id AND lease_id = :lease`)

	storeTokens = both(`UPDATE consents SET refresh_token = COALESCE(:refresh, refresh_token), access_token = :access,
		access_expires_at = :access_expires_at, refreshed_at = :refreshed_at, custody = :custody, refused_at = NULL, next_check_at = :next_check_at
		WHERE application_id = :app AND id = :id AND lease_id = :lease AND lease_id <> '' AND revoked_at IS NULL`)
	forgetOthers = both(`UPDATE consents SET access_token = NULL, access_expires_at = NULL
		WHERE application_id = :app AND credentials_id = :credentials AND provider = :provider AND id <> :except AND access_token IS NOT NULL`)
	setOutlook = both(`UPDATE consents SET expires_at = :expires_at, expiry_source = :expiry_source, ended_at = :ended_at, ended_reason = :ended_reason,
		refused_at = :refused_at, lapsing_at = :lapsing_at, lapses_at = :lapses_at, renewable_until = :renewable_until, next_stage_at = :next_stage_at,
		parked_at = NULL, parked_reason = '', next_check_at = :next_check_at
		WHERE application_id = :app AND id = :id AND cycle = :cycle AND revoked_at IS NULL`)
	revokeConsent = both(`UPDATE consents SET revoked_at = :at, revoked_by = :by, next_stage_at = NULL, next_check_at = NULL,
		parked_at = NULL, parked_reason = '',
		refresh_token = NULL, access_token = NULL, access_expires_at = NULL WHERE application_id = :app AND id = :id`)
)

// Consent implements consent.Consents.
func (s *Store) Consent(ctx context.Context, applicationID, id string) (consent.Consent, error) {
	var row consentRow
	err := s.query().get(ctx, consentByID, &row, args{"app": applicationID, "id": id})
	return row.consent(), err
}

// FindConsents implements consent.Consents.
func (s *Store) FindConsents(ctx context.Context, applicationID string, f consent.Find) ([]consent.Consent, error) {
	arg := args{"app": applicationID, "user": f.UserID, "provider": f.Provider, "credentials": f.CredentialsID}
	var rows []consentRow
	switch {
	case len(f.TokenHash) > 0:
		arg["hash"] = blob(f.TokenHash)
		err := s.query().list(ctx, findByToken, &rows, arg)
		return consentsOf(rows), err
	case f.CredentialsID != "":
		err := s.query().list(ctx, findByCredentials, &rows, arg)
		return consentsOf(rows), err
	default:
		err := s.query().list(ctx, findByUser, &rows, arg)
		return consentsOf(rows), err
	}
}

// Replacement implements consent.Consents.
func (s *Store) Replacement(ctx context.Context, applicationID, consentID string) (consent.Consent, error) {
	var row consentRow
	err := s.query().get(ctx, replacement, &row, args{"app": applicationID, "id": consentID})
	return row.consent(), err
}

// CredentialsInUse implements consent.Consents.
func (s *Store) CredentialsInUse(ctx context.Context, applicationID, provider, credentialsID, exceptConsentID string) (bool, error) {
	var n int
	err := s.query().get(ctx, credentialsInUse, &n, args{"app": applicationID, "provider": provider, "credentials": credentialsID, "except": exceptConsentID})
	return n > 0, err
}

// Events implements consent.Consents.
func (s *Store) Events(ctx context.Context, applicationID, consentID string, afterSeq int64, limit int) ([]consent.Event, error) {
	var rows []eventRow
	err := s.query().list(ctx, selectEvents, &rows, args{"app": applicationID, "id": consentID, "after": afterSeq, "limit": limit})
	out := make([]consent.Event, len(rows))
	for i := range rows {
		out[i] = rows[i].event()
	}
	return out, err
}

// addEvents appends to a consent's history, and tells webhook endpoints. The
// row is locked by the update, so numbers have no gaps.
func (q query) addEvents(ctx context.Context, app, consentID string, events ...consent.Event) error {
	if len(events) == 0 {
		return nil
	}
	var at struct {
		Seq   int64 `db:"seq"`
		Cycle int   `db:"cycle"`
	}
	if err := q.get(ctx, bumpSeq, &at, args{"app": app, "id": consentID, "n": len(events)}); err != nil {
		return err
	}
	first := at.Seq - int64(len(events)) + 1
	heard := told()
	for i := range events {
		heard.tell(app, consentID, first+int64(i), &events[i])
		if _, err := q.exec(ctx, insertEvent, eventRowOf(app, consentID, at.Cycle, first+int64(i), &events[i])); err != nil {
			return err
		}
	}
	return q.tellThose(ctx, heard)
}

func (q query) addHash(ctx context.Context, app, consentID string, hash []byte) error {
	if hash == nil {
		return nil
	}
	_, err := q.exec(ctx, insertHash, args{"app": app, "id": consentID, "hash": blob(hash)})
	return err
}

// Lease implements consent.Consents.
func (s *Store) Lease(ctx context.Context, applicationID, consentID, leaseID string, now, until time.Time) (consent.Consent, error) {
	var row consentRow
	err := s.query().get(ctx, takeLease, &row, args{"app": applicationID, "id": consentID, "lease": leaseID, "now": stamp{now}, "until": stamp{until}})
	if errors.Is(err, consent.ErrNotFound) {
		if _, err := s.Consent(ctx, applicationID, consentID); err != nil {
			return consent.Consent{}, err
		}
		return consent.Consent{}, consent.ErrBusy
	}
	return row.consent(), err
}

// EndLease implements consent.Consents.
func (s *Store) EndLease(ctx context.Context, applicationID, consentID, leaseID string) error {
	_, err := s.query().exec(ctx, freeLease, args{"app": applicationID, "id": consentID, "lease": leaseID})
	return err
}

// StoreTokens implements consent.Consents.
func (s *Store) StoreTokens(ctx context.Context, u consent.TokenUpdate) error {
	return s.atomic(ctx, func(q query) error {
		n, err := q.exec(ctx, storeTokens, args{
			"app": u.ApplicationID, "id": u.ConsentID, "lease": u.LeaseID, "custody": string(u.Custody),
			"refresh": blob(u.Tokens.Refresh), "access": blob(u.Tokens.Access),
			"access_expires_at": stamp{u.Tokens.AccessExpiresAt}, "refreshed_at": stamp{u.Tokens.RefreshedAt}, "next_check_at": stamp{u.NextCheckAt},
		})
		if err != nil {
			return err
		}
		if n == 0 {
			var row consentRow
			if err := q.get(ctx, consentByID, &row, args{"app": u.ApplicationID, "id": u.ConsentID}); err != nil {
				return err
			}
			return consent.ErrClaimLost
		}
		return q.addHash(ctx, u.ApplicationID, u.ConsentID, u.TokenHash)
	})
}

// ForgetAccess implements consent.Consents.
func (s *Store) ForgetAccess(ctx context.Context, applicationID, provider, credentialsID, exceptConsentID string) error {
	return again(func() error {
		_, err := s.query().exec(ctx, forgetOthers, args{"app": applicationID, "provider": provider, "credentials": credentialsID, "except": exceptConsentID})
		return err
	})
}

// SetOutlook implements consent.Consents.
func (s *Store) SetOutlook(ctx context.Context, o consent.Outlook) error {
	return s.atomic(ctx, func(q query) error {
		n, err := q.exec(ctx, setOutlook, args{
			"app": o.ApplicationID, "id": o.ConsentID, "cycle": o.Cycle,
			"expires_at": stamp{o.ExpiresAt}, "expiry_source": string(o.ExpirySource),
			"ended_at": stamp{o.EndedAt}, "ended_reason": o.EndedReason, "refused_at": stamp{o.RefusedAt},
			"lapsing_at": stamp{o.LapsingAt}, "lapses_at": stamp{o.LapsesAt},
			"renewable_until": stamp{o.RenewableUntil}, "next_stage_at": stamp{o.NextStageAt}, "next_check_at": stamp{o.NextCheckAt},
		})
		if err != nil {
			return err
		}
		if n == 0 {
			var row consentRow
			if err := q.get(ctx, consentByID, &row, args{"app": o.ApplicationID, "id": o.ConsentID}); err != nil {
				return err
			}
			return consent.ErrOvertaken
		}
		return q.addEvents(ctx, o.ApplicationID, o.ConsentID, o.Events...)
	})
}

// Revoke implements consent.Consents.
func (s *Store) Revoke(ctx context.Context, r consent.Revocation) (consent.Consent, error) {
	var row consentRow
	err := s.atomic(ctx, func(q query) error {
		arg := args{"app": r.ApplicationID, "id": r.ConsentID, "at": stamp{r.At}, "by": r.By}
		if err := q.get(ctx, lockConsent, &row, arg); err != nil || !row.RevokedAt.IsZero() {
			return err
		}
		if _, err := q.exec(ctx, revokeConsent, arg); err != nil {
			return err
		}
		if err := q.addEvents(ctx, r.ApplicationID, r.ConsentID, r.Event); err != nil {
			return err
		}
		if err := q.addGiveBack(ctx, r.GiveBack); err != nil {
			return err
		}
		return q.get(ctx, consentByID, &row, arg)
	})
	return row.consent(), err
}
