package sqlstore_test

import (
	"database/sql"
	"fmt"
	"os"
	"testing"

	_ "github.com/lib/pq" // the driver
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/internal/pgtest"
	"github.com/reconsent/reconsent/sqlstore"
	"github.com/reconsent/reconsent/sqlstore/registrytest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func TestRegistryOnPostgres(t *testing.T) {
	registrytest.Run(t, func(t *testing.T) consent.Registry { return open(t, pgtest.DSN(t)) })
}

// growing are the tables that grow with consents.
var growing = []string{"users", "consents", "token_hashes", "events", "attempts", "reconnect_links", "give_backs", "digests", "notices", "checks", "confirmations",
	"webhook_endpoints", "webhook_deliveries", "inbound_events", "allowances", "reauth_sessions", "reauth_windows", "reauth_codes",
	"reverifications", "step_tokens", "factors", "backup_codes", "proofs", "proof_answers", "audit"}

// The schema promises that these tables can be partitioned by application
// without a change of code. This is what an operator would do, in SQL alone.
func TestRegistryOnPostgresPartitioned(t *testing.T) {
	registrytest.Run(t, func(t *testing.T) consent.Registry { return openPartitioned(t) })
}

func openPartitioned(t *testing.T) *sqlstore.Store {
	t.Helper()
	dsn := pgtest.DSN(t)
	open(t, dsn)
	db := connect(t, dsn)
	for _, table := range growing {
		partition(t, db, table)
	}
	s, err := sqlstore.Open(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	s.UseQueue(nowhere{})
	require.NoError(t, s.Migrate(t.Context()), "what is partitioned is still up to date")
	return s
}

func partition(t *testing.T, db *sql.DB, table string) {
	t.Helper()
	statements := []string{
		fmt.Sprintf(`ALTER TABLE %s RENAME TO %[1]s_whole`, table),
		fmt.Sprintf(`CREATE TABLE %s (LIKE %[1]s_whole INCLUDING ALL) PARTITION BY HASH (application_id)`, table),
	}
	for i := range 4 {
		statements = append(statements, fmt.Sprintf(
			`CREATE TABLE %s_%d PARTITION OF %[1]s FOR VALUES WITH (MODULUS 4, REMAINDER %[2]d)`, table, i))
	}
	statements = append(statements, triggers(t, db, table)...)
	statements = append(statements, fmt.Sprintf(`DROP TABLE %s_whole`, table))
	for _, st := range statements {
		_, err := db.ExecContext(t.Context(), st)
		require.NoError(t, err, st)
	}
	var n int
	require.NoError(t, db.QueryRowContext(t.Context(), `SELECT count(*) FROM pg_inherits WHERE inhparent = $1::regclass`, table).Scan(&n))
	require.Equal(t, 4, n)
}

// triggers makes a table's triggers anew: LIKE does not copy them.
func triggers(t *testing.T, db *sql.DB, table string) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), `SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = $1::regclass AND NOT tgisinternal`, table)
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	var list []string
	for rows.Next() {
		var text string
		require.NoError(t, rows.Scan(&text))
		list = append(list, text)
	}
	require.NoError(t, rows.Err())
	return list
}

func connect(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("postgres", dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}
