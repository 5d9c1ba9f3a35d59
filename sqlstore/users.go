package sqlstore

import (
	"context"
	"slices"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth/stepup"
)

var (
	addUser = both(`INSERT INTO users (application_id, id, email, phone, name, locale, time_zone, password_hash, created_at, updated_at)
		VALUES (:application_id, :id, :email, :phone, :name, :locale, :time_zone, :password_hash, :created_at, :updated_at) ON CONFLICT DO NOTHING`)
	replaceUser = both(`UPDATE users SET email = :email, phone = :phone, name = :name, locale = :locale, time_zone = :time_zone,
			password_hash = :password_hash, updated_at = :updated_at,
			email_refused_at = CASE WHEN email = :email THEN email_refused_at END,
			phone_refused_at = CASE WHEN phone = :phone THEN phone_refused_at END
		WHERE application_id = :application_id AND id = :id`)
	selectUsers = `SELECT application_id, id, email, phone, name, locale, time_zone, password_hash, created_at, updated_at,
			unsubscribed_at, email_refused_at, phone_refused_at
		FROM users WHERE application_id = :app AND id `
	getUser    = both(selectUsers + `= :id`)
	lockUser   = locking(selectUsers + `= :id`)
	recipients = forEach(selectUsers + `= @id`)

	unsubscribeUser = both(`UPDATE users SET unsubscribed_at = COALESCE(unsubscribed_at, :at) WHERE application_id = :app AND id = :id`)
	resubscribeUser = both(`UPDATE users SET unsubscribed_at = NULL WHERE application_id = :app AND id = :id`)
	// An address that the user has no more is not marked.
	markEmail = both(`UPDATE users SET email_refused_at = :at WHERE application_id = :app AND id = :id AND email = :address`)
	markPhone = both(`UPDATE users SET phone_refused_at = :at WHERE application_id = :app AND id = :id AND phone = :address`)

	resealPassword = both(`UPDATE users SET password_hash = :now WHERE application_id = :app AND id = :id AND password_hash = :was`)

	clearRefusals = both(`UPDATE users SET email_refused_at = CASE WHEN CAST(:email AS BOOLEAN) THEN NULL ELSE email_refused_at END,
		phone_refused_at = CASE WHEN CAST(:sms AS BOOLEAN) THEN NULL ELSE phone_refused_at END WHERE application_id = :app AND id = :id`)

	standIn = both(`INSERT INTO users (application_id, id, email, phone, name, locale, time_zone, created_at, updated_at)
		VALUES (:app, :id, '', '', '', '', '', 0, 0) ON CONFLICT DO NOTHING`)

	openOfUser = both(`SELECT (SELECT count(*) FROM consents WHERE application_id = :app AND user_id = :id AND revoked_at IS NULL)
		+ (SELECT count(*) FROM attempts WHERE application_id = :app AND user_id = :id AND status IN ('started', 'claimed', 'pending'))`)
	eraseUser        = both(`DELETE FROM users WHERE application_id = :app AND id = :id`)
	pseudonymLink    = both(`UPDATE reconnect_links SET user_id = :pseudonym, return_to = '', state = NULL, address_hash = NULL WHERE application_id = :app AND user_id = :id`)
	pseudonymConsent = both(`UPDATE consents SET user_id = :pseudonym, account_label = '', account_count = 0, accounts = '' WHERE application_id = :app AND user_id = :id`)
	pseudonymDigest  = both(`UPDATE digests SET user_id = :pseudonym WHERE application_id = :app AND user_id = :id`)
	// What has not been sent never will be.
	dropNotices = both(`UPDATE notices SET outcome = 'erased' WHERE application_id = :app AND outcome = 'waiting'
		AND digest_id IN (SELECT id FROM digests WHERE application_id = :app AND user_id = :id AND due_at IS NOT NULL)`)
	dropDigests = both(`UPDATE digests SET state = 'dropped', reason = 'user_gone', due_at = NULL, claim_id = '', claimed_until = NULL
		WHERE application_id = :app AND user_id = :id AND due_at IS NOT NULL`)
	// Before the consents get theirs, by which these are found. The words name an
	// account, and whatever else the application had the person say.
	pseudonymConfirmation = both(`UPDATE confirmations SET confirmed_by = :pseudonym, statement = '' WHERE application_id = :app
		AND consent_id IN (SELECT id FROM consents WHERE application_id = :app AND user_id = :id)`)
	pseudonymAttempt = both(`UPDATE attempts SET user_id = :pseudonym, caller_state = NULL WHERE application_id = :app AND user_id = :id`)
)

// mergeUsers is for many rows at once; what is known already stays.
const mergeUsers = `INSERT INTO users (application_id, id, email, phone, name, locale, time_zone, created_at, updated_at)
	VALUES (:application_id, :id, :email, :phone, :name, :locale, :time_zone, :created_at, :updated_at)
	ON CONFLICT (application_id, id) DO UPDATE SET
		email     = CASE WHEN users.email = '' THEN excluded.email ELSE users.email END,
		phone     = CASE WHEN users.phone = '' THEN excluded.phone ELSE users.phone END,
		name      = CASE WHEN users.name = '' THEN excluded.name ELSE users.name END,
		locale    = CASE WHEN users.locale = '' THEN excluded.locale ELSE users.locale END,
		time_zone = CASE WHEN users.time_zone = '' THEN excluded.time_zone ELSE users.time_zone END,
		updated_at = excluded.updated_at
	WHERE (users.email = '' AND excluded.email <> '') OR (users.phone = '' AND excluded.phone <> '') OR (users.name = '' AND excluded.name <> '')
		OR (users.locale = '' AND excluded.locale <> '') OR (users.time_zone = '' AND excluded.time_zone <> '')`

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

	UnsubscribedAt stamp `db:"unsubscribed_at"`
	EmailRefusedAt stamp `db:"email_refused_at"`
	PhoneRefusedAt stamp `db:"phone_refused_at"`
}

func userRowOf(u *consent.User) userRow {
	return userRow{
		App: u.ApplicationID, ID: u.ID, Email: u.Email, Phone: u.Phone, Name: u.Name, Locale: u.Locale, TimeZone: u.TimeZone,
		PasswordHash: blob(u.PasswordHash), CreatedAt: stamp{u.CreatedAt}, UpdatedAt: stamp{u.UpdatedAt},
	}
}

func (r *userRow) user() consent.User {
	return consent.User{
		ApplicationID: r.App, ID: r.ID, Email: r.Email, Phone: r.Phone, Name: r.Name, Locale: r.Locale, TimeZone: r.TimeZone,
		PasswordHash: consent.Sealed(r.PasswordHash), CreatedAt: r.CreatedAt.Time, UpdatedAt: r.UpdatedAt.Time,
		UnsubscribedAt: r.UnsubscribedAt.Time, EmailRefusedAt: r.EmailRefusedAt.Time, PhoneRefusedAt: r.PhoneRefusedAt.Time,
	}
}

// PutUser implements consent.Users.
func (s *Store) PutUser(ctx context.Context, u consent.User) (consent.User, error) {
	err := s.atomic(ctx, func(q query) error { return q.putUser(ctx, userRowOf(&u)) })
	if err != nil {
		return u, err
	}
	return s.User(ctx, u.ApplicationID, u.ID)
}

// putUser adds a user, or replaces the one who is there: locked first, so that
// what ends by the change is judged by what it changes.
func (q query) putUser(ctx context.Context, row userRow) error {
	for range maxTries {
		if n, err := q.exec(ctx, addUser, row); err != nil || n > 0 {
			return err
		}
		var was userRow
		err := q.get(ctx, lockUser, &was, args{"app": row.App, "id": row.ID})
		if isNotFound(err) {
			continue // erased in this moment
		}
		if err != nil {
			return err
		}
		if _, err := q.exec(ctx, replaceUser, row); err != nil {
			return err
		}
		return q.endReplaced(ctx, &was, &row)
	}
	return consent.ErrBusy
}

// ResealPassword implements consent.Users.
func (s *Store) ResealPassword(ctx context.Context, applicationID, userID string, was, now consent.Sealed) error {
	_, err := s.query().exec(ctx, resealPassword, args{"app": applicationID, "id": userID, "was": blob(was), "now": blob(now)})
	return err
}

// User implements consent.Users.
func (s *Store) User(ctx context.Context, applicationID, userID string) (consent.User, error) {
	var r userRow
	err := s.query().get(ctx, getUser, &r, args{"app": applicationID, "id": userID})
	return r.user(), err
}

// Recipients implements consent.Digests.
func (s *Store) Recipients(ctx context.Context, applicationID string, userIDs []string) ([]consent.User, error) {
	var rows []userRow
	err := s.query().list(ctx, recipients, &rows, args{"app": applicationID, "ids": keys(s.dialect, userIDs)})
	users := make([]consent.User, len(rows))
	for i := range rows {
		users[i] = rows[i].user()
	}
	return users, err
}

// SetUnsubscribed implements consent.Users.
func (s *Store) SetUnsubscribed(ctx context.Context, applicationID, userID string, at time.Time) error {
	if at.IsZero() {
		return s.query().one(ctx, resubscribeUser, args{"app": applicationID, "id": userID})
	}
	return s.query().one(ctx, unsubscribeUser, args{"app": applicationID, "id": userID, "at": stamp{at}})
}

// ClearRefusals implements consent.Users.
func (s *Store) ClearRefusals(ctx context.Context, applicationID, userID string, channels ...consent.Channel) error {
	return s.query().one(ctx, clearRefusals, args{"app": applicationID, "id": userID,
		"email": slices.Contains(channels, consent.ChannelEmail), "sms": slices.Contains(channels, consent.ChannelSMS)})
}

// lockUser locks a user, and where there is none the place of one: who links
// for the user at the same time writes that row too, and waits. It reports
// whether the user is there. What it puts in the place goes by eraseUser.
func (q query) lockUser(ctx context.Context, arg args) (bool, error) {
	n, err := q.exec(ctx, standIn, arg)
	if err != nil || n > 0 {
		return false, err
	}
	var row userRow
	err = q.get(ctx, lockUser, &row, arg)
	if isNotFound(err) {
		return false, consent.ErrBusy // erased by somebody else in this moment
	}
	return err == nil, err
}

// EraseUser implements consent.Users.
func (s *Store) EraseUser(ctx context.Context, applicationID, userID, pseudonym string) error {
	arg := args{"app": applicationID, "id": userID, "pseudonym": pseudonym, "user": userID,
		"windows": keys(s.dialect, stepup.WindowsOf(userID)), "allowances": keys(s.dialect, stepup.AllowancesOf(userID))}
	return s.atomic(ctx, func(q query) error {
		known, err := q.lockUser(ctx, arg)
		if err != nil {
			return err
		}
		var live int
		if err := q.get(ctx, openOfUser, &live, arg); err != nil {
			return err
		}
		if live > 0 {
			return consent.ErrBusy
		}
		for i, st := range append([]*statement{
			eraseUser, pseudonymLink, pseudonymConfirmation, pseudonymConsent, pseudonymAttempt, dropNotices, dropDigests, pseudonymDigest,
		}, eraseReauth...) {
			n, err := q.exec(ctx, st, arg)
			if err != nil {
				return err
			}
			known = known || (i > 0 && n > 0)
		}
		if !known {
			return consent.ErrNotFound
		}
		return nil
	})
}
