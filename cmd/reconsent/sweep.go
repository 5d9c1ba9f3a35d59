package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/scheduler"
)

// errParked says that a sweep was done, but that there are consents which it
// could not judge; they are named on standard output.
var errParked = errors.New("some consents are parked")

func sweepCommand(std stdio) *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use: "sweep", Short: "Announce once what is due, for an outside cron",
		Long: "Announces every stage that is due and queues the messages about it, once, as 'serve' does by its own schedule; both may run at the same time. " +
			"Running replicas of 'serve' send the messages. Exits 3 where consents are parked, because their data cannot be judged.",
		RunE: onSystem(std, func(cmd *cobra.Command, _ []string, sys *system) error {
			if dryRun {
				return sys.printDue(cmd.Context(), std)
			}
			return sys.sweepOnce(cmd.Context(), std)
		}),
	}
	addSettings(cmd, "database-url", "keys", "base-url", "log-level")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "change nothing, and list what would be announced")
	return cmd
}

// sweepOnce sweeps and says what it did.
func (s *system) sweepOnce(ctx context.Context, std stdio) error {
	swept, queued, fault := s.announce(ctx)
	out := fmt.Sprintf("announced: %d", swept.Total())
	var stages []string
	for _, name := range slices.Sorted(maps.Keys(swept.Announced)) {
		stages = append(stages, fmt.Sprintf("%s %d", name, swept.Announced[name]))
	}
	if len(stages) > 0 {
		out += " (" + strings.Join(stages, ", ") + ")"
	}
	if _, err := fmt.Fprintf(std.out, "%s\nskipped, overtaken by a later stage: %d\nmessages queued: %d\n", out, swept.Skipped, queued); err != nil {
		return err
	}
	if err := s.printParked(ctx, std); fault == nil {
		return err
	}
	return fault
}

// parkedShown is how many parked consents are named.
const parkedShown = 20

func (s *system) printParked(ctx context.Context, std stdio) error {
	count, first, err := s.connector.Parked(ctx, parkedShown)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(std.out, "parked: %d\n", count); err != nil {
		return err
	}
	if count == 0 {
		return nil
	}
	slugs, err := s.shortNames(ctx)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(std.out, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "  CONSENT\tAPPLICATION\tREASON\tSINCE")
	for i := range first {
		c := &first[i]
		_, _ = fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", c.ID, slugs[c.ApplicationID], c.ParkedReason, c.ParkedAt.Format(time.RFC3339))
	}
	if count > len(first) {
		_, _ = fmt.Fprintf(w, "  and %d more\n", count-len(first))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return errParked
}

// printDue lists what a sweep would do now.
func (s *system) printDue(ctx context.Context, std stdio) error {
	slugs, err := s.shortNames(ctx)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(std.out, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "CONSENT\tAPPLICATION\tUSER\tWOULD ANNOUNCE\tDUE SINCE\tSKIPPING")
	total := 0
	err = s.connector.Due(ctx, func(c *consent.Consent, f consent.Flag) error {
		total++
		what := f.Announce.Name
		switch {
		case f.Parked != "":
			what = "nothing, parked: " + f.Parked
		case what == "":
			what = "nothing"
		}
		skipped := make([]string, len(f.Skipped))
		for i := range f.Skipped {
			skipped[i] = f.Skipped[i].Name
		}
		_, err := fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", c.ID, slugs[c.ApplicationID], c.UserID, what, c.NextStageAt.Format(time.RFC3339), strings.Join(skipped, ","))
		return err
	})
	if err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if _, err = fmt.Fprintf(std.out, "%d due; nothing was changed\n", total); err != nil {
		return err
	}
	return s.printParked(ctx, std)
}

// allThatIsDue does, and waits for, what is due at this moment. Moves of the
// clock in dev come through here.
func (s *system) allThatIsDue(ctx context.Context) error {
	if err := errors.Join(s.connector.Upkeep(ctx), s.connector.Reconcile(ctx)); err != nil {
		return err
	}
	if _, _, err := s.announce(ctx); err != nil {
		return err
	}
	for { // what was sent may have had consequences that are to be told
		n, err := s.webhooks.Dispatch(ctx)
		if err != nil {
			return err
		}
		if err := s.scheduler.Idle(ctx); err != nil || n == 0 {
			return err
		}
	}
}

// checkCadences refuses a schedule that comes too rarely: a stage that is
// overtaken before the next sweep would never be announced.
func (s *system) checkCadences(ctx context.Context, sweep scheduler.Schedule) error {
	apps, _, err := s.store.ListApplications(ctx)
	if err != nil {
		return err
	}
	pause := sweep.LongestPause(s.now())
	for i := range apps {
		gap, a, b := apps[i].Cadence.ShortestGap()
		if gap > 0 && pause >= gap {
			return usagef("sweep-schedule %q pauses for up to %s, but application %s wants %s and %s announced, which are %s apart; sweep more often, or change its cadence",
				sweep, inDays(pause), apps[i].Slug, a, b, inDays(gap))
		}
	}
	return nil
}

// inDays writes a duration as cadences do.
func inDays(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d == day:
		return "1 day"
	case d == 0:
		return "unknown"
	case d%day == 0:
		return fmt.Sprintf("%d days", d/day)
	case d%time.Hour == 0:
		return fmt.Sprintf("%d hours", d/time.Hour)
	default:
		return d.String()
	}
}
