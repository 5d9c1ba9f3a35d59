package reauth_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
)

func level(t require.TestingT, name string) reauth.Requirement {
	r, err := reauth.ParseLevel(name)
	require.NoError(t, err)
	return r
}

func custom(t require.TestingT, f reauth.Factors, minutes int) reauth.Requirement {
	r, err := reauth.CustomLevel(f, minutes)
	require.NoError(t, err)
	return r
}

func TestParseLevel(t *testing.T) {
	for _, c := range []struct {
		name             string
		factors          reauth.Factors
		within           time.Duration
		singleUse, bound bool
	}{
		{"lax", reauth.SecondFactor, 24 * time.Hour, false, false},
		{"moderate", reauth.SecondFactor, time.Hour, false, false},
		{"strict", reauth.SecondFactor, 10 * time.Minute, false, false},
		{"strict_mfa", reauth.MultiFactor, 10 * time.Minute, false, false},
		{"low", reauth.NoFactors, reauth.AnyAge, false, false},
		{"medium", reauth.FirstFactor, 15 * time.Minute, false, false},
		{"high", reauth.SecondFactor, 5 * time.Minute, false, false},
		{"critical", reauth.SecondFactor, reauth.AnyAge, true, false},
		{"session", reauth.FirstFactor, reauth.AnyAge, false, false},
		{"sca", reauth.NoFactors, 5 * time.Minute, true, true},
	} {
		r := level(t, c.name)
		assert.Equal(t, c.name, r.Level)
		assert.Equal(t, c.factors, r.Factors, c.name)
		assert.Equal(t, c.within, r.Within, c.name)
		assert.Equal(t, c.singleUse, r.SingleUse(), c.name)
		assert.Equal(t, c.bound, r.Bound(), c.name)
	}
	assert.Len(t, reauth.LevelNames(), 10)
	for _, name := range []string{"", "Strict", "strict ", "very_strict", "first_factor", "multi_factor", "second_factor:10"} {
		r, err := reauth.ParseLevel(name)
		assert.Equal(t, reauth.CodeLevelInvalid, consent.CodeOf(err), name)
		assert.Zero(t, r, name)
	}
}

func TestCustomLevel(t *testing.T) {
	for _, f := range []reauth.Factors{reauth.FirstFactor, reauth.SecondFactor, reauth.MultiFactor} {
		for _, n := range []int{1, 10, 99998} {
			assert.Equal(t, reauth.Requirement{Factors: f, Within: time.Duration(n) * time.Minute}, custom(t, f, n))
		}
		for _, n := range []int{-1, 0, 99999, 1 << 40} {
			r, err := reauth.CustomLevel(f, n)
			assert.Equal(t, reauth.CodeLevelInvalid, consent.CodeOf(err))
			assert.Zero(t, r)
		}
	}
	for _, f := range []reauth.Factors{"", reauth.NoFactors, "strict", "firstFactor"} {
		_, err := reauth.CustomLevel(f, 10)
		assert.Equal(t, reauth.CodeLevelInvalid, consent.CodeOf(err), f)
	}
}

// requirement draws any that can be had: a named or custom level, or what
// Stricter makes of some.
func requirement() *rapid.Generator[reauth.Requirement] {
	one := rapid.Custom(func(t *rapid.T) reauth.Requirement {
		if rapid.Bool().Draw(t, "named") {
			return level(t, rapid.SampledFrom(reauth.LevelNames()).Draw(t, "name"))
		}
		f := rapid.SampledFrom([]reauth.Factors{reauth.FirstFactor, reauth.SecondFactor, reauth.MultiFactor}).Draw(t, "factors")
		return custom(t, f, rapid.OneOf(rapid.IntRange(1, 20), rapid.IntRange(1, 99998)).Draw(t, "minutes"))
	})
	return rapid.Custom(func(t *rapid.T) reauth.Requirement {
		r := one.Draw(t, "requirement")
		for range rapid.IntRange(0, 2).Draw(t, "more") {
			r = reauth.Stricter(r, one.Draw(t, "and"))
		}
		return r
	})
}

func unnamed(r reauth.Requirement) reauth.Requirement {
	r.Level = ""
	return r
}

func TestStricter(t *testing.T) {
	for _, c := range []struct{ a, b, want string }{
		{"strict", "strict", "strict"},
		{"strict", "lax", "strict"},
		{"strict", "low", "strict"},
		{"low", "low", "low"},
		{"strict", "strict_mfa", "strict_mfa"},
		{"high", "moderate", "high"},
		{"session", "medium", "medium"},
		{"high", "strict_mfa", "multi_factor:5"},
		{"medium", "high", "multi_factor:5"},
		{"session", "strict", "multi_factor:10"},
		{"low", "sca", "sca"},
		{"critical", "lax", "second_factor:1440+fresh"},
		{"critical", "session", "multi_factor:any+fresh"},
		{"sca", "strict", "second_factor:5+sca"},
		{"sca", "critical", "second_factor:5+fresh+sca"},
		{"first_factor:7", "second_factor:3", "multi_factor:3"},
		{"second_factor:10", "strict", "second_factor:10"}, // the same: the first of the two stays
	} {
		for _, swapped := range []bool{false, true} {
			a, err := reauth.ParseRequirement(c.a)
			require.NoError(t, err)
			b, err := reauth.ParseRequirement(c.b)
			require.NoError(t, err)
			if swapped {
				a, b = b, a
			}
			want, err := reauth.ParseRequirement(c.want)
			require.NoError(t, err)
			got := reauth.Stricter(a, b)
			assert.Equal(t, unnamed(want), unnamed(got), "%s and %s", c.a, c.b)
			if !swapped {
				assert.Equal(t, c.want, got.String())
			}
		}
	}
	assert.Zero(t, reauth.Stricter(reauth.Requirement{}, level(t, "low")), "what denies everything stays so")
	assert.Zero(t, reauth.Stricter(level(t, "low"), reauth.Requirement{Factors: reauth.FirstFactor, Within: -1}))
}

// TestStricterIsNeverWeaker: whatever meets the stricter of two meets both.
func TestStricterIsNeverWeaker(t *testing.T) {
	met := 0
	rapid.Check(t, func(t *rapid.T) {
		a, b := requirement().Draw(t, "a"), requirement().Draw(t, "b")
		ages, enrolment := ages().Draw(t, "ages"), enrolments().Draw(t, "enrolment")
		both := reauth.Stricter(a, b)
		if reauth.Has(ages, enrolment, both) {
			met++
			assert.True(t, reauth.Has(ages, enrolment, a), "what meets %s does not meet %s", both, a)
			assert.True(t, reauth.Has(ages, enrolment, b), "what meets %s does not meet %s", both, b)
		}
		assert.Equal(t, unnamed(both), unnamed(reauth.Stricter(b, a)), "the order does not matter")
		assert.Equal(t, unnamed(both), unnamed(reauth.Stricter(both, a)), "asking twice adds nothing")
		assert.Equal(t, both.SingleUse(), a.SingleUse() || b.SingleUse())
		assert.Equal(t, both.Bound(), a.Bound() || b.Bound())
	})
	assert.NotZero(t, met, "the property was looked at")
}

func TestRequirementIsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := requirement().Draw(t, "requirement")
		back, err := reauth.ParseRequirement(r.String())
		require.NoError(t, err)
		assert.Equal(t, r, back)
	})
	assert.Empty(t, reauth.Requirement{}.String())
	for _, s := range []string{
		"", ":", "strict:10", "none:any", "none:5", "none:5+fresh", "second_factor:", "second_factor:0", "second_factor:-1", "second_factor:+1",
		"second_factor:01", "second_factor:99999", "second_factor:any+sca+fresh", "second_factor:10+", "second_factor:10+fresh+fresh", "second_factor:10 ",
	} {
		r, err := reauth.ParseRequirement(s)
		assert.Equal(t, reauth.CodeLevelInvalid, consent.CodeOf(err), s)
		assert.Zero(t, r, s)
	}
}

func FuzzParseRequirement(f *testing.F) {
	for _, s := range []string{"strict", "second_factor:10", "multi_factor:any+fresh", "none:5+sca", "none:any+sca+fresh"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := reauth.ParseRequirement(s)
		if err != nil {
			assert.Zero(t, r)
			return
		}
		assert.Equal(t, s, r.String(), "one text for each requirement")
	})
}
