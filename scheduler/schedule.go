package scheduler

import (
	"fmt"
	"time"

	"github.com/robfig/cron/v3"
)

// Schedule says when something is to be done.
type Schedule struct {
	cron.Schedule
	text string
}

// ParseSchedule reads the five fields of cron ("*/5 * * * *", in UTC unless
// CRON_TZ= says otherwise), or a descriptor like "@hourly" or "@every 90s".
func ParseSchedule(text string) (Schedule, error) {
	s, err := cron.ParseStandard(text)
	if err != nil {
		return Schedule{}, fmt.Errorf("%q is no schedule like \"* * * * *\" or \"@every 1m\": %w", text, err)
	}
	return Schedule{Schedule: s, text: text}, nil
}

// String returns the text that the schedule was read from.
func (s Schedule) String() string { return s.text }

// periodSamples is how many runs LongestPause looks at: more than a week of
// minutes, so that nights and weekends are among the pauses.
const periodSamples = 12_000

// LongestPause returns the longest time between two runs after from, as far as
// a sample shows.
func (s Schedule) LongestPause(from time.Time) time.Duration {
	var longest time.Duration
	at := s.Next(from.UTC())
	for range periodSamples {
		next := s.Next(at)
		if next.IsZero() {
			return longest
		}
		if pause := next.Sub(at); pause > longest {
			longest = pause
		}
		if at = next; at.Sub(from) > 5*366*24*time.Hour {
			break
		}
	}
	return longest
}
