package stepup

import (
	"context"

	"github.com/reconsent/reconsent/consent"
)

// judgePassword is password as an answer.
func (s *Service) judgePassword(ctx context.Context, st *Standing, password string) (*wrong, error) {
	right, err := s.password(ctx, st, password)
	if err != nil || right {
		return nil, err
	}
	return incorrect("wrong_password", "This password is not the user's.", failuresLimit), nil
}

// password compares with the user's imported hash. It takes as long where there
// is none.
func (s *Service) password(ctx context.Context, st *Standing, password string) (bool, error) {
	if len(st.User.PasswordHash) == 0 {
		return false, s.Passwords.Dummy(ctx, password)
	}
	hash, err := s.Keys.Open(st.User.PasswordHash, passwordRow(&st.User))
	if err != nil {
		return false, err
	}
	return s.Passwords.Verify(ctx, string(hash), password)
}

// passwordRow is what an imported hash is sealed for. See connector.PutUser.
func passwordRow(u *consent.User) string { return u.ApplicationID + "/" + u.ID }
