package sandbox

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

func decodeJSON(r *http.Request, v any) error { return json.NewDecoder(r.Body).Decode(v) }

func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return token
}

// results is the envelope of every data answer.
func results[T any](list ...T) any {
	if list == nil {
		list = []T{}
	}
	return map[string]any{"results": list, "status": "Succeeded"}
}

// data wraps a data call: only the newest access token counts, and only while
// the consent lives (providers.md 1.10).
func (s *Server) data(name string, call func(r *http.Request, c *connection) (any, *refusal)) func(*http.Request) (any, *refusal, error) {
	return func(r *http.Request) (any, *refusal, error) {
		s.calls[name]++
		now := s.clock.Now()
		c := s.mem.byAccess(bearer(r))
		switch {
		case c == nil || !now.Before(c.AccessEnds):
			return nil, refuse(http.StatusUnauthorized, "invalid_token", "The access token is unknown, expired or superseded."), nil
		case c.lapsed(now):
			return nil, refuse(http.StatusForbidden, "access_denied", "Access has expired or was revoked."), nil
		case c.DataError != "":
			return nil, refuse(dataErrors[c.DataError], c.DataError, "This login's data calls fail."), nil
		}
		out, no := call(r, c)
		return out, no, nil
	}
}

func (s *Server) me(_ *http.Request, c *connection) (any, *refusal) {
	b, _ := bankByID(c.Bank)
	return results(map[string]any{
		"client_id": c.ClientID, "credentials_id": c.CredentialsID, "consent_status": "Authorised",
		"consent_status_updated_at": iso(c.AuthorisedAt), "consent_created_at": iso(c.AuthorisedAt), "consent_expires_at": iso(c.expires()),
		"provider":       map[string]any{"display_name": b.Name, "provider_id": b.ID, "logo_uri": ""},
		"scopes":         c.Scopes,
		"privacy_policy": "Feb2019",
	}), nil
}

func (s *Server) info(_ *http.Request, c *connection) (any, *refusal) {
	return results(map[string]any{
		"full_name": "John Doe", "emails": []string{c.Login + "@example.org"}, "phones": []string{}, "addresses": []any{}, "update_timestamp": iso(s.clock.Now()),
	}), nil
}

func (s *Server) accountJSON(c *connection, a account) map[string]any {
	b, _ := bankByID(c.Bank)
	return map[string]any{
		"account_id": a.ID, "account_type": a.Type, "display_name": a.Name, "currency": a.Currency, "update_timestamp": iso(s.clock.Now()),
		"account_number": map[string]any{"iban": a.IBAN, "number": a.Number, "sort_code": a.SortCode, "swift_bic": "MOCKGB2L"},
		"provider":       map[string]any{"display_name": b.Name, "provider_id": b.ID, "logo_uri": ""},
	}
}

func (s *Server) accounts(_ *http.Request, c *connection) (any, *refusal) {
	if no := needsScope(c, "accounts"); no != nil {
		return nil, no
	}
	list := []map[string]any{}
	for _, a := range accountsOf(c.Bank, c.Login, c.Variant) {
		list = append(list, s.accountJSON(c, a))
	}
	return results(list...), nil
}

func (s *Server) oneAccount(r *http.Request, c *connection) (any, *refusal) {
	return s.withAccount(r, c, "accounts", func(a account) map[string]any { return s.accountJSON(c, a) })
}

func (s *Server) balance(r *http.Request, c *connection) (any, *refusal) {
	return s.withAccount(r, c, "balance", func(a account) map[string]any {
		return map[string]any{"currency": a.Currency, "available": a.Balance, "current": a.Balance, "update_timestamp": iso(s.clock.Now())}
	})
}

func (s *Server) withAccount(r *http.Request, c *connection, scope string, show func(account) map[string]any) (any, *refusal) {
	if no := needsScope(c, scope); no != nil {
		return nil, no
	}
	for _, a := range accountsOf(c.Bank, c.Login, c.Variant) {
		if a.ID == r.PathValue("id") {
			return results(show(a)), nil
		}
	}
	return nil, refuse(http.StatusNotFound, "account_not_found", "There is no such account.")
}

func needsScope(c *connection, scope string) *refusal {
	for _, has := range c.Scopes {
		if has == scope {
			return nil
		}
	}
	return refuse(http.StatusForbidden, "insufficient_scope", "The consent does not cover this.")
}

// delete ends a connection (providers.md 1.9).
func (s *Server) delete(r *http.Request) (any, *refusal, error) {
	s.calls["delete"]++
	c := s.mem.byAccess(bearer(r))
	if c == nil {
		return nil, refuse(http.StatusUnauthorized, "invalid_token", "The access token is unknown, expired or superseded."), nil
	}
	return map[string]any{}, nil, s.mem.deleteConnection(r.Context(), c)
}

func (s *Server) providers(*http.Request) (any, *refusal, error) {
	list := make([]map[string]any, 0, len(banks))
	for _, b := range banks {
		list = append(list, map[string]any{
			"provider_id": b.ID, "display_name": b.Name, "country": b.Country, "logo_url": "",
			"scopes": []string{"info", "accounts", "balance", "offline_access"},
		})
	}
	return list, nil, nil
}

func iso(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
