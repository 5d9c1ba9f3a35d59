package totp_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base32"
	"encoding/xml"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/reauth/totp"
)

// RFC 6238 appendix B: the secret is "12345678901234567890". It has eight
// digits for each time, of which the last six are the code of six.
var vectors = map[int64]string{
	59:          "94287082",
	1111111109:  "07081804",
	1111111111:  "14050471",
	1234567890:  "89005924",
	2000000000:  "69279037",
	20000000000: "65353130",
}

var rfcSecret = base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString([]byte("12345678901234567890"))

func TestVectorsOfRFC6238(t *testing.T) {
	for at, eight := range vectors {
		step, ok := totp.Verify(rfcSecret, eight[2:], time.Unix(at, 0), 0)
		assert.True(t, ok, "%d", at)
		assert.Equal(t, at/30, step, "%d", at)
	}
}

const (
	at   = 1111111109 // step 37037036, its last second but one
	step = 37037036
	good = "081804"
)

func TestAClockMayBeOneStepOff(t *testing.T) {
	begins := time.Unix(step*30, 0)
	for name, c := range map[string]struct {
		now  time.Time
		want bool
	}{
		"to the second":            {time.Unix(at, 0), true},
		"30 s behind":              {time.Unix(at-30, 0), true},
		"30 s ahead":               {time.Unix(at+30, 0), true},
		"first moment of the last": {begins.Add(-30 * time.Second), true},
		"just before that":         {begins.Add(-30*time.Second - 1), false},
		"last moment of the next":  {begins.Add(60*time.Second - 1), true},
		"just after that":          {begins.Add(60 * time.Second), false},
		"5 minutes behind":         {time.Unix(at-300, 0), false},
		"5 minutes ahead":          {time.Unix(at+300, 0), false},
		"before there was a clock": {time.Unix(-at, 0), false},
		"no time at all":           {time.Time{}, false},
	} {
		got, ok := totp.Verify(rfcSecret, good, c.now, 0)
		assert.Equal(t, c.want, ok, name)
		if c.want {
			assert.EqualValues(t, step, got, name)
		} else {
			assert.Zero(t, got, name)
		}
	}
}

func TestAStepIsGoodOnce(t *testing.T) {
	now := time.Unix(at, 0)
	for last, want := range map[int64]bool{0: true, step - 1: true, step: false, step + 1: false, 1 << 40: false} {
		_, ok := totp.Verify(rfcSecret, good, now, last)
		assert.Equal(t, want, ok, "after step %d", last)
	}
	// The code of the step before is as dead as that of the last one.
	_, ok := totp.Verify(rfcSecret, good, time.Unix(at+30, 0), step+1)
	assert.False(t, ok)
}

func TestACodeIsReadAsItIsTyped(t *testing.T) {
	for typed, want := range map[string]bool{
		"081804": true, " 081 804 ": true, "081-804": true, "\uff10\uff18\uff11\uff18\uff10\uff14": true, "\u0660\u0668\u0661\u0668\u0660\u0664": true,
		"": false, "81804": false, "07081804": false, "081805": false, "O81804": false, "0818040": false,
	} {
		_, ok := totp.Verify(rfcSecret, typed, time.Unix(at, 0), 0)
		assert.Equal(t, want, ok, "%q", typed)
	}
}

func TestASecretThatIsNoneHasNoCodes(t *testing.T) {
	// Of an empty secret anybody could work out the codes, and of one with 80
	// bits too many could.
	for _, secret := range []string{"", "JBSWY3DPEHPK3PXP", strings.ToLower(rfcSecret), " " + rfcSecret} {
		code, err := hotp.GenerateCode(secret, step)
		require.NoError(t, err)
		_, ok := totp.Verify(secret, code, time.Unix(at, 0), 0)
		assert.False(t, ok, "%q", secret)
	}
	for _, secret := range []string{"not base32!", rfcSecret + "1"} {
		_, ok := totp.Verify(secret, good, time.Unix(at, 0), 0)
		assert.False(t, ok, "%q", secret)
	}
}

func TestEverySecretIsItsOwn(t *testing.T) {
	a, err := totp.New(rand.Reader, "Ledger", "ada@example.org")
	require.NoError(t, err)
	b, err := totp.New(rand.Reader, "Ledger", "ada@example.org")
	require.NoError(t, err)
	assert.NotEqual(t, a.Secret, b.Secret)
	raw, err := base32.StdEncoding.DecodeString(a.Secret)
	require.NoError(t, err)
	assert.Len(t, raw, 20)

	errDry := errors.New("dry")
	_, err = totp.New(io.MultiReader(bytes.NewReader(make([]byte, 19)), iotest.ErrReader(errDry)), "Ledger", "ada")
	require.ErrorIs(t, err, errDry)
}

func TestTheSecretIsNotPrinted(t *testing.T) {
	k := mustKey(t, "Ledger", "ada")
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		assert.Equal(t, "totp key [redacted]", fmt.Sprintf(format, k))
	}
}

func mustKey(t *testing.T, issuer, account string) totp.Key {
	t.Helper()
	k, err := totp.New(rand.Reader, issuer, account)
	require.NoError(t, err)
	return k
}

func TestTheURISaysWhoseItIs(t *testing.T) {
	for name, c := range map[string]struct{ issuer, account, wantIssuer, wantAccount string }{
		"plain":         {"Ledger", "ada@example.org", "Ledger", "ada@example.org"},
		"spaces":        {"Big  Ledger ", " Ada L.", "Big Ledger", "Ada L."},
		"URI signs":     {"A&B=C?D#E/F+G%H", "a&secret=AAAA#x?y/z+1%20", "A&B=C?D#E/F+G%H", "a&secret=AAAA#x?y/z+1%20"},
		"colons":        {"Bank: Live", "user:1", "Bank Live", "user 1"},
		"other scripts": {"Bücher €", "アダ@例.jp", "Bücher €", "アダ@例.jp"},
		"controls":      {"Led\nger\x00", "a\u202eda", "Led ger", "ada"},
		"no UTF-8":      {"Led\xffger", "ada", "Ledger", "ada"},
	} {
		t.Run(name, func(t *testing.T) {
			k := mustKey(t, c.issuer, c.account)
			u, err := url.Parse(k.URI)
			require.NoError(t, err)
			assert.Equal(t, "otpauth", u.Scheme)
			assert.Equal(t, "totp", u.Host)
			assert.Equal(t, "/"+c.wantIssuer+":"+c.wantAccount, u.Path)
			assert.Empty(t, u.Fragment)
			assert.Equal(t, url.Values{"secret": {k.Secret}, "issuer": {c.wantIssuer}, "algorithm": {"SHA1"}, "digits": {"6"}, "period": {"30"}}, u.Query())
			assert.NotContains(t, k.URI, "+", "which some apps show as it is")

			as, err := otp.NewKeyFromURL(k.URI)
			require.NoError(t, err)
			assert.Equal(t, []string{c.wantIssuer, c.wantAccount, k.Secret}, []string{as.Issuer(), as.AccountName(), as.Secret()})
		})
	}
}

func TestALabelIsNeitherEmptyNorLong(t *testing.T) {
	for _, empty := range []string{"", "  ", ":", "\x00", "\xff", "\u200b"} {
		_, err := totp.New(rand.Reader, empty, "ada")
		require.ErrorIs(t, err, totp.ErrLabel, "%q", empty)
		_, err = totp.New(rand.Reader, "Ledger", empty)
		require.ErrorIs(t, err, totp.ErrLabel, "%q", empty)
	}
	for name, long := range map[string]string{"ASCII": strings.Repeat("a", 5000), "emoji": strings.Repeat("🏦", 5000), "signs": strings.Repeat("&", 5000)} {
		k := mustKey(t, long, long)
		assert.Less(t, len(k.URI), 600, name)
		assert.Equal(t, k.URI, scan(t, k), name)
		as, err := otp.NewKeyFromURL(k.URI)
		require.NoError(t, err)
		assert.True(t, strings.HasSuffix(as.Issuer(), "…"), name)
	}
}

func TestTheQRCodeIsTheURI(t *testing.T) {
	for _, issuer := range []string{"Ledger", "Bücher & Söhne", strings.Repeat("Bank ", 20)} {
		k := mustKey(t, issuer, "ada@example.org")
		assert.Equal(t, k.URI, scan(t, k))
	}
}

// scan reads the PNG.
func scan(t *testing.T, k totp.Key) string {
	t.Helper()
	data, err := k.PNG()
	require.NoError(t, err)
	img, err := png.Decode(bytes.NewReader(data))
	require.NoError(t, err)
	return decode(t, img)
}

func decode(t *testing.T, img image.Image) string {
	t.Helper()
	m, err := gozxing.NewBinaryBitmapFromImage(img)
	require.NoError(t, err)
	// It is no photograph. To look for the code in one, this reader guesses its size
	// by its corners, and is wrong for one secret in some hundred.
	r, err := qrcode.NewQRCodeReader().Decode(m, map[gozxing.DecodeHintType]any{gozxing.DecodeHintType_PURE_BARCODE: true})
	require.NoError(t, err)
	return r.GetText()
}

func TestTheSVGIsTheSameCode(t *testing.T) {
	k := mustKey(t, "Ledger", "ada@example.org")
	svg, err := k.SVG(`Scan <this> & "that"`)
	require.NoError(t, err)

	var doc struct {
		XMLName xml.Name `xml:"http://www.w3.org/2000/svg svg"`
		ViewBox string   `xml:"viewBox,attr"`
		Role    string   `xml:"role,attr"`
		Title   string   `xml:"title"`
		Paths   []struct {
			Fill string `xml:"fill,attr"`
			D    string `xml:"d,attr"`
		} `xml:"path"`
		Rest []struct {
			XMLName xml.Name `xml:""`
		} `xml:",any"`
	}
	require.NoError(t, xml.Unmarshal(svg, &doc))
	assert.Equal(t, "img", doc.Role)
	assert.Equal(t, `Scan <this> & "that"`, doc.Title)
	assert.Empty(t, doc.Rest, "nothing but a title and paths")
	require.Len(t, doc.Paths, 2)
	assert.Equal(t, "#fff", doc.Paths[0].Fill, "white below, also on a dark page")
	assert.NotContains(t, string(svg), "secret=")

	// Draw the dark path and read it.
	var side int
	_, err = fmt.Sscanf(doc.ViewBox, "0 0 %d", &side)
	require.NoError(t, err)
	const scale = 4
	img := image.NewGray(image.Rect(0, 0, side*scale, side*scale))
	for i := range img.Pix {
		img.Pix[i] = 0xff
	}
	for run := range strings.SplitSeq(strings.TrimPrefix(doc.Paths[1].D, "M"), "M") {
		var x, y, w, back int
		_, err := fmt.Sscanf(run, "%d %dh%dv1h-%dz", &x, &y, &w, &back)
		require.NoError(t, err, run)
		require.Equal(t, w, back)
		for py := y * scale; py < (y+1)*scale; py++ {
			for px := x * scale; px < (x+w)*scale; px++ {
				img.Pix[img.PixOffset(px, py)] = 0
			}
		}
	}
	assert.Equal(t, k.URI, decode(t, img))
}

func TestATitleCannotBreakTheSVG(t *testing.T) {
	k := mustKey(t, "Ledger", "ada")
	for _, title := range []string{"", "</title><script>alert(1)</script>", "\x00\x0b\ufffe", "\xff", "]]>", "日本語"} {
		svg, err := k.SVG(title)
		require.NoError(t, err)
		assert.NotContains(t, string(svg), "<script")
		var doc struct{}
		require.NoError(t, xml.Unmarshal(svg, &doc), "%q", title)
	}
}

func FuzzVerify(f *testing.F) {
	f.Add(rfcSecret, good, int64(at), int64(0))
	f.Add("", "000000", int64(0), int64(0))
	f.Add("====", "\uff10", int64(-1), int64(-1))
	f.Fuzz(func(t *testing.T, secret, typed string, now, last int64) {
		step, ok := totp.Verify(secret, typed, time.Unix(now, 0), last)
		if ok != (step > 0) || ok && (step <= last || step < now/30-1 || step > now/30+1) {
			t.Fatalf("step %d, %v", step, ok)
		}
	})
}

func FuzzNew(f *testing.F) {
	f.Add("Ledger", "ada@example.org")
	f.Add("A&B:C", "%3A?#/")
	f.Add("\xff", "\u202e")
	f.Fuzz(func(t *testing.T, issuer, account string) {
		k, err := totp.New(bytes.NewReader(make([]byte, 20)), issuer, account)
		if err != nil {
			if !errors.Is(err, totp.ErrLabel) {
				t.Fatal(err)
			}
			return
		}
		u, err := url.Parse(k.URI)
		if err != nil {
			t.Fatal(err)
		}
		if q := u.Query(); len(q) != 5 || q.Get("secret") != k.Secret || strings.Count(u.Path, ":") != 1 || u.Fragment != "" || len(k.URI) > 600 {
			t.Fatalf("%q", k.URI)
		}
		if !strings.HasPrefix(u.Path, "/"+u.Query().Get("issuer")+":") {
			t.Fatalf("%q has two issuers", k.URI)
		}
	})
}
