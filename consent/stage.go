package consent

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// Stage is a point in a cycle where something is announced: so long before or
// after the lapse or the end of the renewal window.
type Stage struct {
	Name   string        // "before_30d", "lapse", "after_7d", "window_7d", "window_end"
	Window bool          // counted from the end of the renewal window, not from the lapse
	Offset time.Duration // negative: before
}

// Event returns the type of the event by which the stage is announced.
func (s Stage) Event() EventType {
	switch {
	case s.Window && s.Offset == 0:
		return EventUnrenewable
	case !s.Window && s.Offset < 0:
		return EventLapsing
	default:
		return EventLapsed
	}
}

// StageTime is one stage of one cycle on the calendar.
type StageTime struct {
	Stage
	At time.Time
}

// Cadence is the list of stages at which an application wants its users and
// itself to be told.
type Cadence []Stage

// DefaultCadence names the stages that an application starts with.
func DefaultCadence() Cadence {
	c, err := ParseCadence([]string{
		"before_30d", "before_7d", "before_1d", "lapse", "after_7d", "after_30d", "window_7d", "window_end",
	})
	if err != nil {
		panic(err) // a constant list that our own parser refuses: no way to go on
	}
	return c
}

// maxOffset bounds a stage's distance: nothing in this field lives longer.
const maxOffset = 730 * day

// ParseCadence reads stage names: before_<n>d, lapse, after_<n>d,
// window_<n>d, window_end; h in the place of d counts hours. It refuses
// unknown, repeated and absurd ones, and sorts the rest.
func ParseCadence(names []string) (Cadence, error) {
	var c Cadence
	for _, name := range names {
		s, err := parseStage(name)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(c, func(o Stage) bool { return o.Window == s.Window && o.Offset == s.Offset }) {
			return nil, fmt.Errorf("stage %q: stands in the cadence twice", name)
		}
		c = append(c, s)
	}
	slices.SortFunc(c, func(a, b Stage) int {
		if a.Window != b.Window {
			if b.Window {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Offset, b.Offset)
	})
	return c, nil
}

func parseStage(name string) (Stage, error) {
	switch name {
	case "lapse":
		return Stage{Name: name}, nil
	case "window_end":
		return Stage{Name: name, Window: true}, nil
	}
	prefix, amount, ok := strings.Cut(name, "_")
	s := Stage{Name: name}
	sign := -1
	switch prefix {
	case "before":
	case "after":
		sign = 1
	case "window":
		s.Window = true
	default:
		ok = false
	}
	unit := day
	if strings.HasSuffix(amount, "h") {
		unit = time.Hour
	} else if !strings.HasSuffix(amount, "d") {
		ok = false
	}
	if !ok {
		return Stage{}, fmt.Errorf("stage %q: want before_<n>d, lapse, after_<n>d, window_<n>d or window_end", name)
	}
	digits := amount[:len(amount)-1]
	n, err := strconv.Atoi(digits)
	if err != nil || n < 1 || n > int(maxOffset/unit) {
		return Stage{}, fmt.Errorf("stage %q: want 1 to %d days", name, maxOffset/day)
	}
	if strconv.Itoa(n) != digits { // a stage is known by its name, so it has one only
		return Stage{}, fmt.Errorf("stage %q: write the number as %d", name, n)
	}
	s.Offset = time.Duration(sign*n) * unit
	return s, nil
}

// Names returns the stage names, as ParseCadence reads them.
func (c Cadence) Names() []string {
	names := make([]string, len(c))
	for i, s := range c {
		names[i] = s.Name
	}
	return names
}

// Lead returns how long before its lapse a consent of the given life is
// lapsing: the earliest stage before the lapse, at most a third of the life.
func (c Cadence) Lead(life time.Duration) time.Duration {
	var lead time.Duration
	for _, s := range c {
		if !s.Window && -s.Offset > lead {
			lead = -s.Offset
		}
	}
	return min(lead, max(life, 0)/3)
}

// Times puts the stages of the consent's present cycle on the calendar, in
// order. LapsesAt, LapsingAt and RenewableUntil must be set. A stage before the
// lapse that would come before the consent is lapsing moves to LapsingAt, so that
// what is announced is also what the status says. Left out is what would come
// before ConsentedAt, "before" an end that nobody foresaw, after the renewal
// window, or so long before the window's end that there is no lapse yet.
func (c Cadence) Times(consent *Consent) []StageTime {
	var times []StageTime
	for _, s := range c {
		from := consent.LapsesAt
		if s.Window {
			from = consent.RenewableUntil
		}
		if from.IsZero() {
			continue
		}
		at := earlier(from.Add(s.Offset), endOfTime)
		switch {
		case at.Before(consent.ConsentedAt):
			continue
		case s.Window && s.Offset < 0 && !at.After(consent.LapsesAt):
			continue
		case !s.Window && s.Offset > 0 && !consent.RenewableUntil.IsZero() && at.After(consent.RenewableUntil):
			continue
		case !s.Window && s.Offset < 0 && consent.EndedEarly():
			continue
		case !s.Window && s.Offset < 0 && at.Before(consent.LapsingAt):
			at = consent.LapsingAt
		}
		times = append(times, StageTime{Stage: s, At: at})
	}
	slices.SortStableFunc(times, func(a, b StageTime) int { return a.At.Compare(b.At) })
	return times
}
