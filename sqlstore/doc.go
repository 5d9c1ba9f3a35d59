// Package sqlstore implements the registry, and the store of what users have
// proven (reauth_*.go), on PostgreSQL (lib/pq) and on SQLite, through sqlx. Every
// SQL statement of the product stands here.
//
// Statements are written once where the dialects truly agree, and side by side
// where they do not (statements.go); nothing is translated. On PostgreSQL they
// are prepared once and kept: an unprepared statement costs lib/pq twice. On
// SQLite there is one connection, so transactions are serial by themselves.
//
// Rows are locked in one order, attempt before consent, and user, session, code,
// reverification, factor, backup code, token, proof, window of what is proven, so
// that no two transactions can wait for each other.
//
// The package must never read a clock, see a secret in the clear, decide what
// a consent's status is other than by comparing the stored times, or hand a
// driver's error on as one of the registry's answers by its text.
package sqlstore
