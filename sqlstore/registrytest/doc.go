// Package registrytest is the contract of consent.Registry in a form that can
// be run. Whoever implements the interface calls Run from a test, once per
// database that it claims to work on.
//
// The suite reads as the interface does: one file per group of intentions, one
// subtest per promise. Every test makes applications of its own, so it runs in
// a database that is shared with others and proves by that alone that nothing
// crosses applications (law 8); methods that look across applications are held
// to what they say of the test's own rows.
//
// It must never reach around the interface into the database, or let a clock
// or chance decide what passes.
package registrytest
