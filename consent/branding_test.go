package consent

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// ratio is the contrast of two colours, whichever is the lighter.
func ratio(t require.TestingT, a, b string) float64 {
	x, ok := luminance(a)
	require.True(t, ok, a)
	y, ok := luminance(b)
	require.True(t, ok, b)
	return contrast(max(x, y), min(x, y))
}

func TestTextOnAnyColourCanBeRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := Branding{Colour: fmt.Sprintf("#%06x", rapid.IntRange(0, 0xffffff).Draw(t, "colour"))}
		require.Equal(t, b.Colour, b.Ground())
		require.Contains(t, []string{"#000000", "#ffffff"}, b.Ink())
		require.GreaterOrEqual(t, ratio(t, b.Ink(), b.Ground()), 4.5)
	})
}

func TestInk(t *testing.T) {
	for colour, want := range map[string]string{
		"#ffffff": "#000000", "#000000": "#ffffff", "#FFDD00": "#000000", "#0b5cad": "#ffffff", "#767676": "#000000", "": "#ffffff",
	} {
		assert.Equal(t, want, Branding{Colour: colour}.Ink(), colour)
	}
	assert.InDelta(t, 21, ratio(t, "#000000", "#ffffff"), 0.001)
	assert.InDelta(t, 4.54, ratio(t, "#767676", "#ffffff"), 0.01, "a pair that WCAG's own tools give")
}

func TestAColourThatIsNoneTakesTheDefault(t *testing.T) {
	for _, colour := range []string{"", "red", "#fff", "#12345", "#1234567", "#+12345", "#gggggg", "0b5cad0", "#0x1234", "#12 345"} {
		assert.False(t, ColourForm(colour), colour)
		assert.Equal(t, DefaultColour, Branding{Colour: colour}.Ground(), colour)
	}
	assert.True(t, ColourForm("#A0b1C2"))
}
