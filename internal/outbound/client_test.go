package outbound

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func get(t *testing.T, c *http.Client, url string) (string, int, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	resp, err := c.Do(req)
	if err != nil {
		return "", 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return string(body), resp.StatusCode, err
}

func TestClient(t *testing.T) {
	inside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/redirect":
			http.Redirect(w, r, "/short", http.StatusFound)
		case "/exact":
			_, _ = io.WriteString(w, strings.Repeat("x", 100))
		case "/long":
			_, _ = io.WriteString(w, strings.Repeat("x", 101))
		default:
			_, _ = io.WriteString(w, "short")
		}
	}))
	t.Cleanup(inside.Close)
	dev := NewTargets(true).Client(Config{Timeout: time.Minute, MaxBody: 100})
	t.Cleanup(dev.CloseIdleConnections)

	body, _, err := get(t, dev, inside.URL)
	require.NoError(t, err)
	assert.Equal(t, "short", body)

	body, status, err := get(t, dev, inside.URL+"/redirect")
	require.NoError(t, err)
	assert.Equal(t, http.StatusFound, status, "a redirect is an answer, and not followed")
	assert.NotContains(t, body, "short\n")

	body, _, err = get(t, dev, inside.URL+"/exact")
	require.NoError(t, err)
	assert.Len(t, body, 100)

	body, _, err = get(t, dev, inside.URL+"/long")
	require.ErrorIs(t, err, errTooLong)
	assert.Len(t, body, 100)

	// In a deployment this machine is inside, however it is called.
	deployed := NewTargets(false).Client(Config{Timeout: time.Minute, MaxBody: 100})
	for _, url := range []string{inside.URL, strings.Replace(inside.URL, "http:", "https:", 1), "https://10.0.0.1/", "http://keys.example/", "https://localhost/"} {
		_, _, err = get(t, deployed, url)
		require.Error(t, err, url)
		assert.True(t, Refused(err), "%s: %v", url, err)
	}
}
