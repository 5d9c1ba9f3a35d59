package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
)

// carrier is a server that answers as it is told.
type carrier struct {
	mu     sync.Mutex
	tried  []Message
	times  []time.Time
	answer func(ctx context.Context, m Message, try int) error // nil accepts
	open   int
	most   int
}

func (c *carrier) Send(ctx context.Context, m Message) error {
	c.mu.Lock()
	c.tried, c.times = append(c.tried, m), append(c.times, time.Now())
	answer, try := c.answer, len(c.tried)
	c.open++
	c.most = max(c.most, c.open)
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.open--
		c.mu.Unlock()
	}()
	if answer == nil {
		return nil
	}
	return answer(ctx, m, try)
}

func (c *carrier) tries() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.tried)
}

// answers says how the server answers from now on.
func (c *carrier) answers(answer func(ctx context.Context, m Message, try int) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answer = answer
}

func (c *carrier) mostOpen() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.most
}

// journal is what was logged.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// hangs until its context ends.
func hangs(ctx context.Context, _ Message, _ int) error {
	<-ctx.Done()
	return ctx.Err()
}

// dispatcher is a Security in a bubble of synthetic time.
type dispatcher struct {
	*Security

	t         *testing.T
	mail, sms *carrier
	log       *journal
	mu        sync.Mutex
	sent      []Sent
}

// atDispatcher runs a test in a bubble. What is under way at its end is drained, so
// that each test sees goroutines that stay behind.
func atDispatcher(t *testing.T, test func(o *dispatcher)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o := &dispatcher{t: t, mail: &carrier{}, sms: &carrier{}, log: &journal{}}
		n := 0
		o.Security = NewSecurity(SecurityConfig{
			Mailer: o.mail, SMS: o.sms, Now: time.Now, Log: slog.New(slog.NewJSONHandler(o.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
			NewID: func() string { n++; return strconv.Itoa(n) },
			Sent: func(_ context.Context, s Sent) {
				o.mu.Lock()
				defer o.mu.Unlock()
				o.sent = append(o.sent, s)
			},
		})
		test(o)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		require.NoError(t, o.Drain(ctx))
		assert.Empty(t, o.lanes[consent.ChannelEmail].shares)
		assert.Empty(t, o.lanes[consent.ChannelSMS].shares)
		for _, s := range o.results() {
			assert.NotEmpty(t, s.ID)
		}
		for _, never := range []string{"493027", "ada@example.org", "442071838750", "Lovelace", "Code 4"} {
			assert.NotContains(t, o.log.String(), never)
		}
	})
}

func (o *dispatcher) results() []Sent {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]Sent(nil), o.sent...)
}

// after lets time pass, and whatever is due in it happen.
func (o *dispatcher) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// code is one to ada, of the given application.
func (o *dispatcher) code(application string, channel consent.Channel) Codes {
	c := *SecuritySamples("en")[0].Code
	c.Application, c.User = &consent.Application{ID: application, Name: "Ledger"}, &consent.User{ID: "ada", Name: "Ada Lovelace"}
	c.Channel, c.To = channel, "ada@example.org"
	if channel == consent.ChannelSMS {
		c.To = "+442071838750"
	}
	c.ExpiresAt = time.Now().Add(5 * time.Minute)
	return c
}

func (o *dispatcher) sendCode(application string, channel consent.Channel) string {
	o.t.Helper()
	id, err := o.SendCode(o.code(application, channel))
	require.NoError(o.t, err)
	return id
}

func TestACodeIsSentAndReported(t *testing.T) {
	for _, channel := range []consent.Channel{consent.ChannelEmail, consent.ChannelSMS} {
		atDispatcher(t, func(o *dispatcher) {
			id := o.sendCode("acme", channel)
			synctest.Wait()
			by := map[consent.Channel]*carrier{consent.ChannelEmail: o.mail, consent.ChannelSMS: o.sms}[channel]
			require.Len(t, by.tried, 1)
			assert.Equal(t, id, by.tried[0].ID)
			assert.Contains(t, by.tried[0].Text, "493027")
			assert.Equal(t, []Sent{{ApplicationID: "acme", UserID: "ada", ID: "cod_1", Channel: channel, Result: ResultSent, Tries: 1, At: time.Now()}}, o.results())
			assert.Empty(t, o.log.String())
		})
	}
}

// TestNobodyWaitsForAServer: the answer to whoever asked for a code takes no
// longer because one is sent.
func TestNobodyWaitsForAServer(t *testing.T) {
	atDispatcher(t, func(o *dispatcher) {
		o.mail.answers(hangs)
		begin := time.Now()
		for range 100 {
			o.sendCode("acme", consent.ChannelEmail)
		}
		assert.Equal(t, begin, time.Now())
		synctest.Wait()
		assert.Empty(t, o.results())
	})
}

func TestAServerThatIsAwayIsAskedAgain(t *testing.T) {
	atDispatcher(t, func(o *dispatcher) {
		o.mail.answers(func(_ context.Context, _ Message, try int) error {
			if try <= 4 {
				return fmt.Errorf("%w: no connection", ErrAway)
			}
			return nil
		})
		begin := time.Now()
		o.sendCode("acme", consent.ChannelEmail)
		o.after(time.Minute)
		require.Len(t, o.mail.tried, 5)
		var before time.Duration
		for i := 1; i < 5; i++ {
			pause := o.mail.times[i].Sub(o.mail.times[i-1])
			want := time.Second << (i - 1)
			assert.InDelta(t, want, pause, float64(want)/5+1, "after try %d", i)
			assert.Greater(t, pause, before, "each pause is longer")
			before = pause
			assert.Equal(t, o.mail.tried[0].ID, o.mail.tried[i].ID, "it is one message")
		}
		require.Len(t, o.results(), 1)
		assert.Equal(t, ResultSent, o.results()[0].Result)
		assert.Equal(t, 5, o.results()[0].Tries)
		assert.Equal(t, 4, strings.Count(o.log.String(), "it will be tried again"))
		assert.Less(t, o.mail.times[4].Sub(begin), 20*time.Second)
	})
}

func TestTheMinutesLeftAreThoseOfTheTry(t *testing.T) {
	atDispatcher(t, func(o *dispatcher) {
		o.sms.answers(func(_ context.Context, _ Message, try int) error {
			if try <= 7 {
				return errLater
			}
			return nil
		})
		o.sendCode("acme", consent.ChannelSMS)
		o.after(4 * time.Minute)
		assert.Contains(t, o.sms.tried[0].Text, "Valid for 5 min.")
		assert.Regexp(t, `Valid for [23] min\.`, o.sms.tried[7].Text)
	})
}

// TestACodeIsNotSentAfterItsEnd: a server that comes back later gets nothing.
func TestACodeIsNotSentAfterItsEnd(t *testing.T) {
	atDispatcher(t, func(o *dispatcher) {
		o.mail.answers(func(context.Context, Message, int) error { return errLater })
		end := time.Now().Add(5 * time.Minute)
		o.sendCode("acme", consent.ChannelEmail)
		o.after(time.Hour)
		tries := len(o.mail.tried)
		assert.Greater(t, tries, 5)
		assert.Less(t, tries, 12)
		assert.True(t, o.mail.times[tries-1].Before(end))
		require.Len(t, o.results(), 1)
		assert.Equal(t, ResultGivenUp, o.results()[0].Result)
		assert.Equal(t, end, o.results()[0].At)
	})
	atDispatcher(t, func(o *dispatcher) {
		c := o.code("acme", consent.ChannelEmail)
		c.ExpiresAt = time.Now()
		_, err := o.SendCode(c)
		require.NoError(t, err)
		synctest.Wait()
		assert.Empty(t, o.mail.tried)
		assert.Equal(t, ResultGivenUp, o.results()[0].Result)
	})
}

func TestAHangingServerIsAskedAgain(t *testing.T) {
	atDispatcher(t, func(o *dispatcher) {
		o.mail.answers(func(ctx context.Context, m Message, try int) error {
			if try == 1 {
				return hangs(ctx, m, try)
			}
			return nil
		})
		o.sendCode("acme", consent.ChannelEmail)
		o.after(time.Minute)
		assert.Len(t, o.mail.tried, 2)
		assert.Equal(t, ResultSent, o.results()[0].Result)
	})
}

func TestWhatIsFinalIsNotTriedAgain(t *testing.T) {
	for cause, want := range map[error]Result{ErrRefused: ResultRefused, ErrMisconfigured: ResultMisconfigured} {
		atDispatcher(t, func(o *dispatcher) {
			o.sms.answers(func(_ context.Context, m Message, _ int) error {
				return fmt.Errorf("%w: to %s: %s", cause, m.To, m.Text)
			})
			o.sendCode("acme", consent.ChannelSMS)
			o.after(time.Hour)
			assert.Len(t, o.sms.tried, 1)
			require.Len(t, o.results(), 1)
			assert.Equal(t, want, o.results()[0].Result)
			assert.Equal(t, 1, o.results()[0].Tries)
			assert.Contains(t, o.log.String(), cause.Error())
		})
	}
}

// TestNoCodeIsLogged: not even where a mailer's error quotes the message. What
// stands in the log is looked for at the end of every test here.
func TestNoCodeIsLogged(t *testing.T) {
	for _, quoted := range []string{"493027", "4930-27", "493 027", "+442071838750", "%20493027%20"} {
		atDispatcher(t, func(o *dispatcher) {
			o.sms.answers(func(context.Context, Message, int) error { return errors.New("HTTP 451, Twilio 21211: body=" + quoted) })
			o.sendCode("acme", consent.ChannelSMS)
			synctest.Wait()
			assert.Contains(t, o.log.String(), "HTTP 451, Twilio 21211")
			assert.NotContains(t, strings.NewReplacer("-", "", " ", "").Replace(o.log.String()), "493027")
			o.after(time.Hour)
		})
	}
	atDispatcher(t, func(o *dispatcher) {
		c := o.code("acme", consent.ChannelSMS)
		o.cfg.Log.Info("as somebody may log it", "codes", c, "pointer", &c, "message", Message{ID: "cod_1", To: c.To, Text: c.Code}, "printed", fmt.Sprintf("%+v", c), "nested", []any{c, []*Codes{&c}, map[string]Message{"m": {To: c.To, Text: c.Code}}})
		assert.Contains(t, o.log.String(), "code [redacted]")
	})
}

func TestWithoutAChannelNothingIsSentAndThatReported(t *testing.T) {
	atDispatcher(t, func(o *dispatcher) {
		o.cfg.SMS = nil
		o.sendCode("acme", consent.ChannelSMS)
		synctest.Wait()
		require.Len(t, o.results(), 1)
		assert.Equal(t, ResultNoChannel, o.results()[0].Result)
		c := o.code("acme", "carrier pigeon")
		id, err := o.SendCode(c)
		require.Error(t, err)
		assert.Empty(t, id)
	})
}

func TestWhatCannotBeSentIsToldAtOnce(t *testing.T) {
	atDispatcher(t, func(o *dispatcher) {
		c := o.code("acme", consent.ChannelEmail)
		c.Code = "1234567"
		_, err := o.SendCode(c)
		require.ErrorIs(t, err, ErrNoCode)
		c = o.code("acme", consent.ChannelEmail)
		c.Details = &Details{Payee: "Bob", Amount: "lots", Currency: "EUR"}
		_, err = o.SendCode(c)
		require.ErrorIs(t, err, ErrUnclear)
		require.ErrorIs(t, o.SendNotice(Notice{Kind: "other"}), ErrNoNotice)
		synctest.Wait()
		assert.Empty(t, o.results())
	})
}

// TestOneApplicationHoldsNobodyUp: one that sends all it can to a server that
// hangs leaves places for the others, of both kinds.
func TestOneApplicationHoldsNobodyUp(t *testing.T) {
	atDispatcher(t, func(o *dispatcher) {
		o.mail.answers(func(ctx context.Context, m Message, try int) error {
			if m.FromName == "Greedy" {
				return hangs(ctx, m, try)
			}
			return nil
		})
		greedy := o.code("greedy", consent.ChannelEmail)
		greedy.Application.Name = "Greedy"
		taken := 0
		for {
			if _, err := o.SendCode(greedy); err != nil {
				require.ErrorIs(t, err, ErrFull)
				break
			}
			taken++
		}
		assert.Equal(t, maxHeldOfOne, taken)
		synctest.Wait()
		assert.Equal(t, maxTryingOfOne, o.mail.tries())
		begin := time.Now()
		for range 100 {
			o.sendCode("acme", consent.ChannelEmail)
		}
		o.sendCode("greedy", consent.ChannelSMS)
		synctest.Wait()
		assert.Len(t, o.results(), 101)
		assert.Equal(t, begin, time.Now(), "nobody waited")
	})
}

// TestAWaitingMessageHoldsNoPlace: what is between two tries keeps nobody from
// the server.
func TestAWaitingMessageHoldsNoPlace(t *testing.T) {
	atDispatcher(t, func(o *dispatcher) {
		o.mail.answers(func(context.Context, Message, int) error { return errLater })
		for range maxHeldOfOne {
			o.sendCode("acme", consent.ChannelEmail)
		}
		synctest.Wait()
		assert.Equal(t, maxHeldOfOne, o.mail.tries(), "each had its first try, and no time passed")
		assert.LessOrEqual(t, o.mail.mostOpen(), maxTryingOfOne)
		o.mail.answers(nil)
		o.after(2 * time.Second)
		assert.Len(t, o.results(), maxHeldOfOne)
		o.sendCode("acme", consent.ChannelEmail)
	})
}

func TestAFullQueueAnswersAtOnce(t *testing.T) {
	atDispatcher(t, func(o *dispatcher) {
		o.mail.answers(hangs)
		for i := range maxHeld {
			o.sendCode("app"+strconv.Itoa(i/maxHeldOfOne), consent.ChannelEmail)
		}
		begin := time.Now()
		id, err := o.SendCode(o.code("another", consent.ChannelEmail))
		require.ErrorIs(t, err, ErrFull)
		assert.Empty(t, id)
		assert.Equal(t, begin, time.Now())
		o.sendCode("another", consent.ChannelSMS)
		synctest.Wait()
		assert.Equal(t, maxTrying, o.mail.mostOpen())
		o.after(6 * time.Minute)
		assert.Len(t, o.results(), maxHeld+1, "each came to its end")
		o.mail.answers(nil)
		o.sendCode("another", consent.ChannelEmail)
	})
}

func TestDrainWaitsForWhatIsUnderWay(t *testing.T) {
	atDispatcher(t, func(o *dispatcher) {
		o.mail.answers(func(context.Context, Message, int) error { time.Sleep(3 * time.Second); return nil })
		o.sendCode("acme", consent.ChannelEmail)
		synctest.Wait()
		begin := time.Now()
		require.NoError(t, o.Drain(o.t.Context()))
		assert.Equal(t, 3*time.Second, time.Since(begin))
		assert.Equal(t, ResultSent, o.results()[0].Result)
		_, err := o.SendCode(o.code("acme", consent.ChannelEmail))
		require.ErrorIs(t, err, ErrDrained)
		require.ErrorIs(t, o.SendNotice(*SecuritySamples("en")[4].Notice, Recipient{consent.ChannelEmail, "ada@example.org"}), ErrDrained)
		require.NoError(t, o.Drain(o.t.Context()), "a second time is as good")
	})
}

func TestDrainGivesWhatWaitsItsLastTry(t *testing.T) {
	for _, back := range []bool{true, false} {
		atDispatcher(t, func(o *dispatcher) {
			o.mail.answers(func(_ context.Context, _ Message, try int) error {
				if back && try > 4 {
					return nil
				}
				return errLater
			})
			o.sendCode("acme", consent.ChannelEmail)
			o.after(8 * time.Second)
			require.Len(t, o.mail.tried, 4)
			begin := time.Now()
			require.NoError(t, o.Drain(o.t.Context()))
			assert.Equal(t, begin, time.Now())
			assert.Len(t, o.mail.tried, 5)
			want := ResultStopped
			if back {
				want = ResultSent
			}
			assert.Equal(t, want, o.results()[0].Result)
		})
	}
}

func TestDrainEndsWithItsContext(t *testing.T) {
	atDispatcher(t, func(o *dispatcher) {
		o.mail.answers(hangs)
		for range 2 * maxTryingOfOne {
			o.sendCode("acme", consent.ChannelEmail)
		}
		ctx, cancel := context.WithTimeout(o.t.Context(), 5*time.Second)
		defer cancel()
		begin := time.Now()
		require.ErrorIs(t, o.Drain(ctx), context.DeadlineExceeded)
		assert.Equal(t, 5*time.Second, time.Since(begin))
		require.Len(t, o.results(), 2*maxTryingOfOne, "those that waited for a place too")
		for _, s := range o.results() {
			assert.Equal(t, ResultStopped, s.Result)
		}
	})
	atDispatcher(t, func(o *dispatcher) { // a mailer that looks at no context
		o.mail.answers(func(context.Context, Message, int) error { time.Sleep(time.Minute); return errLater })
		o.sendCode("acme", consent.ChannelEmail)
		ctx, cancel := context.WithTimeout(o.t.Context(), 5*time.Second)
		defer cancel()
		begin := time.Now()
		require.ErrorIs(t, o.Drain(ctx), context.DeadlineExceeded)
		assert.Equal(t, 5*time.Second+farewell, time.Since(begin))
	})
}

// TestTheReportOutlivesWhatItIsAbout: a code's end is written down too.
func TestTheReportOutlivesWhatItIsAbout(t *testing.T) {
	atDispatcher(t, func(o *dispatcher) {
		var live []error
		sent := o.cfg.Sent
		o.cfg.Sent = func(ctx context.Context, s Sent) {
			live = append(live, ctx.Err())
			deadline, ok := ctx.Deadline()
			assert.True(t, ok)
			assert.Equal(t, recordFor, time.Until(deadline))
			sent(ctx, s)
		}
		o.mail.answers(hangs)
		o.sendCode("acme", consent.ChannelEmail)
		o.after(6 * time.Minute)
		assert.Equal(t, []error{nil}, live)
	})
}

func TestWhatTheCallerChangesLaterIsNotSent(t *testing.T) {
	atDispatcher(t, func(o *dispatcher) {
		c := o.code("acme", consent.ChannelEmail)
		_, err := o.SendCode(c)
		require.NoError(t, err)
		c.Application.Name, c.User.Name, c.To, c.Code = "Other", "Eve", "eve@example.org", "000000"
		synctest.Wait()
		m := o.mail.tried[0]
		assert.Equal(t, "Ledger", m.FromName)
		assert.Equal(t, "Ada Lovelace", m.ToName)
		assert.Equal(t, "ada@example.org", m.To)
		assert.NotContains(t, m.Text, "000000")
	})
}

func TestANoticeGoesToEachOfItsRecipients(t *testing.T) {
	atDispatcher(t, func(o *dispatcher) {
		n := *SecuritySamples("en")[13].Notice
		n.Application, n.User, n.At = &consent.Application{ID: "acme", Name: "Ledger"}, &consent.User{ID: "ada"}, time.Now()
		to := []Recipient{{consent.ChannelEmail, "ada@example.org"}, {consent.ChannelEmail, "old@example.org"}, {consent.ChannelSMS, "+442071838750"}}
		require.NoError(t, o.SendNotice(n, to...))
		synctest.Wait()
		addresses, ids := map[string]bool{}, map[string]bool{}
		for _, m := range append(o.mail.tried, o.sms.tried...) {
			addresses[m.To], ids[m.ID] = true, true
			assert.Contains(t, m.Text, "**12 was added")
		}
		assert.Equal(t, map[string]bool{"ada@example.org": true, "old@example.org": true, "+442071838750": true}, addresses)
		assert.Len(t, ids, 3, "each is a message of its own")
		require.Len(t, o.results(), 3)
		for _, s := range o.results() {
			assert.Equal(t, NoticeFactorAdded, s.Kind)
			assert.Equal(t, ResultSent, s.Result)
		}
	})
}

// TestANoticeIsTriedForAnHour: it is tried for an hour, not for minutes.
func TestANoticeIsTriedForAnHour(t *testing.T) {
	atDispatcher(t, func(o *dispatcher) {
		n := *SecuritySamples("en")[4].Notice
		begin := time.Now()
		o.mail.answers(func(context.Context, Message, int) error {
			if time.Since(begin) < 50*time.Minute {
				return errLater
			}
			return nil
		})
		require.NoError(t, o.SendNotice(n, Recipient{consent.ChannelEmail, "ada@example.org"}))
		o.after(time.Hour)
		require.Len(t, o.results(), 1)
		assert.Equal(t, ResultSent, o.results()[0].Result)
		assert.Less(t, o.results()[0].Tries, 30)
	})
}

func TestWhoIsTold(t *testing.T) {
	refused := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	mail, sms := Recipient{consent.ChannelEmail, "ada@example.org"}, Recipient{consent.ChannelSMS, "+442071838750"}
	other := Recipient{consent.ChannelSMS, "+442071838712"}
	both := consent.User{Email: mail.To, Phone: sms.To}
	s := NewSecurity(SecurityConfig{Mailer: &carrier{}, SMS: &carrier{}})
	for _, tt := range []struct {
		name     string
		kind     NoticeKind
		user     consent.User
		enrolled []string
		want     []Recipient
	}{
		{"a change goes everywhere", NoticeFactorAdded, both, nil, []Recipient{mail, sms}},
		{"and to what was enrolled", NoticeFactorRemoved, both, []string{other.To}, []Recipient{mail, sms, other}},
		{"each once", NoticeFactorChanged, both, []string{sms.To, other.To, other.To, ""}, []Recipient{mail, sms, other}},
		{"a lock goes by mail", NoticeLocked, both, []string{other.To}, []Recipient{mail}},
		{"a used code too", NoticeBackupUsed, both, nil, []Recipient{mail}},
		{"by SMS to whoever has no mail", NoticeLocked, consent.User{Phone: sms.To}, nil, []Recipient{sms}},
		{"or whose mail was refused", NoticeLocked, consent.User{Email: mail.To, EmailRefusedAt: refused, Phone: sms.To}, nil, []Recipient{sms}},
		{"or only an enrolled number", NoticeLocked, consent.User{}, []string{other.To}, []Recipient{other}},
		{"a refused address takes nothing", NoticeFactorAdded, consent.User{Email: mail.To, Phone: sms.To, PhoneRefusedAt: refused}, nil, []Recipient{mail}},
		{"nobody", NoticeFactorAdded, consent.User{}, nil, nil},
	} {
		assert.Equal(t, tt.want, s.Recipients(tt.kind, &tt.user, tt.enrolled...), tt.name)
	}
	s = NewSecurity(SecurityConfig{SMS: &carrier{}})
	assert.Equal(t, []Recipient{sms}, s.Recipients(NoticeLocked, &both), "nobody carries mail")
	s = NewSecurity(SecurityConfig{Mailer: &carrier{}})
	assert.Equal(t, []Recipient{mail}, s.Recipients(NoticeFactorAdded, &both, other.To), "nobody carries SMS")
}

// BenchmarkSendCode is how much longer an answer takes because a code is sent.
func BenchmarkSendCode(b *testing.B) {
	s := NewSecurity(SecurityConfig{Mailer: &carrier{}, Now: time.Now, NewID: func() string { return "1" }, Log: slog.New(slog.DiscardHandler), Sent: func(context.Context, Sent) {}})
	o := &dispatcher{}
	c := o.code("acme", consent.ChannelEmail)
	c.ExpiresAt = time.Now().Add(time.Hour)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.SendCode(c); err != nil && !errors.Is(err, ErrFull) {
			b.Fatal(err)
		}
	}
	if err := s.Drain(b.Context()); err != nil {
		b.Fatal(err)
	}
}
