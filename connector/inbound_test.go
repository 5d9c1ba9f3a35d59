package connector_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/connector"
	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/provider"
	"github.com/reconsent/reconsent/provider/providertest"
	"github.com/reconsent/reconsent/provider/sandbox/bankbrowser"
	"github.com/reconsent/reconsent/provider/truelayer"
)

// hooked is an adapter with webhooks: an HMAC over method, path, date and body,
// as Powens signs, which is good for five minutes.
type hooked struct {
	*truelayer.Client
	now func() time.Time
}

const hookKey = "webhook-key-0123456789"

func hookedOpener(cfg provider.Config, deps provider.Deps) (provider.Provider, error) {
	p, err := truelayer.Adapter.Open(cfg, deps)
	if err != nil {
		return nil, err
	}
	return hooked{p.(*truelayer.Client), deps.Now}, nil
}

type hookBody struct {
	ID         string    `json:"id"`
	Type       string    `json:"type"`
	Connection string    `json:"connection"`
	At         time.Time `json:"at"`
}

func hookSum(method, path, date string, body []byte) []byte {
	sum := hmac.New(sha256.New, []byte(hookKey))
	sum.Write([]byte(method + "." + path + "." + date + "."))
	sum.Write(body)
	return sum.Sum(nil)
}

func (h hooked) ReceiveWebhook(_ context.Context, req provider.WebhookRequest) (provider.Webhook, error) {
	unverified := &provider.Error{Kind: provider.Unverified, Op: "webhook"}
	given, err := base64.StdEncoding.DecodeString(req.Header.Get("Hook-Signature"))
	date := req.Header.Get("Hook-Date")
	if err != nil || !hmac.Equal(given, hookSum(req.Method, req.Path, date, req.Body)) {
		return provider.Webhook{}, unverified
	}
	sent, err := time.Parse(time.RFC3339, date)
	if err != nil || h.now().Sub(sent).Abs() > 5*time.Minute {
		return provider.Webhook{}, unverified
	}
	var b hookBody
	if json.Unmarshal(req.Body, &b) != nil {
		return provider.Webhook{}, &provider.Error{Kind: provider.Unsupported, Op: "webhook"}
	}
	return provider.Webhook{ID: b.ID, Kind: provider.WebhookKind(b.Type), CredentialsID: b.Connection, At: b.At}, nil
}

// hook is a webhook as the provider sends it.
func hook(t *testing.T, now time.Time, said provider.Webhook) provider.WebhookRequest {
	t.Helper()
	body, err := json.Marshal(hookBody{said.ID, string(said.Kind), said.CredentialsID, said.At})
	require.NoError(t, err)
	const path = "/webhooks/truelayer/acme"
	date := now.Format(time.RFC3339)
	return provider.WebhookRequest{Method: http.MethodPost, Path: path, Body: body, Header: http.Header{
		"Hook-Date": {date}, "Hook-Signature": {base64.StdEncoding.EncodeToString(hookSum(http.MethodPost, path, date, body))},
	}}
}

func TestAnAdapterWithWebhooksIsHeldToThem(t *testing.T) {
	now := func() time.Time { return time.Date(2027, 3, 28, 1, 0, 0, 0, time.UTC) }
	providertest.RunWebhooks(t, providertest.Webhooks{
		Receiver: hooked{now: now}, Now: now, Secrets: []string{hookKey},
		Make: func(t *testing.T, w provider.Webhook) provider.WebhookRequest { t.Helper(); return hook(t, now(), w) },
	})
}

// queued counts the jobs that are given.
type queued struct{ n atomic.Int64 }

func (q *queued) Enqueue(_ context.Context, _ *sql.Tx, kind string, keys []string) error {
	if kind == consent.JobInbound {
		q.n.Add(int64(len(keys)))
	}
	return nil
}

func hookedWorld(t *testing.T) (*world, *queued) {
	t.Helper()
	w, q := newWorld(t, withProvider(hookedOpener)), &queued{}
	w.store.UseQueue(q)
	return w, q
}

// told sends what the provider says of a consent.
func (w *world) told(kind provider.WebhookKind, c consent.Consent, id string, at time.Time) error {
	w.Helper()
	return w.ReceiveWebhook(w.Context(), "truelayer", "acme", hook(w.T, w.bank.Clock().Now(), provider.Webhook{ID: id, Kind: kind, CredentialsID: c.CredentialsID, At: at}))
}

func TestAProvidersWebhookEndsNothingByItself(t *testing.T) {
	w, q := hookedWorld(t)
	c := w.linked("u1", bankbrowser.John())
	w.advance(time.Hour)
	require.NoError(t, w.told(provider.WebhookRevoked, c, "e1", w.bank.Clock().Now()))
	assert.EqualValues(t, 1, q.n.Load(), "stored, with its job")
	assert.Equal(t, c.NextCheckAt, w.get(c.ID).NextCheckAt, "and nothing else, before that is done")
	require.NoError(t, w.ApplyInbound(t.Context()))
	after := w.get(c.ID)
	assert.Equal(t, consent.Active, after.Status(w.bank.Clock().Now()), "the provider itself says that it lives")
	assert.True(t, after.Tokens.RefreshedAt.After(c.Tokens.RefreshedAt), "for it was asked")
	w.works(after)
}

func TestAProvidersWebhookHasTheProvidersOwnWordHeard(t *testing.T) {
	w, _ := hookedWorld(t)
	c := w.linked("u1", bankbrowser.John())
	w.advance(time.Hour)
	w.fault("access_denied")
	require.NoError(t, w.told(provider.WebhookRevoked, c, "e1", w.bank.Clock().Now()))
	require.NoError(t, w.ApplyInbound(t.Context()))
	after := w.get(c.ID)
	assert.Equal(t, consent.Lapsed, after.Status(w.bank.Clock().Now()))
	assert.Contains(t, w.types(c), consent.EventEndedEarly)
}

func TestTheSameProvidersWebhookTwiceIsOne(t *testing.T) {
	w, q := hookedWorld(t)
	c := w.linked("u1", bankbrowser.John())
	w.advance(time.Hour)
	at := w.bank.Clock().Now()
	require.NoError(t, w.told(provider.WebhookExpiring, c, "e1", at))
	require.NoError(t, w.told(provider.WebhookExpiring, c, "e1", at))
	assert.EqualValues(t, 1, q.n.Load())
	require.NoError(t, w.ApplyInbound(t.Context()))
	checked := w.get(c.ID)
	w.advance(time.Minute)
	require.NoError(t, w.told(provider.WebhookExpiring, c, "e1", at))
	require.NoError(t, w.ApplyInbound(t.Context()))
	assert.Equal(t, checked, w.get(c.ID), "nobody was asked again")
}

// Pain 26: an error of ten o'clock that arrives after the repair of five past.
func TestAnOlderWebhookAfterANewerChangesNothing(t *testing.T) {
	w, _ := hookedWorld(t)
	c := w.linked("u1", bankbrowser.John())
	w.advance(time.Hour)
	ten := w.bank.Clock().Now()
	w.advance(5 * time.Minute)
	require.NoError(t, w.told(provider.WebhookRenewed, c, "repaired", w.bank.Clock().Now()))
	require.NoError(t, w.ApplyInbound(t.Context()))
	checked := w.get(c.ID)
	w.advance(time.Minute)
	require.NoError(t, w.told(provider.WebhookEnded, c, "broken", ten))
	require.NoError(t, w.ApplyInbound(t.Context()))
	assert.Equal(t, checked, w.get(c.ID))
	assert.Equal(t, consent.Active, checked.Status(w.bank.Clock().Now()))
}

func TestAWebhookFromTheFutureDoesNotSilenceTheRest(t *testing.T) {
	w, _ := hookedWorld(t)
	c := w.linked("u1", bankbrowser.John())
	w.advance(time.Hour)
	require.NoError(t, w.told(provider.WebhookOther, c, "odd", w.bank.Clock().Now().Add(1000*day)))
	require.NoError(t, w.ApplyInbound(t.Context()))
	w.advance(time.Minute)
	require.NoError(t, w.told(provider.WebhookEnded, c, "real", w.bank.Clock().Now()))
	require.NoError(t, w.ApplyInbound(t.Context()))
	assert.True(t, w.get(c.ID).Tokens.RefreshedAt.After(c.Tokens.RefreshedAt))
}

func TestAJobThatIsLostIsMadeUpForByUpkeep(t *testing.T) {
	w, _ := hookedWorld(t)
	c := w.linked("u1", bankbrowser.John())
	w.advance(time.Hour)
	require.NoError(t, w.told(provider.WebhookEnded, c, "e1", w.bank.Clock().Now()))
	require.NoError(t, w.Upkeep(t.Context()))
	assert.True(t, w.get(c.ID).Tokens.RefreshedAt.After(c.Tokens.RefreshedAt))
}

func TestWebhooksThatAreNotTheProviders(t *testing.T) {
	w, q := hookedWorld(t)
	c := w.linked("u1", bankbrowser.John())
	now := w.bank.Clock().Now()
	said := provider.Webhook{ID: "e1", Kind: provider.WebhookRevoked, CredentialsID: c.CredentialsID, At: now}
	forged := hook(t, now, said)
	forged.Body = []byte(string(forged.Body[:len(forged.Body)-1]) + ` }`)
	nameless := said
	nameless.ID = ""
	for name, tt := range map[string]struct {
		provider, application string
		req                   provider.WebhookRequest
		code                  consent.Code
	}{
		"forged":              {"truelayer", "acme", forged, consent.CodeWebhookUnverified},
		"old":                 {"truelayer", "acme", hook(t, now.Add(-time.Hour), said), consent.CodeWebhookUnverified},
		"not signed":          {"truelayer", "acme", provider.WebhookRequest{Method: "POST", Path: "/", Body: []byte("{}")}, consent.CodeWebhookUnverified},
		"names no event":      {"truelayer", "acme", hook(t, now, nameless), consent.CodeInvalidRequest},
		"unknown application": {"truelayer", "nobody", hook(t, now, said), consent.CodeWebhookUnknown},
		"unknown provider":    {"nobody", "acme", hook(t, now, said), consent.CodeWebhookUnknown},
	} {
		assert.Equal(t, tt.code, consent.CodeOf(w.ReceiveWebhook(t.Context(), tt.provider, tt.application, tt.req)), name)
	}
	assert.Zero(t, q.n.Load())
	require.NoError(t, w.ReceiveWebhook(t.Context(), "truelayer", w.app.ID, hook(t, now, said)), "an application goes by its id as well")

	plain := newWorld(t)
	err := plain.ReceiveWebhook(t.Context(), "truelayer", "acme", hook(t, now, said))
	assert.Equal(t, consent.CodeWebhookUnknown, consent.CodeOf(err), "an adapter without webhooks")
}

func TestAPausedEndpointIsAlarmedUntilSomebodyLooks(t *testing.T) {
	w := newWorld(t)
	e := consent.WebhookEndpoint{ApplicationID: w.app.ID, ID: "whe_1", URL: "https://hooks.example/", Secret: consent.Sealed("s"), Status: consent.EndpointPaused,
		Reason: consent.ReasonFailing, FailingSince: w.bank.Clock().Now(), CreatedAt: w.bank.Clock().Now()}
	_, err := w.store.CreateWebhookEndpoint(t.Context(), e, 20)
	require.NoError(t, err)
	require.NoError(t, w.WebhookPaused(t.Context(), e))
	w.advance(2 * time.Hour)
	require.NoError(t, w.Reconcile(t.Context()))
	alarms, err := w.Alarms(t.Context(), w.app, false)
	require.NoError(t, err)
	require.Len(t, alarms, 1, "no check has anything to do with it")
	assert.Equal(t, consent.AlarmWebhook, alarms[0].Kind)
	assert.Contains(t, alarms[0].Detail, "whe_1")
	active := "active"
	got, err := w.ChangeWebhookEndpoint(t.Context(), w.app, "whe_1", connector.EndpointChange{Status: &active})
	require.NoError(t, err)
	assert.Equal(t, consent.EndpointActive, got.Status)
	assert.Zero(t, got.FailingSince)
	alarms, err = w.Alarms(t.Context(), w.app, false)
	require.NoError(t, err)
	assert.Empty(t, alarms)
}

func (*queued) Waiting(context.Context, *sql.Tx, string) (int, error) { return 0, nil }
