package registrytest

import (
	"context"
	"slices"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
)

var flagTests = []test{
	{"Flag/times, stages, events, notice and digest in one step", func(w *world) {
		e := newEra()
		u := w.addressed()
		c := w.dueAt(e.at(time.Hour), u.ID)
		j := announce("before_1d", at(90*day))(&c)
		j.Flag.Skipped = []consent.StageTime{{Stage: consent.Stage{Name: "before_7d"}}}
		second := event(consent.EventUserUnreachable, map[string]any{"n": "2"})
		j.Events = append(j.Events, second)
		got := w.flagged(e.due(), func(seen *consent.Consent) consent.Judgement {
			assert.Equal(w, c.ID, seen.ID)
			return j
		})
		require.Len(w, got, 1)
		assert.Equal(w, c.ID, got[0].Consent.ID)
		assert.Equal(w, c.NextStageAt, got[0].Consent.NextStageAt, "as it was")
		assert.Equal(w, c.Announced, got[0].Consent.Announced)
		assert.Equal(w, j.Flag, got[0].Flag)
		assert.Equal(w, j.DigestID, got[0].DigestID)

		want := c
		want.NextStageAt, want.Seq, want.Announced = at(90*day), c.Seq+2, []string{"before_30d", "before_7d", "before_1d"}
		assert.Equal(w, want, w.look(c), "and nothing else")
		assert.Equal(w, []consent.EventType{consent.EventLinked, consent.EventLapsing, consent.EventUserUnreachable}, w.history(c))
		events, err := w.r.Events(w.Context(), w.app.ID, c.ID, 1, 10)
		require.NoError(w, err)
		for i, e := range j.Events {
			e.ApplicationID, e.ConsentID, e.Seq, e.Cycle = w.app.ID, c.ID, int64(i+2), c.Cycle
			assert.Equal(w, e, events[i])
		}
		assert.Equal(w, consent.Digest{
			ApplicationID: w.app.ID, ID: j.DigestID, UserID: u.ID, Channel: consent.ChannelEmail, State: consent.DigestOpen,
			CreatedAt: e.noon(), DueAt: e.noon(),
		}, w.digest(j.DigestID))
		_, notices := w.frozen(w.digest(j.DigestID), e.noon())
		assert.Equal(w, []consent.Notice{{
			ApplicationID: w.app.ID, ConsentID: c.ID, Cycle: 1, Stage: "before_1d", Channel: consent.ChannelEmail,
			DigestID: j.DigestID, Outcome: consent.OutcomeWaiting,
		}}, notices)
		assert.Empty(w, w.listed(e.due()), "it is due no more")
	}},
	{"Flag/nothing to say leaves nothing", func(w *world) {
		e := newEra()
		c := w.dueAt(e.at(time.Hour), w.addressed().ID)
		got := w.flagged(e.due(), func(*consent.Consent) consent.Judgement { return consent.Judgement{} })
		require.Len(w, got, 1)
		want := c
		want.NextStageAt = time.Time{}
		assert.Equal(w, want, w.look(c))
		assert.Len(w, w.history(c), 1)
		assert.Empty(w, w.flagged(e.due(), announce("before_7d", time.Time{})))
	}},
	{"Flag/what is left as it is stays due", func(w *world) {
		e := newEra()
		c := w.dueAt(e.at(time.Hour), w.addressed().ID)
		w.flagged(e.due(), func(c *consent.Consent) consent.Judgement {
			return consent.Judgement{Flag: consent.Flag{Next: c.NextStageAt}}
		})
		assert.Equal(w, c, w.look(c))
		assert.Equal(w, []string{c.ID}, w.listed(e.due()))
	}},
	{"Flag/an event without data is like any other", func(w *world) {
		e := newEra()
		c := w.dueAt(e.at(time.Hour), name("user"))
		w.flagged(e.due(), func(*consent.Consent) consent.Judgement {
			return consent.Judgement{Events: []consent.Event{event(consent.EventLapsed, nil)}}
		})
		events, err := w.r.Events(w.Context(), w.app.ID, c.ID, 0, 10)
		require.NoError(w, err)
		require.Len(w, events, 2)
		assert.Equal(w, events[0].Data, events[1].Data)
	}},
	{"Flag/text of any kind", func(w *world) {
		for _, s := range []string{`{a,"b"}\`, "NULL", "'; DROP TABLE notices; --", "Žižkov 銀行 🏦", "<b>&", " ", "line\nbreak\ttab", "[1]", "007"} {
			e := newEra()
			u := w.user()
			u.ID = s
			_, err := w.r.PutUser(w.Context(), u)
			require.NoError(w, err)
			c := w.dueAt(e.at(time.Hour), s)
			got := w.flagged(e.due(), func(c *consent.Consent) consent.Judgement {
				j := announce("before_7d", time.Time{})(c)
				j.Events[0].Data = map[string]any{s: s, "nul \x00": "a\x00b", "deep": []any{map[string]any{"k": nil}}}
				return j
			})
			require.Len(w, got, 1)
			assert.Equal(w, s, got[0].Consent.UserID)
			assert.Equal(w, s, w.digest(got[0].DigestID).UserID)
			_, notices := w.frozen(w.digest(got[0].DigestID), e.noon())
			assert.Len(w, notices, 1)
			events, err := w.r.Events(w.Context(), w.app.ID, c.ID, 1, 10)
			require.NoError(w, err)
			require.Len(w, events, 1)
			assert.Equal(w, s, events[0].Data[s])
			assert.Equal(w, "a\x00b", events[0].Data["nul \x00"])
			assert.Equal(w, []any{map[string]any{"k": nil}}, events[0].Data["deep"])
		}
	}},
	{"Flag/in batches, from where the last one ended", func(w *world) {
		e := newEra()
		user := w.addressed().ID
		want := []string{}
		for i := range 7 {
			want = append(want, w.dueAt(e.at(time.Duration(i)*time.Minute), user).ID)
		}
		d, got := e.due(), []string{}
		d.Limit = 3
		for _, size := range []int{3, 3, 1, 0} {
			batch := w.flagged(d, func(c *consent.Consent) consent.Judgement {
				return consent.Judgement{Flag: consent.Flag{Next: c.NextStageAt}} // due still, but behind the cursor
			})
			require.Len(w, batch, size)
			for _, j := range batch {
				got = append(got, j.Consent.ID)
				d.After = consent.DueCursor{At: j.Consent.NextStageAt, ApplicationID: j.Consent.ApplicationID, ID: j.Consent.ID}
			}
		}
		assert.Equal(w, want, got)
	}},
	{"Flag/nearest lapse first", func(w *world) {
		e := newEra()
		far := w.dueAt(e.at(time.Hour), name("user"))
		near := w.dueAt(e.at(2*time.Hour), name("user"), func(c *consent.Consent) { c.LapsesAt = at(day) })
		d := e.due()
		d.Nearest = at(2 * day)
		got := w.flagged(d, announce("before_1d", time.Time{}))
		require.Len(w, got, 1)
		assert.Equal(w, near.ID, got[0].Consent.ID)
		assert.Equal(w, []string{far.ID}, w.listed(e.due()))
	}},
	{"Flag/one message a user, which those that follow join", func(w *world) {
		e := newEra()
		ada, bob := w.addressed(), w.addressed()
		var want []string
		for i := range 3 {
			want = append(want, w.dueAt(e.at(time.Duration(i)*time.Minute), ada.ID).ID+"/1/before_7d")
		}
		w.dueAt(e.at(time.Hour), bob.ID)
		digests := map[string][]consent.Digest{}
		for _, j := range w.flagged(e.due(), announce("before_7d", time.Time{})) {
			if d, err := w.lookFor(w.app.ID, j.DigestID); err == nil {
				digests[d.UserID] = append(digests[d.UserID], d)
			}
		}
		require.Len(w, digests[ada.ID], 1)
		require.Len(w, digests[bob.ID], 1)

		late := newEra()
		want = append(want, w.dueAt(late.at(time.Hour), ada.ID).ID+"/1/lapse")
		for _, j := range w.flagged(late.due(), announce("lapse", time.Time{})) {
			w.noDigest(j.DigestID)
		}
		first := digests[ada.ID][0]
		assert.Equal(w, first, w.digest(first.ID), "joining moves nothing")
		first, notices := w.frozen(first, e.noon())
		slices.Sort(want)
		assert.Equal(w, want, told(notices))

		after := newEra()
		c := w.dueAt(after.at(time.Hour), ada.ID)
		got := w.flagged(after.due(), announce("after_7d", time.Time{}))
		require.Len(w, got, 1)
		assert.Equal(w, consent.DigestOpen, w.digest(got[0].DigestID).State, "what is frozen takes nothing along")
		_, notices = w.frozen(w.digest(got[0].DigestID), e.noon())
		assert.Equal(w, []string{c.ID + "/1/after_7d"}, told(notices))
		_, notices = w.frozen(first, e.noon().Add(day))
		assert.Equal(w, want, told(notices))
	}},
	{"Flag/nobody to write to", func(w *world) {
		e := newEra()
		c := w.dueAt(e.at(time.Hour), name("user")) // known, but without an address
		got := w.flagged(e.due(), announce("before_7d", time.Time{}))
		require.Len(w, got, 1)
		w.noDigest(got[0].DigestID)
		assert.Equal(w, []consent.EventType{consent.EventLinked, consent.EventLapsing}, w.history(c), "the application hears of it")
		assert.Equal(w, []string{"before_30d", "before_7d"}, w.look(c).Announced)
	}},
	{"Flag/of a batch, each by its own judgement", func(w *world) {
		e := newEra()
		ada, silent := w.addressed(), w.addressed()
		a, b := w.dueAt(e.at(time.Minute), ada.ID), w.dueAt(e.at(2*time.Minute), name("user"))
		c, d := w.dueAt(e.at(3*time.Minute), silent.ID), w.dueAt(e.at(4*time.Minute), ada.ID)
		var digest string
		got := w.flagged(e.due(), func(x *consent.Consent) consent.Judgement {
			switch x.ID {
			case a.ID:
				j := announce("before_7d", at(day))(x)
				digest = j.DigestID
				return j
			case b.ID:
				return announce("before_7d", at(2*day))(x)
			case c.ID:
				j := announce("before_7d", at(3*day))(x)
				j.DigestID = ""
				return j
			}
			return consent.Judgement{Flag: consent.Park(consent.ParkedNoLapse, e.noon())}
		})
		require.Len(w, got, 4)
		_, notices := w.frozen(w.digest(digest), e.noon())
		assert.Equal(w, []string{a.ID + "/1/before_7d"}, told(notices))
		assert.Equal(w, []time.Time{at(day), at(2 * day), at(3 * day), e.noon().Add(time.Hour)},
			[]time.Time{w.look(a).NextStageAt, w.look(b).NextStageAt, w.look(c).NextStageAt, w.look(d).NextStageAt})
		assert.Len(w, w.history(c), 2)
		assert.Len(w, w.history(d), 1)
	}},
	{"Flag/a stage is told once in a cycle, and again in the next", func(w *world) {
		e, again, next := newEra(), newEra(), newEra()
		u := w.addressed()
		c := w.dueAt(e.at(time.Hour), u.ID)
		got := w.flagged(e.due(), announce("before_7d", again.at(time.Hour)))
		require.Len(w, got, 1)
		_, notices := w.frozen(w.digest(got[0].DigestID), e.noon())
		require.Len(w, notices, 1)
		// A sweep that forgot what it had announced.
		got = w.flagged(again.due(), announce("before_7d", time.Time{}))
		require.Len(w, got, 1)
		if d, err := w.lookFor(w.app.ID, got[0].DigestID); err == nil {
			_, notices = w.frozen(d, again.noon())
			assert.Empty(w, notices)
		}

		a := w.claimed(w.begun(&c))
		renew := renewal(a, w.look(c))
		renew.Consent.Announced, renew.Consent.NextStageAt = nil, next.at(time.Hour)
		_, err := w.r.Renew(w.Context(), renew)
		require.NoError(w, err)
		assert.Empty(w, w.look(c).Announced, "a renewal arms every stage anew")
		got = w.flagged(next.due(), announce("before_7d", time.Time{}))
		require.Len(w, got, 1)
		assert.Equal(w, 2, got[0].Consent.Cycle)
		_, notices = w.frozen(w.digest(got[0].DigestID), next.noon())
		assert.Equal(w, []string{c.ID + "/2/before_7d"}, told(notices))
		events, err := w.r.Events(w.Context(), w.app.ID, c.ID, 0, 100)
		require.NoError(w, err)
		assert.Equal(w, 2, events[len(events)-1].Cycle)
		w.history(c)
	}},
	{"Flag/all of it or nothing", func(w *world) {
		e := newEra()
		u := w.addressed()
		c := w.dueAt(e.at(time.Hour), u.ID)
		ctx, cancel := context.WithCancel(w.Context())
		var digest string
		_, err := w.r.Flag(ctx, e.due(), func(c *consent.Consent) consent.Judgement {
			cancel()
			j := announce("before_7d", time.Time{})(c)
			digest = j.DigestID
			return j
		})
		require.Error(w, err)
		assert.Equal(w, c, w.look(c))
		assert.Len(w, w.history(c), 1)
		w.noDigest(digest)

		unwritable := func(c *consent.Consent) consent.Judgement {
			j := announce("before_7d", time.Time{})(c)
			j.Events = append(j.Events, consent.Event{ID: name("evt"), At: e.noon(), Data: map[string]any{"not JSON": func() {}}})
			digest = j.DigestID
			return j
		}
		// The database may still be taking back what was cut off, and its rows
		// are passed over until then.
		require.Eventually(w, func() bool {
			_, err := w.r.Flag(w.Context(), e.due(), unwritable)
			return err != nil
		}, 10*time.Second, time.Millisecond)
		assert.Equal(w, c, w.look(c))
		assert.Len(w, w.history(c), 1)
		w.noDigest(digest)
		assert.Len(w, w.flagged(e.due(), announce("before_7d", time.Time{})), 1, "and the next sweep takes it")
	}},
	{"Flag/parked, looked at again, mended", func(w *world) {
		before, _, err := w.r.Parked(w.Context(), 1)
		require.NoError(w, err)
		count := func() int {
			n, first, err := w.r.Parked(w.Context(), everything)
			require.NoError(w, err)
			assert.Len(w, first, n)
			return n - before
		}
		e, again, mended := newEra(), newEra(), newEra()
		c := w.dueAt(e.at(time.Hour), w.addressed().ID)
		park := func(next time.Time) func(*consent.Consent) consent.Judgement {
			return func(*consent.Consent) consent.Judgement {
				return consent.Judgement{Flag: consent.Flag{Parked: consent.ParkedNoLapse, Next: next}}
			}
		}
		require.Len(w, w.flagged(e.due(), park(again.at(time.Hour))), 1)
		want := c
		want.NextStageAt, want.ParkedAt, want.ParkedReason = again.at(time.Hour), e.noon(), consent.ParkedNoLapse
		assert.Equal(w, want, w.look(c))
		assert.Equal(w, 1, count())
		require.Len(w, w.flagged(again.due(), park(mended.at(time.Hour))), 1)
		assert.Equal(w, e.noon(), w.look(c).ParkedAt, "parked since the first time")
		_, first, err := w.r.Parked(w.Context(), everything)
		require.NoError(w, err)
		i := slices.IndexFunc(first, func(p consent.Consent) bool { return p.ID == c.ID })
		require.GreaterOrEqual(w, i, 0)
		assert.Equal(w, consent.ParkedNoLapse, first[i].ParkedReason)
		assert.Empty(w, first[i].Tokens.Refresh)

		require.Len(w, w.flagged(mended.due(), announce("before_7d", at(day))), 1)
		got := w.look(c)
		assert.True(w, got.ParkedAt.IsZero())
		assert.Empty(w, got.ParkedReason)
		assert.Equal(w, 0, count())
	}},
	{"Flag/what mends or ends a parked consent ends the parking", func(w *world) {
		before, _, err := w.r.Parked(w.Context(), 1)
		require.NoError(w, err)
		parked := func() consent.Consent {
			e := newEra()
			c := w.dueAt(e.at(time.Hour), name("user"))
			w.flagged(e.due(), func(*consent.Consent) consent.Judgement {
				return consent.Judgement{Flag: consent.Park(consent.ParkedUnreadable, at(0))}
			})
			c = w.look(c)
			require.False(w, c.ParkedAt.IsZero())
			return c
		}
		w.revoked(parked())
		c := parked()
		r := renewal(w.claimed(w.begun(&c)), c)
		r.Consent.ParkedAt, r.Consent.ParkedReason = time.Time{}, ""
		_, err = w.r.Renew(w.Context(), r)
		require.NoError(w, err)
		require.NoError(w, w.r.SetOutlook(w.Context(), outlook(parked())))
		n, _, err := w.r.Parked(w.Context(), 1)
		require.NoError(w, err)
		assert.Equal(w, before, n)
	}},
	{"Parked/at most so many", func(w *world) {
		e := newEra()
		for range 3 {
			w.dueAt(e.at(time.Hour), name("user"))
		}
		w.flagged(e.due(), func(*consent.Consent) consent.Judgement {
			return consent.Judgement{Flag: consent.Park(consent.ParkedNoUser, at(0))}
		})
		n, first, err := w.r.Parked(w.Context(), 2)
		require.NoError(w, err)
		assert.GreaterOrEqual(w, n, 3)
		assert.Len(w, first, 2)
	}},
	{"Flag/nothing of another application", func(w *world) {
		e := newEra()
		other := &world{T: w.T, r: w.r, app: w.application()}
		u := w.addressed()
		c := w.dueAt(e.at(time.Hour), u.ID)
		// The same ids over there, where the user has no address.
		twin := other.dueAt(e.at(time.Hour), u.ID, func(t *consent.Consent) { t.ID, t.CredentialsID = c.ID, c.CredentialsID })
		digest := name("dgt")
		all, err := w.r.Flag(w.Context(), e.due(), func(x *consent.Consent) consent.Judgement {
			j := announce("before_7d", time.Time{})(x)
			j.DigestID = digest
			if x.ApplicationID != w.app.ID {
				j.Flag.Announce.Name, j.Flag.Next, j.Events[0].Stage = "lapse", at(day), "lapse"
			}
			return j
		})
		require.NoError(w, err)
		require.Len(w, all, 2)
		assert.Equal(w, []string{"before_30d", "before_7d"}, w.look(c).Announced)
		assert.True(w, w.look(c).NextStageAt.IsZero())
		assert.Equal(w, []string{"before_30d", "lapse"}, other.look(twin).Announced)
		assert.Equal(w, at(day), other.look(twin).NextStageAt)
		assert.Len(w, w.history(c), 2)
		assert.Len(w, other.history(twin), 2)
		_, notices := w.frozen(w.digest(digest), e.noon())
		assert.Equal(w, []string{c.ID + "/1/before_7d"}, told(notices))
		other.noDigest(digest)
	}},
}
