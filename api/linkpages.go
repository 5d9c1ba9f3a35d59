package api

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/reconsent/reconsent/connector"
	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/locale"
)

// The hidden fields of a reconnect page.
const (
	fieldProof     = "proceed"
	fieldStatement = "statement" // the words that were shown, where they are to be confirmed
	fieldLanguage  = "lang"      // that they were shown in
	fieldDo        = "do"
	doResend       = "resend"
)

// reconnectPage shows what a reconnect link is about. It changes nothing.
func (s *Server) reconnectPage(c *gin.Context) {
	v, err := s.connector.OpenReconnectLink(c.Request.Context(), c.Param("token"))
	if err != nil {
		s.linkFault(c, &v, err)
		return
	}
	s.showLink(c, &v)
}

// reconnect does what the page's one button says.
func (s *Server) reconnect(c *gin.Context) {
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxBody)
	switch {
	case !s.connector.ReconnectProof(c.Param("token"), c.PostForm(fieldProof)):
		s.reconnectPage(c) // a machine that posts without reading the page
	case c.PostForm(fieldDo) == doResend:
		s.resend(c)
	case c.PostForm(fieldStatement) != "":
		s.confirmHere(c)
	default:
		s.press(c)
	}
}

// press takes a person to the bank.
func (s *Server) press(c *gin.Context) {
	v, started, err := s.connector.PressReconnectLink(c.Request.Context(), c.Param("token"))
	switch {
	case err != nil:
		s.pressFault(c, &v, err, &form{Action: linkPath(c), Fields: s.proof(c)})
	case v.State != connector.LinkReady:
		s.showLink(c, &v)
	default:
		seeOther(c, started.URI)
	}
}

// confirmHere records the statement that a person was shown and confirmed. It is
// put together anew, from what is known now: where that gives other words the
// person is shown those, and nothing is recorded.
func (s *Server) confirmHere(c *gin.Context) {
	ctx, token := c.Request.Context(), c.Param("token")
	v, err := s.connector.OpenReconnectLink(ctx, token)
	if err != nil {
		s.linkFault(c, &v, err)
		return
	}
	said := statement(locale.Match(c.PostForm(fieldLanguage)), &v)
	if v.State != connector.LinkReady || !v.InPlace || c.PostForm(fieldStatement) != said {
		s.showLink(c, &v)
		return
	}
	done, err := s.connector.ConfirmReconnectLink(ctx, token, said)
	switch {
	case err != nil:
		s.pressFault(c, &v, err, nil)
	case done.Bank != nil && done.Bank.URI != "":
		seeOther(c, done.Bank.URI)
	case done.View.State == connector.LinkRenewed:
		seeOther(c, afterConfirming(c, &done.View))
	default:
		s.showLink(c, &done.View)
	}
}

// afterConfirming is where a renewal without a visit to the bank leads: to the
// application, where the link has an address of its, else to the link itself,
// which says that it is done, however often it is reloaded.
func afterConfirming(c *gin.Context, v *connector.LinkView) string {
	to, state := v.ReturnTo()
	if to == "" {
		return linkPath(c)
	}
	q := url.Values{"status": {string(consent.AttemptRenewed)}, "consent_id": {v.Consent.ID}, "credentials_id": {v.Consent.CredentialsID}}
	if state != nil {
		q.Set("state", string(state))
	}
	return withQuery(to, q)
}

// resend mails a new link to the address that is known, and never says which.
func (s *Server) resend(c *gin.Context) {
	v, err := s.connector.ResendReconnectLink(c.Request.Context(), c.Param("token"))
	at := visitOf(c, &v.Application, &v.User)
	switch {
	case consent.CodeOf(err) == consent.CodeRateLimited:
		s.retry(c, err)
		s.show(c, at, http.StatusTooManyRequests, page{Mark: markAttention, Title: at.lang.Say("pages.often_title"), Lines: []string{at.lang.Say("pages.often")}})
	case err != nil:
		s.pressFault(c, &v, err, nil)
	case v.State != connector.LinkExpired:
		s.showLink(c, &v)
	default:
		s.show(c, at, http.StatusOK, page{Mark: markGood, Title: at.lang.Say("pages.sent_title"), Lines: []string{at.lang.Say("pages.sent")}})
	}
}

func linkPath(c *gin.Context) string { return "/r/" + url.PathEscape(c.Param("token")) }

func (s *Server) proof(c *gin.Context, more ...hidden) []hidden {
	return append([]hidden{{fieldProof, s.connector.ReconnectProofFor(c.Param("token"))}}, more...)
}

// linkFault answers for a link that could not be looked up.
func (s *Server) linkFault(c *gin.Context, v *connector.LinkView, err error) {
	if connector.IsUnknownLink(err) {
		s.unknownLink(c)
		return
	}
	s.pressFault(c, v, err, nil)
}

// unknownLink names nobody: whoever guesses learns nothing.
func (s *Server) unknownLink(c *gin.Context) {
	v := stranger(c)
	s.show(c, v, http.StatusNotFound, page{Mark: markAttention, Title: v.lang.Say("pages.unknown_title"), Lines: []string{v.lang.Say("pages.unknown")}})
}

// pressFault answers where a press did not lead on. again is the way to press
// once more; without it the page can be opened anew.
func (s *Server) pressFault(c *gin.Context, v *connector.LinkView, err error, again *form) {
	app := &v.Application
	if app.ID == "" {
		app = nil
	}
	at := visitOf(c, app, &v.User)
	p := page{Mark: markTrouble}
	status := s.explain(c, at, &p, err)
	if p.Reload = at.lang.Say("pages.button_again"); again != nil {
		again.Button, p.Form, p.Reload = p.Reload, again, ""
	}
	s.show(c, at, status, p)
}

// explain fills in what an error means for a person, writes it to the log, and
// returns the page's status.
func (s *Server) explain(c *gin.Context, at visit, p *page, err error) int {
	e, ok := errors.AsType[*consent.Error](err)
	if !ok {
		s.log.ErrorContext(c.Request.Context(), "page failed", "route", c.FullPath(), "error", err)
		p.Title, p.Lines = at.lang.Say("pages.broken_title"), []string{at.lang.Say("pages.broken")}
		return http.StatusInternalServerError
	}
	s.log.InfoContext(c.Request.Context(), "page could not lead on", "route", c.FullPath(), "code", e.Code, "error", err)
	s.retryAfter(c, e)
	switch e.Code {
	case consent.CodeProviderUnavailable, consent.CodeAttemptInProgress, consent.CodeRateLimited:
		p.Mark, p.Title = markAttention, at.lang.Say("pages.away_title")
		p.Lines = []string{at.lang.Say("pages.away"), at.lang.Say("pages.away_press")}
	default:
		p.Title, p.Lines = at.lang.Say("pages.unfinished_title"), []string{at.lang.Say("pages.unfinished", "App", at.name())}
	}
	return answers[e.Code].status
}

// retry says when to try again, where the error knows.
func (s *Server) retry(c *gin.Context, err error) {
	if e, ok := errors.AsType[*consent.Error](err); ok {
		s.retryAfter(c, e)
	}
}

// showLink shows what a link is good for now. What is known of the person's
// account stands only on the pages that lead on: an old link may have found its
// way to somebody else.
func (s *Server) showLink(c *gin.Context, v *connector.LinkView) {
	at := visitOf(c, &v.Application, &v.User)
	lang, con, bank := at.lang, &v.Consent, v.Consent.BankName
	switch v.State {
	case connector.LinkRenewed:
		s.show(c, at, http.StatusOK, page{
			Mark: markGood, Title: lang.Say("pages.connected_title", "Bank", bank), Lines: []string{lang.Say("pages.nothing_to_do")},
			Facts: at.facts(con, "", lang.Say("pages.until"), con.ExpiresAt), Small: lang.Say("pages.close", "App", at.name()),
		})
	case connector.LinkReplaced:
		s.show(c, at, http.StatusOK, page{
			Mark: markGood, Title: lang.Say("pages.connected_title", "Bank", bank), Lines: []string{lang.Say("pages.replaced")},
			Small: lang.Say("pages.close", "App", at.name()),
		})
	case connector.LinkMoved:
		s.show(c, at, http.StatusGone, page{Mark: markAttention, Title: lang.Say("pages.moved_title"), Lines: []string{lang.Say("pages.moved", "App", at.name())}})
	case connector.LinkEnded:
		s.show(c, at, http.StatusGone, page{Mark: markAttention, Title: lang.Say("pages.ended_title"), Lines: []string{lang.Say("pages.ended", "App", at.name())}})
	case connector.LinkExpired:
		s.show(c, at, http.StatusGone, page{
			Mark: markAttention, Title: lang.Say("pages.expired_title"), Lines: []string{lang.Say("pages.expired", "App", at.name())},
			Facts: at.facts(con, lang.Say("pages.account"), "", time.Time{}),
			Form:  &form{linkPath(c), s.proof(c, hidden{fieldDo, doResend}), lang.Say("pages.button_new")},
		})
	case connector.LinkReady:
		s.show(c, at, http.StatusOK, s.readyPage(c, at, v))
	}
}

// readyPage is the page with the button.
func (s *Server) readyPage(c *gin.Context, at visit, v *connector.LinkView) page {
	lang, con, bank := at.lang, &v.Consent, v.Consent.BankName
	p := page{
		Title: lang.Say("pages.keep_title", "Bank", bank), Lines: []string{lang.Say("pages.keep", "App", at.name())},
		Facts: at.facts(con, lang.Say("pages.account"), lang.Say("pages.until"), con.LapsesAt),
		Next:  lang.Say("pages.next"), Small: lang.Say("pages.opening"),
	}
	if v.Status == consent.Lapsed || v.Status == consent.Unrenewable {
		p.Title, p.Lines = lang.Say("pages.reconnect_title", "Bank", bank), []string{lang.Say("pages.reconnect", "App", at.name())}
		p.Facts = at.facts(con, lang.Say("pages.account"), lang.Say("pages.ended_on"), con.LapsesAt)
	}
	if !v.NewerAt.IsZero() {
		p.Lines = append(p.Lines, lang.Say("pages.newer", "When", at.moment(v.NewerAt)))
	}
	p.Form = &form{linkPath(c), s.proof(c), lang.Say("pages.button_continue", "Bank", bank)}
	p.Steps = []string{lang.Say("pages.step_bank", "Bank", bank), lang.Say("pages.step_allow"), lang.Say("pages.step_back")}
	if v.InPlace {
		p.Declared, p.Statement = lang.Say("pages.statement_label"), statement(lang, v)
		p.Steps = []string{lang.Say("pages.step_statement"), lang.Say("pages.step_extended")}
		p.Form = &form{linkPath(c), s.proof(c, hidden{fieldStatement, p.Statement}, hidden{fieldLanguage, lang.Tag()}), lang.Say("pages.button_confirm")}
	}
	return p
}

// statement says who may read which account at which bank for how long.
func statement(lang locale.Language, v *connector.LinkView) string {
	con := &v.Consent
	validity := v.Application.Policy(con.Provider).Validity
	if validity <= 0 && !con.ExpiresAt.IsZero() && !con.ConsentedAt.IsZero() {
		validity = con.ExpiresAt.Sub(con.ConsentedAt) // as long as it was given for the last time
	}
	if days := int(validity.Round(day) / day); days > 0 {
		return lang.Say("pages.statement", "App", v.Application.Name, "Account", con.AccountLabel, "Bank", con.BankName, "Count", days)
	}
	return lang.Say("pages.statement_open", "App", v.Application.Name, "Account", con.AccountLabel, "Bank", con.BankName)
}

const day = 24 * time.Hour
