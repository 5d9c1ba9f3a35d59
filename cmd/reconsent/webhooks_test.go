package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/assert"

	"github.com/reconsent/reconsent/internal/pgtest"
)

func TestDevSendsWebhooksBeforeTheClockAnswers(t *testing.T) {
	for name, flags := range map[string]func(t *testing.T) []string{
		"sqlite":   func(*testing.T) []string { return nil },
		"postgres": func(t *testing.T) []string { t.Helper(); return []string{"--database-url", pgtest.DSN(t)} },
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			secret := ""
			got := map[string][]string{} // types by consent
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				assert.NoError(t, err)
				var said struct {
					Type string `json:"type"`
					Data struct {
						Event struct {
							Stage string         `json:"stage"`
							Data  map[string]any `json:"data"`
						} `json:"event"`
						Consent struct {
							ID string `json:"id"`
						} `json:"consent"`
					} `json:"data"`
				}
				assert.NoError(t, json.Unmarshal(body, &said))
				mu.Lock()
				defer mu.Unlock()
				wh, err := standardwebhooks.NewWebhook(secret)
				assert.NoError(t, err)
				assert.NoError(t, wh.Verify(body, r.Header), "its timestamp is wall time, wherever the clock has been moved")
				assert.NotEqual(t, true, said.Data.Event.Data["skipped"])
				got[said.Data.Consent.ID] = append(got[said.Data.Consent.ID], said.Type+" "+said.Data.Event.Stage)
			}))
			defer server.Close()
			_, r := startDev(t, t.TempDir(), flags(t)...)
			var made struct {
				ID     string `json:"id"`
				Secret string `json:"secret"`
			}
			mu.Lock()
			ask(t, http.MethodPost, r.API+"/v1/webhook-endpoints", r.APIKey, `{"url":"`+server.URL+`/hook"}`, http.StatusCreated, &made)
			secret = made.Secret
			mu.Unlock()
			ask(t, http.MethodPost, r.API+"/v1/webhook-endpoints", r.APIKey, `{"url":"http://10.0.0.1/"}`, http.StatusBadRequest, nil)

			con := active(t, r)
			ask(t, http.MethodPost, r.Sandbox+"/_control/clock", "", `{"advance":"4800h"}`, http.StatusOK, nil)
			mu.Lock()
			defer mu.Unlock()
			assert.Equal(t, []string{"consent.unrenewable window_end"}, got[con.ID], "the latest stage, and none that it overtook")
		})
	}
}
