package notify

import (
	"context"
	"time"

	"github.com/reconsent/reconsent/consent"
)

// by returns who carries a channel's messages, and the outcome where nobody does.
func (n *Notifier) by(channel consent.Channel) (Mailer, consent.Outcome) {
	if channel == consent.ChannelSMS {
		return n.SMS, consent.OutcomeNoSMS
	}
	return n.Mailer, consent.OutcomeNoMail
}

// written is the message in its channel's form.
func (n *Notifier) written(ctx context.Context, app *consent.Application, user *consent.User, d consent.Digest, about []told) (Message, error) {
	if d.Channel == consent.ChannelSMS {
		return n.composeText(ctx, app, user, d, about)
	}
	return n.compose(ctx, app, user, d, about)
}

// waitsOutQuietHours makes a message due when its user's quiet hours end, and
// reports whether it did. It is not frozen meanwhile: what comes until then
// joins it.
func (n *Notifier) waitsOutQuietHours(ctx context.Context, app *consent.Application, digestID string) (bool, error) {
	d, err := n.Registry.Digest(ctx, app.ID, digestID)
	now := n.now()
	if err != nil || d.DueAt.IsZero() || d.ClaimedUntil.After(now) {
		return true, err // over, or on its way already
	}
	if d.Reason == consent.DigestAsked {
		return false, nil // somebody is awake, and waits for it
	}
	user, err := n.Registry.User(ctx, app.ID, d.UserID)
	if err != nil {
		return false, quiet(err) // of somebody who is gone nothing will be sent
	}
	until := app.QuietHours.Until(now, zoneOf(&user))
	if until.IsZero() {
		return false, nil
	}
	return true, n.Registry.PostponeDigest(ctx, d, until, "quiet_hours")
}

// zoneOf is the user's time zone, UTC where it is not known.
func zoneOf(user *consent.User) *time.Location {
	if zone, err := time.LoadLocation(user.TimeZone); err == nil && user.TimeZone != "Local" {
		return zone
	}
	return time.UTC
}

// lastWord leaves what somebody who wants no reminders is told all the same:
// what they asked for, and by mail and once a cycle that access has stopped.
func (n *Notifier) lastWord(channel consent.Channel, about []told) []told {
	var left []told
	now := n.now()
	for _, t := range about {
		status := t.consent.Status(now)
		stopped := status == consent.Lapsed || status == consent.Unrenewable
		if t.notice.Asked() || channel == consent.ChannelEmail && stopped && consent.ToldAtEnd(t.stage) && !t.notice.ToldOfEnd {
			left = append(left, t)
			continue
		}
		t.notice.Outcome = consent.OutcomeUnsubscribed
	}
	return left
}

// unreachable ends a digest that its user's address cannot take, and has the
// application told: nobody else can help. refused is the address, where it was
// refused just now.
func (n *Notifier) unreachable(ctx context.Context, d consent.Digest, notices []consent.Notice, about []told, outcome consent.Outcome, refused string) error {
	d.Reason, d.FinishedAt = string(outcome), n.now()
	reason := "refused"
	if outcome == consent.OutcomeNoAddress {
		reason = "no_address"
	}
	events := make([]consent.Event, 0, len(about))
	for _, t := range about {
		t.notice.Outcome = outcome
		events = append(events, consent.Event{
			ApplicationID: d.ApplicationID, ConsentID: t.consent.ID, ID: "evt_" + n.NewID(), Type: consent.EventUserUnreachable, At: d.FinishedAt,
			Cycle: t.consent.Cycle, Data: map[string]any{"channel": string(d.Channel), "reason": reason},
		})
	}
	return quiet(n.Registry.FinishUnreachable(ctx, consent.Unreachable{Digest: d, Notices: own(notices), Refused: refused, Events: events}))
}
