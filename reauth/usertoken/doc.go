// Package usertoken verifies the JWT with which an application's user asks
// (reauth-wire 1).
//
// It owns the rules of one application, its keys and algorithms, issuer and
// audience, what is trusted of a token, and what a token is refused for. What is
// not trusted is not in Claims, so that nobody can use it by mistake.
//
// It must never say which application is meant by trying keys, let iat prove
// anything, accept a proof of package proof as a user's token, or put a token
// into an error or a log.
package usertoken
