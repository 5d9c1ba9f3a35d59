package reauth

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"unicode"
	"unicode/utf8"
)

// secret returns 192 random bits as text for an address or a header.
func secret() string {
	b := make([]byte, 24)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b)
}

func hexed(b []byte) string { return hex.EncodeToString(b) }

func plainText(s string) bool {
	return utf8.ValidString(s) && !containsControl(s)
}

func containsControl(s string) bool {
	for _, r := range s {
		if unicode.IsControl(r) {
			return true
		}
	}
	return false
}
