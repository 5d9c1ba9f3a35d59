package api

import (
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/stepup"
)

// cloudBase is where that vendor's client calls (reauth-wire.md 4).
const cloudBase = "/auth/v1/"

// cloudBaseGet is Supabase's call, which stands below the same path: its
// clients read problem documents.
const cloudBaseGet = cloudBase + "reauthenticate"

func inCloudBase(path string) bool {
	return strings.HasPrefix(path+"/", cloudBase) && path != cloudBaseGet
}

// Fault is an error as CloudBase's client reads it.
type Fault struct {
	Error            string `json:"error" required:"true" description:"A word that the client knows, like invalid_argument"`
	ErrorCode        int    `json:"error_code" required:"true"`
	ErrorDescription string `json:"error_description" required:"true" description:"What was wrong, and what to do"`
}

// A kind of fault, in the words and numbers of gRPC, which the vendor follows
// but for wrong arguments.
type fault struct {
	name string
	code int
}

var (
	faultArgument     = fault{"invalid_argument", 3}
	faultVerifyOpt    = fault{"invalid_argument", 4001}
	faultPassword     = fault{"invalid_password", 4001}
	faultCode         = fault{"invalid_verification_code", 3}
	faultPermission   = fault{"permission_denied", 7}
	faultExhausted    = fault{"resource_exhausted", 8}
	faultPrecondition = fault{"failed_precondition", 9}
	faultNotFound     = fault{"not_found", 5}
	faultUnsupported  = fault{"unimplemented", 12}
	faultInternal     = fault{"internal", 13}
	faultUnavailable  = fault{"unavailable", 14}
	// faultUnauthenticated signs the client out, whatever the status is: it is for a
	// dead token, and for nothing else.
	faultUnauthenticated = fault{"unauthenticated", 16}
)

// faults are the kinds of what this part of the API answers.
var faults = map[consent.Code]fault{
	stepup.CodeTokenMissing:   faultUnauthenticated,
	stepup.CodeTokenInvalid:   faultUnauthenticated,
	stepup.CodeSessionMissing: faultUnauthenticated,
	// The token lives, and whoever signs in again is the same user: to be signed out
	// helps nobody. The vendor's client takes this name for an unknown user.
	stepup.CodeUserUnknown:         faultNotFound,
	stepup.CodeApplicationUnknown:  faultArgument, // the token may live
	stepup.CodeIdentityUnavailable: faultUnavailable,
	stepup.CodeProofInvalid:        faultPermission,
	stepup.CodeProofUsed:           faultPermission,
	stepup.CodeProofMismatch:       faultPermission,
	stepup.CodeFactorIncorrect:     faultCode,
	stepup.CodeCodeExpired:         faultCode,
	stepup.CodeLocked:              faultExhausted,
	stepup.CodeSendLimited:         faultExhausted,
	consent.CodeRateLimited:        faultExhausted,
	stepup.CodeAddressMissing:      faultPrecondition,
	codeNotFound:                   faultNotFound,
	codeMethodNotAllowed:           faultUnsupported,
	codeInternal:                   faultInternal,
}

// cloudBaseFault writes an error of this part of the API.
func (s *Server) cloudBaseFault(c *gin.Context, status int, e *consent.Error) {
	f, ok := faults[e.Code]
	if !ok {
		f = faultArgument
	}
	if e.Code == consent.CodeInvalidRequest && e.Field == "verify_opt" {
		f = faultVerifyOpt
	}
	if e.Code == stepup.CodeFactorIncorrect && e.Field == "password" {
		f = faultPassword
	}
	c.AbortWithStatusJSON(status, Fault{Error: f.name, ErrorCode: f.code, ErrorDescription: e.Detail})
}

// SendRequest asks for a code to the caller's own address.
type SendRequest struct {
	VerifyOpt string `json:"verify_opt" required:"true" enum:"email_code,phone_code"`
}

// Nothing is success without anything to say: the client takes an empty body
// for a failure.
type Nothing struct{}

// sendReauthentication judges verify_opt before any limit.
func (s *Server) sendReauthentication(c *gin.Context, caller *stepup.Caller) {
	var req SendRequest
	err := decodeLoosely(c, &req)
	f := reauth.Factor(req.VerifyOpt)
	if err == nil && f != reauth.EmailCode && f != reauth.PhoneCode {
		err = invalidRequest("verify_opt", "Invalid verification method, please use phone_code or email_code")
	}
	if err == nil {
		_, err = s.reauth.SendReauthentication(c.Request.Context(), caller, f, stepup.ChainResendAfter)
	}
	s.cloudBaseReply(c, Nothing{}, err)
}

func (s *Server) cloudBaseReply(c *gin.Context, body any, err error) {
	if err != nil {
		s.fail(c, err)
		return
	}
	s.reply(c, http.StatusOK, body)
}

// VerificationRequest asks for a code to an address.
type VerificationRequest struct {
	Email       string `json:"email,omitempty"`
	PhoneNumber string `json:"phone_number,omitempty" description:"E.164, with or without a space after the country's code"`
	Target      string `json:"target,omitempty" description:"ANY, USER or CUR_USER: a code goes to the caller's own addresses only"`
	Usage       string `json:"usage,omitempty"`
}

// VerificationSent says that a code is on its way, if the address is the caller's.
type VerificationSent struct {
	VerificationID string `json:"verification_id" required:"true" description:"Whoever has it may answer"`
	ExpiresIn      int    `json:"expires_in" required:"true" description:"Seconds"`
}

func (s *Server) sendVerification(c *gin.Context, caller *stepup.Caller) {
	var req VerificationRequest
	err := decodeLoosely(c, &req)
	f, address := reauth.EmailCode, req.Email
	if req.PhoneNumber != "" {
		f, address = reauth.PhoneCode, req.PhoneNumber
	}
	switch {
	case err != nil:
	case (req.Email == "") == (req.PhoneNumber == ""):
		err = invalidRequest("email", "Give one of email and phone_number.")
	default:
		err = texts(field{"email", address, 320}, short("target", req.Target), short("usage", req.Usage))
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	made, err := s.reauth.SendVerification(c.Request.Context(), caller, f, address)
	s.cloudBaseReply(c, VerificationSent{VerificationID: made.ID, ExpiresIn: int(made.ExpiresAt.Sub(made.CreatedAt).Seconds())}, err)
}

// VerificationAnswer is a code with the id that it was sent under.
type VerificationAnswer struct {
	VerificationID   *string `json:"verification_id" required:"true" nullable:"false"`
	VerificationCode *string `json:"verification_code" required:"true" nullable:"false"`
}

// VerificationPassed leads to POST /auth/v1/user/sudo.
type VerificationPassed struct {
	VerificationToken string `json:"verification_token" required:"true"`
	ExpiresIn         int    `json:"expires_in" required:"true" description:"Seconds"`
}

// verify needs no token: the id is the capability.
func (s *Server) verify(c *gin.Context) {
	var req VerificationAnswer
	err := decodeLoosely(c, &req)
	id, code := text(req.VerificationID), text(req.VerificationCode)
	switch {
	case err != nil:
	case req.VerificationID == nil:
		err = missing("verification_id")
	case req.VerificationCode == nil:
		err = missing("verification_code")
	default:
		err = texts(short("verification_id", id), short("verification_code", code), short("x-device-id", c.GetHeader("X-Device-Id")))
	}
	s.originOfVerification(c, id)
	if err != nil {
		s.fail(c, err)
		return
	}
	v, err := s.reauth.VerifyCode(c.Request.Context(), id, code, c.GetHeader("X-Device-Id"), ipPrefix(c))
	s.cloudBaseReply(c, VerificationPassed{VerificationToken: v.Token, ExpiresIn: int(v.ExpiresIn.Seconds())}, err)
}

// SudoRequest proves once more: by one of both.
type SudoRequest struct {
	Password          string `json:"password,omitempty"`
	VerificationToken string `json:"verification_token,omitempty"`
}

// SudoPassed is used up by the backend, in POST /v1/proofs/verify.
type SudoPassed struct {
	SudoToken string `json:"sudo_token" required:"true"`
	ExpiresIn int    `json:"expires_in" required:"true" description:"Seconds"`
}

func (s *Server) sudo(c *gin.Context, caller *stepup.Caller) {
	var req SudoRequest
	err := decodeLoosely(c, &req)
	if err == nil && (req.Password == "") == (req.VerificationToken == "") {
		err = invalidRequest("password", "Give one of password and verification_token.")
	}
	if err == nil {
		err = texts(short("verification_token", req.VerificationToken), long("password", req.Password))
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	v, err := s.reauth.Sudo(c.Request.Context(), caller, req.Password, req.VerificationToken)
	s.cloudBaseReply(c, SudoPassed{SudoToken: v.Token, ExpiresIn: int(v.ExpiresIn.Seconds())}, err)
}
