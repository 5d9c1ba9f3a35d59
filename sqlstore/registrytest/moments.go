package registrytest

import (
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
)

// zones are where the same moment is written differently; some have moved
// their clocks, one is not at a full hour.
var zones = []*time.Location{
	time.UTC, time.FixedZone("", 14*3600), time.FixedZone("minus", -12*3600), time.FixedZone("Kathmandu", 5*3600+45*60), time.Local,
}

var timeTests = []test{
	{"Time/comes back UTC and equal, whatever zone it was given in", func(w *world) {
		for _, zone := range zones {
			c := w.consent()
			want := c
			want.Seq = 1
			for _, t := range []*time.Time{
				&c.CreatedAt, &c.ConsentedAt, &c.ExpiresAt, &c.LapsingAt, &c.LapsesAt, &c.RenewableUntil, &c.NextStageAt,
				&c.Tokens.AccessExpiresAt, &c.Tokens.RefreshedAt,
			} {
				*t = t.In(zone)
			}
			_, err := w.r.Register(w.Context(), w.app.ID, []consent.Registration{w.registration(c)})
			require.NoError(w, err)
			assert.Equal(w, want, w.look(c), zone.String())

			a := w.attempt(nil)
			wantAttempt := a
			a.CreatedAt, a.ExpiresAt = a.CreatedAt.In(zone), a.ExpiresAt.In(zone)
			require.NoError(w, w.r.BeginAttempt(w.Context(), a, nil))
			assert.Equal(w, wantAttempt, w.lookAt(a), zone.String())
			got, err := w.r.ClaimAttempt(w.Context(), consent.Claim{
				ApplicationID: w.app.ID, AttemptID: a.ID, ClaimID: "x", Now: at(0).In(zone), Until: at(time.Minute).In(zone),
			})
			require.NoError(w, err)
			assert.Equal(w, w.lookAt(a), got, "what is returned is what is stored")
			f := finish(got, consent.AttemptDenied)
			f.At = f.At.In(zone)
			got, err = w.r.FinishAttempt(w.Context(), f)
			require.NoError(w, err)
			assert.Equal(w, w.lookAt(a), got)
			assert.Equal(w, at(3*time.Minute), got.FinishedAt)
		}
	}},
	{"Time/is kept to the microsecond, from long ago to the year 9999", func(w *world) {
		for _, moment := range []time.Time{
			time.Date(9999, time.December, 31, 23, 59, 59, 999999000, time.UTC),
			time.Date(1969, time.December, 31, 23, 59, 59, 999999000, time.UTC),
			time.Date(1900, time.January, 1, 0, 0, 0, 1000, time.UTC),
			time.Date(2028, time.February, 29, 12, 0, 0, 0, time.UTC),
			time.Unix(0, 0).UTC(), // a known moment, not an unknown one
		} {
			c := w.stored(func(c *consent.Consent) { c.ExpiresAt, c.ConsentedAt = moment, moment })
			assert.Equal(w, moment, c.ExpiresAt)
			assert.Equal(w, moment, c.ConsentedAt)
		}
		c := w.stored(func(c *consent.Consent) { c.ExpiresAt = zero.Add(1999 * time.Nanosecond) })
		assert.Equal(w, zero.Add(time.Microsecond), c.ExpiresAt, "never rounded up")
		c = w.stored(func(c *consent.Consent) { c.ExpiresAt = time.Time{} })
		assert.True(w, c.ExpiresAt.IsZero(), "unknown")
	}},
	{"Time/orders across zones", func(w *world) {
		// By the clock on the wall the second comes first.
		first := w.stored(func(c *consent.Consent) { c.CreatedAt = at(0).In(time.FixedZone("", 14*3600)) })
		second := w.stored(func(c *consent.Consent) { c.CreatedAt = at(time.Second).In(time.FixedZone("", -12*3600)) })
		f := consent.ListFilter{Now: zero, Limit: 1}
		assert.Equal(w, []string{first.ID, second.ID}, w.pages(f))
		f.Now = at(60 * day).In(time.FixedZone("", -12*3600))
		f.Status = consent.Lapsing
		assert.Equal(w, []string{first.ID, second.ID}, w.pages(f))
		f.Now = f.Now.Add(-time.Microsecond)
		assert.Empty(w, w.pages(f))
	}},
}
