package reauth_test

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
)

// TestDigest holds the digest to text written out by hand, so that a backend in
// another language can be checked against it.
func TestDigest(t *testing.T) {
	for _, c := range []struct {
		details   reauth.Details
		canonical string
	}{
		{reauth.Details{Payee: "Acme Ltd", Amount: "10.50", Currency: "EUR"}, `{"amount":"10.50","currency":"EUR","payee":"Acme Ltd"}`},
		{reauth.Details{Payee: `Müller & "Söhne" <\>`, Amount: "0", Currency: "JPY"}, `{"amount":"0","currency":"JPY","payee":"Müller & \"Söhne\" <\\>"}`},
		{reauth.Details{Payee: "株式会社 😀", Amount: "999999999999.9999", Currency: "GBP"}, `{"amount":"999999999999.9999","currency":"GBP","payee":"株式会社 😀"}`},
	} {
		sum := sha256.Sum256([]byte(c.canonical))
		got, err := c.details.Digest()
		require.NoError(t, err)
		assert.Equal(t, base64.RawURLEncoding.EncodeToString(sum[:]), got)
	}
	d, err := reauth.Details{Payee: "Acme Ltd", Amount: "10.50", Currency: "EUR"}.Digest()
	require.NoError(t, err)
	assert.Equal(t, "UDICdD1ORqLGVV4BTWS_CgL-PoLTndZwGQinJTc5xiY", d, "as sha256sum and base64 have it")
}

func TestDigestTellsDetailsApart(t *testing.T) {
	seen := map[string]reauth.Details{}
	for _, d := range []reauth.Details{
		{Payee: "Acme", Amount: "10", Currency: "EUR"},
		{Payee: "Acme", Amount: "10.0", Currency: "EUR"},
		{Payee: "Acme", Amount: "10.00", Currency: "EUR"},
		{Payee: "Acme", Amount: "10", Currency: "USD"},
		{Payee: "acme", Amount: "10", Currency: "EUR"},
		{Payee: "Acme ", Amount: "10", Currency: "EUR"},
		{Payee: `Acme","x":"`, Amount: "10", Currency: "EUR"},
	} {
		dig, err := d.Digest()
		require.NoError(t, err)
		assert.NotContains(t, seen, dig)
		seen[dig] = d
	}
}

func TestDetailsRefused(t *testing.T) {
	good := reauth.Details{Payee: strings.Repeat("é", 140), Amount: "10.50", Currency: "EUR"}
	require.NoError(t, good.Validate())
	refuse := func(field string, change func(*reauth.Details)) {
		d := good
		change(&d)
		_, err := d.Digest()
		require.Error(t, err, "%+v", d)
		assert.Equal(t, err, d.Validate())
		assert.Equal(t, consent.CodeInvalidRequest, consent.CodeOf(err))
		var e *consent.Error
		require.ErrorAs(t, err, &e)
		assert.Equal(t, "details."+field, e.Field)
	}
	for _, s := range []string{
		"", " ", "\t", strings.Repeat("é", 141), "a\x00b", "a\nb", "a\u0085b", "a\u2028b", "a\u2029b", "a\u202eb", "a\u2066b", "a\u200fb",
		"a\xffb", "\xed\xa0\x80" /* a lone surrogate */, "a\x7fb",
	} {
		refuse("payee", func(d *reauth.Details) { d.Payee = s })
	}
	for _, s := range []string{
		"", "-1", "+1", "01", "00", ".5", "5.", "1,000", "1 000", "1e3", "0x10", "NaN", "１０", "10.50 ", "10.50\n", "1.23456", "1234567890123", "1.2.3",
	} {
		refuse("amount", func(d *reauth.Details) { d.Amount = s })
	}
	for _, s := range []string{"", "eur", "EU", "EURO", "EÜR", "EUR\n", "978"} {
		refuse("currency", func(d *reauth.Details) { d.Currency = s })
	}
	assert.Error(t, reauth.Details{}.Validate())
}
