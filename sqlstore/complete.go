package sqlstore

import (
	"context"
	"time"

	"github.com/reconsent/reconsent/consent"
)

// Renew implements consent.Attempts.
func (s *Store) Renew(ctx context.Context, r consent.Renewal) (consent.Consent, error) {
	var row consentRow
	err := s.atomic(ctx, func(q query) error {
		a, err := q.claimed(ctx, r.ApplicationID, r.AttemptID, r.ClaimID)
		if err != nil {
			return err
		}
		if err := q.get(ctx, lockConsent, &row, args{"app": r.ApplicationID, "id": r.Consent.ID}); err != nil {
			return err
		}
		if !row.RevokedAt.IsZero() || row.Cycle != r.Consent.Cycle-1 {
			return consent.ErrOvertaken
		}
		return q.write(ctx, &a, &r.Consent, r.TokenHash, r.Event, consent.AttemptRenewed, r.At, &row)
	})
	return row.consent(), err
}

// Activate implements consent.Attempts.
func (s *Store) Activate(ctx context.Context, v consent.Activation) (consent.Consent, error) {
	var row consentRow
	err := s.atomic(ctx, func(q query) error {
		a, err := q.claimed(ctx, v.ApplicationID, v.AttemptID, v.ClaimID)
		if err != nil {
			return err
		}
		if err := q.get(ctx, lockConsent, &row, args{"app": v.ApplicationID, "id": v.Consent.ID}); err != nil {
			return err
		}
		if !row.RevokedAt.IsZero() || !row.Pending {
			return consent.ErrOvertaken
		}
		return q.write(ctx, &a, &v.Consent, v.TokenHash, v.Event, consent.AttemptLinked, v.At, &row)
	})
	return row.consent(), err
}

// write stores what a trip brought into its consent and ends the attempt. dest
// receives the consent as it then is.
func (q query) write(ctx context.Context, a *consent.Attempt, c *consent.Consent, hash []byte, e consent.Event, status consent.AttemptStatus, at time.Time, dest *consentRow) error {
	if _, err := q.exec(ctx, writeConsent, rowOf(c)); err != nil {
		return err
	}
	if err := q.addHash(ctx, c.ApplicationID, c.ID, hash); err != nil {
		return err
	}
	if err := q.addEvents(ctx, c.ApplicationID, c.ID, e); err != nil {
		return err
	}
	a.CredentialsID = c.CredentialsID
	if a.ConsentID != c.ID { // a link that turned out to be a consent's renewal
		if err := q.freeLease(ctx, a); err != nil {
			return err
		}
		a.ConsentID = c.ID
	}
	if err := q.finish(ctx, a, status, "", at); err != nil {
		return err
	}
	return q.get(ctx, consentByID, dest, args{"app": c.ApplicationID, "id": c.ID})
}

// Link implements consent.Attempts.
func (s *Store) Link(ctx context.Context, l consent.Linkage) (consent.Consent, error) {
	c := l.Registration.Consent
	err := s.atomic(ctx, func(q query) error {
		a, err := q.claimed(ctx, l.ApplicationID, l.AttemptID, l.ClaimID)
		if err != nil {
			return err
		}
		row := rowOf(&c)
		if c.Pending {
			row.RefreshToken, row.AccessToken, row.AccessExpiresAt = nil, nil, stamp{}
		}
		if _, err := q.exec(ctx, insertConsent, row); err != nil {
			return err
		}
		if err := q.mergeUsers(ctx, []consent.User{l.Registration.Contact}); err != nil {
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
		if err := q.addHash(ctx, c.ApplicationID, c.ID, l.Registration.TokenHash); err != nil {
			return err
		}
		if err := q.addEvents(ctx, c.ApplicationID, c.ID, l.Registration.Events...); err != nil {
			return err
		}
		a.ConsentID, a.CredentialsID = c.ID, c.CredentialsID
		if err := q.finish(ctx, &a, consent.AttemptLinked, "", l.At); err != nil {
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
