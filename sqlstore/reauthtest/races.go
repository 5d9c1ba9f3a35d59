package reauthtest

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/stepup"
)

var raceTests = []test{
	{"Race/twenty use up one of each", func(w *world) {
		for part, only := range map[string]func(s stepup.Success) stepup.Success{
			"code":        func(s stepup.Success) stepup.Success { return stepup.Success{CodeID: s.CodeID} },
			"TOTP step":   func(s stepup.Success) stepup.Success { return stepup.Success{Step: s.Step} },
			"backup code": func(s stepup.Success) stepup.Success { return stepup.Success{BackupCode: s.BackupCode} },
			"step token":  func(s stepup.Success) stepup.Success { return stepup.Success{Token: s.Token} },
			"reverification": func(s stepup.Success) stepup.Success {
				return stepup.Success{ReverificationID: s.ReverificationID, Complete: true}
			},
			"answer": func(s stepup.Success) stepup.Success { return stepup.Success{Answer: s.Answer} },
			"passkey": func(s stepup.Success) stepup.Success {
				return stepup.Success{Step: &stepup.FactorStep{FactorID: s.Step.FactorID, Secret: consent.Sealed("next"), Was: consent.Sealed("secret\x00\xff")}}
			},
		} {
			t := newTrial(newWorld(w.T, w.s))
			t.oneWon(t.race(func(i int) error {
				s := only(t.success)
				s.Who, s.At, s.Proven = t.who, t.success.At, prove(reauth.TOTP, reauth.Second, fmt.Sprint(i), t.success.At)
				p := proof(t.who)
				s.Proof, s.Log = &p, []stepup.Audit{line(t.who)}
				return t.s.Succeed(t.Context(), s)
			}), consent.ErrClaimLost)
			assert.Len(w, t.standing(t.who).Proven, 1, part)
			assert.Len(w, t.audit(t.who.ApplicationID), 1, part)
		}
	}},
	{"Race/twenty use one proof", func(w *world) {
		p := w.minted(w.who)
		w.oneWon(w.race(func(int) error {
			return w.s.UseProof(w.Context(), p.ApplicationID, p.ID, at(time.Minute), stepup.Answer{}, line(w.who))
		}), consent.ErrClaimLost)
		assert.Len(w, w.audit(w.who.ApplicationID), 1)
	}},
	{"Race/twenty take one challenge", func(w *world) {
		r := w.started(w.who)
		require.NoError(w, w.s.Prepare(w.Context(), w.who, r.ID, consent.Sealed("x")))
		w.oneWon(w.race(func(int) error {
			_, err := w.s.TakePrepared(w.Context(), w.who, r.ID)
			return err
		}), consent.ErrNotFound)
	}},
	{"Race/twenty guess at one code, five are let", func(w *world) {
		c := w.begun(w.who)
		var tries atomic.Int64
		for _, err := range w.race(func(int) error {
			got, err := w.s.TryCode(w.Context(), c.ApplicationID, c.ID, at(0))
			if err == nil {
				tries.Add(1 << (8 * (got.Tries - 1)))
			}
			return err
		}) {
			if err != nil {
				w.among(err, consent.ErrClaimLost)
			}
		}
		assert.EqualValues(w, 0x0101010101, tries.Load(), "each of the five once")
	}},
	{"Race/twenty codes begin, one is live", func(w *world) {
		for range 3 {
			who := elsewhere(w.who)
			w.begun(who, func(c *stepup.Code) { c.CreatedAt = at(-time.Hour) })
			codes := make([]stepup.Code, many)
			errs := w.race(func(i int) error {
				c := code(who)
				codes[i] = c
				earlier, err := w.s.BeginCode(w.Context(), c, c.CreatedAt.Add(-30*time.Second), line(who))
				if err != nil && !earlier.Equal(c.CreatedAt) {
					return fmt.Errorf("earlier is %s", earlier)
				}
				return err
			})
			w.oneWon(errs, consent.ErrBusy)
			for i, err := range errs {
				assert.Equal(w, err == nil, w.isLive(codes[i]))
			}
		}
		assert.Len(w, w.audit(w.who.ApplicationID), 3)
	}},
	{"Race/twenty codes replace each other, one is live", func(w *world) {
		codes := make([]stepup.Code, many)
		errs := w.race(func(i int) error {
			c := code(w.who)
			codes[i] = c
			_, err := w.s.BeginCode(w.Context(), c, c.CreatedAt)
			return err
		})
		live := 0
		for i, err := range errs {
			if err != nil {
				w.among(err, consent.ErrBusy)
			}
			if _, err := w.s.TryCode(w.Context(), codes[i].ApplicationID, codes[i].ID, at(0)); err == nil {
				live++
			}
		}
		assert.Equal(w, 1, live)
	}},
	{"Race/twenty count one call each, none is lost", func(w *world) {
		var lost atomic.Int64
		for _, err := range w.race(func(i int) error {
			for {
				was, err := w.s.Window(w.Context(), w.who.ApplicationID, "b")
				if err != nil {
					return err
				}
				var log []stepup.Audit
				if i%2 == 0 {
					log = append(log, line(w.who))
				}
				ok, err := w.s.SwapWindow(w.Context(), w.who.ApplicationID, "b", was, was+"x", at(0), log...)
				if err != nil || ok {
					return err
				}
				lost.Add(1)
			}
		}) {
			require.NoError(w, err)
		}
		assert.Equal(w, strings.Repeat("x", many), w.window("b"))
		assert.Len(w, w.audit(w.who.ApplicationID), many/2)
	}},
	{"Race/twenty prove something in one session, none is lost", func(w *world) {
		for _, err := range w.race(func(i int) error {
			return w.s.Succeed(w.Context(), stepup.Success{Who: w.who, At: at(time.Minute), Proven: prove(reauth.PhoneCode, reauth.First, fmt.Sprint(i), at(time.Minute))})
		}) {
			require.NoError(w, err)
		}
		assert.Len(w, w.standing(w.who).Proven, many)
	}},
	{"Race/what is proven while the session ends is before or lost", func(w *world) {
		for range 5 {
			who := elsewhere(w.who)
			proofs := make([]stepup.ProofRecord, many)
			all := who
			if serial.Load()%2 == 0 {
				all.SessionID = ""
			}
			for i, err := range w.race(func(i int) error {
				if i == many/2 {
					return w.s.Clear(w.Context(), all, at(2*time.Minute), line(who))
				}
				proofs[i] = proof(who)
				return w.s.Succeed(w.Context(), stepup.Success{Who: who, At: at(time.Minute), Proven: prove(reauth.Password, reauth.First, "", at(time.Minute)), Proof: &proofs[i]})
			}) {
				if i == many/2 {
					require.NoError(w, err)
					continue
				}
				if err != nil {
					w.among(err, consent.ErrClaimLost)
					continue
				}
				assert.Equal(w, at(2*time.Minute), w.lookProof(proofs[i]).EndedAt, "none outlives its session")
			}
			assert.Empty(w, w.standing(who).Proven)
		}
	}},
	{"Race/factors change under what is being proven", func(w *world) {
		f := w.enrolled(w.who, stepup.KindTOTP)
		proofs := make([]stepup.ProofRecord, many)
		for i, err := range w.race(func(i int) error {
			if i == many/2 {
				return w.s.ChangeFactors(w.Context(), stepup.FactorChange{Who: w.who, At: at(2 * time.Minute), Remove: []string{f.ID}})
			}
			proofs[i] = proof(w.who)
			return w.s.Succeed(w.Context(), stepup.Success{
				Who: w.who, At: at(time.Minute), Step: &stepup.FactorStep{FactorID: f.ID}, Proof: &proofs[i],
			})
		}) {
			switch {
			case i == many/2:
				require.NoError(w, err)
			case err != nil:
				w.among(err, consent.ErrClaimLost)
			default:
				assert.False(w, w.lookProof(proofs[i]).EndedAt.IsZero())
			}
		}
	}},
	{"Race/an erasure leaves nothing of what is under way", func(w *world) {
		for range 5 {
			who := w.user(w.who.ApplicationID)
			ctx := w.Context()
			revs, proofs, old := make([]stepup.Reverification, many), make([]stepup.ProofRecord, many), make([]stepup.ProofRecord, many)
			for i := range old {
				old[i] = w.minted(who)
			}
			for _, err := range w.race(func(i int) error {
				mine := elsewhere(who)
				revs[i] = stepup.Reverification{Who: mine, ID: name("rev"), CreatedAt: at(0), ExpiresAt: at(day)}
				proofs[i] = proof(mine)
				switch i % 6 {
				case 5:
					return w.s.UseProof(ctx, who.ApplicationID, old[i].ID, at(time.Minute), stepup.Answer{}, line(who))
				case 0:
					return w.s.EraseUser(ctx, who.ApplicationID, who.UserID, "erased_"+who.UserID)
				case 1:
					return w.s.CreateReverification(ctx, revs[i], line(mine))
				case 2:
					_, err := w.s.BeginCode(ctx, code(mine), at(0))
					return err
				case 3:
					f := factor(mine, stepup.KindTOTP)
					return w.s.ChangeFactors(ctx, stepup.FactorChange{Who: mine, At: at(0), Add: &f})
				default:
					return w.s.Succeed(ctx, stepup.Success{Who: mine, At: at(time.Minute), Proven: prove(reauth.Password, reauth.First, "", at(time.Minute)), Proof: &proofs[i]})
				}
			}) {
				if err != nil {
					w.among(err, consent.ErrNotFound, consent.ErrBusy, consent.ErrClaimLost) // the last by the change of factors
				}
			}
			lines, err := w.s.ListAudit(ctx, who.ApplicationID, stepup.AuditFilter{UserID: who.UserID, Limit: 9})
			require.NoError(w, err)
			assert.Empty(w, lines)
			w.put(who)
			assert.Empty(w, w.standing(who).Factors)
			for i := range many {
				_, err := w.s.ReverificationByID(ctx, who.ApplicationID, revs[i].ID)
				require.ErrorIs(w, err, consent.ErrNotFound)
				_, err = w.s.Proof(ctx, who.ApplicationID, proofs[i].ID)
				require.ErrorIs(w, err, consent.ErrNotFound)
				assert.Empty(w, w.standing(revs[i].Who).Proven)
			}
		}
	}},
	{"Race/users prove, lose and change things at once, and nobody is left hanging", func(w *world) {
		f := w.enrolled(w.who, stepup.KindBackupCodes, "a")
		for _, err := range w.race(func(i int) error {
			ctx := w.Context()
			for range 5 {
				var err error
				switch i % 4 {
				case 0:
					err = w.s.Clear(ctx, w.who, at(0), line(w.who))
				case 1:
					g := factor(w.who, stepup.KindTOTP)
					err = w.s.ChangeFactors(ctx, stepup.FactorChange{Who: w.who, At: at(0), Add: &g, ForgetRefs: []string{"x"}})
				case 2:
					_, err = w.s.BeginCode(ctx, code(w.who), at(0))
				default:
					t := token(w.who)
					err = w.s.Succeed(ctx, stepup.Success{Who: w.who, At: at(time.Minute), Proven: prove(reauth.Password, reauth.First, "x", at(time.Minute)), Issue: &t,
						Step: &stepup.FactorStep{FactorID: f.ID}, RefundFrom: "b", Refund: at(0)})
				}
				if err != nil {
					return err
				}
			}
			return nil
		}) {
			if err != nil {
				w.among(err, consent.ErrBusy)
			}
		}
	}},
}
