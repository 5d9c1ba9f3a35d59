package sqlstore

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/internal/pgtest"
	"github.com/reconsent/reconsent/migrations"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/stepup"
)

// What is asked with each call is looked up by primary keys and nothing else;
// what is tidied away is found by an index made for that.
func TestReauthReadsIndexes(t *testing.T) {
	for _, url := range []string{pgtest.DSN(t), "sqlite::memory:"} {
		s, err := Open(t.Context(), url)
		require.NoError(t, err)
		t.Cleanup(func() { _ = s.Close() })
		require.NoError(t, s.Migrate(t.Context()))
		fillReauth(t, s, 300)
		t.Run(string(s.dialect), func(t *testing.T) {
			who := stepup.Who{ApplicationID: "a", UserID: "user_7", SessionID: "sid"}
			arg := whose(who)
			for k, v := range map[string]any{
				"calls": "calls:user_7", "failures": "failures:user_7", "sends": "sends:user_7", "bucket": "calls:user_7", "old": "1", "changed": "2",
				"kept": 9, "at": 5, "now": 5, "id": "x", "before": 5, "limit": 10, "purpose": "enrol", "pseudonym": "p", "locked": "locked:user_7",
				"windows": keys(s.dialect, stepup.WindowsOf("user_7")), "allowances": keys(s.dialect, stepup.AllowancesOf("user_7")),
				"hash": []byte("x"), "last_step": 5, "secret": []byte("x"), "was": []byte("x"), "key": "k", "since": 5,
			} {
				arg[k] = v
			}
			keys := func(tables ...string) []string {
				for i, table := range tables {
					if s.dialect == migrations.SQLite {
						tables[i] = "sqlite_autoindex_" + table + "_1"
					} else {
						tables[i] = table + "_pkey"
					}
				}
				return tables
			}
			for name, want := range map[string]struct {
				st      *statement
				indexes []string
			}{
				"standing":      {standing, keys("users", "reauth_sessions", "reauth_windows", "factors", "backup_codes")},
				"swap":          {swapWindow, keys("reauth_windows")},
				"try":           {tryCode, keys("reauth_codes")},
				"live code":     {liveCode, []string{"reauth_codes_"}},
				"use proof":     {useProof, keys("proofs")},
				"use token":     {useStepToken, []string{"step_tokens_"}},
				"step":          {stepFactor, keys("factors")},
				"backup codes":  {backupCodes, keys("backup_codes")},
				"answered":      {answered, keys("proof_answers")},
				"end codes":     {endCodes, []string{"reauth_codes_"}},
				"end revs":      {endReverifications, []string{"reverifications_user"}},
				"end tokens":    {endStepTokens, []string{"step_tokens_user"}},
				"end proofs":    {endProofs, []string{"proofs_user"}},
				"pseudonym":     {pseudonymAudit, []string{"audit_user"}},
				"erase session": {eraseReauth[0], keys("reauth_sessions")},
				"erase code":    {eraseReauth[1], []string{"reauth_codes_"}},
				"erase windows": {eraseReauth[7], keys("reauth_windows")},
				"tidy codes":    {tidies[0].st, []string{"reauth_codes_expired"}},
				"tidy revs":     {tidies[1].st, []string{"reverifications_expired"}},
				"tidy tokens":   {tidies[2].st, []string{"step_tokens_expired"}},
				"tidy proofs":   {tidies[3].st, []string{"proofs_expired"}},
				"tidy answers":  {tidies[4].st, []string{"proof_answers_age"}},
				"tidy windows":  {tidies[5].st, []string{"reauth_windows_kept"}},
				"tidy sessions": {tidies[6].st, []string{"reauth_sessions_kept"}},
			} {
				plan := explain(t, s, want.st, arg)
				for _, index := range want.indexes {
					assert.Contains(t, plan, index, name)
				}
				for _, line := range strings.Split(plan, "\n") {
					assert.NotContains(t, line, "Seq Scan", name)
					// What is left to be scanned was found before, or is no table.
					if s.dialect == migrations.SQLite && strings.HasPrefix(line, "SCAN ") && !strings.Contains(line, "json_each") {
						assert.Contains(t, line, " USING ", name)
					}
				}
				if name == "standing" {
					assert.NotContains(t, plan, "_kept", name)
					assert.NotContains(t, plan, "SCAN ", name)
				}
			}
		})
	}
}

// fillReauth gives the planner a choice to make.
func fillReauth(t *testing.T, s *Store, n int) {
	t.Helper()
	now := time.Date(2027, time.March, 28, 0, 0, 0, 0, time.UTC)
	for i := range n {
		who := stepup.Who{ApplicationID: "a", UserID: fmt.Sprintf("user_%d", i), SessionID: "sid"}
		_, err := s.PutUser(t.Context(), consent.User{ApplicationID: "a", ID: who.UserID, CreatedAt: now, UpdatedAt: now})
		require.NoError(t, err)
		f := stepup.FactorRecord{EnrolledFactor: stepup.EnrolledFactor{ID: "fac", Kind: stepup.KindBackupCodes, CreatedAt: now, VerifiedAt: now}}
		require.NoError(t, s.ChangeFactors(t.Context(), stepup.FactorChange{Who: who, At: now, Add: &f, BackupCodes: [][]byte{{1}, {2}}}))
		_, err = s.BeginCode(t.Context(), stepup.Code{Who: who, ID: who.UserID, Purpose: stepup.PurposeEnrol, CreatedAt: now, ExpiresAt: now}, now)
		require.NoError(t, err)
		require.NoError(t, s.CreateReverification(t.Context(), stepup.Reverification{Who: who, ID: who.UserID, CreatedAt: now, ExpiresAt: now}))
		require.NoError(t, s.Succeed(t.Context(), stepup.Success{
			Who: who, At: now, Proven: &reauth.Proven{Factor: reauth.Password, Role: reauth.First, At: now},
			Issue:  &stepup.StepToken{Who: who, Hash: []byte(who.UserID), ProvenAt: now, CreatedAt: now, ExpiresAt: now},
			Proof:  &stepup.ProofRecord{Who: who, ID: who.UserID, CreatedAt: now, ExpiresAt: now},
			Answer: &stepup.Answer{ApplicationID: "a", Key: who.UserID, At: now},
			Log:    []stepup.Audit{{ApplicationID: "a", ID: who.UserID, UserID: who.UserID, At: now}},
		}))
		_, err = s.SwapWindow(t.Context(), "a", stepup.BucketCalls+who.UserID, "", "1", now)
		require.NoError(t, err)
	}
	_, err := s.db.ExecContext(t.Context(), `ANALYZE`)
	require.NoError(t, err)
}

// explain is how the database would run a statement, if it had many rows.
func explain(t *testing.T, s *Store, st *statement, arg args) string {
	t.Helper()
	prefix := `EXPLAIN `
	if s.dialect == migrations.SQLite {
		prefix = `EXPLAIN QUERY PLAN `
	}
	text, list, err := sqlx.Named(st.text(s.dialect), map[string]any(arg))
	require.NoError(t, err, st.text(s.dialect))
	tx, err := s.db.BeginTxx(t.Context(), nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback()) }()
	if s.dialect == migrations.Postgres {
		_, err = tx.ExecContext(t.Context(), `SET LOCAL enable_seqscan = off`) // the tables are small here
		require.NoError(t, err)
	}
	rows, err := tx.QueryxContext(t.Context(), prefix+s.db.Rebind(text), list...)
	require.NoError(t, err, text)
	defer func() { require.NoError(t, rows.Close()) }()
	var lines []string
	for rows.Next() {
		cells, err := rows.SliceScan()
		require.NoError(t, err)
		lines = append(lines, fmt.Sprint(cells[len(cells)-1]))
	}
	require.NoError(t, rows.Err())
	return strings.Join(lines, "\n")
}
