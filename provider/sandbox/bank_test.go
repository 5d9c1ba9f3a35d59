package sandbox

import (
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The logins of TrueLayer's mock bank (providers.md 1.11), all of them and no
// other.
func TestTheLoginsOfTheMockBank(t *testing.T) {
	names := []string{"john"}
	for i := 1; i <= 100; i++ {
		names = append(names, fmt.Sprintf("john%d", i))
	}
	accounts := map[string]string{}
	for _, name := range names {
		n := strings.TrimPrefix(name, "john")
		for _, password := range []string{"doe" + n, "iban" + n} {
			who, ok := signIn(name, password)
			assert.True(t, ok, "%s/%s", name, password)
			assert.Equal(t, login{Name: name}, who)
		}
		who, ok := signIn(name, "eternal")
		assert.Equal(t, name == "john", ok, "%s/eternal", name)
		assert.Equal(t, name == "john", ok && who.Eternal)
		for _, other := range []string{"", "doe", "doe0", "doe1", "doe101", "error"} {
			if other != "doe"+n {
				_, ok := signIn(name, other)
				assert.False(t, ok, "%s/%s", name, other)
			}
		}
		for _, b := range banks {
			for _, a := range accountsOf(b.ID, name, 0) {
				assert.Empty(t, accounts[a.IBAN], "%s of %s at %s is another's", a.IBAN, name, b.ID)
				accounts[a.IBAN] = name
			}
		}
	}
	for code := range dataErrors {
		who, ok := signIn("error."+code, "error")
		assert.True(t, ok, code)
		assert.Equal(t, code, who.DataError)
		_, ok = signIn("error."+code, "doe")
		assert.False(t, ok, code)
	}
	assert.Len(t, dataErrors, 6)
	for _, name := range []string{"", "john0", "john01", "john101", "john1000", "john-1", "John", "john ", "john\n", "error.", "error.gremlins", "john-stranger", "jane"} {
		for _, password := range []string{"", "doe", "doe0", "doe1", "doe101", "error", "eternal"} {
			_, ok := signIn(name, password)
			assert.False(t, ok, "%q/%q", name, password)
		}
	}
}

func TestACredentialsIDIsAFunctionOfClientBankAndLogin(t *testing.T) {
	seen := map[string]string{}
	for _, client := range []string{"acme", "other", "acm"} {
		for _, bankID := range []string{"mock", "mock-fr", "emock"} {
			for _, name := range []string{"john", "john1"} {
				id := credentialsID(client, bankID, name)
				assert.Equal(t, id, credentialsID(client, bankID, name))
				assert.Empty(t, seen[id])
				seen[id] = client + bankID + name
			}
		}
	}
}

func TestAccountNumbersAreValidAndLasting(t *testing.T) {
	national := map[string]string{"mock": `^GB\d\dMOCK012131\d{8}$`, "mock-fr": `^FR\d\d9999900001\d{11}\d\d$`, "mock-de": `^DE\d\d99999999\d{10}$`}
	for _, b := range banks {
		for i := range 101 {
			name := "john" + strings.TrimPrefix(strconv.Itoa(i), "0")
			list := accountsOf(b.ID, name, 0)
			require.Len(t, list, 2)
			assert.Equal(t, list, accountsOf(b.ID, name, 0))
			for _, a := range list {
				assert.Regexp(t, regexp.MustCompile(national[b.ID]), a.IBAN)
				assert.EqualValues(t, 1, ibanRest(t, a.IBAN), "%s (ISO 13616)", a.IBAN)
				if b.Country == "fr" {
					assert.EqualValues(t, 0, ribRest(t, a.IBAN[4:]), "%s", a.IBAN)
				}
				for _, other := range accountsOf(b.ID, name, 1) {
					assert.NotEqual(t, a.IBAN, other.IBAN)
				}
				for _, other := range accountsOf(b.ID, stranger(name), 0) {
					assert.NotEqual(t, a.IBAN, other.IBAN)
				}
			}
		}
	}
	assert.Equal(t, "GB29NWBK60161331926819", iban("GB", "NWBK60161331926819"), "the registry's example")
}

func ibanRest(t *testing.T, s string) int64 {
	t.Helper()
	var digits strings.Builder
	for _, r := range s[4:] + s[:4] {
		v, err := strconv.ParseInt(string(r), 36, 8)
		require.NoError(t, err)
		digits.WriteString(strconv.FormatInt(v, 10))
	}
	n, ok := new(big.Int).SetString(digits.String(), 10)
	require.True(t, ok)
	return new(big.Int).Mod(n, big.NewInt(97)).Int64()
}

func ribRest(t *testing.T, bban string) int64 {
	t.Helper()
	part := func(s string) int64 {
		n, err := strconv.ParseInt(s, 10, 64)
		require.NoError(t, err)
		return n
	}
	return (89*part(bban[:5]) + 15*part(bban[5:10]) + 3*part(bban[10:21]) + part(bban[21:])) % 97
}

func TestTransactionsOfADayAreLasting(t *testing.T) {
	a := accountsOf("mock", "john", 0)[0]
	now := time.Date(2027, 1, 31, 9, 0, 0, 0, time.UTC)
	list := transactionsOf(a, now)
	assert.Len(t, list, 10)
	assert.Equal(t, list, transactionsOf(a, now.Add(3*time.Hour)))
	assert.Equal(t, list[1:], transactionsOf(a, now.AddDate(0, 0, 3))[:9])
	for _, x := range list {
		assert.Negative(t, x.Amount)
		assert.True(t, x.At.Before(now))
	}
}

func TestWhereABrowserMayBeSent(t *testing.T) {
	for address, want := range map[string]bool{
		"https://app.example/cb": true, "https://app.example/cb?a=b&c=%2F": true, "http://127.0.0.1:3000/cb": true, "myapp://callback": true, "https://app.example": true,
		"": false, "/cb": false, "//app.example/cb": false, "app.example/cb": false, "https:///cb": false, "https://app.example/#x": false,
		"javascript://x/%0aalert(1)": false, "JavaScript://x/": false, "data://text/html,x": false, "vbscript://x/": false, "file://x/etc/passwd": false,
		"https://app.example\\@evil.example/": false, "https://app.example/ cb": false, "https://app.example/\r\nSet-Cookie: x": false, "javascript:alert(1)": false,
	} {
		assert.Equal(t, want, isRedirect(address), "%q", address)
	}
}

func TestRedirectURIsAreTheSameByteForByteButForALoopbackPort(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"https://app.example/cb", "https://app.example/cb", true},
		{"https://app.example/cb", "https://app.example/cb/", false},
		{"https://app.example/cb", "https://app.example:443/cb", false},
		{"https://app.example:1/cb", "https://app.example:2/cb", false},
		{"https://app.example/cb?a=%2F", "https://app.example/cb?a=/", false},
		{"https://app.example/cb", "https://APP.example/cb", false},
		{"http://127.0.0.1:1/cb", "http://127.0.0.1:2/cb", true},
		{"http://127.0.0.1/cb", "http://127.0.0.1:2/cb", true},
		{"http://localhost:1/cb", "http://localhost/cb", true},
		{"http://[::1]:1/cb", "http://[::1]:65535/cb", true},
		{"http://localhost:1/cb", "http://127.0.0.1:1/cb", false},
		{"http://127.0.0.1:1/cb", "https://127.0.0.1:1/cb", false},
		{"http://127.0.0.1:1/cb", "http://127.0.0.1:1/cb?x", false},
		{"http://127.0.0.1:1/cb", "http://127.0.0.1.evil.example:1/cb", false},
		{"http://127.0.0.1:1/cb", "http://127.0.0.1:1@evil.example/cb", false},
		{"http://127.0.0.1:1/cb", "", false},
		{"://", "http://127.0.0.1:1/cb", false},
	} {
		assert.Equal(t, tt.want, sameRedirect(tt.a, tt.b), "%s and %s", tt.a, tt.b)
	}
}
