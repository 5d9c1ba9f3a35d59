package stepup

import (
	"context"
	"crypto/hmac"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/idp"
)

// IdentityProvider sends users to their application's OpenID provider. See
// package idp.
type IdentityProvider interface {
	Start(ctx context.Context, p *idp.Provider, statePrefix string) (idp.Trip, error)
	Finish(ctx context.Context, p *idp.Provider, trip idp.Trip, query url.Values, want idp.Want) (idp.Result, error)
}

// ticketValidity is for how long a browser may begin its trip: it is sent there
// at once. Whoever holds a stolen token has no longer to lure the user into it.
const ticketValidity = 2 * time.Minute

// Paths of the trip, on this service.
const (
	PathStart  = "/reauth/start/"
	PathReturn = "/reauth/return"
)

// trip is what is kept of a visit to the identity provider, sealed.
type trip struct {
	Ticket   []byte    `json:"ticket,omitempty"` // fingerprint; until the browser has begun
	State    string    `json:"state,omitempty"`
	Nonce    string    `json:"nonce,omitempty"`
	Verifier string    `json:"verifier,omitempty"`
	Binding  []byte    `json:"binding,omitempty"`
	ReturnTo string    `json:"return_to,omitempty"`
	DeviceID string    `json:"device_id,omitempty"`
	IPPrefix string    `json:"ip_prefix,omitempty"`
	At       time.Time `json:"at"`
}

// prepareIdentity makes the address at which the browser begins its trip.
func (s *Service) prepareIdentity(ctx context.Context, c *Caller, rv *Reverification, returnTo string) (Prepared, error) {
	if returnTo != "" && !c.Tenant.AllowsReturnTo(returnTo) {
		return Prepared{}, refuse(consent.CodeReturnToNotAllowed, "return_to is not on the application's list.")
	}
	token := secret()
	hash, err := s.Keys.Fingerprint(purposeTicket, []byte(token))
	if err != nil {
		return Prepared{}, err
	}
	now := s.now()
	was := trip{Ticket: hash, ReturnTo: returnTo, DeviceID: c.DeviceID, IPPrefix: c.IPPrefix, At: now}
	err = s.keep(ctx, c, rv, was)
	return Prepared{URL: s.BaseURL + PathStart + c.Tenant.Slug + "." + rv.ID + "." + token, ExpiresAt: now.Add(ticketValidity)}, err
}

// keep keeps a trip, whichever step it is at.
func (s *Service) keep(ctx context.Context, c *Caller, rv *Reverification, t trip) error {
	text, err := json.Marshal(t)
	if err != nil {
		return err
	}
	sealed, err := s.Keys.Seal(text, rv.ID)
	if err != nil {
		return err
	}
	return s.prepare(ctx, c, rv, reauth.IDP, sealed)
}

// prepare keeps a challenge, with its line of audit as far as there is room. The
// reverification may have ended meanwhile.
func (s *Service) prepare(ctx context.Context, c *Caller, rv *Reverification, f reauth.Factor, sealed consent.Sealed) error {
	var lines []Audit
	if ok, err := s.mayNote(ctx, c, noteChallenged); err != nil {
		return err
	} else if ok {
		lines = append(lines, s.about(c, ActionChallenged, rv, f))
	}
	err := s.Store.Prepare(ctx, rv.Who, rv.ID, sealed, lines...)
	if errors.Is(err, consent.ErrNotFound) {
		return s.refused(ctx, c, rv, f, refuse(CodeReverificationEnded, "This reverification is complete, or has ended meanwhile. Begin a new one."))
	}
	return err
}

func (s *Service) kept(rv *Reverification, sealed consent.Sealed) (trip, error) {
	var t trip
	text, err := s.Keys.Open(sealed, rv.ID)
	if err == nil {
		err = json.Unmarshal(text, &t)
	}
	return t, err
}

// abroad finds the reverification that a browser's secret names: slug, id, and
// what only that browser has, which is returned too.
func (s *Service) abroad(ctx context.Context, text string) (*Tenant, Reverification, string, error) {
	gone := refuse(CodeReverificationEnded, "This sign-in has expired, or was used. Go back to the application and try again.")
	parts := strings.SplitN(text, ".", 3)
	if len(parts) != 3 {
		return nil, Reverification{}, "", gone
	}
	t, err := s.byID(ctx, parts[0])
	if errors.Is(err, consent.ErrNotFound) {
		return nil, Reverification{}, "", gone
	}
	if err != nil {
		return nil, Reverification{}, "", err
	}
	rv, err := s.Store.ReverificationByID(ctx, t.ID, parts[1])
	if errors.Is(err, consent.ErrNotFound) || err == nil && (!rv.EndedAt.IsZero() || !rv.CompletedAt.IsZero() || !s.now().Before(rv.ExpiresAt) || len(rv.Prepared) == 0) {
		return nil, Reverification{}, "", gone
	}
	return t, rv, parts[2], err
}

func (s *Service) provider(t *Tenant) *idp.Provider {
	o := &t.OpenID
	return &idp.Provider{
		Issuer: o.Issuer, ClientID: o.ClientID, ClientSecret: o.ClientSecret, Scopes: o.Scopes, Algorithms: o.Algorithms, RedirectURI: s.BaseURL + PathReturn,
	}
}

// StartTrip takes a browser's ticket and says where to send it, and the value of
// the cookie that it has to come back with. A ticket is good once.
func (s *Service) StartTrip(ctx context.Context, ticket string) (uri, cookie string, err error) {
	t, rv, token, err := s.abroad(ctx, ticket)
	if err != nil {
		return "", "", err
	}
	hash, err := s.Keys.Fingerprint(purposeTicket, []byte(token))
	if err != nil {
		return "", "", err
	}
	gone := refuse(CodeReverificationEnded, "This address was used, or is too old. Go back to the application and try again.")
	was, err := s.kept(&rv, rv.Prepared)
	if err != nil {
		return "", "", err
	}
	if len(was.Ticket) == 0 || !hmac.Equal(was.Ticket, hash) || !s.now().Before(was.At.Add(ticketValidity)) {
		return "", "", gone
	}
	if taken, err := s.Store.TakePrepared(ctx, rv.Who, rv.ID); err != nil || !hmac.Equal(taken, rv.Prepared) {
		return "", "", errors.Join(gone, err) // another one was prepared meanwhile
	}
	begun, err := s.Identity.Start(ctx, s.provider(t), t.Slug+"."+rv.ID+".")
	if err != nil {
		return "", "", identityFailed(err)
	}
	cookie, was.Binding = idp.NewBinding()
	was.Ticket, was.State, was.Nonce, was.Verifier, was.At = nil, begun.State, begun.Nonce, begun.Verifier, s.now()
	c := &Caller{Tenant: t, Who: rv.Who, DeviceID: was.DeviceID, IPPrefix: was.IPPrefix}
	return begun.URL, cookie, s.keep(ctx, c, &rv, was)
}

// Returned is where a browser goes on that came back.
type Returned struct {
	Application *consent.Application
	ID          string
	Status      Status
	ReturnTo    string // empty: a page of ours
}

// FinishTrip judges what a browser brings back. Beside an error, Returned says
// where to go on, where that is known.
func (s *Service) FinishTrip(ctx context.Context, query url.Values, cookie string) (Returned, error) {
	t, rv, _, err := s.abroad(ctx, query.Get("state"))
	if err != nil {
		return Returned{}, err
	}
	was, err := s.kept(&rv, rv.Prepared)
	if err != nil {
		return Returned{}, err
	}
	if was.State == "" || !idp.CheckBinding(cookie, was.Binding) {
		return Returned{}, refuse(CodeIdentityDenied, "This browser did not begin the sign-in. Go back to the application and try again.")
	}
	if _, err := s.Store.TakePrepared(ctx, rv.Who, rv.ID); err != nil { // good for one answer
		return Returned{}, errors.Join(refuse(CodeReverificationEnded, "This sign-in was used already."), err)
	}
	c := &Caller{Tenant: t, Who: rv.Who, DeviceID: was.DeviceID, IPPrefix: was.IPPrefix}
	back := Returned{Application: &t.Application, ID: rv.ID, ReturnTo: was.ReturnTo}
	view, err := s.finishTrip(ctx, c, &rv, was, query)
	back.Status = view.Status
	return back, err
}

func (s *Service) finishTrip(ctx context.Context, c *Caller, rv *Reverification, was trip, query url.Values) (View, error) {
	st, again, r, role, err := s.step(ctx, c, rv.ID, reauth.IDP)
	if err != nil {
		return View{}, err
	}
	ctx, done := outlasting(ctx)
	defer done()
	line := s.about(c, ActionSucceeded, rv, reauth.IDP)
	var result idp.Result
	at, err := s.weigh(ctx, c, &st, line, func() (_ *wrong, err error) {
		result, err = s.Identity.Finish(ctx, s.provider(c.Tenant), idp.Trip{State: was.State, Nonce: was.Nonce, Verifier: was.Verifier}, query,
			idp.Want{Subject: c.UserID, NotBefore: was.At})
		return identityWrong(err)
	})
	if err != nil {
		return View{}, err
	}
	won := Success{Who: c.Who, At: s.now(), ReverificationID: rv.ID, RefundFrom: BucketFailures + c.UserID, Refund: at, Log: []Audit{line}}
	// The provider's clock may be a little ahead of ours, or behind it (see
	// idp.Want): what it says comes after the start.
	proven := reauth.Proven{Factor: reauth.IDP, Role: role, At: later(earlier(result.AuthTime, won.At), again.CreatedAt)}
	return s.succeed(ctx, c, &st, &again, r, proven, won)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// Cancelled reports whether the user, or their provider, said no to the sign-in.
func Cancelled(err error) bool { return errors.Is(err, idp.ErrDenied) }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// identityWrong tells an answer that is wrong from a visit that came to nothing.
func identityWrong(err error) (*wrong, error) {
	if err == nil {
		return nil, nil
	}
	failed := identityFailed(err)
	var answer *consent.Error
	if errors.Is(err, idp.ErrUnavailable) || errors.Is(err, idp.ErrDenied) || !errors.As(failed, &answer) {
		return nil, failed
	}
	return &wrong{reason: string(answer.Code), answer: answer}, nil
}

// identityFailed says what came of a visit to the identity provider.
func identityFailed(err error) error {
	e := refuse(CodeIdentityDenied, "")
	switch {
	case errors.Is(err, idp.ErrUnavailable):
		e = waitUntil(CodeIdentityUnavailable, time.Time{}, "The application's identity provider cannot be reached now. Try again.")
	case errors.Is(err, idp.ErrDenied):
		e.Detail = "The sign-in was cancelled or denied. Nothing has changed."
	case errors.Is(err, idp.ErrIdentityMismatch):
		e.Code, e.Detail = CodeIdentityMismatch, "Another user signed in than the one who has to prove themselves."
	case errors.Is(err, idp.ErrNotFresh):
		e.Code, e.Detail = CodeIdentityNotFresh, "The identity provider did not ask the user to sign in again, or does not say when it did."
	case errors.Is(err, idp.ErrState), errors.Is(err, idp.ErrRefused):
		e.Detail = "What came back from the identity provider is not an answer to this sign-in."
	default:
		return err
	}
	e.Err = err
	return e
}
