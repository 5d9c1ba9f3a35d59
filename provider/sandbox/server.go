package sandbox

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Options are what a Server is made of. The zero value is a sandbox that
// accepts no client, keeps nothing and is at wall time.
type Options struct {
	ClientID     string
	ClientSecret string
	ClientName   string // as the pages name the client; empty takes the id
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

// Client is an application that the sandbox accepts.
type Client struct {
	ID     string
	Secret string
	Name   string // as the pages name it; empty takes the id
}

// Server is the sandbox. It is safe for concurrent use.
type Server struct {
	opt    Options
	clock  *Clock
	log    *slog.Logger
	routes http.Handler

	mu      sync.Mutex
	clients map[string]Client
	mem     *memory
	faults  faults
	calls   map[string]int

	moving sync.Mutex // one move of the clock at a time
}

// signingKey is one for the process. It is made at the first token, because
// that takes longer than everything else at start.
var signingKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// New opens a sandbox and its memory.
func New(ctx context.Context, opt Options) (*Server, error) {
	mem, err := openMemory(ctx, opt.Path)
	if err != nil {
		return nil, err
	}
	s := &Server{
		opt: opt, clock: NewClock(mem.offset), log: cmp.Or(opt.Log, slog.New(slog.DiscardHandler)),
		clients: map[string]Client{}, mem: mem, faults: faults{}, calls: map[string]int{},
	}
	s.routes = s.routing()
	if opt.ClientID != "" {
		s.AddClient(Client{ID: opt.ClientID, Secret: opt.ClientSecret, Name: opt.ClientName})
	}
	return s, nil
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.routes.ServeHTTP(w, r) }

// Handler returns the server's routes.
func (s *Server) Handler() http.Handler { return s.routes }

// Clock is the sandbox's clock, to be shared with a connector in development.
func (s *Server) Clock() *Clock { return s.clock }

// AddClient accepts one more application. Clients are not kept: they are added
// anew at every start.
func (s *Server) AddClient(c Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.Name = cmp.Or(c.Name, c.ID)
	s.clients[c.ID] = c
}

// Close closes the memory.
func (s *Server) Close() error { return s.mem.close() }

// Calls counts the calls of an operation so far, refused ones too: "authuri",
// "reauthuri", "token:authorization_code", "token:refresh_token",
// "token:client_credentials", "me", "info", "accounts", "account", "balance",
// "transactions", "extend", "delete", "providers". What a fault of the
// transport swallowed (rate_limited, internal_error, hang) is not counted. It
// is for tests.
func (s *Server) Calls(op string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[op]
}

// Connection is what the sandbox tells tests of a connection.
type Connection struct {
	CredentialsID  string
	ClientID       string
	Bank           string
	Login          string
	AuthorisedAt   time.Time
	ExpiresAt      time.Time
	RenewableUntil time.Time
	RefreshTokens  int // that are alive
	Exchanges      int // codes redeemed
	Refreshes      int // refresh grants that succeeded
}

// Connections lists the connections that exist, by credentials id. A deleted
// one is not among them.
func (s *Server) Connections() []Connection {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Connection, 0, len(s.mem.connections))
	for _, c := range s.mem.connections {
		alive := 0
		for _, t := range c.Tokens {
			if !t.Dead {
				alive++
			}
		}
		out = append(out, Connection{
			CredentialsID: c.CredentialsID, ClientID: c.ClientID, Bank: c.Bank, Login: c.Login.Name,
			AuthorisedAt: c.AuthorisedAt, ExpiresAt: c.expires(), RenewableUntil: c.expires().Add(renewalWindow),
			RefreshTokens: alive, Exchanges: c.Exchanges, Refreshes: c.Refreshes,
		})
	}
	slices.SortFunc(out, func(a, b Connection) int { return cmp.Compare(a.CredentialsID, b.CredentialsID) })
	return out
}

// Connection returns one of them.
func (s *Server) Connection(credentialsID string) (Connection, bool) {
	for _, c := range s.Connections() {
		if c.CredentialsID == credentialsID {
			return c, true
		}
	}
	return Connection{}, false
}

// Authorised is a connection that was made without a browser.
type Authorised struct {
	CredentialsID string
	RefreshToken  string
	Accounts      []string // as the bank itself calls them
}

// Authorise makes a connection, or renews it and gives it one more refresh
// token, as if the login had been at the bank at a time, for examples and
// tests.
func (s *Server) Authorise(ctx context.Context, clientID, bankID, name, redirectURI string, scopes []string, at time.Time) (Authorised, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := bankByID(bankID); !ok {
		return Authorised{}, fmt.Errorf("sandbox: no bank %q", bankID)
	}
	var out Authorised
	err := s.mem.do(ctx, func() {
		c := s.authorised(clientID, bankID, login{Name: name}, scopes, at)
		out.CredentialsID, out.RefreshToken = c.CredentialsID, s.mem.refreshToken(c, s.mem.addToken(c, redirectURI, at))
		for _, a := range accountsOf(c.Bank, c.Login.Name, c.Variant) {
			out.Accounts = append(out.Accounts, a.identifier())
		}
	})
	return out, err
}

// authorised makes or renews the connection of a login that has been at the
// bank. Scopes are those of a first link, and nil in a renewal.
func (s *Server) authorised(clientID, bankID string, who login, scopes []string, at time.Time) *connection {
	id := credentialsID(clientID, bankID, who.Name)
	c, ok := s.mem.connections[id]
	if !ok {
		c = &connection{CredentialsID: id, ClientID: clientID, Bank: bankID, CreatedAt: at, Seed: randomToken()}
	}
	c.Login, c.AuthorisedAt, c.Variant = who, at, 0
	if len(scopes) > 0 {
		c.Scopes = scopes
	}
	s.mem.saveConnection(c)
	return c
}
