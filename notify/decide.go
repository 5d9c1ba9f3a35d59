package notify

import (
	"slices"
	"time"

	"github.com/reconsent/reconsent/consent"
)

// decide looks again at a notice just before it is sent. It returns
// OutcomeWaiting where the notice still holds, and else why it does not. s is nil
// where the consent is gone.
func decide(n consent.Notice, s *consent.Subject, now time.Time) consent.Outcome {
	if s == nil {
		return consent.OutcomeErased
	}
	con := &s.Consent
	switch {
	case !con.RevokedAt.IsZero():
		return consent.OutcomeRevoked
	case con.Cycle != n.Cycle:
		return consent.OutcomeRenewed
	case s.Replaced:
		return consent.OutcomeSuperseded
	case n.Asked():
		return consent.OutcomeWaiting
	case !consent.ToldAtEnd(n.Stage) && con.Status(now) == consent.Active:
		return consent.OutcomeMoved
	case len(con.Announced) > 0 && con.Announced[len(con.Announced)-1] != n.Stage && slices.Contains(con.Announced, n.Stage):
		return consent.OutcomeSuperseded
	default:
		return consent.OutcomeWaiting
	}
}
