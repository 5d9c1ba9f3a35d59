package sqlstore_test

import (
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
	return s
}

func TestRegistryOnSQLiteFile(t *testing.T) {
	registrytest.Run(t, func(t *testing.T) consent.Registry {
		return open(t, "sqlite:"+filepath.Join(t.TempDir(), "with space & ?#%25 ü.db"))
	})
}

func TestRegistryOnSQLiteMemory(t *testing.T) {
	registrytest.Run(t, func(t *testing.T) consent.Registry { return open(t, "sqlite::memory:") })
}
