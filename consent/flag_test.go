package consent_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/reconsent/reconsent/consent"
)

// flagged is a life that sweeps look at, with a record of its own of what they
// have said.
type flagged struct {
	*life
	told map[string]int // stages of the present cycle, announced or skipped
}

func newFlagged(t *rapid.T) *flagged {
	f := &flagged{life: newLife(t), told: map[string]int{}}
	f.c.Pending, f.c.UserID = false, "u"
	return f
}

// due reports whether a sweep would look at the consent.
func (f *flagged) due() bool {
	return f.c.RevokedAt.IsZero() && !f.c.NextStageAt.IsZero() && !f.c.NextStageAt.After(f.now)
}

// sweep is what a sweep does with a consent that is due.
func (f *flagged) sweep() {
	if !f.due() {
		return
	}
	var due, left []consent.StageTime // an account of our own
	for _, s := range f.cad.Times(&f.c) {
		switch {
		case f.told[s.Name] > 0:
		case s.At.After(f.now):
			left = append(left, s)
		default:
			due = append(due, s)
		}
	}
	got := f.c.Flag(f.cad, f.now)
	before := f.c
	f.c.Apply(got, f.now)
	require.Equal(f, got.Next, f.c.NextStageAt)
	if f.c.LapsesAt.Before(f.c.ConsentedAt) {
		require.Equal(f, consent.ParkedBackwards, got.Parked)
		require.Empty(f, got.Announce.Name, "what cannot be judged is not announced")
		require.Empty(f, got.Skipped)
		require.True(f, got.Next.After(f.now))
		require.Equal(f, before.Announced, f.c.Announced)
		return
	}
	require.Empty(f, got.Parked)
	require.True(f, f.c.ParkedAt.IsZero() && f.c.ParkedReason == "")
	require.NotEmpty(f, due, "a sweep looks only at what has something to announce")
	require.Equal(f, due[len(due)-1], got.Announce, "only the latest is announced")
	require.ElementsMatch(f, due[:len(due)-1], got.Skipped, "the others are recorded")
	for _, s := range append([]consent.StageTime{got.Announce}, got.Skipped...) {
		f.told[s.Name]++
		require.Equal(f, 1, f.told[s.Name], "%s twice in cycle %d", s.Name, f.c.Cycle)
		require.False(f, s.At.After(got.Announce.At))
		require.False(f, s.At.Before(f.c.ConsentedAt), "%s came before the consent was given", s.Name)
		require.False(f, f.c.EndedEarly() && s.Event() == consent.EventLapsing, "%s before an end that nobody foresaw", s.Name)
		require.True(f, f.c.HasAnnounced(s.Name))
	}
	require.Len(f, f.c.Announced, len(f.told))
	require.Equal(f, got.Announce.Name, f.c.Announced[len(f.c.Announced)-1])
	if len(left) == 0 {
		require.True(f, got.Next.IsZero(), "nothing is left")
	} else {
		require.Equal(f, left[0].At, got.Next, "the first that is left")
	}
	again := f.c.Flag(f.cad, f.now)
	require.Empty(f, again.Announce.Name, "what was announced is not due any more")
	require.Empty(f, again.Skipped)
}

func TestEveryStageOfACycleIsToldAtMostOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := newFlagged(t)
		t.Repeat(map[string]func(*rapid.T){
			"a sweep": func(*rapid.T) { f.sweep() },
			"time passes": func(t *rapid.T) {
				f.now = f.now.Add(time.Duration(rapid.Int64Range(0, int64(30*day)).Draw(t, "passes")).Truncate(time.Microsecond))
			},
			"all is down": func(t *rapid.T) {
				f.now = f.now.Add(time.Duration(rapid.IntRange(1, 300).Draw(t, "days")) * day)
			},
			"the stage comes": func(*rapid.T) {
				if f.c.NextStageAt.After(f.now) {
					f.now = f.c.NextStageAt
				}
				f.sweep()
			},
			"renew": func(*rapid.T) {
				if !f.c.Renewable(f.now) {
					return
				}
				f.cycle()
				clear(f.told)
				require.Empty(f, f.c.Announced, "a renewal re-arms every stage")
				require.False(f, f.due(), "a renewed consent is not reminded")
			},
			"the provider says another expiry": func(t *rapid.T) {
				if !f.c.LiveAt(f.now) {
					return // it is not asked any more
				}
				at := f.c.ConsentedAt.Add(time.Duration(rapid.Int64Range(-int64(5*day), int64(400*day)).Draw(t, "life")).Truncate(time.Microsecond))
				f.c.ExpiresAt, f.c.ExpirySource = at, consent.FromProvider
				f.c.Reschedule(f.cad, f.policy, time.Time{})
			},
			"the bank ends it": func(*rapid.T) {
				if f.c.End(f.now, "revoked") {
					f.c.Reschedule(f.cad, f.policy, f.now.Add(-time.Microsecond))
				}
			},
		})
	})
}

// TestWhateverTheMomentsOfItsSweepsNoStageIsLost: what is due between two sweeps
// is announced or recorded by the second, and nothing is left out in the end.
func TestWhateverTheMomentsOfItsSweepsNoStageIsLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := newFlagged(t)
		if rapid.Bool().Draw(t, "ends early") && f.c.End(f.now, "revoked") {
			f.c.Reschedule(f.cad, f.policy, f.now.Add(-time.Microsecond))
		}
		for range rapid.IntRange(0, 20).Draw(t, "sweeps") {
			f.now = f.now.Add(time.Duration(rapid.Int64Range(0, int64(60*day)).Draw(t, "pause")).Truncate(time.Microsecond))
			f.sweep()
		}
		f.now = f.now.Add(2000 * day)
		f.sweep()
		require.True(t, f.c.NextStageAt.IsZero())
		if f.c.LapsesAt.IsZero() {
			require.Empty(t, f.told)
			return
		}
		for _, s := range f.cad.Times(&f.c) {
			// What comes due in the moment of the visit itself is told with the
			// next one; where there is none it is nobody's.
			if s.At.After(f.c.ConsentedAt) {
				require.Equal(t, 1, f.told[s.Name], "%s at %s, consented at %s", s.Name, s.At, f.c.ConsentedAt)
			}
		}
	})
}

func TestADailySweepAnnouncesEachStageOfTheDefaultCadenceByItself(t *testing.T) {
	start := time.Date(2027, 1, 10, 8, 0, 0, 0, time.UTC)
	policy := consent.Policy{RenewalWindow: 90 * day}
	c := consent.Consent{UserID: "u", Cycle: 1, ConsentedAt: start, ExpiresAt: start.Add(90 * day)}
	c.Reschedule(consent.DefaultCadence(), policy, start)
	var told []string
	for now := start; now.Before(start.Add(200 * day)); now = now.Add(day) {
		if c.NextStageAt.IsZero() || c.NextStageAt.After(now) {
			continue
		}
		f := c.Flag(consent.DefaultCadence(), now)
		assert.Empty(t, f.Skipped)
		c.Apply(f, now)
		told = append(told, f.Announce.Name)
	}
	assert.Equal(t, consent.DefaultCadence().Names(), told)
}

func TestFlag(t *testing.T) {
	start := time.Date(2027, 1, 10, 8, 0, 0, 0, time.UTC)
	lapse := start.Add(90 * day)
	life := func(change func(*consent.Consent)) consent.Consent {
		c := consent.Consent{UserID: "u", Cycle: 1, ConsentedAt: start, ExpiresAt: lapse}
		if change != nil {
			change(&c)
		}
		c.Reschedule(consent.DefaultCadence(), consent.Policy{RenewalWindow: 90 * day}, start)
		return c
	}
	announced := func(names ...string) func(*consent.Consent) {
		return func(c *consent.Consent) { c.Announced = names }
	}
	for _, tt := range []struct {
		name     string
		c        consent.Consent
		now      time.Time
		announce string
		skipped  []string
		next     time.Time
	}{
		{"nothing is due yet", life(nil), start.Add(59 * day), "", nil, lapse.Add(-30 * day)},
		{"a microsecond before a stage", life(nil), lapse.Add(-30*day - time.Microsecond), "", nil, lapse.Add(-30 * day)},
		{"the instant of a stage", life(nil), lapse.Add(-30 * day), "before_30d", nil, lapse.Add(-7 * day)},
		{"the instant of the expiry", life(announced("before_30d", "before_7d", "before_1d")), lapse, "lapse", nil, lapse.Add(7 * day)},
		{"a microsecond before the expiry", life(announced("before_30d", "before_7d")), lapse.Add(-time.Microsecond), "before_1d", nil, lapse},
		{"after a downtime only the most urgent", life(nil), lapse.Add(time.Hour), "lapse", []string{"before_30d", "before_7d", "before_1d"}, lapse.Add(7 * day)},
		{"what was announced before the downtime is not skipped", life(announced("before_30d")), lapse.Add(time.Hour), "lapse", []string{"before_7d", "before_1d"}, lapse.Add(7 * day)},
		{"all of it at the end", life(nil), lapse.Add(90 * day), "window_end",
			[]string{"before_30d", "before_7d", "before_1d", "lapse", "after_7d", "after_30d", "window_7d"}, time.Time{}},
		{"nothing is left", life(announced(consent.DefaultCadence().Names()...)), lapse.Add(200 * day), "", nil, time.Time{}},
		{"an early end has no before", life(func(c *consent.Consent) { c.EndedAt = start.Add(5 * day) }), start.Add(5 * day), "lapse", nil, start.Add(12 * day)},
		{"an early end after a reminder", life(func(c *consent.Consent) { c.EndedAt, c.Announced = start.Add(65*day), []string{"before_30d"} }), start.Add(66 * day), "lapse", nil, start.Add(72 * day)},
		{"an expiry at the moment of the visit", life(func(c *consent.Consent) { c.ExpiresAt = start }), start, "lapse", nil, start.Add(7 * day)},
		{"a lapse that was announced and then moved away is not announced again",
			life(func(c *consent.Consent) {
				c.ExpiresAt, c.Announced = lapse.Add(30*day), []string{"before_30d", "before_7d", "before_1d", "lapse"}
			}),
			lapse.Add(31 * day), "", nil, lapse.Add(37 * day)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := tt.c.Flag(consent.DefaultCadence(), tt.now)
			assert.Empty(t, f.Parked)
			assert.Equal(t, tt.announce, f.Announce.Name)
			var skipped []string
			for _, s := range f.Skipped {
				skipped = append(skipped, s.Name)
			}
			assert.Equal(t, tt.skipped, skipped)
			assert.Equal(t, tt.next, f.Next)
			before := slices.Clone(tt.c.Announced)
			c := tt.c
			c.Apply(f, tt.now)
			assert.Equal(t, before, tt.c.Announced, "a copy's list is its own")
			assert.Equal(t, tt.next, c.NextStageAt)
		})
	}
}

func TestAnExpiryInTheYear9999IsJudgedLikeAnyOther(t *testing.T) {
	start := time.Date(2027, 1, 10, 8, 0, 0, 0, time.UTC)
	lapse := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	c := consent.Consent{UserID: "u", Cycle: 1, ConsentedAt: start, ExpiresAt: lapse}
	c.Reschedule(consent.DefaultCadence(), consent.Policy{RenewalWindow: 90 * day}, start)
	assert.Equal(t, lapse.Add(-30*day), c.NextStageAt)
	f := c.Flag(consent.DefaultCadence(), start.Add(1000*day))
	assert.Empty(t, f.Parked)
	assert.Empty(t, f.Announce.Name)
	assert.Equal(t, lapse.Add(-30*day), f.Next)
	f = c.Flag(consent.DefaultCadence(), lapse.Add(-30*day))
	assert.Equal(t, "before_30d", f.Announce.Name)
	assert.Equal(t, lapse.Add(-7*day), f.Next)
	assert.Equal(t, lapse, c.RenewableUntil, "a window closes when RFC 3339 does")
	f = c.Flag(consent.DefaultCadence(), lapse)
	assert.Empty(t, f.Parked)
	assert.Equal(t, "window_end", f.Announce.Name)
	c.Custody = consent.CustodyOurs
	c.Recheck(30*day, start)
	assert.False(t, c.NextCheckAt.IsZero())
}

func TestWhatCannotBeJudgedIsParkedWithItsReason(t *testing.T) {
	start := time.Date(2027, 1, 10, 8, 0, 0, 0, time.UTC)
	now := start.Add(70 * day)
	for want, broken := range map[string]func(*consent.Consent){
		consent.ParkedNoUser: func(c *consent.Consent) { c.UserID = "" },
		consent.ParkedNoLapse: func(c *consent.Consent) {
			c.LapsesAt, c.LapsingAt, c.RenewableUntil = time.Time{}, time.Time{}, time.Time{}
		},
		consent.ParkedBackwards:  func(c *consent.Consent) { c.ConsentedAt = c.LapsesAt.Add(time.Microsecond) },
		consent.ParkedUnreadable: func(c *consent.Consent) { c.LapsingAt = c.LapsesAt.Add(time.Microsecond) },
		consent.ParkedUnreadable + " window": func(c *consent.Consent) {
			c.RenewableUntil = c.LapsesAt.Add(-time.Microsecond)
		},
	} {
		t.Run(want, func(t *testing.T) {
			c := consent.Consent{UserID: "u", Cycle: 1, ConsentedAt: start, ExpiresAt: start.Add(90 * day)}
			c.Reschedule(consent.DefaultCadence(), consent.Policy{RenewalWindow: 90 * day}, start)
			good := c
			broken(&c)
			f := c.Flag(consent.DefaultCadence(), now)
			assert.Equal(t, want[:len(f.Parked)], f.Parked)
			assert.NotEmpty(t, f.Parked)
			assert.Empty(t, f.Announce.Name)
			assert.Empty(t, f.Skipped)
			assert.Equal(t, now.Add(time.Hour), f.Next, "it is looked at again")

			c.Apply(f, now)
			assert.Equal(t, now, c.ParkedAt)
			assert.Equal(t, f.Parked, c.ParkedReason)
			assert.Empty(t, c.Announced)
			later := now.Add(2 * time.Hour)
			c.Apply(c.Flag(consent.DefaultCadence(), later), later)
			assert.Equal(t, now, c.ParkedAt, "since when it is parked stays on record")
			assert.Equal(t, later.Add(time.Hour), c.NextStageAt)

			// Mended, the next look ends the parking and loses nothing.
			c.UserID, c.ConsentedAt, c.LapsesAt, c.LapsingAt, c.RenewableUntil = good.UserID, good.ConsentedAt, good.LapsesAt, good.LapsingAt, good.RenewableUntil
			f = c.Flag(consent.DefaultCadence(), later)
			c.Apply(f, later)
			assert.Equal(t, "before_30d", f.Announce.Name)
			assert.True(t, c.ParkedAt.IsZero())
			assert.Empty(t, c.ParkedReason)
		})
	}
}

func TestParkSaysWhyAndLooksAgain(t *testing.T) {
	now := time.Date(2027, 1, 10, 8, 0, 0, 0, time.UTC)
	f := consent.Park(consent.ParkedNoSettings, now)
	assert.Equal(t, consent.Flag{Parked: consent.ParkedNoSettings, Next: now.Add(time.Hour)}, f)
}

func TestShortestGap(t *testing.T) {
	for _, tt := range []struct {
		names []string
		gap   time.Duration
		a, b  string
	}{
		{consent.DefaultCadence().Names(), day, "before_1d", "lapse"},
		{nil, 0, "", ""},
		{[]string{"lapse"}, 0, "", ""},
		{[]string{"lapse", "window_end"}, 0, "", ""},
		{[]string{"after_30d", "window_30d"}, 0, "", ""},
		{[]string{"before_1d", "before_12h"}, 12 * time.Hour, "before_1d", "before_12h"},
		{[]string{"lapse", "after_1h", "before_30d"}, time.Hour, "lapse", "after_1h"},
		{[]string{"before_30d", "lapse", "window_2d", "window_end"}, 2 * day, "window_2d", "window_end"},
	} {
		c, err := consent.ParseCadence(tt.names)
		require.NoError(t, err)
		gap, a, b := c.ShortestGap()
		assert.Equal(t, tt.gap, gap, "%v", tt.names)
		assert.Equal(t, []string{tt.a, tt.b}, []string{a, b}, "%v", tt.names)
	}
}

func TestNoTwoStagesAreNearerThanTheShortestGap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cad := cadences(t)
		gap, _, _ := cad.ShortestGap()
		var nearest time.Duration
		for i, a := range cad {
			for _, b := range cad[i+1:] {
				if d := (b.Offset - a.Offset).Abs(); a.Window == b.Window && (nearest == 0 || d < nearest) {
					nearest = d
				}
			}
		}
		require.Equal(t, nearest, gap)
	})
}

func TestRecheck(t *testing.T) {
	start := time.Date(2027, 1, 10, 8, 0, 0, 0, time.UTC)
	never := time.Time{}
	const idle = 30 * day
	for _, tt := range []struct {
		name     string
		idle     time.Duration
		lastUse  time.Time
		change   func(*consent.Consent)
		from, to time.Time // both zero: never
	}{
		{"half way to the idle limit", idle, start, nil, start.Add(15 * day), start.Add(20 * day)},
		{"a day before it is lapsing", 0, start, nil, start.Add(59 * day), start.Add(59*day + time.Hour)},
		{"a day before it lapses", 0, start.Add(59*day + 2*time.Hour), nil, start.Add(89 * day), start.Add(89*day + time.Hour)},
		{"not once it has lapsed", 0, start.Add(90 * day), nil, never, never},
		{"not after the lapse for the idle limit's sake", idle, start.Add(89*day + 2*time.Hour), nil, never, never},
		{"an hour after a refusal", idle, start, func(c *consent.Consent) { c.RefusedAt = start.Add(day) }, start.Add(day + time.Hour), start.Add(day + time.Hour + time.Minute)},
		{"an unknown lapse", idle, start, func(c *consent.Consent) { c.LapsesAt, c.LapsingAt = never, never }, start.Add(15 * day), start.Add(20 * day)},
		{"an unknown lapse and no limit", 0, start, func(c *consent.Consent) { c.LapsesAt, c.LapsingAt = never, never }, never, never},
		{"custody of the backend", idle, start, func(c *consent.Consent) { c.Custody = consent.CustodyBackend }, never, never},
		{"revoked", idle, start, func(c *consent.Consent) { c.RevokedAt = start }, never, never},
		{"pending", idle, start, func(c *consent.Consent) { c.Pending = true }, never, never},
		{"an early end", idle, start, func(c *consent.Consent) { c.LapsesAt, c.LapsingAt = start.Add(day), start.Add(day) }, never, never},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, id := range []string{"con_1", "con_2", "con_3", "", "con_ffffffff"} {
				c := consent.Consent{ID: id, UserID: "u", Custody: consent.CustodyOurs, ConsentedAt: start, ExpiresAt: start.Add(90 * day), NextCheckAt: start}
				c.Reschedule(consent.DefaultCadence(), consent.Policy{}, start)
				if tt.change != nil {
					tt.change(&c)
				}
				c.Recheck(tt.idle, tt.lastUse)
				if tt.from.IsZero() {
					assert.True(t, c.NextCheckAt.IsZero(), "%s", c.NextCheckAt)
					continue
				}
				assert.False(t, c.NextCheckAt.Before(tt.from), "%s is before %s", c.NextCheckAt, tt.from)
				assert.False(t, c.NextCheckAt.After(tt.to), "%s is after %s", c.NextCheckAt, tt.to)
			}
		})
	}
}

// A check is what refuses, so the moments that called for it are past by then.
func TestARefusedConsentIsAskedAboutAgainAfterAnHourAndNotBefore(t *testing.T) {
	start := time.Date(2027, 1, 10, 8, 0, 0, 0, time.UTC)
	for name, refused := range map[string]time.Time{
		"by the check half way to the idle limit":   start.Add(21 * day),
		"by the check a day before it is lapsing":   start.Add(59*day + 2*time.Hour),
		"by the check a day before it lapses":       start.Add(89*day + 2*time.Hour),
		"by somebody who asked before it was due":   start.Add(3 * day),
		"by somebody who asked as it was given":     start,
		"by the check that came two hours too late": start.Add(59*day + 3*time.Hour),
	} {
		t.Run(name, func(t *testing.T) {
			c := consent.Consent{ID: "con_1", UserID: "u", Custody: consent.CustodyOurs, ConsentedAt: start, ExpiresAt: start.Add(90 * day)}
			c.Reschedule(consent.DefaultCadence(), consent.Policy{}, start)
			c.RefusedAt = refused
			c.Recheck(30*day, start)
			assert.False(t, c.NextCheckAt.Before(refused.Add(time.Hour)), "%s, refused at %s", c.NextCheckAt, refused)
			assert.False(t, c.NextCheckAt.After(refused.Add(time.Hour+time.Minute)), "%s, refused at %s", c.NextCheckAt, refused)
		})
	}
}

func TestAnIdleTokenIsUsedLongBeforeItIsForgotten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLife(t)
		l.c.Pending, l.c.Custody, l.c.ID = false, consent.CustodyOurs, rapid.String().Draw(t, "id")
		idle := time.Duration(rapid.IntRange(1, 90).Draw(t, "idle")) * day
		lastUse := l.now.Add(time.Duration(rapid.IntRange(0, 300).Draw(t, "last use")) * time.Hour)
		if rapid.Bool().Draw(t, "refused") {
			l.c.RefusedAt = lastUse
		}
		l.c.Recheck(idle, lastUse)
		next := l.c.NextCheckAt
		if next.IsZero() {
			require.False(t, l.c.LapsesAt.IsZero(), "only what lapses before is left alone")
			require.False(t, l.c.LapsesAt.After(lastUse.Add(idle)))
			return
		}
		require.True(t, next.Before(lastUse.Add(idle)), "%s, last used %s, limit %s", next, lastUse, idle)
		require.True(t, next.After(lastUse), "%s, last used %s", next, lastUse)
		require.True(t, l.c.LapsesAt.IsZero() || next.Before(l.c.LapsesAt), "none that has lapsed is asked about")
	})
}

func TestSpreadIsAlwaysTheSameShare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := consent.Consent{ID: rapid.String().Draw(t, "id")}
		d := time.Duration(rapid.Int64Range(0, int64(400*day)).Draw(t, "d"))
		got := c.Spread(d)
		require.Equal(t, got, c.Spread(d))
		require.GreaterOrEqual(t, got, time.Duration(0))
		require.LessOrEqual(t, got, d)
	})
}

func TestABankIsOutWhenALargeShareOfItCannotBeAskedAbout(t *testing.T) {
	for _, tt := range []struct {
		h    consent.BankHealth
		want bool
	}{
		{consent.BankHealth{}, false},
		{consent.BankHealth{Total: 1, Failed: 1}, false},
		{consent.BankHealth{Total: 4, Failed: 4}, false},
		{consent.BankHealth{Total: 5, Failed: 5}, true},
		{consent.BankHealth{Total: 10, Failed: 5}, true},
		{consent.BankHealth{Total: 11, Failed: 5}, false},
		{consent.BankHealth{Total: 1000, Failed: 499}, false},
		{consent.BankHealth{Total: 1000, Failed: 500}, true},
		{consent.BankHealth{Total: 10, Refused: 10}, true},
		{consent.BankHealth{Total: 10, Refused: 3, Failed: 2}, true},
		{consent.BankHealth{Total: 11, Refused: 5}, false},
		{consent.BankHealth{Total: 10, Misconfigured: 10}, false},
	} {
		assert.Equal(t, tt.want, tt.h.BankOut(), "%+v", tt.h)
	}
}

func TestAProviderIsOutWhenALargeShareIsRefusedOrSeveralBanksFail(t *testing.T) {
	type banks = []consent.BankHealth
	for _, tt := range []struct {
		name  string
		banks banks
		want  bool
	}{
		{"nobody was asked about", nil, false},
		{"one of one is refused", banks{{Total: 1, Refused: 1}}, false},
		{"four of four are refused", banks{{Total: 4, Refused: 4}}, false},
		{"five of five are refused", banks{{Total: 5, Refused: 5}}, true},
		{"five of eleven are refused", banks{{Total: 11, Refused: 5}}, false},
		{"the settings are refused", banks{{Total: 8, Misconfigured: 5}}, true},
		{"refusals and settings count together", banks{{Total: 6, Refused: 3, Misconfigured: 2}}, true},
		{"a single bank fails: that is the bank", banks{{ProviderID: "a", Total: 20, Failed: 20}}, false},
		{"a single bank fails, another works", banks{{ProviderID: "a", Total: 20, Failed: 20}, {ProviderID: "b", Total: 5}}, false},
		{"two banks fail", banks{{ProviderID: "a", Total: 3, Failed: 3}, {ProviderID: "b", Total: 3, Failed: 2}}, true},
		{"two banks fail a little", banks{{ProviderID: "a", Total: 30, Failed: 3}, {ProviderID: "b", Total: 30, Failed: 3}}, false},
		{"small banks are refused together", banks{{Total: 2, Refused: 2}, {Total: 2, Refused: 2}, {Total: 2, Refused: 1}}, true},
	} {
		assert.Equal(t, tt.want, consent.ProviderOut(tt.banks), tt.name)
	}
}

func TestAnAlarmCoversWhatItIsAbout(t *testing.T) {
	con := consent.Consent{ApplicationID: "a", Provider: "p", ProviderID: "b"}
	for _, tt := range []struct {
		name  string
		alarm consent.Alarm
		want  bool
	}{
		{"the provider's", consent.Alarm{ApplicationID: "a", Kind: consent.AlarmProvider, Provider: "p"}, true},
		{"the bank's", consent.Alarm{ApplicationID: "a", Kind: consent.AlarmBank, Provider: "p", ProviderID: "b"}, true},
		{"another bank's", consent.Alarm{ApplicationID: "a", Kind: consent.AlarmBank, Provider: "p", ProviderID: "c"}, false},
		{"another provider's", consent.Alarm{ApplicationID: "a", Kind: consent.AlarmProvider, Provider: "q"}, false},
		{"another application's", consent.Alarm{ApplicationID: "z", Kind: consent.AlarmProvider, Provider: "p"}, false},
		{"one that is over", consent.Alarm{ApplicationID: "a", Kind: consent.AlarmProvider, Provider: "p", ClosedAt: time.Unix(1, 0)}, false},
		{"the mails'", consent.Alarm{ApplicationID: "a", Kind: consent.AlarmMails}, false},
		{"the mails', with a provider", consent.Alarm{ApplicationID: "a", Kind: consent.AlarmMails, Provider: "p"}, false},
	} {
		assert.Equal(t, tt.want, tt.alarm.Covers(&con), tt.name)
	}
}
