package phone

import (
	"strings"

	"github.com/nyaruka/phonenumbers"
)

const (
	form = "phone is not in E.164 form, like +442071838750."
	// longest is far beyond E.164's 15 digits.
	longest = 64
)

// Fault says what is wrong with a number, in a sentence for whoever sent it as
// phone; empty where nothing is.
func Fault(s string) string {
	if !strings.HasPrefix(s, "+") || len(s) > longest {
		return form
	}
	number, err := phonenumbers.Parse(s, "") // without a region: from anywhere
	switch {
	case err != nil:
		return form
	case !phonenumbers.IsValidNumber(number):
		return "phone is no number that its country gives out; look for a missing or wrong digit."
	case phonenumbers.Format(number, phonenumbers.E164) != s:
		return form + " Send it as " + phonenumbers.Format(number, phonenumbers.E164) + "."
	}
	return ""
}
