package main

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
)

func TestACodeThatThereIsNoRoomForSaysWhenThereIs(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	m := newMessenger(parts{now: func() time.Time { return now }, log: slog.New(slog.DiscardHandler)})
	require.NoError(t, m.Drain(t.Context()))
	err := m.SendCode(reauth.CodeMessage{
		Application: &consent.Application{ID: "app_1", Name: "Acme"}, User: &consent.User{ID: "ada", Email: "ada@example.org"},
		Channel: consent.ChannelEmail, To: "ada@example.org", Code: "123456", ExpiresAt: now.Add(5 * time.Minute),
	})
	var e *consent.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, reauth.CodeSendLimited, e.Code)
	assert.Equal(t, now.Add(roomAfter), e.RetryAt)
	assert.NotContains(t, err.Error(), "123456")
}
