package sandbox_test

import (
	"context"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/reconsent/reconsent/provider/sandbox"
	"github.com/reconsent/reconsent/provider/sandbox/bankbrowser"
)

// A client that was not told how to prove itself tries, and a try burns nothing.
func TestAClientThatProbesHowToProveItself(t *testing.T) {
	w := newWorld(t)
	cfg := oauth2.Config{ClientID: client, ClientSecret: secret, RedirectURL: callback, Endpoint: oauth2.Endpoint{TokenURL: w.at + "/connect/token"}}
	token, err := cfg.Exchange(t.Context(), w.visit(bankbrowser.John(), w.dialog()).Get("code"))
	require.NoError(t, err)
	assert.True(t, token.Valid())
	_, err = cfg.Exchange(t.Context(), "no-such-code")
	var refused *oauth2.RetrieveError
	require.ErrorAs(t, err, &refused)
	assert.Equal(t, "invalid_authorization_code", refused.ErrorCode)
	assert.Equal(t, 400, refused.Response.StatusCode)

	own := clientcredentials.Config{ClientID: client, ClientSecret: secret, TokenURL: w.at + "/connect/token", Scopes: []string{"info"}, AuthStyle: oauth2.AuthStyleInParams}
	token, err = own.Token(t.Context())
	require.NoError(t, err)
	assert.Empty(t, token.RefreshToken)
	assert.Equal(t, "401 invalid_token", w.get("/data/v1/me", token.AccessToken).code(), "it is nobody's data")
}

func TestDirectLinksOfFirstAuthorizations(t *testing.T) {
	w := newWorld(t)
	ask := func(extra ...string) answer {
		m := map[string]string{
			"response_type": "code", "client_id": client, "client_secret": secret, "redirect_uri": callback, "scope": "info accounts offline_access",
			"state": "d", "provider_id": "mock", "consent_id": "own", "data_use_description": "budget",
		}
		for i := 0; i < len(extra); i += 2 {
			m[extra[i]] = extra[i+1]
		}
		return w.post("/v1/authuri", m)
	}
	a := ask()
	require.Equal(t, 200, a.Status, a.Body)
	assert.Equal(t, true, a.JSON["success"])
	v, err := bankbrowser.John().Go(t.Context(), a.text("result"))
	require.NoError(t, err)
	assert.Equal(t, []string{"Sign in to Mock Bank", "Allow access?"}, v.Pages, "straight to the bank")
	assert.Equal(t, "d", v.Return.Query().Get("state"))
	assert.Equal(t, 200, w.exchange(v.Return.Query().Get("code")).Status)

	p := bankbrowser.John()
	p.Fields = map[string]string{"branch": "Lyon"}
	v, err = p.Go(t.Context(), ask("provider_id", "mock-fr").text("result"))
	require.NoError(t, err)
	assert.Equal(t, "Mock Banque needs a little more", v.Pages[0])
	assert.NotNil(t, v.Return)

	assert.Equal(t, "400 invalid_client", ask("client_secret", "x").code())
	assert.Equal(t, "400 validation_error", ask("redirect_uri", "").code())
	assert.Equal(t, "400 validation_error", ask("provider_id", "").code())
}

func TestExtendRefuses(t *testing.T) {
	w := newWorld(t)
	w.bank.AddClient(sandbox.Client{ID: "other", Secret: "other-secret"})
	g := w.linked(bankbrowser.John())
	p := bankbrowser.John()
	p.Fields = map[string]string{"branch": "Lyon"}
	french := w.exchange(w.visit(p, w.dialog("provider_id", "mock-fr", "providers", "mock-fr")).Get("code")).text("refresh_token")
	ask := func(change func(map[string]any)) string {
		m := map[string]any{
			"user_has_reconfirmed_consent": true, "client_id": client, "client_secret": secret, "refresh_token": g.refresh, "redirect_uri": callback,
			"user": map[string]any{"id": "u", "name": "Ada", "email": "a@example.org"},
		}
		change(m)
		return w.post("/data/v1/connections/extend", m).code()
	}
	for name, tt := range map[string]struct {
		change func(map[string]any)
		want   string
	}{
		"a wrong secret":         {func(m map[string]any) { m["client_secret"] = "x" }, "400 invalid_client"},
		"no client":              {func(m map[string]any) { delete(m, "client_id") }, "400 invalid_client"},
		"nobody who reconfirmed": {func(m map[string]any) { delete(m, "user") }, "400 validation_error"},
		"a person without name":  {func(m map[string]any) { m["user"] = map[string]any{"email": "a@example.org"} }, "400 validation_error"},
		"no reconfirmation":      {func(m map[string]any) { delete(m, "user_has_reconfirmed_consent") }, "400 validation_error"},
		"a yes in words":         {func(m map[string]any) { m["user_has_reconfirmed_consent"] = "yes" }, "400 validation_error"},
		"a script to return to":  {func(m map[string]any) { m["redirect_uri"] = "javascript://x/" }, "400 validation_error"},
		"another client":         {func(m map[string]any) { m["client_id"], m["client_secret"] = "other", "other-secret" }, "400 invalid_grant"},
		"an unknown token":       {func(m map[string]any) { m["refresh_token"] = "x" }, "400 invalid_grant"},
		"a bank beyond the UK":   {func(m map[string]any) { m["refresh_token"] = french }, "501 endpoint_not_supported"},
	} {
		assert.Equal(t, tt.want, ask(tt.change), name)
	}
	for _, body := range []string{"", "[]", "null", "{", "a=b"} {
		a := w.send("POST", "/data/v1/connections/extend", "application/json", body, "")
		assert.Equal(t, 400, a.Status, "%q: %s", body, a.Body)
	}
	assert.Equal(t, 2, len(w.bank.Connections()))
	w.me(w.refresh(g.refresh).text("access_token"))
}

// The logins whose data calls fail (providers.md 1.11): each of the calls, each
// with its own code; links and refreshes go on.
func TestLoginsWhoseDataCallsFail(t *testing.T) {
	for code, status := range map[string]int{
		"account_permanently_locked": 403, "account_temporarily_locked": 403, "internal_error": 500, "provider_error": 503, "user_input_required": 403, "wrong_credentials": 403,
	} {
		w := newWorld(t)
		p := bankbrowser.Person{User: "error." + code, Password: "error"}
		a := w.exchange(w.visit(p, w.dialog()).Get("code"))
		require.Equal(t, 200, a.Status)
		for _, path := range []string{"/data/v1/me", "/data/v1/info", "/data/v1/accounts", "/data/v1/accounts/x", "/data/v1/accounts/x/balance", "/data/v1/accounts/x/transactions"} {
			got := w.get(path, a.text("access_token"))
			assert.Equal(t, status, got.Status, path)
			assert.Equal(t, code, got.text("error"), path)
		}
		assert.Equal(t, 200, w.refresh(a.text("refresh_token")).Status)
		assert.Equal(t, 200, w.reauth(a.text("refresh_token")).Status)
	}
}

func TestScopesHideWhatWasNotAskedFor(t *testing.T) {
	w := newWorld(t)
	id := func(access string) string {
		return w.get("/data/v1/accounts", access).JSON["results"].([]any)[0].(map[string]any)["account_id"].(string)
	}(w.linked(bankbrowser.John()).access)
	paths := map[string]string{
		"info": "/data/v1/info", "accounts": "/data/v1/accounts", "balance": "/data/v1/accounts/" + id + "/balance", "transactions": "/data/v1/accounts/" + id + "/transactions",
	}
	for scope := range paths {
		access := w.exchange(w.visit(bankbrowser.John(), w.dialog("scope", scope)).Get("code")).text("access_token")
		for other, path := range paths {
			want := 403
			if scope == other {
				want = 200
			}
			assert.Equal(t, want, w.get(path, access).Status, "%s with %s", path, scope)
		}
		w.me(access)
	}
}

func TestBanksByCountry(t *testing.T) {
	w := newWorld(t)
	for country, want := range map[string]int{"": 3, "?country=uk": 1, "?country=FR": 1, "?country=xx": 0} {
		a := w.get("/api/providers"+country, "")
		require.Equal(t, 200, a.Status)
		assert.Equal(t, want, strings.Count(a.Body, `"provider_id"`), country)
	}
}

func TestCallsAreCounted(t *testing.T) {
	w := newWorld(t)
	g := w.linked(bankbrowser.John())
	w.refresh(g.refresh)
	w.refresh("x")
	w.reauth(g.refresh)
	for op, want := range map[string]int{"token:authorization_code": 1, "token:refresh_token": 2, "me": 1, "reauthuri": 1, "authuri": 0, "delete": 0} {
		assert.Equal(t, want, w.bank.Calls(op), op)
	}
	con := w.bank.Connections()[0]
	assert.Equal(t, 1, con.Exchanges)
	assert.Equal(t, 1, con.Refreshes, "that succeeded")
	assert.Equal(t, "acme/mock/john", con.ClientID+"/"+con.Bank+"/"+con.Login)
}

// Everything at once: nobody is told nonsense, and nothing is lost.
func TestEverybodyAtOnce(t *testing.T) {
	w := newWorld(t, func(o *sandbox.Options) {
		o.Path = filepath.Join(t.TempDir(), "bank.db")
		o.OnMove = func(context.Context) error { return nil }
	})
	ctx := context.WithoutCancel(t.Context())
	g := w.linked(bankbrowser.John())
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() { // people
			p := bankbrowser.Numbered(i + 1)
			v, err := p.Go(ctx, w.dialog())
			if !assert.NoError(t, err) || !assert.NotNil(t, v.Return) {
				return
			}
			form := url.Values{"grant_type": {"authorization_code"}, "client_id": {client}, "client_secret": {secret}, "redirect_uri": {callback}, "code": {v.Return.Query().Get("code")}}
			a, err := w.try(ctx, "POST", "/connect/token", "application/x-www-form-urlencoded", form.Encode(), "")
			assert.NoError(t, err)
			assert.Equal(t, 200, a.Status, a.Body)
		})
		group.Go(func() { // backends
			for range 5 {
				form := url.Values{"grant_type": {"refresh_token"}, "client_id": {client}, "client_secret": {secret}, "refresh_token": {g.refresh}}
				a, err := w.try(ctx, "POST", "/connect/token", "application/x-www-form-urlencoded", form.Encode(), "")
				assert.NoError(t, err)
				assert.Equal(t, 200, a.Status, a.Body)
				_, err = w.try(ctx, "GET", "/data/v1/accounts", "", "", a.text("access_token"))
				assert.NoError(t, err)
			}
		})
		group.Go(func() { // operators, and tests
			a, err := w.try(ctx, "POST", "/_control/clock", "application/json", `{"advance":"1s"}`, "")
			assert.NoError(t, err)
			assert.Equal(t, 200, a.Status, a.Body)
			assert.NoError(t, w.bank.SetFault("user_denies", 0))
			w.bank.AddClient(sandbox.Client{ID: "client" + string(rune('a'+i))})
			_, err = w.bank.Authorise(ctx, client, "mock", "john50", callback, []string{"info"}, w.bank.Clock().Now())
			assert.NoError(t, err)
			w.bank.Connections()
			w.bank.Calls("me")
		})
	}
	group.Wait()
	assert.Len(t, w.bank.Connections(), 10, "john, eight more, and john50")
	assert.GreaterOrEqual(t, w.bank.Clock().Offset(), 8*time.Second)
	var alive int
	for _, c := range w.bank.Connections() {
		alive += c.RefreshTokens
	}
	assert.Equal(t, 9+8, alive)
}
