package ginguard

import (
	"github.com/gin-gonic/gin"

	"github.com/reconsent/reconsent/guard"
)

// RequireReverification is guard.RequireReverification as gin's middleware. What
// was found is in the request's context: see guard.FromContext.
func RequireReverification(g *guard.Guard, level string, opts ...guard.Option) gin.HandlerFunc {
	p, err := g.Policy(level, opts...)
	if err != nil {
		panic(err)
	}
	return func(c *gin.Context) {
		v, err := p.Check(c.Request)
		if err != nil {
			g.WriteError(c.Writer, err)
			c.Abort()
			return
		}
		c.Request = c.Request.WithContext(guard.NewContext(c.Request.Context(), v))
		c.Next()
	}
}

// NeedsReverification is guard.NeedsReverification for inside a handler.
func NeedsReverification(c *gin.Context, g *guard.Guard, level string, opts ...guard.Option) bool {
	return g.NeedsReverification(c.Request, level, opts...)
}

// WriteReverificationRequired is guard.WriteReverificationRequired; no handler
// after this one runs.
func WriteReverificationRequired(c *gin.Context, g *guard.Guard, level string) {
	g.WriteReverificationRequired(c.Writer, level)
	c.Abort()
}
