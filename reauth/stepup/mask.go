package stepup

import "strings"

// maskEmail shows enough of an address for its owner to know it by.
func maskEmail(s string) string {
	local, domain, ok := strings.Cut(s, "@")
	if !ok || local == "" {
		return "***"
	}
	return local[:1] + "***@" + domain
}

// MaskPhone shows a number's country and last two digits.
func MaskPhone(s string) string {
	if len(s) < 4 {
		return "**"
	}
	return s[:3] + "*****" + s[len(s)-2:]
}
