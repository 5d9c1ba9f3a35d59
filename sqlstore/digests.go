package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"maps"
	"slices"
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
	digestByID      = both(`SELECT ` + digestColumnList + ` FROM digests WHERE application_id = :app AND id = :id`)
	freezeDigest    = both(`UPDATE digests SET state = 'frozen', claim_id = :claim, claimed_until = :until, due_at = :until, tries = tries + 1
		WHERE application_id = :app AND id = :id AND state IN ('open', 'frozen') AND (claimed_until IS NULL OR claimed_until <= :now)
		RETURNING ` + digestColumnList)
	// Not ordered: for an order of the primary key's a planner reads all of the
	// application's notices in the place of the digest's few.
	noticesOf = both(`SELECT application_id, consent_id, cycle, stage, channel, digest_id, outcome, EXISTS (
			SELECT 1 FROM notices t WHERE t.application_id = n.application_id AND t.consent_id = n.consent_id AND t.cycle = n.cycle
				AND t.channel = n.channel AND t.outcome = 'sent' AND t.stage NOT LIKE 'before%'
		) AS told_of_end
		FROM notices n WHERE application_id = :app AND digest_id = :id`)
	postponeDigest = both(`UPDATE digests SET due_at = :due, claim_id = '', claimed_until = NULL, reason = :reason, tries = :tries
		WHERE application_id = :app AND id = :id AND claim_id = :claim AND state IN ('open', 'frozen')`)
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
	lockDigest   = locking(`SELECT ` + digestColumnList + ` FROM digests WHERE application_id = :app AND id = :id`)
	finishDigest = both(`UPDATE digests SET state = :state, reason = :reason, finished_at = :at, due_at = NULL, claim_id = '', claimed_until = NULL
		WHERE application_id = :app AND id = :id AND claim_id = :claim AND state = 'frozen'`)
	tellEmailUnreachable = tellUnreachable(`email_unreachable_cycle`)
	tellSMSUnreachable   = tellUnreachable(`sms_unreachable_cycle`)
	setOutcome           = both(`UPDATE notices SET outcome = :outcome
		WHERE application_id = :app AND consent_id = :consent AND cycle = :cycle AND stage = :stage AND channel = :channel`)
)

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
const mostWaiting = 10_000

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
		keys := map[string][]string{} // by kind of job
		for i := range rows {
			kind := consent.DigestJob(consent.Channel(rows[i].Channel))
			keys[kind] = append(keys[kind], consent.DigestKey(rows[i].App, rows[i].ID))
		}
		for _, kind := range slices.Sorted(maps.Keys(keys)) {
			if err := s.queue.Enqueue(ctx, q.tx.Tx, kind, keys[kind]); err != nil {
				return err
			}
		}
		return nil
	})
	return total, err
}

// Digest implements consent.Digests.
func (s *Store) Digest(ctx context.Context, applicationID, id string) (consent.Digest, error) {
	var row digestRow
	err := s.query().get(ctx, digestByID, &row, args{"app": applicationID, "id": id})
	return row.digest(), err
}

// FreezeDigest implements consent.Digests.
func (s *Store) FreezeDigest(ctx context.Context, c consent.DigestClaim) (consent.Digest, []consent.Notice, error) {
	var row digestRow
	var rows []noticeRow
	arg := args{"app": c.ApplicationID, "id": c.ID, "claim": c.ClaimID, "now": stamp{c.Now}, "until": stamp{c.Until}}
	err := s.atomic(ctx, func(q query) error {
		err := q.get(ctx, freezeDigest, &row, arg)
		if isNotFound(err) {
			if err := q.get(ctx, digestByID, &row, arg); err != nil {
				return err
			}
			return consent.ErrBusy
		}
		if err != nil {
			return err
		}
		return q.list(ctx, noticesOf, &rows, arg)
	})
	if err != nil {
		return consent.Digest{}, nil, err
	}
	notices := make([]consent.Notice, len(rows))
	for i, r := range rows {
		notices[i] = consent.Notice{ApplicationID: r.App, ConsentID: r.ConsentID, Cycle: r.Cycle, Stage: r.Stage,
			Channel: consent.Channel(r.Channel), DigestID: r.DigestID, Outcome: consent.Outcome(r.Outcome), ToldOfEnd: r.ToldOfEnd}
	}
	slices.SortFunc(notices, func(a, b consent.Notice) int {
		return cmp.Or(cmp.Compare(a.ConsentID, b.ConsentID), cmp.Compare(a.Cycle, b.Cycle), cmp.Compare(a.Stage, b.Stage))
	})
	return row.digest(), notices, nil
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

// PostponeDigest implements consent.Digests.
func (s *Store) PostponeDigest(ctx context.Context, d consent.Digest, due time.Time, reason string) error {
	n, err := s.query().exec(ctx, postponeDigest, args{"app": d.ApplicationID, "id": d.ID, "claim": d.ClaimID, "due": stamp{due}, "reason": reason, "tries": d.Tries})
	if err == nil && n == 0 {
		return consent.ErrClaimLost
	}
	return err
}

// FinishDigest implements consent.Digests.
func (s *Store) FinishDigest(ctx context.Context, d consent.Digest, notices []consent.Notice) error {
	return s.atomic(ctx, func(q query) error { return q.finishDigest(ctx, d, notices) })
}

func (q query) finishDigest(ctx context.Context, d consent.Digest, notices []consent.Notice) error {
	n, err := q.exec(ctx, finishDigest, args{"app": d.ApplicationID, "id": d.ID, "claim": d.ClaimID,
		"state": string(d.State), "reason": d.Reason, "at": stamp{d.FinishedAt}})
	if err != nil {
		return err
	}
	if n == 0 {
		return consent.ErrClaimLost
	}
	for _, n := range notices {
		if err := q.one(ctx, setOutcome, args{"app": n.ApplicationID, "consent": n.ConsentID, "cycle": n.Cycle, "stage": n.Stage,
			"channel": string(n.Channel), "outcome": string(n.Outcome)}); err != nil {
			return err
		}
	}
	return nil
}

// FinishUnreachable implements consent.Digests.
func (s *Store) FinishUnreachable(ctx context.Context, u consent.Unreachable) error {
	d := u.Digest
	mark, tell := markEmail, tellEmailUnreachable
	if d.Channel == consent.ChannelSMS {
		mark, tell = markPhone, tellSMSUnreachable
	}
	return s.atomic(ctx, func(q query) error {
		if err := q.finishDigest(ctx, d, u.Notices); err != nil {
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
