package sandbox

import (
	"encoding/json"
	"net/http"
	"net/url"
)

type extendBody struct {
	Reconfirmed  bool   `json:"user_has_reconfirmed_consent"`
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
	RefreshToken string `json:"refresh_token"`
	RedirectURI  string `json:"redirect_uri"`
	State        string `json:"state"`
	User         struct {
		ID    string `json:"id"`
		Name  string `json:"name"`
		Email string `json:"email"`
	} `json:"user"`
}

type extendAnswer struct {
	ActionNeeded  string `json:"action_needed"`
	UserInputLink string `json:"user_input_link,omitempty"`
	*tokenAnswer
}

// extend reconfirms a connection (providers.md 1.5): at once for john/eternal,
// by a visit at the bank for everybody else (1.11). UK banks only.
func (s *Server) extend(r *http.Request) (any, error) {
	s.calls["extend"]++
	var f extendBody
	if err := json.NewDecoder(r.Body).Decode(&f); err != nil {
		return nil, refuse(http.StatusBadRequest, "validation_error", "The body is not the JSON that this call takes.")
	}
	if !s.isClient(f.ClientID, f.ClientSecret) {
		return nil, invalidClient()
	}
	if !f.Reconfirmed || f.User.Name == "" || f.User.Email == "" || !isRedirect(f.RedirectURI) {
		return nil, refuse(http.StatusBadRequest, "validation_error", "The user has to have reconfirmed and to be named, and redirect_uri to be given.")
	}
	now, token := s.clock.Now(), digestOf(f.RefreshToken)
	c, i, ok := s.mem.byRefresh(token)
	if !ok || c.ClientID != f.ClientID || c.Tokens[i].Dead || !c.renewable(now) {
		return nil, refuse(http.StatusBadRequest, "invalid_grant", "The refresh token is invalid, expired or revoked.")
	}
	if b, _ := bankByID(c.Bank); b.Country != "uk" {
		return nil, refuse(http.StatusNotImplemented, "endpoint_not_supported", "Only consents at UK banks can be reconfirmed.")
	}
	if c.Login.Eternal {
		c.AuthorisedAt = now
		out, err := s.issue(c, s.rotate(c, i, now), now)
		return extendAnswer{ActionNeeded: "no_action_needed", tokenAnswer: &out}, err
	}
	j := s.journeyOf(url.Values{"client_id": {c.ClientID}, "redirect_uri": {f.RedirectURI}}, c.Bank)
	if f.State != "" {
		j.State = []byte(f.State)
	}
	j.Scopes, j.Renews, j.Step, j.ExchangeCode = c.Scopes, token, stepLogin, true
	s.mem.saveJourney(j)
	return extendAnswer{ActionNeeded: "authentication_needed", UserInputLink: origin(r) + j.path()}, nil
}
