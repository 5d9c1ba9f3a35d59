package main

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/reconsent/reconsent/notify"
	"github.com/reconsent/reconsent/provider/sandbox"
)

// mailbox catches the mail, or the SMS, of dev; the sandbox lists it. It keeps
// the newest.
type mailbox struct {
	now  func() time.Time
	idle func() // waits for what is under way

	mu   sync.Mutex
	sent []sandbox.Message
}

const mailboxSize = 1000

// Send implements notify.Mailer.
func (b *mailbox) Send(_ context.Context, m notify.Message) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sent = append(b.sent, sandbox.Message{To: m.To, Subject: m.Subject, HTML: m.HTML, Text: m.Text, SentAt: b.now()})
	if over := len(b.sent) - mailboxSize; over > 0 {
		b.sent = slices.Delete(b.sent, 0, over)
	}
	return nil
}

// list returns what was caught, newest last.
func (b *mailbox) list() []sandbox.Message {
	if b.idle != nil {
		b.idle()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.sent)
}
