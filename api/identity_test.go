package api_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"html"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/locale"
	"github.com/reconsent/reconsent/reauth/stepup"
)

// openID is an application's identity provider, at the edge of HTTP. Package
// idp's tests bend it in every way; here it is who signs in, and when, that
// differs.
type openID struct {
	*httptest.Server
	mu       sync.Mutex
	codes    map[string]url.Values // what was asked for, by code
	user     string
	authTime func() time.Time
	now      func() time.Time
	away     bool
	key      *ecdsa.PrivateKey
}

func newOpenID(w *people) *openID {
	w.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(w, err)
	op := &openID{codes: map[string]url.Values{}, user: "ada", authTime: w.clock.Now, now: w.clock.Now, key: key}
	op.Server = httptest.NewServer(op)
	w.Cleanup(op.Close)
	w.settings(&w.acme, func(s *stepup.Settings) {
		s.OpenID = stepup.OpenID{Issuer: op.URL, ClientID: "reconsent", ClientSecret: "s3cret", Algorithms: []string{"ES256"}}
	})
	return op
}

func (op *openID) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	op.mu.Lock()
	defer op.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	answer := map[string]any{}
	switch {
	case op.away:
		w.WriteHeader(http.StatusBadGateway)
	case r.URL.Path == "/.well-known/openid-configuration":
		answer = map[string]any{
			"issuer": op.URL, "authorization_endpoint": op.URL + "/authorize", "token_endpoint": op.URL + "/token", "jwks_uri": op.URL + "/keys",
			"id_token_signing_alg_values_supported": []string{"ES256"}, "code_challenge_methods_supported": []string{"S256"},
			"authorization_response_iss_parameter_supported": true,
		}
	case r.URL.Path == "/keys":
		text := func(n *big.Int) string { return base64.RawURLEncoding.EncodeToString(n.FillBytes(make([]byte, 32))) }
		answer["keys"] = []any{map[string]any{"kty": "EC", "crv": "P-256", "kid": "k", "use": "sig", "alg": "ES256", "x": text(op.key.X), "y": text(op.key.Y)}}
	case r.URL.Path == "/token":
		asked := op.codes[r.PostFormValue("code")]
		token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
			"iss": op.URL, "aud": "reconsent", "sub": op.user, "nonce": asked.Get("nonce"), "iat": op.now().Unix(), "exp": op.now().Add(time.Hour).Unix(),
			"auth_time": op.authTime().Unix(),
		})
		token.Header["kid"] = "k"
		signed, _ := token.SignedString(op.key)
		answer = map[string]any{"access_token": "a", "token_type": "Bearer", "expires_in": 60, "id_token": signed}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// signIn is a person at the provider: the query that the browser comes back with.
func (op *openID) signIn(t *testing.T, link string) url.Values {
	t.Helper()
	u, err := url.Parse(link)
	require.NoError(t, err)
	q := u.Query()
	assert.Equal(t, "login", q.Get("prompt"))
	assert.Equal(t, "0", q.Get("max_age"))
	assert.Equal(t, "S256", q.Get("code_challenge_method"))
	assert.NotEmpty(t, q.Get("nonce"))
	op.mu.Lock()
	defer op.mu.Unlock()
	code := rand.Text()
	op.codes[code] = q
	return url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {op.URL}}
}

// leave has a browser begin its trip: where it is sent, and its cookie.
func (w *people) leave(returnTo string) (id, link string, cookie *http.Cookie) {
	w.Helper()
	id = w.begin(map[string]any{"level": "strict"}, w.ada())
	p := w.do("POST", "/v1/reverifications/"+id+"/prepare", map[string]any{"strategy": "idp", "return_to": returnTo}, w.ada())
	require.Equal(w, 200, p.status, "%s", p.body)
	began := w.do("GET", path(w, p.json(w)["url"].(string)), nil, with("Accept", "text/html"))
	require.Equal(w, 303, began.status, "%s", began.body)
	cookies := (&http.Response{Header: began.header}).Cookies()
	require.Len(w, cookies, 1)
	return id, began.header.Get("Location"), cookies[0]
}

func path(t testing.TB, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	return u.RequestURI()
}

// comeBack is the browser's return, in a language.
func (w *people) comeBack(q url.Values, cookie *http.Cookie, language string) answer {
	w.Helper()
	h := with("Accept", "text/html", "Accept-Language", language)
	if cookie != nil {
		h.Set("Cookie", cookie.Name+"="+cookie.Value)
	}
	return w.do("GET", stepup.PathReturn+"?"+q.Encode(), nil, h)
}

// heading is what a page says first.
func heading(a answer) string {
	_, rest, _ := strings.Cut(string(a.body), "<h1>")
	text, _, _ := strings.Cut(rest, "</h1>")
	return html.UnescapeString(text)
}

func TestATripToTheIdentityProvider(t *testing.T) {
	w := newDevelopers(t)
	op := newOpenID(w)
	id, link, cookie := w.leave("")
	assert.Equal(t, "__Host-reconsent-identity", cookie.Name)
	assert.Equal(t, "/", cookie.Path)
	assert.Empty(t, cookie.Domain)
	assert.True(t, cookie.Secure)
	assert.True(t, cookie.HttpOnly)
	assert.Equal(t, http.SameSiteLaxMode, cookie.SameSite)
	assert.Equal(t, 600, cookie.MaxAge)
	assert.GreaterOrEqual(t, len(cookie.Value), 22)

	q := op.signIn(t, link)
	done := w.comeBack(q, cookie, "en")
	require.Equal(t, 200, done.status, heading(done))
	assert.Equal(t, "Done", heading(done))
	gone := (&http.Response{Header: done.header}).Cookies()
	require.Len(t, gone, 1)
	assert.Negative(t, gone[0].MaxAge, "the cookie has done its work")
	assert.False(t, strings.Contains(string(done.body), q.Get("code")))
	seen := w.do("GET", "/v1/reverifications/"+id, nil, w.ada()).json(t)
	assert.Equal(t, "complete", seen["status"])
	used := w.use(map[string]any{"proof": seen["proof"], "operation": "transfer"})
	require.Equal(t, 200, used.status, "%s", used.body)

	replay := w.comeBack(q, cookie, "en")
	assert.Equal(t, 410, replay.status)
}

func TestATripEndsAtTheApplicationsPage(t *testing.T) {
	w := newDevelopers(t)
	op := newOpenID(w)
	id, link, cookie := w.leave(appReturn + "?a=b%20c")
	done := w.comeBack(op.signIn(t, link), cookie, "en")
	require.Equal(t, 303, done.status, "%s", done.body)
	to, err := url.Parse(done.header.Get("Location"))
	require.NoError(t, err)
	assert.Equal(t, appReturn, to.Scheme+"://"+to.Host+to.Path)
	assert.Equal(t, url.Values{"a": {"b c"}, "status": {"complete"}, "reverification_id": {id}}, to.Query(), "and no proof")

	op.user = "eve"
	id, link, cookie = w.leave(appReturn)
	done = w.comeBack(op.signIn(t, link), cookie, "en")
	require.Equal(t, 303, done.status, "%s", done.body)
	to, err = url.Parse(done.header.Get("Location"))
	require.NoError(t, err)
	assert.Equal(t, url.Values{"status": {"failed"}, "error": {"identity_mismatch"}, "reverification_id": {id}}, to.Query())
	assert.Equal(t, "needs_first_factor", w.do("GET", "/v1/reverifications/"+id, nil, w.ada()).json(t)["status"])

	for _, bad := range []string{"https://evil.example/", "javascript:alert(1)", "//app.example/done", strings.Repeat("x", 5000)} {
		rv := w.begin(map[string]any{"level": "strict"}, w.ada())
		a := w.do("POST", "/v1/reverifications/"+rv+"/prepare", map[string]any{"strategy": "idp", "return_to": bad}, w.ada())
		assert.Equal(t, 400, a.status, "%s", a.body)
	}
}

// TestTripsThatProveNothing, with the page of each in every language.
func TestTripsThatProveNothing(t *testing.T) {
	for _, language := range locale.All() {
		for _, tt := range []struct {
			name   string
			status int
			page   string // key of its title
			bend   func(w *people, op *openID, q url.Values, cookie **http.Cookie)
		}{
			{"another user", 403, "stranger", func(_ *people, op *openID, _ url.Values, _ **http.Cookie) { op.user = "eve" }},
			{"not asked to sign in again", 403, "stale", func(w *people, op *openID, _ url.Values, _ **http.Cookie) {
				op.authTime = func() time.Time { return w.clock.Now().Add(-time.Minute) }
			}},
			{"the person says no", 403, "cancelled", func(_ *people, _ *openID, q url.Values, _ **http.Cookie) {
				q.Del("code")
				q.Set("error", "access_denied")
			}},
			{"no cookie", 403, "stale", func(_ *people, _ *openID, _ url.Values, c **http.Cookie) { *c = nil }},
			{"another browser's cookie", 403, "stale", func(_ *people, _ *openID, _ url.Values, c **http.Cookie) {
				*c = &http.Cookie{Name: (*c).Name, Value: rand.Text()}
			}},
			{"another issuer", 403, "stale", func(_ *people, _ *openID, q url.Values, _ **http.Cookie) { q.Set("iss", "https://evil.example") }},
			{"another state", 410, "stale", func(_ *people, _ *openID, q url.Values, _ **http.Cookie) { q.Set("state", "acme.rev_x.y") }},
			{"too late", 410, "stale", func(w *people, _ *openID, _ url.Values, _ **http.Cookie) { w.clock.advance(10 * time.Minute) }},
			{"the provider is away", 503, "away", func(_ *people, op *openID, _ url.Values, _ **http.Cookie) { op.away = true }},
		} {
			if language != locale.English && tt.name != "another user" && tt.name != "no cookie" && tt.name != "the person says no" && tt.name != "the provider is away" {
				continue
			}
			t.Run(language.Tag()+" "+tt.name, func(t *testing.T) {
				w := newDevelopers(t)
				op := newOpenID(w)
				id, link, cookie := w.leave("")
				q := op.signIn(t, link)
				op.mu.Lock()
				tt.bend(w, op, q, &cookie)
				op.mu.Unlock()
				a := w.comeBack(q, cookie, language.Tag())
				require.Equal(t, tt.status, a.status, heading(a))
				assert.Equal(t, language.Say("signin."+tt.page+"_title"), heading(a))
				text := string(a.body)
				assert.True(t, strings.Contains(text, `lang="`+language.Tag()+`"`))
				assert.False(t, strings.Contains(text, q.Get("state")))
				assert.False(t, strings.Contains(text, "<footer"), "no bank is spoken of")
				if tt.status == 503 {
					assert.NotEmpty(t, a.header.Get("Retry-After"))
				}
				if tt.status != 410 {
					assert.Equal(t, "needs_first_factor", w.do("GET", "/v1/reverifications/"+id, nil, w.ada()).json(t)["status"])
				}
			})
		}
	}
}

// TestATicketIsGoodOnce, and for two minutes.
func TestATicketIsGoodOnce(t *testing.T) {
	w := newDevelopers(t)
	newOpenID(w)
	id := w.begin(map[string]any{"level": "strict"}, w.ada())
	ticket := func() string {
		t.Helper()
		p := w.do("POST", "/v1/reverifications/"+id+"/prepare", map[string]any{"strategy": "idp"}, w.ada())
		require.Equal(t, 200, p.status, "%s", p.body)
		return path(t, p.json(t)["url"].(string))
	}
	first := ticket()
	require.Equal(t, 303, w.do("GET", first, nil, http.Header{}).status)
	assert.Equal(t, 410, w.do("GET", first, nil, http.Header{}).status)
	second := ticket()
	w.clock.advance(2 * time.Minute)
	a := w.do("GET", second, nil, with("Accept-Language", "de"))
	assert.Equal(t, 410, a.status)
	assert.Empty(t, a.header.Values("Set-Cookie"))
	for _, made := range []string{"x", "acme.x", "acme." + id + ".x", "nobody." + id + ".x", "%00", "%ff.x.y", strings.Repeat("x", 5000)} {
		assert.Equal(t, 410, w.do("GET", stepup.PathStart+made, nil, http.Header{}).status, made)
	}
	for _, query := range []string{"", "?state=%00.x.y", "?state=acme." + id + ".x", "?state=%ff", "?code=a&state=" + strings.Repeat("x", 5000)} {
		status := w.do("GET", stepup.PathReturn+query, nil, http.Header{}).status
		assert.Contains(t, []int{403, 410}, status, query)
	}
}
