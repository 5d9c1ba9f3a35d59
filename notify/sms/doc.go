// Package sms sends SMS: by Twilio's REST API, or by any gateway that takes one
// HTTP request a message, whose body and headers are templates.
//
// It owns the transport: numbers in E.164, time limits, and the translation of
// answers into "accepted", "never" (notify.ErrRefused), "we are not let in"
// (notify.ErrMisconfigured) and "not now". Of Twilio only what is plainly about
// the number is "never". A gateway's 400 may also be a mistake in our template:
// package notify believes it only while the gateway takes others.
//
// It must never decide whether or when something is sent, or know of consents.
// Neither numbers nor secrets stand in its errors.
//
// Twilio's Messages API takes no idempotency key: a crash between its 201 and
// our commit sends a message again. A gateway gets the message's id, {{.ID}},
// which stays the same however often it is tried.
package sms
