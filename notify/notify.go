package notify

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/reconsent/reconsent/consent"
)

// Registry is what the package needs of the registry.
type Registry interface {
	consent.Digests
	Application(ctx context.Context, id string) (consent.Application, error)
	// ClearRefusals forgets that addresses of a user were refused. See consent.Users.
	ClearRefusals(ctx context.Context, applicationID, userID string, channels ...consent.Channel) error
}

// Links makes the links that lead people to their bank.
type Links interface {
	// MessageLinks makes the links that messages carry, in order: the same however
	// often a message is made.
	MessageLinks(ctx context.Context, app *consent.Application, want []consent.MessageLink) ([]string, error)
	// UnsubscribeLink makes the link by which the user ends the reminders.
	UnsubscribeLink(app *consent.Application, user *consent.User) (string, error)
}

// Gate says whether messages may leave now. See connector.
type Gate interface {
	// Held says why no message may be about each of these consents now, empty
	// where one may, and until when.
	Held(ctx context.Context, app *consent.Application, about []consent.Consent) (why []string, until time.Time, err error)
	// Admit counts a mail against the application's ceiling. It says until when
	// the mail has to wait, and zero where it need not.
	Admit(ctx context.Context, app *consent.Application) (until time.Time, err error)
	// Serving says how whoever takes the application's messages by a channel does:
	// trouble is for an operator, and empty where messages are taken.
	Serving(ctx context.Context, app *consent.Application, channel consent.Channel, trouble string) error
}

// Message is one mail or SMS as a channel sends it. Names and the subject are
// text: the channel makes headers of them. Of an SMS only ID, To and Text are
// set.
type Message struct {
	ID       string // stable over retries; without angle brackets or a domain
	To       string // an address, or a phone number in E.164 form
	ToName   string // may be empty
	FromName string
	ReplyTo  string // address; empty: that of the sender
	// ListUnsubscribe is the https address that a POST ends the reminders at
	// (RFC 8058); empty where there is none.
	ListUnsubscribe string
	Language        string // BCP 47
	Subject         string
	Text            string
	HTML            string
}

// String keeps what a message says, which may be a code, and to whom, out of
// logs and errors.
func (m Message) String() string { return "message " + m.ID }

// GoString keeps the same out of %#v.
func (m Message) GoString() string { return m.String() }

// LogValue implements slog.LogValuer.
func (m Message) LogValue() slog.Value { return slog.StringValue(m.String()) }

// MarshalJSON implements json.Marshaler, for slog's JSON and all it nests in.
func (m Message) MarshalJSON() ([]byte, error) { return json.Marshal(m.String()) }

// Mailer hands a message over, by mail or SMS. It returns nil only where the
// message was accepted, ErrRefused in the chain where it never will be,
// ErrMisconfigured where not the message but our own settings are at fault,
// ErrAway where nobody was there to take any message, and ErrUnanswered where
// nobody knows whether it was accepted.
type Mailer interface {
	Send(ctx context.Context, m Message) error
}

// ErrRefused says that a message will not be accepted, however often it is
// tried: the address, or the message itself, was refused for good.
var ErrRefused = errors.New("refused for good")

// ErrNoAddress says, in the chain of an ErrRefused, that nobody was asked:
// nothing can be sent to what stands for an address.
var ErrNoAddress = errors.New("no address")

// ErrMisconfigured says that we are not let in: the message waits for an
// operator, and its user's address is not to blame.
var ErrMisconfigured = errors.New("our settings are refused")

// ErrAway says that no connection came about: the next message would find none
// either.
var ErrAway = errors.New("nobody is there to take it")

// ErrUnanswered says that the whole message was handed over and no answer came:
// it may have been accepted.
var ErrUnanswered = errors.New("handed over, and not answered")

// Config is what a Notifier is made of. All fields but Mailer and SMS are
// required.
type Config struct {
	Registry Registry
	Links    Links
	Gate     Gate
	Mailer   Mailer // nil where no mail server is configured: nothing is sent, and that recorded
	SMS      Mailer // nil where no SMS gateway is configured: likewise
	Now      func() time.Time
	NewID    func() string
	Log      *slog.Logger
}

// Notifier sends digests. It is safe for concurrent use.
type Notifier struct {
	Config

	servers servers
	rest    func(context.Context, time.Duration) bool
}

// New returns a Notifier.
func New(cfg Config) *Notifier { return &Notifier{Config: cfg, rest: rest} }

const (
	// BatchTimeout is that of the job that sends a batch: longer than beginFor and
	// the slowest answer to a message. What is cut off by it was not answered.
	BatchTimeout = 100 * time.Second
	// claimFor is longer than the job takes.
	claimFor = 2 * time.Minute
	// beginFor is for how long a batch begins messages. What is left then is for
	// another job.
	beginFor = 30 * time.Second
	// recordEach is how many messages may be accepted before that is recorded: so
	// many are sent again, under the same Message-ID, where a process dies.
	recordEach = 10
	// recordAfter is how long an acceptance goes unrecorded at most, but for the
	// message that is being sent.
	recordAfter = 100 * time.Millisecond
	// freshFor is how old the look at a message may be when it is sent.
	freshFor = time.Second
	// patience is how often a message is tried: with the pauses below, three days.
	patience = 24
	// unansweredTries is how often a message is tried that was handed over and not
	// answered: it may have arrived each time.
	unansweredTries = 3
)

// pauseAfter returns how long to wait after so many tries: from a minute to
// four hours, give or take a fifth.
func pauseAfter(tries int) time.Duration {
	d := min(time.Minute<<min(tries, 12), 4*time.Hour)
	return d - d/5 + time.Duration(rand.Int64N(int64(2*d/5))) //nolint:gosec // spreads load, guards nothing
}

// Send sends digests of one application and channel, as far as there is still
// something to tell. Those that are gone, over, or in other hands need nothing.
func (n *Notifier) Send(ctx context.Context, applicationID string, digestIDs ...string) error {
	app, err := n.Registry.Application(ctx, applicationID)
	if errors.Is(err, consent.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	ids, err := n.mayLeave(ctx, &app, digestIDs)
	if err != nil || len(ids) == 0 {
		return err
	}
	now := n.now()
	claimed, err := n.Registry.FreezeDigests(ctx, consent.DigestClaim{
		ApplicationID: applicationID, IDs: ids, ClaimID: n.NewID(), Now: now, Until: now.Add(claimFor),
	})
	if err != nil {
		return err
	}
	if len(claimed) == 0 {
		return nil
	}
	b := &batch{Notifier: n, app: &app, channel: claimed[0].Digest.Channel, until: now.Add(beginFor), claimed: now.Add(claimFor)}
	r := &record{batch: b, last: now}
	err = b.send(ctx, r, claimed)
	return errors.Join(err, b.close(ctx, r))
}

func (n *Notifier) now() time.Time { return n.Now().UTC().Truncate(time.Microsecond) }

// Do is Send as a job.
func (n *Notifier) Do(ctx context.Context, job string) error {
	app, ids, err := consent.ParseDigestKey(job)
	if err != nil {
		return err
	}
	return n.Send(ctx, app, ids...)
}
