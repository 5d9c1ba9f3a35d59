package main

import (
	"context"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/connector"
	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/internal/pgtest"
	"github.com/reconsent/reconsent/scheduler"
)

// BenchmarkFromDueToAnnounced lets consents fall due at the pace of a million a
// day, twelve a second, and reports how long after its moment a stage was
// announced and on record, its notice and message with it: less than one period
// of the sweep, and what a sweep takes.
func BenchmarkFromDueToAnnounced(b *testing.B) {
	const period, lasting, perSecond = 2 * time.Second, 20 * time.Second, 12
	dsn := pgtest.DSN(b, pgtest.Durable)
	in := install(b, dsn)
	every, err := scheduler.ParseSchedule("@every 2s")
	require.NoError(b, err)
	sys, err := open(b.Context(), config{databaseURL: dsn, keys: in.keys(b), baseURL: "http://127.0.0.1:8080"},
		parts{now: time.Now, log: config{}.logger(stdio{err: io.Discard}), sweep: every})
	require.NoError(b, err)
	defer func() { require.NoError(b, sys.store.Close()) }()
	app, err := sys.applicationNamed(b.Context(), "acme")
	require.NoError(b, err)

	for range b.N {
		var rows []connector.NewConsent
		begin := time.Now().Add(3 * time.Second)
		for i := range int(lasting.Seconds()) * perSecond {
			due := begin.Add(time.Duration(i) * time.Second / perSecond)
			rows = append(rows, connector.NewConsent{
				CredentialsID: newID(), RefreshToken: "rt-" + newID(), Provider: "truelayer", UserID: newID(), Custody: consent.CustodyBackend, Email: "ada@example.org",
				ConsentedAt: due.AddDate(0, 0, -83), ExpiresAt: due.AddDate(0, 0, 7),
			})
		}
		ids := make([]string, len(rows))
		for i, in := range rows {
			con, err := sys.connector.Register(b.Context(), &app, in)
			require.NoError(b, err)
			ids[i] = con.ID
		}
		ctx, stop := context.WithCancel(b.Context())
		done := make(chan error, 1)
		go func() { done <- sys.scheduler.Run(ctx, drainTime) }()
		var late []time.Duration
		for _, id := range ids {
			require.Eventually(b, func() bool {
				d, announced := lateness(b, sys, &app, id)
				if announced {
					late = append(late, d)
				}
				return announced
			}, lasting+time.Minute, 5*time.Millisecond)
		}
		stop()
		require.NoError(b, <-done)
		slices.Sort(late)
		b.ReportMetric(late[len(late)/2].Seconds(), "s-median")
		b.ReportMetric(late[len(late)-1].Seconds(), "s-latest")
	}
}

// lateness is how long after its moment the stage a week before can be seen to
// have been announced.
func lateness(b *testing.B, sys *system, app *consent.Application, id string) (time.Duration, bool) {
	b.Helper()
	events, err := sys.connector.Events(b.Context(), app, id, 0, 100)
	require.NoError(b, err)
	for _, e := range events {
		if e.Stage == "before_7d" && e.Data["skipped"] == nil {
			due, err := time.Parse(time.RFC3339Nano, e.Data["due_at"].(string))
			require.NoError(b, err)
			return time.Since(due), true
		}
	}
	return 0, false
}
