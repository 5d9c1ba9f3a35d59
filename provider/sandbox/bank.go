package sandbox

import (
	"crypto/sha256"
	"encoding/base64"
	"regexp"
	"strings"
	"time"
)

// The clocks of a consent (providers.md 1.4, 1.6). How long a link lives is
// not published.
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
	{ID: "mock-fr", Name: "Mock Banque", Country: "fr", Inputs: []input{{"branch", "Branch (agence)"}}},
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
	Eternal   bool   // extends without a visit
	DataError string // every data call fails with this code
}

var numbered = regexp.MustCompile(`^john([1-9][0-9]?|100)?$`)

// dataErrors are the logins whose every data call fails, and how. The statuses
// are not published.
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

// stranger is who a person is taken for under the fault other_bank_login:
// somebody whom nobody can sign in as, and who shares no account with anybody.
func stranger(name string) string { return name + "-stranger" }

// credentialsID is a function of client, bank and login, in the form that
// TrueLayer's have: base64 with all its signs.
func credentialsID(client, bank, login string) string {
	sum := sha256.Sum256([]byte(client + "\x00" + bank + "\x00" + login))
	return base64.StdEncoding.EncodeToString(sum[:])
}
