package usertoken

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	maxText  = 256 // characters of sub and sid
	maxList  = 32  // audiences, methods
	maxTime  = 253402300799
	fvaSize  = 2
	neverFVA = -1
)

// object is a JSON object whose values nobody has read. Its names are exact:
// SUB is not sub, as it would be with a struct.
type object map[string]json.RawMessage

// read judges the claims of a token whose signature has been verified.
func read(raw json.RawMessage, rules *Rules, now time.Time) (Claims, error) {
	o, n, err := parse(raw)
	if err != nil {
		return Claims{}, err
	}
	if rules.Issuer != "" && n.Issuer != rules.Issuer || rules.Audience != "" && !slices.Contains(n.Audiences, rules.Audience) {
		return Claims{}, ErrNames
	}
	c := Claims{Issuer: n.Issuer, Audience: n.Audiences}
	if err := times(o, &c, rules, now); err != nil {
		return Claims{}, err
	}
	var ok bool
	if c.Subject, ok = o.text("sub"); !ok {
		return Claims{}, ErrMalformed
	}
	if c.Session, err = session(o); err != nil {
		return Claims{}, err
	}
	if rules.TrustAuthTime {
		c.AuthTime = authTime(o, c.IssuedAt, now)
	}
	if rules.TrustAMR {
		c.AMR, _ = o.texts("amr")
	}
	if rules.TrustFVA {
		c.FVA = fva(o)
	}
	return c, nil
}

// times reads exp, nbf and iat. iat never proves anything; where it is missing
// the age is unknown, and what is unknown is not passed.
func times(o object, c *Claims, rules *Rules, now time.Time) error {
	var ok bool
	if c.ExpiresAt, ok = o.time("exp"); !ok {
		return ErrMalformed
	}
	if !now.Before(c.ExpiresAt) {
		return ErrExpired
	}
	if nbf, ok := o.time("nbf"); o.has("nbf") {
		switch {
		case !ok:
			return ErrMalformed
		case nbf.After(now.Add(Leeway)):
			return ErrNotYetValid
		}
	}
	c.IssuedAt, ok = o.time("iat")
	switch maxAge := rules.MaxTokenAge; {
	case !o.has("iat") && !rules.NamesRequired: // development
		return nil
	case !o.has("iat"):
		return ErrTooOld
	case !ok:
		return ErrMalformed
	case c.IssuedAt.After(now.Add(Leeway)):
		return ErrNotYetValid
	case maxAge == 0 && now.Sub(c.IssuedAt) >= DefaultMaxTokenAge, maxAge > 0 && now.Sub(c.IssuedAt) >= maxAge:
		return ErrTooOld
	}
	return nil
}

// session reads the session. An empty name and null are no name; any other that
// is odd denies, whatever stands beside it.
func session(o object) (string, error) {
	for _, name := range []string{"sid", "session_id"} {
		if raw := string(o[name]); raw != "" && raw != `""` && raw != "null" {
			s, ok := o.text(name)
			if !ok {
				return "", ErrMalformed
			}
			return s, nil
		}
	}
	return "", ErrSessionMissing
}

// authTime reads when the person was last asked. What lies after the token was
// issued is odd, and counts as nothing; what lies a little after now is now.
func authTime(o object, issued, now time.Time) time.Time {
	at, ok := o.time("auth_time")
	switch {
	case !ok || !issued.IsZero() && at.After(issued.Add(Leeway)) || at.After(now.Add(Leeway)):
		return time.Time{}
	case at.After(now):
		return now
	default:
		return at
	}
}

// fva reads Clerk's claim: two whole ages in minutes, -1 for never.
func fva(o object) *[fvaSize]int {
	var ages []int
	if json.Unmarshal(o["fva"], &ages) != nil || len(ages) != fvaSize || strings.Contains(string(o["fva"]), "null") {
		return nil
	}
	for _, age := range ages {
		if age < neverFVA || age > math.MaxInt32 {
			return nil
		}
	}
	return &[fvaSize]int{ages[0], ages[1]}
}

func names(raw json.RawMessage) (Names, error) {
	_, n, err := parse(raw)
	return n, err
}

// parse reads whom a token is from and for. Where either is there it must be
// text, or, for aud, a list of it.
func parse(raw json.RawMessage) (object, Names, error) {
	var o object
	if json.Unmarshal(raw, &o) != nil || o == nil {
		return nil, Names{}, ErrMalformed
	}
	var n Names
	var ok bool
	if o.has("iss") {
		if n.Issuer, ok = o.name("iss"); !ok {
			return nil, Names{}, ErrMalformed
		}
	}
	if o.has("aud") {
		if one, ok := o.name("aud"); ok {
			n.Audiences = []string{one}
		} else if n.Audiences, ok = o.texts("aud"); !ok {
			return nil, Names{}, ErrMalformed
		}
	}
	return o, n, nil
}

func (o object) has(name string) bool {
	_, ok := o[name]
	return ok
}

// str reads a string, which null is not. A character that could not be
// represented would make two texts one.
func str(raw json.RawMessage) (string, bool) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	s := string(raw[1 : len(raw)-1])
	if strings.IndexByte(s, '\\') >= 0 && json.Unmarshal(raw, &s) != nil {
		return "", false
	}
	return s, !strings.ContainsRune(s, utf8.RuneError)
}

// name reads an issuer or an audience, which are compared and never kept.
func (o object) name(name string) (string, bool) {
	s, ok := str(o[name])
	return s, ok && s != ""
}

// text reads what is kept: 1 to maxText characters, none of them a control.
func (o object) text(name string) (string, bool) {
	s, ok := str(o[name])
	return s, ok && s != "" && utf8.RuneCountInString(s) <= maxText && !strings.ContainsFunc(s, unicode.IsControl)
}

func (o object) texts(name string) ([]string, bool) {
	var raw []json.RawMessage
	if json.Unmarshal(o[name], &raw) != nil || len(raw) == 0 || len(raw) > maxList {
		return nil, false
	}
	texts := make([]string, len(raw))
	for i, r := range raw {
		s, ok := str(r)
		if !ok || s == "" {
			return nil, false
		}
		texts[i] = s
	}
	return texts, true
}

// time reads a NumericDate (RFC 7519 2): seconds, a fraction allowed, in the
// years that dates have.
func (o object) time(name string) (time.Time, bool) {
	seconds, err := strconv.ParseFloat(string(o[name]), 64) // of what JSON can hold it takes numbers only
	if err != nil || seconds < 0 || seconds > maxTime {
		return time.Time{}, false
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*float64(time.Second))).UTC(), true
}
