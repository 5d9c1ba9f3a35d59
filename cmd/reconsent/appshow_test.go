package main

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestAppShowTellsWhatWasSet(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		in := install(t, url)
		succeeds(t, in.with("app", "set", "acme", "--cadence", "before_14d,lapse", "--quiet-hours", "22:00-07:00", "--renew-by", "truelayer=extend", "--paused")...)
		out := succeeds(t, in.with("app", "show", "acme")...)
		for _, line := range []string{`cadence +before_14d,lapse`, `quiet-hours +22:00-07:00`, `paused +true`, `sms-stages +-`, `policy of truelayer +.*renew-by extend`} {
			assert.Regexp(t, regexp.MustCompile(`(?m)^`+line+`$`), out)
		}
		r := reconsent(t, in.with("app", "set", "acme")...)
		assert.Equal(t, exitUsage, r.code)
		assert.Contains(t, r.err, "name at least one setting")
	})
}
