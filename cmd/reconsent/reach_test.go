package main

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/connector"
	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/internal/pgtest"
	"github.com/reconsent/reconsent/notify"
)

func TestSettingsOfSMSAreCheckedAtTheStartAllAtOnce(t *testing.T) {
	r := reconsent(t, "serve", "--database-url", sqliteFile(t), "--keys", succeeds(t, "keys", "new"),
		"--sms-url", "twilio://AC1:s3cret-token@+15017122661", "--sms-body", "{{.Phone}} s3cret", "--sms-header", "s3cret", "--smtp-url", "smtp:nowhere")
	assert.Equal(t, exitUsage, r.code)
	for _, fault := range []string{
		"--sms-url (RECONSENT_SMS_URL): the account SID", "the auth token", "--sms-body (RECONSENT_SMS_BODY): ", "--sms-header (RECONSENT_SMS_HEADER): line 1", "--smtp-url",
	} {
		assert.Contains(t, r.err, fault)
	}
	assert.NotContains(t, r.err, "s3cret")
	assert.Equal(t, 1, strings.Count(r.err, "\n"), r.err)
}

func TestQuietHoursAndSMSStagesAreSet(t *testing.T) {
	onEach(t, func(t *testing.T, databaseURL string) {
		in := install(t, databaseURL)
		sys := openSystem(t, config{databaseURL: databaseURL, keys: in.keys(t)}, parts{now: time.Now})
		look := func() (string, []string) {
			app, err := sys.applicationNamed(t.Context(), "acme")
			require.NoError(t, err)
			return app.QuietHours.String(), app.SMSStages
		}
		hours, stages := look()
		assert.Empty(t, hours, "none by themselves")
		assert.Empty(t, stages)
		succeeds(t, in.with("app", "set", "acme", "--quiet-hours", "22:00-07:00", "--sms-stages", "before_1d,lapse")...)
		succeeds(t, in.with("app", "set", "acme", "--name", "Acme")...)
		for want, args := range map[string][]string{
			"--quiet-hours: quiet hours \"22-7\": want two times of the day":                   {"--quiet-hours", "22-7"},
			"--quiet-hours: quiet hours of a whole day":                                        {"--quiet-hours", "22:00-22:00"},
			"SMS stage \"before_2d\": not in the application's cadence":                        {"--sms-stages", "before_2d"},
			"SMS stage \"lapse\": named twice":                                                 {"--sms-stages", "lapse,lapse"},
			"SMS stage \"before_1d\": not in the application's cadence, which has lapse":       {"--cadence", "lapse"},
			"SMS stage \"after_1d\": not in the application's cadence, which has before_30d, ": {"--sms-stages", "lapse,after_1d"},
		} {
			r := reconsent(t, in.with(append([]string{"app", "set", "acme"}, args...)...)...)
			assert.Equal(t, exitUsage, r.code)
			assert.Contains(t, r.err, want)
		}
		hours, stages = look()
		assert.Equal(t, "22:00-07:00", hours)
		assert.Equal(t, []string{"before_1d", "lapse"}, stages)
		assert.Contains(t, succeeds(t, in.with("doctor")...), "application acme: tells of before_1d, lapse by SMS, but there is no sms-url")
		succeeds(t, in.with("app", "set", "acme", "--quiet-hours", "", "--sms-stages", "")...)
		hours, stages = look()
		assert.Empty(t, hours)
		assert.Empty(t, stages)
	})
}

// TestDevCatchesSMS: the demo tells nobody by SMS until it is told to.
func TestDevCatchesSMS(t *testing.T) {
	dir, dsn := t.TempDir(), pgtest.DSN(t)
	_, r := startDev(t, dir, "--database-url", dsn)
	var list struct {
		Consents []struct {
			ID     string `json:"id"`
			UserID string `json:"user_id"`
		} `json:"consents"`
	}
	ask(t, http.MethodGet, r.API+"/v1/consents?status=active", r.APIKey, "", http.StatusOK, &list)
	require.NotEmpty(t, list.Consents)
	con := list.Consents[0]
	ask(t, http.MethodPut, r.API+"/v1/users/"+con.UserID, r.APIKey, `{"phone":"+442071838750"}`, http.StatusOK, nil)
	var sms struct {
		Messages []struct {
			To, Text string
			SentAt   time.Time `json:"sent_at"`
		} `json:"messages"`
	}
	until := func(what string) {
		ask(t, http.MethodPost, r.Sandbox+"/_control/clock", "", fmt.Sprintf(`{"advance":%q}`, what), http.StatusOK, nil)
		ask(t, http.MethodGet, r.Sandbox+"/_control/sms", "", "", http.StatusOK, &sms)
	}
	until("24h")
	require.Empty(t, sms.Messages)
	memo, err := loadMemo(filepath.Join(dir, "dev.json"))
	require.NoError(t, err)
	succeeds(t, "app", "set", demoSlug, "--sms-stages", "lapse", "--database-url", dsn, "--keys", string(memo.Keys))
	until("2136h")
	require.Len(t, sms.Messages, 1)
	assert.Equal(t, "+442071838750", sms.Messages[0].To)
	assert.Contains(t, sms.Messages[0].Text, demoName+": access to ")
	assert.Contains(t, sms.Messages[0].Text, r.API+"/r/demo.")
	assert.WithinDuration(t, bankTime(t, r), sms.Messages[0].SentAt, time.Hour)
}

// jammed takes every message and answers none until its caller gives up.
type jammed struct{ begun chan string }

func (j jammed) Send(ctx context.Context, m notify.Message) error {
	j.begun <- m.To
	<-ctx.Done()
	return ctx.Err()
}

// counted tells of every message that it takes.
type counted struct{ took chan string }

func (c counted) Send(_ context.Context, m notify.Message) error {
	c.took <- m.To
	return nil
}

// TestADeadServerOfOneChannelDoesNotHoldUpTheOther: with all who send by one
// channel at a server that never answers, and more waiting, the other channel's
// messages all arrive.
func TestADeadServerOfOneChannelDoesNotHoldUpTheOther(t *testing.T) {
	const people = consent.DigestBatch*mailWorkers + 10 // more than the workers of either channel take
	for _, dead := range []string{"mail", "sms"} {
		t.Run(dead, func(t *testing.T) {
			databaseURL := sqliteFile(t)
			in := lapsingSoon(t, databaseURL, people)
			succeeds(t, in.with("app", "set", "acme", "--sms-stages", "before_7d")...)
			stuck, well := jammed{make(chan string, 2*people)}, counted{make(chan string, people)}
			p := parts{now: time.Now, mailer: notify.Mailer(stuck), sms: notify.Mailer(well), poll: devPoll}
			busy := mailWorkers
			if dead == "sms" {
				p.mailer, p.sms, busy = p.sms, p.mailer, smsWorkers
			}
			sys := openSystem(t, config{databaseURL: databaseURL, keys: in.keys(t), baseURL: "http://127.0.0.1:8080"}, p)
			app, err := sys.applicationNamed(t.Context(), "acme")
			require.NoError(t, err)
			for i := range people {
				_, err := sys.connector.PutUser(t.Context(), &app, fmt.Sprintf("user-%d", i), connector.Contact{
					Email: fmt.Sprintf("user-%d@example.org", i), Phone: fmt.Sprintf("+44207183%04d", 8000+i)})
				require.NoError(t, err)
			}
			require.NoError(t, sys.sweep(t.Context(), ""))

			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- sys.scheduler.Run(ctx, 8*time.Second) }()
			receive := func(from chan string) string {
				select {
				case to := <-from:
					return to
				case <-time.After(waitLong):
					require.FailNow(t, "nothing came in time")
					return ""
				}
			}
			for range busy {
				receive(stuck.begun)
			}
			arrived := map[string]bool{}
			for range people {
				arrived[receive(well.took)] = true
			}
			assert.Len(t, arrived, people)
			select {
			case <-stuck.begun:
				assert.Fail(t, "more are stuck than the channel has workers")
			default:
			}
			stop()
			require.NoError(t, <-ended)
		})
	}
}
