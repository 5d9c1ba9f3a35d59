package sandbox

import (
	"fmt"
	"slices"
	"strings"
)

// faultNames lists what can be switched on, and what each does.
var faultNames = map[string]string{
	"user_denies":            "the person says no at the bank: the browser returns with error=access_denied",
	"other_bank_login":       "whoever signs in is taken for another login",
	"refresh_token_rotates":  "/connect/token hands out a new refresh token, and the old one is dead",
	"refresh_token_omitted":  "/connect/token answers without a refresh token",
	"code_already_used":      "/connect/token refuses the code as used",
	"invalid_grant_early":    "/connect/token refuses the refresh token although the consent lives",
	"rate_limited":           "any API call answers 429 with Retry-After: 60",
	"internal_error":         "any API call answers 500",
	"hang":                   "any API call waits until the caller gives up, a minute at most",
	"browser_returns_twice":  "the redirect address is called once before the browser is sent there, with the same code (loopback only)",
	"server_error":           "the browser returns with error=server_error",
	"idle_limit":             "refresh tokens that lay idle for 30 days are refused at the refresh grant",
	"same_id_other_accounts": "the login shows other accounts from now on, under the same credentials_id",
}

// faults counts how many more calls each fault is for. Its owner holds the lock.
type faults map[string]int

// set switches a fault on for the next calls, or off.
func (f faults) set(name string, times int) error {
	name = strings.NewReplacer("-", "_", " ", "_").Replace(strings.ToLower(strings.TrimSpace(name)))
	if _, known := faultNames[name]; !known {
		return fmt.Errorf("no fault %q; there are %s", name, strings.Join(sortedFaults(), ", "))
	}
	if times < 0 {
		return fmt.Errorf("times is %d; want 0 to switch the fault off, or how many calls it is for", times)
	}
	f[name] = times
	return nil
}

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
