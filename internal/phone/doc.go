// Package phone says which phone numbers are taken: those that can be dialled
// from anywhere as they stand (E.164).
//
// It must never send anything, or import another package of ours.
package phone
