package api

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/reconsent/reconsent/connector"
	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth/stepup"
)

// byUser is the handler of a call that a user makes, with a token of the
// application's identity provider.
type byUser func(s *Server, c *gin.Context, caller *stepup.Caller)

// asUser runs a handler for the user of the request's token.
func (s *Server) asUser(handle byUser) gin.HandlerFunc {
	return func(c *gin.Context) {
		caller, err := s.caller(c)
		if err == nil {
			err = texts(long("id", c.Param("id")))
		}
		if err != nil {
			s.fail(c, err)
			return
		}
		handle(s, c, caller)
	}
}

// caller says who is asking. A cookie, a query parameter or a body never says
// it.
func (s *Server) caller(c *gin.Context) (*stepup.Caller, error) {
	h := c.Request.Header
	caller, err := s.reauth.Identify(c.Request.Context(), stepup.Request{
		Authorization: h.Values("Authorization"), Applications: applicationsNamed(c), DeviceID: h.Get("X-Device-Id"), IPPrefix: ipPrefix(c),
	})
	switch {
	case err == nil:
		s.sameOrigin(c, caller.Tenant)
	case answers[consent.CodeOf(err)].status == http.StatusUnauthorized:
		if until, ok := s.strangers.take(strangersAddress(c), s.now()); !ok {
			err = &consent.Error{Code: consent.CodeRateLimited, RetryAt: until, Detail: "Too many tokens that are not taken came from this address. Wait.", Err: err}
		}
	}
	return caller, err
}

// applicationsNamed are the names of the application, in whatever places the
// request gives them. Supabase's clients without a key send the word anon.
func applicationsNamed(c *gin.Context) []string {
	names := make([]string, 0, 3)
	h := c.Request.Header
	for _, v := range slices.Concat(c.QueryArray("client_id"), h.Values("X-Application-Id")) {
		if v != "" {
			names = append(names, v)
		}
	}
	for _, v := range h.Values("apikey") {
		if v != "" && v != "anon" {
			names = append(names, v)
		}
	}
	return names
}

// ipPrefix is as much of the caller's address as is kept: /24 of IPv4, /48 of
// IPv6.
func ipPrefix(c *gin.Context) string {
	return network(c.ClientIP(), 24)
}

// network is the network of an address, of so many bits where it is IPv4; empty
// where it cannot be read.
func network(address string, bits int) string {
	addr, err := netip.ParseAddr(address)
	if err != nil {
		return ""
	}
	if addr = addr.Unmap(); addr.Is6() {
		bits = 48
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
