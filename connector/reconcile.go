package connector

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/provider"
)

const (
	checkBatch    = 64               // at eight at a time, two minutes where none of them answers
	judgeWithin   = 30 * time.Second // for what a batch has shown, also where the run's time is up
	checkLease    = 10 * time.Minute // a check whose process died is due again then
	checksAtATime = 8
	checkPause    = 10 * time.Minute // after a failure that tells nothing, and between probes
	quietAfter    = time.Hour        // an alarm that nothing has been seen of is over
	callsPerCheck = 2                // of provider.Adapter.CallsPerMinute
)

// Reconcile asks providers about the consents that it is time to ask about:
// near their dates, an hour after a refusal, and before an idle token is
// forgotten. It may run on many replicas at once.
func (c *Connector) Reconcile(ctx context.Context) error {
	var faults []error
	for {
		now := c.now()
		due, err := c.registry.ClaimChecks(ctx, now, now.Add(checkLease), checkBatch)
		if err != nil {
			return errors.Join(append(faults, err)...)
		}
		faults = append(faults, c.check(ctx, due))
		if len(due) < checkBatch || ctx.Err() != nil {
			return errors.Join(append(faults, c.endQuietAlarms(ctx))...)
		}
	}
}

// check asks about a batch. Refusals are judged only when the whole batch has
// been asked about: one by one nobody could tell a dead consent from a wrong
// secret.
func (c *Connector) check(ctx context.Context, due []consent.Consent) error {
	alarms, err := c.registry.Alarms(ctx, "", false)
	if err != nil {
		return err
	}
	apps, err := c.readableApplications(ctx)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var refused []refusal
	var faults []error
	g := errgroup.Group{}
	g.SetLimit(checksAtATime)
	for i := range due {
		con := &due[i]
		g.Go(func() error {
			r, err := c.checkOne(ctx, apps[con.ApplicationID], con, alarms)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				faults = append(faults, err)
			}
			if r != nil {
				refused = append(refused, *r)
			}
			return nil
		})
	}
	_ = g.Wait() // faults are collected
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), judgeWithin)
	defer cancel()
	faults = append(faults, c.raiseAlarms(ctx))
	for _, r := range refused {
		faults = append(faults, c.noteRefusal(ctx, r.app, &r.con, r.err))
	}
	return errors.Join(faults...)
}

// refusal is a check that the provider answered with a refusal.
type refusal struct {
	app *consent.Application
	con consent.Consent
	err error
}

// checkOne asks about one consent, if it may be asked about now, and sets when
// it is to be asked about again where the answer did not.
func (c *Connector) checkOne(ctx context.Context, app *consent.Application, con *consent.Consent, alarms []consent.Alarm) (*refusal, error) {
	now := c.now()
	later := func(at time.Time) error {
		return c.registry.PostponeCheck(ctx, con.ApplicationID, con.ID, con.Cycle, at)
	}
	soon := now.Add(checkPause + con.Spread(checkPause))
	if app == nil { // its settings do not parse, for now
		return nil, later(now.Add(checkPause))
	}
	if len(con.Tokens.Refresh) == 0 || con.Custody != consent.CustodyOurs || !con.LiveAt(now) {
		return nil, later(time.Time{})
	}
	probes, wait, err := c.passAlarms(ctx, con, alarms, now)
	if err != nil || !wait.IsZero() {
		return nil, errors.Join(err, later(laterOf(wait, soon)))
	}
	ok, err := c.registry.Take(ctx, app.ID, "calls to "+con.Provider, now.Truncate(time.Minute), callsPerCheck, c.catalog[con.Provider].CallsPerMinute)
	if err != nil {
		return nil, errors.Join(err, later(soon))
	}
	if !ok {
		return nil, later(now.Truncate(time.Minute).Add(time.Minute))
	}
	asked, said, err := c.ask(ctx, app, con)
	switch kind := provider.KindOf(said); {
	case err != nil || !asked:
		return nil, errors.Join(err, later(soon))
	case said == nil:
		for _, a := range probes {
			err = errors.Join(err, c.closeAlarm(ctx, a))
		}
		return nil, err
	case kind == provider.ReauthRequired || kind == provider.Revoked:
		return &refusal{app, *con, said}, nil
	case kind == provider.Unsupported:
		return nil, later(time.Time{}) // there is no asking at this provider
	case kind == provider.Misconfigured:
		c.log.Warn("a provider refuses the application's settings", "application", app.Slug, "provider", con.Provider, "error", said)
	}
	return nil, later(laterOf(provider.AsError(said).RetryAt, soon))
}

// passAlarms says until when the consent is not to be asked about, because of an
// alarm, or which alarms are over if the provider answers.
func (c *Connector) passAlarms(ctx context.Context, con *consent.Consent, alarms []consent.Alarm, now time.Time) (probes []consent.Alarm, wait time.Time, err error) {
	for i := range alarms {
		if alarms[i].Covers(con) {
			probes = append(probes, alarms[i])
			wait = laterOf(wait, alarms[i].ProbeAt)
		}
	}
	if wait.After(now) {
		return nil, wait, nil
	}
	for _, a := range probes {
		mine, err := c.registry.ProbeAlarm(ctx, a, now, now.Add(checkPause))
		if err != nil || !mine {
			return nil, now.Add(checkPause), err
		}
	}
	return probes, time.Time{}, nil
}

// ask refreshes, under the consent's lease, and reads what the provider says of
// the consent. said is the provider's fault, or nil where it answered well;
// asked is false where somebody else has the consent in hand, or has revoked it.
func (c *Connector) ask(ctx context.Context, app *consent.Application, con *consent.Consent) (asked bool, said, err error) {
	leaseID := c.newID()
	now := c.now()
	leased, err := c.registry.Lease(ctx, app.ID, con.ID, leaseID, now, now.Add(claimLease))
	if errors.Is(err, consent.ErrBusy) || errors.Is(err, consent.ErrNotFound) {
		return false, nil, nil
	}
	if err != nil {
		return false, nil, err
	}
	defer c.endLease(ctx, app, con.ID, leaseID)
	*con = leased
	if checkUsable(con) != nil {
		return false, nil, nil
	}
	p, g, said, err := c.spend(ctx, app, con, leaseID)
	if err != nil {
		return false, nil, err
	}
	if said == nil {
		con.RefusedAt = time.Time{} // as stored
		said, err = c.inspect(ctx, app, con, p, g)
	}
	return true, said, errors.Join(err, c.noteCheck(ctx, con, said))
}

// inspect reads what the provider says of the consent, where it can.
func (c *Connector) inspect(ctx context.Context, app *consent.Application, con *consent.Consent, p provider.Provider, g provider.Grant) (said, err error) {
	inspector, ok := p.(provider.Inspector)
	if !ok {
		return nil, nil
	}
	found, said := inspector.Inspect(ctx, g.AccessToken)
	if provider.KindOf(said) == provider.Unsupported {
		return nil, nil // it cannot tell; that the token works has been shown
	}
	if said != nil {
		return said, nil
	}
	if found.CredentialsID != con.CredentialsID {
		return &provider.Error{Kind: provider.Temporary, Op: "inspect", Code: reasonLogin}, nil
	}
	return nil, c.foresee(ctx, app, con, found)
}

// foresee writes another expiry than the one we know of, where the provider
// gives one for the same bank login (law 2). What falls due by it is announced;
// what has been announced is not announced again.
func (c *Connector) foresee(ctx context.Context, app *consent.Application, con *consent.Consent, said provider.Inspection) error {
	if said.ExpiresAt.IsZero() || said.ExpiresAt.Equal(con.ExpiresAt) {
		return nil
	}
	con.ExpiresAt, con.ExpirySource = said.ExpiresAt.UTC().Truncate(time.Microsecond), consent.FromProvider
	con.Reschedule(app.Cadence, app.Policy(con.Provider), time.Time{})
	c.recheck(con, c.now())
	err := c.registry.SetOutlook(context.WithoutCancel(ctx), outlookOf(con))
	if errors.Is(err, consent.ErrOvertaken) {
		return nil
	}
	return err
}

// recheck sets when the provider is to be asked about the consent next.
func (c *Connector) recheck(con *consent.Consent, lastUse time.Time) {
	con.Recheck(c.catalog[con.Provider].IdleLimit, lastUse)
}

func outlookOf(con *consent.Consent, events ...consent.Event) consent.Outlook {
	return consent.Outlook{
		ApplicationID: con.ApplicationID, ConsentID: con.ID, Cycle: con.Cycle, ExpiresAt: con.ExpiresAt, ExpirySource: con.ExpirySource,
		EndedAt: con.EndedAt, EndedReason: con.EndedReason, RefusedAt: con.RefusedAt,
		LapsingAt: con.LapsingAt, LapsesAt: con.LapsesAt, RenewableUntil: con.RenewableUntil,
		NextStageAt: con.NextStageAt, NextCheckAt: con.NextCheckAt, Events: events,
	}
}

// noteCheck records what came of asking about a consent, unless it says nothing
// about the others.
func (c *Connector) noteCheck(ctx context.Context, con *consent.Consent, err error) error {
	switch kind := provider.KindOf(err); {
	case err == nil:
	case kind == provider.Unsupported, kind == provider.RateLimited:
		return nil // it was not asked about
	case !con.LiveAt(c.now()):
		return nil // it has lapsed, so it is refused
	case isOver(err) && !con.RefusedAt.IsZero():
		return nil // those refused before are asked about again together
	case isOver(err) && con.Custody != consent.CustodyOurs:
		return nil // the application may hold a newer token
	}
	outcome := consent.CheckFailed
	switch provider.KindOf(err) {
	case provider.None:
		outcome = consent.CheckOK
	case provider.ReauthRequired, provider.Revoked, provider.Unrenewable:
		outcome = consent.CheckRefused
	case provider.Misconfigured:
		outcome = consent.CheckMisconfigured
	}
	return c.registry.PutCheck(context.WithoutCancel(ctx), consent.Check{
		ApplicationID: con.ApplicationID, ConsentID: con.ID, Provider: con.Provider, ProviderID: con.ProviderID, At: c.now(), Outcome: outcome,
	})
}

func laterOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
