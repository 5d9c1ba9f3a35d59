package consent

import (
	"errors"
	"time"
)

// Code is a stable error code, the closed set of what a use case may answer.
// What each becomes on the wire stands in one table in package api.
type Code string

// The codes.
const (
	CodeInvalidRequest       Code = "invalid_request"
	CodeConsentNotFound      Code = "consent_not_found"
	CodeAttemptNotFound      Code = "attempt_not_found"
	CodeUserNotFound         Code = "user_not_found"
	CodeProviderUnknown      Code = "provider_unknown"
	CodeCredentialsAmbiguous Code = "credentials_ambiguous"
	CodeCredentialsMismatch  Code = "credentials_mismatch"
	CodeRedirectURIMismatch  Code = "redirect_uri_mismatch"
	CodeRedirectURINotAllow  Code = "redirect_uri_not_allowed"
	CodeReturnToNotAllowed   Code = "return_to_not_allowed"
	CodeConsentUnrenewable   Code = "consent_unrenewable"
	CodeConsentRevoked       Code = "consent_revoked"
	CodeConsentPending       Code = "consent_pending"
	CodeConsentExists        Code = "consent_exists"
	CodeAuthInputsRequired   Code = "auth_inputs_required"
	CodeUserDetailsRequired  Code = "user_details_required"
	CodeReauthRequired       Code = "reauth_required"
	CodeTokenMissing         Code = "token_missing"
	CodeCustodyOurs          Code = "custody_ours"
	CodeAttemptExpired       Code = "attempt_expired"
	CodeAttemptInProgress    Code = "attempt_in_progress"
	CodeStateUnknown         Code = "state_unknown"
	CodeStateAmbiguous       Code = "state_ambiguous"
	CodeCodeRefused          Code = "code_refused"
	CodeIdentityUnproven     Code = "identity_unproven"
	CodeAttemptInterrupted   Code = "attempt_interrupted"
	CodeResultInvalid        Code = "result_invalid"
	CodeLinkUnknown          Code = "link_unknown"
	CodeProviderUnavailable  Code = "provider_unavailable"
	CodeProviderMisconfig    Code = "provider_misconfigured"
	CodeProviderUnsupported  Code = "provider_unsupported"
	CodeRateLimited          Code = "rate_limited"
	CodeWebhookNotFound      Code = "webhook_endpoint_not_found"
	CodeWebhookLimit         Code = "webhook_endpoint_limit"
	CodeDeliveryNotFound     Code = "delivery_not_found"
	CodeWebhookUnknown       Code = "webhook_unknown"
	CodeWebhookUnverified    Code = "webhook_unverified"
)

// Input is one extra field that a bank needs from the person.
type Input struct {
	Name   string
	Label  string
	Source string // where the fact was published
}

// Error is the answer of a use case that could not do what was asked. Detail
// is a safe sentence for the caller: what was wrong, where, and what to do.
// It is always used as a pointer.
type Error struct {
	Code      Code
	Detail    string
	Field     string  // request field at fault; empty where none is
	ConsentID string  // the consent that it is about
	AuthURI   string  // a first link that helps
	AttemptID string  // of AuthURI, or the attempt that it is about
	Inputs    []Input // CodeAuthInputsRequired
	// AttemptsLeft is how often a person may answer again, where the code says
	// that an answer was wrong.
	AttemptsLeft int
	RetryAt      time.Time // CodeProviderUnavailable, CodeRateLimited
	Err          error     // cause, for the log only
}

// Error implements error.
func (e *Error) Error() string {
	s := string(e.Code) + ": " + e.Detail
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// CodeOf returns the code of the *Error in err's chain, or "".
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ""
}

// The registry's answers. A registry returns them wrapped or bare; everything
// else that it returns is a fault of the database.
var (
	ErrNotFound  = errors.New("not found")
	ErrExists    = errors.New("exists already")
	ErrRejected  = errors.New("the database refuses these values")
	ErrBusy      = errors.New("claimed by somebody else")       // look again soon
	ErrClaimLost = errors.New("the claim is no longer ours")    // drop what you were doing
	ErrOvertaken = errors.New("the consent has moved on since") // renewed or revoked meanwhile
)
