package notify

import (
	"context"
	"errors"
	"time"

	"github.com/reconsent/reconsent/consent"
)

// batch is what one job sends: messages of one application, which it has
// claimed.
type batch struct {
	*Notifier
	app   *consent.Application
	until time.Time // no message is begun after it
	away  error     // set where nobody takes messages
}

// parcel is one message on its way. It is done when it is known what becomes of
// it for now: then it is in a record.
type parcel struct {
	consent.Frozen
	user  *consent.User
	about []told // the nearest lapse first
	done  bool
}

// told is one consent that a message is about, and why.
type told struct {
	consent consent.Consent
	stage   string
	notice  *consent.Notice
	link    string
}

// send looks again at some messages of the batch, and sends what still holds.
func (b *batch) send(ctx context.Context, claimed []consent.Frozen) error {
	parcels := make([]*parcel, len(claimed))
	for i := range claimed {
		parcels[i] = &parcel{Frozen: claimed[i]}
	}
	r := &record{batch: b, last: b.now()}
	var err error
	if !b.over(ctx) {
		for _, step := range []func(context.Context, *record, []*parcel) error{b.lookAgain, b.hold, b.admit, b.link} {
			if err = step(ctx, r, left(parcels)); err != nil {
				break
			}
		}
	}
	for _, p := range left(parcels) {
		switch {
		case err != nil:
			r.again(ctx, p, err)
		case b.away != nil:
			r.again(ctx, p, b.away)
		case b.over(ctx):
			r.putBack(p)
		default:
			b.post(ctx, r, p)
			r.writeIfDue(ctx)
		}
	}
	return r.write(ctx)
}

// over reports whether no message is to be begun any more.
func (b *batch) over(ctx context.Context) bool {
	return b.away != nil || ctx.Err() != nil || !b.now().Before(b.until)
}

// left are the parcels of which it is not known yet what becomes of them.
func left(parcels []*parcel) []*parcel {
	var list []*parcel
	for _, p := range parcels {
		if !p.done {
			list = append(list, p)
		}
	}
	return list
}

// post sends one message.
func (b *batch) post(ctx context.Context, r *record, p *parcel) {
	m, err := b.written(p)
	if err == nil {
		mailer, _ := b.by(p.Digest.Channel)
		err = mailer.Send(ctx, m)
	}
	switch {
	case err == nil:
		r.end(p, consent.DigestSent, "", consent.OutcomeSent)
	case errors.Is(err, ErrRefused):
		b.Log.Warn("message refused for good", "digest", p.Digest.ID, "channel", string(p.Digest.Channel), "error", err)
		r.unreachable(ctx, p, consent.DigestFailed, consent.OutcomeRefused, m.To)
	default:
		if errors.Is(err, ErrAway) {
			b.away = err
		}
		r.again(ctx, p, err)
	}
}
