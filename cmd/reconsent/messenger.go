package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/notify"
	"github.com/reconsent/reconsent/reauth/stepup"
)

// messenger has package notify send what package stepup says.
type messenger struct {
	*notify.Security
	mailer, sms notify.Mailer
	now         func() time.Time
	log         *slog.Logger
	// sent is stepup.Service.CodeSent, which comes to be after this.
	sent func(ctx context.Context, line stepup.Audit, reason string) error
	// unsent is stepup.Service.NoticeUnsent, likewise.
	unsent func(ctx context.Context, applicationID, userID string, e stepup.Event) error
}

func newMessenger(p parts) *messenger {
	m := &messenger{mailer: p.codes, sms: p.sms, now: p.now, log: p.log}
	if m.mailer == nil {
		m.mailer = p.mailer
	}
	m.Security = notify.NewSecurity(notify.SecurityConfig{Mailer: m.mailer, SMS: m.sms, Now: p.now, NewID: newID, Log: p.log, Sent: m.outcome})
	return m
}

// Reaches implements stepup.Messenger.
func (m *messenger) Reaches(c consent.Channel) bool {
	if c == consent.ChannelSMS {
		return m.sms != nil
	}
	return m.mailer != nil
}

// SendCode implements stepup.Messenger.
func (m *messenger) SendCode(c stepup.CodeMessage) error {
	codes := notify.Codes{
		Application: c.Application, User: c.User, Channel: c.Channel, To: c.To, Code: c.Code, Operation: c.Operation,
		ExpiresAt: c.ExpiresAt, Now: m.now(), About: c.Audit,
	}
	if c.Details != nil {
		codes.Details = &notify.Details{Payee: c.Details.Payee, Amount: c.Details.Amount, Currency: c.Details.Currency}
	}
	_, err := m.Security.SendCode(codes)
	if errors.Is(err, notify.ErrFull) || errors.Is(err, notify.ErrDrained) {
		return &consent.Error{Code: stepup.CodeSendLimited, RetryAt: m.now().Add(roomAfter), Detail: "Too many codes are on their way. Try again in a moment.", Err: err}
	}
	return err
}

// roomAfter is when to try again where there was no room for a code: a mail
// server that answers has taken many by then.
const roomAfter = 30 * time.Second

// outcome records what became of a code, and of a notice that was lost: that one
// was made stands in the audit already.
func (m *messenger) outcome(ctx context.Context, o notify.Sent) {
	line, code := o.About.(stepup.Audit)
	if !code {
		if o.Result != notify.ResultSent {
			m.lost(ctx, o.ApplicationID, o.UserID, o.Kind)
		}
		return
	}
	reason := ""
	if o.Result != notify.ResultSent {
		reason = string(o.Result)
	}
	if err := m.sent(ctx, line, reason); err != nil {
		m.log.Error("the outcome of a code was not recorded", "error", err)
	}
}

// lost records that a notice was not sent.
func (m *messenger) lost(ctx context.Context, applicationID, userID string, kind notify.NoticeKind) {
	for event, of := range noticeKinds {
		if of != kind {
			continue
		}
		if err := m.unsent(ctx, applicationID, userID, event); err != nil {
			m.log.Error("that a security notice was not sent was not recorded", "kind", kind, "error", err)
		}
	}
}

var noticeKinds = map[stepup.Event]notify.NoticeKind{
	stepup.EventLocked: notify.NoticeLocked, stepup.EventFactorAdded: notify.NoticeFactorAdded,
	stepup.EventFactorRemoved: notify.NoticeFactorRemoved, stepup.EventBackupUsed: notify.NoticeBackupUsed,
}

// lostFor bounds the record of a notice for which there was no room.
const lostFor = 10 * time.Second

// Tell implements stepup.Messenger.
func (m *messenger) Tell(n stepup.Notice) {
	kind := noticeKinds[n.Event]
	notice := notify.Notice{
		Application: n.Application, User: n.User, Kind: kind, Factor: notify.Factor(n.Factor), Number: n.Address, Left: n.Left, At: m.now(), Until: n.Until,
	}
	if err := m.SendNotice(notice, m.Recipients(kind, n.User, n.Phones...)...); err != nil {
		m.log.Error("a security notice was not sent", "kind", kind, "error", err)
		ctx, cancel := context.WithTimeout(context.Background(), lostFor)
		defer cancel()
		m.lost(ctx, n.Application.ID, n.User.ID, kind)
	}
}
