// Package notify tells users what a sweep announced: it takes a digest that is
// due, looks again whether each of its notices still holds, renders what is
// left, has it sent, and records what became of it. Backends it tells by webhook,
// per endpoint (Webhooks): an event's delivery is a row that was written with
// the event, so that nothing is lost, and its webhook-id the event's.
//
// It carries one-time codes and security notices too (Security): at once, in the
// background, from memory, and within the time that they are good for. They are
// no reminders, and nothing that holds reminders back holds them. What a code
// is, and whether one may be sent, is decided elsewhere.
//
// It owns the decision whether a notice is still to be sent, the words, and
// when a message is tried again. A digest is frozen before it is sent, and its
// Message-ID comes from its id: however often it is tried, it is one message.
//
// It must never decide that a stage is due, change a consent, or talk to a
// provider. No code stands in a log, an error or a subject, and no link in what
// carries one. Channels (notify/email) know nothing of consents.
package notify
