package providertest

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/provider"
)

// Webhooks is what receives a provider's webhooks, and how the provider makes
// them.
type Webhooks struct {
	Receiver provider.WebhookReceiver
	Now      func() time.Time // the receiver's clock
	// Make signs a request that says w, at the present of Now.
	Make    func(t *testing.T, w provider.Webhook) provider.WebhookRequest
	Secrets []string // that must not be printed
}

func webhooks(t *testing.T, b Bank) {
	r, ok := able[provider.WebhookReceiver](t, b)
	if !ok {
		return
	}
	require.NotNil(t, b.Webhook, "an adapter that receives webhooks is held to it")
	RunWebhooks(t, Webhooks{Receiver: r, Make: b.Webhook, Secrets: b.Secrets, Now: func() time.Time { return time.Unix(1_800_000_000, 0) }})
}

// RunWebhooks holds a WebhookReceiver to the contract.
func RunWebhooks(t *testing.T, w Webhooks) {
	t.Helper()
	said := func(kind provider.WebhookKind) provider.Webhook {
		return provider.Webhook{ID: "event-1", Kind: kind, CredentialsID: "login-1+/=", At: w.Now().Add(-time.Second).UTC().Truncate(time.Second)}
	}
	receive := func(t *testing.T, req provider.WebhookRequest) (provider.Webhook, error) {
		t.Helper()
		body := bytes.Clone(req.Body)
		got, err := w.Receiver.ReceiveWebhook(t.Context(), req)
		assert.Equal(t, body, req.Body, "the body is the caller's")
		return got, err
	}
	t.Run("is read", func(t *testing.T) {
		for _, kind := range []provider.WebhookKind{provider.WebhookExpiring, provider.WebhookEnded, provider.WebhookRevoked, provider.WebhookRenewed} {
			want := said(kind)
			got, err := receive(t, w.Make(t, want))
			if provider.IsKind(err, provider.Unsupported) {
				t.Logf("the provider has no webhook that says %s", kind)
				continue
			}
			require.NoError(t, err)
			got.At = got.At.UTC()
			assert.Equal(t, want, got)
		}
	})
	t.Run("sent again is the same event", func(t *testing.T) {
		req := w.Make(t, said(provider.WebhookRevoked))
		first, err := receive(t, req)
		require.NoError(t, err)
		again, err := receive(t, req)
		require.NoError(t, err)
		assert.Equal(t, first, again)
	})
	for name, change := range map[string]func(req *provider.WebhookRequest){
		"body altered by one byte": func(req *provider.WebhookRequest) { req.Body[len(req.Body)/2] ^= 1 },
		"body cut short":           func(req *provider.WebhookRequest) { req.Body = req.Body[:len(req.Body)-1] },
		"body with more":           func(req *provider.WebhookRequest) { req.Body = append(req.Body, ' ') },
		"no body":                  func(req *provider.WebhookRequest) { req.Body = nil },
		"no headers":               func(req *provider.WebhookRequest) { req.Header = nil },
		"every header empty": func(req *provider.WebhookRequest) {
			for name := range req.Header {
				req.Header[name] = []string{""}
			}
		},
		"every header altered": func(req *provider.WebhookRequest) {
			for name, values := range req.Header {
				v := []byte(values[0])
				v[0] ^= 1
				req.Header[name] = []string{string(v)}
			}
		},
	} {
		t.Run("not the provider's: "+name, func(t *testing.T) {
			req := w.Make(t, said(provider.WebhookRevoked))
			req.Header, req.Body = req.Header.Clone(), bytes.Clone(req.Body)
			change(&req)
			got, err := w.Receiver.ReceiveWebhook(t.Context(), req)
			refused(t, err, provider.Unverified, w.Secrets...)
			assert.Zero(t, got)
		})
	}
	t.Run("a caller who has gone away does no harm", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := w.Receiver.ReceiveWebhook(ctx, w.Make(t, said(provider.WebhookEnded))); err != nil {
			refused(t, err, provider.Temporary, w.Secrets...)
		}
	})
}
