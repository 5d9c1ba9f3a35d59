package sandbox

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// tokenAnswer is the answer of /connect/token (providers.md 1.6).
type tokenAnswer struct {
	AccessToken  string `json:"access_token"`
	ExpiresIn    int    `json:"expires_in"`
	TokenType    string `json:"token_type"`
	RefreshToken string `json:"refresh_token,omitempty"`
	Scope        string `json:"scope,omitempty"`
}

// fields reads a body that is a form or JSON: TrueLayer's document says JSON,
// its own clients send forms.
func fields(r *http.Request) (url.Values, *refusal) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "validation_error", "The body cannot be read.")
	}
	return parseFields(r.Header.Get("Content-Type"), body)
}

func parseFields(contentType string, body []byte) (url.Values, *refusal) {
	mt, _, err := mime.ParseMediaType(contentType)
	if err == nil && mt == "application/x-www-form-urlencoded" {
		v, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, refuse(http.StatusBadRequest, "validation_error", "The body is no form.")
		}
		return v, nil
	}
	var raw map[string]any
	if json.Unmarshal(body, &raw) != nil {
		return nil, refuse(http.StatusBadRequest, "validation_error", "The body is neither a form nor a JSON object.")
	}
	v := url.Values{}
	for name, value := range raw {
		if s, ok := value.(string); ok {
			v.Set(name, s)
		}
	}
	return v, nil
}

func (s *Server) token(r *http.Request) (any, *refusal, error) {
	f, no := fields(r)
	if no != nil {
		return nil, no, nil
	}
	grant := f.Get("grant_type")
	s.calls["token:"+grant]++
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = f.Get("client_id"), f.Get("client_secret")
	}
	if !s.isClient(id, secret) {
		return nil, refuse(http.StatusBadRequest, "invalid_client", "Invalid client_id or client_secret."), nil
	}
	switch grant {
	case "authorization_code":
		return s.redeem(r.Context(), id, f)
	case "refresh_token":
		return s.refresh(r.Context(), id, f.Get("refresh_token"))
	case "client_credentials":
		token, err := s.accessToken(&connection{ClientID: id}, s.clock.Now())
		return tokenAnswer{AccessToken: token, ExpiresIn: int(accessLife.Seconds()), TokenType: "Bearer", Scope: f.Get("scope")}, nil, err
	default:
		return nil, refuse(http.StatusBadRequest, "unsupported_grant_type", "grant_type is none that this endpoint knows."), nil
	}
}

func (s *Server) redeem(ctx context.Context, client string, f url.Values) (any, *refusal, error) {
	given := f.Get("code")
	if given == "" {
		given = f.Get("exchange_code")
	}
	now := s.clock.Now()
	c, ok := s.mem.codes[given]
	used := s.faults.take("code_already_used")
	if !ok || used || c.Used || now.Sub(c.IssuedAt) >= codeLife {
		return nil, refuse(http.StatusBadRequest, "invalid_authorization_code", "The code is unknown, used, or older than five minutes."), nil
	}
	if c.ClientID != client || c.RedirectURI != f.Get("redirect_uri") || !provesChallenge(c.Challenge, f.Get("code_verifier")) {
		return nil, refuse(http.StatusBadRequest, "invalid_grant", "The code is another client's, or redirect_uri or code_verifier do not match."), nil
	}
	con, ok := s.mem.connections[c.CredentialsID]
	if !ok {
		return nil, refuse(http.StatusBadRequest, "invalid_grant", "The connection was deleted."), nil
	}
	c.Used = true
	if err := s.mem.saveCode(ctx, c); err != nil {
		return nil, nil, err
	}
	return s.issue(ctx, con, slices.Contains(c.Scopes, "offline_access"), now)
}

// provesChallenge checks PKCE S256 (RFC 7636 4.6) where a challenge was given.
func provesChallenge(challenge, verifier string) bool {
	if challenge == "" {
		return true
	}
	sum := sha256.Sum256([]byte(verifier))
	return subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(challenge)) == 1
}

func (s *Server) refresh(ctx context.Context, client, token string) (any, *refusal, error) {
	now := s.clock.Now()
	dead := refuse(http.StatusBadRequest, "invalid_grant", "The refresh token is invalid, expired or revoked.")
	con, r := s.mem.byRefresh(token)
	if con == nil || con.ClientID != client || r.Dead || con.lapsed(now) || s.faults.take("invalid_grant_early") {
		return nil, dead, nil
	}
	if now.Sub(r.LastUsed) >= idleLimit && s.faults.take("idle_limit") {
		return nil, dead, nil
	}
	return s.issue(ctx, con, true, now)
}

// issue hands out tokens; the access token before is dead from now on.
func (s *Server) issue(ctx context.Context, c *connection, offline bool, now time.Time) (any, *refusal, error) {
	access, err := s.accessToken(c, now)
	if err != nil {
		return nil, nil, err
	}
	c.Access, c.AccessEnds = access, now.Add(accessLife)
	out := tokenAnswer{AccessToken: access, ExpiresIn: int(accessLife.Seconds()), TokenType: "Bearer", Scope: strings.Join(c.Scopes, " ")}
	if offline {
		c.newRefresh(s.faults.take("refresh_token_rotates"), now)
		if !s.faults.take("refresh_token_omitted") {
			out.RefreshToken = c.Newest
		}
	}
	return out, nil, s.mem.saveConnection(ctx, c)
}

// accessToken signs a JWT with the claims that TrueLayer's have (providers.md
// 1.7). It is looked up, not verified.
func (s *Server) accessToken(c *connection, now time.Time) (string, error) {
	key, err := s.key()
	if err != nil {
		return "", err
	}
	t := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{
		"iss": "https://auth.truelayer.com", "aud": []string{"https://auth.truelayer.com/resources", "data_api"},
		"nbf": now.Unix(), "exp": now.Add(accessLife).Unix(), "auth_time": c.AuthorisedAt.Unix(), "jti": secret(),
		"client_id": c.ClientID, "sub": c.CredentialsID, "connector_id": c.Bank, "idp": "local", "scope": c.Scopes, "amr": []string{"pwd"},
	})
	t.Header["kid"] = "sandbox"
	return t.SignedString(key)
}
