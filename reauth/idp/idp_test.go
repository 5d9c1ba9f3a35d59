package idp_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/reauth/idp"
)

// journey is one trip of a test: the provider, and what the caller holds.
type journey struct {
	t      *testing.T
	op     *openID
	client *idp.Client
	p      *idp.Provider
	trip   idp.Trip
	query  url.Values
	want   idp.Want
	ctx    context.Context
}

// TestASignInIsTaken is the way that every refusal below departs from.
func TestASignInIsTaken(t *testing.T) {
	t.Parallel()
	j := depart(t, newOpenID(t))
	got, err := j.finish()
	require.NoError(t, err)
	assert.Equal(t, idp.Result{Subject: "ada", AuthTime: start, AMR: []string{"pwd", "otp"}, ACR: "urn:example:loa2"}, got)
}

func TestTheAddressAsksForASignIn(t *testing.T) {
	t.Parallel()
	op := newOpenID(t)
	p := op.provider()
	p.Scopes = []string{"email"}
	trip, err := newClient(t, nil).Start(t.Context(), p, "acme.")
	require.NoError(t, err)
	u, err := url.Parse(trip.URL)
	require.NoError(t, err)
	assert.Equal(t, op.issuer()+"/authorize", u.Scheme+"://"+u.Host+u.Path)
	q := u.Query()
	assert.NotEmpty(t, q.Get("code_challenge"))
	assert.NotContains(t, trip.URL, trip.Verifier)
	q.Del("code_challenge")
	assert.Equal(t, url.Values{
		"response_type": {"code"}, "client_id": {clientID}, "redirect_uri": {redirectURI}, "scope": {"openid email"}, "state": {trip.State}, "nonce": {trip.Nonce},
		"code_challenge_method": {"S256"}, "prompt": {"login"}, "max_age": {"0"},
	}, q)
	assert.True(t, strings.HasPrefix(trip.State, "acme."))
	for _, secret := range []string{strings.TrimPrefix(trip.State, "acme."), trip.Nonce, trip.Verifier} {
		assert.Len(t, secret, 43) // 256 bits
	}
	again, err := newClient(t, nil).Start(t.Context(), p, "")
	require.NoError(t, err)
	assert.NotEqual(t, trip.Nonce, again.Nonce)
	assert.NotEqual(t, trip.Verifier, again.Verifier)
	assert.NotEqual(t, strings.TrimPrefix(trip.State, "acme."), again.State)
}

// TestWhatComesBackIsJudged has a row for each attack, and for each oddity of a
// provider that is none. No error says what the provider, or the browser, said.
func TestWhatComesBackIsJudged(t *testing.T) {
	t.Parallel()
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	claim := func(name string, value any) func(*journey) {
		return func(j *journey) { j.op.claims = func(c map[string]any) { c[name] = value } }
	}
	without := func(name string) func(*journey) {
		return func(j *journey) { j.op.claims = func(c map[string]any) { delete(c, name) } }
	}
	says := func(query ...string) func(*journey) {
		return func(j *journey) {
			for i := 0; i < len(query); i += 2 {
				j.query.Set(query[i], query[i+1])
			}
		}
	}
	answers := func(path string, h http.HandlerFunc) func(*journey) {
		return func(j *journey) { j.op.serve[path] = h }
	}
	status := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(code)
			_, _ = w.Write([]byte(body))
		}
	}
	for name, row := range map[string]struct {
		bend func(*journey)
		want error
	}{
		// The answer.
		"another state":                {says("state", "another"), idp.ErrState},
		"a state that begins right":    {func(j *journey) { j.query.Set("state", j.trip.State[:42]) }, idp.ErrState},
		"no state":                     {func(j *journey) { j.query.Del("state") }, idp.ErrState},
		"two states":                   {func(j *journey) { j.query.Add("state", "another") }, idp.ErrState},
		"no trip":                      {func(j *journey) { j.trip = idp.Trip{}; j.query.Set("state", "") }, idp.ErrState},
		"a trip without a state":       {func(j *journey) { j.trip.State = ""; j.query.Del("state") }, idp.ErrState},
		"a trip without a nonce":       {func(j *journey) { j.trip.Nonce = "" }, idp.ErrState},
		"a trip without a verifier":    {func(j *journey) { j.trip.Verifier = "" }, idp.ErrState},
		"nobody in particular":         {func(j *journey) { j.want.Subject = "" }, idp.ErrState},
		"no start":                     {func(j *journey) { j.want.NotBefore = time.Time{} }, idp.ErrState},
		"mixed up with another issuer": {says("iss", "https://evil.example"), idp.ErrState},
		"an issuer with a slash more":  {func(j *journey) { j.query.Set("iss", j.op.issuer()+"/") }, idp.ErrState},
		"no issuer where one is due":   {func(j *journey) { j.query.Del("iss") }, idp.ErrState},
		"an empty issuer":              {says("iss", ""), idp.ErrState},
		"two issuers":                  {func(j *journey) { j.query.Add("iss", "https://evil.example") }, idp.ErrState},
		"no code":                      {func(j *journey) { j.query.Del("code") }, idp.ErrState},
		"two codes":                    {func(j *journey) { j.query.Add("code", "another") }, idp.ErrState},
		"cancelled":                    {says("error", "access_denied", "error_description", "ada pressed cancel"), idp.ErrDenied},
		"an error beside a code":       {says("error", "login_required"), idp.ErrDenied},
		"an error that nobody knows":   {says("error", "42"), idp.ErrDenied},
		"an empty error":               {says("error", ""), idp.ErrDenied},
		"cancelled at another issuer":  {says("error", "access_denied", "iss", "https://evil.example"), idp.ErrState},
		"the provider is ill":          {says("error", "server_error"), idp.ErrUnavailable},
		"the client is misconfigured":  {says("error", "unauthorized_client"), idp.ErrUnavailable},
		// The code.
		"another code":       {says("code", "another"), idp.ErrRefused},
		"another verifier":   {func(j *journey) { j.trip.Verifier = "another" }, idp.ErrRefused},
		"another secret":     {func(j *journey) { j.p.ClientSecret = "another" }, idp.ErrUnavailable},
		"another redirect":   {func(j *journey) { j.p.RedirectURI += "/2" }, idp.ErrRefused},
		"a code for another": {func(j *journey) { j.query.Set("code", j.op.visit(j.start()).Get("code")) }, idp.ErrRefused},
		"a replayed code": {func(j *journey) {
			_, err := j.finish()
			require.NoError(j.t, err)
		}, idp.ErrRefused},
		// The token endpoint.
		"it redirects": {func(j *journey) {
			j.op.serve["/elsewhere"] = j.op.exchange // and would succeed
			j.op.serve["/token"] = func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
			}
		}, idp.ErrUnavailable},
		"it is down":          {answers("/token", status(503, `{"error":"invalid_grant"}`)), idp.ErrUnavailable},
		"it limits":           {answers("/token", status(429, `{}`)), idp.ErrUnavailable},
		"it answers no JSON":  {answers("/token", status(200, `<html>`)), idp.ErrUnavailable},
		"it answers nothing":  {answers("/token", status(200, ``)), idp.ErrUnavailable},
		"it answers an error": {answers("/token", status(200, `{"error":"invalid_grant"}`)), idp.ErrRefused},
		"it never ends": {answers("/token", func(w http.ResponseWriter, _ *http.Request) {
			line, err := []byte(strings.Repeat(" ", 1<<16)), error(nil)
			for err == nil {
				_, err = w.Write(line)
			}
		}), idp.ErrUnavailable},
		"it hangs up": {answers("/token", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), idp.ErrUnavailable},
		"it is cut off": {answers("/token", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte(`{"access_token"`))
		}), idp.ErrUnavailable},
		"it is slow": {func(j *journey) {
			ctx, cancel := context.WithCancel(j.ctx)
			j.ctx = ctx
			j.op.serve["/token"] = func(http.ResponseWriter, *http.Request) { cancel(); <-j.t.Context().Done() }
		}, context.Canceled},
		// The keys.
		"keys are down": {answers("/keys", status(500, `{}`)), idp.ErrUnavailable},
		"keys redirect": {func(j *journey) {
			keys := httptest.NewRecorder()
			j.op.ServeHTTP(keys, httptest.NewRequestWithContext(j.ctx, http.MethodGet, "/keys", http.NoBody))
			j.op.serve["/elsewhere"] = status(200, keys.Body.String())
			j.op.serve["/keys"] = func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }
		}, idp.ErrUnavailable},
		"keys are no JSON":   {answers("/keys", status(200, `<html>`)), idp.ErrUnavailable},
		"there are no keys":  {answers("/keys", status(200, `{"keys":[]}`)), idp.ErrRefused},
		"keys are too long":  {answers("/keys", status(200, `{"keys":[]}`+strings.Repeat(" ", 1<<19))), idp.ErrUnavailable},
		"keys are much else": {answers("/keys", status(200, `[]`)), idp.ErrRefused},
		"keys are slow": {func(j *journey) {
			ctx, cancel := context.WithCancel(j.ctx)
			j.ctx = ctx
			j.op.serve["/keys"] = func(http.ResponseWriter, *http.Request) { cancel(); <-j.t.Context().Done() }
		}, context.Canceled},
		// The ID token.
		"no ID token":        {func(j *journey) { j.op.token = func(a map[string]any) { delete(a, "id_token") } }, idp.ErrRefused},
		"an ID token object": {func(j *journey) { j.op.token = func(a map[string]any) { a["id_token"] = map[string]any{} } }, idp.ErrRefused},
		"a torn ID token":    {func(j *journey) { j.op.token = func(a map[string]any) { a["id_token"] = "a.b.c" } }, idp.ErrRefused},
		"signed by nobody": {func(j *journey) {
			j.op.sign = func(c jwt.MapClaims) string {
				return signed(jwt.SigningMethodNone, keyID, jwt.UnsafeAllowNoneSignatureType, c)
			}
		}, idp.ErrRefused},
		"signed with the client's secret": {func(j *journey) {
			j.op.sign = func(c jwt.MapClaims) string {
				return signed(jwt.SigningMethodHS256, keyID, []byte(clientSecret), c)
			}
		}, idp.ErrRefused},
		"signed by another": {func(j *journey) {
			j.op.sign = func(c jwt.MapClaims) string { return signed(jwt.SigningMethodES256, keyID, other, c) }
		}, idp.ErrRefused},
		"signed with another's key": {func(j *journey) {
			j.op.sign = func(c jwt.MapClaims) string { return signed(jwt.SigningMethodES256, "key-2", other, c) }
		}, idp.ErrRefused},
		"an algorithm that is not pinned": {func(j *journey) { j.p.Algorithms = nil }, idp.ErrRefused},
		"altered": {func(j *journey) {
			sign := j.op.sign
			j.op.sign = func(c jwt.MapClaims) string {
				parts := strings.Split(sign(c), ".")
				c["sub"] = "eve"
				return parts[0] + "." + strings.Split(sign(c), ".")[1] + "." + parts[2]
			}
		}, idp.ErrRefused},
		"another iss":             {claim("iss", "https://evil.example"), idp.ErrRefused},
		"no iss":                  {without("iss"), idp.ErrRefused},
		"another aud":             {claim("aud", "another"), idp.ErrRefused},
		"no aud":                  {without("aud"), idp.ErrRefused},
		"another azp":             {claim("azp", "another"), idp.ErrRefused},
		"azp that is no string":   {claim("azp", 7), idp.ErrRefused},
		"our azp":                 {claim("azp", clientID), nil},
		"several aud, and no azp": {claim("aud", []string{clientID, "another"}), idp.ErrRefused},
		"several aud, and our azp": {func(j *journey) {
			j.op.claims = func(c map[string]any) { c["aud"], c["azp"] = []string{clientID, "api"}, clientID }
		}, nil},
		"another nonce":                    {claim("nonce", "another"), idp.ErrRefused},
		"no nonce":                         {without("nonce"), idp.ErrRefused},
		"expired":                          {claim("exp", start.Add(-time.Second).Unix()), idp.ErrRefused},
		"expires now":                      {claim("exp", start.Unix()), idp.ErrRefused},
		"no exp":                           {without("exp"), idp.ErrRefused},
		"not yet valid":                    {claim("nbf", start.Add(time.Hour).Unix()), idp.ErrRefused},
		"no iat":                           {without("iat"), idp.ErrRefused},
		"iat in the future":                {claim("iat", start.Add(61*time.Second).Unix()), idp.ErrRefused},
		"iat of a clock that is ahead":     {claim("iat", start.Add(time.Minute).Unix()), nil},
		"another at_hash":                  {claim("at_hash", "another"), idp.ErrRefused},
		"no at_hash":                       {without("at_hash"), nil},
		"another access token":             {func(j *journey) { j.op.token = func(a map[string]any) { a["access_token"] = "another" } }, idp.ErrRefused},
		"no access token":                  {func(j *journey) { j.op.token = func(a map[string]any) { delete(a, "access_token") } }, idp.ErrUnavailable},
		"claims that are none":             {claim("exp", "soon"), idp.ErrRefused},
		"a claim that lies with somebody":  {claim("_claim_names", map[string]string{"auth_time": "elsewhere"}), idp.ErrRefused},
		"amr that cannot be read":          {claim("amr", "pwd"), nil},
		"acr that cannot be read":          {claim("acr", 2), nil},
		"keys that appeared in the middle": {rotated, nil},
		// Who.
		"somebody else":                {func(j *journey) { j.op.user = "bob" }, idp.ErrIdentityMismatch},
		"somebody else, an hour ago":   {func(j *journey) { j.op.user, j.op.authTime = "bob", start.Add(-time.Hour) }, idp.ErrIdentityMismatch},
		"the same in capitals":         {func(j *journey) { j.op.user = "Ada" }, idp.ErrIdentityMismatch},
		"nobody":                       {without("sub"), idp.ErrIdentityMismatch},
		"a number, as the user's name": {claim("sub", 7), idp.ErrRefused},
		// When.
		"signed in 4 s before the start":   {func(j *journey) { j.op.authTime = start.Add(-4 * time.Second) }, nil},
		"signed in 5 s before the start":   {func(j *journey) { j.op.authTime = start.Add(-5 * time.Second) }, nil},
		"signed in 6 s before the start":   {func(j *journey) { j.op.authTime = start.Add(-6 * time.Second) }, idp.ErrNotFresh},
		"5 s and a fraction":               {claim("auth_time", float64(start.Unix())-5.5), idp.ErrNotFresh},
		"signed in an hour ago":            {func(j *journey) { j.op.authTime = start.Add(-time.Hour) }, idp.ErrNotFresh},
		"no auth_time":                     {without("auth_time"), idp.ErrNotFresh},
		"auth_time null":                   {claim("auth_time", nil), idp.ErrNotFresh},
		"auth_time in quotes":              {claim("auth_time", fmt.Sprint(start.Unix())), idp.ErrNotFresh},
		"auth_time true":                   {claim("auth_time", true), idp.ErrNotFresh},
		"auth_time zero":                   {claim("auth_time", 0), idp.ErrNotFresh},
		"auth_time beyond all clocks":      {claim("auth_time", json.RawMessage("1e300")), idp.ErrNotFresh},
		"auth_time in milliseconds":        {claim("auth_time", start.UnixMilli()), idp.ErrNotFresh},
		"signed in a minute from now":      {func(j *journey) { j.op.authTime = start.Add(time.Minute) }, nil},
		"signed in 61 s from now":          {func(j *journey) { j.op.authTime = start.Add(61 * time.Second) }, idp.ErrNotFresh},
		"a fraction of a second, as sent":  {claim("auth_time", float64(start.Unix())+0.5), nil},
		"the trip started after this only": {func(j *journey) { j.want.NotBefore = start.Add(6 * time.Second) }, idp.ErrNotFresh},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := depart(t, newOpenID(t))
			row.bend(j)
			secrets := []string{j.trip.Verifier, j.trip.Nonce, j.p.ClientSecret, accessToken, "eyJ", "ada", j.op.server.URL}
			secrets = append(secrets, j.query["code"]...)
			got, err := j.finish()
			if row.want == nil {
				require.NoError(t, err)
				assert.Equal(t, "ada", got.Subject)
				assert.Equal(t, got.AuthTime, got.AuthTime.Truncate(time.Second))
				return
			}
			require.ErrorIs(t, err, row.want)
			assert.Zero(t, got)
			oneOfTheSet(t, err)
			for _, secret := range secrets {
				if secret != "" {
					assert.NotContains(t, err.Error(), secret)
				}
			}
		})
	}
}

// rotated has the keys in use fetched before the one that signs is among them.
func rotated(j *journey) {
	keys := 0
	j.op.serve["/keys"] = func(w http.ResponseWriter, r *http.Request) {
		if keys++; keys == 1 {
			write(w, http.StatusOK, map[string]any{"keys": []any{}})
			return
		}
		delete(j.op.serve, "/keys")
		j.op.ServeHTTP(w, r)
	}
	_, err := j.finish()
	require.ErrorIs(j.t, err, idp.ErrRefused)
	j.trip = j.start()
	j.query = j.op.visit(j.trip)
}

func oneOfTheSet(t *testing.T, err error) {
	t.Helper()
	n := 0
	for _, e := range []error{idp.ErrDenied, idp.ErrState, idp.ErrIdentityMismatch, idp.ErrNotFresh, idp.ErrRefused, idp.ErrUnavailable} {
		if errors.Is(err, e) {
			n++
		}
	}
	assert.Equal(t, 1, n, "%v is not one of the set", err)
}

// TestAnotherStateAsksNobody: who does not know the state makes us call nobody.
func TestAnotherStateAsksNobody(t *testing.T) {
	t.Parallel()
	op := newOpenID(t)
	client := newClient(t, nil)
	_, err := client.Finish(t.Context(), op.provider(), idp.Trip{State: "a", Nonce: "b", Verifier: "c"}, url.Values{"state": {"d"}, "code": {"e"}}, idp.Want{Subject: "ada", NotBefore: start})
	require.ErrorIs(t, err, idp.ErrState)
	assert.Empty(t, op.asked)
}

// TestAProviderThatDoesNotNameItself: without RFC 9207 there may be no iss, but
// what is there has to be right.
func TestAProviderThatDoesNotNameItself(t *testing.T) {
	t.Parallel()
	for iss, want := range map[string]error{"": nil, "its own": nil, "https://evil.example": idp.ErrState} {
		op := newOpenID(t)
		op.metadata = func(m map[string]any) { delete(m, "authorization_response_iss_parameter_supported") }
		j := depart(t, op)
		switch iss {
		case "":
			j.query.Del("iss")
		case "its own":
		default:
			j.query.Set("iss", iss)
		}
		_, err := j.finish()
		require.ErrorIs(t, err, want, iss)
	}
}

// TestClientAuthentication: as the metadata says, basic where it says nothing.
func TestClientAuthentication(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		methods any
		basic   bool
	}{
		"nothing": {nil, true},
		"both":    {[]string{"client_secret_post", "client_secret_basic"}, true},
		"post":    {[]string{"private_key_jwt", "client_secret_post"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			op := newOpenID(t)
			op.metadata = func(m map[string]any) {
				if row.methods != nil {
					m["token_endpoint_auth_methods_supported"] = row.methods
				}
			}
			op.serve["/token"] = func(w http.ResponseWriter, r *http.Request) {
				_, _, basic := r.BasicAuth()
				assert.Equal(t, row.basic, basic)
				assert.Equal(t, !row.basic, r.PostFormValue("client_secret") != "")
				op.exchange(w, r)
			}
			_, err := depart(t, op).finish()
			require.NoError(t, err)
		})
	}
}

// TestMetadataThatCannotBeUsed: no trip is made with it.
func TestMetadataThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	set := func(name string, value any) func(*openID) {
		return func(op *openID) { op.metadata = func(m map[string]any) { m[name] = value } }
	}
	serve := func(h http.HandlerFunc) func(*openID) {
		return func(op *openID) { op.serve["/.well-known/openid-configuration"] = h }
	}
	for name, bend := range map[string]func(*openID){
		"another issuer":               set("issuer", "https://evil.example"),
		"an issuer with a slash more":  func(op *openID) { op.metadata = func(m map[string]any) { m["issuer"] = op.issuer() + "/" } },
		"no token endpoint":            set("token_endpoint", ""),
		"a token endpoint without TLS": set("token_endpoint", "http://tokens.example/token"),
		"a script as its sign-in":      set("authorization_endpoint", "javascript:alert(1)"),
		"a sign-in without TLS":        set("authorization_endpoint", "http://example.org/authorize"),
		"a sign-in with a fragment":    set("authorization_endpoint", "https://example.org/authorize#x"),
		"keys in a file":               set("jwks_uri", "file:///etc/passwd"),
		"no keys":                      set("jwks_uri", nil),
		"plain PKCE only":              set("code_challenge_methods_supported", []string{"plain"}),
		"no way to prove a client":     set("token_endpoint_auth_methods_supported", []string{"private_key_jwt", "none"}),
		"members of another type":      set("token_endpoint_auth_methods_supported", "client_secret_basic"),
		"no JSON":                      serve(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }),
		"not found":                    serve(http.NotFound),
		"a redirect": serve(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://evil.example", http.StatusFound)
		}),
		"too long": serve(func(w http.ResponseWriter, _ *http.Request) {
			write(w, http.StatusOK, map[string]string{"issuer": strings.Repeat("x", 1<<19)})
		}),
		"a server that is gone": func(op *openID) { op.server.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			op := newOpenID(t)
			p := op.provider()
			bend(op)
			trip, err := newClient(t, nil).Start(t.Context(), p, "")
			require.ErrorIs(t, err, idp.ErrUnavailable)
			assert.Zero(t, trip.URL)
			assert.NotContains(t, err.Error(), "127.0.0.1")
			assert.NotContains(t, err.Error(), "example")
		})
	}
}

// TestASlowProvider: the caller's patience bounds a call.
func TestASlowProvider(t *testing.T) {
	t.Parallel()
	op := newOpenID(t)
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	op.serve["/.well-known/openid-configuration"] = func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("{"))
		_ = http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done():
		case <-done:
		}
	}
	client := idp.New(idp.Config{HTTP: &http.Client{Timeout: 50 * time.Millisecond}, Now: func() time.Time { return start }, Loopback: true})
	t.Cleanup(client.Close)
	_, err := client.Start(t.Context(), op.provider(), "")
	require.ErrorIs(t, err, idp.ErrUnavailable)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

// TestMetadataIsRemembered, for an hour of a clock that can be moved both ways.
func TestMetadataIsRemembered(t *testing.T) {
	t.Parallel()
	op := newOpenID(t)
	now := start
	client := idp.New(idp.Config{HTTP: &http.Client{}, Now: func() time.Time { return now }, Loopback: true})
	t.Cleanup(client.Close)
	for i, row := range []struct {
		at   time.Duration
		asks int
	}{{0, 1}, {0, 0}, {time.Hour - 1, 0}, {time.Hour, 1}, {2*time.Hour - 1, 0}, {0, 1}, {time.Minute, 0}} {
		now = start.Add(row.at)
		_, err := client.Start(t.Context(), op.provider(), "")
		require.NoError(t, err)
		assert.Len(t, op.asked, row.asks, "row %d", i)
		for len(op.asked) > 0 {
			<-op.asked
		}
	}
}

// TestAFailureIsNotRemembered: the next trip asks again.
func TestAFailureIsNotRemembered(t *testing.T) {
	t.Parallel()
	op := newOpenID(t)
	client := newClient(t, nil)
	op.serve["/.well-known/openid-configuration"] = http.NotFound
	_, err := client.Start(t.Context(), op.provider(), "")
	require.ErrorIs(t, err, idp.ErrUnavailable)
	delete(op.serve, "/.well-known/openid-configuration")
	_, err = client.Start(t.Context(), op.provider(), "")
	require.NoError(t, err)
}

// TestMemoryIsBounded: of many providers the one learnt first is forgotten.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	asked := map[string]int{}
	now := start
	answer := roundTrip(func(r *http.Request) (*http.Response, error) {
		issuer := "https://" + r.URL.Host
		asked[issuer]++
		w := httptest.NewRecorder()
		write(w, http.StatusOK, map[string]any{"issuer": issuer, "authorization_endpoint": issuer + "/a", "token_endpoint": issuer + "/t", "jwks_uri": issuer + "/k"})
		return w.Result(), nil
	})
	client := idp.New(idp.Config{HTTP: &http.Client{Transport: answer}, Now: func() time.Time { return now }})
	visit := func(n int) string {
		now = now.Add(time.Millisecond)
		p := &idp.Provider{Issuer: fmt.Sprintf("https://op%d.example", n), ClientID: clientID, ClientSecret: clientSecret, RedirectURI: redirectURI}
		_, err := client.Start(t.Context(), p, "")
		require.NoError(t, err)
		return p.Issuer
	}
	for n := range 65 {
		visit(n)
	}
	assert.Equal(t, 1, asked[visit(1)], "still remembered")
	assert.Equal(t, 1, asked[visit(64)], "still remembered")
	assert.Equal(t, 2, asked[visit(0)], "forgotten")
	assert.Equal(t, 2, asked[visit(1)], "forgotten for it")
}

// TestACallerWhoLeavesTakesNobodyAlong: a call that two wait for goes on when
// the first of them has gone.
func TestACallerWhoLeavesTakesNobodyAlong(t *testing.T) {
	t.Parallel()
	op := newOpenID(t)
	client := newClient(t, nil)
	arrived, release := make(chan struct{}), make(chan struct{})
	op.serve["/.well-known/openid-configuration"] = func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-release
		delete(op.serve, r.URL.Path)
		op.ServeHTTP(w, r)
	}
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := client.Start(ctx, op.provider(), "")
		first <- err
	}()
	<-arrived
	cancel()
	require.ErrorIs(t, <-first, context.Canceled)
	second := make(chan error, 1)
	go func() {
		_, err := client.Start(t.Context(), op.provider(), "")
		second <- err
	}()
	close(release)
	require.NoError(t, <-second)
}

// depart starts a trip and has ada sign in for it.
func depart(t *testing.T, op *openID) *journey {
	j := &journey{t: t, op: op, client: newClient(t, nil), p: op.provider(), want: idp.Want{Subject: "ada", NotBefore: start}, ctx: t.Context()}
	j.trip = j.start()
	j.query = op.visit(j.trip)
	return j
}

func (j *journey) start() idp.Trip {
	trip, err := j.client.Start(j.ctx, j.p, "")
	require.NoError(j.t, err)
	return trip
}

func (j *journey) finish() (idp.Result, error) {
	return j.client.Finish(j.ctx, j.p, j.trip, j.query, j.want)
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
