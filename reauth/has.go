package reauth

import (
	"cmp"
	"slices"
	"time"
)

// Factor is a way to prove who one is: the strategies of reauth-wire section 5.
type Factor string

// The factors.
const (
	Password   Factor = "password"
	EmailCode  Factor = "email_code"
	PhoneCode  Factor = "phone_code"
	TOTP       Factor = "totp"
	BackupCode Factor = "backup_code"
	Passkey    Factor = "passkey"
	IDP        Factor = "idp"
)

// Role is as what a factor was proven.
type Role string

// The roles.
const (
	First  Role = "first"
	Second Role = "second"
)

// Other is the other one.
func (r Role) Other() Role {
	if r == First {
		return Second
	}
	return First
}

// MayBe reports whether the factor can be proven in the role. Only a phone can
// be either, and one number never is both (see AgesOf).
func (f Factor) MayBe(role Role) bool {
	switch f {
	case Password, EmailCode, Passkey, IDP:
		return role == First
	case TOTP, BackupCode:
		return role == Second
	case PhoneCode:
		return role == First || role == Second
	default:
		return false
	}
}

// Categories are those of strong customer authentication (PSD2, article 4(30)).
// The zero value is none.
type Categories struct {
	Knowledge  bool // something only the user knows
	Possession bool // something only the user has
	Inherence  bool // something the user is
}

// Category says what a factor counts for in strong customer authentication. All
// that is sent or shown to a person, and all that a device of theirs makes, is
// possession: e-mail and SMS, or SMS and TOTP, are one category. A passkey
// counts as inherence too where the authenticator verified the user. An
// identity provider's word counts for nothing here: which factors stand behind
// it we do not see.
func Category(f Factor, userVerified bool) Categories {
	switch f {
	case Password:
		return Categories{Knowledge: true}
	case EmailCode, PhoneCode, TOTP, BackupCode:
		return Categories{Possession: true}
	case Passkey:
		return Categories{Possession: true, Inherence: userVerified}
	default:
		return Categories{}
	}
}

// Proven is one factor that was proven in this session.
type Proven struct {
	Factor Factor
	Role   Role
	// Ref tells two factors of a kind apart: an id, or the fingerprint of a
	// number. Never the number itself.
	Ref string
	// At is when, to the second.
	At time.Time
	// UserVerified is the UV flag of a passkey's authenticator (WebAuthn,
	// section 6.1). It says nothing of other factors.
	UserVerified bool
}

const (
	// leeway is how far another machine's clock may be ahead of ours
	// (reauth-wire section 1).
	leeway = 60 * time.Second
	// maxAge is beyond any session's life. A time that nobody set is 1970, or
	// the year 1, and comes out older.
	maxAge = 10 * 365 * 24 * time.Hour
)

// age is how long ago something was proven; the zero value is never.
type age struct {
	proven bool
	ago    time.Duration
}

// under reports whether it was proven less than d ago.
func (a age) under(d time.Duration) bool { return a.proven && a.ago < d }

// younger is the more recent of two.
func younger(a, b age) age {
	if !a.proven || b.proven && b.ago < a.ago {
		return b
	}
	return a
}

// Ages says how long ago each kind of factor was proven in a session. It comes
// from AgesOf or AgesOfFVA; the zero value is unreadable, and unreadable ages
// meet nothing but level low.
type Ages struct {
	readable bool

	first, second                    age
	knowledge, possession, inherence age
	challenge                        age
}

// AgesOf judges what was proven, now. An entry that is odd (an unknown factor, a
// role it cannot have, no time, a time to come, an absurd age) makes all of it
// unreadable. A factor counts once: proven in both roles, it counts in the one
// that it was proven in last.
func AgesOf(proven []Proven, now time.Time) Ages {
	a := Ages{readable: true}
	for _, p := range proven {
		at, ok := since(p.At, now)
		if !ok || !p.Factor.MayBe(p.Role) {
			return Ages{}
		}
		c := Category(p.Factor, p.UserVerified)
		if c.Knowledge {
			a.knowledge = younger(a.knowledge, at)
		}
		if c.Possession {
			a.possession = younger(a.possession, at)
		}
		if c.Inherence {
			a.inherence = younger(a.inherence, at)
		}
		if slices.ContainsFunc(proven, func(q Proven) bool { return q.overrules(p) }) {
			continue
		}
		switch p.Role {
		case First:
			a.first = younger(a.first, at)
		case Second:
			a.second = younger(a.second, at)
		}
	}
	return a
}

// overrules reports whether q is the same factor as p, proven later in the
// other role. Where a ref is missing, two of a kind are taken to be the same.
// Of two in the same second the first factor stands: it opens less.
func (q Proven) overrules(p Proven) bool {
	if q.Factor != p.Factor || q.Role == p.Role {
		return false
	}
	if q.Ref != p.Ref && q.Ref != "" && p.Ref != "" {
		return false
	}
	if q.At.Unix() == p.At.Unix() {
		return q.Role == First
	}
	return q.At.Unix() > p.At.Unix()
}

// AgesOfFVA judges the claim fva of a token: how many whole minutes before iat
// the first and the second factor were proven, -1 for never. A claim that is
// missing or odd is unreadable. Whether the token may be trusted with it is the
// application's to say.
func AgesOfFVA(fva *[2]int, iat, now time.Time) Ages {
	elapsed, ok := since(iat, now)
	if fva == nil || !ok {
		return Ages{}
	}
	// Rounded up: a token's minute may have been almost over when it was issued.
	minutes := int((elapsed.ago + time.Minute - 1) / time.Minute)
	a := Ages{readable: true}
	for i, f := range []*age{&a.first, &a.second} {
		switch n := fva[i]; {
		case n == -1:
		case n < 0 || n > int(maxAge/time.Minute):
			return Ages{}
		default:
			*f = age{proven: true, ago: time.Duration(n+minutes) * time.Minute}
		}
	}
	return a
}

// Or is the more recent of two judgements of the same session, factor by
// factor. What cannot be read adds nothing.
func (a Ages) Or(b Ages) Ages {
	switch {
	case !b.readable:
		return a
	case !a.readable:
		return b
	}
	return Ages{
		readable: true, first: younger(a.first, b.first), second: younger(a.second, b.second), challenge: younger(a.challenge, b.challenge),
		knowledge: younger(a.knowledge, b.knowledge), possession: younger(a.possession, b.possession), inherence: younger(a.inherence, b.inherence),
	}
}

// since is the age of a moment, by whole seconds. It is false for a moment that
// nobody set, lies further ahead than clocks differ, or is absurdly long ago.
func since(t, now time.Time) (age, bool) {
	d := now.Truncate(time.Second).Sub(t.Truncate(time.Second))
	if t.IsZero() || d < -leeway || d > maxAge {
		return age{}, false
	}
	return age{proven: true, ago: max(d, 0)}, true
}

// Answering says when the challenge was made that is being answered, which a
// level that wants fresh factors asks for. Without it they are not fresh.
func (a Ages) Answering(challenge, now time.Time) Ages {
	at, ok := since(challenge, now)
	if !ok {
		return Ages{}
	}
	a.challenge = at
	return a
}

// FVA is the claim of that name: whole minutes, not rounded up, and -1 for what
// was not proven.
func (a Ages) FVA() [2]int {
	fva := [2]int{-1, -1}
	if !a.readable {
		return fva
	}
	for i, f := range []age{a.first, a.second} {
		if f.proven {
			fva[i] = int(f.ago / time.Minute)
		}
	}
	return fva
}

// Enrolment says whether a user has a second factor to prove. The zero value is
// that we do not know, which denies.
type Enrolment int8

// What may be known.
const (
	EnrolmentUnknown Enrolment = iota
	NotEnrolled
	Enrolled
)

// EnrolmentOf is for where it is known.
func EnrolmentOf(secondEnrolled bool) Enrolment {
	if secondEnrolled {
		return Enrolled
	}
	return NotEnrolled
}

// known is for JSON: null where it is not known.
func (e Enrolment) known() *bool {
	if e != Enrolled && e != NotEnrolled {
		return nil
	}
	enrolled := e == Enrolled
	return &enrolled
}

// Lack is something that has yet to be proven.
type Lack string

// What may be lacking.
const (
	LackFirst      Lack = "first_factor"
	LackSecond     Lack = "second_factor"
	LackCategories Lack = "two_categories" // of knowledge, possession, inherence
)

// Has reports whether what was proven meets the requirement (reauth-wire
// section 2). It does not spend what is single use, nor compare the details of
// what is bound: that is the caller's.
//
// Where no second factor is enrolled it is Clerk's published table: an age of
// the second factor that is there still counts, and without one the first
// stands in. Where one is enrolled nothing stands in for it.
func Has(ages Ages, enrolment Enrolment, r Requirement) bool {
	return len(Missing(ages, enrolment, r)) == 0
}

// Missing lists what has to be proven, or proven again, to meet the requirement;
// it is empty exactly where Has is true.
func Missing(ages Ages, enrolment Enrolment, r Requirement) []Lack {
	if r.Nothing() {
		return nil
	}
	if !r.valid() || enrolment.known() == nil || !ages.readable || !ages.first.proven && !ages.second.proven {
		return r.asks(enrolment)
	}
	var lacks []Lack
	needsFirst, needsSecond := Needs(ages, enrolment, r.Factors)
	if needsFirst && !ages.meets(ages.first, r) {
		lacks = append(lacks, LackFirst)
	}
	if needsSecond && !ages.meets(ages.second, r) {
		lacks = append(lacks, LackSecond)
	}
	if r.SCA && len(ages.counting(r)) < 2 {
		lacks = append(lacks, LackCategories)
	}
	return lacks
}

// Helps reports whether it would help to prove a factor next: it fills a role
// that is missing, or brings a category that does not count yet. A passkey is
// taken to verify its user, as it has to where categories are asked for.
func Helps(ages Ages, enrolment Enrolment, r Requirement, f Factor, role Role) bool {
	missing := Missing(ages, enrolment, r)
	if role == First && slices.Contains(missing, LackFirst) || role == Second && slices.Contains(missing, LackSecond) {
		return true
	}
	if !slices.Contains(missing, LackCategories) {
		return false
	}
	c := Category(f, true)
	return c.Knowledge && !ages.meets(ages.knowledge, r) || c.Possession && !ages.meets(ages.possession, r) || c.Inherence && !ages.meets(ages.inherence, r)
}

// Needs says which factors are looked at. Where none is enrolled, and none was
// proven, the first is looked at in place of the second.
func Needs(ages Ages, enrolment Enrolment, f Factors) (first, second bool) {
	first = f == FirstFactor || f == MultiFactor
	second = f == SecondFactor || f == MultiFactor
	if second && enrolment == NotEnrolled && !ages.second.proven {
		return true, false
	}
	return first, second
}

// meets is the window, and whether the challenge came first.
func (a Ages) meets(f age, r Requirement) bool {
	if r.Fresh && (!a.challenge.proven || f.ago > a.challenge.ago) {
		return false
	}
	return f.under(r.Within)
}

// counting are the ages of the categories that count.
func (a Ages) counting(r Requirement) []age {
	all := []age{a.knowledge, a.possession, a.inherence}
	return slices.DeleteFunc(all, func(c age) bool { return !a.meets(c, r) })
}

// asks is all that a requirement can want, where nothing can be said of what is
// there. What denies everything asks for all.
func (r Requirement) asks(enrolment Enrolment) []Lack {
	if !r.valid() {
		return []Lack{LackFirst, LackSecond, LackCategories}
	}
	var lacks []Lack
	first, second := Needs(Ages{}, enrolment, r.Factors)
	if first {
		lacks = append(lacks, LackFirst)
	}
	if second {
		lacks = append(lacks, LackSecond)
	}
	if r.SCA {
		lacks = append(lacks, LackCategories)
	}
	return lacks
}

// Left is for how long the requirement stays met if nothing more is proven: 0
// where it is not, AnyAge where it does not run out.
func Left(ages Ages, enrolment Enrolment, r Requirement) time.Duration {
	if !Has(ages, enrolment, r) {
		return 0
	}
	if r.Within == AnyAge {
		return AnyAge
	}
	var oldest time.Duration
	needsFirst, needsSecond := Needs(ages, enrolment, r.Factors)
	if needsFirst {
		oldest = max(oldest, ages.first.ago)
	}
	if needsSecond {
		oldest = max(oldest, ages.second.ago)
	}
	if r.SCA {
		// Two are enough, so it is the second youngest that runs out first.
		counting := ages.counting(r)
		slices.SortFunc(counting, func(a, b age) int { return cmp.Compare(a.ago, b.ago) })
		oldest = max(oldest, counting[1].ago)
	}
	return r.Within - oldest
}
