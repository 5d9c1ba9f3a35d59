package consent

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// Channel is a way to reach a user.
type Channel string

// The channels.
const (
	ChannelEmail Channel = "email"
	ChannelSMS   Channel = "sms"
)

// Channels lists them.
var Channels = []Channel{ChannelEmail, ChannelSMS}

// Notice is one stage of one cycle, told by one channel.
type Notice struct {
	ApplicationID string
	ConsentID     string
	Cycle         int
	Stage         string
	Channel       Channel
	DigestID      string
	Outcome       Outcome
	ToldOfEnd     bool // this channel has told already, in this cycle, that access has stopped
}

// ToldAtEnd reports whether a stage of that name comes with the lapse or after
// it, so that its message says that access has stopped.
func ToldAtEnd(stage string) bool {
	return !strings.HasPrefix(stage, "before_") && !strings.HasPrefix(stage, askedFor)
}

// Outcome is what became of a notice.
type Outcome string

// The outcomes. All but OutcomeWaiting are final.
const (
	OutcomeWaiting    Outcome = "waiting"
	OutcomeSent       Outcome = "sent"
	OutcomeRenewed    Outcome = "renewed"    // the consent began a new cycle since
	OutcomeRevoked    Outcome = "revoked"    // the consent was revoked since
	OutcomeErased     Outcome = "erased"     // consent or user are gone
	OutcomeSuperseded Outcome = "superseded" // a later stage has been announced, or another consent stands in its place
	OutcomeMoved      Outcome = "moved"      // access ends much later than it did when it was announced
	OutcomeNoMail     Outcome = "no_mail"    // no mail server is configured, or the application wants none
	OutcomeNoSMS      Outcome = "no_sms"     // no SMS gateway is configured, or the application wants none any more
	OutcomeNoAddress  Outcome = "no_address" // the user has none any more
	OutcomeRefused    Outcome = "refused"    // for good, by whoever was to deliver it
	OutcomeGivenUp    Outcome = "given_up"   // tried too often

	OutcomeUnsubscribed Outcome = "unsubscribed" // the user wants no reminders
	OutcomeUnreachable  Outcome = "unreachable"  // not tried: the address was refused for good before
)

// DigestState is how far a message has come.
type DigestState string

// The states. An open one takes more notices along; a frozen one is on its way
// and carries what it carries, however often it is tried.
const (
	DigestOpen    DigestState = "open"
	DigestFrozen  DigestState = "frozen"
	DigestSent    DigestState = "sent"
	DigestDropped DigestState = "dropped" // nothing was left to tell
	DigestFailed  DigestState = "failed"
)

// Digest is one message to a user: the notices that go out together.
type Digest struct {
	ApplicationID string
	ID            string
	UserID        string
	Channel       Channel
	State         DigestState
	CreatedAt     time.Time
	DueAt         time.Time // when something is to be done about it; zero once it is over
	ClaimID       string
	ClaimedUntil  time.Time // nobody else may claim it before
	Tries         int
	Counted       bool // against the application's ceiling of a day
	Asked         bool // its user asked for it, and waits
	FinishedAt    time.Time
	Reason        string
}

// askedFor begins the stage of a notice that announces nothing: the user asked
// for a new link.
const askedFor = "asked_"

// AskedStage names the stage of a notice that its user asked for on the page of a
// link, by the fingerprint of that.
func AskedStage(id string, tokenHash []byte) string {
	return askedFor + id + "_" + hex.EncodeToString(tokenHash)
}

// AskedOn returns the fingerprint of the link in AskedStage; nil for other stages.
func AskedOn(stage string) []byte {
	rest, asked := strings.CutPrefix(stage, askedFor)
	_, text, found := strings.Cut(rest, "_")
	hash, err := hex.DecodeString(text)
	if !asked || !found || err != nil {
		return nil
	}
	return hash
}

// Asked reports whether the user asked for the notice.
func (n *Notice) Asked() bool { return strings.HasPrefix(n.Stage, askedFor) }

// Frozen is a digest that somebody has claimed, with what it carries.
type Frozen struct {
	Digest  Digest
	Notices []Notice
}

// Subject is a consent as a message about it needs it, without its tokens.
type Subject struct {
	Consent  Consent
	Replaced bool // an unrevoked, confirmed consent stands in its place
}

// The kinds of the jobs that send digests, by channel; their key is DigestKey.
const (
	JobDigest      = "digest"
	JobDigestSMS   = "digest_sms"
	JobDigestAsked = "digest_asked" // a mail that its user asked for
)

// DigestBatch is how many digests of an application one job sends at most: as
// many wait for two minutes when its process dies.
const DigestBatch = 20

// DigestJob returns the kind of the job that sends by a channel.
func DigestJob(c Channel) string {
	if c == ChannelSMS {
		return JobDigestSMS
	}
	return JobDigest
}

// AskedJob is the same for what users asked for.
func AskedJob(c Channel) string {
	if c == ChannelEmail {
		return JobDigestAsked
	}
	return DigestJob(c)
}

// Unreachable is a message that its user's address cannot take. Events are of
// its consents, each with ConsentID and Cycle set.
type Unreachable struct {
	Digest  Digest // with State, Reason and FinishedAt
	Notices []Notice
	Refused string // the address that was refused just now; empty where none was
	Events  []Event
}

// DigestKey names digests, or whatever else an application has, in a job; ids
// hold neither slash nor comma.
func DigestKey(applicationID string, ids ...string) string {
	return applicationID + "/" + strings.Join(ids, ",")
}

// ParseDigestKey reads what DigestKey wrote: at least one id.
func ParseDigestKey(key string) (applicationID string, ids []string, err error) {
	app, list, found := strings.Cut(key, "/")
	if !found {
		return "", nil, fmt.Errorf("%q is not the key of a digest", key)
	}
	return app, strings.Split(list, ","), nil
}
