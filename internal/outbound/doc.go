// Package outbound is how this service calls addresses that somebody else
// chose: a webhook's endpoint, an identity provider, the keys that it publishes.
//
// It owns which addresses may be reached, https and public ones, and the client
// that holds to it. The address that is really dialled is what is looked at, so
// that neither a redirect nor a second DNS answer leads inside; redirects are
// not followed at all.
//
// It must never go through a proxy of the environment, which would dial in its
// place, or know what is sent.
package outbound
