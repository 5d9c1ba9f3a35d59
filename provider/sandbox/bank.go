package sandbox

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// The clocks of a consent (providers.md 1.4, 1.6).
const (
	consentLife   = 90 * 24 * time.Hour
	renewalWindow = 90 * 24 * time.Hour
	idleLimit     = 30 * 24 * time.Hour
	codeLife      = 5 * time.Minute
	accessLife    = time.Hour
	journeyLife   = 24 * time.Hour
)

// bank is one of the banks behind the aggregator.
type bank struct {
	ID      string
	Name    string
	Country string
	Inputs  []input // what the dialog has to ask for
}

type input struct{ Name, Label string }

// banks are listed in the picker's order.
var banks = []bank{
	{ID: "mock", Name: "Mock Bank", Country: "uk"},
	{ID: "mock-fr", Name: "Mock Banque", Country: "fr", Inputs: []input{{"branch", "Your branch (agence)"}}},
	{ID: "mock-de", Name: "Mock Sparkasse", Country: "de", Inputs: []input{{"iban", "IBAN"}, {"branch_code", "Branch code (Bankleitzahl)"}}},
}

func bankByID(id string) (bank, bool) {
	for _, b := range banks {
		if b.ID == id {
			return b, true
		}
	}
	return bank{}, false
}

// login is what a user name and password turned out to be (providers.md 1.11).
type login struct {
	Name      string
	Eternal   bool
	DataError string
}

var numbered = regexp.MustCompile(`^john([1-9][0-9]?|100)?$`)

// dataErrors are the logins whose every data call fails, and how.
var dataErrors = map[string]int{
	"account_permanently_locked": 403,
	"account_temporarily_locked": 403,
	"internal_error":             500,
	"provider_error":             503,
	"user_input_required":        403,
	"wrong_credentials":          403,
}

// signIn checks a user name and password.
func signIn(name, password string) (login, bool) {
	if m := numbered.FindStringSubmatch(name); m != nil {
		switch password {
		case "doe" + m[1], "iban" + m[1]:
			return login{Name: name}, true
		case "eternal":
			return login{Name: name, Eternal: true}, name == "john"
		}
		return login{}, false
	}
	code, ok := strings.CutPrefix(name, "error.")
	if _, known := dataErrors[code]; ok && known && password == "error" {
		return login{Name: name, DataError: code}, true
	}
	return login{}, false
}

// otherLogin is who a person is taken for under the fault other_bank_login.
// It stays below john90, where dev's examples begin.
func otherLogin(name string) string {
	n, _ := strconv.Atoi(strings.TrimPrefix(name, "john"))
	return fmt.Sprintf("john%d", n%80+1)
}

// credentialsID is a function of client, bank and login, in the form that
// TrueLayer's have: base64 with all its signs.
func credentialsID(client, bank, login string) string {
	sum := sha256.Sum256([]byte(client + "\x00" + bank + "\x00" + login))
	return base64.StdEncoding.EncodeToString(sum[:])
}

type account struct {
	ID, Name, Type, Currency string
	IBAN, SortCode, Number   string
	Balance                  float64
}

// accountsOf are a login's own accounts, always the same ones.
func accountsOf(bankID, name string, variant int) []account {
	b, _ := bankByID(bankID)
	country, currency := "GB", "GBP"
	if b.Country != "uk" {
		country, currency = strings.ToUpper(b.Country), "EUR"
	}
	out := make([]account, 0, 2)
	for i, kind := range []struct{ name, typ string }{{"Current account", "TRANSACTION"}, {"Savings", "SAVINGS"}} {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d\x00%d", bankID, name, variant, i))
		n := binary.BigEndian.Uint64(sum[:8])
		a := account{
			ID: fmt.Sprintf("%x", sum[8:24]), Name: kind.name, Type: kind.typ, Currency: currency,
			SortCode: "01-21-31", Number: fmt.Sprintf("%08d", n%100_000_000), Balance: float64(n%1_000_000) / 100,
		}
		a.IBAN = iban(country, fmt.Sprintf("MOCK%014d", n%100_000_000_000_000))
		out = append(out, a)
	}
	return out
}

// iban adds the check digits (ISO 13616) to a national account number.
func iban(country, bban string) string {
	var digits strings.Builder
	for _, r := range bban + country + "00" {
		if r >= 'A' {
			fmt.Fprintf(&digits, "%d", r-'A'+10)
		} else {
			digits.WriteRune(r)
		}
	}
	n, _ := new(big.Int).SetString(digits.String(), 10)
	check := 98 - new(big.Int).Mod(n, big.NewInt(97)).Int64()
	return fmt.Sprintf("%s%02d%s", country, check, bban)
}
