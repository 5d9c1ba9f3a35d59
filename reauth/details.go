package reauth

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/reconsent/reconsent/consent"
)

// maxPayee is in characters, as ISO 20022 gives a party's name.
const maxPayee = 140

// Details are what a payment is bound to (dynamic linking: PSD2, Regulatory
// Technical Standards, article 5). The person is shown them, and the proof
// carries their digest. They are compared as they are written: 10.0 and 10.00
// are two amounts.
type Details struct {
	Payee    string `json:"payee" required:"true" description:"Who is paid: 1 to 140 characters"`
	Amount   string `json:"amount" required:"true" description:"How much: a plain decimal number in a string, like 10.50"`
	Currency string `json:"currency" required:"true" description:"ISO 4217: three capital letters"`
}

var (
	// Twelve digits before the point hold any payment; four after it, any
	// currency's smallest unit (ISO 4217).
	amountForm   = regexp.MustCompile(`^(0|[1-9][0-9]{0,11})(\.[0-9]{1,4})?$`)
	currencyForm = regexp.MustCompile(`^[A-Z]{3}$`)
)

// Validate refuses what could not be shown to a person as it is, or could be
// read in two ways. The error is a *consent.Error with consent.CodeInvalidRequest.
func (d Details) Validate() error {
	switch {
	case strings.TrimSpace(d.Payee) == "":
		return detailsInvalid("payee", "details.payee is missing.")
	case !utf8.ValidString(d.Payee) || strings.ContainsFunc(d.Payee, unshowable):
		return detailsInvalid("payee", "details.payee holds characters that cannot be shown.")
	case utf8.RuneCountInString(d.Payee) > maxPayee:
		return detailsInvalid("payee", fmt.Sprintf("details.payee is longer than %d characters.", maxPayee))
	case !amountForm.MatchString(d.Amount):
		return detailsInvalid("amount", `details.amount is a plain decimal number in a string, like "10.50", with at most 12 digits before the point and 4 after it.`)
	case !currencyForm.MatchString(d.Currency):
		return detailsInvalid("currency", "details.currency is an ISO 4217 code: three capital letters.")
	}
	return nil
}

func detailsInvalid(field, detail string) *consent.Error {
	return &consent.Error{Code: consent.CodeInvalidRequest, Field: "details." + field, Detail: detail}
}

// unshowable are control characters, line breaks, and the marks that change the
// direction of text: with them a person reads another payee than is paid.
func unshowable(r rune) bool {
	return unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r) || unicode.Is(unicode.Bidi_Control, r)
}

// Digest is the base64url SHA-256, without padding, of the details' canonical
// JSON (RFC 8785): the dig of a proof's op. The error is Validate's; what is not
// valid has no digest.
func (d Details) Digest() (string, error) {
	if err := d.Validate(); err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(d.canonical()))
	return base64.RawURLEncoding.EncodeToString(sum[:]), nil
}

// canonical is the RFC 8785 form. The keys are ASCII and stand in their order.
func (d Details) canonical() string {
	return `{"amount":` + canonicalString(d.Amount) + `,"currency":` + canonicalString(d.Currency) + `,"payee":` + canonicalString(d.Payee) + `}`
}

// canonicalString writes a string as RFC 8785, section 3.2.2.2 wants it, which
// is ECMAScript's way: the two-character escapes where there is one, \u00xx for
// the other controls, and everything else as it is. encoding/json also escapes
// U+2028 and U+2029, so it cannot be used. The string is valid UTF-8.
func canonicalString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch r {
		case '"', '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case '\b':
			b.WriteString(`\b`)
		case '\t':
			b.WriteString(`\t`)
		case '\n':
			b.WriteString(`\n`)
		case '\f':
			b.WriteString(`\f`)
		case '\r':
			b.WriteString(`\r`)
		default:
			if r < 0x20 {
				fmt.Fprintf(&b, `\u%04x`, r)
			} else {
				b.WriteRune(r)
			}
		}
	}
	b.WriteByte('"')
	return b.String()
}
