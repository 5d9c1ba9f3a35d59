package notify

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/reconsent/reconsent/consent"
)

const (
	// recently is how long an acceptance says of a server that it takes messages.
	recently = 10 * time.Minute
	// manyRefused are so many in a row that the addresses cannot be the reason.
	manyRefused = 5
)

// servers remembers, in this process, how those who take messages do.
type servers struct {
	mu sync.Mutex
	of map[consent.Channel]serving
}

// serving is how one does.
type serving struct {
	acceptedAt time.Time // last; zero where never
	refused    int       // messages refused for good since then
}

func (s *servers) accepted(c consent.Channel, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set(c, serving{acceptedAt: at})
}

// refusedMore counts refusals, and returns how the server does with them.
func (s *servers) refusedMore(c consent.Channel, n int) serving {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.of[c]
	now.refused += n
	s.set(c, now)
	return now
}

func (s *servers) set(c consent.Channel, now serving) {
	if s.of == nil {
		s.of = map[consent.Channel]serving{}
	}
	s.of[c] = now
}

// judgeRefusals decides whether the addresses that were refused for good are to
// blame. A server that refuses whoever is written to draws the same answer, so
// it is believed only while it takes other messages, and most of them. What is
// not believed is tried again.
func (b *batch) judgeRefusals(ctx context.Context, r *record) (believed bool) {
	n := len(b.refused)
	if n == 0 {
		return true
	}
	s := b.servers.refusedMore(b.channel, n)
	taking := !s.acceptedAt.IsZero() && b.now().Sub(s.acceptedAt) < recently
	believed = taking && (n < manyRefused || n < b.accepted) && (s.refused < manyRefused || b.accepted > 0)
	for _, p := range b.refused {
		if !believed {
			r.again(ctx, p.parcel, p.err)
			continue
		}
		b.Log.Warn("message refused for good", "digest", p.Digest.ID, "channel", string(b.channel), "error", p.err)
		r.unreachable(ctx, p.parcel, consent.DigestFailed, consent.OutcomeRefused, p.address)
	}
	return believed
}

// tell lets an operator know where nobody takes messages, and where somebody
// does again. What could not be told is told by the next batch.
func (b *batch) tell(ctx context.Context, believed bool) error {
	trouble := ""
	switch {
	case !believed:
		trouble = "It refuses the addresses of most users, or of all: the fault is hardly theirs. None was marked; look at the sender, and at what the provider says of the account."
	case b.accepted > 0:
	case b.ours != nil:
		trouble = "It refuses us: " + b.ours.Error() + ". Look at the login and the sender in the settings."
	case b.away != nil:
		trouble = "Nobody answers there."
	default:
		return nil // nothing was learned
	}
	return b.Gate.Serving(context.WithoutCancel(ctx), b.app, b.channel, trouble)
}

// rest waits. It reports false where ctx ended first.
func rest(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// close ends a batch: refusals are judged, what could not be written is tried
// for as long as the messages are ours, and an operator is told of the server.
func (b *batch) close(ctx context.Context, r *record) error {
	believed := b.judgeRefusals(ctx, r)
	return errors.Join(r.settle(ctx), b.tell(ctx, believed))
}
