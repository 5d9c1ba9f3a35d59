package connector_test

import (
	"context"
	"os"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/internal/pgtest"
	"github.com/reconsent/reconsent/provider"
	"github.com/reconsent/reconsent/provider/truelayer"
)

// silentOnExpiry is a provider that says nothing of a consent's end.
type silentOnExpiry struct{ *truelayer.Client }

func (s silentOnExpiry) Inspect(ctx context.Context, token string) (provider.Inspection, error) {
	ins, err := s.Client.Inspect(ctx, token)
	ins.ExpiresAt = time.Time{}
	return ins, err
}

// refreshToken opens what the registry holds of a consent.
func (w *world) refreshToken(c consent.Consent) string {
	w.Helper()
	stored, err := w.store.Consent(w.Context(), w.app.ID, c.ID)
	require.NoError(w, err)
	plain, err := w.keys.Open(stored.Tokens.Refresh, c.ID)
	require.NoError(w, err)
	return string(plain)
}

// verifier opens an attempt's PKCE verifier.
func (w *world) verifier(a consent.Attempt) string {
	w.Helper()
	stored, err := w.store.Attempt(w.Context(), w.app.ID, a.ID)
	require.NoError(w, err)
	plain, err := w.keys.Open(stored.Verifier, a.ID)
	require.NoError(w, err)
	return string(plain)
}

// databaseBytes is everything that the database holds: its files, or a dump.
func (w *world) databaseBytes() string {
	w.Helper()
	if onPostgres {
		return pgtest.Dump(w, w.url)
	}
	all := ""
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(w.path + suffix)
		require.NoError(w, err)
		all += string(b)
	}
	return all
}
