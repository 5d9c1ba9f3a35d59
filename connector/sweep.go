package connector

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/reconsent/reconsent/consent"
)

const (
	// sweepBatch rows go into one transaction: enough that the cost of the
	// transaction does not count, few enough that nobody waits for its locks.
	sweepBatch = 5000
	// sweepWorkers work on a backlog side by side.
	sweepWorkers = 2
	// urgentWithin: what lapses so soon, or has lapsed, is announced before
	// everything else that is due.
	urgentWithin = 24 * time.Hour
)

// Swept tells what a sweep did.
type Swept struct {
	Announced map[string]int // by stage
	Skipped   int            // stages overtaken by a later one
	Parked    int            // consents parked by this sweep, or found parked still
}

// Total returns how many stages were announced.
func (s *Swept) Total() int {
	n := 0
	for _, count := range s.Announced {
		n += count
	}
	return n
}

func (s *Swept) count(judged []consent.Judged) {
	for i := range judged {
		f := &judged[i].Flag
		s.Skipped += len(f.Skipped)
		switch {
		case f.Parked != "":
			s.Parked++
		case f.Announce.Name != "":
			s.Announced[f.Announce.Name]++
		}
	}
}

// Sweep announces every stage that is due, the nearest lapses first, and moves
// every consent that it looks at. It may run on many replicas at once, and be
// killed at any moment: a batch is announced whole or not at all, and what is
// left is due for the next sweep.
func (c *Connector) Sweep(ctx context.Context) (Swept, error) {
	done := Swept{Announced: map[string]int{}}
	now := c.now()
	for _, nearest := range []time.Time{now.Add(urgentWithin), {}} {
		if err := c.sweepBand(ctx, now, nearest, &done); err != nil {
			return done, err
		}
	}
	return done, nil
}

// sweepBand sweeps what lapses by nearest. A second worker joins where the
// first batch was full.
func (c *Connector) sweepBand(ctx context.Context, now, nearest time.Time, done *Swept) error {
	filter := consent.DueFilter{Now: now, Nearest: nearest, Limit: sweepBatch}
	var mu sync.Mutex // over done
	more, err := c.sweepNext(ctx, &filter, done, &mu)
	if err != nil || !more {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for range sweepWorkers {
		own := filter
		g.Go(func() error {
			for more := true; more; {
				var err error
				if more, err = c.sweepNext(ctx, &own, done, &mu); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// sweepNext flags one batch, and moves the filter behind it.
func (c *Connector) sweepNext(ctx context.Context, filter *consent.DueFilter, done *Swept, mu *sync.Mutex) (more bool, err error) {
	apps, err := c.readableApplications(ctx)
	if err != nil {
		return false, err
	}
	var last consent.Consent // where it is the only one, the one that was at fault
	judged, err := c.registry.Flag(ctx, *filter, func(con *consent.Consent) consent.Judgement {
		last = *con
		return c.judge(apps[con.ApplicationID], con, filter.Now)
	})
	if errors.Is(err, consent.ErrExists) || errors.Is(err, consent.ErrRejected) {
		return true, c.narrow(ctx, filter, last, err)
	}
	if err != nil || len(judged) == 0 {
		return false, err
	}
	more = len(judged) == filter.Limit
	filter.After = cursorAt(&judged[len(judged)-1].Consent)
	filter.Limit = min(2*filter.Limit, sweepBatch) // where it was narrowed
	mu.Lock()
	done.count(judged)
	mu.Unlock()
	for i := range judged {
		if j := &judged[i]; j.Flag.Parked != "" && j.Consent.ParkedAt.IsZero() {
			c.log.Error("consent parked: a sweep cannot judge it", "consent", j.Consent.ID, "application", j.Consent.ApplicationID, "reason", j.Flag.Parked)
		}
	}
	return more, nil
}

// narrow halves a batch that the database refuses, down to the one consent that
// is at fault: that one is parked, so that it keeps nobody else back.
func (c *Connector) narrow(ctx context.Context, filter *consent.DueFilter, last consent.Consent, cause error) error {
	if filter.Limit > 1 {
		filter.Limit /= 2
		return nil
	}
	err := c.registry.Park(ctx, last, consent.Park(consent.ParkedUnwritable, filter.Now), filter.Now)
	if errors.Is(err, consent.ErrNotFound) {
		return nil // somebody else has parked it
	}
	if err == nil {
		c.log.Error("consent parked: what is due cannot be written", "consent", last.ID, "application", last.ApplicationID, "error", cause)
	}
	return err
}

// cursorAt is the place of a consent in the order of what is due.
func cursorAt(con *consent.Consent) consent.DueCursor {
	return consent.DueCursor{At: con.NextStageAt, ApplicationID: con.ApplicationID, ID: con.ID}
}

// readableApplications returns the applications by id. One whose settings do
// not parse must not stop the others; a database that is away stops all.
func (c *Connector) readableApplications(ctx context.Context) (map[string]*consent.Application, error) {
	list, unreadable, err := c.registry.ListApplications(ctx)
	if err != nil {
		return nil, err
	}
	for _, u := range unreadable {
		c.log.Error("application cannot be read; its consents are parked", "application", u.Slug, "error", u.Fault)
	}
	apps := make(map[string]*consent.Application, len(list))
	for i := range list {
		apps[list[i].ID] = &list[i]
	}
	return apps, nil
}

// judge decides what is to be announced of one due consent.
func (c *Connector) judge(app *consent.Application, con *consent.Consent, now time.Time) consent.Judgement {
	if app == nil {
		return consent.Judgement{Flag: consent.Park(consent.ParkedNoSettings, now)}
	}
	j := consent.Judgement{Flag: con.Flag(app.Cadence, now)}
	announce := j.Flag.Announce
	overtakenBy := announce.Name
	if overtakenBy == "" && len(con.Announced) > 0 {
		overtakenBy = con.Announced[len(con.Announced)-1]
	}
	for _, s := range j.Flag.Skipped {
		j.Events = append(j.Events, c.stageEvent(s, con, now, map[string]any{"skipped": true, "overtaken_by": overtakenBy}))
	}
	if announce.Name == "" {
		return j
	}
	j.Events = append(j.Events, c.stageEvent(announce, con, now, map[string]any{}))
	if app.NoMail {
		return j
	}
	j.DigestID = "dgt_" + c.newID()
	if slices.Contains(app.SMSStages, announce.Name) {
		j.SMSDigestID = "dgt_" + c.newID()
	}
	j.NoAddress = func() consent.Event {
		return c.event(consent.EventUserUnreachable, now, map[string]any{"channel": string(consent.ChannelEmail), "reason": "no_address"})
	}
	return j
}

// stageEvent announces a stage, or records that it was passed over.
func (c *Connector) stageEvent(s consent.StageTime, con *consent.Consent, now time.Time, data map[string]any) consent.Event {
	maps.Copy(data, map[string]any{"due_at": rfc3339(s.At), "lapses_at": rfc3339(con.LapsesAt), "expires_at": rfc3339(con.ExpiresAt)})
	if !con.RenewableUntil.IsZero() {
		data["renewable_until"] = rfc3339(con.RenewableUntil)
	}
	e := c.event(s.Event(), now, data)
	e.Stage = s.Name
	return e
}

// Due lists what a sweep would announce now, and changes nothing.
func (c *Connector) Due(ctx context.Context, each func(*consent.Consent, consent.Flag) error) error {
	apps, err := c.readableApplications(ctx)
	if err != nil {
		return err
	}
	filter := consent.DueFilter{Now: c.now(), Limit: sweepBatch}
	for {
		due, err := c.registry.Due(ctx, filter)
		if err != nil {
			return err
		}
		for i := range due {
			if err := each(&due[i], c.judge(apps[due[i].ApplicationID], &due[i], filter.Now).Flag); err != nil {
				return err
			}
		}
		if len(due) < filter.Limit {
			return nil
		}
		filter.After = cursorAt(&due[len(due)-1])
	}
}

// Parked counts the consents that no sweep could judge, and returns the first.
func (c *Connector) Parked(ctx context.Context, limit int) (int, []consent.Consent, error) {
	return c.registry.Parked(ctx, limit)
}
