// Package jose opens signed JWTs (RFC 7519) and keeps the public keys that
// others publish (RFC 7517), as RFC 8725 tells to. The cryptography is
// golang-jwt's, the form of a key jwkset's.
//
// It owns what every token of ours and of others is refused for before anybody
// reads a claim: its size and form, an algorithm that was not pinned, a header
// that brings a key along, a signature that does not verify, a JSON key that
// stands twice. It owns which key fits which algorithm, and how long a published
// key set is kept, refreshed and trusted while its publisher does not answer.
//
// It must never choose an algorithm or an address by what a token says, take a
// symmetric key from a published set, or put a token into an error or a log.
package jose
