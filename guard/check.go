package guard

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/proof"
	"github.com/reconsent/reconsent/reauth/usertoken"
)

// Verified is who asks, and what they have proven.
type Verified struct {
	User    string // sub
	Session string // sid
	// Level is what the proof reached; "" where the route asks for nothing.
	Level string
	// ProvenAt is when a factor was last proven; zero where the route asks for
	// nothing.
	ProvenAt time.Time
	// AMR are the methods (RFC 8176).
	AMR []string
}

type contextKey struct{}

// NewContext is for adapters of other routers: it keeps v for FromContext.
func NewContext(ctx context.Context, v Verified) context.Context {
	return context.WithValue(ctx, contextKey{}, v)
}

// FromContext is what RequireReverification found; false where it did not run.
func FromContext(ctx context.Context) (Verified, bool) {
	v, ok := ctx.Value(contextKey{}).(Verified)
	return v, ok
}

// Check judges a request, and uses up the proof where it counts once. The error
// is a *Denied.
func (p *Policy) Check(r *http.Request) (Verified, error) {
	g, ctx := p.guard, r.Context()
	user, err := g.user(r)
	if err != nil {
		return Verified{}, err
	}
	v := Verified{User: user.Subject, Session: user.Session}
	if reauth.Has(reauth.Ages{}, reauth.EnrolmentUnknown, p.need) {
		return v, nil // it asks for nothing
	}
	operation, details, err := p.bound(r)
	if err != nil {
		return Verified{}, err
	}
	token, claims, err := p.proof(r)
	if err != nil {
		return Verified{}, err
	}
	if claims.Subject != user.Subject || claims.Session != user.Session {
		return Verified{}, p.denied(reauth.Ages{}, reauth.EnrolmentUnknown, errors.New("the proof is another user's, or another session's"))
	}
	enrolment := reauth.EnrolmentOf(claims.SecondFactorEnrolled)
	if claims.operation() != operation {
		return Verified{}, p.denied(reauth.Ages{}, enrolment, errors.New("the proof is for another operation, or for other details"))
	}
	once, err := p.reached(claims, enrolment)
	if err != nil {
		return Verified{}, err
	}
	if once {
		u := use{Proof: token, UserID: user.Subject, SessionID: user.Session, Operation: p.operation, Details: details}
		u.Level, u.AfterMinutes = p.beside()
		if err := g.use(ctx, u, claims.Level); err != nil {
			return Verified{}, p.unused(err, enrolment)
		}
	}
	v.Level, v.ProvenAt, v.AMR = claims.Level, claims.AuthTime, claims.AMR
	return v, nil
}

// user verifies the user's JWT: exactly one Authorization, and nothing else.
func (g *Guard) user(r *http.Request) (usertoken.Claims, error) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return usertoken.Claims{}, &Denied{Reason: Unauthenticated, Err: errors.New("there is not exactly one Authorization")}
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return usertoken.Claims{}, &Denied{Reason: Unauthenticated, Err: errors.New("there is no bearer token")}
	}
	claims, err := g.users.Verify(r.Context(), token, &g.rules)
	switch {
	case err == nil:
		return claims, nil
	case errors.Is(err, usertoken.ErrSessionMissing):
		return claims, &Denied{Reason: SessionMissing, Err: err}
	case errors.Is(err, usertoken.ErrKeysUnavailable), errors.Is(err, usertoken.ErrRules), r.Context().Err() != nil:
		return claims, &Denied{Reason: Unavailable, Err: err}
	default:
		return claims, &Denied{Reason: Unauthenticated, presented: true, Err: err}
	}
}

// op is what a proof is bound to; the zero value is nothing.
type op struct{ name, digest string }

// claims are a proof's, with what is asked of them here.
type claims struct{ proof.Claims }

func (c claims) operation() op {
	if c.Operation == nil {
		return op{}
	}
	return op{c.Operation.Name, c.Operation.Digest}
}

// bound is what the route's proofs have to be bound to.
func (p *Policy) bound(r *http.Request) (op, *reauth.Details, error) {
	if p.details == nil {
		return op{name: p.operation}, nil, nil
	}
	d, err := p.details(r)
	if err == nil {
		var digest string
		if digest, err = d.Digest(); err == nil {
			return op{p.operation, digest}, &d, nil
		}
	}
	denied := &Denied{Reason: DetailsInvalid, Err: err}
	if errors.Is(err, errTooLarge) {
		denied.Reason = BodyTooLarge
	} else if e, ok := errors.AsType[*consent.Error](err); ok {
		denied.field, denied.detail = e.Field, e.Detail
	}
	return op{}, nil, denied
}

// proof verifies the proof: exactly one, of this installation, for this
// application.
func (p *Policy) proof(r *http.Request) (string, claims, error) {
	g := p.guard
	values := r.Header.Values(ProofHeader)
	if len(values) != 1 || values[0] == "" {
		return "", claims{}, p.denied(reauth.Ages{}, reauth.EnrolmentUnknown, errors.New("there is not exactly one proof"))
	}
	want := g.want
	want.Now = g.now()
	c, err := proof.Verify(values[0], g.keys.In(r.Context()), want)
	switch {
	case err == nil:
		return values[0], claims{c}, nil
	case errors.Is(err, proof.ErrKeysUnavailable), r.Context().Err() != nil:
		return "", claims{}, &Denied{Reason: Unavailable, Err: err}
	default:
		return "", claims{}, p.denied(reauth.Ages{}, reauth.EnrolmentUnknown, err)
	}
}

// reached compares what was proven with the level, and says whether the proof
// counts once. Whether a factor was proven after the challenge, or a proof was
// bound as sca wants it, only the installation saw: the level that it signed says
// so. The ages are judged here.
func (p *Policy) reached(c claims, enrolment reauth.Enrolment) (once bool, err error) {
	signed, err := reauth.ParseRequirement(c.Level)
	if err != nil || p.need.Fresh && !signed.Fresh || p.need.SCA && !signed.SCA {
		return false, p.denied(reauth.Ages{}, enrolment, errors.New("the proof is of another level"))
	}
	need := p.need
	if need.Fresh {
		need.Fresh, need.Within = false, min(need.Within, proof.MaxLife)
	}
	ages := agesOf(c.Factors, p.guard.now())
	if !reauth.Has(ages, enrolment, need) {
		return false, p.denied(ages, enrolment, errors.New("the proof is too old, or of too few factors"))
	}
	return p.need.SingleUse() || signed.SingleUse(), nil
}

func agesOf(factors []proof.Factor, now time.Time) reauth.Ages {
	proven := make([]reauth.Proven, len(factors))
	for i, f := range factors {
		proven[i] = reauth.Proven{Factor: reauth.Factor(f.Method), Role: reauth.Role(f.Role), Ref: f.Ref, At: f.At, UserVerified: f.UserVerified}
	}
	return reauth.AgesOf(proven, now)
}

// denied is the challenge.
func (p *Policy) denied(ages reauth.Ages, enrolment reauth.Enrolment, err error) *Denied {
	return &Denied{Reason: ReverificationRequired, need: p.need, ages: ages, enrolment: enrolment, Err: err}
}

// unused is the answer where a proof was not used up.
func (p *Policy) unused(err error, enrolment reauth.Enrolment) *Denied {
	if errors.Is(err, errProofRefused) {
		return p.denied(reauth.Ages{}, enrolment, err)
	}
	denied := &Denied{Reason: Unavailable, Err: err}
	if busy, ok := errors.AsType[*busyError](err); ok {
		denied.retryAfter = busy.retryAfter
	}
	return denied
}
