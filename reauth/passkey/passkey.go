package passkey

import (
	"errors"
	"time"
)

// The errors of a ceremony are a closed set. What is behind a text is a reason
// for the audit, never what the browser sent.
var (
	// ErrMalformed is the answer to what is not a browser's answer at all.
	ErrMalformed = errors.New("passkey: malformed answer")
	// ErrRefused is the answer to one that proves nothing: late, of another
	// challenge, origin, relying party or ceremony, without the person where
	// the person was required, or not signed by the credential.
	ErrRefused = errors.New("passkey: refused")
	// ErrCloned is the answer to one that is right but for its counter, which
	// did not rise: the private key may be in two places (WebAuthn 6.1.1).
	ErrCloned = errors.New("passkey: the counter did not rise")
	// ErrUnknownCredential is the answer to one by a credential that the user
	// does not have, and where the user has none that would do.
	ErrUnknownCredential = errors.New("passkey: unknown credential")
)

const (
	// Window is how long a ceremony may take. At its end it has ended.
	Window = 5 * time.Minute
	// HandleSize is the size of a user handle, in bytes.
	HandleSize = 32
	// MaxCredentials is how many a user can have.
	MaxCredentials = 20

	maxAnswer    = 32 << 10 // bytes of JSON
	maxPublicKey = 1 << 10  // bytes of COSE: RSA of 4096 bits takes 530
	maxName      = 256      // bytes
	maxOrigins   = 20
)

// User is whom a passkey is registered for.
type User struct {
	// Handle is 32 random bytes, or a fingerprint: the authenticator keeps it, and
	// shows it to whoever holds it, so it must say nothing (WebAuthn 14.6.1).
	Handle  []byte
	Name    string // tells the user's accounts apart, as an e-mail address does
	Display string // what the user is called; Name where it is empty
}

// Verification is whether the authenticator has to verify its user, by a PIN
// or a biometric, beside seeing that somebody is there.
type Verification string

// What a caller can ask for (WebAuthn 5.8.6).
const (
	Preferred Verification = "preferred"
	Required  Verification = "required"
)

// Credential is a registered passkey, as it is kept: a JSON document. There is
// no secret in it.
type Credential struct {
	ID         []byte   `json:"id"`
	PublicKey  []byte   `json:"public_key"` // COSE
	SignCount  uint32   `json:"sign_count"` // 0 where the authenticator does not count
	Transports []string `json:"transports,omitempty"`
	// BackupEligible says that the key may be in several places of its owner's
	// by design: software-secured (RFC 8176 swk) rather than hardware (hwk).
	BackupEligible bool `json:"backup_eligible"`
	BackedUp       bool `json:"backed_up"`
	// UserVerified says that the user was verified when the passkey was
	// registered. Only of such a one does verification count later: anybody who
	// finds a security key without a PIN can set one (WebAuthn 7.2 step 24).
	UserVerified bool `json:"user_verified"`
}
