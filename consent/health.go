package consent

import (
	"hash/fnv"
	"time"
)

// CheckOutcome is what came of asking the provider about a consent.
type CheckOutcome string

// The outcomes.
const (
	CheckOK            CheckOutcome = "ok"
	CheckRefused       CheckOutcome = "refused"       // the provider no longer takes the token
	CheckFailed        CheckOutcome = "failed"        // no word about the consent could be had
	CheckMisconfigured CheckOutcome = "misconfigured" // the application's settings were refused
)

// Check is the last word of the provider on one consent.
type Check struct {
	ApplicationID string
	ConsentID     string
	Provider      string
	ProviderID    string
	At            time.Time
	Outcome       CheckOutcome
}

// BankHealth counts the consents of one bank by what came of their last check.
type BankHealth struct {
	ProviderID                            string
	Total, Refused, Failed, Misconfigured int
}

// HealthWindow is how far back the share of failures is looked at.
const HealthWindow = 10 * time.Minute

// alarming is how many consents have to fail before their share says anything.
const alarming = 5

// largeShare reports whether so many of all are neither few nor a minority.
func largeShare(bad, total int) bool { return bad >= alarming && 2*bad >= total }

// BankOut reports whether what fails must be the bank's, and no consent's fault:
// a large share of its consents cannot be asked about, or is refused at once.
func (h BankHealth) BankOut() bool { return largeShare(h.Refused+h.Failed, h.Total) }

// ProviderOut reports whether what fails must be the application's settings or
// the provider as a whole, and no consent's fault: a large share is refused, or
// fails at more than one bank.
func ProviderOut(banks []BankHealth) bool {
	var total, refused, failed, affected int
	for _, b := range banks {
		total += b.Total
		refused += b.Refused + b.Misconfigured
		failed += b.Failed
		if b.Refused+b.Failed+b.Misconfigured > 0 {
			affected++
		}
	}
	return largeShare(refused, total) || (affected > 1 && largeShare(refused+failed, total))
}

// Recheck sets when the provider is to be asked about the consent next: an hour
// after a refusal; a day before it is lapsing and a day before it lapses; and
// long before the provider forgets a token that nobody has used since lastUse.
// idle is that limit, 0 for none. Only consents whose token we keep are asked
// about, and none that has lapsed.
func (c *Consent) Recheck(idle time.Duration, lastUse time.Time) {
	c.NextCheckAt = time.Time{}
	if c.Custody != CustodyOurs || !c.RevokedAt.IsZero() || c.Pending || !c.EndedAt.IsZero() {
		return
	}
	var next time.Time
	at := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	if idle > 0 {
		at(lastUse.Add(idle/2 + c.Spread(idle/6)))
	}
	for _, date := range []time.Time{c.LapsingAt, c.LapsesAt} {
		if before := date.Add(-day); !date.IsZero() && before.After(lastUse) {
			at(before.Add(c.Spread(time.Hour)))
		}
	}
	if !c.RefusedAt.IsZero() {
		next = c.RefusedAt.Add(RefusalGap + c.Spread(time.Minute)) // nothing is learned before that
	}
	if !c.LapsesAt.IsZero() && !next.Before(c.LapsesAt) {
		return
	}
	c.NextCheckAt = next
}

// Spread returns a share of d that is always the same for the consent, so that
// what was linked together is not checked together.
func (c *Consent) Spread(d time.Duration) time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(c.ID)) // never fails
	return time.Duration(float64(d) * float64(h.Sum32()) / (1 << 32)).Truncate(time.Second)
}
