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
// make and send as many mails with the same library and the same options of SMTP,
// of a body that was rendered before, and read and record nothing: one over one
// connection, and as many at once as we have connections. PostgreSQL waits for
// the disk; both it and the mail server share the processors with what is
// measured.
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
				var bare, wide counter
				var bodies atomic.Pointer[notify.Message]
				var claims atomic.Int64
				n := notify.New(notify.Config{
					Registry: store, Links: links, Gate: links, Mailer: keepOne{mailer, &bodies}, Now: func() time.Time { return now },
					NewID: func() string { return fmt.Sprintf("claim_%d", claims.Add(1)) }, Log: slog.New(slog.DiscardHandler),
				})
				loop, manyLoops := newLoop(b, bare.serve(b)), newLoops(b, wide.serve(b))
				var took, bareTook, wideTook time.Duration
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
					begin = time.Now()
					require.NoError(b, loop.send(len(round), *bodies.Load()))
					bareTook += time.Since(begin)
					begin = time.Now()
					manyLoops.send(b, len(round), *bodies.Load())
					wideTook += time.Since(begin)
				}
				loop.close(b)
				manyLoops.close(b)
				mailer.Close()
				require.EqualValues(b, mails, server.taken.Load())
				require.EqualValues(b, mails, bare.taken.Load())
				require.EqualValues(b, mails, wide.taken.Load())
				var sent int
				require.NoError(b, store.DB().QueryRowContext(b.Context(), `SELECT count(*) FROM notices WHERE outcome = 'sent'`).Scan(&sent))
				require.Equal(b, mails, sent)
				b.ReportMetric(float64(mails)/took.Seconds(), "mails/s")
				b.ReportMetric(float64(mails)/bareTook.Seconds(), "bare-mails/s")
				b.ReportMetric(bareTook.Seconds()/took.Seconds(), "of-bare")
				b.ReportMetric(float64(mails)/wideTook.Seconds(), "wide-mails/s")
				b.ReportMetric(wideTook.Seconds()/took.Seconds(), "of-wide")
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

// bareLoop sends over one connection, with the options that ours are sent with:
// no NOOP before a mail, no RSET after it.
type bareLoop struct{ *gomail.Client }

func newLoop(b *testing.B, address string) bareLoop {
	b.Helper()
	host, port, err := net.SplitHostPort(address)
	require.NoError(b, err)
	number, err := strconv.Atoi(port)
	require.NoError(b, err)
	client, err := gomail.NewClient(host, gomail.WithPort(number), gomail.WithTLSPolicy(gomail.NoTLS), gomail.WithoutNoop(), gomail.WithoutRset(), gomail.WithoutSMTPUTF8())
	require.NoError(b, err)
	require.NoError(b, client.DialWithContext(b.Context()))
	return bareLoop{client}
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

func (c bareLoop) close(b *testing.B) {
	b.Helper()
	require.NoError(b, c.Client.Close())
}

// manyLoops are as many as we have connections.
type manyLoops []bareLoop

func newLoops(b *testing.B, address string) manyLoops {
	b.Helper()
	all := make(manyLoops, 8)
	for i := range all {
		all[i] = newLoop(b, address)
	}
	return all
}

func (l manyLoops) send(b *testing.B, mails int, m notify.Message) {
	b.Helper()
	var g errgroup.Group
	for i := range l {
		g.Go(func() error { return l[i].send(mails/len(l), m) })
	}
	require.NoError(b, g.Wait())
}

func (l manyLoops) close(b *testing.B) {
	b.Helper()
	for i := range l {
		l[i].close(b)
	}
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
