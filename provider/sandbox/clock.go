package sandbox

import (
	"errors"
	"sync"
	"time"
)

// The moves that a clock refuses.
var (
	ErrBack   = errors.New("the clock only moves forward")
	ErrTooFar = errors.New("the clock does not go beyond the year 2200")
)

const lastYear = 2200

// Clock starts at wall time, ticks with it, and can be moved forward. It is
// safe for concurrent use, and may be shared with a connector.
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

// Advance moves the clock forward by d. Errors are ErrBack and ErrTooFar.
func (c *Clock) Advance(d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.move(d)
}

// Set moves the clock forward to t. Errors are ErrBack and ErrTooFar.
func (c *Clock) Set(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.move(t.Sub(c.wall().Add(c.offset)))
}

func (c *Clock) move(d time.Duration) error {
	switch {
	case d < 0:
		return ErrBack
	case c.wall().Add(c.offset).Add(d).Year() > lastYear:
		return ErrTooFar
	}
	c.offset += d
	return nil
}
