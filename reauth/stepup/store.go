package stepup

import (
	"context"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
)

// Store keeps what users have proven, and what they may prove it with. Each
// method is one atomic step, with its lines of audit. Methods answer
// consent.ErrNotFound where the row that they are about does not exist in that
// application, and the other sentinels of package consent where their comment
// says so, and then nothing of the step is recorded; consent.ErrRejected where
// a value cannot be kept, like a NUL; any other error is the database's.
//
// Every method that is about one application takes its id, and sees nothing of
// the others (law 8). Only AllSettings, proof keys and Tidy look across.
type Store interface {
	SettingsStore
	Standings
	Codes
	Reverifications
	FactorStore
	Proofs
	ProofKeys
	AuditLog

	// TidyReauth deletes, up to limit rows of a kind, what nobody can ask for any
	// more: codes, reverifications, tokens and proofs whose time was over a day
	// before now, answers of a day ago, windows that nothing was counted in for a
	// day, and sessions in which nothing was proven for 100 days, which no level
	// looks back to. It reports how many went.
	TidyReauth(ctx context.Context, now time.Time, limit int) (int, error)
}

// SettingsStore keeps the settings of applications.
type SettingsStore interface {
	AllReauthSettings(ctx context.Context) ([]SealedSettings, error)
	ReauthSettings(ctx context.Context, applicationID string) (SealedSettings, error)
	PutReauthSettings(ctx context.Context, s SealedSettings) error
}

// Who is whose proof something is: it belongs to a session of a user of an
// application, and to nothing less.
type Who struct {
	ApplicationID string
	UserID        string // sub
	SessionID     string // sid
}

// Standing is all that a decision about a caller needs, read at once.
type Standing struct {
	User   consent.User
	Proven []reauth.Proven // in this session
	// ClearedAt is until when nothing counts: neither what we recorded, which is
	// gone, nor what a token says of itself.
	ClearedAt time.Time
	Factors   []EnrolledFactor
	Calls     string // the window of calls (BucketCalls); empty for none
	Failures  string // the window of failures (BucketFailures)
}

// EnrolledFactor is a factor that a user has set up, without its secret.
type EnrolledFactor struct {
	ID         string
	Kind       FactorKind
	Label      string
	Address    string // phone number, E.164
	Ref        string // what must not count twice: a fingerprint of the number
	CreatedAt  time.Time
	VerifiedAt time.Time // zero: does not count yet
	UsedAt     time.Time
	Left       int // backup codes that are unused
}

// FactorKind is what a user can enrol.
type FactorKind string

// The kinds.
const (
	KindTOTP        FactorKind = "totp"
	KindPasskey     FactorKind = "passkey"
	KindPhone       FactorKind = "phone"
	KindBackupCodes FactorKind = "backup_codes"
)

// Buckets of windows.
const (
	BucketCalls    = "calls:"    // of GET /reauthenticate, by user
	BucketFailures = "failures:" // over all factors, by user
	BucketSends    = "sends:"    // of codes, by user
	BucketAddress  = "address:"  // of codes, by fingerprint of the address
	BucketBegins   = "begins:"   // of reverifications, by user
	// BucketLocked is by user too, but counted with Take: that the user was told
	// of a lock.
	BucketLocked = "locked:"
	// BucketLimited likewise, by limit and user: that whoever ran into it stands in
	// the audit.
	BucketLimited = "limited:"
	// BucketNoted likewise, by reason and user: lines of what costs nothing to
	// repeat.
	BucketNoted = "noted:"
)

// WindowsOf are the buckets of windows that carry a user's id. They go when the
// user is erased.
func WindowsOf(userID string) []string {
	return []string{BucketCalls + userID, BucketFailures + userID, BucketSends + userID, BucketBegins + userID}
}

// AllowancesOf are what Take counts under a user's id. They go likewise.
func AllowancesOf(userID string) []string {
	names := []string{BucketLocked + userID}
	for l := range stretches {
		names = append(names, l.bucket(userID))
	}
	for _, reason := range noted {
		names = append(names, noteBucket(reason, userID))
	}
	return names
}

// Standings read who is asking, and count what they do.
type Standings interface {
	// Standing answers consent.ErrNotFound where the user is unknown or erased.
	Standing(ctx context.Context, who Who) (Standing, error)
	// Window returns a window's text, empty where there is none.
	Window(ctx context.Context, applicationID, bucket string) (string, error)
	// SwapWindow writes a window that is still as it was read, with the lines of
	// audit, and reports whether it was. An empty old is one that is not there,
	// or was emptied. Without lines it is one statement.
	SwapWindow(ctx context.Context, applicationID, bucket, old, changed string, at time.Time, log ...Audit) (bool, error)
	// Take counts n of what in a period against most, and reports whether so many
	// were left. Only the latest period of each is kept. A negative n gives back,
	// and with 0 nothing is taken: most is then what must not be over.
	Take(ctx context.Context, applicationID, what string, period time.Time, n, most int) (bool, error)
	// Clear ends all that is live of a session, or of all sessions of a user
	// where SessionID is empty: codes, reverifications, proofs, step tokens, and
	// what was proven. From then on only what is proven later counts, in sessions
	// that were never seen too. ClearedAt never goes back.
	Clear(ctx context.Context, who Who, at time.Time, log Audit) error
}

// Purpose is what a code is for. One code of a session is live for each.
type Purpose string

// The purposes.
const (
	PurposeReauthenticate Purpose = "reauthenticate" // used up in /v1/proofs/verify
	PurposeVerification   Purpose = "verification"   // becomes a verification token
	PurposeReverification Purpose = "reverification"
	PurposeEnrol          Purpose = "enrol" // a phone number as second factor
)

// Code is six digits that were sent to somebody.
type Code struct {
	Who
	ID          string
	DeviceID    string // x-device-id of the send; empty: not bound to one
	Purpose     Purpose
	Subject     string        // the reverification or the factor that it is for
	Factor      reauth.Factor // email_code, phone_code
	AddressHash []byte        // where it went, fingerprinted
	MAC         []byte        // over (application, user, purpose, id, code)
	Tries       int           // taken
	CreatedAt   time.Time
	ExpiresAt   time.Time
	// Hollow is a code that was not sent to anybody: no answer opens it. It
	// stands for an address that is not the caller's.
	Hollow bool
}

// MaxTries is how often a code may be guessed at.
const MaxTries = 5

// Codes keeps codes.
type Codes interface {
	// BeginCode ends the session's live code of that purpose and stores this one.
	// consent.ErrBusy where that was made after notBefore; earlier says when. So it
	// is of several at once, of which one is stored.
	BeginCode(ctx context.Context, c Code, notBefore time.Time, log ...Audit) (earlier time.Time, err error)
	// LiveCode finds the session's live code of a purpose, without taking a try.
	LiveCode(ctx context.Context, who Who, p Purpose, now time.Time) (Code, error)
	// UsedCode finds the code that a session used up last for a purpose, until it
	// would have expired.
	UsedCode(ctx context.Context, who Who, p Purpose, now time.Time) (Code, error)
	// TryCode takes one of a code's tries, before anything is compared.
	// consent.ErrNotFound where it is not live any more, consent.ErrClaimLost
	// where all tries are taken; the code comes back with that too.
	TryCode(ctx context.Context, applicationID, id string, now time.Time) (Code, error)
	// EndCode makes a code worthless, and deletes no trace of it. Ending it again
	// is no error.
	EndCode(ctx context.Context, applicationID, id string, at time.Time, log ...Audit) error
}

// Reverification is a user on the way to a level.
type Reverification struct {
	Who
	ID             string
	Level          string // as ParseRequirement reads it back; see Requirement.String
	Operation      string
	Details        consent.Sealed  // sealed under ID; nil for none
	Digest         string          // of the details, base64url; empty for none
	SecondEnrolled bool            // when it began; changing a factor ends it
	Proven         []reauth.Proven // in it
	Prepared       consent.Sealed  // a challenge that waits for its answer, sealed under ID
	CreatedAt      time.Time
	ExpiresAt      time.Time
	CompletedAt    time.Time
	EndedAt        time.Time
}

// Reverifications keeps them.
type Reverifications interface {
	CreateReverification(ctx context.Context, r Reverification, log ...Audit) error
	// Reverification answers consent.ErrNotFound for those of others too.
	Reverification(ctx context.Context, who Who, id string) (Reverification, error)
	// ReverificationByID is for a browser that comes back without a token. What
	// it brings beside the id has to prove that it is the one that left.
	ReverificationByID(ctx context.Context, applicationID, id string) (Reverification, error)
	// Prepare keeps a challenge in the place of one that was there.
	// consent.ErrNotFound where the reverification is complete or has ended.
	Prepare(ctx context.Context, who Who, id string, challenge consent.Sealed, log ...Audit) error
	// TakePrepared returns the challenge and forgets it: it is good for one answer.
	// consent.ErrNotFound where there is none, or the reverification is over.
	TakePrepared(ctx context.Context, who Who, id string) (consent.Sealed, error)
	// Succeed records a right answer, with all that follows from it, in one step.
	// consent.ErrClaimLost where a part of it is not there, was used up or has
	// ended meanwhile, or is another session's; where its idempotency key has an
	// answer; where At is not later than the session's end; and where what it was
	// Judged by has changed.
	Succeed(ctx context.Context, s Success) error
}

// Success is what a right answer changes. What is empty is not part of it.
type Success struct {
	Who
	At time.Time
	// Judged is the user as the answer was compared with them, where nothing is used
	// up that would have ended by a change. Their addresses, their password and the
	// factors that count have to be the same still.
	Judged *Standing
	Proven *reauth.Proven // joins what the session has proven; the latest of a factor, role and ref stands

	CodeID     string      // used up
	Step       *FactorStep // a TOTP step or a passkey's counter
	BackupCode *BackupUse  // used up
	Token      []byte      // hash of a step token that is used up

	ReverificationID string // which Proven joins too
	Seen             int    // how many were proven in it when Complete was judged; another number is consent.ErrClaimLost
	Complete         bool   // it is complete by that
	Proof            *ProofRecord

	Issue      *StepToken
	Answer     *Answer // kept for its idempotency key
	RefundFrom string  // bucket of a window that gets Refund's stamp back
	Refund     time.Time

	Log []Audit
}

// FactorStep moves a factor that counts on, and never back. With neither step
// nor secret it only says that it was used.
type FactorStep struct {
	FactorID string
	LastStep int64          // TOTP: must be above the one that stands; 0: is left
	Secret   consent.Sealed // passkey: the credential with its new counter; nil: is left
	Was      consent.Sealed // passkey: what Secret replaces, byte for byte
}

// BackupUse is one backup code.
type BackupUse struct {
	FactorID string
	Hash     []byte
	UsedAt   time.Time // zero: it is left
}

// StepKind is what a step token stands for.
type StepKind string

// The kinds (reauth-wire.md 4).
const (
	StepVerification StepKind = "verification_token"
	StepSudo         StepKind = "sudo_token"
)

// StepToken is a secret between two steps of a chain, kept as its hash.
type StepToken struct {
	Who
	Hash      []byte
	Kind      StepKind
	DeviceID  string
	Factor    reauth.Factor // by which it was earned
	Ref       string        // of that factor
	ProvenAt  time.Time
	CreatedAt time.Time
	ExpiresAt time.Time
	UsedAt    time.Time
	EndedAt   time.Time
}

// Factor rows.

// FactorRecord is a factor with its secret.
type FactorRecord struct {
	EnrolledFactor
	ApplicationID string
	UserID        string
	Secret        consent.Sealed // TOTP secret, passkey credential or its registration; sealed under ID
	LastStep      int64
}

// FactorChange is a change of what a user can prove with. It ends the user's
// live codes, reverifications, proofs and step tokens in all sessions, unless it
// only adds or removes what does not count yet.
type FactorChange struct {
	Who
	At          time.Time
	Add         *FactorRecord
	BackupCodes [][]byte // hashes, of Add
	// Verify is a factor that counts from now on, with this secret and step; no
	// secret leaves that which is there.
	// consent.ErrClaimLost where it counts already or is gone.
	Verify     string
	Secret     consent.Sealed
	LastStep   int64
	CodeID     string   // the code that proved it is used up
	Remove     []string // factors; consent.ErrClaimLost where one is gone
	ForgetRefs []string // what was proven by these, in any session, no longer counts
	EndsOthers bool     // ends what is live where only something is added too
	Log        []Audit
}

// FactorStore keeps what users have enrolled.
type FactorStore interface {
	// Factor answers consent.ErrNotFound for those of others too.
	Factor(ctx context.Context, applicationID, userID, id string) (FactorRecord, error)
	// FactorRecords returns a user's factors of a kind, oldest first.
	FactorRecords(ctx context.Context, applicationID, userID string, kind FactorKind) ([]FactorRecord, error)
	// BackupCodes returns a user's codes, those that were used too.
	BackupCodes(ctx context.Context, applicationID, userID string) ([]BackupUse, error)
	ChangeFactors(ctx context.Context, c FactorChange) error
}

// ProofRecord is a proof that was handed out: what can be used up and ended.
type ProofRecord struct {
	Who
	ID        string // jti
	Level     string
	Operation string
	Digest    string
	CreatedAt time.Time
	ExpiresAt time.Time
	UsedAt    time.Time
	EndedAt   time.Time
}

// Answer is what was answered to a use, for whoever asks again with the same
// idempotency key.
type Answer struct {
	ApplicationID string
	Key           string
	Request       []byte // digest of what was asked
	Text          string
	At            time.Time
}

// AnswerFor is how long the same answer is given to an idempotency key
// (reauth-wire.md 6).
const AnswerFor = time.Minute

// Proofs keeps proofs and step tokens until they are used up.
type Proofs interface {
	Proof(ctx context.Context, applicationID, id string) (ProofRecord, error)
	// UseProof uses a proof up, and keeps the answer where its Key is set.
	// consent.ErrClaimLost where it was used or has ended, or where the key has an
	// answer, which was given less than AnswerFor ago.
	UseProof(ctx context.Context, applicationID, id string, at time.Time, a Answer, log ...Audit) error
	StepToken(ctx context.Context, applicationID string, kind StepKind, hash []byte) (StepToken, error)
	// Answered returns what was answered to an idempotency key later than since.
	Answered(ctx context.Context, applicationID, key string, since time.Time) (Answer, error)
}

// ProofKey is a key that signs proofs, as it is kept.
type ProofKey struct {
	ID        string // RFC 7638 thumbprint
	Algorithm string // EdDSA, ES256
	Private   consent.Sealed
	CreatedAt time.Time
	ActiveAt  time.Time // signs from then on
	RetiredAt time.Time // no longer signs; zero: the newest
}

// ProofKeys keeps the keys of the installation, oldest first.
type ProofKeys interface {
	ListProofKeys(ctx context.Context) ([]ProofKey, error)
	// AddProofKey adds a key that takes over from the others at its ActiveAt.
	// consent.ErrExists where after is not the id of the newest, which somebody
	// else has added meanwhile; it is empty for the first.
	AddProofKey(ctx context.Context, k ProofKey, after string) error
	DropProofKey(ctx context.Context, id string) error
}
