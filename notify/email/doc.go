// Package email hands messages to an SMTP server.
//
// It owns connections, TLS, authentication, and the meaning of the server's
// answers: accepted, not now, never, "you are not let in", or none at all. It must never know what a message is
// about.
package email
