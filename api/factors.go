package api

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/reconsent/reconsent/reauth/stepup"
)

// proofHeader carries a proof, beside the user's token.
const proofHeader = "Reverification-Proof"

// proofIn is the one proof of a request. Of two it is neither, as with
// Authorization, and as the guards of backends do: who reads the first and who
// reads the last would not mean the same.
func proofIn(c *gin.Context) string {
	if values := c.Request.Header.Values(proofHeader); len(values) == 1 {
		return values[0]
	}
	return ""
}

// Factor is what a user has enrolled.
type Factor struct {
	ID         string     `json:"id" required:"true"`
	Type       string     `json:"type" required:"true" description:"totp, passkey, phone or backup_codes"`
	Status     string     `json:"status" required:"true" description:"verified, or unverified until its first verified use"`
	Label      string     `json:"label,omitempty"`
	Phone      string     `json:"phone,omitempty" description:"Masked"`
	Left       *int       `json:"left,omitempty" description:"Backup codes that are unused"`
	CreatedAt  time.Time  `json:"created_at" required:"true"`
	LastUsedAt *time.Time `json:"last_used_at,omitempty"`
}

// FactorList is a user's factors, oldest first.
type FactorList struct {
	Factors []Factor `json:"factors" required:"true" nullable:"false"`
}

func factorOf(f *stepup.EnrolledFactor) Factor {
	out := Factor{ID: f.ID, Type: string(f.Kind), Status: "unverified", Label: f.Label, CreatedAt: second(f.CreatedAt)}
	if !f.VerifiedAt.IsZero() {
		out.Status = "verified"
	}
	if f.Address != "" {
		out.Phone = stepup.MaskPhone(f.Address)
	}
	if f.Kind == stepup.KindBackupCodes {
		out.Left = &f.Left
	}
	if !f.UsedAt.IsZero() {
		at := second(f.UsedAt)
		out.LastUsedAt = &at
	}
	return out
}

func (s *Server) listFactors(c *gin.Context, caller *stepup.Caller) {
	list, err := s.reauth.ListFactors(c.Request.Context(), caller)
	if err != nil {
		s.fail(c, err)
		return
	}
	out := FactorList{Factors: []Factor{}}
	for i := range list {
		out.Factors = append(out.Factors, factorOf(&list[i]))
	}
	s.reply(c, http.StatusOK, out)
}

// EnrolRequest begins a factor.
type EnrolRequest struct {
	Label string `json:"label,omitempty" maxLength:"100" description:"For the person to know it by"`
	Phone string `json:"phone,omitempty" description:"phone: E.164; the contact number where it is left out"`
}

// Enrolled is a factor that was begun, with what is shown once.
type Enrolled struct {
	Factor
	Secret  string           `json:"secret,omitempty" description:"totp: base32, for typing"`
	URI     string           `json:"uri,omitempty" description:"totp: otpauth address"`
	QRPNG   []byte           `json:"qr_png,omitempty" description:"totp: QR code of uri, PNG in base64"`
	QRSVG   string           `json:"qr_svg,omitempty" description:"totp: the same as SVG"`
	Options *json.RawMessage `json:"options,omitempty" description:"passkey: for navigator.credentials.create (WebAuthn 5.4)"`
	Codes   []string         `json:"codes,omitempty" description:"backup_codes: each is good once"`
	SentTo  string           `json:"sent_to,omitempty" description:"phone: the masked number that a code went to"`
}

func (s *Server) enrolFactor(c *gin.Context, caller *stepup.Caller) {
	var req EnrolRequest
	if err := decode(c, &req, true); err != nil {
		s.fail(c, err)
		return
	}
	e, err := s.reauth.Enrol(c.Request.Context(), caller, stepup.FactorKind(c.Param("id")), req.Label, req.Phone, proofIn(c))
	if err != nil {
		s.fail(c, err)
		return
	}
	out := Enrolled{Factor: factorOf(&e.Factor), Secret: e.Secret, URI: e.URI, QRPNG: e.PNG, QRSVG: string(e.SVG), Codes: e.Codes, SentTo: e.SentTo}
	if e.Options != nil {
		out.Options = &e.Options
	}
	s.reply(c, http.StatusCreated, out)
}

func (s *Server) verifyFactor(c *gin.Context, caller *stepup.Caller) {
	proof, err := decodeAttempt(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	f, err := s.reauth.VerifyFactor(c.Request.Context(), caller, c.Param("id"), proof)
	if err != nil {
		s.fail(c, err)
		return
	}
	s.reply(c, http.StatusOK, factorOf(&f))
}

// RemovedFactor says that a factor no longer counts. It is a body because clients
// of other systems take an empty answer for a failure.
type RemovedFactor struct {
	ID      string `json:"id" required:"true"`
	Removed bool   `json:"removed" required:"true"`
}

func (s *Server) removeFactor(c *gin.Context, caller *stepup.Caller) {
	id := c.Param("id")
	if err := s.reauth.RemoveFactor(c.Request.Context(), caller, id, proofIn(c)); err != nil {
		s.fail(c, err)
		return
	}
	s.reply(c, http.StatusOK, RemovedFactor{ID: id, Removed: true})
}
