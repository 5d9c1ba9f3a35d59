package consent

import (
	"context"
	"time"
)

// Registry keeps applications, users, consents and attempts. Each method is
// one atomic step. Methods answer ErrNotFound where the row that they are
// about does not exist in that application, and the other sentinels of this
// package where their comment says so; any other error is the database's.
//
// Every method that is about one application takes its id, and sees nothing
// of the others (law 8). Only the methods of Sweeping, Digests,
// Webhooks, Inbound, Health and Upkeep, and those that purge, look across
// applications.
type Registry interface {
	Applications
	Users
	Consents
	Attempts
	ReconnectLinks
	Sweeping
	Digests
	Health
	Confirmations
	Webhooks
	Inbound
	Upkeep
}

// Applications keeps tenants, their keys and their settings at providers.
type Applications interface {
	// CreateApplication answers ErrExists where id or slug is taken.
	CreateApplication(ctx context.Context, a Application) error
	UpdateApplication(ctx context.Context, a Application) error
	// EndRearm clears RearmAt, unless the cadence was changed again since.
	EndRearm(ctx context.Context, applicationID string, asked time.Time) error
	Application(ctx context.Context, id string) (Application, error)
	ApplicationBySlug(ctx context.Context, slug string) (Application, error)
	// ListApplications tells apart those whose settings can be read from those
	// whose cannot: one must not hide the others.
	ListApplications(ctx context.Context) (readable []Application, unreadable []UnreadableApplication, err error)

	PutProviderSettings(ctx context.Context, s ProviderSettings) error
	ProviderSettings(ctx context.Context, applicationID, provider string) (ProviderSettings, error)

	CreateAPIKey(ctx context.Context, k APIKey) error
	// ApplicationByKey finds the application whose unrevoked key has the hash.
	ApplicationByKey(ctx context.Context, slug string, hash []byte) (Application, error)
	ListAPIKeys(ctx context.Context, applicationID string) ([]APIKey, error)
	RevokeAPIKey(ctx context.Context, applicationID, keyID string, at time.Time) error
}

// Users keeps contact details.
type Users interface {
	// PutUser writes all of a user. CreatedAt and UnsubscribedAt stay as they were
	// where the user exists, and so does the mark of an address that stays the same.
	// Another address or PasswordHash than was there ends, in the same step, the
	// user's live codes, reverifications, proofs and tokens in all sessions, and what
	// was proven by the old one.
	PutUser(ctx context.Context, u User) (User, error)
	// ResealPassword puts a user's password, sealed anew, in the place of was, and
	// ends nothing: it is the same one. Where another stands by now that is left.
	ResealPassword(ctx context.Context, applicationID, userID string, was, now Sealed) error
	User(ctx context.Context, applicationID, userID string) (User, error)
	// SetUnsubscribed writes since when the person wants no reminders; one that
	// stands is kept. The zero time takes it back.
	SetUnsubscribed(ctx context.Context, applicationID, userID string, at time.Time) error
	// ClearRefusals forgets that the user's address of each channel was refused;
	// ErrNotFound where there is no such user.
	ClearRefusals(ctx context.Context, applicationID, userID string, channels ...Channel) error
	// EraseUser deletes the person: contact details, labels and account
	// fingerprints and what they confirmed word for word go, and with them all that
	// the person has proven or could prove it with; what waits to be sent is
	// dropped; and consents, attempts, reconnect links, digests, confirmations and
	// the audit keep pseudonym in the place of who it was. Consents must have been
	// revoked and attempts ended before; ErrBusy where one has not.
	EraseUser(ctx context.Context, applicationID, userID, pseudonym string) error
}

// Find says which consents to look for: all fields that are set must match.
// TokenHash finds by any refresh token that the consent ever had.
type Find struct {
	UserID        string
	Provider      string
	CredentialsID string
	TokenHash     []byte
}

// ListFilter is one page of a listing, in the order of CreatedAt and ID.
type ListFilter struct {
	Status        Status // empty for all
	UserID        string
	Provider      string
	ExpiresBefore time.Time // compares ExpiresAt; consents without one are left out
	Now           time.Time // by which Status is computed
	Limit         int
	AfterCreated  time.Time // the last row of the page before; zero for the first page
	AfterID       string
}

// Registration is a consent that comes to exist.
type Registration struct {
	Consent   Consent
	TokenHash []byte // fingerprint of the refresh token; nil for none
	Events    []Event
	// Contact is merged into the user: what is set here and empty there. A
	// user that does not exist is created.
	Contact User
}

// TokenUpdate stores tokens that did not come from a trip to the bank. It
// changes nothing but tokens and custody.
type TokenUpdate struct {
	ApplicationID string
	ConsentID     string
	LeaseID       string // must be the lease in force; ErrClaimLost otherwise
	Tokens        Tokens // an empty Refresh keeps the old one
	TokenHash     []byte // of a new refresh token; nil where it did not change
	Custody       Custody
	NextCheckAt   time.Time
}

// Outlook is what the provider's word, or its absence, changed about a
// consent's future. ErrOvertaken where the cycle is another one, or the
// consent was revoked.
type Outlook struct {
	ApplicationID string
	ConsentID     string
	Cycle         int
	ExpiresAt     time.Time
	ExpirySource  ExpirySource
	EndedAt       time.Time
	EndedReason   string
	RefusedAt     time.Time

	LapsingAt, LapsesAt, RenewableUntil, NextStageAt, NextCheckAt time.Time

	Events []Event
}

// Revocation ends a consent for good: its tokens are dropped, and GiveBack,
// where it is set, is queued in the same step. Revoking a revoked consent
// changes nothing and returns it as it is.
type Revocation struct {
	ApplicationID string
	ConsentID     string
	By            string
	At            time.Time
	GiveBack      *GiveBack
	Event         Event
}

// Consents keeps consents and their history. Methods that add events number
// them; an Event's Seq, Cycle and ConsentID need not be filled in.
type Consents interface {
	Consent(ctx context.Context, applicationID, id string) (Consent, error)
	FindConsents(ctx context.Context, applicationID string, f Find) ([]Consent, error)
	ListConsents(ctx context.Context, applicationID string, f ListFilter) ([]Consent, error)
	Events(ctx context.Context, applicationID, consentID string, afterSeq int64, limit int) ([]Event, error)

	// Register adds consents that exist already at the provider, all of one
	// application, in one step. A consent whose (user, provider, credentials
	// id) is registered and not revoked is left as it is; added[i] tells.
	Register(ctx context.Context, applicationID string, rs []Registration) (added []bool, err error)

	// Lease makes the caller the only one who may talk to the provider with
	// this consent's tokens, until the given time. ErrBusy where somebody else
	// holds an unexpired lease or an attempt for the consent is claimed.
	Lease(ctx context.Context, applicationID, consentID, leaseID string, now, until time.Time) (Consent, error)
	EndLease(ctx context.Context, applicationID, consentID, leaseID string) error

	StoreTokens(ctx context.Context, u TokenUpdate) error
	// ForgetAccess drops the cached access tokens of the consents with these
	// credentials, other than the named one: the provider honours only the
	// newest, and that is the named one's.
	ForgetAccess(ctx context.Context, applicationID, provider, credentialsID, exceptConsentID string) error
	SetOutlook(ctx context.Context, o Outlook) error
	Revoke(ctx context.Context, r Revocation) (Consent, error)

	// Replacement returns the unrevoked, confirmed consent that stands in the place
	// of the named one; the newest, where there are several.
	Replacement(ctx context.Context, applicationID, consentID string) (Consent, error)
	// CredentialsInUse reports whether an unrevoked consent of the
	// application, other than the named one, has these credentials. A pending
	// one counts: it may be confirmed yet.
	CredentialsInUse(ctx context.Context, applicationID, provider, credentialsID, exceptConsentID string) (bool, error)
}

// Claim takes an attempt for completion.
type Claim struct {
	ApplicationID string
	AttemptID     string
	ClaimID       string
	Now           time.Time
	Until         time.Time
	Code          Sealed // stored where no earlier claim brought one
}

// Finish ends a claimed or started attempt without any change to its consent
// but the event. ConsentID, where it is set, is what the attempt turned out to
// be about. ErrClaimLost where ClaimID is not the claim in force; an
// empty ClaimID ends only an attempt that nobody has claimed.
type Finish struct {
	ApplicationID string
	AttemptID     string
	ClaimID       string
	At            time.Time
	Status        AttemptStatus
	Reason        string
	ConsentID     string // empty leaves the attempt's
	CredentialsID string
	Event         *Event    // for the attempt's consent; nil for none
	GiveBack      *GiveBack // queued in the same step; nil for none
	// ForgetAccess drops the cached access tokens of the consents with
	// CredentialsID, or where that is unknown of the attempt's consent: the
	// provider honours only the newest, which was the attempt's.
	ForgetAccess bool
}

// Renewal completes an attempt by starting its consent's next cycle.
type Renewal struct {
	ApplicationID string
	AttemptID     string
	ClaimID       string
	At            time.Time

	// Consent is the consent as it shall be, its Cycle one more than the
	// stored one. An empty Tokens.Refresh keeps the stored token. Identity,
	// custody, CreatedAt and Replaces are not written, CredentialsID is.
	Consent   Consent
	TokenHash []byte // of a new refresh token; nil where there is none
	Event     Event
}

// Linkage completes an attempt by making a consent. A pending consent gets
// neither tokens nor events; the attempt keeps the grant, and becomes
// AttemptPending.
type Linkage struct {
	ApplicationID string
	AttemptID     string
	ClaimID       string
	At            time.Time
	Registration  Registration
	ResultHash    []byte    // of the value that return_to receives; nil for none
	ConfirmBy     time.Time // for a pending consent
}

// Hold makes an attempt wait for the application's confirmation where the
// login belongs to a consent that exists already: that one stays as it is.
type Hold struct {
	ApplicationID string
	AttemptID     string
	ClaimID       string
	At            time.Time
	ConsentID     string
	CredentialsID string
	ResultHash    []byte
	ConfirmBy     time.Time
}

// Activation makes the pending consent of a confirmed attempt a real one.
type Activation struct {
	ApplicationID string
	AttemptID     string
	ClaimID       string
	At            time.Time
	Consent       Consent // all times and tokens, Pending false
	TokenHash     []byte
	Event         Event
}

// Attempts keeps trips to the bank.
type Attempts interface {
	// BeginAttempt stores an attempt, and event for its consent where that is
	// not nil. It changes nothing else about the consent.
	BeginAttempt(ctx context.Context, a Attempt, event *Event) error
	Attempt(ctx context.Context, applicationID, id string) (Attempt, error)
	// ReusableAttempt finds a started attempt for the consent with this
	// ReuseKey, made after since and not expired at now.
	ReusableAttempt(ctx context.Context, applicationID, consentID string, reuseKey []byte, since, now time.Time) (Attempt, error)
	// OpenAttempts returns a user's attempts that have no final outcome yet,
	// oldest first.
	OpenAttempts(ctx context.Context, applicationID, userID string) ([]Attempt, error)
	// AttemptsByState returns the attempts with a state's fingerprint,
	// newest first, at most ten.
	AttemptsByState(ctx context.Context, applicationID string, stateHash []byte) ([]Attempt, error)

	// ClaimAttempt makes the caller the one who completes the attempt: it
	// claims a started attempt, or one whose claim is stale, and takes the
	// lease of its consent for as long. It returns
	//   - the attempt with the caller's ClaimID: claimed;
	//   - a finished attempt as it is: its outcome is to be shown. An attempt
	//     whose consent has been renewed since it began is finished by this
	//     call as AttemptRenewed, Reason "overtaken"; one whose consent has
	//     been revoked as AttemptFailed, Reason "consent_revoked"; one that
	//     came too late as AttemptExpired;
	//   - ErrBusy: somebody else is at it, or holds the consent's lease.
	ClaimAttempt(ctx context.Context, c Claim) (Attempt, error)
	// ClaimConfirmation claims a pending attempt alike, to confirm it or to
	// give it back, also past its ConfirmBy. It stays AttemptPending while the
	// claim lies over it. One with an outcome is returned as it is; one that
	// has not come back from the bank yet is ErrBusy.
	ClaimConfirmation(ctx context.Context, c Claim) (Attempt, error)
	// KeepGrant stores what the code brought, and forgets the code.
	KeepGrant(ctx context.Context, applicationID, attemptID, claimID string, grant Sealed) error
	// ReleaseAttempt ends a claim without an outcome: the attempt can be
	// claimed again at once. Code and grant are kept; where there is a grant,
	// its consent's cached access token, which it superseded, is dropped.
	ReleaseAttempt(ctx context.Context, applicationID, attemptID, claimID string, now time.Time) error

	FinishAttempt(ctx context.Context, f Finish) (Attempt, error)
	// Renew answers ErrClaimLost, or ErrOvertaken where the consent's cycle
	// has moved on or it was revoked.
	Renew(ctx context.Context, r Renewal) (Consent, error)
	// Link answers ErrExists where an unrevoked consent with this (user,
	// provider, credentials id) exists.
	Link(ctx context.Context, l Linkage) (Consent, error)
	HoldAttempt(ctx context.Context, h Hold) error
	Activate(ctx context.Context, a Activation) (Consent, error)
}

// ReconnectLinks keeps the links that are mailed to people.
type ReconnectLinks interface {
	// CreateReconnectLink leaves a link that exists as it is.
	CreateReconnectLink(ctx context.Context, l ReconnectLink) error
	// CreateMessageLinks is the same for links of messages, all of one application;
	// their ReturnTo and State are not written.
	CreateMessageLinks(ctx context.Context, applicationID string, list []ReconnectLink) error
	ReconnectLink(ctx context.Context, applicationID string, tokenHash []byte) (ReconnectLink, error)
	// PurgeReconnectLinks deletes at most limit links that expired before a
	// moment, of all applications.
	PurgeReconnectLinks(ctx context.Context, before time.Time, limit int) (int, error)
}

// DueFilter is one batch of a sweep: consents with a stage due at Now, in the
// order of (NextStageAt, ApplicationID, ID).
type DueFilter struct {
	Now     time.Time
	Nearest time.Time // only consents that lapse by then; zero for all
	After   DueCursor // the last one of the batch before; zero for the first batch
	Limit   int
}

// DueCursor is a place in the order of what is due.
type DueCursor struct {
	At            time.Time
	ApplicationID string
	ID            string
}

// Judgement is what a sweep decided about one consent. Events are in order;
// DigestID, where it is set, asks for the user to be told of Flag.Announce by
// mail: by the message that is open to the user, or else by a new one with this id.
type Judgement struct {
	Flag        Flag
	Events      []Event
	DigestID    string
	SMSDigestID string // the same by SMS, for a user who has a phone
	// NoAddress, where it is set, makes one more event, for a user whom neither of
	// the two reaches, because there is no address: once a cycle.
	NoAddress func() Event
}

// Judged is a consent, as it was, with what became of it.
type Judged struct {
	Consent Consent
	Judgement
}

// Sweeping finds what is due. The consents that it returns carry neither
// tokens nor anything else that a sweep does not judge by.
type Sweeping interface {
	// Due lists a batch and changes nothing.
	Due(ctx context.Context, d DueFilter) ([]Consent, error)
	// Flag takes a batch, has each consent judged, and writes all of it in one
	// step: times, events, notices. Consents that another sweep has in hand are
	// passed over. judge must have no effects: it may run more than once.
	Flag(ctx context.Context, d DueFilter, judge func(*Consent) Judgement) ([]Judged, error)
	// Park parks a due consent, for the reason of f: the one way on where it
	// cannot be written otherwise. ErrNotFound where it has moved since.
	Park(ctx context.Context, c Consent, f Flag, now time.Time) error
	// Rearm writes LapsingAt and NextStageAt of consents that still lapse when
	// they did, in the same cycle, and reports how many do. What is due already
	// stays due: a sweep judges it.
	Rearm(ctx context.Context, applicationID string, list []Consent, now time.Time) (int, error)
	// Parked counts the consents that no sweep could judge, and returns the first.
	Parked(ctx context.Context, limit int) (count int, first []Consent, err error)
}

// DigestClaim makes the caller the only one who may send these digests, until a
// moment by which its job must be over.
type DigestClaim struct {
	ApplicationID string
	IDs           []string
	ClaimID       string
	Now           time.Time
	Until         time.Time
}

// Digests keeps messages to users. A digest that is not over is always due at
// some moment: whatever happens to its job, another is made then.
type Digests interface {
	// Dispatch makes jobs of at most limit digests that are due of each
	// application, each of at most DigestBatch of one application and channel, and
	// moves each digest to until, by when its job must be over, in one step. It
	// makes none while many jobs wait to be begun, and none of what users asked for.
	Dispatch(ctx context.Context, now, until time.Time, limit int) (int, error)
	// DispatchAsked does so for at most limit digests that users asked for,
	// whatever else waits.
	DispatchAsked(ctx context.Context, now, until time.Time, limit int) (int, error)
	// ListDigests returns those that are there, in the order of their ids.
	ListDigests(ctx context.Context, applicationID string, ids []string) ([]Digest, error)
	// FreezeDigests claims digests: from now on they take no more notices along.
	// Those that are over, or claimed by somebody else, or not there, are left
	// out. The order is that of their ids.
	FreezeDigests(ctx context.Context, c DigestClaim) ([]Frozen, error)
	// Subjects reads the consents that messages are about, those that are there.
	Subjects(ctx context.Context, applicationID string, consentIDs []string) ([]Subject, error)
	// Recipients reads the users that messages are for, those that are there.
	Recipients(ctx context.Context, applicationID string, userIDs []string) ([]User, error)
	// AskForMessage adds a notice that the user asked for to the message that is
	// open to them, or to a new one, which is due at now.
	AskForMessage(ctx context.Context, n Notice, userID string, now time.Time) error
	// CountDigest sets Counted. ErrClaimLost where the claim is another's.
	CountDigest(ctx context.Context, d Digest) error
	// PutOffNotices takes notices out of a frozen digest, and into the message
	// that is open to its user, or a new one with that id, which is due then.
	PutOffNotices(ctx context.Context, d Digest, notices []Notice, newID string, due time.Time) error
	// PostponeDigests ends the claims, where there are any, and writes DueAt,
	// before which nobody may claim it, Reason and Tries of each. It returns how
	// many it did: those whose claim is another's, and those that have been asked
	// for since they were read, stay as they are.
	PostponeDigests(ctx context.Context, applicationID string, list []Digest) (int, error)
	// FinishDigests ends frozen digests, each with its State, Reason and
	// FinishedAt, and writes the outcomes of their notices, all of it or nothing.
	// It returns how many it did: those whose claim is another's stay as they are.
	FinishDigests(ctx context.Context, applicationID string, list []Frozen) (int, error)
	// FinishUnreachable ends one digest alike, a message that its user's address
	// cannot take, with the events of that, in one step; ErrClaimLost where the
	// claim is another's. Where the address was refused just now, it is marked,
	// unless the user has another by now, and each consent gets its event; else a
	// consent that had one in this cycle, by this channel, gets none. One that has
	// moved on gets none in any case.
	FinishUnreachable(ctx context.Context, u Unreachable) error
}

// Health keeps what providers say of consents, and what an operator has to know
// of it.
type Health interface {
	// ClaimChecks takes at most limit consents whose NextCheckAt has come, and
	// moves it to until, so that each moves, whatever comes of it.
	ClaimChecks(ctx context.Context, now, until time.Time, limit int) ([]Consent, error)
	// PostponeCheck moves a consent's NextCheckAt, unless it has moved on.
	PostponeCheck(ctx context.Context, applicationID, consentID string, cycle int, at time.Time) error
	PutCheck(ctx context.Context, c Check) error
	// BankHealths counts, by bank, the consents that were checked since, without
	// the named one.
	BankHealths(ctx context.Context, applicationID, provider string, since time.Time, exceptConsentID string) ([]BankHealth, error)
	// Failing names the applications and providers with a check since that was
	// not ok.
	Failing(ctx context.Context, since time.Time) ([]Check, error)

	// OpenAlarm reports whether it was not open already.
	OpenAlarm(ctx context.Context, a Alarm) (opened bool, err error)
	// CloseAlarm reports whether it was open.
	CloseAlarm(ctx context.Context, a Alarm, at time.Time) (closed bool, err error)
	// ProbeAlarm reports whether the caller is the one to probe, now that
	// ProbeAt has come, and moves it to next.
	ProbeAlarm(ctx context.Context, a Alarm, now, next time.Time) (mine bool, err error)
	// Alarms lists the newest first; of all applications where none is named.
	Alarms(ctx context.Context, applicationID string, closedToo bool) ([]Alarm, error)

	// Take uses up n of what an application may use of something in the present
	// window of time, which all replicas share. It reports whether there was
	// enough left of limit.
	Take(ctx context.Context, applicationID, name string, window time.Time, n, limit int) (bool, error)
}

// Webhooks keeps the endpoints of applications, and what is on its way to them.
// Every event that goes out has a delivery to each endpoint that wants it,
// written in the step that writes the event.
type Webhooks interface {
	// CreateWebhookEndpoint reports false where the application has atMost
	// endpoints already, or more.
	CreateWebhookEndpoint(ctx context.Context, e WebhookEndpoint, atMost int) (bool, error)
	WebhookEndpoint(ctx context.Context, applicationID, id string) (WebhookEndpoint, error)
	// WebhookEndpoints lists the oldest first.
	WebhookEndpoints(ctx context.Context, applicationID string) ([]WebhookEndpoint, error)
	// ChangeWebhookEndpoint has change alter the endpoint under a lock, and
	// writes it. Where it becomes active, what waited is due now; where it is
	// gone, what waited has failed. change must have no effects: it may run more
	// than once.
	ChangeWebhookEndpoint(ctx context.Context, applicationID, id string, now time.Time, change func(*WebhookEndpoint)) (WebhookEndpoint, error)
	// DeleteWebhookEndpoint deletes its deliveries too.
	DeleteWebhookEndpoint(ctx context.Context, applicationID, id string) error

	Deliveries(ctx context.Context, applicationID string, f DeliveryFilter) ([]Delivery, error)
	// ReplayDeliveries makes at most Limit deliveries due now, as if for the first
	// time, and returns how many. Those of a range that have been due anew since
	// Now are passed over, so that calling until it returns 0 replays each once.
	ReplayDeliveries(ctx context.Context, r Replay) (int, error)

	// DispatchWebhooks makes jobs for at most limit active endpoints with
	// something due that nobody sends to. Each gets no other until its job has
	// claimed it, or until.
	DispatchWebhooks(ctx context.Context, now, until time.Time, limit int) (int, error)
	// ClaimWebhookEndpoint answers ErrBusy where it is not active, or claimed by
	// somebody else, or to be left alone for now.
	ClaimWebhookEndpoint(ctx context.Context, c EndpointClaim) (WebhookEndpoint, error)
	// DueDeliveries lists what is due to an endpoint, longest due first.
	DueDeliveries(ctx context.Context, applicationID, endpointID string, now time.Time, limit int) ([]Delivery, error)
	// RecordDelivery writes what came of a try, and has judge alter the endpoint
	// as ChangeWebhookEndpoint does. ErrClaimLost where the claim is not the one
	// in force; a delivery that is over stays as it is.
	RecordDelivery(ctx context.Context, claimID string, d Delivery, judge func(*WebhookEndpoint)) (WebhookEndpoint, error)
	// ReleaseWebhookEndpoint ends a claim. The endpoint is left alone until free.
	ReleaseWebhookEndpoint(ctx context.Context, c EndpointClaim, free time.Time) error
	// PurgeDeliveries deletes at most limit deliveries that have been over since
	// before, or have waited for as long.
	PurgeDeliveries(ctx context.Context, before time.Time, limit int) (int, error)
}

// Inbound keeps what providers sent by webhook.
type Inbound interface {
	// ReceiveInbound stores an event and its job in one step. It reports false
	// where the same event is there already.
	ReceiveInbound(ctx context.Context, e InboundEvent) (bool, error)
	// ApplyInbound takes at most limit events that nothing has been done about
	// yet, and makes the checks of the consents that they are about due now:
	// those that we check, and that have not been renewed since the event. An
	// event that is older than another of its login changes nothing.
	ApplyInbound(ctx context.Context, now time.Time, limit int) (taken int, err error)
	// PurgeInbound deletes at most limit events that came before a moment.
	PurgeInbound(ctx context.Context, before time.Time, limit int) (int, error)
}

// Confirmations keeps what people confirmed. Lines are only ever added.
type Confirmations interface {
	// RecordConfirmation stores the act, and its event for the consent.
	RecordConfirmation(ctx context.Context, c Confirmation, event Event) error
	Confirmations(ctx context.Context, applicationID, consentID string) ([]Confirmation, error)
}

// Upkeep finds what has been left half done, across applications.
type Upkeep interface {
	// StaleAttempts returns attempts whose claim ran out before now, oldest first.
	StaleAttempts(ctx context.Context, now time.Time, limit int) ([]Attempt, error)
	// UnconfirmedAttempts returns pending attempts whose ConfirmBy has passed.
	UnconfirmedAttempts(ctx context.Context, now time.Time, limit int) ([]Attempt, error)

	// ClaimGiveBacks returns grants due to be given back, and moves their next
	// try to until, so that nobody else takes them meanwhile.
	ClaimGiveBacks(ctx context.Context, now, until time.Time, limit int) ([]GiveBack, error)
	// ClaimGiveBack is the same for one that was queued a moment ago.
	ClaimGiveBack(ctx context.Context, applicationID, id string, now, until time.Time) (GiveBack, error)
	RetryGiveBack(ctx context.Context, applicationID, id string, next time.Time) error
	EndGiveBack(ctx context.Context, applicationID, id string) error

	// Ping reports whether the database answers.
	Ping(ctx context.Context) error
}
