package reauth

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestCanonicalString has the vectors of RFC 8785: the string of section 3.2.2,
// and the keys of section 3.2.3.
func TestCanonicalString(t *testing.T) {
	for in, want := range map[string]string{
		"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\u002f": `"€$\u000f\nA'B\"\\\\\"/"`,
		"\r":              `"\r"`,
		"1":               `"1"`,
		"\u0080":          "\"\u0080\"",
		"\u00f6":          `"ö"`,
		"\ufb33":          "\"\ufb33\"",
		"\U0001f600":      `"😀"`,
		"\b\t\f\x00\x1f":  `"\b\t\f\u0000\u001f"`,
		"\u2028\u2029":    "\"\u2028\u2029\"",
		"<a href=\"&\">/": `"<a href=\"&\">/"`,
		"\x7f":            "\"\x7f\"",
		"":                `""`,
	} {
		assert.Equal(t, want, canonicalString(in))
	}
}

func FuzzCanonicalString(f *testing.F) {
	f.Add("\u20ac$\u000F\nA'B\"\\\\\"/\u2028")
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) {
			return
		}
		var back string
		require.NoError(t, json.Unmarshal([]byte(canonicalString(s)), &back))
		assert.Equal(t, s, back)
	})
}
