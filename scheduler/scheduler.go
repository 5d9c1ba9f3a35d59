package scheduler

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"
)

// Every runs work at once and then again and again, a period after each run
// has ended, give or take a tenth, so that replicas started together do not
// stay in step. A run that fails is logged and does not end the loop. Every
// returns when ctx ends, after the run under way.
func Every(ctx context.Context, period time.Duration, log *slog.Logger, name string, work func(context.Context) error) {
	for ctx.Err() == nil {
		if err := work(ctx); err != nil && ctx.Err() == nil {
			log.Error("scheduled work failed; it will be tried again", "work", name, "error", err)
		}
		t := time.NewTimer(jittered(period))
		select {
		case <-ctx.Done():
			t.Stop()
		case <-t.C:
		}
	}
}

func jittered(d time.Duration) time.Duration {
	tenth := int64(d / 10)
	if tenth <= 0 {
		return d
	}
	return d + time.Duration(rand.Int64N(2*tenth+1)-tenth) //nolint:gosec // spreads load, guards nothing
}
