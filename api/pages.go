package api

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/reconsent/reconsent/connector"
	"github.com/reconsent/reconsent/consent"
)

//go:embed templates
var files embed.FS

var (
	pages = template.Must(template.ParseFS(files, "templates/*.html"))
	style = mustRead("templates/style.css")
	// csp allows our one style sheet and nothing else. There is no
	// form-action: browsers apply it to redirects too, and the way to the bank
	// is one.
	csp = "default-src 'none'; style-src 'sha256-" + styleHash() + "'; base-uri 'none'; frame-ancestors 'none'"
)

func mustRead(name string) string {
	b, err := files.ReadFile(name)
	if err != nil {
		panic(err) // embedded at build time
	}
	return string(b)
}

func styleHash() string {
	sum := sha256.Sum256([]byte(style))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// page is what every template may show.
type page struct {
	Title       string
	Application string
	Lines       []string
	Style       template.CSS

	// of the reconnect page
	Bank, BankName, Account, Until, UntilLabel, Action, Proceed string

	// of the documentation page
	Calls []operationLine
	Codes []codeLine
}

type operationLine struct{ Method, Path, Summary string }

type codeLine struct{ Code, Title string }

func (s *Server) show(c *gin.Context, status int, name string, p page) {
	p.Style = template.CSS(style) //nolint:gosec // our own embedded file, not input
	var buf bytes.Buffer
	if err := pages.ExecuteTemplate(&buf, name, p); err != nil {
		s.fail(c, err)
		return
	}
	c.Header("Content-Security-Policy", csp)
	c.Header("Cache-Control", "no-store")
	c.Data(status, "text/html; charset=utf-8", buf.Bytes())
}

// pages are the routes that people's browsers come to.
func (s *Server) pages(r *gin.Engine) {
	r.GET("/callback", s.hostedCallback)
	r.GET("/r/:token", s.reconnectPage)
	r.HEAD("/r/:token", s.reconnectPage)
	r.POST("/r/:token", s.reconnect)
	r.GET("/docs", s.docs)
	r.GET("/", func(c *gin.Context) { c.Redirect(http.StatusFound, "/docs") })
}

// prefetched reports whether a machine fetches a page ahead of a person, who
// may never come.
func prefetched(h http.Header) bool {
	for _, name := range []string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		if v := strings.ToLower(h.Get(name)); strings.Contains(v, "prefetch") || strings.Contains(v, "preview") {
			return true
		}
	}
	return false
}

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
		s.message(c, http.StatusBadRequest, page{Title: "This link is not complete", Lines: []string{
			"Your bank sent you back without what we need to go on. Nothing has changed.",
			"Please start again from the app or the mail that brought you here.",
		}})
		return
	}
	app, out, err := s.connector.CompleteHosted(c.Request.Context(), state, connector.Return{Code: code, Error: q.Get("error")})
	over := err == nil || consent.CodeOf(err) == consent.CodeAttemptExpired
	if over && out.Attempt.ReturnTo != "" { // else a reload may still bring it to an end
		c.Header("Cache-Control", "no-store")
		c.Redirect(http.StatusSeeOther, returnTo(out, err))
		return
	}
	if err != nil {
		s.callbackFault(c, app.Name, err)
		return
	}
	status, p := outcomePage(out)
	p.Application = app.Name
	s.message(c, status, p)
}

func (s *Server) logRefused(c *gin.Context, err error) {
	s.log.InfoContext(c.Request.Context(), "hosted callback not completed", "code", consent.CodeOf(err), "error", err)
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
	base, query, _ := strings.Cut(out.Attempt.ReturnTo, "?")
	if query != "" {
		query += "&"
	}
	return base + "?" + query + v.Encode()
}

func (s *Server) callbackFault(c *gin.Context, application string, err error) {
	e, ok := errors.AsType[*consent.Error](err)
	if !ok {
		s.log.ErrorContext(c.Request.Context(), "hosted callback failed", "error", err)
		s.message(c, http.StatusInternalServerError, page{Title: "Something went wrong on our side", Application: application, Lines: []string{
			"Your connection is as it was. Please reload this page in a moment.",
		}})
		return
	}
	s.logRefused(c, err)
	s.retryAfter(c, e)
	p := page{Application: application}
	switch e.Code {
	case consent.CodeStateUnknown:
		p.Title, p.Lines = "We do not know this link", []string{
			"It may be incomplete, or it was made by somebody else. Nothing has changed.",
			"Please start again from the app or the mail that brought you here.",
		}
	case consent.CodeAttemptExpired:
		p.Title, p.Lines = "That took too long", []string{
			"For your safety a trip to the bank has to be finished within an hour. Your connection is as it was.",
			"Please start again from the app or the mail that brought you here.",
		}
	case consent.CodeProviderUnavailable, consent.CodeAttemptInProgress, consent.CodeRateLimited:
		p.Title, p.Lines = "Your bank does not answer right now", []string{
			"Your connection is as it was, and you have done nothing wrong.",
			"Please reload this page in a moment: we go on from where we are, and you need not sign in again.",
		}
	default:
		p.Title, p.Lines = "This could not be finished", []string{
			"Your connection is as it was, and you have done nothing wrong.",
			"Please start again from the app or the mail that brought you here; if it happens again, tell the app's support.",
		}
	}
	s.message(c, answers[e.Code].status, p)
}

func outcomePage(out connector.Outcome) (int, page) {
	bank := "Your bank"
	if out.Consent != nil && out.Consent.BankName != "" {
		bank = out.Consent.BankName
	}
	done := "You can close this page and go back to the app."
	switch out.Attempt.Status {
	case consent.AttemptLinked, consent.AttemptRenewed:
		p := page{Title: bank + " is connected", Lines: []string{done}}
		if out.Consent != nil && !out.Consent.ExpiresAt.IsZero() {
			p.Lines = []string{"The connection works until " + date(out.Consent.ExpiresAt) + ".", done}
		}
		return http.StatusOK, p
	case consent.AttemptPending:
		return http.StatusOK, page{Title: "Almost done", Lines: []string{
			"Your bank has agreed. Go back to the app where you started: it finishes the connection.",
		}}
	case consent.AttemptDenied:
		return http.StatusOK, page{Title: "You said no at your bank", Lines: []string{
			"Nothing has changed. If that was a slip, start again from the app or the mail that brought you here.",
		}}
	case consent.AttemptMismatched:
		p := page{Title: "That was another bank login", Lines: []string{
			"To keep the right account connected, please sign in with the login that you used the first time: start again from the app or the mail that brought you here.",
			"Nothing has changed, and we do not keep the other access.",
		}}
		if out.Consent != nil && out.Consent.AccountLabel != "" {
			p.Lines = append([]string{"We expected the login of " + out.Consent.AccountLabel + "."}, p.Lines...)
		}
		return http.StatusConflict, p
	default:
		return http.StatusOK, page{Title: "Your bank had a problem", Lines: []string{
			"The connection could not be finished. That was not your fault, and your connection is as it was.",
			"Please start again from the app or the mail that brought you here.",
		}}
	}
}

func date(t time.Time) string { return t.UTC().Format("2 January 2006") }

func (s *Server) message(c *gin.Context, status int, p page) { s.show(c, status, "message.html", p) }

// reconnectPage shows what a reconnect link is about. It changes nothing.
func (s *Server) reconnectPage(c *gin.Context) {
	v, err := s.connector.OpenReconnectLink(c.Request.Context(), c.Param("token"))
	if err != nil {
		s.linkFault(c, err)
		return
	}
	s.showLink(c, v)
}

// reconnect takes a person who pressed the button to the bank.
func (s *Server) reconnect(c *gin.Context) {
	token := c.Param("token")
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxBody)
	if !s.connector.ReconnectProof(token, c.PostForm("proceed")) {
		s.reconnectPage(c) // a machine that posts without reading the page
		return
	}
	v, started, err := s.connector.PressReconnectLink(c.Request.Context(), token)
	switch {
	case err != nil:
		s.linkFault(c, err)
	case v.State != connector.LinkReady:
		s.showLink(c, v)
	default:
		c.Header("Cache-Control", "no-store")
		c.Redirect(http.StatusSeeOther, started.URI)
	}
}

func (s *Server) linkFault(c *gin.Context, err error) {
	if connector.IsUnknownLink(err) {
		s.message(c, http.StatusNotFound, page{Title: "We do not know this link", Lines: []string{
			"It may have been cut off or altered on the way. Please open it again from the mail, whole.",
		}})
		return
	}
	s.callbackFault(c, "", err)
}

func (s *Server) showLink(c *gin.Context, v connector.LinkView) {
	bank := v.Consent.BankName
	if bank == "" {
		bank = "your bank"
	}
	p := page{Application: v.Application.Name, Bank: bank, BankName: v.Consent.BankName, Account: v.Consent.AccountLabel}
	switch v.State {
	case connector.LinkRenewed:
		p.Title = "Already connected"
		p.Lines = []string{"There is nothing to do: this connection has been renewed since the mail was sent."}
		if !v.Consent.ExpiresAt.IsZero() {
			p.Lines = append(p.Lines, "It works until "+date(v.Consent.ExpiresAt)+".")
		}
		s.message(c, http.StatusOK, p)
	case connector.LinkEnded:
		p.Title, p.Lines = "This connection has ended", []string{"It was ended since the mail was sent, and needs no renewing. To connect the account again, start from the app."}
		s.message(c, http.StatusGone, p)
	case connector.LinkExpired:
		p.Title, p.Lines = "This link has expired", []string{"For your safety links work for a limited time. Please ask the app for a new one, or start from there."}
		s.message(c, http.StatusGone, p)
	default:
		p.Title = "Keep " + bank + " connected"
		p.UntilLabel, p.Until = "Access until", date(v.Consent.LapsesAt)
		p.Lines = []string{"Your permission for " + v.Application.Name + " to see this account is running out. Renew it at your bank; it takes about a minute."}
		if v.Status == consent.Lapsed || v.Status == consent.Unrenewable {
			p.Title = "Reconnect " + bank
			p.UntilLabel = "Access stopped on"
			p.Lines = []string{v.Application.Name + " can no longer see this account. Give permission again at your bank; it takes about a minute."}
		}
		if v.Consent.LapsesAt.IsZero() {
			p.Until = ""
		}
		p.Action, p.Proceed = "/r/"+url.PathEscape(c.Param("token")), s.connector.ReconnectProofFor(c.Param("token"))
		s.show(c, http.StatusOK, "reconnect.html", p)
	}
}

func (s *Server) docs(c *gin.Context) {
	p := page{Title: "reconsent API"}
	for _, op := range operations {
		p.Calls = append(p.Calls, operationLine{op.method, op.path, op.summary})
	}
	for _, code := range codesInOrder() {
		p.Codes = append(p.Codes, codeLine{string(code), titleOf(code)})
	}
	s.show(c, http.StatusOK, "docs.html", p)
}
