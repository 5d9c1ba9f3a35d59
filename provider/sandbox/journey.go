package sandbox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"html/template"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// step is where a person is on the way.
type step string

// The steps, in their order. A direct link begins at the bank's login.
const (
	stepBank    step = "bank"    // the aggregator's picker
	stepInputs  step = "inputs"  // what some banks need more
	stepConsent step = "consent" // the aggregator's own consent screen
	stepLogin   step = "login"   // the bank
	stepApprove step = "approve" // the bank's own consent screen
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
	csp = func() string {
		sum := sha256.Sum256([]byte(style))
		return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; frame-ancestors 'none'"
	}()
)

type view struct {
	Style   template.CSS
	Title   string
	Site    string // whose page it looks like
	AtBank  bool
	Client  string
	Step    step
	Error   string
	Banks   []bank
	Inputs  []input
	Scopes  []string
	Action  string
	Message string
	Until   string
	Fields  map[string]string // of a form_post
}

// dialog begins a journey from a link (providers.md 1.2).
func (s *Server) dialog(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.clients[q.Get("client_id")]; !known || q.Get("response_type") != "code" || !isRedirect(q.Get("redirect_uri")) {
		s.show(w, http.StatusBadRequest, "message.html", view{Title: "This link does not work", Site: "Sandbox", Message: "client_id, response_type or redirect_uri is missing or wrong."})
		return
	}
	bankID := q.Get("provider_id")
	if _, ok := bankByID(bankID); !ok {
		if bankID != "" {
			s.show(w, http.StatusBadRequest, "message.html", view{Title: "This bank is not supported", Site: "Sandbox", Message: "The sandbox knows the banks mock, mock-fr and mock-de."})
			return
		}
	}
	j := s.journeyOf(q, bankID)
	j.Step = firstStep(bankID)
	if err := s.mem.saveJourney(r.Context(), j); err != nil {
		s.broken(w, err)
		return
	}
	http.Redirect(w, r, j.path(), http.StatusFound)
}

func firstStep(bankID string) step {
	b, ok := bankByID(bankID)
	switch {
	case !ok:
		return stepBank
	case len(b.Inputs) > 0:
		return stepInputs
	default:
		return stepConsent
	}
}

// page shows where a journey stands.
func (s *Server) page(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j := s.live(w, r); j != nil {
		s.showStep(w, http.StatusOK, j, "")
	}
}

// live returns the request's journey, or shows why there is none.
func (s *Server) live(w http.ResponseWriter, r *http.Request) *journey {
	j, ok := s.mem.journeys[r.PathValue("journey")]
	switch {
	case !ok:
		s.show(w, http.StatusNotFound, "message.html", view{Title: "We do not know this link", Site: "Sandbox", Message: "It is not complete, or the sandbox has been reset."})
		return nil
	case j.Finished:
		s.show(w, http.StatusGone, "message.html", view{Title: "This link has been used", Site: "Sandbox", Message: "Every link works once. Go back to where you came from for a new one."})
		return nil
	case s.clock.Now().Sub(j.StartedAt) >= journeyLife:
		s.show(w, http.StatusGone, "message.html", view{Title: "This link has expired", Site: "Sandbox", Message: "Go back to where you came from for a new one."})
		return nil
	}
	return j
}

func (s *Server) showStep(w http.ResponseWriter, status int, j *journey, fault string) {
	b, _ := bankByID(j.Bank)
	v := view{Step: j.Step, Error: fault, Action: j.path(), Client: j.ClientID, Site: "Sandbox Connect", Scopes: j.Scopes}
	switch j.Step {
	case stepBank:
		v.Title, v.Banks = "Choose your bank", banks
	case stepInputs:
		v.Title, v.Inputs = b.Name+" needs a little more", b.Inputs
	case stepConsent:
		v.Title = "Share your data from " + b.Name
	case stepLogin:
		v.Title, v.Site, v.AtBank = "Sign in", b.Name, true
	case stepApprove:
		v.Title, v.Site, v.AtBank = "Allow access", b.Name, true
		v.Until = s.clock.Now().Add(consentLife).Format("2 January 2006")
	}
	s.show(w, status, "step.html", v)
}

func (s *Server) show(w http.ResponseWriter, status int, name string, v view) {
	v.Style = template.CSS(style) //nolint:gosec // our own embedded file, not input
	var buf bytes.Buffer
	if err := templates.ExecuteTemplate(&buf, name, v); err != nil {
		s.broken(w, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", csp)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(buf.Bytes())
}

func (s *Server) broken(w http.ResponseWriter, err error) {
	s.log.Error("sandbox", "error", err)
	http.Error(w, "The sandbox failed; see its log.", http.StatusInternalServerError)
}

// submit takes a step.
func (s *Server) submit(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 1<<16)
	if err := r.ParseForm(); err != nil {
		http.Error(w, "The form could not be read.", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	j := s.live(w, r)
	if j == nil {
		s.mu.Unlock()
		return
	}
	if r.PostForm.Has("deny") {
		s.leave(w, r, j, url.Values{"error": {"access_denied"}})
		return
	}
	fault := s.take(j, r.PostForm)
	switch {
	case fault != "":
		s.showStep(w, http.StatusUnprocessableEntity, j, fault)
	case j.Step == "":
		s.finish(w, r, j)
		return
	default:
		if err := s.mem.saveJourney(r.Context(), j); err != nil {
			s.broken(w, err)
			break
		}
		http.Redirect(w, r, j.path(), http.StatusSeeOther)
	}
	s.mu.Unlock()
}

// take reads a step's form and moves on; no step left is the end. It returns
// what the person has to mend.
func (s *Server) take(j *journey, form url.Values) string {
	switch j.Step {
	case stepBank:
		if _, ok := bankByID(form.Get("provider_id")); !ok {
			return "Please choose a bank."
		}
		j.Bank = form.Get("provider_id")
		j.Step = firstStep(j.Bank)
	case stepInputs:
		b, _ := bankByID(j.Bank)
		j.Inputs = map[string]string{}
		for _, in := range b.Inputs {
			value := strings.TrimSpace(form.Get(in.Name))
			if value == "" || len(value) > 64 {
				return "Please fill in: " + in.Label + "."
			}
			j.Inputs[in.Name] = value
		}
		j.Step = stepConsent
	case stepConsent:
		j.Step = stepLogin
	case stepLogin:
		who, ok := signIn(form.Get("username"), form.Get("password"))
		if !ok {
			return "User name and password do not match. Try john and doe."
		}
		if s.faults.take("other_bank_login") {
			who.Name = otherLogin(who.Name)
		}
		j.Login = who
		j.Step = stepApprove
	default:
		j.Step = ""
	}
	return ""
}

// finish ends a journey at the bank with a code, or as the faults have it. It
// gives the lock back.
func (s *Server) finish(w http.ResponseWriter, r *http.Request, j *journey) {
	if s.faults.take("user_denies") {
		s.leave(w, r, j, url.Values{"error": {"access_denied"}})
		return
	}
	if s.faults.take("server_error") {
		s.leave(w, r, j, url.Values{"error": {"server_error"}})
		return
	}
	now := s.clock.Now()
	con, err := s.authorised(r.Context(), j, now)
	if err == nil && s.faults.take("same_id_other_accounts") {
		con.Variant++
		err = s.mem.saveConnection(r.Context(), con)
	}
	c := &code{
		Code: secret(), ClientID: j.ClientID, CredentialsID: credentialsID(j.ClientID, j.Bank, j.Login.Name),
		RedirectURI: j.RedirectURI, Challenge: j.Challenge, Scopes: j.Scopes, IssuedAt: now,
	}
	if err == nil {
		err = s.mem.saveCode(r.Context(), c)
	}
	if err != nil {
		s.mu.Unlock()
		s.broken(w, err)
		return
	}
	if j.ExchangeCode {
		s.leave(w, r, j, url.Values{"exchange_code": {c.Code}})
		return
	}
	s.leave(w, r, j, url.Values{"code": {c.Code}, "scope": {strings.Join(j.Scopes, " ")}})
}

// leave sends the browser back. It gives the lock back, since the fault
// browser_returns_twice calls somebody who may call us.
func (s *Server) leave(w http.ResponseWriter, r *http.Request, j *journey, v url.Values) {
	j.Finished = true
	err := s.mem.saveJourney(r.Context(), j)
	twice := s.faults.take("browser_returns_twice")
	s.mu.Unlock()
	if err != nil {
		s.broken(w, err)
		return
	}
	if j.State != nil {
		v.Set("state", string(j.State))
	}
	if j.FormPost {
		fields := map[string]string{}
		for name := range v {
			fields[name] = v.Get(name)
		}
		s.show(w, http.StatusOK, "formpost.html", view{Title: "Back to the app", Site: "Sandbox Connect", Action: j.RedirectURI, Fields: fields})
		return
	}
	target := withQuery(j.RedirectURI, v)
	if twice {
		s.callOnce(r.Context(), target)
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Location", target)
	w.WriteHeader(http.StatusFound)
}

// withQuery adds parameters to an address, which stays as it is byte for byte.
func withQuery(address string, v url.Values) string {
	sep := "?"
	if strings.Contains(address, "?") {
		sep = "&"
	}
	return address + sep + v.Encode()
}

// callOnce fetches a loopback address as a browser would that comes back twice.
func (s *Server) callOnce(ctx context.Context, target string) {
	u, err := url.Parse(target)
	if err != nil || !isLoopback(u.Hostname()) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		s.log.Warn("sandbox: the first of two returns failed", "error", err)
		return
	}
	_ = resp.Body.Close()
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}
