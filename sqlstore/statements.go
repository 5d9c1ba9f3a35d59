package sqlstore

import (
	"strings"

	"github.com/reconsent/reconsent/migrations"
)

// statement is one SQL statement with named parameters, in both dialects.
type statement struct {
	postgres string
	sqlite   string
}

// statements lists every single-row statement, to be prepared ahead.
var statements []*statement

// both declares a statement on which the dialects agree.
func both(text string) *statement { return sideBySide(text, text) }

// sideBySide declares a statement on which they do not.
func sideBySide(postgres, sqlite string) *statement {
	st := &statement{postgres: postgres, sqlite: sqlite}
	statements = append(statements, st)
	return st
}

// onPostgres declares a statement that only PostgreSQL has; on SQLite a
// transaction does the same.
func onPostgres(text string) *statement { return sideBySide(text, "") }

// locking declares a SELECT that locks its row. SQLite's transactions are
// serial, so there is nothing to lock.
func locking(text string) *statement { return sideBySide(text+" FOR UPDATE", text) }

// locked has a SELECT lock its rows of a table. See locking.
func (st *statement) locked(table string) *statement {
	st.postgres += " FOR UPDATE OF " + table
	return st
}

func (st *statement) text(d migrations.Dialect) string {
	if d == migrations.Postgres {
		return st.postgres
	}
	return st.sqlite
}

// Columns of the wide tables, in the order of the schema.
var (
	consentColumns = strings.Fields(`application_id id user_id provider provider_id bank_name account_label account_count credentials_id
		cycle custody scopes redirect_uri hosted replaces created_at consented_at expires_at expiry_source
		ended_at ended_reason refused_at revoked_at revoked_by pending lapsing_at lapses_at renewable_until next_stage_at
		accounts refresh_token access_token access_expires_at refreshed_at seq lease_id lease_until
		announced parked_at parked_reason next_check_at`)
	attemptColumns = strings.Fields(`application_id id kind origin consent_id cycle user_id provider provider_id scopes
		redirect_uri hosted return_to caller_state state_hash uri verifier reuse_key created_at expires_at
		status claim_id claimed_until code kept_grant finished_at reason credentials_id result_hash confirm_by`)
	eventColumns = strings.Fields(`application_id consent_id seq id type at cycle stage data`)
)

// insert writes INSERT INTO table (columns) VALUES (:columns).
func insert(table string, columns []string) string {
	return "INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES (:" + strings.Join(columns, ", :") + ")"
}

func columns(list []string) string { return strings.Join(list, ", ") }

// typed writes parameters with their types, for places where PostgreSQL has no
// column to learn a parameter's type from.
func typed(names ...string) string {
	list := make([]string, len(names))
	for i, name := range names {
		list[i] = "CAST(:" + name + " AS " + typeOf(name) + ")"
	}
	return strings.Join(list, ", ")
}

// typeOf returns the PostgreSQL type of a column, which its name tells.
func typeOf(column string) string {
	switch column {
	case "cycle", "tries":
		return "INTEGER"
	case "hosted", "pending":
		return "BOOLEAN"
	case "at", "seq", "claimed_until", "renewable_until", "lease_until", "confirm_by":
		return "BIGINT"
	case "caller_state", "state_hash", "result_hash", "token_hash", "address_hash", "hash", "uri", "verifier", "reuse_key", "code", "kept_grant",
		"refresh_token", "access_token", "state", "secret":
		return "BYTEA"
	}
	if strings.HasSuffix(column, "_at") {
		return "BIGINT"
	}
	if strings.HasSuffix(column, "_cycle") {
		return "INTEGER"
	}
	return "TEXT"
}
