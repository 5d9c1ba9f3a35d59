package passkeytest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"maps"
	"testing"

	"github.com/go-webauthn/webauthn/protocol/webauthncbor"
	"github.com/stretchr/testify/require"
)

// Authenticator is a browser and a security key in one, with one ES256
// credential. What it says can be bent before it is signed.
type Authenticator struct {
	testing.TB
	Key    *ecdsa.PrivateKey
	ID     []byte
	Handle []byte

	Origin     string
	RPID       string
	Flags      byte
	Count      uint32
	ClientType string         // where it is not the ceremony's own
	Client     map[string]any // put over the client data
	Sign       func(message []byte) []byte
}

// The flags of authenticator data (WebAuthn 6.1).
const (
	UserPresent    byte = 1 << 0
	UserVerified   byte = 1 << 2
	BackupEligible byte = 1 << 3
	BackedUp       byte = 1 << 4
	attested       byte = 1 << 6
)

// New makes one that verifies its person, of the relying party id, with the page
// at origin.
func New(t testing.TB, id, origin string) *Authenticator {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	credential := make([]byte, 32)
	_, err = rand.Read(credential)
	require.NoError(t, err)
	a := &Authenticator{TB: t, Key: key, ID: credential, Origin: origin, RPID: id, Flags: UserPresent | UserVerified, Count: 1}
	a.Sign = func(message []byte) []byte {
		sum := sha256.Sum256(message)
		sig, err := a.Key.Sign(rand.Reader, sum[:], crypto.SHA256)
		require.NoError(t, err)
		return sig
	}
	return a
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (a *Authenticator) clientData(ceremony string, options []byte) []byte {
	a.Helper()
	var o struct {
		Challenge string `json:"challenge"`
	}
	require.NoError(a, json.Unmarshal(options, &o))
	if a.ClientType != "" {
		ceremony = a.ClientType
	}
	data := map[string]any{"type": ceremony, "challenge": o.Challenge, "origin": a.Origin, "crossOrigin": false}
	maps.Copy(data, a.Client)
	out, err := json.Marshal(data)
	require.NoError(a, err)
	return out
}

func (a *Authenticator) authData(flags byte) []byte {
	rp := sha256.Sum256([]byte(a.RPID))
	return binary.BigEndian.AppendUint32(append(rp[:], flags), a.Count)
}

// COSE is the public key in COSE's form, RFC 9053 7.1.1.
func (a *Authenticator) COSE() []byte {
	a.Helper()
	point, err := a.Key.PublicKey.Bytes()
	require.NoError(a, err)
	out, err := webauthncbor.Marshal(map[int]any{1: 2, 3: -7, -1: 1, -2: point[1:33], -3: point[33:]})
	require.NoError(a, err)
	return out
}

// Create answers navigator.credentials.create.
func (a *Authenticator) Create(options []byte) []byte {
	return a.CreateWith(options, a.COSE(), "none", map[string]any{})
}

// CreateWith does so with another public key, or attested otherwise.
func (a *Authenticator) CreateWith(options, cose []byte, format string, statement map[string]any) []byte {
	a.Helper()
	var o struct {
		User struct {
			ID string `json:"id"`
		} `json:"user"`
	}
	require.NoError(a, json.Unmarshal(options, &o))
	var err error
	a.Handle, err = base64.RawURLEncoding.DecodeString(o.User.ID)
	require.NoError(a, err)

	data := append(a.authData(a.Flags|attested), make([]byte, 16)...)
	data = binary.BigEndian.AppendUint16(data, uint16(len(a.ID)))
	data = append(append(data, a.ID...), cose...)
	object, err := webauthncbor.Marshal(map[string]any{"fmt": format, "attStmt": statement, "authData": data})
	require.NoError(a, err)
	return a.answer(map[string]any{
		"clientDataJSON": b64(a.clientData("webauthn.create", options)), "attestationObject": b64(object),
		"transports": []string{"usb", "internal", "carrier-pigeon"},
	})
}

// Get answers navigator.credentials.get.
func (a *Authenticator) Get(options []byte) []byte {
	a.Helper()
	client := a.clientData("webauthn.get", options)
	data := a.authData(a.Flags)
	sum := sha256.Sum256(client)
	return a.answer(map[string]any{
		"clientDataJSON": b64(client), "authenticatorData": b64(data),
		"signature": b64(a.Sign(append(data, sum[:]...))), "userHandle": b64(a.Handle),
	})
}

func (a *Authenticator) answer(response map[string]any) []byte {
	a.Helper()
	out, err := json.Marshal(map[string]any{
		"id": b64(a.ID), "rawId": b64(a.ID), "type": "public-key", "response": response,
		"clientExtensionResults": map[string]any{"credProps": map[string]any{"rk": true}},
	})
	require.NoError(a, err)
	return out
}
