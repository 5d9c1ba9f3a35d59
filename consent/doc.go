// Package consent is the domain: what a bank consent is, what state it is in,
// when something about it is to be announced, and what the registry of all
// consents has to be able to do.
//
// A consent's status is computed from its times and now; nothing waits for a
// job to flip it:
//
//	           LapsingAt            LapsesAt            RenewableUntil
//	link ─► active ──────► lapsing ───────► lapsed ─────────────► unrenewable
//	           ▲              │               │
//	           └── renewed ◄──┴───────────────┘        any ─► revoked
//
// A consent linked by a browser that the application has not vouched for yet
// is pending: it has neither token nor data, and no clock runs for it.
//
// The package owns the types, the pure functions of time over them, the closed
// set of error codes, and the Registry interface, which speaks in intentions:
// each method is one atomic step with its events.
//
// It must never do I/O, read a clock, see a token in the clear, or import
// another package of ours.
package consent
