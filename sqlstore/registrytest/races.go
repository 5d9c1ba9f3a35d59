package registrytest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
)

var raceTests = []test{
	{"Race/fifty claim one attempt", func(w *world) {
		c := w.stored()
		for round := range 3 { // started, then stale, then stale again
			a := w.begun(&c)
			for range round {
				_, err := w.r.ClaimAttempt(w.Context(), consent.Claim{ApplicationID: w.app.ID, AttemptID: a.ID, ClaimID: name("crashed"), Now: at(0), Until: at(0)})
				require.NoError(w, err)
			}
			var winner atomic.Value
			w.oneWon(w.race(func(int) error {
				got, err := w.r.ClaimAttempt(w.Context(), claim(a, at(time.Minute)))
				if err == nil {
					winner.Store(got.ClaimID)
				}
				return err
			}), consent.ErrBusy)
			got := w.lookAt(a)
			require.Equal(w, winner.Load(), got.ClaimID)
			_, err := w.r.FinishAttempt(w.Context(), finish(got, consent.AttemptDenied))
			require.NoError(w, err)
		}
	}},
	{"Race/fifty attempts of one consent", func(w *world) {
		c := w.stored()
		attempts := make([]consent.Attempt, many)
		for i := range attempts {
			attempts[i] = w.begun(&c)
		}
		w.oneWon(w.race(func(i int) error {
			a, err := w.r.ClaimAttempt(w.Context(), claim(attempts[i], at(time.Minute)))
			if err != nil {
				return err
			}
			if a.Status == consent.AttemptRenewed {
				return consent.ErrOvertaken
			}
			_, err = w.r.Renew(w.Context(), renewal(a, c))
			return err
		}), consent.ErrBusy, consent.ErrOvertaken)
		assert.Equal(w, 2, w.look(c).Cycle)
		assert.Equal(w, []consent.EventType{consent.EventLinked, consent.EventRenewed}, w.history(c))
		renewed := 0
		for _, a := range attempts {
			got, err := w.r.ClaimAttempt(w.Context(), claim(a, at(2*time.Minute)))
			require.NoError(w, err)
			require.Equal(w, consent.AttemptRenewed, got.Status)
			if got.Reason == "" {
				renewed++
			}
		}
		assert.Equal(w, 1, renewed, "the others are overtaken")
	}},
	{"Race/fifty completions under one claim", func(w *world) {
		c := w.stored()
		a := w.claimed(w.begun(&c))
		w.oneWon(w.race(func(i int) error {
			var err error
			if i%2 == 0 {
				_, err = w.r.Renew(w.Context(), renewal(a, c))
			} else {
				_, err = w.r.FinishAttempt(w.Context(), finish(a, consent.AttemptFailed))
			}
			return err
		}), consent.ErrClaimLost)
		got := w.look(c)
		if w.lookAt(a).Status == consent.AttemptRenewed {
			assert.Equal(w, 2, got.Cycle)
		} else {
			assert.Equal(w, c, got)
		}
	}},
	{"Race/fifty leases", func(w *world) {
		c := w.stored()
		w.oneWon(w.race(func(i int) error {
			_, err := w.r.Lease(w.Context(), w.app.ID, c.ID, fmt.Sprint(i), at(0), at(time.Minute))
			return err
		}), consent.ErrBusy)
	}},
	{"Race/a lease against a claim", func(w *world) {
		c := w.stored()
		a := w.begun(&c)
		w.oneWon(w.race(func(i int) error {
			if i%2 == 0 {
				_, err := w.r.Lease(w.Context(), w.app.ID, c.ID, fmt.Sprint(i), at(0), at(time.Minute))
				return err
			}
			_, err := w.r.ClaimAttempt(w.Context(), claim(a, at(0)))
			return err
		}), consent.ErrBusy)
	}},
	{"Race/tokens go to the holder of the lease", func(w *world) {
		c := w.stored()
		var mu sync.Mutex
		held := ""
		for range 2 {
			w.race(func(int) error {
				id := name("lease")
				if _, err := w.r.Lease(w.Context(), w.app.ID, c.ID, id, at(0), at(time.Minute)); err != nil {
					return err
				}
				u := newTokens(c, id)
				u.Tokens.Refresh = consent.Sealed(id)
				err := w.r.StoreTokens(w.Context(), u)
				mu.Lock()
				held = id
				mu.Unlock()
				return err
			})
			assert.Equal(w, consent.Sealed(held), w.look(c).Tokens.Refresh)
			require.NoError(w, w.r.EndLease(w.Context(), w.app.ID, c.ID, held))
		}
	}},
	{"Race/history has no gap and no double", func(w *world) {
		c := w.stored()
		errs := w.race(func(i int) error {
			for range 4 {
				a := w.attempt(&c)
				e := event(consent.EventAttemptStarted, nil)
				if err := w.r.BeginAttempt(w.Context(), a, &e); err != nil {
					return err
				}
				if i%2 == 0 {
					if err := w.r.SetOutlook(w.Context(), outlook(c, event(consent.EventReconfirmed, nil), event(consent.EventUserUnreachable, nil))); err != nil {
						return err
					}
					continue
				}
				f := finish(a, consent.AttemptFailed)
				failed := event(consent.EventAttemptFailed, nil)
				f.Event = &failed
				if _, err := w.r.FinishAttempt(w.Context(), f); err != nil {
					return err
				}
			}
			return nil
		})
		for _, err := range errs {
			require.NoError(w, err)
		}
		assert.Len(w, w.history(c), 1+many/2*4*3+many/2*4*2)
	}},
	{"Race/a revocation against renewals", func(w *world) {
		for range 5 {
			c := w.stored()
			a := w.claimed(w.begun(&c))
			errs := w.race(func(i int) error {
				if i%10 == 0 {
					_, err := w.r.Renew(w.Context(), renewal(a, c))
					return err
				}
				_, err := w.r.Revoke(w.Context(), consent.Revocation{ApplicationID: w.app.ID, ConsentID: c.ID, By: "user", At: at(time.Minute), Event: event(consent.EventRevoked, nil)})
				return err
			})
			for _, err := range errs {
				if err != nil {
					w.among(err, consent.ErrClaimLost, consent.ErrOvertaken)
				}
			}
			got := w.look(c)
			assert.Empty(w, got.Tokens.Refresh, "revoked at last, and without a token, in whichever order")
			revocations := 0
			for _, typ := range w.history(c) {
				if typ == consent.EventRevoked {
					revocations++
				}
			}
			assert.Equal(w, 1, revocations)
		}
	}},
	{"Race/failures that forget each other's access tokens", func(w *world) {
		// Each attempt writes to its own consent and then to all with the
		// login: whoever locks them in another order must not be left hanging.
		consents := make([]consent.Consent, 5)
		for i := range consents {
			consents[i] = w.stored(func(c *consent.Consent) { c.CredentialsID = "cred_came_back" })
		}
		errs := w.race(func(i int) error {
			c := consents[i%len(consents)]
			a := w.attempt(&c)
			if err := w.r.BeginAttempt(w.Context(), a, nil); err != nil {
				return err
			}
			f := finish(a, consent.AttemptMismatched)
			e := event(consent.EventMismatched, nil)
			f.Event, f.ForgetAccess = &e, true
			_, err := w.r.FinishAttempt(w.Context(), f)
			return err
		})
		for _, err := range errs {
			require.NoError(w, err)
		}
		for _, c := range consents {
			assert.Len(w, w.history(c), 1+many/len(consents))
			assert.Empty(w, w.look(c).Tokens.Access)
		}
	}},
	{"Race/fifty register the same, in opposite order", func(w *world) {
		const n = 8
		made := make([]consent.Consent, n)
		for i := range made {
			made[i] = w.consent()
		}
		var added [n]atomic.Int32
		errs := w.race(func(i int) error {
			regs := make([]consent.Registration, n)
			for j := range regs {
				c := made[(j*(1-2*(i%2))+n)%n]
				c.ID = name("con")
				regs[j] = w.registration(c)
				regs[j].TokenHash = []byte("same " + c.CredentialsID)
			}
			got, err := w.r.Register(w.Context(), w.app.ID, regs)
			for j := range got {
				if got[j] {
					added[(j*(1-2*(i%2))+n)%n].Add(1)
				}
			}
			return err
		})
		for _, err := range errs {
			require.NoError(w, err)
		}
		for i := range added {
			assert.EqualValues(w, 1, added[i].Load())
			found := w.find(consent.Find{UserID: made[i].UserID})
			require.Len(w, found, 1)
			assert.Len(w, w.history(consent.Consent{ApplicationID: w.app.ID, ID: found[0]}), 1)
		}
	}},
	{"Race/links and activations of one login", func(w *world) {
		user, login := name("user"), name("cred")
		type trip struct {
			a consent.Attempt
			c consent.Consent
		}
		trips := make([]trip, many)
		for i := range trips {
			a := w.claimed(w.begun(nil))
			if i%2 == 0 {
				trips[i] = trip{a: a}
				continue
			}
			l := w.unconfirmed(a)
			l.Registration.Consent.UserID, l.Registration.Consent.CredentialsID = user, login
			c, err := w.r.Link(w.Context(), l)
			require.NoError(w, err)
			trips[i] = trip{a: w.confirming(a), c: c}
		}
		w.oneWon(w.race(func(i int) error {
			if i%2 == 1 {
				_, err := w.r.Activate(w.Context(), activation(trips[i].a, trips[i].c))
				return err
			}
			c := w.consent()
			c.UserID, c.CredentialsID = user, login
			_, err := w.r.Link(w.Context(), w.linkage(trips[i].a, c))
			return err
		}), consent.ErrExists)
	}},
	{"Race/grants are given back by one of us each", func(w *world) {
		const n = 30
		for range n {
			w.queued()
		}
		var taken atomic.Int32
		errs := w.race(func(int) error {
			got, err := w.r.ClaimGiveBacks(w.Context(), at(0), at(time.Hour), 7)
			for _, g := range got {
				if g.ApplicationID == w.app.ID {
					taken.Add(1)
				}
			}
			return err
		})
		for _, err := range errs {
			require.NoError(w, err)
		}
		assert.EqualValues(w, n, int(taken.Load())+len(w.due(at(0), at(time.Hour))), "each once")
		assert.Empty(w, w.due(at(0), at(time.Hour)))
	}},
	{"Race/an erasure against links", func(w *world) {
		u := w.user()
		_, err := w.r.PutUser(w.Context(), u)
		require.NoError(w, err)
		attempts := make([]consent.Attempt, many)
		for i := range attempts {
			attempts[i] = w.claimed(w.begun(nil))
		}
		errs := w.race(func(i int) error {
			if i%10 == 0 {
				return w.r.EraseUser(w.Context(), w.app.ID, u.ID, "erased_"+u.ID)
			}
			c := w.consent()
			c.UserID = u.ID
			_, err := w.r.Link(w.Context(), w.linkage(attempts[i], c))
			return err
		})
		for _, err := range errs {
			if err != nil {
				w.among(err, consent.ErrBusy, consent.ErrNotFound)
			}
		}
		for _, id := range w.find(consent.Find{UserID: "erased_" + u.ID}) {
			c, err := w.r.Consent(w.Context(), w.app.ID, id)
			require.NoError(w, err)
			assert.False(w, c.RevokedAt.IsZero(), "no living consent loses its user")
		}
	}},
}
