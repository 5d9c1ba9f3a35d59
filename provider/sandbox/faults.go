package sandbox

import (
	"fmt"
	"slices"
	"strings"
)

// faultNames lists what can be switched on, and what each does. "API call"
// means the token endpoint, authuri, reauthuri, delete, providers and the data
// calls; never a page, never a control call.
var faultNames = map[string]string{
	"user_denies":            "the person says no at the bank: the browser returns with error=access_denied",
	"server_error":           "the browser returns with error=server_error",
	"other_bank_login":       "whoever signs in is taken for somebody else, whom nobody can sign in as",
	"same_id_other_accounts": "the person shares other accounts under the same credentials_id, until the login is at the bank again",
	"browser_returns_twice":  "the redirect address is called once before the browser is sent there, with the same code (loopback only)",
	"refresh_token_rotates":  "/connect/token hands out a new refresh token, and the one before is dead; counts calls that renew one",
	"refresh_token_omitted":  "/connect/token answers without a refresh token",
	"code_already_used":      "/connect/token refuses the code as used, and it is used from then on",
	"invalid_grant_early":    "/connect/token refuses the refresh token although the consent lives",
	"access_denied":          "a data call answers 403 access_denied, as after the person withdrew at the bank",
	"rate_limited":           "any API call answers 429 with Retry-After: 60",
	"internal_error":         "any API call answers 500",
	"hang":                   "any API call waits until the caller gives up, a minute at most",
	"idle_limit":             "refresh tokens that lay idle for 30 days are refused at the refresh grant; stays on until set to 0",
}

// faults counts how many more calls each fault is for. Its owner holds the lock.
type faults map[string]int

// set switches a fault on for the next calls, or off, and returns its name.
func (f faults) set(name string, times int) (string, error) {
	name = strings.NewReplacer("-", "_", " ", "_").Replace(strings.ToLower(strings.TrimSpace(name)))
	if _, known := faultNames[name]; !known {
		return "", fmt.Errorf("no fault %q; there are %s", name, strings.Join(sortedFaults(), ", "))
	}
	if times < 0 {
		return "", fmt.Errorf("times is %d; want 0 to switch the fault off, or how many calls it is for", times)
	}
	f[name] = times
	return name, nil
}

// on reports whether a fault is on, and counts nothing.
func (f faults) on(name string) bool { return f[name] > 0 }

// take reports whether a fault is on, and counts the call.
func (f faults) take(name string) bool {
	if f[name] == 0 {
		return false
	}
	f[name]--
	return true
}

func sortedFaults() []string {
	names := make([]string, 0, len(faultNames))
	for name := range faultNames {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
