package jose

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
)

// MaxToken is how long a token may be, in bytes. Header lines are not longer
// than that at most servers.
const MaxToken = 16 << 10

// Why a token is not opened.
var (
	ErrMalformed = errors.New("not a signed JWT")
	ErrRefused   = errors.New("the token's signature, algorithm, key or type is refused")
)

// Header is what chooses the key.
type Header struct {
	Algorithm string
	KeyID     string // "" where the token names none
}

// Demands is what a token must be. All are required.
type Demands struct {
	// Algorithms are the ones that are pinned (RFC 8725 3.1).
	Algorithms []string
	// Types are the values that typ may have, in lower case and without
	// "application/" (RFC 7515 4.1.9); "" is a token that says none.
	Types []string
	// Keys returns the keys that may have signed. Its error comes back as it is.
	Keys func(Header) ([]any, error)
}

// bringsKey are the headers by which a token would say what it is verified
// with; crit is here because none of its extensions is known (RFC 7515 4.1).
var bringsKey = []string{"jku", "jwk", "x5u", "x5c", "crit"}

// Open verifies a token and returns its claims, a JSON object in which no key
// stands twice. Nothing of the claims has been judged.
func Open(token string, d Demands) (json.RawMessage, error) {
	t, err := split(token)
	if err != nil {
		return nil, err
	}
	var header map[string]any
	if json.Unmarshal(t.header, &header) != nil {
		return nil, ErrMalformed
	}
	h, err := judge(header, d)
	if err != nil {
		return nil, err
	}
	method := jwt.GetSigningMethod(h.Algorithm)
	if method == nil {
		return nil, ErrRefused
	}
	keys, err := d.Keys(h)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		if fits(k, h.Algorithm) && method.Verify(t.signed, t.signature, k) == nil {
			return t.claims, nil
		}
	}
	return nil, ErrRefused
}

// Peek returns the claims of a token that nobody has verified.
func Peek(token string) (json.RawMessage, error) {
	t, err := split(token)
	return t.claims, err
}

// judge reads a header. Whatever it does not know to be harmless is refused.
func judge(header map[string]any, d Demands) (Header, error) {
	for _, name := range bringsKey {
		if _, ok := header[name]; ok {
			return Header{}, ErrRefused
		}
	}
	alg, _ := header["alg"].(string)
	if !slices.Contains(d.Algorithms, alg) {
		return Header{}, ErrRefused
	}
	typ, ok := header["typ"].(string)
	if _, there := header["typ"]; there && (!ok || typ == "") {
		return Header{}, ErrRefused
	}
	if !slices.Contains(d.Types, strings.TrimPrefix(strings.ToLower(typ), "application/")) {
		return Header{}, ErrRefused
	}
	kid, ok := header["kid"].(string)
	if _, there := header["kid"]; there && (!ok || kid == "") {
		return Header{}, ErrRefused
	}
	return Header{Algorithm: alg, KeyID: kid}, nil
}

// parts are those of a token in compact form (RFC 7515 3.1).
type parts struct {
	header, claims json.RawMessage
	signed         string
	signature      []byte
}

// split reads a token, each part of it once. The library would take more than is
// right: base64 with line ends in it, text that is no UTF-8, a name that stands
// twice, of which readers would take different ones.
func split(token string) (parts, error) {
	if len(token) > MaxToken || strings.Count(token, ".") != 2 || strings.ContainsAny(token, "\r\n") {
		return parts{}, ErrMalformed
	}
	signed, signature := token[:strings.LastIndexByte(token, '.')], token[strings.LastIndexByte(token, '.')+1:]
	header, claims, _ := strings.Cut(signed, ".")
	t := parts{signed: signed}
	var err error
	if t.signature, err = strict.DecodeString(signature); err != nil {
		return parts{}, ErrMalformed
	}
	if t.header, err = object(header); err != nil {
		return parts{}, err
	}
	t.claims, err = object(claims)
	return t, err
}

var strict = base64.RawURLEncoding.Strict()

func object(part string) (json.RawMessage, error) {
	raw, err := strict.DecodeString(part)
	if err != nil || !utf8.Valid(raw) || !unique(raw) {
		return nil, ErrMalformed
	}
	return raw, nil
}

// unique reports whether raw is one JSON object in which no object has a name
// twice. In valid JSON a text is a name where a colon follows.
func unique(raw []byte) bool {
	if !json.Valid(raw) || bytes.TrimLeft(raw, " \t\r\n")[0] != '{' {
		return false
	}
	var names []map[string]bool // of the objects and lists that i lies in
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '{', '[':
			names = append(names, nil)
		case '}', ']':
			names = names[:len(names)-1]
		case '"':
			end := i + 1
			for ; raw[end] != '"'; end++ {
				if raw[end] == '\\' {
					end++
				}
			}
			text := raw[i : end+1]
			i = end
			if rest := bytes.TrimLeft(raw[end+1:], " \t\r\n"); len(rest) == 0 || rest[0] != ':' {
				continue
			}
			name := string(text)
			if bytes.IndexByte(text, '\\') >= 0 { // the same name, written otherwise
				var plain string
				if json.Unmarshal(text, &plain) != nil {
					return false
				}
				name = `"` + plain + `"`
			}
			in := &names[len(names)-1]
			if (*in)[name] {
				return false
			}
			if *in == nil {
				*in = map[string]bool{}
			}
			(*in)[name] = true
		}
	}
	return true
}
