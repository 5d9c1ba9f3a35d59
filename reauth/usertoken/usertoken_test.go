package usertoken

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/reconsent/reconsent/internal/outbound"
	"github.com/reconsent/reconsent/reauth/proof"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var now = time.Date(2027, 3, 28, 1, 30, 0, 0, time.UTC)

const (
	issuer   = "https://idp.example/"
	audience = "shop"
	kid      = "key-1"
)

var secret = []byte("a secret that is long enough, and shared by two")

// idp is an identity provider with a key of each kind, and another one's.
type idp struct {
	*httptest.Server
	rsa   *rsa.PrivateKey
	ec    *ecdsa.PrivateKey
	ed    ed25519.PrivateKey
	asked atomic.Int32
	body  []byte
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func newIDP(t testing.TB) *idp {
	t.Helper()
	p := &idp{}
	var err error
	p.rsa, err = rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	p.ec, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	_, p.ed, err = ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	point, err := p.ec.PublicKey.Bytes()
	require.NoError(t, err)
	p.body, err = json.Marshal(map[string]any{"keys": []map[string]any{
		{"kty": "RSA", "kid": kid, "n": b64(p.rsa.N.Bytes()), "e": b64(big.NewInt(int64(p.rsa.E)).Bytes())},
		{"kty": "EC", "crv": "P-256", "kid": kid, "x": b64(point[1:33]), "y": b64(point[33:])},
		{"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": b64(p.ed.Public().(ed25519.PublicKey))},
		{"kty": "oct", "kid": "oct", "k": b64(secret)},
		{"kty": "RSA", "kid": "enc", "use": "enc", "n": b64(p.rsa.N.Bytes()), "e": "AQAB"},
	}})
	require.NoError(t, err)
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.asked.Add(1)
		if r.URL.Path != "/keys" {
			http.Redirect(w, r, "/keys", http.StatusFound)
			return
		}
		_, _ = w.Write(p.body)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *idp) rules() *Rules {
	return &Rules{Issuer: issuer, Audience: audience, NamesRequired: true, Algorithms: []string{"RS256", "ES256", "EdDSA"}, JWKSURL: p.URL + "/keys"}
}

func (p *idp) sign(t testing.TB, alg string, header, claims map[string]any) string {
	t.Helper()
	key := map[string]any{"RS256": p.rsa, "PS256": p.rsa, "ES256": p.ec, "EdDSA": p.ed}[alg]
	return sign(t, alg, key, header, claims)
}

// sign signs whatever it is given, with a header that says so.
func sign(t testing.TB, alg string, key any, header, claims map[string]any) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.GetSigningMethod(alg), jwt.MapClaims(claims))
	token.Header["kid"] = kid
	for k, v := range header {
		token.Header[k] = v
		if v == nil {
			delete(token.Header, k)
		}
	}
	s, err := token.SignedString(key)
	require.NoError(t, err)
	return s
}

// raw puts a token together from its bytes, signed by the shared secret.
func raw(header, payload string) string {
	s := b64([]byte(header)) + "." + b64([]byte(payload))
	return s + "." + b64(mac(secret, s))
}

func mac(key []byte, s string) []byte {
	h := hmac.New(sha256.New, key)
	_, _ = io.WriteString(h, s)
	return h.Sum(nil)
}

func shared() *Rules {
	return &Rules{Issuer: issuer, Audience: audience, NamesRequired: true, Algorithms: []string{"HS256"}, Secret: secret}
}

func verifier(t testing.TB) *Verifier {
	t.Helper()
	v := New(Config{Targets: outbound.NewTargets(true), Now: func() time.Time { return now }})
	t.Cleanup(v.Close)
	return v
}

// claims are those of a good token, changed; nil takes one away.
func claims(change ...map[string]any) map[string]any {
	c := map[string]any{
		"iss": issuer, "aud": audience, "sub": "alice", "sid": "s1",
		"iat": now.Add(-time.Minute).Unix(), "exp": now.Add(time.Minute).Unix(),
	}
	for _, ch := range change {
		maps.Copy(c, ch)
	}
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

type m = map[string]any

func TestATokenOfEachKindIsTaken(t *testing.T) {
	p, v := newIDP(t), verifier(t)
	want := Claims{
		Subject: "alice", Session: "s1", Issuer: issuer, Audience: []string{audience},
		IssuedAt: now.Add(-time.Minute), ExpiresAt: now.Add(time.Minute),
	}
	for _, alg := range []string{"RS256", "ES256", "EdDSA"} {
		for _, header := range []m{nil, {"typ": nil}, {"typ": "at+jwt"}, {"typ": "application/JWT"}, {"x5t": "thumb"}, {"cat": "cl_x"}} {
			got, err := v.Verify(t.Context(), p.sign(t, alg, header, claims()), p.rules())
			require.NoError(t, err, "%s %v", alg, header)
			assert.Equal(t, want, got)
		}
	}
	got, err := v.Verify(t.Context(), sign(t, "HS256", secret, m{"kid": nil}, claims()), shared())
	require.NoError(t, err)
	assert.Equal(t, want, got)
	assert.EqualValues(t, 1, p.asked.Load())
}

// Each row is an attack, or a mistake that would open the door to one.
func TestAttacks(t *testing.T) {
	p, other, v := newIDP(t), newIDP(t), verifier(t)
	good := p.sign(t, "RS256", nil, claims())
	parts := strings.Split(good, ".")
	der, err := x509.MarshalPKIXPublicKey(&p.rsa.PublicKey)
	require.NoError(t, err)
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	otherJWK := m{"kty": "RSA", "n": b64(other.rsa.N.Bytes()), "e": "AQAB"}
	es := strings.Split(p.sign(t, "ES256", nil, claims()), ".")
	none := func(alg string) string {
		return b64([]byte(`{"alg":"`+alg+`","typ":"JWT"}`)) + "." + parts[1] + "."
	}
	hs := func(key []byte, header m) string { return sign(t, "HS256", key, header, claims()) }
	rs := func(header m) string { return p.sign(t, "RS256", header, claims()) }
	stranger := func(header m) string { return sign(t, "RS256", other.rsa, header, claims()) }
	k, err := proof.Generate("", now)
	require.NoError(t, err)
	minted, err := proof.Mint(k, proof.Claims{Issuer: issuer, Audience: audience, Subject: "alice", Session: "s1", ID: "j", IssuedAt: now,
		ExpiresAt: now.Add(time.Minute), AuthTime: now, AMR: []string{"pwd"}, Level: "strict", Factors: []proof.Factor{{Method: "password", Role: proof.First, At: now}}})
	require.NoError(t, err)

	for _, tt := range []struct {
		name, token string
		want        error
	}{
		{"alg none", none("none"), ErrRefused},
		{"alg None", none("None"), ErrRefused},
		{"alg nOnE, its signature kept", b64([]byte(`{"alg":"nOnE"}`)) + "." + parts[1] + "." + parts[2], ErrRefused},
		{"no alg", b64([]byte(`{"typ":"JWT"}`)) + "." + parts[1] + "." + parts[2], ErrRefused},
		{"alg is a number", b64([]byte(`{"alg":256}`)) + "." + parts[1] + "." + parts[2], ErrRefused},
		{"alg is a list", b64([]byte(`{"alg":["RS256"]}`)) + "." + parts[1] + "." + parts[2], ErrRefused},
		{"two algs", b64([]byte(`{"alg":"none","alg":"RS256"}`)) + "." + parts[1] + "." + parts[2], ErrMalformed},
		{"signature taken away", parts[0] + "." + parts[1] + ".", ErrRefused},
		{"public key as secret, DER", hs(der, nil), ErrRefused},
		{"public key as secret, PEM", hs(publicPEM, nil), ErrRefused},
		{"public key as secret, PEM without its last line end", hs(bytes.TrimSpace(publicPEM), nil), ErrRefused},
		{"public key as secret, modulus", hs(p.rsa.N.Bytes(), nil), ErrRefused},
		{"Ed25519 public key as secret", hs(p.ed.Public().(ed25519.PublicKey), nil), ErrRefused},
		{"a secret out of the published set", hs(secret, m{"kid": "oct"}), ErrRefused},
		{"an algorithm that is not pinned", p.sign(t, "PS256", nil, claims()), ErrRefused},
		{"a key for encryption", rs(m{"kid": "enc"}), ErrRefused},
		{"jwk header", stranger(m{"jwk": otherJWK}), ErrRefused},
		{"jwk header, good key", rs(m{"jwk": otherJWK}), ErrRefused},
		{"jku header", stranger(m{"jku": other.URL + "/keys"}), ErrRefused},
		{"jku header, good key", rs(m{"jku": p.URL + "/keys"}), ErrRefused},
		{"x5u header", rs(m{"x5u": other.URL}), ErrRefused},
		{"x5c header", rs(m{"x5c": []string{b64(der)}}), ErrRefused},
		{"kid is a path", stranger(m{"kid": "../../../../dev/null"}), ErrRefused},
		{"kid is a path, empty secret", hs([]byte{0}, m{"kid": "/dev/null"}), ErrRefused},
		{"kid is SQL", stranger(m{"kid": "' UNION SELECT 'key"}), ErrRefused},
		{"kid is a command", stranger(m{"kid": "key-1|id"}), ErrRefused},
		{"kid is a number", rs(m{"kid": 1}), ErrRefused},
		{"kid is a list", rs(m{"kid": []string{kid}}), ErrRefused},
		{"kid is empty", rs(m{"kid": ""}), ErrRefused},
		{"kid is unknown", rs(m{"kid": "key-2"}), ErrRefused},
		{"crit that nobody knows", rs(m{"crit": []string{"exp2"}, "exp2": 1}), ErrRefused},
		{"crit, empty", rs(m{"crit": []string{}}), ErrRefused},
		{"crit b64", rs(m{"crit": []string{"b64"}, "b64": false}), ErrRefused},
		{"psychic signature", es[0] + "." + es[1] + "." + b64(make([]byte, 64)), ErrRefused},
		{"psychic signature, n", es[0] + "." + es[1] + "." + b64(append(elliptic.P256().Params().N.Bytes(), elliptic.P256().Params().N.Bytes()...)), ErrRefused},
		{"signature in ASN.1", es[0] + "." + es[1] + "." + b64(asn1(t, p, es[0]+"."+es[1])), ErrRefused},
		{"another one's key", stranger(nil), ErrRefused},
		{"claims of another token", parts[0] + "." + strings.Split(p.sign(t, "RS256", nil, claims(m{"sub": "bob"})), ".")[1] + "." + parts[2], ErrRefused},
		{"header of another token", strings.Split(p.sign(t, "RS256", m{"x": 1}, claims()), ".")[0] + "." + parts[1] + "." + parts[2], ErrRefused},
		{"a proof is no user's token", minted, ErrRefused},
		{"a proof's type, signed by the issuer", rs(m{"typ": "reverification+jwt"}), ErrRefused},
		{"a proof's type, written otherwise", rs(m{"typ": "application/Reverification+JWT"}), ErrRefused},
		{"a logout token", rs(m{"typ": "logout+jwt"}), ErrRefused},
		{"typ is a number", rs(m{"typ": 1}), ErrRefused},
		{"typ is empty", rs(m{"typ": ""}), ErrRefused},

		{"expired", p.sign(t, "RS256", nil, claims(m{"exp": now.Add(-time.Second).Unix()})), ErrExpired},
		{"expires now", p.sign(t, "RS256", nil, claims(m{"exp": now.Unix()})), ErrExpired},
		{"no exp", p.sign(t, "RS256", nil, claims(m{"exp": nil})), ErrMalformed},
		{"exp null", raw2(t, p, `"exp":null`), ErrMalformed},
		{"exp is text", p.sign(t, "RS256", nil, claims(m{"exp": "4102444800"})), ErrMalformed},
		{"exp beyond time", raw2(t, p, `"exp":1e300`), ErrMalformed},
		{"exp beyond numbers", raw2(t, p, `"exp":1e999`), ErrMalformed},
		{"exp before time", raw2(t, p, `"exp":-1`), ErrMalformed},
		{"EXP is not exp", raw2(t, p, fmt.Sprintf(`"exp":1,"EXP":%d`, now.Add(time.Hour).Unix())), ErrExpired},
		{"from the future", p.sign(t, "RS256", nil, claims(m{"iat": now.Add(Leeway + time.Second).Unix()})), ErrNotYetValid},
		{"not yet valid", p.sign(t, "RS256", nil, claims(m{"nbf": now.Add(Leeway + time.Second).Unix()})), ErrNotYetValid},
		{"nbf is text", p.sign(t, "RS256", nil, claims(m{"nbf": "soon"})), ErrMalformed},
		{"too old", p.sign(t, "RS256", nil, claims(m{"iat": now.Add(-24 * time.Hour).Unix()})), ErrTooOld},
		{"of an unknown age", p.sign(t, "RS256", nil, claims(m{"iat": nil})), ErrTooOld},
		{"iat is text", p.sign(t, "RS256", nil, claims(m{"iat": "now"})), ErrMalformed},

		{"another issuer", p.sign(t, "RS256", nil, claims(m{"iss": "https://idp.example"})), ErrNames},
		{"no issuer", p.sign(t, "RS256", nil, claims(m{"iss": nil})), ErrNames},
		{"issuer is a list", p.sign(t, "RS256", nil, claims(m{"iss": []string{issuer}})), ErrMalformed},
		{"another audience", p.sign(t, "RS256", nil, claims(m{"aud": "other"})), ErrNames},
		{"other audiences", p.sign(t, "RS256", nil, claims(m{"aud": []string{"Shop", "shop ", "shops"}})), ErrNames},
		{"no audience", p.sign(t, "RS256", nil, claims(m{"aud": nil})), ErrNames},
		{"audience of nothing", p.sign(t, "RS256", nil, claims(m{"aud": []string{}})), ErrMalformed},
		{"audience of odd things", p.sign(t, "RS256", nil, claims(m{"aud": []any{audience, 1}})), ErrMalformed},

		{"no sub", p.sign(t, "RS256", nil, claims(m{"sub": nil})), ErrMalformed},
		{"sub is empty", p.sign(t, "RS256", nil, claims(m{"sub": ""})), ErrMalformed},
		{"sub is a number", p.sign(t, "RS256", nil, claims(m{"sub": 7})), ErrMalformed},
		{"sub is null", raw2(t, p, `"sub":null`), ErrMalformed},
		{"sub twice", raw2(t, p, `"sub":"alice","sub":"bob"`), ErrMalformed},
		{"sub twice, once escaped", raw2(t, p, `"sub":"alice","s\u0075b":"bob"`), ErrMalformed},
		{"Sub beside no sub", raw2(t, p, `"Sub":"alice"`), ErrMalformed},
		{"sub too long", p.sign(t, "RS256", nil, claims(m{"sub": strings.Repeat("ä", maxText+1)})), ErrMalformed},
		{"sub with a line end", p.sign(t, "RS256", nil, claims(m{"sub": "alice\n"})), ErrMalformed},
		{"sub with a zero", p.sign(t, "RS256", nil, claims(m{"sub": "alice\x00bob"})), ErrMalformed},
		{"sub with half a character", raw2(t, p, `"sub":"alice\ud800"`), ErrMalformed},
		{"sub with a broken byte", raw2(t, p, "\"sub\":\"alice\xff\""), ErrMalformed},
		{"no session", p.sign(t, "RS256", nil, claims(m{"sid": nil})), ErrSessionMissing},
		{"sid is a number, and a good session_id", p.sign(t, "RS256", nil, claims(m{"sid": 1, "session_id": "s2"})), ErrMalformed},
		{"sid is a number", p.sign(t, "RS256", nil, claims(m{"sid": 1})), ErrMalformed},
		{"sid is a list, and a good session_id", p.sign(t, "RS256", nil, claims(m{"sid": []string{}, "session_id": "s2"})), ErrMalformed},
		{"sid is false, and a good session_id", p.sign(t, "RS256", nil, claims(m{"sid": false, "session_id": "s2"})), ErrMalformed},
		{"sid is empty", p.sign(t, "RS256", nil, claims(m{"sid": ""})), ErrSessionMissing},
		{"sid is null", p.sign(t, "RS256", nil, claims(m{"sid": json.RawMessage("null")})), ErrSessionMissing},
		{"both are empty", p.sign(t, "RS256", nil, claims(m{"sid": "", "session_id": ""})), ErrSessionMissing},
		{"sid is empty, session_id a number", p.sign(t, "RS256", nil, claims(m{"sid": "", "session_id": 2})), ErrMalformed},
		{"session_id with a control character", p.sign(t, "RS256", nil, claims(m{"sid": nil, "session_id": "s\x7f"})), ErrMalformed},

		{"empty", "", ErrMalformed},
		{"one part", parts[0], ErrMalformed},
		{"two parts", parts[0] + "." + parts[1], ErrMalformed},
		{"four parts", good + ".x", ErrMalformed},
		{"five parts, as encrypted", good + ".x.y", ErrMalformed},
		{"a line end in the signature", good[:len(good)-5] + "\n" + good[len(good)-5:], ErrMalformed},
		{"padded", parts[0] + "." + parts[1] + "." + parts[2] + "==", ErrMalformed},
		{"spare bits in the signature", spareBits(t, es), ErrMalformed},
		{"a scheme before it", "Bearer " + good, ErrMalformed},
		{"huge", p.sign(t, "RS256", nil, claims(m{"x": strings.Repeat("x", 16<<10)})), ErrMalformed},
		{"claims are a list", b64([]byte(`{"alg":"RS256"}`)) + "." + b64([]byte(`[]`)) + ".x", ErrMalformed},
		{"claims are null", b64([]byte(`{"alg":"RS256"}`)) + "." + b64([]byte(`null`)) + ".x", ErrMalformed},
		{"header is null", b64([]byte(`null`)) + "." + parts[1] + "." + parts[2], ErrMalformed},
		{"text behind the claims", raw2Text(t, p, `{}`, `{}{}`), ErrMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := v.Verify(t.Context(), tt.token, p.rules())
			require.ErrorIs(t, err, tt.want)
			assert.Equal(t, Claims{}, c)
			assert.Equal(t, tt.want.Error(), err.Error(), "an error says nothing of the token")
		})
	}
	_, err = v.Verify(t.Context(), good, p.rules())
	require.NoError(t, err, "and the good one is still taken")
	assert.Zero(t, other.asked.Load(), "no address in a token was called")
	assert.EqualValues(t, 1, p.asked.Load(), "made up key ids have nothing fetched")
}

// raw2 signs claims whose JSON it is given, beside those of a good token.
func raw2(t *testing.T, p *idp, members string) string {
	t.Helper()
	c := claims(m{"sub": nil, "exp": nil})
	for name, member := range map[string]string{"sub": `"alice"`, "exp": fmt.Sprint(now.Add(time.Minute).Unix())} {
		if !strings.Contains(members, `"`+name+`"`) && !strings.Contains(members, `"Sub"`) {
			c[name] = json.RawMessage(member)
		} else if name == "exp" && !strings.Contains(members, `"exp"`) {
			c[name] = json.RawMessage(member)
		}
	}
	b, err := json.Marshal(c)
	require.NoError(t, err)
	return raw2Text(t, p, `{"alg":"RS256","kid":"`+kid+`"}`, strings.TrimSuffix(string(b), "}")+","+members+"}")
}

func raw2Text(t *testing.T, p *idp, header, payload string) string {
	t.Helper()
	s := b64([]byte(header)) + "." + b64([]byte(payload))
	sum := sha256.Sum256([]byte(s))
	sig, err := rsa.SignPKCS1v15(rand.Reader, p.rsa, crypto.SHA256, sum[:])
	require.NoError(t, err)
	return s + "." + b64(sig)
}

// asn1 is the form in which everything but JOSE writes an ECDSA signature.
func asn1(t *testing.T, p *idp, s string) []byte {
	t.Helper()
	sum := sha256.Sum256([]byte(s))
	sig, err := ecdsa.SignASN1(rand.Reader, p.ec, sum[:])
	require.NoError(t, err)
	return sig
}

// spareBits changes the last character so that it decodes to the same bytes.
func spareBits(t *testing.T, parts []string) string {
	t.Helper()
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	sig := parts[2]
	twin := sig[:len(sig)-1] + string(alphabet[strings.IndexByte(alphabet, sig[len(sig)-1])|1])
	lax, err := base64.RawURLEncoding.DecodeString(twin)
	require.NoError(t, err)
	require.Equal(t, sig, b64(lax))
	return parts[0] + "." + parts[1] + "." + twin
}

func TestWhatIsJustAllowed(t *testing.T) {
	v := verifier(t)
	for name, c := range map[string]m{
		"expires in a second":  {"exp": now.Add(time.Second).Unix()},
		"a clock ahead":        {"iat": now.Add(Leeway).Unix(), "nbf": now.Add(Leeway).Unix()},
		"nearly too old":       {"iat": now.Add(time.Second - DefaultMaxTokenAge).Unix()},
		"one of two audiences": {"aud": []string{"other", audience}},
		"fractions":            {"iat": float64(now.Unix()) - 0.5, "exp": float64(now.Unix()) + 0.5},
		"256 characters":       {"sub": strings.Repeat("ä", maxText), "sid": strings.Repeat("ß", maxText)},
		"session_id":           {"sid": nil, "session_id": "s1"},
		"sid is empty":         {"sid": "", "session_id": "s1"},
		"sid is null":          {"sid": json.RawMessage("null"), "session_id": "s1"},
		"sid wins":             {"sid": "s1", "session_id": 7},
		"claims nobody knows":  {"x": m{"y": []any{nil, true, 1.5}}},
	} {
		_, err := v.Verify(t.Context(), sign(t, "HS256", secret, nil, claims(c)), shared())
		assert.NoError(t, err, name)
	}
	rules := shared()
	rules.MaxTokenAge = time.Minute
	_, err := v.Verify(t.Context(), sign(t, "HS256", secret, nil, claims()), rules)
	require.ErrorIs(t, err, ErrTooOld, "an age equal to the limit is too old")
	rules.MaxTokenAge = 48 * time.Hour
	_, err = v.Verify(t.Context(), sign(t, "HS256", secret, nil, claims(m{"iat": now.Add(-47 * time.Hour).Unix()})), rules)
	require.NoError(t, err)

	// In development no names are demanded; odd ones are still odd.
	rules = &Rules{Algorithms: []string{"HS256"}, Secret: secret}
	got, err := v.Verify(t.Context(), sign(t, "HS256", secret, nil, claims(m{"iss": nil, "aud": nil})), rules)
	require.NoError(t, err)
	assert.Empty(t, got.Issuer)
	assert.Empty(t, got.Audience)
	_, err = v.Verify(t.Context(), sign(t, "HS256", secret, nil, claims(m{"aud": 1})), rules)
	require.ErrorIs(t, err, ErrMalformed)
}

func TestWhatIsTrusted(t *testing.T) {
	v := verifier(t)
	issued := now.Add(-time.Minute)
	all := func(r *Rules) { r.TrustAuthTime, r.TrustAMR, r.TrustFVA = true, true, true }
	for _, tt := range []struct {
		name   string
		claims m
		want   Claims // what is trusted of them
	}{
		{"nothing there", m{}, Claims{}},
		{"all", m{"auth_time": issued.Unix(), "amr": []string{"pwd", "otp"}, "fva": []int{7, -1}},
			Claims{AuthTime: issued, AMR: []string{"pwd", "otp"}, FVA: &[2]int{7, -1}}},
		{"auth_time is text", m{"auth_time": "1700000000"}, Claims{}},
		{"auth_time null", m{"auth_time": json.RawMessage("null")}, Claims{}},
		{"auth_time after it was issued", m{"auth_time": issued.Add(Leeway + time.Second).Unix()}, Claims{}},
		{"auth_time a little ahead is now", m{"iat": now.Unix(), "auth_time": now.Add(Leeway).Unix()}, Claims{AuthTime: now}},
		{"amr is text", m{"amr": "pwd"}, Claims{}},
		{"amr of odd things", m{"amr": []any{"pwd", 1}}, Claims{}},
		{"amr of nothing", m{"amr": []string{""}}, Claims{}},
		{"amr of objects", m{"amr": []m{{"method": "totp", "timestamp": 1}}}, Claims{}},
		{"fva null", m{"fva": json.RawMessage("null")}, Claims{}},
		{"fva of one", m{"fva": []int{1}}, Claims{}},
		{"fva of three", m{"fva": []int{1, 2, 3}}, Claims{}},
		{"fva below never", m{"fva": []int{-2, 0}}, Claims{}},
		{"fva beyond counting", m{"fva": json.RawMessage("[0,99999999999]")}, Claims{}},
		{"fva in fractions", m{"fva": []float64{0.5, 1}}, Claims{}},
		{"fva of text", m{"fva": []string{"0", "0"}}, Claims{}},
		{"fva with a hole", m{"fva": []any{nil, 0}}, Claims{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			token := sign(t, "HS256", secret, nil, claims(tt.claims))
			rules := shared()
			got, err := v.Verify(t.Context(), token, rules)
			require.NoError(t, err)
			assert.Equal(t, Claims{}, Claims{AuthTime: got.AuthTime, AMR: got.AMR, FVA: got.FVA}, "nothing is trusted that the rules do not trust")
			all(rules)
			got, err = v.Verify(t.Context(), token, rules)
			require.NoError(t, err)
			assert.Equal(t, tt.want, Claims{AuthTime: got.AuthTime, AMR: got.AMR, FVA: got.FVA})
		})
	}
}

func TestKeysBehindARedirectOrInside(t *testing.T) {
	p, v := newIDP(t), verifier(t)
	token := p.sign(t, "RS256", nil, claims())
	rules := p.rules()
	rules.JWKSURL = p.URL + "/elsewhere"
	_, err := v.Verify(t.Context(), token, rules)
	require.ErrorIs(t, err, ErrKeysUnavailable)
	assert.EqualValues(t, 1, p.asked.Load(), "the redirect was not followed")

	// In a deployment this machine is inside.
	deployed := New(Config{Targets: outbound.NewTargets(false), Now: func() time.Time { return now }})
	t.Cleanup(deployed.Close)
	_, err = deployed.Verify(t.Context(), token, p.rules())
	require.ErrorIs(t, err, ErrKeysUnavailable)
	assert.EqualValues(t, 1, p.asked.Load())
}

func TestOneApplicationsKeyDoesNotOpenAnother(t *testing.T) {
	a, b, v := newIDP(t), newIDP(t), verifier(t)
	_, err := v.Verify(t.Context(), a.sign(t, "ES256", nil, claims()), a.rules())
	require.NoError(t, err)
	_, err = v.Verify(t.Context(), a.sign(t, "ES256", nil, claims()), b.rules())
	require.ErrorIs(t, err, ErrRefused, "the same names and key id, another key")
	rules := shared()
	rules.Secret = []byte(strings.Repeat("another secret ", 3))
	_, err = v.Verify(t.Context(), sign(t, "HS256", secret, nil, claims()), rules)
	require.ErrorIs(t, err, ErrRefused)
}

func TestRules(t *testing.T) {
	targets := outbound.NewTargets(false)
	jwksRules := func() *Rules {
		return &Rules{Issuer: issuer, Audience: audience, NamesRequired: true, Algorithms: []string{"RS256"}, JWKSURL: "https://idp.example/keys"}
	}
	require.NoError(t, jwksRules().Validate(targets))
	require.NoError(t, shared().Validate(targets))
	require.NoError(t, (&Rules{Secret: secret, Algorithms: []string{"HS256"}}).Validate(targets), "development")
	for _, tt := range []struct {
		name  string
		rules func(*Rules)
		want  string
	}{
		{"no issuer", func(r *Rules) { r.Issuer = "" }, "issuer"},
		{"no audience", func(r *Rules) { r.Audience = "" }, "audience"},
		{"no key", func(r *Rules) { r.JWKSURL = "" }, "JWKS URL or a secret"},
		{"two keys", func(r *Rules) { r.Secret = secret }, "exclude"},
		{"no algorithm", func(r *Rules) { r.Algorithms = nil }, "algorithm is required"},
		{"none", func(r *Rules) { r.Algorithms = []string{"RS256", "none"} }, `"none"`},
		{"a secret's algorithm", func(r *Rules) { r.Algorithms = []string{"HS256"} }, `"HS256"`},
		{"an algorithm in other letters", func(r *Rules) { r.Algorithms = []string{"rs256"} }, `"rs256"`},
		{"http", func(r *Rules) { r.JWKSURL = "http://idp.example/keys" }, "https"},
		{"a private address", func(r *Rules) { r.JWKSURL = "https://10.0.0.1/keys" }, "not public"},
		{"no URL", func(r *Rules) { r.JWKSURL = "https://idp.example:x/" }, "no URL"},
		{"a negative age", func(r *Rules) { r.MaxTokenAge = -1 }, "negative"},
		{"a published key's algorithm", func(r *Rules) { *r = *shared(); r.Algorithms = []string{"RS256"} }, `"RS256"`},
		{"a short secret", func(r *Rules) { *r = *shared(); r.Secret = secret[:MinSecret-1] }, "the secret is shorter"},
		{"a secret short for HS384", func(r *Rules) { *r = *shared(); r.Algorithms = []string{"HS256", "HS384"} }, "the secret is shorter"},
		{"a secret short for HS512", func(r *Rules) { *r = *shared(); r.Algorithms = []string{"HS512"} }, "the secret is shorter"},
		{"a secret that is no text", func(r *Rules) { *r = *shared(); r.Secret = bytes.Repeat([]byte{0xff}, 32) }, "UTF-8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := jwksRules()
			tt.rules(r)
			err := r.Validate(targets)
			require.ErrorContains(t, err, tt.want)
			assert.NotContains(t, err.Error(), string(secret[:16]))
			if r.JWKSURL == "" {
				_, err = verifier(t).Verify(t.Context(), sign(t, "HS256", secret, nil, claims()), r)
				require.ErrorIs(t, err, ErrRules, "rules that do not hold let nobody in")
			}
		})
	}
	assert.Len(t, strings.Split((&Rules{NamesRequired: true}).Validate(targets).Error(), "\n"), 4, "every fault at once")
	_, err := verifier(t).Verify(t.Context(), "", nil)
	require.ErrorIs(t, err, ErrRules)
	// An HS256 token under an empty secret is one that anybody can make.
	_, err = verifier(t).Verify(t.Context(), sign(t, "HS256", []byte{}, nil, claims()), &Rules{Algorithms: []string{"HS256"}})
	require.ErrorIs(t, err, ErrRules)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		assert.NotContains(t, fmt.Sprintf(verb, *shared()), "secret that", verb)
		assert.NotContains(t, fmt.Sprintf(verb, shared()), "secret that", verb)
	}
}

func TestPeek(t *testing.T) {
	n, err := Peek(sign(t, "HS256", []byte("unknown"), nil, claims(m{"aud": []string{"a", "b"}})))
	require.NoError(t, err)
	assert.Equal(t, Names{Issuer: issuer, Audiences: []string{"a", "b"}}, n)
	n, err = Peek(sign(t, "HS256", []byte("unknown"), nil, m{"aud": "a"}))
	require.NoError(t, err)
	assert.Equal(t, Names{Audiences: []string{"a"}}, n)
	for _, token := range []string{"", "a.b", "a.b.c", raw(`{"alg":"HS256"}`, `{"iss":1}`), raw(`{"alg":"HS256"}`, `{"iss":"a","iss":"b"}`), raw(`{"alg":"HS256"}`, `[]`)} {
		_, err = Peek(token)
		require.ErrorIs(t, err, ErrMalformed, token)
	}
}

// FuzzVerify: what is taken, the library takes too when it is asked as strictly
// as it can be; the signature is a good one, so that the claims are reached.
func FuzzVerify(f *testing.F) {
	good, err := json.Marshal(claims(m{"auth_time": now.Unix(), "amr": []string{"pwd"}, "fva": []int{0, -1}, "nbf": now.Unix()}))
	require.NoError(f, err)
	for _, header := range []string{`{"alg":"HS256","typ":"JWT"}`, `{"alg":"none"}`, `{"alg":"HS256","crit":[]}`, `{"alg":"HS256","kid":"a"}`} {
		f.Add(header, string(good), true)
	}
	f.Add(`{"alg":"HS256"}`, `{"exp":1e300}`, true)
	f.Add(`{"alg":"HS256"}`, `{"sub":"a","sub":"b"}`, true)
	f.Add(`{"alg":"HS256"}`, string(good), false)
	v := New(Config{Targets: outbound.NewTargets(false), Now: func() time.Time { return now }})
	f.Cleanup(v.Close)
	rules := shared()
	rules.TrustAuthTime, rules.TrustAMR, rules.TrustFVA = true, true, true
	reference := jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}), jwt.WithStrictDecoding(), jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
		jwt.WithLeeway(Leeway), jwt.WithIssuer(issuer), jwt.WithAudience(audience), jwt.WithTimeFunc(func() time.Time { return now }))
	f.Fuzz(func(t *testing.T, header, payload string, signed bool) {
		token := raw(header, payload)
		if !signed {
			token = header + "." + payload
		}
		c, err := v.Verify(t.Context(), token, rules)
		if err != nil {
			require.Equal(t, Claims{}, c)
			return
		}
		require.True(t, signed, "what nobody signed is not taken")
		parsed := jwt.MapClaims{}
		_, err = reference.ParseWithClaims(token, parsed, func(*jwt.Token) (any, error) { return secret, nil })
		require.NoError(t, err)
		require.Equal(t, parsed["sub"], c.Subject)
		require.True(t, c.ExpiresAt.After(now))
		require.False(t, c.AuthTime.After(now))
		require.NotEmpty(t, c.Session)
		if c.FVA != nil {
			require.True(t, c.FVA[0] >= -1 && c.FVA[1] >= -1)
		}
	})
}

// FuzzPeek: what can be read, the library reads too, and the same.
func FuzzPeek(f *testing.F) {
	f.Add(raw(`{"alg":"HS256"}`, `{"iss":"a","aud":["b"]}`))
	f.Add(raw(`{"alg":"HS256"}`, `{"aud":"b"}`))
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, token string) {
		n, err := Peek(token)
		if err != nil {
			require.Equal(t, Names{}, n)
			return
		}
		parsed := jwt.MapClaims{}
		_, _, err = jwt.NewParser(jwt.WithStrictDecoding()).ParseUnverified(token, parsed)
		require.NoError(t, err)
		iss, err := parsed.GetIssuer()
		require.NoError(t, err)
		require.Equal(t, iss, n.Issuer)
		aud, err := parsed.GetAudience()
		require.NoError(t, err)
		require.Equal(t, []string(aud), n.Audiences)
	})
}

func BenchmarkVerify(b *testing.B) {
	p := newIDP(b)
	v := verifier(b)
	for _, alg := range []string{"RS256", "ES256", "EdDSA"} {
		token := p.sign(b, alg, nil, claims())
		key := map[string]any{"RS256": &p.rsa.PublicKey, "ES256": &p.ec.PublicKey, "EdDSA": p.ed.Public()}[alg]
		rules := p.rules()
		b.Run(alg+"/ours", func(b *testing.B) {
			for b.Loop() {
				_, err := v.Verify(b.Context(), token, rules)
				require.NoError(b, err)
			}
		})
		parser := jwt.NewParser(jwt.WithValidMethods(rules.Algorithms), jwt.WithIssuer(issuer), jwt.WithAudience(audience), jwt.WithExpirationRequired(), jwt.WithTimeFunc(func() time.Time { return now }))
		b.Run(alg+"/library", func(b *testing.B) {
			for b.Loop() {
				_, err := parser.ParseWithClaims(token, jwt.MapClaims{}, func(*jwt.Token) (any, error) { return key, nil })
				require.NoError(b, err)
			}
		})
	}
}

// TestInDevelopmentATokenNeedNotSayWhenItWasIssued: whoever tries things out by
// hand signs what comes to mind. Elsewhere an unknown age denies.
func TestInDevelopmentATokenNeedNotSayWhenItWasIssued(t *testing.T) {
	t.Parallel()
	rules := &Rules{Algorithms: []string{"HS256"}, Secret: secret, TrustAuthTime: true}
	v := verifier(t)
	at := now.Add(-time.Minute).Truncate(time.Second)
	c, err := v.Verify(t.Context(), sign(t, "HS256", secret, nil, claims(m{"iat": nil, "auth_time": at.Unix()})), rules)
	require.NoError(t, err)
	assert.True(t, c.IssuedAt.IsZero())
	assert.Equal(t, at, c.AuthTime)
	rules.Issuer, rules.Audience, rules.NamesRequired = issuer, audience, true
	_, err = v.Verify(t.Context(), sign(t, "HS256", secret, nil, claims(m{"iat": nil})), rules)
	assert.ErrorIs(t, err, ErrTooOld)
}
