// Package truelayer is the adapter to TrueLayer's Data API v1. Facts and their
// sources are in the project's provider notes, section 1 (providers.md 1.2 to
// 1.12); what those mark as unverified is read loosely here.
//
// It owns TrueLayer's addresses, bodies and error codes. In development the
// provider "sandbox" is this adapter, pointed at package sandbox.
//
// It must never follow a redirect (requests carry secrets), quote an answer's
// body in an error, decide what an error means for a consent, or import
// another adapter.
package truelayer
