package consent_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/reconsent/reconsent/consent"
)

var began = time.Date(2027, 3, 1, 9, 0, 0, 0, time.UTC)

const oneDay = 24 * time.Hour

// A stage that is less urgent than what was announced already must not be announced after it.
func TestNothingLessUrgentIsAnnouncedAfterwards(t *testing.T) {
	con := consent.Consent{UserID: "u", Cycle: 1, ConsentedAt: began.Add(-89*oneDay - 12*time.Hour), ExpiresAt: began.Add(12 * time.Hour),
		Announced: []string{"before_30d", "before_7d", "before_1d"}}
	cad, _ := consent.ParseCadence([]string{"before_30d", "before_7d", "before_3d", "before_1d", "lapse"})
	con.Reschedule(cad, consent.Policy{}, began) // as UpdateApplication does
	con.ExpiresAt = con.ExpiresAt.Add(time.Second)
	con.Reschedule(cad, consent.Policy{}, time.Time{}) // as foresee does where the provider says another expiry
	f := con.Flag(cad, began)
	assert.Empty(t, f.Announce.Name, "before_1d has been announced; %s is announced after it", f.Announce.Name)
}

// The provider gives an expiry before the consent began (or a little before now, by its clock).
func TestAnExpiryBeforeTheStartIsLookedAtAtOnce(t *testing.T) {
	for _, back := range []time.Duration{time.Second, 40 * oneDay, 400 * oneDay} {
		con := consent.Consent{UserID: "u", Cycle: 1, ConsentedAt: began, ExpiresAt: began.Add(-back)}
		con.Reschedule(consent.DefaultCadence(), consent.Policy{RenewalWindow: 90 * oneDay}, began)
		t.Logf("back %s: status %s, next stage at %q", back, con.Status(began), con.NextStageAt)
		assert.False(t, con.NextStageAt.IsZero() || con.NextStageAt.After(began.Add(time.Hour)), "back %s: nobody looks at it: next %s", back, con.NextStageAt)
	}
}

func TestNothingIsLapsedAfterItWasUnrenewable(t *testing.T) {
	con := consent.Consent{UserID: "u", Cycle: 1, ConsentedAt: began.Add(-90 * oneDay), ExpiresAt: began}
	con.Reschedule(consent.DefaultCadence(), consent.Policy{RenewalWindow: 20 * oneDay}, con.ConsentedAt)
	ended := false
	for _, s := range consent.DefaultCadence().Times(&con) {
		assert.False(t, ended && s.Event() != consent.EventUnrenewable, "%s %s after consent.unrenewable", s.Event(), s.Name)
		ended = ended || s.Event() == consent.EventUnrenewable
	}
}

func TestAShortWindowDoesNotSkipTheLapse(t *testing.T) {
	con := consent.Consent{UserID: "u", Cycle: 1, ConsentedAt: began.Add(-90 * oneDay), ExpiresAt: began, Announced: []string{"before_30d", "before_7d", "before_1d"}}
	con.Reschedule(consent.DefaultCadence(), consent.Policy{RenewalWindow: 5 * oneDay}, began.Add(-time.Hour))
	f := con.Flag(consent.DefaultCadence(), began)
	assert.Equal(t, "lapse", f.Announce.Name, "skipped: %v", f.Skipped)
}

func TestAStageHasOneSpelling(t *testing.T) {
	for _, n := range []string{"before_+7d", "before_007d"} {
		_, err := consent.ParseCadence([]string{n})
		assert.Error(t, err, n)
	}
}
