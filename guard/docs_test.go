package guard_test

import (
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/guard"
)

// TestDocsShowThe403 holds docs/guards.md to what is answered: backends in other
// languages copy it.
func TestDocsShowThe403(t *testing.T) {
	w := newWorld(t)
	cfg := w.Config()
	cfg.BaseURL, cfg.Dev = "https://reconsent.example", false
	g, err := guard.New(cfg)
	require.NoError(t, err)
	t.Cleanup(g.Close)
	rec := httptest.NewRecorder()
	g.WriteReverificationRequired(rec, "strict")

	page, err := os.ReadFile("../docs/guards.md")
	require.NoError(t, err)
	_, shown, found := strings.Cut(string(page), "```http\n")
	require.True(t, found)
	shown, _, _ = strings.Cut(shown, "```")
	head, body, found := strings.Cut(shown, "\n\n")
	require.True(t, found)
	assert.JSONEq(t, body, rec.Body.String())
	for _, name := range []string{"Content-Type", "Cache-Control", "WWW-Authenticate"} {
		assert.Contains(t, head+"\n", name+": "+rec.Header().Get(name)+"\n", name)
	}
	assert.Contains(t, string(page), digest(t))
}
