package passkey

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
)

// session is a ceremony that is under way, as the caller keeps it.
type session struct {
	Ceremony     protocol.CeremonyType `json:"ceremony"`
	RelyingParty string                `json:"rp_id"`
	Challenge    string                `json:"challenge"` // base64url
	Handle       []byte                `json:"handle"`
	Allowed      [][]byte              `json:"allowed,omitempty"` // credential ids
	Verification Verification          `json:"verification"`
	ExpiresAt    time.Time             `json:"expires_at"`
}

func (s session) marshal() ([]byte, error) {
	data, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("passkey: write session: %w", err)
	}
	return data, nil
}

// openSession reads a ceremony that can still be finished. One that cannot be
// read is one that there never was.
func (r Relying) openSession(data []byte, ceremony protocol.CeremonyType, now time.Time) (session, error) {
	var s session
	switch err := json.Unmarshal(data, &s); {
	case err != nil || len(s.Handle) != HandleSize || s.Challenge == "":
		return s, refused("no such ceremony")
	case s.Ceremony != ceremony:
		return s, refused("another ceremony")
	case s.RelyingParty != r.ID:
		return s, refused("begun for another relying party")
	case s.Verification != Preferred && s.Verification != Required:
		return s, refused("no such ceremony")
	case !now.Before(s.ExpiresAt):
		return s, refused("expired")
	}
	return s, nil
}

// data is the library's form. Its own expiry is left out: it is held against
// the wall clock, and ours was looked at.
func (s session) data() webauthn.SessionData {
	return webauthn.SessionData{
		Challenge: s.Challenge, RelyingPartyID: s.RelyingParty, UserID: s.Handle, AllowedCredentialIDs: s.Allowed,
		UserVerification: protocol.UserVerificationRequirement(s.Verification), CredParams: algorithms,
	}
}

// checkClient is what the library leaves to us of the client's data: an origin
// is one of ours to the letter. The library's comparison passes over a path, a
// user name and the case of letters.
func (r Relying) checkClient(c protocol.CollectedClientData) error {
	if !slices.Contains(r.Origins, c.Origin) {
		return refused("another origin")
	}
	return nil
}

func refused(reason string) error { return fmt.Errorf("%w: %s", ErrRefused, reason) }
