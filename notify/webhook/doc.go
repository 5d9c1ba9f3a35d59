// Package webhook posts bytes to an application's endpoint: signed by Standard
// Webhooks (github.com/standard-webhooks), to public addresses only.
//
// It owns the signature, which addresses may be reached, time limits, and the
// meaning of an answer: delivered, not now, or never again. The address that is
// really dialled is what is looked at, so that neither a redirect nor a second
// DNS answer leads inside; redirects are not followed at all.
//
// It must never know what it posts, keep anything of an answer's body, go
// through a proxy of the environment, or print a secret.
package webhook
