package api

import (
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/stepup"
)

// Codes of this package, beside those of package consent.
const (
	codeUnauthorized     consent.Code = "unauthorized"
	codeNotFound         consent.Code = "not_found"
	codeMethodNotAllowed consent.Code = "method_not_allowed"
	codePayloadTooLarge  consent.Code = "payload_too_large"
	codeUnsupportedMedia consent.Code = "unsupported_media_type"
	codeInternal         consent.Code = "internal_error"
)

// answers is the one place where a code becomes a status and a title.
var answers = map[consent.Code]struct {
	status int
	title  string
}{
	codeUnauthorized:     {http.StatusUnauthorized, "API key missing or wrong"},
	codeNotFound:         {http.StatusNotFound, "No such resource"},
	codeMethodNotAllowed: {http.StatusMethodNotAllowed, "Method not allowed"},
	codePayloadTooLarge:  {http.StatusRequestEntityTooLarge, "Request body too large"},
	codeUnsupportedMedia: {http.StatusUnsupportedMediaType, "Request body is not JSON"},
	codeInternal:         {http.StatusInternalServerError, "Something went wrong on our side"},

	consent.CodeInvalidRequest:       {http.StatusBadRequest, "Invalid request"},
	consent.CodeConsentNotFound:      {http.StatusNotFound, "Consent not found"},
	consent.CodeAttemptNotFound:      {http.StatusNotFound, "Attempt not found"},
	consent.CodeUserNotFound:         {http.StatusNotFound, "User not found"},
	consent.CodeProviderUnknown:      {http.StatusBadRequest, "Provider not configured"},
	consent.CodeCredentialsAmbiguous: {http.StatusConflict, "Several consents match"},
	consent.CodeCredentialsMismatch:  {http.StatusConflict, "Another bank login came back"},
	consent.CodeRedirectURIMismatch:  {http.StatusBadRequest, "redirect_uri differs from the original"},
	consent.CodeRedirectURINotAllow:  {http.StatusBadRequest, "redirect_uri not allowed"},
	consent.CodeReturnToNotAllowed:   {http.StatusBadRequest, "return_to not allowed"},
	consent.CodeConsentUnrenewable:   {http.StatusGone, "Consent can no longer be renewed"},
	consent.CodeConsentRevoked:       {http.StatusConflict, "Consent revoked"},
	consent.CodeConsentPending:       {http.StatusConflict, "Consent not confirmed yet"},
	consent.CodeConsentExists:        {http.StatusConflict, "Consent registered already"},
	consent.CodeAuthInputsRequired:   {http.StatusUnprocessableEntity, "The bank needs more"},
	consent.CodeUserDetailsRequired:  {http.StatusUnprocessableEntity, "The person has to be named"},
	consent.CodeReauthRequired:       {http.StatusConflict, "The person has to authorise again"},
	consent.CodeTokenMissing:         {http.StatusConflict, "No refresh token held"},
	consent.CodeCustodyOurs:          {http.StatusConflict, "Token is in our custody"},
	consent.CodeAttemptExpired:       {http.StatusGone, "Attempt expired"},
	consent.CodeAttemptInProgress:    {http.StatusConflict, "Still in progress"},
	consent.CodeAttemptInterrupted:   {http.StatusConflict, "Attempt interrupted"},
	consent.CodeIdentityUnproven:     {http.StatusConflict, "Identity not proven"},
	consent.CodeStateUnknown:         {http.StatusBadRequest, "State unknown"},
	consent.CodeStateAmbiguous:       {http.StatusConflict, "State not unique"},
	consent.CodeCodeRefused:          {http.StatusBadRequest, "Code refused"},
	consent.CodeResultInvalid:        {http.StatusForbidden, "Result not valid"},
	consent.CodeLinkUnknown:          {http.StatusNotFound, "Link unknown"},
	consent.CodeProviderUnavailable:  {http.StatusServiceUnavailable, "Provider unavailable"},
	consent.CodeProviderMisconfig:    {http.StatusUnprocessableEntity, "Provider settings refused"},
	consent.CodeProviderUnsupported:  {http.StatusUnprocessableEntity, "Not supported by the provider"},
	consent.CodeRateLimited:          {http.StatusTooManyRequests, "Too many requests"},
	consent.CodeWebhookNotFound:      {http.StatusNotFound, "Webhook endpoint not found"},
	consent.CodeWebhookLimit:         {http.StatusConflict, "Too many webhook endpoints"},
	consent.CodeDeliveryNotFound:     {http.StatusNotFound, "Delivery not found"},
	consent.CodeWebhookUnknown:       {http.StatusNotFound, "Nobody receives webhooks here"},
	consent.CodeWebhookUnverified:    {http.StatusUnauthorized, "Webhook not verified"},

	stepup.CodeTokenMissing:           {http.StatusUnauthorized, "User token missing"},
	stepup.CodeTokenInvalid:           {http.StatusUnauthorized, "User token not taken"},
	stepup.CodeApplicationUnknown:     {http.StatusUnauthorized, "Application not clear"},
	stepup.CodeSessionMissing:         {http.StatusUnauthorized, "User token names no session"},
	stepup.CodeUserUnknown:            {http.StatusUnauthorized, "User unknown"},
	stepup.CodeIdentityUnavailable:    {http.StatusServiceUnavailable, "Identity provider unavailable"},
	reauth.CodeLevelInvalid:           {http.StatusBadRequest, "No such level"},
	stepup.CodeOperationUnknown:       {http.StatusBadRequest, "Operation has no level"},
	reauth.CodeReverificationRequired: {http.StatusForbidden, "Prove again who you are"},
	stepup.CodeReverificationNotFound: {http.StatusNotFound, "Reverification not found"},
	stepup.CodeReverificationEnded:    {http.StatusGone, "Reverification over"},
	stepup.CodeStrategyUnavailable:    {http.StatusUnprocessableEntity, "Strategy does not help here"},
	stepup.CodeNoFactorAvailable:      {http.StatusUnprocessableEntity, "Nothing to prove it with"},
	stepup.CodeNotPrepared:            {http.StatusUnprocessableEntity, "Nothing was prepared"},
	stepup.CodeFactorIncorrect:        {http.StatusUnprocessableEntity, "Wrong answer"},
	stepup.CodeCodeExpired:            {http.StatusUnprocessableEntity, "Code no longer good"},
	stepup.CodeLocked:                 {http.StatusTooManyRequests, "Too many wrong answers"},
	stepup.CodeSendLimited:            {http.StatusTooManyRequests, "Too many codes"},
	stepup.CodeAddressMissing:         {http.StatusUnprocessableEntity, "No address to send to"},
	stepup.CodeIdentityMismatch:       {http.StatusForbidden, "Another user signed in"},
	stepup.CodeIdentityNotFresh:       {http.StatusForbidden, "Not signed in again"},
	stepup.CodeIdentityDenied:         {http.StatusForbidden, "Sign-in denied"},
	stepup.CodeProofInvalid:           {http.StatusForbidden, "Proof not taken"},
	stepup.CodeProofUsed:              {http.StatusConflict, "Used already"},
	stepup.CodeProofMismatch:          {http.StatusForbidden, "Proof is for something else"},
	stepup.CodeFactorNotFound:         {http.StatusNotFound, "Factor not found"},
	stepup.CodeFactorLimit:            {http.StatusConflict, "Factor cannot be added"},
}

// Problem is an error as RFC 9457 writes it, with what its code adds.
type Problem struct {
	Type      string  `json:"type" required:"true" description:"Address of the code's documentation, relative to this service"`
	Title     string  `json:"title" required:"true" description:"Short and the same for every occurrence of the code"`
	Status    int     `json:"status" required:"true" description:"HTTP status"`
	Detail    string  `json:"detail" required:"true" description:"What was wrong here, and what to do"`
	Code      string  `json:"code" required:"true" description:"Stable error code"`
	Field     string  `json:"field,omitempty" description:"Request field at fault"`
	ConsentID string  `json:"consent_id,omitempty" description:"The consent that it is about"`
	AttemptID string  `json:"attempt_id,omitempty" description:"The attempt that it is about, or that authuri belongs to"`
	AuthURI   string  `json:"authuri,omitempty" description:"A first link that helps: send the person there"`
	Inputs    []Input `json:"inputs,omitempty" description:"What the bank needs, for auth_inputs"`
	// Message and ErrorCode repeat Detail and Code, for clients of other systems
	// that users' pages bring.
	Message      string `json:"message,omitempty" description:"The same as detail, on calls of users"`
	ErrorCode    string `json:"error_code,omitempty" description:"The same as code, on calls of users"`
	AttemptsLeft *int   `json:"attempts_left,omitempty" description:"How often the person may answer again"`
}

// Input is one extra field that a bank needs.
type Input struct {
	Name   string `json:"name" required:"true" description:"Key in auth_inputs"`
	Label  string `json:"label" required:"true" description:"Name of the field for people, in English"`
	Source string `json:"source" required:"true" description:"Where the fact was published"`
}

// fail answers with err. What is no *consent.Error is a fault of ours: the
// caller gets a fixed sentence, the log gets the cause.
func (s *Server) fail(c *gin.Context, err error) {
	if short, ok := shortOf(err); ok {
		s.challenge(c, short.Challenge, short.Needed)
		return
	}
	e, ok := errors.AsType[*consent.Error](err)
	if !ok {
		if c.Request.Context().Err() != nil {
			c.Abort() // the caller has gone
			return
		}
		s.log.Error("request failed", "route", c.FullPath(), "method", c.Request.Method, "error", err)
		e = &consent.Error{Code: codeInternal, Detail: "The request could not be carried out. Nothing was lost; try again."}
	} else if e.Err != nil {
		s.log.Log(c.Request.Context(), slog.LevelInfo, "request refused", "route", c.FullPath(), "code", e.Code, "error", e.Err)
	}
	answer, ok := answers[e.Code]
	if !ok {
		s.log.Error("error code without an answer", "code", e.Code)
		answer = answers[codeInternal]
	}
	p := Problem{
		Type: "/docs#" + string(e.Code), Title: answer.title, Status: answer.status, Detail: e.Detail, Code: string(e.Code),
		Field: e.Field, ConsentID: e.ConsentID, AttemptID: e.AttemptID, AuthURI: e.AuthURI,
	}
	for _, in := range e.Inputs {
		p.Inputs = append(p.Inputs, Input(in))
	}
	s.retryAfter(c, e)
	if e.Code == stepup.CodeFactorIncorrect {
		p.AttemptsLeft = &e.AttemptsLeft
	}
	if forUsers(c.Request.URL.Path) {
		p.Message, p.ErrorCode = p.Detail, p.Code
		if answer.status == http.StatusUnauthorized {
			c.Header("WWW-Authenticate", bearer(e.Code))
		}
	}
	if inCloudBase(c.Request.URL.Path) {
		s.cloudBaseFault(c, answer.status, e)
		return
	}
	s.problem(c, answer.status, p)
}

// bearer is the WWW-Authenticate of a 401 of a user (RFC 6750, 3): whoever
// brought no token is told of no error.
func bearer(code consent.Code) string {
	if code == stepup.CodeTokenMissing {
		return `Bearer realm="reconsent"`
	}
	return `Bearer error="invalid_token"`
}

// problem writes a problem document.
func (s *Server) problem(c *gin.Context, status int, p any) {
	c.Header("Content-Type", "application/problem+json")
	c.AbortWithStatusJSON(status, p)
}

// defaultRetry is in seconds, for where the provider did not say.
const defaultRetry = 30

// retryAfter says in whole seconds when to try again, never too early.
func (s *Server) retryAfter(c *gin.Context, e *consent.Error) {
	switch e.Code {
	case consent.CodeProviderUnavailable, consent.CodeRateLimited, consent.CodeAttemptInProgress,
		stepup.CodeLocked, stepup.CodeSendLimited, stepup.CodeIdentityUnavailable:
	default:
		return
	}
	seconds := defaultRetry
	if !e.RetryAt.IsZero() {
		seconds = max(1, int(math.Ceil(e.RetryAt.Sub(s.now()).Seconds())))
	}
	c.Header("Retry-After", strconv.Itoa(seconds))
}

func invalidRequest(field, detail string) *consent.Error {
	return &consent.Error{Code: consent.CodeInvalidRequest, Field: field, Detail: detail}
}

func missing(field string) *consent.Error { return invalidRequest(field, field+" is missing.") }

// timestamp writes a moment for JSON; an unknown one is null.
func timestamp(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// Refusal is a 403 of a call that may ask for more: the challenge, or a problem
// without one.
type Refusal struct {
	Type   string `json:"type" required:"true"`
	Title  string `json:"title" required:"true"`
	Status int    `json:"status" required:"true"`
	Detail string `json:"detail" required:"true"`
	Code   string `json:"code" required:"true"`

	Message    string             `json:"message,omitempty"`
	ErrorCode  string             `json:"error_code,omitempty"`
	ClerkError *reauth.ClerkError `json:"clerk_error,omitempty"`
	Required   *reauth.Required   `json:"required,omitempty"`
	Factors    []reauth.Usable    `json:"factors,omitzero" nullable:"false"`
	Start      string             `json:"start,omitempty"`
}
