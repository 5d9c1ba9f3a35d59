package consent

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// QuietHours is a span of the day, by the clock on the user's wall, in which
// nobody is written to. It may cross midnight. The zero value is none.
type QuietHours struct {
	from, to int // minutes since midnight; from belongs to it, to does not
}

// ParseQuietHours reads "22:00-07:00", or "" for none.
func ParseQuietHours(s string) (QuietHours, error) {
	if s == "" {
		return QuietHours{}, nil
	}
	from, to, _ := strings.Cut(s, "-")
	q := QuietHours{minutes(from), minutes(to)}
	if q.from < 0 || q.to < 0 {
		return QuietHours{}, fmt.Errorf("quiet hours %q: want two times of the day, like 22:00-07:00", s)
	}
	if q.from == q.to {
		return QuietHours{}, errors.New("quiet hours of a whole day: nobody would ever be told; to write to nobody, pause the application")
	}
	return q, nil
}

// minutes reads "07:30", in just that form; -1 where it is not.
func minutes(s string) int {
	if len(s) != len("07:30") || s[2] != ':' {
		return -1
	}
	h, errH := strconv.ParseUint(s[:2], 10, 8)
	m, errM := strconv.ParseUint(s[3:], 10, 8)
	if errH != nil || errM != nil || h > 23 || m > 59 {
		return -1
	}
	return int(h)*60 + int(m)
}

// IsZero reports whether there are none.
func (q QuietHours) IsZero() bool { return q.from == q.to }

// String is what ParseQuietHours reads.
func (q QuietHours) String() string {
	if q.IsZero() {
		return ""
	}
	return fmt.Sprintf("%02d:%02d-%02d:%02d", q.from/60, q.from%60, q.to/60, q.to%60)
}

const secondsOfDay = 24 * 60 * 60

// Until returns the first moment after now at which the clock in zone shows
// none of the quiet hours; the zero time where it shows none of them now.
//
// What the clock shows decides, also in the nights in which it is moved: an end
// that is jumped over comes with the jump, and an hour that comes twice is quiet
// twice, or not quiet twice.
func (q QuietHours) Until(now time.Time, zone *time.Location) time.Time {
	t := now.In(zone)
	for q.covers(t) {
		// The offset is one and the same up to the end of the zone's present
		// bounds, so that far the clock can be reckoned with.
		h, m, s := t.Clock()
		left := (q.to*60 - (h*60+m)*60 - s + secondsOfDay) % secondsOfDay
		end := t.Add(time.Duration(left)*time.Second - time.Duration(t.Nanosecond()))
		_, moved := t.ZoneBounds()
		if moved.IsZero() || end.Before(moved) {
			return end.UTC()
		}
		t = moved.In(zone)
	}
	if t.Equal(now) {
		return time.Time{}
	}
	return t.UTC()
}

func (q QuietHours) covers(t time.Time) bool {
	h, m, _ := t.Clock()
	at := h*60 + m
	if q.from <= q.to {
		return q.from <= at && at < q.to
	}
	return at >= q.from || at < q.to
}
