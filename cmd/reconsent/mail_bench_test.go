package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	gomail "github.com/wneessen/go-mail"
	"golang.org/x/sync/errgroup"

	"github.com/reconsent/reconsent/connector"
	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/internal/pgtest"
	"github.com/reconsent/reconsent/notify"
	"github.com/reconsent/reconsent/notify/email"
	"github.com/reconsent/reconsent/seal"
	"github.com/reconsent/reconsent/sqlstore"
)

// counter is a mail server that counts what it takes.
type counter struct {
	taken       atomic.Int64
	connections atomic.Int64
}

func (c *counter) serve(b *testing.B) (address string) {
	b.Helper()
	l, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
	require.NoError(b, err)
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		c.connections.Add(1)
		return countingSession{c}, nil
	}))
	server.Domain, server.ErrorLog = "localhost", log.New(io.Discard, "", 0)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	b.Cleanup(func() {
		assert.NoError(b, server.Close())
		assert.NoError(b, <-done)
	})
	return l.Addr().String()
}

type countingSession struct{ c *counter }

func (countingSession) Reset()                               {}
func (countingSession) Logout() error                        { return nil }
func (countingSession) Mail(string, *smtp.MailOptions) error { return nil }
func (countingSession) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (s countingSession) Data(r io.Reader) error {
	s.c.taken.Add(1)
	_, err := io.Copy(io.Discard, r)
	return err
}

// nobodyHolds lets all mail through.
type nobodyHolds struct{}

func (nobodyHolds) Held(_ context.Context, _ *consent.Application, about []consent.Consent) ([]string, time.Time, error) {
	return make([]string, len(about)), time.Time{}, nil
}

func (nobodyHolds) Admit(context.Context, *consent.Application) (time.Time, error) {
	return time.Time{}, nil
}

func (nobodyHolds) Serving(context.Context, *consent.Application, consent.Channel, string) error {
	return nil
}

// numberedLinks are links of the length of real ones.
type numberedLinks struct{}

func (numberedLinks) MessageLinks(_ context.Context, _ *consent.Application, want []consent.MessageLink) ([]string, error) {
	urls := make([]string, len(want))
	for i, w := range want {
		urls[i] = fmt.Sprintf("https://consents.example/r/ledger.%043s", w.Consent.ID)
	}
	return urls, nil
}

func (numberedLinks) UnsubscribeLink(_ *consent.Application, user *consent.User) (string, error) {
	return fmt.Sprintf("https://consents.example/u/ledger.%0100s", user.ID), nil
}

// BenchmarkMail sends reminders from the registry's rows to a mail server on
// this machine: looked at again, linked, rendered in four languages, sent, and
// recorded. It reports mails a second, beside bare loops in the same run, which
// make and send as many mails with the same library, of a body that was rendered
// before, and read and record nothing: over one connection with the library as it
// comes, over one that is as spare as ours, and over as many of those as we have.
// PostgreSQL waits for the disk; both it and the mail server share the processors
// with what is measured.
func BenchmarkMail(b *testing.B) {
	const aRound = 2000 // the two in turn, so that what else the machine does slows both
	mails := 10_000
	if n, err := strconv.Atoi(os.Getenv("BENCH_MAILS")); err == nil {
		mails = n
	}
	for _, database := range []string{"postgres", "sqlite"} {
		b.Run(database, func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				dsn := "sqlite:" + filepath.Join(b.TempDir(), "registry.db")
				if database == "postgres" {
					dsn = pgtest.DSN(b, pgtest.Durable)
				}
				now := time.Date(2027, 3, 1, 9, 0, 0, 0, time.UTC)
				store, app, ids := dueMails(b, dsn, mails, now)
				var server counter
				address := server.serve(b)
				mailer, err := email.New("smtp://"+address+"?tls=none", "reminders@consents.example")
				require.NoError(b, err)
				keys, err := seal.Generate()
				require.NoError(b, err)
				links := connector.New(connector.Config{
					Registry: store, Keys: keys, Now: func() time.Time { return now }, NewID: newID, Log: slog.New(slog.DiscardHandler), BaseURL: "https://consents.example",
				})
				var bare, spare, wide counter
				var bodies atomic.Pointer[notify.Message]
				var claims atomic.Int64
				n := notify.New(notify.Config{
					Registry: store, Links: links, Gate: links, Mailer: keepOne{mailer, &bodies}, Now: func() time.Time { return now },
					NewID: func() string { return fmt.Sprintf("claim_%d", claims.Add(1)) }, Log: slog.New(slog.DiscardHandler),
				})
				yardsticks := []*yardstick{
					{name: "bare", server: &bare, loops: newLoops(b, bare.serve(b), 1)},
					{name: "spare", server: &spare, loops: newLoops(b, spare.serve(b), 1, asOurs...)},
					{name: "wide", server: &wide, loops: newLoops(b, wide.serve(b), 8, asOurs...)},
				}
				var took time.Duration
				for round := range slices.Chunk(ids, aRound) {
					g, ctx := errgroup.WithContext(b.Context())
					g.SetLimit(mailWorkers)
					begin := time.Now()
					b.StartTimer()
					for batch := range slices.Chunk(round, consent.DigestBatch) {
						g.Go(func() error { return n.Send(ctx, app.ID, batch...) })
					}
					require.NoError(b, g.Wait())
					b.StopTimer()
					took += time.Since(begin)
					for _, y := range yardsticks {
						y.send(b, len(round), *bodies.Load())
					}
				}
				mailer.Close()
				require.EqualValues(b, mails, server.taken.Load())
				var sent int
				require.NoError(b, store.DB().QueryRowContext(b.Context(), `SELECT count(*) FROM notices WHERE outcome = 'sent'`).Scan(&sent))
				require.Equal(b, mails, sent)
				b.ReportMetric(float64(mails)/took.Seconds(), "mails/s")
				for _, y := range yardsticks {
					y.close(b)
					require.EqualValues(b, mails, y.server.taken.Load())
					b.ReportMetric(float64(mails)/y.took.Seconds(), y.name+"-mails/s")
					b.ReportMetric(y.took.Seconds()/took.Seconds(), "of-"+y.name)
				}
				b.ReportMetric(float64(server.connections.Load()), "connections")
				b.ReportMetric(0, "ns/op")
			}
		})
	}
}

// keepOne keeps a message, for the bare loop to send the same.
type keepOne struct {
	*email.Mailer
	kept *atomic.Pointer[notify.Message]
}

func (k keepOne) Send(ctx context.Context, m notify.Message) error {
	k.kept.CompareAndSwap(nil, &m)
	return k.Mailer.Send(ctx, m)
}

// yardstick sends as many mails as we do, and does nothing else.
type yardstick struct {
	name   string
	server *counter
	loops  []bareLoop
	took   time.Duration
}

func (y *yardstick) send(b *testing.B, mails int, m notify.Message) {
	b.Helper()
	begin := time.Now()
	var g errgroup.Group
	for _, l := range y.loops {
		g.Go(func() error { return l.send(mails/len(y.loops), m) })
	}
	require.NoError(b, g.Wait())
	y.took += time.Since(begin)
}

func (y *yardstick) close(b *testing.B) {
	b.Helper()
	for _, l := range y.loops {
		require.NoError(b, l.Close())
	}
}

// bareLoop sends over one connection.
type bareLoop struct{ *gomail.Client }

// asOurs leaves out what we leave out: a NOOP before each mail, a RSET after it.
var asOurs = []gomail.Option{gomail.WithoutNoop(), gomail.WithoutRset(), gomail.WithoutSMTPUTF8()}

func newLoops(b *testing.B, address string, loops int, options ...gomail.Option) []bareLoop {
	b.Helper()
	host, port, err := net.SplitHostPort(address)
	require.NoError(b, err)
	number, err := strconv.Atoi(port)
	require.NoError(b, err)
	all := make([]bareLoop, loops)
	for i := range all {
		client, err := gomail.NewClient(host, append([]gomail.Option{gomail.WithPort(number), gomail.WithTLSPolicy(gomail.NoTLS)}, options...)...)
		require.NoError(b, err)
		require.NoError(b, client.DialWithContext(b.Context()))
		all[i] = bareLoop{client}
	}
	return all
}

func (c bareLoop) send(mails int, m notify.Message) error {
	for i := range mails {
		l := gomail.NewMsg()
		if err := errors.Join(l.From("reminders@consents.example"), l.To(fmt.Sprintf("user%d@example.org", i))); err != nil {
			return err
		}
		l.Subject(m.Subject)
		l.SetBodyString(gomail.TypeTextPlain, m.Text)
		l.AddAlternativeString(gomail.TypeTextHTML, m.HTML)
		if err := c.Send(l); err != nil {
			return err
		}
	}
	return nil
}

// dueMails makes a registry in which so many people have a digest that is due.
func dueMails(b testing.TB, dsn string, mails int, now time.Time) (*sqlstore.Store, consent.Application, []string) {
	b.Helper()
	store, err := sqlstore.Open(b.Context(), dsn)
	require.NoError(b, err)
	b.Cleanup(func() { _ = store.Close() })
	require.NoError(b, store.Migrate(b.Context()))
	app := consent.Application{ID: "app_1", Slug: "ledger", Name: "Ledger", Cadence: consent.DefaultCadence(), CreatedAt: now}
	require.NoError(b, store.CreateApplication(b.Context(), app))
	for from := 0; from < mails; from += 1000 {
		var regs []consent.Registration
		for i := from; i < min(from+1000, mails); i++ {
			r := dueConsent(&app, i, now, 5*aDay)
			r.Consent.UserID, r.Contact.ID = fmt.Sprintf("user%d", i), fmt.Sprintf("user%d", i)
			r.Contact.Email, r.Contact.Name = fmt.Sprintf("user%d@example.org", i), fmt.Sprintf("User %d", i)
			r.Contact.Locale, r.Contact.TimeZone = []string{"en", "de", "fr", "pl"}[i%4], "Europe/Paris"
			regs = append(regs, r)
		}
		_, err := store.Register(b.Context(), app.ID, regs)
		require.NoError(b, err)
	}
	ids := make([]string, 0, mails)
	filter := consent.DueFilter{Now: now, Limit: 5000}
	for len(ids) < mails {
		judged, err := store.Flag(b.Context(), filter, func(con *consent.Consent) consent.Judgement {
			return consent.Judgement{Flag: con.Flag(app.Cadence, now), DigestID: "dgt_" + con.ID}
		})
		require.NoError(b, err)
		require.NotEmpty(b, judged)
		for _, j := range judged {
			ids = append(ids, "dgt_"+j.Consent.ID)
		}
	}
	return store, app, ids
}
