// Package reauthtest is the contract of stepup.Store in a form that can be run,
// as registrytest is that of the registry. Whoever implements the interface
// calls Run from a test, once per database that it claims to work on.
//
// Every test makes applications of its own, so it runs in a database that is
// shared with others and proves by that alone that nothing crosses applications
// (law 8); methods that look across applications are held to what they say of
// the test's own rows.
//
// It must never reach around the interface into the database, or let a clock or
// chance decide what passes.
package reauthtest
