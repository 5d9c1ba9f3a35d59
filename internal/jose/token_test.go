package jose

import (
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Whoever hands over keys may hand over the wrong ones: a public key is no
// secret here either, though anybody could have signed under it.
func TestAKeyThatDoesNotFitVerifiesNothing(t *testing.T) {
	public := []byte(edKey(1))
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "alice"}).SignedString(public)
	require.NoError(t, err)
	open := func(key any) error {
		_, err := Open(token, Demands{Algorithms: []string{"HS256", "EdDSA"}, Types: []string{"jwt"}, Keys: func(Header) ([]any, error) { return []any{key}, nil }})
		return err
	}
	require.ErrorIs(t, open(edKey(1)), ErrRefused)
	require.ErrorIs(t, open([]byte{}), ErrRefused)
	require.ErrorIs(t, open(nil), ErrRefused)
	require.NoError(t, open(public), "the same bytes, given as a secret")
}

func TestNamesThatStandTwice(t *testing.T) {
	for raw, want := range map[string]bool{
		`{}`:                                   true,
		` {"a":1,"b":{"a":1},"c":[{"a":"a"}]}`: true,
		`{"a":"a","b":"a : a","c":"\":"}`:      true,
		`{"a":["b","b"],"b":"b"}`:              true,
		`{"a":1,"a":1}`:                        false,
		`{"a":1,"\u0061" : 1}`:                 false,
		`{"a":{"b":1,"b":2}}`:                  false,
		`{"a":[{"b":1},{"b":1,"c":[],"b":1}]}`: false,
		`{"a\"":1,"a\"":1}`:                    false,
		`[]`:                                   false,
		`"a"`:                                  false,
		``:                                     false,
		`{"a":1}{}`:                            false,
	} {
		assert.Equal(t, want, unique([]byte(raw)), raw)
	}
}
