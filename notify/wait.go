package notify

import (
	"context"
	"slices"
	"time"

	"github.com/reconsent/reconsent/consent"
)

const (
	// pausedFor is when a message of a paused application is looked at again.
	pausedFor = 10 * time.Minute

	paused     = "paused"
	quietHours = "quiet_hours"
)

// mayLeave makes the messages that have to wait due later, and returns the
// others. They are not frozen meanwhile: what comes until then joins them.
func (n *Notifier) mayLeave(ctx context.Context, app *consent.Application, ids []string) ([]string, error) {
	if !app.Paused && app.QuietHours.IsZero() {
		return ids, nil
	}
	digests, err := n.Registry.ListDigests(ctx, app.ID, ids)
	if err != nil {
		return nil, err
	}
	now := n.now()
	digests = slices.DeleteFunc(digests, func(d consent.Digest) bool {
		return d.DueAt.IsZero() || d.ClaimedUntil.After(now) // over, or on its way already
	})
	users := map[string]*consent.User{}
	if !app.Paused {
		if users, err = n.recipients(ctx, app, digests); err != nil {
			return nil, err
		}
	}
	var leave []string
	var wait []consent.Digest
	for _, d := range digests {
		user := users[d.UserID]
		switch {
		case app.Paused:
			d.DueAt, d.Reason = now.Add(pausedFor), paused
		case d.Asked, user == nil: // somebody is awake, and waits for it; or is gone, and nothing will be sent
			leave = append(leave, d.ID)
			continue
		default:
			until := app.QuietHours.Until(now, zoneOf(user))
			if until.IsZero() {
				leave = append(leave, d.ID)
				continue
			}
			d.DueAt, d.Reason = until, quietHours
		}
		wait = append(wait, d)
	}
	_, err = n.Registry.PostponeDigests(ctx, app.ID, wait)
	return leave, err
}

// recipients reads the users of digests, by id.
func (n *Notifier) recipients(ctx context.Context, app *consent.Application, digests []consent.Digest) (map[string]*consent.User, error) {
	ids := make([]string, len(digests))
	for i := range digests {
		ids[i] = digests[i].UserID
	}
	list, err := n.Registry.Recipients(ctx, app.ID, ids)
	users := make(map[string]*consent.User, len(list))
	for i := range list {
		users[list[i].ID] = &list[i]
	}
	return users, err
}
