// Package passkeytest is a browser and a security key for tests of passkeys, down
// to the bytes that they send.
//
// It is for tests only: it must never be linked into what ships, or judge what
// it made.
package passkeytest
