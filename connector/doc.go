// Package connector holds the use cases for bank consents: link, reauthorize,
// complete, confirm, token, register, revoke, reconnect, upkeep. It is the one
// place where a bank's answer becomes a consent's new expiry.
//
// A trip to the bank:
//
//	StartLink / Reauthorize     attempt stored, the bank's link returned
//	          │  the person at the bank
//	Complete  ├─ claim          one of all replicas goes on, the rest wait for its outcome
//	          ├─ exchange       the code becomes a grant
//	          ├─ keep           the grant is stored, sealed, with the attempt: a crash loses nothing
//	          ├─ identify       whose grant is it? the provider's own word, never the browser's
//	          └─ commit         renew, link, hold for confirmation, or refuse and give it back
//
// Until the commit the consent is exactly as it was (laws 1, 4, 5). Upkeep
// takes up what a crash left between two of these steps.
//
// The package must never put a token, a code or a verifier into an error or a
// log line, write a query, speak HTTP to a browser, or know a provider by name.
package connector
