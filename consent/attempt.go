package consent

import "time"

// AttemptKind says what a trip to the bank is for.
type AttemptKind string

// The kinds.
const (
	KindLink        AttemptKind = "link"        // a first link
	KindReauthorize AttemptKind = "reauthorize" // renews a consent
	KindRelink      AttemptKind = "relink"      // a first link in the place of a consent that can not be renewed
)

// Origin says who asked for an attempt.
type Origin string

// The origins.
const (
	OriginAPI  Origin = "api"
	OriginPage Origin = "page" // a person on the reconnect page
)

// AttemptStatus is how far an attempt has come.
type AttemptStatus string

// The statuses. Everything after AttemptPending is an outcome and final.
const (
	AttemptStarted     AttemptStatus = "started"     // the person is on the way
	AttemptClaimed     AttemptStatus = "claimed"     // one of us is exchanging the code
	AttemptPending     AttemptStatus = "pending"     // linked, to be confirmed by the application
	AttemptLinked      AttemptStatus = "linked"      // a consent was registered
	AttemptRenewed     AttemptStatus = "renewed"     // a consent was renewed, by this attempt or one that overtook it
	AttemptDenied      AttemptStatus = "denied"      // the person said no
	AttemptMismatched  AttemptStatus = "mismatched"  // another bank login came back
	AttemptFailed      AttemptStatus = "failed"      // see Reason
	AttemptInterrupted AttemptStatus = "interrupted" // lost half way; the consent is as it was
	AttemptExpired     AttemptStatus = "expired"     // nobody came back in time
)

// Attempt is one trip to the bank.
type Attempt struct {
	ApplicationID string
	ID            string
	Kind          AttemptKind
	Origin        Origin

	ConsentID  string // the consent to renew or replace; for a link the one that it made
	Cycle      int    // of that consent when the attempt began; 0 for a link
	UserID     string
	Provider   string
	ProviderID string
	Scopes     []string

	RedirectURI string
	Hosted      bool   // RedirectURI is our own callback
	ReturnTo    string // where a hosted callback goes on to; empty for a page of ours
	CallerState []byte // the application's own, returned byte for byte; nil for none
	StateHash   []byte // fingerprint of the state that the provider will return; nil for none

	URI      Sealed // the link at the provider
	Verifier Sealed // PKCE
	ReuseKey []byte // fingerprint of everything that must be equal for the attempt to be used again

	CreatedAt time.Time
	ExpiresAt time.Time

	Status       AttemptStatus
	ClaimID      string    // of the present claim; a new claim makes an old one powerless
	ClaimedUntil time.Time // after that the claim is stale
	Code         Sealed    // of the trip, kept while claimed
	Grant        Sealed    // what the code brought, until it has become a consent's or was given back

	FinishedAt    time.Time
	Reason        string // why it ended as it did: an error code or the bank's own code
	CredentialsID string // what came back from the bank
	ResultHash    []byte // fingerprint of the one-time value that return_to received
	ConfirmBy     time.Time
}

// StatusAt returns the attempt's status, where an attempt that nobody returned
// from in time is expired.
func (a *Attempt) StatusAt(now time.Time) AttemptStatus {
	if a.Status == AttemptStarted && reached(a.ExpiresAt, now) {
		return AttemptExpired
	}
	return a.Status
}

// Finished reports whether the attempt has an outcome to show. A pending one
// has: its outcome waits for the application, not for the bank.
func (s AttemptStatus) Finished() bool {
	switch s {
	case AttemptStarted, AttemptClaimed:
		return false
	default:
		return true
	}
}

// GiveBack is a grant that we must not keep: it is to be revoked at the
// provider, and retried until that is done or pointless.
type GiveBack struct {
	ApplicationID string
	ID            string
	ConsentID     string // whose tokens these were; empty where they never became a consent's
	Provider      string
	CredentialsID string
	Grant         Sealed // sealed under ID
	Reason        string
	CreatedAt     time.Time
	NextTryAt     time.Time
	Tries         int
}

// ReconnectLink lets the holder of an emailed link start a renewal. Only the
// fingerprint of its token is kept.
type ReconnectLink struct {
	ApplicationID string
	TokenHash     []byte
	ConsentID     string
	UserID        string
	Cycle         int // a renewal ends the link
	ReturnTo      string
	State         []byte
	AddressHash   []byte // fingerprint of the address that it was sent to; nil where the application asked for it
	CreatedAt     time.Time
	ExpiresAt     time.Time
	NewerAt       time.Time // when the newest link for the consent was sent, if that is a later one; not stored
}

// MessageLink asks for the link that a message to an address carries.
type MessageLink struct {
	Consent   *Consent
	MessageID string
	Address   string
	Stage     string // that the message tells of
}
