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
	s.returnFault(c, err, nil)
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
		at := stranger(c)
		s.returnFault(c, err, s.again(at, state))
	case started == nil && consent.CodeOf(err) == consent.CodeRateLimited: // ours, not the bank's
		at := s.returning(c, &app, &out)
		s.retry(c, err)
		s.show(c, at, http.StatusTooManyRequests, page{
			Mark: markAttention, Title: at.lang.Say("pages.unfinished_title"),
			Lines: []string{at.lang.Say("pages.unfinished", "App", at.name()), at.lang.Say("pages.start_over", "App", at.name())},
		})
	case err != nil:
		at := s.returning(c, &app, &out)
		s.pressFault(c, at, true, err, s.again(at, state))
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

// returnFault answers where it is not known whose trip it was. again is the way to
// try once more; without it the address can be opened anew, where the fault is
// ours.
func (s *Server) returnFault(c *gin.Context, err error, again *form) {
	at := stranger(c)
	p := page{Mark: markTrouble}
	status := http.StatusBadRequest
	if consent.CodeOf(err) == consent.CodeStateUnknown {
		p = page{Mark: markAttention, Title: at.lang.Say("pages.unknown_title"), Lines: []string{at.lang.Say("pages.unknown_return")}}
	} else {
		status = s.explain(c, at, &p, err)
	}
	switch {
	case status < http.StatusInternalServerError:
		p.Lines = append(p.Lines, at.lang.Say("pages.start_over", "App", ""))
	case again != nil:
		p.Form = again
	default: // the trip goes on from what is kept of it
		p.Reload = at.lang.Say("pages.button_again")
	}
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
	if consent.CodeOf(err) == consent.CodeAttemptExpired {
		out.Attempt.Status, err = consent.AttemptExpired, nil
	}
	if err != nil {
		p := page{Mark: markTrouble}
		status := s.explain(c, at, &p, err)
		if p.Mark == markAttention && out.Attempt.Kind != consent.KindLink {
			p.Lines = append(p.Lines, at.lang.Say("pages.kept"))
		}
		if p.Mark == markAttention {
			p.Lines = append(p.Lines, at.lang.Say("pages.away_reload"))
		}
		if p.Mark == markAttention || status >= http.StatusInternalServerError { // the reload goes on from what is kept
			p.Reload = at.lang.Say("pages.button_again")
		} else {
			p.Lines = append(p.Lines, at.lang.Say("pages.start_over", "App", at.name()))
		}
		s.show(c, at, status, p)
		return
	}
	status, p := s.outcomePage(at, out)
	if status != http.StatusGone || out.Attempt.Status == consent.AttemptExpired {
		switch {
		case p.Mark == markGood:
		case s.connector.MayGoAgain(out):
			p.Form = s.again(at, state)
		default:
			p.Lines = append(p.Lines, at.lang.Say("pages.start_over", "App", at.name()))
		}
	}
	s.show(c, at, status, p)
}

// outcomePage says how a trip ended, by how its consent stands now: the page
// stays in a browser for long.
func (s *Server) outcomePage(at visit, out *connector.Outcome) (int, page) {
	lang, con := at.lang, out.Consent
	if con == nil {
		con = &consent.Consent{}
	}
	account, expected := lang.Say("pages.account"), lang.Say("pages.expected")
	if !s.connector.Fresh(out) {
		account, expected = "", ""
	}
	status := con.Status(s.now())
	switch done := out.Attempt.Status == consent.AttemptLinked || out.Attempt.Status == consent.AttemptRenewed; {
	case status == consent.Revoked:
		return http.StatusGone, page{Mark: markAttention, Title: lang.Say("pages.ended_title"), Lines: []string{lang.Say("pages.start_app", "App", at.name())}}
	case done && (status == consent.Lapsed || status == consent.Unrenewable):
		return http.StatusGone, page{
			Mark: markAttention, Title: lang.Say("pages.lapsed_title", "Bank", con.BankName),
			Lines: []string{lang.Say("pages.reconnect", "App", at.name()), lang.Say("pages.start_over", "App", at.name())},
		}
	case done:
		return http.StatusOK, page{
			Mark: markGood, Title: lang.Say("pages.connected_title", "Bank", con.BankName),
			Facts: at.facts(con, account, lang.Say("pages.until"), con.ExpiresAt),
			Small: lang.Say("pages.close", "App", at.name()),
		}
	case out.Attempt.Status == consent.AttemptPending:
		return http.StatusOK, page{Mark: markGood, Title: lang.Say("pages.pending_title"), Lines: []string{lang.Say("pages.pending", "App", at.name())}}
	case out.Attempt.Status == consent.AttemptMismatched:
		p := page{
			Mark: markAttention, Title: lang.Say("pages.login_title"), Lines: []string{lang.Say("pages.login"), lang.Say("pages.login_kept")},
			Facts: at.facts(con, expected, "", time.Time{}),
		}
		if out.OtherAccounts() {
			p.Title, p.Lines = lang.Say("pages.accounts_title"), []string{lang.Say("pages.accounts"), lang.Say("pages.kept")}
		}
		return http.StatusConflict, p
	default:
		return nothingCame(at, out)
	}
}

// nothingCame is the page of a trip that changed nothing. It blames nobody for
// what was the bank's.
func nothingCame(at visit, out *connector.Outcome) (int, page) {
	lang, status := at.lang, http.StatusOK
	unchanged := lang.Say("pages.kept")
	if out.Attempt.Kind == consent.KindLink {
		unchanged = lang.Say("pages.none_made")
	}
	p := page{Mark: markTrouble}
	switch {
	case out.Attempt.Status == consent.AttemptExpired:
		status, p.Mark = http.StatusGone, markAttention
		p.Title, p.Lines = lang.Say("pages.late_title"), []string{lang.Say("pages.late"), unchanged}
	case out.Attempt.Status == consent.AttemptDenied:
		p.Mark, p.Title, p.Lines = markAttention, lang.Say("pages.denied_title"), []string{lang.Say("pages.denied"), unchanged}
		if out.Attempt.Kind != consent.KindLink {
			p.Lines = append(p.Lines, lang.Say("pages.denied_again"))
		}
	case out.CodeRefused():
		p.Title, p.Lines = lang.Say("pages.refused_title"), []string{lang.Say("pages.refused"), unchanged}
	case out.BankFailed():
		p.Title, p.Lines = lang.Say("pages.trouble_title"), []string{lang.Say("pages.trouble"), unchanged}
	default:
		p.Title, p.Lines = lang.Say("pages.unfinished_title"), []string{lang.Say("pages.unfinished", "App", at.name()), unchanged}
	}
	return status, p
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
