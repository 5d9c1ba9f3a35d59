package stepup

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/internal/phone"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/code"
	"github.com/reconsent/reconsent/reauth/proof"
	"github.com/reconsent/reconsent/reauth/totp"
)

// OperationFactors is what a proof is for that changes factors.
const OperationFactors = "factors"

// maxFactors bounds how many factors a user may have enrolled.
const maxFactors = 20

// pendingFor is for how long a factor may wait for its first verified use.
const pendingFor = 15 * time.Minute

// strongest is what changing a factor asks for: the strongest level that the
// user has enrolled, within 10 minutes, single use (reauth-wire.md 5).
var strongest = reauth.Requirement{Level: "strict_mfa", Factors: reauth.MultiFactor, Within: 10 * time.Minute}

// ListFactors returns what the caller has enrolled.
func (s *Service) ListFactors(ctx context.Context, c *Caller) ([]EnrolledFactor, error) {
	st, err := s.standing(ctx, c.Who)
	return st.Factors, err
}

// Enrollment is a factor that was begun, or is there at once.
type Enrollment struct {
	Factor  EnrolledFactor
	Secret  string          // TOTP, shown once
	URI     string          // TOTP
	PNG     []byte          // TOTP, a QR code
	SVG     []byte          // TOTP, likewise
	Options json.RawMessage // passkey: PublicKeyCredentialCreationOptions (WebAuthn 5.4)
	Codes   []string        // backup codes, shown once
	SentTo  string          // phone, masked
}

// spending holds a change of factors to a proof, which spend uses up.
func (s *Service) spending(ctx context.Context, c *Caller, st *Standing, token string) (id string, err error) {
	now := s.now()
	denied := func(reason string, a reauth.Ages) (string, error) {
		return "", s.short(ctx, c, st, OperationFactors, reason, a, strongest)
	}
	if token == "" {
		return denied(reasonNoProof, ages(c, st, now))
	}
	keys, err := s.keys(ctx)
	if err != nil {
		return "", err
	}
	claims, err := proof.Verify(token, keys.Published(now), proof.Want{Issuer: s.BaseURL, Audience: c.ApplicationID, Now: now})
	if err != nil || claims.Subject != c.UserID || claims.Session != c.SessionID {
		return denied(reasonProofInvalid, ages(c, st, now))
	}
	if op := claims.Operation; op != nil && (op.Name != "" && op.Name != OperationFactors || op.Digest != "") {
		return denied(reasonOtherOperation, ages(c, st, now))
	}
	a := claimsAges(claims, now)
	// A lower level's proof may name what was proven for something else before.
	made, err := reauth.ParseRequirement(claims.Level)
	if err != nil || st.second() && made.Factors != reauth.MultiFactor || claims.SecondFactorEnrolled != st.second() || !reauth.Has(a, reauth.EnrolmentOf(st.second()), strongest) {
		return denied(reasonLevel, a)
	}
	return claims.ID, nil
}

// spend uses the proof up.
func (s *Service) spend(ctx context.Context, c *Caller, id string) error {
	line := s.audit(c, ActionProofUsed)
	line.Operation, line.Subject = OperationFactors, id
	err := s.Store.UseProof(ctx, c.ApplicationID, id, s.now(), Answer{}, line)
	if errors.Is(err, consent.ErrClaimLost) || errors.Is(err, consent.ErrNotFound) {
		return s.unchanged(ctx, c, id, refuse(CodeProofUsed, "This proof was used already, or has ended. Prove again who you are."))
	}
	return err
}

// unchanged records that a change of factors was refused.
func (s *Service) unchanged(ctx context.Context, c *Caller, subject string, refusal error) error {
	line := s.audit(c, ActionDenied)
	line.Operation, line.Subject = OperationFactors, subject
	return s.note(ctx, c, line, refusal)
}

// Enrol begins a factor. A phone number, an authenticator app and a passkey
// count from their first verified use; backup codes at once.
func (s *Service) Enrol(ctx context.Context, c *Caller, kind FactorKind, label, number, token string) (Enrollment, error) {
	st, err := s.standing(ctx, c.Who)
	if err != nil {
		return Enrollment{}, err
	}
	if len(label) > maxOperation || !consent.PlainText(label) {
		return Enrollment{}, invalid("label", "label is longer than 100 bytes, or holds control characters.")
	}
	if err := s.mayEnrol(c.Tenant, &st, kind, &number); err != nil {
		return Enrollment{}, s.unchanged(ctx, c, "", err)
	}
	spent, err := s.spending(ctx, c, &st, token)
	if err != nil {
		return Enrollment{}, err
	}
	if err := st.fits(kind, number); err != nil { // what the user has is told to nobody without a proof
		return Enrollment{}, s.unchanged(ctx, c, "", err)
	}
	f := FactorRecord{ApplicationID: c.ApplicationID, UserID: c.UserID}
	f.ID, f.Kind, f.Label, f.CreatedAt = "fac_"+s.NewID(), kind, label, s.now()
	f.Ref = f.ID
	out := Enrollment{}
	change := FactorChange{Who: c.Who, At: f.CreatedAt, Add: &f}
	switch kind {
	case KindTOTP:
		err = s.beginTOTP(c.Tenant, &st, &f, &out)
	case KindPasskey:
		err = s.beginPasskey(ctx, c, &st, &f, &out)
	case KindPhone:
		f.Address = number
		f.Ref, _, err = s.ref(c.ApplicationID, number)
	case KindBackupCodes:
		err = s.makeBackup(c, &f, &out, &change)
	}
	if err != nil {
		return Enrollment{}, err
	}
	if err := s.spend(ctx, c, spent); err != nil {
		return Enrollment{}, err
	}
	// What waits and was never verified gives way.
	for _, old := range st.Factors {
		if old.Kind == kind && (old.VerifiedAt.IsZero() || kind == KindBackupCodes) {
			change.Remove = append(change.Remove, old.ID)
			if !old.VerifiedAt.IsZero() {
				change.ForgetRefs = append(change.ForgetRefs, old.Ref)
			}
		}
	}
	line := s.audit(c, ActionFactorAdded)
	line.Subject, line.Reason = f.ID, string(kind)
	change.Log = []Audit{line}
	if err := s.Store.ChangeFactors(ctx, change); err != nil {
		return Enrollment{}, s.unchanged(ctx, c, f.ID, usedUp(err))
	}
	out.Factor = f.EnrolledFactor
	switch kind {
	case KindBackupCodes:
		out.Factor.Left = len(out.Codes)
		s.tellChange(c, &st, EventFactorAdded, &f.EnrolledFactor)
	case KindPhone:
		x := sending{factor: reauth.PhoneCode, purpose: PurposeEnrol, subject: f.ID, to: number, operation: "", pause: ResendAfter}
		_, err = s.send(ctx, c, &st, x)
		out.SentTo = MaskPhone(number)
	}
	return out, err
}

// mayEnrol refuses what could never be of use.
func (s *Service) mayEnrol(t *Tenant, st *Standing, kind FactorKind, number *string) error {
	switch kind {
	case KindTOTP:
	case KindPasskey:
		if t.Passkeys.RPID == "" {
			return refuse(CodeStrategyUnavailable, "The application has no passkeys: it needs rp_id and origins in its settings.")
		}
	case KindPhone:
		if *number == "" {
			*number = st.User.Phone
		}
		if !s.sends(t, reauth.PhoneCode, consent.ChannelSMS) {
			return refuse(CodeStrategyUnavailable, "No codes are sent by SMS here.")
		}
		if fault := phone.Fault(*number); fault != "" {
			return invalid("phone", fault)
		}
	case KindBackupCodes:
	default:
		return invalid("kind", "There is no such factor. Enrol totp, passkey, phone or backup_codes.")
	}
	return nil
}

// fits refuses what does not go with what the user has.
func (st *Standing) fits(kind FactorKind, number string) error {
	second, enrolled := st.phone()
	switch {
	case kind == KindPhone && enrolled && second.Address == number:
		return refuse(CodeFactorLimit, "This number is enrolled already.")
	case kind == KindBackupCodes && !st.second():
		return refuse(CodeStrategyUnavailable, "Backup codes stand in for a second factor: enrol an authenticator app or a phone number first.")
	case len(st.Factors) >= maxFactors:
		return refuse(CodeFactorLimit, "A user may have 20 factors. Remove one first.")
	}
	return nil
}

func (s *Service) beginTOTP(t *Tenant, st *Standing, f *FactorRecord, out *Enrollment) error {
	account := st.User.Email
	if account == "" {
		account = st.User.ID
	}
	key, err := totp.New(rand.Reader, t.Name, account)
	if err != nil {
		return err
	}
	out.Secret, out.URI = key.Secret, key.URI
	if out.PNG, err = key.PNG(); err != nil {
		return err
	}
	if out.SVG, err = key.SVG("QR code"); err != nil {
		return err
	}
	f.Secret, err = s.Keys.Seal([]byte(key.Secret), f.ID)
	return err
}

func (s *Service) makeBackup(c *Caller, f *FactorRecord, out *Enrollment, change *FactorChange) error {
	shown, err := code.NewBackup(rand.Reader)
	if err != nil {
		return err
	}
	out.Codes, f.VerifiedAt, change.EndsOthers = shown, f.CreatedAt, true
	for _, text := range shown {
		plain, _ := code.Backup(text)
		hash, err := s.backupHash(c, plain)
		if err != nil {
			return err
		}
		change.BackupCodes = append(change.BackupCodes, hash)
	}
	return nil
}

func (s *Service) backupHash(c *Caller, plain string) ([]byte, error) {
	in := code.Sent{Application: c.ApplicationID, User: c.UserID, Purpose: purposeBackup}
	return s.Keys.Fingerprint(purposeBackup, in.MACInput(plain))
}

// VerifyFactor is a factor's first verified use: it counts from then on.
func (s *Service) VerifyFactor(ctx context.Context, c *Caller, id string, in Proof) (EnrolledFactor, error) {
	st, err := s.standing(ctx, c.Who)
	if err != nil {
		return EnrolledFactor{}, err
	}
	f, err := s.Store.Factor(ctx, c.ApplicationID, c.UserID, id)
	if errors.Is(err, consent.ErrNotFound) {
		return EnrolledFactor{}, s.unchanged(ctx, c, "", factorUnknown())
	}
	if err != nil {
		return EnrolledFactor{}, err
	}
	if !f.VerifiedAt.IsZero() {
		return EnrolledFactor{}, s.unchanged(ctx, c, f.ID, refuse(CodeFactorLimit, "This factor counts already."))
	}
	if !s.now().Before(f.CreatedAt.Add(pendingFor)) {
		return EnrolledFactor{}, s.unchanged(ctx, c, f.ID, refuse(CodeReverificationEnded, "This factor waited for too long. Enrol it anew."))
	}
	if own := f.Kind.strategy(); in.Strategy != "" && in.Strategy != own {
		return EnrolledFactor{}, s.unchanged(ctx, c, f.ID, invalid("strategy", "This factor is verified by the strategy "+string(own)+"."))
	}
	ctx, done := outlasting(ctx)
	defer done()
	change := FactorChange{Who: c.Who, At: s.now(), Verify: f.ID, EndsOthers: true}
	line := s.audit(c, ActionFactorCounts)
	line.Subject, line.Reason = f.ID, string(f.Kind)
	at, err := s.weigh(ctx, c, &st, line, func() (*wrong, error) { return s.firstUse(ctx, c, &f, in, &change) })
	if err != nil {
		return EnrolledFactor{}, err
	}
	// One authenticator app, one number: the new one takes the place of the old.
	for _, old := range st.Factors {
		if old.Kind == f.Kind && old.ID != f.ID && f.Kind != KindPasskey {
			change.Remove, change.ForgetRefs = append(change.Remove, old.ID), append(change.ForgetRefs, old.Ref)
		}
	}
	// A number that was a first factor until now is none any more.
	change.ForgetRefs, change.Log = append(change.ForgetRefs, f.Ref), []Audit{line}
	if err := s.Store.ChangeFactors(ctx, change); err != nil {
		return EnrolledFactor{}, s.giveBack(ctx, c, BucketFailures+c.UserID, at, s.unchanged(ctx, c, f.ID, usedUp(err)))
	}
	f.VerifiedAt = change.At
	s.tellChange(c, &st, EventFactorAdded, &f.EnrolledFactor)
	return f.EnrolledFactor, s.giveBack(ctx, c, BucketFailures+c.UserID, at, nil)
}

// strategy is by which a factor of the kind is verified; empty where it counts at
// once.
func (k FactorKind) strategy() reauth.Factor {
	switch k {
	case KindTOTP:
		return reauth.TOTP
	case KindPasskey:
		return reauth.Passkey
	case KindPhone:
		return reauth.PhoneCode
	case KindBackupCodes:
	}
	return ""
}

func (s *Service) firstUse(ctx context.Context, c *Caller, f *FactorRecord, in Proof, change *FactorChange) (*wrong, error) {
	switch f.Kind {
	case KindTOTP:
		secret, err := s.Keys.Open(f.Secret, f.ID)
		if err != nil {
			return nil, err
		}
		step, ok := totp.Verify(string(secret), in.Code, s.now(), f.LastStep)
		if !ok {
			return incorrect("wrong_code", "This code is not the one that the app shows now.", failuresLimit), nil
		}
		change.LastStep = step
		return nil, nil
	case KindPhone:
		live, err := s.Store.LiveCode(ctx, c.Who, PurposeEnrol, s.now())
		if errors.Is(err, consent.ErrNotFound) || err == nil && live.Subject != f.ID {
			return nil, refuse(CodeCodeExpired, "No code is live for this number. Enrol it anew.")
		}
		if err != nil {
			return nil, err
		}
		made, err := s.try(ctx, c.ApplicationID, live.ID)
		if err != nil {
			return nil, err
		}
		change.CodeID = made.ID
		return s.opens(&made, in.Code)
	case KindPasskey:
		return s.finishPasskey(c, f, in.Credential, change)
	default:
		return nil, factorUnknown()
	}
}

// RemoveFactor removes a factor.
func (s *Service) RemoveFactor(ctx context.Context, c *Caller, id, token string) error {
	st, err := s.standing(ctx, c.Who)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(st.Factors, func(f EnrolledFactor) bool { return f.ID == id })
	if i < 0 {
		return s.unchanged(ctx, c, "", factorUnknown())
	}
	spent, err := s.spending(ctx, c, &st, token)
	if err == nil {
		err = s.spend(ctx, c, spent)
	}
	if err != nil {
		return err
	}
	f := st.Factors[i]
	line := s.audit(c, ActionFactorRemoved)
	line.Subject, line.Reason = f.ID, string(f.Kind)
	change := FactorChange{Who: c.Who, At: s.now(), Remove: []string{id}, EndsOthers: true, ForgetRefs: []string{f.Ref}, Log: []Audit{line}}
	if err := s.Store.ChangeFactors(ctx, change); err != nil {
		return s.unchanged(ctx, c, f.ID, usedUp(err))
	}
	s.tellChange(c, &st, EventFactorRemoved, &f)
	return nil
}

func factorUnknown() *consent.Error {
	return refuse(CodeFactorNotFound, "The user has no factor with this id.")
}

// tellChange writes to every address that was known before the change.
func (s *Service) tellChange(c *Caller, st *Standing, e Event, f *EnrolledFactor) {
	n := Notice{Application: &c.Tenant.Application, User: &st.User, Event: e, Factor: f.Kind, Address: f.Address}
	for _, old := range st.Factors {
		if old.Kind == KindPhone && !old.VerifiedAt.IsZero() && old.Address != st.User.Phone {
			n.Phones = append(n.Phones, old.Address)
		}
	}
	s.Messenger.Tell(n)
}

func (s *Service) tellBackupUsed(c *Caller, st *Standing) {
	n := Notice{Application: &c.Tenant.Application, User: &st.User, Event: EventBackupUsed, Factor: KindBackupCodes}
	for _, f := range st.Factors {
		if f.Kind == KindBackupCodes && f.Left > 0 {
			n.Left = f.Left - 1
		}
	}
	s.Messenger.Tell(n)
}
