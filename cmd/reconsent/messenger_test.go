package main

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/notify"
	"github.com/reconsent/reconsent/reauth/stepup"
)

func TestACodeThatThereIsNoRoomForSaysWhenThereIs(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	m := newMessenger(parts{now: func() time.Time { return now }, log: slog.New(slog.DiscardHandler)})
	require.NoError(t, m.Drain(t.Context()))
	err := m.SendCode(stepup.CodeMessage{
		Application: &consent.Application{ID: "app_1", Name: "Acme"}, User: &consent.User{ID: "ada", Email: "ada@example.org"},
		Channel: consent.ChannelEmail, To: "ada@example.org", Code: "123456", ExpiresAt: now.Add(5 * time.Minute),
	})
	var e *consent.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, stepup.CodeSendLimited, e.Code)
	assert.Equal(t, now.Add(roomAfter), e.RetryAt)
	assert.NotContains(t, err.Error(), "123456")
}

func TestANoticeThatIsLostIsRecorded(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var mailer struct{ notify.Mailer } // nothing gets so far
	m := newMessenger(parts{now: func() time.Time { return now }, log: slog.New(slog.DiscardHandler), mailer: mailer})
	var lost []string
	m.unsent = func(_ context.Context, applicationID, userID string, e stepup.Event) error {
		lost = append(lost, applicationID+" "+userID+" "+string(e))
		return nil
	}
	require.NoError(t, m.Drain(t.Context()))
	m.Tell(stepup.Notice{Application: &consent.Application{ID: "app_1"}, User: &consent.User{ID: "ada", Email: "ada@example.org"}, Event: stepup.EventLocked})
	assert.Equal(t, []string{"app_1 ada locked"}, lost, "no room")

	lost = nil
	for _, r := range []notify.Result{notify.ResultSent, notify.ResultGivenUp, notify.ResultFailed} {
		m.outcome(t.Context(), notify.Sent{ApplicationID: "app_1", UserID: "bob", Kind: notify.NoticeBackupUsed, Result: r})
	}
	assert.Equal(t, []string{"app_1 bob backup_used", "app_1 bob backup_used"}, lost)
}
