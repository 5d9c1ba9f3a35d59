package guard

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/reconsent/reconsent/reauth"
)

// maxBody is how much of a body is read to find the details in it, in bytes.
const maxBody = 64 << 10

// Policy is what one route asks for.
type Policy struct {
	guard     *Guard
	need      reauth.Requirement
	operation string
	details   func(*http.Request) (reauth.Details, error)
}

// An Option says more of what a route asks for.
type Option func(*Policy)

// Operation names what is being done, as the reverification named it. A proof
// that is bound to an operation counts for that one only; without this option
// only a proof that is bound to none counts, and none that counts once.
func Operation(name string) Option {
	return func(p *Policy) { p.operation = name }
}

// Details binds to a payment that is known already: inside a handler.
func Details(d reauth.Details) Option {
	return func(p *Policy) {
		p.details = func(*http.Request) (reauth.Details, error) { return d, nil }
	}
}

// DetailsFrom binds to the payment that read finds in the request. It may read
// the body, of which the handler gets the same bytes again; a body over 64 KiB is
// refused. A *consent.Error is the caller's to see, any other error is not.
func DetailsFrom(read func(*http.Request) (reauth.Details, error)) Option {
	return func(p *Policy) { p.details = withBody(read) }
}

func withBody(read func(*http.Request) (reauth.Details, error)) func(*http.Request) (reauth.Details, error) {
	return func(r *http.Request) (reauth.Details, error) {
		if r.Body == nil {
			return read(r)
		}
		body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
		switch {
		case err != nil:
			return reauth.Details{}, errors.New("the body cannot be read")
		case len(body) > maxBody:
			return reauth.Details{}, errTooLarge
		}
		again := struct {
			io.Reader
			io.Closer
		}{bytes.NewReader(body), r.Body}
		r.Body = io.NopCloser(bytes.NewReader(body))
		d, err := read(r)
		r.Body = again
		return d, err
	}
}

// Policy makes a policy of a level, in a form that reauth.ParseRequirement
// reads: "strict", or "second_factor:30". The error says what cannot be guarded
// so: a level that there is not, one that counts once without an API key or an
// operation to use it up for, details without an operation, or sca without both.
func (g *Guard) Policy(level string, opts ...Option) (*Policy, error) {
	need, err := reauth.ParseRequirement(level)
	if err != nil {
		return nil, fmt.Errorf("guard: level %.40q: %w", level, err)
	}
	p := &Policy{guard: g, need: need}
	for _, o := range opts {
		o(p)
	}
	switch {
	case need.SingleUse() && g.apiKey == "":
		return nil, fmt.Errorf("guard: a proof of level %s counts once, and an API key is needed to use it up", need)
	case need.SingleUse() && p.operation == "":
		return nil, fmt.Errorf("guard: a proof of level %s counts once, and is used up for an operation: name it with guard.Operation", need)
	case p.details != nil && p.operation == "":
		return nil, errors.New("guard: details belong to an operation, which has no name")
	case need.Bound() && p.details == nil:
		return nil, fmt.Errorf("guard: a proof of level %s is bound to details, and none are given", need)
	}
	return p, nil
}

// beside is the level that goes with a use: it is judged by the level of an
// operation that the application has not named. Of a level that the API has no
// words for it is the factors and the minutes; the rest was judged here.
func (p *Policy) beside() (level string, afterMinutes int) {
	switch {
	case p.need.Level != "":
		return p.need.Level, 0
	case p.need.Factors == reauth.NoFactors:
		return "sca", 0 // nothing else asks for no factor by its role
	case p.need.Within == reauth.AnyAge:
		return string(p.need.Factors), reauth.MaxAfterMinutes
	default:
		return string(p.need.Factors), int(p.need.Within / time.Minute)
	}
}

// RequireReverification is middleware that lets a request through where its user
// has proven who they are to the level, and answers it otherwise. What was found
// is in the request's context: see FromContext. It panics where Policy has an
// error, at start, as net/http does with a pattern that makes no sense.
func (g *Guard) RequireReverification(level string, opts ...Option) func(http.Handler) http.Handler {
	p, err := g.Policy(level, opts...)
	if err != nil {
		panic(err)
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			v, err := p.Check(r)
			if err != nil {
				g.WriteError(w, err)
				return
			}
			next.ServeHTTP(w, r.WithContext(NewContext(r.Context(), v)))
		})
	}
}

// NeedsReverification reports whether the user has yet to prove who they are, to
// the level. It is true as well where that could not be judged, for whatever
// reason; Policy and Check tell the reasons apart. A proof that counts once is
// used up by the call that is false.
func (g *Guard) NeedsReverification(r *http.Request, level string, opts ...Option) bool {
	p, err := g.Policy(level, opts...)
	if err != nil {
		g.log.Error("a route cannot be guarded", "error", err)
		return true
	}
	_, err = p.Check(r)
	return err != nil
}

// WriteReverificationRequired answers with the challenge for a level: 403, see
// reauth.Challenge. For a level that there is not, it asks for what nobody can
// prove.
func (g *Guard) WriteReverificationRequired(w http.ResponseWriter, level string) {
	need, err := reauth.ParseRequirement(level)
	if err != nil {
		g.log.Error("a challenge for a level that there is not", "error", err)
	}
	g.WriteError(w, &Denied{Reason: ReverificationRequired, need: need})
}
