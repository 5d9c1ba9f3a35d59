package email

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// server is a real SMTP server that answers as it is told.
type server struct {
	t        testing.TB
	address  string
	password string // demanded where it is set

	mu          sync.Mutex
	connections int
	from        string   // of the newest
	taken       []string // mails, as they came
	recipients  []string
	mail, rcpt  []error // answers to the next commands, one each; then nil
	data        []error
	during      func(*smtp.Conn) // when a mail has been read, before it is answered
	conn        *smtp.Conn       // the newest
	left        chan struct{}    // one for each connection that has ended
	open        int
	mostOpen    int
	utf8        bool   // whether a mail asked for SMTPUTF8
	greeted     string // by whom
}

type kind int

const (
	plain kind = iota
	withSTARTTLS
	withTLS
)

// certificate makes one for 127.0.0.1, and the configuration that trusts it.
func certificate(t testing.TB) (serverSide, clientSide *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	now := time.Now()
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mail"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	require.NoError(t, err)
	parsed, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12},
		&tls.Config{RootCAs: roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}
}

// newServer starts a server, and returns a Mailer for it.
func newServer(t testing.TB, k kind, password string) (*server, *Mailer) {
	t.Helper()
	s := &server{t: t, password: password, left: make(chan struct{}, 1000)}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.address = l.Addr().String()
	srv := smtp.NewServer(smtp.BackendFunc(s.session))
	srv.Domain, srv.ErrorLog, srv.EnableSMTPUTF8 = "mail.example", log.New(io.Discard, "", 0), true
	login := ""
	if password != "" {
		login = "app:" + password + "@"
	}
	link := "smtp://" + login + s.address
	serverSide, clientSide := certificate(t)
	switch k {
	case plain:
		link += "?tls=none"
	case withSTARTTLS:
		srv.TLSConfig = serverSide
	case withTLS:
		l = tls.NewListener(l, serverSide)
		link = "smtps://" + login + s.address
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	m, err := New(link, "Reminders <reminders@consents.example>")
	require.NoError(t, err)
	m.pool.tlsConfig = clientSide
	t.Cleanup(func() {
		m.Close()
		assert.NoError(t, srv.Close())
		_ = l.Close() // where Serve had not begun yet
		if err := <-done; err != nil {
			assert.ErrorIs(t, err, net.ErrClosed)
		}
	})
	return s, m
}

func (s *server) session(c *smtp.Conn) (smtp.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if from := c.Conn().RemoteAddr().String(); from != s.from { // after STARTTLS a session begins anew
		s.connections, s.from = s.connections+1, from
	}
	s.open++
	s.mostOpen = max(s.mostOpen, s.open)
	s.conn = c
	ses := &session{server: s, conn: c}
	if s.password != "" {
		return authSession{ses}, nil
	}
	return ses, nil
}

// with changes what the server does next.
func (s *server) with(change func(*server)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *server) mails() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.taken...)
}

func (s *server) count() (connections, mostOpen int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.connections, s.mostOpen
}

func (s *server) next(answers *[]error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(*answers) == 0 {
		return nil
	}
	err := (*answers)[0]
	*answers = (*answers)[1:]
	return err
}

type session struct {
	*server
	conn *smtp.Conn
	in   bool
}

func (s *session) Reset() {}

func (s *session) Logout() error {
	s.server.with(func(s *server) { s.open-- })
	s.left <- struct{}{}
	return nil
}

func (s *session) Mail(_ string, o *smtp.MailOptions) error {
	s.server.with(func(server *server) { server.utf8, server.greeted = server.utf8 || o.UTF8, s.conn.Hostname() })
	if s.password != "" && !s.in {
		return smtp.ErrAuthRequired
	}
	return s.next(&s.server.mail)
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	err := s.next(&s.rcpt)
	if err == nil {
		s.server.with(func(s *server) { s.recipients = append(s.recipients, to) })
	}
	return err
}

func (s *session) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.mu.Lock()
	during := s.during
	s.during = nil
	s.mu.Unlock()
	if during != nil {
		during(s.conn)
	}
	if err := s.next(&s.data); err != nil {
		return err
	}
	s.server.with(func(s *server) { s.taken = append(s.taken, string(text)) })
	return nil
}

type authSession struct{ *session }

func (s authSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s authSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "app" || password != s.password {
			return smtp.ErrAuthFailed
		}
		s.in = true
		return nil
	}), nil
}

// answer is one of the server's, without an enhanced status.
func answer(code int) error { return statusAnswer(code, smtp.NoEnhancedCode) }

// statusAnswer is one of the server's; zeros take "undefined".
func statusAnswer(code int, enhanced smtp.EnhancedCode) error {
	return &smtp.SMTPError{Code: code, EnhancedCode: enhanced, Message: "because of ada@example.org at 5.1.1"}
}
