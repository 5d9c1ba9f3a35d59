package notify

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/reconsent/reconsent/consent"
)

// record gathers what becomes of messages, to write it in sets. What is not
// written, because the process died, comes to nothing: the claims run out, and
// the messages are sent again, under the same Message-ID.
type record struct {
	*batch
	ended []consent.Frozen
	later []consent.Digest
	last  time.Time // when it was written
	fault error     // of what could not be written at once
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
	p.Digest.DueAt = until
	putOff(&p.Digest, reason)
	r.later, p.done = append(r.later, p.Digest), true
}

// putOff says why a message waits. One that its user asked for stays known as
// that: it waits out no quiet hours.
func putOff(d *consent.Digest, reason string) {
	if d.Reason != consent.DigestAsked {
		d.Reason = reason
	}
}

// again makes a message due later that could not be sent, or gives it up.
func (r *record) again(ctx context.Context, p *parcel, cause error) {
	if p.Digest.Tries >= patience {
		r.Log.Error("message given up", "digest", p.Digest.ID, "tries", p.Digest.Tries, "error", cause)
		r.end(p, consent.DigestFailed, "given_up", consent.OutcomeGivenUp)
		return
	}
	level := slog.LevelWarn
	if errors.Is(cause, ErrMisconfigured) {
		level = slog.LevelError
	}
	r.Log.Log(ctx, level, "message not sent yet; it will be tried again",
		"digest", p.Digest.ID, "channel", string(p.Digest.Channel), "tries", p.Digest.Tries, "error", cause)
	r.postpone(p, r.now().Add(pauseAfter(p.Digest.Tries)), "not_sent")
}

// unreachable ends a message that its user's address cannot take, and has the
// application told: nobody else can help. refused is the address, where it was
// refused just now. It is written at once: it is rare, and needs a step of its
// own.
func (r *record) unreachable(ctx context.Context, p *parcel, state consent.DigestState, outcome consent.Outcome, refused string) {
	d := p.Digest
	d.State, d.Reason, d.FinishedAt = state, string(outcome), r.now()
	reason := "refused"
	if outcome == consent.OutcomeNoAddress {
		reason = "no_address"
	}
	events := make([]consent.Event, 0, len(p.about))
	for _, t := range p.about {
		t.notice.Outcome = outcome
		events = append(events, consent.Event{
			ApplicationID: d.ApplicationID, ConsentID: t.consent.ID, ID: "evt_" + r.NewID(), Type: consent.EventUserUnreachable, At: d.FinishedAt,
			Cycle: t.consent.Cycle, Data: map[string]any{"channel": string(d.Channel), "reason": reason},
		})
	}
	p.done = true
	u := consent.Unreachable{Digest: d, Notices: own(p.Notices), Refused: refused, Events: events}
	if err := quiet(r.Registry.FinishUnreachable(context.WithoutCancel(ctx), u)); err != nil {
		for _, t := range p.about {
			t.notice.Outcome = consent.OutcomeWaiting
		}
		r.again(ctx, p, err)
	}
}

// writeIfDue writes what has been gathered for long enough.
func (r *record) writeIfDue(ctx context.Context) {
	if now := r.now(); now.Sub(r.last) >= recordAfter {
		r.fault = errors.Join(r.fault, r.write(ctx))
		r.last = now
	}
}

// write writes what has been gathered, also where ctx is over. What cannot be
// written together is written one by one; what cannot be written at all is
// tried again, like a message that was not accepted.
func (r *record) write(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	ended := r.ended
	r.ended = nil
	if _, err := r.Registry.FinishDigests(ctx, r.app.ID, ended); err != nil {
		for i := range ended {
			if _, err := r.Registry.FinishDigests(ctx, r.app.ID, ended[i:i+1]); err != nil {
				r.Log.Error("what became of a message could not be written; it may be sent again", "digest", ended[i].Digest.ID, "error", err)
				r.postpone(&parcel{Frozen: ended[i]}, r.now().Add(pauseAfter(ended[i].Digest.Tries)), "not_sent")
			}
		}
	}
	later := r.later
	r.later = nil
	_, err := r.Registry.PostponeDigests(ctx, r.app.ID, later)
	return errors.Join(r.fault, err)
}
