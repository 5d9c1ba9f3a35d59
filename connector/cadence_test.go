package connector_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/connector"
	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/provider/sandbox/bankbrowser"
)

// change gives the application another cadence, as an operator does.
func (w *world) change(c *connector.Connector, names ...string) error {
	w.Helper()
	cadence, err := consent.ParseCadence(names)
	require.NoError(w, err)
	app := *w.app
	app.Cadence = cadence
	return c.UpdateApplication(w.Context(), app)
}

// rearming is a registry in which something happens while consents are put on
// the calendar anew.
type rearming struct {
	consent.Registry
	before func() error
}

func (r *rearming) Rearm(ctx context.Context, app string, list []consent.Consent, now time.Time) (int, error) {
	if before := r.before; before != nil {
		r.before = nil
		if err := before(); err != nil {
			return 0, err
		}
	}
	return r.Registry.Rearm(ctx, app, list, now)
}

func TestWhatWasDueWhenACadenceChangedIsStillAnnounced(t *testing.T) {
	w := newWorld(t)
	now := micro(w.bank.Clock().Now())
	con := w.lapsingAt("u", now.Add(-time.Minute))
	c := w.byClock(stopped(now))
	require.NoError(t, w.change(c, "before_30d", "before_7d", "before_3d", "before_1d", "lapse"))
	assert.Equal(t, 1, w.sweep(c).Announced["lapse"])
	assert.Len(t, w.notices(con.ID), 1)
}

func TestAChangeOfCadenceThatWasCutShortIsFinished(t *testing.T) {
	for name, finish := range map[string]func(w *world, c *connector.Connector) error{
		"by the same command": func(w *world, c *connector.Connector) error { return w.change(c, "before_30d", "before_14d", "lapse") },
		"by upkeep":           func(w *world, c *connector.Connector) error { return c.Upkeep(w.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			now := micro(w.bank.Clock().Now())
			con := w.lapsingAt("u", now.Add(20*day))
			w.sweep(w.byClock(stopped(now)))
			w.reg.Registry = &rearming{w.store, func() error { return errAway }}
			c := w.byClock(stopped(now))
			require.ErrorIs(t, w.change(c, "before_30d", "before_14d", "lapse"), errAway)
			require.NotEqual(t, con.LapsesAt.Add(-14*day), w.get(con.ID).NextStageAt)
			require.NoError(t, finish(w, c))
			assert.Equal(t, con.LapsesAt.Add(-14*day), w.get(con.ID).NextStageAt)
			app, err := w.store.Application(t.Context(), w.app.ID)
			require.NoError(t, err)
			assert.Zero(t, app.RearmAt)
		})
	}
}

func TestAnEarlyEndDuringAChangeOfCadenceIsAnnounced(t *testing.T) {
	w := newWorld(t)
	now := micro(w.bank.Clock().Now())
	con := w.lapsingAt("u", now.Add(60*day))
	w.reg.Registry = &rearming{w.store, func() error {
		c := con
		require.True(t, c.End(now, "revoked"))
		c.Reschedule(w.app.Cadence, w.app.Policy("truelayer"), now.Add(-time.Microsecond))
		return w.store.SetOutlook(t.Context(), consent.Outlook{
			ApplicationID: c.ApplicationID, ConsentID: c.ID, Cycle: c.Cycle, ExpiresAt: c.ExpiresAt, ExpirySource: c.ExpirySource,
			EndedAt: c.EndedAt, EndedReason: c.EndedReason, LapsingAt: c.LapsingAt, LapsesAt: c.LapsesAt, RenewableUntil: c.RenewableUntil, NextStageAt: c.NextStageAt,
		})
	}}
	c := w.byClock(stopped(now))
	require.NoError(t, w.change(c, "before_30d", "before_14d", "lapse"))
	assert.Equal(t, 1, w.sweep(c).Announced["lapse"])
	assert.Zero(t, w.sweep(w.byClock(stopped(now.Add(61*day)))).Parked)
}

func TestAParkedConsentIsLookedAtAgainThoughTheCadenceChanged(t *testing.T) {
	w := newWorld(t)
	now := micro(w.bank.Clock().Now())
	w.lapsingAt("u", now.Add(-40*day))
	exec := func(query string) {
		_, err := w.store.DB().ExecContext(t.Context(), query)
		require.NoError(t, err)
	}
	exec(`UPDATE consents SET user_id = ''`)
	require.Equal(t, 1, w.sweep(w.byClock(stopped(now))).Parked)
	require.NoError(t, w.change(w.byClock(stopped(now)), "before_7d", "lapse"))
	exec(`UPDATE consents SET user_id = 'u'`) // mended
	w.sweep(w.byClock(stopped(now.Add(2 * time.Hour))))
	count, _, err := w.Parked(t.Context(), 1)
	require.NoError(t, err)
	assert.Zero(t, count)
}

func TestAConsentThatTheDatabaseRefusesIsParkedAndTheRestGoesOn(t *testing.T) {
	w := newWorld(t)
	now := micro(w.bank.Clock().Now())
	var fine []consent.Consent
	for range 6 {
		fine = append(fine, w.lapsingAt("u", now))
	}
	broken := fine[2]
	_, err := w.store.DB().ExecContext(t.Context(), `INSERT INTO events (application_id, consent_id, seq, id, type, at, cycle, stage, data)
		VALUES ('`+w.app.ID+`', '`+broken.ID+`', 1, 'evt_of_a_backup', 'consent.linked', 0, 1, '', '{}')`) // its count of events is behind
	require.NoError(t, err)
	swept := w.sweep(w.byClock(stopped(now)))
	assert.Equal(t, 5, swept.Announced["lapse"])
	count, first, err := w.Parked(t.Context(), 2)
	require.NoError(t, err)
	require.Equal(t, 1, count)
	assert.Equal(t, broken.ID, first[0].ID)
	assert.Equal(t, consent.ParkedUnwritable, first[0].ParkedReason)
	assert.Empty(t, w.sweep(w.byClock(stopped(now))).Announced, "it is looked at again in an hour")
	_, err = w.store.DB().ExecContext(t.Context(), `UPDATE consents SET seq = 1 WHERE id = '`+broken.ID+`'`)
	require.NoError(t, err)
	assert.Equal(t, 1, w.sweep(w.byClock(stopped(now.Add(time.Hour)))).Announced["lapse"])
}

func TestAProbeThatAskedNobodyEndsNoAlarm(t *testing.T) {
	w := newWorld(t)
	con := w.linked("u", bankbrowser.John())
	w.advance(checkDue)
	now := micro(w.bank.Clock().Now())
	_, err := w.store.OpenAlarm(t.Context(), consent.Alarm{ApplicationID: w.app.ID, Kind: consent.AlarmProvider, Provider: "truelayer", OpenedAt: now, ProbeAt: now})
	require.NoError(t, err)
	_, err = w.store.Lease(t.Context(), w.app.ID, con.ID, "another", now, now.Add(time.Hour))
	require.NoError(t, err, "a caller has it in hand")
	w.reconcile()
	open, err := w.store.Alarms(t.Context(), w.app.ID, false)
	require.NoError(t, err)
	assert.Len(t, open, 1)
}
