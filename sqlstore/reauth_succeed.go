package sqlstore

import (
	"bytes"
	"context"
	"slices"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth/stepup"
)

// Succeed implements stepup.Reverifications. Its parts stand in the order in
// which rows are locked everywhere: user, session, code, reverification,
// factor, backup code, token, window.
func (s *Store) Succeed(ctx context.Context, w stepup.Success) error {
	return s.atomic(ctx, func(q query) error {
		for _, part := range []func(context.Context, *stepup.Success) error{
			q.joinSession, q.useUp, q.advance, q.moveFactor, q.useBackupCode, q.handOut, q.keepAnswerOf,
		} {
			if err := part(ctx, &w); err != nil {
				return err
			}
		}
		if w.RefundFrom != "" {
			if err := q.refund(ctx, w.ApplicationID, w.RefundFrom, w.Refund); err != nil {
				return err
			}
		}
		return q.record(ctx, w.Log...)
	})
}

// joinSession holds the user, and joins what was proven to what the session has
// proven. An answer from before the session was ended is lost.
func (q query) joinSession(ctx context.Context, w *stepup.Success) error {
	if err := q.hold(ctx, w.Who); err != nil {
		return err
	}
	arg := whose(w.Who)
	var cleared stamp
	if err := q.get(ctx, clearedAt, &cleared, arg); err != nil {
		return err
	}
	if !moment(w.At).After(cleared.Time) {
		return consent.ErrClaimLost
	}
	if err := q.asJudged(ctx, w); err != nil {
		return err
	}
	if w.Proven == nil {
		return nil
	}
	arg["kept"] = keptUntil(w.At, sessionDays)
	var is proven
	if err := q.get(ctx, lockSession, &is, arg); err != nil {
		return err
	}
	arg["proven"] = is.after(cleared.Time).join(*w.Proven)
	_, err := q.exec(ctx, writeSession, arg)
	return err
}

// asJudged holds the user, who is held, to what an answer was judged by.
func (q query) asJudged(ctx context.Context, w *stepup.Success) error {
	if w.Judged == nil {
		return nil
	}
	now, err := q.standing(ctx, w.Who)
	if err != nil {
		return err
	}
	was, is := &w.Judged.User, &now.User
	if was.Email != is.Email || was.Phone != is.Phone || !bytes.Equal(was.PasswordHash, is.PasswordHash) ||
		!slices.Equal(counting(w.Judged), counting(&now)) {
		return consent.ErrClaimLost
	}
	return nil
}

// counting are the ids of the factors that count, in their order.
func counting(st *stepup.Standing) []string {
	var ids []string
	for _, f := range st.Factors {
		if !f.VerifiedAt.IsZero() {
			ids = append(ids, f.ID)
		}
	}
	return ids
}

// useUp uses the code up.
func (q query) useUp(ctx context.Context, w *stepup.Success) error {
	if w.CodeID == "" {
		return nil
	}
	return q.useCode(ctx, w.Who, w.CodeID, w.At)
}

// advance joins what was proven to the reverification, which may be complete by
// that.
func (q query) advance(ctx context.Context, w *stepup.Success) error {
	if w.ReverificationID == "" {
		return nil
	}
	r, err := q.liveReverification(ctx, w.Who, w.ReverificationID)
	if isNotFound(err) || err == nil && !r.ExpiresAt.After(moment(w.At)) {
		return consent.ErrClaimLost
	}
	if err != nil {
		return err
	}
	if len(r.Proven) != w.Seen { // another answer came first: it may be complete with both
		return consent.ErrClaimLost
	}
	if w.Proven != nil {
		r.Proven = r.Proven.join(*w.Proven)
	}
	arg := whose(w.Who)
	arg["id"], arg["proven"], arg["completed"] = r.ID, r.Proven, stamp{}
	if w.Complete {
		arg["completed"] = stamp{w.At}
	}
	return q.won(ctx, advanceReverification, arg)
}

// moveFactor moves the factor on.
func (q query) moveFactor(ctx context.Context, w *stepup.Success) error {
	f := w.Step
	if f == nil {
		return nil
	}
	arg := whose(w.Who)
	arg["id"], arg["at"], arg["last_step"], arg["secret"], arg["was"] = f.FactorID, stamp{w.At}, f.LastStep, blob(f.Secret), blob(f.Was)
	return q.won(ctx, stepFactor, arg)
}

// useBackupCode uses the backup code up.
func (q query) useBackupCode(ctx context.Context, w *stepup.Success) error {
	b := w.BackupCode
	if b == nil {
		return nil
	}
	arg := whose(w.Who)
	arg["id"], arg["hash"], arg["at"] = b.FactorID, blob(b.Hash), stamp{w.At}
	if err := q.won(ctx, touchFactor, arg); err != nil {
		return err
	}
	return q.won(ctx, useBackup, arg)
}

// handOut takes the step token that was brought, and stores what is given for
// it.
func (q query) handOut(ctx context.Context, w *stepup.Success) error {
	if len(w.Token) > 0 {
		arg := whose(w.Who)
		arg["hash"], arg["at"] = blob(w.Token), stamp{w.At}
		if err := q.won(ctx, useStepToken, arg); err != nil {
			return err
		}
	}
	if w.Issue != nil {
		if _, err := q.exec(ctx, insertStepToken, stepTokenRowOf(w.Issue)); err != nil {
			return err
		}
	}
	if w.Proof == nil {
		return nil
	}
	_, err := q.exec(ctx, insertProof, proofRowOf(w.Proof))
	return err
}

func (q query) keepAnswerOf(ctx context.Context, w *stepup.Success) error {
	if w.Answer == nil {
		return nil
	}
	return q.keepAnswer(ctx, w.Answer)
}
