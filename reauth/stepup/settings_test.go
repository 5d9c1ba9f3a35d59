package stepup_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/reauth/stepup"
)

func TestDurationsOfSettingsAreText(t *testing.T) {
	set := stepup.Settings{Identity: stepup.Identity{Issuer: "https://id.example", Algorithms: []string{"RS256"}, TrustAMR: true, MaxTokenAge: 90 * time.Minute}}
	text, err := json.Marshal(set)
	require.NoError(t, err)
	assert.JSONEq(t, `{"identity":{"issuer":"https://id.example","algorithms":["RS256"],"trust_amr":true,"max_token_age":"1h30m0s"},"passkeys":{},"openid":{}}`, string(text))
	var back stepup.Settings
	require.NoError(t, json.Unmarshal(text, &back))
	assert.Equal(t, set, back)

	for _, bad := range []string{`{"identity":{"max_token_age":5}}`, `{"identity":{"max_token_age":"soon"}}`} {
		assert.Error(t, json.Unmarshal([]byte(bad), &back), bad)
	}
}
