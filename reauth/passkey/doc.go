// Package passkey is the passkey as a factor (WebAuthn Level 3): registering
// one, and proving that it is there. The protocol is
// github.com/go-webauthn/webauthn's; the types, the strictness and the time are
// ours.
//
// It owns the options that a browser is given, the judging of what it answers,
// and the two documents that the caller keeps: a ceremony that is under way
// (the session), and a credential. Beyond what the library holds it holds: an
// origin to the letter, an end of each ceremony by the clock that is handed in,
// a counter that never goes back, and user verification only of credentials
// whose owner was verified when they were registered.
//
// No attestation is asked for. A statement that comes all the same is neither
// read nor believed, so that no authenticator is refused for its maker and no
// certificate is held against the wall clock.
//
// It must never keep state, read a clock, hand out a user's own id (the user
// handle is 32 bytes without meaning), quote what a browser sent in an error,
// log, or import another package of ours.
//
// That a ceremony is finished once is the caller's: it takes the session out of
// its store, in one statement, before it finishes it. So is that a credential's
// id is registered to one user only.
package passkey
