package sandbox

import (
	"errors"
	"sync"
	"time"
)

// ErrBack is the answer to a move into the past.
var ErrBack = errors.New("the clock only moves forward")

// Clock starts at wall time, ticks with it, and can be moved forward. It is
// safe for concurrent use.
type Clock struct {
	mu     sync.RWMutex
	offset time.Duration
	wall   func() time.Time
}

// NewClock returns a clock that is offset ahead of wall time.
func NewClock(offset time.Duration) *Clock { return &Clock{offset: offset, wall: time.Now} }

// Now returns the clock's time in UTC.
func (c *Clock) Now() time.Time {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.wall().Add(c.offset).UTC()
}

// Offset returns how far the clock is ahead of wall time.
func (c *Clock) Offset() time.Duration {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.offset
}

// Advance moves the clock forward by d.
func (c *Clock) Advance(d time.Duration) error {
	if d < 0 {
		return ErrBack
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
	return nil
}

// Set moves the clock forward to t.
func (c *Clock) Set(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := t.Sub(c.wall().Add(c.offset))
	if d < 0 {
		return ErrBack
	}
	c.offset += d
	return nil
}
