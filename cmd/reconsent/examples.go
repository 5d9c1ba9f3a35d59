package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/reconsent/reconsent/connector"
	"github.com/reconsent/reconsent/consent"
)

// example is a consent that a newcomer finds in dev.
type example struct {
	login   string
	user    string
	age     time.Duration // since its login was at the bank
	revoked bool
	custody consent.Custody
}

const aDay = 24 * time.Hour

// examples are one for every status, and some for company. Their logins are
// john90 to john100; the rest are free to play with.
var examples = []example{
	{login: "john90", user: "ada", age: 2 * aDay},
	{login: "john91", user: "ada", age: 40 * aDay},
	{login: "john92", user: "grace", age: 65 * aDay},
	{login: "john93", user: "grace", age: 84 * aDay},
	{login: "john94", user: "linus", age: 89*aDay + 12*time.Hour},
	{login: "john95", user: "margaret", age: 91 * aDay},
	{login: "john96", user: "margaret", age: 150 * aDay},
	{login: "john97", user: "dennis", age: 178 * aDay},
	{login: "john98", user: "ken", age: 200 * aDay},
	{login: "john99", user: "barbara", age: 10 * aDay, revoked: true},
	{login: "john100", user: "barbara", age: 20 * aDay, custody: consent.CustodyBackend},
}

// demoPassword is every example user's, and demoPasswordHash its argon2id, as an
// application would import one.
const (
	demoPassword     = "correct horse battery staple"
	demoPasswordHash = "$argon2id$v=19$m=19456,t=2,p=1$cmVjb25zZW50J3MgZGVtbw$o+czqD72e0rFTe9zFS+sN/7xFso1kH6mV1XKVp2WM3U" //nolint:gosec // printed for everybody
)

// exampleUsers are the people of the examples, in the order of their consents.
func exampleUsers() []string {
	var users []string
	for _, e := range examples {
		if !slices.Contains(users, e.user) {
			users = append(users, e.user)
		}
	}
	return users
}

// people gives the example users what they can prove themselves with.
func (d *development) people(ctx context.Context, app *consent.Application) error {
	for i, user := range exampleUsers() {
		contact := connector.Contact{Email: user + "@example.org", Phone: fmt.Sprintf("+44791112345%d", i), PasswordHash: demoPasswordHash}
		if _, err := d.sys.connector.PutUser(ctx, app, user, contact); err != nil {
			return err
		}
	}
	return nil
}

// examples registers the example consents, each real at the bank too.
func (d *development) examples(ctx context.Context, app *consent.Application) error {
	conn, now := d.sys.connector, d.bank.Clock().Now()
	scopes := []string{"info", "accounts", "balance", "offline_access"}
	for _, e := range examples {
		at := now.Add(-e.age)
		bank, err := d.bank.Authorise(ctx, d.memo.SandboxClientID, "mock", e.login, conn.CallbackURL(), scopes, at)
		if err != nil {
			return err
		}
		con, err := conn.Register(ctx, app, connector.NewConsent{
			CredentialsID: bank.CredentialsID, RefreshToken: bank.RefreshToken, Provider: "sandbox", ProviderID: "mock",
			UserID: e.user, Email: e.user + "@example.org", RedirectURI: conn.CallbackURL(), Scopes: scopes,
			ConsentedAt: at, Custody: e.custody,
		})
		if err == nil && e.revoked {
			_, err = conn.Revoke(ctx, app, con.ID, connector.ByUser)
		}
		if err != nil {
			return err
		}
	}
	return d.people(ctx, app)
}
