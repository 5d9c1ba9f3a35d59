package sqlstore

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/reconsent/reconsent/consent"
)

var (
	inboundColumns = strings.Fields(`application_id provider id kind credentials_id at received_at`)
	insertInbound  = both(insert("inbound_events", inboundColumns))
	waitingInbound = sideBySide(selectInbound+` FOR UPDATE SKIP LOCKED`, selectInbound)
	// Where the person was at the bank since, or the provider has said something
	// newer, the event is of a time that is over.
	checkNow = both(`UPDATE consents SET next_check_at = :now WHERE application_id = :app AND credentials_id = :credentials AND provider = :provider
		AND custody = 'ours' AND refresh_token IS NOT NULL AND revoked_at IS NULL AND NOT pending AND ended_at IS NULL
		AND consented_at < :at AND (next_check_at IS NULL OR next_check_at > :now)
		AND NOT EXISTS (SELECT 1 FROM inbound_events n WHERE n.application_id = :app AND n.provider = :provider AND n.credentials_id = :credentials AND n.at > :at AND n.kind <> 'other')`)
	endInbound   = both(`UPDATE inbound_events SET processed_at = :now WHERE application_id = :app AND provider = :provider AND id = :id`)
	purgeInbound = both(`DELETE FROM inbound_events WHERE (application_id, provider, id) IN (
		SELECT application_id, provider, id FROM inbound_events WHERE received_at <= :before ORDER BY received_at LIMIT :limit)`)
)

const selectInbound = `SELECT application_id, provider, id, kind, credentials_id, at, received_at FROM inbound_events
	WHERE processed_at IS NULL ORDER BY received_at LIMIT :limit`

type inboundRow struct {
	App           string `db:"application_id"`
	Provider      string `db:"provider"`
	ID            string `db:"id"`
	Kind          string `db:"kind"`
	CredentialsID string `db:"credentials_id"`
	At            stamp  `db:"at"`
	ReceivedAt    stamp  `db:"received_at"`
}

// ReceiveInbound implements consent.Inbound.
func (s *Store) ReceiveInbound(ctx context.Context, e consent.InboundEvent) (bool, error) {
	err := s.atomic(ctx, func(q query) error {
		_, err := q.exec(ctx, insertInbound, inboundRow{
			App: e.ApplicationID, Provider: e.Provider, ID: e.ID, Kind: string(e.Kind), CredentialsID: e.CredentialsID,
			At: stamp{e.At}, ReceivedAt: stamp{e.ReceivedAt},
		})
		if err != nil {
			return err
		}
		return s.queue.Enqueue(ctx, q.tx.Tx, consent.JobInbound, []string{""})
	})
	if errors.Is(err, consent.ErrExists) {
		return false, nil
	}
	return err == nil, err
}

// ApplyInbound implements consent.Inbound.
func (s *Store) ApplyInbound(ctx context.Context, now time.Time, limit int) (int, error) {
	taken := 0
	err := s.atomic(ctx, func(q query) error {
		var rows []inboundRow
		if err := q.list(ctx, waitingInbound, &rows, args{"limit": limit}); err != nil {
			return err
		}
		taken = len(rows)
		for _, r := range rows {
			arg := args{"app": r.App, "provider": r.Provider, "id": r.ID, "credentials": r.CredentialsID, "at": r.At, "now": stamp{now}}
			if consent.InboundKind(r.Kind) != consent.InboundOther {
				if _, err := q.exec(ctx, checkNow, arg); err != nil {
					return err
				}
			}
			if err := q.one(ctx, endInbound, arg); err != nil {
				return err
			}
		}
		return nil
	})
	return taken, err
}

// PurgeInbound implements consent.Inbound.
func (s *Store) PurgeInbound(ctx context.Context, before time.Time, limit int) (int, error) {
	n, err := s.query().exec(ctx, purgeInbound, args{"before": stamp{before}, "limit": limit})
	return int(n), err
}
