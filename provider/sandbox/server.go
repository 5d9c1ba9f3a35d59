package sandbox

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// Options are what a Server is made of. The zero value is a sandbox that
// accepts no client, keeps nothing and is at wall time.
type Options struct {
	ClientID     string
	ClientSecret string
	Path         string // of the memory's file; empty keeps nothing
	Log          *slog.Logger
	// OnMove runs after each move of the clock, before the move is answered.
	OnMove func(context.Context) error
	// Mail and SMS list what was sent, for the control calls; nil lists none.
	Mail func() []Message
	SMS  func() []Message
}

// Message is one mail or SMS that was caught.
type Message struct {
	To      string    `json:"to"`
	Subject string    `json:"subject"`
	HTML    string    `json:"html"`
	Text    string    `json:"text"`
	SentAt  time.Time `json:"sent_at"`
}

// Server is the sandbox. It is safe for concurrent use.
type Server struct {
	opt     Options
	clock   *Clock
	clients map[string]string
	log     *slog.Logger
	key     func() (*rsa.PrivateKey, error)

	mu     sync.Mutex
	mem    *memory
	faults faults
	calls  map[string]int

	moving sync.Mutex // one move of the clock at a time
}

// New opens a sandbox and its memory.
func New(ctx context.Context, opt Options) (*Server, error) {
	mem, err := openMemory(ctx, opt.Path)
	if err != nil {
		return nil, err
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		opt: opt, clock: NewClock(mem.offset), clients: map[string]string{}, log: opt.Log,
		mem: mem, faults: faults{}, calls: map[string]int{},
		// Made at the first token: it takes longer than everything else at start.
		key: sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) }),
	}
	if opt.ClientID != "" {
		s.clients[opt.ClientID] = opt.ClientSecret
	}
	return s, nil
}

// Clock is the sandbox's clock, to be shared with a connector in development.
func (s *Server) Clock() *Clock { return s.clock }

// OnMove sets what runs after each move of the clock. It is for wiring, before
// the server serves.
func (s *Server) OnMove(f func(context.Context) error) { s.opt.OnMove = f }

// Close closes the memory.
func (s *Server) Close() error { return s.mem.close() }

// Calls counts the calls of an operation so far: "authuri", "reauthuri",
// "token:authorization_code", "token:refresh_token", "me", "accounts",
// "extend", "delete". It is for tests.
func (s *Server) Calls(op string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[op]
}

// Authorised is a connection that was made without a browser.
type Authorised struct {
	CredentialsID string
	RefreshToken  string
}

// Authorise makes a connection as if the login had been at the bank at a time,
// for examples and tests.
func (s *Server) Authorise(ctx context.Context, clientID, bankID, name, redirectURI string, scopes []string, at time.Time) (Authorised, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := bankByID(bankID); !ok {
		return Authorised{}, fmt.Errorf("sandbox: no bank %q", bankID)
	}
	c, err := s.authorised(ctx, &journey{ClientID: clientID, Bank: bankID, RedirectURI: redirectURI, Scopes: scopes, Login: login{Name: name}}, at)
	if err != nil {
		return Authorised{}, err
	}
	c.newRefresh(false, at)
	return Authorised{CredentialsID: c.CredentialsID, RefreshToken: c.Newest}, s.mem.saveConnection(ctx, c)
}

// authorised makes or renews the connection of a login that has been at the bank.
func (s *Server) authorised(ctx context.Context, j *journey, at time.Time) (*connection, error) {
	id := credentialsID(j.ClientID, j.Bank, j.Login.Name)
	c, ok := s.mem.connections[id]
	if !ok {
		c = &connection{CredentialsID: id, ClientID: j.ClientID, Bank: j.Bank, Login: j.Login.Name, Refresh: map[string]*refreshToken{}}
	}
	c.Eternal, c.DataError = j.Login.Eternal, j.Login.DataError
	c.AuthorisedAt = at
	if j.Renews == "" { // a first link says anew what it is for
		c.RedirectURI, c.Scopes = j.RedirectURI, j.Scopes
	}
	if len(c.Scopes) == 0 {
		c.Scopes = j.Scopes
	}
	return c, s.mem.saveConnection(ctx, c)
}

// newRefresh gives the connection a refresh token: the one that it has, unless
// it has none or that one rotates.
func (c *connection) newRefresh(rotate bool, now time.Time) {
	if c.Newest != "" && !rotate {
		c.Refresh[c.Newest].LastUsed = now
		return
	}
	for _, old := range c.Refresh {
		old.Dead = true
	}
	c.Newest = secret()
	c.Refresh[c.Newest] = &refreshToken{LastUsed: now}
}

func (c *connection) expires() time.Time        { return c.AuthorisedAt.Add(consentLife) }
func (c *connection) lapsed(now time.Time) bool { return !now.Before(c.expires()) }

// secret returns 256 random bits, base64url.
func secret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// Handler returns the routes.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.dialog)
	mux.HandleFunc("GET /connect/{journey}", s.page)
	mux.HandleFunc("POST /connect/{journey}", s.submit)
	mux.HandleFunc("GET /bank/{journey}", s.page)
	mux.HandleFunc("POST /bank/{journey}", s.submit)

	mux.HandleFunc("POST /v1/authuri", s.api(s.authURI))
	mux.HandleFunc("POST /v1/reauthuri", s.api(s.reauthURI))
	mux.HandleFunc("POST /connect/token", s.api(s.token))
	mux.HandleFunc("DELETE /api/delete", s.api(s.delete))
	mux.HandleFunc("GET /api/providers", s.api(s.providers))
	mux.HandleFunc("GET /data/v1/me", s.api(s.data("me", s.me)))
	mux.HandleFunc("GET /data/v1/info", s.api(s.data("info", s.info)))
	mux.HandleFunc("GET /data/v1/accounts", s.api(s.data("accounts", s.accounts)))
	mux.HandleFunc("GET /data/v1/accounts/{id}", s.api(s.data("account", s.oneAccount)))
	mux.HandleFunc("GET /data/v1/accounts/{id}/balance", s.api(s.data("balance", s.balance)))
	mux.HandleFunc("POST /data/v1/connections/extend", s.api(s.extend))

	mux.HandleFunc("GET /_control/clock", s.getClock)
	mux.HandleFunc("POST /_control/clock", s.moveClock)
	mux.HandleFunc("GET /_control/faults", s.getFaults)
	mux.HandleFunc("POST /_control/faults", s.setFault)
	mux.HandleFunc("POST /_control/reset", s.reset)
	mux.HandleFunc("GET /_control/mail", s.messages(func() func() []Message { return s.opt.Mail }))
	mux.HandleFunc("GET /_control/sms", s.messages(func() func() []Message { return s.opt.SMS }))
	return mux
}

// refusal is an error in TrueLayer's shape (providers.md 1.10).
type refusal struct {
	status      int
	Code        string `json:"error"`
	Description string `json:"error_description"`
	retryAfter  string
}

func refuse(status int, code, description string) *refusal {
	return &refusal{status: status, Code: code, Description: description}
}

// api wraps a call with the faults that any call may have, and the lock.
func (s *Server) api(call func(r *http.Request) (any, *refusal, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
		s.mu.Lock()
		hang, limited, broken := s.faults.take("hang"), false, false
		if !hang {
			limited = s.faults.take("rate_limited")
			broken = !limited && s.faults.take("internal_error")
		}
		if hang || limited || broken {
			s.mu.Unlock()
			s.misbehave(w, r, hang, limited)
			return
		}
		out, no, err := call(r)
		s.mu.Unlock()
		switch {
		case err != nil:
			s.log.Error("sandbox", "path", r.URL.Path, "error", err)
			reply(w, http.StatusInternalServerError, refuse(0, "internal_server_error", "The sandbox failed; see its log."))
		case no != nil:
			reply(w, no.status, no)
		default:
			reply(w, http.StatusOK, out)
		}
	}
}

const longestHang = time.Minute

func (s *Server) misbehave(w http.ResponseWriter, r *http.Request, hang, limited bool) {
	switch {
	case hang:
		t := time.NewTimer(longestHang)
		defer t.Stop()
		select {
		case <-r.Context().Done():
		case <-t.C:
		}
		reply(w, http.StatusGatewayTimeout, refuse(0, "provider_timeout", "The provider took too long."))
	case limited:
		w.Header().Set("Retry-After", "60")
		reply(w, http.StatusTooManyRequests, refuse(0, "provider_too_many_requests", "Too many requests."))
	default:
		reply(w, http.StatusInternalServerError, refuse(0, "internal_server_error", "An internal error occurred."))
	}
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// isClient reports whether the client exists and, where it proves itself, has
// the right secret.
func (s *Server) isClient(id, secret string) bool {
	want, ok := s.clients[id]
	return ok && subtle.ConstantTimeCompare([]byte(want), []byte(secret)) == 1
}
