package code

import (
	"crypto/rand"
	"fmt"
	"io"
	"math/big"
	"unicode"
)

// Length is how many digits a code has that is sent, and one of an
// authenticator app.
const Length = 6

// limit is how many codes of Length digits there are.
const limit = 1_000_000

// New draws a code of six digits from a source of randomness, which is
// crypto/rand's Reader outside tests. Every code is equally likely: what a
// remainder would favour is drawn again.
func New(random io.Reader) (string, error) {
	n, err := rand.Int(random, big.NewInt(limit))
	if err != nil {
		return "", fmt.Errorf("code: draw: %w", err)
	}
	return fmt.Sprintf("%0*d", Length, n), nil
}

// maxTyped bounds what is read, in bytes: the longest code, with room for
// spaces between its parts.
const maxTyped = 128

// Digits reads a code of n digits as a person may type or paste it: with
// spaces or dashes of any kind, with invisible marks, in full-width digits or
// in those of another script. It returns ASCII digits. Anything else, or
// another number of digits, is no code.
func Digits(typed string, n int) (string, bool) {
	out, ok := read(typed, decimal)
	if !ok || n <= 0 || len(out) != n {
		return "", false
	}
	return out, true
}

// read drops what separates and turns the rest into a code's own characters.
func read(typed string, char func(rune) (byte, bool)) (string, bool) {
	if len(typed) > maxTyped {
		return "", false
	}
	out := make([]byte, 0, len(typed))
	for _, r := range typed {
		if separates(r) {
			continue
		}
		c, ok := char(r)
		if !ok {
			return "", false
		}
		out = append(out, c)
	}
	return string(out), true
}

// separates says whether a character stands between digits without meaning
// anything: white space, dashes, and invisible marks such as those that set
// the direction of text or that a mail program puts where a line may break.
func separates(r rune) bool {
	return unicode.In(r, unicode.White_Space, unicode.Pd, unicode.Cf) || r == '\u2212' // the minus sign
}

// decimal is a decimal digit of any script, in ASCII. Unicode gives each
// script's ten in a row, from zero upwards (The Unicode Standard, 4.6).
func decimal(r rune) (byte, bool) {
	for _, t := range unicode.Nd.R16 {
		if rune(t.Lo) <= r && r <= rune(t.Hi) {
			return '0' + byte((r-rune(t.Lo))%10), true
		}
	}
	for _, t := range unicode.Nd.R32 {
		if rune(t.Lo) <= r && r <= rune(t.Hi) {
			return '0' + byte((r-rune(t.Lo))%10), true
		}
	}
	return 0, false
}
