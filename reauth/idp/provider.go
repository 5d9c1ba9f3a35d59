package idp

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
)

// Provider is an application's OpenID provider, and what that knows us by. It
// prints without its secret, as JSON too.
type Provider struct {
	// Issuer is the provider's name, an https address without query or
	// fragment. Its metadata lies below it (OpenID Connect Discovery 1.0).
	Issuer string
	// ClientID and ClientSecret are what the provider registered. A backend can
	// keep a secret, so a client without one is not taken.
	ClientID     string
	ClientSecret string
	// RedirectURI is where the provider sends the browser back to, as it is
	// registered there, character for character.
	RedirectURI string
	// Scopes are asked for; openid always is. offline_access is refused:
	// nothing here may keep a token.
	Scopes []string
	// Algorithms may sign an ID token: any of RS256, RS384, RS512, PS256,
	// PS384, PS512, ES256, ES384, ES512 and EdDSA. None given: RS256, the one
	// that every provider has. The metadata's list counts for nothing.
	Algorithms []string
}

// signatures are the algorithms that may be pinned: none with a shared secret.
var signatures = []string{
	oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA,
}

// maxScopes bounds a list that ends up in an address.
const maxScopes = 20

// Validate says all that is wrong with the settings at once; nil is nothing.
// With loopback, for development, http is taken on this machine. It calls
// nobody: whether an address leads somewhere private shows when it is dialled.
func (p *Provider) Validate(loopback bool) error {
	var faults []error
	if why := wrongAddress(p.Issuer, loopback); why != "" {
		faults = append(faults, fmt.Errorf("issuer %s", why))
	} else if strings.Contains(p.Issuer, "?") {
		faults = append(faults, errors.New("issuer holds a query"))
	}
	if why := wrongAddress(p.RedirectURI, loopback); why != "" {
		faults = append(faults, fmt.Errorf("redirect_uri %s", why))
	}
	if p.ClientID == "" {
		faults = append(faults, errors.New("client_id is missing"))
	}
	if p.ClientSecret == "" {
		faults = append(faults, errors.New("client_secret is missing"))
	}
	if len(p.Scopes) > maxScopes {
		faults = append(faults, fmt.Errorf("scopes are more than %d", maxScopes))
	}
	for _, scope := range p.Scopes {
		switch {
		case !isScope(scope):
			faults = append(faults, fmt.Errorf("scope %q is none (RFC 6749 3.3)", scope))
		case scope == oidc.ScopeOfflineAccess:
			faults = append(faults, errors.New("scope offline_access is not taken: no token is kept"))
		}
	}
	for _, alg := range p.Algorithms {
		if !slices.Contains(signatures, alg) {
			faults = append(faults, fmt.Errorf("algorithm %q is not one of %s", alg, strings.Join(signatures, ", ")))
		}
	}
	return errors.Join(faults...)
}

// isScope reports whether s is a scope-token of RFC 6749 3.3.
func isScope(s string) bool {
	for _, r := range s {
		if r < 0x21 || r > 0x7e || r == '"' || r == '\\' {
			return false
		}
	}
	return s != ""
}

// wrongAddress says what is wrong with an address to call or to send a browser
// to; "" is nothing.
func wrongAddress(s string, loopback bool) string {
	u, err := url.Parse(s)
	switch {
	case s == "":
		return "is missing"
	case err != nil || u.Opaque != "" || u.Hostname() == "" || strings.ContainsAny(s, " \\"):
		return "is not an address"
	case u.Scheme != "https" && (u.Scheme != "http" || !loopback || !isLocal(u.Hostname())):
		return "is not an https address"
	case u.User != nil:
		return "holds a user name or a password"
	case strings.Contains(s, "#"):
		return "holds a fragment"
	}
	return ""
}

// isLocal reports whether a host is this machine, as it is written.
func isLocal(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && addr.Unmap().IsLoopback()
}

func (p *Provider) scopes() []string {
	if slices.Contains(p.Scopes, oidc.ScopeOpenID) {
		return p.Scopes
	}
	return append([]string{oidc.ScopeOpenID}, p.Scopes...)
}

func (p *Provider) algorithms() []string {
	if len(p.Algorithms) == 0 {
		return []string{oidc.RS256}
	}
	return p.Algorithms
}

// String implements fmt.Stringer.
func (p Provider) String() string { return "openid provider " + p.Issuer }

// GoString implements fmt.GoStringer, for %#v.
func (p Provider) GoString() string { return p.String() }

// LogValue implements slog.LogValuer.
func (p Provider) LogValue() slog.Value { return slog.StringValue(p.String()) }

// MarshalJSON implements json.Marshaler, for slog's JSON and all it nests in.
func (p Provider) MarshalJSON() ([]byte, error) { return json.Marshal(p.String()) }
