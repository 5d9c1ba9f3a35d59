package registrytest

import (
	"fmt"
	"slices"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
)

// endpoint makes a webhook endpoint of these events, or of all.
func (w *world) endpoint(events ...consent.EventType) consent.WebhookEndpoint {
	w.Helper()
	e := consent.WebhookEndpoint{
		ApplicationID: w.app.ID, ID: name("whe"), URL: "https://hooks.example/a?b=c", Events: events, Secret: consent.Sealed("secret \x00\xff"),
		Status: consent.EndpointActive, CreatedAt: at(0),
	}
	created, err := w.r.CreateWebhookEndpoint(w.Context(), e, 20)
	require.NoError(w, err)
	require.True(w, created)
	return e
}

func (w *world) lookAtEndpoint(e consent.WebhookEndpoint) consent.WebhookEndpoint {
	w.Helper()
	e, err := w.r.WebhookEndpoint(w.Context(), e.ApplicationID, e.ID)
	require.NoError(w, err)
	return e
}

// deliveries are all of an endpoint's, newest first.
func (w *world) deliveries(e consent.WebhookEndpoint) []consent.Delivery {
	w.Helper()
	list, err := w.r.Deliveries(w.Context(), e.ApplicationID, consent.DeliveryFilter{EndpointID: e.ID, Limit: 1000})
	require.NoError(w, err)
	return list
}

// heard lists what an endpoint is told, as type/seq, in order.
func (w *world) heard(e consent.WebhookEndpoint) []string {
	w.Helper()
	out := []string{}
	for _, d := range w.deliveries(e) {
		out = append(out, fmt.Sprintf("%s/%d", d.Type, d.Seq))
	}
	slices.Sort(out)
	return out
}

func (w *world) dueTo(e consent.WebhookEndpoint, now time.Time) []consent.Delivery {
	w.Helper()
	list, err := w.r.DueDeliveries(w.Context(), e.ApplicationID, e.ID, now, 1000)
	require.NoError(w, err)
	return list
}

func endpointClaim(e consent.WebhookEndpoint, now time.Time) consent.EndpointClaim {
	return consent.EndpointClaim{ApplicationID: e.ApplicationID, EndpointID: e.ID, ClaimID: name("claim"), Now: now, Until: now.Add(time.Minute)}
}

func (w *world) claimedEndpoint(e consent.WebhookEndpoint, now time.Time) consent.EndpointClaim {
	w.Helper()
	c := endpointClaim(e, now)
	got, err := w.r.ClaimWebhookEndpoint(w.Context(), c)
	require.NoError(w, err)
	require.Equal(w, c.ClaimID, got.ClaimID)
	return c
}

func (w *world) changed(e consent.WebhookEndpoint, now time.Time, status consent.EndpointStatus) {
	w.Helper()
	_, err := w.r.ChangeWebhookEndpoint(w.Context(), e.ApplicationID, e.ID, now, func(e *consent.WebhookEndpoint) { e.Status = status })
	require.NoError(w, err)
}

func unjudged(*consent.WebhookEndpoint) {}

// delivered is a delivery that got through at a moment.
func delivered(d consent.Delivery, now time.Time) consent.Delivery {
	d.Tries++
	d.State, d.DueAt, d.TriedAt, d.FinishedAt, d.LastStatus = consent.DeliveryDelivered, time.Time{}, now, now, 204
	return d
}

var webhookTests = []test{
	{"Webhooks/endpoint reads back", func(w *world) {
		e := w.endpoint(consent.EventRenewed, consent.EventUserUnreachable)
		assert.Equal(w, e, w.lookAtEndpoint(e))
		all := w.endpoint()
		list, err := w.r.WebhookEndpoints(w.Context(), w.app.ID)
		require.NoError(w, err)
		assert.Equal(w, []consent.WebhookEndpoint{e, all}, list)
		_, err = w.r.WebhookEndpoint(w.Context(), w.app.ID, "whe_none")
		require.ErrorIs(w, err, consent.ErrNotFound)
	}},
	{"Webhooks/no more endpoints than that", func(w *world) {
		w.endpoint()
		created, err := w.r.CreateWebhookEndpoint(w.Context(), consent.WebhookEndpoint{ApplicationID: w.app.ID, ID: name("whe"), Secret: consent.Sealed("s"), CreatedAt: at(0)}, 1)
		require.NoError(w, err)
		assert.False(w, created)
		list, err := w.r.WebhookEndpoints(w.Context(), w.app.ID)
		require.NoError(w, err)
		assert.Len(w, list, 1)
	}},
	{"Webhooks/change writes all that may change", func(w *world) {
		e := w.endpoint()
		want := e
		want.URL, want.Events, want.Secret = "https://other.example", []consent.EventType{consent.EventLinked}, consent.Sealed("new")
		want.OldSecret, want.OldSecretUntil = e.Secret, at(day)
		want.Status, want.Reason, want.Failures, want.FailingSince = consent.EndpointPaused, "because", 7, at(time.Hour)
		got, err := w.r.ChangeWebhookEndpoint(w.Context(), w.app.ID, e.ID, at(0), func(e *consent.WebhookEndpoint) { *e = want })
		require.NoError(w, err)
		assert.Equal(w, want, got)
		assert.Equal(w, want, w.lookAtEndpoint(e))
		_, err = w.r.ChangeWebhookEndpoint(w.Context(), w.app.ID, "whe_none", at(0), unjudged)
		require.ErrorIs(w, err, consent.ErrNotFound)
	}},
	{"Webhooks/an event is told to each endpoint that wants it, in its step", func(w *world) {
		all, some, gone := w.endpoint(), w.endpoint(consent.EventRenewed, consent.EventRevoked), w.endpoint()
		paused := w.endpoint()
		w.changed(gone, at(0), consent.EndpointGone)
		w.changed(paused, at(0), consent.EndpointPaused)
		c := w.stored() // consent.linked
		w.renewed(c)
		f := finish(w.claimed(w.begun(ptr(w.look(c)))), consent.AttemptFailed)
		f.Event = ptr(event(consent.EventAttemptFailed, nil))
		_, err := w.r.FinishAttempt(w.Context(), f)
		require.NoError(w, err)
		started := event(consent.EventAttemptStarted, nil)
		require.NoError(w, w.r.BeginAttempt(w.Context(), w.attempt(ptr(w.look(c))), &started))
		require.NoError(w, w.r.SetOutlook(w.Context(), outlook(w.look(c), event(consent.EventEndedEarly, nil), event(consent.EventLapsed, map[string]any{"skipped": true}))))
		w.revoked(c)

		types := w.history(c)
		require.Equal(w, []consent.EventType{consent.EventLinked, consent.EventRenewed, consent.EventAttemptFailed, consent.EventAttemptStarted,
			consent.EventEndedEarly, consent.EventLapsed, consent.EventRevoked}, types)
		want := []string{"attempt.failed/3", "consent.ended_early/5", "consent.linked/1", "consent.renewed/2", "consent.revoked/7"}
		assert.Equal(w, want, w.heard(all), "what was skipped, or never goes out, is not among them")
		assert.Equal(w, want, w.heard(paused), "it waits")
		assert.Equal(w, []string{"consent.renewed/2", "consent.revoked/7"}, w.heard(some))
		assert.Empty(w, w.heard(gone))

		events, err := w.r.Events(w.Context(), w.app.ID, c.ID, 0, 100)
		require.NoError(w, err)
		for _, d := range w.deliveries(all) {
			e := events[d.Seq-1]
			assert.Equal(w, consent.Delivery{
				ApplicationID: w.app.ID, EndpointID: all.ID, EventID: e.ID, ConsentID: c.ID, Seq: e.Seq, Type: e.Type, At: e.At,
				State: consent.DeliveryPending, DueAt: e.At,
			}, d)
		}
	}},
	{"Webhooks/a step that is refused tells nobody", func(w *world) {
		e := w.endpoint()
		c := w.stored()
		a := w.claimed(w.begun(&c))
		r := renewal(a, c)
		r.ClaimID = "another"
		_, err := w.r.Renew(w.Context(), r)
		require.ErrorIs(w, err, consent.ErrClaimLost)
		assert.Equal(w, []string{"consent.linked/1"}, w.heard(e))
	}},
	{"Webhooks/a sweep tells what it announces, and not what it skips", func(w *world) {
		e := w.endpoint()
		other := &world{T: w.T, r: w.r, app: w.application()}
		deaf := other.endpoint(consent.EventRevoked)
		era := newEra()
		c := w.dueAt(era.at(time.Hour), name("user"))
		other.dueAt(era.at(time.Hour), name("user"))
		_, err := w.r.Flag(w.Context(), era.due(), func(*consent.Consent) consent.Judgement {
			skipped := event(consent.EventLapsing, map[string]any{"skipped": true})
			return consent.Judgement{Events: []consent.Event{skipped, event(consent.EventLapsed, map[string]any{"due_at": "x"})}}
		})
		require.NoError(w, err)
		assert.Equal(w, []string{"consent.lapsed/3", "consent.linked/1"}, w.heard(e))
		assert.Empty(w, other.heard(deaf))
		assert.Len(w, w.history(c), 3)
	}},
	{"Webhooks/many registered at once", func(w *world) {
		e := w.endpoint()
		var regs []consent.Registration
		for range 3 {
			r := w.registration(w.consent())
			r.Events = append(r.Events, event(consent.EventLapsing, map[string]any{"skipped": true}))
			regs = append(regs, r)
		}
		twin := regs[0]
		twin.Consent.ID = name("con")
		added, err := w.r.Register(w.Context(), w.app.ID, append(regs, twin))
		require.NoError(w, err)
		require.Equal(w, []bool{true, true, true, false}, added)
		assert.Equal(w, []string{"consent.linked/1", "consent.linked/1", "consent.linked/1"}, w.heard(e))
	}},
	{"Webhooks/claimed by one, released, left alone", func(w *world) {
		e := w.endpoint()
		c := w.claimedEndpoint(e, at(0))
		for _, now := range []time.Time{at(0), c.Until.Add(-time.Microsecond)} {
			_, err := w.r.ClaimWebhookEndpoint(w.Context(), endpointClaim(e, now))
			require.ErrorIs(w, err, consent.ErrBusy)
		}
		lost := endpointClaim(e, at(0))
		require.NoError(w, w.r.ReleaseWebhookEndpoint(w.Context(), lost, at(-day)), "not its claim")
		require.NoError(w, w.r.ReleaseWebhookEndpoint(w.Context(), c, at(10*time.Minute)))
		_, err := w.r.ClaimWebhookEndpoint(w.Context(), endpointClaim(e, at(10*time.Minute-time.Microsecond)))
		require.ErrorIs(w, err, consent.ErrBusy, "it is left alone until then")
		second := w.claimedEndpoint(e, at(10*time.Minute))
		w.claimedEndpoint(e, second.Until) // of one whose process died
		_, err = w.r.ClaimWebhookEndpoint(w.Context(), endpointClaim(consent.WebhookEndpoint{ApplicationID: w.app.ID, ID: "whe_none"}, at(0)))
		require.ErrorIs(w, err, consent.ErrNotFound)
		for _, status := range []consent.EndpointStatus{consent.EndpointPaused, consent.EndpointGone} {
			w.changed(e, at(day), status)
			_, err = w.r.ClaimWebhookEndpoint(w.Context(), endpointClaim(e, at(day)))
			require.ErrorIs(w, err, consent.ErrBusy, status)
		}
	}},
	{"Webhooks/of many who claim one wins", func(w *world) {
		e := w.endpoint()
		w.oneWon(w.race(func(int) error {
			_, err := w.r.ClaimWebhookEndpoint(w.Context(), endpointClaim(e, at(0)))
			return err
		}), consent.ErrBusy)
	}},
	{"Webhooks/a try is recorded under the claim in force", func(w *world) {
		e := w.endpoint()
		w.stored()
		c := w.claimedEndpoint(e, at(time.Hour))
		due := w.dueTo(e, at(time.Hour))
		require.Len(w, due, 1)
		failed := due[0]
		failed.Tries, failed.TriedAt, failed.DueAt, failed.LastStatus = 1, at(time.Hour), at(2*time.Hour), 500
		got, err := w.r.RecordDelivery(w.Context(), c.ClaimID, failed, func(e *consent.WebhookEndpoint) { e.Failures, e.FailingSince = 1, at(time.Hour) })
		require.NoError(w, err)
		assert.Equal(w, 1, got.Failures)
		assert.Equal(w, got, w.lookAtEndpoint(e))
		assert.Equal(w, []consent.Delivery{failed}, w.deliveries(e))
		assert.Empty(w, w.dueTo(e, at(2*time.Hour-time.Microsecond)))
		assert.Equal(w, []consent.Delivery{failed}, w.dueTo(e, at(2*time.Hour)))

		for _, claimID := range []string{"", "another"} {
			_, err = w.r.RecordDelivery(w.Context(), claimID, delivered(failed, at(2*time.Hour)), unjudged)
			require.ErrorIs(w, err, consent.ErrClaimLost)
		}
		assert.Equal(w, []consent.Delivery{failed}, w.deliveries(e))

		over := delivered(failed, at(2*time.Hour))
		_, err = w.r.RecordDelivery(w.Context(), c.ClaimID, over, unjudged)
		require.NoError(w, err)
		assert.Equal(w, []consent.Delivery{over}, w.deliveries(e))
		assert.Empty(w, w.dueTo(e, at(1000*day)))
		_, err = w.r.RecordDelivery(w.Context(), c.ClaimID, failed, func(e *consent.WebhookEndpoint) { e.Failures = 99 })
		require.NoError(w, err)
		assert.Equal(w, []consent.Delivery{over}, w.deliveries(e), "what is over stays")
		assert.Equal(w, 1, w.lookAtEndpoint(e).Failures)
	}},
	{"Webhooks/what waits goes on when active, and fails when gone", func(w *world) {
		e := w.endpoint()
		w.stored()
		c := w.claimedEndpoint(e, at(time.Hour))
		d := w.dueTo(e, at(time.Hour))[0]
		d.Tries, d.TriedAt, d.DueAt = 3, at(time.Hour), at(20*time.Hour)
		_, err := w.r.RecordDelivery(w.Context(), c.ClaimID, d, func(e *consent.WebhookEndpoint) { e.Status = consent.EndpointPaused })
		require.NoError(w, err)
		require.NoError(w, w.r.ReleaseWebhookEndpoint(w.Context(), c, at(3*time.Hour)))
		w.changed(e, at(2*time.Hour), consent.EndpointActive)
		d.DueAt = at(2 * time.Hour)
		assert.Equal(w, []consent.Delivery{d}, w.dueTo(e, at(2*time.Hour)))
		c = w.claimedEndpoint(e, at(2*time.Hour)) // nor is it left alone any longer
		_, err = w.r.RecordDelivery(w.Context(), c.ClaimID, d, func(e *consent.WebhookEndpoint) { e.Status = consent.EndpointGone })
		require.NoError(w, err)
		got := w.deliveries(e)
		require.Len(w, got, 1)
		assert.Equal(w, consent.DeliveryFailed, got[0].State)
		assert.Zero(w, got[0].DueAt)
		assert.Equal(w, d.TriedAt, got[0].FinishedAt)
	}},
	{"Webhooks/pages, newest first", func(w *world) {
		e := w.endpoint()
		var want []string
		for i := range 5 {
			r := w.registration(w.consent())
			r.Events[0].At = at(time.Duration(i/2) * time.Minute)
			_, err := w.r.Register(w.Context(), w.app.ID, []consent.Registration{r})
			require.NoError(w, err)
			want = append([]string{r.Events[0].ID}, want...)
		}
		var got []string
		f := consent.DeliveryFilter{EndpointID: e.ID, Limit: 2}
		for {
			page, err := w.r.Deliveries(w.Context(), w.app.ID, f)
			require.NoError(w, err)
			for _, d := range page {
				got = append(got, d.EventID)
				f.BeforeAt, f.BeforeEventID = d.At, d.EventID
			}
			if len(page) < 2 {
				break
			}
		}
		assert.Equal(w, want, got)
		c := w.claimedEndpoint(e, at(day))
		_, err := w.r.RecordDelivery(w.Context(), c.ClaimID, delivered(w.dueTo(e, at(day))[0], at(day)), unjudged)
		require.NoError(w, err)
		for state, n := range map[consent.DeliveryState]int{consent.DeliveryPending: 4, consent.DeliveryDelivered: 1, consent.DeliveryFailed: 0} {
			page, err := w.r.Deliveries(w.Context(), w.app.ID, consent.DeliveryFilter{EndpointID: e.ID, State: state, Limit: 10})
			require.NoError(w, err)
			assert.Len(w, page, n, state)
		}
	}},
	{"Webhooks/replayed by event, and by time", func(w *world) {
		e, bystander := w.endpoint(), w.endpoint()
		for i := range 5 {
			r := w.registration(w.consent())
			r.Events[0].At = at(time.Duration(i) * time.Hour)
			_, err := w.r.Register(w.Context(), w.app.ID, []consent.Registration{r})
			require.NoError(w, err)
		}
		c := w.claimedEndpoint(e, at(day))
		for _, d := range w.dueTo(e, at(day)) {
			_, err := w.r.RecordDelivery(w.Context(), c.ClaimID, delivered(d, at(day)), unjudged)
			require.NoError(w, err)
		}
		before := w.deliveries(bystander)
		all := w.deliveries(e)
		n, err := w.r.ReplayDeliveries(w.Context(), consent.Replay{ApplicationID: w.app.ID, EndpointID: e.ID, EventID: all[0].EventID, Now: at(2 * day)})
		require.NoError(w, err)
		assert.Equal(w, 1, n)
		due := w.dueTo(e, at(2*day))
		require.Len(w, due, 1)
		assert.Equal(w, all[0].EventID, due[0].EventID)
		assert.Zero(w, due[0].Tries)
		n, err = w.r.ReplayDeliveries(w.Context(), consent.Replay{ApplicationID: w.app.ID, EndpointID: e.ID, EventID: "evt_none", Now: at(2 * day)})
		require.NoError(w, err)
		assert.Zero(w, n)

		r := consent.Replay{ApplicationID: w.app.ID, EndpointID: e.ID, From: at(time.Hour), To: at(4 * time.Hour), Now: at(3 * day), Limit: 2}
		for _, want := range []int{2, 1, 0} {
			n, err = w.r.ReplayDeliveries(w.Context(), r)
			require.NoError(w, err)
			assert.Equal(w, want, n, "three lie in the range, the end left out; each once")
		}
		assert.Len(w, w.dueTo(e, at(3*day)), 4)
		assert.Equal(w, before, w.deliveries(bystander))
	}},
	{"Webhooks/deleted with all that was sent", func(w *world) {
		e, bystander := w.endpoint(), w.endpoint()
		w.stored()
		require.NoError(w, w.r.DeleteWebhookEndpoint(w.Context(), w.app.ID, e.ID))
		assert.Empty(w, w.deliveries(e))
		assert.Len(w, w.deliveries(bystander), 1)
		require.ErrorIs(w, w.r.DeleteWebhookEndpoint(w.Context(), w.app.ID, e.ID), consent.ErrNotFound)
		w.stored()
		assert.Empty(w, w.deliveries(e))
	}},
	{"Webhooks/purged when old", func(w *world) {
		e := w.endpoint()
		w.stored()
		late := w.registration(w.consent())
		late.Events[0].At = at(31 * day)
		_, err := w.r.Register(w.Context(), w.app.ID, []consent.Registration{late})
		require.NoError(w, err)
		purge := func(before time.Time) {
			_, err := w.r.PurgeDeliveries(w.Context(), before, 1_000_000)
			require.NoError(w, err)
		}
		purge(at(time.Minute - time.Microsecond))
		require.Len(w, w.deliveries(e), 2)
		c := w.claimedEndpoint(e, at(time.Hour))
		_, err = w.r.RecordDelivery(w.Context(), c.ClaimID, delivered(w.dueTo(e, at(time.Hour))[0], at(2*day)), unjudged)
		require.NoError(w, err)
		purge(at(day))
		require.Len(w, w.deliveries(e), 2, "it was over later than that")
		purge(at(2 * day))
		left := w.deliveries(e)
		require.Len(w, left, 1)
		assert.Equal(w, at(31*day), left[0].At)
		purge(at(31 * day))
		assert.Empty(w, w.deliveries(e), "what has waited for as long goes too")
	}},
	{"Webhooks/an endpoint gets one job", func(w *world) {
		// Dispatch looks across applications, so what others left due is
		// dispatched before.
		drain := func(now time.Time) int {
			total := 0
			for {
				n, err := w.r.DispatchWebhooks(w.Context(), now, now.Add(time.Minute), 100)
				require.NoError(w, err)
				if total += n; n < 100 {
					return total
				}
			}
		}
		now := at(3000 * day)
		drain(now)
		e := w.endpoint()
		assert.Zero(w, drain(now), "nothing is due to it")
		w.stored()
		require.Equal(w, 1, drain(now))
		require.Zero(w, drain(now), "its job is on the way")
		c := w.claimedEndpoint(e, now)
		require.Zero(w, drain(now), "its job has begun")
		require.NoError(w, w.r.ReleaseWebhookEndpoint(w.Context(), c, now))
		require.Equal(w, 1, drain(now), "and left something")
		require.GreaterOrEqual(w, drain(now.Add(time.Minute)), 1, "the job was lost")
		w.changed(e, now, consent.EndpointPaused)
		drain(now.Add(time.Hour))
		w.changed(e, now.Add(time.Hour), consent.EndpointActive)
		require.Equal(w, 1, drain(now.Add(time.Hour)))
	}},
	{"Webhooks/nothing crosses applications", func(w *world) {
		e := w.endpoint()
		c := w.stored()
		claim := w.claimedEndpoint(e, at(time.Hour))
		other := &world{T: w.T, r: w.r, app: w.application()}
		// The same ids over there.
		twin := e
		twin.ApplicationID = other.app.ID
		created, err := w.r.CreateWebhookEndpoint(w.Context(), twin, 20)
		require.NoError(w, err)
		require.True(w, created)
		mirrored := c
		mirrored.ApplicationID = other.app.ID
		reg := other.registration(mirrored)
		first, err := w.r.Events(w.Context(), w.app.ID, c.ID, 0, 1)
		require.NoError(w, err)
		reg.Events[0].ID = first[0].ID
		_, err = w.r.Register(w.Context(), other.app.ID, []consent.Registration{reg})
		require.NoError(w, err)

		before, due := w.lookAtEndpoint(e), w.deliveries(e)
		require.Len(w, due, 1)
		d := other.deliveries(twin)[0]
		_, err = w.r.RecordDelivery(w.Context(), claim.ClaimID, delivered(d, at(day)), unjudged)
		require.ErrorIs(w, err, consent.ErrClaimLost, "the claim is of the other application")
		own := other.claimedEndpoint(twin, at(time.Hour))
		_, err = w.r.RecordDelivery(w.Context(), own.ClaimID, delivered(d, at(day)), func(e *consent.WebhookEndpoint) { e.Failures = 3 })
		require.NoError(w, err)
		_, err = w.r.ReplayDeliveries(w.Context(), consent.Replay{ApplicationID: other.app.ID, EndpointID: e.ID, From: at(0), To: at(day), Now: at(5 * day), Limit: 10})
		require.NoError(w, err)
		other.changed(twin, at(day), consent.EndpointGone)
		require.NoError(w, w.r.DeleteWebhookEndpoint(w.Context(), other.app.ID, twin.ID))
		assert.Equal(w, before, w.lookAtEndpoint(e))
		assert.Equal(w, due, w.deliveries(e))
		assert.Empty(w, other.deliveries(twin))
	}},
	{"Webhooks/erasing a user leaves nobody's name in them", func(w *world) {
		e := w.endpoint()
		c := w.stored()
		w.revoked(c)
		require.NoError(w, w.r.EraseUser(w.Context(), w.app.ID, c.UserID, "erased_1"))
		list := w.deliveries(e)
		require.Len(w, list, 2)
		assert.NotContains(w, fmt.Sprintf("%+v", list), c.UserID)
	}},
}

func ptr[T any](v T) *T { return &v }

func (w *world) inbound(c consent.Consent, at time.Time) consent.InboundEvent {
	return consent.InboundEvent{
		ApplicationID: c.ApplicationID, Provider: c.Provider, ID: name("prov"), Kind: consent.InboundRevoked, CredentialsID: c.CredentialsID,
		At: at, ReceivedAt: at,
	}
}

func (w *world) receive(e consent.InboundEvent) bool {
	w.Helper()
	stored, err := w.r.ReceiveInbound(w.Context(), e)
	require.NoError(w, err)
	return stored
}

func (w *world) apply(now time.Time) {
	w.Helper()
	for {
		n, err := w.r.ApplyInbound(w.Context(), now, 100)
		require.NoError(w, err)
		if n < 100 {
			return
		}
	}
}

var inboundTests = []test{
	{"Inbound/the same event is one", func(w *world) {
		c := w.stored()
		e := w.inbound(c, at(day))
		assert.True(w, w.receive(e))
		assert.False(w, w.receive(e))
		e.Provider = "another"
		assert.True(w, w.receive(e))
		e.ApplicationID = w.application().ID
		assert.True(w, w.receive(e))
	}},
	{"Inbound/makes the check due now, and changes nothing else", func(w *world) {
		other := &world{T: w.T, r: w.r, app: w.application()}
		c, bystander := w.stored(), w.stored()
		foreign := other.stored(func(f *consent.Consent) { f.CredentialsID = c.CredentialsID })
		w.receive(w.inbound(c, at(day)))
		w.apply(at(day + time.Second))
		want := c
		want.NextCheckAt = at(day + time.Second)
		assert.Equal(w, want, w.look(c))
		assert.Equal(w, bystander, w.look(bystander))
		assert.Equal(w, foreign, w.look(foreign))
		w.apply(at(2 * day))
		assert.Equal(w, want, w.look(c), "once")
	}},
	{"Inbound/what is older changes nothing", func(w *world) {
		c := w.stored()
		w.receive(w.inbound(c, at(2*day)))
		w.apply(at(3 * day))
		require.NoError(w, w.r.PostponeCheck(w.Context(), w.app.ID, c.ID, c.Cycle, at(9*day))) // it was asked about
		c = w.look(c)
		w.receive(w.inbound(c, at(day)))
		w.apply(at(3 * day))
		assert.Equal(w, c, w.look(c), "the provider has said something newer of it")

		renewed := w.stored(func(c *consent.Consent) { c.ConsentedAt = at(day) })
		w.receive(w.inbound(renewed, at(day)))
		w.apply(at(3 * day))
		assert.Equal(w, renewed, w.look(renewed), "the person was at the bank since")
	}},
	{"Inbound/news of no weight hides nothing", func(w *world) {
		c := w.stored()
		newer := w.inbound(c, at(2*day))
		newer.Kind = consent.InboundOther
		w.receive(newer)
		w.receive(w.inbound(c, at(day)))
		w.apply(at(3 * day))
		assert.NotEqual(w, c.NextCheckAt, w.look(c).NextCheckAt, "the provider is asked")
	}},
	{"Inbound/leaves alone what is not checked", func(w *world) {
		for name, change := range map[string]func(*consent.Consent){
			"custody of the backend": func(c *consent.Consent) { c.Custody = consent.CustodyBackend },
			"no token":               func(c *consent.Consent) { c.Tokens.Refresh = nil },
			"ended":                  func(c *consent.Consent) { c.EndedAt = at(time.Hour) },
			"due already":            func(c *consent.Consent) { c.NextCheckAt = at(time.Hour) },
		} {
			c := w.stored(change)
			w.receive(w.inbound(c, at(day)))
			w.apply(at(day))
			assert.Equal(w, c, w.look(c), name)
		}
		c := w.revoked(w.stored())
		w.receive(w.inbound(c, at(day)))
		w.apply(at(day))
		assert.Equal(w, c, w.look(c), "revoked")
	}},
	{"Inbound/purged when old", func(w *world) {
		c := w.stored()
		old, young := w.inbound(c, at(-1000*day)), w.inbound(c, at(-900*day))
		w.receive(old)
		w.receive(young)
		_, err := w.r.PurgeInbound(w.Context(), at(-1000*day), 1_000_000)
		require.NoError(w, err)
		assert.True(w, w.receive(old), "it is forgotten")
		assert.False(w, w.receive(young))
	}},
}
