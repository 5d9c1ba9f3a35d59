package ginguard_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/guard"
	"github.com/reconsent/reconsent/guard/ginguard"
	"github.com/reconsent/reconsent/guard/guardtest"
)

func init() { gin.SetMode(gin.TestMode) }

func noon() time.Time { return time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC) }

func send(h http.Handler, path, userToken, proofToken string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, path, http.NoBody)
	r.Header.Set("Authorization", "Bearer "+userToken)
	if proofToken != "" {
		r.Header.Set(guard.ProofHeader, proofToken)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func start(t testing.TB) (*guard.Guard, *guardtest.Installation) {
	t.Helper()
	installation := guardtest.New(noon)
	t.Cleanup(installation.Close)
	g, err := guard.New(installation.Config())
	require.NoError(t, err)
	t.Cleanup(g.Close)
	return g, installation
}

func TestRoutes(t *testing.T) {
	g, installation := start(t)
	passed := 0
	handler := func(c *gin.Context) {
		v, ok := guard.FromContext(c.Request.Context())
		assert.True(t, ok)
		assert.Equal(t, "ada", v.User)
		passed++
		c.String(http.StatusOK, "sent")
	}
	inside := func(c *gin.Context) {
		if ginguard.NeedsReverification(c, g, "strict") {
			ginguard.WriteReverificationRequired(c, g, "strict")
			return
		}
		c.String(http.StatusOK, "sent")
	}
	after := func(c *gin.Context) { c.Header("After", "ran") }
	r := gin.New()
	r.POST("/transfer", ginguard.RequireReverification(g, "strict"), handler, after)
	r.POST("/inside", inside, after)

	user, good := installation.UserToken("ada", "1"), installation.Proof("ada", "1", "strict")
	for _, path := range []string{"/transfer", "/inside"} {
		w := send(r, path, user, "")
		assert.Equal(t, http.StatusForbidden, w.Code)
		assert.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
		assert.Contains(t, w.Header().Get("WWW-Authenticate"), `max_age="600"`)
		assert.Contains(t, w.Body.String(), `"reverification":"strict"`)
		assert.Empty(t, w.Header().Get("After"), "no handler after it ran")

		w = send(r, path, user, good)
		assert.Equal(t, http.StatusOK, w.Code)
		assert.Equal(t, "sent", w.Body.String())
		assert.Equal(t, "ran", w.Header().Get("After"))
	}
	assert.Equal(t, http.StatusUnauthorized, send(r, "/transfer", "rubbish", good).Code)
	assert.Equal(t, 1, passed)
	assert.Panics(t, func() { ginguard.RequireReverification(g, "stricter") })
}

func ExampleRequireReverification() {
	installation := guardtest.New(noon)
	defer installation.Close()
	g, err := guard.New(installation.Config()) // in production: your installation, and time.Now
	if err != nil {
		panic(err)
	}
	defer g.Close()

	transfer := func(c *gin.Context) {
		v, _ := guard.FromContext(c.Request.Context())
		c.String(http.StatusOK, "sent for %s", v.User)
	}

	r := gin.New()
	r.POST("/transfer", ginguard.RequireReverification(g, "strict"), transfer)

	user := installation.UserToken("ada", "session-1")
	fmt.Println(send(r, "/transfer", user, "").Code)
	w := send(r, "/transfer", user, installation.Proof("ada", "session-1", "strict"))
	fmt.Println(w.Code, w.Body)
	// Output:
	// 403
	// 200 sent for ada
}
