package locale

import (
	"strings"

	"golang.org/x/text/unicode/bidi"
)

// The characters that set text apart, as <bdi> does in HTML, and work in plain
// text and in a subject too (Unicode Standard Annex 9, 2.3 and 2.4).
const (
	firstStrongIsolate    = '\u2068'
	popDirectionalIsolate = '\u2069'
)

// Isolate sets a name apart that has right-to-left letters, so that it cannot
// reorder the sentence around it. Characters that override or embed a direction
// are dropped: in a name they only serve to deceive. Other text comes back as
// it is.
func Isolate(s string) string {
	if !strings.ContainsFunc(s, turns) {
		return s
	}
	s = strings.Map(func(r rune) rune {
		if steers(r) {
			return -1
		}
		return r
	}, s)
	return string(firstStrongIsolate) + s + string(popDirectionalIsolate)
}

// turns reports whether a character can change the order of those around it.
func turns(r rune) bool {
	if r < 0x590 { // before the first right-to-left script
		return false
	}
	p, _ := bidi.LookupRune(r)
	c := p.Class()
	return c == bidi.R || c == bidi.AL || c == bidi.AN || steers(r)
}

// steers reports whether a character overrides, embeds or isolates.
func steers(r rune) bool { return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 }

// Sentence is text that Say has made: it stands in another as it is.
type Sentence string
