package api

import (
	"errors"
	"net/http"
	"runtime/debug"

	"github.com/gin-gonic/gin"

	"github.com/reconsent/reconsent/consent"
)

func isNotFound(err error) bool { return errors.Is(err, consent.ErrNotFound) }

func stack() string { return string(debug.Stack()) }

// health answers whether the process lives and whether it can serve.
func (s *Server) health(r *gin.Engine) {
	r.GET("/healthz", func(c *gin.Context) { c.JSON(http.StatusOK, gin.H{"status": "ok"}) })
	r.GET("/readyz", func(c *gin.Context) {
		if err := s.connector.Ping(c.Request.Context()); err != nil {
			s.log.Warn("not ready: the database does not answer", "error", err)
			c.JSON(http.StatusServiceUnavailable, gin.H{"status": "database does not answer"})
			return
		}
		c.JSON(http.StatusOK, gin.H{"status": "ok"})
	})
	r.GET("/openapi.json", func(c *gin.Context) {
		doc, err := s.document()
		if err != nil {
			s.fail(c, err)
			return
		}
		c.Data(http.StatusOK, "application/json", doc)
	})
}
