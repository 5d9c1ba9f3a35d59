package registrytest

import (
	"encoding/json"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
)

func (w *world) user() consent.User {
	return consent.User{
		ApplicationID: w.app.ID, ID: name("user"), Email: "ada@example.org", Phone: "+442071838750", Name: "Ada Łovelace",
		Locale: "en-GB", TimeZone: "Europe/London", PasswordHash: consent.Sealed("\x00pw"), CreatedAt: at(0), UpdatedAt: at(0),
	}
}

var userTests = []test{
	{"User/put writes everything but CreatedAt", func(w *world) {
		u := w.user()
		got, err := w.r.PutUser(w.Context(), u)
		require.NoError(w, err)
		assert.Equal(w, u, got)
		u = consent.User{ApplicationID: u.ApplicationID, ID: u.ID, Email: "new@example.org", CreatedAt: at(time.Hour), UpdatedAt: at(time.Hour)}
		got, err = w.r.PutUser(w.Context(), u)
		require.NoError(w, err)
		u.CreatedAt = at(0)
		assert.Equal(w, u, got)
		got, err = w.r.User(w.Context(), u.ApplicationID, u.ID)
		require.NoError(w, err)
		assert.Equal(w, u, got)
	}},
	{"User/unknown", func(w *world) {
		_, err := w.r.User(w.Context(), w.app.ID, "nobody")
		require.ErrorIs(w, err, consent.ErrNotFound)
		require.ErrorIs(w, w.r.EraseUser(w.Context(), w.app.ID, "nobody", "erased"), consent.ErrNotFound)
	}},
	{"User/contact fills what is empty and keeps the rest", func(w *world) {
		known := w.user()
		known.Phone, known.Locale = "", ""
		_, err := w.r.PutUser(w.Context(), known)
		require.NoError(w, err)
		c := w.consent()
		c.UserID = known.ID
		reg := w.registration(c)
		reg.Contact = consent.User{
			ApplicationID: w.app.ID, ID: known.ID, Email: "other@example.org", Phone: "+4930123456", Name: "Other",
			Locale: "de-DE", TimeZone: "Europe/Berlin", CreatedAt: at(day), UpdatedAt: at(day),
		}
		_, err = w.r.Register(w.Context(), w.app.ID, []consent.Registration{reg})
		require.NoError(w, err)
		got, err := w.r.User(w.Context(), w.app.ID, known.ID)
		require.NoError(w, err)
		known.Phone, known.Locale, known.UpdatedAt = "+4930123456", "de-DE", at(day)
		assert.Equal(w, known, got)
	}},
	{"User/contact makes a user that is not there", func(w *world) {
		c := w.stored()
		got, err := w.r.User(w.Context(), w.app.ID, c.UserID)
		require.NoError(w, err)
		assert.Equal(w, consent.User{ApplicationID: w.app.ID, ID: c.UserID, CreatedAt: zero, UpdatedAt: zero}, got)
	}},
	{"User/two contacts of one user in one import", func(w *world) {
		one, two := w.consent(), w.consent()
		two.UserID = one.UserID
		a, b := w.registration(one), w.registration(two)
		a.Contact.Email, a.Contact.Name = "", "Ada"
		b.Contact.Email, b.Contact.Name = "ada@example.org", "Not Ada"
		_, err := w.r.Register(w.Context(), w.app.ID, []consent.Registration{a, b})
		require.NoError(w, err)
		got, err := w.r.User(w.Context(), w.app.ID, one.UserID)
		require.NoError(w, err)
		assert.Equal(w, "ada@example.org", got.Email)
		assert.Equal(w, "Ada", got.Name)
	}},
	{"User/erase", func(w *world) {
		u := w.user()
		_, err := w.r.PutUser(w.Context(), u)
		require.NoError(w, err)
		c := w.stored(func(c *consent.Consent) { c.UserID = u.ID })
		bystander := w.stored()
		a := w.begun(&c)
		l := link(c)
		require.NoError(w, w.r.CreateReconnectLink(w.Context(), l))
		act := confirmation(c, at(0))
		w.confirm(act)

		require.ErrorIs(w, w.r.EraseUser(w.Context(), w.app.ID, u.ID, "erased_1"), consent.ErrBusy, "a consent is alive")
		_, err = w.r.User(w.Context(), w.app.ID, u.ID)
		require.NoError(w, err, "a refused erasure changes nothing")
		assert.Equal(w, u.ID, w.look(c).UserID)

		w.revoked(c)
		require.ErrorIs(w, w.r.EraseUser(w.Context(), w.app.ID, u.ID, "erased_1"), consent.ErrBusy, "somebody is at the bank")
		open, err := w.r.OpenAttempts(w.Context(), w.app.ID, u.ID)
		require.NoError(w, err)
		assert.Equal(w, []consent.Attempt{a}, open)
		_, err = w.r.FinishAttempt(w.Context(), finish(a, consent.AttemptFailed))
		require.NoError(w, err)
		open, err = w.r.OpenAttempts(w.Context(), w.app.ID, u.ID)
		require.NoError(w, err)
		assert.Empty(w, open)
		require.NoError(w, w.r.EraseUser(w.Context(), w.app.ID, u.ID, "erased_1"))
		_, err = w.r.User(w.Context(), w.app.ID, u.ID)
		require.ErrorIs(w, err, consent.ErrNotFound)
		kept, err := w.r.ReconnectLink(w.Context(), w.app.ID, l.TokenHash)
		require.NoError(w, err, "its page says that the connection has ended")
		l.UserID, l.ReturnTo, l.State, l.AddressHash = "erased_1", "", nil, nil
		assert.Equal(w, l, kept)
		act.ConfirmedBy, act.Statement = "erased_1", ""
		assert.Equal(w, []consent.Confirmation{act}, w.confirmations(c), "that somebody confirmed, and when, stays; their words name an account")
		c = w.look(c)
		assert.Equal(w, "erased_1", c.UserID)
		assert.Empty(w, c.AccountLabel)
		assert.Zero(w, c.AccountCount)
		assert.Empty(w, c.Accounts)
		a = w.lookAt(a)
		assert.Equal(w, "erased_1", a.UserID)
		assert.Empty(w, a.CallerState, "any bytes, so perhaps the person's")

		events, err := w.r.Events(w.Context(), w.app.ID, c.ID, 0, 100)
		require.NoError(w, err)
		text, err := json.Marshal([]any{c, a, events})
		require.NoError(w, err)
		assert.NotContains(w, string(text), u.ID)
		assert.NotContains(w, string(text), u.Email)
		assert.Equal(w, bystander, w.look(bystander))
		require.ErrorIs(w, w.r.EraseUser(w.Context(), w.app.ID, u.ID, "erased_1"), consent.ErrNotFound)
	}},
}
