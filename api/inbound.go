package api

import (
	"errors"
	"io"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/provider"
)

// maxWebhook bounds what a provider may send, in bytes.
const maxWebhook = 256 << 10

// inboundPath says whose webhook it is.
type inboundPath struct {
	Provider    string `path:"provider" description:"The provider, like truelayer"`
	Application string `path:"application" description:"The application's slug"`
}

// inboundWebhook takes a provider's webhook. Who sent it is for the adapter to
// verify; there is no API key.
func (s *Server) inboundWebhook(c *gin.Context) {
	names := []field{short("provider", c.Param("provider")), short("application", c.Param("application"))}
	if err := texts(names...); err != nil {
		s.fail(c, &consent.Error{Code: consent.CodeWebhookUnknown, Detail: "Nobody receives webhooks at this address."})
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, maxWebhook))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		s.fail(c, &consent.Error{Code: codePayloadTooLarge, Detail: "The body is larger than any webhook."})
		return
	}
	if err != nil {
		s.fail(c, invalidRequest("", "The body could not be read to its end."))
		return
	}
	err = s.connector.ReceiveWebhook(c.Request.Context(), c.Param("provider"), c.Param("application"), provider.WebhookRequest{
		Method: c.Request.Method, Path: c.Request.URL.EscapedPath(), Header: c.Request.Header, Body: body,
	})
	if err != nil {
		s.fail(c, err)
		return
	}
	c.Status(http.StatusAccepted)
}
