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
	checkBatch    = 200
	checkLease    = 10 * time.Minute // a check whose process died is due again then
	checksAtATime = 8
	checkPause    = 10 * time.Minute // after a failure that tells nothing, and between probes
	quietAfter    = time.Hour        // an alarm that nothing has been seen of is over
	// callsPerMinute is what our own checks may ask of a provider for one
	// application, by all replicas together; a check takes callsPerCheck. What
	// people and backends wait for is not counted.
	callsPerMinute = 600
	callsPerCheck  = 2
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
			return errors.Join(append(faults, c.raiseAlarms(ctx), c.endQuietAlarms(ctx))...)
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
	if len(refused) > 0 {
		faults = append(faults, c.raiseAlarms(ctx))
	}
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

// checkOne asks about one consent, if it may be asked about now.
func (c *Connector) checkOne(ctx context.Context, app *consent.Application, con *consent.Consent, alarms []consent.Alarm) (*refusal, error) {
	now := c.now()
	later := func(at time.Time) error {
		return c.registry.PostponeCheck(ctx, con.ApplicationID, con.ID, con.Cycle, at)
	}
	if app == nil { // its settings do not parse, for now
		return nil, later(now.Add(checkPause))
	}
	if len(con.Tokens.Refresh) == 0 || con.Custody != consent.CustodyOurs || !con.LiveAt(now) {
		return nil, later(time.Time{})
	}
	probing := -1
	for i := range alarms {
		if !alarms[i].Covers(con) {
			continue
		}
		mine, err := c.registry.ProbeAlarm(ctx, alarms[i], now, now.Add(checkPause))
		if err != nil {
			return nil, err
		}
		if !mine {
			return nil, later(laterOf(alarms[i].ProbeAt, now).Add(con.Spread(checkPause)))
		}
		probing = i
	}
	ok, err := c.registry.Take(ctx, app.ID, "calls to "+con.Provider, now.Truncate(time.Minute), callsPerCheck, callsPerMinute)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, later(now.Truncate(time.Minute).Add(time.Minute))
	}
	err = c.ask(ctx, app, con)
	switch {
	case err == nil && probing >= 0:
		return nil, c.closeAlarm(ctx, alarms[probing])
	case err == nil:
		return nil, nil
	}
	switch provider.KindOf(err) {
	case provider.ReauthRequired, provider.Revoked:
		return &refusal{app, *con, err}, nil
	case provider.Misconfigured:
		c.log.Warn("a provider refuses the application's settings", "application", app.Slug, "provider", con.Provider, "error", err)
	}
	return nil, later(laterOf(provider.AsError(err).RetryAt, now.Add(checkPause+con.Spread(checkPause))))
}

// ask refreshes, under the consent's lease, and reads what the provider says of
// the consent. What it learns is written; only a provider's error is returned,
// or ErrBusy's like as a temporary one.
func (c *Connector) ask(ctx context.Context, app *consent.Application, con *consent.Consent) error {
	leaseID := c.newID()
	now := c.now()
	leased, err := c.registry.Lease(ctx, app.ID, con.ID, leaseID, now, now.Add(claimLease))
	if err != nil {
		return &provider.Error{Kind: provider.Temporary, Op: "lease", Err: err}
	}
	defer c.endLease(ctx, app, con.ID, leaseID)
	*con = leased
	if err := checkUsable(con); err != nil {
		return nil // revoked meanwhile: nothing to ask about
	}
	p, err := c.open(ctx, app, con.Provider)
	if err != nil {
		return &provider.Error{Kind: provider.Misconfigured, Op: "open", Err: err}
	}
	refresher, refreshes := p.(provider.Refresher)
	inspector, inspects := p.(provider.Inspector)
	if !refreshes {
		return nil
	}
	token, err := c.unseal(con.Tokens.Refresh, con.ID)
	if err != nil {
		return &provider.Error{Kind: provider.Misconfigured, Op: "unseal", Err: err}
	}
	g, err := refresher.Refresh(context.WithoutCancel(ctx), token)
	if err == nil {
		if err := c.store(ctx, con, leaseID, g); err != nil {
			return &provider.Error{Kind: provider.Temporary, Op: "store", Err: err}
		}
		con.RefusedAt = time.Time{} // as stored
		if inspects {
			var said provider.Inspection
			if said, err = inspector.Inspect(ctx, g.AccessToken); err == nil {
				err = c.foresee(ctx, app, con, said)
			}
		}
	}
	return errors.Join(err, c.noteCheck(ctx, con, err))
}

// foresee writes another expiry than the one we know of, where the provider
// gives one for the same bank login (law 2). What falls due by it is announced;
// what has been announced is not announced again.
func (c *Connector) foresee(ctx context.Context, app *consent.Application, con *consent.Consent, said provider.Inspection) error {
	if said.CredentialsID != con.CredentialsID {
		return &provider.Error{Kind: provider.Temporary, Op: "inspect", Code: reasonLogin}
	}
	if said.ExpiresAt.IsZero() || said.ExpiresAt.Equal(con.ExpiresAt) {
		return nil
	}
	con.ExpiresAt, con.ExpirySource = said.ExpiresAt.UTC().Truncate(time.Microsecond), consent.FromProvider
	con.Reschedule(app.Cadence, app.Policy(con.Provider), time.Time{})
	con.Recheck(c.catalog[con.Provider].IdleLimit, c.now())
	err := c.registry.SetOutlook(context.WithoutCancel(ctx), outlookOf(con))
	if err != nil && !errors.Is(err, consent.ErrOvertaken) {
		return &provider.Error{Kind: provider.Temporary, Op: "store", Err: err}
	}
	return nil
}

func outlookOf(con *consent.Consent, events ...consent.Event) consent.Outlook {
	return consent.Outlook{
		ApplicationID: con.ApplicationID, ConsentID: con.ID, Cycle: con.Cycle, ExpiresAt: con.ExpiresAt, ExpirySource: con.ExpirySource,
		EndedAt: con.EndedAt, EndedReason: con.EndedReason, RefusedAt: con.RefusedAt,
		LapsingAt: con.LapsingAt, LapsesAt: con.LapsesAt, RenewableUntil: con.RenewableUntil,
		NextStageAt: con.NextStageAt, NextCheckAt: con.NextCheckAt, Events: events,
	}
}

// noteCheck records what came of asking about a consent. That one which has
// lapsed is refused says nothing about the others; nor does a second refusal,
// since those refused before are asked about again together.
func (c *Connector) noteCheck(ctx context.Context, con *consent.Consent, err error) error {
	if err != nil && (!con.LiveAt(c.now()) || (isOver(err) && !con.RefusedAt.IsZero())) {
		return nil
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
