package stepup

import (
	"context"
	"crypto/hmac"
	"slices"

	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/code"
	"github.com/reconsent/reconsent/reauth/totp"
)

// judgeTOTP compares with the user's authenticator app.
func (s *Service) judgeTOTP(ctx context.Context, c *Caller, typed string, p *reauth.Proven, won *Success) (*wrong, error) {
	list, err := s.Store.FactorRecords(ctx, c.ApplicationID, c.UserID, KindTOTP)
	if err != nil {
		return nil, err
	}
	for i := range list {
		f := &list[i]
		if f.VerifiedAt.IsZero() {
			continue
		}
		secret, err := s.Keys.Open(f.Secret, f.ID)
		if err != nil {
			return nil, err
		}
		if step, ok := totp.Verify(string(secret), typed, s.now(), f.LastStep); ok {
			won.Step, p.Ref = &FactorStep{FactorID: f.ID, LastStep: step}, f.ID
			return nil, nil
		}
		if _, again := totp.Verify(string(secret), typed, s.now(), 0); again { // pressed twice, which is no guess
			return nil, refuse(CodeCodeExpired, "This code was used already. Wait for the one that the app shows next.")
		}
	}
	return incorrect("wrong_code", "This code is not the one that the app shows now, or was used already.", failuresLimit), nil
}

// judgeBackup compares with every code, whichever it is, so that time does not
// tell.
func (s *Service) judgeBackup(ctx context.Context, c *Caller, rv *Reverification, typed string, p *reauth.Proven, won *Success) (*wrong, error) {
	plain, ok := code.Backup(typed)
	hash, err := s.backupHash(c, plain)
	if err != nil {
		return nil, err
	}
	list, err := s.Store.BackupCodes(ctx, c.ApplicationID, c.UserID)
	if err != nil {
		return nil, err
	}
	var found *BackupUse
	for i := range list {
		if hmac.Equal(list[i].Hash, hash) && ok {
			found = &list[i]
		}
	}
	switch {
	case found != nil && found.UsedAt.IsZero():
		won.BackupCode, p.Ref = found, found.FactorID
		return nil, nil
	case found != nil:
		if err := s.pressedTwice(ctx, rv, found); err != nil {
			return nil, err
		}
	}
	return incorrect("wrong_code", "This is none of the backup codes that are left.", failuresLimit), nil
}

// pressedTwice refuses a backup code that was used for this reverification a
// moment ago, which is no guess. The reverification is read again: the first
// press may have come since.
func (s *Service) pressedTwice(ctx context.Context, rv *Reverification, used *BackupUse) error {
	now, err := s.Store.Reverification(ctx, rv.Who, rv.ID)
	if err != nil {
		return err
	}
	here := slices.ContainsFunc(now.Proven, func(p reauth.Proven) bool {
		return p.Factor == reauth.BackupCode && p.Ref == used.FactorID && p.At.Equal(used.UsedAt)
	})
	switch {
	case !here:
		return nil
	case !now.CompletedAt.IsZero():
		return alreadyComplete()
	default:
		return refuse(CodeCodeExpired, "This code was used already, a moment ago. Go on with what is still missing.")
	}
}
