package reauthtest

import (
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/stepup"
)

var standingTests = []test{
	{"Standing/of a user who has nothing", func(w *world) {
		assert.Equal(w, stepup.Standing{User: w.put(w.who)}, w.standing(w.who))
	}},
	{"Standing/unknown user", func(w *world) {
		_, err := w.s.Standing(w.Context(), stepup.Who{ApplicationID: w.who.ApplicationID, UserID: "nobody", SessionID: "s"})
		require.ErrorIs(w, err, consent.ErrNotFound)
	}},
	{"Standing/all of it at once", func(w *world) {
		totp := w.enrolled(w.who, stepup.KindTOTP)
		backup := w.enrolled(w.who, stepup.KindBackupCodes, "a", "b", "c")
		pending := factor(w.who, stepup.KindPhone)
		pending.VerifiedAt = time.Time{}
		require.NoError(w, w.s.ChangeFactors(w.Context(), stepup.FactorChange{Who: w.who, At: at(0), Add: &pending}))
		w.enrolled(w.user(w.who.ApplicationID), stepup.KindTOTP)
		p := prove(reauth.TOTP, reauth.Second, totp.ID, at(time.Minute))
		p.UserVerified = true
		require.NoError(w, w.s.Succeed(w.Context(), stepup.Success{
			Who: w.who, At: p.At, Proven: p, Step: &stepup.FactorStep{FactorID: totp.ID, LastStep: 101},
			BackupCode: &stepup.BackupUse{FactorID: backup.ID, Hash: []byte("b")},
		}))
		require.True(w, w.swap(stepup.BucketCalls+w.who.UserID, "", "1 2"))
		require.True(w, w.swap(stepup.BucketFailures+w.who.UserID, "", "3"))
		require.True(w, w.swap(stepup.BucketSends+w.who.UserID, "", "4"))

		totp.UsedAt, backup.UsedAt, backup.Left = p.At, p.At, 2
		want := stepup.Standing{
			User: w.put(w.who), Proven: []reauth.Proven{*p}, Calls: "1 2", Failures: "3",
			Factors: []stepup.EnrolledFactor{totp.EnrolledFactor, backup.EnrolledFactor, pending.EnrolledFactor},
		}
		assert.Equal(w, want, w.standing(w.who))
		want.Proven = nil
		assert.Equal(w, want, w.standing(elsewhere(w.who)), "what was proven belongs to its session")
	}},
	{"Standing/factors come oldest first", func(w *world) {
		want := []string{}
		for i := range 12 {
			f := factor(w.who, stepup.KindPasskey)
			f.CreatedAt = at(time.Duration(-i) * time.Minute)
			require.NoError(w, w.s.ChangeFactors(w.Context(), stepup.FactorChange{Who: w.who, At: at(0), Add: &f}))
			want = append([]string{f.ID}, want...)
		}
		got := []string{}
		for _, f := range w.standing(w.who).Factors {
			got = append(got, f.ID)
		}
		assert.Equal(w, want, got)
	}},
	{"Standing/of a factor, role and ref the latest stands", func(w *world) {
		for _, p := range []*reauth.Proven{
			prove(reauth.PhoneCode, reauth.First, "a", at(3*time.Minute)),
			prove(reauth.PhoneCode, reauth.First, "a", at(1*time.Minute)), // late to be told of
			prove(reauth.PhoneCode, reauth.First, "b", at(2*time.Minute)),
			prove(reauth.PhoneCode, reauth.Second, "a", at(4*time.Minute)),
			prove(reauth.Password, reauth.First, "", at(5*time.Minute)),
			prove(reauth.Password, reauth.First, "", at(6*time.Minute)),
		} {
			w.proved(w.who, p)
		}
		assert.ElementsMatch(w, []reauth.Proven{
			*prove(reauth.PhoneCode, reauth.First, "a", at(3*time.Minute)),
			*prove(reauth.PhoneCode, reauth.First, "b", at(2*time.Minute)),
			*prove(reauth.PhoneCode, reauth.Second, "a", at(4*time.Minute)),
			*prove(reauth.Password, reauth.First, "", at(6*time.Minute)),
		}, w.standing(w.who).Proven)
	}},
	{"Standing/a moment is kept to the microsecond, in UTC", func(w *world) {
		w.proved(w.who, prove(reauth.Password, reauth.First, "", at(time.Minute+999).In(time.FixedZone("", 5*3600+45*60))))
		assert.Equal(w, []reauth.Proven{*prove(reauth.Password, reauth.First, "", at(time.Minute))}, w.standing(w.who).Proven)
	}},
}

var windowTests = []test{
	{"Window/is swapped by whoever has read it as it is", func(w *world) {
		assert.Empty(w, w.window("b"))
		assert.False(w, w.swap("b", "1", "1 2"), "it is not there")
		assert.True(w, w.swap("b", "", "1"))
		assert.False(w, w.swap("b", "", "2"), "it is there")
		assert.False(w, w.swap("b", "0", "2"))
		assert.Equal(w, "1", w.window("b"))
		assert.True(w, w.swap("b", "1", "1 2"))
		assert.Equal(w, "1 2", w.window("b"))
		assert.Empty(w, w.window("c"))
	}},
	{"Window/one that was emptied is as one that is not there", func(w *world) {
		require.True(w, w.swap("b", "", "1"))
		require.True(w, w.swap("b", "1", ""))
		assert.Empty(w, w.window("b"))
		assert.True(w, w.swap("b", "", "2"))
		assert.Equal(w, "2", w.window("b"))
	}},
	{"Window/lines of audit go with the swap", func(w *world) {
		l := line(w.who)
		assert.True(w, w.swap("b", "", "1", l))
		assert.False(w, w.swap("b", "", "2", line(w.who)))
		assert.Equal(w, []stepup.Audit{l}, w.audit(w.who.ApplicationID))
		ok, err := w.s.SwapWindow(w.Context(), w.who.ApplicationID, "b", "1", "2", at(0), l)
		require.ErrorIs(w, err, consent.ErrExists, "a line of that id is there")
		assert.False(w, ok)
		assert.Equal(w, "1", w.window("b"), "the window stays with its lines")
	}},
	{"Take/so many a period", func(w *world) {
		take := func(what string, period time.Time, n int) bool {
			ok, err := w.s.Take(w.Context(), w.who.ApplicationID, what, period, n, 3)
			require.NoError(w, err)
			return ok
		}
		assert.True(w, take("sms", at(0), 2))
		assert.False(w, take("sms", at(0), 2))
		assert.True(w, take("sms", at(0), 1))
		assert.False(w, take("sms", at(0), 1))
		assert.True(w, take("mail", at(0), 3))
		assert.False(w, take("sms", at(day), 4))
		assert.True(w, take("sms", at(day), 3), "another day")
	}},
}
