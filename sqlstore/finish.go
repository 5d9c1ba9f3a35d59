package sqlstore

import (
	"context"
	"time"

	"github.com/reconsent/reconsent/consent"
)

// unclaimed ends whatever claim lies over an attempt, and forgets what it kept
// of the trip but its outcome.
const unclaimed = `claim_id = '', claimed_until = NULL, code = NULL, kept_grant = NULL, verifier = NULL, uri = NULL`

var (
	// finishAttempt ends whatever claim there is, and forgets code and grant.
	finishAttempt = both(`UPDATE attempts SET status = :status, reason = :reason, finished_at = :at, consent_id = :consent,
		credentials_id = :credentials, ` + unclaimed + `
		WHERE application_id = :app AND id = :id`)
	// lockAlike locks an attempt's consent and all of a login in one order, so
	// that two failures of the same login cannot wait for each other.
	lockAlike = locking(`SELECT id FROM consents WHERE application_id = :app
		AND (id = :consent OR credentials_id = :credentials AND provider = :provider) ORDER BY id`)
	forgetAccess = both(`UPDATE consents SET access_token = NULL, access_expires_at = NULL
		WHERE application_id = :app AND (credentials_id = :credentials AND provider = :provider OR :credentials = '' AND id = :consent)`)
)

// FinishAttempt implements consent.Attempts.
func (s *Store) FinishAttempt(ctx context.Context, f consent.Finish) (consent.Attempt, error) {
	var a consent.Attempt
	err := s.atomic(ctx, func(q query) (err error) {
		if a, err = q.attempt(ctx, lockAttempt, args{"app": f.ApplicationID, "id": f.AttemptID}); err != nil {
			return err
		}
		if started := f.ClaimID == "" && a.Status == consent.AttemptStarted; !started && !holds(&a, f.ClaimID) {
			return consent.ErrClaimLost
		}
		a.CredentialsID = f.CredentialsID
		if f.ConsentID != "" && f.ConsentID != a.ConsentID {
			if err := q.freeLease(ctx, &a); err != nil {
				return err
			}
			a.ConsentID = f.ConsentID
		}
		login := args{"app": a.ApplicationID, "consent": a.ConsentID, "provider": a.Provider, "credentials": f.CredentialsID}
		if f.ForgetAccess {
			var locked []string
			if err := q.list(ctx, lockAlike, &locked, login); err != nil {
				return err
			}
		}
		if a, err = q.finish(ctx, a, f.Status, f.Reason, f.At); err != nil {
			return err
		}
		if f.Event != nil && a.ConsentID != "" {
			if err := q.addEvents(ctx, a.ApplicationID, a.ConsentID, *f.Event); err != nil {
				return err
			}
		}
		if f.ForgetAccess {
			if _, err := q.exec(ctx, forgetAccess, login); err != nil {
				return err
			}
		}
		return q.addGiveBack(ctx, f.GiveBack)
	})
	if err != nil {
		return consent.Attempt{}, err
	}
	return a, nil
}

// finish ends a locked attempt and frees its consent's lease. It does not look
// whether the caller may.
func (q query) finish(ctx context.Context, a consent.Attempt, status consent.AttemptStatus, reason string, at time.Time) (consent.Attempt, error) {
	if err := q.freeLease(ctx, &a); err != nil {
		return a, err
	}
	err := q.one(ctx, finishAttempt, args{
		"app": a.ApplicationID, "id": a.ID, "status": string(status), "reason": reason, "at": stamp{at},
		"consent": a.ConsentID, "credentials": a.CredentialsID,
	})
	return over(a, status, reason, at), err
}
