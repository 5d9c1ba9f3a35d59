package email

import (
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
	require.Error(t, err)
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

func TestWhatTheServersAnswersMean(t *testing.T) {
	const mailFrom, rcptTo, endOfData = "MAIL FROM", "RCPT TO", "end of DATA"
	for _, tt := range []struct {
		at      string
		code    int
		refused bool
		reused  bool // the connection
	}{
		{rcptTo, 550, true, true}, {rcptTo, 551, true, true}, {rcptTo, 553, true, true}, {rcptTo, 554, true, true}, {rcptTo, 501, true, true},
		{rcptTo, 450, false, true}, {rcptTo, 451, false, true}, {rcptTo, 452, false, true},
		{rcptTo, 552, false, true}, {rcptTo, 503, false, true}, {rcptTo, 530, false, true}, {rcptTo, 421, false, false},
		{endOfData, 550, true, true}, {endOfData, 552, false, true}, {endOfData, 554, true, true}, {endOfData, 451, false, true}, {endOfData, 421, false, false},
		{mailFrom, 550, false, true}, {mailFrom, 553, false, true}, {mailFrom, 530, false, true}, {mailFrom, 451, false, true}, {mailFrom, 421, false, false},
	} {
		t.Run(fmt.Sprint(tt.at, " ", tt.code), func(t *testing.T) {
			s, m := newServer(t, plain, "")
			s.with(func(s *server) {
				switch tt.at {
				case mailFrom:
					s.mail = []error{answer(tt.code)}
				case rcptTo:
					s.rcpt = []error{answer(tt.code)}
				case endOfData:
					s.data = []error{answer(tt.code)}
				}
			})
			err := m.Send(t.Context(), message("dgt_1"))
			require.Error(t, err)
			assert.Equal(t, tt.refused, errors.Is(err, notify.ErrRefused), err)
			assert.NotErrorIs(t, err, notify.ErrAway, "an answer to one mail says nothing of the next")
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
	assert.Equal(t, "de", h.Get("Content-Language"))
	assert.Contains(t, h.Get("Content-Type"), "multipart/alternative")
	_, err := h.Date()
	require.NoError(t, err)
	h = header(t, mails[2])
	for _, name := range []string{"Reply-To", "List-Unsubscribe", "List-Unsubscribe-Post", "Content-Language"} {
		assert.Empty(t, h.Get(name), name)
	}
	assert.Equal(t, "<ada@example.org>", h.Get("To"))
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
	s.with(func(s *server) { s.during = func(c *smtp.Conn) { _ = c.Conn().Close() } })
	err := m.Send(t.Context(), message("dgt_2"))
	require.Error(t, err, "whether it was taken nobody knows: whoever keeps the message decides")
	require.NotErrorIs(t, err, notify.ErrRefused)
	assert.Len(t, s.mails(), 1)
	require.NoError(t, m.Send(t.Context(), message("dgt_2")))
	assert.Len(t, s.mails(), 2)
}

func TestASlowServerIsWaitedForOnlySoLong(t *testing.T) {
	s, m := newServer(t, plain, "")
	m.pool.timeout = 50 * time.Millisecond
	release := make(chan struct{})
	defer close(release)
	s.with(func(s *server) { s.during = func(*smtp.Conn) { <-release } })
	err := m.Send(t.Context(), message("dgt_1"))
	require.Error(t, err)
	require.NotErrorIs(t, err, notify.ErrRefused)
	m.pool.timeout = timeout
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
	require.ErrorIs(t, m.Send(ctx, message("dgt_1")), context.Canceled, "the server has not answered yet")
	require.NoError(t, m.Send(t.Context(), message("dgt_2")))
	require.Len(t, s.mails(), 1)
	assert.Equal(t, "<dgt_2@consents.example>", header(t, s.mails()[0]).Get("Message-Id"))
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
