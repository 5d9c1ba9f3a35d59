package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/internal/pgtest"
	"github.com/reconsent/reconsent/notify"
	"github.com/reconsent/reconsent/notify/email"
	"github.com/reconsent/reconsent/sqlstore"
)

// moody is a mail server that says no as it is told: a test's faults take the
// recipient, and answer nil where the mail goes on.
type moody struct {
	mu         sync.Mutex
	taken      map[string]int // by Message-ID
	connection func() error   // at MAIL FROM, of whoever comes
	envelope   func(to string) error
	mail       func(to string) error // when it has been read; errHangUp closes the connection
}

var errHangUp = fmt.Errorf("the server hangs up")

func (m *moody) serve(t *testing.T) (address string) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) { return &moodySession{moody: m, conn: c}, nil }))
	server.Domain, server.ErrorLog = "localhost", log.New(io.Discard, "", 0)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		assert.NoError(t, server.Close())
		assert.NoError(t, <-done)
	})
	return l.Addr().String()
}

// ask answers by one of the faults.
func (m *moody) ask(fault func(string) error, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if fault == nil {
		return nil
	}
	return fault(to)
}

type moodySession struct {
	*moody
	conn *smtp.Conn
	to   string
}

func (*moodySession) Reset()        {}
func (*moodySession) Logout() error { return nil }

func (s *moodySession) Mail(string, *smtp.MailOptions) error {
	return s.ask(func(string) error {
		if s.connection == nil {
			return nil
		}
		return s.connection()
	}, "")
}

func (s *moodySession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = to
	return s.ask(s.envelope, to)
}

func (s *moodySession) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if err := s.ask(s.mail, s.to); err != nil {
		if err == errHangUp { //nolint:errorlint // it is the value itself
			_ = s.conn.Conn().Close()
		}
		return err
	}
	_, rest, _ := strings.Cut(string(text), "Message-ID: <")
	id, _, _ := strings.Cut(rest, "@")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken[id]++
	return nil
}

func says(code int) error {
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.NoEnhancedCode, Message: "no"}
}

// office is a registry with a message due to each of so many people, and the
// clock of the replicas that send them.
type office struct {
	*testing.T
	store *sqlstore.Store
	app   consent.Application
	ids   []string
	at    atomic.Int64
}

func (o *office) now() time.Time { return time.Unix(0, o.at.Load()).UTC() }

func newOffice(t *testing.T, dsn string, people int) *office {
	t.Helper()
	o := &office{T: t}
	o.at.Store(time.Date(2027, 3, 1, 9, 0, 0, 0, time.UTC).UnixNano())
	o.store, o.app, o.ids = dueMails(t, dsn, people, o.now())
	return o
}

// replica is a sender as a process of its own has it.
func (o *office) replica(address string, n int) *notify.Notifier {
	o.Helper()
	mailer, err := email.New("smtp://"+address+"?tls=none", "reminders@consents.example")
	require.NoError(o, err)
	o.Cleanup(mailer.Close)
	var claims atomic.Int64
	return notify.New(notify.Config{
		Registry: o.store, Links: numberedLinks{}, Gate: nobodyHolds{}, Mailer: mailer, Now: o.now,
		NewID: func() string { return fmt.Sprintf("claim_%d_%d", n, claims.Add(1)) }, Log: slog.New(slog.DiscardHandler),
	})
}

func (o *office) count(query string) (n int) {
	o.Helper()
	require.NoError(o, o.store.DB().QueryRowContext(o.Context(), query).Scan(&n))
	return n
}

// due are the messages that are due by now.
func (o *office) due() []string {
	o.Helper()
	rows, err := o.store.DB().QueryContext(o.Context(), fmt.Sprintf(`SELECT id FROM digests WHERE due_at <= %d ORDER BY id`, o.now().UnixMicro()))
	require.NoError(o, err)
	defer func() { _ = rows.Close() }()
	var ids []string
	for rows.Next() {
		var id string
		require.NoError(o, rows.Scan(&id))
		ids = append(ids, id)
	}
	require.NoError(o, rows.Err())
	return ids
}

// sentOnce demands that everybody has had their mail, and nobody two.
func (o *office) sentOnce(m *moody) {
	o.Helper()
	assert.Zero(o, o.count(`SELECT count(*) FROM digests WHERE due_at IS NOT NULL`))
	assert.ElementsMatch(o, o.ids, slices.Collect(maps.Keys(m.taken)))
	for id, n := range m.taken {
		assert.Equal(o, 1, n, id)
	}
	assert.Equal(o, len(o.ids), o.count(`SELECT count(*) FROM notices WHERE outcome = 'sent'`))
	assert.Zero(o, o.count(`SELECT count(*) FROM users WHERE email_refused_at IS NOT NULL`))
}

// TestManyWorkersAndAServerInATemper: twelve workers of three replicas send
// batches that overlap, and the server says no, hangs up and closes as chance has
// it, each recipient's mail up to twice. Each mail is accepted exactly once.
func TestManyWorkersAndAServerInATemper(t *testing.T) {
	const people, workers, rounds = 80, 12, 20
	for name, dsn := range map[string]func() string{
		"postgres": func() string { return pgtest.DSN(t) },
		"sqlite":   func() string { return "sqlite:" + filepath.Join(t.TempDir(), "registry.db") },
	} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t, dsn(), people)
			chance := rand.New(rand.NewPCG(1, 2)) // under the server's lock
			temper := map[string]int{}
			once := func(to string, answers ...error) error {
				if temper[to] >= 2 || chance.IntN(6) > 0 {
					return nil
				}
				temper[to]++
				return answers[chance.IntN(len(answers))]
			}
			server := &moody{
				taken: map[string]int{},
				connection: func() error {
					return []error{says(421), says(451), says(550), nil, nil, nil, nil, nil, nil, nil}[chance.IntN(10)]
				},
				envelope: func(to string) error { return once(to, says(421), says(450), says(554)) },
				mail:     func(to string) error { return once(to, says(451), says(421), errHangUp) },
			}
			address := server.serve(t)
			replicas := []*notify.Notifier{o.replica(address, 0), o.replica(address, 1), o.replica(address, 2)}
			for round := 0; round < rounds && o.count(`SELECT count(*) FROM digests WHERE due_at IS NOT NULL`) > 0; round++ {
				var group sync.WaitGroup
				for w := range workers {
					mine := slices.Clone(o.ids)
					rand.New(rand.NewPCG(uint64(round), uint64(w))).Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
					group.Go(func() {
						for batch := range slices.Chunk(mine, consent.DigestBatch) {
							assert.NoError(t, replicas[w%len(replicas)].Send(context.WithoutCancel(t.Context()), o.app.ID, batch...))
						}
					})
				}
				group.Wait()
				o.at.Add(int64(5 * time.Hour)) // longer than any pause
			}
			o.sentOnce(server)
		})
	}
}

// TestABatchIsSentToARealServerThatSaysNotNowTwice, and then takes it.
func TestABatchIsSentToARealServerThatSaysNotNowTwice(t *testing.T) {
	o := newOffice(t, "sqlite:"+filepath.Join(t.TempDir(), "registry.db"), consent.DigestBatch)
	tries := map[string]int{}
	server := &moody{taken: map[string]int{}, envelope: func(to string) error {
		if tries[to]++; tries[to] <= 2 { // as greylisting does
			return says(451)
		}
		return nil
	}}
	n := o.replica(server.serve(t), 0)
	for range 3 {
		require.NoError(t, n.Send(t.Context(), o.app.ID, o.due()...))
		o.at.Add(int64(10 * time.Minute))
	}
	o.sentOnce(server)
	for to, n := range tries {
		assert.Equal(t, 3, n, to)
	}
}

// TestAnHourWithoutARealMailServer: whatever it is that the server says for that
// hour, everything arrives after it, once.
func TestAnHourWithoutARealMailServer(t *testing.T) {
	for name, fault := range map[string]*moody{
		"it closes the door":        {connection: func() error { return says(421) }},
		"it refuses us":             {connection: func() error { return says(550) }},
		"it refuses whoever it is":  {envelope: func(string) error { return says(550) }},
		"it denies the relay":       {envelope: func(string) error { return says(554) }},
		"it takes no mail for good": {mail: func(string) error { return says(554) }},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t, "sqlite:"+filepath.Join(t.TempDir(), "registry.db"), 2*consent.DigestBatch)
			fault.taken = map[string]int{}
			n := o.replica(fault.serve(t), 0)
			begin := o.now()
			for len(fault.taken) < len(o.ids) {
				if !o.now().Before(begin.Add(time.Hour)) {
					fault.mu.Lock()
					fault.connection, fault.envelope, fault.mail = nil, nil, nil
					fault.mu.Unlock()
				}
				for batch := range slices.Chunk(o.due(), consent.DigestBatch) {
					require.NoError(t, n.Send(t.Context(), o.app.ID, batch...))
				}
				o.at.Add(int64(time.Minute))
				require.True(t, o.now().Before(begin.Add(4*time.Hour)), "it does not take half a day to come back")
			}
			o.sentOnce(fault)
		})
	}
}
