// Package providertest holds adapters to what package provider promises of
// them: every adapter runs this one suite, against a bank that can be visited.
//
// It owns the contract's tests and nothing of any provider's wire. It must
// never be imported by code that ships, or know which adapter it is holding.
package providertest
