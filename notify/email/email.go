package email

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/mail"
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
	// finalTimeout bounds the answer to a whole mail, which servers look through
	// before they take it (RFC 5321 4.5.3.2.6 allows ten minutes). Who hangs up
	// earlier does not know whether it was taken.
	finalTimeout = time.Minute
	// formality bounds what follows a no: answers that say nothing more, and which
	// some servers leave out.
	formality = 5 * time.Second
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
	if !plainAddress(addr.Address) {
		return nil, errors.New("the sender's address holds characters beyond ASCII; write its domain in the xn-- form")
	}
	_, domain, _ := strings.Cut(addr.Address, "@")
	s := settings{
		host: u.Hostname(), port: 587, tls: startTLS, helo: domain,
		timeout: timeout, finalTimeout: finalTimeout, idle: idleFor, connections: maxConnections,
	}
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
		again, err := m.hand(ctx, l)
		if !again {
			return err
		}
		// The server had closed what was idle; nothing of the message left. The
		// next connection may be an idle one too, so this ends when none is left.
	}
}

// hand tries one connection. It says to try another where a kept one was over
// before the message began.
func (m *Mailer) hand(ctx context.Context, l *gomail.Msg) (again bool, err error) {
	c, kept, err := m.pool.take(ctx)
	if err != nil {
		return false, notTaken(ctx, err)
	}
	good := false
	defer func() { m.pool.put(c, good) }()
	err = c.send(ctx, l)
	good = err == nil || usable(err)
	return kept && gaveUp(err) && ctx.Err() == nil, meaning(ctx, err)
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
