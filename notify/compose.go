package notify

import (
	"context"

	"github.com/reconsent/reconsent/consent"
)

// unsubscriber is what Links may also be able to do.
type unsubscriber interface {
	// UnsubscribeLink makes the link by which a user ends the reminders of an
	// application with one click (RFC 8058).
	UnsubscribeLink(app *consent.Application, userID string) (string, error)
}

// compose writes the message, headed by the nearest lapse.
func (n *Notifier) compose(ctx context.Context, app *consent.Application, user *consent.User, d consent.Digest, about []told) (Message, error) {
	l := Letter{Application: app, User: user, Now: n.now()}
	for i := range about {
		link, err := n.Links.ReconnectLink(ctx, app, about[i].consent.ID)
		if err != nil {
			return Message{}, err
		}
		l.About = append(l.About, About{Consent: &about[i].consent, Link: link})
	}
	if u, ok := n.Links.(unsubscriber); ok {
		var err error
		if l.Unsubscribe, err = u.UnsubscribeLink(app, user.ID); err != nil {
			return Message{}, err
		}
	}
	return Render(d.ID, &l)
}
