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
		s.linkFault(c, visitTo(c, &v), kept(&v), err)
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
		s.pressFault(c, visitTo(c, &v), kept(&v), err, &form{Action: linkPath(c), Fields: s.proof(c)})
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
		s.linkFault(c, visitTo(c, &v), kept(&v), err)
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
		s.pressFault(c, visitTo(c, &v), kept(&v), err, nil)
	case done.Bank != nil && done.Bank.URI != "":
		seeOther(c, done.Bank.URI)
	case done.View.State == connector.LinkRenewed:
		seeOther(c, afterConfirming(c, &done))
	default:
		s.showLink(c, &done.View)
	}
}

// afterConfirming is where a renewal without a visit to the bank leads: to the
// application, where the link has an address of its, else to the link itself,
// which says that it is done, however often it is reloaded.
func afterConfirming(c *gin.Context, done *connector.Confirmed) string {
	v := &done.View
	to, state := v.ReturnTo()
	if to == "" {
		return linkPath(c)
	}
	q := url.Values{
		"status": {string(consent.AttemptRenewed)}, "attempt_id": {done.AttemptID},
		"consent_id": {v.Consent.ID}, "credentials_id": {v.Consent.CredentialsID},
	}
	if state != nil {
		q.Set("state", string(state))
	}
	return withQuery(to, q)
}

// resend mails a new link to the address that is known, and never says which.
func (s *Server) resend(c *gin.Context) {
	v, err := s.connector.ResendReconnectLink(c.Request.Context(), c.Param("token"))
	at := visitTo(c, &v)
	switch {
	case consent.CodeOf(err) == consent.CodeRateLimited:
		s.retry(c, err)
		often := at.lang.Say("pages.often")
		if e, ok := errors.AsType[*consent.Error](err); ok && e.RetryAt.Sub(s.now()) > time.Hour {
			often = at.lang.Say("pages.often_today")
		}
		s.show(c, at, http.StatusTooManyRequests, page{Mark: markAttention, Title: at.lang.Say("pages.often_title"), Lines: []string{often}})
	case err != nil:
		s.pressFault(c, at, kept(&v), err, nil)
	case v.State != connector.LinkExpired || !v.Mailable:
		s.showLink(c, &v)
	default:
		s.show(c, at, http.StatusOK, page{Mark: markGood, Title: at.lang.Say("pages.sent_title"), Lines: []string{at.lang.Say("pages.sent", "App", at.name())}})
	}
}

func linkPath(c *gin.Context) string { return "/r/" + url.PathEscape(c.Param("token")) }

func (s *Server) proof(c *gin.Context, more ...hidden) []hidden {
	return append([]hidden{{fieldProof, s.connector.ReconnectProofFor(c.Param("token"))}}, more...)
}

// visitTo is whoever opened a reconnect link, as far as they are known.
func visitTo(c *gin.Context, v *connector.LinkView) visit {
	app := &v.Application
	if app.ID == "" {
		app = nil
	}
	return visitOf(c, app, &v.User)
}

// kept reports whether it is known that the link's connection is as it was.
func kept(v *connector.LinkView) bool { return v.State == connector.LinkReady }

// linkFault answers for a link that could not be looked up.
func (s *Server) linkFault(c *gin.Context, at visit, kept bool, err error) {
	if connector.IsUnknownLink(err) {
		s.unknownLink(c)
		return
	}
	s.pressFault(c, at, kept, err, nil)
}

// unknownLink names nobody: whoever guesses learns nothing.
func (s *Server) unknownLink(c *gin.Context) {
	v := stranger(c)
	s.show(c, v, http.StatusNotFound, page{Mark: markAttention, Title: v.lang.Say("pages.unknown_title"), Lines: []string{v.lang.Say("pages.unknown")}})
}

// pressFault answers where a press did not lead on. again is the way to press
// once more; without it the page can be opened anew.
func (s *Server) pressFault(c *gin.Context, at visit, kept bool, err error, again *form) {
	p := page{Mark: markTrouble}
	status := s.explain(c, at, &p, err)
	if kept && p.Mark == markAttention {
		p.Lines = append(p.Lines, at.lang.Say("pages.kept"), at.lang.Say("pages.away_press"))
	} else if p.Mark == markAttention {
		p.Lines = append(p.Lines, at.lang.Say("pages.away_press"))
	}
	if p.Reload = at.lang.Say("pages.button_again"); again != nil {
		again.Button, p.Form, p.Reload = p.Reload, again, ""
	}
	s.show(c, at, status, p)
}

// explain fills in what an error means for a person, writes it to the log, and
// returns the page's status. Its mark is for attention where a little later it may
// go well.
func (s *Server) explain(c *gin.Context, at visit, p *page, err error) int {
	e, ok := errors.AsType[*consent.Error](err)
	if !ok {
		if c.Request.Context().Err() == nil { // else the person has closed the page
			s.log.ErrorContext(c.Request.Context(), "page failed", "route", c.FullPath(), "error", err)
		}
		p.Title, p.Lines = at.lang.Say("pages.broken_title"), []string{at.lang.Say("pages.broken")}
		return http.StatusInternalServerError
	}
	s.log.InfoContext(c.Request.Context(), "page could not lead on", "route", c.FullPath(), "code", e.Code, "error", err)
	s.retryAfter(c, e)
	p.Lines = []string{at.lang.Say("pages.away")}
	switch e.Code {
	case consent.CodeProviderUnavailable:
		p.Mark, p.Title = markAttention, at.lang.Say("pages.away_title")
	case consent.CodeAttemptInProgress:
		p.Mark, p.Title = markAttention, at.lang.Say("pages.busy_title")
	case consent.CodeRateLimited:
		p.Mark, p.Title = markAttention, at.lang.Say("pages.unfinished_title")
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
	at := visitTo(c, v)
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
	case connector.LinkLapsed:
		s.show(c, at, http.StatusGone, page{
			Mark: markAttention, Title: lang.Say("pages.lapsed_title", "Bank", bank),
			Lines: []string{lang.Say("pages.reconnect", "App", at.name()), lang.Say("pages.start_app", "App", at.name())},
		})
	case connector.LinkMoved:
		s.show(c, at, http.StatusGone, page{Mark: markAttention, Title: lang.Say("pages.moved_title"), Lines: []string{lang.Say("pages.moved", "App", at.name())}})
	case connector.LinkEnded:
		s.show(c, at, http.StatusGone, page{Mark: markAttention, Title: lang.Say("pages.ended_title"), Lines: []string{lang.Say("pages.ended", "App", at.name())}})
	case connector.LinkExpired:
		p := page{
			Mark: markAttention, Title: lang.Say("pages.expired_title"), Lines: []string{lang.Say("pages.expired_app", "App", at.name())},
			Facts: at.facts(con, lang.Say("pages.account"), "", time.Time{}),
		}
		if v.Mailable {
			p.Lines = []string{lang.Say("pages.expired", "App", at.name())}
			p.Form = &form{linkPath(c), s.proof(c, hidden{fieldDo, doResend}), lang.Say("pages.button_new")}
		}
		s.show(c, at, http.StatusGone, p)
	case connector.LinkReady:
		s.show(c, at, http.StatusOK, s.readyPage(c, at, v))
	}
}

// readyPage is the page with the button.
func (s *Server) readyPage(c *gin.Context, at visit, v *connector.LinkView) page {
	lang, con, bank := at.lang, &v.Consent, v.Consent.BankName
	p := page{
		Title: lang.Say("pages.keep_title", "Bank", bank), Lines: []string{lang.Say("pages.keep_early", "App", at.name())},
		Facts: at.facts(con, lang.Say("pages.account"), lang.Say("pages.until"), con.LapsesAt),
		Next:  lang.Say("pages.next"), Small: lang.Say("pages.opening"),
	}
	switch v.Status {
	case consent.Lapsing:
		p.Lines = []string{lang.Say("pages.keep", "App", at.name())}
	case consent.Lapsed, consent.Unrenewable:
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
		if v.Status == consent.Lapsed {
			p.Steps[1] = lang.Say("pages.step_restored")
		}
		p.Form = &form{linkPath(c), s.proof(c, hidden{fieldStatement, p.Statement}, hidden{fieldLanguage, lang.Tag()}), lang.Say("pages.button_confirm")}
	}
	return p
}

// statement says who may read which accounts at which bank for how long.
func statement(lang locale.Language, v *connector.LinkView) string {
	con, app := &v.Consent, v.Application.Name
	account, more, days := con.AccountLabel, moreAccounts(lang, con), daysOf(v)
	switch lapsed := v.Status == consent.Lapsed; {
	case lapsed && days > 0:
		return lang.Say("pages.statement_again", "App", app, "Account", account, "More", more, "Bank", con.BankName, "Count", days)
	case lapsed:
		return lang.Say("pages.statement_again_open", "App", app, "Account", account, "More", more, "Bank", con.BankName)
	case days > 0:
		return lang.Say("pages.statement", "App", app, "Account", account, "More", more, "Bank", con.BankName, "Count", days)
	default:
		return lang.Say("pages.statement_open", "App", app, "Account", account, "More", more, "Bank", con.BankName)
	}
}

// moreAccounts says how many accounts there are besides the one that is named.
func moreAccounts(lang locale.Language, con *consent.Consent) locale.Sentence {
	if con.AccountCount < 2 {
		return ""
	}
	return locale.Sentence(lang.Say("pages.more", "Count", con.AccountCount-1))
}

// daysOf is for how many days the consent will be given: as many as the provider
// gave for the last time, else what the application says of its consents. 0 where
// nobody knows.
func daysOf(v *connector.LinkView) int {
	con := &v.Consent
	validity := v.Application.Policy(con.Provider).Validity
	if con.ExpirySource == consent.FromProvider && !con.ExpiresAt.IsZero() && !con.ConsentedAt.IsZero() {
		validity = con.ExpiresAt.Sub(con.ConsentedAt)
	}
	return int(validity.Round(day) / day)
}

const day = 24 * time.Hour
