package outbound

import (
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"code.dny.dev/ssrf"
)

// Targets says which addresses may be called. It is safe for concurrent use.
type Targets struct {
	guard    *ssrf.Guardian
	loopback bool
}

var (
	errTarget  = errors.New("the address may not be called")
	errTooLong = errors.New("the answer is longer than it may be")
)

// NewTargets returns the rules of a deployment: https, and public addresses. With
// loopback, for development, this machine may be reached too, and by http.
func NewTargets(loopback bool) *Targets {
	options := []ssrf.Option{ssrf.WithAnyPort()}
	if loopback {
		options = append(options,
			ssrf.WithAllowedV4Prefixes(netip.MustParsePrefix("127.0.0.0/8")),
			ssrf.WithAllowedV6Prefixes(netip.MustParsePrefix("::1/128")))
	}
	return &Targets{guard: ssrf.New(options...), loopback: loopback}
}

// Check says what is wrong with an address as it is written. A name may still
// lead where nothing may be sent; that shows when it is dialled.
func (t *Targets) Check(u *url.URL) error {
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	addr, notIP := netip.ParseAddr(host)
	local := host == "localhost" || strings.HasSuffix(host, ".localhost") || notIP == nil && addr.Unmap().IsLoopback()
	switch {
	case u.Scheme != "https" && (u.Scheme != "http" || !t.loopback || !local):
		return errors.New("url is not an https address.") //nolint:staticcheck,revive // a sentence for the caller
	case host == "" || !validPort(u.Port()) || u.Opaque != "" || strings.ContainsAny(u.Host, " \\"):
		return errors.New("url names no host, or no port that there is.") //nolint:staticcheck,revive // likewise
	case u.User != nil:
		return errors.New("url holds a user name or a password.") //nolint:staticcheck,revive // likewise
	case u.Fragment != "" || strings.HasSuffix(u.String(), "#"):
		return errors.New("url holds a fragment, which is never sent.") //nolint:staticcheck,revive // likewise
	case local && !t.loopback, notIP == nil && t.guard.SafeAddr(addr) != nil && t.guard.SafeAddr(addr.Unmap()) != nil,
		notIP != nil && looksNumeric(host):
		return errors.New("url leads to an address that is not public.") //nolint:staticcheck,revive // likewise
	}
	return nil
}

func validPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return port == "" || err == nil && n > 0
}

// looksNumeric finds the other ways to write an IPv4 address, 0x7f000001 or
// 2130706433, which some resolvers take: no top-level domain begins with a digit.
func looksNumeric(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	return last != "" && last[0] >= '0' && last[0] <= '9'
}

// Refused reports whether a call failed because of where it led.
func Refused(err error) bool {
	return errors.Is(err, errTarget) || errors.Is(err, ssrf.ErrProhibitedIP) || errors.Is(err, ssrf.ErrProhibitedNetwork) || errors.Is(err, ssrf.ErrInvalidHostPort)
}
