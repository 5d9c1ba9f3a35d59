package stepup

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/passkey"
)

// Settings are an application's word on how its users prove themselves again.
// They are one document, sealed as a whole: it holds secrets.
type Settings struct {
	ApplicationID string            `json:"-"`
	Identity      Identity          `json:"identity"`
	Operations    map[string]string `json:"operations,omitempty"` // level by the operation's name
	// CodesOff are channels by which no code is sent: email_code, phone_code.
	CodesOff  []reauth.Factor `json:"codes_off,omitempty"`
	Origins   []string        `json:"origins,omitempty"` // of browsers that may call (CORS), exact
	Passkeys  Passkeys        `json:"passkeys"`
	OpenID    OpenID          `json:"openid"`
	SMSPerDay int             `json:"sms_per_day,omitempty"` // codes by SMS a day of UTC; 0 takes DefaultSMSPerDay
	UpdatedAt time.Time       `json:"-"`
}

// DefaultSMSPerDay is an application's budget of codes by SMS. Each costs money,
// and whoever holds a stolen token could spend it.
const DefaultSMSPerDay = 1000

// Identity says whose tokens are an application's users'. One of JWKSURL and
// Secret is set (reauth-wire.md 1).
type Identity struct {
	Issuer        string        `json:"issuer,omitempty"`   // mandatory outside dev
	Audience      string        `json:"audience,omitempty"` // mandatory outside dev
	Algorithms    []string      `json:"algorithms,omitempty"`
	JWKSURL       string        `json:"jwks_url,omitempty"`
	Secret        string        `json:"secret,omitempty"` // at least 32 bytes
	TrustAuthTime bool          `json:"trust_auth_time,omitempty"`
	TrustAMR      bool          `json:"trust_amr,omitempty"`
	TrustFVA      bool          `json:"trust_fva,omitempty"`
	MaxTokenAge   time.Duration `json:"-"` // since iat; 0 takes 24 hours; written as "24h"
}

// identityText is an Identity as it is written: a duration in a document that
// people may have to read is no number of nanoseconds.
type identityText struct {
	*plainIdentity
	MaxTokenAge string `json:"max_token_age,omitempty"`
}

type plainIdentity Identity

// MarshalJSON implements json.Marshaler.
func (i Identity) MarshalJSON() ([]byte, error) {
	text := identityText{plainIdentity: (*plainIdentity)(&i)}
	if i.MaxTokenAge != 0 {
		text.MaxTokenAge = i.MaxTokenAge.String()
	}
	return json.Marshal(text)
}

// UnmarshalJSON implements json.Unmarshaler.
func (i *Identity) UnmarshalJSON(b []byte) error {
	text := identityText{plainIdentity: (*plainIdentity)(i)}
	if err := json.Unmarshal(b, &text); err != nil || text.MaxTokenAge == "" {
		return err
	}
	age, err := time.ParseDuration(text.MaxTokenAge)
	if err != nil {
		return fmt.Errorf("max_token_age: %w", err)
	}
	i.MaxTokenAge = age
	return nil
}

// Passkeys are an application's relying party (WebAuthn 5.4.2).
type Passkeys struct {
	RPID    string   `json:"rp_id,omitempty"` // empty: no passkeys
	Origins []string `json:"origins,omitempty"`
}

// OpenID is the application's client at its own identity provider, for the
// strategy idp.
type OpenID struct {
	Issuer       string   `json:"issuer,omitempty"` // empty: no such strategy
	ClientID     string   `json:"client_id,omitempty"`
	ClientSecret string   `json:"client_secret,omitempty"`
	Scopes       []string `json:"scopes,omitempty"`
	Algorithms   []string `json:"algorithms,omitempty"` // of ID tokens; empty takes RS256, as OpenID Connect does
}

// Validate reports every fault at once. In development (namesOptional) tokens
// need neither issuer nor audience.
func (s *Settings) Validate(namesOptional bool) error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	for name, level := range s.Operations {
		if name == "" || checkOperation(name) != nil {
			fault("operations: a name is empty, longer than 100 bytes, or holds control characters")
		}
		if _, err := reauth.ParseRequirement(level); err != nil {
			fault("operations: %s: %q is no level; use one of %s, or like second_factor:30", name, level, strings.Join(reauth.LevelNames(), ", "))
		}
	}
	for _, f := range s.CodesOff {
		if f != reauth.EmailCode && f != reauth.PhoneCode {
			fault("codes_off: %q is no way that codes are sent by; name email_code, phone_code, both or neither", f)
		}
	}
	for _, o := range s.Origins {
		if err := checkOrigin(o, namesOptional); err != nil {
			fault("origins: %w", err)
		}
	}
	if s.SMSPerDay < 0 {
		fault("sms_per_day is negative")
	}
	if s.Passkeys.RPID != "" || len(s.Passkeys.Origins) > 0 {
		if err := (passkey.Relying{ID: s.Passkeys.RPID, Name: "-", Origins: s.Passkeys.Origins}).Validate(); err != nil {
			faults = append(faults, within("passkeys", err))
		}
	}
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(faults...)
}

// anyPort ends an origin of this machine that stands for all its ports, in
// development.
const anyPort = ":*"

// checkOrigin takes an origin as a browser sends it (RFC 6454 7), exactly.
func checkOrigin(s string, loopback bool) error {
	if loopback && (s == "http://localhost"+anyPort || s == "http://127.0.0.1"+anyPort) {
		return nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme+"://"+u.Host != s || u.Host == "" || strings.ToLower(s) != s || u.Scheme != "https" && u.Scheme != "http" {
		return fmt.Errorf("%q is not an origin, like https://app.example.org", s)
	}
	if u.Scheme == "http" && !loopback {
		return fmt.Errorf("%q is not https", s)
	}
	return nil
}

// SealedSettings are Settings as they stand in the store.
type SealedSettings struct {
	ApplicationID string
	Config        consent.Sealed // sealed under ApplicationID + "/reauth"
	UpdatedAt     time.Time
}
