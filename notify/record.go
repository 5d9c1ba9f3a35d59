package notify

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/reconsent/reconsent/consent"
)

// record gathers what becomes of a batch's messages, to write it in sets. What
// is not written, because the process died, comes to nothing: the claims run
// out, and the messages are sent again, under the same Message-ID.
type record struct {
	*batch
	ended []consent.Frozen // also what could not be written so far
	later []consent.Digest
	last  time.Time // when it was written, or that was tried
	since int       // how many have ended since then
}

// end ends a message; notices that were still waiting get the outcome.
func (r *record) end(p *parcel, state consent.DigestState, reason string, rest consent.Outcome) {
	d := p.Digest
	d.State, d.Reason, d.FinishedAt = state, reason, r.now()
	notices := own(p.Notices)
	for i := range notices {
		if notices[i].Outcome == consent.OutcomeWaiting {
			notices[i].Outcome = rest
		}
	}
	r.ended, p.done = append(r.ended, consent.Frozen{Digest: d, Notices: notices}), true
	r.since++
}

// own leaves out the notices that have gone on in another message.
func own(notices []consent.Notice) []consent.Notice {
	return slices.DeleteFunc(slices.Clone(notices), func(n consent.Notice) bool { return n.DigestID == "" })
}

// wait makes a message due later that was not tried.
func (r *record) wait(p *parcel, until time.Time, reason string) {
	p.Digest.Tries--
	r.postpone(p, until, reason)
}

// putBack leaves a message that was not tried to another job.
func (r *record) putBack(p *parcel) { r.wait(p, r.now(), p.Digest.Reason) }

func (r *record) postpone(p *parcel, until time.Time, reason string) {
	p.Digest.DueAt, p.Digest.Reason = until, reason
	r.later, p.done = append(r.later, p.Digest), true
}

// again makes a message due later that could not be sent, or gives it up.
func (r *record) again(ctx context.Context, p *parcel, cause error) {
	if errors.Is(cause, ErrUnanswered) {
		p.Digest.Tries += patience/unansweredTries - 1 // which makes the pause the longest, too
	}
	if p.Digest.Tries >= patience {
		r.giveUp(ctx, p, cause)
		return
	}
	level := slog.LevelWarn
	if errors.Is(cause, ErrMisconfigured) || errors.Is(cause, ErrRefused) {
		level = slog.LevelError
	}
	r.Log.Log(ctx, level, "message not sent yet; it will be tried again",
		"digest", p.Digest.ID, "channel", string(p.Digest.Channel), "tries", p.Digest.Tries, "error", cause)
	r.postpone(p, r.now().Add(pauseAfter(p.Digest.Tries)), "not_sent")
}

// giveUp ends a message that was tried often enough, and has the application
// told.
func (r *record) giveUp(ctx context.Context, p *parcel, cause error) {
	r.Log.Error("message given up", "digest", p.Digest.ID, "tries", p.Digest.Tries, "error", cause)
	if err := r.finishUnreachable(ctx, p, consent.DigestFailed, consent.OutcomeGivenUp, ""); err != nil {
		r.end(p, consent.DigestFailed, string(consent.OutcomeGivenUp), consent.OutcomeGivenUp)
	}
}

// unreachable ends a message that its user's address cannot take, and has the
// application told: nobody else can help. refused is the address, where it was
// refused just now.
func (r *record) unreachable(ctx context.Context, p *parcel, state consent.DigestState, outcome consent.Outcome, refused string) {
	if err := r.finishUnreachable(ctx, p, state, outcome, refused); err != nil {
		r.again(ctx, p, err)
	}
}

// finishUnreachable writes at once that a user was not reached: it is rare, and
// needs a step of its own.
func (r *record) finishUnreachable(ctx context.Context, p *parcel, state consent.DigestState, outcome consent.Outcome, refused string) error {
	d := p.Digest
	d.State, d.Reason, d.FinishedAt = state, string(outcome), r.now()
	reason := "refused"
	if outcome == consent.OutcomeNoAddress || outcome == consent.OutcomeGivenUp {
		reason = string(outcome)
	}
	events := make([]consent.Event, 0, len(p.about))
	for _, t := range p.about {
		t.notice.Outcome = outcome
		events = append(events, consent.Event{
			ApplicationID: d.ApplicationID, ConsentID: t.consent.ID, ID: "evt_" + r.NewID(), Type: consent.EventUserUnreachable, At: d.FinishedAt,
			Cycle: t.consent.Cycle, Data: map[string]any{"channel": string(d.Channel), "reason": reason},
		})
	}
	notices := own(p.Notices)
	for i := range notices {
		if notices[i].Outcome == consent.OutcomeWaiting { // it was never looked at
			notices[i].Outcome = outcome
		}
	}
	u := consent.Unreachable{Digest: d, Notices: notices, Refused: refused, Events: events}
	if err := quiet(r.Registry.FinishUnreachable(context.WithoutCancel(ctx), u)); err != nil {
		for _, t := range p.about {
			t.notice.Outcome = consent.OutcomeWaiting
		}
		return err
	}
	p.done = true
	return nil
}

// writeIfDue writes what has been gathered for long enough, or is enough.
func (r *record) writeIfDue(ctx context.Context) {
	if now := r.now(); r.since >= recordEach || now.Sub(r.last) >= recordAfter {
		r.finish(ctx)
		r.last, r.since = now, 0
	}
}

// write writes what has been gathered, also where ctx is over.
func (r *record) write(ctx context.Context) error {
	r.finish(ctx)
	later := r.later
	r.later = nil
	_, err := r.Registry.PostponeDigests(context.WithoutCancel(ctx), r.app.ID, later)
	return err
}

// finish writes what has ended. What cannot be written together is written one
// by one, and what cannot be written at all stays for the next time.
func (r *record) finish(ctx context.Context) {
	if len(r.ended) == 0 {
		return
	}
	ctx = context.WithoutCancel(ctx)
	ended := r.ended
	r.ended = nil
	if _, err := r.Registry.FinishDigests(ctx, r.app.ID, ended); err == nil {
		return
	}
	for i := range ended {
		if _, err := r.Registry.FinishDigests(ctx, r.app.ID, ended[i:i+1]); err != nil {
			r.ended = append(r.ended, ended[i])
		}
	}
}

// Pauses between the tries to write what became of messages, and how long before
// their claim runs out that ends.
const (
	firstRest = 100 * time.Millisecond
	longRest  = 10 * time.Second
	margin    = 15 * time.Second
)

// settle writes the rest of a batch, and goes on trying until the claim is nearly
// over: what a server accepted and nobody has written is sent again.
func (r *record) settle(ctx context.Context) error {
	fault := r.write(ctx)
	for wait := firstRest; len(r.ended) > 0 && r.now().Add(wait).Before(r.claimed.Add(-margin)) && r.rest(ctx, wait); wait = min(2*wait, longRest) {
		r.finish(ctx)
	}
	for _, f := range r.ended {
		r.Log.Error("what became of a message could not be written; it may be sent again", "digest", f.Digest.ID)
		r.postpone(&parcel{Frozen: f}, r.now().Add(pauseAfter(f.Digest.Tries)), "not_sent")
	}
	r.ended = nil
	return errors.Join(fault, r.write(ctx))
}
