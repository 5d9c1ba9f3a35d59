package guard

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/reconsent/reconsent/reauth"
)

var errTooLarge = errors.New("the body is longer than it may be")

// Reason is why a request is not let through. The set is closed.
type Reason string

// The reasons, which are the codes of the answers too.
const (
	// Unauthenticated, 401: no JWT of a user, or a dead one.
	Unauthenticated Reason = "unauthorized"
	// SessionMissing, 401: the user's JWT names no session.
	SessionMissing Reason = "session_missing"
	// ReverificationRequired, 403: the challenge.
	ReverificationRequired Reason = "reverification_required"
	// DetailsInvalid, 400: what is to be paid cannot be read from the request.
	DetailsInvalid Reason = "invalid_request"
	// BodyTooLarge, 413: likewise.
	BodyTooLarge Reason = "payload_too_large"
	// Unavailable, 503: it could not be judged. Keys or the installation cannot be
	// reached.
	Unavailable Reason = "verification_unavailable"
)

// Denied is why a request is not let through. It is always used as a pointer.
type Denied struct {
	Reason Reason
	Err    error // cause, for the log only

	need      reauth.Requirement
	ages      reauth.Ages
	enrolment reauth.Enrolment

	presented     bool // there was a token
	field, detail string
	retryAfter    time.Duration
}

// Error implements error.
func (d *Denied) Error() string {
	if d.Err == nil {
		return "guard: " + string(d.Reason)
	}
	return "guard: " + string(d.Reason) + ": " + d.Err.Error()
}

// Unwrap returns the cause.
func (d *Denied) Unwrap() error { return d.Err }

// problem is an error as RFC 9457 writes it.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Code   Reason `json:"code"`
	Field  string `json:"field,omitempty"`
}

// answers is the one place where a reason becomes a status and words.
var answers = map[Reason]problem{
	Unauthenticated: {Status: http.StatusUnauthorized, Title: "Not signed in", Detail: "Send the signed-in user's JWT, once, as Authorization: Bearer."},
	SessionMissing:  {Status: http.StatusUnauthorized, Title: "Session missing", Detail: "The user's JWT names no session: it needs sid or session_id."},
	DetailsInvalid:  {Status: http.StatusBadRequest, Title: "Invalid request", Detail: "What is to be done cannot be read from the request."},
	BodyTooLarge:    {Status: http.StatusRequestEntityTooLarge, Title: "Request body too large", Detail: "The request body is longer than 64 KiB."},
	Unavailable:     {Status: http.StatusServiceUnavailable, Title: "Cannot be verified now", Detail: "Whether this may be done cannot be verified at the moment. Nothing was done; try again."},
}

// defaultRetry is for where nobody said when to try again.
const defaultRetry = 5 * time.Second

// WriteError answers with what Check returned. An error that is no *Denied is
// answered as Unavailable.
func (g *Guard) WriteError(w http.ResponseWriter, err error) {
	d, ok := errors.AsType[*Denied](err)
	if !ok {
		d = &Denied{Reason: Unavailable}
	}
	if d.Reason == ReverificationRequired {
		c := reauth.NewChallenge(d.ages, d.enrolment, d.need)
		c.Type = g.base + c.Type
		c.Start = g.base + "/v1/reverifications"
		w.Header().Set("WWW-Authenticate", reauth.WWWAuthenticate(d.need))
		g.write(w, c.Status, c)
		return
	}
	p, ok := answers[d.Reason]
	if !ok {
		d = &Denied{Reason: Unavailable}
		p = answers[d.Reason]
	}
	p.Code, p.Type, p.Field = d.Reason, g.base+"/docs#"+string(d.Reason), d.field
	if d.detail != "" {
		p.Detail = d.detail
	}
	switch p.Status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", d.bearer())
	case http.StatusServiceUnavailable:
		retry := d.retryAfter
		if retry <= 0 {
			retry = defaultRetry
		}
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(retry.Seconds()))))
	}
	g.write(w, p.Status, p)
}

// bearer is WWW-Authenticate for a 401 (RFC 6750, section 3): no error is named
// where nothing was presented.
func (d *Denied) bearer() string {
	if d.presented || d.Reason == SessionMissing {
		return `Bearer error="invalid_token"`
	}
	return "Bearer"
}

func (g *Guard) write(w http.ResponseWriter, status int, body any) {
	raw, err := json.Marshal(body)
	if err != nil {
		g.log.Error("an answer cannot be written", "error", err)
		status = http.StatusInternalServerError
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(raw) // whoever asked has gone
}
