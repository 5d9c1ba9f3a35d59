package registrytest

import (
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
)

var applicationTests = []test{
	{"Application/reads back as written", func(w *world) {
		cadence, err := consent.ParseCadence([]string{"before_14d", "before_36h", "lapse", "window_end"})
		require.NoError(w, err)
		a := consent.Application{
			ID: name("app"), Slug: name("slug"), Name: "Zoë's Bücher", ConfirmLinks: true,
			RedirectURIs: []string{"https://a.example/cb?x=%2F&y=\"z\"", "http://localhost:*"}, ReturnTos: []string{"https://a.example/done"},
			Cadence: cadence, LinkValidity: 7 * day, CreatedAt: at(time.Microsecond),
			Branding: consent.Branding{Colour: "#0b5cad", LogoURL: "https://a.example/l.png?a=1&b=\"2\"", ReplyTo: "help@a.example"},
			Policies: map[string]consent.Policy{"truelayer": {Validity: 90 * day, RenewalWindow: 45 * day, RenewBy: consent.RenewByExtend}},
		}
		require.NoError(w, w.r.CreateApplication(w.Context(), a))
		byID, err := w.r.Application(w.Context(), a.ID)
		require.NoError(w, err)
		bySlug, err := w.r.ApplicationBySlug(w.Context(), a.Slug)
		require.NoError(w, err)
		assert.Empty(w, byID.ProviderNames)
		byID.ProviderNames, bySlug.ProviderNames = nil, nil
		assert.Equal(w, a, byID)
		assert.Equal(w, a, bySlug)
	}},
	{"Application/unknown", func(w *world) {
		_, err := w.r.Application(w.Context(), "nobody")
		require.ErrorIs(w, err, consent.ErrNotFound)
		_, err = w.r.ApplicationBySlug(w.Context(), "nobody")
		require.ErrorIs(w, err, consent.ErrNotFound)
		require.ErrorIs(w, w.r.UpdateApplication(w.Context(), consent.Application{ID: "nobody", Slug: "nobody"}), consent.ErrNotFound)
	}},
	{"Application/id and slug are taken once", func(w *world) {
		a := w.application()
		same := a
		same.Slug = name("slug")
		require.ErrorIs(w, w.r.CreateApplication(w.Context(), same), consent.ErrExists)
		same = a
		same.ID = name("app")
		require.ErrorIs(w, w.r.CreateApplication(w.Context(), same), consent.ErrExists)
		_, err := w.r.Application(w.Context(), same.ID)
		require.ErrorIs(w, err, consent.ErrNotFound)
	}},
	{"Application/update", func(w *world) {
		a := w.app
		a.Name, a.ConfirmLinks, a.ReturnTos, a.RedirectURIs = "Another", true, []string{"https://b.example/"}, nil
		a.Policies = map[string]consent.Policy{"yapily": {Validity: day}}
		a.CreatedAt = at(day) // not a thing that changes
		require.NoError(w, w.r.UpdateApplication(w.Context(), a))
		got, err := w.r.Application(w.Context(), a.ID)
		require.NoError(w, err)
		a.CreatedAt = w.app.CreatedAt
		assert.Empty(w, got.RedirectURIs)
		got.RedirectURIs, got.ProviderNames = nil, nil
		assert.Equal(w, a, got)
	}},
	{"Application/a change of cadence is over once", func(w *world) {
		a := w.application()
		a.RearmAt = at(day)
		require.NoError(w, w.r.UpdateApplication(w.Context(), a))
		for _, step := range []struct{ asked, want time.Time }{{at(day - time.Second), at(day)}, {at(day), time.Time{}}} {
			require.NoError(w, w.r.EndRearm(w.Context(), a.ID, step.asked))
			got, err := w.r.Application(w.Context(), a.ID)
			require.NoError(w, err)
			assert.Equal(w, step.want, got.RearmAt)
		}
	}},
	{"Application/list", func(w *world) {
		other := w.application()
		all, unreadable, err := w.r.ListApplications(w.Context())
		require.NoError(w, err)
		assert.Empty(w, unreadable)
		ids := map[string]bool{}
		for _, a := range all {
			ids[a.ID] = true
		}
		assert.True(w, ids[w.app.ID] && ids[other.ID])
	}},
	{"ProviderSettings/are replaced, and name the providers", func(w *world) {
		_, err := w.r.ProviderSettings(w.Context(), w.app.ID, "truelayer")
		require.ErrorIs(w, err, consent.ErrNotFound)
		for _, provider := range []string{"yapily", "truelayer", "truelayer"} {
			s := consent.ProviderSettings{ApplicationID: w.app.ID, Provider: provider, Config: consent.Sealed(name("\x00\xff")), UpdatedAt: at(time.Minute)}
			require.NoError(w, w.r.PutProviderSettings(w.Context(), s))
			got, err := w.r.ProviderSettings(w.Context(), w.app.ID, provider)
			require.NoError(w, err)
			assert.Equal(w, s, got)
		}
		app, err := w.r.Application(w.Context(), w.app.ID)
		require.NoError(w, err)
		assert.Equal(w, []string{"truelayer", "yapily"}, app.ProviderNames)
	}},
	{"APIKey/opens its own application until revoked", func(w *world) {
		k := consent.APIKey{ApplicationID: w.app.ID, ID: name("key"), Hash: []byte("\x00\x01" + w.app.ID), Name: "first", CreatedAt: at(0)}
		require.NoError(w, w.r.CreateAPIKey(w.Context(), k))
		require.ErrorIs(w, w.r.CreateAPIKey(w.Context(), k), consent.ErrExists)
		later := consent.APIKey{ApplicationID: w.app.ID, ID: name("key"), Hash: []byte("later " + w.app.ID), Name: "later", CreatedAt: at(time.Second)}
		require.NoError(w, w.r.CreateAPIKey(w.Context(), later))

		app, err := w.r.ApplicationByKey(w.Context(), w.app.Slug, k.Hash)
		require.NoError(w, err)
		assert.Equal(w, w.app.ID, app.ID)
		for _, wrong := range []struct {
			slug string
			hash []byte
		}{{w.app.Slug, []byte("wrong")}, {w.application().Slug, k.Hash}, {"nobody", k.Hash}, {w.app.Slug, nil}} {
			_, err := w.r.ApplicationByKey(w.Context(), wrong.slug, wrong.hash)
			require.ErrorIs(w, err, consent.ErrNotFound)
		}

		require.NoError(w, w.r.RevokeAPIKey(w.Context(), w.app.ID, k.ID, at(time.Hour)))
		require.NoError(w, w.r.RevokeAPIKey(w.Context(), w.app.ID, k.ID, at(2*time.Hour)), "again changes nothing")
		_, err = w.r.ApplicationByKey(w.Context(), w.app.Slug, k.Hash)
		require.ErrorIs(w, err, consent.ErrNotFound)
		require.ErrorIs(w, w.r.RevokeAPIKey(w.Context(), w.app.ID, "nobody", at(0)), consent.ErrNotFound)

		keys, err := w.r.ListAPIKeys(w.Context(), w.app.ID)
		require.NoError(w, err)
		k.RevokedAt = at(time.Hour)
		assert.Equal(w, []consent.APIKey{k, later}, keys)
	}},
}
