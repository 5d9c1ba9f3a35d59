package connector

import (
	"context"
	"time"
)

const (
	// dispatchBatch is one application's share of a round: so many messages of
	// another's leave before its next.
	dispatchBatch = 500
	// dispatchLease is by when a digest's job must be over; after that it is
	// given another.
	dispatchLease = 15 * time.Minute
)

// Dispatch makes jobs of the messages that are due, what users asked for first.
func (c *Connector) Dispatch(ctx context.Context) (int, error) {
	total, err := c.DispatchAsked(ctx)
	for err == nil {
		now := c.now()
		var n int
		if n, err = c.registry.Dispatch(ctx, now, now.Add(dispatchLease), dispatchBatch); n == 0 {
			break
		}
		total += n
	}
	return total, err
}

// DispatchAsked makes jobs of the messages that users asked for, and wait for.
func (c *Connector) DispatchAsked(ctx context.Context) (int, error) {
	now := c.now()
	return c.registry.DispatchAsked(ctx, now, now.Add(dispatchLease), dispatchBatch)
}
