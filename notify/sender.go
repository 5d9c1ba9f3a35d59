package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"regexp"
	"sync"
	"time"

	"github.com/reconsent/reconsent/consent"
)

// SecurityConfig is what a Security is made of. All fields but Mailer and SMS
// are required. A Mailer that reminders do not share is one that they do not
// keep busy.
type SecurityConfig struct {
	Mailer Mailer // nil where no mail server is configured: the outcome says so
	SMS    Mailer // nil where no SMS gateway is configured: likewise
	Now    func() time.Time
	NewID  func() string
	Log    *slog.Logger
	// Sent is told once what became of each message that Send took, from many
	// goroutines. ctx goes on for a few seconds after Drain has given up.
	Sent func(ctx context.Context, o Sent)
}

// Sent is what became of one message.
type Sent struct {
	ApplicationID, UserID string
	ID                    string // the Message-ID's part before the domain
	Channel               consent.Channel
	Kind                  NoticeKind // empty of a code
	Result                Result
	About                 any // what the message was handed over with
	Tries                 int
	At                    time.Time
}

// Result is how sending ended. The set is closed.
type Result string

// The results.
const (
	ResultSent          Result = "sent"
	ResultRefused       Result = "refused"       // for good: ErrRefused
	ResultMisconfigured Result = "misconfigured" // we are not let in: ErrMisconfigured
	ResultGivenUp       Result = "given_up"      // not taken in the time that it was good for
	ResultNoChannel     Result = "no_channel"    // nobody is configured to carry it
	ResultStopped       Result = "stopped"       // the process ended before
	ResultFailed        Result = "failed"        // it could not be written: a fault of ours
)

// ErrFull says that so many messages are under way that no more are taken: in
// all, or of this application.
var ErrFull = errors.New("too many messages are under way")

// ErrDrained says that no message is taken any more: the process ends.
var ErrDrained = errors.New("messages are no longer taken")

const (
	// maxHeld is how many messages of a channel are under way, those that wait for
	// their next try among them.
	maxHeld = 1024
	// maxHeldOfOne is one application's share of it.
	maxHeldOfOne = maxHeld / 4
	// maxTrying is how many of a channel are with its server at a time.
	maxTrying = 16
	// maxTryingOfOne is one application's share of it.
	maxTryingOfOne = maxTrying / 2
	// tryFor bounds one try: a server that hangs is asked again before the code is
	// over.
	tryFor = 30 * time.Second
	// longestPause is that between two tries; the first is a second.
	longestPause = 5 * time.Minute
	// noticeFor is for how long a notice is tried.
	noticeFor = time.Hour
	// recordFor bounds Sent.
	recordFor = 10 * time.Second
	// farewell is how long Drain waits for what it has cut off.
	farewell = time.Second
)

// Security sends codes and security notices in the background. It keeps them in
// memory only: what a crash takes, its user asks for again, and Sent was never
// told of. It is safe for concurrent use.
//
// A message that waits for its next try holds nobody up. Each channel has places
// of its own, and no application can take more than a share of them.
type Security struct {
	cfg     SecurityConfig
	life    context.Context // of all messages; over when Drain has given up
	end     context.CancelFunc
	last    chan struct{} // closed by Drain: whoever waits tries once more
	pending sync.WaitGroup
	done    *sync.Cond // of mu: a message is no longer under way

	mu      sync.Mutex
	drained bool
	lanes   map[consent.Channel]*lane
}

// lane is a channel's.
type lane struct {
	trying chan struct{} // a place for each message that is with the server
	held   int
	shares map[string]*share // by application; gone where nothing of it is held
}

type share struct {
	trying chan struct{}
	held   int
}

// NewSecurity returns a Security. Whoever makes it calls Drain.
func NewSecurity(cfg SecurityConfig) *Security {
	s := &Security{cfg: cfg, last: make(chan struct{}), lanes: map[consent.Channel]*lane{}}
	s.life, s.end = context.WithCancel(context.Background())
	s.done = sync.NewCond(&s.mu)
	for _, c := range []consent.Channel{consent.ChannelEmail, consent.ChannelSMS} {
		s.lanes[c] = &lane{trying: make(chan struct{}, maxTrying), shares: map[string]*share{}}
	}
	return s
}

// SendCode has a code sent, until it is over, and returns the message's id. It
// returns at once, before anything is rendered, so that the time that it takes
// tells nobody whether an address was known. It fails with ErrNoCode,
// ErrUnclear, ErrFull and ErrDrained; what became of the message, Sent is told.
func (s *Security) SendCode(c Codes) (id string, err error) {
	if err := c.check(); err != nil {
		return "", err
	}
	app, user := *c.Application, *c.User
	c.Application, c.User = &app, &user
	d := &dispatch{expires: c.ExpiresAt, sent: Sent{ApplicationID: app.ID, UserID: user.ID, ID: "cod_" + s.cfg.NewID(), Channel: c.Channel, About: c.About}}
	d.write = func(now time.Time) (Message, error) {
		c.Now = now
		return RenderCode(d.sent.ID, &c)
	}
	if err := s.send(d); err != nil {
		return "", err
	}
	return d.sent.ID, nil
}

// SendNotice has a notice sent to each of the recipients, for up to an hour; its
// own Channel and To are not looked at. It returns at once. It fails with
// ErrNoNotice, and with ErrFull and ErrDrained where that holds for one of the
// recipients; the others are sent to all the same.
func (s *Security) SendNotice(n Notice, to ...Recipient) error {
	if err := n.check(); err != nil {
		return err
	}
	app, user := *n.Application, *n.User
	n.Application, n.User = &app, &user
	var faults error
	for _, r := range to {
		each := n
		each.Channel, each.To = r.Channel, r.To
		d := &dispatch{
			expires: s.cfg.Now().Add(noticeFor),
			sent:    Sent{ApplicationID: app.ID, UserID: user.ID, ID: "sec_" + s.cfg.NewID(), Channel: r.Channel, Kind: n.Kind},
		}
		d.write = func(time.Time) (Message, error) { return RenderSecurity(d.sent.ID, &each) }
		faults = errors.Join(faults, s.send(d))
	}
	return faults
}

// Recipient is where a message goes.
type Recipient struct {
	Channel consent.Channel
	To      string
}

// Recipients says where a notice goes. A change goes to every address that was
// the user's before it, numbers that were enrolled as a factor among them: who
// has taken over one of them must not keep it quiet. Anything else goes by
// mail, and by SMS to whoever has no mail. What was refused for good, and what
// nobody is configured to carry, is left out; none may be left.
func (s *Security) Recipients(kind NoticeKind, before *consent.User, enrolled ...string) []Recipient {
	var list []Recipient
	add := func(channel consent.Channel, to string) {
		r := Recipient{channel, to}
		for _, other := range list {
			if other == r {
				return
			}
		}
		if to != "" && s.mailer(channel) != nil {
			list = append(list, r)
		}
	}
	for _, channel := range []consent.Channel{consent.ChannelEmail, consent.ChannelSMS} {
		if to, refused := before.Address(channel); refused.IsZero() {
			add(channel, to)
		}
	}
	for _, number := range enrolled {
		add(consent.ChannelSMS, number)
	}
	if _, change := changes[kind]; !change && len(list) > 1 {
		return list[:1]
	}
	return list
}

func (s *Security) mailer(channel consent.Channel) Mailer {
	if channel == consent.ChannelSMS {
		return s.cfg.SMS
	}
	return s.cfg.Mailer
}

// dispatch is one message under way.
type dispatch struct {
	write   func(now time.Time) (Message, error)
	expires time.Time
	sent    Sent
}

func (s *Security) send(d *dispatch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lanes[d.sent.Channel]
	switch {
	case l == nil:
		return fmt.Errorf("channel %q is not one that messages go by", string(d.sent.Channel))
	case s.drained:
		return ErrDrained
	}
	mine := l.shares[d.sent.ApplicationID]
	if mine == nil {
		mine = &share{trying: make(chan struct{}, maxTryingOfOne)}
	}
	if l.held >= maxHeld || mine.held >= maxHeldOfOne {
		return ErrFull
	}
	l.held++
	mine.held++
	l.shares[d.sent.ApplicationID] = mine
	s.pending.Go(func() { s.deliver(d, l, mine) })
	return nil
}

// Idle waits until nothing is under way, or ctx ends.
func (s *Security) Idle(ctx context.Context) {
	defer context.AfterFunc(ctx, s.done.Broadcast)()
	s.mu.Lock()
	defer s.mu.Unlock()
	for ctx.Err() == nil && s.held() > 0 {
		s.done.Wait()
	}
}

func (s *Security) held() int {
	n := 0
	for _, l := range s.lanes {
		n += l.held
	}
	return n
}

// deliver tries until there is a result, and reports it.
func (s *Security) deliver(d *dispatch, l *lane, mine *share) {
	ctx, cancel := context.WithTimeout(s.life, d.expires.Sub(s.cfg.Now()))
	defer cancel()
	d.sent.Result = s.result(ctx, d, l, mine)
	s.mu.Lock()
	l.held--
	if mine.held--; mine.held == 0 {
		delete(l.shares, d.sent.ApplicationID)
	}
	s.done.Broadcast()
	s.mu.Unlock()
	d.sent.At = s.cfg.Now()
	report, done := context.WithTimeout(context.WithoutCancel(ctx), recordFor)
	defer done()
	s.cfg.Sent(report, d.sent)
}

func (s *Security) result(ctx context.Context, d *dispatch, l *lane, mine *share) Result {
	if s.mailer(d.sent.Channel) == nil {
		return ResultNoChannel
	}
	for last := false; ; {
		err := s.try(ctx, d, l, mine)
		switch {
		case err == nil:
			return ResultSent
		case errors.Is(err, errNotWritten):
			s.log(ctx, slog.LevelError, "a security message could not be written", d, err)
			return ResultFailed
		case errors.Is(err, ErrRefused):
			s.log(ctx, slog.LevelWarn, "a security message was refused", d, err)
			return ResultRefused
		case errors.Is(err, ErrMisconfigured):
			s.log(ctx, slog.LevelError, "a security message was not sent: our settings are refused", d, err)
			return ResultMisconfigured
		}
		if last || s.life.Err() != nil {
			s.log(ctx, slog.LevelWarn, "a security message was not sent before the end", d, err)
			return ResultStopped
		}
		if ctx.Err() != nil {
			s.log(ctx, slog.LevelWarn, "a security message was given up", d, err)
			return ResultGivenUp
		}
		s.log(ctx, slog.LevelInfo, "a security message was not sent yet; it will be tried again", d, err)
		if last = s.pause(ctx, d.sent.Tries); ctx.Err() != nil && s.life.Err() == nil {
			s.log(ctx, slog.LevelWarn, "a security message was given up", d, err)
			return ResultGivenUp
		}
	}
}

// errNotWritten is about the words, not about who was to carry them.
var errNotWritten = errors.New("it could not be rendered")

// try has the message taken once, when there is a place for it.
func (s *Security) try(ctx context.Context, d *dispatch, l *lane, mine *share) error {
	for _, places := range []chan struct{}{mine.trying, l.trying} {
		select {
		case places <- struct{}{}:
			defer func() { <-places }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	m, err := written(d, s.cfg.Now())
	if err != nil {
		return fmt.Errorf("%w: %w", errNotWritten, err)
	}
	d.sent.Tries++
	ctx, cancel := context.WithTimeout(ctx, tryFor)
	defer cancel()
	return s.mailer(d.sent.Channel).Send(ctx, m)
}

// written renders the message. Nobody else would catch a panic here: one message
// must not take the process with it.
func written(d *dispatch, now time.Time) (m Message, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %T", p) // its text may hold the code
		}
	}()
	return d.write(now)
}

// pause waits for the next try: from a second, twice as long each time, give or
// take a fifth. It reports whether that try is the last, because the process
// ends.
func (s *Security) pause(ctx context.Context, tries int) (last bool) {
	d := min(time.Second<<min(max(tries, 1)-1, 20), longestPause)
	d += time.Duration(rand.Int64N(int64(2*d/5))) - d/5 //nolint:gosec // spreads load, guards nothing
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return false
	case <-s.last:
		return true
	case <-ctx.Done():
		return false
	}
}

// log says what an operator needs: no text, no address and no code, whatever a
// mailer put into its error.
func (s *Security) log(ctx context.Context, level slog.Level, text string, d *dispatch, err error) {
	s.cfg.Log.Log(ctx, level, text, "application", d.sent.ApplicationID, "message", d.sent.ID, "channel", string(d.sent.Channel), "tries", d.sent.Tries,
		"error", codeLike.ReplaceAllString(err.Error(), "…"))
}

// codeLike is what may be a code, or a phone number. A server's answer and a
// gateway's code have fewer digits.
var codeLike = regexp.MustCompile(`[0-9](?:[ -]?[0-9]){5,}`)

// Drain takes no more messages and waits for those that are under way. What
// waits for its next try has it now, and none after it. When ctx ends, the rest
// is cut off: its result is ResultStopped, and an error says that there was any.
func (s *Security) Drain(ctx context.Context) error {
	s.mu.Lock()
	if !s.drained {
		s.drained = true
		close(s.last)
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		s.pending.Wait()
		close(done)
	}()
	defer s.end()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	s.end()
	t := time.NewTimer(farewell)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C: // a mailer that does not look at its context
	}
	return fmt.Errorf("security messages were cut off: %w", context.Cause(ctx))
}
