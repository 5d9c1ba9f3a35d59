package sqlstore

// eraseReauth deletes what a user has proven, could prove it with, and was to be
// used up; only the audit stays, under a pseudonym. In the order in which rows
// are locked everywhere. A window is found by its name: that of an address
// carries a fingerprint only, and goes by itself.
var eraseReauth = []*statement{
	eraseOf("reauth_sessions"), eraseOf("reauth_codes"), eraseOf("reverifications"), eraseOf("factors"), eraseOf("backup_codes"),
	eraseOf("step_tokens"), eraseOf("proofs"),
	both(`DELETE FROM reauth_windows WHERE application_id = :app AND bucket IN (:calls, :failures, :sends)`),
	both(`DELETE FROM allowances WHERE application_id = :app AND name IN (:locked, :limited)`),
	pseudonymAudit, // after all that somebody may write a line with in this moment
}

func eraseOf(table string) *statement {
	return both(`DELETE FROM ` + table + ` WHERE application_id = :app AND user_id = :user`)
}
