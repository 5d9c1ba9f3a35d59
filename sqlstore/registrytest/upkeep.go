package registrytest

import (
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
)

// queued puts a grant on the queue by way of an attempt that failed.
func (w *world) queued(change ...func(*consent.GiveBack)) consent.GiveBack {
	w.Helper()
	back := giveBack(w.app.ID)
	for _, f := range change {
		f(back)
	}
	f := finish(w.begun(nil), consent.AttemptFailed)
	f.GiveBack = back
	_, err := w.r.FinishAttempt(w.Context(), f)
	require.NoError(w, err)
	return *back
}

// due claims grants that are due and returns those of this application.
func (w *world) due(now, until time.Time) []consent.GiveBack {
	w.Helper()
	all, err := w.r.ClaimGiveBacks(w.Context(), now, until, 10_000)
	require.NoError(w, err)
	var mine []consent.GiveBack
	for _, g := range all {
		if g.ApplicationID == w.app.ID {
			mine = append(mine, g)
		}
	}
	return mine
}

var upkeepTests = []test{
	{"ReconnectLink", func(w *world) {
		c := w.stored()
		l := link(c)
		require.NoError(w, w.r.CreateReconnectLink(w.Context(), l))
		again := l
		again.ExpiresAt = again.ExpiresAt.Add(day)
		require.NoError(w, w.r.CreateReconnectLink(w.Context(), again), "a message that is made again carries the same link")
		got, err := w.r.ReconnectLink(w.Context(), w.app.ID, l.TokenHash)
		require.NoError(w, err)
		assert.Equal(w, l, got)
		for _, hash := range [][]byte{nil, []byte("none")} {
			_, err = w.r.ReconnectLink(w.Context(), w.app.ID, hash)
			require.ErrorIs(w, err, consent.ErrNotFound)
		}
		bare := link(c)
		bare.State, bare.ReturnTo = nil, ""
		require.NoError(w, w.r.CreateReconnectLink(w.Context(), bare))
		got, err = w.r.ReconnectLink(w.Context(), w.app.ID, bare.TokenHash)
		require.NoError(w, err)
		assert.Equal(w, bare, got)
		sent := link(c)
		sent.AddressHash, sent.CreatedAt = []byte("address"), l.CreatedAt.Add(time.Minute)
		require.NoError(w, w.r.CreateReconnectLink(w.Context(), sent))
		got, err = w.r.ReconnectLink(w.Context(), w.app.ID, sent.TokenHash)
		require.NoError(w, err)
		assert.Equal(w, sent, got)
		got, err = w.r.ReconnectLink(w.Context(), w.app.ID, l.TokenHash)
		require.NoError(w, err)
		assert.Equal(w, sent.CreatedAt, got.NewerAt, "a newer one was sent")
		w.revoked(w.renewed(c))
		_, err = w.r.ReconnectLink(w.Context(), w.app.ID, l.TokenHash)
		require.NoError(w, err, "it stays, so that its page can say kindly why it no longer works")
	}},
	{"ReconnectLink/purged long after its end", func(w *world) {
		c := w.stored()
		old, young := link(c), link(c)
		old.ExpiresAt, young.ExpiresAt = at(-1000*day), at(-900*day)
		require.NoError(w, w.r.CreateReconnectLink(w.Context(), old))
		require.NoError(w, w.r.CreateReconnectLink(w.Context(), young))
		for range 2 {
			_, err := w.r.PurgeReconnectLinks(w.Context(), old.ExpiresAt, 1_000_000)
			require.NoError(w, err)
			_, err = w.r.ReconnectLink(w.Context(), w.app.ID, old.TokenHash)
			require.NoError(w, err, "it ended at that moment, and not before it")
		}
		_, err := w.r.PurgeReconnectLinks(w.Context(), young.ExpiresAt, 1_000_000)
		require.NoError(w, err)
		_, err = w.r.ReconnectLink(w.Context(), w.app.ID, old.TokenHash)
		require.ErrorIs(w, err, consent.ErrNotFound)
		_, err = w.r.ReconnectLink(w.Context(), w.app.ID, young.TokenHash)
		require.NoError(w, err)
	}},
	{"Replacement/the newest that counts", func(w *world) {
		c := w.stored()
		none := func() {
			_, err := w.r.Replacement(w.Context(), w.app.ID, c.ID)
			require.ErrorIs(w, err, consent.ErrNotFound)
		}
		none()
		first := w.stored(func(o *consent.Consent) { o.Replaces = c.ID })
		second := w.stored(func(o *consent.Consent) { o.Replaces, o.CreatedAt = c.ID, first.CreatedAt.Add(time.Minute) })
		got, err := w.r.Replacement(w.Context(), w.app.ID, c.ID)
		require.NoError(w, err)
		assert.Equal(w, second.ID, got.ID)
		w.revoked(second)
		got, err = w.r.Replacement(w.Context(), w.app.ID, c.ID)
		require.NoError(w, err)
		assert.Equal(w, first.ID, got.ID)
		w.revoked(first)
		none()
	}},
	{"StaleAttempts/oldest first", func(w *world) {
		var want []string
		for i := range 3 {
			a := w.begun(nil)
			cl := claim(a, at(0))
			cl.Until = at(time.Duration(10-i) * time.Minute)
			_, err := w.r.ClaimAttempt(w.Context(), cl)
			require.NoError(w, err)
			want = append([]string{a.ID}, want...)
		}
		all, err := w.r.StaleAttempts(w.Context(), at(10*time.Minute), 10_000)
		require.NoError(w, err)
		var got []string
		for _, a := range all {
			if a.ApplicationID == w.app.ID {
				got = append(got, a.ID)
			}
		}
		assert.Equal(w, want, got)
		one, err := w.r.StaleAttempts(w.Context(), at(10*time.Minute), 1)
		require.NoError(w, err)
		assert.Len(w, one, 1)
	}},
	{"UnconfirmedAttempts", func(w *world) {
		a, c := w.pending()
		held := w.claimed(w.begun(nil))
		require.NoError(w, w.r.HoldAttempt(w.Context(), hold(held, w.stored())))
		find := func(now time.Time) map[string]bool {
			all, err := w.r.UnconfirmedAttempts(w.Context(), now, 10_000)
			require.NoError(w, err)
			mine := map[string]bool{}
			for _, u := range all {
				if u.ApplicationID == w.app.ID {
					assert.Equal(w, consent.AttemptPending, u.Status)
					mine[u.ID] = true
				}
			}
			return mine
		}
		assert.Empty(w, find(a.ConfirmBy.Add(-time.Microsecond)))
		assert.Equal(w, map[string]bool{a.ID: true, held.ID: true}, find(a.ConfirmBy))
		_, err := w.r.Activate(w.Context(), activation(w.confirming(a), c))
		require.NoError(w, err)
		assert.Equal(w, map[string]bool{held.ID: true}, find(at(day)))
	}},
	{"GiveBack/claimed, retried, ended", func(w *world) {
		back := w.queued()
		later := w.queued(func(g *consent.GiveBack) { g.NextTryAt = at(day) })
		assert.Empty(w, w.due(at(-time.Microsecond), at(0)))
		got := w.due(at(0), at(time.Minute))
		require.Len(w, got, 1)
		tries := got[0].Tries
		assert.Equal(w, at(time.Minute), got[0].NextTryAt)
		got[0].NextTryAt, got[0].Tries = back.NextTryAt, back.Tries
		assert.Equal(w, back, got[0])
		assert.Empty(w, w.due(at(0), at(time.Minute)), "nobody else takes it meanwhile")
		assert.Len(w, w.due(at(time.Minute), at(2*time.Minute)), 1, "a crash gives it free")

		require.NoError(w, w.r.RetryGiveBack(w.Context(), w.app.ID, back.ID, at(time.Hour)))
		assert.Empty(w, w.due(at(time.Hour-time.Microsecond), at(2*time.Hour)))
		got = w.due(at(time.Hour), at(2*time.Hour))
		require.Len(w, got, 1)
		assert.Greater(w, got[0].Tries, tries, "tries are counted, those that crashed too")
		require.NoError(w, w.r.EndGiveBack(w.Context(), w.app.ID, back.ID))
		got = w.due(at(day), at(2*day))
		require.Len(w, got, 1)
		assert.Equal(w, later.ID, got[0].ID)

		require.ErrorIs(w, w.r.EndGiveBack(w.Context(), w.app.ID, back.ID), consent.ErrNotFound)
		require.ErrorIs(w, w.r.RetryGiveBack(w.Context(), w.app.ID, back.ID, at(0)), consent.ErrNotFound)
	}},
	{"GiveBack/one by its id", func(w *world) {
		back := w.queued()
		got, err := w.r.ClaimGiveBack(w.Context(), w.app.ID, back.ID, at(0), at(time.Minute))
		require.NoError(w, err)
		assert.Equal(w, back.Grant, got.Grant)
		_, err = w.r.ClaimGiveBack(w.Context(), w.app.ID, back.ID, at(time.Second), at(time.Minute))
		require.ErrorIs(w, err, consent.ErrBusy)
		assert.Empty(w, w.due(at(time.Second), at(time.Minute)))
		_, err = w.r.ClaimGiveBack(w.Context(), w.app.ID, "nobody", at(0), at(time.Minute))
		require.ErrorIs(w, err, consent.ErrNotFound)
	}},
	{"Ping", func(w *world) { require.NoError(w, w.r.Ping(w.Context())) }},
}
