package stepup_test

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/internal/pgtest"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/passkey/passkeytest"
	"github.com/reconsent/reconsent/reauth/proof"
	"github.com/reconsent/reconsent/reauth/stepup"
	"github.com/reconsent/reconsent/sqlstore"
)

// answer gives a reverification of an id what it asks for.
type answer = func(id string) stepup.Proof

// refused holds an error to its code, and returns it.
func (w *world) refused(code consent.Code, err error, about ...any) consent.Error {
	w.Helper()
	require.Error(w, err, about...)
	var e *consent.Error
	require.ErrorAs(w, err, &e, about...)
	require.Equal(w, code, e.Code, about...)
	return *e
}

// shortOf holds an error to the challenge, and returns it.
func (w *world) shortOf(err error, about ...any) stepup.Short {
	w.Helper()
	var short *stepup.Short
	require.ErrorAs(w, err, &short, about...)
	return *short
}

// in is ada in another session.
func (w *world) in(session string) *stepup.Caller {
	w.Helper()
	return w.caller(jwt.MapClaims{"sid": session})
}

// of is a user of an application.
func (w *world) of(a *consent.Application, claims jwt.MapClaims) *stepup.Caller {
	w.Helper()
	c, err := w.Identify(ctx(w), stepup.Request{Authorization: []string{"Bearer " + w.token(a, claims)}, Applications: []string{a.ID}})
	require.NoError(w, err)
	return c
}

// change registers a user anew, as change leaves them.
func (w *world) change(id string, change func(*consent.User)) {
	w.Helper()
	u, err := w.store.User(ctx(w), w.app.ID, id)
	require.NoError(w, err)
	change(&u)
	_, err = w.store.PutUser(ctx(w), u)
	require.NoError(w, err)
}

// settle changes the application's settings.
func (w *world) settle(change func(*stepup.Settings)) {
	w.Helper()
	s, err := w.ReadSettings(ctx(w), w.app.ID)
	require.NoError(w, err)
	change(&s)
	require.NoError(w, w.PutSettings(ctx(w), s))
}

func (w *world) erase(id string) {
	w.Helper()
	require.NoError(w, w.store.EraseUser(ctx(w), w.app.ID, id, "erased-"+id))
}

// sent is how many codes went out, and told how many notices of an event did.
func (w *world) sent() int {
	w.post.mu.Lock()
	defer w.post.mu.Unlock()
	return len(w.post.codes)
}

func (w *world) told(e stepup.Event) (found []stepup.Notice) {
	w.post.mu.Lock()
	defer w.post.mu.Unlock()
	for _, n := range w.post.notices {
		if n.Event == e {
			found = append(found, n)
		}
	}
	return found
}

// trail is the audit of ada, the newest first, of some actions or all.
func (w *world) trail(actions ...stepup.Action) []stepup.Audit {
	w.Helper()
	lines, err := w.AuditTrail(ctx(w), w.app.ID, stepup.AuditFilter{UserID: "ada", Actions: actions, Limit: 500})
	require.NoError(w, err)
	return lines
}

// begun is a reverification that waits for its first answer.
func (w *world) begun(c *stepup.Caller, ask stepup.Ask) stepup.View {
	w.Helper()
	v, err := w.Begin(ctx(w), c, stepup.Begin{Ask: ask})
	require.NoError(w, err)
	return v
}

// byCode has a code sent and answers with it.
func (w *world) byCode(c *stepup.Caller, f reauth.Factor) answer {
	return func(id string) stepup.Proof {
		w.Helper()
		_, _, err := w.Prepare(ctx(w), c, id, f, "")
		require.NoError(w, err)
		return stepup.Proof{Strategy: f, Code: w.code()}
	}
}

func byTOTP(w *world, secret string) answer {
	return func(string) stepup.Proof { return stepup.Proof{Strategy: reauth.TOTP, Code: w.shows(secret, 0)} }
}

// shows is what an authenticator app shows whose clock is off.
func (w *world) shows(secret string, off time.Duration) string {
	w.Helper()
	text, err := totp.GenerateCodeCustom(secret, w.clock.Now().Add(off), totp.ValidateOpts{Period: 30, Digits: otp.DigitsSix})
	require.NoError(w, err)
	return text
}

// another code than this one, of the same form.
func wrongFor(code string) string {
	return strings.Map(func(r rune) rune { return '0' + (r-'0'+1)%10 }, code)
}

// strongest is a proof by which factors may be changed.
func (w *world) strongest(c *stepup.Caller, answers ...answer) string {
	w.Helper()
	v := w.prove(c, stepup.Ask{Level: "strict_mfa", Operation: stepup.OperationFactors}, answers...)
	require.Equal(w, stepup.Complete, v.Status)
	require.NotEmpty(w, v.Proof)
	return v.Proof
}

// withTOTP gives a caller an authenticator app, and returns its secret and id.
// answers prove the strongest level that was there before.
func (w *world) withTOTP(c *stepup.Caller, answers ...answer) (secret, id string) {
	w.Helper()
	begun, err := w.Enrol(ctx(w), c, stepup.KindTOTP, "", "", w.strongest(c, answers...))
	require.NoError(w, err)
	_, err = w.VerifyFactor(ctx(w), c, begun.Factor.ID, stepup.Proof{Code: w.shows(begun.Secret, 0)})
	require.NoError(w, err)
	w.advance(time.Minute) // the step is used
	return begun.Secret, begun.Factor.ID
}

// withPhone has a caller enrol a number as second factor.
func (w *world) withPhone(c *stepup.Caller, number string, answers ...answer) string {
	w.Helper()
	begun, err := w.Enrol(ctx(w), c, stepup.KindPhone, "", number, w.strongest(c, answers...))
	require.NoError(w, err)
	_, err = w.VerifyFactor(ctx(w), c, begun.Factor.ID, stepup.Proof{Code: w.code()})
	require.NoError(w, err)
	w.advance(time.Minute)
	return begun.Factor.ID
}

// withBackup gives a caller backup codes.
func (w *world) withBackup(c *stepup.Caller, answers ...answer) []string {
	w.Helper()
	made, err := w.Enrol(ctx(w), c, stepup.KindBackupCodes, "", "", w.strongest(c, answers...))
	require.NoError(w, err)
	w.advance(time.Minute)
	return made.Codes
}

func newAuthenticator(t testing.TB) *passkeytest.Authenticator {
	t.Helper()
	return passkeytest.New(t, "app.example", "https://app.example")
}

// withPasskey gives a caller a passkey that verifies them.
func (w *world) withPasskey(c *stepup.Caller, answers ...answer) (*passkeytest.Authenticator, string) {
	w.Helper()
	key := newAuthenticator(w.T)
	return key, w.enrolled(key, c, answers...)
}

// withPossession gives a caller a passkey that cannot verify them.
func (w *world) withPossession(c *stepup.Caller, answers ...answer) *passkeytest.Authenticator {
	w.Helper()
	key := newAuthenticator(w.T)
	key.Flags = passkeytest.UserPresent
	w.enrolled(key, c, answers...)
	return key
}

// enrolled enrols a passkey, and uses it for the first time.
func (w *world) enrolled(key *passkeytest.Authenticator, c *stepup.Caller, answers ...answer) (id string) {
	w.Helper()
	begun, err := w.Enrol(ctx(w), c, stepup.KindPasskey, "", "", w.strongest(c, answers...))
	require.NoError(w, err)
	_, err = w.VerifyFactor(ctx(w), c, begun.Factor.ID, stepup.Proof{Credential: key.Create(begun.Options)})
	require.NoError(w, err)
	w.advance(time.Minute)
	return begun.Factor.ID
}

// byPasskey has a challenge made and signs it.
func (w *world) byPasskey(c *stepup.Caller, key *passkeytest.Authenticator) answer {
	return func(id string) stepup.Proof {
		w.Helper()
		_, p, err := w.Prepare(ctx(w), c, id, reauth.Passkey, "")
		require.NoError(w, err)
		key.Count++
		return stepup.Proof{Strategy: reauth.Passkey, Credential: key.Get(p.Options)}
	}
}

// claims are what a proof says, by the keys that are published.
func (w *world) claims(text string) proof.Claims {
	w.Helper()
	c, err := proof.Verify(text, w.published(), proof.Want{Issuer: ourBase, Audience: w.app.ID, Now: w.clock.Now()})
	require.NoError(w, err)
	return c
}

// use is ada's proof at a backend, in session s1.
func use(text, operation string) stepup.Use {
	return stepup.Use{Proof: text, UserID: "ada", SessionID: "s1", Operation: operation}
}

// good uses something up and expects that to work.
func (w *world) good(in stepup.Use) stepup.Used {
	w.Helper()
	used, err := w.Use(ctx(w), w.app.ID, in)
	require.NoError(w, err)
	require.True(w, used.Valid)
	return used
}

// fresh says whether a level is met.
func (w *world) fresh(c *stepup.Caller, level string) bool {
	w.Helper()
	out, err := w.Check(ctx(w), c, stepup.Ask{Level: level})
	require.NoError(w, err)
	return out.Challenge == nil
}

// atOnce runs n of something in the same moment and counts those that went
// well. What the others are told is among expected.
func (w *world) atOnce(n int, do func(i int) error, expected ...consent.Code) (won int) {
	w.Helper()
	errs := make([]error, n)
	begin := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-begin
			errs[i] = do(i)
		})
	}
	close(begin)
	all.Wait()
	for _, err := range errs {
		if err == nil {
			won++
			continue
		}
		assert.Contains(w, expected, consent.CodeOf(err), err.Error())
	}
	return won
}

// databaseBytes is everything that the database holds: its files, or a dump.
func (w *world) databaseBytes() string {
	w.Helper()
	if onPostgres {
		return pgtest.Dump(w.T, w.url)
	}
	all := ""
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(strings.TrimPrefix(w.url, "sqlite:") + suffix)
		require.NoError(w, err)
		all += string(b)
	}
	return all
}

// meddler is a database in which something happens just before a write.
type meddler struct {
	*sqlstore.Store
	before func()
}

func (m *meddler) happen() {
	if f := m.before; f != nil {
		m.before = nil
		f()
	}
}

func (m *meddler) BeginCode(ctx context.Context, c stepup.Code, notBefore time.Time, log ...stepup.Audit) (time.Time, error) {
	m.happen()
	return m.Store.BeginCode(ctx, c, notBefore, log...)
}

func (m *meddler) CreateReverification(ctx context.Context, r stepup.Reverification, log ...stepup.Audit) error {
	m.happen()
	return m.Store.CreateReverification(ctx, r, log...)
}

func (m *meddler) Succeed(ctx context.Context, s stepup.Success) error {
	m.happen()
	return m.Store.Succeed(ctx, s)
}

func (m *meddler) ChangeFactors(ctx context.Context, c stepup.FactorChange) error {
	m.happen()
	return m.Store.ChangeFactors(ctx, c)
}

func (m *meddler) UseProof(ctx context.Context, applicationID, id string, at time.Time, a stepup.Answer, log ...stepup.Audit) error {
	m.happen()
	return m.Store.UseProof(ctx, applicationID, id, at, a, log...)
}

func (m *meddler) Prepare(ctx context.Context, who stepup.Who, id string, challenge consent.Sealed, log ...stepup.Audit) error {
	m.happen()
	return m.Store.Prepare(ctx, who, id, challenge, log...)
}

func (m *meddler) DropProofKey(ctx context.Context, id string) error {
	m.happen()
	return m.Store.DropProofKey(ctx, id)
}

// stolen is a database whose codes somebody reads as they are written.
type stolen struct {
	meddler
	code, hollow stepup.Code
}

func (s *stolen) BeginCode(ctx context.Context, c stepup.Code, notBefore time.Time, log ...stepup.Audit) (time.Time, error) {
	if s.code = c; c.Hollow {
		s.hollow = c
	}
	return s.meddler.BeginCode(ctx, c, notBefore, log...)
}
