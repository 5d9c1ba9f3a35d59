package api_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/api"
	"github.com/reconsent/reconsent/connector"
	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/seal"
)

// hooked has something happen where a reconnect link is looked up.
type hooked struct {
	consent.Registry
	hook func(context.Context) error
}

func (h hooked) ReconnectLink(ctx context.Context, _ string, _ []byte) (consent.ReconnectLink, error) {
	return consent.ReconnectLink{}, h.hook(ctx)
}

// opening opens a link while hook happens, and returns what was logged too.
func (w *world) opening(ctx context.Context, accept string, hook func(context.Context) error) (answer, string) {
	w.Helper()
	keys, err := seal.Generate()
	require.NoError(w, err)
	var logs strings.Builder
	log := slog.New(slog.NewTextHandler(&logs, nil))
	conn := connector.New(connector.Config{Registry: hooked{w.store, hook}, Keys: keys, Now: w.bank.Clock().Now, Log: log, BaseURL: w.url})
	rec := httptest.NewRecorder()
	req := httptest.NewRequestWithContext(ctx, http.MethodGet, "/r/acme.x", nil)
	req.Header.Set("Accept", accept)
	api.New(api.Config{Connector: conn, Now: w.bank.Clock().Now, Log: log, Version: "test"}).Handler().ServeHTTP(rec, req)
	return answer{rec.Code, rec.Header(), rec.Body.Bytes()}, logs.String()
}

func TestAPanicIsAPageForPeople(t *testing.T) {
	w := newWorld(t)
	boom := func(context.Context) error { panic("boom") }
	a, logs := w.opening(t.Context(), "text/html", boom)
	assert.Equal(t, http.StatusInternalServerError, a.status)
	assert.Equal(t, "Something went wrong on our side", w.page(a))
	assert.NotContains(t, string(a.body), "boom")
	assert.Contains(t, logs, "boom")
	a, _ = w.opening(t.Context(), "application/json", boom)
	assert.Equal(t, http.StatusInternalServerError, a.status)
	assert.Equal(t, "internal_error", a.json(t)["code"])
}

func TestAClosedTabIsNoFault(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	_, logs := w.opening(ctx, "text/html", func(ctx context.Context) error {
		cancel()
		return ctx.Err()
	})
	assert.NotContains(t, logs, "ERROR")
}
