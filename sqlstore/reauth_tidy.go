package sqlstore

import (
	"context"
	"time"
)

// tidies delete what nobody can ask for any more, the oldest first. Each finds
// it by an index made for that, however much is stored.
var tidies = []struct {
	after time.Duration // how long past its time a row is kept
	st    *statement
}{
	{24 * time.Hour, tidy("reauth_codes", "application_id, id", "expires_at")},
	{24 * time.Hour, tidy("reverifications", "application_id, id", "expires_at")},
	{24 * time.Hour, tidy("step_tokens", "application_id, hash", "expires_at")},
	{24 * time.Hour, tidy("proofs", "application_id, id", "expires_at")},
	{24 * time.Hour, tidy("proof_answers", "application_id, key", "at")},
	{0, tidy("reauth_windows", "application_id, bucket", "kept_until")},
	{0, tidy("reauth_sessions", "application_id, user_id, session_id", "kept_until")},
}

func tidy(table, key, age string) *statement {
	return both(`DELETE FROM ` + table + ` WHERE (` + key + `) IN (
		SELECT ` + key + ` FROM ` + table + ` WHERE ` + age + ` <= :before ORDER BY ` + age + ` LIMIT :limit)`)
}

// TidyReauth implements stepup.Store.
func (s *Store) TidyReauth(ctx context.Context, now time.Time, limit int) (int, error) {
	gone := 0
	for _, t := range tidies {
		err := again(func() error {
			n, err := s.query().exec(ctx, t.st, args{"before": stamp{now.Add(-t.after)}, "limit": limit})
			gone += int(n)
			return err
		})
		if err != nil {
			return gone, err
		}
	}
	return gone, nil
}
