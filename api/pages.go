package api

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"html/template"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/locale"
	"github.com/reconsent/reconsent/reauth/stepup"
)

//go:embed templates
var files embed.FS

var (
	templates = template.Must(template.ParseFS(files, "templates/*.html"))
	style     = mustRead("templates/style.css")
)

func mustRead(name string) string {
	b, err := files.ReadFile(name)
	if err != nil {
		panic(err) // embedded at build time
	}
	return string(b)
}

// pages are the routes that people's browsers come to.
func (s *Server) pages(r *gin.Engine) {
	r.GET("/callback", s.hostedCallback)
	r.POST("/callback/again", s.callbackAgain)
	r.GET("/r/:token", s.reconnectPage)
	r.HEAD("/r/:token", s.reconnectPage)
	r.POST("/r/:token", s.reconnect)
	r.GET("/u/:token", s.unsubscribePage)
	r.HEAD("/u/:token", s.unsubscribePage)
	r.POST("/u/:token", s.unsubscribe)
	r.GET(stepup.PathStart+":ticket", s.startIdentity)
	r.GET(stepup.PathReturn, s.returnIdentity)
	r.GET("/docs", s.docs)
	r.GET("/", func(c *gin.Context) { c.Redirect(http.StatusFound, "/docs") })
}

// mark is the sign at the head of a page: how things stand, at a glance.
type mark string

const (
	markGood      mark = "good"
	markAttention mark = "attention"
	markTrouble   mark = "trouble"
)

// page is what every template may show. All of it is text, which the template
// escapes.
type page struct {
	frame
	Mark      mark
	Title     string
	Lines     []string
	Facts     []fact
	Next      string // heading of Steps
	Steps     []string
	Declared  string // heading of Statement
	Statement string
	Form      *form
	Reload    string // what a link is called that opens this address anew; empty for none
	Small     string
	Security  string

	noBank bool // it is not about a bank: then its foot does not speak of one
}

// frame is what every page has around it.
type frame struct {
	Language    string
	Application string
	Style       template.CSS
	look        consent.Branding
}

// documentation is the page of the calls and the codes.
type documentation struct {
	frame
	Title string
	Calls []operationLine
	Codes []codeLine
}

// fact is a name and what it is. What follows a value is not isolated with it; a
// moment comes in two parts, which are not broken.
type fact struct{ Name, Value, More, Day, Hour string }

// form is the one thing that can be done on a page.
type form struct {
	Action string
	Fields []hidden
	Button string
}

// hidden is a field of a form that people do not see.
type hidden struct{ Name, Value string }

type operationLine struct{ Method, Path, Summary string }

type codeLine struct{ Code, Title string }

// visit is somebody who looks at a page: in whose name we speak, and how.
type visit struct {
	app  *consent.Application // nil where none is known
	lang locale.Language
	zone *time.Location
}

// visitOf speaks the user's language, where that is known, else the browser's.
func visitOf(c *gin.Context, app *consent.Application, u *consent.User) visit {
	return visit{app: app, lang: locale.Match(u.Locale, c.GetHeader("Accept-Language")), zone: locale.Zone(u.TimeZone)}
}

// stranger is a visit of whom nothing is known.
func stranger(c *gin.Context) visit {
	return visitOf(c, nil, &consent.User{})
}

// name is what the application is called; empty where none is known.
func (v visit) name() string {
	if v.app == nil {
		return ""
	}
	return v.app.Name
}

// facts are what a page lists of a consent: its bank, the account under a name,
// and a moment.
func (v visit) facts(con *consent.Consent, account, when string, at time.Time) []fact {
	var list []fact
	if con.BankName != "" {
		list = append(list, fact{Name: v.lang.Say("pages.bank"), Value: bare(con.BankName)})
	}
	if account != "" && con.AccountLabel != "" {
		list = append(list, fact{Name: account, Value: bare(con.AccountLabel), More: string(moreAccounts(v.lang, con))})
	}
	if when != "" && !at.IsZero() {
		day := v.lang.Date(at, v.zone)
		list = append(list, fact{Name: when, Day: day, Hour: strings.TrimPrefix(v.lang.DateTime(at, v.zone), day)})
	}
	return list
}

// moment is a date with the time of day for the middle of a sentence: no line
// ends inside the date.
func (v visit) moment(at time.Time) string {
	day := v.lang.Date(at, v.zone)
	return strings.ReplaceAll(day, " ", "\u00a0") + strings.TrimPrefix(v.lang.Moment(at, v.zone), day)
}

// bare is a name that stands alone, in an element that isolates it: without the
// characters that steer the direction of text.
func bare(name string) string { return strings.Trim(locale.Isolate(name), "\u2068\u2069") }

// show answers with a page of ours, in the visitor's language and the
// application's colours.
func (s *Server) show(c *gin.Context, v visit, status int, p page) {
	p.Language = v.lang.Tag()
	if !p.noBank {
		p.Security = v.lang.Say("pages.security", "App", v.name())
	}
	if v.app != nil {
		p.Application, p.look = bare(v.app.Name), v.app.Branding
	}
	s.render(c, status, "page.html", &p.frame, &p)
}

// render writes a page; f is its frame.
func (s *Server) render(c *gin.Context, status int, name string, f *frame, p any) {
	css := ":root{--accent:" + f.look.Ground() + ";--on-accent:" + f.look.Ink() + "}\n" + style
	f.Style = template.CSS(css) //nolint:gosec // our own file, and two colours that were read as colours
	var buf bytes.Buffer
	if err := templates.ExecuteTemplate(&buf, name, p); err != nil {
		s.fail(c, err)
		return
	}
	// Our one style sheet and nothing else. There is no form-action: browsers
	// apply it to redirects too, and the way to the bank is one.
	sum := sha256.Sum256([]byte(css))
	c.Header("Content-Security-Policy", "default-src 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'; base-uri 'none'; frame-ancestors 'none'")
	c.Data(status, "text/html; charset=utf-8", buf.Bytes())
}

// seeOther sends the browser on.
func seeOther(c *gin.Context, to string) {
	c.Redirect(http.StatusSeeOther, to)
}

// noMethod answers where there is something, for another method.
func (s *Server) noMethod(c *gin.Context) {
	if forUsers(c.Request.URL.Path) || !prefersHTML(c.GetHeader("Accept")) {
		s.fail(c, &consent.Error{Code: codeMethodNotAllowed, Detail: "This address does not take this method; /docs lists what it takes."})
		return
	}
	v := stranger(c)
	s.show(c, v, http.StatusMethodNotAllowed, page{Mark: markAttention, Title: v.lang.Say("pages.nowhere_title"), Lines: []string{v.lang.Say("pages.nowhere")}})
}

// sorry answers for a panic: people with a page that has nothing of what
// panicked in it, programs with a problem document.
func (s *Server) sorry(c *gin.Context) {
	problem := &consent.Error{Code: codeInternal, Detail: "The request could not be carried out. Nothing was lost; try again."}
	if c.Writer.Written() || forUsers(c.Request.URL.Path) || !prefersHTML(c.GetHeader("Accept")) {
		s.fail(c, problem)
		return
	}
	defer func() {
		if recover() != nil { // it is the pages themselves
			s.fail(c, problem)
		}
	}()
	v := stranger(c)
	c.Abort()
	s.show(c, v, http.StatusInternalServerError, page{
		Mark: markTrouble, Title: v.lang.Say("pages.broken_title"), Lines: []string{v.lang.Say("pages.broken")},
	})
}

// nowhere answers where there is nothing: people with a page, programs with a
// problem document, and so whatever they accept where only programs call.
func (s *Server) nowhere(c *gin.Context) {
	if forUsers(c.Request.URL.Path) || !prefersHTML(c.GetHeader("Accept")) {
		s.fail(c, &consent.Error{Code: codeNotFound, Detail: "There is nothing at this address; /docs lists what there is."})
		return
	}
	switch strings.TrimSuffix(c.Request.URL.Path, "/") {
	case "/r", "/u": // a link that was cut off
		s.unknownLink(c)
	default:
		v := stranger(c)
		s.show(c, v, http.StatusNotFound, page{Mark: markAttention, Title: v.lang.Say("pages.nowhere_title"), Lines: []string{v.lang.Say("pages.nowhere")}})
	}
}

// prefersHTML reports whether an Accept header (RFC 9110, 12.5.1) names HTML,
// and wants it no less than JSON.
func prefersHTML(accept string) bool {
	html, json := 0.0, 0.0
	for part := range strings.SplitSeq(accept, ",") {
		kind, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		weight := 1.0
		if q, err := strconv.ParseFloat(params["q"], 64); err == nil {
			weight = q
		}
		switch kind {
		case "text/html":
			html = max(html, weight)
		case "application/json", "application/problem+json":
			json = max(json, weight)
		}
	}
	return html > 0 && html >= json
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

func (s *Server) docs(c *gin.Context) {
	p := documentation{frame: frame{Language: locale.English.Tag()}, Title: "reconsent API"}
	for _, op := range operations {
		p.Calls = append(p.Calls, operationLine{op.method, op.path, op.summary})
	}
	for _, code := range codesInOrder() {
		p.Codes = append(p.Codes, codeLine{string(code), titleOf(code)})
	}
	s.render(c, http.StatusOK, "docs.html", &p.frame, &p)
}
