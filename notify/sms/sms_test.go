package sms_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/notify"
	"github.com/reconsent/reconsent/notify/sms"
)

const (
	account = "AC0123456789abcdef0123456789abcdef"
	token   = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
	sender  = "+15017122661"
	number  = "+442071838750"
	twilio  = "https://api.twilio.com/2010-04-01/Accounts/" + account + "/Messages.json"
	gateway = "https://sms.example/v1/send?key=s3cret"
)

var errWire = errors.New("connection reset")

func mailer(t *testing.T, address string, o sms.Options) (notify.Mailer, *httpmock.MockTransport) {
	t.Helper()
	wire := httpmock.NewMockTransport()
	o.HTTP = wire
	m, err := sms.New(address, o)
	require.NoError(t, err)
	return m, wire
}

func text() notify.Message {
	return notify.Message{ID: "dgt_1", To: number, Text: "Acme: say \"yes\"\nhttps://consents.example/r/acme.x&y"}
}

// The shapes of Twilio's answers. The message: "Create a Message",
// https://www.twilio.com/docs/messaging/api/message-resource#create-a-message-resource.
// Errors have code, message, more_info and status, by
// https://www.twilio.com/docs/usage/twilios-response#response-formats-exceptions; the codes
// and their texts stand at https://www.twilio.com/docs/api/errors/<code>.
const (
	queued = `{"account_sid":"` + account + `","api_version":"2010-04-01","body":"Hi there","date_created":"Thu, 24 Aug 2023 05:01:45 +0000",
		"date_sent":null,"date_updated":"Thu, 24 Aug 2023 05:01:45 +0000","direction":"outbound-api","error_code":null,"error_message":null,
		"from":"+15017122661","num_media":"0","num_segments":"1","price":null,"price_unit":"USD","messaging_service_sid":null,
		"sid":"SM0123456789abcdef0123456789abcdef","status":"queued","subresource_uris":{"media":"/2010-04-01/Accounts/` + account + `/Messages/SM/Media.json"},
		"to":"+15558675310","uri":"/2010-04-01/Accounts/` + account + `/Messages/SM.json"}`
	invalidTo = `{"code":21211,"message":"The 'To' number +442071838750 is not a valid phone number.","more_info":"https://www.twilio.com/docs/errors/21211","status":400}`
	stopped   = `{"code":21610,"message":"Attempt to send to unsubscribed recipient","more_info":"https://www.twilio.com/docs/errors/21610","status":400}`
	landline  = `{"code":21614,"message":"'To' number is not a valid mobile number","more_info":"https://www.twilio.com/docs/errors/21614","status":400}`
	badFrom   = `{"code":21606,"message":"The 'From' phone number +15017122661 is not a valid, SMS-capable inbound phone number or short code for your account.","more_info":"https://www.twilio.com/docs/errors/21606","status":400}`
	noRegion  = `{"code":21408,"message":"Permission to send an SMS has not been enabled for the region indicated by the 'To' number: +44207183XXXX","more_info":"https://www.twilio.com/docs/errors/21408","status":403}`
	tooMany   = `{"code":20429,"message":"Too Many Requests","more_info":"https://www.twilio.com/docs/errors/20429","status":429}`
	noEntry   = `{"code":20003,"message":"Authenticate","more_info":"https://www.twilio.com/docs/errors/20003","status":401}`
	internal  = `{"code":20500,"message":"Internal Server Error","more_info":"https://www.twilio.com/docs/errors/20500","status":500}`
)

func TestTwilioIsGivenTheMessage(t *testing.T) {
	m, wire := mailer(t, "twilio://"+account+":"+token+"@"+sender, sms.Options{})
	var form url.Values
	wire.RegisterResponder(http.MethodPost, twilio, func(r *http.Request) (*http.Response, error) {
		user, password, ok := r.BasicAuth()
		assert.Equal(t, []any{account, token, true}, []any{user, password, ok})
		require.NoError(t, r.ParseForm())
		form = r.PostForm
		return httpmock.NewStringResponse(http.StatusCreated, queued), nil
	})
	require.NoError(t, m.Send(t.Context(), text()))
	assert.Equal(t, url.Values{"To": {number}, "From": {sender}, "Body": {text().Text}}, form)

	service := "MG0123456789abcdef0123456789abcdef"
	m, other := mailer(t, "twilio://"+account+":"+token+"@"+service, sms.Options{})
	other.RegisterResponder(http.MethodPost, twilio, func(r *http.Request) (*http.Response, error) {
		require.NoError(t, r.ParseForm())
		form = r.PostForm
		return httpmock.NewStringResponse(http.StatusCreated, queued), nil
	})
	require.NoError(t, m.Send(t.Context(), text()))
	assert.Equal(t, url.Values{"To": {number}, "MessagingServiceSid": {service}, "Body": {text().Text}}, form)
}

func TestWhatTwiliosAnswersMean(t *testing.T) {
	for _, tt := range []struct {
		name    string
		answer  httpmock.Responder
		refused bool // for good
		ours    bool // our settings
		away    bool // nobody is there, for the next message either
		says    string
	}{
		{"21211, no number", httpmock.NewStringResponder(400, invalidTo), true, false, false, "21211"},
		{"21610, STOP", httpmock.NewStringResponder(400, stopped), true, false, false, "21610"},
		{"21614, a landline", httpmock.NewStringResponder(400, landline), true, false, false, "21614"},
		{"21606, not our sender", httpmock.NewStringResponder(400, badFrom), false, true, false, "21606"},
		{"21408, a region that is switched off", httpmock.NewStringResponder(403, noRegion), false, true, false, "21408"},
		{"20429", httpmock.NewStringResponder(429, tooMany), false, false, false, "429"},
		{"401", httpmock.NewStringResponder(401, noEntry), false, true, false, "401"},
		{"500", httpmock.NewStringResponder(500, internal), false, false, false, "500"},
		{"503 of something between", httpmock.NewStringResponder(503, "<html>"), false, false, false, "503"},
		{"nothing", httpmock.NewErrorResponder(errWire), false, false, true, "connection reset"},
		{"too late", httpmock.NewErrorResponder(context.DeadlineExceeded), false, false, true, "deadline"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, wire := mailer(t, "twilio://"+account+":"+token+"@"+sender, sms.Options{})
			wire.RegisterResponder(http.MethodPost, twilio, tt.answer)
			err := m.Send(t.Context(), text())
			holdMeaning(t, err, tt.refused, tt.ours, tt.says)
			assert.Equal(t, tt.away, errors.Is(err, notify.ErrAway), err)
			assert.Equal(t, 1, wire.GetTotalCallCount(), "nothing is tried twice behind our back")
		})
	}
}

func holdMeaning(t *testing.T, err error, refused, ours bool, says string) {
	t.Helper()
	require.Error(t, err)
	assert.Equal(t, refused, errors.Is(err, notify.ErrRefused), "%v", err)
	assert.Equal(t, ours, errors.Is(err, notify.ErrMisconfigured), "%v", err)
	assert.ErrorContains(t, err, says)
	for _, secret := range []string{number, "442071838750", token, account, "s3cret", "Acme"} {
		assert.NotContains(t, err.Error(), secret)
	}
}

func TestAGatewayIsGivenTheMessage(t *testing.T) {
	for _, tt := range []struct {
		name    string
		o       sms.Options
		body    string
		headers map[string]string
	}{
		{"as it comes", sms.Options{}, `{"to":"+442071838750","text":"Acme: say \"yes\"\nhttps://consents.example/r/acme.x\u0026y","id":"dgt_1"}`,
			map[string]string{"Content-Type": "application/json"}},
		{"JSON of its own", sms.Options{
			Body:   `{"messages":[{"destinations":[{"to":{{json .To}}}],"from":"Acme","text":{{json .Text}}}]}`,
			Header: "Authorization: App abc:def\nidempotency-key: {{.ID}}\r\n\n",
		}, `{"messages":[{"destinations":[{"to":"+442071838750"}],"from":"Acme","text":"Acme: say \"yes\"\nhttps://consents.example/r/acme.x\u0026y"}]}`,
			map[string]string{"Content-Type": "application/json", "Authorization": "App abc:def", "Idempotency-Key": "dgt_1"}},
		{"a form", sms.Options{Body: `to={{query .To}}&text={{query .Text}}`, Header: "Content-Type: application/x-www-form-urlencoded"},
			"to=%2B442071838750&text=Acme%3A+say+%22yes%22%0Ahttps%3A%2F%2Fconsents.example%2Fr%2Facme.x%26y",
			map[string]string{"Content-Type": "application/x-www-form-urlencoded"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, wire := mailer(t, gateway, tt.o)
			wire.RegisterResponder(http.MethodPost, gateway, func(r *http.Request) (*http.Response, error) {
				body, err := io.ReadAll(r.Body)
				require.NoError(t, err)
				assert.Equal(t, tt.body, string(body))
				for name, value := range tt.headers {
					assert.Equal(t, []string{value}, r.Header.Values(name))
				}
				return httpmock.NewStringResponse(http.StatusAccepted, `{"ok":true}`), nil
			})
			require.NoError(t, m.Send(t.Context(), text()))
			assert.Equal(t, 1, wire.GetTotalCallCount())
			if strings.HasPrefix(tt.body, "{") {
				assert.True(t, json.Valid([]byte(tt.body)))
			}
		})
	}
}

func TestWhatAGatewaysAnswersMean(t *testing.T) {
	for _, tt := range []struct {
		status        int
		refused, ours bool
	}{
		{400, true, false}, {410, true, false}, {413, true, false}, {422, true, false},
		{401, false, true}, {402, false, true}, {403, false, true}, {404, false, true}, {405, false, true}, {407, false, true}, {415, false, true},
		{301, false, true}, {302, false, true}, {307, false, true},
		{408, false, false}, {425, false, false}, {429, false, false}, {500, false, false}, {502, false, false}, {503, false, false}, {504, false, false},
	} {
		m, wire := mailer(t, gateway, sms.Options{})
		wire.RegisterResponder(http.MethodPost, gateway, func(*http.Request) (*http.Response, error) {
			res := httpmock.NewStringResponse(tt.status, number)
			res.Header.Set("Location", "https://elsewhere.example/")
			return res, nil
		})
		holdMeaning(t, m.Send(t.Context(), text()), tt.refused, tt.ours, "HTTP")
		assert.Equal(t, 1, wire.GetTotalCallCount(), "HTTP %d: a message is posted to nobody else", tt.status)
	}
	m, wire := mailer(t, gateway, sms.Options{})
	wire.RegisterResponder(http.MethodPost, gateway, httpmock.NewErrorResponder(errWire))
	err := m.Send(t.Context(), text())
	holdMeaning(t, err, false, false, "connection reset")
	require.ErrorIs(t, err, notify.ErrAway)
}

func TestWhatIsNoNumberIsNotSent(t *testing.T) {
	for _, address := range []string{gateway, "twilio://" + account + ":" + token + "@" + sender} {
		m, wire := mailer(t, address, sms.Options{})
		for _, to := range []string{"", "020 7183 8750", "+", "+44", "+999123", "anna", number + "; +1"} {
			msg := text()
			msg.To = to
			err := m.Send(t.Context(), msg)
			require.ErrorIs(t, err, notify.ErrRefused, "%q", to)
		}
		assert.Zero(t, wire.GetTotalCallCount())
	}
}

func TestANumberIsBroughtIntoForm(t *testing.T) {
	m, wire := mailer(t, gateway, sms.Options{Body: `{{.To}}`})
	wire.RegisterResponder(http.MethodPost, gateway, func(r *http.Request) (*http.Response, error) {
		body, _ := io.ReadAll(r.Body)
		assert.Equal(t, number, string(body))
		return httpmock.NewStringResponse(200, ""), nil
	})
	msg := text()
	msg.To = "+44 (0)20 7183-8750"
	require.NoError(t, m.Send(t.Context(), msg))
}

func TestASendEndsWithItsContext(t *testing.T) {
	for _, address := range []string{gateway, "twilio://" + account + ":" + token + "@" + sender} {
		m, wire := mailer(t, address, sms.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		wire.RegisterNoResponder(func(r *http.Request) (*http.Response, error) {
			cancel() // the process is stopped while the gateway takes its time
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		err := m.Send(ctx, text())
		require.ErrorIs(t, err, context.Canceled)
		require.NotErrorIs(t, err, notify.ErrRefused)
		require.NotErrorIs(t, err, notify.ErrAway, "who is stopped knows nothing of the gateway")
	}
}

// body is one that says when it has been closed.
type body struct {
	io.Reader
	closed *atomic.Int32
}

func (b body) Close() error {
	b.closed.Add(1)
	return nil
}

func TestEveryAnswerIsReadAndClosedSoThatItsConnectionIsUsedAgain(t *testing.T) {
	for _, address := range []string{gateway, "twilio://" + account + ":" + token + "@" + sender} {
		for status, answer := range map[int]string{201: queued, 400: invalidTo, 500: internal, 502: "<html>"} {
			m, wire := mailer(t, address, sms.Options{})
			var closed atomic.Int32
			rest := strings.NewReader(answer)
			wire.RegisterNoResponder(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: status, Header: http.Header{}, Body: body{rest, &closed}}, nil
			})
			_ = m.Send(t.Context(), text())
			assert.EqualValues(t, 1, closed.Load(), "HTTP %d", status)
			assert.Zero(t, rest.Len(), "HTTP %d", status)
		}
	}
}

func TestFaultsOfTheSettings(t *testing.T) {
	for _, address := range []string{
		"", "sms", "http://sms.example/", "ftp://x", "https://", "twilio://", "twilio://" + sender, "twilio://AC12:" + token + "@" + sender,
		"twilio://" + account + "@" + sender, "twilio://" + account + ":to-ken@" + sender, "twilio://" + account + ":" + token + "@" + sender + "/x",
		"twilio://" + account + ":" + token + "@", "twilio://" + account + ":%zz@" + sender,
	} {
		_, err := sms.New(address, sms.Options{})
		require.Error(t, err, address)
		assert.NotContains(t, err.Error(), token)
		assert.NotContains(t, err.Error(), account)
	}
	_, err := sms.New("twilio://AC12:to-ken@"+sender+"/x", sms.Options{})
	for _, fault := range []string{"account SID", "auth token", "follow"} {
		assert.ErrorContains(t, err, fault, "all at once")
	}
	for _, text := range []string{"{{", "{{.Phone}}", "{{json .To", "{{upper .To}}", "s3cret {{.Nope}}"} {
		err := sms.CheckBody(text)
		require.Error(t, err, text)
		assert.NotContains(t, err.Error(), "s3cret")
	}
	require.NoError(t, sms.CheckBody(""))
	require.NoError(t, sms.CheckBody(sms.DefaultBody))
	require.NoError(t, sms.CheckHeader(""))
	err = sms.CheckHeader("X: {{.Nope}}\nAuthorization s3cret\nBad Name: x\nGood: {{.ID}}")
	for _, fault := range []string{"header X", "line 2", "line 3"} {
		assert.ErrorContains(t, err, fault, "all at once")
	}
	assert.NotContains(t, err.Error(), "s3cret")
}

func TestAHeaderHoldsOneLine(t *testing.T) {
	m, wire := mailer(t, gateway, sms.Options{Header: "X-Text: {{.Text}}"})
	require.ErrorIs(t, m.Send(t.Context(), text()), notify.ErrMisconfigured, "the text has a line break")
	assert.Zero(t, wire.GetTotalCallCount())
}
