package jose

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/MicahParks/jwkset"
)

// The algorithms of RFC 7518 3.1 and RFC 8037 3.1 that are known here, by what
// they verify with.
var (
	Symmetric  = []string{"HS256", "HS384", "HS512"}
	Asymmetric = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)

// What an RSA key may measure, in bits: less is broken (RFC 7518 3.3), and more
// makes a verifier work for whoever published it.
const (
	minRSA = 2048
	maxRSA = 8192
)

// maxKeys is how many keys a published set may have.
const maxKeys = 100

// published is one key of a set that may verify.
type published struct {
	id        string
	algorithm string // "" where the set does not say
	key       any
}

// parseSet reads a JWK Set (RFC 7517 5). Keys that cannot or may not verify a
// signature are left out, so that one odd key does not take the others along.
func parseSet(raw []byte) ([]published, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(raw, &set); err != nil || set.Keys == nil {
		return nil, errors.New("the answer is no JWK Set") // the cause may quote it
	}
	if len(set.Keys) > maxKeys {
		return nil, errors.New("the JWK Set has too many keys")
	}
	var keys []published
	for _, one := range set.Keys {
		var m jwkset.JWKMarshal
		if json.Unmarshal(one, &m) != nil || !forSignatures(m) {
			continue
		}
		// The key is what was published over https; no certificate says more of it.
		m.X5U, m.X5C, m.X5T, m.X5TS256 = "", nil, "", ""
		jwk, err := jwkset.NewJWKFromMarshal(m, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{SkipAll: true})
		if err != nil {
			continue
		}
		k := published{id: m.KID, algorithm: string(m.ALG), key: jwk.Key()}
		if sound(k.key) && slices.ContainsFunc(Asymmetric, k.fits) {
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// forSignatures leaves out keys for encryption, secrets that everybody can
// read, which is what an oct key in a published set is, and pairs whose private
// half was published: whoever read it can sign.
func forSignatures(m jwkset.JWKMarshal) bool {
	return (m.USE == "" || m.USE == jwkset.UseSig) &&
		(len(m.KEYOPS) == 0 || slices.Contains(m.KEYOPS, jwkset.KeyOpsVerify)) &&
		m.KTY != jwkset.KtyOct && m.K == "" && m.D == ""
}

func (k published) fits(algorithm string) bool {
	return (k.algorithm == "" || k.algorithm == algorithm) && fits(k.key, algorithm)
}

// sound says whether a key of others is one at all.
func sound(key any) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return k.N.BitLen() >= minRSA && k.N.BitLen() <= maxRSA && k.E >= 3 && k.E%2 == 1
	case *ecdsa.PublicKey:
		_, err := k.ECDH() // which finds a point that is not on the curve
		return err == nil
	default:
		return true
	}
}

// fits says whether a key is of the kind that an algorithm verifies with. A
// public key is never a secret, and a secret never a public key.
func fits(key any, algorithm string) bool {
	switch k := key.(type) {
	case []byte:
		return slices.Contains(Symmetric, algorithm) && len(k) > 0
	case *rsa.PublicKey:
		return strings.HasPrefix(algorithm, "RS") || strings.HasPrefix(algorithm, "PS")
	case *ecdsa.PublicKey:
		return curves[algorithm] == k.Params().Name
	case ed25519.PublicKey:
		return algorithm == "EdDSA" && len(k) == ed25519.PublicKeySize
	default:
		return false
	}
}

// curves is which curve an algorithm is pinned to (RFC 7518 3.4).
var curves = map[string]string{"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
