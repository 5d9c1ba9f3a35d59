package reauth_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"

	"github.com/reconsent/reconsent/reauth"
)

var now = time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)

func fva(first, second int) reauth.Ages {
	return reauth.AgesOfFVA(&[2]int{first, second}, now, now)
}

func ago(d time.Duration) time.Time { return now.Add(-d) }

func proven(f reauth.Factor, role reauth.Role, ref string, d time.Duration) reauth.Proven {
	return reauth.Proven{Factor: f, Role: role, Ref: ref, At: ago(d)}
}

func enrolments() *rapid.Generator[reauth.Enrolment] {
	return rapid.SampledFrom([]reauth.Enrolment{reauth.EnrolmentUnknown, reauth.NotEnrolled, reauth.Enrolled, reauth.Enrolled + 1})
}

// ages draws what a session may have proven, young mostly, and sometimes odd.
func ages() *rapid.Generator[reauth.Ages] {
	entry := rapid.Custom(func(t *rapid.T) reauth.Proven {
		kinds := []reauth.Proven{
			{Factor: reauth.Password, Role: reauth.First},
			{Factor: reauth.EmailCode, Role: reauth.First},
			{Factor: reauth.PhoneCode, Role: reauth.First},
			{Factor: reauth.PhoneCode, Role: reauth.Second},
			{Factor: reauth.TOTP, Role: reauth.Second},
			{Factor: reauth.BackupCode, Role: reauth.Second},
			{Factor: reauth.Passkey, Role: reauth.First},
			{Factor: reauth.Passkey, Role: reauth.First, UserVerified: true},
			{Factor: reauth.IDP, Role: reauth.First},
		}
		p := rapid.SampledFrom(kinds).Draw(t, "kind")
		p.Ref = rapid.SampledFrom([]string{"", "1", "2"}).Draw(t, "ref")
		minutes := rapid.OneOf(rapid.IntRange(0, 12), rapid.IntRange(0, 3000)).Draw(t, "minutes")
		p.At = ago(time.Duration(minutes)*time.Minute + time.Duration(rapid.IntRange(-1, 1).Draw(t, "seconds"))*time.Second)
		return p
	})
	return rapid.Custom(func(t *rapid.T) reauth.Ages {
		a := reauth.AgesOf(rapid.SliceOfN(entry, 0, 4).Draw(t, "proven"), now)
		if rapid.Bool().Draw(t, "answering") {
			a = a.Answering(ago(time.Duration(rapid.IntRange(0, 900).Draw(t, "challenge"))*time.Second), now)
		}
		return a
	})
}

// TestHasWithoutSecondFactor is Clerk's published table: what its own function
// answered, run (@clerk/shared 3.48.0 and 4.36.0), and the rest by its rule.
func TestHasWithoutSecondFactor(t *testing.T) {
	table(t, reauth.NotEnrolled, map[string]map[[2]int]bool{
		"strict": {
			{9, -1}: true, {10, -1}: false, {10, 0}: true, {0, 10}: false, {-1, 0}: true, {-1, -1}: false,
			{0, 9}: true, {0, 0}: true, {-1, 9}: true, {-1, 10}: false, {0, -1}: true, {99999, 9}: true,
		},
		"strict_mfa": {
			{0, 0}: true, {10, 0}: false, {0, 10}: false, {-1, 0}: false, {0, -1}: true, {-1, -1}: false,
			{9, 9}: true, {9, -1}: true, {10, -1}: false, {-1, 10}: false,
		},
		"moderate": {{59, -1}: true, {60, -1}: false, {60, 59}: true, {0, 60}: false},
		"lax":      {{1439, -1}: true, {1440, -1}: false, {1440, 1439}: true, {0, 1440}: false},
		"medium":   {{14, -1}: true, {15, -1}: false, {14, 99}: true, {15, 0}: false, {-1, 0}: false},
		"high":     {{4, -1}: true, {5, -1}: false, {5, 4}: true, {4, 5}: false},
		"session":  {{0, -1}: true, {99999, -1}: true, {-1, 0}: false, {-1, -1}: false},
		"low":      {{-1, -1}: true, {0, -1}: true, {99999, 99999}: true},
		"critical": {{0, -1}: false, {0, 0}: false, {-1, 0}: false},
		"sca":      {{0, 0}: false, {0, -1}: false},
	})
}

// TestHasWithSecondFactor: where one is enrolled nothing stands in for it.
func TestHasWithSecondFactor(t *testing.T) {
	table(t, reauth.Enrolled, map[string]map[[2]int]bool{
		"strict": {
			{9, -1}: false, {10, -1}: false, {10, 0}: true, {0, 10}: false, {-1, 0}: true, {-1, -1}: false,
			{0, 9}: true, {0, 0}: true, {-1, 9}: true, {-1, 10}: false, {0, -1}: false,
		},
		"strict_mfa": {
			{0, 0}: true, {10, 0}: false, {0, 10}: false, {-1, 0}: false, {0, -1}: false, {-1, -1}: false, {9, 9}: true,
		},
		"moderate": {{0, -1}: false, {60, 59}: true, {0, 60}: false},
		"lax":      {{0, -1}: false, {1440, 1439}: true, {0, 1440}: false},
		"medium":   {{14, -1}: true, {15, -1}: false, {14, 99}: true, {15, 0}: false, {-1, 0}: false},
		"high":     {{4, -1}: false, {5, 4}: true, {4, 5}: false},
		"session":  {{0, -1}: true, {99999, -1}: true, {-1, 0}: false, {-1, -1}: false},
		"low":      {{-1, -1}: true, {0, -1}: true},
		"critical": {{0, -1}: false, {0, 0}: false, {-1, 0}: false},
		"sca":      {{0, 0}: false, {0, -1}: false},
	})
}

func table(t *testing.T, e reauth.Enrolment, rows map[string]map[[2]int]bool) {
	t.Helper()
	assert.Len(t, rows, len(reauth.LevelNames()), "every level has its rows")
	for name, row := range rows {
		for pair, want := range row {
			ages := fva(pair[0], pair[1])
			assert.Equal(t, want, reauth.Has(ages, e, level(t, name)), "%s %v", name, pair)
			assert.Equal(t, want, len(reauth.Missing(ages, e, level(t, name))) == 0, "%s %v", name, pair)
		}
	}
}

func TestHasDeniesWhatIsMissingOrOdd(t *testing.T) {
	odd := map[string]reauth.Ages{
		"zero":             {},
		"no claim":         reauth.AgesOfFVA(nil, now, now),
		"never issued":     reauth.AgesOfFVA(&[2]int{0, 0}, time.Time{}, now),
		"issued in 1970":   reauth.AgesOfFVA(&[2]int{0, 0}, time.Unix(0, 0), now),
		"issued to come":   reauth.AgesOfFVA(&[2]int{0, 0}, now.Add(61*time.Second), now),
		"-2":               fva(-2, 0),
		"second -2":        fva(0, -2),
		"least":            fva(math.MinInt, 0),
		"most":             fva(math.MaxInt, 0),
		"second most":      fva(0, math.MaxInt),
		"nothing proven":   reauth.AgesOf(nil, now),
		"unknown factor":   reauth.AgesOf([]reauth.Proven{good, proven("sms", reauth.First, "", 0)}, now),
		"no role":          reauth.AgesOf([]reauth.Proven{good, proven(reauth.TOTP, "", "", 0)}, now),
		"password second":  reauth.AgesOf([]reauth.Proven{good, proven(reauth.Password, reauth.Second, "", 0)}, now),
		"TOTP first":       reauth.AgesOf([]reauth.Proven{good, proven(reauth.TOTP, reauth.First, "", 0)}, now),
		"e-mail second":    reauth.AgesOf([]reauth.Proven{good, proven(reauth.EmailCode, reauth.Second, "", 0)}, now),
		"no time":          reauth.AgesOf([]reauth.Proven{good, {Factor: reauth.TOTP, Role: reauth.Second}}, now),
		"time to come":     reauth.AgesOf([]reauth.Proven{good, proven(reauth.TOTP, reauth.Second, "", -61*time.Second)}, now),
		"proven in 1970":   reauth.AgesOf([]reauth.Proven{good, {Factor: reauth.TOTP, Role: reauth.Second, At: time.Unix(0, 0)}}, now),
		"odd challenge":    reauth.AgesOf([]reauth.Proven{good}, now).Answering(time.Time{}, now),
		"challenge ahead":  reauth.AgesOf([]reauth.Proven{good}, now).Answering(now.Add(2*time.Minute), now),
		"session from fva": fva(-1, -1),
	}
	for what, ages := range odd {
		for _, e := range []reauth.Enrolment{reauth.EnrolmentUnknown, reauth.NotEnrolled, reauth.Enrolled} {
			for _, name := range reauth.LevelNames() {
				assert.Equal(t, name == "low", reauth.Has(ages, e, level(t, name)), "%s, %s", what, name)
			}
		}
	}
}

var good = proven(reauth.Password, reauth.First, "", 0)

func TestUnknownEnrolmentDenies(t *testing.T) {
	ages := reauth.AgesOf([]reauth.Proven{good, proven(reauth.TOTP, reauth.Second, "", 0)}, now).Answering(now, now)
	for _, name := range reauth.LevelNames() {
		assert.True(t, reauth.Has(ages, reauth.Enrolled, level(t, name)), name)
		for _, e := range []reauth.Enrolment{reauth.EnrolmentUnknown, -1, 3} {
			assert.Equal(t, name == "low", reauth.Has(ages, e, level(t, name)), name)
		}
	}
	var unset reauth.Enrolment
	assert.Equal(t, reauth.EnrolmentUnknown, unset)
	assert.Equal(t, reauth.Enrolled, reauth.EnrolmentOf(true))
	assert.Equal(t, reauth.NotEnrolled, reauth.EnrolmentOf(false))
}

func TestRequirementThatMakesNoSenseDenies(t *testing.T) {
	ages := reauth.AgesOf([]reauth.Proven{good, proven(reauth.TOTP, reauth.Second, "", 0)}, now).Answering(now, now)
	for _, r := range []reauth.Requirement{
		{},
		{Level: "low"},
		{Level: "strict"},
		{Factors: reauth.FirstFactor},
		{Factors: reauth.FirstFactor, Within: -time.Minute},
		{Factors: "both", Within: time.Hour},
		{Factors: reauth.NoFactors},
		{Factors: reauth.NoFactors, Within: time.Hour},
		{Factors: reauth.NoFactors, Within: reauth.AnyAge, Fresh: true},
		{Factors: reauth.NoFactors, SCA: true},
	} {
		assert.False(t, reauth.Has(ages, reauth.Enrolled, r), "%+v", r)
		assert.Equal(t, []reauth.Lack{reauth.LackFirst, reauth.LackSecond, reauth.LackCategories}, reauth.Missing(ages, reauth.Enrolled, r))
		assert.Empty(t, r.String())
	}
}

// TestAgeIsKeptInSeconds: a proof of 9:59 passes where one of 10:00 does not.
func TestAgeIsKeptInSeconds(t *testing.T) {
	for _, c := range []struct {
		age  time.Duration
		want bool
	}{
		{0, true}, {10*time.Minute - time.Second, true}, {10 * time.Minute, false}, {10*time.Minute + time.Second, false},
		{-time.Second, true}, {-60 * time.Second, true}, // another machine's clock is ahead
	} {
		ages := reauth.AgesOf([]reauth.Proven{proven(reauth.TOTP, reauth.Second, "", c.age)}, now)
		assert.Equal(t, c.want, reauth.Has(ages, reauth.Enrolled, level(t, "strict")), c.age)
	}
	// What is cut off a second never makes a proof younger than it is.
	rapid.Check(t, func(t *rapid.T) {
		at := now.Add(-time.Duration(rapid.Int64Range(0, int64(11*time.Minute)).Draw(t, "age")))
		judged := now.Add(time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "later")))
		ages := reauth.AgesOf([]reauth.Proven{{Factor: reauth.TOTP, Role: reauth.Second, At: at}}, judged)
		if reauth.Has(ages, reauth.Enrolled, level(t, "strict")) {
			assert.Less(t, judged.Sub(at), 10*time.Minute)
		}
	})
}

func TestAgesOfFVA(t *testing.T) {
	for _, c := range []struct {
		elapsed time.Duration
		want    [2]int
	}{
		{0, [2]int{7, -1}}, {time.Second, [2]int{8, -1}}, {60 * time.Second, [2]int{8, -1}}, {61 * time.Second, [2]int{9, -1}},
		{-60 * time.Second, [2]int{7, -1}}, {-61 * time.Second, [2]int{-1, -1}},
	} {
		assert.Equal(t, c.want, reauth.AgesOfFVA(&[2]int{7, -1}, ago(c.elapsed), now).FVA(), c.elapsed)
	}
	assert.Equal(t, [2]int{-1, -1}, reauth.Ages{}.FVA())
	ages := reauth.AgesOf([]reauth.Proven{proven(reauth.Password, reauth.First, "", 119*time.Second), proven(reauth.TOTP, reauth.Second, "", 59*time.Second)}, now)
	assert.Equal(t, [2]int{1, 0}, ages.FVA(), "not rounded up")
}

// TestNumberNeverCountsTwice: the same phone is not two factors.
func TestNumberNeverCountsTwice(t *testing.T) {
	const m = time.Minute
	for what, c := range map[string]struct {
		proven []reauth.Proven
		want   [2]int
	}{
		"two numbers":               {[]reauth.Proven{proven(reauth.PhoneCode, reauth.First, "a", 2*m), proven(reauth.PhoneCode, reauth.Second, "b", m)}, [2]int{2, 1}},
		"one number, second last":   {[]reauth.Proven{proven(reauth.PhoneCode, reauth.First, "a", 2*m), proven(reauth.PhoneCode, reauth.Second, "a", m)}, [2]int{-1, 1}},
		"one number, first last":    {[]reauth.Proven{proven(reauth.PhoneCode, reauth.First, "a", m), proven(reauth.PhoneCode, reauth.Second, "a", 2*m)}, [2]int{1, -1}},
		"one number, at once":       {[]reauth.Proven{proven(reauth.PhoneCode, reauth.Second, "a", m), proven(reauth.PhoneCode, reauth.First, "a", m)}, [2]int{1, -1}},
		"a number that has no name": {[]reauth.Proven{proven(reauth.PhoneCode, reauth.First, "", 2*m), proven(reauth.PhoneCode, reauth.Second, "b", m)}, [2]int{-1, 1}},
		"the password stands":       {[]reauth.Proven{proven(reauth.Password, reauth.First, "", 9*m), proven(reauth.PhoneCode, reauth.First, "a", 2*m), proven(reauth.PhoneCode, reauth.Second, "a", m)}, [2]int{9, 1}},
		"the latest of each":        {[]reauth.Proven{proven(reauth.Password, reauth.First, "", 9*m), proven(reauth.Password, reauth.First, "", 3*m), proven(reauth.Password, reauth.First, "", 4*m)}, [2]int{3, -1}},
		"a passkey is first":        {[]reauth.Proven{{Factor: reauth.Passkey, Role: reauth.First, At: now, UserVerified: true}}, [2]int{0, -1}},
	} {
		assert.Equal(t, c.want, reauth.AgesOf(c.proven, now).FVA(), what)
		// With both enrolled, one number alone never is multi-factor.
		want := c.want[0] >= 0 && c.want[1] >= 0
		assert.Equal(t, want, reauth.Has(reauth.AgesOf(c.proven, now), reauth.Enrolled, level(t, "strict_mfa")), what)
	}
}

func TestCritical(t *testing.T) {
	critical := level(t, "critical")
	second := reauth.AgesOf([]reauth.Proven{good, proven(reauth.TOTP, reauth.Second, "", 30*time.Second)}, now)
	assert.False(t, reauth.Has(second, reauth.Enrolled, critical), "no challenge is being answered")
	assert.False(t, reauth.Has(second.Answering(ago(29*time.Second), now), reauth.Enrolled, critical), "proven before the challenge")
	assert.True(t, reauth.Has(second.Answering(ago(30*time.Second), now), reauth.Enrolled, critical))
	assert.True(t, reauth.Has(second.Answering(ago(time.Hour), now), reauth.Enrolled, critical))

	first := reauth.AgesOf([]reauth.Proven{good}, now).Answering(ago(time.Minute), now)
	assert.False(t, reauth.Has(first, reauth.Enrolled, critical), "nothing stands in for the second")
	assert.True(t, reauth.Has(first, reauth.NotEnrolled, critical))
}

func TestSCA(t *testing.T) {
	const m = time.Minute
	passkey := func(uv bool, d time.Duration) reauth.Proven {
		return reauth.Proven{Factor: reauth.Passkey, Role: reauth.First, At: ago(d), UserVerified: uv}
	}
	for what, c := range map[string]struct {
		want   bool
		proven []reauth.Proven
	}{
		"password and SMS":               {true, []reauth.Proven{proven(reauth.Password, reauth.First, "", 0), proven(reauth.PhoneCode, reauth.Second, "a", 0)}},
		"password and TOTP":              {true, []reauth.Proven{proven(reauth.Password, reauth.First, "", 0), proven(reauth.TOTP, reauth.Second, "", 0)}},
		"password and backup code":       {true, []reauth.Proven{proven(reauth.Password, reauth.First, "", 0), proven(reauth.BackupCode, reauth.Second, "", 0)}},
		"password and e-mail":            {true, []reauth.Proven{proven(reauth.Password, reauth.First, "", 0), proven(reauth.EmailCode, reauth.First, "", 0)}},
		"password and passkey":           {true, []reauth.Proven{proven(reauth.Password, reauth.First, "", 0), passkey(false, 0)}},
		"passkey, user verified":         {true, []reauth.Proven{passkey(true, 0)}},
		"passkey, user only present":     {false, []reauth.Proven{passkey(false, 0)}},
		"passkey stale, user verified":   {false, []reauth.Proven{passkey(true, 5*m)}},
		"e-mail and SMS":                 {false, []reauth.Proven{proven(reauth.EmailCode, reauth.First, "", 0), proven(reauth.PhoneCode, reauth.Second, "a", 0)}},
		"SMS and TOTP":                   {false, []reauth.Proven{proven(reauth.PhoneCode, reauth.First, "a", 0), proven(reauth.TOTP, reauth.Second, "", 0)}},
		"passkey and TOTP":               {false, []reauth.Proven{passkey(false, 0), proven(reauth.TOTP, reauth.Second, "", 0)}},
		"password alone":                 {false, []reauth.Proven{proven(reauth.Password, reauth.First, "", 0)}},
		"identity provider and TOTP":     {false, []reauth.Proven{proven(reauth.IDP, reauth.First, "", 0), proven(reauth.TOTP, reauth.Second, "", 0)}},
		"identity provider and password": {false, []reauth.Proven{proven(reauth.IDP, reauth.First, "", 0), proven(reauth.Password, reauth.First, "", 0)}},
		"password stale":                 {false, []reauth.Proven{proven(reauth.Password, reauth.First, "", 5*m), proven(reauth.TOTP, reauth.Second, "", 0)}},
		"both within":                    {true, []reauth.Proven{proven(reauth.Password, reauth.First, "", 5*m-time.Second), proven(reauth.TOTP, reauth.Second, "", 0)}},
		"UV of a password is no passkey": {false, []reauth.Proven{{Factor: reauth.Password, Role: reauth.First, At: now, UserVerified: true}}},
	} {
		for _, e := range []reauth.Enrolment{reauth.NotEnrolled, reauth.Enrolled} {
			assert.Equal(t, c.want, reauth.Has(reauth.AgesOf(c.proven, now), e, level(t, "sca")), what)
		}
	}
}

func TestLeft(t *testing.T) {
	const m = time.Minute
	both := reauth.AgesOf([]reauth.Proven{proven(reauth.Password, reauth.First, "", 3*m), proven(reauth.TOTP, reauth.Second, "", m)}, now)
	for _, c := range []struct {
		ages  reauth.Ages
		level string
		want  time.Duration
	}{
		{both, "medium", 12 * m}, {both, "strict", 9 * m}, {both, "strict_mfa", 7 * m}, {both, "high", 4 * m}, {both, "sca", 2 * m},
		{both, "session", reauth.AnyAge}, {both, "low", reauth.AnyAge}, {both, "critical", 0}, {reauth.Ages{}, "medium", 0},
	} {
		assert.Equal(t, c.want, reauth.Left(c.ages, reauth.Enrolled, level(t, c.level)), c.level)
	}
	assert.Equal(t, 7*m, reauth.Left(fva(3, -1), reauth.NotEnrolled, level(t, "strict_mfa")), "the first stands in")
}

// TestLeftRunsOut: met until a second before what is left has gone, and not at it.
func TestLeftRunsOut(t *testing.T) {
	ran := 0
	rapid.Check(t, func(t *rapid.T) {
		role := rapid.SampledFrom([]reauth.Proven{{Factor: reauth.TOTP, Role: reauth.Second}, {Factor: reauth.Passkey, Role: reauth.First, UserVerified: true}})
		list := []reauth.Proven{good, role.Draw(t, "more")}
		for i := range list {
			list[i].At = ago(time.Duration(rapid.IntRange(0, 1000).Draw(t, "age")) * time.Second)
		}
		r, e := requirement().Draw(t, "requirement"), enrolments().Draw(t, "enrolment")
		at := func(d time.Duration) bool {
			return reauth.Has(reauth.AgesOf(list, now.Add(d)).Answering(ago(time.Hour), now.Add(d)), e, r)
		}
		left := reauth.Left(reauth.AgesOf(list, now).Answering(ago(time.Hour), now), e, r)
		switch left {
		case 0:
			assert.False(t, at(0))
		case reauth.AnyAge:
			assert.True(t, at(100*24*time.Hour))
		default:
			ran++
			assert.True(t, at(left-time.Second), fmt.Sprint(left))
			assert.False(t, at(left), fmt.Sprint(left))
		}
	})
	assert.NotZero(t, ran, "the property was looked at")
}

// TestWhoGoesByWhatHelpsComesToTheEnd: whatever of the useful they choose, and
// nothing that is useful is left where something is missing that they could bring.
func TestWhoGoesByWhatHelpsComesToTheEnd(t *testing.T) {
	all := []reauth.Proven{
		{Factor: reauth.Password, Role: reauth.First}, {Factor: reauth.EmailCode, Role: reauth.First}, {Factor: reauth.PhoneCode, Role: reauth.First, Ref: "a"},
		{Factor: reauth.IDP, Role: reauth.First}, {Factor: reauth.Passkey, Role: reauth.First, UserVerified: true},
		{Factor: reauth.TOTP, Role: reauth.Second}, {Factor: reauth.PhoneCode, Role: reauth.Second, Ref: "b"},
	}
	rapid.Check(t, func(t *rapid.T) {
		has := rapid.SliceOfNDistinct(rapid.SampledFrom(all), 0, len(all), func(p reauth.Proven) string { return string(p.Factor) + string(p.Role) }).Draw(t, "has")
		r, e := requirement().Draw(t, "requirement"), reauth.Enrolled
		var proven []reauth.Proven
		for i := range has {
			has[i].At = now
		}
		ages := func(list []reauth.Proven) reauth.Ages { return reauth.AgesOf(list, now).Answering(now, now) }
		for range len(all) {
			i := slices.IndexFunc(has, func(p reauth.Proven) bool { return reauth.Helps(ages(proven), e, r, p.Factor, p.Role) })
			if i < 0 {
				break
			}
			before := len(reauth.Missing(ages(proven), e, r))
			proven = append(proven, has[i])
			assert.NotZero(t, before)
		}
		assert.Equal(t, reauth.Has(ages(has), e, r), reauth.Has(ages(proven), e, r))
	})
}
