package connector

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/provider"
)

// Return is what came back from the bank: a code, or an error.
type Return struct {
	Code  string
	Error string // the provider's error code; empty where there is a code
}

// Outcome is how an attempt ended, the same for whoever asks.
type Outcome struct {
	Attempt consent.Attempt
	Consent *consent.Consent // nil where the attempt made or renewed none
	Result  string           // one-time value for return_to; only for whoever brought the code itself
}

// CompleteHosted completes the attempt whose state a browser brought to our
// own callback. The browser proves nothing but that; what counts is said by the
// provider, and for a first link by the application (law 9).
func (c *Connector) CompleteHosted(ctx context.Context, state string, ret Return) (consent.Application, Outcome, error) {
	app, err := c.registry.ApplicationBySlug(ctx, slugOf(state))
	if err != nil {
		return app, Outcome{}, notFound(err, unknownState())
	}
	a, err := c.attemptByState(ctx, &app, []byte(state))
	if err != nil {
		return app, Outcome{}, err
	}
	if !a.Hosted {
		return app, Outcome{}, unknownState()
	}
	out, err := c.complete(ctx, &app, a, ret, !app.ConfirmLinks)
	if out.Attempt.ID == "" {
		out.Attempt = a // tells where to send the browser on to
	}
	return app, out, err
}

// Forwarded names the attempt that an application's own callback received.
type Forwarded struct {
	AttemptID string
	State     []byte // nil for none
}

// CompleteForwarded completes an attempt whose browser returned to the
// application, which vouches for it by calling.
func (c *Connector) CompleteForwarded(ctx context.Context, app *consent.Application, f Forwarded, ret Return) (Outcome, error) {
	var a consent.Attempt
	var err error
	switch {
	case f.AttemptID != "":
		a, err = c.registry.Attempt(ctx, app.ID, f.AttemptID)
		if err != nil {
			return Outcome{}, notFound(err, unknownAttempt())
		}
		if f.State != nil && !a.Hosted && string(f.State) != string(a.CallerState) {
			return Outcome{}, unknownState()
		}
	case f.State != nil:
		if a, err = c.attemptByState(ctx, app, f.State); err != nil {
			return Outcome{}, err
		}
	default:
		return Outcome{}, invalid("state", "Say which attempt: attempt_id, or the state that came back.")
	}
	return c.complete(ctx, app, a, ret, true)
}

// attemptByState finds the attempt with a state: the one that is live, else
// the newest, whose outcome is then shown.
func (c *Connector) attemptByState(ctx context.Context, app *consent.Application, state []byte) (consent.Attempt, error) {
	hash, err := c.keys.Fingerprint(purposeState, state)
	if err != nil {
		return consent.Attempt{}, err
	}
	found, err := c.registry.AttemptsByState(ctx, app.ID, hash)
	if err != nil {
		return consent.Attempt{}, err
	}
	if len(found) == 0 {
		return consent.Attempt{}, unknownState()
	}
	now := c.now()
	var live []consent.Attempt
	for _, a := range found {
		if !a.StatusAt(now).Finished() {
			live = append(live, a)
		}
	}
	switch {
	case len(live) == 0:
		return found[0], nil
	case len(live) == 1, pressedTwice(live):
		return live[0], nil
	default:
		return consent.Attempt{}, &consent.Error{Code: consent.CodeStateAmbiguous, Field: "state",
			Detail: "Several live attempts have this state; name one by attempt_id."}
	}
}

// pressedTwice reports whether attempts come from one reconnect link, pressed
// more than once: the application made one link, so it knows one state and no
// attempt. Whichever the person comes back from, its code can be redeemed for
// any of them; see verifier.
func pressedTwice(live []consent.Attempt) bool {
	for _, a := range live {
		if a.Origin != consent.OriginPage || a.ConsentID != live[0].ConsentID {
			return false
		}
	}
	return true
}

// complete claims the attempt and carries it to its outcome, or waits for the
// outcome of whoever has claimed it.
func (c *Connector) complete(ctx context.Context, app *consent.Application, a consent.Attempt, ret Return, vouched bool) (Outcome, error) {
	if ret.Code == "" && ret.Error == "" {
		return Outcome{}, invalid("code", "Neither a code nor an error came back from the bank.")
	}
	code, err := c.seal(ret.Code, a.ID)
	if err != nil {
		return Outcome{}, err
	}
	for pause := range patience {
		claim := c.claim(a)
		claim.Code = code
		claimed, err := c.registry.ClaimAttempt(ctx, claim)
		switch {
		case errors.Is(err, consent.ErrBusy):
			if err := wait(ctx, pause); err != nil {
				return Outcome{}, err
			}
			continue
		case err != nil:
			return Outcome{}, notFound(err, unknownAttempt())
		case vouched && claimed.Status == consent.AttemptPending:
			return c.confirmByCode(ctx, app, claimed, ret.Code)
		case claimed.Status.Finished():
			return c.outcome(ctx, app, claimed, ret.Code)
		}
		finished, err := c.carry(ctx, app, claimed, comeback{Return: ret, sealed: code, vouched: vouched})
		if errors.Is(err, consent.ErrClaimLost) {
			continue // somebody took over while we were slow: theirs is the outcome
		}
		if err != nil {
			return Outcome{}, err
		}
		return c.outcome(ctx, app, finished, ret.Code)
	}
	return Outcome{}, &consent.Error{Code: consent.CodeAttemptInProgress, AttemptID: a.ID,
		Detail: "This attempt is still being completed; ask again in a moment.", RetryAt: c.now().Add(5 * time.Second)}
}

// claim is a new claim on an attempt, from now on.
func (c *Connector) claim(a consent.Attempt) consent.Claim {
	now := c.now()
	return consent.Claim{ApplicationID: a.ApplicationID, AttemptID: a.ID, ClaimID: c.newID(), Now: now, Until: now.Add(claimLease)}
}

// comeback is what brought an attempt back from the bank: a browser, a
// backend, or nothing, where Upkeep takes up what was left.
type comeback struct {
	Return
	sealed  consent.Sealed // Code, as this claim brought it
	vouched bool           // the application stands for the person
}

// carry takes a claimed attempt from the bank's answer to its outcome. Every
// way out either finishes the attempt or ends the claim.
func (c *Connector) carry(ctx context.Context, app *consent.Application, a consent.Attempt, back comeback) (consent.Attempt, error) {
	codes, err := c.codes(a, back)
	if err != nil {
		return a, c.release(ctx, a, err)
	}
	if len(codes) == 0 && len(a.Grant) == 0 {
		if back.Error == "" {
			return c.interrupt(ctx, a)
		}
		return c.refusedAtBank(ctx, a, back.Error)
	}
	p, err := c.open(ctx, app, a.Provider)
	if err != nil {
		return a, c.release(ctx, a, err)
	}
	kept, err := c.exchange(ctx, p, a, codes)
	switch {
	case err == nil:
		return c.settle(ctx, app, p, a, kept, back.vouched)
	case codeRefused(err) && !bytes.Equal(a.Code, back.sealed):
		// Somebody else had claimed it, with this code or another: it may have
		// been spent before a crash.
		return c.recoverFromConsent(ctx, app, p, a)
	default:
		return c.notExchanged(ctx, a, err)
	}
}

// codes are those to try: the one that an earlier claim stored, then the
// caller's. One of them may be forged, and PKCE tells which.
func (c *Connector) codes(a consent.Attempt, back comeback) ([]string, error) {
	stored, err := c.unseal(a.Code, a.ID)
	if err != nil {
		return nil, err
	}
	var codes []string
	for _, code := range []string{stored, back.Code} {
		if code != "" && !slices.Contains(codes, code) {
			codes = append(codes, code)
		}
	}
	return codes, nil
}

func codeRefused(err error) bool { return provider.IsKind(err, provider.ReauthRequired) }

// notExchanged ends or releases an attempt whose code brought no grant.
func (c *Connector) notExchanged(ctx context.Context, a consent.Attempt, err error) (consent.Attempt, error) {
	e, ok := errors.AsType[*provider.Error](err)
	switch {
	case !ok:
		return a, c.release(ctx, a, err)
	case retryable(e):
		return a, c.release(ctx, a, fromProvider(e, nil))
	default:
		return c.fail(ctx, a, consent.AttemptFailed, reasonOf(e), nil)
	}
}

// refusedAtBank ends an attempt that came back without a code. Only the
// person's own no is a denial; the rest is the bank's trouble, and not blamed
// on the person.
func (c *Connector) refusedAtBank(ctx context.Context, a consent.Attempt, code string) (consent.Attempt, error) {
	code = safeReason(code)
	status := consent.AttemptFailed
	if code == "access_denied" || code == "user_cancelled" {
		status = consent.AttemptDenied
	}
	return c.fail(ctx, a, status, bankSaid+code, nil)
}

// exchange redeems the code, unless an earlier claim did, and keeps the grant
// with the attempt before anything else is done with it. A code is spent once
// it is sent, so the call is carried to its end though the caller hangs up.
func (c *Connector) exchange(ctx context.Context, p provider.Provider, a consent.Attempt, codes []string) (keptGrant, error) {
	if len(a.Grant) > 0 {
		return c.openKept(a.Grant, a.ID)
	}
	verifier, err := c.unseal(a.Verifier, a.ID)
	if err != nil {
		return keptGrant{}, err
	}
	var g provider.Grant
	var spent string
	for _, spent = range codes {
		g, err = p.Exchange(context.WithoutCancel(ctx), provider.ExchangeRequest{Code: spent, RedirectURI: a.RedirectURI, Verifier: verifier})
		if !codeRefused(err) {
			break
		}
	}
	if err != nil {
		return keptGrant{}, err
	}
	resultHash, err := c.resultHash(a.ID, c.resultFor(a.ID, spent))
	if err != nil {
		return keptGrant{}, err
	}
	k := keptOf(g)
	k.ResultHash = resultHash
	return k, c.keep(ctx, a, k)
}

// resultFor derives the one-time value for return_to from the code, so that
// every hit with the same code gets the same value, on every replica, and
// somebody who knows only the state gets none (law 9).
func (c *Connector) resultFor(attemptID, code string) string {
	sum, err := c.keys.Fingerprint(purposeResult, []byte(attemptID+"\x00"+code))
	if err != nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}

func (c *Connector) resultHash(attemptID, result string) ([]byte, error) {
	return c.keys.Fingerprint(purposeResult, []byte(attemptID+"\x01"+result))
}

// release ends a claim without an outcome and returns why, so that a reload,
// or Upkeep, goes on from what is kept.
func (c *Connector) release(ctx context.Context, a consent.Attempt, why error) error {
	err := c.registry.ReleaseAttempt(context.WithoutCancel(ctx), a.ApplicationID, a.ID, a.ClaimID, c.now())
	if err != nil && !errors.Is(err, consent.ErrClaimLost) {
		return errors.Join(why, err)
	}
	return why
}

// fail ends an attempt without success. The consent stays as it was but for
// one line of history. What was kept of the trip is queued to be given back.
func (c *Connector) fail(ctx context.Context, a consent.Attempt, status consent.AttemptStatus, reason string, kept *keptGrant) (consent.Attempt, error) {
	ctx = context.WithoutCancel(ctx)
	f := consent.Finish{
		ApplicationID: a.ApplicationID, AttemptID: a.ID, ClaimID: a.ClaimID,
		At: c.now(), Status: status, Reason: reason, CredentialsID: a.CredentialsID,
	}
	if a.ConsentID != "" {
		e := c.event(failureEvents[status], f.At, map[string]any{"attempt_id": a.ID, "reason": reason})
		f.Event = &e
	}
	if kept != nil {
		back, err := c.giveBack(a.ApplicationID, "", a.Provider, a.CredentialsID, string(status), kept.grant())
		if err != nil {
			return a, err
		}
		f.GiveBack = back
	}
	// An exchange has superseded the cached access token, at a provider that
	// honours only the newest.
	f.ForgetAccess = kept != nil || status == consent.AttemptInterrupted
	finished, err := c.registry.FinishAttempt(ctx, f)
	if err != nil {
		return a, err
	}
	if f.GiveBack != nil {
		c.returnGrantNow(ctx, *f.GiveBack)
	}
	return finished, nil
}

var failureEvents = map[consent.AttemptStatus]consent.EventType{
	consent.AttemptDenied:      consent.EventAttemptDenied,
	consent.AttemptFailed:      consent.EventAttemptFailed,
	consent.AttemptMismatched:  consent.EventMismatched,
	consent.AttemptInterrupted: consent.EventAttemptInterrupted,
}

// outcome shows how an attempt ended.
func (c *Connector) outcome(ctx context.Context, app *consent.Application, a consent.Attempt, code string) (Outcome, error) {
	out := Outcome{Attempt: a}
	if a.ConsentID != "" {
		con, err := c.registry.Consent(ctx, app.ID, a.ConsentID)
		if err != nil {
			return out, notFound(err, unknownConsent())
		}
		out.Consent = &con
	}
	if a.Status == consent.AttemptExpired {
		return out, &consent.Error{Code: consent.CodeAttemptExpired, AttemptID: a.ID, ConsentID: a.ConsentID,
			Detail: "Too much time passed at the bank. Start again; nothing has changed."}
	}
	if code != "" && len(a.ResultHash) > 0 {
		result := c.resultFor(a.ID, code)
		if hash, err := c.resultHash(a.ID, result); err == nil && equal(hash, a.ResultHash) {
			out.Result = result
		}
	}
	return out, nil
}

// Err returns the outcome as an answer to a backend: nil for success and for
// a denial, which the backend reported itself.
func (o Outcome) Err() error {
	e := &consent.Error{AttemptID: o.Attempt.ID, ConsentID: o.Attempt.ConsentID}
	switch o.Attempt.Status {
	case consent.AttemptMismatched:
		e.Code, e.Detail = consent.CodeCredentialsMismatch, "Another bank login came back than the one that this consent belongs to. Nothing was changed; ask the person to sign in with the login of the original link."
	case consent.AttemptInterrupted:
		e.Code, e.Detail = consent.CodeAttemptInterrupted, "The attempt was lost half way and the provider could not tell how it ended. The consent is as it was; start again."
	case consent.AttemptFailed:
		if strings.HasPrefix(o.Attempt.Reason, bankSaid) {
			return nil // which the backend reported itself
		}
		known, ok := failures[o.Attempt.Reason]
		if !ok {
			known = failures[reasonProvider]
		}
		e.Code, e.Detail = known.code, known.detail
	default:
		return nil
	}
	return e
}

// failures are the answers to what the connector itself found wrong.
var failures = map[string]struct {
	code   consent.Code
	detail string
}{
	reasonCodeRefused:  {consent.CodeCodeRefused, "The provider refused the code: it was used already, came too late, or is not its own. Nothing was changed; start again."},
	reasonRevoked:      {consent.CodeConsentRevoked, "The consent was revoked while the person was at the bank. The new grant was given back."},
	reasonUnconfirmed:  {consent.CodeAttemptExpired, "The first link was not confirmed in time; the grant was given back. Start again."},
	reasonUnidentified: {consent.CodeIdentityUnproven, "The provider does not say whose grant it is, so nothing was changed."},
	reasonErased:       {consent.CodeConsentRevoked, "The person was erased while they were at the bank. The new grant was given back."},
	reasonLogin:        {consent.CodeCredentialsMismatch, "Another bank login came back than the one that was linked. The new grant was given back."},
	reasonAccounts:     {consent.CodeCredentialsMismatch, "The same bank login came back without any account in common. Nothing was changed."},
	reasonProvider:     {consent.CodeProviderUnsupported, "The provider ended the trip. Nothing was changed; start again."},
	reasonMisconfig:    {consent.CodeProviderMisconfig, "The provider refuses the application's settings there: check client id, secret and redirect URI."},
}

// bankSaid stands before a code that came back through a browser, which anybody
// can write: it is never taken for a reason of ours.
const bankSaid = "bank:"

// Reasons that the connector itself gives.
const (
	reasonErased       = "user_erased"
	reasonProvider     = "provider_refused"
	reasonCodeRefused  = "code_refused"
	reasonRevoked      = "consent_revoked" // also given by the registry
	reasonOvertaken    = "overtaken"       // also given by the registry
	reasonUnconfirmed  = "unconfirmed"
	reasonLogin        = "other_login"
	reasonAccounts     = "other_accounts"
	reasonUnidentified = "identity_unproven"
	reasonLost         = "lost_after_exchange"
	reasonMisconfig    = "provider_misconfigured"
)

func reasonOf(err error) string {
	e, ok := errors.AsType[*provider.Error](err)
	switch {
	case !ok:
		return "internal"
	case e.Kind == provider.ReauthRequired:
		return reasonCodeRefused
	default:
		return "provider_" + e.Kind.String()
	}
}

// safeReason keeps of a code that came through a browser what an error code
// can be made of.
func safeReason(code string) string {
	out := make([]byte, 0, 64)
	for i := 0; i < len(code) && len(out) < 64; i++ {
		if b := code[i]; b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '_' || b == '-' {
			out = append(out, b)
		}
	}
	if len(out) == 0 {
		return "unknown"
	}
	return string(out)
}
