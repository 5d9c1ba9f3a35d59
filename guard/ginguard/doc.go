// Package ginguard is package guard for gin:
//
//	r.POST("/transfer", ginguard.RequireReverification(g, "strict"), transfer)
//
// It must never judge anything itself: what a request needs is package guard's
// to say.
package ginguard
