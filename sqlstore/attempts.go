package sqlstore

import (
	"context"
	"errors"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/migrations"
)

var (
	selectAttempt = `SELECT ` + columns(attemptColumns) + ` FROM attempts `
	attemptByID   = both(selectAttempt + `WHERE application_id = :app AND id = :id`)
	lockAttempt   = locking(selectAttempt + `WHERE application_id = :app AND id = :id`)
	insertAttempt = both(insert("attempts", attemptColumns))

	// beginAttempt adds an attempt, a line of history and its number in one
	// round trip; nothing where there is no such consent. SQLite has no
	// statement that changes two tables: its transaction is in BeginAttempt.
	beginAttempt = onPostgres(`WITH bumped AS (
			UPDATE consents SET seq = seq + 1 WHERE application_id = :application_id AND id = :consent_id RETURNING seq, cycle
		), line AS (
			INSERT INTO events (` + columns(eventColumns) + `)
			SELECT ` + typed("application_id", "consent_id") + `, seq, ` + typed("event_id", "event_type", "event_at") + `, cycle, ` + typed("event_stage", "event_data") + ` FROM bumped
		) INSERT INTO attempts (` + columns(attemptColumns) + `) SELECT ` + typed(attemptColumns...) + ` FROM bumped`)

	openAttempts = both(selectAttempt + `WHERE application_id = :app AND user_id = :user
		AND status IN ('started', 'claimed', 'pending') ORDER BY created_at, id`)
	reusableAttempt = both(selectAttempt + `WHERE application_id = :app AND consent_id = :consent AND reuse_key = :key
		AND status = 'started' AND created_at > :since AND expires_at > :now ORDER BY created_at DESC, id DESC LIMIT 1`)
	attemptsByState = both(selectAttempt + `WHERE application_id = :app AND state_hash = :hash ORDER BY created_at DESC, id DESC LIMIT :limit`)

	keepGrant = both(`UPDATE attempts SET kept_grant = :grant, code = NULL
		WHERE application_id = :app AND id = :id AND claim_id = :claim AND claim_id <> '' AND status IN ('claimed', 'pending')`)
	// releaseAttempt leaves a claimed attempt claimed, and stale at once: it
	// has begun to bring something, so it no longer expires like a started one.
	releaseAttempt = both(`UPDATE attempts SET claim_id = '', claimed_until = :now WHERE application_id = :app AND id = :id`)
)

// BeginAttempt implements consent.Attempts.
func (s *Store) BeginAttempt(ctx context.Context, a consent.Attempt, event *consent.Event) error {
	row := attemptRowOf(&a)
	switch {
	case event == nil:
		_, err := s.query().exec(ctx, insertAttempt, row)
		return err
	case s.dialect == migrations.Postgres:
		return again(func() error {
			return s.query().one(ctx, beginAttempt, struct {
				attemptRow
				line
			}{row, lineOf(event)})
		})
	default:
		return s.atomic(ctx, func(q query) error {
			if _, err := q.exec(ctx, insertAttempt, row); err != nil {
				return err
			}
			return q.addEvents(ctx, a.ApplicationID, a.ConsentID, *event)
		})
	}
}

// Attempt implements consent.Attempts.
func (s *Store) Attempt(ctx context.Context, applicationID, id string) (consent.Attempt, error) {
	return s.query().attempt(ctx, attemptByID, args{"app": applicationID, "id": id})
}

func (q query) attempt(ctx context.Context, st *statement, arg any) (consent.Attempt, error) {
	var row attemptRow
	if err := q.get(ctx, st, &row, arg); err != nil {
		return consent.Attempt{}, err
	}
	return row.attempt(), nil
}

// ReusableAttempt implements consent.Attempts.
func (s *Store) ReusableAttempt(ctx context.Context, applicationID, consentID string, reuseKey []byte, since, now time.Time) (consent.Attempt, error) {
	return s.query().attempt(ctx, reusableAttempt, args{
		"app": applicationID, "consent": consentID, "key": blob(reuseKey), "since": stamp{since}, "now": stamp{now},
	})
}

// stateMatches is how many attempts one state is followed to.
const stateMatches = 10

// OpenAttempts implements consent.Attempts.
func (s *Store) OpenAttempts(ctx context.Context, applicationID, userID string) ([]consent.Attempt, error) {
	var rows []attemptRow
	err := s.query().list(ctx, openAttempts, &rows, args{"app": applicationID, "user": userID})
	return attemptsOf(rows), err
}

// AttemptsByState implements consent.Attempts.
func (s *Store) AttemptsByState(ctx context.Context, applicationID string, stateHash []byte) ([]consent.Attempt, error) {
	var rows []attemptRow
	err := s.query().list(ctx, attemptsByState, &rows, args{"app": applicationID, "hash": blob(stateHash), "limit": stateMatches})
	return attemptsOf(rows), err
}

// KeepGrant implements consent.Attempts.
func (s *Store) KeepGrant(ctx context.Context, applicationID, attemptID, claimID string, grant consent.Sealed) error {
	err := s.query().one(ctx, keepGrant, args{"app": applicationID, "id": attemptID, "claim": claimID, "grant": blob(grant)})
	if errors.Is(err, consent.ErrNotFound) {
		return s.lostOrUnknown(ctx, applicationID, attemptID)
	}
	return err
}

// lostOrUnknown says why nothing could be done under a claim.
func (s *Store) lostOrUnknown(ctx context.Context, applicationID, attemptID string) error {
	if _, err := s.Attempt(ctx, applicationID, attemptID); err != nil {
		return err
	}
	return consent.ErrClaimLost
}

// ReleaseAttempt implements consent.Attempts.
func (s *Store) ReleaseAttempt(ctx context.Context, applicationID, attemptID, claimID string, now time.Time) error {
	return s.atomic(ctx, func(q query) error {
		a, err := q.claimed(ctx, applicationID, attemptID, claimID)
		if err != nil {
			return err
		}
		if err := q.freeLease(ctx, &a); err != nil {
			return err
		}
		if len(a.Grant) > 0 {
			own := args{"app": applicationID, "consent": a.ConsentID, "provider": a.Provider, "credentials": ""}
			if _, err := q.exec(ctx, forgetAccess, own); err != nil {
				return err
			}
		}
		return q.one(ctx, releaseAttempt, args{"app": applicationID, "id": attemptID, "now": stamp{now}})
	})
}

// claimed locks an attempt that the caller has claimed, or answers ErrClaimLost.
func (q query) claimed(ctx context.Context, app, id, claimID string) (consent.Attempt, error) {
	a, err := q.attempt(ctx, lockAttempt, args{"app": app, "id": id})
	if err == nil && !holds(&a, claimID) {
		err = consent.ErrClaimLost
	}
	return a, err
}

// holds reports whether a claim is the one in force.
func holds(a *consent.Attempt, claimID string) bool {
	return claimID != "" && a.ClaimID == claimID && (a.Status == consent.AttemptClaimed || a.Status == consent.AttemptPending)
}

func (q query) freeLease(ctx context.Context, a *consent.Attempt) error {
	if a.ConsentID == "" || a.ClaimID == "" {
		return nil
	}
	_, err := q.exec(ctx, freeLease, args{"app": a.ApplicationID, "id": a.ConsentID, "lease": a.ClaimID})
	return err
}
