package consent

import "time"

// EventType names what happened to a consent.
type EventType string

// The event types, as the API and webhooks spell them.
const (
	EventLinked          EventType = "consent.linked"
	EventLapsing         EventType = "consent.lapsing"
	EventLapsed          EventType = "consent.lapsed"
	EventRenewed         EventType = "consent.renewed"
	EventUnrenewable     EventType = "consent.unrenewable"
	EventRevoked         EventType = "consent.revoked"
	EventEndedEarly      EventType = "consent.ended_early"
	EventMismatched      EventType = "consent.mismatched"
	EventReconfirmed     EventType = "consent.reconfirmed"
	EventUserUnreachable EventType = "consent.user_unreachable"

	EventAttemptStarted     EventType = "attempt.started"
	EventAttemptDenied      EventType = "attempt.denied"
	EventAttemptFailed      EventType = "attempt.failed"
	EventAttemptInterrupted EventType = "attempt.interrupted"
)

// Event is one line of a consent's history. Lines are only ever added.
type Event struct {
	ApplicationID string
	ConsentID     string
	ID            string
	Seq           int64 // 1, 2, 3 ... per consent, without gaps; the registry gives it
	Type          EventType
	At            time.Time
	Cycle         int
	Stage         string         // empty where the event announces no stage
	Data          map[string]any // JSON; never a token, a code or a verifier
}
