package stepup_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"testing"

	"github.com/go-webauthn/webauthn/protocol/webauthncbor"
	"github.com/stretchr/testify/require"
)

// authenticator is a browser and a security key in one, with one ES256
// credential. Package passkey's tests bend one much further.
type authenticator struct {
	testing.TB
	key    *ecdsa.PrivateKey
	id     []byte
	handle []byte
	origin string
	flags  byte
	count  uint32
}

// The flags of authenticator data (WebAuthn 6.1).
const (
	present  byte = 1 << 0
	verified byte = 1 << 2
	attested byte = 1 << 6
)

func newAuthenticator(t testing.TB) *authenticator {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	id := make([]byte, 32)
	_, err = rand.Read(id)
	require.NoError(t, err)
	return &authenticator{TB: t, key: key, id: id, origin: "https://app.example", flags: present | verified, count: 1}
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (a *authenticator) clientData(ceremony string, options []byte) []byte {
	a.Helper()
	var o struct {
		Challenge string `json:"challenge"`
	}
	require.NoError(a, json.Unmarshal(options, &o))
	return a.json(map[string]any{"type": ceremony, "challenge": o.Challenge, "origin": a.origin, "crossOrigin": false})
}

func (a *authenticator) authData(flags byte) []byte {
	rp := sha256.Sum256([]byte("app.example"))
	return binary.BigEndian.AppendUint32(append(rp[:], flags), a.count)
}

// create answers navigator.credentials.create.
func (a *authenticator) create(options []byte) []byte {
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
	point, err := a.key.PublicKey.Bytes()
	require.NoError(a, err)
	cose, err := webauthncbor.Marshal(map[int]any{1: 2, 3: -7, -1: 1, -2: point[1:33], -3: point[33:]}) // RFC 9053 7.1.1
	require.NoError(a, err)
	data := append(a.authData(a.flags|attested), make([]byte, 16)...)
	data = binary.BigEndian.AppendUint16(data, uint16(len(a.id)))
	data = append(append(data, a.id...), cose...)
	object, err := webauthncbor.Marshal(map[string]any{"fmt": "none", "attStmt": map[string]any{}, "authData": data})
	require.NoError(a, err)
	return a.answer(map[string]any{"clientDataJSON": b64(a.clientData("webauthn.create", options)), "attestationObject": b64(object)})
}

// get answers navigator.credentials.get.
func (a *authenticator) get(options []byte) []byte {
	a.Helper()
	client, data := a.clientData("webauthn.get", options), a.authData(a.flags)
	sum := sha256.Sum256(client)
	digest := sha256.Sum256(append(data, sum[:]...))
	signature, err := a.key.Sign(rand.Reader, digest[:], crypto.SHA256)
	require.NoError(a, err)
	return a.answer(map[string]any{
		"clientDataJSON": b64(client), "authenticatorData": b64(a.authData(a.flags)), "signature": b64(signature), "userHandle": b64(a.handle),
	})
}

func (a *authenticator) answer(response map[string]any) []byte {
	return a.json(map[string]any{
		"id": b64(a.id), "rawId": b64(a.id), "type": "public-key", "response": response, "clientExtensionResults": map[string]any{},
	})
}

func (a *authenticator) json(v any) []byte {
	a.Helper()
	out, err := json.Marshal(v)
	require.NoError(a, err)
	return out
}
