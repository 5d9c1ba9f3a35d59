// Package proof is the signed statement that a user proved factors again: a JWT
// of type reverification+jwt that any backend verifies offline (reauth-wire 6).
//
// It owns the claims, the keys that sign, when each of them signs and is
// published, and what a proof is refused for. All of it is a function of its
// arguments: what time it is comes in.
//
//	created          active                     successor active
//	   │ published, ... │ signs, published ......... │ published ............. │ gone
//	   └── Lead ────────┘                            └── MaxLife + CacheTime ──┘
//
// A verifier may use a copy of the published keys that is CacheTime old. So a
// key is published for longer than that before it signs, and until the last
// proof that it signed has expired, and CacheTime more.
//
// It must never take a user's token for a proof, keep a key, write a private key
// anywhere but where it is asked to, or say whether a proof was used already.
package proof
