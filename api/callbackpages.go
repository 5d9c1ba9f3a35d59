package api

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/reconsent/reconsent/connector"
	"github.com/reconsent/reconsent/consent"
)

const fieldState = "state" // of the trip that is to be begun again

// hostedCallback receives a browser from the bank. It needs no cookie and no
// session: bank apps come back in another browser.
func (s *Server) hostedCallback(c *gin.Context) {
	if prefetched(c.Request.Header) {
		c.Header("Cache-Control", "no-store")
		c.Status(http.StatusNoContent)
		return
	}
	q := c.Request.URL.Query()
	code := q.Get("code")
	if code == "" {
		code = q.Get("exchange_code")
	}
	state := q.Get("state")
	if err := texts(long("state", state), long("code", code)); err != nil || state == "" || (code == "" && q.Get("error") == "") {
		s.incompleteReturn(c)
		return
	}
	app, out, err := s.connector.CompleteHosted(c.Request.Context(), state, connector.Return{Code: code, Error: q.Get("error")})
	over := err == nil || consent.CodeOf(err) == consent.CodeAttemptExpired
	if over && out.Attempt.ReturnTo != "" { // else a reload may still bring it to an end
		seeOther(c, returnTo(out, err))
		return
	}
	if err == nil || out.Attempt.ID != "" {
		s.showReturn(c, &app, &out, state, err)
		return
	}
	s.returnFault(c, err)
}

// callbackAgain begins another trip, for whoever pressed the button under the
// result of one that did not succeed.
func (s *Server) callbackAgain(c *gin.Context) {
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxBody)
	state := c.PostForm(fieldState)
	if err := texts(long("state", state)); err != nil || state == "" || !s.connector.ReconnectProof(state, c.PostForm(fieldProof)) {
		s.incompleteReturn(c)
		return
	}
	app, out, started, err := s.connector.Again(c.Request.Context(), state)
	switch {
	case err != nil && out.Attempt.ID == "":
		s.returnFault(c, err)
	case started == nil && consent.CodeOf(err) == consent.CodeRateLimited: // ours, not the bank's
		at := s.returning(c, &app, &out)
		s.retry(c, err)
		s.show(c, at, http.StatusTooManyRequests, page{
			Mark: markAttention, Title: at.lang.Say("pages.unfinished_title"),
			Lines: []string{at.lang.Say("pages.unfinished", "App", at.name()), at.lang.Say("pages.start_over", "App", at.name())},
		})
	case err != nil:
		at := s.returning(c, &app, &out)
		p := page{Mark: markTrouble}
		status := s.explain(c, at, &p, err)
		p.Form = s.again(at, state)
		s.show(c, at, status, p)
	case started != nil:
		seeOther(c, started.URI)
	default:
		s.showReturn(c, &app, &out, state, nil)
	}
}

// again is the button that begins another trip. It names the one before by its
// state, which the browser brought with it: the link that the person came by is
// known here by its fingerprint only.
func (s *Server) again(at visit, state string) *form {
	return &form{"/callback/again", []hidden{{fieldState, state}, {fieldProof, s.connector.ReconnectProofFor(state)}}, at.lang.Say("pages.button_again")}
}

func (s *Server) incompleteReturn(c *gin.Context) {
	at := stranger(c)
	s.show(c, at, http.StatusBadRequest, page{
		Mark: markAttention, Title: at.lang.Say("pages.incomplete_title"),
		Lines: []string{at.lang.Say("pages.incomplete"), at.lang.Say("pages.start_over", "App", "")},
	})
}

// returnFault answers where it is not known whose trip it was.
func (s *Server) returnFault(c *gin.Context, err error) {
	at := stranger(c)
	p := page{Mark: markTrouble}
	status := http.StatusBadRequest
	if consent.CodeOf(err) == consent.CodeStateUnknown {
		p = page{Mark: markAttention, Title: at.lang.Say("pages.unknown_title"), Lines: []string{at.lang.Say("pages.unknown_return")}}
	} else {
		status = s.explain(c, at, &p, err)
	}
	p.Lines = append(p.Lines, at.lang.Say("pages.start_over", "App", ""))
	s.show(c, at, status, p)
}

// returning is the person whose trip it was, as far as they are known.
func (s *Server) returning(c *gin.Context, app *consent.Application, out *connector.Outcome) visit {
	u, err := s.connector.User(c.Request.Context(), app, out.Attempt.UserID)
	if err != nil { // unknown or erased: the browser's language is left
		u = consent.User{}
	}
	return visitOf(c, app, &u)
}

// showReturn shows how a trip ended, or why it has not ended yet.
func (s *Server) showReturn(c *gin.Context, app *consent.Application, out *connector.Outcome, state string, err error) {
	at := s.returning(c, app, out)
	var status int
	var p page
	switch {
	case err == nil:
		status, p = outcomePage(at, out)
	case consent.CodeOf(err) == consent.CodeAttemptExpired:
		status = answers[consent.CodeAttemptExpired].status
		p = page{Mark: markAttention, Title: at.lang.Say("pages.late_title"), Lines: []string{at.lang.Say("pages.late")}}
		out.Attempt.Status = consent.AttemptExpired
	default:
		p = page{Mark: markTrouble}
		status = s.explain(c, at, &p, err)
		if p.Mark == markAttention || status >= http.StatusInternalServerError { // the reload goes on from what is kept
			p.Reload = at.lang.Say("pages.button_again")
			if p.Mark == markAttention {
				p.Lines = []string{at.lang.Say("pages.away"), at.lang.Say("pages.away_reload")}
			}
		}
	}
	switch {
	case p.Mark == markGood || p.Reload != "":
	case s.connector.MayGoAgain(out):
		p.Form = s.again(at, state)
	default:
		p.Lines = append(p.Lines, at.lang.Say("pages.start_over", "App", at.name()))
	}
	s.show(c, at, status, p)
}

// outcomePage says how a trip ended, and blames nobody for what was the bank's.
func outcomePage(at visit, out *connector.Outcome) (int, page) {
	lang, con := at.lang, out.Consent
	if con == nil {
		con = &consent.Consent{}
	}
	expected := at.facts(con, lang.Say("pages.expected"), "", time.Time{})
	switch out.Attempt.Status {
	case consent.AttemptLinked, consent.AttemptRenewed:
		return http.StatusOK, page{
			Mark: markGood, Title: lang.Say("pages.connected_title", "Bank", con.BankName),
			Facts: at.facts(con, lang.Say("pages.account"), lang.Say("pages.until"), con.ExpiresAt),
			Small: lang.Say("pages.close", "App", at.name()),
		}
	case consent.AttemptPending:
		return http.StatusOK, page{Mark: markGood, Title: lang.Say("pages.pending_title"), Lines: []string{lang.Say("pages.pending", "App", at.name())}}
	case consent.AttemptDenied:
		p := page{Mark: markAttention, Title: lang.Say("pages.denied_title"), Lines: []string{lang.Say("pages.denied")}}
		if con.ID != "" {
			p.Lines = append(p.Lines, lang.Say("pages.denied_again"))
		}
		return http.StatusOK, p
	case consent.AttemptMismatched:
		p := page{Mark: markAttention, Title: lang.Say("pages.login_title"), Lines: []string{lang.Say("pages.login"), lang.Say("pages.login_kept")}, Facts: expected}
		if out.OtherAccounts() {
			p.Title, p.Lines = lang.Say("pages.accounts_title"), []string{lang.Say("pages.accounts"), lang.Say("pages.accounts_kept")}
		}
		return http.StatusConflict, p
	default:
		p := page{Mark: markTrouble}
		switch {
		case !con.RevokedAt.IsZero():
			return http.StatusGone, page{Mark: markAttention, Title: lang.Say("pages.ended_title"), Lines: []string{lang.Say("pages.ended", "App", at.name())}}
		case out.CodeRefused():
			p.Title, p.Lines = lang.Say("pages.refused_title"), []string{lang.Say("pages.refused")}
		case out.BankFailed():
			p.Title, p.Lines = lang.Say("pages.trouble_title"), []string{lang.Say("pages.trouble")}
		default:
			p.Title, p.Lines = lang.Say("pages.unfinished_title"), []string{lang.Say("pages.unfinished", "App", at.name())}
		}
		return http.StatusOK, p
	}
}

// returnTo tells the application how it went, on the address that it gave.
func returnTo(out connector.Outcome, err error) string {
	v := url.Values{}
	if out.Attempt.CallerState != nil {
		v.Set("state", string(out.Attempt.CallerState))
	}
	status := publicStatus(out.Attempt.Status)
	if err != nil {
		status = "failed"
	}
	v.Set("status", status)
	v.Set("attempt_id", out.Attempt.ID)
	if out.Attempt.ConsentID != "" {
		v.Set("consent_id", out.Attempt.ConsentID)
	}
	if out.Consent != nil {
		v.Set("credentials_id", out.Consent.CredentialsID)
	}
	if out.Result != "" {
		v.Set("result", out.Result)
	}
	return withQuery(out.Attempt.ReturnTo, v)
}

// withQuery adds to the query of an application's address and leaves the rest
// byte for byte.
func withQuery(address string, v url.Values) string {
	base, query, _ := strings.Cut(address, "?")
	if query != "" {
		query += "&"
	}
	return base + "?" + query + v.Encode()
}
