package password_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/reauth/password"
)

const (
	salt = "c29tZXNhbHQ" // somesalt
	sum  = "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
)

// Hashes that others made: test.c of the argon2 reference implementation,
// Openwall's wrapper.c for bcrypt, and libxcrypt.
var made = []struct{ hash, password string }{
	{"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", "password"},
	{"$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc", "password"},
	{"$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "password"},
	{"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"},
	{"$2a$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a", "U*U*U"},
	{"$2y$06$abcdefghijklmnopqrstuud/5IuQmqhVO0kfNEbHJM.fJkPiliBzC", "correct horse"},
	{"$2b$04$abcdefghijklmnopqrstuuzzfwLY11Q0O66TF2XZ7FUib2Ngtn1va", "Grüße"},
	{"$2b$04$abcdefghijklmnopqrstuubzadhGtS2zEF.gu0yd0opP6cVzb.e0i", strings.Repeat("x", 72)},
}

func TestHashesThatOthersMade(t *testing.T) {
	p := password.New(2)
	for _, m := range made {
		require.NoError(t, password.Check(m.hash), m.hash)
		ok, err := p.Verify(t.Context(), m.hash, m.password)
		require.NoError(t, err)
		assert.True(t, ok, m.hash)
		for _, wrong := range []string{m.password + "x", m.password[1:], strings.ToUpper(m.password) + " ", "\u00a0" + m.password} {
			ok, err := p.Verify(t.Context(), m.hash, wrong)
			require.NoError(t, err)
			assert.False(t, ok, "%s: %q", m.hash, wrong)
		}
	}
}

func TestAPasswordIsTakenAsItIs(t *testing.T) {
	p := password.New(1)
	const hash = "$2b$04$abcdefghijklmnopqrstuuzzfwLY11Q0O66TF2XZ7FUib2Ngtn1va" // of Grüße, composed
	ok, err := p.Verify(t.Context(), hash, "Gru\u0308ße")
	require.NoError(t, err)
	assert.False(t, ok, "decomposed, which looks the same")
}

func TestBcryptCutsNothingOff(t *testing.T) {
	p := password.New(1)
	// Openwall's own vector, and what the C code takes for the same.
	const hash = "$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui"
	const first72 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	for typed, want := range map[string]bool{first72: true, first72 + "chars after 72 are ignored as usual": false, first72 + "x": false, first72[:71]: false} {
		ok, err := p.Verify(t.Context(), hash, typed)
		require.NoError(t, err)
		assert.Equal(t, want, ok, typed)
	}
	// Argon2id has no such end.
	ok, err := p.Verify(t.Context(), made[0].hash, first72+"x")
	require.NoError(t, err)
	assert.False(t, ok)
}

func TestPasswordsThatAreNobodys(t *testing.T) {
	p := password.New(1)
	for _, m := range made {
		for name, typed := range map[string]string{
			"empty": "", "NUL": "\x00", "NUL after it": m.password + "\x00", "NUL and more": m.password + "\x00x", "1025 bytes": strings.Repeat("x", 1025), "huge": strings.Repeat("x", 1<<20),
		} {
			ok, err := p.Verify(t.Context(), m.hash, typed)
			require.NoError(t, err)
			assert.False(t, ok, "%s: %s", name, m.hash)
		}
	}
}

func TestHashesThatAreNotTaken(t *testing.T) {
	argon2id := func(params string) string { return "$argon2id$v=19$" + params + "$" + salt + "$" + sum }
	for name, c := range map[string]struct{ hash, reason string }{
		"nothing":               {"", "neither argon2id"},
		"a password":            {"hunter2-secret", "neither argon2id"},
		"MD5":                   {"5f4dcc3b5aa765d61d8327deb882cf99", "neither argon2id"},
		"SHA-512-crypt":         {"$6$salt$abc", "neither argon2id"},
		"PBKDF2":                {"pbkdf2_sha256$1000$a$b", "neither argon2id"},
		"scrypt":                {"$scrypt$ln=15,r=8,p=1$a$b", "neither argon2id"},
		"space in front":        {" " + argon2id("m=256,t=2,p=1"), "neither argon2id"},
		"huge":                  {argon2id("m=256,t=2,p=1") + strings.Repeat("A", 2000), "longer than 1024 bytes"},
		"argon2i":               {"$argon2i$v=19$m=256,t=2,p=1$" + salt + "$" + sum, "only argon2id"},
		"argon2d":               {"$argon2d$v=19$m=256,t=2,p=1$" + salt + "$" + sum, "only argon2id"},
		"no version":            {"$argon2id$m=256,t=2,p=1$" + salt + "$" + sum, "has the form"},
		"version 16":            {"$argon2id$v=16$m=256,t=2,p=1$" + salt + "$" + sum, "version 19"},
		"no hash":               {"$argon2id$v=19$m=256,t=2,p=1$" + salt, "has the form"},
		"more":                  {argon2id("m=256,t=2,p=1") + "$x", "has the form"},
		"over 64 MiB":           {argon2id("m=65537,t=2,p=1"), "m must lie between 8 and 65536"},
		"4 GiB":                 {argon2id("m=4194304,t=1,p=1"), "m must lie"},
		"beyond 32 bits":        {argon2id("m=4294967552,t=1,p=1"), "m must lie"},
		"beyond 64 bits":        {argon2id("m=18446744073709551872,t=1,p=1"), "whole numbers"},
		"too little for p":      {argon2id("m=31,t=1,p=4"), "m must lie between 32"},
		"no memory":             {argon2id("m=0,t=1,p=1"), "m must lie"},
		"5 passes":              {argon2id("m=256,t=5,p=1"), "t must lie between 1 and 4"},
		"no pass":               {argon2id("m=256,t=0,p=1"), "t must lie"},
		"17 threads":            {argon2id("m=256,t=1,p=17"), "p must lie between 1 and 16"},
		"257 threads":           {argon2id("m=4096,t=1,p=257"), "p must lie"},
		"no thread":             {argon2id("m=256,t=1,p=0"), "p must lie"},
		"other order":           {argon2id("t=2,m=256,p=1"), "in this order"},
		"one missing":           {argon2id("m=256,t=2"), "m, t and p"},
		"one more":              {argon2id("m=256,t=2,p=1,keyid=a"), "m, t and p"},
		"sign":                  {argon2id("m=+256,t=2,p=1"), "whole numbers"},
		"minus":                 {argon2id("m=256,t=-2,p=1"), "t must lie"},
		"zeros in front":        {argon2id("m=0256,t=2,p=1"), "whole numbers"},
		"no number":             {argon2id("m=256,t=,p=1"), "whole numbers"},
		"short salt":            {"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbA$" + sum, "salt must have between 8 and 64"},
		"long salt":             {"$argon2id$v=19$m=256,t=2,p=1$" + strings.Repeat("AAAA", 22) + "$" + sum, "salt must have"},
		"short sum":             {"$argon2id$v=19$m=256,t=2,p=1$" + salt + "$AAAAAAAAAAAAAAAAAAAA", "hash must have between 16 and 64"},
		"long sum":              {"$argon2id$v=19$m=256,t=2,p=1$" + salt + "$" + strings.Repeat("AAAA", 22), "hash must have"},
		"no sum":                {"$argon2id$v=19$m=256,t=2,p=1$" + salt + "$", "hash must have"},
		"padded":                {argon2id("m=256,t=2,p=1") + "=", "base64 without padding"},
		"URL alphabet":          {"$argon2id$v=19$m=256,t=2,p=1$" + salt + "$" + strings.ReplaceAll(sum, "/", "_"), "base64 without padding"},
		"spare bits":            {"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHR$" + sum, "base64 without padding"},
		"a line break":          {"$argon2id$v=19$m=256,t=2,p=1$" + salt + "\n$" + sum, "base64 without padding"},
		"bcrypt 2x":             {"$2x$05$" + strings.Repeat("a", 53), "$2a$, $2b$ and $2y$"},
		"bcrypt 2":              {"$2$05$" + strings.Repeat("a", 53), "has the form"},
		"bcrypt cut":            {"$2b$05$" + strings.Repeat("a", 52), "has the form"},
		"bcrypt and more":       {"$2b$05$" + strings.Repeat("a", 54), "has the form"},
		"bcrypt, other letters": {"$2b$05$" + strings.Repeat("a", 52) + "+", "has the form"},
		"bcrypt cost 3":         {"$2b$03$" + strings.Repeat("a", 53), "cost must lie between 04 and 14"},
		"bcrypt cost 15":        {"$2b$15$" + strings.Repeat("a", 53), "cost must lie"},
		"bcrypt cost 31":        {"$2b$31$" + strings.Repeat("a", 53), "cost must lie"},
		"bcrypt cost +5":        {"$2b$+5$" + strings.Repeat("a", 53), "cost must lie"},
		"bcrypt cost xx":        {"$2b$xx$" + strings.Repeat("a", 53), "cost must lie"},
	} {
		t.Run(name, func(t *testing.T) {
			err := password.Check(c.hash)
			require.ErrorIs(t, err, password.ErrHash)
			require.ErrorContains(t, err, c.reason)
			assert.NotContains(t, err.Error(), "secret")
			// What an import let through before there was a limit costs nothing either.
			ok, err := password.New(1).Verify(t.Context(), c.hash, "password")
			require.ErrorIs(t, err, password.ErrHash)
			assert.False(t, ok)
		})
	}
}

func TestTheLimitsThemselvesAreTaken(t *testing.T) {
	for _, hash := range []string{
		"$argon2id$v=19$m=65536,t=4,p=16$" + salt + "$" + sum,
		"$argon2id$v=19$m=8,t=1,p=1$" + salt + "$" + sum,
		"$argon2id$v=19$m=19456,t=2,p=1$" + strings.Repeat("A", 86) + "$" + strings.Repeat("A", 86), // 64 bytes each
		"$2a$04$" + strings.Repeat("a", 53),
		"$2y$14$" + strings.Repeat("a", 53),
	} {
		assert.NoError(t, password.Check(hash), hash)
	}
}

func FuzzCheck(f *testing.F) {
	for _, m := range made {
		f.Add(m.hash)
	}
	f.Add("$argon2id$v=19$m=8,t=1,p=1$$")
	f.Add("$2b$14$")
	f.Fuzz(func(t *testing.T, hash string) {
		err := password.Check(hash)
		if err != nil {
			return
		}
		// What is taken is written in one way only: its numbers can be read back.
		var m, passes, p, cost int
		if n, _ := fmt.Sscanf(hash, "$argon2id$v=19$m=%d,t=%d,p=%d$", &m, &passes, &p); n == 3 {
			if m < 8*p || m > 65536 || passes < 1 || passes > 4 || p < 1 || p > 16 {
				t.Fatalf("%q is taken", hash)
			}
		} else if n, _ := fmt.Sscanf(hash[3:6], "$%d", &cost); n != 1 || cost < 4 || cost > 14 || len(hash) != 60 {
			t.Fatalf("%q is taken", hash)
		}
	})
}
