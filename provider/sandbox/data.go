package sandbox

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

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

func invalidToken() *refusal {
	return refuse(http.StatusUnauthorized, "invalid_token", "The access token is unknown, expired or superseded.")
}

// data wraps a data call: only the newest access token counts, and only while
// the consent lives (providers.md 1.10). That the consent has ended is said
// first, because no access token outlives it by much.
func (s *Server) data(name string, call func(r *http.Request, c *connection) (any, error)) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		s.calls[name]++
		now := s.clock.Now()
		c, ok := s.mem.byAccess(bearer(r))
		switch {
		case !ok:
			return nil, invalidToken()
		case c.lapsed(now) || s.faults.take("access_denied"):
			return nil, refuse(http.StatusForbidden, "access_denied", "Access has expired or was revoked.")
		case !now.Before(c.AccessEnds):
			return nil, invalidToken()
		case c.Login.DataError != "":
			return nil, refuse(dataErrors[c.Login.DataError], c.Login.DataError, "This login's data calls fail.")
		}
		return call(r, c)
	}
}

func (s *Server) me(_ *http.Request, c *connection) (any, error) {
	return results(map[string]any{
		"client_id": c.ClientID, "credentials_id": c.CredentialsID, "consent_status": "Authorised",
		"consent_status_updated_at": iso(c.AuthorisedAt), "consent_created_at": iso(c.CreatedAt), "consent_expires_at": iso(c.expires()),
		"provider":       providerJSON(c),
		"scopes":         c.Scopes,
		"privacy_policy": "Feb2019",
	}), nil
}

func providerJSON(c *connection) map[string]any {
	b, _ := bankByID(c.Bank)
	return map[string]any{"display_name": b.Name, "provider_id": b.ID, "logo_uri": ""}
}

func (s *Server) info(_ *http.Request, c *connection) (any, error) {
	if err := needsScope(c, "info"); err != nil {
		return nil, err
	}
	return results(map[string]any{
		"full_name": "John Doe", "emails": []string{c.Login.Name + "@example.org"}, "phones": []string{}, "addresses": []any{},
		"update_timestamp": iso(s.clock.Now()),
	}), nil
}

func (s *Server) accountJSON(c *connection, a account) map[string]any {
	number := map[string]any{"iban": a.IBAN, "number": a.Number, "swift_bic": a.BIC}
	if a.SortCode != "" {
		number["sort_code"] = a.SortCode
	}
	return map[string]any{
		"account_id": a.ID, "account_type": a.Type, "display_name": a.Name, "currency": a.Currency,
		"account_number": number, "provider": providerJSON(c), "update_timestamp": iso(s.clock.Now()),
	}
}

func (s *Server) accounts(_ *http.Request, c *connection) (any, error) {
	if err := needsScope(c, "accounts"); err != nil {
		return nil, err
	}
	list := []map[string]any{}
	for _, a := range accountsOf(c.Bank, c.Login.Name, c.Variant) {
		list = append(list, s.accountJSON(c, a))
	}
	return results(list...), nil
}

func (s *Server) oneAccount(r *http.Request, c *connection) (any, error) {
	return withAccount(r, c, "accounts", func(a account) any { return results(s.accountJSON(c, a)) })
}

func (s *Server) balance(r *http.Request, c *connection) (any, error) {
	return withAccount(r, c, "balance", func(a account) any {
		return results(map[string]any{"currency": a.Currency, "available": a.Balance, "current": a.Balance, "update_timestamp": iso(s.clock.Now())})
	})
}

func (s *Server) transactions(r *http.Request, c *connection) (any, error) {
	return withAccount(r, c, "transactions", func(a account) any {
		list := []map[string]any{}
		for _, t := range transactionsOf(a, s.clock.Now()) {
			list = append(list, map[string]any{
				"transaction_id": t.ID, "timestamp": iso(t.At), "description": t.Description, "amount": t.Amount, "currency": a.Currency,
				"transaction_type": "DEBIT", "transaction_category": "PURCHASE", "transaction_classification": []string{}, "meta": map[string]any{},
			})
		}
		return results(list...)
	})
}

func withAccount(r *http.Request, c *connection, scope string, show func(account) any) (any, error) {
	if err := needsScope(c, scope); err != nil {
		return nil, err
	}
	for _, a := range accountsOf(c.Bank, c.Login.Name, c.Variant) {
		if a.ID == r.PathValue("id") {
			return show(a), nil
		}
	}
	return nil, refuse(http.StatusNotFound, "account_not_found", "There is no such account.")
}

// needsScope refuses with RFC 6750's code: TrueLayer's is not published.
func needsScope(c *connection, scope string) error {
	if slices.Contains(c.Scopes, scope) {
		return nil
	}
	return refuse(http.StatusForbidden, "insufficient_scope", "The consent does not cover this.")
}

// delete ends a connection, with all of its tokens (providers.md 1.9). What a
// person links later under the same login has the same credentials_id, and
// none of the old tokens. It takes an access token that a data call would take.
func (s *Server) delete(r *http.Request) (any, error) {
	s.calls["delete"]++
	c, ok := s.mem.byAccess(bearer(r))
	if !ok || !s.clock.Now().Before(c.AccessEnds) {
		return nil, invalidToken()
	}
	s.mem.deleteConnection(c)
	return map[string]any{}, nil
}

func (s *Server) providers(r *http.Request) (any, error) {
	s.calls["providers"]++
	country := r.URL.Query().Get("country")
	list := make([]map[string]any, 0, len(banks))
	for _, b := range banks {
		if country == "" || strings.EqualFold(country, b.Country) {
			list = append(list, map[string]any{
				"provider_id": b.ID, "display_name": b.Name, "country": b.Country, "logo_url": "",
				"scopes": []string{"info", "accounts", "balance", "transactions", "offline_access"},
			})
		}
	}
	return list, nil
}

func iso(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
