package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/internal/pgtest"
	"github.com/reconsent/reconsent/notify/email"
)

// trial is the size of one run.
type trial struct {
	replicas, consents int
	waves              int // in which the consents fall due, so that sweeps have work all along
	sweepKills         int // while a sweep or a dispatch has a transaction open
	mailKills          int // while the mail server has a mail of theirs in hand
	patience           time.Duration
	// hurry orders sweeps besides those of the replica that leads: when that one
	// is killed, a quarter of a minute goes by until another leads.
	hurry bool
}

// chaosTrials are few and small in the usual run of the tests, and as large as
// the promise is with RECONSENT_CHAOS=1 (make test-chaos).
func chaosTrials() []trial {
	if os.Getenv("RECONSENT_CHAOS") == "1" {
		return []trial{
			{replicas: 2, consents: 20_000, waves: 4, sweepKills: 6, mailKills: 24, patience: 4 * time.Minute},
			{replicas: 4, consents: 20_000, waves: 4, sweepKills: 6, mailKills: 24, patience: 4 * time.Minute},
		}
	}
	return []trial{{replicas: 2, consents: 6000, waves: 2, sweepKills: 2, mailKills: 4, patience: 2 * time.Minute, hurry: true}}
}

// unrecorded is how many mails of one process can have been accepted, and that
// not be on record: each worker records ten at a time (recordEach of notify).
const unrecorded = 10 * mailWorkers

// inHand is how many mails the jobs of one process are about.
const inHand = consent.DigestBatch * mailWorkers

// TestChaosAnnouncesOnce kills replicas of serve, with SIGKILL, in the middle
// of their sweeps and their mails, and restarts them. Every stage is announced
// once in the records, and told once by mail, but for mails that the server
// had accepted when their sender died: these come again, under the same
// Message-ID.
func TestChaosAnnouncesOnce(t *testing.T) {
	for _, size := range chaosTrials() {
		t.Run(fmt.Sprintf("%d replicas, %d consents", size.replicas, size.consents), func(t *testing.T) {
			c := newChaos(t, size)
			began := time.Now()
			for range size.replicas {
				require.NoError(t, c.start())
			}
			hunt := make(chan error, 1)
			go func() { hunt <- c.hunt() }()
			c.fallDue()
			c.settle()
			c.disarm()
			require.NoError(t, <-hunt)
			c.settle() // what the last kill interrupted
			c.stop()
			left := c.finishLater()
			c.report(left, time.Since(began))
			c.checkKills()
			c.checkRecords()
			c.checkMail()
		})
	}
}

// chaos is one run.
type chaos struct {
	*testing.T
	trial

	in   installation
	dsn  string
	keys string
	sys  *system // ours: it registers, and looks
	app  consent.Application
	sink sink

	// background has those who kill and those who restart.
	background sync.WaitGroup

	mu         sync.Mutex
	random     *rand.Rand
	running    map[string]*replica // by the name of the process
	started    int
	killed     map[string]string // and in the middle of what
	armed      bool
	sweepsLeft int // to be killed
	sightings  int // to let pass until the next one is
	mailsLeft  int
	mails      int // to let pass
	unanswered int // mails accepted whose sender was dead before it could know
}

func newChaos(t *testing.T, size trial) *chaos {
	seed := rand.Uint64()
	if given, err := strconv.ParseUint(os.Getenv("RECONSENT_CHAOS_SEED"), 10, 64); err == nil {
		seed = given
	}
	t.Logf("RECONSENT_CHAOS_SEED=%d", seed) // the same moments; what the processes do in them is theirs
	dsn := pgtest.DSN(t)
	in := install(t, dsn)
	c := &chaos{T: t, trial: size, in: in, dsn: dsn, keys: in.keys(t), random: rand.New(rand.NewPCG(seed, 0)),
		running: map[string]*replica{}, killed: map[string]string{}, armed: true, sweepsLeft: size.sweepKills, mailsLeft: size.mailKills}
	c.mails = c.nextMails()
	c.sys = openSystem(t, c.config(dsn), parts{now: time.Now})
	var err error
	c.app, err = c.sys.applicationNamed(t.Context(), "acme")
	require.NoError(t, err)
	t.Cleanup(func() {
		c.disarm()
		for _, r := range c.running { // nobody is left but us
			r.kill()
		}
	})
	return c
}

func openSystem(t *testing.T, c config, p parts) *system {
	t.Helper()
	p.log = config{}.logger(stdio{err: io.Discard})
	sys, err := open(t.Context(), c, p)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, sys.store.Close()) })
	return sys
}

func (c *chaos) config(dsn string) config {
	return config{databaseURL: dsn, keys: c.keys, baseURL: "http://127.0.0.1:8080"}
}

// start adds a replica, with a mail server of its own and its own name at the
// database: by these it is known who is at work on what.
func (c *chaos) start() error {
	c.mu.Lock()
	c.started++
	name := fmt.Sprintf("replica-%d", c.started)
	c.mu.Unlock()
	in, err := c.configure(name)
	if err != nil {
		return err
	}
	r := (&door{T: c.T, in: in}).startReplica()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running[name] = r
	return nil
}

// configure writes a replica's own configuration.
func (c *chaos) configure(name string) (installation, error) {
	in := installation{config: filepath.Join(filepath.Dir(c.in.config), name+".yaml")}
	mailServer, err := c.sink.on(c.T, name, c.handOver)
	if err != nil {
		return in, err
	}
	dsn, err := url.Parse(c.dsn)
	if err != nil {
		return in, err
	}
	q := dsn.Query()
	q.Set("application_name", name)
	dsn.RawQuery = q.Encode()
	settings, err := json.Marshal(map[string]string{ // JSON is YAML
		"database-url": dsn.String(), "keys": c.keys, "sweep-schedule": "@every 1s",
		"smtp-url": mailServer, "mail-from": mailFrom,
	})
	if err != nil {
		return in, err
	}
	return in, os.WriteFile(in.config, settings, 0o600)
}

const mailFrom = "Acme <reminders@example.org>"

// kill ends a process in the middle of something, and starts another one in
// its place. When it returns the process is dead, be it by somebody else's
// hand. background must be held.
func (c *chaos) kill(name, amid string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.running[name]
	if r == nil {
		return
	}
	r.kill()
	delete(c.running, name)
	c.killed[name] = amid
	c.background.Go(func() { assert.NoError(c, c.start()) })
}

// disarm ends the killing, and waits until every replica is up again.
func (c *chaos) disarm() {
	c.mu.Lock()
	c.armed = false
	c.mu.Unlock()
	c.background.Wait()
}

// fallDue registers the consents, wave by wave: the next comes when half of
// the people before it have had their mail.
func (c *chaos) fallDue() {
	size := c.consents / c.waves
	for from := 0; from < c.consents; from += size {
		c.until("half of the wave before is told", func() bool { return c.sink.reached() >= usersAmong(from+1)/2 })
		regs := make([]consent.Registration, size)
		for i := range regs {
			regs[i] = dueConsent(&c.app, from+i, time.Now(), situationOf(from+i).untilLapse)
		}
		added, err := c.sys.store.Register(c.Context(), c.app.ID, regs)
		require.NoError(c, err)
		require.NotContains(c, added, false)
	}
}

// inSweep finds who is writing in a sweep or a dispatch at this moment.
const inSweep = `SELECT application_name FROM pg_stat_activity
	WHERE datname = current_database() AND application_name LIKE 'replica-%' AND backend_xid IS NOT NULL
		AND query ~ '(FROM consents.*SKIP LOCKED|UPDATE consents SET next_stage_at|INTO events|INTO digests|INTO notices|UPDATE digests SET due_at = \S+ WHERE)'`

// hunt kills replicas that are at a sweep, until enough are killed, or no more
// are to be.
func (c *chaos) hunt() error {
	tick := time.NewTicker(3 * time.Millisecond)
	defer tick.Stop()
	for c.hungry() {
		<-tick.C
		names, err := c.sweeping()
		if err != nil {
			return err
		}
		for _, name := range names {
			if c.sighted(name) {
				c.kill(name, amidSweep)
				c.background.Done()
			}
		}
	}
	return nil
}

const amidSweep = "sweep or dispatch"

func (c *chaos) hungry() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.armed && c.sweepsLeft > 0
}

// sweeping names the processes that are at a sweep now.
func (c *chaos) sweeping() ([]string, error) {
	rows, err := c.sys.store.DB().QueryContext(c.Context(), inSweep)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}

// sighted says whether the process at a sweep is to be killed, and then holds
// background.
func (c *chaos) sighted(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.armed || c.sweepsLeft == 0 || c.running[name] == nil {
		return false
	}
	if c.sightings--; c.sightings > 0 {
		return false
	}
	c.sweepsLeft--
	c.sightings = c.random.IntN(12)
	c.background.Add(1)
	return true
}

// nextMails is how many mails to let pass before the next sender is killed: so
// many that all kills find one, though each leaves mails to the end.
func (c *chaos) nextMails() int {
	kills := c.sweepKills + c.mailKills
	most := (usersAmong(c.consents) - kills*inHand) / (c.mailKills + 1)
	return most/2 + c.random.IntN(most/2)
}

// The moments at which the sender of a mail is killed.
const (
	beforeAcceptance = "mail, before the server had it"
	beforeAnswer     = "mail, before the server's answer"
	afterAnswer      = "mail, with the server's answer"
)

// moment decides whether, and when, the sender of the mail at hand is killed;
// if so it holds background. One that has only just started is let go: we do
// not have its process at hand yet.
func (c *chaos) moment(sender string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.armed || c.mailsLeft == 0 || c.running[sender] == nil {
		return ""
	}
	if c.mails--; c.mails > 0 {
		return ""
	}
	c.mailsLeft--
	c.mails = c.nextMails()
	c.background.Add(1)
	// In turn, so that each has its share; which mail it hits is random.
	moment := []string{beforeAnswer, afterAnswer, beforeAcceptance}[c.mailsLeft%3]
	if moment == beforeAnswer {
		c.unanswered++
	}
	return moment
}

// handOver is what the mail server does with a mail.
func (c *chaos) handOver(m letterSeen) error {
	switch moment := c.moment(m.by); moment {
	case beforeAcceptance:
		c.kill(m.by, moment)
		c.background.Done()
		return errNotTaken
	case beforeAnswer:
		c.sink.accept(m)
		c.kill(m.by, moment)
		c.background.Done()
	case afterAnswer:
		c.sink.accept(m)
		go func() { // beside the answer that we return
			c.kill(m.by, moment)
			c.background.Done()
		}()
	default:
		c.sink.accept(m)
	}
	return nil
}

// until waits for something that the database or the mail server shows.
func (c *chaos) until(what string, ok func() bool) {
	c.Helper()
	began := time.Now()
	deadline := time.NewTimer(c.patience)
	defer deadline.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var order <-chan time.Time
	if c.hurry {
		second := time.NewTicker(time.Second)
		defer second.Stop()
		order = second.C
	}
	for !ok() {
		select {
		case <-tick.C:
		case <-order:
			require.NoError(c, c.sys.scheduler.Now(c.Context(), jobSweep))
		case <-deadline.C:
			require.FailNow(c, "waited too long until "+what, "%d reached; consents due %d, digests to dispatch %d, digests open %d, jobs %d",
				c.sink.reached(), c.count(consentsDue, micros(time.Now())), c.count(digestsDue, micros(time.Now())), c.count(digestsLeft), c.count(jobsWaiting))
		}
	}
	c.Logf("%5.1fs until %s", time.Since(began).Seconds(), what)
}

const (
	consentsDue = `SELECT count(*) FROM consents WHERE next_stage_at <= $1`
	digestsDue  = `SELECT count(*) FROM digests WHERE due_at <= $1`
	digestsLeft = `SELECT count(*) FROM digests WHERE due_at IS NOT NULL`
	jobsWaiting = `SELECT count(*) FROM river_job WHERE kind = 'digest' AND state IN ('available', 'pending', 'retryable', 'scheduled')`
)

func (c *chaos) count(query string, arg ...any) int {
	c.Helper()
	var n int
	require.NoError(c, c.sys.store.DB().QueryRowContext(c.Context(), query, arg...).Scan(&n))
	return n
}

func micros(t time.Time) int64 { return t.UnixMicro() }

// settle waits until all is announced, and every mail has been taken up by a
// replica, be it one that is dead.
func (c *chaos) settle() {
	c.until("every mail is in somebody's hands", func() bool {
		now := micros(time.Now())
		return c.count(consentsDue, now) == 0 && c.count(digestsDue, now) == 0 && c.count(jobsWaiting) == 0
	})
}

// stop ends all replicas as an operator does: what they have in hand they
// finish, and report no failure (nor, where it is compiled in, a data race).
func (c *chaos) stop() {
	for name, r := range c.running { // nobody is left but us
		assert.NoError(c, r.cmd.Process.Signal(syscall.SIGTERM))
		assert.NoError(c, r.cmd.Wait(), name)
	}
	clear(c.running)
}

// finishLater sends what killed replicas had in hand, and returns how much it
// was. Their claims hold for minutes (of notify, two; of the dispatch, a
// quarter of an hour), and nobody may touch a mail before: so this is done
// by a system whose clock stands later than that, instead of waiting.
func (c *chaos) finishLater() int {
	server, err := c.sink.on(c.T, "later", c.handOver)
	require.NoError(c, err)
	mailer, err := email.New(server, mailFrom)
	require.NoError(c, err)
	defer mailer.Close()
	later := openSystem(c.T, c.config(c.dsn), parts{now: func() time.Time { return time.Now().Add(20 * time.Minute) }, mailer: mailer})
	ctx, cancel := context.WithCancel(c.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- later.scheduler.Run(ctx, drainTime) }()
	left := c.count(digestsLeft)
	require.NoError(c, later.sweep(ctx, ""))
	c.until("every mail is over", func() bool { return c.count(digestsLeft) == 0 })
	cancel()
	require.NoError(c, <-done)
	return left
}

// byMessageID returns the mails with each Message-ID, in the order in which
// they were accepted.
func byMessageID(mails []letterSeen) map[string][]letterSeen {
	by := map[string][]letterSeen{}
	for _, m := range mails {
		by[m.id] = append(by[m.id], m)
	}
	return by
}

func (c *chaos) report(left int, took time.Duration) {
	amid := map[string]int{}
	for _, what := range c.killed {
		amid[what]++
	}
	mails := c.sink.mails()
	distinct := len(byMessageID(mails))
	c.Logf("%d consents, %d replicas, %s: %d killed %v; %d mails accepted, %d Message-IDs, %d sent again; %d left by the killed to the end",
		c.consents, c.replicas, took.Round(time.Second/10), len(c.killed), amid, len(mails), distinct, len(mails)-distinct, left)
}

// checkKills: a run in which nobody was killed shows nothing.
func (c *chaos) checkKills() {
	amid := map[string]int{}
	for _, what := range c.killed {
		amid[what]++
	}
	assert.Positive(c, amid[amidSweep], "nobody was killed in a sweep")
	assert.GreaterOrEqual(c, len(c.killed)-amid[amidSweep], c.mailKills/2, "killed at a mail")
	assert.GreaterOrEqual(c, len(c.killed), 4)
}

// history is what the database says of a consent.
type history struct {
	events    []string // "1: cycle 1, before_30d skipped", "2: cycle 1, before_7d", in order
	announced string
	notices   []string // "cycle 1, before_7d, email, sent"
}

// checkRecords: of every consent the latest due stage is announced, the ones
// before it are skipped, each by one event; and the one announced has one
// notice, which was sent.
func (c *chaos) checkRecords() {
	found := c.histories()
	require.Len(c, found, c.consents)
	wrong := 0
	for i := range c.consents {
		s := situationOf(i)
		var want history
		for n, stage := range s.skipped {
			want.events = append(want.events, fmt.Sprintf("%d: cycle 1, %s skipped", n+1, stage))
		}
		want.events = append(want.events, fmt.Sprintf("%d: cycle 1, %s", len(s.skipped)+1, s.announce))
		want.announced = strings.Join(append(slices.Clone(s.skipped), s.announce), " ")
		want.notices = []string{"cycle 1, " + s.announce + ", email, sent"}
		if !assert.Equal(c, want, *found[consentID(i)], consentID(i)) {
			if wrong++; wrong == 10 {
				c.Fatal("and perhaps more")
			}
		}
	}
	assert.Zero(c, c.count(`SELECT count(*) FROM digests WHERE state <> 'sent'`))
	assert.Zero(c, c.count(`SELECT count(*) FROM digests d WHERE NOT EXISTS (SELECT FROM notices n WHERE n.application_id = d.application_id AND n.digest_id = d.id)`))
}

// histories reads what the database says of every consent.
func (c *chaos) histories() map[string]*history {
	found := map[string]*history{}
	c.each(`SELECT id, announced || CASE WHEN seq = (SELECT count(*) FROM events e WHERE e.application_id = c.application_id AND e.consent_id = c.id) THEN '' ELSE ' but seq ' || seq END FROM consents c`,
		func(id, announced string) { found[id] = &history{announced: announced} })
	c.each(`SELECT consent_id, seq || ': cycle ' || cycle || ', ' || stage || CASE WHEN data LIKE '%"skipped":true%' THEN ' skipped' ELSE '' END FROM events ORDER BY consent_id, seq`,
		func(id, event string) { found[id].events = append(found[id].events, event) })
	c.each(`SELECT consent_id, 'cycle ' || cycle || ', ' || stage || ', ' || channel || ', ' || outcome FROM notices`,
		func(id, notice string) { found[id].notices = append(found[id].notices, notice) })
	return found
}

// each reads rows of two texts.
func (c *chaos) each(query string, do func(a, b string)) {
	c.Helper()
	rows, err := c.sys.store.DB().QueryContext(c.Context(), query)
	require.NoError(c, err)
	defer func() { assert.NoError(c, rows.Close()) }()
	for rows.Next() {
		var a, b string
		require.NoError(c, rows.Scan(&a, &b))
		do(a, b)
	}
	require.NoError(c, rows.Err())
}

// checkMail: the mails together tell of every consent, each by one Message-ID,
// to its user; and a mail came again only where its sender was killed, and only
// so many as that one can have had in hand.
func (c *chaos) checkMail() {
	toldBy := map[string]string{} // by bank: the Message-ID
	mailOf := map[string]string{} // by bank: the address of its user
	for i := range c.consents {
		mailOf[bankNamed(i)] = emailOf(i)
	}
	again := map[string]int{} // by the process whose mail came again
	for id, mails := range byMessageID(c.sink.mails()) {
		first := mails[0]
		assert.Contains(c, first.toAll, first.to)
		for bank := range strings.SplitSeq(first.banks, ",") {
			assert.Equal(c, mailOf[bank], first.to, "%s is told to somebody else", bank)
			assert.Empty(c, toldBy[bank], "%s is told by two messages", bank)
			toldBy[bank] = id
		}
		for n, m := range mails {
			assert.Equal(c, []string{first.to, first.toAll, first.banks}, []string{m.to, m.toAll, m.banks}, "sent again as something else")
			if n < len(mails)-1 {
				again[m.by]++
			}
		}
	}
	assert.Len(c, toldBy, c.consents, "not every consent is told of")
	assert.Equal(c, usersAmong(c.consents), c.sink.reached(), "not every user had a mail")
	c.checkMessageIDs(toldBy)
	total := 0
	for process, count := range again {
		total += count
		assert.Contains(c, c.killed, process, "its mails came again, though it was not killed")
		assert.LessOrEqual(c, count, unrecorded, "%s, killed amid %s", process, c.killed[process])
	}
	assert.GreaterOrEqual(c, total, c.unanswered, "mails whose sender never had the answer must come again")
}

// checkMessageIDs: the mail that told of a consent is the one that the records name.
func (c *chaos) checkMessageIDs(toldBy map[string]string) {
	wrong := 0
	c.each(`SELECT c.bank_name, n.digest_id FROM notices n JOIN consents c ON c.application_id = n.application_id AND c.id = n.consent_id`,
		func(bank, digest string) {
			if toldBy[bank] != "<"+digest+"@example.org>" {
				wrong++
			}
		})
	assert.Zero(c, wrong, "notices that another mail told")
}

// TestReplicasWithClocksApart lets two replicas whose clocks differ by half a
// minute sweep at the same time. What is due to both, and what is due to one of
// them only, is announced once.
func TestReplicasWithClocksApart(t *testing.T) {
	const (
		rounds = 8
		batch  = 120
		apart  = 30 * time.Second
	)
	dsn := pgtest.DSN(t)
	in := install(t, dsn)
	conf := config{databaseURL: dsn, keys: in.keys(t), baseURL: "http://127.0.0.1:8080"}
	behind := openSystem(t, conf, parts{now: time.Now})
	ahead := openSystem(t, conf, parts{now: func() time.Time { return time.Now().Add(apart) }})
	app, err := behind.applicationNamed(t.Context(), "acme")
	require.NoError(t, err)
	c := &chaos{T: t, sys: behind, app: app}

	announced := 0
	for round := range rounds {
		regs := make([]consent.Registration, batch)
		for i := range regs {
			regs[i] = dueConsent(&app, round*batch+i, time.Now(), betweenClocks(round*batch+i, apart))
		}
		_, err := behind.store.Register(t.Context(), app.ID, regs)
		require.NoError(t, err)
		announced += sweepTogether(t, behind, ahead)
	}
	announced += sweepTogether(t, ahead) // what the one behind was at when the other passed over it

	assert.Zero(t, c.count(consentsDue, micros(time.Now().Add(apart/2))))
	assert.Equal(t, announced, c.count(`SELECT count(*) FROM events WHERE data NOT LIKE '%"skipped":true%'`))
	assert.Equal(t, announced, c.count(`SELECT count(*) FROM notices`), "one for every stage announced")
	histories := c.histories()
	require.Len(t, histories, rounds*batch)
	twoStages := 0
	for id, h := range histories {
		stages := make([]string, len(h.events))
		for i, e := range h.events {
			_, e, _ = strings.Cut(e, "cycle 1, ")
			stages[i] = strings.TrimSuffix(e, " skipped")
		}
		want := []string{"before_30d", "before_7d"}
		assert.Equal(t, want[:len(stages)], stages, "%s: each once, in order: %v", id, h.events)
		assert.NotContains(t, h.events[len(h.events)-1], "skipped", "%s: the latest is announced", id)
		twoStages += cmp.Compare(len(stages), 1)
	}
	assert.Equal(t, rounds*batch*2/3, twoStages)
}

// betweenClocks: a third of the consents have one stage due to both, a third
// have a second one that is due to both, and for a third that second one is
// due to the clock ahead alone.
func betweenClocks(i int, apart time.Duration) time.Duration {
	return []time.Duration{29 * aDay, 7*aDay - time.Minute, 7*aDay + apart/2}[i/2%3]
}

// sweepTogether has all of them sweep at once and returns how many stages they
// announced.
func sweepTogether(t *testing.T, systems ...*system) int {
	t.Helper()
	totals := make([]int, len(systems))
	var g errgroup.Group
	for i, sys := range systems {
		g.Go(func() error {
			swept, err := sys.connector.Sweep(t.Context())
			totals[i] = swept.Total()
			return err
		})
	}
	require.NoError(t, g.Wait())
	sum := 0
	for _, n := range totals {
		sum += n
	}
	return sum
}
