package sandbox

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	_ "modernc.org/sqlite" // the driver of the memory's file
)

// connection is what the aggregator knows of one bank login of one client.
type connection struct {
	CredentialsID string
	ClientID      string
	Bank          string
	Login         login
	Scopes        []string
	CreatedAt     time.Time
	AuthorisedAt  time.Time // the last visit at the bank; 90 days count from here
	Variant       int       // which accounts the login shares
	Access        digest    // of the newest access token; older ones are dead
	AccessEnds    time.Time
	Seed          string // makes this connection's refresh tokens its own
	Tokens        []refreshToken

	Exchanges, Refreshes int
}

func (c *connection) expires() time.Time        { return c.AuthorisedAt.Add(consentLife) }
func (c *connection) lapsed(now time.Time) bool { return !now.Before(c.expires()) }
func (c *connection) renewable(now time.Time) bool {
	return now.Before(c.expires().Add(renewalWindow))
}

// refreshToken is one of a connection's refresh tokens; its value follows from
// its place in the list.
type refreshToken struct {
	RedirectURI string // of the link that it came from
	LastUsed    time.Time
	Dead        bool // rotated away
}

// journey is one person's way through the dialog and the bank.
type journey struct {
	ID           string `json:"-"` // known only to whoever has the link
	ClientID     string
	RedirectURI  string
	State        []byte // nil for none
	FormPost     bool
	Scopes       []string
	Bank         string
	Offered      []string // banks in the picker
	Challenge    string
	Step         step
	Renews       digest // of the refresh token that it renews
	ExchangeCode bool   // ends with exchange_code, after an extension
	Login        login
	StartedAt    time.Time
	Finished     bool
}

// code is what a journey ends with.
type code struct {
	ClientID      string
	CredentialsID string
	RedirectURI   string
	Challenge     string
	Renews        digest
	IssuedAt      time.Time
	Used          bool
}

// place is where a refresh token stands.
type place struct {
	credentialsID string
	index         int
}

// memory keeps all of it. What is touched is written through by flush, in one
// transaction, before anything is answered. Its owner holds the lock.
type memory struct {
	db          *sql.DB // nil keeps nothing
	secret      string
	offset      time.Duration
	connections map[string]*connection
	journeys    map[digest]*journey
	codes       map[digest]*code
	refresh     map[digest]place
	access      map[digest]string // credentials id
	touched     map[thing]any     // nil: to be removed
	stale       bool              // what is here is not what the file says, and the file could not be read
}

type thing struct{ kind, id string }

const (
	kindConnection = "connection"
	kindJourney    = "journey"
	kindCode       = "code"
	kindClock      = "clock"
	kindSecret     = "secret"
)

const setUp = `CREATE TABLE IF NOT EXISTS bank (kind TEXT NOT NULL, id TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (kind, id)) WITHOUT ROWID`

func openMemory(ctx context.Context, path string) (*memory, error) {
	m := &memory{secret: randomToken()}
	m.forget()
	if path == "" {
		return m, nil
	}
	dsn := (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath()}).String() +
		"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)"
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("open the sandbox's memory: %w", err)
	}
	db.SetMaxOpenConns(1)
	m.db = db
	_, err = db.ExecContext(ctx, setUp)
	if err == nil {
		err = m.load(ctx)
	}
	if err == nil {
		m.touch(kindSecret, "", m.secret)
		err = m.flush(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("open the sandbox's memory: %w", errors.Join(err, db.Close()))
	}
	return m, nil
}

func (m *memory) forget() {
	m.connections, m.journeys, m.codes = map[string]*connection{}, map[digest]*journey{}, map[digest]*code{}
	m.refresh, m.access, m.touched = map[digest]place{}, map[digest]string{}, map[thing]any{}
}

// load reads the file anew.
func (m *memory) load(ctx context.Context) error {
	m.stale = true
	m.forget()
	rows, err := m.db.QueryContext(ctx, `SELECT kind, id, value FROM bank`)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var kind, id, value string
		if err := rows.Scan(&kind, &id, &value); err != nil {
			return err
		}
		var into any
		switch kind {
		case kindConnection:
			into = room(m.connections, id)
		case kindJourney:
			into = room(m.journeys, digest(id))
		case kindCode:
			into = room(m.codes, digest(id))
		case kindClock:
			into = &m.offset
		case kindSecret:
			into = &m.secret
		default:
			continue // of a later version
		}
		if err := json.Unmarshal([]byte(value), into); err != nil {
			return fmt.Errorf("%s %s: %w", kind, id, err)
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, c := range m.connections {
		m.index(c)
	}
	m.stale = false
	return nil
}

// do runs a call on the memory, and writes what it touched. Without a memory
// the call is not run: to somebody who remembers nothing every token is unknown.
func (m *memory) do(ctx context.Context, call func()) error {
	if m.stale {
		if err := m.load(context.WithoutCancel(ctx)); err != nil {
			return err
		}
	}
	call()
	return m.flush(ctx)
}

func room[K comparable, V any](m map[K]*V, id K) *V {
	v := new(V)
	m[id] = v
	return v
}

func (m *memory) index(c *connection) {
	for i := range c.Tokens {
		m.refresh[digestOf(m.refreshToken(c, i))] = place{c.CredentialsID, i}
	}
	if c.Access != "" {
		m.access[c.Access] = c.CredentialsID
	}
}

func (m *memory) touch(kind, id string, v any) {
	if m.db != nil {
		m.touched[thing{kind, id}] = v
	}
}

// flush writes what was touched. What can not be written is forgotten here
// too, so that nobody is told what a restart would not know.
func (m *memory) flush(ctx context.Context) error {
	if len(m.touched) == 0 {
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	if err := m.write(ctx); err != nil {
		return errors.Join(err, m.load(ctx))
	}
	clear(m.touched)
	return nil
}

func (m *memory) write(ctx context.Context) error {
	tx, err := m.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	for t, v := range m.touched {
		if v == nil {
			_, err = tx.ExecContext(ctx, `DELETE FROM bank WHERE kind = ? AND id = ?`, t.kind, t.id)
		} else {
			var b []byte
			if b, err = json.Marshal(v); err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, `INSERT INTO bank (kind, id, value) VALUES (?, ?, ?)
				ON CONFLICT (kind, id) DO UPDATE SET value = excluded.value`, t.kind, t.id, string(b))
		}
		if err != nil {
			return err
		}
	}
	return tx.Commit()
}

func (m *memory) close() error {
	if m.db == nil {
		return nil
	}
	return m.db.Close()
}
