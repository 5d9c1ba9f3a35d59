package passkey_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/reauth/passkey"
)

func TestTheRelyingPartysConfiguration(t *testing.T) {
	for name, c := range map[string]struct {
		id     string
		origin string
		want   string // in the error, "" for none
	}{
		"the domain itself":         {"example.org", "https://example.org", ""},
		"a subdomain":               {"example.org", "https://a.b.example.org:8443", ""},
		"a subdomain's own":         {"login.example.org", "https://login.example.org", ""},
		"localhost":                 {"localhost", "http://localhost:3000", ""},
		"localhost with TLS":        {"localhost", "https://localhost", ""},
		"below a shared suffix":     {"ledger.github.io", "https://ledger.github.io", ""},
		"a network of one's own":    {"bank.internal", "https://app.bank.internal", ""},
		"an internationalised name": {"xn--bcher-kva.example", "https://xn--bcher-kva.example", ""},

		"another domain":              {"example.org", "https://example.net", "does not lie in rp_id"},
		"a domain that ends alike":    {"example.org", "https://badexample.org", "does not lie in rp_id"},
		"the domain above":            {"app.example.org", "https://example.org", "does not lie in rp_id"},
		"below localhost":             {"localhost", "http://app.localhost", "neither https"},
		"below localhost, TLS":        {"localhost", "https://app.localhost", "does not lie in rp_id"},
		"localhost's own name":        {"example.org", "http://localhost:3000", "does not lie in rp_id"},
		"a top-level domain":          {"org", "https://example.org", "no domain"},
		"a public suffix":             {"co.uk", "https://example.co.uk", "anybody can register"},
		"a shared suffix":             {"github.io", "https://ledger.github.io", "anybody can register"},
		"no id":                       {"", "https://example.org", "no domain"},
		"an id in capitals":           {"Example.org", "https://example.org", "no domain in small letters"},
		"an id with a scheme":         {"https://example.org", "https://example.org", "no domain"},
		"an id with a port":           {"example.org:443", "https://example.org", "no domain"},
		"an id with a dot behind":     {"example.org.", "https://example.org", "no domain"},
		"an id that is an address":    {"192.0.2.1", "https://192.0.2.1", "no domain"},
		"an id beyond ASCII":          {"bücher.example", "https://bücher.example", "no domain"},
		"in the clear":                {"example.org", "http://example.org", "neither https"},
		"an app":                      {"example.org", "android:apk-key-hash:abc", "not of the form"},
		"no origin's text":            {"example.org", "", "not of the form"},
		"null":                        {"example.org", "null", "not of the form"},
		"a slash behind":              {"example.org", "https://example.org/", "not of the form"},
		"a path":                      {"example.org", "https://example.org/app", "not of the form"},
		"a query":                     {"example.org", "https://example.org?x", "not of the form"},
		"a fragment":                  {"example.org", "https://example.org#x", "not of the form"},
		"somebody before the host":    {"example.org", "https://u@example.org", "not of the form"},
		"an origin in capitals":       {"example.org", "https://Example.org", "small letters"},
		"the port that is understood": {"example.org", "https://example.org:443", "port that its scheme has"},
		"no port behind the colon":    {"example.org", "https://example.org:", "port that its scheme has"},
		"a port that is none":         {"example.org", "https://example.org:x", "not of the form"},
		"a star":                      {"example.org", "https://*.example.org", "no domain"},
		"a space":                     {"example.org", "https://a b.example.org", "not of the form"},
		"a host that is an address":   {"example.org", "https://[::1]", "no domain"},
	} {
		t.Run(name, func(t *testing.T) {
			err := passkey.Relying{ID: c.id, Name: "Ledger", Origins: []string{c.origin}}.Validate()
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestAllThatIsWrongIsSaidAtOnce(t *testing.T) {
	err := passkey.Relying{ID: "co.uk", Origins: []string{"https://example.org", "x"}}.Validate()
	require.Error(t, err)
	for _, part := range []string{"rp_id", "name", `"https://example.org"`, `"x"`} {
		assert.Contains(t, err.Error(), part)
	}
	require.ErrorContains(t, passkey.Relying{ID: "example.org", Name: "Ledger"}.Validate(), "between 1 and 20 origins")
	require.ErrorContains(t, passkey.Relying{ID: "example.org", Name: "Ledger", Origins: make([]string, 21)}.Validate(), "between 1 and 20 origins")
	require.ErrorContains(t, passkey.Relying{ID: "example.org", Name: strings.Repeat("x", 300), Origins: []string{"https://example.org"}}.Validate(), "name")
}
