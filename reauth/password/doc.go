// Package password verifies a password against a hash that an application
// imported: argon2id in its PHC string form (RFC 9106), or bcrypt
// (reauth-wire 7). The arithmetic is golang.org/x/crypto's.
//
// It owns which hashes are taken, what one verification may cost, and how many
// run at a time. A password is compared byte for byte as it was sent: no
// trimming, no case folding, no Unicode normal form. What the application
// hashed is what its user must type, and only the application knows whether it
// prepared the string before (RFC 8265).
//
// It must never make a hash for a user, keep a password or a hash, quote one in
// an error, count tries, log, or import another package of ours.
package password
