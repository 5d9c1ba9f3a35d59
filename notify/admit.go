package notify

import (
	"context"

	"github.com/reconsent/reconsent/consent"
)

// hold keeps back what the gate does not let through now. It goes on in another
// message; where that is all of one, the whole message waits.
func (b *batch) hold(ctx context.Context, r *record, parcels []*parcel) error {
	var about []consent.Consent
	for _, p := range parcels {
		for i := range p.about {
			about = append(about, p.about[i].consent)
		}
	}
	if len(about) == 0 {
		return nil
	}
	why, until, err := b.Gate.Held(ctx, b.app, about)
	if err != nil {
		return err
	}
	for _, p := range parcels {
		var through, held []told
		reason := ""
		for i := range p.about {
			if w := why[i]; w != "" {
				held, reason = append(held, p.about[i]), w
			} else {
				through = append(through, p.about[i])
			}
		}
		why = why[len(p.about):]
		switch {
		case len(through) == 0:
			r.wait(p, until, reason)
			continue
		case len(held) > 0:
			off := make([]consent.Notice, len(held))
			for i := range held {
				off[i] = *held[i].notice
			}
			if err := b.Registry.PutOffNotices(ctx, p.Digest, off, "dgt_"+b.NewID(), until); err != nil {
				r.again(ctx, p, err)
				continue
			}
			for i := range held {
				held[i].notice.DigestID = "" // not this message's any more
			}
		}
		p.about = through
	}
	return nil
}

// admit counts mails against the application's ceiling of a day. Where that is
// used up, the rest waits.
func (b *batch) admit(ctx context.Context, r *record, parcels []*parcel) error {
	if b.app.MailsPerDay <= 0 {
		return nil
	}
	for _, p := range parcels {
		if p.Digest.Counted || p.Digest.Channel != consent.ChannelEmail {
			continue
		}
		until, err := b.Gate.Admit(ctx, b.app)
		switch {
		case err != nil:
		case !until.IsZero():
			r.wait(p, until, string(consent.AlarmMails))
		default:
			err = b.Registry.CountDigest(ctx, p.Digest)
			p.Digest.Counted = err == nil
		}
		if err != nil {
			r.again(ctx, p, err)
		}
	}
	return nil
}
