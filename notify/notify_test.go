package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/sqlstore"
)

var (
	errLater = errors.New("451 try again later")
	errDisk  = errors.New("the disk is full")
)

// postbox is a mail server: it records what it took, and fails as it is told.
type postbox struct {
	mu     sync.Mutex
	tried  []Message
	sent   []Message
	fails  []error // of the next messages, one each
	during func()  // runs before the next message is accepted
}

func (p *postbox) Send(_ context.Context, m Message) error {
	p.mu.Lock()
	during := p.during
	p.during = nil
	p.mu.Unlock()
	if during != nil {
		during()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tried = append(p.tried, m)
	if len(p.fails) > 0 {
		err := p.fails[0]
		p.fails = p.fails[1:]
		if err != nil {
			return err
		}
	}
	p.sent = append(p.sent, m)
	return nil
}

func (p *postbox) fail(times int, err error) {
	for range times {
		p.fails = append(p.fails, err)
	}
}

// gate holds what is about banks that are out, and mails over a ceiling.
type gate struct {
	until time.Time
	why   string
	bank  string // the one that is out; empty for all
	err   error

	full     time.Time // until when the ceiling is reached
	admitted int

	mu      sync.Mutex
	serving []string // what an operator was told of those who take messages
}

func (g *gate) Serving(_ context.Context, _ *consent.Application, channel consent.Channel, trouble string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.serving = append(g.serving, string(channel)+": "+trouble)
	return nil
}

// last is what an operator was told last.
func (g *gate) last() string {
	if len(g.serving) == 0 {
		return ""
	}
	return g.serving[len(g.serving)-1]
}

func (g *gate) Held(_ context.Context, _ *consent.Application, about []consent.Consent) ([]string, time.Time, error) {
	why := make([]string, len(about))
	for i := range about {
		if !g.until.IsZero() && (g.bank == "" || g.bank == about[i].BankName) {
			why[i] = g.why
		}
	}
	return why, g.until, g.err
}

func (g *gate) Admit(context.Context, *consent.Application) (time.Time, error) {
	if g.full.IsZero() {
		g.admitted++
	}
	return g.full, nil
}

type links struct{}

func (links) MessageLinks(_ context.Context, _ *consent.Application, want []consent.MessageLink) ([]string, error) {
	var urls []string
	for _, w := range want {
		urls = append(urls, "https://consents.example/r/"+w.Consent.ID)
	}
	return urls, nil
}

// changing is a registry in which something has happened since.
type changing struct {
	Registry
	consent func(*consent.Consent) error
	user    func(*consent.User) error
	finish  func() error
}

func (r *changing) Subjects(ctx context.Context, app string, ids []string) ([]consent.Subject, error) {
	list, err := r.Registry.Subjects(ctx, app, ids)
	if err != nil || r.consent == nil {
		return list, err
	}
	return changed(list, func(s *consent.Subject) error { return r.consent(&s.Consent) })
}

func (r *changing) Recipients(ctx context.Context, app string, ids []string) ([]consent.User, error) {
	list, err := r.Registry.Recipients(ctx, app, ids)
	if err != nil || r.user == nil {
		return list, err
	}
	return changed(list, r.user)
}

// changed leaves out what is not there any more.
func changed[T any](list []T, change func(*T) error) ([]T, error) {
	var there []T
	for i := range list {
		switch err := change(&list[i]); {
		case errors.Is(err, consent.ErrNotFound):
		case err != nil:
			return nil, err
		default:
			there = append(there, list[i])
		}
	}
	return there, nil
}

func (r *changing) FinishDigests(ctx context.Context, app string, list []consent.Frozen) (int, error) {
	if r.finish != nil {
		if err := r.finish(); err != nil {
			return 0, err
		}
	}
	return r.Registry.FinishDigests(ctx, app, list)
}

// desk is a notifier on a real registry, with a clock that stands still.
type desk struct {
	*testing.T
	*Notifier
	store *sqlstore.Store
	reg   *changing
	post  *postbox
	gate  *gate
	app   consent.Application
	at    time.Time
	ids   int
	mu    sync.Mutex
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{T: t, post: &postbox{}, gate: &gate{}, at: time.Date(2027, 3, 1, 9, 0, 0, 0, time.UTC)}
	var err error
	d.store, err = sqlstore.Open(t.Context(), "sqlite::memory:")
	require.NoError(t, err)
	t.Cleanup(func() { _ = d.store.Close() })
	require.NoError(t, d.store.Migrate(t.Context()))
	d.reg = &changing{Registry: d.store}
	d.app = consent.Application{ID: "app_1", Slug: "acme", Name: "Acme", Cadence: consent.DefaultCadence(), CreatedAt: d.at}
	require.NoError(t, d.store.CreateApplication(t.Context(), d.app))
	d.Notifier = New(Config{
		Registry: d.reg, Links: links{}, Gate: d.gate, Mailer: d.post, Now: func() time.Time { return d.at },
		NewID: d.newID, Log: slog.New(slog.DiscardHandler),
	})
	d.rest = func(_ context.Context, wait time.Duration) bool {
		d.at = d.at.Add(wait)
		return true
	}
	return d
}

// accepts has whoever takes a channel's messages have done so just now, for
// somebody else.
func (d *desk) accepts(c consent.Channel) { d.servers.accepted(c, d.at) }

func (d *desk) newID() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ids++
	return fmt.Sprintf("%06d", d.ids)
}

// lapsing makes a consent that lapses then.
func (d *desk) lapsing(user, bank string, at time.Time) consent.Consent {
	d.Helper()
	id := "con_" + d.newID()
	con := consent.Consent{
		ApplicationID: d.app.ID, ID: id, UserID: user, Provider: "p", ProviderID: "b", BankName: bank, CredentialsID: "cred_" + id, Cycle: 1,
		Custody: consent.CustodyBackend, CreatedAt: at.Add(-90 * day), ConsentedAt: at.Add(-90 * day), ExpiresAt: at, ExpirySource: consent.FromProvider,
	}
	con.Reschedule(d.app.Cadence, consent.Policy{RenewalWindow: 90 * day}, con.ConsentedAt)
	_, err := d.store.Register(d.Context(), d.app.ID, []consent.Registration{{Consent: con, Contact: consent.User{
		ApplicationID: d.app.ID, ID: user, Email: user + "@example.org", Name: strings.ToUpper(user[:1]) + user[1:], CreatedAt: d.at, UpdatedAt: d.at,
	}}})
	require.NoError(d, err)
	return con
}

// sweep announces what is due, and returns the digests that it made, by user.
func (d *desk) sweep() map[string]string {
	d.Helper()
	_, err := d.store.Flag(d.Context(), consent.DueFilter{Now: d.at, Limit: 100}, func(con *consent.Consent) consent.Judgement {
		return consent.Judgement{Flag: con.Flag(d.app.Cadence, d.at), DigestID: "dgt_" + d.newID()}
	})
	require.NoError(d, err)
	digests := map[string]string{}
	for _, row := range d.rows(`SELECT user_id, id FROM digests WHERE state = 'open'`) {
		digests[row[0]] = row[1]
	}
	return digests
}

func (d *desk) rows(query string) [][2]string {
	d.Helper()
	rows, err := d.store.DB().QueryContext(d.Context(), query)
	require.NoError(d, err)
	defer func() { _ = rows.Close() }()
	var all [][2]string
	for rows.Next() {
		var r [2]string
		require.NoError(d, rows.Scan(&r[0], &r[1]))
		all = append(all, r)
	}
	require.NoError(d, rows.Err())
	return all
}

// outcomes are those of a consent's notices, by stage.
func (d *desk) outcomes(con consent.Consent) map[string]consent.Outcome {
	d.Helper()
	out := map[string]consent.Outcome{}
	for _, row := range d.rows(fmt.Sprintf(`SELECT stage, outcome FROM notices WHERE consent_id = '%s'`, con.ID)) {
		out[row[0]] = consent.Outcome(row[1])
	}
	return out
}

func (d *desk) digest(id string) consent.Digest {
	d.Helper()
	got, err := d.store.ListDigests(d.Context(), d.app.ID, []string{id})
	require.NoError(d, err)
	require.Len(d, got, 1)
	return got[0]
}

func (d *desk) send(id string) consent.Digest {
	d.Helper()
	require.NoError(d, d.Send(d.Context(), d.app.ID, id))
	return d.digest(id)
}

func (d *desk) over(digest consent.Digest, state consent.DigestState, reason string) {
	d.Helper()
	assert.Equal(d, state, digest.State)
	assert.Equal(d, reason, digest.Reason)
	assert.True(d, digest.DueAt.IsZero(), "what is over is not due")
	assert.Equal(d, d.at, digest.FinishedAt)
}

func (d *desk) setApp(change func(*consent.Application)) {
	d.Helper()
	change(&d.app)
	require.NoError(d, d.store.UpdateApplication(d.Context(), d.app))
}

func TestDecide(t *testing.T) {
	notice := consent.Notice{Cycle: 2, Stage: "before_7d"}
	at := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	live := func(announced ...string) *consent.Consent { // a week before its lapse
		return &consent.Consent{Cycle: 2, ExpiresAt: at.Add(7 * day), LapsingAt: at.Add(-23 * day), LapsesAt: at.Add(7 * day), Announced: announced}
	}
	moved := live("before_30d", "before_7d")
	moved.ExpiresAt, moved.LapsingAt, moved.LapsesAt = at.Add(97*day), at.Add(67*day), at.Add(97*day)
	for _, tt := range []struct {
		name string
		con  *consent.Consent
		want consent.Outcome
	}{
		{"it ends much later now", moved, consent.OutcomeMoved},
		{"it is as it was", live("before_30d", "before_7d"), consent.OutcomeWaiting},
		{"the only stage", live("before_7d"), consent.OutcomeWaiting},
		{"nothing is on record", live(), consent.OutcomeWaiting},
		{"the consent is gone", nil, consent.OutcomeErased},
		{"renewed", &consent.Consent{Cycle: 3}, consent.OutcomeRenewed},
		{"renewed, and reminded again", &consent.Consent{Cycle: 3, Announced: []string{"before_30d", "before_7d"}}, consent.OutcomeRenewed},
		{"revoked", &consent.Consent{Cycle: 2, RevokedAt: at, Announced: []string{"before_7d"}}, consent.OutcomeRevoked},
		{"renewed and revoked", &consent.Consent{Cycle: 3, RevokedAt: at}, consent.OutcomeRevoked},
		{"a later stage was announced", live("before_30d", "before_7d", "before_1d"), consent.OutcomeSuperseded},
		{"ended early since", &consent.Consent{Cycle: 2, ConsentedAt: at.Add(-day), LapsingAt: at, LapsesAt: at, EndedAt: at, ExpiresAt: at.Add(day), Announced: []string{"before_30d", "before_7d", "lapse"}}, consent.OutcomeSuperseded},
	} {
		var s *consent.Subject
		if tt.con != nil {
			s = &consent.Subject{Consent: *tt.con}
		}
		assert.Equal(t, tt.want, decide(notice, s, at), tt.name)
	}
	assert.Equal(t, consent.OutcomeSuperseded, decide(notice, &consent.Subject{Consent: *live("before_7d"), Replaced: true}, at), "another stands in its place")
	asked := consent.Notice{Cycle: 2, Stage: consent.AskedStage("1", nil)}
	assert.Equal(t, consent.OutcomeWaiting, decide(asked, &consent.Subject{Consent: *moved}, at), "who asks is answered")
}

func TestADigestIsOneMailThatIsSentOnce(t *testing.T) {
	d := newDesk(t)
	con := d.lapsing("ada", "Mock Bank", d.at.Add(7*day))
	id := d.sweep()["ada"]
	d.over(d.send(id), consent.DigestSent, "")
	require.Len(t, d.post.sent, 1)
	m := d.post.sent[0]
	assert.Equal(t, id, m.ID, "the Message-ID comes from the digest")
	assert.Equal(t, "ada@example.org", m.To)
	assert.Equal(t, "Ada", m.ToName)
	assert.Equal(t, "Acme", m.FromName)
	assert.Equal(t, "Access to Mock Bank ends in 7 days", m.Subject)
	for _, body := range []string{m.Text, m.HTML} {
		assert.Contains(t, body, "https://consents.example/r/"+con.ID)
		assert.Contains(t, body, "8 March 2027, 09:00 UTC")
	}
	assert.Equal(t, map[string]consent.Outcome{"before_7d": consent.OutcomeSent}, d.outcomes(con))

	d.send(id) // a job may run twice
	assert.Len(t, d.post.sent, 1)
}

func TestManyJobsOfOneDigestSendOneMail(t *testing.T) {
	d := newDesk(t)
	d.lapsing("ada", "Mock Bank", d.at)
	id := d.sweep()["ada"]
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() { assert.NoError(t, d.Send(t.Context(), d.app.ID, id)) })
	}
	group.Wait()
	assert.Len(t, d.post.sent, 1)
	d.over(d.digest(id), consent.DigestSent, "")
}

func TestWhatHasChangedSinceIsDroppedQuietlyAndTheReasonRecorded(t *testing.T) {
	for _, tt := range []struct {
		name    string
		since   func(d *desk, con consent.Consent)
		reason  string
		outcome consent.Outcome
	}{
		{"renewed", func(d *desk, _ consent.Consent) {
			d.reg.consent = func(c *consent.Consent) error { c.Cycle++; c.Announced = nil; return nil }
		}, "nothing_left", consent.OutcomeRenewed},
		{"revoked", func(d *desk, con consent.Consent) {
			_, err := d.store.Revoke(d.Context(), consent.Revocation{ApplicationID: d.app.ID, ConsentID: con.ID, By: "user", At: d.at,
				Event: consent.Event{ID: "evt_1", Type: consent.EventRevoked, At: d.at}})
			require.NoError(d, err)
		}, "nothing_left", consent.OutcomeRevoked},
		{"the consent is gone", func(d *desk, _ consent.Consent) {
			d.reg.consent = func(*consent.Consent) error { return consent.ErrNotFound }
		}, "nothing_left", consent.OutcomeErased},
		{"a later stage was announced", func(d *desk, _ consent.Consent) {
			d.reg.consent = func(c *consent.Consent) error { c.Announced = append(c.Announced, "before_1d"); return nil }
		}, "nothing_left", consent.OutcomeSuperseded},
		{"the person is gone", func(d *desk, _ consent.Consent) {
			d.reg.user = func(*consent.User) error { return consent.ErrNotFound }
		}, "user_gone", consent.OutcomeErased},
		{"the address is gone", func(d *desk, _ consent.Consent) {
			d.reg.user = func(u *consent.User) error { u.Email = ""; return nil }
		}, "no_address", consent.OutcomeNoAddress},
		{"there is no mail server", func(d *desk, _ consent.Consent) { d.Mailer = nil }, "no_mail", consent.OutcomeNoMail},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t)
			con := d.lapsing("ada", "Mock Bank", d.at.Add(7*day))
			id := d.sweep()["ada"]
			tt.since(d, con)
			d.over(d.send(id), consent.DigestDropped, tt.reason)
			assert.Empty(t, d.post.tried)
			assert.Equal(t, map[string]consent.Outcome{"before_7d": tt.outcome}, d.outcomes(con))
		})
	}
}

func TestAnApplicationThatTellsItsUsersItselfSinceSendsNothing(t *testing.T) {
	d := newDesk(t)
	d.lapsing("ada", "Mock Bank", d.at.Add(7*day))
	id := d.sweep()["ada"]
	d.setApp(func(a *consent.Application) { a.NoMail = true })
	d.send(id)
	assert.Empty(t, d.post.tried, "users of such an application are not written to at all")
}

func TestTheErasedAreNotWrittenTo(t *testing.T) {
	d := newDesk(t)
	con := d.lapsing("ada", "Mock Bank", d.at.Add(7*day))
	id := d.sweep()["ada"]
	_, err := d.store.Revoke(t.Context(), consent.Revocation{ApplicationID: d.app.ID, ConsentID: con.ID, By: "user", At: d.at,
		Event: consent.Event{ID: "evt_1", Type: consent.EventRevoked, At: d.at}})
	require.NoError(t, err)
	require.NoError(t, d.store.EraseUser(t.Context(), d.app.ID, "ada", "erased_1"))
	require.NoError(t, d.Send(t.Context(), d.app.ID, id))
	assert.Empty(t, d.post.tried)
	for _, row := range d.rows(`SELECT id, user_id FROM digests`) {
		assert.NotEqual(t, "ada", row[1], "the digest keeps no id of the person")
	}
}

func TestOnlyTheLatestStageOfAMessageIsTold(t *testing.T) {
	d := newDesk(t)
	con := d.lapsing("ada", "Mock Bank", d.at.Add(7*day))
	first := d.sweep()["ada"]
	d.at = d.at.Add(6 * day) // no job ran for a week
	require.Equal(t, first, d.sweep()["ada"], "the message that is open takes the notice along")
	d.over(d.send(first), consent.DigestSent, "")
	require.Len(t, d.post.sent, 1)
	assert.Equal(t, 1, strings.Count(d.post.sent[0].Text, "/r/"+con.ID))
	assert.Equal(t, map[string]consent.Outcome{"before_7d": consent.OutcomeSuperseded, "before_1d": consent.OutcomeSent}, d.outcomes(con))
}

func TestAFrozenMessageIsOvertakenByTheNextOne(t *testing.T) {
	d := newDesk(t)
	con := d.lapsing("ada", "Mock Bank", d.at.Add(7*day))
	first := d.sweep()["ada"]
	d.post.fail(1, errLater)
	assert.Equal(t, consent.DigestFrozen, d.send(first).State)
	d.at = d.at.Add(6 * day)
	second := d.sweep()["ada"]
	require.NotEqual(t, first, second, "a frozen one carries what it carries")
	d.over(d.send(first), consent.DigestDropped, "nothing_left")
	d.over(d.send(second), consent.DigestSent, "")
	assert.Len(t, d.post.sent, 1)
	assert.Equal(t, map[string]consent.Outcome{"before_7d": consent.OutcomeSuperseded, "before_1d": consent.OutcomeSent}, d.outcomes(con))
}

func TestAMailThatIsNotTakenYetIsTriedAgainWithGrowingPauses(t *testing.T) {
	d := newDesk(t)
	con := d.lapsing("ada", "Mock Bank", d.at)
	id := d.sweep()["ada"]
	d.post.fail(patience-1, errLater)
	begin := d.at
	for try := 1; try < patience; try++ {
		digest := d.send(id)
		require.Equal(t, consent.DigestFrozen, digest.State)
		require.Equal(t, "not_sent", digest.Reason)
		require.Equal(t, try, digest.Tries)
		require.Empty(t, digest.ClaimID)
		plain := min(time.Minute<<min(try, 12), 4*time.Hour)
		require.WithinRange(t, digest.DueAt, d.at.Add(plain-plain/5), d.at.Add(plain+plain/5), "after try %d", try)
		require.Equal(t, map[string]consent.Outcome{"lapse": consent.OutcomeWaiting}, d.outcomes(con))
		d.at = digest.DueAt
	}
	assert.Greater(t, d.at.Sub(begin), 2*day)
	assert.Less(t, d.at.Sub(begin), 5*day)
	d.over(d.send(id), consent.DigestSent, "")
	assert.Len(t, d.post.sent, 1)
	for _, m := range d.post.tried {
		assert.Equal(t, id, m.ID, "however often it is tried, it is one message")
	}
}

func TestAMailThatIsNeverTakenIsGivenUp(t *testing.T) {
	d := newDesk(t)
	con := d.lapsing("ada", "Mock Bank", d.at)
	id := d.sweep()["ada"]
	d.post.fail(1000, errLater)
	digest := d.digest(id)
	for digest.State != consent.DigestFailed {
		require.LessOrEqual(t, len(d.post.tried), patience)
		d.at = digest.DueAt
		digest = d.send(id)
	}
	d.over(digest, consent.DigestFailed, "given_up")
	assert.Len(t, d.post.tried, patience)
	assert.Equal(t, map[string]consent.Outcome{"lapse": consent.OutcomeGivenUp}, d.outcomes(con))
}

func TestAMailThatIsRefusedForGoodHasFailed(t *testing.T) {
	d := newDesk(t)
	con := d.lapsing("ada", "Mock Bank", d.at)
	id := d.sweep()["ada"]
	d.accepts(consent.ChannelEmail)
	d.post.fail(1, fmt.Errorf("550 no such user: %w", ErrRefused))
	d.over(d.send(id), consent.DigestFailed, "refused")
	assert.Equal(t, map[string]consent.Outcome{"lapse": consent.OutcomeRefused}, d.outcomes(con))
	d.send(id)
	assert.Len(t, d.post.tried, 1)
}

func TestAMailWhoseAcceptanceCouldNotBeRecordedGoesUnderTheSameID(t *testing.T) {
	d := newDesk(t)
	d.lapsing("ada", "Mock Bank", d.at)
	id := d.sweep()["ada"]
	d.reg.finish = func() error { return errDisk }
	digest := d.send(id)
	d.reg.finish = nil
	assert.Equal(t, consent.DigestFrozen, digest.State)
	d.at = digest.DueAt
	d.over(d.send(id), consent.DigestSent, "")
	require.Len(t, d.post.sent, 2, "what was accepted and is not on record cannot be known")
	assert.Equal(t, d.post.sent[0].ID, d.post.sent[1].ID)
}

func TestAPausedApplicationWaits(t *testing.T) {
	d := newDesk(t)
	con := d.lapsing("ada", "Mock Bank", d.at)
	id := d.sweep()["ada"]
	d.setApp(func(a *consent.Application) { a.Paused = true })
	for range 100 { // longer than patience lasts
		digest := d.send(id)
		require.Equal(t, consent.DigestOpen, digest.State, "it takes more notices along")
		require.Equal(t, "paused", digest.Reason)
		require.Equal(t, d.at.Add(pausedFor), digest.DueAt)
		require.Zero(t, digest.Tries, "waiting is no failure")
		d.at = digest.DueAt
	}
	assert.Empty(t, d.post.tried)
	assert.Equal(t, map[string]consent.Outcome{"lapse": consent.OutcomeWaiting}, d.outcomes(con))
	d.setApp(func(a *consent.Application) { a.Paused = false })
	d.over(d.send(id), consent.DigestSent, "")
	assert.Len(t, d.post.sent, 1)
}

func TestAPauseDuringASendDoesNotSendTwice(t *testing.T) {
	d := newDesk(t)
	d.lapsing("ada", "Mock Bank", d.at)
	id := d.sweep()["ada"]
	d.post.during = func() { // a second job of the same digest, while the mail server takes its time
		d.setApp(func(a *consent.Application) { a.Paused = true })
		assert.NoError(t, d.Send(t.Context(), d.app.ID, id))
	}
	digest := d.send(id)
	assert.Equal(t, consent.DigestSent, digest.State, "the mail server took it, and that is on record")
	d.setApp(func(a *consent.Application) { a.Paused = false })
	d.at = d.at.Add(time.Hour)
	d.send(id)
	assert.Len(t, d.post.sent, 1)
}

func TestMailThatIsHeldWaitsUntilThen(t *testing.T) {
	d := newDesk(t)
	con := d.lapsing("ada", "Mock Bank", d.at)
	id := d.sweep()["ada"]
	tomorrow := d.at.Truncate(day).Add(day)
	d.setApp(func(a *consent.Application) { a.MailsPerDay = 1 })
	d.gate.full = tomorrow
	digest := d.send(id)
	assert.Equal(t, tomorrow, digest.DueAt)
	assert.Equal(t, "mail_ceiling", digest.Reason)
	assert.Empty(t, digest.ClaimID)
	assert.Empty(t, d.post.tried)
	assert.Equal(t, map[string]consent.Outcome{"lapse": consent.OutcomeWaiting}, d.outcomes(con))
	d.at, d.gate.full = tomorrow, time.Time{}
	d.over(d.send(id), consent.DigestSent, "")
	assert.Len(t, d.post.sent, 1)
}

func TestAMailIsCountedOnceHoweverOftenItIsTried(t *testing.T) {
	d := newDesk(t)
	d.setApp(func(a *consent.Application) { a.MailsPerDay = 1 })
	d.lapsing("ada", "Mock Bank", d.at)
	id := d.sweep()["ada"]
	d.reg.user = func(*consent.User) error { return errDisk } // before it is counted
	d.at = d.send(id).DueAt
	d.reg.user = nil
	d.post.fail(2, errLater) // and after
	for range 2 {
		d.at = d.send(id).DueAt
	}
	d.over(d.send(id), consent.DigestSent, "")
	assert.Equal(t, 1, d.gate.admitted)
}

func TestACeilingHoldsAlsoWhatWasTriedBefore(t *testing.T) {
	d := newDesk(t)
	d.setApp(func(a *consent.Application) { a.MailsPerDay = 1 })
	d.gate.full = d.at.Add(day)
	d.lapsing("ada", "Mock Bank", d.at)
	id := d.sweep()["ada"]
	d.reg.user = func(*consent.User) error { return errDisk }
	d.at = d.send(id).DueAt
	d.reg.user = nil
	assert.Equal(t, "mail_ceiling", d.send(id).Reason)
	assert.Empty(t, d.post.tried)
}

func TestABankThatIsOutHoldsNothingAboutOthers(t *testing.T) {
	d := newDesk(t)
	out, fine := d.lapsing("ada", "Bank Out", d.at), d.lapsing("ada", "Bank Fine", d.at)
	id := d.sweep()["ada"]
	d.gate.until, d.gate.why, d.gate.bank = d.at.Add(10*time.Minute), string(consent.AlarmBank), "Bank Out"
	d.over(d.send(id), consent.DigestSent, "")
	require.Len(t, d.post.sent, 1)
	assert.NotContains(t, d.post.sent[0].Text, "Bank Out")
	assert.Equal(t, map[string]consent.Outcome{"lapse": consent.OutcomeSent}, d.outcomes(fine))
	assert.Equal(t, map[string]consent.Outcome{"lapse": consent.OutcomeWaiting}, d.outcomes(out))
	d.at, d.gate.until = d.gate.until, time.Time{}
	rest := d.sweep()["ada"]
	require.NotEqual(t, id, rest)
	d.over(d.send(rest), consent.DigestSent, "")
	require.Len(t, d.post.sent, 2)
	assert.Contains(t, d.post.sent[1].Text, "Bank Out")
	assert.NotContains(t, d.post.sent[1].Text, "Bank Fine")
}

func TestAConsentThatWasReplacedIsNotReminded(t *testing.T) {
	d := newDesk(t)
	con := d.lapsing("ada", "Mock Bank", d.at)
	id := d.sweep()["ada"]
	fresh := consent.Consent{
		ApplicationID: d.app.ID, ID: "con_new", UserID: "ada", Provider: "p", ProviderID: "b", CredentialsID: "new", Cycle: 1, Replaces: con.ID,
		Custody: consent.CustodyBackend, CreatedAt: d.at, ConsentedAt: d.at, ExpiresAt: d.at.Add(90 * day), ExpirySource: consent.FromProvider,
	}
	fresh.Reschedule(d.app.Cadence, consent.Policy{RenewalWindow: 90 * day}, d.at)
	_, err := d.store.Register(t.Context(), d.app.ID, []consent.Registration{{Consent: fresh, Contact: consent.User{ApplicationID: d.app.ID, ID: "ada", CreatedAt: d.at, UpdatedAt: d.at}}})
	require.NoError(t, err)
	d.over(d.send(id), consent.DigestDropped, "nothing_left")
	assert.Equal(t, map[string]consent.Outcome{"lapse": consent.OutcomeSuperseded}, d.outcomes(con))
}

func TestAnEndThatHasMovedFarAwayIsNotToldAsNear(t *testing.T) {
	d := newDesk(t)
	con := d.lapsing("ada", "Mock Bank", d.at.Add(7*day))
	id := d.sweep()["ada"]
	d.reg.consent = func(c *consent.Consent) error { // the provider says another date
		c.ExpiresAt = d.at.Add(97 * day)
		c.Reschedule(d.app.Cadence, consent.Policy{RenewalWindow: 90 * day}, time.Time{})
		return nil
	}
	d.over(d.send(id), consent.DigestDropped, "nothing_left")
	assert.Equal(t, map[string]consent.Outcome{"before_7d": consent.OutcomeMoved}, d.outcomes(con))
}

func TestABankThatWasOutForLongDoesNotUseUpThePatienceWithTheMailServer(t *testing.T) {
	d := newDesk(t)
	d.lapsing("ada", "Mock Bank", d.at)
	id := d.sweep()["ada"]
	for range patience + 6 { // ten minutes each: five hours
		d.gate.until, d.gate.why = d.at.Add(10*time.Minute), string(consent.AlarmBank)
		d.at = d.send(id).DueAt
	}
	d.gate.until, d.gate.why = time.Time{}, ""
	d.post.fail(1, errLater) // as greylisting does with every first mail
	digest := d.send(id)
	require.Equal(t, consent.DigestFrozen, digest.State, "it is tried again: %s", digest.Reason)
	assert.WithinRange(t, digest.DueAt, d.at.Add(time.Second), d.at.Add(5*time.Minute), "and soon, for it was tried once")
	d.at = digest.DueAt
	d.over(d.send(id), consent.DigestSent, "")
}

func TestAGateThatCannotBeAskedSendsNothingYet(t *testing.T) {
	d := newDesk(t)
	d.lapsing("ada", "Mock Bank", d.at)
	id := d.sweep()["ada"]
	d.gate.err = errDisk
	digest := d.send(id)
	assert.Equal(t, consent.DigestFrozen, digest.State)
	assert.True(t, digest.DueAt.After(d.at))
	assert.Empty(t, d.post.tried)
	d.gate.err = nil
	d.at = digest.DueAt
	d.over(d.send(id), consent.DigestSent, "")
}

func TestTwoConsentsOfOneUserMakeOneMailHeadedByTheNearestLapse(t *testing.T) {
	d := newDesk(t)
	later := d.lapsing("ada", "Second Bank", d.at.Add(30*day))
	nearest := d.lapsing("ada", "First Bank", d.at.Add(day))
	between := d.lapsing("ada", "Third Bank", d.at.Add(7*day))
	d.lapsing("grace", "Other Bank", d.at)
	digests := d.sweep()
	require.Len(t, digests, 2)
	d.send(digests["ada"])
	require.Len(t, d.post.sent, 1)
	m := d.post.sent[0]
	assert.Equal(t, "ada@example.org", m.To)
	assert.Equal(t, "Access to First Bank ends in 1 day (and 2 more connections)", m.Subject)
	at := -1
	for _, con := range []consent.Consent{nearest, between, later} {
		i := strings.Index(m.Text, "/r/"+con.ID)
		assert.Greater(t, i, at, "the nearest lapse comes first")
		at = i
		for stage, outcome := range d.outcomes(con) {
			assert.Equal(t, consent.OutcomeSent, outcome, stage)
		}
	}
	assert.NotContains(t, m.Text, "Other Bank")
	d.send(digests["grace"])
	require.Len(t, d.post.sent, 2)
	assert.Equal(t, "Access to Other Bank has stopped", d.post.sent[1].Subject)
}

func TestOfSeveralConsentsOnlyThoseThatStillHoldAreTold(t *testing.T) {
	d := newDesk(t)
	renewed, waiting := d.lapsing("ada", "First Bank", d.at.Add(day)), d.lapsing("ada", "Second Bank", d.at.Add(7*day))
	id := d.sweep()["ada"]
	d.reg.consent = func(c *consent.Consent) error {
		if c.ID == renewed.ID {
			c.Cycle++
		}
		return nil
	}
	d.over(d.send(id), consent.DigestSent, "")
	require.Len(t, d.post.sent, 1)
	assert.Equal(t, "Access to Second Bank ends in 7 days", d.post.sent[0].Subject)
	assert.NotContains(t, d.post.sent[0].Text, "First Bank")
	assert.Equal(t, map[string]consent.Outcome{"before_1d": consent.OutcomeRenewed}, d.outcomes(renewed))
	assert.Equal(t, map[string]consent.Outcome{"before_7d": consent.OutcomeSent}, d.outcomes(waiting))
}

func TestTimesAreTheUsersOwn(t *testing.T) {
	d := newDesk(t)
	d.lapsing("ada", "Mock Bank", time.Date(2027, 3, 28, 1, 0, 0, 0, time.UTC)) // Europe's clocks change
	d.at = time.Date(2027, 3, 27, 1, 0, 0, 0, time.UTC)
	d.reg.user = func(u *consent.User) error { u.TimeZone = "Europe/Berlin"; return nil }
	d.send(d.sweep()["ada"])
	require.Len(t, d.post.sent, 1)
	assert.Contains(t, d.post.sent[0].Text, "28 March 2027, 03:00 CEST")
}

func TestAJobWithoutADigestNeedsNothing(t *testing.T) {
	d := newDesk(t)
	require.NoError(t, d.Do(t.Context(), consent.DigestKey(d.app.ID, "dgt_gone")))
	require.NoError(t, d.Do(t.Context(), consent.DigestKey("app_gone", "dgt_gone")))
	d.setApp(func(a *consent.Application) { a.Paused = true })
	require.NoError(t, d.Do(t.Context(), consent.DigestKey(d.app.ID, "dgt_gone")))
	require.Error(t, d.Do(t.Context(), "no key"))
	assert.Empty(t, d.post.tried)
}

func TestADigestInOtherHandsIsLeftAlone(t *testing.T) {
	d := newDesk(t)
	d.lapsing("ada", "Mock Bank", d.at)
	id := d.sweep()["ada"]
	_, err := d.store.FreezeDigests(t.Context(), consent.DigestClaim{ApplicationID: d.app.ID, IDs: []string{id}, ClaimID: "another", Now: d.at, Until: d.at.Add(claimFor)})
	require.NoError(t, err)
	digest := d.send(id)
	assert.Equal(t, "another", digest.ClaimID)
	assert.Empty(t, d.post.tried)
	d.at = d.at.Add(claimFor) // its process died
	d.over(d.send(id), consent.DigestSent, "")
	assert.Len(t, d.post.sent, 1)
}
