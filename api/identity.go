package api

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/gin-gonic/gin"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth/stepup"
)

// identityCookie binds a trip to the identity provider to the browser that
// began it. __Host- keeps other hosts of the domain from setting it (RFC 6265bis
// 4.1.3.2).
const identityCookie = "__Host-reconsent-identity"

// identityCookieAge is in seconds: as long as a reverification lives.
const identityCookieAge = 600

// startIdentity sends a browser to the application's identity provider.
func (s *Server) startIdentity(c *gin.Context) {
	uri, cookie, err := s.reauth.StartTrip(c.Request.Context(), c.Param("ticket"))
	if err != nil {
		s.identityPage(c, stepup.Returned{}, err)
		return
	}
	s.setIdentityCookie(c, cookie, identityCookieAge)
	seeOther(c, uri)
}

// returnIdentity takes the browser back.
func (s *Server) returnIdentity(c *gin.Context) {
	cookie, _ := c.Cookie(identityCookie) // none binds nothing
	back, err := s.reauth.FinishTrip(c.Request.Context(), c.Request.URL.Query(), cookie)
	if back.ID != "" {
		s.setIdentityCookie(c, "", -1)
	}
	if back.ReturnTo == "" {
		s.identityPage(c, back, err)
		return
	}
	if err != nil && codeOf(err) == codeInternal {
		s.log.Error("page failed", "route", c.FullPath(), "error", err)
	}
	seeOther(c, onward(back, err))
}

func (s *Server) setIdentityCookie(c *gin.Context, value string, age int) {
	http.SetCookie(c.Writer, &http.Cookie{
		Name: identityCookie, Value: value, Path: "/", MaxAge: age, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// onward tells the application's page how it went. The proof does not travel
// there: the page asks for it with the user's token.
func onward(back stepup.Returned, err error) string {
	u, parseErr := url.Parse(back.ReturnTo)
	if parseErr != nil {
		return back.ReturnTo
	}
	q := u.Query()
	q.Set("reverification_id", back.ID)
	if err == nil {
		q.Set("status", string(back.Status))
	} else {
		q.Set("status", "failed")
		q.Set("error", string(codeOf(err)))
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// identityPage says how it went, where the application has no page for it.
func (s *Server) identityPage(c *gin.Context, back stepup.Returned, err error) {
	v := visitOf(c, back.Application, &consent.User{})
	p, status := page{noBank: true, Mark: markGood, Title: v.lang.Say("signin.done_title"), Lines: []string{v.lang.Say("signin.done", "App", v.name())}}, http.StatusOK
	if err != nil {
		status, p.Mark = answers[codeOf(err)].status, markAttention
		p.Title, p.Lines = s.identityFailed(c, v, err)
		if e, ok := errors.AsType[*consent.Error](err); ok {
			s.retryAfter(c, e)
		}
	}
	s.show(c, v, status, p)
}

// identityFailed says why a visit to the identity provider proved nothing.
func (s *Server) identityFailed(c *gin.Context, v visit, err error) (title string, lines []string) {
	switch code := codeOf(err); {
	case stepup.Cancelled(err):
		return v.lang.Say("signin.cancelled_title"), []string{v.lang.Say("signin.cancelled", "App", v.name())}
	case code == stepup.CodeIdentityMismatch:
		return v.lang.Say("signin.stranger_title"), []string{v.lang.Say("signin.stranger", "App", v.name())}
	case code == stepup.CodeIdentityUnavailable, code == codeInternal:
		s.log.Error("page failed", "route", c.FullPath(), "error", err)
		return v.lang.Say("signin.away_title"), []string{v.lang.Say("signin.away", "App", v.name())}
	default:
		return v.lang.Say("signin.stale_title"), []string{v.lang.Say("signin.stale", "App", v.name())}
	}
}

// codeOf is the code of an answer; what has none is a fault of ours.
func codeOf(err error) consent.Code {
	if code := consent.CodeOf(err); code != "" {
		return code
	}
	return codeInternal
}
