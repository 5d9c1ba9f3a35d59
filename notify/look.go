package notify

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/reconsent/reconsent/consent"
)

// lookAgain reads consents and users anew, writes into the notices what does
// not hold any more, and ends the messages that have nothing left to say, or
// nobody to say it to.
func (b *batch) lookAgain(ctx context.Context, r *record, parcels []*parcel) error {
	var ids []string
	digests := make([]consent.Digest, len(parcels))
	for i, p := range parcels {
		digests[i] = p.Digest
		for _, notice := range p.Notices {
			ids = append(ids, notice.ConsentID)
		}
	}
	list, err := b.Registry.Subjects(ctx, b.app.ID, ids)
	if err != nil {
		return err
	}
	subjects := make(map[string]*consent.Subject, len(list))
	for i := range list {
		subjects[list[i].Consent.ID] = &list[i]
	}
	users, err := b.recipients(ctx, b.app, digests)
	if err != nil {
		return err
	}
	for _, p := range parcels {
		p.user = users[p.Digest.UserID]
		p.decide(subjects, b.now())
		b.judge(ctx, r, p)
	}
	return nil
}

// decide sorts out the notices that still hold, the nearest lapse first.
func (p *parcel) decide(subjects map[string]*consent.Subject, now time.Time) {
	p.about = nil
	for i := range p.Notices {
		notice := &p.Notices[i]
		if notice.DigestID == "" {
			continue // it goes on in another message
		}
		if notice.Outcome = decide(*notice, subjects[notice.ConsentID], now); notice.Outcome == consent.OutcomeWaiting {
			p.about = append(p.about, told{consent: subjects[notice.ConsentID].Consent, stage: notice.Stage, notice: notice})
		}
	}
	slices.SortStableFunc(p.about, func(a, b told) int {
		return cmp.Compare(a.consent.LapsesAt.Sub(now).Abs(), b.consent.LapsesAt.Sub(now).Abs())
	})
}

// judge ends a message that has nothing left to say, or nobody to say it to.
func (b *batch) judge(ctx context.Context, r *record, p *parcel) {
	if len(p.about) == 0 {
		r.end(p, consent.DigestDropped, "nothing_left", "")
		return
	}
	if mailer, none := b.by(p.Digest.Channel); mailer == nil || b.app.NoMail {
		r.end(p, consent.DigestDropped, string(none), none)
		return
	}
	if p.user == nil {
		r.end(p, consent.DigestDropped, "user_gone", consent.OutcomeErased)
		return
	}
	if !p.user.UnsubscribedAt.IsZero() {
		if p.about = b.lastWord(p.Digest.Channel, p.about); len(p.about) == 0 {
			r.end(p, consent.DigestDropped, string(consent.OutcomeUnsubscribed), "")
			return
		}
	}
	switch address, refused := p.user.Address(p.Digest.Channel); {
	case address == "":
		r.unreachable(ctx, p, consent.DigestDropped, consent.OutcomeNoAddress, "")
	case !refused.IsZero() && !p.worthATry(refused):
		r.unreachable(ctx, p, consent.DigestDropped, consent.OutcomeUnreachable, "")
	}
}

// worthATry reports whether a message goes to an address that was refused
// before: once in each cycle, for mailboxes come back, and where its user asked
// for it, who should know.
func (p *parcel) worthATry(refused time.Time) bool {
	return slices.ContainsFunc(p.about, func(t told) bool { return t.notice.Asked() || t.consent.ConsentedAt.After(refused) })
}
