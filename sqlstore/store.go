package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/migrations"
)

var _ consent.Registry = (*Store)(nil)

// Store is the registry in a SQL database. It is safe for concurrent use.
type Store struct {
	db      *sqlx.DB
	dialect migrations.Dialect
	queue   Queue // set by UseQueue before use

	mu       sync.RWMutex
	prepared map[string]*sqlx.NamedStmt // empty until PrepareStatements; unused on SQLite
}

// Open connects to a database: postgres://..., or sqlite:PATH, where
// sqlite::memory: keeps nothing.
func Open(ctx context.Context, url string) (*Store, error) {
	switch {
	case strings.HasPrefix(url, "postgres://"), strings.HasPrefix(url, "postgresql://"):
		return openPostgres(ctx, url)
	case strings.HasPrefix(url, "sqlite:"):
		return openSQLite(ctx, strings.TrimPrefix(url, "sqlite:"))
	default:
		return nil, errors.New("database URL: want postgres://... or sqlite:PATH")
	}
}

// maxConns bounds one replica's share of PostgreSQL's connections.
const maxConns = 20

func openPostgres(ctx context.Context, url string) (*Store, error) {
	connector, err := pq.NewConnector(url)
	if err != nil {
		return nil, errors.New("database URL: not one that PostgreSQL's driver reads") // its text holds the password
	}
	db := sqlx.NewDb(sql.OpenDB(connector), "postgres")
	db.SetMaxOpenConns(maxConns)
	db.SetMaxIdleConns(maxConns)
	return opened(ctx, db, migrations.Postgres)
}

// sqliteOptions: WAL, so that readers from other processes do not wait;
// synchronous NORMAL, which in WAL mode can lose the last transactions with
// the machine's power, but never with the process, at a third of FULL's cost.
const sqliteOptions = "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_txlock=immediate"

func openSQLite(ctx context.Context, path string) (*Store, error) {
	if path == "" {
		return nil, errors.New("database URL: sqlite: needs a path, or \":memory:\"")
	}
	db, err := sqlx.Open("sqlite", "file:"+strings.ReplaceAll(path, "?", "%3f")+sqliteOptions)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	db.SetMaxOpenConns(1) // SQLite has one writer; waiting here is cheaper than being refused there
	return opened(ctx, db, migrations.SQLite)
}

func opened(ctx context.Context, db *sqlx.DB, d migrations.Dialect) (*Store, error) {
	if err := db.PingContext(ctx); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("open database: %w", err)
	}
	return &Store{db: db, dialect: d}, nil
}

// Migrate brings the schema up to date and prepares the statements.
func (s *Store) Migrate(ctx context.Context) error {
	if err := migrations.Up(ctx, s.db.DB, s.dialect); err != nil {
		return err
	}
	return s.PrepareStatements(ctx)
}

// MigrationStatus tells which migrations have been applied.
func (s *Store) MigrationStatus(ctx context.Context) ([]migrations.Status, error) {
	return migrations.List(ctx, s.db.DB, s.dialect)
}

// PrepareStatements prepares every statement ahead of traffic. Doing so inside a
// transaction, on first use, could find every connection taken by others who
// wait for the same. It fails where the schema is not up to date.
func (s *Store) PrepareStatements(ctx context.Context) error {
	list, err := s.MigrationStatus(ctx)
	if err != nil {
		return err
	}
	for _, m := range list {
		if !m.Applied {
			return fmt.Errorf("the schema is not up to date (%s is missing): run 'reconsent migrate up'", m.File)
		}
	}
	if s.dialect != migrations.Postgres {
		return nil
	}
	prepared := make(map[string]*sqlx.NamedStmt, len(statements))
	for _, q := range statements {
		text := q.text(s.dialect)
		if text == "" {
			continue
		}
		stmt, err := s.db.PrepareNamedContext(ctx, text)
		if err != nil {
			return fmt.Errorf("prepare: %w: %s", err, text)
		}
		prepared[text] = stmt
	}
	s.mu.Lock()
	s.prepared = prepared
	s.mu.Unlock()
	return nil
}

// Close gives the connections back.
func (s *Store) Close() error { return s.db.Close() }

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error { return s.db.PingContext(ctx) }

// query runs statements, inside a transaction or not.
type query struct {
	s  *Store
	tx *sqlx.Tx // nil outside
}

func (s *Store) query() query { return query{s: s} }

func (q query) stmt(ctx context.Context, text string) (*sqlx.NamedStmt, func(), error) {
	q.s.mu.RLock()
	stmt, ok := q.s.prepared[text]
	q.s.mu.RUnlock()
	switch {
	case ok && q.tx != nil:
		return q.tx.NamedStmtContext(ctx, stmt), func() {}, nil
	case ok:
		return stmt, func() {}, nil
	}
	var err error
	if q.tx != nil {
		stmt, err = q.tx.PrepareNamedContext(ctx, text)
	} else {
		stmt, err = q.s.db.PrepareNamedContext(ctx, text)
	}
	if err != nil {
		return nil, nil, err
	}
	return stmt, func() { _ = stmt.Close() }, nil
}

// exec runs a statement and returns how many rows it changed.
func (q query) exec(ctx context.Context, st *statement, arg any) (int64, error) {
	stmt, done, err := q.stmt(ctx, st.text(q.s.dialect))
	if err != nil {
		return 0, translate(err)
	}
	defer done()
	res, err := stmt.ExecContext(ctx, arg)
	if err != nil {
		return 0, translate(err)
	}
	return res.RowsAffected()
}

// one changes exactly one row, or answers ErrNotFound.
func (q query) one(ctx context.Context, st *statement, arg any) error {
	n, err := q.exec(ctx, st, arg)
	if err == nil && n == 0 {
		return consent.ErrNotFound
	}
	return err
}

// get reads one row into dest, or answers ErrNotFound.
func (q query) get(ctx context.Context, st *statement, dest, arg any) error {
	stmt, done, err := q.stmt(ctx, st.text(q.s.dialect))
	if err != nil {
		return translate(err)
	}
	defer done()
	err = translate(stmt.GetContext(ctx, dest, arg))
	if errors.Is(err, errNoText) {
		return consent.ErrNotFound // what cannot be kept is not there
	}
	return err
}

// list reads rows into dest, a pointer to a slice.
func (q query) list(ctx context.Context, st *statement, dest, arg any) error {
	stmt, done, err := q.stmt(ctx, st.text(q.s.dialect))
	if err != nil {
		return translate(err)
	}
	defer done()
	err = translate(stmt.SelectContext(ctx, dest, arg))
	if errors.Is(err, errNoText) {
		return nil
	}
	return err
}

// maxTries bounds how often a transaction is run again that PostgreSQL took
// back because of another one.
const maxTries = 5

// again runs what PostgreSQL may take back until it stands.
func again(f func() error) error {
	var err error
	for range maxTries {
		if err = f(); !isConflict(err) {
			return err
		}
	}
	return err
}

// atomic runs f in a transaction, all or nothing.
func (s *Store) atomic(ctx context.Context, f func(q query) error) error {
	return again(func() error { return s.attempt(ctx, f) })
}

func (s *Store) attempt(ctx context.Context, f func(q query) error) error {
	tx, err := s.db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // nothing after a commit
	if err := f(query{s: s, tx: tx}); err != nil {
		return err
	}
	return tx.Commit()
}

// errNoText is PostgreSQL's answer to NUL and to invalid UTF-8, which no text
// column of it keeps. SQLite keeps both.
var errNoText = fmt.Errorf("%w: text that it cannot keep", consent.ErrRejected)

// translate turns a driver's error into the registry's answer, by its code.
func translate(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, sql.ErrNoRows) {
		return consent.ErrNotFound
	}
	if e, ok := errors.AsType[*pq.Error](err); ok {
		switch e.Code {
		case "23505": // unique_violation
			return fmt.Errorf("%w: %s", consent.ErrExists, e.Constraint)
		case "22021", "22P05": // character_not_in_repertoire, untranslatable_character
			return fmt.Errorf("%w: %w", errNoText, err)
		}
		switch e.Code.Class() {
		case "22", "23", "54": // data_exception, integrity_constraint_violation, program_limit_exceeded: a key of thousands of bytes
			return fmt.Errorf("%w: %w", consent.ErrRejected, err)
		}
	}
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		switch e.Code() {
		case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
			return consent.ErrExists
		}
		switch e.Code() & 0xff {
		case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_RANGE:
			return fmt.Errorf("%w: %w", consent.ErrRejected, err)
		}
	}
	return err
}

// isConflict reports whether PostgreSQL asks to run a transaction again:
// serialization_failure or deadlock_detected.
func isConflict(err error) bool {
	e, ok := errors.AsType[*pq.Error](err)
	return ok && (e.Code == "40001" || e.Code == "40P01")
}
