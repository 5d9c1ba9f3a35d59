package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"github.com/reconsent/reconsent/consent"
)

// maxBody bounds a request body, in bytes: a 4 KB state in the longest JSON
// escapes, and room.
const maxBody = 64 << 10

// decode reads a JSON body strictly into v: what is misspelt must not be
// silently without effect. An absent body reads as an empty object where
// optional is set.
func decode(c *gin.Context, v any, optional bool) error {
	return decodeAs(c, v, optional, "application/json")
}

// decodeLoosely reads a body as CloudBase's client sends it: JSON under the name
// of plain text or of nothing, with fields that are that vendor's own affair.
func decodeLoosely(c *gin.Context, v any) error {
	return decodeAs(c, v, true, "application/json", "text/plain", "")
}

func decodeAs(c *gin.Context, v any, optional bool, types ...string) error {
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return &consent.Error{Code: codePayloadTooLarge, Detail: fmt.Sprintf("The body is larger than %d bytes.", maxBody)}
	}
	if err != nil {
		return invalidRequest("", "The body could not be read to its end.")
	}
	if len(body) == 0 && optional {
		return nil
	}
	mt, _, err := mime.ParseMediaType(c.ContentType())
	if err != nil && c.ContentType() != "" || !slices.Contains(types, mt) {
		return &consent.Error{Code: codeUnsupportedMedia, Detail: "Send the body as application/json."}
	}
	if !utf8.Valid(body) || halfPair.Match(wholePair.ReplaceAll(body, nil)) {
		return invalidRequest("", "The body is not valid UTF-8.")
	}
	if err := wellNamed(body); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if len(types) == 1 {
		d.DisallowUnknownFields()
	}
	if err := d.Decode(v); err != nil {
		return describe(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return invalidRequest("", "The body holds more than one JSON value.")
	}
	return nil
}

// A surrogate that stands alone in an escape is no character: Go would put
// another in its place, and a state would not come back as it was given. The
// backslash must not be escaped itself.
var (
	wholePair = regexp.MustCompile(`\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}`)
	halfPair  = regexp.MustCompile(`\\u[dD][89a-fA-F][0-9a-fA-F]{2}`)
)

// describe says what is wrong with a body, and where, without quoting it.
func describe(err error) *consent.Error {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if wrong.Field == "" {
			return invalidRequest("", "The body is not a JSON object.")
		}
		return invalidRequest(wrong.Field, fmt.Sprintf("%s is %s, not %s.", wrong.Field, jsonValue(wrong), jsonKind(wrong)))
	}
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return invalidRequest("", fmt.Sprintf("The body is not JSON: it goes wrong at byte %d.", syntax.Offset))
	}
	if _, ok := errors.AsType[*time.ParseError](err); ok {
		return invalidRequest("", "A time in the body is not in RFC 3339 form, like 2026-07-01T09:30:00Z.")
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		field, _ := strconv.Unquote(name)
		return invalidRequest(field, fmt.Sprintf("%s is not a field of this call.", name))
	}
	return invalidRequest("", "The body is not complete JSON.")
}

// jsonValue is what was sent, without what it says.
func jsonValue(e *json.UnmarshalTypeError) string {
	kind, _, _ := strings.Cut(e.Value, " ") // of a number the digits follow
	switch kind {
	case "object", "array":
		return "an " + kind
	case "bool":
		return "a boolean"
	case "number":
		if jsonKind(e) == wholeNumber {
			return "a number of another kind or size"
		}
		fallthrough
	default:
		return "a " + kind
	}
}

const wholeNumber = "a whole number"

func jsonKind(e *json.UnmarshalTypeError) string {
	switch e.Type.Kind().String() {
	case "int", "int64":
		return wholeNumber
	case "string":
		return "a string"
	case "bool":
		return "a boolean"
	case "struct", "map":
		return "an object"
	case "slice":
		return "an array"
	default:
		return "what this field holds"
	}
}

// texts checks the plain fields of a request: no database takes a NUL in
// text, and nobody means one.
func texts(fields ...field) error {
	for _, f := range fields {
		switch {
		case len(f.value) > f.max:
			return invalidRequest(f.name, fmt.Sprintf("%s is longer than %d bytes.", f.name, f.max))
		case strings.ContainsRune(f.value, 0) || !utf8.ValidString(f.value):
			return invalidRequest(f.name, f.name+" holds characters that text cannot have.")
		}
	}
	return nil
}

type field struct {
	name  string
	value string
	max   int // bytes
}

func short(name, value string) field { return field{name, value, 256} }
func long(name, value string) field  { return field{name, value, 4096} }

// maxState is in bytes; providers and browsers carry no more reliably.
const maxState = 4096

// stateOf returns a caller's state as bytes, nil for none.
func stateOf(s *string) ([]byte, error) {
	if s == nil {
		return nil, nil
	}
	if len(*s) > maxState {
		return nil, invalidRequest("state", fmt.Sprintf("state is longer than %d bytes.", maxState))
	}
	return []byte(*s), nil
}

// onlyQuery refuses query parameters that a call does not have.
func onlyQuery(q url.Values, known ...string) error {
	for name, values := range q {
		if !slices.Contains(known, name) {
			return invalidRequest(name, fmt.Sprintf("%q is not a parameter of this call.", name))
		}
		if len(values) > 1 {
			return invalidRequest(name, name+" is given twice.")
		}
		if err := texts(long(name, values[0])); err != nil {
			return err
		}
	}
	return nil
}

const (
	defaultLimit = 50
	maxLimit     = 200
)

func limitOf(q url.Values) (int, error) {
	if !q.Has("limit") {
		return defaultLimit, nil
	}
	n, err := strconv.Atoi(q.Get("limit"))
	if err != nil || n < 1 || n > maxLimit {
		return 0, invalidRequest("limit", fmt.Sprintf("limit is no number from 1 to %d.", maxLimit))
	}
	return n, nil
}

func timeOf(q url.Values, name string) (time.Time, error) {
	if !q.Has(name) {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, q.Get(name))
	if err != nil {
		return t, invalidRequest(name, name+" is no RFC 3339 time, like 2026-07-01T00:00:00Z.")
	}
	return t, nil
}
