package sqlstore

import (
	"context"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/reconsent/reconsent/consent"
)

// chunk is how many rows one INSERT carries: few enough for both databases'
// limits on parameters (SQLite 32766) with the widest table.
const chunk = 500

var (
	bulkConsents = insert("consents", consentColumns) + ` ON CONFLICT DO NOTHING RETURNING id`
	bulkHashes   = `INSERT INTO token_hashes (application_id, hash, consent_id) VALUES (:application_id, :hash, :consent_id) ON CONFLICT DO NOTHING`
	bulkEvents   = insert("events", eventColumns)
)

type hashRow struct {
	App       string `db:"application_id"`
	Hash      blob   `db:"hash"`
	ConsentID string `db:"consent_id"`
}

// Register implements consent.Consents.
func (s *Store) Register(ctx context.Context, applicationID string, rs []consent.Registration) ([]bool, error) {
	added := make([]bool, len(rs))
	err := s.atomic(ctx, func(q query) error {
		for from := 0; from < len(rs); from += chunk {
			to := min(from+chunk, len(rs))
			if err := q.register(ctx, applicationID, rs[from:to], added[from:to]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return added, nil
}

func (q query) register(ctx context.Context, app string, rs []consent.Registration, added []bool) error {
	rows := make([]consentRow, len(rs))
	byID := make(map[string]int, len(rs))
	for i := range rs {
		rs[i].Consent.Seq = int64(len(rs[i].Events))
		rows[i] = rowOf(&rs[i].Consent)
		rows[i].App = app
		byID[rows[i].ID] = i
	}
	inserted, err := bulk[consentRow, string](ctx, q, bulkConsents, rows)
	if err != nil {
		return err
	}
	var hashes []hashRow
	var events []eventRow
	var contacts []consent.User
	heard := told()
	for _, id := range inserted {
		i := byID[id]
		r := &rs[i]
		added[i] = true
		if r.TokenHash != nil {
			hashes = append(hashes, hashRow{app, r.TokenHash, id})
		}
		for n := range r.Events {
			events = append(events, eventRowOf(app, id, r.Consent.Cycle, int64(n)+1, &r.Events[n]))
			heard.tell(app, id, int64(n)+1, &r.Events[n])
		}
		contacts = append(contacts, r.Contact)
	}
	if err := bulkExec(ctx, q, bulkHashes, hashes); err != nil {
		return err
	}
	if err := bulkExec(ctx, q, bulkEvents, events); err != nil {
		return err
	}
	if err := q.tellMany(ctx, heard); err != nil {
		return err
	}
	return q.mergeUsers(ctx, contacts)
}

// mergeUsers adds users, and what was not known of them. One statement may
// touch a row only once, so one user's contacts are joined before.
func (q query) mergeUsers(ctx context.Context, contacts []consent.User) error {
	rows := make([]userRow, 0, len(contacts))
	at := make(map[string]int, len(contacts))
	for i := range contacts {
		u := &contacts[i]
		if j, seen := at[u.ID]; seen {
			if rows[j].Email == "" {
				rows[j].Email = u.Email
			}
			continue
		}
		at[u.ID] = len(rows)
		rows = append(rows, userRowOf(u))
	}
	return bulkExec(ctx, q, mergeUsers, rows)
}

// bulk inserts many rows by one statement and reads what it returns.
func bulk[Row, Out any](ctx context.Context, q query, text string, rows []Row) ([]Out, error) {
	var out []Out
	if len(rows) == 0 {
		return nil, nil
	}
	text, arg, err := sqlx.Named(text, rows)
	if err != nil {
		return nil, err
	}
	err = sqlx.SelectContext(ctx, q.tx, &out, q.tx.Rebind(text), arg...)
	return out, translate(err)
}

// bulkExec is bulk for a statement that returns nothing.
func bulkExec[Row any](ctx context.Context, q query, text string, rows []Row) error {
	for part := range slices.Chunk(rows, chunk) {
		expanded, arg, err := sqlx.Named(text, part)
		if err != nil {
			return err
		}
		if _, err := q.tx.ExecContext(ctx, q.tx.Rebind(expanded), arg...); err != nil {
			return translate(err)
		}
	}
	return nil
}
