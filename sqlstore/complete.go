package sqlstore

import (
	"context"
	"errors"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/migrations"
)

// newCycle is what a trip to the bank writes into its consent. Who it belongs
// to, and what it is at the provider, stays.
const newCycle = `provider_id = :provider_id, bank_name = :bank_name, account_label = :account_label, account_count = :account_count,
	credentials_id = :credentials_id, cycle = :cycle, scopes = :scopes, redirect_uri = :redirect_uri, hosted = :hosted,
	consented_at = :consented_at, expires_at = :expires_at, expiry_source = :expiry_source,
	ended_at = :ended_at, ended_reason = :ended_reason, refused_at = :refused_at, pending = :pending,
	lapsing_at = :lapsing_at, lapses_at = :lapses_at, renewable_until = :renewable_until, next_stage_at = :next_stage_at,
	announced = :announced, parked_at = :parked_at, parked_reason = :parked_reason, next_check_at = :next_check_at,
	accounts = :accounts, refresh_token = COALESCE(:refresh_token, refresh_token), access_token = :access_token,
	access_expires_at = :access_expires_at, refreshed_at = :refreshed_at`

var (
	writeConsent = both(`UPDATE consents SET ` + newCycle + ` WHERE application_id = :application_id AND id = :id`)
	holdAttempt  = both(`UPDATE attempts SET status = 'pending', consent_id = :consent, credentials_id = :credentials,
		result_hash = :result, confirm_by = :confirm_by, claim_id = '', claimed_until = NULL, code = NULL, verifier = NULL, uri = NULL
		WHERE application_id = :app AND id = :id`)
	setResult = both(`UPDATE attempts SET result_hash = :result WHERE application_id = :app AND id = :id`)

	// renewInOne is Renew in one statement; see claimInOne for why it is sound.
	// It returns the consent, or nothing where it may not be renewed.
	renewInOne = onPostgres(`WITH a AS MATERIALIZED (
			SELECT id, consent_id FROM attempts WHERE application_id = :application_id AND id = :attempt_id
				AND claim_id = :claim_id AND claim_id <> '' AND status IN ('claimed', 'pending') FOR UPDATE
		), c AS MATERIALIZED (
			SELECT id FROM consents WHERE application_id = :application_id AND id = :id AND EXISTS (SELECT FROM a)
				AND cycle = :cycle - 1 AND revoked_at IS NULL FOR UPDATE
		), written AS (
			UPDATE consents SET ` + newCycle + `, seq = seq + 1,
				lease_id = CASE WHEN lease_id = :claim_id THEN '' ELSE lease_id END,
				lease_until = CASE WHEN lease_id = :claim_id THEN NULL ELSE lease_until END
			WHERE application_id = :application_id AND id = (SELECT id FROM c)
			RETURNING ` + columns(consentColumns) + `
		), freed AS ( -- of the consent that a link was to replace, but renewed another
			UPDATE consents SET lease_id = '', lease_until = NULL
			WHERE application_id = :application_id AND id = (SELECT consent_id FROM a, c WHERE consent_id <> c.id)
				AND lease_id = :claim_id
		), known AS (
			INSERT INTO token_hashes (application_id, hash, consent_id)
			SELECT ` + typed("application_id", "token_hash") + `, id FROM c WHERE CAST(:token_hash AS BYTEA) IS NOT NULL ON CONFLICT DO NOTHING
		), line AS (
			INSERT INTO events (` + columns(eventColumns) + `)
			SELECT application_id, id, seq, ` + typed("event_id", "event_type", "event_at") + `, cycle, ` + typed("event_stage", "event_data") + `
			FROM written
		), told AS (
			` + tellTo + `SELECT written.application_id, w.id, ` + typed("event_id") + `, written.id, written.seq, ` +
		typed("event_type", "event_at") + `, 'pending', ` + typed("event_at", "event_at") + `
			FROM written JOIN webhook_endpoints w ON w.application_id = written.application_id
			WHERE CAST(:goes_out AS BOOLEAN) AND ` + listening + typed("event_type") + ` || ' %')
		), finished AS (
			UPDATE attempts SET status = 'renewed', reason = '', finished_at = :at, consent_id = :id, credentials_id = :credentials_id,
				` + unclaimed + `
			WHERE application_id = :application_id AND id = (SELECT a.id FROM a, c)
		) SELECT ` + columns(consentColumns) + ` FROM written`)
)

// Renew implements consent.Attempts.
func (s *Store) Renew(ctx context.Context, r consent.Renewal) (consent.Consent, error) {
	if s.dialect == migrations.Postgres {
		return s.renewInOne(ctx, r)
	}
	return s.complete(ctx, completion{
		app: r.ApplicationID, attempt: r.AttemptID, claim: r.ClaimID, at: r.At, consent: &r.Consent, hash: r.TokenHash, event: r.Event,
		status: consent.AttemptRenewed,
		fits:   func(row *consentRow) bool { return row.RevokedAt.IsZero() && row.Cycle == r.Consent.Cycle-1 },
	})
}

func (s *Store) renewInOne(ctx context.Context, r consent.Renewal) (consent.Consent, error) {
	arg := struct {
		consentRow
		line
		Attempt string `db:"attempt_id"`
		Claim   string `db:"claim_id"`
		Hash    blob   `db:"token_hash"`
		At      stamp  `db:"at"`
		GoesOut bool   `db:"goes_out"`
	}{rowOf(&r.Consent), lineOf(&r.Event), r.AttemptID, r.ClaimID, r.TokenHash, stamp{r.At}, r.Event.GoesOut()}
	arg.App = r.ApplicationID
	var row consentRow
	err := again(func() error { return s.query().get(ctx, renewInOne, &row, arg) })
	if errors.Is(err, consent.ErrNotFound) {
		return consent.Consent{}, s.whyNotRenewed(ctx, r)
	}
	return row.consent(), err
}

// whyNotRenewed looks for the reason after the fact. Neither a lost claim nor a
// consent that has moved on comes back, so it is still there to be seen.
func (s *Store) whyNotRenewed(ctx context.Context, r consent.Renewal) error {
	a, err := s.Attempt(ctx, r.ApplicationID, r.AttemptID)
	if err != nil {
		return err
	}
	if !holds(&a, r.ClaimID) {
		return consent.ErrClaimLost
	}
	if _, err := s.Consent(ctx, r.ApplicationID, r.Consent.ID); err != nil {
		return err
	}
	return consent.ErrOvertaken
}

// Activate implements consent.Attempts.
func (s *Store) Activate(ctx context.Context, v consent.Activation) (consent.Consent, error) {
	return s.complete(ctx, completion{
		app: v.ApplicationID, attempt: v.AttemptID, claim: v.ClaimID, at: v.At, consent: &v.Consent, hash: v.TokenHash, event: v.Event,
		status: consent.AttemptLinked,
		fits:   func(row *consentRow) bool { return row.RevokedAt.IsZero() && row.Pending },
	})
}

// completion is what a trip brought for a consent that exists.
type completion struct {
	app, attempt, claim string
	at                  time.Time
	consent             *consent.Consent
	hash                []byte
	event               consent.Event
	status              consent.AttemptStatus      // that the attempt ends with
	fits                func(row *consentRow) bool // reports whether the stored consent may still take it
}

// complete stores what a trip brought into its consent and ends the attempt.
func (s *Store) complete(ctx context.Context, d completion) (consent.Consent, error) {
	var row consentRow
	err := s.atomic(ctx, func(q query) error {
		a, err := q.claimed(ctx, d.app, d.attempt, d.claim)
		if err != nil {
			return err
		}
		c := args{"app": d.app, "id": d.consent.ID}
		if err := q.get(ctx, lockConsent, &row, c); err != nil {
			return err
		}
		if !d.fits(&row) {
			return consent.ErrOvertaken
		}
		next := rowOf(d.consent)
		next.App = d.app
		if _, err := q.exec(ctx, writeConsent, next); err != nil {
			return err
		}
		if err := q.addHash(ctx, d.app, d.consent.ID, d.hash); err != nil {
			return err
		}
		if err := q.addEvents(ctx, d.app, d.consent.ID, d.event); err != nil {
			return err
		}
		a.CredentialsID = d.consent.CredentialsID
		if a.ConsentID != d.consent.ID { // a link that turned out to be a consent's renewal
			if err := q.freeLease(ctx, &a); err != nil {
				return err
			}
			a.ConsentID = d.consent.ID
		}
		if _, err := q.finish(ctx, a, d.status, "", d.at); err != nil {
			return err
		}
		return q.get(ctx, consentByID, &row, c)
	})
	if err != nil {
		return consent.Consent{}, err
	}
	return row.consent(), nil
}

// Link implements consent.Attempts.
func (s *Store) Link(ctx context.Context, l consent.Linkage) (consent.Consent, error) {
	r := l.Registration
	if r.Consent.Pending { // neither token nor history, whatever was handed over
		r.Consent.Tokens, r.TokenHash, r.Events = consent.Tokens{}, nil, nil
	}
	c := rowOf(&r.Consent)
	c.App, c.Seq = l.ApplicationID, 0
	err := s.atomic(ctx, func(q query) error {
		a, err := q.claimed(ctx, l.ApplicationID, l.AttemptID, l.ClaimID)
		if err != nil {
			return err
		}
		if err := q.mergeUsers(ctx, []consent.User{r.Contact}); err != nil {
			return err
		}
		if _, err := q.exec(ctx, insertConsent, c); err != nil {
			return err
		}
		if err := q.freeLease(ctx, &a); err != nil { // of the consent that a relink replaces
			return err
		}
		if c.Pending {
			return q.one(ctx, holdAttempt, args{
				"app": l.ApplicationID, "id": l.AttemptID, "consent": c.ID, "credentials": c.CredentialsID,
				"result": blob(l.ResultHash), "confirm_by": stamp{l.ConfirmBy},
			})
		}
		if err := q.addHash(ctx, c.App, c.ID, r.TokenHash); err != nil {
			return err
		}
		if err := q.addEvents(ctx, c.App, c.ID, r.Events...); err != nil {
			return err
		}
		a.ConsentID, a.CredentialsID = c.ID, c.CredentialsID
		if _, err := q.finish(ctx, a, consent.AttemptLinked, "", l.At); err != nil {
			return err
		}
		return q.one(ctx, setResult, args{"app": l.ApplicationID, "id": l.AttemptID, "result": blob(l.ResultHash)})
	})
	if err != nil {
		return consent.Consent{}, err
	}
	return s.Consent(ctx, l.ApplicationID, c.ID)
}

// HoldAttempt implements consent.Attempts.
func (s *Store) HoldAttempt(ctx context.Context, h consent.Hold) error {
	return s.atomic(ctx, func(q query) error {
		a, err := q.claimed(ctx, h.ApplicationID, h.AttemptID, h.ClaimID)
		if err != nil {
			return err
		}
		if err := q.freeLease(ctx, &a); err != nil {
			return err
		}
		return q.one(ctx, holdAttempt, args{
			"app": h.ApplicationID, "id": h.AttemptID, "consent": h.ConsentID, "credentials": h.CredentialsID,
			"result": blob(h.ResultHash), "confirm_by": stamp{h.ConfirmBy},
		})
	})
}
