package provider

import (
	"errors"
	"fmt"
	"time"
)

// Kind is the closed set of what may go wrong at a provider.
type Kind int

// The kinds. What a caller does about each is decided in one place, the
// connector; an adapter only classifies.
const (
	// Temporary: nothing is known about the consent; try again.
	Temporary Kind = iota
	// ReauthRequired: this token or code was refused, the person has to come.
	// One such refusal of a refresh may come from a network fault.
	ReauthRequired
	// Unrenewable: the renewal window has closed; only a first link helps.
	Unrenewable
	// Revoked: the provider's definite word that access has ended.
	Revoked
	// Denied: the person said no.
	Denied
	// RateLimited: not before Error.RetryAt.
	RateLimited
	// Misconfigured: the application's settings at the provider are wrong.
	Misconfigured
	// Unsupported: this provider cannot do that, for this bank or at all.
	Unsupported
	// Unverified: a webhook that the provider has not sent, for all we know.
	Unverified
)

// None is the kind of no error. It is not of the set, and no Error has it.
const None Kind = -1

var kindNames = [...]string{
	Temporary:      "temporary",
	ReauthRequired: "reauth_required",
	Unrenewable:    "unrenewable",
	Revoked:        "revoked",
	Denied:         "denied",
	RateLimited:    "rate_limited",
	Misconfigured:  "misconfigured",
	Unsupported:    "unsupported",
	Unverified:     "unverified",
}

// String returns the stable name of the kind, as metrics and logs carry it.
func (k Kind) String() string {
	if k == None {
		return "none"
	}
	if k < 0 || int(k) >= len(kindNames) {
		return fmt.Sprintf("kind(%d)", int(k))
	}
	return kindNames[k]
}

// Error is the only error type that leaves an adapter, always as a pointer.
// Its text never carries what the provider's body said beyond the error code:
// bodies echo tokens.
type Error struct {
	Kind    Kind
	Op      string    // what was asked: "exchange", "refresh", "inspect", ...
	Status  int       // HTTP status; 0 where there was no answer
	Code    string    // the provider's own error code; empty where there was none
	RetryAt time.Time // RateLimited, and Temporary where the provider said when; else zero
	Err     error     // cause without secrets; may be nil
}

// Error implements error.
func (e *Error) Error() string {
	s := fmt.Sprintf("provider %s: %s", e.Op, e.Kind)
	if e.Status != 0 {
		s += fmt.Sprintf(" (HTTP %d)", e.Status)
	}
	if e.Code != "" {
		s += ": " + e.Code
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// AsError returns the *Error in err's chain. An error that is none is read as
// Temporary: a fault of an adapter must not end a consent. It returns nil for
// nil.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	e, ok := errors.AsType[*Error](err)
	switch {
	case ok && e != nil:
		return e
	case ok:
		err = errNilError // its own text cannot be had
	}
	return &Error{Kind: Temporary, Op: "call", Err: err}
}

var errNilError = errors.New("an adapter returned a nil *provider.Error as an error")

// KindOf returns the kind of err; Temporary for what is no *Error, and None for
// nil.
func KindOf(err error) Kind {
	if err == nil {
		return None
	}
	return AsError(err).Kind
}

// IsKind reports whether err is of a kind; nil is of none.
func IsKind(err error, k Kind) bool { return err != nil && KindOf(err) == k }
