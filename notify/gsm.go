package notify

import (
	"strings"
	"unicode"
	"unicode/utf16"

	"golang.org/x/text/unicode/norm"
)

// The alphabet of SMS, and what counts twice in it (3GPP TS 23.038, 6.2.1).
const (
	gsmBasic    = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
	gsmExtended = "\f^{}\\[~]|€"
)

// How much one segment holds, alone and as one of several (3GPP TS 23.040,
// 9.2.3.24.1): septets of the alphabet, or 16-bit units where a text goes
// beyond it.
const (
	gsmAlone, gsmJoined   = 160, 153
	ucs2Alone, ucs2Joined = 70, 67
)

// segments is how many segments a text costs.
func segments(text string) int {
	units := 0
	for _, r := range text {
		switch {
		case strings.ContainsRune(gsmBasic, r):
			units++
		case strings.ContainsRune(gsmExtended, r):
			units += 2
		default:
			return needed(len(utf16.Encode([]rune(text))), ucs2Alone, ucs2Joined)
		}
	}
	return needed(units, gsmAlone, gsmJoined)
}

func needed(units, alone, joined int) int {
	if units <= alone {
		return 1
	}
	return (units + joined - 1) / joined
}

// unmarked are letters that do not come apart into a plain one and a mark, and
// signs that have a plain twin.
var unmarked = strings.NewReplacer("ł", "l", "Ł", "L", "đ", "d", "Đ", "D", "ı", "i", "œ", "oe", "Œ", "OE", "þ", "th", "Þ", "Th", "ð", "d", "Ð", "D",
	"\u2019", "'", "\u2018", "'", "\u201c", "\"", "\u201d", "\"", "\u2013", "-", "\u2014", "-", "\u2026", "...", "\u00a0", " ", "•", "*",
	"„", "\"", "«", "\"", "»", "\"", "\u202f", " ", "º", "o", "ª", "a")

// gsm writes a text in SMS's own alphabet, without the marks that are not in it,
// where that is possible; else the text stays as it is.
func gsm(text string) string {
	var b strings.Builder
	for _, r := range text {
		if strings.ContainsRune(gsmBasic, r) || strings.ContainsRune(gsmExtended, r) {
			b.WriteRune(r)
			continue
		}
		for _, part := range unmarked.Replace(norm.NFD.String(string(r))) {
			if unicode.Is(unicode.Mn, part) {
				continue
			}
			if !strings.ContainsRune(gsmBasic, part) {
				return text
			}
			b.WriteRune(part)
		}
	}
	return b.String()
}
