package passkey_test

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

// authenticator is a browser and a security key in one, with one ES256
// credential. What it says can be bent before it is signed.
type authenticator struct {
	testing.TB
	key    *ecdsa.PrivateKey
	id     []byte
	handle []byte

	origin     string
	rpID       string
	flags      byte
	count      uint32
	clientType string         // where it is not the ceremony's own
	client     map[string]any // put over the client data
	sign       func(message []byte) []byte
}

// The flags of authenticator data, WebAuthn 6.1.
const (
	up byte = 1 << 0
	uv byte = 1 << 2
	be byte = 1 << 3
	bs byte = 1 << 4
	at byte = 1 << 6
)

func newAuthenticator(t testing.TB) *authenticator {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	id := make([]byte, 32)
	_, err = rand.Read(id)
	require.NoError(t, err)
	a := &authenticator{TB: t, key: key, id: id, origin: "https://app.example.org", rpID: "example.org", flags: up | uv, count: 1}
	a.sign = func(message []byte) []byte {
		sum := sha256.Sum256(message)
		sig, err := a.key.Sign(rand.Reader, sum[:], crypto.SHA256)
		require.NoError(t, err)
		return sig
	}
	return a
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (a *authenticator) clientData(ceremony string, options []byte) []byte {
	a.Helper()
	var o struct {
		Challenge string `json:"challenge"`
	}
	require.NoError(a, json.Unmarshal(options, &o))
	if a.clientType != "" {
		ceremony = a.clientType
	}
	data := map[string]any{"type": ceremony, "challenge": o.Challenge, "origin": a.origin, "crossOrigin": false}
	maps.Copy(data, a.client)
	out, err := json.Marshal(data)
	require.NoError(a, err)
	return out
}

func (a *authenticator) authData(flags byte) []byte {
	rp := sha256.Sum256([]byte(a.rpID))
	return binary.BigEndian.AppendUint32(append(rp[:], flags), a.count)
}

// cose is the public key in COSE's form, RFC 9053 7.1.1.
func (a *authenticator) cose() []byte {
	a.Helper()
	point, err := a.key.PublicKey.Bytes()
	require.NoError(a, err)
	out, err := webauthncbor.Marshal(map[int]any{1: 2, 3: -7, -1: 1, -2: point[1:33], -3: point[33:]})
	require.NoError(a, err)
	return out
}

// create answers navigator.credentials.create.
func (a *authenticator) create(options []byte) []byte {
	return a.createWith(options, a.cose(), "none", map[string]any{})
}

func (a *authenticator) createWith(options, cose []byte, format string, statement map[string]any) []byte {
	a.Helper()
	var o struct {
		User struct {
			ID string `json:"id"`
		} `json:"user"`
	}
	require.NoError(a, json.Unmarshal(options, &o))
	var err error
	a.handle, err = base64.RawURLEncoding.DecodeString(o.User.ID)
	require.NoError(a, err)

	data := append(a.authData(a.flags|at), make([]byte, 16)...)
	data = binary.BigEndian.AppendUint16(data, uint16(len(a.id)))
	data = append(append(data, a.id...), cose...)
	object, err := webauthncbor.Marshal(map[string]any{"fmt": format, "attStmt": statement, "authData": data})
	require.NoError(a, err)
	return a.answer(map[string]any{
		"clientDataJSON": b64(a.clientData("webauthn.create", options)), "attestationObject": b64(object),
		"transports": []string{"usb", "internal", "carrier-pigeon"},
	})
}

// get answers navigator.credentials.get.
func (a *authenticator) get(options []byte) []byte {
	a.Helper()
	client := a.clientData("webauthn.get", options)
	data := a.authData(a.flags)
	sum := sha256.Sum256(client)
	return a.answer(map[string]any{
		"clientDataJSON": b64(client), "authenticatorData": b64(data),
		"signature": b64(a.sign(append(data, sum[:]...))), "userHandle": b64(a.handle),
	})
}

func (a *authenticator) answer(response map[string]any) []byte {
	a.Helper()
	out, err := json.Marshal(map[string]any{
		"id": b64(a.id), "rawId": b64(a.id), "type": "public-key", "response": response,
		"clientExtensionResults": map[string]any{"credProps": map[string]any{"rk": true}},
	})
	require.NoError(a, err)
	return out
}
