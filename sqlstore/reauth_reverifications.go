package sqlstore

import (
	"context"
	"strings"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth/stepup"
)

var (
	reverificationColumns = strings.Fields(`application_id id user_id session_id level operation details digest second_enrolled
		proven prepared created_at expires_at completed_at ended_at`)
	insertReverification = both(insert("reverifications", reverificationColumns))
	anyReverification    = `SELECT ` + columns(reverificationColumns) + ` FROM reverifications WHERE application_id = :app AND id = :id`
	reverification       = anyReverification + ` AND user_id = :user AND session_id = :session`
	reverificationByID   = both(anyReverification)
	getReverification    = both(reverification)
	lockReverification   = locking(reverification + ` AND completed_at IS NULL AND ended_at IS NULL`)
	prepare              = both(`UPDATE reverifications SET prepared = :challenge WHERE application_id = :app AND id = :id
		AND user_id = :user AND session_id = :session AND completed_at IS NULL AND ended_at IS NULL`)
	advanceReverification = both(`UPDATE reverifications SET proven = :proven, completed_at = :completed
		WHERE application_id = :app AND id = :id`)
)

type reverificationRow struct {
	App            string `db:"application_id"`
	UserID         string `db:"user_id"`
	ID             string `db:"id"`
	SessionID      string `db:"session_id"`
	Level          string `db:"level"`
	Operation      string `db:"operation"`
	Details        blob   `db:"details"`
	Digest         string `db:"digest"`
	SecondEnrolled bool   `db:"second_enrolled"`
	Proven         proven `db:"proven"`
	Prepared       blob   `db:"prepared"`
	CreatedAt      stamp  `db:"created_at"`
	ExpiresAt      stamp  `db:"expires_at"`
	CompletedAt    stamp  `db:"completed_at"`
	EndedAt        stamp  `db:"ended_at"`
}

func reverificationRowOf(r *stepup.Reverification) reverificationRow {
	row := reverificationRow{
		App: r.ApplicationID, UserID: r.UserID, ID: r.ID, SessionID: r.SessionID, Level: r.Level, Operation: r.Operation,
		Details: blob(r.Details), Digest: r.Digest, SecondEnrolled: r.SecondEnrolled, Prepared: blob(r.Prepared),
		CreatedAt: stamp{r.CreatedAt}, ExpiresAt: stamp{r.ExpiresAt}, CompletedAt: stamp{r.CompletedAt}, EndedAt: stamp{r.EndedAt},
	}
	for _, p := range r.Proven {
		row.Proven = row.Proven.join(p)
	}
	return row
}

func (r *reverificationRow) reverification() stepup.Reverification {
	return stepup.Reverification{
		Who: stepup.Who{ApplicationID: r.App, UserID: r.UserID, SessionID: r.SessionID}, ID: r.ID, Level: r.Level, Operation: r.Operation,
		Details: consent.Sealed(r.Details), Digest: r.Digest, SecondEnrolled: r.SecondEnrolled, Proven: r.Proven, Prepared: consent.Sealed(r.Prepared),
		CreatedAt: r.CreatedAt.Time, ExpiresAt: r.ExpiresAt.Time, CompletedAt: r.CompletedAt.Time, EndedAt: r.EndedAt.Time,
	}
}

// CreateReverification implements stepup.Reverifications.
func (s *Store) CreateReverification(ctx context.Context, r stepup.Reverification, log ...stepup.Audit) error {
	return s.atomic(ctx, func(q query) error {
		if err := q.hold(ctx, r.Who); err != nil {
			return err
		}
		if _, err := q.exec(ctx, insertReverification, reverificationRowOf(&r)); err != nil {
			return err
		}
		return q.record(ctx, log...)
	})
}

// Reverification implements stepup.Reverifications.
func (s *Store) Reverification(ctx context.Context, who stepup.Who, id string) (stepup.Reverification, error) {
	arg := whose(who)
	arg["id"] = id
	var row reverificationRow
	err := s.query().get(ctx, getReverification, &row, arg)
	return row.reverification(), err
}

// ReverificationByID implements stepup.Reverifications.
func (s *Store) ReverificationByID(ctx context.Context, applicationID, id string) (stepup.Reverification, error) {
	var row reverificationRow
	err := s.query().get(ctx, reverificationByID, &row, args{"app": applicationID, "id": id})
	return row.reverification(), err
}

// Prepare implements stepup.Reverifications.
func (s *Store) Prepare(ctx context.Context, who stepup.Who, id string, challenge consent.Sealed, log ...stepup.Audit) error {
	return s.atomic(ctx, func(q query) error {
		if err := q.keepChallenge(ctx, who, id, challenge); err != nil {
			return err
		}
		return q.record(ctx, log...)
	})
}

func (q query) keepChallenge(ctx context.Context, who stepup.Who, id string, challenge consent.Sealed) error {
	arg := whose(who)
	arg["id"], arg["challenge"] = id, blob(challenge)
	return q.found(ctx, prepare, arg)
}

// TakePrepared implements stepup.Reverifications.
func (s *Store) TakePrepared(ctx context.Context, who stepup.Who, id string) (challenge consent.Sealed, err error) {
	err = s.atomic(ctx, func(q query) error {
		r, err := q.liveReverification(ctx, who, id)
		if err != nil {
			return err
		}
		if r.Prepared == nil {
			return consent.ErrNotFound
		}
		challenge = consent.Sealed(r.Prepared)
		return q.keepChallenge(ctx, who, id, nil)
	})
	if err != nil {
		return nil, err
	}
	return challenge, nil
}

// liveReverification locks one that is neither complete nor ended, or answers
// ErrNotFound.
func (q query) liveReverification(ctx context.Context, who stepup.Who, id string) (reverificationRow, error) {
	arg := whose(who)
	arg["id"] = id
	var row reverificationRow
	err := q.get(ctx, lockReverification, &row, arg)
	return row, err
}
