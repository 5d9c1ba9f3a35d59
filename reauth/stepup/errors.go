package stepup

import (
	"time"

	"github.com/reconsent/reconsent/consent"
)

// Codes of this package, beside those of package consent. What each becomes on
// the wire stands in package api.
const (
	CodeTokenMissing           consent.Code = "user_token_missing"
	CodeTokenInvalid           consent.Code = "user_token_invalid"
	CodeApplicationUnknown     consent.Code = "application_unknown"
	CodeSessionMissing         consent.Code = "session_missing"
	CodeUserUnknown            consent.Code = "user_unknown"
	CodeIdentityUnavailable    consent.Code = "identity_provider_unavailable"
	CodeOperationUnknown       consent.Code = "operation_unknown"
	CodeReverificationNotFound consent.Code = "reverification_not_found"
	CodeReverificationEnded    consent.Code = "reverification_ended"
	CodeStrategyUnavailable    consent.Code = "strategy_unavailable"
	CodeNoFactorAvailable      consent.Code = "no_factor_available"
	CodeNotPrepared            consent.Code = "not_prepared"
	CodeFactorIncorrect        consent.Code = "factor_incorrect"
	CodeCodeExpired            consent.Code = "code_expired"
	CodeLocked                 consent.Code = "locked"
	CodeSendLimited            consent.Code = "send_limited"
	CodeAddressMissing         consent.Code = "address_missing"
	CodeIdentityMismatch       consent.Code = "identity_mismatch"
	CodeIdentityNotFresh       consent.Code = "identity_not_fresh"
	CodeIdentityDenied         consent.Code = "identity_denied"
	CodeProofInvalid           consent.Code = "proof_invalid"
	CodeProofUsed              consent.Code = "proof_used"
	CodeProofMismatch          consent.Code = "proof_mismatch"
	CodeFactorNotFound         consent.Code = "factor_not_found"
	CodeFactorLimit            consent.Code = "factor_limit"
)

func refuse(code consent.Code, detail string) *consent.Error {
	return &consent.Error{Code: code, Detail: detail}
}

func invalid(field, detail string) *consent.Error {
	return &consent.Error{Code: consent.CodeInvalidRequest, Field: field, Detail: detail}
}

func waitUntil(code consent.Code, at time.Time, detail string) *consent.Error {
	return &consent.Error{Code: code, RetryAt: at, Detail: detail}
}

func userNotFound() *consent.Error {
	return refuse(consent.CodeUserNotFound, "No user has this user_id, or they were erased.")
}
