package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/reconsent/reconsent/api"
	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth/stepup"
)

// auditOptions are the flags of audit.
type auditOptions struct {
	app, user, since, until string
	actions                 []string
	limit                   int
	json                    bool
}

func auditCommand(std stdio) *cobra.Command {
	var o auditOptions
	cmd := &cobra.Command{
		Use: "audit", Short: "Read what users did to prove themselves again, newest first",
		Long: "Reads the audit of re-authentication, newest first: every code that was sent, every attempt, success, denial and lock, every change of factors and every use of a proof. " +
			"It is never changed; where a person was erased, a pseudonym stands in their place. The table has what fits into a line of 120 characters, ABOUT which factor, else operation, else level; " +
			"--json has everything.",
		RunE: onSystem(std, func(cmd *cobra.Command, _ []string, sys *system) error {
			return readAudit(cmd.Context(), std, sys, o, time.Now())
		}),
	}
	addSettings(cmd, "database-url", "keys", "base-url")
	f := cmd.Flags()
	f.StringVar(&o.app, "app", "", "short name of the application; left out, all of them")
	f.StringVar(&o.user, "user", "", "only of this user id")
	f.StringSliceVar(&o.actions, "action", nil, "only of these, for instance factor.failed,locked,proof.used")
	f.StringVar(&o.since, "since", "", "from then on: a time (2026-01-31T00:00:00Z), a day (2026-01-31), or how long ago (24h)")
	f.StringVar(&o.until, "until", "", "before then, written likewise")
	f.IntVar(&o.limit, "limit", 50, "at most so many lines; 0 for all")
	f.BoolVar(&o.json, "json", false, "print a line of JSON for each")
	return cmd
}

// readAudit checks what was asked for, and prints it.
func readAudit(ctx context.Context, std stdio, sys *system, o auditOptions, now time.Time) error {
	f := stepup.AuditFilter{UserID: o.user, Limit: auditPage}
	for _, name := range o.actions {
		a, err := stepup.ParseAction(name)
		if err != nil {
			return usagef("--action %q: %w", name, err)
		}
		f.Actions = append(f.Actions, a)
	}
	var err error
	if f.Since, err = momentOf(o.since, now); err != nil {
		return usagef("--since: %w", err)
	}
	if f.Until, err = momentOf(o.until, now); err != nil {
		return usagef("--until: %w", err)
	}
	if o.limit < 0 {
		return usagef("--limit: want a number of lines, or 0 for all")
	}
	trails, err := auditTrails(ctx, sys, o.app, f)
	if err != nil {
		return err
	}
	if o.json {
		to := json.NewEncoder(std.out)
		return eachOf(ctx, trails, o.limit, func(slug string, a *stepup.Audit) error { return to.Encode(auditJSONOf(slug, a)) })
	}
	w := tabwriter.NewWriter(std.out, 0, 4, auditGap, ' ', 0)
	row := func(cell func(c *auditColumn) string) {
		cells := make([]string, len(auditColumns))
		for i := range auditColumns {
			cells[i] = cell(&auditColumns[i])
		}
		_, _ = fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	row(func(c *auditColumn) string { return c.name })
	lines := 0
	err = eachOf(ctx, trails, o.limit, func(slug string, a *stepup.Audit) error {
		row(func(c *auditColumn) string { return cmp.Or(inCell(c.of(slug, a), c.width), "-") })
		if lines++; lines%auditPage == 0 {
			return w.Flush() // what is long shows as it comes, a page aligned at a time
		}
		return nil
	})
	if err != nil {
		return err
	}
	return w.Flush()
}

// auditGap is the space between two columns.
const auditGap = 2

// auditColumn is a column of the table, at most so many characters wide.
type auditColumn struct {
	name  string
	width int
	of    func(slug string, a *stepup.Audit) string
}

// auditColumns fit into 120 characters, whatever stands in them: who did what,
// when, and why it came out so. The rest is in the lines of JSON.
var auditColumns = []auditColumn{
	{"AT", 20, func(_ string, a *stepup.Audit) string { return a.At.UTC().Format(time.RFC3339) }},
	{"APPLICATION", 12, func(slug string, _ *stepup.Audit) string { return slug }},
	{"USER", 20, func(_ string, a *stepup.Audit) string { return a.UserID }},
	{"ACTION", 24, func(_ string, a *stepup.Audit) string { return string(a.Action) }},
	{"REASON", 18, func(_ string, a *stepup.Audit) string { return a.Reason }},
	{"ABOUT", 16, func(_ string, a *stepup.Audit) string { return cmp.Or(string(a.Factor), a.Operation, a.Level) }},
}

// inCell keeps what somebody sent from drawing on the terminal, or in the table,
// and cuts it to a width.
func inCell(s string, width int) string {
	for _, r := range s {
		if !unicode.IsPrint(r) {
			q := fmt.Sprintf("%q", s)
			s = q[1 : len(q)-1]
			break
		}
	}
	if runes := []rune(s); len(runes) > width {
		return string(runes[:width-1]) + "…"
	}
	return s
}

// momentOf reads a time, a day, or how long ago it was; empty is none.
func momentOf(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, s); err == nil {
			return at, nil
		}
	}
	if ago, err := time.ParseDuration(s); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	return time.Time{}, fmt.Errorf("%q is no time (2026-01-31T00:00:00Z), day (2026-01-31) or duration (24h)", s)
}

// auditPage is how many lines are read at a time.
const auditPage = 200

// auditTrail is the rest of one application's audit.
type auditTrail struct {
	app    consent.Application
	store  stepup.AuditLog
	filter stepup.AuditFilter
	page   []stepup.Audit
	last   bool
}

func auditTrails(ctx context.Context, sys *system, slug string, f stepup.AuditFilter) ([]*auditTrail, error) {
	var apps []consent.Application
	if slug != "" {
		app, err := sys.applicationNamed(ctx, slug)
		if err != nil {
			return nil, err
		}
		apps = []consent.Application{app}
	} else {
		all, unreadable, err := sys.store.ListApplications(ctx)
		if err != nil {
			return nil, err
		}
		for _, u := range unreadable { // what happened there can be read all the same
			all = append(all, consent.Application{ID: u.ID, Slug: u.Slug})
		}
		apps = all
	}
	var trails []*auditTrail
	for _, app := range apps {
		trails = append(trails, &auditTrail{app: app, store: sys.store, filter: f})
	}
	return trails, nil
}

// next returns the newest line that is left, or nil.
func (t *auditTrail) next(ctx context.Context) (*stepup.Audit, error) {
	if len(t.page) == 0 && !t.last {
		page, err := t.store.ListAudit(ctx, t.app.ID, t.filter)
		if err != nil {
			return nil, err
		}
		t.page, t.last = page, len(page) < t.filter.Limit
		if len(page) > 0 {
			t.filter.Before = page[len(page)-1].ID
		}
	}
	if len(t.page) == 0 {
		return nil, nil
	}
	return &t.page[0], nil
}

// eachOf calls f for the lines of all applications, newest first, up to limit;
// 0 is all of them.
func eachOf(ctx context.Context, trails []*auditTrail, limit int, f func(slug string, a *stepup.Audit) error) error {
	for n := 0; limit == 0 || n < limit; n++ {
		var newest *auditTrail
		for _, t := range trails {
			line, err := t.next(ctx)
			if err != nil {
				return err
			}
			if line != nil && (newest == nil || line.ID > newest.page[0].ID) { // ids sort by time
				newest = t
			}
		}
		if newest == nil {
			return nil
		}
		if err := f(newest.app.Slug, &newest.page[0]); err != nil {
			return err
		}
		newest.page = newest.page[1:]
	}
	return nil
}

// auditJSON is a line as the API writes it, with whose it is.
type auditJSON struct {
	Application string `json:"application"`
	api.AuditLine
}

func auditJSONOf(slug string, a *stepup.Audit) auditJSON {
	return auditJSON{slug, api.AuditLine{
		ID: a.ID, At: a.At, Action: string(a.Action), Reason: a.Reason, UserID: a.UserID, SessionID: a.SessionID, DeviceID: a.DeviceID,
		IPPrefix: a.IPPrefix, Factor: string(a.Factor), Level: a.Level, Operation: a.Operation, Subject: a.Subject,
	}}
}
