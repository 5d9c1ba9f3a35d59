package stepup

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/code"
)

// sending is a code that somebody asked for.
type sending struct {
	factor    reauth.Factor // EmailCode, PhoneCode
	to        string
	purpose   Purpose
	subject   string
	operation string
	details   *reauth.Details
	// hollow goes to nobody: the address is not the caller's. All else about it
	// is the same, so that the answer tells nothing.
	hollow bool
	pause  time.Duration // until another one may be asked for
}

func (x *sending) channel() consent.Channel {
	if x.factor == reauth.PhoneCode {
		return consent.ChannelSMS
	}
	return consent.ChannelEmail
}

// send makes a code and has it sent. The one that was live for the same purpose
// is worthless from then on.
func (s *Service) send(ctx context.Context, c *Caller, st *Standing, x sending) (Code, error) {
	now := s.now()
	live, err := s.Store.LiveCode(ctx, c.Who, x.purpose, now)
	switch {
	case err == nil && now.Before(live.CreatedAt.Add(x.pause)):
		return Code{}, s.tooSoon(ctx, c, x, live.CreatedAt.Add(x.pause))
	case err != nil && !errors.Is(err, consent.ErrNotFound):
		return Code{}, err
	}
	_, address, err := s.ref(c.ApplicationID, x.to)
	if err == nil && x.hollow {
		// Counted by the caller too: others' limits are not theirs to use up, or to
		// learn of.
		_, address, err = s.ref(c.ApplicationID, c.UserID+"\x00"+x.to)
	}
	if err != nil {
		return Code{}, err
	}
	digits, err := code.New(rand.Reader)
	if err != nil {
		return Code{}, err
	}
	made := Code{
		Who: c.Who, ID: s.NewID(), DeviceID: c.DeviceID, Purpose: x.purpose, Subject: x.subject, Factor: x.factor, AddressHash: address,
		CreatedAt: now, ExpiresAt: now.Add(codeValidity), Hollow: x.hollow,
	}
	if x.purpose == PurposeVerification { // it is shown to a caller without a token
		made.ID = c.Tenant.Slug + "." + secret()
	}
	if made.MAC, err = s.codeMAC(&made, digits); err != nil {
		return Code{}, err
	}
	line := s.audit(c, ActionCodeAsked)
	line.Factor, line.Operation, line.Subject = x.factor, x.operation, auditable(made.ID)
	if x.hollow {
		line.Reason = "address_not_bound"
	}
	if err := s.admit(ctx, c, x, address, now); err != nil {
		return Code{}, err
	}
	earlier, err := s.Store.BeginCode(ctx, made, now.Add(-x.pause), line)
	if errors.Is(err, consent.ErrBusy) {
		err = s.tooSoon(ctx, c, x, earlier.Add(x.pause))
	}
	if err != nil {
		return Code{}, s.release(ctx, c, x, address, now, usedUp(err))
	}
	if x.hollow {
		return made, nil
	}
	unsent := line
	line.ID = "" // made when it is recorded
	err = s.Messenger.SendCode(CodeMessage{
		Application: &c.Tenant.Application, User: &st.User, Audit: line, Channel: x.channel(), To: x.to, Code: digits,
		Operation: x.operation, Details: x.details, ExpiresAt: made.ExpiresAt,
	})
	if err != nil {
		return made, s.unsent(ctx, c, x, &made, unsent, err)
	}
	return made, nil
}

// unsent ends a code for which there was no room. Where the answer must not
// tell whether anything is sent, it is what it would have been, and counts for
// its user as it would have.
func (s *Service) unsent(ctx context.Context, c *Caller, x sending, made *Code, line Audit, cause error) error {
	s.Log.Error("a code was not sent", "application", made.ApplicationID, "error", cause)
	line.ID, line.Action, line.Reason = s.NewID(), ActionCodeUnsent, "no_room"
	if x.purpose == PurposeVerification {
		return errors.Join(s.Store.Record(ctx, line), s.releaseSMS(ctx, c, x, made.CreatedAt))
	}
	err := usedUp(s.Store.EndCode(ctx, made.ApplicationID, made.ID, s.now(), line))
	if err == nil {
		err = waitUntil(CodeSendLimited, made.CreatedAt.Add(ResendAfter), "Too many messages are under way. Ask again in a moment.")
	}
	return s.release(ctx, c, x, made.AddressHash, made.CreatedAt, err)
}

// CodeSent records what became of a code: reason is empty where a server took
// it. Of a user who was erased meanwhile nothing is recorded.
func (s *Service) CodeSent(ctx context.Context, line Audit, reason string) error {
	line.ID, line.At, line.Action, line.Reason = s.NewID(), s.now(), ActionCodeSent, reason
	if reason != "" {
		line.Action = ActionCodeUnsent
	}
	return s.later(ctx, line)
}

// NoticeUnsent records that a security notice did not reach its user, or one of
// their addresses.
func (s *Service) NoticeUnsent(ctx context.Context, applicationID, userID string, e Event) error {
	return s.later(ctx, Audit{
		ApplicationID: applicationID, ID: s.NewID(), At: s.now(), UserID: userID, Action: ActionNoticeUnsent, Reason: string(e),
	})
}

// later records what may come after the user was erased, and then is dropped.
func (s *Service) later(ctx context.Context, line Audit) error {
	err := s.Store.RecordOfUser(ctx, line.ApplicationID, line.UserID, line)
	if errors.Is(err, consent.ErrNotFound) {
		return nil
	}
	return err
}

func (s *Service) tooSoon(ctx context.Context, c *Caller, x sending, at time.Time) error {
	return s.limited(ctx, c, x, at, limitResend, "A code was sent a moment ago. Another one can be asked for when this time is over.")
}

func (s *Service) limited(ctx context.Context, c *Caller, x sending, at time.Time, by limit, detail string) error {
	if err := s.deniedBy(ctx, c, by, x.factor, x.operation); err != nil {
		return err
	}
	return waitUntil(CodeSendLimited, at, detail)
}

// admit counts a code against the limits of the user and of the address, and an
// SMS against the application's budget. What is hollow counts alike, but for the
// budget: it costs nothing, and is denied all the same where a real one would be.
// What is denied counts nowhere.
func (s *Service) admit(ctx context.Context, c *Caller, x sending, address []byte, now time.Time) (err error) {
	var counted []string
	defer func() {
		for _, bucket := range counted {
			if err != nil {
				err = s.giveBack(ctx, c, bucket, now, err)
			}
		}
	}()
	for _, bucket := range sendBuckets(c, address) {
		taken, err := s.count(ctx, c.ApplicationID, bucket, nil, sendsLimit, sendsPer, now)
		if err != nil {
			return err
		}
		if !taken.OK {
			return s.limited(ctx, c, x, taken.RetryAt, limitSends, "Five codes an hour are sent to a person. Use the newest one, or wait.")
		}
		counted = append(counted, bucket)
	}
	if x.factor != reauth.PhoneCode {
		return nil
	}
	day, most := c.Tenant.smsBudget(now)
	n := 1
	if x.hollow {
		n, most = 0, most-1 // is one left?
	}
	ok, err := s.Store.Take(ctx, c.ApplicationID, allowanceSMS, day, n, most)
	if err == nil && !ok {
		return s.limited(ctx, c, x, day.Add(24*time.Hour), limitSMS, "The application's budget of SMS for today is used up. Use another factor.")
	}
	return err
}

// sendBuckets are the windows that a code counts in.
func sendBuckets(c *Caller, address []byte) []string {
	return []string{BucketSends + c.UserID, BucketAddress + hex.EncodeToString(address)}
}

// allowanceSMS is an application's budget of SMS, as Take counts it.
const allowanceSMS = "code_sms"

// smsBudget is how many SMS with codes may be sent on the day of now.
func (t *Tenant) smsBudget(now time.Time) (day time.Time, most int) {
	if most = t.SMSPerDay; most == 0 {
		most = DefaultSMSPerDay
	}
	return now.Truncate(24 * time.Hour), most
}

// release gives back what admit counted for a code that came to nothing.
func (s *Service) release(ctx context.Context, c *Caller, x sending, address []byte, at time.Time, cause error) error {
	for _, bucket := range sendBuckets(c, address) {
		cause = s.giveBack(ctx, c, bucket, at, cause)
	}
	return errors.Join(cause, s.releaseSMS(ctx, c, x, at))
}

func (s *Service) releaseSMS(ctx context.Context, c *Caller, x sending, at time.Time) error {
	if x.factor != reauth.PhoneCode || x.hollow {
		return nil
	}
	day, most := c.Tenant.smsBudget(at)
	_, err := s.Store.Take(ctx, c.ApplicationID, allowanceSMS, day, -1, most)
	return err
}

func (s *Service) codeMAC(c *Code, digits string) ([]byte, error) {
	in := code.Sent{Application: c.ApplicationID, User: c.UserID, Purpose: string(c.Purpose) + "/" + c.Subject, ID: c.ID}
	return s.Keys.Fingerprint(purposeCode, in.MACInput(digits))
}

// try takes one of a code's tries, before it is compared. A code that is gone,
// or whose tries are taken, is answered as such.
func (s *Service) try(ctx context.Context, applicationID, id string) (Code, error) {
	c, err := s.Store.TryCode(ctx, applicationID, id, s.now())
	switch {
	case errors.Is(err, consent.ErrNotFound):
		err = refuse(CodeCodeExpired, "This code is no longer good: it was used, has expired, or was followed by another. Ask for a new one.")
	case errors.Is(err, consent.ErrClaimLost):
		err = waitUntil(CodeLocked, c.CreatedAt.Add(codeValidity), "This code was guessed at too often. Ask for a new one when the time is over.")
	}
	return c, err
}

// opens compares a code, one of whose tries was taken, with what was typed.
func (s *Service) opens(c *Code, typed string) (*wrong, error) {
	digits, ok := code.Digits(typed, code.Length)
	if !ok {
		digits = "" // compared all the same, so that it takes as long
	}
	mac, err := s.codeMAC(c, digits)
	if err != nil || hmac.Equal(mac, c.MAC) && ok && !c.Hollow {
		return nil, err
	}
	return incorrect("wrong_code", "This code is not the one that was sent.", MaxTries-c.Tries), nil
}

// judgeSent is opens for a code that went to an address of the user's, which it
// still has to be.
func (s *Service) judgeSent(c *Caller, st *Standing, made *Code, typed string) (*wrong, error) {
	if bad, err := s.opens(made, typed); bad != nil || err != nil {
		return bad, err
	}
	return nil, s.stillBound(c, st, made)
}

// role is as what a code to an address counts: the number that is enrolled as a
// second factor is no first one.
func (st *Standing) role(f reauth.Factor, ref string) reauth.Role {
	if p, ok := st.phone(); ok && f == reauth.PhoneCode && p.Ref == ref {
		return reauth.Second
	}
	return reauth.First
}

// auditable is what of a code's id may be read by others: the id of a
// verification is a capability.
func auditable(id string) string {
	if slug, _, ok := strings.Cut(id, "."); ok {
		return slug + ".*"
	}
	return id
}
