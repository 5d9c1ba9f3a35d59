package locale

import (
	"strings"
	"sync"
	"time"
)

var zones sync.Map // of IANA names that were found, so there is an end to them

// Zone returns the time zone of an IANA name, and UTC where there is none such.
// Of the server's own zone ("Local") nobody knows anything.
func Zone(name string) *time.Location {
	if known, ok := zones.Load(name); ok {
		return known.(*time.Location) //nolint:errcheck,forcetypeassert // nothing else is put there
	}
	if name == "" || name == "Local" {
		return time.UTC
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return time.UTC
	}
	zones.Store(name, zone)
	return zone
}

// Date returns the day of t in the zone: "29 March 2026".
func (l Language) Date(t time.Time, zone *time.Location) string {
	return spokenLanguages[l.row].date(t.In(zone))
}

// DateTime returns the minute of t in the zone, with the zone's name: "29 March
// 2026, 01:30 CET".
func (l Language) DateTime(t time.Time, zone *time.Location) string {
	t = t.In(zone)
	s := &spokenLanguages[l.row]
	return l.Say("dates.date_time", "Date", s.date(t), "Time", s.dates.FmtTimeShort(t), "Zone", s.zoneOf(t))
}

// Moment is DateTime for the middle of a sentence.
func (l Language) Moment(t time.Time, zone *time.Location) string {
	t = t.In(zone)
	s := &spokenLanguages[l.row]
	return l.Say("dates.moment", "Date", s.date(t), "Time", s.dates.FmtTimeShort(t), "Zone", s.zoneOf(t))
}

// date is CLDR's long form, which knows no "1er mars".
func (s *spoken) date(t time.Time) string {
	long := s.dates.FmtDateLong(t)
	if rest, ok := strings.CutPrefix(long, "1 "); ok && s.first != "" {
		return s.first + " " + rest
	}
	return long
}

// zoneOf returns the zone's abbreviation. Where there is none, the tz database
// has the offset in its place, "+0530": that is UTC+5:30.
func (s *spoken) zoneOf(t time.Time) string {
	name, _ := t.Zone()
	if here, ok := s.zones[name]; ok {
		return here
	}
	if !strings.HasPrefix(name, "+") && !strings.HasPrefix(name, "-") {
		return name
	}
	hours, minutes := name[1:], ""
	if len(hours) > 2 {
		hours, minutes = hours[:2], ":"+hours[2:]
	}
	return "UTC" + name[:1] + strings.TrimPrefix(hours, "0") + minutes
}
