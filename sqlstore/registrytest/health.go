package registrytest

import (
	"slices"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
)

// checks claims what is to be checked and returns this test's.
func (w *world) checks(now, until time.Time) []consent.Consent {
	w.Helper()
	all, err := w.r.ClaimChecks(w.Context(), now, until, everything)
	require.NoError(w, err)
	return slices.DeleteFunc(all, func(c consent.Consent) bool { return c.ApplicationID != w.app.ID })
}

func (w *world) check(c consent.Consent, t time.Time, outcome consent.CheckOutcome) {
	w.Helper()
	require.NoError(w, w.r.PutCheck(w.Context(), consent.Check{
		ApplicationID: c.ApplicationID, ConsentID: c.ID, Provider: c.Provider, ProviderID: c.ProviderID, At: t, Outcome: outcome,
	}))
}

func (w *world) banks(since time.Time, except string) map[string]consent.BankHealth {
	w.Helper()
	list, err := w.r.BankHealths(w.Context(), w.app.ID, "truelayer", since, except)
	require.NoError(w, err)
	out := map[string]consent.BankHealth{}
	for _, h := range list {
		require.NotContains(w, out, h.ProviderID, "one line a bank")
		out[h.ProviderID] = h
	}
	return out
}

// failing names this application's providers with a check since that was not ok.
func (w *world) failing(since time.Time) []string {
	w.Helper()
	all, err := w.r.Failing(w.Context(), since)
	require.NoError(w, err)
	out := []string{}
	for _, c := range all {
		if c.ApplicationID == w.app.ID {
			out = append(out, c.Provider)
		}
	}
	slices.Sort(out)
	return out
}

func (w *world) alarm() consent.Alarm {
	return consent.Alarm{
		ApplicationID: w.app.ID, Kind: consent.AlarmBank, Provider: "truelayer", ProviderID: "mock",
		OpenedAt: at(0), ProbeAt: at(10 * time.Minute), Detail: "5 of 6 fail",
	}
}

func (w *world) alarms(closedToo bool) []consent.Alarm {
	w.Helper()
	list, err := w.r.Alarms(w.Context(), w.app.ID, closedToo)
	require.NoError(w, err)
	return list
}

// opened, closed and probed do so and want the given answer.
func (w *world) opened(a consent.Alarm, want bool) {
	w.Helper()
	got, err := w.r.OpenAlarm(w.Context(), a)
	require.NoError(w, err)
	require.Equal(w, want, got)
}

func (w *world) closed(a consent.Alarm, t time.Time, want bool) {
	w.Helper()
	got, err := w.r.CloseAlarm(w.Context(), a, t)
	require.NoError(w, err)
	require.Equal(w, want, got)
}

func (w *world) probed(a consent.Alarm, now, next time.Time, want bool) {
	w.Helper()
	got, err := w.r.ProbeAlarm(w.Context(), a, now, next)
	require.NoError(w, err)
	require.Equal(w, want, got)
}

func (w *world) took(what string, window time.Time, n, limit int, want bool) {
	w.Helper()
	got, err := w.r.Take(w.Context(), w.app.ID, what, window, n, limit)
	require.NoError(w, err)
	require.Equal(w, want, got, "%d of %d", n, limit)
}

func confirmation(c consent.Consent, t time.Time) consent.Confirmation {
	return consent.Confirmation{
		ApplicationID: c.ApplicationID, ID: name("cfm"), ConsentID: c.ID, Cycle: c.Cycle, ConfirmedAt: t,
		ConfirmedBy: c.UserID, Statement: "I agree that “Budget & Söhne” <reads> my accounts.\nReally.",
	}
}

func (w *world) confirm(c consent.Confirmation) {
	w.Helper()
	require.NoError(w, w.r.RecordConfirmation(w.Context(), c, event(consent.EventReconfirmed, nil)))
}

func (w *world) confirmations(c consent.Consent) []consent.Confirmation {
	w.Helper()
	list, err := w.r.Confirmations(w.Context(), w.app.ID, c.ID)
	require.NoError(w, err)
	return list
}

var healthTests = []test{
	{"ClaimChecks/each moves, whatever comes of it", func(w *world) {
		e := newEra()
		c := w.stored(func(c *consent.Consent) { c.NextCheckAt = e.noon() })
		later := w.stored(func(c *consent.Consent) { c.NextCheckAt = e.noon().Add(time.Microsecond) })
		w.stored(func(c *consent.Consent) { c.NextCheckAt = time.Time{} })
		assert.Empty(w, w.checks(e.noon().Add(-time.Microsecond), at(0)))
		until := e.noon().Add(time.Hour)
		want := c
		want.NextCheckAt = until
		assert.Equal(w, []consent.Consent{want}, w.checks(e.noon(), until))
		assert.Equal(w, want, w.look(c))
		assert.Equal(w, later, w.look(later))
		assert.Empty(w, w.checks(e.noon(), until), "nobody else takes it meanwhile")
		assert.Len(w, w.checks(until, at(0)), 2, "a crash gives it free")
	}},
	{"ClaimChecks/at most so many, the longest due first", func(w *world) {
		e := newEra()
		_, err := w.r.ClaimChecks(w.Context(), e.at(day), at(0), everything) // what others left
		require.NoError(w, err)
		var want []string
		for i := range 5 {
			c := w.stored(func(c *consent.Consent) { c.NextCheckAt = e.at(time.Duration(9-i) * time.Hour) })
			want = append([]string{c.ID}, want...)
		}
		for i, limit := range []int{1, 1, 2, 2} {
			got, err := w.r.ClaimChecks(w.Context(), e.noon(), at(0), limit)
			require.NoError(w, err)
			assert.ElementsMatch(w, want[:min(limit, len(want))], ids(got), "batch %d", i)
			want = want[min(limit, len(want)):]
		}
	}},
	{"ClaimChecks/not the revoked, not the pending", func(w *world) {
		e := newEra()
		w.revoked(w.stored(func(c *consent.Consent) { c.NextCheckAt = e.at(time.Hour) }))
		l := w.unconfirmed(w.claimed(w.begun(nil)))
		l.Registration.Consent.NextCheckAt = e.at(time.Hour)
		pending, err := w.r.Link(w.Context(), l)
		require.NoError(w, err)
		assert.Empty(w, w.checks(e.noon(), at(0)))
		assert.Equal(w, pending, w.look(pending))
	}},
	{"PostponeCheck", func(w *world) {
		c := w.stored()
		want := c
		want.NextCheckAt = at(day)
		require.NoError(w, w.r.PostponeCheck(w.Context(), w.app.ID, c.ID, c.Cycle, at(day)))
		assert.Equal(w, want, w.look(c))
		renewed := w.renewed(c)
		require.NoError(w, w.r.PostponeCheck(w.Context(), w.app.ID, c.ID, c.Cycle, at(2*day)))
		assert.Equal(w, renewed, w.look(c), "it has moved on")
		revoked := w.revoked(renewed)
		require.NoError(w, w.r.PostponeCheck(w.Context(), w.app.ID, c.ID, revoked.Cycle, at(2*day)))
		assert.Equal(w, revoked, w.look(c))
		assert.True(w, revoked.NextCheckAt.IsZero())
	}},
	{"Checks/count by the last word", func(w *world) {
		since := at(0)
		consents := map[string]consent.Consent{}
		for _, bank := range []string{"one", "two"} {
			for _, outcome := range []consent.CheckOutcome{consent.CheckOK, consent.CheckRefused, consent.CheckFailed, consent.CheckMisconfigured} {
				c := w.stored(func(c *consent.Consent) { c.ProviderID = bank })
				consents[bank+string(outcome)] = c
				w.check(c, since, outcome)
			}
		}
		each := func(bank string) consent.BankHealth {
			return consent.BankHealth{ProviderID: bank, Total: 4, Refused: 1, Failed: 1, Misconfigured: 1}
		}
		assert.Equal(w, map[string]consent.BankHealth{"one": each("one"), "two": each("two")}, w.banks(since, ""))
		assert.Empty(w, w.banks(since.Add(time.Microsecond), ""), "all of it was before")
		assert.Equal(w, map[string]consent.BankHealth{"one": {ProviderID: "one", Total: 3, Refused: 1, Misconfigured: 1}, "two": each("two")},
			w.banks(since, consents["onefailed"].ID), "without the one that asks")

		later := at(time.Minute)
		w.check(consents["onefailed"], later, consent.CheckOK)
		w.check(consents["oneok"], later, consent.CheckRefused)
		assert.Equal(w, consent.BankHealth{ProviderID: "one", Total: 4, Refused: 2, Misconfigured: 1}, w.banks(since, "")["one"])
		assert.Equal(w, map[string]consent.BankHealth{"one": {ProviderID: "one", Total: 2, Refused: 1}}, w.banks(later, ""))
		elsewhere := consents["twook"]
		elsewhere.Provider = "yapily"
		w.check(elsewhere, later, consent.CheckFailed)
		assert.Equal(w, consent.BankHealth{ProviderID: "two", Total: 3, Refused: 1, Failed: 1, Misconfigured: 1}, w.banks(since, "")["two"])
	}},
	{"Checks/who fails", func(w *world) {
		assert.Empty(w, w.failing(at(-day)))
		a, b := w.stored(), w.stored()
		c := w.stored(func(c *consent.Consent) { c.Provider = "yapily" })
		w.check(a, at(0), consent.CheckFailed)
		w.check(b, at(0), consent.CheckRefused)
		w.check(c, at(time.Minute), consent.CheckMisconfigured)
		assert.Equal(w, []string{"truelayer", "yapily"}, w.failing(at(0)), "each once")
		assert.Equal(w, []string{"yapily"}, w.failing(at(time.Microsecond)))
		w.check(c, at(2*time.Minute), consent.CheckOK)
		assert.Equal(w, []string{"truelayer"}, w.failing(at(0)))
		w.check(a, at(2*time.Minute), consent.CheckOK)
		w.check(b, at(2*time.Minute), consent.CheckOK)
		assert.Empty(w, w.failing(at(-day)))
	}},
	{"Alarm/opens once, closes once, opens again", func(w *world) {
		a := w.alarm()
		w.closed(a, at(0), false)
		assert.Empty(w, w.alarms(true))
		w.opened(a, true)
		assert.Equal(w, []consent.Alarm{a}, w.alarms(false))
		twice := a
		twice.OpenedAt, twice.ProbeAt, twice.Detail = at(time.Minute), at(time.Hour), "6 of 6 fail"
		w.opened(twice, false)
		assert.Equal(w, []consent.Alarm{a}, w.alarms(false), "as it was opened")
		w.closed(a, at(2*time.Minute), true)
		w.closed(a, at(3*time.Minute), false)
		assert.Empty(w, w.alarms(false))
		closed := w.alarms(true)
		require.Len(w, closed, 1)
		assert.Equal(w, at(2*time.Minute), closed[0].ClosedAt)
		assert.Equal(w, a.OpenedAt, closed[0].OpenedAt)
		assert.True(w, closed[0].ProbeAt.IsZero())
		w.opened(twice, true)
		assert.Equal(w, []consent.Alarm{twice}, w.alarms(false))
	}},
	{"Alarm/probed by one, when its time has come", func(w *world) {
		a := w.alarm()
		w.probed(a, at(day), at(2*day), false)
		w.opened(a, true)
		w.probed(a, a.ProbeAt.Add(-time.Microsecond), at(day), false)
		w.probed(a, a.ProbeAt, at(day), true)
		w.probed(a, a.ProbeAt, at(day), false)
		assert.Equal(w, at(day), w.alarms(false)[0].ProbeAt)
		w.probed(a, at(day), at(2*day), true)
		w.closed(a, at(day), true)
		w.probed(a, at(3*day), at(4*day), false)
		a.ProbeAt = time.Time{}
		w.opened(a, true)
		w.probed(a, at(3*day), at(4*day), false)
	}},
	{"Alarm/each by its kind, provider and bank, newest first", func(w *world) {
		var want []consent.Alarm
		for i, change := range []func(*consent.Alarm){
			func(*consent.Alarm) {},
			func(a *consent.Alarm) { a.ProviderID = "other" },
			func(a *consent.Alarm) { a.Provider = "yapily" },
			func(a *consent.Alarm) { a.Kind, a.ProviderID = consent.AlarmProvider, "" },
			func(a *consent.Alarm) { a.Kind, a.Provider, a.ProviderID = consent.AlarmMails, "", "" },
		} {
			a := w.alarm()
			a.OpenedAt = at(time.Duration(i) * time.Minute)
			change(&a)
			w.opened(a, true)
			want = append([]consent.Alarm{a}, want...)
		}
		assert.Equal(w, want, w.alarms(false))
		w.closed(want[4], at(day), true)
		w.probed(want[3], at(day), at(2*day), true)
		want[3].ProbeAt = at(2 * day)
		assert.Equal(w, want[:4], w.alarms(false))
		assert.Len(w, w.alarms(true), 5)
		all, err := w.r.Alarms(w.Context(), "", false)
		require.NoError(w, err)
		assert.Subset(w, all, want[:4])
		assert.True(w, slices.IsSortedFunc(all, func(a, b consent.Alarm) int { return b.OpenedAt.Compare(a.OpenedAt) }))
	}},
	{"Take/up to the limit of a window", func(w *world) {
		w.took("mails", at(0), 6, 5, false)
		w.took("mails", at(0), 5, 5, true) // what was refused took nothing
		w.took("mails", at(0), 1, 5, false)
		w.took("mails", at(0), 1, 6, true)
		w.took("other", at(0), 1, 5, true)
		w.took("mails", at(day), 4, 5, true)
		w.took("mails", at(day), 2, 5, false)
		w.took("mails", at(day), 1, 5, true)
		w.took("mails", at(day), 1, 5, false)
		// A new window's first is held to the limit too.
		w.took("mails", at(2*day), 6, 5, false)
		w.took("mails", at(2*day), 5, 5, true)
	}},
	{"Take/by a clock that is behind", func(w *world) {
		w.took("mails", at(day), 3, 5, true)
		w.took("mails", at(0), 2, 5, true)
		w.took("mails", at(0), 1, 5, false)
		w.took("mails", at(day), 1, 5, false)
		w.took("mails", at(2*day).In(zones[1]), 5, 5, true)
	}},
	{"Confirmations/are kept word for word, in order", func(w *world) {
		c, other := w.stored(), w.stored()
		assert.Empty(w, w.confirmations(c))
		late, early, same := confirmation(c, at(2*day)), confirmation(c, at(day)), confirmation(c, at(2*day))
		same.Cycle = 2
		for _, x := range []consent.Confirmation{same, early, late, confirmation(other, at(0))} {
			w.confirm(x)
		}
		assert.Equal(w, []consent.Confirmation{early, late, same}, w.confirmations(c))
		assert.Len(w, w.confirmations(other), 1)
		require.ErrorIs(w, w.r.RecordConfirmation(w.Context(), early, event(consent.EventReconfirmed, nil)), consent.ErrExists)
		assert.Equal(w, []consent.EventType{consent.EventLinked, consent.EventReconfirmed, consent.EventReconfirmed, consent.EventReconfirmed}, w.history(c),
			"each with its event, what is refused without")
		nobody := confirmation(consent.Consent{ApplicationID: w.app.ID, ID: "none"}, at(0))
		require.ErrorIs(w, w.r.RecordConfirmation(w.Context(), nobody, event(consent.EventReconfirmed, nil)), consent.ErrNotFound)
		assert.Empty(w, w.confirmations(consent.Consent{ID: "none"}))
	}},
	{"Health/nothing of another application", func(w *world) {
		other := &world{T: w.T, r: w.r, app: w.application()}
		c := w.stored()
		twin := other.stored(func(t *consent.Consent) { t.ID, t.CredentialsID = c.ID, c.CredentialsID })

		require.NoError(w, w.r.PostponeCheck(w.Context(), w.app.ID, c.ID, 1, at(day)))
		assert.Equal(w, twin, other.look(twin))
		w.check(c, at(0), consent.CheckFailed)
		assert.Empty(w, other.banks(at(-day), ""))
		assert.Empty(w, other.failing(at(-day)))
		other.check(twin, at(0), consent.CheckOK)
		assert.Equal(w, map[string]consent.BankHealth{"mock": {ProviderID: "mock", Total: 1, Failed: 1}}, w.banks(at(-day), ""))
		assert.Equal(w, map[string]consent.BankHealth{"mock": {ProviderID: "mock", Total: 1}}, other.banks(at(-day), ""))

		mine, theirs := w.alarm(), other.alarm()
		w.opened(mine, true)
		assert.Empty(w, other.alarms(true))
		other.closed(theirs, at(0), false)
		other.probed(theirs, at(day), at(2*day), false)
		other.opened(theirs, true)
		w.closed(mine, at(day), true)
		assert.Equal(w, []consent.Alarm{theirs}, other.alarms(false))

		w.took("mails", at(0), 5, 5, true)
		other.took("mails", at(0), 5, 5, true)

		x := confirmation(c, at(0))
		w.confirm(x)
		assert.Empty(w, other.confirmations(twin))
		y := x
		y.ApplicationID, y.Statement = other.app.ID, "theirs"
		other.confirm(y)
		assert.Equal(w, []consent.Confirmation{x}, w.confirmations(c))
		assert.Equal(w, []consent.Confirmation{y}, other.confirmations(twin))
		assert.Len(w, w.history(c), 2)
		assert.Len(w, other.history(twin), 2)
	}},
}
