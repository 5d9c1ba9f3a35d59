// Package sandbox is a bank and an aggregator to develop and test against: a
// server that speaks TrueLayer's wire protocol as an unmodified client expects
// it (providers.md 1.2 to 1.11), shows a bank's pages, and has a clock to move
// and faults to switch on.
//
// It owns its own memory (connections, journeys, codes), written through to a
// small SQLite file before anything is answered, so that a restart goes on
// where it was. Tokens and codes are kept as digests, as a real bank would. It
// owns the control calls under /_control/ too; those are never subject to a
// fault.
//
// Where TrueLayer's behaviour is not published, what the sandbox does is a
// choice, said at the place: how a link expires, which code a wrong
// redirect_uri brings, what deleting leaves behind.
//
// It must never be reachable from outside a machine in production, hold real
// data, or know anything of reconsent: the adapter is its only way in.
package sandbox
