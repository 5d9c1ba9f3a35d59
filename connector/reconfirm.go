package connector

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/provider"
)

// ReconfirmRequest is a person's act: they were shown Statement, word for word,
// and confirmed it.
type ReconfirmRequest struct {
	Statement   string
	ConfirmedBy string    // who confirmed, as the application names them; empty takes the user's id
	ConfirmedAt time.Time // zero takes now, or the moment of the same act within the last minute
	Name, Email string    // as the provider wants to see the person named; empty takes the user's

	RedirectURI string // empty takes the original one; anything else must equal it
	ReturnTo    string
	State       []byte // nil for none
}

// Reconfirmed is how a reconfirmation led on: either the consent was renewed by
// it, or the person still has to visit the bank.
type Reconfirmed struct {
	ConfirmationID string
	Consent        consent.Consent
	Bank           *Started // nil where the consent was renewed
}

// confirmedWithin is how old a person's act may be when it is handed in.
const confirmedWithin = 24 * time.Hour

// errExtended says that a link was asked for and the consent extended instead.
var errExtended = errors.New("extended without a visit to the bank")

// Reconfirm records that a person confirmed a consent anew, and then has the
// provider extend it (UK, 90 days). Nothing reconfirms by itself: without the
// recorded act the provider is not called. One act extends once, however often
// it is handed in.
func (c *Connector) Reconfirm(ctx context.Context, app *consent.Application, consentID string, req ReconfirmRequest) (Reconfirmed, error) {
	return c.reconfirm(ctx, app, consentID, req, consent.OriginAPI)
}

func (c *Connector) reconfirm(ctx context.Context, app *consent.Application, consentID string, req ReconfirmRequest, origin consent.Origin) (Reconfirmed, error) {
	x, acts, err := c.extensionOf(ctx, app, consentID, req)
	if err != nil {
		return Reconfirmed{}, err
	}
	x.origin = origin
	if out, found, err := c.extended(ctx, app, &x.con, acts, x.req); found || err != nil {
		return out, err
	}
	if x.req.ConfirmedAt.Before(x.con.ConsentedAt) {
		return Reconfirmed{}, invalid("confirmed_at", "confirmed_at lies before the consent was last given or renewed; ask the person anew.")
	}
	return c.extend(ctx, app, &x)
}

// extension is a person's act that has been checked, with all that the provider
// is to be asked by.
type extension struct {
	con         consent.Consent
	req         ReconfirmRequest
	origin      consent.Origin
	provider    provider.Provider
	extender    provider.Extender
	person      provider.Person
	redirectURI string
	hosted      bool
}

// extensionOf finds what is wrong with a person's act before anything is done
// about it, and returns the acts on record too.
func (c *Connector) extensionOf(ctx context.Context, app *consent.Application, consentID string, req ReconfirmRequest) (x extension, acts []consent.Confirmation, err error) {
	if x.con, err = c.usable(ctx, app, consentID); err != nil {
		return x, nil, err
	}
	now := c.now()
	if req.ConfirmedBy == "" {
		req.ConfirmedBy = x.con.UserID
	}
	if acts, err = c.registry.Confirmations(ctx, app.ID, x.con.ID); err != nil {
		return x, nil, err
	}
	req.dateBy(acts, now)
	req.ConfirmedAt = req.ConfirmedAt.UTC().Truncate(time.Microsecond) // as it is stored
	x.req = req
	if x.person, err = c.checkReconfirm(ctx, app, &x.con, &x.req, now); err != nil {
		return x, nil, err
	}
	if x.redirectURI, x.hosted, err = c.originalRedirectURI(app, &x.con, req.RedirectURI); err != nil {
		return x, nil, err
	}
	if err := checkReturnTo(app, req.ReturnTo); err != nil {
		return x, nil, err
	}
	if x.provider, err = c.open(ctx, app, x.con.Provider); err != nil {
		return x, nil, err
	}
	var ok bool
	if x.extender, ok = x.provider.(provider.Extender); !ok {
		return x, nil, &consent.Error{Code: consent.CodeProviderUnsupported, ConsentID: x.con.ID,
			Detail: "This provider's consents cannot be reconfirmed; renew by a visit to the bank, with /reauthuri."}
	}
	return x, acts, nil
}

// extend records the act and calls the provider, under the consent's lease.
func (c *Connector) extend(ctx context.Context, app *consent.Application, x *extension) (Reconfirmed, error) {
	cycle, leaseID := x.con.Cycle, c.newID()
	con, err := c.lease(ctx, app, x.con.ID, leaseID)
	if err != nil {
		return Reconfirmed{}, err
	}
	defer c.endLease(ctx, app, con.ID, leaseID)
	token, err := c.tokenToExtend(&con, cycle)
	if err != nil {
		return Reconfirmed{}, err
	}
	out := Reconfirmed{Consent: con}
	if out.ConfirmationID, err = c.recordAct(ctx, &con, x.req); err != nil {
		return Reconfirmed{}, err
	}
	var grant provider.Grant
	t := trip{
		kind: consent.KindReauthorize, origin: x.origin, con: &con, noPKCE: true,
		userID: con.UserID, provider: con.Provider, providerID: con.ProviderID, scopes: con.Scopes,
		redirectURI: x.redirectURI, hosted: x.hosted, returnTo: x.req.ReturnTo, state: x.req.State,
		link: func(ctx context.Context, state, _ string) (string, error) {
			ext, err := x.extender.Extend(context.WithoutCancel(ctx), provider.ExtendRequest{
				RefreshToken: token, RedirectURI: x.redirectURI, State: state, User: x.person,
			})
			if err == nil && !ext.NeedsBank() {
				grant, err = ext.Grant, errExtended
			}
			return ext.URL, err
		},
	}
	started, err := c.beginExtension(ctx, app, &t)
	switch {
	case err == nil:
		out.Bank = &started
		return out, nil
	case !errors.Is(err, errExtended):
		return Reconfirmed{}, fromProvider(err, &con)
	}
	if grant.RefreshToken == "" {
		grant.RefreshToken = token
	}
	out.Consent, err = c.carryExtension(ctx, app, x, con, leaseID, grant)
	return out, err
}

// tokenToExtend looks again at a consent whose lease was taken a moment ago, and
// opens its refresh token.
func (c *Connector) tokenToExtend(con *consent.Consent, cycle int) (string, error) {
	if err := checkUsable(con); err != nil {
		return "", err
	}
	if con.Cycle != cycle {
		return "", &consent.Error{Code: consent.CodeAttemptInProgress, ConsentID: con.ID, RetryAt: c.now().Add(time.Second),
			Detail: "This consent was renewed at the same moment; look at it before asking the person again."}
	}
	token, err := c.unseal(con.Tokens.Refresh, con.ID)
	if err == nil && token == "" {
		err = &consent.Error{Code: consent.CodeTokenMissing, ConsentID: con.ID,
			Detail: "No refresh token is held for this consent, so that it cannot be extended; have the person authorise it again, with /reauthuri."}
	}
	return token, err
}

// beginExtension calls the provider, unless the page has been pressed too often
// for that: then the trip is one that is under way already.
func (c *Connector) beginExtension(ctx context.Context, app *consent.Application, t *trip) (Started, error) {
	if t.origin == consent.OriginPage {
		if s, err := c.reuse(ctx, app, t); err == nil || !errors.Is(err, consent.ErrNotFound) {
			return s, err
		}
	}
	return c.begin(ctx, app, *t)
}

// pressedTwiceWithin is how far apart two acts without a time are still one: a
// button that is pressed twice, a call that is made again.
const pressedTwiceWithin = time.Minute

// dateBy gives an act that came without a time its own; acts are those on
// record.
func (r *ReconfirmRequest) dateBy(acts []consent.Confirmation, now time.Time) {
	if !r.ConfirmedAt.IsZero() {
		return
	}
	r.ConfirmedAt = now
	if len(acts) == 0 {
		return
	}
	last := acts[len(acts)-1]
	if last.ConfirmedBy == r.ConfirmedBy && last.Statement == r.Statement && now.Sub(last.ConfirmedAt) < pressedTwiceWithin {
		r.ConfirmedAt = last.ConfirmedAt
	}
}

// extended looks for what a person's act has led to already: an extension that
// is not complete yet is carried on with, one that is complete is the answer.
func (c *Connector) extended(ctx context.Context, app *consent.Application, con *consent.Consent, acts []consent.Confirmation, req ReconfirmRequest) (out Reconfirmed, found bool, err error) {
	if len(acts) == 0 {
		return out, false, nil
	}
	act := acts[len(acts)-1]
	if i := slices.IndexFunc(acts, func(a consent.Confirmation) bool { return sameAct(a, req) }); i >= 0 {
		act = acts[i]
	}
	out = Reconfirmed{ConfirmationID: act.ID, Consent: *con}
	if sameAct(act, req) && con.Cycle > act.Cycle {
		return out, true, nil
	}
	open, err := c.registry.OpenAttempts(ctx, app.ID, con.UserID)
	if err != nil {
		return out, false, err
	}
	i := slices.IndexFunc(open, func(a consent.Attempt) bool {
		return a.ConsentID == con.ID && a.Cycle == con.Cycle && a.Kind == consent.KindReauthorize && len(a.Grant) > 0
	})
	if i < 0 {
		return out, false, nil // the provider did not extend it then
	}
	a, err := c.registry.ClaimAttempt(ctx, c.claim(open[i]))
	if errors.Is(err, consent.ErrBusy) {
		err = &consent.Error{Code: consent.CodeAttemptInProgress, ConsentID: con.ID, RetryAt: c.now().Add(5 * time.Second),
			Detail: "This reconfirmation is being completed; ask again in a moment."}
	}
	if err == nil && !a.Status.Finished() {
		a, err = c.carry(context.WithoutCancel(ctx), app, a, comeback{vouched: true})
	}
	if err == nil {
		_, err = c.outcome(ctx, app, a, "")
	}
	if err != nil {
		return out, true, err
	}
	out.Consent, err = c.registry.Consent(ctx, app.ID, con.ID)
	return out, true, err
}

func sameAct(a consent.Confirmation, req ReconfirmRequest) bool {
	return a.ConfirmedAt.Equal(req.ConfirmedAt) && a.ConfirmedBy == req.ConfirmedBy && a.Statement == req.Statement
}

// recordAct stores the person's act, unless it is on record, and returns its id.
// The record is read anew: this is under the lease, and somebody may have handed
// the same act in before it was taken.
func (c *Connector) recordAct(ctx context.Context, con *consent.Consent, req ReconfirmRequest) (string, error) {
	acts, err := c.registry.Confirmations(ctx, con.ApplicationID, con.ID)
	if err != nil {
		return "", err
	}
	if i := slices.IndexFunc(acts, func(a consent.Confirmation) bool { return sameAct(a, req) }); i >= 0 {
		return acts[i].ID, nil
	}
	act := consent.Confirmation{
		ApplicationID: con.ApplicationID, ID: "cnf_" + c.newID(), ConsentID: con.ID, Cycle: con.Cycle,
		ConfirmedAt: req.ConfirmedAt, ConfirmedBy: req.ConfirmedBy, Statement: req.Statement,
	}
	// Who it was and what they said stand in the act only: history stays when a
	// person is erased.
	return act.ID, c.registry.RecordConfirmation(ctx, act, c.event(consent.EventReconfirmed, c.now(), map[string]any{
		"confirmation_id": act.ID, "confirmed_at": rfc3339(act.ConfirmedAt), "old_expires_at": rfc3339(con.ExpiresAt),
	}))
}

// checkReconfirm finds what is wrong with a reconfirmation, and names the person
// as the provider wants to see them.
func (c *Connector) checkReconfirm(ctx context.Context, app *consent.Application, con *consent.Consent, req *ReconfirmRequest, now time.Time) (provider.Person, error) {
	person := provider.Person{ID: con.UserID, Name: req.Name, Email: req.Email}
	switch {
	case strings.TrimSpace(req.Statement) == "":
		return person, invalid("statement", "Hand in the exact statement that the person was shown and confirmed.")
	case req.ConfirmedAt.After(now.Add(time.Minute)):
		return person, invalid("confirmed_at", "confirmed_at lies in the future.")
	case req.ConfirmedAt.Before(now.Add(-confirmedWithin)):
		return person, invalid("confirmed_at", "confirmed_at is more than a day ago; ask the person anew.")
	case !con.Renewable(now):
		return person, &consent.Error{Code: consent.CodeConsentUnrenewable, ConsentID: con.ID,
			Detail: "This consent can no longer be extended; ask /reauthuri for a first link that replaces it."}
	}
	if person.Name != "" && person.Email != "" {
		return person, nil
	}
	user, err := c.registry.User(ctx, app.ID, con.UserID)
	if err != nil && !errors.Is(err, consent.ErrNotFound) {
		return person, err
	}
	if person.Name == "" {
		person.Name = user.Name
	}
	if person.Email == "" {
		person.Email = user.Email
	}
	if person.Name == "" || person.Email == "" {
		return person, &consent.Error{Code: consent.CodeUserDetailsRequired, ConsentID: con.ID, Field: "user",
			Detail: "The provider wants the person's own name and e-mail address with a reconfirmation; put them to /v1/users, or hand them in as user."}
	}
	return person, nil
}

// carryExtension starts the consent's next cycle with what an extension
// returned: as an attempt like any other, so that identity and expiry are proven
// alike, and whatever is left half done is taken up. It is claimed from its
// first moment, under the lease that the caller holds: nobody comes between.
func (c *Connector) carryExtension(ctx context.Context, app *consent.Application, x *extension, con consent.Consent, leaseID string, g provider.Grant) (consent.Consent, error) {
	ctx = context.WithoutCancel(ctx)
	now := c.now()
	a := consent.Attempt{
		ApplicationID: app.ID, ID: "att_" + c.newID(), Kind: consent.KindReauthorize, Origin: x.origin,
		ConsentID: con.ID, Cycle: con.Cycle, UserID: con.UserID, Provider: con.Provider, ProviderID: con.ProviderID, Scopes: con.Scopes,
		RedirectURI: con.RedirectURI, Hosted: con.Hosted, CreatedAt: now, ExpiresAt: now.Add(attemptValidity),
		Status: consent.AttemptClaimed, ClaimID: leaseID, ClaimedUntil: now.Add(claimLease),
	}
	kept := keptOf(g)
	var err error
	if a.Grant, err = c.sealKept(kept, a.ID); err != nil {
		return con, err
	}
	started := c.event(consent.EventAttemptStarted, now, map[string]any{"attempt_id": a.ID, "kind": string(a.Kind), "origin": string(a.Origin)})
	err = insist(ctx, func(ctx context.Context) error { return c.registry.BeginAttempt(ctx, a, &started) })
	if err != nil {
		return con, err
	}
	// It has replaced the old tokens, whatever the attempt comes to.
	if err := c.store(ctx, &con, leaseID, g); err != nil {
		return con, c.release(ctx, a, err)
	}
	a.Grant = nil // fresh, for settle
	if a, err = c.settle(ctx, app, x.provider, a, kept, true); err != nil {
		return con, err
	}
	if _, err := c.outcome(ctx, app, a, ""); err != nil {
		return con, err
	}
	return c.registry.Consent(ctx, app.ID, con.ID)
}

// Confirmations lists what people confirmed of a consent, oldest first.
func (c *Connector) Confirmations(ctx context.Context, app *consent.Application, consentID string) ([]consent.Confirmation, error) {
	if _, err := c.Consent(ctx, app, consentID); err != nil {
		return nil, err
	}
	return c.registry.Confirmations(ctx, app.ID, consentID)
}
