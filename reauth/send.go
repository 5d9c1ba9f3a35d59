package reauth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"errors"
	"strings"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth/code"
)

// sending is a code that somebody asked for.
type sending struct {
	factor    Factor // EmailCode, PhoneCode
	to        string
	purpose   Purpose
	subject   string
	operation string
	details   *Details
	// hollow goes to nobody: the address is not the caller's. All else about it
	// is the same, so that the answer tells nothing.
	hollow bool
	pause  time.Duration // until another one may be asked for
}

func (x *sending) channel() consent.Channel {
	if x.factor == PhoneCode {
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
	if err := s.admit(ctx, c, x, address, now); err != nil {
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
	earlier, err := s.Store.BeginCode(ctx, made, now.Add(-x.pause), line)
	if errors.Is(err, consent.ErrBusy) {
		return Code{}, s.tooSoon(ctx, c, x, earlier.Add(x.pause))
	}
	if err != nil || x.hollow {
		return made, usedUp(err)
	}
	unsent := line
	line.ID = "" // made when it is recorded
	err = s.Messenger.SendCode(CodeMessage{
		Application: &c.Tenant.Application, User: &st.User, Audit: line, Channel: x.channel(), To: x.to, Code: digits,
		Operation: x.operation, Details: x.details, ExpiresAt: made.ExpiresAt,
	})
	if err != nil {
		return made, s.unsent(ctx, x, &made, unsent, err)
	}
	return made, nil
}

// unsent ends a code for which there was no room. Where the answer must not
// tell whether anything is sent, it is what it would have been.
func (s *Service) unsent(ctx context.Context, x sending, made *Code, line Audit, cause error) error {
	s.Log.Error("a code was not sent", "application", made.ApplicationID, "error", cause)
	line.ID, line.Action, line.Reason = s.NewID(), ActionCodeUnsent, "no_room"
	if x.purpose == PurposeVerification {
		return s.Store.Record(ctx, line)
	}
	if err := s.Store.EndCode(ctx, made.ApplicationID, made.ID, s.now(), line); err != nil {
		return usedUp(err)
	}
	return waitUntil(CodeSendLimited, made.CreatedAt.Add(resendAfter), "Too many messages are under way. Ask again in a moment.")
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

// later records what turned out after the user's request was answered.
func (s *Service) later(ctx context.Context, line Audit) error {
	err := s.Store.RecordOfUser(ctx, line.ApplicationID, line.UserID, line)
	if errors.Is(err, consent.ErrNotFound) {
		return nil
	}
	return err
}

func (s *Service) tooSoon(ctx context.Context, c *Caller, x sending, at time.Time) error {
	return s.limited(ctx, c, x, at, "resend", "A code was sent a moment ago. Another one can be asked for when this time is over.")
}

func (s *Service) limited(ctx context.Context, c *Caller, x sending, at time.Time, reason, detail string) error {
	line := s.audit(c, ActionLimited)
	line.Factor, line.Reason = x.factor, reason
	if err := s.Store.Record(ctx, line); err != nil {
		return err
	}
	return waitUntil(CodeSendLimited, at, detail)
}

// admit counts a code against the limits of the user and of the address, and an
// SMS against the application's budget. What is hollow counts alike. What is
// denied counts nowhere.
func (s *Service) admit(ctx context.Context, c *Caller, x sending, address []byte, now time.Time) (err error) {
	var counted []string
	defer func() {
		for _, bucket := range counted {
			if err != nil {
				err = s.giveBack(ctx, c, bucket, now, err)
			}
		}
	}()
	for _, bucket := range []string{BucketSends + c.UserID, BucketAddress + hexed(address)} {
		taken, err := s.count(ctx, c.ApplicationID, bucket, nil, sendsLimit, sendsPer, now)
		if err != nil {
			return err
		}
		if !taken.OK {
			return s.limited(ctx, c, x, taken.RetryAt, "sends", "Five codes an hour are sent to a person. Use the newest one, or wait.")
		}
		counted = append(counted, bucket)
	}
	if x.factor != PhoneCode {
		return nil
	}
	day, most := now.Truncate(24*time.Hour), c.Tenant.SMSPerDay
	if most == 0 {
		most = DefaultSMSPerDay
	}
	ok, err := s.Store.Take(ctx, c.ApplicationID, "code_sms", day, 1, most)
	if err == nil && !ok {
		return s.limited(ctx, c, x, day.Add(24*time.Hour), "sms_budget", "The application's budget of SMS for today is used up. Use another factor.")
	}
	return err
}

func (s *Service) codeMAC(c *Code, digits string) ([]byte, error) {
	in := code.Sent{Application: c.ApplicationID, User: c.UserID, Purpose: string(c.Purpose) + "/" + c.Subject, ID: c.ID}
	return s.Keys.Fingerprint(purposeCode, in.MACInput(digits))
}

// opens takes one of a code's tries and compares what was typed. A code that is
// gone, or whose tries are taken, is answered as such; what is wrong comes back
// as false with the tries that are left.
func (s *Service) opens(ctx context.Context, applicationID, id, typed string) (c Code, right bool, left int, err error) {
	c, err = s.Store.TryCode(ctx, applicationID, id, s.now())
	switch {
	case errors.Is(err, consent.ErrNotFound):
		return c, false, 0, refuse(CodeCodeExpired, "This code is no longer good: it was used, has expired, or was followed by another. Ask for a new one.")
	case errors.Is(err, consent.ErrClaimLost):
		return c, false, 0, waitUntil(CodeLocked, c.CreatedAt.Add(codeValidity), "This code was guessed at too often. Ask for a new one when the time is over.")
	case err != nil:
		return c, false, 0, err
	}
	digits, ok := code.Digits(typed, code.Length)
	if !ok {
		digits = "" // compared all the same, so that it takes as long
	}
	mac, err := s.codeMAC(&c, digits)
	if err != nil {
		return c, false, 0, err
	}
	return c, hmac.Equal(mac, c.MAC) && ok && !c.Hollow, MaxTries - c.Tries, nil
}

// role is as what a code to an address counts: the number that is enrolled as a
// second factor is no first one.
func (st *Standing) role(f Factor, ref string) Role {
	if p, ok := st.phone(); ok && f == PhoneCode && p.Ref == ref {
		return Second
	}
	return First
}

// auditable is what of a code's id may be read by others: the id of a
// verification is a capability.
func auditable(id string) string {
	if slug, _, ok := strings.Cut(id, "."); ok {
		return slug + ".*"
	}
	return id
}
