package truelayer_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/provider"
	"github.com/reconsent/reconsent/provider/truelayer"
)

// What goes over the wire, as providers.md 1.1 to 1.9 has it.

// record answers, and keeps the request.
func record(into *http.Request, sent *string, answer httpmock.Responder) httpmock.Responder {
	return func(r *http.Request) (*http.Response, error) {
		*into = *r
		if r.Body != nil {
			b, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			*sent = string(b)
		}
		return answer(r)
	}
}

const (
	oddURI   = "https://app.example/cb?x=%2F&y=a+b"
	oddState = "é &=+%2F\"<>\u2028"
)

func TestADirectLinkOfAFirstAuthorization(t *testing.T) {
	c, mock := edge(t)
	var r http.Request
	var sent string
	mock.RegisterResponder("POST", authHost+"/v1/authuri", record(&r, &sent, typed(200, `{"result":"https://bank.example/login","success":true}`)))
	link, err := c.AuthURL(t.Context(), provider.LinkRequest{ProviderID: "ob-lloyds", RedirectURI: oddURI, State: oddState, Scopes: []string{"info", "offline_access"}, CodeChallenge: "ch"})
	require.NoError(t, err)
	assert.Equal(t, "https://bank.example/login", link)
	assert.Equal(t, "application/json", r.Header.Get("Content-Type"))
	assert.Equal(t, map[string]string{
		"response_type": "code", "client_id": "sandbox-acme", "client_secret": secretClient, "redirect_uri": oddURI, "state": oddState,
		"scope": "info offline_access", "provider_id": "ob-lloyds", "code_challenge": "ch", "code_challenge_method": "S256",
	}, object(t, sent))
}

func object(t *testing.T, body string) map[string]string {
	t.Helper()
	var m map[string]string
	require.NoError(t, json.Unmarshal([]byte(body), &m), "%s", body)
	return m
}

func TestALinkThatRenews(t *testing.T) {
	c, mock := edge(t)
	var r http.Request
	var sent string
	mock.RegisterResponder("POST", authHost+"/v1/reauthuri", record(&r, &sent, typed(200, `{"result":"https://bank.example/login","success":true}`)))
	link, err := c.ReauthURL(t.Context(), provider.ReauthRequest{ProviderID: "ob-lloyds", RefreshToken: secretToken, RedirectURI: oddURI, State: oddState, CodeChallenge: "ch"})
	require.NoError(t, err)
	assert.Equal(t, "https://bank.example/login", link)
	assert.Equal(t, map[string]string{
		"response_type": "code", "refresh_token": secretToken, "redirect_uri": oddURI, "state": oddState, "code_challenge": "ch", "code_challenge_method": "S256",
	}, object(t, sent))
	assert.Empty(t, r.Header.Get("Authorization"))
}

func TestALinkThatNobodyCouldFollowIsNone(t *testing.T) {
	for _, answer := range []string{
		`{"result":"","success":true}`, `{"result":"https://bank.example/","success":false}`, `{"result":"javascript:alert(1)","success":true}`,
		`{"result":"http://bank.example/","success":true}`, `{"result":"https://user@bank.example/","success":true}`, `{"result":"/login","success":true}`,
	} {
		c, mock := edge(t)
		mock.RegisterResponder("POST", authHost+"/v1/reauthuri", typed(200, answer))
		_, err := c.ReauthURL(t.Context(), provider.ReauthRequest{ProviderID: "mock", RefreshToken: secretToken, RedirectURI: oddURI})
		assert.Equal(t, provider.Temporary, provider.KindOf(err), answer)
	}
}

func TestTheDialogNeedsNoCall(t *testing.T) {
	for _, tt := range []struct {
		name string
		req  provider.LinkRequest
		want url.Values
	}{
		{"no bank named", provider.LinkRequest{}, url.Values{"providers": {"uk-cs-mock uk-ob-all uk-oauth-all"}}},
		{"the dialog asked for", provider.LinkRequest{ProviderID: "mock", Dialog: true}, url.Values{"providers": {"mock"}, "provider_id": {"mock"}}},
		{"a bank with inputs", provider.LinkRequest{ProviderID: "mock-de"}, url.Values{"providers": {"mock-de"}, "provider_id": {"mock-de"}}},
		{"a state that JSON cannot carry", provider.LinkRequest{ProviderID: "mock", State: "\xff\x00"}, url.Values{"providers": {"mock"}, "provider_id": {"mock"}, "state": {"\xff\x00"}}},
		{"PKCE", provider.LinkRequest{CodeChallenge: "ch"}, url.Values{"providers": {"uk-cs-mock uk-ob-all uk-oauth-all"}, "code_challenge": {"ch"}, "code_challenge_method": {"S256"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, mock := edge(t)
			tt.req.RedirectURI, tt.req.Scopes = oddURI, []string{"info", "accounts"}
			link, err := c.AuthURL(t.Context(), tt.req)
			require.NoError(t, err)
			assert.Zero(t, mock.GetTotalCallCount())
			assert.True(t, strings.HasPrefix(link, authHost+"/?"))
			assert.NotContains(t, link, "+", "a plus is a space only to forms")
			assert.NotContains(t, link, secretClient)
			u, err := url.Parse(link)
			require.NoError(t, err)
			q := u.Query()
			assert.NotEmpty(t, q.Get("nonce"))
			q.Del("nonce")
			for name, value := range map[string]string{"response_type": "code", "client_id": "sandbox-acme", "redirect_uri": oddURI, "scope": "info accounts"} {
				tt.want.Set(name, value)
			}
			assert.Equal(t, tt.want, q)
		})
	}
	c, mock := edge(t, func(cfg *provider.Config) { cfg.DirectLinks, cfg.Banks = false, []string{"uk-ob-lloyds"} })
	link, err := c.AuthURL(t.Context(), provider.LinkRequest{RedirectURI: oddURI})
	require.NoError(t, err)
	assert.Zero(t, mock.GetTotalCallCount())
	assert.Contains(t, link, "providers=uk-ob-lloyds")
	assert.Contains(t, link, "offline_access", "without it nothing could be renewed")
}

func TestACodeIsExchanged(t *testing.T) {
	c, mock := edge(t)
	var r http.Request
	var sent string
	mock.RegisterResponder("POST", authHost+"/connect/token", record(&r, &sent, typed(200,
		`{"access_token":"at","expires_in":3600,"token_type":"Bearer","refresh_token":"rt","scope":"info accounts"}`)))
	g, err := c.Exchange(t.Context(), provider.ExchangeRequest{Code: secretCode, RedirectURI: oddURI, Verifier: "ve"})
	require.NoError(t, err)
	assert.Equal(t, provider.Grant{AccessToken: "at", RefreshToken: "rt", AccessExpiresAt: noon.Add(time.Hour), Scopes: []string{"info", "accounts"}}, g)
	form, err := url.ParseQuery(sent)
	require.NoError(t, err)
	assert.Equal(t, url.Values{
		"grant_type": {"authorization_code"}, "client_id": {"sandbox-acme"}, "client_secret": {secretClient}, "redirect_uri": {oddURI}, "code": {secretCode}, "code_verifier": {"ve"},
	}, form)
	assert.Equal(t, "application/x-www-form-urlencoded", r.Header.Get("Content-Type"))
	assert.Empty(t, r.Header.Get("Authorization"))
	assert.NotContains(t, fmt.Sprintf("%v %+v %#v", g, g, g), "rt")
}

func TestARefresh(t *testing.T) {
	for _, tt := range []struct{ name, answer, rotated string }{
		{"a new pair", `{"access_token":"at","refresh_token":"new","expires_in":60}`, "new"},
		{"the same refresh token", `{"access_token":"at","refresh_token":"` + secretToken + `","expires_in":60}`, ""},
		{"no refresh token", `{"access_token":"at","expires_in":60}`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, mock := edge(t)
			var r http.Request
			var sent string
			mock.RegisterResponder("POST", authHost+"/connect/token", record(&r, &sent, typed(200, tt.answer)))
			g, err := c.Refresh(t.Context(), secretToken)
			require.NoError(t, err)
			assert.Equal(t, tt.rotated, g.RefreshToken)
			assert.Equal(t, noon.Add(time.Minute), g.AccessExpiresAt)
			form, err := url.ParseQuery(sent)
			require.NoError(t, err)
			assert.Equal(t, url.Values{"grant_type": {"refresh_token"}, "client_id": {"sandbox-acme"}, "client_secret": {secretClient}, "refresh_token": {secretToken}}, form)
		})
	}
	for _, odd := range []string{"", `"expires_in":0,`, `"expires_in":-1,`, `"expires_in":99999999999,`} {
		c, mock := edge(t)
		mock.RegisterResponder("POST", authHost+"/connect/token", typed(200, `{`+odd+`"access_token":"at"}`))
		g, err := c.Refresh(t.Context(), secretToken)
		require.NoError(t, err)
		assert.Equal(t, noon.Add(time.Hour), g.AccessExpiresAt, odd)
	}
}

func TestMe(t *testing.T) {
	const head = `{"results":[{"client_id":"acme","credentials_id":"6L7R+y/PKX0==","provider":{"display_name":"Mock","provider_id":"mock"},`
	for _, tt := range []struct {
		name, answer string
		want         provider.Inspection
	}{
		{"today's", head + `"consent_status":"Authorised","consent_status_updated_at":"2026-01-01T00:00:00.000Z","consent_created_at":"2026-01-01T00:00:00.000Z",
			"consent_expires_at":"2026-04-01T00:00:00.000Z","scopes":["info","accounts"],"privacy_policy":"Feb2019"}],"status":"Succeeded"}`,
			provider.Inspection{ConsentedAt: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), ExpiresAt: time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC), Scopes: []string{"info", "accounts"}}},
		{"renewed since it was made", head + `"consent_status":"authorised","consent_status_updated_at":"2026-03-01T00:00:00Z","consent_created_at":"2026-01-01T00:00:00Z"}]}`,
			provider.Inspection{ConsentedAt: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}},
		{"no longer authorised", head + `"consent_status":"Revoked","consent_status_updated_at":"2026-03-01T00:00:00Z","consent_created_at":"2026-01-01T00:00:00Z"}]}`,
			provider.Inspection{ConsentedAt: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}},
		{"of 2019, without the consent's times", head + `"scopes":"info accounts"}]}`, provider.Inspection{Scopes: []string{"info", "accounts"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, mock := edge(t)
			var r http.Request
			var sent string
			mock.RegisterResponder("GET", dataHost+"/me", record(&r, &sent, typed(200, tt.answer)))
			got, err := c.Inspect(t.Context(), secretAccess)
			require.NoError(t, err)
			tt.want.CredentialsID, tt.want.ProviderID, tt.want.ProviderName = "6L7R+y/PKX0==", "mock", "Mock"
			assert.Equal(t, tt.want, got)
			assert.Equal(t, "Bearer "+secretAccess, r.Header.Get("Authorization"))
		})
	}
}

func TestAccountsAreRecognisedByWhatTheBankCallsThem(t *testing.T) {
	c, mock := edge(t)
	mock.RegisterResponder("GET", dataHost+"/accounts", typed(200, `{"results":[
		{"account_id":"a1","display_name":"Current","currency":"GBP","account_number":{"iban":"gb33 BUKB 2020 1555 5555 55","number":"55555555","sort_code":"20-20-15"}},
		{"account_id":"a2","display_name":"Saver","currency":"GBP","account_number":{"number":"1234 5678","sort_code":"20-20-15"}},
		{"account_id":"a3","display_name":"Pot","currency":"EUR"}],"status":"Succeeded"}`))
	got, err := c.Accounts(t.Context(), secretAccess)
	require.NoError(t, err)
	assert.Equal(t, []provider.Account{
		{ID: "a1", Name: "Current", Currency: "GBP", Identifiers: []string{"GB33BUKB20201555555555"}},
		{ID: "a2", Name: "Saver", Currency: "GBP", Identifiers: []string{"202015/12345678"}},
		{ID: "a3", Name: "Pot", Currency: "EUR"},
	}, got)
}

func TestExtend(t *testing.T) {
	for _, tt := range []struct {
		name, answer string
		want         provider.Extension
		kind         provider.Kind
	}{
		{"no action needed", `{"action_needed":"no_action_needed","access_token":"at","refresh_token":"rt","expires_in":3600}`,
			provider.Extension{Grant: provider.Grant{AccessToken: "at", RefreshToken: "rt", AccessExpiresAt: noon.Add(time.Hour)}}, fine},
		{"to the bank, by the other name of the field", `{"action_type":"authentication_needed","user_input_link":"https://bank.example/x"}`, provider.Extension{URL: "https://bank.example/x"}, fine},
		{"a link that is none", `{"action_needed":"authentication_needed","user_input_link":"x"}`, provider.Extension{}, temporary},
		{"what TrueLayer does not do yet", `{"action_needed":"reconfirmation_of_consent_needed","user_input_link":"https://x.example/"}`, provider.Extension{}, unsupported},
		{"another action", `{"action_needed":"dance"}`, provider.Extension{}, temporary},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, mock := edge(t)
			var r http.Request
			var sent string
			mock.RegisterResponder("POST", dataHost+"/connections/extend", record(&r, &sent, typed(200, tt.answer)))
			got, err := c.Extend(t.Context(), provider.ExtendRequest{
				RefreshToken: secretToken, RedirectURI: oddURI, State: oddState, User: provider.Person{ID: "u1", Name: "Ada", Email: "a@example.org"},
			})
			assert.JSONEq(t, fmt.Sprintf(`{"user_has_reconfirmed_consent":true,"client_id":"sandbox-acme","client_secret":%q,"refresh_token":%q,"redirect_uri":%q,
				"state":%s,"user":{"id":"u1","name":"Ada","email":"a@example.org"}}`, secretClient, secretToken, oddURI, jsonText(t, oddState)), sent)
			if tt.kind != fine {
				assert.Equal(t, tt.kind, provider.KindOf(err))
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tt.want, got)
			assert.Equal(t, tt.want.URL != "", got.NeedsBank())
		})
	}
}

func jsonText(t *testing.T, s string) string {
	t.Helper()
	b, err := json.Marshal(s)
	require.NoError(t, err)
	return string(b)
}

func TestAStateThatJSONCannotCarryIsRefusedRatherThanChanged(t *testing.T) {
	c, mock := edge(t)
	_, err := c.ReauthURL(t.Context(), provider.ReauthRequest{ProviderID: "mock", RefreshToken: secretToken, RedirectURI: oddURI, State: "\xff"})
	assert.Equal(t, provider.Unsupported, provider.KindOf(err))
	_, err = c.Extend(t.Context(), provider.ExtendRequest{RefreshToken: secretToken, State: "\xff"})
	assert.Equal(t, provider.Unsupported, provider.KindOf(err))
	assert.Zero(t, mock.GetTotalCallCount())
}

func TestBanksThatNeedMoreThanALogin(t *testing.T) {
	c, mock := edge(t)
	for id, want := range map[string][]string{
		"mock-fr": {"branch"}, "mock-de": {"iban", "branch_code"}, "fr-caisse-epargne-idf": {"branch"}, "xs2a-sparkasse": {"iban", "branch_code"},
		"mock": nil, "ob-lloyds": nil, "": nil, "at-erste-und-sparkasse": nil,
	} {
		var names []string
		for _, in := range c.Inputs(id) {
			names = append(names, in.Name)
			assert.NotEmpty(t, in.Label)
			assert.NotEmpty(t, in.Source, "every fact has its source")
		}
		assert.Equal(t, want, names, id)
		if len(want) > 0 {
			_, err := c.ReauthURL(t.Context(), provider.ReauthRequest{ProviderID: id, RefreshToken: secretToken, RedirectURI: oddURI})
			assert.Equal(t, provider.Unsupported, provider.KindOf(err), "there is no direct link for %s", id)
		}
	}
	assert.Zero(t, mock.GetTotalCallCount())
}

func TestOpenReportsEveryFaultAtOnce(t *testing.T) {
	_, err := truelayer.Open(provider.Config{Environment: "moon", AuthURL: "ftp://x", DataURL: "http://u:p@h.example/?q"}, provider.Deps{})
	for _, want := range []string{"moon", "client_id", "client_secret", "auth_url", "data_url", "clock"} {
		require.ErrorContains(t, err, want)
	}
	assert.NotContains(t, err.Error(), "u:p")
	now := provider.Deps{Now: time.Now}
	for cfg, want := range map[string]provider.Config{
		"plain http":             {ClientID: "a", ClientSecret: "b", AuthURL: "http://auth.example"},
		"environment is live":    {ClientID: "sandbox-a", ClientSecret: "b"},
		"no absolute http":       {ClientID: "a", ClientSecret: "b", AuthURL: "auth.example"},
		"user info, a query or ": {ClientID: "a", ClientSecret: "b", AuthURL: "https://a.example/#x"},
	} {
		_, err := truelayer.Open(want, now)
		require.ErrorContains(t, err, cfg)
	}
	for _, good := range []provider.Config{
		{ClientID: "a", ClientSecret: "b"}, {ClientID: "a", ClientSecret: "b", Environment: "live"}, {ClientID: "sandbox-a", ClientSecret: "b", Environment: "sandbox"},
		{ClientID: "a", ClientSecret: "b", AuthURL: "http://127.0.0.1:8081/"}, {ClientID: "a", ClientSecret: "b", Environment: "sandbox", AuthURL: "http://bank.test"},
	} {
		_, err := truelayer.Open(good, now)
		require.NoError(t, err)
	}
}

func TestLiveAndSandboxHosts(t *testing.T) {
	type hosts struct{ auth, data string }
	live, sandbox := hosts{"https://auth.truelayer.com", "https://api.truelayer.com/data/v1"}, hosts{authHost, dataHost}
	local := hosts{"http://127.0.0.1:8081", "http://127.0.0.1:8081/data/v1"}
	for _, tt := range []struct {
		name string
		cfg  provider.Config
		want hosts
	}{
		{"by default", provider.Config{}, live},
		{"live", provider.Config{Environment: "live"}, live},
		{"sandbox", provider.Config{Environment: "sandbox"}, sandbox},
		{"a simulator", provider.Config{AuthURL: "http://127.0.0.1:8081/"}, local},
		{"a simulator of the sandbox", provider.Config{Environment: "sandbox", AuthURL: "http://127.0.0.1:8081"}, local},
		{"two simulators", provider.Config{AuthURL: "https://a.example/auth/", DataURL: "https://d.example/v1/"}, hosts{"https://a.example/auth", "https://d.example/v1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, mock := edge(t, func(cfg *provider.Config) {
				cfg.ClientID, cfg.Environment, cfg.AuthURL, cfg.DataURL = "acme", tt.cfg.Environment, tt.cfg.AuthURL, tt.cfg.DataURL
			})
			link, err := c.AuthURL(t.Context(), provider.LinkRequest{RedirectURI: oddURI})
			require.NoError(t, err)
			assert.True(t, strings.HasPrefix(link, tt.want.auth+"/?"), link)
			assert.NotContains(t, fmt.Sprintf("%v %+v %#v", c, c, c), secretClient)
			var asked []string
			mock.RegisterNoResponder(func(r *http.Request) (*http.Response, error) {
				asked = append(asked, r.Method+" "+r.URL.String())
				return typed(500, "")(r)
			})
			var want []string
			for _, call := range calls {
				require.Error(t, call.do(t.Context(), c))
				want = append(want, call.method+" "+strings.NewReplacer(dataHost, tt.want.data, authHost, tt.want.auth).Replace(call.url))
			}
			assert.Equal(t, want, asked)
		})
	}
}

// Nothing of a call but what it is for goes over the wire: no cookie, no
// query, and a bearer only where the data is asked for.
func TestTheHeadersOfEveryCall(t *testing.T) {
	bearers := map[string]string{"inspect": "Bearer " + secretAccess, "accounts": "Bearer " + secretAccess, "revoke": "Bearer " + secretAccess}
	types := map[string]string{
		"authuri": "application/json", "reauthuri": "application/json", "extend": "application/json",
		"exchange": "application/x-www-form-urlencoded", "refresh": "application/x-www-form-urlencoded",
	}
	for _, call := range calls {
		t.Run(call.op, func(t *testing.T) {
			c, mock := edge(t)
			var r http.Request
			var sent string
			mock.RegisterResponder(call.method, call.url, record(&r, &sent, typed(500, "")))
			require.Error(t, call.do(t.Context(), c))
			assert.Equal(t, bearers[call.op], r.Header.Get("Authorization"))
			assert.Equal(t, types[call.op], r.Header.Get("Content-Type"))
			assert.Equal(t, types[call.op] == "", sent == "", "a body has a type")
			assert.Empty(t, r.URL.RawQuery)
			assert.Empty(t, r.Header.Get("Cookie"))
		})
	}
}

// A connection that is given back is deleted (providers.md 1.9); callers of
// TrueLayer's have seen 200 and 204.
func TestRevoke(t *testing.T) {
	for status, body := range map[int]string{200: `{}`, 204: "", 202: "<html>"} {
		c, mock := edge(t)
		var r http.Request
		var sent string
		mock.RegisterResponder("DELETE", authHost+"/api/delete", record(&r, &sent, httpmock.NewStringResponder(status, body)))
		require.NoError(t, c.Revoke(t.Context(), secretAccess), "%d", status)
		assert.Equal(t, "Bearer "+secretAccess, r.Header.Get("Authorization"))
		assert.Empty(t, sent)
	}
}

// Two links are two journeys.
func TestEveryDialogLinkHasItsOwnNonce(t *testing.T) {
	c, _ := edge(t)
	seen := map[string]bool{}
	for range 20 {
		link, err := c.AuthURL(t.Context(), provider.LinkRequest{RedirectURI: oddURI})
		require.NoError(t, err)
		seen[link] = true
	}
	assert.Len(t, seen, 20)
}

// One client serves many requests at once.
func TestManyCallsAtOnce(t *testing.T) {
	c, mock := edge(t)
	for _, call := range calls {
		mock.RegisterResponder(call.method, call.url, typed(200, `{"result":"https://bank.example/","success":true,"access_token":"a",
			"results":[{"credentials_id":"c"}],"action_needed":"no_action_needed"}`))
	}
	var group sync.WaitGroup
	for range 8 {
		for _, call := range calls {
			group.Go(func() { assert.NoError(t, call.do(t.Context(), c), call.op) })
		}
	}
	group.Wait()
	assert.Equal(t, 8*len(calls), mock.GetTotalCallCount())
}
