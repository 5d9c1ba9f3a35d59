// Package consentfile reads and writes the files in which consents move
// between systems: CSV with a header line, or JSON Lines.
//
// A reader names every fault by line and field, and goes on with the next row.
// It keeps one row in memory, however long the file.
//
// The package must never touch the registry, a clock or a key, or quote a
// field's content in an error: files hold refresh tokens.
package consentfile
