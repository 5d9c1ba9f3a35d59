package stepup

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/usertoken"
)

// Keys seals secrets for the row that they stand in, and makes fingerprints by
// which they can be found again. See package seal.
type Keys interface {
	Seal(plaintext []byte, row string) ([]byte, error)
	Open(sealed []byte, row string) ([]byte, error)
	Fingerprint(purpose string, value []byte) ([]byte, error)
}

// Applications lists the tenants.
type Applications interface {
	ListApplications(ctx context.Context) (readable []consent.Application, unreadable []consent.UnreadableApplication, err error)
}

// Tokens verifies tokens of users. See package usertoken.
type Tokens interface {
	Verify(ctx context.Context, token string, rules *usertoken.Rules) (usertoken.Claims, error)
}

// Passwords compares passwords with imported hashes, in a bounded pool. Verify
// takes as long where there is no hash.
type Passwords interface {
	Verify(ctx context.Context, hash, password string) (bool, error)
	Dummy(ctx context.Context, password string) error
}

// Messenger writes to users. Its methods return at once, whether something is
// sent or not: the time that a caller waits must tell nothing.
type Messenger interface {
	// SendCode sends a code, or reports that there is no room for it. What became
	// of it is told by Service.CodeSent.
	SendCode(m CodeMessage) error
	// Tell writes a security notice, as well as it can.
	Tell(n Notice)
	// Reaches reports whether messages of a channel can be sent at all.
	Reaches(c consent.Channel) bool
}

// CodeMessage is a code on its way to a person.
type CodeMessage struct {
	Application *consent.Application
	User        *consent.User
	Audit       Audit // what to record, once the outcome is known
	Channel     consent.Channel
	To          string
	Code        string
	Operation   string
	Details     *reauth.Details
	ExpiresAt   time.Time
}

// Event is what a security notice tells of.
type Event string

// The events.
const (
	EventLocked        Event = "locked"
	EventFactorAdded   Event = "factor_added"
	EventFactorRemoved Event = "factor_removed"
	EventBackupUsed    Event = "backup_used"
)

// Notice is a security notice to a person, to every address that was known
// before the change.
type Notice struct {
	Application *consent.Application
	User        *consent.User
	Event       Event
	Factor      FactorKind
	Address     string    // of a phone that was enrolled or removed
	Left        int       // backup codes
	Until       time.Time // locked
	Phones      []string  // beside the user's own
}

// Config is what a Service is made of. All fields are required.
type Config struct {
	Store        Store
	Applications Applications
	Keys         Keys
	Tokens       Tokens
	Passwords    Passwords
	Identity     IdentityProvider
	Messenger    Messenger
	Now          func() time.Time
	NewID        func() string // unique, sortable by time, [0-9a-z]
	Log          *slog.Logger
	BaseURL      string // of this service: the issuer of proofs
	Targets      usertoken.Targets
	// NamesOptional is for development: tokens need neither iss nor aud.
	NamesOptional bool
}

// Service is the use cases. It is safe for concurrent use.
type Service struct {
	Config
	directory directory
	ring      ring
}

// New returns a Service.
func New(cfg Config) *Service {
	return &Service{Config: cfg}
}

func (s *Service) now() time.Time { return s.Now().UTC().Truncate(time.Microsecond) }

// Durations and limits that hold for every application (reauth-wire.md 3 to 7).
const (
	codeValidity           = 5 * time.Minute
	reverificationValidity = 10 * time.Minute
	verificationValidity   = 10 * time.Minute
	sudoValidity           = 15 * time.Minute

	failuresLimit = 10
	failuresPer   = time.Hour
	sendsLimit    = 5
	sendsPer      = time.Hour
	beginsLimit   = 100
	beginsPer     = 10 * time.Minute
	notesLimit    = 100
	notesPer      = 10 * time.Minute
)

// Pauses between two codes, by who asks (reauth-wire.md 7).
const (
	ResendAfter      = 30 * time.Second
	ChainResendAfter = time.Minute // CloudBase's chain
)

// Of GET /reauthenticate, so many calls are answered in a stretch of time.
const (
	CallsLimit = 10
	CallsPer   = 5 * time.Minute
)

// Caller is who is asking, as the token of the request says it.
type Caller struct {
	Tenant *Tenant
	Who
	Token    usertoken.Claims
	DeviceID string
	IPPrefix string
}

// audit begins a line about a caller.
func (s *Service) audit(c *Caller, a Action) Audit {
	return Audit{
		ApplicationID: c.ApplicationID, ID: s.NewID(), At: s.now(), UserID: c.UserID, SessionID: c.SessionID,
		DeviceID: c.DeviceID, IPPrefix: c.IPPrefix, Action: a,
	}
}

// standing reads a caller. A user whom we do not hold has no business here.
func (s *Service) standing(ctx context.Context, who Who) (Standing, error) {
	st, err := s.Store.Standing(ctx, who)
	if errors.Is(err, consent.ErrNotFound) {
		return st, userUnknown()
	}
	return st, err
}

func userUnknown() *consent.Error {
	return refuse(CodeUserUnknown, "The user of this token is not known here, or was erased. The application registers users with PUT /v1/users/{id}.")
}
