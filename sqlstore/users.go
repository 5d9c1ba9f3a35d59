package sqlstore

import (
	"context"

	"github.com/reconsent/reconsent/consent"
)

var (
	putUser = both(`INSERT INTO users (application_id, id, email, phone, name, locale, time_zone, password_hash, created_at, updated_at)
		VALUES (:application_id, :id, :email, :phone, :name, :locale, :time_zone, :password_hash, :created_at, :updated_at)
		ON CONFLICT (application_id, id) DO UPDATE SET email = excluded.email, phone = excluded.phone, name = excluded.name,
			locale = excluded.locale, time_zone = excluded.time_zone, password_hash = excluded.password_hash, updated_at = excluded.updated_at`)
	getUser = both(`SELECT application_id, id, email, phone, name, locale, time_zone, password_hash, created_at, updated_at
		FROM users WHERE application_id = :app AND id = :id`)

	unrevokedOfUser  = both(`SELECT count(*) FROM consents WHERE application_id = :app AND user_id = :id AND revoked_at IS NULL`)
	eraseUser        = both(`DELETE FROM users WHERE application_id = :app AND id = :id`)
	eraseLinks       = both(`DELETE FROM reconnect_links WHERE application_id = :app AND user_id = :id`)
	pseudonymConsent = both(`UPDATE consents SET user_id = :pseudonym, account_label = '', accounts = '' WHERE application_id = :app AND user_id = :id`)
	pseudonymAttempt = both(`UPDATE attempts SET user_id = :pseudonym, caller_state = NULL WHERE application_id = :app AND user_id = :id`)
)

// mergeUsers is for many rows at once; what is known already stays.
const mergeUsers = `INSERT INTO users (application_id, id, email, phone, name, locale, time_zone, created_at, updated_at)
	VALUES (:application_id, :id, :email, :phone, :name, :locale, :time_zone, :created_at, :updated_at)
	ON CONFLICT (application_id, id) DO UPDATE SET email = excluded.email, updated_at = excluded.updated_at
	WHERE users.email = '' AND excluded.email <> ''`

type userRow struct {
	App          string `db:"application_id"`
	ID           string `db:"id"`
	Email        string `db:"email"`
	Phone        string `db:"phone"`
	Name         string `db:"name"`
	Locale       string `db:"locale"`
	TimeZone     string `db:"time_zone"`
	PasswordHash blob   `db:"password_hash"`
	CreatedAt    stamp  `db:"created_at"`
	UpdatedAt    stamp  `db:"updated_at"`
}

func userRowOf(u *consent.User) userRow {
	return userRow{
		App: u.ApplicationID, ID: u.ID, Email: u.Email, Phone: u.Phone, Name: u.Name, Locale: u.Locale, TimeZone: u.TimeZone,
		PasswordHash: blob(u.PasswordHash), CreatedAt: stamp{u.CreatedAt}, UpdatedAt: stamp{u.UpdatedAt},
	}
}

// PutUser implements consent.Users.
func (s *Store) PutUser(ctx context.Context, u consent.User) (consent.User, error) {
	if _, err := s.query().exec(ctx, putUser, userRowOf(&u)); err != nil {
		return u, err
	}
	return s.User(ctx, u.ApplicationID, u.ID)
}

// User implements consent.Users.
func (s *Store) User(ctx context.Context, applicationID, userID string) (consent.User, error) {
	var r userRow
	err := s.query().get(ctx, getUser, &r, args{"app": applicationID, "id": userID})
	return consent.User{
		ApplicationID: r.App, ID: r.ID, Email: r.Email, Phone: r.Phone, Name: r.Name, Locale: r.Locale, TimeZone: r.TimeZone,
		PasswordHash: consent.Sealed(r.PasswordHash), CreatedAt: r.CreatedAt.Time, UpdatedAt: r.UpdatedAt.Time,
	}, err
}

// EraseUser implements consent.Users.
func (s *Store) EraseUser(ctx context.Context, applicationID, userID, pseudonym string) error {
	arg := args{"app": applicationID, "id": userID, "pseudonym": pseudonym}
	return s.atomic(ctx, func(q query) error {
		var live int
		if err := q.get(ctx, unrevokedOfUser, &live, arg); err != nil {
			return err
		}
		if live > 0 {
			return consent.ErrBusy
		}
		known := false
		for _, st := range []*statement{eraseUser, eraseLinks, pseudonymConsent, pseudonymAttempt} {
			n, err := q.exec(ctx, st, arg)
			if err != nil {
				return err
			}
			known = known || n > 0
		}
		if !known {
			return consent.ErrNotFound
		}
		return nil
	})
}
