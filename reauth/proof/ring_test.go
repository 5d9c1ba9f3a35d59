package proof

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/reconsent/reconsent/internal/outbound"
	"github.com/reconsent/reconsent/reauth/usertoken"
)

// known is what a replica knows of a ring at a moment: keys that were stored a
// while ago.
func known(r Ring, at time.Time) Ring {
	return slices.DeleteFunc(slices.Clone(r), func(k Key) bool { return k.CreatedAt.After(at) })
}

// At any moment, a verifier whose copy is at most CacheTime old verifies any
// proof that has not expired; wherever the copy comes from and the proof was
// signed, the replica may know new keys late.
func TestACopyOfTheKeysVerifiesEveryProof(t *testing.T) {
	const late = 15 * time.Minute // how late a replica may know
	rapid.Check(t, func(t *rapid.T) {
		minutes := func(name string, most time.Duration) time.Duration {
			return time.Duration(rapid.IntRange(0, int(most/time.Second)).Draw(t, name)) * time.Second
		}
		start := now
		var ring Ring
		at := start
		for range rapid.IntRange(1, 6).Draw(t, "keys") {
			k, err := ring.Next(EdDSA, at)
			require.NoError(t, err)
			ring = append(ring, k)
			at = at.Add(minutes("until the next", 4*time.Hour))
		}
		// From when every replica knows the first key on, at any time:
		signedAt := start.Add(late + minutes("signed", 30*time.Hour))
		life := time.Second + minutes("life", MaxLife-time.Second)
		lookedAt := signedAt.Add(minutes("looked at", life-time.Second))
		copiedAt := lookedAt.Add(-min(minutes("age of the copy", CacheTime), lookedAt.Sub(start.Add(late))))

		k, ok := known(ring, signedAt.Add(-minutes("signer late", late))).Signer(signedAt)
		require.True(t, ok, "somebody signs")
		published := known(ring, copiedAt.Add(-minutes("publisher late", late))).Published(copiedAt)

		c := good()
		c.IssuedAt, c.ExpiresAt, c.AuthTime = signedAt, signedAt.Add(life), signedAt
		c.Factors = []Factor{{Method: "password", Role: First, At: signedAt}}
		token, err := Mint(k, c)
		require.NoError(t, err)
		_, err = Verify(token, published, Want{Issuer: want.Issuer, Audience: want.Audience, Now: lookedAt})
		require.NoError(t, err)
	})
}

// The tightest case of it: the first proof of a new key meets the oldest copy,
// taken where the key was known last.
func TestTheFirstProofMeetsTheOldestCopy(t *testing.T) {
	const late = 15 * time.Minute
	first, err := Ring{}.Next("", now)
	require.NoError(t, err)
	second, err := Ring{first}.Next("", now.Add(24*time.Hour))
	require.NoError(t, err)
	ring := Ring{first, second}
	signer, _ := ring.Signer(second.ActiveAt)
	require.Equal(t, second.ID, signer.ID)
	copiedAt := second.ActiveAt.Add(-CacheTime)
	assert.Contains(t, known(ring, copiedAt.Add(-late)).Published(copiedAt), second.Public())
}

func TestWhoSigns(t *testing.T) {
	k := func(id string, created, active, retired int) Key {
		hour := func(h int) time.Time { return now.Add(time.Duration(h) * time.Hour) }
		key := key(t, "")
		key.ID, key.CreatedAt, key.ActiveAt = id, hour(created), hour(active)
		if retired > 0 {
			key.RetiredAt = hour(retired)
		}
		return key
	}
	for _, tt := range []struct {
		name      string
		ring      Ring
		at        time.Duration
		signer    string
		published []string
		gone      []string
	}{
		{"nobody", nil, 0, "", nil, nil},
		{"not created yet", Ring{k("a", 1, 1, 0)}, 0, "", nil, nil},
		{"not active yet", Ring{k("a", 0, 2, 0)}, time.Hour, "", []string{"a"}, nil},
		{"one", Ring{k("a", 0, 0, 0)}, 1000 * time.Hour, "a", []string{"a"}, nil},
		{"its successor waits", Ring{k("a", 0, 0, 0), k("b", 1, 3, 0)}, 2 * time.Hour, "a", []string{"b", "a"}, nil},
		{"its successor signs", Ring{k("a", 0, 0, 0), k("b", 1, 3, 0)}, 3 * time.Hour, "b", []string{"b", "a"}, nil},
		{"still published", Ring{k("b", 1, 3, 0), k("a", 0, 0, 0)}, 3*time.Hour + Trail - time.Second, "b", []string{"b", "a"}, nil},
		{"published no more", Ring{k("b", 1, 3, 0), k("a", 0, 0, 0)}, 3*time.Hour + Trail, "b", []string{"b"}, []string{"a"}},
		{"two at once", Ring{k("b", 0, 0, 0), k("a", 0, 0, 0)}, 0, "b", []string{"b", "a"}, nil},
		{"retired", Ring{k("a", 0, 0, 2)}, 2 * time.Hour, "", []string{"a"}, nil},
		{"about to retire", Ring{k("a", 0, 0, 2)}, 2*time.Hour - time.Second, "a", []string{"a"}, nil},
		{"who was followed does not come back", Ring{k("a", 0, 0, 0), k("b", 0, 1, 2)}, 2 * time.Hour, "", []string{"b", "a"}, nil},
		{"retired before it was active, it follows nobody", Ring{k("a", 0, 0, 0), k("b", 0, 3, 1)}, 100 * time.Hour, "a", []string{"a"}, []string{"b"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at := now.Add(tt.at)
			signer, ok := tt.ring.Signer(at)
			assert.Equal(t, tt.signer, signer.ID)
			assert.Equal(t, tt.signer != "", ok)
			var published []string
			for _, k := range tt.ring.Published(at) {
				published = append(published, k.ID)
			}
			assert.Equal(t, tt.published, published)
			assert.Equal(t, tt.gone, tt.ring.Gone(at))
		})
	}
}

func TestWhenTheNextKeyIsMade(t *testing.T) {
	const every = 90 * 24 * time.Hour
	var ring Ring
	require.True(t, ring.Due(now, every))
	first, err := ring.Next("", now)
	require.NoError(t, err)
	assert.Equal(t, now, first.ActiveAt, "the first signs at once")
	ring = append(ring, first)
	assert.False(t, ring.Due(now.Add(every-time.Second), every))
	at := now.Add(every)
	assert.True(t, ring.Due(at, every))
	second, err := ring.Next(ES256, at)
	require.NoError(t, err)
	assert.Equal(t, at.Add(Lead), second.ActiveAt, "the next is published before")
	ring = append(ring, second)
	assert.False(t, ring.Due(at, every))

	// A key that was taken out of use is followed at once.
	at = second.ActiveAt.Add(time.Hour)
	ring[1].RetiredAt = at
	third, err := ring.Next("", at)
	require.NoError(t, err)
	assert.Equal(t, at, third.ActiveAt)
	_, err = ring.Next("none", at)
	require.Error(t, err)
}

func TestJWKS(t *testing.T) {
	ring := Ring{key(t, EdDSA), key(t, ES256)}
	ring[1].ActiveAt = now
	raw, err := ring.JWKS(now)
	require.NoError(t, err)
	var set struct {
		Keys []map[string]string `json:"keys"`
	}
	require.NoError(t, json.Unmarshal(raw, &set))
	require.Len(t, set.Keys, 2)
	for _, k := range set.Keys {
		require.Contains(t, []string{ring[0].ID, ring[1].ID}, k["kid"])
		assert.Equal(t, "sig", k["use"])
		names := []string{"alg", "crv", "kid", "kty", "use", "x"}
		if k["kty"] == "EC" {
			assert.Equal(t, "P-256", k["crv"])
			assert.Equal(t, ES256, k["alg"])
			names = append(names, "y")
		} else {
			assert.Equal(t, "OKP", k["kty"])
			assert.Equal(t, "Ed25519", k["crv"])
			assert.Equal(t, EdDSA, k["alg"])
		}
		var has []string
		for name := range k {
			has = append(has, name)
		}
		assert.ElementsMatch(t, names, has, "nothing private, d above all")
	}
	raw, err = Ring{}.JWKS(now)
	require.NoError(t, err)
	assert.JSONEq(t, `{"keys":[]}`, string(raw))
}

// What a backend elsewhere does: it fetches what an installation publishes.
func TestRemoteKeys(t *testing.T) {
	var at atomic.Int64
	clock := func() time.Time { return now.Add(time.Duration(at.Load())) }
	first, err := Ring{}.Next("", now.Add(-time.Hour))
	require.NoError(t, err)
	var ring atomic.Pointer[Ring]
	ring.Store(&Ring{first})
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		raw, err := ring.Load().JWKS(clock())
		assert.NoError(t, err)
		_, _ = w.Write(raw)
	}))
	t.Cleanup(server.Close)
	keys, err := NewRemoteKeys(RemoteConfig{URL: server.URL, Targets: outbound.NewTargets(true), Now: clock})
	require.NoError(t, err)
	t.Cleanup(keys.Close)
	verify := func(k Key) error {
		c := good()
		c.IssuedAt, c.ExpiresAt = clock(), clock().Add(time.Minute)
		token, err := Mint(k, c)
		require.NoError(t, err)
		_, err = Verify(token, keys.In(t.Context()), Want{Issuer: want.Issuer, Audience: want.Audience, Now: clock()})
		return err
	}
	assert.Zero(t, asked.Load(), "nothing is fetched before it is needed")
	require.NoError(t, verify(first))
	require.NoError(t, verify(first))
	assert.EqualValues(t, 1, asked.Load())

	// With one key published, a proof still has to name it.
	c := good()
	payload, err := c.MarshalJSON()
	require.NoError(t, err)
	_, err = Verify(forge(t, first, nil, payload), keys.In(t.Context()), want)
	require.NoError(t, err)
	_, err = Verify(forge(t, first, map[string]any{"kid": nil}, payload), keys.In(t.Context()), want)
	require.ErrorIs(t, err, ErrRefused)

	// A key that appears at once, as after a retirement, is asked for.
	second, err := Ring{}.Next(ES256, clock())
	require.NoError(t, err)
	ring.Store(&Ring{first, second})
	require.ErrorIs(t, verify(second), ErrRefused, "but not twice in a moment")
	at.Add(int64(time.Minute))
	require.NoError(t, verify(second))
	require.ErrorIs(t, verify(key(t, "")), ErrRefused)
	assert.EqualValues(t, 2, asked.Load())

	server.Close()
	at.Add(int64(24 * time.Hour))
	require.ErrorIs(t, verify(second), ErrKeysUnavailable)

	for _, url := range []string{"http://reconsent.example/", "https://10.0.0.1/", "", ":"} {
		_, err = NewRemoteKeys(RemoteConfig{URL: url, Targets: outbound.NewTargets(false), Now: clock})
		require.Error(t, err, url)
	}
}

// The issuer of users' tokens and of proofs may even publish the same keys: what
// tells them apart is their type.
func TestNeitherStandsInForTheOther(t *testing.T) {
	k := key(t, "")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		raw, err := Ring{k}.JWKS(now)
		assert.NoError(t, err)
		_, _ = w.Write(raw)
	}))
	t.Cleanup(server.Close)
	v := usertoken.New(usertoken.Config{Targets: outbound.NewTargets(true), Now: func() time.Time { return now }})
	t.Cleanup(v.Close)
	rules := &usertoken.Rules{Issuer: want.Issuer, Audience: want.Audience, NamesRequired: true, Algorithms: []string{EdDSA}, JWKSURL: server.URL}
	minted, err := Mint(k, good())
	require.NoError(t, err)
	_, err = v.Verify(t.Context(), minted, rules)
	require.ErrorIs(t, err, usertoken.ErrRefused)

	payload, err := good().MarshalJSON()
	require.NoError(t, err)
	user := forge(t, k, map[string]any{"typ": "JWT"}, payload)
	_, err = v.Verify(t.Context(), user, rules)
	require.NoError(t, err, "but for its type it is the same")
	_, err = Verify(user, KeySet{k.Public()}, want)
	require.ErrorIs(t, err, ErrRefused)
}

func BenchmarkVerify(b *testing.B) {
	k := key(b, "")
	token, err := Mint(k, good())
	require.NoError(b, err)
	b.Run("ours", func(b *testing.B) {
		for b.Loop() {
			_, err := Verify(token, KeySet{k.Public()}, want)
			require.NoError(b, err)
		}
	})
	parser := jwt.NewParser(jwt.WithValidMethods(algorithms), jwt.WithTimeFunc(func() time.Time { return now }))
	b.Run("library", func(b *testing.B) {
		for b.Loop() {
			_, err := parser.ParseWithClaims(token, jwt.MapClaims{}, func(*jwt.Token) (any, error) { return k.Public().Key, nil })
			require.NoError(b, err)
		}
	})
}

func ExampleRing() {
	at := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	var ring Ring
	for range 2 {
		k, err := ring.Next(EdDSA, at)
		if err != nil {
			panic(err)
		}
		ring = append(ring, k)
	}
	fmt.Println(len(ring.Published(at)), "keys are published")
	signer, _ := ring.Signer(at)
	fmt.Println("the first signs:", signer.ID == ring[0].ID)
	signer, _ = ring.Signer(at.Add(Lead))
	fmt.Println("then the second:", signer.ID == ring[1].ID)
	// Output:
	// 2 keys are published
	// the first signs: true
	// then the second: true
}
