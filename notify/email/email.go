package email

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/mail"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"github.com/reconsent/reconsent/notify"
)

// Mailer sends by SMTP, over connections that it keeps. It is safe for
// concurrent use.
type Mailer struct {
	from   mail.Address
	domain string
	pool   *pool
}

const (
	// timeout bounds a dial with all that comes before the first mail, and one
	// mail on a connection that is there. RFC 5321 4.5.3.2 allows a server more
	// for each command; a worker that waits for it is one fewer for the rest.
	timeout = 30 * time.Second
	// idleFor is how long a connection is kept that nobody needs: less than any
	// server waits (RFC 5321 4.5.3.2.7 has five minutes).
	idleFor = time.Minute
	// maxConnections is how many there are at a time: few enough for the limits
	// that mail providers set.
	maxConnections = 8
)

// New returns a Mailer. server is smtp://USER:PASSWORD@HOST:PORT, which
// demands STARTTLS, or smtps:// for TLS from the start; ?tls=none sends in the
// clear, for a server on the same machine. from is an address, with a name or
// without. No connection is made yet.
func New(server, from string) (*Mailer, error) {
	u, err := url.Parse(server)
	if err != nil || u.Hostname() == "" || (u.Scheme != "smtp" && u.Scheme != "smtps") {
		return nil, errors.New("want smtp://user:password@host:port or smtps:// and the same") // the cause may quote the password
	}
	addr, err := mail.ParseAddress(from)
	if err != nil {
		return nil, errors.New("the sender is no address like \"Name <reminders@example.org>\"")
	}
	_, domain, _ := strings.Cut(addr.Address, "@")
	s := settings{host: u.Hostname(), port: 587, tls: startTLS, timeout: timeout, idle: idleFor, connections: maxConnections}
	switch {
	case u.Scheme == "smtps":
		s.port, s.tls = 465, fromTheStart
	case u.Query().Get("tls") == "none":
		s.tls = inTheClear
	}
	if p := u.Port(); p != "" {
		if s.port, err = strconv.Atoi(p); err != nil {
			return nil, fmt.Errorf("port %q is no number", p)
		}
	}
	if u.User != nil {
		s.user = u.User.Username()
		s.password, _ = u.User.Password()
	}
	p, err := newPool(s)
	if err != nil {
		return nil, err
	}
	return &Mailer{from: *addr, domain: domain, pool: p}, nil
}

// Send implements notify.Mailer. It returns when ctx ends, whatever the server
// does.
func (m *Mailer) Send(ctx context.Context, msg notify.Message) error {
	l, err := m.letter(msg)
	if err != nil {
		return err
	}
	for {
		c, kept, err := m.pool.take(ctx)
		if err != nil {
			return noConnection(meaning(ctx, err))
		}
		err = c.send(ctx, l)
		m.pool.put(c, err == nil || usable(err))
		if err == nil {
			return nil
		}
		if !kept || !gaveUp(err) || ctx.Err() != nil {
			return meaning(ctx, err)
		}
		// The server had closed what was idle; nothing of the message left. The
		// next connection may be an idle one too, so this ends when none is left.
	}
}

// WriteTo writes the message as it would be sent.
func (m *Mailer) WriteTo(w io.Writer, msg notify.Message) error {
	l, err := m.letter(msg)
	if err != nil {
		return err
	}
	_, err = l.WriteTo(w)
	return err
}

// Close gives the kept connections up.
func (m *Mailer) Close() { m.pool.close() }

// usable reports whether the connection can take another message after an
// error: the server has answered this one, and not with a goodbye.
func usable(err error) bool {
	e, ok := errors.AsType[*gomail.SendError](err)
	return ok && e.ErrorCode() != 0 && e.ErrorCode() != goodbye && (e.Reason == gomail.ErrSMTPMailFrom || e.Reason == gomail.ErrSMTPRcptTo || e.Reason == gomail.ErrSMTPDataClose)
}

// goodbye: the server closes the connection (RFC 5321 3.8).
const goodbye = 421

// gaveUp reports whether the connection was over before the message began.
func gaveUp(err error) bool {
	e, ok := errors.AsType[*gomail.SendError](err)
	return ok && (e.Reason == gomail.ErrConnCheck || e.Reason == gomail.ErrSMTPMailFrom) && (e.ErrorCode() == 0 || e.ErrorCode() == goodbye)
}

// meaning tells "never" from everything else. Never is a 5yz answer (RFC 5321
// 4.2.1) to the recipient or to the whole message. The same to a login, to the
// sender or to the connection is a fault of ours, or the server's policy: the
// next person's mail would meet it too, so it marks nobody's address. No text
// of the server's is passed on: it may quote addresses.
func meaning(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("smtp: %w", context.Cause(ctx))
	}
	if e, ok := errors.AsType[*gomail.SendError](err); ok && e.ErrorCode() != 0 {
		if e.ErrorCode() >= 500 && aboutTheMessage(e) {
			return fmt.Errorf("%w: SMTP %d", notify.ErrRefused, e.ErrorCode())
		}
		return fmt.Errorf("smtp: not now: %s: %d", e.Reason, e.ErrorCode())
	}
	if e, ok := errors.AsType[*gomail.SendError](err); ok {
		return fmt.Errorf("smtp: the connection failed: %s", e.Reason)
	}
	if e, ok := errors.AsType[*textproto.Error](err); ok {
		return fmt.Errorf("smtp: the server does not let us in: %d", e.Code)
	}
	if e, ok := errors.AsType[net.Error](err); ok {
		return fmt.Errorf("smtp: no connection: %w", e)
	}
	return fmt.Errorf("smtp: no connection: %w", err)
}

// noConnection says of an error that the next message would meet it too.
func noConnection(err error) error { return fmt.Errorf("%w: %w", notify.ErrAway, err) }

// aboutTheMessage sorts out the 5yz answers that are about something else.
func aboutTheMessage(e *gomail.SendError) bool {
	switch e.Reason {
	case gomail.ErrSMTPRcptTo:
		// 503 and 530: we should have done something before. 552: too many
		// recipients for now (RFC 5321 4.5.3.1.10).
		return e.ErrorCode() != 503 && e.ErrorCode() != 530 && e.ErrorCode() != 552
	case gomail.ErrSMTPDataClose:
		// A full mailbox, and what the server thinks of us, of our address or of
		// its own state (RFC 3463 3.3, 3.4, 3.8), say nothing of the recipient's.
		status := e.EnhancedStatusCode()
		return e.ErrorCode() != 552 && !strings.HasPrefix(status, "5.2.2") && !strings.HasPrefix(status, "5.3.") && !strings.HasPrefix(status, "5.7.")
	default:
		return false
	}
}
