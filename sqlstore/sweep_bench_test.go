package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/lib/pq" // the driver
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/internal/pgtest"
	"github.com/reconsent/reconsent/migrations"
)

// benchSize is a number from the environment, so that the big figures can be
// measured with the same code as the small ones.
func benchSize(name string, fallback int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return fallback
}

// crowd is a registry in which each of several rounds has its own consents
// due: round n's at n hours after the first.
type crowd struct {
	s      *Store
	db     *sql.DB
	stored int
	due    int // a round
	ids    atomic.Int64
}

const (
	crowdZero  = 1_800_000_000_000_000
	crowdHour  = int64(time.Hour / time.Microsecond)
	crowdMonth = 30 * 24 * crowdHour
)

func crowdTime(round int) time.Time { return time.UnixMicro(crowdZero + int64(round)*crowdHour) }

// newCrowd fills the registry by SQL alone. What is in no round is due a year
// later.
func newCrowd(b *testing.B, s *Store, stored, due, rounds int) *crowd {
	b.Helper()
	c := &crowd{s: s, db: s.db.DB, stored: stored, due: due}
	series, text, scatter := "generate_series(0, %[1]d) AS g(i)", "text", "(i * 2654435761) %% 4294967296"
	id := "'con_' || lpad(to_hex(" + scatter + "), 8, '0') || i"
	if s.dialect == migrations.SQLite {
		series = "(WITH RECURSIVE g(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM g WHERE i < %[1]d) SELECT i FROM g)"
		id = "printf('con_%%08x%%d', " + scatter + ", i)"
	}
	// Ids in no order, as those of consents that live for years become.
	users := `INSERT INTO users (application_id, id, email, phone, name, locale, time_zone, created_at, updated_at)
		SELECT 'app_1', 'user_' || CAST(i AS ` + text + `), 'user' || CAST(i AS ` + text + `) || '@example.org', '', '', '', '', 0, 0 FROM ` + series
	consents := `INSERT INTO consents (application_id, id, user_id, provider, provider_id, bank_name, account_label, credentials_id,
			cycle, custody, scopes, redirect_uri, hosted, replaces, created_at, consented_at, expires_at, expiry_source, ended_reason, revoked_by,
			pending, lapsing_at, lapses_at, renewable_until, next_stage_at, accounts, refresh_token, seq, lease_id)
		SELECT 'app_1', ` + id + `, 'user_' || CAST(i AS ` + text + `), 'truelayer', 'ob-mock', 'Mock Bank', '', 'cred_' || CAST(i AS ` + text + `),
			1, 'ours', 'accounts balance', 'https://app.example/callback', TRUE, '', due - 2 * %[2]d, due - 2 * %[2]d, due + %[2]d, 'provider', '', '',
			FALSE, due, due + %[2]d, due + 4 * %[2]d, due, '', CAST('0123456789012345678901234567890123456789012345678901234567890123' AS ` + blobType(s) + `), 1, ''
		FROM (SELECT i, CASE WHEN i / %[3]d < %[4]d THEN %[5]d + (i / %[3]d + 1) * %[6]d - i %% 1000 ELSE %[5]d + 12 * %[2]d + i END AS due FROM ` + series + `) AS x`
	exec(b, c.db, fmt.Sprintf(users, stored-1))
	exec(b, c.db, fmt.Sprintf(consents, stored-1, crowdMonth, due, rounds, int64(crowdZero), crowdHour))
	if s.dialect == migrations.Postgres {
		exec(b, c.db, "VACUUM ANALYZE")
		exec(b, c.db, "CHECKPOINT")
	} else {
		exec(b, c.db, "ANALYZE")
	}
	return c
}

func blobType(s *Store) string {
	if s.dialect == migrations.SQLite {
		return "BLOB"
	}
	return "BYTEA"
}

// heapMB is how much memory the process has ever taken for its heap.
func heapMB() float64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapSys) / (1 << 20)
}

func exec(b *testing.B, db *sql.DB, text string) {
	b.Helper()
	_, err := db.ExecContext(b.Context(), text)
	require.NoError(b, err, text)
}

// sweep flags a round's consents with a number of workers and returns how many
// it took.
func (c *crowd) sweep(ctx context.Context, round, workers int) (int64, error) {
	cadence := consent.DefaultCadence()
	now := crowdTime(round)
	var taken atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range workers {
		g.Go(func() error {
			filter := consent.DueFilter{Now: now, Limit: 5000}
			for {
				judged, err := c.s.Flag(ctx, filter, func(con *consent.Consent) consent.Judgement {
					j := consent.Judgement{Flag: con.Flag(cadence, now), DigestID: fmt.Sprintf("dgt_%032x", c.ids.Add(1))}
					data := map[string]any{"due_at": j.Flag.Announce.At.Format(time.RFC3339Nano), "lapses_at": con.LapsesAt.Format(time.RFC3339Nano)}
					j.Events = []consent.Event{{ID: fmt.Sprintf("evt_%032x", c.ids.Add(1)), Type: j.Flag.Announce.Event(), At: now, Stage: j.Flag.Announce.Name, Data: data}}
					return j
				})
				if err != nil || len(judged) == 0 {
					return err
				}
				taken.Add(int64(len(judged)))
				last := &judged[len(judged)-1].Consent
				filter.After = consent.DueCursor{At: last.NextStageAt, ApplicationID: last.ApplicationID, ID: last.ID}
			}
		})
	}
	err := g.Wait()
	return taken.Load(), err
}

// yardstick is the same in one statement, on PostgreSQL: at $1, with ids that
// ascend from $2 as the sweep's do.
const yardstick = `WITH due AS MATERIALIZED (
		SELECT application_id, id, user_id, cycle, seq, next_stage_at, lapses_at,
			lpad(to_hex($2 + row_number() OVER ()), 32, '0') AS fresh FROM consents
		WHERE next_stage_at <= $1 AND revoked_at IS NULL AND NOT pending
	), moved AS (
		UPDATE consents c SET next_stage_at = d.lapses_at - 7 * 86400000000, seq = d.seq + 1, announced = 'before_30d', parked_at = NULL, parked_reason = ''
		FROM due d WHERE c.application_id = d.application_id AND c.id = d.id
	), told AS (
		INSERT INTO events (application_id, consent_id, seq, id, type, at, cycle, stage, data)
		SELECT application_id, id, seq + 1, 'evt_' || fresh, 'consent.lapsing', $1, cycle, 'before_30d',
			'{"due_at":"' || to_char(to_timestamp(next_stage_at / 1e6), 'YYYY-MM-DD"T"HH24:MI:SS"Z"') || '","lapses_at":"' ||
				to_char(to_timestamp(lapses_at / 1e6), 'YYYY-MM-DD"T"HH24:MI:SS"Z"') || '"}'
		FROM due
	), digested AS (
		INSERT INTO digests (application_id, id, user_id, channel, state, created_at, due_at)
		SELECT d.application_id, 'dgt_' || d.fresh, d.user_id, 'email', 'open', $1, $1 FROM due d JOIN users u ON u.application_id = d.application_id AND u.id = d.user_id
		WHERE u.email <> '' ON CONFLICT (application_id, user_id, channel) WHERE state = 'open' DO UPDATE SET user_id = excluded.user_id
	) INSERT INTO notices (application_id, consent_id, cycle, stage, channel, digest_id, outcome)
		SELECT application_id, id, cycle, 'before_30d', 'email', 'dgt_' || fresh, 'waiting' FROM due ON CONFLICT DO NOTHING`

// BenchmarkSweep compares, in rows a second and in one run, a sweep in batches
// with one statement that does the same writes.
func BenchmarkSweep(b *testing.B) {
	due := benchSize("BENCH_DUE", 20_000)
	stored := benchSize("BENCH_STORED", 5*due)
	b.Run("postgres", func(b *testing.B) {
		s, err := Open(b.Context(), pgtest.DSN(b, pgtest.Durable))
		require.NoError(b, err)
		b.Cleanup(func() { _ = s.Close() })
		require.NoError(b, s.Migrate(b.Context()))
		c := newCrowd(b, s, stored, due, 4)
		b.Run("nothing due", func(b *testing.B) {
			for b.Loop() {
				n, err := c.sweep(b.Context(), 0, 1)
				require.NoError(b, err)
				require.Zero(b, n)
			}
		})
		perSecond := map[string]float64{}
		for i, way := range []string{"one worker", "one statement", "two workers"} {
			b.Run(way, func(b *testing.B) {
				for range b.N {
					if b.N > 1 {
						b.Fatal("each row is due once: run with -benchtime=1x")
					}
					n, err := int64(0), error(nil)
					if way == "one statement" {
						var res sql.Result
						if res, err = c.db.ExecContext(b.Context(), yardstick, crowdTime(i+1).UnixMicro(), c.ids.Add(int64(due))-int64(due)); err == nil {
							n, err = res.RowsAffected()
						}
					} else {
						n, err = c.sweep(b.Context(), i+1, min(i+1, 2))
					}
					require.NoError(b, err)
					require.EqualValues(b, due, n)
				}
				perSecond[way] = float64(due) / b.Elapsed().Seconds()
				b.ReportMetric(perSecond[way], "rows/s")
				b.ReportMetric(heapMB(), "heap-MB")
			})
		}
		if base := perSecond["one statement"]; base > 0 {
			b.Logf("of the statement's rows a second: one worker %.2f, two workers %.2f", perSecond["one worker"]/base, perSecond["two workers"]/base)
		}
	})
	b.Run("sqlite", func(b *testing.B) {
		s, err := Open(b.Context(), "sqlite:"+filepath.Join(b.TempDir(), "registry.db"))
		require.NoError(b, err)
		b.Cleanup(func() { _ = s.Close() })
		require.NoError(b, s.Migrate(b.Context()))
		c := newCrowd(b, s, stored, due, 1)
		b.Run("one worker", func(b *testing.B) {
			n, err := c.sweep(b.Context(), 1, 1)
			require.NoError(b, err)
			require.EqualValues(b, due, n)
			b.ReportMetric(float64(due)/b.Elapsed().Seconds(), "rows/s")
		})
	})
}
