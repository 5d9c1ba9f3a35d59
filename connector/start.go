package connector

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/provider"
)

// Started is an attempt under way: the person is to be sent to URI.
type Started struct {
	Attempt consent.Attempt
	URI     string
	Consent *consent.Consent // the one to renew or replace; nil for a first link
}

// LinkRequest asks for a first link.
type LinkRequest struct {
	Provider    string
	ProviderID  string
	UserID      string
	RedirectURI string // empty takes our own callback
	ReturnTo    string
	State       []byte // nil for none
	Scopes      []string
	Inputs      map[string]string
}

// StartLink begins a first link.
func (c *Connector) StartLink(ctx context.Context, app *consent.Application, req LinkRequest) (Started, error) {
	if req.UserID == "" {
		return Started{}, invalid("user_id", "Say whose bank account is to be linked.")
	}
	redirectURI, hosted, err := c.redirectURI(app, req.RedirectURI)
	if err != nil {
		return Started{}, err
	}
	if err := checkReturnTo(app, req.ReturnTo); err != nil {
		return Started{}, err
	}
	p, err := c.open(ctx, app, req.Provider)
	if err != nil {
		return Started{}, err
	}
	return c.begin(ctx, app, trip{
		kind: consent.KindLink, origin: consent.OriginAPI,
		userID: req.UserID, provider: req.Provider, providerID: req.ProviderID, scopes: req.Scopes,
		redirectURI: redirectURI, hosted: hosted, returnTo: req.ReturnTo, state: req.State,
		link: func(ctx context.Context, state, challenge string) (string, error) {
			return p.AuthURL(ctx, provider.LinkRequest{
				ProviderID: req.ProviderID, RedirectURI: redirectURI, State: state,
				Scopes: req.Scopes, CodeChallenge: challenge, Inputs: req.Inputs,
			})
		},
	})
}

// ReauthRequest asks for the renewal of one consent, named by its id, by its
// credentials id, or by any refresh token that it ever had. Where several are
// given they must agree.
type ReauthRequest struct {
	ConsentID     string
	CredentialsID string
	Provider      string // narrows CredentialsID
	UserID        string // narrows CredentialsID
	RefreshToken  string

	RedirectURI string // empty takes the original one; anything else must equal it
	ReturnTo    string
	State       []byte // nil for none
	Inputs      map[string]string
}

// Reauthorize begins the renewal of a consent and leaves the consent as it is
// (law 5).
func (c *Connector) Reauthorize(ctx context.Context, app *consent.Application, req ReauthRequest) (Started, error) {
	found, err := c.locate(ctx, app, req)
	if err != nil {
		return Started{}, err
	}
	return c.renewal(ctx, app, found, req, consent.OriginAPI)
}

// renewal begins the renewal of a consent that has been found.
func (c *Connector) renewal(ctx context.Context, app *consent.Application, con *consent.Consent, req ReauthRequest, origin consent.Origin) (Started, error) {
	switch {
	case !con.RevokedAt.IsZero():
		return Started{}, &consent.Error{Code: consent.CodeConsentRevoked, ConsentID: con.ID,
			Detail: "This consent was revoked; it cannot be renewed. Link the account again."}
	case con.Pending:
		return Started{}, &consent.Error{Code: consent.CodeConsentPending, ConsentID: con.ID,
			Detail: "This consent waits for its first link to be confirmed; confirm it or let it end."}
	}
	redirectURI, hosted, err := c.originalRedirectURI(app, con, req.RedirectURI)
	if err != nil {
		return Started{}, err
	}
	if err := checkReturnTo(app, req.ReturnTo); err != nil {
		return Started{}, err
	}
	p, err := c.open(ctx, app, con.Provider)
	if err != nil {
		return Started{}, err
	}
	t := trip{
		kind: consent.KindReauthorize, origin: origin, con: con,
		userID: con.UserID, provider: con.Provider, providerID: con.ProviderID, scopes: con.Scopes,
		redirectURI: redirectURI, hosted: hosted, returnTo: req.ReturnTo, state: req.State, inputs: req.Inputs,
	}
	if con.Status(c.now()) == consent.Unrenewable {
		return Started{}, c.unrenewable(ctx, app, p, t)
	}
	if missing := missingInputs(p, con.ProviderID, req.Inputs); len(missing) > 0 {
		if origin == consent.OriginPage {
			return c.relink(ctx, app, p, t, true) // nobody to ask; the provider's dialog does
		}
		return Started{}, c.inputsRequired(ctx, app, p, t, missing)
	}
	token, err := c.unseal(con.Tokens.Refresh, con.ID)
	if err != nil {
		return Started{}, err
	}
	if token == "" {
		return c.relink(ctx, app, p, t, false) // nothing to renew with: only a first link can help
	}
	if s, err := c.reuse(ctx, app, &t); err == nil || !errors.Is(err, consent.ErrNotFound) {
		return s, err
	}
	t.link = func(ctx context.Context, state, challenge string) (string, error) {
		return p.ReauthURL(ctx, provider.ReauthRequest{
			ProviderID: con.ProviderID, RefreshToken: token, RedirectURI: redirectURI,
			State: state, CodeChallenge: challenge, Inputs: req.Inputs,
		})
	}
	s, err := c.begin(ctx, app, t)
	if err == nil {
		return s, nil
	}
	e, ok := errors.AsType[*provider.Error](err)
	if !ok {
		return Started{}, err
	}
	switch e.Kind {
	case provider.Unsupported:
		return c.relink(ctx, app, p, t, true)
	case provider.Unrenewable, provider.ReauthRequired, provider.Revoked:
		return Started{}, c.unrenewable(ctx, app, p, t)
	default:
		return Started{}, fromProvider(err, con)
	}
}

// relink begins a first link that is to replace the trip's consent. With
// dialog the provider's own dialog is asked for, which takes what a direct
// link cannot carry.
func (c *Connector) relink(ctx context.Context, app *consent.Application, p provider.Provider, t trip, dialog bool) (Started, error) {
	t.kind = consent.KindRelink
	if s, err := c.reuse(ctx, app, &t); err == nil || !errors.Is(err, consent.ErrNotFound) {
		return s, err
	}
	t.link = func(ctx context.Context, state, challenge string) (string, error) {
		return p.AuthURL(ctx, provider.LinkRequest{
			ProviderID: t.providerID, RedirectURI: t.redirectURI, State: state,
			Scopes: t.scopes, CodeChallenge: challenge, Inputs: t.inputs, Dialog: dialog,
		})
	}
	return c.begin(ctx, app, t)
}

// unrenewable answers that only a first link helps, and brings one along.
func (c *Connector) unrenewable(ctx context.Context, app *consent.Application, p provider.Provider, t trip) error {
	if t.origin == consent.OriginPage {
		return &consent.Error{Code: consent.CodeConsentUnrenewable, ConsentID: t.con.ID, Detail: "This consent can no longer be renewed."}
	}
	s, err := c.relink(ctx, app, p, t, false)
	if err != nil {
		return err
	}
	return &consent.Error{Code: consent.CodeConsentUnrenewable, ConsentID: t.con.ID, AuthURI: s.URI, AttemptID: s.Attempt.ID,
		Detail: "This consent can no longer be renewed. Send the person to authuri: linking there again revives this consent where the same login or account comes back."}
}

// inputsRequired lists what the bank needs, and brings along the provider's
// own dialog, which asks for it.
func (c *Connector) inputsRequired(ctx context.Context, app *consent.Application, p provider.Provider, t trip, missing []provider.Input) error {
	s, err := c.relink(ctx, app, p, t, true)
	if err != nil {
		return err
	}
	out := &consent.Error{Code: consent.CodeAuthInputsRequired, ConsentID: t.con.ID, AuthURI: s.URI, AttemptID: s.Attempt.ID,
		Detail: "This bank needs more before a link can be made. Ask again with auth_inputs, or send the person to authuri, where the provider asks for it."}
	for _, in := range missing {
		out.Inputs = append(out.Inputs, consent.Input{Name: in.Name, Label: in.Label, Source: in.Source})
	}
	return out
}

func missingInputs(p provider.Provider, providerID string, given map[string]string) []provider.Input {
	asker, ok := p.(provider.InputAsker)
	if !ok {
		return nil
	}
	var missing []provider.Input
	for _, in := range asker.Inputs(providerID) {
		if given[in.Name] == "" {
			missing = append(missing, in)
		}
	}
	return missing
}

// trip is an attempt that is about to begin.
type trip struct {
	kind        consent.AttemptKind
	origin      consent.Origin
	con         *consent.Consent // nil for a first link
	userID      string
	provider    string
	providerID  string
	scopes      []string
	redirectURI string
	hosted      bool
	returnTo    string
	state       []byte
	inputs      map[string]string
	noPKCE      bool // the link carries no challenge
	link        func(ctx context.Context, state, challenge string) (string, error)
}

// reuse finds a live attempt that is the same in everything that the person or
// the application could notice: by API within a minute. Who presses a button
// twice gets a second attempt, and the first to return wins: a machine that
// presses, and says no at the bank, has said it for nobody else. Only where the
// page is pressed so often that no person is likely to do it does a press lead
// to the newest attempt, which asks nothing of the provider.
func (c *Connector) reuse(ctx context.Context, app *consent.Application, t *trip) (Started, error) {
	window := reuseWindow
	if t.origin == consent.OriginPage {
		if err := c.perHour(ctx, t.con, "presses for ", pressesAnHour, ""); consent.CodeOf(err) != consent.CodeRateLimited {
			return Started{}, cmp.Or(err, consent.ErrNotFound)
		}
		window = pressWindow
	}
	key, err := c.reuseKey(t)
	if err != nil {
		return Started{}, err
	}
	now := c.now()
	a, err := c.registry.ReusableAttempt(ctx, app.ID, t.con.ID, key, now.Add(-window), now)
	if errors.Is(err, consent.ErrNotFound) && t.origin == consent.OriginPage { // somebody finishes each of them
		err = cmp.Or(c.perHour(ctx, t.con, "presses in vain for ", pressesInVain, "This link was pressed very often; try again later."), err)
	}
	if err != nil {
		return Started{}, err
	}
	uri, err := c.unseal(a.URI, a.ID)
	return Started{Attempt: a, URI: uri, Consent: t.con}, err
}

// reuseKey is of everything in which attempts must be equal. Those of the page
// have nothing to tell them apart by but the link.
func (c *Connector) reuseKey(t *trip) ([]byte, error) {
	same := []any{t.kind, t.con.Cycle, t.redirectURI, t.returnTo, t.state == nil, t.state, t.inputs}
	if t.origin == consent.OriginPage {
		same[0], same[len(same)-1] = t.origin, nil
	}
	text, err := json.Marshal(same)
	if err != nil {
		return nil, err
	}
	return c.keys.Fingerprint(purposeReuse, text)
}

// begin asks the provider for the link and stores the attempt, before anybody
// sees the link (law 4).
func (c *Connector) begin(ctx context.Context, app *consent.Application, t trip) (Started, error) {
	now := c.now()
	a := consent.Attempt{
		ApplicationID: app.ID, ID: "att_" + c.newID(), Kind: t.kind, Origin: t.origin,
		UserID: t.userID, Provider: t.provider, ProviderID: t.providerID, Scopes: t.scopes,
		RedirectURI: t.redirectURI, Hosted: t.hosted, ReturnTo: t.returnTo, CallerState: t.state,
		CreatedAt: now, ExpiresAt: now.Add(attemptValidity), Status: consent.AttemptStarted,
	}
	var err error
	if t.con != nil {
		a.ConsentID, a.Cycle = t.con.ID, t.con.Cycle
		if a.ReuseKey, err = c.reuseKey(&t); err != nil {
			return Started{}, err
		}
	}
	state := providerState(app, &a)
	if state != "" {
		if a.StateHash, err = c.keys.Fingerprint(purposeState, []byte(state)); err != nil {
			return Started{}, err
		}
	}
	verifier, challenge := "", ""
	if !t.omitsPKCE(app) {
		if verifier, err = c.verifier(&a); err != nil {
			return Started{}, err
		}
		sum := sha256.Sum256([]byte(verifier))
		challenge = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	uri, err := t.link(ctx, state, challenge)
	if err != nil {
		if t.kind == consent.KindReauthorize {
			return Started{}, err // the caller has other ways to go on
		}
		return Started{}, fromProvider(err, t.con)
	}
	if a.Verifier, err = c.seal(verifier, a.ID); err != nil {
		return Started{}, err
	}
	if a.URI, err = c.seal(uri, a.ID); err != nil {
		return Started{}, err
	}
	var event *consent.Event
	if t.con != nil {
		e := c.event(consent.EventAttemptStarted, now, map[string]any{"attempt_id": a.ID, "kind": string(a.Kind), "origin": string(a.Origin)})
		event = &e
	}
	if err := c.registry.BeginAttempt(ctx, a, event); err != nil {
		return Started{}, err
	}
	return Started{Attempt: a, URI: uri, Consent: t.con}, nil
}

// omitsPKCE reports whether the trip's link carries no challenge. An extension's
// cannot. Where one returns to the application, so that its code cannot be told
// from that of another press of the same link, no press has a challenge.
func (t *trip) omitsPKCE(app *consent.Application) bool {
	return t.noPKCE || t.origin == consent.OriginPage && !t.hosted && app.Policy(t.provider).RenewBy == consent.RenewByExtend
}

// verifier is an attempt's PKCE verifier. One reconnect link pressed several
// times leads to several attempts with one state, which is all that the
// application then sees of them: they share a verifier, so that whichever of
// them a code came from, it can be redeemed.
func (c *Connector) verifier(a *consent.Attempt) (string, error) {
	if a.Origin != consent.OriginPage || a.Hosted {
		return randomToken(), nil
	}
	sum, err := c.keys.Fingerprint(purposeVerifier, fmt.Appendf(nil, "%s\x00%d\x00%s", a.ConsentID, a.Cycle, a.CallerState))
	return base64.RawURLEncoding.EncodeToString(sum), err
}

// providerState is what the provider is to bring back: a secret of ours where
// the browser returns to us, the application's own state, untouched, where it
// returns to the application. A person on our page has no application to give
// one; the attempt's id is what that application then finds it by.
func providerState(app *consent.Application, a *consent.Attempt) string {
	switch {
	case a.Hosted:
		return scoped(app, randomToken())
	case a.CallerState == nil && a.Origin == consent.OriginPage:
		a.CallerState = []byte(a.ID)
	}
	return string(a.CallerState)
}

func (c *Connector) event(typ consent.EventType, at time.Time, data map[string]any) consent.Event {
	return consent.Event{ID: "evt_" + c.newID(), Type: typ, At: at, Data: data}
}

// redirectURI decides where the bank sends the person after a first link.
func (c *Connector) redirectURI(app *consent.Application, asked string) (uri string, hosted bool, err error) {
	if asked == "" || asked == c.CallbackURL() {
		return c.CallbackURL(), true, nil
	}
	if !app.AllowsRedirectURI(asked) {
		return "", false, &consent.Error{Code: consent.CodeRedirectURINotAllow, Field: "redirect_uri",
			Detail: "This redirect_uri is not on the application's list; it is compared byte for byte."}
	}
	return asked, false, nil
}

// originalRedirectURI holds a renewal to the redirect URI of the original
// link: the provider refuses any other. Our own callback may have moved since.
func (c *Connector) originalRedirectURI(app *consent.Application, con *consent.Consent, asked string) (uri string, hosted bool, err error) {
	if con.RedirectURI == "" {
		return c.redirectURI(app, asked) // registered without one: the first renewal decides
	}
	uri = con.RedirectURI
	if con.Hosted {
		uri = c.CallbackURL()
	}
	if asked != "" && asked != con.RedirectURI && asked != uri {
		return "", false, &consent.Error{Code: consent.CodeRedirectURIMismatch, Field: "redirect_uri", ConsentID: con.ID,
			Detail: "A renewal must use the redirect_uri of the original link, byte for byte; leave it out to use that one."}
	}
	return uri, con.Hosted, nil
}

func checkReturnTo(app *consent.Application, uri string) error {
	if uri != "" && !app.AllowsReturnTo(uri) {
		return &consent.Error{Code: consent.CodeReturnToNotAllowed, Field: "return_to",
			Detail: "This return_to is not on the application's list, or is no plain http or https address."}
	}
	return nil
}

// locate finds the one consent that a renewal is about.
func (c *Connector) locate(ctx context.Context, app *consent.Application, req ReauthRequest) (*consent.Consent, error) {
	if req.ConsentID == "" && req.CredentialsID == "" && req.RefreshToken == "" {
		return nil, invalid("consent_id", "Say which consent: consent_id, credentials_id or refresh_token.")
	}
	var found []consent.Consent
	if req.ConsentID != "" {
		one, err := c.registry.Consent(ctx, app.ID, req.ConsentID)
		if err != nil {
			return nil, notFound(err, unknownConsent())
		}
		if (req.UserID != "" && req.UserID != one.UserID) || (req.Provider != "" && req.Provider != one.Provider) {
			return nil, unknownConsent() // what is given must agree
		}
		found = []consent.Consent{one}
	}
	if req.CredentialsID != "" || req.RefreshToken != "" {
		find := consent.Find{UserID: req.UserID, Provider: req.Provider, CredentialsID: req.CredentialsID}
		if req.RefreshToken != "" {
			hash, err := c.keys.Fingerprint(purposeToken, []byte(req.RefreshToken))
			if err != nil {
				return nil, err
			}
			find.TokenHash = hash
		}
		matches, err := c.registry.FindConsents(ctx, app.ID, find)
		if err != nil {
			return nil, err
		}
		found = agree(found, matches, req.ConsentID != "")
	}
	switch live := standing(found); {
	case len(live) == 1:
		return &live[0], nil
	case len(live) > 1:
		return nil, &consent.Error{Code: consent.CodeCredentialsAmbiguous, Field: "credentials_id",
			Detail: "Several consents match; add user_id and provider, or ask by consent_id."}
	case len(found) > 0:
		return &found[len(found)-1], nil // revoked: the caller says so
	default:
		return nil, unknownConsent()
	}
}

// agree returns the matches, or where a consent was named that one, if it is
// among them.
func agree(named, matches []consent.Consent, isNamed bool) []consent.Consent {
	if !isNamed {
		return matches
	}
	for _, m := range matches {
		if m.ID == named[0].ID {
			return named
		}
	}
	return nil
}

// standing returns the consents that somebody relies on; where there is none,
// those whose first link has yet to be confirmed.
func standing(all []consent.Consent) []consent.Consent {
	live := unrevoked(all)
	confirmed := slices.DeleteFunc(slices.Clone(live), func(c consent.Consent) bool { return c.Pending })
	if len(confirmed) > 0 {
		return confirmed
	}
	return live
}

func unrevoked(all []consent.Consent) []consent.Consent {
	var live []consent.Consent
	for _, c := range all {
		if c.RevokedAt.IsZero() {
			live = append(live, c)
		}
	}
	return live
}
