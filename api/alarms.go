package api

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/reconsent/reconsent/consent"
)

// Alarm is something that somebody has to look at.
type Alarm struct {
	Kind       string     `json:"kind" required:"true" enum:"provider_misconfigured,bank_outage,mail_ceiling,webhook_paused,mail_server,sms_gateway"`
	Provider   string     `json:"provider,omitempty"`
	ProviderID string     `json:"provider_id,omitempty" description:"The bank; left out where it is about the whole provider"`
	EndpointID string     `json:"webhook_endpoint_id,omitempty" description:"The endpoint, of webhook_paused"`
	OpenedAt   time.Time  `json:"opened_at" required:"true"`
	ClosedAt   *time.Time `json:"closed_at" required:"true" nullable:"true" description:"null while it lasts"`
	Detail     string     `json:"detail" required:"true"`
}

// AlarmList is what somebody has to look at, newest first.
type AlarmList struct {
	Alarms []Alarm `json:"alarms" required:"true"`
}

func (s *Server) listAlarms(c *gin.Context, app *consent.Application) {
	q := c.Request.URL.Query()
	err := onlyQuery(q, "all")
	if err == nil && q.Has("all") && q.Get("all") != "true" && q.Get("all") != "false" {
		err = invalidRequest("all", "all is neither true nor false.")
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	found, err := s.connector.Alarms(c.Request.Context(), app, q.Get("all") == "true")
	if err != nil {
		s.fail(c, err)
		return
	}
	list := AlarmList{Alarms: make([]Alarm, len(found))}
	for i, a := range found {
		list.Alarms[i] = Alarm{Kind: string(a.Kind), Provider: a.Provider, ProviderID: a.ProviderID,
			OpenedAt: a.OpenedAt.UTC(), ClosedAt: timestamp(a.ClosedAt), Detail: a.Detail}
		if a.Kind == consent.AlarmWebhook {
			list.Alarms[i].ProviderID, list.Alarms[i].EndpointID = "", a.ProviderID
		}
	}
	s.reply(c, http.StatusOK, list)
}
