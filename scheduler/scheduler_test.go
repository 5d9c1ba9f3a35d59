package scheduler_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/lib/pq" // the driver
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	_ "modernc.org/sqlite" // the driver

	"github.com/reconsent/reconsent/internal/pgtest"
	"github.com/reconsent/reconsent/scheduler"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

const (
	// soon is when a test gives up waiting for what is to happen at once.
	soon = 20 * time.Second
	// election is when it gives up on what needs another leader.
	election = 60 * time.Second
	// drain is longer than any test needs.
	drain = 30 * time.Second
	tick  = 10 * time.Millisecond
)

// database is an empty database with River's tables.
type database struct {
	db     *sql.DB
	url    string
	sqlite bool
}

// connect opens the database as another process would.
func (d *database) connect(t *testing.T) *sql.DB {
	t.Helper()
	driver, conns := "postgres", 20
	if d.sqlite {
		driver, conns = "sqlite", 1
	}
	db, err := sql.Open(driver, d.url)
	require.NoError(t, err)
	db.SetMaxOpenConns(conns)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func opened(t *testing.T, sqlite bool) *database {
	t.Helper()
	// Looked at when all else that the test has begun is over.
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		// Each look waits a moment. A leader that is cut off tries for some
		// seconds to say that it goes.
		for tries := 0; tries < 90 && goleak.Find(before) != nil; tries++ {
			continue
		}
		goleak.VerifyNone(t, before)
	})
	d := &database{sqlite: sqlite}
	if sqlite {
		d.url = "file:" + filepath.Join(t.TempDir(), "jobs.db") +
			"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_txlock=immediate"
	} else {
		d.url = pgtest.DSN(t)
	}
	d.db = d.connect(t)
	require.NoError(t, scheduler.Migrate(t.Context(), d.db, sqlite))
	return d
}

// onEach runs a test on each database.
func onEach(t *testing.T, run func(t *testing.T, d *database)) {
	t.Run("sqlite", func(t *testing.T) { run(t, opened(t, true)) })
	t.Run("postgres", func(t *testing.T) { run(t, opened(t, false)) })
}

// config is that of a scheduler that looks for jobs all the time.
func (d *database) config(jobs ...scheduler.Job) scheduler.Config {
	return scheduler.Config{DB: d.db, SQLite: d.sqlite, Log: slog.New(slog.DiscardHandler), Now: time.Now, Jobs: jobs, Poll: tick}
}

func build(t *testing.T, cfg scheduler.Config) *scheduler.Scheduler {
	t.Helper()
	s, err := scheduler.New(cfg)
	require.NoError(t, err)
	return s
}

// running is a scheduler's Run.
type running struct {
	t      *testing.T
	cancel context.CancelFunc
	ended  chan error
	once   sync.Once
}

func start(t *testing.T, s *scheduler.Scheduler, drain time.Duration) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	r := &running{t: t, cancel: cancel, ended: make(chan error, 1)}
	go func() { r.ended <- s.Run(ctx, drain) }()
	t.Cleanup(func() { r.stop() })
	return r
}

// stop ends Run, which must have nothing to complain of; doing so twice is as
// doing so once.
func (r *running) stop() {
	r.t.Helper()
	r.cancel()
	r.once.Do(func() { assert.NoError(r.t, within(r.t, r.ended, soon)) })
}

// within returns what comes from a channel before long.
func within[T any](t *testing.T, c <-chan T, d time.Duration) T {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case v := <-c:
		return v
	case <-timer.C:
		require.FailNow(t, "nothing came in time")
		panic("unreachable")
	}
}

// enqueue commits a job for each key.
func (d *database) enqueue(t *testing.T, s *scheduler.Scheduler, kind string, keys ...string) {
	t.Helper()
	tx, err := d.db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer func() { _ = tx.Rollback() }() // nothing after a commit
	require.NoError(t, s.Enqueue(t.Context(), tx, kind, keys))
	require.NoError(t, tx.Commit())
}

func (d *database) exec(t *testing.T, query string) {
	t.Helper()
	_, err := d.db.ExecContext(t.Context(), query)
	require.NoError(t, err, query)
}

func (d *database) count(t *testing.T, query string) int {
	t.Helper()
	var n int
	require.NoError(t, d.db.QueryRowContext(t.Context(), query).Scan(&n), query)
	return n
}

// eventually waits until a query counts as many.
func (d *database) eventually(t *testing.T, want int, query string) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		var n int
		require.NoError(c, d.db.QueryRowContext(t.Context(), query).Scan(&n))
		assert.Equal(c, want, n)
	}, soon, tick, query)
}

// told is a handler that tells of each key.
func told() (scheduler.Handler, chan string) {
	c := make(chan string, 10_000)
	return func(_ context.Context, key string) error { c <- key; return nil }, c
}

// never asserts that nothing more has been told.
func never(t *testing.T, c <-chan string) {
	t.Helper()
	select {
	case key := <-c:
		assert.Failf(t, "nothing was to be done", "%q was", key)
	default:
	}
}

func every(t *testing.T, text string) *scheduler.Schedule {
	t.Helper()
	s, err := scheduler.ParseSchedule(text)
	require.NoError(t, err)
	return &s
}

func idle(t *testing.T, s *scheduler.Scheduler) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	require.NoError(t, s.Idle(ctx))
}

func TestTheTablesAreMadeOnce(t *testing.T) {
	onEach(t, func(t *testing.T, d *database) {
		require.NoError(t, scheduler.Check(t.Context(), d.db, d.sqlite))
		require.NoError(t, scheduler.Migrate(t.Context(), d.db, d.sqlite))
		d.exec(t, `DELETE FROM river_migration WHERE version = (SELECT max(version) FROM river_migration)`)
		require.ErrorIs(t, scheduler.Check(t.Context(), d.db, d.sqlite), scheduler.ErrOutdated)
	})
	empty := &database{sqlite: true, url: "file:" + filepath.Join(t.TempDir(), "empty.db")}
	require.Error(t, scheduler.Check(t.Context(), empty.connect(t), true))
}

func TestAJobIsDoneAfterItsTransactionAndNeverWithoutIt(t *testing.T) {
	onEach(t, func(t *testing.T, d *database) {
		do, done := told()
		s := build(t, d.config(scheduler.Job{Kind: "work", Do: do}))
		start(t, s, drain)
		for _, commit := range []bool{true, false} {
			tx, err := d.db.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			require.NoError(t, s.Enqueue(t.Context(), tx, "work", []string{"one", "two/ü \"x\""}))
			require.NoError(t, s.Enqueue(t.Context(), tx, "work", nil), "no keys, no jobs")
			if !d.sqlite {
				d.enqueue(t, s, "work", "another's")
				assert.Equal(t, "another's", within(t, done, soon), "what is not committed is not there")
				idle(t, s)
			}
			never(t, done)
			if !commit {
				require.NoError(t, tx.Rollback())
				d.enqueue(t, s, "work", "last")
				assert.Equal(t, "last", within(t, done, soon))
				idle(t, s)
				never(t, done)
				continue
			}
			require.NoError(t, tx.Commit())
			assert.ElementsMatch(t, []string{"one", "two/ü \"x\""}, []string{within(t, done, soon), within(t, done, soon)})
		}
	})
}

// lines is a log that can be read.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func TestAnErrorIsLoggedAndNotRepeated(t *testing.T) {
	onEach(t, func(t *testing.T, d *database) {
		do, done := told()
		log := &lines{}
		cfg := d.config(scheduler.Job{Kind: "work", Do: func(ctx context.Context, key string) error {
			if err := do(ctx, key); err != nil || key != "bad" {
				return err
			}
			return errors.New("the bank is closed")
		}})
		cfg.Log = slog.New(slog.NewTextHandler(log, nil))
		s := build(t, cfg)
		r := start(t, s, drain)
		d.enqueue(t, s, "work", "bad")
		assert.Equal(t, "bad", within(t, done, soon))
		d.eventually(t, 1, `SELECT count(*) FROM river_job WHERE state = 'cancelled' AND attempt = 1`)
		d.enqueue(t, s, "work", "good")
		assert.Equal(t, "good", within(t, done, soon))
		d.eventually(t, 1, `SELECT count(*) FROM river_job WHERE state = 'completed'`)
		idle(t, s)
		r.stop()
		never(t, done)
		for _, want := range []string{"the bank is closed", "work", "bad"} {
			assert.Contains(t, log.String(), want)
		}
		assert.Equal(t, 1, strings.Count(log.String(), "level=ERROR"), log.String())
	})
}

func TestAPanicTakesNothingElseAlong(t *testing.T) {
	onEach(t, func(t *testing.T, d *database) {
		do, done := told()
		s := build(t, d.config(scheduler.Job{Kind: "work", Do: func(ctx context.Context, key string) error {
			if key == "bad" {
				panic("as it happens")
			}
			return do(ctx, key)
		}}))
		start(t, s, drain)
		d.enqueue(t, s, "work", "bad")
		d.eventually(t, 1, `SELECT count(*) FROM river_job WHERE errors IS NOT NULL`)
		d.enqueue(t, s, "work", "good")
		assert.Equal(t, "good", within(t, done, soon))
	})
}

func TestWhatADeadProcessLeftIsDone(t *testing.T) {
	onEach(t, func(t *testing.T, d *database) {
		do, done := told()
		s := build(t, d.config(scheduler.Job{Kind: "work", Do: do}))
		d.enqueue(t, s, "work", "queued")
		want, old := []string{"queued"}, `now() - interval '1 hour'`
		if d.sqlite {
			// Jobs that have one try only are done again too.
			require.NoError(t, s.Now(t.Context(), "work"))
			want, old = append(want, ""), `datetime('now', '-1 hour')`
		}
		d.exec(t, `UPDATE river_job SET state = 'running', attempt = 1, attempted_at = `+old)
		start(t, s, drain)
		var got []string
		for range want {
			got = append(got, within(t, done, election))
		}
		assert.ElementsMatch(t, want, got)
		d.eventually(t, len(want), `SELECT count(*) FROM river_job WHERE state = 'completed'`)
		never(t, done)
	})
}

func TestOnPostgresWhatAnotherIsDoingIsLeftToIt(t *testing.T) {
	d := opened(t, false)
	do, done := told()
	s := build(t, d.config(scheduler.Job{Kind: "work", Do: do}))
	d.enqueue(t, s, "work", "another's")
	d.exec(t, `UPDATE river_job SET state = 'running', attempt = 1, attempted_at = now()`)
	start(t, s, drain)
	d.enqueue(t, s, "work", "ours")
	assert.Equal(t, "ours", within(t, done, soon))
	d.eventually(t, 1, `SELECT count(*) FROM river_leader`)
	never(t, done)
	d.eventually(t, 1, `SELECT count(*) FROM river_job WHERE state = 'completed'`)
	assert.Equal(t, 1, d.count(t, `SELECT count(*) FROM river_job WHERE state = 'running'`))
}

func TestAScheduleRunsAtStartAndAgain(t *testing.T) {
	onEach(t, func(t *testing.T, d *database) {
		do, done := told()
		s := build(t, d.config(scheduler.Job{Kind: "sweep", Do: do, Every: every(t, "@every 1s")}, scheduler.Job{Kind: "rare", Do: do, Every: every(t, "@yearly")}))
		r := start(t, s, drain)
		for range 4 {
			assert.Empty(t, within(t, done, soon))
		}
		r.stop()
		assert.Equal(t, 1, d.count(t, `SELECT count(*) FROM river_job WHERE kind = 'rare'`), "at start")
		assert.GreaterOrEqual(t, d.count(t, `SELECT count(*) FROM river_job WHERE kind = 'sweep'`), 3)
	})
}

func TestSchedulesDoNotWaitForJobs(t *testing.T) {
	onEach(t, func(t *testing.T, d *database) {
		do, done := told()
		begun, release := make(chan struct{}), make(chan struct{})
		cfg := d.config(scheduler.Job{Kind: "sweep", Do: do}, scheduler.Job{Kind: "slow", Do: func(context.Context, string) error {
			begun <- struct{}{}
			<-release
			return nil
		}})
		cfg.Workers = 1
		s := build(t, cfg)
		d.enqueue(t, s, "slow", "one", "two")
		start(t, s, drain)
		within(t, begun, soon)
		require.NoError(t, s.Now(t.Context(), "sweep"))
		assert.Empty(t, within(t, done, soon))
		select {
		case <-begun:
			assert.Fail(t, "one worker did two jobs at a time")
		default:
		}
		close(release)
		within(t, begun, soon)
	})
}

func TestQueuesDoNotWaitForOneAnother(t *testing.T) {
	onEach(t, func(t *testing.T, d *database) {
		do, done := told()
		begun, release := make(chan struct{}), make(chan struct{})
		cfg := d.config(scheduler.Job{Kind: "quick", Do: do, Queue: "sms"}, scheduler.Job{Kind: "other", Do: do}, scheduler.Job{
			Kind: "slow", Queue: "mail", Workers: 2, Do: func(context.Context, string) error {
				begun <- struct{}{}
				<-release
				return nil
			},
		})
		cfg.Workers = 1
		s := build(t, cfg)
		d.enqueue(t, s, "slow", "one", "two", "three")
		start(t, s, drain)
		within(t, begun, soon)
		within(t, begun, soon) // all workers of the queue are at it, and one more job waits
		d.enqueue(t, s, "quick", "by")
		d.enqueue(t, s, "other", "too")
		assert.ElementsMatch(t, []string{"by", "too"}, []string{within(t, done, soon), within(t, done, soon)})
		select {
		case <-begun:
			assert.Fail(t, "two workers did three jobs at a time")
		default:
		}
		close(release)
		within(t, begun, soon)
		idle(t, s)
	})
}

func TestUrgentWorkGoesFirst(t *testing.T) {
	onEach(t, func(t *testing.T, d *database) {
		do, done := told()
		cfg := d.config(scheduler.Job{Kind: "usual", Do: do, Queue: "mail", Workers: 1}, scheduler.Job{Kind: "urgent", Do: do, Queue: "mail", Workers: 1, Urgent: true})
		s := build(t, cfg)
		d.enqueue(t, s, "usual", "one", "two")
		d.enqueue(t, s, "urgent", "asked")
		start(t, s, drain)
		assert.Equal(t, []string{"asked", "one", "two"}, []string{within(t, done, soon), within(t, done, soon), within(t, done, soon)})
		idle(t, s)
	})
}

func TestTwoSchedulersDoEverythingOnce(t *testing.T) {
	d := opened(t, false)
	var runs atomic.Int64
	var mu sync.Mutex
	times := map[string]int{}
	jobs := []scheduler.Job{
		{Kind: "sweep", Every: every(t, "@every 1s"), Do: func(context.Context, string) error { runs.Add(1); return nil }},
		{Kind: "work", Do: func(_ context.Context, key string) error {
			mu.Lock()
			defer mu.Unlock()
			times[key]++
			return nil
		}},
	}
	var all []*running
	var s *scheduler.Scheduler
	for range 2 {
		cfg := d.config(jobs...)
		cfg.DB = d.connect(t)
		s = build(t, cfg)
		all = append(all, start(t, s, drain))
	}
	const n = 300
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprint(i)
	}
	d.enqueue(t, s, "work", keys...)
	require.Eventually(t, func() bool { return runs.Load() >= 6 }, election, tick)
	d.eventually(t, n, `SELECT count(*) FROM river_job WHERE kind = 'work' AND state = 'completed'`)
	for _, r := range all {
		r.stop()
	}
	assert.EqualValues(t, d.count(t, `SELECT count(*) FROM river_job WHERE kind = 'sweep' AND state = 'completed'`), runs.Load())
	assert.Zero(t, d.count(t, `SELECT count(*) FROM (SELECT 1 FROM river_job WHERE kind = 'sweep' GROUP BY scheduled_at HAVING count(*) > 1) AS twice`), "each tick once")
	assert.LessOrEqual(t, d.count(t, `SELECT count(*) FROM river_job WHERE kind = 'sweep' AND scheduled_at <> date_trunc('second', scheduled_at)`), 1, "one start")
	mu.Lock()
	defer mu.Unlock()
	assert.Len(t, times, n)
	for key, k := range times {
		assert.Equal(t, 1, k, key)
	}
}

// The replica that leads goes, and schedules go on: soon where it could say
// so, and else when its time has run out.
func TestAnotherLeadsWhenTheLeaderIsGone(t *testing.T) {
	for name, leave := range map[string]func(t *testing.T, r *running, db *sql.DB){
		"stopped": func(_ *testing.T, r *running, _ *sql.DB) { r.stop() },
		"cut off": func(t *testing.T, _ *running, db *sql.DB) { require.NoError(t, db.Close()) },
	} {
		t.Run(name, func(t *testing.T) {
			d := opened(t, false)
			replica := func() (*running, *sql.DB, chan string) {
				do, done := told()
				cfg := d.config(scheduler.Job{Kind: "sweep", Do: do, Every: every(t, "@every 1s")})
				cfg.DB = d.connect(t)
				return start(t, build(t, cfg), time.Second), cfg.DB, done
			}
			first, db, done := replica()
			within(t, done, soon)
			leader := `SELECT leader_id FROM river_leader WHERE expires_at > now()`
			var was, is string
			require.NoError(t, d.db.QueryRowContext(t.Context(), leader).Scan(&was))
			second, _, done := replica()
			defer second.stop()
			leave(t, first, db)
			require.Eventually(t, func() bool {
				return d.db.QueryRowContext(t.Context(), leader).Scan(&is) == nil && is != was
			}, election, tick)
			ticks := `SELECT count(*) FROM river_job WHERE kind = 'sweep' AND state = 'completed'`
			was, before := is, d.count(t, ticks)
			for range 3 {
				within(t, done, soon)
			}
			require.Eventually(t, func() bool { return d.count(t, ticks) > before }, soon, tick)
			require.NoError(t, d.db.QueryRowContext(t.Context(), leader).Scan(&is))
			assert.Equal(t, was, is)
			if name == "cut off" {
				first.cancel()
				first.once.Do(func() { _ = within(t, first.ended, soon) }) // it may complain
			}
		})
	}
}

func TestADatabaseThatHangsUpIsSurvived(t *testing.T) {
	d := opened(t, false)
	do, done := told()
	sweep, swept := told()
	begun, release := make(chan struct{}), make(chan struct{})
	cfg := d.config(scheduler.Job{Kind: "work", Do: do}, scheduler.Job{Kind: "sweep", Do: sweep, Every: every(t, "@every 1s")},
		scheduler.Job{Kind: "slow", Do: func(context.Context, string) error { close(begun); <-release; return nil }})
	cfg.DB = d.connect(t)
	s := build(t, cfg)
	start(t, s, drain)
	within(t, swept, soon)
	d.enqueue(t, s, "slow", "under way")
	within(t, begun, soon)
	for i := range 5 {
		d.exec(t, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
		key := fmt.Sprint(i)
		d.enqueue(t, s, "work", key)
		assert.Equal(t, key, within(t, done, election))
	}
	d.exec(t, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	close(release)
	require.Eventually(t, func() bool {
		return d.count(t, `SELECT count(*) FROM river_job WHERE kind IN ('work', 'slow') AND state = 'completed'`) == 6
	}, election, tick, "what was under way is recorded as done")
	for len(swept) > 0 {
		<-swept
	}
	for range 2 {
		within(t, swept, election)
	}
}

func TestRunEndsAfterWhatIsUnderWay(t *testing.T) {
	onEach(t, func(t *testing.T, d *database) {
		begun, release := make(chan struct{}, 1), make(chan struct{})
		var ended atomic.Bool
		do, done := told()
		s := build(t, d.config(scheduler.Job{Kind: "work", Do: do}, scheduler.Job{Kind: "slow", Do: func(ctx context.Context, _ string) error {
			begun <- struct{}{}
			select {
			case <-release:
				ended.Store(ctx.Err() == nil)
			case <-ctx.Done():
			}
			return nil
		}}))
		d.enqueue(t, s, "slow", "x")
		r := start(t, s, drain)
		within(t, begun, soon)
		r.cancel()
		// What comes while it drains is left for the next.
		d.enqueue(t, s, "work", "next")
		select {
		case err := <-r.ended:
			require.Failf(t, "it did not wait", "%v", err)
		default:
		}
		close(release)
		r.stop()
		assert.True(t, ended.Load(), "the job ended as if nothing were")
		assert.Equal(t, 1, d.count(t, `SELECT count(*) FROM river_job WHERE kind = 'slow' AND state = 'completed'`))
		if len(done) == 0 { // taken before the stop had come through
			start(t, s, drain)
		}
		assert.Equal(t, "next", within(t, done, soon), "and the same scheduler runs again")
	})
}

func TestAJobThatHeedsItsContextIsCutShortAndDoneAgain(t *testing.T) {
	onEach(t, func(t *testing.T, d *database) {
		begun := make(chan struct{}, 10)
		var patient atomic.Bool
		patient.Store(true)
		s := build(t, d.config(scheduler.Job{Kind: "slow", Do: func(ctx context.Context, _ string) error {
			begun <- struct{}{}
			if patient.Load() {
				<-ctx.Done()
			}
			return ctx.Err()
		}}))
		d.enqueue(t, s, "slow", "x")
		r := start(t, s, 2*time.Second) // and as much again to write down what it cut short
		within(t, begun, soon)
		r.stop()
		assert.Equal(t, 1, d.count(t, `SELECT count(*) FROM river_job WHERE state IN ('available', 'retryable') AND attempt = 1`))
		patient.Store(false)
		start(t, s, drain)
		within(t, begun, soon)
		d.eventually(t, 1, `SELECT count(*) FROM river_job WHERE state = 'completed'`)
	})
}

func TestAJobThatIgnoresItsContextIsAbandoned(t *testing.T) {
	onEach(t, func(t *testing.T, d *database) {
		begun, release, over := make(chan struct{}), make(chan struct{}), make(chan struct{})
		s := build(t, d.config(scheduler.Job{Kind: "deaf", Do: func(context.Context, string) error {
			close(begun)
			<-release
			close(over)
			return nil
		}}))
		d.enqueue(t, s, "deaf", "x")
		r := start(t, s, 50*time.Millisecond)
		within(t, begun, soon)
		r.cancel()
		var err error
		r.once.Do(func() { err = within(t, r.ended, soon) })
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorContains(t, err, "stop")
		close(release)
		within(t, over, soon)
		d.eventually(t, 0, `SELECT count(*) FROM river_job WHERE state = 'running'`) // before the database is closed
	})
}

func TestAJobHasItsTimeAndNoMore(t *testing.T) {
	onEach(t, func(t *testing.T, d *database) {
		left := make(chan time.Duration, 1)
		watch := func(ctx context.Context, _ string) error {
			deadline, ok := ctx.Deadline()
			if !ok {
				return errors.New("no deadline")
			}
			left <- time.Until(deadline)
			return nil
		}
		cut := make(chan error, 1)
		s := build(t, d.config(
			scheduler.Job{Kind: "usual", Do: watch}, scheduler.Job{Kind: "long", Do: watch, Timeout: time.Hour},
			scheduler.Job{Kind: "short", Timeout: tick, Do: func(ctx context.Context, _ string) error {
				<-ctx.Done()
				select {
				case cut <- ctx.Err():
				default: // it is done again
				}
				return ctx.Err()
			}},
		))
		start(t, s, drain)
		d.enqueue(t, s, "usual", "")
		assert.InDelta(t, time.Minute, within(t, left, soon), float64(soon))
		d.enqueue(t, s, "long", "")
		assert.InDelta(t, time.Hour, within(t, left, soon), float64(soon))
		d.enqueue(t, s, "short", "")
		require.ErrorIs(t, within(t, cut, soon), context.DeadlineExceeded)
	})
}

// Whoever gave the work waits long enough by rows of their own.
func TestAJobCutShortIsDoneAgainAtOnce(t *testing.T) {
	onEach(t, func(t *testing.T, d *database) {
		begun := make(chan struct{}, 10)
		var runs atomic.Int64
		s := build(t, d.config(scheduler.Job{Kind: "slow", Timeout: tick, Do: func(ctx context.Context, _ string) error {
			begun <- struct{}{}
			if runs.Add(1) == 3 {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		}}))
		d.enqueue(t, s, "slow", "x")
		start(t, s, drain)
		for range 3 {
			within(t, begun, 10*time.Second)
		}
		d.eventually(t, 1, `SELECT count(*) FROM river_job WHERE state = 'completed' AND attempt = 3`)
	})
}

func TestStoppedBeforeItBegan(t *testing.T) {
	onEach(t, func(t *testing.T, d *database) {
		do, done := told()
		s := build(t, d.config(scheduler.Job{Kind: "sweep", Do: do, Every: every(t, "@every 1s")}))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.NoError(t, s.Run(ctx, drain))
		require.NoError(t, s.Run(ctx, drain))
		never(t, done)
		assert.Zero(t, d.count(t, `SELECT count(*) FROM river_job`))
	})
}

func TestStoppedTwiceAndBegunAgain(t *testing.T) {
	onEach(t, func(t *testing.T, d *database) {
		do, done := told()
		s := build(t, d.config(scheduler.Job{Kind: "work", Do: do}))
		for i := range 3 {
			r := start(t, s, drain)
			key := fmt.Sprint(i)
			d.enqueue(t, s, "work", key)
			assert.Equal(t, key, within(t, done, soon))
			r.stop()
			r.stop()
		}
		never(t, done)
	})
}

func TestIdle(t *testing.T) {
	onEach(t, func(t *testing.T, d *database) {
		begun, release := make(chan struct{}, 10), make(chan struct{})
		released := sync.OnceFunc(func() { close(release) })
		s := build(t, d.config(scheduler.Job{Kind: "slow", Do: func(context.Context, string) error {
			begun <- struct{}{}
			<-release
			return nil
		}}))
		idle(t, s)
		d.enqueue(t, s, "slow", "a", "b", "c")
		ctx, cancel := context.WithCancel(t.Context())
		waits := make(chan error, 1)
		go func() { waits <- s.Idle(ctx) }()
		start(t, s, drain)
		t.Cleanup(released) // a job that waits on would look like a leak
		for range 3 {
			within(t, begun, soon)
		}
		select {
		case err := <-waits:
			require.Failf(t, "jobs are under way", "%v", err)
		default:
		}
		cancel()
		require.ErrorIs(t, within(t, waits, soon), context.Canceled)
		released()
		idle(t, s)
		assert.Equal(t, 3, d.count(t, `SELECT count(*) FROM river_job WHERE state = 'completed'`))
	})
}
