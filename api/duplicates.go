package api

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode"
)

// openObject is an object, or an array, that has begun and not ended.
type openObject struct {
	path  string
	names map[string]bool // nil: an array
	field string          // path of the field whose value comes next; empty: a name comes
}

// givenTwice finds a name that stands more than once in one object of a body.
// Package json takes the last of them and other readers the first: what one of
// them has checked is not what the other does. Names are told apart as package
// json matches them to fields, without regard to case. What is no JSON is left
// to the decoder to tell.
func givenTwice(body []byte) (path string, found bool) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var open []openObject
	for {
		token, err := d.Token()
		if err != nil {
			return "", false
		}
		at := ""
		if len(open) > 0 {
			in := &open[len(open)-1]
			name, isText := token.(string)
			if in.names != nil && in.field == "" && isText {
				in.field = below(in.path, name)
				if in.names[folded(name)] {
					return in.field, true
				}
				in.names[folded(name)] = true
				continue
			}
			if at = in.path; in.names != nil {
				at, in.field = in.field, ""
			}
		}
		switch token {
		case json.Delim('{'):
			open = append(open, openObject{path: at, names: map[string]bool{}})
		case json.Delim('['):
			open = append(open, openObject{path: at})
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
		}
	}
}

// below is the path of a field, as package json writes it.
func below(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// folded is the same for all names that differ by case only.
func folded(name string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for x := unicode.SimpleFold(r); x != r; x = unicode.SimpleFold(x) {
			least = min(least, x)
		}
		return least
	}, name)
}
