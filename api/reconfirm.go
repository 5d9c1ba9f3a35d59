package api

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/reconsent/reconsent/connector"
	"github.com/reconsent/reconsent/consent"
)

// ReconfirmRequest is a person's recorded act.
type ReconfirmRequest struct {
	Statement   string     `json:"statement" required:"true" description:"The exact words that the person was shown and confirmed"`
	ConfirmedBy string     `json:"confirmed_by,omitempty" description:"Who confirmed, as the application names them; left out, the consent's user"`
	ConfirmedAt *time.Time `json:"confirmed_at,omitempty" description:"At most a day ago; left out, now, or the moment of the same act within the last minute"`
	User        *Person    `json:"user,omitempty" description:"As the provider wants to see the person named; left out, what is known of the user"`
	RedirectURI string     `json:"redirect_uri,omitempty" description:"The one of the original link, byte for byte; may be left out"`
	ReturnTo    string     `json:"return_to,omitempty"`
	State       *string    `json:"state,omitempty" description:"Returned byte for byte where the person has to visit the bank; at most 4096 bytes"`
}

// Person names somebody.
type Person struct {
	Name  string `json:"name,omitempty"`
	Email string `json:"email,omitempty"`
}

// ReconfirmResult is how a reconfirmation led on.
type ReconfirmResult struct {
	Status         string     `json:"status" required:"true" enum:"renewed,authentication_needed" description:"renewed: nothing is left to do; authentication_needed: send the person to uri"`
	ConfirmationID string     `json:"confirmation_id" required:"true" description:"Of the recorded act"`
	Consent        *Consent   `json:"consent" required:"true"`
	URI            string     `json:"uri,omitempty" description:"Direct link to the bank"`
	AttemptID      string     `json:"attempt_id,omitempty"`
	ExpiresAt      *time.Time `json:"expires_at,omitempty" description:"The attempt's end"`
}

func (s *Server) reconfirm(c *gin.Context, app *consent.Application) {
	var req ReconfirmRequest
	err := decode(c, &req, false)
	var state []byte
	if err == nil {
		state, err = stateOf(req.State)
	}
	if req.User == nil {
		req.User = &Person{}
	}
	if err == nil {
		err = texts(long("statement", req.Statement), short("confirmed_by", req.ConfirmedBy), short("user.name", req.User.Name),
			short("user.email", req.User.Email), long("redirect_uri", req.RedirectURI), long("return_to", req.ReturnTo))
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	in := connector.ReconfirmRequest{
		Statement: req.Statement, ConfirmedBy: req.ConfirmedBy, Name: req.User.Name, Email: req.User.Email,
		RedirectURI: req.RedirectURI, ReturnTo: req.ReturnTo, State: state,
	}
	if req.ConfirmedAt != nil {
		in.ConfirmedAt = req.ConfirmedAt.UTC().Truncate(time.Microsecond)
	}
	done, err := s.connector.Reconfirm(c.Request.Context(), app, c.Param("id"), in)
	if err != nil {
		s.fail(c, err)
		return
	}
	out := ReconfirmResult{Status: "renewed", ConfirmationID: done.ConfirmationID, Consent: s.consent(&done.Consent)}
	if b := done.Bank; b != nil {
		out.Status, out.URI, out.AttemptID, out.ExpiresAt = "authentication_needed", b.URI, b.Attempt.ID, timestamp(b.Attempt.ExpiresAt)
	}
	s.reply(c, http.StatusOK, out)
}

// Confirmation is what a person confirmed.
type Confirmation struct {
	ID          string    `json:"id" required:"true"`
	Cycle       int       `json:"cycle" required:"true" description:"Of the consent, when it was confirmed"`
	ConfirmedBy string    `json:"confirmed_by" required:"true"`
	ConfirmedAt time.Time `json:"confirmed_at" required:"true"`
	Statement   string    `json:"statement" required:"true" description:"Word for word as it was shown"`
}

// ConfirmationList is what people confirmed of a consent, oldest first.
type ConfirmationList struct {
	Confirmations []Confirmation `json:"confirmations" required:"true"`
}

func (s *Server) listConfirmations(c *gin.Context, app *consent.Application) {
	found, err := s.connector.Confirmations(c.Request.Context(), app, c.Param("id"))
	if err != nil {
		s.fail(c, err)
		return
	}
	list := ConfirmationList{Confirmations: make([]Confirmation, len(found))}
	for i, f := range found {
		list.Confirmations[i] = Confirmation{ID: f.ID, Cycle: f.Cycle, ConfirmedBy: f.ConfirmedBy, ConfirmedAt: f.ConfirmedAt.UTC(), Statement: f.Statement}
	}
	s.reply(c, http.StatusOK, list)
}
