package sqlstore

import (
	"context"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth/stepup"
)

var (
	listProofKeys = both(`SELECT id, algorithm, private, created_at, active_at, retired_at FROM proof_keys ORDER BY seq`)
	// Two replicas that both found the same newest key write the same number, and
	// one of them is refused.
	addProofKey = both(`INSERT INTO proof_keys (id, seq, algorithm, private, created_at, active_at)
		SELECT :id, (SELECT COALESCE(max(seq), 0) + 1 FROM proof_keys), :algorithm, :private, :created_at, :active_at
		WHERE COALESCE((SELECT id FROM proof_keys ORDER BY seq DESC LIMIT 1), '') = :after`)
	retireProofKeys = both(`UPDATE proof_keys SET retired_at = :active_at WHERE id <> :id AND retired_at IS NULL`)
	dropProofKey    = both(`DELETE FROM proof_keys WHERE id = :id`)
)

type proofKeyRow struct {
	ID        string `db:"id"`
	Algorithm string `db:"algorithm"`
	Private   blob   `db:"private"`
	CreatedAt stamp  `db:"created_at"`
	ActiveAt  stamp  `db:"active_at"`
	RetiredAt stamp  `db:"retired_at"`
}

// ListProofKeys implements stepup.ProofKeys.
func (s *Store) ListProofKeys(ctx context.Context) ([]stepup.ProofKey, error) {
	var rows []proofKeyRow
	err := s.query().list(ctx, listProofKeys, &rows, args{})
	out := make([]stepup.ProofKey, len(rows))
	for i, r := range rows {
		out[i] = stepup.ProofKey{
			ID: r.ID, Algorithm: r.Algorithm, Private: consent.Sealed(r.Private),
			CreatedAt: r.CreatedAt.Time, ActiveAt: r.ActiveAt.Time, RetiredAt: r.RetiredAt.Time,
		}
	}
	return out, err
}

// AddProofKey implements stepup.ProofKeys.
func (s *Store) AddProofKey(ctx context.Context, k stepup.ProofKey, after string) error {
	arg := struct {
		proofKeyRow
		After string `db:"after"`
	}{proofKeyRow{ID: k.ID, Algorithm: k.Algorithm, Private: blob(k.Private), CreatedAt: stamp{k.CreatedAt}, ActiveAt: stamp{k.ActiveAt}}, after}
	return s.atomic(ctx, func(q query) error {
		n, err := q.exec(ctx, addProofKey, arg)
		if err != nil {
			return err
		}
		if n == 0 {
			return consent.ErrExists
		}
		_, err = q.exec(ctx, retireProofKeys, arg)
		return err
	})
}

// DropProofKey implements stepup.ProofKeys.
func (s *Store) DropProofKey(ctx context.Context, id string) error {
	return s.query().found(ctx, dropProofKey, args{"id": id})
}
