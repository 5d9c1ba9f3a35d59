package notify

import (
	"context"

	"github.com/reconsent/reconsent/consent"
)

// link makes the links of messages: of an SMS only the one that it has room for.
func (b *batch) link(ctx context.Context, _ *record, parcels []*parcel) error {
	var want []consent.MessageLink
	var of []*told
	for _, p := range parcels {
		address, _ := p.user.Address(p.Digest.Channel)
		for i := range p.about {
			if i > 0 && p.Digest.Channel == consent.ChannelSMS {
				break
			}
			of = append(of, &p.about[i])
			want = append(want, consent.MessageLink{Consent: &p.about[i].consent, MessageID: p.Digest.ID, Address: address, Stage: p.about[i].stage})
		}
	}
	if len(want) == 0 {
		return nil
	}
	links, err := b.Links.MessageLinks(ctx, b.app, want)
	if err != nil {
		return err
	}
	for i := range of {
		of[i].link = links[i]
	}
	return nil
}

// written is the message in its channel's form.
func (b *batch) written(p *parcel) (Message, error) {
	if p.Digest.Channel == consent.ChannelSMS {
		return b.composeText(b.app, p.user, p.Digest, p.about)
	}
	return b.compose(p)
}

// compose writes the mail, headed by the nearest lapse.
func (b *batch) compose(p *parcel) (Message, error) {
	l := Letter{Application: b.app, User: p.user, Now: b.now()}
	for i := range p.about {
		l.About = append(l.About, About{Consent: &p.about[i].consent, Link: p.about[i].link})
	}
	var err error
	if l.Unsubscribe, err = b.Links.UnsubscribeLink(b.app, p.user); err != nil {
		return Message{}, err
	}
	return Render(p.Digest.ID, &l)
}
