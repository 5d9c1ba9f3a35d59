package notify

import (
	"context"

	"github.com/reconsent/reconsent/consent"
)

// compose writes the message, headed by the nearest lapse.
func (n *Notifier) compose(ctx context.Context, app *consent.Application, user *consent.User, d consent.Digest, about []told) (Message, error) {
	l := Letter{Application: app, User: user, Now: n.now()}
	for i := range about {
		link, err := n.Links.MessageLink(ctx, app, &about[i].consent, d.ID, user.Email)
		if err != nil {
			return Message{}, err
		}
		l.About = append(l.About, About{Consent: &about[i].consent, Link: link})
	}
	var err error
	if l.Unsubscribe, err = n.Links.UnsubscribeLink(app, user.ID); err != nil {
		return Message{}, err
	}
	return Render(d.ID, &l)
}
