package passkey

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
)

// BeginAssertion asks a user, known by the handle, to prove one of the
// credentials. Where verification is required, only those take part of which
// it counts (Credential.UserVerified). The options are what a browser's
// PublicKeyCredential.parseRequestOptionsFromJSON takes; the session stays with
// the caller, and says when it ends itself.
//
// Errors: ErrUnknownCredential where no credential can take part; anything else
// is a mistake in the configuration or in the call.
func (r Relying) BeginAssertion(now time.Time, handle []byte, credentials []Credential, v Verification) (options, state []byte, err error) {
	lib, err := r.library()
	if err != nil {
		return nil, nil, err
	}
	switch {
	case len(handle) != HandleSize:
		return nil, nil, fmt.Errorf("passkey: the user handle has %d bytes, not %d", len(handle), HandleSize)
	case v != Preferred && v != Required:
		return nil, nil, errors.New("passkey: user verification is neither preferred nor required")
	}
	if v == Required {
		credentials = slices.DeleteFunc(slices.Clone(credentials), func(c Credential) bool { return !c.UserVerified })
	}
	if len(credentials) == 0 {
		return nil, nil, ErrUnknownCredential
	}
	request, begun, err := lib.BeginLogin(ownerOf(User{Handle: handle}, credentials),
		webauthn.WithUserVerification(protocol.UserVerificationRequirement(v)))
	if err != nil {
		return nil, nil, fmt.Errorf("passkey: begin assertion: %w", err)
	}
	if options, err = json.Marshal(request.Response); err != nil {
		return nil, nil, fmt.Errorf("passkey: write options: %w", err)
	}
	state, err = session{
		Ceremony: protocol.AssertCeremony, RelyingParty: r.ID, Challenge: begun.Challenge, Handle: handle,
		Allowed: begun.AllowedCredentialIDs, Verification: v, ExpiresAt: now.Add(Window),
	}.marshal()
	return options, state, err
}

// FinishAssertion judges a browser's answer, the JSON form of its
// PublicKeyCredential, by the credentials that the user has now. It returns the
// credential that was proven, with what changed in it, and whether the user was
// verified and that counts. The caller stores the credential only over one
// whose SignCount is still what it was when it was read: of two uses at once
// one is refused.
//
// Errors: ErrMalformed, ErrRefused, ErrCloned and ErrUnknownCredential.
func (r Relying) FinishAssertion(now time.Time, state, answer []byte, credentials []Credential) (used Credential, verified bool, err error) {
	lib, err := r.library()
	if err != nil {
		return Credential{}, false, err
	}
	s, err := r.openSession(state, protocol.AssertCeremony, now)
	if err != nil {
		return Credential{}, false, err
	}
	if len(s.Allowed) == 0 {
		return Credential{}, false, refused("no such ceremony") // the library would take any credential
	}
	if len(answer) > maxAnswer {
		return Credential{}, false, ErrMalformed
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(answer)
	if err != nil {
		return Credential{}, false, ErrMalformed // the cause quotes what was sent
	}
	i := slices.IndexFunc(credentials, func(c Credential) bool { return bytes.Equal(c.ID, parsed.RawID) })
	if i < 0 {
		return Credential{}, false, ErrUnknownCredential
	}
	if err := r.checkClient(parsed.Response.CollectedClientData); err != nil {
		return Credential{}, false, err
	}
	proven, err := lib.ValidateLogin(ownerOf(User{Handle: s.Handle}, credentials), s.data(), parsed)
	if err != nil {
		return Credential{}, false, refused("challenge, relying party, user, presence, verification or signature") // the cause quotes the challenge
	}
	if proven.Authenticator.CloneWarning {
		return Credential{}, false, ErrCloned
	}
	used = credentials[i]
	used.SignCount = proven.Authenticator.SignCount
	used.BackedUp = proven.Flags.BackupState
	// Of this ceremony, and of the registration: the library's own flag is only the latter.
	verified = parsed.Response.AuthenticatorData.Flags.HasUserVerified() && used.UserVerified
	return used, verified, nil
}
