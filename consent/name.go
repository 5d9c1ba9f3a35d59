package consent

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// LongestName is how much of a name is kept and shown, in characters.
const LongestName = 80

// OneLine makes of a name what can stand in a line, in a header and in the field
// of a form: without control characters or line breaks, and not too long. Browsers
// change line breaks in what they post, so that a statement with one would not
// come back as it was shown.
func OneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	s = strings.TrimSpace(s)
	if runes := []rune(s); len(runes) > LongestName {
		s = strings.TrimSpace(string(runes[:LongestName-1])) + "…"
	}
	return s
}

// PlainText refuses what has no place in one line of text: control characters,
// and what is no UTF-8.
func PlainText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}
