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

// someday is any day to look from for the next run.
var someday = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// ParseSchedule reads the five fields of cron ("*/5 * * * *", in UTC unless
// CRON_TZ= says otherwise), or a descriptor like "@hourly" or "@every 90s".
func ParseSchedule(text string) (Schedule, error) {
	s, err := cron.ParseStandard(text)
	if err != nil {
		return Schedule{}, fmt.Errorf("%q is no schedule like \"* * * * *\" or \"@every 1m\": %w", text, err)
	}
	if s.Next(someday).IsZero() {
		return Schedule{}, fmt.Errorf("%q names no day that there is", text)
	}
	return Schedule{Schedule: s, text: text}, nil
}

// String returns the text that the schedule was read from.
func (s Schedule) String() string { return s.text }

const (
	// periodSamples is how many runs LongestPause looks at one by one: more than
	// a week of minutes, so that nights and weekends are among the pauses.
	periodSamples = 12_000
	day           = 24 * time.Hour
	// horizon is how far LongestPause looks for days without a run: more than the
	// four years between two 29ths of February.
	horizon = 5 * 366 * day
)

// LongestPause returns the longest time between two runs after from.
func (s Schedule) LongestPause(from time.Time) time.Duration {
	var longest time.Duration
	at := s.Next(from.UTC())
	for range periodSamples {
		next := s.Next(at)
		longest = max(longest, next.Sub(at))
		at = next
	}
	// Days without a run, which come by month or year.
	for first := s.Next(from.UTC()); first.Sub(from) < horizon; {
		midnight := first.Truncate(day).Add(day)
		next := s.Next(midnight.Add(-time.Second))
		if next.Sub(midnight) > day && next.Sub(first) > longest {
			longest = max(longest, next.Sub(s.lastBefore(midnight, first)))
		}
		first = next
	}
	return longest
}

// lastBefore returns the last run before end; from is one.
func (s Schedule) lastBefore(end, from time.Time) time.Time {
	for at := from; ; at = s.Next(at) {
		if next := s.Next(at); !next.Before(end) {
			return at
		}
	}
}
