package stepup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/proof"
)

// RotateEvery is how often the key that signs proofs is followed by another.
const RotateEvery = 90 * 24 * time.Hour

// ringAge is for how long the keys are taken as they were read: less than the
// time by which proof.Lead exceeds what verifiers cache.
const ringAge = time.Minute

// ring keeps the installation's keys at hand.
type ring struct {
	mu     sync.Mutex
	readAt time.Time
	keys   proof.Ring
}

func proofKeyRow(id string) string { return "proof-key/" + id }

// keys returns the ring as it is now. The first call of an installation makes
// its first key.
func (s *Service) keys(ctx context.Context) (proof.Ring, error) {
	s.ring.mu.Lock()
	defer s.ring.mu.Unlock()
	now := s.now()
	if age := now.Sub(s.ring.readAt); s.ring.keys != nil && age >= 0 && age < ringAge {
		return s.ring.keys, nil
	}
	keys, err := s.readKeys(ctx)
	if err == nil && len(keys) == 0 {
		// The first key signs at once, also on a replica whose clock is a little behind.
		if err = s.addKey(ctx, keys, now.Add(-time.Minute)); err == nil {
			keys, err = s.readKeys(ctx)
		}
	}
	if err != nil {
		return nil, err
	}
	s.ring.keys, s.ring.readAt = keys, now
	return keys, nil
}

func (s *Service) readKeys(ctx context.Context) (proof.Ring, error) {
	list, err := s.Store.ListProofKeys(ctx)
	if err != nil {
		return nil, err
	}
	var keys proof.Ring
	for _, k := range list {
		pkcs8, err := s.Keys.Open(k.Private, proofKeyRow(k.ID))
		if err != nil {
			return nil, fmt.Errorf("open the key of proofs %s: %w", k.ID, err)
		}
		key, err := proof.Parse(pkcs8)
		if err != nil {
			return nil, err
		}
		key.CreatedAt, key.ActiveAt, key.RetiredAt = k.CreatedAt, k.ActiveAt, k.RetiredAt
		keys = append(keys, key)
	}
	return keys, nil
}

// addKey adds the next key. Where another replica was quicker, theirs it is.
func (s *Service) addKey(ctx context.Context, keys proof.Ring, now time.Time) error {
	key, err := keys.Next("", now)
	if err != nil {
		return err
	}
	pkcs8, err := key.Marshal()
	if err != nil {
		return err
	}
	sealed, err := s.Keys.Seal(pkcs8, proofKeyRow(key.ID))
	if err != nil {
		return err
	}
	after := ""
	if len(keys) > 0 {
		after = keys[len(keys)-1].ID
	}
	err = s.Store.AddProofKey(ctx, ProofKey{ID: key.ID, Algorithm: key.Algorithm, Private: sealed, CreatedAt: key.CreatedAt, ActiveAt: key.ActiveAt}, after)
	if errors.Is(err, consent.ErrExists) {
		return nil
	}
	return err
}

// RotateKeys adds a key that takes over once every verifier can know it.
func (s *Service) RotateKeys(ctx context.Context) error {
	keys, err := s.readKeys(ctx)
	if err != nil {
		return err
	}
	return s.addKey(ctx, keys, s.now())
}

// CheckKeys reports a key that cannot be opened: sealed under other keys than
// these.
func (s *Service) CheckKeys(ctx context.Context) error {
	_, err := s.readKeys(ctx)
	return err
}

// JWKS returns the keys that verify proofs (RFC 7517), and for how long they
// may be kept.
func (s *Service) JWKS(ctx context.Context) ([]byte, time.Duration, error) {
	keys, err := s.keys(ctx)
	if err != nil {
		return nil, 0, err
	}
	body, err := keys.JWKS(s.now())
	return body, proof.CacheTime, err
}

// proofOf writes the proof of a complete reverification: the same one however
// often it is asked for, but for what else the session had proven by then and has
// proven anew since, which is left out. It is empty once that has expired, was used, or has
// ended.
func (s *Service) proofOf(ctx context.Context, c *Caller, st *Standing, rv *Reverification, r reauth.Requirement) (string, error) {
	if r.Nothing() {
		return "", nil
	}
	now := s.now()
	p, err := s.Store.Proof(ctx, c.ApplicationID, rv.ID)
	if errors.Is(err, consent.ErrNotFound) || err == nil && (!p.UsedAt.IsZero() || !p.EndedAt.IsZero() || !now.Before(p.ExpiresAt)) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	keys, err := s.keys(ctx)
	if err != nil {
		return "", err
	}
	key, ok := keys.Signer(now)
	if !ok {
		return "", errors.New("no key signs proofs now")
	}
	claims := proof.Claims{
		Issuer: s.BaseURL, Audience: c.ApplicationID, Subject: c.UserID, Session: c.SessionID, ID: p.ID,
		IssuedAt: p.CreatedAt, ExpiresAt: p.ExpiresAt, Level: p.Level, SecondFactorEnrolled: rv.SecondEnrolled,
	}
	if p.Operation != "" || p.Digest != "" {
		claims.Operation = &proof.Operation{Name: p.Operation, Digest: p.Digest}
	}
	for _, x := range s.told(st, rv, r, p.CreatedAt) {
		claims.Factors = append(claims.Factors, proof.Factor{Method: string(x.Factor), Role: proof.Role(x.Role), At: x.At, UserVerified: x.UserVerified, Ref: x.Ref})
	}
	// How and when this was proven: amr is read as of auth_time. What else the
	// session has proven has its own times.
	for _, x := range rv.Proven {
		if x.At.After(claims.AuthTime) {
			claims.AuthTime = x.At
		}
		for _, m := range methods(x) {
			if !slices.Contains(claims.AMR, m) {
				claims.AMR = append(claims.AMR, m)
			}
		}
	}
	if multiFactor(rv.Proven, p.CreatedAt) {
		claims.AMR = append(claims.AMR, "mfa")
	}
	return proof.Mint(key, claims)
}

// told are the factors that a proof names: those of the reverification, and what
// else the session had proven by then, so that one proof answers for lower
// levels too. What counts once counts only what was proven for it.
func (s *Service) told(st *Standing, rv *Reverification, r reauth.Requirement, at time.Time) []reauth.Proven {
	list := slices.Clone(rv.Proven)
	if r.SingleUse() {
		return list
	}
	for _, p := range st.Proven {
		same := func(q reauth.Proven) bool { return q.Factor == p.Factor && q.Role == p.Role && q.Ref == p.Ref }
		if !p.At.After(at) && !slices.ContainsFunc(list, same) {
			list = append(list, p)
		}
	}
	return list[:min(len(list), maxTold)]
}

// maxTold is how many factors a proof has room for (see proof.Claims).
const maxTold = 16

// methods are a factor in the words of RFC 8176.
func methods(p reauth.Proven) []string {
	switch p.Factor {
	case reauth.Password:
		return []string{"pwd"}
	case reauth.PhoneCode:
		return []string{"sms", "otp"}
	case reauth.EmailCode, reauth.TOTP, reauth.BackupCode:
		return []string{"otp"}
	case reauth.Passkey:
		if p.UserVerified {
			return []string{"hwk", "user"}
		}
		return []string{"hwk"}
	default:
		return []string{"fed"} // no value of RFC 8176 says "another provider"
	}
}

// multiFactor reports whether factors are several, as RFC 8176 says mfa: a first
// and a second that are not the same, or two of knowledge, possession and
// inherence. What is odd is not.
func multiFactor(list []reauth.Proven, at time.Time) bool {
	a := reauth.AgesOf(list, at)
	return reauth.Has(a, reauth.Enrolled, reauth.Requirement{Factors: reauth.MultiFactor, Within: reauth.AnyAge}) ||
		reauth.Has(a, reauth.Enrolled, reauth.Requirement{Factors: reauth.NoFactors, Within: reauth.AnyAge, SCA: true})
}

// record is what can be used up of a proof. It ends where the level's window
// does, by the oldest factor that it needed.
func (s *Service) record(rv *Reverification, r reauth.Requirement, at time.Time) ProofRecord {
	life := proof.MaxLife
	a := reauth.AgesOf(rv.Proven, at).Answering(rv.CreatedAt, at)
	if left := reauth.Left(a, reauth.EnrolmentOf(rv.SecondEnrolled), r); left > 0 {
		life = min(life, left)
	}
	at = at.Truncate(time.Second)
	return ProofRecord{
		Who: rv.Who, ID: rv.ID, Level: rv.Level, Operation: rv.Operation, Digest: rv.Digest, CreatedAt: at, ExpiresAt: at.Add(life),
	}
}
