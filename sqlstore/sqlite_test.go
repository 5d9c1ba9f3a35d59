package sqlstore_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/sqlstore"
	"github.com/reconsent/reconsent/sqlstore/registrytest"
)

func open(t testing.TB, url string) *sqlstore.Store {
	t.Helper()
	s, err := sqlstore.Open(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	require.NoError(t, s.Migrate(t.Context()))
	s.UseQueue(nowhere{})
	return s
}

// nowhere is a queue for tests that look at rows only.
type nowhere struct{}

func (nowhere) Enqueue(context.Context, *sql.Tx, string, []string) error { return nil }

func TestRegistryOnSQLiteFile(t *testing.T) {
	registrytest.Run(t, func(t *testing.T) consent.Registry {
		return open(t, "sqlite:"+filepath.Join(t.TempDir(), "with space & ?#%25 ü.db"))
	})
}

func TestRegistryOnSQLiteMemory(t *testing.T) {
	registrytest.Run(t, func(t *testing.T) consent.Registry { return open(t, "sqlite::memory:") })
}

func (nowhere) Waiting(context.Context, *sql.Tx, string) (int, error) { return 0, nil }
