package sandbox

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
)

func FuzzParseFields(f *testing.F) {
	f.Add("application/json", []byte(`{"code":"a","n":1}`))
	f.Add("application/x-www-form-urlencoded", []byte("code=a&b=%zz"))
	f.Add("", []byte("null"))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		v, err := parseFields(contentType, body)
		assert.True(t, (v == nil) == (err != nil))
	})
}

// What a client writes by the book is read by the book; the rest does no harm.
func FuzzLooseQuery(f *testing.F) {
	f.Add("redirect_uri=https%3A%2F%2Fa.example%2F&state=%zz;&x")
	f.Fuzz(func(t *testing.T, raw string) {
		got := looseQuery(raw)
		if want, err := url.ParseQuery(raw); err == nil && !want.Has("") {
			assert.Equal(t, want, got)
		}
	})
}
