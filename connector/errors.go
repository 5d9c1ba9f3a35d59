package connector

import (
	"errors"
	"fmt"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/provider"
)

// notFound replaces the registry's ErrNotFound by the answer that fits what
// was looked for.
func notFound(err error, answer *consent.Error) error {
	if errors.Is(err, consent.ErrNotFound) {
		return answer
	}
	return err
}

func unknownConsent() *consent.Error {
	return &consent.Error{Code: consent.CodeConsentNotFound, Detail: "There is no such consent in this application."}
}

func unknownAttempt() *consent.Error {
	return &consent.Error{Code: consent.CodeAttemptNotFound, Detail: "There is no such attempt in this application."}
}

func unknownState() *consent.Error {
	return &consent.Error{Code: consent.CodeStateUnknown, Field: "state",
		Detail: "No attempt of this application has this state. Start again from a link that this service gave out."}
}

func unknownProvider(name string) *consent.Error {
	return &consent.Error{Code: consent.CodeProviderUnknown, Field: "provider",
		Detail: fmt.Sprintf("Provider %q is not configured for this application.", name)}
}

func invalid(field, detail string) *consent.Error {
	return &consent.Error{Code: consent.CodeInvalidRequest, Field: field, Detail: detail}
}

// fromProvider turns what went wrong at a provider into the answer of a use
// case. Kinds that mean something special to a use case are looked at before.
func fromProvider(err error, c *consent.Consent) error {
	e := provider.AsError(err)
	out := &consent.Error{Err: err, RetryAt: e.RetryAt}
	if c != nil {
		out.ConsentID = c.ID
	}
	switch e.Kind {
	case provider.RateLimited:
		out.Code, out.Detail = consent.CodeProviderUnavailable, "The provider limits how often it may be called; try again later."
	case provider.Misconfigured:
		out.Code, out.Detail = consent.CodeProviderMisconfig, "The provider refuses the application's settings there: check client id, secret and redirect URI."
	case provider.Unsupported:
		out.Code, out.Detail = consent.CodeProviderUnsupported, "The provider cannot do this for this bank."
	case provider.ReauthRequired, provider.Revoked, provider.Unrenewable, provider.Denied:
		out.Code, out.Detail = consent.CodeReauthRequired, "The provider no longer accepts this consent; the person has to authorise it again."
	default:
		out.Code, out.Detail = consent.CodeProviderUnavailable, "The provider does not answer as it should; try again."
	}
	return out
}

// retryable reports whether the same call may succeed later, with nothing
// known about the consent meanwhile.
func retryable(err error) bool {
	k := provider.KindOf(err)
	return k == provider.Temporary || k == provider.RateLimited
}
