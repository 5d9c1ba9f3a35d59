package ginguard_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/gin-gonic/gin"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/guard"
	"github.com/reconsent/reconsent/guard/ginguard"
	"github.com/reconsent/reconsent/guard/guardtest"
	"github.com/reconsent/reconsent/reauth/proof"
)

// bare verifies the same two JWTs and nothing else: signature, algorithm, issuer,
// audience and time of each, and that they name one user and session.
func bare(users, proofs jwt.Keyfunc, algorithm string, installation *guardtest.Installation) gin.HandlerFunc {
	clock := jwt.WithTimeFunc(noon)
	user := jwt.NewParser(clock, jwt.WithValidMethods([]string{algorithm}), jwt.WithIssuer(guardtest.UserIssuer), jwt.WithAudience(guardtest.Application), jwt.WithExpirationRequired())
	shown := jwt.NewParser(clock, jwt.WithValidMethods([]string{"EdDSA", "ES256"}), jwt.WithIssuer(installation.URL), jwt.WithAudience(guardtest.Application), jwt.WithExpirationRequired())
	return func(c *gin.Context) {
		u, err := user.Parse(strings.TrimPrefix(c.GetHeader("Authorization"), "Bearer "), users)
		if err != nil {
			c.AbortWithStatus(http.StatusUnauthorized)
			return
		}
		p, err := shown.Parse(c.GetHeader(guard.ProofHeader), proofs)
		if err != nil {
			c.AbortWithStatus(http.StatusForbidden)
			return
		}
		a, b := u.Claims.(jwt.MapClaims), p.Claims.(jwt.MapClaims)
		if a["sub"] != b["sub"] || a["sid"] != b["sid"] {
			c.AbortWithStatus(http.StatusForbidden)
		}
	}
}

// BenchmarkGuard compares the offline middleware with a handler that verifies the
// same two JWTs bare: it is to stay within 15 %, for the two usual kinds of
// user JWT and both algorithms of proofs.
func BenchmarkGuard(b *testing.B) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(b, err)
	for _, user := range []string{"HS256", "RS256"} {
		for _, algorithm := range []string{proof.EdDSA, proof.ES256} {
			b.Run(user+"-"+algorithm, func(b *testing.B) { compare(b, user, algorithm, key) })
		}
	}
}

func compare(b *testing.B, user, algorithm string, key *rsa.PrivateKey) {
	installation := guardtest.New(noon)
	b.Cleanup(installation.Close)
	installation.Rotate(algorithm)
	cfg := installation.Config()
	token := installation.UserToken("ada", "1")
	users := jwt.Keyfunc(func(*jwt.Token) (any, error) { return []byte(guardtest.Secret), nil })
	if user == "RS256" {
		j, err := jwkset.NewJWKFromKey(&key.PublicKey, jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: "k", ALG: jwkset.AlgRS256, USE: jwkset.UseSig}})
		require.NoError(b, err)
		provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_ = json.NewEncoder(w).Encode(map[string]any{"keys": []any{j.Marshal()}})
		}))
		b.Cleanup(provider.Close)
		cfg.User.Secret, cfg.User.JWKSURL, cfg.User.Algorithms = nil, provider.URL, []string{"RS256"}
		k, err := keyfunc.NewDefaultCtx(b.Context(), []string{provider.URL})
		require.NoError(b, err)
		users = k.Keyfunc
		t := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{
			"iss": guardtest.UserIssuer, "aud": guardtest.Application, "sub": "ada", "sid": "1", "iat": noon().Unix(), "exp": noon().Add(time.Hour).Unix(),
		})
		t.Header["kid"] = "k"
		token, err = t.SignedString(key)
		require.NoError(b, err)
	}
	proofs, err := keyfunc.NewDefaultCtx(b.Context(), []string{installation.URL + "/.well-known/jwks.json"})
	require.NoError(b, err)
	g, err := guard.New(cfg)
	require.NoError(b, err)
	b.Cleanup(g.Close)

	ok := func(c *gin.Context) { c.Status(http.StatusNoContent) }
	r := gin.New()
	r.POST("/bare", bare(users, proofs.Keyfunc, user, installation), ok)
	r.POST("/guard", ginguard.RequireReverification(g, "strict"), ok)
	shown := installation.Proof("ada", "1", "strict")
	// Turn about, so that what else the machine does falls on both alike; the
	// medians are compared.
	paths := []string{"/bare", "/guard"}
	took := map[string][]time.Duration{}
	for b.Loop() {
		for _, path := range paths {
			began := time.Now()
			w := send(r, path, token, shown)
			took[path] = append(took[path], time.Since(began))
			if w.Code != http.StatusNoContent {
				b.Fatal(w.Code, w.Body)
			}
		}
	}
	b.ReportMetric(0, "ns/op") // of both together, which says nothing
	for _, path := range paths {
		b.ReportMetric(median(took[path]), path[1:]+"-ns")
	}
	b.ReportMetric(median(took["/guard"])/median(took["/bare"]), "guard/bare")
}

func median(all []time.Duration) float64 {
	slices.Sort(all)
	return float64(all[len(all)/2])
}
