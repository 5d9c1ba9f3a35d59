package sandbox

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheClockTicksFromWhereItWasMovedTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewClock(time.Hour)
		start := time.Now().UTC()
		assert.Equal(t, start.Add(time.Hour), c.Now())
		assert.Equal(t, time.UTC, c.Now().Location())
		require.NoError(t, c.Advance(24*time.Hour))
		<-time.After(time.Minute)
		assert.Equal(t, start.Add(25*time.Hour+time.Minute), c.Now())
		assert.Equal(t, 25*time.Hour, c.Offset())
		to := start.AddDate(1, 0, 0)
		require.NoError(t, c.Set(to))
		assert.Equal(t, to, c.Now())
		require.NoError(t, c.Set(c.Now()), "to stand still is no step back")
		require.NoError(t, c.Advance(0))
		assert.Equal(t, c.Now(), NewClock(c.Offset()).Now(), "a restart goes on from the offset")
	})
}

func TestTheClockRefusesToGoBackOrTooFar(t *testing.T) {
	c := NewClock(0)
	for _, bad := range []time.Time{{}, c.Now().Add(-time.Nanosecond), c.Now().AddDate(-400, 0, 0)} {
		require.ErrorIs(t, c.Set(bad), ErrBack, "%s", bad)
	}
	for _, bad := range []time.Duration{-1, -1 << 63} {
		require.ErrorIs(t, c.Advance(bad), ErrBack, "%s", bad)
	}
	for _, bad := range []time.Time{time.Date(2201, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)} {
		require.ErrorIs(t, c.Set(bad), ErrTooFar, "%s", bad)
	}
	require.ErrorIs(t, c.Advance(1<<63-1), ErrTooFar)
	assert.Zero(t, c.Offset(), "what is refused moves nothing")
	require.NoError(t, c.Set(time.Date(2200, 6, 1, 0, 0, 0, 0, time.UTC)))
	require.ErrorIs(t, c.Advance(1<<63-1), ErrTooFar, "nor does it wrap around")
}

// Whoever looks while others move it never sees it go back.
func TestTheClockIsMovedByManyAtOnce(t *testing.T) {
	c := NewClock(0)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 50 {
				before := c.Now()
				assert.NoError(t, c.Advance(time.Second))
				assert.False(t, c.Now().Before(before.Add(time.Second)))
			}
		})
	}
	group.Wait()
	assert.Equal(t, 400*time.Second, c.Offset())
}
