package reauth_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/reconsent/reconsent/reauth"
)

const (
	limit = 10
	per   = 5 * time.Minute
)

func TestWindow(t *testing.T) {
	var w reauth.Window
	var got reauth.Taken
	for i := range limit {
		at := now.Add(time.Duration(i) * time.Second)
		w, got = w.Take(at, limit, per)
		assert.Equal(t, reauth.Taken{OK: true, Remaining: limit - 1 - i, Reset: per - at.Sub(now), RetryAt: retry(i, at)}, got)
	}
	at := now.Add(20 * time.Second)
	denied := reauth.Taken{Reset: per - 20*time.Second, RetryAt: now.Add(per)}
	same, got := w.Take(at, limit, per)
	assert.Equal(t, denied, got)
	assert.True(t, same.Equal(w), "a denied call does not count")
	assert.Equal(t, denied, w.Peek(at, limit, per))

	last := now.Add(per - time.Microsecond)
	_, got = w.Take(last, limit, per)
	assert.False(t, got.OK)
	w, got = w.Take(now.Add(per), limit, per)
	assert.Equal(t, reauth.Taken{OK: true, Remaining: 0, Reset: time.Second, RetryAt: now.Add(per + time.Second)}, got, "one left, one came")

	w, got = w.Take(now.Add(time.Hour), limit, per)
	assert.Equal(t, limit-1, got.Remaining)
	assert.NotContains(t, w.String(), " ", "what has left is forgotten")
	assert.Equal(t, reauth.Taken{OK: true, Remaining: limit, RetryAt: now}, reauth.Window{}.Peek(now, limit, per))
}

// retry: the tenth call is the last, so the next is allowed when the first leaves.
func retry(i int, at time.Time) time.Time {
	if i == limit-1 {
		return now.Add(per)
	}
	return at
}

// TestWindowHolds: no stretch of per, wherever it begins, holds more than limit
// calls; and a call is denied only where one more would break that.
func TestWindowHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 5).Draw(t, "limit")
		per := time.Duration(rapid.IntRange(1, 20).Draw(t, "per")) * time.Microsecond
		at, text := now, ""
		var allowed []time.Time
		for range rapid.IntRange(1, 60).Draw(t, "calls") {
			at = at.Add(time.Duration(rapid.IntRange(0, 6).Draw(t, "later")) * time.Microsecond)
			w, err := reauth.ParseWindow(text)
			require.NoError(t, err)
			next, got := w.Take(at, limit, per)
			text = next.String()
			in := 0
			for _, a := range allowed {
				if at.Sub(a) < per {
					in++
				}
			}
			assert.Equal(t, in < limit, got.OK)
			if !got.OK {
				assert.True(t, w.Peek(got.RetryAt, limit, per).OK, "it opens when it says")
				assert.False(t, w.Peek(got.RetryAt.Add(-time.Microsecond), limit, per).OK, "and not before")
				assert.Equal(t, got.RetryAt, at.Add(got.Reset))
				continue
			}
			assert.Equal(t, limit-in-1, got.Remaining)
			allowed = append(allowed, at)
		}
		for i := range allowed {
			if i+limit < len(allowed) {
				assert.GreaterOrEqual(t, allowed[i+limit].Sub(allowed[i]), per)
			}
		}
	})
}

func full(t *testing.T, at time.Time) reauth.Window {
	t.Helper()
	var w reauth.Window
	for range limit {
		var got reauth.Taken
		w, got = w.Take(at, limit, per)
		require.True(t, got.OK)
	}
	return w
}

// TestClockThatGoesBack neither opens a window nor locks it for ever.
func TestClockThatGoesBack(t *testing.T) {
	for _, back := range []time.Duration{time.Second, per, per + time.Second, time.Hour, 10 * 365 * 24 * time.Hour} {
		w := full(t, now)
		at := now.Add(-back)
		w, got := w.Take(at, limit, per)
		assert.False(t, got.OK, "%s back", back)
		assert.LessOrEqual(t, got.Reset, 2*per, "%s back", back)
		w, got = w.Take(at.Add(per-time.Second), limit, per)
		assert.False(t, got.OK, "%s back", back)
		_, got = w.Take(at.Add(2*per), limit, per)
		assert.True(t, got.OK, "%s back: open again", back)
	}
	// A clock that runs a moment behind another's costs nothing.
	w, _ := reauth.Window{}.Take(now, limit, per)
	w, got := w.Take(now.Add(-time.Second), limit, per)
	assert.Equal(t, limit-2, got.Remaining)
	_, err := reauth.ParseWindow(w.String())
	assert.NoError(t, err, "the stamps are in order")
}

func TestLimitThatIsLowered(t *testing.T) {
	var w reauth.Window
	for i := range limit {
		w, _ = w.Take(now.Add(time.Duration(i)*time.Second), limit, per)
	}
	got := w.Peek(now.Add(time.Minute), 3, per)
	assert.False(t, got.OK)
	assert.Equal(t, now.Add(per+7*time.Second), got.RetryAt, "eight of ten have to leave")
	assert.True(t, w.Peek(got.RetryAt, 3, per).OK)
}

func TestWindowDeniesWhatMakesNoSense(t *testing.T) {
	for _, c := range []struct {
		limit int
		per   time.Duration
		at    time.Time
	}{{0, per, now}, {-1, per, now}, {1001, per, now}, {limit, 0, now}, {limit, -per, now}, {limit, time.Nanosecond, now}, {limit, per, time.Time{}}} {
		w, got := reauth.Window{}.Take(c.at, c.limit, c.per)
		assert.False(t, got.OK)
		assert.True(t, w.Equal(reauth.Window{}))
	}
}

func TestWindowThatCannotBeReadDenies(t *testing.T) {
	for _, s := range []string{" ", "x", "1 x", "1  2", "2 1", "-1", "0", "01", "+1", "1,2", "1.5", "99999999999999999999", "1 ", strings.Repeat("1 ", 1000) + "1"} {
		w, err := reauth.ParseWindow(s)
		require.ErrorIs(t, err, reauth.ErrWindow, s)
		assert.True(t, w.Unreadable())
		next, got := w.Take(now, limit, per)
		assert.Equal(t, reauth.Taken{Reset: per, RetryAt: now.Add(per)}, got)
		assert.True(t, next.Equal(w), "nothing to store")
		assert.False(t, w.Equal(reauth.Window{}))
		assert.False(t, w.GiveBack(now).Peek(now, limit, per).OK)
	}
}

func TestGiveBack(t *testing.T) {
	w := full(t, now)
	w = w.GiveBack(now)
	assert.Equal(t, 1, w.Peek(now, limit, per).Remaining)
	assert.True(t, w.GiveBack(now.Add(time.Second)).Equal(w), "no such call")
	w, got := w.Take(now, limit, per)
	assert.True(t, got.OK)
	assert.False(t, w.Peek(now, limit, per).OK)
}

func FuzzParseWindow(f *testing.F) {
	for _, s := range []string{"", "1", "1798891200000000 1798891200000001", "1 1", "x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		w, err := reauth.ParseWindow(s)
		if err != nil {
			assert.False(t, w.Peek(now, limit, per).OK)
			return
		}
		assert.Equal(t, s, w.String())
		_, got := w.Take(now, limit, per)
		assert.GreaterOrEqual(t, got.Remaining, 0)
		assert.GreaterOrEqual(t, got.Reset, time.Duration(0))
		assert.LessOrEqual(t, got.Reset, 2*per)
	})
}
