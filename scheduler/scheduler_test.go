package scheduler_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reconsent/reconsent/scheduler"
)

func TestEveryRunsAtOnceAndGoesOnAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		start := time.Now()
		var at []time.Duration
		done := make(chan struct{})
		go func() {
			defer close(done)
			scheduler.Every(ctx, time.Minute, slog.New(slog.DiscardHandler), "work", func(context.Context) error {
				at = append(at, time.Since(start))
				if len(at) == 3 {
					cancel()
				}
				return errors.New("every run fails")
			})
		}()
		<-done
		if len(at) != 3 || at[0] != 0 {
			t.Fatalf("ran at %v, want at once and twice more", at)
		}
		for i := 1; i < len(at); i++ {
			if gap := at[i] - at[i-1]; gap < 54*time.Second || gap > 66*time.Second {
				t.Errorf("gap %v, want a minute, give or take a tenth", gap)
			}
		}
	})
}
