package usertoken

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/reconsent/reconsent/internal/jose"
	"github.com/reconsent/reconsent/internal/outbound"
)

// Leeway is by how much the clock of an issuer may be ahead: iat and nbf may be
// that far in the future. Expired is expired; a leeway there would only
// lengthen the life of a stolen token.
const Leeway = 60 * time.Second

// Why a token is not taken. The set is closed; beside it, Verify returns the
// context's error.
var (
	ErrMalformed       = errors.New("not a JWT of a user")
	ErrRefused         = errors.New("the token's signature, algorithm, header or type is refused")
	ErrNames           = errors.New("the token is from another issuer, or for another audience")
	ErrExpired         = errors.New("the token has expired")
	ErrNotYetValid     = errors.New("the token is from the future")
	ErrTooOld          = errors.New("the token was issued too long ago, or does not say when")
	ErrSessionMissing  = errors.New("the token names no session")
	ErrKeysUnavailable = errors.New("the issuer's keys cannot be had")
	ErrRules           = errors.New("the rules for the token do not hold")
)

// Claims are what a token says, as far as the rules trust it.
type Claims struct {
	Subject string // sub, 1 to 256 characters
	Session string // sid, else session_id, likewise
	Issuer  string // iss, "" where there is none and none is demanded
	// Audience is aud, one or many.
	Audience  []string
	IssuedAt  time.Time
	ExpiresAt time.Time
	// AuthTime is zero unless it is trusted, there, and no later than IssuedAt
	// plus Leeway. It is never later than now.
	AuthTime time.Time
	// AMR are the methods (RFC 8176), nil unless trusted and well formed.
	AMR []string
	// FVA are the ages in minutes, at IssuedAt, of the first and the second
	// factor; -1 is never. Nil unless trusted and well formed.
	FVA *[2]int
}

// Names are what a token says of whom it is from and for.
type Names struct {
	Issuer    string // "" where there is none
	Audiences []string
}

// Config is what a Verifier is made of. Targets and Now are required.
type Config struct {
	Targets *outbound.Targets
	Now     func() time.Time // what iat, nbf and exp are compared with
	Log     *slog.Logger     // nil logs nothing
	// HTTP fetches published keys; nil takes a client that holds to Targets, as
	// any other one has to.
	HTTP *http.Client
}

// Verifier verifies tokens, and keeps the keys that issuers publish. It is safe
// for concurrent use.
type Verifier struct {
	now  func() time.Time
	sets *jose.Sets
}

// New returns a Verifier. Close it when it is no longer needed.
func New(cfg Config) *Verifier {
	if cfg.HTTP == nil {
		cfg.HTTP = cfg.Targets.Client(outbound.Config{Timeout: jose.FetchTimeout, MaxBody: jose.MaxSet})
	}
	return &Verifier{now: cfg.Now, sets: jose.NewSets(jose.SetsConfig{HTTP: cfg.HTTP, Now: cfg.Now, Log: cfg.Log})}
}

// Close ends fetches that are under way.
func (v *Verifier) Close() { v.sets.Close() }

// Verify says whose token it is. Errors: the set above, or the context's.
func (v *Verifier) Verify(ctx context.Context, token string, rules *Rules) (Claims, error) {
	if rules == nil || len(rules.faults()) > 0 {
		return Claims{}, ErrRules // rules that were never validated would let anything in
	}
	raw, err := jose.Open(token, jose.Demands{Algorithms: rules.Algorithms, Types: types, Keys: func(h jose.Header) ([]any, error) {
		if rules.JWKSURL == "" {
			return []any{rules.Secret}, nil
		}
		return v.sets.Keys(ctx, rules.JWKSURL, h)
	}})
	if err != nil {
		return Claims{}, translate(err)
	}
	return read(raw, rules, v.now())
}

// Peek reads whom a token says it is from and for, to find the application
// whose rules it is then verified by. Nobody has verified it: it decides
// nothing. Errors: ErrMalformed.
func Peek(token string) (Names, error) {
	raw, err := jose.Peek(token)
	if err != nil {
		return Names{}, ErrMalformed
	}
	return names(raw)
}

// types are what a user's token may say it is: a JWT, or an access token
// (RFC 9068). A closed list keeps out the other JWTs that an issuer signs with
// the same keys, logout tokens for one, and our proofs (RFC 8725 3.11).
var types = []string{"", "jwt", "at+jwt"}

func translate(err error) error {
	switch {
	case errors.Is(err, jose.ErrMalformed):
		return ErrMalformed
	case errors.Is(err, jose.ErrKeysUnavailable):
		return ErrKeysUnavailable
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	default:
		return ErrRefused
	}
}
