package idp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"syscall"

	"golang.org/x/oauth2"
)

// The errors of Start and Finish, a closed set. Each comes wrapped, with a
// reason for the log that holds nothing of what the provider or the browser
// said.
var (
	// ErrDenied: the provider sent the person back without a sign-in; they
	// cancelled, or were not let in.
	ErrDenied = errors.New("idp: the sign-in was denied")
	// ErrState: this is no answer to this trip: another state, another
	// provider's answer (RFC 9207), or none that can be read.
	ErrState = errors.New("idp: not an answer to this trip")
	// ErrIdentityMismatch: somebody else has signed in.
	ErrIdentityMismatch = errors.New("idp: another user signed in")
	// ErrNotFresh: auth_time is missing, cannot be read, lies before the trip
	// or in the future.
	ErrNotFresh = errors.New("idp: the user did not sign in again")
	// ErrRefused: the code or the ID token is not good.
	ErrRefused = errors.New("idp: the sign-in is refused")
	// ErrUnavailable: the provider cannot be reached, answers what nobody can
	// use, or is not configured so that it can be asked.
	ErrUnavailable = errors.New("idp: the provider is not available")
)

func because(err error, why string) error { return fmt.Errorf("%w: %s", err, why) }

// What the transport finds wrong with an answer.
var (
	errTooLong = errors.New("the answer is too long")
	errCutOff  = errors.New("the answer was cut off")
	errStatus  = errors.New("the answer is no success")
	errNotJSON = errors.New("the answer is not JSON")
)

// unavailable is a call that brought nothing to use. Of the cause only what
// cannot hold an address or an answer is kept.
func unavailable(op string, err error) error {
	var cause error
	timeout, isNet := errors.AsType[net.Error](err)
	errno, isErrno := errors.AsType[syscall.Errno](err)
	_, isDNS := errors.AsType[*net.DNSError](err)
	switch {
	case errors.Is(err, context.Canceled):
		cause = context.Canceled
	case errors.Is(err, context.DeadlineExceeded), isNet && timeout.Timeout():
		cause = context.DeadlineExceeded
	case isErrno:
		cause = errno // "connection refused" and its like
	case isDNS:
		cause = errors.New("the host name cannot be resolved")
	default:
		cause = errors.New("no answer that can be used")
		for _, plain := range []error{errTooLong, errCutOff, errStatus, errNotJSON, errMetadata} {
			if errors.Is(err, plain) {
				cause = plain
			}
		}
	}
	return fmt.Errorf("%w: %s: %w", ErrUnavailable, op, cause)
}

// exchangeError reads what the OAuth library says of a code (RFC 6749 5.2). Its
// texts quote the answer, so none of them is kept.
func exchangeError(ctx context.Context, err error) error {
	refused, answered := errors.AsType[*oauth2.RetrieveError](err)
	_, lost := errors.AsType[*url.Error](err)
	switch {
	case answered && refused.Response != nil && refused.Response.StatusCode >= http.StatusInternalServerError:
		return because(ErrUnavailable, fmt.Sprintf("exchange: status %d", refused.Response.StatusCode))
	case answered && refused.ErrorCode == "invalid_grant":
		return because(ErrRefused, "the provider does not take the code")
	case answered && refused.ErrorCode == "invalid_client":
		return because(ErrUnavailable, "exchange: the provider does not know the client by this secret")
	case answered && refused.Response != nil:
		return because(ErrUnavailable, fmt.Sprintf("exchange: status %d", refused.Response.StatusCode))
	case lost:
		return unavailable("exchange", err)
	case ctx.Err() != nil:
		return unavailable("exchange", ctx.Err())
	default:
		return unavailable("exchange", errNotJSON) // the library does not tell apart what it could not read
	}
}
