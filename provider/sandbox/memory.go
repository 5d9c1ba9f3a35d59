package sandbox

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver of the memory's file
)

// connection is what the aggregator knows of one bank login of one client.
type connection struct {
	CredentialsID string
	ClientID      string
	Bank          string
	Login         string
	Eternal       bool   // extends without a visit
	DataError     string // every data call fails with this code
	Scopes        []string
	RedirectURI   string
	AuthorisedAt  time.Time // the last visit at the bank; 90 days count from here
	Variant       int       // which accounts the login shows
	Access        string    // the newest access token; older ones are dead
	AccessEnds    time.Time
	Refresh       map[string]*refreshToken
	Newest        string // of Refresh
}

type refreshToken struct {
	LastUsed time.Time
	Dead     bool // rotated away
}

// journey is one person's way through the dialog and the bank.
type journey struct {
	ID           string
	ClientID     string
	RedirectURI  string
	State        []byte // nil for none
	FormPost     bool
	Scopes       []string
	Bank         string
	Challenge    string
	Inputs       map[string]string
	Step         step
	Renews       string // credentials id of the connection that it renews
	ExchangeCode bool   // ends with exchange_code, after an extension
	Login        login
	StartedAt    time.Time
	Finished     bool
}

// code is what a journey ends with.
type code struct {
	Code          string
	ClientID      string
	CredentialsID string
	RedirectURI   string
	Challenge     string
	Scopes        []string
	IssuedAt      time.Time
	Used          bool
}

// memory keeps all of it, written through to a file before anything is
// answered. Its owner holds the lock.
type memory struct {
	db          *sql.DB // nil keeps nothing
	connections map[string]*connection
	journeys    map[string]*journey
	codes       map[string]*code
	offset      time.Duration
}

func openMemory(ctx context.Context, path string) (*memory, error) {
	m := &memory{}
	m.forget()
	if path == "" {
		return m, nil
	}
	db, err := sql.Open("sqlite", "file:"+strings.ReplaceAll(path, "?", "%3f")+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)")
	if err != nil {
		return nil, fmt.Errorf("open the sandbox's memory: %w", err)
	}
	db.SetMaxOpenConns(1)
	m.db = db
	if _, err := db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS memory (kind TEXT NOT NULL, id TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (kind, id))`); err != nil {
		return nil, fmt.Errorf("open the sandbox's memory: %w", err)
	}
	return m, m.load(ctx)
}

func (m *memory) load(ctx context.Context) error {
	rows, err := m.db.QueryContext(ctx, `SELECT kind, id, value FROM memory`)
	if err != nil {
		return fmt.Errorf("read the sandbox's memory: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var kind, id, value string
		if err := rows.Scan(&kind, &id, &value); err != nil {
			return fmt.Errorf("read the sandbox's memory: %w", err)
		}
		var into any
		switch kind {
		case "connection":
			into = put(m.connections, id)
		case "journey":
			into = put(m.journeys, id)
		case "code":
			into = put(m.codes, id)
		case "clock":
			into = &m.offset
		}
		if into == nil {
			continue // of a later version
		}
		if err := json.Unmarshal([]byte(value), into); err != nil {
			return fmt.Errorf("read the sandbox's memory: %s %s: %w", kind, id, err)
		}
	}
	return rows.Err()
}

func put[V any](m map[string]*V, id string) *V {
	v := new(V)
	m[id] = v
	return v
}

func (m *memory) forget() {
	m.connections, m.journeys, m.codes = map[string]*connection{}, map[string]*journey{}, map[string]*code{}
}

// save writes one thing through.
func (m *memory) save(ctx context.Context, kind, id string, v any) error {
	if m.db == nil {
		return nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = m.db.ExecContext(context.WithoutCancel(ctx), `INSERT INTO memory (kind, id, value) VALUES (?, ?, ?)
		ON CONFLICT (kind, id) DO UPDATE SET value = excluded.value`, kind, id, string(b))
	return err
}

func (m *memory) saveConnection(ctx context.Context, c *connection) error {
	m.connections[c.CredentialsID] = c
	return m.save(ctx, "connection", c.CredentialsID, c)
}

func (m *memory) saveJourney(ctx context.Context, j *journey) error {
	m.journeys[j.ID] = j
	return m.save(ctx, "journey", j.ID, j)
}

func (m *memory) saveCode(ctx context.Context, c *code) error {
	m.codes[c.Code] = c
	return m.save(ctx, "code", c.Code, c)
}

func (m *memory) deleteConnection(ctx context.Context, c *connection) error {
	delete(m.connections, c.CredentialsID)
	if m.db == nil {
		return nil
	}
	_, err := m.db.ExecContext(context.WithoutCancel(ctx), `DELETE FROM memory WHERE kind = 'connection' AND id = ?`, c.CredentialsID)
	return err
}

// reset forgets everything but the clock.
func (m *memory) reset(ctx context.Context) error {
	m.forget()
	if m.db == nil {
		return nil
	}
	_, err := m.db.ExecContext(ctx, `DELETE FROM memory WHERE kind <> 'clock'`)
	return err
}

func (m *memory) close() error {
	if m.db == nil {
		return nil
	}
	return m.db.Close()
}

// byRefresh finds the connection that ever had the refresh token.
func (m *memory) byRefresh(token string) (*connection, *refreshToken) {
	for _, c := range m.connections {
		if r, ok := c.Refresh[token]; ok {
			return c, r
		}
	}
	return nil, nil
}

// byAccess finds the connection whose newest access token this is.
func (m *memory) byAccess(token string) *connection {
	if token == "" {
		return nil
	}
	for _, c := range m.connections {
		if c.Access == token {
			return c
		}
	}
	return nil
}
