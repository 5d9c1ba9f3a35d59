package api

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/reconsent/reconsent/connector"
	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth/stepup"
)

// Config is what a Server is made of. All fields are required but
// TrustedProxies.
type Config struct {
	Connector *connector.Connector
	Reauth    *stepup.Service
	Now       func() time.Time
	Log       *slog.Logger
	Version   string
	// TrustedProxies are addresses, or networks in CIDR form, whose
	// X-Forwarded-For is believed. With none the caller is who has connected.
	TrustedProxies []string
}

// Server answers HTTP. It is safe for concurrent use.
type Server struct {
	connector *connector.Connector
	reauth    *stepup.Service
	strangers strangers
	proxies   []string
	now       func() time.Time
	log       *slog.Logger
	version   string
	document  func() ([]byte, error)
}

// New returns a Server.
func New(cfg Config) *Server {
	s := &Server{connector: cfg.Connector, reauth: cfg.Reauth, now: cfg.Now, log: cfg.Log, version: cfg.Version, proxies: cfg.TrustedProxies}
	// Made on first use: reflection over every type has no place in start-up.
	s.document = sync.OnceValues(func() ([]byte, error) { return Document(cfg.Version) })
	return s
}

// Handler returns the routes.
func (s *Server) Handler() http.Handler {
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.HandleMethodNotAllowed = true
	// Nobody is sent on to a better spelling: a client would repeat its token there.
	r.RedirectTrailingSlash, r.RedirectFixedPath = false, false
	r.UseRawPath, r.UnescapePathValues = true, true // an id may hold an escaped slash
	r.ContextWithFallback = true
	s.trust(r)
	r.Use(s.recoverPanic, s.hardened, s.versioned, s.browsers)
	r.NoRoute(s.nowhere)
	r.NoMethod(s.noMethod)
	for _, op := range operations {
		r.Handle(op.method, ginPath(op.path), s.handlerOf(op))
	}
	s.pages(r)
	s.health(r)
	return r
}

// handlerOf is an operation's handler, behind what says who is asking.
func (s *Server) handlerOf(op operation) gin.HandlerFunc {
	switch {
	case op.user != nil:
		return s.asUser(op.user)
	case op.open != nil:
		return func(c *gin.Context) { op.open(s, c) }
	default:
		return s.authenticated(op.handle)
	}
}

// ginPath writes {name} as gin does.
func ginPath(path string) string {
	return strings.NewReplacer("{", ":", "}", "").Replace(path)
}

// authenticated runs a handler for the application of the request's API key.
func (s *Server) authenticated(handle handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		app, err := s.application(c)
		if err != nil {
			s.fail(c, err)
			return
		}
		if err := texts(long("id", c.Param("id"))); err != nil {
			s.fail(c, err)
			return
		}
		handle(s, c, app)
	}
}

func (s *Server) application(c *gin.Context) (*consent.Application, error) {
	refused := &consent.Error{Code: codeUnauthorized, Detail: "Send one header Authorization: Bearer <API key>, with a key that has not been revoked."}
	c.Header("WWW-Authenticate", `Bearer realm="reconsent"`)
	values := c.Request.Header.Values("Authorization")
	if len(values) != 1 {
		return nil, refused
	}
	scheme, key, found := strings.Cut(values[0], " ")
	if !found || !strings.EqualFold(scheme, "Bearer") {
		return nil, refused
	}
	app, err := s.connector.Authenticate(c.Request.Context(), strings.TrimSpace(key))
	if err != nil {
		if isNotFound(err) {
			return nil, refused
		}
		return nil, err
	}
	c.Writer.Header().Del("WWW-Authenticate")
	return &app, nil
}

func (s *Server) reply(c *gin.Context, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil { // before the status is out
		s.fail(c, fmt.Errorf("write the answer of %s: %w", c.FullPath(), err))
		return
	}
	c.Data(status, "application/json; charset=utf-8", text)
}

// recoverPanic turns a panic into an answer and one line of log. The request's
// query and headers stay out of it.
func (s *Server) recoverPanic(c *gin.Context) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("panic", "route", c.FullPath(), "method", c.Request.Method, "panic", p, "stack", stack())
			s.sorry(c)
		}
	}()
	c.Next()
}

// hardened sets the headers that every answer carries. Nothing is kept but what
// says so itself: the keys that verify proofs.
func (s *Server) hardened(c *gin.Context) {
	h := c.Writer.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	c.Next()
}
