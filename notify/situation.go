package notify

import (
	"time"

	"github.com/reconsent/reconsent/consent"
)

// situation is where a consent stands, as its user is told.
type situation int

const (
	endsInDays  situation = iota
	endsInHours           // less than a day, but not the same day
	endsToday
	hasStopped
	endedEarly
	stillStopped // a week after
	windowCloses // a week before it cannot be renewed any more
	cannotRenew
	endUnknown // nobody knows when it ends: told only to who asked for a link
)

const (
	day  = 24 * time.Hour
	week = 7 * day
)

// situationOf judges a consent at now, by the days of the user's zone, and
// returns the days that are left of what the situation counts.
func situationOf(con *consent.Consent, now time.Time, zone *time.Location) (s situation, days int) {
	switch status := con.Status(now); {
	case status == consent.Unrenewable:
		return cannotRenew, 0
	case con.LapsesAt.IsZero():
		return endUnknown, 0
	case status != consent.Lapsed && con.LapsesAt.Sub(now) >= day:
		return endsInDays, daysBetween(now, con.LapsesAt, zone)
	case status != consent.Lapsed && sameDay(now, con.LapsesAt, zone):
		return endsToday, 0
	case status != consent.Lapsed:
		return endsInHours, 0
	}
	since, left := now.Sub(con.LapsesAt), con.RenewableUntil.Sub(now)
	switch {
	case since < week && con.EndedEarly():
		return endedEarly, 0
	case since < week:
		return hasStopped, 0
	case !con.RenewableUntil.IsZero() && left <= week:
		if left < day {
			return windowCloses, 0
		}
		return windowCloses, daysBetween(now, con.RenewableUntil, zone)
	default:
		return stillStopped, 0
	}
}

// daysBetween counts the midnights between two moments that are a day or more
// apart: what people call "in 7 days". Where the clocks change, a day may pass
// without one; it counts as one.
func daysBetween(from, to time.Time, zone *time.Location) int {
	return max(dayNumber(to.In(zone))-dayNumber(from.In(zone)), 1)
}

func sameDay(a, b time.Time, zone *time.Location) bool {
	return dayNumber(a.In(zone)) == dayNumber(b.In(zone))
}

// dayNumber numbers the days of the calendar.
func dayNumber(t time.Time) int {
	year, month, d := t.Date()
	return int(time.Date(year, month, d, 0, 0, 0, 0, time.UTC).Unix() / int64(day/time.Second))
}
