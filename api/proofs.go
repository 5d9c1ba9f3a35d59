package api

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/stepup"
)

// VerifyRequest uses up a proof: one of proof, code and sudo_token is given.
type VerifyRequest struct {
	Proof          string          `json:"proof,omitempty" description:"From the header Reverification-Proof"`
	Code           string          `json:"code,omitempty" description:"That GET /reauthenticate or POST /auth/v1/user/reauthenticate sent"`
	SudoToken      string          `json:"sudo_token,omitempty" description:"Of POST /auth/v1/user/sudo"`
	UserID         string          `json:"user_id" required:"true" description:"Who is about to do it"`
	SessionID      string          `json:"session_id" required:"true" description:"In which session"`
	Operation      string          `json:"operation" required:"true" maxLength:"100" description:"What is about to be done"`
	Level          string          `json:"level,omitempty" description:"What it takes, beside the operation's own level: the stricter wins"`
	AfterMinutes   *int            `json:"after_minutes,omitempty" minimum:"1" maximum:"99998"`
	Details        *reauth.Details `json:"details,omitempty" description:"What the person has to have agreed to"`
	DeviceID       string          `json:"device_id,omitempty" maxLength:"256" description:"With code or sudo_token: the x-device-id that the user's client sends. Where one came when the code was sent, it has to be the same. Left out, a header x-device-id of this request counts, and without it nothing is compared"`
	IdempotencyKey string          `json:"idempotency_key,omitempty" maxLength:"256" description:"The same within 60 seconds gives the same answer again"`
}

// Verified says that it was good, and is used up.
type Verified struct {
	Valid    bool      `json:"valid" required:"true"`
	Level    string    `json:"level" required:"true" description:"That was reached"`
	AuthTime time.Time `json:"auth_time" required:"true" description:"When a factor was proven last"`
	AMR      []string  `json:"amr" required:"true" nullable:"false" description:"How (RFC 8176)"`
}

func (s *Server) verifyProof(c *gin.Context, app *consent.Application) {
	var req VerifyRequest
	if err := decode(c, &req, false); err != nil {
		s.fail(c, err)
		return
	}
	used, err := s.reauth.Use(c.Request.Context(), app.ID, stepup.Use{
		Proof: req.Proof, Code: req.Code, SudoToken: req.SudoToken, UserID: req.UserID, SessionID: req.SessionID, Operation: req.Operation,
		Level: req.Level, AfterMinutes: req.AfterMinutes, Details: req.Details, DeviceID: cmp.Or(req.DeviceID, c.GetHeader("X-Device-Id")), IdempotencyKey: req.IdempotencyKey, IPPrefix: ipPrefix(c),
	})
	if err != nil {
		s.fail(c, err)
		return
	}
	s.reply(c, http.StatusOK, Verified{Valid: used.Valid, Level: used.Level, AuthTime: second(used.AuthTime), AMR: used.AMR})
}

// EndRequest ends a session, or all of a user.
type EndRequest struct {
	UserID    string `json:"user_id" required:"true"`
	SessionID string `json:"session_id,omitempty" description:"All sessions where it is left out"`
}

// Ended says that it was done.
type Ended struct {
	Ended bool `json:"ended" required:"true"`
}

func (s *Server) endSession(c *gin.Context, app *consent.Application) {
	var req EndRequest
	err := decode(c, &req, false)
	if err == nil {
		err = s.reauth.EndSession(c.Request.Context(), app.ID, req.UserID, req.SessionID, ipPrefix(c))
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	s.reply(c, http.StatusOK, Ended{Ended: true})
}

// AuditLine is one line of the audit.
type AuditLine struct {
	ID        string    `json:"id" required:"true"`
	At        time.Time `json:"at" required:"true"`
	Action    string    `json:"action" required:"true" description:"Like code.sent, factor.failed, locked, proof.used"`
	Reason    string    `json:"reason,omitempty" description:"Why it came out so"`
	UserID    string    `json:"user_id" required:"true"`
	SessionID string    `json:"session_id,omitempty"`
	DeviceID  string    `json:"device_id,omitempty"`
	IPPrefix  string    `json:"ip_prefix,omitempty" description:"/24 of IPv4, /48 of IPv6"`
	Factor    string    `json:"factor,omitempty"`
	Level     string    `json:"level,omitempty"`
	Operation string    `json:"operation,omitempty"`
	Subject   string    `json:"subject,omitempty" description:"Id of the code, reverification, factor or proof"`
}

// AuditPage is a page of the audit, newest first.
type AuditPage struct {
	Audit      []AuditLine `json:"audit" required:"true" nullable:"false"`
	NextCursor *string     `json:"next_cursor" required:"true" nullable:"true"`
}

type auditQuery struct {
	UserID string     `query:"user_id"`
	Action string     `query:"action" description:"One of those that lines have; another is refused"`
	Since  *time.Time `query:"since" description:"RFC 3339"`
	Until  *time.Time `query:"until" description:"RFC 3339; lines before it"`
	Limit  int        `query:"limit" minimum:"1" maximum:"200" default:"50"`
	Cursor string     `query:"cursor" description:"next_cursor of the page before"`
}

func auditFilter(q url.Values) (f stepup.AuditFilter, err error) {
	if err = onlyQuery(q, "user_id", "action", "since", "until", "limit", "cursor"); err != nil {
		return f, err
	}
	if f.UserID, f.Before = q.Get("user_id"), q.Get("cursor"); f.Before == "" && q.Has("cursor") {
		return f, stepup.CursorUnknown()
	}
	if q.Has("action") {
		a, err := stepup.ParseAction(q.Get("action"))
		if err != nil {
			return f, err
		}
		f.Actions = []stepup.Action{a}
	}
	if f.Since, err = timeOf(q, "since"); err != nil {
		return f, err
	}
	if f.Until, err = timeOf(q, "until"); err != nil {
		return f, err
	}
	f.Limit, err = limitOf(q)
	return f, err
}

func (s *Server) listAudit(c *gin.Context, app *consent.Application) {
	f, err := auditFilter(c.Request.URL.Query())
	if err != nil {
		s.fail(c, err)
		return
	}
	limit := f.Limit
	f.Limit++ // one more tells whether there is another page
	lines, err := s.reauth.AuditTrail(c.Request.Context(), app.ID, f)
	if err != nil {
		s.fail(c, err)
		return
	}
	out := AuditPage{Audit: []AuditLine{}}
	for i := range lines {
		if i == limit {
			out.NextCursor = &lines[i-1].ID
			break
		}
		out.Audit = append(out.Audit, auditLineOf(&lines[i]))
	}
	s.reply(c, http.StatusOK, out)
}

func auditLineOf(a *stepup.Audit) AuditLine {
	return AuditLine{
		ID: a.ID, At: a.At, Action: string(a.Action), Reason: a.Reason, UserID: a.UserID, SessionID: a.SessionID, DeviceID: a.DeviceID,
		IPPrefix: a.IPPrefix, Factor: string(a.Factor), Level: a.Level, Operation: a.Operation, Subject: a.Subject,
	}
}

// keySetMedia is the media type of a KeySet (RFC 7517, section 8.5.2).
const keySetMedia = "application/jwk-set+json"

// KeySet is a JWK set (RFC 7517, section 5).
type KeySet struct {
	Keys []map[string]any `json:"keys" required:"true" description:"Public keys: kty, crv, kid, alg, use and the coordinates"`
}

// jwks publishes the keys that verify proofs.
func (s *Server) jwks(c *gin.Context) {
	body, age, err := s.reauth.JWKS(c.Request.Context())
	if err != nil {
		s.fail(c, err)
		return
	}
	c.Header("Cache-Control", fmt.Sprintf("public, max-age=%d", int(age.Seconds())))
	c.Data(http.StatusOK, keySetMedia, body)
}
