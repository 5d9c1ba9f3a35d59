// Package provider is the contract between reconsent and an aggregator or a
// bank API ("provider"): how a person is sent to the bank, how what they bring
// back becomes tokens, and what may go wrong.
//
// A provider is small: AuthURL, ReauthURL, Exchange. Everything else is an
// ability of its own, found by type assertion: Refresher, Inspector,
// AccountLister, Revoker, Extender, InputAsker. An adapter says what it can do
// by what it implements.
//
// The package owns the closed error set (Kind). Every error that leaves an
// adapter is an *Error; what is not one is a fault of the adapter and is read
// as Temporary, because a fault of ours must never end a person's consent.
//
// It must never know what a consent is, import another package of ours, keep
// state, or put a token, a code or a verifier into an error.
package provider
