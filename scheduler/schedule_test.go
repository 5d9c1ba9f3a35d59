package scheduler_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/scheduler"
)

func TestAScheduleThatDoesNotParseSaysSo(t *testing.T) {
	for _, text := range []string{"", "* * * *", "61 * * * *", "@sometimes", "@every soon", "every minute", "* * * * * *"} {
		_, err := scheduler.ParseSchedule(text)
		require.ErrorContains(t, err, "is no schedule like", text)
	}
}

func TestAScheduleThatNeverComesIsNone(t *testing.T) {
	_, err := scheduler.ParseSchedule("0 0 30 2 *")
	require.ErrorContains(t, err, "names no day that there is")
}

func TestTheLongestPauseIsAmongNightsAndWeekends(t *testing.T) {
	from := time.Date(2027, time.March, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"* * * * *":         time.Minute,
		"@every 90s":        90 * time.Second,
		"@hourly":           time.Hour,
		"* 9-17 * * *":      15*time.Hour + time.Minute,
		"*/10 9-17 * * 1-5": 63*time.Hour + 10*time.Minute,
		"0 6 * * 1":         7 * 24 * time.Hour,
		"0 0 1 * *":         31 * 24 * time.Hour,
		"* * 1-10 * *":      21*24*time.Hour + time.Minute,
		"* * * 1-11 *":      31*24*time.Hour + time.Minute,
		"0 0 29 2 *":        4*366*24*time.Hour - 3*24*time.Hour,
		// An hour that a spring night does not have, and one that autumn has twice.
		"CRON_TZ=Europe/Berlin 30 2 * * *": 47 * time.Hour,
	} {
		s, err := scheduler.ParseSchedule(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, s.LongestPause(from), text)
	}
}
