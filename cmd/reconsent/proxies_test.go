package main

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestOnlyTrustedProxiesSayWhereACallerIs asks from this machine, in the name of
// another.
func TestOnlyTrustedProxiesSayWhereACallerIs(t *testing.T) {
	for _, tt := range []struct{ name, proxies, prefix string }{
		{"nobody is trusted", "", "127.0.0.0/24"},
		{"another is", "192.0.2.0/24", "127.0.0.0/24"},
		{"this one is", "192.0.2.0/24, 127.0.0.1", "203.0.113.0/24"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := install(t, sqliteFile(t))
			succeeds(t, in.with("app", "reauth", "acme", "--issuer", "https://id.example", "--audience", "app", "--algorithms", "HS256",
				"--secret-file", written(t, t.TempDir(), "secret", sharedSecret))...)
			p := start(t, in.with("serve", "--addr", "127.0.0.1:0", "--trusted-proxies", tt.proxies)...)
			var said struct {
				Addr string `json:"addr"`
			}
			require.Eventually(t, func() bool { return json.Unmarshal([]byte(p.errs.String()), &said) == nil && said.Addr != "" }, waitLong, waitStep)
			ask(t, http.MethodPut, "http://"+said.Addr+"/v1/users/ada", in.key, `{"email":"ada@example.org"}`, http.StatusOK, nil)

			token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
				"iss": "https://id.example", "aud": "app", "sub": "ada", "sid": "s1", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
			}).SignedString([]byte(sharedSecret))
			require.NoError(t, err)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+said.Addr+"/reauthenticate", http.NoBody)
			require.NoError(t, err)
			req.Header.Set("Authorization", "Bearer "+token)
			req.Header.Set("X-Forwarded-For", "203.0.113.9")
			resp, err := http.DefaultClient.Do(req)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, http.StatusForbidden, resp.StatusCode)

			list := auditOf(t, in)
			require.NotEmpty(t, list)
			assert.Equal(t, tt.prefix, list[0].IPPrefix)
		})
	}
}
