package reauth

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/reconsent/reconsent/consent"
)

// CodeReverificationRequired is the code of the challenge.
const CodeReverificationRequired consent.Code = "reverification_required"

// Challenge is the body of the 403 that asks a user to prove again who they are
// (reauth-wire section 3). It is three things at once: a problem (RFC 9457, to
// be sent as application/problem+json), the hint that Clerk's client looks for
// in any body, and what Supabase's client reads of an error. The header
// WWWAuthenticate goes with it.
type Challenge struct {
	Type   string `json:"type" required:"true" description:"Address of the code's documentation"`
	Title  string `json:"title" required:"true" description:"Short and always the same"`
	Status int    `json:"status" required:"true" description:"HTTP status: 403"`
	Detail string `json:"detail" required:"true" description:"What has to be proven, and how recently"`
	Code   string `json:"code" required:"true" description:"reverification_required"`
	// Message and ErrorCode repeat Detail and Code for Supabase's client.
	Message   string `json:"message" required:"true" description:"The same as detail"`
	ErrorCode string `json:"error_code" required:"true" description:"The same as code"`

	ClerkError ClerkError `json:"clerk_error" required:"true" description:"The hint that Clerk's client reads"`
	Required   Required   `json:"required" required:"true" description:"What has to be proven"`

	// Factors and Start are the caller's to fill in. Nil is that nobody here knows;
	// a user who has no factor has an empty list.
	Factors []Usable `json:"factors,omitzero" nullable:"false" description:"What this user can prove it with; left out where that is not known"`
	Start   string   `json:"start,omitempty" description:"Where a reverification is started: POST here"`
}

// Required says what has to be proven.
type Required struct {
	Level          string `json:"level" required:"true" description:"Name of the level; first_factor, second_factor or multi_factor for a custom one"`
	AfterMinutes   int    `json:"after_minutes,omitempty" description:"With a custom level: how recently, in minutes"`
	Missing        []Lack `json:"missing" required:"true" description:"first_factor, second_factor, two_categories"`
	SecondEnrolled *bool  `json:"second_enrolled" required:"true" description:"Whether the user has a second factor; null where that is not known"`
}

// Usable is a factor that the user can prove now.
type Usable struct {
	Strategy Factor `json:"strategy" required:"true" description:"password, email_code, phone_code, passkey, idp, totp, backup_code"`
	Role     Role   `json:"role" required:"true" description:"first or second"`
	Hint     string `json:"hint,omitempty" description:"The masked address that a code goes to"`
}

// ClerkError is Clerk's hint (@clerk/shared, authorization-errors.ts).
type ClerkError struct {
	Type     string        `json:"type" required:"true" description:"forbidden"`
	Reason   string        `json:"reason" required:"true" description:"reverification-error"`
	Metadata ClerkMetadata `json:"metadata" required:"true" description:"What Clerk's client is to ask for"`
}

// ClerkMetadata carries a ClerkPreset's name or a ClerkLevel; nothing where the
// level asks for nothing, or for what nobody can prove.
type ClerkMetadata struct {
	Reverification any `json:"reverification,omitempty" description:"strict_mfa, strict, moderate or lax; or {level, afterMinutes}"`
}

// ClerkLevel is Clerk's form of a level that is none of its presets.
type ClerkLevel struct {
	Level        Factors `json:"level" required:"true" description:"first_factor, second_factor or multi_factor"`
	AfterMinutes int     `json:"afterMinutes" required:"true" description:"How recently, in minutes"`
}

// clerkPresets are the names that Clerk's client knows.
var clerkPresets = []string{"strict_mfa", "strict", "moderate", "lax"}

const (
	challengeTitle = "Prove again who you are"
	// What Clerk's form cannot say: factors fresh at each use become its
	// shortest window, a window without an end its longest preset's.
	clerkFreshMinutes = 1
	clerkAnyMinutes   = 1440
)

// NewChallenge says what is missing. Factors and Start are left to the caller.
func NewChallenge(ages Ages, enrolment Enrolment, r Requirement) Challenge {
	detail := r.sentence()
	missing := Missing(ages, enrolment, r)
	if missing == nil {
		missing = []Lack{} // an array on the wire, also where it is empty
	}
	required := Required{Missing: missing, SecondEnrolled: enrolment.known()}
	required.Level, required.AfterMinutes = r.Wire()
	return Challenge{
		Type:       "/docs#" + string(CodeReverificationRequired),
		Title:      challengeTitle,
		Status:     http.StatusForbidden,
		Detail:     detail,
		Code:       string(CodeReverificationRequired),
		Message:    detail,
		ErrorCode:  string(CodeReverificationRequired),
		ClerkError: ClerkError{Type: "forbidden", Reason: "reverification-error", Metadata: r.clerk()},
		Required:   required,
	}
}

// Wire is a requirement as the API names it: a level's name, or factors with
// minutes.
func (r Requirement) Wire() (level string, afterMinutes int) {
	if r.custom() {
		return string(r.Factors), r.minutes()
	}
	return r.String(), 0
}

// custom reports whether {level, after_minutes} says all of it.
func (r Requirement) custom() bool {
	return r.valid() && r.Level == "" && r.Within != AnyAge && !r.SingleUse()
}

func (r Requirement) clerk() ClerkMetadata {
	if !r.valid() || r.Nothing() {
		return ClerkMetadata{}
	}
	if slices.Contains(clerkPresets, r.Level) {
		return ClerkMetadata{Reverification: r.Level}
	}
	l := ClerkLevel{Level: r.Factors, AfterMinutes: clerkAnyMinutes}
	if r.SCA {
		l.Level = MultiFactor
	}
	switch {
	case r.Fresh:
		l.AfterMinutes = clerkFreshMinutes
	case r.Within != AnyAge:
		l.AfterMinutes = r.minutes()
	}
	return ClerkMetadata{Reverification: l}
}

// WWWAuthenticate is the value of that header for the challenge (RFC 9470,
// section 3). Its max_age is in seconds; it is 0, always anew, where the factors
// must be fresh, and is left out where their age does not matter. Nothing that a
// caller named stands in it.
func WWWAuthenticate(r Requirement) string {
	h := fmt.Sprintf(`Bearer error="insufficient_user_authentication", error_description=%q`, r.sentence())
	switch {
	case r.Fresh:
		return h + `, max_age="0"`
	case r.valid() && r.Within != AnyAge:
		return h + fmt.Sprintf(`, max_age="%d"`, int64(r.Within/time.Second))
	default:
		return h
	}
}

// sentence says what is asked for. It is made of fixed ASCII words and numbers
// only, so that it can stand in a header's quoted string.
func (r Requirement) sentence() string {
	if !r.valid() {
		return "This cannot be done: what has to be proven for it is not known."
	}
	if r.Nothing() {
		return "Nothing has to be proven for this."
	}
	var what string
	switch r.Factors {
	case FirstFactor:
		what = "a first factor"
	case SecondFactor:
		what = "a second factor, or a first one where no second is enrolled"
	case MultiFactor:
		what = "a first and a second factor"
	}
	if r.SCA {
		if what != "" {
			what += ", and with "
		}
		what += "two of something known, something held and something inherent"
	}
	when := fmt.Sprintf("within the last %d minutes", r.minutes())
	switch {
	case r.Fresh && r.Within == AnyAge:
		when = "after this answer"
	case r.Fresh:
		when += ", and after this answer"
	case r.Within == AnyAge:
		when = "in this session"
	case r.minutes() == 1:
		when = "within the last minute"
	}
	s := "Prove again who you are, with " + what + ", " + when + "."
	if r.SingleUse() {
		s += " The proof counts once."
	}
	return s
}
