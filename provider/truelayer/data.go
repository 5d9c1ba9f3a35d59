package truelayer

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/reconsent/reconsent/provider"
)

// meAnswer is /me (providers.md 1.8). Older answers have no consent fields.
type meAnswer struct {
	Results []struct {
		CredentialsID    string    `json:"credentials_id"`
		ConsentStatus    string    `json:"consent_status"`
		ConsentUpdatedAt time.Time `json:"consent_status_updated_at"`
		ConsentCreatedAt time.Time `json:"consent_created_at"`
		ConsentExpiresAt time.Time `json:"consent_expires_at"`
		Provider         struct {
			DisplayName string `json:"display_name"`
			ProviderID  string `json:"provider_id"`
		} `json:"provider"`
		Scopes scopes `json:"scopes"`
	} `json:"results"`
}

// scopes are a list, or one string with spaces.
type scopes struct{ list []string }

// UnmarshalJSON implements json.Unmarshaler.
func (s *scopes) UnmarshalJSON(b []byte) error {
	var joined string
	if json.Unmarshal(b, &joined) == nil {
		s.list = strings.Fields(joined)
		return nil
	}
	return json.Unmarshal(b, &s.list)
}

// Inspect reads /me.
func (c *Client) Inspect(ctx context.Context, accessToken string) (provider.Inspection, error) {
	var out meAnswer
	if err := c.call(ctx, opInspect, http.MethodGet, c.host.data+"/me", accessToken, nil, &out); err != nil {
		return provider.Inspection{}, err
	}
	if len(out.Results) == 0 || out.Results[0].CredentialsID == "" {
		return provider.Inspection{}, unread(opInspect, http.StatusOK)
	}
	r := out.Results[0]
	ins := provider.Inspection{
		CredentialsID: r.CredentialsID, ProviderID: r.Provider.ProviderID, ProviderName: r.Provider.DisplayName,
		ConsentedAt: r.ConsentCreatedAt, ExpiresAt: r.ConsentExpiresAt, Scopes: r.Scopes.list,
	}
	// Whether a renewal changes the first of the two is not published; the
	// second speaks of it only while the consent is authorised.
	if strings.EqualFold(r.ConsentStatus, "Authorised") && r.ConsentUpdatedAt.After(ins.ConsentedAt) {
		ins.ConsentedAt = r.ConsentUpdatedAt
	}
	return ins, nil
}

type accountsAnswer struct {
	Results []struct {
		AccountID     string `json:"account_id"`
		DisplayName   string `json:"display_name"`
		Currency      string `json:"currency"`
		AccountNumber struct {
			IBAN     string `json:"iban"`
			Number   string `json:"number"`
			SortCode string `json:"sort_code"`
		} `json:"account_number"`
	} `json:"results"`
}

// compact takes out what banks print numbers with, one way today and another
// tomorrow.
var compact = strings.NewReplacer(" ", "", "-", "", "\u00a0", "")

// Accounts reads /accounts. Account ids may change on renewal at some banks,
// so accounts are recognised by what the bank itself calls them.
func (c *Client) Accounts(ctx context.Context, accessToken string) ([]provider.Account, error) {
	var out accountsAnswer
	if err := c.call(ctx, opAccounts, http.MethodGet, c.host.data+"/accounts", accessToken, nil, &out); err != nil {
		return nil, err
	}
	accounts := make([]provider.Account, 0, len(out.Results))
	for _, r := range out.Results {
		a := provider.Account{ID: r.AccountID, Name: r.DisplayName, Currency: r.Currency}
		if n := r.AccountNumber; n.IBAN != "" {
			a.Identifiers = []string{strings.ToUpper(compact.Replace(n.IBAN))}
		} else if n.Number != "" && n.SortCode != "" {
			a.Identifiers = []string{compact.Replace(n.SortCode) + "/" + compact.Replace(n.Number)}
		}
		accounts = append(accounts, a)
	}
	return accounts, nil
}

// Revoke deletes the connection, with all of its tokens. TrueLayer answers 401
// for one that is gone, and for an access token that is not the newest: hand in
// a fresh one.
func (c *Client) Revoke(ctx context.Context, accessToken string) error {
	err := c.call(ctx, opRevoke, http.MethodDelete, c.host.auth+"/api/delete", accessToken, nil, nil)
	if e, ok := errors.AsType[*provider.Error](err); ok && (e.Status == http.StatusUnauthorized || e.Kind == provider.Revoked) {
		return nil
	}
	return err
}

type extendBody struct {
	Reconfirmed  bool       `json:"user_has_reconfirmed_consent"`
	ClientID     string     `json:"client_id"`
	ClientSecret string     `json:"client_secret"`
	RefreshToken string     `json:"refresh_token"`
	RedirectURI  string     `json:"redirect_uri,omitempty"`
	State        string     `json:"state,omitempty"`
	User         extendUser `json:"user"`
}

type extendUser struct {
	ID    string `json:"id,omitempty"`
	Name  string `json:"name,omitempty"`
	Email string `json:"email,omitempty"`
}

// extendAnswer: the field has two names in TrueLayer's pages (providers.md 1.5).
type extendAnswer struct {
	ActionNeeded  string `json:"action_needed"`
	ActionType    string `json:"action_type"`
	UserInputLink string `json:"user_input_link"`
	AccessToken   string `json:"access_token"`
	RefreshToken  string `json:"refresh_token"`
	ExpiresIn     int64  `json:"expires_in"`
}

// Extend reconfirms a consent (UK, 90 days).
func (c *Client) Extend(ctx context.Context, req provider.ExtendRequest) (provider.Extension, error) {
	if !utf8.ValidString(req.State) {
		return provider.Extension{}, stateNotUTF8(opExtend)
	}
	asked := c.now()
	body := extendBody{
		Reconfirmed: true, ClientID: c.id, ClientSecret: c.secret, RefreshToken: req.RefreshToken,
		RedirectURI: req.RedirectURI, State: req.State, User: extendUser(req.User),
	}
	var out extendAnswer
	if err := c.call(ctx, opExtend, http.MethodPost, c.host.data+"/connections/extend", "", body, &out); err != nil {
		return provider.Extension{}, err
	}
	action := out.ActionNeeded
	if action == "" {
		action = out.ActionType
	}
	switch {
	case action == "no_action_needed" && out.AccessToken != "":
		return provider.Extension{Grant: provider.Grant{
			AccessToken: out.AccessToken, RefreshToken: out.RefreshToken, AccessExpiresAt: asked.Add(lifetime(out.ExpiresIn)),
		}}, nil
	case action == "authentication_needed" && c.isLink(out.UserInputLink):
		return provider.Extension{URL: out.UserInputLink}, nil
	case action == "reconfirmation_of_consent_needed":
		return provider.Extension{}, &provider.Error{Kind: provider.Unsupported, Op: opExtend, Status: http.StatusOK, Code: action}
	default:
		return provider.Extension{}, unread(opExtend, http.StatusOK)
	}
}
