package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/migrations"
)

// Queue takes jobs into a transaction of ours. See package scheduler.
type Queue interface {
	Enqueue(ctx context.Context, tx *sql.Tx, kind string, keys []string) error
	// Waiting counts the jobs of a kind that nobody has begun yet.
	Waiting(ctx context.Context, tx *sql.Tx, kind string) (int, error)
}

// UseQueue gives the store the queue that Dispatch puts jobs into.
func (s *Store) UseQueue(q Queue) { s.queue = q }

// IsSQLite reports whether the database is a file of one process.
func (s *Store) IsSQLite() bool { return s.dialect == migrations.SQLite }

// DB returns the connections that the store works with, for a queue that is to
// share its transactions.
func (s *Store) DB() *sql.DB { return s.db.DB }

const digestColumnList = `application_id, id, user_id, channel, state, created_at, due_at, claim_id, claimed_until, tries, counted, finished_at, reason`

var (
	// A digest that has its job is due again when the job must have been lost.
	dispatchDigests = sideBySide(dispatch(` FOR UPDATE SKIP LOCKED`), dispatch(``))
	listDigests     = forEach(`SELECT ` + digestColumnList + ` FROM digests WHERE application_id = :app AND id = @id`)
	claimedColumns  = strings.Fields(`application_id id`)
	// Sweeps write to open digests in this order too, so that nobody waits for
	// somebody who waits for them.
	lockDigests = withTable(claimedColumns, `SELECT d.id FROM @r JOIN digests d ON d.application_id = r.application_id AND d.id = r.id
		ORDER BY d.user_id, d.channel`).locked("d")
	freezeDigests = withTable(claimedColumns, `UPDATE digests SET state = 'frozen', claim_id = :claim, claimed_until = :until, due_at = :until, tries = tries + 1
		FROM @r WHERE digests.application_id = r.application_id AND digests.id = r.id
			AND digests.state IN ('open', 'frozen') AND (digests.claimed_until IS NULL OR digests.claimed_until <= :now)
		RETURNING digests.`+strings.ReplaceAll(digestColumnList, ", ", ", digests."))
	// Not ordered: for an order of the primary key's a planner reads all of the
	// application's notices in the place of the digests' few.
	noticesOf = forEach(`SELECT application_id, consent_id, cycle, stage, channel, digest_id, outcome, EXISTS (
			SELECT 1 FROM notices t WHERE t.application_id = n.application_id AND t.consent_id = n.consent_id AND t.cycle = n.cycle
				AND t.channel = n.channel AND t.outcome = 'sent' AND t.stage NOT LIKE 'before%' AND t.stage NOT LIKE 'asked%'
		) AS told_of_end
		FROM notices n WHERE application_id = :app AND digest_id = @id`)
	subjects = forEach(`SELECT ` + subjectColumns + `, EXISTS (
			SELECT 1 FROM consents o WHERE o.application_id = c.application_id AND o.replaces = c.id AND ` + replacing + `
		) AS replaced
		FROM consents c WHERE application_id = :app AND id = @id`)
	// The application is a column of the rows: where it is a value of its own,
	// SQLite looks through all of the application's for each.
	postponedColumns = strings.Fields(`application_id id claim_id due_at reason tries`)
	postponeDigests  = withTable(postponedColumns, `UPDATE digests SET due_at = r.due_at, claim_id = '', claimed_until = NULL, reason = r.reason, tries = r.tries
		FROM @r WHERE digests.application_id = r.application_id AND digests.id = r.id AND digests.claim_id = r.claim_id AND digests.state IN ('open', 'frozen')`)
	countDigest = both(`UPDATE digests SET counted = TRUE WHERE application_id = :app AND id = :id AND claim_id = :claim AND state = 'frozen'`)
	// What joins an open message does not hurry it, but for a user who asks.
	openDigest = both(`INSERT INTO digests (application_id, id, user_id, channel, state, created_at, due_at, reason)
		VALUES (:app, :new, :user, :channel, 'open', :now, :due, :reason)
		ON CONFLICT (application_id, user_id, channel) WHERE state = 'open' DO UPDATE SET
			due_at = CASE WHEN excluded.reason = 'asked' THEN excluded.due_at ELSE digests.due_at END,
			reason = CASE WHEN excluded.reason = 'asked' THEN excluded.reason ELSE digests.reason END
		RETURNING ` + digestColumnList)
	addNotice = both(`INSERT INTO notices (application_id, consent_id, cycle, stage, channel, digest_id, outcome)
		VALUES (:app, :consent, :cycle, :stage, :channel, :digest, 'waiting')`)
	moveNotice = both(`UPDATE notices SET digest_id = :digest WHERE application_id = :app AND consent_id = :consent AND cycle = :cycle
		AND stage = :stage AND channel = :channel AND digest_id = :from`)
	lockDigest      = locking(`SELECT ` + digestColumnList + ` FROM digests WHERE application_id = :app AND id = :id`)
	finishedColumns = strings.Fields(`application_id id claim_id outcome reason at`)
	finishDigests   = withTable(finishedColumns, `UPDATE digests SET state = r.outcome, reason = r.reason, finished_at = r.at,
			due_at = NULL, claim_id = '', claimed_until = NULL
		FROM @r WHERE digests.application_id = r.application_id AND digests.id = r.id AND digests.claim_id = r.claim_id AND digests.state = 'frozen'
		RETURNING digests.id`)
	tellEmailUnreachable = tellUnreachable(`email_unreachable_cycle`)
	tellSMSUnreachable   = tellUnreachable(`sms_unreachable_cycle`)
	outcomeColumns       = strings.Fields(`application_id consent_id cycle stage channel outcome`)
	setOutcomes          = withTable(outcomeColumns, `UPDATE notices SET outcome = r.outcome FROM @r WHERE notices.application_id = r.application_id
		AND notices.consent_id = r.consent_id AND notices.cycle = r.cycle AND notices.stage = r.stage AND notices.channel = r.channel`)
)

// subjectColumns are what a message says, and is decided by.
const subjectColumns = `application_id, id, user_id, provider, provider_id, bank_name, account_label, cycle, consented_at, expires_at, ended_at, ended_reason,
	revoked_at, pending, lapsing_at, lapses_at, renewable_until, announced`

// tellUnreachable records that a consent has its event in this cycle, and so
// counts whether it is to have one.
func tellUnreachable(column string) *statement {
	return both(`UPDATE consents SET ` + column + ` = cycle WHERE application_id = :app AND id = :id AND cycle = :cycle AND revoked_at IS NULL
		AND (` + column + ` <> cycle OR CAST(:always AS BOOLEAN))`)
}

// dispatch leaves alone the digest of a user of whom something is still to be
// announced: it is to come along, also where another sweep has it in hand.
func dispatch(lock string) string {
	return `UPDATE digests SET due_at = :until WHERE (application_id, id) IN (
		SELECT application_id, id FROM digests d WHERE due_at <= :now AND channel IN (:email, :sms) AND (state <> 'open' OR NOT EXISTS (
			SELECT 1 FROM consents c WHERE c.application_id = d.application_id AND c.user_id = d.user_id
				AND c.next_stage_at <= :now AND c.revoked_at IS NULL AND NOT c.pending))
		ORDER BY due_at LIMIT :limit` + lock + `
	) RETURNING application_id, id, channel`
}

type digestRow struct {
	App          string `db:"application_id"`
	ID           string `db:"id"`
	UserID       string `db:"user_id"`
	Channel      string `db:"channel"`
	State        string `db:"state"`
	CreatedAt    stamp  `db:"created_at"`
	DueAt        stamp  `db:"due_at"`
	ClaimID      string `db:"claim_id"`
	ClaimedUntil stamp  `db:"claimed_until"`
	Tries        int    `db:"tries"`
	Counted      bool   `db:"counted"`
	FinishedAt   stamp  `db:"finished_at"`
	Reason       string `db:"reason"`
}

func (r *digestRow) digest() consent.Digest {
	return consent.Digest{
		ApplicationID: r.App, ID: r.ID, UserID: r.UserID, Channel: consent.Channel(r.Channel), State: consent.DigestState(r.State),
		CreatedAt: r.CreatedAt.Time, DueAt: r.DueAt.Time, ClaimID: r.ClaimID, ClaimedUntil: r.ClaimedUntil.Time, Tries: r.Tries, Counted: r.Counted,
		FinishedAt: r.FinishedAt.Time, Reason: r.Reason,
	}
}

type noticeRow struct {
	App       string `db:"application_id"`
	ConsentID string `db:"consent_id"`
	Cycle     int    `db:"cycle"`
	Stage     string `db:"stage"`
	Channel   string `db:"channel"`
	DigestID  string `db:"digest_id"`
	Outcome   string `db:"outcome"`
	ToldOfEnd bool   `db:"told_of_end"`
}

// mostWaiting jobs are in the queue: a digest is given another job when its own
// must have been lost, and one far back in a long queue would seem to be.
const mostWaiting = 500

// Dispatch implements consent.Digests.
func (s *Store) Dispatch(ctx context.Context, now, until time.Time, limit int) (int, error) {
	total := 0
	err := s.atomic(ctx, func(q query) error {
		arg := args{"now": stamp{now}, "until": stamp{until}, "limit": limit}
		for _, c := range consent.Channels {
			waiting, err := s.queue.Waiting(ctx, q.tx.Tx, consent.DigestJob(c))
			if err != nil {
				return err
			}
			if arg[string(c)] = string(c); waiting >= mostWaiting {
				arg[string(c)] = ""
			}
		}
		var rows []digestRow
		if err := q.list(ctx, dispatchDigests, &rows, arg); err != nil {
			return err
		}
		total = len(rows)
		slices.SortFunc(rows, func(a, b digestRow) int { return cmp.Or(cmp.Compare(a.App, b.App), cmp.Compare(a.ID, b.ID)) })
		type together struct{ kind, app string }
		ids := map[together][]string{}
		for i := range rows {
			g := together{consent.DigestJob(consent.Channel(rows[i].Channel)), rows[i].App}
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

// ListDigests implements consent.Digests.
func (s *Store) ListDigests(ctx context.Context, applicationID string, ids []string) ([]consent.Digest, error) {
	var rows []digestRow
	err := s.query().list(ctx, listDigests, &rows, args{"app": applicationID, "ids": keys(s.dialect, ids)})
	digests := make([]consent.Digest, len(rows))
	for i := range rows {
		digests[i] = rows[i].digest()
	}
	slices.SortFunc(digests, func(a, b consent.Digest) int { return cmp.Compare(a.ID, b.ID) })
	return digests, err
}

// FreezeDigests implements consent.Digests. The notices are read by a statement
// of their own: what a sweep has attached while the rows were waited for is not
// in the snapshot of the one that claims.
func (s *Store) FreezeDigests(ctx context.Context, c consent.DigestClaim) ([]consent.Frozen, error) {
	var rows []digestRow
	var notices []noticeRow
	t := table{columns: claimedColumns}
	for _, id := range c.IDs {
		t.add(c.ApplicationID, id)
	}
	arg, err := t.args(s.dialect, args{"claim": c.ClaimID, "now": stamp{c.Now}, "until": stamp{c.Until}})
	if err != nil || len(t.rows) == 0 {
		return nil, err
	}
	err = s.atomic(ctx, func(q query) error {
		rows, notices = nil, nil
		if _, err := q.exec(ctx, lockDigests, arg); err != nil {
			return err
		}
		if err := q.list(ctx, freezeDigests, &rows, arg); err != nil || len(rows) == 0 {
			return err
		}
		ids := make([]string, len(rows))
		for i := range rows {
			ids[i] = rows[i].ID
		}
		return q.list(ctx, noticesOf, &notices, args{"app": c.ApplicationID, "ids": keys(s.dialect, ids)})
	})
	if err != nil {
		return nil, err
	}
	return frozen(rows, notices), nil
}

// frozen puts notices to their digests, and both in order.
func frozen(rows []digestRow, notices []noticeRow) []consent.Frozen {
	of := map[string][]consent.Notice{}
	for i := range notices {
		r := &notices[i]
		of[r.DigestID] = append(of[r.DigestID], consent.Notice{ApplicationID: r.App, ConsentID: r.ConsentID, Cycle: r.Cycle, Stage: r.Stage,
			Channel: consent.Channel(r.Channel), DigestID: r.DigestID, Outcome: consent.Outcome(r.Outcome), ToldOfEnd: r.ToldOfEnd})
	}
	list := make([]consent.Frozen, len(rows))
	for i := range rows {
		list[i] = consent.Frozen{Digest: rows[i].digest(), Notices: of[rows[i].ID]}
		slices.SortFunc(list[i].Notices, func(a, b consent.Notice) int {
			return cmp.Or(cmp.Compare(a.ConsentID, b.ConsentID), cmp.Compare(a.Cycle, b.Cycle), cmp.Compare(a.Stage, b.Stage))
		})
	}
	slices.SortFunc(list, func(a, b consent.Frozen) int { return cmp.Compare(a.Digest.ID, b.Digest.ID) })
	return list
}

// subjectRow is a consent that a message is about.
type subjectRow struct {
	consentRow
	Replaced bool `db:"replaced"`
}

// Subjects implements consent.Digests.
func (s *Store) Subjects(ctx context.Context, applicationID string, consentIDs []string) ([]consent.Subject, error) {
	var rows []subjectRow
	err := s.query().list(ctx, subjects, &rows, args{"app": applicationID, "ids": keys(s.dialect, consentIDs)})
	all := make([]consent.Subject, len(rows))
	for i := range rows {
		all[i] = consent.Subject{Consent: rows[i].consent(), Replaced: rows[i].Replaced}
	}
	return all, err
}

// AskForMessage implements consent.Digests.
func (s *Store) AskForMessage(ctx context.Context, n consent.Notice, userID string, now time.Time) error {
	arg := args{"app": n.ApplicationID, "new": n.DigestID, "user": userID, "channel": string(n.Channel), "now": stamp{now}, "due": stamp{now},
		"reason": consent.DigestAsked, "consent": n.ConsentID, "cycle": n.Cycle, "stage": n.Stage}
	return s.atomic(ctx, func(q query) error {
		var open digestRow
		if err := q.get(ctx, openDigest, &open, arg); err != nil {
			return err
		}
		arg["digest"] = open.ID
		_, err := q.exec(ctx, addNotice, arg)
		return err
	})
}

// CountDigest implements consent.Digests.
func (s *Store) CountDigest(ctx context.Context, d consent.Digest) error {
	n, err := s.query().exec(ctx, countDigest, args{"app": d.ApplicationID, "id": d.ID, "claim": d.ClaimID})
	if err == nil && n == 0 {
		return consent.ErrClaimLost
	}
	return err
}

// PutOffNotices implements consent.Digests.
func (s *Store) PutOffNotices(ctx context.Context, d consent.Digest, notices []consent.Notice, newID string, due time.Time) error {
	arg := args{"app": d.ApplicationID, "id": d.ID, "new": newID, "user": d.UserID, "channel": string(d.Channel), "now": stamp{d.CreatedAt}, "due": stamp{due}, "reason": ""}
	return s.atomic(ctx, func(q query) error {
		var held, open digestRow
		if err := q.get(ctx, lockDigest, &held, arg); err != nil {
			return err
		}
		if held.State != string(consent.DigestFrozen) || held.ClaimID != d.ClaimID || d.ClaimID == "" {
			return consent.ErrClaimLost
		}
		if err := q.get(ctx, openDigest, &open, arg); err != nil {
			return err
		}
		for _, n := range notices {
			err := q.one(ctx, moveNotice, args{"app": n.ApplicationID, "consent": n.ConsentID, "cycle": n.Cycle, "stage": n.Stage,
				"channel": string(n.Channel), "digest": open.ID, "from": d.ID})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// PostponeDigests implements consent.Digests.
func (s *Store) PostponeDigests(ctx context.Context, applicationID string, list []consent.Digest) (int, error) {
	t := table{columns: postponedColumns}
	for i := range list {
		d := &list[i]
		t.add(applicationID, d.ID, d.ClaimID, stamp{d.DueAt}.micros(), d.Reason, d.Tries)
	}
	if len(t.rows) == 0 {
		return 0, nil
	}
	arg, err := t.args(s.dialect, args{})
	if err != nil {
		return 0, err
	}
	var n int64
	err = again(func() error {
		n, err = s.query().exec(ctx, postponeDigests, arg)
		return err
	})
	return int(n), err
}

// FinishDigests implements consent.Digests.
func (s *Store) FinishDigests(ctx context.Context, applicationID string, list []consent.Frozen) (n int, err error) {
	if len(list) == 0 {
		return 0, nil
	}
	err = s.atomic(ctx, func(q query) error {
		n, err = q.finishDigests(ctx, applicationID, list)
		return err
	})
	return n, err
}

func (q query) finishDigests(ctx context.Context, applicationID string, list []consent.Frozen) (int, error) {
	digests, outcomes := table{columns: finishedColumns}, table{columns: outcomeColumns}
	for i := range list {
		d := &list[i].Digest
		digests.add(applicationID, d.ID, d.ClaimID, string(d.State), d.Reason, stamp{d.FinishedAt}.micros())
	}
	arg, err := digests.args(q.s.dialect, args{})
	if err != nil {
		return 0, err
	}
	var ended []string
	if err := q.list(ctx, finishDigests, &ended, arg); err != nil {
		return 0, err
	}
	for i := range list {
		if !slices.Contains(ended, list[i].Digest.ID) {
			continue
		}
		for _, n := range list[i].Notices {
			outcomes.add(applicationID, n.ConsentID, n.Cycle, n.Stage, string(n.Channel), string(n.Outcome))
		}
	}
	if len(outcomes.rows) == 0 {
		return len(ended), nil
	}
	if arg, err = outcomes.args(q.s.dialect, args{}); err != nil {
		return 0, err
	}
	n, err := q.exec(ctx, setOutcomes, arg)
	if err == nil && int(n) != len(outcomes.rows) {
		err = consent.ErrNotFound
	}
	return len(ended), err
}

// FinishUnreachable implements consent.Digests.
func (s *Store) FinishUnreachable(ctx context.Context, u consent.Unreachable) error {
	d := u.Digest
	mark, tell := markEmail, tellEmailUnreachable
	if d.Channel == consent.ChannelSMS {
		mark, tell = markPhone, tellSMSUnreachable
	}
	return s.atomic(ctx, func(q query) error {
		n, err := q.finishDigests(ctx, d.ApplicationID, []consent.Frozen{{Digest: d, Notices: u.Notices}})
		if err == nil && n == 0 {
			err = consent.ErrClaimLost
		}
		if err != nil {
			return err
		}
		if u.Refused != "" {
			arg := args{"app": d.ApplicationID, "id": d.UserID, "address": u.Refused, "at": stamp{d.FinishedAt}}
			if _, err := q.exec(ctx, mark, arg); err != nil {
				return err
			}
		}
		for i := range u.Events {
			e := &u.Events[i]
			n, err := q.exec(ctx, tell, args{"app": d.ApplicationID, "id": e.ConsentID, "cycle": e.Cycle, "always": u.Refused != ""})
			if err != nil {
				return err
			}
			if n == 0 {
				continue
			}
			if err := q.addEvents(ctx, d.ApplicationID, e.ConsentID, *e); err != nil {
				return err
			}
		}
		return nil
	})
}
