package consent_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/reconsent/reconsent/consent"
)

func quietHours(t require.TestingT, s string) consent.QuietHours {
	q, err := consent.ParseQuietHours(s)
	require.NoError(t, err)
	return q
}

func zone(t require.TestingT, name string) *time.Location {
	loc, err := time.LoadLocation(name)
	require.NoError(t, err)
	return loc
}

func TestParseQuietHours(t *testing.T) {
	for _, s := range []string{"22:00-07:00", "00:00-06:30", "12:00-13:00", "23:59-00:00", "00:00-23:59", ""} {
		assert.Equal(t, s, quietHours(t, s).String())
		assert.Equal(t, s == "", quietHours(t, s).IsZero())
	}
	for _, s := range []string{
		"22:00", "22-07", "22:00-", "-07:00", "2:00-7:00", "24:00-07:00", "22:60-07:00", "22:00 - 07:00", "22:00-07:00-08:00", "+2:00-07:00", "22:00–07:00", "night",
	} {
		_, err := consent.ParseQuietHours(s)
		assert.ErrorContains(t, err, "22:00-07:00", s)
	}
	for _, s := range []string{"22:00-22:00", "00:00-00:00"} {
		_, err := consent.ParseQuietHours(s)
		assert.ErrorContains(t, err, "whole day", s)
	}
}

func TestQuietHoursEnd(t *testing.T) {
	for _, tt := range []struct {
		name, hours, zone, now, until string // until empty: not quiet
	}{
		{"by day", "22:00-07:00", "UTC", "2027-01-10T12:00:00Z", ""},
		{"a second before they begin", "22:00-07:00", "UTC", "2027-01-10T21:59:59Z", ""},
		{"when they begin", "22:00-07:00", "UTC", "2027-01-10T22:00:00Z", "2027-01-11T07:00:00Z"},
		{"over midnight", "22:00-07:00", "UTC", "2027-01-10T23:30:00.5Z", "2027-01-11T07:00:00Z"},
		{"after midnight", "22:00-07:00", "UTC", "2027-01-11T03:00:00Z", "2027-01-11T07:00:00Z"},
		{"when they end", "22:00-07:00", "UTC", "2027-01-11T07:00:00Z", ""},
		{"within one day", "12:00-14:00", "UTC", "2027-01-11T13:59:59.999999Z", "2027-01-11T14:00:00Z"},
		{"to midnight", "20:00-00:00", "UTC", "2027-01-11T20:00:00Z", "2027-01-12T00:00:00Z"},
		{"a year's end", "22:00-07:00", "UTC", "2027-12-31T23:00:00Z", "2028-01-01T07:00:00Z"},
		{"by the user's clock", "22:00-07:00", "Europe/Berlin", "2027-01-10T21:30:00Z", "2027-01-11T06:00:00Z"},
		{"14 hours ahead", "22:00-07:00", "Pacific/Kiritimati", "2027-01-10T10:00:00Z", "2027-01-10T17:00:00Z"},
		{"14 hours ahead, by day", "22:00-07:00", "Pacific/Kiritimati", "2027-01-10T23:00:00Z", ""},
		{"11 hours behind", "22:00-07:00", "Pacific/Pago_Pago", "2027-01-10T10:00:00Z", "2027-01-10T18:00:00Z"},
		{"11 hours behind, by day", "22:00-07:00", "Pacific/Pago_Pago", "2027-01-10T23:00:00Z", ""},
		{"half an hour off", "22:00-07:00", "Asia/Kolkata", "2027-01-10T20:00:00Z", "2027-01-11T01:30:00Z"},

		// Europe/Berlin, 28 March 2027: 02:00 CET becomes 03:00 CEST at 01:00Z.
		{"a short night", "22:00-07:00", "Europe/Berlin", "2027-03-27T22:00:00Z", "2027-03-28T05:00:00Z"},
		{"the end does not exist", "22:00-02:30", "Europe/Berlin", "2027-03-27T22:00:00Z", "2027-03-28T01:00:00Z"},
		{"the end is where the clock is moved", "22:00-02:00", "Europe/Berlin", "2027-03-27T22:00:00Z", "2027-03-28T01:00:00Z"},
		{"the end is where the clock is moved to", "22:00-03:00", "Europe/Berlin", "2027-03-27T22:00:00Z", "2027-03-28T01:00:00Z"},
		{"they begin in the hour that does not exist", "02:30-04:00", "Europe/Berlin", "2027-03-28T01:10:00Z", "2027-03-28T02:00:00Z"},
		{"all of them in the hour that does not exist", "02:10-02:50", "Europe/Berlin", "2027-03-28T00:59:59Z", ""},
		// 31 October 2027: 03:00 CEST becomes 02:00 CET at 01:00Z.
		{"a long night", "22:00-07:00", "Europe/Berlin", "2027-10-30T21:00:00Z", "2027-10-31T06:00:00Z"},
		{"the end comes twice: the first", "22:00-02:30", "Europe/Berlin", "2027-10-30T21:00:00Z", "2027-10-31T00:30:00Z"},
		{"the end comes twice: between", "22:00-02:30", "Europe/Berlin", "2027-10-31T00:45:00Z", ""},
		{"the end comes twice: the second", "22:00-02:30", "Europe/Berlin", "2027-10-31T01:10:00Z", "2027-10-31T01:30:00Z"},
		{"the hour that comes twice is quiet twice", "02:00-03:00", "Europe/Berlin", "2027-10-31T00:10:00Z", "2027-10-31T02:00:00Z"},
		// Lord Howe moves by half an hour; Apia once had no 30 December at all.
		{"half an hour", "22:00-02:15", "Australia/Lord_Howe", "2027-10-02T14:00:00Z", "2027-10-02T15:30:00Z"},
		{"a day that does not exist", "22:00-07:00", "Pacific/Apia", "2011-12-30T09:00:00Z", "2011-12-30T17:00:00Z"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now, err := time.Parse(time.RFC3339Nano, tt.now)
			require.NoError(t, err)
			got := quietHours(t, tt.hours).Until(now, zone(t, tt.zone))
			if tt.until == "" {
				assert.True(t, got.IsZero(), "%s", got)
				return
			}
			assert.Equal(t, tt.until, got.Format(time.RFC3339Nano))
		})
	}
}

func TestNoneAreNeverQuiet(t *testing.T) {
	assert.True(t, consent.QuietHours{}.Until(time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), time.UTC).IsZero())
}

// TestQuietHoursEndWhereTheClockSaysSo holds Until to what the clock on the wall
// shows, minute by minute: now and all the way it is quiet, at the end not.
func TestQuietHoursEndWhereTheClockSaysSo(t *testing.T) {
	zones := []string{
		"UTC", "Europe/Berlin", "Europe/London", "America/New_York", "America/St_Johns", "Pacific/Kiritimati", "Pacific/Pago_Pago",
		"Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca", "America/Santiago", "Pacific/Apia",
	}
	rapid.Check(t, func(t *rapid.T) {
		from := rapid.IntRange(0, 24*60-1).Draw(t, "from")
		to := (from + rapid.IntRange(1, 24*60-1).Draw(t, "length")) % (24 * 60)
		clock := func(m int) string { return time.Date(2000, 1, 1, 0, m, 0, 0, time.UTC).Format("15:04") }
		q := quietHours(t, clock(from)+"-"+clock(to))
		loc := zone(t, rapid.SampledFrom(zones).Draw(t, "zone"))
		now := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.Int64Range(0, int64(366*24*time.Hour)).Draw(t, "now")))
		if rapid.Bool().Draw(t, "near a change") {
			if _, moved := now.In(loc).ZoneBounds(); !moved.IsZero() {
				now = moved.Add(time.Duration(rapid.Int64Range(int64(-5*time.Hour), int64(5*time.Hour)).Draw(t, "off")))
			}
		}
		shown := func(at time.Time) bool { // by the digits of a clock, not by arithmetic
			s := at.In(loc).Format("15:04")
			f, e := clock(from), clock(to)
			if f < e {
				return f <= s && s < e
			}
			return s >= f || s < e
		}
		until := q.Until(now, loc)
		require.Equal(t, shown(now), !until.IsZero())
		if until.IsZero() {
			return
		}
		require.True(t, until.After(now))
		require.False(t, shown(until), "over at %s", until.In(loc))
		require.True(t, q.Until(until, loc).IsZero(), "what waited need not wait again")
		require.True(t, shown(until.Add(-1)), "not over before")
		for at := now; at.Before(until); at = at.Add(time.Minute) {
			require.True(t, shown(at), "over at %s already", at.In(loc))
		}
		require.Less(t, until.Sub(now), 26*time.Hour)
	})
}
