package sandbox_test

import (
	"context"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/reconsent/reconsent/provider/sandbox"
	"github.com/reconsent/reconsent/provider/sandbox/bankbrowser"
)

// TrueLayer's protocol as providers.md 1.2 to 1.11 has it, seen by a client
// that knows nothing of the sandbox.

func TestAnUnmodifiedOAuthClientLinks(t *testing.T) {
	w := newWorld(t)
	cfg := oauth2.Config{
		ClientID: client, ClientSecret: secret, RedirectURL: callback, Scopes: []string{"info", "accounts", "offline_access"},
		Endpoint: oauth2.Endpoint{AuthURL: w.at + "/", TokenURL: w.at + "/connect/token", AuthStyle: oauth2.AuthStyleInParams},
	}
	verifier := oauth2.GenerateVerifier()
	link := cfg.AuthCodeURL("é &=", oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("provider_id", "mock"))
	q := w.visit(bankbrowser.John(), link)
	assert.Equal(t, "é &=", q.Get("state"))
	token, err := cfg.Exchange(t.Context(), q.Get("code"), oauth2.VerifierOption(verifier))
	require.NoError(t, err)
	assert.Equal(t, "Bearer", token.TokenType)
	fresh, err := cfg.TokenSource(t.Context(), &oauth2.Token{RefreshToken: token.RefreshToken}).Token()
	require.NoError(t, err)
	assert.Equal(t, "Mock Bank", w.me(fresh.AccessToken)["provider"].(map[string]any)["display_name"])
}

func TestTheTokenEndpointTakesFormsAndJSON(t *testing.T) {
	w := newWorld(t)
	code := w.visit(bankbrowser.John(), w.dialog()).Get("code")
	a := w.post("/connect/token", map[string]string{
		"grant_type": "authorization_code", "client_id": client, "client_secret": secret, "redirect_uri": callback, "code": code,
	})
	require.Equal(t, 200, a.Status, a.Body)
	assert.EqualValues(t, 3600, a.JSON["expires_in"])
	assert.Equal(t, "Bearer", a.text("token_type"))
	assert.Equal(t, "info accounts balance transactions offline_access", a.text("scope"))
	assert.NotEmpty(t, a.Header.Get("X-TL-Correlation-Id"))
	assert.Equal(t, "no-store", a.Header.Get("Cache-Control"))
	require.Equal(t, 200, w.refresh(a.text("refresh_token")).Status)
}

func TestTheTokenEndpointRefuses(t *testing.T) {
	w := newWorld(t)
	w.bank.AddClient(sandbox.Client{ID: "other", Secret: "other-secret"})
	good := func() string { return w.visit(bankbrowser.John(), w.dialog()).Get("code") }
	g := w.linked(bankbrowser.John())
	late := good()
	w.advance(5 * time.Minute)
	used := good()
	require.Equal(t, 200, w.exchange(used).Status)
	for name, a := range map[string]struct {
		got  answer
		want string
	}{
		"a code that is none":      {w.exchange("nothing"), "400 invalid_authorization_code"},
		"a code of 5 minutes ago":  {w.exchange(late), "400 invalid_authorization_code"},
		"a code for the 2nd time":  {w.exchange(used), "400 invalid_authorization_code"},
		"another redirect_uri":     {w.exchange(good(), "redirect_uri", callback+"/"), "400 invalid_grant"},
		"another client":           {w.exchange(good(), "client_id", "other", "client_secret", "other-secret"), "400 invalid_grant"},
		"a wrong secret":           {w.exchange(good(), "client_secret", "x"), "400 invalid_client"},
		"an unknown client":        {w.exchange(good(), "client_id", "x"), "400 invalid_client"},
		"an unknown grant":         {w.exchange(good(), "grant_type", "password"), "400 unsupported_grant_type"},
		"an unknown refresh token": {w.refresh("nothing"), "400 invalid_grant"},
		"another's refresh token": {w.form("/connect/token", url.Values{
			"grant_type": {"refresh_token"}, "client_id": {"other"}, "client_secret": {"other-secret"}, "refresh_token": {g.refresh}}), "400 invalid_grant"},
		"no body at all":   {w.send("POST", "/connect/token", "application/json", "", ""), "400 validation_error"},
		"a list":           {w.send("POST", "/connect/token", "application/json", "[]", ""), "400 validation_error"},
		"a body of 2 MB":   {w.send("POST", "/connect/token", "application/json", `{"code":"`+strings.Repeat("x", 2<<20)+`"}`, ""), "400 validation_error"},
		"a PKCE verifier":  {w.exchange(w.visit(bankbrowser.John(), w.dialog("code_challenge", "abc", "code_challenge_method", "S256")).Get("code"), "code_verifier", "no"), "400 invalid_grant"},
		"no PKCE verifier": {w.exchange(w.visit(bankbrowser.John(), w.dialog("code_challenge", "abc", "code_challenge_method", "S256")).Get("code")), "400 invalid_grant"},
	} {
		assert.Equal(t, a.want, a.got.code(), name)
		if a.got.Status == 400 {
			assert.NotEmpty(t, a.got.text("error_description"), name)
			assert.Contains(t, a.got.JSON, "error_details", name)
		}
	}
}

func TestWithoutOfflineAccessThereIsNothingToRefresh(t *testing.T) {
	w := newWorld(t)
	a := w.exchange(w.visit(bankbrowser.John(), w.dialog("scope", "info")).Get("code"))
	require.Equal(t, 200, a.Status)
	assert.NotContains(t, a.JSON, "refresh_token")
}

func TestTheAccessTokenCarriesTrueLayersClaims(t *testing.T) {
	w := newWorld(t)
	g := w.linked(bankbrowser.John())
	var claims jwt.MapClaims
	token, _, err := jwt.NewParser().ParseUnverified(g.access, &claims)
	require.NoError(t, err)
	assert.Equal(t, "RS256", token.Header["alg"])
	assert.Equal(t, g.credentials, claims["sub"])
	assert.Equal(t, "mock", claims["connector_id"])
	assert.Equal(t, "https://auth.truelayer.com", claims["iss"])
	assert.InDelta(t, 3600, claims["exp"].(float64)-claims["nbf"].(float64), 0)
}

func TestOnlyTheNewestAccessTokenCounts(t *testing.T) {
	w := newWorld(t)
	g := w.linked(bankbrowser.John())
	fresh := w.refresh(g.refresh)
	require.Equal(t, 200, fresh.Status)
	assert.Equal(t, g.refresh, fresh.text("refresh_token"), "a refresh changes the refresh token only under the fault")
	assert.Equal(t, "401 invalid_token", w.get("/data/v1/me", g.access).code())
	w.me(fresh.text("access_token"))
	w.advance(61 * time.Minute)
	assert.Equal(t, "401 invalid_token", w.get("/data/v1/me", fresh.text("access_token")).code())
	assert.Equal(t, "401 invalid_token", w.get("/data/v1/me", "").code())
}

func TestData(t *testing.T) {
	w := newWorld(t)
	g := w.linked(bankbrowser.John())
	me := w.me(g.access)
	assert.Equal(t, client, me["client_id"])
	assert.Equal(t, "Authorised", me["consent_status"])
	assert.Equal(t, []any{"info", "accounts", "balance", "transactions", "offline_access"}, me["scopes"])
	created, err := time.Parse(time.RFC3339, me["consent_created_at"].(string))
	require.NoError(t, err)
	expires, err := time.Parse(time.RFC3339, me["consent_expires_at"].(string))
	require.NoError(t, err)
	assert.Equal(t, 90*day, expires.Sub(created))

	accounts := w.get("/data/v1/accounts", g.access)
	require.Equal(t, 200, accounts.Status)
	assert.Equal(t, "Succeeded", accounts.text("status"))
	list := accounts.JSON["results"].([]any)
	require.Len(t, list, 2)
	first := list[0].(map[string]any)
	number := first["account_number"].(map[string]any)
	assert.Regexp(t, `^GB[0-9]{2}MOCK[0-9]{14}$`, number["iban"])
	id := first["account_id"].(string)
	for _, path := range []string{"/data/v1/info", "/data/v1/accounts/" + id, "/data/v1/accounts/" + id + "/balance", "/data/v1/accounts/" + id + "/transactions"} {
		a := w.get(path, g.access)
		assert.Equal(t, 200, a.Status, "%s %s", path, a.Body)
	}
	assert.Equal(t, "404 account_not_found", w.get("/data/v1/accounts/nothing", g.access).code())
	other := w.get("/data/v1/accounts", w.linked(bankbrowser.Numbered(2)).access)
	assert.NotContains(t, other.Body, number["iban"], "each login has its own accounts")
}

func TestAScopeThatWasNotAskedForShowsNothing(t *testing.T) {
	w := newWorld(t)
	a := w.exchange(w.visit(bankbrowser.John(), w.dialog("scope", "info offline_access")).Get("code"))
	got := w.get("/data/v1/accounts", a.text("access_token"))
	assert.Equal(t, 403, got.Status, got.Body)
}

func TestEveryMockUserSignsIn(t *testing.T) {
	w := newWorld(t)
	seen := map[string]bool{}
	for _, p := range append([]bankbrowser.Person{bankbrowser.John(), {User: "john7", Password: "iban7"}, {User: "john", Password: "eternal"}},
		bankbrowser.Numbered(1), bankbrowser.Numbered(42), bankbrowser.Numbered(100)) {
		seen[w.linked(p).credentials] = true
	}
	assert.Len(t, seen, 5, "credentials_id is a function of client, bank and login: john is one, whatever the password")
	for _, p := range []bankbrowser.Person{{User: "john", Password: "doe1"}, {User: "john0", Password: "doe0"}, {User: "john101", Password: "doe101"}, {User: "john01", Password: "doe01"}, {User: "", Password: ""}, {User: "jane", Password: "doe"}} {
		v, err := p.Go(t.Context(), w.dialog())
		assert.True(t, err != nil || v.Return == nil, "%s got in", p.User)
		assert.Equal(t, http.StatusUnauthorized, v.Status)
	}
	for name, want := range map[string]string{"error.provider_error": "503 provider_error", "error.wrong_credentials": "403 wrong_credentials", "error.internal_error": "500 internal_error"} {
		a := w.exchange(w.visit(bankbrowser.Person{User: name, Password: "error"}, w.dialog()).Get("code"))
		require.Equal(t, 200, a.Status)
		assert.Equal(t, want, w.get("/data/v1/me", a.text("access_token")).code())
	}
}

func TestARenewalGoesStraightToTheBank(t *testing.T) {
	w := newWorld(t)
	g := w.linked(bankbrowser.John())
	w.advance(179 * day)
	assert.Equal(t, "400 invalid_grant", w.refresh(g.refresh).code())
	a := w.reauth(g.refresh)
	require.Equal(t, 200, a.Status, a.Body)
	assert.Equal(t, true, a.JSON["success"])
	v, err := bankbrowser.John().Go(t.Context(), a.text("result"))
	require.NoError(t, err)
	assert.Equal(t, []string{"Sign in to Mock Bank", "Allow access?"}, v.Pages)
	q := v.Return.Query()
	assert.Equal(t, "again", q.Get("state"))
	done := w.exchange(q.Get("code"))
	require.Equal(t, 200, done.Status, done.Body)
	assert.Equal(t, g.refresh, done.text("refresh_token"), "identical to the original")
	me := w.me(done.text("access_token"))
	assert.Equal(t, g.credentials, me["credentials_id"])
	con, ok := w.bank.Connection(g.credentials)
	require.True(t, ok)
	assert.WithinDuration(t, w.bank.Clock().Now().Add(90*day), con.ExpiresAt, time.Minute)

	w.advance(181 * day)
	assert.Equal(t, "400 invalid_grant", w.reauth(g.refresh).code())
}

func TestReauthURIRefuses(t *testing.T) {
	w := newWorld(t)
	g := w.linked(bankbrowser.John())
	body := func(extra ...string) answer {
		m := map[string]string{"response_type": "code", "refresh_token": g.refresh, "redirect_uri": callback}
		for i := 0; i < len(extra); i += 2 {
			m[extra[i]] = extra[i+1]
		}
		return w.post("/v1/reauthuri", m)
	}
	for name, a := range map[string]struct {
		got  answer
		want string
	}{
		"another redirect_uri":    {body("redirect_uri", callback+"?x"), "400 invalid_grant"},
		"a slash more":            {body("redirect_uri", callback+"/"), "400 invalid_grant"},
		"no redirect_uri":         {body("redirect_uri", ""), "400 validation_error"},
		"a script":                {body("redirect_uri", "javascript://x/%0aalert(1)"), "400 validation_error"},
		"another response_type":   {body("response_type", "token"), "400 validation_error"},
		"an unknown token":        {body("refresh_token", "x"), "400 invalid_grant"},
		"a plain PKCE method":     {body("code_challenge", "c", "code_challenge_method", "plain"), "400 validation_error"},
		"an unknown first bank":   {w.post("/v1/authuri", map[string]string{"response_type": "code", "client_id": client, "redirect_uri": callback, "provider_id": "x"}), "400 validation_error"},
		"an unknown first client": {w.post("/v1/authuri", map[string]string{"response_type": "code", "client_id": "x", "redirect_uri": callback, "provider_id": "mock"}), "400 invalid_client"},
	} {
		assert.Equal(t, a.want, a.got.code(), name)
	}
}

func TestBanksThatNeedInputs(t *testing.T) {
	w := newWorld(t)
	for bank, fields := range map[string]map[string]string{
		"mock-fr": {"branch": "Lyon"}, "mock-de": {"iban": "DE02120300000000202051", "branch_code": "12030000"},
	} {
		p := bankbrowser.John()
		p.Fields = fields
		a := w.exchange(w.visit(p, w.dialog("provider_id", bank, "providers", bank)).Get("code"))
		require.Equal(t, 200, a.Status, a.Body)
		assert.Equal(t, "501 endpoint_not_supported", w.reauth(a.text("refresh_token")).code())
		v, err := bankbrowser.John().Go(t.Context(), w.dialog("provider_id", bank, "providers", bank))
		assert.True(t, err != nil || v.Return == nil, "%s let somebody pass without its inputs", bank)
		assert.Equal(t, http.StatusUnprocessableEntity, v.Status)
	}
	banks := w.get("/api/providers", "")
	assert.Equal(t, 200, banks.Status)
	for _, id := range []string{"mock", "mock-fr", "mock-de"} {
		assert.Contains(t, banks.Body, `"`+id+`"`)
	}
}

func TestExtend(t *testing.T) {
	w := newWorld(t)
	ask := func(token string, reconfirmed bool) answer {
		return w.post("/data/v1/connections/extend", map[string]any{
			"user_has_reconfirmed_consent": reconfirmed, "client_id": client, "client_secret": secret, "refresh_token": token, "redirect_uri": callback,
			"state": "ex", "user": map[string]string{"id": "u", "name": "Ada", "email": "a@example.org"},
		})
	}
	eternal := w.linked(bankbrowser.Person{User: "john", Password: "eternal"})
	w.advance(80 * day)
	a := ask(eternal.refresh, true)
	require.Equal(t, 200, a.Status, a.Body)
	assert.Equal(t, "no_action_needed", a.text("action_needed"))
	assert.NotEqual(t, eternal.refresh, a.text("refresh_token"))
	assert.Equal(t, "400 invalid_grant", w.refresh(eternal.refresh).code(), "the old one is replaced")
	w.me(a.text("access_token"))

	john2 := w.linked(bankbrowser.Numbered(2))
	a = ask(john2.refresh, true)
	require.Equal(t, "authentication_needed", a.text("action_needed"))
	q := w.visit(bankbrowser.Numbered(2), a.text("user_input_link"))
	assert.Equal(t, "ex", q.Get("state"))
	assert.Equal(t, 200, w.exchange(q.Get("exchange_code")).Status)
	assert.Equal(t, "400 validation_error", ask(john2.refresh, false).code(), "nothing reconfirms by itself")
	assert.Equal(t, "400 invalid_grant", ask("x", true).code())
}

func TestDelete(t *testing.T) {
	w := newWorld(t)
	g := w.linked(bankbrowser.John())
	a := w.send("DELETE", "/api/delete", "", "", g.access)
	assert.Less(t, a.Status, 300)
	assert.Equal(t, 401, w.send("DELETE", "/api/delete", "", "", g.access).Status)
	assert.Equal(t, "400 invalid_grant", w.refresh(g.refresh).code())
	assert.Equal(t, "401 invalid_token", w.get("/data/v1/me", g.access).code())
	_, ok := w.bank.Connection(g.credentials)
	assert.False(t, ok)
	assert.Equal(t, g.credentials, w.linked(bankbrowser.John()).credentials, "and again it is the same login")
}

func TestSomebodySaysNo(t *testing.T) {
	w := newWorld(t)
	p := bankbrowser.John()
	p.Deny = true
	q := w.visit(p, w.dialog())
	assert.Equal(t, "access_denied", q.Get("error"))
	assert.Equal(t, "st", q.Get("state"))
	assert.Empty(t, q.Get("code"))
}

func TestALinkWorksOnce(t *testing.T) {
	w := newWorld(t)
	g := w.linked(bankbrowser.John())
	link := w.reauth(g.refresh).text("result")
	w.visit(bankbrowser.John(), link)
	v, err := bankbrowser.John().Go(t.Context(), link)
	require.NoError(t, err)
	assert.Equal(t, http.StatusGone, v.Status)
	assert.Nil(t, v.Return)
}

func TestAnAddressThatIsNone(t *testing.T) {
	w := newWorld(t)
	assert.Equal(t, "404 not_found", w.get("/v2/nothing", "").code())
	for _, link := range []string{w.dialog("client_id", "x"), w.dialog("redirect_uri", "javascript:alert(1)"), w.dialog("provider_id", "x"), w.at + "/bank/nothing"} {
		v, err := bankbrowser.John().Go(t.Context(), link)
		require.NoError(t, err)
		assert.GreaterOrEqual(t, v.Status, 400)
		assert.Nil(t, v.Return, "nobody is sent to an address that was not checked")
	}
}

func TestPagesShowWhatTheyAreGivenAsText(t *testing.T) {
	w := newWorld(t)
	for _, link := range []string{w.dialog("state", `"><script>alert(1)</script>`), w.dialog("provider_id", "", "providers", "<script>"), w.dialog("provider_id", "<script>alert(1)</script>")} {
		u, err := url.Parse(link)
		require.NoError(t, err)
		a := w.get(u.RequestURI(), "")
		if a.Status == http.StatusSeeOther {
			a = w.get(a.Header.Get("Location"), "")
		}
		assert.NotContains(t, a.Body, "<script>")
		assert.NotContains(t, a.Body, "<i>Budget</i>")
		assert.Contains(t, a.Header.Get("Content-Security-Policy"), "default-src 'none'")
		assert.Equal(t, "no-referrer", a.Header.Get("Referrer-Policy"))
	}
}

func TestTheMemoryAndTheClockSurviveARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bank.db")
	keep := func(o *sandbox.Options) { o.Path = path }
	var g grant
	var moved time.Time
	var link, code string
	t.Run("before", func(t *testing.T) {
		w := newWorld(t, keep)
		g = w.linked(bankbrowser.John())
		w.advance(50 * day)
		moved = w.bank.Clock().Now()
		link, code = w.reauth(g.refresh).text("result"), w.visit(bankbrowser.John(), w.dialog()).Get("code")
	})
	w := newWorld(t, keep)
	assert.WithinDuration(t, moved, w.bank.Clock().Now(), time.Minute)
	assert.Equal(t, 200, w.refresh(g.refresh).Status)
	assert.Equal(t, 200, w.exchange(code).Status, "a code on its way")
	v, err := bankbrowser.John().Go(t.Context(), strings.Replace(link, link[:strings.Index(link, "/bank/")], w.at, 1))
	require.NoError(t, err)
	assert.NotNil(t, v.Return, "a person on the way")
}

func TestManyAtOnce(t *testing.T) {
	w := newWorld(t, func(o *sandbox.Options) { o.Path = filepath.Join(t.TempDir(), "bank.db") })
	g := w.linked(bankbrowser.John())
	code := w.visit(bankbrowser.John(), w.dialog()).Get("code")
	var group sync.WaitGroup
	results := make(chan int, 40)
	for i := range 40 {
		group.Go(func() {
			body := url.Values{"grant_type": {"refresh_token"}, "client_id": {client}, "client_secret": {secret}, "refresh_token": {g.refresh}}
			if i%2 == 0 {
				body = url.Values{"grant_type": {"authorization_code"}, "client_id": {client}, "client_secret": {secret}, "redirect_uri": {callback}, "code": {code}}
			}
			a, err := w.try(context.WithoutCancel(t.Context()), "POST", "/connect/token", "application/x-www-form-urlencoded", body.Encode(), "")
			if err == nil && i%2 == 0 {
				results <- a.Status
			}
		})
	}
	group.Wait()
	close(results)
	ok := 0
	for status := range results {
		if status == 200 {
			ok++
		}
	}
	assert.Equal(t, 1, ok, "a code is good for one exchange")
}
