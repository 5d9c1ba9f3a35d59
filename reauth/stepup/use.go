package stepup

import (
	"context"
	"crypto/hmac"
	"encoding/json"
	"errors"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/code"
	"github.com/reconsent/reconsent/reauth/proof"
)

// Use is what a backend uses up: one of Proof, Code and SudoToken, for what it
// is about to do.
type Use struct {
	Proof          string
	Code           string
	SudoToken      string
	UserID         string
	SessionID      string
	Operation      string
	Level          string // beside the operation's own; empty for none
	AfterMinutes   *int
	Details        *reauth.Details
	IdempotencyKey string
	// DeviceID is the device that the code or the sudo token was brought from, where
	// the backend knows it; empty is not compared. A proof is bound to none.
	DeviceID string `json:",omitempty"` // for digest
	IPPrefix string
}

// Used is the answer where it was good.
type Used struct {
	Valid    bool      `json:"valid"`
	Level    string    `json:"level"`
	AuthTime time.Time `json:"auth_time"`
	AMR      []string  `json:"amr"`
}

// maxKey is the length of an idempotency key, in bytes.
const maxKey = 256

// Use uses up a proof, a code or a sudo token: of many at once one succeeds.
func (s *Service) Use(ctx context.Context, applicationID string, in Use) (Used, error) {
	c, err := s.OfBackend(ctx, applicationID, in.UserID, in.SessionID, in.IPPrefix)
	if err != nil {
		return Used{}, err
	}
	if err := in.check(); err != nil {
		return Used{}, err
	}
	c.DeviceID = in.DeviceID
	answer := Answer{ApplicationID: applicationID, Key: in.IdempotencyKey, At: s.now()}
	if in.IdempotencyKey != "" {
		if answer.Request, err = s.digest(in); err != nil {
			return Used{}, err
		}
		if used, done, err := s.answered(ctx, &answer); done || err != nil {
			return used, err
		}
	}
	ctx, done := outlasting(ctx)
	defer done()
	st, err := s.standing(ctx, c.Who)
	if consent.CodeOf(err) == CodeUserUnknown { // no fault of the key that asks
		return Used{}, userNotFound()
	}
	if err != nil {
		return Used{}, err
	}
	var used Used
	switch {
	case in.Proof != "":
		used, err = s.useProof(ctx, c, &st, in, answer)
	case in.SudoToken != "":
		used, err = s.useSudo(ctx, c, &st, in, answer)
	default:
		used, err = s.useCode(ctx, c, &st, in, answer)
	}
	// Of two with the same key at once, the second is told what the first was,
	// wherever it found that the first had been there.
	if consent.CodeOf(err) != "" && in.IdempotencyKey != "" {
		if again, done, fault := s.answered(ctx, &answer); done || fault != nil {
			return again, fault
		}
	}
	return used, err
}

func (in *Use) check() error {
	given := 0
	for _, x := range []string{in.Proof, in.Code, in.SudoToken} {
		if x != "" {
			given++
		}
	}
	switch {
	case given != 1:
		return invalid("proof", "Give one of proof, code and sudo_token.")
	case in.Operation == "":
		return invalid("operation", "operation is missing: say what is about to be done.")
	case len(in.IdempotencyKey) > maxKey || !consent.PlainText(in.IdempotencyKey):
		return invalid("idempotency_key", "idempotency_key is longer than 256 bytes, or holds control characters.")
	}
	if err := checkDevice("device_id", in.DeviceID); err != nil {
		return err
	}
	if err := checkOperation(in.Operation); err != nil {
		return err
	}
	if in.Details != nil {
		return in.Details.Validate()
	}
	return nil
}

// digest tells one request from another, and keeps nothing of it.
func (s *Service) digest(in Use) ([]byte, error) {
	in.IPPrefix, in.IdempotencyKey = "", ""
	text, err := json.Marshal(in) //nolint:musttag // only a digest of it is kept
	if err != nil {
		return nil, err
	}
	return s.Keys.Fingerprint(purposeAnswer, text)
}

// answered finds what the same request was answered a moment ago.
func (s *Service) answered(ctx context.Context, a *Answer) (Used, bool, error) {
	was, err := s.Store.Answered(ctx, a.ApplicationID, a.Key, s.now().Add(-AnswerFor))
	if errors.Is(err, consent.ErrNotFound) {
		return Used{}, false, nil
	}
	if err != nil {
		return Used{}, false, err
	}
	if !hmac.Equal(was.Request, a.Request) {
		e := refuse(CodeProofUsed, "This idempotency key belongs to another request.")
		e.Field = "idempotency_key"
		return Used{}, true, e
	}
	var used Used
	return used, true, json.Unmarshal([]byte(was.Text), &used)
}

func (a *Answer) says(u Used) error {
	text, err := json.Marshal(u)
	a.Text = string(text)
	return err
}

// deny records why something was not taken. It is not used up by that.
func (s *Service) deny(ctx context.Context, c *Caller, in Use, reason string, answer *consent.Error) error {
	line := s.audit(c, ActionDenied)
	line.Operation, line.Reason = in.Operation, reason
	return s.note(ctx, c, line, answer)
}

func (s *Service) useProof(ctx context.Context, c *Caller, st *Standing, in Use, answer Answer) (Used, error) {
	keys, err := s.keys(ctx)
	if err != nil {
		return Used{}, err
	}
	now := s.now()
	claims, err := proof.Verify(in.Proof, keys.Published(now), proof.Want{Issuer: s.BaseURL, Audience: c.ApplicationID, Now: now})
	if err != nil {
		return Used{}, s.deny(ctx, c, in, reasonProofInvalid, refuse(CodeProofInvalid, "This is not a proof for this application that is still good: "+err.Error()+"."))
	}
	if claims.Subject != c.UserID || claims.Session != c.SessionID {
		return Used{}, s.deny(ctx, c, in, reasonOtherSession, refuse(CodeProofMismatch, "This proof belongs to another user or session. It was not used up."))
	}
	record, err := s.Store.Proof(ctx, c.ApplicationID, claims.ID)
	if errors.Is(err, consent.ErrNotFound) {
		return Used{}, s.deny(ctx, c, in, reasonProofUnknown, refuse(CodeProofInvalid, "This proof is not known, or was erased."))
	}
	if err != nil {
		return Used{}, err
	}
	r, err := c.Tenant.demanded(in, record.Level)
	if err != nil {
		return Used{}, err
	}
	if err := s.fits(ctx, c, in, record, r); err != nil {
		return Used{}, err
	}
	if !s.meets(claims, record, r, now) {
		return Used{}, s.short(ctx, c, st, in.Operation, reasonLevel, claimsAges(claims, now), r)
	}
	used := Used{Valid: true, Level: record.Level, AuthTime: claims.AuthTime, AMR: claims.AMR}
	if err := answer.says(used); err != nil {
		return Used{}, err
	}
	line := s.audit(c, ActionProofUsed)
	line.Operation, line.Level, line.Subject = in.Operation, record.Level, record.ID
	if err := s.Store.UseProof(ctx, c.ApplicationID, record.ID, now, answer, line); err != nil {
		if errors.Is(err, consent.ErrClaimLost) {
			return Used{}, s.spent(ctx, c, in, record.ID)
		}
		return Used{}, err
	}
	return used, nil
}

// spent tells what was used from what has ended.
func (s *Service) spent(ctx context.Context, c *Caller, in Use, id string) error {
	record, err := s.Store.Proof(ctx, c.ApplicationID, id)
	if err != nil {
		return err
	}
	if record.UsedAt.IsZero() {
		return s.deny(ctx, c, in, reasonProofEnded, refuse(CodeProofInvalid, "This proof has ended: the session did, a factor of the user changed, or its time is over."))
	}
	return s.deny(ctx, c, in, reasonProofUsed, refuse(CodeProofUsed, "This proof was used already."))
}

// demanded is what a use of a proof asks for: the level of the operation, that
// beside it, or both. Where an application names no operations at all, its
// backend judges by the level in our answer, and made is what the proof was made
// for; where it names some, one that it does not is refused: it may be misspelt,
// and it was the browser that chose the proof's level.
func (t *Tenant) demanded(in Use, made string) (reauth.Requirement, error) {
	if len(t.Operations) == 0 && in.Level == "" && in.AfterMinutes == nil {
		return reauth.ParseRequirement(made)
	}
	return t.requirement(Ask{Level: in.Level, AfterMinutes: in.AfterMinutes, Operation: in.Operation}, "")
}

// demandedOfOne is what a use of a code or a sudo token asks for, which are one
// first factor, freshly proven: the default level, where nothing else is said.
func (t *Tenant) demandedOfOne(in Use) (reauth.Requirement, error) {
	if _, named := t.Operations[in.Operation]; !named && in.Level == "" && in.AfterMinutes == nil {
		return reauth.ParseLevel("medium")
	}
	return t.requirement(Ask{Level: in.Level, AfterMinutes: in.AfterMinutes, Operation: in.Operation}, "")
}

// fits holds a proof to what it was made for. A proof that names no operation
// may be used for any.
func (s *Service) fits(ctx context.Context, c *Caller, in Use, p ProofRecord, r reauth.Requirement) error {
	digest := ""
	if in.Details != nil {
		var err error
		if digest, err = in.Details.Digest(); err != nil {
			return err
		}
	}
	switch {
	case p.Operation != in.Operation && p.Operation != "":
		return s.deny(ctx, c, in, reasonOtherOperation, refuse(CodeProofMismatch, "This proof was made for another operation. It was not used up."))
	case !hmac.Equal([]byte(p.Digest), []byte(digest)):
		return s.deny(ctx, c, in, reasonOtherDetails, refuse(CodeProofMismatch, "The person agreed to other details, or to none. The proof was not used up."))
	case r.Bound() && digest == "":
		return invalid("details", "This level is bound to a payment: give its details.")
	}
	return nil
}

// meets judges a proof against what is asked for now. A level that counts once
// is met only by a proof that was made for it: what else was proven in the
// session is not in it.
func (s *Service) meets(claims proof.Claims, p ProofRecord, r reauth.Requirement, now time.Time) bool {
	a := claimsAges(claims, now)
	if r.SingleUse() {
		made, err := reauth.ParseRequirement(p.Level)
		if err != nil || r.SCA && !made.SCA || r.Fresh && !made.Fresh {
			return false
		}
		// Proven after the challenge of the reverification, which is older than all
		// that such a proof names.
		a = a.Answering(oldest(claims.Factors), now)
	}
	return reauth.Has(a, reauth.EnrolmentOf(claims.SecondFactorEnrolled), r)
}

func oldest(list []proof.Factor) time.Time {
	at := list[0].At // there is one (see proof.Claims)
	for _, f := range list {
		if f.At.Before(at) {
			at = f.At
		}
	}
	return at
}

func claimsAges(claims proof.Claims, now time.Time) reauth.Ages {
	list := make([]reauth.Proven, len(claims.Factors))
	for i, f := range claims.Factors {
		list[i] = reauth.Proven{Factor: reauth.Factor(f.Method), Role: reauth.Role(f.Role), Ref: f.Ref, At: f.At, UserVerified: f.UserVerified}
	}
	return reauth.AgesOf(list, now)
}

// short is the challenge as a backend gets it.
func (s *Service) short(ctx context.Context, c *Caller, st *Standing, operation, reason string, a reauth.Ages, r reauth.Requirement) error {
	challenge, err := s.challenge(ctx, c, st, a, r)
	if err != nil {
		return err
	}
	line := s.audit(c, ActionDenied)
	line.Operation, line.Level, line.Reason = operation, r.String(), reason
	return s.note(ctx, c, line, &Short{Challenge: challenge, Needed: r})
}

// Short is the error of a user who has proven too little. It carries the
// challenge that the user is to be given.
type Short struct {
	Challenge *reauth.Challenge
	Needed    reauth.Requirement
}

// Error implements error.
func (*Short) Error() string { return string(reauth.CodeReverificationRequired) }

// useSudo uses up a sudo token. It stands for the factor that it was earned by.
func (s *Service) useSudo(ctx context.Context, c *Caller, st *Standing, in Use, answer Answer) (Used, error) {
	t, err := s.stepToken(ctx, c.Who, StepSudo, in.SudoToken)
	if errors.Is(err, consent.ErrNotFound) {
		return Used{}, s.sudoGone(ctx, c, in)
	}
	if err != nil {
		return Used{}, err
	}
	if err := s.sameDevice(ctx, c, in, t.DeviceID); err != nil {
		return Used{}, err
	}
	proven := reauth.Proven{Factor: t.Factor, Role: st.role(t.Factor, t.Ref), Ref: t.Ref, At: t.ProvenAt}
	used, err := s.enough(ctx, c, st, in, proven, &answer)
	if err != nil {
		return Used{}, err
	}
	line := s.audit(c, ActionProofUsed)
	line.Operation, line.Reason, line.Factor = in.Operation, string(StepSudo), t.Factor
	won := Success{Who: c.Who, At: s.now(), Token: t.Hash, Log: []Audit{line}}
	if answer.Key != "" {
		won.Answer = &answer
	}
	return used, s.commit(ctx, c, won)
}

// sameDevice holds a use to the device that it began on, where the backend names
// one.
func (s *Service) sameDevice(ctx context.Context, c *Caller, in Use, began string) error {
	if in.DeviceID == "" || deviceMatches(began, in.DeviceID) {
		return nil
	}
	return s.deny(ctx, c, in, reasonOtherDevice, refuse(CodeProofMismatch, "This was asked for from another device. It was not used up."))
}

// sudoGone tells a token that was used from one that never was any.
func (s *Service) sudoGone(ctx context.Context, c *Caller, in Use) error {
	hash, err := s.Keys.Fingerprint(purposeToken, []byte(in.SudoToken))
	if err != nil {
		return err
	}
	t, err := s.Store.StepToken(ctx, c.ApplicationID, StepSudo, hash)
	switch {
	case err == nil && t.Who == c.Who && !t.UsedAt.IsZero():
		return s.deny(ctx, c, in, reasonSudoUsed, refuse(CodeProofUsed, "This sudo token was used already."))
	case err == nil || errors.Is(err, consent.ErrNotFound):
		return s.deny(ctx, c, in, reasonSudoInvalid, refuse(CodeProofInvalid, "This sudo token is not good here: it has expired, or is another session's."))
	default:
		return err
	}
}

// enough judges what one factor, with what the session has proven, comes to.
func (s *Service) enough(ctx context.Context, c *Caller, st *Standing, in Use, p reauth.Proven, answer *Answer) (Used, error) {
	r, err := c.Tenant.demandedOfOne(in)
	if err != nil {
		return Used{}, err
	}
	now := s.now()
	a := reauth.AgesOf(append([]reauth.Proven{p}, st.Proven...), now)
	// What is bound at its use only never agreed to the details.
	if r.SCA || r.Fresh || !reauth.Has(a, reauth.EnrolmentOf(st.second()), r) {
		return Used{}, s.short(ctx, c, st, in.Operation, reasonLevel, a, r)
	}
	used := Used{Valid: true, Level: r.String(), AuthTime: p.At.Truncate(time.Second), AMR: methods(p)}
	return used, answer.says(used)
}

// useCode uses up a code that was sent by section 3 or 4.
func (s *Service) useCode(ctx context.Context, c *Caller, st *Standing, in Use, answer Answer) (Used, error) {
	live, err := s.Store.LiveCode(ctx, c.Who, PurposeReauthenticate, s.now())
	if errors.Is(err, consent.ErrNotFound) {
		used, err := s.usedBefore(ctx, c, in.Code)
		if err != nil {
			return Used{}, err
		}
		if used {
			return Used{}, s.deny(ctx, c, in, reasonCodeUsed, refuse(CodeProofUsed, "This code was used already."))
		}
		return Used{}, s.deny(ctx, c, in, reasonNoCode, refuse(CodeCodeExpired, "No code is live for this session: it was used, has expired, or none was sent."))
	}
	if err != nil {
		return Used{}, err
	}
	if err := s.sameDevice(ctx, c, in, live.DeviceID); err != nil {
		return Used{}, err
	}
	ref := refOf(live.AddressHash)
	proven := reauth.Proven{Factor: live.Factor, Role: st.role(live.Factor, ref), Ref: ref, At: s.now()}
	used, err := s.enough(ctx, c, st, in, proven, &answer) // before a try is taken: it burns nothing
	if err != nil {
		return Used{}, err
	}
	made, err := s.try(ctx, c.ApplicationID, live.ID)
	if err != nil {
		return Used{}, s.unopened(ctx, c, &made, err)
	}
	line := s.audit(c, ActionSucceeded)
	line.Factor, line.Operation, line.Subject = made.Factor, in.Operation, made.ID
	at, err := s.weigh(ctx, c, st, line, func() (*wrong, error) { return s.judgeSent(c, st, &made, in.Code) })
	if err != nil {
		return Used{}, err
	}
	done := s.audit(c, ActionProofUsed)
	done.Operation, done.Reason, done.Factor = in.Operation, "code", made.Factor
	won := Success{
		Who: c.Who, At: s.now(), Proven: &proven, CodeID: made.ID, RefundFrom: BucketFailures + c.UserID, Refund: at, Log: []Audit{line, done},
	}
	if answer.Key != "" {
		won.Answer = &answer
	}
	return used, s.commit(ctx, c, won)
}

// usedBefore reports whether a code is the one that was used up last.
func (s *Service) usedBefore(ctx context.Context, c *Caller, typed string) (bool, error) {
	was, err := s.Store.UsedCode(ctx, c.Who, PurposeReauthenticate, s.now())
	if errors.Is(err, consent.ErrNotFound) {
		return false, nil
	}
	digits, ok := code.Digits(typed, code.Length)
	if err != nil || !ok {
		return false, err
	}
	mac, err := s.codeMAC(&was, digits)
	return hmac.Equal(mac, was.MAC), err
}
