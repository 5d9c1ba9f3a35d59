// Package webhook posts bytes to an application's endpoint: signed by Standard
// Webhooks (github.com/standard-webhooks), to public addresses only.
//
// It owns the signature, time limits, and the meaning of an answer: delivered,
// not now, or never again. Which addresses may be reached is internal/outbound's.
//
// It must never know what it posts, keep anything of an answer's body, call
// without the guard of internal/outbound, or print a secret.
package webhook
