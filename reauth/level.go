package reauth

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/reconsent/reconsent/consent"
)

// CodeLevelInvalid answers a level that does not exist, or a number of minutes
// that no level has (reauth-wire section 2).
const CodeLevelInvalid consent.Code = "level_invalid"

// Factors says which factors a Requirement asks for, in the words of the wire.
// The zero value is none of them, and is met by nothing.
type Factors string

// What may be asked for.
const (
	NoFactors    Factors = "none"
	FirstFactor  Factors = "first_factor"
	SecondFactor Factors = "second_factor" // the first one, where no second is enrolled
	MultiFactor  Factors = "multi_factor"  // both; the first one, where no second is enrolled
)

// AnyAge is the window of a requirement that does not ask when a factor was
// proven, so long as it was in this session.
const AnyAge time.Duration = math.MaxInt64

// Custom levels reach from one minute to MaxAfterMinutes (Clerk's bounds: at
// least 1, less than 99,999).
const (
	minAfterMinutes = 1
	MaxAfterMinutes = 99998
)

// Requirement is what has to be proven, and how recently. The zero value
// denies everything, as does one that makes no sense.
type Requirement struct {
	// Level is its name in reauth-wire section 2; empty for a custom level, and
	// for what Stricter put together.
	Level string
	// Factors are what has to be proven.
	Factors Factors
	// Within is the window: an age equal to it is stale already.
	Within time.Duration
	// Fresh wants the factors proven after the challenge was made.
	Fresh bool
	// SCA wants two of knowledge, possession and inherence, without a
	// downgrade (PSD2, Regulatory Technical Standards, article 4).
	SCA bool
}

// The levels that have a name (reauth-wire section 2).
var levels = []Requirement{
	{Level: "lax", Factors: SecondFactor, Within: 1440 * time.Minute},
	{Level: "moderate", Factors: SecondFactor, Within: 60 * time.Minute},
	{Level: "strict", Factors: SecondFactor, Within: 10 * time.Minute},
	{Level: "strict_mfa", Factors: MultiFactor, Within: 10 * time.Minute},
	{Level: "low", Factors: NoFactors, Within: AnyAge},
	{Level: "medium", Factors: FirstFactor, Within: 15 * time.Minute},
	{Level: "high", Factors: SecondFactor, Within: 5 * time.Minute},
	{Level: "critical", Factors: SecondFactor, Within: AnyAge, Fresh: true},
	{Level: "session", Factors: FirstFactor, Within: AnyAge},
	{Level: "sca", Factors: NoFactors, Within: 5 * time.Minute, SCA: true},
}

// LevelNames lists the names that ParseLevel takes, in the order of the wire.
func LevelNames() []string {
	names := make([]string, 0, len(levels))
	for _, l := range levels {
		names = append(names, l.Level)
	}
	return names
}

// ParseLevel reads a level by its name. The error is a *consent.Error with
// CodeLevelInvalid; it does not repeat what was asked for.
func ParseLevel(name string) (Requirement, error) {
	for _, l := range levels {
		if l.Level == name {
			return l, nil
		}
	}
	return Requirement{}, LevelInvalid("level", "There is no such level. Use one of "+strings.Join(LevelNames(), ", ")+
		", or first_factor, second_factor or multi_factor with after_minutes.")
}

// CustomLevel is the form {level, after_minutes}: first_factor, second_factor
// or multi_factor within 1 to 99998 minutes. The error is a *consent.Error with
// CodeLevelInvalid.
func CustomLevel(factors Factors, afterMinutes int) (Requirement, error) {
	switch factors {
	case FirstFactor, SecondFactor, MultiFactor:
	default:
		return Requirement{}, LevelInvalid("level", "after_minutes goes with level first_factor, second_factor or multi_factor only.")
	}
	if afterMinutes < minAfterMinutes || afterMinutes > MaxAfterMinutes {
		return Requirement{}, LevelInvalid("after_minutes", fmt.Sprintf("after_minutes is a whole number from %d to %d.", minAfterMinutes, MaxAfterMinutes))
	}
	return Requirement{Factors: factors, Within: time.Duration(afterMinutes) * time.Minute}, nil
}

// LevelInvalid refuses a level; field is the field that names it.
func LevelInvalid(field, detail string) *consent.Error {
	return &consent.Error{Code: CodeLevelInvalid, Field: field, Detail: detail}
}

// SingleUse reports whether a proof of it may be used once only, which nobody
// can tell offline.
func (r Requirement) SingleUse() bool { return r.Fresh || r.SCA }

// Bound reports whether a proof of it has to name the details of what is being
// done: dynamic linking (PSD2, Regulatory Technical Standards, article 5).
func (r Requirement) Bound() bool { return r.SCA }

// valid reports whether it can be met at all.
func (r Requirement) valid() bool {
	switch r.Factors {
	case FirstFactor, SecondFactor, MultiFactor:
		return r.Within > 0
	case NoFactors:
		return r.SCA && r.Within > 0 || r.Nothing()
	default:
		return false
	}
}

// Nothing reports whether it asks for nothing: level low.
func (r Requirement) Nothing() bool {
	return r.Factors == NoFactors && r.Within == AnyAge && !r.SingleUse()
}

// The marks that follow the factors and minutes in the text form.
const (
	markFresh = "+fresh"
	markSCA   = "+sca"
	anyAge    = "any"
)

// String is the form in which a requirement is stored and signed: the level's
// name, or factors and minutes with its marks, like "second_factor:30" or
// "multi_factor:5+sca". What denies everything is "".
func (r Requirement) String() string {
	if !r.valid() {
		return ""
	}
	if r.Level != "" {
		return r.Level
	}
	s := string(r.Factors) + ":"
	if r.Within == AnyAge {
		s += anyAge
	} else {
		s += strconv.Itoa(r.minutes())
	}
	if r.Fresh {
		s += markFresh
	}
	if r.SCA {
		s += markSCA
	}
	return s
}

// minutes is the window in whole minutes, never rounded up: what is read back
// must not be weaker.
func (r Requirement) minutes() int { return int(r.Within / time.Minute) }

// ParseRequirement reads what String wrote. The error is a *consent.Error with
// CodeLevelInvalid, and the requirement beside it denies everything.
func ParseRequirement(s string) (Requirement, error) {
	factors, rest, custom := strings.Cut(s, ":")
	if !custom {
		return ParseLevel(s)
	}
	r := Requirement{Factors: Factors(factors)}
	rest, r.SCA = strings.CutSuffix(rest, markSCA)
	rest, r.Fresh = strings.CutSuffix(rest, markFresh)
	if rest == anyAge {
		r.Within = AnyAge
	} else {
		n, err := strconv.Atoi(rest)
		if err != nil || n < minAfterMinutes || n > MaxAfterMinutes || strconv.Itoa(n) != rest {
			return Requirement{}, LevelInvalid("level", "The level's minutes cannot be read.")
		}
		r.Within = time.Duration(n) * time.Minute
	}
	if !r.valid() || r.Nothing() { // which has a name
		return Requirement{}, LevelInvalid("level", "The level cannot be read.")
	}
	return r, nil
}

// Stricter is the stricter of two requirements. Where neither is, it is both at
// once, with all factors, the smaller window and every mark: never weaker than
// either, and sometimes stricter than the two together. One that denies
// everything is stricter than all.
func Stricter(a, b Requirement) Requirement {
	if !a.valid() || !b.valid() {
		return Requirement{}
	}
	both := Requirement{
		Factors: joined(a.Factors, b.Factors),
		Within:  min(a.Within, b.Within),
		Fresh:   a.Fresh || b.Fresh,
		SCA:     a.SCA || b.SCA,
	}
	switch both {
	case a.unnamed():
		return a
	case b.unnamed():
		return b
	default:
		return both
	}
}

func (r Requirement) unnamed() Requirement {
	r.Level = ""
	return r
}

// joined are the factors of both. A second factor does not make up for the
// first: each may stand without the other.
func joined(a, b Factors) Factors {
	switch {
	case a == b || b == NoFactors:
		return a
	case a == NoFactors:
		return b
	default:
		return MultiFactor
	}
}
