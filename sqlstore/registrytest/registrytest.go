package registrytest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
)

// Run holds a registry to everything that consent.Registry promises. open
// returns a registry that is ready for use; it is called once.
func Run(t *testing.T, open func(t *testing.T) consent.Registry) {
	t.Helper()
	r := open(t)
	for _, group := range [][]test{
		applicationTests, userTests, consentTests, lifeTests, listTests, leaseTests,
		attemptTests, claimTests, renewTests, linkTests, confirmTests, upkeepTests,
		isolationTests, timeTests, byteTests, raceTests, sweepTests, webhookTests, inboundTests, reachTests,
	} {
		for _, tt := range group {
			t.Run(tt.name, func(t *testing.T) { tt.run(newWorld(t, r)) })
		}
	}
}

type test struct {
	name string
	run  func(w *world)
}

// zero is when every test begins: an hour before clocks move in Europe, with
// all six digits of a microsecond.
var zero = time.Date(2027, time.March, 28, 0, 0, 0, 123456000, time.UTC)

func at(d time.Duration) time.Time { return zero.Add(d) }

const day = 24 * time.Hour

// world is one test's view of a registry: an application of its own, and
// short ways to put things into it.
type world struct {
	*testing.T
	r   consent.Registry
	app consent.Application
}

var serial atomic.Int64

// name returns a name that nobody else has, in the order of its making.
func name(prefix string) string { return fmt.Sprintf("%s_%06d", prefix, serial.Add(1)) }

func newWorld(t *testing.T, r consent.Registry) *world {
	t.Helper()
	w := &world{T: t, r: r}
	w.app = w.application()
	return w
}

func (w *world) application() consent.Application {
	w.Helper()
	id := name("app")
	a := consent.Application{
		ID: id, Slug: fmt.Sprintf("s-%s", id[4:]), Name: "Budget & Söhne",
		RedirectURIs: []string{"https://app.example/cb"}, Cadence: consent.DefaultCadence(), CreatedAt: zero,
	}
	require.NoError(w, w.r.CreateApplication(w.Context(), a))
	return a
}

// consent returns a consent with every field set, not stored yet.
func (w *world) consent() consent.Consent {
	return consent.Consent{
		ApplicationID: w.app.ID, ID: name("con"), UserID: name("user"), Provider: "truelayer", ProviderID: "mock",
		BankName: "Mock Bank", AccountLabel: "Current ••1234", AccountCount: 3, CredentialsID: name("cred"),
		Cycle: 1, Custody: consent.CustodyOurs, Scopes: []string{"accounts", "balance"},
		RedirectURI: "https://app.example/cb?x=%2F", Hosted: true, Replaces: "con_before",
		CreatedAt: at(0), ConsentedAt: at(time.Second), ExpiresAt: at(90 * day), ExpirySource: consent.FromProvider,
		LapsingAt: at(60 * day), LapsesAt: at(90 * day), RenewableUntil: at(180 * day), NextStageAt: at(61 * day), NextCheckAt: at(15 * day),
		Announced: []string{"before_30d"},
		Accounts:  []string{"acc1", "acc2"},
		Tokens: consent.Tokens{
			Refresh: consent.Sealed("refresh \x00\xff"), Access: consent.Sealed("access \x00\xfe"),
			AccessExpiresAt: at(time.Hour), RefreshedAt: at(time.Minute),
		},
	}
}

func event(typ consent.EventType, data map[string]any) consent.Event {
	return consent.Event{ID: name("evt"), Type: typ, At: at(time.Minute), Data: data}
}

func (w *world) registration(c consent.Consent) consent.Registration {
	return consent.Registration{
		Consent: c, TokenHash: []byte("hash of " + c.ID), Events: []consent.Event{event(consent.EventLinked, nil)},
		Contact: consent.User{ApplicationID: c.ApplicationID, ID: c.UserID, CreatedAt: zero, UpdatedAt: zero},
	}
}

// stored puts a consent into the registry and returns it as it reads back.
func (w *world) stored(change ...func(*consent.Consent)) consent.Consent {
	w.Helper()
	c := w.consent()
	for _, f := range change {
		f(&c)
	}
	added, err := w.r.Register(w.Context(), c.ApplicationID, []consent.Registration{w.registration(c)})
	require.NoError(w, err)
	require.Equal(w, []bool{true}, added)
	return w.look(c)
}

// look reads a consent anew.
func (w *world) look(c consent.Consent) consent.Consent {
	w.Helper()
	c, err := w.r.Consent(w.Context(), c.ApplicationID, c.ID)
	require.NoError(w, err)
	return c
}

// history returns the types of a consent's events, and holds their numbers to
// 1, 2, 3 and so on.
func (w *world) history(c consent.Consent) []consent.EventType {
	w.Helper()
	events, err := w.r.Events(w.Context(), c.ApplicationID, c.ID, 0, 10_000)
	require.NoError(w, err)
	types := []consent.EventType{}
	for i, e := range events {
		require.EqualValues(w, i+1, e.Seq, "events are numbered without gaps")
		types = append(types, e.Type)
	}
	require.EqualValues(w, len(events), w.look(c).Seq, "Seq is the newest event's")
	return types
}

// attempt returns a reauthorization of c with every field set that a new
// attempt has, not stored yet; a first link where c is nil.
func (w *world) attempt(c *consent.Consent) consent.Attempt {
	id := name("att")
	a := consent.Attempt{
		ApplicationID: w.app.ID, ID: id, Kind: consent.KindLink, Origin: consent.OriginAPI,
		UserID: name("user"), Provider: "truelayer", ProviderID: "mock", Scopes: []string{"accounts"},
		RedirectURI: "https://app.example/cb", Hosted: true, ReturnTo: "https://app.example/done?a=b",
		CallerState: []byte("s\x00\xff"), StateHash: []byte("state of " + id),
		URI: consent.Sealed("uri"), Verifier: consent.Sealed("verifier"), ReuseKey: []byte("reuse " + id),
		CreatedAt: at(0), ExpiresAt: at(time.Hour), Status: consent.AttemptStarted,
	}
	if c != nil {
		a.Kind, a.ConsentID, a.Cycle, a.UserID = consent.KindReauthorize, c.ID, c.Cycle, c.UserID
	}
	return a
}

// begun stores an attempt.
func (w *world) begun(c *consent.Consent, change ...func(*consent.Attempt)) consent.Attempt {
	w.Helper()
	a := w.attempt(c)
	for _, f := range change {
		f(&a)
	}
	require.NoError(w, w.r.BeginAttempt(w.Context(), a, nil))
	return a
}

// lookAt reads an attempt anew.
func (w *world) lookAt(a consent.Attempt) consent.Attempt {
	w.Helper()
	a, err := w.r.Attempt(w.Context(), a.ApplicationID, a.ID)
	require.NoError(w, err)
	return a
}

func claim(a consent.Attempt, now time.Time) consent.Claim {
	return consent.Claim{
		ApplicationID: a.ApplicationID, AttemptID: a.ID, ClaimID: name("claim"),
		Now: now, Until: now.Add(time.Minute), Code: consent.Sealed("code"),
	}
}

// claimed claims an attempt at a minute past zero.
func (w *world) claimed(a consent.Attempt) consent.Attempt {
	w.Helper()
	a, err := w.r.ClaimAttempt(w.Context(), claim(a, at(time.Minute)))
	require.NoError(w, err)
	require.Equal(w, consent.AttemptClaimed, a.Status)
	return a
}

// renewal is what completes a claimed attempt of c.
func renewal(a consent.Attempt, c consent.Consent) consent.Renewal {
	c.Cycle++
	c.ConsentedAt, c.ExpiresAt, c.LapsesAt = at(2*time.Minute), at(90*day+2*time.Minute), at(90*day+2*time.Minute)
	c.LapsingAt, c.RenewableUntil, c.NextStageAt = at(60*day+2*time.Minute), at(180*day+2*time.Minute), at(61*day)
	c.Tokens = consent.Tokens{
		Refresh: consent.Sealed("next refresh"), Access: consent.Sealed("next access"),
		AccessExpiresAt: at(2 * time.Hour), RefreshedAt: at(2 * time.Minute),
	}
	return consent.Renewal{
		ApplicationID: a.ApplicationID, AttemptID: a.ID, ClaimID: a.ClaimID, At: at(2 * time.Minute),
		Consent: c, TokenHash: []byte("next hash of " + c.ID), Event: event(consent.EventRenewed, map[string]any{"attempt_id": a.ID}),
	}
}

// renewed carries a new attempt for c through to its end.
func (w *world) renewed(c consent.Consent) consent.Consent {
	w.Helper()
	a := w.claimed(w.begun(&c))
	c, err := w.r.Renew(w.Context(), renewal(a, w.look(c)))
	require.NoError(w, err)
	return c
}

func (w *world) revoked(c consent.Consent) consent.Consent {
	w.Helper()
	c, err := w.r.Revoke(w.Context(), consent.Revocation{
		ApplicationID: c.ApplicationID, ConsentID: c.ID, By: "user", At: at(time.Minute), Event: event(consent.EventRevoked, nil),
	})
	require.NoError(w, err)
	return c
}

func finish(a consent.Attempt, status consent.AttemptStatus) consent.Finish {
	return consent.Finish{
		ApplicationID: a.ApplicationID, AttemptID: a.ID, ClaimID: a.ClaimID,
		At: at(3 * time.Minute), Status: status, Reason: "because", CredentialsID: "cred_came_back",
	}
}

func giveBack(applicationID string) *consent.GiveBack {
	return &consent.GiveBack{
		ApplicationID: applicationID, ID: name("gbk"), ConsentID: "con_x", Provider: "truelayer", CredentialsID: "cred_x",
		Grant: consent.Sealed("grant \x00"), Reason: "mismatched", CreatedAt: at(0), NextTryAt: at(0),
	}
}

// link is a reconnect link of c.
func link(c consent.Consent) consent.ReconnectLink {
	return consent.ReconnectLink{
		ApplicationID: c.ApplicationID, TokenHash: []byte(name("token")), ConsentID: c.ID, UserID: c.UserID, Cycle: c.Cycle,
		ReturnTo: "https://app.example/done", State: []byte("\x00\xff"), CreatedAt: at(0), ExpiresAt: at(30 * day),
	}
}

// many is how many goroutines race where a test races.
const many = 50

// race runs f many times at once and returns what each answered.
func (w *world) race(f func(i int) error) []error {
	var wg sync.WaitGroup
	errs := make([]error, many)
	gate := make(chan struct{})
	for i := range many {
		wg.Go(func() {
			<-gate
			errs[i] = f(i)
		})
	}
	close(gate)
	wg.Wait()
	return errs
}

// oneWon asserts that exactly one of errs is nil and every other one is lost.
func (w *world) oneWon(errs []error, lost ...error) {
	w.Helper()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
			continue
		}
		w.among(err, lost...)
	}
	assert.Equal(w, 1, won, "exactly one wins")
}

// among asserts that err is one of the answers.
func (w *world) among(err error, answers ...error) {
	w.Helper()
	for _, a := range answers {
		if errors.Is(err, a) {
			return
		}
	}
	assert.Failf(w, "another answer was promised", "got %v, want one of %v", err, answers)
}
