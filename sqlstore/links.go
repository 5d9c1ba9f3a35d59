package sqlstore

import (
	"context"
	"strings"
	"time"

	"github.com/reconsent/reconsent/consent"
)

var (
	// A message that is made again carries the link that it carried before.
	insertLink = both(`INSERT INTO reconnect_links (application_id, token_hash, consent_id, user_id, cycle, return_to, state, address_hash, created_at, expires_at)
		VALUES (:application_id, :token_hash, :consent_id, :user_id, :cycle, :return_to, :state, :address_hash, :created_at, :expires_at)
		ON CONFLICT (application_id, token_hash) DO NOTHING`)
	messageLinkColumns = strings.Fields(`token_hash consent_id user_id cycle address_hash created_at expires_at`)
	insertMessageLinks = withTable(messageLinkColumns, `INSERT INTO reconnect_links (application_id, `+columns(messageLinkColumns)+`, return_to)
		SELECT :app, `+columns(messageLinkColumns)+`, '' FROM @r WHERE TRUE ON CONFLICT (application_id, token_hash) DO NOTHING`)
	linkByHash = both(`SELECT application_id, token_hash, consent_id, user_id, cycle, return_to, state, address_hash, created_at, expires_at,
			(SELECT max(n.created_at) FROM reconnect_links n WHERE n.application_id = l.application_id AND n.consent_id = l.consent_id
				AND n.address_hash IS NOT NULL AND n.created_at > l.created_at) AS newer_at
		FROM reconnect_links l WHERE application_id = :app AND token_hash = :hash`)
)

var purgeLinks = both(`DELETE FROM reconnect_links WHERE (application_id, token_hash) IN (
	SELECT application_id, token_hash FROM reconnect_links WHERE expires_at < :before ORDER BY expires_at LIMIT :limit)`)

// PurgeReconnectLinks implements consent.ReconnectLinks.
func (s *Store) PurgeReconnectLinks(ctx context.Context, before time.Time, limit int) (int, error) {
	n, err := s.query().exec(ctx, purgeLinks, args{"before": stamp{before}, "limit": limit})
	return int(n), err
}

type linkRow struct {
	App         string `db:"application_id"`
	TokenHash   blob   `db:"token_hash"`
	ConsentID   string `db:"consent_id"`
	UserID      string `db:"user_id"`
	Cycle       int    `db:"cycle"`
	ReturnTo    string `db:"return_to"`
	State       blob   `db:"state"`
	AddressHash blob   `db:"address_hash"`
	CreatedAt   stamp  `db:"created_at"`
	ExpiresAt   stamp  `db:"expires_at"`
	NewerAt     stamp  `db:"newer_at"`
}

// CreateReconnectLink implements consent.ReconnectLinks.
func (s *Store) CreateReconnectLink(ctx context.Context, l consent.ReconnectLink) error {
	_, err := s.query().exec(ctx, insertLink, linkRow{
		App: l.ApplicationID, TokenHash: l.TokenHash, ConsentID: l.ConsentID, UserID: l.UserID, Cycle: l.Cycle, ReturnTo: l.ReturnTo, State: l.State,
		AddressHash: l.AddressHash, CreatedAt: stamp{l.CreatedAt}, ExpiresAt: stamp{l.ExpiresAt},
	})
	return err
}

// CreateMessageLinks implements consent.ReconnectLinks.
func (s *Store) CreateMessageLinks(ctx context.Context, applicationID string, list []consent.ReconnectLink) error {
	t := table{columns: messageLinkColumns}
	for i := range list {
		l := &list[i]
		t.add(hexBytes(l.TokenHash), l.ConsentID, l.UserID, l.Cycle, hexBytes(l.AddressHash), stamp{l.CreatedAt}.micros(), stamp{l.ExpiresAt}.micros())
	}
	if len(t.rows) == 0 {
		return nil
	}
	arg, err := t.args(s.dialect, args{"app": applicationID})
	if err != nil {
		return err
	}
	return again(func() error {
		_, err := s.query().exec(ctx, insertMessageLinks, arg)
		return err
	})
}

// ReconnectLink implements consent.ReconnectLinks.
func (s *Store) ReconnectLink(ctx context.Context, applicationID string, tokenHash []byte) (consent.ReconnectLink, error) {
	var r linkRow
	err := s.query().get(ctx, linkByHash, &r, args{"app": applicationID, "hash": blob(tokenHash)})
	return consent.ReconnectLink{
		ApplicationID: r.App, TokenHash: r.TokenHash, ConsentID: r.ConsentID, UserID: r.UserID, Cycle: r.Cycle,
		ReturnTo: r.ReturnTo, State: r.State, AddressHash: r.AddressHash, CreatedAt: r.CreatedAt.Time, ExpiresAt: r.ExpiresAt.Time, NewerAt: r.NewerAt.Time,
	}, err
}
