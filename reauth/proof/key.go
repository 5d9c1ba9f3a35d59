package proof

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// The algorithms that a proof may be signed with.
const (
	EdDSA = "EdDSA" // Ed25519 (RFC 8037); the default
	ES256 = "ES256" // for verifiers that know no Ed25519
)

var algorithms = []string{EdDSA, ES256}

// Key is a key that signs proofs. What is secret of it leaves by Marshal only,
// and is never printed.
type Key struct {
	ID        string // kid: its thumbprint (RFC 7638)
	Algorithm string
	CreatedAt time.Time // published from then on
	ActiveAt  time.Time // signs from then on
	// RetiredAt is when it was told to stop signing; zero: it signs until a newer
	// key is active.
	RetiredAt time.Time

	private crypto.Signer
}

// Generate makes a key that is published at once and signs after Lead. "" takes
// EdDSA.
func Generate(algorithm string, now time.Time) (Key, error) {
	var private crypto.Signer
	var err error
	switch algorithm {
	case "", EdDSA:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	case ES256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		return Key{}, fmt.Errorf("proofs are not signed with %.20q", algorithm)
	}
	if err != nil {
		return Key{}, fmt.Errorf("make a key: %w", err)
	}
	k, err := of(private)
	k.CreatedAt, k.ActiveAt = now, now.Add(Lead)
	return k, err
}

// Marshal returns the private key in PKCS #8 form (RFC 5958), to be sealed. The
// times are for the caller to keep beside it.
func (k Key) Marshal() ([]byte, error) { return x509.MarshalPKCS8PrivateKey(k.private) }

// Parse reads what Marshal wrote; ID and Algorithm come from it, the times are
// for the caller to set.
func Parse(pkcs8 []byte) (Key, error) {
	private, err := x509.ParsePKCS8PrivateKey(pkcs8)
	if err != nil {
		return Key{}, errors.New("the key is not in PKCS #8 form") // the cause may quote it
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return Key{}, errors.New("the key does not sign")
	}
	return of(signer)
}

// of reads what a private key says of itself.
func of(private crypto.Signer) (Key, error) {
	jwk, err := publicJWK(private.Public())
	if err != nil {
		return Key{}, err
	}
	return Key{ID: jwk.ID, Algorithm: jwk.Algorithm, private: private}, nil
}

// Public returns what verifies.
func (k Key) Public() PublicKey {
	return PublicKey{ID: k.ID, Algorithm: k.Algorithm, Key: k.private.Public()}
}

// String keeps the private key out of what is printed.
func (k Key) String() string { return "signing key " + k.ID }

// GoString does so for %#v.
func (k Key) GoString() string { return k.String() }

// LogValue does so for slog.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// PublicKey verifies the proofs of a Key.
type PublicKey struct {
	ID        string
	Algorithm string
	Key       crypto.PublicKey // ed25519.PublicKey, or *ecdsa.PublicKey on P-256
}

// jwk is a public key as it is published (RFC 7517 4, RFC 7518 6.2, RFC 8037 2).
// kty, crv, x and y are in the order of the alphabet for the thumbprint.
type jwk struct {
	Curve     string `json:"crv"`
	Kind      string `json:"kty"`
	X         string `json:"x"`
	Y         string `json:"y,omitempty"`
	Use       string `json:"use,omitempty"`
	Algorithm string `json:"alg,omitempty"`
	ID        string `json:"kid,omitempty"`
}

func publicJWK(public crypto.PublicKey) (jwk, error) {
	var j jwk
	var algorithm string
	b64 := base64.RawURLEncoding.EncodeToString
	switch p := public.(type) {
	case ed25519.PublicKey:
		algorithm, j = EdDSA, jwk{Kind: "OKP", Curve: "Ed25519", X: b64(p)}
	case *ecdsa.PublicKey:
		raw, err := p.Bytes() // 4, X, Y (SEC 1)
		if err != nil || p.Curve != elliptic.P256() {
			return jwk{}, errors.New("the key is not on P-256")
		}
		half := len(raw) / 2
		algorithm, j = ES256, jwk{Kind: "EC", Curve: "P-256", X: b64(raw[1 : half+1]), Y: b64(raw[half+1:])}
	default:
		return jwk{}, errors.New("the key is of a kind that no proof is signed with")
	}
	members, err := json.Marshal(j)
	if err != nil {
		return jwk{}, fmt.Errorf("write the key: %w", err)
	}
	sum := sha256.Sum256(members)
	j.Use, j.Algorithm, j.ID = "sig", algorithm, b64(sum[:])
	return j, nil
}
