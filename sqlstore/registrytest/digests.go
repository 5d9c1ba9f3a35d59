package registrytest

import (
	"fmt"
	"slices"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
)

// digestOf flags one consent of a user and returns the digest that it made.
func (w *world) digestOf(e era, userID string) consent.Digest {
	w.Helper()
	w.dueAt(e.at(time.Hour), userID)
	got := w.flagged(e.due(), announce("before_7d", time.Time{}))
	require.Len(w, got, 1)
	return w.digest(got[0].DigestID)
}

func (w *world) digest(id string) consent.Digest {
	w.Helper()
	d, err := w.lookFor(w.app.ID, id)
	require.NoError(w, err)
	return d
}

func (w *world) noDigest(id string) {
	w.Helper()
	_, err := w.lookFor(w.app.ID, id)
	require.ErrorIs(w, err, consent.ErrNotFound)
}

// lookFor reads one digest; ErrNotFound where it was left out.
func (w *world) lookFor(app, id string) (consent.Digest, error) {
	list, err := w.r.ListDigests(w.Context(), app, []string{id})
	if err == nil && len(list) == 0 {
		err = consent.ErrNotFound
	}
	if err != nil {
		return consent.Digest{}, err
	}
	return list[0], nil
}

func digestClaim(d consent.Digest, now time.Time) consent.DigestClaim {
	return consent.DigestClaim{ApplicationID: d.ApplicationID, IDs: []string{d.ID}, ClaimID: name("claim"), Now: now, Until: now.Add(time.Minute)}
}

// freeze claims one digest; ErrBusy where it was left out.
func (w *world) freeze(c consent.DigestClaim) (consent.Digest, []consent.Notice, error) {
	got, err := w.r.FreezeDigests(w.Context(), c)
	if err == nil && len(got) == 0 {
		err = consent.ErrBusy
	}
	if err != nil {
		return consent.Digest{}, nil, err
	}
	return got[0].Digest, got[0].Notices, nil
}

// finish ends one digest; ErrClaimLost where it was left as it is.
func (w *world) finish(d consent.Digest, notices []consent.Notice) error {
	n, err := w.r.FinishDigests(w.Context(), d.ApplicationID, []consent.Frozen{{Digest: d, Notices: notices}})
	return lostWhere(n, err)
}

// postpone puts one digest off; ErrClaimLost where it was left as it is.
func (w *world) postpone(d consent.Digest, due time.Time, reason string) error {
	d.DueAt, d.Reason = due, reason
	n, err := w.r.PostponeDigests(w.Context(), d.ApplicationID, []consent.Digest{d})
	return lostWhere(n, err)
}

func lostWhere(n int, err error) error {
	if err == nil && n == 0 {
		return consent.ErrClaimLost
	}
	return err
}

// frozen freezes a digest at a moment.
func (w *world) frozen(d consent.Digest, now time.Time) (consent.Digest, []consent.Notice) {
	w.Helper()
	d, notices, err := w.freeze(digestClaim(d, now))
	require.NoError(w, err)
	return d, notices
}

// told names the consents and stages of notices.
func told(notices []consent.Notice) []string {
	out := []string{}
	for _, n := range notices {
		out = append(out, fmt.Sprintf("%s/%d/%s", n.ConsentID, n.Cycle, n.Stage))
	}
	slices.Sort(out)
	return out
}

var digestTests = []test{
	{"Digest/unknown", func(w *world) {
		w.noDigest("none")
		_, _, err := w.freeze(digestClaim(consent.Digest{ApplicationID: w.app.ID, ID: "none"}, at(0)))
		require.ErrorIs(w, err, consent.ErrBusy)
	}},
	{"Digest/frozen by one, taken over when the claim is stale", func(w *world) {
		e := newEra()
		open := w.digestOf(e, w.addressed().ID)
		cl := digestClaim(open, e.noon())
		got, notices, err := w.freeze(cl)
		require.NoError(w, err)
		want := open
		want.State, want.ClaimID, want.ClaimedUntil, want.DueAt, want.Tries = consent.DigestFrozen, cl.ClaimID, cl.Until, cl.Until, 1
		assert.Equal(w, want, got, "it is due again when the claim has run out")
		assert.Equal(w, want, w.digest(open.ID))
		for _, now := range []time.Time{e.noon(), cl.Until.Add(-time.Microsecond)} {
			_, _, err = w.freeze(digestClaim(open, now))
			require.ErrorIs(w, err, consent.ErrBusy)
		}
		assert.Equal(w, want, w.digest(open.ID))
		taken, same := w.frozen(open, cl.Until)
		assert.Equal(w, notices, same)
		assert.Equal(w, 2, taken.Tries)

		// Whoever was first has lost it.
		require.ErrorIs(w, w.postpone(got, at(day), "late"), consent.ErrClaimLost)
		got.State, got.FinishedAt = consent.DigestSent, at(0)
		require.ErrorIs(w, w.finish(got, notices), consent.ErrClaimLost)
		unclaimed := taken
		unclaimed.ClaimID = ""
		require.ErrorIs(w, w.postpone(unclaimed, at(day), "late"), consent.ErrClaimLost)
		require.ErrorIs(w, w.finish(unclaimed, notices), consent.ErrClaimLost)
		assert.Equal(w, taken, w.digest(open.ID))
	}},
	{"Digest/put off, frozen, as often as need be", func(w *world) {
		e := newEra()
		open := w.digestOf(e, w.addressed().ID)
		d, notices := w.frozen(open, e.noon())
		require.NoError(w, w.postpone(d, e.noon().Add(time.Hour), "not_sent"))
		want := d
		want.ClaimID, want.ClaimedUntil, want.DueAt, want.Reason = "", e.noon().Add(time.Hour), e.noon().Add(time.Hour), "not_sent"
		assert.Equal(w, want, w.digest(d.ID), "frozen still, but nobody's")
		require.ErrorIs(w, w.postpone(d, at(day), "again"), consent.ErrClaimLost)
		again, same := w.frozen(d, e.noon().Add(time.Hour))
		assert.Equal(w, notices, same)
		assert.Equal(w, 2, again.Tries)
		assert.Equal(w, consent.DigestFrozen, again.State)
	}},
	{"Digest/put off, open, takes more along", func(w *world) {
		e, later := newEra(), newEra()
		u := w.addressed()
		open := w.digestOf(e, u.ID)
		require.NoError(w, w.postpone(open, e.noon().Add(9*time.Hour), "quiet_hours"))
		want := open
		want.DueAt, want.ClaimedUntil, want.Reason = e.noon().Add(9*time.Hour), e.noon().Add(9*time.Hour), "quiet_hours"
		assert.Equal(w, want, w.digest(open.ID))
		w.dueAt(later.at(time.Hour), u.ID)
		require.Len(w, w.flagged(later.due(), announce("lapse", time.Time{})), 1)
		assert.Equal(w, want, w.digest(open.ID), "what joins does not hurry it")
		_, _, err := w.freeze(digestClaim(open, want.DueAt.Add(-time.Microsecond)))
		require.ErrorIs(w, err, consent.ErrBusy, "nobody sends it before, not a job that runs late either")
		_, notices := w.frozen(open, want.DueAt)
		assert.Len(w, notices, 2)
	}},
	{"Digest/over", func(w *world) {
		for _, state := range []consent.DigestState{consent.DigestSent, consent.DigestDropped, consent.DigestFailed} {
			e, later := newEra(), newEra()
			u := w.addressed()
			d, notices := w.frozen(w.digestOf(e, u.ID), e.noon())
			for i := range notices {
				notices[i].Outcome = consent.OutcomeSent
			}
			d.State, d.Reason, d.FinishedAt = state, "because", e.noon().Add(time.Second)
			require.NoError(w, w.finish(d, notices))
			want := d
			want.ClaimID, want.ClaimedUntil, want.DueAt = "", time.Time{}, time.Time{}
			assert.Equal(w, want, w.digest(d.ID))
			for _, claimID := range []string{d.ClaimID, ""} {
				lost := d
				lost.ClaimID = claimID
				require.ErrorIs(w, w.finish(lost, notices), consent.ErrClaimLost)
				require.ErrorIs(w, w.postpone(lost, at(day), ""), consent.ErrClaimLost)
			}
			_, _, err := w.freeze(digestClaim(d, at(day)))
			require.ErrorIs(w, err, consent.ErrBusy)
			assert.Equal(w, want, w.digest(d.ID))

			fresh := w.digestOf(later, u.ID)
			assert.NotEqual(w, d.ID, fresh.ID)
			assert.Equal(w, consent.DigestOpen, fresh.State)
		}
	}},
	{"Digest/ends with all its outcomes or not at all", func(w *world) {
		e := newEra()
		d, notices := w.frozen(w.digestOf(e, w.addressed().ID), e.noon())
		ended := d
		ended.State, ended.FinishedAt = consent.DigestSent, e.noon()
		stray := notices[0]
		stray.ConsentID, stray.Outcome = "none", consent.OutcomeSent
		require.Error(w, w.finish(ended, append(slices.Clone(notices), stray)))
		assert.Equal(w, d, w.digest(d.ID))
		require.NoError(w, w.finish(ended, notices))
	}},
	{"Digest/many at once, each by its own claim", func(w *world) {
		e := newEra()
		var ids []string
		for range 4 {
			ids = append(ids, w.digestOf(newEra(), w.addressed().ID).ID)
		}
		slices.Sort(ids)
		w.frozen(w.digest(ids[1]), e.noon())
		c := digestClaim(w.digest(ids[0]), e.noon())
		c.IDs = append(slices.Clone(ids), "none", ids[0])
		got, err := w.r.FreezeDigests(w.Context(), c)
		require.NoError(w, err)
		require.Len(w, got, 3, "without the one that is somebody else's")
		for i, id := range []string{ids[0], ids[2], ids[3]} {
			assert.Equal(w, id, got[i].Digest.ID)
			require.Len(w, got[i].Notices, 1)
			assert.Equal(w, id, got[i].Notices[0].DigestID)
			assert.Equal(w, 1, got[i].Digest.Tries)
			got[i].Digest.State, got[i].Digest.FinishedAt, got[i].Notices[0].Outcome = consent.DigestSent, e.noon(), consent.OutcomeSent
		}
		require.NoError(w, w.postpone(got[2].Digest, e.noon().Add(time.Hour), "late"))
		w.frozen(w.digest(ids[3]), e.noon().Add(time.Hour)) // and taken over
		n, err := w.r.FinishDigests(w.Context(), w.app.ID, got)
		require.NoError(w, err)
		assert.Equal(w, 2, n)
		assert.Equal(w, consent.DigestSent, w.digest(ids[0]).State)
		assert.Equal(w, consent.DigestFrozen, w.digest(ids[3]).State)
		_, notices := w.frozen(w.digest(ids[3]), e.noon().Add(2*time.Hour))
		assert.Equal(w, consent.OutcomeWaiting, notices[0].Outcome, "who has lost it writes nothing")
		list, err := w.r.ListDigests(w.Context(), w.app.ID, append(slices.Clone(ids), "none"))
		require.NoError(w, err)
		assert.Len(w, list, 4)
		late := []consent.Digest{list[1], list[3], got[0].Digest}
		for i := range late {
			late[i].DueAt, late[i].Reason, late[i].Tries = e.noon().Add(time.Duration(i)*day), "late", 7
		}
		n, err = w.r.PostponeDigests(w.Context(), w.app.ID, late)
		require.NoError(w, err)
		assert.Equal(w, 2, n, "without the one that is over")
		assert.Equal(w, e.noon().Add(day), w.digest(ids[3]).DueAt)
		assert.Equal(w, 7, w.digest(ids[1]).Tries)
		for _, nothing := range []func() (int, error){
			func() (int, error) { return w.r.FinishDigests(w.Context(), w.app.ID, nil) },
			func() (int, error) { return w.r.PostponeDigests(w.Context(), w.app.ID, nil) },
		} {
			n, err := nothing()
			require.NoError(w, err)
			assert.Zero(w, n)
		}
	}},
	{"Digest/what a message is about, and for whom", func(w *world) {
		e := newEra()
		u, other := w.addressed(), w.addressed()
		a, b := w.dueAt(e.at(time.Hour), u.ID), w.dueAt(e.at(time.Hour), other.ID)
		heir := w.stored(func(c *consent.Consent) { c.UserID, c.Replaces = u.ID, a.ID })
		got, err := w.r.Subjects(w.Context(), w.app.ID, []string{b.ID, a.ID, a.ID, "none"})
		require.NoError(w, err)
		replaced := map[string]bool{}
		for _, s := range got {
			replaced[s.Consent.ID] = s.Replaced
			assert.Empty(w, s.Consent.Tokens, "nobody is told a token")
			assert.False(w, s.Consent.LapsesAt.IsZero())
		}
		assert.Equal(w, map[string]bool{a.ID: true, b.ID: false}, replaced)
		w.revoked(heir)
		got, err = w.r.Subjects(w.Context(), w.app.ID, []string{a.ID})
		require.NoError(w, err)
		require.Len(w, got, 1)
		assert.False(w, got[0].Replaced)
		users, err := w.r.Recipients(w.Context(), w.app.ID, []string{u.ID, "none", u.ID})
		require.NoError(w, err)
		assert.Equal(w, []consent.User{w.lookUp(u)}, users)
		foreign := w.application().ID
		users, err = w.r.Recipients(w.Context(), foreign, []string{u.ID})
		require.NoError(w, err)
		assert.Empty(w, users)
		got, err = w.r.Subjects(w.Context(), foreign, []string{a.ID})
		require.NoError(w, err)
		assert.Empty(w, got)
	}},
	{"Digest/a user who asks hurries the message that is open", func(w *world) {
		e := newEra()
		u := w.addressed()
		open := w.digestOf(e, u.ID)
		require.NoError(w, w.postpone(open, e.noon().Add(9*time.Hour), "quiet_hours"))
		c := w.stored(func(c *consent.Consent) { c.UserID = u.ID })
		ask := consent.Notice{ApplicationID: w.app.ID, ConsentID: c.ID, Cycle: 1, Stage: consent.AskedStage(name("id"), nil), Channel: consent.ChannelEmail, DigestID: name("dgt")}
		require.NoError(w, w.r.AskForMessage(w.Context(), ask, u.ID, e.noon()))
		got := w.digest(open.ID)
		assert.Equal(w, e.noon(), got.DueAt)
		assert.True(w, got.Asked)
		assert.True(w, got.ClaimedUntil.IsZero(), "anybody may send it at once")
		w.noDigest(ask.DigestID)
		_, notices := w.frozen(open, e.noon())
		assert.Len(w, notices, 2)
		ask.Stage = consent.AskedStage(name("id"), nil) // the open one has left
		require.NoError(w, w.r.AskForMessage(w.Context(), ask, u.ID, e.noon()))
		assert.Equal(w, consent.DigestOpen, w.digest(ask.DigestID).State)
		require.ErrorIs(w, w.r.AskForMessage(w.Context(), ask, u.ID, e.noon()), consent.ErrExists)
	}},
	{"Digest/what a user asked for meanwhile is not put off", func(w *world) {
		e := newEra()
		u := w.addressed()
		open := w.digestOf(e, u.ID) // as somebody reads it, to put it off
		c := w.stored(func(c *consent.Consent) { c.UserID = u.ID })
		require.NoError(w, w.r.AskForMessage(w.Context(), consent.Notice{ApplicationID: w.app.ID, ConsentID: c.ID, Cycle: 1, Stage: consent.AskedStage(name("id"), nil),
			Channel: consent.ChannelEmail, DigestID: name("dgt")}, u.ID, e.noon()))
		asked := w.digest(open.ID)
		assert.Equal(w, open.DueAt, asked.DueAt, "it was due before")
		require.ErrorIs(w, w.postpone(open, e.noon().Add(9*time.Hour), "quiet_hours"), consent.ErrClaimLost)
		assert.Equal(w, asked, w.digest(open.ID))
		require.NoError(w, w.postpone(asked, e.noon().Add(time.Hour), "paused"), "whoever knows of it may")
		assert.True(w, w.digest(open.ID).Asked, "and it stays known")
		d, notices := w.frozen(open, e.noon().Add(time.Hour))
		assert.True(w, d.Asked)
		next := name("dgt")
		require.NoError(w, w.r.PutOffNotices(w.Context(), d, notices, next, e.noon().Add(2*time.Hour)))
		assert.True(w, w.digest(next).Asked, "also where it goes on in another message")
	}},
	{"Digest/counted once, by whoever holds it", func(w *world) {
		e := newEra()
		d, _ := w.frozen(w.digestOf(e, w.addressed().ID), e.noon())
		stranger := d
		stranger.ClaimID = "another"
		require.ErrorIs(w, w.r.CountDigest(w.Context(), stranger), consent.ErrClaimLost)
		assert.False(w, w.digest(d.ID).Counted)
		require.NoError(w, w.r.CountDigest(w.Context(), d))
		assert.True(w, w.digest(d.ID).Counted)
	}},
	{"Digest/notices that have to wait go on in another", func(w *world) {
		e := newEra()
		u := w.addressed()
		d := w.digestOf(e, u.ID)
		later := newEra()
		w.dueAt(later.at(time.Hour), u.ID)
		require.Len(w, w.flagged(later.due(), announce("lapse", time.Time{})), 1)
		d, notices := w.frozen(d, e.noon())
		require.Len(w, notices, 2)
		stranger := d
		stranger.ClaimID = "another"
		fresh, due := name("dgt"), e.noon().Add(10*time.Minute)
		require.ErrorIs(w, w.r.PutOffNotices(w.Context(), stranger, notices[:1], fresh, due), consent.ErrClaimLost)
		w.noDigest(fresh)
		require.NoError(w, w.r.PutOffNotices(w.Context(), d, notices[:1], fresh, due))
		other := w.digest(fresh)
		assert.Equal(w, consent.DigestOpen, other.State)
		assert.Equal(w, due, other.DueAt)
		_, moved := w.frozen(other, due)
		assert.Equal(w, told(notices[:1]), told(moved))
		require.NoError(w, w.finish(d, notices[1:]))
	}},
	{"Digest/links of messages", func(w *world) {
		e := newEra()
		a, b := w.dueAt(e.at(time.Hour), w.addressed().ID), w.dueAt(e.at(time.Hour), w.addressed().ID)
		var links []consent.ReconnectLink
		for _, c := range []consent.Consent{a, b} {
			links = append(links, consent.ReconnectLink{ApplicationID: w.app.ID, TokenHash: []byte(name("hash\x00\xff")), ConsentID: c.ID, UserID: c.UserID, Cycle: 1,
				AddressHash: []byte("\xff\x00\\address"), CreatedAt: e.noon(), ExpiresAt: e.noon().Add(day)})
		}
		require.NoError(w, w.r.CreateMessageLinks(w.Context(), w.app.ID, links))
		again := slices.Clone(links)
		for i := range again {
			again[i].ExpiresAt = e.noon().Add(2 * day)
		}
		require.NoError(w, w.r.CreateMessageLinks(w.Context(), w.app.ID, again))
		require.NoError(w, w.r.CreateMessageLinks(w.Context(), w.app.ID, nil))
		for _, l := range links {
			got, err := w.r.ReconnectLink(w.Context(), w.app.ID, l.TokenHash)
			require.NoError(w, err)
			assert.Equal(w, l, got, "the one that was there")
		}
	}},
	{"Digest/an erased person is not named by it", func(w *world) {
		e := newEra()
		u := w.addressed()
		c := w.dueAt(e.at(time.Hour), u.ID)
		got := w.flagged(e.due(), announce("before_7d", time.Time{}))
		require.Len(w, got, 1)
		w.revoked(c)
		require.NoError(w, w.r.EraseUser(w.Context(), w.app.ID, u.ID, "erased_digest"))
		d := w.digest(got[0].DigestID)
		assert.NotEqual(w, u.ID, d.UserID)
		assert.Equal(w, consent.DigestDropped, d.State, "and nobody is sent it")
		assert.Zero(w, d.DueAt)
		_, _, err := w.freeze(digestClaim(d, at(day)))
		require.ErrorIs(w, err, consent.ErrBusy)
	}},
	{"Digest/a person who came back can be erased again", func(w *world) {
		u := w.addressed()
		for range 2 {
			e := newEra()
			_, err := w.r.PutUser(w.Context(), u)
			require.NoError(w, err)
			c := w.dueAt(e.at(time.Hour), u.ID)
			require.Len(w, w.flagged(e.due(), announce("before_7d", time.Time{})), 1)
			w.revoked(c)
			require.NoError(w, w.r.EraseUser(w.Context(), w.app.ID, u.ID, "erased_"+u.ID))
		}
	}},
	{"Digest/nothing of another application", func(w *world) {
		e := newEra()
		foreign := w.application().ID
		d, notices := w.frozen(w.digestOf(e, w.addressed().ID), e.noon())
		stranger := d
		stranger.ApplicationID, stranger.State, stranger.FinishedAt = foreign, consent.DigestSent, e.noon()
		_, err := w.lookFor(foreign, d.ID)
		require.ErrorIs(w, err, consent.ErrNotFound)
		_, _, err = w.freeze(digestClaim(stranger, at(day)))
		require.ErrorIs(w, err, consent.ErrBusy)
		w.among(w.postpone(stranger, at(day), "x"), consent.ErrNotFound, consent.ErrClaimLost)
		w.among(w.finish(stranger, notices), consent.ErrNotFound, consent.ErrClaimLost)
		assert.Equal(w, d, w.digest(d.ID))
	}},
}
