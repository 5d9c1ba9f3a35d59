package passkey

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/go-webauthn/webauthn/webauthn"
)

// BeginRegistration starts the registration of a passkey beside those that the
// user has. The options are what a browser's
// PublicKeyCredential.parseCreationOptionsFromJSON takes; the session stays with
// the caller, and says when it ends itself.
//
// Errors: ErrRefused where the user has as many as anybody can have; anything
// else is a mistake in the configuration or in the call.
func (r Relying) BeginRegistration(now time.Time, user User, existing []Credential, v Verification) (options, state []byte, err error) {
	lib, err := r.library()
	if err != nil {
		return nil, nil, err
	}
	if user.Display == "" {
		user.Display = user.Name
	}
	switch {
	case len(user.Handle) != HandleSize:
		return nil, nil, fmt.Errorf("passkey: the user handle has %d bytes, not %d", len(user.Handle), HandleSize)
	case user.Name == "" || len(user.Name) > maxName || len(user.Display) > maxName:
		return nil, nil, fmt.Errorf("passkey: the user's name is empty, or a name is longer than %d bytes", maxName)
	case v != Preferred && v != Required:
		return nil, nil, errors.New("passkey: user verification is neither preferred nor required")
	case len(existing) >= MaxCredentials:
		return nil, nil, refused("no room for another passkey")
	}
	o := ownerOf(user, existing)
	creation, begun, err := lib.BeginRegistration(o,
		webauthn.WithExclusions(o.descriptors()),
		webauthn.WithCredentialParameters(algorithms),
		webauthn.WithAuthenticatorSelection(protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementPreferred, UserVerification: protocol.UserVerificationRequirement(v),
		}))
	if err != nil {
		return nil, nil, fmt.Errorf("passkey: begin registration: %w", err)
	}
	if options, err = json.Marshal(creation.Response); err != nil {
		return nil, nil, fmt.Errorf("passkey: write options: %w", err)
	}
	state, err = session{
		Ceremony: protocol.CreateCeremony, RelyingParty: r.ID, Challenge: begun.Challenge, Handle: user.Handle,
		Verification: v, ExpiresAt: now.Add(Window),
	}.marshal()
	return options, state, err
}

// FinishRegistration judges a browser's answer, the JSON form of its
// PublicKeyCredential. The credential that it returns is new to the caller's
// store, or the caller refuses it: its id may be registered to nobody yet.
//
// Errors: ErrMalformed and ErrRefused.
func (r Relying) FinishRegistration(now time.Time, state, answer []byte) (Credential, error) {
	lib, err := r.library()
	if err != nil {
		return Credential{}, err
	}
	s, err := r.openSession(state, protocol.CreateCeremony, now)
	if err != nil {
		return Credential{}, err
	}
	if len(answer) > maxAnswer {
		return Credential{}, ErrMalformed
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(answer)
	if err != nil {
		return Credential{}, ErrMalformed // the cause quotes what was sent
	}
	if err := r.checkClient(parsed.Response.CollectedClientData); err != nil {
		return Credential{}, err
	}
	// We asked for no statement about the authenticator, and read none.
	att := &parsed.Response.AttestationObject
	att.Format, att.AttStatement, att.SubStatements = string(protocol.AttestationFormatNone), nil, nil

	made, err := lib.CreateCredential(ownerOf(User{Handle: s.Handle}, nil), s.data(), parsed)
	if err != nil {
		return Credential{}, refused("challenge, relying party, presence, verification or algorithm") // the cause quotes the challenge
	}
	if len(made.PublicKey) > maxPublicKey {
		return Credential{}, refused("the public key is too large")
	}
	// Without a statement nothing was verified with the key yet.
	if _, err := webauthncose.ParsePublicKey(made.PublicKey); err != nil {
		return Credential{}, refused("the public key is none")
	}
	return Credential{
		ID: made.ID, PublicKey: made.PublicKey, SignCount: made.Authenticator.SignCount, Transports: transports(made.Transport),
		BackupEligible: made.Flags.BackupEligible, BackedUp: made.Flags.BackupState, UserVerified: made.Flags.UserVerified,
	}, nil
}

// transports keeps those that WebAuthn 5.8.4 knows; a browser may name others,
// of any length.
func transports(named []protocol.AuthenticatorTransport) []string {
	var list []string
	for _, t := range []protocol.AuthenticatorTransport{protocol.USB, protocol.NFC, protocol.BLE, protocol.SmartCard, protocol.Hybrid, protocol.Internal} {
		if slices.Contains(named, t) {
			list = append(list, string(t))
		}
	}
	return list
}
