package notify

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // DST rules that do not depend on the machine

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/locale"
)

func (links) UnsubscribeLink(app *consent.Application, user *consent.User) (string, error) {
	return "https://consents.example/u/" + app.Slug + "." + user.ID, nil
}

// reached is a desk with both channels.
type reached struct {
	*desk
	texts *postbox
}

func newReached(t *testing.T) *reached {
	t.Helper()
	r := &reached{desk: newDesk(t), texts: &postbox{}}
	r.SMS = r.texts
	return r
}

// writable gives a user an address and a phone, each perhaps empty.
func (r *reached) writable(user, email, phone, zone string) {
	r.Helper()
	_, err := r.store.PutUser(r.Context(), consent.User{ApplicationID: r.app.ID, ID: user, Email: email, Phone: phone, Name: "Ada", TimeZone: zone, CreatedAt: r.at, UpdatedAt: r.at})
	require.NoError(r, err)
}

func (r *reached) user(id string) consent.User {
	r.Helper()
	u, err := r.store.User(r.Context(), r.app.ID, id)
	require.NoError(r, err)
	return u
}

// swept announces what is due by both channels, and returns the open digests.
func (r *reached) swept() map[consent.Channel]string {
	r.Helper()
	_, err := r.store.Flag(r.Context(), consent.DueFilter{Now: r.at, Limit: 100}, func(con *consent.Consent) consent.Judgement {
		return consent.Judgement{Flag: con.Flag(r.app.Cadence, r.at), DigestID: "dgt_" + r.newID(), SMSDigestID: "dgt_" + r.newID(),
			NoAddress: func() consent.Event {
				return consent.Event{ID: "evt_" + r.newID(), Type: consent.EventUserUnreachable, At: r.at, Data: map[string]any{"reason": "no_address"}}
			}}
	})
	require.NoError(r, err)
	digests := map[consent.Channel]string{}
	for _, row := range r.rows(`SELECT channel, id FROM digests WHERE state = 'open'`) {
		digests[consent.Channel(row[0])] = row[1]
	}
	return digests
}

// told is what became of a consent's stages, by channel.
func (r *reached) told(con consent.Consent, channel consent.Channel) map[string]consent.Outcome {
	r.Helper()
	out := map[string]consent.Outcome{}
	for _, row := range r.rows(fmt.Sprintf(`SELECT stage, outcome FROM notices WHERE consent_id = '%s' AND channel = '%s'`, con.ID, channel)) {
		out[row[0]] = consent.Outcome(row[1])
	}
	return out
}

// unreachableEvents are the data of a consent's.
func (r *reached) unreachableEvents(con consent.Consent) []map[string]any {
	r.Helper()
	events, err := r.store.Events(r.Context(), r.app.ID, con.ID, 0, 100)
	require.NoError(r, err)
	list := []map[string]any{}
	for _, e := range events {
		if e.Type == consent.EventUserUnreachable {
			list = append(list, e.Data)
		}
	}
	return list
}

func (r *reached) quietHours(s string) {
	r.Helper()
	q, err := consent.ParseQuietHours(s)
	require.NoError(r, err)
	r.setApp(func(a *consent.Application) { a.QuietHours = q })
}

func TestEachChannelTellsByItself(t *testing.T) {
	r := newReached(t)
	r.writable("ada", "ada@example.org", "+442071838750", "")
	con := r.lapsing("ada", "Mock Bank", r.at.Add(day))
	digests := r.swept()
	require.Len(t, digests, 2)
	r.texts.fail(1, errLater)
	r.over(r.send(digests[consent.ChannelEmail]), consent.DigestSent, "")
	sms := r.send(digests[consent.ChannelSMS])
	assert.Equal(t, consent.DigestFrozen, sms.State, "one channel's trouble is its own")
	r.at = sms.DueAt
	r.over(r.send(digests[consent.ChannelSMS]), consent.DigestSent, "")

	require.Len(t, r.post.sent, 1)
	assert.Equal(t, "https://consents.example/u/acme.ada", r.post.sent[0].ListUnsubscribe)
	require.Len(t, r.texts.sent, 1)
	assert.Equal(t, Message{
		ID: digests[consent.ChannelSMS], To: "+442071838750",
		Text: "Acme: access to Mock Bank ends on 2 March 2027, 09:00 UTC. Keep it: https://consents.example/r/" + con.ID,
	}, r.texts.sent[0])
	for _, channel := range []consent.Channel{consent.ChannelEmail, consent.ChannelSMS} {
		assert.Equal(t, map[string]consent.Outcome{"before_1d": consent.OutcomeSent}, r.told(con, channel))
	}
}

func TestWithoutAGatewayNoSMSIsSentAndThatIsRecorded(t *testing.T) {
	r := newReached(t)
	r.SMS = nil
	r.writable("ada", "ada@example.org", "+442071838750", "")
	con := r.lapsing("ada", "Mock Bank", r.at.Add(day))
	digests := r.swept()
	r.over(r.send(digests[consent.ChannelSMS]), consent.DigestDropped, "no_sms")
	assert.Equal(t, map[string]consent.Outcome{"before_1d": consent.OutcomeNoSMS}, r.told(con, consent.ChannelSMS))
	r.over(r.send(digests[consent.ChannelEmail]), consent.DigestSent, "")
}

func TestWhatFallsDueInQuietHoursWaitsOpenAndTakesMoreAlong(t *testing.T) {
	r := newReached(t)
	r.quietHours("22:00-07:00")
	r.writable("ada", "ada@example.org", "+442071838750", "America/New_York")
	r.at = time.Date(2027, 3, 14, 3, 30, 0, 0, time.UTC) // 22:30 on the evening before New York's clocks are moved
	first := r.lapsing("ada", "First Bank", r.at.Add(7*day))
	digests := r.swept()
	morning := time.Date(2027, 3, 14, 11, 0, 0, 0, time.UTC) // 07:00 EDT
	for range 2 {
		for _, id := range digests {
			d := r.send(id)
			assert.Equal(t, consent.DigestOpen, d.State)
			assert.Equal(t, "quiet_hours", d.Reason)
			assert.Equal(t, morning, d.DueAt)
			assert.Zero(t, d.Tries)
		}
		r.at = r.at.Add(time.Hour) // a job may run again
	}
	second := r.lapsing("ada", "Second Bank", r.at.Add(day))
	assert.Equal(t, digests, r.swept(), "what comes meanwhile joins")
	assert.Empty(t, r.post.tried)

	r.at = morning
	r.over(r.send(digests[consent.ChannelEmail]), consent.DigestSent, "")
	r.over(r.send(digests[consent.ChannelSMS]), consent.DigestSent, "")
	require.Len(t, r.post.sent, 1)
	require.Len(t, r.texts.sent, 1)
	assert.Contains(t, r.texts.sent[0].Text, "Second Bank (and 1 more)")
	for _, con := range []consent.Consent{first, second} {
		assert.Contains(t, r.post.sent[0].Text, "/r/"+con.ID)
	}
}

func TestAMessageThatIsTriedAgainKeepsQuietHoursToo(t *testing.T) {
	r := newReached(t)
	r.quietHours("09:01-10:00")
	r.lapsing("ada", "Mock Bank", r.at.Add(7*day))
	id := r.sweep()["ada"]
	r.post.fail(1, errLater)
	r.at = r.send(id).DueAt.Add(time.Minute) // in them by now
	d := r.send(id)
	assert.Equal(t, consent.DigestFrozen, d.State)
	assert.Equal(t, "quiet_hours", d.Reason)
	assert.Equal(t, time.Date(2027, 3, 1, 10, 0, 0, 0, time.UTC), d.DueAt)
	assert.Equal(t, 1, d.Tries, "waiting is no failure")
	r.at = d.DueAt
	r.over(r.send(id), consent.DigestSent, "")
	assert.Len(t, r.post.sent, 1)
}

func TestByDayQuietHoursHoldNothing(t *testing.T) {
	r := newReached(t)
	r.quietHours("22:00-07:00")
	for user, zone := range map[string]string{"ada": "", "bob": "Nowhere/Atall", "cy": "Europe/Berlin"} {
		r.writable(user, user+"@example.org", "", zone)
		r.lapsing(user, "Mock Bank", r.at.Add(7*day))
	}
	for user, id := range r.sweep() {
		r.over(r.send(id), consent.DigestSent, "")
		assert.NotEmpty(t, user)
	}
	assert.Len(t, r.post.sent, 3)
}

func TestWhoIsErasedInQuietHoursIsNotWaitedFor(t *testing.T) {
	r := newReached(t)
	r.quietHours("08:00-10:00")
	r.lapsing("ada", "Mock Bank", r.at.Add(7*day))
	id := r.sweep()["ada"]
	r.reg.user = func(*consent.User) error { return consent.ErrNotFound }
	r.over(r.send(id), consent.DigestDropped, "user_gone")
}

func TestWhoUnsubscribedIsOnlyToldOnceThatAccessHasStopped(t *testing.T) {
	r := newReached(t)
	r.writable("ada", "ada@example.org", "+442071838750", "")
	con := r.lapsing("ada", "Mock Bank", r.at.Add(30*day))
	r.over(r.send(r.swept()[consent.ChannelEmail]), consent.DigestSent, "")
	require.Len(t, r.post.sent, 1, "a reminder, from which the person unsubscribes")
	require.NoError(t, r.store.SetUnsubscribed(t.Context(), r.app.ID, "ada", r.at))
	for range 150 {
		r.at = r.at.Add(day)
		for _, id := range r.swept() {
			r.send(id)
		}
	}
	require.Len(t, r.post.sent, 2)
	assert.Equal(t, "Access to Mock Bank has stopped", r.post.sent[1].Subject)
	assert.Equal(t, map[string]consent.Outcome{
		"before_30d": consent.OutcomeSent, "before_7d": consent.OutcomeUnsubscribed, "before_1d": consent.OutcomeUnsubscribed, "lapse": consent.OutcomeSent,
		"after_7d": consent.OutcomeUnsubscribed, "after_30d": consent.OutcomeUnsubscribed, "window_7d": consent.OutcomeUnsubscribed, "window_end": consent.OutcomeUnsubscribed,
	}, r.told(con, consent.ChannelEmail))
	assert.Empty(t, r.texts.tried, "the last word goes by mail")
	assert.Empty(t, r.unreachableEvents(con), "it is no fault of an address")
}

func TestTheLastWordIsSaidLaterWhereItCouldNotBeSaidAtTheLapse(t *testing.T) {
	r := newReached(t)
	con := r.lapsing("ada", "Mock Bank", r.at)
	require.NoError(t, r.store.SetUnsubscribed(t.Context(), r.app.ID, "ada", r.at))
	first := r.sweep()["ada"]
	r.post.fail(1, errLater)
	r.send(first)
	r.at = r.at.Add(7 * day)
	r.send(r.sweep()["ada"])
	r.send(first)
	require.Len(t, r.post.sent, 1)
	assert.Equal(t, map[string]consent.Outcome{"lapse": consent.OutcomeSuperseded, "after_7d": consent.OutcomeSent}, r.outcomes(con))
}

func TestWhoUnsubscribedIsToldOfAnEarlyEndAndOfNothingThatStillWorks(t *testing.T) {
	r := newReached(t)
	ended := r.lapsing("ada", "First Bank", r.at.Add(60*day))
	works := r.lapsing("ada", "Second Bank", r.at.Add(7*day))
	require.NoError(t, r.store.SetUnsubscribed(t.Context(), r.app.ID, "ada", r.at))
	_, err := r.store.DB().ExecContext(t.Context(), `UPDATE consents SET ended_at = ?1, ended_reason = 'revoked', lapses_at = ?1, lapsing_at = ?1, next_stage_at = ?1 WHERE id = ?2`, r.at.UnixMicro(), ended.ID)
	require.NoError(t, err)
	r.over(r.send(r.sweep()["ada"]), consent.DigestSent, "")
	require.Len(t, r.post.sent, 1)
	assert.Equal(t, "First Bank ended access early", r.post.sent[0].Subject)
	assert.NotContains(t, r.post.sent[0].Text, "Second Bank")
	assert.Equal(t, map[string]consent.Outcome{"lapse": consent.OutcomeSent}, r.outcomes(ended))
	assert.Equal(t, map[string]consent.Outcome{"before_7d": consent.OutcomeUnsubscribed}, r.outcomes(works))
}

func TestTakingItBackBringsTheRemindersBack(t *testing.T) {
	r := newReached(t)
	con := r.lapsing("ada", "Mock Bank", r.at.Add(7*day))
	require.NoError(t, r.store.SetUnsubscribed(t.Context(), r.app.ID, "ada", r.at))
	r.over(r.send(r.sweep()["ada"]), consent.DigestDropped, "unsubscribed")
	require.NoError(t, r.store.SetUnsubscribed(t.Context(), r.app.ID, "ada", time.Time{}))
	r.at = r.at.Add(6 * day)
	r.over(r.send(r.sweep()["ada"]), consent.DigestSent, "")
	assert.Equal(t, map[string]consent.Outcome{"before_7d": consent.OutcomeUnsubscribed, "before_1d": consent.OutcomeSent}, r.outcomes(con))
}

// TestAnAddressThatIsRefusedIsMarkedAndTheApplicationTold follows a 550 through
// a cycle, on each channel, to another address.
func TestAnAddressThatIsRefusedIsMarkedAndTheApplicationTold(t *testing.T) {
	for _, channel := range []consent.Channel{consent.ChannelEmail, consent.ChannelSMS} {
		t.Run(string(channel), func(t *testing.T) {
			r := newReached(t)
			r.writable("ada", "ada@example.org", "+442071838750", "")
			one, two := r.lapsing("ada", "First Bank", r.at.Add(30*day)), r.lapsing("ada", "Second Bank", r.at.Add(30*day))
			box, other := r.post, r.texts
			if channel == consent.ChannelSMS {
				box, other = r.texts, r.post
			}
			told := []map[string]any{{"channel": string(channel), "reason": "refused"}}
			r.accepts(channel)
			box.fail(1, fmt.Errorf("%w: SMTP 550", ErrRefused))
			digests := r.swept()
			for _, id := range digests {
				r.send(id)
			}
			r.over(r.digest(digests[channel]), consent.DigestFailed, "refused")
			for _, con := range []consent.Consent{one, two} {
				assert.Equal(t, told, r.unreachableEvents(con))
				assert.Equal(t, map[string]consent.Outcome{"before_30d": consent.OutcomeRefused}, r.told(con, channel))
			}
			u := r.user("ada")
			_, refused := u.Address(channel)
			assert.Equal(t, r.at, refused)
			assert.Len(t, other.sent, 1, "the other channel has its own word")

			for range 2 { // further messages of the cycle are not tried
				r.at = r.at.Add(23 * day)
				id := r.swept()[channel]
				r.over(r.send(id), consent.DigestDropped, "unreachable")
			}
			assert.Len(t, box.tried, 1)
			assert.Equal(t, told, r.unreachableEvents(one), "told once a cycle")
			assert.Equal(t, consent.OutcomeUnreachable, r.told(one, channel)["before_7d"])

			r.writable("ada", "new@example.org", "+4930123456", "")
			r.at = r.at.Add(15 * day)
			r.over(r.send(r.swept()[channel]), consent.DigestSent, "")
			require.Len(t, box.sent, 1)
			assert.Contains(t, []string{"new@example.org", "+4930123456"}, box.sent[0].To)
			for _, con := range []consent.Consent{one, two} {
				assert.Len(t, r.unreachableEvents(con), 1)
				for _, data := range r.unreachableEvents(con) {
					assert.NotContains(t, fmt.Sprint(data), "example.org", "never the address")
				}
			}
		})
	}
}

func TestAMarkedAddressIsToldOfAnewInTheNextCycle(t *testing.T) {
	r := newReached(t)
	con := r.lapsing("ada", "Mock Bank", r.at.Add(7*day))
	r.accepts(consent.ChannelEmail)
	r.post.fail(2, ErrRefused)
	r.send(r.sweep()["ada"])
	require.Len(t, r.unreachableEvents(con), 1)
	marked := r.user("ada").EmailRefusedAt
	for cycle := 2; cycle <= 3; cycle++ {
		r.at = r.at.Add(time.Minute)
		r.exec(`UPDATE consents SET cycle = ?1, announced = '', consented_at = ?2, next_stage_at = ?2 WHERE id = ?3`, cycle, r.at.UnixMicro(), con.ID)
		r.at = r.at.Add(time.Minute)
		r.accepts(consent.ChannelEmail)
		d := r.send(r.sweep()["ada"])
		assert.Len(t, r.post.tried, cycle, "each cycle is worth one try: mailboxes come back")
		if cycle == 2 {
			r.over(d, consent.DigestFailed, "refused")
			assert.Len(t, r.unreachableEvents(con), 2, "and one event")
			assert.True(t, r.user("ada").EmailRefusedAt.After(marked))
			continue
		}
		r.over(d, consent.DigestSent, "")
		assert.True(t, r.user("ada").EmailRefusedAt.IsZero(), "an address that works is not marked")
	}
}

// exec changes what is stored.
func (d *desk) exec(query string, arg ...any) {
	d.Helper()
	_, err := d.store.DB().ExecContext(d.Context(), query, arg...)
	require.NoError(d, err)
}

// asks has ada ask for a new link, and returns the id of a message that is made
// for it where none is open.
func (r *reached) asks(con consent.Consent) string {
	r.Helper()
	const id = "dgt_asked"
	require.NoError(r, r.store.AskForMessage(r.Context(), consent.Notice{
		ApplicationID: r.app.ID, ConsentID: con.ID, Cycle: 1, Stage: consent.AskedStage(id, nil), Channel: consent.ChannelEmail, DigestID: id,
	}, "ada", r.at))
	return id
}

func TestWhoAsksIsWrittenToThoughTheAddressWasRefused(t *testing.T) {
	r := newReached(t)
	con := r.lapsing("ada", "Mock Bank", r.at.Add(7*day))
	r.accepts(consent.ChannelEmail)
	r.post.fail(1, ErrRefused)
	r.send(r.sweep()["ada"])
	r.over(r.send(r.asks(con)), consent.DigestSent, "")
	assert.True(t, r.user("ada").EmailRefusedAt.IsZero())
}

func TestWhatAUserAskedForWaitsOutNoQuietHours(t *testing.T) {
	r := newReached(t)
	r.quietHours("08:00-18:00")
	con := r.lapsing("ada", "Mock Bank", r.at.Add(7*day))
	id := r.sweep()["ada"]
	require.Equal(t, quietHours, r.send(id).Reason)
	r.asks(con)
	assert.Equal(t, r.at, r.digest(id).DueAt)
	r.post.fail(1, errLater)
	d := r.send(id)
	assert.Equal(t, "not_sent", d.Reason)
	r.at = d.DueAt
	r.over(r.send(id), consent.DigestSent, "")
	assert.True(t, r.digest(id).Asked, "whatever came between")
}

// asking is a registry in which a user asks for a message after it was read.
type asking struct {
	Registry
	after func()
}

func (a *asking) ListDigests(ctx context.Context, app string, ids []string) ([]consent.Digest, error) {
	list, err := a.Registry.ListDigests(ctx, app, ids)
	a.after()
	a.after = func() {}
	return list, err
}

func TestAskingWhileTheMessageIsPutOffIsNotForgotten(t *testing.T) {
	r := newReached(t)
	r.quietHours("08:00-18:00")
	con := r.lapsing("ada", "Mock Bank", r.at.Add(7*day))
	id := r.sweep()["ada"]
	r.Registry = &asking{Registry: r.Registry, after: func() { r.asks(con) }}
	d := r.send(id)
	assert.Equal(t, r.at, d.DueAt)
	assert.True(t, d.Asked)
	r.over(r.send(id), consent.DigestSent, "")
}

func TestWhatAUserAskedForAndIsHeldGoesOnAsThat(t *testing.T) {
	r := newReached(t)
	r.quietHours("08:00-18:00")
	out, fine := r.lapsing("ada", "Bank Out", r.at.Add(7*day)), r.lapsing("ada", "Bank Fine", r.at.Add(7*day))
	id := r.sweep()["ada"]
	r.asks(out)
	r.gate.until, r.gate.why, r.gate.bank = r.at.Add(10*time.Minute), string(consent.AlarmBank), "Bank Out"
	r.over(r.send(id), consent.DigestSent, "")
	assert.Contains(t, r.post.sent[0].Text, fine.ID)
	rest := r.sweep()["ada"]
	r.at, r.gate.until = r.gate.until, time.Time{}
	assert.True(t, r.digest(rest).Asked)
	r.over(r.send(rest), consent.DigestSent, "")
	assert.Contains(t, r.post.sent[1].Text, out.ID)
}

func TestAnAddressThatIsTakenAwayBeforeTheSendIsToldToTheApplication(t *testing.T) {
	r := newReached(t)
	con := r.lapsing("ada", "Mock Bank", r.at.Add(7*day))
	id := r.sweep()["ada"]
	r.writable("ada", "", "", "")
	r.over(r.send(id), consent.DigestDropped, "no_address")
	assert.Equal(t, []map[string]any{{"channel": "email", "reason": "no_address"}}, r.unreachableEvents(con))
	r.at = r.at.Add(6 * day)
	assert.Empty(t, r.swept())
	assert.Len(t, r.unreachableEvents(con), 1, "the sweep knows that it has been told")
}

func TestOurOwnMistakeIsNobodysAddress(t *testing.T) {
	r := newReached(t)
	r.writable("ada", "ada@example.org", "+442071838750", "")
	con := r.lapsing("ada", "Mock Bank", r.at)
	id := r.swept()[consent.ChannelSMS]
	r.texts.fail(1000, fmt.Errorf("%w: HTTP 401", ErrMisconfigured))
	d := r.digest(id)
	for d.State != consent.DigestFailed {
		require.LessOrEqual(t, len(r.texts.tried), patience)
		r.at = d.DueAt
		d = r.send(id)
	}
	r.over(d, consent.DigestFailed, "given_up")
	assert.True(t, r.user("ada").PhoneRefusedAt.IsZero())
	assert.Equal(t, []map[string]any{{"channel": "sms", "reason": "given_up"}}, r.unreachableEvents(con), "but the application may know another way")
	assert.Equal(t, "sms: It refuses us: our settings are refused: HTTP 401. Look at the login and the sender in the settings.", r.gate.last())
}

// TestAnHourWithoutAMailServer: everything arrives after it, nothing twice, and
// nobody's address is to blame.
func TestAnHourWithoutAMailServer(t *testing.T) {
	r := newReached(t)
	const people = 40
	begin := r.at
	for i := range people {
		r.lapsing(fmt.Sprintf("user%02d", i), "Mock Bank", r.at.Add(7*day))
	}
	digests := r.sweep()
	require.Len(t, digests, people)
	due := map[string]time.Time{}
	for _, id := range digests {
		due[id] = r.at
	}
	for len(due) > 0 {
		id := slices.MinFunc(slices.Collect(maps.Keys(due)), func(a, b string) int { return due[a].Compare(due[b]) })
		if r.at = due[id]; r.at.Before(begin.Add(time.Hour)) {
			r.post.fails = []error{errLater}
		} else {
			r.post.fails = nil
		}
		d := r.send(id)
		if due[id] = d.DueAt; d.DueAt.IsZero() {
			delete(due, id)
			require.False(t, r.at.Before(begin.Add(time.Hour)))
		}
		require.True(t, r.at.Before(begin.Add(6*time.Hour)), "it does not take half a day to come back")
	}
	require.Len(t, r.post.sent, people)
	to := map[string]int{}
	for _, m := range r.post.sent {
		to[m.To]++
	}
	assert.Len(t, to, people, "nobody twice")
	for user, id := range digests {
		assert.Equal(t, consent.DigestSent, r.digest(id).State)
		assert.True(t, r.user(user).EmailRefusedAt.IsZero())
	}
}

func TestTwice451Then250IsOneMailOnTheThirdTry(t *testing.T) {
	r := newReached(t)
	con := r.lapsing("ada", "Mock Bank", r.at)
	id := r.sweep()["ada"]
	r.post.fail(2, errLater)
	for range 2 {
		d := r.send(id)
		require.Equal(t, consent.DigestFrozen, d.State)
		require.Equal(t, map[string]consent.Outcome{"lapse": consent.OutcomeWaiting}, r.outcomes(con), "what was not accepted is not sent")
		r.at = d.DueAt
	}
	r.over(r.send(id), consent.DigestSent, "")
	assert.Len(t, r.post.tried, 3)
	assert.Len(t, r.post.sent, 1)
	assert.True(t, r.user("ada").EmailRefusedAt.IsZero())
}

func TestTextsFitTwoSegments(t *testing.T) {
	link := "https://consents.a-rather-long-name-of-a-fintech.example.com/r/a-rather-long-name-of-a-fintech." + strings.Repeat("x", 43)
	long := strings.Repeat("Sparkasse ", 20)
	for _, tt := range []struct {
		name              string
		application, bank string
		want              string // of what stands before the date
	}{
		{"plain", "Acme", "Mock Bank", "Acme: access to Mock Bank stopped"},
		{"no bank", "Acme", "", "Acme: access to your bank stopped"},
		{"letters that the alphabet has", "Köln & Ñandú", "Crédit", "Köln & Ñandu: access to Crédit stopped"},
		{"marks that it has not", "Żółw", "Česká spořitelna", "Zolw: access to Ceska sporitelna stopped"},
		{"long names", long, long, "Sparkasse Sparkasse.: access to Sparkasse Sparkasse. stopped"},
		{"another script leaves the bank out", "Acme", "Сбербанк " + long, "Acme: access to your bank stopped"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at := time.Date(2026, 9, 30, 13, 4, 0, 0, time.UTC)
			for _, lang := range locale.All() {
				for _, status := range []consent.Status{consent.Lapsing, consent.Lapsed, consent.Unrenewable} {
					for _, early := range []bool{false, true} {
						s := short{lang: lang, status: status, early: early, more: 11, application: tt.application, bank: tt.bank, link: link, at: lang.DateTime(at, locale.Zone("Europe/Paris"))}
						text := s.fitted()
						assert.LessOrEqual(t, segments(text), 2, text)
						assert.Contains(t, text, link)
						assert.NotContains(t, text, "\n")
						assert.NotContains(t, text, "sms.", "a message that is missing")
					}
				}
			}
			s := short{status: consent.Lapsed, application: tt.application, bank: tt.bank, link: link, at: "30 September, 15:04 CEST"}
			assert.True(t, strings.HasPrefix(s.fitted(), tt.want), s.fitted())
		})
	}
}

func TestSegments(t *testing.T) {
	for _, tt := range []struct {
		text string
		want int
	}{
		{"", 1}, {strings.Repeat("a", 160), 1}, {strings.Repeat("a", 161), 2}, {strings.Repeat("a", 306), 2}, {strings.Repeat("a", 307), 3},
		{strings.Repeat("€", 80), 1}, {strings.Repeat("€", 81), 2}, {strings.Repeat("я", 70), 1}, {strings.Repeat("я", 71), 2}, {strings.Repeat("я", 134), 2},
		{strings.Repeat("🏦", 35), 1}, {strings.Repeat("🏦", 36), 2}, {strings.Repeat("a", 70) + "я", 2}, {"@£ΔÉñü\n", 1},
	} {
		assert.Equal(t, tt.want, segments(tt.text), "%q", tt.text)
	}
}

func TestTextsSayWhatIs(t *testing.T) {
	r := newReached(t)
	r.writable("ada", "", "+442071838750", "Europe/Berlin")
	con := r.lapsing("ada", "Mock Bank", r.at.Add(day))
	for _, want := range []string{
		"access to Mock Bank ends on 2 March 2027, 10:00 CET. Keep it: ", "access to Mock Bank stopped on 2 March 2027, 10:00 CET. Reconnect: ",
	} {
		require.NotEmpty(t, r.swept())
		for _, id := range r.swept() {
			r.over(r.send(id), consent.DigestSent, "")
		}
		assert.Equal(t, "Acme: "+want+"https://consents.example/r/"+con.ID, r.texts.sent[len(r.texts.sent)-1].Text)
		r.at = r.at.Add(day)
	}
	r.at = con.LapsesAt.Add(90 * day)
	for _, id := range r.swept() {
		r.send(id)
	}
	assert.Contains(t, r.texts.sent[len(r.texts.sent)-1].Text, "stopped on 2 March 2027, 10:00 CET. Link it again: ")
	assert.Empty(t, r.unreachableEvents(con), "who is told by SMS is reached")
}
