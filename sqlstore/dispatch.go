package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"maps"
	"slices"
	"time"

	"github.com/reconsent/reconsent/consent"
)

// Queue takes jobs into a transaction of ours. See package scheduler.
type Queue interface {
	Enqueue(ctx context.Context, tx *sql.Tx, kind string, keys []string) error
	// Waiting counts the jobs of a kind that nobody has begun yet.
	Waiting(ctx context.Context, tx *sql.Tx, kind string) (int, error)
}

// UseQueue gives the store the queue that Dispatch puts jobs into.
func (s *Store) UseQueue(q Queue) { s.queue = q }

var (
	// One step through the index an application, however much is due.
	dueApplications = both(`WITH RECURSIVE apps(id) AS (
			SELECT min(application_id) FROM digests WHERE due_at IS NOT NULL
			UNION ALL
			SELECT (SELECT min(application_id) FROM digests WHERE due_at IS NOT NULL AND application_id > apps.id) FROM apps WHERE apps.id IS NOT NULL
		) SELECT id FROM apps WHERE id IS NOT NULL AND EXISTS (SELECT 1 FROM digests d WHERE d.application_id = apps.id AND d.due_at <= :now)`)
	// A digest that has its job is due again when the job must have been lost. The
	// digest of a user of whom something is still to be announced is left alone: it
	// is to come along, also where another sweep has it in hand.
	dispatchDigests = dispatch(`application_id = :app AND due_at <= :now AND NOT asked AND channel IN (:email, :sms) AND (state <> 'open' OR NOT EXISTS (
		SELECT 1 FROM consents c WHERE c.application_id = d.application_id AND c.user_id = d.user_id
			AND c.next_stage_at <= :now AND c.revoked_at IS NULL AND NOT c.pending))`)
	// Somebody waits for it: nothing else is waited for.
	dispatchAsked = dispatch(`asked AND due_at <= :now`)
)

func dispatch(which string) *statement {
	text := func(lock string) string {
		return `UPDATE digests SET due_at = :until WHERE (application_id, id) IN (
			SELECT application_id, id FROM digests d WHERE ` + which + ` ORDER BY due_at LIMIT :limit` + lock + `
		) RETURNING application_id, id, channel`
	}
	return sideBySide(text(` FOR UPDATE SKIP LOCKED`), text(``))
}

// mostWaiting jobs are in the queue: a digest is given another job when its own
// must have been lost, and one far back in a long queue would seem to be.
const mostWaiting = 500

// Dispatch implements consent.Digests.
func (s *Store) Dispatch(ctx context.Context, now, until time.Time, limit int) (int, error) {
	arg := args{"now": stamp{now}, "until": stamp{until}, "limit": limit}
	var apps []string
	err := s.atomic(ctx, func(q query) error {
		for _, c := range consent.Channels {
			waiting, err := s.queue.Waiting(ctx, q.tx.Tx, consent.DigestJob(c))
			if err != nil {
				return err
			}
			if arg[string(c)] = string(c); waiting >= mostWaiting {
				arg[string(c)] = ""
			}
		}
		return q.list(ctx, dueApplications, &apps, arg)
	})
	total := 0
	for _, app := range apps {
		if err != nil {
			break
		}
		arg["app"] = app
		var n int
		n, err = s.dispatch(ctx, dispatchDigests, arg, consent.DigestJob)
		total += n
	}
	return total, err
}

// DispatchAsked implements consent.Digests.
func (s *Store) DispatchAsked(ctx context.Context, now, until time.Time, limit int) (int, error) {
	return s.dispatch(ctx, dispatchAsked, args{"now": stamp{now}, "until": stamp{until}, "limit": limit}, consent.AskedJob)
}

// dispatch makes jobs of what a statement picks, of the kind of each channel.
func (s *Store) dispatch(ctx context.Context, st *statement, arg args, kind func(consent.Channel) string) (total int, err error) {
	err = s.atomic(ctx, func(q query) error {
		var rows []digestRow
		if err := q.list(ctx, st, &rows, arg); err != nil {
			return err
		}
		total = len(rows)
		slices.SortFunc(rows, func(a, b digestRow) int { return cmp.Or(cmp.Compare(a.App, b.App), cmp.Compare(a.ID, b.ID)) })
		type together struct{ kind, app string }
		ids := map[together][]string{}
		for i := range rows {
			g := together{kind(consent.Channel(rows[i].Channel)), rows[i].App}
			ids[g] = append(ids[g], rows[i].ID)
		}
		jobs := map[string][]string{} // keys by kind
		for g, all := range ids {
			for batch := range slices.Chunk(all, consent.DigestBatch) {
				jobs[g.kind] = append(jobs[g.kind], consent.DigestKey(g.app, batch...))
			}
		}
		for _, kind := range slices.Sorted(maps.Keys(jobs)) {
			if err := s.queue.Enqueue(ctx, q.tx.Tx, kind, jobs[kind]); err != nil {
				return err
			}
		}
		return nil
	})
	return total, err
}
