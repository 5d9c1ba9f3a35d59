package reauthtest

import (
	"fmt"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/stepup"
)

// odd are texts that not every database keeps.
var odd = []string{"nul \x00 inside", "bad \xff utf8", "half \xed\xa0\x80 pair"}

var byteTests = []test{
	{"Text/asking for what cannot be there is no fault", func(w *world) {
		app, ctx := w.who.ApplicationID, w.Context()
		for _, s := range odd {
			strange := stepup.Who{ApplicationID: app, UserID: s, SessionID: s}
			for method, call := range map[string]func() error{
				"Standing":       func() error { _, err := w.s.Standing(ctx, strange); return err },
				"ReauthSettings": func() error { _, err := w.s.ReauthSettings(ctx, s); return err },
				"BeginCode":      func() error { _, err := w.s.BeginCode(ctx, code(strange), at(0)); return err },
				"LiveCode":       func() error { _, err := w.s.LiveCode(ctx, strange, stepup.Purpose(s), at(0)); return err },
				"TryCode":        func() error { _, err := w.s.TryCode(ctx, app, s, at(0)); return err },
				"EndCode":        func() error { return w.s.EndCode(ctx, app, s, at(0)) },
				"CreateReverification": func() error {
					return w.s.CreateReverification(ctx, stepup.Reverification{Who: strange, ID: name("rev"), CreatedAt: at(0), ExpiresAt: at(1)})
				},
				"Reverification":     func() error { _, err := w.s.Reverification(ctx, w.who, s); return err },
				"ReverificationByID": func() error { _, err := w.s.ReverificationByID(ctx, app, s); return err },
				"Prepare":            func() error { return w.s.Prepare(ctx, w.who, s, consent.Sealed("x")) },
				"TakePrepared":       func() error { _, err := w.s.TakePrepared(ctx, w.who, s); return err },
				"Succeed":            func() error { return w.s.Succeed(ctx, stepup.Success{Who: strange, At: at(0)}) },
				"Factor":             func() error { _, err := w.s.Factor(ctx, app, s, s); return err },
				"ChangeFactors":      func() error { return w.s.ChangeFactors(ctx, stepup.FactorChange{Who: strange, At: at(0)}) },
				"Clear":              func() error { return w.s.Clear(ctx, strange, at(0), line(w.who)) },
				"Proof":              func() error { _, err := w.s.Proof(ctx, app, s); return err },
				"UseProof":           func() error { return w.s.UseProof(ctx, app, s, at(0), stepup.Answer{}) },
				"StepToken":          func() error { _, err := w.s.StepToken(ctx, app, stepup.StepKind(s), []byte(s)); return err },
				"Answered":           func() error { _, err := w.s.Answered(ctx, app, s, at(0)); return err },
				"DropProofKey":       func() error { return w.s.DropProofKey(ctx, s) },
			} {
				assert.ErrorIs(w, call(), consent.ErrNotFound, "%s %q", method, s)
			}
			for part, success := range map[string]stepup.Success{
				"code": {CodeID: s}, "step": {Step: &stepup.FactorStep{FactorID: s}}, "backup code": {BackupCode: &stepup.BackupUse{FactorID: s, Hash: []byte(s)}},
				"reverification": {ReverificationID: s}, "token": {Token: []byte(s)},
			} {
				success.Who, success.At = w.who, at(0)
				assert.ErrorIs(w, w.s.Succeed(ctx, success), consent.ErrClaimLost, "%s %q", part, s)
			}
			assert.ErrorIs(w, w.s.ChangeFactors(ctx, stepup.FactorChange{Who: w.who, At: at(0), Remove: []string{s}}), consent.ErrClaimLost)
			text, err := w.s.Window(ctx, app, s)
			require.NoError(w, err)
			assert.Empty(w, text)
			records, err := w.s.FactorRecords(ctx, app, s, stepup.FactorKind(s))
			require.NoError(w, err)
			assert.Empty(w, records)
			backup, err := w.s.BackupCodes(ctx, app, s)
			require.NoError(w, err)
			assert.Empty(w, backup)
			lines, err := w.s.ListAudit(ctx, app, stepup.AuditFilter{UserID: s, Actions: []stepup.Action{stepup.Action(s)}, Before: s, Limit: 9})
			require.NoError(w, err)
			assert.Empty(w, lines)
		}
	}},
	{"Text/that no database keeps is refused or kept, never changed", func(w *world) {
		ctx := w.Context()
		for _, s := range odd {
			p := w.minted(w.who)
			for what, call := range map[string]func() error{
				"session": func() error {
					who := w.who
					who.SessionID = s
					return w.s.Succeed(ctx, stepup.Success{Who: who, At: at(time.Minute), Proven: prove(reauth.Password, reauth.First, "", at(time.Minute))})
				},
				"code": func() error {
					c := code(elsewhere(w.who))
					c.DeviceID = s
					_, err := w.s.BeginCode(ctx, c, at(0))
					return err
				},
				"reverification": func() error {
					return w.s.CreateReverification(ctx, stepup.Reverification{Who: w.who, ID: name("rev"), Operation: s, CreatedAt: at(0), ExpiresAt: at(1)})
				},
				"window": func() error { _, err := w.s.SwapWindow(ctx, w.who.ApplicationID, s, "", "1", at(0)); return err },
				"window's lines": func() error {
					_, err := w.s.SwapWindow(ctx, w.who.ApplicationID, "lines "+s, "", "1", at(0), line(w.who))
					return err
				},
				"budget": func() error { _, err := w.s.Take(ctx, w.who.ApplicationID, s, zero, 1, 1); return err },
				"key": func() error {
					return w.s.UseProof(ctx, p.ApplicationID, p.ID, at(time.Minute), stepup.Answer{ApplicationID: p.ApplicationID, Key: s, At: at(0)})
				},
				"token": func() error {
					t := token(w.who)
					t.Ref = s
					return w.s.Succeed(ctx, stepup.Success{Who: w.who, At: at(time.Minute), Issue: &t})
				},
			} {
				if err := call(); err != nil {
					w.among(fmt.Errorf("%s %q: %w", what, s, err), consent.ErrRejected, consent.ErrNotFound)
				}
			}
			f := factor(w.who, stepup.KindPasskey)
			f.Label, f.VerifiedAt = s, f.CreatedAt
			if err := w.s.ChangeFactors(ctx, stepup.FactorChange{Who: w.who, At: at(0), Add: &f}); err != nil {
				require.ErrorIs(w, err, consent.ErrRejected)
				continue
			}
			assert.Equal(w, f, w.lookFactor(f))
			assert.Len(w, w.standing(w.who).Factors, 1, "and the rest of the standing can be read")
			require.NoError(w, w.s.ChangeFactors(ctx, stepup.FactorChange{Who: w.who, At: at(0), Remove: []string{f.ID}}))
		}
	}},
	{"Text/of all languages, and what looks like SQL or JSON", func(w *world) {
		for _, s := range []string{"Žižkov 銀行 🏦", "'; DROP TABLE audit; --", `":name" :app ? $1 \ %_ {"a":[null]}`, strings.Repeat("x", 2000), "\u200fעברית", "line\nbreak\ttab", "\u0001\u001f\u2028"} {
			who := stepup.Who{ApplicationID: w.who.ApplicationID, UserID: name("u") + s, SessionID: s}
			w.put(who)
			f := factor(who, stepup.KindPasskey)
			f.Label, f.VerifiedAt = s, f.CreatedAt
			require.NoError(w, w.s.ChangeFactors(w.Context(), stepup.FactorChange{Who: who, At: at(0), Add: &f}))
			p := prove(reauth.Passkey, reauth.First, s, at(time.Minute))
			w.proved(who, p)
			st := w.standing(who)
			assert.Equal(w, []reauth.Proven{*p}, st.Proven)
			assert.Equal(w, []stepup.EnrolledFactor{f.EnrolledFactor}, st.Factors)
			l := line(who)
			l.Operation = s
			require.NoError(w, w.s.Record(w.Context(), l))
			assert.Equal(w, l, w.audit(who.ApplicationID)[0])
		}
	}},
	{"Text/too long for a key is refused or kept", func(w *world) {
		long := make([]byte, 0, 1<<15) // which does not compress
		for i := uint32(1); len(long) < 1<<15; i = i*1664525 + 1013904223 {
			long = append(long, 'a'+byte(i>>24)%26)
		}
		who := w.who
		who.SessionID = string(long)
		for what, err := range map[string]error{
			"session": w.s.Succeed(w.Context(), stepup.Success{Who: who, At: at(time.Minute), Proven: prove(reauth.Password, reauth.First, "", at(time.Minute))}),
			"code":    func() error { _, err := w.s.BeginCode(w.Context(), code(who), at(0)); return err }(),
			"window": func() error {
				_, err := w.s.SwapWindow(w.Context(), who.ApplicationID, string(long), "", "1", at(0))
				return err
			}(),
		} {
			if err != nil {
				w.among(fmt.Errorf("%s: %w", what, err), consent.ErrRejected)
			}
		}
		w.standing(who)
	}},
	{"Bytes/what is returned is the caller's own", func(w *world) {
		f := w.enrolled(w.who, stepup.KindTOTP)
		clear(w.lookFactor(f).Secret)
		assert.Equal(w, f, w.lookFactor(f))
	}},
}
