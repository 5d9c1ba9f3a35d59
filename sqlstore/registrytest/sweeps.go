package registrytest

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
)

// everything is a limit that no test reaches.
const everything = 10_000

var eras atomic.Int64

// era is a day that no other test has anything due in, long before zero, so
// that a batch with its cursor at the beginning of the day holds only rows of
// the one test.
type era struct{ start time.Time }

func newEra() era { return era{zero.Add(-time.Duration(1000+eras.Add(1)) * day)} }

func (e era) at(d time.Duration) time.Time { return e.start.Add(d) }

// noon is when sweeps of an era run.
func (e era) noon() time.Time { return e.at(day / 2) }

// due is all that fell due in the era by noon.
func (e era) due() consent.DueFilter {
	return consent.DueFilter{Now: e.noon(), After: consent.DueCursor{At: e.start, ID: "-"}, Limit: everything}
}

// addressed stores a user who can be told by e-mail.
func (w *world) addressed() consent.User {
	w.Helper()
	u, err := w.r.PutUser(w.Context(), w.user())
	require.NoError(w, err)
	return u
}

// dueAt stores a consent of a user, with a stage due.
func (w *world) dueAt(t time.Time, userID string, change ...func(*consent.Consent)) consent.Consent {
	w.Helper()
	return w.stored(append([]func(*consent.Consent){func(c *consent.Consent) {
		c.UserID, c.NextStageAt = userID, t
	}}, change...)...)
}

// listed returns the ids of what is due.
func (w *world) listed(d consent.DueFilter) []string {
	w.Helper()
	cs, err := w.r.Due(w.Context(), d)
	require.NoError(w, err)
	return ids(cs)
}

// own makes a judge of this test's consents into one that leaves all others as
// they are.
func (w *world) own(judge func(c *consent.Consent) consent.Judgement) func(c *consent.Consent) consent.Judgement {
	return func(c *consent.Consent) consent.Judgement {
		if c.ApplicationID != w.app.ID {
			return consent.Judgement{Flag: consent.Flag{Next: c.NextStageAt, Parked: c.ParkedReason}}
		}
		return judge(c)
	}
}

// flagged flags what is due and returns what became of this test's consents.
func (w *world) flagged(d consent.DueFilter, judge func(c *consent.Consent) consent.Judgement) []consent.Judged {
	w.Helper()
	all, err := w.r.Flag(w.Context(), d, w.own(judge))
	require.NoError(w, err)
	return slices.DeleteFunc(all, func(j consent.Judged) bool { return j.Consent.ApplicationID != w.app.ID })
}

// announce tells the user of a stage, with an event, and has the consent due
// again at next.
func announce(stage string, next time.Time) func(c *consent.Consent) consent.Judgement {
	return func(c *consent.Consent) consent.Judgement {
		e := event(consent.EventLapsing, map[string]any{"of": c.ID})
		e.Stage = stage
		return consent.Judgement{
			Flag:   consent.Flag{Announce: consent.StageTime{Stage: consent.Stage{Name: stage}, At: c.NextStageAt}, Next: next},
			Events: []consent.Event{e}, DigestID: name("dgt"),
		}
	}
}

var sweepTests = slices.Concat(dueTests, flagTests, digestTests, healthTests, sweepRaceTests)

var dueTests = []test{
	{"Due/one is parked where it cannot be written, unless it has moved", func(w *world) {
		e := newEra()
		first, second := w.dueAt(e.at(time.Hour), name("user")), w.dueAt(e.at(2*time.Hour), name("user"))
		flag := consent.Park(consent.ParkedUnwritable, e.noon())
		require.NoError(w, w.r.Park(w.Context(), first, flag, e.noon()))
		parked := w.look(first)
		assert.Equal(w, flag.Next, parked.NextStageAt)
		assert.Equal(w, consent.ParkedUnwritable, parked.ParkedReason)
		assert.Equal(w, e.noon(), parked.ParkedAt)
		moved := second
		moved.NextStageAt = e.at(time.Hour)
		for _, c := range []consent.Consent{first, moved, {ApplicationID: w.application().ID, ID: second.ID, NextStageAt: second.NextStageAt}} {
			require.ErrorIs(w, w.r.Park(w.Context(), c, flag, e.noon()), consent.ErrNotFound)
		}
		assert.Equal(w, parked, w.look(first))
		assert.Equal(w, second, w.look(second))
	}},
	{"Rearm/leaves what is due, parked, renewed or moved as it is", func(w *world) {
		e := newEra()
		now := e.noon()
		due := w.dueAt(e.at(time.Hour), name("user"))
		coming := w.dueAt(now.Add(day), name("user"))
		renewed, moved := coming, coming
		renewed.Cycle++
		moved.LapsesAt = moved.LapsesAt.Add(time.Second)
		for i, c := range []consent.Consent{due, renewed, moved, coming} {
			want := w.look(c)
			c.LapsingAt, c.NextStageAt = now.Add(2*day), now.Add(3*day)
			n, err := w.r.Rearm(w.Context(), w.app.ID, []consent.Consent{c}, now)
			require.NoError(w, err)
			if i == 0 {
				want.LapsingAt = c.LapsingAt
			}
			if i == 3 {
				want.LapsingAt, want.NextStageAt = c.LapsingAt, c.NextStageAt
			}
			assert.Equal(w, []int{1, 0, 0, 1}[i], n)
			assert.Equal(w, want, w.look(c))
		}
	}},
	{"Due/in order, page by page", func(w *world) {
		e := newEra()
		other := &world{T: w.T, r: w.r, app: w.application()}
		first, second := w.consent(), w.consent()
		late := w.dueAt(e.at(3*time.Hour), name("user"))
		foreign := other.dueAt(e.at(2*time.Hour), name("user"))
		for _, c := range []*consent.Consent{&second, &first} { // stored in another order than they are named
			*c = w.dueAt(e.at(2*time.Hour), c.UserID, func(n *consent.Consent) { n.ID = c.ID })
		}
		early := w.dueAt(e.at(time.Hour), name("user"))
		want := []string{early.ID, first.ID, second.ID, foreign.ID, late.ID}
		assert.Equal(w, want, w.listed(e.due()))
		for limit := 1; limit <= len(want); limit++ {
			got, d := []string{}, e.due()
			d.Limit = limit
			for {
				page, err := w.r.Due(w.Context(), d)
				require.NoError(w, err)
				if len(page) == 0 {
					break
				}
				require.LessOrEqual(w, len(page), limit)
				got = append(got, ids(page)...)
				last := page[len(page)-1]
				d.After = consent.DueCursor{At: last.NextStageAt, ApplicationID: last.ApplicationID, ID: last.ID}
			}
			assert.Equal(w, want, got, "%d at a time", limit)
		}
		d := e.due()
		d.After = consent.DueCursor{}
		assert.Subset(w, w.listed(d), want, "the first batch needs no cursor")
	}},
	{"Due/at its moment, not before, nor what has none", func(w *world) {
		e := newEra()
		c := w.dueAt(e.noon(), name("user"))
		w.dueAt(e.noon().Add(time.Microsecond), name("user"))
		w.dueAt(time.Time{}, name("user"))
		assert.Equal(w, []string{c.ID}, w.listed(e.due()))
		d := e.due()
		d.Now = d.Now.Add(-time.Microsecond)
		assert.Empty(w, w.listed(d))
		d.Now = e.noon().In(zones[1])
		assert.Equal(w, []string{c.ID}, w.listed(d), "in any zone")
	}},
	{"Due/not the revoked, not the pending", func(w *world) {
		e := newEra()
		w.revoked(w.dueAt(e.at(time.Hour), name("user")))
		l := w.unconfirmed(w.claimed(w.begun(nil)))
		l.Registration.Consent.NextStageAt = e.at(time.Hour)
		pending, err := w.r.Link(w.Context(), l)
		require.NoError(w, err)
		require.True(w, pending.Pending)
		assert.Empty(w, w.listed(e.due()))
		assert.Empty(w, w.flagged(e.due(), announce("before_7d", time.Time{})))
		assert.Equal(w, pending, w.look(pending))
	}},
	{"Due/nearest lapse", func(w *world) {
		e := newEra()
		var want []string
		for i := range 4 {
			c := w.dueAt(e.at(time.Duration(9-i)*time.Hour), name("user"), func(c *consent.Consent) { c.LapsesAt = at(time.Duration(i) * day) })
			want = append([]string{c.ID}, want...)
		}
		unknown := w.dueAt(e.at(10*time.Hour), name("user"), func(c *consent.Consent) { c.LapsesAt = time.Time{} })
		assert.Equal(w, append(slices.Clone(want), unknown.ID), w.listed(e.due()))
		d := e.due()
		d.Nearest = at(day)
		assert.Equal(w, want[2:], w.listed(d))
		d.Nearest = at(day - time.Microsecond)
		assert.Equal(w, want[3:], w.listed(d))
		d.Nearest, d.Limit = at(2*day), 2
		assert.Equal(w, want[1:3], w.listed(d))
	}},
	{"Due/with what a sweep judges by, and no more", func(w *world) {
		e := newEra()
		c := w.dueAt(e.at(time.Hour), name("user"), func(c *consent.Consent) { c.EndedAt = at(50 * day) })
		got, err := w.r.Due(w.Context(), e.due())
		require.NoError(w, err)
		require.Len(w, got, 1)
		assert.Equal(w, consent.Consent{
			ApplicationID: c.ApplicationID, ID: c.ID, UserID: c.UserID, Provider: c.Provider, ProviderID: c.ProviderID, Cycle: c.Cycle,
			ConsentedAt: c.ConsentedAt, ExpiresAt: c.ExpiresAt, EndedAt: c.EndedAt, LapsingAt: c.LapsingAt, LapsesAt: c.LapsesAt,
			RenewableUntil: c.RenewableUntil, NextStageAt: c.NextStageAt, Announced: c.Announced, Seq: c.Seq,
		}, got[0])
		for _, now := range []time.Time{at(0), at(62 * day), at(91 * day), at(200 * day)} {
			assert.Equal(w, c.Flag(w.app.Cadence, now), got[0].Flag(w.app.Cadence, now), "it is judged like the whole consent")
		}
		assert.Equal(w, c, w.look(c), "and nothing has changed")
		assert.Equal(w, []string{c.ID}, w.listed(e.due()))
	}},
}
