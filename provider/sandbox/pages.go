package sandbox

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"html/template"
	"net/http"
)

//go:embed templates
var files embed.FS

var (
	templates = template.Must(template.ParseFS(files, "templates/*.html"))
	style     = func() string {
		b, err := files.ReadFile("templates/style.css")
		if err != nil {
			panic(err) // embedded at build time
		}
		return string(b)
	}()
	// policy has no form-action: the last form's answer redirects to the app.
	policy = func() string {
		sum := sha256.Sum256([]byte(style))
		return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; frame-ancestors 'none'"
	}()
)

// siteName is the aggregator's, on the pages that are not a bank's.
const siteName = "Sandbox Connect"

type view struct {
	Style   template.CSS
	Title   string
	Site    string // whose page it looks like
	AtBank  bool
	App     string // who asks
	Step    step
	Error   string
	Banks   []bank
	Inputs  []input
	Scopes  []string
	Action  string
	Message string
	Until   string

	Target template.URL      // of a form_post
	Fields map[string]string // of a form_post
}

func (s *Server) showStep(status int, j *journey, fault string) http.HandlerFunc {
	b, _ := bankByID(j.Bank)
	v := view{Step: j.Step, Error: fault, Action: j.path(), App: j.ClientID, Site: siteName}
	if c, ok := s.clients[j.ClientID]; ok {
		v.App = c.Name
	}
	switch j.Step {
	case stepBank:
		v.Title = "Choose your bank"
		for _, id := range j.Offered {
			offer, _ := bankByID(id)
			v.Banks = append(v.Banks, offer)
		}
	case stepInputs:
		v.Title, v.Inputs = b.Name+" needs a little more", b.Inputs
	case stepConsent:
		v.Title = "Share your data from " + b.Name
		for _, scope := range j.Scopes {
			if text, ok := scopeTexts[scope]; ok {
				v.Scopes = append(v.Scopes, text)
			}
		}
	case stepLogin:
		v.Title, v.Site, v.AtBank = "Sign in to "+b.Name, b.Name, true
	case stepApprove:
		v.Title, v.Site, v.AtBank = "Allow access?", b.Name, true
		v.Until = s.clock.Now().Add(consentLife).Format("2 January 2006")
	}
	return func(w http.ResponseWriter, _ *http.Request) { s.show(w, status, "step.html", v) }
}

// scopeTexts say what a scope means to the person.
var scopeTexts = map[string]string{
	"info":            "Your name and contact details",
	"accounts":        "Your accounts and their numbers",
	"balance":         "Your balances",
	"transactions":    "Your transactions",
	"cards":           "Your cards",
	"direct_debits":   "Your direct debits",
	"standing_orders": "Your standing orders",
	"offline_access":  "Also while you are away, for 90 days",
}

func (s *Server) message(status int, title, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		s.show(w, status, "message.html", view{Title: title, Site: siteName, Message: text})
	}
}

func (s *Server) show(w http.ResponseWriter, status int, name string, v view) {
	v.Style = template.CSS(style) //nolint:gosec // our own embedded file, not input
	var buf bytes.Buffer
	if err := templates.ExecuteTemplate(&buf, name, v); err != nil {
		s.log.Error("sandbox", "page", name, "error", err)
		http.Error(w, "The sandbox failed; see its log.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(buf.Bytes())
}
