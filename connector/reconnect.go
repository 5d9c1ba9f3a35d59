package connector

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/provider"
)

// ReconnectRequest asks for a link that can be mailed to a person.
type ReconnectRequest struct {
	ReturnTo string
	State    []byte // nil for none
}

// Reconnect is a link that leads a person to their bank by one click.
type Reconnect struct {
	URL       string
	ExpiresAt time.Time
}

// NewReconnectLink makes a link for a consent. It works until the consent is
// renewed or revoked, or it expires; only a fingerprint of it is kept.
func (c *Connector) NewReconnectLink(ctx context.Context, app *consent.Application, consentID string, req ReconnectRequest) (Reconnect, error) {
	con, err := c.usable(ctx, app, consentID)
	if err != nil {
		return Reconnect{}, err
	}
	if err := checkReturnTo(app, req.ReturnTo); err != nil {
		return Reconnect{}, err
	}
	l := consent.ReconnectLink{ReturnTo: req.ReturnTo, State: req.State}
	url, err := c.fillLink(app, &con, randomToken(), &l)
	if err != nil {
		return Reconnect{}, err
	}
	return Reconnect{URL: url, ExpiresAt: l.ExpiresAt}, c.registry.CreateReconnectLink(ctx, l)
}

// MessageLinks makes the links that messages carry, in order: the same however
// often a message is made for an address. A link is void once the user's address
// is another one.
func (c *Connector) MessageLinks(ctx context.Context, app *consent.Application, want []consent.MessageLink) ([]string, error) {
	urls, links := make([]string, len(want)), make([]consent.ReconnectLink, len(want))
	for i, w := range want {
		secret, err := c.keys.Fingerprint(purposeMessage, []byte(w.MessageID+"/"+w.Consent.ID+"/"+w.Address))
		if err != nil {
			return nil, err
		}
		if links[i].AddressHash, err = c.addressHash(w.Address); err != nil {
			return nil, err
		}
		if urls[i], err = c.fillLink(app, w.Consent, base64.RawURLEncoding.EncodeToString(secret), &links[i]); err != nil {
			return nil, err
		}
	}
	var plain []consent.ReconnectLink
	for i := range links {
		if err := c.inPlaceOf(ctx, app, consent.AskedOn(want[i].Stage), &links[i]); err != nil {
			return nil, err
		}
		if links[i].ReturnTo == "" && links[i].State == nil {
			plain = append(plain, links[i])
			continue
		}
		if err := c.registry.CreateReconnectLink(ctx, links[i]); err != nil {
			return nil, err
		}
	}
	return urls, c.registry.CreateMessageLinks(ctx, app.ID, plain)
}

// inPlaceOf has a link that was asked for on another's page go on to where that
// one would have.
func (c *Connector) inPlaceOf(ctx context.Context, app *consent.Application, asked []byte, l *consent.ReconnectLink) error {
	if len(asked) == 0 {
		return nil
	}
	old, err := c.registry.ReconnectLink(ctx, app.ID, asked)
	if errors.Is(err, consent.ErrNotFound) || err == nil && old.ConsentID != l.ConsentID {
		return nil
	}
	l.ReturnTo, l.State = allowed(app, old.ReturnTo), old.State
	return err
}

// fillLink writes all that a link has in common with others, and returns its
// address.
func (c *Connector) fillLink(app *consent.Application, con *consent.Consent, secret string, l *consent.ReconnectLink) (url string, err error) {
	token := scoped(app, secret)
	if l.TokenHash, err = c.keys.Fingerprint(purposeReconnect, []byte(token)); err != nil {
		return "", err
	}
	validity := app.LinkValidity
	if validity <= 0 {
		validity = consent.DefaultLinkValidity
	}
	l.ApplicationID, l.ConsentID, l.UserID, l.Cycle, l.CreatedAt = app.ID, con.ID, con.UserID, con.Cycle, c.now()
	l.ExpiresAt = l.CreatedAt.Add(validity)
	return c.base + "/r/" + token, nil
}

// LinkState is what a reconnect link is good for now.
type LinkState string

// The states of a link.
const (
	LinkReady    LinkState = "ready"    // a press leads on
	LinkRenewed  LinkState = "renewed"  // nothing to do: the consent was renewed since
	LinkReplaced LinkState = "replaced" // nothing to do: the bank was linked anew since
	LinkLapsed   LinkState = "lapsed"   // the same, and that has lapsed too
	LinkExpired  LinkState = "expired"
	LinkMoved    LinkState = "moved" // it was sent to an address that is not the user's any more
	LinkEnded    LinkState = "ended" // the consent was revoked, or the person erased
)

// LinkView is what a reconnect page shows.
type LinkView struct {
	State       LinkState
	Application consent.Application
	User        consent.User // empty where the person is not known, or not any more
	Consent     consent.Consent
	Status      consent.Status
	// InPlace says that the person is asked to confirm with us, and needs no visit
	// to the bank for it, as far as is known.
	InPlace bool
	// Mailable says that a new link can be mailed to the person.
	Mailable bool
	NewerAt  time.Time // when a newer link was made for a message; zero where this is the newest

	link consent.ReconnectLink
}

// ReturnTo is where the application wants the person to go on to, and the state
// that it wants back; empty where it did not say.
func (v *LinkView) ReturnTo() (string, []byte) { return v.link.ReturnTo, v.link.State }

// OpenReconnectLink looks a link up. It changes nothing and calls no provider:
// machines open the links in mails before people do.
func (c *Connector) OpenReconnectLink(ctx context.Context, token string) (LinkView, error) {
	var v LinkView
	app, err := c.registry.ApplicationBySlug(ctx, slugOf(token))
	if err != nil {
		return v, notFound(err, unknownLink())
	}
	hash, err := c.keys.Fingerprint(purposeReconnect, []byte(token))
	if err != nil {
		return v, err
	}
	v.Application = app
	if v.link, err = c.registry.ReconnectLink(ctx, app.ID, hash); err != nil {
		return v, notFound(err, unknownLink())
	}
	if v.Consent, err = c.registry.Consent(ctx, app.ID, v.link.ConsentID); err != nil {
		return v, notFound(err, unknownLink())
	}
	v.NewerAt = v.link.NewerAt
	v.link.ReturnTo = allowed(&app, v.link.ReturnTo)
	if v.User, err = c.registry.User(ctx, app.ID, v.link.UserID); err != nil && !errors.Is(err, consent.ErrNotFound) {
		return v, err
	}
	return v, c.judgeLink(ctx, &v)
}

// judgeLink finds what a link is good for. Whoever reads an address that is the
// user's no more learns nothing else.
func (c *Connector) judgeLink(ctx context.Context, v *LinkView) error {
	now := c.now()
	v.Status = v.Consent.Status(now)
	v.Mailable = c.mailable(&v.Application, &v.User)
	replacement, err := c.registry.Replacement(ctx, v.Application.ID, v.Consent.ID)
	if err != nil && !errors.Is(err, consent.ErrNotFound) {
		return err
	}
	replaced := err == nil
	current, err := c.isAddressOf(&v.User, v.link.AddressHash)
	if err != nil {
		return err
	}
	switch {
	case v.Status == consent.Revoked:
		v.State = LinkEnded
	case !current:
		v.State = LinkMoved
	case replaced && replacement.LiveAt(now):
		v.State = LinkReplaced
	case replaced:
		v.State = LinkLapsed
	case v.Consent.Cycle != v.link.Cycle && v.Status == consent.Active:
		v.State = LinkRenewed
	case v.Consent.Cycle != v.link.Cycle: // it stays dead, though the next cycle runs out too
		v.State = LinkExpired
	case !now.Before(v.link.ExpiresAt):
		v.State = LinkExpired
	default:
		v.State = LinkReady
		v.InPlace = c.confirmsInPlace(ctx, v)
	}
	return nil
}

// mailable reports whether a mail that the user asks for would leave soon.
func (c *Connector) mailable(app *consent.Application, u *consent.User) bool {
	address, refused := u.Address(consent.ChannelEmail)
	return !c.noMail && !app.NoMail && !app.Paused && address != "" && refused.IsZero()
}

// allowed is an address that the application gave with a link, unless it has
// taken it off its list since: then the person stays with us.
func allowed(app *consent.Application, returnTo string) string {
	if checkReturnTo(app, returnTo) != nil {
		return ""
	}
	return returnTo
}

// addressHash is what is kept of an address that something was sent to. Nobody's
// mailbox differs from another's by capitals alone.
func (c *Connector) addressHash(address string) ([]byte, error) {
	return c.keys.Fingerprint(purposeAddress, []byte(strings.ToLower(address)))
}

// isAddressOf reports whether a link was sent to an address that the user has
// still, or to none.
func (c *Connector) isAddressOf(u *consent.User, hash []byte) (bool, error) {
	if len(hash) == 0 {
		return true, nil
	}
	for _, address := range []string{u.Email, u.Phone} {
		if address == "" {
			continue
		}
		own, err := c.addressHash(address)
		if err != nil || equal(own, hash) {
			return err == nil, err
		}
	}
	return false, nil
}

// confirmsInPlace reports whether the application wants people to reconfirm this
// consent with us, and all that it takes is there. It calls no provider.
func (c *Connector) confirmsInPlace(ctx context.Context, v *LinkView) bool {
	if v.Application.Policy(v.Consent.Provider).RenewBy != consent.RenewByExtend || !v.Consent.Renewable(c.now()) ||
		len(v.Consent.Tokens.Refresh) == 0 || v.User.Name == "" || v.User.Email == "" {
		return false
	}
	p, err := c.open(ctx, &v.Application, v.Consent.Provider)
	if err != nil {
		return false
	}
	_, ok := p.(provider.Extender)
	return ok
}

// PressReconnectLink begins an attempt for whoever pressed the button. A press
// burns nothing: a machine's press makes an attempt that nobody returns from,
// and the person's press makes the next.
func (c *Connector) PressReconnectLink(ctx context.Context, token string) (LinkView, Started, error) {
	v, err := c.OpenReconnectLink(ctx, token)
	if err != nil || v.State != LinkReady {
		return v, Started{}, err
	}
	s, err := c.pressed(ctx, &v.Application, &v.Consent, ReauthRequest{ConsentID: v.Consent.ID, ReturnTo: v.link.ReturnTo, State: v.link.State})
	return v, s, err
}

// pressed begins what a person's press on a page of ours asks for: a renewal,
// or a first link in its place where that alone helps.
func (c *Connector) pressed(ctx context.Context, app *consent.Application, con *consent.Consent, req ReauthRequest) (Started, error) {
	s, err := c.renewal(ctx, app, con, req, consent.OriginPage)
	if consent.CodeOf(err) != consent.CodeConsentUnrenewable {
		return s, err
	}
	return c.relinkFromPage(ctx, app, con, req)
}

// Confirmed is how a person's confirmation on the page led on: Bank is nil where
// the consent was renewed by it.
type Confirmed struct {
	View      LinkView
	Bank      *Started
	AttemptID string // that renewed the consent, where View says that it is
}

// ConfirmReconnectLink records that whoever pressed the button confirmed the
// statement, word for word, and has the consent extended. Where that is not
// possible after all it leads to the bank.
func (c *Connector) ConfirmReconnectLink(ctx context.Context, token, statement string) (Confirmed, error) {
	v, err := c.OpenReconnectLink(ctx, token)
	out := Confirmed{View: v}
	if err != nil || v.State != LinkReady {
		return out, err
	}
	if v.InPlace {
		req := ReconfirmRequest{Statement: statement, ReturnTo: v.link.ReturnTo, State: v.link.State}
		done, err := c.reconfirm(ctx, &v.Application, v.Consent.ID, req, consent.OriginPage)
		if err == nil && done.Bank == nil {
			return c.confirmedInPlace(ctx, token)
		}
		if err == nil {
			out.Bank = done.Bank
			return out, nil
		}
		if consent.CodeOf(err) == consent.CodeAttemptInProgress { // pressed twice: the first press is at it
			return c.confirmedMeanwhile(ctx, token, err)
		}
		if code := consent.CodeOf(err); code != consent.CodeProviderUnsupported && code != consent.CodeReauthRequired && code != consent.CodeTokenMissing {
			return out, err
		}
	}
	_, started, err := c.PressReconnectLink(ctx, token)
	out.Bank = &started
	return out, err
}

// confirmedMeanwhile waits for what another press of the same button comes to.
func (c *Connector) confirmedMeanwhile(ctx context.Context, token string, cause error) (Confirmed, error) {
	for pause := range patience {
		if err := wait(ctx, pause); err != nil {
			return Confirmed{}, err
		}
		out, err := c.confirmedInPlace(ctx, token)
		if err != nil || out.View.State != LinkReady {
			return out, err
		}
	}
	return Confirmed{}, cause
}

// confirmedInPlace looks at a link whose consent has been renewed by it. History
// tells by which attempt.
func (c *Connector) confirmedInPlace(ctx context.Context, token string) (Confirmed, error) {
	v, err := c.OpenReconnectLink(ctx, token)
	out := Confirmed{View: v}
	if err != nil || v.State != LinkRenewed {
		return out, err
	}
	events, err := c.registry.Events(ctx, v.Application.ID, v.Consent.ID, max(v.Consent.Seq-lastEvents, 0), lastEvents)
	for _, e := range events {
		if id, ok := e.Data["attempt_id"].(string); ok && e.Type == consent.EventRenewed {
			out.AttemptID = id
		}
	}
	return out, err
}

// lastEvents is how far back a consent's newest renewal is looked for.
const lastEvents = 50

// How often a new link for one consent is mailed because somebody asked for it on
// a page.
const (
	resendsAnHour = 3
	resendsADay   = 10
)

// ResendReconnectLink mails a new link to the address that is known, for whoever
// holds one that has expired. The old one stays dead. It mails nothing where the
// view is not Mailable.
func (c *Connector) ResendReconnectLink(ctx context.Context, token string) (LinkView, error) {
	v, err := c.OpenReconnectLink(ctx, token)
	if err != nil || v.State != LinkExpired || !v.Mailable {
		return v, err
	}
	now := c.now()
	const often = "New links for this consent have been sent already; ask again later."
	if err := c.perHour(ctx, &v.Consent, "links asked for ", resendsAnHour, often); err != nil {
		return v, err
	}
	if err := c.perDay(ctx, &v.Consent, "links asked for in a day for ", resendsADay, often); err != nil {
		return v, err
	}
	id := c.newID()
	err = c.registry.AskForMessage(ctx, consent.Notice{
		ApplicationID: v.Application.ID, ConsentID: v.Consent.ID, Cycle: v.Consent.Cycle, Stage: consent.AskedStage(id, v.link.TokenHash), Channel: consent.ChannelEmail, DigestID: "dgt_" + id,
	}, v.Consent.UserID, now)
	if err != nil {
		return v, err
	}
	_, err = c.DispatchAsked(ctx)
	return v, err
}

// relinkFromPage leads a person whose consent cannot be renewed to a first
// link in its place.
func (c *Connector) relinkFromPage(ctx context.Context, app *consent.Application, con *consent.Consent, req ReauthRequest) (Started, error) {
	redirectURI, hosted, err := c.originalRedirectURI(app, con, "")
	if err != nil {
		return Started{}, err
	}
	p, err := c.open(ctx, app, con.Provider)
	if err != nil {
		return Started{}, err
	}
	return c.relink(ctx, app, p, trip{
		origin: consent.OriginPage, con: con,
		userID: con.UserID, provider: con.Provider, providerID: con.ProviderID, scopes: con.Scopes,
		redirectURI: redirectURI, hosted: hosted, returnTo: req.ReturnTo, state: req.State,
	}, false)
}

func unknownLink() *consent.Error {
	return &consent.Error{Code: consent.CodeLinkUnknown, Detail: "This link is not one of ours, or is not complete."}
}

// IsUnknownLink reports whether a link was altered, truncated, or never ours.
func IsUnknownLink(err error) bool {
	e, ok := errors.AsType[*consent.Error](err)
	return ok && e.Code == consent.CodeLinkUnknown
}

// ReconnectProofFor is a value that only the reconnect page holds. It stops
// machines that post to a link without having read the page; one that reads it
// gets through, and burns nothing.
func (c *Connector) ReconnectProofFor(token string) string {
	sum, err := c.keys.Fingerprint(purposePress, []byte(token))
	if err != nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// ReconnectProof reports whether proof is the link's.
func (c *Connector) ReconnectProof(token, proof string) bool {
	want := c.ReconnectProofFor(token)
	return want != "" && equal([]byte(want), []byte(proof))
}
