package code

import "encoding/binary"

// Sent says what a code that was sent is good for. Together with the code it
// is what the code's MAC covers (reauth-wire 7), so that a code of one
// application, user, purpose or message is worth nothing to another.
type Sent struct {
	Application string
	User        string
	Purpose     string
	ID          string // of the message, or of what the code is to confirm
}

// MACInput is what seal.Keys.Fingerprint is to be asked for, so that the code
// can be compared but not read. The fields are written with their lengths
// before them: what ends one field cannot begin the next.
func (s Sent) MACInput(code string) []byte {
	fields := [...]string{s.Application, s.User, s.Purpose, s.ID, code}
	var size int
	for _, f := range fields {
		size += 4 + len(f)
	}
	out := make([]byte, 0, size)
	for _, f := range fields {
		out = binary.BigEndian.AppendUint32(out, uint32(len(f)))
		out = append(out, f...)
	}
	return out
}
