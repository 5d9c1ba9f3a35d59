package stepup

import (
	"context"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
)

// Ask is what a level is asked by: a name, or factors with minutes, and an
// operation of the application's.
type Ask struct {
	Level        string
	AfterMinutes *int
	Operation    string
}

// maxOperation is in bytes.
const maxOperation = 100

// requirement finds what is asked for. Where both a level and an operation that
// the application has named are given, the stricter wins; other operations are
// labels to bind to.
func (t *Tenant) requirement(a Ask, byDefault string) (reauth.Requirement, error) {
	named, known := t.Operations[a.Operation]
	if a.Operation != "" {
		if err := checkOperation(a.Operation); err != nil {
			return reauth.Requirement{}, err
		}
	}
	level := a.Level
	if level == "" && !known {
		if a.Operation != "" {
			return reauth.Requirement{}, refuse(CodeOperationUnknown, "The application has not named this operation a level. Give one beside it, or name it in the application's settings.")
		}
		if level = byDefault; level == "" && a.AfterMinutes == nil {
			return reauth.Requirement{}, reauth.LevelInvalid("level", "Give a level, or an operation that the application has named.")
		}
	}
	if level == "" && a.AfterMinutes != nil {
		return reauth.Requirement{}, reauth.LevelInvalid("level", "after_minutes goes with level first_factor, second_factor or multi_factor.")
	}
	var r reauth.Requirement
	if level != "" {
		var err error
		if a.AfterMinutes != nil {
			r, err = reauth.CustomLevel(reauth.Factors(level), *a.AfterMinutes)
		} else {
			r, err = reauth.ParseLevel(level)
		}
		if err != nil || !known {
			return r, err
		}
	}
	of, err := reauth.ParseRequirement(named)
	if err != nil {
		return reauth.Requirement{}, err
	}
	if level == "" {
		return of, nil
	}
	return reauth.Stricter(r, of), nil
}

func checkOperation(name string) error {
	if len(name) > maxOperation || !consent.PlainText(name) {
		return invalid("operation", "operation is longer than 100 bytes, or holds control characters.")
	}
	return nil
}

// Checked is the answer to a caller who is fresh enough, or is not.
type Checked struct {
	At         time.Time
	ValidUntil time.Time
	Challenge  *reauth.Challenge  // nil: fresh enough
	Needed     reauth.Requirement // of Challenge
	Calls      reauth.Taken
}

// Check says whether a caller has proven enough, recently enough. It neither
// makes nor uses up a proof: whoever holds the token learns nothing by it but
// what is asked for.
func (s *Service) Check(ctx context.Context, c *Caller, ask Ask) (Checked, error) {
	r, err := c.Tenant.requirement(ask, "medium")
	if err != nil {
		return Checked{}, err
	}
	st, err := s.standing(ctx, c.Who)
	if err != nil {
		return Checked{}, err
	}
	out := Checked{At: s.now()}
	a, enrolment := ages(c, &st, out.At), reauth.EnrolmentOf(st.second())
	var lines []Audit
	if left := reauth.Left(a, enrolment, r); left > 0 && !r.SingleUse() {
		out.ValidUntil = c.Token.ExpiresAt
		if left != reauth.AnyAge {
			out.ValidUntil = out.At.Truncate(time.Second).Add(left)
		}
	} else {
		if out.Challenge, err = s.challenge(ctx, c, &st, a, r); err != nil {
			return Checked{}, err
		}
		out.Needed = r
		line := s.audit(c, ActionChallenged)
		line.Level, line.Operation = r.String(), ask.Operation
		lines = append(lines, line)
	}
	out.Calls, err = s.count(ctx, c.ApplicationID, BucketCalls+c.UserID, &st.Calls, CallsLimit, CallsPer, out.At, lines...)
	if err == nil && !out.Calls.OK {
		if err := s.deniedBy(ctx, c, limitCalls, "", ask.Operation); err != nil {
			return out, err
		}
		err = waitUntil(consent.CodeRateLimited, out.Calls.RetryAt, "This address may be asked 10 times in 5 minutes for a user.")
	}
	return out, err
}

// challenge says what is missing, and what a reverification that begins by it
// can be gone on with.
func (s *Service) challenge(ctx context.Context, c *Caller, st *Standing, a reauth.Ages, r reauth.Requirement) (*reauth.Challenge, error) {
	now := s.now()
	if r.SingleUse() {
		a = reauth.AgesOf(nil, now) // all of it has to be proven for this
	}
	ch := reauth.NewChallenge(a, reauth.EnrolmentOf(st.second()), r)
	ch.Start = s.BaseURL + "/v1/reverifications"
	var err error
	ch.Factors, err = s.helpful(ctx, c, st, &Reverification{Who: c.Who, SecondEnrolled: st.second(), CreatedAt: now}, r)
	return &ch, err
}
