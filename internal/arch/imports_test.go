package arch

import (
	"slices"
	"strings"
	"testing"
)

// A rule says what the packages that it fits may import of ours. A package may
// always import what lies below itself, but for providers and reauth.
type rule struct {
	// pkg is a path from the root; with /* it fits everything below that path.
	// The longest rule that fits a package is its rule.
	pkg string
	may []string
	why string
}

// The arrows of the house. A new package needs a row: where it stands is a
// decision, not an accident.
var rules = []rule{
	{"consent", nil, "the domain is types and pure functions; it can be read, and tested, alone"},
	{"provider", nil, "the contract with a bank knows no consent, so an adapter can be written from it alone"},
	{"provider/*", []string{"provider"}, "an adapter that leans on another, or on the domain, cannot be taken out"},
	{"scheduler", nil, "when something runs has nothing to do with what it is"},
	{"seal", nil, "what holds keys is kept small enough to be reviewed whole"},
	{"migrations", nil, "a released migration must not change because code did"},
	{"sqlstore", []string{"consent", "reauth", "reauth/stepup", "migrations", "seal"}, "a registry stores what the domains say; it calls no bank and no use case"},
	{"sqlstore/*", []string{"consent", "reauth", "reauth/stepup", "migrations", "seal", "sqlstore"}, "as sqlstore"},
	{"connector", []string{"consent", "provider", "seal", "reauth/password", "internal/phone"}, "the use cases know contracts, never the store or the bank behind them, and of re-authentication, which stands beside them, only which password hashes it can read"},
	{"reauth", []string{"consent"}, "what is asked of a user, and whether it is met, are pure functions: other backends link them in, so they pull in nothing"},
	{"reauth/stepup", []string{"consent", "reauth", "reauth/usertoken", "reauth/proof", "reauth/code", "reauth/password", "reauth/totp", "reauth/passkey", "reauth/idp", "internal/outbound", "internal/phone"}, "the use cases put the techniques together; they never know the store"},
	{"reauth/usertoken", []string{"internal/jose", "internal/outbound"}, "what a token says does not depend on what it is used for"},
	{"reauth/proof", []string{"internal/jose", "internal/outbound"}, "as reauth/usertoken; any backend reads proofs with it"},
	{"reauth/code", nil, "what a person types has nothing to do with what it proves"},
	{"reauth/password", nil, "a technique keeps no state and knows no application, so that it can be reviewed alone"},
	{"reauth/totp", []string{"reauth/code"}, "as reauth/password; what was typed is read in one place"},
	{"reauth/passkey", nil, "as reauth/password"},
	{"reauth/passkey/passkeytest", nil, "it stands in for what is not ours"},
	{"guard", []string{"consent", "reauth", "reauth/usertoken", "reauth/proof", "internal/outbound"}, "other backends link it in: what it judges by, and nothing that serves or stores"},
	{"guard/*", []string{"guard", "reauth", "reauth/usertoken", "reauth/proof"}, "as guard"},
	{"reauth/idp", nil, "signing in at an OpenID provider has nothing to do with what it is worth"},
	{"locale", nil, "what a sentence is in a language has nothing to do with what it is about"},
	{"notify", []string{"consent", "locale"}, "a message is about a consent, however it got into its state"},
	{"notify/*", []string{"consent", "notify", "internal/outbound"}, "as notify"},
	{"consentfile", []string{"connector", "consent"}, "a file is read into what the import takes; what becomes of it is decided there"},
	{"api", []string{"connector", "reauth", "reauth/stepup", "consent", "provider", "locale"}, "HTTP calls use cases; a query or a bank's name in a handler could be reached by no other way in"},
	{"internal/arch", nil, "it looks at the house from outside"},
	{"internal/outbound", nil, "a guard is kept small enough to be reviewed whole"},
	{"internal/jose", nil, "as internal/outbound"},
	{"internal/phone", nil, "a number is right or wrong, whoever has it"},
	{"internal/pgtest", nil, "a database is empty before anybody's schema is in it"},
	{"cmd/*", []string{"*"}, "main is where the parts are put together"},
}

// TestImportsRunOneWay holds the arrows of what ships.
func TestImportsRunOneWay(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		r, ok := ruleFor(p.Path)
		if !ok {
			t.Errorf("package %s has no rule: add a row to the table, with its reason", p.Path)
			continue
		}
		for _, i := range p.Imports {
			if !allowed(r, p.Path, i) {
				t.Errorf("%s imports %s; it may import %s: %s", p.Path, i, orNothing(r.may), r.why)
			}
		}
	}
}

// TestTestsImportNoCommand holds the one arrow that tests are bound to as well.
// Otherwise a test may reach across the house: the use cases are tested with a
// real store and the sandbox bank, and nothing of that ships.
func TestTestsImportNoCommand(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		for _, i := range p.TestImports {
			if below("cmd", i) && !below(p.Path, i) {
				t.Errorf("a test of %s imports %s: a command is tested in its own directory", p.Path, i)
			}
		}
	}
}

// TestRulesJudge makes sure that the table says no: were it to allow everything,
// the tests above would be green too.
func TestRulesJudge(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		from, to string
		want     bool
	}{
		{"consent", "provider", false},
		{"provider", "consent", false},
		{"provider/truelayer", "provider", true},
		{"provider/truelayer", "provider/sandbox", false},
		{"provider/truelayer", "provider/truelayer/wire", false},
		{"provider/sandbox", "consent", false},
		{"scheduler", "consent", false},
		{"seal", "consent", false},
		{"sqlstore", "consent", true},
		{"sqlstore", "connector", false},
		{"sqlstore/registrytest", "sqlstore", true},
		{"connector", "seal", true},
		{"reauth", "consent", true},
		{"reauth", "reauth/stepup", false},
		{"reauth", "reauth/proof", false},
		{"reauth/stepup", "reauth", true},
		{"reauth/stepup", "sqlstore", false},
		{"guard", "reauth/stepup", false},
		{"reauth/idp", "consent", false},
		{"connector", "reauth", false},
		{"connector", "reauth/password", true},
		{"reauth/totp", "reauth/code", true},
		{"reauth/totp", "consent", false},
		{"reauth/passkey", "reauth", false},
		{"connector", "sqlstore", false},
		{"connector", "provider/truelayer", false},
		{"notify/webhook", "internal/outbound", true},
		{"guard", "reauth/proof", true},
		{"guard", "api", false},
		{"guard", "sqlstore", false},
		{"guard/ginguard", "guard", true},
		{"guard/ginguard", "consent", false},
		{"reauth/usertoken", "internal/jose", true},
		{"reauth/usertoken", "reauth/proof", false},
		{"internal/jose", "reauth", false},
		{"api", "connector", true},
		{"api", "provider", true},
		{"api", "provider/truelayer", false},
		{"api", "sqlstore", false},
		{"api", "cmd/reconsent", false},
		{"notify", "notify/email", true},
		{"notify", "locale", true},
		{"api", "locale", true},
		{"consent", "locale", false},
		{"locale", "consent", false},
		{"notify/email", "consent", true},
		{"notify/email", "connector", false},
		{"cmd/reconsent", "provider/sandbox", true},
		{"cmd/reconsent", "cmd/reconsent/internal/dev", true},
		{"cmd/reconsent", "cmd/other", false},
		{"cmd/reconsent", "internal/pgtest", false},
		{"cmd/reconsent", "sqlstore/registrytest", false},
		{"sqlstore", "sqlstore/registrytest", false},
		{"sqlstore/registrytest", "internal/pgtest", true},
	} {
		r, ok := ruleFor(c.from)
		if !ok {
			t.Errorf("%s has no rule", c.from)
		} else if got := allowed(r, c.from, c.to); got != c.want {
			t.Errorf("%s -> %s: allowed is %v, want %v", c.from, c.to, got, c.want)
		}
	}
	if _, ok := ruleFor("helpers"); ok {
		t.Error("a package that nobody has placed has a rule")
	}
}

func ruleFor(path string) (rule, bool) {
	var best rule
	for _, r := range rules {
		tree, wild := strings.CutSuffix(r.pkg, "/*")
		fits := r.pkg == path || wild && path != tree && below(tree, path)
		if fits && len(r.pkg) > len(best.pkg) {
			best = r
		}
	}
	return best, best.pkg != ""
}

func allowed(r rule, from, to string) bool {
	switch {
	case onlyForTests(to):
		return onlyForTests(from)
	case below("provider", from), from == "reauth":
		return slices.Contains(r.may, to)
	case below(from, to):
		return true
	case below("cmd", to):
		return false
	default:
		return slices.Contains(r.may, "*") || slices.Contains(r.may, to)
	}
}

// onlyForTests says whether a package exists for tests: a helper, or a suite
// that each implementation of a contract has to pass. Nothing that ships may
// import one.
func onlyForTests(path string) bool {
	return path == "internal/arch" || path == "provider/sandbox/bankbrowser" || strings.HasSuffix(path, "test")
}

// below says whether path is tree or lies in it.
func below(tree, path string) bool {
	return path == tree || strings.HasPrefix(path, tree+"/")
}

func orNothing(may []string) string {
	if len(may) == 0 {
		return "nothing of ours"
	}
	return strings.Join(may, ", ")
}
