package consent

import "time"

// Confirmation is a person's recorded act by which a consent goes on: who, when,
// and the exact words that they were shown.
type Confirmation struct {
	ApplicationID string
	ID            string
	ConsentID     string
	Cycle         int
	ConfirmedAt   time.Time
	ConfirmedBy   string
	Statement     string
}
