package sqlstore

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/reconsent/reconsent/reauth/stepup"
)

// sessionDays is how long what was proven in a session is kept: longer than the
// longest level looks back (99,998 minutes). What a token says of an earlier
// time is stale by then as well, so the mark of an ended session may go too.
const sessionDays = 100

// standing reads by primary keys alone: it is asked with each call. Each key is
// written out in full, so that none waits for another part of the statement.
var (
	standing = sideBySide(standingFrom(
		`CAST(json_agg(json_build_object(`+enrolledJSON+`) ORDER BY e.created_at, e.id) AS TEXT)`),
		standingFrom(`json_group_array(json_object(`+enrolledJSON+`) ORDER BY e.created_at, e.id)`))

	// The row is the lock: whoever else joins something waits here.
	lockSession = both(`INSERT INTO reauth_sessions (application_id, user_id, session_id, proven, kept_until) VALUES (:app, :user, :session, '', :kept)
		ON CONFLICT (application_id, user_id, session_id) DO UPDATE SET kept_until = excluded.kept_until RETURNING proven`)
	writeSession = both(`UPDATE reauth_sessions SET proven = :proven WHERE application_id = :app AND user_id = :user AND session_id = :session`)
	clearedAt    = both(`SELECT max(cleared_at) FROM reauth_sessions WHERE application_id = :app AND user_id = :user AND session_id IN ('', :session)`)
	clearSession = both(`INSERT INTO reauth_sessions (application_id, user_id, session_id, proven, cleared_at, kept_until)
		VALUES (:app, :user, :session, '', :at, :kept)
		ON CONFLICT (application_id, user_id, session_id) DO UPDATE SET proven = '', kept_until = excluded.kept_until,
			cleared_at = CASE WHEN reauth_sessions.cleared_at > excluded.cleared_at THEN reauth_sessions.cleared_at ELSE excluded.cleared_at END`)
	forgetProven = both(`UPDATE reauth_sessions SET proven = '' WHERE application_id = :app AND user_id = :user AND proven <> ''`)
	lockSessions = locking(`SELECT session_id, proven FROM reauth_sessions
		WHERE application_id = :app AND user_id = :user AND proven <> '' ORDER BY session_id`)
)

const enrolledJSON = `'id', e.id, 'kind', e.kind, 'label', e.label, 'address', e.address, 'ref', e.ref,
	'created_at', e.created_at, 'verified_at', e.verified_at, 'used_at', e.used_at,
	'left', (SELECT count(*) FROM backup_codes b
		WHERE b.application_id = :app AND b.user_id = :user AND b.factor_id = e.id AND b.used_at IS NULL)`

func standingFrom(enrolled string) string {
	return `SELECT u.application_id, u.id, u.email, u.phone, u.name, u.locale, u.time_zone, u.password_hash, u.created_at, u.updated_at,
			u.unsubscribed_at, u.email_refused_at, u.phone_refused_at,
			s.proven, s.cleared_at, a.cleared_at AS all_cleared_at, COALESCE(c.stamps, '') AS calls, COALESCE(f.stamps, '') AS failures,
			(SELECT ` + enrolled + ` FROM factors e WHERE e.application_id = :app AND e.user_id = :user) AS enrolled
		FROM users u
		LEFT JOIN reauth_sessions s ON s.application_id = :app AND s.user_id = :user AND s.session_id = :session
		LEFT JOIN reauth_sessions a ON a.application_id = :app AND a.user_id = :user AND a.session_id = ''
		LEFT JOIN reauth_windows c ON c.application_id = :app AND c.bucket = :calls
		LEFT JOIN reauth_windows f ON f.application_id = :app AND f.bucket = :failures
		WHERE u.application_id = :app AND u.id = :user`
}

type standingRow struct {
	userRow
	Proven       proven   `db:"proven"`
	ClearedAt    stamp    `db:"cleared_at"`
	AllClearedAt stamp    `db:"all_cleared_at"`
	Calls        string   `db:"calls"`
	Failures     string   `db:"failures"`
	Enrolled     enrolled `db:"enrolled"`
}

// enrolled are factors as a standing brings them.
type enrolled []stepup.EnrolledFactor

// Scan implements sql.Scanner.
func (e *enrolled) Scan(v any) error {
	*e = nil
	s, err := text(v)
	if err != nil || s == "" {
		return err
	}
	var list []struct {
		ID         string            `json:"id"`
		Kind       stepup.FactorKind `json:"kind"`
		Label      string            `json:"label"`
		Address    string            `json:"address"`
		Ref        string            `json:"ref"`
		CreatedAt  *int64            `json:"created_at"`
		VerifiedAt *int64            `json:"verified_at"`
		UsedAt     *int64            `json:"used_at"`
		Left       int               `json:"left"`
	}
	if err := json.Unmarshal([]byte(s), &list); err != nil {
		return fmt.Errorf("enrolled factors do not parse: %w", err)
	}
	for _, f := range list {
		*e = append(*e, stepup.EnrolledFactor{
			ID: f.ID, Kind: f.Kind, Label: f.Label, Address: f.Address, Ref: f.Ref,
			CreatedAt: micros(f.CreatedAt), VerifiedAt: micros(f.VerifiedAt), UsedAt: micros(f.UsedAt), Left: f.Left,
		})
	}
	return nil
}

// micros is a moment out of JSON; null is the zero time.
func micros(n *int64) time.Time {
	if n == nil {
		return time.Time{}
	}
	return time.UnixMicro(*n).UTC()
}

// Standing implements stepup.Standings.
func (s *Store) Standing(ctx context.Context, who stepup.Who) (stepup.Standing, error) {
	return s.query().standing(ctx, who)
}

func (q query) standing(ctx context.Context, who stepup.Who) (stepup.Standing, error) {
	arg := whose(who)
	arg["calls"], arg["failures"] = stepup.BucketCalls+who.UserID, stepup.BucketFailures+who.UserID
	var row standingRow
	if err := q.get(ctx, standing, &row, arg); err != nil {
		return stepup.Standing{}, err
	}
	cleared := row.ClearedAt.Time
	if row.AllClearedAt.After(cleared) {
		cleared = row.AllClearedAt.Time
	}
	return stepup.Standing{
		User: row.user(), Proven: row.Proven.after(cleared), ClearedAt: cleared,
		Factors: row.Enrolled, Calls: row.Calls, Failures: row.Failures,
	}, nil
}

// Clear implements stepup.Standings.
func (s *Store) Clear(ctx context.Context, who stepup.Who, at time.Time, log stepup.Audit) error {
	arg := whose(who)
	arg["at"], arg["kept"] = stamp{at}, keptUntil(at, sessionDays)
	return s.atomic(ctx, func(q query) error {
		if err := q.lockAlone(ctx, who); err != nil {
			return err
		}
		if who.SessionID == "" {
			if _, err := q.exec(ctx, forgetProven, arg); err != nil {
				return err
			}
		}
		if _, err := q.exec(ctx, clearSession, arg); err != nil {
			return err
		}
		if err := q.endLive(ctx, who, at); err != nil {
			return err
		}
		return q.record(ctx, log)
	})
}

// liveTables hold what can be used up.
var (
	endCodes           = both(endAll("reauth_codes", "used_at"))
	endReverifications = both(endAll("reverifications", "completed_at"))
	endStepTokens      = both(endAll("step_tokens", "used_at"))
	endProofs          = both(endAll("proofs", "used_at"))
	// What was begun before is not verified after.
	endBegunFactors = both(`DELETE FROM factors WHERE application_id = :app AND user_id = :user AND verified_at IS NULL`)
)

func endAll(table, used string) string {
	return `UPDATE ` + table + ` SET ended_at = :at WHERE application_id = :app AND user_id = :user AND (:session = '' OR session_id = :session)
		AND ` + used + ` IS NULL AND ended_at IS NULL`
}

// endLive ends what can still be used up of a session, or of all of a user's
// where who has none. The user is locked.
func (q query) endLive(ctx context.Context, who stepup.Who, at time.Time) error {
	arg := whose(who)
	arg["at"] = stamp{at}
	for _, st := range []*statement{endCodes, endReverifications, endStepTokens, endProofs, endBegunFactors} {
		if _, err := q.exec(ctx, st, arg); err != nil {
			return err
		}
	}
	return nil
}
