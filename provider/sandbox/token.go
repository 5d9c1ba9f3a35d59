package sandbox

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
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

func (s *Server) token(r *http.Request) (any, error) {
	f, err := fields(r)
	if err != nil {
		return nil, err
	}
	grant, id := f.Get("grant_type"), f.Get("client_id")
	s.calls["token:"+grant]++
	if !s.isClient(id, f.Get("client_secret")) {
		return nil, invalidClient()
	}
	switch grant {
	case "authorization_code":
		return s.perhapsOmitting(s.redeem(id, f))
	case "refresh_token":
		return s.perhapsOmitting(s.refresh(id, f.Get("refresh_token")))
	case "client_credentials":
		token, err := accessToken(&connection{ClientID: id, Scopes: strings.Fields(f.Get("scope"))}, s.clock.Now())
		return tokenAnswer{AccessToken: token, ExpiresIn: int(accessLife.Seconds()), TokenType: "Bearer", Scope: f.Get("scope")}, err
	default:
		return nil, refuse(http.StatusBadRequest, "unsupported_grant_type", "grant_type is none that this endpoint knows.")
	}
}

// perhapsOmitting leaves out the refresh token of an answer that has one, under
// the fault.
func (s *Server) perhapsOmitting(out tokenAnswer, err error) (any, error) {
	if err == nil && out.RefreshToken != "" && s.faults.take("refresh_token_omitted") {
		out.RefreshToken = ""
	}
	return out, err
}

// redeem turns a code, or an exchange_code, into tokens.
func (s *Server) redeem(client string, f url.Values) (tokenAnswer, error) {
	given := f.Get("code")
	if given == "" {
		given = f.Get("exchange_code")
	}
	now, id := s.clock.Now(), digestOf(given)
	c, ok := s.mem.codes[id]
	if ok && s.faults.take("code_already_used") {
		c.Used = true
		s.mem.saveCode(id, c)
	}
	switch {
	case !ok || c.Used || now.Sub(c.IssuedAt) >= codeLife:
		return tokenAnswer{}, refuse(http.StatusBadRequest, "invalid_authorization_code", "The code is unknown, used, or older than five minutes.")
	case c.ClientID != client || c.RedirectURI != f.Get("redirect_uri"):
		return tokenAnswer{}, refuse(http.StatusBadRequest, "invalid_grant", "The code is another client's, or redirect_uri is not the one of the link.")
	case !provesChallenge(c.Challenge, f.Get("code_verifier")):
		return tokenAnswer{}, refuse(http.StatusBadRequest, "invalid_grant", "code_verifier does not match the link's code_challenge.")
	}
	con, ok := s.mem.connections[c.CredentialsID]
	if !ok {
		return tokenAnswer{}, refuse(http.StatusBadRequest, "invalid_grant", "The connection was deleted.")
	}
	c.Used = true
	s.mem.saveCode(id, c)
	con.Exchanges++
	if !slices.Contains(con.Scopes, "offline_access") {
		return s.issue(con, none, now)
	}
	if renewed, i, found := s.mem.byRefresh(c.Renews); found && renewed == con && !con.Tokens[i].Dead {
		if s.faults.take("refresh_token_rotates") {
			i = s.rotate(con, i, now)
		}
		return s.issue(con, i, now) // identical, but for the fault (the owner's document)
	}
	return s.issue(con, s.mem.addToken(con, c.RedirectURI, now), now)
}

// provesChallenge checks PKCE S256 (RFC 7636 4.6) where a challenge was given.
func provesChallenge(challenge, verifier string) bool {
	if challenge == "" {
		return true
	}
	sum := sha256.Sum256([]byte(verifier))
	return subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(challenge)) == 1
}

// refresh is the refresh grant. It ends with the consent; the idle limit counts
// only under its fault.
func (s *Server) refresh(client, token string) (tokenAnswer, error) {
	now := s.clock.Now()
	dead := refuse(http.StatusBadRequest, "invalid_grant", "The refresh token is invalid, expired or revoked.")
	con, i, ok := s.mem.byRefresh(digestOf(token))
	switch {
	case !ok || con.ClientID != client || con.Tokens[i].Dead || con.lapsed(now):
		return tokenAnswer{}, dead
	case s.faults.on("idle_limit") && now.Sub(con.Tokens[i].LastUsed) >= idleLimit:
		return tokenAnswer{}, dead
	case s.faults.take("invalid_grant_early"):
		return tokenAnswer{}, dead
	}
	con.Refreshes++
	if s.faults.take("refresh_token_rotates") {
		i = s.rotate(con, i, now)
	}
	return s.issue(con, i, now)
}

// rotate puts a new refresh token in the place of one.
func (s *Server) rotate(con *connection, i int, now time.Time) int {
	con.Tokens[i].Dead = true
	return s.mem.addToken(con, con.Tokens[i].RedirectURI, now)
}

// none is no refresh token.
const none = -1

// issue hands out an access token, and the i-th refresh token; the access
// token before is dead from now on.
func (s *Server) issue(c *connection, i int, now time.Time) (tokenAnswer, error) {
	access, err := accessToken(c, now)
	if err != nil {
		return tokenAnswer{}, err
	}
	s.mem.setAccess(c, access, now.Add(accessLife))
	out := tokenAnswer{AccessToken: access, ExpiresIn: int(accessLife.Seconds()), TokenType: "Bearer", Scope: strings.Join(c.Scopes, " ")}
	if i != none {
		c.Tokens[i].LastUsed = now
		out.RefreshToken = s.mem.refreshToken(c, i)
	}
	return out, nil
}

// accessToken signs a JWT with the claims that TrueLayer's have (providers.md
// 1.7). It is looked up here, never verified.
func accessToken(c *connection, now time.Time) (string, error) {
	key, err := signingKey()
	if err != nil {
		return "", err
	}
	claims := jwt.MapClaims{
		"iss": "https://auth.truelayer.com", "aud": []string{"https://auth.truelayer.com/resources", "data_api"},
		"nbf": now.Unix(), "exp": now.Add(accessLife).Unix(), "jti": randomToken(), "client_id": c.ClientID, "scope": c.Scopes,
	}
	if c.CredentialsID != "" {
		credentialsKey := sha256.Sum256([]byte("key\x00" + c.CredentialsID))
		claims["sub"], claims["connector_id"], claims["auth_time"] = c.CredentialsID, c.Bank, c.AuthorisedAt.Unix()
		claims["idp"], claims["amr"], claims["credentials_key"] = "local", []string{"pwd"}, hex.EncodeToString(credentialsKey[:])
	}
	t := jwt.NewWithClaims(jwt.SigningMethodRS256, claims)
	t.Header["kid"], t.Header["x5t"] = "sandbox", "sandbox"
	return t.SignedString(key)
}
