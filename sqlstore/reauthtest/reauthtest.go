package reauthtest

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
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/stepup"
)

// Store is what is tested: what users have proven goes with the users.
type Store interface {
	stepup.Store
	consent.Users
}

// Run holds a store to everything that stepup.Store promises. open returns a
// store that is ready for use; it is called once.
func Run(t *testing.T, open func(t *testing.T) Store) {
	t.Helper()
	s := open(t)
	for _, group := range [][]test{
		settingsTests, standingTests, windowTests, codeTests, reverificationTests, successTests, factorTests,
		proofTests, keyTests, auditTests, clearTests, contactTests, eraseTests, tidyTests, isolationTests, byteTests, raceTests,
	} {
		for _, tt := range group {
			t.Run(tt.name, func(t *testing.T) { tt.run(newWorld(t, s)) })
		}
	}
}

type test struct {
	name string
	run  func(w *world)
}

// zero is when every test begins, with all six digits of a microsecond.
var zero = time.Date(2027, time.March, 28, 12, 0, 0, 123456000, time.UTC)

func at(d time.Duration) time.Time { return zero.Add(d) }

const day = 24 * time.Hour

// world is one test's view of a store: an application of its own with a user,
// and short ways to put things into it.
type world struct {
	*testing.T
	s   Store
	who stepup.Who
}

var serial atomic.Int64

// name returns a name that nobody else has, in the order of its making.
func name(prefix string) string { return fmt.Sprintf("%s_%06d", prefix, serial.Add(1)) }

func newWorld(t *testing.T, s Store) *world {
	t.Helper()
	w := &world{T: t, s: s}
	w.who = w.user(name("app"))
	return w
}

// user puts a user into an application.
func (w *world) user(app string) stepup.Who {
	w.Helper()
	who := stepup.Who{ApplicationID: app, UserID: name("user"), SessionID: name("sid")}
	w.put(who)
	return who
}

func (w *world) put(who stepup.Who) consent.User {
	w.Helper()
	u, err := w.s.PutUser(w.Context(), consent.User{
		ApplicationID: who.ApplicationID, ID: who.UserID, Email: "ada@example.org", Phone: "+442071838750", Name: "Ada Łovelace",
		Locale: "en-GB", TimeZone: "Europe/London", PasswordHash: consent.Sealed("\x00pw"), CreatedAt: zero, UpdatedAt: zero,
	})
	require.NoError(w, err)
	return u
}

// elsewhere is another session of the same user.
func elsewhere(who stepup.Who) stepup.Who {
	who.SessionID = name("sid")
	return who
}

func (w *world) standing(who stepup.Who) stepup.Standing {
	w.Helper()
	st, err := w.s.Standing(w.Context(), who)
	require.NoError(w, err)
	return st
}

func prove(f reauth.Factor, role reauth.Role, ref string, at time.Time) *reauth.Proven {
	return &reauth.Proven{Factor: f, Role: role, Ref: ref, At: at}
}

// proved records that a factor was proven, and no more.
func (w *world) proved(who stepup.Who, p *reauth.Proven) {
	w.Helper()
	require.NoError(w, w.s.Succeed(w.Context(), stepup.Success{Who: who, At: p.At, Proven: p}))
}

// code is a code with every field set, not stored yet.
func code(who stepup.Who) stepup.Code {
	return stepup.Code{
		Who: who, ID: name("cod"), DeviceID: "device", Purpose: stepup.PurposeReverification, Subject: "rev_1", Factor: reauth.EmailCode,
		AddressHash: []byte("address\x00\xff"), MAC: []byte("mac\x00\xfe"), CreatedAt: at(0), ExpiresAt: at(5 * time.Minute),
	}
}

// begun stores a code.
func (w *world) begun(who stepup.Who, change ...func(*stepup.Code)) stepup.Code {
	w.Helper()
	c := code(who)
	for _, f := range change {
		f(&c)
	}
	_, err := w.s.BeginCode(w.Context(), c, c.CreatedAt)
	require.NoError(w, err)
	return c
}

// isLive reports whether a code is.
func (w *world) isLive(c stepup.Code) bool {
	w.Helper()
	got, err := w.s.LiveCode(w.Context(), c.Who, c.Purpose, at(time.Second))
	if err != nil {
		require.ErrorIs(w, err, consent.ErrNotFound)
		return false
	}
	return got.ID == c.ID
}

// started stores a reverification with every field set.
func (w *world) started(who stepup.Who) stepup.Reverification {
	w.Helper()
	r := stepup.Reverification{
		Who: who, ID: name("rev"), Level: "strict", Operation: "transfer", Details: consent.Sealed("\x00details"), Digest: "dig",
		SecondEnrolled: true, CreatedAt: at(0), ExpiresAt: at(10 * time.Minute),
	}
	require.NoError(w, w.s.CreateReverification(w.Context(), r))
	return r
}

func (w *world) lookReverification(r stepup.Reverification) stepup.Reverification {
	w.Helper()
	got, err := w.s.Reverification(w.Context(), r.Who, r.ID)
	require.NoError(w, err)
	return got
}

// factor is one that counts, not stored yet.
func factor(who stepup.Who, kind stepup.FactorKind) stepup.FactorRecord {
	return stepup.FactorRecord{
		EnrolledFactor: stepup.EnrolledFactor{ID: name("fac"), Kind: kind, Label: "Ada's", Address: "+442071838750", Ref: name("ref"), CreatedAt: at(0), VerifiedAt: at(1)},
		ApplicationID:  who.ApplicationID, UserID: who.UserID, Secret: consent.Sealed("secret\x00\xff"), LastStep: 100,
	}
}

// enrolled stores a factor that counts, and what of it is a backup code.
func (w *world) enrolled(who stepup.Who, kind stepup.FactorKind, codes ...string) stepup.FactorRecord {
	w.Helper()
	f := factor(who, kind)
	f.VerifiedAt = f.CreatedAt
	c := stepup.FactorChange{Who: who, At: f.CreatedAt, Add: &f}
	for _, code := range codes {
		c.BackupCodes = append(c.BackupCodes, []byte(code))
	}
	require.NoError(w, w.s.ChangeFactors(w.Context(), c))
	f.Left = len(codes)
	return f
}

func (w *world) lookFactor(f stepup.FactorRecord) stepup.FactorRecord {
	w.Helper()
	got, err := w.s.Factor(w.Context(), f.ApplicationID, f.UserID, f.ID)
	require.NoError(w, err)
	return got
}

func (w *world) unused(who stepup.Who) []string {
	w.Helper()
	list, err := w.s.BackupCodes(w.Context(), who.ApplicationID, who.UserID)
	require.NoError(w, err)
	hashes := []string{}
	for _, b := range list {
		if b.UsedAt.IsZero() {
			hashes = append(hashes, string(b.Hash))
		}
	}
	return hashes
}

// token is a step token with every field set that a new one has.
func token(who stepup.Who) stepup.StepToken {
	return stepup.StepToken{
		Who: who, Hash: []byte(name("hash") + "\x00\xff"), Kind: stepup.StepSudo, DeviceID: "device", Factor: reauth.PhoneCode, Ref: "ref",
		ProvenAt: at(0), CreatedAt: at(time.Second), ExpiresAt: at(15 * time.Minute),
	}
}

// issued stores a step token.
func (w *world) issued(who stepup.Who) stepup.StepToken {
	w.Helper()
	t := token(who)
	require.NoError(w, w.s.Succeed(w.Context(), stepup.Success{Who: who, At: at(time.Second), Issue: &t}))
	return t
}

func (w *world) lookToken(t stepup.StepToken) stepup.StepToken {
	w.Helper()
	got, err := w.s.StepToken(w.Context(), t.ApplicationID, t.Kind, t.Hash)
	require.NoError(w, err)
	return got
}

func proof(who stepup.Who) stepup.ProofRecord {
	return stepup.ProofRecord{
		Who: who, ID: name("jti"), Level: "critical", Operation: "transfer", Digest: "dig", CreatedAt: at(time.Second), ExpiresAt: at(10 * time.Minute),
	}
}

// minted stores a proof.
func (w *world) minted(who stepup.Who) stepup.ProofRecord {
	w.Helper()
	p := proof(who)
	require.NoError(w, w.s.Succeed(w.Context(), stepup.Success{Who: who, At: at(time.Second), Proof: &p}))
	return p
}

func (w *world) lookProof(p stepup.ProofRecord) stepup.ProofRecord {
	w.Helper()
	got, err := w.s.Proof(w.Context(), p.ApplicationID, p.ID)
	require.NoError(w, err)
	return got
}

// line is a line of audit with every field set.
func line(who stepup.Who) stepup.Audit {
	return stepup.Audit{
		ApplicationID: who.ApplicationID, ID: name("aud"), At: at(time.Second), UserID: who.UserID, SessionID: who.SessionID, DeviceID: "device",
		IPPrefix: "192.0.2.0/24", Action: stepup.ActionSucceeded, Reason: "because", Factor: reauth.TOTP, Level: "strict", Operation: "transfer", Subject: "rev_1",
	}
}

// audit returns all lines of an application, newest first.
func (w *world) audit(app string) []stepup.Audit {
	w.Helper()
	lines, err := w.s.ListAudit(w.Context(), app, stepup.AuditFilter{Limit: 1000})
	require.NoError(w, err)
	return lines
}

func (w *world) window(bucket string) string {
	w.Helper()
	text, err := w.s.Window(w.Context(), w.who.ApplicationID, bucket)
	require.NoError(w, err)
	return text
}

func (w *world) swap(bucket, old, changed string, log ...stepup.Audit) bool {
	w.Helper()
	ok, err := w.s.SwapWindow(w.Context(), w.who.ApplicationID, bucket, old, changed, at(0), log...)
	require.NoError(w, err)
	return ok
}

// many is how many goroutines race where a test races.
const many = 20

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
