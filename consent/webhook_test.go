package consent

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAnEndpointIsPausedAfterADayAndTenTries(t *testing.T) {
	at := time.Date(2027, 3, 28, 0, 0, 0, 0, time.UTC)
	e := WebhookEndpoint{Status: EndpointActive}
	for i := range 9 {
		require.False(t, e.Answered(false, at.Add(time.Duration(i)*100*time.Hour)), "nine are not ten, however long it takes")
	}
	e.Answered(true, at)
	assert.Zero(t, e.Failures)
	for range 50 {
		require.False(t, e.Answered(false, at), "fifty at once are no day")
	}
	require.False(t, e.Answered(false, at.Add(24*time.Hour-time.Microsecond)))
	require.True(t, e.Answered(false, at.Add(24*time.Hour)))
	assert.Equal(t, EndpointPaused, e.Status)
	require.False(t, e.Answered(false, at.Add(25*time.Hour)), "it is paused once")
	e.Activate()
	assert.Equal(t, WebhookEndpoint{Status: EndpointActive}, e)
}

func TestWhatGoesOut(t *testing.T) {
	assert.True(t, (&Event{Type: EventLapsed}).GoesOut())
	assert.True(t, (&Event{Type: EventLapsed, Data: map[string]any{"skipped": false}}).GoesOut())
	assert.False(t, (&Event{Type: EventLapsed, Data: map[string]any{"skipped": true}}).GoesOut())
	assert.False(t, (&Event{Type: EventAttemptStarted}).GoesOut())
}

func TestADeliveryIsNamedByEventAndEndpoint(t *testing.T) {
	d := Delivery{EventID: "evt_a1", EndpointID: "whe_b2"}
	assert.Equal(t, "dlv_a1_b2", d.ID())
	event, ok := EventOfDelivery("whe_b2", "dlv_a1_b2")
	assert.True(t, ok)
	assert.Equal(t, "evt_a1", event)
	for _, id := range []string{"", "dlv_", "dlv_b2", "dlv__b2", "evt_a1_b2", "dlv_a1_b3", "dlv_a1"} {
		_, ok := EventOfDelivery("whe_b2", id)
		assert.False(t, ok, id)
	}
}

func FuzzEventOfDelivery(f *testing.F) {
	f.Add("whe_b2", "dlv_a1_b2")
	f.Fuzz(func(t *testing.T, endpoint, id string) {
		if event, ok := EventOfDelivery(endpoint, id); ok {
			d := Delivery{EventID: event, EndpointID: endpoint}
			require.Equal(t, id, d.ID())
		}
	})
}
