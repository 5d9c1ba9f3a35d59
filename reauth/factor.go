package reauth

import "time"

// Factor is a way to prove who one is, as the API names strategies.
type Factor string

// The factors (reauth-wire.md 5).
const (
	FactorPassword   Factor = "password"
	FactorEmailCode  Factor = "email_code"
	FactorPhoneCode  Factor = "phone_code"
	FactorPasskey    Factor = "passkey"
	FactorIDP        Factor = "idp"
	FactorTOTP       Factor = "totp"
	FactorBackupCode Factor = "backup_code"
)

// Role is as what a factor was proven.
type Role string

// The roles.
const (
	RoleFirst  Role = "first"
	RoleSecond Role = "second"
)

// Proven is one factor that was proven, and when.
type Proven struct {
	Factor       Factor    `json:"factor"`
	Role         Role      `json:"role"`
	Ref          string    `json:"ref,omitempty"` // what must not count twice: a fingerprint of the address
	At           time.Time `json:"at"`
	UserVerified bool      `json:"user_verified,omitempty"` // passkey: by PIN or biometry
}
