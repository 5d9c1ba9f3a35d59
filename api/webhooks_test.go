package api_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/api"
	"github.com/reconsent/reconsent/connector"
	"github.com/reconsent/reconsent/internal/outbound"
	"github.com/reconsent/reconsent/notify"
	"github.com/reconsent/reconsent/notify/webhook"
	"github.com/reconsent/reconsent/provider/sandbox/bankbrowser"
	"github.com/reconsent/reconsent/seal"
)

const hooks = "/v1/webhook-endpoints"

// endpoint makes a webhook endpoint over the API.
func (w *world) endpoint(body map[string]any) map[string]any {
	w.Helper()
	a := w.call("POST", hooks, body)
	require.Equal(w, 201, a.status, "%s", a.body)
	return a.json(w.T)
}

func TestAWebhookEndpointOverItsLife(t *testing.T) {
	w := newWorld(t)
	made := w.endpoint(map[string]any{"url": "https://hooks.example/a", "events": []string{"consent.renewed", "consent.renewed"}})
	id, secret := made["id"].(string), made["secret"].(string)
	assert.True(t, strings.HasPrefix(id, "whe_"))
	assert.True(t, strings.HasPrefix(secret, "whsec_"))
	_, err := standardwebhooks.NewWebhook(secret)
	require.NoError(t, err)
	assert.Equal(t, "active", made["status"])
	assert.Equal(t, []any{"consent.renewed"}, made["events"])

	for _, path := range []string{hooks, hooks + "/" + id} {
		a := w.call("GET", path, nil)
		require.Equal(t, 200, a.status)
		assert.Contains(t, string(a.body), id)
		assert.NotContains(t, string(a.body), "whsec_", "a secret is shown once")
	}
	changed := w.call("PATCH", hooks+"/"+id, map[string]any{"status": "paused", "events": []string{}}).json(t)
	assert.Equal(t, "paused", changed["status"])
	assert.Equal(t, []any{}, changed["events"])
	assert.Equal(t, "https://hooks.example/a", changed["url"], "what is left out stays")
	assert.Equal(t, "active", w.call("PATCH", hooks+"/"+id, map[string]any{"status": "active"}).json(t)["status"])

	rotated := w.call("POST", hooks+"/"+id+"/rotate-secret", nil)
	require.Equal(t, 200, rotated.status, "%s", rotated.body)
	assert.NotEqual(t, secret, rotated.json(t)["secret"])
	assert.Equal(t, w.bank.Clock().Now().Add(24*time.Hour).Format(time.DateOnly), rotated.json(t)["old_secret_until"].(string)[:10])
	require.NoError(t, w.bank.Clock().Advance(24*time.Hour))
	assert.NotContains(t, w.call("GET", hooks+"/"+id, nil).json(t), "old_secret_until")

	assert.Equal(t, 204, w.call("DELETE", hooks+"/"+id, nil).status)
	assert.Equal(t, 404, w.call("GET", hooks+"/"+id, nil).status)

	for range 20 {
		w.endpoint(map[string]any{"url": "https://hooks.example/"})
	}
	a := w.call("POST", hooks, map[string]any{"url": "https://hooks.example/"})
	assert.Equal(t, 409, a.status)
	assert.Equal(t, "webhook_endpoint_limit", a.json(t)["code"])
}

func TestBadWebhookInput(t *testing.T) {
	w := newWorld(t)
	e := hooks + "/" + w.endpoint(map[string]any{"url": "https://hooks.example/"})["id"].(string)
	_, key := w.application(w.store, "other", w.bankURL)
	own := w.key
	w.key = key
	foreign := hooks + "/" + w.endpoint(map[string]any{"url": "https://theirs.example/"})["id"].(string)
	w.key = own
	before := w.call("GET", hooks, nil).body
	for _, tt := range []struct {
		name, method, path string
		body               any
		status             int
		code, field        string
	}{
		{"no url", "POST", hooks, map[string]any{}, 400, "invalid_request", "url"},
		{"http", "POST", hooks, map[string]any{"url": "http://hooks.example/"}, 400, "invalid_request", "url"},
		{"loopback", "POST", hooks, map[string]any{"url": "https://127.0.0.1/"}, 400, "invalid_request", "url"},
		{"localhost", "POST", hooks, map[string]any{"url": "https://localhost/"}, 400, "invalid_request", "url"},
		{"private", "POST", hooks, map[string]any{"url": "https://192.168.0.1/"}, 400, "invalid_request", "url"},
		{"metadata", "POST", hooks, map[string]any{"url": "https://169.254.169.254/"}, 400, "invalid_request", "url"},
		{"link-local", "POST", hooks, map[string]any{"url": "https://[fe80::1]/"}, 400, "invalid_request", "url"},
		{"user info", "POST", hooks, map[string]any{"url": "https://a:b@hooks.example/"}, 400, "invalid_request", "url"},
		{"fragment", "POST", hooks, map[string]any{"url": "https://hooks.example/#a"}, 400, "invalid_request", "url"},
		{"3 KB", "POST", hooks, map[string]any{"url": "https://hooks.example/" + strings.Repeat("x", 3000)}, 400, "invalid_request", "url"},
		{"line break", "POST", hooks, map[string]any{"url": "https://hooks.example/\r\nX: y"}, 400, "invalid_request", "url"},
		{"url as a number", "POST", hooks, map[string]any{"url": 7}, 400, "invalid_request", "url"},
		{"events as a text", "POST", hooks, map[string]any{"url": "https://hooks.example/", "events": "all"}, 400, "invalid_request", "events"},
		{"events of numbers", "POST", hooks, map[string]any{"url": "https://hooks.example/", "events": []int{1}}, 400, "invalid_request", "events"},
		{"unknown event", "POST", hooks, map[string]any{"url": "https://hooks.example/", "events": []string{"consent.eaten"}}, 400, "invalid_request", "events"},
		{"an event that is not sent", "POST", hooks, map[string]any{"url": "https://hooks.example/", "events": []string{"attempt.started"}}, 400, "invalid_request", "events"},
		{"unknown field", "POST", hooks, map[string]any{"url": "https://hooks.example/", "secret": "mine"}, 400, "invalid_request", "secret"},
		{"unknown parameter", "GET", hooks + "?limit=5", nil, 400, "invalid_request", "limit"},
		{"status gone", "PATCH", e, map[string]any{"status": "gone"}, 400, "invalid_request", "status"},
		{"changed to inside", "PATCH", e, map[string]any{"url": "https://10.0.0.1/"}, 400, "invalid_request", "url"},
		{"changed to unknown events", "PATCH", e, map[string]any{"events": []string{"x"}}, 400, "invalid_request", "events"},
		{"unknown endpoint", "GET", hooks + "/whe_none", nil, 404, "webhook_endpoint_not_found", ""},
		{"unknown endpoint's deliveries", "GET", hooks + "/whe_none/deliveries", nil, 404, "webhook_endpoint_not_found", ""},
		{"unknown endpoint's secret", "POST", hooks + "/whe_none/rotate-secret", nil, 404, "webhook_endpoint_not_found", ""},
		{"another application's endpoint", "GET", foreign, nil, 404, "webhook_endpoint_not_found", ""},
		{"another application's, changed", "PATCH", foreign, map[string]any{"status": "paused"}, 404, "webhook_endpoint_not_found", ""},
		{"another application's, deleted", "DELETE", foreign, nil, 404, "webhook_endpoint_not_found", ""},
		{"another application's secret", "POST", foreign + "/rotate-secret", nil, 404, "webhook_endpoint_not_found", ""},
		{"another application's deliveries", "GET", foreign + "/deliveries", nil, 404, "webhook_endpoint_not_found", ""},
		{"another application's, replayed", "POST", foreign + "/replay", map[string]any{"event_id": "evt_1"}, 404, "webhook_endpoint_not_found", ""},
		{"deliveries of no status", "GET", e + "/deliveries?status=lost", nil, 400, "invalid_request", "status"},
		{"deliveries, forged cursor", "GET", e + "/deliveries?cursor=x", nil, 400, "invalid_request", "cursor"},
		{"deliveries, limit 0", "GET", e + "/deliveries?limit=0", nil, 400, "invalid_request", "limit"},
		{"replay of nothing", "POST", e + "/replay", map[string]any{}, 400, "invalid_request", ""},
		{"replay of two things", "POST", e + "/replay", map[string]any{"event_id": "evt_1", "delivery_id": "dlv_1"}, 400, "invalid_request", ""},
		{"replay of half a range", "POST", e + "/replay", map[string]any{"from": "2026-01-01T00:00:00Z"}, 400, "invalid_request", "to"},
		{"replay backwards", "POST", e + "/replay", map[string]any{"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, 400, "invalid_request", "to"},
		{"replay from the year 0", "POST", e + "/replay", map[string]any{"from": "0000-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, 400, "invalid_request", "from"},
		{"replay in words", "POST", e + "/replay", map[string]any{"from": "yesterday", "to": "today"}, 400, "invalid_request", ""},
		{"replay of an unknown event", "POST", e + "/replay", map[string]any{"event_id": "evt_none"}, 404, "delivery_not_found", ""},
		{"replay of an event with a NUL", "POST", e + "/replay", map[string]any{"event_id": "evt\x00"}, 400, "invalid_request", "event_id"},
		{"replay of an unknown delivery", "POST", e + "/replay", map[string]any{"delivery_id": "dlv_none"}, 404, "delivery_not_found", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := w.call(tt.method, tt.path, tt.body)
			require.Equal(t, tt.status, a.status, "%s", a.body)
			p := a.json(t)
			assert.Equal(t, tt.code, p["code"])
			field, _ := p["field"].(string)
			assert.Equal(t, tt.field, field, "%s", a.body)
			assert.JSONEq(t, string(before), string(w.call("GET", hooks, nil).body))
		})
	}
}

// hook is a backend that receives webhooks as docs/webhooks.md says: it
// verifies, drops what it has seen, and orders by seq.
type hook struct {
	*testing.T
	mu     sync.Mutex
	secret string
	ids    []string
	types  map[int64]string // by seq
	events map[int64]map[string]any
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	assert.NoError(h, err)
	h.mu.Lock()
	defer h.mu.Unlock()
	wh, err := standardwebhooks.NewWebhook(h.secret)
	assert.NoError(h, err)
	assert.NoError(h, wh.Verify(body, r.Header))
	var said struct {
		Type      string    `json:"type"`
		Timestamp time.Time `json:"timestamp"`
		Data      struct {
			Event   map[string]any `json:"event"`
			Consent map[string]any `json:"consent"`
		} `json:"data"`
	}
	assert.NoError(h, json.Unmarshal(body, &said))
	assert.Equal(h, said.Type, said.Data.Event["type"])
	assert.Equal(h, r.Header.Get("webhook-id"), said.Data.Event["id"])
	h.ids = append(h.ids, r.Header.Get("webhook-id"))
	h.types[int64(said.Data.Event["seq"].(float64))] = said.Type
	h.events[int64(said.Data.Event["seq"].(float64))] = said.Data.Event
	assert.NotEmpty(h, said.Data.Consent["status"])
	w.WriteHeader(http.StatusNoContent)
}

// nowhere is a queue whose jobs the test does itself.
type nowhere struct{}

func (nowhere) Enqueue(context.Context, *sql.Tx, string, []string) error { return nil }

func TestEventsReachAReceiverAndCanBeReplayed(t *testing.T) {
	w := newWorld(t)
	w.store.UseQueue(nowhere{})
	keys, err := seal.Generate()
	require.NoError(t, err)
	h := &hook{T: t, types: map[int64]string{}, events: map[int64]map[string]any{}}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	targets := outbound.NewTargets(true)
	// The world's connector sees no loopback; this one stands for dev's.
	w.conn = connector.New(connector.Config{Registry: w.store, Keys: keys, Now: w.bank.Clock().Now, Log: slog.New(slog.DiscardHandler),
		NewID: func() string { return fmt.Sprintf("%012d", serial.Add(1)) }, Targets: targets})
	e, secret, err := w.conn.CreateWebhookEndpoint(t.Context(), &w.app, server.URL, nil)
	require.NoError(t, err)
	h.secret = secret
	sends := notify.NewWebhooks(notify.WebhooksConfig{
		Registry: w.store, Poster: webhook.New(webhook.Config{Targets: targets, Now: time.Now, Version: "test"}), Keys: keys, Body: api.WebhookBody,
		Paused: w.conn.WebhookPaused, Now: w.bank.Clock().Now, NewID: func() string { return fmt.Sprint(serial.Add(1)) }, Log: slog.New(slog.DiscardHandler),
	})

	id := w.linked("u1", bankbrowser.John())
	began := w.bank.Clock().Now()
	started := w.call("POST", "/reauthuri", map[string]any{"consent_id": id, "state": "again"}).json(t)
	q := w.visit(bankbrowser.John(), started["result"].(string))
	require.Equal(t, 200, w.call("POST", "/v1/callback", map[string]any{"attempt_id": started["attempt_id"], "code": q.Get("code")}).status)
	require.NoError(t, sends.Send(t.Context(), w.app.ID, e.ID))
	assert.Equal(t, map[int64]string{1: "consent.linked", 3: "consent.renewed"}, h.types, "seq 2 is the attempt's start, which is history only")
	changed := h.events[3]["data"].(map[string]any)
	for _, name := range []string{"old_expires_at", "expires_at", "accounts"} {
		assert.Contains(t, changed, name, "what a renewal changed")
	}

	require.Equal(t, 200, w.call("DELETE", "/v1/consents/"+id, nil).status)
	require.NoError(t, sends.Send(t.Context(), w.app.ID, e.ID))
	var history struct {
		Events []struct {
			Seq  int64  `json:"seq"`
			Type string `json:"type"`
		} `json:"events"`
	}
	require.NoError(t, json.Unmarshal(w.call("GET", "/v1/consents/"+id+"/events", nil).body, &history))
	all := maps.Clone(h.types)
	for i, ev := range history.Events {
		assert.EqualValues(t, i+1, ev.Seq)
		if _, sent := all[ev.Seq]; !sent {
			assert.Equal(t, "attempt.started", ev.Type, "what was not sent is not among those that are")
			all[ev.Seq] = ev.Type
		}
	}
	assert.Len(t, all, len(history.Events), "sent and skipped together there is no gap")

	path := hooks + "/" + e.ID
	first := w.call("GET", path+"/deliveries?limit=2", nil).json(t)
	require.Len(t, first["deliveries"], 2)
	rest := w.call("GET", path+"/deliveries?limit=2&cursor="+first["next_cursor"].(string), nil).json(t)
	require.Len(t, rest["deliveries"], 1)
	assert.Nil(t, rest["next_cursor"])
	assert.Equal(t, "consent.linked", rest["deliveries"].([]any)[0].(map[string]any)["type"], "newest first")
	assert.Empty(t, w.call("GET", path+"/deliveries?status=pending", nil).json(t)["deliveries"])
	newest := first["deliveries"].([]any)[0].(map[string]any)

	sent := slices.Clone(h.ids)
	for _, body := range []map[string]any{{"event_id": newest["event_id"]}, {"delivery_id": newest["id"]}} {
		a := w.call("POST", path+"/replay", body)
		require.Equal(t, 202, a.status, "%s", a.body)
		assert.EqualValues(t, 1, a.json(t)["deliveries"])
		require.NoError(t, sends.Send(t.Context(), w.app.ID, e.ID))
		sent = append(sent, newest["event_id"].(string))
		assert.Equal(t, sent, h.ids, "under the same id")
	}
	require.NoError(t, w.bank.Clock().Advance(time.Minute))
	a := w.call("POST", path+"/replay", map[string]any{"from": began.Format(time.RFC3339Nano), "to": w.bank.Clock().Now().Format(time.RFC3339Nano)})
	require.Equal(t, 202, a.status, "%s", a.body)
	assert.EqualValues(t, 2, a.json(t)["deliveries"])
	require.NoError(t, sends.Send(t.Context(), w.app.ID, e.ID))
	assert.Len(t, h.ids, len(sent)+2)
}

func TestInboundWebhooksThatAreNobodys(t *testing.T) {
	w := newWorld(t)
	for name, tt := range map[string]struct {
		path, body string
		status     int
		code       string
	}{
		"unknown provider":                 {"/webhooks/nobody/acme", "{}", 404, "webhook_unknown"},
		"unknown application":              {"/webhooks/truelayer/nobody", "{}", 404, "webhook_unknown"},
		"unknown application by id":        {"/webhooks/truelayer/app_none", "{}", 404, "webhook_unknown"},
		"a provider that has no webhooks":  {"/webhooks/truelayer/acme", "{}", 404, "webhook_unknown"},
		"an application of NUL":            {"/webhooks/truelayer/a%00b", "{}", 404, "webhook_unknown"},
		"a name of 10 KB":                  {"/webhooks/truelayer/" + strings.Repeat("x", 10_000), "{}", 404, "webhook_unknown"},
		"a body of 300 KB":                 {"/webhooks/truelayer/acme", strings.Repeat("x", 300<<10), 413, "payload_too_large"},
		"nothing":                          {"/webhooks/truelayer/acme", "", 404, "webhook_unknown"},
		"another method's address is none": {"/webhooks/truelayer", "{}", 404, "not_found"},
	} {
		t.Run(name, func(t *testing.T) {
			a := w.send("POST", tt.path, http.Header{}, []byte(tt.body))
			assert.Equal(t, tt.status, a.status, "%s", a.body)
			assert.Equal(t, tt.code, a.json(t)["code"])
		})
	}
}

func (nowhere) Waiting(context.Context, *sql.Tx, string) (int, error) { return 0, nil }
