package proof

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var now = time.Date(2027, 3, 28, 1, 30, 0, 0, time.UTC)

var want = Want{Issuer: "https://reconsent.example", Audience: "shop", Now: now}

const sum = "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg"

func good() Claims {
	return Claims{
		Issuer: want.Issuer, Audience: want.Audience, Subject: "alice", Session: "s1", ID: "prf_1",
		IssuedAt: now, ExpiresAt: now.Add(5 * time.Minute), AuthTime: now.Add(-10 * time.Second),
		AMR: []string{"pwd", "hwk", "user"}, Level: "sca", FVA: [2]int{2, 0},
		Factors: []Factor{
			{Method: "password", Role: First, At: now.Add(-2*time.Minute - 59*time.Second)},
			{Method: "passkey", Role: Second, At: now.Add(-10 * time.Second), UserVerified: true, Ref: "fac_1"},
		},
		SecondFactorEnrolled: true,
		Operation:            &Operation{Name: "transfer", Digest: sum},
	}
}

func key(t testing.TB, algorithm string) Key {
	t.Helper()
	k, err := Generate(algorithm, now.Add(-24*time.Hour))
	require.NoError(t, err)
	return k
}

func TestAProofSaysWhatWasMinted(t *testing.T) {
	for _, alg := range []string{"", EdDSA, ES256} {
		k := key(t, alg)
		c := good()
		c.FVA = [2]int{0, 0} // whatever stands there
		c.IssuedAt = c.IssuedAt.Add(time.Millisecond)
		token, err := Mint(k, c)
		require.NoError(t, err)
		got, err := Verify(token, KeySet{key(t, alg).Public(), k.Public()}, want)
		require.NoError(t, err)
		assert.Equal(t, good(), got)

		// Its own form, without any code of ours.
		parts := strings.Split(token, ".")
		header, payload := map[string]any{}, map[string]any{}
		for i, to := range []*map[string]any{&header, &payload} {
			raw, err := base64.RawURLEncoding.DecodeString(parts[i])
			require.NoError(t, err)
			require.NoError(t, json.Unmarshal(raw, to))
		}
		assert.Equal(t, map[string]any{"typ": "reverification+jwt", "alg": k.Algorithm, "kid": k.ID}, header)
		assert.Equal(t, map[string]any{
			"iss": want.Issuer, "aud": "shop", "sub": "alice", "sid": "s1", "jti": "prf_1",
			"iat": float64(now.Unix()), "exp": float64(now.Unix() + 300), "auth_time": float64(now.Unix() - 10),
			"amr": []any{"pwd", "hwk", "user"}, "acr": "sca", "fva": []any{2.0, 0.0}, "second_factor_enrolled": true,
			"factors": []any{
				map[string]any{"factor": "password", "role": "first", "at": float64(now.Unix() - 179)},
				map[string]any{"factor": "passkey", "role": "second", "at": float64(now.Unix() - 10), "uv": true, "ref": "fac_1"},
			},
			"op": map[string]any{"name": "transfer", "dig": sum},
		}, payload)
	}
}

func TestAgesAreThoseOfTheNewestFactors(t *testing.T) {
	at := func(role Role, age time.Duration) Factor {
		return Factor{Method: "totp", Role: role, At: now.Add(-age)}
	}
	for _, tt := range []struct {
		factors []Factor
		want    [2]int
	}{
		{[]Factor{at(First, 0)}, [2]int{0, Never}},
		{[]Factor{at(Second, 59*time.Second)}, [2]int{Never, 0}},
		{[]Factor{at(Second, 60*time.Second)}, [2]int{Never, 1}},
		{[]Factor{at(First, time.Hour), at(First, time.Minute), at(First, 2*time.Hour)}, [2]int{1, Never}},
	} {
		assert.Equal(t, tt.want, Claims{IssuedAt: now, Factors: tt.factors}.ages())
	}
}

// The ages are those of the times that travel, or no verifier would agree.
func TestFractionsOfASecondDoNotTravel(t *testing.T) {
	k := key(t, "")
	c := good()
	c.IssuedAt, c.ExpiresAt = now.Add(900*time.Millisecond), now.Add(MaxLife+900*time.Millisecond)
	c.Factors[0].At = now.Add(-3*time.Minute + 950*time.Millisecond) // 2:59.95 before, or 3:00 in seconds
	token, err := Mint(k, c)
	require.NoError(t, err)
	got, err := Verify(token, KeySet{k.Public()}, want)
	require.NoError(t, err)
	assert.Equal(t, [2]int{3, 0}, got.FVA)
	assert.Equal(t, MaxLife, got.ExpiresAt.Sub(got.IssuedAt))
}

// odds are claims that no proof may have. Neither is one minted with them, nor
// taken when somebody else's code did.
var odds = map[string]func(*Claims){
	"no issuer":               func(c *Claims) { c.Issuer = "" },
	"no audience":             func(c *Claims) { c.Audience = "" },
	"no subject":              func(c *Claims) { c.Subject = "" },
	"no session":              func(c *Claims) { c.Session = "" },
	"no id":                   func(c *Claims) { c.ID = "" },
	"no level":                func(c *Claims) { c.Level = "" },
	"a long subject":          func(c *Claims) { c.Subject = strings.Repeat("x", maxText+1) },
	"a session with a zero":   func(c *Claims) { c.Session = "s\x00" },
	"no methods":              func(c *Claims) { c.AMR = nil },
	"an empty method":         func(c *Claims) { c.AMR = []string{""} },
	"no life":                 func(c *Claims) { c.ExpiresAt = c.IssuedAt },
	"a long life":             func(c *Claims) { c.ExpiresAt = c.IssuedAt.Add(MaxLife + time.Second) },
	"never issued":            func(c *Claims) { c.IssuedAt = time.Time{} },
	"never authenticated":     func(c *Claims) { c.AuthTime = time.Time{} },
	"authenticated later":     func(c *Claims) { c.AuthTime = c.IssuedAt.Add(time.Second) },
	"no factors":              func(c *Claims) { c.Factors = nil },
	"too many factors":        func(c *Claims) { c.Factors = make([]Factor, maxFactors+1) },
	"a factor later":          func(c *Claims) { c.Factors[1].At = c.IssuedAt.Add(time.Second) },
	"a factor at no time":     func(c *Claims) { c.Factors[0].At = time.Unix(0, 0) },
	"a factor of no method":   func(c *Claims) { c.Factors[0].Method = "" },
	"a factor of no role":     func(c *Claims) { c.Factors[0].Role = "third" },
	"a password with a PIN":   func(c *Claims) { c.Factors[0].UserVerified = true },
	"an operation of nothing": func(c *Claims) { *c.Operation = Operation{} },
	"an odd digest":           func(c *Claims) { c.Operation.Digest = strings.Repeat("+", digestSize) },
	"a short digest":          func(c *Claims) { c.Operation.Digest = "abc" },
}

// A person may agree to a payment without a name for what is done.
func TestDetailsNeedNoName(t *testing.T) {
	k, c := key(t, ""), good()
	c.Operation.Name, c.Operation.Digest = "", strings.Repeat("a", digestSize)
	token, err := Mint(k, c)
	require.NoError(t, err)
	got, err := Verify(token, KeySet{k.Public()}, want)
	require.NoError(t, err)
	require.Equal(t, c.Operation, got.Operation)
}

func TestOddClaimsAreNotMintedAndNotTaken(t *testing.T) {
	k := key(t, "")
	for name, change := range odds {
		t.Run(name, func(t *testing.T) {
			c := good()
			change(&c)
			_, err := Mint(k, c)
			require.Error(t, err)
			raw, err := c.MarshalJSON()
			require.NoError(t, err)
			_, err = Verify(forge(t, k, nil, raw), KeySet{k.Public()}, want)
			require.Error(t, err)
		})
	}
	_, err := Mint(Key{}, good())
	require.Error(t, err)
}

// forge signs whatever it is given under a good key.
func forge(t testing.TB, k Key, header map[string]any, payload []byte) string {
	t.Helper()
	h := map[string]any{"alg": k.Algorithm, "typ": Type, "kid": k.ID}
	maps.Copy(h, header)
	maps.DeleteFunc(h, func(_ string, v any) bool { return v == nil })
	raw, err := json.Marshal(h)
	require.NoError(t, err)
	s := base64.RawURLEncoding.EncodeToString(raw) + "." + base64.RawURLEncoding.EncodeToString(payload)
	sig, err := jwt.GetSigningMethod(k.Algorithm).Sign(s, k.private)
	require.NoError(t, err)
	return s + "." + base64.RawURLEncoding.EncodeToString(sig)
}

// shift moves all times of claims.
func (c *Claims) shift(d time.Duration) {
	c.IssuedAt, c.ExpiresAt, c.AuthTime = c.IssuedAt.Add(d), c.ExpiresAt.Add(d), c.AuthTime.Add(d)
	for i := range c.Factors {
		c.Factors[i].At = c.Factors[i].At.Add(d)
	}
}

func TestWhatIsRefused(t *testing.T) {
	ed, es, stranger := key(t, EdDSA), key(t, ES256), key(t, EdDSA)
	keys := KeySet{ed.Public(), es.Public()}
	payload, err := good().MarshalJSON()
	require.NoError(t, err)
	members := func(change map[string]any) []byte {
		m := map[string]any{}
		require.NoError(t, json.Unmarshal(payload, &m))
		maps.Copy(m, change)
		maps.DeleteFunc(m, func(_ string, v any) bool { return v == nil })
		raw, err := json.Marshal(m)
		require.NoError(t, err)
		return raw
	}
	minted := func(change func(*Claims)) string {
		c := good()
		change(&c)
		token, err := Mint(ed, c)
		require.NoError(t, err)
		return token
	}
	token := minted(func(*Claims) {})
	parts := strings.Split(token, ".")
	secret := []byte("a secret that is long enough, and shared by two")
	user, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "alice", "sid": "s1", "exp": now.Add(time.Hour).Unix()}).SignedString(secret)
	require.NoError(t, err)
	hs, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{}).SigningString()
	require.NoError(t, err)
	pub := ed.Public().Key.(ed25519.PublicKey)
	confused := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims(map[string]any{}))
	confused.Header["typ"], confused.Header["kid"] = Type, ed.ID
	confusedToken, err := confused.SignedString([]byte(pub))
	require.NoError(t, err)

	for _, tt := range []struct {
		name, token string
		want        error
	}{
		{"a user's token", user, ErrRefused},
		{"a user's token, signed by our key", forge(t, ed, map[string]any{"typ": "JWT"}, payload), ErrRefused},
		{"no type", forge(t, ed, map[string]any{"typ": nil}, payload), ErrRefused},
		{"an access token", forge(t, ed, map[string]any{"typ": "at+jwt"}, payload), ErrRefused},
		{"no key id", forge(t, ed, map[string]any{"kid": nil}, payload), ErrRefused},
		{"an unknown key", forge(t, stranger, nil, payload), ErrRefused},
		{"another key under a known id", forge(t, stranger, map[string]any{"kid": ed.ID}, payload), ErrRefused},
		{"another algorithm under a known id", forge(t, es, map[string]any{"kid": ed.ID}, payload), ErrRefused},
		{"public key as secret", confusedToken, ErrRefused},
		{"alg none", strings.Replace(hs, ".", ".", 1) + ".", ErrRefused},
		{"jwk header", forge(t, ed, map[string]any{"jwk": map[string]any{}}, payload), ErrRefused},
		{"crit", forge(t, ed, map[string]any{"crit": []string{"x"}}, payload), ErrRefused},
		{"no signature", parts[0] + "." + parts[1] + ".", ErrRefused},
		{"other claims", parts[0] + "." + base64.RawURLEncoding.EncodeToString(members(map[string]any{"sub": "bob"})) + "." + parts[2], ErrRefused},

		{"another issuer", minted(func(c *Claims) { c.Issuer = "https://other.example" }), ErrNames},
		{"another application", minted(func(c *Claims) { c.Audience = "other" }), ErrNames},
		{"two applications", forge(t, ed, nil, members(map[string]any{"aud": []string{"shop", "other"}})), ErrMalformed},
		{"expired", minted(func(c *Claims) { c.IssuedAt, c.ExpiresAt = now, now.Add(time.Second); c.shift(-time.Second) }), ErrExpired},
		{"from the future", minted(func(c *Claims) { c.IssuedAt, c.ExpiresAt = now.Add(Leeway+time.Second), now.Add(MaxLife) }), ErrNotYetValid},
		{"no exp", forge(t, ed, nil, members(map[string]any{"exp": nil})), ErrMalformed},
		{"exp in fractions", forge(t, ed, nil, members(map[string]any{"exp": float64(now.Unix()) + 60.5})), ErrMalformed},
		{"no iat", forge(t, ed, nil, members(map[string]any{"iat": nil})), ErrMalformed},
		{"no fva", forge(t, ed, nil, members(map[string]any{"fva": nil})), ErrMalformed},
		{"ages that are not the factors'", forge(t, ed, nil, members(map[string]any{"fva": []int{0, 0}})), ErrMalformed},
		{"three ages", forge(t, ed, nil, members(map[string]any{"fva": []int{2, 0, 0}})), ErrMalformed},
		{"enrolment unknown", forge(t, ed, nil, members(map[string]any{"second_factor_enrolled": nil})), ErrMalformed},
		{"claims twice", forge(t, ed, nil, []byte(strings.Replace(string(payload), `"sub":"alice"`, `"sub":"alice","sub":"bob"`, 1))), ErrMalformed},
		{"nothing", "", ErrMalformed},
		{"huge", token + strings.Repeat("A", 16<<10), ErrMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Verify(tt.token, keys, want)
			require.ErrorIs(t, err, tt.want)
			assert.Equal(t, Claims{}, c)
			assert.Equal(t, tt.want.Error(), err.Error(), "an error says nothing of the proof")
		})
	}
	_, err = Verify(token, keys, want)
	require.NoError(t, err)
	_, err = Verify(forge(t, ed, nil, members(map[string]any{"later": 1})), keys, want)
	require.NoError(t, err, "a claim of a later version is passed over")
	for name, w := range map[string]Want{"no issuer": {Audience: "shop", Now: now}, "no audience": {Issuer: want.Issuer, Now: now}, "no time": {Issuer: want.Issuer, Audience: "shop"}} {
		_, err = Verify(token, keys, w)
		require.Error(t, err, name)
	}
	_, err = Verify(token, KeySet(nil), want)
	require.ErrorIs(t, err, ErrRefused)
}

func TestTheEdgesOfALife(t *testing.T) {
	k := key(t, "")
	token, err := Mint(k, good())
	require.NoError(t, err)
	for at, wantErr := range map[time.Duration]error{
		-Leeway:                     nil,
		-Leeway - time.Second:       ErrNotYetValid,
		5*time.Minute - time.Second: nil,
		5 * time.Minute:             ErrExpired,
	} {
		w := want
		w.Now = now.Add(at)
		_, err := Verify(token, KeySet{k.Public()}, w)
		require.ErrorIs(t, err, wantErr, at)
	}
}

func TestAKeyIsKeptAndFoundAgain(t *testing.T) {
	for _, alg := range []string{EdDSA, ES256} {
		k := key(t, alg)
		assert.Equal(t, k.CreatedAt.Add(Lead), k.ActiveAt)
		raw, err := k.Marshal()
		require.NoError(t, err)
		again, err := Parse(raw)
		require.NoError(t, err)
		assert.Equal(t, k.ID, again.ID)
		assert.Equal(t, alg, again.Algorithm)
		token, err := Mint(again, good())
		require.NoError(t, err)
		_, err = Verify(token, KeySet{k.Public()}, want)
		require.NoError(t, err)
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
			printed := fmt.Sprintf(verb, k)
			assert.LessOrEqual(t, len(printed), 2*len("signing key "+k.ID), verb)
		}
		assert.Equal(t, "signing key "+k.ID, k.LogValue().String())
		assert.Equal(t, slog.KindString, k.LogValue().Kind())
	}
	_, err := Generate("RS256", now)
	require.Error(t, err)

	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	for _, other := range []any{p384, rsaKey} {
		raw, err := x509.MarshalPKCS8PrivateKey(other)
		require.NoError(t, err)
		_, err = Parse(raw)
		require.Error(t, err)
	}
	_, err = Parse([]byte("hunter2"))
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "hunter2")
}

// The key and its thumbprint are those of RFC 8037 A.2 and A.3.
func TestAThumbprintIsRFC7638s(t *testing.T) {
	raw, err := base64.RawURLEncoding.DecodeString("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
	require.NoError(t, err)
	j, err := publicJWK(ed25519.PublicKey(raw))
	require.NoError(t, err)
	assert.Equal(t, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", j.ID)
}

// Coordinates have their full length even where they begin with zeros
// (RFC 7518 6.2.1.2): of 600 keys, some do.
func TestCoordinatesKeepTheirZeros(t *testing.T) {
	for range 600 {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(t, err)
		j, err := publicJWK(&k.PublicKey)
		require.NoError(t, err)
		require.Len(t, j.X, 43)
		require.Len(t, j.Y, 43)
		x, err := base64.RawURLEncoding.DecodeString(j.X)
		require.NoError(t, err)
		y, err := base64.RawURLEncoding.DecodeString(j.Y)
		require.NoError(t, err)
		require.True(t, elliptic.P256().IsOnCurve(new(big.Int).SetBytes(x), new(big.Int).SetBytes(y))) //nolint:staticcheck // what was written is what is looked at
	}
}

// FuzzVerify: whatever is signed, what is taken is whole, for us, and now; and
// what is not signed is never taken.
func FuzzVerify(f *testing.F) {
	private := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)) // every worker's is the same
	k, err := of(private)
	require.NoError(f, err)
	keys := KeySet{k.Public()}
	b64 := base64.RawURLEncoding.EncodeToString
	header := b64([]byte(`{"alg":"EdDSA","typ":"reverification+jwt","kid":"` + k.ID + `"}`))
	payload, err := good().MarshalJSON()
	require.NoError(f, err)
	token, err := Mint(k, good())
	require.NoError(f, err)
	f.Add(string(payload), true)
	f.Add(token, false)
	f.Add(`{"iat":-9223372036854775808,"exp":9223372036854775807}`, true)
	f.Add(`{"factors":[{}]}`, true)
	f.Fuzz(func(t *testing.T, text string, signed bool) {
		got := text
		if signed {
			got = header + "." + b64([]byte(text))
			got += "." + b64(ed25519.Sign(private, []byte(got)))
		}
		c, err := Verify(got, keys, want)
		if err != nil {
			require.Equal(t, Claims{}, c)
			return
		}
		require.True(t, signed || text == token, "what nobody signed is not taken")
		require.NoError(t, c.whole())
		require.Equal(t, want.Issuer, c.Issuer)
		require.Equal(t, want.Audience, c.Audience)
		require.True(t, c.ExpiresAt.After(now))
		require.LessOrEqual(t, c.ExpiresAt.Sub(c.IssuedAt), MaxLife)
		again, err := c.MarshalJSON()
		require.NoError(t, err)
		var twice Claims
		require.NoError(t, twice.UnmarshalJSON(again))
		require.Equal(t, c, twice)
	})
}
