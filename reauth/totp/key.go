package totp

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"unicode"
)

// ErrLabel is the answer to an issuer or an account with nothing in it to show.
var ErrLabel = errors.New("totp: issuer and account must not be empty")

// Key is a secret on its way to its owner: shown once, then kept sealed. It is
// printed as a placeholder.
type Key struct {
	// Secret is 160 bits in base32 (RFC 4648) without padding. It is what Verify
	// takes, and what a person can type who cannot scan the QR code.
	Secret string
	// URI is the otpauth address of the QR code, in the form of Google's Key
	// URI Format. It holds the secret.
	URI string
}

// String keeps the secret out of what is printed.
func (Key) String() string { return "totp key [redacted]" }

// GoString keeps the secret out of %#v.
func (Key) GoString() string { return "totp key [redacted]" }

// New draws a secret from a source of randomness, which is crypto/rand's
// Reader outside tests. The app shows it under the issuer, which is the
// application's name, and the account, which is what the user goes by there.
func New(random io.Reader, issuer, account string) (Key, error) {
	issuer, account = label(issuer), label(account)
	if issuer == "" || account == "" {
		return Key{}, ErrLabel
	}
	raw := make([]byte, secretSize)
	if _, err := io.ReadFull(random, raw); err != nil {
		return Key{}, fmt.Errorf("totp: draw a secret: %w", err)
	}
	secret := base32Plain.EncodeToString(raw)
	// PathEscape also in the query: some apps show the + of QueryEscape as it is.
	// The defaults are written out for the apps that have others.
	return Key{Secret: secret, URI: "otpauth://totp/" + escape(issuer) + ":" + escape(account) +
		"?secret=" + secret + "&issuer=" + escape(issuer) + "&algorithm=SHA1&digits=6&period=30"}, nil
}

// maxLabel bounds a name, in bytes of the URI: the QR code stays one that a
// camera can read from a screen, and an app would not show more.
const maxLabel = 150

// label makes a name fit for an app: one line, without the colon that parts
// issuer and account even where it is escaped.
func label(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == ':', unicode.IsControl(r):
			return ' '
		case unicode.Is(unicode.Cf, r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	s = strings.Join(strings.Fields(s), " ")
	if len(escape(s)) <= maxLabel {
		return s
	}
	var size int
	for i, r := range s {
		if size += len(escape(string(r))); size > maxLabel-len("%E2%80%A6") {
			return strings.TrimSpace(s[:i]) + "…"
		}
	}
	return s
}

// escape writes a name so that it means the same in a path and in a query.
func escape(s string) string {
	return strings.NewReplacer("&", "%26", "=", "%3D", "+", "%2B", ";", "%3B").Replace(url.PathEscape(s))
}
