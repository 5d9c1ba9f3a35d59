package scheduler

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverdatabasesql"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"
)

// Handler does one job. key is what Enqueue was given; empty for a schedule's.
// An error is logged; whether the work is tried again is for the rows of
// whoever gave it to say, unless the process dies on it: then it is done again.
type Handler func(ctx context.Context, key string) error

// Job is one kind of work.
type Job struct {
	Kind string // stable: it stands in the database
	Do   Handler
	// Every, where it is set, has the job done at start and by the schedule,
	// once among all replicas. Where a run takes longer than the schedule's pause,
	// the next one in the same process is passed over: it would add nothing.
	Every *Schedule
	// Timeout bounds one run; 0 takes a minute.
	Timeout time.Duration
	// Queue, where it is set, keeps the work apart from all that is in other
	// queues: [a-z0-9_-].
	Queue string
	// Workers is how many of the queue's jobs run at a time in this process; 0
	// takes Config.Workers. Where jobs share a queue, the most that one asks for.
	Workers int
	// Urgent work goes before what else waits in its queue.
	Urgent bool
}

// Config is what a Scheduler is made of.
type Config struct {
	DB      *sql.DB
	SQLite  bool // one process has the database to itself
	Log     *slog.Logger
	Now     func() time.Time // wall time, which is River's
	Jobs    []Job
	Workers int           // jobs at a time in this process, beside schedules and other queues; 0 takes 20
	Poll    time.Duration // how often to look for jobs; 0 takes a second
}

const (
	defaultWorkers = 20
	// Schedules have workers of their own: however many jobs wait, they do not.
	scheduleQueue   = "schedules"
	scheduleWorkers = 4
	defaultPoll     = time.Second
	defaultTimeout  = time.Minute
	// rescueAfter is when a job whose process died is taken up by another.
	rescueAfter = 2 * time.Minute
	// scheduledTimes bounds how often a scheduled job whose process died is done
	// again; the schedule brings the next one in any case.
	scheduledTimes = 1
	queuedTimes    = 5
)

// Scheduler runs jobs. Build it with New; enqueuing works without Run.
type Scheduler struct {
	client *river.Client[*sql.Tx]
	db     *sql.DB
	sqlite bool
	queues map[string]string // by kind; what is missing has the default
	urgent map[string]bool   // by kind
}

// Migrate brings River's tables up to date.
func Migrate(ctx context.Context, db *sql.DB, sqlite bool) error {
	m, err := rivermigrate.New(driver(db, sqlite), nil)
	if err != nil {
		return err
	}
	if _, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("migrate the job tables: %w", err)
	}
	return nil
}

// ErrOutdated says that River's tables are not up to date; Migrate brings them
// there.
var ErrOutdated = errors.New("the job tables are not up to date")

// Check fails, with ErrOutdated in the chain, where River's tables are not up to
// date.
func Check(ctx context.Context, db *sql.DB, sqlite bool) error {
	m, err := rivermigrate.New(driver(db, sqlite), nil)
	if err != nil {
		return err
	}
	res, err := m.Validate(ctx)
	if err != nil {
		return fmt.Errorf("look at the job tables: %w", err)
	}
	if !res.OK {
		return ErrOutdated
	}
	return nil
}

func driver(db *sql.DB, sqlite bool) riverdriver.Driver[*sql.Tx] {
	if sqlite {
		return riversqlite.New(db)
	}
	return riverdatabasesql.New(db)
}

// New returns a Scheduler. It touches nothing yet.
func New(cfg Config) (*Scheduler, error) {
	workers := river.NewWorkers()
	var periodic []*river.PeriodicJob
	if cfg.Workers == 0 {
		cfg.Workers = defaultWorkers
	}
	queues := map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: cfg.Workers}, scheduleQueue: {MaxWorkers: scheduleWorkers}}
	queueOf, urgent := map[string]string{}, map[string]bool{}
	for _, j := range cfg.Jobs {
		if j.Queue != "" {
			queues[j.Queue] = river.QueueConfig{MaxWorkers: max(queues[j.Queue].MaxWorkers, cmp.Or(j.Workers, cfg.Workers))}
			queueOf[j.Kind] = j.Queue
		}
		urgent[j.Kind] = j.Urgent
		river.AddWorkerArgs(workers, args{kind: j.Kind}, &worker{job: j, log: cfg.Log, now: cfg.Now})
		if j.Every != nil {
			periodic = append(periodic, river.NewPeriodicJob(j.Every, func() (river.JobArgs, *river.InsertOpts) {
				return args{kind: j.Kind}, &river.InsertOpts{MaxAttempts: scheduledTimes, Queue: scheduleQueue}
			}, &river.PeriodicJobOpts{ID: j.Kind, RunOnStart: true}))
		}
	}
	if cfg.Poll == 0 {
		cfg.Poll = defaultPoll
	}
	client, err := river.NewClient(driver(cfg.DB, cfg.SQLite), &river.Config{
		Logger:               quiet(cfg.Log),
		Queues:               queues,
		FetchPollInterval:    cfg.Poll,
		FetchCooldown:        min(cfg.Poll, river.FetchCooldownDefault),
		JobTimeout:           defaultTimeout,
		RescueStuckJobsAfter: rescueAfter,
		Workers:              workers,
		PeriodicJobs:         periodic,
		// Done jobs are of no more use: rows of whoever gave them tell what became of them.
		CompletedJobRetentionPeriod: time.Hour,
		CancelledJobRetentionPeriod: time.Hour,
		DiscardedJobRetentionPeriod: 24 * time.Hour,
	})
	if err != nil {
		return nil, fmt.Errorf("scheduler: %w", err)
	}
	return &Scheduler{client: client, db: cfg.DB, sqlite: cfg.SQLite, queues: queueOf, urgent: urgent}, nil
}

// quiet keeps River's own chatter out of the log; what it warns of stays.
func quiet(log *slog.Logger) *slog.Logger { return slog.New(atLeastWarn{log.Handler()}) }

type atLeastWarn struct{ slog.Handler }

// Enabled implements slog.Handler.
func (h atLeastWarn) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && h.Handler.Enabled(ctx, l)
}

// args are a job's in the database.
type args struct {
	kind string
	Key  string `json:"key,omitempty"`
}

// Kind implements river.JobArgs.
func (a args) Kind() string { return a.kind }

type worker struct {
	river.WorkerDefaults[args]
	job Job
	log *slog.Logger
	now func() time.Time

	running sync.Mutex // a scheduled job
}

// Work implements river.Worker. What fails is not River's to repeat.
func (w *worker) Work(ctx context.Context, job *river.Job[args]) error {
	if w.job.Every != nil {
		if !w.running.TryLock() {
			return nil
		}
		defer w.running.Unlock()
	}
	err := w.job.Do(ctx, job.Args.Key)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return err // stopped half way, or out of time: somebody else goes on
	}
	w.log.Error("job failed", "job", w.job.Kind, "key", job.Args.Key, "error", err)
	return river.JobCancel(err)
}

// Timeout implements river.Worker.
func (w *worker) Timeout(*river.Job[args]) time.Duration { return w.job.Timeout }

// NextRetry implements river.Worker: a job that was cut short is done again at
// once; River takes no moment that is past. Whoever gave the work waits longer,
// where that is right, by rows of their own.
func (w *worker) NextRetry(*river.Job[args]) time.Time { return w.now().Add(time.Second) }

// Run works until ctx ends; then it takes nothing new, waits for what is under
// way for three quarters of drain, cancels the rest, and returns when drain is
// over at the latest.
func (s *Scheduler) Run(ctx context.Context, drain time.Duration) error {
	if ctx.Err() != nil {
		return nil // stopped before it began
	}
	stopping := context.WithoutCancel(ctx)
	if s.sqlite {
		// Nobody else has the database: whatever is running was ours, before.
		const requeue = `UPDATE river_job SET state = 'available', attempted_at = NULL, attempt = max(attempt - 1, 0) WHERE state = 'running'`
		if _, err := s.db.ExecContext(stopping, requeue); err != nil {
			return fmt.Errorf("scheduler: %w", err)
		}
	}
	if err := s.client.Start(stopping); err != nil {
		return fmt.Errorf("scheduler: %w", err)
	}
	<-ctx.Done()
	soft, cancel := context.WithTimeout(stopping, drain*3/4)
	defer cancel()
	if err := s.client.Stop(soft); err == nil {
		return nil
	}
	hard, cancel := context.WithTimeout(stopping, drain/4)
	defer cancel()
	if err := s.client.StopAndCancel(hard); err != nil {
		return fmt.Errorf("scheduler: stop: %w", err)
	}
	return nil
}

// River's priorities: the lower goes first.
const (
	urgentPriority = 1
	usualPriority  = 2
)

// Enqueue adds a job for each key to a transaction.
func (s *Scheduler) Enqueue(ctx context.Context, tx *sql.Tx, kind string, keys []string) error {
	priority := usualPriority
	if s.urgent[kind] {
		priority = urgentPriority
	}
	params := make([]river.InsertManyParams, len(keys))
	for i, key := range keys {
		params[i] = river.InsertManyParams{Args: args{kind: kind, Key: key}, InsertOpts: &river.InsertOpts{MaxAttempts: queuedTimes, Queue: s.queues[kind], Priority: priority}}
	}
	if len(params) == 0 {
		return nil
	}
	_, err := s.client.InsertManyFastTx(ctx, tx, params)
	return err
}

// Waiting counts the jobs of a kind that nobody has begun yet.
func (s *Scheduler) Waiting(ctx context.Context, tx *sql.Tx, kind string) (n int, err error) {
	const count = `SELECT count(*) FROM river_job WHERE state = 'available' AND kind = $1`
	err = tx.QueryRowContext(ctx, count, kind).Scan(&n)
	return n, err
}

// Now has a scheduled job done at once, by whichever replica takes it.
func (s *Scheduler) Now(ctx context.Context, kind string) error {
	_, err := s.client.Insert(ctx, args{kind: kind}, &river.InsertOpts{MaxAttempts: scheduledTimes, Queue: cmp.Or(s.queues[kind], scheduleQueue)})
	return err
}

// Idle waits until no job is left to be done now.
func (s *Scheduler) Idle(ctx context.Context) error {
	for {
		list, err := s.client.JobList(ctx, river.NewJobListParams().First(1).States(rivertype.JobStateAvailable, rivertype.JobStateRunning))
		if err != nil && ctx.Err() != nil {
			return ctx.Err() // lib/pq says "canceling statement due to user request"
		}
		if err != nil || len(list.Jobs) == 0 {
			return err
		}
		t := time.NewTimer(5 * time.Millisecond)
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-t.C:
		}
	}
}
