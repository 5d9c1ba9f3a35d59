package pgtest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	_ "github.com/lib/pq" // the driver the product uses
)

// An Option changes what kind of server DSN asks for.
type Option int

// Durable asks for a server that waits for the disk at each commit, as one in
// production does. Benchmarks that write need it; for tests it is only slow.
// The server named by TEST_DATABASE_URL is taken as it is.
const Durable Option = iota + 1

// How long making or dropping a database may take on a machine under load.
const adminTimeout = 30 * time.Second

// The two clusters of this test binary; each starts at first use.
var (
	volatile = cluster{settings: "fsync = off\nfull_page_writes = off\nsynchronous_commit = off\n"}
	durable  = cluster{settings: "fsync = on\n"}
)

// DSN returns the URL of a new, empty database that is dropped when t ends.
func DSN(t testing.TB, opts ...Option) string {
	t.Helper()
	admin, err := server(opts)
	if err != nil {
		t.Fatalf("pgtest: no PostgreSQL: %v", err)
	}
	name := "reconsent_test_" + strings.ToLower(rand.Text())
	if err := adminExec(t.Context(), admin, "CREATE DATABASE "+name); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() {
		// t's own context is over by now. FORCE, so that a test that failed with
		// connections open does not fail once more here.
		ctx := context.WithoutCancel(t.Context())
		if err := adminExec(ctx, admin, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	dsn := *admin
	dsn.Path = "/" + name
	return dsn.String()
}

// Main runs the tests, then waits until the private cluster is gone. Call it
// from TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
func Main(m *testing.M) int {
	code := m.Run()
	for _, c := range []*cluster{&volatile, &durable} {
		if err := c.stop(); err != nil {
			fmt.Fprintf(os.Stderr, "pgtest: stop the cluster: %v\n", err)
			code = max(code, 1)
		}
	}
	return code
}

// Dump returns what pg_dump says of the database: schema and every row, as text.
func Dump(t testing.TB, dsn string) string {
	t.Helper()
	bin, err := binaries(debianBins)
	if err != nil {
		t.Fatalf("pgtest: no pg_dump: %v", err)
	}
	var stderr strings.Builder
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "pg_dump"), "--dbname="+dsn)
	cmd.Env = environ()
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("pgtest: pg_dump: %v\n%s", err, stderr.String())
	}
	return string(out)
}

// server returns the URL by which databases are made and dropped.
func server(opts []Option) (*url.URL, error) {
	if given := os.Getenv("TEST_DATABASE_URL"); given != "" {
		return parseGiven(given)
	}
	if slices.Contains(opts, Durable) {
		return durable.start()
	}
	return volatile.start()
}

func parseGiven(given string) (*url.URL, error) {
	u, err := url.Parse(given)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		// Not shown: it may carry a password.
		return nil, fmt.Errorf("TEST_DATABASE_URL is not a URL of the form postgres://user:password@host/database")
	}
	q := u.Query()
	if !q.Has("sslmode") {
		// A test server rarely has a certificate, and lib/pq would insist on one.
		q.Set("sslmode", "disable")
		u.RawQuery = q.Encode()
	}
	return u, nil
}

// adminExec runs one statement on a connection of its own. A pool kept open would
// show up as a leak in tests that look for leaked goroutines.
func adminExec(ctx context.Context, server *url.URL, statement string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	db, err := sql.Open("postgres", server.String())
	if err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	defer func() {
		if cerr := db.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("%s: close: %w", statement, cerr)
		}
	}()
	if _, err := db.ExecContext(ctx, statement); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}
