package stepup

import (
	"context"
	"errors"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
)

// wrong is why an answer does not count.
type wrong struct {
	reason string // for the audit
	answer *consent.Error
	left   int // tries of what was answered
}

// incorrect is the answer to a wrong code or password.
func incorrect(reason, detail string, left int) *wrong {
	return &wrong{reason: reason, answer: refuse(CodeFactorIncorrect, detail), left: left}
}

// weigh is the law of guessing (reauth-wire.md 7), for every secret that
// somebody answers with. One of the user's failures is taken before compare
// looks at anything. What is wrong keeps it, and stands in the audit; a fault
// that says nothing about the person gives it back. What is right gives it back
// where it is recorded: the stamp to refund is returned. line is what a right
// answer leaves in the audit.
func (s *Service) weigh(ctx context.Context, c *Caller, st *Standing, line Audit, compare func() (*wrong, error)) (refund time.Time, err error) {
	at, taken, err := s.guess(ctx, c, &st.Failures)
	if err != nil {
		return at, err
	}
	bad, err := compare()
	if err != nil {
		return at, s.unjudged(ctx, c, at, line, err)
	}
	if bad == nil {
		return at, nil
	}
	line.Reason = bad.reason
	if err := s.failed(ctx, c, st, taken, line); err != nil {
		return at, err
	}
	bad.answer.AttemptsLeft = max(min(bad.left, taken.Remaining), 0)
	return at, bad.answer
}

// guess takes one of the user's failures before anything is compared, so that
// guesses at the same moment cannot all be the last one. What turns out right
// is given back (see Success.Refund).
func (s *Service) guess(ctx context.Context, c *Caller, failures *string) (time.Time, reauth.Taken, error) {
	at := s.now()
	taken, err := s.count(ctx, c.ApplicationID, BucketFailures+c.UserID, failures, failuresLimit, failuresPer, at)
	if err == nil && !taken.OK {
		err = s.locked(ctx, c, taken)
	}
	return at, taken, err
}

// failed records a wrong answer. Where it was the last one, the user is told, by
// one message an hour however often it opens and locks again.
func (s *Service) failed(ctx context.Context, c *Caller, st *Standing, taken reauth.Taken, line Audit) error {
	line.Action = ActionFailed
	if taken.Remaining > 0 {
		return s.Store.Record(ctx, line)
	}
	locked := s.audit(c, ActionLocked)
	locked.Reason = "failures"
	if err := s.Store.Record(ctx, line, locked); err != nil {
		return err
	}
	first, err := s.Store.Take(ctx, c.ApplicationID, BucketLocked+c.UserID, s.now().Truncate(failuresPer), 1, 1)
	if err == nil && first {
		s.Messenger.Tell(Notice{Application: &c.Tenant.Application, User: &st.User, Event: EventLocked, Until: s.now().Add(taken.Reset)})
	}
	return err
}

// unjudged records an answer that could not be compared with anything, which
// is no failure of the user's.
func (s *Service) unjudged(ctx context.Context, c *Caller, at time.Time, line Audit, cause error) error {
	line.Reason = "" // of what was not reached
	return s.giveBack(ctx, c, BucketFailures+c.UserID, at, s.note(ctx, c, line, cause))
}

// giveBack takes a stamp out of a window: what it was for did not happen. cause
// is why, and comes back.
func (s *Service) giveBack(ctx context.Context, c *Caller, bucket string, at time.Time, cause error) error {
	for range swapTries {
		text, err := s.Store.Window(ctx, c.ApplicationID, bucket)
		if err != nil {
			return errors.Join(cause, err)
		}
		w, err := reauth.ParseWindow(text)
		if err != nil {
			return errors.Join(cause, err)
		}
		next := w.GiveBack(at)
		if next.Equal(w) {
			return cause
		}
		swapped, err := s.Store.SwapWindow(ctx, c.ApplicationID, bucket, text, next.String(), s.now())
		if err != nil {
			return errors.Join(cause, err)
		}
		if swapped {
			return cause
		}
	}
	return cause
}
