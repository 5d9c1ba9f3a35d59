package stepup

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
)

// The chain of CloudBase (reauth-wire.md 4): a code becomes a verification
// token, that or a password becomes a sudo token, and that is used up by the
// application's backend.

// SendReauthentication sends the caller a code to use up in /v1/proofs/verify.
// f is EmailCode or PhoneCode; empty takes mail, else SMS.
func (s *Service) SendReauthentication(ctx context.Context, c *Caller, f reauth.Factor, pause time.Duration) (Code, error) {
	st, err := s.standing(ctx, c.Who)
	if err != nil {
		return Code{}, err
	}
	if err := s.unlocked(ctx, c, &st); err != nil {
		return Code{}, err
	}
	if f == "" {
		if f = reauth.EmailCode; st.User.Email == "" || !s.sends(c.Tenant, reauth.EmailCode, consent.ChannelEmail) {
			f = reauth.PhoneCode
		}
	}
	x := sending{factor: f, purpose: PurposeReauthenticate, pause: pause, to: st.User.Email}
	if f == reauth.PhoneCode {
		x.to = st.User.Phone
		if p, ok := st.phone(); ok && x.to == "" {
			x.to = p.Address
		}
	}
	if x.to == "" || !s.sends(c.Tenant, f, x.channel()) {
		line := s.audit(c, ActionDenied)
		line.Factor, line.Reason = f, reasonNothingBound
		return Code{}, s.note(ctx, c, line, refuse(CodeAddressMissing, s.unsendable(c.Tenant, f)))
	}
	return s.send(ctx, c, &st, x)
}

// unsendable says why no code goes out by f.
func (s *Service) unsendable(t *Tenant, f reauth.Factor) string {
	switch {
	case slices.Contains(t.CodesOff, f):
		return "The application has codes by " + string(f) + " turned off."
	case f == reauth.EmailCode && !s.Messenger.Reaches(consent.ChannelEmail), f == reauth.PhoneCode && !s.Messenger.Reaches(consent.ChannelSMS):
		return "No messages of this kind can be sent here: this installation has no mail server, or no SMS gateway."
	default:
		return "No address is known to which such a code could be sent. The application gives one with PUT /v1/users/{id}."
	}
}

// SendVerification sends a code to an address, if it is the caller's, and
// answers the same if it is not.
func (s *Service) SendVerification(ctx context.Context, c *Caller, f reauth.Factor, address string) (Code, error) {
	st, err := s.standing(ctx, c.Who)
	if err != nil {
		return Code{}, err
	}
	x := sending{factor: f, purpose: PurposeVerification, pause: ChainResendAfter, to: address}
	bound := st.User.Email
	if f == reauth.PhoneCode {
		bound = st.User.Phone
		if p, ok := st.phone(); ok && sameAddress(f, p.Address, address) {
			bound = p.Address
		}
	}
	x.hollow = bound == "" || !sameAddress(f, bound, address) || !s.sends(c.Tenant, f, x.channel())
	if !x.hollow {
		x.to = bound
	}
	return s.send(ctx, c, &st, x)
}

// sameAddress compares as mail does: the domain without regard to case. Phone
// numbers may be written with spaces.
func sameAddress(f reauth.Factor, a, b string) bool {
	if f == reauth.PhoneCode {
		return strings.ReplaceAll(a, " ", "") == strings.ReplaceAll(b, " ", "")
	}
	return strings.EqualFold(a, b)
}

// Verified is a secret that leads to the next step.
type Verified struct {
	Token     string
	ExpiresIn time.Duration
}

// VerifyCode turns a code into a verification token. The id is the capability:
// there is no token of a user with it.
func (s *Service) VerifyCode(ctx context.Context, id, typed, deviceID, ipPrefix string) (Verified, error) {
	gone := refuse(CodeCodeExpired, "This verification is not known, or no longer good. Ask for a new code.")
	slug, _, ok := strings.Cut(id, ".")
	if !ok {
		return Verified{}, gone
	}
	t, err := s.byID(ctx, slug)
	if errors.Is(err, consent.ErrNotFound) {
		return Verified{}, gone
	}
	if err != nil {
		return Verified{}, err
	}
	ctx, done := outlasting(ctx)
	defer done()
	made, err := s.try(ctx, t.ID, id)
	c := &Caller{Tenant: t, Who: made.Who, DeviceID: deviceID, IPPrefix: ipPrefix}
	if err != nil {
		return Verified{}, s.unopened(ctx, c, &made, err)
	}
	st, err := s.standing(ctx, made.Who)
	if err != nil {
		return Verified{}, err
	}
	line := s.audit(c, ActionSucceeded)
	line.Factor, line.Subject = made.Factor, auditable(id)
	at, err := s.weigh(ctx, c, &st, line, func() (*wrong, error) {
		if !deviceMatches(made.DeviceID, deviceID) {
			return &wrong{reason: reasonOtherDevice, answer: refuse(CodeProofMismatch, "This code was asked for from another device.")}, nil
		}
		return s.judgeSent(c, &st, &made, typed)
	})
	if err != nil {
		return Verified{}, err
	}
	ref := refOf(made.AddressHash)
	proven := reauth.Proven{Factor: made.Factor, Role: st.role(made.Factor, ref), Ref: ref, At: s.now()}
	token, v, err := s.issue(c, StepVerification, verificationValidity, proven)
	if err != nil {
		return v, s.giveBack(ctx, c, BucketFailures+c.UserID, at, err)
	}
	return v, s.commit(ctx, c, Success{
		Who: c.Who, At: s.now(), Proven: &proven, CodeID: made.ID, Issue: token,
		RefundFrom: BucketFailures + c.UserID, Refund: at, Log: []Audit{line},
	})
}

// unopened records that a code was asked for whose tries are taken. Of an id
// that is none there is nobody to tell of.
func (s *Service) unopened(ctx context.Context, c *Caller, made *Code, cause error) error {
	if made.ID == "" {
		return cause
	}
	line := s.audit(c, ActionDenied)
	line.Factor, line.Subject = made.Factor, auditable(made.ID)
	return s.note(ctx, c, line, cause)
}

// issue makes a step token.
func (s *Service) issue(c *Caller, kind StepKind, validity time.Duration, p reauth.Proven) (*StepToken, Verified, error) {
	v := Verified{Token: secret(), ExpiresIn: validity}
	hash, err := s.Keys.Fingerprint(purposeToken, []byte(v.Token))
	if err != nil {
		return nil, Verified{}, err
	}
	now := s.now()
	return &StepToken{
		Who: c.Who, Hash: hash, Kind: kind, DeviceID: c.DeviceID, Factor: p.Factor, Ref: p.Ref, ProvenAt: p.At,
		CreatedAt: now, ExpiresAt: now.Add(validity),
	}, v, nil
}

// Sudo turns a password or a verification token into a sudo token.
func (s *Service) Sudo(ctx context.Context, c *Caller, password, verification string) (Verified, error) {
	st, err := s.standing(ctx, c.Who)
	if err != nil {
		return Verified{}, err
	}
	if verification != "" {
		return s.sudoByToken(ctx, c, verification)
	}
	ctx, done := outlasting(ctx)
	defer done()
	line := s.audit(c, ActionSucceeded)
	line.Factor = reauth.Password
	at, err := s.weigh(ctx, c, &st, line, func() (*wrong, error) {
		bad, err := s.judgePassword(ctx, &st, password)
		if bad != nil {
			bad.answer.Field = "password"
		}
		return bad, err
	})
	if err != nil {
		return Verified{}, err
	}
	// Comparing takes a while: what ended or changed meanwhile came after this.
	proven := reauth.Proven{Factor: reauth.Password, Role: reauth.First, At: at}
	token, v, err := s.issue(c, StepSudo, sudoValidity, proven)
	if err != nil {
		return v, s.giveBack(ctx, c, BucketFailures+c.UserID, at, err)
	}
	issued := s.audit(c, ActionTokenIssued)
	issued.Factor, issued.Reason = reauth.Password, string(StepSudo)
	return v, s.commit(ctx, c, Success{
		Who: c.Who, At: at, Judged: &st, Proven: &proven, Issue: token, RefundFrom: BucketFailures + c.UserID, Refund: at, Log: []Audit{line, issued},
	})
}

func (s *Service) sudoByToken(ctx context.Context, c *Caller, verification string) (Verified, error) {
	was, err := s.stepToken(ctx, c.Who, StepVerification, verification)
	if err == nil && !deviceMatches(was.DeviceID, c.DeviceID) {
		err = consent.ErrNotFound
	}
	if errors.Is(err, consent.ErrNotFound) {
		line := s.audit(c, ActionDenied)
		line.Reason = reasonToken
		return Verified{}, s.note(ctx, c, line, refuse(CodeProofInvalid, "This verification token is not good here: it was used, has expired, or is another session's."))
	}
	if err != nil {
		return Verified{}, err
	}
	token, v, err := s.issue(c, StepSudo, sudoValidity, reauth.Proven{Factor: was.Factor, Ref: was.Ref, At: was.ProvenAt})
	if err != nil {
		return v, err
	}
	line := s.audit(c, ActionTokenIssued)
	line.Factor, line.Reason = was.Factor, string(StepSudo)
	return v, s.commit(ctx, c, Success{Who: c.Who, At: s.now(), Token: was.Hash, Issue: token, Log: []Audit{line}})
}

// stepToken finds a live token of exactly this session.
func (s *Service) stepToken(ctx context.Context, who Who, kind StepKind, text string) (StepToken, error) {
	hash, err := s.Keys.Fingerprint(purposeToken, []byte(text))
	if err != nil {
		return StepToken{}, err
	}
	t, err := s.Store.StepToken(ctx, who.ApplicationID, kind, hash)
	if err == nil && (t.Who != who || !t.UsedAt.IsZero() || !t.EndedAt.IsZero() || !s.now().Before(t.ExpiresAt)) {
		return StepToken{}, consent.ErrNotFound
	}
	return t, err
}

// deviceMatches holds a device to what it began; what began without one is
// bound to none.
func deviceMatches(began, now string) bool { return began == "" || began == now }

// usedUp is the answer to whoever comes second, or after the user is gone.
func usedUp(err error) error {
	switch {
	case errors.Is(err, consent.ErrClaimLost):
		return refuse(CodeProofUsed, "This was used already, or has ended meanwhile.")
	case errors.Is(err, consent.ErrNotFound):
		return userUnknown()
	default:
		return err
	}
}

// commit records a right answer. Whoever comes second with it has guessed
// nothing, and gets their failure back too. The first line says what was tried.
func (s *Service) commit(ctx context.Context, c *Caller, won Success) error {
	err := usedUp(s.Store.Succeed(ctx, won))
	if err == nil {
		return nil
	}
	line := won.Log[0]
	line.Reason = ""
	if err = s.note(ctx, c, line, err); won.RefundFrom != "" {
		return s.giveBack(ctx, c, won.RefundFrom, won.Refund, err)
	}
	return err
}
