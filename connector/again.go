package connector

import (
	"context"
	"strings"
	"time"

	"github.com/reconsent/reconsent/consent"
)

// againWithin is how long after a trip began the page of its result leads to
// another.
const againWithin = 24 * time.Hour

// againsAnHour bounds the trips for one consent that result pages lead to: a
// machine that refuses at the bank, and presses on, comes to an end. The link
// that brought the person stays as good as it was.
const againsAnHour = 5

// MayGoAgain reports whether a trip that did not succeed can be begun again from
// the page of its result.
func (c *Connector) MayGoAgain(out *Outcome) bool {
	a, con, now := &out.Attempt, out.Consent, c.now()
	if !a.Hosted || a.ConsentID == "" || a.Cycle == 0 || !c.Fresh(out) {
		return false // a first link is for the application to begin again
	}
	if con != nil && (!con.RevokedAt.IsZero() || con.Pending || con.Cycle != a.Cycle) {
		return false
	}
	switch a.StatusAt(now) {
	case consent.AttemptDenied, consent.AttemptMismatched, consent.AttemptFailed, consent.AttemptInterrupted, consent.AttemptExpired:
		return true
	default:
		return false
	}
}

// Fresh reports whether a trip is so young that its result may name what it was
// about: the address of a result stays in a browser's history.
func (c *Connector) Fresh(out *Outcome) bool {
	return c.now().Before(out.Attempt.CreatedAt.Add(againWithin))
}

// Again begins another trip for whoever came back from one that did not
// succeed, and holds its state. That gives no more than the reconnect link did,
// for a day: what comes back is proven like any trip. Started is nil where the
// outcome allows no other. Errors: rate_limited, and those of a renewal.
func (c *Connector) Again(ctx context.Context, state string) (consent.Application, Outcome, *Started, error) {
	app, err := c.registry.ApplicationBySlug(ctx, slugOf(state))
	if err != nil {
		return app, Outcome{}, nil, notFound(err, unknownState())
	}
	a, err := c.attemptByState(ctx, &app, []byte(state))
	if err != nil {
		return app, Outcome{}, nil, err
	}
	if !a.Hosted {
		return app, Outcome{}, nil, unknownState()
	}
	a.Status = a.StatusAt(c.now())
	out := Outcome{Attempt: a}
	if a.ConsentID == "" {
		return app, out, nil, nil
	}
	con, err := c.registry.Consent(ctx, app.ID, a.ConsentID)
	if err != nil {
		return app, out, nil, notFound(err, unknownState())
	}
	out.Consent = &con
	if !c.MayGoAgain(&out) {
		return app, out, nil, nil
	}
	if err := c.perHour(ctx, &con, "trips again for ", againsAnHour, "Several trips were begun again already; ask again later."); err != nil {
		return app, out, nil, err
	}
	s, err := c.pressed(ctx, &app, &con, ReauthRequest{ConsentID: con.ID, ReturnTo: allowed(&app, a.ReturnTo), State: a.CallerState})
	return app, out, &s, err
}

// OtherAccounts reports whether the right bank login came back, without any of
// the accounts that were linked.
func (o *Outcome) OtherAccounts() bool {
	return o.Attempt.Status == consent.AttemptMismatched && o.Attempt.Reason == reasonAccounts
}

// BankFailed reports whether the bank or the way back from it ended the trip.
func (o *Outcome) BankFailed() bool {
	return o.Attempt.Status == consent.AttemptFailed && strings.HasPrefix(o.Attempt.Reason, bankSaid)
}

// CodeRefused reports whether the provider did not take the code that came back.
func (o *Outcome) CodeRefused() bool {
	return o.Attempt.Status == consent.AttemptFailed && o.Attempt.Reason == reasonCodeRefused
}
