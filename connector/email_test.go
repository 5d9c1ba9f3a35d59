package connector

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
)

func TestAddressesThatAMailCanBeSentTo(t *testing.T) {
	for _, good := range []string{
		"ada@example.org", "Ada.Lovelace+bank@sub.example.org", "o'brien@example.ie", "x@xn--bcher-kva.example", "1@2.example", strings.Repeat("x", 64) + "@example.org",
	} {
		require.NoError(t, checkContact("u", Contact{Email: good}), good)
	}
	for _, bad := range []string{
		"ada", "ada@", "@example.org", "ada@example.org ", " ada@example.org", "Ada <ada@example.org>", "<ada@example.org>", "ada@example.org, b@example.org",
		"ada@example.org\r\nBcc: b@example.org", "ada@example.org\n", "ada\x00@example.org", `"ada lovelace"@example.org`, "ada@[127.0.0.1]", "ada@exa mple.org",
		strings.Repeat("x", 65) + "@example.org", "x@" + strings.Repeat("x", 300) + ".org", "ada@example.org>",
	} {
		err := checkContact("u", Contact{Email: bad})
		require.Error(t, err, "%q", bad)
		assert.Equal(t, consent.CodeInvalidRequest, consent.CodeOf(err), "%q", bad)
	}
	for _, beyond := range []string{"zoë@example.org", "x@bücher.example", "ada@example.org\u202e", "имя@пример.рф"} {
		err := checkContact("u", Contact{Email: beyond})
		e := asAnswer(err)
		require.NotNil(t, e, beyond)
		assert.Equal(t, "email", e.Field)
		assert.Contains(t, e.Detail, "beyond ASCII", "it says what to do")
		assert.NotContains(t, e.Detail, beyond)
	}
}
