package notify

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/reconsent/reconsent/consent"
)

// Registry is what the package needs of the registry.
type Registry interface {
	consent.Digests
	Application(ctx context.Context, id string) (consent.Application, error)
	User(ctx context.Context, applicationID, userID string) (consent.User, error)
	Consent(ctx context.Context, applicationID, id string) (consent.Consent, error)
	Replaced(ctx context.Context, applicationID, consentID string) (bool, error)
}

// Links makes the links that lead people to their bank.
type Links interface {
	// MessageLink makes the link that a message to an address carries: the same
	// however often the message is made.
	MessageLink(ctx context.Context, app *consent.Application, con *consent.Consent, messageID, address string) (string, error)
	// UnsubscribeLink makes the link by which the user ends the reminders.
	UnsubscribeLink(app *consent.Application, userID string) (string, error)
}

// Gate says whether messages may leave now. See connector.
type Gate interface {
	// Held says which of these consents no message may be about now, and until
	// when and why.
	Held(ctx context.Context, app *consent.Application, about []consent.Consent) (held []bool, until time.Time, why string, err error)
	// Admit counts a mail against the application's ceiling. It says until when
	// the mail has to wait, and zero where it need not.
	Admit(ctx context.Context, app *consent.Application) (until time.Time, err error)
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

// Mailer hands a message over, by mail or SMS. It returns nil only where the
// message was accepted, ErrRefused in the chain where it never will be, and
// ErrMisconfigured where not the message but our own settings are at fault.
type Mailer interface {
	Send(ctx context.Context, m Message) error
}

// ErrRefused says that a message will not be accepted, however often it is
// tried: the address, or the message itself, was refused for good.
var ErrRefused = errors.New("refused for good")

// ErrMisconfigured says that we are not let in: the message waits for an
// operator, and its user's address is not to blame.
var ErrMisconfigured = errors.New("our settings are refused")

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
type Notifier struct{ Config }

// New returns a Notifier.
func New(cfg Config) *Notifier { return &Notifier{cfg} }

const (
	// claimFor is longer than a message takes on the slowest server.
	claimFor = 2 * time.Minute
	// patience is how often a message is tried: with the pauses below, three days.
	patience = 24
)

// pauseAfter returns how long to wait after so many tries: from a minute to
// four hours, give or take a fifth.
func pauseAfter(tries int) time.Duration {
	d := min(time.Minute<<min(tries, 12), 4*time.Hour)
	return d - d/5 + time.Duration(rand.Int64N(int64(2*d/5))) //nolint:gosec // spreads load, guards nothing
}

// Send sends one digest, if there is still something to tell. A digest that is
// gone, over, or in other hands needs nothing.
func (n *Notifier) Send(ctx context.Context, applicationID, digestID string) error {
	app, err := n.Registry.Application(ctx, applicationID)
	if errors.Is(err, consent.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	now := n.now()
	if app.Paused {
		d, err := n.Registry.Digest(ctx, applicationID, digestID)
		if err != nil || d.DueAt.IsZero() || d.ClaimedUntil.After(now) {
			return quiet(err) // over, or on its way already
		}
		return quiet(n.Registry.PostponeDigest(ctx, d, now.Add(pausedFor), "paused"))
	}
	if !app.QuietHours.IsZero() {
		waits, err := n.waitsOutQuietHours(ctx, &app, digestID)
		if err != nil || waits {
			return quiet(err)
		}
	}
	d, notices, err := n.Registry.FreezeDigest(ctx, consent.DigestClaim{
		ApplicationID: applicationID, ID: digestID, ClaimID: n.NewID(), Now: now, Until: now.Add(claimFor),
	})
	if err != nil {
		return quiet(err)
	}
	if err := n.send(ctx, &app, d, notices); err != nil {
		return n.again(ctx, d, notices, err)
	}
	return nil
}

// pausedFor is when a message of a paused application is looked at again.
const pausedFor = 10 * time.Minute

func (n *Notifier) now() time.Time { return n.Now().UTC().Truncate(time.Microsecond) }

// quiet drops the errors that say that there is nothing to do.
func quiet(err error) error {
	if errors.Is(err, consent.ErrNotFound) || errors.Is(err, consent.ErrBusy) || errors.Is(err, consent.ErrClaimLost) {
		return nil
	}
	return err
}

// send looks again, and sends what still holds.
func (n *Notifier) send(ctx context.Context, app *consent.Application, d consent.Digest, notices []consent.Notice) error {
	about, err := n.lookAgain(ctx, notices)
	if err != nil {
		return err
	}
	if len(about) == 0 {
		return n.finish(ctx, d, notices, consent.DigestDropped, "nothing_left", "")
	}
	post, none := n.by(d.Channel)
	if post == nil || app.NoMail {
		return n.finish(ctx, d, notices, consent.DigestDropped, string(none), none)
	}
	user, err := n.Registry.User(ctx, d.ApplicationID, d.UserID)
	if errors.Is(err, consent.ErrNotFound) {
		return n.finish(ctx, d, notices, consent.DigestDropped, "user_gone", consent.OutcomeErased)
	}
	if err != nil {
		return err
	}
	if !user.UnsubscribedAt.IsZero() {
		if about = n.lastWord(d.Channel, about); len(about) == 0 {
			return n.finish(ctx, d, notices, consent.DigestDropped, string(consent.OutcomeUnsubscribed), "")
		}
	}
	address, refused := user.Address(d.Channel)
	switch {
	case address == "":
		d.State = consent.DigestDropped
		return n.unreachable(ctx, d, notices, about, consent.OutcomeNoAddress, "")
	case !refused.IsZero():
		d.State = consent.DigestDropped
		return n.unreachable(ctx, d, notices, about, consent.OutcomeUnreachable, "")
	}
	about, waits, err := n.admit(ctx, app, d, notices, about)
	if err != nil || waits {
		return err
	}
	m, err := n.written(ctx, app, &user, d, about)
	if err != nil {
		return err
	}
	err = post.Send(ctx, m)
	if errors.Is(err, ErrRefused) {
		n.Log.Warn("message refused for good", "digest", d.ID, "channel", string(d.Channel), "error", err)
		d.State = consent.DigestFailed
		return n.unreachable(context.WithoutCancel(ctx), d, notices, about, consent.OutcomeRefused, address)
	}
	if err != nil {
		return err
	}
	// Accepted: only a crash before this commit can send it again, under the
	// same Message-ID.
	return n.finish(context.WithoutCancel(ctx), d, notices, consent.DigestSent, "", consent.OutcomeSent)
}

// admit leaves what the gate lets through now. What it holds goes on in another
// message; where that is all, or the day's mails are used up, this one waits.
func (n *Notifier) admit(ctx context.Context, app *consent.Application, d consent.Digest, notices []consent.Notice, about []told) (left []told, waits bool, err error) {
	held, until, why, err := n.Gate.Held(ctx, app, consents(about))
	if err != nil {
		return nil, false, err
	}
	var off []consent.Notice
	for i := range about {
		if held[i] {
			off = append(off, *about[i].notice)
		} else {
			left = append(left, about[i])
		}
	}
	d.Tries-- // where it waits it was not tried
	switch {
	case len(left) == 0:
		return nil, true, n.Registry.PostponeDigest(ctx, d, until, why)
	case len(off) > 0:
		if err := n.Registry.PutOffNotices(ctx, d, off, "dgt_"+n.NewID(), until); err != nil {
			return nil, false, err
		}
		for i := range about {
			if held[i] {
				about[i].notice.DigestID = "" // not this message's any more
			}
		}
	}
	if d.Counted || d.Channel != consent.ChannelEmail || app.MailsPerDay <= 0 {
		return left, false, nil
	}
	until, err = n.Gate.Admit(ctx, app)
	if err != nil {
		return nil, false, err
	}
	if !until.IsZero() {
		return nil, true, n.Registry.PostponeDigest(ctx, d, until, string(consent.AlarmMails))
	}
	return left, false, n.Registry.CountDigest(ctx, d)
}

// lookAgain reads every notice's consent anew, writes into the notices what
// does not hold any more, and returns the rest, the nearest lapse first.
func (n *Notifier) lookAgain(ctx context.Context, notices []consent.Notice) ([]told, error) {
	var about []told
	for i := range notices {
		notice := &notices[i]
		con, err := n.Registry.Consent(ctx, notice.ApplicationID, notice.ConsentID)
		gone := errors.Is(err, consent.ErrNotFound)
		if err != nil && !gone {
			return nil, err
		}
		seen := &con
		if gone {
			seen = nil
		}
		replaced, err := n.Registry.Replaced(ctx, notice.ApplicationID, notice.ConsentID)
		if err != nil {
			return nil, err
		}
		if notice.Outcome = decide(*notice, seen, replaced, n.now()); notice.Outcome == consent.OutcomeWaiting {
			about = append(about, told{con, notice.Stage, notice})
		}
	}
	now := n.now()
	slices.SortStableFunc(about, func(a, b told) int {
		return cmp.Compare(a.consent.LapsesAt.Sub(now).Abs(), b.consent.LapsesAt.Sub(now).Abs())
	})
	return about, nil
}

// finish ends the digest; notices that were still waiting get the outcome.
func (n *Notifier) finish(ctx context.Context, d consent.Digest, notices []consent.Notice, state consent.DigestState, reason string, rest consent.Outcome) error {
	notices = own(notices)
	for i := range notices {
		if notices[i].Outcome == consent.OutcomeWaiting {
			notices[i].Outcome = rest
		}
	}
	d.State, d.Reason, d.FinishedAt = state, reason, n.now()
	return quiet(n.Registry.FinishDigest(ctx, d, notices))
}

// own leaves out the notices that have gone on in another message.
func own(notices []consent.Notice) []consent.Notice {
	return slices.DeleteFunc(slices.Clone(notices), func(n consent.Notice) bool { return n.DigestID == "" })
}

// again makes the digest due later, or gives it up.
func (n *Notifier) again(ctx context.Context, d consent.Digest, notices []consent.Notice, cause error) error {
	ctx = context.WithoutCancel(ctx)
	if d.Tries >= patience {
		n.Log.Error("message given up", "digest", d.ID, "tries", d.Tries, "error", cause)
		return n.finish(ctx, d, notices, consent.DigestFailed, "given_up", consent.OutcomeGivenUp)
	}
	level := slog.LevelWarn
	if errors.Is(cause, ErrMisconfigured) {
		level = slog.LevelError
	}
	n.Log.Log(ctx, level, "message not sent yet; it will be tried again", "digest", d.ID, "channel", string(d.Channel), "tries", d.Tries, "error", cause)
	return quiet(n.Registry.PostponeDigest(ctx, d, n.now().Add(pauseAfter(d.Tries)), "not_sent"))
}

// told is one consent that a message is about, and why.
type told struct {
	consent consent.Consent
	stage   string
	notice  *consent.Notice
}

func consents(about []told) []consent.Consent {
	list := make([]consent.Consent, len(about))
	for i := range about {
		list[i] = about[i].consent
	}
	return list
}

// Do is Send as a job.
func (n *Notifier) Do(ctx context.Context, job string) error {
	app, id, err := consent.ParseDigestKey(job)
	if err != nil {
		return err
	}
	return n.Send(ctx, app, id)
}
