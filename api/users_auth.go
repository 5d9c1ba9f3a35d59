package api

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/reconsent/reconsent/connector"
	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
)

// byUser is the handler of a call that a user makes, with a token of the
// application's identity provider.
type byUser func(s *Server, c *gin.Context, caller *reauth.Caller)

// asUser runs a handler for the user of the request's token.
func (s *Server) asUser(handle byUser) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := texts(long("id", c.Param("id"))); err != nil {
			s.fail(c, err)
			return
		}
		caller, err := s.caller(c)
		if err != nil {
			s.fail(c, err)
			return
		}
		handle(s, c, caller)
	}
}

// caller says who is asking. A cookie, a query parameter or a body never says
// it.
func (s *Server) caller(c *gin.Context) (*reauth.Caller, error) {
	prefix := ipPrefix(c)
	if until, ok := s.strangers.open(prefix, s.now()); !ok {
		return nil, &consent.Error{Code: consent.CodeRateLimited, RetryAt: until, Detail: "Too many tokens that are not taken came from this address. Wait."}
	}
	h := c.Request.Header
	names := make([]string, 0, 3)
	for _, values := range [][]string{c.QueryArray("client_id"), h.Values("apikey"), h.Values("X-Application-Id")} {
		for _, v := range values {
			if v != "" && v != "anon" {
				names = append(names, v)
			}
		}
	}
	caller, err := s.reauth.Identify(c.Request.Context(), reauth.Request{
		Authorization: h.Values("Authorization"), Applications: names, DeviceID: h.Get("X-Device-Id"), IPPrefix: prefix,
	})
	if err != nil && answers[consent.CodeOf(err)].status == http.StatusUnauthorized {
		s.strangers.count(prefix, s.now())
	}
	if err == nil {
		s.sameOrigin(c, caller.Tenant)
	}
	return caller, err
}

// ipPrefix is as much of the caller's address as is kept: /24 of IPv4, /48 of
// IPv6.
func ipPrefix(c *gin.Context) string {
	addr, err := netip.ParseAddr(c.ClientIP())
	if err != nil {
		return ""
	}
	bits := 48
	if addr = addr.Unmap(); addr.Is4() {
		bits = 24
	}
	p, err := addr.WithZone("").Prefix(bits)
	if err != nil {
		return ""
	}
	return p.String()
}

// bearsAPIKey tells a backend from a user: keys begin with a mark that no JWT
// begins with.
func bearsAPIKey(c *gin.Context) bool {
	_, token, _ := strings.Cut(c.GetHeader("Authorization"), " ")
	return connector.LooksLikeAPIKey(strings.TrimSpace(token))
}
