package consent

import (
	"slices"
	"time"
)

// Flag is what a sweep makes of one due consent.
type Flag struct {
	Announce StageTime   // the latest stage that is due; no Name where none is
	Skipped  []StageTime // those that were due too and have been overtaken by it
	Next     time.Time   // when the next stage is due; zero where none is left
	Parked   string      // why the consent cannot be judged; empty where it can
}

// The reasons to park a consent. Whoever mends the data ends the parking with
// the next sweep that looks.
const (
	ParkedNoUser      = "no_user"             // nobody whose consent it is
	ParkedNoLapse     = "no_lapse"            // a stage is due, but no lapse is known
	ParkedBackwards   = "expiry_before_start" // it lapses before it was given
	ParkedNoSettings  = "application_unread"  // its application's settings do not parse
	ParkedUnreadable  = "times_unreadable"    // its times contradict each other
	ParkedUnwritable  = "refused_by_database" // what a sweep made of it could not be written
	parkedLookAgainIn = time.Hour
)

// Park returns the flag of a consent that cannot be judged at now: it is looked
// at again an hour later.
func Park(reason string, now time.Time) Flag {
	return Flag{Parked: reason, Next: now.Add(parkedLookAgainIn)}
}

// Flag decides what is to be announced of a consent at now: of all stages that
// fell due since the last time only the latest, each once in a cycle, and none
// that comes before one which has been announced.
func (c *Consent) Flag(cad Cadence, now time.Time) Flag {
	if reason := c.fault(); reason != "" {
		return Park(reason, now)
	}
	var f Flag
	for _, s := range cad.Times(c) {
		switch {
		case s.At.After(now):
			if f.Next.IsZero() && !c.HasAnnounced(s.Name) {
				f.Next = s.At
			}
		default:
			if f.Announce.Name != "" {
				f.Skipped = append(f.Skipped, f.Announce)
				f.Announce = StageTime{}
			}
			if !c.HasAnnounced(s.Name) {
				f.Announce = s
			}
		}
	}
	return f
}

// fault says why the consent's own data cannot be judged, or "".
func (c *Consent) fault() string {
	switch {
	case c.UserID == "":
		return ParkedNoUser
	case c.LapsesAt.IsZero():
		return ParkedNoLapse
	case c.LapsesAt.Before(c.ConsentedAt):
		return ParkedBackwards
	case c.LapsingAt.After(c.LapsesAt) || (!c.RenewableUntil.IsZero() && c.RenewableUntil.Before(c.LapsesAt)):
		return ParkedUnreadable
	default:
		return ""
	}
}

// Apply writes the flag into the consent, as the sweep stores it.
func (c *Consent) Apply(f Flag, now time.Time) {
	c.NextStageAt, c.ParkedReason = f.Next, f.Parked
	switch {
	case f.Parked == "":
		c.ParkedAt = time.Time{}
	case c.ParkedAt.IsZero():
		c.ParkedAt = now
	}
	skipped := make([]string, len(f.Skipped))
	for i, s := range f.Skipped {
		skipped[i] = s.Name
	}
	if f.Announce.Name == "" { // the last one is what was told last
		c.Announced = slices.Concat(skipped, c.Announced)
		return
	}
	c.Announced = append(slices.Concat(c.Announced, skipped), f.Announce.Name)
}

// ShortestGap returns the least time between two stages that follow one
// another, and their names: what a sweep's period has to stay below. Zero
// where there are not two to compare.
func (c Cadence) ShortestGap() (gap time.Duration, a, b string) {
	for i := 1; i < len(c); i++ {
		if c[i].Window != c[i-1].Window {
			continue
		}
		if d := c[i].Offset - c[i-1].Offset; gap == 0 || d < gap {
			gap, a, b = d, c[i-1].Name, c[i].Name
		}
	}
	return gap, a, b
}
