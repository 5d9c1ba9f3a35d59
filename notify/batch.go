package notify

import (
	"context"
	"errors"
	"time"

	"github.com/reconsent/reconsent/consent"
)

// batch is what one job sends: messages of one application and channel, which
// it has claimed.
type batch struct {
	*Notifier
	app     *consent.Application
	channel consent.Channel
	until   time.Time // no message is begun after it
	claimed time.Time // until then the messages are ours

	accepted int
	refused  []refusal
	away     error // set where nobody takes messages
	ours     error // set where our settings are refused
}

// refusal is a message that was refused for good, and not yet believed.
type refusal struct {
	*parcel
	address string
	err     error
}

// parcel is one message on its way. It is done when it is known what becomes of
// it for now.
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

// look is one of the steps before messages are sent.
type look func(context.Context, *record, []*parcel) error

// send looks again at the batch's messages, all at once, and sends what still
// holds. Where that takes long, it looks once more: somebody may have reconsented
// meanwhile.
func (b *batch) send(ctx context.Context, r *record, claimed []consent.Frozen) error {
	parcels := make([]*parcel, len(claimed))
	for i := range claimed {
		parcels[i] = &parcel{Frozen: claimed[i]}
	}
	looked := b.now()
	err := b.prepare(ctx, r, parcels, b.lookAgain, b.hold, b.admit, b.link)
	for _, p := range parcels {
		if now := b.now(); err == nil && now.Sub(looked) >= freshFor {
			looked = now
			err = b.prepare(ctx, r, parcels, b.lookAgain, b.hold, b.link)
		}
		switch {
		case p.done:
		case ctx.Err() != nil:
			r.putBack(p)
		case err != nil:
			r.again(ctx, p, err)
		case b.away != nil:
			r.again(ctx, p, b.away)
		case b.over(ctx):
			r.putBack(p)
		case p.Digest.Tries > patience: // it was accepted, perhaps, and that never recorded
			r.giveUp(ctx, p, errNeverRecorded)
		default:
			b.post(ctx, r, p)
			r.writeIfDue(ctx)
		}
	}
	return r.write(ctx)
}

var errNeverRecorded = errors.New("what became of it could not be written")

// prepare takes the steps before a send, for the messages that are left.
func (b *batch) prepare(ctx context.Context, r *record, parcels []*parcel, steps ...look) error {
	for _, step := range steps {
		if b.over(ctx) {
			return nil
		}
		if err := step(ctx, r, left(parcels)); err != nil {
			return err
		}
	}
	return nil
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
		mailer, _ := b.by(b.channel)
		err = mailer.Send(ctx, m)
	}
	switch {
	case err == nil:
		b.accepted++
		b.took(ctx, p)
		r.end(p, consent.DigestSent, "", consent.OutcomeSent)
	case errors.Is(err, ErrNoAddress):
		r.unreachable(ctx, p, consent.DigestFailed, consent.OutcomeRefused, m.To)
	case errors.Is(err, ErrRefused):
		b.refused, p.done = append(b.refused, refusal{p, m.To, err}), true // judged when it is known how others fared
	case ctx.Err() != nil && !errors.Is(err, ErrUnanswered):
		r.putBack(p) // we were stopped; that is no failure of the server's
	default:
		if errors.Is(err, ErrAway) {
			b.away = err
		}
		if errors.Is(err, ErrMisconfigured) {
			b.ours = err
		}
		r.again(ctx, p, err)
	}
}

// took remembers that the channel takes messages, and that an address that was
// refused once is good.
func (b *batch) took(ctx context.Context, p *parcel) {
	b.servers.accepted(b.channel, b.now())
	if _, refused := p.user.Address(b.channel); refused.IsZero() {
		return
	}
	if err := quiet(b.Registry.ClearRefusals(context.WithoutCancel(ctx), b.app.ID, p.user.ID, b.channel)); err != nil {
		b.Log.Warn("an address that works is still marked as refused", "digest", p.Digest.ID, "error", err)
	}
}
