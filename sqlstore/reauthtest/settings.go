package reauthtest

import (
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth/stepup"
)

var settingsTests = []test{
	{"Settings/put, put again, all", func(w *world) {
		app := w.who.ApplicationID
		_, err := w.s.ReauthSettings(w.Context(), app)
		require.ErrorIs(w, err, consent.ErrNotFound)
		for _, set := range []stepup.SealedSettings{
			{ApplicationID: app, Config: consent.Sealed("one\x00\xff"), UpdatedAt: at(0)},
			{ApplicationID: app, Config: consent.Sealed("two"), UpdatedAt: at(time.Hour)},
		} {
			require.NoError(w, w.s.PutReauthSettings(w.Context(), set))
			got, err := w.s.ReauthSettings(w.Context(), app)
			require.NoError(w, err)
			assert.Equal(w, set, got)
			all, err := w.s.AllReauthSettings(w.Context())
			require.NoError(w, err)
			assert.Contains(w, all, set)
		}
	}},
}
