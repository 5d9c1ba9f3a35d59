package registrytest

import (
	"slices"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/reconsent/reconsent/consent"
)

// pages walks a whole listing.
func (w *world) pages(f consent.ListFilter) []string {
	w.Helper()
	var all []string
	for {
		page, err := w.r.ListConsents(w.Context(), w.app.ID, f)
		require.NoError(w, err)
		require.LessOrEqual(w, len(page), f.Limit)
		all = append(all, ids(page)...)
		if len(page) < f.Limit {
			return all
		}
		last := page[len(page)-1]
		f.AfterCreated, f.AfterID = last.CreatedAt, last.ID
	}
}

var listTests = []test{
	{"List/in the order of CreatedAt and ID, page by page", func(w *world) {
		var want []string
		for i := range 11 { // three of an age, the youngest first; ids rise
			c := w.stored(func(c *consent.Consent) { c.CreatedAt = at(-time.Duration(i/3) * time.Second) })
			want = append(want, c.ID)
		}
		for _, limit := range []int{1, 2, 3, 4, 11, 12} {
			got := w.pages(consent.ListFilter{Now: zero, Limit: limit})
			assert.Equal(w, []string{want[9], want[10], want[6], want[7], want[8], want[3], want[4], want[5], want[0], want[1], want[2]}, got, "limit %d", limit)
		}
	}},
	{"List/by user, provider and expiry", func(w *world) {
		a := w.stored()
		b := w.stored(func(c *consent.Consent) { c.UserID, c.Provider, c.ExpiresAt = a.UserID, "yapily", at(10*day) })
		w.stored(func(c *consent.Consent) { c.ExpiresAt = time.Time{} })
		f := consent.ListFilter{Now: zero, Limit: 10}
		f.UserID = a.UserID
		assert.Equal(w, []string{a.ID, b.ID}, w.pages(f))
		f.Provider = "yapily"
		assert.Equal(w, []string{b.ID}, w.pages(f))
		f = consent.ListFilter{Now: zero, Limit: 10, ExpiresBefore: at(90 * day)}
		assert.Equal(w, []string{b.ID}, w.pages(f), "before is not at")
		f.ExpiresBefore = at(90*day + time.Microsecond)
		assert.Equal(w, []string{a.ID, b.ID}, w.pages(f))
	}},
	{"List/a status that there is none of", func(w *world) {
		w.stored()
		_, err := w.r.ListConsents(w.Context(), w.app.ID, consent.ListFilter{Status: "bogus", Now: zero, Limit: 10})
		require.Error(w, err)
	}},
	{"List/status agrees with Consent.Status", func(w *world) {
		// Moments lie so close together that they often meet: the bounds count.
		moment := rapid.Custom(func(t *rapid.T) time.Time {
			if n := rapid.IntRange(-1, 6).Draw(t, "moment"); n >= 0 {
				return at(time.Duration(n) * time.Microsecond)
			}
			return time.Time{}
		})
		random := rapid.Custom(func(t *rapid.T) consent.Registration {
			c := w.consent()
			c.LapsingAt, c.LapsesAt = moment.Draw(t, "lapsing"), moment.Draw(t, "lapses")
			c.RenewableUntil, c.RevokedAt = moment.Draw(t, "renewable"), moment.Draw(t, "revoked")
			c.Pending = rapid.IntRange(0, 4).Draw(t, "pending") == 0
			return w.registration(c)
		})
		rapid.Check(w, func(t *rapid.T) {
			w := &world{T: w.T, r: w.r, app: w.application()}
			regs := rapid.SliceOfN(random, 1, 12).Draw(t, "consents")
			for i := range regs {
				regs[i].Consent.ApplicationID = w.app.ID
			}
			_, err := w.r.Register(w.Context(), w.app.ID, regs)
			require.NoError(t, err)
			now := at(time.Duration(rapid.IntRange(-1, 7).Draw(t, "now")) * time.Microsecond)
			for _, status := range append(consent.Statuses(), "") {
				want := []string{}
				for _, r := range regs {
					if status == "" || r.Consent.Status(now) == status {
						want = append(want, r.Consent.ID)
					}
				}
				page, err := w.r.ListConsents(w.Context(), w.app.ID, consent.ListFilter{Status: status, Now: now, Limit: 100})
				require.NoError(t, err)
				slices.Sort(want)
				if got := ids(page); !slices.Equal(want, got) {
					t.Fatalf("status %q at %v: got %v, want %v", status, now, got, want)
				}
			}
		})
	}},
}
