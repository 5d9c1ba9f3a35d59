package api

import (
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/reconsent/reconsent/reauth/stepup"
)

// What browsers may send and read (reauth-wire.md 8). Cookies stay out of it:
// there is no credentials mode.
const (
	corsHeaders = "authorization, apikey, content-type, x-application-id, x-device-id, x-request-id, x-sdk-version, x-supabase-api-version, x-client-info, reverification-proof"
	corsExposed = "RateLimit, RateLimit-Policy, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, Retry-After, WWW-Authenticate, X-Supabase-Api-Version"
	corsMethods = "GET, POST, DELETE"
	corsAge     = "600" // seconds
)

// browsers lets pages of applications call. Which application it is shows only
// with the token: until then an origin that any of them has is let in, and is
// shown nothing but why the token is not taken.
func (s *Server) browsers(c *gin.Context) {
	if !forUsers(c.Request.URL.Path) {
		return
	}
	h := c.Writer.Header()
	h.Add("Vary", "Origin")
	origin := c.GetHeader("Origin")
	if origin == "" || !s.reauth.AllowsOrigin(c.Request.Context(), origin) {
		return
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", corsExposed)
	if c.Request.Method == http.MethodOptions && c.GetHeader("Access-Control-Request-Method") != "" {
		h.Set("Access-Control-Allow-Methods", corsMethods)
		h.Set("Access-Control-Allow-Headers", corsHeaders)
		h.Set("Access-Control-Max-Age", corsAge)
		c.AbortWithStatus(http.StatusNoContent)
	}
}

// sameOrigin takes the leave back where the origin is another application's.
func (s *Server) sameOrigin(c *gin.Context, t *stepup.Tenant) {
	if origin := c.GetHeader("Origin"); origin != "" && !t.AllowsOrigin(origin) {
		noOrigin(c)
	}
}

// originOfVerification is sameOrigin for a call without a token.
func (s *Server) originOfVerification(c *gin.Context, id string) {
	if t, ok := s.reauth.TenantOfVerification(c.Request.Context(), id); ok {
		s.sameOrigin(c, t)
	}
}

// noOrigin takes the leave back.
func noOrigin(c *gin.Context) {
	h := c.Writer.Header()
	h.Del("Access-Control-Allow-Origin")
	h.Del("Access-Control-Expose-Headers")
}

// forUsers reports whether a path is one that users' pages call.
func forUsers(path string) bool {
	for _, p := range []string{"/reauthenticate", "/auth/v1/", "/v1/reverifications", "/v1/factors"} {
		if path == p || strings.HasPrefix(path, strings.TrimSuffix(p, "/")+"/") {
			return true
		}
	}
	return false
}
