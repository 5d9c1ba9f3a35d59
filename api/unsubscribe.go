package api

import (
	"net/http"
	"net/url"

	"github.com/gin-gonic/gin"

	"github.com/reconsent/reconsent/connector"
)

// What the unsubscribe page's own forms ask for.
const (
	doUnsubscribe = "unsubscribe"
	doResubscribe = "resubscribe"
)

// unsubscribePage shows a button, and changes nothing: machines open the links
// in mails.
func (s *Server) unsubscribePage(c *gin.Context) {
	u, err := s.connector.OpenUnsubscribeLink(c.Request.Context(), c.Param("token"))
	s.showUnsubscribing(c, &u, err)
}

// unsubscribe does what the page's button says, and what a mail program posts
// for a person (RFC 8058, 3.2). It never redirects, which such programs do not
// follow.
func (s *Server) unsubscribe(c *gin.Context) {
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxBody)
	token, do := c.Param("token"), c.PostForm(fieldDo)
	if c.PostForm("List-Unsubscribe") == "One-Click" {
		do = doUnsubscribe
	} else if !s.connector.ReconnectProof(token, c.PostForm(fieldProof)) {
		do = "" // a machine that posts without reading the page
	}
	switch do {
	case doUnsubscribe, doResubscribe:
		u, err := s.connector.Unsubscribe(c.Request.Context(), token, do == doUnsubscribe)
		s.showUnsubscribing(c, &u, err)
	default:
		s.unsubscribePage(c)
	}
}

func (s *Server) showUnsubscribing(c *gin.Context, u *connector.Unsubscribing, err error) {
	app := &u.Application
	if app.ID == "" {
		app = nil
	}
	at := visitOf(c, app, &u.User)
	if err != nil {
		s.linkFault(c, at, false, err)
		return
	}
	lang, path := at.lang, "/u/"+url.PathEscape(c.Param("token"))
	p := page{
		Title: lang.Say("pages.stop_title"), Lines: []string{lang.Say("pages.stop", "App", at.name()), lang.Say("pages.still_told")},
		Form: &form{path, s.proof(c, hidden{fieldDo, doUnsubscribe}), lang.Say("pages.button_stop")},
	}
	if !u.Since.IsZero() {
		p = page{
			Mark: markGood, Title: lang.Say("pages.stopped_title"), Lines: []string{lang.Say("pages.stopped", "App", at.name()), lang.Say("pages.still_told"), lang.Say("pages.slip")},
			Form: &form{path, s.proof(c, hidden{fieldDo, doResubscribe}), lang.Say("pages.button_resume")},
		}
	}
	s.show(c, at, http.StatusOK, p)
}
