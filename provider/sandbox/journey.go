package sandbox

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
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

// page wraps a page's call with the lock and the memory's flush. What the call
// returns is run without the lock: it may call somebody who calls us.
func (s *Server) page(call func(r *http.Request) http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !readAhead(w, r) || r.ParseForm() != nil && r.Method == http.MethodPost {
			s.message(http.StatusBadRequest, "We could not read that", "Go back and try again.")(w, r)
			return
		}
		s.mu.Lock()
		var answer http.HandlerFunc
		err := s.mem.do(r.Context(), func() { answer = call(r) })
		s.mu.Unlock()
		if err != nil {
			s.log.Error("sandbox", "path", r.URL.Path, "error", err)
			answer = s.message(http.StatusInternalServerError, "The sandbox failed", "Its log says why.")
		}
		answer(w, r)
	}
}

// dialog begins a journey from a link (providers.md 1.2). TrueLayer's links
// work once each; here that holds for the journey behind a link, since clients
// may repeat a nonce.
func (s *Server) dialog(r *http.Request) http.HandlerFunc {
	if r.URL.RawQuery == "" {
		return s.message(http.StatusOK, "The sandbox bank is running",
			"It speaks TrueLayer's protocol. Sign in as john with doe, or as john1 with doe1, up to 100. GET /_control/faults lists what can be made to go wrong, and POST /_control/clock moves the time.")
	}
	q := looseQuery(r.URL.RawQuery)
	if _, known := s.clients[q.Get("client_id")]; !known {
		return s.message(http.StatusBadRequest, "This link does not work", "client_id is missing, or no client of this sandbox.")
	}
	if no := checkLink(q); no != nil {
		return s.message(http.StatusBadRequest, "This link does not work", no.Description)
	}
	bankID := q.Get("provider_id")
	if _, ok := bankByID(bankID); !ok && bankID != "" {
		return s.message(http.StatusBadRequest, "This bank is not here", "The sandbox has the banks mock, mock-fr and mock-de.")
	}
	j := s.journeyOf(q, bankID)
	j.Offered = offered(q)
	j.Step = firstStep(bankID)
	s.mem.saveJourney(j)
	return redirect(j.path())
}

// offered are the banks that the link leaves to choose from. Sets of banks,
// such as uk-ob-all, have no meaning here; single banks have.
func offered(q url.Values) []string {
	named, disabled := strings.Fields(q.Get("providers")), strings.Fields(q.Get("disable_providers"))
	var all, some []string
	for _, b := range banks {
		if slices.Contains(disabled, b.ID) {
			continue
		}
		all = append(all, b.ID)
		if slices.Contains(named, b.ID) {
			some = append(some, b.ID)
		}
	}
	if len(some) > 0 {
		return some
	}
	return all
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

// look shows where a journey stands.
func (s *Server) look(r *http.Request) http.HandlerFunc {
	j, gone := s.live(r)
	if gone != nil {
		return gone
	}
	return s.showStep(http.StatusOK, j, "")
}

// live returns the request's journey, or the page that says why there is none.
func (s *Server) live(r *http.Request) (*journey, http.HandlerFunc) {
	id := r.PathValue("journey")
	j, ok := s.mem.journeys[digestOf(id)]
	switch {
	case !ok:
		return nil, s.message(http.StatusNotFound, "We do not know this link", "It is not complete, or it is too old. Go back to the app and start again.")
	case j.Finished:
		return nil, s.message(http.StatusGone, "This link has been used", "Every link works once. Go back to the app for a new one.")
	case s.clock.Now().Sub(j.StartedAt) >= journeyLife:
		return nil, s.message(http.StatusGone, "This link has expired", "Go back to the app for a new one.")
	}
	j.ID = id
	return j, nil
}

// submit takes a step.
func (s *Server) submit(r *http.Request) http.HandlerFunc {
	j, gone := s.live(r)
	if gone != nil {
		return gone
	}
	if shown := r.PostForm.Get("step"); shown != "" && shown != string(j.Step) {
		return redirect(j.path()) // the browser's back button; go on where the journey is
	}
	if r.PostForm.Has("deny") {
		return s.leave(j, url.Values{"error": {"access_denied"}})
	}
	switch status, fault := s.take(j, r.PostForm); {
	case fault != "":
		return s.showStep(status, j, fault)
	case j.Step == "":
		return s.finish(j)
	}
	s.mem.saveJourney(j)
	return redirect(j.path())
}

// take reads a step's form and moves on; no step left is the end. It returns
// what the person has to mend.
func (s *Server) take(j *journey, form url.Values) (status int, fault string) {
	switch j.Step {
	case stepBank:
		chosen := form.Get("provider_id")
		if _, ok := bankByID(chosen); !ok || !slices.Contains(j.Offered, chosen) {
			return http.StatusUnprocessableEntity, "Please choose a bank."
		}
		j.Bank = chosen
		j.Step = firstStep(j.Bank)
	case stepInputs:
		b, _ := bankByID(j.Bank)
		for _, in := range b.Inputs {
			if strings.TrimSpace(form.Get(in.Name)) == "" {
				return http.StatusUnprocessableEntity, "Please fill in: " + in.Label + "."
			}
		}
		j.Step = stepConsent
	case stepConsent:
		j.Step = stepLogin
	case stepLogin:
		who, ok := signIn(form.Get("username"), form.Get("password"))
		if !ok {
			return http.StatusUnauthorized, "User name and password do not match. Please try again."
		}
		if s.faults.take("other_bank_login") {
			who.Name = stranger(who.Name)
		}
		j.Login = who
		j.Step = stepApprove
	default:
		j.Step = ""
	}
	return 0, ""
}

// finish ends a journey at the bank with a code, or as the faults have it.
func (s *Server) finish(j *journey) http.HandlerFunc {
	if s.faults.take("user_denies") {
		return s.leave(j, url.Values{"error": {"access_denied"}})
	}
	if s.faults.take("server_error") {
		return s.leave(j, url.Values{"error": {"server_error"}})
	}
	now := s.clock.Now()
	id := credentialsID(j.ClientID, j.Bank, j.Login.Name)
	known, ok := s.mem.connections[id]
	scopes := j.Scopes
	if ok && j.Renews != "" {
		scopes = known.Scopes // a renewal asks for nothing new
	}
	con := s.authorised(j.ClientID, j.Bank, j.Login, scopes, now)
	if s.faults.take("same_id_other_accounts") {
		con.Variant = 1
	}
	value := randomToken()
	s.mem.saveCode(digestOf(value), &code{
		ClientID: j.ClientID, CredentialsID: con.CredentialsID, RedirectURI: j.RedirectURI,
		Challenge: j.Challenge, Renews: j.Renews, IssuedAt: now,
	})
	if j.ExchangeCode {
		return s.leave(j, url.Values{"exchange_code": {value}})
	}
	return s.leave(j, url.Values{"code": {value}, "scope": {strings.Join(con.Scopes, " ")}})
}
