package stepup

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
)

// second reports whether a user has a second factor to prove. Backup codes are
// a way around a second factor that is out of reach, and none by themselves.
func (st *Standing) second() bool {
	return slices.ContainsFunc(st.Factors, func(f EnrolledFactor) bool {
		return !f.VerifiedAt.IsZero() && (f.Kind == KindTOTP || f.Kind == KindPhone)
	})
}

func (st *Standing) has(kind FactorKind) bool {
	return slices.ContainsFunc(st.Factors, func(f EnrolledFactor) bool {
		return f.Kind == kind && !f.VerifiedAt.IsZero() && (kind != KindBackupCodes || f.Left > 0)
	})
}

// phone returns the number that was enrolled as a second factor, if any.
func (st *Standing) phone() (EnrolledFactor, bool) {
	i := slices.IndexFunc(st.Factors, func(f EnrolledFactor) bool { return f.Kind == KindPhone && !f.VerifiedAt.IsZero() })
	if i < 0 {
		return EnrolledFactor{}, false
	}
	return st.Factors[i], true
}

// usable lists what the caller can prove now. A contact address is a first
// factor until it is enrolled as a second: one number never counts twice.
func (s *Service) usable(t *Tenant, st *Standing) []reauth.Usable {
	list := []reauth.Usable{} // an array on the wire, also where it is empty
	add := func(f reauth.Factor, r reauth.Role, hint string) {
		list = append(list, reauth.Usable{Strategy: f, Role: r, Hint: hint})
	}
	if len(st.User.PasswordHash) > 0 {
		add(reauth.Password, reauth.First, "")
	}
	if s.sends(t, reauth.EmailCode, consent.ChannelEmail) && st.User.Email != "" {
		add(reauth.EmailCode, reauth.First, maskEmail(st.User.Email))
	}
	second, enrolled := st.phone()
	if s.sends(t, reauth.PhoneCode, consent.ChannelSMS) && st.User.Phone != "" && (!enrolled || second.Address != st.User.Phone) {
		add(reauth.PhoneCode, reauth.First, MaskPhone(st.User.Phone))
	}
	if st.has(KindPasskey) && t.Passkeys.RPID != "" {
		add(reauth.Passkey, reauth.First, "")
	}
	if t.OpenID.Issuer != "" {
		add(reauth.IDP, reauth.First, "")
	}
	if enrolled && s.sends(t, reauth.PhoneCode, consent.ChannelSMS) {
		add(reauth.PhoneCode, reauth.Second, MaskPhone(second.Address))
	}
	if st.has(KindTOTP) {
		add(reauth.TOTP, reauth.Second, "")
	}
	if st.has(KindBackupCodes) && st.second() {
		add(reauth.BackupCode, reauth.Second, "")
	}
	return list
}

// sends reports whether codes go out by a channel for an application.
func (s *Service) sends(t *Tenant, f reauth.Factor, c consent.Channel) bool {
	return !slices.Contains(t.CodesOff, f) && s.Messenger.Reaches(c)
}

// ages judges what a session has proven, with what the token says of itself
// where the application trusts it to.
func ages(c *Caller, st *Standing, now time.Time) reauth.Ages {
	proven := slices.Clone(st.Proven)
	if at := c.Token.AuthTime; at.After(st.ClearedAt) && !at.IsZero() {
		proven = append(proven, reauth.Proven{Factor: reauth.IDP, Role: reauth.First, At: at})
	}
	a := reauth.AgesOf(proven, now)
	if fva := c.Token.FVA; fva != nil {
		a = a.Or(reauth.AgesOfFVA(sinceCleared(fva, c.Token.IssuedAt, st.ClearedAt), c.Token.IssuedAt, now))
	}
	if at := c.Token.AuthTime; at.After(st.ClearedAt) && !at.IsZero() && multiple(c.Token.AMR) {
		a = a.Or(reauth.AgesOfFVA(&[2]int{0, 0}, at, now))
	}
	return a
}

// sinceCleared leaves of a token's fva what was proven after a session was
// ended: an age is up to a minute more than it says.
func sinceCleared(fva *[2]int, iat, cleared time.Time) *[2]int {
	left := *fva
	for i, n := range left {
		if !cleared.IsZero() && n >= 0 && !iat.Add(-time.Duration(n+1)*time.Minute).After(cleared) {
			left[i] = -1
		}
	}
	return &left
}

// multiple reports whether a token's amr claims more than one factor (RFC 8176).
func multiple(amr []string) bool { return slices.Contains(amr, "mfa") }

// ref fingerprints an address, so that it can be told whether two factors are
// the same number without keeping it.
func (s *Service) ref(applicationID, address string) (string, []byte, error) {
	sum := sha256.Sum256([]byte(applicationID + "\x00" + address))
	hash, err := s.Keys.Fingerprint(purposeAddress, sum[:])
	return refOf(hash), hash, err
}

// stillBound refuses a right code that was sent to an address which the user
// has no more.
func (s *Service) stillBound(c *Caller, st *Standing, made *Code) error {
	addresses := []string{st.User.Email, st.User.Phone}
	if p, ok := st.phone(); ok {
		addresses = append(addresses, p.Address)
	}
	for _, a := range addresses {
		_, hash, err := s.ref(c.ApplicationID, a)
		if err != nil {
			return err
		}
		if a != "" && hmac.Equal(hash, made.AddressHash) {
			return nil
		}
	}
	return refuse(CodeCodeExpired, "This code went to an address that is no longer the user's. Ask for a new one.")
}

// unlocked refuses to send or make what could not be answered.
func (s *Service) unlocked(ctx context.Context, c *Caller, st *Standing) error {
	w, err := reauth.ParseWindow(st.Failures)
	if err != nil {
		return err
	}
	if taken := w.Peek(s.now(), failuresLimit, failuresPer); !taken.OK {
		return s.locked(ctx, c, taken)
	}
	return nil
}

// settleWithin is for how long an answer is judged whose caller has gone.
const settleWithin = 30 * time.Second

// outlasting is a context that a caller who hangs up does not end: what an
// answer takes of the user's failures is recorded or given back in any case.
func outlasting(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), settleWithin)
}

// refOf is the ref of an address's fingerprint.
func refOf(hash []byte) string { return base64.RawURLEncoding.EncodeToString(hash) }

// Purposes of fingerprints.
const (
	purposeAddress = "reauth-address"
	purposeCode    = "reauth-code"
	purposeBackup  = "reauth-backup-code"
	purposeToken   = "reauth-step-token" //nolint:gosec // the name of a purpose
	purposeHandle  = "reauth-passkey-user"
	purposeAnswer  = "reauth-answer"
	purposeTicket  = "reauth-ticket"
)
