// Package totp is the authenticator app as a factor: time-based one-time
// passwords (RFC 6238) of six digits, SHA-1 and 30 seconds, which are what
// every app takes.
//
// It owns a secret's making, the otpauth address and the QR code that carry it
// into an app, and the judging of a code. The arithmetic is
// github.com/pquerna/otp's, the QR code github.com/boombuler/barcode's.
//
// It must never keep a secret or the last step used (the caller seals the one
// and stores the other), count tries, read a clock, or log.
package totp
