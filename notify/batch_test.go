package notify

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
)

// batchOf announces to so many people, and returns their digests in order.
func (d *desk) batchOf(people int) []string {
	d.Helper()
	for i := range people {
		d.lapsing(fmt.Sprintf("user%02d", i), "Mock Bank", d.at.Add(7*day))
	}
	by := d.sweep()
	ids := make([]string, people)
	for i := range ids {
		ids[i] = by[fmt.Sprintf("user%02d", i)]
	}
	return ids
}

func (d *desk) states(ids []string) map[consent.DigestState]int {
	d.Helper()
	n := map[consent.DigestState]int{}
	for _, id := range ids {
		n[d.digest(id).State]++
	}
	return n
}

func TestABatchIsSentAndRecorded(t *testing.T) {
	d := newDesk(t)
	ids := d.batchOf(2*together + 3)
	require.NoError(t, d.Do(t.Context(), consent.DigestKey(d.app.ID, append(ids, "dgt_gone")...)))
	assert.Len(t, d.post.sent, len(ids))
	for _, id := range ids {
		d.over(d.digest(id), consent.DigestSent, "")
	}
	require.NoError(t, d.Do(t.Context(), consent.DigestKey(d.app.ID, ids...)))
	assert.Len(t, d.post.sent, len(ids))
}

func TestOneOfABatchThatIsRefusedOrPutOffIsItsOwnTrouble(t *testing.T) {
	d := newDesk(t)
	ids := d.batchOf(together + 2)
	d.post.fails = []error{nil, ErrRefused, errLater, nil, fmt.Errorf("%w: 535", ErrMisconfigured)}
	require.NoError(t, d.Send(t.Context(), d.app.ID, ids...))
	assert.Equal(t, map[consent.DigestState]int{consent.DigestSent: together - 1, consent.DigestFailed: 1, consent.DigestFrozen: 2}, d.states(ids))
	assert.Len(t, d.post.tried, len(ids))
}

func TestAMailServerThatIsAwayIsAskedOnceABatch(t *testing.T) {
	d := newDesk(t)
	ids := d.batchOf(3 * together)
	d.post.fails = []error{errLater} // of the first, which is a try ahead
	d.send(ids[0])
	d.at = d.digest(ids[0]).DueAt
	d.post.tried, d.post.fails = nil, []error{nil, fmt.Errorf("%w: connection refused", ErrAway)}
	require.NoError(t, d.Send(t.Context(), d.app.ID, ids...))
	assert.Len(t, d.post.tried, 2)
	tries := map[int]int{}
	for _, id := range ids {
		digest := d.digest(id)
		if digest.State == consent.DigestSent {
			continue
		}
		assert.Equal(t, consent.DigestFrozen, digest.State)
		assert.Equal(t, "not_sent", digest.Reason)
		assert.True(t, digest.DueAt.After(d.at))
		assert.Empty(t, digest.ClaimID)
		tries[digest.Tries]++
	}
	assert.Equal(t, map[int]int{1: 3*together - 1}, tries)
	d.at = d.at.Add(time.Hour)
	require.NoError(t, d.Send(t.Context(), d.app.ID, ids...))
	assert.Len(t, d.post.sent, len(ids), "each once")
}

func TestWhatABatchHasNoTimeForIsLeftToAnotherJob(t *testing.T) {
	d := newDesk(t)
	ids := d.batchOf(2 * together)
	d.post.during = func() { d.at = d.at.Add(beginFor) } // a server that takes its time
	require.NoError(t, d.Send(t.Context(), d.app.ID, ids...))
	assert.Len(t, d.post.sent, 1)
	d.over(d.digest(ids[0]), consent.DigestSent, "")
	for _, id := range ids[1:] {
		digest := d.digest(id)
		assert.Equal(t, d.at, digest.DueAt, "at once")
		assert.Empty(t, digest.ClaimID)
		assert.Zero(t, digest.Tries)
	}
	require.NoError(t, d.Send(t.Context(), d.app.ID, ids...))
	assert.Len(t, d.post.sent, len(ids))
}

func TestABatchThatIsCalledOffRecordsWhatWasAccepted(t *testing.T) {
	d := newDesk(t)
	ids := d.batchOf(2 * together)
	ctx, cancel := context.WithCancel(t.Context())
	d.post.fail(3, nil)
	d.post.during = cancel
	require.NoError(t, d.Send(ctx, d.app.ID, ids...))
	require.Len(t, d.post.sent, 1)
	assert.Equal(t, map[consent.DigestState]int{consent.DigestSent: 1, consent.DigestFrozen: 2*together - 1}, d.states(ids))
	require.NoError(t, d.Send(t.Context(), d.app.ID, ids...))
	assert.Len(t, d.post.sent, len(ids), "and nothing twice")
}

func TestAnAcceptanceIsRecordedWithinASecond(t *testing.T) {
	d := newDesk(t)
	ids := d.batchOf(together)
	recorded := 0
	d.reg.finish = func() error { recorded++; return nil }
	d.post.during = func() {
		d.at = d.at.Add(recordAfter)
		d.post.during = func() { assert.Equal(t, consent.DigestSent, d.digest(ids[0]).State) }
	}
	require.NoError(t, d.Send(t.Context(), d.app.ID, ids...))
	assert.Equal(t, 2, recorded)
	assert.Len(t, d.post.sent, together)
}

func TestWhatCannotBeRecordedOfOneIsRecordedOfTheOthers(t *testing.T) {
	d := newDesk(t)
	ids := d.batchOf(together)
	calls := 0
	d.reg.finish = func() error {
		if calls++; calls <= 2 { // of all, and of the first alone
			return errDisk
		}
		return nil
	}
	require.NoError(t, d.Send(t.Context(), d.app.ID, ids...))
	assert.Equal(t, map[consent.DigestState]int{consent.DigestSent: together - 1, consent.DigestFrozen: 1}, d.states(ids))
}
