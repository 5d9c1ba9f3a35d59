package stepup

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/reconsent/reconsent/reauth"
)

// Action is what a line of the audit tells of.
type Action string

// The actions.
const (
	ActionCodeSent      Action = "code.sent"   // handed to the mail server or gateway
	ActionCodeUnsent    Action = "code.unsent" // and not, with the reason
	ActionCodeAsked     Action = "code.asked"  // for an address of the user's or not
	ActionStarted       Action = "reverification.started"
	ActionSucceeded     Action = "factor.succeeded"
	ActionFailed        Action = "factor.failed"
	ActionCompleted     Action = "reverification.completed"
	ActionChallenged    Action = "challenged" // asked for more than was proven; with a factor, to answer by it
	ActionDenied        Action = "denied"
	ActionLimited       Action = "limited"
	ActionLocked        Action = "locked"
	ActionFactorAdded   Action = "factor.added"
	ActionFactorCounts  Action = "factor.verified"
	ActionFactorRemoved Action = "factor.removed"
	ActionProofUsed     Action = "proof.used"
	ActionTokenIssued   Action = "token.issued"
	ActionCleared       Action = "session.ended"
	ActionNoticeUnsent  Action = "notice.unsent" // with its event as the reason
)

// actions are all of them, in the order of their constants.
var actions = []Action{
	ActionCodeSent, ActionCodeUnsent, ActionCodeAsked, ActionStarted, ActionSucceeded, ActionFailed, ActionCompleted, ActionChallenged, ActionDenied,
	ActionLimited, ActionLocked, ActionFactorAdded, ActionFactorCounts, ActionFactorRemoved, ActionProofUsed, ActionTokenIssued, ActionCleared, ActionNoticeUnsent,
}

// ParseAction reads the name of an action: one that is misspelt would find
// nothing, as if nothing had happened.
func ParseAction(name string) (Action, error) {
	if a := Action(name); slices.Contains(actions, a) {
		return a, nil
	}
	var names []string
	for _, a := range actions {
		names = append(names, string(a))
	}
	return "", invalid("action", "There is no such action. Use one of "+strings.Join(names, ", ")+".")
}

// Reasons of refusals that no code of an answer says.
const (
	reasonLevel          = "level" // too little was proven
	reasonNotTheirs      = "not_theirs"
	reasonNoProof        = "no_proof"
	reasonProofInvalid   = "proof_invalid"
	reasonProofUnknown   = "proof_unknown"
	reasonProofUsed      = "proof_used"
	reasonProofEnded     = "proof_ended"
	reasonOtherOperation = "other_operation"
	reasonOtherDetails   = "other_details"
	reasonOtherSession   = "other_session"
	reasonOtherDevice    = "other_device"
	reasonSudoUsed       = "sudo_used"
	reasonSudoInvalid    = "sudo_invalid"
	reasonCodeUsed       = "code_used"
	reasonNoCode         = "no_code"
	reasonToken          = "verification_token"
	reasonNothingBound   = "nothing_bound"
)

// Audit is one line: who did what, from where, and why it came out so. It is
// never changed; erasing a person puts a pseudonym in the place of who it was.
type Audit struct {
	ApplicationID string
	ID            string // sorts by time
	At            time.Time
	UserID        string
	SessionID     string
	DeviceID      string
	IPPrefix      string // /24 of IPv4, /48 of IPv6
	Action        Action
	Reason        string // closed words, like wrong_code
	Factor        reauth.Factor
	Level         string
	Operation     string
	Subject       string // id of the code, reverification, factor or proof
}

// AuditFilter is one page of the audit, newest first.
type AuditFilter struct {
	UserID  string
	Actions []Action
	Since   time.Time
	Until   time.Time // before it
	Limit   int
	Before  string // id of the last line of the page before
}

// AuditLog keeps the audit.
type AuditLog interface {
	// Record writes lines together or not at all. What is no text in them is
	// replaced, so that no line is lost for what somebody sent.
	Record(ctx context.Context, lines ...Audit) error
	// RecordOfUser does so while there is such a user. consent.ErrNotFound where
	// there is none: what is told of somebody later than their erasure would name
	// them for good.
	RecordOfUser(ctx context.Context, applicationID, userID string, lines ...Audit) error
	ListAudit(ctx context.Context, applicationID string, f AuditFilter) ([]Audit, error)
	// HasAudit reports whether an application's audit has a line of this id.
	HasAudit(ctx context.Context, applicationID, id string) (bool, error)
}
