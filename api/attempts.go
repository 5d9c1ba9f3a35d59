package api

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/reconsent/reconsent/connector"
	"github.com/reconsent/reconsent/consent"
)

// LinkRequest asks for a first link.
type LinkRequest struct {
	Provider    string            `json:"provider" required:"true"`
	ProviderID  string            `json:"provider_id,omitempty" description:"The bank; left out, the person chooses in the provider's dialog"`
	UserID      string            `json:"user_id" required:"true"`
	RedirectURI string            `json:"redirect_uri,omitempty" description:"The application's own callback; left out, the browser returns to us (hosted)"`
	ReturnTo    string            `json:"return_to,omitempty" description:"Where a hosted callback goes on to"`
	State       *string           `json:"state,omitempty" description:"Returned byte for byte; at most 4096 bytes"`
	Scope       string            `json:"scope,omitempty" description:"Separated by spaces; left out, the adapter's default"`
	AuthInputs  map[string]string `json:"auth_inputs,omitempty" description:"Extra fields that some banks need"`
}

// LinkStarted is a first link under way.
type LinkStarted struct {
	AttemptID string    `json:"attempt_id" required:"true"`
	URI       string    `json:"uri" required:"true" description:"Send the person there"`
	ExpiresAt time.Time `json:"expires_at" required:"true" description:"The attempt's end"`
}

func (s *Server) startLink(c *gin.Context, app *consent.Application) {
	var req LinkRequest
	if err := decode(c, &req, false); err != nil {
		s.fail(c, err)
		return
	}
	state, err := stateOf(req.State)
	if err == nil {
		err = texts(short("provider", req.Provider), short("provider_id", req.ProviderID), short("user_id", req.UserID),
			long("redirect_uri", req.RedirectURI), long("return_to", req.ReturnTo), long("scope", req.Scope))
	}
	if err == nil && req.Provider == "" {
		err = invalidRequest("provider", "provider is missing.")
	}
	if err == nil {
		err = checkInputs(req.AuthInputs)
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	started, err := s.connector.StartLink(c.Request.Context(), app, connector.LinkRequest{
		Provider: req.Provider, ProviderID: req.ProviderID, UserID: req.UserID,
		RedirectURI: req.RedirectURI, ReturnTo: req.ReturnTo, State: state, Scopes: scopesOf(req.Scope), Inputs: req.AuthInputs,
	})
	if err != nil {
		s.fail(c, err)
		return
	}
	s.reply(c, http.StatusCreated, LinkStarted{AttemptID: started.Attempt.ID, URI: started.URI, ExpiresAt: started.Attempt.ExpiresAt})
}

// ReauthRequest asks for a renewal. TrueLayer's own body (response_type,
// refresh_token, redirect_uri, state) is one form of it.
type ReauthRequest struct {
	ConsentID     string            `json:"consent_id,omitempty"`
	CredentialsID string            `json:"credentials_id,omitempty"`
	Provider      string            `json:"provider,omitempty" description:"Narrows credentials_id"`
	UserID        string            `json:"user_id,omitempty" description:"Narrows credentials_id"`
	RefreshToken  string            `json:"refresh_token,omitempty" description:"Any refresh token that the consent ever had"`
	ResponseType  string            `json:"response_type,omitempty" enum:"code" description:"As TrueLayer has it"`
	RedirectURI   string            `json:"redirect_uri,omitempty" description:"The one of the original link, byte for byte; may be left out"`
	ReturnTo      string            `json:"return_to,omitempty"`
	State         *string           `json:"state,omitempty" description:"Returned byte for byte; at most 4096 bytes"`
	AuthInputs    map[string]string `json:"auth_inputs,omitempty"`
}

// ReauthStarted is a renewal under way. success and result are TrueLayer's.
type ReauthStarted struct {
	Success       bool      `json:"success" required:"true"`
	Result        string    `json:"result" required:"true" description:"Direct link to the bank; send the person there"`
	AttemptID     string    `json:"attempt_id" required:"true"`
	ConsentID     string    `json:"consent_id" required:"true"`
	CredentialsID string    `json:"credentials_id" required:"true"`
	ExpiresAt     time.Time `json:"expires_at" required:"true" description:"The attempt's end"`
}

func (s *Server) reauthorize(c *gin.Context, app *consent.Application) {
	var req ReauthRequest
	if err := decode(c, &req, false); err != nil {
		s.fail(c, err)
		return
	}
	state, err := stateOf(req.State)
	if err == nil {
		err = texts(short("consent_id", req.ConsentID), long("credentials_id", req.CredentialsID), short("provider", req.Provider),
			short("user_id", req.UserID), long("refresh_token", req.RefreshToken), long("redirect_uri", req.RedirectURI), long("return_to", req.ReturnTo))
	}
	if err == nil && req.ResponseType != "" && req.ResponseType != "code" {
		err = invalidRequest("response_type", `response_type can only be "code".`)
	}
	if err == nil {
		err = checkInputs(req.AuthInputs)
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	started, err := s.connector.Reauthorize(c.Request.Context(), app, connector.ReauthRequest{
		ConsentID: req.ConsentID, CredentialsID: req.CredentialsID, Provider: req.Provider, UserID: req.UserID,
		RefreshToken: req.RefreshToken, RedirectURI: req.RedirectURI, ReturnTo: req.ReturnTo, State: state, Inputs: req.AuthInputs,
	})
	if err != nil {
		s.fail(c, err)
		return
	}
	s.reply(c, http.StatusOK, ReauthStarted{
		Success: true, Result: started.URI, AttemptID: started.Attempt.ID, ConsentID: started.Consent.ID,
		CredentialsID: started.Consent.CredentialsID, ExpiresAt: started.Attempt.ExpiresAt,
	})
}

// CallbackRequest forwards what an application's own callback received.
type CallbackRequest struct {
	AttemptID        string  `json:"attempt_id,omitempty"`
	State            *string `json:"state,omitempty" description:"Finds the attempt where attempt_id is left out"`
	Code             string  `json:"code,omitempty"`
	ExchangeCode     string  `json:"exchange_code,omitempty" description:"In the place of code"`
	Error            string  `json:"error,omitempty" description:"What came back in the place of a code"`
	ErrorDescription string  `json:"error_description,omitempty"`
}

// CallbackResult is how an attempt ended.
type CallbackResult struct {
	Status    string   `json:"status" required:"true" enum:"linked,renewed,denied,failed"`
	AttemptID string   `json:"attempt_id" required:"true"`
	Reason    string   `json:"reason,omitempty" description:"Of a denial or failure, the bank's own code"`
	Consent   *Consent `json:"consent,omitempty"`
}

func (s *Server) callback(c *gin.Context, app *consent.Application) {
	var req CallbackRequest
	if err := decode(c, &req, false); err != nil {
		s.fail(c, err)
		return
	}
	state, err := stateOf(req.State)
	if err == nil {
		err = texts(short("attempt_id", req.AttemptID), long("code", req.Code), long("exchange_code", req.ExchangeCode),
			short("error", req.Error), long("error_description", req.ErrorDescription))
	}
	if err == nil && req.Code != "" && req.ExchangeCode != "" {
		err = invalidRequest("exchange_code", "Send code or exchange_code, not both.")
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	out, err := s.connector.CompleteForwarded(c.Request.Context(), app, connector.Forwarded{AttemptID: req.AttemptID, State: state},
		connector.Return{Code: req.Code + req.ExchangeCode, Error: req.Error})
	if err == nil {
		err = out.Err()
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	s.reply(c, http.StatusOK, s.result(out))
}

// ConfirmRequest vouches for a hosted first link.
type ConfirmRequest struct {
	Result string `json:"result" required:"true" description:"The one-time value that return_to received"`
}

func (s *Server) confirm(c *gin.Context, app *consent.Application) {
	var req ConfirmRequest
	err := decode(c, &req, false)
	if err == nil {
		err = texts(short("result", req.Result))
	}
	if err == nil && req.Result == "" {
		err = invalidRequest("result", "result is missing.")
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	out, err := s.connector.Confirm(c.Request.Context(), app, c.Param("id"), req.Result)
	if err == nil {
		err = out.Err()
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	s.reply(c, http.StatusOK, s.result(out))
}

func (s *Server) getAttempt(c *gin.Context, app *consent.Application) {
	a, err := s.connector.Attempt(c.Request.Context(), app, c.Param("id"))
	if err != nil {
		s.fail(c, err)
		return
	}
	s.reply(c, http.StatusOK, s.attempt(a))
}

func (s *Server) result(out connector.Outcome) CallbackResult {
	r := CallbackResult{Status: publicStatus(out.Attempt.Status), AttemptID: out.Attempt.ID}
	if out.Consent != nil {
		r.Consent = s.consent(out.Consent)
	}
	if r.Status == "denied" || r.Status == "failed" {
		r.Reason = out.Attempt.Reason
	}
	return r
}

// publicStatus folds an attempt's status into the words that return_to and
// backends know.
func publicStatus(st consent.AttemptStatus) string {
	switch st {
	case consent.AttemptLinked, consent.AttemptPending:
		return "linked"
	case consent.AttemptRenewed, consent.AttemptDenied, consent.AttemptMismatched:
		return string(st)
	default:
		return "failed"
	}
}

const maxInputs = 20

func checkInputs(inputs map[string]string) error {
	if len(inputs) > maxInputs {
		return invalidRequest("auth_inputs", "auth_inputs holds more fields than any bank asks for.")
	}
	for name, value := range inputs {
		if err := texts(short("auth_inputs", name), short("auth_inputs."+name, value)); err != nil {
			return err
		}
	}
	return nil
}
