package connector

import (
	"context"
	"time"

	"github.com/reconsent/reconsent/consent"
)

// Presses of a page that begin an attempt of their own, for one consent in an
// hour. What is pressed beyond that leads to an attempt that is under way; where
// none is, because somebody finishes each, so many more begin one.
const (
	pressesAnHour = 10
	pressesInVain = 30
)

// pressWindow is how old such an attempt may be: half of its time is left.
const pressWindow = attemptValidity / 2

// perHour counts what may be done for a consent so often in an hour of the
// clock, by all replicas together. It answers rate_limited where that is used up.
func (c *Connector) perHour(ctx context.Context, con *consent.Consent, what string, most int, detail string) error {
	return c.perWindow(ctx, con, time.Hour, what, most, detail)
}

// perDay is perHour for a day, which begins at midnight UTC.
func (c *Connector) perDay(ctx context.Context, con *consent.Consent, what string, most int, detail string) error {
	return c.perWindow(ctx, con, 24*time.Hour, what, most, detail)
}

func (c *Connector) perWindow(ctx context.Context, con *consent.Consent, length time.Duration, what string, most int, detail string) error {
	window := c.now().Truncate(length)
	ok, err := c.registry.Take(ctx, con.ApplicationID, what+con.ID, window, 1, most)
	if err == nil && !ok {
		err = &consent.Error{Code: consent.CodeRateLimited, ConsentID: con.ID, RetryAt: window.Add(length), Detail: detail}
	}
	return err
}
