package sandbox

import (
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

// fields reads a body that is a form or JSON: TrueLayer's document says JSON,
// its own clients send forms.
func fields(r *http.Request) (url.Values, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "validation_error", "The body cannot be read.")
	}
	return parseFields(r.Header.Get("Content-Type"), body)
}

func parseFields(contentType string, body []byte) (url.Values, error) {
	mt, _, err := mime.ParseMediaType(contentType)
	if err == nil && mt == "application/x-www-form-urlencoded" {
		v, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, refuse(http.StatusBadRequest, "validation_error", "The body is no form.")
		}
		return v, nil
	}
	var raw map[string]any
	if !utf8.Valid(body) || json.Unmarshal(body, &raw) != nil || raw == nil {
		return nil, refuse(http.StatusBadRequest, "validation_error", "The body is neither a form nor a JSON object.")
	}
	v := url.Values{}
	for name, value := range raw {
		if s, ok := value.(string); ok {
			v.Set(name, s)
		}
	}
	return v, nil
}

// looseQuery reads a link's query as TrueLayer's clients build it: only "&"
// separates, and what cannot be unescaped stays as it is.
func looseQuery(raw string) url.Values {
	v := url.Values{}
	for pair := range strings.SplitSeq(raw, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if name = unescape(name); name != "" {
			v.Add(name, unescape(value))
		}
	}
	return v
}

func unescape(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
}
