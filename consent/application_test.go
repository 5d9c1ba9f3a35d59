package consent_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/reconsent/reconsent/consent"
)

func TestRedirectURIsAreComparedByteForByte(t *testing.T) {
	app := consent.Application{RedirectURIs: []string{
		"https://app.example/cb", "https://app.example/cb?x=%2F&y=1", "http://127.0.0.1:*", "https://[2001:db8::1]/cb",
	}}
	for _, uri := range []string{
		"https://app.example/cb", "https://app.example/cb?x=%2F&y=1", "https://[2001:db8::1]/cb",
		"http://127.0.0.1", "http://127.0.0.1:1", "http://127.0.0.1:65535/any/path?q=1",
	} {
		assert.True(t, app.AllowsRedirectURI(uri), uri)
	}
	for _, uri := range []string{
		"", "https://app.example/cb/", "https://app.example/CB", "https://APP.example/cb", "HTTPS://app.example/cb",
		"http://app.example/cb", "https://app.example:443/cb", "https://app.example/cb?", "https://app.example/cb?x=/&y=1",
		"https://app.example/cb?x=%2f&y=1", "https://app.example/cb?y=1&x=%2F", "https://app.example/cb#f", "https://app.example//cb",
		"https://app.example/./cb", "https://app.example/%63b", "https://app.example.evil.example/cb", "https://app.example@evil.example/cb",
		"https://user@app.example/cb", "//app.example/cb", "javascript:alert(1)", "https:/app.example/cb", "https:\\\\app.example\\cb",
		"http://127.0.0.1.evil.example:80/", "http://127.0.0.1@evil.example/", "https://127.0.0.1:8080/", "http://localhost:8080/",
		"http://127.0.0.1:80\\@evil.example/", "http://127.0.0.1:8080/\n", "http://127.0.0.1:8080/a b", "http://127.0.0.1:x/",
	} {
		assert.False(t, app.AllowsRedirectURI(uri), uri)
	}
}

func TestReturnTosAllowAnyQueryOfAnEntry(t *testing.T) {
	app := consent.Application{ReturnTos: []string{"https://app.example/done"}}
	for _, uri := range []string{"https://app.example/done", "https://app.example/done?a=b&c=%00"} {
		assert.True(t, app.AllowsReturnTo(uri), uri)
	}
	for _, uri := range []string{
		"", "//app.example/done", "/done", "https://app.example/done/", "https://app.example/done#x", "https://app.example/done?a#x",
		"https://app.example\\done", "https://u:p@app.example/done", "https://app.example/done;x", "https://evil.example/?https://app.example/done",
	} {
		assert.False(t, app.AllowsReturnTo(uri), uri)
	}
}

func TestOnlyPlainAddressesMayBeListed(t *testing.T) {
	for _, uri := range []string{"https://a.example/", "http://127.0.0.1:*", "http://localhost:*", "http://a.example:8080/x?y"} {
		assert.True(t, consent.ListableURI(uri), uri)
	}
	for _, uri := range []string{"", "*", "https://a.example:*", "https://*", "http://0.0.0.0:*", "ftp://a.example/", "https://", "a.example", "https://a.example/#f"} {
		assert.False(t, consent.ListableURI(uri), uri)
	}
}

func TestSealedPrintsAsAPlaceholder(t *testing.T) {
	s := consent.Sealed("ciphertext")
	for _, verb := range []string{"%s", "%v", "%+v", "%#v"} {
		assert.Equal(t, "[sealed]", fmt.Sprintf(verb, s))
		assert.NotContains(t, fmt.Sprintf(verb, consent.Tokens{Refresh: s}), "ciphertext")
	}
}
