package sqlstore

// eraseReauth deletes what a user has proven, could prove it with, and was to be
// used up; only the audit stays, under a pseudonym. In the order in which rows
// are locked everywhere. A window is found by its name: that of an address
// carries a fingerprint only, and goes by itself.
var eraseReauth = []*statement{
	eraseOf("reauth_sessions"), eraseOf("reauth_codes"), eraseOf("reverifications"), eraseOf("factors"), eraseOf("backup_codes"),
	eraseOf("step_tokens"), eraseOf("proofs"),
	eraseNamed("reauth_windows", "bucket", ":windows"),
	eraseNamed("allowances", "name", ":allowances"),
	pseudonymAudit, // after all that somebody may write a line with in this moment
}

func eraseOf(table string) *statement {
	return both(`DELETE FROM ` + table + ` WHERE application_id = :app AND user_id = :user`)
}

func eraseNamed(table, column, names string) *statement {
	begin := `DELETE FROM ` + table + ` WHERE application_id = :app AND ` + column
	return sideBySide(begin+` = ANY(CAST(`+names+` AS TEXT[]))`, begin+` IN (SELECT value FROM json_each(`+names+`))`)
}
