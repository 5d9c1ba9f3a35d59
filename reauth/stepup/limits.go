package stepup

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
)

// swapTries bounds how often a window is looked at again because somebody else
// has counted meanwhile. Each loss is another's gain: with so few calls in a
// window it is full before the tries are over.
const swapTries = 50

var errContended = errors.New("stepup: a window changed too often to be counted in")

// count takes a call out of a window that replicas share. read is the window as
// it was read already, where it was; the lines of audit are written with the
// count, and not where the call is denied.
func (s *Service) count(ctx context.Context, applicationID, bucket string, read *string, limit int, per time.Duration, at time.Time, log ...Audit) (reauth.Taken, error) {
	for range swapTries {
		if read == nil {
			text, err := s.Store.Window(ctx, applicationID, bucket)
			if err != nil {
				return reauth.Taken{}, err
			}
			read = &text
		}
		w, err := reauth.ParseWindow(*read)
		if err != nil {
			return reauth.Taken{}, err
		}
		next, taken := w.Take(at, limit, per)
		if !taken.OK && next.Equal(w) {
			return taken, nil
		}
		lines := log
		if !taken.OK {
			lines = nil
		}
		swapped, err := s.Store.SwapWindow(ctx, applicationID, bucket, *read, next.String(), at, lines...)
		if err != nil || swapped {
			return taken, err
		}
		read = nil
	}
	return reauth.Taken{}, errContended
}

// limit is what somebody ran into, as the audit names it. The set is closed.
type limit string

const (
	limitCalls  limit = "calls"
	limitBegins limit = "begins"
	limitResend limit = "resend"
	limitSends  limit = "sends"
	limitSMS    limit = "sms_budget"
	limitLocked limit = "locked"
	limitNotes  limit = "notes" // of lines in the audit; see note
)

// stretches are how long one line of the audit stands for all of a limit's.
var stretches = map[limit]time.Duration{
	limitCalls: CallsPer, limitBegins: beginsPer, limitResend: codeValidity, limitSends: sendsPer, limitSMS: sendsPer, limitLocked: failuresPer, limitNotes: notesPer,
}

func (l limit) bucket(userID string) string { return BucketLimited + string(l) + ":" + userID }

// deniedBy records that a caller ran into a limit, once in a stretch of it:
// whoever calls on must not fill the audit.
func (s *Service) deniedBy(ctx context.Context, c *Caller, l limit, f reauth.Factor, operation string) error {
	first, err := s.Store.Take(ctx, c.ApplicationID, l.bucket(c.UserID), s.now().Truncate(stretches[l]), 1, 1)
	if err != nil || !first {
		return err
	}
	line := s.audit(c, ActionLimited)
	line.Reason, line.Factor, line.Operation = string(l), f, operation
	return s.later(ctx, line)
}

// noteChallenged counts the challenges that are made, beside the reasons of
// refusals.
const noteChallenged = "challenged"

// noted are the reasons that lines are counted by, each for itself: the noise of
// one hides nothing of another. What is not among them is counted together.
var noted = []string{
	noteOther, noteChallenged, reasonNotTheirs, reasonLevel, reasonNoProof, reasonProofInvalid, reasonOtherOperation, reasonOtherDetails,
	reasonOtherSession, reasonOtherDevice, reasonProofUnknown, reasonProofUsed, reasonProofEnded, reasonSudoUsed, reasonSudoInvalid,
	reasonCodeUsed, reasonNoCode, reasonToken, reasonNothingBound,
	string(consent.CodeInvalidRequest), string(CodeStrategyUnavailable), string(CodeReverificationEnded), string(CodeNotPrepared), string(CodeCodeExpired),
	string(CodeLocked), string(CodeFactorNotFound), string(CodeFactorLimit), string(CodeIdentityUnavailable), string(CodeIdentityDenied),
}

const noteOther = ""

func noteBucket(reason, userID string) string { return BucketNoted + reason + ":" + userID }

// mayNote reports whether one more line may be written of what a caller can do
// over and over: it is true notesLimit times in a stretch, so that nobody fills
// the audit, which is never deleted. The audit says that lines are missing.
func (s *Service) mayNote(ctx context.Context, c *Caller, reason string) (bool, error) {
	if !slices.Contains(noted, reason) {
		reason = noteOther
	}
	ok, err := s.Store.Take(ctx, c.ApplicationID, noteBucket(reason, c.UserID), s.now().Truncate(notesPer), 1, notesLimit)
	if err != nil || ok {
		return ok, err
	}
	return false, s.deniedBy(ctx, c, limitNotes, "", "")
}

// note records that a caller was refused, as far as there is room, and returns
// the refusal. A fault is none, and who was erased has no line.
func (s *Service) note(ctx context.Context, c *Caller, line Audit, refusal error) error {
	code := consent.CodeOf(refusal)
	line.Action = ActionDenied
	if line.Reason == "" {
		line.Reason = string(code)
	}
	if line.Reason == "" || code == CodeUserUnknown {
		return refusal
	}
	ok, err := s.mayNote(ctx, c, line.Reason)
	if err == nil && ok {
		err = s.later(ctx, line)
	}
	if err != nil {
		return err
	}
	return refusal
}

// admitBegin counts a reverification that begins: each leaves a line in the
// audit, which is never deleted. Nobody gets so far by hand.
func (s *Service) admitBegin(ctx context.Context, c *Caller) error {
	taken, err := s.count(ctx, c.ApplicationID, BucketBegins+c.UserID, nil, beginsLimit, beginsPer, s.now())
	if err != nil || taken.OK {
		return err
	}
	if err := s.deniedBy(ctx, c, limitBegins, "", ""); err != nil {
		return err
	}
	return waitUntil(consent.CodeRateLimited, taken.RetryAt, "100 reverifications may begin in 10 minutes for a user. Go on with one that is under way.")
}

// locked is the answer to a user whose failures are used up.
func (s *Service) locked(ctx context.Context, c *Caller, taken reauth.Taken) error {
	if err := s.deniedBy(ctx, c, limitLocked, "", ""); err != nil {
		return err
	}
	return waitUntil(CodeLocked, taken.RetryAt, "Too many wrong answers within an hour. Nothing can be proven until then; it opens by itself.")
}
