package sqlstore

import (
	"database/sql"
	"reflect"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	_ "github.com/lib/pq" // the driver
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/internal/pgtest"
)

// BenchmarkOneConsent reads one consent on PostgreSQL, through the store and
// through a bare prepared statement: what sqlx and our rows cost.
func BenchmarkOneConsent(b *testing.B) {
	dsn := pgtest.DSN(b)
	s, err := Open(b.Context(), dsn)
	require.NoError(b, err)
	b.Cleanup(func() { _ = s.Close() })
	require.NoError(b, s.Migrate(b.Context()))
	now := time.Date(2027, time.March, 28, 0, 0, 0, 0, time.UTC)
	c := consent.Consent{ApplicationID: "a", ID: "con_1", UserID: "u", Provider: "truelayer", CredentialsID: "cred", CreatedAt: now, ConsentedAt: now, ExpiresAt: now}
	_, err = s.Register(b.Context(), "a", []consent.Registration{{Consent: c, Contact: consent.User{ApplicationID: "a", ID: "u", CreatedAt: now, UpdatedAt: now}}})
	require.NoError(b, err)

	b.Run("store", func(b *testing.B) {
		for b.Loop() {
			_, err := s.Consent(b.Context(), "a", "con_1")
			require.NoError(b, err)
		}
	})
	b.Run("bare", func(b *testing.B) {
		db, err := sql.Open("postgres", dsn)
		require.NoError(b, err)
		defer func() { require.NoError(b, db.Close()) }()
		text, _, err := sqlx.Named(consentByID.postgres, args{"app": "a", "id": "con_1"})
		require.NoError(b, err)
		stmt, err := db.PrepareContext(b.Context(), sqlx.Rebind(sqlx.DOLLAR, text))
		require.NoError(b, err)
		defer func() { require.NoError(b, stmt.Close()) }()
		var row consentRow
		into := make([]any, len(consentColumns))
		for i := range into {
			into[i] = reflect.ValueOf(&row).Elem().Field(i).Addr().Interface()
		}
		for b.Loop() {
			require.NoError(b, stmt.QueryRowContext(b.Context(), "a", "con_1").Scan(into...))
		}
	})
}
