package registrytest

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
)

var sweepRaceTests = []test{
	{"Race/fifty sweeps flag each consent once", func(w *world) {
		const users, each = 12, 5
		e := newEra()
		var all []consent.Consent
		for range users {
			u := w.addressed()
			for i := range each {
				all = append(all, w.dueAt(e.at(time.Duration(i)*time.Minute), u.ID))
			}
		}
		var mu sync.Mutex
		times, digests := map[string]int{}, map[string]bool{}
		errs := w.race(func(i int) error {
			d := e.due()
			d.Limit = 5 + i%7
			for {
				got, err := w.r.Flag(w.Context(), d, w.own(announce("before_7d", time.Time{})))
				if err != nil || len(got) == 0 {
					return err
				}
				mu.Lock()
				for _, j := range got {
					times[j.Consent.ID]++
					digests[j.DigestID] = true
				}
				mu.Unlock()
			}
		})
		for _, err := range errs {
			require.NoError(w, err)
		}
		for _, j := range w.flagged(e.due(), announce("before_7d", time.Time{})) {
			times[j.Consent.ID]++
			digests[j.DigestID] = true
		}
		assert.Empty(w, w.listed(e.due()))
		assert.Len(w, times, len(all))
		for _, c := range all {
			assert.Equal(w, 1, times[c.ID])
			assert.Len(w, w.history(c), 2)
		}
		messages, told := map[string]int{}, 0
		for id := range digests {
			d, err := w.lookFor(w.app.ID, id)
			if isNotFound(err) {
				continue
			}
			require.NoError(w, err)
			messages[d.UserID]++
			_, notices := w.frozen(d, e.noon())
			told += len(notices)
		}
		assert.Len(w, messages, users)
		for user, n := range messages {
			assert.Equal(w, 1, n, "messages to %s", user)
		}
		assert.Equal(w, len(all), told)
	}},
	{"Race/what is frozen carries what it carries", func(w *world) {
		e := newEra()
		u := w.addressed()
		want := []string{}
		for i := range 2 * many {
			want = append(want, w.dueAt(e.at(time.Duration(i)*time.Minute), u.ID).ID+"/1/before_7d")
		}
		var mu sync.Mutex
		proposed, carried := map[string]bool{}, map[string][]string{}
		freeze := func(ids []string, now time.Time) error {
			c := digestClaim(consent.Digest{ApplicationID: w.app.ID}, now)
			c.IDs = ids
			got, err := w.r.FreezeDigests(w.Context(), c)
			mu.Lock()
			defer mu.Unlock()
			for _, f := range got {
				carried[f.Digest.ID] = append(carried[f.Digest.ID], told(f.Notices)...)
			}
			return err
		}
		errs := w.race(func(int) error {
			d := e.due()
			d.Limit = 2
			got, err := w.r.Flag(w.Context(), d, w.own(announce("before_7d", time.Time{})))
			if err != nil {
				return err
			}
			mu.Lock()
			for _, j := range got {
				proposed[j.DigestID] = true
			}
			known := slices.Collect(maps.Keys(proposed)) // in any order
			mu.Unlock()
			return freeze(known[:min(len(known), 3)], e.noon())
		})
		for _, err := range errs {
			require.NoError(w, err)
		}
		for _, j := range w.flagged(e.due(), announce("before_7d", time.Time{})) {
			proposed[j.DigestID] = true
		}
		early := maps.Clone(carried)
		clear(carried)
		got := []string{}
		require.NoError(w, freeze(slices.Collect(maps.Keys(proposed)), e.noon().Add(day)))
		for id := range carried {
			if was, ok := early[id]; ok {
				assert.Equal(w, was, carried[id], "nothing joined after it was frozen")
			}
			got = append(got, carried[id]...)
		}
		assert.ElementsMatch(w, want, got, "each told by one message")
	}},
	{"Race/sweeps beside attempts, renewals and revocations", func(w *world) {
		e := newEra()
		u := w.addressed()
		all := make([]consent.Consent, 10)
		attempts := make([]consent.Attempt, len(all))
		for i := range all {
			all[i] = w.dueAt(e.at(time.Minute), u.ID)
			if i < 5 {
				attempts[i] = w.claimed(w.begun(&all[i]))
			}
		}
		errs := w.race(func(i int) error {
			n := i % len(all)
			switch {
			case i%2 == 0:
				d := e.due()
				d.Limit = 4
				_, err := w.r.Flag(w.Context(), d, w.own(announce("before_7d", e.at(2*time.Minute))))
				return err
			case n < 5:
				_, err := w.r.Renew(w.Context(), renewal(attempts[n], all[n]))
				if err != nil {
					w.among(err, consent.ErrClaimLost, consent.ErrOvertaken)
				}
				return nil
			case n == 5:
				_, err := w.r.Revoke(w.Context(), consent.Revocation{ApplicationID: w.app.ID, ConsentID: all[n].ID, By: "user", At: e.noon(), Event: event(consent.EventRevoked, nil)})
				return err
			default:
				started := event(consent.EventAttemptStarted, nil)
				return w.r.BeginAttempt(w.Context(), w.attempt(&all[n]), &started)
			}
		})
		for _, err := range errs {
			require.NoError(w, err)
		}
		for i, c := range all {
			w.history(c)
			switch got := w.look(c); i {
			case 1, 3:
				assert.Equal(w, 2, got.Cycle)
				assert.Equal(w, at(61*day), got.NextStageAt, "what is renewed is not flagged by what was read before")
			case 5:
				assert.True(w, got.NextStageAt.IsZero(), "nor what is revoked")
			}
		}
	}},
	{"Race/fifty freeze one message", func(w *world) {
		e := newEra()
		d := w.digestOf(e, w.addressed().ID)
		for round := range 3 {
			now := e.noon().Add(time.Duration(round) * time.Hour)
			w.oneWon(w.race(func(int) error {
				_, _, err := w.freeze(digestClaim(d, now))
				return err
			}), consent.ErrBusy)
			assert.Equal(w, round+1, w.digest(d.ID).Tries)
		}
	}},
	{"Race/an end against a taking over", func(w *world) {
		e := newEra()
		open := w.digestOf(e, w.addressed().ID)
		d, notices := w.frozen(open, e.noon())
		ended := d
		ended.State, ended.FinishedAt = consent.DigestSent, e.noon()
		var finished, taken atomic.Int32
		for _, err := range w.race(func(i int) error {
			if i%2 == 0 {
				err := w.finish(ended, notices)
				if err == nil {
					finished.Add(1)
				}
				return err
			}
			_, _, err := w.freeze(digestClaim(d, d.ClaimedUntil))
			if err == nil {
				taken.Add(1)
			}
			return err
		}) {
			if err != nil {
				w.among(err, consent.ErrClaimLost, consent.ErrBusy)
			}
		}
		assert.EqualValues(w, 1, finished.Load()+taken.Load(), "it is over, or somebody else's")
	}},
	{"Race/each consent is checked by one", func(w *world) {
		e := newEra()
		_, err := w.r.ClaimChecks(w.Context(), e.at(day), at(0), everything) // what others left
		require.NoError(w, err)
		const n = 60
		for range n {
			w.stored(func(c *consent.Consent) { c.NextCheckAt = e.at(time.Hour) })
		}
		var mu sync.Mutex
		times := map[string]int{}
		errs := w.race(func(int) error {
			for {
				got, err := w.r.ClaimChecks(w.Context(), e.noon(), at(0), 7)
				if err != nil || len(got) == 0 {
					return err
				}
				assert.LessOrEqual(w, len(got), 7)
				mu.Lock()
				for _, c := range got {
					times[c.ID]++
				}
				mu.Unlock()
			}
		})
		for _, err := range errs {
			require.NoError(w, err)
		}
		for _, c := range w.checks(e.noon(), at(0)) {
			times[c.ID]++
		}
		assert.Len(w, times, n)
		for id, k := range times {
			assert.Equal(w, 1, k, id)
		}
	}},
	{"Race/an alarm is opened, probed and closed by one", func(w *world) {
		a := w.alarm()
		for _, act := range []func() (bool, error){
			func() (bool, error) { return w.r.OpenAlarm(w.Context(), a) },
			func() (bool, error) { return w.r.ProbeAlarm(w.Context(), a, a.ProbeAt, at(day)) },
			func() (bool, error) { return w.r.CloseAlarm(w.Context(), a, at(day)) },
			func() (bool, error) { return w.r.OpenAlarm(w.Context(), a) },
		} {
			var mine atomic.Int32
			for _, err := range w.race(func(int) error {
				ok, err := act()
				if ok {
					mine.Add(1)
				}
				return err
			}) {
				require.NoError(w, err)
			}
			assert.EqualValues(w, 1, mine.Load())
		}
	}},
	{"Race/what is taken never exceeds the limit", func(w *world) {
		const limit = 37
		for round := range 3 { // in windows that follow one another
			var taken atomic.Int32
			for _, err := range w.race(func(i int) error {
				for n := range 3 {
					ok, err := w.r.Take(w.Context(), w.app.ID, "mails", at(time.Duration(round)*day), n+1, limit)
					if err != nil {
						return err
					}
					if ok {
						taken.Add(int32(n + 1))
					}
				}
				return nil
			}) {
				require.NoError(w, err)
			}
			assert.EqualValues(w, limit, taken.Load())
		}
	}},
}
