package code_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/unicode/norm"

	"github.com/reconsent/reconsent/reauth/code"
	"github.com/reconsent/reconsent/seal"
)

func TestDigitsAsTheyAreTyped(t *testing.T) {
	for name, typed := range map[string]string{
		"plain":               "012345",
		"spaces around":       " 012345\r\n",
		"in two groups":       "012 345",
		"tab":                 "012\t345",
		"hyphen":              "012-345",
		"en dash":             "012\u2013345",
		"minus sign":          "012\u2212345",
		"no-break space":      "012\u00a0345",
		"ideographic space":   "012\u3000345",
		"full-width":          "\uff10\uff11\uff12\uff13\uff14\uff15",
		"Arabic-Indic":        "\u0660\u0661\u0662\u0663\u0664\u0665",
		"Persian":             "\u06f0\u06f1\u06f2\u06f3\u06f4\u06f5",
		"Devanagari":          "\u0966\u0967\u0968\u0969\u096a\u096b",
		"mathematical, mixed": "\U0001d7ce\U0001d7d9\U0001d7e4\U0001d7ef\U0001d7fa5",
		"zero-width space":    "012\u200b345",
		"direction marks":     "\u200e012345\u202c",
		"byte order mark":     "\ufeff012345",
	} {
		got, ok := code.Digits(typed, 6)
		assert.True(t, ok, name)
		assert.Equal(t, "012345", got, name)
	}
}

func TestDigitsThatAreNone(t *testing.T) {
	for name, typed := range map[string]string{
		"nothing":            "",
		"only spaces":        "      ",
		"too short":          "01234",
		"too long":           "0123456",
		"a letter":           "01234O",
		"a sign":             "+12345",
		"a point":            "123.45",
		"hexadecimal":        "0x1234",
		"superscript":        "01234\u2075",
		"circled":            "01234\u2464",
		"Roman numeral":      "01234\u2164",
		"Chinese numeral":    "01234\u4e94",
		"NUL":                "012345\x00",
		"no UTF-8":           "012345\xff",
		"spaces without end": "012345" + strings.Repeat(" ", 1000),
	} {
		got, ok := code.Digits(typed, 6)
		assert.False(t, ok, name)
		assert.Empty(t, got, name)
	}
	for _, n := range []int{0, -1} {
		_, ok := code.Digits("", n)
		assert.False(t, ok, "a code of %d digits", n)
	}
}

// Digits counts from the start of a range of Unicode's table: were one to
// start elsewhere than at a zero, or leave something out, codes would be
// misread.
func TestUnicodeHasItsDigitsInTens(t *testing.T) {
	var seen int
	each := func(lo, hi, stride rune) {
		require.Equal(t, rune(1), stride, "%U", lo)
		require.Equal(t, rune(0), (hi-lo+1)%10, "%U", lo)
		for r := lo; r <= hi; r++ {
			got, ok := code.Digits(string(r), 1)
			require.True(t, ok, "%U", r)
			seen++
			// Where Unicode says itself which ASCII digit it is, we agree.
			if as := norm.NFKC.String(string(r)); len(as) == 1 {
				require.Equal(t, as, got, "%U", r)
			}
		}
	}
	for _, r := range unicode.Nd.R16 {
		each(rune(r.Lo), rune(r.Hi), rune(r.Stride))
	}
	for _, r := range unicode.Nd.R32 {
		each(rune(r.Lo), rune(r.Hi), rune(r.Stride))
	}
	require.Greater(t, seen, 600)
}

func TestNewFavoursNoCode(t *testing.T) {
	// What is drawn beyond the last million is drawn again: 20 bits reach to
	// 1048575, and f423f is 999999.
	source := bytes.NewReader([]byte{0xff, 0xff, 0xff, 0x0f, 0x42, 0x40, 0x0f, 0x42, 0x3f})
	got, err := code.New(source)
	require.NoError(t, err)
	assert.Equal(t, "999999", got)

	got, err = code.New(bytes.NewReader(make([]byte, 3)))
	require.NoError(t, err)
	assert.Equal(t, "000000", got, "zeros in front are kept")

	// Each digit in each place, about as often as any other: 20000 draws have
	// 2000 of each, with a deviation of 42.
	var seen [code.Length][10]int
	for range 20000 {
		c, err := code.New(rand.Reader)
		require.NoError(t, err)
		require.Len(t, c, code.Length)
		for i := range c {
			seen[i][c[i]-'0']++
		}
	}
	for place, digits := range seen {
		for d, n := range digits {
			assert.InDelta(t, 2000, n, 300, "digit %d in place %d", d, place)
		}
	}
}

var errDry = errors.New("dry")

func TestNothingIsDrawnFromADrySource(t *testing.T) {
	_, err := code.New(iotest.ErrReader(errDry))
	require.ErrorIs(t, err, errDry)
	list, err := code.NewBackup(io.MultiReader(bytes.NewReader(make([]byte, 100)), iotest.ErrReader(errDry)))
	require.ErrorIs(t, err, errDry)
	require.Nil(t, list, "some of the codes are none")
}

func TestBackupCodes(t *testing.T) {
	list, err := code.NewBackup(rand.Reader)
	require.NoError(t, err)
	require.Len(t, list, 10)
	seen := map[string]bool{}
	for _, shown := range list {
		require.Regexp(t, `^([2-9A-HJ-NP-Z]{4}-){3}[2-9A-HJ-NP-Z]{4}$`, shown)
		plain := strings.ReplaceAll(shown, "-", "")
		seen[plain] = true
		for name, typed := range map[string]string{
			"as shown":      shown,
			"plain":         plain,
			"small letters": strings.ToLower(shown),
			"spaces":        " " + strings.ReplaceAll(shown, "-", " ") + "\n",
			"dashes":        strings.ReplaceAll(shown, "-", "\u2014"),
			"full-width":    wide(shown),
			"full, small":   wide(strings.ToLower(shown)),
		} {
			got, ok := code.Backup(typed)
			assert.True(t, ok, name)
			assert.Equal(t, plain, got, name)
		}
	}
	assert.Len(t, seen, 10, "no code twice")
}

func wide(s string) string {
	return strings.Map(func(r rune) rune { return r + 0xfee0 }, s)
}

func TestBackupCodesUseTheWholeAlphabet(t *testing.T) {
	every := make([]byte, 0, 256)
	for b := range 256 {
		every = append(every, byte(b))
	}
	list, err := code.NewBackup(bytes.NewReader(every))
	require.NoError(t, err)
	seen := map[rune]int{}
	for _, r := range strings.ReplaceAll(strings.Join(list, ""), "-", "") {
		seen[r]++
	}
	assert.Len(t, seen, 32)
	for r, n := range seen {
		assert.Equal(t, 5, n, "%c", r) // 160 characters
	}
}

func TestBackupCodesThatAreNone(t *testing.T) {
	for name, typed := range map[string]string{
		"nothing":            "",
		"too short":          "K7QM-2XWD-9HTA-VE4",
		"too long":           "K7QM-2XWD-9HTA-VE4RR",
		"a zero":             "K7QM-2XWD-9HTA-VE40",
		"a one":              "K7QM-2XWD-9HTA-VE41",
		"an I":               "K7QM-2XWD-9HTA-VE4i",
		"an O":               "K7QM-2XWD-9HTA-VE4o",
		"long s":             "K7QM-2XWD-9HTA-VE4\u017f",
		"Cyrillic":           "K7QM-2XWD-9HTA-VE4\u0410",
		"punctuation":        "K7QM.2XWD.9HTA.VE4R",
		"NUL":                "K7QM-2XWD-9HTA-VE4R\x00",
		"no UTF-8":           "K7QM-2XWD-9HTA-VE4\xff",
		"dashes without end": "K7QM-2XWD-9HTA-VE4R" + strings.Repeat("-", 1000),
	} {
		got, ok := code.Backup(typed)
		assert.False(t, ok, name)
		assert.Empty(t, got, name)
	}
}

func TestMACInputTellsFieldsApart(t *testing.T) {
	base := code.Sent{Application: "app", User: "ada", Purpose: "sudo", ID: "cod_1"}
	inputs := map[string]string{"base": string(base.MACInput("123456"))}
	for name, in := range map[string][]byte{
		"another application": code.Sent{Application: "app2", User: "ada", Purpose: "sudo", ID: "cod_1"}.MACInput("123456"),
		"another user":        code.Sent{Application: "app", User: "bob", Purpose: "sudo", ID: "cod_1"}.MACInput("123456"),
		"another purpose":     code.Sent{Application: "app", User: "ada", Purpose: "verify", ID: "cod_1"}.MACInput("123456"),
		"another id":          code.Sent{Application: "app", User: "ada", Purpose: "sudo", ID: "cod_2"}.MACInput("123456"),
		"another code":        base.MACInput("123457"),
		"shifted to the left": code.Sent{Application: "appa", User: "da", Purpose: "sudo", ID: "cod_1"}.MACInput("123456"),
		"shifted past an end": code.Sent{Application: "app", User: "ada", Purpose: "sudo", ID: "cod_11"}.MACInput("23456"),
		"with NUL between":    code.Sent{Application: "app\x00ada", Purpose: "sudo", ID: "cod_1"}.MACInput("123456"),
		"length as text":      code.Sent{Application: "app\x00\x00\x00\x03ada", Purpose: "sudo", ID: "cod_1"}.MACInput("123456"),
	} {
		for other, seen := range inputs {
			assert.NotEqual(t, seen, string(in), "%s and %s", name, other)
		}
		inputs[name] = string(in)
	}

	keys, err := seal.Generate()
	require.NoError(t, err)
	a, err := keys.Fingerprint("code", base.MACInput("123456"))
	require.NoError(t, err)
	b, err := keys.Fingerprint("code", base.MACInput("123456"))
	require.NoError(t, err)
	assert.Equal(t, a, b)
}

func FuzzDigits(f *testing.F) {
	for _, s := range []string{"012345", "\uff10\uff11\uff12 \uff13\uff14\uff15", "01234\u2075", "\x00", "\xff", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		got, ok := code.Digits(typed, 6)
		if !ok {
			if got != "" {
				t.Fatalf("%q is no code, and is %q", typed, got)
			}
			return
		}
		if len(got) != 6 || strings.Trim(got, "0123456789") != "" {
			t.Fatalf("%q became %q", typed, got)
		}
		if again, ok := code.Digits(got, 6); !ok || again != got {
			t.Fatalf("%q became %q, then %q", typed, got, again)
		}
	})
}

func FuzzBackup(f *testing.F) {
	for _, s := range []string{"K7QM-2XWD-9HTA-VE4R", "k7qm2xwd9htave4r", "K7QM-2XWD-9HTA-VE40", "\uff2b", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		got, ok := code.Backup(typed)
		if !ok {
			if got != "" {
				t.Fatalf("%q is no code, and is %q", typed, got)
			}
			return
		}
		if len(got) != 16 || strings.ContainsAny(got, "01IO") {
			t.Fatalf("%q became %q", typed, got)
		}
		if again, ok := code.Backup(got); !ok || again != got {
			t.Fatalf("%q became %q, then %q", typed, got, again)
		}
	})
}
