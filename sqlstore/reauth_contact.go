package sqlstore

import (
	"bytes"
	"context"
	"slices"

	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/stepup"
)

// endReplaced ends what is live of a user whose address or password is another
// one now, or none, as a change of factors does; and what was proven by the old
// one counts no more. The user is locked. A password's hash is compared as it is
// sealed: who writes it leaves the sealed text of one that stays.
func (q query) endReplaced(ctx context.Context, was, now *userRow) error {
	var gone []reauth.Factor
	if was.Email != now.Email {
		gone = append(gone, reauth.EmailCode)
	}
	if was.Phone != now.Phone {
		gone = append(gone, reauth.PhoneCode)
	}
	if !bytes.Equal(was.PasswordHash, now.PasswordHash) {
		gone = append(gone, reauth.Password)
	}
	if len(gone) == 0 {
		return nil
	}
	everywhere := stepup.Who{ApplicationID: now.App, UserID: now.ID}
	// A number that is enrolled as a second factor is a row of its own.
	err := q.forget(ctx, everywhere, func(p reauth.Proven) bool { return p.Role == reauth.First && slices.Contains(gone, p.Factor) })
	if err != nil {
		return err
	}
	return q.endLive(ctx, everywhere, now.UpdatedAt.Time)
}
