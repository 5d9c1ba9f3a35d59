// Package guard protects routes of a Go backend: a request passes where its user
// has proven who they are, to the level that the route asks for (reauth-wire
// sections 2 and 6).
//
//	mux.Handle("POST /transfer", g.RequireReverification("strict")(transfer))
//
// or, inside a handler:
//
//	if g.NeedsReverification(r, "strict") {
//		g.WriteReverificationRequired(w, "strict")
//		return
//	}
//
// Package ginguard does the same for gin.
//
// A request carries two JWTs: the user's own, in Authorization, and the proof,
// in Reverification-Proof. Both are verified offline, by published keys that are
// kept. What counts once only is then used up at the installation of reconsent:
//
//	user's JWT ─► proof ─► same user and session ─► operation, details ─► level ─► single use ─► pass
//	    401        403              403                    403             403       403, 503
//
// The package must never let a request through that it could not judge, take
// either JWT in place of the other, follow what a request says about how it is to
// be judged, or put a token or the API key into an error or a log.
package guard
