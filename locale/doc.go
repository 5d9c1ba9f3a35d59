// Package locale says things in the languages that people read: sentences with
// their plurals, dates and times of day with the zone's name.
//
// It owns which languages there are, the message files (one for each area and
// language, messages/mail.de.toml), how a wish for a language finds one of
// them, and that a name inside a sentence cannot reorder it. An id is the
// area's name and the key in its files: "mail.greeting". A new area is a set of
// files; a new language is a set of files and a row in languages.go, for its
// dates.
//
// It must never know what a message is about, fail where a language or a zone
// is unknown, or import anything of ours.
package locale
