package sqlstore

import (
	"context"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/migrations"
)

// verdict is what becomes of an attempt that somebody wants to complete.
type verdict string

const (
	claimable verdict = "claimed"   // it is the caller's now
	occupied  verdict = "busy"      // another claim, or a lease on its consent, is in force
	shown     verdict = "shown"     // it has an outcome already
	tooLate   verdict = "expired"   // nobody came back in time
	ended     verdict = "revoked"   // its consent was revoked since it began
	overtaken verdict = "overtaken" // its consent was renewed since it began
	orphaned  verdict = "orphaned"  // its consent is not there
)

// outcome is how a verdict ends an attempt; the zero one ends nothing.
func (v verdict) outcome() (consent.AttemptStatus, string) {
	switch v {
	case tooLate:
		return consent.AttemptExpired, ""
	case ended:
		return consent.AttemptFailed, "consent_revoked"
	case overtaken:
		return consent.AttemptRenewed, "overtaken"
	default:
		return "", ""
	}
}

// claimInOne is ClaimAttempt in one statement: two thirds of the time of the
// transaction that it is on SQLite.
//
// A statement sees the rows as they were when it began. Two claimers at once
// are kept apart by reading attempt and consent through FOR UPDATE, in that
// order, as everywhere: the second waits there, then gets the newest version
// of the row and judges by that. The changes below find their rows by key
// alone, follow them to the newest version likewise, and take everything else
// from the verdict. MATERIALIZED keeps it at one reading.
//
// A key that comes from another part of the statement is a subquery in
// brackets and not a join: then both columns of the primary key are known when
// it is looked up, whatever the planner believes of the tables.
//
// What has brought a grant is carried to its end even where the consent has
// moved on: somebody must give the grant back.
var claimInOne = onPostgres(`WITH a AS MATERIALIZED (
		` + selectAttempt + `WHERE application_id = :app AND id = :id FOR UPDATE
	), c AS MATERIALIZED (
		SELECT id, cycle, revoked_at, lease_id, lease_until FROM consents
		WHERE application_id = :app AND id = (SELECT consent_id FROM a WHERE status IN ('started', 'claimed')) FOR UPDATE
	), v AS MATERIALIZED (
		SELECT a.*, CASE
			WHEN a.status NOT IN ('started', 'claimed') THEN 'shown'
			WHEN a.status = 'claimed' AND a.claimed_until > :now THEN 'busy'
			WHEN a.status = 'started' AND a.expires_at <= :now THEN 'expired'
			WHEN a.consent_id = '' THEN 'claimed'
			WHEN c.id IS NULL THEN 'orphaned'
			WHEN a.kept_grant IS NULL AND c.revoked_at IS NOT NULL THEN 'revoked'
			WHEN a.kept_grant IS NULL AND c.cycle <> a.cycle THEN 'overtaken'
			WHEN c.lease_id NOT IN ('', a.claim_id) AND c.lease_until > :now THEN 'busy'
			ELSE 'claimed' END AS verdict
		FROM a LEFT JOIN c ON TRUE
	), leased AS (
		UPDATE consents SET lease_id = :claim, lease_until = :until
		WHERE application_id = :app AND id = (SELECT consent_id FROM v WHERE verdict = 'claimed')
	), freed AS (
		UPDATE consents SET lease_id = '', lease_until = NULL
		WHERE application_id = :app AND id = (SELECT consent_id FROM v WHERE verdict IN ('revoked', 'overtaken'))
			AND lease_id = (SELECT claim_id FROM v WHERE claim_id <> '')
	), taken AS (
		UPDATE attempts SET status = 'claimed', claim_id = :claim, claimed_until = :until, code = COALESCE(code, :code)
		WHERE application_id = :app AND id = (SELECT id FROM v WHERE verdict = 'claimed')
	), finished AS (
		UPDATE attempts SET
			status = (SELECT CASE verdict WHEN 'expired' THEN 'expired' WHEN 'revoked' THEN 'failed' ELSE 'renewed' END FROM v),
			reason = (SELECT CASE verdict WHEN 'expired' THEN '' WHEN 'revoked' THEN 'consent_revoked' ELSE 'overtaken' END FROM v),
			finished_at = :now, ` + unclaimed + `
		WHERE application_id = :app AND id = (SELECT id FROM v WHERE verdict IN ('expired', 'revoked', 'overtaken'))
	) SELECT ` + columns(attemptColumns) + `, verdict FROM v`)

// ClaimAttempt implements consent.Attempts.
func (s *Store) ClaimAttempt(ctx context.Context, c consent.Claim) (consent.Attempt, error) {
	if s.dialect == migrations.Postgres {
		var row struct {
			attemptRow
			Verdict verdict `db:"verdict"`
		}
		err := again(func() error {
			return s.query().get(ctx, claimInOne, &row, args{
				"app": c.ApplicationID, "id": c.AttemptID, "claim": c.ClaimID, "now": stamp{c.Now}, "until": stamp{c.Until}, "code": code(c),
			})
		})
		if err != nil {
			return consent.Attempt{}, err
		}
		return settled(row.attempt(), row.Verdict, c)
	}
	var a consent.Attempt
	err := s.atomic(ctx, func(q query) (err error) {
		if a, err = q.attempt(ctx, lockAttempt, args{"app": c.ApplicationID, "id": c.AttemptID}); err != nil {
			return err
		}
		v, err := q.judge(ctx, &a, c.Now)
		if err != nil {
			return err
		}
		if v == claimable {
			a, err = q.claim(ctx, a, consent.AttemptClaimed, c)
			return err
		}
		if status, reason := v.outcome(); status != "" {
			a, err = q.finish(ctx, a, status, reason, c.Now)
			return err
		}
		a, err = settled(a, v, c)
		return err
	})
	if err != nil {
		return consent.Attempt{}, err
	}
	return a, nil
}

// judge is the verdict of claimInOne, in Go.
func (q query) judge(ctx context.Context, a *consent.Attempt, now time.Time) (verdict, error) {
	switch a.StatusAt(now) {
	case consent.AttemptStarted:
	case consent.AttemptClaimed:
		if a.ClaimedUntil.After(now) {
			return occupied, nil
		}
	case consent.AttemptExpired:
		if a.Status == consent.AttemptStarted {
			return tooLate, nil
		}
		return shown, nil
	default:
		return shown, nil
	}
	if a.ConsentID == "" {
		return claimable, nil
	}
	var c consentRow
	err := q.get(ctx, lockConsent, &c, args{"app": a.ApplicationID, "id": a.ConsentID})
	switch {
	case isNotFound(err):
		return orphaned, nil
	case err != nil:
		return "", err
	case len(a.Grant) == 0 && !c.RevokedAt.IsZero():
		return ended, nil
	case len(a.Grant) == 0 && c.Cycle != a.Cycle:
		return overtaken, nil
	case c.LeaseID != "" && c.LeaseID != a.ClaimID && c.LeaseUntil.After(now):
		return occupied, nil
	default:
		return claimable, nil
	}
}

// settled returns an attempt as the verdict on it left it.
func settled(a consent.Attempt, v verdict, c consent.Claim) (consent.Attempt, error) {
	switch v {
	case occupied:
		return consent.Attempt{}, consent.ErrBusy
	case orphaned:
		return consent.Attempt{}, consent.ErrNotFound
	case claimable:
		return under(a, consent.AttemptClaimed, c), nil
	case shown:
		return a, nil
	default:
		status, reason := v.outcome()
		return over(a, status, reason, c.Now), nil
	}
}

// under returns an attempt with a claim over it.
func under(a consent.Attempt, status consent.AttemptStatus, c consent.Claim) consent.Attempt {
	a.Status, a.ClaimID, a.ClaimedUntil = status, c.ClaimID, moment(c.Until)
	if len(a.Code) == 0 && len(c.Code) > 0 {
		a.Code = c.Code
	}
	return a
}

// over returns an attempt that has come to an end: claim and secrets go.
func over(a consent.Attempt, status consent.AttemptStatus, reason string, at time.Time) consent.Attempt {
	a.Status, a.Reason, a.FinishedAt = status, reason, moment(at)
	a.ClaimID, a.ClaimedUntil, a.Code, a.Grant, a.Verifier, a.URI = "", time.Time{}, nil, nil, nil, nil
	return a
}

// code is NULL where a claim brings none.
func code(c consent.Claim) blob {
	if len(c.Code) == 0 {
		return nil
	}
	return blob(c.Code)
}

var (
	// leaseForClaim also takes over the lease of the attempt's own stale claim.
	leaseForClaim = both(`UPDATE consents SET lease_id = :lease, lease_until = :until
		WHERE application_id = :app AND id = :id AND (lease_id = '' OR lease_id = :stale OR lease_until <= :now)`)
	claimAttempt = both(`UPDATE attempts SET status = :status, claim_id = :claim, claimed_until = :until, code = COALESCE(code, :code)
		WHERE application_id = :app AND id = :id`)
)

// claim writes a claim over a locked attempt and takes its consent's lease.
func (q query) claim(ctx context.Context, a consent.Attempt, status consent.AttemptStatus, c consent.Claim) (consent.Attempt, error) {
	if a.ConsentID != "" {
		err := q.one(ctx, leaseForClaim, args{
			"app": a.ApplicationID, "id": a.ConsentID, "lease": c.ClaimID, "now": stamp{c.Now}, "until": stamp{c.Until}, "stale": a.ClaimID,
		})
		if isNotFound(err) {
			return a, consent.ErrBusy
		}
		if err != nil {
			return a, err
		}
	}
	err := q.one(ctx, claimAttempt, args{
		"app": a.ApplicationID, "id": a.ID, "status": string(status), "claim": c.ClaimID, "until": stamp{c.Until}, "code": code(c),
	})
	return under(a, status, c), err
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
		a, err = q.claim(ctx, a, consent.AttemptPending, c)
		return err
	})
	if err != nil {
		return consent.Attempt{}, err
	}
	return a, nil
}
