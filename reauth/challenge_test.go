package reauth_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/reconsent/reconsent/reauth"
)

func TestChallengeOnTheWire(t *testing.T) {
	c := reauth.NewChallenge(fva(3, -1), reauth.Enrolled, level(t, "strict"))
	c.Factors = []reauth.Usable{{Strategy: reauth.TOTP, Role: reauth.Second}, {Strategy: reauth.PhoneCode, Role: reauth.Second, Hint: "+44 ··· 12"}}
	c.Start = "https://reconsent.example/v1/reverifications"
	body, err := json.Marshal(c)
	require.NoError(t, err)
	const sentence = "Prove again who you are, with a second factor, or a first one where no second is enrolled, within the last 10 minutes."
	assert.JSONEq(t, `{
		"type": "/docs#reverification_required",
		"title": "Prove again who you are",
		"status": 403,
		"detail": "`+sentence+`",
		"code": "reverification_required",
		"message": "`+sentence+`",
		"error_code": "reverification_required",
		"clerk_error": {"type": "forbidden", "reason": "reverification-error", "metadata": {"reverification": "strict"}},
		"required": {"level": "strict", "missing": ["second_factor"], "second_enrolled": true},
		"factors": [{"strategy": "totp", "role": "second"}, {"strategy": "phone_code", "role": "second", "hint": "+44 ··· 12"}],
		"start": "https://reconsent.example/v1/reverifications"
	}`, string(body))
	assert.Equal(t, http.StatusForbidden, c.Status)
}

func TestClerkHint(t *testing.T) {
	for _, c := range []struct{ level, metadata string }{
		{"strict_mfa", `{"reverification": "strict_mfa"}`},
		{"strict", `{"reverification": "strict"}`},
		{"moderate", `{"reverification": "moderate"}`},
		{"lax", `{"reverification": "lax"}`},
		{"low", `{}`},
		{"medium", `{"reverification": {"level": "first_factor", "afterMinutes": 15}}`},
		{"high", `{"reverification": {"level": "second_factor", "afterMinutes": 5}}`},
		{"critical", `{"reverification": {"level": "second_factor", "afterMinutes": 1}}`},
		{"session", `{"reverification": {"level": "first_factor", "afterMinutes": 1440}}`},
		{"sca", `{"reverification": {"level": "multi_factor", "afterMinutes": 5}}`},
		{"second_factor:7", `{"reverification": {"level": "second_factor", "afterMinutes": 7}}`},
		{"multi_factor:any+fresh", `{"reverification": {"level": "multi_factor", "afterMinutes": 1}}`},
		{"second_factor:3+sca", `{"reverification": {"level": "multi_factor", "afterMinutes": 3}}`},
	} {
		r, err := reauth.ParseRequirement(c.level)
		require.NoError(t, err)
		got, err := json.Marshal(reauth.NewChallenge(reauth.Ages{}, reauth.Enrolled, r).ClerkError)
		require.NoError(t, err)
		assert.JSONEq(t, `{"type": "forbidden", "reason": "reverification-error", "metadata": `+c.metadata+`}`, string(got), c.level)
	}
}

func TestRequired(t *testing.T) {
	for _, c := range []struct {
		level     string
		ages      reauth.Ages
		enrolment reauth.Enrolment
		want      string
	}{
		{"strict", fva(3, -1), reauth.NotEnrolled, `{"level": "strict", "missing": [], "second_enrolled": false}`},
		{"strict", fva(10, -1), reauth.NotEnrolled, `{"level": "strict", "missing": ["first_factor"], "second_enrolled": false}`},
		{"strict", reauth.Ages{}, reauth.NotEnrolled, `{"level": "strict", "missing": ["first_factor"], "second_enrolled": false}`},
		{"strict", reauth.Ages{}, reauth.EnrolmentUnknown, `{"level": "strict", "missing": ["second_factor"], "second_enrolled": null}`},
		{"strict_mfa", fva(3, -1), reauth.Enrolled, `{"level": "strict_mfa", "missing": ["second_factor"], "second_enrolled": true}`},
		{"strict_mfa", reauth.Ages{}, reauth.EnrolmentUnknown, `{"level": "strict_mfa", "missing": ["first_factor", "second_factor"], "second_enrolled": null}`},
		{"sca", fva(0, 0), reauth.Enrolled, `{"level": "sca", "missing": ["two_categories"], "second_enrolled": true}`},
		{"second_factor:7", fva(3, 7), reauth.Enrolled, `{"level": "second_factor", "after_minutes": 7, "missing": ["second_factor"], "second_enrolled": true}`},
		{"multi_factor:5+sca", reauth.Ages{}, reauth.Enrolled, `{"level": "multi_factor:5+sca", "missing": ["first_factor", "second_factor", "two_categories"], "second_enrolled": true}`},
	} {
		r, err := reauth.ParseRequirement(c.level)
		require.NoError(t, err)
		got, err := json.Marshal(reauth.NewChallenge(c.ages, c.enrolment, r).Required)
		require.NoError(t, err)
		assert.JSONEq(t, c.want, string(got))
	}
	// Nobody can meet it, and the client is not sent on an errand.
	c := reauth.NewChallenge(reauth.Ages{}, reauth.Enrolled, reauth.Requirement{})
	assert.Nil(t, c.ClerkError.Metadata.Reverification)
	assert.Empty(t, c.Required.Level)
}

func TestWWWAuthenticate(t *testing.T) {
	for level, maxAge := range map[string]string{
		"strict": "600", "strict_mfa": "600", "moderate": "3600", "lax": "86400", "medium": "900", "high": "300", "sca": "300",
		"critical": "0", "session": "", "second_factor:99998": "5999880",
	} {
		r, err := reauth.ParseRequirement(level)
		require.NoError(t, err)
		h := reauth.WWWAuthenticate(r)
		assert.True(t, strings.HasPrefix(h, `Bearer error="insufficient_user_authentication", error_description="Prove again`), h)
		if maxAge == "" {
			assert.NotContains(t, h, "max_age")
		} else {
			assert.True(t, strings.HasSuffix(h, `, max_age="`+maxAge+`"`), h)
		}
	}
}

// TestNothingIsInjected: whatever a level is called, the header keeps its form.
func TestNothingIsInjected(t *testing.T) {
	form := regexp.MustCompile(`^Bearer error="insufficient_user_authentication", error_description="[A-Za-z0-9 ,.:]+"(, max_age="[0-9]+")?$`)
	rapid.Check(t, func(t *rapid.T) {
		r := requirement().Draw(t, "requirement")
		plain := reauth.WWWAuthenticate(r)
		assert.Regexp(t, form, plain)
		if rapid.Bool().Draw(t, "odd") {
			r.Factors = reauth.Factors(rapid.String().Draw(t, "factors"))
			assert.Regexp(t, form, reauth.WWWAuthenticate(r))
			return
		}
		r.Level = rapid.String().Draw(t, "level") + "\"\r\nSet-Cookie: a=b"
		assert.Equal(t, plain, reauth.WWWAuthenticate(r))
	})
}
