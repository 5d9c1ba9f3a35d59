// Package seal keeps secrets unreadable at rest. It owns the two keys of an
// installation:
//
//   - the sealing keyset (AES-256-GCM through tink), which can be rotated: the
//     newest key seals, every key that is still in the keyset opens;
//   - the fingerprint key (HMAC-SHA-256), by which a secret can be found again
//     without being kept. It is not rotated: every fingerprint in the registry
//     would have to be made anew from secrets that we no longer have.
//
// What is sealed is bound to the row that it belongs to (the associated data),
// so that ciphertext copied into another row does not open.
//
// The package must never write a key anywhere but where it is asked to, log,
// or import another package of ours.
package seal
