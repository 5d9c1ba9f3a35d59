package truelayer

import (
	"encoding/json"
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

// Codes of our own, for answers that carry none of TrueLayer's.
const (
	codeUnlisted = "unlisted_code"         // a JSON error, whose code is not one of the list
	codeNoAnswer = "no_answer"             // no answer came
	codeTimeout  = "timeout"               // none came in time
	codeCutOff   = "answer_cut_off"        // it came in part
	codeUnread   = "answer_not_understood" // it came, and is not what was asked for
)

// knownCodes is TrueLayer's published list (providers.md 1.10, 1.11), with what
// each code means wherever it comes. The few whose meaning depends on the call
// or the status are in classify.
var knownCodes = map[string]provider.Kind{
	"validation_error":       provider.Misconfigured,
	"invalid_request":        provider.Misconfigured,
	"invalid_date_range":     provider.Misconfigured,
	"invalid_client":         provider.Misconfigured,
	"unauthorized_client":    provider.Misconfigured,
	"invalid_scope":          provider.Misconfigured,
	"unsupported_grant_type": provider.Misconfigured,

	"deprecated_provider":    provider.Unsupported,
	"provider_not_supported": provider.Unsupported, // unverified; reauthuri's for a bank that it cannot renew
	"unsupported_provider":   provider.Unsupported, // unverified, likewise
	"endpoint_not_supported": provider.Unsupported,
	"insufficient_scope":     provider.Unsupported, // unverified; RFC 6750's
	"account_not_found":      provider.Unsupported, // one account's, not the consent's
	"sca_exceeded":           provider.Unsupported, // readable for five minutes after a login only; not an expiry

	"invalid_grant":              provider.ReauthRequired,
	"invalid_authorization_code": provider.ReauthRequired,
	"invalid_credentials_key":    provider.ReauthRequired,
	"account_permanently_locked": provider.ReauthRequired,
	"user_input_required":        provider.ReauthRequired,
	"wrong_credentials":          provider.ReauthRequired,

	"access_denied": provider.Revoked, // expired, or revoked by the person

	// A data call's 401 says that the access token is not the newest one, and
	// nothing about the consent.
	"unauthorized":  provider.Temporary,
	"invalid_token": provider.Temporary,

	"provider_too_many_requests":      provider.RateLimited,
	"provider_request_limit_exceeded": provider.RateLimited,

	"internal_server_error":      provider.Temporary,
	"internal_error":             provider.Temporary,
	"connector_overload":         provider.Temporary,
	"provider_error":             provider.Temporary,
	"temporarily_unavailable":    provider.Temporary,
	"provider_timeout":           provider.Temporary,
	"connector_timeout":          provider.Temporary,
	"account_temporarily_locked": provider.Temporary,
}

// classify says what a refusal means. The status bounds what a code may claim:
// a consent is never over because of a 401, a 429 or a 5xx, and an answer
// without an error code of TrueLayer's own (a proxy's page, say) says nothing.
func classify(op string, status int, code string) provider.Kind {
	kind, known := knownCodes[code]
	switch {
	case status == http.StatusTooManyRequests:
		return provider.RateLimited
	case status == http.StatusNotImplemented && code != "":
		return provider.Unsupported
	case status < 400 || status >= 500 || code == "":
		return provider.Temporary
	case op == opReauthURI:
		return classifyReauth(status, code, kind, known)
	case !known:
		return provider.Temporary
	case kind == provider.Revoked:
		return classifyDenied(op, status)
	case status == http.StatusUnauthorized && readsData(op):
		return provider.Temporary // a newer token exists, or this one is an hour old
	default:
		return kind
	}
}

// classifyReauth reads what reauthuri answers. Its pairs of status and code are
// not published; callers take 400, 401 and 404 as "go to the full flow"
// (providers.md 1.4), unless the code says that something else is wrong. The
// call carries a refresh token and nothing of the client's, so that a 401 or 404
// that names a client or an account speaks of what the token stands for.
func classifyReauth(status int, code string, kind provider.Kind, known bool) provider.Kind {
	switch {
	case status == http.StatusUnauthorized && code == "unauthorized_client", status == http.StatusNotFound && code == "account_not_found":
		return provider.Unrenewable
	case known && (kind == provider.Misconfigured || kind == provider.Unsupported || kind == provider.RateLimited):
		return kind
	case known && (kind == provider.ReauthRequired || kind == provider.Revoked):
		return provider.Unrenewable // past the renewal window, or gone
	case status == http.StatusBadRequest, status == http.StatusUnauthorized, status == http.StatusNotFound:
		return provider.Unrenewable
	default:
		return provider.Temporary
	}
}

// classifyDenied reads access_denied: the definite end of a consent as a data
// call's 403, and nothing of the kind elsewhere (providers.md 1.10, TL-401).
func classifyDenied(op string, status int) provider.Kind {
	switch {
	case status == http.StatusForbidden && (readsData(op) || op == opRevoke):
		return provider.Revoked
	case op == opAuthURI:
		return provider.Misconfigured // the client may not make direct links
	default:
		return provider.Temporary
	}
}

func readsData(op string) bool { return op == opInspect || op == opAccounts }

// codeOf reads a refusal's code. It keeps only TrueLayer's own: anything else
// might be a token that a broken answer echoes.
func codeOf(body []byte) string {
	var said struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(body, &said) != nil || said.Error == "" {
		return ""
	}
	if _, known := knownCodes[said.Error]; known {
		return said.Error
	}
	return codeUnlisted
}
