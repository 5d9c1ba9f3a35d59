package email

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	gomail "github.com/wneessen/go-mail"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/notify"
)

func message(id string) notify.Message {
	return notify.Message{
		ID: id, To: "ada@example.org", ToName: "Ada", FromName: "Ledger", ReplyTo: "help@ledger.example", Language: "de",
		ListUnsubscribe: "https://consents.example/u/ledger.abc", Subject: "Zugriff auf Mock Bank endet in 7 Tagen", Text: "Text mit ü\n", HTML: "<p>HTML mit ü</p>\n",
	}
}

func TestNewSaysWhatIsWrong(t *testing.T) {
	for _, server := range []string{"", "mail.example", "http://mail.example", "smtp://", "smtp://user:secret@", "smtp://mail.example:port", "smtp://user:sec%ret@mail.example"} {
		_, err := New(server, "a@example.org")
		require.Error(t, err, server)
		assert.NotContains(t, err.Error(), "sec", server)
	}
	_, err := New("smtp://mail.example", "nobody")
	require.ErrorContains(t, err, "the sender is no address")
	for _, from := range []string{"zoë@example.org", "Zoë <reminders@exämple.org>"} { // else every mail would fail, one by one
		_, err = New("smtp://mail.example", from)
		require.ErrorContains(t, err, "beyond ASCII", from)
	}
	_, err = New("smtp://mail.example", "Zoë <reminders@example.org>")
	require.NoError(t, err)
}

func TestMailOverEveryKindOfConnection(t *testing.T) {
	for name, k := range map[string]kind{"in the clear": plain, "STARTTLS": withSTARTTLS, "TLS": withTLS} {
		t.Run(name, func(t *testing.T) {
			password := "secret"
			if k == plain {
				password = "" // no password goes over such a connection
			}
			s, m := newServer(t, k, password)
			require.NoError(t, m.Send(t.Context(), message("dgt_1")))
			require.Len(t, s.mails(), 1)
			_, encrypted := s.conn.TLSConnectionState()
			assert.Equal(t, k != plain, encrypted)
		})
	}
}

func TestAWrongPasswordIsNobodysAddress(t *testing.T) {
	s, m := newServer(t, withSTARTTLS, "secret")
	m.pool.password = "wrong-pass"
	err := m.Send(t.Context(), message("dgt_1"))
	require.ErrorIs(t, err, notify.ErrMisconfigured)
	require.ErrorIs(t, err, notify.ErrAway, "the next message would fare no better")
	require.NotErrorIs(t, err, notify.ErrRefused)
	assert.Contains(t, err.Error(), "535")
	assert.NotContains(t, err.Error(), "wrong-pass")
	assert.Empty(t, s.mails())
	m.pool.password = "secret"
	require.NoError(t, m.Send(t.Context(), message("dgt_1")), "as soon as it is put right")
}

func TestAPasswordIsNotSentInTheClear(t *testing.T) {
	s, m := newServer(t, plain, "secret")
	err := m.Send(t.Context(), message("dgt_1"))
	require.Error(t, err)
	require.NotErrorIs(t, err, notify.ErrRefused)
	assert.NotContains(t, err.Error(), "secret")
	assert.Empty(t, s.mails())
}

func TestAServerWithoutSTARTTLSGetsNoMail(t *testing.T) {
	s, m := newServer(t, plain, "")
	m.pool.tls = startTLS
	err := m.Send(t.Context(), message("dgt_1"))
	require.ErrorContains(t, err, "STARTTLS")
	require.NotErrorIs(t, err, notify.ErrRefused)
	assert.Empty(t, s.mails())
}

func TestAServerThatNobodyVouchesForGetsNoMail(t *testing.T) {
	for _, k := range []kind{withSTARTTLS, withTLS} {
		s, m := newServer(t, k, "")
		m.pool.tlsConfig = nil // the system's roots
		err := m.Send(t.Context(), message("dgt_1"))
		require.Error(t, err)
		require.NotErrorIs(t, err, notify.ErrRefused)
		_, unknown := errors.AsType[*tls.CertificateVerificationError](err)
		assert.True(t, unknown || strings.Contains(err.Error(), "certificate"), err)
		assert.Empty(t, s.mails())
	}
}

// TestWhatTheServersAnswersMean: only what is about the recipient's address is
// "never"; what is about us is told to an operator.
func TestWhatTheServersAnswersMean(t *testing.T) {
	type class int
	const (
		later class = iota
		never
		ours
	)
	none := smtp.NoEnhancedCode
	for _, tt := range []struct {
		at     step
		code   int
		status smtp.EnhancedCode
		want   class
		reused bool // the connection
	}{
		{recipient, 550, none, never, true}, {recipient, 551, none, never, true}, {recipient, 553, none, never, true},
		{recipient, 554, none, ours, true}, {recipient, 501, none, ours, true}, {recipient, 503, none, ours, true}, {recipient, 530, none, ours, true},
		{recipient, 552, none, later, true}, {recipient, 450, none, later, true}, {recipient, 451, none, later, true}, {recipient, 452, none, later, true},
		{recipient, 421, none, later, false},
		{recipient, 550, smtp.EnhancedCode{5, 1, 1}, never, true}, {recipient, 550, smtp.EnhancedCode{5, 1, 2}, never, true},
		{recipient, 501, smtp.EnhancedCode{5, 1, 3}, never, true}, {recipient, 550, smtp.EnhancedCode{5, 1, 6}, never, true},
		{recipient, 556, smtp.EnhancedCode{5, 1, 10}, never, true}, {recipient, 554, smtp.EnhancedCode{5, 2, 1}, never, true},
		{recipient, 554, smtp.EnhancedCode{5, 7, 1}, ours, true}, // relay access denied; client host blocked
		{recipient, 550, smtp.EnhancedCode{5, 7, 1}, ours, true},
		{recipient, 550, smtp.EnhancedCode{5, 1, 8}, ours, true}, // the sender's domain
		{recipient, 550, smtp.EnhancedCode{5, 4, 5}, ours, true}, // a day's quota
		{recipient, 550, smtp.EnhancedCode{5, 3, 4}, ours, true},
		{recipient, 550, smtp.EnhancedCode{5, 0, 0}, ours, true},  // undefined
		{recipient, 550, smtp.EnhancedCode{5, 2, 2}, later, true}, // a full mailbox
		{recipient, 450, smtp.EnhancedCode{4, 1, 1}, later, true},
		{end, 550, none, ours, true}, {end, 554, none, ours, true}, // "sending suspended for this account"
		{end, 552, none, later, true}, {end, 451, none, later, true}, {end, 421, none, later, false},
		{end, 550, smtp.EnhancedCode{5, 1, 1}, never, true}, {end, 550, smtp.EnhancedCode{5, 2, 1}, never, true},
		{end, 550, smtp.EnhancedCode{5, 2, 2}, later, true}, {end, 554, smtp.EnhancedCode{5, 6, 0}, ours, true}, {end, 550, smtp.EnhancedCode{5, 7, 26}, ours, true},
		{sender, 550, none, ours, true}, {sender, 553, none, ours, true}, {sender, 530, none, ours, true}, {sender, 550, smtp.EnhancedCode{5, 1, 1}, ours, true},
		{sender, 451, none, later, true}, {sender, 421, none, later, false},
	} {
		t.Run(fmt.Sprint(tt.at, " ", tt.code, " ", tt.status), func(t *testing.T) {
			s, m := newServer(t, plain, "")
			s.with(func(s *server) {
				answers := []error{statusAnswer(tt.code, tt.status)}
				switch tt.at {
				case sender:
					s.mail = answers
				case recipient:
					s.rcpt = answers
				default:
					s.data = answers
				}
			})
			err := m.Send(t.Context(), message("dgt_1"))
			require.Error(t, err)
			assert.Equal(t, tt.want == never, errors.Is(err, notify.ErrRefused), err)
			assert.Equal(t, tt.want == ours, errors.Is(err, notify.ErrMisconfigured), err)
			assert.NotErrorIs(t, err, notify.ErrAway, "an answer to one mail says nothing of the next")
			assert.NotErrorIs(t, err, notify.ErrUnanswered)
			assert.Contains(t, err.Error(), fmt.Sprint(tt.code))
			assert.NotContains(t, err.Error(), "ada", "no address in an error")
			assert.Empty(t, s.mails())
			require.NoError(t, m.Send(t.Context(), message("dgt_2")))
			require.Len(t, s.mails(), 1)
			connections, _ := s.count()
			assert.Equal(t, tt.reused, connections == 1)
		})
	}
}

func TestAnAddressThatIsNoneIsRefusedAndNobodyIsAsked(t *testing.T) {
	s, m := newServer(t, plain, "")
	for _, to := range []string{"", "nobody", "zoë@example.org", "a@example.org\r\nRCPT TO:<b@example.org>", "a@example.org>\r\nDATA", "a b@example.org", "a@exam\x00ple.org", strings.Repeat("x", 300)} {
		msg := message("dgt_1")
		msg.To = to
		err := m.Send(t.Context(), msg)
		require.ErrorIs(t, err, notify.ErrRefused, to)
		assert.Equal(t, "refused for good: the recipient is no address", err.Error())
	}
	connections, _ := s.count()
	assert.Zero(t, connections)
}

func TestHeadersOfAMail(t *testing.T) {
	s, m := newServer(t, plain, "")
	require.NoError(t, m.Send(t.Context(), message("dgt_1")))
	require.NoError(t, m.Send(t.Context(), message("dgt_1")))
	bare := message("dgt_2")
	bare.ReplyTo, bare.ListUnsubscribe, bare.Language, bare.ToName = "", "", "", ""
	require.NoError(t, m.Send(t.Context(), bare))
	mails := s.mails()
	h := header(t, mails[0])
	assert.Equal(t, "<dgt_1@consents.example>", h.Get("Message-Id"))
	assert.Equal(t, h.Get("Message-Id"), header(t, mails[1]).Get("Message-Id"), "however often it is sent, it is one message")
	assert.Equal(t, `"Ledger" <reminders@consents.example>`, h.Get("From"))
	assert.Equal(t, `"Ada" <ada@example.org>`, h.Get("To"))
	assert.Equal(t, `"Ledger" <help@ledger.example>`, h.Get("Reply-To"))
	assert.Equal(t, "<https://consents.example/u/ledger.abc>", h.Get("List-Unsubscribe"))
	assert.Equal(t, "List-Unsubscribe=One-Click", h.Get("List-Unsubscribe-Post"))
	assert.Equal(t, "auto-generated", h.Get("Auto-Submitted"))
	assert.Equal(t, "All", h.Get("X-Auto-Response-Suppress"))
	assert.Equal(t, "de", h.Get("Content-Language"))
	assert.Contains(t, h.Get("Content-Type"), "multipart/alternative")
	_, err := h.Date()
	require.NoError(t, err)
	h = header(t, mails[2])
	for _, name := range []string{"Reply-To", "List-Unsubscribe", "List-Unsubscribe-Post", "Content-Language"} {
		assert.Empty(t, h.Get(name), name)
	}
	assert.Equal(t, "<ada@example.org>", h.Get("To"))
	bare.ListUnsubscribe = "http://localhost:8080/u/ledger.abc"
	require.NoError(t, m.Send(t.Context(), bare))
	h = header(t, s.mails()[3])
	assert.Equal(t, "<http://localhost:8080/u/ledger.abc>", h.Get("List-Unsubscribe"))
	assert.Empty(t, h.Get("List-Unsubscribe-Post"), "RFC 8058: by https alone")
	assert.Equal(t, "consents.example", s.greeted, "a machine's own name means nothing outside")
	assert.False(t, s.utf8, "addresses are ASCII, and a server on the way may know nothing else")
}

func header(t *testing.T, text string) mail.Header {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(text))
	require.NoError(t, err)
	return m.Header
}

func TestNoTextBecomesAHeaderOfItsOwn(t *testing.T) {
	s, m := newServer(t, plain, "")
	usual := map[string]bool{}
	require.NoError(t, m.Send(t.Context(), message("dgt_0")))
	for name := range header(t, s.mails()[0]) {
		usual[name] = true
	}
	for i, bad := range []string{
		"Ada\r\nBcc: everybody@example.org", "Ada\nBcc: everybody@example.org", "Ada\rBcc: everybody@example.org", "Ada\r\n\r\n<script>", "Zoë\r\nBcc: a@b",
		"Ada\u2028Bcc: a@b", "Ada\x00", `Ada" <everybody@example.org>, "B`, `back\slash "quotes" <x>`, strings.Repeat("é", 300), strings.Repeat("🏦", 300),
		strings.Repeat("x", 3000), "\xff\xfe\xfd", "\u2068בנק\u2069", "=?utf-8?q?=0D=0ABcc:_a@b?=",
	} {
		msg := message(fmt.Sprintf("dgt_%d", i+1))
		msg.Subject, msg.FromName, msg.ToName, msg.Language = bad, bad, bad, "de\r\nBcc: a@b"
		msg.ListUnsubscribe = "https://consents.example/u/a\r\nBcc: a@b"
		require.NoError(t, m.Send(t.Context(), msg), "%q", bad)
		mails := s.mails()
		require.Len(t, mails, i+2)
		got := mails[len(mails)-1]
		h := header(t, got)
		for name := range h {
			assert.True(t, usual[name], "%q made a header %s", bad, name)
		}
		assert.Empty(t, h.Get("List-Unsubscribe"), "an address that is none is left out")
		for _, field := range []string{"From", "To"} {
			list, err := h.AddressList(field)
			require.NoError(t, err, "%q in %s", bad, field)
			require.Len(t, list, 1, "%q in %s", bad, field)
			assert.Contains(t, []string{"ada@example.org", "reminders@consents.example"}, list[0].Address)
			assert.True(t, utf8.ValidString(list[0].Name))
			assert.LessOrEqual(t, utf8.RuneCountInString(list[0].Name), longestHeader)
			assert.NotContains(t, list[0].Name, "\ufffd", "cut between characters")
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(h.Get("Subject"))
		require.NoError(t, err)
		assert.True(t, utf8.ValidString(subject))
		head, _, _ := strings.Cut(got, "\r\n\r\n")
		for line := range strings.SplitSeq(head, "\r\n") {
			assert.LessOrEqual(t, len(line), 998, "RFC 5322 2.1.1")
			assert.False(t, strings.ContainsFunc(line, func(r rune) bool { return r >= 0x7f }), "%q", line)
		}
	}
	for _, to := range s.recipients {
		assert.Equal(t, "ada@example.org", to)
	}
}

func TestWriteToIsWhatIsSent(t *testing.T) {
	_, m := newServer(t, plain, "")
	var b bytes.Buffer
	require.NoError(t, m.WriteTo(&b, message("dgt_1")))
	assert.Equal(t, "<dgt_1@consents.example>", header(t, b.String()).Get("Message-Id"))
	msg := message("dgt_1")
	msg.To = "nobody"
	require.ErrorIs(t, m.WriteTo(&b, msg), notify.ErrRefused)
}

func TestConnectionsAreReused(t *testing.T) {
	s, m := newServer(t, withSTARTTLS, "secret")
	for i := range 20 {
		require.NoError(t, m.Send(t.Context(), message(fmt.Sprintf("dgt_%d", i))))
	}
	assert.Len(t, s.mails(), 20)
	connections, _ := s.count()
	assert.Equal(t, 1, connections)
}

func TestConnectionsAreFew(t *testing.T) {
	s, m := newServer(t, plain, "")
	var group sync.WaitGroup
	for i := range 100 {
		group.Go(func() { assert.NoError(t, m.Send(t.Context(), message(fmt.Sprintf("dgt_%d", i)))) })
	}
	group.Wait()
	assert.Len(t, s.mails(), 100)
	connections, mostOpen := s.count()
	assert.LessOrEqual(t, mostOpen, maxConnections)
	assert.LessOrEqual(t, connections, maxConnections)
}

func TestAConnectionThatNobodyNeedsIsGivenUp(t *testing.T) {
	s, m := newServer(t, plain, "")
	m.pool.idle = time.Millisecond
	require.NoError(t, m.Send(t.Context(), message("dgt_1")))
	<-s.left
	m.pool.idle = idleFor
	require.NoError(t, m.Send(t.Context(), message("dgt_2")))
	assert.Len(t, s.mails(), 2)
	m.Close()
	<-s.left
}

func TestAConnectionThatTheServerClosedIsReplacedAndNothingIsSentTwice(t *testing.T) {
	s, m := newServer(t, plain, "")
	require.NoError(t, m.Send(t.Context(), message("dgt_1")))
	require.NoError(t, s.conn.Conn().Close())
	<-s.left
	require.NoError(t, m.Send(t.Context(), message("dgt_2")))
	assert.Len(t, s.mails(), 2)

	s.with(func(s *server) { s.mail = []error{answer(421)} }) // "too long idle", or "enough for one connection"
	require.NoError(t, m.Send(t.Context(), message("dgt_3")))
	assert.Len(t, s.mails(), 3)
}

func TestAServerThatHangsUpInTheMiddleOfAMail(t *testing.T) {
	s, m := newServer(t, plain, "")
	require.NoError(t, m.Send(t.Context(), message("dgt_1"))) // the connection is one that was kept
	s.with(func(s *server) {
		s.during, s.data = func(c *smtp.Conn) { _ = c.Conn().Close() }, []error{answer(451)}
	})
	err := m.Send(t.Context(), message("dgt_2"))
	require.ErrorIs(t, err, notify.ErrUnanswered, "whether it was taken nobody knows: whoever keeps the message decides")
	require.NotErrorIs(t, err, notify.ErrRefused)
	require.NotErrorIs(t, err, notify.ErrAway)
	assert.Len(t, s.mails(), 1)
	require.NoError(t, m.Send(t.Context(), message("dgt_2")))
	assert.Len(t, s.mails(), 2)
}

func TestTheFinalAnswerIsWaitedForLongerButNotForEver(t *testing.T) {
	s, m := newServer(t, plain, "")
	m.pool.timeout, m.pool.finalTimeout = 500*time.Millisecond, 20*time.Second
	slow, cancel := context.WithTimeout(t.Context(), 600*time.Millisecond)
	defer cancel()
	s.with(func(s *server) { s.during = func(*smtp.Conn) { <-slow.Done() } })
	require.NoError(t, m.Send(t.Context(), message("dgt_1")), "it looks through the mail")
	assert.Len(t, s.mails(), 1)

	s, m = newServer(t, plain, "")
	m.pool.finalTimeout = 50 * time.Millisecond
	release := make(chan struct{})
	defer close(release)
	s.with(func(s *server) { s.during = func(*smtp.Conn) { <-release } })
	err := m.Send(t.Context(), message("dgt_1"))
	require.ErrorIs(t, err, notify.ErrUnanswered)
	require.NotErrorIs(t, err, notify.ErrRefused)
	m.pool.finalTimeout = finalTimeout
	require.NoError(t, m.Send(t.Context(), message("dgt_2")), "another connection serves the next")
}

// TestADeadServerBlocksNobodyLongerThanTheirContext has a server that takes
// connections and never says a word, one that says a word and no more, and one
// that is not there.
func TestADeadServerBlocksNobodyLongerThanTheirContext(t *testing.T) {
	for name, greeting := range map[string]string{"silent": "", "after its greeting": "220 mail.example\r\n"} {
		t.Run(name, func(t *testing.T) {
			l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
			require.NoError(t, err)
			var conns []net.Conn
			accepting := make(chan struct{})
			go func() {
				defer close(accepting)
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					conns = append(conns, c)
					_, _ = io.WriteString(c, greeting)
				}
			}()
			defer func() {
				assert.NoError(t, l.Close())
				<-accepting
				for _, c := range conns {
					_ = c.Close()
				}
			}()
			m, err := New("smtp://"+l.Addr().String()+"?tls=none", "a@example.org")
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			var group sync.WaitGroup
			for i := range 3 * maxConnections { // more than connections: the rest waits for one
				group.Go(func() {
					err := m.Send(ctx, message(fmt.Sprintf("dgt_%d", i)))
					assert.ErrorIs(t, err, context.DeadlineExceeded)
					assert.NotErrorIs(t, err, notify.ErrRefused)
					assert.NotErrorIs(t, err, notify.ErrAway, "who is stopped knows nothing of the server")
				})
			}
			begin := time.Now()
			group.Wait()
			assert.Less(t, time.Since(begin), timeout/3)
		})
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	m, err := New("smtp://"+l.Addr().String()+"?tls=none", "a@example.org")
	require.NoError(t, err)
	err = m.Send(t.Context(), message("dgt_1"))
	require.ErrorContains(t, err, "no connection")
	require.ErrorIs(t, err, notify.ErrAway)
	require.NotErrorIs(t, err, notify.ErrRefused)
}

func TestASendThatIsCalledOffEndsInTheMiddleOfAMail(t *testing.T) {
	s, m := newServer(t, plain, "")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	release := make(chan struct{})
	defer close(release)
	s.with(func(s *server) { s.during = func(*smtp.Conn) { cancel(); <-release } })
	require.ErrorIs(t, m.Send(ctx, message("dgt_1")), notify.ErrUnanswered, "the server may take it yet")
	require.NoError(t, m.Send(t.Context(), message("dgt_2")))
	require.Len(t, s.mails(), 1)
	assert.Equal(t, "<dgt_2@consents.example>", header(t, s.mails()[0]).Get("Message-Id"))
	err := m.Send(ctx, message("dgt_3"))
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, notify.ErrAway, "who is stopped knows nothing of the server")
}

// TestNoConnectionIsKeptOpenByADialThatFails has a server that greets, and says
// no to whatever comes then.
func TestNoConnectionIsKeptOpenByADialThatFails(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { assert.NoError(t, l.Close()) }()
	over := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			_, _ = io.WriteString(c, "220 mail.example\r\n")
			lines := bufio.NewScanner(c)
			for lines.Scan() { // until the other side closes it
				_, _ = io.WriteString(c, "554 5.7.1 go away\r\n")
			}
			err = lines.Err()
			_ = c.Close()
		}
		over <- err
	}()
	m, err := New("smtp://"+l.Addr().String()+"?tls=none", "a@example.org")
	require.NoError(t, err)
	err = m.Send(t.Context(), message("dgt_1"))
	require.ErrorIs(t, err, notify.ErrMisconfigured, "the server wants nothing of us")
	require.ErrorIs(t, err, notify.ErrAway)
	require.NoError(t, <-over)
}

func TestASendThatPanicsGivesItsConnectionBack(t *testing.T) {
	s, m := newServer(t, plain, "")
	l, err := m.letter(message("dgt_1"))
	require.NoError(t, err)
	l.SetBodyWriter(gomail.TypeTextPlain, func(io.Writer) (int64, error) { panic("a template") })
	for range 2 * maxConnections {
		assert.PanicsWithValue(t, "a template", func() { _, _ = m.hand(t.Context(), l) })
	}
	require.NoError(t, m.Send(t.Context(), message("dgt_2")))
	assert.Len(t, s.mails(), 1)
}

// TestNamesInSecurityMailsBecomeNoHeaders: whatever the application, the user,
// the operation and the payee are called.
func TestNamesInSecurityMailsBecomeNoHeaders(t *testing.T) {
	_, m := newServer(t, plain, "")
	for _, name := range []string{"Ledger\r\nBcc: eve@evil.example\r\n\r\n<p>Call us", "Ledger\nReply-To: eve@evil.example", "\"Ledger\" <eve@evil.example>,", "=?utf-8?q?Bcc=3A?=", "\u2028Bcc: eve@evil.example", strings.Repeat("ä\r\n ", 300)} {
		for _, s := range notify.SecuritySamples("de") {
			user := &consent.User{Name: name, Locale: "de"}
			if s.Code != nil {
				s.Code.User, s.Code.Operation = user, name
				if s.Code.Details != nil {
					s.Code.Details.Payee = name
				}
			} else {
				s.Notice.User = user
			}
			s.In(&consent.Application{Name: name})
			msg, err := s.Render(consent.ChannelEmail)
			require.NoError(t, err)
			var b bytes.Buffer
			require.NoError(t, m.WriteTo(&b, msg))
			read, err := mail.ReadMessage(&b)
			require.NoError(t, err)
			for header := range read.Header {
				assert.Contains(t, []string{"Auto-Submitted", "Content-Language", "Content-Type", "Date", "From", "Message-Id", "Mime-Version", "Subject", "To", "X-Auto-Response-Suppress"}, header, "%q", name)
			}
			assert.True(t, strings.HasPrefix(read.Header.Get("Message-Id"), "<"+msg.ID+"@"), read.Header.Get("Message-Id"))
			to, err := read.Header.AddressList("To")
			require.NoError(t, err)
			require.Len(t, to, 1, "%q", name)
			assert.Equal(t, "ada@example.org", to[0].Address)
			from, err := read.Header.AddressList("From")
			require.NoError(t, err)
			require.Len(t, from, 1)
			assert.NotContains(t, from[0].Address, "evil")
		}
	}
}
