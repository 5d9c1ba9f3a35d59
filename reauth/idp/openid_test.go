package idp_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/reconsent/reconsent/reauth/idp"
)

// start is the present of these tests.
var start = time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC)

const (
	clientID     = "reconsent"
	clientSecret = "s3cr:t /of the client"
	redirectURI  = "https://reconsent.example/reverifications/callback"
	accessToken  = "access-token-of-ada"
	keyID        = "key-1"
)

// signer is the provider's key; one for all tests, since none changes it.
var signer, signerErr = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)

// openID is an OpenID provider as the specification wants it. A test bends it:
// every answer can be changed, or replaced.
type openID struct {
	t      testing.TB
	server *httptest.Server
	asked  chan string // paths, in the order of the calls

	// What the tests bend.
	user     string
	authTime time.Time
	metadata func(m map[string]any)
	claims   func(c map[string]any)
	sign     func(c jwt.MapClaims) string
	token    func(answer map[string]any)
	serve    map[string]http.HandlerFunc // by path

	mu    sync.Mutex
	codes map[string]url.Values // an authorization request, by its code; used once
}

func newOpenID(t testing.TB) *openID {
	if signerErr != nil {
		t.Fatal(signerErr)
	}
	op := &openID{t: t, asked: make(chan string, 1000), user: "ada", authTime: start, codes: map[string]url.Values{}, serve: map[string]http.HandlerFunc{}}
	op.sign = func(c jwt.MapClaims) string { return signed(jwt.SigningMethodES256, keyID, signer, c) }
	op.server = httptest.NewServer(op)
	t.Cleanup(op.server.Close)
	return op
}

func (op *openID) issuer() string { return op.server.URL }

// ServeHTTP is called by the server, and by the fuzz test without one.
func (op *openID) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case op.asked <- r.URL.Path:
	default:
	}
	if bent, ok := op.serve[r.URL.Path]; ok {
		bent(w, r)
		return
	}
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		m := map[string]any{
			"issuer": op.issuer(), "authorization_endpoint": op.issuer() + "/authorize", "token_endpoint": op.issuer() + "/token", "jwks_uri": op.issuer() + "/keys",
			"id_token_signing_alg_values_supported":          []string{"ES256", "HS256", "none"},
			"authorization_response_iss_parameter_supported": true,
			"code_challenge_methods_supported":               []string{"S256"},
		}
		if op.metadata != nil {
			op.metadata(m)
		}
		write(w, http.StatusOK, m)
	case "/keys":
		point := func(n *big.Int) string { return base64.RawURLEncoding.EncodeToString(n.FillBytes(make([]byte, 32))) }
		write(w, http.StatusOK, map[string]any{"keys": []any{map[string]any{
			"kty": "EC", "crv": "P-256", "kid": keyID, "use": "sig", "x": point(signer.X), "y": point(signer.Y),
		}}})
	case "/token":
		op.exchange(w, r)
	default:
		http.NotFound(w, r)
	}
}

// visit is a person who signs in: it returns the query of the redirect back.
func (op *openID) visit(trip idp.Trip) url.Values {
	u, err := url.Parse(trip.URL)
	if err != nil {
		op.t.Fatal(err)
	}
	q := u.Query()
	code := rand.Text()
	op.mu.Lock()
	defer op.mu.Unlock()
	op.codes[code] = q
	return url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {op.issuer()}}
}

func (op *openID) exchange(w http.ResponseWriter, r *http.Request) {
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = url.QueryEscape(r.PostFormValue("client_id")), url.QueryEscape(r.PostFormValue("client_secret"))
	}
	if id != url.QueryEscape(clientID) || secret != url.QueryEscape(clientSecret) {
		write(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	}
	code := r.PostFormValue("code")
	op.mu.Lock()
	asked, ok := op.codes[code]
	delete(op.codes, code)
	op.mu.Unlock()
	challenge := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if !ok || r.PostFormValue("grant_type") != "authorization_code" || r.PostFormValue("redirect_uri") != asked.Get("redirect_uri") ||
		asked.Get("code_challenge_method") != "S256" || asked.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(challenge[:]) {
		write(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant", "error_description": "code " + code})
		return
	}
	hash := sha256.Sum256([]byte(accessToken))
	c := jwt.MapClaims{
		"iss": op.issuer(), "aud": clientID, "sub": op.user, "nonce": asked.Get("nonce"), "iat": start.Unix(), "exp": start.Add(time.Hour).Unix(),
		"auth_time": op.authTime.Unix(), "amr": []string{"pwd", "otp"}, "acr": "urn:example:loa2",
		"at_hash": base64.RawURLEncoding.EncodeToString(hash[:16]),
	}
	if op.claims != nil {
		op.claims(c)
	}
	answer := map[string]any{"access_token": accessToken, "token_type": "Bearer", "expires_in": 3600, "id_token": op.sign(c)}
	if op.token != nil {
		op.token(answer)
	}
	write(w, http.StatusOK, answer)
}

func write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func signed(method jwt.SigningMethod, kid string, key any, c jwt.MapClaims) string {
	t := jwt.NewWithClaims(method, maps.Clone(c))
	t.Header["kid"] = kid
	s, err := t.SignedString(key)
	if err != nil {
		panic(err)
	}
	return s
}

// provider is what an application has configured.
func (op *openID) provider() *idp.Provider {
	return &idp.Provider{Issuer: op.issuer(), ClientID: clientID, ClientSecret: clientSecret, RedirectURI: redirectURI, Algorithms: []string{"ES256"}}
}

func newClient(t testing.TB, transport http.RoundTripper) *idp.Client {
	c := idp.New(idp.Config{HTTP: &http.Client{Transport: transport}, Now: func() time.Time { return start }, Loopback: true})
	t.Cleanup(c.Close)
	return c
}
