package email

import (
	"context"
	"errors"
	"fmt"
	"net/mail"
	"net/url"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"github.com/reconsent/reconsent/notify"
)

// Mailer sends by SMTP, over connections that it keeps. It is safe for
// concurrent use.
type Mailer struct {
	client *gomail.Client
	from   mail.Address
	domain string
	idle   chan *smtp.Client
}

const (
	timeout = 30 * time.Second
	maxIdle = 8
)

// New returns a Mailer. server is smtp://USER:PASSWORD@HOST:PORT, which
// demands STARTTLS, or smtps:// for TLS from the start; ?tls=none sends in the
// clear, for a server on the same machine. from is an address, with a name or
// without. No connection is made yet.
func New(server, from string) (*Mailer, error) {
	u, err := url.Parse(server)
	if err != nil || u.Host == "" || (u.Scheme != "smtp" && u.Scheme != "smtps") {
		return nil, errors.New("want smtp://user:password@host:port or smtps:// and the same") // the cause may quote the password
	}
	addr, err := mail.ParseAddress(from)
	if err != nil {
		return nil, errors.New("the sender is no address like \"Name <reminders@example.org>\"")
	}
	_, domain, _ := strings.Cut(addr.Address, "@")
	opts := []gomail.Option{gomail.WithTimeout(timeout), gomail.WithoutNoop()}
	if u.Scheme == "smtps" {
		opts = append(opts, gomail.WithSSL(), gomail.WithPort(465))
	} else {
		policy := gomail.TLSMandatory
		if u.Query().Get("tls") == "none" {
			policy = gomail.NoTLS
		}
		opts = append(opts, gomail.WithTLSPolicy(policy), gomail.WithPort(587))
	}
	if p := u.Port(); p != "" {
		n, err := strconv.Atoi(p)
		if err != nil {
			return nil, fmt.Errorf("port %q is no number", p)
		}
		opts = append(opts, gomail.WithPort(n))
	}
	if u.User != nil {
		password, _ := u.User.Password()
		opts = append(opts, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(u.User.Username()), gomail.WithPassword(password))
	}
	client, err := gomail.NewClient(u.Hostname(), opts...)
	if err != nil {
		return nil, err
	}
	return &Mailer{client: client, from: *addr, domain: domain, idle: make(chan *smtp.Client, maxIdle)}, nil
}

// Send implements notify.Mailer.
func (m *Mailer) Send(ctx context.Context, msg notify.Message) error {
	letter, err := m.letter(msg)
	if err != nil {
		return fmt.Errorf("%w: %w", notify.ErrRefused, err)
	}
	conn, kept := m.take()
	if conn == nil {
		if conn, err = m.client.DialToSMTPClientWithContext(ctx); err != nil {
			return fmt.Errorf("smtp: %w", err)
		}
	}
	err = m.client.SendWithSMTPClient(conn, letter)
	if err != nil && kept && !answered(err) { // the server closed what was idle
		_ = conn.Close()
		if conn, err = m.client.DialToSMTPClientWithContext(ctx); err != nil {
			return fmt.Errorf("smtp: %w", err)
		}
		err = m.client.SendWithSMTPClient(conn, letter)
	}
	if err != nil {
		_ = conn.Close()
		return meaning(err)
	}
	m.put(conn)
	return nil
}

// Close gives the kept connections up.
func (m *Mailer) Close() {
	for {
		conn, kept := m.take()
		if !kept {
			return
		}
		_ = m.client.CloseWithSMTPClient(conn)
	}
}

func (m *Mailer) take() (*smtp.Client, bool) {
	select {
	case conn := <-m.idle:
		return conn, true
	default:
		return nil, false
	}
}

func (m *Mailer) put(conn *smtp.Client) {
	select {
	case m.idle <- conn:
	default:
		_ = m.client.CloseWithSMTPClient(conn)
	}
}

func (m *Mailer) letter(msg notify.Message) (*gomail.Msg, error) {
	l := gomail.NewMsg()
	if err := l.FromFormat(msg.FromName, m.from.Address); err != nil {
		return nil, err
	}
	if err := l.AddToFormat(msg.ToName, msg.To); err != nil {
		return nil, err
	}
	l.SetMessageIDWithValue(msg.ID + "@" + m.domain)
	l.SetDate()
	l.Subject(msg.Subject)
	l.SetBodyString(gomail.TypeTextPlain, msg.Text)
	l.AddAlternativeString(gomail.TypeTextHTML, msg.HTML)
	return l, nil
}

// answered reports whether the server itself said no.
func answered(err error) bool {
	e, ok := errors.AsType[*gomail.SendError](err)
	return ok && e.ErrorCode() != 0
}

// meaning tells "never" (5yz, RFC 5321 4.2.1) from everything else.
func meaning(err error) error {
	if e, ok := errors.AsType[*gomail.SendError](err); ok && e.ErrorCode() >= 500 {
		return fmt.Errorf("%w: SMTP %d", notify.ErrRefused, e.ErrorCode()) // the text may quote the address
	}
	if e, ok := errors.AsType[*gomail.SendError](err); ok && e.ErrorCode() != 0 {
		return fmt.Errorf("smtp: not now: %d", e.ErrorCode())
	}
	return errors.New("smtp: the connection failed")
}
