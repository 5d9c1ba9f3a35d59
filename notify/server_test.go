package notify

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
)

var errNoSuchUser = fmt.Errorf("%w: SMTP 550", ErrRefused)

// marked counts the users whose address counts as refused.
func (d *desk) marked() int {
	d.Helper()
	return len(d.rows(`SELECT id, email FROM users WHERE email_refused_at IS NOT NULL`))
}

// TestAServerThatRefusesEverybodyMarksNobody follows a relay that denies
// everybody for an hour, with words that are about the addresses.
func TestAServerThatRefusesEverybodyMarksNobody(t *testing.T) {
	d := newDesk(t)
	ids := d.batchOf(2 * consent.DigestBatch)
	d.accepts(consent.ChannelEmail) // all was well before
	d.post.fail(len(ids), errNoSuchUser)
	require.NoError(t, d.Send(t.Context(), d.app.ID, ids...))
	assert.Len(t, d.post.tried, len(ids))
	assert.Zero(t, d.marked())
	assert.Contains(t, d.gate.last(), "email: It refuses the addresses of most users")
	for _, id := range ids {
		assert.Equal(t, consent.DigestFrozen, d.digest(id).State)
		assert.Equal(t, 1, d.digest(id).Tries)
	}
	d.at = d.at.Add(time.Hour)
	require.NoError(t, d.Send(t.Context(), d.app.ID, ids...))
	assert.Len(t, d.post.sent, len(ids))
	assert.Equal(t, "email: ", d.gate.last())
}

func TestAServerThatBeginsToRefuseEverybodyInTheMiddleMarksNobody(t *testing.T) {
	d := newDesk(t)
	ids := d.batchOf(consent.DigestBatch)
	d.post.fails = []error{nil, nil}
	d.post.fail(consent.DigestBatch-2, errNoSuchUser)
	require.NoError(t, d.Send(t.Context(), d.app.ID, ids...))
	assert.Zero(t, d.marked())
	assert.Contains(t, d.gate.last(), "It refuses")
	assert.Len(t, d.post.sent, 2)
}

func TestAServerThatRefusesOneByOneMarksNobodyForLong(t *testing.T) {
	d := newDesk(t)
	ids := d.batchOf(3 * manyRefused)
	d.accepts(consent.ChannelEmail)
	d.post.fail(len(ids), errNoSuchUser)
	for _, id := range ids { // a job each
		d.send(id)
	}
	assert.Less(t, d.marked(), manyRefused)
}

func TestOneAddressThatIsRefusedAmongOthersIsMarked(t *testing.T) {
	d := newDesk(t)
	ids := d.batchOf(consent.DigestBatch)
	d.post.fails = []error{errNoSuchUser, errNoSuchUser} // before the others are taken
	require.NoError(t, d.Send(t.Context(), d.app.ID, ids...))
	assert.Equal(t, 2, d.marked())
	assert.Equal(t, "email: ", d.gate.last())
}

func TestALoneRefusalWaitsUntilTheServerHasTakenSomething(t *testing.T) {
	for name, apart := range map[string]time.Duration{"never": -1, "long ago": recently, "just now": recently - time.Second} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			id := d.batchOf(1)[0]
			if apart >= 0 {
				d.servers.accepted(consent.ChannelEmail, d.at.Add(-apart))
			}
			d.accepts(consent.ChannelSMS) // which says nothing of mail
			d.post.fail(1, errNoSuchUser)
			digest := d.send(id)
			if name == "just now" {
				d.over(digest, consent.DigestFailed, "refused")
				assert.Equal(t, 1, d.marked())
				return
			}
			assert.Equal(t, consent.DigestFrozen, digest.State)
			assert.Zero(t, d.marked())
			assert.Contains(t, d.gate.last(), "It refuses")
		})
	}
}

func TestWhatIsNoAddressIsMarkedWhateverTheServerDoes(t *testing.T) {
	d := newDesk(t)
	id := d.batchOf(1)[0]
	d.post.fail(1, fmt.Errorf("%w: the recipient is %w", ErrRefused, ErrNoAddress))
	d.over(d.send(id), consent.DigestFailed, "refused")
	assert.Equal(t, 1, d.marked())
}

func TestAnOperatorIsToldWhyNobodyTakesMessages(t *testing.T) {
	for want, err := range map[string]error{
		"email: It refuses us: our settings are refused: SMTP 530. Look at the login and the sender in the settings.":                             fmt.Errorf("%w: SMTP 530", ErrMisconfigured),
		"email: It refuses us: nobody is there to take it: our settings are refused: SMTP 535. Look at the login and the sender in the settings.": fmt.Errorf("%w: %w: SMTP 535", ErrAway, ErrMisconfigured),
		"email: Nobody answers there.": fmt.Errorf("%w: connection refused", ErrAway),
		"":                             errLater, // of one message: it says nothing
	} {
		d := newDesk(t)
		ids := d.batchOf(3)
		d.post.fail(3, err)
		require.NoError(t, d.Send(t.Context(), d.app.ID, ids...))
		assert.Equal(t, want, d.gate.last())
		d.at, d.post.fails = d.at.Add(time.Hour), nil
		require.NoError(t, d.Send(t.Context(), d.app.ID, ids...))
		assert.Equal(t, "email: ", d.gate.last(), "and when it is over")
	}
}

func TestRestEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		assert.True(t, rest(t.Context(), time.Minute))
		assert.Equal(t, time.Minute, time.Since(begin))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		assert.False(t, rest(ctx, time.Minute))
		assert.Equal(t, time.Minute, time.Since(begin))
	})
}
