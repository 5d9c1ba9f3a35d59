package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// deepest is how far values in a body may lie inside each other: no call's come
// near, and each open one takes memory.
const deepest = 64

// longestName is how much of a name is repeated to who sent it, in bytes.
const longestName = 100

// openValue is an object, or an array, that has begun and not ended.
type openValue struct {
	object bool
	names  map[string]bool // so far
	name   string          // the last of them
	valued bool            // it waits for its value
}

// wellNamed refuses a body in which a name stands more than once in one object:
// package json takes the last of them and other readers the first, so that what
// one of them has checked is not what the other does. Names are told apart as
// package json matches them to fields, without regard to case; nobody means two
// that differ by no more. What is no JSON is left to the decoder to tell.
func wellNamed(body []byte) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var open []openValue
	for token, err := d.Token(); err == nil; token, err = d.Token() {
		if len(open) > 0 {
			in := &open[len(open)-1]
			if name, isText := token.(string); isText && in.object && !in.valued {
				in.name, in.valued = name, true
				if in.names[folded(name)] {
					path := pathOf(open)
					return invalidRequest(path, fmt.Sprintf("%q is given twice.", path))
				}
				if in.names == nil {
					in.names = map[string]bool{}
				}
				in.names[folded(name)] = true
				continue
			}
			in.valued = false
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			if len(open) == deepest {
				return invalidRequest("", fmt.Sprintf("The body's values lie more than %d deep.", deepest))
			}
			open = append(open, openValue{object: token == json.Delim('{')})
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
		}
	}
	return nil
}

// pathOf is the path of the name that came last, as package json writes it.
func pathOf(open []openValue) string {
	var names []string
	for i := range open {
		if open[i].object {
			names = append(names, open[i].name)
		}
	}
	path := strings.Join(names, ".")
	if len(path) <= longestName {
		return path
	}
	cut := longestName
	for !utf8.RuneStart(path[cut]) {
		cut--
	}
	return path[:cut] + "…"
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
