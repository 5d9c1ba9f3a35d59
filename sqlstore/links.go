package sqlstore

import (
	"context"

	"github.com/reconsent/reconsent/consent"
)

var (
	insertLink = both(`INSERT INTO reconnect_links (application_id, token_hash, consent_id, user_id, cycle, return_to, state, created_at, expires_at)
		VALUES (:application_id, :token_hash, :consent_id, :user_id, :cycle, :return_to, :state, :created_at, :expires_at)`)
	linkByHash = both(`SELECT application_id, token_hash, consent_id, user_id, cycle, return_to, state, created_at, expires_at
		FROM reconnect_links WHERE application_id = :app AND token_hash = :hash`)
)

type linkRow struct {
	App       string `db:"application_id"`
	TokenHash blob   `db:"token_hash"`
	ConsentID string `db:"consent_id"`
	UserID    string `db:"user_id"`
	Cycle     int    `db:"cycle"`
	ReturnTo  string `db:"return_to"`
	State     blob   `db:"state"`
	CreatedAt stamp  `db:"created_at"`
	ExpiresAt stamp  `db:"expires_at"`
}

// CreateReconnectLink implements consent.ReconnectLinks.
func (s *Store) CreateReconnectLink(ctx context.Context, l consent.ReconnectLink) error {
	_, err := s.query().exec(ctx, insertLink, linkRow{
		l.ApplicationID, l.TokenHash, l.ConsentID, l.UserID, l.Cycle, l.ReturnTo, l.State, stamp{l.CreatedAt}, stamp{l.ExpiresAt},
	})
	return err
}

// ReconnectLink implements consent.ReconnectLinks.
func (s *Store) ReconnectLink(ctx context.Context, applicationID string, tokenHash []byte) (consent.ReconnectLink, error) {
	var r linkRow
	err := s.query().get(ctx, linkByHash, &r, args{"app": applicationID, "hash": blob(tokenHash)})
	return consent.ReconnectLink{
		ApplicationID: r.App, TokenHash: r.TokenHash, ConsentID: r.ConsentID, UserID: r.UserID, Cycle: r.Cycle,
		ReturnTo: r.ReturnTo, State: r.State, CreatedAt: r.CreatedAt.Time, ExpiresAt: r.ExpiresAt.Time,
	}, err
}
