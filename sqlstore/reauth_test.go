package sqlstore_test

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/internal/pgtest"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/stepup"
	"github.com/reconsent/reconsent/sqlstore/reauthtest"
)

func TestReauthOnSQLiteFile(t *testing.T) {
	reauthtest.Run(t, func(t *testing.T) reauthtest.Store { return open(t, "sqlite:"+filepath.Join(t.TempDir(), "reauth.db")) })
}

func TestReauthOnSQLiteMemory(t *testing.T) {
	reauthtest.Run(t, func(t *testing.T) reauthtest.Store { return open(t, "sqlite::memory:") })
}

func TestReauthOnPostgres(t *testing.T) {
	reauthtest.Run(t, func(t *testing.T) reauthtest.Store { return open(t, pgtest.DSN(t)) })
}

func TestReauthOnPostgresPartitioned(t *testing.T) {
	reauthtest.Run(t, func(t *testing.T) reauthtest.Store { return openPartitioned(t) })
}

// Nobody changes what was recorded, whatever they can do in SQL: a person may be
// forgotten, and that is all.
func TestTheAuditIsAppendOnly(t *testing.T) {
	dsn, path := pgtest.DSN(t), filepath.Join(t.TempDir(), "reauth.db")
	whole, parts, sqlite := open(t, dsn), openPartitioned(t), open(t, "sqlite:"+path)
	line := stepup.Audit{
		ApplicationID: "a", ID: "aud_1", At: time.Date(2027, time.March, 28, 0, 0, 0, 0, time.UTC), UserID: "ada", SessionID: "s", DeviceID: "d",
		IPPrefix: "192.0.2.0/24", Action: stepup.ActionFailed, Reason: "wrong_code", Factor: reauth.TOTP, Level: "strict", Operation: "pay", Subject: "rev_1",
	}
	file, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, file.Close()) })
	for name, d := range map[string]struct {
		log stepup.AuditLog
		db  *sql.DB
	}{"postgres": {whole, connect(t, dsn)}, "partitioned": {parts, parts.DB()}, "sqlite": {sqlite, file}} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, d.log.Record(t.Context(), line))
			refused := []string{
				`DELETE FROM audit`, `UPDATE audit SET session_id = 'other'`, `UPDATE audit SET user_id = 'bob'`, `UPDATE audit SET user_id = 'bob', session_id = '', device_id = ''`,
			}
			for _, column := range []string{"application_id", "id", "action", "reason", "factor", "level", "operation", "subject"} {
				refused = append(refused, `UPDATE audit SET `+column+` = 'x', session_id = '', device_id = '', ip_prefix = ''`)
			}
			refused = append(refused, `UPDATE audit SET at = 0, session_id = '', device_id = '', ip_prefix = ''`)
			if name != "sqlite" {
				refused = append(refused, `TRUNCATE audit`)
			}
			for _, st := range refused {
				_, err := d.db.ExecContext(t.Context(), st)
				require.ErrorContains(t, err, "append only", st)
			}
			got, err := d.log.ListAudit(t.Context(), "a", stepup.AuditFilter{Limit: 10})
			require.NoError(t, err)
			assert.Equal(t, []stepup.Audit{line}, got)
			_, err = d.db.ExecContext(t.Context(), `UPDATE audit SET user_id = 'erased', session_id = '', device_id = '', ip_prefix = ''`)
			require.NoError(t, err)
		})
	}
}
