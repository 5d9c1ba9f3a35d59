package idp

import (
	"encoding/json"
	"log/slog"
	"time"
)

// Trip is one visit to the provider. State, Nonce and Verifier are secrets of
// 256 bits, base64url: they are kept, sealed, until the browser is back, and
// used once. A trip prints as a placeholder, as JSON too.
type Trip struct {
	URL      string // where the browser is sent
	State    string
	Nonce    string
	Verifier string // PKCE's (RFC 7636)
}

// Want is what the sign-in has to show.
type Want struct {
	Subject   string    // the user, as the provider's sub
	NotBefore time.Time // when the trip was started
}

// Result is a sign-in that was judged good.
type Result struct {
	Subject  string
	AuthTime time.Time // when the user signed in, in seconds, UTC
	AMR      []string  // how, by the provider's word (RFC 8176); nil where it does not say
	ACR      string    // likewise; "" where it does not say
}

const noTrip = "trip [redacted]"

// String implements fmt.Stringer.
func (Trip) String() string { return noTrip }

// GoString implements fmt.GoStringer, for %#v.
func (Trip) GoString() string { return noTrip }

// LogValue implements slog.LogValuer.
func (Trip) LogValue() slog.Value { return slog.StringValue(noTrip) }

// MarshalJSON implements json.Marshaler, for slog's JSON and all it nests in.
func (Trip) MarshalJSON() ([]byte, error) { return json.Marshal(noTrip) }
