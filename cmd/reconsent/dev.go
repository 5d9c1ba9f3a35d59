package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/provider/sandbox"
	"github.com/reconsent/reconsent/reauth/stepup"
)

// devOptions are the flags of dev.
type devOptions struct {
	addr, sandboxAddr, dataDir, databaseURL, logLevel, reauth string
	json                                                      bool
}

func devCommand(std stdio) *cobra.Command {
	var o devOptions
	cmd := &cobra.Command{
		Use: "dev", Short: "Serve everything for development, without any configuration",
		Long: "Serves the API, a sandbox bank with a clock to move, a demo application and example consents in every state, from a database of its own.",
		RunE: func(cmd *cobra.Command, _ []string) error { return dev(cmd.Context(), std, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.addr, "addr", "127.0.0.1:8080", "address of the API; port 0 picks one")
	f.StringVar(&o.sandboxAddr, "sandbox-addr", "127.0.0.1:8081", "address of the sandbox bank; port 0 picks one")
	f.StringVar(&o.dataDir, "data-dir", ".reconsent", "directory that everything is kept in")
	f.StringVar(&o.databaseURL, "database-url", "", "another registry than the one in the data directory")
	f.StringVar(&o.reauth, "reauth", "", "document of settings, as 'app reauth --file' takes it, over the demo application's own")
	f.StringVar(&o.logLevel, "log-level", "warn", "debug, info, warn or error")
	f.BoolVar(&o.json, "json", false, "print one line of JSON once ready")
	return cmd
}

// dev serves until ctx ends.
func dev(ctx context.Context, std stdio, o devOptions) error {
	if err := checkLevel(o.logLevel); err != nil {
		return usagef("--log-level: %w", err)
	}
	if o.databaseURL != "" {
		if err := checkDatabaseURL(o.databaseURL); err != nil {
			return usagef("--database-url: %w", err)
		}
	}
	if err := os.MkdirAll(o.dataDir, 0o700); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	memo, err := loadMemo(filepath.Join(o.dataDir, memoFile))
	if err != nil {
		return err
	}
	c := config{databaseURL: o.databaseURL, keys: string(memo.Keys), logLevel: o.logLevel}
	if c.databaseURL == "" {
		c.databaseURL = registryIn(o.dataDir)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	group, ctx := newServing(ctx)
	d := &development{memo: memo, log: c.logger(std), group: group, up: make(chan struct{})}
	defer d.close() //nolint:contextcheck // ctx is over by then
	err = d.open(ctx, o, c)
	if err == nil {
		err = d.ready.print(std, o.json)
	}
	if err != nil {
		stop()
	}
	return errors.Join(err, group.Wait())
}

// devPoll is how often dev looks for jobs: somebody watches.
const devPoll = 100 * time.Millisecond

// development is the connector and the bank that it is shown against, on one
// clock.
type development struct {
	memo  *memo
	log   *slog.Logger
	group serving
	bank  *sandbox.Server
	mail  mailbox
	sms   mailbox
	sys   *system
	up    chan struct{} // closed when sys is there
	ready ready
}

func (d *development) close() {
	if d.sys != nil {
		_ = d.sys.close()
	}
	if d.bank != nil {
		_ = d.bank.Close()
	}
}

// open brings both up.
func (d *development) open(ctx context.Context, o devOptions, c config) error {
	bankAt, err := listen(ctx, o.sandboxAddr)
	if err != nil {
		return err
	}
	apiAt, err := listen(ctx, o.addr)
	if err != nil {
		return errors.Join(err, bankAt.Close())
	}
	d.ready.Sandbox, d.ready.API = "http://"+bankAt.Addr().String(), "http://"+apiAt.Addr().String()
	c.baseURL = d.ready.API
	if err := d.openBank(ctx, o, bankAt); err != nil {
		return errors.Join(err, bankAt.Close(), apiAt.Close())
	}
	if err := d.openRegistry(ctx, o, c); err != nil {
		return errors.Join(err, apiAt.Close())
	}
	h, err := d.handler(d.sys.handler())
	if err == nil {
		d.ready.token, err = d.userToken("ada", demoSession)
	}
	if err != nil {
		return errors.Join(err, apiAt.Close())
	}
	close(d.up)
	d.sys.serve(ctx, d.group, apiAt, h)
	return nil
}

// openBank serves the bank. It comes first: the demo is made at it.
func (d *development) openBank(ctx context.Context, o devOptions, l net.Listener) (err error) {
	d.bank, err = sandbox.New(ctx, sandbox.Options{
		ClientID: d.memo.SandboxClientID, ClientSecret: d.memo.SandboxClientSecret, ClientName: demoName, Path: filepath.Join(o.dataDir, "sandbox.db"),
		Log: d.log, OnMove: d.moved, Mail: d.mail.list, SMS: d.sms.list,
	})
	if err == nil {
		d.group.serve(ctx, l, d.bank.Handler())
	}
	return err
}

// moved lets the connector do what fell due by a move of the clock.
func (d *development) moved(ctx context.Context) error {
	select {
	case <-d.up:
		return d.sys.allThatIsDue(ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// openRegistry opens the registry and puts the demo into it.
func (d *development) openRegistry(ctx context.Context, o devOptions, c config) (err error) {
	d.mail.now, d.sms.now = d.bank.Clock().Now, d.bank.Clock().Now
	p := parts{now: d.bank.Clock().Now, log: d.log, mailer: &d.mail, sms: &d.sms, poll: devPoll, migrate: true, loopback: true}
	if d.sys, err = open(ctx, c, p); err != nil {
		return err
	}
	idle := func() { //nolint:contextcheck // whoever reads the mail waits for it, not what began dev
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		d.sys.messenger.Idle(ctx)
	}
	d.mail.idle, d.sms.idle = idle, idle
	app, err := d.demo(ctx)
	if err != nil {
		return err
	}
	set := d.demoReauth(app.ID)
	if o.reauth != "" {
		if set, err = readReauthSettings(o.reauth, set); err != nil {
			return usagef("--reauth: %w", oneLine(err))
		}
	}
	if err := d.sys.reauth.PutSettings(ctx, set); err != nil {
		return err
	}
	d.ready.ApplicationID = app.ID
	d.ready.APIKey, d.ready.UserJWTSecret = d.memo.APIKey, d.memo.UserJWTSecret
	d.ready.SandboxClientID, d.ready.SandboxClientSecret = d.memo.SandboxClientID, d.memo.SandboxClientSecret
	return d.memo.save()
}

// ready is what dev prints once it serves.
type ready struct {
	API                 string `json:"api"`
	Sandbox             string `json:"sandbox"`
	ApplicationID       string `json:"application_id"`
	APIKey              string `json:"api_key"`
	UserJWTSecret       string `json:"user_jwt_secret"`
	SandboxClientID     string `json:"sandbox_client_id"`
	SandboxClientSecret string `json:"sandbox_client_secret"`

	token string // of a user of the demo; for people, who get the page too
}

func (r ready) print(std stdio, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(std.out).Encode(r)
	}
	_, err := fmt.Fprintf(std.out, `reconsent is up.

  API            %s          (what it can do: %s/docs)
  Sandbox bank   %s
  API key        %s

Link a bank account; open the "uri" that comes back and sign in as john, doe:

  curl -s %s/v1/authuri -H 'Authorization: Bearer %s' \
    -H 'Content-Type: application/json' \
    -d '{"provider":"sandbox","provider_id":"mock","user_id":"me","state":"hello"}'

See your consent, let 91 days pass, and ask for a link to renew it:

  curl -s '%s/v1/consents?user_id=me' -H 'Authorization: Bearer %s'
  curl -s %s/_control/clock -d '{"advance":"2184h"}'
  curl -s %s/reauthuri -H 'Authorization: Bearer %s' \
    -H 'Content-Type: application/json' -d '{"consent_id":"con_..."}'

Read what people were mailed meanwhile; the link in it leads to the page:

  curl -s %s/_control/mail

Ask whether ada has proven lately who she is (no: 403 says what is missing), with a
token that is good for a day; then prove it at the page, with every factor there is.
The password of each example user is: %s

  curl -s '%s/reauthenticate?level=strict' -H 'Authorization: Bearer %s'
  open http://localhost%s

Stop with Ctrl-C; everything is kept.
`, r.API, r.API, r.Sandbox, r.APIKey, r.API, r.APIKey, r.API, r.APIKey, r.Sandbox, r.API, r.APIKey, r.Sandbox,
		demoPassword, r.API, r.token, r.API[strings.LastIndexByte(r.API, ':'):]+factorsAt)
	return err
}

const (
	demoSlug = "demo"
	demoName = "Demo Budget"
)

// demoPolicy are TrueLayer's figures for UK banks (providers.md 1.4, 1.6).
var demoPolicy = consent.Policy{Validity: 90 * 24 * time.Hour, RenewalWindow: 90 * 24 * time.Hour, RenewBy: consent.RenewByReauth}

// demoReauth has the demo's users prove themselves with tokens that anybody who
// reads what dev prints can sign, from pages on this machine.
func (d *development) demoReauth(applicationID string) stepup.Settings {
	port := d.ready.API[strings.LastIndexByte(d.ready.API, ':'):]
	return stepup.Settings{
		ApplicationID: applicationID,
		Identity:      stepup.Identity{Algorithms: []string{"HS256"}, Secret: d.memo.UserJWTSecret, TrustAuthTime: true},
		Origins:       []string{"http://localhost:*", "http://127.0.0.1:*"},
		Passkeys:      stepup.Passkeys{RPID: "localhost", Origins: []string{"http://localhost" + port}},
	}
}

// demo finds or makes the demo application, points its provider at the bank's
// present address, and makes sure that the printed key works.
func (d *development) demo(ctx context.Context) (consent.Application, error) {
	conn := d.sys.connector
	app, err := d.sys.store.ApplicationBySlug(ctx, demoSlug)
	fresh := isNotFound(err)
	if fresh {
		loopback := []string{"http://127.0.0.1:*", "http://localhost:*"}
		app, err = conn.CreateApplication(ctx, consent.Application{
			Slug: demoSlug, Name: demoName, RedirectURIs: loopback, ReturnTos: loopback,
			Policies: map[string]consent.Policy{"sandbox": demoPolicy, "truelayer": demoPolicy},
		})
	}
	if err != nil {
		return app, err
	}
	for _, name := range []string{"sandbox", "truelayer"} {
		if err := conn.SetProvider(ctx, &app, name, d.memo.providerConfig(d.ready.Sandbox)); err != nil {
			return app, err
		}
	}
	if app, err = d.sys.store.Application(ctx, app.ID); err != nil {
		return app, err
	}
	if _, err := conn.Authenticate(ctx, d.memo.APIKey); err != nil {
		if d.memo.APIKey, _, err = conn.NewAPIKey(ctx, &app, "dev"); err != nil {
			return app, err
		}
	}
	if fresh {
		return app, d.examples(ctx, &app)
	}
	return app, nil
}
