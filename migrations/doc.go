// Package migrations holds the schema, once per SQL dialect, side by side, and
// applies it through goose.
//
// It must never read or change a row of what it makes, and a migration that
// has been released is never edited: the next one follows it.
package migrations
