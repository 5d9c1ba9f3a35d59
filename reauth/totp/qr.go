package totp

import (
	"bytes"
	"fmt"
	"html"
	"image"
	"image/color"
	"image/png"
	"strings"

	"github.com/boombuler/barcode"
	"github.com/boombuler/barcode/qr"
)

const (
	quiet  = 4 // modules of white on each side (ISO/IEC 18004 6.3.8)
	pixels = 6 // of PNG for each module
)

// PNG draws the QR code of a key's URI in black on white.
func (k Key) PNG() ([]byte, error) {
	m, err := k.matrix()
	if err != nil {
		return nil, err
	}
	n := m.Bounds().Dx()
	side := (n + 2*quiet) * pixels
	img := image.NewPaletted(image.Rect(0, 0, side, side), color.Palette{color.White, color.Black})
	for y := range n * pixels {
		for x := range n * pixels {
			if dark(m, x/pixels, y/pixels) {
				img.SetColorIndex(x+quiet*pixels, y+quiet*pixels, 1)
			}
		}
	}
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		return nil, fmt.Errorf("totp: write PNG: %w", err)
	}
	return out.Bytes(), nil
}

// SVG draws the QR code of a key's URI in black on white, to stand in a page or
// in a file of its own. title is what a screen reader says of it, in the
// reader's language. It holds no script, style or reference.
func (k Key) SVG(title string) ([]byte, error) {
	m, err := k.matrix()
	if err != nil {
		return nil, err
	}
	n := m.Bounds().Dx()
	side := n + 2*quiet
	var out bytes.Buffer
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" shape-rendering="crispEdges">`,
		side, side, side*pixels, side*pixels)
	fmt.Fprintf(&out, `<title>%s</title>`, html.EscapeString(plain(title)))
	fmt.Fprintf(&out, `<path fill="#fff" d="M0 0h%dv%dH0z"/><path d="`, side, side)
	for y := range n {
		for x := 0; x < n; {
			if !dark(m, x, y) {
				x++
				continue
			}
			from := x
			for x < n && dark(m, x, y) {
				x++
			}
			fmt.Fprintf(&out, "M%d %dh%dv1h-%dz", from+quiet, y+quiet, x-from, x-from) // a row's dark modules in one piece
		}
	}
	out.WriteString(`"/></svg>`)
	return out.Bytes(), nil
}

// matrix has a pixel for each module. Level M corrects 15 of a hundred, which
// is enough for a screen.
func (k Key) matrix() (barcode.Barcode, error) {
	m, err := qr.Encode(k.URI, qr.M, qr.Unicode)
	if err != nil {
		return nil, fmt.Errorf("totp: no QR code of %d bytes", len(k.URI)) // the cause may quote the secret
	}
	return m, nil
}

func dark(m barcode.Barcode, x, y int) bool {
	r, _, _, _ := m.At(x, y).RGBA()
	return r == 0
}

// plain drops what XML cannot hold, however it is written.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == '\ufffe' || r == '\uffff' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, ""))
}
