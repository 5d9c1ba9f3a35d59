package migrations

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed postgres/*.sql sqlite/*.sql
var files embed.FS

// Dialect is a SQL dialect that the schema is written in.
type Dialect string

// The dialects.
const (
	Postgres Dialect = "postgres"
	SQLite   Dialect = "sqlite"
)

// Status tells of one migration.
type Status struct {
	Version int64
	File    string
	Applied bool
}

// Up applies what is missing. Several replicas may start at once: on
// PostgreSQL one does the work and the others wait for it.
func Up(ctx context.Context, db *sql.DB, d Dialect) error {
	p, err := newProvider(db, d)
	if err != nil {
		return err
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// Down takes everything back.
func Down(ctx context.Context, db *sql.DB, d Dialect) error {
	p, err := newProvider(db, d)
	if err != nil {
		return err
	}
	if _, err := p.DownTo(ctx, 0); err != nil {
		return fmt.Errorf("migrate down: %w", err)
	}
	return nil
}

// List tells of every migration, oldest first.
func List(ctx context.Context, db *sql.DB, d Dialect) ([]Status, error) {
	p, err := newProvider(db, d)
	if err != nil {
		return nil, err
	}
	all, err := p.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("migration status: %w", err)
	}
	list := make([]Status, len(all))
	for i, m := range all {
		list[i] = Status{Version: m.Source.Version, File: m.Source.Path, Applied: m.State == goose.StateApplied}
	}
	return list, nil
}

func newProvider(db *sql.DB, d Dialect) (*goose.Provider, error) {
	dir, err := fs.Sub(files, string(d))
	if err != nil {
		return nil, fmt.Errorf("migrations of dialect %q: %w", d, err)
	}
	dialect, opts := goose.DialectSQLite3, []goose.ProviderOption{goose.WithVerbose(false)}
	if d == Postgres {
		dialect = goose.DialectPostgres
		// Held only while migrating. Traffic holds no advisory lock.
		locker, err := lock.NewPostgresSessionLocker()
		if err != nil {
			return nil, fmt.Errorf("migration lock: %w", err)
		}
		opts = append(opts, goose.WithSessionLocker(locker))
	}
	return goose.NewProvider(dialect, db, dir, opts...)
}
