package reauthtest

import (
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/stepup"
)

// What an application changes of its user is a change of factors too.
var contactTests = []test{
	{"Contact/another address or password ends what is live, of all sessions", func(w *world) {
		for name, tt := range map[string]struct {
			change func(*consent.User)
			forgot []reauth.Factor
		}{
			"email":               {func(u *consent.User) { u.Email = "new@example.org" }, []reauth.Factor{reauth.EmailCode}},
			"no email":            {func(u *consent.User) { u.Email = "" }, []reauth.Factor{reauth.EmailCode}},
			"phone":               {func(u *consent.User) { u.Phone = "+4930123456" }, []reauth.Factor{reauth.PhoneCode}},
			"password":            {func(u *consent.User) { u.PasswordHash = consent.Sealed("\x00new") }, []reauth.Factor{reauth.Password}},
			"no password":         {func(u *consent.User) { u.PasswordHash = nil }, []reauth.Factor{reauth.Password}},
			"password and phone":  {func(u *consent.User) { u.PasswordHash, u.Phone = nil, "" }, []reauth.Factor{reauth.PhoneCode, reauth.Password}},
			"nothing of the kind": {func(u *consent.User) { u.Name, u.Locale, u.TimeZone = "", "", "" }, nil},
		} {
			who, other := w.user(w.who.ApplicationID), w.user(w.who.ApplicationID)
			there := elsewhere(who)
			lives, bystander := []live{w.live(who), w.live(there)}, w.live(other)
			all := []*reauth.Proven{
				prove(reauth.EmailCode, reauth.First, "mail", at(time.Minute)), prove(reauth.PhoneCode, reauth.First, "a", at(time.Minute)),
				prove(reauth.PhoneCode, reauth.Second, "b", at(time.Minute)), prove(reauth.Password, reauth.First, "", at(time.Minute)),
				prove(reauth.TOTP, reauth.Second, "app", at(time.Minute)),
			}
			for _, p := range all {
				w.proved(there, p)
			}
			u := w.standing(who).User
			tt.change(&u)
			u.UpdatedAt = at(2 * time.Minute)
			got, err := w.s.PutUser(w.Context(), u)
			require.NoError(w, err, name)
			assert.Equal(w, u, got, name)
			for _, l := range lives {
				if len(tt.forgot) > 0 {
					assert.Equal(w, at(2*time.Minute), w.endedAt(l), name)
				} else {
					assert.Zero(w, w.endedAt(l), name)
				}
			}
			assert.Zero(w, w.endedAt(bystander), name)
			var left []reauth.Proven
			for _, p := range all {
				forgotten := false
				for _, f := range tt.forgot {
					forgotten = forgotten || f == p.Factor && p.Role == reauth.First
				}
				if !forgotten {
					left = append(left, *p)
				}
			}
			assert.Equal(w, left, w.standing(there).Proven, name)
		}
	}},
	{"Contact/a user who is put for the first time, or as they are, loses nothing", func(w *world) {
		w.put(w.who)
		l := w.live(w.who)
		w.proved(w.who, prove(reauth.Password, reauth.First, "", at(time.Minute)))
		w.put(w.who)
		assert.Zero(w, w.endedAt(l))
		assert.Len(w, w.standing(w.who).Proven, 1)
	}},
	{"Contact/a password that is sealed anew is the same, and ends nothing", func(w *world) {
		l, u := w.live(w.who), w.standing(w.who).User
		w.proved(w.who, prove(reauth.Password, reauth.First, "", at(time.Minute)))
		other := w.user(w.who.ApplicationID)
		reseal := func(was, now string) {
			require.NoError(w, w.s.ResealPassword(w.Context(), w.who.ApplicationID, w.who.UserID, consent.Sealed(was), consent.Sealed(now)))
		}
		reseal("\x00another", "\x00lost")
		assert.Equal(w, u, w.standing(w.who).User, "another one stands")
		reseal("\x00pw", "\x00sealed anew")
		u.PasswordHash = consent.Sealed("\x00sealed anew")
		assert.Equal(w, u, w.standing(w.who).User)
		assert.Equal(w, consent.Sealed("\x00pw"), w.standing(other).User.PasswordHash)
		assert.Zero(w, w.endedAt(l))
		assert.Len(w, w.standing(w.who).Proven, 1)
	}},
	{"Contact/a factor that was begun before the change is not verified after", func(w *world) {
		f := factor(w.who, stepup.KindTOTP)
		f.VerifiedAt = time.Time{}
		require.NoError(w, w.change(stepup.FactorChange{Who: w.who, At: at(0), Add: &f}))
		u := w.standing(w.who).User
		u.Email, u.UpdatedAt = "new@example.org", at(time.Minute)
		_, err := w.s.PutUser(w.Context(), u)
		require.NoError(w, err)
		assert.Empty(w, w.standing(w.who).Factors)
	}},
}
