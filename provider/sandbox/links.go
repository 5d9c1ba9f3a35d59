package sandbox

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// authURI makes a direct link to a bank's login page (providers.md 1.3). For a
// bank that needs more it leads to the dialog, which asks.
func (s *Server) authURI(r *http.Request) (any, error) {
	s.calls["authuri"]++
	f, err := fields(r)
	if err != nil {
		return nil, err
	}
	id := f.Get("client_id")
	if _, known := s.clients[id]; !known || (f.Has("client_secret") && !s.isClient(id, f.Get("client_secret"))) {
		return nil, invalidClient()
	}
	if err := checkLink(f); err != nil {
		return nil, err
	}
	b, ok := bankByID(f.Get("provider_id"))
	if !ok {
		return nil, refuse(http.StatusBadRequest, "validation_error", "provider_id is missing, or no bank of the sandbox.")
	}
	j := s.journeyOf(f, b.ID)
	j.Step = stepLogin
	if len(b.Inputs) > 0 {
		j.Step = stepInputs
	}
	return s.started(r, j), nil
}

// reauthURI makes a direct link that renews a connection (providers.md 1.4).
// Which error answers what is not published there; these follow the list in 1.10.
func (s *Server) reauthURI(r *http.Request) (any, error) {
	s.calls["reauthuri"]++
	f, err := fields(r)
	if err != nil {
		return nil, err
	}
	if err := checkLink(f); err != nil {
		return nil, err
	}
	token := digestOf(f.Get("refresh_token"))
	c, i, ok := s.mem.byRefresh(token)
	switch {
	case !f.Has("refresh_token"):
		return nil, refuse(http.StatusBadRequest, "validation_error", "refresh_token is missing.")
	case !ok || c.Tokens[i].Dead || !c.renewable(s.clock.Now()):
		return nil, refuse(http.StatusBadRequest, "invalid_grant", "The refresh token is unknown, or its consent can no longer be renewed.")
	case !sameRedirect(c.Tokens[i].RedirectURI, f.Get("redirect_uri")):
		return nil, refuse(http.StatusBadRequest, "invalid_grant", "redirect_uri is not the one of the original link.")
	}
	if b, _ := bankByID(c.Bank); len(b.Inputs) > 0 {
		return nil, refuse(http.StatusNotImplemented, "endpoint_not_supported", "This bank needs auth inputs, which reauthuri does not take.")
	}
	j := s.journeyOf(f, c.Bank)
	j.ClientID, j.Scopes, j.Renews, j.Step = c.ClientID, c.Scopes, token, stepLogin
	return s.started(r, j), nil
}

// checkLink checks what every link needs.
func checkLink(f url.Values) *refusal {
	switch method := f.Get("code_challenge_method"); {
	case f.Get("response_type") != "code":
		return refuse(http.StatusBadRequest, "validation_error", `response_type has to be "code".`)
	case !isRedirect(f.Get("redirect_uri")):
		return refuse(http.StatusBadRequest, "validation_error", "redirect_uri is missing, or no absolute address without a fragment.")
	case f.Get("code_challenge") != "" && method != "S256":
		return refuse(http.StatusBadRequest, "validation_error", `code_challenge_method has to be "S256".`)
	}
	return nil
}

func (s *Server) started(r *http.Request, j *journey) map[string]any {
	s.mem.saveJourney(j)
	return map[string]any{"success": true, "result": origin(r) + j.path()}
}

func (s *Server) journeyOf(f url.Values, bankID string) *journey {
	j := &journey{
		ID: randomToken(), ClientID: f.Get("client_id"), RedirectURI: f.Get("redirect_uri"), Bank: bankID,
		Scopes: strings.Fields(f.Get("scope")), Challenge: f.Get("code_challenge"), FormPost: f.Get("response_mode") == "form_post",
		StartedAt: s.clock.Now(),
	}
	if f.Has("state") {
		j.State = []byte(f.Get("state"))
	}
	return j
}

func (j *journey) path() string {
	if j.Step == stepLogin || j.Step == stepApprove {
		return "/bank/" + j.ID
	}
	return "/connect/" + j.ID
}

// origin is the address that the caller reached us by.
func origin(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}

// isRedirect takes what a browser can be sent to, apps' own schemes included.
// At TrueLayer it must be registered too.
func isRedirect(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Host != "" && !strings.ContainsAny(s, "# \\") &&
		u.Scheme != "" && !slices.Contains([]string{"javascript", "data", "vbscript", "file"}, u.Scheme)
}

// sameRedirect compares byte for byte, but for the port of loopback hosts
// (RFC 8252 7.3): a development server may come back on another one.
func sameRedirect(a, b string) bool {
	if a == b {
		return true
	}
	ua, errA := url.Parse(a)
	ub, errB := url.Parse(b)
	if errA != nil || errB != nil || !isLoopback(ua.Hostname()) {
		return false
	}
	portless := func(s string, u *url.URL) string {
		return strings.Replace(s, u.Host, strings.TrimSuffix(u.Host, ":"+cmp.Or(u.Port(), "none")), 1)
	}
	return portless(a, ua) == portless(b, ub)
}
