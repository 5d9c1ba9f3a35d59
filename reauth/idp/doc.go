// Package idp sends a user to the application's own OpenID provider to sign in
// again, and judges what comes back (reauth-wire section 5, bullet idp; OpenID
// Connect Core 1.0, RFC 7636, RFC 9207). No prompt=login proves anything, since
// a browser can strip it from the address: only auth_time, in a signed ID token
// for this trip, does.
//
// It owns the code flow: metadata and keys, the address of the sign-in, state,
// nonce and PKCE, the exchange of the code, and the checks of the answer and of
// the ID token. It owns the form of the cookie that binds a trip to a browser.
// A trip is the caller's to keep, sealed, and to use up once.
//
// It must never keep a token, follow a redirect, trust an algorithm that the
// application has not pinned, take a missing claim for a good one, quote a
// code, a token or an answer's body in an error, or decide what a fresh sign-in
// is worth.
package idp
