package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"strings"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/migrations"
)

// IsSQLite reports whether the database is a file of one process.
func (s *Store) IsSQLite() bool { return s.dialect == migrations.SQLite }

// DB returns the connections that the store works with, for a queue that is to
// share its transactions.
func (s *Store) DB() *sql.DB { return s.db.DB }

const digestColumnList = `application_id, id, user_id, channel, state, created_at, due_at, claim_id, claimed_until, tries, counted, asked, finished_at, reason`

var (
	listDigests    = forEach(`SELECT ` + digestColumnList + ` FROM digests WHERE application_id = :app AND id = @id`)
	claimedColumns = strings.Fields(`application_id id`)
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
	// What is put off is nobody's to claim until then. One that its user has asked
	// for since it was read stays due.
	postponedColumns = strings.Fields(`application_id id claim_id due_at reason tries asked`)
	postponeDigests  = withTable(postponedColumns, `UPDATE digests SET due_at = r.due_at, claim_id = '', claimed_until = r.due_at, reason = r.reason, tries = r.tries
		FROM @r WHERE digests.application_id = r.application_id AND digests.id = r.id AND digests.claim_id = r.claim_id AND digests.state IN ('open', 'frozen')
			AND (NOT digests.asked OR r.asked = 'asked')`)
	countDigest = both(`UPDATE digests SET counted = TRUE WHERE application_id = :app AND id = :id AND claim_id = :claim AND state = 'frozen'`)
	// What joins an open message does not hurry it, but for a user who asks.
	openDigest = both(`INSERT INTO digests (application_id, id, user_id, channel, state, created_at, due_at, asked)
		VALUES (:app, :new, :user, :channel, 'open', :now, :due, :asked)
		ON CONFLICT (application_id, user_id, channel) WHERE state = 'open' DO UPDATE SET
			due_at = CASE WHEN excluded.asked AND excluded.due_at < digests.due_at THEN excluded.due_at ELSE digests.due_at END,
			claimed_until = CASE WHEN excluded.asked AND excluded.due_at < digests.due_at THEN NULL ELSE digests.claimed_until END,
			asked = digests.asked OR excluded.asked
		RETURNING ` + digestColumnList)
	addNotice = both(`INSERT INTO notices (application_id, consent_id, cycle, stage, channel, digest_id, outcome)
		VALUES (:app, :consent, :cycle, :stage, :channel, :digest, 'waiting')`)
	moveNotice = both(`UPDATE notices SET digest_id = :digest WHERE application_id = :app AND consent_id = :consent AND cycle = :cycle
		AND stage = :stage AND channel = :channel AND digest_id = :from`)
	lockDigest = locking(`SELECT ` + digestColumnList + ` FROM digests WHERE application_id = :app AND id = :id`)
)

// subjectColumns are what a message says, and is decided by.
const subjectColumns = `application_id, id, user_id, provider, provider_id, bank_name, account_label, cycle, consented_at, expires_at, ended_at, ended_reason,
	revoked_at, pending, lapsing_at, lapses_at, renewable_until, announced`

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
	Asked        bool   `db:"asked"`
	FinishedAt   stamp  `db:"finished_at"`
	Reason       string `db:"reason"`
}

func (r *digestRow) digest() consent.Digest {
	return consent.Digest{
		ApplicationID: r.App, ID: r.ID, UserID: r.UserID, Channel: consent.Channel(r.Channel), State: consent.DigestState(r.State),
		CreatedAt: r.CreatedAt.Time, DueAt: r.DueAt.Time, ClaimID: r.ClaimID, ClaimedUntil: r.ClaimedUntil.Time, Tries: r.Tries, Counted: r.Counted,
		Asked: r.Asked, FinishedAt: r.FinishedAt.Time, Reason: r.Reason,
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
	if len(c.IDs) == 0 {
		return nil, nil
	}
	arg, err := claimed(s.dialect, c.ApplicationID, c.IDs, args{"claim": c.ClaimID, "now": stamp{c.Now}, "until": stamp{c.Until}})
	if err != nil {
		return nil, err
	}
	err = s.atomic(ctx, func(q query) error {
		rows, notices = nil, nil
		if err := q.lockDigests(ctx, c.ApplicationID, c.IDs); err != nil {
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

// claimed are the parameters of a statement about some digests.
func claimed(d migrations.Dialect, applicationID string, ids []string, others args) (args, error) {
	t := table{columns: claimedColumns}
	for _, id := range ids {
		t.add(applicationID, id)
	}
	return t.args(d, others)
}

// lockDigests locks digests in the one order in which everybody does. Whoever
// writes to several begins with it.
func (q query) lockDigests(ctx context.Context, applicationID string, ids []string) error {
	arg, err := claimed(q.s.dialect, applicationID, ids, args{})
	if err == nil {
		_, err = q.exec(ctx, lockDigests, arg)
	}
	return err
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
		"asked": true, "consent": n.ConsentID, "cycle": n.Cycle, "stage": n.Stage}
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
	arg := args{"app": d.ApplicationID, "id": d.ID, "new": newID, "user": d.UserID, "channel": string(d.Channel), "now": stamp{d.CreatedAt}, "due": stamp{due},
		"asked": slices.ContainsFunc(notices, func(n consent.Notice) bool { return n.Asked() })}
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
	t, ids := table{columns: postponedColumns}, make([]string, len(list))
	for i := range list {
		d := &list[i]
		ids[i] = d.ID
		asked := ""
		if d.Asked {
			asked = "asked"
		}
		t.add(applicationID, d.ID, d.ClaimID, stamp{d.DueAt}.micros(), d.Reason, d.Tries, asked)
	}
	if len(t.rows) == 0 {
		return 0, nil
	}
	arg, err := t.args(s.dialect, args{})
	if err != nil {
		return 0, err
	}
	var n int64
	err = s.atomic(ctx, func(q query) (err error) {
		if err = q.lockDigests(ctx, applicationID, ids); err == nil {
			n, err = q.exec(ctx, postponeDigests, arg)
		}
		return err
	})
	return int(n), err
}
