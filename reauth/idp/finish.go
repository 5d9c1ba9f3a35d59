package idp

import (
	"context"
	"crypto/subtle"
	"net/url"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Finish judges the query with which the browser came back. The caller has
// checked the browser's cookie, and uses the trip up whatever the outcome. A
// nil error means that want.Subject signed in, at the provider, for this trip
// and after it was started; all errors are of the closed set above.
func (c *Client) Finish(ctx context.Context, p *Provider, trip Trip, query url.Values, want Want) (Result, error) {
	if trip.State == "" || trip.Nonce == "" || trip.Verifier == "" || want.Subject == "" || want.NotBefore.IsZero() {
		return Result{}, because(ErrState, "there is no trip")
	}
	if !same(only(query, "state"), trip.State) {
		return Result{}, because(ErrState, "another state")
	}
	if p.Validate(c.loopback) != nil {
		return Result{}, because(ErrUnavailable, "the provider's settings are not valid")
	}
	m, err := c.providers.of(ctx, p.Issuer)
	if err != nil {
		return Result{}, err
	}
	code, err := answer(query, p.Issuer, m.namesSelf)
	if err != nil {
		return Result{}, err
	}
	token, err := oauthConfig(p, m).Exchange(oidc.ClientContext(ctx, c.http), code, oauth2.VerifierOption(trip.Verifier))
	if err != nil {
		return Result{}, exchangeError(ctx, err)
	}
	id, err := c.verify(ctx, p, m, token, trip.Nonce)
	if err != nil {
		return Result{}, err
	}
	return judge(id, want, c.now())
}

// answer reads an authorization response, success or error (RFC 6749 4.1.2, RFC
// 9207), and returns its code. Its state has been compared.
func answer(query url.Values, issuer string, namesSelf bool) (code string, err error) {
	if query.Has("iss") || namesSelf {
		if only(query, "iss") != issuer {
			return "", because(ErrState, "another issuer, or none")
		}
	}
	if query.Has("error") {
		switch only(query, "error") {
		case "server_error", "temporarily_unavailable":
			return "", because(ErrUnavailable, "the provider said so")
		case "invalid_request", "unauthorized_client", "unsupported_response_type", "invalid_scope", "request_not_supported":
			return "", because(ErrUnavailable, "the provider does not take the request")
		default: // access_denied, login_required and their like, and what nobody knows
			return "", because(ErrDenied, "the provider said so")
		}
	}
	if code = only(query, "code"); code == "" {
		return "", because(ErrState, "no code, or several")
	}
	return code, nil
}

// only is a parameter's value where it has exactly one (RFC 6749 3.1), else "".
func only(query url.Values, name string) string {
	if values := query[name]; len(values) == 1 {
		return values[0]
	}
	return ""
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
