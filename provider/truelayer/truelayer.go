package truelayer

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/oauth2"

	"github.com/reconsent/reconsent/provider"
)

var (
	_ provider.Provider      = (*Client)(nil)
	_ provider.Refresher     = (*Client)(nil)
	_ provider.Inspector     = (*Client)(nil)
	_ provider.AccountLister = (*Client)(nil)
	_ provider.Revoker       = (*Client)(nil)
	_ provider.Extender      = (*Client)(nil)
	_ provider.InputAsker    = (*Client)(nil)
)

// defaultScopes keep a consent renewable and its accounts recognisable.
var defaultScopes = []string{"info", "accounts", "balance", "cards", "transactions", "offline_access"}

// Client is one application at TrueLayer. It is safe for concurrent use, and
// prints without its secret.
type Client struct {
	id, secret string
	host       host
	banks      []string
	direct     bool
	http       *http.Client
	now        func() time.Time
	log        *slog.Logger
}

// String implements fmt.Stringer.
func (c *Client) String() string { return "truelayer client " + c.id }

// GoString implements fmt.GoStringer, for %#v.
func (c *Client) GoString() string { return c.String() }

// linkAnswer is what authuri and reauthuri return (providers.md 1.3, 1.4).
type linkAnswer struct {
	Result  string `json:"result"`
	Success *bool  `json:"success"`
}

// AuthURL returns TrueLayer's dialog with the bank preselected, or a direct
// bank link where the application may use those and the bank needs no extra
// inputs. The dialog's link is made without a call.
func (c *Client) AuthURL(ctx context.Context, req provider.LinkRequest) (string, error) {
	scopes := req.Scopes
	if len(scopes) == 0 {
		scopes = defaultScopes
	}
	// JSON carries no state that is not UTF-8; the dialog's link does.
	if c.direct && req.ProviderID != "" && !req.Dialog && len(c.Inputs(req.ProviderID)) == 0 && utf8.ValidString(req.State) {
		body := map[string]string{
			"response_type": "code", "client_id": c.id, "client_secret": c.secret, "redirect_uri": req.RedirectURI,
			"scope": strings.Join(scopes, " "), "provider_id": req.ProviderID,
		}
		return c.link(ctx, opAuthURI, "/v1/authuri", body, req.State, req.CodeChallenge)
	}
	q := url.Values{
		"response_type": {"code"}, "client_id": {c.id}, "redirect_uri": {req.RedirectURI}, "scope": {strings.Join(scopes, " ")},
		"nonce": {oauth2.GenerateVerifier()}, "providers": {strings.Join(c.banks, " ")},
	}
	if req.ProviderID != "" { // it has to be among the providers, too
		q.Set("provider_id", req.ProviderID)
		q.Set("providers", req.ProviderID)
	}
	if req.State != "" {
		q.Set("state", req.State)
	}
	if req.CodeChallenge != "" {
		q.Set("code_challenge", req.CodeChallenge)
		q.Set("code_challenge_method", "S256")
	}
	// Spaces as %20: the plus sign is a form's, and not every reader of a link takes it.
	return c.host.auth + "/?" + strings.ReplaceAll(q.Encode(), "+", "%20"), nil
}

// ReauthURL returns a direct link to the bank. TrueLayer offers none for banks
// that need extra inputs.
func (c *Client) ReauthURL(ctx context.Context, req provider.ReauthRequest) (string, error) {
	if len(c.Inputs(req.ProviderID)) > 0 {
		return "", &provider.Error{Kind: provider.Unsupported, Op: opReauthURI, Code: "auth_inputs"}
	}
	if !utf8.ValidString(req.State) {
		return "", stateNotUTF8(opReauthURI)
	}
	body := map[string]string{"response_type": "code", "refresh_token": req.RefreshToken, "redirect_uri": req.RedirectURI}
	return c.link(ctx, opReauthURI, "/v1/reauthuri", body, req.State, req.CodeChallenge)
}

func (c *Client) link(ctx context.Context, op, path string, body map[string]string, state, challenge string) (string, error) {
	if state != "" {
		body["state"] = state
	}
	if challenge != "" {
		body["code_challenge"], body["code_challenge_method"] = challenge, "S256"
	}
	var out linkAnswer
	if err := c.call(ctx, op, http.MethodPost, c.host.auth+path, "", body, &out); err != nil {
		return "", err
	}
	if (out.Success != nil && !*out.Success) || !c.isLink(out.Result) {
		return "", unread(op, http.StatusOK)
	}
	return out.Result, nil
}

// isLink reports whether a person can be sent there: an https address, or an
// http one where the provider itself is reached so.
func (c *Client) isLink(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Host != "" && u.User == nil && (u.Scheme == "https" || (u.Scheme == "http" && c.host.plain()))
}

// stateNotUTF8 refuses a state that a JSON body would carry only changed.
func stateNotUTF8(op string) error {
	return &provider.Error{Kind: provider.Unsupported, Op: op, Code: "state_not_utf8"}
}

// IdleLimit is after which time TrueLayer forgets a refresh token that nobody
// uses (providers.md 1.6).
const IdleLimit = 30 * 24 * time.Hour

// callsPerMinute is careful: TrueLayer publishes no limit for its token and data
// calls, and answers 429 where one is passed.
const callsPerMinute = 600

// Adapter is TrueLayer in a catalog.
var Adapter = provider.Adapter{Open: Open, IdleLimit: IdleLimit, CallsPerMinute: callsPerMinute}
