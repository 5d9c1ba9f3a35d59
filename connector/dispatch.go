package connector

import (
	"context"
	"time"
)

const (
	dispatchBatch = 1000
	// dispatchLease is by when a digest's job must be over; after that it is
	// given another.
	dispatchLease = 15 * time.Minute
)

// Dispatch makes jobs of the messages that are due.
func (c *Connector) Dispatch(ctx context.Context) (int, error) {
	total := 0
	for {
		now := c.now()
		n, err := c.registry.Dispatch(ctx, now, now.Add(dispatchLease), dispatchBatch)
		total += n
		if err != nil || n < dispatchBatch {
			return total, err
		}
	}
}
