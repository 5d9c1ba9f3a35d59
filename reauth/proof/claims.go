package proof

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	// Type is the typ of a proof (RFC 7515 4.1.9).
	Type = "reverification+jwt"
	// MaxLife is how long a proof may live.
	MaxLife = 10 * time.Minute
	// Leeway is by how much a verifier's clock may be behind. Expired is expired.
	Leeway = 60 * time.Second
	// Never is the age in FVA of a factor that was not proven.
	Never = -1

	maxText    = 256 // characters of each text
	maxFactors = 16
	digestSize = 43 // base64url of SHA-256
)

// Role is what a factor was proven as.
type Role string

// The roles.
const (
	First  Role = "first"
	Second Role = "second"
)

// Claims are what a proof says. Times have the precision of seconds.
type Claims struct {
	Issuer   string // iss: this installation
	Audience string // aud: the application's id
	Subject  string // sub: the user, as the user's token names them
	Session  string // sid: the session it belongs to
	ID       string // jti: single use is counted by it
	IssuedAt time.Time
	// ExpiresAt is at most MaxLife after IssuedAt.
	ExpiresAt time.Time
	// AuthTime is when the user last proved a factor for this proof, no later than
	// IssuedAt.
	AuthTime time.Time
	// AMR are the methods of that, in the names of RFC 8176.
	AMR []string
	// Level is acr: the name of the level that was reached.
	Level string
	// FVA are the ages of the first and the second factor at IssuedAt in whole
	// minutes, rounded down; Never where it was not proven. Mint computes it from
	// Factors, whatever stands here.
	FVA [2]int
	// Factors are what was proven, and when. 1 to 16.
	Factors []Factor
	// SecondFactorEnrolled says whether the user has a second factor at all.
	SecondFactorEnrolled bool
	// Operation is what the proof is for, nil where it is for none.
	Operation *Operation
}

// Factor is one factor that was proven.
type Factor struct {
	// Method is the strategy: password, email_code, phone_code, totp, passkey,
	// backup_code or idp (reauth-wire 5).
	Method string
	Role   Role
	At     time.Time
	// UserVerified: the authenticator asked for a PIN or a finger. Passkeys only.
	UserVerified bool
	// Ref tells one address or authenticator of a method from another, so that
	// none counts twice. It is an opaque id, never the address. "" is allowed.
	Ref string
}

// Operation binds a proof to what the person agreed to.
type Operation struct {
	Name string `json:"name"`
	// Digest is the base64url SHA-256 of the details (RFC 8785 form), "" where
	// there are none.
	Digest string `json:"dig,omitempty"`
}

// wire is Claims as they travel.
type wire struct {
	Issuer    string       `json:"iss"`
	Audience  string       `json:"aud"`
	Subject   string       `json:"sub"`
	Session   string       `json:"sid"`
	ID        string       `json:"jti"`
	IssuedAt  int64        `json:"iat"`
	ExpiresAt int64        `json:"exp"`
	AuthTime  int64        `json:"auth_time"`
	AMR       []string     `json:"amr"`
	Level     string       `json:"acr"`
	FVA       []int        `json:"fva"`
	Factors   []wireFactor `json:"factors"`
	Enrolled  *bool        `json:"second_factor_enrolled"`
	Operation *Operation   `json:"op,omitempty"`
}

type wireFactor struct {
	Method       string `json:"factor"`
	Role         Role   `json:"role"`
	At           int64  `json:"at"`
	UserVerified bool   `json:"uv,omitempty"`
	Ref          string `json:"ref,omitempty"`
}

// MarshalJSON writes the claims as they travel.
func (c Claims) MarshalJSON() ([]byte, error) {
	w := wire{
		Issuer: c.Issuer, Audience: c.Audience, Subject: c.Subject, Session: c.Session, ID: c.ID,
		IssuedAt: c.IssuedAt.Unix(), ExpiresAt: c.ExpiresAt.Unix(), AuthTime: c.AuthTime.Unix(),
		AMR: c.AMR, Level: c.Level, FVA: c.FVA[:], Enrolled: &c.SecondFactorEnrolled, Operation: c.Operation,
	}
	for _, f := range c.Factors {
		w.Factors = append(w.Factors, wireFactor{f.Method, f.Role, f.At.Unix(), f.UserVerified, f.Ref})
	}
	return json.Marshal(w)
}

// UnmarshalJSON reads claims as they travel. It refuses what Mint would not
// have written; claims that it does not know are passed over (RFC 7519 4).
func (c *Claims) UnmarshalJSON(raw []byte) error {
	var w wire
	if err := json.Unmarshal(raw, &w); err != nil {
		return fmt.Errorf("read the claims: %w", err)
	}
	if len(w.FVA) != len(c.FVA) || w.Enrolled == nil {
		return errors.New("the claims are not complete")
	}
	*c = Claims{
		Issuer: w.Issuer, Audience: w.Audience, Subject: w.Subject, Session: w.Session, ID: w.ID,
		IssuedAt: seconds(w.IssuedAt), ExpiresAt: seconds(w.ExpiresAt), AuthTime: seconds(w.AuthTime),
		AMR: w.AMR, Level: w.Level, FVA: [2]int(w.FVA), SecondFactorEnrolled: *w.Enrolled, Operation: w.Operation,
	}
	for _, f := range w.Factors {
		c.Factors = append(c.Factors, Factor{f.Method, f.Role, seconds(f.At), f.UserVerified, f.Ref})
	}
	return c.whole()
}

func seconds(at int64) time.Time { return time.Unix(at, 0).UTC() }

// whole reports what no proof may lack or have. It is held where one is minted
// and where one is read.
func (c Claims) whole() error {
	for _, check := range []struct {
		bad bool
		msg string
	}{
		{!text(c.Issuer) || !text(c.Audience) || !text(c.Subject) || !text(c.Session) || !text(c.ID) || !text(c.Level), "a name is missing or odd"},
		{len(c.AMR) == 0 || len(c.AMR) > maxFactors || !all(c.AMR, text), "the methods are missing or odd"},
		{c.IssuedAt.Unix() <= 0 || !c.ExpiresAt.After(c.IssuedAt) || c.ExpiresAt.Sub(c.IssuedAt) > MaxLife, "its life is too long, or none"},
		{c.AuthTime.Unix() <= 0 || c.AuthTime.After(c.IssuedAt), "the time of the authentication is missing or odd"},
		{len(c.Factors) == 0 || len(c.Factors) > maxFactors || !all(c.Factors, c.factor), "the factors are missing or odd"},
		{c.FVA != c.ages(), "the ages are not those of the factors"},
		{c.Operation != nil && !c.Operation.sound(), "the operation is odd"},
	} {
		if check.bad {
			return errors.New("claims of a proof: " + check.msg)
		}
	}
	return nil
}

// factor reports whether one of the claims' factors is whole.
func (c Claims) factor(f Factor) bool {
	return text(f.Method) && (f.Role == First || f.Role == Second) && (f.Ref == "" || text(f.Ref)) &&
		f.At.Unix() > 0 && !f.At.After(c.IssuedAt) && (!f.UserVerified || f.Method == "passkey")
}

// ages computes FVA: of each role the newest factor counts.
func (c Claims) ages() [2]int {
	ages := [2]int{Never, Never}
	for i, role := range []Role{First, Second} {
		for _, f := range c.Factors {
			age := int(c.IssuedAt.Sub(f.At) / time.Minute)
			if f.Role == role && (ages[i] == Never || age < ages[i]) {
				ages[i] = age
			}
		}
	}
	return ages
}

// truncated returns the claims with the times that travel.
func (c Claims) truncated() Claims {
	c.IssuedAt, c.ExpiresAt, c.AuthTime = cut(c.IssuedAt), cut(c.ExpiresAt), cut(c.AuthTime)
	c.Factors = slices.Clone(c.Factors)
	for i := range c.Factors {
		c.Factors[i].At = cut(c.Factors[i].At)
	}
	return c
}

// cut takes a time down to its second: a factor never becomes younger, nor the
// life of a proof longer.
func cut(t time.Time) time.Time { return seconds(t.Unix()) }

func all[T any](list []T, ok func(T) bool) bool {
	return !slices.ContainsFunc(list, func(v T) bool { return !ok(v) })
}

func text(s string) bool {
	return s != "" && utf8.ValidString(s) && utf8.RuneCountInString(s) <= maxText && !strings.ContainsFunc(s, odd)
}

func odd(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError }

// sound reports whether it says anything: a payment may have been agreed to
// under no name.
func (o *Operation) sound() bool {
	return (text(o.Name) || o.Name == "" && o.Digest != "") && digest(o.Digest)
}

func digest(s string) bool {
	return s == "" || len(s) == digestSize && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}
