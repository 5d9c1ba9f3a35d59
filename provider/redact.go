package provider

import (
	"encoding/json"
	"log/slog"
)

// What carries a token, a code, a verifier or what a bank asked of a person
// prints as a placeholder: to fmt by String and GoString, to slog and to
// whatever else encodes it by MarshalJSON. Nobody needs these types as JSON; an
// adapter has the bodies of its own wire.

const (
	noGrant    = "grant [redacted]"
	noLink     = "link request [redacted]"
	noReauth   = "reauth request [redacted]"
	noExchange = "exchange request [redacted]"
	noExtend   = "extend request [redacted]"
)

// String implements fmt.Stringer.
func (Grant) String() string { return noGrant }

// GoString implements fmt.GoStringer, for %#v.
func (Grant) GoString() string { return noGrant }

// LogValue implements slog.LogValuer.
func (Grant) LogValue() slog.Value { return slog.StringValue(noGrant) }

// MarshalJSON implements json.Marshaler, for slog's JSON and all it nests in.
func (Grant) MarshalJSON() ([]byte, error) { return json.Marshal(noGrant) }

// String implements fmt.Stringer.
func (LinkRequest) String() string { return noLink }

// GoString implements fmt.GoStringer.
func (LinkRequest) GoString() string { return noLink }

// MarshalJSON implements json.Marshaler.
func (LinkRequest) MarshalJSON() ([]byte, error) { return json.Marshal(noLink) }

// String implements fmt.Stringer.
func (ReauthRequest) String() string { return noReauth }

// GoString implements fmt.GoStringer.
func (ReauthRequest) GoString() string { return noReauth }

// MarshalJSON implements json.Marshaler.
func (ReauthRequest) MarshalJSON() ([]byte, error) { return json.Marshal(noReauth) }

// String implements fmt.Stringer.
func (ExchangeRequest) String() string { return noExchange }

// GoString implements fmt.GoStringer.
func (ExchangeRequest) GoString() string { return noExchange }

// MarshalJSON implements json.Marshaler.
func (ExchangeRequest) MarshalJSON() ([]byte, error) { return json.Marshal(noExchange) }

// String implements fmt.Stringer.
func (ExtendRequest) String() string { return noExtend }

// GoString implements fmt.GoStringer.
func (ExtendRequest) GoString() string { return noExtend }

// MarshalJSON implements json.Marshaler.
func (ExtendRequest) MarshalJSON() ([]byte, error) { return json.Marshal(noExtend) }
