package consent

import (
	"slices"
	"strings"
	"time"
)

// EndpointStatus says whether a webhook endpoint is sent to.
type EndpointStatus string

// The statuses. What falls to a paused endpoint waits; a gone one is no longer
// told anything.
const (
	EndpointActive EndpointStatus = "active"
	EndpointPaused EndpointStatus = "paused"
	EndpointGone   EndpointStatus = "gone" // it answered 410
)

// Reasons of an endpoint's status; empty where the application set it.
const (
	ReasonFailing = "failing"      // nothing has been delivered for a day
	ReasonGone    = "answered_410" // the receiver wants no more
)

// WebhookEndpoint is an address of an application that is told of events.
type WebhookEndpoint struct {
	ApplicationID string
	ID            string
	URL           string
	Events        []EventType // only these; empty for all that go out
	Secret        Sealed      // of the signatures, sealed under ID
	// OldSecret signs beside Secret until OldSecretUntil, so that a receiver
	// has time to change over.
	OldSecret      Sealed
	OldSecretUntil time.Time
	Status         EndpointStatus
	Reason         string
	CreatedAt      time.Time

	// Failures are the deliveries that failed since FailingSince, with none
	// that did not in between.
	Failures     int
	FailingSince time.Time

	ClaimID string // of whoever sends to it now
}

// WebhookEvents are the types of events that go out, in the order of a life.
func WebhookEvents() []EventType {
	return []EventType{
		EventLinked, EventLapsing, EventLapsed, EventRenewed, EventUnrenewable, EventRevoked, EventEndedEarly,
		EventMismatched, EventUserUnreachable, EventReconfirmed, EventAttemptFailed,
	}
}

// GoesOut reports whether an event is told to webhook endpoints: what was
// skipped is history only.
func (e *Event) GoesOut() bool {
	return e.Data["skipped"] != true && e.Data["pending"] != true && slices.Contains(WebhookEvents(), e.Type)
}

// When failures end an endpoint's being sent to.
const (
	failingFor   = 24 * time.Hour
	failingTries = 10
)

// Answered records a delivery that got through or did not, and reports whether
// the endpoint has failed for so long that it is paused by that.
func (e *WebhookEndpoint) Answered(delivered bool, now time.Time) (paused bool) {
	if delivered {
		e.Failures, e.FailingSince = 0, time.Time{}
		return false
	}
	if e.Failures++; e.FailingSince.IsZero() {
		e.FailingSince = now
	}
	if e.Status != EndpointActive || e.Failures < failingTries || now.Sub(e.FailingSince) < failingFor {
		return false
	}
	e.Status, e.Reason = EndpointPaused, ReasonFailing
	return true
}

// Activate has the endpoint sent to again, its past forgiven.
func (e *WebhookEndpoint) Activate() {
	e.Status, e.Reason, e.Failures, e.FailingSince = EndpointActive, "", 0, time.Time{}
}

// DeliveryState is how far a delivery has come.
type DeliveryState string

// The states. All but DeliveryPending are final, until it is replayed.
const (
	DeliveryPending   DeliveryState = "pending"
	DeliveryDelivered DeliveryState = "delivered"
	DeliveryFailed    DeliveryState = "failed"
)

// DeliveryStates lists every state.
func DeliveryStates() []DeliveryState {
	return []DeliveryState{DeliveryPending, DeliveryDelivered, DeliveryFailed}
}

// Delivery is one event on its way to one endpoint. What it carries is made of
// event and consent when it is sent; nothing of it is kept here.
type Delivery struct {
	ApplicationID string
	EndpointID    string
	EventID       string // the webhook-id, however often it is sent
	ConsentID     string
	Seq           int64 // of the event
	Type          EventType
	At            time.Time // of the event
	State         DeliveryState
	Tries         int
	DueAt         time.Time // when it is tried next; zero once it is over
	TriedAt       time.Time
	LastStatus    int    // HTTP status of the last answer; 0 for none
	LastError     string // why there was no answer; empty where there was one
	FinishedAt    time.Time
}

// deliveryPrefix begins the id of a delivery.
const deliveryPrefix = "dlv_"

// ID names the delivery. It is made of its key, the event and the endpoint.
func (d *Delivery) ID() string {
	return deliveryPrefix + strings.TrimPrefix(d.EventID, "evt_") + "_" + strings.TrimPrefix(d.EndpointID, "whe_")
}

// EventOfDelivery returns the event of a delivery of the endpoint, by its id.
func EventOfDelivery(endpointID, id string) (eventID string, ok bool) {
	rest, ok := strings.CutPrefix(id, deliveryPrefix)
	if !ok {
		return "", false
	}
	event, ok := strings.CutSuffix(rest, "_"+strings.TrimPrefix(endpointID, "whe_"))
	return "evt_" + event, ok && event != ""
}

// DeliveryFilter is one page of an endpoint's deliveries, newest event first.
type DeliveryFilter struct {
	EndpointID    string
	State         DeliveryState // empty for all
	Limit         int
	BeforeAt      time.Time // the last row of the page before; zero for the first page
	BeforeEventID string
}

// Replay says which of an endpoint's deliveries to make again: that of one
// event, or those of the events from From until before To.
type Replay struct {
	ApplicationID string
	EndpointID    string
	EventID       string
	From, To      time.Time
	Now           time.Time
	Limit         int
}

// EndpointClaim makes the caller the only one who may send to an endpoint,
// until a moment by which it must be done.
type EndpointClaim struct {
	ApplicationID string
	EndpointID    string
	ClaimID       string
	Now           time.Time
	Until         time.Time
}

// JobWebhooks is the kind of the job that sends to one endpoint; its key is
// DigestKey of application and endpoint.
const JobWebhooks = "webhooks"

// JobInbound is the kind of the job that acts on what providers sent.
const JobInbound = "inbound"

// InboundKind is what a provider's webhook says of a consent.
type InboundKind string

// The kinds. All but InboundOther have the provider asked about the consent.
const (
	InboundExpiring InboundKind = "expiring"
	InboundEnded    InboundKind = "ended"
	InboundRevoked  InboundKind = "revoked"
	InboundRenewed  InboundKind = "renewed"
	InboundOther    InboundKind = "other"
)

// InboundEvent is a provider's verified webhook. Its body is not kept: what is
// to be done about it is to ask the provider.
type InboundEvent struct {
	ApplicationID string
	Provider      string
	ID            string // the provider's own; the same one is the same event
	Kind          InboundKind
	CredentialsID string
	At            time.Time // by the provider
	ReceivedAt    time.Time
}
