package sandbox

import (
	"encoding/json"
	"errors"
	"net/url"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A form and a JSON object of the same strings say the same; what is neither is
// refused in TrueLayer's shape.
func FuzzParseFields(f *testing.F) {
	f.Add("application/json", []byte(`{"code":"a","n":1}`), "code", "a")
	f.Add("application/x-www-form-urlencoded", []byte("code=a&b=%zz"), "state", "é &=+%2F\x00")
	f.Add("application/x-www-form-urlencoded; charset=utf-8", []byte("a=b;c=d"), "", "")
	f.Add("", []byte("null"), "\u2028", "<>")
	f.Fuzz(func(t *testing.T, contentType string, body []byte, name, value string) {
		v, err := parseFields(contentType, body)
		assert.Equal(t, v == nil, err != nil)
		if err != nil {
			no, ok := errors.AsType[*refusal](err)
			require.True(t, ok, "%T", err)
			assert.Equal(t, "validation_error", no.Code)
			assert.Equal(t, 400, no.status)
		}
		want := url.Values{name: {value}}
		v, err = parseFields("application/x-www-form-urlencoded", []byte(want.Encode()))
		require.NoError(t, err)
		assert.Equal(t, want, v)
		if !utf8.ValidString(name) || !utf8.ValidString(value) {
			return // JSON carries no such thing
		}
		b, err := json.Marshal(map[string]string{name: value})
		require.NoError(t, err)
		v, err = parseFields("application/json", b)
		require.NoError(t, err)
		assert.Equal(t, want, v)
	})
}

// What a client writes by the book is read by the book; the rest does no harm.
func FuzzLooseQuery(f *testing.F) {
	f.Add("redirect_uri=https%3A%2F%2Fa.example%2F&state=%zz;&x")
	f.Add("state=a+b%2Bc&state=2&=x&%3D=%26")
	f.Fuzz(func(t *testing.T, raw string) {
		got := looseQuery(raw)
		assert.False(t, got.Has(""))
		assert.Equal(t, got, looseQuery(got.Encode()), "what it reads it can write")
		if want, err := url.ParseQuery(raw); err == nil && !want.Has("") {
			assert.Equal(t, want, got)
		}
	})
}
