package consent_test

import (
	"slices"
	"testing"
	"time"
	_ "time/tzdata" // DST rules that do not depend on the machine

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/reconsent/reconsent/consent"
)

const day = 24 * time.Hour

// moments draws starts of lives, near what calendars do to clocks: both DST
// nights of zones on both hemispheres, leap days, ends of years and months.
func moments(t *rapid.T) time.Time {
	zone, err := time.LoadLocation(rapid.SampledFrom([]string{
		"UTC", "Europe/London", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu",
	}).Draw(t, "zone"))
	if err != nil {
		t.Fatal(err)
	}
	near := rapid.SampledFrom([]time.Time{
		time.Date(2027, 3, 28, 1, 30, 0, 0, zone), time.Date(2027, 10, 31, 2, 30, 0, 0, zone),
		time.Date(2026, 4, 5, 1, 59, 59, 999999000, zone), time.Date(2028, 2, 29, 0, 0, 0, 0, zone),
		time.Date(2027, 2, 28, 23, 59, 59, 0, zone), time.Date(2026, 12, 31, 23, 59, 59, 0, zone),
	}).Draw(t, "near")
	return near.Add(time.Duration(rapid.Int64Range(-int64(40*day), int64(40*day)).Draw(t, "off"))).Truncate(time.Microsecond)
}

func cadences(t *rapid.T) consent.Cadence {
	names := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{
		"before_60d", "before_30d", "before_7d", "before_1d", "before_12h", "lapse", "after_1h", "after_7d", "after_30d",
		"window_30d", "window_7d", "window_1d", "window_end",
	}), 0, 13, rapid.ID[string]).Draw(t, "cadence")
	c, err := consent.ParseCadence(names)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func policies(t *rapid.T) consent.Policy {
	return consent.Policy{
		Validity:      time.Duration(rapid.IntRange(0, 400).Draw(t, "validity")) * day,
		RenewalWindow: time.Duration(rapid.IntRange(0, 200).Draw(t, "window")) * day,
	}
}

// life is a consent and the clock that it lives by.
type life struct {
	*rapid.T
	c      consent.Consent
	cad    consent.Cadence
	policy consent.Policy
	now    time.Time
}

func newLife(t *rapid.T) *life {
	l := &life{T: t, cad: cadences(t), policy: policies(t), now: moments(t)}
	l.c = consent.Consent{CreatedAt: l.now, Pending: rapid.Bool().Draw(t, "pending")}
	l.cycle()
	return l
}

// cycle is what a trip to the bank does.
func (l *life) cycle() {
	pending := l.c.Pending && l.c.Cycle == 0
	l.c.NextCycle(l.now)
	l.c.Pending = pending
	var says time.Time
	if rapid.Bool().Draw(l.T, "provider says") {
		says = l.now.Add(time.Duration(rapid.Int64Range(0, int64(400*day)).Draw(l.T, "for")))
	}
	l.c.ExpiresAt, l.c.ExpirySource = l.policy.Forecast(says, l.c.ConsentedAt)
	l.c.Reschedule(l.cad, l.policy, l.now)
}

func order(s consent.Status) int { return slices.Index(consent.Statuses(), s) }

// hold asserts what is true of every consent at every moment.
func (l *life) hold() {
	c := l.c
	status := c.Status(l.now)
	require.Contains(l, consent.Statuses(), status)

	switch {
	case !c.RevokedAt.IsZero():
		require.Equal(l, consent.Revoked, status)
	case c.Pending:
		require.Equal(l, consent.Pending, status)
	}
	require.Equal(l, status == consent.Active || status == consent.Lapsing || status == consent.Lapsed, c.Renewable(l.now))

	// Where nobody said anything, nothing is invented.
	require.Equal(l, c.ExpiresAt.IsZero() && c.EndedAt.IsZero(), c.LapsesAt.IsZero())
	if c.LapsesAt.IsZero() {
		require.True(l, c.LapsingAt.IsZero() && c.RenewableUntil.IsZero() && c.NextStageAt.IsZero())
		return
	}
	require.False(l, c.LapsingAt.After(c.LapsesAt))
	require.False(l, !c.ExpiresAt.IsZero() && c.LapsesAt.After(c.ExpiresAt), "an early end only brings the lapse forward")
	require.False(l, c.LapsingAt.Before(c.ConsentedAt) && c.LapsesAt.After(c.ConsentedAt), "a consent is not born lapsing")
	require.LessOrEqual(l, c.LapsesAt.Sub(c.LapsingAt), max(c.LapsesAt.Sub(c.ConsentedAt), 0)/3, "the lead is at most a third of the life")
	if l.policy.RenewalWindow > 0 {
		// A window is a length of time: 90 days are 90 x 24 hours, also over a DST night.
		require.Equal(l, l.policy.RenewalWindow, c.RenewableUntil.Sub(c.LapsesAt))
	} else {
		require.True(l, c.RenewableUntil.IsZero(), "an unknown window never closes")
	}
	l.holdStages()
	l.holdBounds()
}

// holdStages: what is announced is what the status says at that moment.
func (l *life) holdStages() {
	c := l.c
	alive := c
	alive.Pending, alive.RevokedAt = false, time.Time{}
	var last time.Time
	for _, s := range l.cad.Times(&c) {
		require.False(l, s.At.Before(last), "stages come in order")
		require.False(l, s.At.Before(c.ConsentedAt), "a stage before the cycle began is skipped")
		last = s.At
		want := map[consent.EventType][]consent.Status{
			consent.EventLapsing:     {consent.Lapsing, consent.Lapsed, consent.Unrenewable}, // later ones where a life is shorter than a stage is fine
			consent.EventLapsed:      {consent.Lapsed, consent.Unrenewable},
			consent.EventUnrenewable: {consent.Unrenewable},
		}[s.Event()]
		require.Contains(l, want, alive.Status(s.At), s.Name)
	}
}

// holdBounds: a status changes at its bound and not a microsecond before, and
// in any zone's clothes.
func (l *life) holdBounds() {
	c := l.c
	c.Pending, c.RevokedAt = false, time.Time{}
	for _, b := range []struct {
		at   time.Time
		from consent.Status
	}{{c.LapsingAt, consent.Lapsing}, {c.LapsesAt, consent.Lapsed}, {c.RenewableUntil, consent.Unrenewable}} {
		if b.at.IsZero() {
			continue
		}
		require.GreaterOrEqual(l, order(c.Status(b.at)), order(b.from))
		require.Less(l, order(c.Status(b.at.Add(-time.Microsecond))), order(b.from))
		require.Equal(l, c.Status(b.at.UTC()), c.Status(b.at.In(time.FixedZone("far", 14*3600))))
	}
}

// TestRandomLives lets consents be renewed early, late and never, ended by the
// bank, revoked and confirmed, and looks at them after every step.
func TestRandomLives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLife(t)
		t.Repeat(map[string]func(*rapid.T){
			"": func(*rapid.T) { l.hold() },
			"time passes": func(t *rapid.T) {
				before, status := l.now, l.c.Status(l.now)
				l.now = l.now.Add(time.Duration(rapid.Int64Range(0, int64(120*day)).Draw(t, "passes")))
				require.GreaterOrEqual(t, order(l.c.Status(l.now)), order(status), "by itself a status only moves on: %s to %s", before, l.now)
			},
			"to a bound": func(t *rapid.T) {
				bounds := []time.Time{l.c.LapsingAt, l.c.LapsesAt, l.c.RenewableUntil, l.c.NextStageAt}
				if b := rapid.SampledFrom(bounds).Draw(t, "bound"); b.After(l.now) {
					l.now = b
				}
			},
			"renew": func(t *rapid.T) {
				if !l.c.Renewable(l.now) {
					return
				}
				cycle := l.c.Cycle
				l.cycle()
				require.Equal(t, cycle+1, l.c.Cycle)
				require.True(t, l.c.EndedAt.IsZero() && l.c.RefusedAt.IsZero() && l.c.EndedReason == "", "a renewal forgets an early end")
				require.False(t, !l.c.NextStageAt.IsZero() && !l.c.NextStageAt.After(l.now), "a renewal re-arms only what is to come")
			},
			"confirm": func(*rapid.T) { l.c.Pending = false },
			"revoke":  func(*rapid.T) { l.c.RevokedAt = l.now },
			"the bank ends it": func(t *rapid.T) {
				lapsed := !l.c.LapsesAt.IsZero() && !l.now.Before(l.c.LapsesAt)
				before := l.c
				ended := l.c.End(l.now, "access_denied")
				l.c.Reschedule(l.cad, l.policy, l.now.Add(-time.Microsecond))
				if lapsed {
					require.False(t, ended, "what has lapsed cannot end early")
					return
				}
				require.True(t, ended)
				require.True(t, l.c.EndedEarly())
				require.Equal(t, l.now, l.c.LapsesAt)
				require.Equal(t, before.ExpiresAt, l.c.ExpiresAt, "the forecast stays on record")
			},
			"the bank refuses": func(t *rapid.T) {
				first := l.c.RefusedAt
				definite := l.c.Refused(l.now)
				require.Equal(t, !first.IsZero() && l.now.Sub(first) >= time.Hour, definite)
			},
		})
	})
}

func TestNextStageIsTheFirstOneLater(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLife(t)
		after := l.now.Add(time.Duration(rapid.Int64Range(-int64(10*day), int64(500*day)).Draw(t, "after")))
		l.c.Reschedule(l.cad, l.policy, after)
		var want time.Time
		for _, s := range l.cad.Times(&l.c) {
			if s.At.After(after) {
				want = s.At
				break
			}
		}
		if l.c.LapsesAt.IsZero() {
			want = time.Time{}
		}
		require.Equal(t, want, l.c.NextStageAt)
	})
}

func TestTheDefaultCadenceOverANinetyDayLife(t *testing.T) {
	c := consent.Consent{ConsentedAt: time.Date(2027, 1, 10, 8, 0, 0, 0, time.UTC)}
	p := consent.Policy{Validity: 90 * day, RenewalWindow: 90 * day}
	c.ExpiresAt, c.ExpirySource = p.Forecast(time.Time{}, c.ConsentedAt)
	c.Reschedule(consent.DefaultCadence(), p, c.ConsentedAt)
	var got []string
	for _, s := range consent.DefaultCadence().Times(&c) {
		got = append(got, s.At.Format(time.DateOnly)+" "+s.Name+" "+string(s.Event()))
	}
	assert.Equal(t, []string{
		"2027-03-11 before_30d consent.lapsing", "2027-04-03 before_7d consent.lapsing", "2027-04-09 before_1d consent.lapsing",
		"2027-04-10 lapse consent.lapsed", "2027-04-17 after_7d consent.lapsed", "2027-05-10 after_30d consent.lapsed",
		"2027-07-02 window_7d consent.lapsed", "2027-07-09 window_end consent.unrenewable",
	}, got)
	assert.Equal(t, consent.FromPolicy, c.ExpirySource)
}

func TestAShortLifeIsLapsingForAThirdOfIt(t *testing.T) {
	c := consent.Consent{ConsentedAt: time.Date(2028, 2, 28, 0, 0, 0, 0, time.UTC), ExpiresAt: time.Date(2028, 3, 1, 0, 0, 0, 0, time.UTC)}
	c.Reschedule(consent.DefaultCadence(), consent.Policy{}, c.ConsentedAt)
	assert.Equal(t, 16*time.Hour, c.LapsesAt.Sub(c.LapsingAt), "2028 has a 29th of February: two days")
	assert.Equal(t, c.LapsingAt, c.NextStageAt)
}

func TestAnEarlyEndIsAnnouncedWithoutAnyBefore(t *testing.T) {
	start := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	c := consent.Consent{ConsentedAt: start, ExpiresAt: start.Add(90 * day)}
	p := consent.Policy{RenewalWindow: 90 * day}
	c.Reschedule(consent.DefaultCadence(), p, start)
	now := start.Add(10 * day)
	require.True(t, c.End(now, "access_denied"))
	c.Reschedule(consent.DefaultCadence(), p, now.Add(-time.Microsecond))
	assert.Equal(t, consent.Lapsed, c.Status(now))
	assert.Equal(t, now, c.NextStageAt)
	assert.Equal(t, "lapse", consent.DefaultCadence().Times(&c)[0].Name)
	assert.Equal(t, now.Add(90*day), c.RenewableUntil)
	assert.False(t, c.End(now.Add(time.Hour), "again"))
}

func TestParseCadence(t *testing.T) {
	c, err := consent.ParseCadence([]string{"window_end", "after_7d", "before_1h", "lapse", "window_7d", "before_30d"})
	require.NoError(t, err)
	assert.Equal(t, []string{"before_30d", "before_1h", "lapse", "after_7d", "window_7d", "window_end"}, c.Names())

	for _, tt := range []struct {
		names []string
		want  string
	}{
		{[]string{"before_30d", "before_30d"}, "twice"},
		{[]string{"before_24h", "before_1d"}, "twice"},
		{[]string{"window_end", "window_end"}, "twice"},
		{[]string{"before_0d"}, "want 1 to 730 days"},
		{[]string{"before_-1d"}, "want 1 to 730 days"},
		{[]string{"before_731d"}, "want 1 to 730 days"},
		{[]string{"after_99999999999999999999d"}, "want 1 to 730 days"},
		{[]string{"before_17521h"}, "want 1 to 730 days"},
		{[]string{"before_d"}, "want 1 to 730 days"},
		{[]string{""}, "want before_<n>d"},
		{[]string{"before"}, "want before_<n>d"},
		{[]string{"before_3w"}, "want before_<n>d"},
		{[]string{"during_3d"}, "want before_<n>d"},
		{[]string{"Lapse"}, "want before_<n>d"},
	} {
		_, err := consent.ParseCadence(tt.names)
		assert.ErrorContains(t, err, tt.want, "%q", tt.names)
	}
}

func FuzzParseCadence(f *testing.F) {
	for _, name := range []string{"before_30d", "lapse", "window_end", "after_1h", "before_", "_d"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		c, err := consent.ParseCadence([]string{name})
		if err != nil {
			return
		}
		again, err := consent.ParseCadence(c.Names())
		require.NoError(t, err)
		assert.Equal(t, c, again)
		assert.LessOrEqual(t, c[0].Offset.Abs(), 730*day)
	})
}

func TestSharesAccount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.Map(rapid.SliceOfDistinct(rapid.StringN(0, 3, 3), rapid.ID[string]), func(s []string) []string { slices.Sort(s); return s })
		known, seen := list.Draw(t, "known"), list.Draw(t, "seen")
		want := len(known) == 0 || slices.ContainsFunc(known, func(s string) bool { return slices.Contains(seen, s) })
		require.Equal(t, want, consent.SharesAccount(known, seen))
	})
}

func TestAnAttemptExpiresByItself(t *testing.T) {
	at := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	a := consent.Attempt{Status: consent.AttemptStarted, ExpiresAt: at}
	assert.Equal(t, consent.AttemptStarted, a.StatusAt(at.Add(-time.Microsecond)))
	assert.Equal(t, consent.AttemptExpired, a.StatusAt(at))
	a.Status = consent.AttemptClaimed
	assert.Equal(t, consent.AttemptClaimed, a.StatusAt(at), "who came back in time is not turned away half way")
}
