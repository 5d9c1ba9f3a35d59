package registrytest

import (
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
)

// unreachableBy is announce with an event for who has no address.
func unreachableBy(stage string, next time.Time, sms bool) func(c *consent.Consent) consent.Judgement {
	return func(c *consent.Consent) consent.Judgement {
		j := announce(stage, next)(c)
		if sms {
			j.SMSDigestID = name("dgt")
		}
		j.NoAddress = func() consent.Event {
			return event(consent.EventUserUnreachable, map[string]any{"reason": "no_address"})
		}
		return j
	}
}

// reachable stores a user with the given address and phone.
func (w *world) reachable(email, phone string) consent.User {
	w.Helper()
	u := w.user()
	u.Email, u.Phone = email, phone
	u, err := w.r.PutUser(w.Context(), u)
	require.NoError(w, err)
	return u
}

func (w *world) lookUp(u consent.User) consent.User {
	w.Helper()
	u, err := w.r.User(w.Context(), u.ApplicationID, u.ID)
	require.NoError(w, err)
	return u
}

// unreachable ends a frozen digest whose address was refused; empty: before.
func (w *world) unreachable(d consent.Digest, notices []consent.Notice, refused string) {
	w.Helper()
	require.NoError(w, w.r.FinishUnreachable(w.Context(), unreachable(d, notices, refused)))
}

func unreachable(d consent.Digest, notices []consent.Notice, refused string) consent.Unreachable {
	d.State, d.Reason, d.FinishedAt = consent.DigestFailed, "refused", at(time.Hour)
	u := consent.Unreachable{Digest: d, Notices: notices, Refused: refused}
	for i := range notices {
		notices[i].Outcome = consent.OutcomeRefused
		e := event(consent.EventUserUnreachable, map[string]any{"channel": string(d.Channel), "reason": "refused"})
		e.ApplicationID, e.ConsentID, e.Cycle = d.ApplicationID, notices[i].ConsentID, notices[i].Cycle
		u.Events = append(u.Events, e)
	}
	return u
}

// unreachableEvents counts a consent's.
func (w *world) unreachableEvents(c consent.Consent) int {
	w.Helper()
	n := 0
	for _, typ := range w.history(c) {
		if typ == consent.EventUserUnreachable {
			n++
		}
	}
	return n
}

var reachTests = []test{
	{"Application/quiet hours and SMS stages", func(w *world) {
		quiet, err := consent.ParseQuietHours("22:00-07:00")
		require.NoError(w, err)
		w.app.QuietHours, w.app.SMSStages = quiet, []string{"before_1d", "lapse"}
		require.NoError(w, w.r.UpdateApplication(w.Context(), w.app))
		got, err := w.r.Application(w.Context(), w.app.ID)
		require.NoError(w, err)
		assert.Equal(w, w.app, got)
		w.app.QuietHours, w.app.SMSStages = consent.QuietHours{}, nil
		require.NoError(w, w.r.UpdateApplication(w.Context(), w.app))
		got, err = w.r.Application(w.Context(), w.app.ID)
		require.NoError(w, err)
		assert.Equal(w, w.app, got)
	}},
	{"User/unsubscribed, since the first time, until it is taken back", func(w *world) {
		u, bystander := w.addressed(), w.addressed()
		for range 2 {
			require.NoError(w, w.r.SetUnsubscribed(w.Context(), w.app.ID, u.ID, at(day)))
			require.NoError(w, w.r.SetUnsubscribed(w.Context(), w.app.ID, u.ID, at(2*day)))
			want := u
			want.UnsubscribedAt = at(day)
			assert.Equal(w, want, w.lookUp(u))
			got, err := w.r.PutUser(w.Context(), u)
			require.NoError(w, err)
			assert.Equal(w, want, got, "an application's PUT does not take it back")
			c := w.consent()
			c.UserID = u.ID
			_, err = w.r.Register(w.Context(), w.app.ID, []consent.Registration{w.registration(c)})
			require.NoError(w, err)
			assert.Equal(w, at(day), w.lookUp(u).UnsubscribedAt, "nor does another consent")
			require.NoError(w, w.r.SetUnsubscribed(w.Context(), w.app.ID, u.ID, time.Time{}))
			assert.Equal(w, u, w.lookUp(u))
		}
		assert.Equal(w, bystander, w.lookUp(bystander))
		require.ErrorIs(w, w.r.SetUnsubscribed(w.Context(), w.app.ID, "nobody", at(0)), consent.ErrNotFound)
		require.ErrorIs(w, w.r.SetUnsubscribed(w.Context(), w.application().ID, u.ID, at(0)), consent.ErrNotFound)
		assert.Equal(w, u, w.lookUp(u))
	}},
	{"Flag/by each channel that reaches the user, a message of its own", func(w *world) {
		for _, tt := range []struct{ email, phone bool }{{true, true}, {true, false}, {false, true}, {false, false}} {
			e := newEra()
			email, phone := "", ""
			if tt.email {
				email = "ada@example.org"
			}
			if tt.phone {
				phone = "+442071838750"
			}
			u := w.reachable(email, phone)
			a, b := w.dueAt(e.at(time.Hour), u.ID), w.dueAt(e.at(2*time.Hour), u.ID)
			made := map[consent.Channel][]consent.Notice{}
			for _, j := range w.flagged(e.due(), unreachableBy("before_7d", time.Time{}, true)) {
				assert.True(w, tt.email || j.DigestID == "", "what reaches nobody is not asked for")
				for _, id := range []string{j.DigestID, j.SMSDigestID} {
					d, err := w.lookFor(w.app.ID, id)
					if err != nil {
						require.ErrorIs(w, err, consent.ErrNotFound)
						continue
					}
					require.Equal(w, u.ID, d.UserID)
					require.NotContains(w, made, d.Channel, "one message a channel")
					_, made[d.Channel] = w.frozen(d, e.noon())
				}
			}
			for channel, reached := range map[consent.Channel]bool{consent.ChannelEmail: tt.email, consent.ChannelSMS: tt.phone} {
				if !reached {
					assert.NotContains(w, made, channel)
					continue
				}
				assert.ElementsMatch(w, []string{a.ID + "/1/before_7d", b.ID + "/1/before_7d"}, told(made[channel]))
				for _, n := range made[channel] {
					assert.Equal(w, channel, n.Channel)
				}
			}
			for _, c := range []consent.Consent{a, b} {
				want := 0
				if !tt.email && !tt.phone {
					want = 1
				}
				assert.Equal(w, want, w.unreachableEvents(c), "email %t, phone %t", tt.email, tt.phone)
			}
		}
	}},
	{"Flag/nobody to write to is an event, once a cycle", func(w *world) {
		first, second, renewed := newEra(), newEra(), newEra()
		c := w.dueAt(first.at(time.Hour), w.reachable("", "").ID)
		require.Len(w, w.flagged(first.due(), unreachableBy("before_7d", second.at(time.Hour), false)), 1)
		assert.Equal(w, []consent.EventType{consent.EventLinked, consent.EventLapsing, consent.EventUserUnreachable}, w.history(c))
		require.Len(w, w.flagged(second.due(), unreachableBy("before_1d", time.Time{}, false)), 1)
		assert.Equal(w, 1, w.unreachableEvents(c))

		renew := renewal(w.claimed(w.begun(&c)), w.look(c))
		renew.Consent.Announced, renew.Consent.NextStageAt = nil, renewed.at(time.Hour)
		_, err := w.r.Renew(w.Context(), renew)
		require.NoError(w, err)
		require.Len(w, w.flagged(renewed.due(), unreachableBy("before_7d", time.Time{}, false)), 1)
		assert.Equal(w, 2, w.unreachableEvents(c), "a renewal arms it anew")
	}},
	{"Flag/no event where nobody is to be written to, or none is wanted", func(w *world) {
		e := newEra()
		u := w.reachable("", "")
		a, b := w.dueAt(e.at(time.Hour), u.ID), w.dueAt(e.at(2*time.Hour), u.ID)
		w.flagged(e.due(), func(c *consent.Consent) consent.Judgement {
			j := unreachableBy("before_7d", time.Time{}, false)(c)
			if c.ID == a.ID {
				j.DigestID = ""
			} else {
				j.NoAddress = nil
			}
			return j
		})
		assert.Zero(w, w.unreachableEvents(a))
		assert.Zero(w, w.unreachableEvents(b))
	}},
	{"Flag/a user that is not stored has no address", func(w *world) {
		e := newEra()
		u := w.addressed()
		c := w.dueAt(e.at(time.Hour), u.ID)
		stranger := &world{T: w.T, r: w.r, app: w.application()}
		twin := stranger.dueAt(e.at(time.Hour), u.ID) // the same id over there, without an address
		_, err := w.r.Flag(w.Context(), e.due(), unreachableBy("before_7d", time.Time{}, true))
		require.NoError(w, err)
		assert.Zero(w, w.unreachableEvents(c))
		assert.Equal(w, 1, stranger.unreachableEvents(twin))
	}},
	{"Unreachable/marks the address, ends the message, tells each consent, in one step", func(w *world) {
		for _, channel := range []consent.Channel{consent.ChannelEmail, consent.ChannelSMS} {
			e := newEra()
			u := w.addressed()
			a, b := w.dueAt(e.at(time.Hour), u.ID), w.dueAt(e.at(2*time.Hour), u.ID)
			d, notices := w.frozenBy(channel, w.flagged(e.due(), unreachableBy("before_7d", time.Time{}, true)), e.noon())
			require.Len(w, notices, 2)
			address, _ := u.Address(channel)

			for _, stray := range []func(*consent.Unreachable){
				func(x *consent.Unreachable) { x.Digest.ClaimID = "another" },
				func(x *consent.Unreachable) { x.Notices[1].ConsentID = "none" },
				func(x *consent.Unreachable) { x.Events[1].Data = map[string]any{"not JSON": func() {}} },
			} {
				x := unreachable(d, append([]consent.Notice(nil), notices...), address)
				stray(&x)
				require.Error(w, w.r.FinishUnreachable(w.Context(), x))
				assert.Equal(w, d, w.digest(d.ID))
				assert.Equal(w, u, w.lookUp(u))
				assert.Zero(w, w.unreachableEvents(a)+w.unreachableEvents(b), "all of it or nothing")
			}

			w.unreachable(d, notices, address)
			over := w.digest(d.ID)
			assert.Equal(w, consent.DigestFailed, over.State)
			assert.True(w, over.DueAt.IsZero())
			want := u
			if channel == consent.ChannelSMS {
				want.PhoneRefusedAt = at(time.Hour)
			} else {
				want.EmailRefusedAt = at(time.Hour)
			}
			assert.Equal(w, want, w.lookUp(u))
			for _, c := range []consent.Consent{a, b} {
				events, err := w.r.Events(w.Context(), w.app.ID, c.ID, 0, 10)
				require.NoError(w, err)
				last := events[len(events)-1]
				assert.Equal(w, consent.EventUserUnreachable, last.Type)
				assert.Equal(w, map[string]any{"channel": string(channel), "reason": "refused"}, last.Data)
				assert.Equal(w, 1, last.Cycle)
				assert.Equal(w, 1, w.unreachableEvents(c))
			}
		}
	}},
	{"Unreachable/an address that is there no more is not marked", func(w *world) {
		e := newEra()
		u := w.addressed()
		c := w.dueAt(e.at(time.Hour), u.ID)
		d, notices := w.frozenBy(consent.ChannelEmail, w.flagged(e.due(), unreachableBy("before_7d", time.Time{}, false)), e.noon())
		refused := u.Email
		u.Email = "new@example.org"
		_, err := w.r.PutUser(w.Context(), u)
		require.NoError(w, err)
		w.unreachable(d, notices, refused)
		assert.Equal(w, u, w.lookUp(u))
		assert.Equal(w, 1, w.unreachableEvents(c), "but that it was refused is told")
	}},
	{"Unreachable/the mark goes with the address", func(w *world) {
		e := newEra()
		u := w.addressed()
		w.dueAt(e.at(time.Hour), u.ID)
		all := w.flagged(e.due(), unreachableBy("before_7d", time.Time{}, true))
		for _, channel := range []consent.Channel{consent.ChannelEmail, consent.ChannelSMS} {
			d, notices := w.frozenBy(channel, all, e.noon())
			address, _ := u.Address(channel)
			w.unreachable(d, notices, address)
		}
		marked := u
		marked.EmailRefusedAt, marked.PhoneRefusedAt = at(time.Hour), at(time.Hour)
		u.Name = "Ada King"
		got, err := w.r.PutUser(w.Context(), u)
		require.NoError(w, err)
		marked.Name = u.Name
		assert.Equal(w, marked, got, "the same addresses are as dead as before")
		u.Email, marked.Email, marked.EmailRefusedAt = "new@example.org", "new@example.org", time.Time{}
		got, err = w.r.PutUser(w.Context(), u)
		require.NoError(w, err)
		assert.Equal(w, marked, got)
		u.Phone, marked.Phone, marked.PhoneRefusedAt = "", "", time.Time{}
		got, err = w.r.PutUser(w.Context(), u)
		require.NoError(w, err)
		assert.Equal(w, marked, got)
	}},
	{"Unreachable/the mark is taken back", func(w *world) {
		e := newEra()
		u := w.addressed()
		w.dueAt(e.at(time.Hour), u.ID)
		all := w.flagged(e.due(), unreachableBy("before_7d", time.Time{}, true))
		for _, channel := range []consent.Channel{consent.ChannelEmail, consent.ChannelSMS} {
			d, notices := w.frozenBy(channel, all, e.noon())
			address, _ := u.Address(channel)
			w.unreachable(d, notices, address)
		}
		want := w.lookUp(u)
		require.NoError(w, w.r.ClearRefusals(w.Context(), w.app.ID, u.ID))
		assert.Equal(w, want, w.lookUp(u), "of no channel")
		require.NoError(w, w.r.ClearRefusals(w.Context(), w.app.ID, u.ID, consent.ChannelSMS))
		want.PhoneRefusedAt = time.Time{}
		assert.Equal(w, want, w.lookUp(u))
		require.NoError(w, w.r.ClearRefusals(w.Context(), w.app.ID, u.ID, consent.Channels...))
		want.EmailRefusedAt = time.Time{}
		assert.Equal(w, want, w.lookUp(u))
		require.ErrorIs(w, w.r.ClearRefusals(w.Context(), w.app.ID, "nobody", consent.Channels...), consent.ErrNotFound)
		require.ErrorIs(w, w.r.ClearRefusals(w.Context(), "app_other", u.ID, consent.Channels...), consent.ErrNotFound)
	}},
	{"Unreachable/a message that was not tried is an event once a cycle and channel", func(w *world) {
		first, second, third := newEra(), newEra(), newEra()
		u := w.addressed()
		c := w.dueAt(first.at(time.Hour), u.ID)
		d, notices := w.frozenBy(consent.ChannelEmail, w.flagged(first.due(), unreachableBy("before_7d", second.at(time.Hour), false)), first.noon())
		w.unreachable(d, notices, u.Email)
		assert.Equal(w, 1, w.unreachableEvents(c))
		all := w.flagged(second.due(), unreachableBy("before_1d", third.at(time.Hour), true))
		d, notices = w.frozenBy(consent.ChannelEmail, all, second.noon())
		w.unreachable(d, notices, "")
		assert.Equal(w, 1, w.unreachableEvents(c), "it has been told already")
		d, notices = w.frozenBy(consent.ChannelSMS, all, second.noon())
		w.unreachable(d, notices, "")
		assert.Equal(w, 2, w.unreachableEvents(c), "the other channel is other news")
		d, notices = w.frozenBy(consent.ChannelEmail, w.flagged(third.due(), unreachableBy("lapse", time.Time{}, false)), third.noon())
		w.unreachable(d, notices, "other@example.org")
		assert.Equal(w, 3, w.unreachableEvents(c), "another address that is refused is news too")
	}},
	{"Unreachable/nothing of a consent that has moved on", func(w *world) {
		e := newEra()
		u := w.addressed()
		renewed, revoked, left := w.dueAt(e.at(time.Hour), u.ID), w.dueAt(e.at(time.Hour), u.ID), w.dueAt(e.at(time.Hour), u.ID)
		d, notices := w.frozenBy(consent.ChannelEmail, w.flagged(e.due(), unreachableBy("before_7d", time.Time{}, false)), e.noon())
		require.Len(w, notices, 3)
		_, err := w.r.Renew(w.Context(), renewal(w.claimed(w.begun(&renewed)), w.look(renewed)))
		require.NoError(w, err)
		w.revoked(revoked)
		w.unreachable(d, notices, u.Email)
		assert.Zero(w, w.unreachableEvents(renewed))
		assert.Zero(w, w.unreachableEvents(revoked))
		assert.Equal(w, 1, w.unreachableEvents(left))
	}},
	{"Unreachable/nothing of another application", func(w *world) {
		e := newEra()
		u := w.addressed()
		c := w.dueAt(e.at(time.Hour), u.ID)
		d, notices := w.frozenBy(consent.ChannelEmail, w.flagged(e.due(), unreachableBy("before_7d", time.Time{}, false)), e.noon())
		stranger := unreachable(d, notices, u.Email)
		stranger.Digest.ApplicationID = w.application().ID
		w.among(w.r.FinishUnreachable(w.Context(), stranger), consent.ErrNotFound, consent.ErrClaimLost)
		assert.Equal(w, d, w.digest(d.ID))
		assert.Equal(w, u, w.lookUp(u))
		assert.Zero(w, w.unreachableEvents(c))
	}},
	{"Digest/tells whether the end has been told in the cycle", func(w *world) {
		u := w.addressed()
		c := w.dueAt(at(0), u.ID, func(c *consent.Consent) { c.NextStageAt = time.Time{} })
		next := newEra()
		c.NextStageAt = next.at(time.Hour)
		_, err := w.r.Rearm(w.Context(), w.app.ID, []consent.Consent{c}, at(0))
		require.NoError(w, err)
		for _, tt := range []struct {
			stage   string
			outcome consent.Outcome // that it ends with
			told    bool            // that the end had been told before
		}{
			{"before_1d", consent.OutcomeSent, false}, {"lapse", consent.OutcomeGivenUp, false}, {"after_7d", consent.OutcomeSent, false},
			{"after_30d", consent.OutcomeUnsubscribed, true}, {"window_end", consent.OutcomeSent, true},
		} {
			now := next
			next = newEra()
			d, notices := w.frozenBy(consent.ChannelEmail, w.flagged(now.due(), announce(tt.stage, next.at(time.Hour))), now.noon())
			require.Len(w, notices, 1)
			assert.Equal(w, tt.told, notices[0].ToldOfEnd, tt.stage)
			notices[0].Outcome = tt.outcome
			d.State, d.FinishedAt = consent.DigestSent, now.noon()
			require.NoError(w, w.finish(d, notices))
		}
		now := next
		next = newEra()
		all := w.flagged(now.due(), unreachableBy("after_2d", next.at(time.Hour), true))
		_, notices := w.frozenBy(consent.ChannelSMS, all, now.noon())
		assert.False(w, notices[0].ToldOfEnd, "another channel has told nothing")
		renew := renewal(w.claimed(w.begun(&c)), w.look(c))
		last := newEra()
		renew.Consent.Announced, renew.Consent.NextStageAt = nil, last.at(time.Hour)
		_, err = w.r.Renew(w.Context(), renew)
		require.NoError(w, err)
		d, _ := w.frozenBy(consent.ChannelEmail, all, now.noon())
		d.State, d.FinishedAt = consent.DigestDropped, now.noon()
		require.NoError(w, w.finish(d, nil))
		_, notices = w.frozenBy(consent.ChannelEmail, w.flagged(last.due(), announce("lapse", time.Time{})), last.noon())
		assert.False(w, notices[0].ToldOfEnd, "nor has this cycle")
	}},
}

// frozenBy freezes the one digest of a channel that a batch made.
func (w *world) frozenBy(channel consent.Channel, batch []consent.Judged, now time.Time) (consent.Digest, []consent.Notice) {
	w.Helper()
	for _, j := range batch {
		id := j.DigestID
		if channel == consent.ChannelSMS {
			id = j.SMSDigestID
		}
		if d, err := w.lookFor(w.app.ID, id); err == nil {
			return w.frozen(d, now)
		}
	}
	require.FailNow(w, "no digest by "+string(channel))
	return consent.Digest{}, nil
}
