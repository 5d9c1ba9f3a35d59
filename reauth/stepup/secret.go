package stepup

import (
	"crypto/rand"
	"encoding/base64"
)

// secret returns 192 random bits as text for an address or a header.
func secret() string {
	b := make([]byte, 24)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b)
}
