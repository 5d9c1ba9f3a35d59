package notify

import (
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/locale"
)

// by returns who carries a channel's messages, and the outcome where nobody does.
func (n *Notifier) by(channel consent.Channel) (Mailer, consent.Outcome) {
	if channel == consent.ChannelSMS {
		return n.SMS, consent.OutcomeNoSMS
	}
	return n.Mailer, consent.OutcomeNoMail
}

// zoneOf is the user's time zone, UTC where it is not known.
func zoneOf(user *consent.User) *time.Location { return locale.Zone(user.TimeZone) }

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
