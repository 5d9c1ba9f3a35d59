package api

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/gin-gonic/gin"
)

// CheckProxies reports every entry of a list of trusted proxies that is neither
// an address nor a network in CIDR form.
func CheckProxies(list []string) error {
	var faults []error
	for _, entry := range list {
		_, notAddress := netip.ParseAddr(entry)
		_, notNetwork := netip.ParsePrefix(entry)
		if notAddress != nil && notNetwork != nil {
			faults = append(faults, fmt.Errorf("%q is neither an address nor a network, like 10.0.0.0/8", entry))
		}
	}
	return errors.Join(faults...)
}

// trust has the caller's address read from X-Forwarded-For where a trusted proxy
// has written it, and nowhere else. A list that cannot be read trusts nobody.
func (s *Server) trust(r *gin.Engine) {
	r.RemoteIPHeaders = []string{"X-Forwarded-For"}
	err := CheckProxies(s.proxies)
	if err == nil {
		err = r.SetTrustedProxies(s.proxies)
	}
	if err != nil {
		s.log.Error("no proxy is trusted: their list cannot be read", "error", err)
		_ = r.SetTrustedProxies(nil)
	}
}
