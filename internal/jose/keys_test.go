package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"math/big"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func rsaJWK(k *rsa.PublicKey, more string) string {
	return fmt.Sprintf(`{"kty":"RSA","n":%q,"e":%q,"kid":"r"%s}`, b64(k.N.Bytes()), b64(big.NewInt(int64(k.E)).Bytes()), more)
}

func TestWhichPublishedKeysVerify(t *testing.T) {
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	small := &rsa.PublicKey{N: new(big.Int).Rsh(r.N, 1024), E: r.E}
	huge := &rsa.PublicKey{N: new(big.Int).Lsh(r.N, 8192), E: r.E}
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	point, err := e.PublicKey.Bytes()
	require.NoError(t, err)
	x, y := b64(point[1:33]), b64(point[33:])
	ec := func(crv, x, y, more string) string {
		return fmt.Sprintf(`{"kty":"EC","crv":%q,"x":%q,"y":%q,"kid":"e"%s}`, crv, x, y, more)
	}
	for _, tt := range []struct {
		name, key string
		fits      []string // the algorithms that it verifies
	}{
		{"RSA", rsaJWK(&r.PublicKey, ""), []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}},
		{"RSA for one algorithm", rsaJWK(&r.PublicKey, `,"alg":"PS256","use":"sig","key_ops":["verify"]`), []string{"PS256"}},
		{"RSA, with a certificate nobody looks at", rsaJWK(&r.PublicKey, `,"alg":"RS256","x5c":["bm8="],"x5u":"http://10.0.0.1/"`), []string{"RS256"}},
		{"RSA for a secret's algorithm", rsaJWK(&r.PublicKey, `,"alg":"HS256"`), nil},
		{"RSA for nothing", rsaJWK(&r.PublicKey, `,"alg":"none"`), nil},
		{"RSA for encryption", rsaJWK(&r.PublicKey, `,"use":"enc"`), nil},
		{"RSA, use odd", rsaJWK(&r.PublicKey, `,"use":"SIG"`), nil},
		{"RSA to sign only", rsaJWK(&r.PublicKey, `,"key_ops":["sign"]`), nil},
		{"RSA, its private half published", rsaJWK(&r.PublicKey, `,"d":"AQAB"`), nil},
		{"RSA, too small", rsaJWK(small, ""), nil},
		{"RSA, too large", rsaJWK(huge, ""), nil},
		{"RSA, exponent 1", rsaJWK(&rsa.PublicKey{N: r.N, E: 1}, ""), nil},
		{"EC", ec("P-256", x, y, ""), []string{"ES256"}},
		{"EC for another curve's algorithm", ec("P-256", x, y, `,"alg":"ES384"`), nil},
		{"EC on another curve", ec("P-384", x, y, ""), nil},
		{"EC off the curve", ec("P-256", x, x, ""), nil},
		{"EC at nothing", ec("P-256", "AA", "AA", ""), nil},
		{"Ed25519", edJWK("a", 1), []string{"EdDSA"}},
		{"Ed25519, short", `{"kty":"OKP","crv":"Ed25519","x":"AAAA","kid":"o"}`, nil},
		{"X25519", `{"kty":"OKP","crv":"X25519","x":"` + x + `","kid":"o"}`, nil},
		{"a secret that everybody can read", `{"kty":"oct","k":"` + x + `","kid":"o"}`, nil},
		{"of no kind", `{"kid":"o"}`, nil},
		{"no object", `"key"`, nil},
		{"null", `null`, nil},
		{"of an odd kind", `{"kty":7}`, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			keys, err := parseSet([]byte(jwks(tt.key, edJWK("beside", 9))))
			require.NoError(t, err, "an odd key does not take the others along")
			var fit []string
			for _, alg := range append(append([]string{"none", ""}, Symmetric...), Asymmetric...) {
				for _, k := range keys {
					if k.id != "beside" && k.fits(alg) {
						fit = append(fit, alg)
					}
				}
			}
			assert.Equal(t, tt.fits, fit)
			assert.Len(t, pick(keys, header("beside")), 1)
		})
	}
}

func TestWhichKeyIsMeant(t *testing.T) {
	keys, err := parseSet([]byte(jwks(edJWK("a", 1), edJWK("b", 2), edJWK("b", 3))))
	require.NoError(t, err)
	assert.Equal(t, []any{edKey(1)}, pick(keys, header("a")))
	assert.Equal(t, []any{edKey(2), edKey(3)}, pick(keys, header("b")))
	assert.Empty(t, pick(keys, header("c")))
	assert.Empty(t, pick(keys, header("")), "one of several has to be named")
	assert.Empty(t, pick(keys, Header{Algorithm: "RS256", KeyID: "a"}))
	assert.Equal(t, []any{edKey(1)}, pick(keys[:1], header("")))
}

func TestASecretIsNoPublicKeyAndTheReverse(t *testing.T) {
	for _, alg := range Asymmetric {
		assert.False(t, fits(make([]byte, 64), alg), alg)
	}
	for _, alg := range Symmetric {
		assert.True(t, fits(make([]byte, 64), alg), alg)
		assert.False(t, fits([]byte(nil), alg), alg)
		for _, key := range []crypto.PublicKey{&rsa.PublicKey{}, edKey(1), ed25519.PublicKey(nil), nil, "secret"} {
			assert.False(t, fits(key, alg), "%s with %T", alg, key)
		}
	}
}
