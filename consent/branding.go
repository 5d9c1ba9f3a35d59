package consent

import (
	"math"
	"strconv"
)

// Branding is how an application's mails and pages look. Any of it may be
// empty.
type Branding struct {
	Colour  string `json:"colour,omitempty"`   // #rrggbb, of buttons and the head line
	LogoURL string `json:"logo_url,omitempty"` // https
	ReplyTo string `json:"reply_to,omitempty"` // address that answers to a mail go to
}

// DefaultColour is that of an application which has chosen none.
const DefaultColour = "#0b5cad"

// Ground returns the colour of buttons and the head line: the application's
// own, or the default where it has none that can be read.
func (b Branding) Ground() string {
	if _, ok := luminance(b.Colour); ok {
		return b.Colour
	}
	return DefaultColour
}

// Ink returns the colour of text on Ground: black or white, whichever stands
// out more. That is always a contrast of 4.5 to 1 or better (WCAG 2.2, 1.4.3).
func (b Branding) Ink() string {
	ground, _ := luminance(b.Ground())
	if contrast(ground, 0) >= contrast(1, ground) {
		return "#000000"
	}
	return "#ffffff"
}

// ColourForm reports whether s is a colour as #rrggbb.
func ColourForm(s string) bool {
	_, ok := luminance(s)
	return ok
}

// contrast is that of a light and a dark luminance, from 1 to 21 (WCAG 2.2,
// "contrast ratio").
func contrast(light, dark float64) float64 { return (light + 0.05) / (dark + 0.05) }

// luminance is the relative luminance of #rrggbb, from 0 to 1 (WCAG 2.2,
// "relative luminance").
func luminance(colour string) (float64, bool) {
	if len(colour) != 7 || colour[0] != '#' {
		return 0, false
	}
	rgb, err := strconv.ParseUint(colour[1:], 16, 32)
	if err != nil {
		return 0, false
	}
	var l float64
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		c := float64(rgb>>(16-8*i)&0xff) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		l += weight * c
	}
	return l, true
}
