package sqlstore

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/stepup"
)

var (
	codeColumns = strings.Fields(`application_id id user_id session_id device_id purpose subject factor address_hash mac hollow tries created_at expires_at`)
	selectCode  = `SELECT ` + columns(codeColumns) + ` FROM reauth_codes WHERE application_id = :app AND `

	endEarlierCode = both(`UPDATE reauth_codes SET ended_at = :created_at WHERE application_id = :application_id AND user_id = :user_id
		AND session_id = :session_id AND purpose = :purpose AND used_at IS NULL AND ended_at IS NULL AND created_at <= :not_before`)
	insertCode = both(insert("reauth_codes", codeColumns) + `
		ON CONFLICT (application_id, user_id, session_id, purpose) WHERE used_at IS NULL AND ended_at IS NULL DO NOTHING`)
	standingCode = both(selectCode + `user_id = :user AND session_id = :session AND purpose = :purpose AND used_at IS NULL AND ended_at IS NULL`)
	liveCode     = both(standingCode.sqlite + ` AND expires_at > :now`)
	usedCode     = both(selectCode + `user_id = :user AND session_id = :session AND purpose = :purpose AND used_at IS NOT NULL AND expires_at > :now
		ORDER BY used_at DESC LIMIT 1`)
	tryCode = both(`UPDATE reauth_codes SET tries = tries + 1 WHERE application_id = :app AND id = :id AND tries < ` + strconv.Itoa(stepup.MaxTries) + `
		AND used_at IS NULL AND ended_at IS NULL AND expires_at > :now RETURNING ` + columns(codeColumns))
	triedCode = both(selectCode + `id = :id AND tries >= ` + strconv.Itoa(stepup.MaxTries) + ` AND used_at IS NULL AND ended_at IS NULL AND expires_at > :now`)
	endCode   = both(`UPDATE reauth_codes SET ended_at = COALESCE(ended_at, :at) WHERE application_id = :app AND id = :id`)
	useCode   = both(`UPDATE reauth_codes SET used_at = :at WHERE application_id = :app AND id = :id AND user_id = :user AND session_id = :session
		AND used_at IS NULL AND ended_at IS NULL AND expires_at > :at AND NOT hollow`)
)

type codeRow struct {
	App         string `db:"application_id"`
	ID          string `db:"id"`
	UserID      string `db:"user_id"`
	SessionID   string `db:"session_id"`
	DeviceID    string `db:"device_id"`
	Purpose     string `db:"purpose"`
	Subject     string `db:"subject"`
	Factor      string `db:"factor"`
	AddressHash blob   `db:"address_hash"`
	MAC         blob   `db:"mac"`
	Hollow      bool   `db:"hollow"`
	Tries       int    `db:"tries"`
	CreatedAt   stamp  `db:"created_at"`
	ExpiresAt   stamp  `db:"expires_at"`
}

func codeRowOf(c *stepup.Code) codeRow {
	return codeRow{
		App: c.ApplicationID, ID: c.ID, UserID: c.UserID, SessionID: c.SessionID, DeviceID: c.DeviceID,
		Purpose: string(c.Purpose), Subject: c.Subject, Factor: string(c.Factor), AddressHash: c.AddressHash, MAC: c.MAC,
		Hollow: c.Hollow, Tries: c.Tries, CreatedAt: stamp{c.CreatedAt}, ExpiresAt: stamp{c.ExpiresAt},
	}
}

func (r *codeRow) code() stepup.Code {
	return stepup.Code{
		Who: stepup.Who{ApplicationID: r.App, UserID: r.UserID, SessionID: r.SessionID}, ID: r.ID, DeviceID: r.DeviceID,
		Purpose: stepup.Purpose(r.Purpose), Subject: r.Subject, Factor: reauth.Factor(r.Factor), AddressHash: r.AddressHash, MAC: r.MAC,
		Hollow: r.Hollow, Tries: r.Tries, CreatedAt: r.CreatedAt.Time, ExpiresAt: r.ExpiresAt.Time,
	}
}

// BeginCode implements stepup.Codes.
func (s *Store) BeginCode(ctx context.Context, c stepup.Code, notBefore time.Time, log ...stepup.Audit) (earlier time.Time, err error) {
	err = s.atomic(ctx, func(q query) error {
		if err := q.hold(ctx, c.Who); err != nil {
			return err
		}
		if earlier, err = q.beginCode(ctx, &c, notBefore); err != nil {
			return err
		}
		return q.record(ctx, log...)
	})
	return earlier, err
}

// beginCode puts a code in the place of the one before. Where another has come
// there in this moment it is judged like one that was there.
func (q query) beginCode(ctx context.Context, c *stepup.Code, notBefore time.Time) (time.Time, error) {
	arg := struct {
		codeRow
		NotBefore stamp `db:"not_before"`
	}{codeRowOf(c), stamp{notBefore}}
	own := whose(c.Who)
	own["purpose"] = string(c.Purpose)
	for range maxTries {
		if _, err := q.exec(ctx, endEarlierCode, arg); err != nil {
			return time.Time{}, err
		}
		if n, err := q.exec(ctx, insertCode, arg.codeRow); err != nil || n > 0 {
			return time.Time{}, err
		}
		var other codeRow
		err := q.get(ctx, standingCode, &other, own)
		switch {
		case isNotFound(err): // used up since
		case err != nil:
			return time.Time{}, err
		case other.CreatedAt.After(moment(notBefore)):
			return other.CreatedAt.Time, consent.ErrBusy
		}
	}
	return c.CreatedAt, consent.ErrBusy
}

// LiveCode implements stepup.Codes.
func (s *Store) LiveCode(ctx context.Context, who stepup.Who, p stepup.Purpose, now time.Time) (stepup.Code, error) {
	arg := whose(who)
	arg["purpose"], arg["now"] = string(p), stamp{now}
	var row codeRow
	err := s.query().get(ctx, liveCode, &row, arg)
	return row.code(), err
}

// UsedCode implements stepup.Codes.
func (s *Store) UsedCode(ctx context.Context, who stepup.Who, p stepup.Purpose, now time.Time) (stepup.Code, error) {
	arg := whose(who)
	arg["purpose"], arg["now"] = string(p), stamp{now}
	var row codeRow
	err := s.query().get(ctx, usedCode, &row, arg)
	return row.code(), err
}

// TryCode implements stepup.Codes.
func (s *Store) TryCode(ctx context.Context, applicationID, id string, now time.Time) (stepup.Code, error) {
	arg := args{"app": applicationID, "id": id, "now": stamp{now}}
	var row codeRow
	err := s.query().get(ctx, tryCode, &row, arg)
	if !isNotFound(err) {
		return row.code(), err
	}
	if err := s.query().get(ctx, triedCode, &row, arg); err != nil {
		return stepup.Code{}, err
	}
	return row.code(), consent.ErrClaimLost
}

// EndCode implements stepup.Codes.
func (s *Store) EndCode(ctx context.Context, applicationID, id string, at time.Time, log ...stepup.Audit) error {
	return s.atomic(ctx, func(q query) error {
		if err := q.found(ctx, endCode, args{"app": applicationID, "id": id, "at": stamp{at}}); err != nil {
			return err
		}
		return q.record(ctx, log...)
	})
}

// useCode uses a code of who up, or answers ErrClaimLost.
func (q query) useCode(ctx context.Context, who stepup.Who, id string, at time.Time) error {
	arg := whose(who)
	arg["id"], arg["at"] = id, stamp{at}
	return q.won(ctx, useCode, arg)
}
