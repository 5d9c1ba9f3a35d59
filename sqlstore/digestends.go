package sqlstore

import (
	"context"
	"slices"
	"strings"

	"github.com/reconsent/reconsent/consent"
)

var (
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

// tellUnreachable records that a consent has its event in this cycle, and so
// counts whether it is to have one.
func tellUnreachable(column string) *statement {
	return both(`UPDATE consents SET ` + column + ` = cycle WHERE application_id = :app AND id = :id AND cycle = :cycle AND revoked_at IS NULL
		AND (` + column + ` <> cycle OR CAST(:always AS BOOLEAN))`)
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
	digests, outcomes, ids := table{columns: finishedColumns}, table{columns: outcomeColumns}, make([]string, len(list))
	for i := range list {
		d := &list[i].Digest
		ids[i] = d.ID
		digests.add(applicationID, d.ID, d.ClaimID, string(d.State), d.Reason, stamp{d.FinishedAt}.micros())
	}
	arg, err := digests.args(q.s.dialect, args{})
	if err != nil {
		return 0, err
	}
	if err := q.lockDigests(ctx, applicationID, ids); err != nil {
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
