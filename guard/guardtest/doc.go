// Package guardtest stands in for an installation of reconsent, and for an
// identity provider, in the tests of a backend that uses package guard. The
// tokens that it makes are real ones, signed by keys that it publishes.
//
// It is for tests only, and must never be linked into what ships.
package guardtest
