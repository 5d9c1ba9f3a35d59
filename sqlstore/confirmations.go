package sqlstore

import (
	"context"
	"strings"

	"github.com/reconsent/reconsent/consent"
)

var (
	confirmationColumns = strings.Fields(`application_id id consent_id cycle confirmed_at confirmed_by statement`)
	insertConfirmation  = both(insert("confirmations", confirmationColumns))
	listConfirmations   = both(`SELECT ` + columns(confirmationColumns) + ` FROM confirmations
		WHERE application_id = :app AND consent_id = :id ORDER BY confirmed_at, id`)
)

type confirmationRow struct {
	App         string `db:"application_id"`
	ID          string `db:"id"`
	ConsentID   string `db:"consent_id"`
	Cycle       int    `db:"cycle"`
	ConfirmedAt stamp  `db:"confirmed_at"`
	ConfirmedBy string `db:"confirmed_by"`
	Statement   string `db:"statement"`
}

// RecordConfirmation implements consent.Confirmations.
func (s *Store) RecordConfirmation(ctx context.Context, c consent.Confirmation, event consent.Event) error {
	row := confirmationRow{c.ApplicationID, c.ID, c.ConsentID, c.Cycle, stamp{c.ConfirmedAt}, c.ConfirmedBy, c.Statement}
	return s.atomic(ctx, func(q query) error {
		if _, err := q.exec(ctx, insertConfirmation, row); err != nil {
			return err
		}
		return q.addEvents(ctx, c.ApplicationID, c.ConsentID, event)
	})
}

// Confirmations implements consent.Confirmations.
func (s *Store) Confirmations(ctx context.Context, applicationID, consentID string) ([]consent.Confirmation, error) {
	var rows []confirmationRow
	err := s.query().list(ctx, listConfirmations, &rows, args{"app": applicationID, "id": consentID})
	out := make([]consent.Confirmation, len(rows))
	for i, r := range rows {
		out[i] = consent.Confirmation{ApplicationID: r.App, ID: r.ID, ConsentID: r.ConsentID, Cycle: r.Cycle,
			ConfirmedAt: r.ConfirmedAt.Time, ConfirmedBy: r.ConfirmedBy, Statement: r.Statement}
	}
	return out, err
}
