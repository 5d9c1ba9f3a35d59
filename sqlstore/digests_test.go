package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/internal/pgtest"
	"github.com/reconsent/reconsent/sqlstore"
)

var monday = time.Date(2027, time.March, 29, 9, 0, 0, 123456000, time.UTC)

// recorder is a queue that keeps what it is given in a table, as part of the
// transaction that gives it, and fails where it is told to.
type recorder struct {
	fail func(keys []string) error

	mu      sync.Mutex
	kinds   []string
	waiting int
}

func (q *recorder) Waiting(context.Context, *sql.Tx, string) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.waiting, nil
}

var errQueue = errors.New("the queue takes nothing")

func (q *recorder) Enqueue(ctx context.Context, tx *sql.Tx, kind string, keys []string) error {
	q.mu.Lock()
	q.kinds = append(q.kinds, kind)
	q.mu.Unlock()
	for _, key := range keys {
		// Keys are ids of ours.
		if _, err := tx.ExecContext(ctx, `INSERT INTO recorded (key) VALUES ('`+key+`')`); err != nil {
			return err
		}
	}
	if q.fail != nil {
		return q.fail(keys)
	}
	return nil
}

// onEach runs a test on each database, with a store whose queue records.
func onEach(t *testing.T, run func(t *testing.T, s *sqlstore.Store, q *recorder)) {
	for name, url := range map[string]func(t *testing.T) string{
		"postgres": func(t *testing.T) string { return pgtest.DSN(t) },
		"sqlite":   func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "registry.db") },
	} {
		t.Run(name, func(t *testing.T) {
			s, q := open(t, url(t)), &recorder{}
			s.UseQueue(q)
			_, err := s.DB().ExecContext(t.Context(), `CREATE TABLE recorded (key TEXT NOT NULL)`)
			require.NoError(t, err)
			run(t, s, q)
		})
	}
}

// texts returns the rows of a query of one column.
func texts(t *testing.T, db *sql.DB, query string) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	out := []string{}
	for rows.Next() {
		var text string
		require.NoError(t, rows.Scan(&text))
		out = append(out, text)
	}
	require.NoError(t, rows.Err())
	return out
}

// recorded returns the keys of the digests, one each, that were given to the
// queue by transactions that were committed.
func recorded(t *testing.T, s *sqlstore.Store) []string {
	t.Helper()
	keys := []string{}
	for _, key := range texts(t, s.DB(), `SELECT key FROM recorded ORDER BY key`) {
		app, ids, err := consent.ParseDigestKey(key)
		require.NoError(t, err)
		require.LessOrEqual(t, len(ids), consent.DigestBatch)
		for _, id := range ids {
			keys = append(keys, consent.DigestKey(app, id))
		}
	}
	slices.Sort(keys)
	return keys
}

// lapsing registers consents, of a user each, with a stage due and a check due
// at now, named by n.
func lapsing(t *testing.T, s *sqlstore.Store, now time.Time, n ...int) {
	t.Helper()
	regs := make([]consent.Registration, len(n))
	for i, k := range n {
		c := consent.Consent{
			ApplicationID: "a", ID: fmt.Sprintf("con_%03d", k), UserID: fmt.Sprintf("user_%03d", k), Provider: "truelayer",
			CredentialsID: fmt.Sprintf("cred_%03d", k), Custody: consent.CustodyOurs, CreatedAt: now, ConsentedAt: now, NextStageAt: now, NextCheckAt: now,
		}
		regs[i] = consent.Registration{Consent: c, Contact: consent.User{ApplicationID: "a", ID: c.UserID, Email: "ada@example.org", CreatedAt: now, UpdatedAt: now}}
	}
	_, err := s.Register(t.Context(), "a", regs)
	require.NoError(t, err)
}

// waiting leaves as many digests due at monday plus a minute each: dgt_000 and
// so on.
func waiting(t *testing.T, s *sqlstore.Store, n int) []string {
	t.Helper()
	keys := []string{}
	for i := range n {
		now := monday.Add(time.Duration(i) * time.Minute)
		lapsing(t, s, now, i)
		_, err := s.Flag(t.Context(), consent.DueFilter{Now: now, Limit: 10}, func(*consent.Consent) consent.Judgement {
			return consent.Judgement{
				Flag: consent.Flag{Announce: consent.StageTime{Stage: consent.Stage{Name: "before_7d"}, At: now}}, DigestID: fmt.Sprintf("dgt_%03d", i),
			}
		})
		require.NoError(t, err)
		keys = append(keys, consent.DigestKey("a", fmt.Sprintf("dgt_%03d", i)))
	}
	return keys
}

func digest(t *testing.T, s *sqlstore.Store, key string) consent.Digest {
	t.Helper()
	app, ids, err := consent.ParseDigestKey(key)
	require.NoError(t, err)
	d, err := s.ListDigests(t.Context(), app, ids)
	require.NoError(t, err)
	require.Len(t, d, 1)
	return d[0]
}

// claimed freezes one digest.
func claimed(t *testing.T, s *sqlstore.Store, id string, now time.Time) consent.Frozen {
	t.Helper()
	got, err := s.FreezeDigests(t.Context(), consent.DigestClaim{ApplicationID: "a", IDs: []string{id}, ClaimID: "c", Now: now, Until: now.Add(time.Minute)})
	require.NoError(t, err)
	require.Len(t, got, 1)
	return got[0]
}

// ended ends digests, and demands how many.
func ended(t *testing.T, s *sqlstore.Store, want int, list ...consent.Frozen) {
	t.Helper()
	n, err := s.FinishDigests(t.Context(), "a", list)
	require.NoError(t, err)
	require.Equal(t, want, n)
}

func dispatched(t *testing.T, s *sqlstore.Store, now, until time.Time, limit, want int) {
	t.Helper()
	n, err := s.Dispatch(t.Context(), now, until, limit)
	require.NoError(t, err)
	require.Equal(t, want, n)
}

func TestDispatchMakesAJobOfEachMessageThatIsDue(t *testing.T) {
	onEach(t, func(t *testing.T, s *sqlstore.Store, q *recorder) {
		until := monday.Add(time.Hour)
		dispatched(t, s, monday, until, 100, 0)
		keys := waiting(t, s, 5)
		dispatched(t, s, monday.Add(-time.Microsecond), until, 100, 0)
		assert.Empty(t, recorded(t, s))
		dispatched(t, s, monday, until, 100, 1)
		assert.Equal(t, keys[:1], recorded(t, s))
		assert.Equal(t, until, digest(t, s, keys[0]).DueAt, "it is due again when its job must have been lost")
		assert.Equal(t, consent.DigestOpen, digest(t, s, keys[0]).State, "and takes more along until it is sent")

		dispatched(t, s, monday.Add(10*time.Minute), until, 2, 2)
		assert.Equal(t, keys[:3], recorded(t, s), "the longest due first")
		dispatched(t, s, monday.Add(10*time.Minute), until, 100, 2)
		dispatched(t, s, monday.Add(10*time.Minute), until, 100, 0)
		assert.Equal(t, keys, recorded(t, s), "each once")
		for _, kind := range q.kinds {
			assert.Equal(t, consent.JobDigest, kind)
		}
		dispatched(t, s, until, until.Add(time.Hour), 100, 5)
		assert.Len(t, recorded(t, s), 10, "and again when the time is over")
	})
}

func TestAJobSendsABatchOfMessages(t *testing.T) {
	onEach(t, func(t *testing.T, s *sqlstore.Store, _ *recorder) {
		const n = consent.DigestBatch + 7
		ids := make([]int, n)
		for i := range ids {
			ids[i] = i
		}
		lapsing(t, s, monday, ids...)
		made := 0
		_, err := s.Flag(t.Context(), consent.DueFilter{Now: monday, Limit: 2 * n}, func(*consent.Consent) consent.Judgement {
			made++
			return consent.Judgement{Flag: consent.Flag{Announce: consent.StageTime{Stage: consent.Stage{Name: "lapse"}, At: monday}}, DigestID: fmt.Sprintf("dgt_%03d", made)}
		})
		require.NoError(t, err)
		dispatched(t, s, monday, monday.Add(time.Hour), 1000, n)
		var sizes []int
		for _, key := range texts(t, s.DB(), `SELECT key FROM recorded ORDER BY key`) {
			_, ids, err := consent.ParseDigestKey(key)
			require.NoError(t, err)
			sizes = append(sizes, len(ids))
		}
		assert.Equal(t, []int{consent.DigestBatch, 7}, sizes)
		assert.Len(t, recorded(t, s), n)
	})
}

// TestWhoAsksWaitsForNobody: not for the rest of the queue, nor for a sweep.
func TestWhoAsksWaitsForNobody(t *testing.T) {
	onEach(t, func(t *testing.T, s *sqlstore.Store, q *recorder) {
		waiting(t, s, 3)
		now, until := monday.Add(time.Hour), monday.Add(2*time.Hour)
		lapsing(t, s, monday, 1001) // of whom something is still to be announced
		register := func(user int) {
			_, err := s.DB().ExecContext(t.Context(), fmt.Sprintf(`UPDATE consents SET user_id = 'user_%03d' WHERE id = 'con_1001'`, user))
			require.NoError(t, err)
		}
		register(1)
		q.waiting = 500
		require.NoError(t, s.AskForMessage(t.Context(), consent.Notice{ApplicationID: "a", ConsentID: "con_001", Stage: consent.AskedStage("1", nil),
			Channel: consent.ChannelEmail, DigestID: "dgt_asked"}, "user_001", now))
		dispatched(t, s, now, until, 100, 0)
		ask := func(now time.Time, want int) {
			n, err := s.DispatchAsked(t.Context(), now, until, 100)
			require.NoError(t, err)
			assert.Equal(t, want, n)
		}
		ask(monday, 0) // before it was due
		ask(now, 1)
		assert.Equal(t, []string{"a/dgt_001"}, recorded(t, s), "and nobody else's")
		assert.Equal(t, []string{consent.JobDigestAsked}, q.kinds)
		ask(now, 0)
		q.waiting = 0
		dispatched(t, s, now, until, 100, 2)
		assert.Len(t, recorded(t, s), 3, "each once")
		ask(until, 1) // its job must have been lost
	})
}

// TestEachApplicationHasItsShare: however much one has due for how long.
func TestEachApplicationHasItsShare(t *testing.T) {
	onEach(t, func(t *testing.T, s *sqlstore.Store, _ *recorder) {
		keys := waiting(t, s, 9)
		now := monday.Add(time.Hour)
		for _, app := range []string{"b", "c", "d"} {
			_, err := s.DB().ExecContext(t.Context(), fmt.Sprintf(`INSERT INTO digests (application_id, id, user_id, channel, state, created_at, due_at)
				SELECT '%s', '%s_' || id, user_id, channel, state, created_at, due_at + %d FROM digests WHERE application_id = 'a' AND id < 'dgt_004'`, app, app, 30*time.Minute.Microseconds()))
			require.NoError(t, err)
		}
		_, err := s.DB().ExecContext(t.Context(), fmt.Sprintf(`UPDATE digests SET due_at = %d WHERE application_id = 'c'`, now.Add(time.Hour).UnixMicro()))
		require.NoError(t, err)
		dispatched(t, s, now, now.Add(time.Hour), 2, 6)
		assert.Equal(t, append(keys[:2:2], "b/b_dgt_000", "b/b_dgt_001", "d/d_dgt_000", "d/d_dgt_001"), recorded(t, s))
		dispatched(t, s, now, now.Add(time.Hour), 100, 7+2+2)
		dispatched(t, s, now, now.Add(time.Hour), 100, 0)
	})
}

func TestWhileManyJobsWaitNoMoreAreMade(t *testing.T) {
	onEach(t, func(t *testing.T, s *sqlstore.Store, q *recorder) {
		keys := waiting(t, s, 1)
		q.waiting = 500
		dispatched(t, s, monday, monday.Add(time.Hour), 100, 0)
		assert.Equal(t, monday, digest(t, s, keys[0]).DueAt, "it stays due")
		q.waiting--
		dispatched(t, s, monday, monday.Add(time.Hour), 100, 1)
	})
}

func TestEachChannelHasJobsOfItsOwnKind(t *testing.T) {
	onEach(t, func(t *testing.T, s *sqlstore.Store, q *recorder) {
		lapsing(t, s, monday, 0)
		_, err := s.PutUser(t.Context(), consent.User{ApplicationID: "a", ID: "user_000", Email: "ada@example.org", Phone: "+442071838750", CreatedAt: monday, UpdatedAt: monday})
		require.NoError(t, err)
		_, err = s.Flag(t.Context(), consent.DueFilter{Now: monday, Limit: 10}, func(*consent.Consent) consent.Judgement {
			return consent.Judgement{
				Flag:     consent.Flag{Announce: consent.StageTime{Stage: consent.Stage{Name: "lapse"}, At: monday}},
				DigestID: "dgt_mail", SMSDigestID: "dgt_sms",
			}
		})
		require.NoError(t, err)
		dispatched(t, s, monday, monday.Add(time.Hour), 100, 2)
		assert.Equal(t, []string{consent.JobDigest, consent.JobDigestSMS}, q.kinds)
		assert.Equal(t, []string{"a/dgt_mail", "a/dgt_sms"}, recorded(t, s))
	})
}

func TestWhatIsOverOrPutOffIsNotDispatched(t *testing.T) {
	onEach(t, func(t *testing.T, s *sqlstore.Store, _ *recorder) {
		keys := waiting(t, s, 3)
		now, later := monday.Add(time.Hour), monday.Add(9*time.Hour)
		f := claimed(t, s, "dgt_000", now)
		f.Digest.State, f.Digest.FinishedAt = consent.DigestSent, now
		ended(t, s, 1, f)
		waits := digest(t, s, keys[1])
		waits.DueAt, waits.Reason = later, "quiet_hours"
		n, err := s.PostponeDigests(t.Context(), "a", []consent.Digest{waits})
		require.NoError(t, err)
		require.Equal(t, 1, n)
		claimed(t, s, "dgt_002", now)

		dispatched(t, s, now, later, 100, 0)
		dispatched(t, s, now.Add(time.Minute), later.Add(time.Hour), 100, 1)
		assert.Equal(t, keys[2:], recorded(t, s), "whose claim has run out")
		dispatched(t, s, later, later.Add(time.Hour), 100, 1)
		assert.Equal(t, keys[1:], recorded(t, s))
	})
}

func TestAQueueThatFailsLeavesMessagesDue(t *testing.T) {
	onEach(t, func(t *testing.T, s *sqlstore.Store, q *recorder) {
		keys := waiting(t, s, 2)
		now, until := monday.Add(time.Hour), monday.Add(2*time.Hour)
		q.fail = func([]string) error { return errQueue }
		_, err := s.Dispatch(t.Context(), now, until, 100)
		require.ErrorIs(t, err, errQueue)
		assert.Empty(t, recorded(t, s))
		assert.Equal(t, monday, digest(t, s, keys[0]).DueAt)
		ctx, cancel := context.WithCancel(t.Context())
		q.fail = func([]string) error { cancel(); return nil } // the process dies before the commit
		_, err = s.Dispatch(ctx, now, until, 100)
		require.Error(t, err)
		assert.Empty(t, recorded(t, s))
		q.fail = nil
		dispatched(t, s, now, until, 100, 2)
		assert.Equal(t, keys, recorded(t, s))
	})
}

func TestManyDispatchersMakeOneJobOfEachMessage(t *testing.T) {
	onEach(t, func(t *testing.T, s *sqlstore.Store, _ *recorder) {
		keys := waiting(t, s, 60)
		now, until := monday.Add(2*time.Hour), monday.Add(3*time.Hour)
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				for {
					n, err := s.Dispatch(context.WithoutCancel(t.Context()), now, until, 4)
					if !assert.NoError(t, err) || !assert.LessOrEqual(t, n, 4) || n == 0 {
						return
					}
				}
			})
		}
		wg.Wait()
		_, err := s.Dispatch(t.Context(), now, until, 100)
		require.NoError(t, err)
		assert.Equal(t, keys, recorded(t, s))
	})
}

func TestOutcomesAreWritten(t *testing.T) {
	onEach(t, func(t *testing.T, s *sqlstore.Store, _ *recorder) {
		lapsing(t, s, monday, 1)
		later := monday.Add(time.Hour)
		for i, stage := range []string{"before_7d", "before_1d", "lapse"} {
			now := monday.Add(time.Duration(i) * time.Minute)
			judged, err := s.Flag(t.Context(), consent.DueFilter{Now: now, Limit: 10}, func(*consent.Consent) consent.Judgement {
				return consent.Judgement{
					Flag:     consent.Flag{Announce: consent.StageTime{Stage: consent.Stage{Name: stage}, At: now}, Next: now.Add(time.Minute)},
					DigestID: "dgt_" + stage,
				}
			})
			require.NoError(t, err)
			require.Len(t, judged, 1)
		}
		f := claimed(t, s, "dgt_before_7d", later)
		require.Len(t, f.Notices, 3)
		for i := range f.Notices {
			f.Notices[i].Outcome = consent.OutcomeSuperseded
			if f.Notices[i].Stage == "lapse" {
				f.Notices[i].Outcome = consent.OutcomeSent
			}
		}
		const outcomes = `SELECT stage || ' ' || outcome FROM notices ORDER BY stage`
		lost := f
		lost.Digest.ClaimID, lost.Digest.State = "another", consent.DigestSent
		ended(t, s, 0, lost)
		assert.Equal(t, []string{"before_1d waiting", "before_7d waiting", "lapse waiting"}, texts(t, s.DB(), outcomes))
		f.Digest.State, f.Digest.FinishedAt = consent.DigestSent, later
		ended(t, s, 1, f)
		assert.Equal(t, []string{"before_1d superseded", "before_7d superseded", "lapse sent"}, texts(t, s.DB(), outcomes))
	})
}

// lock locks rows of a table in a transaction that it leaves open until t ends.
func lock(t *testing.T, dsn, query string) {
	t.Helper()
	tx, err := connect(t, dsn).BeginTx(t.Context(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback() }) // t's context may have done so
	res, err := tx.ExecContext(t.Context(), query)
	require.NoError(t, err)
	n, err := res.RowsAffected()
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
}

// Nobody waits for a row that somebody else has in hand, and nothing is lost by
// that.
func TestWhatOthersHaveInHandIsPassedOverOnPostgres(t *testing.T) {
	dsn := pgtest.DSN(t)
	s, q := open(t, dsn), &recorder{}
	s.UseQueue(q)
	_, err := s.DB().ExecContext(t.Context(), `CREATE TABLE recorded (key TEXT NOT NULL)`)
	require.NoError(t, err)
	keys := waiting(t, s, 3)
	lapsing(t, s, monday, 11, 12, 13)
	lock(t, dsn, `SELECT 1 FROM digests WHERE id = 'dgt_001' FOR UPDATE`)
	lock(t, dsn, `SELECT 1 FROM consents WHERE id = 'con_012' FOR UPDATE`)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()

	n, err := s.Dispatch(ctx, monday.Add(time.Hour), monday.Add(2*time.Hour), 2)
	require.NoError(t, err)
	assert.Equal(t, 2, n, "a locked row does not use up the limit")
	assert.Equal(t, []string{keys[0], keys[2]}, recorded(t, s))

	checked, err := s.ClaimChecks(ctx, monday, monday.Add(time.Hour), 100)
	require.NoError(t, err)
	var got []string
	for i := range checked {
		got = append(got, checked[i].ID)
	}
	slices.Sort(got)
	assert.Equal(t, []string{"con_000", "con_011", "con_013"}, got)

	got = nil
	judged, err := s.Flag(ctx, consent.DueFilter{Now: monday, Limit: 2}, func(c *consent.Consent) consent.Judgement { return consent.Judgement{} })
	require.NoError(t, err)
	for i := range judged {
		got = append(got, judged[i].Consent.ID)
	}
	assert.Equal(t, []string{"con_011", "con_013"}, got)
	due, err := s.Due(ctx, consent.DueFilter{Now: monday, Limit: 100})
	require.NoError(t, err)
	require.Len(t, due, 1)
	assert.Equal(t, "con_012", due[0].ID, "it is due still")
}

// The limit holds however the planner carries a statement out, also where it
// knows nothing of the tables.
func TestLimitsHoldUnderAnyPlanOnPostgres(t *testing.T) {
	for _, off := range []string{"enable_hashagg", "enable_hashjoin", "enable_indexscan", "enable_nestloop", "enable_sort", "enable_material"} {
		t.Run(off, func(t *testing.T) {
			dsn := pgtest.DSN(t)
			s := open(t, dsn+"&"+off+"=off")
			s.UseQueue(&recorder{})
			_, err := s.DB().ExecContext(t.Context(), `CREATE TABLE recorded (key TEXT NOT NULL)`)
			require.NoError(t, err)
			waiting(t, s, 6)
			for _, known := range []bool{false, true} {
				now, until := monday.Add(time.Hour), monday.Add(2*time.Hour)
				if known {
					_, err = s.DB().ExecContext(t.Context(), `ANALYZE`)
					require.NoError(t, err)
					now, until = until, until.Add(time.Hour)
				}
				for _, n := range []int{1, 2, 3} {
					dispatched(t, s, now, until, n, n)
					got, err := s.ClaimChecks(t.Context(), now, until, n)
					require.NoError(t, err)
					require.Len(t, got, n)
				}
			}
		})
	}
}
