package sqlstore

import (
	"context"
	"strings"
	"time"

	"github.com/reconsent/reconsent/consent"
)

// dueColumns are what a sweep judges by. No secret is among them.
const dueColumns = `application_id, id, user_id, provider, provider_id, cycle, consented_at, expires_at, ended_at,
	lapsing_at, lapses_at, renewable_until, next_stage_at, announced, parked_at, parked_reason, seq`

// fromDue walks the index of what is due. Rows of a batch that is being
// flagged by somebody else are passed over: they are taken care of.
const fromDue = ` FROM consents
	WHERE next_stage_at IS NOT NULL AND revoked_at IS NULL AND NOT pending
		AND next_stage_at <= :now AND (next_stage_at, application_id, id) > (:after, :after_app, :after_id)
		AND (CAST(:nearest AS BIGINT) IS NULL OR lapses_at <= :nearest)
	ORDER BY next_stage_at, application_id, id LIMIT :limit`

// reachColumns tell how the consent's user can be reached, by one look at the
// user: 1 by mail, 2 by phone, 3 by both.
const reachColumns = `, email_unreachable_cycle, COALESCE((
		SELECT CASE WHEN u.email <> '' THEN 1 ELSE 0 END + CASE WHEN u.phone <> '' THEN 2 ELSE 0 END
		FROM users u WHERE u.application_id = consents.application_id AND u.id = consents.user_id
	), 0) AS reached_by`

const (
	reachedByEmail = 1
	reachedByPhone = 2
)

// dueRow is a consent of a batch.
type dueRow struct {
	consentRow
	UnreachableCycle int `db:"email_unreachable_cycle"`
	ReachedBy        int `db:"reached_by"`
}

var (
	flaggedColumns = strings.Fields(`application_id id next_stage_at seq announced parked_at parked_reason email_unreachable_cycle`)
	noticeColumns  = strings.Fields(`application_id id user_id cycle stage channel`)
	digestColumns  = strings.Fields(`application_id id user_id channel`)

	listDue = both(`SELECT ` + dueColumns + fromDue)
	takeDue = sideBySide(`SELECT `+dueColumns+reachColumns+fromDue+` FOR UPDATE SKIP LOCKED`, `SELECT `+dueColumns+reachColumns+fromDue)
	parkOne = both(`UPDATE consents SET next_stage_at = :again, parked_at = COALESCE(parked_at, :now), parked_reason = :reason
		WHERE application_id = :app AND id = :id AND next_stage_at = :was`)

	flagConsents = withTable(flaggedColumns, `UPDATE consents SET next_stage_at = NULLIF(r.next_stage_at, 0), seq = r.seq,
			announced = r.announced, parked_at = NULLIF(r.parked_at, 0), parked_reason = r.parked_reason,
			email_unreachable_cycle = r.email_unreachable_cycle
		FROM @r WHERE consents.application_id = r.application_id AND consents.id = r.id`)
	addStageEvents = withTable(eventColumns, `INSERT INTO events (`+columns(eventColumns)+`)
		SELECT `+columns(eventColumns)+` FROM @r`)
	// A message to the user that is still open takes the notice along. Writing
	// to it, if only what is there, keeps it from being frozen until we commit.
	// In the order of its key, so that two sweeps do not wait for each other.
	openDigests = withTable(digestColumns, `INSERT INTO digests (application_id, id, user_id, channel, state, created_at, due_at)
		SELECT application_id, id, user_id, channel, 'open', :now, :now FROM @r WHERE TRUE
		ORDER BY application_id, user_id, channel
		ON CONFLICT (application_id, user_id, channel) WHERE state = 'open' DO UPDATE SET user_id = excluded.user_id`)
	addNotices = withTable(noticeColumns, `INSERT INTO notices (application_id, consent_id, cycle, stage, channel, digest_id, outcome)
		SELECT application_id, id, cycle, stage, channel, digest_id, 'waiting' FROM (
			SELECT r.*, (SELECT d.id FROM digests d WHERE d.application_id = r.application_id AND d.user_id = r.user_id
				AND d.channel = r.channel AND d.state = 'open') AS digest_id FROM @r
		) AS joined WHERE digest_id IS NOT NULL ON CONFLICT DO NOTHING`)

	rearmedColumns = strings.Fields(`id cycle lapses_at lapsing_at next_stage_at`)
	rearmConsents  = withTable(rearmedColumns, `UPDATE consents SET lapsing_at = NULLIF(r.lapsing_at, 0),
			next_stage_at = CASE WHEN consents.next_stage_at <= :now OR consents.parked_at IS NOT NULL THEN consents.next_stage_at ELSE NULLIF(r.next_stage_at, 0) END
		FROM @r WHERE consents.application_id = :app AND consents.id = r.id AND consents.cycle = r.cycle
			AND COALESCE(consents.lapses_at, 0) = r.lapses_at AND consents.revoked_at IS NULL AND NOT consents.pending`)

	countParked = both(`SELECT count(*) FROM consents WHERE parked_at IS NOT NULL`)
	listParked  = both(`SELECT ` + dueColumns + ` FROM consents WHERE parked_at IS NOT NULL ORDER BY application_id, parked_at LIMIT :limit`)
)

// before every moment that a consent could be due at.
const beforeAll = -1 << 62

func dueArgs(d consent.DueFilter) args {
	a := args{"now": stamp{d.Now}, "nearest": stamp{d.Nearest}, "limit": d.Limit, "after": int64(beforeAll), "after_app": "", "after_id": ""}
	if d.After.ID != "" {
		a["after"], a["after_app"], a["after_id"] = stamp{d.After.At}, d.After.ApplicationID, d.After.ID
	}
	return a
}

// Due implements consent.Sweeping.
func (s *Store) Due(ctx context.Context, d consent.DueFilter) ([]consent.Consent, error) {
	var rows []consentRow
	err := s.query().list(ctx, listDue, &rows, dueArgs(d))
	return consentsOf(rows), err
}

// Flag implements consent.Sweeping.
func (s *Store) Flag(ctx context.Context, d consent.DueFilter, judge func(*consent.Consent) consent.Judgement) ([]consent.Judged, error) {
	var judged []consent.Judged
	err := s.atomic(ctx, func(q query) error {
		var rows []dueRow
		if err := q.list(ctx, takeDue, &rows, dueArgs(d)); err != nil || len(rows) == 0 {
			judged = nil
			return err
		}
		judged = make([]consent.Judged, len(rows))
		for i := range rows {
			judged[i].Consent = rows[i].consent()
			judged[i].Judgement = judge(&judged[i].Consent)
			rows[i].reach(&judged[i].Judgement)
		}
		return q.flag(ctx, judged, rows, d.Now)
	})
	if err != nil {
		return nil, err
	}
	return judged, nil
}

// reach leaves of a judgement what can reach the user. Where that is nothing,
// for want of an address, the application is told so, once a cycle.
func (r *dueRow) reach(j *consent.Judgement) {
	wanted := j.DigestID != ""
	if r.ReachedBy&reachedByEmail == 0 {
		j.DigestID = ""
	}
	if r.ReachedBy&reachedByPhone == 0 {
		j.SMSDigestID = ""
	}
	if wanted && j.DigestID == "" && j.SMSDigestID == "" && j.NoAddress != nil && r.UnreachableCycle != r.Cycle {
		j.Events = append(j.Events, j.NoAddress())
		r.UnreachableCycle = r.Cycle
	}
}

// flag writes what became of a batch whose rows are locked.
func (q query) flag(ctx context.Context, judged []consent.Judged, rows []dueRow, now time.Time) error {
	flagged, events := table{columns: flaggedColumns}, table{columns: eventColumns}
	notices, digests := table{columns: noticeColumns}, table{columns: digestColumns}
	heard := told()
	type person struct {
		app, user string
		channel   consent.Channel
	}
	told := map[person]bool{}
	for i := range judged {
		c, j := judged[i].Consent, &judged[i].Judgement
		c.Apply(j.Flag, now)
		for n := range j.Events {
			e := &j.Events[n]
			c.Seq++
			data, err := document(e.Data).text()
			if err != nil {
				return err
			}
			heard.tell(c.ApplicationID, c.ID, c.Seq, e)
			events.add(c.ApplicationID, c.ID, c.Seq, e.ID, string(e.Type), stamp{e.At}.micros(), c.Cycle, e.Stage, data)
		}
		flagged.add(c.ApplicationID, c.ID, stamp{c.NextStageAt}.micros(), c.Seq, strings.Join(c.Announced, " "), stamp{c.ParkedAt}.micros(), c.ParkedReason, rows[i].UnreachableCycle)
		for _, by := range []struct {
			channel consent.Channel
			digest  string
		}{{consent.ChannelEmail, j.DigestID}, {consent.ChannelSMS, j.SMSDigestID}} {
			if by.digest == "" {
				continue
			}
			notices.add(c.ApplicationID, c.ID, c.UserID, c.Cycle, j.Flag.Announce.Name, string(by.channel))
			if p := (person{c.ApplicationID, c.UserID, by.channel}); !told[p] {
				told[p] = true
				digests.add(c.ApplicationID, by.digest, c.UserID, string(by.channel))
			}
		}
	}
	for _, w := range []struct {
		st *statement
		t  *table
	}{{flagConsents, &flagged}, {addStageEvents, &events}, {openDigests, &digests}, {addNotices, &notices}} {
		if len(w.t.rows) == 0 {
			continue
		}
		arg, err := w.t.args(q.s.dialect, args{"now": stamp{now}})
		if err != nil {
			return err
		}
		if _, err := q.exec(ctx, w.st, arg); err != nil {
			return err
		}
	}
	return q.tellMany(ctx, heard)
}

// Park implements consent.Sweeping.
func (s *Store) Park(ctx context.Context, c consent.Consent, f consent.Flag, now time.Time) error {
	return again(func() error {
		return s.query().one(ctx, parkOne, args{"app": c.ApplicationID, "id": c.ID, "was": stamp{c.NextStageAt}, "again": stamp{f.Next}, "now": stamp{now}, "reason": f.Parked})
	})
}

// Rearm implements consent.Sweeping.
func (s *Store) Rearm(ctx context.Context, applicationID string, list []consent.Consent, now time.Time) (int, error) {
	t := table{columns: rearmedColumns}
	for i := range list {
		c := &list[i]
		t.add(c.ID, c.Cycle, stamp{c.LapsesAt}.micros(), stamp{c.LapsingAt}.micros(), stamp{c.NextStageAt}.micros())
	}
	if len(t.rows) == 0 {
		return 0, nil
	}
	arg, err := t.args(s.dialect, args{"app": applicationID, "now": stamp{now}})
	if err != nil {
		return 0, err
	}
	var n int64
	err = again(func() error {
		n, err = s.query().exec(ctx, rearmConsents, arg)
		return err
	})
	return int(n), err
}

// Parked implements consent.Sweeping.
func (s *Store) Parked(ctx context.Context, limit int) (count int, first []consent.Consent, err error) {
	if err := s.query().get(ctx, countParked, &count, args{}); err != nil {
		return 0, nil, err
	}
	var rows []consentRow
	err = s.query().list(ctx, listParked, &rows, args{"limit": limit})
	return count, consentsOf(rows), err
}
