package migrations_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"sync"
	"testing"

	_ "github.com/lib/pq" // the drivers
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/reconsent/reconsent/internal/pgtest"
	"github.com/reconsent/reconsent/migrations"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func connect(t *testing.T, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

const tablesOfPostgres = `SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public' AND table_name NOT LIKE 'goose%'`

func TestUpDownUp(t *testing.T) {
	for _, tt := range []struct {
		dialect migrations.Dialect
		db      *sql.DB
		tables  string
	}{
		{migrations.Postgres, connect(t, "postgres", pgtest.DSN(t)), tablesOfPostgres},
		{
			migrations.SQLite, connect(t, "sqlite", filepath.Join(t.TempDir(), "registry.db")),
			`SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'goose%' AND name <> 'sqlite_sequence'`,
		},
	} {
		t.Run(string(tt.dialect), func(t *testing.T) {
			count := func() (n int) {
				require.NoError(t, tt.db.QueryRowContext(t.Context(), tt.tables).Scan(&n))
				return n
			}
			applied := func() (n int) {
				list, err := migrations.List(t.Context(), tt.db, tt.dialect)
				require.NoError(t, err)
				require.NotEmpty(t, list)
				for i, m := range list {
					assert.EqualValues(t, i+1, m.Version, "numbered without gaps")
					if m.Applied {
						n++
					}
				}
				return n
			}
			require.Zero(t, applied())
			require.NoError(t, migrations.Up(t.Context(), tt.db, tt.dialect))
			tables, all := count(), applied()
			require.Positive(t, tables)
			require.Positive(t, all)
			require.NoError(t, migrations.Up(t.Context(), tt.db, tt.dialect), "nothing to do")
			require.NoError(t, migrations.Down(t.Context(), tt.db, tt.dialect))
			require.Zero(t, count(), "down leaves nothing behind")
			require.Zero(t, applied())
			require.NoError(t, migrations.Up(t.Context(), tt.db, tt.dialect))
			require.Equal(t, tables, count())
			require.Equal(t, all, applied())
		})
	}
}

// Replicas start together. One migrates, the others wait, none fails.
func TestReplicasStartTogether(t *testing.T) {
	dsn := pgtest.DSN(t)
	const replicas = 8
	errs := make([]error, replicas)
	var wg sync.WaitGroup
	for i := range replicas {
		db := connect(t, "postgres", dsn)
		wg.Go(func() { errs[i] = migrations.Up(t.Context(), db, migrations.Postgres) })
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	var n int
	require.NoError(t, connect(t, "postgres", dsn).QueryRowContext(t.Context(), tablesOfPostgres).Scan(&n))
	require.Positive(t, n)
	require.NoError(t, connect(t, "postgres", dsn).QueryRowContext(t.Context(), `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'`).Scan(&n))
	require.Zero(t, n, "no lock outlives the migration")
}

func TestUnknownDialect(t *testing.T) {
	require.Error(t, migrations.Up(t.Context(), nil, "oracle"))
	require.Error(t, migrations.Down(t.Context(), nil, "oracle"))
	_, err := migrations.List(t.Context(), nil, "oracle")
	require.Error(t, err)
}
