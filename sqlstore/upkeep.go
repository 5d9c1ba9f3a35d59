package sqlstore

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/reconsent/reconsent/consent"
)

const giveBackColumns = `application_id, id, consent_id, provider, credentials_id, kept_grant, reason, created_at, next_try_at, tries`

var (
	staleAttempts       = both(selectAttempt + `WHERE status = 'claimed' AND claimed_until <= :now ORDER BY claimed_until LIMIT :limit`)
	unconfirmedAttempts = both(selectAttempt + `WHERE status = 'pending' AND confirm_by <= :now
		AND (claimed_until IS NULL OR claimed_until <= :now) ORDER BY confirm_by LIMIT :limit`)

	insertGiveBack = both(`INSERT INTO give_backs (` + giveBackColumns + `) VALUES (:application_id, :id, :consent_id, :provider,
		:credentials_id, :kept_grant, :reason, :created_at, :next_try_at, :tries)`)
	claimGiveBacks = sideBySide(`UPDATE give_backs SET next_try_at = :until, tries = tries + 1 WHERE (application_id, id) IN (
			SELECT application_id, id FROM give_backs WHERE next_try_at <= :now ORDER BY next_try_at LIMIT :limit FOR UPDATE SKIP LOCKED
		) RETURNING `+giveBackColumns,
		`UPDATE give_backs SET next_try_at = :until, tries = tries + 1 WHERE (application_id, id) IN (
			SELECT application_id, id FROM give_backs WHERE next_try_at <= :now ORDER BY next_try_at LIMIT :limit
		) RETURNING `+giveBackColumns)
	claimGiveBack = both(`UPDATE give_backs SET next_try_at = :until, tries = tries + 1
		WHERE application_id = :app AND id = :id AND next_try_at <= :now RETURNING ` + giveBackColumns)
	giveBackByID  = both(`SELECT ` + giveBackColumns + ` FROM give_backs WHERE application_id = :app AND id = :id`)
	retryGiveBack = both(`UPDATE give_backs SET next_try_at = :next WHERE application_id = :app AND id = :id`)
	endGiveBack   = both(`DELETE FROM give_backs WHERE application_id = :app AND id = :id`)
)

type giveBackRow struct {
	App           string `db:"application_id"`
	ID            string `db:"id"`
	ConsentID     string `db:"consent_id"`
	Provider      string `db:"provider"`
	CredentialsID string `db:"credentials_id"`
	Grant         blob   `db:"kept_grant"`
	Reason        string `db:"reason"`
	CreatedAt     stamp  `db:"created_at"`
	NextTryAt     stamp  `db:"next_try_at"`
	Tries         int    `db:"tries"`
}

func (r *giveBackRow) giveBack() consent.GiveBack {
	return consent.GiveBack{
		ApplicationID: r.App, ID: r.ID, ConsentID: r.ConsentID, Provider: r.Provider, CredentialsID: r.CredentialsID,
		Grant: consent.Sealed(r.Grant), Reason: r.Reason, CreatedAt: r.CreatedAt.Time, NextTryAt: r.NextTryAt.Time, Tries: r.Tries,
	}
}

func (q query) addGiveBack(ctx context.Context, g *consent.GiveBack) error {
	if g == nil {
		return nil
	}
	_, err := q.exec(ctx, insertGiveBack, giveBackRow{
		g.ApplicationID, g.ID, g.ConsentID, g.Provider, g.CredentialsID, blob(g.Grant), g.Reason, stamp{g.CreatedAt}, stamp{g.NextTryAt}, g.Tries,
	})
	return err
}

// StaleAttempts implements consent.Upkeep.
func (s *Store) StaleAttempts(ctx context.Context, now time.Time, limit int) ([]consent.Attempt, error) {
	var rows []attemptRow
	err := s.query().list(ctx, staleAttempts, &rows, args{"now": stamp{now}, "limit": limit})
	return attemptsOf(rows), err
}

// UnconfirmedAttempts implements consent.Upkeep.
func (s *Store) UnconfirmedAttempts(ctx context.Context, now time.Time, limit int) ([]consent.Attempt, error) {
	var rows []attemptRow
	err := s.query().list(ctx, unconfirmedAttempts, &rows, args{"now": stamp{now}, "limit": limit})
	return attemptsOf(rows), err
}

// ClaimGiveBacks implements consent.Upkeep.
func (s *Store) ClaimGiveBacks(ctx context.Context, now, until time.Time, limit int) ([]consent.GiveBack, error) {
	var rows []giveBackRow
	err := s.query().list(ctx, claimGiveBacks, &rows, args{"now": stamp{now}, "until": stamp{until}, "limit": limit})
	out := make([]consent.GiveBack, len(rows))
	for i := range rows {
		out[i] = rows[i].giveBack()
	}
	return out, err
}

// ClaimGiveBack implements consent.Upkeep.
func (s *Store) ClaimGiveBack(ctx context.Context, applicationID, id string, now, until time.Time) (consent.GiveBack, error) {
	var row giveBackRow
	err := s.query().get(ctx, claimGiveBack, &row, args{"app": applicationID, "id": id, "now": stamp{now}, "until": stamp{until}})
	if isNotFound(err) {
		err := s.query().get(ctx, giveBackByID, &row, args{"app": applicationID, "id": id})
		return consent.GiveBack{}, cmp.Or(err, consent.ErrBusy)
	}
	return row.giveBack(), err
}

// RetryGiveBack implements consent.Upkeep.
func (s *Store) RetryGiveBack(ctx context.Context, applicationID, id string, next time.Time) error {
	return s.query().one(ctx, retryGiveBack, args{"app": applicationID, "id": id, "next": stamp{next}})
}

// EndGiveBack implements consent.Upkeep.
func (s *Store) EndGiveBack(ctx context.Context, applicationID, id string) error {
	return s.query().one(ctx, endGiveBack, args{"app": applicationID, "id": id})
}

func isNotFound(err error) bool { return errors.Is(err, consent.ErrNotFound) }
