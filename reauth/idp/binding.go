package idp

import (
	"crypto/sha256"
	"crypto/subtle"

	"golang.org/x/oauth2"
)

// NewBinding makes what binds a trip to the browser that started it: the value
// of a cookie of 256 random bits, base64url, and its SHA-256, which is kept
// with the trip. Without it somebody could start a trip, and have another
// person finish it by a link (RFC 6819 4.4.1.8).
//
// The cookie's name begins with __Host-; it is Secure and HttpOnly, for the
// path /, and SameSite=Lax, since the provider's redirect is a navigation from
// another site.
func NewBinding() (cookie string, hash []byte) {
	cookie = oauth2.GenerateVerifier()
	return cookie, bindingHash(cookie)
}

// CheckBinding reports whether a cookie's value is the one that the hash was
// made of. A missing cookie, or a missing hash, is not.
func CheckBinding(cookie string, hash []byte) bool {
	return cookie != "" && subtle.ConstantTimeCompare(bindingHash(cookie), hash) == 1
}

func bindingHash(cookie string) []byte {
	sum := sha256.Sum256([]byte(cookie))
	return sum[:]
}
