package sqlstore_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/internal/pgtest"
	"github.com/reconsent/reconsent/sqlstore"
)

// fixed are the tables that do not grow with consents, and those of the
// migration tool. Every other table is held to the rule below, so that one
// which a later migration adds is held to it without being named here.
var fixed = []string{"applications", "api_keys", "provider_settings", "goose_db_version", "goose_lock", "sqlite_sequence", "reauth_settings", "proof_keys"}

// key is a primary key or a unique index: what has to contain the column that
// a table is partitioned or spread by.
type key struct{ Table, Index, First string }

func holdKeys(t *testing.T, keys []key) {
	t.Helper()
	held := map[string]int{}
	for _, k := range keys {
		if slices.Contains(fixed, k.Table) {
			continue
		}
		held[k.Table]++
		assert.Equal(t, "application_id", k.First, "%s of %s", k.Index, k.Table)
	}
	for _, table := range growing {
		assert.Positive(t, held[table], "%s has no key at all", table)
	}
}

func keysOf(t *testing.T, db *sql.DB, query string) []key {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	var keys []key
	for rows.Next() {
		var k key
		require.NoError(t, rows.Scan(&k.Table, &k.Index, &k.First))
		keys = append(keys, k)
	}
	require.NoError(t, rows.Err())
	return keys
}

func TestEveryKeyBeginsWithTheApplicationOnPostgres(t *testing.T) {
	dsn := pgtest.DSN(t)
	open(t, dsn)
	holdKeys(t, keysOf(t, connect(t, dsn), `
		SELECT c.relname, i.relname, coalesce(a.attname, '(an expression)')
		FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid
			JOIN pg_namespace n ON n.oid = c.relnamespace
			LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = x.indkey[0]
		WHERE n.nspname = 'public' AND x.indisunique`))
}

func TestEveryKeyBeginsWithTheApplicationOnSQLite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registry.db")
	open(t, "sqlite:"+path)
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	holdKeys(t, keysOf(t, db, `
		SELECT t.name, i.name, coalesce(x.name, '(an expression)')
		FROM sqlite_schema t JOIN pragma_index_list(t.name) i JOIN pragma_index_info(i.name) x ON x.seqno = 0
		WHERE t.type = 'table' AND i."unique"`))
	// A rowid table's INTEGER PRIMARY KEY has no index of its own to be seen by.
	for _, k := range keysOf(t, db, `
		SELECT t.name, 'primary key', c.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c ON c.pk = 1
		WHERE t.type = 'table'`) {
		if !slices.Contains(fixed, k.Table) {
			assert.Equal(t, "application_id", k.First, "%s of %s", k.Index, k.Table)
		}
	}
}

// The dialects stand side by side: what one has the other has.
func TestTheDialectsHaveTheSameColumns(t *testing.T) {
	dsn := pgtest.DSN(t)
	open(t, dsn)
	postgres := keysOf(t, connect(t, dsn), `
		SELECT table_name, column_name, is_nullable || CASE data_type
			WHEN 'text' THEN ' text' WHEN 'bytea' THEN ' bytes' WHEN 'boolean' THEN ' boolean' ELSE ' number' END
		FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE 'goose%' ORDER BY table_name, ordinal_position`)

	path := filepath.Join(t.TempDir(), "registry.db")
	open(t, "sqlite:"+path)
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	sqlite := keysOf(t, db, `
		SELECT t.name, c.name, iif(c."notnull", 'NO', 'YES') || CASE c.type
			WHEN 'TEXT' THEN ' text' WHEN 'BLOB' THEN ' bytes' WHEN 'BOOLEAN' THEN ' boolean' ELSE ' number' END
		FROM sqlite_schema t JOIN pragma_table_info(t.name) c
		WHERE t.type = 'table' AND t.name NOT LIKE 'goose%' AND t.name <> 'sqlite_sequence' ORDER BY t.name, c.cid`)
	assert.Equal(t, postgres, sqlite)
}

// What the upkeep and the sweep ask, again and again, costs what is due, not
// what is stored: it must be answered from an index made for it.
func TestUpkeepReadsIndexesOnPostgres(t *testing.T) {
	dsn := pgtest.DSN(t)
	s := open(t, dsn)
	db := connect(t, dsn)
	fill(t, s, 500)
	_, err := db.ExecContext(t.Context(), `VACUUM ANALYZE consents`) // an index alone answers only for pages that are known to be seen by all
	require.NoError(t, err)
	for index, query := range map[string]string{
		"attempts_stale":       `SELECT id FROM attempts WHERE status = 'claimed' AND claimed_until <= 5 ORDER BY claimed_until LIMIT 100`,
		"attempts_unconfirmed": `SELECT id FROM attempts WHERE status = 'pending' AND confirm_by <= 5 ORDER BY confirm_by LIMIT 100`,
		"give_backs_due":       `SELECT id FROM give_backs WHERE next_try_at <= 5 ORDER BY next_try_at LIMIT 100`,
		"Index Only Scan using consents_due": `SELECT application_id, id FROM consents
			WHERE next_stage_at <= 5 AND revoked_at IS NULL AND NOT pending ORDER BY next_stage_at LIMIT 100`,
		"Index Only Scan using consents_due on consents": `SELECT application_id, id FROM consents
			WHERE next_stage_at IS NOT NULL AND revoked_at IS NULL AND NOT pending AND next_stage_at <= 5
				AND (next_stage_at, application_id, id) > (1, 'a', 'x') AND lapses_at <= 9
			ORDER BY next_stage_at, application_id, id LIMIT 100`,
		"consents_check": `SELECT application_id, id FROM consents WHERE next_check_at <= 5 AND revoked_at IS NULL AND NOT pending
			ORDER BY next_check_at, application_id, provider, id LIMIT 100 FOR UPDATE SKIP LOCKED`,
		"consents_parked":                   `SELECT count(*) FROM consents WHERE parked_at IS NOT NULL`,
		"digests_due":                       `SELECT application_id, id FROM digests WHERE application_id = 'a' AND due_at <= 5 AND NOT asked ORDER BY due_at LIMIT 100 FOR UPDATE SKIP LOCKED`,
		"digests_asked":                     `SELECT application_id, id FROM digests WHERE asked AND due_at <= 5 ORDER BY due_at LIMIT 100 FOR UPDATE SKIP LOCKED`,
		"Index Only Scan using digests_due": `SELECT min(application_id) FROM digests WHERE due_at IS NOT NULL AND application_id > 'a'`,
		"digests_open":                      `SELECT id FROM digests WHERE application_id = 'a' AND user_id = 'x' AND channel = 'email' AND state = 'open'`,
		"notices_digest":                    `SELECT stage FROM notices WHERE application_id = 'a' AND digest_id = 'x' ORDER BY consent_id, cycle, stage`,
		"checks_recent": `SELECT provider_id, count(*) FROM checks
			WHERE application_id = 'a' AND provider = 'x' AND at >= 5 AND consent_id <> 'x' GROUP BY provider_id`,
		"checks_bad": `SELECT DISTINCT application_id, provider FROM checks WHERE at >= 5 AND outcome <> 'ok'`,
		"webhook_deliveries_due": `SELECT event_id FROM webhook_deliveries WHERE application_id = 'a' AND endpoint_id = 'x' AND due_at <= 5
			ORDER BY due_at LIMIT 100`,
		"webhook_deliveries_listing": `SELECT event_id FROM webhook_deliveries WHERE application_id = 'a' AND endpoint_id = 'x' AND (at, event_id) < (5, 'x')
			ORDER BY at DESC, event_id DESC LIMIT 100`,
		"webhook_deliveries_age": `SELECT event_id FROM webhook_deliveries WHERE queued_at <= 5 AND (finished_at IS NULL OR finished_at <= 5) ORDER BY queued_at LIMIT 100`,
		"inbound_events_waiting": `SELECT id FROM inbound_events WHERE processed_at IS NULL ORDER BY received_at LIMIT 100 FOR UPDATE SKIP LOCKED`,
		"inbound_events_login":   `SELECT 1 FROM inbound_events WHERE application_id = 'a' AND provider = 'x' AND credentials_id = 'x' AND at > 5`,
		"confirmations_consent":  `SELECT id FROM confirmations WHERE application_id = 'a' AND consent_id = 'x' ORDER BY confirmed_at, id`,
		"consents_listing":       `SELECT id FROM consents WHERE application_id = 'a' AND (created_at, id) > (5, 'x') ORDER BY created_at, id LIMIT 100`,
		"consents_credentials":   `SELECT id FROM consents WHERE application_id = 'a' AND credentials_id = 'x'`,
		"consents_user":          `SELECT id FROM consents WHERE application_id = 'a' AND user_id = 'x'`,
		"attempts_state":         `SELECT id FROM attempts WHERE application_id = 'a' AND state_hash = 'x'`,
		"attempts_reuse":         `SELECT id FROM attempts WHERE application_id = 'a' AND consent_id = 'x' AND reuse_key = 'x' AND status = 'started'`,
	} {
		assert.Contains(t, plan(t, db, query), index)
	}
}

// plan is how the database would answer a query, if it had many rows.
func plan(t *testing.T, db *sql.DB, query string) string {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback()) }()
	_, err = tx.ExecContext(t.Context(), `SET LOCAL enable_seqscan = off`) // the tables are small here
	require.NoError(t, err)
	rows, err := tx.QueryContext(t.Context(), `EXPLAIN `+query)
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	lines := ""
	for rows.Next() {
		var line string
		require.NoError(t, rows.Scan(&line))
		lines += line + "\n"
	}
	require.NoError(t, rows.Err())
	return lines
}

// fill registers consents of as many users, so that the planner has a choice to
// make.
func fill(t *testing.T, s *sqlstore.Store, n int) {
	t.Helper()
	now := time.Date(2027, time.March, 28, 0, 0, 0, 0, time.UTC)
	batch := make([]consent.Registration, n)
	for i := range batch {
		c := consent.Consent{
			ApplicationID: "a", ID: fmt.Sprintf("con_%d", i), UserID: fmt.Sprintf("user_%d", i), Provider: "truelayer",
			CredentialsID: fmt.Sprintf("cred_%d", i), Custody: consent.CustodyOurs, CreatedAt: now, ConsentedAt: now,
		}
		batch[i] = consent.Registration{Consent: c, Contact: consent.User{ApplicationID: "a", ID: c.UserID, CreatedAt: now, UpdatedAt: now}}
	}
	_, err := s.Register(t.Context(), "a", batch)
	require.NoError(t, err)
}
