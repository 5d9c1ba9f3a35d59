package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/reconsent/reconsent/consent"
)

// WebhookRegistry is what sending webhooks needs of the registry.
type WebhookRegistry interface {
	consent.Webhooks
	Consent(ctx context.Context, applicationID, id string) (consent.Consent, error)
	Events(ctx context.Context, applicationID, consentID string, afterSeq int64, limit int) ([]consent.Event, error)
}

// Post is one webhook as it is put on the wire.
type Post struct {
	URL     string
	ID      string   // stable over retries and replays
	Secrets []string // each signs
	Body    []byte
}

// String keeps the secrets out of logs and errors.
func (p Post) String() string { return "webhook " + p.ID }

// GoString keeps the secrets out of %#v.
func (p Post) GoString() string { return p.String() }

// Answer is what came of a post. Status is 0 where there was no answer; Error
// says why.
type Answer struct {
	Status     int
	Error      string
	RetryAfter time.Duration // asked for by the receiver; 0 for none
}

// Delivered reports whether the receiver took it.
func (a Answer) Delivered() bool { return a.Status >= 200 && a.Status <= 299 }

// Poster posts. See notify/webhook.
type Poster interface {
	Post(ctx context.Context, p Post) Answer
}

// WebhooksConfig is what Webhooks is made of. All fields are required.
type WebhooksConfig struct {
	Registry WebhookRegistry
	Poster   Poster
	Keys     interface {
		Open(sealed []byte, row string) ([]byte, error)
	}
	// Body writes what an event's webhook carries, the consent as it is now.
	Body func(e consent.Event, c *consent.Consent, now time.Time) ([]byte, error)
	// Paused is told of an endpoint that was paused because it fails.
	Paused func(ctx context.Context, e consent.WebhookEndpoint) error
	Now    func() time.Time
	NewID  func() string
	Log    *slog.Logger
}

// Webhooks sends events to the endpoints of applications. It is safe for
// concurrent use, in many processes.
type Webhooks struct{ WebhooksConfig }

// NewWebhooks returns a Webhooks.
func NewWebhooks(cfg WebhooksConfig) *Webhooks { return &Webhooks{cfg} }

// PostsAtATime is how many posts to one endpoint may be under way at once.
const PostsAtATime = 4

const (
	dispatchEndpoints = 500
	// queuedFor is by when an endpoint's job must have begun; after that it is
	// given another.
	queuedFor = time.Minute
	// sendFor is how long one job goes on beginning posts: others wait for its
	// worker. A job's own time limit has to be longer by a post's.
	sendFor = 30 * time.Second
	// endpointClaim is longer than a job may take.
	endpointClaim = 3 * time.Minute
	sendBatch     = 100
	// breather is how long an endpoint is left alone after so many failures in
	// a row: it is down, and what else is due to it would fail likewise.
	breather      = time.Minute
	failuresInRow = 3
	maxHold       = time.Hour // by the receiver's own Retry-After
)

// JobTimeout is the time limit of a job that sends to an endpoint.
const JobTimeout = time.Minute

// retries are the pauses after the first try, the second, and so on: Standard
// Webhooks' recommendation, some three days in all.
var retries = [...]time.Duration{
	5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
	10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
}

// retryIn returns how long to wait after so many tries, up to a fifth longer
// than the schedule, and ok false where there is no other try.
func retryIn(tries int) (d time.Duration, ok bool) {
	if tries > len(retries) {
		return 0, false
	}
	d = retries[tries-1]
	return d + time.Duration(rand.Int64N(int64(d/5))), true //nolint:gosec // spreads load, guards nothing
}

// Dispatch makes jobs for the endpoints that something is due to.
func (w *Webhooks) Dispatch(ctx context.Context) (int, error) {
	total := 0
	for {
		now := w.now()
		n, err := w.Registry.DispatchWebhooks(ctx, now, now.Add(queuedFor), dispatchEndpoints)
		total += n
		if err != nil || n < dispatchEndpoints {
			return total, err
		}
	}
}

// Do is Send as a job.
func (w *Webhooks) Do(ctx context.Context, job string) error {
	app, ids, err := consent.ParseDigestKey(job)
	if err != nil {
		return err
	}
	return w.Send(ctx, app, ids[0])
}

// Send sends what is due to one endpoint, for a bounded time. One that is gone,
// paused, or in other hands needs nothing.
func (w *Webhooks) Send(ctx context.Context, applicationID, endpointID string) error {
	now := w.now()
	claim := consent.EndpointClaim{ApplicationID: applicationID, EndpointID: endpointID, ClaimID: w.NewID(), Now: now, Until: now.Add(endpointClaim)}
	e, err := w.Registry.ClaimWebhookEndpoint(ctx, claim)
	if err != nil {
		return quiet(err)
	}
	r := &run{Webhooks: w, claim: claim, endpoint: e}
	err = r.send(ctx)
	hold := r.hold
	if err != nil && hold == 0 {
		hold = breather
	}
	// Where the process dies before this, the claim runs out.
	return errors.Join(quiet(err), w.Registry.ReleaseWebhookEndpoint(context.WithoutCancel(ctx), claim, w.now().Add(hold)))
}

// quiet drops the errors that say that there is nothing to do.
func quiet(err error) error {
	if errors.Is(err, consent.ErrNotFound) || errors.Is(err, consent.ErrBusy) || errors.Is(err, consent.ErrClaimLost) {
		return nil
	}
	return err
}

func (w *Webhooks) now() time.Time { return w.Now().UTC().Truncate(time.Microsecond) }

// run is one job's sending to one endpoint.
type run struct {
	*Webhooks
	claim    consent.EndpointClaim
	endpoint consent.WebhookEndpoint

	mu    sync.Mutex
	inRow int           // failures since something was delivered
	hold  time.Duration // how long the endpoint is to be left alone
	over  bool          // nothing more is to be sent
}

// send goes on until nothing is due, time is up, or the endpoint fails.
func (r *run) send(ctx context.Context) error {
	begin, cancel := context.WithTimeout(ctx, sendFor)
	defer cancel()
	secrets, err := r.secrets()
	if err != nil {
		return err
	}
	for {
		due, err := r.Registry.DueDeliveries(ctx, r.claim.ApplicationID, r.claim.EndpointID, r.now(), sendBatch)
		if err != nil || len(due) == 0 {
			return err
		}
		g := errgroup.Group{}
		g.SetLimit(PostsAtATime)
		for _, d := range due {
			if r.done() || begin.Err() != nil {
				break
			}
			g.Go(func() error {
				if r.done() { // one that went before has shown it
					return nil
				}
				return r.deliver(ctx, secrets, d)
			})
		}
		if err := g.Wait(); err != nil || r.done() || begin.Err() != nil {
			return err
		}
	}
}

func (r *run) done() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.over
}

// secrets opens what the endpoint's webhooks are signed with.
func (r *run) secrets() ([]string, error) {
	sealed := []consent.Sealed{r.endpoint.Secret}
	if r.endpoint.OldSecretUntil.After(r.now()) {
		sealed = append(sealed, r.endpoint.OldSecret)
	}
	out := make([]string, len(sealed))
	for i, s := range sealed {
		plain, err := r.Keys.Open(s, r.endpoint.ID)
		if err != nil {
			return nil, fmt.Errorf("secret of webhook endpoint %s: %w", r.endpoint.ID, err)
		}
		out[i] = string(plain)
	}
	return out, nil
}

// deliver makes one try and records what came of it.
func (r *run) deliver(ctx context.Context, secrets []string, d consent.Delivery) error {
	body, err := r.body(ctx, &d)
	if err != nil {
		return err
	}
	if body == nil {
		d.State, d.DueAt, d.LastError, d.TriedAt, d.FinishedAt = consent.DeliveryFailed, time.Time{}, "event_gone", r.now(), r.now()
		_, err := r.Registry.RecordDelivery(ctx, r.claim.ClaimID, d, func(*consent.WebhookEndpoint) {})
		return err
	}
	a := r.Poster.Post(ctx, Post{URL: r.endpoint.URL, ID: d.EventID, Secrets: secrets, Body: body})
	if ctx.Err() != nil && !a.Delivered() {
		return ctx.Err() // we were stopped; that is no failure of the receiver's
	}
	now := r.now()
	judge(&d, a, now)
	var paused, gone bool
	e, err := r.Registry.RecordDelivery(context.WithoutCancel(ctx), r.claim.ClaimID, d, func(e *consent.WebhookEndpoint) {
		gone = a.Status == http.StatusGone
		if gone {
			e.Status, e.Reason = consent.EndpointGone, consent.ReasonGone
		}
		paused = e.Answered(a.Delivered(), now)
	})
	changed := e.URL != r.endpoint.URL || !bytes.Equal(e.Secret, r.endpoint.Secret)
	r.note(&d, a, err != nil || changed || e.Status != consent.EndpointActive) // the next job begins with what it is now
	switch {
	case err != nil:
		return err
	case gone:
		r.Log.Error("webhook endpoint is gone: it answered 410", "endpoint", e.ID, "application", e.ApplicationID)
		return r.Paused(context.WithoutCancel(ctx), e)
	case paused:
		r.Log.Error("webhook endpoint paused: it fails", "endpoint", e.ID, "application", e.ApplicationID, "failures", e.Failures, "since", e.FailingSince)
		return r.Paused(context.WithoutCancel(ctx), e)
	}
	return nil
}

// body writes what a delivery carries; nil where its event is no longer there.
func (r *run) body(ctx context.Context, d *consent.Delivery) ([]byte, error) {
	events, err := r.Registry.Events(ctx, d.ApplicationID, d.ConsentID, d.Seq-1, 1)
	if err != nil || len(events) == 0 || events[0].ID != d.EventID {
		return nil, err
	}
	con, err := r.Registry.Consent(ctx, d.ApplicationID, d.ConsentID)
	if err != nil {
		return nil, quiet(err)
	}
	return r.Body(events[0], &con, r.now())
}

// judge writes what an answer makes of a delivery.
func judge(d *consent.Delivery, a Answer, now time.Time) {
	d.Tries++
	d.TriedAt, d.LastStatus, d.LastError = now, a.Status, a.Error
	pause, more := retryIn(d.Tries)
	switch {
	case a.Delivered():
		d.State, d.DueAt, d.FinishedAt = consent.DeliveryDelivered, time.Time{}, now
	case !more, a.Status == http.StatusGone:
		d.State, d.DueAt, d.FinishedAt = consent.DeliveryFailed, time.Time{}, now
	default:
		d.DueAt = now.Add(max(pause, a.RetryAfter))
	}
}

// note remembers how the endpoint does, and whether to go on with it.
func (r *run) note(d *consent.Delivery, a Answer, over bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = r.over || over
	if a.Delivered() {
		r.inRow = 0
		return
	}
	r.Log.Debug("webhook not delivered", "endpoint", d.EndpointID, "event", d.EventID, "tries", d.Tries, "status", a.Status, "reason", a.Error)
	r.inRow++
	switch {
	case a.RetryAfter > 0:
		r.over, r.hold = true, max(r.hold, min(a.RetryAfter, maxHold))
	case r.inRow >= failuresInRow:
		r.over, r.hold = true, max(r.hold, breather)
	}
}
