package connector_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	_ "time/tzdata" // DST rules that do not depend on the machine

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/connector"
	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/provider"
	"github.com/reconsent/reconsent/provider/sandbox/bankbrowser"
	"github.com/reconsent/reconsent/provider/truelayer"
)

// byClock is one more replica on the same database, with a clock of its own.
func (w *world) byClock(now func() time.Time) *connector.Connector {
	w.Helper()
	log := slog.New(slog.NewTextHandler(w.logs, nil))
	return connector.New(connector.Config{
		Registry: w.reg, Keys: w.keys, Catalog: provider.Catalog{"truelayer": truelayer.Adapter}, Now: now, BaseURL: ourBase,
		NewID: func() string { return fmt.Sprintf("%012d", serial.Add(1)) }, Log: log,
		Provider: provider.Deps{HTTP: &http.Client{Timeout: 5 * time.Second}, Now: now, Log: log},
	})
}

func stopped(at time.Time) func() time.Time { return func() time.Time { return at } }

func (w *world) sweep(c *connector.Connector) connector.Swept {
	w.Helper()
	swept, err := c.Sweep(w.Context())
	require.NoError(w, err)
	return swept
}

// history is all of a consent's events.
func (w *world) history(id string) []consent.Event {
	w.Helper()
	var all []consent.Event
	for {
		page, err := w.store.Events(w.Context(), w.app.ID, id, int64(len(all)), 100)
		require.NoError(w, err)
		all = append(all, page...)
		if len(page) < 100 {
			return all
		}
	}
}

// stages tells which stages a consent's history has, by cycle.
func (w *world) stages(id string) []string {
	w.Helper()
	var told []string
	for _, e := range w.history(id) {
		if e.Stage == "" {
			continue
		}
		line := fmt.Sprintf("%d %s", e.Cycle, e.Stage)
		if e.Data["skipped"] == true {
			line += " skipped"
		}
		told = append(told, line)
	}
	return told
}

// told is one notice as the database has it.
type told struct {
	Consent, Stage, Digest, Outcome string
	Cycle                           int
}

func (w *world) notices(consentID string) []told {
	w.Helper()
	rows, err := w.store.DB().QueryContext(w.Context(), `SELECT consent_id, cycle, stage, digest_id, outcome FROM notices ORDER BY consent_id, cycle, stage`)
	require.NoError(w, err)
	defer func() { _ = rows.Close() }()
	var all []told
	for rows.Next() {
		var n told
		require.NoError(w, rows.Scan(&n.Consent, &n.Cycle, &n.Stage, &n.Digest, &n.Outcome))
		if consentID == "" || n.Consent == consentID {
			all = append(all, n)
		}
	}
	require.NoError(w, rows.Err())
	return all
}

// has registers a consent at the database itself, as it may come from an import
// or from a version with other rules.
func (w *world) has(con consent.Consent) consent.Consent {
	w.Helper()
	con.ApplicationID = w.app.ID
	if con.ID == "" {
		con.ID = fmt.Sprintf("con_%012d", serial.Add(1))
	}
	if con.CredentialsID == "" {
		con.CredentialsID = "cred_" + con.ID
	}
	con.Provider, con.ProviderID, con.Cycle = "truelayer", "mock", max(con.Cycle, 1)
	if con.Custody == "" {
		con.Custody = consent.CustodyBackend
	}
	if con.ExpirySource == "" {
		con.ExpirySource = consent.FromBackend
	}
	user := consent.User{ApplicationID: w.app.ID, ID: con.UserID, Email: "user@example.org", CreatedAt: con.ConsentedAt, UpdatedAt: con.ConsentedAt}
	added, err := w.store.Register(w.Context(), w.app.ID, []consent.Registration{{Consent: con, Contact: user}})
	require.NoError(w, err)
	require.Equal(w, []bool{true}, added)
	got, err := w.store.Consent(w.Context(), w.app.ID, con.ID)
	require.NoError(w, err)
	return got
}

// lapsingAt makes a consent of a ninety days' life that lapses then, none of
// whose stages has been announced.
func (w *world) lapsingAt(user string, at time.Time) consent.Consent {
	w.Helper()
	con := consent.Consent{UserID: user, CreatedAt: at.Add(-90 * day), ConsentedAt: at.Add(-90 * day), ExpiresAt: at}
	con.Reschedule(w.app.Cadence, w.app.Policy("truelayer"), con.ConsentedAt)
	return w.has(con)
}

func (w *world) setCadence(names ...string) {
	w.Helper()
	cadence, err := consent.ParseCadence(names)
	require.NoError(w, err)
	w.app.Cadence = cadence
	require.NoError(w, w.store.UpdateApplication(w.Context(), *w.app))
}

// micro is the moment as the registry keeps it.
func micro(at time.Time) time.Time { return at.UTC().Truncate(time.Microsecond) }

// TestLifeOfAConsent follows one consent through two years, swept once a day by
// one of two replicas.
func TestLifeOfAConsent(t *testing.T) {
	w := newWorld(t)
	replicas := []*connector.Connector{w.Connector, w.another(provider.Catalog{"truelayer": truelayer.Adapter})}
	_, err := w.PutUser(t.Context(), w.app, "u", connector.Contact{Email: "u@example.org"})
	require.NoError(t, err)
	born := w.bank.Clock().Now()
	w.advance(6 * time.Hour) // so that no stage falls due in the moment of a sweep: the clock ticks
	con := w.linked("u", bankbrowser.John())

	renew := func() {
		s := w.reauth(con)
		_, ret := w.visit(bankbrowser.John(), s.URI)
		require.Equal(t, consent.AttemptRenewed, w.forward(s, ret).Attempt.Status)
	}
	relink := func() {
		refusal := w.unrenewable(con)
		_, ret := w.visit(bankbrowser.John(), refusal.AuthURI)
		out, err := w.CompleteForwarded(t.Context(), w.app, connector.Forwarded{AttemptID: refusal.AttemptID}, ret)
		require.NoError(t, err)
		require.Equal(t, consent.AttemptRenewed, out.Attempt.Status)
	}
	endEarly := func() {
		for range 2 {
			w.fault("invalid_grant_early")
			_, err := w.Token(t.Context(), w.app, con.ID, true)
			require.Equal(t, consent.CodeReauthRequired, consent.CodeOf(err))
			w.advance(61 * time.Minute)
		}
		require.True(t, ptr(w.get(con.ID)).EndedEarly())
	}

	sweeps, toldBefore, noticedBefore := 0, 0, 0
	for _, station := range []struct {
		name    string
		until   int  // days after the first link
		down    bool // nothing sweeps until then
		do      func()
		is      consent.Status
		told    []string
		notices int
	}{
		{"two quiet months", 59, false, nil, consent.Active, nil, 0},
		{"the first reminder", 62, false, nil, consent.Lapsing, []string{"1 before_30d"}, 1},
		{"renewed at day 62; no further reminder of cycle 1", 120, false, renew, consent.Active, nil, 0},
		{"a renewal re-arms: day 122", 145, false, nil, consent.Lapsing, []string{"2 before_30d"}, 1},
		{"a week of downtime, over two stages", 152, true, nil, consent.Lapsing, []string{"2 before_7d skipped", "2 before_1d"}, 1},
		{"the lapse", 153, false, nil, consent.Lapsed, []string{"2 lapse"}, 1},
		{"a week later", 162, false, nil, consent.Lapsed, []string{"2 after_7d"}, 1},
		{"renewed late, at day 162", 221, false, renew, consent.Active, nil, 0},
		{"nobody comes: day 252 is the lapse", 251, false, nil, consent.Lapsing, []string{"3 before_30d", "3 before_7d"}, 2},
		{"a day before, and the lapse", 254, false, nil, consent.Lapsed, []string{"3 before_1d", "3 lapse"}, 2},
		{"all is down for more than a month", 290, true, nil, consent.Lapsed, []string{"3 after_7d skipped", "3 after_30d"}, 1},
		{"the window closes at day 342", 350, false, nil, consent.Unrenewable, []string{"3 window_7d", "3 window_end"}, 2},
		{"nothing more is to be said", 369, false, nil, consent.Unrenewable, nil, 0},
		{"linked anew, at day 370", 400, false, relink, consent.Active, nil, 0},
		{"the bank ends it early", 401, false, endEarly, consent.Lapsed, []string{"4 lapse"}, 1},
		{"and reminds of that", 409, false, nil, consent.Lapsed, []string{"4 after_7d"}, 1},
		{"renewed at day 409", 468, false, renew, consent.Active, nil, 0},
		{"day 469 is the first reminder", 498, false, nil, consent.Lapsing, []string{"5 before_30d", "5 before_7d"}, 2},
		{"renewed in the last days, at day 498", 557, false, renew, consent.Active, nil, 0},
		{"reminded", 587, false, nil, consent.Lapsing, []string{"6 before_30d", "6 before_7d"}, 2},
		{"down over lapse and a week after: the most urgent only", 597, true, nil, consent.Lapsed,
			[]string{"6 before_1d skipped", "6 lapse skipped", "6 after_7d"}, 1},
		{"renewed at day 597", 656, false, renew, consent.Active, nil, 0},
		{"reminded", 685, false, nil, consent.Lapsing, []string{"7 before_30d", "7 before_7d"}, 2},
		{"renewed at day 685, down for all that is between", 770, true, renew, consent.Lapsing, []string{"8 before_30d skipped", "8 before_7d"}, 1},
	} {
		if station.do != nil {
			w.advance(6 * time.Hour)
			station.do()
		}
		for until := born.Add(time.Duration(station.until) * day); w.bank.Clock().Now().Before(until); {
			if left := until.Sub(w.bank.Clock().Now()); station.down {
				w.advance(left)
			} else {
				w.advance(min(day, left))
			}
			sweeps++
			w.sweep(replicas[sweeps%2])
			after := w.sweep(replicas[(sweeps+1)%2])
			require.Zero(t, after.Total(), "%s: the other replica finds nothing", station.name)
		}
		all, notices := w.stages(con.ID), w.notices(con.ID)
		assert.Equal(t, strings.Join(station.told, ", "), strings.Join(all[toldBefore:], ", "), "%s, until day %d", station.name, station.until)
		assert.Equal(t, station.notices, len(notices)-noticedBefore, "%s: notices", station.name)
		assert.Equal(t, station.is, w.StatusNow(ptr(w.get(con.ID))), station.name)
		toldBefore, noticedBefore = len(all), len(notices)
	}

	seen := map[string]bool{}
	for _, line := range w.stages(con.ID) {
		name := strings.TrimSuffix(line, " skipped")
		assert.False(t, seen[name], "%s stands in the history twice", name)
		seen[name] = true
	}
	for i, e := range w.history(con.ID) {
		assert.Equal(t, int64(i+1), e.Seq, "a history has no gaps")
	}
	w.works(con)
}

func TestADowntimeAnnouncesOnlyTheMostUrgentAndRecordsTheRest(t *testing.T) {
	w := newWorld(t)
	now := micro(w.bank.Clock().Now())
	con := w.lapsingAt("u", now.Add(-8*day))
	swept := w.sweep(w.byClock(stopped(now)))
	assert.Equal(t, map[string]int{"after_7d": 1}, swept.Announced)
	assert.Equal(t, 4, swept.Skipped)
	assert.Equal(t, []string{"1 before_30d skipped", "1 before_7d skipped", "1 before_1d skipped", "1 lapse skipped", "1 after_7d"}, w.stages(con.ID))
	for _, e := range w.history(con.ID) {
		assert.Equal(t, now, e.At)
		if e.Stage != "after_7d" {
			assert.Equal(t, "after_7d", e.Data["overtaken_by"], e.Stage)
		}
	}
	notices := w.notices(con.ID)
	require.Len(t, notices, 1, "nobody is told of what was skipped")
	assert.Equal(t, "after_7d", notices[0].Stage)
	assert.Equal(t, con.LapsesAt.Add(30*day), w.get(con.ID).NextStageAt)
}

func TestARenewedConsentIsNotReminded(t *testing.T) {
	w := newWorld(t)
	con := w.linked("u", bankbrowser.John())
	w.advance(85 * day) // before_30d and before_7d are due, and no sweep has looked
	s := w.reauth(con)
	_, ret := w.visit(bankbrowser.John(), s.URI)
	require.Equal(t, consent.AttemptRenewed, w.forward(s, ret).Attempt.Status)
	swept := w.sweep(w.Connector)
	assert.Zero(t, swept.Total())
	assert.Empty(t, w.stages(con.ID))
	w.advance(61 * day)
	assert.Equal(t, map[string]int{"before_30d": 1}, w.sweep(w.Connector).Announced)
	assert.Equal(t, []string{"2 before_30d"}, w.stages(con.ID))
}

func TestARevokedOrPendingConsentIsNotAnnounced(t *testing.T) {
	w := newWorld(t)
	now := micro(w.bank.Clock().Now())
	revoked, pending := w.lapsingAt("u", now), consent.Consent{UserID: "v", CreatedAt: now, ConsentedAt: now.Add(-90 * day), ExpiresAt: now, Pending: true}
	pending.Reschedule(w.app.Cadence, consent.Policy{}, pending.ConsentedAt)
	pending = w.has(pending)
	_, err := w.store.Revoke(t.Context(), consent.Revocation{ApplicationID: w.app.ID, ConsentID: revoked.ID, By: "user", At: now,
		Event: consent.Event{ID: "evt_r", Type: consent.EventRevoked, At: now}})
	require.NoError(t, err)
	swept := w.sweep(w.byClock(stopped(now)))
	assert.Zero(t, swept.Total())
	assert.Zero(t, swept.Parked)
	assert.Empty(t, w.stages(revoked.ID))
	assert.Empty(t, w.stages(pending.ID))
}

func TestAnEarlyEndIsAnnouncedByTheNextSweep(t *testing.T) {
	w := newWorld(t)
	_, err := w.PutUser(t.Context(), w.app, "u", connector.Contact{Email: "u@example.org"})
	require.NoError(t, err)
	con := w.linked("u", bankbrowser.John())
	w.advance(10 * day)
	for range 2 {
		w.fault("invalid_grant_early")
		_, err := w.Token(t.Context(), w.app, con.ID, true)
		require.Equal(t, consent.CodeReauthRequired, consent.CodeOf(err))
		w.advance(61 * time.Minute)
	}
	assert.Equal(t, map[string]int{"lapse": 1}, w.sweep(w.Connector).Announced)
	assert.Equal(t, []string{"1 lapse"}, w.stages(con.ID), "there is no before an end that nobody foresaw")
	require.Len(t, w.notices(con.ID), 1)
	got := w.get(con.ID)
	w.advance(got.EndedAt.Add(7*day + time.Minute).Sub(w.bank.Clock().Now()))
	assert.Equal(t, map[string]int{"after_7d": 1}, w.sweep(w.Connector).Announced)
	for range 90 {
		w.advance(day)
		w.sweep(w.Connector)
	}
	assert.Equal(t, []string{"1 lapse", "1 after_7d", "1 after_30d", "1 window_7d", "1 window_end"}, w.stages(con.ID),
		"the forecast that stays on record is no lapse")
}

func TestAnExpiryAtTheInstantOfTheSweepIsTheLapse(t *testing.T) {
	w := newWorld(t)
	w.setCadence("lapse")
	now := micro(w.bank.Clock().Now())
	early, exact := w.lapsingAt("u", now.Add(time.Microsecond)), w.lapsingAt("v", now)
	assert.Equal(t, map[string]int{"lapse": 1}, w.sweep(w.byClock(stopped(now))).Announced)
	assert.Equal(t, []string{"1 lapse"}, w.stages(exact.ID))
	assert.Equal(t, consent.EventLapsed, w.history(exact.ID)[0].Type)
	assert.Empty(t, w.stages(early.ID))
	assert.Equal(t, map[string]int{"lapse": 1}, w.sweep(w.byClock(stopped(now.Add(time.Microsecond)))).Announced)
	assert.Zero(t, ptr(w.sweep(w.byClock(stopped(now.Add(time.Microsecond))))).Total())
	assert.Equal(t, []string{"1 lapse"}, w.stages(early.ID))
}

// TestNightsInWhichTheClocksChange sweeps every quarter of an hour through the
// nights in which Europe changes its clocks, by a clock that changes with them.
func TestNightsInWhichTheClocksChange(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	for name, change := range map[string]time.Time{
		"2027-03-28, an hour is missing":     time.Date(2027, 3, 28, 1, 0, 0, 0, time.UTC),
		"2027-10-31, an hour is there twice": time.Date(2027, 10, 31, 1, 0, 0, 0, time.UTC),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.setCadence("before_1h", "lapse", "after_1h")
			w.T = t
			_, before := change.Add(-time.Minute).In(berlin).Zone()
			_, after := change.In(berlin).Zone()
			require.NotEqual(t, before, after, "the clocks change")
			lapses := map[string]time.Time{}
			for at := change.Add(-2 * time.Hour); !at.After(change.Add(2 * time.Hour)); at = at.Add(10 * time.Minute) {
				con := w.lapsingAt("u", at.In(berlin))
				require.Equal(t, at.Add(-time.Hour), con.NextStageAt)
				lapses[con.ID] = at
			}
			const every = 15 * time.Minute
			for now := change.Add(-4 * time.Hour); !now.After(change.Add(4 * time.Hour)); now = now.Add(every) {
				w.sweep(w.byClock(stopped(now.In(berlin))))
			}
			for id, at := range lapses {
				require.Equal(t, []string{"1 before_1h", "1 lapse", "1 after_1h"}, w.stages(id), "lapsed at %s", at.In(berlin))
				for i, e := range w.history(id) {
					due := at.Add(time.Duration(i-1) * time.Hour)
					assert.False(t, e.At.Before(due), "%s at %s is too early", e.Stage, e.At)
					assert.True(t, e.At.Before(due.Add(every)), "%s at %s is late", e.Stage, e.At)
				}
			}
		})
	}
}

func TestBrokenRowsAreParkedAndTheRestGoesOn(t *testing.T) {
	w := newWorld(t)
	now := micro(w.bank.Clock().Now())
	times := func(change func(*consent.Consent)) consent.Consent {
		c := consent.Consent{UserID: "u", CreatedAt: now.Add(-80 * day), ConsentedAt: now.Add(-80 * day), ExpiresAt: now.Add(7 * day)}
		c.Reschedule(w.app.Cadence, w.app.Policy("truelayer"), c.ConsentedAt)
		change(&c)
		return w.has(c)
	}
	good := times(func(c *consent.Consent) {})
	broken := map[string]consent.Consent{
		consent.ParkedNoUser: times(func(c *consent.Consent) { c.UserID = "" }),
		consent.ParkedNoLapse: times(func(c *consent.Consent) {
			c.LapsesAt, c.LapsingAt, c.RenewableUntil = time.Time{}, time.Time{}, time.Time{}
		}),
		consent.ParkedBackwards:  times(func(c *consent.Consent) { c.ConsentedAt = c.LapsesAt.Add(day) }),
		consent.ParkedUnreadable: times(func(c *consent.Consent) { c.LapsingAt = c.LapsesAt.Add(day) }),
	}
	other, err := w.CreateApplication(t.Context(), consent.Application{Slug: "other", Name: "Other"})
	require.NoError(t, err)
	mine := w.app
	w.app = &other
	broken[consent.ParkedNoSettings] = times(func(c *consent.Consent) {})
	w.app = mine
	mended := other
	other.Cadence = consent.Cadence{{Name: "whenever"}}
	require.NoError(t, w.store.UpdateApplication(t.Context(), other))

	swept := w.sweep(w.byClock(stopped(now)))
	assert.Equal(t, map[string]int{"before_7d": 1}, swept.Announced)
	assert.Equal(t, len(broken), swept.Parked)
	assert.Equal(t, []string{"1 before_30d skipped", "1 before_7d"}, w.stages(good.ID))
	parked := func() map[string]string {
		t.Helper()
		count, first, err := w.Parked(t.Context(), 10)
		require.NoError(t, err)
		require.Len(t, first, count)
		reasons := map[string]string{}
		for i := range first {
			reasons[first[i].ParkedReason] = first[i].ID
			assert.Equal(t, now, first[i].ParkedAt)
		}
		return reasons
	}
	want := map[string]string{}
	for reason, con := range broken {
		want[reason] = con.ID
		assert.Contains(t, w.logs.String(), reason)
	}
	assert.Equal(t, want, parked())
	count, first, err := w.Parked(t.Context(), 2)
	require.NoError(t, err)
	assert.Equal(t, len(broken), count)
	assert.Len(t, first, 2)

	swept = w.sweep(w.byClock(stopped(now.Add(59 * time.Minute))))
	assert.Zero(t, swept.Parked, "they are looked at again after an hour")
	said := strings.Count(w.logs.String(), "consent parked")
	swept = w.sweep(w.byClock(stopped(now.Add(time.Hour))))
	assert.Equal(t, len(broken), swept.Parked)
	assert.Equal(t, said, strings.Count(w.logs.String(), "consent parked"), "it is said once")
	assert.Equal(t, want, parked(), "since when they are parked stays on record")

	// Whoever mends the data ends the parking.
	require.NoError(t, w.store.UpdateApplication(t.Context(), mended))
	fixed := broken[consent.ParkedUnreadable]
	fixed.Reschedule(mine.Cadence, mine.Policy("truelayer"), time.Time{})
	require.NoError(t, w.store.SetOutlook(t.Context(), consent.Outlook{
		ApplicationID: mine.ID, ConsentID: fixed.ID, Cycle: fixed.Cycle, ExpiresAt: fixed.ExpiresAt, ExpirySource: fixed.ExpirySource,
		LapsingAt: fixed.LapsingAt, LapsesAt: fixed.LapsesAt, RenewableUntil: fixed.RenewableUntil, NextStageAt: fixed.NextStageAt,
	}))
	swept = w.sweep(w.byClock(stopped(now.Add(2 * time.Hour))))
	assert.Equal(t, map[string]int{"before_7d": 2}, swept.Announced)
	delete(want, consent.ParkedUnreadable)
	delete(want, consent.ParkedNoSettings)
	assert.Equal(t, want, parked())
	assert.Equal(t, []string{"1 before_30d skipped", "1 before_7d"}, w.stages(fixed.ID))
}

// unlisted is a registry that cannot list its applications for a moment.
type unlisted struct {
	consent.Registry
	times int
}

var errAway = errors.New("the database is away")

func (r *unlisted) ListApplications(ctx context.Context) ([]consent.Application, []consent.UnreadableApplication, error) {
	if r.times > 0 {
		r.times--
		return nil, nil, errAway
	}
	return r.Registry.ListApplications(ctx)
}

func TestADatabaseThatIsAwayForAMomentParksNobody(t *testing.T) {
	w := newWorld(t)
	now := micro(w.bank.Clock().Now())
	con := w.lapsingAt("u", now)
	w.reg.Registry = &unlisted{Registry: w.store, times: 1}
	_, err := w.byClock(stopped(now)).Sweep(t.Context())
	if err != nil {
		require.ErrorIs(t, err, errAway)
	}
	count, _, err := w.Parked(t.Context(), 10)
	require.NoError(t, err)
	assert.Zero(t, count, "no fault of the consents")
	w.sweep(w.byClock(stopped(now.Add(time.Minute))))
	assert.Contains(t, w.stages(con.ID), "1 lapse", "the next sweep announces it, not one that comes an hour later")
}

func TestSweepsAtOnceAnnounceOnce(t *testing.T) {
	w := newWorld(t)
	w.setCadence("lapse", "after_1d")
	now := micro(w.bank.Clock().Now())
	const many = 5300 // more than fit into a batch
	rs := make([]consent.Registration, many)
	for i := range rs {
		id := fmt.Sprintf("con_many%05d", i)
		con := consent.Consent{
			ApplicationID: w.app.ID, ID: id, UserID: fmt.Sprintf("u%d", i/2), Provider: "truelayer", ProviderID: "mock", CredentialsID: id, Cycle: 1,
			Custody: consent.CustodyBackend, CreatedAt: now.Add(-90 * day), ConsentedAt: now.Add(-90 * day), ExpiresAt: now.Add(-time.Duration(i) * time.Second),
			ExpirySource: consent.FromBackend,
		}
		con.Reschedule(w.app.Cadence, consent.Policy{}, con.ConsentedAt)
		rs[i] = consent.Registration{Consent: con, Contact: consent.User{ApplicationID: w.app.ID, ID: con.UserID, Email: "u@example.org", CreatedAt: now, UpdatedAt: now}}
	}
	_, err := w.store.Register(t.Context(), w.app.ID, rs)
	require.NoError(t, err)

	announced := make([]int, 4)
	var group sync.WaitGroup
	for i := range announced {
		replica := w.byClock(stopped(now.Add(time.Duration(i) * time.Millisecond)))
		group.Go(func() {
			swept, err := replica.Sweep(t.Context())
			assert.NoError(t, err)
			announced[i] = swept.Announced["lapse"]
		})
	}
	group.Wait()
	total := 0
	for _, n := range announced {
		total += n
	}
	assert.Equal(t, many, total)
	assert.Zero(t, ptr(w.sweep(w.byClock(stopped(now)))).Total())
	notices := w.notices("")
	assert.Len(t, notices, many)
	digests := map[string]int{}
	for _, n := range notices {
		digests[n.Digest]++
	}
	assert.Len(t, digests, many/2, "two consents of one user go into one message")
	for _, id := range []string{"con_many00000", "con_many02500", "con_many05299"} {
		assert.Equal(t, []string{"1 lapse"}, w.stages(id))
	}
	var events int
	require.NoError(t, w.store.DB().QueryRowContext(t.Context(), `SELECT count(*) FROM events WHERE stage = 'lapse'`).Scan(&events))
	assert.Equal(t, many, events)
}

func TestReplicasWhoseClocksDifferAnnounceOnce(t *testing.T) {
	const apart = 30 * time.Second
	for _, aheadFirst := range []bool{true, false} {
		t.Run(fmt.Sprintf("ahead first %v", aheadFirst), func(t *testing.T) {
			w := newWorld(t)
			now := micro(w.bank.Clock().Now())
			ids := map[string]time.Time{}
			for off := -time.Minute; off <= 10*time.Minute; off += 7 * time.Second {
				ids[w.lapsingAt("u", now.Add(off)).ID] = now.Add(off)
			}
			for at := now; at.Before(now.Add(12 * time.Minute)); at = at.Add(20 * time.Second) {
				order := []time.Time{at.Add(apart), at}
				if !aheadFirst {
					slices.Reverse(order)
				}
				for _, clock := range order {
					w.sweep(w.byClock(stopped(clock)))
				}
			}
			for id, lapse := range ids {
				var announced []string
				for _, e := range w.history(id) {
					if e.Data["skipped"] != true {
						announced = append(announced, e.Stage)
					}
				}
				assert.Equal(t, "lapse", announced[len(announced)-1], "lapsed at %s", lapse)
				assert.Len(t, w.stages(id), 4, "before_30d, before_7d, before_1d, lapse: each once")
				assert.Len(t, w.notices(id), len(announced))
			}
		})
	}
}

func TestDueTellsWhatASweepWouldAnnounceAndChangesNothing(t *testing.T) {
	w := newWorld(t)
	now := micro(w.bank.Clock().Now())
	con := w.lapsingAt("u", now.Add(-time.Hour))
	quiet := w.lapsingAt("v", now.Add(80*day))
	replica := w.byClock(stopped(now))
	for range 2 {
		due := map[string]string{}
		require.NoError(t, replica.Due(t.Context(), func(c *consent.Consent, f consent.Flag) error {
			due[c.ID] = f.Announce.Name
			return nil
		}))
		assert.Equal(t, map[string]string{con.ID: "lapse"}, due)
	}
	assert.Equal(t, con, w.get(con.ID))
	assert.Empty(t, w.stages(con.ID))
	w.sweep(replica)
	require.NoError(t, replica.Due(t.Context(), func(c *consent.Consent, _ consent.Flag) error { return fmt.Errorf("%s is due", c.ID) }))
	assert.Equal(t, quiet, w.get(quiet.ID))
}

func TestAnApplicationThatTellsItsUsersItselfGetsEventsAndNoNotices(t *testing.T) {
	w := newWorld(t)
	w.app.NoMail = true
	require.NoError(t, w.store.UpdateApplication(t.Context(), *w.app))
	now := micro(w.bank.Clock().Now())
	con := w.lapsingAt("u", now)
	w.sweep(w.byClock(stopped(now)))
	assert.Contains(t, w.stages(con.ID), "1 lapse")
	assert.Empty(t, w.notices(con.ID))
}
