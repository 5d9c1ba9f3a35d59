package stepup

import (
	"context"
	"errors"

	"github.com/reconsent/reconsent/consent"
)

// tidyBatch bounds one run of Upkeep.
const tidyBatch = 1000

// Upkeep makes the next key of proofs in time, drops those that nobody needs,
// and deletes what has ended.
func (s *Service) Upkeep(ctx context.Context) error {
	keys, err := s.readKeys(ctx)
	if err != nil {
		return err
	}
	now := s.now()
	if len(keys) > 0 && keys.Due(now, RotateEvery) {
		if err := s.addKey(ctx, keys, now); err != nil {
			return err
		}
	}
	for _, id := range keys.Gone(now) {
		// Another replica may have been quicker.
		if err := s.Store.DropProofKey(ctx, id); err != nil && !errors.Is(err, consent.ErrNotFound) {
			return err
		}
	}
	_, err = s.Store.TidyReauth(ctx, now, tidyBatch)
	return err
}

// AuditTrail returns a page of an application's audit. Lines are never deleted: a
// page begins after one that is there.
func (s *Service) AuditTrail(ctx context.Context, applicationID string, f AuditFilter) ([]Audit, error) {
	if f.Before != "" {
		there, err := s.Store.HasAudit(ctx, applicationID, f.Before)
		if err != nil {
			return nil, err
		}
		if !there {
			return nil, CursorUnknown()
		}
	}
	return s.Store.ListAudit(ctx, applicationID, f)
}

// CursorUnknown refuses a cursor: to begin anew in silence would be a listing
// without an end.
func CursorUnknown() error { return invalid("cursor", "cursor is not one that a listing returned.") }
