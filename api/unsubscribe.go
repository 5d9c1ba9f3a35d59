package api

import (
	"net/http"
	"net/url"

	"github.com/gin-gonic/gin"

	"github.com/reconsent/reconsent/connector"
)

// unsubscribePages are behind the unsubscribe link of mails.
func (s *Server) unsubscribePages(r *gin.Engine) {
	r.GET("/u/:token", s.unsubscribePage)
	r.HEAD("/u/:token", s.unsubscribePage)
	r.POST("/u/:token", s.unsubscribe)
}

// What the page's own forms ask for.
const (
	doUnsubscribe = "unsubscribe"
	doResubscribe = "resubscribe"
)

// unsubscribePage shows a button, and changes nothing: machines open the links
// in mails.
func (s *Server) unsubscribePage(c *gin.Context) {
	u, err := s.connector.OpenUnsubscribeLink(c.Request.Context(), c.Param("token"))
	s.showUnsubscribing(c, u, err)
}

// unsubscribe does what the page's button says, and what a mail program posts
// for a person (RFC 8058, 3.2). It never redirects, which such programs do not
// follow.
func (s *Server) unsubscribe(c *gin.Context) {
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxBody)
	oneClick := c.PostForm("List-Unsubscribe") == "One-Click"
	switch do := c.PostForm("do"); {
	case oneClick || do == doUnsubscribe, do == doResubscribe:
		u, err := s.connector.Unsubscribe(c.Request.Context(), c.Param("token"), oneClick || do == doUnsubscribe)
		s.showUnsubscribing(c, u, err)
	default:
		s.unsubscribePage(c) // a machine that posts without reading the page
	}
}

func (s *Server) showUnsubscribing(c *gin.Context, u connector.Unsubscribing, err error) {
	if err != nil {
		s.linkFault(c, err)
		return
	}
	name := u.Application.Name
	p := page{Application: name, Action: "/u/" + url.PathEscape(c.Param("token"))}
	if u.Since.IsZero() {
		p.Title, p.Proceed = "Stop these reminders?", doUnsubscribe
		p.Lines = []string{
			name + " will no longer remind you before your permission for a bank account runs out.",
			"When access has stopped we still tell you, once.",
		}
	} else {
		p.Title, p.Proceed = "You get no more reminders", doResubscribe
		p.Lines = []string{
			name + " no longer reminds you before your permission for a bank account runs out. When access has stopped we still tell you, once.",
			"If that was a slip, take it back here.",
		}
	}
	s.show(c, http.StatusOK, "unsubscribe.html", p)
}
