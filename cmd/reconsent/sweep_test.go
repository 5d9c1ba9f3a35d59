package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/sqlstore"
)

// lapsingSoon imports consents that lapse in five days, so that the stage a
// week before is due, and returns the installation.
func lapsingSoon(t *testing.T, databaseURL string, count int) installation {
	t.Helper()
	in := install(t, databaseURL)
	now := time.Now().UTC()
	rows := csvHeader
	for i := range count {
		rows += fmt.Sprintf("cred-%d,rt-%d,truelayer,mock,user-%d,user-%d@example.org,https://app.example/callback,accounts,%s,%s,backend\n",
			i, i, i, i, now.AddDate(0, 0, -85).Format(time.RFC3339), now.AddDate(0, 0, 5).Format(time.RFC3339))
	}
	succeeds(t, in.with("consent", "import", write(t, "soon.csv", rows), "--app", "acme", "--announce")...)
	return in
}

func TestSweepSaysWhatItDid(t *testing.T) {
	onEach(t, func(t *testing.T, databaseURL string) {
		in := lapsingSoon(t, databaseURL, 3)

		dry := succeeds(t, in.with("sweep", "--dry-run")...)
		assert.Equal(t, 3, strings.Count(dry, "before_7d"), dry)
		assert.Contains(t, dry, "3 due; nothing was changed")
		assert.Equal(t, dry, succeeds(t, in.with("sweep", "--dry-run")...), "a dry run changes nothing")

		out := succeeds(t, in.with("sweep")...)
		assert.Contains(t, out, "announced: 3 (before_7d 3)")
		assert.Contains(t, out, "messages queued: 3")
		assert.Contains(t, out, "parked: 0")

		out = succeeds(t, in.with("sweep")...)
		assert.Contains(t, out, "announced: 0\n", "once is once")
		assert.Contains(t, out, "messages queued: 0")
		assert.Contains(t, succeeds(t, in.with("sweep", "--dry-run")...), "0 due; nothing was changed")
	})
}

func TestSweepExitsThreeWhereSomethingIsParked(t *testing.T) {
	onEach(t, func(t *testing.T, databaseURL string) {
		in := lapsingSoon(t, databaseURL, 3)
		spoil(t, databaseURL, `UPDATE consents SET user_id = '' WHERE credentials_id = 'cred-1'`)
		for range 2 { // the second time it is still parked, and still said
			r := reconsent(t, in.with("sweep")...)
			assert.Equal(t, exitParked, r.code)
			assert.Contains(t, r.out, "parked: 1")
			assert.Contains(t, r.out, "no_user")
			assert.NotContains(t, r.err, "reconsent: ", "what is wrong is said once, on standard output")
		}
		assert.Contains(t, reconsent(t, in.with("doctor")...).out, "parked consents: 1; ")
	})
}

func spoil(t *testing.T, databaseURL, text string) {
	t.Helper()
	s, err := sqlstore.Open(t.Context(), databaseURL)
	require.NoError(t, err)
	_, err = s.DB().ExecContext(t.Context(), text)
	require.NoError(t, err)
	require.NoError(t, s.Close())
}

func TestServeRefusesASweepThatComesTooRarely(t *testing.T) {
	in := install(t, sqliteFile(t))
	r := reconsent(t, in.with("serve", "--addr", "127.0.0.1:0", "--sweep-schedule", "0 0 1 * *")...)
	assert.Equal(t, exitUsage, r.code)
	assert.Contains(t, r.err, `sweep-schedule "0 0 1 * *" pauses for up to 31 days, but application acme wants before_7d and before_1d announced`[:60])
	assert.Contains(t, r.err, "acme")
	assert.Equal(t, 1, strings.Count(r.err, "\n"), r.err)

	for flag, value := range map[string]string{"--sweep-schedule": "every now and then", "--smtp-url": "mail.example.org", "--mail-from": "nobody"} {
		r := reconsent(t, in.with("serve", flag, value)...)
		assert.Equal(t, exitUsage, r.code)
		assert.Contains(t, r.err, flag)
	}
}

func TestAppSetChangesACadence(t *testing.T) {
	onEach(t, func(t *testing.T, databaseURL string) {
		in := lapsingSoon(t, databaseURL, 1)
		succeeds(t, in.with("sweep")...)
		out := succeeds(t, in.with("app", "set", "acme", "--cadence", "lapse,before_4d,before_7d", "--mails-per-day", "100", "--renew-by", "truelayer=extend", "--paused")...)
		assert.Contains(t, out, "before_7d and before_4d are 3 days apart")

		s, err := sqlstore.Open(t.Context(), databaseURL)
		require.NoError(t, err)
		app, err := s.ApplicationBySlug(context.WithoutCancel(t.Context()), "acme")
		require.NoError(t, err)
		assert.Equal(t, []string{"before_7d", "before_4d", "lapse"}, app.Cadence.Names())
		assert.Equal(t, 100, app.MailsPerDay)
		assert.True(t, app.Paused)
		assert.EqualValues(t, "extend", app.Policy("truelayer").RenewBy)
		var next int64
		require.NoError(t, s.DB().QueryRowContext(t.Context(), `SELECT next_stage_at FROM consents`).Scan(&next))
		require.NoError(t, s.Close())
		assert.WithinDuration(t, time.Now().AddDate(0, 0, 1), time.UnixMicro(next), time.Hour, "the stage four days before is on the calendar")

		for _, bad := range [][]string{{"--cadence", "lapse,lapse"}, {"--cadence", "before_9999d"}, {"--cadence", "soon"}, {"--renew-by", "truelayer"}, {"--renew-by", "truelayer=magic"}, {"--mails-per-day", "-1"}} {
			r := reconsent(t, in.with(append([]string{"app", "set", "acme"}, bad...)...)...)
			assert.Equal(t, exitUsage, r.code, bad)
		}
	})
}
