// Package email hands messages to an SMTP server.
//
// It owns connections, TLS, authentication, and the meaning of the server's
// answers: accepted, not now, or never. It must never know what a message is
// about.
package email
