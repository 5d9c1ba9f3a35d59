// Package notify tells users what a sweep announced: it takes a digest that is
// due, looks again whether each of its notices still holds, renders what is
// left, has it sent, and records what became of it. Backends it tells by webhook,
// per endpoint (Webhooks): an event's delivery is a row that was written with
// the event, so that nothing is lost, and its webhook-id the event's.
//
// It owns the decision whether a notice is still to be sent, the words, and
// when a message is tried again. A digest is frozen before it is sent, and its
// Message-ID comes from its id: however often it is tried, it is one message.
//
// It must never decide that a stage is due, change a consent, or talk to a
// provider. Channels (notify/email) know nothing of consents.
package notify
