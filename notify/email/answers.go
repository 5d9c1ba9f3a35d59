package email

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"regexp"

	"github.com/reconsent/reconsent/notify"
)

// step is a part of handing a mail over.
type step string

// The steps, in their order.
const (
	sender    step = "MAIL FROM"
	recipient step = "RCPT TO"
	data      step = "DATA"
	content   step = "the mail itself"
	end       step = "the end of the mail"
)

// fault is what came between, at which step.
type fault struct {
	at  step
	err error
}

// Error implements error. No text of the server's is in it: it may quote
// addresses.
func (f *fault) Error() string {
	if code := codeOf(f.err); code != 0 {
		return fmt.Sprintf("%s: %d", f.at, code)
	}
	return string(f.at) + ": the connection failed"
}

// Unwrap implements error chains.
func (f *fault) Unwrap() error { return f.err }

// codeOf is the server's answer, 0 where there was none.
func codeOf(err error) int {
	if e, ok := errors.AsType[*textproto.Error](err); ok {
		return e.Code
	}
	return 0
}

// goodbye: the server closes the connection (RFC 5321 3.8).
const goodbye = 421

// usable reports whether the connection can take another message after an
// error: the server has answered this one, and not with a goodbye, and waits for
// none of it.
func usable(err error) bool {
	f, ok := errors.AsType[*fault](err)
	return ok && f.at != content && codeOf(err) != 0 && codeOf(err) != goodbye
}

// gaveUp reports whether the connection was over before the message began.
func gaveUp(err error) bool {
	f, ok := errors.AsType[*fault](err)
	return ok && f.at == sender && (codeOf(err) == 0 || codeOf(err) == goodbye)
}

// notTaken says of an error that no connection came of it: the next message
// would find none either. Being stopped says nothing of the server.
func notTaken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return stopped(ctx)
	}
	if code := codeOf(err); code >= 500 {
		return fmt.Errorf("%w: %w: the mail server does not let us in: SMTP %d", notify.ErrAway, notify.ErrMisconfigured, code)
	} else if code != 0 {
		return fmt.Errorf("%w: the mail server lets nobody in: SMTP %d", notify.ErrAway, code)
	}
	if e, ok := errors.AsType[net.Error](err); ok {
		err = e
	}
	return fmt.Errorf("%w: smtp: no connection: %w", notify.ErrAway, err)
}

func stopped(ctx context.Context) error { return fmt.Errorf("smtp: %w", context.Cause(ctx)) }

// meaning tells "never" from "we are not let in", from "nobody knows" and from
// everything else. Never is a 5yz answer (RFC 5321 4.2.1) that is about the
// recipient's address. Any other is about us, the server, or the text: the next
// person's mail would meet it too, so it marks nobody's address.
func meaning(ctx context.Context, err error) error {
	f, ok := errors.AsType[*fault](err)
	if !ok {
		return err
	}
	switch code := codeOf(err); {
	case code == 0 && f.at == end:
		return fmt.Errorf("%w: SMTP", notify.ErrUnanswered)
	case ctx.Err() != nil:
		return stopped(ctx)
	case code >= 500 && aboutTheAddress(f, code):
		return fmt.Errorf("%w: SMTP %d", notify.ErrRefused, code)
	case code >= 500 && !aboutTheMailbox(f, code):
		return fmt.Errorf("%w: SMTP %w", notify.ErrMisconfigured, f)
	default:
		return fmt.Errorf("smtp: not now: %w", f)
	}
}

// status is the enhanced status code that an answer begins with, empty where it
// has none (RFC 2034). It is read whether or not the server has said that it
// sends them, and nowhere else in the text: an address in it looks alike.
func status(err error) string {
	e, ok := errors.AsType[*textproto.Error](err)
	if !ok {
		return ""
	}
	return enhanced.FindString(e.Msg)
}

var enhanced = regexp.MustCompile(`^[245]\.\d{1,3}\.\d{1,3}\b`)

// badAddress are the statuses that say of an address that nothing will ever
// reach it (RFC 3463 3.2 and 3.3, RFC 7505 4.1): no such mailbox, no such domain,
// no address, moved without a trace, a domain that takes no mail, a mailbox that
// was switched off.
var badAddress = map[string]bool{"5.1.1": true, "5.1.2": true, "5.1.3": true, "5.1.6": true, "5.1.10": true, "5.2.1": true}

// aboutTheAddress reports whether a 5yz answer says that the address is none.
// Without an enhanced status only three replies to the recipient do (RFC 5321
// 4.2.3); at the end of the mail, and with 554, servers say what they think of
// us.
func aboutTheAddress(f *fault, code int) bool {
	if f.at != recipient && f.at != end {
		return false
	}
	if s := status(f.err); s != "" {
		return badAddress[s]
	}
	return f.at == recipient && (code == 550 || code == 551 || code == 553)
}

// aboutTheMailbox reports whether a 5yz answer is neither final nor about us: a
// mailbox that is full.
func aboutTheMailbox(f *fault, code int) bool {
	s := status(f.err)
	return s == "5.2.2" || s == "" && code == 552 && (f.at == recipient || f.at == end)
}
