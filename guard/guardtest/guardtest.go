package guardtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/reconsent/reconsent/guard"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/proof"
	"github.com/reconsent/reconsent/reauth/usertoken"
)

// What the tokens and the configuration say.
const (
	Application = "app_test"
	APIKey      = "key_test"
	Secret      = "a secret of the tests, 32 bytes and more"
	UserIssuer  = "https://id.example"
)

// tokenLife is of the user's JWT.
const tokenLife = time.Hour

// Use is what was posted to /v1/proofs/verify.
type Use struct {
	Proof          string          `json:"proof"`
	UserID         string          `json:"user_id"`
	SessionID      string          `json:"session_id"`
	Operation      string          `json:"operation"`
	Level          string          `json:"level"`
	AfterMinutes   int             `json:"after_minutes"`
	Details        *reauth.Details `json:"details"`
	IdempotencyKey string          `json:"idempotency_key"`
}

// Installation publishes the keys of its proofs and uses proofs up.
type Installation struct {
	*httptest.Server

	now func() time.Time

	mu      sync.Mutex
	ring    proof.Ring
	count   int
	used    map[string]string // idempotency key by proof
	uses    []Use
	fetches int
	answer  http.HandlerFunc
}

// New starts an installation by this clock. Close it in the end.
func New(now func() time.Time) *Installation {
	i := &Installation{now: now, used: map[string]string{}}
	i.Rotate(proof.EdDSA)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/jwks.json", i.jwks)
	mux.HandleFunc("POST /v1/proofs/verify", i.verify)
	i.Server = httptest.NewServer(mux)
	return i
}

// Config is a guard's configuration for the installation.
func (i *Installation) Config() guard.Config {
	return guard.Config{
		BaseURL: i.URL, ApplicationID: Application, APIKey: APIKey, Dev: true, Now: i.now,
		User: usertoken.Rules{Issuer: UserIssuer, Audience: Application, Algorithms: []string{"HS256"}, Secret: []byte(Secret)},
	}
}

// Rotate makes a new key, EdDSA or ES256, that the next proofs are signed with.
// The old ones stay published.
func (i *Installation) Rotate(algorithm string) {
	k, err := proof.Generate(algorithm, i.now())
	must(err)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.ring = append(i.ring, k)
}

// Answer has /v1/proofs/verify answer as h does; nil ends it.
func (i *Installation) Answer(h http.HandlerFunc) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answer = h
}

// Uses are what was posted to /v1/proofs/verify.
func (i *Installation) Uses() []Use {
	i.mu.Lock()
	defer i.mu.Unlock()
	return append([]Use(nil), i.uses...)
}

// Fetches is how often the keys were fetched.
func (i *Installation) Fetches() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

// UserToken is a user's JWT, of the identity provider, issued now.
func (i *Installation) UserToken(user, session string) string {
	now := i.now()
	s, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"iss": UserIssuer, "aud": Application, "sub": user, "sid": session, "iat": now.Unix(), "exp": now.Add(tokenLife).Unix(),
	}).SignedString([]byte(Secret))
	must(err)
	return s
}

// Proof is a proof for a user and session that has a second factor: password and
// TOTP, proven now. The changes are made before it is signed.
func (i *Installation) Proof(user, session, level string, changes ...func(*proof.Claims)) string {
	now := i.now()
	i.mu.Lock()
	defer i.mu.Unlock()
	i.count++
	c := proof.Claims{
		Issuer: i.URL, Audience: Application, Subject: user, Session: session, ID: fmt.Sprintf("prf_%d", i.count),
		IssuedAt: now, ExpiresAt: now.Add(5 * time.Minute), AuthTime: now, AMR: []string{"pwd", "otp", "mfa"}, Level: level,
		Factors: []proof.Factor{
			{Method: "password", Role: proof.First, At: now},
			{Method: "totp", Role: proof.Second, At: now, Ref: "fac_1"},
		},
		SecondFactorEnrolled: true,
	}
	for _, change := range changes {
		change(&c)
	}
	s, err := proof.Mint(i.ring[len(i.ring)-1], c)
	must(err)
	return s
}

func (i *Installation) jwks(w http.ResponseWriter, _ *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.fetches++
	raw, err := i.ring.JWKS(i.now())
	must(err)
	w.Header().Set("Content-Type", "application/jwk-set+json")
	_, _ = w.Write(raw)
}

// verify uses up a proof as the installation does: once, as it is bound, and for
// an operation of some level. Its application has named none.
func (i *Installation) verify(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	var u Use
	if err := json.NewDecoder(r.Body).Decode(&u); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	i.uses = append(i.uses, u)
	if i.answer != nil {
		i.answer(w, r)
		return
	}
	c, err := proof.Verify(u.Proof, i.keys(), proof.Want{Issuer: i.URL, Audience: Application, Now: i.now()})
	earlier, used := i.used[u.Proof]
	switch {
	case r.Header.Get("Authorization") != "Bearer "+APIKey:
		w.WriteHeader(http.StatusUnauthorized)
	case u.Operation == "" || u.Level == "":
		w.WriteHeader(http.StatusBadRequest)
	case err != nil || c.Subject != u.UserID || c.Session != u.SessionID || !bound(c.Operation, u):
		w.WriteHeader(http.StatusForbidden)
	case used && earlier != u.IdempotencyKey:
		w.WriteHeader(http.StatusConflict)
	default:
		i.used[u.Proof] = u.IdempotencyKey
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"valid": true, "level": c.Level, "auth_time": c.AuthTime, "amr": c.AMR})
	}
}

func (i *Installation) keys() proof.KeySet {
	var set proof.KeySet
	for _, k := range i.ring {
		set = append(set, k.Public())
	}
	return set
}

func bound(op *proof.Operation, u Use) bool {
	if op == nil {
		return u.Details == nil // it names no operation, and counts for any
	}
	digest := ""
	if u.Details != nil {
		var err error
		if digest, err = u.Details.Digest(); err != nil {
			return false
		}
	}
	return op.Name == u.Operation && op.Digest == digest
}

// must panics: a test's stand-in that cannot sign has nothing to say.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
