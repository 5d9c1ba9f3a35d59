package sandbox

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// authURI makes a direct link to a bank's login page (providers.md 1.3). For a
// bank that needs more it leads to the dialog, which asks.
func (s *Server) authURI(r *http.Request) (any, *refusal, error) {
	s.calls["authuri"]++
	f, no := fields(r)
	if no != nil {
		return nil, no, nil
	}
	want, known := s.clients[f.Get("client_id")]
	if !known || (f.Has("client_secret") && f.Get("client_secret") != want) {
		return nil, refuse(http.StatusBadRequest, "invalid_client", "Invalid client_id or client_secret."), nil
	}
	b, ok := bankByID(f.Get("provider_id"))
	if f.Get("response_type") != "code" || !isRedirect(f.Get("redirect_uri")) || !ok {
		return nil, refuse(http.StatusBadRequest, "validation_error", "response_type, redirect_uri or provider_id is missing or wrong."), nil
	}
	j := s.journeyOf(f, b.ID)
	j.Step = stepLogin
	if len(b.Inputs) > 0 {
		j.Step = stepInputs
	}
	return s.started(r, j)
}

// reauthURI makes a direct link that renews a connection (providers.md 1.4).
func (s *Server) reauthURI(r *http.Request) (any, *refusal, error) {
	s.calls["reauthuri"]++
	f, no := fields(r)
	if no != nil {
		return nil, no, nil
	}
	if f.Get("response_type") != "code" || !isRedirect(f.Get("redirect_uri")) {
		return nil, refuse(http.StatusBadRequest, "validation_error", "response_type or redirect_uri is missing or wrong."), nil
	}
	now := s.clock.Now()
	c, token := s.mem.byRefresh(f.Get("refresh_token"))
	if c == nil || token.Dead || !now.Before(c.expires().Add(renewalWindow)) {
		return nil, refuse(http.StatusBadRequest, "invalid_grant", "The refresh token is unknown, or its consent can no longer be renewed."), nil
	}
	if !sameRedirect(c.RedirectURI, f.Get("redirect_uri")) {
		return nil, refuse(http.StatusBadRequest, "invalid_grant", "redirect_uri is not the one of the original link."), nil
	}
	if b, _ := bankByID(c.Bank); len(b.Inputs) > 0 {
		return nil, refuse(http.StatusNotImplemented, "endpoint_not_supported", "This bank needs auth inputs, which reauthuri does not take."), nil
	}
	j := s.journeyOf(f, c.Bank)
	j.ClientID, j.Scopes, j.Renews, j.Step = c.ClientID, c.Scopes, c.CredentialsID, stepLogin
	return s.started(r, j)
}

func (s *Server) started(r *http.Request, j *journey) (any, *refusal, error) {
	if err := s.mem.saveJourney(r.Context(), j); err != nil {
		return nil, nil, err
	}
	return map[string]any{"success": true, "result": origin(r) + j.path()}, nil, nil
}

func (s *Server) journeyOf(f url.Values, bankID string) *journey {
	j := &journey{
		ID: secret(), ClientID: f.Get("client_id"), RedirectURI: f.Get("redirect_uri"), Bank: bankID,
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

func isRedirect(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.IsAbs() && u.Host != ""
}

// sameRedirect compares byte for byte, but for the port of loopback hosts
// (RFC 8252 7.3): a development server may come back on another one.
func sameRedirect(a, b string) bool {
	if a == b {
		return true
	}
	ua, errA := url.Parse(a)
	ub, errB := url.Parse(b)
	if errA != nil || errB != nil || !slices.Contains([]string{"127.0.0.1", "localhost", "::1"}, ua.Hostname()) {
		return false
	}
	return ua.Scheme == ub.Scheme && ua.Hostname() == ub.Hostname() && ua.RequestURI() == ub.RequestURI() && ua.User == nil && ub.User == nil
}

// extend reconfirms a connection (providers.md 1.5).
func (s *Server) extend(r *http.Request) (any, *refusal, error) {
	s.calls["extend"]++
	var f struct {
		Reconfirmed  bool   `json:"user_has_reconfirmed_consent"`
		ClientID     string `json:"client_id"`
		ClientSecret string `json:"client_secret"`
		RefreshToken string `json:"refresh_token"`
		RedirectURI  string `json:"redirect_uri"`
		State        string `json:"state"`
		User         struct {
			Name  string `json:"name"`
			Email string `json:"email"`
		} `json:"user"`
	}
	if err := decodeJSON(r, &f); err != nil {
		return nil, refuse(http.StatusBadRequest, "validation_error", "The body is not the JSON that this call takes."), nil
	}
	if !s.isClient(f.ClientID, f.ClientSecret) {
		return nil, refuse(http.StatusBadRequest, "invalid_client", "Invalid client_id or client_secret."), nil
	}
	if !f.Reconfirmed || f.User.Name == "" || f.User.Email == "" {
		return nil, refuse(http.StatusBadRequest, "validation_error", "The user has to have reconfirmed, and to be named."), nil
	}
	now := s.clock.Now()
	c, token := s.mem.byRefresh(f.RefreshToken)
	if c == nil || c.ClientID != f.ClientID || token.Dead || !now.Before(c.expires().Add(renewalWindow)) {
		return nil, refuse(http.StatusBadRequest, "invalid_grant", "The refresh token is invalid, expired or revoked."), nil
	}
	if c.Eternal {
		return s.extended(r.Context(), c)
	}
	j := s.journeyOf(url.Values{"client_id": {c.ClientID}, "redirect_uri": {f.RedirectURI}, "state": {f.State}}, c.Bank)
	j.Scopes, j.Renews, j.Step, j.ExchangeCode = c.Scopes, c.CredentialsID, stepLogin, true
	if err := s.mem.saveJourney(r.Context(), j); err != nil {
		return nil, nil, err
	}
	return map[string]any{"action_needed": "authentication_needed", "user_input_link": origin(r) + j.path()}, nil, nil
}

func (s *Server) extended(ctx context.Context, c *connection) (any, *refusal, error) {
	now := s.clock.Now()
	c.AuthorisedAt = now
	out, no, err := s.issue(ctx, c, true, now)
	if err != nil || no != nil {
		return nil, no, err
	}
	t, _ := out.(tokenAnswer)
	return map[string]any{
		"action_needed": "no_action_needed", "access_token": t.AccessToken, "refresh_token": t.RefreshToken, "expires_in": t.ExpiresIn,
	}, nil, nil
}
