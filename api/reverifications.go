package api

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/stepup"
)

// NewReverification is a user on the way to a level.
type NewReverification struct {
	Level        string          `json:"level,omitempty" description:"Name of a level, or first_factor, second_factor, multi_factor with after_minutes"`
	AfterMinutes *int            `json:"after_minutes,omitempty" minimum:"1" maximum:"99998" description:"With first_factor, second_factor and multi_factor"`
	Operation    string          `json:"operation,omitempty" maxLength:"100" description:"What is about to be done: the proof is bound to it"`
	Details      *reauth.Details `json:"details,omitempty" description:"What is paid: shown to the person, and the proof is bound to it"`
	UserID       string          `json:"user_id,omitempty" description:"With an API key only: whose it is"`
	SessionID    string          `json:"session_id,omitempty" description:"With an API key only: in which session"`
}

// Strategy is one way to prove a factor.
type Strategy struct {
	Strategy       string `json:"strategy" required:"true" description:"password, email_code, phone_code, passkey, idp; phone_code, totp, backup_code as second"`
	SafeIdentifier string `json:"safe_identifier,omitempty" description:"The masked address that a code goes to"`
}

// Reverification is how far a user has come.
type Reverification struct {
	ID            string           `json:"id" required:"true"`
	Status        string           `json:"status" required:"true" description:"needs_first_factor, needs_second_factor or complete"`
	Level         string           `json:"level" required:"true" description:"Name of the level; first_factor, second_factor or multi_factor for a custom one"`
	AfterMinutes  int              `json:"after_minutes,omitempty" description:"With a custom level"`
	Operation     string           `json:"operation,omitempty"`
	Details       *reauth.Details  `json:"details,omitempty" description:"Show them to the person"`
	FirstFactors  []Strategy       `json:"first_factors" required:"true" nullable:"false"`
	SecondFactors []Strategy       `json:"second_factors" required:"true" nullable:"false"`
	ExpiresAt     time.Time        `json:"expires_at" required:"true"`
	Proof         string           `json:"proof,omitempty" description:"Signed proof, once it is complete: send it in the header Reverification-Proof"`
	SentTo        string           `json:"sent_to,omitempty" description:"prepare: the masked address that a code goes to"`
	CodeExpiresAt *time.Time       `json:"code_expires_at,omitempty" description:"prepare: until when the answer is waited for"`
	Options       *json.RawMessage `json:"options,omitempty" description:"prepare of passkey: for navigator.credentials.get (WebAuthn 5.5)"`
	URL           string           `json:"url,omitempty" description:"prepare of idp: send the browser there"`
}

func reverificationOf(v stepup.View) Reverification {
	out := Reverification{
		ID: v.ID, Status: string(v.Status), Operation: v.Operation, Details: v.Details, ExpiresAt: second(v.ExpiresAt), Proof: v.Proof,
		FirstFactors: []Strategy{}, SecondFactors: []Strategy{},
	}
	out.Level, out.AfterMinutes = v.Level.Wire()
	for _, u := range v.Usable {
		x := Strategy{Strategy: string(u.Strategy), SafeIdentifier: u.Hint}
		if u.Role == reauth.First {
			out.FirstFactors = append(out.FirstFactors, x)
		} else {
			out.SecondFactors = append(out.SecondFactors, x)
		}
	}
	return out
}

// beginReverification is called by users, and by backends for them.
func (s *Server) beginReverification(c *gin.Context) {
	var app *consent.Application
	var caller *stepup.Caller
	var err error
	backend := bearsAPIKey(c)
	if backend {
		noOrigin(c) // an API key has no place in a browser
		app, err = s.application(c)
	} else {
		caller, err = s.caller(c)
	}
	var req NewReverification
	if err == nil {
		err = decode(c, &req, false)
	}
	switch {
	case err != nil:
	case backend:
		caller, err = s.reauth.OfBackend(c.Request.Context(), app.ID, req.UserID, req.SessionID, ipPrefix(c))
	case req.UserID != "" || req.SessionID != "":
		err = invalidRequest("user_id", "user_id and session_id come with an API key only: a user's token names both.")
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	v, err := s.reauth.Begin(c.Request.Context(), caller, stepup.Begin{
		Ask: stepup.Ask{Level: req.Level, AfterMinutes: req.AfterMinutes, Operation: req.Operation}, Details: req.Details,
	})
	if err != nil {
		s.fail(c, err)
		return
	}
	c.Header("Location", "/v1/reverifications/"+v.ID)
	s.reply(c, http.StatusCreated, reverificationOf(v))
}

func (s *Server) getReverification(c *gin.Context, caller *stepup.Caller) {
	v, err := s.reauth.Look(c.Request.Context(), caller, c.Param("id"))
	if err != nil {
		s.fail(c, err)
		return
	}
	s.reply(c, http.StatusOK, reverificationOf(v))
}

// PrepareRequest asks for a code or a challenge.
type PrepareRequest struct {
	Strategy string `json:"strategy" required:"true" description:"email_code, phone_code, passkey or idp; the others need nothing prepared"`
	ReturnTo string `json:"return_to,omitempty" description:"idp: where the browser goes on, from the application's list; empty for a page of ours"`
}

func (s *Server) prepareReverification(c *gin.Context, caller *stepup.Caller) {
	var req PrepareRequest
	err := decode(c, &req, false)
	if err == nil && req.Strategy == "" {
		err = missing("strategy")
	}
	if err == nil {
		err = texts(long("return_to", req.ReturnTo))
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	v, p, err := s.reauth.Prepare(c.Request.Context(), caller, c.Param("id"), reauth.Factor(req.Strategy), req.ReturnTo)
	if err != nil {
		s.fail(c, err)
		return
	}
	out := reverificationOf(v)
	out.SentTo, out.URL = p.SentTo, p.URL
	if !p.ExpiresAt.IsZero() {
		at := second(p.ExpiresAt)
		out.CodeExpiresAt = &at
	}
	if p.Options != nil {
		out.Options = &p.Options
	}
	s.reply(c, http.StatusOK, out)
}

// AttemptRequest is an answer.
type AttemptRequest struct {
	Strategy   string          `json:"strategy" required:"true" description:"The strategy that is answered"`
	Code       *string         `json:"code,omitempty" nullable:"false" description:"email_code, phone_code, totp, backup_code: as it was typed"`
	Password   *string         `json:"password,omitempty" nullable:"false"`
	Credential json.RawMessage `json:"credential,omitempty" description:"passkey: what navigator.credentials.get returned, by toJSON (WebAuthn 5.1.7)"`
}

// proof is the answer. One that is left out is no wrong answer, and takes no try;
// an empty one is.
func (a *AttemptRequest) proof() (stepup.Proof, error) {
	p := stepup.Proof{Strategy: reauth.Factor(a.Strategy), Credential: a.Credential}
	switch p.Strategy {
	case "":
		return p, missing("strategy")
	case reauth.Password:
		if a.Password == nil {
			return p, missing("password")
		}
	case reauth.EmailCode, reauth.PhoneCode, reauth.TOTP, reauth.BackupCode:
		if a.Code == nil {
			return p, missing("code")
		}
	case reauth.Passkey:
		if len(a.Credential) == 0 || string(a.Credential) == "null" {
			return p, missing("credential")
		}
	case reauth.IDP: // the browser brings the answer
	}
	p.Code, p.Password = text(a.Code), text(a.Password)
	return p, nil
}

func decodeAttempt(c *gin.Context) (stepup.Proof, error) {
	var req AttemptRequest
	if err := decode(c, &req, false); err != nil {
		return stepup.Proof{}, err
	}
	return req.proof()
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func (s *Server) attemptReverification(c *gin.Context, caller *stepup.Caller) {
	proof, err := decodeAttempt(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	v, err := s.reauth.Attempt(c.Request.Context(), caller, c.Param("id"), proof)
	if err != nil {
		s.fail(c, err)
		return
	}
	s.reply(c, http.StatusOK, reverificationOf(v))
}
