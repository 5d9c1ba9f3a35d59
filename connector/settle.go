package connector

import (
	"context"
	"crypto/hmac"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/provider"
)

// identity is the provider's own word on whose grant it is.
type identity struct {
	provider.Inspection
	accounts []string // sorted fingerprints
	looked   bool     // the scope shows accounts, and we looked
	label    string
	count    int // how many accounts were seen
}

// identify asks the provider. What cannot be read is not taken for granted
// (law 7): an *provider.Error says why.
func (c *Connector) identify(ctx context.Context, p provider.Provider, g provider.Grant, scopes []string) (identity, error) {
	var id identity
	inspector, ok := p.(provider.Inspector)
	if !ok {
		return id, &provider.Error{Kind: provider.Unsupported, Op: "inspect"}
	}
	ins, err := inspector.Inspect(ctx, g.AccessToken)
	if err != nil {
		return id, err
	}
	if ins.CredentialsID == "" {
		return id, &provider.Error{Kind: provider.Unsupported, Op: "inspect", Code: reasonUnidentified}
	}
	id.Inspection = ins
	if len(g.Scopes) > 0 {
		scopes = g.Scopes
	} else if len(ins.Scopes) > 0 {
		scopes = ins.Scopes
	}
	id.Scopes = scopes
	lister, ok := p.(provider.AccountLister)
	if !ok || !slices.Contains(scopes, "accounts") {
		return id, nil
	}
	accounts, err := lister.Accounts(ctx, g.AccessToken)
	if provider.IsKind(err, provider.Unsupported) {
		return id, nil // a bank that shows none, for instance of cards only
	}
	if err != nil {
		return id, err
	}
	id.looked = true
	for _, a := range accounts {
		for _, name := range accountNames(a) {
			sum, err := c.keys.Fingerprint(purposeAccount, []byte(ins.ProviderID+"\x00"+name))
			if err != nil {
				return id, err
			}
			id.accounts = append(id.accounts, base64.RawURLEncoding.EncodeToString(sum[:16]))
		}
	}
	slices.Sort(id.accounts)
	id.accounts = slices.Compact(id.accounts)
	if id.count = len(accounts); id.count > 0 {
		id.label = maskedLabel(accounts[0])
	}
	return id, nil
}

// accountNames returns what an account is recognised by. The bank's own
// identifiers outlive the provider's id, which some change on renewal.
func accountNames(a provider.Account) []string {
	if len(a.Identifiers) > 0 {
		return a.Identifiers
	}
	return []string{"id:" + a.ID}
}

// maskedLabel names an account so that its holder knows it and nobody else
// learns a number.
func maskedLabel(a provider.Account) string {
	name := consent.OneLine(a.Name)
	if len(a.Identifiers) == 0 {
		return name
	}
	number := consent.OneLine(a.Identifiers[0])
	if len(number) < 8 {
		return name
	}
	return strings.TrimSpace(name + " ••" + number[len(number)-4:])
}

// settle decides what a grant becomes, by whose it is.
func (c *Connector) settle(ctx context.Context, app *consent.Application, p provider.Provider, a consent.Attempt, kept keptGrant, vouched bool) (consent.Attempt, error) {
	identify := c.identifyFresh
	if len(a.Grant) > 0 {
		identify = c.identifyAgain // an earlier claim's grant: its access token may have run out
	}
	id, kept, err := identify(ctx, p, a, kept)
	a.CredentialsID = id.CredentialsID // as far as the provider said, before anything went wrong
	if err != nil {
		if retryable(err) {
			return a, c.release(ctx, a, fromProvider(err, nil))
		}
		return c.fail(ctx, a, consent.AttemptFailed, identityReason(err), &kept)
	}
	switch a.Kind {
	case consent.KindReauthorize:
		con, err := c.registry.Consent(ctx, app.ID, a.ConsentID)
		if err != nil {
			return a, c.release(ctx, a, err)
		}
		if reason := differs(&con, id); reason != "" {
			return c.fail(ctx, a, consent.AttemptMismatched, reason, &kept)
		}
		return c.renewOnce(ctx, app, a, con, id, kept)
	case consent.KindRelink:
		con, err := c.registry.Consent(ctx, app.ID, a.ConsentID)
		if err != nil {
			return a, c.release(ctx, a, err)
		}
		if differs(&con, id) == "" || knownAccountIn(&con, id) {
			return c.renewOnce(ctx, app, a, con, id, kept)
		}
		return c.link(ctx, app, a, con.ID, id, kept, vouched)
	default:
		return c.link(ctx, app, a, "", id, kept, vouched)
	}
}

// differs says why an identity is not the consent's, or "" (law 1).
func differs(con *consent.Consent, id identity) string {
	switch {
	case con.CredentialsID != id.CredentialsID:
		return reasonLogin
	case id.looked && !consent.SharesAccount(con.Accounts, id.accounts):
		return reasonAccounts
	default:
		return ""
	}
}

// knownAccountIn reports whether an account that we know the consent by came
// back: proof enough for a relink, which may bring a new credentials id.
func knownAccountIn(con *consent.Consent, id identity) bool {
	return len(con.Accounts) > 0 && consent.SharesAccount(con.Accounts, id.accounts)
}

// renewOnce renews the consent if it is still in the cycle in which the attempt
// began: of several attempts the first to return wins, also over one that was
// taken up late with a grant in its hand.
func (c *Connector) renewOnce(ctx context.Context, app *consent.Application, a consent.Attempt, con consent.Consent, id identity, kept keptGrant) (consent.Attempt, error) {
	if con.Cycle != a.Cycle {
		return c.overtaken(ctx, a, con.ID, kept)
	}
	return c.renew(ctx, app, a, con, id, kept)
}

// renew starts the consent's next cycle. A claim that was lost or a consent
// that moved on meanwhile leaves the attempt to whoever was faster.
func (c *Connector) renew(ctx context.Context, app *consent.Application, a consent.Attempt, con consent.Consent, id identity, kept keptGrant) (consent.Attempt, error) {
	now := c.now()
	next, event, err := c.nextCycle(app, a, con, id, kept.grant(), now)
	if err != nil {
		return a, c.release(ctx, a, err)
	}
	event.Data["attempt_id"] = a.ID
	hash, err := c.tokenHash(kept.RefreshToken)
	if err != nil {
		return a, c.release(ctx, a, err)
	}
	_, err = c.registry.Renew(context.WithoutCancel(ctx), consent.Renewal{
		ApplicationID: app.ID, AttemptID: a.ID, ClaimID: a.ClaimID, At: now, Consent: next, TokenHash: hash, Event: event,
	})
	switch {
	case errors.Is(err, consent.ErrOvertaken):
		return c.overtaken(ctx, a, con.ID, kept)
	case errors.Is(err, consent.ErrExists):
		// A relink came back with the login of yet another live consent.
		return c.fail(ctx, a, consent.AttemptMismatched, reasonLogin, &kept)
	case err != nil:
		return a, err
	}
	c.forgetSuperseded(ctx, next.ApplicationID, next.Provider, next.CredentialsID, next.ID)
	return c.registry.Attempt(ctx, app.ID, a.ID)
}

// overtaken ends an attempt whose consent moved on while it was at the bank:
// renewed by another attempt, whose outcome this one shows, or revoked.
func (c *Connector) overtaken(ctx context.Context, a consent.Attempt, consentID string, kept keptGrant) (consent.Attempt, error) {
	con, err := c.registry.Consent(ctx, a.ApplicationID, consentID)
	if err != nil {
		return a, c.release(ctx, a, err)
	}
	if !con.RevokedAt.IsZero() {
		return c.fail(ctx, a, consent.AttemptFailed, reasonRevoked, &kept)
	}
	return c.registry.FinishAttempt(context.WithoutCancel(ctx), consent.Finish{
		ApplicationID: a.ApplicationID, AttemptID: a.ID, ClaimID: a.ClaimID, At: c.now(),
		Status: consent.AttemptRenewed, Reason: reasonOvertaken, ConsentID: consentID, CredentialsID: a.CredentialsID, ForgetAccess: true,
	})
}

// nextCycle returns the consent as a successful trip leaves it.
func (c *Connector) nextCycle(app *consent.Application, a consent.Attempt, con consent.Consent, id identity, g provider.Grant, now time.Time) (consent.Consent, consent.Event, error) {
	event := c.event(consent.EventRenewed, now, map[string]any{
		"old_expires_at": rfc3339(con.ExpiresAt),
		"credentials_id": id.CredentialsID,
	})
	if id.looked {
		kept, gone, added := compareAccounts(con.Accounts, id.accounts)
		event.Data["accounts"] = map[string]any{"kept": kept, "gone": gone, "new": added}
		con.Accounts = id.accounts
	}
	con.NextCycle(now)
	if con.RedirectURI == "" { // registered without one
		con.RedirectURI, con.Hosted = a.RedirectURI, a.Hosted
	}
	if err := c.fill(app, &con, id, g, now); err != nil {
		return con, event, err
	}
	event.Data["expires_at"] = rfc3339(con.ExpiresAt)
	event.Data["expiry_source"] = string(con.ExpirySource)
	return con, event, nil
}

// fill writes what the provider said, and the tokens, into a consent.
func (c *Connector) fill(app *consent.Application, con *consent.Consent, id identity, g provider.Grant, now time.Time) error {
	con.CredentialsID = id.CredentialsID
	if id.ProviderID != "" {
		con.ProviderID = id.ProviderID
	}
	if id.ProviderName != "" {
		con.BankName = consent.OneLine(id.ProviderName)
	}
	if id.count > 0 {
		con.AccountLabel, con.AccountCount = id.label, id.count
	}
	if len(id.Scopes) > 0 {
		con.Scopes = id.Scopes
	}
	policy := app.Policy(con.Provider)
	con.ExpiresAt, con.ExpirySource = policy.Forecast(id.ExpiresAt, con.ConsentedAt)
	con.Reschedule(app.Cadence, policy, now)
	c.recheck(con, now)
	return c.takeTokens(con, g, now)
}

// takeTokens seals a grant into a consent. Without a refresh token in it the
// one that the registry holds stays.
func (c *Connector) takeTokens(con *consent.Consent, g provider.Grant, now time.Time) error {
	access, err := c.seal(g.AccessToken, con.ID)
	if err != nil {
		return err
	}
	refresh, err := c.seal(g.RefreshToken, con.ID)
	if err != nil {
		return err
	}
	con.Tokens = consent.Tokens{Access: access, AccessExpiresAt: g.AccessExpiresAt, Refresh: refresh, RefreshedAt: now}
	return nil
}

func (c *Connector) tokenHash(token string) ([]byte, error) {
	if token == "" {
		return nil, nil
	}
	return c.keys.Fingerprint(purposeToken, []byte(token))
}

// link registers what a first link brought, or renews the consent that its
// login belongs to already. What the application has not vouched for is held.
func (c *Connector) link(ctx context.Context, app *consent.Application, a consent.Attempt, replaces string, id identity, kept keptGrant, vouched bool) (consent.Attempt, error) {
	same, err := c.registry.FindConsents(ctx, app.ID, consent.Find{UserID: a.UserID, Provider: a.Provider, CredentialsID: id.CredentialsID})
	if err != nil {
		return a, c.release(ctx, a, err)
	}
	for _, con := range unrevoked(same) {
		if con.Pending {
			continue
		}
		if differs(&con, id) != "" {
			return c.fail(ctx, a, consent.AttemptMismatched, reasonAccounts, &kept)
		}
		if !vouched {
			return c.hold(ctx, a, con.ID, kept)
		}
		con, err := c.lease(ctx, app, con.ID, a.ClaimID)
		if err != nil {
			return a, c.release(ctx, a, err)
		}
		if differs(&con, id) != "" {
			return c.fail(ctx, a, consent.AttemptMismatched, reasonAccounts, &kept)
		}
		return c.renew(ctx, app, a, con, id, kept)
	}
	now := c.now()
	con := consent.Consent{
		ApplicationID: app.ID, ID: "con_" + c.newID(), UserID: a.UserID, Provider: a.Provider, ProviderID: a.ProviderID,
		Cycle: 1, Custody: consent.CustodyOurs, Scopes: a.Scopes, RedirectURI: a.RedirectURI, Hosted: a.Hosted,
		Replaces: replaces, CreatedAt: now, ConsentedAt: now, Accounts: id.accounts, Pending: !vouched,
		CredentialsID: id.CredentialsID,
	}
	reg := consent.Registration{Contact: consent.User{ApplicationID: app.ID, ID: a.UserID, CreatedAt: now, UpdatedAt: now}}
	if vouched {
		if err := c.fill(app, &con, id, kept.grant(), now); err != nil {
			return a, c.release(ctx, a, err)
		}
		if reg.TokenHash, err = c.tokenHash(kept.RefreshToken); err != nil {
			return a, c.release(ctx, a, err)
		}
		reg.Events = []consent.Event{c.linkedEvent(a, &con, now)}
	} else {
		con.Accounts = nil // neither token nor data until it is confirmed
	}
	reg.Consent = con
	_, err = c.registry.Link(context.WithoutCancel(ctx), consent.Linkage{
		ApplicationID: app.ID, AttemptID: a.ID, ClaimID: a.ClaimID, At: now,
		Registration: reg, ResultHash: kept.ResultHash, ConfirmBy: now.Add(confirmWindow),
	})
	switch {
	case errors.Is(err, consent.ErrExists):
		// Linked or pending by another attempt in this moment: a reload finds it.
		return a, c.release(ctx, a, &consent.Error{Code: consent.CodeAttemptInProgress, AttemptID: a.ID, RetryAt: now.Add(time.Second),
			Detail: "The same bank login is being linked by another attempt; ask again in a moment."})
	case err != nil:
		return a, err
	}
	c.forgetSuperseded(ctx, con.ApplicationID, con.Provider, con.CredentialsID, con.ID)
	return c.registry.Attempt(ctx, app.ID, a.ID)
}

func (c *Connector) linkedEvent(a consent.Attempt, con *consent.Consent, now time.Time) consent.Event {
	data := map[string]any{
		"attempt_id": a.ID, "credentials_id": con.CredentialsID,
		"expires_at": rfc3339(con.ExpiresAt), "expiry_source": string(con.ExpirySource),
	}
	if con.Replaces != "" {
		data["replaces"] = con.Replaces
	}
	return c.event(consent.EventLinked, now, data)
}

func (c *Connector) hold(ctx context.Context, a consent.Attempt, consentID string, kept keptGrant) (consent.Attempt, error) {
	now := c.now()
	err := c.registry.HoldAttempt(context.WithoutCancel(ctx), consent.Hold{
		ApplicationID: a.ApplicationID, AttemptID: a.ID, ClaimID: a.ClaimID, At: now,
		ConsentID: consentID, CredentialsID: a.CredentialsID, ResultHash: kept.ResultHash, ConfirmBy: now.Add(confirmWindow),
	})
	if err != nil {
		return a, err
	}
	// The consent's own access token too: the held grant's is the newest.
	c.forgetSuperseded(ctx, a.ApplicationID, a.Provider, a.CredentialsID, "")
	return c.registry.Attempt(ctx, a.ApplicationID, a.ID)
}

func identityReason(err error) string {
	if provider.KindOf(err) == provider.Unsupported {
		return reasonUnidentified
	}
	return reasonOf(err)
}

// compareAccounts counts what two sorted lists have in common and not.
func compareAccounts(before, after []string) (kept, gone, added int) {
	for _, a := range after {
		if _, found := slices.BinarySearch(before, a); found {
			kept++
		} else {
			added++
		}
	}
	return kept, len(before) - kept, added
}

// rfc3339 writes a moment for an event; an unknown one is nothing.
func rfc3339(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func equal(a, b []byte) bool { return hmac.Equal(a, b) }
