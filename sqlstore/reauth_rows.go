package sqlstore

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/stepup"
)

var _ stepup.Store = (*Store)(nil)

// Who writes what belongs to a user holds the user's row against being deleted
// and against whoever ends all that is live of the user: both lock it for
// themselves. So nothing comes to be that they have not seen.
var holdUser = sideBySide(`SELECT id FROM users WHERE application_id = :app AND id = :user FOR KEY SHARE`,
	`SELECT id FROM users WHERE application_id = :app AND id = :user`)

// hold holds a user, or answers ErrNotFound.
func (q query) hold(ctx context.Context, who stepup.Who) error {
	var id string
	return q.get(ctx, holdUser, &id, whose(who))
}

// lockAlone locks a user against everybody, or answers ErrNotFound.
func (q query) lockAlone(ctx context.Context, who stepup.Who) error {
	var row userRow
	return q.get(ctx, lockUser, &row, args{"app": who.ApplicationID, "id": who.UserID})
}

// whose are the arguments that say whose a row is.
func whose(who stepup.Who) args {
	return args{"app": who.ApplicationID, "user": who.UserID, "session": who.SessionID}
}

// changes reports whether a statement changed a row. What cannot be kept is not
// there.
func (q query) changes(ctx context.Context, st *statement, arg any) (bool, error) {
	n, err := q.exec(ctx, st, arg)
	if errors.Is(err, errNoText) {
		return false, nil
	}
	return n > 0, err
}

// found changes a row, or answers ErrNotFound.
func (q query) found(ctx context.Context, st *statement, arg any) error {
	ok, err := q.changes(ctx, st, arg)
	if err == nil && !ok {
		return consent.ErrNotFound
	}
	return err
}

// won changes a row, or answers ErrClaimLost.
func (q query) won(ctx context.Context, st *statement, arg any) error {
	ok, err := q.changes(ctx, st, arg)
	if err == nil && !ok {
		return consent.ErrClaimLost
	}
	return err
}

// keptUntil is when what was written at a moment may go: days later, to the
// full day, so that it is the same for all that a day writes.
func keptUntil(at time.Time, days int) stamp {
	return stamp{at.UTC().Truncate(24*time.Hour).AddDate(0, 0, days+1)}
}

// proven are proven factors, kept as JSON.
type proven []reauth.Proven

type provenJSON struct {
	Factor       reauth.Factor `json:"factor"`
	Role         reauth.Role   `json:"role"`
	Ref          string        `json:"ref,omitempty"`
	At           time.Time     `json:"at"`
	UserVerified bool          `json:"user_verified,omitempty"`
}

// Value implements driver.Valuer.
func (p proven) Value() (driver.Value, error) {
	if len(p) == 0 {
		return "", nil
	}
	list := make([]provenJSON, len(p))
	for i, one := range p {
		list[i] = provenJSON(one)
	}
	b, err := json.Marshal(list)
	return string(b), err
}

// Scan implements sql.Scanner.
func (p *proven) Scan(v any) error {
	*p = nil
	s, err := text(v)
	if err != nil || s == "" {
		return err
	}
	var list []provenJSON
	if err := json.Unmarshal([]byte(s), &list); err != nil {
		return fmt.Errorf("what was proven does not parse: %w", err)
	}
	for _, one := range list {
		*p = append(*p, reauth.Proven(one))
	}
	return nil
}

// join adds one: of a factor, role and ref the latest stands.
func (p proven) join(one reauth.Proven) proven {
	one.At = moment(one.At)
	for i, is := range p {
		if is.Factor != one.Factor || is.Role != one.Role || is.Ref != one.Ref {
			continue
		}
		if one.At.After(is.At) {
			p[i] = one
		}
		return p
	}
	return append(p, one)
}

// after leaves what was proven later than a moment.
func (p proven) after(cleared time.Time) proven {
	return p.without(func(one reauth.Proven) bool { return !one.At.After(cleared) })
}

func (p proven) without(drop func(reauth.Proven) bool) proven {
	var left proven
	for _, one := range p {
		if !drop(one) {
			left = append(left, one)
		}
	}
	return left
}
