package pgtest_test

import (
	"database/sql"
	"os"
	"strings"
	"testing"

	"github.com/reconsent/reconsent/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func open(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("postgres", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func run(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func ask(t *testing.T, db *sql.DB, query string) string {
	t.Helper()
	var answer string
	if err := db.QueryRowContext(t.Context(), query).Scan(&answer); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return answer
}

func TestTwoDatabasesAreSeparate(t *testing.T) {
	t.Parallel()
	one, two := open(t, pgtest.DSN(t)), open(t, pgtest.DSN(t))
	run(t, one, "CREATE TABLE only_in_one (n int)")
	const count = "SELECT count(*) FROM information_schema.tables WHERE table_name = 'only_in_one'"
	if got := ask(t, one, count); got != "1" {
		t.Errorf("the first database has %s tables, want 1", got)
	}
	if got := ask(t, two, count); got != "0" {
		t.Errorf("the second database has %s tables, want 0", got)
	}
}

func TestDatabaseIsDroppedThoughAConnectionIsOpen(t *testing.T) {
	t.Parallel()
	var name string
	t.Run("leaks", func(inner *testing.T) {
		db, err := sql.Open("postgres", pgtest.DSN(inner))
		if err != nil {
			inner.Fatal(err)
		}
		// Closed too late, and then not cleanly: the server has hung up.
		t.Cleanup(func() { _ = db.Close() })
		name = ask(inner, db, "SELECT current_database()")
	})
	left := ask(t, open(t, pgtest.DSN(t)), "SELECT count(*) FROM pg_database WHERE datname = '"+name+"'")
	if left != "0" {
		t.Errorf("database %s is still there", name)
	}
}

func TestDumpShowsSchemaAndRows(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	db := open(t, dsn)
	run(t, db, "CREATE TABLE kept (words text)")
	run(t, db, "INSERT INTO kept VALUES ('what was written')")
	dump := pgtest.Dump(t, dsn)
	for _, want := range []string{"CREATE TABLE public.kept", "what was written"} {
		if !strings.Contains(dump, want) {
			t.Errorf("the dump lacks %q:\n%s", want, dump)
		}
	}
}
