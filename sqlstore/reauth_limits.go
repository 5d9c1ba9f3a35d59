package sqlstore

import (
	"context"
	"time"

	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/stepup"
)

// windowDays is how long a window is kept that nothing is counted in.
const windowDays = 1

var (
	window     = both(`SELECT stamps FROM reauth_windows WHERE application_id = :app AND bucket = :bucket`)
	lockWindow = locking(window.sqlite)
	// A window that was emptied is as one that is not there.
	beginWindow = both(`INSERT INTO reauth_windows (application_id, bucket, stamps, kept_until) VALUES (:app, :bucket, :changed, :kept)
		ON CONFLICT (application_id, bucket) DO UPDATE SET stamps = excluded.stamps, kept_until = excluded.kept_until
		WHERE reauth_windows.stamps = ''`)
	swapWindow = both(`UPDATE reauth_windows SET stamps = :changed, kept_until = :kept
		WHERE application_id = :app AND bucket = :bucket AND stamps = :old`)
	writeWindow = both(`UPDATE reauth_windows SET stamps = :changed WHERE application_id = :app AND bucket = :bucket`)
)

// Window implements stepup.Standings.
func (s *Store) Window(ctx context.Context, applicationID, bucket string) (string, error) {
	var stamps string
	err := s.query().get(ctx, window, &stamps, args{"app": applicationID, "bucket": bucket})
	if isNotFound(err) {
		return "", nil
	}
	return stamps, err
}

// SwapWindow implements stepup.Standings.
func (s *Store) SwapWindow(ctx context.Context, applicationID, bucket, old, changed string, at time.Time, log ...stepup.Audit) (bool, error) {
	st := swapWindow
	if old == "" {
		st = beginWindow
	}
	arg := args{"app": applicationID, "bucket": bucket, "old": old, "changed": changed, "kept": keptUntil(at, windowDays)}
	if len(log) == 0 {
		n, err := s.query().exec(ctx, st, arg)
		return n > 0, err
	}
	var swapped bool
	err := s.atomic(ctx, func(q query) error {
		n, err := q.exec(ctx, st, arg)
		if swapped = n > 0; err != nil || !swapped {
			return err
		}
		return q.record(ctx, log...)
	})
	return swapped && err == nil, err
}

// refund takes a stamp out of a window, if it is there.
func (q query) refund(ctx context.Context, applicationID, bucket string, at time.Time) error {
	var stamps string
	err := q.get(ctx, lockWindow, &stamps, args{"app": applicationID, "bucket": bucket})
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	w, err := reauth.ParseWindow(stamps)
	if err != nil {
		return nil //nolint:nilerr // what cannot be read denies, and stays
	}
	_, err = q.exec(ctx, writeWindow, args{"app": applicationID, "bucket": bucket, "changed": w.GiveBack(at).String()})
	return err
}
