package connector_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/connector"
	"github.com/reconsent/reconsent/consent"
)

// byChannel tells by which channels each stage of a consent is to be told.
func (w *world) byChannel(id string) []string {
	w.Helper()
	rows, err := w.store.DB().QueryContext(w.Context(), fmt.Sprintf(`SELECT channel, stage FROM notices WHERE consent_id = '%s' ORDER BY channel, stage`, id))
	require.NoError(w, err)
	defer func() { _ = rows.Close() }()
	all := []string{}
	for rows.Next() {
		var channel, stage string
		require.NoError(w, rows.Scan(&channel, &stage))
		all = append(all, channel+" "+stage)
	}
	require.NoError(w, rows.Err())
	return all
}

// unreachable are the data of a consent's events of that type.
func (w *world) unreachable(id string) []map[string]any {
	w.Helper()
	list := []map[string]any{}
	for _, e := range w.history(id) {
		if e.Type == consent.EventUserUnreachable {
			assert.Empty(w, e.Stage)
			list = append(list, e.Data)
		}
	}
	return list
}

// TestASweepOpensAMessageForEachChannelThatApplies sweeps through the last two
// days of consents of users who can be reached in different ways.
func TestASweepOpensAMessageForEachChannelThatApplies(t *testing.T) {
	nobody := []map[string]any{{"channel": "email", "reason": "no_address"}}
	mail, both := []string{"email before_1d", "email lapse"}, []string{"email before_1d", "email lapse", "sms lapse"}
	for _, tt := range []struct {
		name    string
		setting func(*consent.Application)
		contact connector.Contact
		told    []string
		events  []map[string]any
	}{
		{"by default", nil, connector.Contact{Email: "a@example.org", Phone: "+442071838750"}, mail, []map[string]any{}},
		{"SMS at the lapse", smsAt("lapse"), connector.Contact{Email: "a@example.org", Phone: "+442071838750"}, both, []map[string]any{}},
		{"without a phone", smsAt("lapse"), connector.Contact{Email: "a@example.org"}, mail, []map[string]any{}},
		{"only a phone, for all stages", smsAt("before_1d", "lapse"), connector.Contact{Phone: "+442071838750"}, []string{"sms before_1d", "sms lapse"}, []map[string]any{}},
		{"only a phone, for the lapse", smsAt("lapse"), connector.Contact{Phone: "+442071838750"}, []string{"sms lapse"}, nobody},
		{"no address at all", smsAt("lapse"), connector.Contact{}, []string{}, nobody},
		{"an application that tells its users itself", func(a *consent.Application) { a.NoMail, a.SMSStages = true, []string{"lapse"} },
			connector.Contact{Phone: "+442071838750"}, []string{}, []map[string]any{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			if tt.setting != nil {
				tt.setting(w.app)
				require.NoError(t, w.UpdateApplication(t.Context(), *w.app))
			}
			lapse := micro(w.bank.Clock().Now()).Add(40 * day)
			con := w.lapsingAt("ada", lapse)
			_, err := w.PutUser(t.Context(), w.app, "ada", tt.contact)
			require.NoError(t, err)
			for _, at := range []time.Time{lapse.Add(-day), lapse} {
				w.sweep(w.byClock(stopped(at)))
			}
			assert.ElementsMatch(t, tt.told, w.byChannel(con.ID))
			assert.Equal(t, tt.events, w.unreachable(con.ID))
		})
	}
}

func smsAt(stages ...string) func(*consent.Application) {
	return func(a *consent.Application) { a.SMSStages = stages }
}

func TestAnUnsubscribeLinkHoldsNobodysName(t *testing.T) {
	w := newWorld(t)
	ada, err := w.PutUser(t.Context(), w.app, "ada-lovelace", connector.Contact{Email: "ada@example.org"})
	require.NoError(t, err)
	one, err := w.UnsubscribeLink(w.app, &ada)
	require.NoError(t, err)
	two, err := w.UnsubscribeLink(w.app, &ada)
	require.NoError(t, err)
	assert.NotEqual(t, one, two, "nor can two links be told to be one person's")
	token, ours := strings.CutPrefix(one, ourBase+"/u/")
	require.True(t, ours)
	assert.True(t, strings.HasPrefix(token, "acme."))
	assert.NotContains(t, one, "ada")
	u, err := w.Unsubscribe(t.Context(), token, true)
	require.NoError(t, err)
	assert.Equal(t, w.app.ID, u.Application.ID)
	assert.False(t, u.Since.IsZero())
	assert.NotContains(t, w.logs.String(), token)
}
