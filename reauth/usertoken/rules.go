package usertoken

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/reconsent/reconsent/internal/jose"
)

// DefaultMaxTokenAge is how old a token may be where the rules say nothing.
const DefaultMaxTokenAge = 24 * time.Hour

// MinSecret is how long a shared secret must be, in bytes. With HS384 and HS512
// it is as long as their hash, 48 and 64 (RFC 7518 3.2).
const MinSecret = 32

// Rules are what one application's tokens must be. They are read, never
// written, while tokens are verified.
type Rules struct {
	Issuer   string // iss; "" is not looked at, in development only
	Audience string // one of aud; likewise
	// NamesRequired makes Issuer and Audience mandatory: everywhere but in dev.
	NamesRequired bool

	// Algorithms are pinned: HS256, HS384, HS512 with a secret; RS, PS and ES with
	// 256, 384, 512, and EdDSA with published keys.
	Algorithms []string
	JWKSURL    string // where the keys are published, or
	Secret     []byte // what is shared: its UTF-8 bytes

	// What of a token is believed beyond who asks.
	TrustAuthTime, TrustAMR, TrustFVA bool

	// MaxTokenAge is the age, since iat, from which a token is too old. 0 takes
	// DefaultMaxTokenAge.
	MaxTokenAge time.Duration
}

// Targets say which addresses may be called. See internal/outbound.
type Targets interface {
	Check(u *url.URL) error
}

// Validate reports every fault of the rules at once.
func (r *Rules) Validate(targets Targets) error {
	faults := r.faults()
	if r.JWKSURL != "" {
		if u, err := url.Parse(r.JWKSURL); err != nil {
			faults = append(faults, errors.New("the JWKS URL is no URL"))
		} else if err := targets.Check(u); err != nil {
			faults = append(faults, fmt.Errorf("the JWKS URL may not be called: %w", err))
		}
	}
	return errors.Join(faults...)
}

// faults are those that can be seen without asking whether an address may be
// called. It is held for each token: rules that nobody validated let nobody in.
func (r *Rules) faults() []error {
	var faults []error
	for _, check := range []struct {
		bad bool
		msg string
	}{
		{r.NamesRequired && r.Issuer == "", "an issuer is required"},
		{r.NamesRequired && r.Audience == "", "an audience is required"},
		{r.JWKSURL == "" && len(r.Secret) == 0, "a JWKS URL or a secret is required"},
		{r.JWKSURL != "" && len(r.Secret) > 0, "a JWKS URL and a secret exclude each other"},
		{len(r.Secret) > 0 && len(r.Secret) < r.minSecret(), "the secret is shorter than 32 bytes, or than the hash of an algorithm"},
		{!utf8.Valid(r.Secret), "the secret is not UTF-8"},
		{len(r.Algorithms) == 0, "an algorithm is required"},
		{r.MaxTokenAge < 0, "the greatest age of a token is negative"},
	} {
		if check.bad {
			faults = append(faults, errors.New(check.msg))
		}
	}
	known, kind := jose.Asymmetric, "published keys"
	if r.JWKSURL == "" {
		known, kind = jose.Symmetric, "a secret"
	}
	for _, alg := range r.Algorithms {
		if !slices.Contains(known, alg) {
			faults = append(faults, fmt.Errorf("the algorithm %.20q is none that goes with %s: %s", alg, kind, strings.Join(known, ", ")))
		}
	}
	return faults
}

func (r *Rules) minSecret() int {
	switch {
	case slices.Contains(r.Algorithms, "HS512"):
		return 64
	case slices.Contains(r.Algorithms, "HS384"):
		return 48
	default:
		return MinSecret
	}
}

// String keeps the secret out of what is printed.
func (r Rules) String() string { return "rules for tokens of " + r.Issuer }

// GoString does so for %#v.
func (r Rules) GoString() string { return r.String() }

// LogValue does so for slog.
func (r Rules) LogValue() slog.Value { return slog.StringValue(r.String()) }
