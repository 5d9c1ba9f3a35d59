package truelayer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/provider"
	"github.com/reconsent/reconsent/provider/truelayer"
)

const (
	authHost = "https://auth.truelayer-sandbox.com"
	dataHost = "https://api.truelayer-sandbox.com/data/v1"

	secretToken  = "secret-refresh-token"
	secretCode   = "secret-authorisation-code"
	secretClient = "secret-of-the-client"
	secretAccess = "secret-access-token"
)

var noon = time.Date(2027, 3, 28, 12, 0, 0, 0, time.UTC)

// edge is the adapter with httpmock in the place of TrueLayer.
func edge(t *testing.T, change ...func(*provider.Config)) (*truelayer.Client, *httpmock.MockTransport) {
	t.Helper()
	cfg := provider.Config{ClientID: "sandbox-acme", ClientSecret: secretClient, Environment: "sandbox", DirectLinks: true}
	for _, f := range change {
		f(&cfg)
	}
	mock := httpmock.NewMockTransport()
	p, err := truelayer.Open(cfg, provider.Deps{HTTP: &http.Client{Transport: mock}, Now: func() time.Time { return noon }})
	require.NoError(t, err)
	return p.(*truelayer.Client), mock
}

// calls are all that the adapter asks TrueLayer.
var calls = []struct {
	op, method, url string
	do              func(context.Context, *truelayer.Client) error
}{
	{"authuri", "POST", authHost + "/v1/authuri", func(ctx context.Context, c *truelayer.Client) error {
		_, err := c.AuthURL(ctx, provider.LinkRequest{ProviderID: "mock", RedirectURI: "https://app.example/cb", State: "s"})
		return err
	}},
	{"reauthuri", "POST", authHost + "/v1/reauthuri", func(ctx context.Context, c *truelayer.Client) error {
		_, err := c.ReauthURL(ctx, provider.ReauthRequest{ProviderID: "mock", RefreshToken: secretToken, RedirectURI: "https://app.example/cb", State: "s"})
		return err
	}},
	{"exchange", "POST", authHost + "/connect/token", func(ctx context.Context, c *truelayer.Client) error {
		_, err := c.Exchange(ctx, provider.ExchangeRequest{Code: secretCode, RedirectURI: "https://app.example/cb", Verifier: "v"})
		return err
	}},
	{"refresh", "POST", authHost + "/connect/token", func(ctx context.Context, c *truelayer.Client) error {
		_, err := c.Refresh(ctx, secretToken)
		return err
	}},
	{"inspect", "GET", dataHost + "/me", func(ctx context.Context, c *truelayer.Client) error {
		_, err := c.Inspect(ctx, secretAccess)
		return err
	}},
	{"accounts", "GET", dataHost + "/accounts", func(ctx context.Context, c *truelayer.Client) error {
		_, err := c.Accounts(ctx, secretAccess)
		return err
	}},
	{"extend", "POST", dataHost + "/connections/extend", func(ctx context.Context, c *truelayer.Client) error {
		_, err := c.Extend(ctx, provider.ExtendRequest{RefreshToken: secretToken, RedirectURI: "https://app.example/cb", State: "s"})
		return err
	}},
	{"revoke", "DELETE", authHost + "/api/delete", func(ctx context.Context, c *truelayer.Client) error { return c.Revoke(ctx, secretAccess) }},
}

const (
	temporary     = provider.Temporary
	reauth        = provider.ReauthRequired
	unrenewable   = provider.Unrenewable
	revoked       = provider.Revoked
	limited       = provider.RateLimited
	misconfigured = provider.Misconfigured
	unsupported   = provider.Unsupported
	fine          = provider.Kind(-1) // no error at all
)

// meanings is what each refusal means, per call: in the place "" for every
// call, unless the call has a place of its own.
type meanings map[string]provider.Kind

// TestEveryErrorOfTrueLayer is the whole list of providers.md 1.10, and the
// codes of the mock users of 1.11, each at every call. A consent is over only
// where TrueLayer says so definitely.
func TestEveryErrorOfTrueLayer(t *testing.T) {
	for _, tt := range []struct {
		status int
		code   string
		means  meanings
	}{
		{400, "validation_error", meanings{"": misconfigured}},
		{400, "invalid_date_range", meanings{"": misconfigured}},
		{400, "deprecated_provider", meanings{"": unsupported}},
		{400, "invalid_grant", meanings{"": reauth, "reauthuri": unrenewable}},
		{400, "invalid_client", meanings{"": misconfigured}},
		{400, "invalid_authorization_code", meanings{"": reauth, "reauthuri": unrenewable}},

		{401, "unauthorized", meanings{"": temporary, "reauthuri": unrenewable, "revoke": fine}},
		{401, "unauthorized_client", meanings{"": misconfigured, "inspect": temporary, "accounts": temporary, "revoke": fine, "reauthuri": unrenewable}},
		{401, "invalid_token", meanings{"": temporary, "reauthuri": unrenewable, "revoke": fine}},

		{403, "access_denied", meanings{"": temporary, "inspect": revoked, "accounts": revoked, "revoke": fine, "reauthuri": unrenewable, "authuri": misconfigured}},
		{403, "sca_exceeded", meanings{"": unsupported}},
		{403, "invalid_credentials_key", meanings{"": reauth, "reauthuri": unrenewable}},
		{404, "account_not_found", meanings{"": unsupported, "reauthuri": unrenewable}},
		{429, "provider_too_many_requests", meanings{"": limited}},
		{429, "provider_request_limit_exceeded", meanings{"": limited}},
		{501, "endpoint_not_supported", meanings{"": unsupported}},

		{500, "internal_server_error", meanings{"": temporary}},
		{503, "connector_overload", meanings{"": temporary}},
		{502, "provider_error", meanings{"": temporary}},
		{503, "temporarily_unavailable", meanings{"": temporary}},
		{504, "provider_timeout", meanings{"": temporary}},
		{504, "connector_timeout", meanings{"": temporary}},

		{403, "account_permanently_locked", meanings{"": reauth, "reauthuri": unrenewable}},
		{503, "account_temporarily_locked", meanings{"": temporary}},
		{500, "internal_error", meanings{"": temporary}},
		{403, "user_input_required", meanings{"": reauth, "reauthuri": unrenewable}},
		{403, "wrong_credentials", meanings{"": reauth, "reauthuri": unrenewable}},

		// Whatever the code: a consent is never over by one of these.
		{500, "access_denied", meanings{"": temporary}},
		{503, "invalid_grant", meanings{"": temporary}},
		{429, "invalid_grant", meanings{"": limited}},
		{404, "not_found_at_all", meanings{"": temporary, "reauthuri": unrenewable}},
		{418, "teapot", meanings{"": temporary}},
		{401, "access_denied", meanings{"": temporary, "authuri": misconfigured, "reauthuri": unrenewable, "revoke": fine}},
		{401, "teapot", meanings{"": temporary, "reauthuri": unrenewable, "revoke": fine}},
		{501, "teapot", meanings{"": unsupported}},

		// What says that the settings are wrong, or that the bank is not to be
		// renewed at all, is not a consent past its window.
		{401, "invalid_client", meanings{"": misconfigured, "inspect": temporary, "accounts": temporary, "revoke": fine}},
		{400, "unauthorized_client", meanings{"": misconfigured}},
		{400, "invalid_request", meanings{"": misconfigured}},
		{400, "invalid_scope", meanings{"": misconfigured}},
		{400, "unsupported_grant_type", meanings{"": misconfigured}},
		{404, "validation_error", meanings{"": misconfigured}},
		{400, "provider_not_supported", meanings{"": unsupported}},
		{404, "unsupported_provider", meanings{"": unsupported}},
		{403, "insufficient_scope", meanings{"": unsupported}},
	} {
		for _, call := range calls {
			want, own := tt.means[call.op]
			if !own {
				want = tt.means[""]
			}
			t.Run(fmt.Sprintf("%d %s at %s", tt.status, tt.code, call.op), func(t *testing.T) {
				c, mock := edge(t)
				mock.RegisterResponder(call.method, call.url, refusal(tt.status, tt.code))
				holdKind(t, call.do(t.Context(), c), call.op, want)
				assert.Equal(t, 1, mock.GetTotalCallCount(), "tried again by itself")
			})
		}
	}
}

// refusal echoes secrets, as broken servers do.
func refusal(status int, code string) httpmock.Responder {
	return httpmock.NewStringResponder(status, fmt.Sprintf(
		`{"error":%q,"error_description":"%s %s %s %s","error_details":{}}`, code, secretToken, secretCode, secretClient, secretAccess)).
		HeaderSet(http.Header{"Content-Type": {"application/json"}})
}

func holdKind(t *testing.T, err error, op string, want provider.Kind) {
	t.Helper()
	if want == fine {
		require.NoError(t, err)
		return
	}
	e, ok := errors.AsType[*provider.Error](err)
	require.True(t, ok, "%T is not of the closed set: %v", err, err)
	assert.Equal(t, want.String(), e.Kind.String(), "%v", err)
	assert.Equal(t, op, e.Op)
	for _, s := range []string{secretToken, secretCode, secretClient, secretAccess} {
		assert.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, e.Err), s)
	}
}

// TestAnswersThatAreNone: what a proxy, a broken line or a page in the place
// of an answer brings is no word on the consent.
func TestAnswersThatAreNone(t *testing.T) {
	page := httpmock.NewStringResponder(200, "<html>Login to the Wi-Fi</html>").HeaderSet(http.Header{"Content-Type": {"text/html"}})
	for _, tt := range []struct {
		name   string
		answer httpmock.Responder
		means  meanings
	}{
		{"malformed JSON", typed(200, `{"result": `), meanings{"": temporary, "revoke": fine}},
		{"JSON of another shape", typed(200, `["a"]`), meanings{"": temporary, "revoke": fine}},
		{"JSON without what was asked for", typed(200, `{}`), meanings{"": temporary, "accounts": fine, "revoke": fine}},
		{"null", typed(200, `null`), meanings{"": temporary, "accounts": fine, "revoke": fine}},
		{"a result of another type", typed(200, `{"result":7,"access_token":7,"results":"x","action_needed":[]}`), meanings{"": temporary, "revoke": fine}},
		{"HTML in the place of JSON", page, meanings{"": temporary, "revoke": fine}},
		{"HTML that calls itself JSON", typed(200, "<html></html>"), meanings{"": temporary, "revoke": fine}},
		{"JSON of another content type", httpmock.NewStringResponder(200, `{}`).HeaderSet(http.Header{"Content-Type": {"text/plain"}}), meanings{"": temporary, "revoke": fine}},
		{"an empty body", typed(200, ""), meanings{"": temporary, "revoke": fine}},
		{"no content", httpmock.NewStringResponder(204, ""), meanings{"": temporary, "revoke": fine}},
		{"a body that is cut off", cut(200), meanings{"": temporary}},
		{"an error's body that is cut off", cut(403), meanings{"": temporary}},
		{"a body without end", endless, meanings{"": temporary}},
		{"a redirect", httpmock.NewStringResponder(302, "").HeaderSet(http.Header{"Location": {"https://elsewhere.example/"}}), meanings{"": temporary}},
		{"a lasting redirect", httpmock.NewStringResponder(308, "").HeaderSet(http.Header{"Location": {"https://elsewhere.example/"}}), meanings{"": temporary}},
		{"a proxy's 403", httpmock.NewStringResponder(403, "<html>blocked</html>").HeaderSet(http.Header{"Content-Type": {"text/html"}}), meanings{"": temporary}},
		{"a proxy's 407", httpmock.NewStringResponder(407, ""), meanings{"": temporary}},
		{"a bare 400", httpmock.NewStringResponder(400, ""), meanings{"": temporary}},
		{"a bare 401", httpmock.NewStringResponder(401, ""), meanings{"": temporary, "revoke": fine}},
		{"a bare 500", httpmock.NewStringResponder(500, ""), meanings{"": temporary}},
		{"a connection that is refused", httpmock.NewErrorResponder(fmt.Errorf("dial %s: %w", secretToken, syscall.ECONNREFUSED)), meanings{"": temporary}},
		{"a success with an error in it", typed(200, `{"error":"invalid_grant","error_description":"`+secretToken+`"}`), meanings{"": temporary, "accounts": fine, "revoke": fine}},
	} {
		for _, call := range calls {
			want, own := tt.means[call.op]
			if !own {
				want = tt.means[""]
			}
			t.Run(tt.name+" at "+call.op, func(t *testing.T) {
				c, mock := edge(t)
				mock.RegisterResponder(call.method, call.url, tt.answer)
				mock.RegisterNoResponder(func(r *http.Request) (*http.Response, error) {
					t.Errorf("the redirect was followed to %s", r.URL)
					return nil, errors.New("nobody is here")
				})
				holdKind(t, call.do(t.Context(), c), call.op, want)
			})
		}
	}
}

func typed(status int, body string) httpmock.Responder {
	return httpmock.NewStringResponder(status, body).HeaderSet(http.Header{"Content-Type": {"application/json; charset=utf-8"}})
}

func cut(status int) httpmock.Responder {
	return func(r *http.Request) (*http.Response, error) {
		resp, err := typed(status, "")(r)
		resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"error":"access`), broken{}))
		return resp, err
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func endless(r *http.Request) (*http.Response, error) {
	resp, err := typed(200, "")(r)
	resp.Body = io.NopCloser(spaces{})
	return resp, err
}

type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// A caller's deadline, and its going away, are told apart from each other and
// from whatever a bank says, before an answer and in the middle of one.
func TestASlowAnswerIsATimeoutAndNothingElse(t *testing.T) {
	deadline := func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithTimeout(ctx, time.Millisecond)
	}
	gone := func(ctx context.Context) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		return ctx, cancel
	}
	for _, tt := range []struct {
		name   string
		limit  func(context.Context) (context.Context, context.CancelFunc)
		answer httpmock.Responder
		want   error
	}{
		{"no answer in time", deadline, silence, context.DeadlineExceeded},
		{"half an answer in time", deadline, half, context.DeadlineExceeded},
		{"a caller who has gone", gone, silence, context.Canceled},
		{"a caller who goes half way", gone, half, context.Canceled},
	} {
		for _, call := range calls {
			t.Run(tt.name+" at "+call.op, func(t *testing.T) {
				c, mock := edge(t)
				mock.RegisterResponder(call.method, call.url, tt.answer)
				ctx, cancel := tt.limit(t.Context())
				defer cancel()
				err := call.do(ctx, c)
				holdKind(t, err, call.op, temporary)
				assert.ErrorIs(t, err, tt.want)
			})
		}
	}
}

// silence never answers.
func silence(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// half answers, and then no more.
func half(r *http.Request) (*http.Response, error) {
	resp, err := typed(200, "")(r)
	resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"access_token":"`+secretToken), stalled{r.Context()}))
	return resp, err
}

type stalled struct{ ctx context.Context }

func (s stalled) Read([]byte) (int, error) {
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

// The client's own bound is a timeout, too, though nobody's context ended.
func TestTheClientsTimeoutBoundsEveryCall(t *testing.T) {
	mock := httpmock.NewMockTransport()
	mock.RegisterNoResponder(silence)
	p, err := truelayer.Open(provider.Config{ClientID: "a", ClientSecret: secretClient, DirectLinks: true},
		provider.Deps{HTTP: &http.Client{Transport: mock, Timeout: time.Millisecond}, Now: func() time.Time { return noon }})
	require.NoError(t, err)
	for _, call := range calls {
		err := call.do(t.Context(), p.(*truelayer.Client))
		holdKind(t, err, call.op, temporary)
		require.ErrorIs(t, err, context.DeadlineExceeded, call.op)
	}
}

// Why nothing came is said as far as it holds no address: an address, or what
// a proxy says, may hold a token.
func TestWhyNoAnswerCame(t *testing.T) {
	for _, tt := range []struct {
		name  string
		cause error
		want  string
	}{
		{"refused", &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, "connection refused"},
		{"reset", fmt.Errorf("read %s: %w", secretAccess, syscall.ECONNRESET), "connection reset by peer"},
		{"no such host", &net.DNSError{Err: "no such host", Name: secretAccess + ".example", IsNotFound: true}, "the host name cannot be resolved"},
		{"a slow resolver", &net.DNSError{Err: "i/o timeout", Name: secretAccess, IsTimeout: true}, "context deadline exceeded"},
		{"something else", errors.New("proxyconnect: " + secretAccess), "no_answer"},
	} {
		for _, call := range calls {
			t.Run(tt.name+" at "+call.op, func(t *testing.T) {
				c, mock := edge(t)
				mock.RegisterResponder(call.method, call.url, httpmock.NewErrorResponder(tt.cause))
				err := call.do(t.Context(), c)
				holdKind(t, err, call.op, temporary)
				assert.ErrorContains(t, err, tt.want)
				assert.Zero(t, provider.AsError(err).Status)
			})
		}
	}
}

func TestAConnectionThatIsRefused(t *testing.T) {
	var nobody net.ListenConfig
	port, err := nobody.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, port.Close())
	p, err := truelayer.Open(provider.Config{ClientID: "a", ClientSecret: secretClient, DirectLinks: true, AuthURL: "http://" + port.Addr().String()},
		provider.Deps{Now: func() time.Time { return noon }})
	require.NoError(t, err)
	for _, call := range calls {
		err := call.do(t.Context(), p.(*truelayer.Client))
		holdKind(t, err, call.op, temporary)
		require.ErrorIs(t, err, syscall.ECONNREFUSED, call.op)
	}
}

func TestRetryAfter(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		header http.Header
		want   time.Duration // from now; negative: no word
	}{
		{"seconds", 429, http.Header{"Retry-After": {"90"}}, 90 * time.Second},
		{"zero", 429, http.Header{"Retry-After": {"0"}}, 0},
		{"a date by our clock", 429, http.Header{"Retry-After": {noon.Add(time.Hour).Format(http.TimeFormat)}}, time.Hour},
		{"a date by a clock that is wrong", 429, http.Header{"Date": {noon.AddDate(1, 0, 0).Format(http.TimeFormat)}, "Retry-After": {noon.AddDate(1, 0, 0).Add(time.Minute).Format(http.TimeFormat)}}, time.Minute},
		{"a date that is past", 429, http.Header{"Retry-After": {noon.Add(-time.Hour).Format(http.TimeFormat)}}, 0},
		{"a year", 429, http.Header{"Retry-After": {"31536000"}}, 24 * time.Hour},
		{"nonsense", 429, http.Header{"Retry-After": {"soon"}}, time.Minute},
		{"less than nothing", 429, http.Header{"Retry-After": {"-5"}}, time.Minute},
		{"nothing", 429, nil, time.Minute},
		{"of a 503", 503, http.Header{"Retry-After": {"30"}}, 30 * time.Second},
		{"none of a 503", 503, nil, -1},
		{"of a 500 is not listened to", 500, http.Header{"Retry-After": {"30"}}, -1},
	} {
		for _, call := range calls {
			t.Run(tt.name+" at "+call.op, func(t *testing.T) {
				c, mock := edge(t)
				mock.RegisterResponder(call.method, call.url, httpmock.NewStringResponder(tt.status, "").HeaderSet(tt.header))
				e := provider.AsError(call.do(t.Context(), c))
				require.NotNil(t, e)
				if tt.want < 0 {
					assert.True(t, e.RetryAt.IsZero(), "%s", e.RetryAt)
					return
				}
				assert.Equal(t, noon.Add(tt.want), e.RetryAt.UTC())
			})
		}
	}
}

// FuzzAnswers: whatever comes back from a bank's API, the adapter neither
// panics nor takes it for the end of a consent without its code.
func FuzzAnswers(f *testing.F) {
	f.Add(200, "application/json", `{"result":"https://bank.example/","success":true,"access_token":"a","results":[{"credentials_id":"c"}]}`)
	f.Add(403, "application/json", `{"error":"access_denied"}`)
	f.Add(200, "application/json", `{"results":[{"scopes":{}}],"expires_in":-1}`)
	f.Add(302, "text/html", "<html>")
	f.Fuzz(func(t *testing.T, status int, contentType, body string) {
		if status < 100 || status > 999 {
			return
		}
		c, mock := edge(t)
		answer := httpmock.NewStringResponder(status, body).HeaderSet(http.Header{"Content-Type": {contentType}})
		for _, call := range calls {
			mock.RegisterResponder(call.method, call.url, answer)
		}
		for _, call := range calls {
			err := call.do(t.Context(), c)
			if err == nil {
				continue
			}
			e, ok := errors.AsType[*provider.Error](err)
			require.True(t, ok, "%T", err)
			require.True(t, e.Kind >= temporary && e.Kind <= unsupported, "%s is not of the set", e.Kind)
			if e.Kind == revoked {
				require.Equal(t, 403, status)
				require.Contains(t, body, "access_denied")
			}
			if e.Kind == reauth || e.Kind == unrenewable {
				require.True(t, status >= 400 && status < 500, "%d", status)
				require.True(t, json.Valid([]byte(body)), "nobody's word is taken for TrueLayer's")
			}
		}
	})
}
