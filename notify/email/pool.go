package email

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"sync"
	"time"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"
)

// encryption is how a connection comes to be encrypted.
type encryption int

const (
	startTLS     encryption = iota // demanded, after the greeting (RFC 3207)
	fromTheStart                   // RFC 8314
	inTheClear
)

// settings are a pool's.
type settings struct {
	host           string
	port           int
	user, password string // no login where user is empty
	tls            encryption
	tlsConfig      *tls.Config // nil: the system's roots
	helo           string      // who we say we are
	timeout        time.Duration
	finalTimeout   time.Duration
	idle           time.Duration
	connections    int
}

// pool keeps connections to one server. The one that was used last is taken
// first, so that those that are too many become idle and are given up.
type pool struct {
	settings
	slots  chan struct{} // one for each connection in use
	mu     sync.Mutex
	idling []*connection
	closed bool
}

// connection is one to the server, ready for a message.
type connection struct {
	client       *gomail.Client
	smtp         *smtp.Client
	raw          net.Conn // below any TLS: closing it ends whatever waits
	pipelines    bool     // takes commands before it has answered the last (RFC 2920)
	takes8Bit    bool     // RFC 6152
	timer        *time.Timer
	timeout      time.Duration
	finalTimeout time.Duration
}

func newPool(s settings) (*pool, error) {
	p := &pool{settings: s, slots: make(chan struct{}, s.connections)}
	_, err := p.newClient(nil)
	return p, err
}

// take returns a connection: one that was kept, or else a new one. Whoever
// takes it puts it back.
func (p *pool) take(ctx context.Context) (c *connection, kept bool, err error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
	if c := p.lastIdle(); c != nil {
		return c, true, nil
	}
	if c, err = p.dial(ctx); err != nil {
		<-p.slots
		return nil, false, err
	}
	return c, false, nil
}

func (p *pool) lastIdle() *connection {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n := len(p.idling) - 1; n >= 0; n-- {
		c := p.idling[n]
		p.idling = p.idling[:n]
		if c.timer.Stop() {
			return c
		} // else it is being given up at this moment
	}
	return nil
}

// put keeps a connection, or closes it where it is of no more use.
func (p *pool) put(c *connection, good bool) {
	defer func() { <-p.slots }()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !good || p.closed {
		_ = c.raw.Close()
		return
	}
	c.timer = time.AfterFunc(p.idle, func() { p.giveUp(c) })
	p.idling = append(p.idling, c)
}

// giveUp ends a connection that nobody needed for long.
func (p *pool) giveUp(c *connection) {
	p.mu.Lock()
	for i := range p.idling {
		if p.idling[i] == c {
			p.idling = append(p.idling[:i], p.idling[i+1:]...)
			break
		}
	}
	p.mu.Unlock()
	c.quit()
}

func (p *pool) close() {
	p.mu.Lock()
	idling := p.idling
	p.idling, p.closed = nil, true
	p.mu.Unlock()
	for _, c := range idling {
		if c.timer.Stop() {
			c.quit()
		}
	}
}

// dial connects, encrypts and logs in.
func (p *pool) dial(ctx context.Context) (*connection, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	c := &connection{timeout: p.timeout, finalTimeout: p.finalTimeout}
	inTime := func() bool { return true }
	var err error
	c.client, err = p.newClient(func(dialling context.Context, network, address string) (net.Conn, error) {
		raw, err := (&net.Dialer{}).DialContext(dialling, network, address)
		if err != nil {
			return nil, err
		}
		c.raw = raw
		inTime = context.AfterFunc(ctx, func() { _ = raw.Close() }) // the library's own deadline is a fixed one
		if p.tls != fromTheStart {
			return raw, nil
		}
		secure := tls.Client(raw, p.config())
		return secure, secure.HandshakeContext(dialling)
	})
	if err != nil {
		return nil, err
	}
	c.smtp, err = c.client.DialToSMTPClientWithContext(ctx)
	if !inTime() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		if c.raw != nil {
			_ = c.raw.Close() // the library leaves it open
		}
		return c, err
	}
	c.pipelines, _ = c.smtp.Extension("PIPELINING")
	c.takes8Bit, _ = c.smtp.Extension("8BITMIME")
	return c, nil
}

func (p *pool) config() *tls.Config {
	if p.tlsConfig != nil {
		return p.tlsConfig
	}
	return &tls.Config{ServerName: p.host, MinVersion: tls.VersionTLS12}
}

func (p *pool) newClient(dial gomail.DialContextFunc) (*gomail.Client, error) {
	// Addresses are ASCII: whoever asks for SMTPUTF8 all the same has the mail come
	// back where a server on the way does not know it (RFC 6531 3.1).
	opts := []gomail.Option{gomail.WithTimeout(p.timeout), gomail.WithoutSMTPUTF8(), gomail.WithPort(p.port), gomail.WithTLSConfig(p.config())}
	if p.helo != "" {
		opts = append(opts, gomail.WithHELO(p.helo))
	}
	if dial != nil {
		opts = append(opts, gomail.WithDialContextFunc(dial))
	}
	switch p.tls {
	case startTLS:
		opts = append(opts, gomail.WithTLSPolicy(gomail.TLSMandatory))
	case fromTheStart:
		// The connection is encrypted already, and such a server offers no
		// STARTTLS; this policy has the library see that a password is safe on it.
		opts = append(opts, gomail.WithTLSPolicy(gomail.TLSOpportunistic))
	case inTheClear:
		opts = append(opts, gomail.WithTLSPolicy(gomail.NoTLS))
	}
	if p.user != "" {
		opts = append(opts, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(p.user), gomail.WithPassword(p.password))
	}
	return gomail.NewClient(p.host, opts...)
}

// send hands one message over. The library knows no context: its end closes
// the connection under it. After a message the server has nothing left to
// forget, so there is no RSET: one whose acceptance stands must not fail by what
// follows it. What comes of it is nil or a *fault.
func (c *connection) send(ctx context.Context, l *gomail.Msg) error {
	stop := context.AfterFunc(ctx, func() { _ = c.raw.Close() })
	defer stop()
	if err := c.envelope(l); err != nil {
		return err
	}
	w := c.smtp.Text.DotWriter()
	if _, err := l.WriteTo(w); err != nil {
		return &fault{content, err}
	}
	if err := c.smtp.UpdateDeadline(c.finalTimeout); err != nil {
		return &fault{content, err}
	}
	if err := w.Close(); err != nil {
		return &fault{end, err}
	}
	if _, _, err := c.smtp.Text.ReadResponse(250); err != nil {
		return &fault{end, err}
	}
	return nil
}

// command is one of those that come before a mail's text.
type command struct {
	at   step
	line string
	want int // the beginning of its answer's code
}

// envelope names the sender and the recipient, and asks for the mail. Where the
// server takes commands before it has answered the last (RFC 2920), all leave
// together: each answer that need not be waited for is a round trip less, which
// over a real line is most of a mail's time.
func (c *connection) envelope(l *gomail.Msg) error {
	from, err := l.GetSender(false)
	if err != nil {
		return &fault{sender, err}
	}
	to, err := l.GetRecipients()
	if err != nil {
		return &fault{recipient, err}
	}
	body := ""
	if c.takes8Bit {
		body = " BODY=8BITMIME"
	}
	commands := []command{{sender, "MAIL FROM:" + from + body, 250}}
	for _, address := range to {
		commands = append(commands, command{recipient, "RCPT TO:" + address, 25})
	}
	commands = append(commands, command{data, "DATA", 354})
	if err := c.smtp.UpdateDeadline(c.timeout); err != nil {
		return &fault{sender, err}
	}
	together := 1
	if c.pipelines {
		together = len(commands)
	}
	for group := range slices.Chunk(commands, together) {
		if f := c.command(group); f != nil {
			return c.forget(f)
		}
	}
	return nil
}

// command sends commands together, and reads an answer for each. The first that
// is not as it should be counts: what follows it fails by it.
func (c *connection) command(group []command) *fault {
	t := c.smtp.Text
	for _, m := range group {
		if _, err := t.W.WriteString(m.line + "\r\n"); err != nil {
			return &fault{m.at, err}
		}
	}
	if err := t.W.Flush(); err != nil {
		return &fault{group[0].at, err}
	}
	var first *fault
	for _, m := range group {
		_, _, err := t.ReadResponse(m.want)
		if err == nil && m.at == data && first != nil {
			c.handNothing()
		}
		if err == nil {
			continue
		}
		if first == nil {
			first = &fault{m.at, err}
			_ = c.smtp.UpdateDeadline(formality)
		}
		if code := codeOf(err); code == 0 || code == goodbye {
			break // nothing more comes
		}
	}
	return first
}

// handNothing ends a mail that the server waits for, though it will give it to
// nobody (RFC 2920 3.1). Where that fails, the next mail finds it.
func (c *connection) handNothing() {
	if err := c.smtp.Text.DotWriter().Close(); err == nil {
		_, _, _ = c.smtp.Text.ReadResponse(250)
	}
}

// forget has the server forget a mail that it answered no to, and returns what
// came between.
func (c *connection) forget(f *fault) error {
	if usable(f) {
		if err := c.smtp.Reset(); err != nil {
			_ = c.raw.Close() // the next mail finds it over
		}
	}
	return f
}

// quit says goodbye, and waits a second for the answer.
func (c *connection) quit() {
	_ = c.smtp.UpdateDeadline(time.Second)
	_ = c.client.CloseWithSMTPClient(c.smtp)
	_ = c.raw.Close()
}
