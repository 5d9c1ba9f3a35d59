package stepup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/passkey"
)

// relying is the application as an authenticator knows it.
func relying(t *Tenant) passkey.Relying {
	return passkey.Relying{ID: t.Passkeys.RPID, Name: t.Name, Origins: t.Passkeys.Origins}
}

// passkeyUser is the caller as an authenticator knows them: by a fingerprint,
// never by the application's own id.
func (s *Service) passkeyUser(st *Standing) (passkey.User, error) {
	handle, err := s.Keys.Fingerprint(purposeHandle, []byte(passwordRow(&st.User)))
	name := st.User.Email
	if name == "" {
		name = st.User.ID
	}
	display := st.User.Name
	if display == "" {
		display = name
	}
	return passkey.User{Handle: handle, Name: name, Display: display}, err
}

// passkeys opens the caller's credentials, those that count.
func (s *Service) passkeys(ctx context.Context, who Who) ([]FactorRecord, []passkey.Credential, error) {
	list, err := s.Store.FactorRecords(ctx, who.ApplicationID, who.UserID, KindPasskey)
	if err != nil {
		return nil, nil, err
	}
	var records []FactorRecord
	var creds []passkey.Credential
	for _, f := range list {
		if f.VerifiedAt.IsZero() {
			continue
		}
		text, err := s.Keys.Open(f.Secret, f.ID)
		if err != nil {
			return nil, nil, err
		}
		var c passkey.Credential
		if err := json.Unmarshal(text, &c); err != nil {
			return nil, nil, err
		}
		records, creds = append(records, f), append(creds, c)
	}
	return records, creds, nil
}

func (s *Service) beginPasskey(ctx context.Context, c *Caller, st *Standing, f *FactorRecord, out *Enrollment) error {
	user, err := s.passkeyUser(st)
	if err != nil {
		return err
	}
	_, creds, err := s.passkeys(ctx, c.Who)
	if err != nil {
		return err
	}
	// Verification of the user is preferred, so that the passkey can do for sca.
	options, session, err := relying(c.Tenant).BeginRegistration(s.now(), user, creds, passkey.Preferred)
	if err != nil {
		return err
	}
	out.Options = options
	f.Secret, err = s.Keys.Seal(session, f.ID)
	return err
}

func (s *Service) finishPasskey(c *Caller, f *FactorRecord, answer json.RawMessage, change *FactorChange) (*wrong, error) {
	session, err := s.Keys.Open(f.Secret, f.ID)
	if err != nil {
		return nil, err
	}
	cred, err := relying(c.Tenant).FinishRegistration(s.now(), session, answer)
	if bad, err := passkeyWrong(err); bad != nil || err != nil {
		return bad, err
	}
	text, err := json.Marshal(cred)
	if err != nil {
		return nil, err
	}
	change.Secret, err = s.Keys.Seal(text, f.ID)
	return nil, err
}

func (s *Service) preparePasskey(ctx context.Context, c *Caller, st *Standing, rv *Reverification, r reauth.Requirement) (Prepared, error) {
	user, err := s.passkeyUser(st)
	if err != nil {
		return Prepared{}, err
	}
	_, creds, err := s.passkeys(ctx, c.Who)
	if err != nil {
		return Prepared{}, err
	}
	now := s.now()
	verification := passkey.Preferred
	if r.SCA {
		verification = passkey.Required
	}
	options, session, err := relying(c.Tenant).BeginAssertion(now, user.Handle, creds, verification)
	if errors.Is(err, passkey.ErrUnknownCredential) {
		return Prepared{}, s.unavailable(ctx, c, rv, reauth.Passkey, "The user has no passkey that does here: this level wants one that verifies them, by a PIN or a finger.")
	}
	if err != nil {
		return Prepared{}, err
	}
	sealed, err := s.Keys.Seal(session, rv.ID)
	if err != nil {
		return Prepared{}, err
	}
	return Prepared{Options: options, ExpiresAt: now.Add(passkey.Window)}, s.prepare(ctx, c, rv, reauth.Passkey, sealed)
}

func (s *Service) judgePasskey(ctx context.Context, c *Caller, rv *Reverification, answer json.RawMessage, p *reauth.Proven, won *Success) (*wrong, error) {
	sealed, err := s.Store.TakePrepared(ctx, c.Who, rv.ID)
	if errors.Is(err, consent.ErrNotFound) {
		return nil, refuse(CodeNotPrepared, "No challenge waits for an answer. Ask for one with prepare.")
	}
	if err != nil {
		return nil, err
	}
	session, err := s.Keys.Open(sealed, rv.ID)
	if err != nil {
		return nil, err
	}
	records, creds, err := s.passkeys(ctx, c.Who)
	if err != nil {
		return nil, err
	}
	was, verified, err := relying(c.Tenant).FinishAssertion(s.now(), session, answer, creds)
	if bad, err := passkeyWrong(err); bad != nil || err != nil {
		return bad, err
	}
	for i := range creds {
		if !bytes.Equal(creds[i].ID, was.ID) { // public
			continue
		}
		text, err := json.Marshal(was)
		if err != nil {
			return nil, err
		}
		f := &records[i]
		won.Step = &FactorStep{FactorID: f.ID, Was: f.Secret}
		p.Ref, p.UserVerified = f.ID, verified
		won.Step.Secret, err = s.Keys.Seal(text, f.ID)
		return nil, err
	}
	return nil, errors.New("a passkey answered that is none of the user's")
}

// passkeyWrong tells an answer that is wrong from a fault of ours.
func passkeyWrong(err error) (*wrong, error) {
	switch {
	case err == nil:
		return nil, nil
	case errors.Is(err, passkey.ErrMalformed):
		return nil, invalid("credential", "credential is not the answer of navigator.credentials in JSON (WebAuthn 5.1.7, toJSON).")
	case errors.Is(err, passkey.ErrCloned):
		return incorrect("passkey_cloned", "This passkey's counter went back: it may have been copied. Remove it and enrol a new one.", failuresLimit), nil
	case errors.Is(err, passkey.ErrRefused), errors.Is(err, passkey.ErrUnknownCredential):
		return incorrect("wrong_passkey", "This passkey's answer is not good here.", failuresLimit), nil
	default:
		return nil, err
	}
}
