// Package arch holds the house in order: its tests say which package may import
// which, where the wall clock may be read, that every package says what it is,
// and that no test skips itself.
//
// The linter draws the same arrows (.golangci.yaml); these tests hold them
// where no linter is at hand, and name the reason.
//
// The package holds tests only. It must never be imported.
package arch
