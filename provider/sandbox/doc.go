// Package sandbox is a bank and an aggregator to develop and test against: a
// server that speaks TrueLayer's wire protocol as an unmodified client expects
// it (providers.md 1.2 to 1.11), shows a bank's pages, and has a clock to move
// and faults to switch on.
//
// It owns its own memory (connections, journeys, codes), kept in a small SQLite
// file so that a restart goes on where it was, and the control calls under
// /_control/.
//
// It must never be reachable from outside a machine in production, hold real
// data, or know anything of reconsent: the adapter is its only way in.
package sandbox
