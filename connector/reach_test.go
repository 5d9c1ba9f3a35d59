package connector_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/connector"
	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/provider/sandbox/bankbrowser"
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

// mailed is the token of the link that a message carries.
func (w *world) mailed(con consent.Consent, address string) string {
	w.Helper()
	links, err := w.MessageLinks(w.Context(), w.app, []consent.MessageLink{{MessageID: "dgt_1", Consent: &con, Address: address}})
	require.NoError(w, err)
	return strings.TrimPrefix(links[0], ourBase+"/r/")
}

func (w *world) linkState(token string) connector.LinkState {
	w.Helper()
	v, err := w.OpenReconnectLink(w.Context(), token)
	require.NoError(w, err)
	return v.State
}

func TestAMailedLinkGoesWithItsAddress(t *testing.T) {
	w := newWorld(t)
	con := w.linked("ada", bankbrowser.John())
	put := func(address string) {
		_, err := w.PutUser(t.Context(), w.app, "ada", connector.Contact{Email: address})
		require.NoError(t, err)
	}
	put("old@example.org")
	old := w.mailed(con, "old@example.org")
	assert.Equal(t, old, w.mailed(con, "old@example.org"), "a message that is made again carries the same link")
	assert.Equal(t, connector.LinkReady, w.linkState(old))
	put("new@example.org")
	assert.Equal(t, connector.LinkMoved, w.linkState(old))
	assert.Equal(t, connector.LinkReady, w.linkState(w.mailed(con, "new@example.org")), "the same message, tried again at the right address")
	v, started, err := w.PressReconnectLink(t.Context(), old)
	require.NoError(t, err)
	assert.Equal(t, connector.LinkMoved, v.State)
	assert.Empty(t, started.URI)
}

func TestAnOldLinkIsTrueAboutALaterCycle(t *testing.T) {
	w := newWorld(t)
	con := w.linked("ada", bankbrowser.John())
	_, err := w.PutUser(t.Context(), w.app, "ada", connector.Contact{Email: "ada@example.org"})
	require.NoError(t, err)
	token := w.mailed(con, "ada@example.org")
	w.advance(80 * day)
	s := w.reauth(con)
	_, ret := w.visit(bankbrowser.John(), s.URI)
	w.forward(s, ret)
	assert.Equal(t, connector.LinkRenewed, w.linkState(token))
	w.advance(100 * day)
	assert.Equal(t, connector.LinkExpired, w.linkState(token), "there is something to do again, and it offers a new link")
}

func TestANewLinkIsMailedThreeTimesAnHour(t *testing.T) {
	w := newWorld(t)
	var jobs madeJobs
	w.store.UseQueue(&jobs)
	con := w.linked("ada", bankbrowser.John())
	_, err := w.PutUser(t.Context(), w.app, "ada", connector.Contact{Email: "ada@example.org"})
	require.NoError(t, err)
	token := w.mailed(con, "ada@example.org")
	_, err = w.ResendReconnectLink(t.Context(), token)
	require.NoError(t, err)
	assert.Empty(t, w.notices(con.ID), "one that works is not sent again")
	w.advance(31 * day)
	require.NoError(t, w.bank.Clock().Set(w.bank.Clock().Now().Truncate(time.Hour).Add(time.Hour)))
	for range 3 {
		v, err := w.ResendReconnectLink(t.Context(), token)
		require.NoError(t, err)
		assert.Equal(t, connector.LinkExpired, v.State, "the old one stays dead")
	}
	_, err = w.ResendReconnectLink(t.Context(), token)
	assert.Equal(t, consent.CodeRateLimited, consent.CodeOf(err))
	assert.Len(t, w.notices(con.ID), 3)
	require.NotEmpty(t, jobs)
	for _, kind := range jobs {
		assert.Equal(t, consent.JobDigestAsked, kind, "nobody else's message is sent while somebody waits for an answer")
	}
}

// TestAnOperatorIsToldThatNobodyTakesMessages: once, until somebody does.
func TestAnOperatorIsToldThatNobodyTakesMessages(t *testing.T) {
	w := newWorld(t)
	con := w.linked("ada", bankbrowser.John())
	open := func() []consent.AlarmKind {
		alarms, err := w.Alarms(t.Context(), w.app, false)
		require.NoError(t, err)
		var kinds []consent.AlarmKind
		for _, a := range alarms {
			kinds = append(kinds, a.Kind)
			assert.Contains(t, a.Detail, "Nobody answers there.")
		}
		return kinds
	}
	for range 2 {
		for _, channel := range consent.Channels {
			require.NoError(t, w.Serving(t.Context(), w.app, channel, "Nobody answers there."))
		}
		assert.ElementsMatch(t, []consent.AlarmKind{consent.AlarmMailServer, consent.AlarmSMSGateway}, open())
	}
	why, _, err := w.Held(t.Context(), w.app, []consent.Consent{con})
	require.NoError(t, err)
	assert.Equal(t, []string{""}, why, "no bank is to blame")
	w.advance(2 * time.Hour)
	require.NoError(t, w.Reconcile(t.Context()))
	assert.Len(t, open(), 2, "that it is quiet says nothing")
	require.NoError(t, w.Serving(t.Context(), w.app, consent.ChannelEmail, ""))
	assert.Equal(t, []consent.AlarmKind{consent.AlarmSMSGateway}, open())
	require.NoError(t, w.Serving(t.Context(), w.app, consent.ChannelSMS, ""))
	assert.Empty(t, open())
}

// madeJobs are the kinds of the jobs that were made.
type madeJobs []string

func (q *madeJobs) Enqueue(_ context.Context, _ *sql.Tx, kind string, keys []string) error {
	for range keys {
		*q = append(*q, kind)
	}
	return nil
}

func (q *madeJobs) Waiting(context.Context, *sql.Tx, string) (int, error) { return 0, nil }
