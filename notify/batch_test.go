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
	ids := d.batchOf(2*consent.DigestBatch + 3)
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
	ids := d.batchOf(consent.DigestBatch + 2)
	d.post.fails = []error{nil, ErrRefused, errLater, nil, fmt.Errorf("%w: 530", ErrMisconfigured)}
	require.NoError(t, d.Send(t.Context(), d.app.ID, ids...))
	assert.Equal(t, map[consent.DigestState]int{consent.DigestSent: consent.DigestBatch - 1, consent.DigestFailed: 1, consent.DigestFrozen: 2}, d.states(ids))
	assert.Len(t, d.post.tried, len(ids))
	assert.Equal(t, "email: ", d.gate.last(), "mails are taken")
}

func TestAMailServerThatIsAwayIsAskedOnceABatch(t *testing.T) {
	d := newDesk(t)
	ids := d.batchOf(3 * consent.DigestBatch)
	d.post.fails = []error{errLater} // of the first, which is a try ahead
	d.send(ids[0])
	d.at = d.digest(ids[0]).DueAt
	d.post.tried, d.post.fails, d.gate.serving = nil, []error{nil, fmt.Errorf("%w: connection refused", ErrAway)}, nil
	require.NoError(t, d.Send(t.Context(), d.app.ID, ids...))
	assert.Len(t, d.post.tried, 2)
	assert.Equal(t, []string{"email: "}, d.gate.serving, "one was taken: it is away since then at most")
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
	assert.Equal(t, map[int]int{1: 3*consent.DigestBatch - 1}, tries)
	d.at = d.at.Add(time.Hour)
	require.NoError(t, d.Send(t.Context(), d.app.ID, ids...))
	assert.Len(t, d.post.sent, len(ids), "each once")
}

func TestWhatABatchHasNoTimeForIsLeftToAnotherJob(t *testing.T) {
	d := newDesk(t)
	ids := d.batchOf(2 * consent.DigestBatch)
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
	ids := d.batchOf(2 * consent.DigestBatch)
	ctx, cancel := context.WithCancel(t.Context())
	d.post.fail(3, nil)
	d.post.during = cancel
	require.NoError(t, d.Send(ctx, d.app.ID, ids...))
	require.Len(t, d.post.sent, 1)
	assert.Equal(t, map[consent.DigestState]int{consent.DigestSent: 1, consent.DigestFrozen: 2*consent.DigestBatch - 1}, d.states(ids))
	require.NoError(t, d.Send(t.Context(), d.app.ID, ids...))
	assert.Len(t, d.post.sent, len(ids), "and nothing twice")
}

func TestAnAcceptanceIsRecordedAtOnce(t *testing.T) {
	d := newDesk(t)
	ids := d.batchOf(recordEach)
	recorded := 0
	d.reg.finish = func() error { recorded++; return nil }
	d.post.during = func() {
		d.at = d.at.Add(recordAfter)
		d.post.during = func() { assert.Equal(t, consent.DigestSent, d.digest(ids[0]).State) }
	}
	require.NoError(t, d.Send(t.Context(), d.app.ID, ids...))
	assert.Equal(t, 2, recorded)
	assert.Len(t, d.post.sent, recordEach)
}

func TestWhatCannotBeRecordedOfOneIsRecordedOfTheOthers(t *testing.T) {
	d := newDesk(t)
	ids := d.batchOf(consent.DigestBatch)
	calls := 0
	d.reg.finish = func() error {
		if calls++; calls <= 2 { // of all, and of the first alone
			return errDisk
		}
		return nil
	}
	require.NoError(t, d.Send(t.Context(), d.app.ID, ids...))
	assert.Equal(t, map[consent.DigestState]int{consent.DigestSent: consent.DigestBatch}, d.states(ids), "and of the one when that works again")
	assert.Len(t, d.post.sent, consent.DigestBatch)
}

func TestWhatCannotBeRecordedIsTriedForAsLongAsTheMessagesAreOurs(t *testing.T) {
	d := newDesk(t)
	ids := d.batchOf(consent.DigestBatch)
	begin := d.at
	d.reg.finish = func() error {
		if d.at.Sub(begin) < time.Minute { // a database that comes back
			return errDisk
		}
		return nil
	}
	require.NoError(t, d.Send(t.Context(), d.app.ID, ids...))
	assert.Less(t, d.at.Sub(begin), claimFor)
	assert.Equal(t, map[consent.DigestState]int{consent.DigestSent: consent.DigestBatch}, d.states(ids))
	require.NoError(t, d.Send(t.Context(), d.app.ID, ids...))
	assert.Len(t, d.post.sent, consent.DigestBatch, "nothing twice")
}

func TestWhatCanNeverBeRecordedIsNotSentWithoutEnd(t *testing.T) {
	d := newDesk(t)
	d.lapsing("ada", "Mock Bank", d.at)
	id := d.sweep()["ada"]
	d.reg.finish = func() error { return errDisk }
	for range 2 * patience {
		if d.at = d.send(id).DueAt; d.at.IsZero() {
			break
		}
	}
	assert.Len(t, d.post.sent, patience)
	assert.Equal(t, consent.DigestFailed, d.digest(id).State)
}

// TestWhoReconsentedWhileOthersWereWrittenToIsNotReminded: law 3, where a mail
// server takes its time.
func TestWhoReconsentedWhileOthersWereWrittenToIsNotReminded(t *testing.T) {
	d := newDesk(t)
	ids := d.batchOf(6)
	d.post.during = func() {
		d.at = d.at.Add(25 * time.Second)
		d.exec(`UPDATE consents SET cycle = 2, announced = '' WHERE user_id = 'user01'`)
		d.exec(`UPDATE consents SET revoked_at = 1 WHERE user_id = 'user02'`)
		require.NoError(t, d.store.EraseUser(d.Context(), d.app.ID, "user02", "erased_1"))
		d.exec(`UPDATE users SET email = 'new@example.org' WHERE id = 'user03'`)
		d.gate.until, d.gate.why, d.gate.bank = d.at.Add(time.Hour), string(consent.AlarmBank), "Bank Out"
		d.exec(`UPDATE consents SET bank_name = 'Bank Out' WHERE user_id = 'user04'`)
	}
	require.NoError(t, d.Send(t.Context(), d.app.ID, ids...))
	var to []string
	for _, m := range d.post.sent {
		to = append(to, m.To)
	}
	assert.ElementsMatch(t, []string{"user00@example.org", "new@example.org", "user05@example.org"}, to)
	assert.Equal(t, consent.DigestDropped, d.digest(ids[1]).State)
	assert.Equal(t, consent.DigestDropped, d.digest(ids[2]).State)
	held := d.digest(ids[4])
	assert.Equal(t, d.gate.until, held.DueAt)
	assert.Zero(t, held.Tries)
}

// TestWhatIsAcceptedIsSoonOnRecord: the clock stands still, so it is their number
// that counts. What is not on record is sent again where a process dies.
func TestWhatIsAcceptedIsSoonOnRecord(t *testing.T) {
	d := newDesk(t)
	ids := d.batchOf(consent.DigestBatch)
	sent, most := 0, 0
	var during func()
	during = func() {
		sent++
		most = max(most, sent-d.states(ids)[consent.DigestSent])
		d.post.during = during
	}
	d.post.during = during
	require.NoError(t, d.Send(t.Context(), d.app.ID, ids...))
	assert.Equal(t, recordEach, most)
	assert.Equal(t, map[consent.DigestState]int{consent.DigestSent: consent.DigestBatch}, d.states(ids))
}

func TestTheLookIsNewOnlyWhereItHasGrownOld(t *testing.T) {
	d := newDesk(t)
	ids := d.batchOf(consent.DigestBatch)
	looks := 0
	d.reg.consent = func(*consent.Consent) error { looks++; return nil }
	require.NoError(t, d.Send(t.Context(), d.app.ID, ids...))
	assert.Equal(t, consent.DigestBatch, looks, "once each")
}

func TestAStopIsNoFailureOfTheServer(t *testing.T) {
	d := newDesk(t)
	ids := d.batchOf(5)
	ctx, cancel := context.WithCancel(t.Context())
	d.post.during = cancel
	d.post.fails = []error{fmt.Errorf("smtp: %w", context.Canceled)}
	require.NoError(t, d.Send(ctx, d.app.ID, ids...))
	for _, id := range ids {
		assert.Zero(t, d.digest(id).Tries, "another process sends it")
		assert.Equal(t, d.at, d.digest(id).DueAt, "at once")
	}
	assert.Empty(t, d.gate.serving)
}

// TestAMailThatIsHandedOverAndNeverAnsweredIsTriedThreeTimes: it may have
// arrived each time.
func TestAMailThatIsHandedOverAndNeverAnsweredIsTriedThreeTimes(t *testing.T) {
	d := newDesk(t)
	d.lapsing("ada", "Mock Bank", d.at)
	id := d.sweep()["ada"]
	d.post.fail(1000, fmt.Errorf("%w: SMTP", ErrUnanswered))
	for range unansweredTries - 1 {
		digest := d.send(id)
		require.Equal(t, consent.DigestFrozen, digest.State)
		require.Greater(t, digest.DueAt.Sub(d.at), 3*time.Hour)
		d.at = digest.DueAt
	}
	d.over(d.send(id), consent.DigestFailed, "given_up")
	assert.Len(t, d.post.tried, unansweredTries)
}
