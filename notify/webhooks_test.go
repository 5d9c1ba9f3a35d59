package notify

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/seal"
	"github.com/reconsent/reconsent/sqlstore"
)

// counter is where webhooks go: it keeps what was posted and answers as it is
// told, by URL.
type counter struct {
	mu      sync.Mutex
	posts   []Post
	answers map[string]func(ctx context.Context, nth int) Answer // nth post to that URL, from 1
	seen    map[string]int
}

func (c *counter) Post(ctx context.Context, p Post) Answer {
	c.mu.Lock()
	c.posts = append(c.posts, p)
	c.seen[p.URL]++
	answer, nth := c.answers[p.URL], c.seen[p.URL]
	c.mu.Unlock()
	if answer == nil {
		return Answer{Status: 204}
	}
	return answer(ctx, nth)
}

func (c *counter) ids() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]string, len(c.posts))
	for i := range c.posts {
		out[i] = c.posts[i].ID
	}
	return out
}

// jobs is a queue that keeps the keys that it was given.
type jobs struct {
	mu   sync.Mutex
	keys []string
}

func (j *jobs) Enqueue(_ context.Context, _ *sql.Tx, _ string, keys []string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.keys = append(j.keys, keys...)
	return nil
}

// post office: webhooks of one application on a real store, with a clock.
type office struct {
	*testing.T
	*Webhooks
	store  *sqlstore.Store
	keys   *seal.Keys
	queue  *jobs
	wire   *counter
	reg    *recording
	at     time.Time
	paused []string
	n      int
	mu     sync.Mutex
}

// recording is a registry whose records fail when told to.
type recording struct {
	WebhookRegistry
	record func() error
}

func (r *recording) RecordDelivery(ctx context.Context, claim string, d consent.Delivery, judge func(*consent.WebhookEndpoint)) (consent.WebhookEndpoint, error) {
	if r.record != nil {
		if err := r.record(); err != nil {
			return consent.WebhookEndpoint{}, err
		}
	}
	return r.WebhookRegistry.RecordDelivery(ctx, claim, d, judge)
}

func newOffice(t *testing.T) *office {
	t.Helper()
	store, err := sqlstore.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "registry.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	require.NoError(t, store.Migrate(t.Context()))
	keys, err := seal.Generate()
	require.NoError(t, err)
	o := &office{T: t, store: store, keys: keys, queue: &jobs{}, at: time.Date(2027, 3, 28, 0, 0, 0, 0, time.UTC),
		wire: &counter{answers: map[string]func(context.Context, int) Answer{}, seen: map[string]int{}}}
	store.UseQueue(o.queue)
	o.reg = &recording{WebhookRegistry: store}
	o.Webhooks = NewWebhooks(WebhooksConfig{
		Registry: o.reg, Poster: o.wire, Keys: keys, Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return o.at }, NewID: o.id,
		Body: func(e consent.Event, c *consent.Consent, _ time.Time) ([]byte, error) {
			return fmt.Appendf(nil, `{"seq":%d,"user":%q,"cycle":%d}`, e.Seq, c.UserID, c.Cycle), nil
		},
		Paused: func(_ context.Context, e consent.WebhookEndpoint) error {
			o.paused = append(o.paused, e.ID)
			return nil
		},
	})
	return o
}

func (o *office) id() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.n++
	return fmt.Sprintf("%06d", o.n)
}

const app = "app_1"

func (o *office) endpoint(uri string) consent.WebhookEndpoint {
	o.Helper()
	id := "whe_" + o.id()
	sealed, err := o.keys.Seal([]byte("whsec_"+id), id)
	require.NoError(o, err)
	e := consent.WebhookEndpoint{ApplicationID: app, ID: id, URL: uri, Secret: sealed, Status: consent.EndpointActive, CreatedAt: o.at}
	created, err := o.store.CreateWebhookEndpoint(o.Context(), e, 20)
	require.NoError(o, err)
	require.True(o, created)
	return e
}

// happen registers consents, which tells of an event each.
func (o *office) happen(times int) {
	o.Helper()
	regs := make([]consent.Registration, times)
	for i := range regs {
		id := o.id()
		c := consent.Consent{ApplicationID: app, ID: "con_" + id, UserID: "user_" + id, Provider: "truelayer", CredentialsID: id, Cycle: 1,
			Custody: consent.CustodyOurs, CreatedAt: o.at, ConsentedAt: o.at}
		regs[i] = consent.Registration{Consent: c, Events: []consent.Event{{ID: "evt_" + id, Type: consent.EventLinked, At: o.at}},
			Contact: consent.User{ApplicationID: app, ID: c.UserID, CreatedAt: o.at, UpdatedAt: o.at}}
	}
	_, err := o.store.Register(o.Context(), app, regs)
	require.NoError(o, err)
}

// send does the jobs of what is due, once, and returns how many there were.
func (o *office) send() int {
	o.Helper()
	n, err := o.Dispatch(o.Context())
	require.NoError(o, err)
	keys := o.queue.keys
	o.queue.keys = nil
	require.Len(o, keys, n)
	for _, key := range keys {
		require.NoError(o, o.Do(o.Context(), key))
	}
	return n
}

func (o *office) list(e consent.WebhookEndpoint) []consent.Delivery {
	o.Helper()
	list, err := o.store.Deliveries(o.Context(), app, consent.DeliveryFilter{EndpointID: e.ID, Limit: 1000})
	require.NoError(o, err)
	slices.Reverse(list)
	return list
}

func (o *office) look(e consent.WebhookEndpoint) consent.WebhookEndpoint {
	o.Helper()
	e, err := o.store.WebhookEndpoint(o.Context(), app, e.ID)
	require.NoError(o, err)
	return e
}

func always(a Answer) func(context.Context, int) Answer {
	return func(context.Context, int) Answer { return a }
}

func TestAnEventIsDeliveredOnceToEach(t *testing.T) {
	o := newOffice(t)
	a, b := o.endpoint("https://a.example"), o.endpoint("https://b.example")
	o.happen(3)
	assert.Equal(t, 2, o.send())
	for _, e := range []consent.WebhookEndpoint{a, b} {
		for _, d := range o.list(e) {
			assert.Equal(t, consent.DeliveryDelivered, d.State)
			assert.Equal(t, 204, d.LastStatus)
			assert.Equal(t, 1, d.Tries)
			assert.Equal(t, o.at, d.FinishedAt)
		}
	}
	assert.Len(t, o.wire.posts, 6)
	assert.Regexp(t, `^\{"seq":1,"user":"user_\d{6}","cycle":1\}$`, string(o.wire.posts[0].Body))
	assert.Zero(t, o.send(), "nothing is left")
	assert.Len(t, o.wire.posts, 6)
}

func TestAReceiverThatFailsFiveTimesSeesTheSameIDSixTimes(t *testing.T) {
	o := newOffice(t)
	e := o.endpoint("https://a.example")
	o.wire.answers[e.URL] = func(_ context.Context, nth int) Answer {
		if nth <= 5 {
			return Answer{Status: 500}
		}
		return Answer{Status: 200}
	}
	o.happen(1)
	for range 6 {
		require.Equal(t, 1, o.send())
		o.at = laterThan(o.list(e)[0].DueAt, o.at)
	}
	assert.Zero(t, o.send())
	ids := o.wire.ids()
	require.Len(t, ids, 6)
	assert.Len(t, slices.Compact(ids), 1)
	d := o.list(e)[0]
	assert.Equal(t, consent.DeliveryDelivered, d.State)
	assert.Equal(t, 6, d.Tries)
	assert.Zero(t, o.look(e).Failures, "what got through forgives what did not")
}

func laterThan(t, than time.Time) time.Time {
	if t.After(than) {
		return t
	}
	return than
}

func TestThreeDaysOfRetries(t *testing.T) {
	o := newOffice(t)
	e := o.endpoint("https://a.example")
	o.wire.answers[e.URL] = always(Answer{Error: "timeout"})
	o.happen(1)
	began := o.at
	schedule := []time.Duration{5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour}
	for i, pause := range schedule {
		require.Equal(t, 1, o.send(), "try %d", i+1)
		d := o.list(e)[0]
		require.Equal(t, consent.DeliveryPending, d.State)
		require.Equal(t, i+1, d.Tries)
		require.Equal(t, "timeout", d.LastError)
		require.WithinRange(t, d.DueAt, o.at.Add(pause), o.at.Add(pause+pause/5))
		o.at = d.DueAt.Add(-time.Microsecond)
		require.Zero(t, o.send(), "not before its time")
		o.at = d.DueAt
	}
	require.Equal(t, 1, o.send())
	d := o.list(e)[0]
	assert.Equal(t, consent.DeliveryFailed, d.State, "given up")
	assert.Equal(t, 10, d.Tries)
	assert.WithinRange(t, o.at, began.Add(3*24*time.Hour), began.Add(4*24*time.Hour))
	assert.Equal(t, []string{e.ID}, o.paused, "ten tries, more than a day")
	assert.Equal(t, consent.EndpointPaused, o.look(e).Status)
	assert.Equal(t, consent.ReasonFailing, o.look(e).Reason)
}

func TestAFailingEndpointIsPausedAndGoesOnWhenActive(t *testing.T) {
	o := newOffice(t)
	e, well := o.endpoint("https://a.example"), o.endpoint("https://well.example")
	healthy := false
	o.wire.answers[e.URL] = func(context.Context, int) Answer {
		if healthy {
			return Answer{Status: 200}
		}
		return Answer{Status: 502}
	}
	began := o.at
	for o.look(e).Status == consent.EndpointActive {
		require.Less(t, o.at.Sub(began), 48*time.Hour, "it is never paused")
		o.happen(1)
		o.send()
		o.at = o.at.Add(time.Hour)
	}
	tried := o.wire.seen[e.URL]
	assert.GreaterOrEqual(t, tried, 10)
	assert.GreaterOrEqual(t, o.at.Sub(began), 24*time.Hour)
	assert.Equal(t, []string{e.ID}, o.paused)
	assert.Equal(t, consent.EndpointActive, o.look(well).Status)

	o.happen(2)
	o.at = o.at.Add(10 * time.Hour)
	o.send()
	assert.Equal(t, tried, o.wire.seen[e.URL], "what happens waits")
	all := len(o.list(e))
	assert.Len(t, o.list(well), all, "and is not lost")

	healthy = true
	_, err := o.store.ChangeWebhookEndpoint(t.Context(), app, e.ID, o.at, func(e *consent.WebhookEndpoint) { e.Activate() })
	require.NoError(t, err)
	assert.Equal(t, 1, o.send())
	for _, d := range o.list(e) {
		assert.Equal(t, consent.DeliveryDelivered, d.State)
	}
	assert.Equal(t, tried+all, o.wire.seen[e.URL], "each at once, and once")
}

func TestA410EndsTheEndpoint(t *testing.T) {
	o := newOffice(t)
	e := o.endpoint("https://a.example")
	o.wire.answers[e.URL] = always(Answer{Status: 410})
	o.happen(1)
	require.Equal(t, 1, o.send())
	got := o.look(e)
	assert.Equal(t, consent.EndpointGone, got.Status)
	assert.Equal(t, consent.ReasonGone, got.Reason)
	assert.Equal(t, consent.DeliveryFailed, o.list(e)[0].State)
	o.happen(1)
	o.at = o.at.Add(100 * time.Hour)
	assert.Zero(t, o.send())
	assert.Len(t, o.list(e), 1, "it is told nothing any more")
	assert.Equal(t, []string{e.ID}, o.paused, "somebody is told: a load balancer may have said it")
}

func TestADeadEndpointIsNotTriedWithAllThatWaits(t *testing.T) {
	o := newOffice(t)
	e := o.endpoint("https://a.example")
	o.wire.answers[e.URL] = always(Answer{Error: "connection_failed"})
	o.happen(50)
	require.Equal(t, 1, o.send())
	first := o.wire.seen[e.URL]
	assert.GreaterOrEqual(t, first, failuresInRow)
	assert.Less(t, first, failuresInRow+PostsAtATime, "those under way when it showed")
	assert.Zero(t, o.send(), "it is left alone")
	o.at = o.at.Add(breather)
	assert.Equal(t, 1, o.send())
	assert.Greater(t, o.wire.seen[e.URL], first)
}

func TestRetryAfterIsKeptTo(t *testing.T) {
	o := newOffice(t)
	e := o.endpoint("https://a.example")
	o.wire.answers[e.URL] = func(_ context.Context, nth int) Answer {
		if nth == 1 {
			return Answer{Status: 429, RetryAfter: 10 * time.Minute}
		}
		return Answer{Status: 200}
	}
	o.happen(1)
	o.send()
	o.happen(3)
	at := o.at
	o.at = at.Add(10*time.Minute - time.Microsecond)
	assert.Zero(t, o.send(), "neither that one nor others")
	o.at = at.Add(10 * time.Minute)
	assert.Equal(t, 1, o.send())
	assert.Equal(t, 5, o.wire.seen[e.URL])

	o.wire.answers[e.URL] = always(Answer{Status: 503, RetryAfter: 24 * time.Hour})
	o.happen(1)
	o.send()
	o.wire.answers[e.URL] = nil
	o.at = o.at.Add(maxHold)
	o.happen(1)
	assert.Equal(t, 1, o.send(), "a receiver cannot hold the endpoint for as long as it likes")
}

func TestOfTwoDispatchersEachDeliveryIsRecordedOnce(t *testing.T) {
	o := newOffice(t)
	e := o.endpoint("https://a.example")
	o.happen(40)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			_, err := o.Dispatch(context.WithoutCancel(t.Context()))
			assert.NoError(t, err)
			assert.NoError(t, o.Do(context.WithoutCancel(t.Context()), consent.DigestKey(app, e.ID)))
		})
	}
	wg.Wait()
	ids := o.wire.ids()
	slices.Sort(ids)
	assert.Len(t, ids, 40)
	assert.Len(t, slices.Compact(ids), 40, "no event was sent twice")
	assert.LessOrEqual(t, len(o.queue.keys), 1, "an endpoint gets one job")
	for _, d := range o.list(e) {
		assert.Equal(t, consent.DeliveryDelivered, d.State)
		assert.Equal(t, 1, d.Tries)
	}
}

func TestASlowEndpointSlowsNoOther(t *testing.T) {
	o := newOffice(t)
	slow, quick := o.endpoint("https://slow.example"), o.endpoint("https://quick.example")
	entered, free := make(chan struct{}, 100), make(chan struct{})
	o.wire.answers[slow.URL] = func(context.Context, int) Answer { entered <- struct{}{}; <-free; return Answer{Status: 200} }
	o.happen(20)
	done := make(chan error, 1)
	go func() { done <- o.Send(context.WithoutCancel(t.Context()), app, slow.ID) }()
	for range PostsAtATime {
		<-entered
	}
	require.NoError(t, o.Send(t.Context(), app, quick.ID))
	assert.Equal(t, 20, o.wire.seen[quick.URL], "all of it, while the other has answered nothing")
	assert.Empty(t, entered, "and the slow one is asked no more than so many at a time")
	for _, d := range o.list(quick) {
		assert.Equal(t, consent.DeliveryDelivered, d.State)
	}
	close(free)
	require.NoError(t, <-done)
	assert.Equal(t, 20, o.wire.seen[slow.URL])
}

func TestACrashBeforeTheRecordSendsAgainUnderTheSameID(t *testing.T) {
	o := newOffice(t)
	e := o.endpoint("https://a.example")
	o.happen(1)
	o.reg.record = func() error { o.reg.record = nil; return errDisk }
	_, err := o.Dispatch(t.Context())
	require.NoError(t, err)
	require.ErrorIs(t, o.Send(t.Context(), app, e.ID), errDisk)
	assert.Equal(t, consent.DeliveryPending, o.list(e)[0].State)
	o.queue.keys = nil
	o.at = o.at.Add(breather)
	require.Equal(t, 1, o.send())
	ids := o.wire.ids()
	require.Len(t, ids, 2)
	assert.Equal(t, ids[0], ids[1])
	assert.Equal(t, consent.DeliveryDelivered, o.list(e)[0].State)
}

func TestBeingStoppedIsNoFailureOfTheReceivers(t *testing.T) {
	o := newOffice(t)
	e := o.endpoint("https://a.example")
	ctx, cancel := context.WithCancel(t.Context())
	o.wire.answers[e.URL] = func(ctx context.Context, _ int) Answer { cancel(); <-ctx.Done(); return Answer{Error: "timeout"} }
	o.happen(1)
	err := o.Send(ctx, app, e.ID)
	require.ErrorIs(t, err, context.Canceled)
	assert.Zero(t, o.list(e)[0].Tries)
	assert.Zero(t, o.look(e).Failures)
	assert.Empty(t, o.look(e).ClaimID, "and somebody else may go on")
}

func TestBothSecretsSignWhileOneReplacesTheOther(t *testing.T) {
	o := newOffice(t)
	e := o.endpoint("https://a.example")
	fresh, err := o.keys.Seal([]byte("whsec_fresh"), e.ID)
	require.NoError(t, err)
	_, err = o.store.ChangeWebhookEndpoint(t.Context(), app, e.ID, o.at, func(e *consent.WebhookEndpoint) {
		e.OldSecret, e.OldSecretUntil, e.Secret = e.Secret, o.at.Add(24*time.Hour), fresh
	})
	require.NoError(t, err)
	o.happen(1)
	o.send()
	assert.Equal(t, []string{"whsec_fresh", "whsec_" + e.ID}, o.wire.posts[0].Secrets)
	o.at = o.at.Add(24 * time.Hour)
	o.happen(1)
	o.send()
	assert.Equal(t, []string{"whsec_fresh"}, o.wire.posts[1].Secrets)
}

func TestASecretOfOtherKeysSendsNothing(t *testing.T) {
	o := newOffice(t)
	e := o.endpoint("https://a.example")
	_, err := o.store.ChangeWebhookEndpoint(t.Context(), app, e.ID, o.at, func(e *consent.WebhookEndpoint) { e.Secret = consent.Sealed("not sealed") })
	require.NoError(t, err)
	o.happen(1)
	err = o.Send(t.Context(), app, e.ID)
	require.ErrorIs(t, err, seal.ErrOpen)
	assert.NotContains(t, err.Error(), "whsec_")
	assert.Empty(t, o.wire.posts)
	assert.Zero(t, o.list(e)[0].Tries)
}

func TestAPersonWhoWasErasedIsNotNamedByALaterTry(t *testing.T) {
	o := newOffice(t)
	e := o.endpoint("https://a.example")
	o.happen(1)
	d := o.list(e)[0]
	con, err := o.store.Consent(t.Context(), app, d.ConsentID)
	require.NoError(t, err)
	_, err = o.store.Revoke(t.Context(), consent.Revocation{ApplicationID: app, ConsentID: con.ID, By: "user", At: o.at,
		Event: consent.Event{ID: "evt_" + o.id(), Type: consent.EventRevoked, At: o.at}})
	require.NoError(t, err)
	require.NoError(t, o.store.EraseUser(t.Context(), app, con.UserID, "erased_1"))
	o.send()
	require.Len(t, o.wire.posts, 2)
	for _, p := range o.wire.posts {
		assert.Contains(t, string(p.Body), "erased_1")
		assert.NotContains(t, string(p.Body), con.UserID)
	}
}

func TestAJobOfNoEndpointNeedsNothing(t *testing.T) {
	o := newOffice(t)
	require.NoError(t, o.Do(t.Context(), consent.DigestKey(app, "whe_none")))
	require.Error(t, o.Do(t.Context(), "no key"))
}

func (*jobs) Waiting(context.Context, *sql.Tx, string) (int, error) { return 0, nil }
