// Package scheduler wakes work up. What is due is decided by rows in the
// database, never by a timer: a tick that is missed costs nothing but time.
//
// It must never know a word of the domain, or import another package of ours.
package scheduler
