package connector_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/connector"
	"github.com/reconsent/reconsent/seal"
)

// A password that stays is kept as it is sealed, by which it is known to stay;
// and moves to the new key when the old one was rotated away.
func TestAPasswordThatStaysFollowsTheKeys(t *testing.T) {
	w := newWorld(t)
	const hash = "$2b$12$abcdefghijklmnopqrstuuzzfwLY11Q0O66TF2XZ7FUib2Ngtn1va"
	put := func(keys *seal.Keys) []byte {
		t.Helper()
		c := connector.New(connector.Config{Registry: w.reg, Keys: keys, Now: w.bank.Clock().Now, BaseURL: ourBase})
		answered, err := c.PutUser(t.Context(), w.app, "ada", connector.Contact{PasswordHash: hash})
		require.NoError(t, err)
		u, err := w.reg.User(t.Context(), w.app.ID, "ada")
		require.NoError(t, err)
		assert.Equal(t, u, answered)
		plain, err := keys.Open(u.PasswordHash, w.app.ID+"/ada")
		require.NoError(t, err)
		assert.Equal(t, hash, string(plain))
		return u.PasswordHash
	}
	before := put(w.keys)
	assert.Equal(t, before, put(w.keys))
	rotated, err := w.keys.Rotate()
	require.NoError(t, err)
	after := put(rotated)
	assert.True(t, rotated.Current(after))
	assert.Equal(t, after, put(rotated))
	_, err = w.keys.Open(after, w.app.ID+"/ada")
	require.ErrorIs(t, err, seal.ErrOpen)
}
