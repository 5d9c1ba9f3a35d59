package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"mime"
	"mime/multipart"
	"net"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/assert"

	"github.com/reconsent/reconsent/consent"
)

// sink is a mail server that keeps what it has accepted. Every process gets a
// port of its own, so that it is known who sent what.
type sink struct {
	mu       sync.Mutex
	accepted []letterSeen
	users    map[string]bool // who has had a mail
}

// letterSeen is one mail that the sink accepted.
type letterSeen struct {
	by    string // the process that handed it over
	id    string // Message-ID
	to    string // recipient of the envelope
	toAll string // the To of the header
	banks string // what it tells of, sorted: in these tests every consent has a bank of its own
}

// on answers SMTP for one process until the test ends and returns its URL. hand
// is called with each complete mail, before it is answered, and returns the answer.
func (s *sink) on(t *testing.T, process string, hand func(letterSeen) error) (string, error) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return &smtpSession{process: process, hand: hand}, nil
	}))
	server.Domain = "localhost"
	server.ErrorLog = log.New(io.Discard, "", 0) // clients that are killed hang up rudely
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		assert.NoError(t, server.Close())
		assert.NoError(t, <-done)
	})
	return "smtp://" + l.Addr().String() + "?tls=none", nil
}

func (s *sink) accept(m letterSeen) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accepted = append(s.accepted, m)
	if s.users == nil {
		s.users = map[string]bool{}
	}
	s.users[m.to] = true
}

// reached counts the people who have had a mail.
func (s *sink) reached() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.users)
}

func (s *sink) mails() []letterSeen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.accepted)
}

// smtpSession implements smtp.Session.
type smtpSession struct {
	process, to string
	hand        func(letterSeen) error
}

func (s *smtpSession) Reset()                                    { s.to = "" }
func (s *smtpSession) Logout() error                             { return nil }
func (s *smtpSession) Mail(string, *smtp.MailOptions) error      { return nil }
func (s *smtpSession) Rcpt(to string, _ *smtp.RcptOptions) error { s.to += to; return nil }

func (s *smtpSession) Data(r io.Reader) error {
	m, err := readLetter(r)
	if err != nil {
		return err // a client that was killed half way, for instance
	}
	m.by, m.to = s.process, s.to
	return s.hand(m)
}

var bankNumber = regexp.MustCompile(`Bank \d{5}`)

// readLetter reads what the tests look at.
func readLetter(r io.Reader) (letterSeen, error) {
	msg, err := mail.ReadMessage(r)
	if err != nil {
		return letterSeen{}, err
	}
	_, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	if err != nil {
		return letterSeen{}, err
	}
	text, err := multipart.NewReader(msg.Body, params["boundary"]).NextPart()
	if err != nil {
		return letterSeen{}, err
	}
	body, err := io.ReadAll(text)
	if err != nil {
		return letterSeen{}, err
	}
	if _, err := io.Copy(io.Discard, msg.Body); err != nil {
		return letterSeen{}, err
	}
	banks := bankNumber.FindAllString(string(body), -1)
	slices.Sort(banks)
	return letterSeen{id: msg.Header.Get("Message-Id"), toAll: msg.Header.Get("To"), banks: strings.Join(slices.Compact(banks), ",")}, nil
}

// errNotTaken is the sink's answer to somebody who is dead already.
var errNotTaken = errors.New("not taken")

// situation is where a consent stands when the sweep first sees it.
type situation struct {
	untilLapse time.Duration // negative: it has lapsed
	announce   string
	skipped    []string
}

// situations are of consents that live for 90 days with the default cadence.
// No next stage falls due within the half hour by which a test may move its clock.
var situations = []situation{
	{29 * aDay, "before_30d", nil},
	{5 * aDay, "before_7d", []string{"before_30d"}},
	{12 * time.Hour, "before_1d", []string{"before_30d", "before_7d"}},
	{-aDay, "lapse", []string{"before_30d", "before_7d", "before_1d"}},
}

func situationOf(i int) situation { return situations[i%len(situations)] }

// userOf: of three consents in a row two belong to one user.
func userOf(i int) int { return i/3*2 + i%3/2 }

func emailOf(i int) string     { return fmt.Sprintf("user%d@example.org", userOf(i)) }
func consentID(i int) string   { return fmt.Sprintf("con_%05d", i) }
func bankNamed(i int) string   { return fmt.Sprintf("Bank %05d", i) }
func usersAmong(count int) int { return userOf(count-1) + 1 }

// dueConsent is consent number i, which lapses so long after now and has had
// nothing announced yet: as if no sweep had run since it was linked.
func dueConsent(app *consent.Application, i int, now time.Time, untilLapse time.Duration) consent.Registration {
	now = now.UTC().Truncate(time.Microsecond)
	con := consent.Consent{
		ApplicationID: app.ID, ID: consentID(i), UserID: fmt.Sprintf("user%d", userOf(i)), Provider: "truelayer", ProviderID: "mock",
		BankName: bankNamed(i), CredentialsID: fmt.Sprintf("cred_%05d", i), Cycle: 1, Custody: consent.CustodyBackend,
		RedirectURI: "https://app.example/callback", CreatedAt: now, ExpiresAt: now.Add(untilLapse), ExpirySource: consent.FromBackend,
	}
	con.ConsentedAt = con.ExpiresAt.Add(-90 * aDay)
	con.Reschedule(app.Cadence, app.Policy(con.Provider), con.ConsentedAt)
	return consent.Registration{Consent: con, Contact: consent.User{ApplicationID: app.ID, ID: con.UserID, Email: emailOf(i), CreatedAt: now, UpdatedAt: now}}
}
