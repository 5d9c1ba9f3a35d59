package email

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/notify"
)

// scripted is a mail server that says what stands in a table, for one mail on
// one connection, and keeps what it was told.
type scripted struct {
	extensions []string
	answers    map[string]string // by the first word of a command; "." is the end of a mail

	mu     sync.Mutex
	heard  []string
	early  int // commands that had come before the last was answered
	mailed []string
}

// serve answers connections until the test ends. Where together is more than
// one, it reads so many commands of an envelope before it answers the first.
func (s *scripted) serve(t *testing.T, together int) *Mailer {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var served sync.WaitGroup
	served.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			served.Go(func() { s.talk(c, together) })
		}
	})
	m, err := New("smtp://"+l.Addr().String()+"?tls=none", "Reminders <reminders@consents.example>")
	require.NoError(t, err)
	t.Cleanup(func() {
		m.Close()
		assert.NoError(t, l.Close())
		served.Wait()
	})
	return m
}

func (s *scripted) talk(c net.Conn, together int) {
	defer func() { _ = c.Close() }()
	r := bufio.NewReader(c)
	say := func(line string) { _, _ = io.WriteString(c, line+"\r\n") }
	hear := func() (word string, ok bool) {
		line, err := r.ReadString('\n')
		word, _, _ = strings.Cut(strings.TrimSpace(line), " ")
		s.mu.Lock()
		defer s.mu.Unlock()
		s.heard = append(s.heard, strings.TrimSpace(line))
		return word, err == nil
	}
	say("220 here")
	for {
		word, ok := hear()
		if !ok {
			return
		}
		words := []string{word}
		for word == "MAIL" && len(words) < together {
			if word, ok = hear(); !ok {
				return
			}
			words = append(words, word)
			word = "MAIL"
		}
		for i, word := range words {
			s.mu.Lock()
			if i == len(words)-1 && r.Buffered() > 0 {
				s.early++
			}
			answer := s.answers[word]
			s.mu.Unlock()
			switch {
			case strings.HasPrefix(answer, "421"):
				say(answer)
				_, _ = io.Copy(io.Discard, r) // it says goodbye, and does not hang up
				return
			case word == "EHLO":
				say("250-here")
				for _, e := range s.extensions {
					say("250-" + e)
				}
				say("250 SIZE 1000000")
			case answer == "" && word == "DATA", strings.HasPrefix(answer, "354"):
				say("354 go on")
				text, err := io.ReadAll(textproto.NewReader(r).DotReader())
				if err != nil {
					return
				}
				s.mu.Lock()
				s.mailed = append(s.mailed, string(text))
				end := s.answers["."]
				s.mu.Unlock()
				if end == "" {
					end = "250 taken"
				}
				say(end)
			case answer == "":
				say("250 yes")
			default:
				say(answer)
			}
		}
	}
}

func (s *scripted) commands() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.heard...)
}

// TestCommandsLeaveTogether has a server that answers nothing until it has read
// the whole envelope: who waited for an answer to each would wait for ever.
func TestCommandsLeaveTogether(t *testing.T) {
	t.Parallel()
	s := &scripted{extensions: []string{"PIPELINING", "8BITMIME"}}
	m := s.serve(t, 3)
	require.NoError(t, m.Send(t.Context(), message("dgt_1")))
	require.NoError(t, m.Send(t.Context(), message("dgt_2")))
	envelope := []string{"MAIL FROM:<reminders@consents.example> BODY=8BITMIME", "RCPT TO:<ada@example.org>", "DATA"}
	assert.Equal(t, append(append([]string(nil), envelope...), envelope...), s.commands()[1:])
	assert.Len(t, s.mailed, 2)
}

// TestAServerThatDoesNotPipelineIsWaitedFor: RFC 2920 allows it to lose what
// comes before it has answered.
func TestAServerThatDoesNotPipelineIsWaitedFor(t *testing.T) {
	t.Parallel()
	s := &scripted{}
	m := s.serve(t, 1)
	require.NoError(t, m.Send(t.Context(), message("dgt_1")))
	assert.Equal(t, []string{"MAIL FROM:<reminders@consents.example>", "RCPT TO:<ada@example.org>", "DATA"}, s.commands()[1:])
	assert.Zero(t, s.early, "nothing may follow a command that is not answered yet")
}

// TestTheFirstNoOfAnEnvelopeCounts: what follows it fails by it, and says
// nothing of its own.
func TestTheFirstNoOfAnEnvelopeCounts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		answers map[string]string
		refused bool // the address
		ours    bool
		said    string
	}{
		{"an unknown mailbox", map[string]string{"RCPT": "550 5.1.1 nobody", "DATA": "554 5.5.1 no valid recipients"}, true, false, "550"},
		{"an unknown mailbox, and DATA is let through all the same", map[string]string{"RCPT": "550 5.1.1 nobody", "DATA": "354 go on", ".": "554 5.5.1 no valid recipients"}, true, false, "550"},
		{"and a server that thanks for it", map[string]string{"RCPT": "550 5.1.1 nobody", "DATA": "354 go on"}, true, false, "550"},
		{"a mailbox that is busy", map[string]string{"RCPT": "450 4.2.0 later", "DATA": "554 5.5.1 no valid recipients"}, false, false, "450"},
		{"a sender that is not allowed", map[string]string{"MAIL": "553 5.7.1 not you", "RCPT": "503 5.5.1 MAIL first", "DATA": "503 5.5.1 RCPT first"}, false, true, "553"},
	} {
		for _, together := range []int{3, 1} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				s := &scripted{answers: tt.answers}
				if together > 1 {
					s.extensions = []string{"PIPELINING"}
				}
				m := s.serve(t, together)
				err := m.Send(t.Context(), message("dgt_1"))
				require.Error(t, err)
				assert.Equal(t, tt.refused, errors.Is(err, notify.ErrRefused), err)
				assert.Equal(t, tt.ours, errors.Is(err, notify.ErrMisconfigured), err)
				assert.Contains(t, err.Error(), tt.said)
				for _, text := range s.mailed {
					assert.Empty(t, strings.TrimSpace(text), "nobody's mail is handed over")
				}
				s.mu.Lock()
				s.answers = nil
				s.mu.Unlock()
				require.NoError(t, m.Send(t.Context(), message("dgt_2")), "the connection takes the next one")
				assert.Contains(t, s.mailed[len(s.mailed)-1], "Message-ID: <dgt_2@")
				greetings := 0
				for _, line := range s.commands() {
					if strings.HasPrefix(line, "EHLO") {
						greetings++
					}
				}
				assert.Equal(t, 1, greetings)
			})
		}
	}
}

// TestAGoodbyeIsTheLastWord: some servers leave the connection open after it, and
// who waited for the other answers would wait until it is too late.
func TestAGoodbyeIsTheLastWord(t *testing.T) {
	t.Parallel()
	for at, answers := range map[step]map[string]string{
		sender:    {"MAIL": "421 4.7.0 enough"},
		recipient: {"RCPT": "421 4.7.0 enough"},
		data:      {"DATA": "421 4.7.0 enough"},
		end:       {".": "421 4.7.0 enough"},
	} {
		t.Run(string(at), func(t *testing.T) {
			t.Parallel()
			s := &scripted{extensions: []string{"PIPELINING"}, answers: answers}
			m := s.serve(t, 3)
			m.pool.timeout = time.Hour // of no use here, then: nothing may wait for it
			err := m.Send(t.Context(), message("dgt_1"))
			require.Error(t, err)
			assert.Contains(t, err.Error(), string(at)+": 421")
			assert.NotErrorIs(t, err, notify.ErrRefused)
			assert.NotErrorIs(t, err, notify.ErrMisconfigured)
			assert.NotErrorIs(t, err, notify.ErrUnanswered)
		})
	}
}
