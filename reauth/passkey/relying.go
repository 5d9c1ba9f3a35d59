package passkey

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/go-webauthn/webauthn/webauthn"
	"golang.org/x/net/publicsuffix"
)

// Relying is the relying party: an application, by its configuration.
type Relying struct {
	ID      string   // the RP ID: a domain, in small letters, without scheme or port
	Name    string   // what the person is shown
	Origins []string // where the application's pages are: https://host or https://host:port
}

// Validate says all that is wrong with the configuration. The RP ID is each
// origin's host or a domain above it that somebody can register, as a browser
// demands (WebAuthn 5.1.3, HTML 7.1.2); an origin is https, or http on
// localhost, and is written as a browser writes it.
func (r Relying) Validate() error {
	var all []error
	add := func(format string, args ...any) { all = append(all, fmt.Errorf(format, args...)) }
	switch suffix, _ := publicsuffix.PublicSuffix(r.ID); {
	case !isDomain(r.ID):
		add("rp_id %q is no domain in small letters, like example.org", r.ID)
	case suffix == r.ID && r.ID != "localhost":
		add("rp_id %q is a domain that anybody can register below", r.ID)
	}
	if r.Name == "" || len(r.Name) > maxName {
		add("the relying party's name is empty or longer than %d bytes", maxName)
	}
	if len(r.Origins) == 0 || len(r.Origins) > maxOrigins {
		add("there must be between 1 and %d origins", maxOrigins)
	}
	for _, o := range r.Origins {
		if err := r.checkOrigin(o); err != nil {
			add("origin %q %w", o, err)
		}
	}
	return errors.Join(all...)
}

func (r Relying) checkOrigin(origin string) error {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme+"://"+u.Host != origin || u.Hostname() == "" || origin != strings.ToLower(origin) {
		return errors.New("is not of the form https://host or https://host:port, in small letters")
	}
	host := u.Hostname()
	switch {
	case u.Scheme != "https" && (u.Scheme != "http" || host != "localhost"):
		return errors.New("is neither https nor http://localhost")
	case strings.HasSuffix(u.Host, ":") || u.Scheme == "https" && u.Port() == "443" || u.Scheme == "http" && u.Port() == "80":
		return errors.New("must not name the port that its scheme has anyway")
	case !isDomain(host):
		return errors.New("has a host that is no domain")
	case host != r.ID && (r.ID == "localhost" || !strings.HasSuffix(host, "."+r.ID)):
		return fmt.Errorf("does not lie in rp_id %q", r.ID)
	}
	return nil
}

// isDomain is narrower than the library: no star, which would be read as one
// that stands for others, and no capitals.
func isDomain(s string) bool {
	return protocol.ValidateRPID(s) == nil && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-.") == ""
}

// algorithms are those that WebAuthn 5.4 recommends: there is no authenticator
// that has none of them.
var algorithms = []protocol.CredentialParameter{
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgEdDSA},
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgES256},
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgRS256},
}

// library is the protocol's side of the relying party.
func (r Relying) library() (*webauthn.WebAuthn, error) {
	if err := r.Validate(); err != nil {
		return nil, fmt.Errorf("passkey: %w", err)
	}
	// Enforce stays off: the library would end a ceremony by the wall clock.
	timeout := webauthn.TimeoutConfig{Timeout: Window, TimeoutUVD: Window}
	w, err := webauthn.New(&webauthn.Config{
		RPID: r.ID, RPDisplayName: r.Name, RPOrigins: slices.Clone(r.Origins),
		AttestationPreference: protocol.PreferNoAttestation,
		Timeouts:              webauthn.TimeoutsConfig{Login: timeout, Registration: timeout},
		// Password managers answer extensions that nobody asked for. None is read.
		ExtensionsUnsolicitedOutputPolicy: protocol.UnsolicitedOutputPolicyIgnore,
	})
	if err != nil {
		return nil, fmt.Errorf("passkey: %w", err)
	}
	return w, nil
}

// owner is a user as the library wants to see one.
type owner struct {
	User
	credentials []webauthn.Credential
}

// WebAuthnID implements webauthn.User, as do the next three.
func (o owner) WebAuthnID() []byte { return o.Handle }

// WebAuthnName is what the authenticator lists.
func (o owner) WebAuthnName() string { return o.Name }

// WebAuthnDisplayName is what the person is called.
func (o owner) WebAuthnDisplayName() string { return o.Display }

// WebAuthnCredentials is what the user has, or has of what may take part.
func (o owner) WebAuthnCredentials() []webauthn.Credential { return o.credentials }

func ownerOf(u User, list []Credential) owner {
	o := owner{User: u}
	for _, c := range list {
		k := webauthn.Credential{
			ID: c.ID, PublicKey: c.PublicKey,
			Flags:         webauthn.CredentialFlags{BackupEligible: c.BackupEligible, BackupState: c.BackedUp, UserVerified: c.UserVerified},
			Authenticator: webauthn.Authenticator{SignCount: c.SignCount},
		}
		for _, t := range c.Transports {
			k.Transport = append(k.Transport, protocol.AuthenticatorTransport(t))
		}
		o.credentials = append(o.credentials, k)
	}
	return o
}

func (o owner) descriptors() []protocol.CredentialDescriptor {
	return webauthn.Credentials(o.credentials).CredentialDescriptors()
}
