package api

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/reconsent/reconsent/connector"
	"github.com/reconsent/reconsent/consent"
)

// UserRequest is all that an application says of a user; what is left out is
// emptied.
type UserRequest struct {
	Email        string `json:"email,omitempty"`
	Phone        string `json:"phone,omitempty" description:"E.164"`
	Name         string `json:"name,omitempty"`
	Locale       string `json:"locale,omitempty" description:"BCP 47"`
	TimeZone     string `json:"time_zone,omitempty" description:"IANA"`
	PasswordHash string `json:"password_hash,omitempty" description:"Imported: argon2id in PHC form within 64 MiB and 4 passes, or bcrypt of cost 4 to 14; sealed at rest and never returned"`
}

func (s *Server) putUser(c *gin.Context, app *consent.Application) {
	var req UserRequest
	if err := decode(c, &req, false); err != nil {
		s.fail(c, err)
		return
	}
	u, err := s.connector.PutUser(c.Request.Context(), app, c.Param("id"), connector.Contact(req))
	s.replyUser(c, u, err)
}

func (s *Server) getUser(c *gin.Context, app *consent.Application) {
	u, err := s.connector.User(c.Request.Context(), app, c.Param("id"))
	s.replyUser(c, u, err)
}

func (s *Server) replyUser(c *gin.Context, u consent.User, err error) {
	if err != nil {
		s.fail(c, err)
		return
	}
	s.reply(c, http.StatusOK, userOf(u))
}

func (s *Server) eraseUser(c *gin.Context, app *consent.Application) {
	if err := s.connector.EraseUser(c.Request.Context(), app, c.Param("id")); err != nil {
		s.fail(c, err)
		return
	}
	c.Status(http.StatusNoContent)
}

func (s *Server) clearRefusals(c *gin.Context, app *consent.Application) {
	if err := s.connector.ClearRefusals(c.Request.Context(), app, c.Param("id")); err != nil {
		s.fail(c, err)
		return
	}
	c.Status(http.StatusNoContent)
}
