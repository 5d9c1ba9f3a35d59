package sqlstore

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/reconsent/reconsent/consent"
)

const (
	endpointColumnList = `application_id, id, url, events, secret, old_secret, old_secret_until, status, reason, created_at, failures, failing_since, claim_id`
	deliveryColumnList = `application_id, endpoint_id, event_id, consent_id, seq, type, at, state, tries, due_at, tried_at, last_status, last_error, finished_at`

	// tellTo is a delivery to each endpoint w that wants an event of a type. No
	// type's name is part of another's, so LIKE will do.
	tellTo    = `INSERT INTO webhook_deliveries (application_id, endpoint_id, event_id, consent_id, seq, type, at, state, queued_at, due_at) `
	listening = `w.status <> 'gone' AND (w.events = '' OR ' ' || w.events || ' ' LIKE '% ' || `
)

var (
	toldColumns   = strings.Fields(`application_id consent_id event_id seq type at`)
	tellEndpoints = withTable(toldColumns, tellTo+`SELECT r.application_id, w.id, r.event_id, r.consent_id, r.seq, r.type, r.at, 'pending', r.at, r.at
		FROM @r JOIN webhook_endpoints w ON w.application_id = r.application_id
		WHERE `+listening+`r.type || ' %') ON CONFLICT DO NOTHING`)
	listeningAmong = withTable([]string{"application_id"}, `SELECT DISTINCT w.application_id FROM webhook_endpoints w
		WHERE w.status <> 'gone' AND w.application_id IN (SELECT r.application_id FROM @r)`)

	// Two who make one at the same moment may exceed the bound by one.
	insertEndpoint = sideBySide(
		addEndpoint(typed(newEndpoint...)),
		addEndpoint(":"+strings.Join(newEndpoint, ", :")))
	endpointByID  = both(`SELECT ` + endpointColumnList + ` FROM webhook_endpoints WHERE application_id = :app AND id = :id`)
	lockEndpoint  = locking(`SELECT ` + endpointColumnList + ` FROM webhook_endpoints WHERE application_id = :app AND id = :id`)
	listEndpoints = both(`SELECT ` + endpointColumnList + ` FROM webhook_endpoints WHERE application_id = :app ORDER BY created_at, id`)
	writeEndpoint = both(`UPDATE webhook_endpoints SET url = :url, events = :events, secret = :secret, old_secret = :old_secret,
		old_secret_until = :old_secret_until, status = :status, reason = :reason, failures = :failures, failing_since = :failing_since
		WHERE application_id = :application_id AND id = :id`)
	deleteEndpoint   = both(`DELETE FROM webhook_endpoints WHERE application_id = :app AND id = :id`)
	deleteDeliveries = both(`DELETE FROM webhook_deliveries WHERE application_id = :app AND endpoint_id = :id`)
	// What waits is not left to wait for a pause between tries either.
	wakeEndpoint = both(`UPDATE webhook_endpoints SET queued_until = NULL, claimed_until = CASE WHEN claim_id = '' THEN NULL ELSE claimed_until END
		WHERE application_id = :app AND id = :id`)
	wakeDeliveries = both(`UPDATE webhook_deliveries SET due_at = :now WHERE application_id = :app AND endpoint_id = :id AND due_at > :now`)
	failDeliveries = both(`UPDATE webhook_deliveries SET state = 'failed', due_at = NULL, finished_at = :now
		WHERE application_id = :app AND endpoint_id = :id AND due_at IS NOT NULL`)

	dispatchWebhooks = sideBySide(dispatchEndpoints(` FOR UPDATE SKIP LOCKED`), dispatchEndpoints(``))
	claimEndpoint    = both(`UPDATE webhook_endpoints SET claim_id = :claim, claimed_until = :until, queued_until = NULL
		WHERE application_id = :app AND id = :id AND status = 'active' AND (claimed_until IS NULL OR claimed_until <= :now)
		RETURNING ` + endpointColumnList)
	releaseEndpoint = both(`UPDATE webhook_endpoints SET claim_id = '', claimed_until = :free
		WHERE application_id = :app AND id = :id AND claim_id = :claim AND claim_id <> ''`)

	dueDeliveries = both(`SELECT ` + deliveryColumnList + ` FROM webhook_deliveries
		WHERE application_id = :app AND endpoint_id = :id AND due_at <= :now ORDER BY due_at, at, consent_id, seq LIMIT :limit`)
	listDeliveries = both(`SELECT ` + deliveryColumnList + ` FROM webhook_deliveries
		WHERE application_id = :app AND endpoint_id = :id AND (at, event_id) < (:before, :before_event) AND (:state = '' OR state = :state)
		ORDER BY at DESC, event_id DESC LIMIT :limit`)
	recordDelivery = both(`UPDATE webhook_deliveries SET state = :state, tries = :tries, due_at = :due_at, tried_at = :tried_at,
			last_status = :last_status, last_error = :last_error, finished_at = :finished_at
		WHERE application_id = :application_id AND endpoint_id = :endpoint_id AND event_id = :event_id AND state = 'pending'`)
	replayOne   = both(anew + `event_id = :event`)
	replayRange = both(anew + `event_id IN (SELECT event_id FROM webhook_deliveries WHERE application_id = :app AND endpoint_id = :id
		AND at >= :from AND at < :to AND queued_at < :now ORDER BY at, event_id LIMIT :limit)`)
	purgeDeliveries = both(`DELETE FROM webhook_deliveries WHERE (application_id, endpoint_id, event_id) IN (
		SELECT application_id, endpoint_id, event_id FROM webhook_deliveries
		WHERE queued_at <= :before AND (finished_at IS NULL OR finished_at <= :before) ORDER BY queued_at LIMIT :limit)`)
)

// newEndpoint are the columns of an endpoint that has no past.
var newEndpoint = strings.Fields(`application_id id url events secret status created_at`)

func addEndpoint(values string) string {
	return `INSERT INTO webhook_endpoints (` + columns(newEndpoint) + `) SELECT ` + values + `
		WHERE (SELECT count(*) FROM webhook_endpoints WHERE application_id = :application_id) < CAST(:at_most AS INTEGER)`
}

// anew makes deliveries as if nothing had been tried.
const anew = `UPDATE webhook_deliveries SET state = 'pending', tries = 0, queued_at = :now, due_at = :now, finished_at = NULL
	WHERE application_id = :app AND endpoint_id = :id AND `

// dispatchEndpoints looks at endpoints, of which there are few, and not at
// deliveries: those that wait for a paused one cost nothing.
func dispatchEndpoints(lock string) string {
	return `UPDATE webhook_endpoints SET queued_until = :until WHERE (application_id, id) IN (
		SELECT application_id, id FROM webhook_endpoints w WHERE status = 'active'
			AND (queued_until IS NULL OR queued_until <= :now) AND (claimed_until IS NULL OR claimed_until <= :now)
			AND EXISTS (SELECT 1 FROM webhook_deliveries d WHERE d.application_id = w.application_id AND d.endpoint_id = w.id AND d.due_at <= :now)
		ORDER BY application_id, id LIMIT :limit` + lock + `
	) RETURNING application_id, id`
}

type endpointRow struct {
	App            string `db:"application_id"`
	ID             string `db:"id"`
	URL            string `db:"url"`
	Events         words  `db:"events"`
	Secret         blob   `db:"secret"`
	OldSecret      blob   `db:"old_secret"`
	OldSecretUntil stamp  `db:"old_secret_until"`
	Status         string `db:"status"`
	Reason         string `db:"reason"`
	CreatedAt      stamp  `db:"created_at"`
	Failures       int    `db:"failures"`
	FailingSince   stamp  `db:"failing_since"`
	ClaimID        string `db:"claim_id"`
}

func (r *endpointRow) endpoint() consent.WebhookEndpoint {
	e := consent.WebhookEndpoint{
		ApplicationID: r.App, ID: r.ID, URL: r.URL, Secret: consent.Sealed(r.Secret), OldSecret: consent.Sealed(r.OldSecret),
		OldSecretUntil: r.OldSecretUntil.Time, Status: consent.EndpointStatus(r.Status), Reason: r.Reason, CreatedAt: r.CreatedAt.Time,
		Failures: r.Failures, FailingSince: r.FailingSince.Time, ClaimID: r.ClaimID,
	}
	for _, typ := range r.Events {
		e.Events = append(e.Events, consent.EventType(typ))
	}
	return e
}

func endpointRowOf(e *consent.WebhookEndpoint) endpointRow {
	r := endpointRow{
		App: e.ApplicationID, ID: e.ID, URL: e.URL, Secret: blob(e.Secret), OldSecret: blob(e.OldSecret), OldSecretUntil: stamp{e.OldSecretUntil},
		Status: string(e.Status), Reason: e.Reason, CreatedAt: stamp{e.CreatedAt}, Failures: e.Failures, FailingSince: stamp{e.FailingSince},
	}
	for _, typ := range e.Events {
		r.Events = append(r.Events, string(typ))
	}
	return r
}

type deliveryRow struct {
	App        string `db:"application_id"`
	EndpointID string `db:"endpoint_id"`
	EventID    string `db:"event_id"`
	ConsentID  string `db:"consent_id"`
	Seq        int64  `db:"seq"`
	Type       string `db:"type"`
	At         stamp  `db:"at"`
	State      string `db:"state"`
	Tries      int    `db:"tries"`
	DueAt      stamp  `db:"due_at"`
	TriedAt    stamp  `db:"tried_at"`
	LastStatus int    `db:"last_status"`
	LastError  string `db:"last_error"`
	FinishedAt stamp  `db:"finished_at"`
}

func deliveriesOf(rows []deliveryRow) []consent.Delivery {
	out := make([]consent.Delivery, len(rows))
	for i, r := range rows {
		out[i] = consent.Delivery{
			ApplicationID: r.App, EndpointID: r.EndpointID, EventID: r.EventID, ConsentID: r.ConsentID, Seq: r.Seq,
			Type: consent.EventType(r.Type), At: r.At.Time, State: consent.DeliveryState(r.State), Tries: r.Tries, DueAt: r.DueAt.Time,
			TriedAt: r.TriedAt.Time, LastStatus: r.LastStatus, LastError: r.LastError, FinishedAt: r.FinishedAt.Time,
		}
	}
	return out
}

// told are the events that endpoints are to be told of.
func told() *table { return &table{columns: toldColumns} }

func (t *table) tell(app, consentID string, seq int64, e *consent.Event) {
	if e.GoesOut() {
		t.add(app, consentID, e.ID, seq, string(e.Type), stamp{e.At}.micros())
	}
}

// tellThose writes the deliveries of events, in the transaction that writes the
// events.
func (q query) tellThose(ctx context.Context, t *table) error {
	if len(t.rows) == 0 {
		return nil
	}
	arg, err := t.args(q.s.dialect, args{})
	if err != nil {
		return err
	}
	_, err = q.exec(ctx, tellEndpoints, arg)
	return err
}

// tellMany is tellThose for many events: those of applications without an
// endpoint cost next to nothing.
func (q query) tellMany(ctx context.Context, t *table) error {
	apps := table{columns: []string{"application_id"}}
	seen := map[any]bool{}
	for _, row := range t.rows {
		if app := row[0]; !seen[app] {
			seen[app] = true
			apps.add(app)
		}
	}
	if len(apps.rows) == 0 {
		return nil
	}
	arg, err := apps.args(q.s.dialect, args{})
	if err != nil {
		return err
	}
	var listening []string
	if err := q.list(ctx, listeningAmong, &listening, arg); err != nil || len(listening) == 0 {
		return err
	}
	clear(seen)
	for _, app := range listening {
		seen[app] = true
	}
	heard := told()
	for _, row := range t.rows {
		if seen[row[0]] {
			heard.add(row...)
		}
	}
	return q.tellThose(ctx, heard)
}

// CreateWebhookEndpoint implements consent.Webhooks.
func (s *Store) CreateWebhookEndpoint(ctx context.Context, e consent.WebhookEndpoint, atMost int) (bool, error) {
	n, err := s.query().exec(ctx, insertEndpoint, struct {
		endpointRow
		AtMost int `db:"at_most"`
	}{endpointRowOf(&e), atMost})
	return n > 0, err
}

// WebhookEndpoint implements consent.Webhooks.
func (s *Store) WebhookEndpoint(ctx context.Context, applicationID, id string) (consent.WebhookEndpoint, error) {
	var row endpointRow
	err := s.query().get(ctx, endpointByID, &row, args{"app": applicationID, "id": id})
	return row.endpoint(), err
}

// WebhookEndpoints implements consent.Webhooks.
func (s *Store) WebhookEndpoints(ctx context.Context, applicationID string) ([]consent.WebhookEndpoint, error) {
	var rows []endpointRow
	err := s.query().list(ctx, listEndpoints, &rows, args{"app": applicationID})
	out := make([]consent.WebhookEndpoint, len(rows))
	for i := range rows {
		out[i] = rows[i].endpoint()
	}
	return out, err
}

// ChangeWebhookEndpoint implements consent.Webhooks.
func (s *Store) ChangeWebhookEndpoint(ctx context.Context, applicationID, id string, now time.Time, change func(*consent.WebhookEndpoint)) (consent.WebhookEndpoint, error) {
	var e consent.WebhookEndpoint
	err := s.atomic(ctx, func(q query) error {
		var row endpointRow
		if err := q.get(ctx, lockEndpoint, &row, args{"app": applicationID, "id": id}); err != nil {
			return err
		}
		e = row.endpoint()
		return q.change(ctx, &e, now, change)
	})
	return e, err
}

// change alters a locked endpoint, and what waits for it.
func (q query) change(ctx context.Context, e *consent.WebhookEndpoint, now time.Time, change func(*consent.WebhookEndpoint)) error {
	was := e.Status
	change(e)
	if _, err := q.exec(ctx, writeEndpoint, endpointRowOf(e)); err != nil || e.Status == was {
		return err
	}
	var then []*statement
	switch e.Status {
	case consent.EndpointActive:
		then = []*statement{wakeEndpoint, wakeDeliveries}
	case consent.EndpointGone:
		then = []*statement{failDeliveries}
	case consent.EndpointPaused:
	}
	for _, st := range then {
		if _, err := q.exec(ctx, st, args{"app": e.ApplicationID, "id": e.ID, "now": stamp{now}}); err != nil {
			return err
		}
	}
	return nil
}

// DeleteWebhookEndpoint implements consent.Webhooks.
func (s *Store) DeleteWebhookEndpoint(ctx context.Context, applicationID, id string) error {
	arg := args{"app": applicationID, "id": id}
	return s.atomic(ctx, func(q query) error {
		if err := q.one(ctx, deleteEndpoint, arg); err != nil {
			return err
		}
		_, err := q.exec(ctx, deleteDeliveries, arg)
		return err
	})
}

// afterAll is later than any moment that is stored.
const afterAll = 1<<63 - 1

// Deliveries implements consent.Webhooks.
func (s *Store) Deliveries(ctx context.Context, applicationID string, f consent.DeliveryFilter) ([]consent.Delivery, error) {
	arg := args{"app": applicationID, "id": f.EndpointID, "state": string(f.State), "limit": f.Limit, "before": int64(afterAll), "before_event": f.BeforeEventID}
	if !f.BeforeAt.IsZero() {
		arg["before"] = f.BeforeAt.UnixMicro()
	}
	var rows []deliveryRow
	err := s.query().list(ctx, listDeliveries, &rows, arg)
	return deliveriesOf(rows), err
}

// ReplayDeliveries implements consent.Webhooks.
func (s *Store) ReplayDeliveries(ctx context.Context, r consent.Replay) (int, error) {
	arg := args{"app": r.ApplicationID, "id": r.EndpointID, "now": stamp{r.Now}}
	st := replayOne
	if r.EventID != "" {
		arg["event"] = r.EventID
	} else {
		st = replayRange
		arg["from"], arg["to"], arg["limit"] = stamp{r.From}, stamp{r.To}, r.Limit
	}
	var n int64
	err := again(func() (err error) {
		n, err = s.query().exec(ctx, st, arg)
		return err
	})
	if errors.Is(err, errNoText) {
		return 0, nil
	}
	return int(n), err
}

// DispatchWebhooks implements consent.Webhooks.
func (s *Store) DispatchWebhooks(ctx context.Context, now, until time.Time, limit int) (int, error) {
	var keys []string
	err := s.atomic(ctx, func(q query) error {
		var rows []endpointRow
		if err := q.list(ctx, dispatchWebhooks, &rows, args{"now": stamp{now}, "until": stamp{until}, "limit": limit}); err != nil {
			return err
		}
		keys = make([]string, len(rows))
		for i := range rows {
			keys[i] = consent.DigestKey(rows[i].App, rows[i].ID)
		}
		return s.queue.Enqueue(ctx, q.tx.Tx, consent.JobWebhooks, keys)
	})
	return len(keys), err
}

// ClaimWebhookEndpoint implements consent.Webhooks.
func (s *Store) ClaimWebhookEndpoint(ctx context.Context, c consent.EndpointClaim) (consent.WebhookEndpoint, error) {
	var row endpointRow
	err := s.query().get(ctx, claimEndpoint, &row, args{
		"app": c.ApplicationID, "id": c.EndpointID, "claim": c.ClaimID, "now": stamp{c.Now}, "until": stamp{c.Until},
	})
	if isNotFound(err) {
		if _, err := s.WebhookEndpoint(ctx, c.ApplicationID, c.EndpointID); err != nil {
			return consent.WebhookEndpoint{}, err
		}
		return consent.WebhookEndpoint{}, consent.ErrBusy
	}
	return row.endpoint(), err
}

// ReleaseWebhookEndpoint implements consent.Webhooks.
func (s *Store) ReleaseWebhookEndpoint(ctx context.Context, c consent.EndpointClaim, free time.Time) error {
	_, err := s.query().exec(ctx, releaseEndpoint, args{"app": c.ApplicationID, "id": c.EndpointID, "claim": c.ClaimID, "free": stamp{free}})
	return err
}

// DueDeliveries implements consent.Webhooks.
func (s *Store) DueDeliveries(ctx context.Context, applicationID, endpointID string, now time.Time, limit int) ([]consent.Delivery, error) {
	var rows []deliveryRow
	err := s.query().list(ctx, dueDeliveries, &rows, args{"app": applicationID, "id": endpointID, "now": stamp{now}, "limit": limit})
	return deliveriesOf(rows), err
}

// RecordDelivery implements consent.Webhooks.
func (s *Store) RecordDelivery(ctx context.Context, claimID string, d consent.Delivery, judge func(*consent.WebhookEndpoint)) (consent.WebhookEndpoint, error) {
	var e consent.WebhookEndpoint
	err := s.atomic(ctx, func(q query) error {
		var row endpointRow
		if err := q.get(ctx, lockEndpoint, &row, args{"app": d.ApplicationID, "id": d.EndpointID}); err != nil {
			return err
		}
		e = row.endpoint()
		if claimID == "" || e.ClaimID != claimID {
			return consent.ErrClaimLost
		}
		n, err := q.exec(ctx, recordDelivery, deliveryRow{
			App: d.ApplicationID, EndpointID: d.EndpointID, EventID: d.EventID, State: string(d.State), Tries: d.Tries, DueAt: stamp{d.DueAt},
			TriedAt: stamp{d.TriedAt}, LastStatus: d.LastStatus, LastError: d.LastError, FinishedAt: stamp{d.FinishedAt},
		})
		if err != nil || n == 0 {
			return err
		}
		return q.change(ctx, &e, d.TriedAt, judge)
	})
	return e, err
}

// PurgeDeliveries implements consent.Webhooks.
func (s *Store) PurgeDeliveries(ctx context.Context, before time.Time, limit int) (int, error) {
	n, err := s.query().exec(ctx, purgeDeliveries, args{"before": stamp{before}, "limit": limit})
	return int(n), err
}
