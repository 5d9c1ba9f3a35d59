package sqlstore

import (
	"context"
	"time"

	"github.com/reconsent/reconsent/consent"
)

var (
	selectAttempt = `SELECT ` + columns(attemptColumns) + ` FROM attempts `
	attemptByID   = both(selectAttempt + `WHERE application_id = :app AND id = :id`)
	lockAttempt   = locking(selectAttempt + `WHERE application_id = :app AND id = :id`)
	insertAttempt = both(insert("attempts", attemptColumns))

	// beginAttempt is one statement on PostgreSQL: an insert, a line of
	// history and its number in one round trip. SQLite has no statement that
	// changes two tables; its transaction is in BeginAttempt.
	beginAttempt = sideBySide(`WITH bumped AS (
			UPDATE consents SET seq = seq + 1 WHERE application_id = :application_id AND id = :consent_id RETURNING seq, cycle
		), line AS (
			INSERT INTO events (application_id, consent_id, seq, id, type, at, cycle, stage, data)
			SELECT CAST(:application_id AS TEXT), CAST(:consent_id AS TEXT), seq, CAST(:event_id AS TEXT), CAST(:event_type AS TEXT),
				CAST(:event_at AS BIGINT), cycle, '', CAST(:event_data AS TEXT) FROM bumped
		) `+insert("attempts", attemptColumns), ``)

	reusableAttempt = both(selectAttempt + `WHERE application_id = :app AND consent_id = :consent AND reuse_key = :key
		AND status = 'started' AND created_at > :since AND expires_at > :now ORDER BY created_at DESC LIMIT 1`)
	attemptsByState = both(selectAttempt + `WHERE application_id = :app AND state_hash = :hash ORDER BY created_at DESC, id DESC LIMIT 10`)

	claimAttempt = both(`UPDATE attempts SET status = :status, claim_id = :claim, claimed_until = :until, code = COALESCE(:code, code)
		WHERE application_id = :app AND id = :id`)
	keepGrant = both(`UPDATE attempts SET kept_grant = :grant, code = NULL
		WHERE application_id = :app AND id = :id AND claim_id = :claim AND status IN ('claimed', 'pending')`)
	releaseAttempt = both(`UPDATE attempts SET claimed_until = :now
		WHERE application_id = :app AND id = :id AND claim_id = :claim AND status IN ('claimed', 'pending')`)
	// finishAttempt ends whatever claim there is, and forgets code and grant.
	finishAttempt = both(`UPDATE attempts SET status = :status, reason = :reason, finished_at = :at, consent_id = :consent,
		credentials_id = :credentials, claim_id = '', claimed_until = NULL, code = NULL, kept_grant = NULL, verifier = NULL, uri = NULL
		WHERE application_id = :app AND id = :id`)
	holdAttempt = both(`UPDATE attempts SET status = 'pending', consent_id = :consent, credentials_id = :credentials,
		result_hash = :result, confirm_by = :confirm_by, claim_id = '', claimed_until = NULL, code = NULL, verifier = NULL, uri = NULL
		WHERE application_id = :app AND id = :id`)
	setResult = both(`UPDATE attempts SET result_hash = :result WHERE application_id = :app AND id = :id`)

	writeConsent = both(`UPDATE consents SET provider_id = :provider_id, bank_name = :bank_name, account_label = :account_label,
		credentials_id = :credentials_id, cycle = :cycle, scopes = :scopes, consented_at = :consented_at,
		expires_at = :expires_at, expiry_source = :expiry_source, ended_at = :ended_at, ended_reason = :ended_reason, refused_at = :refused_at,
		pending = :pending, lapsing_at = :lapsing_at, lapses_at = :lapses_at, renewable_until = :renewable_until, next_stage_at = :next_stage_at,
		accounts = :accounts, refresh_token = COALESCE(:refresh_token, refresh_token), access_token = :access_token,
		access_expires_at = :access_expires_at, refreshed_at = :refreshed_at
		WHERE application_id = :application_id AND id = :id`)
	forgetAccess = both(`UPDATE consents SET access_token = NULL, access_expires_at = NULL
		WHERE application_id = :app AND credentials_id = :credentials AND provider = :provider`)
)

// begin is the argument of beginAttempt.
type begin struct {
	attemptRow
	EventID   string   `db:"event_id"`
	EventType string   `db:"event_type"`
	EventAt   stamp    `db:"event_at"`
	EventData document `db:"event_data"`
}

// BeginAttempt implements consent.Attempts.
func (s *Store) BeginAttempt(ctx context.Context, a consent.Attempt, event *consent.Event) error {
	row := attemptRowOf(&a)
	if event == nil {
		_, err := s.query().exec(ctx, insertAttempt, row)
		return err
	}
	if beginAttempt.text(s.dialect) != "" {
		_, err := s.query().exec(ctx, beginAttempt, begin{row, event.ID, string(event.Type), stamp{event.At}, event.Data})
		return err
	}
	return s.atomic(ctx, func(q query) error {
		if _, err := q.exec(ctx, insertAttempt, row); err != nil {
			return err
		}
		return q.addEvents(ctx, a.ApplicationID, a.ConsentID, *event)
	})
}

// Attempt implements consent.Attempts.
func (s *Store) Attempt(ctx context.Context, applicationID, id string) (consent.Attempt, error) {
	return s.query().attempt(ctx, attemptByID, args{"app": applicationID, "id": id})
}

func (q query) attempt(ctx context.Context, st *statement, arg any) (consent.Attempt, error) {
	var row attemptRow
	err := q.get(ctx, st, &row, arg)
	return row.attempt(), err
}

// ReusableAttempt implements consent.Attempts.
func (s *Store) ReusableAttempt(ctx context.Context, applicationID, consentID string, reuseKey []byte, since, now time.Time) (consent.Attempt, error) {
	return s.query().attempt(ctx, reusableAttempt, args{
		"app": applicationID, "consent": consentID, "key": blob(reuseKey), "since": stamp{since}, "now": stamp{now},
	})
}

// AttemptsByState implements consent.Attempts.
func (s *Store) AttemptsByState(ctx context.Context, applicationID string, stateHashes [][]byte) ([]consent.Attempt, error) {
	var rows []attemptRow
	for _, hash := range stateHashes {
		var some []attemptRow
		if err := s.query().list(ctx, attemptsByState, &some, args{"app": applicationID, "hash": blob(hash)}); err != nil {
			return nil, err
		}
		rows = append(rows, some...)
	}
	return attemptsOf(rows), nil
}

// ClaimAttempt implements consent.Attempts.
func (s *Store) ClaimAttempt(ctx context.Context, c consent.Claim) (consent.Attempt, error) {
	var a consent.Attempt
	err := s.atomic(ctx, func(q query) (err error) {
		if a, err = q.attempt(ctx, lockAttempt, args{"app": c.ApplicationID, "id": c.AttemptID}); err != nil {
			return err
		}
		switch a.StatusAt(c.Now) {
		case consent.AttemptStarted:
		case consent.AttemptClaimed:
			if a.ClaimedUntil.After(c.Now) {
				return consent.ErrBusy
			}
		case consent.AttemptExpired:
			if a.Status == consent.AttemptExpired {
				return nil
			}
			return q.finish(ctx, &a, consent.AttemptExpired, "", c.Now)
		default:
			return nil
		}
		if len(a.Grant) == 0 { // what has brought a grant must be carried to its end
			if done, err := q.overtaken(ctx, &a, c.Now); done || err != nil {
				return err
			}
		}
		return q.claim(ctx, &a, consent.AttemptClaimed, c)
	})
	return a, err
}

// overtaken ends an attempt whose consent has moved on since it began.
func (q query) overtaken(ctx context.Context, a *consent.Attempt, now time.Time) (bool, error) {
	if a.ConsentID == "" {
		return false, nil
	}
	var row consentRow
	if err := q.get(ctx, lockConsent, &row, args{"app": a.ApplicationID, "id": a.ConsentID}); err != nil {
		return false, err
	}
	switch {
	case !row.RevokedAt.IsZero():
		return true, q.finish(ctx, a, consent.AttemptFailed, "consent_revoked", now)
	case row.Cycle != a.Cycle:
		return true, q.finish(ctx, a, consent.AttemptRenewed, "overtaken", now)
	default:
		return false, nil
	}
}

// claim writes the claim over an attempt and takes its consent's lease.
func (q query) claim(ctx context.Context, a *consent.Attempt, status consent.AttemptStatus, c consent.Claim) error {
	if a.ConsentID != "" {
		n, err := q.exec(ctx, leaseForClaim, args{
			"app": a.ApplicationID, "id": a.ConsentID, "lease": c.ClaimID, "now": stamp{c.Now}, "until": stamp{c.Until}, "stale": a.ClaimID,
		})
		if err != nil {
			return err
		}
		if n == 0 {
			return consent.ErrBusy
		}
	}
	if _, err := q.exec(ctx, claimAttempt, args{
		"app": a.ApplicationID, "id": a.ID, "status": string(status), "claim": c.ClaimID, "until": stamp{c.Until}, "code": blob(c.Code),
	}); err != nil {
		return err
	}
	a.Status, a.ClaimID, a.ClaimedUntil = status, c.ClaimID, c.Until
	if len(c.Code) > 0 {
		a.Code = c.Code
	}
	return nil
}

// leaseForClaim also takes over the lease of the attempt's own stale claim.
var leaseForClaim = both(`UPDATE consents SET lease_id = :lease, lease_until = :until
	WHERE application_id = :app AND id = :id AND (lease_id = '' OR lease_id = :stale OR lease_until <= :now)`)

// finish ends an attempt and frees its consent's lease. It does not look
// whether the caller may.
func (q query) finish(ctx context.Context, a *consent.Attempt, status consent.AttemptStatus, reason string, at time.Time) error {
	if err := q.freeLease(ctx, a); err != nil {
		return err
	}
	err := q.one(ctx, finishAttempt, args{
		"app": a.ApplicationID, "id": a.ID, "status": string(status), "reason": reason, "at": stamp{at},
		"consent": a.ConsentID, "credentials": a.CredentialsID,
	})
	a.Status, a.Reason, a.FinishedAt = status, reason, at
	a.ClaimID, a.ClaimedUntil, a.Code, a.Grant, a.Verifier, a.URI = "", time.Time{}, nil, nil, nil, nil
	return err
}

func (q query) freeLease(ctx context.Context, a *consent.Attempt) error {
	if a.ConsentID == "" || a.ClaimID == "" {
		return nil
	}
	_, err := q.exec(ctx, freeLease, args{"app": a.ApplicationID, "id": a.ConsentID, "lease": a.ClaimID})
	return err
}

// claimed locks an attempt that the caller has claimed, or answers ErrClaimLost.
func (q query) claimed(ctx context.Context, app, id, claimID string) (consent.Attempt, error) {
	a, err := q.attempt(ctx, lockAttempt, args{"app": app, "id": id})
	if err != nil {
		return a, err
	}
	if a.ClaimID != claimID || (a.Status != consent.AttemptClaimed && a.Status != consent.AttemptPending) {
		return a, consent.ErrClaimLost
	}
	return a, nil
}

// ClaimConfirmation implements consent.Attempts.
func (s *Store) ClaimConfirmation(ctx context.Context, c consent.Claim) (consent.Attempt, error) {
	var a consent.Attempt
	err := s.atomic(ctx, func(q query) (err error) {
		if a, err = q.attempt(ctx, lockAttempt, args{"app": c.ApplicationID, "id": c.AttemptID}); err != nil {
			return err
		}
		switch {
		case !a.Status.Finished():
			return consent.ErrBusy
		case a.Status != consent.AttemptPending:
			return nil
		case a.ClaimID != "" && a.ClaimedUntil.After(c.Now):
			return consent.ErrBusy
		}
		return q.claim(ctx, &a, consent.AttemptPending, c)
	})
	return a, err
}

// KeepGrant implements consent.Attempts.
func (s *Store) KeepGrant(ctx context.Context, applicationID, attemptID, claimID string, grant consent.Sealed) error {
	return s.underClaim(ctx, keepGrant, args{"app": applicationID, "id": attemptID, "claim": claimID, "grant": blob(grant)})
}

// underClaim runs a statement that only the holder of the claim may run.
func (s *Store) underClaim(ctx context.Context, st *statement, arg args) error {
	n, err := s.query().exec(ctx, st, arg)
	if err != nil || n > 0 {
		return err
	}
	if _, err := s.query().attempt(ctx, attemptByID, arg); err != nil {
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
		return q.one(ctx, releaseAttempt, args{"app": applicationID, "id": attemptID, "claim": claimID, "now": stamp{now}})
	})
}

// FinishAttempt implements consent.Attempts.
func (s *Store) FinishAttempt(ctx context.Context, f consent.Finish) (consent.Attempt, error) {
	var a consent.Attempt
	err := s.atomic(ctx, func(q query) (err error) {
		a, err = q.attempt(ctx, lockAttempt, args{"app": f.ApplicationID, "id": f.AttemptID})
		if err != nil {
			return err
		}
		unclaimed := f.ClaimID == "" && a.Status == consent.AttemptStarted
		held := f.ClaimID != "" && a.ClaimID == f.ClaimID
		if !unclaimed && !held {
			return consent.ErrClaimLost
		}
		a.CredentialsID = f.CredentialsID
		if err := q.finish(ctx, &a, f.Status, f.Reason, f.At); err != nil {
			return err
		}
		if f.Event != nil && a.ConsentID != "" {
			if err := q.addEvents(ctx, a.ApplicationID, a.ConsentID, *f.Event); err != nil {
				return err
			}
		}
		if f.ForgetAccess {
			if _, err := q.exec(ctx, forgetAccess, args{"app": a.ApplicationID, "provider": a.Provider, "credentials": f.CredentialsID}); err != nil {
				return err
			}
		}
		return q.addGiveBack(ctx, f.GiveBack)
	})
	return a, err
}
