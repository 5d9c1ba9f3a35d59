package sandbox_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/provider/sandbox"
	"github.com/reconsent/reconsent/provider/sandbox/bankbrowser"
)

// restarted runs each life of a sandbox on one file, one after the other.
func restarted(t *testing.T, path string, lives ...func(*world)) {
	t.Helper()
	for _, live := range lives {
		t.Run("life", func(t *testing.T) {
			live(newWorld(t, func(o *sandbox.Options) { o.Path = path }))
		})
	}
}

func TestARestartForgetsNothing(t *testing.T) {
	var g grant
	var before []sandbox.Connection
	var rotated, used, dead, deleted string
	var offset time.Duration
	restarted(t, filepath.Join(t.TempDir(), "a b%20?#é.db"), func(w *world) {
		g = w.linked(bankbrowser.John())
		w.fault("refresh_token_rotates", 1)
		dead, rotated = g.refresh, w.refresh(g.refresh).text("refresh_token")
		used = w.visit(bankbrowser.John(), w.dialog()).Get("code")
		require.Equal(t, 200, w.exchange(used).Status)
		gone := w.linked(bankbrowser.Numbered(2))
		deleted = gone.refresh
		require.Equal(t, 200, w.send("DELETE", "/api/delete", "", "", gone.access).Status)
		w.advance(30 * day)
		g.access = w.refresh(rotated).text("access_token")
		w.fault("internal_error", 5)
		before, offset = w.bank.Connections(), w.bank.Clock().Offset()
	}, func(w *world) {
		assert.Equal(t, before, w.bank.Connections())
		assert.Equal(t, offset, w.bank.Clock().Offset())
		w.me(g.access)
		assert.Equal(t, "400 invalid_grant", w.refresh(dead).code(), "dead stays dead")
		assert.Equal(t, "400 invalid_grant", w.refresh(deleted).code())
		assert.Equal(t, "400 invalid_authorization_code", w.exchange(used).code(), "used stays used")
		assert.Equal(t, rotated, w.refresh(rotated).text("refresh_token"))
		w.advance(60 * day)
	}, func(w *world) {
		assert.Equal(t, 90*day, w.bank.Clock().Offset())
		assert.Equal(t, "400 invalid_grant", w.refresh(rotated).code(), "and time has passed")
		assert.Equal(t, g.credentials, w.linked(bankbrowser.John()).credentials)
		assert.Equal(t, 200, w.post("/_control/reset", map[string]any{}).Status)
	}, func(w *world) {
		assert.Empty(t, w.bank.Connections(), "nor does it remember what was forgotten")
		assert.Equal(t, 90*day, w.bank.Clock().Offset())
	})
}

// What is on the disk is of no use to whoever finds it.
func TestTheFileHoldsNoTokenAndNoCode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bank.db")
	var secrets []string
	restarted(t, path, func(w *world) {
		g := w.linked(bankbrowser.John())
		secrets = []string{g.access, g.refresh, w.visit(bankbrowser.John(), w.dialog()).Get("code"), secret}
		link := w.reauth(g.refresh).text("result")
		secrets = append(secrets, link[strings.LastIndex(link, "/")+1:])
	})
	for _, name := range []string{path, path + "-wal"} {
		b, err := os.ReadFile(name)
		if os.IsNotExist(err) {
			continue
		}
		require.NoError(t, err)
		for _, s := range secrets {
			assert.NotContains(t, string(b), s)
		}
	}
}

// A person's state that is no UTF-8 outlives a restart, too.
func TestAPersonOnTheWayOutlivesARestart(t *testing.T) {
	const state = "\xff\x00é"
	var path string
	restarted(t, filepath.Join(t.TempDir(), "bank.db"), func(w *world) {
		path = w.sit(w.dialog("state", state)).press().press("username", "john3", "password", "doe3").path
	}, func(w *world) {
		q := w.sit(w.at + path).press().back().Query()
		assert.Equal(t, state, q.Get("state"))
		assert.Equal(t, 200, w.exchange(q.Get("code")).Status)
		assert.Equal(t, "john3", w.bank.Connections()[0].Login)
	})
}

// Nobody is told what could not be written, and nobody's tokens are refused
// because of it: that would be read as the end of a consent.
func TestAFileThatCannotBeWrittenIsOurTroubleAndNobodyElses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bank.db")
	w := newWorld(t, func(o *sandbox.Options) { o.Path = path })
	g := w.linked(bankbrowser.John())
	link := w.reauth(g.refresh).text("result")
	other, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, other.Close()) })
	fails := func() {
		t.Helper()
		for range 2 {
			assert.Equal(t, "500 internal_server_error", w.refresh(g.refresh).code())
			assert.Equal(t, "500 internal_server_error", w.reauth(g.refresh).code())
			assert.Equal(t, 500, w.sit(w.dialog()).page.Status)
			assert.Equal(t, 500, w.post("/_control/reset", map[string]any{}).Status)
		}
	}
	_, err = other.ExecContext(t.Context(), `CREATE TRIGGER full BEFORE INSERT ON bank BEGIN SELECT RAISE(FAIL, 'disk full'); END;
		CREATE TRIGGER full_too BEFORE DELETE ON bank BEGIN SELECT RAISE(FAIL, 'disk full'); END`)
	require.NoError(t, err)
	fails()
	w.me(g.access) // is only read
	_, err = other.ExecContext(t.Context(), `DROP TRIGGER full; DROP TRIGGER full_too`)
	require.NoError(t, err)
	assert.Equal(t, 200, w.refresh(g.refresh).Status, "it heals")
	assert.NotEmpty(t, w.visit(bankbrowser.John(), link).Get("code"))

	// Nor can the file be read, as while it shuts down.
	g.access = w.refresh(g.refresh).text("access_token")
	require.NoError(t, w.bank.Close())
	fails()
	assert.Equal(t, "500 internal_server_error", w.get("/data/v1/me", g.access).code())
	assert.Equal(t, 500, w.sit(link).page.Status)
	assert.Equal(t, 500, w.post("/_control/clock", map[string]string{"advance": "1h"}).Status)
}

func TestAMemoryThatIsNoneIsSaidAtTheStart(t *testing.T) {
	dir := t.TempDir()
	rubbish := filepath.Join(dir, "rubbish.db")
	require.NoError(t, os.WriteFile(rubbish, []byte(strings.Repeat("this is no database ", 100)), 0o600))
	odd := filepath.Join(dir, "odd.db")
	restarted(t, odd, func(*world) {})
	db, err := sql.Open("sqlite", odd)
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), `INSERT INTO bank VALUES ('of a later version', 'x', 'y')`)
	require.NoError(t, err)
	restarted(t, odd, func(*world) {}) // is let be
	_, err = db.ExecContext(t.Context(), `INSERT INTO bank VALUES ('connection', 'x', 'no JSON')`)
	require.NoError(t, err)
	require.NoError(t, db.Close())
	for _, path := range []string{rubbish, odd, filepath.Join(dir, "no", "such", "directory.db"), dir} {
		_, err := sandbox.New(t.Context(), sandbox.Options{Path: path})
		require.ErrorContains(t, err, "open the sandbox's memory", path)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = sandbox.New(ctx, sandbox.Options{Path: filepath.Join(dir, "late.db")})
	require.ErrorIs(t, err, context.Canceled)
}

// What was done is kept, though the caller has gone away meanwhile.
func TestWhatExamplesAndTestsMakeWithoutABrowser(t *testing.T) {
	var made sandbox.Authorised
	path := filepath.Join(t.TempDir(), "bank.db")
	restarted(t, path, func(w *world) {
		at := w.bank.Clock().Now().Add(-100 * day)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		var err error
		made, err = w.bank.Authorise(ctx, client, "mock", "john90", callback, []string{"info", "accounts", "offline_access"}, at)
		require.NoError(t, err)
		assert.Len(t, made.Accounts, 2)
		again, err := w.bank.Authorise(t.Context(), client, "mock", "john90", callback, nil, at)
		require.NoError(t, err)
		assert.Equal(t, made.CredentialsID, again.CredentialsID)
		assert.NotEqual(t, made.RefreshToken, again.RefreshToken, "one more")
		assert.Equal(t, made.Accounts, again.Accounts)
		_, err = w.bank.Authorise(t.Context(), client, "no-bank", "john90", callback, nil, at)
		require.ErrorContains(t, err, "no-bank")
	}, func(w *world) {
		con, ok := w.bank.Connection(made.CredentialsID)
		require.True(t, ok)
		assert.Equal(t, 2, con.RefreshTokens)
		assert.Equal(t, con.AuthorisedAt.Add(90*day), con.ExpiresAt)
		assert.Equal(t, con.AuthorisedAt.Add(180*day), con.RenewableUntil)
		assert.Equal(t, "400 invalid_grant", w.refresh(made.RefreshToken).code(), "lapsed ten days ago")
		q := w.visit(bankbrowser.Numbered(90), w.reauth(made.RefreshToken).text("result"))
		a := w.exchange(q.Get("code"))
		require.Equal(t, 200, a.Status)
		assert.Equal(t, made.RefreshToken, a.text("refresh_token"))
		assert.Equal(t, made.CredentialsID, w.me(a.text("access_token"))["credentials_id"])
	})
}
