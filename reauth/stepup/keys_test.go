package stepup_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/reauth/proof"
	"github.com/reconsent/reconsent/reauth/stepup"
)

// The keys that sign proofs: reauth-wire.md 6.

// published reads the JWKS as another system would.
func (w *world) published() proof.KeySet {
	w.Helper()
	return publishedBy(w, w.Service)
}

func publishedBy(w *world, s *stepup.Service) proof.KeySet {
	w.Helper()
	body, _, err := s.JWKS(ctx(w))
	require.NoError(w, err)
	var set struct {
		Keys []struct {
			Kid string `json:"kid"`
			Alg string `json:"alg"`
			Kty string `json:"kty"`
			X   string `json:"x"`
			D   string `json:"d"`
		} `json:"keys"`
	}
	require.NoError(w, json.Unmarshal(body, &set))
	var keys proof.KeySet
	for _, k := range set.Keys {
		require.Empty(w, k.D, "a private key is published")
		require.Equal(w, "OKP", k.Kty)
		x, err := base64.RawURLEncoding.DecodeString(k.X)
		require.NoError(w, err)
		keys = append(keys, proof.PublicKey{ID: k.Kid, Algorithm: k.Alg, Key: ed25519.PublicKey(x)})
	}
	return keys
}

func TestTwoReplicasMakeOneKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	replicas := []*stepup.Service{w.Service, w.another(), w.another(), w.another()}
	won := w.atOnce(len(replicas), func(i int) error {
		_, _, err := replicas[i].JWKS(ctx(w))
		return err
	})
	assert.Equal(t, len(replicas), won)
	first := w.published()
	require.Len(t, first, 1)
	for _, r := range replicas {
		assert.Equal(t, first, publishedBy(w, r))
	}
}

func TestAKeyIsFollowedByAnotherAndItsProofsVerifyThroughTheOverlap(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.published()
	first := w.published()[0].ID

	w.advance(stepup.RotateEvery - 2*time.Minute)
	require.NoError(t, w.Upkeep(ctx(w)))
	w.advance(2 * time.Minute) // what is known of the keys is read anew
	require.Len(t, w.published(), 1, "it was not time yet")

	// Replicas that all see that it is time make one key.
	replicas := []*stepup.Service{w.Service, w.another(), w.another()}
	assert.Equal(t, 3, w.atOnce(3, func(i int) error { return replicas[i].Upkeep(ctx(w)) }))
	w.advance(2 * time.Minute)
	keys := w.published()
	require.Len(t, keys, 2)
	second := keys[0].ID
	require.NotEqual(t, first, second)

	// Until every verifier can know the second, the first signs.
	w.advance(proof.Lead - 3*time.Minute)
	before := w.prove(w.caller(nil), stepup.Ask{Level: "strict"}, withPassword).Proof
	assert.Equal(t, first, keyOf(t, before))
	w.advance(2 * time.Minute)
	after := w.prove(w.caller(nil), stepup.Ask{Level: "strict"}, withPassword).Proof
	assert.Equal(t, second, keyOf(t, after))

	w.advance(7 * time.Minute)
	w.claims(before)
	w.claims(after)
	w.good(use(before, "transfer"))

	w.advance(proof.Trail)
	require.NoError(t, w.Upkeep(ctx(w)))
	w.advance(2 * time.Minute)
	keys = w.published()
	require.Len(t, keys, 1)
	assert.Equal(t, second, keys[0].ID)
}

// Whoever comes second to drop a key finds it gone, and that is all.
func TestReplicasDropAKeyTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.published()
	require.NoError(t, w.RotateKeys(ctx(w)))
	w.advance(proof.Lead + proof.Trail + time.Hour)
	slow := &meddler{Store: w.store}
	slow.before = func() { require.NoError(t, w.Upkeep(ctx(w))) }
	require.NoError(t, w.over(slow).Upkeep(ctx(w)))
	require.Len(t, w.published(), 1)
}

func keyOf(t *testing.T, text string) string {
	t.Helper()
	first, _, _ := strings.Cut(text, ".")
	head, err := base64.RawURLEncoding.DecodeString(first)
	require.NoError(t, err)
	var h struct {
		Kid string `json:"kid"`
		Typ string `json:"typ"`
	}
	require.NoError(t, json.Unmarshal(head, &h))
	assert.Equal(t, "reverification+jwt", h.Typ)
	return h.Kid
}

// A proof is good at its own installation and application only.
func TestAProofOfAnotherKeyIsNone(t *testing.T) {
	t.Parallel()
	w, stranger := newWorld(t), newWorld(t)
	foreign := stranger.prove(stranger.caller(nil), stepup.Ask{Operation: "transfer"}, withPassword).Proof
	_, err := w.Use(ctx(w), w.app.ID, use(foreign, "transfer"))
	w.refused(stepup.CodeProofInvalid, err)
}
