package api

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/stepup"
)

// Reauthenticated says that a user has proven enough, recently enough.
type Reauthenticated struct {
	Message    string    `json:"message" required:"true" description:"For people"`
	Timestamp  time.Time `json:"timestamp" required:"true" description:"Now"`
	ValidUntil time.Time `json:"valid_until" required:"true" description:"Until when it stays enough: the time of the proof and the level's window"`
}

type reauthenticateQuery struct {
	Level        string `query:"level" description:"Name of a level, or first_factor, second_factor, multi_factor with after_minutes; medium where neither level nor operation is given"`
	AfterMinutes *int   `query:"after_minutes" minimum:"1" maximum:"99998" description:"With first_factor, second_factor and multi_factor"`
	Operation    string `query:"operation" description:"An operation that the application has named a level, or a label beside level"`
	ClientID     string `query:"client_id" description:"The application, where the token does not tell"`
}

// supabaseVersion is the header by which Supabase's client is known.
const supabaseVersion = "X-Supabase-Api-Version"

// maxVersion bounds what is echoed, in bytes.
const maxVersion = 64

// versioned echoes the version to that client: only then it reads code in a
// problem.
func (s *Server) versioned(c *gin.Context) {
	if v := c.GetHeader(supabaseVersion); v != "" && len(v) <= maxVersion && forUsers(c.Request.URL.Path) {
		c.Header(supabaseVersion, v)
	}
}

func (s *Server) reauthenticate(c *gin.Context, caller *stepup.Caller) {
	q, err := url.ParseQuery(c.Request.URL.RawQuery)
	if err != nil { // what is dropped silently would be judged by the default level
		s.fail(c, invalidRequest("", "The query is not well formed."))
		return
	}
	if err := onlyQuery(q, "level", "after_minutes", "operation", "client_id"); err != nil {
		s.fail(c, err)
		return
	}
	ask := stepup.Ask{Level: q.Get("level"), Operation: q.Get("operation")}
	if q.Has("after_minutes") {
		n, err := strconv.Atoi(q.Get("after_minutes"))
		if err != nil {
			s.fail(c, &consent.Error{Code: reauth.CodeLevelInvalid, Field: "after_minutes", Detail: "after_minutes is no whole number."})
			return
		}
		ask.AfterMinutes = &n
	}
	checked, err := s.reauth.Check(c.Request.Context(), caller, ask)
	if checked.Calls != (reauth.Taken{}) {
		limits(c, checked.Calls)
	}
	switch {
	case err != nil:
		s.fail(c, err)
	case checked.Challenge == nil:
		s.reply(c, http.StatusOK, Reauthenticated{Message: "Reauthentication successful", Timestamp: second(checked.At), ValidUntil: second(checked.ValidUntil)})
	case c.GetHeader(supabaseVersion) != "":
		s.sendNonce(c, caller)
	default:
		s.challenge(c, checked.Challenge, checked.Needed)
	}
}

// Sent says that a code is on its way.
type Sent struct {
	MessageID string `json:"message_id,omitempty" description:"Of an SMS"`
}

// Fresh documents what stands in a 200: Reauthenticated, and Sent to Supabase's
// client.
type Fresh struct{}

// JSONSchemaAnyOf implements jsonschema.AnyOfExposer.
func (Fresh) JSONSchemaAnyOf() []any { return []any{Reauthenticated{}, Sent{}} }

// sendNonce is what Supabase's client takes this call for: a code is sent, to
// be used up in /v1/proofs/verify.
func (s *Server) sendNonce(c *gin.Context, caller *stepup.Caller) {
	made, err := s.reauth.SendReauthentication(c.Request.Context(), caller, "", stepup.ResendAfter)
	if err != nil {
		s.fail(c, err)
		return
	}
	sent := Sent{}
	if made.Factor == reauth.PhoneCode {
		sent.MessageID = made.ID
	}
	s.reply(c, http.StatusOK, sent)
}

// challenge is the one answer to a user who has proven too little.
func (s *Server) challenge(c *gin.Context, ch *reauth.Challenge, needed reauth.Requirement) {
	c.Header("WWW-Authenticate", reauth.WWWAuthenticate(needed))
	s.problem(c, ch.Status, ch)
}

// limits tells how many calls are left (draft-ietf-httpapi-ratelimit-headers,
// and the older X-RateLimit headers with seconds).
func limits(c *gin.Context, t reauth.Taken) {
	reset := int(math.Ceil(t.Reset.Seconds()))
	c.Header("RateLimit-Policy", fmt.Sprintf(`"reauthenticate";q=%d;w=%d`, stepup.CallsLimit, int(stepup.CallsPer.Seconds())))
	c.Header("RateLimit", fmt.Sprintf(`"reauthenticate";r=%d;t=%d`, t.Remaining, reset))
	c.Header("X-RateLimit-Limit", strconv.Itoa(stepup.CallsLimit))
	c.Header("X-RateLimit-Remaining", strconv.Itoa(t.Remaining))
	c.Header("X-RateLimit-Reset", strconv.Itoa(reset))
}

func second(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// shortOf finds the challenge in an error.
func shortOf(err error) (*stepup.Short, bool) { return errors.AsType[*stepup.Short](err) }
