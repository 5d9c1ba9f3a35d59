package proof

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/reconsent/reconsent/internal/jose"
)

// Why a proof is not taken. The set is closed; beside it, Verify returns the
// error of a context that Keys wait under.
var (
	ErrMalformed       = errors.New("not a proof of reverification")
	ErrRefused         = errors.New("the proof's signature, algorithm, header or type is refused")
	ErrNames           = errors.New("the proof is from another issuer, or for another application")
	ErrExpired         = errors.New("the proof has expired")
	ErrNotYetValid     = errors.New("the proof is from the future")
	ErrKeysUnavailable = errors.New("the keys for proofs cannot be had")
)

// Mint signs claims. The times are cut to seconds, and FVA is computed. It fails
// where the claims are not whole: see Claims.
func Mint(k Key, c Claims) (string, error) {
	if k.private == nil {
		return "", errors.New("mint a proof: there is no key")
	}
	c = c.truncated()
	c.FVA = c.ages()
	if err := c.whole(); err != nil {
		return "", fmt.Errorf("mint a proof: %w", err)
	}
	t := jwt.NewWithClaims(jwt.GetSigningMethod(k.Algorithm), signed{Claims: c})
	t.Header["typ"], t.Header["kid"] = Type, k.ID
	s, err := t.SignedString(k.private)
	if err != nil {
		return "", fmt.Errorf("mint a proof: %w", err)
	}
	return s, nil
}

// signed are Claims in the library's hands, which signs and does not judge them.
type signed struct {
	jwt.MapClaims
	Claims
}

// MarshalJSON writes the claims, and nothing of the library's.
func (s signed) MarshalJSON() ([]byte, error) { return s.Claims.MarshalJSON() }

// Keys know what verifies: KeySet, or RemoteKeys.In.
type Keys interface {
	// PublicKeys returns the keys with this id that are for this algorithm; none
	// is no error. Errors: ErrKeysUnavailable, or a context's.
	PublicKeys(id, algorithm string) ([]crypto.PublicKey, error)
}

// KeySet are keys that are at hand.
type KeySet []PublicKey

// PublicKeys implements Keys.
func (s KeySet) PublicKeys(id, algorithm string) ([]crypto.PublicKey, error) {
	for _, k := range s {
		if k.ID == id && k.Algorithm == algorithm {
			return []crypto.PublicKey{k.Key}, nil
		}
	}
	return nil, nil
}

// Want is what a proof has to be. All of it is required: what is empty fits
// nothing.
type Want struct {
	Issuer   string // of the installation
	Audience string // the application's id
	Now      time.Time
}

// Verify reads a proof. Whether it is for this user and session, reaches a
// level, is bound to what is about to happen, or was used up, is not judged.
// Errors: the set above.
func Verify(token string, keys Keys, want Want) (Claims, error) {
	raw, err := jose.Open(token, jose.Demands{Algorithms: algorithms, Types: []string{Type}, Keys: func(h jose.Header) ([]any, error) {
		if h.KeyID == "" {
			return nil, nil
		}
		found, err := keys.PublicKeys(h.KeyID, h.Algorithm)
		list := make([]any, len(found))
		for i, k := range found {
			list[i] = k
		}
		return list, err
	}})
	if err != nil {
		return Claims{}, translate(err)
	}
	var c Claims
	if c.UnmarshalJSON(raw) != nil { // json.Unmarshal would read it twice
		return Claims{}, ErrMalformed
	}
	switch {
	case want.Issuer == "" || c.Issuer != want.Issuer, want.Audience == "" || c.Audience != want.Audience:
		return Claims{}, ErrNames
	case want.Now.IsZero() || !want.Now.Before(c.ExpiresAt):
		return Claims{}, ErrExpired
	case c.IssuedAt.After(want.Now.Add(Leeway)):
		return Claims{}, ErrNotYetValid
	}
	return c, nil
}

func translate(err error) error {
	switch {
	case errors.Is(err, jose.ErrMalformed):
		return ErrMalformed
	case errors.Is(err, jose.ErrKeysUnavailable), errors.Is(err, ErrKeysUnavailable):
		return ErrKeysUnavailable
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	default:
		return ErrRefused
	}
}
