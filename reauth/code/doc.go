// Package code makes the codes that a person types, and reads what was typed.
// There are two kinds: six digits that were sent by mail or SMS, or that an
// authenticator app shows, and backup codes that were printed or written down
// (reauth-wire 5 and 7).
//
// It owns how a code looks, how it is drawn from a source of randomness, what
// typing may do to it, and the encoding of what its MAC is made of. A code is
// kept only as a fingerprint, in the sense of package seal.
//
// It must never keep a code or a key, compare codes, count tries, read a clock,
// log, or import another package of ours.
package code
