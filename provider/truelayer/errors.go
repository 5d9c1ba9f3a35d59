package truelayer

import (
	"net/http"

	"github.com/reconsent/reconsent/provider"
)

// Operations, as errors name them.
const (
	opAuthURI   = "authuri"
	opReauthURI = "reauthuri"
	opExchange  = "exchange"
	opRefresh   = "refresh"
	opInspect   = "inspect"
	opAccounts  = "accounts"
	opRevoke    = "revoke"
	opExtend    = "extend"
)

// knownCodes is TrueLayer's published list (providers.md 1.10), with what each
// code means wherever it comes. The few whose meaning depends on the call are
// in classify.
var knownCodes = map[string]provider.Kind{
	"validation_error":       provider.Misconfigured,
	"invalid_request":        provider.Misconfigured,
	"invalid_date_range":     provider.Misconfigured,
	"invalid_client":         provider.Misconfigured,
	"unauthorized_client":    provider.Misconfigured,
	"invalid_scope":          provider.Misconfigured,
	"unsupported_grant_type": provider.Misconfigured,
	"deprecated_provider":    provider.Unsupported,
	"provider_not_supported": provider.Unsupported,
	"endpoint_not_supported": provider.Unsupported,
	"account_not_found":      provider.Unsupported, // one account's, not the consent's
	"sca_exceeded":           provider.Unsupported, // readable for five minutes after a login only; not an expiry

	"invalid_grant":              provider.ReauthRequired,
	"invalid_authorization_code": provider.ReauthRequired,
	"invalid_credentials_key":    provider.ReauthRequired,
	"access_denied":              provider.Revoked, // expired, or revoked by the person: definite

	// A data call's 401 says that the access token is not the newest one, and
	// nothing about the consent.
	"unauthorized":  provider.Temporary,
	"invalid_token": provider.Temporary,

	"provider_too_many_requests":      provider.RateLimited,
	"provider_request_limit_exceeded": provider.RateLimited,

	"internal_server_error":      provider.Temporary,
	"connector_overload":         provider.Temporary,
	"provider_error":             provider.Temporary,
	"temporarily_unavailable":    provider.Temporary,
	"provider_timeout":           provider.Temporary,
	"connector_timeout":          provider.Temporary,
	"account_temporarily_locked": provider.Temporary,
}

// classify says what a refusal means. The status bounds what a code may claim:
// a consent is never over because of a 401, a 429 or a 5xx.
func classify(op string, status int, code string) provider.Kind {
	switch {
	case status == http.StatusTooManyRequests:
		return provider.RateLimited
	case status == http.StatusNotImplemented:
		return provider.Unsupported
	case status >= 500 || (status >= 300 && status < 400):
		return provider.Temporary
	}
	kind, known := knownCodes[code]
	switch {
	case op == opReauthURI && kind == provider.ReauthRequired:
		return provider.Unrenewable // the token is past its renewal window, or gone
	case op == opReauthURI && !known && (status == http.StatusUnauthorized || status == http.StatusNotFound):
		return provider.Unrenewable // providers.md 1.4: callers go to the full flow
	case status == http.StatusUnauthorized && kind != provider.Misconfigured:
		return provider.Temporary
	case kind == provider.Revoked && status != http.StatusForbidden:
		return provider.Temporary // definite only as a 403
	case known:
		return kind
	case status == http.StatusBadRequest && (op == opAuthURI || op == opReauthURI || op == opExtend):
		return provider.Misconfigured
	default:
		return provider.Temporary
	}
}
