package api

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/reconsent/reconsent/connector"
	"github.com/reconsent/reconsent/consent"
)

// Webhook is what is posted to an application's endpoints.
type Webhook struct {
	Type      string      `json:"type" required:"true" description:"Of the event, for instance consent.renewed"`
	Timestamp time.Time   `json:"timestamp" required:"true" description:"When it happened"`
	Data      WebhookData `json:"data" required:"true"`
}

// WebhookData is an event and the consent that it is about.
type WebhookData struct {
	Event   Event    `json:"event" required:"true" description:"As the consent's history has it; order by seq"`
	Consent *Consent `json:"consent" required:"true" description:"As it is at the time of sending, which may be later than the event"`
}

// WebhookBody writes what an event's webhook carries.
func WebhookBody(e consent.Event, c *consent.Consent, now time.Time) ([]byte, error) {
	return json.Marshal(Webhook{Type: string(e.Type), Timestamp: e.At.UTC(), Data: WebhookData{Event: eventOf(e), Consent: consentAt(c, now)}})
}

// WebhookEndpointRequest asks for an endpoint.
type WebhookEndpointRequest struct {
	URL    string   `json:"url" required:"true" description:"https, at a public address; at most 2048 bytes"`
	Events []string `json:"events,omitempty" description:"Types of events to send; left out or empty, all that are sent"`
}

// WebhookEndpointChange changes an endpoint; what is left out stays.
type WebhookEndpointChange struct {
	URL    *string   `json:"url,omitempty"`
	Events *[]string `json:"events,omitempty" description:"Empty for all that are sent"`
	Status *string   `json:"status,omitempty" enum:"active,paused"`
}

// WebhookEndpoint is an address that is told of events.
type WebhookEndpoint struct {
	ID             string     `json:"id" required:"true"`
	URL            string     `json:"url" required:"true"`
	Events         []string   `json:"events" required:"true" description:"Types of events that it is sent; empty for all"`
	Status         string     `json:"status" required:"true" enum:"active,paused,gone" description:"paused: what happens waits; gone: it answered 410, and is told nothing"`
	Reason         string     `json:"reason,omitempty" description:"Why it is paused or gone, where the application did not ask for it: failing, answered_410"`
	Secret         string     `json:"secret,omitempty" description:"whsec_...; returned once, when it is made"`
	OldSecretUntil *time.Time `json:"old_secret_until,omitempty" description:"Until then webhooks are signed under the secret before, too"`
	FailingSince   *time.Time `json:"failing_since" required:"true" nullable:"true" description:"Since then nothing could be delivered; null where it answers"`
	CreatedAt      time.Time  `json:"created_at" required:"true"`
}

// WebhookEndpointList is all of an application's endpoints, oldest first.
type WebhookEndpointList struct {
	WebhookEndpoints []WebhookEndpoint `json:"webhook_endpoints" required:"true"`
	NextCursor       *string           `json:"next_cursor" required:"true" nullable:"true" description:"Always null: they are few"`
}

func (s *Server) endpoint(e *consent.WebhookEndpoint, secret string) WebhookEndpoint {
	out := WebhookEndpoint{
		ID: e.ID, URL: e.URL, Events: make([]string, len(e.Events)), Status: string(e.Status), Reason: e.Reason, Secret: secret,
		FailingSince: timestamp(e.FailingSince), CreatedAt: e.CreatedAt.UTC(),
	}
	for i, typ := range e.Events {
		out.Events[i] = string(typ)
	}
	if e.OldSecretUntil.After(s.now()) {
		out.OldSecretUntil = timestamp(e.OldSecretUntil)
	}
	return out
}

func (s *Server) replyEndpoint(c *gin.Context, status int, e consent.WebhookEndpoint, secret string, err error) {
	if err != nil {
		s.fail(c, err)
		return
	}
	s.reply(c, status, s.endpoint(&e, secret))
}

func (s *Server) createWebhookEndpoint(c *gin.Context, app *consent.Application) {
	var req WebhookEndpointRequest
	if err := decode(c, &req, false); err != nil {
		s.fail(c, err)
		return
	}
	e, secret, err := s.connector.CreateWebhookEndpoint(c.Request.Context(), app, req.URL, req.Events)
	s.replyEndpoint(c, http.StatusCreated, e, secret, err)
}

func (s *Server) listWebhookEndpoints(c *gin.Context, app *consent.Application) {
	found, err := s.connector.WebhookEndpoints(c.Request.Context(), app)
	if err == nil {
		err = onlyQuery(c.Request.URL.Query())
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	list := WebhookEndpointList{WebhookEndpoints: make([]WebhookEndpoint, len(found))}
	for i := range found {
		list.WebhookEndpoints[i] = s.endpoint(&found[i], "")
	}
	s.reply(c, http.StatusOK, list)
}

func (s *Server) getWebhookEndpoint(c *gin.Context, app *consent.Application) {
	e, err := s.connector.WebhookEndpoint(c.Request.Context(), app, c.Param("id"))
	s.replyEndpoint(c, http.StatusOK, e, "", err)
}

func (s *Server) changeWebhookEndpoint(c *gin.Context, app *consent.Application) {
	var req WebhookEndpointChange
	if err := decode(c, &req, false); err != nil {
		s.fail(c, err)
		return
	}
	e, err := s.connector.ChangeWebhookEndpoint(c.Request.Context(), app, c.Param("id"), connector.EndpointChange(req))
	s.replyEndpoint(c, http.StatusOK, e, "", err)
}

func (s *Server) deleteWebhookEndpoint(c *gin.Context, app *consent.Application) {
	if err := s.connector.DeleteWebhookEndpoint(c.Request.Context(), app, c.Param("id")); err != nil {
		s.fail(c, err)
		return
	}
	c.Status(http.StatusNoContent)
}

func (s *Server) rotateWebhookSecret(c *gin.Context, app *consent.Application) {
	e, secret, err := s.connector.RotateWebhookSecret(c.Request.Context(), app, c.Param("id"))
	s.replyEndpoint(c, http.StatusOK, e, secret, err)
}

// Delivery is one event on its way to one endpoint.
type Delivery struct {
	ID         string     `json:"id" required:"true"`
	EventID    string     `json:"event_id" required:"true" description:"Also the webhook-id, however often it is sent"`
	ConsentID  string     `json:"consent_id" required:"true"`
	Seq        int64      `json:"seq" required:"true" description:"Of the event, in its consent's history"`
	Type       string     `json:"type" required:"true"`
	At         time.Time  `json:"at" required:"true" description:"Of the event"`
	Status     string     `json:"status" required:"true" enum:"pending,delivered,failed"`
	Tries      int        `json:"tries" required:"true"`
	NextTryAt  *time.Time `json:"next_try_at" required:"true" nullable:"true" description:"null once it is over"`
	LastTryAt  *time.Time `json:"last_try_at" required:"true" nullable:"true"`
	LastStatus int        `json:"last_status,omitempty" description:"HTTP status of the last answer; left out where there was none"`
	LastError  string     `json:"last_error,omitempty" description:"Why there was no answer: timeout, connection_failed, name_not_found, certificate_refused, address_refused"`
	FinishedAt *time.Time `json:"finished_at" required:"true" nullable:"true"`
}

// DeliveryList is one page of an endpoint's deliveries, newest event first.
type DeliveryList struct {
	Deliveries []Delivery `json:"deliveries" required:"true"`
	NextCursor *string    `json:"next_cursor" required:"true" nullable:"true"`
}

func deliveryOf(d *consent.Delivery) Delivery {
	return Delivery{
		ID: d.ID(), EventID: d.EventID, ConsentID: d.ConsentID, Seq: d.Seq, Type: string(d.Type), At: d.At.UTC(), Status: string(d.State),
		Tries: d.Tries, NextTryAt: timestamp(d.DueAt), LastTryAt: timestamp(d.TriedAt), LastStatus: d.LastStatus, LastError: d.LastError,
		FinishedAt: timestamp(d.FinishedAt),
	}
}

func (s *Server) listDeliveries(c *gin.Context, app *consent.Application) {
	q := c.Request.URL.Query()
	f := consent.DeliveryFilter{EndpointID: c.Param("id"), State: consent.DeliveryState(q.Get("status"))}
	err := onlyQuery(q, "status", "limit", "cursor")
	if err == nil && q.Has("status") && !slices.Contains(consent.DeliveryStates(), f.State) {
		err = invalidRequest("status", "status is none of pending, delivered, failed.")
	}
	limit := 0
	if err == nil {
		limit, err = limitOf(q)
	}
	if err == nil && q.Has("cursor") {
		f.BeforeAt, f.BeforeEventID, err = decodeCursor(q.Get("cursor"))
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	f.Limit = limit + 1 // one more tells whether there is a next page
	found, err := s.connector.Deliveries(c.Request.Context(), app, f)
	if err != nil {
		s.fail(c, err)
		return
	}
	list := DeliveryList{Deliveries: make([]Delivery, 0, limit)}
	for i := range found[:min(limit, len(found))] {
		list.Deliveries = append(list.Deliveries, deliveryOf(&found[i]))
	}
	if len(found) > limit {
		cursor := encodeCursor(found[limit-1].At, found[limit-1].EventID)
		list.NextCursor = &cursor
	}
	s.reply(c, http.StatusOK, list)
}

// ReplayRequest says what to send again, in one of three ways.
type ReplayRequest struct {
	EventID    string     `json:"event_id,omitempty"`
	DeliveryID string     `json:"delivery_id,omitempty"`
	From       *time.Time `json:"from,omitempty" description:"Events from then"`
	To         *time.Time `json:"to,omitempty" description:"Events until before then"`
}

// Replayed is how many deliveries are made again.
type Replayed struct {
	Deliveries int `json:"deliveries" required:"true"`
}

func (s *Server) replayDeliveries(c *gin.Context, app *consent.Application) {
	var req ReplayRequest
	err := decode(c, &req, false)
	if err == nil {
		err = texts(short("event_id", req.EventID), short("delivery_id", req.DeliveryID))
	}
	in := connector.ReplayRequest{EventID: req.EventID, DeliveryID: req.DeliveryID}
	for _, f := range []struct {
		name string
		from *time.Time
		to   *time.Time
	}{{"from", req.From, &in.From}, {"to", req.To, &in.To}} {
		if f.from == nil {
			continue
		}
		if *f.to = f.from.UTC(); err == nil && (f.to.Year() < firstYear || f.to.Year() > lastYear) {
			err = invalidRequest(f.name, f.name+" is no time that anything happened at.")
		}
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	n, err := s.connector.Replay(c.Request.Context(), app, c.Param("id"), in)
	if err != nil {
		s.fail(c, err)
		return
	}
	s.reply(c, http.StatusAccepted, Replayed{Deliveries: n})
}

// Years that a replay may name.
const (
	firstYear = 2000
	lastYear  = 9998
)
