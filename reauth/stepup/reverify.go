package stepup

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/passkey"
)

// Status is how far a reverification has come.
type Status string

// The statuses (reauth-wire.md 5).
const (
	NeedsFirst  Status = "needs_first_factor"
	NeedsSecond Status = "needs_second_factor"
	Complete    Status = "complete"
)

// View is a reverification as its user sees it.
type View struct {
	ID        string
	Status    Status
	Level     reauth.Requirement
	Operation string
	Details   *reauth.Details
	Usable    []reauth.Usable
	ExpiresAt time.Time
	Proof     string // while it is complete and good
}

// Begin is what a reverification begins with.
type Begin struct {
	Ask
	Details *reauth.Details
}

// Begin starts a user on the way to a level.
func (s *Service) Begin(ctx context.Context, c *Caller, in Begin) (View, error) {
	r, err := c.Tenant.requirement(in.Ask, "")
	if err != nil {
		return View{}, err
	}
	if r.Factors == "" {
		return View{}, invalid("level", "Give a level, or an operation that the application has named.")
	}
	st, err := s.standing(ctx, c.Who)
	if consent.CodeOf(err) == CodeUserUnknown && c.Token.Subject == "" { // no fault of the key that asks
		return View{}, userNotFound()
	}
	if err != nil {
		return View{}, err
	}
	now := s.now()
	rv := Reverification{
		Who: c.Who, ID: "rev_" + s.NewID(), Level: r.String(), Operation: in.Operation, SecondEnrolled: st.second(),
		CreatedAt: now, ExpiresAt: now.Add(reverificationValidity),
	}
	if in.Details != nil {
		if rv.Digest, err = in.Details.Digest(); err != nil {
			return View{}, err
		}
		text, err := json.Marshal(in.Details)
		if err != nil {
			return View{}, err
		}
		if rv.Details, err = s.Keys.Seal(text, rv.ID); err != nil {
			return View{}, err
		}
	} else if r.Bound() {
		return View{}, invalid("details", "This level is bound to a payment: give details with payee, amount and currency.")
	}
	if err := s.admitBegin(ctx, c); err != nil {
		return View{}, err
	}
	line := s.audit(c, ActionStarted)
	line.Level, line.Operation, line.Subject = rv.Level, in.Operation, rv.ID
	usable, err := s.helpful(ctx, c, &st, &rv, r)
	if err != nil {
		return View{}, err
	}
	if err := s.reachable(r, &rv, usable); err != nil {
		line.Action, line.Reason = ActionDenied, string(CodeNoFactorAvailable)
		if fault := s.Store.Record(ctx, line); fault != nil {
			return View{}, fault
		}
		return View{}, err
	}
	if r.Nothing() {
		rv.CompletedAt = now
	}
	if err := s.Store.CreateReverification(ctx, rv, line); err != nil {
		return View{}, usedUp(err)
	}
	return s.view(ctx, c, &st, &rv)
}

// reachable reports whether the user can prove what is asked for at all.
func (s *Service) reachable(r reauth.Requirement, rv *Reverification, usable []reauth.Usable) error {
	first := slices.ContainsFunc(usable, func(u reauth.Usable) bool { return u.Role == reauth.First })
	second := slices.ContainsFunc(usable, func(u reauth.Usable) bool { return u.Role == reauth.Second })
	needsFirst, needsSecond := reauth.Needs(reauth.Ages{}, reauth.EnrolmentOf(rv.SecondEnrolled), r.Factors)
	ok := (!needsFirst || first) && (!needsSecond || second)
	if r.SCA {
		var all []reauth.Proven
		for _, u := range usable {
			all = append(all, reauth.Proven{Factor: u.Strategy, Role: u.Role, Ref: string(u.Role), At: rv.CreatedAt, UserVerified: true})
		}
		ok = ok && reauth.Has(reauth.AgesOf(all, rv.CreatedAt), reauth.EnrolmentOf(rv.SecondEnrolled), reauth.Requirement{Factors: reauth.NoFactors, Within: r.Within, SCA: true})
	}
	if ok {
		return nil
	}
	return refuse(CodeNoFactorAvailable, "The user has nothing to prove this level with. Register an e-mail address, a phone number or a password hash with PUT /v1/users/{id}, or have them enrol a passkey or a second factor with POST /v1/factors.")
}

// status judges what was proven in a reverification, and nothing else: what the
// session has proven before may be why it is asked again.
func (rv *Reverification) status(r reauth.Requirement, now time.Time) Status {
	if !rv.CompletedAt.IsZero() {
		return Complete
	}
	a := reauth.AgesOf(rv.Proven, now).Answering(rv.CreatedAt, now)
	missing := reauth.Missing(a, reauth.EnrolmentOf(rv.SecondEnrolled), r)
	switch {
	case len(missing) == 0:
		return Complete
	case slices.Contains(missing, reauth.LackFirst), slices.Contains(missing, reauth.LackCategories) && !rv.provenAs(reauth.First):
		return NeedsFirst
	default:
		return NeedsSecond
	}
}

// helpful lists what the user can go on with. For sca that is only what brings a
// category that is not there yet: whoever proves two of one by the list would
// not come to an end. There a passkey has to verify its user.
func (s *Service) helpful(ctx context.Context, c *Caller, st *Standing, rv *Reverification, r reauth.Requirement) ([]reauth.Usable, error) {
	list := s.usable(c.Tenant, st)
	if !r.SCA {
		return list, nil
	}
	verifies := false
	if slices.ContainsFunc(list, func(u reauth.Usable) bool { return u.Strategy == reauth.Passkey }) {
		_, creds, err := s.passkeys(ctx, c.Who)
		if err != nil {
			return nil, err
		}
		verifies = slices.ContainsFunc(creds, func(k passkey.Credential) bool { return k.UserVerified })
	}
	now := s.now()
	a, enrolment := reauth.AgesOf(rv.Proven, now).Answering(rv.CreatedAt, now), reauth.EnrolmentOf(rv.SecondEnrolled)
	return slices.DeleteFunc(list, func(u reauth.Usable) bool {
		return u.Strategy == reauth.Passkey && !verifies || !reauth.Helps(a, enrolment, r, u.Strategy, u.Role)
	}), nil
}

func (rv *Reverification) provenAs(r reauth.Role) bool {
	return slices.ContainsFunc(rv.Proven, func(p reauth.Proven) bool { return p.Role == r })
}

// Look returns a reverification of the caller's session.
func (s *Service) Look(ctx context.Context, c *Caller, id string) (View, error) {
	st, err := s.standing(ctx, c.Who)
	if err != nil {
		return View{}, err
	}
	rv, _, err := s.reverification(ctx, c, id, "")
	if err != nil {
		return View{}, err
	}
	return s.view(ctx, c, &st, &rv)
}

// reverification reads the one that a step by f is about, or no step.
func (s *Service) reverification(ctx context.Context, c *Caller, id string, f reauth.Factor) (Reverification, reauth.Requirement, error) {
	rv, err := s.Store.Reverification(ctx, c.Who, id)
	if errors.Is(err, consent.ErrNotFound) {
		return rv, reauth.Requirement{}, s.notTheirs(ctx, c, id)
	}
	if err != nil {
		return rv, reauth.Requirement{}, err
	}
	if now := s.now(); !rv.EndedAt.IsZero() || rv.CompletedAt.IsZero() && !now.Before(rv.ExpiresAt) {
		ended := refuse(CodeReverificationEnded, "This reverification has expired, or was ended by a change of the user's factors or the end of the session. Begin a new one.")
		return rv, reauth.Requirement{}, s.refused(ctx, c, &rv, f, ended)
	}
	r, err := reauth.ParseRequirement(rv.Level)
	return rv, r, err
}

// notTheirs answers alike for what is another user's or session's and for what
// is not there. Only the audit tells them apart.
func (s *Service) notTheirs(ctx context.Context, c *Caller, id string) error {
	unknown := refuse(CodeReverificationNotFound, "This session has no reverification with this id.")
	_, err := s.Store.ReverificationByID(ctx, c.ApplicationID, id)
	if errors.Is(err, consent.ErrNotFound) {
		return unknown
	}
	if err != nil {
		return err
	}
	line := s.audit(c, ActionDenied)
	line.Reason, line.Subject = reasonNotTheirs, id
	return s.note(ctx, c, line, unknown)
}

func (s *Service) view(ctx context.Context, c *Caller, st *Standing, rv *Reverification) (View, error) {
	r, err := reauth.ParseRequirement(rv.Level)
	if err != nil {
		return View{}, err
	}
	v := View{ID: rv.ID, Status: rv.status(r, s.now()), Level: r, Operation: rv.Operation, ExpiresAt: rv.ExpiresAt}
	if v.Details, err = s.details(rv); err != nil {
		return v, err
	}
	if v.Status != Complete {
		v.Usable, err = s.helpful(ctx, c, st, rv, r)
		return v, err
	}
	v.Proof, err = s.proofOf(ctx, c, st, rv, r)
	return v, err
}

func (s *Service) details(rv *Reverification) (*reauth.Details, error) {
	if len(rv.Details) == 0 {
		return nil, nil
	}
	text, err := s.Keys.Open(rv.Details, rv.ID)
	if err != nil {
		return nil, err
	}
	d := new(reauth.Details)
	return d, json.Unmarshal(text, d)
}

// Proof is what a person gave as proof.
type Proof struct {
	Strategy   reauth.Factor
	Code       string
	Password   string
	Credential json.RawMessage
}

// Prepared is what a person needs to answer.
type Prepared struct {
	SentTo    string          // masked
	ExpiresAt time.Time       // of the code or challenge
	Options   json.RawMessage // passkey: PublicKeyCredentialRequestOptions (WebAuthn 5.5)
	URL       string          // idp: where to send the browser
}

// Prepare sends a code, or makes a challenge.
// returnTo is where the browser goes on from a trip to the identity provider;
// empty for a page of ours.
func (s *Service) Prepare(ctx context.Context, c *Caller, id string, f reauth.Factor, returnTo string) (View, Prepared, error) {
	st, rv, r, role, err := s.step(ctx, c, id, f)
	if err == nil {
		err = s.unlocked(ctx, c, &st)
	}
	if err != nil {
		return View{}, Prepared{}, err
	}
	var p Prepared
	switch f {
	case reauth.EmailCode, reauth.PhoneCode:
		p, err = s.prepareCode(ctx, c, &st, &rv, f, role)
	case reauth.Passkey:
		p, err = s.preparePasskey(ctx, c, &st, &rv, r)
	case reauth.IDP:
		p, err = s.prepareIdentity(ctx, c, &rv, returnTo)
	case reauth.Password, reauth.TOTP, reauth.BackupCode:
		// nothing to do
	}
	if err != nil {
		return View{}, p, err
	}
	v, err := s.view(ctx, c, &st, &rv)
	return v, p, err
}

func alreadyComplete() *consent.Error {
	return refuse(CodeReverificationEnded, "This reverification is complete. Begin a new one.")
}

// step reads what a step is about, and in which role a strategy counts there.
func (s *Service) step(ctx context.Context, c *Caller, id string, f reauth.Factor) (Standing, Reverification, reauth.Requirement, reauth.Role, error) {
	st, err := s.standing(ctx, c.Who)
	if err != nil {
		return st, Reverification{}, reauth.Requirement{}, "", err
	}
	rv, r, err := s.reverification(ctx, c, id, f)
	if err != nil {
		return st, rv, r, "", err
	}
	now := s.now()
	status := rv.status(r, now)
	if status == Complete {
		return st, rv, r, "", s.refused(ctx, c, &rv, f, alreadyComplete())
	}
	if rv.SecondEnrolled != st.second() {
		return st, rv, r, "", s.refused(ctx, c, &rv, f, refuse(CodeReverificationEnded, "The user's factors have changed. Begin a new reverification."))
	}
	role := reauth.First
	if status == NeedsSecond {
		role = reauth.Second
	}
	usable := s.usable(c.Tenant, &st)
	fits := func(role reauth.Role) bool {
		return slices.ContainsFunc(usable, func(u reauth.Usable) bool { return u.Strategy == f && u.Role == role })
	}
	// Two categories may be proven in either role, and in any order.
	if r.SCA && !fits(role) && fits(role.Other()) {
		role = role.Other()
	}
	if !fits(role) {
		return st, rv, r, "", s.unavailable(ctx, c, &rv, f, "This strategy cannot be used here: it is none that the user has, or not for the factor that is needed next. GET the reverification to see which help.")
	}
	return st, rv, r, role, nil
}

// about begins a line about a factor of a reverification.
func (s *Service) about(c *Caller, a Action, rv *Reverification, f reauth.Factor) Audit {
	line := s.audit(c, a)
	line.Factor, line.Level, line.Operation, line.Subject = f, rv.Level, rv.Operation, rv.ID
	return line
}

func (s *Service) unavailable(ctx context.Context, c *Caller, rv *Reverification, f reauth.Factor, detail string) error {
	return s.refused(ctx, c, rv, f, refuse(CodeStrategyUnavailable, detail))
}

// refused records that a step of a reverification was refused.
func (s *Service) refused(ctx context.Context, c *Caller, rv *Reverification, f reauth.Factor, refusal error) error {
	if !f.MayBe(reauth.First) && !f.MayBe(reauth.Second) {
		f = "" // what somebody sent is no word of the audit
	}
	return s.note(ctx, c, s.about(c, ActionDenied, rv, f), refusal)
}

func (s *Service) prepareCode(ctx context.Context, c *Caller, st *Standing, rv *Reverification, f reauth.Factor, role reauth.Role) (Prepared, error) {
	x := sending{factor: f, purpose: PurposeReverification, subject: rv.ID, operation: rv.Operation, pause: ResendAfter, to: st.User.Email}
	mask := maskEmail
	if f == reauth.PhoneCode {
		if mask, x.to = MaskPhone, st.User.Phone; role == reauth.Second {
			p, _ := st.phone()
			x.to = p.Address
		}
	}
	var err error
	if x.details, err = s.details(rv); err != nil {
		return Prepared{}, err
	}
	made, err := s.send(ctx, c, st, x)
	return Prepared{SentTo: mask(x.to), ExpiresAt: made.ExpiresAt}, err
}

// Attempt judges an answer.
func (s *Service) Attempt(ctx context.Context, c *Caller, id string, in Proof) (View, error) {
	st, rv, r, role, err := s.step(ctx, c, id, in.Strategy)
	if err != nil {
		return View{}, err
	}
	codeID, err := s.answerable(ctx, c, &rv, in)
	if err != nil {
		return View{}, s.refused(ctx, c, &rv, in.Strategy, err)
	}
	ctx, done := outlasting(ctx)
	defer done()
	line := s.about(c, ActionSucceeded, &rv, in.Strategy)
	won := Success{Who: c.Who, At: s.now(), ReverificationID: rv.ID, CodeID: codeID, RefundFrom: BucketFailures + c.UserID, Log: []Audit{line}}
	proven := reauth.Proven{Factor: in.Strategy, Role: role, At: won.At}
	won.Refund, err = s.weigh(ctx, c, &st, line, func() (*wrong, error) { return s.judge(ctx, c, &st, &rv, in, &proven, &won) })
	if err != nil {
		return View{}, err
	}
	return s.succeed(ctx, c, &st, &rv, r, proven, won)
}

// succeed records a right answer, and completes the reverification by it.
func (s *Service) succeed(ctx context.Context, c *Caller, st *Standing, rv *Reverification, r reauth.Requirement, proven reauth.Proven, won Success) (View, error) {
	won.Proven, won.Seen = &proven, len(rv.Proven)
	again := func(p reauth.Proven) bool {
		return p.Factor == proven.Factor && p.Role == proven.Role && p.Ref == proven.Ref
	}
	rv.Proven = append(slices.DeleteFunc(slices.Clone(rv.Proven), again), proven)
	if rv.status(r, won.At) == Complete {
		won.Complete = true
		rv.CompletedAt = won.At
		record := s.record(rv, r, won.At)
		won.Proof = &record
		done := s.audit(c, ActionCompleted)
		done.Level, done.Operation, done.Subject = rv.Level, rv.Operation, rv.ID
		won.Log = append(won.Log, done)
	}
	if err := s.commit(ctx, c, won); err != nil {
		return View{}, err
	}
	st.Proven = append(st.Proven, proven)
	if won.BackupCode != nil {
		s.tellBackupUsed(c, st)
	}
	return s.view(ctx, c, st, rv)
}

// answerable refuses what nothing waits for before it takes a failure: whoever
// holds a stolen token must not fill the user's window with answers that cost
// nothing. It returns the id of the code that is answered, where one is.
func (s *Service) answerable(ctx context.Context, c *Caller, rv *Reverification, in Proof) (codeID string, err error) {
	switch in.Strategy {
	case reauth.EmailCode, reauth.PhoneCode:
		live, err := s.Store.LiveCode(ctx, c.Who, PurposeReverification, s.now())
		if errors.Is(err, consent.ErrNotFound) || err == nil && (live.Subject != rv.ID || live.Factor != in.Strategy) {
			return "", refuse(CodeNotPrepared, "No code of this kind was sent for this reverification, or it has expired. Ask for one with prepare.")
		}
		return live.ID, err
	case reauth.Passkey:
		if len(rv.Prepared) == 0 {
			return "", refuse(CodeNotPrepared, "No challenge waits for an answer. Ask for one with prepare.")
		}
		if len(in.Credential) == 0 {
			return "", invalid("credential", "credential is missing.")
		}
	case reauth.IDP:
		return "", refuse(CodeNotPrepared, "This strategy is proven where prepare sends the browser.")
	case reauth.Password, reauth.TOTP, reauth.BackupCode:
		// always
	}
	return "", nil
}

// judge compares an answer with what it has to be, and fills in what it uses
// up. Faults that say nothing about the person come back as errors.
func (s *Service) judge(ctx context.Context, c *Caller, st *Standing, rv *Reverification, in Proof, p *reauth.Proven, won *Success) (*wrong, error) {
	switch in.Strategy {
	case reauth.Password:
		return s.judgePassword(ctx, st, in.Password)
	case reauth.EmailCode, reauth.PhoneCode:
		return s.judgeCode(ctx, c, st, in, p, won)
	case reauth.TOTP:
		return s.judgeTOTP(ctx, c, in.Code, p, won)
	case reauth.BackupCode:
		return s.judgeBackup(ctx, c, rv, in.Code, p, won)
	case reauth.Passkey:
		return s.judgePasskey(ctx, c, rv, in.Credential, p, won)
	default: // IDP comes back by the browser
		return nil, refuse(CodeNotPrepared, "This strategy is proven where prepare sends the browser.")
	}
}

func (s *Service) judgeCode(ctx context.Context, c *Caller, st *Standing, in Proof, p *reauth.Proven, won *Success) (*wrong, error) {
	made, err := s.try(ctx, c.ApplicationID, won.CodeID)
	if err != nil {
		return nil, err
	}
	p.Ref = refOf(made.AddressHash)
	return s.judgeSent(c, st, &made, in.Code)
}
