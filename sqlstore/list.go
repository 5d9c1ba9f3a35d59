package sqlstore

import (
	"context"
	"fmt"

	"github.com/reconsent/reconsent/consent"
)

// inStatus says, in SQL and of :now, what Consent.Status says in Go.
var inStatus = map[consent.Status]string{
	"":                  `1 = 1`,
	consent.Revoked:     `revoked_at IS NOT NULL`,
	consent.Pending:     `revoked_at IS NULL AND pending`,
	consent.Unrenewable: `revoked_at IS NULL AND NOT pending AND renewable_until <= :now`,
	consent.Lapsed: `revoked_at IS NULL AND NOT pending AND lapses_at <= :now
		AND (renewable_until IS NULL OR renewable_until > :now)`,
	consent.Lapsing: `revoked_at IS NULL AND NOT pending AND lapsing_at <= :now
		AND (lapses_at IS NULL OR lapses_at > :now) AND (renewable_until IS NULL OR renewable_until > :now)`,
	consent.Active: `revoked_at IS NULL AND NOT pending AND (lapsing_at IS NULL OR lapsing_at > :now)
		AND (lapses_at IS NULL OR lapses_at > :now) AND (renewable_until IS NULL OR renewable_until > :now)`,
}

var listConsents = func() map[consent.Status]*statement {
	all := make(map[consent.Status]*statement, len(inStatus))
	for status, condition := range inStatus {
		all[status] = both(selectConsent + `WHERE application_id = :app AND (created_at, id) > (:after_created, :after_id)
			AND (:user = '' OR user_id = :user) AND (:provider = '' OR provider = :provider)
			AND (CAST(:before AS BIGINT) IS NULL OR expires_at < CAST(:before AS BIGINT))
			AND ` + condition + ` ORDER BY created_at, id LIMIT :limit`)
	}
	return all
}()

// ListConsents implements consent.Consents.
func (s *Store) ListConsents(ctx context.Context, applicationID string, f consent.ListFilter) ([]consent.Consent, error) {
	arg := args{
		"app": applicationID, "user": f.UserID, "provider": f.Provider, "now": stamp{f.Now}, "before": stamp{f.ExpiresBefore},
		"after_created": int64(minMicros), "after_id": f.AfterID, "limit": f.Limit,
	}
	if !f.AfterCreated.IsZero() {
		arg["after_created"] = f.AfterCreated.UnixMicro()
	}
	st, known := listConsents[f.Status]
	if !known {
		return nil, fmt.Errorf("list consents: there is no status %q", f.Status)
	}
	var rows []consentRow
	err := s.query().list(ctx, st, &rows, arg)
	return consentsOf(rows), err
}

// minMicros is earlier than any moment that is stored.
const minMicros = -1 << 62
