package consent

import (
	"slices"
	"time"
)

// Status is where a consent stands at a moment; see the package comment.
type Status string

// The statuses, as the API spells them.
const (
	Pending     Status = "pending"
	Active      Status = "active"
	Lapsing     Status = "lapsing"
	Lapsed      Status = "lapsed"
	Unrenewable Status = "unrenewable"
	Revoked     Status = "revoked"
)

// Statuses lists every status, in the order of a life.
func Statuses() []Status {
	return []Status{Pending, Active, Lapsing, Lapsed, Unrenewable, Revoked}
}

// Custody says who holds the refresh token in use.
type Custody string

// The custodies.
const (
	CustodyOurs    Custody = "ours"    // we refresh
	CustodyBackend Custody = "backend" // the application refreshes; we do so only when asked
)

// ExpirySource says whose word ExpiresAt is.
type ExpirySource string

// The sources of an expiry. Nothing is invented: where nobody said anything
// the expiry is unknown, and the consent is active until the provider refuses.
const (
	FromProvider ExpirySource = "provider"
	FromPolicy   ExpirySource = "policy"
	FromBackend  ExpirySource = "backend" // registered or imported with it
	FromNobody   ExpirySource = "unknown"
)

// Consent is one (application, user, provider, credentials id). Times are UTC
// instants with microseconds; the zero time means unknown or never.
type Consent struct {
	ApplicationID string
	ID            string
	UserID        string
	Provider      string // adapter, for instance "truelayer"
	ProviderID    string // the bank behind it
	BankName      string // for people; may be empty
	AccountLabel  string // masked name of an account, for people; may be empty
	AccountCount  int    // how many accounts the last trip to the bank showed; 0 where nobody counted
	CredentialsID string

	Cycle       int // 1, 2, 3 ...; a renewal starts the next
	Custody     Custody
	Scopes      []string
	RedirectURI string // of the original link, byte for byte
	Hosted      bool   // RedirectURI is our own callback
	Replaces    string // id of the consent that a relink put this one in the place of

	CreatedAt    time.Time
	ConsentedAt  time.Time // the last trip to the bank that counted
	ExpiresAt    time.Time
	ExpirySource ExpirySource

	// EndedAt and EndedReason: the provider definitely refused before
	// ExpiresAt. RefusedAt is the first of the two refusals which that takes
	// where the answer is one that network faults also produce.
	EndedAt     time.Time
	EndedReason string
	RefusedAt   time.Time

	RevokedAt time.Time
	RevokedBy string // "user", "bank", "backend", or why we gave it back
	Pending   bool   // linked, but not vouched for by the application (law 9)

	// Derived from the above by Reschedule and stored, so that the database
	// can compare with them.
	LapsingAt      time.Time
	LapsesAt       time.Time
	RenewableUntil time.Time
	NextStageAt    time.Time
	// NextCheckAt is when the provider is to be asked about the consent next;
	// zero where it is not to be asked unasked. See Recheck.
	NextCheckAt time.Time

	// Announced are the names of the stages of this cycle that have had their
	// event, as announced or as skipped. None has another, wherever its moment
	// may move to.
	Announced []string
	// ParkedAt and ParkedReason: a sweep could not judge the consent. It is
	// looked at again at NextStageAt.
	ParkedAt     time.Time
	ParkedReason string

	// Accounts are keyed fingerprints of the accounts that the grant showed,
	// sorted; empty where the scope showed none or nobody looked yet.
	Accounts []string

	Tokens Tokens
	Seq    int64 // of the newest event
}

// Tokens are what we hold of a consent, sealed.
type Tokens struct {
	Refresh         Sealed    // empty where there is none
	Access          Sealed    // empty where none is cached
	AccessExpiresAt time.Time // zero where Access is empty
	RefreshedAt     time.Time // when Refresh was last taken from the provider or the backend
}

// Sealed is ciphertext. It prints as a placeholder.
type Sealed []byte

// String implements fmt.Stringer.
func (Sealed) String() string { return "[sealed]" }

// GoString implements fmt.GoStringer, for %#v.
func (Sealed) GoString() string { return "[sealed]" }

// Status computes where the consent stands at now. Bounds are closed on the
// later side: at LapsesAt it is lapsed, at RenewableUntil unrenewable.
func (c *Consent) Status(now time.Time) Status {
	switch {
	case !c.RevokedAt.IsZero():
		return Revoked
	case c.Pending:
		return Pending
	case reached(c.RenewableUntil, now):
		return Unrenewable
	case reached(c.LapsesAt, now):
		return Lapsed
	case reached(c.LapsingAt, now):
		return Lapsing
	default:
		return Active
	}
}

// LiveAt reports whether access should work at now, as far as we know.
func (c *Consent) LiveAt(now time.Time) bool {
	s := c.Status(now)
	return s == Active || s == Lapsing
}

// Renewable reports whether a reauthorization can be started at now.
func (c *Consent) Renewable(now time.Time) bool {
	switch c.Status(now) {
	case Active, Lapsing, Lapsed:
		return true
	default:
		return false
	}
}

// lapse returns when access ends or ended: an early end, else the forecast.
func (c *Consent) lapse() time.Time {
	if !c.EndedAt.IsZero() && (c.ExpiresAt.IsZero() || c.EndedAt.Before(c.ExpiresAt)) {
		return c.EndedAt
	}
	return c.ExpiresAt
}

// EndedEarly reports whether access ended before its forecast.
func (c *Consent) EndedEarly() bool {
	return !c.EndedAt.IsZero() && c.LapsesAt.Equal(c.EndedAt)
}

// Reschedule derives the stored times from expiry, early end, policy and
// cadence. NextStageAt becomes the first stage later than after that has not
// been announced: what lies before it is recorded as skipped by whoever calls.
func (c *Consent) Reschedule(cad Cadence, p Policy, after time.Time) {
	c.LapsesAt = c.lapse()
	c.LapsingAt, c.RenewableUntil, c.NextStageAt = time.Time{}, time.Time{}, time.Time{}
	c.ParkedAt, c.ParkedReason = time.Time{}, ""
	if c.LapsesAt.IsZero() {
		return
	}
	if p.RenewalWindow > 0 {
		c.RenewableUntil = earlier(c.LapsesAt.Add(p.RenewalWindow), endOfTime)
	}
	c.LapsingAt = c.LapsesAt
	if !c.EndedEarly() {
		c.LapsingAt = c.LapsesAt.Add(-cad.Lead(c.LapsesAt.Sub(c.ConsentedAt)))
	}
	if c.LapsesAt.Before(c.ConsentedAt) {
		c.NextStageAt = c.LapsesAt // for the next sweep to park
		return
	}
	for _, s := range cad.Times(c) {
		if s.At.After(after) && !c.HasAnnounced(s.Name) {
			c.NextStageAt = s.At
			return
		}
	}
}

// HasAnnounced reports whether a stage of this cycle has had its event.
func (c *Consent) HasAnnounced(stage string) bool { return slices.Contains(c.Announced, stage) }

// NextCycle begins a new cycle by a trip to the bank at now. Expiry and the
// times derived from it are the caller's to set: Forecast, then Reschedule.
func (c *Consent) NextCycle(now time.Time) {
	c.Cycle++
	c.ConsentedAt = now
	c.EndedAt, c.EndedReason, c.RefusedAt = time.Time{}, "", time.Time{}
	c.Announced = nil
	c.Pending = false
}

// End records that the provider definitely ended access at now. It changes
// nothing where the consent has lapsed already: that is no early end.
func (c *Consent) End(now time.Time, reason string) bool {
	if !c.EndedAt.IsZero() || reached(c.LapsesAt, now) {
		return false
	}
	c.EndedAt, c.EndedReason = now, reason
	return true
}

// Refused records a refusal that network faults and wrong secrets also
// produce, and reports whether it is now definite: the second one, an hour or
// more after the first.
func (c *Consent) Refused(now time.Time) (definite bool) {
	if c.RefusedAt.IsZero() {
		c.RefusedAt = now
		return false
	}
	return now.Sub(c.RefusedAt) >= RefusalGap
}

// RefusalGap is the least time between two refusals that together end a
// consent early.
const RefusalGap = time.Hour

// SharesAccount reports whether the two sorted fingerprint lists have one in
// common. An empty known list proves nothing either way and reports true: the
// scope shows no accounts, or nobody looked yet.
func SharesAccount(known, seen []string) bool {
	if len(known) == 0 {
		return true
	}
	for i, j := 0, 0; i < len(known) && j < len(seen); {
		switch {
		case known[i] == seen[j]:
			return true
		case known[i] < seen[j]:
			i++
		default:
			j++
		}
	}
	return false
}

// endOfTime is the last moment that RFC 3339 can write.
var endOfTime = time.Date(9999, time.December, 31, 23, 59, 59, 0, time.UTC)

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// reached reports whether a known moment is not later than now.
func reached(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }
