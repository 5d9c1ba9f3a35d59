// Command reconsent keeps bank connections alive: a registry of consents, the
// jobs that flag those which lapse, the links by which people renew them, and
// the API over all of it. "reconsent help" lists its commands; the README tells
// where to begin.
//
// It owns the settings, the exit codes and what a person reads in a terminal,
// and wires the packages to one another. It must never decide anything about a
// consent: that is the connector's.
package main
